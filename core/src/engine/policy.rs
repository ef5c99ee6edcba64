//! What the host may choose about time and money.

use std::time::Duration;

use crate::intent::OnLateSuccess;

/// The host's choices. The defaults are the careful ones.
#[derive(Clone, Debug)]
#[must_use]
pub struct Policy {
    pub(crate) cap_minor: i64,
    pub(crate) call_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) review_after: Duration,
    pub(crate) cascade_within: Duration,
    pub(crate) max_attempts: usize,
    pub(crate) on_late_success: OnLateSuccess,
    pub(crate) on_late_payment: OnLatePayment,
    pub(crate) partial_authorization: PartialAuthorization,
    pub(crate) key_margin: Duration,
    pub(crate) recheck: Duration,
    pub(crate) recheck_at_most: Duration,
    pub(crate) sync_every: Duration,
    pub(crate) idle: Duration,
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

impl Default for Policy {
    fn default() -> Self {
        Self {
            cap_minor: 999_999_999_999,
            call_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(15),
            review_after: Duration::from_secs(24 * 3_600),
            cascade_within: Duration::from_secs(15 * 60),
            max_attempts: 5,
            on_late_success: OnLateSuccess::Reverse,
            on_late_payment: OnLatePayment::HandOver,
            partial_authorization: PartialAuthorization::Void,
            key_margin: Duration::from_secs(600),
            recheck: Duration::from_secs(5),
            recheck_at_most: Duration::from_secs(3_600),
            sync_every: Duration::from_secs(60),
            idle: Duration::from_millis(500),
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

    /// The most that one payment may be, in minor units: 10^12 − 1 without this.
    pub fn cap_minor(mut self, minor: i64) -> Self {
        self.cap_minor = minor;
        self
    }

    /// For how long a processor's answer is waited for, by the monotonic clock: 30 s without this.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How long after the call's time-out another worker may take an operation over: 15 s without this.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
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

    /// How many attempts a payment may have, those proved not executed not counted: 5 without this.
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

    /// How soon an unknown outcome is looked into again; the pause doubles up to an hour. 5 s without this.
    pub fn recheck(mut self, pause: Duration) -> Self {
        self.recheck = pause;
        self
    }

    /// How often a pending payment is asked about: every minute without this.
    pub fn sync_every(mut self, pause: Duration) -> Self {
        self.sync_every = pause;
        self
    }

    /// How long a worker without work waits: 500 ms without this.
    pub fn idle(mut self, pause: Duration) -> Self {
        self.idle = pause;
        self
    }
}
