//! Where payments go, through the engine: programs, what accounts can take, health, fees, cascades, and why.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use paymux::connector::Ability;
use paymux::connector::prelude::*;
use paymux::routing::{
    ActiveProgram, CardType, CascadePolicy, Circuits, Country, DecidedBy, Explanation, FeeRow, FeeTable,
    Percent, Program, Route, Segment, StickyBy, WhenAllOpen, card_network, metadata, payer_country, replay,
};
use paymux::sandbox::{Call, FaultKind, Sandbox, Shape};
use paymux::store::RowKind;
use paymux::{
    AttemptStatus, CardDetails, Clock as _, ConnectorId, ConnectorMap, Currency, DeclineCode, Error,
    ErrorKind, HealthPolicy, IntentQuery, IntentStatus, Need, OrchestratorBuilder, Payer, PaymentIntent,
    Policy, Runtime, prelude::*,
};
use support::*;

/// A world of three accounts, in this order of registration.
async fn world(with: impl FnOnce(OrchestratorBuilder) -> OrchestratorBuilder) -> World {
    World::built(Shape::default(), &["first", "second", "third"], with).await
}

fn program(otherwise: Route) -> Program {
    Program::builder("test").otherwise(otherwise).unwrap()
}

fn new() -> NewIntent {
    NewIntent::payment(money!("49.99 EUR"))
}

async fn pay(
    world: &World,
    name: &str,
    new: NewIntent,
    method: PaymentMethod,
) -> Result<PaymentIntent, Error> {
    let reply = world.payments.create_and_confirm(&key(name), new, method).await?;
    Ok(reply.outcome.intent().clone())
}

fn went(intent: &PaymentIntent) -> Vec<&str> {
    intent
        .attempts()
        .iter()
        .map(|attempt| attempt.account().account())
        .collect()
}

fn problems(error: &Error) -> String {
    error
        .faults()
        .iter()
        .map(|fault| format!("{}: {}\n", fault.field, fault.problem))
        .collect()
}

#[tokio::test]
async fn a_program_routes_and_says_why() {
    let rules = Program::builder("by method")
        .rule(
            "visa",
            card_network().is("visa"),
            Route::ordered(["sandbox/third", "sandbox"]),
        )
        .rule(
            "not served",
            payer_country().is(Country::from_static("KP")),
            Route::block("country_not_served"),
        )
        .otherwise(Route::ordered(["sandbox/second"]))
        .unwrap();
    let world = world(|builder| builder.router(rules.clone())).await;
    let visa = card("tok_approve").with_card(CardDetails::new().network("visa").bin("421234"));
    let intent = pay(&world, "visa", new(), visa).await.unwrap();
    assert_eq!(went(&intent), ["third"]);
    let why = intent.routing().unwrap();
    assert_eq!(
        why.order(),
        [&account("third"), &account("first"), &account("second")]
    );
    assert!(
        matches!(&why.by, DecidedBy::Program { name, rule, place: Some(0), version: None, fingerprint }
            if name == "by method" && rule == "visa" && fingerprint == rules.fingerprint()),
        "{why:?}"
    );
    let intent = pay(&world, "other", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&intent), ["second"]);
    let mut payer = Payer::default();
    payer.country = Some("KP".to_owned());
    let before = world.store.commits();
    let blocked = pay(&world, "blocked", new().payer(payer), card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(*blocked.kind(), ErrorKind::Forbidden);
    assert_eq!(problems(&blocked), "route: country_not_served\n");
    assert_eq!(
        world.store.commits(),
        before,
        "a payment that is blocked leaves nothing behind"
    );
}

