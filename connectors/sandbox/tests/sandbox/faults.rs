//! Each fault does what its documentation says, at each call.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use paymux_core::connector::{
    Authorization, AuthorizeReport, CaptureReport, Contradiction, Echoes, Key, LookUpReport, NotExecuted,
    Outcome, ReadReport, RefundReadReport, ReplaysErrors, Request, Response, op, outcome_of,
};
use paymux_core::{CaptureMethod, DeclineCode, PaymentMethod, Rest};
use paymux_sandbox::{Call, Fate, FaultKind, Shape};

use crate::support::{Caller, eur, now};

/// A fault at a capture of 4,000: what the caller hears, how much is captured then, and after a second send.
#[test]
fn each_fault_befalls_a_capture_once() {
    #[derive(Debug, PartialEq)]
    enum Heard {
        Captured,
        Doubt(Contradiction),
        Refused,
        NotSent,
    }
    let table = [
        (FaultKind::DropRequest, Heard::Doubt(Contradiction::None), 0),
        (FaultKind::DropAnswer, Heard::Doubt(Contradiction::None), 4_000),
        (FaultKind::ServerErrorBefore, Heard::Doubt(Contradiction::None), 0),
        (
            FaultKind::ServerErrorAfter,
            Heard::Doubt(Contradiction::None),
            4_000,
        ),
        (FaultKind::NotSent, Heard::NotSent, 0),
        (FaultKind::Duplicate, Heard::Captured, 4_000),
        (FaultKind::Truncate, Heard::Doubt(Contradiction::None), 4_000),
        (FaultKind::Refuse(422), Heard::Refused, 0),
        (FaultKind::Refuse(503), Heard::Doubt(Contradiction::None), 0),
        (FaultKind::Refuse(409), Heard::Doubt(Contradiction::None), 0),
        (FaultKind::AlterAmount, Heard::Doubt(Contradiction::Echo), 4_000),
    ];
    for (fault, heard, captured) in table {
        let caller = Caller::new(Shape::default());
        let (_, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
        caller.sandbox.faults().next(Call::Capture, fault);
        let name = caller.name();
        let seen = match caller.capture_as(&name, &handle, 4_000, Rest::Keep) {
            Outcome::Answered(CaptureReport::Captured(..)) => Heard::Captured,
            Outcome::Answered(report) => panic!("{report:?}"),
            Outcome::NotExecuted(NotExecuted::Refused(_)) => Heard::Refused,
            Outcome::NotExecuted(NotExecuted::NotSent(_)) => Heard::NotSent,
            Outcome::Unknown(doubt) => Heard::Doubt(doubt.contradicts),
        };
        assert_eq!(seen, heard, "{fault:?}");
        let taken = || caller.ledger().payment(handle.as_str()).unwrap().captured;
        assert_eq!(taken(), eur(captured), "{fault:?}");
        assert_eq!(caller.sandbox.faults().waiting(), 0, "{fault:?}");
        let again = caller.capture_as(&name, &handle, 4_000, Rest::Keep);
        assert!(
            matches!(again, Outcome::Answered(CaptureReport::Captured(..))),
            "{fault:?}: {again:?}"
        );
        assert_eq!(taken(), eur(4_000), "{fault:?}");
    }
}

#[test]
fn a_hanging_call_does_its_work_and_never_answers() {
    let caller = Caller::new(Shape::default());
    caller.sandbox.faults().next(Call::Authorize, FaultKind::Hang);
    let name = caller.name();
    let method = PaymentMethod::card_token("tok_approve");
    let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Automatic);
    {
        let mut hanging = pin!(caller.authorize_as(&name, &op));
        let mut context = Context::from_waker(Waker::noop());
        assert!(hanging.as_mut().poll(&mut context).is_pending());
        caller.clock.advance(Duration::from_secs(1_000_000));
        assert!(hanging.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(caller.ledger().live_charges(&name.reference).len(), 1);
}

#[test]
fn faults_befall_their_own_call_in_turn() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    let faults = caller.sandbox.faults();
    faults
        .next(Call::Read, FaultKind::DropAnswer)
        .next(Call::Read, FaultKind::NotSent);
    faults
        .next(Call::LookUp, FaultKind::ServerErrorBefore)
        .next(Call::Refund, FaultKind::DropRequest);
    faults
        .next(Call::ReadRefund, FaultKind::Truncate)
        .next_at("second", Call::Void, FaultKind::NotSent);
    assert!(matches!(caller.read(&name, &handle), Outcome::Unknown(_)));
    assert!(matches!(caller.read(&name, &handle), Outcome::NotExecuted(_)));
    assert!(matches!(
        caller.read(&name, &handle),
        Outcome::Answered(ReadReport::Found(_))
    ));
    assert!(matches!(caller.look_up(&name), Outcome::Unknown(_)));
    let (refund, outcome) = caller.refund(&handle, 1_000);
    assert!(matches!(outcome, Outcome::Unknown(_)));
    assert!(caller.ledger().refunds().is_empty());
    let outcome = caller.refund_as(&refund, &handle, 1_000);
    assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
    let given = paymux_core::connector::Handle::from(caller.ledger().refunds()[0].handle.as_str());
    assert!(matches!(
        caller.read_refund(&refund, &given, 1_000),
        Outcome::Unknown(_)
    ));
    assert!(
        matches!(caller.void(&handle, 10_000), Outcome::Answered(_)),
        "the fault is another account's"
    );
    assert_eq!(faults.waiting(), 1);
    faults.clear();
    assert_eq!(faults.waiting(), 0);
}

#[test]
fn a_processor_that_is_down_is_reached_by_nobody() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    caller.sandbox.down();
    let not_sent = |outcome| matches!(outcome, Outcome::NotExecuted(NotExecuted::NotSent(_)));
    assert!(not_sent(caller.authorize("tok_approve", CaptureMethod::Manual).1));
    assert!(matches!(
        caller.read(&name, &handle),
        Outcome::NotExecuted(NotExecuted::NotSent(_))
    ));
    assert_eq!(caller.ledger().payments().len(), 1);
    assert_eq!(caller.ledger().sends().last().unwrap().fate, Fate::NotSent);
    caller.sandbox.up();
    assert!(matches!(
        caller.read(&name, &handle),
        Outcome::Answered(ReadReport::Found(_))
    ));
}

