//! What a change of an intent brings with it in the same commit: jobs, uniques, the session, the key's record. All of
//! it follows from the state before and after, so that no verb can forget a part.

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::commit::{CommitFailure, Work};
use super::drive::job_key;
use super::idempotency::{Conclusion, conclude};
use super::policy::OnLatePayment;
use crate::error::{Error, Result};
use crate::id::{AccountRef, ProviderKind, ProviderRef, SessionId};
use crate::intent::{
    AttemptStatus, CaptureStatus, Closure, CompensationStatus, Intent, IntentEvent, IntentStatus, News,
    OpStage, OpenOp, OperationKind, OperationStatus,
};
use crate::session::{self, Session};
use crate::store::{Due, JobKey, JobWrite, Queue, Row, RowKey, Unique, UniqueKey, UniqueWrite};
use crate::tenant::Tenant;

impl From<Error> for CommitFailure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Inner {
    /// Writes an intent's events with all that they bring.
    pub(crate) async fn write_intent(
        &self,
        tenant: &Tenant,
        mut work: Work,
        before: Option<&Loaded<Intent>>,
        events: &[IntentEvent],
    ) -> Result<Loaded<Intent>, CommitFailure> {
        let after = self.include_intent(tenant, &mut work, before, events).await?;
        if !work.is_empty() {
            self.commit(tenant, work).await?;
        }
        Ok(after)
    }

    /// Adds an intent's events with all that they bring to a commit.
    pub(crate) async fn include_intent(
        &self,
        tenant: &Tenant,
        work: &mut Work,
        before: Option<&Loaded<Intent>>,
        events: &[IntentEvent],
    ) -> Result<Loaded<Intent>> {
        let after = match (events.is_empty(), before) {
            (true, Some(before)) => before.clone(),
            (_, before) => work
                .change(before, events, self)?
                .ok_or_else(|| Error::not_found("id", "payment"))?,
        };
        let empty = Intent {
            attempts: Vec::new(),
            open_op: None,
            captures: Vec::new(),
            ..after.state.clone()
        };
        let old = before.map_or(&empty, |before| &before.state);
        self.operations(work, old, &after)?;
        references(work, old, &after.state);
        self.watch(work, before.map(|before| &before.state), &after.state);
        if let Some(session) = after.state.session.filter(|_| !events.is_empty()) {
            self.session_follows(tenant, work, session, &after.state).await?;
        }
        Ok(after)
    }

    /// Each lock that opened gets its job and its reference; each that closed gives them up and tells its key.
    fn operations(&self, work: &mut Work, old: &Intent, after: &Loaded<Intent>) -> Result<()> {
        let new = &after.state;
        let target = new.key();
        for open in locks(new).filter(|open| old.lock(open.id).is_none()) {
            work.put_job(
                job_key(new, open.id),
                Due::After(self.policy.call_timeout + self.policy.grace),
            );
            let key = UniqueKey::reference(&open.account, &open.id.reference());
            work.unique(UniqueWrite::Replace(pointer(key, target)));
        }
        for open in locks(new) {
            let was_unknown = old
                .lock(open.id)
                .is_some_and(|before| before.stage != OpStage::Prepared);
            if open.stage != OpStage::Prepared && !was_unknown {
                work.job(JobWrite::Reschedule {
                    key: job_key(new, open.id),
                    due: Due::After(self.policy.first_recheck()),
                });
                if let Some(used) = &open.idempotency {
                    work.unique(conclude(used, Conclusion::Open(target))?);
                }
            }
        }
        for open in locks(old).filter(|open| new.lock(open.id).is_none()) {
            work.job(JobWrite::Done(job_key(new, open.id)));
            let Some(used) = &open.idempotency else { continue };
            let goes_on = locks(new).any(|next| next.idempotency.as_ref() == Some(used));
            if goes_on {
                continue;
            }
            work.unique(match freed(new, open) {
                true => conclude(used, Conclusion::Freed)?,
                false => {
                    let row: Row = after.encode()?;
                    conclude(used, Conclusion::Done(&row))?
                }
            });
        }
        Ok(())
    }

