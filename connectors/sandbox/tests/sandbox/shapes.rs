//! Each shape offers what it says and no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paymux_core::connector::{
    Ability, Authorization, AuthorizeReport, CaptureReport, CloseReport, Effect, Handle, Key, LookUpReport,
    Offer, Outcome, PrepareReport, ReadReport, RefundReport, op,
};
use paymux_core::{
    CaptureMethod, ConnectorId, Currency, Grant, IntentDetails, IntentMode, Mit, MitReason, Money,
    PaymentMethod, Rest, TestClock, Volatile,
};
use paymux_sandbox::{Sandbox, Settlement, Shape};

use crate::support::{Caller, eur, now};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_shape_withholds_what_it_says() {
    let everything = Sandbox::seeded(1).connector("main");
    assert!(
        Ability::ALL
            .iter()
            .all(|ability| everything.offers(*ability) == Offer::Offered)
    );
    for ability in Ability::ALL {
        let connector = Sandbox::seeded(1)
            .shape(Shape::default().without(*ability))
            .connector("main");
        let offered: Vec<_> = Ability::ALL
            .iter()
            .filter(|of| connector.offers(**of) == Offer::Offered)
            .collect();
        assert_eq!(offered.len(), Ability::ALL.len() - 1);
        assert!(!offered.contains(&ability));
    }
    let bare = Sandbox::seeded(1).shape(Shape::bare()).connector("main");
    for ability in [
        Ability::Read,
        Ability::LookUp,
        Ability::ReadRefund,
        Ability::LookUpRefund,
    ] {
        assert_eq!(bare.offers(ability), Offer::Refused);
    }
    let Some(Authorization::OneCall(step, _)) = bare.slots().authorize() else {
        panic!()
    };
    assert_eq!((step.effect(), step.key()), (Effect::MovesMoney, Key::None));
}

#[test]
fn a_handle_first_payment_is_unexecuted_until_it_is_executed_once() {
    let caller = Caller::new(Shape::handle_first());
    let name = caller.name();
    let method = PaymentMethod::card_token("tok_approve");
    let asked = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Manual);
    let Some(Authorization::HandleFirst { prepare, execute }) = caller.connector.slots().authorize() else {
        panic!()
    };
    assert_eq!(
        (prepare.0.effect(), execute.0.effect()),
        (Effect::Preparatory, Effect::MovesMoney)
    );
    let prepared = op::Prepare::new(asked.clone());
    let outcome = now(caller.send(prepare.1.as_ref(), &prepared, &name.key("prepare")));
    let Outcome::Answered(PrepareReport::Prepared(handle, _)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        caller.stands(&name, &handle),
        AuthorizeReport::Unexecuted(handle.clone())
    );
    assert!(matches!(
        caller.look_up(&name),
        Outcome::Answered(LookUpReport::Found(_))
    ));
    assert!(caller.ledger().live_charges(&name.reference).is_empty());

    let confirmed = op::Execute::new(asked, handle.clone());
    let outcome = now(caller.send(execute.1.as_ref(), &confirmed, &name.key("execute")));
    assert!(
        matches!(outcome, Outcome::Answered(AuthorizeReport::Authorized(_))),
        "{outcome:?}"
    );
    let again = now(caller.send(execute.1.as_ref(), &confirmed, &name.key("other")));
    assert!(
        matches!(again, Outcome::Unknown(_)),
        "executed before: no proof that this did nothing"
    );
    assert_eq!(caller.ledger().live_charges(&name.reference).len(), 1);
}

#[test]
fn without_a_completion_the_payers_act_counts_at_once() {
    let caller = Caller::new(Shape::default().without(Ability::Complete));
    let (name, handle) = caller.approved("tok_fingerprint_then_challenge", CaptureMethod::Automatic);
    caller.sandbox.payer_approves(handle.as_str()).unwrap();
    assert!(
        matches!(caller.stands(&name, &handle), AuthorizeReport::ActionNeeded(..)),
        "the challenge"
    );
    caller.sandbox.payer_approves(handle.as_str()).unwrap();
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Captured(_)
    ));
}

