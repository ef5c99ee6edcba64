//! Who is at a tenant's stored programs: puts, activates and rolls back while payments run, whoever dies over it.

use std::sync::Arc;

use paymux_core::routing::Program;
use paymux_core::{ErrorKind, Payments, Result};

use crate::rng::Rng;
use crate::schedule::{Owner, lock, promise};
use crate::script::Stream;
use crate::world::World;

/// Whoever picks a number below this picks one of one, two or three workers, each as likely as the others.
const WORKERS: u64 = 6;
/// How often one change is asked for again.
const TRIES: u32 = 6;

/// One change of a tenant's programs.
#[derive(Clone)]
enum Change {
    Put(Program),
    Activate(u64),
    RollBack,
}

/// Keeps a tenant's programs until the faults stop. `number` is of the stream that it decides by.
pub(crate) async fn keep(world: &Arc<World>, tenant: usize, number: u32) {
    let Some(stored) = &world.routing.stored else {
        return;
    };
    let pool = &stored.pools[tenant];
    let mut rng = world.decider.stream(Stream::Keeper(number));
    let mut newest = 0;
    world.time.sleep(rng.below(600_000)).await;
    while !world.is_calm() {
        let change = match rng.below(10) {
            _ if newest == 0 => Change::Put(rng.pick(pool).program.clone()),
            0..=3 => Change::Put(rng.pick(pool).program.clone()),
            4..=7 => Change::Activate(rng.within(1, newest)),
            _ => Change::RollBack,
        };
        let put = matches!(change, Change::Put(_));
        if let Some(version) = insist(world, tenant, &mut rng, change).await {
            newest = newest.max(version);
            // What is new is mostly wanted.
            if put && rng.chance(700) {
                let _ = insist(world, tenant, &mut rng, Change::Activate(version)).await;
            }
        }
        world.time.sleep(rng.within(30_000, 600_000)).await;
    }
}

/// Asks until there is an answer, wherever somebody is up: what the change came to, if to anything.
async fn insist(world: &Arc<World>, tenant: usize, rng: &mut Rng, change: Change) -> Option<u64> {
    for _ in 0..TRIES {
        if world.is_calm() {
            return None;
        }
        if let Some((worker, engine)) = world.some_worker(rng.below(WORKERS)) {
            let payments = engine.tenant(world.tenants[tenant].clone());
            let (giver, taker) = promise();
            let asked = change.clone();
            world.handle.spawn(Owner::Worker(worker), async move {
                giver.give(asked.ask(&payments).await);
            });
            let answer = taker.await;
            let word = match &answer {
                None => "died",
                Some(Ok(_)) => "ok",
                Some(Err(error)) => error.code(),
            };
            world
                .trace
                .fact(word.as_bytes(), || format!("m{tenant} {}: {word}", change.said()));
            match answer {
                Some(Ok(version)) => {
                    lock(&world.auditor).coverage.note("programs", change.word());
                    return Some(version);
                }
                // There is nothing to go back to, or no such version.
                Some(Err(error)) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound) => {
                    return None;
                }
                Some(Err(_)) | None => {}
            }
        }
        world.time.sleep(rng.within(500, 20_000)).await;
    }
    None
}

impl Change {
    async fn ask(self, payments: &Payments) -> Result<u64> {
        let programs = payments.programs();
        match self {
            Self::Put(program) => Ok(programs.put(&program).await?.version),
            Self::Activate(version) => programs.activate(version).await.map(|()| version),
            Self::RollBack => programs.roll_back().await,
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Put(program) => format!("puts {}", program.name()),
            Self::Activate(version) => format!("activates {version}"),
            Self::RollBack => "rolls back".to_owned(),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Activate(_) => "activated",
            Self::RollBack => "rolled back",
        }
    }
}
