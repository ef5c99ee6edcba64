//! Each magic token does what the crate's documentation says.

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use paymux_core::connector::{
    AuthorizeReport, CaptureReport, CloseReport, Contradiction, NotExecuted, Outcome, RefundReadReport,
    RefundReport, op,
};
use paymux_core::{ActionKind, CaptureMethod, Challenge, DeclineCode, DeclineKind, PaymentMethod, Rest};
use paymux_sandbox::{CaptureState, Magic, PaymentState, Shape};

use crate::support::{Caller, eur, now};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the caller hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Approved,
    Part(i64),
    Action(ActionKind),
    Pending,
    Declined(DeclineCode, DeclineKind),
    Refused,
    NotSent,
    Doubt(Contradiction),
}

fn heard(outcome: Outcome<AuthorizeReport>) -> Heard {
    match outcome {
        Outcome::Answered(AuthorizeReport::Authorized(_)) => Heard::Approved,
        Outcome::Answered(AuthorizeReport::PartiallyAuthorized(_, part)) => Heard::Part(part.minor()),
        Outcome::Answered(AuthorizeReport::ActionNeeded(_, action, _)) => Heard::Action(action.kind()),
        Outcome::Answered(AuthorizeReport::Pending(..)) => Heard::Pending,
        Outcome::Answered(AuthorizeReport::Declined(decline)) => {
            Heard::Declined(decline.code(), decline.kind())
        }
        Outcome::Answered(report) => panic!("{report:?}"),
        Outcome::NotExecuted(NotExecuted::Refused(_)) => Heard::Refused,
        Outcome::NotExecuted(NotExecuted::NotSent(_)) => Heard::NotSent,
        Outcome::Unknown(doubt) => Heard::Doubt(doubt.contradicts),
    }
}

/// A token, what its first send hears and how many live charges there are then, and the same for a second send.
type Row = (Magic, Heard, usize, Heard, usize);

fn table() -> Vec<Row> {
    use Contradiction::{Echo, None as Nothing};
    use DeclineKind::{AuthenticationRequired, Hard, Soft};
    use Heard::*;
    let declined = |magic, code, kind| (magic, Declined(code, kind), 0, Declined(code, kind), 0);
    let approved = |magic| (magic, Approved, 1, Approved, 1);
    let recovers = |magic, first, live| (magic, first, live, Approved, 1);
    let never = |magic, heard| (magic, heard, 0, heard, 0);
    vec![
        approved(Magic::Approve),
        declined(
            Magic::DeclineInsufficientFunds,
            DeclineCode::InsufficientFunds,
            Soft,
        ),
        declined(Magic::DeclineDoNotHonor, DeclineCode::DoNotHonor, Soft),
        declined(Magic::DeclineTryAgainLater, DeclineCode::TryAgainLater, Soft),
        declined(
            Magic::DeclineIssuerUnavailable,
            DeclineCode::IssuerUnavailable,
            Soft,
        ),
        declined(Magic::DeclineStolenCard, DeclineCode::StolenCard, Hard),
        declined(Magic::DeclineLostCard, DeclineCode::LostCard, Hard),
        declined(Magic::DeclineExpiredCard, DeclineCode::ExpiredCard, Hard),
        declined(Magic::DeclineIncorrectCvc, DeclineCode::IncorrectCvc, Hard),
        declined(Magic::DeclineFraudulent, DeclineCode::Fraudulent, Hard),
        declined(Magic::DeclineUnmapped, DeclineCode::Unmapped, Hard),
        declined(
            Magic::AuthenticationRequired,
            DeclineCode::AuthenticationRequired,
            AuthenticationRequired,
        ),
        never(Magic::Redirect, Action(ActionKind::Redirect)),
        never(
            Magic::FingerprintThenChallenge,
            Action(ActionKind::ThreeDsFingerprint),
        ),
        never(Magic::PendingThenSettled, Pending),
        never(Magic::PendingThenDeclined, Pending),
        (Magic::PartiallyAuthorized, Part(6_000), 1, Part(6_000), 1),
        approved(Magic::CaptureFailsLater),
        approved(Magic::CaptureDeclined),
        recovers(Magic::ChargedAnswerLost, Doubt(Nothing), 1),
        recovers(Magic::RequestLost, Doubt(Nothing), 0),
        recovers(Magic::ServerErrorThoughCharged, Doubt(Nothing), 1),
        recovers(Magic::ServerErrorNotCharged, Doubt(Nothing), 0),
        never(Magic::Refused, Refused),
        never(Magic::RefusedUnauthorized, Refused),
        never(Magic::RateLimited, Refused),
        never(Magic::NotSent, NotSent),
        recovers(Magic::UnreadableAnswer, Doubt(Nothing), 1),
        recovers(Magic::AmountAltered, Doubt(Echo), 1),
        approved(Magic::VoidRefused),
        approved(Magic::RefundPending),
        approved(Magic::RefundFails),
        approved(Magic::RefundFailsLater),
        approved(Magic::WebhookDuplicate),
        approved(Magic::WebhookReordered),
        // `Magic::Slow` waits: it has a test of its own.
    ]
}

