//! Tenants: nothing of one is seen or touched by another.

use bytes::Bytes;
use paymux_core::store::*;
use paymux_core::{Store, Tenant};

use super::case::Case;
use super::make::{FUTURE, HOUR, PAST, event, intent, job, job_at, put, row, unique};

pub(super) async fn never_meet<S: Store>(case: &mut Case<'_, S>) {
    let live = case.ok(Tenant::live(case.acme.merchant()), "a tenant");
    let prefix = case.ok(Tenant::test("acm"), "a tenant");
    let upper = case.ok(Tenant::test("ACME"), "a tenant");
    for stranger in [case.other.clone(), live, prefix, upper] {
        apart(case, &stranger).await;
    }
}

async fn apart<S: Store>(case: &Case<'_, S>, stranger: &Tenant) {
    let key = intent(case.uuid());
    let work = job(Queue::Recovery, key);
    let name = format!("of {key:?}");
    let ours = unique(Scope::Idempotency, &name, Some(key));
    let mut batch = case.batch();
    let mut made = row(key, 1);
    made.index.customer = Some(name.clone());
    put(&mut batch, made.clone());
    batch.uniques.push(UniqueWrite::Insert(ours.clone()));
    batch.events.push(event(case.uuid(), key, 1));
    batch.jobs.push(job_at(work, FUTURE));
    let receipt = case.commit(batch.clone()).await;
    let store = case.store();

    let loaded = case.ok(store.load(stranger, &[key]).await, "`load`");
    check_eq!(case, loaded, [None], "{stranger} loaded a row of {}", case.acme);
    let looked_up = case.ok(store.lookup(stranger, &ours.key).await, "`lookup`");
    check_eq!(
        case,
        looked_up,
        None,
        "{stranger} looked up a unique of {}",
        case.acme
    );
    let mut query = Query::of(key.kind);
    query.customer = Some(name);
    let found = case.ok(store.find(stranger, &query).await, "`find`");
    check!(case, found.is_empty(), "{stranger} found a row of {}", case.acme);
    let events = case.ok(store.events(stranger, key, 1, 10).await, "`events`");
    check!(
        case,
        events.is_empty(),
        "{stranger} read an event of {}",
        case.acme
    );

    // Preconditions, jobs and uniques are a tenant's own.
    let mut fenced = case.batch();
    fenced.preconditions.push(Precondition::Epoch(work, 1));
    let error = case
        .refused_of(stranger, &fenced, "the job is another tenant's")
        .await;
    case.fenced(&error, work, "the job is another tenant's");
    let mut missing = case.batch();
    missing.preconditions.push(Precondition::Version(key, 1));
    let error = case
        .refused_of(stranger, &missing, "the row is another tenant's")
        .await;
    case.conflict(&error, &Refusal::Row(key), "the row is another tenant's");
    for write in [
        JobWrite::Reschedule {
            key: work,
            due: Due::At(PAST),
        },
        JobWrite::Done(work),
    ] {
        let mut touch = case.batch();
        touch.jobs.push(write);
        touch.uniques.push(UniqueWrite::Delete(ours.key.clone()));
        case.commit_of(stranger, touch).await;
    }

    // The same names, also of the commit, are things of their own.
    let resolved = case.ok(store.resolve(stranger, batch.commit_id).await, "`resolve`");
    check_eq!(
        case,
        resolved,
        Resolved::Absent,
        "{stranger} resolved a commit of {}",
        case.acme
    );
    let mut theirs = batch.clone();
    theirs.commit_id = CommitId(case.uuid());
    theirs.puts[0].body = Bytes::from_static(b"theirs");
    theirs.jobs = vec![job_at(work, PAST)];
    case.commit_of(stranger, theirs).await;
    let mut same_id = Batch::new(CommitId(case.uuid()));
    case.commit(same_id.clone()).await;
    let second = intent(case.uuid());
    put(&mut same_id, row(second, 1));
    case.commit_of(stranger, same_id).await;
    check!(
        case,
        case.load_of(stranger, second).await.is_some(),
        "a batch of {stranger} wasn't written, since {} has used its commit id",
        case.acme
    );

    let claims = case.claim(Queue::Recovery, 10, HOUR).await;
    let expected = [Claim {
        tenant: stranger.clone(),
        job: work,
        epoch: 2,
        age: std::time::Duration::ZERO,
    }];
    check_eq!(
        case,
        claims,
        expected,
        "whose job is claimed where two have one of the same name"
    );
    let mut done = case.batch();
    done.jobs.push(JobWrite::Done(work));
    done.preconditions.push(Precondition::Epoch(work, 2));
    case.commit_of(stranger, done).await;

    check_eq!(
        case,
        case.load(key).await,
        Some(made),
        "{stranger} changed a row of {}",
        case.acme
    );
    check_eq!(
        case,
        case.lookup(&ours.key).await,
        Some(ours),
        "{stranger} changed a unique of {}",
        case.acme
    );
    check_eq!(
        case,
        case.events(key, 1, 10).await,
        batch.events,
        "{stranger} changed events of {}",
        case.acme
    );
    check_eq!(
        case,
        case.resolve(batch.commit_id).await,
        Resolved::Committed(receipt),
        "{stranger} changed what became of a commit of {}",
        case.acme
    );
    let mut done = case.batch();
    done.preconditions.push(Precondition::Epoch(work, 1));
    done.jobs.push(JobWrite::Done(work));
    case.commit(done).await;
}
