//! All that there is: the rows, the workers, the messages, the processors' books, and what may still happen.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use paymux_core::machines::{intent, refund};
use paymux_core::{AttemptStatus, IntentStatus, OperationStatus, RefundStatus, Totals};

use crate::Bug;
use crate::processor::{Key, Ledger, Op, Outcome, Said, Seen, Verb};

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The payment's row.
    pub payment: Payment,
    /// The refund's, once one was asked for.
    pub refund: Option<Refund>,
    /// Whoever drives operations; they are alike, so that their order says nothing.
    pub workers: [Worker; 2],
    /// What is under way, in no order.
    pub network: Vec<Message>,
    /// The processors' books, by account.
    pub ledgers: [Ledger; 2],
    /// Operations whose keys the processors have forgotten.
    pub forgotten: Vec<Op>,
    /// How many operations were opened, by what they ask for.
    pub opened: [u8; 4],
    /// What may still happen.
    pub left: Left,
    /// The invariant that a step broke.
    pub broken: Option<u8>,
}

/// How often things may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    /// Confirmations.
    pub confirm: u8,
    /// Captures.
    pub capture: u8,
    /// Voids.
    pub void: u8,
    /// Refunds.
    pub refund: u8,
    /// Webhooks.
    pub notices: u8,
    /// Crashes.
    pub crashes: u8,
    /// Operations whose keys are forgotten.
    pub forget: u8,
}

impl Left {
    pub(crate) fn of(&mut self, verb: Verb) -> &mut u8 {
        match verb {
            Verb::Authorize => &mut self.confirm,
            Verb::Capture => &mut self.capture,
            Verb::Void => &mut self.void,
            Verb::Refund => &mut self.refund,
        }
    }
}

/// A payment's row. Rows of equal states are equal: the version says only whether somebody else has written.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The state.
    pub state: Arc<intent::State>,
    /// The next account of the plan.
    pub next_account: u8,
    /// How often it was written.
    pub version: u16,
    /// What the invariants ask of the state.
    pub facts: Arc<Facts>,
    digest: u64,
}

/// What is read off a payment's state.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where it stands.
    pub status: IntentStatus,
    /// Its counters.
    pub totals: Totals,
    /// Its operations.
    pub operations: Vec<(Op, OperationStatus)>,
    /// Its attempts.
    pub attempts: Vec<Attempt>,
    /// What holds the lock.
    pub open: Option<Op>,
}

/// What is read off an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The authorization that opened it.
    pub op: Op,
    /// The account, by its place in the plan.
    pub account: usize,
    /// Where it stands.
    pub status: AttemptStatus,
}

impl Payment {
    /// A row of this state.
    pub fn new(state: intent::State, next_account: u8, version: u16) -> Self {
        let view = state.view();
        let operations = view.operations().iter();
        let attempt = |attempt: &paymux_core::Attempt| {
            Some(Attempt {
                op: Op::of(attempt.id().uuid())?,
                account: usize::from(*attempt.account() != crate::driver::account(0)),
                status: attempt.status(),
            })
        };
        let facts = Facts {
            status: view.status(),
            totals: *view.totals(),
            operations: operations
                .filter_map(|it| Some((Op::of(it.id().uuid())?, it.status())))
                .collect(),
            attempts: view.attempts().iter().filter_map(attempt).collect(),
            open: state.open_operation().and_then(|(id, _)| Op::of(id.uuid())),
        };
        Self {
            digest: digest(&(&state, next_account)),
            state: Arc::new(state),
            next_account,
            version,
            facts: Arc::new(facts),
        }
    }

    /// Where an operation stands.
    pub fn status_of(&self, op: Op) -> Option<OperationStatus> {
        let mut operations = self.facts.operations.iter();
        operations.find(|(id, _)| *id == op).map(|(_, status)| *status)
    }

    /// The attempt that an authorization opened.
    pub fn attempt(&self, charge: Op) -> Option<&Attempt> {
        self.facts.attempts.iter().find(|attempt| attempt.op == charge)
    }

