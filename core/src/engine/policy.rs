//! What the host may choose about time and money.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Fault, Result};
use crate::intent::OnLateSuccess;
use crate::money::{Currency, Money};
use crate::routing::CascadePolicy;

/// The host's choices. The defaults are the careful ones.
#[derive(Clone, Debug)]
#[must_use]
pub struct Policy {
    cap_minor: i64,
    caps: BTreeMap<Currency, i64>,
    pub(crate) call_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) review_after: Duration,
    pub(crate) cascade_within: Duration,
    pub(crate) max_attempts: usize,
    pub(crate) cascade: CascadePolicy,
    pub(crate) on_late_success: OnLateSuccess,
    pub(crate) on_late_payment: OnLatePayment,
    pub(crate) partial_authorization: PartialAuthorization,
    pub(crate) key_margin: Duration,
    pub(crate) recheck: Duration,
    pub(crate) recheck_at_most: Duration,
    pub(crate) sync_every: Duration,
    pub(crate) idle: Duration,
    pub(crate) jobs_at_once: u32,
    pub(crate) turn_within: Duration,
    pub(crate) key_life: KeyLife,
    pub(crate) body_ttl: Duration,
}

/// What to do where less was authorized than asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialAuthorization {
    /// Take it: the totals say how much it is.
    Accept,
    /// Give it back; the payment is declined.
    Void,
}

/// What to do with money that arrives for a session whose time was up. The session stays expired either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLatePayment {
    /// The host decides: the session says when the money came.
    HandOver,
    /// It goes back, by whichever verb fits.
    Refund,
}

/// For how long an [`IdempotencyKey`](crate::IdempotencyKey) stays bound to what it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLife {
    /// As long as that exists: a repetition never charges again, however late it comes.
    OfResource,
    /// So long after its result was kept.
    ///
    /// **The same request with the same key after that is a new one, and charges again**: no client may repeat a
    /// request, and no queue or backup may hold one, for as long. While an operation is open or its outcome unknown
    /// its key doesn't end. A payment that is merely pending, or waits for the payer, is a result.
    For(Duration),
}

impl KeyLife {
    /// 24 hours, as several processors keep keys. The warning of [`KeyLife::For`] holds.
    pub const ONE_DAY: Self = Self::For(Duration::from_secs(24 * 3_600));
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            cap_minor: HIGHEST_CAP,
            caps: BTreeMap::new(),
            call_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(15),
            review_after: Duration::from_secs(24 * 3_600),
            cascade_within: Duration::from_secs(15 * 60),
            max_attempts: 5,
            cascade: CascadePolicy::new(),
            on_late_success: OnLateSuccess::Reverse,
            on_late_payment: OnLatePayment::HandOver,
            partial_authorization: PartialAuthorization::Void,
            key_margin: Duration::from_secs(600),
            recheck: Duration::from_secs(5),
            recheck_at_most: Duration::from_secs(3_600),
            sync_every: Duration::from_secs(60),
            idle: Duration::from_millis(500),
            jobs_at_once: 16,
            turn_within: Duration::from_secs(5),
            key_life: KeyLife::OfResource,
            body_ttl: Duration::from_secs(24 * 3_600),
        }
    }
}

impl Policy {
    /// The careful defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// An unknown outcome is looked into right after it was written.
    pub(crate) fn first_recheck(&self) -> Duration {
        Duration::ZERO
    }

    /// For how long a job is a worker's alone, counted from its claim or from its renewal before a call: the call, its
    /// turn included, ends before it.
    pub(crate) fn lease(&self) -> Duration {
        self.call_timeout + self.grace
    }

    /// The most that one payment may be in a currency.
    pub(crate) fn cap_in(&self, currency: Currency) -> i64 {
        self.caps.get(&currency).copied().unwrap_or(self.cap_minor)
    }

