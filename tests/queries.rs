//! Lists with cursors.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{
    Clock, Cursor, CustomerId, ErrorKind, IntentQuery, IntentStatus, Listing, Mode, NewSession,
    PaymentIntent, RefundQuery, RefundStatus, SessionQuery, SessionStatus, SubjectId, UnknownQuery,
    prelude::*,
};
use support::*;

#[tokio::test]
async fn pages_hold_everything_once_and_filters_hold() {
    let world = World::new().await;
    let mut expected = Vec::new();
    for nth in 0..5 {
        let new = NewIntent::payment(money!("1 EUR")).reference(format!("order-{nth}"));
        let made = world
            .payments
            .create_intent(&key(&nth.to_string()), new)
            .await
            .unwrap();
        expected.push(*made.outcome.id());
    }
    let paid = world.paid().await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let query = IntentQuery::new().status(IntentStatus::Created);
        let page = world.payments.intents(query).page(2, after).await.unwrap();
        seen.extend(page.items.iter().map(|intent| *intent.id()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, expected);
    let one = world
        .payments
        .intents(IntentQuery::new().reference("order-3"))
        .page(10, None)
        .await
        .unwrap();
    assert_eq!(one.items.len(), 1);
    let history = world
        .payments
        .history(paid.id())
        .page(100, None)
        .await
        .unwrap()
        .items;
    let sequence: Vec<_> = history.iter().map(|event| event.sequence).collect();
    assert_eq!(sequence, (1..=sequence.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_is_bound_to_its_tenant_and_list() {
    let world = World::new().await;
    for nth in 0..3 {
        let new = NewIntent::payment(money!("1 EUR"));
        let _ = world
            .payments
            .create_intent(&key(&nth.to_string()), new)
            .await
            .unwrap();
    }
    let next = world
        .payments
        .intents(IntentQuery::new())
        .page(1, None)
        .await
        .unwrap()
        .next;
    let other = world.paymux.tenant(Tenant::test("other").unwrap());
    assert!(
        other
            .intents(IntentQuery::new())
            .page(1, next.clone())
            .await
            .is_err()
    );
    assert!(
        world
            .payments
            .refunds(RefundQuery::new())
            .page(1, next.clone())
            .await
            .is_err()
    );
    let filtered = IntentQuery::new().status(IntentStatus::Failed);
    assert!(world.payments.intents(filtered).page(1, next).await.is_err());
    for limit in [0, 101] {
        let error = world
            .payments
            .intents(IntentQuery::new())
            .page(limit, None)
            .await
            .unwrap_err();
        assert_eq!(error.faults()[0].field, "limit");
    }
}

/// All of a list, page by page.
async fn pages<T: Send + 'static>(
    list: impl Fn() -> Listing<T>,
    limit: u16,
    mut between: impl AsyncFnMut(),
) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let page = list().page(limit, after).await.unwrap();
        assert!(page.items.len() <= usize::from(limit));
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return all;
        }
        between().await;
    }
    panic!("the list never ends");
}

/// All of a list, as a stream.
async fn streamed<T: Send + 'static>(list: Listing<T>) -> Vec<paymux::Result<T>> {
    let mut stream = pin!(list.stream());
    let mut all = Vec::new();
    while let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        all.push(item);
        assert!(all.len() <= 1_000, "the stream never ends");
    }
    all
}

async fn created(world: &World, nth: usize, new: NewIntent) -> PaymentIntent {
    let key = key(&format!("created-{nth}"));
    world.payments.create_intent(&key, new).await.unwrap().outcome
}

fn ids(intents: &[PaymentIntent]) -> Vec<PaymentIntentId> {
    intents.iter().map(|intent| *intent.id()).collect()
}

fn invalid<T>(result: paymux::Result<T>, field: &str) {
    let error = result.err().unwrap();
    assert_eq!(error.kind(), &ErrorKind::Invalid);
    assert_eq!(error.faults()[0].field, field);
}

#[tokio::test]
async fn a_stream_gives_all_in_the_order_of_the_pages_and_then_ends() {
    for world in World::each(Shape::default(), &["main"]).await {
        assert!(
            streamed(world.payments.intents(IntentQuery::new()))
                .await
                .is_empty()
        );
        let mut made = Vec::new();
        for nth in 0..203 {
            world.clock.advance(Duration::from_millis(1));
            made.push(created(&world, nth, NewIntent::payment(money!("1 EUR"))).await);
        }
        made.reverse();
        let listed: Vec<_> = streamed(world.payments.intents(IntentQuery::new())).await;
        let listed: Vec<_> = listed.into_iter().map(Result::unwrap).collect();
        assert_eq!(ids(&listed), ids(&made));
        let paged = pages(|| world.payments.intents(IntentQuery::new()), 100, async || {}).await;
        assert_eq!(ids(&paged), ids(&made));
        assert!(
            streamed(world.payments.refunds(RefundQuery::new()))
                .await
                .is_empty()
        );
    }
}

