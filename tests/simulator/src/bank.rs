//! The processor: accounts of every shape, and books that the engine never sees.
//!
//! It is plain code without I/O: [`Bank::serve`] is one request that has arrived. What becomes of requests and answers
//! on their way is the network's business (`ports.rs`).

use std::collections::{BTreeMap, HashMap};

use paymux_core::Money;

use crate::shape::Shape;
use crate::wire::{Act, Ask, Posted, Said, State};

/// How a payer's method behaves: the word before the first `-` of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Manner {
    Approve,
    Soft,
    Hard,
    Challenge,
    Redirect,
    Pending,
    PendingNo,
    Part,
    CapturePending,
    CaptureFails,
    CaptureDeclined,
    VoidRefused,
    RefundPending,
    RefundFails,
    RefundFailsLater,
    Returned,
    Refused,
    /// A soft decline at the first account that is asked, and approved at the next.
    SoftOnce,
    /// Declined with the word after the first `-`.
    Advised,
}

/// The words of declines that say more than yes or no: the card's network they are of, if of one.
pub(crate) const ADVISED: [(&str, Option<&str>); 14] = [
    ("funds", None),
    ("unavailable", None),
    ("v51", Some("visa")),
    ("v91", Some("visa")),
    ("v04", Some("visa")),
    ("v57", Some("visa")),
    ("vN7", Some("visa")),
    ("m01", Some("mastercard")),
    ("m02", Some("mastercard")),
    ("m03", Some("mastercard")),
    ("m21", Some("mastercard")),
    ("m24", Some("mastercard")),
    ("m40", Some("mastercard")),
    ("m42", Some("mastercard")),
];

/// The word that a token wants to be declined with.
fn advised(token: &str) -> &'static str {
    let word = token.split('-').nth(1).unwrap_or_default();
    ADVISED
        .iter()
        .find(|(known, _)| *known == word)
        .map_or("hard", |(known, _)| known)
}

impl Manner {
    pub(crate) const ALL: [(Self, &'static str); 19] = [
        (Self::Approve, "approve"),
        (Self::Soft, "soft"),
        (Self::Hard, "hard"),
        (Self::Challenge, "challenge"),
        (Self::Redirect, "redirect"),
        (Self::Pending, "pending"),
        (Self::PendingNo, "pendingno"),
        (Self::Part, "part"),
        (Self::CapturePending, "capturepending"),
        (Self::CaptureFails, "capturefails"),
        (Self::CaptureDeclined, "capturedeclined"),
        (Self::VoidRefused, "voidrefused"),
        (Self::RefundPending, "refundpending"),
        (Self::RefundFails, "refundfails"),
        (Self::RefundFailsLater, "refundfailslater"),
        (Self::Returned, "returned"),
        (Self::Refused, "refused"),
        (Self::SoftOnce, "softonce"),
        (Self::Advised, "advised"),
    ];

    pub(crate) fn token(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(manner, _)| *manner == self)
            .map_or("", |(_, word)| word)
    }

    fn of(token: &str) -> Self {
        let word = token.split('-').next().unwrap_or_default();
        Self::ALL
            .iter()
            .find(|(_, known)| *known == word)
            .map_or(Self::Hard, |(manner, _)| *manner)
    }
}

/// A capture in the books.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) id: String,
    pub(crate) reference: Option<String>,
    pub(crate) amount: i64,
    pub(crate) state: State,
    keep: bool,
}

/// A refund in the books.
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) reference: String,
    pub(crate) amount: i64,
    pub(crate) state: State,
}

/// A payment in the books.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) account: usize,
    pub(crate) order: String,
    pub(crate) reference: String,
    pub(crate) amount: Money,
    pub(crate) manner: Manner,
    /// What it is declined with, where its manner leaves that open.
    advised: &'static str,
    manual: bool,
    setup: bool,
    challenged: bool,
    pub(crate) state: State,
    pub(crate) authorized: i64,
    pub(crate) captures: Vec<Capture>,
    pub(crate) refunds: Vec<Refund>,
    pub(crate) returned: i64,
    released: bool,
    voided: bool,
    code: Option<&'static str>,
    acts_until: Option<u64>,
    changed_at: u64,
    before: Option<Said>,
    pub(crate) ever_authorized: i64,
    pub(crate) ever_captured: i64,
}

