//! What is known of a payment: the intent with its attempts, captures and operations, one row, one version.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::details::{CaptureMethod, Challenge, Granted, IntentDetails, IntentMode, Rest, ThreeDs};
use super::status::{AttemptStatus, CaptureStatus, IntentStatus, OperationStatus};
use crate::action::KeptAction;
use crate::connector::{Contradiction, Doubt, Handle, NotExecuted, SuccessOn};
use crate::decline::Decline;
use crate::id::{AccountRef, AttemptId, CaptureId, OperationId, PaymentIntentId, RefundId, SessionId};
use crate::method::PaymentMethod;
use crate::money::Money;
use crate::routing::{KeptExplanation, Plan};
use crate::time::Timestamp;

/// The whole state of an intent, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Intent {
    pub(crate) id: PaymentIntentId,
    pub(crate) mode: IntentMode,
    pub(crate) amount: Money,
    pub(crate) capture_method: CaptureMethod,
    pub(crate) status: IntentStatus,
    pub(crate) details: Arc<IntentDetails>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scheduled_for: Option<Timestamp>,
    /// The method to use when a scheduled payment is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scheduled_method: Option<PaymentMethod>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) totals: Totals,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) captures: Vec<CaptureRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) operations: Vec<OperationRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open_op: Option<OpenOp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) winner: Option<AttemptId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_decline: Option<Decline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<NotExecuted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<PlanRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) review: Option<Review>,
    /// That the host's risk check still has to look at the authorization.
    #[serde(default, skip_serializing_if = "RiskAfter::is_settled")]
    pub(crate) risk_after: RiskAfter,
    /// What each refund holds back or has given, so that news of one is counted once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) refunds: BTreeMap<RefundId, RefundShare>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// An intent's counters, in minor units of its currency. They are the winner's alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Totals {
    /// Held.
    pub authorized: i64,
    /// The most that may be captured.
    pub capturable_max: i64,
    /// Taken.
    pub captured: i64,
    /// Asked to be taken.
    pub capture_pending: i64,
    /// Given back.
    pub refunded: i64,
    /// Asked to be given back.
    pub refund_pending: i64,
    /// Taken back by the payer's bank.
    pub returned: i64,
    /// Withheld for a dispute.
    pub disputed: i64,
}

impl Totals {
    /// What may still be captured.
    pub fn capturable(&self) -> i64 {
        [self.captured, self.capture_pending]
            .into_iter()
            .fold(self.capturable_max, i64::saturating_sub)
            .max(0)
    }

    /// What may still be refunded.
    pub fn refundable(&self) -> i64 {
        [self.refunded, self.refund_pending, self.returned, self.disputed]
            .into_iter()
            .fold(self.captured, i64::saturating_sub)
            .max(0)
    }
}

/// One attempt at one account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) account: AccountRef,
    pub(crate) method: PaymentMethod,
    pub(crate) amount: Money,
    /// When this attempt takes the money: a risk check after authorization makes it later than the intent's.
    pub(crate) capture_method: CaptureMethod,
    pub(crate) challenge: Challenge,
    pub(crate) success_on: SuccessOn,
    /// The operation that opened it: its reference is what the processor knows the payment by.
    pub(crate) operation: OperationId,
    pub(crate) opened_at: Timestamp,
    pub(crate) status: AttemptStatus,
    pub(crate) known: Known,
    #[serde(default, skip_serializing_if = "Closure::is_open")]
    pub(crate) closure: Closure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compensation: Option<Compensation>,
}

/// What is known of an attempt. Each field only ever grows, so that news gives the same in every order; the attempt's
/// status is read off it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Known {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<Handle>,
    /// The latest of the news that decides nothing, and when it was true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
    /// The payer was asked to act once.
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) acted: Mark,
    /// The payer was given what a decline doesn't end ([`Action::open_after_decline`](crate::Action)).
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) open_after_decline: Mark,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_executed: Option<NotExecuted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) declined: Option<Decline>,
    /// The processor says that it is closed: cancelled, or voided where something was held.
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) closed: Mark,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) authorized: Mark,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) captured: Mark,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) settled: Mark,
    /// A void after capture is done.
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) voided: Mark,
    /// What was held and not taken has gone back, or lapsed.
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) released: Mark,
    /// The most that was seen held in all, in minor units.
    pub(crate) authorized_minor: i64,
    /// The most that was seen taken in all.
    pub(crate) captured_minor: i64,
    /// The most that was seen to have failed of what was taken.
    pub(crate) failed_minor: i64,
    /// The most that had failed of what was taken when the rest was seen held.
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) held_failed_minor: i64,
    /// The most that had failed of what was taken when nothing more was seen held.
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) ended_failed_minor: i64,
    /// The most that was seen given back in all, by the reads that knew of the most failures of our refunds.
    pub(crate) refunded_minor: i64,
    /// The epoch in which that was asked for ([`Intent::refund_epoch`]): 0 where it was told unasked.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) refund_epoch: u32,
    /// The most that was seen taken back by the payer's bank in all.
    pub(crate) returned_minor: i64,
    pub(crate) granted: Granted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) three_ds: Option<ThreeDs>,
}

