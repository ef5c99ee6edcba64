//! The refund's commands, and its parts in every order of news.

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::machine::{Command, RefundNews, apply, decide, merge};
use super::state::{Allocation, AllocationStatus, RefundState};
use super::{Refund, RefundReason, RefundStatus};
use crate::action::Action;
use crate::connector::{Contradiction, Doubt, Echo, Handle, RefundReport};
use crate::decline::{Decline, DeclineCode, DeclineKind};
use crate::error::Error;
use crate::id::{OperationId, RefundId};
use crate::intent::tests::page::Page;
use crate::intent::tests::scene::{Scene, account, doubt, eur, hard, proof, refunded};
use crate::intent::{OpStage, OperationKind, Rest, ReviewReason};
use crate::tenant::Mode;
use crate::time::Timestamp;

pub(crate) fn operation(number: u128) -> OperationId {
    OperationId::from_uuid(Mode::Test, Uuid::from_u128(500 + number))
}

pub(crate) fn refund(parts: &[(i64, AllocationStatus)]) -> RefundState {
    let scene = Scene::captured();
    let allocations = (0..).zip(parts).map(|(number, (minor, status))| Allocation {
        capture: None,
        original: Handle::from("pay_1"),
        amount: eur(*minor),
        operation: operation(number),
        status: *status,
        handle: None,
        action: None,
        decline: None,
        not_executed: None,
    });
    let mut state = RefundState {
        id: RefundId::from_uuid(Mode::Test, Uuid::from_u128(9)),
        intent: scene.state.id,
        attempt: scene.state.attempts[0].id,
        account: account(),
        amount: eur(parts.iter().map(|(minor, _)| minor).sum()),
        reason: RefundReason::GoodsReturned,
        status: RefundStatus::Requested,
        allocations: allocations.collect(),
        open_op: None,
        review: None,
        created_at: scene.now,
        updated_at: scene.now,
    };
    state.status = state.derived_status();
    state
}

pub(crate) fn opened(state: &RefundState, number: u128) -> RefundState {
    let mut open = Scene::captured().operation(OperationKind::Refund, 100, Rest::Keep);
    open.id = operation(number);
    let events = decide(Some(state), &Command::Open(Box::new(open)), state.updated_at).unwrap();
    events.iter().fold(Some(state.clone()), apply).unwrap()
}

fn heard(state: &RefundState, number: u128, news: &RefundNews, driver: bool) -> RefundState {
    let driver = driver.then(|| operation(number));
    let events = merge(state, operation(number), news, driver, state.updated_at);
    events.iter().fold(Some(state.clone()), apply).unwrap()
}

fn pending() -> RefundNews {
    RefundNews::Report(RefundReport::Pending(Handle::from("re_1"), Echo::none()))
}

fn done() -> RefundNews {
    RefundNews::Report(refunded())
}

fn failed() -> RefundNews {
    RefundNews::Report(RefundReport::Failed(hard()))
}

fn action() -> RefundNews {
    let action = Action::redirect("https://bank.example/act");
    RefundNews::Report(RefundReport::ActionNeeded(
        Handle::from("re_1"),
        action,
        Echo::none(),
    ))
}

fn stopped() -> RefundNews {
    RefundNews::Report(RefundReport::Cancelled(Handle::from("re_1"), Echo::none()))
}

#[test]
fn a_status_is_read_off_the_parts() {
    use AllocationStatus as Part;
    let table: &[(&[Part], RefundStatus)] = &[
        (&[Part::Waiting], RefundStatus::Requested),
        (&[Part::Pending, Part::Waiting], RefundStatus::Requested),
        (
            &[Part::RequiresAction, Part::Pending],
            RefundStatus::RequiresAction,
        ),
        (&[Part::Pending, Part::Refunded], RefundStatus::Pending),
        (&[Part::Refunded, Part::Refunded], RefundStatus::Succeeded),
        (&[Part::Refunded, Part::Failed], RefundStatus::PartiallySucceeded),
        (
            &[Part::Refunded, Part::Cancelled],
            RefundStatus::PartiallySucceeded,
        ),
        (&[Part::Failed, Part::Cancelled], RefundStatus::Failed),
        (&[Part::Cancelled], RefundStatus::Cancelled),
    ];
    for (parts, status) in table {
        let parts: Vec<_> = parts.iter().map(|part| (100, *part)).collect();
        assert_eq!(refund(&parts).status, *status, "{parts:?}");
    }
}

