//! What must hold for a batch: checked in SQL, where the writes depend on it, and explained in plain code.

use std::collections::BTreeSet;
use std::sync::Arc;

use paymux_core::Timestamp;
use paymux_core::store::*;
use sqlx::postgres::PgRow;

use super::error::Failure;
use super::script::{Listed, Script};
use crate::checks::{Free, event_twice, free};
use crate::columns::Columns;
use crate::known::{Known, made_at};

/// The common table expressions up to `gate`, whose one row says what was found, and by `ok` whether all holds. It
/// locks the rows and then the jobs of preconditions, in the order of their keys, and so sees their last versions
/// even if they changed after the statement began.
///
/// Only what the batch asks about stands in the text. Each thing is looked for by its whole key, in a subquery of its
/// own that `FOR UPDATE` or `OFFSET 0` keeps from becoming a join: PostgreSQL keeps the plan that it made when the
/// tables were empty, and the plan of a join could then be to read all that a tenant has.
pub(super) fn gate(
    script: &mut Script,
    now: Option<i64>,
    tenant: &Arc<str>,
    id: CommitId,
    checks: &Checks<'_>,
) {
    see_rows(script, tenant, checks);
    see_jobs(script, tenant, checks);
    see_uniques(script, tenant, checks);
    see_events(script, tenant, checks);
    script.push(
        "gate (horizon, durability, known, known_at, now, ok, rows_nth, rows_found, jobs_nth, jobs_found, uniques_nth, \
         uniques_found, events_nth, events_found) AS (SELECT h.commits_before, current_setting('synchronous_commit'), \
         CAST(CASE WHEN c.commit_id IS NULL THEN 0 ELSE 1 END AS BIGINT), c.at, COALESCE(",
    );
    // Read after the locks were had: a commit that waited is as late as it was.
    script.number(now).push(
        ", CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)), \
         c.commit_id IS NULL AND current_setting('synchronous_commit') <> 'off' AND h.commits_before <= ",
    );
    script
        .time(made_at(id))
        .push(" AND ")
        .number(Some(i64::from(checks.twice.is_none())))
        .push(" = 1");
    let seen = [
        ("rows_seen", "BIGINT", checks.rows.is_empty()),
        ("jobs_seen", "BIGINT", checks.epochs.is_empty()),
        ("uniques_seen", "TEXT", checks.uniques.is_empty()),
        ("events_seen", "BIGINT", checks.events.is_empty()),
    ];
    let asked = || seen.iter().filter(|(.., empty)| !empty);
    for (seen, ..) in asked() {
        script.push(" AND ").push(seen).push(".ok");
    }
    for (seen, of, empty) in seen {
        if empty {
            script
                .push(", CAST(NULL AS BIGINT[]), CAST(NULL AS ")
                .push(of)
                .push("[])");
        } else {
            script
                .push(", ")
                .push(seen)
                .push(".nth, ")
                .push(seen)
                .push(".found");
        }
    }
    script.push(" FROM paymux_horizon h LEFT JOIN paymux_commits c ON c.commit_id = ");
    script.uuid(id.0).push(" AND c.tenant = ").text(tenant);
    for (seen, ..) in asked() {
        script.push(" CROSS JOIN ").push(seen);
    }
    script.push(" WHERE h.one = 1)");
}

fn see_rows(script: &mut Script, tenant: &Arc<str>, checks: &Checks<'_>) {
    if checks.rows.is_empty() {
        return;
    }
    script.push(
        "rows_seen AS (SELECT array_agg(a.n) AS nth, array_agg(r.version) AS found, \
         COALESCE(bool_and(r.version IS NOT DISTINCT FROM a.version), TRUE) AND count(r.version) = ",
    );
    let there = checks.rows.iter().filter(|(_, version)| version.is_some());
    script.number(Some(there.count() as i64));
    script.push(" AS ok FROM ");
    Listed::new(script, checks.rows.len())
        .rows(["kind", "id"], checks.rows.iter().map(|(key, _)| Some(*key)))
        .counts("version", checks.rows.iter().map(|(_, version)| *version))
        .end();
    script.push(
        " AS a CROSS JOIN LATERAL (SELECT NULLIF(version, 0) AS version \
         FROM paymux_rows WHERE tenant = ",
    );
    script
        .text(tenant)
        .push(" AND kind = a.kind AND id = a.id FOR UPDATE) AS r), ");
}