fn is_unset(mark: &Mark) -> bool {
    *mark == Mark::Unset
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Whether something was ever seen to be so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mark {
    /// Not yet.
    #[default]
    Unset,
    /// It was.
    Set,
}

impl Mark {
    pub(crate) fn is_set(self) -> bool {
        self == Self::Set
    }
}

/// News that decides nothing: the later one holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiting {
    pub(crate) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<KeptAction>,
}

/// What a person, or a later attempt, made of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Closure {
    /// Nothing.
    #[default]
    Open,
    /// The host went on while the payer could still act: a success is compensated if it comes second.
    Superseded,
    /// A person gave it up while its outcome was unknown: a success is compensated.
    Abandoned,
}

impl Closure {
    pub(crate) fn is_open(&self) -> bool {
        *self == Self::Open
    }
}

/// The giving back of money that no intent wants: a lock of its own on the intent's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compensation {
    pub(crate) reason: CompensationReason,
    pub(crate) status: CompensationStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open_op: Option<OpenOp>,
}

/// Why an attempt's money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompensationReason {
    /// Another attempt has won.
    DuplicateCharge,
    /// The intent had ended.
    LateSuccess,
}

/// How far a compensation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompensationStatus {
    /// To be done, or under way.
    Wanted,
    /// Accepted; the answer comes later.
    Pending,
    /// Done.
    Done,
    /// Refused: a person has to look.
    Failed,
    /// The policy leaves it to the host.
    LeftToHost,
}

/// One capture.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRecord {
    pub(crate) id: CaptureId,
    pub(crate) attempt: AttemptId,
    pub(crate) amount: Money,
    pub(crate) rest: Rest,
    pub(crate) status: CaptureStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) handle: Option<Handle>,
    /// What refunds have taken or hold of it, in minor units.
    #[serde(default)]
    pub(crate) refunded: i64,
    /// Absent where the capture came with the authorization or from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<OperationId>,
}

/// One operation at a processor, for as long as the intent lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationRecord {
    pub(crate) id: OperationId,
    pub(crate) kind: OperationKind,
    pub(crate) attempt: AttemptId,
    pub(crate) amount: Money,
    pub(crate) status: OperationStatus,
    pub(crate) opened_at: Timestamp,
    /// What [`OpenOp`] says of these: an operation that was accepted is answered after its lock is gone.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub(crate) baseline: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<Ended>,
}

fn is_nothing(minor: &i64) -> bool {
    *minor == 0
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// An authorization, or a sale.
    Authorize,
    /// To hand over what the payer brought back.
    Complete,
    /// Money that is held.
    Capture,
    /// More to be held.
    Increment,
    /// To give up what is held.
    Void,
    /// To give up what is held and not captured.
    Release,
    /// To stop what isn't authorized yet.
    Cancel,
    /// To void an attempt that nobody wants.
    CompensateVoid,
    /// To refund an attempt that nobody wants.
    CompensateRefund,
    /// To give captured money back.
    Refund,
}

impl OperationKind {
    /// The stable word for this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Complete => "complete",
            Self::Capture => "capture",
            Self::Increment => "increment",
            Self::Void => "void",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::CompensateVoid => "compensate_void",
            Self::CompensateRefund => "compensate_refund",
            Self::Refund => "refund",
        }
    }
}

/// The operation that is open: a lock without expiry. A lease says only which worker may drive it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenOp {
    pub(crate) id: OperationId,
    pub(crate) kind: OperationKind,
    pub(crate) account: AccountRef,
    pub(crate) attempt: AttemptId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureId>,
    pub(crate) amount: Money,
    pub(crate) rest: Rest,
    /// What the processor had been seen to have done of this kind before, in minor units: a read shows the effect
    /// when it shows that much more.
    pub(crate) baseline: i64,
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) stage: OpStage,
    /// Where the verb's idempotency record is, which the outcome completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idempotency: Option<KeyUse>,
    pub(crate) opened_at: Timestamp,
    /// How the intent ends once a cancel is done; without it the attempt alone is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<Ended>,
}