#[test]
fn each_token_is_answered_as_documented_and_never_charges_twice_on_a_second_send() {
    for shape in [Shape::default(), Shape::handle_first()] {
        for (magic, first, live, second, live_then) in table() {
            let caller = Caller::new(shape.clone());
            let name = caller.name();
            let method = PaymentMethod::card_token(magic.token());
            let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Manual);
            assert_eq!(
                heard(now(caller.authorize_as(&name, &op))),
                first,
                "{magic:?}, first send"
            );
            assert_eq!(
                caller.ledger().live_charges(&name.reference).len(),
                live,
                "{magic:?}, first send"
            );
            assert_eq!(
                heard(now(caller.authorize_as(&name, &op))),
                second,
                "{magic:?}, second send"
            );
            assert_eq!(
                caller.ledger().live_charges(&name.reference).len(),
                live_then,
                "{magic:?}, second"
            );
        }
    }
}

#[test]
fn every_token_is_documented_and_in_the_table() {
    let documented = include_str!("../../src/lib.rs");
    let tabled: BTreeSet<&str> = table()
        .iter()
        .map(|(magic, ..)| magic.token())
        .chain(["tok_slow"])
        .collect();
    for magic in Magic::ALL {
        assert!(
            documented.contains(&format!("//! | `{}` |", magic.token())),
            "{magic:?} isn't documented"
        );
        assert!(tabled.contains(magic.token()), "{magic:?} isn't in the table");
        assert_eq!(Magic::of(magic.token()), Some(*magic));
    }
}

#[test]
fn an_unknown_card_is_declined() {
    let caller = Caller::new(Shape::default());
    let (_, outcome) = caller.authorize("tok_nobody", CaptureMethod::Manual);
    assert_eq!(
        heard(outcome),
        Heard::Declined(DeclineCode::IncorrectNumber, DeclineKind::Hard)
    );
}

#[test]
fn authentication_required_passes_with_a_challenge() {
    let caller = Caller::new(Shape::default());
    let name = caller.name();
    let method = PaymentMethod::card_token("tok_authentication_required");
    let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Manual)
        .challenge(Challenge::Required);
    let outcome = now(caller.authorize_as(&name, &op));
    let Outcome::Answered(AuthorizeReport::ActionNeeded(handle, action, _)) = outcome else {
        panic!()
    };
    assert_eq!(action.kind(), ActionKind::Redirect);
    let payload = caller.sandbox.payer_approves(handle.as_str()).unwrap();
    assert!(
        matches!(caller.stands(&name, &handle), AuthorizeReport::ActionNeeded(..)),
        "not handed over yet"
    );
    assert!(
        matches!(
            caller.complete(&name, &handle, "result=yes"),
            Outcome::NotExecuted(_)
        ),
        "forged"
    );
    let outcome = caller.complete(&name, &handle, &payload);
    let Outcome::Answered(AuthorizeReport::Authorized(approval)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(approval.three_ds.unwrap().eci.as_deref(), Some("05"));
    assert!(approval.network_transaction_id.is_some());
}

#[test]
fn a_refused_challenge_is_a_decline() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_fingerprint_then_challenge", CaptureMethod::Manual);
    caller.sandbox.payer_refuses(handle.as_str()).unwrap();
    let AuthorizeReport::Declined(decline) = caller.stands(&name, &handle) else {
        panic!()
    };
    assert_eq!(decline.code(), DeclineCode::AuthenticationFailed);
    assert!(caller.sandbox.payer_approves(handle.as_str()).is_err());
}

#[test]
fn a_bank_page_executes_the_payment_and_a_completion_or_a_read_tells() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_redirect", CaptureMethod::Automatic);
    let payload = caller.sandbox.payer_approves(handle.as_str()).unwrap();
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Captured(_)
    ));
    assert!(matches!(
        caller.complete(&name, &handle, &payload),
        Outcome::Answered(AuthorizeReport::Captured(_))
    ));
    assert_eq!(caller.ledger().live_charges(&name.reference).len(), 1);

    let (name, handle) = caller.approved("tok_redirect", CaptureMethod::Automatic);
    caller.sandbox.payer_refuses(handle.as_str()).unwrap();
    let AuthorizeReport::Declined(decline) = caller.stands(&name, &handle) else {
        panic!()
    };
    assert_eq!(decline.code(), DeclineCode::PayerCancelled);
}

