//! Refunds: reserved on the intent and requested in one commit, then driven part by part.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::call::{Call, Report};
use super::commit::{CommitFailure, Holder, Work};
use super::drive::{FirstWrite, Next, Sending, WRITE_TRIES, Writer};
use super::idempotency::{Before, Claimed, Conclusion, IdempotencyKey, Progress, conclude};
use super::operate::{same_currency, stale};
use super::payments::Payments;
use super::write::pointer;
use crate::connector::{Connector, Doubt, Outcome, Requirement, Stage as CallStage};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::{AttemptId, CaptureId, OperationId, PaymentIntentId, ProviderKind, ProviderRef, RefundId};
use crate::intent::{
    self, Attempt, AttemptStatus, CaptureStatus, Happened, Intent, IntentEvent, KeyUse, OpStage, OpenOp,
    OperationKind, Rest, Review, ReviewReason,
};
use crate::money::Money;
use crate::outcome::{RefundOutcome, Reply};
use crate::refund::{
    self, Allocation, AllocationStatus, Command, NewRefund, RefundEvent, RefundHappened, RefundNews,
    RefundState, RefundStatus,
};
use crate::store::{Claim, CommitId, Due, JobKey, JobWrite, Queue, RowKey, RowKind, UniqueKey, UniqueWrite};
use crate::tenant::Tenant;

/// A refund's operation that is under way.
#[derive(Debug)]
pub(crate) struct RefundDrive {
    pub(crate) operation: OperationId,
    pub(crate) connector: Arc<Connector>,
    pub(crate) call: Call,
    pub(crate) epoch: u64,
    pub(crate) sending: Sending,
}

impl Payments {
    pub(crate) async fn load_refund(&self, id: &RefundId) -> Result<Loaded<RefundState>> {
        let found = match id.mode() == self.tenant.mode() {
            true => self.engine.load::<RefundState>(&self.tenant, id.uuid()).await?,
            false => None,
        };
        found.ok_or_else(|| Error::not_found("id", "refund"))
    }