    /// The jobs that watch an intent: what is pending is asked about, what is due is done, what expires is ended.
    fn watch(&self, work: &mut Work, old: Option<&Intent>, new: &Intent) {
        let row = new.key();
        let key = |queue| JobKey {
            queue,
            row,
            child: uuid::Uuid::nil(),
        };
        let (watched, watches) = (old.is_some_and(to_sync), to_sync(new));
        match (watched, watches) {
            (false, true) => work.put_job(key(Queue::Sync), Due::After(self.policy.sync_every)),
            (true, false) => work.job(JobWrite::Done(key(Queue::Sync))),
            (true, true) | (false, false) => {}
        }
        let expiry = |intent: &Intent| intent.expires_at.filter(|_| may_expire(intent.status));
        match (old.and_then(expiry), expiry(new)) {
            (None, Some(at)) => work.put_job(key(Queue::Expiry), Due::At(at)),
            (Some(_), None) => work.job(JobWrite::Done(key(Queue::Expiry))),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let (had, has) = (old.and_then(due_work), due_work(new));
        match (had, has) {
            (before, Some(due)) if before != Some(due) => work.put_job(key(Queue::Due), due),
            (Some(_), None) => work.job(JobWrite::Done(key(Queue::Due))),
            (_, _) => {}
        }
    }

    async fn session_follows(
        &self,
        tenant: &Tenant,
        work: &mut Work,
        id: SessionId,
        intent: &Intent,
    ) -> Result<()> {
        let Some(session) = self.load::<Session>(tenant, id.uuid()).await? else {
            return Ok(());
        };
        // A commit that submits the session has changed it already: its own events come first.
        if work.batch.puts.iter().any(|row| row.key == session.state.key()) {
            return Ok(());
        }
        if let Some(event) = session::observe(&session.state, intent, work.at) {
            self.include_session(work, Some(&session), &[event])?;
        }
        Ok(())
    }

    /// Adds a session's events to a commit, with its expiry.
    pub(crate) fn include_session(
        &self,
        work: &mut Work,
        before: Option<&Loaded<Session>>,
        events: &[session::SessionEvent],
    ) -> Result<Loaded<Session>> {
        let after = work
            .change(before, events, self)?
            .ok_or_else(|| Error::not_found("id", "session"))?;
        let key = JobKey {
            queue: Queue::Expiry,
            row: after.state.key(),
            child: uuid::Uuid::nil(),
        };
        let open = |session: &Session| match session.status {
            session::SessionStatus::Pending
            | session::SessionStatus::Processing
            | session::SessionStatus::Failed => true,
            session::SessionStatus::Succeeded
            | session::SessionStatus::Expired
            | session::SessionStatus::Cancelled => false,
        };
        match (
            before.is_some_and(|before| open(&before.state)),
            open(&after.state),
        ) {
            (false, true) => work.put_job(key, Due::At(after.state.expires_at)),
            (true, false) => work.job(JobWrite::Done(key)),
            (true, true) | (false, false) => {}
        }
        let late = events
            .iter()
            .any(|event| event.what == session::SessionHappened::LatePayment);
        if late && self.policy.on_late_payment == OnLatePayment::Refund {
            work.put_job(
                JobKey {
                    queue: Queue::Due,
                    ..key
                },
                Due::After(std::time::Duration::ZERO),
            );
        }
        Ok(after)
    }

    /// What decided an outcome, kept with the operation: never a processor's own bytes.
    pub(crate) fn keep_evidence(&self, work: &mut Work, state: &Intent, news: &News) -> Result<()> {
        let (operation, kind, what) = match news {
            News::Doubt { .. } => return Ok(()),
            News::Payment {
                attempt,
                standing,
                reading,
            } => {
                let operation = state.attempt(*attempt).map(|attempt| attempt.operation);
                (
                    operation,
                    "payment",
                    format!("{reading:?}: {}", word_of(&standing.report)),
                )
            }
            News::Capture { operation, report } => (Some(*operation), "capture", variant(report)),
            News::Close { operation, report } => (Some(*operation), "close", variant(report)),
            News::Increment { operation, report } => {
                (Some(*operation), "increment", word_of(report).to_owned())
            }
            News::CompensationRefund { operation, report } => (Some(*operation), "refund", variant(report)),
            News::NotExecuted { operation, proof } => (Some(*operation), "not_executed", proof.to_string()),
        };
        let what = serde_json::json!({ "operation": operation, "said": what });
        work.evidence(state.key(), kind, &what, self)
    }
}

/// Whether a verb's key is free again: nothing was executed, and nothing goes on.
fn freed(new: &Intent, closed: &OpenOp) -> bool {
    let status = new.operation(closed.id).map(|operation| operation.status);
    match (closed.kind, status) {
        (OperationKind::Authorize, Some(OperationStatus::NotExecuted)) => new.status == IntentStatus::Created,
        (_, Some(OperationStatus::NotExecuted)) => true,
        (_, _) => false,
    }
}

/// Every lock of an intent.
fn locks(intent: &Intent) -> impl Iterator<Item = &OpenOp> {
    let compensations = intent
        .attempts
        .iter()
        .filter_map(|attempt| attempt.compensation.as_ref()?.open_op.as_ref());
    intent.open_op.iter().chain(compensations)
}

/// The processor's identifiers that were learnt: webhooks find the intent by them.
fn references(work: &mut Work, old: &Intent, new: &Intent) {
    let target = new.key();
    let mut point = |account: &AccountRef, kind: ProviderKind, id: &str| {
        let reference = ProviderRef {
            account: account.clone(),
            kind,
            id: id.to_owned(),
        };
        work.unique(UniqueWrite::Replace(pointer(
            UniqueKey::provider(&reference),
            target,
        )));
    };
    for attempt in &new.attempts {
        let known = old
            .attempt(attempt.id)
            .and_then(|before| before.known.handle.as_ref());
        if let (Some(handle), None) = (&attempt.known.handle, known) {
            point(&attempt.account, ProviderKind::Payment, handle.as_str());
        }
    }
    for capture in &new.captures {
        let known = old
            .captures
            .iter()
            .find(|before| before.id == capture.id)
            .and_then(|c| c.handle.as_ref());
        let account = new.attempt(capture.attempt).map(|attempt| &attempt.account);
        if let (Some(handle), None, Some(account)) = (&capture.handle, known, account) {
            point(account, ProviderKind::Capture, handle.as_str());
        }
    }
}

pub(crate) fn pointer(key: UniqueKey, target: RowKey) -> Unique {
    Unique {
        key,
        target: Some(target),
        bytes: bytes::Bytes::new(),
        expires_at: None,
    }
}

/// Whether the processor still has something to say that it may not say by itself.
fn to_sync(intent: &Intent) -> bool {
    let waiting = intent.attempts.iter().any(|attempt| match attempt.status {
        AttemptStatus::Pending | AttemptStatus::RequiresAction => true,
        AttemptStatus::Opened => attempt.closure != Closure::Open,
        AttemptStatus::Captured => attempt.success_on == crate::connector::SuccessOn::Settled,
        AttemptStatus::Authorized
        | AttemptStatus::NotExecuted
        | AttemptStatus::Declined
        | AttemptStatus::Cancelled
        | AttemptStatus::Settled
        | AttemptStatus::Voided
        | AttemptStatus::Failed => false,
    });
    let pending = intent
        .operations
        .iter()
        .any(|operation| operation.status == OperationStatus::Pending);
    let captures = intent
        .captures
        .iter()
        .any(|capture| capture.status == CaptureStatus::Pending);
    waiting || pending || (captures && intent.open_op.is_none())
}

fn may_expire(status: IntentStatus) -> bool {
    match status {
        IntentStatus::Created
        | IntentStatus::Scheduled
        | IntentStatus::RequiresAction
        | IntentStatus::Processing => true,
        IntentStatus::Authorized
        | IntentStatus::Captured
        | IntentStatus::Succeeded
        | IntentStatus::Voided
        | IntentStatus::Cancelled
        | IntentStatus::Failed => false,
    }
}

/// Work that an intent has waiting: a scheduled confirmation, a compensation, a check after authorization.
fn due_work(intent: &Intent) -> Option<Due> {
    let wanted = intent
        .attempts
        .iter()
        .filter_map(|attempt| attempt.compensation.as_ref())
        .any(|compensation| {
            compensation.status == CompensationStatus::Wanted && compensation.open_op.is_none()
        });
    if wanted || !intent.risk_after.is_settled() {
        return Some(Due::After(std::time::Duration::ZERO));
    }
    match (intent.status, intent.scheduled_for) {
        (IntentStatus::Scheduled, Some(at)) => Some(Due::At(at)),
        (_, _) => None,
    }
}

fn word_of(report: &crate::connector::AuthorizeReport) -> &'static str {
    use crate::connector::AuthorizeReport::*;
    match report {
        Authorized(_) => "authorized",
        PartiallyAuthorized(..) => "partially_authorized",
        Captured(_) => "captured",
        Settled(_) => "settled",
        Verified(_) => "verified",
        ActionNeeded(..) => "action_needed",
        Pending(..) => "pending",
        Declined(_) => "declined",
        Voided(..) => "voided",
        Unexecuted(_) => "unexecuted",
    }
}

/// The name of a report's variant, without its contents.
fn variant(report: &impl std::fmt::Debug) -> String {
    let text = format!("{report:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