#[test]
fn a_fingerprint_leads_to_a_challenge() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_fingerprint_then_challenge", CaptureMethod::Automatic);
    let fingerprint = caller.sandbox.payer_approves(handle.as_str()).unwrap();
    let outcome = caller.complete(&name, &handle, &fingerprint);
    let Outcome::Answered(AuthorizeReport::ActionNeeded(_, action, _)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(action.kind(), ActionKind::Redirect);
    assert!(
        matches!(
            caller.complete(&name, &handle, &fingerprint),
            Outcome::NotExecuted(_)
        ),
        "used already"
    );
    let challenge = caller.sandbox.payer_approves(handle.as_str()).unwrap();
    let outcome = caller.complete(&name, &handle, &challenge);
    assert!(
        matches!(outcome, Outcome::Answered(AuthorizeReport::Captured(_))),
        "{outcome:?}"
    );
}

#[test]
fn what_the_payer_leaves_is_declined_after_a_quarter_of_an_hour() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_redirect", CaptureMethod::Automatic);
    caller.clock.advance(Duration::from_secs(15 * 60 - 1));
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::ActionNeeded(..)
    ));
    caller.clock.advance(Duration::from_secs(1));
    let AuthorizeReport::Declined(decline) = caller.stands(&name, &handle) else {
        panic!()
    };
    assert_eq!(decline.code(), DeclineCode::PayerTimedOut);
    assert!(caller.sandbox.payer_approves(handle.as_str()).is_err());
}

#[test]
fn pending_payments_end_by_time_or_by_hand() {
    let caller = Caller::new(Shape::default());
    let (good, good_handle) = caller.approved("tok_pending_then_settled", CaptureMethod::Automatic);
    let (held, held_handle) = caller.approved("tok_pending_then_settled", CaptureMethod::Manual);
    let (bad, bad_handle) = caller.approved("tok_pending_then_declined", CaptureMethod::Automatic);
    let (hand, hand_handle) = caller.approved("tok_pending_then_settled", CaptureMethod::Automatic);
    let (no, no_handle) = caller.approved("tok_pending_then_settled", CaptureMethod::Automatic);
    caller.sandbox.settle(hand_handle.as_str()).unwrap();
    caller.sandbox.decline(no_handle.as_str()).unwrap();
    assert!(matches!(
        caller.stands(&hand, &hand_handle),
        AuthorizeReport::Settled(_)
    ));
    assert!(matches!(
        caller.stands(&no, &no_handle),
        AuthorizeReport::Declined(_)
    ));
    assert!(matches!(
        caller.stands(&good, &good_handle),
        AuthorizeReport::Pending(..)
    ));
    caller.clock.advance(HOUR);
    assert!(matches!(
        caller.stands(&good, &good_handle),
        AuthorizeReport::Settled(_)
    ));
    assert!(matches!(
        caller.stands(&held, &held_handle),
        AuthorizeReport::Authorized(_)
    ));
    assert!(matches!(
        caller.stands(&bad, &bad_handle),
        AuthorizeReport::Declined(_)
    ));
}

#[test]
fn a_part_that_was_authorized_is_captured_but_no_more() {
    let caller = Caller::new(Shape::default());
    let (_, handle) = caller.approved("tok_partially_authorized", CaptureMethod::Automatic);
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().held(),
        eur(6_000)
    );
    assert!(matches!(
        caller.capture(&handle, 6_001, Rest::Release),
        Outcome::NotExecuted(_)
    ));
    assert!(matches!(
        caller.capture(&handle, 6_000, Rest::Release),
        Outcome::Answered(CaptureReport::Captured(..))
    ));
}

#[test]
fn a_capture_fails_days_later_and_what_it_took_is_held_again() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_capture_fails_later", CaptureMethod::Manual);
    let outcome = caller.capture(&handle, 10_000, Rest::Release);
    assert!(
        matches!(outcome, Outcome::Answered(CaptureReport::Pending(..))),
        "{outcome:?}"
    );
    let payment = caller.ledger().payment(handle.as_str()).unwrap().clone();
    assert_eq!(
        (payment.captured, payment.captures[0].state),
        (eur(0), CaptureState::Pending)
    );
    assert!(payment.is_live());
    assert!(matches!(
        caller.capture(&handle, 1, Rest::Release),
        Outcome::Answered(CaptureReport::Declined(_))
    ));
    caller.clock.advance(DAY * 3);
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Authorized(_)
    ));
    let payment = caller.ledger().payment(handle.as_str()).unwrap().clone();
    assert_eq!(
        (payment.held(), payment.captures[0].state),
        (eur(10_000), CaptureState::Failed)
    );
    caller.clock.advance(DAY * 4);
    assert!(
        matches!(caller.stands(&name, &handle), AuthorizeReport::Voided(..)),
        "lapsed"
    );
}