#[tokio::test]
async fn what_is_kept_of_a_decision_has_no_personal_data_and_replays() {
    let rules = Program::builder("split")
        .rule(
            "shop",
            metadata("shop").is("books"),
            Route::best_success_rate(["sandbox"]),
        )
        .otherwise(Route::split(
            [("sandbox/first", 1), ("sandbox/second", 1)],
            StickyBy::Customer,
        ))
        .unwrap();
    let world = world(|builder| builder.router(rules.clone()).health(HealthPolicy::new())).await;
    let mut payer = Payer::default();
    (payer.name, payer.email) = (Some("A. Payer".to_owned()), Some("a@payer.example".to_owned()));
    payer.country = Some("FR".to_owned());
    let mut kept = Vec::new();
    for number in 0..40 {
        let pairs = [
            ("shop", if number % 2 == 0 { "books" } else { "shoes" }),
            ("secret", "canary"),
        ];
        let intent = new()
            .payer(payer.clone())
            .metadata(pairs)
            .customer(paymux::CustomerId::from_uuid(
                paymux::Mode::Test,
                uuid::Uuid::from_u128(number),
            ));
        let method = card("tok_approve").with_card(CardDetails::new().network("visa").fingerprint("print-7"));
        let intent = pay(&world, &format!("p{number}"), intent, method).await.unwrap();
        kept.push(intent.routing().unwrap().clone());
    }
    let text = serde_json::to_string(&kept).unwrap();
    for personal in ["Payer", "payer.example", "canary", "print-7", "tok_approve"] {
        assert!(!text.contains(personal), "{personal} is kept");
    }
    let read: Vec<Explanation> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, kept);
    let again = replay(&rules, &read, |_done| {});
    assert_eq!((again.decisions, again.same), (40, 40), "{again}");
    let other = program(Route::ordered(["sandbox/third"]));
    let changed = replay(&other, &read, |_done| {});
    assert_eq!(changed.moved, 40, "{changed}");
    let asks = Program::builder("asks")
        .rule("never asked", metadata("secret").is("canary"), Route::block("x"))
        .otherwise(Route::ordered(["sandbox"]))
        .unwrap();
    assert_eq!(replay(&asks, &read, |_done| {}).undecidable, 40);
}

#[tokio::test]
async fn an_account_that_cannot_take_a_payment_is_left_out_before_any_rule() {
    let router = program(Route::ordered(["sandbox"]));
    let euros = Shape::default().currencies([Currency::EUR]);
    let world = World::built(euros, &["first", "second", "third"], |builder| {
        builder.router(router)
    })
    .await;
    let dollars = NewIntent::payment(money!("5 USD"));
    let error = pay(&world, "usd", dollars, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NoRoute);
    let named = |name: &str| problems(&error).contains(&format!("sandbox/{name}: currency: "));
    assert!(
        ["first", "second", "third"].into_iter().all(named),
        "{}",
        problems(&error)
    );
    assert_eq!(world.posts(), 0);
    let token = PaymentMethod::card_token_of(account("second"), "tok_approve");
    let intent = pay(&world, "own", new(), token).await.unwrap();
    assert_eq!(went(&intent), ["second"]);
    let left: Vec<_> = intent
        .left_out()
        .iter()
        .map(|out| out.account.account())
        .collect();
    assert_eq!(left, ["first", "third"]);
    // A token of one account's is tried nowhere else, whatever the plan would hold.
    world.fault(Call::Authorize, FaultKind::Refuse(429));
    let token = PaymentMethod::card_token_of(account("second"), "tok_approve");
    let error = pay(&world, "down", new(), token).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NotExecuted);
}

#[tokio::test]
async fn what_a_payment_will_need_is_asked_of_its_account_beforehand() {
    let poor = Shape::default().without(Ability::Refund).single_capture();
    let world = World::of(poor, &["only"]).await;
    for (need, words) in [
        (Need::Refund, "refunds"),
        (Need::PartialRefund, "partial refunds"),
        (Need::Multicapture, "more than one capture"),
    ] {
        let error = pay(&world, words, new().needs([need]), card("tok_approve"))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NoRoute);
        assert!(problems(&error).contains(words), "{}", problems(&error));
    }
    let intent = pay(
        &world,
        "void",
        new().needs([Need::Void, Need::PartialCapture]),
        card("tok_approve"),
    )
    .await;
    assert_eq!(intent.unwrap().status(), IntentStatus::Succeeded);
}

#[tokio::test]
async fn a_caller_who_names_an_account_skips_the_rules_and_not_what_it_can_take() {
    let world = world(|builder| builder.router(program(Route::block("nobody")))).await;
    let through = new().through(account("third"));
    let intent = pay(&world, "third", through, card("tok_approve")).await.unwrap();
    assert_eq!(went(&intent), ["third"]);
    assert_eq!(intent.routing().unwrap().by, DecidedBy::Caller);
    let all = new().through(ConnectorId::from_static("sandbox"));
    let intent = pay(&world, "all", all, card("tok_approve")).await.unwrap();
    assert_eq!(intent.route().len(), 3);
    let elsewhere = new().through(ConnectorId::from_static("elsewhere"));
    let error = pay(&world, "elsewhere", elsewhere, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NoRoute);
    let others = PaymentMethod::card_token_of(account("first"), "tok_approve");
    let error = pay(&world, "others", new().through(account("third")), others)
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::NoRoute);
}

