//! How an operation is driven: persist, call, persist. The live path and recovery are this one loop.
//!
//! W1 is committed before [`Inner::drive`] is called. The loop sends a step, commits a handle (W2) where the account
//! gives one first, and commits the outcome (W3) together with whatever follows by itself: the next account, a
//! challenge, an automatic capture.

use std::sync::Arc;

use super::Inner;
use super::aggregate::{Aggregate as _, Loaded};
use super::call::{Call, Report};
use super::commit::{CommitFailure, Holder};
use super::operate::stale;
use super::refunds::{RefundDrive, refund_news};
use crate::action::Action;
use crate::connector::{AuthorizeReport, Connector, Doubt, Handle, NotExecuted, Outcome, Standing};
use crate::error::Result;
use crate::id::{CaptureId, OperationId};
use crate::intent::{
    self, Happened, Intent, IntentEvent, News, Observation, OnLateSuccess, OpStage, OpenOp, Reading, Source,
};
use crate::refund::RefundState;
use crate::secret::Volatile;
use crate::session::Session;
use crate::store::{CommitId, Due, JobKey, JobWrite, Queue, Refusal, RowKey, RowKind};
use crate::tenant::Tenant;

/// An operation that is under way: the call to send next, and the lease that allows it.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) operation: OperationId,
    pub(crate) connector: Arc<Connector>,
    pub(crate) call: Call,
    pub(crate) epoch: u64,
    pub(crate) sending: Sending,
    pub(crate) payload: Volatile,
}

/// Whether the step may have been sent before: then a proof that this send did nothing proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    First,
    Again,
}

/// What came of driving.
#[derive(Debug)]
pub(crate) struct Driven {
    pub(crate) loaded: Loaded<Intent>,
    /// The last answer's action, with what no row keeps of it.
    pub(crate) action: Option<Action>,
    pub(crate) first_write: FirstWrite,
    pub(crate) writer: Writer,
}

/// Who wrote how an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    Itself,
    /// Another worker had taken over.
    Another,
}

/// What follows an outcome that was written.
pub(crate) enum Next<D> {
    Drive(D),
    Nothing(Writer),
}

impl<D> Next<D> {
    pub(crate) fn of(next: Option<D>) -> Self {
        next.map_or(Self::Nothing(Writer::Itself), Self::Drive)
    }
}

/// Whether an operation's first write is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstWrite {
    Done,
    /// The store doesn't say: nothing was sent yet, and recovery sends it if it was written.
    InDoubt,
}

#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and moved on at once: a box would only cost"
)]
enum Sent {
    News(News),
    Handle(Handle),
}

impl Inner {
    /// Drives an operation until nothing follows by itself. It never fails: what can't be written or looked up any
    /// more leaves the operation open, and recovery goes on from there.
    pub(crate) async fn drive(&self, tenant: &Tenant, loaded: Loaded<Intent>, drive: Drive) -> Driven {
        let (mut loaded, mut drive) = (loaded, drive);
        let mut action = None;
        loop {
            let outcome = self.send(tenant, &drive).await;
            let news = match self.news_of(&loaded.state, &drive, outcome, &mut action) {
                Sent::News(news) => news,
                Sent::Handle(handle) => match self.keep_handle(tenant, &loaded, drive, handle).await {
                    Kept::Go(after, next) => {
                        (loaded, drive) = (after, *next);
                        continue;
                    }
                    Kept::Stop(after) => return Driven::to(after, action),
                    Kept::Anothers(after, before) => {
                        (loaded, drive) = (after, *before);
                        let why = "the processor gave another payment's identifier";
                        News::NotExecuted {
                            operation: drive.operation,
                            proof: NotExecuted::NotSent(why.into()),
                        }
                    }
                },
            };
            let lease = Lease {
                job: job_key(&loaded.state, drive.operation),
                epoch: drive.epoch,
            };
            let (after, next) = self
                .write_outcome(tenant, loaded, &drive.connector, drive.operation, lease, news)
                .await;
            loaded = after;
            match next {
                Next::Drive(next) => drive = next,
                Next::Nothing(writer) => {
                    return Driven {
                        writer,
                        ..Driven::to(loaded, action)
                    };
                }
            }
        }
    }

    /// Drives a refund's parts until nothing follows by itself. It never fails either.
    pub(crate) async fn drive_refund(
        &self,
        tenant: &Tenant,
        loaded: Loaded<RefundState>,
        drive: RefundDrive,
    ) -> (Loaded<RefundState>, Writer) {
        let (mut loaded, mut drive) = (loaded, drive);
        loop {
            let outcome = drive.call.send(self, tenant, &drive.connector).await;
            let news = refund_news(&loaded.state, &drive, outcome);
            let (after, next) = self
                .write_refund_news(tenant, loaded, &drive, news, Some(drive.epoch))
                .await;
            loaded = after;
            match next {
                Next::Drive(next) => drive = next,
                Next::Nothing(writer) => return (loaded, writer),
            }
        }
    }