    /// Checks what was chosen.
    ///
    /// # Errors
    /// All faults at once.
    pub(crate) fn check(&self) -> Result<()> {
        let caps = self.caps.values().copied();
        let no_cap = |minor: i64| !(1..=HIGHEST_CAP).contains(&minor);
        let checks = [
            (
                "cap_minor",
                no_cap(self.cap_minor),
                "use 1 to 999,999,999,999 minor units",
            ),
            (
                "cap",
                caps.into_iter().any(no_cap),
                "use 1 to 999,999,999,999 minor units",
            ),
            (
                "call_timeout",
                self.call_timeout.is_zero(),
                "give a processor some seconds to answer",
            ),
            ("max_attempts", self.max_attempts == 0, "allow at least 1"),
            (
                "recheck",
                self.recheck.is_zero() || self.recheck > self.recheck_at_most,
                "use a pause of more than nothing, and of at most an hour",
            ),
            (
                "sync_every",
                self.sync_every.is_zero(),
                "use a pause of more than nothing",
            ),
            ("idle", self.idle.is_zero(), "use a pause of more than nothing"),
        ];
        let faults: Vec<_> = checks
            .into_iter()
            .filter(|(_, wrong, _)| *wrong)
            .map(|(field, _, remedy)| Fault::new(format!("policy.{field}"), "out of range", remedy))
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::invalid_all(faults)),
        }
    }

    /// The most that one payment may be, in minor units of whichever currency: 10^12 − 1 without this, and no more
    /// than that.
    pub fn cap_minor(mut self, minor: i64) -> Self {
        self.cap_minor = minor;
        self
    }

    /// The most that one payment in this currency may be; it takes the place of [`Policy::cap_minor`] there. At most
    /// 10^12 − 1 minor units.
    pub fn cap(mut self, most: Money) -> Self {
        self.caps.insert(most.currency(), most.minor());
        self
    }

    /// For how long a processor's answer is waited for, by the monotonic clock: 30 s without this, and more than 0.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How long after the call's time-out another worker may take an operation over, which is how long the commit
    /// before a call may take: 15 s without this, and at least 1 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace.max(Duration::from_secs(1));
        self
    }

    /// After which time an unknown outcome goes to a person: 24 h without this.
    pub fn review_after(mut self, after: Duration) -> Self {
        self.review_after = after;
        self
    }

    /// For how long after its first attempt a payment may go on to another account by itself: 15 min without this.
    pub fn cascade_within(mut self, within: Duration) -> Self {
        self.cascade_within = within;
        self
    }

    /// Which decline may be followed by which account: every soft one by every account of the plan, without this.
    pub fn cascade(mut self, policy: CascadePolicy) -> Self {
        self.cascade = policy;
        self
    }

    /// How many attempts a payment may have, those proved not executed not counted: 5 without this, and at
    /// least 1. With those it may have ten times as many.
    pub fn max_attempts(mut self, most: usize) -> Self {
        self.max_attempts = most;
        self
    }

    /// What becomes of money that arrives when no payment wants it: it goes back, without this.
    pub fn on_late_success(mut self, what: OnLateSuccess) -> Self {
        self.on_late_success = what;
        self
    }

    /// What to do with money that arrives for an expired session: the host decides, without this.
    pub fn on_late_payment(mut self, what: OnLatePayment) -> Self {
        self.on_late_payment = what;
        self
    }

    /// What to do where less was authorized than asked: it goes back, without this.
    pub fn partial_authorization(mut self, what: PartialAuthorization) -> Self {
        self.partial_authorization = what;
        self
    }

    /// How long before the end of a processor's key window a step is no longer sent again: 10 min without this.
    pub fn key_margin(mut self, margin: Duration) -> Self {
        self.key_margin = margin;
        self
    }

    /// How soon an unknown outcome is looked into again; the pause doubles up to an hour. 5 s without this,
    /// more than 0 and at most an hour.
    pub fn recheck(mut self, pause: Duration) -> Self {
        self.recheck = pause;
        self
    }

    /// How often a pending payment is asked about: every minute without this, and more than 0.
    pub fn sync_every(mut self, pause: Duration) -> Self {
        self.sync_every = pause;
        self
    }

    /// How long a worker without work waits: 500 ms without this, and more than 0.
    pub fn idle(mut self, pause: Duration) -> Self {
        self.idle = pause;
        self
    }

    /// How many due jobs an instance works on at the same time: 16 without this, and at least 1. A worker claims no
    /// more than it begins at once, so that no lease runs out while a job waits in its hand.
    pub fn jobs_at_once(mut self, jobs: u32) -> Self {
        self.jobs_at_once = jobs.max(1);
        self
    }

    /// How long a call waits for its turn at an account that has a [`Pace`](crate::connector::Pace); it counts as
    /// part of the call's time-out. 5 s without this.
    pub fn turn_within(mut self, wait: Duration) -> Self {
        self.turn_within = wait;
        self
    }

    /// For how long a key stays bound to what it made: as long as that exists, without this. A key ends by the
    /// runtime's clock, whether or not [`Orchestrator::purge`](crate::Orchestrator::purge) has deleted its record;
    /// a change holds for the results kept from then on.
    pub fn key_life(mut self, life: KeyLife) -> Self {
        self.key_life = life;
        self
    }

    /// For how long a repetition gives the first result as it was stored: 24 h without this. Later it gives the
    /// resource as it stands; either is [`Replay::Replayed`](crate::Replay::Replayed).
    pub fn body_ttl(mut self, ttl: Duration) -> Self {
        self.body_ttl = ttl;
        self
    }
}

/// What an amount may be at most, whatever the host chooses.
const HIGHEST_CAP: i64 = 999_999_999_999;
