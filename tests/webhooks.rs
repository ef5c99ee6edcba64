//! Webhooks: the genuine ones converge in every order, all others change nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use paymux::sandbox::Shape;
use paymux::store::RowKind;
use paymux::{EndpointId, IntentStatus, Mode, Received, prelude::*};
use support::*;

#[tokio::test]
async fn a_genuine_webhook_brings_the_news() {
    for shape in [Shape::default(), Shape::default().authoritative_webhooks()] {
        let world = World::of(shape, &["main"]).await;
        let pending = world.pay("tok_pending_then_settled").await;
        let PaymentOutcome::Pending(intent) = pending else {
            panic!("{pending:?}")
        };
        world.sandbox.settle(&world.handle(&intent)).unwrap();
        assert!(world.deliver().await > 0);
        assert_eq!(world.reread(&intent).await.status(), IntentStatus::Succeeded);
    }
}

#[tokio::test]
async fn duplicates_and_any_order_converge() {
    for shape in [Shape::default(), Shape::default().authoritative_webhooks()] {
        let mut outcomes = Vec::new();
        for order in 0..3 {
            let world = World::of(shape.clone(), &["main"]).await;
            let intent = world.authorized().await;
            let part = CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
            let _ = world
                .payments
                .capture(&key("c"), intent.id(), part)
                .await
                .unwrap();
            let handle = world.handle(&intent);
            let _ = world.sandbox.dashboard_refund(&handle, money!("10 EUR")).unwrap();
            world.sandbox.lapse(&handle).unwrap();
            let mut posts = world.sandbox.webhooks();
            match order {
                0 => {}
                1 => posts.reverse(),
                _ => posts.rotate_left(1),
            }
            for post in posts.clone().into_iter().chain(posts) {
                assert!(world.post(post).await.response.status().is_success());
            }
            let now = world.reread(&intent).await;
            let totals = *now.totals();
            assert_eq!(
                (totals.authorized, totals.captured, totals.refunded),
                (6_000, 6_000, 1_000)
            );
            outcomes.push((now.status(), totals));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
    }
}

#[tokio::test]
async fn what_isn_t_genuine_changes_nothing_and_stores_nothing() {
    let world = World::of(Shape::default().authoritative_webhooks(), &["main"]).await;
    let intent = world.authorized().await;
    world.sandbox.webhooks();
    world.sandbox.lapse(&world.handle(&intent)).unwrap();
    let (headers, body) = world.sandbox.webhooks().remove(0);
    let before = world.mark();
    let mut altered = body.to_vec();
    altered.push(b' ');
    let posts = [
        world.sandbox.forge(body.clone()),
        (http::HeaderMap::new(), body.clone()),
        (headers.clone(), altered.into()),
        (headers.clone(), paymux::Bytes::new()),
        (headers.clone(), paymux::Bytes::from_static(b"not json")),
    ];
    for post in posts {
        let reply = world.post(post).await;
        assert_eq!(
            (reply.received, reply.response.status().as_u16()),
            (Received::Refused, 401)
        );
    }
    let large = paymux::Bytes::from(vec![b' '; (1 << 20) + 1]);
    let reply = world.post((headers.clone(), large)).await;
    assert_eq!(
        (reply.received, reply.response.status().as_u16()),
        (Received::Refused, 413)
    );
    let nowhere = EndpointId::named(Mode::Test, "nowhere");
    let reply = world
        .paymux
        .handle_webhook(&nowhere, &headers, body.clone())
        .await;
    assert_eq!(
        (reply.received, reply.response.status().as_u16()),
        (Received::Refused, 404)
    );
    world.clock.advance(10 * MINUTE);
    let stale = world.post((headers, body)).await;
    assert_eq!(
        (stale.received, stale.response.status().as_u16()),
        (Received::Refused, 401)
    );
    assert_eq!(world.mark(), before);
    assert!(world.rows(RowKind::Notice).await.is_empty());
    assert_eq!(world.reread(&intent).await.status(), IntentStatus::Authorized);
}

#[tokio::test]
async fn an_unknown_outcome_ends_by_a_webhook() {
    let world = World::of(Shape::bare(), &["main"]).await;
    let (intent, _) = unknown(world.pay("tok_charged_answer_lost").await);
    assert!(world.deliver().await > 0);
    let now = world.reread(&intent).await;
    assert_eq!(now.status(), IntentStatus::Succeeded);
    assert!(world.unknowns().await.is_empty());
    assert_eq!(world.posts(), 1);
}
