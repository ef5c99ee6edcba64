//! The verbs of one tenant.

use std::sync::Arc;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::call::Call;
use super::drive::{Drive, Driven, Sending};
use super::idempotency::{Before, Claimed, IdempotencyKey, Stage};
use super::operation::OpRequest;
use super::operator::{Actor, Operator};
use super::route::{Ask, Opened};
use crate::connector::Connector;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::{OperationId, PaymentIntentId, RefundId, SessionId};
use crate::intent::{
    self, Challenge, Command, Ended, Intent, IntentStatus, IntentUpdate, Limits, NewIntent, OperationKind,
    PaymentIntent, PlanRecord, Rest, Totals,
};
use crate::method::PaymentMethod;
use crate::money::Money;
use crate::outcome::{
    CaptureOutcome, NextAction, PaymentOutcome, RefundOutcome, Reply, ReverseOutcome, VoidOutcome,
};
use crate::refund::{NewRefund, Refund, RefundReason};
use crate::risk::RiskVerdict;
use crate::secret::Volatile;
use crate::session::{CheckoutSession, NewSession};
use crate::store::{Planned, RowKey};
use crate::tenant::Tenant;

/// The verbs of one tenant. Cheap to clone. What creates or moves money takes its key first, and can't go without.
#[derive(Clone, Debug)]
pub struct Payments {
    pub(crate) engine: Arc<Inner>,
    pub(crate) tenant: Tenant,
}

/// How a payment is to be confirmed.
#[derive(Clone, Debug, serde::Serialize)]
#[must_use]
pub struct Confirm {
    pub(crate) method: PaymentMethod,
    pub(crate) challenge: Challenge,
}

impl Confirm {
    /// With this method.
    pub fn with(method: PaymentMethod) -> Self {
        Self {
            method,
            challenge: Challenge::AsNeeded,
        }
    }

    /// With a challenge.
    pub fn challenge(mut self, challenge: Challenge) -> Self {
        self.challenge = challenge;
        self
    }
}

impl From<PaymentMethod> for Confirm {
    fn from(method: PaymentMethod) -> Self {
        Self::with(method)
    }
}

/// How much to capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum CaptureAmount {
    /// All that is left; nothing stays held.
    Remaining,
    /// This much, and what becomes of the rest.
    Part(Money, Rest),
}

/// What the payer's browser brought back. It is never believed: the processor is asked.
#[derive(Clone, Debug, Default)]
pub struct ReturnPayload(Option<Volatile>);

impl ReturnPayload {
    /// The query of the return URL.
    pub fn query(raw: Option<String>) -> Self {
        Self(raw.filter(|raw| !raw.is_empty()).map(Volatile::new))
    }

    /// The body of a form that was posted back.
    pub fn form(body: &bytes::Bytes) -> Self {
        Self::query(String::from_utf8(body.to_vec()).ok())
    }

    /// Nothing.
    pub fn none() -> Self {
        Self(None)
    }
}

impl Payments {
    /// Whose verbs these are.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// A key that will never be used again: a request that can't be retried safely, said aloud.
    pub fn one_off_key(&self) -> IdempotencyKey {
        let key = format!("one-off-{}", self.engine.uuid());
        IdempotencyKey::new(key).unwrap_or_else(|_| unreachable!("a UUID is printable ASCII"))
    }

    /// Makes a payment without confirming it.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every bad field; [`ErrorKind::IdempotencyMismatch`].
    pub async fn create_intent(&self, key: &IdempotencyKey, new: NewIntent) -> Result<Reply<PaymentIntent>> {
        self.create(key, new, None).await
    }

    /// Makes a payment that is confirmed by itself at its time, with this method.
    ///
    /// # Errors
    /// As [`Payments::create_intent`]; a method with a one-time part can't wait.
    pub async fn schedule(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
        method: PaymentMethod,
    ) -> Result<Reply<PaymentIntent>> {
        if new.scheduled_for.is_none() {
            let fault = Fault::new(
                "scheduled_for",
                "it is missing",
                "set it with NewIntent::scheduled_for",
            );
            return Err(Error::invalid(fault));
        }
        if let Some(part) = method.volatile_part() {
            let fault = Fault::new(
                "method",
                format!("its {part} can't be kept"),
                "schedule with a token",
            );
            return Err(Error::invalid(fault));
        }
        self.create(key, new, Some(method)).await
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
        method: Option<PaymentMethod>,
    ) -> Result<Reply<PaymentIntent>> {
        let claimed = Claimed::new("create_intent", key, &(&new, &method))?;
        match self.engine.before::<Intent>(&self.tenant, &claimed).await? {
            Before::Done(loaded) => return Ok(Reply::replayed(loaded.view())),
            Before::Underway(..) => return Err(Error::in_progress(None)),
            Before::Nothing => {}
        }
        new.check(self.limits())?;
        let planned = self.planned(&claimed, self.new_state(new, None, method)).await?;
        let (batch, value) = (planned.batch, planned.value);
        let work = super::commit::Work {
            batch,
            at: self.engine.runtime.clock.now(),
        };
        match self.engine.commit(&self.tenant, work).await {
            Ok(()) => Ok(Reply::first(value)),
            Err(failure) => match self.engine.before::<Intent>(&self.tenant, &claimed).await? {
                Before::Done(loaded) => Ok(Reply::replayed(loaded.view())),
                Before::Underway(..) | Before::Nothing => Err(failure.into()),
            },
        }
    }

