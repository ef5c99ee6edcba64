//! Callers that go away, processes that end, and other instances.

use std::time::Duration;

use paymux_core::Store;
use paymux_core::store::*;

use super::case::{Case, drop_after};
use super::make::{HOUR, PAST, TIME, event, intent, job, job_at, put, row, unique};

/// One of everything on a new row.
fn whole<S: Store>(case: &Case<'_, S>) -> Batch {
    let key = intent(case.uuid());
    let mut batch = case.batch();
    put(&mut batch, row(key, 1));
    let name = format!("{key:?}");
    batch
        .uniques
        .push(UniqueWrite::Insert(unique(Scope::Provider, &name, Some(key))));
    batch.events.push(event(case.uuid(), key, 1));
    batch.jobs.push(JobWrite::Put {
        key: job(Queue::Recovery, key),
        due: Due::After(HOUR),
    });
    batch
}

/// Whether a batch of [`whole`] is there; it is a broken clause if a part of it is.
async fn is_there<S: Store>(case: &Case<'_, S>, batch: &Batch) -> bool {
    let key = batch.puts[0].key;
    let row = case.load(key).await.is_some();
    let unique = case.lookup(batch.uniques[0].key()).await.is_some();
    let located = case.locate(batch.uniques[0].key()).await.is_some();
    let event = !case.events(key, 1, 10).await.is_empty();
    let mut probe = case.batch();
    probe
        .preconditions
        .push(Precondition::Epoch(job(Queue::Recovery, key), 1));
    let job = case.store().commit(&case.acme, &probe).await.is_ok();
    let parts = [row, unique, located, event, job];
    check!(
        case,
        parts.iter().all(|part| *part == row),
        "a part of a batch is there: of its row, unique, located unique, event and job {parts:?}"
    );
    row
}

/// A caller that went away, or a process that ended, asks what became of its commit.
async fn settle<S: Store>(case: &Case<'_, S>, batch: &Batch, when: &str) {
    match case.resolve(batch.commit_id).await {
        Resolved::Committed(receipt) => {
            check!(
                case,
                is_there(case, batch).await,
                "a commit is resolved as Committed, {when}, but isn't there"
            );
            check_eq!(
                case,
                case.commit(batch.clone()).await,
                receipt,
                "the receipt of a repeated commit, {when}"
            );
        }
        Resolved::Absent => {
            check!(
                case,
                !is_there(case, batch).await,
                "a commit is resolved as Absent, {when}, but is there"
            );
            let error = case.refused(batch, "it was resolved as Absent").await;
            case.not_committed(&error, "it was resolved as Absent");
        }
    }
}

pub(super) async fn dropped<S: Store>(case: &mut Case<'_, S>) {
    for polls in 0..50 {
        let batch = whole(case);
        let done = drop_after(polls, case.store().commit(&case.acme, &batch)).await;
        // Nothing is left open that keeps others from committing.
        let next = whole(case);
        case.commit(next.clone()).await;
        check!(
            case,
            is_there(case, &next).await,
            "a commit after a dropped one isn't there"
        );
        settle(
            case,
            &batch,
            &format!("after its future was dropped at poll {polls}"),
        )
        .await;

        let id = CommitId(case.uuid());
        drop_after(polls, case.store().resolve(&case.acme, id)).await;
        check_eq!(
            case,
            case.resolve(id).await,
            Resolved::Absent,
            "a commit whose `resolve` was dropped"
        );
        let request = ClaimRequest {
            queue: Queue::Sync,
            limit: 10,
            lease: Duration::ZERO,
        };
        let mut batch = case.batch();
        batch
            .jobs
            .push(job_at(job(Queue::Sync, intent(case.uuid())), PAST));
        case.commit(batch).await;
        drop_after(polls, case.store().claim_due(&request)).await;
        drop_after(polls, case.store().purge(&nothing(), 10)).await;
        if done.is_some() {
            return;
        }
    }
}

fn nothing() -> Retention {
    let before = paymux_core::Timestamp::from_millis(0);
    Retention {
        events_before: before,
        evidence_before: before,
        commits_before: before,
        uniques_before: before,
    }
}

