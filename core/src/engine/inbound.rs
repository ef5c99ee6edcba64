//! What processors post to us. A notice is stored before it is acted on; a hint only causes a read; what it says goes
//! through the one merge.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::Inner;
use super::aggregate::encode;
use super::commit::{CommitFailure, unreadable};
use super::drive::{FirstWrite, WRITE_TRIES};
use super::notice::{NoticeStage, StoredNotice, name_of, notice_index, notice_row};
use super::operate::stale;
use super::payments::Payments;
use super::refunds::watched;
use super::said::{Repeats, Said};
use super::sync::{Asked, Heard};
use super::write::to_sync;
use crate::connector::{Authority, Connector, Inbound, Notice, RefundReport, Standing};
use crate::error::Result;
use crate::id::{AccountRef, EndpointId, ProviderKind, ProviderRef};
use crate::intent::{Intent, News, Reading};
use crate::panics::{Panicked, caught, caught_async};
use crate::refund::{RefundNews, RefundState};
use crate::secret::Secret;
use crate::store::{
    Claim, Due, Index, JobKey, JobWrite, Precondition, Queue, Refusal, Row, RowKey, RowKind, Scope, Unique,
    UniqueKey, UniqueWrite,
};
use crate::tenant::Tenant;

const PARKED_TRIES: u32 = 20;

/// The most that a webhook may be.
const BODY_AT_MOST: usize = 1 << 20;

/// What became of a webhook, and the HTTP answer to give.
#[must_use]
#[derive(Debug)]
#[non_exhaustive]
pub struct WebhookReply {
    /// The answer to the processor.
    pub response: http::Response<Bytes>,
    /// What became of it.
    pub received: Received,
}

/// What became of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is genuine, and stored.
    Accepted {
        /// How many notices were in it.
        notices: usize,
    },
    /// It isn't genuine, or doesn't read as documented: nothing was stored.
    Refused,
    /// The store couldn't take it: the processor should send it again.
    TryLater,
}

