//! What a host reads off a payment is what its state says.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::scene::{AMOUNT, Scene, account, approval, capture_pending, decline, eur, proof};
use crate::action::ActionKind;
use crate::connector::AuthorizeReport;
use crate::decline::DeclineCode;
use crate::id::{CustomerId, SessionId};
use crate::intent::state::{Compensation, CompensationReason, PlannedAccount, Review};
use crate::intent::{
    AttemptStatus, CaptureMethod, CaptureStatus, Challenge, CompensationStatus, Granted, IntentDetails,
    IntentMode, IntentStatus, OperationKind, OperationStatus, PaymentIntent, Rest, ReviewReason, ThreeDs,
};
use crate::method::MethodKind;
use crate::routing::{Explanation, Facts, KeptExplanation, Program, Route};
use crate::tenant::Mode;
use crate::time::Timestamp;

fn seen(scene: &Scene) -> PaymentIntent {
    PaymentIntent {
        state: Arc::new(scene.state.clone()),
        version: 7,
    }
}

/// Authorized, with 300 asked of it, and with every optional field there.
fn full() -> Scene {
    let lapses = Timestamp::from_secs(70_000);
    let granted = Granted::nothing().multicapture().capture_before(lapses);
    let mut scene = Scene::manual().answered(AuthorizeReport::Authorized(approval().granted(granted)));
    scene.capture_as(300, Rest::Keep, capture_pending());
    let state = &mut scene.state;
    state.details = Arc::new(IntentDetails {
        merchant_reference: Some("order-1".to_owned()),
        customer: Some(CustomerId::from_uuid(Mode::Test, Uuid::from_u128(6))),
        metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..IntentDetails::default()
    });
    state.session = Some(SessionId::from_uuid(Mode::Test, Uuid::from_u128(5)));
    state.last_decline = Some(decline(DeclineCode::LostCard));
    state.last_failure = Some(proof());
    state.scheduled_for = Some(Timestamp::from_secs(60_000));
    state.review = Some(Review {
        reason: ReviewReason::AmountMismatch,
        since: Timestamp::from_secs(2_000),
    });
    state.plan.as_mut().unwrap().left_out = vec![PlannedAccount {
        account: account(),
        reason: "another currency".to_owned(),
    }];
    state.plan.as_mut().unwrap().explanation = why().map(|why| KeptExplanation::of(why).unwrap());
    let attempt = &mut state.attempts[0];
    attempt.challenge = Challenge::Required;
    attempt.known.declined = Some(decline(DeclineCode::DoNotHonor));
    attempt.known.network_transaction_id = Some("ntid_1".to_owned());
    attempt.known.three_ds = Some(ThreeDs {
        eci: Some("05".to_owned()),
        ..ThreeDs::default()
    });
    attempt.compensation = Some(Compensation {
        reason: CompensationReason::LateSuccess,
        status: CompensationStatus::Pending,
        open_op: None,
    });
    scene
}

fn why() -> Option<Explanation> {
    let program = Program::builder("all")
        .otherwise(Route::ordered(["acme"]))
        .unwrap();
    let facts = Facts::of("merchant", eur(1_000), MethodKind::CardToken);
    program.plan(&facts, &[]).explanation().cloned()
}

#[test]
fn a_plan_is_told_as_it_is_kept() {
    let scene = full();
    let plan = scene.state.plan.clone().unwrap().into_plan();
    assert_eq!(plan.accounts()[0].reason, "the first of the list");
    assert_eq!((plan.blocked(), plan.explanation()), (None, why().as_ref()));
}

#[test]
fn a_payment_shows_what_its_state_says() {
    let scene = full();
    let (state, intent) = (&scene.state, seen(&scene));
    assert_eq!(intent.id(), &state.id);
    assert_eq!(intent.status(), IntentStatus::Authorized);
    assert_eq!(intent.mode(), IntentMode::Payment);
    assert_eq!(intent.amount(), eur(AMOUNT));
    assert_eq!(intent.capture_method(), CaptureMethod::Manual);
    assert_eq!(intent.totals(), &state.totals);
    assert_eq!(intent.capturable(), eur(700));
    assert_eq!(intent.refundable(), eur(0));
    assert_eq!(seen(&Scene::captured()).refundable(), eur(AMOUNT));
    assert_eq!(intent.attempts(), state.attempts);
    assert_eq!(intent.captures(), state.captures);
    assert_eq!(intent.operations(), state.operations);
    assert_eq!((intent.captures().len(), intent.operations().len()), (1, 2));
    assert_eq!(intent.details(), &*state.details);
    assert_eq!(intent.metadata()["a"], "b");
    assert_eq!(intent.customer(), state.details.customer.as_ref());
    assert!(intent.customer().is_some() && intent.session().is_some());
    assert_eq!(intent.session(), state.session.as_ref());
    assert_eq!(intent.last_decline().unwrap().code(), DeclineCode::LostCard);
    assert_eq!(intent.last_failure(), Some(&proof()));
    assert_eq!(intent.review(), Some(ReviewReason::AmountMismatch));
    assert_eq!(intent.route()[0].reason, "the first of the list");
    assert_eq!(intent.left_out()[0].reason, "another currency");
    assert!(why().is_some());
    assert_eq!(intent.routing(), why().as_ref());
    assert_eq!(intent.capture_before(), Some(Timestamp::from_secs(70_000)));
    assert_eq!(intent.scheduled_for(), Some(Timestamp::from_secs(60_000)));
    assert_eq!(intent.created_at(), Timestamp::from_secs(1_000));
    assert_eq!(intent.updated_at(), scene.now);
    assert_eq!(intent.version(), 7);
}

