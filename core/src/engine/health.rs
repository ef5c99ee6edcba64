//! How accounts do: what this instance counts of its attempts, and how it hears of the others'.
//!
//! Counting is beside the payments: it writes nothing into their commits, and what can't be written or read is tried again
//! a second later. No payment depends on it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Inner;
use super::aggregate::{Loaded, SCHEMA, decode_body, encode, known_form};
use super::commit::{CommitFailure, unreadable};
use crate::decline::{Decline, DeclineKind};
use crate::error::{Fault, Result};
use crate::id::AccountRef;
use crate::intent::{Attempt, AttemptStatus, Intent, OpStage};
use crate::method::PaymentMethod;
use crate::money::Currency;
use crate::routing::{
    Circuit, Health, HealthBoard, HealthSettings, HealthSnapshot, InstanceId, Sample, Segment, Sign,
    Standing, WhenAllOpen,
};
use crate::runtime::Runtime;
use crate::store::{Index, Order, Precondition, Query, Row, RowKey, RowKind};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// How the health of accounts is counted, and what it may decide.
///
/// ```
/// use paymux_core::routing::WhenAllOpen;
/// use paymux_core::HealthPolicy;
///
/// let health = HealthPolicy::new().instance("api-1").when_all_open(WhenAllOpen::Refuse);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HealthPolicy {
    settings: HealthSettings,
    instance: Option<String>,
    when_all_open: WhenAllOpen,
    every: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            settings: HealthSettings::default(),
            instance: None,
            when_all_open: WhenAllOpen::TryAnyway,
            every: Duration::from_secs(1),
        }
    }
}

impl HealthPolicy {
    /// The defaults: half-lives of 30 minutes, circuits of a minute, a payment tried even where all circuits are open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts so.
    pub fn settings(mut self, settings: HealthSettings) -> Self {
        self.settings = settings;
        self
    }

    /// What this instance is called, in 1 to 64 bytes: a name that it has again after a restart lets it go on from what it
    /// had counted. Without one it has a new name with each start.
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.instance = Some(name.into());
        self
    }

    /// What becomes of a payment when the circuits of all its accounts are open: it is tried, without this.
    pub fn when_all_open(mut self, what: WhenAllOpen) -> Self {
        self.when_all_open = what;
        self
    }

    /// How often counts are written and the others' read: every second without this.
    pub fn every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }
}

/// What an instance counts, and its row.
#[derive(Debug)]
pub(crate) struct HealthDesk {
    board: Mutex<HealthBoard>,
    pub(crate) when_all_open: WhenAllOpen,
    pub(crate) every: Duration,
    row: Mutex<OwnRow>,
    /// Which version of which row was read or written last.
    heard: Mutex<HashMap<RowKey, u64>>,
}

/// The row that this instance writes.
#[derive(Clone, Copy, Debug, Default)]
struct OwnRow {
    known: Option<(RowKey, u64)>,
    /// What of the counts is in it.
    revision: u64,
    /// When it was exchanged last, by the monotonic clock.
    at: Option<Duration>,
}

/// What a row holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    instance: InstanceId,
    counts: HealthSnapshot,
}

/// The most that a row holds.
const MOST_BYTES: usize = 64 * 1_024;
/// How many instances' rows are read.
const MOST_INSTANCES: u32 = 100;

impl HealthDesk {
    /// # Errors
    /// What is wrong with the settings or the instance's name.
    pub(crate) fn new(policy: &HealthPolicy, runtime: &Runtime) -> Result<Self> {
        let instance = match &policy.instance {
            Some(name) => name.parse()?,
            None => crate::id::encode(runtime.ids.uuid(runtime.clock.now())).parse()?,
        };
        if policy.every.is_zero() {
            let fault = Fault::new("health.every", "out of range", "use a pause of more than nothing");
            return Err(crate::Error::invalid(fault));
        }
        Ok(Self {
            board: Mutex::new(HealthBoard::new(instance, policy.settings)?),
            when_all_open: policy.when_all_open,
            every: policy.every,
            row: Mutex::default(),
            heard: Mutex::default(),
        })
    }

    fn board(&self) -> MutexGuard<'_, HealthBoard> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn row(&self) -> MutexGuard<'_, OwnRow> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<RowKey, u64>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn segment<'a>(account: &'a AccountRef, method: &'a PaymentMethod, currency: Currency) -> Segment<'a> {
    Segment {
        account,
        method: method.kind(),
        via: method.via(),
        currency,
    }
}

impl Inner {
    /// How an account has done lately with payments like this, where that is counted.
    pub(crate) fn standing(
        &self,
        account: &AccountRef,
        method: &PaymentMethod,
        currency: Currency,
        at: Timestamp,
    ) -> Option<Standing> {
        let desk = self.health.as_ref()?;
        Some(desk.board().standing(&segment(account, method, currency), at))
    }

    /// A payment goes to an account. If its circuit is half open, it is the one that finds out.
    pub(crate) fn goes_to(
        &self,
        account: &AccountRef,
        method: &PaymentMethod,
        currency: Currency,
        at: Timestamp,
    ) {
        let Some(desk) = &self.health else { return };
        let mut board = desk.board();
        if board.standing(&segment(account, method, currency), at).circuit == Circuit::HalfOpen {
            board.probing(account, method.kind(), at);
        }
    }

