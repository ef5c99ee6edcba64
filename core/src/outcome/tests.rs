//! Each outcome gives its payment or refund and the HTTP status that says the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{
    CaptureOutcome, NextAction, PaymentOutcome, RefundOutcome, Replay, Reply, SafeStep, SubjectId,
    UnknownOutcome, VoidOutcome,
};
use crate::action::{Action, ActionKind};
use crate::error::ErrorKind;
use crate::id::OperationId;
use crate::intent::tests::scene::{Scene, account, eur, hard};
use crate::intent::{OperationKind, PaymentIntent, ReviewReason};
use crate::refund::{AllocationStatus, Refund, tests::refund};
use crate::tenant::Mode;
use crate::time::Timestamp;

fn intent() -> PaymentIntent {
    PaymentIntent {
        state: Arc::new(Scene::authorized().state),
        version: 2,
    }
}

fn refunded() -> Refund {
    Refund {
        state: Arc::new(refund(&[(100, AllocationStatus::Refunded)])),
        version: 2,
    }
}

fn next(action: Action, fresh: Option<Action>) -> NextAction {
    NextAction {
        kept: action.kept,
        fresh,
        source: None,
    }
}

fn unknown() -> UnknownOutcome {
    UnknownOutcome {
        subject: SubjectId::Payment(*intent().id()),
        version: 2,
        operation: Some(OperationId::from_uuid(Mode::Test, Uuid::from_u128(3))),
        kind: Some(OperationKind::Capture),
        account: Some(account()),
        at_risk: eur(300),
        since: Timestamp::from_secs(1_000),
        review_at: Timestamp::from_secs(2_000),
        review: Some(ReviewReason::UnknownTooLong),
        why: Some("no answer".to_owned()),
        safe_step: SafeStep::SettleByHand,
    }
}

#[test]
fn a_payment_has_one_status_for_each_outcome() {
    let (intent, unknown) = (intent(), unknown());
    let action = next(Action::new(ActionKind::Wait), None);
    let table = [
        (PaymentOutcome::Succeeded(intent.clone()), 200),
        (PaymentOutcome::Authorized(intent.clone()), 200),
        (PaymentOutcome::Pending(intent.clone()), 202),
        (
            PaymentOutcome::ActionRequired {
                intent: intent.clone(),
                action,
            },
            200,
        ),
        (
            PaymentOutcome::Declined {
                intent: intent.clone(),
                decline: hard(),
            },
            402,
        ),
        (
            PaymentOutcome::Unknown {
                intent: intent.clone(),
                unknown,
            },
            202,
        ),
    ];
    for (outcome, status) in table {
        assert_eq!(outcome.http_status().as_u16(), status, "{outcome:?}");
        assert_eq!(outcome.intent(), &intent);
    }
}

#[test]
fn a_capture_and_a_void_have_one_status_for_each_outcome() {
    let (intent, unknown) = (intent(), unknown());
    let captures = [
        (CaptureOutcome::Captured(intent.clone()), 200),
        (CaptureOutcome::Pending(intent.clone()), 202),
        (CaptureOutcome::Declined(intent.clone()), 402),
        (
            CaptureOutcome::Unknown {
                intent: intent.clone(),
                unknown: unknown.clone(),
            },
            202,
        ),
    ];
    for (outcome, status) in captures {
        assert_eq!(outcome.http_status().as_u16(), status, "{outcome:?}");
        assert_eq!(outcome.intent(), &intent);
    }
    let voids = [
        (VoidOutcome::Voided(intent.clone()), 200),
        (VoidOutcome::Pending(intent.clone()), 202),
        (VoidOutcome::Refused(intent.clone()), 402),
        (
            VoidOutcome::Unknown {
                intent: intent.clone(),
                unknown,
            },
            202,
        ),
    ];
    for (outcome, status) in voids {
        assert_eq!(outcome.http_status().as_u16(), status, "{outcome:?}");
        assert_eq!(outcome.intent(), &intent);
    }
}

#[test]
fn a_refund_has_one_status_for_each_outcome() {
    let refund = refunded();
    let table = [
        (RefundOutcome::Succeeded(refund.clone()), 200),
        (RefundOutcome::Pending(refund.clone()), 202),
        (RefundOutcome::ActionRequired(refund.clone()), 200),
        (
            RefundOutcome::Failed {
                refund: refund.clone(),
                decline: Some(hard()),
            },
            402,
        ),
        (
            RefundOutcome::Unknown {
                refund: refund.clone(),
                unknown: unknown(),
            },
            202,
        ),
    ];
    for (outcome, status) in table {
        assert_eq!(outcome.http_status().as_u16(), status, "{outcome:?}");
        assert_eq!(outcome.refund(), &refund);
    }
}

#[test]
fn what_isn_t_known_is_shown_as_it_is() {
    let shown = unknown();
    assert_eq!(shown.subject(), SubjectId::Payment(*intent().id()));
    assert_eq!(shown.operation(), shown.operation.as_ref());
    assert!(shown.operation().is_some());
    assert_eq!(shown.kind(), Some(OperationKind::Capture));
    assert_eq!(shown.account(), Some(&account()));
    assert_eq!(shown.at_risk(), eur(300));
    assert_eq!(shown.since(), Timestamp::from_secs(1_000));
    assert_eq!(shown.review_at(), Timestamp::from_secs(2_000));
    assert_eq!(shown.review(), Some(ReviewReason::UnknownTooLong));
    assert_eq!(shown.why(), Some("no answer"));
    assert_eq!(shown.safe_step(), &SafeStep::SettleByHand);
}

#[test]
fn a_reply_keeps_whether_it_is_the_first() {
    let first = Reply::first(1).map(|one| one + 1);
    assert_eq!((first.outcome, first.replay), (2, Replay::First));
    let again = Reply::replayed(1).map(|one| one + 1);
    assert_eq!((again.outcome, again.replay), (2, Replay::Replayed));
}

#[tokio::test]
async fn a_payer_gets_what_came_just_now_or_what_was_kept_and_never_half_of_it() {
    let until = Timestamp::from_secs(9_000);
    let page = Action::redirect("https://bank.example/act").expires_at(until);
    let kept = next(page, None);
    assert_eq!(
        (kept.kind(), kept.expires_at()),
        (&ActionKind::Redirect, Some(until))
    );
    let shown = kept.expose_to_payer().await.unwrap();
    assert_eq!(
        shown,
        serde_json::json!({"type": "redirect", "url": "https://bank.example/act"})
    );

    let secret = || Action::new(ActionKind::ClientConfirm).with_secret("client_secret", "s3");
    let fresh = next(secret(), Some(secret()));
    let shown = fresh.expose_to_payer().await.unwrap();
    assert_eq!(
        shown,
        serde_json::json!({"type": "client_confirm", "client_secret": "s3"})
    );

    let refused = next(secret(), None).expose_to_payer().await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Unsupported);
    assert_eq!(next(secret(), None).expires_at(), None);
    assert_eq!(secret().kept.data, BTreeMap::new(), "no row keeps a secret");
}
