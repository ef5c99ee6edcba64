//! What is known of an attempt only grows: the join of everything that a processor has said of it.

use std::borrow::Cow;

use super::news::Reading;
use super::state::{Attempt, Intent, Known, Mark, OperationKind, OperationRecord, Waiting};
use crate::action::{ActionKind, AfterDecline, KeptAction};
use crate::connector::{Approval, AuthorizeReport, Standing};
use crate::money::Money;
use crate::time::Timestamp;

/// Whether captures of an attempt were asked for, apart from its authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captures {
    NoneAsked,
    Asked,
}

impl Known {
    /// What is left of the money that was taken: neither failed, nor given back, nor taken back.
    pub(crate) fn unreturned(&self) -> i64 {
        [self.failed_minor, self.refunded_minor, self.returned_minor]
            .into_iter()
            .fold(self.captured_minor, i64::saturating_sub)
    }

    /// Whether the authorization lives on after captures that failed: what was taken or released before is held again.
    pub(crate) fn held_again(&self) -> bool {
        self.held_failed_minor > self.ended_failed_minor
    }

    /// Whether what was held and not taken has gone back, or lapsed.
    pub(crate) fn is_released(&self) -> bool {
        self.released.is_set() && !self.held_again()
    }

    /// Nothing more is held now, after all that failed so far.
    pub(super) fn end_hold(&mut self) {
        self.ended_failed_minor = self.ended_failed_minor.max(self.failed_minor);
    }

    /// Adds what a processor says of a payment. Join: whatever the order, the same is known in the end.
    pub(super) fn join(
        &mut self,
        standing: &Standing,
        attempt: &Attempt,
        captures: Captures,
        reading: Reading,
        at: Timestamp,
    ) {
        let asked = attempt.amount.minor();
        let minor = |money: Option<Money>| money.map_or(0, Money::minor);
        if let Some(handle) = standing.report.handle() {
            self.handle.get_or_insert_with(|| handle.clone());
        }
        match &standing.report {
            AuthorizeReport::Authorized(approval) => {
                self.hold(approval, standing.authorized.map_or(asked, Money::minor));
                self.held_failed_minor = self.held_failed_minor.max(minor(standing.failed));
            }
            AuthorizeReport::PartiallyAuthorized(approval, part) => {
                self.hold(approval, part.minor());
                self.held_failed_minor = self.held_failed_minor.max(minor(standing.failed));
            }
            AuthorizeReport::Captured(approval) => self.take(approval, attempt, captures, standing),
            AuthorizeReport::Settled(approval) => {
                self.take(approval, attempt, captures, standing);
                self.settled = Mark::Set;
            }
            AuthorizeReport::Verified(approval) => {
                self.approve(approval);
                self.settled = Mark::Set;
            }
            AuthorizeReport::ActionNeeded(_, action, _) => {
                self.acted = Mark::Set;
                match action.kept.after_decline {
                    AfterDecline::Open => self.open_after_decline = Mark::Set,
                    AfterDecline::Ended => {}
                }
                self.wait(Waiting {
                    at,
                    action: Some(action.kept.clone()),
                });
            }
            AuthorizeReport::Pending(..) => self.wait(Waiting { at, action: None }),
            AuthorizeReport::Declined(decline) => {
                // One decline is kept whatever the order: the one that sorts first.
                if self
                    .declined
                    .as_ref()
                    .is_none_or(|known| decline.rank() < known.rank())
                {
                    self.declined = Some(decline.clone());
                }
            }
            AuthorizeReport::Voided(..) => {
                self.closed = Mark::Set;
                // Closed, and nothing of it is taken: what was taken before was voided.
                if standing.captured.is_some_and(|taken| taken.minor() == 0) {
                    self.voided = Mark::Set;
                }
            }
            AuthorizeReport::Unexecuted(_) => {}
        }
        self.authorized_minor = self.authorized_minor.max(minor(standing.authorized));
        self.captured_minor = self.captured_minor.max(minor(standing.captured));
        self.failed_minor = self.failed_minor.max(minor(standing.failed));
        if let Some(refunded) = standing.refunded {
            self.see_refunded(refunded.minor(), reading);
        }
        self.returned_minor = self.returned_minor.max(minor(standing.returned));
    }

    /// What is given back in all shrinks only where a refund of ours fails: a read of a later epoch says more than those
    /// before it.
    fn see_refunded(&mut self, minor: i64, reading: Reading) {
        match reading {
            Reading::Read { refund_epoch } => {
                let (seen, known) = ((refund_epoch, minor), (self.refund_epoch, self.refunded_minor));
                (self.refund_epoch, self.refunded_minor) = seen.max(known);
            }
            // It may be older than what is known: the more counts, until it is asked about.
            Reading::Answer | Reading::Told => {
                if minor > self.refunded_minor {
                    (self.refund_epoch, self.refunded_minor) = (0, minor);
                }
            }
        }
    }

    fn hold(&mut self, approval: &Approval, minor: i64) {
        self.authorized = Mark::Set;
        self.authorized_minor = self.authorized_minor.max(minor);
        self.approve(approval);
    }