#[test]
fn only_what_waits_is_opened_and_one_part_at_a_time() {
    use AllocationStatus as Part;
    for part in [
        Part::RequiresAction,
        Part::Pending,
        Part::Cancelled,
        Part::Refunded,
        Part::Failed,
    ] {
        let state = refund(&[(100, part)]);
        let open = Scene::captured().operation(OperationKind::Refund, 100, Rest::Keep);
        let error = decide(Some(&state), &Command::Open(Box::new(open)), state.updated_at).unwrap_err();
        assert_eq!(error.code(), "invalid_transition", "{part:?}");
    }
    let state = opened(&refund(&[(100, Part::Waiting), (200, Part::Waiting)]), 0);
    assert_eq!(state.next_waiting(), None, "one is open");
    let open = state.open_op.clone().unwrap();
    let error = decide(Some(&state), &Command::Open(Box::new(open)), state.updated_at).unwrap_err();
    assert_eq!(error.code(), "operation_in_progress");
    // Pending goes on with the next part.
    let state = heard(&state, 0, &pending(), true);
    assert_eq!(state.next_waiting().unwrap().operation, operation(1));
    // Unknown stops.
    let state = heard(&opened(&state, 1), 1, &RefundNews::Doubt(doubt()), true);
    assert_eq!(state.next_waiting(), None);
    let abandon = |not_before| Command::Abandon {
        operation: operation(1),
        by: "ops@shop".to_owned(),
        not_before,
    };
    let early = decide(
        Some(&state),
        &abandon(Timestamp::from_secs(99_999)),
        state.updated_at,
    )
    .unwrap_err();
    assert_eq!(early.code(), "too_early");
    let events = decide(Some(&state), &abandon(state.updated_at), state.updated_at).unwrap();
    let state = events.iter().fold(Some(state), apply).unwrap();
    assert_eq!(
        (state.open_op.clone(), state.share().pending),
        (None, 300),
        "the amount stays reserved"
    );
}

#[test]
fn a_success_may_fail_later_and_gives_the_reservation_back() {
    let state = opened(&refund(&[(100, AllocationStatus::Waiting)]), 0);
    let state = heard(&state, 0, &done(), true);
    assert_eq!(
        (state.status, state.share().refunded),
        (RefundStatus::Succeeded, 100)
    );
    let state = heard(&state, 0, &failed(), false);
    assert_eq!(state.status, RefundStatus::Failed);
    assert_eq!((state.share().pending, state.share().refunded), (0, 0));
}

#[test]
fn a_proof_that_nothing_was_executed_ranks_below_the_processors_own_success() {
    let start = opened(&refund(&[(100, AllocationStatus::Waiting)]), 0);
    let proved = RefundNews::NotExecuted(proof());
    // A webhook was first; the lock is its driver's.
    let heard_first = heard(&start, 0, &done(), false);
    assert!(heard_first.open_op.is_some());
    let state = heard(&heard_first, 0, &proved, true);
    assert_eq!((state.status, state.open_op), (RefundStatus::Succeeded, None));
    let state = heard(&heard(&start, 0, &proved, true), 0, &done(), false);
    assert_eq!(state.status, RefundStatus::Succeeded);
}

/// A refund in a situation, of whose first part the news is.
struct Situation {
    name: &'static str,
    state: RefundState,
    /// Whether its own call answers.
    driver: Option<OperationId>,
}

