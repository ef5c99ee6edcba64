//! Many callers at once, on several threads: never more money than there is, never a second charge.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../storage/sql/tests/database/mod.rs"]
mod database;
mod support;

use std::future::Future;

use database::Database;
use paymux::sandbox::Sandbox;
use paymux::{
    ErrorKind, IntentQuery, IntentStatus, NewSession, PaymentIntent, PostgresOptions, SessionStatus, Store,
    VoidOutcome, prelude::*, sqlx,
};
use support::{card, key, tenant};

struct Shop {
    sandbox: Sandbox,
    paymux: Orchestrator,
    payments: Payments,
    _folder: Option<tempfile::TempDir>,
    _database: Option<Database>,
}

async fn shop(store: impl Store) -> Shop {
    let sandbox = Sandbox::seeded(7);
    let connectors = ConnectorMap::shared([sandbox.connector("main")]).unwrap();
    let builder = Orchestrator::builder(store, connectors, Runtime::tokio());
    let paymux = builder.build().await.unwrap();
    Shop {
        sandbox,
        payments: paymux.tenant(tenant()),
        paymux,
        _folder: None,
        _database: None,
    }
}

/// The same on each store.
async fn shops() -> Vec<Shop> {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("payments.db"))
        .await
        .unwrap();
    let mut sqlite = shop(sqlite).await;
    sqlite._folder = Some(folder);
    let mut shops = vec![shop(MemoryStore::new()).await, sqlite];
    if let Some(database) = Database::find().await {
        let options = PostgresOptions::new(database.url()).schema(database.schema());
        let mut postgres = shop(options.open().await.unwrap()).await;
        postgres._database = Some(database);
        shops.push(postgres);
    }
    shops
}

