//! The store port: what the engine asks of whatever keeps its rows.
//!
//! # Contract
//!
//! * **A [`Batch`] is all or nothing.** Its preconditions are checked and its writes made as if no other call ran
//!   meanwhile. When [`Store::commit`] returns `Ok`, the batch is durable: a crash right after loses nothing of it.
//! * **A crash during [`Store::commit`]** leaves the whole batch or none of it. A store that can't tell which answers
//!   [`CommitError::Unknown`]; the engine then asks [`Store::resolve`], and *Absent* is a promise: a late arrival of
//!   that commit must never be applied any more.
//! * **Committing a commit id that is committed** changes nothing and returns the first receipt.
//! * **Reads see the last commit.** [`Store::load`] right after [`Store::commit`] on any clone, instance or
//!   connection shows what was written; a replica that lags doesn't do.
//! * **Rows are bytes.** A store never parses a body; it filters by [`Index`] alone.
//! * **Tenants never meet.** Every call but [`Store::claim_due`], [`Store::backlog`], [`Store::locate`] and
//!   [`Store::purge`] names its tenant, and sees and touches only that tenant's rows, uniques, events and jobs.
//! * **Deciding is compare-and-set.** A put of a row needs a precondition on that row in the same batch, `Version`
//!   of the version before or `Absent`, and carries that version plus one (1 for a new row). Each row, unique and job
//!   stands at most once in a batch.
//! * **The store's clock decides what is due, and how old work is.** [`Due::After`] is counted from the store's own time
//!   at the commit, and [`Claim::age`] between two readings of it. Workers' clocks may jump; how long a processor keeps
//!   a key, and how long its reads take to settle, is judged by this one. A database's clock is to be kept by a time
//!   server that slews it.
//!
//! A crash between calls needs nothing from the store but what it committed: a claim that is never finished becomes
//! due again when its lease ends, with a higher epoch.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{AccountRef, ProviderRef};
use crate::runtime::Clock;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Keeps rows, uniques, events and jobs. The contract is this module's.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The rows of `keys`, in their order; `None` where there is none.
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError>;

    /// What a unique holds.
    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError>;

    /// Whose a global unique is, and what it points at, when the tenant isn't known yet: a webhook's first question.
    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError>;

    /// A page of rows by their index, ordered by key.
    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError>;

    /// A row's events with a sequence of at least `from`, in sequence, at most `limit`.
    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Writes the whole batch or nothing.
    ///
    /// # Errors
    /// [`CommitError`] says which: only `Unknown` leaves a doubt, and only [`Store::resolve`] ends it.
    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError>;

    /// What became of a commit. `Absent` also fences: that commit id can't be committed any more.
    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError>;

    /// Takes jobs that are due, over all tenants, oldest first: raises each one's epoch by one and makes it due again
    /// after the lease.
    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError>;

    /// How much waits in a queue, over all tenants.
    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError>;

    /// Deletes at most `limit` things that are older than `retention` says, and returns how many it deleted.
    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError>;
}

macro_rules! forward {
    ($($shared:ty),*) => {$(
        #[async_trait]
        impl<S: Store + ?Sized> Store for $shared {
            async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
                (**self).load(tenant, keys).await
            }
            async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
                (**self).lookup(tenant, key).await
            }
            async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
                (**self).locate(key).await
            }
            async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
                (**self).find(tenant, query).await
            }
            async fn events(
                &self,
                tenant: &Tenant,
                row: RowKey,
                from: u64,
                limit: u32,
            ) -> Result<Vec<StoredEvent>, StoreError> {
                (**self).events(tenant, row, from, limit).await
            }
            async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
                (**self).commit(tenant, batch).await
            }
            async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
                (**self).resolve(tenant, id).await
            }
            async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
                (**self).claim_due(request).await
            }
            async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
                (**self).backlog(queue).await
            }
            async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
                (**self).purge(retention, limit).await
            }
        }
    )*};
}
forward!(Arc<S>, Box<S>);

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable word that a store keeps.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl FromStr for $name {
            type Err = StoreError;

            fn from_str(text: &str) -> Result<Self, StoreError> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(StoreError::corrupt(format!("`{other}` is not a known {}", stringify!($name)))),
                }
            }
        }
    };
}