impl Payment {
    fn sum(&self, wanted: &[State]) -> i64 {
        let captures = self
            .captures
            .iter()
            .filter(|capture| wanted.contains(&capture.state));
        captures.map(|capture| capture.amount).sum()
    }

    /// What is taken and neither failed nor voided.
    pub(crate) fn captured(&self) -> i64 {
        self.sum(&[State::Done, State::Settled])
    }

    /// What has gone back, or is on its way.
    pub(crate) fn refunded(&self) -> i64 {
        let gone = self.refunds.iter().filter(|refund| refund.state == State::Done);
        gone.map(|refund| refund.amount).sum()
    }

    pub(crate) fn refund_pending(&self) -> i64 {
        let open = self
            .refunds
            .iter()
            .filter(|refund| refund.state == State::Processing);
        open.map(|refund| refund.amount).sum()
    }

    /// What is held and not taken.
    pub(crate) fn held(&self) -> i64 {
        match self.state {
            State::Authorized => self.authorized - self.captured(),
            _ => 0,
        }
    }

    /// Whether the payer's money is held or taken, or may be without anybody's doing more.
    pub(crate) fn is_live(&self) -> bool {
        match self.state {
            State::Authorized | State::Processing | State::Action => true,
            State::Captured | State::Settled => self.captured() > self.refunded() + self.returned,
            _ => false,
        }
    }

    pub(crate) fn holds_money(&self) -> bool {
        self.is_live() && !matches!(self.state, State::Processing | State::Action)
    }
}

/// What the books turn by themselves, at their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Answer,
    ActionEnds,
    Settle(usize),
    CaptureComes(usize),
    CaptureFails(usize),
    RefundComes(usize),
    RefundFails(usize),
    Return,
}

struct Kept {
    ask: u64,
    at: u64,
    answer: Option<Answer>,
}

/// An answer on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) said: Option<Said>,
}

impl Answer {
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, said: None }
    }
}

/// All accounts and their books.
#[derive(Default)]
pub(crate) struct Bank {
    shapes: Vec<Shape>,
    pub(crate) payments: Vec<Payment>,
    by_reference: HashMap<String, usize>,
    by_order: HashMap<String, Vec<usize>>,
    keys: HashMap<(usize, String), Kept>,
    /// What falls due: the world wakes the bank for it.
    pub(crate) agenda: Vec<(u64, usize, Turn)>,
    /// What is to be posted: account and body.
    pub(crate) posts: Vec<(usize, Posted)>,
    /// Keys are remembered for longer than they are promised to be, in worlds whose clocks jump.
    patience: u64,
    events: u64,
    /// Whether a payment's books were asked for a refund at another account than its own.
    pub(crate) strayed: Vec<String>,
}

const ACTION_FOR: u64 = 15 * 60_000;
const HOUR: u64 = 3_600_000;

impl Bank {
    pub(crate) fn new(shapes: Vec<Shape>, patience: u64) -> Self {
        Self {
            shapes,
            patience,
            ..Self::default()
        }
    }

    pub(crate) fn of_order(&self, order: &str) -> impl Iterator<Item = &Payment> {
        let places = self.by_order.get(order);
        places.into_iter().flatten().map(|place| &self.payments[*place])
    }

    pub(crate) fn by_reference(&self, reference: &str) -> Option<&Payment> {
        self.by_reference
            .get(reference)
            .map(|place| &self.payments[*place])
    }