    pub(crate) async fn make_refund(
        &self,
        verb: &'static str,
        key: &IdempotencyKey,
        id: &PaymentIntentId,
        new: NewRefund,
    ) -> Result<Reply<RefundOutcome>> {
        let claimed = Claimed::new(verb, key, &(id, &new))?;
        for _ in 0..WRITE_TRIES {
            // Before the key is looked up, as in `confirm`.
            let loaded = self.load(id).await?;
            if let Some(reply) = self.replay_refund(&claimed).await? {
                return Ok(reply);
            }
            let (refund, captures, connector) = self.new_refund(&loaded.state, &new).await?;
            let part = refund.allocations.first().cloned().ok_or_else(stale)?;
            let open = opening(
                &refund,
                &part,
                Some(claimed.key_use()),
                self.engine.runtime.clock.now(),
            );
            let began = self.engine.runtime.clock.elapsed();
            let call = Call::refund(began, &connector, &refund, &part, &open)
                .inspect_err(|cannot| self.engine.note_cannot(connector.account(), cannot))?;
            let open = OpenOp {
                steps: vec![call.record.clone()],
                ..open
            };
            let mut work = self.engine.work();
            let command = intent::Command::ReserveRefund {
                refund: refund.id,
                amount: refund.amount.minor(),
                captures,
            };
            let reserved = intent::decide(Some(&loaded.state), &command, work.at)?;
            self.engine
                .include_intent(&self.tenant, &mut work, Some(&loaded), &reserved)
                .await?;
            let mut events = refund::decide(None, &Command::Request(Box::new(refund.clone())), work.at)?;
            events.extend(refund::decide(
                Some(&refund),
                &Command::Open(Box::new(open.clone())),
                work.at,
            )?);
            let after = self.engine.include_refund(&mut work, None, &events)?;
            work.unique(claimed.started(after.state.key(), work.at)?);
            match self.engine.commit(&self.tenant, work).await {
                Ok(()) => {
                    let drive = RefundDrive {
                        operation: open.id,
                        connector,
                        call,
                        epoch: 1,
                        sending: Sending::First,
                    };
                    let (engine, tenant, opened) = (self.engine.clone(), self.tenant.clone(), after.clone());
                    let driven = self
                        .engine
                        .shielded(async move { engine.drive_refund(&tenant, after, drive).await })
                        .await;
                    let (driven, writer) = driven.unwrap_or((opened, Writer::Itself));
                    // Where another worker wrote the outcome, that is what every repetition gets.
                    if writer == Writer::Another
                        && let Ok(Some(reply)) = self.replay_refund(&claimed).await
                    {
                        return Ok(Reply::first(reply.outcome));
                    }
                    return Ok(Reply::first(self.engine.refund_outcome(&driven)?));
                }
                Err(CommitFailure::InDoubt) => {
                    let outcome = self.engine.refund_outcome(&after)?;
                    return Ok(Reply::first(outcome.after(FirstWrite::InDoubt)));
                }
                Err(CommitFailure::Conflict(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(stale())
    }

    async fn replay_refund(&self, claimed: &Claimed) -> Result<Option<Reply<RefundOutcome>>> {
        let loaded = match self.engine.before::<RefundState>(&self.tenant, claimed).await? {
            Before::Nothing | Before::Again(_) => return Ok(None),
            Before::Done(kept) => kept.shown,
            Before::Underway(progress, target) => {
                let loaded = self
                    .engine
                    .load::<RefundState>(&self.tenant, target.id)
                    .await?
                    .ok_or_else(stale)?;
                if progress == Progress::InFlight {
                    return Err(Error::in_progress(
                        loaded.state.open_op.as_ref().map(|open| open.id),
                    ));
                }
                loaded
            }
        };
        Ok(Some(Reply::replayed(self.engine.refund_outcome(&loaded)?)))
    }

    /// A refund to request, and what it takes of which captures: the oldest first.
    async fn new_refund(
        &self,
        state: &Intent,
        new: &NewRefund,
    ) -> Result<(RefundState, Vec<(CaptureId, i64)>, Arc<Connector>)> {
        let amount = new
            .amount
            .unwrap_or_else(|| state.money(state.totals.refundable()));
        same_currency("amount", amount, state)?;
        let asked = amount.minor();
        // The state's own guard speaks first, before anything about the account.
        let id = RefundId::from_uuid(self.tenant.mode(), self.engine.uuid());
        let reserve = intent::Command::ReserveRefund {
            refund: id,
            amount: asked,
            captures: Vec::new(),
        };
        intent::decide(Some(state), &reserve, self.engine.runtime.clock.now())?;
        let attempt = state
            .winner
            .and_then(|winner| state.attempt(winner))
            .ok_or_else(stale)?;
        let connector = self.connector(&attempt.account).await?;
        let capabilities = &connector.capabilities;
        if asked < state.totals.captured && !capabilities.partial_refund.is_offered() {
            let fault = Fault::new(
                "amount",
                "the account refunds whole payments alone",
                "refund all of it",
            );
            return Err(Error::invalid(fault));
        }
        if awaits_settlement(state, attempt, &connector) {
            let message = "the account refunds settled money alone: wait, or reverse the payment";
            return Err(Error::new(ErrorKind::RefundNotSettled, message));
        }
        let handle = attempt.known.handle.clone().ok_or_else(stale)?;
        let part = |capture, original, minor: i64| Allocation {
            capture,
            original,
            amount: Money::from_minor(minor, amount.currency()),
            operation: OperationId::from_uuid(self.tenant.mode(), self.engine.uuid()),
            status: AllocationStatus::Waiting,
            handle: None,
            action: None,
            decline: None,
            not_executed: None,
        };
        let (allocations, captures) = match capabilities.refund_per_capture {
            Requirement::None => (vec![part(None, handle, asked)], Vec::new()),
            Requirement::Required => {
                let (mut left, mut parts, mut taken) = (asked, Vec::new(), Vec::new());
                for capture in state
                    .captures
                    .iter()
                    .filter(|capture| capture.attempt == attempt.id)
                {
                    let free = (capture.amount.minor() - capture.refunded).min(left);
                    if free > 0 && matches!(capture.status, CaptureStatus::Captured | CaptureStatus::Settled)
                    {
                        let original = capture.handle.clone().unwrap_or_else(|| handle.clone());
                        parts.push(part(Some(capture.id), original, free));
                        taken.push((capture.id, free));
                        left -= free;
                    }
                }
                (parts, taken)
            }
        };
        let now = self.engine.runtime.clock.now();
        let refund = RefundState {
            id,
            intent: state.id,
            attempt: attempt.id,
            account: attempt.account.clone(),
            amount,
            reason: new.reason.clone(),
            status: RefundStatus::Requested,
            allocations,
            open_op: None,
            review: None,
            created_at: now,
            updated_at: now,
        };
        Ok((refund, captures, connector))
    }
}

/// Whether the account doesn't refund an attempt's money yet, since some of it hasn't settled.
pub(crate) fn awaits_settlement(state: &Intent, attempt: &Attempt, connector: &Connector) -> bool {
    let unsettled = state
        .captures
        .iter()
        .any(|capture| capture.attempt == attempt.id && capture.status == CaptureStatus::Captured);
    match connector.capabilities.refund_requires_settlement {
        Requirement::Required => unsettled && attempt.status != AttemptStatus::Settled,
        Requirement::None => false,
    }
}

fn opening(refund: &RefundState, part: &Allocation, used: Option<KeyUse>, now: crate::Timestamp) -> OpenOp {
    OpenOp {
        id: part.operation,
        kind: OperationKind::Refund,
        account: refund.account.clone(),
        attempt: AttemptId::from_uuid(refund.id.mode(), refund.attempt.uuid()),
        capture: part.capture,
        amount: part.amount,
        rest: Rest::Release,
        baseline: 0,
        steps: Vec::new(),
        stage: OpStage::Prepared,
        idempotency: used,
        opened_at: now,
        ends: None,
    }
}

pub(crate) fn refund_job(refund: RefundId, operation: OperationId) -> JobKey {
    JobKey {
        queue: Queue::Recovery,
        row: RowKey::new(RowKind::Refund, refund.uuid()),
        child: operation.uuid(),
    }
}

impl Inner {
    /// Adds a refund's events to a commit, with its jobs, references and key.
    pub(crate) fn include_refund(
        &self,
        work: &mut Work,
        before: Option<&Loaded<RefundState>>,
        events: &[RefundEvent],
    ) -> Result<Loaded<RefundState>> {
        let after = work.change(before, events, self)?.ok_or_else(stale)?;
        let (state, row) = (&after.state, after.state.key());
        let old = before.and_then(|before| before.state.open_op.as_ref());
        let unknown = |open: &OpenOp| open.stage != OpStage::Prepared;
        match (old, &state.open_op) {
            (Some(old), Some(open)) if old.id == open.id => {
                if unknown(open) && !unknown(old) {
                    let due = Due::After(self.policy.first_recheck());
                    work.job(JobWrite::Reschedule {
                        key: refund_job(state.id, open.id),
                        due,
                    });
                    if let Some(used) = &open.idempotency {
                        work.unique(conclude(used, Conclusion::Open(row))?);
                    }
                }
            }
            (old, open) => {
                if let Some(old) = old {
                    work.job(JobWrite::Done(refund_job(state.id, old.id)));
                }
                match (open, old.and_then(|old| old.idempotency.as_ref())) {
                    (Some(open), _) => {
                        let due = Due::After(self.policy.lease());
                        work.put_job(refund_job(state.id, open.id), due);
                        let key = UniqueKey::reference(&open.account, &open.id.reference());
                        work.unique(UniqueWrite::Replace(pointer(key, row)));
                    }
                    (None, Some(used)) => {
                        let nothing = state.allocations.iter().all(|part| part.not_executed.is_some());
                        work.unique(match nothing {
                            true => conclude(used, Conclusion::Freed)?,
                            false => {
                                conclude(used, Conclusion::Done(&after.encode()?, self.keeping(work.at)))?
                            }
                        });
                    }
                    (None, None) => {}
                }
            }
        }
        for part in &state.allocations {
            let known = before.and_then(|before| before.state.allocation(part.operation)?.handle.as_ref());
            if let (Some(handle), None) = (&part.handle, known) {
                let reference = ProviderRef {
                    account: state.account.clone(),
                    kind: ProviderKind::Refund,
                    id: handle.as_str().to_owned(),
                };
                work.claim(&reference, row);
            }
        }
        let key = JobKey {
            queue: Queue::Sync,
            row,
            child: uuid::Uuid::nil(),
        };
        match (
            before.is_some_and(|before| watched(&before.state)),
            watched(state),
        ) {
            (false, true) => work.put_job(key, Due::After(self.policy.sync_every)),
            (true, false) => work.job(JobWrite::Done(key)),
            (true, true) | (false, false) => {}
        }
        // A part that waits is asked for by the commit that resolves the one before it. Where that couldn't be, a job does.
        let stalls = |state: &RefundState| state.next_waiting().is_some();
        let key = JobKey {
            queue: Queue::Due,
            ..key
        };
        match (before.is_some_and(|before| stalls(&before.state)), stalls(state)) {
            (false, true) => work.put_job(key, Due::After(Duration::ZERO)),
            (true, false) => work.job(JobWrite::Done(key)),
            (true, true) | (false, false) => {}
        }
        Ok(after)
    }

    /// Opens the part that waits once `events` have resolved the one before it, in the same commit. `None` where none
    /// waits, or the account can't be asked for it now: then its job is.
    pub(crate) fn open_next(
        &self,
        connector: Option<&Arc<Connector>>,
        before: &RefundState,
        events: &mut Vec<RefundEvent>,
        at: crate::Timestamp,
    ) -> Result<Option<RefundDrive>> {
        let after = events
            .iter()
            .fold(Some(before.clone()), refund::apply)
            .ok_or_else(stale)?;
        let (Some(part), Some(connector)) = (after.next_waiting(), connector) else {
            return Ok(None);
        };
        let used = before.open_op.as_ref().and_then(|open| open.idempotency.clone());
        let open = opening(&after, part, used, at);
        let began = self.runtime.clock.elapsed();
        let call = Call::refund(began, connector, &after, part, &open)
            .inspect_err(|cannot| self.note_cannot(connector.account(), cannot));
        let Ok(call) = call else {
            return Ok(None);
        };
        let open = OpenOp {
            steps: vec![call.record.clone()],
            ..open
        };
        let operation = open.id;
        events.extend(refund::decide(Some(&after), &Command::Open(Box::new(open)), at)?);
        Ok(Some(RefundDrive {
            operation,
            connector: connector.clone(),
            call,
            epoch: 1,
            sending: Sending::First,
        }))
    }

    /// Asks for the part that waits, where whoever resolved the one before it couldn't.
    pub(crate) async fn refund_due(&self, claim: &Claim) -> Result<()> {
        let tenant = &claim.tenant;
        let Some(loaded) = self.load::<RefundState>(tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        if loaded.state.next_waiting().is_none() {
            return self.drop_job_of(claim, &loaded).await;
        }
        let connector = self.connectors.get(tenant, &loaded.state.account).await?;
        let work = self.work();
        let mut events = Vec::new();
        let next = self.open_next(connector.as_ref(), &loaded.state, &mut events, work.at)?;
        let Some(next) = next else {
            if loaded.state.review.is_none() {
                let command = Command::NoteReview(ReviewReason::NoConnector);
                let events = refund::decide(Some(&loaded.state), &command, work.at)?;
                self.write_refund(tenant, work, &loaded, &events).await?;
            }
            return self.later(claim, self.policy.recheck_at_most).await;
        };
        if let Some(Review {
            reason: ReviewReason::NoConnector,
            ..
        }) = loaded.state.review
        {
            let command = Command::ClearReview {
                by: "the account is registered again".to_owned(),
            };
            events.extend(refund::decide(Some(&loaded.state), &command, work.at)?);
        }
        // Should its commit fail, the job is asked again.
        self.later(claim, self.policy.recheck).await?;
        let after = self.write_refund(tenant, work, &loaded, &events).await?;
        self.drive_refund(tenant, after, next).await;
        Ok(())
    }

    /// Writes what resolves a part from outside its drive, and asks for the one that waits.
    pub(crate) async fn resolve_part(
        &self,
        tenant: &Tenant,
        work: Work,
        before: &Loaded<RefundState>,
        events: Vec<RefundEvent>,
    ) -> Result<Loaded<RefundState>, CommitFailure> {
        let mut events = events;
        let connector = match before.state.is_of_parts() {
            true => self.connectors.get(tenant, &before.state.account).await?,
            false => None,
        };
        let next = self.open_next(connector.as_ref(), &before.state, &mut events, work.at)?;
        let after = self.write_refund(tenant, work, before, &events).await?;
        match next {
            Some(next) => Ok(self.drive_refund(tenant, after, next).await.0),
            None => Ok(after),
        }
    }

    /// W3 of a refund's part: its outcome, the intent's counters, and the next part, in one commit. What can't be
    /// written leaves the part open as its row has it, and recovery asks again.
    pub(crate) async fn write_refund_news(
        &self,
        tenant: &Tenant,
        loaded: Loaded<RefundState>,
        drive: &RefundDrive,
        news: RefundNews,
        epoch: Option<u64>,
    ) -> (Loaded<RefundState>, Next<RefundDrive>) {
        let mut current = loaded;
        let written = self
            .try_to_write_refund_news(tenant, &mut current, drive, news, epoch)
            .await;
        let next = written.unwrap_or_else(|error| {
            tracing::error!(operation = %drive.operation, %error, "an outcome couldn't be written: recovery will ask again");
            Next::Nothing(Writer::Itself)
        });
        (current, next)
    }

    async fn try_to_write_refund_news(
        &self,
        tenant: &Tenant,
        current: &mut Loaded<RefundState>,
        drive: &RefundDrive,
        news: RefundNews,
        epoch: Option<u64>,
    ) -> Result<Next<RefundDrive>> {
        let mut lease = epoch;
        for _ in 0..WRITE_TRIES {
            let mut work = self.work();
            let driver = lease.map(|_| drive.operation);
            let mut events = refund::merge(&current.state, drive.operation, &news, driver, work.at);
            let next = match (lease, events.is_empty()) {
                (None, true) => return Ok(Next::Nothing(Writer::Another)),
                (Some(_), _) | (None, false) => {
                    self.open_next(Some(&drive.connector), &current.state, &mut events, work.at)?
                }
            };
            if let Some(epoch) = lease {
                work.batch.preconditions.push(crate::store::Precondition::Epoch(
                    refund_job(current.state.id, drive.operation),
                    epoch,
                ));
            }
            match self.write_refund(tenant, work, current, &events).await {
                Ok(after) => {
                    *current = after;
                    return Ok(match (next, lease) {
                        (None, None) => Next::Nothing(Writer::Another),
                        (next, _) => Next::of(next),
                    });
                }
                Err(CommitFailure::Conflict(_)) => *current = self.reload(tenant, current).await?,
                Err(CommitFailure::Fenced) => {
                    *current = self.reload(tenant, current).await?;
                    // That this worker sent nothing says nothing about what the other one sent.
                    if let RefundNews::NotExecuted(_) = news {
                        return Ok(Next::Nothing(Writer::Another));
                    }
                    lease = None;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(stale())
    }

    /// Writes a refund's events with its intent's share in one commit. An identifier of the processor's that is
    /// another refund's already stays there, and a person is asked.
    pub(crate) async fn write_refund(
        &self,
        tenant: &Tenant,
        work: Work,
        before: &Loaded<RefundState>,
        events: &[RefundEvent],
    ) -> Result<Loaded<RefundState>, CommitFailure> {
        let (mut work, mut events) = (work, Cow::Borrowed(events));
        loop {
            let written = self
                .claim_and_write_refund(tenant, work.clone(), before, &events)
                .await;
            let failure = match written {
                Ok(after) => return Ok(after),
                Err(failure) => failure,
            };
            let (key, holder) = self.holder(tenant, before.state.key(), failure).await?;
            let reviewed = events
                .iter()
                .any(|event| matches!(event.what, RefundHappened::ReviewRaised(_)));
            if holder == Holder::Another && before.state.review.is_none() && !reviewed {
                let (at, what) = (work.at, RefundHappened::ReviewRaised(ReviewReason::Contradiction));
                events.to_mut().push(RefundEvent { at, what });
            }
            work.leave(key);
            work.batch.commit_id = CommitId(self.uuid());
        }
    }

    async fn claim_and_write_refund(
        &self,
        tenant: &Tenant,
        mut work: Work,
        before: &Loaded<RefundState>,
        events: &[RefundEvent],
    ) -> Result<Loaded<RefundState>, CommitFailure> {
        let after = match events.is_empty() {
            true => before.clone(),
            false => self.include_refund(&mut work, Some(before), events)?,
        };
        let share = after.state.share();
        if share != before.state.share() {
            let intent = self
                .load::<Intent>(tenant, after.state.intent.uuid())
                .await?
                .ok_or_else(stale)?;
            let given_back = given_back(&before.state, &after.state);
            let what = Happened::RefundLearnt {
                refund: after.state.id,
                share,
                given_back,
            };
            let learnt = [IntentEvent { at: work.at, what }];
            self.include_intent(tenant, &mut work, Some(&intent), &learnt)
                .await?;
        }
        if !events.is_empty() {
            let said = events.iter().map(|event| event.kind()).collect::<Vec<_>>();
            let what = serde_json::json!({ "refund": after.state.id, "said": said });
            work.evidence(after.state.key(), "refund", &what, self)?;
        }
        if !work.is_empty() {
            self.commit(tenant, work).await?;
        }
        Ok(after)
    }

    /// News of a refund from outside its drive.
    pub(crate) async fn merge_refund(
        &self,
        tenant: &Tenant,
        loaded: Loaded<RefundState>,
        operation: OperationId,
        news: RefundNews,
    ) -> Result<Loaded<RefundState>> {
        let mut before = loaded;
        for _ in 0..WRITE_TRIES {
            let work = self.work();
            let events = refund::merge(&before.state, operation, &news, None, work.at);
            if events.is_empty() {
                return Ok(before);
            }
            match self.resolve_part(tenant, work, &before, events).await {
                Ok(after) => return Ok(after),
                Err(CommitFailure::Conflict(_)) => before = self.reload(tenant, &before).await?,
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(stale())
    }
}

pub(crate) fn refund_news(state: &RefundState, drive: &RefundDrive, outcome: Outcome<Report>) -> RefundNews {
    match outcome {
        Outcome::Answered(Report::Refund(report)) => RefundNews::Report(report),
        Outcome::Answered(
            Report::Prepared(_)
            | Report::Authorize(_)
            | Report::Increment(_)
            | Report::Capture(_)
            | Report::Close(_),
        ) => RefundNews::Doubt(earlier(state, "the answer is to another step")),
        Outcome::NotExecuted(proof) => match drive.sending {
            Sending::First => RefundNews::NotExecuted(proof),
            Sending::Again => RefundNews::Doubt(earlier(state, "an earlier send may have been executed")),
        },
        Outcome::Unknown(doubt) => RefundNews::Doubt(doubt),
    }
}

fn earlier(state: &RefundState, why: &'static str) -> Doubt {
    let known = state.open_op.as_ref().and_then(OpenOp::doubt);
    known.cloned().unwrap_or(Doubt::new(CallStage::Prepared, why))
}

/// What captures get back of parts that failed; less than nothing where such a part turns out to be refunded.
fn given_back(before: &RefundState, after: &RefundState) -> Vec<(CaptureId, i64)> {
    let held = |part: &Allocation| match part.status {
        AllocationStatus::Failed | AllocationStatus::Cancelled => 0,
        AllocationStatus::Waiting
        | AllocationStatus::RequiresAction
        | AllocationStatus::Pending
        | AllocationStatus::Refunded => part.amount.minor(),
    };
    let parts = after.allocations.iter().filter_map(|part| {
        let given = held(before.allocation(part.operation)?) - held(part);
        Some((part.capture?, given))
    });
    parts.filter(|(_, given)| *given != 0).collect()
}

/// Whether the processor may say something else of a part than is known: of one that was proved not executed too,
/// since its own word outranks the proof.
pub(super) fn may_change(part: &Allocation) -> bool {
    match part.status {
        AllocationStatus::Pending | AllocationStatus::RequiresAction | AllocationStatus::Refunded => true,
        AllocationStatus::Failed => part.not_executed.is_some(),
        AllocationStatus::Waiting | AllocationStatus::Cancelled => false,
    }
}

/// Whether the processor still has something to say of it that it may not say by itself.
pub(crate) fn watched(state: &RefundState) -> bool {
    state.open_op.is_none() && waits(state)
}

fn waits(state: &RefundState) -> bool {
    match state.status {
        RefundStatus::Pending | RefundStatus::RequiresAction => true,
        RefundStatus::Requested
        | RefundStatus::Succeeded
        | RefundStatus::PartiallySucceeded
        | RefundStatus::Failed
        | RefundStatus::Cancelled => false,
    }
}
