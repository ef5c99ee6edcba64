//! What happens at the processor without its caller, and how its books show it.

use std::sync::Arc;
use std::time::Duration;

use paymux_core::connector::{AuthorizeReport, Handle, Outcome, ReadReport};
use paymux_core::{CaptureMethod, Rest, TestClock};
use paymux_sandbox::{CaptureState, PaymentState, Sandbox, Shape};

use crate::support::{Caller, eur};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn what_happens_at_the_processor_shows_in_reads() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    let totals = || match caller.read(&name, &handle) {
        Outcome::Answered(ReadReport::Found(standing)) => {
            (standing.captured, standing.refunded, standing.returned)
        }
        other => panic!("{other:?}"),
    };
    assert!(
        caller
            .sandbox
            .dashboard_refund(handle.as_str(), eur(10_001))
            .is_err()
    );
    let refund = caller
        .sandbox
        .dashboard_refund(handle.as_str(), eur(1_000))
        .unwrap();
    assert_eq!(caller.ledger().refund(&refund).unwrap().reference, None);
    assert!(caller.sandbox.bank_returns(handle.as_str(), eur(9_001)).is_err());
    caller.sandbox.bank_returns(handle.as_str(), eur(9_000)).unwrap();
    assert_eq!(totals(), (Some(eur(10_000)), Some(eur(1_000)), Some(eur(9_000))));
    assert!(caller.ledger().live_charges(&name.reference).is_empty());

    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Automatic);
    caller.sandbox.fail_capture(handle.as_str()).unwrap();
    let Outcome::Answered(ReadReport::Found(standing)) = caller.read(&name, &handle) else {
        panic!()
    };
    assert!(
        matches!(standing.report, AuthorizeReport::Captured(_)),
        "taken once"
    );
    assert_eq!(
        (standing.captured, standing.failed),
        (Some(eur(10_000)), Some(eur(10_000))),
        "and failed later"
    );

    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    caller.capture(&handle, 3_000, Rest::Keep);
    caller.capture(&handle, 4_000, Rest::Release);
    caller.sandbox.fail_capture(handle.as_str()).unwrap();
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Authorized(_)
    ));
    let payment = caller.ledger().payment(handle.as_str()).unwrap().clone();
    assert_eq!((payment.captured, payment.held()), (eur(3_000), eur(7_000)));

    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    caller.capture(&handle, 3_000, Rest::Keep);
    caller.capture(&handle, 4_000, Rest::Release);
    let first = caller.ledger().payment(handle.as_str()).unwrap().captures[0]
        .handle
        .clone();
    caller.sandbox.fail_capture(&first).unwrap();
    assert!(
        matches!(caller.stands(&name, &handle), AuthorizeReport::Captured(_)),
        "the other was final"
    );

    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    caller.capture(&handle, 4_000, Rest::Keep);
    let part = caller.ledger().payment(handle.as_str()).unwrap().captures[0]
        .handle
        .clone();
    caller.sandbox.lapse(handle.as_str()).unwrap();
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Captured(_)
    ));
    assert!(caller.sandbox.lapse(handle.as_str()).is_err());
    caller.sandbox.fail_capture(&part).unwrap();
    assert!(
        matches!(caller.stands(&name, &handle), AuthorizeReport::Voided(..)),
        "it had lapsed"
    );
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().captures[0].state,
        CaptureState::Failed
    );
    assert!(caller.sandbox.payer_abandons(handle.as_str()).is_err());
    assert!(caller.sandbox.settle("pay_nobody").is_err());
}

#[test]
fn what_is_held_lapses_after_a_week() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    caller.clock.advance(DAY * 7 - Duration::from_millis(1));
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Authorized(_)
    ));
    caller.clock.advance(Duration::from_millis(1));
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Voided(..)
    ));
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().state,
        PaymentState::Voided
    );
}

#[test]
fn one_seed_gives_one_row_of_books() {
    let books = |seed| {
        let clock = TestClock::new();
        let caller = Caller::of(Sandbox::seeded(seed).clock(Arc::new(clock.clone())), clock, 3);
        let (_, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
        caller.capture(&handle, 4_000, Rest::Release);
        caller.refund(&handle, 100);
        caller.authorize("tok_redirect", CaptureMethod::Automatic);
        caller.clock.advance(DAY);
        let posts = caller.sandbox.webhooks();
        (
            format!("{:?}", caller.ledger()),
            caller.ledger().render(),
            format!("{posts:?}"),
        )
    };
    assert_eq!(books(3), books(3));
    assert_ne!(books(3).0, books(4).0);
}

#[test]
fn the_books_are_a_table_for_people() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    caller.capture(&handle, 4_000, Rest::Keep);
    let table = caller.ledger().render();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let head = [
        "account",
        "payment",
        "reference",
        "state",
        "asked",
        "held",
        "captured",
        "refunded",
    ];
    assert_eq!(rows[0], head);
    let sums = ["100.00", "EUR", "60.00", "EUR", "40.00", "EUR", "0.00", "EUR"];
    assert_eq!(
        rows[1],
        [
            &["main", handle.as_str(), &name.reference, "authorized"][..],
            &sums
        ]
        .concat()
    );
    assert_eq!(Handle::from(rows[1][1]), handle);
}
