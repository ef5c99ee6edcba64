//! Each fault on each step, against the stand-in: one charge for one payment, and the processor's books equal to ours
//! once the faults have stopped.

use std::time::Duration;

use paymux::prelude::*;
use paymux::store::StoreTime;
use paymux::stripe::Stripe;
use paymux::{
    Actor, IntentStatus, PaymentIntentId, RefundQuery, RefundStatus, Result, Retry, ReviewReason, TestClock,
    UnknownOutcome, UnknownQuery,
};
use paymux_standin_stripe::{ChargeLine, Endpoint, Fault, Standin};

use crate::{http, key, policy, post, ten_euro};

/// How long a request may take; one that is held up takes longer.
const TIMEOUT: Duration = Duration::from_millis(1_500);
const HELD_UP: Duration = Duration::from_millis(2_000);

const FAULTS: [Fault; 7] = [
    Fault::DropRequest,
    Fault::DropAnswer,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::Twice,
    Fault::Delay(HELD_UP),
    Fault::RateLimit,
];

struct World {
    standin: Standin,
    paymux: Orchestrator,
    payments: Payments,
    clock: TestClock,
}

/// How a step ends once the faults have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was executed, once.
    Done,
    /// Stripe keeps the error with the key, so that nothing proves what wasn't done: a person is asked.
    Review,
}

impl End {
    fn of(step: Endpoint, fault: Fault) -> Self {
        match (step, fault) {
            // Making a payment moves no money: it is done anew.
            (Endpoint::Create, _) => Self::Done,
            (_, Fault::ErrorBefore) => Self::Review,
            (
                _,
                Fault::DropRequest
                | Fault::DropAnswer
                | Fault::ErrorAfter
                | Fault::Twice
                | Fault::Delay(_)
                | Fault::RateLimit,
            ) => Self::Done,
        }
    }
}

impl World {
    async fn new() -> Self {
        Self::of(|stripe| stripe).await
    }

    async fn of(asked: impl FnOnce(Stripe) -> Stripe) -> Self {
        let standin = Standin::start().await.unwrap();
        let (runtime, clock) = Runtime::test(7);
        let stripe = Stripe::new("sk_test_standin", "main").base_url(standin.base_url());
        let connector = asked(stripe).connector(http(TIMEOUT));
        let store = MemoryStore::with_time(StoreTime::Injected(runtime.clock().clone()));
        let paymux = Orchestrator::builder(store, ConnectorMap::shared([connector]).unwrap(), runtime)
            .policy(policy())
            .build()
            .await
            .unwrap();
        let payments = paymux.tenant(Tenant::test("acme").unwrap());
        Self {
            standin,
            paymux,
            payments,
            clock,
        }
    }

    fn charge(&self) -> ChargeLine {
        let charges = self.standin.ledger().charges();
        assert_eq!(charges.len(), 1, "one charge for one payment: {charges:?}");
        charges[0].clone()
    }

    async fn intent(&self, id: &PaymentIntentId) -> paymux::PaymentIntent {
        self.payments.intent(id).await.unwrap()
    }

    /// Lets time pass and workers work until nothing is unknown, or a person is asked.
    async fn settle(&self, id: &PaymentIntentId) -> End {
        let mut pause = Duration::from_secs(20);
        for _ in 0..30 {
            self.paymux.recover_due(50).await.unwrap();
            let intent = self.intent(id).await;
            let refunds = self.refunds(id).await;
            let open = intent.status() == IntentStatus::Processing
                || intent.unknown_operation().is_some()
                || intent.totals().refund_pending > 0
                || refunds.contains(&RefundStatus::Pending);
            if !open {
                return End::Done;
            }
            if self.with_a_person().await {
                return End::Review;
            }
            self.clock.advance(pause);
            self.standin.advance(pause);
            pause = (pause * 2).min(Duration::from_secs(8 * 3600));
            // The stand-in's own delays are of this machine's clock.
            tokio::time::sleep(HELD_UP / 40).await;
        }
        panic!("neither settled nor with a person")
    }

    /// Whether something has been unknown for too long.
    async fn with_a_person(&self) -> bool {
        let operator = self.payments.operator(Actor::person("kim"));
        let mut cursor = None;
        loop {
            let page = operator
                .unknowns(UnknownQuery::new())
                .page(10, cursor)
                .await
                .unwrap();
            let reviews = |unknown: &UnknownOutcome| unknown.review() == Some(ReviewReason::UnknownTooLong);
            cursor = page.next;
            if page.items.iter().any(reviews) || cursor.is_none() {
                return page.items.iter().any(reviews);
            }
        }
    }

    async fn refunds(&self, id: &PaymentIntentId) -> Vec<RefundStatus> {
        let page = self
            .payments
            .refunds(RefundQuery::new().intent(*id))
            .page(10, None)
            .await
            .unwrap();
        page.items.iter().map(|refund| refund.status()).collect()
    }

