//! The verbs of one tenant.

use std::sync::Arc;

use tracing::Instrument as _;

use super::Inner;
use super::idempotency::{Before, Claimed, IdempotencyKey};
use super::operate::{Operated, outstanding, same_currency, stale};
use super::operator::{Actor, Operator};
use super::refunds::awaits_settlement;
use crate::connector::VoidAfterCapture;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::{PaymentIntentId, RefundId, SessionId};
use crate::intent::{
    self, Challenge, Command, Ended, Intent, IntentStatus, IntentUpdate, NewIntent, OperationKind,
    PaymentIntent, Rest, Totals,
};
use crate::method::PaymentMethod;
use crate::money::Money;
use crate::outcome::{
    CaptureOutcome, NextAction, PaymentOutcome, RefundOutcome, Replay, Reply, ReverseOutcome, VoidOutcome,
};
use crate::refund::{NewRefund, Refund, RefundReason};
use crate::routing::Plan;
use crate::secret::Volatile;
use crate::session::{CheckoutSession, NewSession};
use crate::store::Planned;
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
pub struct ReturnPayload(pub(crate) Option<Volatile>);

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
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with every bad field; [`ErrorKind::IdempotencyMismatch`](crate::ErrorKind::IdempotencyMismatch).
    pub async fn create_intent(&self, key: &IdempotencyKey, new: NewIntent) -> Result<Reply<PaymentIntent>> {
        let span = tracing::info_span!("paymux.create_intent", tenant = %self.tenant);
        self.create(key, new, None).instrument(span).await
    }

    /// Checks a payment to be made. On its day a scheduled one is paid by itself, which takes a method.
    fn check_new(&self, new: &NewIntent, method: Option<&PaymentMethod>) -> Result<()> {
        new.check(self.limits(new.amount.currency()))?;
        match (new.scheduled_for, method) {
            (Some(_), None) => Err(Error::invalid(Fault::new(
                "scheduled_for",
                "nothing is there to pay with on that day",
                "use Payments::schedule, which takes the method",
            ))),
            (Some(_) | None, _) => Ok(()),
        }
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
        let span = tracing::info_span!("paymux.schedule", tenant = %self.tenant);
        self.create(key, new, Some(method)).instrument(span).await
    }

    async fn create(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
        method: Option<PaymentMethod>,
    ) -> Result<Reply<PaymentIntent>> {
        let claimed = Claimed::new("create_intent", key, &(&new, &method))?;
        match self.engine.before::<Intent>(&self.tenant, &claimed).await? {
            Before::Done(kept) => return Ok(Reply::replayed(kept.shown.view())),
            Before::Underway(..) => return Err(Error::in_progress(None)),
            Before::Nothing | Before::Again(_) => {}
        }
        self.check_new(&new, method.as_ref())?;
        let planned = self.planned(&claimed, self.new_state(new, None, method)).await?;
        let (batch, value) = (planned.batch, planned.value);
        let work = super::commit::Work::of(batch, self.engine.runtime.clock.now());
        match self.engine.commit(&self.tenant, work).await {
            Ok(()) => Ok(Reply::first(value)),
            Err(failure) => match self.engine.before::<Intent>(&self.tenant, &claimed).await? {
                Before::Done(kept) => Ok(Reply::replayed(kept.shown.view())),
                Before::Underway(..) | Before::Nothing | Before::Again(_) => Err(failure.into()),
            },
        }
    }

    /// What [`Payments::create_intent`] would write, for a store that shares the host's transaction: see its
    /// `commit_in`, which says so where the same request was written before.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with every bad field; [`ErrorKind::IdempotencyMismatch`](crate::ErrorKind::IdempotencyMismatch).
    pub async fn plan_create_intent(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
    ) -> Result<Planned<PaymentIntent>> {
        self.check_new(&new, None)?;
        let claimed = Claimed::new("create_intent", key, &(&new, &None::<PaymentMethod>))?;
        let _ = self.engine.before::<Intent>(&self.tenant, &claimed).await?;
        self.planned(&claimed, self.new_state(new, None, None)).await
    }

    async fn planned(&self, claimed: &Claimed, state: Intent) -> Result<Planned<PaymentIntent>> {
        let mut work = self.engine.work();
        let events = intent::decide(None, &Command::Create(Box::new(state)), work.at)?;
        let after = self
            .engine
            .include_intent(&self.tenant, &mut work, None, &events)
            .await?;
        work.unique(claimed.done_at_once(&work.row(&after)?, self.engine.keeping(work.at))?);
        Ok(Planned {
            tenant: self.tenant.clone(),
            batch: work.batch,
            value: after.view(),
        })
    }

    /// Where such a payment would go now, and why, by the tenant's accounts, rules, health and fees: nothing is written, and
    /// nothing sent. [`Plan::explanation`] says it for a person.
    ///
    /// # Errors
    /// What [`Payments::create_and_confirm`] would refuse before anything is sent, the host's own check apart.
    pub async fn plan_for(&self, new: NewIntent, with: impl Into<Confirm>) -> Result<Plan> {
        self.plan_dry(new, &with.into()).await
    }

    /// Makes a payment and confirms it: one first write for both.
    ///
    /// # Errors
    /// Nothing moved: [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), [`ErrorKind::NoRoute`](crate::ErrorKind::NoRoute), [`ErrorKind::NotExecuted`](crate::ErrorKind::NotExecuted) with every account's
    /// proof, [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden) by the host's own check, [`ErrorKind::OperationInProgress`](crate::ErrorKind::OperationInProgress) while the same key
    /// is at work, [`ErrorKind::IdempotencyMismatch`](crate::ErrorKind::IdempotencyMismatch).
    pub async fn create_and_confirm(
        &self,
        key: &IdempotencyKey,
        new: NewIntent,
        with: impl Into<Confirm>,
    ) -> Result<Reply<PaymentOutcome>> {
        let id = tracing::field::Empty;
        let span = tracing::info_span!("paymux.create_and_confirm", tenant = %self.tenant, id);
        self.make_and_confirm(key, new, with.into())
            .instrument(span)
            .await
    }

    /// Confirms a payment that was made before, or pays it by another method: then the live attempt is closed first.
    ///
    /// # Errors
    /// As [`Payments::create_and_confirm`]; [`ErrorKind::PayerActionOutstanding`](crate::ErrorKind::PayerActionOutstanding) where the payer may still complete
    /// an earlier action that can't be called back.
    pub async fn confirm(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        with: impl Into<Confirm>,
    ) -> Result<Reply<PaymentOutcome>> {
        let span = tracing::info_span!("paymux.confirm", tenant = %self.tenant, %id);
        self.confirm_intent(key, id, with.into()).instrument(span).await
    }

    /// The payer came back from an action. A reloaded return page is harmless: there is no key, and the payload is
    /// never believed. Where the account takes the payload, it is handed over; else the processor is asked.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); [`ErrorKind::NotExecuted`](crate::ErrorKind::NotExecuted);
    /// [`ErrorKind::Connectors`](crate::ErrorKind::Connectors) where the payment's account isn't registered any more.
    pub async fn complete(&self, id: &PaymentIntentId, payload: ReturnPayload) -> Result<PaymentOutcome> {
        let span = tracing::info_span!("paymux.complete", tenant = %self.tenant, %id);
        self.complete_attempt(id, payload).instrument(span).await
    }

    /// Takes what is held, whole or in part.
    ///
    /// # Errors
    /// Nothing moved: [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for more than is left or what wasn't granted,
    /// [`ErrorKind::InvalidTransition`](crate::ErrorKind::InvalidTransition), [`ErrorKind::OperationInProgress`](crate::ErrorKind::OperationInProgress), [`ErrorKind::NotExecuted`](crate::ErrorKind::NotExecuted).
    pub async fn capture(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        amount: CaptureAmount,
    ) -> Result<Reply<CaptureOutcome>> {
        let span = tracing::info_span!("paymux.capture", tenant = %self.tenant, %id);
        let reply = self
            .operate("capture", key, id, &amount, |state| {
                let (amount, rest) = match amount {
                    CaptureAmount::Remaining => (state.money(state.totals.capturable()), Rest::Release),
                    CaptureAmount::Part(part, rest) => (part, rest),
                };
                same_currency("amount", amount, state)?;
                Ok((OperationKind::Capture, amount, rest))
            })
            .instrument(span)
            .await?;
        let Operated {
            loaded,
            operation,
            first_write,
        } = reply.outcome;
        let outcome = self
            .engine
            .capture_outcome(&loaded, operation)?
            .after(first_write);
        Ok(Reply {
            outcome,
            replay: reply.replay,
        })
    }

    /// Raises what is held by `by`, where the processor granted that.
    ///
    /// # Errors
    /// As [`Payments::capture`].
    pub async fn increment(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        by: Money,
    ) -> Result<Reply<VoidOutcome>> {
        let span = tracing::info_span!("paymux.increment", tenant = %self.tenant, %id);
        let cap = self.engine.policy.cap_in(by.currency());
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
            .instrument(span)
            .await?;
        self.void_reply(reply)
    }

    /// Gives up what is held, where nothing of it was captured.
    ///
    /// # Errors
    /// As [`Payments::capture`].
    pub async fn void(&self, key: &IdempotencyKey, id: &PaymentIntentId) -> Result<Reply<VoidOutcome>> {
        let span = tracing::info_span!("paymux.void", tenant = %self.tenant, %id);
        self.void_held("void", key, id).instrument(span).await
    }

    /// Gives up what is held and not captured, where something was captured.
    ///
    /// # Errors
    /// As [`Payments::capture`].
    pub async fn release(&self, key: &IdempotencyKey, id: &PaymentIntentId) -> Result<Reply<VoidOutcome>> {
        let span = tracing::info_span!("paymux.release", tenant = %self.tenant, %id);
        self.release_rest("release", key, id).instrument(span).await
    }

    /// Stops a payment that isn't authorized yet; a live attempt is closed at its processor first.
    ///
    /// # Errors
    /// As [`Payments::capture`]; [`ErrorKind::PayerActionOutstanding`](crate::ErrorKind::PayerActionOutstanding) where the payer may still act and can't be
    /// called back.
    pub async fn cancel(&self, key: &IdempotencyKey, id: &PaymentIntentId) -> Result<Reply<VoidOutcome>> {
        let span = tracing::info_span!("paymux.cancel", tenant = %self.tenant, %id);
        self.stop("cancel", key, id).instrument(span).await
    }

    /// Gives money back: what is available, or a part of it.
    ///
    /// # Errors
    /// Nothing moved: [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for more than is available, [`ErrorKind::InvalidTransition`](crate::ErrorKind::InvalidTransition),
    /// [`ErrorKind::RefundNotSettled`](crate::ErrorKind::RefundNotSettled), [`ErrorKind::NotExecuted`](crate::ErrorKind::NotExecuted).
    pub async fn refund(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        new: NewRefund,
    ) -> Result<Reply<RefundOutcome>> {
        let span = tracing::info_span!("paymux.refund", tenant = %self.tenant, %id);
        self.make_refund("refund", key, id, new).instrument(span).await
    }

    /// Undoes a payment by whichever verbs fit: cancel, void, release and refund. Its keys are its own: the same key may
    /// have been one of any of these verbs. Where a part was captured it is two operations, one after the other: a
    /// repetition with the same key goes on where the first call ended.
    ///
    /// # Errors
    /// As that verb. Where a part was captured and this call did something by one of two verbs, an error of the other is
    /// in the outcome.
    pub async fn reverse(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        why: RefundReason,
    ) -> Result<Reply<ReverseOutcome>> {
        let span = tracing::info_span!("paymux.reverse", tenant = %self.tenant, %id);
        self.reverse_by_state(key, id, why).instrument(span).await
    }

    async fn reverse_by_state(
        &self,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        why: RefundReason,
    ) -> Result<Reply<ReverseOutcome>> {
        let loaded = self.load(id).await?;
        match self.reversal(&loaded.state, key).await? {
            Reversal::Cancel => {
                let reply = self.stop("reverse_cancel", key, id).await?;
                Ok(reply.map(ReverseOutcome::Cancelled))
            }
            Reversal::Void => {
                let reply = self.void_held("reverse_void", key, id).await?;
                Ok(reply.map(ReverseOutcome::Voided))
            }
            Reversal::Refund => {
                let new = NewRefund::available(why);
                let reply = self.make_refund("reverse_refund", key, id, new).await?;
                Ok(reply.map(ReverseOutcome::Refunded))
            }
            Reversal::ReleaseAndRefund => self.reverse_partly_taken(key, &loaded.state, why).await,
        }
    }

    /// Releases what is held, then refunds what was captured. Only what moved nothing for good leaves the refund to
    /// be made: what may change soon is awaited first.
    async fn reverse_partly_taken(
        &self,
        key: &IdempotencyKey,
        state: &Intent,
        why: RefundReason,
    ) -> Result<Reply<ReverseOutcome>> {
        let id = &state.id;
        let released = match self.release_rest("reverse_release", key, id).await {
            Ok(reply) => Ok(reply),
            Err(error) => match error.kind() {
                ErrorKind::NotExecuted | ErrorKind::Unsupported => Err(error),
                _other => return Err(error),
            },
        };
        let left = state.totals.refundable() > 0 || self.has_used("reverse_refund", key).await?;
        let released = match (left, released) {
            (false, released) => return Ok(released?.map(ReverseOutcome::Released)),
            (true, released) => released,
        };
        let new = NewRefund::available(why);
        let refunded = self.make_refund("reverse_refund", key, id, new).await;
        let replayed = |replay| replay == Replay::Replayed;
        let replay = match (released.as_ref(), refunded.as_ref()) {
            (Ok(one), Ok(two)) if replayed(one.replay) => two.replay,
            // This call has moved nothing.
            (Ok(one), Err(_)) if replayed(one.replay) => {
                return refunded.map(|reply| reply.map(ReverseOutcome::Refunded));
            }
            (Err(_), Ok(two)) if replayed(two.replay) => {
                return released.map(|reply| reply.map(ReverseOutcome::Released));
            }
            (Err(_), Err(_)) => return refunded.map(|reply| reply.map(ReverseOutcome::Refunded)),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Replay::First,
        };
        let outcome = ReverseOutcome::PartlyTaken {
            released: released.map(|reply| reply.outcome).map_err(Arc::new),
            refunded: refunded.map(|reply| reply.outcome).map_err(Arc::new),
        };
        Ok(Reply { outcome, replay })
    }

    /// A key that reversed before reverses by the same verbs again.
    async fn reversal(&self, state: &Intent, key: &IdempotencyKey) -> Result<Reversal> {
        let used = [
            ("reverse_cancel", Reversal::Cancel),
            ("reverse_void", Reversal::Void),
            ("reverse_release", Reversal::ReleaseAndRefund),
        ];
        for (verb, reversal) in used {
            if self.has_used(verb, key).await? {
                return Ok(reversal);
            }
        }
        let partly_taken = state.status == IntentStatus::Authorized && state.totals.captured > 0;
        if !partly_taken && self.has_used("reverse_refund", key).await? {
            return Ok(Reversal::Refund);
        }
        match state.status {
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing => Ok(Reversal::Cancel),
            IntentStatus::Authorized => match partly_taken {
                true => Ok(Reversal::ReleaseAndRefund),
                false => Ok(Reversal::Void),
            },
            IntentStatus::Captured => match self.voids_captured(state).await? {
                true => Ok(Reversal::Void),
                false => Ok(Reversal::Refund),
            },
            IntentStatus::Succeeded => Ok(Reversal::Refund),
            status @ (IntentStatus::Voided | IntentStatus::Cancelled | IntentStatus::Failed) => {
                Err(Error::transition(status, "reverse"))
            }
        }
    }

    async fn has_used(&self, verb: &str, key: &IdempotencyKey) -> Result<bool> {
        let claimed = Claimed::new(verb, key, &())?;
        self.engine.is_used(&self.tenant, &claimed.unique).await
    }

    async fn void_held(
        &self,
        verb: &'static str,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
    ) -> Result<Reply<VoidOutcome>> {
        let reply = self
            .operate(verb, key, id, &(), |state| {
                let held = state.money(state.totals.authorized);
                Ok((OperationKind::Void, held, Rest::Release))
            })
            .await?;
        self.void_reply(reply)
    }

    async fn release_rest(
        &self,
        verb: &'static str,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
    ) -> Result<Reply<VoidOutcome>> {
        let reply = self
            .operate(verb, key, id, &(), |state| {
                let Totals {
                    authorized, captured, ..
                } = state.totals;
                let rest = state.money(authorized - captured);
                Ok((OperationKind::Release, rest, Rest::Release))
            })
            .await?;
        self.void_reply(reply)
    }

    /// Cancels at once what was never sent, and by the processor what is live.
    async fn stop(
        &self,
        verb: &'static str,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
    ) -> Result<Reply<VoidOutcome>> {
        let loaded = self.load(id).await?;
        let claimed = Claimed::new(verb, key, id)?;
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
            work.unique(claimed.done_at_once(&after.encode()?, self.engine.keeping(work.at))?);
            let Err(failure) = self.engine.commit(&self.tenant, work).await else {
                return Ok(Reply::first(VoidOutcome::Voided(after.view())));
            };
            // The same request may have been at it, elsewhere.
            return match self.engine.before::<Intent>(&self.tenant, &claimed).await? {
                Before::Done(kept) => Ok(Reply::replayed(VoidOutcome::Voided(kept.shown.view()))),
                Before::Nothing | Before::Again(_) | Before::Underway(..) => Err(failure.into()),
            };
        }
        if let Before::Done(kept) = &before
            && kept
                .first
                .state
                .operations
                .iter()
                .all(|operation| operation.kind != OperationKind::Cancel)
        {
            return Ok(Reply::replayed(VoidOutcome::Voided(kept.shown.view())));
        }
        let reply = self
            .operate(verb, key, id, id, |state| match state.live_attempt() {
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

    /// Whether captured money can't be refunded yet but goes back by a void.
    async fn voids_captured(&self, state: &Intent) -> Result<bool> {
        let Some(attempt) = state.current() else {
            return Ok(false);
        };
        let connector = self.connector(&attempt.account).await?;
        let voids = connector.void.is_some()
            && connector.capabilities.void_after_capture == VoidAfterCapture::Yes
            && state.totals.refunded == 0
            && state.totals.refund_pending == 0;
        Ok(voids && awaits_settlement(state, attempt, &connector))
    }

    /// Changes a payment that hasn't been confirmed, if it is still as it was seen. Its amount stays while a superseded
    /// attempt can still be paid.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale) where it has changed; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); [`ErrorKind::InvalidTransition`](crate::ErrorKind::InvalidTransition).
    pub async fn update(&self, seen: &PaymentIntent, change: IntentUpdate) -> Result<PaymentIntent> {
        let loaded = self.load(seen.id()).await?;
        if loaded.version != seen.version() {
            return Err(stale());
        }
        let change = change.onto(&loaded.state.details);
        let mut faults = change
            .details
            .as_ref()
            .map(|details| intent::check_details(details, self.tenant.mode()))
            .unwrap_or_default();
        if let Some(amount) = change.amount {
            faults.extend(intent::check_amount(
                loaded.state.mode,
                amount,
                self.limits(amount.currency()),
            ));
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
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn intent(&self, id: &PaymentIntentId) -> Result<PaymentIntent> {
        Ok(self.load(id).await?.view())
    }

    /// A refund as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub async fn refund_by_id(&self, id: &RefundId) -> Result<Refund> {
        Ok(self.load_refund(id).await?.view())
    }

    /// Asks the processors how the payment stands: about every attempt that was ever sent, also one that was declined or
    /// taken for not executed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound); [`ErrorKind::Connectors`](crate::ErrorKind::Connectors) where its account isn't registered.
    pub async fn sync(&self, id: &PaymentIntentId) -> Result<PaymentIntent> {
        let span = tracing::info_span!("paymux.sync", tenant = %self.tenant, %id);
        let synced = async { self.sync_all(self.load(id).await?).await };
        Ok(synced.instrument(span).await?.view())
    }

    /// What the payer has to do, ready to be shown.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale) where there is nothing to do.
    pub async fn next_action(&self, id: &PaymentIntentId) -> Result<NextAction> {
        let loaded = self.load(id).await?;
        self.engine.next_action(&self.tenant, &loaded.state, None)
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
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with every bad field; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported); [`ErrorKind::NoRoute`](crate::ErrorKind::NoRoute).
    pub async fn check_session(&self, new: &NewSession) -> Result<()> {
        self.check_new_session(new).await
    }

    /// Makes a session: one order, one live payment, whatever the buyer's browser repeats.
    ///
    /// # Errors
    /// As [`Payments::check_session`]; [`ErrorKind::IdempotencyMismatch`](crate::ErrorKind::IdempotencyMismatch).
    pub async fn create_session(
        &self,
        key: &IdempotencyKey,
        new: NewSession,
    ) -> Result<Reply<CheckoutSession>> {
        let span = tracing::info_span!("paymux.create_session", tenant = %self.tenant);
        self.make_session(key, new).instrument(span).await
    }

    /// The buyer submits: the session's one payment is made, or confirmed again.
    ///
    /// # Errors
    /// As [`Payments::confirm`]; [`ErrorKind::SessionExpired`](crate::ErrorKind::SessionExpired); [`ErrorKind::SessionAlreadyCompleted`](crate::ErrorKind::SessionAlreadyCompleted).
    pub async fn submit(
        &self,
        key: &IdempotencyKey,
        id: &SessionId,
        with: impl Into<Confirm>,
    ) -> Result<Reply<PaymentOutcome>> {
        let span = tracing::info_span!("paymux.submit", tenant = %self.tenant, %id);
        self.submit_session(key, id, with.into()).instrument(span).await
    }

    /// The buyer steps back: the live attempt is closed, and another method may be chosen. A session that is still
    /// processing then has an attempt of which nobody knows yet whether it is closed.
    ///
    /// # Errors
    /// [`ErrorKind::PayerActionOutstanding`](crate::ErrorKind::PayerActionOutstanding) where the live attempt can't be called back.
    pub async fn step_back(&self, id: &SessionId) -> Result<CheckoutSession> {
        let span = tracing::info_span!("paymux.step_back", tenant = %self.tenant, %id);
        self.step_session_back(id).instrument(span).await
    }

    /// Cancels a session that isn't paid.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTransition`](crate::ErrorKind::InvalidTransition) while a payment is under way.
    pub async fn cancel_session(&self, id: &SessionId) -> Result<CheckoutSession> {
        let span = tracing::info_span!("paymux.cancel_session", tenant = %self.tenant, %id);
        self.cancel_pending_session(id).instrument(span).await
    }

    /// A session as it stands.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
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
    ReleaseAndRefund,
}
