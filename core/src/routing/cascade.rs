//! When a payment goes on to another account by itself, and to which.

use super::rule::Target;
use crate::decline::DeclineCode;
use crate::id::AccountRef;
use crate::intent::{Attempt, AttemptStatus};

/// Which decline may be followed by which account. Whatever it says, a payment goes on only after an attempt of which it is
/// proved that nothing was executed, or after a soft decline; in the order of its plan; and within the policy's
/// [`max_attempts`](crate::Policy::max_attempts) and [`cascade_within`](crate::Policy::cascade_within).
///
/// Without rows, every soft decline may be followed by every account of the plan. The first row that names a decline
/// holds for it.
///
/// ```
/// use paymux_core::DeclineCode;
/// use paymux_core::routing::CascadePolicy;
///
/// let cascade = CascadePolicy::new()
///     .stop_after([DeclineCode::InsufficientFunds])
///     .only_to([DeclineCode::IssuerUnavailable, DeclineCode::TryAgainLater], ["acme", "stripe/eu"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct CascadePolicy {
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    after: Vec<DeclineCode>,
    to: Vec<Target>,
}

impl CascadePolicy {
    /// Every soft decline may be followed by every account.
    pub fn new() -> Self {
        Self::default()
    }

    /// After these declines, only to these connectors (`stripe`) or accounts (`stripe/eu`).
    pub fn only_to<T: AsRef<str>>(
        mut self,
        after: impl IntoIterator<Item = DeclineCode>,
        targets: impl IntoIterator<Item = T>,
    ) -> Self {
        self.rows.push(Row {
            after: after.into_iter().collect(),
            to: targets
                .into_iter()
                .map(|target| Target::of(target.as_ref()))
                .collect(),
        });
        self
    }

    /// After these declines, to none: the payment waits for another method.
    pub fn stop_after(self, after: impl IntoIterator<Item = DeclineCode>) -> Self {
        self.only_to(after, [""; 0])
    }

    pub(crate) fn allows(&self, cause: Cause, account: &AccountRef) -> bool {
        match cause {
            Cause::NotExecuted => true,
            Cause::SoftDecline(code) => {
                let row = self.rows.iter().find(|row| row.after.contains(&code));
                row.is_none_or(|row| row.to.iter().any(|target| target.names(account)))
            }
        }
    }
}

/// Why a payment may go on to another account. There is no other reason, and no other way to make one than
/// [`Cause::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is proved that the attempt did nothing.
    NotExecuted,
    /// The issuer said no, may say yes elsewhere, and the card's network lets it be asked again at once.
    SoftDecline(DeclineCode),
}

impl Cause {
    pub(crate) fn of(attempt: &Attempt) -> Option<Self> {
        match attempt.status {
            AttemptStatus::NotExecuted => Some(Self::NotExecuted),
            AttemptStatus::Declined => {
                let declined = attempt.known.declined.as_ref()?;
                declined.may_cascade().then(|| Self::SoftDecline(declined.code()))
            }
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled
            | AttemptStatus::Voided
            | AttemptStatus::Failed => None,
        }
    }
}
