//! Races: many callers at once, and each rule holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use paymux_core::store::*;
use paymux_core::{Store, Tenant};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::case::Case;
use super::make::{HOUR, PAST, intent, job, job_at, put, row, unique};

/// Waits for tasks, and passes on what they panicked with.
async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut done = Vec::new();
    for task in tasks {
        match task.await {
            Ok(value) => done.push(value),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    done
}

/// Whether the batch was committed; `None` says that the clause was broken.
async fn try_commit<S: Store>(store: &S, tenant: &Tenant, batch: &Batch) -> Result<bool, String> {
    match store.commit(tenant, batch).await {
        Ok(_) => Ok(true),
        Err(CommitError::Conflict(_)) => Ok(false),
        Err(error) => Err(format!("a race ended in {error:?}")),
    }
}

pub(super) async fn one_winner<S: Store>(case: &mut Case<'_, S>) {
    let key = intent(case.uuid());
    for version in 1..=5 {
        let tasks = (0..8)
            .map(|_| {
                let (store, tenant) = (Arc::clone(case.store()), case.acme.clone());
                let mut batch = case.batch();
                put(&mut batch, row(key, version));
                tokio::spawn(async move { try_commit(&store, &tenant, &batch).await })
            })
            .collect();
        let mut winners = 0;
        for won in join(tasks).await {
            match won {
                Ok(won) => winners += u32::from(won),
                Err(seen) => case.broken(&seen),
            }
        }
        check_eq!(case, winners, 1, "how many of 8 writers of version {version} won");
        check_eq!(
            case,
            case.load(key).await,
            Some(row(key, version)),
            "what the winner wrote"
        );
    }
}

/// The counter is the row's body: how much is reserved. Each task reserves 1 while less than the limit is reserved,
/// and tries again after a conflict, as the engine does.
pub(super) async fn a_limited_counter<S: Store>(case: &mut Case<'_, S>) {
    const LIMIT: u64 = 20;
    let key = intent(case.uuid());
    let counted = move |version: u64, reserved: u64| {
        let mut row = row(key, version);
        row.body = reserved.to_string().into();
        row
    };
    let mut batch = case.batch();
    put(&mut batch, counted(1, 0));
    case.commit(batch).await;
    let tasks = (0..100u128)
        .map(|task| {
            let (store, tenant) = (Arc::clone(case.store()), case.acme.clone());
            let base = case.uuid().as_u128();
            tokio::spawn(async move {
                // One of them wins each round, so none can lose more often than all can win.
                for attempt in 0..2 * u128::from(LIMIT) {
                    let Some(seen) = store
                        .load(&tenant, &[key])
                        .await
                        .ok()
                        .and_then(|mut rows| rows.pop()?)
                    else {
                        return Err("the row couldn't be loaded".to_owned());
                    };
                    let reserved: u64 = std::str::from_utf8(&seen.body)
                        .ok()
                        .and_then(|body| body.parse().ok())
                        .unwrap_or(u64::MAX);
                    if reserved >= LIMIT {
                        return Ok(0);
                    }
                    let id = Uuid::from_u128(base ^ (task << 32) ^ (attempt << 40));
                    let mut batch = Batch::new(CommitId(id));
                    put(&mut batch, counted(seen.version + 1, reserved + 1));
                    if try_commit(&store, &tenant, &batch).await? {
                        return Ok(1);
                    }
                }
                Err(format!("a task lost more often than {LIMIT} others could win"))
            })
        })
        .collect();
    let mut reserved = 0;
    for each in join(tasks).await {
        match each {
            Ok(one) => reserved += one,
            Err(seen) => case.broken(&seen),
        }
    }
    check_eq!(
        case,
        reserved,
        LIMIT,
        "how many of 100 tasks reserved one of {LIMIT}"
    );
    let last = case.load(key).await;
    check_eq!(
        case,
        last,
        Some(counted(LIMIT + 1, LIMIT)),
        "the counter after the race"
    );
}

pub(super) async fn one_insert<S: Store>(case: &mut Case<'_, S>) {
    for (scope, name) in [
        (Scope::Idempotency, "order-1"),
        (Scope::Provider, "stripe/eu/payment/pi_1"),
    ] {
        let tenants = if UniqueKey::new(scope, name).is_global() {
            [case.acme.clone(), case.other.clone()]
        } else {
            [case.acme.clone(), case.acme.clone()]
        };
        let tasks = (0..12)
            .map(|task| {
                let (store, tenant) = (Arc::clone(case.store()), tenants[task % 2].clone());
                let key = intent(case.uuid());
                let mut batch = case.batch();
                put(&mut batch, row(key, 1));
                batch
                    .uniques
                    .push(UniqueWrite::Insert(unique(scope, name, Some(key))));
                tokio::spawn(async move { (try_commit(&store, &tenant, &batch).await, tenant, key) })
            })
            .collect();
        let mut winners = Vec::new();
        for (won, tenant, key) in join(tasks).await {
            match won {
                Ok(true) => winners.push((tenant, key)),
                Ok(false) => {
                    let row = case.load_of(&tenant, key).await;
                    check_eq!(case, row, None, "a loser's row was written");
                }
                Err(seen) => case.broken(&seen),
            }
        }
        check_eq!(case, winners.len(), 1, "how many of 12 inserts of one unique won");
        let (tenant, key) = &winners[0];
        let unique = case.ok(
            case.store().lookup(tenant, &UniqueKey::new(scope, name)).await,
            "`lookup`",
        );
        check_eq!(
            case,
            unique.and_then(|unique| unique.target),
            Some(*key),
            "the winner's unique"
        );
    }
}

pub(super) async fn one_renewal<S: Store>(case: &mut Case<'_, S>) {
    for scope in [Scope::Idempotency, Scope::Provider] {
        let expired = Unique {
            expires_at: Some(PAST),
            ..unique(scope, "order-1", None)
        };
        let mut batch = case.batch();
        batch.uniques.push(UniqueWrite::Insert(expired.clone()));
        case.commit(batch).await;
        let tasks = (0..12)
            .map(|_| {
                let (store, tenant) = (Arc::clone(case.store()), case.acme.clone());
                let key = intent(case.uuid());
                let mut batch = case.batch();
                put(&mut batch, row(key, 1));
                batch.uniques.push(UniqueWrite::Renew {
                    unique: unique(scope, "order-1", Some(key)),
                    expired_by: PAST,
                });
                tokio::spawn(async move { (try_commit(&store, &tenant, &batch).await, key) })
            })
            .collect();
        let mut winners = Vec::new();
        for (won, key) in join(tasks).await {
            match won {
                Ok(true) => winners.push(key),
                Ok(false) => check_eq!(case, case.load(key).await, None, "a loser's row was written"),
                Err(seen) => case.broken(&seen),
            }
        }
        check_eq!(
            case,
            winners.len(),
            1,
            "how many of 12 who renewed one unique won"
        );
        let renewed = case.lookup(&expired.key).await;
        check_eq!(
            case,
            renewed.and_then(|unique| unique.target),
            Some(winners[0]),
            "the winner's unique"
        );
    }
}

pub(super) async fn one_claim<S: Store>(case: &mut Case<'_, S>) {
    const JOBS: usize = 40;
    let mut batch = case.batch();
    for _ in 0..JOBS {
        batch
            .jobs
            .push(job_at(job(Queue::Recovery, intent(case.uuid())), PAST));
    }
    case.commit(batch).await;
    let tasks = (0..6)
        .map(|_| {
            let store = Arc::clone(case.store());
            tokio::spawn(async move {
                let request = ClaimRequest {
                    queue: Queue::Recovery,
                    limit: 3,
                    lease: HOUR,
                };
                let mut mine = Vec::new();
                loop {
                    match store.claim_due(&request).await {
                        Ok(claims) if claims.is_empty() || mine.len() > JOBS => return Ok(mine),
                        Ok(claims) => mine.extend(claims),
                        Err(error) => return Err(format!("`claim_due` failed: {error:?}")),
                    }
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for mine in join(tasks).await {
        match mine {
            Ok(mine) => claimed.extend(mine),
            Err(seen) => case.broken(&seen),
        }
    }
    let different: BTreeSet<_> = claimed.iter().map(|claim| claim.job).collect();
    check_eq!(
        case,
        (claimed.len(), different.len()),
        (JOBS, JOBS),
        "how many claims 6 workers got of {JOBS} jobs, and of how many different ones"
    );
    check!(
        case,
        claimed.iter().all(|claim| claim.epoch == 2),
        "a job that was claimed once has another epoch than 2"
    );
}
