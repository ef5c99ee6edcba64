//! Batches: whole or not at all, once, and what became of them.

use std::time::Duration;

use bytes::Bytes;
use paymux_core::Store;
use paymux_core::store::*;

use super::case::Case;
use super::make::{FUTURE, HOUR, PAST, event, intent, job, job_at, put, row, unique};

/// One of everything that a batch may write, over things that were there before it.
struct Sample {
    old: RowKey,
    new: RowKey,
    replaced: UniqueKey,
    deleted: UniqueKey,
    inserted: UniqueKey,
    moved: JobKey,
    done: JobKey,
    made: JobKey,
}

/// All that can be seen of a [`Sample`].
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rows: Vec<Option<Row>>,
    uniques: Vec<Option<Unique>>,
    events: Vec<StoredEvent>,
    backlog: Backlog,
}

impl Sample {
    async fn prepare<S: Store>(case: &Case<'_, S>) -> Self {
        let (old, new) = (intent(case.uuid()), intent(case.uuid()));
        let key = |name| UniqueKey::new(Scope::Idempotency, format!("{name} of {old:?}"));
        let sample = Self {
            old,
            new,
            replaced: key("replaced"),
            deleted: key("deleted"),
            inserted: key("inserted"),
            moved: job(Queue::Sync, old),
            done: JobKey {
                child: case.uuid(),
                ..job(Queue::Sync, old)
            },
            made: job(Queue::Sync, new),
        };
        let mut batch = case.batch();
        put(&mut batch, row(old, 1));
        for key in [&sample.replaced, &sample.deleted] {
            batch
                .uniques
                .push(UniqueWrite::Insert(unique(key.scope, &key.name, Some(old))));
        }
        batch.events.push(event(case.uuid(), old, 1));
        batch.jobs.push(job_at(sample.moved, FUTURE));
        batch.jobs.push(job_at(sample.done, FUTURE));
        case.commit(batch).await;
        sample
    }

    fn batch<S: Store>(&self, case: &Case<'_, S>) -> Batch {
        let mut batch = case.batch();
        put(&mut batch, row(self.old, 2));
        put(&mut batch, row(self.new, 1));
        let mut replacement = unique(self.replaced.scope, &self.replaced.name, Some(self.new));
        replacement.bytes = Bytes::from_static(b"second");
        batch.uniques = vec![
            UniqueWrite::Replace(replacement),
            UniqueWrite::Delete(self.deleted.clone()),
            UniqueWrite::Insert(unique(self.inserted.scope, &self.inserted.name, Some(self.new))),
        ];
        batch.events = vec![event(case.uuid(), self.old, 2), event(case.uuid(), self.new, 1)];
        batch.jobs = vec![
            JobWrite::Reschedule {
                key: self.moved,
                due: Due::At(PAST),
            },
            JobWrite::Done(self.done),
            job_at(self.made, PAST),
        ];
        batch
    }

    async fn seen<S: Store>(&self, case: &Case<'_, S>) -> Seen {
        let mut uniques = Vec::new();
        for key in [&self.replaced, &self.deleted, &self.inserted] {
            uniques.push(case.lookup(key).await);
        }
        let mut events = case.events(self.old, 0, 100).await;
        events.extend(case.events(self.new, 0, 100).await);
        Seen {
            rows: case.ok(
                case.store().load(&case.acme, &[self.old, self.new]).await,
                "`load`",
            ),
            uniques,
            events,
            backlog: case.backlog(Queue::Sync).await,
        }
    }
}

