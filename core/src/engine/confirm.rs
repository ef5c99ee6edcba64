//! A confirmation: the host's check, the route, W1, the drive.

use std::sync::Arc;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::commit::CommitFailure;
use super::drive::{Drive, Driven};
use super::idempotency::{Before, Claimed, IdempotencyKey};
use super::operate::Closed;
use super::payments::{Confirm, Payments};
use super::route::{Ask, Opened};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::PaymentIntentId;
use crate::intent::{self, Command, Intent, IntentStatus, NewIntent, PaymentIntent, PlanRecord};
use crate::method::PaymentMethod;
use crate::outcome::{PaymentOutcome, Reply};
use crate::risk::RiskVerdict;
use crate::routing::Plan;
use crate::store::RowKey;
use crate::tenant::Tenant;

/// Of each attempt that counts, so many in all: what is proved not executed is kept too, and read when the payment is.
const IN_ALL: usize = 10;

impl Payments {
    pub(crate) async fn make_and_confirm(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
        with: Confirm,
    ) -> Result<Reply<PaymentOutcome>> {
        let claimed = Claimed::new("create_and_confirm", key, &(&new, &with))?;
        let before = self.engine.before::<Intent>(&self.tenant, &claimed).await?;
        if let Before::Again(target) = before {
            return self.confirm_made(claimed, target, &new, with).await;
        }
        if let Some(reply) = self.replayed(before).await? {
            return Ok(reply);
        }
        new.check(self.limits(new.amount.currency()))?;
        if new.scheduled_for.is_some() {
            let fault = Fault::new(
                "scheduled_for",
                "it can't wait and be confirmed now",
                "use Payments::schedule",
            );
            return Err(Error::invalid(fault));
        }
        let state = self.new_state(new, None, None);
        tracing::Span::current().record("id", tracing::field::display(state.id));
        self.confirm_state(claimed, None, state, with, None).await
    }

    /// Where a payment would go, with nothing written and nothing sent.
    pub(crate) async fn plan_dry(&self, new: NewIntent, with: &Confirm) -> Result<Plan> {
        new.check(self.limits(new.amount.currency()))?;
        let state = self.new_state(new, None, None);
        Ok(self.confirmable(&state, with).await?.into_plan())
    }

    pub(crate) async fn confirm_intent(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        with: Confirm,
    ) -> Result<Reply<PaymentOutcome>> {
        let claimed = Claimed::new("confirm", key, &(id, &with))?;
        // Before the key is looked up: what is read here can't be what the same request, elsewhere, made of it since.
        let loaded = self.load(id).await?;
        if let Some(reply) = self.replay_payment(&claimed).await? {
            return Ok(reply);
        }
        let state = loaded.state.clone();
        self.confirm_state(claimed, Some(loaded), state, with, None).await
    }