    /// What the books of both say of captured and refunded money.
    async fn agreed(&self, id: &PaymentIntentId) -> (i64, i64) {
        let (charge, intent) = (self.charge(), self.intent(id).await);
        assert_eq!(charge.captured, intent.totals().captured, "{intent:?}");
        assert_eq!(charge.refunded, intent.totals().refunded, "{intent:?}");
        assert_eq!(
            charge.reference.as_deref(),
            Some(&*intent.attempts().last().unwrap().reference())
        );
        (charge.captured, charge.refunded)
    }
}

/// Does it again, with the same key, where it is proved that nothing was executed; a doubt is no error.
async fn insist<T, F: Future<Output = Result<Reply<T>>>>(verb: impl Fn() -> F) -> Reply<T> {
    match verb().await {
        Ok(reply) => reply,
        Err(error) => {
            assert!(matches!(error.retry(), Retry::SameKey { .. }), "{error:?}");
            verb().await.unwrap()
        }
    }
}

fn visa() -> PaymentMethod {
    PaymentMethod::card_token("pm_card_visa")
}

#[tokio::test]
async fn a_payment_is_charged_once_whatever_befalls_its_two_steps() {
    for step in [Endpoint::Create, Endpoint::Confirm] {
        for fault in FAULTS {
            let world = World::new().await;
            world.standin.faults().next(step, fault);
            let same = key("pay");
            let pay = || {
                world
                    .payments
                    .create_and_confirm(&same, ten_euro(CaptureMethod::Automatic), visa())
            };
            let first = insist(pay).await;
            let id = *first.outcome.intent().id();
            let end = world.settle(&id).await;
            assert_eq!(end, End::of(step, fault), "{step:?} {fault:?}");
            let again = pay().await.unwrap();
            assert_eq!(
                (again.replay, again.outcome.intent().id()),
                (Replay::Replayed, &id),
                "{step:?} {fault:?}"
            );
            match end {
                End::Done => {
                    assert!(
                        matches!(again.outcome, PaymentOutcome::Succeeded(_)),
                        "{step:?} {fault:?}: {again:?}"
                    );
                    assert_eq!(world.agreed(&id).await, (1_000, 0), "{step:?} {fault:?}");
                }
                End::Review => {
                    assert!(
                        matches!(again.outcome, PaymentOutcome::Unknown { .. }),
                        "{step:?} {fault:?}: {again:?}"
                    );
                    assert_eq!(world.intent(&id).await.totals().captured, 0);
                    assert_eq!(world.standin.ledger().charges(), []);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_capture_takes_its_part_once_whatever_befalls_it() {
    for fault in FAULTS {
        let world = World::new().await;
        let id = held(&world).await;
        world.standin.faults().next(Endpoint::Capture, fault);
        let (same, part) = (
            key("capture"),
            CaptureAmount::Part(money!("6 EUR"), Rest::Release),
        );
        let capture = || world.payments.capture(&same, &id, part);
        let _first = insist(capture).await;
        let end = world.settle(&id).await;
        assert_eq!(end, End::of(Endpoint::Capture, fault), "{fault:?}");
        let again = capture().await.unwrap();
        assert_eq!(again.replay, Replay::Replayed, "{fault:?}");
        let intent = world.intent(&id).await;
        match end {
            End::Done => {
                assert!(
                    matches!(again.outcome, CaptureOutcome::Captured(_)),
                    "{fault:?}: {again:?}"
                );
                assert_eq!(world.agreed(&id).await, (600, 0), "{fault:?}");
                assert_eq!(intent.status(), IntentStatus::Succeeded, "{fault:?}");
            }
            End::Review => {
                assert!(
                    matches!(again.outcome, CaptureOutcome::Unknown { .. }),
                    "{fault:?}: {again:?}"
                );
                assert_eq!(world.agreed(&id).await, (0, 0), "{fault:?}");
                assert_eq!(intent.totals().capture_pending, 600, "{fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_refund_gives_back_once_whatever_befalls_it() {
    for fault in FAULTS {
        let world = World::new().await;
        let paid = world
            .payments
            .create_and_confirm(&key("pay"), ten_euro(CaptureMethod::Automatic), visa())
            .await
            .unwrap();
        let id = *paid.outcome.intent().id();
        world.settle(&id).await;
        world.standin.faults().next(Endpoint::Refund, fault);
        let same = key("refund");
        let part = || NewRefund::part(money!("4 EUR"), RefundReason::RequestedByCustomer);
        let refund = || world.payments.refund(&same, &id, part());
        let _first = insist(refund).await;
        let end = world.settle(&id).await;
        assert_eq!(end, End::of(Endpoint::Refund, fault), "{fault:?}");
        let again = refund().await.unwrap();
        assert_eq!(again.replay, Replay::Replayed, "{fault:?}");
        let intent = world.intent(&id).await;
        match end {
            End::Done => {
                assert!(
                    matches!(again.outcome, RefundOutcome::Succeeded(_)),
                    "{fault:?}: {again:?}"
                );
                assert_eq!(world.agreed(&id).await, (1_000, 400), "{fault:?}");
                assert_eq!(world.standin.ledger().refunds(), 1, "{fault:?}");
                assert_eq!(intent.totals().refund_pending, 0, "{fault:?}");
            }
            End::Review => {
                assert!(
                    matches!(again.outcome, RefundOutcome::Unknown { .. }),
                    "{fault:?}: {again:?}"
                );
                assert_eq!(world.agreed(&id).await, (1_000, 0), "{fault:?}");
                assert_eq!(intent.totals().refund_pending, 400, "{fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_void_gives_all_back_once_whatever_befalls_it() {
    for fault in FAULTS {
        let world = World::new().await;
        let id = held(&world).await;
        world.standin.faults().next(Endpoint::Cancel, fault);
        let same = key("void");
        let void = || world.payments.void(&same, &id);
        // A void that is proved not executed changes nothing, and may be asked for again with another key.
        if let Err(error) = void().await {
            assert_eq!(fault, Fault::RateLimit, "{error:?}");
            let _again = insist(|| world.payments.void(&same, &id)).await;
        }
        let end = world.settle(&id).await;
        assert_eq!(end, End::of(Endpoint::Cancel, fault), "{fault:?}");
        let status = world.intent(&id).await.status();
        match end {
            End::Done => {
                assert_eq!(status, IntentStatus::Voided, "{fault:?}");
                assert!(world.charge().released, "{fault:?}");
            }
            End::Review => {
                assert_eq!(status, IntentStatus::Authorized, "{fault:?}");
                assert!(!world.charge().released, "{fault:?}");
            }
        }
        assert_eq!(world.agreed(&id).await, (0, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_release_gives_the_rest_back_once_whatever_befalls_it() {
    for fault in FAULTS {
        let world = World::of(Stripe::request_multicapture).await;
        let id = held(&world).await;
        let part = CaptureAmount::Part(money!("3 EUR"), Rest::Keep);
        let _taken = world.payments.capture(&key("part"), &id, part).await.unwrap();
        world.standin.faults().next(Endpoint::Cancel, fault);
        let same = key("release");
        if let Err(error) = world.payments.release(&same, &id).await {
            assert_eq!(fault, Fault::RateLimit, "{error:?}");
            let _again = insist(|| world.payments.release(&same, &id)).await;
        }
        let end = world.settle(&id).await;
        assert_eq!(end, End::of(Endpoint::Cancel, fault), "{fault:?}");
        let intent = world.intent(&id).await;
        match end {
            End::Done => {
                assert_eq!(intent.status(), IntentStatus::Succeeded, "{fault:?}");
                assert_eq!(
                    (intent.totals().capturable(), intent.review()),
                    (0, None),
                    "{fault:?}"
                );
                assert!(world.charge().released, "{fault:?}");
            }
            End::Review => {
                assert_eq!(intent.status(), IntentStatus::Authorized, "{fault:?}");
                assert!(!world.charge().released, "{fault:?}");
            }
        }
        assert_eq!(world.agreed(&id).await, (300, 0), "{fault:?}");
    }
}

/// What somebody gives back in Stripe's dashboard is true news, whatever part of the payment was captured.
#[tokio::test]
async fn a_dashboard_s_refund_of_a_part_is_seen() {
    let world = World::new().await;
    let id = held(&world).await;
    let part = CaptureAmount::Part(money!("6 EUR"), Rest::Release);
    let _taken = world.payments.capture(&key("part"), &id, part).await.unwrap();
    let unrefunded = world.payments.sync(&id).await.unwrap();
    assert_eq!(
        unrefunded.refundable(),
        money!("6 EUR"),
        "what was released isn't given back"
    );
    let handle = unrefunded.attempts()[0].handle().unwrap();
    let form = format!("payment_intent={handle}&amount=400");
    let made = post(world.standin.base_url(), "sk_test_standin", "/v1/refunds", form).await;
    assert_eq!(made.status(), 200);
    let intent = world.payments.sync(&id).await.unwrap();
    assert_eq!(
        (intent.totals().refunded, intent.refundable()),
        (400, money!("2 EUR"))
    );
    assert_eq!(world.agreed(&id).await, (600, 400));
}

async fn held(world: &World) -> PaymentIntentId {
    let held = world
        .payments
        .create_and_confirm(&key("pay"), ten_euro(CaptureMethod::Manual), visa())
        .await
        .unwrap();
    let id = *held.outcome.intent().id();
    world.settle(&id).await;
    assert_eq!(world.intent(&id).await.status(), IntentStatus::Authorized);
    id
}