    /// What [`Payments::create_intent`] would write, for a store that shares the host's transaction: see its
    /// `commit_in`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every bad field.
    pub async fn plan_create_intent(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
    ) -> Result<Planned<PaymentIntent>> {
        new.check(self.limits())?;
        let claimed = Claimed::new("create_intent", key, &(&new, &None::<PaymentMethod>))?;
        self.planned(&claimed, self.new_state(new, None, None)).await
    }

    async fn planned(&self, claimed: &Claimed, state: Intent) -> Result<Planned<PaymentIntent>> {
        let mut work = self.engine.work();
        let events = intent::decide(None, &Command::Create(Box::new(state)), work.at)?;
        let after = self
            .engine
            .include_intent(&self.tenant, &mut work, None, &events)
            .await?;
        work.unique(claimed.done_at_once(&after.encode()?)?);
        Ok(Planned {
            tenant: self.tenant.clone(),
            batch: work.batch,
            value: after.view(),
        })
    }

    /// Makes a payment and confirms it: one first write for both.
    ///
    /// # Errors
    /// Nothing moved: [`ErrorKind::Invalid`], [`ErrorKind::NoRoute`], [`ErrorKind::NotExecuted`] with every account's
    /// proof, [`ErrorKind::Forbidden`] by the host's own check, [`ErrorKind::OperationInProgress`] while the same key
    /// is at work, [`ErrorKind::IdempotencyMismatch`].
    #[tracing::instrument(name = "paymux.create_and_confirm", skip_all, fields(tenant = %self.tenant))]
    pub async fn create_and_confirm(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
        with: impl Into<Confirm>,
    ) -> Result<Reply<PaymentOutcome>> {
        let with = with.into();
        let claimed = Claimed::new("create_and_confirm", key, &(&new, &with))?;
        if let Some(reply) = self.replay_payment(&claimed).await? {
            return Ok(reply);
        }
        new.check(self.limits())?;
        if new.scheduled_for.is_some() {
            let fault = Fault::new(
                "scheduled_for",
                "it can't wait and be confirmed now",
                "use Payments::schedule",
            );
            return Err(Error::invalid(fault));
        }
        let state = self.new_state(new, None, None);
        self.confirm_state(claimed, None, state, with).await
    }