    /// What a key got before; nothing, where it is to be worked on now.
    pub(crate) fn start(&mut self, account: usize, key: &str, ask: u64, now: u64) -> Option<Answer> {
        let window = self.shapes[account].key.map(|key| key.window_ms)?;
        let place = (account, key.to_owned());
        match self.keys.get(&place) {
            Some(kept) if now < kept.at + window + self.patience => {
                let known = kept.answer.clone().filter(|_| kept.ask == ask);
                Some(known.unwrap_or(Answer::bare(409)))
            }
            Some(_) | None => {
                let kept = Kept {
                    ask,
                    at: now,
                    answer: None,
                };
                self.keys.insert(place, kept);
                None
            }
        }
    }

    /// Remembers what a key got; what isn't remembered may be tried again.
    pub(crate) fn finish(&mut self, account: usize, key: &str, answer: &Answer) {
        let Some(shape) = self.shapes[account].key else {
            return;
        };
        let place = (account, key.to_owned());
        let remember = match answer.status {
            200 | 402 => true,
            500.. => shape.replays_errors,
            _ => false,
        };
        if remember {
            if let Some(kept) = self.keys.get_mut(&place) {
                kept.answer = Some(answer.clone());
            }
        } else {
            self.keys.remove(&place);
        }
    }

    /// One request that has arrived, and isn't a repetition.
    pub(crate) fn serve(&mut self, account: usize, ask: &Ask, now: u64) -> Answer {
        match ask.act {
            Act::Authorize => self.authorize(account, ask, now, true),
            Act::Prepare => self.authorize(account, ask, now, false),
            Act::Execute => self.with(account, ask, now, |bank, place| bank.execute(place, ask, now)),
            Act::Complete => self.with(account, ask, now, |bank, place| {
                let yes = ask
                    .secret
                    .as_deref()
                    .is_some_and(|secret| secret.ends_with("yes"));
                if bank.payments[place].state == State::Action {
                    bank.acted(place, yes, now);
                }
                bank.shown(place)
            }),
            Act::Capture => self.with(account, ask, now, |bank, place| bank.capture(place, ask, now)),
            Act::Increment => self.with(account, ask, now, |bank, place| bank.increment(place, ask, now)),
            Act::Void => self.with(account, ask, now, |bank, place| bank.void(place, ask, now)),
            Act::Cancel => self.with(account, ask, now, |bank, place| bank.cancel(place, ask, now)),
            Act::Refund => self.refund(account, ask, now),
            Act::Read | Act::LookUp | Act::ReadRefund | Act::LookUpRefund => self.read(account, ask, now, 0),
        }
    }

    /// What a read shows that lags by `lag`.
    pub(crate) fn read(&self, account: usize, ask: &Ask, now: u64, lag: u64) -> Answer {
        let of = |handle: &Option<String>| handle.as_deref().and_then(|handle| self.place(account, handle));
        match ask.act {
            Act::ReadRefund | Act::LookUpRefund => {
                let payments = self.payments.iter().filter(|payment| payment.account == account);
                let found = payments
                    .flat_map(|payment| payment.refunds.iter().map(move |refund| (payment, refund)))
                    .find(|(_, refund)| refund.reference == ask.reference);
                match found {
                    Some((payment, _)) if lag > 0 && payment.changed_at + lag > now => Answer::bare(404),
                    Some((payment, refund)) => Answer {
                        status: 200,
                        said: Some(said_of_refund(payment, refund)),
                    },
                    None => Answer::bare(404),
                }
            }
            _ => {
                let place = match ask.act {
                    Act::LookUp => self
                        .by_reference
                        .get(&ask.reference)
                        .copied()
                        .filter(|place| self.payments[*place].account == account),
                    _ => of(&ask.of),
                };
                let Some(payment) = place.map(|place| &self.payments[place]) else {
                    return Answer::bare(404);
                };
                if lag > 0 && payment.changed_at + lag > now {
                    return match &payment.before {
                        Some(before) => Answer {
                            status: 200,
                            said: Some(before.clone()),
                        },
                        None => Answer::bare(404),
                    };
                }
                Answer {
                    status: 200,
                    said: Some(self.said(payment)),
                }
            }
        }
    }

