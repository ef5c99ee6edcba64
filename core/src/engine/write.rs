//! What a change of an intent brings with it in the same commit: jobs, uniques, the session, the key's record. All of
//! it follows from the state before and after, so that no verb can forget a part.

use std::borrow::Cow;
use std::time::Duration;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::commit::{CommitFailure, Holder, Work};
use super::drive::job_key;
use super::idempotency::{Conclusion, conclude};
use super::policy::OnLatePayment;
use crate::connector::Handle;
use crate::error::{Error, Result};
use crate::id::{AccountRef, ProviderKind, ProviderRef, SessionId};
use crate::intent::{
    Attempt, AttemptStatus, CaptureStatus, Closure, CompensationStatus, Happened, Intent, IntentEvent,
    IntentStatus, News, OpStage, OpenOp, OperationKind, OperationStatus, ReviewReason,
};
use crate::session::{self, Session};
use crate::store::{CommitId, Due, JobKey, JobWrite, Queue, RowKey, Unique, UniqueKey, UniqueWrite};
use crate::tenant::Tenant;
use crate::time::Timestamp;

impl From<Error> for CommitFailure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Inner {
    /// Writes an intent's events with all that they bring. An identifier of the processor's is one row's: where it is
    /// another's already, it stays there, and a person is asked whose the money is.
    pub(crate) async fn write_intent(
        &self,
        tenant: &Tenant,
        work: Work,
        before: Option<&Loaded<Intent>>,
        events: &[IntentEvent],
    ) -> Result<Loaded<Intent>, CommitFailure> {
        let (mut work, mut events) = (work, Cow::Borrowed(events));
        loop {
            let failure = match self.claim_and_write(tenant, work.clone(), before, &events).await {
                Ok(after) => return Ok(after),
                Err(failure) => failure,
            };
            let Some(known) = before else { return Err(failure) };
            let (key, holder) = self.holder(tenant, known.state.key(), failure).await?;
            let reviewed = events
                .iter()
                .any(|event| matches!(event.what, Happened::ReviewRaised(_)));
            if holder == Holder::Another && known.state.review.is_none() && !reviewed {
                let (at, what) = (work.at, Happened::ReviewRaised(ReviewReason::Contradiction));
                events.to_mut().push(IntentEvent { at, what });
            }
            work.leave(key);
            work.batch.commit_id = CommitId(self.uuid());
        }
    }

