//! Jobs: due times, claims, epochs and leases.

use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Store, Timestamp};

use super::case::Case;
use super::make::{FUTURE, HOUR, PAST, intent, job, job_at, put, row};

pub(super) async fn claimed<S: Store>(case: &mut Case<'_, S>) {
    check!(
        case,
        case.claim(Queue::Sync, 10, HOUR).await.is_empty(),
        "a job was claimed where none is"
    );
    let due_at = |index: u64| PAST.after(Duration::from_millis(index));
    // Made in another order than they are due, over two tenants.
    let mut expected = Vec::new();
    for index in [3, 0, 4, 1, 2] {
        let tenant = if index % 2 == 0 { &case.acme } else { &case.other };
        let key = JobKey {
            child: case.uuid(),
            ..job(Queue::Sync, intent(case.uuid()))
        };
        let mut batch = case.batch();
        batch.jobs.push(job_at(key, due_at(index)));
        case.commit_of(tenant, batch).await;
        let claim = Claim {
            tenant: tenant.clone(),
            job: key,
            epoch: 2,
            age: Duration::ZERO,
        };
        expected.push((index, claim));
    }
    expected.sort_by_key(|(index, _)| *index);
    let expected: Vec<Claim> = expected.into_iter().map(|(_, claim)| claim).collect();
    let mut later = case.batch();
    later.jobs = vec![
        job_at(job(Queue::Sync, intent(case.uuid())), FUTURE),
        JobWrite::Put {
            key: job(Queue::Sync, intent(case.uuid())),
            due: Due::After(HOUR),
        },
        job_at(job(Queue::Due, intent(case.uuid())), PAST),
    ];
    case.commit(later).await;

    check!(
        case,
        case.claim(Queue::Sync, 0, HOUR).await.is_empty(),
        "a claim of at most 0 jobs gave one"
    );
    let first = case.claim(Queue::Sync, 2, HOUR).await;
    check_eq!(
        case,
        first,
        expected[..2],
        "the oldest two of five jobs over two tenants"
    );
    let rest = case.claim(Queue::Sync, 10, HOUR).await;
    check_eq!(case, rest, expected[2..], "the other three jobs");
    check!(
        case,
        case.claim(Queue::Sync, 10, HOUR).await.is_empty(),
        "a job was claimed that is leased, or isn't due yet"
    );
    let other_queue = case.claim(Queue::Due, 10, HOUR).await;
    check_eq!(case, other_queue.len(), 1, "the job of another queue");

    let mut now = case.batch();
    let key = job(Queue::Outbox, intent(case.uuid()));
    now.jobs.push(JobWrite::Put {
        key,
        due: Due::After(Duration::ZERO),
    });
    case.commit(now).await;
    let claims = case.claim(Queue::Outbox, 10, HOUR).await;
    check_eq!(case, claims.len(), 1, "a job that is due at once");
}

pub(super) async fn epochs<S: Store>(case: &mut Case<'_, S>) {
    let key = job(Queue::Recovery, intent(case.uuid()));
    epoch(case, key, None).await;
    for absent in [
        JobWrite::Done(key),
        JobWrite::Reschedule {
            key,
            due: Due::At(PAST),
        },
    ] {
        let mut batch = case.batch();
        batch.jobs.push(absent);
        case.commit(batch).await;
        epoch(case, key, None).await;
    }
    let write = async |write: JobWrite| {
        let mut batch = case.batch();
        batch.jobs.push(write);
        case.commit(batch).await;
    };

    write(job_at(key, PAST)).await;
    epoch(case, key, Some(1)).await;
    check_eq!(
        case,
        case.claim(Queue::Recovery, 10, HOUR).await.len(),
        1,
        "the job"
    );
    epoch(case, key, Some(2)).await;
    // A job that is put again, or moved, may be claimed at once, and keeps its epoch.
    write(job_at(key, PAST)).await;
    epoch(case, key, Some(2)).await;
    let claims = case.claim(Queue::Recovery, 10, HOUR).await;
    check_eq!(
        case,
        claims.first().map(|claim| claim.epoch),
        Some(3),
        "the epoch after a put"
    );
    write(JobWrite::Reschedule {
        key,
        due: Due::At(PAST),
    })
    .await;
    epoch(case, key, Some(3)).await;
    let claims = case.claim(Queue::Recovery, 10, HOUR).await;
    check_eq!(
        case,
        claims.first().map(|claim| claim.epoch),
        Some(4),
        "the epoch after a reschedule"
    );
    write(JobWrite::Reschedule {
        key,
        due: Due::At(FUTURE),
    })
    .await;
    check!(
        case,
        case.claim(Queue::Recovery, 10, HOUR).await.is_empty(),
        "a job was claimed that was moved to the future"
    );

    // A worker that was overtaken commits nothing.
    let stale = intent(case.uuid());
    let mut batch = case.batch();
    put(&mut batch, row(stale, 1));
    batch.preconditions.push(Precondition::Epoch(key, 3));
    batch.jobs.push(JobWrite::Done(key));
    let error = case.refused(&batch, "the worker's epoch is old").await;
    case.fenced(&error, key, "the worker's epoch is old");
    check_eq!(case, case.load(stale).await, None, "a fenced worker wrote a row");
    epoch(case, key, Some(4)).await;
    let mut batch = case.batch();
    batch.preconditions.push(Precondition::Epoch(key, 4));
    batch.jobs.push(JobWrite::Done(key));
    case.commit(batch).await;
    epoch(case, key, None).await;
    write(job_at(key, PAST)).await;
    epoch(case, key, Some(1)).await;
}