/// Which idempotency record a verb's outcome completes, and what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyUse {
    pub(crate) name: String,
    pub(crate) fingerprint: String,
}

/// One step of an open operation, as it was first built.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepRecord {
    pub(crate) step: Cow<'static, str>,
    /// SHA-256 of method, URL and body; another hash, after an upgrade, means no resend.
    pub(crate) hash: String,
    /// What couldn't be kept, so that the step is never sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) volatile: Option<Cow<'static, str>>,
}

/// How an open operation stands. Both hold the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpStage {
    /// Written, and perhaps sent: whoever holds the lease is at it, or died.
    Prepared,
    /// The call's outcome is unknown.
    Unknown {
        /// Since when.
        since: Timestamp,
        /// Why, and how far it got.
        doubt: Doubt,
    },
}

impl OpenOp {
    /// Since when its outcome is in doubt.
    pub(crate) fn doubtful_since(&self) -> Timestamp {
        match &self.stage {
            OpStage::Prepared => self.opened_at,
            OpStage::Unknown { since, .. } => *since,
        }
    }

    /// Why its outcome is in doubt, if it is.
    pub(crate) fn doubt(&self) -> Option<&Doubt> {
        match &self.stage {
            OpStage::Prepared => None,
            OpStage::Unknown { doubt, .. } => Some(doubt),
        }
    }

    /// Whether another doubt adds nothing to the one that is known: only a contradiction does.
    pub(crate) fn knows(&self, doubt: &Doubt) -> bool {
        self.doubt().is_some_and(|known| {
            known.contradicts == Contradiction::Echo || doubt.contradicts == Contradiction::None
        })
    }

    /// Whether an answer contradicted what was sent: then it is read, never resent.
    pub(crate) fn contradicted(&self) -> bool {
        self.doubt()
            .is_some_and(|doubt| doubt.contradicts == Contradiction::Echo)
    }
}

/// Why an intent ended without a winner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The host cancelled it.
    #[serde(alias = "canceled")]
    Cancelled,
    /// Its time was up.
    Expired,
    /// Declined, with no attempts left.
    Declined,
    /// The host's risk check refused.
    Forbidden,
}

impl Ended {
    pub(crate) fn status(self) -> IntentStatus {
        match self {
            Self::Cancelled | Self::Expired => IntentStatus::Cancelled,
            Self::Declined | Self::Forbidden => IntentStatus::Failed,
        }
    }
}

/// The routing decision of a confirmation, and how much of it is used up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanRecord {
    pub(crate) accounts: Vec<PlannedAccount>,
    pub(crate) left_out: Vec<PlannedAccount>,
    pub(crate) next: usize,
    pub(crate) decided_at: Timestamp,
    /// Why; of a payment that an older release routed, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<KeptExplanation>,
}

impl PlanRecord {
    pub(crate) fn into_plan(self) -> Plan {
        Plan {
            accounts: self.accounts,
            blocked: None,
            explanation: self.explanation.and_then(|why| why.get().cloned().map(Box::new)),
        }
    }
}

/// An account in a routing decision, and why it is there or was left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedAccount {
    /// The account.
    pub account: AccountRef,
    /// Why.
    pub reason: String,
}

/// Whether the host's risk check has to look at an authorization before its capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RiskAfter {
    /// It needn't, or has.
    #[default]
    Settled,
    /// It has to.
    Wanted,
}

impl RiskAfter {
    pub(crate) fn is_settled(&self) -> bool {
        *self == Self::Settled
    }
}

/// Why a person has to look at an intent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Review {
    pub(crate) reason: ReviewReason,
    pub(crate) since: Timestamp,
}

/// The reasons for a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReviewReason {
    /// An answer, a read or a webhook speaks of another amount, currency or reference than was sent.
    AmountMismatch,
    /// News contradicts news.
    Contradiction,
    /// An outcome has been unknown for longer than the policy waits.
    UnknownTooLong,
    /// Money that nobody wants couldn't be given back.
    CompensationFailed,
    /// Money came after the end, and the policy asks the host.
    LateSuccess,
    /// The host's risk check holds it.
    RiskHold,
    /// Less was authorized than asked, and it couldn't be given back.
    PartialAuthorization,
    /// The account of an open operation isn't registered any more.
    NoConnector,
    /// The time of an authorization is up, and its account doesn't say what became of it.
    AuthorizationLapsed,
}