/// So many tasks at once.
async fn all<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    many: usize,
    task: impl Fn(usize) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (0..many).map(|nth| tokio::spawn(task(nth))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn new() -> NewIntent {
    NewIntent::payment(money!("100 EUR")).reference("order")
}

impl Shop {
    async fn held(&self) -> PaymentIntent {
        let new = new().capture(CaptureMethod::Manual);
        let reply = self
            .payments
            .create_and_confirm(&key("held"), new, card("tok_approve"))
            .await;
        reply.unwrap().outcome.intent().clone()
    }

    async fn paid(&self) -> PaymentIntent {
        let reply = self
            .payments
            .create_and_confirm(&key("paid"), new(), card("tok_approve"))
            .await;
        reply.unwrap().outcome.intent().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refunds_never_pass_what_is_available() {
    for shop in shops().await {
        let id = *shop.paid().await.id();
        let results = all(100, |nth| {
            let payments = shop.payments.clone();
            async move {
                let part = NewRefund::part(money!("3 EUR"), RefundReason::GoodsReturned);
                let k = key(&format!("refund-{nth}"));
                loop {
                    match payments.refund(&k, &id, part.clone()).await {
                        // Nothing moved: the caller may decide anew.
                        Err(error) if error.kind() == &ErrorKind::Stale => {}
                        other => return other,
                    }
                }
            }
        })
        .await;
        let mut given_back = 0;
        for result in results {
            match result {
                Ok(reply) => match reply.outcome {
                    RefundOutcome::Succeeded(refund) => {
                        assert_eq!(refund.refunded(), money!("3 EUR"));
                        given_back += 1;
                    }
                    // Its outcome couldn't be written among so many: the processor did it, and recovery writes it.
                    RefundOutcome::Unknown { .. } => given_back += 1,
                    other => panic!("{other:?}"),
                },
                Err(error) => {
                    assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
                    assert_eq!(error.faults()[0].field, "amount");
                }
            }
        }
        assert_eq!(given_back, 33);
        let ledger = shop.sandbox.ledger();
        assert_eq!(ledger.refunds().len(), 33);
        assert_eq!(ledger.payments()[0].refunded, money!("99 EUR"));
        let totals = *shop.payments.intent(&id).await.unwrap().totals();
        assert_eq!((totals.refunded, totals.refund_pending), (9_900, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn captures_never_pass_what_is_held() {
    for shop in shops().await {
        let id = *shop.held().await.id();
        let results = all(100, |nth| {
            let payments = shop.payments.clone();
            async move {
                let part = CaptureAmount::Part(money!("3 EUR"), Rest::Keep);
                let k = key(&format!("capture-{nth}"));
                loop {
                    match payments.capture(&k, &id, part).await {
                        Err(error) => match error.kind() {
                            ErrorKind::OperationInProgress { .. } | ErrorKind::Stale => {
                                tokio::task::yield_now().await;
                            }
                            ErrorKind::Invalid => return 0,
                            other => panic!("{other:?}"),
                        },
                        Ok(reply) => match reply.outcome {
                            CaptureOutcome::Captured(_) => return 1,
                            other => panic!("{other:?}"),
                        },
                    }
                }
            }
        })
        .await;
        assert_eq!(results.iter().sum::<i32>(), 33);
        assert_eq!(shop.sandbox.ledger().payments()[0].captured, money!("99 EUR"));
        let totals = *shop.payments.intent(&id).await.unwrap().totals();
        assert_eq!((totals.captured, totals.capture_pending), (9_900, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_confirm_of_many_wins() {
    for shop in shops().await {
        let id = *shop
            .payments
            .create_intent(&key("new"), new())
            .await
            .unwrap()
            .outcome
            .id();
        let results = all(50, |nth| {
            let payments = shop.payments.clone();
            async move {
                payments
                    .confirm(&key(&format!("confirm-{nth}")), &id, card("tok_approve"))
                    .await
            }
        })
        .await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1);
        for error in results.into_iter().filter_map(Result::err) {
            let expected = matches!(
                error.kind(),
                ErrorKind::OperationInProgress { .. }
                    | ErrorKind::InvalidTransition { .. }
                    | ErrorKind::Stale
            );
            assert!(expected, "{error:?}");
        }
        assert_eq!(shop.sandbox.ledger().charges("order").len(), 1);
        let intent = shop.payments.intent(&id).await.unwrap();
        assert_eq!(
            (intent.status(), intent.attempts().len()),
            (IntentStatus::Succeeded, 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_many_times_is_one_charge() {
    for shop in shops().await {
        let results = all(50, |_| {
            let payments = shop.payments.clone();
            async move {
                payments
                    .create_and_confirm(&key("order"), new(), card("tok_approve"))
                    .await
            }
        })
        .await;
        let mut ids = std::collections::BTreeSet::new();
        let mut first = 0;
        for result in results {
            match result {
                Ok(reply) => {
                    first += usize::from(reply.replay == Replay::First);
                    ids.insert(*reply.outcome.intent().id());
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::OperationInProgress { .. }),
                        "{error:?}"
                    );
                }
            }
        }
        assert_eq!((first, ids.len()), (1, 1));
        assert_eq!(shop.sandbox.ledger().charges("order").len(), 1);
        let intents = shop
            .payments
            .intents(IntentQuery::new())
            .page(100, None)
            .await
            .unwrap();
        assert_eq!(intents.items.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_many_times_is_one_intent_one_session_one_refund() {
    for shop in shops().await {
        let ids = all(50, |_| {
            let payments = shop.payments.clone();
            async move {
                let intent = payments.create_intent(&key("k"), new()).await.unwrap().outcome;
                let session = NewSession::payment(money!("1 EUR"));
                let session = payments.create_session(&key("k"), session).await.unwrap().outcome;
                (*intent.id(), *session.id())
            }
        })
        .await;
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));
        let id = *shop.paid().await.id();
        let results = all(50, |_| {
            let payments = shop.payments.clone();
            async move {
                let part = NewRefund::part(money!("3 EUR"), RefundReason::GoodsReturned);
                payments.refund(&key("k"), &id, part).await
            }
        })
        .await;
        for error in results.into_iter().filter_map(Result::err) {
            assert!(
                matches!(error.kind(), ErrorKind::OperationInProgress { .. }),
                "{error:?}"
            );
        }
        assert_eq!(shop.sandbox.ledger().refunds().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_has_one_live_payment_whatever_the_buyer_repeats() {
    for shop in shops().await {
        let session = NewSession::payment(money!("100 EUR")).reference("order");
        let session = shop
            .payments
            .create_session(&key("s"), session)
            .await
            .unwrap()
            .outcome;
        let id = *session.id();
        let results = all(50, |nth| {
            let payments = shop.payments.clone();
            async move {
                payments
                    .submit(&key(&format!("submit-{nth}")), &id, card("tok_approve"))
                    .await
            }
        })
        .await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(shop.sandbox.ledger().charges("order").len(), 1);
        let session = shop.payments.session(&id).await.unwrap();
        assert_eq!(session.status(), SessionStatus::Succeeded);
        let intents = shop
            .payments
            .intents(IntentQuery::new())
            .page(100, None)
            .await
            .unwrap();
        assert_eq!(intents.items.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_void_and_a_capture_at_once_are_one_of_the_two() {
    for shop in shops().await {
        let id = *shop.held().await.id();
        let results = all(20, |nth| {
            let payments = shop.payments.clone();
            async move {
                let k = key(&format!("race-{nth}"));
                if nth % 2 == 0 {
                    let reply = payments.void(&k, &id).await.ok()?;
                    matches!(reply.outcome, VoidOutcome::Voided(_)).then_some("void")
                } else {
                    let reply = payments.capture(&k, &id, CaptureAmount::Remaining).await.ok()?;
                    matches!(reply.outcome, CaptureOutcome::Captured(_)).then_some("capture")
                }
            }
        })
        .await;
        let done: Vec<_> = results.into_iter().flatten().collect();
        let intent = shop.payments.intent(&id).await.unwrap();
        let payment = shop.sandbox.ledger().payments()[0].clone();
        match intent.status() {
            // What was captured may be voided until it settles.
            IntentStatus::Voided => assert!(done.contains(&"void") && payment.kept() == money!("0 EUR")),
            IntentStatus::Succeeded => assert!(done == ["capture"] && payment.kept() == money!("100 EUR")),
            other => panic!("{other}: {done:?}"),
        }
        assert!(
            shop.paymux
                .backlog(paymux::Queue::Recovery)
                .await
                .unwrap()
                .scheduled
                == 0
        );
    }
}
