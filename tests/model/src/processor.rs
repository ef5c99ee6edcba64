//! A processor, as small as one can be: what each key did, once, and what of it is seen.

use paymux_core::connector::{
    Approval, AuthorizeReport, CaptureReport, CloseReport, Echo, Handle, RefundReport, Standing,
};
use paymux_core::{Decline, DeclineCode, DeclineKind, Mode, Money, OperationId, money};
use uuid::Uuid;

/// What is authorized and captured, in minor units.
pub const WHOLE: i64 = 10;

/// What is refunded of it.
pub const PART: i64 = 5;

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// To hold the money.
    Authorize,
    /// To take it.
    Capture,
    /// To give up what is held.
    Void,
    /// To give part of what was taken back.
    Refund,
}

/// An operation: the n-th of its kind. Its identifier is fixed by that, so that equal histories are equal states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op {
    /// What it asks for.
    pub verb: Verb,
    /// From 0 on.
    pub number: u8,
}

impl Op {
    /// The identifier that the state machines know it by.
    pub fn id(self) -> OperationId {
        OperationId::from_uuid(Mode::Test, self.uuid())
    }

    /// What its identifier, and those of what it opens, are made of.
    pub fn uuid(self) -> Uuid {
        let verb = match self.verb {
            Verb::Authorize => 1,
            Verb::Capture => 2,
            Verb::Void => 3,
            Verb::Refund => 4,
        };
        Uuid::from_u128(verb * 16 + u128::from(self.number))
    }

    /// The operation of that identifier, if it is one of the model's.
    pub fn of(uuid: Uuid) -> Option<Self> {
        let all = [Verb::Authorize, Verb::Capture, Verb::Void, Verb::Refund];
        let all = all
            .into_iter()
            .flat_map(|verb| (0..16).map(move |number| Self { verb, number }));
        all.into_iter().find(|op| op.uuid() == uuid)
    }
}

/// A key that a request carries. The engine makes one for each operation; `tries` is 0 but for a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Of which operation.
    pub op: Op,
    /// Which try made it.
    pub tries: u8,
}

/// What a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// What was asked.
    Done,
    /// Nothing: an authoritative no.
    Declined,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// What the key did, now or before.
    Outcome(Outcome),
    /// Nothing was executed, now; the key is as it was.
    Refused,
}

/// How the processor is minded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mood {
    /// It does what it can.
    Willing,
    /// It says no.
    Declining,
    /// It says that it executes nothing, as when there are too many requests.
    Refusing,
}

impl Mood {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Willing, Self::Declining, Self::Refusing];
}

/// What one key did to one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The charge: the operation that authorized it.
    pub charge: Op,
    /// What it did.
    pub outcome: Outcome,
}

/// What a read, or a webhook, shows of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// Whether it was authorized.
    pub outcome: Outcome,
    /// Taken in all.
    pub captured: i64,
    /// Whether what was held was given up.
    pub voided: Voided,
    /// Given back in all.
    pub refunded: i64,
}

/// Whether a charge was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Voided {
    /// It was.
    Yes,
    /// It wasn't.
    No,
}