    async fn send(&self, tenant: &Tenant, drive: &Drive) -> Outcome<Report> {
        let span = tracing::info_span!(
            "paymux.call",
            %tenant,
            operation = %drive.operation,
            account = %drive.connector.account(),
            step = %drive.call.record.step,
        );
        let outcome = {
            use tracing::Instrument as _;
            drive
                .call
                .send(self, tenant, &drive.connector)
                .instrument(span.clone())
                .await
        };
        let word = match &outcome {
            Outcome::Answered(_) => "answered",
            Outcome::NotExecuted(_) => "not_executed",
            Outcome::Unknown(_) => "unknown",
        };
        span.in_scope(|| tracing::info!(outcome = word, "the processor was called"));
        outcome
    }

    /// What an outcome is to the state. A step that moves no money leaves nothing in doubt; a later proof never takes
    /// an earlier doubt back.
    fn news_of(
        &self,
        state: &Intent,
        drive: &Drive,
        outcome: Outcome<Report>,
        action: &mut Option<Action>,
    ) -> Sent {
        let operation = drive.operation;
        Sent::News(match outcome {
            Outcome::Answered(Report::Prepared(handle)) => return Sent::Handle(handle),
            Outcome::Answered(report) => {
                if let Report::Authorize(AuthorizeReport::ActionNeeded(_, needed, _)) = &report {
                    *action = Some(needed.clone());
                }
                answer(state, operation, report)
            }
            Outcome::NotExecuted(proof) => match drive.sending {
                Sending::First => News::NotExecuted { operation, proof },
                Sending::Again if !drive.call.moves_money() => News::NotExecuted { operation, proof },
                Sending::Again => News::Doubt {
                    operation,
                    doubt: doubtful(state, operation, &proof),
                },
            },
            Outcome::Unknown(doubt) if drive.call.moves_money() => News::Doubt { operation, doubt },
            Outcome::Unknown(doubt) => News::NotExecuted {
                operation,
                proof: NotExecuted::NotSent(doubt.why),
            },
        })
    }

    /// W2: the handle, and the next step's hash, before that step is sent.
    async fn keep_handle(
        &self,
        tenant: &Tenant,
        loaded: &Loaded<Intent>,
        drive: Drive,
        handle: Handle,
    ) -> Kept {
        let operation = drive.operation;
        let mut before = loaded.clone();
        for _ in 0..WRITE_TRIES {
            let Some(open) = before.state.lock(operation).cloned() else {
                return Kept::Stop(before);
            };
            let Some(mut attempt) = before.state.attempt(open.attempt).cloned() else {
                return Kept::Stop(before);
            };
            attempt.known.handle = Some(handle.clone());
            let began = self.runtime.clock.elapsed();
            let Ok(call) = Call::next(
                began,
                &drive.connector,
                &before.state,
                &attempt,
                &open,
                &drive.payload,
            )
            .inspect_err(|cannot| self.note_cannot(drive.connector.account(), cannot)) else {
                return Kept::Stop(before);
            };
            let mut work = self.work();
            let what = Happened::StepRecorded {
                operation,
                step: call.record.clone(),
                handle: Some(handle.clone()),
            };
            let events = [IntentEvent { at: work.at, what }];
            let job = job_key(&before.state, operation);
            work.epoch(job, drive.epoch);
            // The next call has a deadline of its own, which has to end before the job is due.
            let due = Due::After(self.policy.lease());
            // The job's age is that of its step's first send.
            work.job(JobWrite::Put { key: job, due });
            let written = match self
                .claim_and_write(tenant, work.clone(), Some(&before), &events)
                .await
            {
                Err(CommitFailure::Conflict(Refusal::Unique(key))) => {
                    let refused = CommitFailure::Conflict(Refusal::Unique(key));
                    match self.holder(tenant, before.state.key(), refused).await {
                        // Nothing that moves money was sent, and nothing is: it would be another payment's.
                        Ok((_, Holder::Another)) => return Kept::Anothers(before, Box::new(drive)),
                        Ok((_, Holder::Itself)) => {
                            work.batch.commit_id = CommitId(self.uuid());
                            self.write_intent(tenant, work, Some(&before), &events).await
                        }
                        Err(failure) => Err(failure),
                    }
                }
                written => written,
            };
            match written {
                Ok(after) => {
                    let drive = Drive {
                        call,
                        sending: Sending::First,
                        ..drive
                    };
                    return Kept::Go(after, Box::new(drive));
                }
                Err(CommitFailure::Conflict(_)) => match self.reload(tenant, &before).await {
                    Ok(now) => before = now,
                    Err(error) => {
                        tracing::error!(%operation, %error, "a payment can't be read: recovery goes on");
                        return Kept::Stop(before);
                    }
                },
                // Nothing that moves money was sent: whoever holds the lease, or recovery, goes on from here.
                Err(
                    CommitFailure::Fenced
                    | CommitFailure::NotCommitted(_)
                    | CommitFailure::InDoubt
                    | CommitFailure::Broken(_),
                ) => return Kept::Stop(before),
            }
        }
        Kept::Stop(before)
    }