#[test]
fn a_capture_is_declined_and_the_money_stays_held() {
    let caller = Caller::new(Shape::default());
    let (name, handle) = caller.approved("tok_capture_declined", CaptureMethod::Manual);
    let outcome = caller.capture(&handle, 10_000, Rest::Release);
    assert!(
        matches!(outcome, Outcome::Answered(CaptureReport::Declined(_))),
        "{outcome:?}"
    );
    assert!(matches!(
        caller.stands(&name, &handle),
        AuthorizeReport::Authorized(_)
    ));
}

#[test]
fn a_void_is_refused_and_the_money_stays_held() {
    let caller = Caller::new(Shape::default());
    let (_, handle) = caller.approved("tok_void_refused", CaptureMethod::Manual);
    assert!(matches!(
        caller.void(&handle, 10_000),
        Outcome::Answered(CloseReport::Refused(_))
    ));
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().held(),
        eur(10_000)
    );
}

#[test]
fn refunds_are_pending_fail_or_fail_later() {
    let caller = Caller::new(Shape::default());
    let (_, handle) = caller.approved("tok_refund_pending", CaptureMethod::Automatic);
    let (name, outcome) = caller.refund(&handle, 4_000);
    let Outcome::Answered(RefundReport::Pending(refund, _)) = outcome else {
        panic!("{outcome:?}")
    };
    let payment = caller.ledger().payment(handle.as_str()).unwrap().clone();
    assert_eq!((payment.refunded, payment.refund_pending), (eur(0), eur(4_000)));
    assert!(
        matches!(caller.refund(&handle, 6_001).1, Outcome::NotExecuted(_)),
        "what is pending is reserved"
    );
    caller.clock.advance(HOUR);
    assert!(matches!(
        caller.read_refund(&name, &refund, 4_000),
        Outcome::Answered(RefundReadReport::Found(RefundReport::Refunded(..)))
    ));

    let (_, handle) = caller.approved("tok_refund_fails", CaptureMethod::Automatic);
    let (_, outcome) = caller.refund(&handle, 4_000);
    assert!(
        matches!(outcome, Outcome::Answered(RefundReport::Failed(_))),
        "{outcome:?}"
    );
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().kept(),
        eur(10_000)
    );

    let (_, handle) = caller.approved("tok_refund_fails_later", CaptureMethod::Automatic);
    let (name, outcome) = caller.refund(&handle, 10_000);
    let Outcome::Answered(RefundReport::Refunded(refund, _)) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(caller.ledger().payment(handle.as_str()).unwrap().kept(), eur(0));
    caller.clock.advance(DAY * 3);
    assert!(matches!(
        caller.read_refund(&name, &refund, 10_000),
        Outcome::Answered(RefundReadReport::Found(RefundReport::Failed(_)))
    ));
    assert_eq!(
        caller.ledger().payment(handle.as_str()).unwrap().kept(),
        eur(10_000)
    );
}

#[test]
fn a_slow_send_holds_its_key_and_finishes_even_if_its_caller_goes_away() {
    let caller = Caller::new(Shape::default());
    let name = caller.name();
    let method = PaymentMethod::card_token("tok_slow");
    let op = op::Authorize::new(&name.reference, eur(10_000), method, CaptureMethod::Manual);
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut slow = pin!(caller.authorize_as(&name, &op));
        assert!(slow.as_mut().poll(&mut context).is_pending());
        assert_eq!(
            heard(now(caller.authorize_as(&name, &op))),
            Heard::Doubt(Contradiction::None),
            "in use"
        );
        assert!(caller.ledger().payments().is_empty());
        caller.clock.advance(Duration::from_secs(30));
        let Poll::Ready(outcome) = slow.as_mut().poll(&mut context) else {
            panic!("still slow")
        };
        assert_eq!(heard(outcome), Heard::Approved);
    }
    assert_eq!(heard(now(caller.authorize_as(&name, &op))), Heard::Approved);
    assert_eq!(caller.ledger().live_charges(&name.reference).len(), 1);

    let dropped = caller.name();
    let method = PaymentMethod::card_token("tok_slow");
    let op = op::Authorize::new(&dropped.reference, eur(10_000), method, CaptureMethod::Manual);
    assert!(
        pin!(caller.authorize_as(&dropped, &op))
            .poll(&mut context)
            .is_pending()
    );
    caller.clock.advance(Duration::from_secs(30));
    let ledger = caller.ledger();
    assert_eq!(
        ledger.live_charges(&dropped.reference)[0].state,
        PaymentState::Authorized
    );
}