/// The job's epoch; without one, that there is no such job.
async fn epoch<S: Store>(case: &Case<'_, S>, key: JobKey, expected: Option<u64>) {
    for candidate in 0..=5 {
        let mut batch = case.batch();
        batch.preconditions.push(Precondition::Epoch(key, candidate));
        let holds = match case.store().commit(&case.acme, &batch).await {
            Ok(_) => true,
            Err(error) => {
                case.fenced(&error, key, "another epoch than the job's");
                false
            }
        };
        check_eq!(
            case,
            holds,
            expected == Some(candidate),
            "whether the precondition on epoch {candidate} holds (the job's is {expected:?})"
        );
    }
}

pub(super) async fn leases<S: Store>(case: &mut Case<'_, S>) {
    const LEASE: Duration = Duration::from_millis(40);
    let key = job(Queue::Expiry, intent(case.uuid()));
    let mut batch = case.batch();
    batch.jobs.push(job_at(key, PAST));
    case.commit(batch).await;
    let first = case.claim(Queue::Expiry, 10, LEASE).await;
    check_eq!(
        case,
        first.first().map(|claim| claim.epoch),
        Some(2),
        "the first claim's epoch"
    );
    if let Some(clock) = case.clock() {
        clock.advance(LEASE - Duration::from_millis(1));
        check!(
            case,
            case.claim(Queue::Expiry, 10, HOUR).await.is_empty(),
            "a job was claimed a millisecond before its lease ends"
        );
        clock.advance(Duration::from_millis(1));
    }
    let wait = if case.clock().is_some() {
        Duration::ZERO
    } else {
        LEASE
    };
    let again = case.claim_after(Queue::Expiry, wait).await;
    let expected = [Claim {
        tenant: case.acme.clone(),
        job: key,
        epoch: 3,
        age: Duration::ZERO,
    }];
    check_eq!(case, again, expected, "the claim after the lease has ended");

    let mut late = case.batch();
    late.preconditions.push(Precondition::Epoch(key, 2));
    late.jobs.push(JobWrite::Done(key));
    let error = case
        .refused(&late, "the lease has ended and another worker has taken over")
        .await;
    case.fenced(
        &error,
        key,
        "the lease has ended and another worker has taken over",
    );
}

/// Counted from the last put, whatever was claimed and moved meanwhile.
pub(super) async fn ages<S: Store>(case: &mut Case<'_, S>) {
    let key = job(Queue::Recovery, intent(case.uuid()));
    let put = |case: &mut Case<'_, S>| {
        let mut batch = case.batch();
        batch.jobs.push(job_at(key, PAST));
        batch
    };
    let batch = put(case);
    case.commit(batch).await;
    let mut before = Duration::ZERO;
    for _ in 0..3 {
        case.pass(PAUSE).await;
        let claims = case.claim_with_ages(Queue::Recovery, 10, HOUR).await;
        let age = claims.first().map(|claim| claim.age).unwrap_or_default();
        check!(
            case,
            age >= before + PAUSE && age < before + PAUSE + SLACK,
            "a job's age is {age:?}, {PAUSE:?} after it was {before:?}"
        );
        before = age;
        let mut moved = case.batch();
        moved.jobs.push(JobWrite::Reschedule {
            key,
            due: Due::At(PAST),
        });
        case.commit(moved).await;
    }
    let batch = put(case);
    case.commit(batch).await;
    case.pass(PAUSE).await;
    let claims = case.claim_with_ages(Queue::Recovery, 10, HOUR).await;
    let age = claims.first().map(|claim| claim.age).unwrap_or_default();
    check!(
        case,
        age >= PAUSE && age < PAUSE + SLACK && age < before,
        "a job's age is {age:?}, {PAUSE:?} after it was put anew"
    );
}