fn situations() -> Vec<Situation> {
    use AllocationStatus as Part;
    let requested = || refund(&[(100, Part::Waiting)]);
    let open = || opened(&requested(), 0);
    let unknown = || heard(&open(), 0, &RefundNews::Doubt(doubt()), true);
    let answered = |news: &RefundNews| heard(&open(), 0, news, true);
    let abandoned = || {
        let command = Command::Abandon {
            operation: operation(0),
            by: "ops@shop".to_owned(),
            not_before: Timestamp::from_millis(0),
        };
        let state = unknown();
        let events = decide(Some(&state), &command, state.updated_at).unwrap();
        events.iter().fold(Some(state), apply).unwrap()
    };
    let parts = |first: Part, second: Part| refund(&[(100, first), (100, second)]);
    let answering = Situation {
        name: "requested and its call answers",
        state: open(),
        driver: Some(operation(0)),
    };
    let others = [
        ("requested", requested()),
        ("requested with its call open", open()),
        ("requested with its outcome unknown", unknown()),
        (
            "requested in parts and one is pending",
            parts(Part::Pending, Part::Waiting),
        ),
        ("requires_action", answered(&action())),
        ("pending", answered(&pending())),
        ("pending after an abandon", abandoned()),
        (
            "pending in parts and the other is done",
            parts(Part::Pending, Part::Refunded),
        ),
        ("succeeded", answered(&done())),
        ("succeeded in parts", parts(Part::Refunded, Part::Refunded)),
        ("partially_succeeded", parts(Part::Refunded, Part::Failed)),
        (
            "partially_succeeded by the other part",
            parts(Part::Failed, Part::Refunded),
        ),
        ("failed", answered(&failed())),
        (
            "failed by a proof of nothing done",
            answered(&RefundNews::NotExecuted(proof())),
        ),
        ("cancelled", answered(&stopped())),
    ];
    let others = others.map(|(name, state)| Situation {
        name,
        state,
        driver: None,
    });
    std::iter::once(answering).chain(others).collect()
}

/// What is visible of a change.
fn made(before: &RefundState, after: &RefundState) -> String {
    let stage = |state: &RefundState| match state.open_op.as_ref().map(|open| &open.stage) {
        None => "lock free",
        Some(OpStage::Prepared) => "opened",
        Some(OpStage::Unknown { .. }) => "unknown",
    };
    let mut parts = Vec::new();
    if before.status != after.status {
        parts.push(after.status.as_str().to_owned());
    }
    let (was, is) = (before.share(), after.share());
    if was.pending != is.pending {
        parts.push(format!("asked {}", is.pending));
    }
    if was.refunded != is.refunded {
        parts.push(format!("refunded {}", is.refunded));
    }
    if stage(before) != stage(after) {
        parts.push(stage(after).to_owned());
    }
    match (&before.review, &after.review) {
        (None, Some(review)) => parts.push(format!("review {:?}", review.reason)),
        (Some(_), None) => parts.push("no review".to_owned()),
        (None, None) | (Some(_), Some(_)) => {}
    }
    if parts.is_empty() {
        "noted".to_owned()
    } else {
        parts.join("; ")
    }
}

const PAGE: &str = include_str!("table.md");

#[test]
fn every_situation_and_every_command() {
    let commands = |state: &RefundState| {
        let mut open = Scene::captured().operation(OperationKind::Refund, 100, Rest::Keep);
        open.id = operation(0);
        let abandon = |not_before| Command::Abandon {
            operation: operation(0),
            by: "ops@shop".to_owned(),
            not_before,
        };
        [
            ("request", Command::Request(Box::new(state.clone()))),
            ("open", Command::Open(Box::new(open))),
            ("abandon", abandon(Timestamp::from_millis(0))),
            ("abandon early", abandon(Timestamp::from_secs(99_999))),
            ("note_review", Command::NoteReview(ReviewReason::UnknownTooLong)),
            (
                "clear_review",
                Command::ClearReview {
                    by: "ops@shop".to_owned(),
                },
            ),
        ]
    };
    let mut seen = Vec::new();
    let mut cell = |from: &str, command: &str, made: Result<String, Error>| {
        let made = made.unwrap_or_else(|error| format!("refused: {}", error.code()));
        seen.push((from.to_owned(), command.to_owned(), made));
    };
    for (name, command) in commands(&refund(&[(100, AllocationStatus::Waiting)])) {
        let decided = decide(None, &command, Timestamp::from_secs(2_000));
        let made = decided.map(|events| {
            let made = events.iter().fold(None, apply).unwrap();
            made.status.as_str().to_owned()
        });
        cell("none", name, made);
    }
    for Situation {
        name: from, state, ..
    } in situations()
    {
        assert_eq!(from.split(' ').next(), Some(state.status.as_str()));
        for (name, command) in commands(&state) {
            let decided = decide(Some(&state), &command, Timestamp::from_secs(2_000));
            let made =
                decided.map(|events| made(&state, &events.iter().fold(Some(state.clone()), apply).unwrap()));
            cell(from, name, made);
        }
    }
    Page::read(PAGE, "Commands").hold(seen);
}

