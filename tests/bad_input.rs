//! What can't be is refused by a typed error that names the field and the remedy; nothing is sent, nothing written.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use paymux::connector::Ability;
use paymux::routing::{Plan, RouteFacts, Router};
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::store::*;
use paymux::{
    AccountRef, Clock, ConnectorId, Error, ErrorKind, IntentStatus, IntentUpdate, Mode, NewSession, Policy,
    RefundId, Retry, SessionId, SqliteOptions, SqliteStore, Volatile, prelude::*,
};
use support::*;

/// The error names this field, with a remedy, and tells the caller to change something.
#[track_caller]
fn faulty(error: &Error, field: &str) {
    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
    assert_eq!(error.http_status(), 400);
    assert_eq!(error.retry(), Retry::AfterChange);
    let fault = error.faults().iter().find(|fault| fault.field == field);
    let fault = fault.unwrap_or_else(|| panic!("no fault of `{field}`: {error}"));
    assert!(!fault.problem.is_empty() && !fault.remedy.is_empty());
    assert!(
        error.to_string().contains(&fault.remedy),
        "the message names the remedy: {error}"
    );
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

#[tokio::test]
async fn a_bad_new_payment_is_refused_by_every_verb_that_makes_one() {
    let many = |n: usize| {
        (0..n)
            .map(|i| (format!("k{i}"), "v".to_owned()))
            .collect::<Vec<_>>()
    };
    let with = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let good = || NewIntent::payment(eur(100));
    let bad = [
        ("amount", NewIntent::payment(eur(0))),
        ("amount", NewIntent::payment(eur(-1))),
        ("amount", NewIntent::payment(eur(i64::MIN))),
        ("amount", NewIntent::payment(eur(1_000_000_000_000))),
        ("amount", NewIntent::payment(eur(i64::MAX))),
        ("metadata", good().metadata(many(51))),
        ("metadata", good().metadata(with("", "v"))),
        ("metadata", good().metadata(with(&"k".repeat(41), "v"))),
        ("metadata.k", good().metadata(with("k", &"v".repeat(501)))),
        ("return_url", good().return_url("http://shop.example/back")),
        ("return_url", good().return_url("javascript:alert(1)")),
        ("merchant_reference", good().reference("")),
        ("merchant_reference", good().reference("r".repeat(65))),
        ("statement_descriptor", good().statement_descriptor("line\nbreak")),
        ("expires_at", good().expires_at(paymux::Timestamp::from_millis(0))),
    ];
    let world = World::new().await;
    let before = world.mark();
    for (field, new) in bad {
        let payments = &world.payments;
        let k = key("k");
        faulty(&payments.create_intent(&k, new.clone()).await.unwrap_err(), field);
        faulty(
            &payments
                .create_and_confirm(&k, new.clone(), card("tok_approve"))
                .await
                .unwrap_err(),
            field,
        );
        faulty(
            &payments.plan_create_intent(&k, new.clone()).await.unwrap_err(),
            field,
        );
        let session = NewSession::payment(eur(100)).with(|_| new.clone());
        faulty(&payments.check_session(&session).await.unwrap_err(), field);
        faulty(&payments.create_session(&k, session).await.unwrap_err(), field);
    }
    assert_eq!(world.mark(), before);
    // At the limits themselves all is well.
    let limits = good()
        .metadata(many(49))
        .metadata(with(&"k".repeat(40), &"v".repeat(500)))
        .reference("r".repeat(64));
    assert!(world.payments.create_intent(&key("fits"), limits).await.is_ok());
    let most = NewIntent::payment(eur(999_999_999_999));
    assert!(world.payments.create_intent(&key("most"), most).await.is_ok());
}

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let world = World::new().await;
    let new = NewIntent::payment(eur(0)).reference("").return_url("ftp://x");
    let error = world.payments.create_intent(&key("k"), new).await.unwrap_err();
    for field in ["amount", "merchant_reference", "return_url"] {
        faulty(&error, field);
    }
}

