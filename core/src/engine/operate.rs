//! What stands behind the verbs: one operation on a payment, from its key to its drive.

use std::sync::Arc;

use super::aggregate::{Aggregate, Loaded};
use super::call::Call;
use super::commit::CommitFailure;
use super::drive::{Drive, Driven, FirstWrite, Sending, Writer};
use super::idempotency::{Before, Claimed, IdempotencyKey, Progress};
use super::operation::OpRequest;
use super::payments::{Payments, ReturnPayload};
use crate::connector::Connector;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::{OperationId, PaymentIntentId, SessionId};
use crate::intent::{self, Command, Ended, Intent, IntentStatus, Limits, NewIntent, OperationKind, Rest};
use crate::method::PaymentMethod;
use crate::money::{Currency, Money};
use crate::outcome::{PaymentOutcome, Reply, VoidOutcome};
use crate::secret::Volatile;
use crate::store::RowKey;

/// What came of a verb's operation.
#[derive(Debug)]
pub(crate) struct Operated {
    pub(crate) loaded: Loaded<Intent>,
    pub(crate) operation: OperationId,
    pub(crate) first_write: FirstWrite,
}

/// What came of closing a live attempt.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and moved on at once: a box would only cost"
)]
pub(crate) enum Closed {
    /// Another may be opened, or there was none.
    Done(Loaded<Intent>),
    /// It was asked to be closed, and nobody knows yet whether it is.
    InDoubt(Driven),
}

