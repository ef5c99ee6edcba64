//! Work without a caller: operations whose caller died, unknown outcomes, pending payments, what is due, what
//! expires. Each job is claimed with an epoch; whoever is overtaken is fenced off.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::call::Call;
use super::commit::{CommitFailure, unreadable};
use super::drive::{Drive, FirstWrite, Lease, Next, Sending, WRITE_TRIES};
use super::operate::stale;
use super::operator::SETTLED_BY_HAND;
use super::payments::Payments;
use super::refunds::RefundDrive;
use super::resolve::Found;
use crate::connector::{AuthorizeReport, Contradiction, NotExecuted, Outcome, RefundReadReport};
use crate::error::{Error, ErrorKind, Result};
use crate::id::OperationId;
use crate::intent::{
    self, Command, Happened, Intent, IntentEvent, News, OpStage, OpenOp, ReviewReason, Source,
};
use crate::panics::{Panicked, caught_async};
use crate::refund::{self, RefundNews, RefundState};
use crate::secret::Volatile;
use crate::store::{Claim, ClaimRequest, Due, JobWrite, Precondition, Query, Queue, RowKind};
use crate::tenant::Tenant;

/// How much due work was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Jobs that were claimed.
    pub claimed: u32,
    /// Jobs that failed for now, and stay due. One that somebody else's change overtook is none of them.
    pub failed: u32,
}

/// What workers had done when they stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Jobs that were claimed in all.
    pub claimed: u64,
    /// Jobs that failed for now, and stay due. One that somebody else's change overtook is none of them.
    pub failed: u64,
}

impl Inner {
    pub(crate) async fn recover_due(self: Arc<Self>, limit: u32) -> Result<Progress> {
        self.work_through(&[Queue::Recovery, Queue::Sync, Queue::Due], limit)
            .await
    }

    pub(crate) async fn expire_due(self: Arc<Self>, limit: u32) -> Result<Progress> {
        self.work_through(&[Queue::Expiry], limit).await
    }