pub(super) async fn all_or_nothing<S: Store>(case: &mut Case<'_, S>) {
    let sample = Sample::prepare(case).await;
    let foreign = unique(Scope::Provider, "stripe/eu/payment/pi_1", Some(sample.old));
    let mut batch = case.batch();
    batch.uniques.push(UniqueWrite::Insert(foreign.clone()));
    case.commit_of(&case.other, batch).await;
    let before = sample.seen(case).await;

    type Break = fn(&mut Batch, &Sample, &Unique);
    type Expected = fn(&Sample, &Unique) -> CommitError;
    let breaks: [(&str, Break, Expected); 9] = [
        (
            "a row is there that should be absent",
            |batch, sample, _| batch.preconditions.push(Precondition::Absent(sample.old)),
            |sample, _| CommitError::Conflict(Refusal::Row(sample.old)),
        ),
        (
            "a row has another version",
            |batch, sample, _| batch.preconditions.push(Precondition::Version(sample.old, 7)),
            |sample, _| CommitError::Conflict(Refusal::Row(sample.old)),
        ),
        (
            "a row is missing",
            |batch, sample, _| batch.preconditions.push(Precondition::Version(sample.new, 1)),
            |sample, _| CommitError::Conflict(Refusal::Row(sample.new)),
        ),
        (
            "a job has another epoch",
            |batch, sample, _| batch.preconditions.push(Precondition::Epoch(sample.moved, 2)),
            |sample, _| CommitError::Fenced(sample.moved),
        ),
        (
            "a job is missing",
            |batch, sample, _| batch.preconditions.push(Precondition::Epoch(sample.made, 1)),
            |sample, _| CommitError::Fenced(sample.made),
        ),
        (
            "a unique is taken",
            |batch, sample, _| {
                let taken = unique(sample.replaced.scope, &sample.replaced.name, None);
                batch.uniques[0] = UniqueWrite::Insert(taken);
            },
            |sample, _| CommitError::Conflict(Refusal::Unique(sample.replaced.clone())),
        ),
        (
            "a global unique is taken by another tenant",
            |batch, _, foreign| batch.uniques.push(UniqueWrite::Insert(foreign.clone())),
            |_, foreign| CommitError::Conflict(Refusal::Unique(foreign.key.clone())),
        ),
        (
            "an event's sequence is taken",
            |batch, sample, _| batch.events.push(event(sample.new.id, sample.old, 1)),
            |sample, _| CommitError::Conflict(Refusal::Event(sample.old)),
        ),
        (
            "two events of the batch have one sequence",
            |batch, sample, _| batch.events.push(event(sample.new.id, sample.new, 1)),
            |sample, _| CommitError::Conflict(Refusal::Event(sample.new)),
        ),
    ];
    for (why, break_it, expected) in breaks {
        let mut batch = sample.batch(case);
        break_it(&mut batch, &sample, &foreign);
        let error = case.refused(&batch, why).await;
        match expected(&sample, &foreign) {
            CommitError::Conflict(refusal) => case.conflict(&error, &refusal, why),
            CommitError::Fenced(job) => case.fenced(&error, job, why),
            CommitError::NotCommitted(_) | CommitError::Unknown(_) => {}
        }
        let after = sample.seen(case).await;
        check_eq!(
            case,
            after,
            before,
            "a part of a refused batch was seen, although {why}"
        );
        check_eq!(
            case,
            case.resolve(batch.commit_id).await,
            Resolved::Absent,
            "a refused batch counts as committed, although {why}"
        );
    }

    let batch = sample.batch(case);
    case.commit(batch.clone()).await;
    let after = sample.seen(case).await;
    let rows: Vec<_> = batch.puts.iter().cloned().map(Some).collect();
    check_eq!(case, after.rows, rows, "not all rows of a batch were written");
    let uniques: Vec<_> = batch
        .uniques
        .iter()
        .map(|write| match write {
            UniqueWrite::Insert(unique)
            | UniqueWrite::Renew { unique, .. }
            | UniqueWrite::Replace(unique) => Some(unique.clone()),
            UniqueWrite::Delete(_) => None,
        })
        .collect();
    check_eq!(
        case,
        after.uniques,
        uniques,
        "not all uniques of a batch were written"
    );
    let events: Vec<_> = before.events.iter().chain(&batch.events).cloned().collect();
    check_eq!(
        case,
        after.events,
        events,
        "not all events of a batch were written"
    );
    let backlog = Backlog {
        due: 2,
        scheduled: 2,
        oldest_due: Some(PAST),
        attention: Vec::new(),
    };
    check_eq!(
        case,
        after.backlog,
        backlog,
        "not all jobs of a batch were written"
    );
}

pub(super) async fn nothing_twice<S: Store>(case: &mut Case<'_, S>) {
    let key = intent(case.uuid());
    let taken = unique(Scope::Notice, "n", None);
    let work = job(Queue::Due, key);
    type Double = fn(&mut Batch, &Unique, JobKey);
    let doubles: [(&str, Double); 3] = [
        ("a row stands twice", |batch, _, _| {
            batch.puts.push(batch.puts[0].clone())
        }),
        ("a unique stands twice", |batch, unique, _| {
            batch.uniques.push(UniqueWrite::Delete(unique.key.clone()));
        }),
        ("a job stands twice", |batch, _, job| {
            batch.jobs.push(JobWrite::Done(job))
        }),
    ];
    for (why, double) in doubles {
        let mut batch = case.batch();
        put(&mut batch, row(key, 1));
        batch.uniques.push(UniqueWrite::Insert(taken.clone()));
        batch.jobs.push(job_at(work, PAST));
        double(&mut batch, &taken, work);
        let error = case.refused(&batch, why).await;
        case.not_committed(&error, why);
        check_eq!(
            case,
            case.load(key).await,
            None,
            "a part was written of a batch in which {why}"
        );
    }
}