    /// Counts what a commit says of the attempts' accounts.
    pub(crate) fn count_health(&self, before: Option<&Loaded<Intent>>, after: &Intent, at: Timestamp) {
        let (Some(desk), Some(before)) = (&self.health, before) else {
            return;
        };
        for (place, attempt) in after.attempts.iter().enumerate() {
            let Some(old) = before.state.attempt(attempt.id) else {
                continue;
            };
            let (was, is) = (sign(&before.state, old), sign(after, attempt));
            let Some(verdict) = is.filter(|is| was != Some(*is)) else {
                continue;
            };
            let declined = |earlier: &&Attempt| earlier.status == AttemptStatus::Declined;
            let number = after.attempts[..place].iter().filter(declined).count() + 1;
            let sample = Sample::of(
                segment(&attempt.account, &attempt.method, attempt.amount.currency()),
                u32::try_from(number).unwrap_or(u32::MAX),
                verdict,
                at.since(attempt.opened_at),
            );
            desk.board().record(&sample, at);
        }
    }

    /// Writes what this instance has counted, and reads what the others have, where it is time.
    pub(crate) async fn exchange_health(&self) -> Result<()> {
        let Some(desk) = &self.health else {
            return Ok(());
        };
        let now = self.runtime.clock.elapsed();
        let is_early = |last: Duration| now.saturating_sub(last) < desk.every;
        if desk.row().at.is_some_and(is_early) {
            return Ok(());
        }
        desk.row().at = Some(now);
        let rows = self.health_rows().await?;
        self.take_health(desk, &rows)?;
        self.write_health(desk, &rows).await
    }

    /// The counts of all instances as this one knows them.
    pub(crate) fn health_view(&self) -> Option<Health> {
        self.health.as_ref().map(|desk| desk.board().together())
    }

    async fn health_rows(&self) -> Result<Vec<Row>> {
        let query = Query {
            order: Order::NewestFirst,
            limit: MOST_INSTANCES,
            ..Query::of(RowKind::Health)
        };
        let rows = self.store.find(&Tenant::instances(), &query).await;
        rows.map_err(unreadable)
    }

    fn take_health(&self, desk: &HealthDesk, rows: &[Row]) -> Result<()> {
        let at = self.runtime.clock.now();
        let (mut board, mut heard) = (desk.board(), desk.heard());
        heard.retain(|key, _| rows.iter().any(|row| row.key == *key));
        for row in rows {
            if heard.get(&row.key) == Some(&row.version) {
                continue;
            }
            known_form(row.key, row.schema)?;
            let Written { instance, counts } = decode_body(&row.body, row.key)?;
            if instance == *board.instance() && desk.row().known.is_none() {
                desk.row().known = Some((row.key, row.version));
            }
            let _newer = board.take(instance, &counts, at);
            heard.insert(row.key, row.version);
        }
        board.expire(at);
        Ok(())
    }

    /// Writes this instance's row: its own one, or that of one which is gone, or a new one.
    async fn write_health(&self, desk: &HealthDesk, rows: &[Row]) -> Result<()> {
        let (snapshot, instance) = {
            let board = desk.board();
            (board.snapshot(MOST_BYTES), board.instance().clone())
        };
        let revision = snapshot.revision();
        let own = *desk.row();
        if own.revision == revision {
            return Ok(());
        }
        let mut work = self.work();
        let (key, version) = own
            .known
            .or_else(|| self.forsaken(desk, rows, work.at))
            .unwrap_or_else(|| (RowKey::new(RowKind::Health, self.uuid()), 0));
        work.batch.preconditions.push(match version {
            0 => Precondition::Absent(key),
            version => Precondition::Version(key, version),
        });
        let counts = Written {
            instance,
            counts: snapshot,
        };
        work.batch.puts.push(Row {
            key,
            version: version + 1,
            schema: SCHEMA,
            index: Index::of("counts", work.at),
            body: encode(&counts)?,
        });
        match self.commit(&Tenant::instances(), work).await {
            Ok(()) => {
                let mut row = desk.row();
                row.known = Some((key, version + 1));
                row.revision = revision;
                desk.heard().insert(key, version + 1);
                Ok(())
            }
            // Another instance has it, or its fate isn't known: the next time it is found again, or a new one made.
            Err(CommitFailure::Conflict(_) | CommitFailure::InDoubt) => {
                desk.row().known = None;
                desk.heard().remove(&key);
                Ok(())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// The row of an instance that has written nothing for so long that its counts weigh nothing.
    fn forsaken(&self, desk: &HealthDesk, rows: &[Row], at: Timestamp) -> Option<(RowKey, u64)> {
        let fades = desk.board().own().settings().half_life * HALF_LIVES;
        let gone = |row: &&Row| at.since(row.index.updated_at) > fades;
        rows.iter().find(gone).map(|row| (row.key, row.version))
    }
}

/// After so many half-lives counts weigh nothing.
const HALF_LIVES: u32 = 5;

/// What an attempt says of its account by now.
fn sign(intent: &Intent, attempt: &Attempt) -> Option<Sign> {
    match attempt.status {
        AttemptStatus::Authorized
        | AttemptStatus::Captured
        | AttemptStatus::Settled
        | AttemptStatus::Voided => Some(Sign::Approved),
        AttemptStatus::Declined => {
            let kind = attempt.known.declined.as_ref().map(Decline::kind);
            match kind {
                Some(DeclineKind::Soft) => Some(Sign::SoftDecline),
                Some(DeclineKind::Hard) | None => Some(Sign::HardDecline),
                // The issuer answers; whether it approves is seen after the challenge.
                Some(DeclineKind::AuthenticationRequired) => None,
            }
        }
        AttemptStatus::NotExecuted => Some(Sign::NotExecuted),
        AttemptStatus::Opened => {
            let open = intent.lock(attempt.operation)?;
            matches!(open.stage, OpStage::Unknown { .. }).then_some(Sign::Unknown)
        }
        AttemptStatus::Pending
        | AttemptStatus::RequiresAction
        | AttemptStatus::Cancelled
        | AttemptStatus::Failed => None,
    }
}