pub(super) async fn crashed<S: Store>(case: &mut Case<'_, S>) {
    for polls in 0..50 {
        let before = whole(case);
        case.commit(before.clone()).await;
        let batch = whole(case);
        let done = drop_after(polls, case.store().commit(&case.acme, &batch)).await;
        case.restart().await;
        check!(
            case,
            is_there(case, &before).await,
            "a commit that had returned isn't there after a crash during the next one"
        );
        settle(case, &batch, &format!("after a crash at poll {polls}")).await;
        case.restart().await;
        settle(case, &batch, "after another restart").await;
        if let Some(committed) = done {
            case.ok(committed, "a commit");
            check!(
                case,
                is_there(case, &batch).await,
                "a commit isn't there after a restart"
            );
            return;
        }
    }
}

pub(super) async fn everything_is_there<S: Store>(case: &mut Case<'_, S>) {
    let batch = whole(case);
    let receipt = case.commit(batch.clone()).await;
    let key = batch.puts[0].key;
    let due = job(Queue::Due, key);
    let mut more = case.batch();
    put(&mut more, row(key, 2));
    more.jobs.push(job_at(due, PAST));
    case.commit(more).await;
    check_eq!(case, case.claim(Queue::Due, 10, HOUR).await.len(), 1, "the job");
    let fenced = whole(case);
    case.resolve(fenced.commit_id).await;
    let old = CommitId(case.uuid_at(TIME.before(2 * HOUR)));
    let retention = Retention {
        commits_before: TIME.before(HOUR),
        ..nothing()
    };
    case.ok(case.store().purge(&retention, 10).await, "`purge`");

    for _ in 0..2 {
        case.restart().await;
        check_eq!(case, case.load(key).await, Some(row(key, 2)), "the row");
        let found = case.ok(
            case.store().find(&case.acme, &Query::of(key.kind)).await,
            "`find`",
        );
        check_eq!(case, found, [row(key, 2)], "the row, found");
        let UniqueWrite::Insert(unique) = &batch.uniques[0] else {
            continue;
        };
        check_eq!(
            case,
            case.lookup(&unique.key).await.as_ref(),
            Some(unique),
            "the unique"
        );
        check_eq!(
            case,
            case.locate(&unique.key).await,
            Some((case.acme.clone(), key)),
            "the global unique"
        );
        check_eq!(case, case.events(key, 1, 10).await, batch.events, "the event");
        check_eq!(
            case,
            case.resolve(batch.commit_id).await,
            Resolved::Committed(receipt),
            "what became of the commit"
        );
        let error = case
            .refused(&fenced, "it was resolved as Absent before the restart")
            .await;
        case.not_committed(&error, "it was resolved as Absent before the restart");
        check!(
            case,
            case.store().resolve(&case.acme, old).await.is_err(),
            "a commit id older than a purge before the restart was resolved"
        );
        let backlog = case.backlog(Queue::Due).await;
        check_eq!(case, (backlog.due, backlog.scheduled), (0, 1), "the leased job");
        let mut wrong = case.batch();
        wrong.preconditions.push(Precondition::Epoch(due, 1));
        let error = case
            .refused(&wrong, "the epoch was raised before the restart")
            .await;
        case.fenced(&error, due, "the epoch was raised before the restart");
    }
    let mut right = case.batch();
    right.preconditions.push(Precondition::Epoch(due, 2));
    put(&mut right, row(key, 3));
    case.commit(right).await;
}

pub(super) async fn another_instance<S: Store>(case: &mut Case<'_, S>) {
    let there = case.another_instance().await;
    let key = intent(case.uuid());
    for version in 1..=10 {
        let mut batch = case.batch();
        put(&mut batch, row(key, version));
        let (writer, reader): (&dyn Store, &dyn Store) = if version % 2 == 0 {
            (&**case.store(), &there)
        } else {
            (&there, &**case.store())
        };
        case.ok(
            writer.commit(&case.acme, &batch).await,
            "a commit on one of two instances",
        );
        for store in [reader, writer] {
            let rows = case.ok(store.load(&case.acme, &[key]).await, "`load`");
            check_eq!(
                case,
                rows,
                [Some(row(key, version))],
                "what is loaded right after a commit"
            );
        }
        let mut stale = case.batch();
        put(&mut stale, row(key, version));
        match reader.commit(&case.acme, &stale).await {
            Err(error) => case.conflict(&error, &Refusal::Row(key), "a stale write on the other instance"),
            Ok(_) => case.broken("two instances wrote the same version"),
        }
        check_eq!(
            case,
            case.ok(reader.resolve(&case.acme, batch.commit_id).await, "`resolve`"),
            Resolved::Committed(case.ok(writer.commit(&case.acme, &batch).await, "a repeated commit")),
            "what the other instance says became of a commit"
        );
    }
}