pub(super) async fn empty_and_large<S: Store>(case: &mut Case<'_, S>) {
    case.commit(case.batch()).await;

    const MANY: usize = 250;
    let mut large = case.batch();
    for index in 0..MANY {
        let key = intent(case.uuid());
        put(&mut large, row(key, 1));
        let name = format!("{index}");
        large
            .uniques
            .push(UniqueWrite::Insert(unique(Scope::Notice, &name, Some(key))));
        large.events.push(event(case.uuid(), key, 1));
        large.jobs.push(job_at(job(Queue::Outbox, key), PAST));
    }
    case.commit(large.clone()).await;
    let keys: Vec<_> = large.puts.iter().map(|row| row.key).collect();
    let rows = case.ok(case.store().load(&case.acme, &keys).await, "`load` of many");
    let found: Vec<_> = rows.into_iter().flatten().collect();
    check!(
        case,
        found == large.puts,
        "of {MANY} rows {} were found",
        found.len()
    );
    let last = &large.puts[MANY - 1].key;
    let name = UniqueKey::new(Scope::Notice, format!("{}", MANY - 1));
    let target = case.lookup(&name).await.and_then(|unique| unique.target);
    check_eq!(case, target, Some(*last), "the last unique of a large batch");
    check_eq!(
        case,
        case.events(*last, 1, 10).await.len(),
        1,
        "the last event of a large batch"
    );
    check_eq!(
        case,
        case.backlog(Queue::Outbox).await.due,
        MANY as u64,
        "the jobs of a large batch"
    );

    // A refusal of the last thing in a large batch takes back the first.
    let mut refused = case.batch();
    for index in 0..MANY {
        put(&mut refused, row(intent(case.uuid()), 1));
        let name = format!("{}", 2 * MANY - 1 - index);
        refused
            .uniques
            .push(UniqueWrite::Insert(unique(Scope::Notice, &name, None)));
    }
    refused
        .uniques
        .push(UniqueWrite::Insert(unique(Scope::Notice, "0", None)));
    case.refused(&refused, "the last unique is taken").await;
    check_eq!(
        case,
        case.load(refused.puts[0].key).await,
        None,
        "a part of a large refused batch was written"
    );
}

pub(super) async fn once<S: Store>(case: &mut Case<'_, S>) {
    let key = intent(case.uuid());
    let work = job(Queue::Recovery, key);
    let mut batch = case.batch();
    put(&mut batch, row(key, 1));
    batch.events.push(event(case.uuid(), key, 1));
    batch.jobs.push(job_at(work, PAST));
    let first = case.commit(batch.clone()).await;
    check_eq!(
        case,
        case.commit(batch.clone()).await,
        first,
        "a repeated commit's receipt"
    );

    let mut next = case.batch();
    put(&mut next, row(key, 2));
    next.jobs.push(JobWrite::Done(work));
    case.commit(next).await;
    // Late, and with other contents: the id decides.
    if let Some(clock) = case.clock() {
        clock.advance(Duration::from_secs(5));
    }
    let mut other = Batch::new(batch.commit_id);
    put(&mut other, row(intent(case.uuid()), 1));
    for repeated in [batch, other.clone()] {
        check_eq!(
            case,
            case.commit(repeated).await,
            first,
            "a late repeated commit's receipt"
        );
    }
    check_eq!(
        case,
        case.load(key).await,
        Some(row(key, 2)),
        "a repeated commit wrote its row again"
    );
    check_eq!(
        case,
        case.events(key, 1, 10).await.len(),
        1,
        "a repeated commit wrote its event again"
    );
    check_eq!(
        case,
        case.backlog(Queue::Recovery).await.scheduled,
        0,
        "a repeated commit made its job again"
    );
    check_eq!(
        case,
        case.load(other.puts[0].key).await,
        None,
        "a batch was written under the commit id of another"
    );
}

pub(super) async fn resolved<S: Store>(case: &mut Case<'_, S>) {
    let mut batch = case.batch();
    put(&mut batch, row(intent(case.uuid()), 1));
    let receipt = case.commit(batch.clone()).await;
    for _ in 0..2 {
        check_eq!(
            case,
            case.resolve(batch.commit_id).await,
            Resolved::Committed(receipt),
            "what became of a commit that was made"
        );
    }

    let key = intent(case.uuid());
    let mut late = case.batch();
    put(&mut late, row(key, 1));
    late.jobs.push(JobWrite::Put {
        key: job(Queue::Due, key),
        due: Due::After(HOUR),
    });
    for _ in 0..2 {
        check_eq!(
            case,
            case.resolve(late.commit_id).await,
            Resolved::Absent,
            "what became of a commit that never was"
        );
    }
    for _ in 0..2 {
        let error = case.refused(&late, "its commit id was declared absent").await;
        case.not_committed(&error, "its commit id was declared absent");
    }
    check_eq!(
        case,
        case.load(key).await,
        None,
        "a commit was made after it was declared absent"
    );
    check_eq!(
        case,
        case.resolve(late.commit_id).await,
        Resolved::Absent,
        "a commit declared absent was found later"
    );
    late.commit_id = CommitId(case.uuid());
    case.commit(late).await;
    check!(
        case,
        case.load(key).await.is_some(),
        "the same batch under a fresh commit id wasn't written"
    );
}
