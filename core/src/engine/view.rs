//! From what is known to what the verbs return.

use std::sync::Arc;

use super::Inner;
use super::aggregate::Loaded;
use super::call::ask;
use super::drive::FirstWrite;
use crate::action::Action;
use crate::connector::{AuthorizeReport, Outcome, ReadReport, StepKey, op};
use crate::decline::{Decline, DeclineCode, DeclineKind};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{OperationId, ProviderKind, ProviderRef};
use crate::intent::{
    CaptureStatus, Intent, IntentStatus, OpStage, OpenOp, OperationStatus, PaymentIntent, ReviewReason,
};
use crate::outcome::{
    ActionSource, CaptureOutcome, NextAction, PaymentOutcome, RefundOutcome, SafeStep, SubjectId,
    UnknownOutcome, VoidOutcome,
};
use crate::refund::{AllocationStatus, Refund, RefundState, RefundStatus};
use crate::tenant::Tenant;

impl Loaded<Intent> {
    pub(crate) fn view(&self) -> PaymentIntent {
        PaymentIntent {
            state: Arc::new(self.state.clone()),
            version: self.version,
        }
    }
}

impl PaymentOutcome {
    pub(crate) fn after(self, first_write: FirstWrite) -> Self {
        match self {
            Self::Unknown { intent, unknown } => Self::Unknown {
                intent,
                unknown: unknown.after(first_write),
            },
            known => known,
        }
    }
}

impl CaptureOutcome {
    pub(crate) fn after(self, first_write: FirstWrite) -> Self {
        match self {
            Self::Unknown { intent, unknown } => Self::Unknown {
                intent,
                unknown: unknown.after(first_write),
            },
            known => known,
        }
    }
}

impl VoidOutcome {
    pub(crate) fn after(self, first_write: FirstWrite) -> Self {
        match self {
            Self::Unknown { intent, unknown } => Self::Unknown {
                intent,
                unknown: unknown.after(first_write),
            },
            known => known,
        }
    }
}

impl RefundOutcome {
    pub(crate) fn after(self, first_write: FirstWrite) -> Self {
        match self {
            Self::Unknown { refund, unknown } => Self::Unknown {
                refund,
                unknown: unknown.after(first_write),
            },
            known => known,
        }
    }
}

impl UnknownOutcome {
    /// Where the first write itself is in doubt, repeating the request is what finds out.
    fn after(self, first_write: FirstWrite) -> Self {
        match first_write {
            FirstWrite::Done => self,
            FirstWrite::InDoubt => Self {
                why: Some(
                    "the store doesn't say whether it took the request: nothing was sent yet".to_owned(),
                ),
                safe_step: SafeStep::RepeatRequest,
                ..self
            },
        }
    }
}

impl Loaded<RefundState> {
    pub(crate) fn view(&self) -> Refund {
        Refund {
            state: Arc::new(self.state.clone()),
            version: self.version,
        }
    }
}