#[tokio::test]
async fn the_cap_is_the_policy_s() {
    let world = World::built(Shape::default(), &["main"], |builder| {
        builder.policy(Policy::new().cap_minor(10_000))
    })
    .await;
    let pay = async |minor| {
        let new = NewIntent::payment(eur(minor)).capture(CaptureMethod::Manual);
        world
            .payments
            .create_and_confirm(&key(&format!("{minor}")), new, card("tok_approve"))
            .await
    };
    faulty(&pay(10_001).await.unwrap_err(), "amount");
    let held = pay(10_000).await.unwrap().outcome;
    let before = world.mark();
    let error = world
        .payments
        .increment(&key("i"), held.intent().id(), eur(1))
        .await
        .unwrap_err();
    faulty(&error, "by");
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_currency_may_have_a_cap_of_its_own() {
    let world = World::built(Shape::default(), &["main"], |builder| {
        let policy = Policy::new().cap_minor(10_000).cap(money!("500 EUR"));
        builder.policy(policy.cap(money!("1 GBP")))
    })
    .await;
    let make = async |name: &str, amount| {
        let new = NewIntent::payment(amount);
        world.payments.create_intent(&key(name), new).await
    };
    assert!(make("a", money!("500 EUR")).await.is_ok());
    assert!(make("b", money!("1 GBP")).await.is_ok());
    assert!(make("c", money!("100 USD")).await.is_ok());
    for (name, amount) in [
        ("d", money!("500.01 EUR")),
        ("e", money!("1.01 GBP")),
        ("f", money!("100.01 USD")),
    ] {
        faulty(&make(name, amount).await.unwrap_err(), "amount");
    }
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_builds_nothing_and_every_bad_choice_is_named() {
    let build = async |policy| {
        let (runtime, _) = Runtime::test(7);
        let sandbox = paymux::sandbox::Sandbox::seeded(7);
        let accounts = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
        let built = paymux::Orchestrator::builder(MemoryStore::new(), accounts, runtime).policy(policy);
        built.build().await
    };
    let none = std::time::Duration::ZERO;
    let wrong = Policy::new().cap_minor(0).call_timeout(none).max_attempts(0);
    let wrong = wrong.cap(Money::from_minor(1_000_000_000_000, Currency::EUR));
    let wrong = wrong.recheck(2 * HOUR).sync_every(none).idle(none);
    let error = build(wrong).await.unwrap_err();
    for field in [
        "policy.cap_minor",
        "policy.cap",
        "policy.call_timeout",
        "policy.max_attempts",
        "policy.recheck",
        "policy.sync_every",
        "policy.idle",
    ] {
        faulty(&error, field);
    }
    for wrong in [Policy::new().cap_minor(-1), Policy::new().cap_minor(i64::MAX)] {
        faulty(&build(wrong).await.unwrap_err(), "policy.cap_minor");
    }
    assert!(
        build(Policy::new().cap_minor(999_999_999_999).recheck(HOUR))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_scheduled_payment_may_not_expire_before_its_day() {
    let world = World::new().await;
    let now = world.clock.now();
    for end in [now.after(HOUR), now.after(DAY)] {
        let new = NewIntent::payment(eur(100))
            .scheduled_for(now.after(DAY))
            .expires_at(end);
        let made = world.payments.schedule(&key("k"), new, card("tok_approve")).await;
        faulty(&made.unwrap_err(), "expires_at");
    }
}

#[test]
fn money_is_read_exactly_or_not_at_all() {
    for bad in [
        "",
        "49.99",
        "EUR",
        "49.999 EUR",
        "49.99 XXQ",
        "49.99 eu",
        "1.5 JPY",
        "9e9 EUR",
        "NaN EUR",
    ] {
        let error = bad.parse::<Money>().unwrap_err();
        faulty(&Error::from(error), "amount");
    }
    assert_eq!("49.99 EUR".parse::<Money>().unwrap(), eur(4_999));
    assert!("ZZZ".parse::<Currency>().is_err());
}

#[tokio::test]
async fn an_unknown_identifier_and_another_tenant_s_read_alike() {
    let world = World::new().await;
    let mine = world.authorized().await;
    let part = CaptureAmount::Part(money!("10 EUR"), Rest::Keep);
    let _ = world.payments.capture(&key("c"), mine.id(), part).await.unwrap();
    let refund = NewRefund::part(money!("1 EUR"), RefundReason::GoodsReturned);
    let refund = *world
        .payments
        .refund(&key("r"), mine.id(), refund)
        .await
        .unwrap()
        .outcome
        .refund()
        .id();
    let session = NewSession::payment(money!("1 EUR"));
    let session = *world
        .payments
        .create_session(&key("s"), session)
        .await
        .unwrap()
        .outcome
        .id();

    let other = world.paymux.tenant(Tenant::test("other").unwrap());
    let live = world.paymux.tenant(Tenant::live("acme").unwrap());
    let nobody = uuid::Uuid::from_u128(7);
    let before = world.mark();
    for stranger in [&other, &live] {
        let there = errors(stranger, mine.id(), &refund, &session).await;
        let (no_pi, no_re, no_cs) = (
            PaymentIntentId::from_uuid(Mode::Test, nobody),
            RefundId::from_uuid(Mode::Test, nobody),
            SessionId::from_uuid(Mode::Test, nobody),
        );
        let nowhere = errors(stranger, &no_pi, &no_re, &no_cs).await;
        for (there, nowhere) in there.iter().zip(&nowhere) {
            assert_eq!(there.kind(), &ErrorKind::NotFound, "{there}");
            assert_eq!(there.http_status(), 404);
            assert_eq!(there.to_string(), nowhere.to_string());
            assert_eq!(format!("{there:?}"), format!("{nowhere:?}"));
            assert_eq!(
                serde_json::to_string(&there.public()).unwrap(),
                serde_json::to_string(&nowhere.public()).unwrap()
            );
        }
        assert!(
            stranger
                .intents(paymux::IntentQuery::new())
                .page(10, None)
                .await
                .unwrap()
                .items
                .is_empty()
        );
        let history = stranger.history(mine.id()).page(10, None).await;
        assert!(history.is_err() || history.unwrap().items.is_empty());
    }
    assert_eq!(world.mark(), before);
}

async fn errors(
    payments: &Payments,
    id: &PaymentIntentId,
    refund: &RefundId,
    session: &SessionId,
) -> Vec<Error> {
    let k = key("k");
    let who = payments.operator(Actor::person("ada"));
    let why = || RefundReason::GoodsReturned;
    let approve = paymux::ReviewVerdict::Approve;
    let all = [
        payments.intent(id).await.err(),
        payments.sync(id).await.err(),
        payments.confirm(&k, id, card("tok_approve")).await.err(),
        payments.complete(id, paymux::ReturnPayload::none()).await.err(),
        payments.capture(&k, id, CaptureAmount::Remaining).await.err(),
        payments.increment(&k, id, money!("1 EUR")).await.err(),
        payments.void(&k, id).await.err(),
        payments.release(&k, id).await.err(),
        payments.cancel(&k, id).await.err(),
        payments.refund(&k, id, NewRefund::available(why())).await.err(),
        payments.reverse(&k, id, why()).await.err(),
        payments.next_action(id).await.err(),
        payments.outcome_of(id).await.err(),
        payments.refund_by_id(refund).await.err(),
        payments.session(session).await.err(),
        payments.submit(&k, session, card("tok_approve")).await.err(),
        payments.step_back(session).await.err(),
        payments.cancel_session(session).await.err(),
        who.review(id, approve, Evidence::note("x")).await.err(),
    ];
    all.into_iter().map(Option::unwrap).collect()
}

#[tokio::test]
async fn more_than_there_is_can_t_be_captured_refunded_or_raised() {
    let world = World::new().await;
    let (payments, held) = (&world.payments, world.authorized().await);
    let id = held.id();
    let part = CaptureAmount::Part(money!("60 EUR"), Rest::Keep);
    let _ = payments.capture(&key("c"), id, part).await.unwrap();
    let before = world.mark();
    let k = key("k");
    for amount in [
        money!("40.01 EUR"),
        money!("0 EUR"),
        money!("-1 EUR"),
        eur(i64::MAX),
        eur(i64::MIN),
    ] {
        let part = CaptureAmount::Part(amount, Rest::Release);
        faulty(&payments.capture(&k, id, part).await.unwrap_err(), "amount");
    }
    for amount in [
        money!("60.01 EUR"),
        money!("0 EUR"),
        money!("-1 EUR"),
        eur(i64::MAX),
        eur(i64::MIN),
    ] {
        let part = NewRefund::part(amount, RefundReason::GoodsReturned);
        faulty(&payments.refund(&k, id, part).await.unwrap_err(), "amount");
    }
    for amount in [money!("0 EUR"), money!("-1 EUR"), eur(i64::MAX), eur(i64::MIN)] {
        faulty(&payments.increment(&k, id, amount).await.unwrap_err(), "by");
    }
    let dollars = Money::from_minor(100, Currency::USD);
    let part = CaptureAmount::Part(dollars, Rest::Keep);
    faulty(&payments.capture(&k, id, part).await.unwrap_err(), "amount");
    let part = NewRefund::part(dollars, RefundReason::GoodsReturned);
    faulty(&payments.refund(&k, id, part).await.unwrap_err(), "amount");
    faulty(&payments.increment(&k, id, dollars).await.unwrap_err(), "by");
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn what_doesn_t_fit_the_state_names_both() {
    let world = World::of(Shape::default().no_void_after_capture(), &["main"]).await;
    let payments = &world.payments;
    let k = key("k");
    let transition = |error: Error, current: &str| match error.kind() {
        ErrorKind::InvalidTransition {
            current: now,
            command,
        } => {
            assert_eq!(*now, current);
            assert!(!command.is_empty());
            assert_eq!(error.http_status(), 422);
        }
        other => panic!("{other:?}: {error}"),
    };
    let paid = world.paid().await;
    let created = payments
        .create_intent(&key("n"), NewIntent::payment(money!("1 EUR")))
        .await
        .unwrap()
        .outcome;
    let voided = world.authorized().await;
    let _ = payments.void(&key("v"), voided.id()).await.unwrap();
    let pending = world.pay("tok_pending_then_settled").await;
    let before = world.mark();
    transition(
        payments
            .confirm(&k, paid.id(), card("tok_approve"))
            .await
            .unwrap_err(),
        "succeeded",
    );
    transition(
        payments
            .capture(&k, paid.id(), CaptureAmount::Remaining)
            .await
            .unwrap_err(),
        "succeeded",
    );
    transition(payments.void(&k, paid.id()).await.unwrap_err(), "succeeded");
    transition(payments.cancel(&k, paid.id()).await.unwrap_err(), "succeeded");
    transition(
        payments
            .confirm(&k, voided.id(), card("tok_approve"))
            .await
            .unwrap_err(),
        "voided",
    );
    transition(
        payments
            .capture(&k, voided.id(), CaptureAmount::Remaining)
            .await
            .unwrap_err(),
        "voided",
    );
    let available = NewRefund::available(RefundReason::GoodsReturned);
    transition(
        payments
            .refund(&k, voided.id(), available.clone())
            .await
            .unwrap_err(),
        "voided",
    );
    transition(
        payments
            .reverse(&k, voided.id(), RefundReason::GoodsReturned)
            .await
            .unwrap_err(),
        "voided",
    );
    transition(
        payments
            .capture(&k, created.id(), CaptureAmount::Remaining)
            .await
            .unwrap_err(),
        "created",
    );
    transition(payments.void(&k, created.id()).await.unwrap_err(), "created");
    transition(
        payments.refund(&k, created.id(), available).await.unwrap_err(),
        "created",
    );
    let update = payments
        .update(&paid, IntentUpdate::new().reference("other"))
        .await;
    transition(update.unwrap_err(), "succeeded");
    let remaining = payments
        .capture(&k, pending.intent().id(), CaptureAmount::Remaining)
        .await;
    transition(remaining.unwrap_err(), "processing");
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_void_after_a_capture_is_refused_where_it_isn_t_offered() {
    let world = World::of(
        Shape::default()
            .no_void_after_capture()
            .success_on(paymux::connector::SuccessOn::Settled),
        &["main"],
    )
    .await;
    let held = world.authorized().await;
    let _ = world
        .payments
        .capture(&key("c"), held.id(), CaptureAmount::Remaining)
        .await
        .unwrap();
    assert_eq!(world.reread(&held).await.status(), IntentStatus::Captured);
    let before = world.mark();
    let error = world.payments.void(&key("v"), held.id()).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::InvalidTransition { .. } | ErrorKind::Unsupported
        ),
        "{error}"
    );
    assert_eq!(world.mark(), before);
    let part = CaptureAmount::Part(money!("10 EUR"), Rest::Keep);
    let held = world.authorized().await;
    let _ = world.payments.capture(&key("p"), held.id(), part).await.unwrap();
    let before = world.mark();
    let error = world.payments.void(&key("v"), held.id()).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::InvalidTransition { .. } | ErrorKind::Unsupported
        ),
        "{error}"
    );
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_cancel_waits_for_a_call_that_is_open() {
    let world = World::new().await;
    world.fault(Call::Authorize, FaultKind::Hang);
    let payments = world.payments.clone();
    let new = NewIntent::payment(money!("1 EUR"));
    let verb = tokio::spawn(async move {
        payments
            .create_and_confirm(&key("a"), new, card("tok_approve"))
            .await
    });
    while world.posts() == 0 {
        tokio::task::yield_now().await;
    }
    let page = world
        .payments
        .intents(paymux::IntentQuery::new())
        .page(10, None)
        .await
        .unwrap();
    let before = world.mark();
    for reply in [
        world.payments.cancel(&key("c"), page.items[0].id()).await.err(),
        world
            .payments
            .reverse(&key("d"), page.items[0].id(), RefundReason::GoodsReturned)
            .await
            .err(),
    ] {
        let error = reply.unwrap();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::OperationInProgress { operation: Some(_) }
            ),
            "{error}"
        );
    }
    assert_eq!(world.mark(), before);
    world.clock.advance(MINUTE);
    let _ = verb.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_no_account_takes_says_why_of_each() {
    let shape = Shape::default()
        .currencies([Currency::EUR])
        .automatic_capture_only();
    let world = World::of(shape, &["first", "second"]).await;
    let before = world.mark();
    let k = key("k");
    let wanted = [
        NewIntent::payment(Money::from_minor(100, Currency::USD)),
        NewIntent::payment(money!("1 EUR")).capture(CaptureMethod::Manual),
    ];
    for new in wanted {
        let error = world
            .payments
            .create_and_confirm(&k, new, card("tok_approve"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.http_status().as_u16()),
            (&ErrorKind::NoRoute, 400)
        );
        let problems: Vec<_> = error
            .faults()
            .iter()
            .map(|fault| fault.problem.as_str())
            .collect();
        assert_eq!(problems.len(), 2);
        assert!(
            problems[0].contains("sandbox/first") && problems[1].contains("sandbox/second"),
            "{error}"
        );
        assert!(error.faults().iter().all(|fault| !fault.remedy.is_empty()));
    }
    let session = NewSession::payment(Money::from_minor(100, Currency::USD));
    let error = world.payments.check_session(&session).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NoRoute);
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn what_an_account_doesn_t_offer_is_unsupported_and_not_sent() {
    let world = World::of(
        Shape::default()
            .without(Ability::Increment)
            .without(Ability::Void)
            .without(Ability::Refund),
        &["main"],
    )
    .await;
    let held = world.authorized().await;
    let before = world.mark();
    let (payments, k) = (&world.payments, key("k"));
    let errors = [
        payments.increment(&k, held.id(), money!("1 EUR")).await.err(),
        payments.void(&k, held.id()).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
    assert_eq!(world.mark(), before);
    let _ = payments
        .capture(&key("c"), held.id(), CaptureAmount::Remaining)
        .await
        .unwrap();
    let before = world.mark();
    let available = NewRefund::available(RefundReason::GoodsReturned);
    let error = payments.refund(&k, held.id(), available).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn an_account_that_is_gone_is_named() {
    let world = World::of(Shape::default(), &["main"]).await;
    let held = world.authorized().await;
    let other = ConnectorMap::shared([world.sandbox.connector("other")]).unwrap();
    let world = world.restarted(other).await;
    let before = world.mark();
    let (payments, k) = (&world.payments, key("k"));
    let errors = [
        payments
            .capture(&k, held.id(), CaptureAmount::Remaining)
            .await
            .err(),
        payments.void(&k, held.id()).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind(), &ErrorKind::Connectors, "{error}");
        assert_eq!(error.faults()[0].field, "account");
        assert!(error.faults()[0].problem.contains("sandbox/main"));
        assert!(!error.faults()[0].remedy.is_empty());
    }
    assert_eq!(world.mark(), before);
}

#[test]
fn a_map_of_accounts_is_checked_when_it_is_made() {
    let sandbox = Sandbox::seeded(7);
    let none = ConnectorMap::shared([]).unwrap_err();
    assert_eq!(none.kind(), &ErrorKind::Connectors);
    let twice = ConnectorMap::shared([sandbox.connector("a"), sandbox.connector("a")]).unwrap_err();
    assert!(twice.faults()[0].problem.contains("sandbox/a"));
    let map = ConnectorMap::shared([sandbox.connector("a")]).unwrap();
    let unknown = AccountRef::new(ConnectorId::from_static("sandbox"), "b");
    let error = map.endpoint(endpoint(), unknown, []).unwrap_err();
    assert_eq!(error.faults()[0].field, "account");
}

#[tokio::test]
async fn what_was_seen_before_a_change_can_t_be_updated() {
    let world = World::new().await;
    let new = NewIntent::payment(money!("1 EUR"));
    let seen = world
        .payments
        .create_intent(&key("k"), new)
        .await
        .unwrap()
        .outcome;
    let change = || IntentUpdate::new().amount(money!("2 EUR"));
    let now = world.payments.update(&seen, change()).await.unwrap();
    assert_eq!(now.amount(), money!("2 EUR"));
    let before = world.mark();
    assert_eq!(
        world.payments.update(&seen, change()).await.unwrap_err().kind(),
        &ErrorKind::Stale
    );
    let dollars = IntentUpdate::new().amount(Money::from_minor(5, Currency::USD));
    faulty(&world.payments.update(&now, dollars).await.unwrap_err(), "amount");
    faulty(
        &world
            .payments
            .update(&now, IntentUpdate::new().amount(eur(0)))
            .await
            .unwrap_err(),
        "amount",
    );
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_one_time_method_can_t_be_scheduled_and_a_day_can_t_be_confirmed_now() {
    let world = World::new().await;
    let tomorrow = paymux::Clock::now(&world.clock).after(DAY);
    let before = world.mark();
    let wallet = PaymentMethod::wallet("apple_pay", Volatile::new("signed"));
    let new = || NewIntent::payment(money!("1 EUR")).scheduled_for(tomorrow);
    let k = key("k");
    faulty(
        &world.payments.schedule(&k, new(), wallet).await.unwrap_err(),
        "method",
    );
    let undated = NewIntent::payment(money!("1 EUR"));
    faulty(
        &world
            .payments
            .schedule(&k, undated, card("tok_approve"))
            .await
            .unwrap_err(),
        "scheduled_for",
    );
    faulty(
        &world
            .payments
            .create_and_confirm(&k, new(), card("tok_approve"))
            .await
            .unwrap_err(),
        "scheduled_for",
    );
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_database_that_can_t_be_used_is_said_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments.db");
    let missing = SqliteOptions::new(&path)
        .create(paymux::CreateFile::Never)
        .open()
        .await;
    let error = Error::from(missing.unwrap_err());
    assert_eq!(
        (error.kind(), error.http_status().as_u16()),
        (&ErrorKind::Store, 503)
    );
    assert!(error.to_string().contains("payments.db"), "{error}");
    assert!(!path.exists());

    drop(SqliteStore::open(&path).await.unwrap());
    let mut conn = connection(&path).await;
    let newer = "INSERT INTO paymux_schema (version, applied_at) VALUES (99, 0)";
    paymux::sqlx::query(newer).execute(&mut conn).await.unwrap();
    let error = Error::from(SqliteStore::open(&path).await.unwrap_err());
    assert_eq!(error.kind(), &ErrorKind::Store);
    assert!(error.to_string().contains("99"), "{error}");
}

/// Two releases may run over one file: what the newer one wrote is named, and never guessed at.
#[tokio::test]
async fn a_payment_of_a_newer_form_is_named_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let sandbox = Sandbox::seeded(7);
    let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
    let paymux = Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn())
        .build()
        .await
        .unwrap();
    let payments = paymux.tenant(tenant());
    let new = NewIntent::payment(money!("1 EUR")).capture(CaptureMethod::Manual);
    let held = payments
        .create_and_confirm(&key("a"), new, card("tok_approve"))
        .await
        .unwrap()
        .outcome;
    let sends = sandbox.ledger().sends().len();
    let mut conn = connection(&path).await;
    let newer = "UPDATE paymux_rows SET schema = 99 WHERE kind = 'intent'";
    let changed = paymux::sqlx::query(newer).execute(&mut conn).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let (k, id) = (key("k"), held.intent().id());
    let errors = [
        payments.intent(id).await.err(),
        payments.capture(&k, id, CaptureAmount::Remaining).await.err(),
        payments.void(&k, id).await.err(),
        payments.sync(id).await.err(),
    ];
    for error in errors {
        let error = error.unwrap();
        assert_eq!(error.kind(), &ErrorKind::Store, "{error}");
        let said = error.to_string();
        assert!(said.contains("the form 99") && said.contains("upgrade"), "{said}");
    }
    assert_eq!(sandbox.ledger().sends().len(), sends);
}

/// A processor that may not be asked.
#[derive(Debug)]
struct Unasked;

#[async_trait]
impl paymux::connector::Transport for Unasked {
    async fn send(
        &self,
        request: paymux::connector::Request,
    ) -> Result<paymux::connector::Response, paymux::connector::TransportError> {
        panic!("nothing may be sent: {request:?}")
    }
}

#[tokio::test]
async fn a_method_that_no_account_takes_is_said_of_each() {
    let stripe = |account| paymux::stripe::Stripe::new("sk_test_x", account).connector(Arc::new(Unasked));
    let connectors = ConnectorMap::shared([stripe("first"), stripe("second")]).unwrap();
    let (runtime, clock) = Runtime::test(7);
    let world = World::from(runtime, clock, Sandbox::seeded(7), connectors, |builder| builder).await;
    let before = world.mark();
    let new = NewIntent::payment(money!("1 EUR"));
    let error = world
        .payments
        .create_and_confirm(&key("k"), new, voucher())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NoRoute, "{error}");
    let problems: Vec<_> = error
        .faults()
        .iter()
        .map(|fault| fault.problem.as_str())
        .collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("stripe/first") && problems[1].contains("stripe/second"));
    assert!(error.faults().iter().all(|fault| !fault.remedy.is_empty()));
    assert_eq!(world.mark(), before);
}