    /// The same, refused where it learns an identifier that is there already.
    pub(crate) async fn claim_and_write(
        &self,
        tenant: &Tenant,
        mut work: Work,
        before: Option<&Loaded<Intent>>,
        events: &[IntentEvent],
    ) -> Result<Loaded<Intent>, CommitFailure> {
        let after = self.include_intent(tenant, &mut work, before, events).await?;
        if !work.is_empty() {
            let at = work.at;
            self.commit(tenant, work).await?;
            self.count_health(before, &after.state, at);
            if let Some(before) = before {
                self.count_tries(tenant, &before.state, &after.state).await;
            }
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
        let old = before.map(|before| &before.state);
        self.operations(work, old, &after)?;
        references(work, old, &after.state);
        self.watch(work, old, &after.state);
        if let Some(session) = after.state.session.filter(|_| !events.is_empty()) {
            self.session_follows(tenant, work, session, &after.state).await?;
        }
        Ok(after)
    }

    /// Each lock that opened gets its job and its reference; each that closed gives them up and tells its key.
    fn operations(&self, work: &mut Work, old: Option<&Intent>, after: &Loaded<Intent>) -> Result<()> {
        let new = &after.state;
        let target = new.key();
        let lock_before = |id| old.and_then(|old| old.lock(id));
        for open in locks(new).filter(|open| lock_before(open.id).is_none()) {
            work.put_job(job_key(new, open.id), Due::After(self.policy.lease()));
            let key = UniqueKey::reference(&open.account, &open.id.reference());
            work.unique(UniqueWrite::Replace(pointer(key, target)));
        }
        for open in locks(new) {
            let was_unknown = lock_before(open.id).is_some_and(|before| before.stage != OpStage::Prepared);
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
        let locked_before = old.into_iter().flat_map(locks);
        for open in locked_before.filter(|open| new.lock(open.id).is_none()) {
            work.job(JobWrite::Done(job_key(new, open.id)));
            let Some(used) = &open.idempotency else { continue };
            let goes_on = locks(new).any(|next| next.idempotency.as_ref() == Some(used));
            if goes_on {
                continue;
            }
            let keeping = self.keeping(work.at);
            work.unique(match freed(new, open) {
                Some(Free::ForAnything) => conclude(used, Conclusion::Freed)?,
                Some(Free::ForThis) => conclude(used, Conclusion::Again(target, keeping))?,
                None => conclude(used, Conclusion::Done(&work.row(after)?, keeping))?,
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
        let asked = |intent: &Intent| match to_sync(intent) {
            true => Some(Due::After(self.policy.sync_every)),
            // It may lapse without a word.
            false => held_until(intent).map(Due::At),
        };
        match (old.and_then(asked), asked(new)) {
            (before, Some(due)) if before != Some(due) => work.put_job(key(Queue::Sync), due),
            (Some(_), None) => work.job(JobWrite::Done(key(Queue::Sync))),
            (_, _) => {}
        }
        let expiry = |intent: &Intent| intent.expires_at.filter(|_| may_expire(intent.status));
        match (old.and_then(expiry), expiry(new)) {
            (None, Some(at)) => work.put_job(key(Queue::Expiry), Due::At(at)),
            (Some(_), None) => work.job(JobWrite::Done(key(Queue::Expiry))),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let due = |intent: &Intent| self.due_work(intent);
        let (had, has) = (old.and_then(due), due(new));
        match (had, has) {
            (before, Some(due)) if before != Some(due) => work.put_job(key(Queue::Due), due),
            (Some(_), None) => work.job(JobWrite::Done(key(Queue::Due))),
            (_, _) => {}
        }
    }

    /// Work that an intent has waiting: a scheduled confirmation, a compensation, a check after authorization.
    fn due_work(&self, intent: &Intent) -> Option<Due> {
        let wanted = intent.attempts.iter().find(|attempt| wants_compensation(attempt));
        if let Some(attempt) = wanted {
            return Some(Due::After(self.before_compensating(intent, attempt)));
        }
        if !intent.risk_after.is_settled() {
            return Some(Due::After(Duration::ZERO));
        }
        match (intent.status, intent.scheduled_for) {
            (IntentStatus::Scheduled, Some(at)) if !intent.is_held() => Some(Due::At(at)),
            (_, _) => None,
        }
    }

    /// The pause before money is given back: none at first; after tries that did nothing it doubles.
    pub(crate) fn before_compensating(&self, intent: &Intent, attempt: &Attempt) -> Duration {
        match compensations_in_vain(intent, attempt) {
            0 => Duration::ZERO,
            tries => {
                let pause = self.policy.recheck.saturating_mul(2u32.saturating_pow(tries - 1));
                pause.min(self.policy.recheck_at_most)
            }
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
                Due::After(Duration::ZERO),
            );
        }
        Ok(after)
    }

    /// What decided an outcome, kept with the operation.
    pub(crate) fn keep_evidence(&self, work: &mut Work, state: &Intent, news: &News) -> Result<()> {
        match evidence_of(state, news) {
            Some((kind, what)) => work.evidence(state.key(), kind, &what, self),
            None => Ok(()),
        }
    }

    /// Keeps what a worker was told that another has overtaken, where it changes nothing: the other one, a read or a
    /// webhook has told as much. It is kept if the store takes it at once.
    pub(crate) async fn keep_late_evidence(&self, tenant: &Tenant, state: &Intent, news: &News) {
        let mut work = self.work();
        let kept = match self.keep_evidence(&mut work, state, news) {
            Ok(()) if work.is_empty() => return,
            Ok(()) => self.commit(tenant, work).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::error!(payment = %state.id, %error, "what was learnt late couldn't be kept: it was known already");
        }
    }
}

/// What is kept of news that decided an outcome: never a processor's own bytes.
pub(super) fn evidence_of(state: &Intent, news: &News) -> Option<(&'static str, serde_json::Value)> {
    let (operation, kind, what) = match news {
        News::Doubt { .. } => return None,
        News::Payment {
            attempt,
            standing,
            reading,
        } => {
            let operation = state.attempt(*attempt).map(|attempt| attempt.operation);
            let what = format!("{}: {}", reading.as_str(), word_of(&standing.report));
            (operation, "payment", what)
        }
        News::Capture { operation, report } => (Some(*operation), "capture", variant(report)),
        News::Close { operation, report } => (Some(*operation), "close", variant(report)),
        News::Increment { operation, report } => (Some(*operation), "increment", word_of(report).to_owned()),
        News::CompensationRefund { operation, report } => (Some(*operation), "refund", variant(report)),
        News::NotExecuted { operation, proof } => (Some(*operation), "not_executed", proof.to_string()),
    };
    Some((kind, serde_json::json!({ "operation": operation, "said": what })))
}

/// For what a key is free again.
enum Free {
    /// The verb begins anew.
    ForAnything,
    /// It made a payment, which it goes on with: one key never makes two.
    ForThis,
}

/// Whether a verb's key is free again: nothing was executed, and nothing goes on.
fn freed(new: &Intent, closed: &OpenOp) -> Option<Free> {
    let status = new.operation(closed.id).map(|operation| operation.status);
    if status != Some(OperationStatus::NotExecuted) {
        return None;
    }
    let used = closed.idempotency.as_ref().map(|used| used.name.as_str());
    let verb = used.and_then(|name| name.split('/').next());
    match (closed.kind, verb) {
        (OperationKind::Authorize, _) if new.status != IntentStatus::Created => None,
        (OperationKind::Authorize, Some("create_and_confirm")) => Some(Free::ForThis),
        (OperationKind::Authorize, _) => Some(Free::ForAnything),
        // It followed a confirmation by itself, under its key: what came before it was executed.
        (_, Some("create_and_confirm" | "confirm" | "submit")) => None,
        (_, _) => Some(Free::ForAnything),
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
fn references(work: &mut Work, old: Option<&Intent>, new: &Intent) {
    let target = new.key();
    let of = |account: &AccountRef, kind: ProviderKind, handle: &Handle| ProviderRef {
        account: account.clone(),
        kind,
        id: handle.as_str().to_owned(),
    };
    // One of several attempts, or captures, of one identifier has claimed it.
    let claimed: Vec<_> = old
        .into_iter()
        .flat_map(|old| {
            let attempts = old.attempts.iter().filter_map(|attempt| {
                let handle = attempt.known.handle.as_ref()?;
                Some(of(&attempt.account, ProviderKind::Payment, handle))
            });
            let captures = old.captures.iter().filter_map(|capture| {
                let account = &old.attempt(capture.attempt)?.account;
                Some(of(account, ProviderKind::Capture, capture.handle.as_ref()?))
            });
            attempts.chain(captures)
        })
        .collect();
    let mut point = |reference: ProviderRef| {
        if !claimed.contains(&reference) {
            work.claim(&reference, target);
        }
    };
    for attempt in &new.attempts {
        let known = old
            .and_then(|old| old.attempt(attempt.id))
            .and_then(|before| before.known.handle.as_ref());
        if let (Some(handle), None) = (&attempt.known.handle, known) {
            point(of(&attempt.account, ProviderKind::Payment, handle));
        }
    }
    for capture in &new.captures {
        let known = old
            .into_iter()
            .flat_map(|old| &old.captures)
            .find(|before| before.id == capture.id)
            .and_then(|c| c.handle.as_ref());
        let account = new.attempt(capture.attempt).map(|attempt| &attempt.account);
        if let (Some(handle), None, Some(account)) = (&capture.handle, known, account) {
            point(of(account, ProviderKind::Capture, handle));
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
pub(crate) fn to_sync(intent: &Intent) -> bool {
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
    waiting || pending || (captures && intent.open_op.is_none()) || intent.refunded_is_stale()
}

/// Until when an authorization holds, where one does and says so.
pub(super) fn held_until(intent: &Intent) -> Option<Timestamp> {
    match intent.status {
        IntentStatus::Authorized => intent.current()?.known.granted.capture_before,
        IntentStatus::Created
        | IntentStatus::Scheduled
        | IntentStatus::RequiresAction
        | IntentStatus::Processing
        | IntentStatus::Captured
        | IntentStatus::Succeeded
        | IntentStatus::Voided
        | IntentStatus::Cancelled
        | IntentStatus::Failed => None,
    }
}

/// Whether money of this attempt is to be given back, and nothing is under way for it.
pub(crate) fn wants_compensation(attempt: &Attempt) -> bool {
    attempt.compensation.as_ref().is_some_and(|compensation| {
        compensation.status == CompensationStatus::Wanted && compensation.open_op.is_none()
    })
}

/// How often it was tried, and proved that nothing was executed.
pub(crate) fn compensations_in_vain(intent: &Intent, attempt: &Attempt) -> u32 {
    let in_vain = intent.operations.iter().filter(|operation| {
        let kind = matches!(
            operation.kind,
            OperationKind::CompensateVoid | OperationKind::CompensateRefund
        );
        kind && operation.attempt == attempt.id && operation.status == OperationStatus::NotExecuted
    });
    u32::try_from(in_vain.count()).unwrap_or(u32::MAX)
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