words! {
    /// What a row is.
    RowKind {
        /// A payment intent with its attempts, captures and operations.
        Intent = "intent",
        /// A refund.
        Refund = "refund",
        /// A checkout session.
        Session = "session",
        /// An inbound webhook notice.
        Notice = "notice",
        /// What decided an outcome; kept longer than events.
        Evidence = "evidence",
        /// A tenant's routing programs: which is active, and each one's document.
        Program = "program",
        /// How accounts have done lately, as one instance counted it.
        Health = "health",
        /// How often a card was tried, by its fingerprint.
        Card = "card",
    }
}

words! {
    /// What a unique keeps one of.
    Scope {
        /// An idempotency key of the host's; bytes hold the record.
        Idempotency = "idempotency",
        /// A processor's identifier (global: found without a tenant).
        Provider = "provider",
        /// Our reference at an account (global: found without a tenant).
        Reference = "reference",
        /// An inbound notice's identifier at its account.
        Notice = "notice",
        /// The live intent of a session.
        SessionIntent = "session_intent",
    }
}

words! {
    /// A row of jobs that one kind of worker drains.
    Queue {
        /// Operations whose caller may have died, and unknown outcomes.
        Recovery = "recovery",
        /// Pending outcomes to ask the processor about.
        Sync = "sync",
        /// Inbound notices to act on, scheduled payments, compensations.
        Due = "due",
        /// Sessions and intents whose time ends.
        Expiry = "expiry",
        /// Events to hand to their consumers.
        Outbox = "outbox",
    }
}

words! {
    /// Why a person should look at a row.
    Attention {
        /// No reason.
        None = "none",
        /// An outcome is unknown.
        Unknown = "unknown",
        /// Something contradicts something, or was held.
        Review = "review",
        /// Its connector isn't registered.
        NoConnector = "no_connector",
    }
}

/// Names a row within a tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowKey {
    /// What it is.
    pub kind: RowKind,
    /// Which one.
    pub id: Uuid,
}

impl RowKey {
    /// The row of `kind` with that identifier.
    pub const fn new(kind: RowKind, id: Uuid) -> Self {
        Self { kind, id }
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), crate::id::encode(self.id))
    }
}

/// A row: the authority on one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub key: RowKey,
    /// How often it was written; the first write is 1.
    pub version: u64,
    /// The form of the body.
    pub schema: u16,
    /// What it is found by.
    pub index: Index,
    /// The thing itself; a store never reads it.
    pub body: Bytes,
}

/// What a row is found by. Closed: stores make a column of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The state's word.
    pub status: String,
    /// The customer, where there is one.
    pub customer: Option<String>,
    /// The host's own reference, where there is one.
    pub reference: Option<String>,
    /// What it belongs to: a refund's intent, an evidence's row.
    pub parent: Option<RowKey>,
    /// Why a person should look at it.
    pub attention: Attention,
    /// Since when.
    pub attention_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl Index {
    /// Of what has a status and a time, and is found by nothing else.
    pub(crate) fn of(status: &str, at: Timestamp) -> Self {
        Self {
            status: status.to_owned(),
            customer: None,
            reference: None,
            parent: None,
            attention: Attention::None,
            attention_since: None,
            created_at: at,
            updated_at: at,
        }
    }
}

/// Names what there may be one of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UniqueKey {
    /// Of which kind.
    pub scope: Scope,
    /// Its name; at most 512 bytes.
    pub name: String,
}

impl UniqueKey {
    /// One of `scope`, by name.
    pub fn new(scope: Scope, name: impl Into<String>) -> Self {
        Self {
            scope,
            name: name.into(),
        }
    }

    /// The unique of a processor's identifier.
    pub fn provider(reference: &ProviderRef) -> Self {
        Self::new(
            Scope::Provider,
            format!(
                "{}/{}/{}",
                reference.account,
                reference.kind.as_str(),
                reference.id
            ),
        )
    }