#[test]
fn every_situation_and_all_that_may_be_said_of_a_part() {
    let other_amount = Doubt {
        contradicts: Contradiction::Echo,
        ..doubt()
    };
    let said = [
        ("refunded", done()),
        ("pending", pending()),
        ("action", action()),
        ("failed", failed()),
        ("cancelled", stopped()),
        ("not executed", RefundNews::NotExecuted(proof())),
        ("no answer", RefundNews::Doubt(doubt())),
        ("another amount", RefundNews::Doubt(other_amount)),
    ];
    let mut seen = Vec::new();
    for Situation { name, state, driver } in situations() {
        for (word, news) in &said {
            let events = merge(&state, operation(0), news, driver, state.updated_at);
            let made = match &events[..] {
                [] => "ignored".to_owned(),
                events => made(&state, &events.iter().fold(Some(state.clone()), apply).unwrap()),
            };
            seen.push((name.to_owned(), (*word).to_owned(), made));
        }
    }
    Page::read(PAGE, "News of a part").hold(seen);
    let (state, nobody) = (refund(&[(100, AllocationStatus::Waiting)]), operation(99));
    assert_eq!(
        merge(&state, nobody, &done(), None, state.updated_at),
        [],
        "of no part of it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn news_of_a_part_gives_the_same_in_every_order(
        (first, second) in prop::collection::vec(0_u8..5, 1..6).prop_flat_map(|all| {
            let repeated: Vec<u8> = all.iter().chain(&all).copied().collect();
            (Just(all), Just(repeated).prop_shuffle())
        })
    ) {
        let news = [pending(), done(), failed(), stopped(), RefundNews::NotExecuted(proof())];
        let after = |order: &[u8]| {
            let start = opened(&refund(&[(100, AllocationStatus::Waiting)]), 0);
            let end = order.iter().fold(start, |state, at| heard(&state, 0, &news[usize::from(*at)], true));
            (end.status, end.share(), end.open_op)
        };
        prop_assert_eq!(after(&first), after(&second));
    }

    #[test]
    fn a_share_never_holds_more_than_the_refund(parts in prop::collection::vec((1_i64..500, 0_u8..5), 1..6)) {
        let news = [pending(), done(), failed(), stopped(), RefundNews::NotExecuted(proof())];
        let waiting: Vec<_> = parts.iter().map(|(minor, _)| (*minor, AllocationStatus::Waiting)).collect();
        let mut state = refund(&waiting);
        for (number, (_, at)) in (0..).zip(&parts) {
            state = heard(&opened(&state, number), number, &news[usize::from(*at)], true);
            let share = state.share();
            prop_assert!(share.pending >= 0 && share.refunded >= 0);
            prop_assert!(share.pending + share.refunded <= state.amount.minor());
        }
        let row = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<RefundState>(&row).unwrap(), state);
    }
}