    /// Confirms a payment that was made before, or pays it by another method: then the live attempt is closed first.
    ///
    /// # Errors
    /// As [`Payments::create_and_confirm`]; [`ErrorKind::PayerActionOutstanding`] where the payer may still complete
    /// an earlier action that can't be called back.
    #[tracing::instrument(name = "paymux.confirm", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn confirm(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        with: impl Into<Confirm>,
    ) -> Result<Reply<PaymentOutcome>> {
        let with = with.into();
        let claimed = Claimed::new("confirm", key, &(id, &with))?;
        if let Some(reply) = self.replay_payment(&claimed).await? {
            return Ok(reply);
        }
        let mut loaded = self.load(id).await?;
        if loaded.state.status == IntentStatus::RequiresAction && loaded.state.open_op.is_none() {
            loaded = self.close_live(loaded, None).await?;
        }
        let state = loaded.state.clone();
        self.confirm_state(claimed, Some(loaded), state, with).await
    }

    /// W1 of a confirmation, then its drive.
    pub(crate) async fn confirm_state(
        &self,
        claimed: Claimed,
        before: Option<Loaded<Intent>>,
        state: Intent,
        with: Confirm,
    ) -> Result<Reply<PaymentOutcome>> {
        let engine = &self.engine;
        let plan = self.confirmable(&state, &with).await?;
        match self.risk_before(&state, &with.method).await? {
            RiskVerdict::Allow => {}
            verdict @ (RiskVerdict::Refuse | RiskVerdict::Hold) => {
                return self.risk_refused(claimed, before, state, verdict).await;
            }
        }
        let ask = Ask {
            method: with.method,
            challenge: with.challenge,
            used: Some(claimed.key_use()),
        };
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
        events.extend(intent::decide(Some(&state), &command, work.at)?);
        work.unique(claimed.started(state.key())?);
        self.submit_in(&mut work, &state).await?;
        match engine
            .write_intent(&self.tenant, work, before.as_ref(), &events)
            .await
        {
            Ok(loaded) => {
                let driven = self.drive(loaded, Drive::first(id, connector, call)).await?;
                Ok(Reply::first(self.outcome(driven).await?))
            }
            Err(failure) => match self.replay_payment(&claimed).await? {
                Some(reply) => Ok(reply),
                None => Err(failure.into()),
            },
        }
    }

    /// Checks the state, and routes.
    async fn confirmable(&self, state: &Intent, with: &Confirm) -> Result<PlanRecord> {
        if let Some(open) = &state.open_op {
            return Err(Error::in_progress(Some(open.id)));
        }
        match state.status {
            IntentStatus::Created => {}
            status @ (IntentStatus::Scheduled
            | IntentStatus::RequiresAction
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
        if state
            .review
            .as_ref()
            .is_some_and(|review| review.reason == intent::ReviewReason::RiskHold)
        {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "held for review: a person has to approve it first",
            ));
        }
        let counted = state
            .attempts
            .iter()
            .filter(|attempt| attempt.status != intent::AttemptStatus::NotExecuted);
        if counted.count() >= self.engine.policy.max_attempts {
            let fault = Fault::new(
                "attempts",
                "the payment has no attempts left",
                "make a new payment",
            );
            return Err(Error::invalid(fault));
        }
        self.engine.route(&self.tenant, state, &with.method).await
    }

    async fn risk_before(&self, state: &Intent, method: &PaymentMethod) -> Result<RiskVerdict> {
        let Some(risk) = &self.engine.risk else {
            return Ok(RiskVerdict::Allow);
        };
        let view = PaymentIntent {
            state: Arc::new(state.clone()),
            version: 0,
        };
        risk.before(&self.tenant, &view, method).await
    }

    /// The host's own check said no, or wants a person: written, nothing sent.
    async fn risk_refused(
        &self,
        claimed: Claimed,
        before: Option<Loaded<Intent>>,
        state: Intent,
        verdict: RiskVerdict,
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
        events.extend(intent::decide(Some(&state), &command, work.at)?);
        let after = self
            .engine
            .include_intent(&self.tenant, &mut work, before.as_ref(), &events)
            .await?;
        work.unique(claimed.done_at_once(&after.encode()?)?);
        self.engine.commit(&self.tenant, work).await?;
        Ok(Reply::first(
            self.engine.payment_outcome(&self.tenant, &after, None).await?,
        ))
    }

    /// The payer came back from an action. A reloaded return page is harmless: there is no key, and the payload is
    /// never believed. Where the account takes the payload, it is handed over; else the processor is asked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::NotExecuted`].
    #[tracing::instrument(name = "paymux.complete", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn complete(&self, id: &PaymentIntentId, payload: ReturnPayload) -> Result<PaymentOutcome> {
        let loaded = self.load(id).await?;
        let waiting = loaded.state.status == IntentStatus::RequiresAction && loaded.state.open_op.is_none();
        let Some(attempt) = loaded.state.live_attempt().cloned().filter(|_| waiting) else {
            return self.engine.payment_outcome(&self.tenant, &loaded, None).await;
        };
        let connector = self.connector(&attempt.account).await?;
        let (Some(payload), Some(_)) = (payload.0, &connector.complete) else {
            let driven = self.sync_loaded(loaded).await?;
            return self.outcome(driven).await;
        };
        let request = OpRequest {
            kind: OperationKind::Complete,
            amount: attempt.amount,
            rest: Rest::Release,
            used: None,
            ends: None,
        };
        let (command, operation, call) =
            self.engine
                .open_with(&loaded.state, &attempt, &connector, request, &payload)?;
        let driven = self
            .open_and_drive(None, loaded, &command, operation, call, connector, payload)
            .await?;
        self.outcome(driven).await
    }

    /// Takes what is held, whole or in part.
    ///
    /// # Errors
    /// Nothing moved: [`ErrorKind::Invalid`] for more than is left or what wasn't granted,
    /// [`ErrorKind::InvalidTransition`], [`ErrorKind::OperationInProgress`], [`ErrorKind::NotExecuted`].
    #[tracing::instrument(name = "paymux.capture", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn capture(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        amount: CaptureAmount,
    ) -> Result<Reply<CaptureOutcome>> {
        let reply = self
            .operate("capture", key, id, &amount, |state| {
                let (amount, rest) = match amount {
                    CaptureAmount::Remaining => (state.money(state.totals.capturable()), Rest::Release),
                    CaptureAmount::Part(part, rest) => (part, rest),
                };
                same_currency("amount", amount, state)?;
                Ok((OperationKind::Capture, amount, rest))
            })
            .await?;
        let (loaded, operation) = reply.outcome;
        let outcome = self.engine.capture_outcome(&loaded, operation)?;
        Ok(Reply {
            outcome,
            replay: reply.replay,
        })
    }

    /// Raises what is held by `by`, where the processor granted that.
    ///
    /// # Errors
    /// As [`Payments::capture`].
    #[tracing::instrument(name = "paymux.increment", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn increment(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        by: Money,
    ) -> Result<Reply<VoidOutcome>> {
        let cap = self.engine.policy.cap_minor;
        let reply = self
            .operate("increment", key, id, &by, |state| {
                same_currency("by", by, state)?;
                let total = state
                    .totals
                    .authorized
                    .checked_add(by.minor())
                    .filter(|total| *total <= cap);
                match total {
                    Some(total) if by.minor() > 0 => {
                        Ok((OperationKind::Increment, state.money(total), Rest::Keep))
                    }
                    Some(_) | None => {
                        let fault = Fault::new(
                            "by",
                            "not an increment",
                            "raise by at least 1 minor unit, up to the cap",
                        );
                        Err(Error::invalid(fault))
                    }
                }
            })
            .await?;
        self.void_reply(reply)
    }

    /// Gives up what is held, where nothing of it was captured.
    ///
    /// # Errors
    /// As [`Payments::capture`].
    #[tracing::instrument(name = "paymux.void", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn void(&self, key: &IdempotencyKey, id: &PaymentIntentId) -> Result<Reply<VoidOutcome>> {
        let reply = self
            .operate("void", key, id, &(), |state| {
                Ok((
                    OperationKind::Void,
                    state.money(state.totals.authorized),
                    Rest::Release,
                ))
            })
            .await?;
        self.void_reply(reply)
    }

    /// Gives up what is held and not captured, where something was captured.
    ///
    /// # Errors
    /// As [`Payments::capture`].
    #[tracing::instrument(name = "paymux.release", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn release(&self, key: &IdempotencyKey, id: &PaymentIntentId) -> Result<Reply<VoidOutcome>> {
        let reply = self
            .operate("release", key, id, &(), |state| {
                let Totals {
                    authorized, captured, ..
                } = state.totals;
                Ok((
                    OperationKind::Release,
                    state.money(authorized - captured),
                    Rest::Release,
                ))
            })
            .await?;
        self.void_reply(reply)
    }

    /// Stops a payment that isn't authorized yet; a live attempt is closed at its processor first.
    ///
    /// # Errors
    /// As [`Payments::capture`]; [`ErrorKind::PayerActionOutstanding`] where the payer may still act and can't be
    /// called back.
    #[tracing::instrument(name = "paymux.cancel", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn cancel(&self, key: &IdempotencyKey, id: &PaymentIntentId) -> Result<Reply<VoidOutcome>> {
        let loaded = self.load(id).await?;
        let claimed = Claimed::new("cancel", key, id)?;
        let before = self.engine.before::<Intent>(&self.tenant, &claimed).await?;
        if let (Before::Nothing, IntentStatus::Created | IntentStatus::Scheduled) =
            (&before, loaded.state.status)
        {
            let mut work = self.engine.work();
            let events = intent::decide(Some(&loaded.state), &Command::Cancel(Ended::Cancelled), work.at)?;
            let after = self
                .engine
                .include_intent(&self.tenant, &mut work, Some(&loaded), &events)
                .await?;
            work.unique(claimed.done_at_once(&after.encode()?)?);
            self.engine.commit(&self.tenant, work).await?;
            return Ok(Reply::first(VoidOutcome::Voided(after.view())));
        }
        if let Before::Done(done) = &before
            && done
                .state
                .operations
                .iter()
                .all(|operation| operation.kind != OperationKind::Cancel)
        {
            return Ok(Reply::replayed(VoidOutcome::Voided(done.view())));
        }
        let reply = self
            .operate("cancel", key, id, id, |state| match state.live_attempt() {
                Some(attempt) => Ok((OperationKind::Cancel, attempt.amount, Rest::Release)),
                None => match &state.open_op {
                    Some(open) => Err(Error::in_progress(Some(open.id))),
                    None => Err(Error::transition(state.status, "cancel")),
                },
            })
            .await;
        let reply = reply.map_err(|error| outstanding(error, &loaded.state))?;
        self.void_reply(reply)
    }

    /// Gives money back: what is available, or a part of it.
    ///
    /// # Errors
    /// Nothing moved: [`ErrorKind::Invalid`] for more than is available, [`ErrorKind::InvalidTransition`],
    /// [`ErrorKind::RefundNotSettled`], [`ErrorKind::NotExecuted`].
    #[tracing::instrument(name = "paymux.refund", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn refund(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        new: NewRefund,
    ) -> Result<Reply<RefundOutcome>> {
        self.make_refund(key, id, new).await
    }

    /// Undoes a payment by whichever verb fits: cancel, void or refund.
    ///
    /// # Errors
    /// As that verb.
    pub async fn reverse(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        why: RefundReason,
    ) -> Result<Reply<ReverseOutcome>> {
        let loaded = self.load(id).await?;
        let fits = self.reversal(&loaded.state, key).await?;
        Ok(match fits {
            Reversal::Cancel => self.cancel(key, id).await?.map(ReverseOutcome::Cancelled),
            Reversal::Void => self.void(key, id).await?.map(ReverseOutcome::Voided),
            Reversal::Refund => self
                .refund(key, id, NewRefund::available(why))
                .await?
                .map(ReverseOutcome::Refunded),
        })
    }

    /// A key that reversed before reverses by the same verb again.
    async fn reversal(&self, state: &Intent, key: &IdempotencyKey) -> Result<Reversal> {
        let used = [
            ("cancel", Reversal::Cancel),
            ("void", Reversal::Void),
            ("refund", Reversal::Refund),
        ];
        for (verb, reversal) in used {
            let claimed = Claimed::new(verb, key, &())?;
            if self
                .engine
                .store
                .lookup(&self.tenant, &claimed.unique)
                .await
                .map_err(super::commit::unreadable)?
                .is_some()
            {
                return Ok(reversal);
            }
        }
        match state.status {
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing => Ok(Reversal::Cancel),
            IntentStatus::Authorized if state.totals.captured == 0 => Ok(Reversal::Void),
            IntentStatus::Authorized | IntentStatus::Captured | IntentStatus::Succeeded => {
                Ok(Reversal::Refund)
            }
            status @ (IntentStatus::Voided | IntentStatus::Cancelled | IntentStatus::Failed) => {
                Err(Error::transition(status, "reverse"))
            }
        }
    }

    /// Changes a payment that hasn't been confirmed, if it is still as it was seen.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] where it has changed; [`ErrorKind::Invalid`]; [`ErrorKind::InvalidTransition`].
    pub async fn update(&self, seen: &PaymentIntent, change: IntentUpdate) -> Result<PaymentIntent> {
        let loaded = self.load(seen.id()).await?;
        if loaded.version != seen.version() {
            return Err(stale());
        }
        let change = change.onto(&loaded.state.details);
        let mut faults = change
            .details
            .as_ref()
            .map(intent::check_details)
            .unwrap_or_default();
        if let Some(amount) = change.amount {
            faults.extend(intent::check_amount(loaded.state.mode, amount, self.limits()));
            if amount.currency() != loaded.state.amount.currency() {
                faults.push(Fault::new("amount", "another currency", "make a new payment"));
            }
        }
        if !faults.is_empty() {
            return Err(Error::invalid_all(faults));
        }
        let work = self.engine.work();
        let events = intent::decide(Some(&loaded.state), &Command::Update(Box::new(change)), work.at)?;
        let after = self
            .engine
            .write_intent(&self.tenant, work, Some(&loaded), &events)
            .await
            .map_err(Error::from)?;
        Ok(after.view())
    }

    /// A payment as it stands. Another tenant's reads exactly like one that isn't there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn intent(&self, id: &PaymentIntentId) -> Result<PaymentIntent> {
        Ok(self.load(id).await?.view())
    }

    /// A refund as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn refund_by_id(&self, id: &RefundId) -> Result<Refund> {
        Ok(self.load_refund(id).await?.view())
    }

    /// Asks the processor how the payment stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Connectors`] where its account isn't registered.
    #[tracing::instrument(name = "paymux.sync", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn sync(&self, id: &PaymentIntentId) -> Result<PaymentIntent> {
        let loaded = self.load(id).await?;
        Ok(self.sync_loaded(loaded).await?.loaded.view())
    }

    /// What the payer has to do, ready to be shown.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] where there is nothing to do.
    pub async fn next_action(&self, id: &PaymentIntentId) -> Result<NextAction> {
        let loaded = self.load(id).await?;
        self.engine.next_action(&self.tenant, &loaded.state, None).await
    }

    /// How a payment stands, as its verbs would say it.
    ///
    /// # Errors
    /// As [`Payments::confirm`].
    pub async fn outcome_of(&self, id: &PaymentIntentId) -> Result<PaymentOutcome> {
        let loaded = self.load(id).await?;
        self.engine.payment_outcome(&self.tenant, &loaded, None).await
    }

    /// Checks a session's fields without writing anything.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every bad field; [`ErrorKind::Unsupported`]; [`ErrorKind::NoRoute`].
    pub async fn check_session(&self, new: &NewSession) -> Result<()> {
        self.check_new_session(new).await
    }

    /// Makes a session: one order, one live payment, whatever the buyer's browser repeats.
    ///
    /// # Errors
    /// As [`Payments::check_session`]; [`ErrorKind::IdempotencyMismatch`].
    pub async fn create_session(
        &self,
        key: &IdempotencyKey,
        new: NewSession,
    ) -> Result<Reply<CheckoutSession>> {
        self.make_session(key, new).await
    }

    /// The buyer submits: the session's one payment is made, or confirmed again.
    ///
    /// # Errors
    /// As [`Payments::confirm`]; [`ErrorKind::SessionExpired`]; [`ErrorKind::SessionAlreadyCompleted`].
    #[tracing::instrument(name = "paymux.submit", skip_all, fields(tenant = %self.tenant, %id))]
    pub async fn submit(
        &self,
        key: &IdempotencyKey,
        id: &SessionId,
        with: impl Into<Confirm>,
    ) -> Result<Reply<PaymentOutcome>> {
        self.submit_session(key, id, with.into()).await
    }

    /// The buyer steps back: the live attempt is closed, and another method may be chosen.
    ///
    /// # Errors
    /// [`ErrorKind::PayerActionOutstanding`] where the live attempt can't be called back.
    pub async fn step_back(&self, id: &SessionId) -> Result<CheckoutSession> {
        self.step_session_back(id).await
    }

    /// Cancels a session that isn't paid.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTransition`] while a payment is under way.
    pub async fn cancel_session(&self, id: &SessionId) -> Result<CheckoutSession> {
        self.cancel_pending_session(id).await
    }

    /// A session as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn session(&self, id: &SessionId) -> Result<CheckoutSession> {
        Ok(self.load_session(id).await?.view())
    }

    /// The verbs of a person, whose name is recorded with each.
    pub fn operator(&self, who: Actor) -> Operator {
        Operator {
            payments: self.clone(),
            who,
        }
    }
}