impl Inner {
    /// How a payment stands, as its verbs say it.
    ///
    /// # Errors
    /// What moved nothing: proved not executed by every account, or refused by the host's own check.
    pub(crate) async fn payment_outcome(
        self: &Arc<Self>,
        tenant: &Tenant,
        loaded: &Loaded<Intent>,
        fresh: Option<Action>,
    ) -> Result<PaymentOutcome> {
        let intent = loaded.view();
        if let Some(unknown) = self.unknown_of(loaded) {
            return Ok(PaymentOutcome::Unknown { intent, unknown });
        }
        let state = &loaded.state;
        match state.status {
            IntentStatus::Succeeded => Ok(PaymentOutcome::Succeeded(intent)),
            IntentStatus::Authorized => Ok(PaymentOutcome::Authorized(intent)),
            IntentStatus::Captured | IntentStatus::Processing | IntentStatus::Scheduled => {
                Ok(PaymentOutcome::Pending(intent))
            }
            IntentStatus::RequiresAction => {
                // Declined, and the payer may try again: the next confirmation calls that back first.
                if let Some(decline) = state.live_attempt().and_then(|live| live.known.declined.clone()) {
                    return Ok(PaymentOutcome::Declined { intent, decline });
                }
                // A row that was altered may name no action: how the payment stands is told even so.
                match self.next_action(tenant, state, fresh) {
                    Ok(action) => Ok(PaymentOutcome::ActionRequired { intent, action }),
                    Err(_) => Ok(PaymentOutcome::Pending(intent)),
                }
            }
            IntentStatus::Created if state.review.is_some() => Ok(PaymentOutcome::Pending(intent)),
            IntentStatus::Created | IntentStatus::Failed | IntentStatus::Voided | IntentStatus::Cancelled => {
                match (&state.last_failure, &state.last_decline) {
                    (Some(proof), _) if state.status == IntentStatus::Created => {
                        let message = format!("no account executed anything: {proof}");
                        Err(Error::new(ErrorKind::NotExecuted, message))
                    }
                    (_, Some(decline)) => Ok(PaymentOutcome::Declined {
                        intent,
                        decline: decline.clone(),
                    }),
                    (_, None) => Ok(PaymentOutcome::Declined {
                        intent,
                        decline: given_back(),
                    }),
                }
            }
        }
    }