impl Inner {
    pub(crate) async fn handle_webhook(
        self: Arc<Self>,
        endpoint: &EndpointId,
        headers: &HeaderMap,
        body: Bytes,
    ) -> WebhookReply {
        match caught_async(self.receive(endpoint, headers, body)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                tracing::warn!(%endpoint, %error, "a webhook couldn't be stored");
                reply(StatusCode::SERVICE_UNAVAILABLE, Received::TryLater)
            }
            Err(Panicked) => {
                self.note_panic(endpoint, "webhook");
                reply(StatusCode::SERVICE_UNAVAILABLE, Received::TryLater)
            }
        }
    }

    async fn receive(
        self: &Arc<Self>,
        endpoint: &EndpointId,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<WebhookReply> {
        let Some(found) = self.connectors.endpoint(endpoint).await? else {
            return Ok(reply(StatusCode::NOT_FOUND, Received::Refused));
        };
        let Some(webhooks) = found.connector.webhooks.clone() else {
            return Ok(reply(StatusCode::NOT_FOUND, Received::Refused));
        };
        if body.len() > BODY_AT_MOST {
            return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, Received::Refused));
        }
        let inbound = Inbound {
            headers: headers.clone(),
            body,
        };
        // A body at which its reader panics reads as none: whoever sent it, it is refused.
        let panicked = |at| {
            self.note_panic(found.connector.account(), at);
            reply(StatusCode::BAD_REQUEST, Received::Refused)
        };
        let accounts = match caught(|| webhooks.identify(&inbound)) {
            Ok(Ok(accounts)) => accounts,
            Ok(Err(_)) => return Ok(reply(StatusCode::UNAUTHORIZED, Received::Refused)),
            Err(Panicked) => return Ok(panicked("identify")),
        };
        // Anybody can sign with an empty secret.
        let secrets: Vec<Secret> = found
            .secrets
            .into_iter()
            .filter(|secret| !secret.is_blank())
            .collect();
        let now = self.runtime.clock.now();
        let verified = caught_async(async { webhooks.verify(&inbound, &secrets, now).await }).await;
        let verified = match verified {
            Ok(Ok(verified)) => verified,
            Ok(Err(_)) => return Ok(reply(StatusCode::UNAUTHORIZED, Received::Refused)),
            Err(Panicked) => return Ok(panicked("verify")),
        };
        let notices = match caught(|| webhooks.decode(&verified)) {
            Ok(Ok(notices)) => notices,
            Ok(Err(_)) => return Ok(reply(StatusCode::BAD_REQUEST, Received::Refused)),
            Err(Panicked) => return Ok(panicked("decode")),
        };
        let home = accounts.first().unwrap_or(found.connector.account()).clone();
        let count = notices.len();
        let about = |notice: &Notice| notice.account.clone().unwrap_or_else(|| home.clone());
        for notice in &notices {
            if !self.speaks_for(found.connector.account(), &about(notice)).await? {
                return Ok(reply(StatusCode::UNAUTHORIZED, Received::Refused));
            }
        }
        for notice in notices {
            let account = about(&notice);
            self.take_notice(endpoint, account, notice).await?;
        }
        let response = caught(|| webhooks.reply()).unwrap_or_else(|Panicked| {
            self.note_panic(found.connector.account(), "reply");
            http::Response::new(Bytes::new())
        });
        Ok(WebhookReply {
            response,
            received: Received::Accepted { notices: count },
        })
    }

    /// Whether an endpoint of one account may speak of another: of the same processor's alone, and where the endpoint
    /// is one tenant's, of that tenant's alone, since a merchant knows the secret of its own endpoint.
    async fn speaks_for(&self, endpoint: &AccountRef, account: &AccountRef) -> Result<bool> {
        if endpoint == account {
            return Ok(true);
        }
        if endpoint.connector() != account.connector() {
            return Ok(false);
        }
        Ok(match self.connectors.owner(endpoint).await? {
            Some(owner) => self.connectors.owner(account).await? == Some(owner),
            None => true,
        })
    }

    /// Stores a notice with its job in one commit, then tries the job at once.
    async fn take_notice(
        self: &Arc<Self>,
        endpoint: &EndpointId,
        account: AccountRef,
        mut notice: Notice,
    ) -> Result<()> {
        // What can't be a reference of ours finds nothing, and could be anything: it isn't kept.
        notice.reference = notice.reference.filter(|word| crate::id::decode(word).is_some());
        let located = self.locate_notice(&account, &notice).await?;
        let tenant = match &located {
            Some((tenant, _)) => tenant.clone(),
            None => self.home_of(endpoint, &account).await?,
        };
        let mut work = self.work();
        let said = Said::of(&notice.authority);
        let name = name_of(&account, &notice, said.as_ref())?;
        let stored = StoredNotice {
            account: account.clone(),
            kind: notice.kind,
            about: notice.about.as_str().to_owned(),
            reference: notice.reference.clone(),
            act: notice.act.clone(),
            stage: NoticeStage::Received,
            tries: 0,
            coalesced: match notice.event {
                Some(_) => None,
                None => Some(name.clone()),
            },
            said,
            repeats: Repeats::of(&notice.authority),
        };
        let key = RowKey::new(RowKind::Notice, self.uuid());
        work.batch.preconditions.push(Precondition::Absent(key));
        work.batch.puts.push(notice_row(key, 1, &stored, work.at)?);
        let unique = UniqueKey::new(Scope::Notice, name);
        work.unique(UniqueWrite::Insert(Unique {
            key: unique.clone(),
            target: Some(key),
            bytes: Bytes::new(),
            expires_at: None,
        }));
        let job = JobKey {
            queue: Queue::Due,
            row: key,
            child: uuid::Uuid::nil(),
        };
        work.put_job(job, Due::After(self.policy.lease()));
        match self.commit(&tenant, work).await {
            Ok(()) => {}
            Err(CommitFailure::Conflict(Refusal::Unique(_))) => {
                return match &stored.coalesced {
                    // The same event was taken before: a repeat changes nothing.
                    None => Ok(()),
                    Some(_) => self.hear_again(&tenant, &unique).await,
                };
            }
            Err(failure) => return Err(failure.into()),
        }
        let claim = Claim {
            tenant,
            job,
            epoch: 1,
            age: std::time::Duration::ZERO,
        };
        let waiting = Waiting {
            stored: &stored,
            version: 1,
        };
        if let Err(error) = self.act_on(&claim, waiting, notice.authority).await {
            tracing::info!(%error, "a notice waits for its job");
        }
        Ok(())
    }

    /// One like it waits, or is being acted on: what was read for that one may be older than this. Its job is due
    /// anew, and whoever is at it doesn't end it.
    async fn hear_again(&self, tenant: &Tenant, unique: &UniqueKey) -> Result<()> {
        for _ in 0..WRITE_TRIES {
            let waiting = self.store.lookup(tenant, unique).await.map_err(unreadable)?;
            let Some(key) = waiting.and_then(|unique| unique.target) else {
                // It was ended meanwhile: the processor sends this one again.
                return Err(stale());
            };
            let rows = self.store.load(tenant, &[key]).await.map_err(unreadable)?;
            let Some(row) = rows.into_iter().next().flatten() else {
                return Err(stale());
            };
            let mut work = self.work();
            work.batch
                .preconditions
                .push(Precondition::Version(key, row.version));
            work.batch.puts.push(Row {
                version: row.version + 1,
                ..row
            });
            let job = JobKey {
                queue: Queue::Due,
                row: key,
                child: uuid::Uuid::nil(),
            };
            let due = Due::After(std::time::Duration::ZERO);
            work.job(JobWrite::Reschedule { key: job, due });
            match self.commit(tenant, work).await {
                Ok(()) => return Ok(()),
                Err(CommitFailure::Conflict(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(stale())
    }

    async fn locate_notice(&self, account: &AccountRef, notice: &Notice) -> Result<Option<(Tenant, RowKey)>> {
        let reference = notice.reference.as_deref();
        self.locate(account, notice.kind, notice.about.as_str(), reference)
            .await
    }

    /// Whose object a notice is about, by the processor's identifier, else by our reference.
    async fn locate(
        &self,
        account: &AccountRef,
        kind: ProviderKind,
        about: &str,
        reference: Option<&str>,
    ) -> Result<Option<(Tenant, RowKey)>> {
        let provider = ProviderRef {
            account: account.clone(),
            kind,
            id: about.to_owned(),
        };
        let by_handle = self
            .store
            .locate(&UniqueKey::provider(&provider))
            .await
            .map_err(unreadable)?;
        match (by_handle, reference) {
            (Some(found), _) => Ok(Some(found)),
            (None, Some(reference)) => self
                .store
                .locate(&UniqueKey::reference(account, reference))
                .await
                .map_err(unreadable),
            (None, None) => Ok(None),
        }
    }

    /// Where a notice waits whose object isn't known yet: with the account's owner, else in a place of its own.
    async fn home_of(&self, endpoint: &EndpointId, account: &AccountRef) -> Result<Tenant> {
        match self.connectors.owner(account).await? {
            Some(owner) => Ok(owner),
            None => Tenant::new(PARKED, endpoint.mode()),
        }
    }

    pub(crate) async fn notice_due(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let rows = self
            .store
            .load(&claim.tenant, &[claim.job.row])
            .await
            .map_err(unreadable)?;
        let Some(row) = rows.into_iter().next().flatten() else {
            return self.drop_job(claim).await;
        };
        let stored = StoredNotice::decode(&row)?;
        let waiting = Waiting {
            stored: &stored,
            version: row.version,
        };
        let authority = match stored.said.clone() {
            Some(said) => said.authority(stored.repeats.clone()),
            None => Authority::Hint,
        };
        self.act_on(claim, waiting, authority).await
    }

    /// Acts on a notice: a hint reads the object, an authoritative notice is the news itself. What is read is read at
    /// the account that the notice names, which needn't be the endpoint's own.
    async fn act_on(
        self: &Arc<Self>,
        claim: &Claim,
        waiting: Waiting<'_>,
        authority: Authority,
    ) -> Result<()> {
        let stored = waiting.stored;
        let reference = stored.reference.as_deref();
        let Some((tenant, row)) = self
            .locate(&stored.account, stored.kind, &stored.about, reference)
            .await?
        else {
            return self.park(claim, waiting).await;
        };
        let Some(connector) = self.connectors.get(&tenant, &stored.account).await? else {
            return self.park(claim, waiting).await;
        };
        let applied = match row.kind {
            RowKind::Intent => {
                self.payment_notice(&tenant, &connector, row, stored, authority)
                    .await?
            }
            RowKind::Refund => {
                self.refund_notice(&tenant, &connector, row, stored, authority)
                    .await?
            }
            RowKind::Session
            | RowKind::Notice
            | RowKind::Evidence
            | RowKind::Program
            | RowKind::Health
            | RowKind::Card => Applied::Nothing,
        };
        match applied {
            Applied::Done => self.finish(claim, waiting).await,
            Applied::Nothing => self.park(claim, waiting).await,
        }
    }

    async fn payment_notice(
        self: &Arc<Self>,
        tenant: &Tenant,
        connector: &Connector,
        row: RowKey,
        stored: &StoredNotice,
        authority: Authority,
    ) -> Result<Applied> {
        let Some(loaded) = self.load::<Intent>(tenant, row.id).await? else {
            return Ok(Applied::Nothing);
        };
        let attempt = stored.names(&loaded.state);
        match authority {
            Authority::Hint | Authority::Refund(_) => {
                let payments = Payments {
                    engine: self.clone(),
                    tenant: tenant.clone(),
                };
                let asked = attempt.map_or(Asked::Waiting, Asked::Named);
                let (driven, heard) = payments.sync_and_hear(loaded, asked).await?;
                if heard == Heard::All && !to_sync(&driven.loaded.state) {
                    self.read_once_settled(tenant, connector, row).await?;
                }
                Ok(heard.into())
            }
            Authority::Payment(standing) => {
                let Some(attempt) = attempt else {
                    return Ok(Applied::Nothing);
                };
                let standing: Box<Standing> = standing;
                let news = News::Payment {
                    attempt,
                    standing,
                    reading: Reading::Told,
                };
                match self.merge_news(tenant, &loaded, news).await? {
                    (_, FirstWrite::Done) => Ok(Applied::Done),
                    (_, FirstWrite::InDoubt) => Ok(Applied::Nothing),
                }
            }
        }
    }

    async fn refund_notice(
        self: &Arc<Self>,
        tenant: &Tenant,
        connector: &Connector,
        row: RowKey,
        stored: &StoredNotice,
        authority: Authority,
    ) -> Result<Applied> {
        let Some(loaded) = self.load::<RefundState>(tenant, row.id).await? else {
            return Ok(Applied::Nothing);
        };
        let (after, heard) = match authority {
            Authority::Hint | Authority::Payment(_) => {
                let (after, heard) = self.sync_refund(tenant, loaded, connector).await?;
                if heard == Heard::All && !watched(&after.state) {
                    self.read_once_settled(tenant, connector, row).await?;
                }
                (after, heard)
            }
            Authority::Refund(report) => {
                let report: RefundReport = *report;
                let part = loaded.state.allocations.iter().find(|part| {
                    part.handle
                        .as_ref()
                        .is_some_and(|handle| handle.as_str() == stored.about)
                        || stored.reference.as_deref() == Some(part.operation.reference().as_str())
                });
                let Some(operation) = part.map(|part| part.operation) else {
                    return Ok(Applied::Nothing);
                };
                let after = self
                    .merge_refund(tenant, loaded, operation, RefundNews::Report(report))
                    .await?;
                (after, Heard::All)
            }
        };
        self.read_after_failure(tenant, &after.state).await?;
        Ok(heard.into())
    }

    /// What a hint told of may not have been in the read that it caused: it is read once more when the account's reads
    /// have settled, by the store's clock. The hints of one such period share one read, a period after the last: nobody
    /// is at it while they come. The worker's clock only tells the periods apart.
    async fn read_once_settled(&self, tenant: &Tenant, connector: &Connector, row: RowKey) -> Result<()> {
        let mut work = self.work();
        let quiet = i64::try_from(self.quiet(connector).as_millis()).unwrap_or(i64::MAX);
        if quiet == 0 {
            return Ok(());
        }
        let period = work.at.as_millis().div_euclid(quiet);
        let key = JobKey {
            queue: Queue::Sync,
            row,
            child: uuid::Uuid::from_u64_pair(quiet.unsigned_abs(), period.unsigned_abs()),
        };
        work.put_job(key, Due::After(self.quiet(connector).saturating_mul(2)));
        Ok(self.commit(tenant, work).await?)
    }

    /// Reads a payment anew of which more was seen given back than is, now that a refund failed.
    async fn read_after_failure(self: &Arc<Self>, tenant: &Tenant, refund: &RefundState) -> Result<()> {
        let intent = self.load::<Intent>(tenant, refund.intent.uuid()).await?;
        if let Some(intent) = intent.filter(|intent| intent.state.refunded_is_stale()) {
            self.payments(tenant).sync_loaded(intent).await?;
        }
        Ok(())
    }

    async fn finish(&self, claim: &Claim, waiting: Waiting<'_>) -> Result<()> {
        self.restage(claim, waiting, NoticeStage::Applied, JobWrite::Done(claim.job))
            .await
    }

    /// The object isn't known, and may appear; or it couldn't be read.
    async fn park(&self, claim: &Claim, waiting: Waiting<'_>) -> Result<()> {
        let stored = waiting.stored;
        if stored.tries >= PARKED_TRIES {
            return self
                .restage(claim, waiting, NoticeStage::Parked, JobWrite::Done(claim.job))
                .await;
        }
        let pause = self
            .policy
            .recheck
            .saturating_mul(2u32.saturating_pow(stored.tries));
        let due = Due::After(pause.min(self.policy.recheck_at_most));
        self.restage(
            claim,
            waiting,
            NoticeStage::Parked,
            JobWrite::Reschedule { key: claim.job, due },
        )
        .await
    }

    async fn restage(
        &self,
        claim: &Claim,
        waiting: Waiting<'_>,
        stage: NoticeStage,
        job: JobWrite,
    ) -> Result<()> {
        let Waiting { stored, version } = waiting;
        let rows = self
            .store
            .load(&claim.tenant, &[claim.job.row])
            .await
            .map_err(unreadable)?;
        let Some(row) = rows.into_iter().next().flatten() else {
            return Ok(());
        };
        let mut work = self.work();
        let next = StoredNotice {
            account: stored.account.clone(),
            kind: stored.kind,
            about: stored.about.clone(),
            reference: stored.reference.clone(),
            act: stored.act.clone(),
            stage,
            tries: stored.tries + 1,
            coalesced: stored.coalesced.clone(),
            said: match stage {
                NoticeStage::Applied => None,
                NoticeStage::Received | NoticeStage::Parked => stored.said.clone(),
            },
            repeats: match stage {
                NoticeStage::Applied => None,
                NoticeStage::Received | NoticeStage::Parked => stored.repeats.clone(),
            },
        };
        if let (JobWrite::Done(_), Some(name)) = (&job, &stored.coalesced) {
            work.unique(UniqueWrite::Delete(UniqueKey::new(Scope::Notice, name)));
        }
        // As it was when it was acted on: one that was heard again since is acted on again.
        work.batch
            .preconditions
            .push(Precondition::Version(row.key, version));
        let row = Row {
            index: Index {
                created_at: row.index.created_at,
                ..notice_index(&next, work.at)
            },
            ..row
        };
        work.batch.puts.push(Row {
            version: version + 1,
            body: encode(&next)?,
            ..row
        });
        work.epoch(claim.job, claim.epoch);
        work.job(job);
        match self.commit(&claim.tenant, work).await {
            Ok(()) | Err(CommitFailure::Fenced | CommitFailure::Conflict(_)) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// A notice that is acted on, and its row's version as that began.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    stored: &'a StoredNotice,
    version: u64,
}

enum Applied {
    Done,
    /// Nothing yet: its object isn't known, or who was asked about it didn't answer.
    Nothing,
}

impl From<Heard> for Applied {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::All => Self::Done,
            Heard::NotAll => Self::Nothing,
        }
    }
}

fn reply(status: StatusCode, received: Received) -> WebhookReply {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = status;
    WebhookReply { response, received }
}

/// The merchant name under which notices wait that are about nothing known.
const PARKED: &str = "~parked";