#[tokio::test]
async fn filters_narrow_alone_and_together() {
    for world in World::each(Shape::default(), &["main"]).await {
        let customer = CustomerId::from_uuid(Mode::Test, uuid::Uuid::from_u128(7));
        let stranger = CustomerId::from_uuid(Mode::Test, uuid::Uuid::from_u128(8));
        let start = world.clock.now();
        let mut made = Vec::new();
        for nth in 0..6 {
            let new = NewIntent::payment(money!("1 EUR")).reference(format!("order-{}", nth % 3));
            let new = if nth < 4 { new.customer(customer) } else { new };
            made.push(created(&world, nth, new).await);
            world.clock.advance(MINUTE);
        }
        let _ = world.payments.cancel(&key("x"), made[0].id()).await.unwrap();
        let k = key("p");
        let paid = world
            .payments
            .confirm(&k, made[1].id(), card("tok_approve"))
            .await
            .unwrap();
        assert!(matches!(paid.outcome, PaymentOutcome::Succeeded(_)));
        let at = |minutes: u32| start.after(minutes * MINUTE);
        let all = IntentQuery::new;
        let cases: [(IntentQuery, &[usize]); 11] = [
            (all(), &[5, 4, 3, 2, 1, 0]),
            (all().status(IntentStatus::Cancelled), &[0]),
            (
                all()
                    .status(IntentStatus::Cancelled)
                    .status(IntentStatus::Succeeded),
                &[1, 0],
            ),
            (all().status(IntentStatus::Failed), &[]),
            (all().customer(customer), &[3, 2, 1, 0]),
            (all().customer(stranger), &[]),
            (all().reference("order-1"), &[4, 1]),
            (all().reference("order"), &[]),
            (all().created(at(2), at(4)), &[3, 2]),
            (all().created(at(4), at(2)), &[]),
            (
                all()
                    .customer(customer)
                    .reference("order-0")
                    .status(IntentStatus::Created)
                    .created(at(1), at(9)),
                &[3],
            ),
        ];
        for (query, expected) in cases {
            let listed = pages(|| world.payments.intents(query.clone()), 2, async || {}).await;
            let expected: Vec<_> = expected.iter().map(|nth| *made[*nth].id()).collect();
            assert_eq!(ids(&listed), expected, "{query:?}");
        }
        let other = world.paymux.tenant(Tenant::test("other").unwrap());
        assert!(
            other
                .intents(all())
                .page(10, None)
                .await
                .unwrap()
                .items
                .is_empty()
        );
    }
}

#[tokio::test]
async fn refunds_and_sessions_are_listed_by_what_they_are_of() {
    for world in World::each(Shape::default(), &["main"]).await {
        let (one, two) = (world.paid().await, world.paid().await);
        let part = || NewRefund::part(money!("1 EUR"), RefundReason::GoodsReturned);
        for (nth, intent) in [&one, &two, &one].into_iter().enumerate() {
            world.clock.advance(MINUTE);
            let key = key(&format!("r{nth}"));
            let _ = world.payments.refund(&key, intent.id(), part()).await.unwrap();
        }
        let of = |intent: &PaymentIntent| RefundQuery::new().intent(*intent.id());
        for (query, many) in [
            (RefundQuery::new(), 3),
            (of(&one), 2),
            (of(&two), 1),
            (of(&one).status(RefundStatus::Succeeded), 2),
            (of(&one).status(RefundStatus::Failed), 0),
        ] {
            let listed = pages(|| world.payments.refunds(query.clone()), 1, async || {}).await;
            assert_eq!(listed.len(), many, "{query:?}");
        }
        let new = NewSession::payment(money!("1 EUR"));
        let session = world
            .payments
            .create_session(&key("s"), new.clone())
            .await
            .unwrap();
        let _ = world.payments.create_session(&key("t"), new).await.unwrap();
        let session = session.outcome;
        let paid = world
            .payments
            .submit(&key("p"), session.id(), card("tok_approve"))
            .await
            .unwrap();
        let paid = paid.outcome.intent().clone();
        let sessions = |status| world.payments.sessions(SessionQuery::new().status(status));
        for (status, many) in [
            (SessionStatus::Succeeded, 1),
            (SessionStatus::Pending, 1),
            (SessionStatus::Expired, 0),
        ] {
            assert_eq!(sessions(status).page(10, None).await.unwrap().items.len(), many);
        }
        let query = IntentQuery::new().session(*session.id());
        let listed = world.payments.intents(query).page(10, None).await.unwrap().items;
        assert_eq!(ids(&listed), [*paid.id()]);
    }
}