fn see_jobs(script: &mut Script, tenant: &Arc<str>, checks: &Checks<'_>) {
    if checks.epochs.is_empty() {
        return;
    }
    script.push(
        "jobs_seen AS (SELECT array_agg(a.n) AS nth, array_agg(j.epoch) AS found, \
         COALESCE(bool_and(j.epoch = a.epoch), TRUE) AND count(*) = ",
    );
    script.number(Some(checks.epochs.len() as i64));
    script.push(" AS ok FROM ");
    Listed::new(script, checks.epochs.len())
        .jobs(checks.epochs.iter().map(|(job, _)| *job))
        .counts("epoch", checks.epochs.iter().map(|(_, epoch)| Some(*epoch)))
        .end();
    script.push(" AS a CROSS JOIN LATERAL (SELECT epoch FROM paymux_jobs WHERE tenant = ");
    script.text(tenant).push(
        " AND queue = a.queue AND row_kind = a.row_kind AND row_id = a.row_id AND child = a.child FOR UPDATE) AS j",
    );
    if !checks.rows.is_empty() {
        // Which makes it wait for the rows.
        script.push(" WHERE (SELECT ok FROM rows_seen) IS NOT NULL");
    }
    script.push("), ");
}

fn see_uniques(script: &mut Script, tenant: &Arc<str>, checks: &Checks<'_>) {
    let uniques = &checks.uniques;
    if uniques.is_empty() {
        return;
    }
    script.push(
        "uniques_seen AS (SELECT array_agg(a.n) AS nth, array_agg(u.tenant) AS found, \
         COALESCE(bool_and(a.others = 1 AND u.tenant = ",
    );
    script.text(tenant).push("), TRUE) AS ok FROM ");
    let of_others = |free: &Free| Some(i64::from(*free == Free::OfOthers));
    let expired_by = |free: &Free| match free {
        Free::ButExpired(expired_by) => Some(expired_by.as_millis()),
        Free::OfAnyone | Free::OfOthers => None,
    };
    let owner = |key: &UniqueKey| Some(owner(key, tenant).to_owned());
    Listed::new(script, uniques.len())
        .texts("owner", uniques.iter().map(|(key, _)| owner(key)))
        .uniques(uniques.iter().map(|(key, _)| *key))
        .numbers("others", uniques.iter().map(|(_, free)| of_others(free)))
        .numbers("expired_by", uniques.iter().map(|(_, free)| expired_by(free)))
        .end();
    script.push(
        " AS a CROSS JOIN LATERAL (SELECT tenant, \
         expires_at FROM paymux_uniques WHERE owner = a.owner AND scope = a.scope AND name = a.name OFFSET 0) AS u \
         WHERE NOT COALESCE(u.expires_at <= a.expired_by AND u.tenant = ",
    );
    script.text(tenant).push(", FALSE)), ");
}

fn see_events(script: &mut Script, tenant: &Arc<str>, checks: &Checks<'_>) {
    if checks.events.is_empty() {
        return;
    }
    script.push(
        "events_seen AS (SELECT array_agg(a.n) AS nth, array_agg(a.n) AS found, count(*) = 0 AS ok FROM ",
    );
    Listed::new(script, checks.events.len())
        .rows(
            ["row_kind", "row_id"],
            checks.events.iter().map(|(row, _)| Some(*row)),
        )
        .counts(
            "sequence",
            checks.events.iter().map(|(_, sequence)| Some(*sequence)),
        )
        .end();
    script.push(" AS a CROSS JOIN LATERAL (SELECT 1 FROM paymux_events WHERE tenant = ");
    script
        .text(tenant)
        .push(" AND row_kind = a.row_kind AND row_id = a.row_id AND sequence = a.sequence OFFSET 0) AS e), ");
}

/// The gate's columns, in the order in which [`Seen`] reads them.
pub(super) const SEEN: &str = "g.horizon, g.durability, g.known, g.known_at, g.now, g.ok, g.rows_nth, g.rows_found, \
                               g.jobs_nth, g.jobs_found, g.uniques_nth, g.uniques_found, g.events_nth, g.events_found";

/// What the gate found: of each thing that was asked about, in that order.
pub(super) struct Seen {
    pub(super) commit: Known,
    pub(super) now: Timestamp,
    /// Whether everything held, and so everything was written.
    pub(super) ok: bool,
    rows: Vec<Option<i64>>,
    jobs: Vec<Option<i64>>,
    uniques: Vec<Option<String>>,
    events: Vec<Option<i64>>,
}

impl Seen {
    pub(super) fn read(columns: &mut Columns<'_, PgRow>, checks: &Checks<'_>) -> Result<Self, Failure> {
        Ok(Self {
            commit: known(columns)?,
            now: columns.time()?,
            ok: columns.next()?,
            rows: in_order(checks.rows.len(), columns.next()?, columns.next()?),
            jobs: in_order(checks.epochs.len(), columns.next()?, columns.next()?),
            uniques: in_order(checks.uniques.len(), columns.next()?, columns.next()?),
            events: in_order(checks.events.len(), columns.next()?, columns.next()?),
        })
    }