    /// The unique of our reference at an account.
    pub fn reference(account: &AccountRef, reference: &str) -> Self {
        Self::new(Scope::Reference, format!("{account}/{reference}"))
    }

    /// Whether it is one over all tenants, so that [`Store::locate`] finds it. Else it is one for each tenant.
    pub const fn is_global(&self) -> bool {
        match self.scope {
            Scope::Provider | Scope::Reference => true,
            Scope::Idempotency | Scope::Notice | Scope::SessionIntent => false,
        }
    }
}

impl fmt::Debug for UniqueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scope.as_str(), self.name)
    }
}

/// What a unique key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// Its name.
    pub key: UniqueKey,
    /// What it points at.
    pub target: Option<RowKey>,
    /// More about it; a store never reads this.
    pub bytes: Bytes,
    /// When `purge` may delete it; never, without one. Until then it is there.
    pub expires_at: Option<Timestamp>,
}

impl Unique {
    /// Whether its time is up at `now`.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A write of a unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UniqueWrite {
    /// Must not be there yet: else the batch is refused with [`Refusal::Unique`].
    Insert(Unique),
    /// As [`UniqueWrite::Insert`], but one of the same tenant whose `expires_at` is at `expired_by` or before counts
    /// as none and is overwritten. Of two that renew one, one wins: what it wrote hasn't expired.
    Renew {
        /// What to write.
        unique: Unique,
        /// The writer's own time: a store's clock has no say in this.
        expired_by: Timestamp,
    },
    /// Overwrites, or writes anew.
    Replace(Unique),
    /// Removes, if it is there.
    Delete(UniqueKey),
}

impl UniqueWrite {
    /// Which unique this writes.
    pub fn key(&self) -> &UniqueKey {
        match self {
            Self::Insert(unique) | Self::Renew { unique, .. } | Self::Replace(unique) => &unique.key,
            Self::Delete(key) => key,
        }
    }
}

/// An event of a row, as stored: private and versioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its identifier, the same in every delivery.
    pub id: Uuid,
    /// Whose event it is.
    pub row: RowKey,
    /// 1 for the row's first, without gaps. A second event of the same row and sequence is a conflict.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, as a stable word.
    pub kind: String,
    /// The form of the body.
    pub schema: u16,
    /// The event; a store never reads it.
    pub body: Bytes,
}

/// Names a job: work of a queue on a row, or on a child of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// Who works on it.
    pub queue: Queue,
    /// What the work is on.
    pub row: RowKey,
    /// Which part of it: an operation's identifier, or nil.
    pub child: Uuid,
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{:?}/{}",
            self.queue.as_str(),
            self.row,
            crate::id::encode(self.child)
        )
    }
}

/// When a job is to be taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So long after the commit, by the store's clock.
    After(Duration),
    /// At a point in time.
    At(Timestamp),
}

/// A write of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobWrite {
    /// Makes the job, or makes it anew: with epoch 1 if it is new, else with its epoch unchanged. Its age starts anew.
    Put {
        /// Which.
        key: JobKey,
        /// When it is due.
        due: Due,
    },
    /// Moves the job, if it is there; its epoch stays, and its age goes on.
    Reschedule {
        /// Which.
        key: JobKey,
        /// When it is due.
        due: Due,
    },
    /// Removes the job, if it is there.
    Done(JobKey),
}

impl JobWrite {
    /// Which job this writes.
    pub fn key(&self) -> JobKey {
        match self {
            Self::Put { key, .. } | Self::Reschedule { key, .. } => *key,
            Self::Done(key) => *key,
        }
    }
}

/// What must hold for a batch to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such row.
    Absent(RowKey),
    /// The row is at this version.
    Version(RowKey, u64),
    /// The job is there, at this epoch: whoever claimed it later has fenced this worker off.
    Epoch(JobKey, u64),
}

/// Names a commit, so that its fate can be asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub Uuid);

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::id::encode(self.0))
    }
}