#[test]
fn stale_look_ups_miss_what_is_charged_for_a_while() {
    let caller = Caller::new(Shape::default());
    caller.sandbox.faults().stale_reads(Duration::from_secs(30));
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    let (refund, _) = caller.refund(&handle, 1_000);
    assert!(matches!(
        caller.look_up(&name),
        Outcome::Answered(LookUpReport::NotFound)
    ));
    assert!(matches!(
        caller.look_up_refund(&refund, &handle, 1_000),
        Outcome::Answered(RefundReadReport::NotFound)
    ));
    assert!(matches!(
        caller.read(&name, &handle),
        Outcome::Answered(ReadReport::Found(_))
    ));
    caller.clock.advance(Duration::from_secs(30));
    assert!(matches!(
        caller.look_up(&name),
        Outcome::Answered(LookUpReport::Found(_))
    ));
    assert!(matches!(
        caller.look_up_refund(&refund, &handle, 1_000),
        Outcome::Answered(RefundReadReport::Found(_))
    ));
}

#[test]
fn a_key_is_bound_to_its_body_and_forgotten_after_its_window() {
    let caller = Caller::new(Shape::default());
    let name = caller.name();
    let ask = |minor| {
        let method = PaymentMethod::card_token("tok_approve");
        let op = op::Authorize::new(&name.reference, eur(minor), method, CaptureMethod::Automatic);
        now(caller.authorize_as(&name, &op))
    };
    let charges = || caller.ledger().live_charges(&name.reference).len();
    let Outcome::Answered(AuthorizeReport::Captured(first)) = ask(10_000) else {
        panic!()
    };
    let Outcome::Answered(AuthorizeReport::Captured(second)) = ask(10_000) else {
        panic!()
    };
    assert_eq!(first, second);
    let Outcome::Unknown(doubt) = ask(9_999) else {
        panic!("another body is no proof of anything")
    };
    assert_eq!(doubt.contradicts, Contradiction::None);
    assert_eq!(caller.ledger().sends().last().unwrap().fate, Fate::Answered(409));
    assert_eq!(charges(), 1);
    caller.clock.advance(Duration::from_secs(24 * 3600));
    let Outcome::Answered(AuthorizeReport::Captured(third)) = ask(10_000) else {
        panic!()
    };
    assert_ne!(
        first.handle, third.handle,
        "the key is forgotten, and the charge made again"
    );
    assert_eq!(charges(), 2);
}

