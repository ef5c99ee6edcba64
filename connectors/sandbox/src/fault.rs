//! Faults that a test scripts: what befalls the next call of a kind, whatever it is about.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::processor::mix;

/// What a call asks of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Call {
    /// To make and execute a payment.
    Authorize,
    /// To make a payment alone.
    Prepare,
    /// To execute a payment that was made.
    Execute,
    /// To take what the payer brought back.
    Complete,
    /// To capture.
    Capture,
    /// To raise an authorization.
    Increment,
    /// To void.
    Void,
    /// To cancel.
    Cancel,
    /// To refund.
    Refund,
    /// How a payment stands.
    Read,
    /// Whether there is a payment of a reference.
    LookUp,
    /// How a refund stands.
    ReadRefund,
    /// Whether there is a refund of a reference.
    LookUpRefund,
}

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It is lost on its way and does nothing; the caller can't know.
    DropRequest,
    /// It does its work, and the answer is lost.
    DropAnswer,
    /// The processor answers 500 and does nothing.
    ServerErrorBefore,
    /// The processor does it and answers 500.
    ServerErrorAfter,
    /// It never leaves, which the caller knows.
    NotSent,
    /// It arrives twice; the caller gets the second answer. A processor without keys does it twice.
    Duplicate,
    /// It does its work, and the answer comes cut short.
    Truncate,
    /// The processor refuses with this status and does nothing.
    Refuse(u16),
    /// The bank declines the payment, whatever its method: `insufficient_funds`, which is soft. The books show the
    /// token that stands for it.
    Decline,
    /// It does its work, and no answer ever comes: the caller's deadline ends the wait.
    Hang,
    /// The processor works on it for so long. Meanwhile its key is in use; and it does its work even if the caller
    /// goes away.
    Slow(Duration),
    /// It does its work, and the answer names one minor unit more.
    AlterAmount,
}

/// The script of faults of a [`Sandbox`](crate::Sandbox). Clones are the same script.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    queue: VecDeque<(Option<String>, Call, FaultKind)>,
    chance: Option<Chance>,
    stale_for: Duration,
    down: Down,
}

/// Faults by chance: the same seed gives the same row of them.
#[derive(Debug)]
struct Chance {
    seed: u64,
    per_thousand: u32,
    calls: u64,
}

/// What may befall a call by chance: what a network and a busy processor do, and what needs no clock to end.
const BY_CHANCE: [FaultKind; 7] = [
    FaultKind::NotSent,
    FaultKind::DropRequest,
    FaultKind::DropAnswer,
    FaultKind::ServerErrorBefore,
    FaultKind::ServerErrorAfter,
    FaultKind::Truncate,
    FaultKind::Refuse(429),
];

impl Chance {
    fn draw(&mut self) -> Option<FaultKind> {
        self.calls += 1;
        let draw = mix(self.seed, self.calls);
        let falls = draw % 1_000 < u64::from(self.per_thousand);
        let which = usize::try_from(draw / 1_000 % BY_CHANCE.len() as u64).unwrap_or_default();
        falls.then_some(BY_CHANCE[which])
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Down {
    #[default]
    No,
    Yes,
}

impl Faults {
    /// Lets `fault` befall the next call of this kind at any account. Several queue up.
    pub fn next(&self, call: Call, fault: FaultKind) -> &Self {
        self.lock().queue.push_back((None, call, fault));
        self
    }

    /// Lets `fault` befall the next call of this kind at one account.
    pub fn next_at(&self, account: &str, call: Call, fault: FaultKind) -> &Self {
        self.lock()
            .queue
            .push_back((Some(account.to_owned()), call, fault));
        self
    }

    /// From now on lets a fault befall so many of a thousand calls of any kind, but those that [`Faults::next`] names:
    /// a call or an answer that is lost or cut short, a 500 before or after the work, a 429, no connection. Which ones
    /// follows from `seed`.
    pub fn by_chance(&self, seed: u64, per_thousand: u32) -> &Self {
        self.lock().chance = Some(Chance {
            seed,
            per_thousand,
            calls: 0,
        });
        self
    }

    /// From now on a look-up shows a payment or a refund only when it is this old.
    pub fn stale_reads(&self, lag: Duration) -> &Self {
        self.lock().stale_for = lag;
        self
    }

    /// How many faults haven't befallen a call yet.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// Forgets them all: nothing befalls any call, by chance neither, and look-ups are fresh.
    pub fn clear(&self) {
        let mut script = self.lock();
        script.queue.clear();
        script.chance = None;
        script.stale_for = Duration::ZERO;
    }

    pub(crate) fn set_down(&self, down: Down) {
        self.lock().down = down;
    }

    pub(crate) fn down(&self) -> Down {
        self.lock().down
    }

    pub(crate) fn staleness(&self) -> Duration {
        self.lock().stale_for
    }

    pub(crate) fn take(&self, account: &str, call: Call) -> Option<FaultKind> {
        let mut script = self.lock();
        let meant = |(at, of, _): &(Option<String>, Call, FaultKind)| {
            *of == call && at.as_deref().is_none_or(|at| at == account)
        };
        match script.queue.iter().position(meant) {
            Some(at) => script.queue.remove(at).map(|(.., fault)| fault),
            None => script.chance.as_mut().and_then(Chance::draw),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