#[test]
fn a_doubt_of_an_overtaken_worker_changes_nothing_where_a_part_is_answered() {
    for news in [done(), pending(), failed()] {
        let state = opened(&refund(&[(100, AllocationStatus::Waiting)]), 0);
        let answered = heard(&state, 0, &news, false);
        assert!(answered.open_op.is_some(), "whoever drives it closes it");
        let doubt = RefundNews::Doubt(doubt());
        assert_eq!(heard(&answered, 0, &doubt, false), answered);
        assert!(heard(&answered, 0, &doubt, true).open_op.is_none());
    }
}

#[test]
fn a_call_without_an_answer_is_answered_by_what_was_heard_meanwhile() {
    let said_before = heard(
        &opened(&refund(&[(100, AllocationStatus::Waiting)]), 0),
        0,
        &pending(),
        false,
    );
    assert!(said_before.open_op.is_some(), "its driver has it");
    let told = |state: &RefundState, contradicts, driver: bool| {
        let doubt = RefundNews::Doubt(Doubt {
            contradicts,
            ..doubt()
        });
        let state = heard(state, 0, &doubt, driver);
        let unknown = state.open_op.as_ref().map(|open| open.stage != OpStage::Prepared);
        (unknown, state.review.is_some())
    };
    assert_eq!(told(&said_before, Contradiction::None, true), (None, false));
    assert_eq!(
        told(&said_before, Contradiction::None, false),
        (Some(false), false),
        "its driver closes it"
    );
    assert_eq!(told(&said_before, Contradiction::Echo, true), (Some(true), true));
    // Once it is unknown anybody's news closes it.
    let echo = RefundNews::Doubt(Doubt {
        contradicts: Contradiction::Echo,
        ..doubt()
    });
    let contradicted = heard(&said_before, 0, &echo, true);
    assert_eq!(told(&contradicted, Contradiction::None, false), (None, true));
    let waiting = opened(&refund(&[(100, AllocationStatus::Waiting)]), 0);
    assert_eq!(told(&waiting, Contradiction::None, true), (Some(true), false));
}

#[test]
fn a_share_counts_the_parts_that_the_processor_stopped_or_failed() {
    use AllocationStatus as Part;
    let mut state = refund(&[(100, Part::Failed), (200, Part::Cancelled), (300, Part::Failed)]);
    assert_eq!(state.share().failures, 3);
    state.allocations[2].not_executed = Some(proof());
    assert_eq!(
        state.share().failures,
        2,
        "what wasn't executed took nothing back"
    );
    assert!(state.is_of_parts());
    assert!(!refund(&[(100, Part::Waiting)]).is_of_parts());
}

#[test]
fn a_refund_shows_what_its_state_says() {
    use AllocationStatus as Part;
    let mut state = refund(&[(100, Part::Refunded), (200, Part::Failed), (300, Part::Failed)]);
    let unseen = Refund {
        state: Arc::new(state.clone()),
        version: 2,
    };
    assert_eq!(unseen.last_decline(), None);
    state.allocations[1].decline = Some(Decline::new(DeclineCode::LostCard, DeclineKind::Hard, None));
    state.allocations[2].decline = Some(hard());
    state.created_at = Timestamp::from_secs(900);
    let refund = Refund {
        state: Arc::new(state.clone()),
        version: 2,
    };
    assert_eq!((refund.id(), refund.intent()), (&state.id, &state.intent));
    assert_eq!(
        (refund.status(), refund.version()),
        (RefundStatus::PartiallySucceeded, 2)
    );
    assert_eq!((refund.amount(), refund.refunded()), (eur(600), eur(100)));
    assert_eq!(
        (refund.reason(), refund.account()),
        (&RefundReason::GoodsReturned, &account())
    );
    assert_eq!(refund.last_decline(), Some(&hard()), "the last of them");
    assert_eq!(refund.created_at(), Timestamp::from_secs(900));
    let public = serde_json::json!({
        "id": state.id, "intent": state.intent, "status": "partially_succeeded", "amount": eur(600),
        "refunded": eur(100), "reason": "goods_returned", "last_decline": hard(),
        "created_at": state.created_at, "updated_at": state.updated_at,
    });
    assert_eq!(serde_json::to_value(&refund).unwrap(), public);
}