    /// The authorization that a later operation is about: the last.
    pub fn charge(&self) -> Op {
        let first = Op {
            verb: Verb::Authorize,
            number: 0,
        };
        self.facts.attempts.last().map_or(first, |attempt| attempt.op)
    }

    /// The account of the charge that an operation is about. One that a planted bug has overwritten was at the first.
    pub fn account_of(&self, charge: Op) -> usize {
        self.attempt(charge).map_or(0, |attempt| attempt.account)
    }
}

/// A refund's row.
#[derive(Clone, Debug)]
pub struct Refund {
    /// The state.
    pub state: Arc<refund::State>,
    /// Where it stands.
    pub status: RefundStatus,
    /// What holds the lock.
    pub open: Option<Op>,
    digest: u64,
}

impl Refund {
    /// A row of this state.
    pub fn new(state: refund::State) -> Self {
        Self {
            digest: digest(&state),
            status: state.view().status(),
            open: state.open_operation().and_then(|id| Op::of(id.uuid())),
            state: Arc::new(state),
        }
    }
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

macro_rules! by_digest {
    ($($row:ty),+) => {$(
        impl PartialEq for $row {
            fn eq(&self, other: &Self) -> bool { self.digest == other.digest }
        }
        impl Eq for $row {}
        impl Hash for $row {
            fn hash<H: Hasher>(&self, hasher: &mut H) { self.digest.hash(hasher) }
        }
        impl PartialOrd for $row {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> { Some(self.cmp(other)) }
        }
        impl Ord for $row {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering { self.digest.cmp(&other.digest) }
        }
    )+};
}
by_digest!(Payment, Refund);

/// What a worker is at. A crash between any two of these loses all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worker {
    /// Nothing.
    Idle,
    /// It has read the row and decided; W1 comes next.
    Opening(Verb, Sight),
    /// It has claimed an operation that was left open, and asks the processor about it.
    Looking(Turn),
    /// W1 is written, or the lease is kept: the request goes out next.
    Sending(Turn, Sending),
    /// The request is out.
    Waiting(Turn, Sending),
    /// It has news to write: W3.
    Writing(Turn, News),
}

impl Worker {
    /// The operation that it is at.
    pub fn turn(&self) -> Option<&Turn> {
        match self {
            Self::Idle | Self::Opening(..) => None,
            Self::Looking(turn)
            | Self::Sending(turn, _)
            | Self::Waiting(turn, _)
            | Self::Writing(turn, _) => Some(turn),
        }
    }

    pub(crate) fn turn_mut(&mut self) -> Option<&mut Turn> {
        match self {
            Self::Idle | Self::Opening(..) => None,
            Self::Looking(turn)
            | Self::Sending(turn, _)
            | Self::Waiting(turn, _)
            | Self::Writing(turn, _) => Some(turn),
        }
    }

    pub(crate) fn sight_mut(&mut self) -> Option<&mut Sight> {
        match self {
            Self::Opening(_, sight) => Some(sight),
            Self::Idle | Self::Looking(_) | Self::Sending(..) | Self::Waiting(..) | Self::Writing(..) => {
                self.turn_mut().map(|turn| &mut turn.sight)
            }
        }
    }
}

/// An operation in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    /// Which.
    pub op: Op,
    /// Whether its lease holds.
    pub lease: Lease,
    /// What it has read of the row.
    pub sight: Sight,
}

/// A lease: an epoch is only ever compared with the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lease {
    /// The job has the epoch that the worker knows.
    Held,
    /// It has another, or is done: the next commit is fenced off.
    Lost,
    /// The worker knows that it has none.
    None,
}

/// What a worker has read: a version is only ever compared with the current one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// The row as it is.
    Current,
    /// The row as it was; kept only where a planted bug would write it.
    Outdated(Option<Payment>),
}

/// Whether a step may have been sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sending {
    /// It wasn't.
    First,
    /// It may have been.
    Again,
}