#[tokio::test]
async fn a_cards_details_are_checked() {
    let world = World::new().await;
    for (details, field) in [
        (CardDetails::new().bin("4212"), "method.card.bin"),
        (CardDetails::new().bin("4212345678901234"), "method.card.bin"),
        (CardDetails::new().network("Visa!"), "method.card.network"),
        (
            CardDetails::new().fingerprint("4212 3456 7890 1234"),
            "method.card.fingerprint",
        ),
    ] {
        let error = pay(&world, "bad", new(), card("tok_approve").with_card(details))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid);
        assert_eq!(error.faults()[0].field, field);
    }
    let good = CardDetails::new()
        .network("cartes_bancaires")
        .bin("42123456")
        .funding(CardType::Prepaid)
        .issuer_country(Country::from_static("FR"))
        .fingerprint("fp_9f86d081884c7d659a2feaa0c55ad015");
    let intent = pay(&world, "good", new(), card("tok_approve").with_card(good))
        .await
        .unwrap();
    assert_eq!(intent.routing().unwrap().facts.card_type, Some(CardType::Prepaid));
}

#[tokio::test]
async fn only_proof_or_a_soft_decline_lets_a_payment_go_on() {
    // Each fault at the first account, and where the payment is after it.
    for (fault, attempts) in [
        (FaultKind::Refuse(429), 2),
        (FaultKind::NotSent, 2),
        (FaultKind::DropRequest, 1),
        (FaultKind::DropAnswer, 1),
        (FaultKind::ServerErrorAfter, 1),
    ] {
        let world = world(|builder| builder.router(program(Route::ordered(["sandbox"])))).await;
        world.sandbox.faults().next_at("first", Call::Authorize, fault);
        let intent = pay(&world, "p", new(), card("tok_approve")).await.unwrap();
        assert_eq!(intent.attempts().len(), attempts, "{fault:?}");
    }
    for (token, attempts) in [
        ("tok_decline_do_not_honor", 3),
        ("tok_decline_stolen_card", 1),
        ("tok_pending_then_settled", 1),
    ] {
        let world = world(|builder| builder.router(program(Route::ordered(["sandbox"])))).await;
        let intent = pay(&world, "p", new(), card(token)).await.unwrap();
        assert_eq!(intent.attempts().len(), attempts, "{token}");
    }
}

#[tokio::test]
async fn the_policy_says_which_decline_goes_on_to_which_account() {
    let declined = DeclineCode::ALL
        .iter()
        .copied()
        .filter(|code| *code != DeclineCode::Unmapped);
    let only_third = CascadePolicy::new().only_to(declined.clone(), ["sandbox/third"]);
    let never = CascadePolicy::new().stop_after(declined);
    for (cascade, expected) in [(only_third, vec!["first", "third"]), (never, vec!["first"])] {
        let world = world(|builder| builder.policy(Policy::new().cascade(cascade))).await;
        let intent = pay(&world, "p", new(), card("tok_decline_do_not_honor"))
            .await
            .unwrap();
        assert_eq!(went(&intent), expected);
        assert!(
            intent
                .attempts()
                .iter()
                .all(|attempt| attempt.status() == AttemptStatus::Declined)
        );
    }
}

#[tokio::test]
async fn a_tenant_keeps_programs_puts_activates_and_rolls_back() {
    for world in World::each_built(Shape::default(), &["first", "second", "third"], |builder| {
        builder.stored_programs(Duration::from_secs(5))
    })
    .await
    {
        let programs = world.payments.programs();
        assert_eq!(programs.active().await.unwrap(), None);
        let (second, third) = (
            program(Route::ordered(["sandbox/second"])),
            program(Route::ordered(["sandbox/third"])),
        );
        let stored = programs.put(&second).await.unwrap();
        assert_eq!(stored.version, 1);
        assert_eq!(
            programs.put(&second).await.unwrap(),
            stored,
            "the same again is no other version"
        );
        let intent = pay(&world, "before", new(), card("tok_approve")).await.unwrap();
        assert_eq!(went(&intent), ["first"], "what isn't active routes nothing");
        programs.activate(1).await.unwrap();
        let intent = pay(&world, "second", new(), card("tok_approve")).await.unwrap();
        assert_eq!(went(&intent), ["second"]);
        assert!(matches!(
            intent.routing().unwrap().by,
            DecidedBy::Program { version: Some(1), .. }
        ));
        assert_eq!(programs.put(&third).await.unwrap().version, 2);
        programs.activate(2).await.unwrap();
        let intent = pay(&world, "third", new(), card("tok_approve")).await.unwrap();
        assert_eq!(went(&intent), ["third"]);
        assert_eq!(programs.roll_back().await.unwrap(), 1);
        let intent = pay(&world, "back", new(), card("tok_approve")).await.unwrap();
        assert_eq!(went(&intent), ["second"]);
        let error = programs.roll_back().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid);
        let listed: Vec<_> = programs
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|one| one.version)
            .collect();
        assert_eq!(listed, [1, 2]);
        assert_eq!(programs.read(2).await.unwrap(), third);
        assert_eq!(*programs.read(3).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            *programs.activate(0).await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let stranger = program(Route::ordered(["sandboxx"]));
        let error = programs.put(&stranger).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid);
        assert_eq!(
            world.rows(RowKind::Program).await.len(),
            3,
            "what is refused leaves nothing behind"
        );
        let other = world.paymux.tenant(Tenant::test("another").unwrap());
        assert_eq!(
            other.programs().active().await.unwrap(),
            None,
            "programs are the tenant's own"
        );
    }
}