async fn connection(path: &std::path::Path) -> paymux::sqlx::SqliteConnection {
    use paymux::sqlx::ConnectOptions as _;
    let options = paymux::sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn a_database_that_another_process_holds_moves_nothing() {
    use paymux::sqlx::Connection as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payments.db");
    let store = SqliteOptions::new(&path)
        .busy_timeout(std::time::Duration::from_millis(20))
        .open()
        .await
        .unwrap();
    let sandbox = Sandbox::seeded(7);
    let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
    let paymux = Orchestrator::builder(store, connectors, Runtime::tokio_without_spawn())
        .build()
        .await
        .unwrap();
    let payments = paymux.tenant(tenant());
    let mut holder = connection(&path).await;
    let held = holder.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pay = async || {
        let new = NewIntent::payment(money!("1 EUR"));
        payments
            .create_and_confirm(&key("a"), new, card("tok_approve"))
            .await
    };
    let error = pay().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Store);
    assert!(matches!(error.retry(), Retry::SameKey { .. }));
    assert!(sandbox.ledger().sends().is_empty());
    held.rollback().await.unwrap();
    assert!(matches!(
        pay().await.unwrap().outcome,
        PaymentOutcome::Succeeded(_)
    ));
}

/// A store that refuses writes, of a kind, until it is mended.
#[derive(Clone, Debug)]
struct Broken {
    store: MemoryStore,
    broken: Arc<AtomicBool>,
    kind: Arc<Mutex<StoreErrorKind>>,
}

