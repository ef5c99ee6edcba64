//! What must hold for a batch: checked in SQL, where the writes depend on it, and explained in plain code.

use std::collections::BTreeSet;
use std::sync::Arc;

use paymux_core::Timestamp;
use paymux_core::store::*;
use sqlx::postgres::PgRow;

use super::error::Failure;
use super::script::{Script, job_keys, row_keys, unique_names};
use crate::checks::{Free, event_twice, free};
use crate::columns::Columns;
use crate::known::{Known, made_at};

/// The common table expressions up to `gate`, whose one row says what was found, and by `ok` whether all holds. It
/// locks the rows and then the jobs of preconditions, in the order of their keys, and so sees their last versions
/// even if they changed after the statement began.
pub(super) fn gate(
    script: &mut Script,
    now: Option<i64>,
    tenant: &Arc<str>,
    id: CommitId,
    checks: &Checks<'_>,
) {
    script.push("asked_rows AS (SELECT * FROM unnest(");
    row_keys(script, checks.rows.iter().map(|(key, _)| *key));
    let versions = checks.rows.iter();
    let versions = versions.map(|(_, version)| version.map(|version| script.signed(version)));
    let versions = versions.collect();
    script.push(", ").numbers(versions);
    script.push(
        ") WITH ORDINALITY AS a (kind, id, version, n)), \
         locked_rows AS (SELECT r.kind, r.id, NULLIF(r.version, 0) AS version FROM asked_rows a \
         JOIN paymux_rows r ON r.kind = a.kind AND r.id = a.id AND r.tenant = ",
    );
    script.text(tenant).push(
        " ORDER BY r.kind, r.id FOR UPDATE OF r), \
         checked_rows AS (SELECT a.n, a.version AS asked, l.version AS found FROM asked_rows a \
         LEFT JOIN (SELECT DISTINCT kind, id, version FROM locked_rows) l ON l.kind = a.kind AND l.id = a.id), \
         asked_jobs AS (SELECT * FROM unnest(",
    );
    let jobs: Vec<JobKey> = checks.epochs.iter().map(|(job, _)| *job).collect();
    job_keys(script, &jobs);
    let epochs = checks.epochs.iter();
    let epochs = epochs.map(|(_, epoch)| Some(script.signed(*epoch))).collect();
    script.push(", ").numbers(epochs);
    script.push(
        ") WITH ORDINALITY AS a (queue, row_kind, row_id, child, epoch, n)), \
         locked_jobs AS (SELECT j.queue, j.row_kind, j.row_id, j.child, j.epoch FROM asked_jobs a \
         JOIN paymux_jobs j ON j.queue = a.queue AND j.row_kind = a.row_kind AND j.row_id = a.row_id \
         AND j.child = a.child AND j.tenant = ",
    );
    script.text(tenant).push(
        " ORDER BY j.queue, j.row_kind, j.row_id, j.child FOR UPDATE OF j), \
         checked_jobs AS (SELECT a.n, a.epoch AS asked, l.epoch AS found FROM asked_jobs a \
         LEFT JOIN (SELECT DISTINCT queue, row_kind, row_id, child, epoch FROM locked_jobs) l \
         ON l.queue = a.queue AND l.row_kind = a.row_kind AND l.row_id = a.row_id AND l.child = a.child), \
         checked_uniques AS (SELECT a.n, a.others, u.tenant AS found FROM unnest(",
    );
    let uniques = &checks.uniques;
    let owners = uniques.iter().map(|(key, _)| owner(key, tenant));
    script.texts(owners.map(|owner| Some(owner.to_owned())).collect());
    script.push(", ");
    unique_names(script, uniques.iter().map(|(key, _)| *key));
    script.push(", ");
    script.numbers(
        uniques
            .iter()
            .map(|(_, free)| Some(i64::from(*free == Free::OfOthers)))
            .collect(),
    );
    let expired_by = uniques.iter().map(|(_, free)| match free {
        Free::ButExpired(expired_by) => Some(expired_by.as_millis()),
        Free::OfAnyone | Free::OfOthers => None,
    });
    script.push(", ").numbers(expired_by.collect());
    script.push(
        ") WITH ORDINALITY AS a (owner, scope, name, others, expired_by, n) \
         LEFT JOIN paymux_uniques u ON u.owner = a.owner AND u.scope = a.scope AND u.name = a.name \
         AND NOT COALESCE(u.expires_at <= a.expired_by AND u.tenant = ",
    );
    script.text(tenant).push(
        ", FALSE)), \
         checked_events AS (SELECT a.n, e.sequence AS found FROM unnest(",
    );
    row_keys(script, checks.events.iter().map(|(key, _)| *key));
    let sequences = checks.events.iter();
    let sequences = sequences
        .map(|(_, sequence)| Some(script.signed(*sequence)))
        .collect();
    script.push(", ").numbers(sequences);
    script.push(
        ") WITH ORDINALITY AS a (row_kind, row_id, sequence, n) \
         LEFT JOIN paymux_events e ON e.row_kind = a.row_kind AND e.row_id = a.row_id \
         AND e.sequence = a.sequence AND e.tenant = ",
    );
    script.text(tenant).push(
        "), \
         seen AS (SELECT h.commits_before AS horizon, current_setting('synchronous_commit') AS durability, \
         (SELECT count(*) FROM paymux_commits WHERE commit_id = ",
    );
    script.uuid(id.0).push(" AND tenant = ").text(tenant);
    script.push(") AS known, (SELECT at FROM paymux_commits WHERE commit_id = ");
    script.uuid(id.0).push(" AND tenant = ").text(tenant);
    script.push(
        ") AS known_at, \
         ARRAY(SELECT found FROM checked_rows ORDER BY n) AS rows_found, \
         ARRAY(SELECT found FROM checked_jobs ORDER BY n) AS jobs_found, \
         ARRAY(SELECT found FROM checked_uniques ORDER BY n) AS uniques_found, \
         ARRAY(SELECT found FROM checked_events ORDER BY n) AS events_found, \
         COALESCE(",
    );
    // Read after the locks were had: a commit that waited is as late as it was.
    script.number(now).push(
        ", CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)) AS now \
         FROM paymux_horizon h WHERE h.one = 1), \
         gate AS (SELECT seen.*, known = 0 AND durability <> 'off' AND horizon <= ",
    );
    script
        .time(made_at(id))
        .push(" AND ")
        .number(Some(i64::from(checks.twice.is_none())));
    script.push(
        " = 1 AND NOT EXISTS (SELECT 1 FROM checked_rows WHERE found IS DISTINCT FROM asked) \
         AND NOT EXISTS (SELECT 1 FROM checked_jobs WHERE found IS DISTINCT FROM asked) \
         AND NOT EXISTS (SELECT 1 FROM checked_events WHERE found IS NOT NULL) \
         AND NOT EXISTS (SELECT 1 FROM checked_uniques WHERE found IS NOT NULL AND (others = 0 OR found <> ",
    );
    script.text(tenant).push(")) AS ok FROM seen)");
}