    fn place(&self, account: usize, handle: &str) -> Option<usize> {
        let (_, place) = handle.rsplit_once('p')?;
        let place = place.parse::<usize>().ok()?;
        self.payments
            .get(place)
            .filter(|payment| payment.account == account && payment.id == handle)
            .map(|_| place)
    }

    fn with(
        &mut self,
        account: usize,
        ask: &Ask,
        _now: u64,
        act: impl FnOnce(&mut Self, usize) -> Answer,
    ) -> Answer {
        match ask.of.as_deref().and_then(|handle| self.place(account, handle)) {
            Some(place) => act(self, place),
            None => {
                self.strayed
                    .push(format!("{:?} of {:?} at account {account}", ask.act, ask.of));
                Answer::bare(404)
            }
        }
    }

    fn authorize(&mut self, account: usize, ask: &Ask, now: u64, execute: bool) -> Answer {
        let (Some(amount), Some(order)) = (ask.amount, &ask.order) else {
            return Answer::bare(422);
        };
        let manner = Manner::of(ask.token.as_deref().unwrap_or_default());
        if manner == Manner::Refused {
            return Answer::bare(422);
        }
        let place = self.payments.len();
        self.payments.push(Payment {
            id: format!("a{account}p{place}"),
            account,
            order: order.clone(),
            reference: ask.reference.clone(),
            amount,
            manner,
            advised: advised(ask.token.as_deref().unwrap_or_default()),
            manual: ask.manual || !self.shapes[account].captures_at_once,
            setup: ask.setup,
            challenged: ask.challenge,
            state: State::Created,
            authorized: 0,
            captures: Vec::new(),
            refunds: Vec::new(),
            returned: 0,
            released: false,
            voided: false,
            code: None,
            acts_until: None,
            changed_at: now,
            before: None,
            ever_authorized: 0,
            ever_captured: 0,
        });
        // What is made twice is found once: as the one that is executed, or else as the first.
        self.by_reference.entry(ask.reference.clone()).or_insert(place);
        self.by_order.entry(order.clone()).or_default().push(place);
        if execute {
            self.decide(place, now);
            self.payments[place].before = None;
        }
        self.shown(place)
    }

    fn execute(&mut self, place: usize, ask: &Ask, now: u64) -> Answer {
        let payment = &mut self.payments[place];
        if payment.state != State::Created {
            // Confirmed before: what became of it is to be read.
            return Answer::bare(409);
        }
        self.by_reference.insert(payment.reference.clone(), place);
        payment.challenged = ask.challenge;
        payment.manner = Manner::of(ask.token.as_deref().unwrap_or_default());
        payment.advised = advised(ask.token.as_deref().unwrap_or_default());
        if payment.manner == Manner::Refused {
            return Answer::bare(422);
        }
        self.decide(place, now);
        self.shown(place)
    }

    fn decide(&mut self, place: usize, now: u64) {
        self.change(place, now);
        let asked_before = self.of_order(&self.payments[place].order).any(|earlier| {
            earlier.id != self.payments[place].id
                && earlier.manner == Manner::SoftOnce
                && earlier.state == State::Declined
        });
        let payment = &mut self.payments[place];
        match payment.manner {
            Manner::Soft => decline(payment, "soft"),
            Manner::SoftOnce if !asked_before => decline(payment, "soft"),
            Manner::Advised => {
                let word = payment.advised;
                decline(payment, word);
            }
            Manner::Hard | Manner::Refused => decline(payment, "hard"),
            Manner::Challenge if !payment.challenged => decline(payment, "authentication"),
            Manner::Redirect | Manner::Challenge => {
                payment.state = State::Action;
                payment.acts_until = Some(now + ACTION_FOR);
                self.agenda.push((now + ACTION_FOR, place, Turn::ActionEnds));
            }
            Manner::Pending | Manner::PendingNo => {
                payment.state = State::Processing;
                self.agenda.push((now + HOUR, place, Turn::Answer));
            }
            _ => self.approve(place, now),
        }
        self.post(place, false);
    }

