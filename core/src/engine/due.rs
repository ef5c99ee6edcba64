//! What falls due by itself: scheduled payments, money to give back, the host's check after authorization, times that
//! end.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::commit::{CommitFailure, Work, unreadable};
use super::drive::{Drive, fold};
use super::idempotency::IdempotencyKey;
use super::operate::{Closed, stale};
use super::operation::OpRequest;
use super::operator::HOLD_APPROVED;
use super::route::Ask;
use super::write::{compensations_in_vain, wants_compensation};
use crate::error::{Error, Result, Retry};
use crate::intent::{
    self, AttemptStatus, Challenge, Command, Ended, Happened, Intent, IntentEvent, IntentStatus,
    OperationKind, Rest, ReviewReason, RiskAfter,
};
use crate::outcome::ReverseOutcome;
use crate::refund::RefundReason;
use crate::risk::RiskVerdict;
use crate::session::{self, Session, SessionStatus};
use crate::store::{Claim, Query, RowKind};
use crate::tenant::Tenant;

impl Inner {
    /// What an intent has waiting: its day, a compensation, the host's check after authorization.
    pub(crate) async fn do_due(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let Some(loaded) = self.load::<Intent>(&claim.tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        let wanted = |state: &Intent| {
            state
                .attempts
                .iter()
                .find(|attempt| wants_compensation(attempt))
                .cloned()
        };
        let pause = match wanted(&loaded.state) {
            Some(attempt) => self.before_compensating(&loaded.state, &attempt),
            // What follows the check may be impossible for now: it is tried ever less often.
            None if loaded.state.risk_after == RiskAfter::Wanted => {
                let age = self.runtime.clock.now().since(loaded.state.updated_at);
                age.min(self.policy.recheck_at_most)
            }
            None => Duration::ZERO,
        };
        self.later_of(claim, &loaded, self.policy.recheck.max(pause))
            .await?;
        if let Some(attempt) = wanted(&loaded.state) {
            if compensations_in_vain(&loaded.state, &attempt) == 0 {
                return self.compensate(&claim.tenant, loaded, &attempt).await;
            }
            // Somebody may have given it back meanwhile, which would be why nothing was executed.
            let loaded = self.payments(&claim.tenant).sync_loaded(loaded).await?.loaded;
            return match wanted(&loaded.state) {
                Some(attempt) => self.compensate(&claim.tenant, loaded, &attempt).await,
                None => Ok(()),
            };
        }
        if loaded.state.risk_after == RiskAfter::Wanted {
            return self.check_after(&claim.tenant, loaded).await;
        }
        match (loaded.state.status, loaded.state.scheduled_method.clone()) {
            // A person's approval makes it due again.
            (IntentStatus::Scheduled, _) if loaded.state.is_held() => self.drop_job_of(claim, &loaded).await,
            (IntentStatus::Scheduled, Some(method)) => {
                let plan = match self
                    .route(&claim.tenant, &loaded.state, &method, Challenge::AsNeeded)
                    .await
                {
                    Ok(plan) => plan,
                    Err(error) => {
                        // It is tried again, ever less often; a person is asked meanwhile.
                        self.raise(&claim.tenant, &loaded, ReviewReason::NoConnector)
                            .await?;
                        let late = loaded
                            .state
                            .scheduled_for
                            .map(|day| self.runtime.clock.now().since(day));
                        let pause = late.unwrap_or_default();
                        let pause = pause.clamp(self.policy.recheck, self.policy.recheck_at_most);
                        self.later(claim, pause).await?;
                        return Err(error);
                    }
                };
                let loaded = self.lower_no_connector(&claim.tenant, loaded).await?;
                self.confirm_scheduled(&claim.tenant, loaded, method, plan).await
            }
            (_, _) => self.drop_job_of(claim, &loaded).await,
        }
    }

    /// Gives back what nobody wants: by void while nothing is captured, else by refund.
    async fn compensate(
        &self,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
        attempt: &intent::Attempt,
    ) -> Result<()> {
        let Some(connector) = self.connectors.get(tenant, &attempt.account).await? else {
            return self.raise(tenant, &loaded, ReviewReason::NoConnector).await;
        };
        if compensations_in_vain(&loaded.state, attempt) >= COMPENSATION_TRIES {
            self.raise(tenant, &loaded, ReviewReason::CompensationFailed)
                .await?;
        }
        let (kind, minor) = match attempt.status {
            AttemptStatus::Captured | AttemptStatus::Settled => {
                (OperationKind::CompensateRefund, attempt.known.unreturned())
            }
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::NotExecuted
            | AttemptStatus::Declined
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Voided
            | AttemptStatus::Failed => (OperationKind::CompensateVoid, attempt.known.authorized_minor),
        };
        let amount = loaded.state.money(minor);
        let request = OpRequest {
            kind,
            amount,
            rest: Rest::Release,
            used: None,
            ends: None,
        };
        let built = self.open_operation(&loaded.state, attempt, &connector, request);
        let Ok((command, operation, call)) = built else {
            return self
                .raise(tenant, &loaded, ReviewReason::CompensationFailed)
                .await;
        };
        let work = self.work();
        let events = intent::decide(Some(&loaded.state), &command, work.at)?;
        let after = match self.write_intent(tenant, work, Some(&loaded), &events).await {
            Ok(after) => after,
            // Somebody else had news of it: the job, which stays, decides anew.
            Err(CommitFailure::Conflict(_)) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        self.drive(tenant, after, Drive::first(operation, connector, call))
            .await;
        Ok(())
    }

    /// The host's check after an authorization: refuse voids, hold waits for a person, allow captures.
    async fn check_after(&self, tenant: &Tenant, loaded: Loaded<Intent>) -> Result<()> {
        let Some(risk) = &self.risk else { return Ok(()) };
        if loaded.state.open_op.is_some() {
            // What is asked of the processor now is known first: the job asks again.
            return Ok(());
        }
        let verdict = risk.after(tenant, &loaded.view()).await?;
        self.decide_after(tenant, loaded, self.work(), Vec::new(), verdict)
            .await
            .map(|_| ())
    }

    /// What follows the host's word on an authorization, in one commit with what `work` and `events` have already: a
    /// word that was written without what follows from it would be lost with whoever wrote it.
    pub(crate) async fn decide_after(
        &self,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
        mut work: Work,
        mut events: Vec<IntentEvent>,
        verdict: RiskVerdict,
    ) -> Result<Loaded<Intent>> {
        let event = |what| IntentEvent { at: work.at, what };
        events.push(event(Happened::RiskAfter(RiskAfter::Settled)));
        let state = fold(loaded.state.clone(), &events);
        let mut next = None;
        if let Some(open) = &state.open_op {
            return Err(Error::in_progress(Some(open.id)));
        }
        let authorized = state.status == IntentStatus::Authorized;
        if let (true, Some(attempt)) = (authorized, state.current().cloned()) {
            let automatic = state.capture_method == intent::CaptureMethod::Automatic;
            let kind = match verdict {
                RiskVerdict::Allow if automatic => Some(OperationKind::Capture),
                RiskVerdict::Refuse => Some(OperationKind::Void),
                RiskVerdict::Allow | RiskVerdict::Hold => None,
            };
            if let Some(kind) = kind {
                match self.follow(tenant, &state, &attempt, None, kind, None).await? {
                    Some((more, drive)) => {
                        events.extend(more);
                        next = drive;
                    }
                    // A part is taken already, which no void gives back.
                    None if verdict == RiskVerdict::Refuse && state.totals.captured > 0 => {}
                    None => return Err(stale()),
                }
            }
        }
        let kept = match state.status {
            IntentStatus::Authorized | IntentStatus::Captured | IntentStatus::Succeeded => next.is_none(),
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed => false,
        };
        if verdict == RiskVerdict::Hold || (verdict == RiskVerdict::Refuse && kept) {
            events.push(event(Happened::ReviewRaised(ReviewReason::RiskHold)));
        }
        let after = self
            .include_intent(tenant, &mut work, Some(&loaded), &events)
            .await?;
        match (self.commit(tenant, work).await, next) {
            (Ok(()), Some(drive)) => Ok(self.drive(tenant, after, drive).await.loaded),
            (Ok(()), None) => Ok(after),
            // What follows may have its first write, and is sent by itself then: it is shown as open.
            (Err(CommitFailure::InDoubt), Some(_)) => Ok(after),
            (Err(failure), _) => Err(failure.into()),
        }
    }

    /// A scheduled payment's day has come.
    async fn confirm_scheduled(
        self: &Arc<Self>,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
        method: crate::PaymentMethod,
        plan: intent::PlanRecord,
    ) -> Result<()> {
        let verdict = self.risk_before_again(tenant, &loaded.state, &method).await?;
        let said_no = match verdict {
            RiskVerdict::Allow => None,
            RiskVerdict::Refuse => Some(Command::Refuse),
            RiskVerdict::Hold => Some(Command::Hold),
        };
        if let Some(command) = said_no {
            let work = self.work();
            let events = intent::decide(Some(&loaded.state), &command, work.at)?;
            self.write_intent(tenant, work, Some(&loaded), &events).await?;
            return Ok(());
        }
        let ask = Ask {
            method,
            challenge: Challenge::AsNeeded,
            used: None,
            cause: None,
        };
        let opened = self.open_attempt(tenant, &loaded.state, &plan, &ask).await?;
        let operation = opened.operation.id;
        let command = Command::Due {
            plan: opened.plan,
            attempt: Box::new(opened.attempt),
            operation: Box::new(opened.operation),
        };
        let work = self.work();
        let events = intent::decide(Some(&loaded.state), &command, work.at)?;
        let after = self.write_intent(tenant, work, Some(&loaded), &events).await?;
        self.drive(
            tenant,
            after,
            Drive::first(operation, opened.connector, opened.call),
        )
        .await;
        Ok(())
    }

    /// Whether a person let a payment pass that the host's check had held, and nothing has changed since.
    pub(crate) async fn was_approved(&self, tenant: &Tenant, state: &Intent) -> Result<bool> {
        let query = Query {
            parent: Some(state.key()),
            statuses: vec![HOLD_APPROVED.to_owned()],
            ..Query::of(RowKind::Evidence)
        };
        let rows = self.store.find(tenant, &query).await.map_err(unreadable)?;
        Ok(rows.iter().any(|row| row.index.created_at >= state.updated_at))
    }

    pub(crate) async fn expire_intent(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let Some(loaded) = self.load::<Intent>(&claim.tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        let due = loaded.state.expires_at.unwrap_or(loaded.state.updated_at);
        let loaded = self.expire_loaded(&claim.tenant, loaded).await?;
        match loaded.state.status {
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing => self.later_of(claim, &loaded, self.ever_longer(due)).await,
            IntentStatus::Authorized
            | IntentStatus::Captured
            | IntentStatus::Succeeded
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed => self.drop_job_of(claim, &loaded).await,
        }
    }

    /// Ends an intent whose time is up: nothing that is under way is ended, only what waits.
    async fn expire_loaded(
        self: &Arc<Self>,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
    ) -> Result<Loaded<Intent>> {
        match loaded.state.status {
            IntentStatus::Created | IntentStatus::Scheduled => {
                let work = self.work();
                let events = intent::decide(Some(&loaded.state), &Command::Cancel(Ended::Expired), work.at)?;
                Ok(self.write_intent(tenant, work, Some(&loaded), &events).await?)
            }
            IntentStatus::RequiresAction => {
                let closed = self
                    .payments(tenant)
                    .close_live(loaded, Some(Ended::Expired))
                    .await?;
                match closed {
                    Closed::Done(loaded) => Ok(loaded),
                    Closed::InDoubt(driven) => Ok(driven.loaded),
                }
            }
            IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Captured
            | IntentStatus::Succeeded
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed => Ok(loaded),
        }
    }

    pub(crate) async fn expire_session(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let tenant = &claim.tenant;
        let Some(loaded) = self.load::<Session>(tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        match loaded.state.status {
            SessionStatus::Succeeded | SessionStatus::Expired | SessionStatus::Cancelled => {
                return self.drop_job(claim).await;
            }
            SessionStatus::Pending | SessionStatus::Processing | SessionStatus::Failed => {}
        }
        let intent = match loaded.state.intent {
            Some(id) => self.load::<Intent>(tenant, id.uuid()).await?,
            None => None,
        };
        let now = self.runtime.clock.now();
        let review_at = loaded.state.expires_at.after(self.policy.review_after);
        let mut reason = session::ExpiryReason::TimeIsUp;
        if let Some(intent) = intent {
            let intent = match intent.state.open_op {
                Some(_) => intent,
                None => match self.expire_loaded(tenant, intent.clone()).await {
                    Ok(intent) => intent,
                    Err(error) => {
                        tracing::info!(%error, "a session's live attempt can't be closed yet");
                        intent
                    }
                },
            };
            let in_flight = intent.state.open_op.is_some() || intent.state.live_attempt().is_some();
            let holds = matches!(
                intent.state.status,
                IntentStatus::Authorized | IntentStatus::Captured | IntentStatus::Succeeded
            );
            match (in_flight, holds, now >= review_at) {
                // It may be given back yet, and then nothing is paid.
                (_, true, _) => return self.later(claim, self.policy.recheck_at_most).await,
                (true, false, false) => {
                    let pause = self.ever_longer(loaded.state.expires_at);
                    return self.later(claim, pause).await;
                }
                (true, false, true) => reason = session::ExpiryReason::OutcomeUnknown,
                (false, false, _) => {}
            }
        }
        let loaded = self.reload(tenant, &loaded).await?;
        let mut work = self.work();
        let events = session::decide(Some(&loaded.state), &session::Command::Expire(reason), work.at)?;
        self.include_session(&mut work, Some(&loaded), &events)?;
        match self.commit(tenant, work).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Gives money back that came for an expired session. Its key follows from the session: it goes back once.
    pub(crate) async fn refund_late_payment(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let tenant = &claim.tenant;
        let session = self.load::<Session>(tenant, claim.job.row.id).await?;
        let Some((session, intent)) =
            session.and_then(|session| session.state.intent.map(|intent| (session, intent)))
        else {
            return self.drop_job(claim).await;
        };
        let key = IdempotencyKey::new(format!("late-payment-{}", session.state.id))?;
        let reversed = self
            .payments(tenant)
            .reverse(&key, &intent, RefundReason::LateConfirmation)
            .await;
        let undone = reversed.map(|reply| match reply.outcome {
            ReverseOutcome::PartlyTaken { released, refunded } => released.err().or(refunded.err()),
            ReverseOutcome::Cancelled(_)
            | ReverseOutcome::Voided(_)
            | ReverseOutcome::Refunded(_)
            | ReverseOutcome::Released(_) => None,
        });
        match undone {
            // The same key tries the part again that did nothing.
            Ok(Some(error)) if error.retry() != Retry::Never => {
                self.later(claim, self.policy.sync_every).await
            }
            Ok(Some(error)) => {
                tracing::warn!(session = %session.state.id, %error, "a part of a late payment can't be given back by itself");
                self.drop_job(claim).await
            }
            Ok(None) => self.drop_job(claim).await,
            Err(error) if error.retry() == Retry::Never => {
                tracing::warn!(session = %session.state.id, %error, "a late payment can't be given back by itself");
                self.drop_job(claim).await
            }
            Err(error) => {
                self.later(claim, self.policy.sync_every).await?;
                Err(error)
            }
        }
    }
}

/// After so many tries in vain, about an hour of them, a person is asked as well.
const COMPENSATION_TRIES: u32 = 10;