#[tokio::test]
async fn what_is_added_meanwhile_moves_nothing_that_is_still_to_be_read() {
    for world in World::each(Shape::default(), &["main"]).await {
        let mut made = Vec::new();
        for nth in 0..6 {
            world.clock.advance(MINUTE);
            made.push(created(&world, nth, NewIntent::payment(money!("1 EUR"))).await);
        }
        made.reverse();
        let mut nth = 100;
        let listed = pages(
            || world.payments.intents(IntentQuery::new()),
            2,
            async || {
                nth += 1;
                world.clock.advance(MINUTE);
                let _ = created(&world, nth, NewIntent::payment(money!("2 EUR"))).await;
                // What is changed keeps its place.
                let _ = world
                    .payments
                    .cancel(&key(&format!("x{nth}")), made[5].id())
                    .await;
            },
        )
        .await;
        assert_eq!(ids(&listed), ids(&made));
    }
}

#[tokio::test]
async fn what_needs_attention_is_listed_while_it_does_and_in_the_order_of_its_age() {
    for world in World::each(Shape::bare(), &["main"]).await {
        let mut doubtful = Vec::new();
        for _ in 0..4 {
            world.clock.advance(MINUTE);
            world.fault(Call::Authorize, FaultKind::DropRequest);
            doubtful.push(*unknown(world.pay("tok_approve").await).0.id());
            let _ = world.paid().await;
        }
        let seen = world.unknowns().await;
        let listed: Vec<_> = seen.iter().map(|unknown| unknown.subject()).collect();
        let expected: Vec<_> = doubtful.iter().copied().map(SubjectId::Payment).collect();
        assert_eq!(listed, expected);
        let ada = world.payments.operator(Actor::person("ada"));
        let note = Evidence::note("not in the dashboard");
        let _ = ada
            .settle_by_hand(&seen[1], Verdict::NotExecuted, note)
            .await
            .unwrap();
        let left: Vec<_> = world
            .unknowns()
            .await
            .iter()
            .map(|unknown| unknown.subject())
            .collect();
        assert_eq!(left, [expected[0], expected[2], expected[3]]);
        let streamed = streamed(ada.unknowns(UnknownQuery::new())).await;
        let streamed: Vec<_> = streamed.into_iter().map(|item| item.unwrap().subject()).collect();
        assert_eq!(streamed, left);
    }
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused_by_every_list() {
    for world in World::each(Shape::default(), &["main"]).await {
        let paid = world.paid().await;
        let payments = &world.payments;
        let genuine = {
            let page = payments.history(paid.id()).page(1, None).await.unwrap();
            serde_json::to_value(page.next.unwrap()).unwrap()
        };
        let genuine = genuine.as_str().unwrap().to_owned();
        let long = "a".repeat(10_000);
        let longer = format!("{genuine}a");
        for text in [
            "",
            " ",
            "garbage",
            "ärger",
            "refunds:garbage",
            "payments:",
            ":",
            "\u{0}",
            &long,
            &longer,
            &genuine[1..],
        ] {
            let cursor = || Some(serde_json::from_value::<Cursor>(text.into()).unwrap());
            invalid(
                payments.intents(IntentQuery::new()).page(1, cursor()).await,
                "after",
            );
            invalid(
                payments.refunds(RefundQuery::new()).page(1, cursor()).await,
                "after",
            );
            invalid(
                payments.sessions(SessionQuery::new()).page(1, cursor()).await,
                "after",
            );
            invalid(payments.history(paid.id()).page(1, cursor()).await, "after");
            let ada = payments.operator(Actor::person("ada"));
            invalid(ada.unknowns(UnknownQuery::new()).page(1, cursor()).await, "after");
        }
    }
}

#[tokio::test]
async fn a_history_is_read_in_pages_and_its_cursor_is_its_own() {
    for world in World::each(Shape::default(), &["main"]).await {
        let (paid, other) = (world.paid().await, world.paid().await);
        let payments = &world.payments;
        let whole = payments.history(paid.id()).page(100, None).await.unwrap();
        assert!(whole.next.is_none() && whole.items.len() > 3);
        for limit in [1, 2, 3] {
            let paged = pages(|| payments.history(paid.id()), limit, async || {}).await;
            assert_eq!(paged, whole.items);
        }
        let streamed = streamed(payments.history(paid.id())).await;
        let streamed: Vec<_> = streamed.into_iter().map(Result::unwrap).collect();
        assert_eq!(streamed, whole.items);
        let next = payments.history(paid.id()).page(1, None).await.unwrap().next;
        invalid(payments.history(other.id()).page(1, next.clone()).await, "after");
        let stranger = world.paymux.tenant(Tenant::test("other").unwrap());
        invalid(stranger.history(paid.id()).page(1, next.clone()).await, "after");
        assert!(
            stranger
                .history(paid.id())
                .page(10, None)
                .await
                .unwrap()
                .items
                .is_empty()
        );
        // What happens later is where the cursor goes on.
        let refund = NewRefund::part(money!("1 EUR"), RefundReason::GoodsReturned);
        let _ = payments.refund(&key("r"), paid.id(), refund).await.unwrap();
        let rest = payments.history(paid.id()).page(100, next).await.unwrap().items;
        assert_eq!(rest[0].sequence, 2);
        assert!(rest.iter().any(|event| event.kind == "refund.reserved"));
    }
}