    pub(crate) async fn run_workers(
        self: Arc<Self>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Drained> {
        let mut shutdown = pin!(shutdown);
        let mut drained = Drained::default();
        let queues = [Queue::Recovery, Queue::Sync, Queue::Due, Queue::Expiry];
        loop {
            if let Err(error) = self.exchange_health().await {
                tracing::warn!(%error, "how accounts do can't be exchanged: it is tried again");
            }
            match self.work_through(&queues, WORKER_BATCH).await {
                Ok(progress) => {
                    drained.claimed += u64::from(progress.claimed);
                    drained.failed += u64::from(progress.failed);
                    if progress.claimed > progress.failed {
                        let stop =
                            std::future::poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_ready()))
                                .await;
                        if stop {
                            return Ok(drained);
                        }
                        continue;
                    }
                }
                Err(error) => tracing::warn!(%error, "the store can't be read: workers wait"),
            }
            let mut idle = pin!(self.runtime.clock.sleep(self.policy.idle));
            let stop = std::future::poll_fn(|cx| match shutdown.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => idle.as_mut().poll(cx).map(|()| false),
            })
            .await;
            if stop {
                return Ok(drained);
            }
        }
    }

    async fn work_through(self: &Arc<Self>, queues: &[Queue], limit: u32) -> Result<Progress> {
        let mut progress = Progress::default();
        for queue in queues {
            let mut left = limit;
            while left > 0 {
                let request = ClaimRequest {
                    queue: *queue,
                    limit: left.min(self.policy.jobs_at_once),
                    lease: self.policy.lease(),
                };
                let claims = self.store.claim_due(&request).await.map_err(unreadable)?;
                if claims.is_empty() {
                    break;
                }
                left = left.saturating_sub(claims.len() as u32);
                progress.claimed += claims.len() as u32;
                progress.failed += self.work_on_all(&claims).await;
            }
        }
        Ok(progress)
    }

    /// Works on all of them at the same time, so that each begins while its lease is fresh; those of one row in turn,
    /// so that they don't stand in each other's way. Returns how many failed.
    async fn work_on_all(self: &Arc<Self>, claims: &[Claim]) -> u32 {
        let mut rows: Vec<Vec<&Claim>> = Vec::new();
        for claim in claims {
            let same = |row: &&mut Vec<&Claim>| {
                row.iter()
                    .any(|other| other.tenant == claim.tenant && other.job.row == claim.job.row)
            };
            match rows.iter_mut().find(same) {
                Some(row) => row.push(claim),
                None => rows.push(vec![claim]),
            }
        }
        let work = |row: Vec<&Claim>| {
            let row: Vec<Claim> = row.into_iter().cloned().collect();
            Box::pin(async move {
                let mut failed = 0;
                for claim in row {
                    match caught_async(self.work_on(&claim)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) if is_overtaken(&error) => {
                            tracing::info!(job = ?claim.job, %error, "due work was overtaken");
                        }
                        Ok(Err(error)) => {
                            failed += 1;
                            tracing::warn!(job = ?claim.job, %error, "due work failed for now");
                        }
                        // Its lease lapses, and it is tried again: it stops nobody else's work.
                        Err(Panicked) => {
                            failed += 1;
                            self.note_panic(&claim.tenant, "due work");
                        }
                    }
                }
                failed
            })
        };
        let mut running: Vec<_> = rows.into_iter().map(work).collect();
        let mut failed = 0;
        std::future::poll_fn(|cx| {
            running.retain_mut(|work| match work.as_mut().poll(cx) {
                Poll::Ready(more) => {
                    failed += more;
                    false
                }
                Poll::Pending => true,
            });
            match running.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        failed
    }

    async fn work_on(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        match (claim.job.queue, claim.job.row.kind) {
            (Queue::Recovery, RowKind::Intent) => self.recover_intent(claim).await,
            (Queue::Recovery, RowKind::Refund) => self.recover_refund(claim).await,
            (Queue::Sync, RowKind::Intent) => self.sync_due(claim).await,
            (Queue::Sync, RowKind::Refund) => self.sync_refund_due(claim).await,
            (Queue::Due, RowKind::Intent) => self.do_due(claim).await,
            (Queue::Due, RowKind::Notice) => self.notice_due(claim).await,
            (Queue::Due, RowKind::Refund) => self.refund_due(claim).await,
            (Queue::Due, RowKind::Session) => self.refund_late_payment(claim).await,
            (Queue::Expiry, RowKind::Intent) => self.expire_intent(claim).await,
            (Queue::Expiry, RowKind::Session) => self.expire_session(claim).await,
            (Queue::Recovery | Queue::Sync | Queue::Due | Queue::Expiry | Queue::Outbox, _) => {
                self.drop_job(claim).await
            }
        }
    }

    /// Finishes a job that has nothing to do any more.
    pub(crate) async fn drop_job(&self, claim: &Claim) -> Result<()> {
        self.rewrite_job(claim, None, JobWrite::Done(claim.job)).await
    }

    /// Finishes a job of which its row, as it was seen, says that it has nothing to do. A row's jobs come and go under
    /// one name: the row's version tells a job from the next one.
    pub(crate) async fn drop_job_of<A: Aggregate>(&self, claim: &Claim, seen: &Loaded<A>) -> Result<()> {
        let seen = Precondition::Version(seen.state.key(), seen.version);
        self.rewrite_job(claim, Some(seen), JobWrite::Done(claim.job))
            .await
    }

    pub(crate) async fn later(&self, claim: &Claim, pause: Duration) -> Result<()> {
        self.rewrite_job(claim, None, rescheduled(claim, pause)).await
    }

    /// The same, of a job as its row was seen.
    pub(crate) async fn later_of<A: Aggregate>(
        &self,
        claim: &Claim,
        seen: &Loaded<A>,
        pause: Duration,
    ) -> Result<()> {
        let seen = Precondition::Version(seen.state.key(), seen.version);
        self.rewrite_job(claim, Some(seen), rescheduled(claim, pause))
            .await
    }

    async fn rewrite_job(&self, claim: &Claim, seen: Option<Precondition>, write: JobWrite) -> Result<()> {
        let mut work = self.work();
        work.batch.preconditions.extend(seen);
        work.epoch(claim.job, claim.epoch);
        work.job(write);
        match (self.commit(&claim.tenant, work).await, seen) {
            // Somebody else has the job: it is theirs to finish.
            (Ok(()) | Err(CommitFailure::Fenced), _) => Ok(()),
            // What is to be done now may be another thing: the job is claimed anew when its lease ends.
            (Err(CommitFailure::Conflict(_)), Some(_)) => Ok(()),
            (Err(failure), _) => Err(failure.into()),
        }
    }

    pub(crate) async fn reload<A: Aggregate>(&self, tenant: &Tenant, seen: &Loaded<A>) -> Result<Loaded<A>> {
        self.load::<A>(tenant, seen.state.key().id)
            .await?
            .ok_or_else(stale)
    }

    /// The pause before an unknown outcome is looked into again: it doubles with its age.
    fn pause(&self, open: &OpenOp) -> Duration {
        let age = self.runtime.clock.now().since(open.doubtful_since());
        age.clamp(self.policy.recheck, self.policy.recheck_at_most)
    }

    async fn recover_intent(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let tenant = &claim.tenant;
        let Some(loaded) = self.load::<Intent>(tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        let operation = OperationId::from_uuid(loaded.state.id.mode(), claim.job.child);
        let Some(open) = loaded.state.lock(operation).cloned() else {
            return self.drop_job(claim).await;
        };
        let Some(connector) = self.connectors.get(tenant, &open.account).await? else {
            self.raise(tenant, &loaded, ReviewReason::NoConnector).await?;
            return self.later(claim, self.policy.recheck_at_most).await;
        };
        let loaded = self.lower_no_connector(tenant, loaded).await?;
        let epoch = claim.epoch;
        let lease = Lease {
            job: claim.job,
            epoch,
        };
        match self
            .look_into(tenant, &connector, &loaded.state, &open, claim.age)
            .await
        {
            Found::Send(call, sending) => {
                let Some(loaded) = self.keep_lease(claim, loaded, operation, &call, sending).await? else {
                    return self.later(claim, self.policy.recheck).await;
                };
                let drive = Drive {
                    operation,
                    connector,
                    call: *call,
                    epoch,
                    sending,
                    payload: Volatile::default(),
                };
                let driven = self.drive(tenant, loaded, drive).await;
                self.wait_on(claim, driven.loaded, operation).await
            }
            Found::News(news) => {
                let (after, next) = self
                    .write_outcome(tenant, loaded, &connector, operation, lease, news)
                    .await;
                match next {
                    Next::Drive(next) => {
                        self.drive(tenant, after, next).await;
                        Ok(())
                    }
                    Next::Nothing(_) => self.wait_on(claim, after, operation).await,
                }
            }
            Found::Nothing => {
                let loaded = self.mark_unknown(tenant, loaded, &open, lease).await?;
                self.wait_on(claim, loaded, operation).await
            }
        }
    }

    /// Before a worker sends: its lease begins anew, and a step that was never sent is written down first. `None` where
    /// another worker has the job, or the payment has changed: nothing may be sent then.
    async fn keep_lease(
        &self,
        claim: &Claim,
        loaded: Loaded<Intent>,
        operation: OperationId,
        call: &Call,
        sending: Sending,
    ) -> Result<Option<Loaded<Intent>>> {
        let mut work = self.work();
        work.epoch(claim.job, claim.epoch);
        let (key, due) = (claim.job, Due::After(self.policy.lease()));
        let events = match sending {
            Sending::Again => {
                work.job(JobWrite::Reschedule { key, due });
                Vec::new()
            }
            Sending::First => {
                // The job's age is that of its step's first send.
                work.job(JobWrite::Put { key, due });
                let step = call.record.clone();
                let what = Happened::StepRecorded {
                    operation,
                    step,
                    handle: None,
                };
                vec![IntentEvent { at: work.at, what }]
            }
        };
        match self
            .write_intent(&claim.tenant, work, Some(&loaded), &events)
            .await
        {
            Ok(after) => Ok(Some(after)),
            Err(CommitFailure::Conflict(_) | CommitFailure::Fenced) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A call that was begun and whose caller is gone is unknown, and says so.
    async fn mark_unknown(
        &self,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
        open: &OpenOp,
        lease: Lease,
    ) -> Result<Loaded<Intent>> {
        if open.stage != OpStage::Prepared {
            return Ok(loaded);
        }
        let doubt = crate::connector::Doubt::new(
            crate::connector::Stage::Prepared,
            "the caller went away while the call was under way",
        );
        let news = News::Doubt {
            operation: open.id,
            doubt,
        };
        let observation = self
            .observation(tenant, &loaded.state, Source::Driver(open.id), news)
            .await?;
        let events = intent::merge(&loaded.state, &observation).into_events();
        let mut work = self.work();
        work.epoch(lease.job, lease.epoch);
        match self.write_intent(tenant, work, Some(&loaded), &events).await {
            Ok(after) => Ok(after),
            Err(CommitFailure::Conflict(_) | CommitFailure::Fenced) => self.reload(tenant, &loaded).await,
            Err(failure) => Err(failure.into()),
        }
    }

    /// Still unknown: asked again later; after `review_after`, a person is asked as well.
    async fn wait_on(&self, claim: &Claim, loaded: Loaded<Intent>, operation: OperationId) -> Result<()> {
        let Some(open) = loaded.state.lock(operation).cloned() else {
            return Ok(());
        };
        let review_at = open.doubtful_since().after(self.policy.review_after);
        if self.runtime.clock.now() >= review_at && loaded.state.review.is_none() {
            self.raise(&claim.tenant, &loaded, ReviewReason::UnknownTooLong)
                .await?;
        }
        self.later(claim, self.pause(&open)).await
    }

    pub(crate) async fn raise(
        &self,
        tenant: &Tenant,
        loaded: &Loaded<Intent>,
        reason: ReviewReason,
    ) -> Result<()> {
        if loaded.state.review.is_some() {
            return Ok(());
        }
        let work = self.work();
        let events = intent::decide(Some(&loaded.state), &Command::NoteReview(reason), work.at)?;
        match self.write_intent(tenant, work, Some(loaded), &events).await {
            Ok(_) | Err(CommitFailure::Conflict(_)) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    pub(crate) async fn lower_no_connector(
        &self,
        tenant: &Tenant,
        loaded: Loaded<Intent>,
    ) -> Result<Loaded<Intent>> {
        match &loaded.state.review {
            Some(review) if review.reason == ReviewReason::NoConnector => {
                let work = self.work();
                let command = Command::ClearReview {
                    by: "the account is registered again".to_owned(),
                };
                let events = intent::decide(Some(&loaded.state), &command, work.at)?;
                Ok(self.write_intent(tenant, work, Some(&loaded), &events).await?)
            }
            Some(_) | None => Ok(loaded),
        }
    }

    pub(crate) fn payments(self: &Arc<Self>, tenant: &Tenant) -> Payments {
        Payments {
            engine: self.clone(),
            tenant: tenant.clone(),
        }
    }

    async fn recover_refund(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let tenant = &claim.tenant;
        let Some(loaded) = self.load::<RefundState>(tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        let operation = OperationId::from_uuid(loaded.state.id.mode(), claim.job.child);
        let open = loaded.state.open_op.clone().filter(|open| open.id == operation);
        let (Some(open), Some(part)) = (open, loaded.state.allocation(operation).cloned()) else {
            return self.drop_job(claim).await;
        };
        let Some(connector) = self.connectors.get(tenant, &open.account).await? else {
            self.strand_refund(tenant, loaded, operation).await?;
            return self.later(claim, self.policy.recheck_at_most).await;
        };
        let began = self.runtime.clock.elapsed();
        let call = Call::refund(began, &connector, &loaded.state, &part, &open)
            .inspect_err(|cannot| self.note_cannot(connector.account(), cannot));
        let Ok(call) = call else {
            let stranded = self.strand_refund(tenant, loaded, operation).await?;
            // It can't be sent any more; what became of it may be seen all the same.
            let synced = self.sync_refund(tenant, stranded, &connector).await;
            self.later(claim, self.policy.recheck_at_most).await?;
            return synced.map(drop);
        };
        let loaded = self.lower_refund(tenant, loaded).await?;
        let resend = self.resendable(&call, &open, claim.age);
        let quiet = connector.capabilities.reads_settle_within;
        let last_send = self.last_send(call.step.key());
        let seen = self.read_refund_part(tenant, &connector, &part).await;
        let epoch = claim.epoch;
        let drive = RefundDrive {
            operation,
            connector,
            call,
            epoch,
            sending: Sending::Again,
        };
        let news = match seen {
            Some(Outcome::Answered(RefundReadReport::Found(report))) => Some(RefundNews::Report(report)),
            // As an answer that speaks of something else: this is never sent again, only read.
            Some(Outcome::Unknown(doubt)) if doubt.contradicts == Contradiction::Echo => {
                Some(RefundNews::Doubt(doubt))
            }
            _unseen if resend => {
                // Its step was written down with the refund: only the lease begins anew.
                let mut work = self.work();
                work.epoch(claim.job, claim.epoch);
                let due = Due::After(self.policy.lease());
                work.job(JobWrite::Reschedule { key: claim.job, due });
                match self.commit(tenant, work).await {
                    Ok(()) => {}
                    Err(CommitFailure::Conflict(_) | CommitFailure::Fenced) => return Ok(()),
                    Err(failure) => return Err(failure.into()),
                }
                let (after, _) = self.drive_refund(tenant, loaded, drive).await;
                return self.wait_on_refund(claim, after, operation).await;
            }
            Some(Outcome::Answered(RefundReadReport::NotFound))
                if quiet.is_some_and(|quiet| claim.age >= last_send + quiet) =>
            {
                let why = "not there after the processor's reads had settled";
                Some(RefundNews::NotExecuted(NotExecuted::Refused(why.into())))
            }
            Some(
                Outcome::Answered(RefundReadReport::NotFound) | Outcome::NotExecuted(_) | Outcome::Unknown(_),
            )
            | None => match open.stage {
                OpStage::Unknown { .. } => None,
                OpStage::Prepared => Some(RefundNews::Doubt(crate::connector::Doubt::new(
                    crate::connector::Stage::Prepared,
                    "the caller went away while the call was under way",
                ))),
            },
        };
        let after = match news {
            Some(news) => {
                let (after, next) = self
                    .write_refund_news(tenant, loaded, &drive, news, Some(epoch))
                    .await;
                match next {
                    Next::Drive(next) => self.drive_refund(tenant, after, next).await.0,
                    Next::Nothing(_) => after,
                }
            }
            None => loaded,
        };
        self.wait_on_refund(claim, after, operation).await
    }

    async fn wait_on_refund(
        &self,
        claim: &Claim,
        loaded: Loaded<RefundState>,
        operation: OperationId,
    ) -> Result<()> {
        let Some(open) = loaded.state.open_op.clone().filter(|open| open.id == operation) else {
            return Ok(());
        };
        let review_at = open.doubtful_since().after(self.policy.review_after);
        if self.runtime.clock.now() >= review_at {
            self.raise_refund(&claim.tenant, &loaded, ReviewReason::UnknownTooLong)
                .await?;
        }
        self.later(claim, self.pause(&open)).await
    }

    /// An open refund whose account is gone, or refunds no more: its outcome is unknown, and a person is asked.
    async fn strand_refund(
        &self,
        tenant: &Tenant,
        loaded: Loaded<RefundState>,
        operation: OperationId,
    ) -> Result<Loaded<RefundState>> {
        let doubt = crate::connector::Doubt::new(
            crate::connector::Stage::Prepared,
            "its account isn't registered, or offers no refunds any more",
        );
        let prepared = |open: &OpenOp| open.stage == OpStage::Prepared;
        let loaded = match loaded.state.open_op.as_ref().is_some_and(prepared) {
            true => {
                let news = RefundNews::Doubt(doubt);
                self.merge_refund(tenant, loaded, operation, news).await?
            }
            false => loaded,
        };
        self.raise_refund(tenant, &loaded, ReviewReason::NoConnector)
            .await?;
        self.reload(tenant, &loaded).await
    }

    pub(crate) async fn raise_refund(
        &self,
        tenant: &Tenant,
        loaded: &Loaded<RefundState>,
        reason: ReviewReason,
    ) -> Result<()> {
        if loaded.state.review.is_some() {
            return Ok(());
        }
        let work = self.work();
        let command = refund::Command::NoteReview(reason);
        let events = refund::decide(Some(&loaded.state), &command, work.at)?;
        match self.write_refund(tenant, work, loaded, &events).await {
            Ok(_) | Err(CommitFailure::Conflict(_)) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn lower_refund(
        &self,
        tenant: &Tenant,
        loaded: Loaded<RefundState>,
    ) -> Result<Loaded<RefundState>> {
        match &loaded.state.review {
            Some(review) if review.reason == ReviewReason::NoConnector => {
                let work = self.work();
                let command = refund::Command::ClearReview {
                    by: "the account is registered again".to_owned(),
                };
                let events = refund::decide(Some(&loaded.state), &command, work.at)?;
                Ok(self.write_refund(tenant, work, &loaded, &events).await?)
            }
            Some(_) | None => Ok(loaded),
        }
    }
}

impl Inner {
    /// News of an intent from outside its drive, and what follows it by itself. In doubt, the news may not be written:
    /// whoever has it keeps it.
    pub(crate) async fn merge_news(
        &self,
        tenant: &Tenant,
        loaded: &Loaded<Intent>,
        news: News,
    ) -> Result<(Loaded<Intent>, FirstWrite)> {
        let mut before = loaded.clone();
        for _ in 0..WRITE_TRIES {
            let observation = self
                .observation(tenant, &before.state, Source::Outside, news.clone())
                .await?;
            let mut events = intent::merge(&before.state, &observation).into_events();
            if events.is_empty() {
                return Ok((before, FirstWrite::Done));
            }
            if self.denies_a_person(tenant, &before.state, &news).await? {
                let (at, what) = (
                    observation.at,
                    Happened::ReviewRaised(ReviewReason::Contradiction),
                );
                events.push(IntentEvent { at, what });
            }
            let next = self.follow_news(tenant, &before.state, &mut events).await?;
            let mut work = self.work();
            self.keep_evidence(&mut work, &before.state, &news)?;
            let after = self
                .include_intent(tenant, &mut work, Some(&before), &events)
                .await?;
            match (self.commit(tenant, work).await, next) {
                (Ok(()), Some(drive)) => {
                    return Ok((self.drive(tenant, after, drive).await.loaded, FirstWrite::Done));
                }
                (Ok(()), None) => return Ok((after, FirstWrite::Done)),
                (Err(CommitFailure::Conflict(_)), _) => before = self.reload(tenant, &before).await?,
                // What follows may have its first write, and is sent by itself then: it is shown as open.
                (Err(CommitFailure::InDoubt), Some(_)) => return Ok((after, FirstWrite::InDoubt)),
                (Err(failure), _) => return Err(failure.into()),
            }
        }
        Err(stale())
    }
}

impl Inner {
    /// Whether the processor says no to what a person took for executed: what they decided is then to be looked at
    /// again. A no that came before another's yes is only late.
    async fn denies_a_person(&self, tenant: &Tenant, state: &Intent, news: &News) -> Result<bool> {
        let News::Payment {
            attempt, standing, ..
        } = news
        else {
            return Ok(false);
        };
        let denied = matches!(standing.report, AuthorizeReport::Declined(_));
        let held = state
            .attempt(*attempt)
            .is_some_and(|attempt| attempt.status.holds_money());
        if !denied || !held || state.review.is_some() {
            return Ok(false);
        }
        let query = Query {
            parent: Some(state.key()),
            statuses: vec![SETTLED_BY_HAND.to_owned()],
            ..Query::of(RowKind::Evidence)
        };
        let rows = self.store.find(tenant, &query).await.map_err(unreadable)?;
        Ok(!rows.is_empty())
    }
}

fn rescheduled(claim: &Claim, pause: Duration) -> JobWrite {
    JobWrite::Reschedule {
        key: claim.job,
        due: Due::After(pause),
    }
}

/// Somebody else is at what the job was to do: it is claimed anew when its lease ends, and decides by what is there then.
fn is_overtaken(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Stale | ErrorKind::OperationInProgress { .. }
    )
}

const WORKER_BATCH: u32 = 32;