    pub(crate) fn next_action(
        self: &Arc<Self>,
        tenant: &Tenant,
        state: &Intent,
        fresh: Option<Action>,
    ) -> Result<NextAction> {
        let missing = || Error::new(ErrorKind::Stale, "the payment waits for no action");
        let attempt = state.live_attempt().ok_or_else(missing)?;
        let waiting = attempt
            .known
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.action.clone());
        let kept = waiting.ok_or_else(missing)?;
        let fresh = fresh.filter(|fresh| fresh.kept == kept);
        let source = attempt.known.handle.clone().map(|handle| ActionSource {
            tenant: tenant.clone(),
            account: attempt.account.clone(),
            engine: self.clone(),
            handle,
            amount: attempt.amount,
            reference: attempt.operation.reference(),
        });
        Ok(NextAction { kept, fresh, source })
    }

    /// Reads an action from its processor again.
    pub(crate) async fn read_action(&self, source: &ActionSource) -> Result<Action> {
        // Only now: what the payer must do is known without the host's source of accounts.
        let connector = self.connectors.get(&source.tenant, &source.account).await?;
        let readable = connector.and_then(|connector| Some((connector.read.clone()?, connector)));
        let (read, connector) = readable.ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the account can't be asked for the action again: confirm anew",
            )
        })?;
        let op = op::Read::new(source.handle.clone(), source.amount, source.reference.clone());
        let key = StepKey::new(
            OperationId::from_uuid(crate::Mode::Test, uuid::Uuid::nil()),
            "read",
        );
        match ask(self, &source.tenant, &connector, read.as_ref(), &op, &key).await {
            Outcome::Answered(ReadReport::Found(standing)) => match standing.report {
                AuthorizeReport::ActionNeeded(_, action, _) => Ok(action),
                AuthorizeReport::Authorized(_)
                | AuthorizeReport::PartiallyAuthorized(..)
                | AuthorizeReport::Captured(_)
                | AuthorizeReport::Settled(_)
                | AuthorizeReport::Verified(_)
                | AuthorizeReport::Pending(..)
                | AuthorizeReport::Voided(..)
                | AuthorizeReport::Unexecuted(_) => Err(Error::new(
                    ErrorKind::Stale,
                    "the payer has acted already: sync the payment",
                )),
                AuthorizeReport::Declined(_) => Err(Error::new(
                    ErrorKind::Stale,
                    "the payer has acted already, and was declined: sync the payment, or confirm it anew",
                )),
            },
            Outcome::Answered(ReadReport::NotFound) | Outcome::NotExecuted(_) | Outcome::Unknown(_) => Err(
                Error::new(ErrorKind::NotExecuted, "the processor doesn't answer: ask again"),
            ),
        }
    }

    pub(crate) fn capture_outcome(
        &self,
        loaded: &Loaded<Intent>,
        operation: OperationId,
    ) -> Result<CaptureOutcome> {
        let intent = loaded.view();
        if let Some(unknown) = self.unknown_of(loaded) {
            return Ok(CaptureOutcome::Unknown { intent, unknown });
        }
        let capture = loaded
            .state
            .captures
            .iter()
            .find(|capture| capture.operation == Some(operation));
        match (
            capture.map(|capture| capture.status),
            status_of(&loaded.state, operation),
        ) {
            (_, Some(OperationStatus::NotExecuted)) => Err(not_executed()),
            (Some(CaptureStatus::Captured | CaptureStatus::Settled), _) => {
                Ok(CaptureOutcome::Captured(intent))
            }
            (Some(CaptureStatus::Declined | CaptureStatus::Failed), _) => {
                Ok(CaptureOutcome::Declined(intent))
            }
            (Some(CaptureStatus::Pending) | None, _) => Ok(CaptureOutcome::Pending(intent)),
        }
    }

    pub(crate) fn void_outcome(
        &self,
        loaded: &Loaded<Intent>,
        operation: OperationId,
    ) -> Result<VoidOutcome> {
        let intent = loaded.view();
        if let Some(unknown) = self.unknown_of(loaded) {
            return Ok(VoidOutcome::Unknown { intent, unknown });
        }
        match status_of(&loaded.state, operation) {
            Some(OperationStatus::NotExecuted) => Err(not_executed()),
            Some(OperationStatus::Done) => Ok(VoidOutcome::Voided(intent)),
            Some(OperationStatus::Declined) => Ok(VoidOutcome::Refused(intent)),
            Some(
                OperationStatus::Prepared
                | OperationStatus::Unknown
                | OperationStatus::Pending
                | OperationStatus::Abandoned,
            )
            | None => Ok(VoidOutcome::Pending(intent)),
        }
    }

    pub(crate) fn refund_outcome(&self, loaded: &Loaded<RefundState>) -> Result<RefundOutcome> {
        let refund = loaded.view();
        if let Some(unknown) = self.unknown_refund(loaded) {
            return Ok(RefundOutcome::Unknown { refund, unknown });
        }
        match loaded.state.status {
            RefundStatus::Succeeded | RefundStatus::PartiallySucceeded => {
                Ok(RefundOutcome::Succeeded(refund))
            }
            RefundStatus::Requested | RefundStatus::Pending => Ok(RefundOutcome::Pending(refund)),
            RefundStatus::RequiresAction => Ok(RefundOutcome::ActionRequired(refund)),
            RefundStatus::Failed | RefundStatus::Cancelled => {
                if loaded
                    .state
                    .allocations
                    .iter()
                    .all(|part| part.not_executed.is_some())
                {
                    return Err(not_executed());
                }
                let decline = refund.last_decline().cloned();
                Ok(RefundOutcome::Failed { refund, decline })
            }
        }
    }

    /// What isn't known of a payment: an open operation, or one that a person gave up.
    pub(crate) fn unknown_of(&self, loaded: &Loaded<Intent>) -> Option<UnknownOutcome> {
        let state = &loaded.state;
        let open = state.open_op.as_ref()?;
        Some(self.describe(SubjectId::Payment(state.id), loaded.version, open, state))
    }

    fn describe(&self, subject: SubjectId, version: u64, open: &OpenOp, state: &Intent) -> UnknownOutcome {
        let handle = state
            .attempt(open.attempt)
            .and_then(|attempt| attempt.known.handle.as_ref());
        let provider = handle.map(|handle| handle.as_str().to_owned());
        let review = state.review.as_ref().map(|review| review.reason);
        self.unknown(subject, version, open, provider, review)
    }

    fn unknown(
        &self,
        subject: SubjectId,
        version: u64,
        open: &OpenOp,
        provider: Option<String>,
        review: Option<ReviewReason>,
    ) -> UnknownOutcome {
        let since = open.doubtful_since();
        let review_at = since.after(self.policy.review_after);
        let now = self.runtime.clock.now();
        let safe_step = match (review, provider) {
            (Some(ReviewReason::NoConnector), _) => SafeStep::RegisterAccount,
            (None, _) if now < review_at => SafeStep::Wait { until: review_at },
            (_, Some(id)) => SafeStep::LookInDashboard(ProviderRef {
                account: open.account.clone(),
                kind: ProviderKind::Payment,
                id,
            }),
            (_, None) => SafeStep::SettleByHand,
        };
        UnknownOutcome {
            subject,
            version,
            operation: Some(open.id),
            kind: Some(open.kind),
            account: Some(open.account.clone()),
            at_risk: open.amount,
            since,
            review_at,
            review,
            why: match &open.stage {
                OpStage::Prepared => Some("the call was begun and has no outcome yet".to_owned()),
                OpStage::Unknown { doubt, .. } => Some(doubt.why.to_string()),
            },
            safe_step,
        }
    }

    pub(crate) fn unknown_refund(&self, loaded: &Loaded<RefundState>) -> Option<UnknownOutcome> {
        let state = &loaded.state;
        let open = state.open_op.as_ref()?;
        let provider = state.allocation(open.id).and_then(|part| part.handle.as_ref());
        let provider = provider.map(|handle| handle.as_str().to_owned());
        let review = state.review.as_ref().map(|review| review.reason);
        Some(self.unknown(
            SubjectId::Refund(state.id),
            loaded.version,
            open,
            provider,
            review,
        ))
    }

    /// Everything about a payment that a person has to look at, or may want to.
    pub(crate) fn attention_of(&self, loaded: &Loaded<Intent>) -> UnknownOutcome {
        let state = &loaded.state;
        let compensations = state
            .attempts
            .iter()
            .filter_map(|attempt| attempt.compensation.as_ref()?.open_op.as_ref());
        if let Some(open) = state.open_op.iter().chain(compensations).next() {
            return self.describe(SubjectId::Payment(state.id), loaded.version, open, state);
        }
        let abandoned = state
            .operations
            .iter()
            .find(|operation| operation.status == OperationStatus::Abandoned);
        let since = state.review.as_ref().map(|review| review.since);
        let since = since
            .or(abandoned.map(|operation| operation.opened_at))
            .unwrap_or(state.updated_at);
        let current = abandoned
            .and_then(|operation| state.attempt(operation.attempt))
            .or(state.current());
        UnknownOutcome {
            subject: SubjectId::Payment(state.id),
            version: loaded.version,
            operation: abandoned.map(|operation| operation.id),
            kind: abandoned.map(|operation| operation.kind),
            account: current.map(|attempt| attempt.account.clone()),
            at_risk: abandoned.map_or(state.amount, |operation| operation.amount),
            since,
            review_at: since,
            review: state.review.as_ref().map(|review| review.reason),
            why: None,
            safe_step: SafeStep::Review,
        }
    }

    pub(crate) fn refund_attention(&self, loaded: &Loaded<RefundState>) -> UnknownOutcome {
        self.unknown_refund(loaded).unwrap_or_else(|| {
            let state = &loaded.state;
            let since = state
                .review
                .as_ref()
                .map_or(state.updated_at, |review| review.since);
            let waiting = state
                .allocations
                .iter()
                .find(|part| part.status == AllocationStatus::Pending);
            UnknownOutcome {
                subject: SubjectId::Refund(state.id),
                version: loaded.version,
                operation: waiting.map(|part| part.operation),
                kind: None,
                account: Some(state.account.clone()),
                at_risk: state.amount,
                since,
                review_at: since,
                review: state.review.as_ref().map(|review| review.reason),
                why: None,
                safe_step: SafeStep::Review,
            }
        })
    }
}

fn status_of(state: &Intent, operation: OperationId) -> Option<OperationStatus> {
    state.operation(operation).map(|operation| operation.status)
}

pub(crate) fn not_executed() -> Error {
    Error::new(
        ErrorKind::NotExecuted,
        "the processor executed nothing, and proved it",
    )
}

/// Why a payment that was authorized and given back is no payment.
fn given_back() -> Decline {
    Decline::new(DeclineCode::GenericDecline, DeclineKind::Hard, None)
}