#[test]
fn one_capture_alone_is_granted_where_the_shape_says_so() {
    let caller = Caller::new(Shape::default().single_capture().without(Ability::Increment));
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    let AuthorizeReport::Authorized(approval) = caller.stands(&name, &handle) else {
        panic!()
    };
    assert_eq!(
        (approval.granted.multicapture, approval.granted.incremental),
        (Grant::Refused, Grant::Refused)
    );
    assert_eq!(
        approval.granted.capture_before,
        Some(caller.ledger().payments()[0].made_at.after(DAY * 7))
    );
    assert!(matches!(
        caller.capture(&handle, 4_000, Rest::Keep),
        Outcome::NotExecuted(_)
    ));
    let first = caller.capture(&handle, 4_000, Rest::Release);
    assert!(matches!(first, Outcome::Answered(CaptureReport::Captured(..))));
    let rich = Caller::new(Shape::default());
    let (name, handle) = rich.approved("tok_approve", CaptureMethod::Manual);
    let AuthorizeReport::Authorized(approval) = rich.stands(&name, &handle) else {
        panic!()
    };
    assert_eq!(
        (approval.granted.multicapture, approval.granted.incremental),
        (Grant::Granted, Grant::Granted)
    );
}

#[test]
fn captured_money_is_voided_until_it_settles_where_the_shape_says_so() {
    for (shape, voided) in [
        (Shape::default(), true),
        (Shape::default().no_void_after_capture(), false),
    ] {
        let caller = Caller::new(shape);
        let (name, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
        let outcome = caller.void(&handle, 10_000);
        assert_eq!(
            matches!(outcome, Outcome::Answered(CloseReport::Closed(..))),
            voided,
            "{outcome:?}"
        );
        assert_eq!(caller.ledger().live_charges(&name.reference).is_empty(), voided);
        let (_, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
        caller.clock.advance(DAY * 2);
        let outcome = caller.void(&handle, 10_000);
        assert!(
            matches!(outcome, Outcome::Answered(CloseReport::Refused(_))),
            "settled: {outcome:?}"
        );
    }
}

#[test]
fn refunds_of_captures_go_no_further_than_their_capture() {
    let caller = Caller::new(Shape::default().refund_per_capture());
    let (_, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    let captured = |minor, rest| match caller.capture(&handle, minor, rest) {
        Outcome::Answered(CaptureReport::Captured(capture, _)) => capture,
        other => panic!("{other:?}"),
    };
    let (small, large) = (captured(1_000, Rest::Keep), captured(9_000, Rest::Release));
    assert!(
        matches!(caller.refund(&handle, 500).1, Outcome::NotExecuted(_)),
        "of which capture?"
    );
    assert!(matches!(caller.refund(&small, 1_001).1, Outcome::NotExecuted(_)));
    assert!(matches!(
        caller.refund(&small, 600).1,
        Outcome::Answered(RefundReport::Refunded(..))
    ));
    assert!(matches!(caller.refund(&small, 401).1, Outcome::NotExecuted(_)));
    assert!(matches!(
        caller.refund(&large, 9_000).1,
        Outcome::Answered(RefundReport::Refunded(..))
    ));
    assert_eq!(caller.ledger().payments()[0].kept(), eur(400));
    let (_, automatic) = caller.approved("tok_approve", CaptureMethod::Automatic);
    assert!(matches!(
        caller.refund(&automatic, 1).1,
        Outcome::Answered(RefundReport::Refunded(..))
    ));
}

#[test]
fn unsettled_money_is_not_refunded_where_the_shape_says_so() {
    let caller = Caller::new(Shape::default().refund_requires_settlement());
    let (_, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    assert!(matches!(
        caller.refund(&handle, 1_000).1,
        Outcome::Answered(RefundReport::Failed(_))
    ));
    caller.sandbox.settle(handle.as_str()).unwrap();
    assert!(matches!(
        caller.refund(&handle, 1_000).1,
        Outcome::Answered(RefundReport::Refunded(..))
    ));
}

#[test]
fn money_settles_when_the_shape_says_so() {
    let settles = |settlement| Caller::new(Shape::default().settles(settlement));
    let at_once = settles(Settlement::AtOnce);
    let (_, outcome) = at_once.authorize("tok_approve", CaptureMethod::Automatic);
    assert!(matches!(outcome, Outcome::Answered(AuthorizeReport::Settled(_))));
    let (_, handle) = at_once.approved("tok_approve", CaptureMethod::Manual);
    let outcome = at_once.capture(&handle, 10_000, Rest::Release);
    assert!(matches!(outcome, Outcome::Answered(CaptureReport::Settled(..))));

    let later = settles(Settlement::After(DAY));
    let (name, handle) = later.approved("tok_approve", CaptureMethod::Automatic);
    later.clock.advance(DAY - Duration::from_millis(1));
    assert!(matches!(
        later.stands(&name, &handle),
        AuthorizeReport::Captured(_)
    ));
    later.clock.advance(Duration::from_millis(1));
    assert!(matches!(
        later.stands(&name, &handle),
        AuthorizeReport::Settled(_)
    ));

    let by_hand = settles(Settlement::ByHand);
    let (name, handle) = by_hand.approved("tok_approve", CaptureMethod::Automatic);
    by_hand.clock.advance(DAY * 1_000);
    assert!(matches!(
        by_hand.stands(&name, &handle),
        AuthorizeReport::Captured(_)
    ));
    by_hand.sandbox.settle(handle.as_str()).unwrap();
    assert!(matches!(
        by_hand.stands(&name, &handle),
        AuthorizeReport::Settled(_)
    ));
    assert!(by_hand.sandbox.settle(handle.as_str()).is_err());
}

#[test]
fn limits_are_those_of_the_shape() {
    let token = PaymentMethod::card_token("tok_approve");
    let connector = Sandbox::seeded(1)
        .shape(
            Shape::default()
                .automatic_capture_only()
                .currencies([Currency::EUR]),
        )
        .connector("main");
    let admits = |amount, capture| connector.capabilities().admit(amount, &token, capture).is_ok();
    assert!(admits(eur(1), CaptureMethod::Automatic));
    assert!(!admits(eur(1), CaptureMethod::Manual));
    assert!(!admits(
        Money::from_minor(1, Currency::JPY),
        CaptureMethod::Automatic
    ));
    let caller = Caller::new(Shape::default().automatic_capture_only());
    let (_, outcome) = caller.authorize("tok_approve", CaptureMethod::Manual);
    assert!(
        matches!(outcome, Outcome::NotExecuted(_)),
        "the processor knows its limits as well"
    );
    let all = Sandbox::seeded(1).connector("main");
    for (currency, taken) in [
        (Currency::JPY, true),
        (Currency::EUR, true),
        (Currency::BHD, true),
        (Currency::CLF, false),
    ] {
        let amount = Money::from_minor(1, currency);
        let admitted = all.capabilities().admit(amount, &token, CaptureMethod::Manual);
        assert_eq!(admitted.is_ok(), taken, "{currency}");
    }
}

#[test]
fn a_method_is_verified_without_money_and_what_was_agreed_is_charged_without_the_payer() {
    let caller = Caller::new(Shape::default());
    for mode in [IntentMode::Setup, IntentMode::Verify] {
        for (token, amount, verified) in [("tok_approve", 0, true), ("tok_approve", 1, false)] {
            let name = caller.name();
            let method = PaymentMethod::card_token(token);
            let op =
                op::Authorize::new(&name.reference, eur(amount), method, CaptureMethod::Automatic).mode(mode);
            let outcome = now(caller.authorize_as(&name, &op));
            assert_eq!(
                matches!(outcome, Outcome::Answered(AuthorizeReport::Verified(_))),
                verified,
                "{outcome:?}"
            );
        }
    }
    let name = caller.name();
    let mut details = IntentDetails::default();
    details.mit = Some(Mit::new(MitReason::Recurring));
    details.merchant_reference = Some("order-1".to_owned());
    details.metadata = BTreeMap::from([("basket".to_owned(), "7".to_owned())]);
    let method = PaymentMethod::card_token("tok_approve");
    let op = op::Authorize::new(&name.reference, eur(500), method, CaptureMethod::Automatic)
        .challenge(paymux_core::Challenge::Required)
        .details(Arc::new(details));
    let outcome = now(caller.authorize_as(&name, &op));
    assert!(
        matches!(outcome, Outcome::Answered(AuthorizeReport::Captured(_))),
        "nobody is there to challenge"
    );
    let ledger = caller.ledger();
    let [charge] = ledger.live_charges("order-1")[..] else {
        panic!()
    };
    assert_eq!(charge.metadata["basket"], "7");
    assert_eq!(charge.reference, name.reference);
}

#[test]
fn other_methods_go_their_way() {
    let caller = Caller::new(Shape::default());
    let volatile = || Volatile::new("for one call");
    let ask = |method: PaymentMethod| {
        let name = caller.name();
        let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Automatic);
        let Some(Authorization::OneCall(_, exchange)) = caller.connector.slots().authorize() else {
            panic!()
        };
        let request = exchange.request(&op, &name.key("authorize")).unwrap();
        (now(caller.authorize_as(&name, &op)), request.volatile_part())
    };
    let approved = |outcome| matches!(outcome, Outcome::Answered(AuthorizeReport::Captured(_)));
    let asks = |outcome| matches!(outcome, Outcome::Answered(AuthorizeReport::ActionNeeded(..)));
    let (outcome, part) = ask(PaymentMethod::wallet("apple_pay", volatile()));
    assert!(approved(outcome) && part.is_some());
    let network = PaymentMethod::network_token("tok_approve", volatile());
    let (outcome, part) = ask(network);
    assert!(approved(outcome) && part.is_some());
    caller.approved("tok_fingerprint_then_challenge", CaptureMethod::Automatic);
    let shown = format!(
        "{:?} {:?} {:?}",
        caller.sandbox,
        caller.connector,
        caller.ledger()
    );
    for secret in ["for one call", "client_secret", "sk_sandbox", "whsec"] {
        assert!(!shown.contains(secret), "`{secret}` is printed");
    }
    for method in [
        PaymentMethod::BankRedirect {
            scheme: "ideal".into(),
        },
        PaymentMethod::OpenBanking {
            institution: "bank".into(),
        },
        PaymentMethod::Bnpl {
            provider: "later".into(),
        },
        PaymentMethod::Voucher {
            scheme: "shop".into(),
        },
        PaymentMethod::BankTransfer,
    ] {
        let (outcome, part) = ask(method.clone());
        assert!(asks(outcome) && part.is_none(), "{method:?}");
    }
    let (outcome, _) = ask(PaymentMethod::DirectDebit {
        mandate: "mandate".into(),
    });
    assert!(matches!(outcome, Outcome::Answered(AuthorizeReport::Pending(..))));
    let (outcome, _) = ask(PaymentMethod::BankRedirect {
        scheme: "tok_approve".into(),
    });
    assert!(approved(outcome), "magic in any method");
}

#[test]
fn what_the_payer_brings_back_is_sent_once() {
    let caller = Caller::new(Shape::default());
    let exchange = caller.connector.slots().complete().unwrap().1;
    let key = caller.name().key("complete");
    let complete = |payload| op::Complete::new("reference", Handle::from("pay_1"), eur(1), payload);
    let request = exchange
        .request(&complete(Volatile::new("result=x")), &key)
        .unwrap();
    assert!(request.volatile_part().is_some());
    assert!(
        exchange.request(&complete(Volatile::default()), &key).is_err(),
        "it is gone"
    );
}

#[test]
fn accounts_and_names_are_apart() {
    let sandbox = Sandbox::seeded(7)
        .named(ConnectorId::from_static("other"))
        .clock(Arc::new(TestClock::new()));
    let (main, second) = (sandbox.connector("main"), sandbox.connector("second"));
    assert_eq!(main.account().to_string(), "other/main");
    assert_eq!(second.account().to_string(), "other/second");
    let odd = Caller::of(sandbox.clone(), TestClock::new(), 1);
    let mut odd = odd;
    odd.connector = sandbox.connector("a b/ü");
    let (name, handle) = odd.approved("tok_approve", CaptureMethod::Automatic);
    assert_eq!(odd.ledger().account("a b/ü").count(), 1);
    assert!(matches!(
        odd.read(&name, &handle),
        Outcome::Answered(ReadReport::Found(_))
    ));
}