    fn approve(&mut self, place: usize, now: u64) {
        let payment = &mut self.payments[place];
        payment.acts_until = None;
        if payment.setup {
            payment.state = State::Verified;
            return;
        }
        let minor = payment.amount.minor();
        payment.state = State::Authorized;
        payment.authorized = match payment.manner {
            Manner::Part if minor > 1 => minor * 6 / 10,
            _ => minor,
        }
        .max(1);
        payment.ever_authorized = payment.authorized;
        if !payment.manual && payment.authorized == minor {
            self.take(place, None, minor, false, now);
        }
    }

    fn take(&mut self, place: usize, reference: Option<String>, amount: i64, keep: bool, now: u64) {
        let settles = self.shapes[self.payments[place].account].settles_after_ms;
        let payment = &mut self.payments[place];
        let number = payment.captures.len();
        let own = reference.is_some();
        let state = match (payment.manner, settles) {
            (Manner::CapturePending, _) if own => State::Processing,
            // The last of them is told to be on its way, an earlier one to be done.
            (Manner::CaptureFails, _) if own && !keep => State::Processing,
            (_, Some(0)) => State::Settled,
            _ => State::Done,
        };
        payment.captures.push(Capture {
            id: format!("{}c{number}", payment.id),
            reference,
            amount,
            state,
            keep,
        });
        let turn = match (payment.manner, state, settles) {
            (Manner::CapturePending, State::Processing, _) => Some((HOUR, Turn::CaptureComes(number))),
            (_, State::Processing, _) => Some((HOUR, Turn::CaptureFails(number))),
            (Manner::CaptureFails, _, _) => Some((3 * HOUR, Turn::CaptureFails(number))),
            (Manner::Returned, _, _) => Some((3 * HOUR, Turn::Return)),
            (_, State::Done, Some(after)) => Some((after, Turn::Settle(number))),
            (_, _, _) => None,
        };
        self.agenda
            .extend(turn.map(|(after, turn)| (now + after, place, turn)));
        self.recount(place);
    }

    fn recount(&mut self, place: usize) {
        let payment = &mut self.payments[place];
        let approved = payment.ever_authorized > 0;
        if !approved
            || !matches!(
                payment.state,
                State::Authorized | State::Captured | State::Settled | State::Declined
            )
        {
            return;
        }
        let taken = payment.captured();
        payment.ever_captured = payment.ever_captured.max(taken);
        let last = payment
            .captures
            .iter()
            .any(|capture| !capture.keep && matches!(capture.state, State::Done | State::Settled));
        payment.released |= last;
        let open = payment.sum(&[State::Processing]) > 0;
        payment.state = match () {
            () if payment.voided => State::Voided,
            () if taken > 0 && (payment.released || taken >= payment.authorized) && !open => {
                let settled = payment.sum(&[State::Settled]) == taken;
                if settled { State::Settled } else { State::Captured }
            }
            // All that was taken failed, and nothing is held for another try.
            () if payment.released && !open => {
                payment.code = Some("failed");
                State::Declined
            }
            () => State::Authorized,
        };
    }

    fn capture(&mut self, place: usize, ask: &Ask, now: u64) -> Answer {
        let amount = ask.amount.map_or(0, Money::minor);
        let payment = &self.payments[place];
        let shape = &self.shapes[payment.account];
        let last = payment
            .captures
            .iter()
            .any(|capture| !capture.keep && capture.state == State::Processing);
        let left = payment.authorized - payment.captured() - payment.sum(&[State::Processing]);
        let several = ask.keep && !shape.multicapture;
        if payment.state != State::Authorized || last || payment.manner == Manner::CaptureDeclined {
            return refused(payment, ask);
        }
        if amount <= 0 || amount > left || several {
            return Answer::bare(422);
        }
        self.change(place, now);
        self.take(place, Some(ask.reference.clone()), amount, ask.keep, now);
        self.post(place, false);
        let payment = &self.payments[place];
        let (capture, made) = (&payment.captures[payment.captures.len() - 1], amount);
        said_answer(payment, ask, &capture.id, capture.state, made)
    }