    /// The first check of the batch that didn't hold.
    pub(super) fn refusal(&self, checks: &Checks<'_>, tenant: &Arc<str>) -> Option<CommitError> {
        for precondition in checks.preconditions {
            match *precondition {
                Precondition::Absent(key) => {
                    if self.version(checks, key).is_some() {
                        return Some(CommitError::Conflict(Refusal::Row(key)));
                    }
                }
                Precondition::Version(key, version) => {
                    if self.version(checks, key) != Some(version) {
                        return Some(CommitError::Conflict(Refusal::Row(key)));
                    }
                }
                Precondition::Epoch(job, epoch) => {
                    if self.epoch(checks, job) != Some(epoch) {
                        return Some(CommitError::Fenced(job));
                    }
                }
            }
        }
        for ((key, free), found) in checks.uniques.iter().zip(&self.uniques) {
            let mine = found.as_deref() == Some(&**tenant);
            if found.is_some() && !(mine && *free == Free::OfOthers) {
                return Some(CommitError::Conflict(Refusal::Unique((*key).clone())));
            }
        }
        for ((row, _), found) in checks.events.iter().zip(&self.events) {
            if found.is_some() {
                return Some(CommitError::Conflict(Refusal::Event(*row)));
            }
        }
        checks.twice.map(|row| CommitError::Conflict(Refusal::Event(row)))
    }

    fn version(&self, checks: &Checks<'_>, key: RowKey) -> Option<u64> {
        let at = checks.rows.iter().position(|(asked, _)| *asked == key)?;
        self.rows[at].map(|version| version as u64)
    }

    fn epoch(&self, checks: &Checks<'_>, job: JobKey) -> Option<u64> {
        let at = checks.epochs.iter().position(|(asked, _)| *asked == job)?;
        self.jobs[at].map(|epoch| epoch as u64)
    }
}

/// What was found of so many things, each under its number from 1.
fn in_order<T: Clone>(asked: usize, nth: Option<Vec<i64>>, found: Option<Vec<Option<T>>>) -> Vec<Option<T>> {
    let mut all = vec![None; asked];
    for (nth, found) in nth.unwrap_or_default().into_iter().zip(found.unwrap_or_default()) {
        if let Some(place) = usize::try_from(nth - 1).ok().and_then(|at| all.get_mut(at)) {
            *place = found;
        }
    }
    all
}

/// What is known of a commit. Refuses a connection on which `Ok` would be no promise.
pub(super) fn known(columns: &mut Columns<'_, PgRow>) -> Result<Known, Failure> {
    let horizon = columns.time()?;
    if columns.next::<&str>()? == "off" {
        return Err(asynchronous().into());
    }
    Ok(Known {
        horizon,
        there: columns.next::<i64>()? > 0,
        at: columns.optional_time()?,
    })
}

pub(super) fn asynchronous() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "synchronous_commit is off, so that a crash of PostgreSQL could take back what was committed: set it on for \
         this role and database",
    )
}

/// What must hold for a batch to be written.
pub(super) struct Checks<'b> {
    preconditions: &'b [Precondition],
    /// In the order in which they are locked, as [`epochs`](Self::epochs) are.
    rows: Vec<(RowKey, Option<u64>)>,
    epochs: Vec<(JobKey, u64)>,
    uniques: Vec<(&'b UniqueKey, Free)>,
    events: Vec<(RowKey, u64)>,
    /// Whose event stands twice in the batch.
    twice: Option<RowKey>,
    /// The rows that must be absent and aren't put.
    pub(super) absent: BTreeSet<RowKey>,
}

impl<'b> Checks<'b> {
    pub(super) fn of(batch: &'b Batch) -> Self {
        let mut checks = Self {
            preconditions: &batch.preconditions,
            rows: Vec::new(),
            epochs: Vec::new(),
            uniques: free(batch).collect(),
            events: batch
                .events
                .iter()
                .map(|event| (event.row, event.sequence))
                .collect(),
            twice: event_twice(batch),
            absent: BTreeSet::new(),
        };
        for precondition in &batch.preconditions {
            match *precondition {
                Precondition::Absent(key) => {
                    checks.rows.push((key, None));
                    if batch.puts.iter().all(|row| row.key != key) {
                        checks.absent.insert(key);
                    }
                }
                Precondition::Version(key, version) => checks.rows.push((key, Some(version))),
                Precondition::Epoch(job, epoch) => checks.epochs.push((job, epoch)),
            }
        }
        // By the words that are stored, so that other releases have the same order.
        checks.rows.sort_by_key(|(key, _)| (key.kind.as_str(), key.id));
        checks.epochs.sort_by_key(|(job, _)| {
            let row = job.row;
            (job.queue.as_str(), row.kind.as_str(), row.id, job.child)
        });
        checks
    }
}

/// Whose the name is: the tenant's, or everyone's.
pub(super) fn owner<'t>(key: &UniqueKey, tenant: &'t Arc<str>) -> &'t str {
    if key.is_global() { "" } else { tenant }
}