/// What one refund holds back or has given, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RefundShare {
    pub(crate) pending: i64,
    pub(crate) refunded: i64,
    /// How many of its parts the processor stopped or failed: what it counted as given back may have shrunk with each.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) failures: u32,
    /// When the last of them was learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_at: Option<Timestamp>,
}

impl Intent {
    /// Whether the host's check holds it until a person has looked.
    pub(crate) fn is_held(&self) -> bool {
        let reason = self.review.as_ref().map(|review| review.reason);
        reason == Some(ReviewReason::RiskHold)
    }

    /// Whether what is held may go back before it pays for anything: the host's check or a person has to let it pass
    /// yet, or a void of it is on its way.
    pub(crate) fn may_go_back(&self) -> bool {
        let reviewed = match self.review.as_ref().map(|review| review.reason) {
            Some(ReviewReason::RiskHold | ReviewReason::PartialAuthorization) => true,
            Some(
                ReviewReason::AmountMismatch
                | ReviewReason::Contradiction
                | ReviewReason::UnknownTooLong
                | ReviewReason::CompensationFailed
                | ReviewReason::LateSuccess
                | ReviewReason::NoConnector
                | ReviewReason::AuthorizationLapsed,
            )
            | None => false,
        };
        let voiding = |operation: &OperationRecord| match operation.status {
            OperationStatus::Prepared
            | OperationStatus::Unknown
            | OperationStatus::Pending
            | OperationStatus::Abandoned => operation.kind == OperationKind::Void,
            OperationStatus::Done | OperationStatus::Declined | OperationStatus::NotExecuted => false,
        };
        reviewed || !self.risk_after.is_settled() || self.operations.iter().any(voiding)
    }

    pub(crate) fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }

    pub(crate) fn attempt_mut(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.id == id)
    }

    /// The attempt that money is expected of: the winner, else the last.
    pub(crate) fn current(&self) -> Option<&Attempt> {
        match self.winner {
            Some(winner) => self.attempt(winner),
            None => self.attempts.last(),
        }
    }

    /// The attempt that may still charge, if there is one.
    pub(crate) fn live_attempt(&self) -> Option<&Attempt> {
        self.attempts
            .iter()
            .find(|attempt| attempt.closure.is_open() && attempt.status.is_live())
    }

    /// The open operation of that identifier, on either lock.
    pub(crate) fn lock(&self, id: OperationId) -> Option<&OpenOp> {
        let compensations = self
            .attempts
            .iter()
            .filter_map(|attempt| attempt.compensation.as_ref()?.open_op.as_ref());
        self.open_op
            .iter()
            .chain(compensations)
            .find(|open| open.id == id)
    }

    /// How many failures of refunds of that attempt are known: they are the winner's alone.
    pub(crate) fn refund_failures(&self, attempt: AttemptId) -> u32 {
        match self.winner == Some(attempt) {
            true => self.refunds.values().map(|share| share.failures).sum(),
            false => 0,
        }
    }

    /// Reads of a later epoch say more about what is given back in all, which shrinks only where a refund of ours
    /// fails: each failure begins one, and another begins when reads that were asked for after it have settled.
    pub(crate) fn refund_epoch(&self, attempt: AttemptId, now: Timestamp, quiet: Duration) -> u32 {
        let last = self.refunds.values().filter_map(|share| share.failed_at).max();
        let settled = last.is_some_and(|at| now >= at.after(quiet));
        match self.refund_failures(attempt) {
            0 => 0,
            failures => 2 * failures - u32::from(!settled),
        }
    }

    /// Whether more was seen given back than our refunds gave, before one of them was known to have failed or by a
    /// read that may have lagged: it counts as given back until the payment is read again.
    pub(crate) fn refunded_is_stale(&self) -> bool {
        let ours: i64 = self.refunds.values().map(|share| share.refunded).sum();
        let winner = self.winner.and_then(|winner| self.attempt(winner));
        winner.is_some_and(|winner| {
            winner.known.refunded_minor > ours
                && winner.known.refund_epoch < 2 * self.refund_failures(winner.id)
        })
    }

    pub(crate) fn operation(&self, id: OperationId) -> Option<&OperationRecord> {
        self.operations.iter().find(|operation| operation.id == id)
    }

    /// An operation that was accepted and has no answer yet.
    pub(crate) fn pending_operation(&self, kinds: &[OperationKind]) -> Option<&OperationRecord> {
        self.operations
            .iter()
            .find(|operation| operation.status == OperationStatus::Pending && kinds.contains(&operation.kind))
    }

    pub(crate) fn money(&self, minor: i64) -> Money {
        Money::from_minor(minor, self.amount.currency())
    }
}