    fn increment(&mut self, place: usize, ask: &Ask, now: u64) -> Answer {
        let total = ask.amount.map_or(0, Money::minor);
        let payment = &self.payments[place];
        if payment.state != State::Authorized || total <= payment.authorized || !payment.captures.is_empty() {
            return refused(payment, ask);
        }
        self.change(place, now);
        let payment = &mut self.payments[place];
        payment.authorized = total;
        payment.ever_authorized = payment.ever_authorized.max(total);
        self.post(place, false);
        said_answer(
            &self.payments[place],
            ask,
            &self.payments[place].id,
            State::Done,
            total,
        )
    }

    fn void(&mut self, place: usize, ask: &Ask, now: u64) -> Answer {
        let payment = &self.payments[place];
        let amount = ask.amount.map_or(0, Money::minor);
        let after_capture = self.shapes[payment.account].void_after_capture;
        let untouched = payment.refunded() == 0 && payment.refund_pending() == 0;
        let open = payment.sum(&[State::Processing]) > 0;
        let allowed = match payment.state {
            State::Voided => return said_answer(payment, ask, &payment.id, State::Done, amount),
            State::Authorized => !open,
            State::Captured => {
                after_capture && untouched && payment.returned == 0 && payment.sum(&[State::Settled]) == 0
            }
            _ => false,
        };
        if !allowed || payment.manner == Manner::VoidRefused {
            return refused(payment, ask);
        }
        self.change(place, now);
        let payment = &mut self.payments[place];
        let partly = payment.state == State::Authorized && payment.captured() > 0;
        payment.released = true;
        if !partly {
            payment.voided = true;
            for capture in &mut payment.captures {
                if capture.state == State::Done {
                    capture.state = State::Voided;
                }
            }
        }
        self.recount(place);
        self.post(place, false);
        said_answer(
            &self.payments[place],
            ask,
            &self.payments[place].id,
            State::Done,
            amount,
        )
    }

    fn cancel(&mut self, place: usize, ask: &Ask, now: u64) -> Answer {
        let payment = &self.payments[place];
        let amount = ask.amount.map_or(0, Money::minor);
        match payment.state {
            State::Cancelled => {}
            State::Created | State::Action => {
                self.change(place, now);
                self.payments[place].state = State::Cancelled;
                self.post(place, false);
            }
            _ => return refused(payment, ask),
        }
        said_answer(
            &self.payments[place],
            ask,
            &self.payments[place].id,
            State::Done,
            amount,
        )
    }

    fn refund(&mut self, account: usize, ask: &Ask, now: u64) -> Answer {
        let amount = ask.amount.map_or(0, Money::minor);
        let original = ask.of.clone().unwrap_or_default();
        let (handle, capture) = match original.rsplit_once('c') {
            Some((handle, capture)) => (handle.to_owned(), capture.parse::<usize>().ok()),
            None => (original, None),
        };
        let Some(place) = self.place(account, &handle) else {
            self.strayed
                .push(format!("refund of {:?} at account {account}", ask.of));
            return Answer::bare(404);
        };
        let payment = &self.payments[place];
        let gone = payment.refunded() + payment.refund_pending();
        let most = match capture.and_then(|capture| payment.captures.get(capture)) {
            Some(capture) if matches!(capture.state, State::Done | State::Settled) => capture.amount,
            Some(_) => 0,
            None => payment.captured(),
        };
        if amount <= 0 || gone + amount > payment.captured() || amount > most {
            return refused(payment, ask);
        }
        if payment.manner == Manner::RefundFails {
            return refused(payment, ask);
        }
        self.change(place, now);
        let payment = &mut self.payments[place];
        let number = payment.refunds.len();
        let state = match payment.manner {
            Manner::RefundPending => State::Processing,
            _ => State::Done,
        };
        payment.refunds.push(Refund {
            id: format!("{}r{number}", payment.id),
            reference: ask.reference.clone(),
            amount,
            state,
        });
        match payment.manner {
            Manner::RefundPending => self.agenda.push((now + HOUR, place, Turn::RefundComes(number))),
            Manner::RefundFailsLater => self
                .agenda
                .push((now + 2 * HOUR, place, Turn::RefundFails(number))),
            _ => {}
        }
        self.post_refund(place, number);
        self.post(place, false);
        let payment = &self.payments[place];
        Answer {
            status: 200,
            said: Some(said_of_refund(payment, &payment.refunds[number])),
        }
    }