impl Broken {
    fn check(&self) -> Result<(), StoreError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(StoreError::new(
                *self.kind.lock().unwrap(),
                "give it write permission",
            )),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Broken {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        self.store.load(tenant, keys).await
    }
    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.store.lookup(tenant, key).await
    }
    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.store.locate(key).await
    }
    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        self.store.find(tenant, query).await
    }
    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events(tenant, row, from, limit).await
    }
    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        self.check().map_err(CommitError::NotCommitted)?;
        self.store.commit(tenant, batch).await
    }
    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.store.resolve(tenant, id).await
    }
    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        self.store.claim_due(request).await
    }
    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.store.backlog(queue).await
    }
    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.store.purge(retention, limit).await
    }
}

#[tokio::test]
async fn a_store_that_can_t_be_written_sends_nothing() {
    for kind in [
        StoreErrorKind::ReadOnly,
        StoreErrorKind::Unavailable,
        StoreErrorKind::Locked,
    ] {
        let (runtime, clock) = Runtime::test(7);
        let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
        let store = Broken {
            store: MemoryStore::with_time(StoreTime::Injected(Arc::new(clock))),
            broken: Arc::default(),
            kind: Arc::new(Mutex::new(kind)),
        };
        let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
        let paymux = Orchestrator::builder(store.clone(), connectors, runtime)
            .build()
            .await
            .unwrap();
        let payments = paymux.tenant(tenant());
        let new = || NewIntent::payment(money!("1 EUR")).capture(CaptureMethod::Manual);
        let held = payments
            .create_and_confirm(&key("h"), new(), card("tok_approve"))
            .await
            .unwrap()
            .outcome;
        let sends = sandbox.ledger().sends().len();
        store.broken.store(true, Ordering::SeqCst);
        let (k, id) = (key("k"), held.intent().id());
        let errors = [
            payments.create_intent(&k, new()).await.err(),
            payments
                .create_and_confirm(&k, new(), card("tok_approve"))
                .await
                .err(),
            payments.capture(&k, id, CaptureAmount::Remaining).await.err(),
            payments.void(&k, id).await.err(),
        ];
        for error in errors {
            let error = error.unwrap();
            assert_eq!(error.kind(), &ErrorKind::Store, "{error}");
            assert!(matches!(error.retry(), Retry::SameKey { .. }));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("write permission"), "{cause}");
        }
        assert_eq!(sandbox.ledger().sends().len(), sends);
        store.broken.store(false, Ordering::SeqCst);
        let reply = payments.capture(&k, id, CaptureAmount::Remaining).await.unwrap();
        assert_eq!(reply.replay, Replay::First);
    }
}

