//! What follows an outcome by itself, in its commit: the next account, a challenge, a capture, a void.

use std::sync::Arc;

use super::Inner;
use super::drive::{Drive, fold};
use super::operation::OpRequest;
use super::policy::PartialAuthorization;
use super::route::{AfterDecline, Ask};
use crate::connector::Connector;
use crate::error::Result;
use crate::id::OperationId;
use crate::intent::{
    self, Attempt, AttemptStatus, CaptureMethod, Challenge, Command, Ended, Happened, Intent, IntentEvent,
    IntentMode, IntentStatus, KeyUse, OperationKind, OperationStatus, Rest, ReviewReason, RiskAfter,
};
use crate::routing::Cause;
use crate::tenant::Tenant;

impl Inner {
    /// What follows news from outside by itself: an attempt that waited has its answer.
    pub(crate) async fn follow_news(
        &self,
        tenant: &Tenant,
        before: &Intent,
        events: &mut Vec<IntentEvent>,
    ) -> Result<Option<Drive>> {
        let after = fold(before.clone(), events);
        for attempt in &after.attempts {
            let moved = before
                .attempt(attempt.id)
                .is_some_and(|old| old.status != attempt.status);
            if !moved {
                continue;
            }
            let used = before
                .lock(attempt.operation)
                .and_then(|open| open.idempotency.clone());
            let follow = self
                .follow_up(tenant, &after, None, attempt.operation, used)
                .await?;
            if let Some((more, next)) = follow {
                events.extend(more);
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// What follows an operation's outcome by itself. `asked` is the account that gave the outcome, where it is at hand:
    /// then the host isn't asked for it again.
    pub(super) async fn follow_up(
        &self,
        tenant: &Tenant,
        state: &Intent,
        asked: Option<&Arc<Connector>>,
        operation: OperationId,
        used: Option<KeyUse>,
    ) -> Result<Option<(Vec<IntentEvent>, Option<Drive>)>> {
        let Some(record) = state.operation(operation) else {
            return Ok(None);
        };
        let settled = match record.status {
            OperationStatus::Done | OperationStatus::Declined | OperationStatus::NotExecuted => true,
            OperationStatus::Prepared
            | OperationStatus::Unknown
            | OperationStatus::Pending
            | OperationStatus::Abandoned => false,
        };
        if record.kind == OperationKind::Void {
            return Ok(self.after_void(state, record.status, used));
        }
        let authorizing = matches!(record.kind, OperationKind::Authorize | OperationKind::Complete);
        let Some(attempt) = state.attempt(record.attempt).filter(|_| settled && authorizing) else {
            return Ok(None);
        };
        // What a person gave up goes back; nothing else follows it.
        if attempt.closure == intent::Closure::Abandoned {
            return Ok(None);
        }
        if state.open_op.is_some() || state.ended.is_some() {
            return Ok(None);
        }
        let now = self.runtime.clock.now();
        match attempt.status {
            AttemptStatus::NotExecuted => self.cascade(tenant, state, attempt, used).await,
            AttemptStatus::Declined if state.winner.is_none() => {
                match self.after_decline(state, attempt, now) {
                    AfterDecline::NextAccount => self.cascade(tenant, state, attempt, used).await,
                    AfterDecline::Challenge => self.challenge(tenant, state, attempt, asked, used).await,
                    AfterDecline::Wait => Ok(None),
                    AfterDecline::Fail => {
                        let what = Happened::Ended {
                            how: Ended::Declined,
                            decline: attempt.known.declined.clone(),
                        };
                        Ok(Some((vec![IntentEvent { at: now, what }], None)))
                    }
                }
            }
            AttemptStatus::Authorized if state.winner == Some(attempt.id) => {
                self.after_authorization(tenant, state, attempt, asked, used)
                    .await
            }
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::Declined
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled
            | AttemptStatus::Voided
            | AttemptStatus::Failed => Ok(None),
        }
    }

    /// A void that wasn't the host's own, and didn't come about: what should have gone back is held, and a person is
    /// asked.
    fn after_void(
        &self,
        state: &Intent,
        status: OperationStatus,
        used: Option<KeyUse>,
    ) -> Option<(Vec<IntentEvent>, Option<Drive>)> {
        let refused = match status {
            OperationStatus::Declined | OperationStatus::NotExecuted => true,
            OperationStatus::Prepared
            | OperationStatus::Unknown
            | OperationStatus::Pending
            | OperationStatus::Done
            | OperationStatus::Abandoned => false,
        };
        if !refused || state.status != IntentStatus::Authorized || state.review.is_some() {
            return None;
        }
        let part = state.totals.authorized < state.amount.minor()
            && self.policy.partial_authorization == PartialAuthorization::Void;
        let reason = match (part, used) {
            (true, _) => ReviewReason::PartialAuthorization,
            (false, None) => ReviewReason::RiskHold,
            (false, Some(_)) => return None,
        };
        let (at, what) = (self.runtime.clock.now(), Happened::ReviewRaised(reason));
        Some((vec![IntentEvent { at, what }], None))
    }

    /// The next account of the plan, in the same commit that closes this attempt: only where that gives cause for it.
    pub(super) async fn cascade(
        &self,
        tenant: &Tenant,
        state: &Intent,
        attempt: &Attempt,
        used: Option<KeyUse>,
    ) -> Result<Option<(Vec<IntentEvent>, Option<Drive>)>> {
        let now = self.runtime.clock.now();
        let (Some(plan), Some(cause)) = (state.plan.clone(), Cause::of(attempt)) else {
            return Ok(None);
        };
        let ask = Ask {
            method: attempt.method.clone(),
            challenge: attempt.challenge,
            used,
            cause: Some(cause),
        };
        let in_time = now < plan.decided_at.after(self.policy.cascade_within)
            && state.expires_at.is_none_or(|at| now < at)
            && plan.next < plan.accounts.len();
        if !in_time {
            return Ok(None);
        }
        // For the card's network the next account is one more try. Where that isn't known to be allowed, the payment waits.
        let tries_again = matches!(cause, Cause::SoftDecline(_));
        if tries_again
            && self
                .card_may_be_tried(tenant, state, &attempt.method)
                .await
                .is_err()
        {
            return Ok(None);
        }
        // An account that can't be asked at all is none: the payment waits for another method.
        let Ok(opened) = self.open_attempt(tenant, state, &plan, &ask).await else {
            return Ok(None);
        };
        let command = Command::Cascade {
            plan: Some(opened.plan),
            attempt: Box::new(opened.attempt),
            operation: Box::new(opened.operation.clone()),
        };
        let Ok(events) = intent::decide(Some(state), &command, now) else {
            return Ok(None);
        };
        Ok(Some((
            events,
            Some(Drive::first(opened.operation.id, opened.connector, opened.call)),
        )))
    }

    /// The same account again, with a challenge: what authentication-required asks for. An account that doesn't
    /// authenticate payers isn't asked to: the payment waits for another method.
    pub(super) async fn challenge(
        &self,
        tenant: &Tenant,
        state: &Intent,
        attempt: &Attempt,
        asked: Option<&Arc<Connector>>,
        used: Option<KeyUse>,
    ) -> Result<Option<(Vec<IntentEvent>, Option<Drive>)>> {
        let now = self.runtime.clock.now();
        let Some(connector) = self.account_of(tenant, attempt, asked).await? else {
            return Ok(None);
        };
        if !connector.capabilities.three_d_secure.is_offered() {
            return Ok(None);
        }
        let ask = Ask {
            method: attempt.method.clone(),
            challenge: Challenge::Required,
            used,
            cause: None,
        };
        let Ok((attempt, operation, call, connector)) = self.attempt_at(state, connector, &ask) else {
            return Ok(None);
        };
        let command = Command::Cascade {
            plan: None,
            attempt: Box::new(attempt),
            operation: Box::new(operation.clone()),
        };
        let Ok(events) = intent::decide(Some(state), &command, now) else {
            return Ok(None);
        };
        Ok(Some((events, Some(Drive::first(operation.id, connector, call)))))
    }

    /// After an authorization: less than asked goes back, the host's check is asked, or the money is taken.
    pub(super) async fn after_authorization(
        &self,
        tenant: &Tenant,
        state: &Intent,
        attempt: &Attempt,
        asked: Option<&Arc<Connector>>,
        used: Option<KeyUse>,
    ) -> Result<Option<(Vec<IntentEvent>, Option<Drive>)>> {
        let now = self.runtime.clock.now();
        if state.mode != IntentMode::Payment {
            return Ok(None);
        }
        let part = state.totals.authorized < state.amount.minor();
        if part && self.policy.partial_authorization == PartialAuthorization::Void {
            let void = self
                .follow(tenant, state, attempt, asked, OperationKind::Void, used)
                .await?;
            let what = Happened::ReviewRaised(ReviewReason::PartialAuthorization);
            // What can't be given back is for a person to look at.
            return Ok(void.or_else(|| Some((vec![IntentEvent { at: now, what }], None))));
        }
        if self.checks_after() && state.risk_after.is_settled() {
            let what = Happened::RiskAfter(RiskAfter::Wanted);
            return Ok(Some((vec![IntentEvent { at: now, what }], None)));
        }
        match state.capture_method {
            CaptureMethod::Automatic => {
                self.follow(tenant, state, attempt, asked, OperationKind::Capture, used)
                    .await
            }
            CaptureMethod::Manual => Ok(None),
        }
    }

    /// The account of an attempt: the one that was asked, where it is that, else from the host.
    pub(super) async fn account_of(
        &self,
        tenant: &Tenant,
        attempt: &Attempt,
        asked: Option<&Arc<Connector>>,
    ) -> Result<Option<Arc<Connector>>> {
        match asked.filter(|connector| *connector.account() == attempt.account) {
            Some(connector) => Ok(Some(connector.clone())),
            None => self.connectors.get(tenant, &attempt.account).await,
        }
    }

    /// Opens a capture or a void of the winner, in the commit of what it follows.
    pub(crate) async fn follow(
        &self,
        tenant: &Tenant,
        state: &Intent,
        attempt: &Attempt,
        asked: Option<&Arc<Connector>>,
        kind: OperationKind,
        used: Option<KeyUse>,
    ) -> Result<Option<(Vec<IntentEvent>, Option<Drive>)>> {
        let Some(connector) = self.account_of(tenant, attempt, asked).await? else {
            return Ok(None);
        };
        let amount = match kind {
            OperationKind::Capture => state.money(state.totals.capturable()),
            _other => state.money(state.totals.authorized),
        };
        let request = OpRequest {
            kind,
            amount,
            rest: Rest::Release,
            used,
            ends: None,
        };
        match self.open_operation(state, attempt, &connector, request) {
            Ok((command, operation, call)) => {
                match intent::decide(Some(state), &command, self.runtime.clock.now()) {
                    Ok(events) => Ok(Some((events, Some(Drive::first(operation, connector, call))))),
                    Err(_) => Ok(None),
                }
            }
            Err(_) => Ok(None),
        }
    }
}
