//! The verbs of checkout sessions.

use std::sync::Arc;

use super::aggregate::{Aggregate, Loaded};
use super::commit::Work;
use super::idempotency::{Before, Claimed, IdempotencyKey};
use super::operate::{Closed, stale};
use super::payments::{Confirm, Payments};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::{PaymentIntentId, SessionId};
use crate::intent::{Intent, IntentStatus, NewIntent};
use crate::outcome::{PaymentOutcome, Reply};
use crate::session::{self, CheckoutSession, Command, NewSession, OnSubmit, Session, SessionEvent};
use crate::store::{Scope, Unique, UniqueKey, UniqueWrite};
use crate::time::Timestamp;

impl Loaded<Session> {
    pub(crate) fn view(&self) -> CheckoutSession {
        CheckoutSession {
            state: Arc::new(self.state.clone()),
            version: self.version,
        }
    }
}

impl Payments {
    pub(crate) async fn load_session(&self, id: &SessionId) -> Result<Loaded<Session>> {
        let found = match id.mode() == self.tenant.mode() {
            true => self.engine.load::<Session>(&self.tenant, id.uuid()).await?,
            false => None,
        };
        found.ok_or_else(|| Error::not_found("id", "session"))
    }

    pub(crate) async fn check_new_session(&self, new: &NewSession) -> Result<()> {
        new.check(self.limits(new.intent.amount.currency()))?;
        match new.on_submit {
            OnSubmit::Charge => {}
            OnSubmit::Tokenize | OnSubmit::ChargeAndSave => {
                let fault = Fault::new("on_submit", "methods can't be kept yet", "use OnSubmit::Charge");
                let error = Error::new(ErrorKind::Unsupported, "methods can't be kept yet");
                return Err(error.with_faults(vec![fault]));
            }
        }
        let accounts = self.engine.connectors.accounts(&self.tenant).await?;
        let currency = new.intent.amount.currency();
        if accounts
            .iter()
            .any(|connector| connector.capabilities.currencies.contains(&currency))
        {
            return Ok(());
        }
        let fault = Fault::new(
            "amount",
            format!("no account takes {currency}"),
            "register one, or charge otherwise",
        );
        Err(Error::new(ErrorKind::NoRoute, "no account takes this payment").with_faults(vec![fault]))
    }

    pub(crate) async fn make_session(
        &self,
        key: &IdempotencyKey,
        new: NewSession,
    ) -> Result<Reply<CheckoutSession>> {
        let claimed = Claimed::new("create_session", key, &new)?;
        match self.engine.before::<Session>(&self.tenant, &claimed).await? {
            Before::Done(kept) => return Ok(Reply::replayed(kept.shown.view())),
            Before::Underway(..) => return Err(Error::in_progress(None)),
            Before::Nothing | Before::Again(_) => {}
        }
        self.check_new_session(&new).await?;
        let mut work = self.engine.work();
        let id = SessionId::from_uuid(self.tenant.mode(), self.engine.uuid());
        let state = new.into_state(id, work.at);
        let events = session::decide(None, &Command::Create(Box::new(state)), work.at)?;
        let after = self.engine.include_session(&mut work, None, &events)?;
        work.unique(claimed.done_at_once(&after.encode()?, self.engine.keeping(work.at))?);
        match self.engine.commit(&self.tenant, work).await {
            Ok(()) => Ok(Reply::first(after.view())),
            Err(failure) => match self.engine.before::<Session>(&self.tenant, &claimed).await? {
                Before::Done(kept) => Ok(Reply::replayed(kept.shown.view())),
                Before::Underway(..) | Before::Nothing | Before::Again(_) => Err(failure.into()),
            },
        }
    }

    /// The first submit makes the session's payment; later ones confirm it again, or replace one that has ended.
    pub(crate) async fn submit_session(
        &self,
        key: &IdempotencyKey,
        id: &SessionId,
        with: Confirm,
    ) -> Result<Reply<PaymentOutcome>> {
        let claimed = Claimed::new("submit", key, &(id, &with))?;
        // Before the key is looked up, as in `confirm`.
        let session = self.load_session(id).await?;
        let existing = match session.state.intent {
            Some(intent) => Some(self.load(&intent).await?),
            None => None,
        };
        if let Some(reply) = self.replay_payment(&claimed).await? {
            return Ok(reply);
        }
        let reusable = existing.filter(|intent| match intent.state.status {
            IntentStatus::Cancelled | IntentStatus::Voided | IntentStatus::Failed => false,
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Captured
            | IntentStatus::Succeeded => true,
        });
        match reusable {
            Some(loaded) => {
                // The session says first whether it still takes a submit.
                let command = Command::Submit {
                    intent: loaded.state.id,
                };
                session::decide(Some(&session.state), &command, self.engine.runtime.clock.now())?;
                let state = loaded.state.clone();
                self.confirm_state(claimed, Some(loaded), state, with, None).await
            }
            None => {
                let new = NewIntent {
                    mode: session.state.mode,
                    amount: session.state.amount,
                    capture_method: session.state.capture_method,
                    details: (*session.state.details).clone(),
                    scheduled_for: None,
                    expires_at: Some(session.state.expires_at),
                };
                let command = Command::Submit {
                    intent: crate::PaymentIntentId::from_uuid(id.mode(), id.uuid()),
                };
                session::decide(Some(&session.state), &command, self.engine.runtime.clock.now())?;
                let state = self.new_state(new, Some(*id), None);
                self.confirm_state(claimed, None, state, with, session.state.intent)
                    .await
            }
        }
    }