#[test]
fn its_parts_show_what_they_are() {
    let scene = full();
    let intent = seen(&scene);
    let attempt = &intent.attempts()[0];
    assert_eq!(attempt.id(), &scene.state.attempts[0].id);
    assert_eq!(attempt.account(), &account());
    assert_eq!(attempt.method(), scene.state.attempts[0].method.kind());
    assert_eq!(attempt.status(), AttemptStatus::Authorized);
    assert_eq!(attempt.amount(), eur(AMOUNT));
    assert_eq!(attempt.challenge(), Challenge::Required);
    assert_eq!(attempt.handle(), Some("pay_1"));
    assert_eq!(attempt.reference(), scene.state.attempts[0].operation.reference());
    assert_eq!(attempt.decline().unwrap().code(), DeclineCode::DoNotHonor);
    assert_eq!(attempt.granted(), &scene.state.attempts[0].known.granted);
    assert_eq!(attempt.network_transaction_id(), Some("ntid_1"));
    assert_eq!(attempt.three_ds().unwrap().eci.as_deref(), Some("05"));
    assert_eq!(attempt.compensation(), Some(CompensationStatus::Pending));
    let capture = &intent.captures()[0];
    assert_eq!(capture.id(), &scene.state.captures[0].id);
    assert_eq!(
        (capture.amount(), capture.status()),
        (eur(300), CaptureStatus::Pending)
    );
    assert_eq!(capture.operation(), scene.state.captures[0].operation.as_ref());
    let operation = &intent.operations()[1];
    assert_eq!(Some(operation.id()), capture.operation());
    assert_eq!(
        (operation.kind(), operation.amount()),
        (OperationKind::Capture, eur(300))
    );
    assert_eq!(operation.status(), OperationStatus::Pending);
}

#[test]
fn what_isn_t_there_isn_t_shown() {
    let scene = Scene::manual();
    let intent = seen(&scene);
    assert_eq!((intent.customer(), intent.session()), (None, None));
    assert_eq!((intent.last_decline(), intent.last_failure()), (None, None));
    assert_eq!((intent.action_kind(), intent.unknown_operation()), (None, None));
    assert_eq!((intent.review(), intent.capture_before()), (None, None));
    assert_eq!((intent.route(), intent.left_out()), (&[][..], &[][..]));
    assert_eq!(intent.routing(), None);
    assert_eq!(intent.scheduled_for(), None);
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let attempt = &scene.state.attempts[0];
    assert_eq!((attempt.handle(), attempt.decline()), (None, None));
    assert_eq!(
        (attempt.network_transaction_id(), attempt.three_ds()),
        (None, None)
    );
    assert_eq!(attempt.compensation(), None);
}

#[test]
fn what_the_payer_has_to_do_is_shown_while_it_is_asked() {
    assert_eq!(
        seen(&Scene::requires_action()).action_kind(),
        Some(ActionKind::Redirect)
    );
    assert_eq!(seen(&Scene::acted()).action_kind(), None);
}

#[test]
fn an_operation_is_unknown_until_its_outcome_is_known_even_once_it_is_given_up() {
    let operation = |scene: &Scene| scene.state.operations[0].id;
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    assert_eq!(seen(&scene).unknown_operation(), None, "it is only prepared");
    let mut scene = scene.doubted();
    assert_eq!(seen(&scene).unknown_operation(), Some(operation(&scene)));
    let abandon = scene.abandon(Timestamp::from_millis(0));
    scene.run(&abandon).unwrap();
    assert_eq!(seen(&scene).unknown_operation(), Some(operation(&scene)));
    for known in [
        Scene::processing(),
        Scene::authorized(),
        Scene::manual().answered(super::scene::declined()),
    ] {
        assert_eq!(seen(&known).unknown_operation(), None);
    }
}

#[test]
fn the_public_form_has_these_fields() {
    let scene = full();
    let state = &scene.state;
    let expected = serde_json::json!({
        "id": state.id, "status": "authorized", "mode": "payment", "amount": eur(AMOUNT),
        "capture_method": "manual", "totals": state.totals, "merchant_reference": "order-1",
        "session": state.session, "outcome_unknown": false, "needs_review": true,
        "last_decline": state.last_decline, "capture_before": Timestamp::from_secs(70_000),
        "metadata": {"a": "b"}, "created_at": state.created_at, "updated_at": state.updated_at,
    });
    assert_eq!(serde_json::to_value(seen(&scene)).unwrap(), expected);
    let public = serde_json::to_value(seen(&Scene::requires_action())).unwrap();
    assert_eq!(public["next_action"], "redirect");
    let mut unknown = Scene::manual();
    unknown.confirm().unwrap();
    let public = serde_json::to_value(seen(&unknown.doubted())).unwrap();
    assert_eq!(public["outcome_unknown"], true);
}