/// The gate's columns, in the order in which [`Seen`] reads them.
pub(super) const SEEN: &str = "g.horizon, g.durability, g.known, g.known_at, g.now, g.ok, g.rows_found, g.jobs_found, \
                               g.uniques_found, g.events_found";

/// What the gate found.
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
    pub(super) fn read(columns: &mut Columns<'_, PgRow>) -> Result<Self, Failure> {
        Ok(Self {
            commit: known(columns)?,
            now: columns.time()?,
            ok: columns.next()?,
            rows: columns.next()?,
            jobs: columns.next()?,
            uniques: columns.next()?,
            events: columns.next()?,
        })
    }

    /// The first check of the batch that didn't hold.
    pub(super) fn refusal(&self, checks: &Checks<'_>, tenant: &Arc<str>) -> Option<CommitError> {
        let (mut rows, mut jobs) = (
            checks.rows.iter().zip(&self.rows),
            checks.epochs.iter().zip(&self.jobs),
        );
        for precondition in checks.preconditions {
            match precondition {
                Precondition::Absent(_) | Precondition::Version(..) => {
                    if let Some(((key, version), found)) = rows.next()
                        && found.map(|found| found as u64) != *version
                    {
                        return Some(CommitError::Conflict(Refusal::Row(*key)));
                    }
                }
                Precondition::Epoch(..) => {
                    if let Some(((job, epoch), found)) = jobs.next()
                        && found.map(|found| found as u64) != Some(*epoch)
                    {
                        return Some(CommitError::Fenced(*job));
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
        checks
    }
}

/// Whose the name is: the tenant's, or everyone's.
pub(super) fn owner<'t>(key: &UniqueKey, tenant: &'t Arc<str>) -> &'t str {
    if key.is_global() { "" } else { tenant }
}
