//! Routing programs that tenants keep in the store: put, activate, roll back, and which one routes a payment.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Inner;
use super::aggregate::{Aggregate, Loaded, SCHEMA, decode_body, encode, known_form};
use super::commit::{CommitFailure, unreadable};
use super::payments::Payments;
use super::query::IntentQuery;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::AccountRef;
use crate::routing::{Diagnostics, Program, Replay, ReplaySums as Sums};
use crate::store::{Index, Precondition, Refusal, Row, RowKey, RowKind};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// A tenant's routing programs: [`Payments::programs`].
///
/// They route its payments where the host built the orchestrator with
/// [`stored_programs`](crate::OrchestratorBuilder::stored_programs). A change reaches each instance within the pause
/// that it names there; payments that are under way keep the plan that they have.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Programs<'p> {
    payments: &'p Payments,
}

/// A program in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredProgram {
    /// Its number among the tenant's programs, from 1.
    pub version: u64,
    /// Its name.
    pub name: String,
    /// What it is, whatever it is called.
    pub fingerprint: String,
    /// When it was put.
    pub put_at: Timestamp,
}

/// What a tenant has of programs: the one row that says which of them is active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramShelf {
    programs: Vec<StoredProgram>,
    /// The active one is the last; before it those that were, oldest first.
    activated: Vec<u64>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// What happens to a tenant's programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ShelfEvent {
    Put(StoredProgram),
    Activated { version: u64, at: Timestamp },
    RolledBack { to: u64, at: Timestamp },
}

/// How many activations can be rolled back.
const REMEMBERED: usize = 100;
/// How many programs a tenant may put.
const MOST: usize = 10_000;
/// How often a change is tried again where another instance was quicker.
const TRIES: u32 = 5;

impl ProgramShelf {
    fn active(&self) -> Option<u64> {
        self.activated.last().copied()
    }

    fn version(&self, version: u64) -> Result<&StoredProgram> {
        let found = self.programs.iter().find(|program| program.version == version);
        found.ok_or_else(|| Error::not_found("version", "routing program"))
    }
}

impl Aggregate for ProgramShelf {
    type Event = ShelfEvent;
    const KIND: RowKind = RowKind::Program;

    fn apply(state: Option<Self>, event: &ShelfEvent) -> Option<Self> {
        let at = Self::event_at(event);
        let mut shelf = state.unwrap_or_else(|| Self {
            created_at: at,
            ..Self::default()
        });
        shelf.updated_at = at;
        match event {
            ShelfEvent::Put(program) => shelf.programs.push(program.clone()),
            ShelfEvent::Activated { version, .. } => {
                shelf.activated.push(*version);
                if shelf.activated.len() > REMEMBERED {
                    shelf.activated.remove(0);
                }
            }
            ShelfEvent::RolledBack { .. } => {
                shelf.activated.pop();
            }
        }
        Some(shelf)
    }

    fn key(&self) -> RowKey {
        shelf_key()
    }

    fn index(&self) -> Index {
        Index {
            created_at: self.created_at,
            ..Index::of("shelf", self.updated_at)
        }
    }

    fn event_kind(event: &ShelfEvent) -> &'static str {
        match event {
            ShelfEvent::Put(_) => "program_put",
            ShelfEvent::Activated { .. } => "program_activated",
            ShelfEvent::RolledBack { .. } => "program_rolled_back",
        }
    }

    fn event_at(event: &ShelfEvent) -> Timestamp {
        match event {
            ShelfEvent::Put(program) => program.put_at,
            ShelfEvent::Activated { at, .. } | ShelfEvent::RolledBack { at, .. } => *at,
        }
    }
}

/// The shelf has no identifier of its own: there is one for each tenant.
fn shelf_key() -> RowKey {
    RowKey::new(RowKind::Program, Uuid::nil())
}

fn document_key(version: u64) -> RowKey {
    RowKey::new(RowKind::Program, Uuid::from_u128(u128::from(version)))
}

/// The row of a program's document: written once.
fn document_row(version: u64, program: &Program, at: Timestamp) -> Result<Row> {
    Ok(Row {
        key: document_key(version),
        version: 1,
        schema: SCHEMA,
        index: Index::of("document", at),
        body: encode(&program.to_json())?,
    })
}

impl Payments {
    /// The routing programs of this tenant.
    pub fn programs(&self) -> Programs<'_> {
        Programs { payments: self }
    }
}