const PAUSE: Duration = Duration::from_millis(40);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(20);

pub(super) async fn backlog<S: Store>(case: &mut Case<'_, S>) {
    for queue in Queue::ALL {
        check_eq!(
            case,
            case.backlog(*queue).await,
            Backlog::default(),
            "an empty store's backlog"
        );
    }
    let oldest = Timestamp::from_millis(PAST.as_millis() - 5);
    for (tenant, dues) in [(&case.acme, [PAST, FUTURE]), (&case.other, [oldest, PAST])] {
        let mut batch = case.batch();
        for due in dues {
            batch
                .jobs
                .push(job_at(job(Queue::Sync, intent(case.uuid())), due));
        }
        batch
            .jobs
            .push(job_at(job(Queue::Due, intent(case.uuid())), FUTURE));
        for attention in Attention::ALL {
            let kind = *[RowKind::Intent, RowKind::Refund]
                .get(usize::from(*attention == Attention::Review))
                .unwrap_or(&RowKind::Intent);
            let mut made = row(RowKey::new(kind, case.uuid()), 1);
            made.index.attention = *attention;
            put(&mut batch, made);
        }
        case.commit_of(tenant, batch).await;
    }
    let attention = vec![(case.acme.clone(), 3), (case.other.clone(), 3)];
    let expected = Backlog {
        due: 3,
        scheduled: 4,
        oldest_due: Some(oldest),
        attention: attention.clone(),
    };
    check_eq!(case, case.backlog(Queue::Sync).await, expected, "the backlog");
    let expected = Backlog {
        due: 0,
        scheduled: 2,
        oldest_due: None,
        attention,
    };
    check_eq!(
        case,
        case.backlog(Queue::Due).await,
        expected,
        "the backlog of a queue with nothing due"
    );
    case.claim(Queue::Sync, 1, HOUR).await;
    let left = case.backlog(Queue::Sync).await;
    check_eq!(
        case,
        (left.due, left.scheduled, left.oldest_due),
        (2, 4, Some(PAST)),
        "the backlog after a claim"
    );
}

pub(super) async fn the_stores_clock<S: Store>(case: &mut Case<'_, S>) {
    let wait = Duration::from_millis(30);
    let (after, at) = (
        job(Queue::Due, intent(case.uuid())),
        job(Queue::Due, intent(case.uuid())),
    );
    let first = case.commit(case.batch()).await;
    let mut batch = case.batch();
    batch.jobs = vec![
        JobWrite::Put {
            key: after,
            due: Due::After(wait),
        },
        job_at(at, first.at.after(HOUR)),
    ];
    let receipt = case.commit(batch).await;
    check!(
        case,
        receipt.at >= first.at,
        "a later receipt has an earlier time"
    );
    if let Some(clock) = case.clock() {
        let now = paymux_core::Clock::now(clock);
        check_eq!(
            case,
            receipt.at,
            now,
            "the receipt's time by the clock that was injected"
        );
        clock.advance(wait - Duration::from_millis(1));
        check!(
            case,
            case.claim(Queue::Due, 10, HOUR).await.is_empty(),
            "a job was claimed a millisecond before it is due"
        );
        clock.advance(Duration::from_millis(1));
    }
    let left = if case.clock().is_some() {
        Duration::ZERO
    } else {
        wait
    };
    let claims = case.claim_after(Queue::Due, left).await;
    let jobs: Vec<_> = claims.iter().map(|claim| claim.job).collect();
    check_eq!(case, jobs, [after], "the job that is due after {wait:?}");
    if let Some(clock) = case.clock() {
        clock.jump_to(receipt.at.after(HOUR));
        let jobs: Vec<_> = case
            .claim(Queue::Due, 10, HOUR)
            .await
            .iter()
            .map(|claim| claim.job)
            .collect();
        check_eq!(case, jobs, [at], "the job that is due at a time");
    }
}