/// Writes that happen together or not at all. A batch is data: it can be recorded, repeated and crashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub commit_id: CommitId,
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// Rows to write; each has a precondition on itself.
    pub puts: Vec<Row>,
    /// Uniques to write.
    pub uniques: Vec<UniqueWrite>,
    /// Events to append.
    pub events: Vec<StoredEvent>,
    /// Jobs to write.
    pub jobs: Vec<JobWrite>,
}

impl Batch {
    /// An empty batch.
    pub fn new(commit_id: CommitId) -> Self {
        Self {
            commit_id,
            preconditions: Vec::new(),
            puts: Vec::new(),
            uniques: Vec::new(),
            events: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Checks the rules of the contract that need no store: every put has its precondition and the next version, and
    /// nothing stands twice. Stores call it first.
    ///
    /// # Errors
    /// [`CommitError::NotCommitted`] that names what is wrong.
    pub fn check(&self) -> Result<(), CommitError> {
        let wrong = |what: String| Err(CommitError::NotCommitted(StoreError::rejected(what)));
        for row in &self.puts {
            let guarded = self.preconditions.iter().any(|precondition| match precondition {
                Precondition::Absent(key) => *key == row.key && row.version == 1,
                Precondition::Version(key, version) => *key == row.key && row.version == version + 1,
                Precondition::Epoch(..) => false,
            });
            if !guarded {
                return wrong(format!(
                    "{:?} is put without a precondition on the version before",
                    row.key
                ));
            }
        }
        let mut rows: Vec<_> = self.puts.iter().map(|row| row.key).collect();
        let mut uniques: Vec<_> = self.uniques.iter().map(UniqueWrite::key).collect();
        let mut jobs: Vec<_> = self.jobs.iter().map(JobWrite::key).collect();
        rows.sort_unstable();
        uniques.sort_unstable();
        jobs.sort_unstable();
        let twice = rows.windows(2).any(|pair| pair[0] == pair[1])
            || uniques.windows(2).any(|pair| pair[0] == pair[1])
            || jobs.windows(2).any(|pair| pair[0] == pair[1]);
        if twice {
            wrong("something stands twice in the batch".to_owned())
        } else {
            Ok(())
        }
    }
}

/// What a verb would write, not written yet: a store that shares a transaction with its host commits it there, so
/// that the host's own rows and the payment's are written together or not at all.
#[derive(Clone, Debug)]
#[must_use = "nothing is written until it is committed"]
pub struct Planned<T> {
    pub(crate) tenant: Tenant,
    pub(crate) batch: Batch,
    pub(crate) value: T,
}

impl<T> Planned<T> {
    /// A plan from its parts. The engine makes those of verbs; this is for tests of stores that commit them.
    pub fn new(tenant: Tenant, batch: Batch, value: T) -> Self {
        Self { tenant, batch, value }
    }

    /// Whose it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// What would be written.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What it will be once it is committed.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// What it is, for a store that has just committed it.
    pub fn into_value(self) -> T {
        self.value
    }
}

/// That a batch is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which.
    pub commit_id: CommitId,
    /// When, by the store's clock.
    pub at: Timestamp,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It is durable.
    Committed(Receipt),
    /// It isn't, and never will be.
    Absent,
}

/// Why a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A row isn't as the precondition says.
    Row(RowKey),
    /// A unique to insert is there already.
    Unique(UniqueKey),
    /// An event of that row and sequence is there already.
    Event(RowKey),
}

/// Why a commit isn't `Ok`.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A precondition on a row, or a unique, didn't hold: nothing was written. Reload and decide again.
    #[error("refused: {0:?} has changed")]
    Conflict(Refusal),
    /// The job's epoch is higher: another worker has taken over. Nothing was written.
    #[error("fenced: {0:?} was taken over by another worker")]
    Fenced(JobKey),
    /// Nothing was written, for a reason of the store's.
    #[error("not committed: {0}")]
    NotCommitted(#[source] StoreError),
    /// It may be written or not: ask [`Store::resolve`].
    #[error("the fate of commit {0:?} is unknown")]
    Unknown(CommitId),
}