enum Reversal {
    Cancel,
    Void,
    Refund,
}

/// The operations behind the verbs.
impl Payments {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            cap_minor: self.engine.policy.cap_minor,
            now: self.engine.runtime.clock.now(),
        }
    }

    pub(crate) async fn load(&self, id: &PaymentIntentId) -> Result<Loaded<Intent>> {
        let found = match id.mode() == self.tenant.mode() {
            true => self.engine.load::<Intent>(&self.tenant, id.uuid()).await?,
            false => None,
        };
        found.ok_or_else(|| Error::not_found("id", "payment"))
    }

    pub(crate) fn new_state(
        &self,
        new: NewIntent,
        session: Option<SessionId>,
        scheduled_method: Option<PaymentMethod>,
    ) -> Intent {
        let now = self.engine.runtime.clock.now();
        Intent {
            id: PaymentIntentId::from_uuid(self.tenant.mode(), self.engine.uuid()),
            mode: new.mode,
            amount: new.amount,
            capture_method: new.capture_method,
            status: match new.scheduled_for {
                Some(_) => IntentStatus::Scheduled,
                None => IntentStatus::Created,
            },
            details: Arc::new(new.details),
            session,
            scheduled_for: new.scheduled_for,
            scheduled_method,
            expires_at: new.expires_at,
            totals: Totals::default(),
            attempts: Vec::new(),
            captures: Vec::new(),
            operations: Vec::new(),
            open_op: None,
            winner: None,
            ended: None,
            last_decline: None,
            last_failure: None,
            plan: None,
            review: None,
            risk_after: intent::RiskAfter::Settled,
            refunds: std::collections::BTreeMap::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// What a key got before, as a payment's outcome.
    pub(crate) async fn replay_payment(&self, claimed: &Claimed) -> Result<Option<Reply<PaymentOutcome>>> {
        let loaded = match self.engine.before::<Intent>(&self.tenant, claimed).await? {
            Before::Nothing => return Ok(None),
            Before::Done(loaded) => loaded,
            Before::Underway(stage, target) => self.underway(stage, target).await?,
        };
        let outcome = self.engine.payment_outcome(&self.tenant, &loaded, None).await?;
        Ok(Some(Reply::replayed(outcome)))
    }

    /// In flight: in progress. Unknown: as it stands.
    async fn underway(&self, stage: Stage, target: RowKey) -> Result<Loaded<Intent>> {
        let loaded = self.engine.load::<Intent>(&self.tenant, target.id).await?;
        match (stage, loaded) {
            (Stage::Open | Stage::Done, Some(loaded)) => Ok(loaded),
            (Stage::InProgress, Some(loaded)) => Err(Error::in_progress(
                loaded.state.open_op.as_ref().map(|open| open.id),
            )),
            (_, None) => Err(Error::not_found("id", "payment")),
        }
    }

    pub(crate) async fn connector(&self, account: &crate::AccountRef) -> Result<Arc<Connector>> {
        self.engine
            .connectors
            .get(&self.tenant, account)
            .await?
            .ok_or_else(|| {
                let fault = Fault::new(
                    "account",
                    format!("{account} isn't registered"),
                    "register it again",
                );
                Error::new(ErrorKind::Connectors, "the payment's account isn't registered")
                    .with_faults(vec![fault])
            })
    }

    /// One operation on the current attempt: claim the key, build, W1, drive.
    async fn operate(
        &self,
        verb: &'static str,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        request: &impl serde::Serialize,
        shape: impl FnOnce(&Intent) -> Result<(OperationKind, Money, Rest)>,
    ) -> Result<Reply<(Loaded<Intent>, OperationId)>> {
        let claimed = match verb {
            "cancel" => Claimed::new(verb, key, id)?,
            _other => Claimed::new(verb, key, &(id, request))?,
        };
        let loaded = self.load(id).await?;
        match self.engine.before::<Intent>(&self.tenant, &claimed).await? {
            Before::Nothing => {}
            Before::Done(done) => return Ok(Reply::replayed(with_operation(done, &claimed)?)),
            Before::Underway(stage, target) => {
                let loaded = self.underway(stage, target).await?;
                return Ok(Reply::replayed(with_operation(loaded, &claimed)?));
            }
        }
        let (kind, amount, rest) = shape(&loaded.state)?;
        let attempt = match kind {
            OperationKind::Cancel => loaded.state.live_attempt(),
            _other => loaded.state.current(),
        };
        let Some(attempt) = attempt.cloned() else {
            return Err(Error::transition(loaded.state.status, verb));
        };
        let connector = self.connector(&attempt.account).await?;
        let ends = match kind {
            OperationKind::Cancel => Some(Ended::Cancelled),
            _other => None,
        };
        let partial = kind == OperationKind::Capture && amount.minor() < loaded.state.totals.capturable();
        if partial && !connector.capabilities.partial_capture.is_offered() {
            return Err(Error::invalid(Fault::new(
                "amount",
                "the account captures whole authorizations alone",
                "capture all of it",
            )));
        }
        let request = OpRequest {
            kind,
            amount,
            rest,
            used: Some(claimed.key_use()),
            ends,
        };
        let built = self
            .engine
            .open_operation(&loaded.state, &attempt, &connector, request);
        let (command, operation, call) = match built {
            Ok(built) => built,
            // What the state forbids is said before what the account lacks.
            Err(cannot) => {
                self.refuse_by_state(&loaded.state, kind)?;
                return Err(cannot.into());
            }
        };
        let payload = Volatile::default();
        let driven = self
            .open_and_drive(
                Some(&claimed),
                loaded,
                &command,
                operation,
                call,
                connector,
                payload,
            )
            .await?;
        Ok(Reply::first((driven.loaded, operation)))
    }

    fn refuse_by_state(&self, state: &Intent, kind: OperationKind) -> Result<()> {
        if let Some(open) = &state.open_op {
            return Err(Error::in_progress(Some(open.id)));
        }
        let fits = match kind {
            OperationKind::Cancel => matches!(
                state.status,
                IntentStatus::RequiresAction | IntentStatus::Processing
            ),
            _other => matches!(state.status, IntentStatus::Authorized | IntentStatus::Captured),
        };
        if fits {
            Ok(())
        } else {
            Err(Error::transition(state.status, kind.as_str()))
        }
    }

    /// W1 of an operation, then its drive.
    #[allow(clippy::too_many_arguments)] // one call's parts, each of another type
    async fn open_and_drive(
        &self,
        claimed: Option<&Claimed>,
        loaded: Loaded<Intent>,
        command: &Command,
        operation: OperationId,
        call: Call,
        connector: Arc<Connector>,
        payload: Volatile,
    ) -> Result<Driven> {
        let mut work = self.engine.work();
        let events = intent::decide(Some(&loaded.state), command, work.at)?;
        if let Some(claimed) = claimed {
            work.unique(claimed.started(loaded.state.key())?);
        }
        let written = self
            .engine
            .write_intent(&self.tenant, work, Some(&loaded), &events)
            .await;
        match written {
            Ok(after) => {
                let drive = Drive {
                    operation,
                    connector,
                    call,
                    epoch: 1,
                    sending: Sending::First,
                    payload,
                };
                self.drive(after, drive).await
            }
            Err(super::commit::CommitFailure::Conflict(_)) => Err(self.lost_race(&loaded, claimed).await),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Somebody else was faster: what they opened is in progress.
    async fn lost_race(&self, seen: &Loaded<Intent>, claimed: Option<&Claimed>) -> Error {
        if let Some(claimed) = claimed {
            match self.engine.before::<Intent>(&self.tenant, claimed).await {
                Ok(Before::Nothing) => {}
                Ok(Before::Done(_) | Before::Underway(..)) => return Error::in_progress(None),
                Err(error) => return error,
            }
        }
        match self.load(&seen.state.id).await {
            Ok(now) => match &now.state.open_op {
                Some(open) => Error::in_progress(Some(open.id)),
                None => stale(),
            },
            Err(error) => error,
        }
    }

    /// With `Spawn`, W1 to W3 run to their end even if the caller goes away.
    pub(crate) async fn drive(&self, loaded: Loaded<Intent>, drive: Drive) -> Result<Driven> {
        let (engine, tenant) = (self.engine.clone(), self.tenant.clone());
        self.engine
            .shielded(async move { engine.drive(&tenant, loaded, drive).await })
            .await
    }

    pub(crate) async fn outcome(&self, driven: Driven) -> Result<PaymentOutcome> {
        self.engine
            .payment_outcome(&self.tenant, &driven.loaded, driven.action)
            .await
    }

    /// Closes the live attempt so that another may open. `ends`: how the intent ends with it.
    pub(crate) async fn close_live(
        &self,
        loaded: Loaded<Intent>,
        ends: Option<Ended>,
    ) -> Result<Loaded<Intent>> {
        let Some(attempt) = loaded.state.live_attempt().cloned() else {
            return Ok(loaded);
        };
        let now = self.engine.runtime.clock.now();
        let action = attempt
            .known
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.action.as_ref());
        let safe_after = action.and_then(|action| action.expires_at);
        let refused = |safe_after| {
            let message = "the payer may still complete an earlier action, and it can't be called back";
            Error::new(ErrorKind::PayerActionOutstanding { safe_after }, message)
        };
        let connector = self.connector(&attempt.account).await?;
        if connector.cancel.is_none() {
            // An action that has expired can't be completed: the processor says so when it is asked.
            let synced = match safe_after.is_some_and(|at| at <= now) {
                true => self.sync_loaded(loaded).await?.loaded,
                false => return Err(refused(safe_after)),
            };
            return match synced.state.live_attempt() {
                None => Ok(synced),
                Some(_) => Err(refused(None)),
            };
        }
        let request = OpRequest {
            kind: OperationKind::Cancel,
            amount: attempt.amount,
            rest: Rest::Release,
            used: None,
            ends,
        };
        let (command, operation, call) =
            self.engine
                .open_operation(&loaded.state, &attempt, &connector, request)?;
        let payload = Volatile::default();
        let driven = self
            .open_and_drive(None, loaded, &command, operation, call, connector, payload)
            .await?;
        let state = &driven.loaded.state;
        match (&state.open_op, state.live_attempt()) {
            (Some(open), _) => Err(Error::in_progress(Some(open.id))),
            (None, Some(_)) => Err(refused(safe_after)),
            (None, None) => Ok(driven.loaded),
        }
    }

    fn void_reply(&self, reply: Reply<(Loaded<Intent>, OperationId)>) -> Result<Reply<VoidOutcome>> {
        let (loaded, operation) = reply.outcome;
        Ok(Reply {
            outcome: self.engine.void_outcome(&loaded, operation)?,
            replay: reply.replay,
        })
    }
}

/// The operation that a replayed row speaks of: the last of the verb that the key's record stands for.
fn with_operation(loaded: Loaded<Intent>, claimed: &Claimed) -> Result<(Loaded<Intent>, OperationId)> {
    let verb = claimed.unique.name.split('/').next().unwrap_or_default();
    let open = loaded
        .state
        .open_op
        .as_ref()
        .filter(|open| open.idempotency.as_ref() == Some(&claimed.key_use()));
    let last = || {
        loaded
            .state
            .operations
            .iter()
            .rev()
            .find(|operation| operation.kind.as_str() == verb)
    };
    match open
        .map(|open| open.id)
        .or_else(|| last().map(|operation| operation.id))
    {
        Some(operation) => Ok((loaded, operation)),
        None => Err(Error::not_found("idempotency_key", "operation")),
    }
}

pub(crate) fn stale() -> Error {
    Error::new(
        ErrorKind::Stale,
        "it has changed since it was read: read it again and decide anew",
    )
}

pub(crate) fn same_currency(field: &'static str, amount: Money, state: &Intent) -> Result<()> {
    if amount.currency() == state.amount.currency() {
        return Ok(());
    }
    let problem = format!("{} isn't the payment's currency", amount.currency());
    Err(Error::invalid(Fault::new(
        field,
        problem,
        format!("use {}", state.amount.currency()),
    )))
}

/// A cancel that the account can't do is a payer who can't be called back.
fn outstanding(error: Error, state: &Intent) -> Error {
    match error.kind() {
        ErrorKind::Unsupported => {
            let live = state
                .live_attempt()
                .and_then(|attempt| attempt.known.waiting.as_ref());
            let safe_after = live
                .and_then(|waiting| waiting.action.as_ref())
                .and_then(|action| action.expires_at);
            let message = "the payer may still complete an earlier action, and it can't be called back";
            Error::new(ErrorKind::PayerActionOutstanding { safe_after }, message)
        }
        _other => error,
    }
}