/// What a worker has to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum News {
    /// What the key did.
    Answer(Outcome),
    /// The proof that nothing was executed.
    Proof,
    /// The outcome is unknown.
    Doubt,
    /// What a read showed.
    Seen(Seen),
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// A request, and who waits for its answer, if anybody still does.
    Request {
        /// Its key.
        key: Key,
        /// The charge that it is about.
        charge: Op,
        /// The account that it goes to.
        account: usize,
        /// Who waits.
        from: Option<usize>,
    },
    /// Its answer.
    Answer {
        /// Who waits.
        to: usize,
        /// What it says.
        said: Said,
    },
    /// A webhook about a charge.
    Notice {
        /// The charge.
        charge: Op,
        /// How it stood.
        seen: Seen,
    },
    /// A webhook about a refund.
    RefundNotice {
        /// The refund.
        op: Op,
        /// What became of it.
        outcome: Outcome,
    },
}

impl World {
    /// The operation that holds a lock, of either row.
    pub fn open(&self) -> impl Iterator<Item = Op> {
        let refund = self.refund.as_ref().and_then(|refund| refund.open);
        self.payment.facts.open.into_iter().chain(refund)
    }

    /// Writes a payment's row. Whoever else has read it has read it as it was.
    pub(crate) fn write(&mut self, by: Option<usize>, after: Payment, bug: Bug) {
        let before = std::mem::replace(&mut self.payment, after);
        let kept = (bug == Bug::NoCompare).then_some(before);
        self.outdate(by, |verb| verb != Verb::Refund, &kept);
        // A refund is opened on both rows.
        for (at, worker) in self.workers.iter_mut().enumerate() {
            if let Worker::Opening(Verb::Refund, sight @ Sight::Current) = worker
                && by != Some(at)
            {
                *sight = Sight::Outdated(kept.clone());
            }
        }
        self.end_leases();
    }

    /// Writes a refund's row.
    pub(crate) fn write_refund(&mut self, by: Option<usize>, after: Refund) {
        self.refund = Some(after);
        self.outdate(by, |verb| verb == Verb::Refund, &None);
        self.end_leases();
    }

    fn outdate(&mut self, by: Option<usize>, of: impl Fn(Verb) -> bool, kept: &Option<Payment>) {
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let verb = match worker {
                Worker::Opening(verb, _) => Some(*verb),
                Worker::Idle
                | Worker::Looking(_)
                | Worker::Sending(..)
                | Worker::Waiting(..)
                | Worker::Writing(..) => worker.turn().map(|turn| turn.op.verb),
            };
            let reads = verb.is_some_and(&of) && by != Some(at);
            if let Some(sight @ Sight::Current) = worker.sight_mut().filter(|_| reads) {
                *sight = Sight::Outdated(kept.clone());
            }
        }
    }

    /// An operation that is closed has no job, so that its lease is worth nothing.
    fn end_leases(&mut self) {
        let open: Vec<Op> = self.open().collect();
        for worker in &mut self.workers {
            if let Some(turn) = worker.turn_mut()
                && turn.lease == Lease::Held
                && !open.contains(&turn.op)
            {
                turn.lease = Lease::Lost;
            }
        }
    }

    /// One state for all that differ in nothing: answers that nobody waits for are gone, and workers and messages are
    /// in order.
    pub(crate) fn canonical(mut self) -> Self {
        let waits = |at: usize| matches!(self.workers[at], Worker::Waiting(..));
        self.network.retain(|message| match message {
            Message::Answer { to, .. } => waits(*to),
            Message::Request { .. } | Message::Notice { .. } | Message::RefundNotice { .. } => true,
        });
        for message in &mut self.network {
            if let Message::Request { from, .. } = message {
                *from = from.filter(|at| waits(*at));
            }
        }
        if self.workers[0] > self.workers[1] {
            self.workers.swap(0, 1);
            for message in &mut self.network {
                match message {
                    Message::Request { from: Some(at), .. } | Message::Answer { to: at, .. } => *at = 1 - *at,
                    Message::Request { from: None, .. }
                    | Message::Notice { .. }
                    | Message::RefundNotice { .. } => {}
                }
            }
        }
        self.network.sort_unstable();
        self.forgotten.sort_unstable();
        self
    }
}