#[test]
fn a_processor_that_replays_errors_keeps_its_500() {
    let window = Duration::from_secs(3600);
    for (replays_errors, second_is_doubt) in [(ReplaysErrors::Yes, true), (ReplaysErrors::Never, false)] {
        for (token, charges) in [("tok_500_though_charged", 1), ("tok_500_not_charged", 0)] {
            let caller = Caller::new(Shape::default().key(Key::Header {
                window,
                replays_errors,
            }));
            let name = caller.name();
            let method = PaymentMethod::card_token(token);
            let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Automatic);
            assert!(matches!(
                now(caller.authorize_as(&name, &op)),
                Outcome::Unknown(_)
            ));
            assert_eq!(caller.ledger().live_charges(&name.reference).len(), charges);
            let second = now(caller.authorize_as(&name, &op));
            assert_eq!(
                matches!(second, Outcome::Unknown(_)),
                second_is_doubt,
                "{token}: {second:?}"
            );
            let then = if second_is_doubt { charges } else { 1 };
            assert_eq!(
                caller.ledger().live_charges(&name.reference).len(),
                then,
                "{token}"
            );
        }
    }
}

#[test]
fn without_keys_a_second_send_charges_again() {
    let caller = Caller::new(Shape::default().key(Key::None));
    let name = caller.name();
    let method = PaymentMethod::card_token("tok_approve");
    let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Automatic);
    for expected in [1, 2] {
        assert!(matches!(
            now(caller.authorize_as(&name, &op)),
            Outcome::Answered(_)
        ));
        assert_eq!(caller.ledger().live_charges(&name.reference).len(), expected);
    }
    assert!(
        matches!(caller.look_up(&name), Outcome::Unknown(_)),
        "two of one reference"
    );
    caller
        .sandbox
        .faults()
        .next(Call::Authorize, FaultKind::Duplicate);
    let (name, _) = caller.authorize("tok_approve", CaptureMethod::Automatic);
    assert_eq!(caller.ledger().live_charges(&name.reference).len(), 2);
}

#[test]
fn the_books_list_what_was_sent() {
    let caller = Caller::new(Shape::default());
    let (name, _) = caller.authorize("tok_request_lost", CaptureMethod::Automatic);
    caller.authorize("tok_approve", CaptureMethod::Automatic);
    let ledger = caller.ledger();
    let [lost, answered] = ledger.sends() else {
        panic!()
    };
    assert_eq!(
        (lost.method.as_str(), lost.path.as_str(), lost.fate),
        ("POST", "/payments", Fate::Lost)
    );
    assert_eq!(lost.key.as_deref(), Some(name.key("authorize").as_str()));
    assert_eq!(answered.fate, Fate::Answered(201));
    assert_ne!(lost.hash, answered.hash);
}