    /// What the payer did.
    pub(crate) fn pay(&mut self, reference: &str, yes: bool, now: u64) {
        if let Some(place) = self.by_reference.get(reference).copied()
            && self.payments[place].state == State::Action
        {
            self.acted(place, yes, now);
        }
    }

    fn acted(&mut self, place: usize, yes: bool, now: u64) {
        self.change(place, now);
        if yes {
            self.approve(place, now);
        } else {
            decline(&mut self.payments[place], "hard");
        }
        self.post(place, false);
    }

    /// What has fallen due.
    pub(crate) fn turn(&mut self, place: usize, turn: Turn, now: u64) {
        let payment = &self.payments[place];
        let applies = match turn {
            Turn::Answer => payment.state == State::Processing,
            Turn::ActionEnds => {
                payment.state == State::Action && payment.acts_until.is_some_and(|at| at <= now)
            }
            Turn::Settle(number) => payment.captures[number].state == State::Done,
            Turn::CaptureComes(number) => payment.captures[number].state == State::Processing,
            Turn::CaptureFails(number) => {
                matches!(payment.captures[number].state, State::Processing | State::Done)
                    && payment.refunds.is_empty()
            }
            Turn::RefundComes(number) => payment.refunds[number].state == State::Processing,
            Turn::RefundFails(number) => payment.refunds[number].state == State::Done,
            Turn::Return => {
                matches!(payment.state, State::Captured | State::Settled) && payment.refunds.is_empty()
            }
        };
        if !applies {
            return;
        }
        self.change(place, now);
        let payment = &mut self.payments[place];
        match turn {
            Turn::Answer if payment.manner == Manner::Pending => self.approve(place, now),
            Turn::Answer | Turn::ActionEnds => decline(payment, "hard"),
            Turn::Settle(number) => payment.captures[number].state = State::Settled,
            Turn::CaptureComes(number) => payment.captures[number].state = State::Done,
            Turn::CaptureFails(number) => payment.captures[number].state = State::Failed,
            Turn::RefundComes(number) => payment.refunds[number].state = State::Done,
            Turn::RefundFails(number) => payment.refunds[number].state = State::Failed,
            Turn::Return => payment.returned = payment.captured(),
        }
        self.recount(place);
        if let Turn::RefundComes(number) | Turn::RefundFails(number) = turn {
            self.post_refund(place, number);
        }
        self.post(place, false);
    }

    /// Keeps what was shown before a change, for reads that lag.
    fn change(&mut self, place: usize, now: u64) {
        let before = self.said(&self.payments[place]);
        let payment = &mut self.payments[place];
        if payment.changed_at != now || payment.before.is_none() {
            payment.before = Some(before);
        }
        payment.changed_at = now;
    }

    fn post(&mut self, place: usize, _late: bool) {
        let payment = &self.payments[place];
        let Some(webhooks) = self.shapes[payment.account].webhooks else {
            return;
        };
        self.events += 1;
        let posted = Posted {
            event: webhooks.numbered.then(|| format!("e{}", self.events)),
            account: format!("a{}", payment.account),
            id: payment.id.clone(),
            reference: Some(payment.reference.clone()),
            refund: false,
            said: webhooks.authoritative.then(|| self.said(payment)),
        };
        self.posts.push((payment.account, posted));
    }