    /// W1 of a confirmation, then its drive; a live attempt is closed first. `replaces`: the ended payment of the
    /// session that this one stands in for.
    pub(crate) async fn confirm_state(
        &self,
        claimed: Claimed,
        before: Option<Loaded<Intent>>,
        state: Intent,
        with: Confirm,
        replaces: Option<PaymentIntentId>,
    ) -> Result<Reply<PaymentOutcome>> {
        let engine = &self.engine;
        let plan = self.confirmable(&state, &with).await?;
        let verdict = match &before {
            Some(_) => {
                let verdict = engine.risk_before_again(&self.tenant, &state, &with.method);
                verdict.await?
            }
            None => engine.risk_before(&self.tenant, &state, &with.method).await?,
        };
        let ask = Ask {
            method: with.method,
            challenge: with.challenge,
            used: Some(claimed.key_use()),
            cause: None,
        };
        let (before, state) = match before {
            Some(loaded) if loaded.state.status == IntentStatus::RequiresAction => {
                // Boxed, since a payment's first confirmation needn't carry it.
                match Box::pin(self.close_for_another(loaded, &plan, &ask)).await? {
                    Closed::Done(closed) => {
                        let state = closed.state.clone();
                        (Some(closed), state)
                    }
                    Closed::InDoubt(driven) => return Ok(Reply::first(self.outcome(driven).await?)),
                }
            }
            before => (before, state),
        };
        match verdict {
            RiskVerdict::Allow => {}
            RiskVerdict::Refuse | RiskVerdict::Hold => {
                return self.risk_refused(claimed, before, state, verdict, replaces).await;
            }
        }
        let opened = engine.open_attempt(&self.tenant, &state, &plan, &ask).await?;
        let mut work = engine.work();
        let mut events = match &before {
            Some(_) => Vec::new(),
            None => intent::decide(None, &Command::Create(Box::new(state.clone())), work.at)?,
        };
        let Opened {
            plan,
            attempt,
            operation,
            call,
            connector,
        } = opened;
        let id = operation.id;
        let command = Command::Confirm {
            plan,
            attempt: Box::new(attempt),
            operation: Box::new(operation),
        };
        let said = intent::decide(Some(&state), &command, work.at)?;
        work.unique(claimed.started(state.key(), work.at)?);
        let left = super::drive::fold(state, &said);
        events.extend(said);
        if let Err(error) = self.submit_in(&mut work, &left, replaces).await {
            // The session may have been submitted meanwhile by this very request.
            return self.replay_payment(&claimed).await?.ok_or(error);
        }
        let after = engine
            .include_intent(&self.tenant, &mut work, before.as_ref(), &events)
            .await?;
        match engine.commit(&self.tenant, work).await {
            Ok(()) => {
                let driven = self.drive(after, Drive::first(id, connector, call)).await;
                self.told(&claimed, driven).await
            }
            Err(CommitFailure::InDoubt) => {
                let driven = Driven::in_doubt(after);
                Ok(Reply::first(self.outcome(driven).await?))
            }
            Err(failure) => match self.replay_payment(&claimed).await? {
                Some(reply) => Ok(reply),
                None => Err(failure.into()),
            },
        }
    }

    /// Goes on with the payment that a key made, of which nothing was executed. One that another request has paid or
    /// ended since is given as it stands.
    pub(crate) async fn confirm_made(
        &self,
        claimed: Claimed,
        target: RowKey,
        new: &NewIntent,
        with: Confirm,
    ) -> Result<Reply<PaymentOutcome>> {
        let made = self.engine.load::<Intent>(&self.tenant, target.id).await?;
        let made = made.ok_or_else(|| Error::not_found("id", "payment"))?;
        if made.state.status != IntentStatus::Created || made.state.open_op.is_some() {
            let outcome = self.engine.payment_outcome(&self.tenant, &made, None).await?;
            return Ok(Reply::replayed(outcome));
        }
        if made.state.amount != new.amount {
            let message = format!(
                "the payment that this key made is over {} by now: confirm it with Payments::confirm",
                made.state.amount
            );
            return Err(Error::new(ErrorKind::Stale, message));
        }
        let state = made.state.clone();
        self.confirm_state(claimed.again(), Some(made), state, with, None)
            .await
    }

    /// Closes the live attempt for another one. Whatever refuses that one speaks before it.
    async fn close_for_another(
        &self,
        loaded: Loaded<Intent>,
        plan: &PlanRecord,
        ask: &Ask,
    ) -> Result<Closed> {
        let engine = &self.engine;
        let _ = self
            .submitted(&loaded.state, None, engine.runtime.clock.now())
            .await?;
        let _ = engine
            .open_attempt(&self.tenant, &loaded.state, plan, ask)
            .await?;
        let closed = match self.close_live(loaded, None).await? {
            Closed::Done(closed) => closed,
            Closed::InDoubt(driven) => return Ok(Closed::InDoubt(driven)),
        };
        match closed.state.status {
            IntentStatus::Created => Ok(Closed::Done(closed)),
            // The payer was quicker.
            status @ (IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Captured
            | IntentStatus::Succeeded
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed) => Err(Error::transition(status, "confirm")),
        }
    }