fn voucher() -> PaymentMethod {
    PaymentMethod::Voucher {
        scheme: "boleto".to_owned(),
    }
}

/// Blocks all that isn't a card or in a wallet.
#[derive(Debug)]
struct CardsAlone;

impl Router for CardsAlone {
    fn route(&self, facts: &RouteFacts<'_>) -> Plan {
        let cards = matches!(
            facts.method,
            PaymentMethod::CardToken { .. } | PaymentMethod::Wallet { .. }
        );
        match cards {
            true => facts.candidates.iter().fold(Plan::new(), |plan, candidate| {
                plan.then(candidate.account.clone(), "it is there")
            }),
            false => Plan::block("no vouchers"),
        }
    }
}

/// A confirmation by another method closes the live attempt first, but only where the other can be sent.
#[tokio::test]
async fn a_confirmation_that_is_refused_leaves_the_live_attempt_alone() {
    let once = |builder: paymux::OrchestratorBuilder| builder.policy(Policy::new().max_attempts(1));
    let world = World::built(Shape::default(), &["main"], once).await;
    let acting = world.pay("tok_redirect").await.intent().clone();
    let before = world.mark();
    let confirm = async |world: &World, id: &PaymentIntentId, method| {
        let reply = world.payments.confirm(&key("again"), id, method).await;
        reply.unwrap_err()
    };
    faulty(
        &confirm(&world, acting.id(), card("tok_approve")).await,
        "attempts",
    );
    assert_eq!(world.mark(), before, "no attempts are left");

    let world = World::built(Shape::default(), &["main"], |builder| builder.router(CardsAlone)).await;
    let acting = world.pay("tok_redirect").await.intent().clone();
    let before = world.mark();
    let error = confirm(&world, acting.id(), voucher()).await;
    assert_eq!(error.kind(), &ErrorKind::Forbidden, "{error}");
    let gone = PaymentMethod::wallet("apple_pay", Volatile::default());
    let error = confirm(&world, acting.id(), gone).await;
    assert!(!error.faults().is_empty(), "{error}");
    assert_eq!(world.mark(), before, "nobody takes the method");
    let now = world.reread(&acting).await;
    assert_eq!(now.status(), IntentStatus::RequiresAction);
    world.sandbox.payer_approves(&world.handle(&now)).unwrap();

    let world = World::new().await;
    let end = paymux::Clock::now(&world.clock).after(HOUR);
    let new = NewIntent::payment(money!("1 EUR")).expires_at(end);
    let acting = world
        .payments
        .create_and_confirm(&key("k"), new, card("tok_redirect"))
        .await
        .unwrap()
        .outcome;
    world.clock.advance(HOUR);
    let before = world.mark();
    faulty(
        &confirm(&world, acting.intent().id(), card("tok_approve")).await,
        "expires_at",
    );
    assert_eq!(world.mark(), before, "its time is up");
}