impl Programs<'_> {
    /// Keeps a program; it routes nothing before it is activated. Putting the newest one again gives what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where it names a connector or an account that the tenant hasn't;
    /// [`ErrorKind::Store`], [`ErrorKind::Connectors`].
    pub async fn put(&self, program: &Program) -> Result<StoredProgram> {
        self.fits(program).await?;
        for _ in 0..TRIES {
            let shelf = self.shelf().await?;
            let programs = shelf.as_ref().map_or(&[][..], |shelf| &shelf.state.programs);
            if let Some(newest) = programs.last()
                && newest.fingerprint == program.fingerprint()
            {
                return Ok(newest.clone());
            }
            if programs.len() >= MOST {
                let problem = format!("the tenant has {MOST} programs");
                return Err(Error::invalid(Fault::new(
                    "program",
                    problem,
                    "activate one of those",
                )));
            }
            let mut work = self.engine().work();
            let stored = StoredProgram {
                version: programs.len() as u64 + 1,
                name: program.name().to_owned(),
                fingerprint: program.fingerprint().to_owned(),
                put_at: work.at,
            };
            let row = document_row(stored.version, program, work.at)?;
            work.batch.preconditions.push(Precondition::Absent(row.key));
            work.batch.puts.push(row);
            if self
                .write(work, shelf.as_ref(), ShelfEvent::Put(stored.clone()))
                .await?
            {
                return Ok(stored);
            }
        }
        Err(stale())
    }

    /// Lets a program route the tenant's payments, from each instance's next look on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Invalid`] where it names a connector or an account that the tenant hasn't;
    /// [`ErrorKind::Store`], [`ErrorKind::Connectors`].
    pub async fn activate(&self, version: u64) -> Result<()> {
        let program = self.read(version).await?;
        self.fits(&program).await?;
        for _ in 0..TRIES {
            let shelf = self
                .shelf()
                .await?
                .ok_or_else(|| Error::not_found("version", "routing program"))?;
            if shelf.state.active() == Some(version) {
                return Ok(());
            }
            let work = self.engine().work();
            let event = ShelfEvent::Activated { version, at: work.at };
            if self.write(work, Some(&shelf), event).await? {
                return Ok(());
            }
        }
        Err(stale())
    }

    /// Lets the program route that did before the active one, and says which that is. What was rolled back isn't gone
    /// back to.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where none was active before, or where that one names an account that the tenant hasn't any
    /// more; [`ErrorKind::Store`], [`ErrorKind::Connectors`].
    pub async fn roll_back(&self) -> Result<u64> {
        for _ in 0..TRIES {
            let shelf = self.shelf().await?;
            let before = shelf
                .as_ref()
                .and_then(|shelf| shelf.state.activated.iter().rev().nth(1).copied());
            let (Some(shelf), Some(to)) = (shelf, before) else {
                let fault = Fault::new(
                    "program",
                    "none was active before this one",
                    "activate one by its version",
                );
                return Err(Error::invalid(fault));
            };
            self.fits(&self.read(to).await?).await?;
            let work = self.engine().work();
            let event = ShelfEvent::RolledBack { to, at: work.at };
            if self.write(work, Some(&shelf), event).await? {
                return Ok(to);
            }
        }
        Err(stale())
    }

    /// Which program routes the tenant's payments, as the store has it now.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn active(&self) -> Result<Option<StoredProgram>> {
        let Some(shelf) = self.shelf().await? else {
            return Ok(None);
        };
        match shelf.state.active() {
            Some(version) => shelf.state.version(version).cloned().map(Some),
            None => Ok(None),
        }
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn list(&self) -> Result<Vec<StoredProgram>> {
        Ok(self
            .shelf()
            .await?
            .map_or_else(Vec::new, |shelf| shelf.state.programs))
    }

    /// A program by its version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Store`].
    pub async fn read(&self, version: u64) -> Result<Program> {
        self.engine().stored_program(&self.payments.tenant, version).await
    }

    /// Whether a program fits the tenant's accounts: everything that it names and the tenant hasn't.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with all of it; [`ErrorKind::Connectors`].
    pub async fn fits(&self, program: &Program) -> Result<()> {
        let accounts = self.engine().account_refs(&self.payments.tenant).await?;
        let found = program.check_accounts(&accounts);
        if found.is_taken() {
            Ok(())
        } else {
            Err(found.into())
        }
    }

    /// What a program would have done with the tenant's payments of a query: with the facts, rates and fees of each one's
    /// last confirmation. `progress` is told how many payments were looked at, after each page of them. Payments that were
    /// never confirmed are passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Store`]. To go on from there, ask for the days that are left: [`IntentQuery::created`].
    pub async fn replay(
        &self,
        program: &Program,
        query: IntentQuery,
        mut progress: impl FnMut(u64),
    ) -> Result<Replay> {
        const PAGE: u16 = 100;
        let mut sums = Sums::default();
        let (mut looked_at, mut after) = (0, None);
        loop {
            let page = self.payments.intents(query.clone()).page(PAGE, after).await?;
            for intent in &page.items {
                if let Some(explanation) = intent.routing() {
                    sums.add(program, explanation);
                }
            }
            looked_at += page.items.len() as u64;
            progress(looked_at);
            after = page.next;
            if after.is_none() {
                return Ok(sums.done());
            }
        }
    }

    fn engine(&self) -> &Inner {
        &self.payments.engine
    }

    async fn shelf(&self) -> Result<Option<Loaded<ProgramShelf>>> {
        self.engine().load(&self.payments.tenant, shelf_key().id).await
    }

    /// Whether it was written: not where another was quicker.
    async fn write(
        &self,
        mut work: super::commit::Work,
        shelf: Option<&Loaded<ProgramShelf>>,
        event: ShelfEvent,
    ) -> Result<bool> {
        let engine = self.engine();
        work.change(shelf, &[event], engine)?;
        match engine.commit(&self.payments.tenant, work).await {
            Ok(()) => {
                engine.forget_program(&self.payments.tenant);
                Ok(true)
            }
            Err(CommitFailure::Conflict(Refusal::Row(_) | Refusal::Event(_))) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// The active programs of tenants, as they were read last.
#[derive(Debug)]
pub(crate) struct ProgramCache {
    refresh: Duration,
    read: RwLock<HashMap<Tenant, Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    active: Option<Active>,
    /// By the monotonic clock.
    at: Duration,
}

/// A tenant's active program.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) version: u64,
    pub(crate) program: Program,
}

/// How many tenants' programs are kept in memory: with more, all are read anew.
const CACHED: usize = 10_000;

impl ProgramCache {
    pub(crate) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            read: RwLock::default(),
        }
    }

    fn last(&self, tenant: &Tenant) -> Option<Cached> {
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.get(tenant).cloned()
    }

    fn keep(&self, tenant: &Tenant, cached: Cached) {
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if read.len() >= CACHED && !read.contains_key(tenant) {
            read.clear();
        }
        read.insert(tenant.clone(), cached);
    }
}

