//! Several instances on one database.

use std::collections::BTreeSet;
use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{IdSource, SeededIds, Store, Timestamp};
use paymux_sql::{Engine, PostgresStore};

use crate::database::Database;
use crate::sample::Sample;

const TIME: Timestamp = Timestamp::from_secs(1_767_225_600);

async fn two(database: &Database, engine: Engine) -> [PostgresStore; 2] {
    let options = database.options().engine(engine).max_connections(8);
    [
        options.clone().open().await.unwrap(),
        options.open().await.unwrap(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_tasks_on_one_row_leave_no_gap() {
    const TASKS: u64 = 100;
    let Some(database) = Database::find().await else {
        return;
    };
    let stores = two(&database, Engine::Postgres).await;
    let sample = Sample::new(1);
    stores[0].commit(&sample.tenant, &sample.batch).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, sample) = (stores[(task % 2) as usize].clone(), sample.clone());
            tokio::spawn(async move {
                let ids = SeededIds::new(task + 1);
                for _ in 0..10 * TASKS {
                    let row = store.load(&sample.tenant, &[sample.key]).await.unwrap()[0]
                        .clone()
                        .unwrap();
                    let mut batch = Batch::new(CommitId(ids.uuid(TIME)));
                    batch
                        .preconditions
                        .push(Precondition::Version(sample.key, row.version));
                    let sequence = row.version + 2;
                    batch.puts.push(Row {
                        version: row.version + 1,
                        ..row
                    });
                    batch.events.push(StoredEvent {
                        id: ids.uuid(TIME),
                        sequence,
                        ..sample.batch.events[0].clone()
                    });
                    match store.commit(&sample.tenant, &batch).await {
                        Ok(_) => return,
                        Err(CommitError::Conflict(Refusal::Row(key))) => assert_eq!(key, sample.key),
                        Err(error) => panic!("{error:?}"),
                    }
                }
                panic!("never the first");
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for store in &stores {
        let row = store.load(&sample.tenant, &[sample.key]).await.unwrap()[0]
            .clone()
            .unwrap();
        assert_eq!(row.version, 1 + TASKS);
        let events = store.events(&sample.tenant, sample.key, 1, 1000).await.unwrap();
        let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
        assert_eq!(sequences, (1..=TASKS + 2).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_two_instances_never_claim_the_same_job() {
    const JOBS: usize = 200;
    let Some(database) = Database::find().await else {
        return;
    };
    for engine in [Engine::Postgres, Engine::Compatible] {
        let stores = two(&database, engine).await;
        let ids = SeededIds::new(1);
        let sample = Sample::new(1);
        let mut batch = Batch::new(CommitId(ids.uuid(TIME)));
        for _ in 0..JOBS {
            batch.jobs.push(JobWrite::Put {
                key: JobKey {
                    child: ids.uuid(TIME),
                    ..sample.job
                },
                due: Due::At(TIME.before(Duration::from_secs(1))),
            });
        }
        stores[0].commit(&sample.tenant, &batch).await.unwrap();
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let store = stores[worker % 2].clone();
                tokio::spawn(async move {
                    let request = ClaimRequest {
                        queue: Queue::Recovery,
                        limit: 7,
                        lease: Duration::from_secs(3600),
                    };
                    let mut mine = Vec::new();
                    let mut nothing = 0;
                    // One that met another's locks may get nothing, and asks again.
                    while nothing < 3 {
                        let claims = store.claim_due(&request).await.unwrap();
                        nothing = if claims.is_empty() { nothing + 1 } else { 0 };
                        mine.extend(claims);
                    }
                    mine
                })
            })
            .collect();
        let mut claimed = Vec::new();
        for worker in workers {
            claimed.extend(worker.await.unwrap());
        }
        let different: BTreeSet<_> = claimed.iter().map(|claim| claim.job).collect();
        assert_eq!((claimed.len(), different.len()), (JOBS, JOBS), "{engine:?}");
        assert!(claimed.iter().all(|claim| claim.epoch == 2));
    }
}

#[tokio::test]
async fn a_worker_whose_job_another_instance_took_is_fenced() {
    let Some(database) = Database::find().await else {
        return;
    };
    let [one, other] = two(&database, Engine::Postgres).await;
    let mut sample = Sample::new(1);
    sample.batch.jobs = vec![JobWrite::Put {
        key: sample.job,
        due: Due::At(TIME),
    }];
    one.commit(&sample.tenant, &sample.batch).await.unwrap();
    let request = ClaimRequest {
        queue: Queue::Recovery,
        limit: 1,
        lease: Duration::ZERO,
    };
    let first = one.claim_due(&request).await.unwrap();
    let second = other.claim_due(&request).await.unwrap();
    assert_eq!((first[0].epoch, second[0].epoch), (2, 3));
    let mut late = Batch::new(Sample::new(2).batch.commit_id);
    late.preconditions
        .push(Precondition::Epoch(sample.job, first[0].epoch));
    late.jobs.push(JobWrite::Done(sample.job));
    match one.commit(&sample.tenant, &late).await {
        Err(CommitError::Fenced(job)) => assert_eq!(job, sample.job),
        other => panic!("{other:?}"),
    }
    late.preconditions = vec![Precondition::Epoch(sample.job, second[0].epoch)];
    other.commit(&sample.tenant, &late).await.unwrap();
}

/// Uniques in opposite orders, rows in opposite orders, and a claim in between: whatever waits in a circle is run again.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_cross_each_other_all_end() {
    let Some(database) = Database::find().await else {
        return;
    };
    let stores = two(&database, Engine::Postgres).await;
    let tenant = Sample::new(1).tenant;
    let tasks: Vec<_> =
        (0..24_u32)
            .map(|task| {
                let (store, tenant) = (stores[(task % 2) as usize].clone(), tenant.clone());
                tokio::spawn(async move {
                    let mut batch = Sample::new(100 + task).batch;
                    let mut names: Vec<_> = (0..6).map(|name| format!("shared-{name}")).collect();
                    if task % 3 == 0 {
                        names.reverse();
                    }
                    let global = |name: &String| Unique {
                        key: UniqueKey::new(Scope::Provider, name.clone()),
                        target: None,
                        bytes: Default::default(),
                        expires_at: None,
                    };
                    batch
                        .uniques
                        .extend(names.iter().enumerate().map(|(index, name)| {
                            match (index as u32 + task) % 3 {
                                0 => UniqueWrite::Delete(global(name).key),
                                _ => UniqueWrite::Replace(global(name)),
                            }
                        }));
                    store.commit(&tenant, &batch).await.unwrap();
                })
            })
            .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_unique_is_replaced_by_its_owner_alone_whoever_comes_first() {
    let Some(database) = Database::find().await else {
        return;
    };
    let stores = two(&database, Engine::Postgres).await;
    for round in 0..20_u32 {
        let tasks: Vec<_> = ["acme", "other"]
            .into_iter()
            .enumerate()
            .map(|(nth, merchant)| {
                let store = stores[nth].clone();
                let tenant = paymux_core::Tenant::test(merchant).unwrap();
                let mut sample = Sample::new(1000 + 2 * round + nth as u32);
                sample.tenant = tenant;
                sample.batch.uniques = vec![UniqueWrite::Replace(Unique {
                    key: UniqueKey::new(Scope::Provider, format!("name-{round}")),
                    target: Some(sample.key),
                    bytes: Default::default(),
                    expires_at: None,
                })];
                tokio::spawn(async move {
                    let committed = store.commit(&sample.tenant, &sample.batch).await;
                    assert_eq!(sample.is_there(&store).await, committed.is_ok());
                    match committed {
                        Ok(_) => 1,
                        Err(CommitError::Conflict(Refusal::Unique(_))) => 0,
                        Err(error) => panic!("{error:?}"),
                    }
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += task.await.unwrap();
        }
        assert_eq!(won, 1, "round {round}");
    }
}

/// Commits the batches at once, one by each instance. Says how many were made; one that wasn't met the other's row.
async fn race(stores: &[PostgresStore; 2], pair: &[Sample; 2], batches: [Batch; 2]) -> usize {
    let tasks: Vec<_> = batches
        .into_iter()
        .enumerate()
        .map(|(nth, batch)| {
            let (store, tenant) = (stores[nth].clone(), pair[nth].tenant.clone());
            let other = pair[1 - nth].key;
            tokio::spawn(async move {
                match store.commit(&tenant, &batch).await {
                    Ok(_) => 1,
                    Err(CommitError::Conflict(Refusal::Row(key))) if key == other => 0,
                    Err(error) => panic!("{error:?}"),
                }
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += task.await.unwrap();
    }
    made
}

/// Each is decided on the absence of what the other one makes, and doesn't make that itself.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_batches_that_rule_each_other_out_at_most_one_is_made() {
    let Some(database) = Database::find().await else {
        return;
    };
    let stores = two(&database, Engine::Postgres).await;
    let mut made = 0;
    for round in 0..30_u32 {
        let pair = [Sample::new(5000 + 2 * round), Sample::new(5001 + 2 * round)];
        let batches = [0, 1].map(|nth| {
            let mut batch = pair[nth].batch.clone();
            batch.preconditions.push(Precondition::Absent(pair[1 - nth].key));
            batch
        });
        let won = race(&stores, &pair, batches).await;
        let rows = stores[0]
            .load(&pair[0].tenant, &[pair[0].key, pair[1].key])
            .await
            .unwrap();
        assert_eq!(rows.iter().flatten().count(), won, "round {round}");
        assert!(won < 2, "round {round}: both");
        made += won;
    }
    assert!(made > 0);
}

/// Each is decided on the version of the row that the other one changes, and doesn't change that itself.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_batches_that_outdate_each_other_one_is_made() {
    let Some(database) = Database::find().await else {
        return;
    };
    let stores = two(&database, Engine::Postgres).await;
    for round in 0..30_u32 {
        let pair = [Sample::new(5000 + 2 * round), Sample::new(5001 + 2 * round)];
        for sample in &pair {
            stores[0].commit(&sample.tenant, &sample.batch).await.unwrap();
        }
        let batches = [0, 1].map(|nth| {
            let mut batch = pair[nth].next(8000 + 2 * round + nth as u32);
            batch
                .preconditions
                .push(Precondition::Version(pair[1 - nth].key, 1));
            batch
        });
        assert_eq!(race(&stores, &pair, batches).await, 1, "round {round}");
    }
}