    fn post_refund(&mut self, place: usize, number: usize) {
        let payment = &self.payments[place];
        let Some(webhooks) = self.shapes[payment.account].webhooks else {
            return;
        };
        self.events += 1;
        let refund = &payment.refunds[number];
        let posted = Posted {
            event: webhooks.numbered.then(|| format!("e{}", self.events)),
            account: format!("a{}", payment.account),
            id: refund.id.clone(),
            reference: Some(refund.reference.clone()),
            refund: true,
            said: webhooks.authoritative.then(|| said_of_refund(payment, refund)),
        };
        self.posts.push((payment.account, posted));
    }

    fn shown(&self, place: usize) -> Answer {
        let payment = &self.payments[place];
        let status = if payment.state == State::Declined {
            402
        } else {
            200
        };
        Answer {
            status,
            said: Some(self.said(payment)),
        }
    }

    fn said(&self, payment: &Payment) -> Said {
        let shape = &self.shapes[payment.account];
        let failed = payment.sum(&[State::Failed]);
        Said {
            id: payment.id.clone(),
            reference: Some(payment.reference.clone()),
            amount: payment.amount,
            state: match payment.sum(&[State::Processing]) {
                0 => payment.state,
                // A capture is on its way: the payment says so.
                _ => State::Processing,
            },
            authorized: payment.authorized,
            captured: payment.captured() + failed,
            failed,
            refunded: payment.refunded(),
            returned: payment.returned,
            code: payment.code.map(str::to_owned),
            multicapture: shape.multicapture,
            incremental: shape.increment,
            until: payment.acts_until.map(|at| at as i64),
        }
    }

    /// Everything in the books, for a trace.
    pub(crate) fn render(&self) -> String {
        let mut lines = BTreeMap::new();
        for payment in &self.payments {
            let line = format!(
                "  {} order {} {} {:?} {:?} authorized {} captured {} refunded {} returned {}; captures {:?}; refunds {:?}",
                payment.id,
                payment.order,
                payment.amount,
                payment.manner,
                payment.state,
                payment.authorized,
                payment.captured(),
                payment.refunded(),
                payment.returned,
                payment
                    .captures
                    .iter()
                    .map(|c| (c.amount, c.state))
                    .collect::<Vec<_>>(),
                payment
                    .refunds
                    .iter()
                    .map(|r| (r.amount, r.state))
                    .collect::<Vec<_>>(),
            );
            lines.insert((payment.order.clone(), payment.id.clone()), line);
        }
        lines.into_values().collect::<Vec<_>>().join("\n")
    }
}

fn decline(payment: &mut Payment, code: &'static str) {
    payment.state = State::Declined;
    payment.code = Some(code);
    payment.acts_until = None;
}

fn answer_of(payment: &Payment, ask: &Ask, id: &str, state: State, amount: i64, code: Option<&str>) -> Said {
    Said {
        id: id.to_owned(),
        reference: Some(ask.reference.clone()),
        amount: Money::from_minor(amount, payment.amount.currency()),
        state,
        authorized: 0,
        captured: 0,
        failed: 0,
        refunded: 0,
        returned: 0,
        code: code.map(str::to_owned),
        multicapture: false,
        incremental: false,
        until: None,
    }
}

fn said_answer(payment: &Payment, ask: &Ask, id: &str, state: State, amount: i64) -> Answer {
    Answer {
        status: 200,
        said: Some(answer_of(payment, ask, id, state, amount, None)),
    }
}

/// An authoritative no.
fn refused(payment: &Payment, ask: &Ask) -> Answer {
    let amount = ask.amount.map_or(0, Money::minor);
    Answer {
        status: 402,
        said: Some(answer_of(
            payment,
            ask,
            &payment.id,
            State::Failed,
            amount,
            Some("hard"),
        )),
    }
}

fn said_of_refund(payment: &Payment, refund: &Refund) -> Said {
    Said {
        id: refund.id.clone(),
        reference: Some(refund.reference.clone()),
        amount: Money::from_minor(refund.amount, payment.amount.currency()),
        state: refund.state,
        authorized: 0,
        captured: 0,
        failed: 0,
        refunded: 0,
        returned: 0,
        code: (refund.state == State::Failed).then(|| "hard".to_owned()),
        multicapture: false,
        incremental: false,
        until: None,
    }
}