/// A payment whose day comes without a method would wait for ever.
#[tokio::test]
async fn a_scheduled_payment_is_made_with_its_method() {
    let world = World::new().await;
    let tomorrow = paymux::Clock::now(&world.clock).after(DAY);
    let new = || NewIntent::payment(money!("1 EUR")).scheduled_for(tomorrow);
    let before = world.mark();
    let made = world.payments.create_intent(&key("k"), new()).await;
    faulty(&made.unwrap_err(), "scheduled_for");
    let planned = world.payments.plan_create_intent(&key("k"), new()).await;
    faulty(&planned.unwrap_err(), "scheduled_for");
    assert_eq!(world.mark(), before);
}

#[tokio::test]
async fn a_live_payment_returns_to_no_page_on_localhost() {
    let world = World::new().await;
    let live = world.paymux.tenant(Tenant::live("acme").unwrap());
    let pages = ["http://localhost/x", "http://127.0.0.1:8080/x", "http://[::1]/x"];
    let before = world.mark();
    for page in pages {
        let session = || NewSession::payment(money!("1 EUR"));
        for (field, new) in [
            ("return_url", session().return_url(page)),
            ("success_url", session().success_url(page)),
            ("cancel_url", session().cancel_url(page)),
        ] {
            assert!(world.payments.check_session(&new).await.is_ok(), "in test mode");
            faulty(&live.check_session(&new).await.unwrap_err(), field);
        }
        let new = NewIntent::payment(money!("1 EUR")).return_url(page);
        let made = live.create_intent(&key("k"), new).await;
        faulty(&made.unwrap_err(), "return_url");
    }
    assert_eq!(world.mark(), before);
    let new = NewIntent::payment(money!("1 EUR")).return_url("https://shop.example/x");
    let made = live.create_intent(&key("k"), new).await.unwrap().outcome;
    let change = IntentUpdate::new().return_url("http://localhost/x");
    faulty(&live.update(&made, change).await.unwrap_err(), "return_url");
}