#[tokio::test]
async fn another_instance_hears_of_a_program_within_its_pause() {
    let pause = Duration::from_secs(5);
    let world = world(|builder| builder.stored_programs(pause)).await;
    let programs = world.payments.programs();
    programs
        .put(&program(Route::ordered(["sandbox/second"])))
        .await
        .unwrap();
    programs
        .put(&program(Route::ordered(["sandbox/third"])))
        .await
        .unwrap();
    programs.activate(1).await.unwrap();
    let accounts = ["first", "second", "third"].map(|name| world.sandbox.connector(name));
    let elsewhere = world
        .restarted_with(ConnectorMap::shared(accounts).unwrap(), |builder| {
            builder.stored_programs(pause)
        })
        .await;
    let first = pay(&elsewhere, "one", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&first), ["second"]);
    programs.activate(2).await.unwrap();
    let stale = pay(&elsewhere, "two", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&stale), ["second"], "it goes by what it read last");
    world.clock.advance(pause);
    let fresh = pay(&elsewhere, "three", new(), card("tok_approve"))
        .await
        .unwrap();
    assert_eq!(went(&fresh), ["third"]);
}

#[tokio::test]
async fn an_account_that_answers_nothing_is_tried_last_and_probed() {
    let world = world(|builder| builder.health(HealthPolicy::new())).await;
    for number in 0..8 {
        world
            .sandbox
            .faults()
            .next_at("first", Call::Authorize, FaultKind::Refuse(429));
        let intent = pay(&world, &format!("down{number}"), new(), card("tok_approve"))
            .await
            .unwrap();
        assert_eq!(intent.status(), IntentStatus::Succeeded, "no payment is lost");
    }
    world.sandbox.faults().clear();
    let intent = pay(&world, "open", new(), card("tok_approve")).await.unwrap();
    assert_eq!(
        intent.route().last().unwrap().account,
        account("first"),
        "{}",
        intent.routing().unwrap()
    );
    assert_eq!(went(&intent), ["second"]);
    world.clock.advance(Duration::from_secs(31));
    let probe = pay(&world, "probe", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&probe), ["first"], "{}", probe.routing().unwrap());
    let closed = pay(&world, "closed", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&closed), ["first"]);
}

#[tokio::test]
async fn with_all_circuits_open_the_policy_decides() {
    for (when, tried) in [(WhenAllOpen::TryAnyway, true), (WhenAllOpen::Refuse, false)] {
        let world = world(|builder| builder.health(HealthPolicy::new().when_all_open(when))).await;
        for number in 0..8 {
            for name in ["first", "second", "third"] {
                world
                    .sandbox
                    .faults()
                    .next_at(name, Call::Authorize, FaultKind::Refuse(429));
            }
            let error = pay(&world, &format!("down{number}"), new(), card("tok_approve"))
                .await
                .unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::NotExecuted);
        }
        world.sandbox.faults().clear();
        let sent = world.posts();
        match pay(&world, "all", new(), card("tok_approve")).await {
            Ok(intent) => {
                assert!(tried);
                assert_eq!(intent.routing().unwrap().circuits, Circuits::AllOpen);
            }
            Err(error) => {
                assert!(!tried);
                assert_eq!(*error.kind(), ErrorKind::NotExecuted);
                assert_eq!(world.posts(), sent, "nothing was sent");
            }
        }
    }
}

