//! Who carries the processor's posts to an endpoint: late, early, twice, out of order; and who forges some.

use std::sync::Arc;

use bytes::Bytes;
use paymux_core::{Received, Timestamp};

use crate::auditor::number_of;
use crate::connector::SIGNED;
use crate::faults::{Fault, WORLD};
use crate::ports::EPOCH_MS;
use crate::schedule::{Owner, lock, promise};
use crate::wire::Posted;
use crate::world::World;

/// Carries one post until it is taken.
pub(crate) async fn carry(world: &Arc<World>, account: usize, posted: Posted) {
    let order = {
        let bank = lock(&world.bank);
        let known = posted
            .reference
            .as_deref()
            .and_then(|reference| bank.by_reference(reference));
        let auditor = lock(&world.auditor);
        let refund = || {
            auditor
                .order_of_reference(posted.reference.as_deref()?)
                .map(str::to_owned)
        };
        known.map(|payment| payment.order.clone()).or_else(refund)
    };
    let number = order.as_deref().map_or(WORLD, number_of);
    let shape = &world.shapes[account];
    let mut rates = vec![
        (400, Fault::PostDuplicated),
        (300, Fault::PostDelayed),
        (1500, Fault::PostEarly),
        (100, Fault::PostForged),
        (60, Fault::PostStale),
        (60, Fault::PostForeign),
        (60, Fault::PostMalformed),
    ];
    if shape.read || shape.look_up {
        rates.push((200, Fault::PostLost));
    }
    let fault = world.faults.draw(number, &rates);
    let body = Bytes::from(serde_json::to_vec(&posted).unwrap_or_default());
    let within = |low, high| world.faults.within(number, low, high);
    match fault {
        Some(Fault::PostEarly) => {}
        Some(Fault::PostDelayed) => world.time.sleep(within(60_000, 7_200_000)).await,
        Some(_) | None => world.time.sleep(100 + within(0, 3_000)).await,
    }
    match fault {
        Some(Fault::PostLost) => {
            if let Some(order) = order {
                lock(&world.auditor).dossier(&order).deaf = true;
            }
            return;
        }
        Some(Fault::PostDuplicated) => {
            let (again, other) = (body.clone(), world.clone());
            let delay = within(0, 20_000);
            world.handle.spawn(Owner::World, async move {
                other.time.sleep(delay).await;
                deliver(&other, account, account, again, 0).await;
            });
        }
        Some(Fault::PostForged) => {
            let lie = Posted {
                event: Some("forged".to_owned()),
                ..posted
            };
            let lie = serde_json::to_vec(&lie).unwrap_or_default();
            expect_refusal(
                world,
                "forged",
                deliver(world, account, usize::MAX, lie.into(), 0).await,
            );
        }
        Some(Fault::PostStale) => {
            expect_refusal(
                world,
                "stale",
                deliver(world, account, account, body.clone(), -1_000_000).await,
            );
        }
        Some(Fault::PostMalformed) => {
            let cut = body.slice(..body.len() / 2);
            expect_refusal(world, "malformed", deliver(world, account, account, cut, 0).await);
        }
        Some(Fault::PostForeign) => {
            // A merchant signs, at its own endpoint, what is about another merchant's account.
            let stranger = (0..world.shapes.len()).find(|other| {
                let owner = world.owners[*other];
                owner.is_some() && owner != world.owners[account] && world.shapes[*other].webhooks.is_some()
            });
            if let Some(stranger) = stranger {
                expect_refusal(
                    world,
                    "foreign",
                    deliver(world, stranger, stranger, body.clone(), 0).await,
                );
            }
        }
        Some(_) | None => {}
    }
    let mut pause = 10_000;
    for _ in 0..20 {
        if let Some(Received::Accepted { .. }) = deliver(world, account, account, body.clone(), 0).await {
            return;
        }
        world.time.sleep(pause).await;
        pause = (pause * 2).min(3_600_000);
    }
    if let Some(order) = order {
        lock(&world.auditor).dossier(&order).deaf = true;
    }
}

fn expect_refusal(world: &World, what: &str, received: Option<Received>) {
    if let Some(Received::Accepted { .. }) = received {
        lock(&world.auditor).raise(25, format!("a {what} webhook was taken"));
    }
}

/// Posts to the endpoint of `account`, signed by `signer`. `None`: whoever took it died over it.
async fn deliver(
    world: &Arc<World>,
    account: usize,
    signer: usize,
    body: Bytes,
    off_ms: i64,
) -> Option<Received> {
    let number = world.faults.within(WORLD, 0, 1 << 20);
    let (worker, engine) = world.some_worker(number)?;
    let now = Timestamp::from_millis(EPOCH_MS + world.time.now() as i64 + off_ms);
    let headers = SIGNED.sign(&body, &World::secret(signer), now);
    let (giver, taker) = promise();
    world.handle.spawn(Owner::Worker(worker), async move {
        let reply = engine
            .handle_webhook(&World::endpoint(account), &headers, body)
            .await;
        giver.give(reply.received);
    });
    let received = taker.await;
    world
        .trace
        .fact(b"webhook", || format!("webhook at a{account}: {received:?}"));
    received
}