/// A processor's books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Books in which that charge is authorized.
    pub fn authorized(op: Op) -> Self {
        let mut ledger = Self::default();
        ledger.write(Key { op, tries: 0 }, op, Outcome::Done);
        ledger
    }

    /// Takes a request. A key that it remembers is answered as before.
    pub fn take(&mut self, key: Key, charge: Op, mood: Mood, memory: Memory) -> Said {
        if mood == Mood::Refusing {
            return Said::Refused;
        }
        if let (Some(entry), Memory::Kept) = (self.entries.iter().find(|entry| entry.key == key), memory) {
            return Said::Outcome(entry.outcome);
        }
        let outcome = match (mood, self.fits(key.op.verb, charge)) {
            (Mood::Willing, true) => Outcome::Done,
            (Mood::Willing, false) | (Mood::Declining | Mood::Refusing, _) => Outcome::Declined,
        };
        self.write(key, charge, outcome);
        Said::Outcome(outcome)
    }

    fn write(&mut self, key: Key, charge: Op, outcome: Outcome) {
        self.entries.push(Entry { key, charge, outcome });
        self.entries.sort_unstable();
    }

    fn fits(&self, verb: Verb, charge: Op) -> bool {
        let seen = self.see(charge);
        let held = |seen: &Seen| seen.outcome == Outcome::Done && seen.voided == Voided::No;
        match (verb, seen.filter(held)) {
            (Verb::Authorize, _) => true,
            (Verb::Capture | Verb::Void, Some(seen)) => seen.captured == 0,
            (Verb::Refund, Some(seen)) => seen.refunded + PART <= seen.captured,
            (Verb::Capture | Verb::Void | Verb::Refund, None) => false,
        }
    }

    /// What a charge looks like.
    pub fn see(&self, charge: Op) -> Option<Seen> {
        let of_charge = |verb| {
            let entries = self.entries.iter().filter(move |entry| entry.charge == charge);
            entries.filter(move |entry| entry.key.op.verb == verb)
        };
        let done = |verb| {
            of_charge(verb)
                .filter(|entry| entry.outcome == Outcome::Done)
                .count() as i64
        };
        Some(Seen {
            outcome: of_charge(Verb::Authorize).map(|entry| entry.outcome).min()?,
            captured: done(Verb::Capture) * WHOLE,
            voided: match done(Verb::Void) {
                0 => Voided::No,
                _more => Voided::Yes,
            },
            refunded: done(Verb::Refund) * PART,
        })
    }

    /// What was done in an operation's name, by whichever key; done counts for more than declined.
    pub fn outcome(&self, op: Op) -> Option<Outcome> {
        let entries = self.entries.iter().filter(|entry| entry.key.op == op);
        entries.map(|entry| entry.outcome).min()
    }

    /// How many charges are held or taken.
    pub fn live_charges(&self) -> usize {
        let done = self.done(Verb::Authorize);
        done - self.done(Verb::Void)
    }

    /// How much was taken.
    pub fn captured(&self) -> i64 {
        self.done(Verb::Capture) as i64 * WHOLE
    }

    /// How much was given back.
    pub fn refunded(&self) -> i64 {
        self.done(Verb::Refund) as i64 * PART
    }

    /// The charges that it knows.
    pub fn charges(&self) -> impl Iterator<Item = Op> {
        let made = self
            .entries
            .iter()
            .filter(|entry| entry.key.op.verb == Verb::Authorize);
        made.map(|entry| entry.charge)
    }

    fn done(&self, verb: Verb) -> usize {
        let entries = self.entries.iter().filter(|entry| entry.key.op.verb == verb);
        entries.filter(|entry| entry.outcome == Outcome::Done).count()
    }
}

/// Whether a key's window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It is: the key is known again.
    Kept,
    /// It has passed: the key is as good as new.
    Gone,
}

/// A charge, as a report says it.
pub fn standing(seen: Seen) -> Standing {
    let report = match (seen.outcome, seen.voided, seen.captured) {
        (Outcome::Declined, _, _) => return AuthorizeReport::Declined(decline()).into(),
        (Outcome::Done, Voided::Yes, _) => AuthorizeReport::Voided(handle(), Echo::none()),
        (Outcome::Done, Voided::No, 0) => AuthorizeReport::Authorized(Approval::new(handle(), Echo::none())),
        (Outcome::Done, Voided::No, _) => AuthorizeReport::Captured(Approval::new(handle(), Echo::none())),
    };
    let standing = Standing::from(report).authorized(euros(WHOLE));
    standing
        .captured(euros(seen.captured))
        .refunded(euros(seen.refunded))
}

/// The answer to an authorization.
pub fn authorization(outcome: Outcome) -> Standing {
    match outcome {
        Outcome::Done => AuthorizeReport::Authorized(Approval::new(handle(), Echo::none())).into(),
        Outcome::Declined => AuthorizeReport::Declined(decline()).into(),
    }
}

/// The answer to a capture.
pub fn capture(outcome: Outcome) -> CaptureReport {
    match outcome {
        Outcome::Done => CaptureReport::Captured(handle(), Echo::none()),
        Outcome::Declined => CaptureReport::Declined(decline()),
    }
}

/// The answer to a void.
pub fn void(outcome: Outcome) -> CloseReport {
    match outcome {
        Outcome::Done => CloseReport::Closed(handle(), Echo::none()),
        Outcome::Declined => CloseReport::Refused(decline()),
    }
}

/// The answer to a refund.
pub fn refund(outcome: Outcome) -> RefundReport {
    match outcome {
        Outcome::Done => RefundReport::Refunded(Handle::from("re".to_owned()), Echo::none()),
        Outcome::Declined => RefundReport::Failed(decline()),
    }
}

/// What the charge is known by.
pub fn handle() -> Handle {
    Handle::from("ch".to_owned())
}

fn decline() -> Decline {
    Decline::new(DeclineCode::TryAgainLater, DeclineKind::Soft, None)
}

fn euros(minor: i64) -> Money {
    Money::from_minor(minor, money!("1 EUR").currency())
}
