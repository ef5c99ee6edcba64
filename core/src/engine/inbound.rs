//! What processors post to us. A notice is stored before it is acted on; a hint only causes a read; what it says goes
//! through the one merge.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Inner;
use super::aggregate::{SCHEMA, decode_body, encode, known_form};
use super::commit::{CommitFailure, unreadable};
use super::drive::WRITE_TRIES;
use super::operate::stale;
use super::payments::Payments;
use super::refunds::watched;
use super::said::{Repeats, Said};
use super::sync::{Asked, Heard};
use super::write::to_sync;
use crate::connector::{Authority, Connector, Inbound, Notice, RefundReport, Standing};
use crate::error::Result;
use crate::hex::hex;
use crate::id::{AccountRef, AttemptId, EndpointId, OperationId, ProviderKind, ProviderRef};
use crate::intent::{Intent, News, Reading};
use crate::panics::{Panicked, caught, caught_async};
use crate::refund::{RefundNews, RefundState};
use crate::secret::Secret;
use crate::store::{
    Attention, Claim, Due, Index, JobKey, JobWrite, Precondition, Queue, Refusal, Row, RowKey, RowKind,
    Scope, Unique, UniqueKey, UniqueWrite,
};
use crate::tenant::Tenant;

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

/// A notice as its row keeps it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNotice {
    account: AccountRef,
    kind: ProviderKind,
    about: String,
    reference: Option<String>,
    act: String,
    stage: NoticeStage,
    tries: u32,
    /// The unique of a notice without an event's identifier: repeats are taken as one while it waits, and it is
    /// given up when the notice is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coalesced: Option<String>,
    /// What it says, until it is applied, where it is more than a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Said>,
    /// What it repeats with that of what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeats: Option<Repeats>,
}

impl StoredNotice {
    fn decode(row: &Row) -> Result<Self> {
        known_form(row.key, row.schema)?;
        decode_body(&row.body, row.key)
    }

    /// The attempt that it is about, by the processor's handle or our reference.
    fn names(&self, state: &Intent) -> Option<AttemptId> {
        let operation = self
            .reference
            .as_deref()
            .and_then(|text| OperationId::from_reference(state.id.mode(), text));
        let named = state.attempts.iter().find(|attempt| {
            let by_handle = attempt
                .known
                .handle
                .as_ref()
                .is_some_and(|handle| handle.as_str() == self.about);
            attempt.account == self.account && (by_handle || Some(attempt.operation) == operation)
        });
        named.map(|attempt| attempt.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NoticeStage {
    Received,
    Applied,
    Parked,
}

impl NoticeStage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Applied => "applied",
            Self::Parked => "parked",
        }
    }
}

const BODY_AT_MOST: usize = 1 << 20;
const PARKED_TRIES: u32 = 20;

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
            RowKind::Session | RowKind::Notice | RowKind::Evidence => Applied::Nothing,
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
                self.merge_news(tenant, &loaded, news).await?;
                Ok(Applied::Done)
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
    /// have settled.
    async fn read_once_settled(&self, tenant: &Tenant, connector: &Connector, row: RowKey) -> Result<()> {
        let key = JobKey {
            queue: Queue::Sync,
            row,
            child: uuid::Uuid::nil(),
        };
        let mut work = self.work();
        work.put_job(key, Due::After(self.quiet(connector)));
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

/// One notice of a kind: by the processor's event, else by all that it says.
fn name_of(account: &AccountRef, notice: &Notice, said: Option<&Said>) -> Result<String> {
    let mut named = match &notice.event {
        Some(event) => format!("event/{event}").into_bytes(),
        None => format!("{}/{}/{}", notice.kind.as_str(), notice.about, notice.act).into_bytes(),
    };
    if let (None, Some(said)) = (&notice.event, said) {
        named.extend_from_slice(&encode(said)?);
    }
    let digest = Sha256::digest(&named);
    let digest = hex(&digest[..16]);
    Ok(format!("{account}/{digest}"))
}

fn notice_index(stored: &StoredNotice, at: crate::Timestamp) -> Index {
    Index {
        status: stored.stage.as_str().to_owned(),
        customer: None,
        reference: None,
        parent: None,
        attention: Attention::None,
        attention_since: None,
        created_at: at,
        updated_at: at,
    }
}

fn notice_row(key: RowKey, version: u64, stored: &StoredNotice, at: crate::Timestamp) -> Result<Row> {
    Ok(Row {
        key,
        version,
        schema: SCHEMA,
        index: notice_index(stored, at),
        body: encode(stored)?,
    })
}

fn reply(status: StatusCode, received: Received) -> WebhookReply {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = status;
    WebhookReply { response, received }
}

/// The merchant name under which notices wait that are about nothing known.
const PARKED: &str = "~parked";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{Approval, AuthorizeReport, Echo, Handle};
    use crate::engine::aggregate::tests::reads_back;
    use crate::intent::tests::scene::account;

    fn notices() -> Vec<StoredNotice> {
        let of = |stage, coalesced: Option<&str>| StoredNotice {
            account: account(),
            kind: ProviderKind::Payment,
            about: "pay_1".to_owned(),
            reference: Some("op_1".to_owned()),
            act: "payment.captured".to_owned(),
            stage,
            tries: 2,
            coalesced: coalesced.map(str::to_owned),
            said: None,
            repeats: None,
        };
        let says = |authority: Authority| StoredNotice {
            said: Said::of(&authority),
            repeats: Repeats::of(&authority),
            ..of(NoticeStage::Received, None)
        };
        let approval = Approval::new(Handle::from("pay_1"), Echo::none());
        let captured = Standing::from(AuthorizeReport::Captured(approval));
        let refunded = RefundReport::Refunded(Handle::from("re_1"), Echo::none());
        let echo = Echo::none()
            .amount(crate::money::Money::from_minor(100, crate::money::Currency::EUR))
            .reference("4111111111111111");
        let repeats = Standing::from(AuthorizeReport::Pending(Handle::from("pay_1"), echo));
        vec![
            of(NoticeStage::Received, None),
            of(NoticeStage::Applied, None),
            of(NoticeStage::Parked, Some("sandbox/main/pay_1/captured")),
            says(Authority::Payment(Box::new(captured))),
            says(Authority::Refund(Box::new(refunded))),
            says(Authority::Payment(Box::new(repeats))),
        ]
    }

    #[test]
    fn notices_of_this_release_read_back_and_a_newer_one_is_named() {
        reads_back("notices.json", &notices());
        let key = RowKey::new(RowKind::Notice, uuid::Uuid::from_u128(1));
        for notice in notices() {
            let row = notice_row(key, 1, &notice, crate::Timestamp::from_millis(0)).unwrap();
            assert_eq!(StoredNotice::decode(&row).unwrap(), notice);
            let newer = Row {
                schema: SCHEMA + 1,
                ..row
            };
            let error = StoredNotice::decode(&newer).unwrap_err();
            assert_eq!(error.code(), "store");
            assert!(
                error.to_string().contains(&format!("the form {}", SCHEMA + 1)),
                "{error}"
            );
        }
    }
}