impl Inner {
    /// The program that routes a tenant's payments, where the host lets tenants have some. Where the store can't be
    /// read, it is the one that was active last; with none known, the payment is refused rather than routed past its
    /// rules.
    pub(crate) async fn active_program(&self, tenant: &Tenant) -> Result<Option<Active>> {
        let Some(cache) = &self.programs else {
            return Ok(None);
        };
        let now = self.runtime.clock.elapsed();
        let last = cache.last(tenant);
        if let Some(last) = &last
            && now.saturating_sub(last.at) < cache.refresh
        {
            return Ok(last.active.clone());
        }
        let active = match (self.read_active(tenant, last.as_ref()).await, last) {
            (Ok(active), _) => active,
            (Err(error), Some(last)) => {
                tracing::warn!(%tenant, %error, "the active routing program can't be read: the last one is used");
                last.active
            }
            (Err(error), None) => return Err(error),
        };
        cache.keep(
            tenant,
            Cached {
                active: active.clone(),
                at: now,
            },
        );
        Ok(active)
    }

    async fn read_active(&self, tenant: &Tenant, last: Option<&Cached>) -> Result<Option<Active>> {
        let shelf: Option<Loaded<ProgramShelf>> = self.load(tenant, shelf_key().id).await?;
        let Some(version) = shelf.and_then(|shelf| shelf.state.active()) else {
            return Ok(None);
        };
        let known = last.and_then(|last| last.active.clone());
        if let Some(known) = known.filter(|known| known.version == version) {
            return Ok(Some(known));
        }
        let program = self.stored_program(tenant, version).await?;
        let missing = program.check_accounts(&self.account_refs(tenant).await?);
        if !missing.is_taken() {
            tracing::warn!(%tenant, version, "the active routing program doesn't fit the accounts:\n{missing}");
        }
        Ok(Some(Active { version, program }))
    }

    async fn stored_program(&self, tenant: &Tenant, version: u64) -> Result<Program> {
        let key = document_key(version);
        let rows = match version {
            0 => Vec::new(),
            _ => self.store.load(tenant, &[key]).await.map_err(unreadable)?,
        };
        let Some(row) = rows.into_iter().next().flatten() else {
            return Err(Error::not_found("version", "routing program"));
        };
        known_form(row.key, row.schema)?;
        let text: String = decode_body(&row.body, row.key)?;
        Program::from_stored(&text).map_err(|found: Diagnostics| {
            let message = format!("routing program {version} can't be read by this release");
            Error::new(ErrorKind::Store, message).with_source(found)
        })
    }

    fn forget_program(&self, tenant: &Tenant) {
        if let Some(cache) = &self.programs {
            let mut read = cache.read.write().unwrap_or_else(PoisonError::into_inner);
            read.remove(tenant);
        }
    }

    async fn account_refs(&self, tenant: &Tenant) -> Result<Vec<AccountRef>> {
        let accounts = self.connectors.accounts(tenant).await?;
        Ok(accounts
            .iter()
            .map(|connector| connector.account().clone())
            .collect())
    }
}

fn stale() -> Error {
    Error::new(ErrorKind::Stale, "the programs keep changing: read them again")
}