/// What the state or the account refuses says of what, and what may be done.
#[track_caller]
fn named<T: std::fmt::Debug>(refused: paymux::Result<T>) {
    let error = refused.unwrap_err();
    assert!(!error.faults().is_empty(), "{error}");
    for fault in error.faults() {
        assert!(
            !fault.field.is_empty() && !fault.problem.is_empty() && !fault.remedy.is_empty(),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_refusal_by_a_payment_s_state_names_a_field_and_a_remedy() {
    let world = World::of(Shape::default().without(Ability::Cancel), &["main"]).await;
    let p = &world.payments;
    let paid = world.paid().await;
    named(p.confirm(&key("1"), paid.id(), card("tok_approve")).await);
    named(p.capture(&key("2"), paid.id(), CaptureAmount::Remaining).await);
    named(p.cancel(&key("3"), paid.id()).await);
    let held = world.authorized().await;
    let part = CaptureAmount::Part(money!("30 EUR"), Rest::Keep);
    let _ = p.capture(&key("4"), held.id(), part).await.unwrap();
    named(p.void(&key("5"), held.id()).await);
    let acting = world.pay("tok_redirect").await.intent().clone();
    named(p.confirm(&key("6"), acting.id(), card("tok_approve")).await);
    named(p.cancel(&key("7"), acting.id()).await);
    let change = IntentUpdate::new().reference("other");
    named(p.update(&acting, change.clone()).await);
    named(p.update(&held, change).await);
    let other = world.paymux.tenant(Tenant::test("other").unwrap());
    named(other.intent(paid.id()).await);
}

#[tokio::test]
async fn a_refusal_by_what_is_open_or_was_asked_names_a_field_and_a_remedy() {
    let world = World::new().await;
    let p = &world.payments;
    let paid = world.paid().await;
    world.fault(Call::Authorize, FaultKind::DropAnswer);
    let (doubtful, _) = unknown(world.pay("tok_approve").await);
    let refund = NewRefund::available(RefundReason::OrderCancelled);
    named(p.cancel(&key("1"), doubtful.id()).await);
    named(p.refund(&key("2"), doubtful.id(), refund).await);
    let new = NewIntent::payment;
    let strange = new(money!("1.0000 CLF"));
    named(
        p.create_and_confirm(&key("3"), strange, card("tok_approve"))
            .await,
    );
    let _ = p.create_intent(&key("4"), new(money!("1 EUR"))).await.unwrap();
    named(p.create_intent(&key("4"), new(money!("2 EUR"))).await);
    let elsewhere = ConnectorMap::shared([world.sandbox.connector("elsewhere")]).unwrap();
    let gone = world.restarted(elsewhere).await;
    let part = NewRefund::part(money!("1 EUR"), RefundReason::OrderCancelled);
    named(gone.payments.refund(&key("5"), paid.id(), part).await);
}

#[tokio::test]
async fn a_refusal_of_what_is_over_or_not_settled_names_a_field_and_a_remedy() {
    let settles = Shape::default().refund_requires_settlement();
    let world = World::built(settles, &["main"], |builder| {
        builder.policy(Policy::new().max_attempts(1))
    })
    .await;
    let p = &world.payments;
    let refund = NewRefund::available(RefundReason::OrderCancelled);
    named(p.refund(&key("1"), world.paid().await.id(), refund).await);
    let failed = world.pay("tok_decline_insufficient_funds").await;
    let id = failed.intent().id();
    named(p.confirm(&key("2"), id, card("tok_approve")).await);
    let open = async |name: &str| {
        let new = NewSession::payment(money!("1 EUR"));
        let made = p.create_session(&key(name), new).await.unwrap();
        *made.outcome.id()
    };
    let submit = async |name: &str, id: &SessionId| p.submit(&key(name), id, card("tok_approve")).await;
    let (paid, late) = (open("s").await, open("t").await);
    let _ = submit("a", &paid).await.unwrap();
    named(submit("b", &paid).await);
    world.pass(HOUR).await;
    named(submit("c", &late).await);
}
