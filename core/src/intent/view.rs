//! What a host sees of an intent.

use std::sync::Arc;

use serde::Serialize;

use super::details::{CaptureMethod, Challenge, IntentDetails, IntentMode, Metadata, ThreeDs};
use super::state::{
    Attempt, CaptureRecord, CompensationStatus, Intent, OperationRecord, PlannedAccount, ReviewReason, Totals,
};
use super::status::{AttemptStatus, CaptureStatus, IntentStatus, OperationStatus};
use super::{Granted, OperationKind};
use crate::action::ActionKind;
use crate::connector::NotExecuted;
use crate::decline::Decline;
use crate::id::{AccountRef, AttemptId, CaptureId, CustomerId, OperationId, PaymentIntentId, SessionId};
use crate::method::MethodKind;
use crate::money::Money;
use crate::routing::Explanation;
use crate::time::Timestamp;

/// A payment intent as it stood when it was read: a snapshot, without setters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentIntent {
    pub(crate) state: Arc<Intent>,
    pub(crate) version: u64,
}

impl PaymentIntent {
    /// Its identifier.
    pub fn id(&self) -> &PaymentIntentId {
        &self.state.id
    }

    /// Where it stands. Never failed while an outcome is unknown.
    pub fn status(&self) -> IntentStatus {
        self.state.status
    }

    /// What it is to achieve.
    pub fn mode(&self) -> IntentMode {
        self.state.mode
    }

    /// How much is to be paid.
    pub fn amount(&self) -> Money {
        self.state.amount
    }

    /// When the money is taken.
    pub fn capture_method(&self) -> CaptureMethod {
        self.state.capture_method
    }

    /// Its counters.
    pub fn totals(&self) -> &Totals {
        &self.state.totals
    }

    /// What may still be captured.
    pub fn capturable(&self) -> Money {
        self.state.money(self.state.totals.capturable())
    }

    /// What may still be refunded.
    pub fn refundable(&self) -> Money {
        self.state.money(self.state.totals.refundable())
    }

    /// Its attempts, the first first.
    pub fn attempts(&self) -> &[Attempt] {
        &self.state.attempts
    }

    /// Its captures, the first first.
    pub fn captures(&self) -> &[CaptureRecord] {
        &self.state.captures
    }

    /// Its operations at processors, the first first.
    pub fn operations(&self) -> &[OperationRecord] {
        &self.state.operations
    }

    /// What it is for and who pays.
    pub fn details(&self) -> &IntentDetails {
        &self.state.details
    }

    /// The host's pairs.
    pub fn metadata(&self) -> &Metadata {
        &self.state.details.metadata
    }

    /// The host's customer.
    pub fn customer(&self) -> Option<&CustomerId> {
        self.state.details.customer.as_ref()
    }

    /// The session that it pays.
    pub fn session(&self) -> Option<&SessionId> {
        self.state.session.as_ref()
    }

    /// The last decline, unless a later attempt succeeded.
    pub fn last_decline(&self) -> Option<&Decline> {
        self.state.last_decline.as_ref()
    }

    /// The proof that the last confirmation executed nothing, if that is how it ended.
    pub fn last_failure(&self) -> Option<&NotExecuted> {
        self.state.last_failure.as_ref()
    }

    /// What the payer has to do, if anything. The outcome of a verb, and `Payments::next_action`, give one that can
    /// be shown to the payer.
    pub fn action_kind(&self) -> Option<ActionKind> {
        match self.state.status {
            IntentStatus::RequiresAction => {
                let waiting = self.state.live_attempt()?.known.waiting.as_ref()?;
                waiting.action.as_ref().map(|action| action.kind)
            }
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Captured
            | IntentStatus::Succeeded
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed => None,
        }
    }

    /// The operation whose outcome isn't known, if there is one.
    pub fn unknown_operation(&self) -> Option<OperationId> {
        let unknown = |operation: &&OperationRecord| match operation.status {
            OperationStatus::Unknown | OperationStatus::Abandoned => true,
            OperationStatus::Prepared
            | OperationStatus::Pending
            | OperationStatus::Done
            | OperationStatus::Declined
            | OperationStatus::NotExecuted => false,
        };
        self.state
            .operations
            .iter()
            .find(unknown)
            .map(|operation| operation.id)
    }

    /// Why a person has to look at it, if so.
    pub fn review(&self) -> Option<ReviewReason> {
        self.state.review.as_ref().map(|review| review.reason)
    }

    /// The routing decision of the last confirmation: the accounts in order, each with its reason.
    pub fn route(&self) -> &[PlannedAccount] {
        self.state.plan.as_ref().map_or(&[], |plan| &plan.accounts)
    }

    /// Why the routing decision is what it is: what was known, whom it considered, and which rule matched. It prints for a
    /// person, and is serialized for the rest. `None`: nothing was decided yet, or a later release keeps its reasons in another
    /// form.
    pub fn routing(&self) -> Option<&Explanation> {
        self.state.plan.as_ref()?.explanation.as_ref()?.get()
    }