/// Why a store couldn't answer. What it says is for the operator; it holds no row's content.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It can't be reached, or took too long.
    Unavailable,
    /// Somebody else holds it.
    Locked,
    /// It may only be read.
    ReadOnly,
    /// It isn't there.
    Missing,
    /// It was written by a newer release.
    NewerSchema,
    /// What it holds can't be read.
    Corrupt,
    /// The call broke the contract.
    Rejected,
}

impl StoreError {
    /// An error of a kind; `message` names the remedy.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// What it holds can't be read.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Corrupt, message)
    }

    /// The call broke the contract.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Rejected, message)
    }

    /// With what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

/// Which rows to find. Everything given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Of this kind.
    pub kind: RowKind,
    /// In one of these states; in any, if empty.
    pub statuses: Vec<String>,
    /// Of this customer.
    pub customer: Option<String>,
    /// With this reference.
    pub reference: Option<String>,
    /// Belonging to this row.
    pub parent: Option<RowKey>,
    /// With one of these reasons for attention; with any or none, if empty.
    pub attention: Vec<Attention>,
    /// Made at this time or later.
    pub created_from: Option<Timestamp>,
    /// Made before this time.
    pub created_before: Option<Timestamp>,
    /// In which order of their keys' identifiers, which is that of their making.
    pub order: Order,
    /// Only rows that come after this one in that order.
    pub after: Option<Uuid>,
    /// At most this many.
    pub limit: u32,
}

impl Query {
    /// All rows of a kind, newest first, at most 100.
    pub fn of(kind: RowKind) -> Self {
        Self {
            kind,
            statuses: Vec::new(),
            customer: None,
            reference: None,
            parent: None,
            attention: Vec::new(),
            created_from: None,
            created_before: None,
            order: Order::NewestFirst,
            after: None,
            limit: 100,
        }
    }

    /// Whether a row is one of those, apart from `after` and `limit`: the rule in plain code, for stores that filter
    /// in memory and for tests of those that don't.
    pub fn matches(&self, row: &Row) -> bool {
        let Index {
            status,
            customer,
            reference,
            parent,
            attention,
            created_at,
            ..
        } = &row.index;
        row.key.kind == self.kind
            && (self.statuses.is_empty() || self.statuses.contains(status))
            && (self.customer.is_none() || self.customer == *customer)
            && (self.reference.is_none() || self.reference == *reference)
            && (self.parent.is_none() || self.parent == *parent)
            && (self.attention.is_empty() || self.attention.contains(attention))
            && self.created_from.is_none_or(|from| *created_at >= from)
            && self.created_before.is_none_or(|before| *created_at < before)
    }
}

/// An order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// By identifier, downwards.
    #[default]
    NewestFirst,
    /// By identifier, upwards.
    OldestFirst,
}

/// Asks for jobs.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// From this queue.
    pub queue: Queue,
    /// At most this many.
    pub limit: u32,
    /// For how long nobody else may take them.
    pub lease: Duration,
}

/// A job that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub job: JobKey,
    /// For [`Precondition::Epoch`].
    pub epoch: u64,
    /// For how long the job has been there since it was put, by the store's clock alone.
    pub age: Duration,
}

/// What waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many jobs are due.
    pub due: u64,
    /// How many jobs there are, due or not.
    pub scheduled: u64,
    /// When the oldest of those due became due.
    pub oldest_due: Option<Timestamp>,
    /// Which tenants have rows that need attention, and how many.
    pub attention: Vec<(Tenant, u64)>,
}

/// What may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events of before this time.
    pub events_before: Timestamp,
    /// Evidence rows of before this time.
    pub evidence_before: Timestamp,
    /// Commit ids of before this time. A store refuses to resolve an id that it may have forgotten.
    pub commits_before: Timestamp,
    /// Uniques that expired before this time.
    pub uniques_before: Timestamp,
}

/// Where a store takes its time from.
#[derive(Clone, Debug, Default)]
pub enum StoreTime {
    /// Its own clock: the database's, or this machine's.
    #[default]
    Own,
    /// A clock that a test moves.
    Injected(Arc<dyn Clock>),
}