    /// What a payment's session, if it has one, makes of a submit with it. `replaces` is the ended payment that was
    /// the session's when the caller looked.
    pub(crate) async fn submitted(
        &self,
        intent: &Intent,
        replaces: Option<PaymentIntentId>,
        at: Timestamp,
    ) -> Result<Option<(Loaded<Session>, Vec<SessionEvent>)>> {
        let Some(id) = intent.session else {
            return Ok(None);
        };
        let session = self.load_session(&id).await?;
        let current = session.state.intent;
        if current != Some(intent.id) && current != replaces {
            // Another submit was faster since: its payment is the session's.
            return Err(Error::in_progress(None));
        }
        let command = Command::Submit { intent: intent.id };
        let events = session::decide(Some(&session.state), &command, at)?;
        // A row of before the update of such a payment was refused.
        if intent.amount != session.state.amount {
            let problem = format!("the payment is over {}, its session isn't", intent.amount);
            let remedy = "cancel the payment: the next submit makes one over the session's amount";
            return Err(Error::invalid(Fault::new("amount", problem, remedy)));
        }
        Ok(Some((session, events)))
    }

    /// Puts a session's submit into the commit that confirms its payment: at most one live payment per session.
    /// `intent` is as that commit leaves it: held and refused ones are the session's too.
    pub(crate) async fn submit_in(
        &self,
        work: &mut Work,
        intent: &Intent,
        replaces: Option<PaymentIntentId>,
    ) -> Result<()> {
        let Some((session, mut events)) = self.submitted(intent, replaces, work.at).await? else {
            return Ok(());
        };
        let submitted = events
            .iter()
            .fold(Some(session.state.clone()), session::apply)
            .ok_or_else(stale)?;
        events.extend(session::observe(&submitted, intent, work.at));
        self.engine.include_session(work, Some(&session), &events)?;
        let key = UniqueKey::new(Scope::SessionIntent, session.state.id.to_string());
        let unique = Unique {
            key,
            target: Some(intent.key()),
            bytes: bytes::Bytes::new(),
            expires_at: None,
        };
        // The session's own version guards it: two submits can't both be written.
        work.unique(UniqueWrite::Replace(unique));
        Ok(())
    }

    pub(crate) async fn step_session_back(&self, id: &SessionId) -> Result<CheckoutSession> {
        let session = self.load_session(id).await?;
        let mut work = self.engine.work();
        let events = session::decide(Some(&session.state), &Command::StepBack, work.at)?;
        if let Some(intent) = session.state.intent {
            let loaded = self.load(&intent).await?;
            if let Some(open) = &loaded.state.open_op {
                return Err(Error::in_progress(Some(open.id)));
            }
            if loaded.state.live_attempt().is_some() {
                if let Closed::InDoubt(_) = self.close_live(loaded, None).await? {
                    return Ok(session.view());
                }
                // Closing it moved the session already, in the same commit.
                let after = self.load_session(id).await?;
                return Ok(after.view());
            }
        }
        if events.is_empty() {
            return Ok(session.view());
        }
        let after = self.engine.include_session(&mut work, Some(&session), &events)?;
        self.engine.commit(&self.tenant, work).await?;
        Ok(after.view())
    }

    pub(crate) async fn cancel_pending_session(&self, id: &SessionId) -> Result<CheckoutSession> {
        let session = self.load_session(id).await?;
        let mut work = self.engine.work();
        let events = session::decide(Some(&session.state), &Command::Cancel, work.at)?;
        if let Some(intent) = session.state.intent {
            let loaded = self.load(&intent).await?;
            if loaded.state.open_op.is_some() || loaded.state.live_attempt().is_some() {
                return Err(stale());
            }
        }
        let after = self.engine.include_session(&mut work, Some(&session), &events)?;
        self.engine.commit(&self.tenant, work).await?;
        Ok(after.view())
    }
}