/// The operations behind the verbs.
impl Payments {
    pub(crate) fn limits(&self, currency: Currency) -> Limits {
        Limits {
            mode: self.tenant.mode(),
            cap_minor: self.engine.policy.cap_in(currency),
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
        let id = PaymentIntentId::from_uuid(self.tenant.mode(), self.engine.uuid());
        Intent {
            session,
            scheduled_method,
            ..new.into_state(id, self.engine.runtime.clock.now())
        }
    }

    /// What a key got before, as a payment's outcome.
    pub(crate) async fn replay_payment(&self, claimed: &Claimed) -> Result<Option<Reply<PaymentOutcome>>> {
        let before = self.engine.before::<Intent>(&self.tenant, claimed).await?;
        self.replayed(before).await
    }

    pub(crate) async fn replayed(&self, before: Before<Intent>) -> Result<Option<Reply<PaymentOutcome>>> {
        let loaded = match before {
            Before::Nothing | Before::Again(_) => return Ok(None),
            Before::Done(kept) => kept.shown,
            Before::Underway(progress, target) => self.underway(progress, target).await?,
        };
        let outcome = self.engine.payment_outcome(&self.tenant, &loaded, None).await?;
        Ok(Some(Reply::replayed(outcome)))
    }

    /// In flight: in progress. Unknown: as it stands.
    async fn underway(&self, progress: Progress, target: RowKey) -> Result<Loaded<Intent>> {
        let loaded = self.engine.load::<Intent>(&self.tenant, target.id).await?;
        match (progress, loaded) {
            (Progress::Unknown, Some(loaded)) => Ok(loaded),
            (Progress::InFlight, Some(loaded)) => Err(Error::in_progress(
                loaded.state.open_op.as_ref().map(|open| open.id),
            )),
            (_, None) => Err(Error::not_found("id", "payment")),
        }
    }

    /// What a caller is told of what was driven for it. Where another worker wrote the outcome, that is what every
    /// repetition gets.
    pub(crate) async fn told(&self, claimed: &Claimed, driven: Driven) -> Result<Reply<PaymentOutcome>> {
        if driven.writer == Writer::Another
            && let Ok(Some(reply)) = self.replay_payment(claimed).await
        {
            return Ok(Reply::first(reply.outcome));
        }
        Ok(Reply::first(self.outcome(driven).await?))
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

    /// One operation on the current attempt. `verb` is what the key is bound to; as a part of a reversal a verb has keys
    /// of its own.
    pub(crate) async fn operate(
        &self,
        verb: &'static str,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        request: &impl serde::Serialize,
        shape: impl FnOnce(&Intent) -> Result<(OperationKind, Money, Rest)>,
    ) -> Result<Reply<Operated>> {
        let claimed = match verb {
            "cancel" | "reverse_cancel" => Claimed::new(verb, key, id)?,
            _other => Claimed::new(verb, key, &(id, request))?,
        };
        match self.operate_first(verb, id, &claimed, shape).await {
            // The same request may have been at it, elsewhere.
            Err(error) if is_overtaken(&error) => self.operated_before(&claimed).await?.ok_or(error),
            reply => reply,
        }
    }

    /// What the key's request has come to so far.
    async fn operated_before(&self, claimed: &Claimed) -> Result<Option<Reply<Operated>>> {
        match self.engine.before::<Intent>(&self.tenant, claimed).await? {
            Before::Nothing | Before::Again(_) => Ok(None),
            Before::Done(kept) => {
                let first = with_operation(kept.first, claimed)?;
                let loaded = kept.shown;
                Ok(Some(Reply::replayed(Operated { loaded, ..first })))
            }
            Before::Underway(progress, target) => {
                let loaded = self.underway(progress, target).await?;
                Ok(Some(Reply::replayed(with_operation(loaded, claimed)?)))
            }
        }
    }

    /// Looks the key up, builds, W1, drive.
    async fn operate_first(
        &self,
        verb: &'static str,
        id: &PaymentIntentId,
        claimed: &Claimed,
        shape: impl FnOnce(&Intent) -> Result<(OperationKind, Money, Rest)>,
    ) -> Result<Reply<Operated>> {
        let verb = plain(verb);
        let loaded = self.load(id).await?;
        if let Some(reply) = self.operated_before(claimed).await? {
            return Ok(reply);
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
                Some(claimed),
                loaded,
                &command,
                operation,
                call,
                connector,
                payload,
            )
            .await?;
        let mut loaded = driven.loaded;
        if driven.writer == Writer::Another
            && let Ok(Before::Done(kept)) = self.engine.before::<Intent>(&self.tenant, claimed).await
        {
            loaded = kept.shown;
        }
        Ok(Reply::first(Operated {
            loaded,
            operation,
            first_write: driven.first_write,
        }))
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
    #[allow(clippy::too_many_arguments, reason = "one call's parts, each of another type")]
    pub(crate) async fn open_and_drive(
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
            work.unique(claimed.started(loaded.state.key(), work.at)?);
        }
        let after = self
            .engine
            .include_intent(&self.tenant, &mut work, Some(&loaded), &events)
            .await?;
        match self.engine.commit(&self.tenant, work).await {
            Ok(()) => {
                let drive = Drive {
                    operation,
                    connector,
                    call,
                    epoch: 1,
                    sending: Sending::First,
                    payload,
                };
                Ok(self.drive(after, drive).await)
            }
            Err(CommitFailure::Conflict(_)) => Err(self.lost_race(&loaded, claimed).await),
            Err(CommitFailure::InDoubt) => Ok(Driven::in_doubt(after)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Somebody else was faster: what they opened is in progress.
    async fn lost_race(&self, seen: &Loaded<Intent>, claimed: Option<&Claimed>) -> Error {
        if let Some(claimed) = claimed {
            match self.engine.before::<Intent>(&self.tenant, claimed).await {
                Ok(Before::Nothing | Before::Again(_)) => {}
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
    pub(crate) async fn drive(&self, loaded: Loaded<Intent>, drive: Drive) -> Driven {
        let (engine, tenant, opened) = (self.engine.clone(), self.tenant.clone(), loaded.clone());
        let driven = self
            .engine
            .shielded(async move { engine.drive(&tenant, loaded, drive).await })
            .await;
        driven.unwrap_or_else(|| Driven::to(opened, None)).told()
    }

    pub(crate) async fn complete_attempt(
        &self,
        id: &PaymentIntentId,
        payload: ReturnPayload,
    ) -> Result<PaymentOutcome> {
        let loaded = self.load(id).await?;
        let waiting = loaded.state.status == IntentStatus::RequiresAction && loaded.state.open_op.is_none();
        let Some(attempt) = loaded.state.live_attempt().cloned().filter(|_| waiting) else {
            return self.engine.payment_outcome(&self.tenant, &loaded, None).await;
        };
        let connector = self.connector(&attempt.account).await?;
        let (Some(payload), Some(_)) = (payload.0, &connector.complete) else {
            let driven = self.sync_loaded(loaded).await?;
            return self.outcome(driven.told()).await;
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

    pub(crate) async fn outcome(&self, driven: Driven) -> Result<PaymentOutcome> {
        let outcome = self
            .engine
            .payment_outcome(&self.tenant, &driven.loaded, driven.action)
            .await?;
        Ok(outcome.after(driven.first_write))
    }

    /// Closes the live attempt so that another may open. `ends`: how the intent ends with it.
    pub(crate) async fn close_live(&self, loaded: Loaded<Intent>, ends: Option<Ended>) -> Result<Closed> {
        let Some(attempt) = loaded.state.live_attempt().cloned() else {
            return Ok(Closed::Done(loaded));
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
                None => Ok(Closed::Done(synced)),
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
            (Some(_), _) => Ok(Closed::InDoubt(driven)),
            (None, None) => Ok(Closed::Done(driven.loaded)),
            // The payer may have been quicker: what is paid can't be cancelled.
            (None, Some(_)) => {
                let synced = self.sync_loaded(driven.loaded).await?.loaded;
                match synced.state.live_attempt() {
                    None => Ok(Closed::Done(synced)),
                    Some(_) => Err(refused(safe_after)),
                }
            }
        }
    }

    pub(crate) fn void_reply(&self, reply: Reply<Operated>) -> Result<Reply<VoidOutcome>> {
        let Operated {
            loaded,
            operation,
            first_write,
        } = reply.outcome;
        Ok(Reply {
            outcome: self.engine.void_outcome(&loaded, operation)?.after(first_write),
            replay: reply.replay,
        })
    }
}

/// The operation that a replayed row speaks of: the last of the verb that the key's record stands for.
fn with_operation(loaded: Loaded<Intent>, claimed: &Claimed) -> Result<Operated> {
    let verb = plain(claimed.unique.name.split('/').next().unwrap_or_default());
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
        Some(operation) => Ok(Operated {
            loaded,
            operation,
            first_write: FirstWrite::Done,
        }),
        None => Err(Error::not_found("idempotency_key", "operation")),
    }
}

/// The verb that does what a part of a reversal asks for.
fn plain(verb: &str) -> &str {
    verb.strip_prefix("reverse_").unwrap_or(verb)
}

/// Whether what refuses may be what the same request did meanwhile.
fn is_overtaken(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Stale | ErrorKind::OperationInProgress { .. } | ErrorKind::InvalidTransition { .. }
    )
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
pub(crate) fn outstanding(error: Error, state: &Intent) -> Error {
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
