//! What each operation does to the books.

use crate::support::{Caller, eur};
use paymux_core::connector::{
    AuthorizeReport, CaptureReport, CloseReport, LookUpReport, Outcome, ReadReport, RefundReadReport,
    RefundReport,
};
use paymux_core::{CaptureMethod, Rest};
use paymux_sandbox::{PaymentState, Shape};

#[test]
fn automatic_capture_takes_the_money_at_once() {
    for shape in [Shape::default(), Shape::handle_first(), Shape::bare()] {
        let caller = Caller::new(shape);
        let (name, outcome) = caller.authorize("tok_approve", CaptureMethod::Automatic);
        let Outcome::Answered(AuthorizeReport::Captured(approval)) = outcome else {
            panic!("{outcome:?}")
        };
        let ledger = caller.ledger();
        let [charge] = ledger.live_charges(&name.reference)[..] else {
            panic!("one charge")
        };
        assert_eq!(charge.handle, approval.handle.as_str());
        assert_eq!((charge.captured, charge.held()), (eur(10_000), eur(0)));
    }
}

#[test]
fn what_is_held_is_captured_in_parts_and_refunded_no_further() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Authorized(_)
    ));
    assert!(
        matches!(
            caller.capture(&handle, 10_001, Rest::Keep),
            Outcome::NotExecuted(_)
        ),
        "over-capture"
    );
    assert!(matches!(
        caller.capture(&handle, 4_000, Rest::Keep),
        Outcome::Answered(CaptureReport::Captured(..))
    ));
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().held(),
        eur(6_000)
    );
    assert!(
        matches!(
            caller.capture(&handle, 6_001, Rest::Keep),
            Outcome::NotExecuted(_)
        ),
        "over-capture"
    );
    assert!(matches!(
        caller.capture(&handle, 5_000, Rest::Release),
        Outcome::Answered(CaptureReport::Captured(..))
    ));
    let payment = caller.ledger().payment(handle.as_str()).unwrap().clone();
    assert_eq!(
        (payment.state, payment.captured, payment.held()),
        (PaymentState::Captured, eur(9_000), eur(0))
    );
    assert!(matches!(
        caller.capture(&handle, 1, Rest::Release),
        Outcome::Answered(CaptureReport::Declined(_))
    ));

    assert!(
        matches!(caller.refund(&handle, 9_001).1, Outcome::NotExecuted(_)),
        "over-refund"
    );
    let (refund, outcome) = caller.refund(&handle, 8_000);
    let Outcome::Answered(RefundReport::Refunded(refunded, _)) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        matches!(caller.refund(&handle, 1_001).1, Outcome::NotExecuted(_)),
        "over-refund"
    );
    assert!(matches!(
        caller.read_refund(&refund, &refunded, 8_000),
        Outcome::Answered(RefundReadReport::Found(RefundReport::Refunded(..)))
    ));
    assert!(matches!(
        caller.look_up_refund(&refund, &handle, 8_000),
        Outcome::Answered(RefundReadReport::Found(RefundReport::Refunded(..)))
    ));
    let totals = caller.ledger().totals(paymux_core::Currency::EUR).unwrap();
    assert_eq!(
        (totals.held, totals.captured, totals.refunded),
        (eur(0), eur(9_000), eur(8_000))
    );
    let Outcome::Answered(ReadReport::Found(standing)) = caller.read(&name, &handle) else {
        panic!()
    };
    assert_eq!(standing.captured, Some(eur(9_000)));
    assert_eq!(standing.refunded, Some(eur(8_000)));
    assert_eq!(standing.authorized, Some(eur(10_000)));
}

#[test]
fn an_authorization_is_raised_and_voided() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    assert!(
        matches!(caller.increment(&handle, 500, 10_600), Outcome::NotExecuted(_)),
        "a wrong total"
    );
    assert!(matches!(
        caller.increment(&handle, 500, 10_500),
        Outcome::Answered(AuthorizeReport::Authorized(_))
    ));
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().held(),
        eur(10_500)
    );
    assert!(matches!(
        caller.void(&handle, 10_500),
        Outcome::Answered(CloseReport::Closed(..))
    ));
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Voided(..)
    ));
    assert!(caller.ledger().live_charges(&name.reference).is_empty());
    assert!(matches!(
        caller.capture(&handle, 1, Rest::Release),
        Outcome::Answered(CaptureReport::Declined(_))
    ));
    assert!(matches!(
        caller.increment(&handle, 1, 10_501),
        Outcome::Answered(AuthorizeReport::Declined(_))
    ));
}

#[test]
fn a_look_up_finds_by_reference_and_only_in_its_account() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_approve", CaptureMethod::Manual);
    let Outcome::Answered(LookUpReport::Found(standing)) = caller.look_up(&name) else {
        panic!()
    };
    assert_eq!(standing.report.handle(), Some(&handle));
    assert!(matches!(
        caller.look_up(&caller.name()),
        Outcome::Answered(LookUpReport::NotFound)
    ));
    let mut other = caller;
    other.connector = other.sandbox.connector("second");
    assert!(matches!(
        other.look_up(&name),
        Outcome::Answered(LookUpReport::NotFound)
    ));
    assert!(matches!(
        other.read(&name, &handle),
        Outcome::Answered(ReadReport::NotFound)
    ));
    assert!(
        matches!(other.void(&handle, 10_000), Outcome::NotExecuted(_)),
        "another account's payment"
    );
}

#[test]
fn a_payment_that_waits_for_the_payer_is_cancelled() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_redirect", CaptureMethod::Automatic);
    assert!(matches!(
        caller.cancel(&handle, 10_000),
        Outcome::Answered(CloseReport::Closed(..))
    ));
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Voided(..)
    ));
    assert!(caller.sandbox.payer_approves(handle.as_str()).is_err());
    let (_, held) = caller.approved("tok_approve", CaptureMethod::Manual);
    assert!(matches!(
        caller.cancel(&held, 10_000),
        Outcome::Answered(CloseReport::Refused(_))
    ));
}