#[tokio::test]
async fn instances_hear_of_each_others_counts_and_a_restart_goes_on() {
    for world in World::each_built(Shape::default(), &["first"], |builder| {
        builder.health(HealthPolicy::new().instance("api-1"))
    })
    .await
    {
        for number in 0..5 {
            pay(&world, &format!("p{number}"), new(), card("tok_approve"))
                .await
                .unwrap();
        }
        world.paymux.exchange_health().await.unwrap();
        let health = async |name: &str| {
            let connectors = ConnectorMap::shared([world.sandbox.connector("first")]).unwrap();
            let policy = HealthPolicy::new().instance(name);
            let another = world
                .restarted_with(connectors, |builder| builder.health(policy))
                .await;
            another.paymux.exchange_health().await.unwrap();
            another.paymux.health().unwrap()
        };
        let (account, at) = (account("first"), world.clock.now());
        let segment = Segment {
            account: &account,
            method: paymux::MethodKind::CardToken,
            via: None,
            currency: Currency::EUR,
        };
        for name in ["api-2", "api-1"] {
            let standing = health(name).await.standing(&segment, at);
            assert_eq!(
                (standing.tried, standing.rate_ppm),
                (5, Some(1_000_000)),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn the_cheapest_comes_first_and_the_fee_is_shown() {
    let fees = FeeTable::new([
        FeeRow::of("sandbox/first", Percent::from_ppm(29_000)).fixed(money!("0.30 EUR")),
        FeeRow::of("sandbox/second", Percent::from_ppm(14_000)),
    ])
    .unwrap();
    let world = world(|builder| builder.fees(fees).router(program(Route::cheapest(["sandbox"])))).await;
    let intent = pay(&world, "p", new(), card("tok_approve")).await.unwrap();
    let order: Vec<_> = intent
        .route()
        .iter()
        .map(|planned| planned.account.account())
        .collect();
    assert_eq!(
        order,
        ["second", "first", "third"],
        "whose fee isn't known comes last"
    );
    let why = intent.routing().unwrap();
    let fee = |name: &str| {
        why.considered
            .iter()
            .find(|one| one.account == account(name))
            .unwrap()
            .fee
    };
    assert_eq!(fee("first"), Some(money!("1.75 EUR")));
    assert_eq!(fee("second"), Some(money!("0.70 EUR")));
    assert_eq!(fee("third"), None);
}

#[tokio::test]
async fn a_card_is_tried_no_more_often_than_its_network_allows() {
    let policy = Policy::new().max_attempts(1);
    let world = world(|builder| builder.policy(policy)).await;
    let visa = |token: &str| card(token).with_card(CardDetails::new().network("visa").fingerprint("print-7"));
    for number in 0..15 {
        let intent = pay(
            &world,
            &format!("p{number}"),
            new(),
            visa("tok_decline_do_not_honor"),
        )
        .await
        .unwrap();
        assert_eq!(intent.attempts().len(), 1);
    }
    let sent = world.posts();
    let error = pay(&world, "once too often", new(), visa("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Forbidden, "{error}");
    assert_eq!(world.posts(), sent, "nothing was sent");
    let other = card("tok_approve").with_card(CardDetails::new().network("visa").fingerprint("print-8"));
    assert!(pay(&world, "another card", new(), other).await.is_ok());
    world.clock.advance(30 * DAY + HOUR);
    assert!(pay(&world, "later", new(), visa("tok_approve")).await.is_ok());
}

#[tokio::test]
async fn a_cascade_ends_where_the_cards_network_allows_no_other_try() {
    let world = world(|builder| builder).await;
    let visa = |token: &str| card(token).with_card(CardDetails::new().network("visa").fingerprint("print-7"));
    let mut declined = 0;
    for number in 0..5 {
        let name = format!("p{number}");
        let intent = pay(&world, &name, new(), visa("tok_decline_do_not_honor")).await;
        declined += intent.unwrap().attempts().len();
    }
    assert_eq!(declined, 15, "each is declined at all three accounts");
    for limit in [14, 13] {
        // Another card, so that the next payment begins below the limit and would go over it by itself.
        let print = format!("print-{limit}");
        let visa = || {
            let details = CardDetails::new().network("visa").fingerprint(&*print);
            card("tok_decline_do_not_honor").with_card(details)
        };
        for number in 0..limit {
            let only = new().through(account("first"));
            let name = format!("{limit}-{number}");
            let intent = pay(&world, &name, only, visa()).await.unwrap();
            assert_eq!(intent.attempts().len(), 1);
        }
        let last = pay(&world, &format!("{limit}-last"), new(), visa())
            .await
            .unwrap();
        assert_eq!(last.attempts().len(), 15 - limit, "{limit}");
        assert_eq!(last.status(), IntentStatus::Created);
    }
}

#[tokio::test]
async fn an_account_that_authenticates_nobody_is_not_asked_for_a_challenge() {
    let world = World::of(Shape::default().no_three_d_secure(), &["only"]).await;
    let token = card("tok_authentication_required");
    let intent = pay(&world, "p", new(), token).await.unwrap();
    assert_eq!(went(&intent), ["only"]);
    assert_eq!(intent.status(), IntentStatus::Created);
    let decline = intent.last_decline().unwrap();
    assert_eq!(decline.code(), DeclineCode::AuthenticationRequired);
}

#[tokio::test]
async fn a_challenge_that_was_asked_for_is_asked_of_every_account_after() {
    let (runtime, clock) = Runtime::test(7);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let lax = Shape::default().no_three_d_secure();
    let accounts = [
        sandbox.connector("first"),
        sandbox.clone().shape(lax).connector("second"),
        sandbox.connector("third"),
    ];
    let connectors = ConnectorMap::shared(accounts).unwrap();
    let world = World::from(runtime, clock, sandbox, connectors, |builder| builder).await;
    // A second copy changes nothing; the third send is the one with the challenge.
    world.fault(Call::Authorize, FaultKind::Duplicate);
    world.fault(Call::Authorize, FaultKind::Decline);
    let intent = pay(&world, "p", new(), card("tok_authentication_required"))
        .await
        .unwrap();
    assert_eq!(intent.route().len(), 3, "without a challenge all three take it");
    assert_eq!(went(&intent), ["first", "first", "third"]);
    let asked = intent.attempts().last().unwrap();
    assert_eq!(
        asked.status(),
        AttemptStatus::RequiresAction,
        "challenged there too"
    );
}

#[tokio::test]
async fn a_dry_run_says_where_a_payment_would_go_and_writes_nothing() {
    let world = world(|builder| builder.router(program(Route::ordered(["sandbox/third", "sandbox"])))).await;
    let before = (world.store.commits(), world.posts());
    let plan = world.payments.plan_for(new(), card("tok_approve")).await.unwrap();
    let order: Vec<_> = plan
        .accounts()
        .iter()
        .map(|planned| planned.account.account())
        .collect();
    assert_eq!(order, ["third", "first", "second"]);
    assert_eq!(
        plan.explanation().unwrap().to_string(),
        format!(
            "49.99 EUR by card token: program `test` ({}), its default, in the order given\n  \
             1. sandbox/third\n  2. sandbox/first\n  3. sandbox/second\n",
            program(Route::ordered(["sandbox/third", "sandbox"])).fingerprint()
        )
    );
    let dear = NewIntent::payment(money!("0 EUR"));
    let error = world
        .payments
        .plan_for(dear, card("tok_approve"))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    assert_eq!((world.store.commits(), world.posts()), before);
}

#[tokio::test]
async fn a_program_is_tried_on_the_payments_of_the_past() {
    for world in World::each(Shape::default(), &["first", "second", "third"]).await {
        for number in 0..120 {
            pay(&world, &format!("p{number}"), new(), card("tok_approve"))
                .await
                .unwrap();
        }
        let never = world.payments.create_intent(&key("never"), new()).await.unwrap();
        assert!(never.outcome.routing().is_none());
        let other = program(Route::ordered(["sandbox/second", "sandbox"]));
        let mut told = Vec::new();
        let replayed = world
            .payments
            .programs()
            .replay(&other, IntentQuery::new(), |done| told.push(done))
            .await
            .unwrap();
        assert_eq!((replayed.decisions, replayed.moved), (120, 120));
        assert_eq!(told, [100, 121]);
        assert_eq!(replayed.flows[0].minor, 120 * 4_999);
    }
}

#[tokio::test]
async fn a_host_puts_another_program_in_force_while_payments_run() {
    let in_force = std::sync::Arc::new(ActiveProgram::new(program(Route::ordered(["sandbox/second"]))));
    let world = world(|builder| builder.router(in_force.clone())).await;
    let intent = pay(&world, "one", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&intent), ["second"]);
    in_force.replace(program(Route::ordered(["sandbox/third"])));
    let intent = pay(&world, "two", new(), card("tok_approve")).await.unwrap();
    assert_eq!(went(&intent), ["third"]);
}