    /// The accounts that the routing decision left out, each with its reason.
    pub fn left_out(&self) -> &[PlannedAccount] {
        self.state.plan.as_ref().map_or(&[], |plan| &plan.left_out)
    }

    /// When the authorization lapses, where the processor says.
    pub fn capture_before(&self) -> Option<Timestamp> {
        self.state.current()?.known.granted.capture_before
    }

    /// When it is to be confirmed.
    pub fn scheduled_for(&self) -> Option<Timestamp> {
        self.state.scheduled_for
    }

    /// When it was made.
    pub fn created_at(&self) -> Timestamp {
        self.state.created_at
    }

    /// When it last changed.
    pub fn updated_at(&self) -> Timestamp {
        self.state.updated_at
    }

    /// How often it was written: `update` compares it.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Attempt {
    /// Its identifier.
    pub fn id(&self) -> &AttemptId {
        &self.id
    }

    /// The account that it was made at.
    pub fn account(&self) -> &AccountRef {
        &self.account
    }

    /// How the payer paid.
    pub fn method(&self) -> MethodKind {
        self.method.kind()
    }

    /// Where it stands.
    pub fn status(&self) -> AttemptStatus {
        self.status
    }

    /// How much it asked for.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// Whether it asked for a challenge.
    pub fn challenge(&self) -> Challenge {
        self.challenge
    }

    /// The processor's identifier, once it is known.
    pub fn handle(&self) -> Option<&str> {
        self.known.handle.as_ref().map(|handle| handle.as_str())
    }

    /// Our reference at the processor: what its books show beside the payment.
    pub fn reference(&self) -> String {
        self.operation.reference()
    }

    /// Why it was declined, if it was.
    pub fn decline(&self) -> Option<&Decline> {
        self.known.declined.as_ref()
    }

    /// What the processor granted.
    pub fn granted(&self) -> &Granted {
        &self.known.granted
    }

    /// The network's identifier, for later payments that the merchant initiates.
    pub fn network_transaction_id(&self) -> Option<&str> {
        self.known.network_transaction_id.as_deref()
    }

    /// The result of the authentication.
    pub fn three_ds(&self) -> Option<&ThreeDs> {
        self.known.three_ds.as_ref()
    }

    /// How far the giving back of its money is, if nobody wanted it.
    pub fn compensation(&self) -> Option<CompensationStatus> {
        self.compensation.as_ref().map(|compensation| compensation.status)
    }
}

impl CaptureRecord {
    /// Its identifier.
    pub fn id(&self) -> &CaptureId {
        &self.id
    }

    /// How much.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// Where it stands.
    pub fn status(&self) -> CaptureStatus {
        self.status
    }

    /// Whether it came from outside, or with the authorization, rather than by a capture of ours.
    pub fn operation(&self) -> Option<&OperationId> {
        self.operation.as_ref()
    }
}

impl OperationRecord {
    /// Its identifier.
    pub fn id(&self) -> &OperationId {
        &self.id
    }

    /// What it asked for.
    pub fn kind(&self) -> OperationKind {
        self.kind
    }

    /// Where it stands.
    pub fn status(&self) -> OperationStatus {
        self.status
    }

    /// How much it was about.
    pub fn amount(&self) -> Money {
        self.amount
    }
}

/// The public form: no internals, no personal data, no processor's identifiers.
impl Serialize for PaymentIntent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Public<'a> {
            id: PaymentIntentId,
            status: IntentStatus,
            mode: IntentMode,
            amount: Money,
            capture_method: CaptureMethod,
            totals: &'a Totals,
            #[serde(skip_serializing_if = "Option::is_none")]
            merchant_reference: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            session: Option<SessionId>,
            outcome_unknown: bool,
            needs_review: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_action: Option<ActionKind>,
            #[serde(skip_serializing_if = "Option::is_none")]
            last_decline: Option<&'a Decline>,
            #[serde(skip_serializing_if = "Option::is_none")]
            capture_before: Option<Timestamp>,
            metadata: &'a Metadata,
            created_at: Timestamp,
            updated_at: Timestamp,
        }
        let state = &self.state;
        Public {
            id: state.id,
            status: state.status,
            mode: state.mode,
            amount: state.amount,
            capture_method: state.capture_method,
            totals: &state.totals,
            merchant_reference: state.details.merchant_reference.as_deref(),
            session: state.session,
            outcome_unknown: self.unknown_operation().is_some(),
            needs_review: state.review.is_some(),
            next_action: self.action_kind(),
            last_decline: state.last_decline.as_ref(),
            capture_before: self.capture_before(),
            metadata: &state.details.metadata,
            created_at: state.created_at,
            updated_at: state.updated_at,
        }
        .serialize(serializer)
    }
}