#[test]
fn strangers_are_refused() {
    let caller = Caller::new(Shape::default());
    let answer = now(caller
        .sandbox
        .transport()
        .send(Request::get("sandbox://main/payments?reference=x")))
    .unwrap();
    assert_eq!(answer.status(), 401);
    let answer = now(caller
        .sandbox
        .transport()
        .send(Request::get("sandbox://main/nowhere").bearer(&"sk_sandbox_main".into())));
    assert_eq!(answer.unwrap().status(), 404);
}

#[test]
fn faults_by_chance_follow_from_their_seed_and_never_charge_twice_with_a_key() {
    let fates = |seed, per_thousand| {
        let caller = Caller::new(Shape::default());
        caller.sandbox.faults().by_chance(seed, per_thousand);
        let mut fates = Vec::new();
        for _ in 0..100 {
            let (name, _) = caller.authorize("tok_approve", CaptureMethod::Automatic);
            let method = PaymentMethod::card_token("tok_approve");
            let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Automatic);
            let again = now(caller.authorize_as(&name, &op));
            let charges = caller.ledger().live_charges(&name.reference).len();
            assert!(charges <= 1, "{again:?}");
            if matches!(again, Outcome::Answered(_)) {
                assert_eq!(charges, 1);
            }
        }
        fates.extend(caller.ledger().sends().iter().map(|sent| sent.fate));
        fates
    };
    assert!(fates(1, 0).iter().all(|fate| *fate == Fate::Answered(201)));
    assert_eq!(fates(1, 300), fates(1, 300));
    assert_ne!(fates(1, 300), fates(2, 300));
    let bad = fates(1, 1_000);
    for fate in [
        Fate::NotSent,
        Fate::Lost,
        Fate::Answered(500),
        Fate::Answered(429),
        Fate::Answered(201),
    ] {
        assert!(bad.contains(&fate), "{fate:?} never came");
    }
}

#[test]
fn a_decline_at_one_account_leaves_the_card_good() {
    for shape in [Shape::default(), Shape::handle_first()] {
        let caller = Caller::new(shape);
        for call in [Call::Authorize, Call::Execute] {
            caller.sandbox.faults().next_at("other", call, FaultKind::Decline);
            caller.sandbox.faults().next_at("main", call, FaultKind::Decline);
        }
        let (_, outcome) = caller.authorize("tok_approve", CaptureMethod::Manual);
        let Outcome::Answered(AuthorizeReport::Declined(decline)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(decline.code(), DeclineCode::InsufficientFunds);
        assert_eq!(
            caller.sandbox.faults().waiting(),
            3,
            "the other account's, and the call that wasn't made"
        );
    }
}

#[test]
fn a_refusal_that_isn_t_the_processor_s_own_is_a_doubt() {
    let caller = Caller::new(Shape::default());
    let connector = caller.sandbox.connector("main");
    let method = PaymentMethod::card_token("tok_approve");
    let op = op::Authorize::new("0123", eur(10_000), method, CaptureMethod::Automatic);
    let Some(Authorization::OneCall(_, exchange)) = connector.slots().authorize() else {
        panic!("one call")
    };
    let heard = |status: u16, body: &'static str| {
        let made = Response::new(status, serde_json::json!({}));
        let answer = Response::from_parts(made.status(), made.headers().clone(), body.into());
        outcome_of(exchange.as_ref(), &op, &answer, Echoes::AmountAndReference)
    };
    for status in [400, 401, 404, 422, 429] {
        let own = heard(status, r#"{"error":"amount"}"#);
        assert!(matches!(own, Outcome::NotExecuted(_)), "{status}: {own:?}");
        for body in [
            "",
            "<html>Too many requests</html>",
            "{}",
            r#"{"error":{"code":"x"}}"#,
            r#"["forbidden"]"#,
            r#"{"error":"unauthorized","error_description":"of the gateway's"}"#,
        ] {
            let foreign = heard(status, body);
            assert!(
                matches!(foreign, Outcome::Unknown(_)),
                "{status} {body}: {foreign:?}"
            );
        }
    }
}