    /// Money was taken. Where the processor doesn't say how much, it is all of a payment of which no capture was asked
    /// for, and nothing more than is known where one was: which part was taken is never guessed.
    fn take(&mut self, approval: &Approval, attempt: &Attempt, captures: Captures, standing: &Standing) {
        let total = match (standing.captured, captures) {
            (Some(total), _) => total.minor(),
            (None, Captures::NoneAsked) => attempt.amount.minor(),
            (None, Captures::Asked) => self.captured_minor,
        };
        self.hold(approval, standing.authorized.map_or(total, Money::minor));
        self.captured = Mark::Set;
        let failed = standing.failed.map_or(0, Money::minor);
        self.ended_failed_minor = self.ended_failed_minor.max(failed);
        self.captured_minor = self.captured_minor.max(total);
        // What is called captured, with how much, isn't held any more beyond that.
        if standing.captured.is_some() {
            self.released = Mark::Set;
        }
    }

    pub(super) fn approve(&mut self, approval: &Approval) {
        let granted = &approval.granted;
        self.granted.multicapture = self.granted.multicapture.max(granted.multicapture);
        self.granted.incremental = self.granted.incremental.max(granted.incremental);
        self.granted.capturable_max = self.granted.capturable_max.max(granted.capturable_max);
        self.granted.capture_before = self.granted.capture_before.max(granted.capture_before);
        first_of(&mut self.network_transaction_id, &approval.network_transaction_id);
        first_of(&mut self.three_ds, &approval.three_ds);
    }

    fn wait(&mut self, news: Waiting) {
        // Of two at one time an action is later than none, and a challenge later than its fingerprint.
        let step = |action: &KeptAction| (action.kind != ActionKind::ThreeDsFingerprint, action.expires_at);
        let order = |waiting: &Waiting| (waiting.at, waiting.action.as_ref().map(step));
        if self
            .waiting
            .as_ref()
            .is_none_or(|known| order(known) < order(&news))
        {
            self.waiting = Some(news);
        }
    }
}

/// Whether what a report repeats is what was sent for this attempt, or what it was asked to be raised to.
pub(crate) fn speaks_of(
    attempt: &Attempt,
    state: &Intent,
    report: &AuthorizeReport,
) -> Result<(), Cow<'static, str>> {
    let Some(echo) = report.repeats() else {
        return Ok(());
    };
    let amounts: Vec<_> = match report.echo() {
        Some(_) => std::iter::once(attempt.amount)
            .chain(raises(attempt, state))
            .collect(),
        // A part names its own amount.
        None => Vec::new(),
    };
    echo.check(&amounts, &attempt.operation.reference())
}

/// What an attempt was asked to be raised to.
fn raises(attempt: &Attempt, state: &Intent) -> impl Iterator<Item = Money> {
    let of_this = |operation: &&OperationRecord| {
        operation.attempt == attempt.id && operation.kind == OperationKind::Increment
    };
    state
        .operations
        .iter()
        .filter(of_this)
        .map(|operation| operation.amount)
}

/// No total is as much, so that a few of them can be added.
const ABSURD: i64 = i64::MAX / 64;

/// Whether the amounts can be those of this attempt: its currency, and not more than it asked for or was granted.
pub(super) fn plausible(attempt: &Attempt, state: &Intent, standing: &Standing) -> bool {
    let currency = attempt.amount.currency();
    let asked = raises(attempt, state)
        .map(Money::minor)
        .max()
        .unwrap_or(0)
        .max(attempt.amount.minor());
    let most = asked
        .max(attempt.known.granted.capturable_max.unwrap_or(0))
        .min(ABSURD);
    let part = match &standing.report {
        AuthorizeReport::PartiallyAuthorized(_, part) => Some(*part),
        AuthorizeReport::Authorized(_)
        | AuthorizeReport::Captured(_)
        | AuthorizeReport::Settled(_)
        | AuthorizeReport::Verified(_)
        | AuthorizeReport::ActionNeeded(..)
        | AuthorizeReport::Pending(..)
        | AuthorizeReport::Declined(_)
        | AuthorizeReport::Voided(..)
        | AuthorizeReport::Unexecuted(_) => None,
    };
    // What failed of what was taken may be taken again.
    let failed = standing
        .failed
        .map_or(0, Money::minor)
        .max(attempt.known.failed_minor);
    let net = standing
        .captured
        .map(|taken| Money::from_minor(taken.minor().saturating_sub(failed).max(0), taken.currency()));
    let amounts = [
        standing.authorized,
        net,
        // Of nothing asked nothing fails.
        standing.failed.map(|failed| match most {
            0 => failed,
            _some if !(0..=ABSURD).contains(&failed.minor()) => failed,
            _some => Money::zero(failed.currency()),
        }),
        standing.refunded,
        standing.returned,
        part,
    ];
    amounts
        .into_iter()
        .flatten()
        .all(|money| money.currency() == currency && (0..=most).contains(&money.minor()))
}

/// Of two words for the same thing one is kept whatever the order: the one that sorts first.
fn first_of<T: Ord + Clone>(known: &mut Option<T>, news: &Option<T>) {
    if let Some(news) = news
        && known.as_ref().is_none_or(|known| news < known)
    {
        *known = Some(news.clone());
    }
}