    /// Checks the state, and routes. A payment whose live attempt has to be closed first is checked as it will be then.
    async fn confirmable(&self, state: &Intent, with: &Confirm) -> Result<PlanRecord> {
        if let Some(open) = &state.open_op {
            return Err(Error::in_progress(Some(open.id)));
        }
        match state.status {
            IntentStatus::Created | IntentStatus::RequiresAction => {}
            status @ (IntentStatus::Scheduled
            | IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Captured
            | IntentStatus::Succeeded
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed) => return Err(Error::transition(status, "confirm")),
        }
        if state
            .expires_at
            .is_some_and(|at| at <= self.engine.runtime.clock.now())
        {
            let fault = Fault::new("expires_at", "the payment's time is up", "make a new payment");
            return Err(Error::invalid(fault));
        }
        if state.is_held() {
            let fault = Fault::new(
                "id",
                "the host's check holds it for review",
                "let a person approve it: Operator::review",
            );
            let message = "held for review: a person has to approve it first";
            return Err(Error::new(ErrorKind::Forbidden, message).with_faults(vec![fault]));
        }
        let counted = state
            .attempts
            .iter()
            .filter(|attempt| attempt.status != intent::AttemptStatus::NotExecuted);
        let most = self.engine.policy.max_attempts;
        if counted.count() >= most || state.attempts.len() >= most.saturating_mul(IN_ALL) {
            let fault = Fault::new(
                "attempts",
                "the payment has no attempts left",
                "make a new payment, with another key",
            );
            return Err(Error::invalid(fault));
        }
        let faults = with.method.check();
        if !faults.is_empty() {
            return Err(Error::invalid_all(faults));
        }
        let (engine, tenant) = (&self.engine, &self.tenant);
        engine.route(tenant, state, &with.method, with.challenge).await
    }

    /// The host's own check said no, or wants a person: written, nothing sent.
    async fn risk_refused(
        &self,
        claimed: Claimed,
        before: Option<Loaded<Intent>>,
        state: Intent,
        verdict: RiskVerdict,
        replaces: Option<PaymentIntentId>,
    ) -> Result<Reply<PaymentOutcome>> {
        let mut work = self.engine.work();
        let mut events = match &before {
            Some(_) => Vec::new(),
            None => intent::decide(None, &Command::Create(Box::new(state.clone())), work.at)?,
        };
        let command = match verdict {
            RiskVerdict::Refuse => Command::Refuse,
            RiskVerdict::Hold | RiskVerdict::Allow => Command::Hold,
        };
        let said = intent::decide(Some(&state), &command, work.at)?;
        let left = super::drive::fold(state, &said);
        events.extend(said);
        self.submit_in(&mut work, &left, replaces).await?;
        let after = self
            .engine
            .include_intent(&self.tenant, &mut work, before.as_ref(), &events)
            .await?;
        work.unique(claimed.done_at_once(&after.encode()?, self.engine.keeping(work.at))?);
        if let Err(failure) = self.engine.commit(&self.tenant, work).await {
            return match self.replay_payment(&claimed).await? {
                Some(reply) => Ok(reply),
                None => Err(failure.into()),
            };
        }
        Ok(Reply::first(
            self.engine.payment_outcome(&self.tenant, &after, None).await?,
        ))
    }
}

impl Inner {
    /// The host's word on a payment that was made before: a person's is the last one, until the payment changes.
    pub(crate) async fn risk_before_again(
        &self,
        tenant: &Tenant,
        state: &Intent,
        method: &PaymentMethod,
    ) -> Result<RiskVerdict> {
        match self.risk.is_some() && self.was_approved(tenant, state).await? {
            true => Ok(RiskVerdict::Allow),
            false => self.risk_before(tenant, state, method).await,
        }
    }

    /// The host's word on a payment before it is sent.
    pub(crate) async fn risk_before(
        &self,
        tenant: &Tenant,
        state: &Intent,
        method: &PaymentMethod,
    ) -> Result<RiskVerdict> {
        let Some(risk) = &self.risk else {
            return Ok(RiskVerdict::Allow);
        };
        let view = PaymentIntent {
            state: Arc::new(state.clone()),
            version: 0,
        };
        risk.before(tenant, &view, method).await
    }
}