    /// W3: the outcome, and what follows it by itself, in one commit. What can't be written leaves the operation open
    /// as its row has it, and recovery asks again: by now money may have moved, so that no error is given.
    pub(crate) async fn write_outcome(
        &self,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
        connector: &Arc<Connector>,
        operation: OperationId,
        lease: Lease,
        news: News,
    ) -> (Loaded<Intent>, Next<Drive>) {
        let mut current = loaded;
        let written = self
            .try_to_write_outcome(tenant, &mut current, connector, operation, lease, news)
            .await;
        let next = written.unwrap_or_else(|error| {
            tracing::error!(%operation, %error, "an outcome couldn't be written: recovery will ask again");
            Next::Nothing(Writer::Itself)
        });
        (current, next)
    }

    /// Evidence is never thrown away: a worker that was fenced off gives its news to the merge like any other.
    /// `current` is the row as it is known to stand, whatever comes of it.
    async fn try_to_write_outcome(
        &self,
        tenant: &Tenant,
        current: &mut Loaded<Intent>,
        connector: &Arc<Connector>,
        operation: OperationId,
        lease: Lease,
        news: News,
    ) -> Result<Next<Drive>> {
        let mut lease = Some(lease);
        for _ in 0..WRITE_TRIES {
            let source = if lease.is_some() {
                Source::Driver(operation)
            } else {
                Source::Outside
            };
            let observation = self
                .observation(tenant, &current.state, source, news.clone())
                .await?;
            let mut events = intent::merge(&current.state, &observation).into_events();
            let after = fold(current.state.clone(), &events);
            let used = current
                .state
                .lock(operation)
                .and_then(|open| open.idempotency.clone());
            let follow = match &lease {
                Some(_) => {
                    self.follow_up(tenant, &after, Some(connector), operation, used)
                        .await?
                }
                None => None,
            };
            let next = follow.map(|(more, next)| {
                events.extend(more);
                next
            });
            if events.is_empty() && lease.is_none() {
                self.keep_late_evidence(tenant, &current.state, &news).await;
                return Ok(Next::Nothing(Writer::Another));
            }
            let mut work = self.work();
            if let Some(lease) = &lease {
                work.epoch(lease.job, lease.epoch);
            }
            self.keep_evidence(&mut work, &current.state, &news)?;
            match self.write_intent(tenant, work, Some(current), &events).await {
                Ok(after) => {
                    *current = after;
                    return Ok(match lease {
                        Some(_) => Next::of(next.flatten()),
                        None => Next::Nothing(Writer::Another),
                    });
                }
                Err(CommitFailure::Conflict(_)) => *current = self.reload(tenant, current).await?,
                Err(CommitFailure::Fenced) => {
                    *current = self.reload(tenant, current).await?;
                    // That this worker sent nothing says nothing about what the other one sent.
                    if let News::NotExecuted { .. } = news {
                        return Ok(Next::Nothing(Writer::Another));
                    }
                    lease = None;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(stale())
    }

    pub(crate) async fn observation(
        &self,
        tenant: &Tenant,
        state: &Intent,
        source: Source,
        news: News,
    ) -> Result<Observation> {
        let mode = self.mode_of(&news);
        Ok(Observation {
            at: self.runtime.clock.now(),
            source,
            news,
            on_late_success: self.on_late_success(tenant, state).await?,
            fresh_capture: CaptureId::from_uuid(mode, self.uuid()),
        })
    }

    /// The policy; but a payment that its session has replaced isn't what the order is paid by, and is never taken.
    async fn on_late_success(&self, tenant: &Tenant, state: &Intent) -> Result<OnLateSuccess> {
        let chosen = self.policy.on_late_success;
        let (Some(id), Some(_), OnLateSuccess::AcceptIfUnpaid) = (state.session, state.ended, chosen) else {
            return Ok(chosen);
        };
        let session = self.load::<Session>(tenant, id.uuid()).await?;
        let current = session.and_then(|session| session.state.intent);
        Ok(match current {
            Some(current) if current != state.id => OnLateSuccess::Reverse,
            Some(_) | None => chosen,
        })
    }

    fn mode_of(&self, news: &News) -> crate::tenant::Mode {
        match news {
            News::Payment { attempt, .. } => attempt.mode(),
            News::Capture { operation, .. }
            | News::Close { operation, .. }
            | News::Increment { operation, .. }
            | News::CompensationRefund { operation, .. }
            | News::NotExecuted { operation, .. }
            | News::Doubt { operation, .. } => operation.mode(),
        }
    }
}

enum Kept {
    Go(Loaded<Intent>, Box<Drive>),
    /// The handle is another payment's.
    Anothers(Loaded<Intent>, Box<Drive>),
    Stop(Loaded<Intent>),
}

/// Which worker may write an operation's outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) job: JobKey,
    pub(crate) epoch: u64,
}

impl Drive {
    /// The first send of an operation that this instance has just opened: its job was made with epoch 1.
    pub(crate) fn first(operation: OperationId, connector: Arc<Connector>, call: Call) -> Self {
        Self {
            operation,
            connector,
            call,
            epoch: 1,
            sending: Sending::First,
            payload: Volatile::default(),
        }
    }
}

pub(crate) fn job_key(state: &Intent, operation: OperationId) -> JobKey {
    JobKey {
        queue: Queue::Recovery,
        row: RowKey::new(RowKind::Intent, state.id.uuid()),
        child: operation.uuid(),
    }
}

/// The state after events that aren't written yet.
pub(crate) fn fold(mut state: Intent, events: &[IntentEvent]) -> Intent {
    for event in events {
        state.advance(event);
    }
    state
}

impl Driven {
    pub(crate) fn to(loaded: Loaded<Intent>, action: Option<Action>) -> Self {
        Self {
            loaded,
            action,
            first_write: FirstWrite::Done,
            writer: Writer::Itself,
        }
    }

    /// It isn't known whether the first write of what this would be was written: nothing was sent.
    pub(crate) fn in_doubt(planned: Loaded<Intent>) -> Self {
        Self {
            first_write: FirstWrite::InDoubt,
            ..Self::to(planned, None).told()
        }
    }

    /// As the caller is told: an operation whose outcome couldn't be written is unknown, though its row still says
    /// prepared.
    pub(crate) fn told(self) -> Self {
        let Some(open) = self
            .loaded
            .state
            .open_op
            .as_ref()
            .filter(|open| open.stage == OpStage::Prepared)
        else {
            return self;
        };
        let doubt = Doubt::new(
            crate::connector::Stage::Prepared,
            "the outcome couldn't be written",
        );
        let (operation, at) = (open.id, self.loaded.state.updated_at);
        let what = Happened::OperationUnknown {
            operation,
            since: at,
            doubt,
        };
        let state = fold(self.loaded.state, &[IntentEvent { at, what }]);
        let loaded = Loaded { state, ..self.loaded };
        Self { loaded, ..self }
    }
}

fn answer(state: &Intent, operation: OperationId, report: Report) -> News {
    match report {
        Report::Authorize(report) => {
            let attempt = state.lock(operation).map(|open| open.attempt);
            match attempt {
                Some(attempt) => {
                    let standing = Box::new(Standing::from(report));
                    News::Payment {
                        attempt,
                        standing,
                        reading: Reading::Answer,
                    }
                }
                None => lost(operation),
            }
        }
        Report::Increment(report) => News::Increment { operation, report },
        Report::Capture(report) => News::Capture { operation, report },
        Report::Close(report) => News::Close { operation, report },
        Report::Refund(report) => News::CompensationRefund { operation, report },
        Report::Prepared(_) => lost(operation),
    }
}

fn lost(operation: OperationId) -> News {
    let doubt = Doubt::new(crate::connector::Stage::Answered, "the answer is to another step");
    News::Doubt { operation, doubt }
}

/// The doubt that stays when a later send proves that it, itself, did nothing.
pub(crate) fn doubtful(state: &Intent, operation: OperationId, proof: &NotExecuted) -> Doubt {
    let known = state.lock(operation).and_then(OpenOp::doubt);
    known.cloned().unwrap_or_else(|| {
        Doubt::new(
            crate::connector::Stage::Prepared,
            format!("an earlier send may have been executed; the last was {proof}"),
        )
    })
}

/// How often an outcome is tried to be written. Each conflict is another's progress, so this is how many callers may be
/// at one payment at once before one of them has to leave its outcome to recovery.
pub(crate) const WRITE_TRIES: u32 = 256;
