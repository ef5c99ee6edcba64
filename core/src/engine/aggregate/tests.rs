//! Rows and events as this release writes them, kept as files: a later release has to read them. A field that is
//! renamed or removed fails here. `PAYMUX_WRITE_GOLDEN=1` writes the files anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::{Aggregate, Loaded, SCHEMA};
use crate::action::Action;
use crate::connector::{AuthorizeReport, CloseReport, Echo, NotExecuted, Standing};
use crate::decline::Decline;
use crate::engine::write::evidence_of;
use crate::intent::tests::scene::*;
use crate::intent::{
    Command, CommandKind, Happened, Intent, IntentEvent, IntentStatus, News, OpenOp, OperationKind, Reading,
    RefundShare, Rest, ReviewReason, RiskAfter, Source, StepRecord,
};
use crate::refund::{AllocationStatus, RefundEvent, RefundHappened, RefundState};
use crate::session::{ExpiryReason, Session, SessionEvent, SessionHappened, SessionStatus};
use crate::store::Row;
use crate::time::Timestamp;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The file of that name; written first, where that is asked for.
fn golden(name: &str, value: &impl serde::Serialize) -> serde_json::Value {
    if std::env::var_os("PAYMUX_WRITE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(value).unwrap() + "\n";
        std::fs::write(path(name), text).unwrap();
    }
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Holds a stored form to its file, both ways.
pub(in crate::engine) fn reads_back<T: DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
    name: &str,
    value: &T,
) {
    let kept = golden(name, value);
    assert_eq!(
        &serde_json::from_value::<T>(kept.clone()).unwrap(),
        value,
        "{name}"
    );
    assert_eq!(serde_json::to_value(value).unwrap(), kept, "{name}");
}

fn scenes() -> Vec<(String, Scene)> {
    let mut scenes: Vec<_> = IntentStatus::ALL
        .into_iter()
        .map(|status| (status.as_str().to_owned(), Scene::all_of(status).remove(0)))
        .collect();
    scenes.push(("capture_unknown".to_owned(), Scene::capture_open().doubted()));
    let mut twice = Scene::requires_action();
    let superseding = twice.command(SUPERSEDE);
    twice.run(&superseding).unwrap();
    twice.confirm().unwrap();
    twice.answer(AuthorizeReport::Captured(approval()));
    let first = twice.state.attempts[0].id;
    twice.read_of(first, AuthorizeReport::Authorized(multicapture()).into());
    assert!(twice.state.attempts[0].compensation.is_some());
    scenes.push(("duplicate_charge".to_owned(), twice));
    scenes.push(("rarities".to_owned(), rarities()));
    scenes
}

#[test]
fn intents_of_this_release_read_back() {
    for (name, scene) in scenes() {
        reads_back::<Intent>(&format!("intent_{name}.json"), &scene.state);
        reads_back::<Vec<IntentEvent>>(&format!("events_{name}.json"), &scene.events);
    }
}

/// Every kind of event that no scene above has.
fn rarities() -> Scene {
    let mut scene = Scene::manual();
    for kind in [
        CommandKind::Update,
        CommandKind::NoteReview,
        CommandKind::ClearReview,
    ] {
        let command = scene.command(kind);
        scene.run(&command).unwrap();
    }
    scene.confirm().unwrap();
    let operation = scene.state.open_op.as_ref().unwrap().id;
    scene.happen(Happened::StepRecorded {
        operation,
        step: StepRecord {
            step: "create".into(),
            hash: "2c26b46b68ffc68f".to_owned(),
            volatile: Some("cvv".into()),
        },
        handle: Some("pay_1".into()),
    });
    let proof = proof();
    scene.hear(Source::Driver(operation), News::NotExecuted { operation, proof });
    scene.confirm().unwrap();
    let mut scene = scene.doubted();
    for kind in [CommandKind::Abandon, CommandKind::Confirm] {
        let command = scene.command(kind);
        scene.run(&command).unwrap();
    }
    scene.answer(AuthorizeReport::Authorized(multicapture()));
    let abandoned = scene.state.attempts[1].id;
    scene.read_of(abandoned, AuthorizeReport::Captured(approval()).into());
    let mut operation = scene.operation(OperationKind::CompensateRefund, 2_000, Rest::Release);
    operation.attempt = abandoned;
    let (attempt, operation) = (abandoned, Box::new(operation));
    scene.run(&Command::Compensate { attempt, operation }).unwrap();
    let operation = scene.state.operations.last().unwrap().id;
    let report = refunded();
    scene.hear(
        Source::Driver(operation),
        News::CompensationRefund { operation, report },
    );
    scene.happen(Happened::RiskAfter(RiskAfter::Wanted));
    scene.capture_as(400, Rest::Keep, captured());
    let reserve = scene.reserve(100);
    scene.run(&reserve).unwrap();
    let refund = *scene.state.refunds.keys().next().unwrap();
    scene.happen(Happened::RefundLearnt {
        refund,
        share: RefundShare {
            pending: 0,
            refunded: 100,
            ..RefundShare::default()
        },
        given_back: vec![(scene.state.captures[0].id, 0)],
    });
    scene
}

/// A new kind of event is a new number here, and an event in a file.
#[test]
fn a_file_keeps_an_event_of_each_kind() {
    let number = |event: &IntentEvent| match event.what {
        Happened::Created(_) => 0,
        Happened::Updated(_) => 1,
        Happened::Planned(_) => 2,
        Happened::AttemptOpened(_) => 3,
        Happened::OperationOpened(_) => 4,
        Happened::CaptureReserved(_) => 5,
        Happened::StepRecorded { .. } => 6,
        Happened::OperationUnknown { .. } => 7,
        Happened::OperationClosed { .. } => 8,
        Happened::AttemptLearnt { .. } => 9,
        Happened::CaptureLearnt { .. } => 10,
        Happened::CaptureAdded(_) => 11,
        Happened::Won { .. } => 12,
        Happened::Ended { .. } => 13,
        Happened::NotExecuted(_) => 14,
        Happened::Superseded { .. } => 15,
        Happened::Abandoned { .. } => 16,
        Happened::CompensationWanted { .. } => 17,
        Happened::CompensationOpened { .. } => 18,
        Happened::CompensationClosed { .. } => 19,
        Happened::RiskAfter(_) => 20,
        Happened::ReviewRaised(_) => 21,
        Happened::ReviewCleared { .. } => 22,
        Happened::RefundReserved { .. } => 23,
        Happened::RefundLearnt { .. } => 24,
    };
    let scenes = scenes();
    let kept = scenes.iter().flat_map(|(_, scene)| &scene.events).map(number);
    assert_eq!(kept.collect::<BTreeSet<_>>(), (0..25).collect());
    let number = |event: &RefundEvent| match event.what {
        RefundHappened::Requested(_) => 0,
        RefundHappened::OperationOpened(_) => 1,
        RefundHappened::StepRecorded { .. } => 2,
        RefundHappened::OperationUnknown { .. } => 3,
        RefundHappened::OperationClosed { .. } => 4,
        RefundHappened::AllocationLearnt { .. } => 5,
        RefundHappened::Abandoned { .. } => 6,
        RefundHappened::ReviewRaised(_) => 7,
        RefundHappened::ReviewCleared { .. } => 8,
    };
    let kept: BTreeSet<_> = refund_events().iter().map(number).collect();
    assert_eq!(kept, (0..9).collect());
    let number = |event: &SessionEvent| match event.what {
        SessionHappened::Created(_) => 0,
        SessionHappened::Submitted { .. } => 1,
        SessionHappened::Moved { .. } => 2,
        SessionHappened::Expired { .. } => 3,
        SessionHappened::LatePayment => 4,
    };
    let kept: BTreeSet<_> = session_events().iter().map(number).collect();
    assert_eq!(kept, (0..5).collect());
}

/// Each kind of event has a word of its own, which its row keeps.
#[test]
fn an_event_is_kept_under_its_word() {
    fn words<'a, A: Aggregate>(events: impl IntoIterator<Item = &'a A::Event>) -> Vec<&'static str>
    where
        A::Event: 'a,
    {
        let words: BTreeSet<_> = events.into_iter().map(A::event_kind).collect();
        words.into_iter().collect()
    }
    let scenes = scenes();
    let of_intents = words::<Intent>(scenes.iter().flat_map(|(_, scene)| &scene.events));
    let expected = "attempt.learnt attempt.not_executed attempt.opened attempt.superseded attempt.won \
        capture.added capture.learnt capture.reserved compensation.closed compensation.opened \
        compensation.wanted intent.created intent.ended intent.risk_after intent.routed intent.updated \
        operation.abandoned operation.closed operation.opened operation.step_recorded operation.unknown \
        refund.learnt refund.reserved review.cleared review.raised";
    assert_eq!(of_intents.join(" "), expected);
    let expected = "refund.abandoned refund.learnt refund.operation_closed refund.operation_opened \
        refund.requested refund.review_cleared refund.review_raised refund.step_recorded refund.unknown";
    assert_eq!(words::<RefundState>(&refund_events()).join(" "), expected);
    let expected = "session.created session.expired session.failed session.late_payment session.submitted";
    assert_eq!(words::<Session>(&session_events()).join(" "), expected);
}

/// What may happen to a refund of three parts, each event kind at least once.
fn refund_events() -> Vec<RefundEvent> {
    use crate::refund::tests::{operation, refund};
    let waiting = AllocationStatus::Waiting;
    let mut state = refund(&[(100, waiting), (200, waiting), (300, waiting)]);
    let capture = Scene::captured().state.captures[0].id;
    state.allocations[0].capture = Some(capture);
    let mut open = Scene::captured().operation(OperationKind::Refund, 100, Rest::Keep);
    open.id = operation(0);
    let learnt = |number, status, news: (Option<Action>, Option<Decline>, Option<NotExecuted>)| {
        RefundHappened::AllocationLearnt {
            operation: operation(number),
            status,
            handle: Some("re_1".into()),
            action: news.0.map(|action| action.kept),
            decline: news.1,
            not_executed: news.2,
        }
    };
    let action = Action::redirect("https://bank.example/act");
    let asked = |open: &OpenOp, number| {
        RefundHappened::OperationOpened(Box::new(OpenOp {
            id: operation(number),
            ..open.clone()
        }))
    };
    let what = vec![
        RefundHappened::Requested(Box::new(state)),
        asked(&open, 0),
        RefundHappened::StepRecorded {
            operation: operation(0),
            step: StepRecord {
                step: "refund".into(),
                hash: "2c26b46b68ffc68f".to_owned(),
                volatile: None,
            },
        },
        learnt(0, AllocationStatus::RequiresAction, (Some(action), None, None)),
        RefundHappened::OperationClosed {
            operation: operation(0),
        },
        asked(&open, 1),
        learnt(1, AllocationStatus::Failed, (None, None, Some(proof()))),
        learnt(1, AllocationStatus::Failed, (None, Some(hard()), None)),
        RefundHappened::OperationClosed {
            operation: operation(1),
        },
        asked(&open, 2),
        RefundHappened::OperationUnknown {
            operation: operation(2),
            since: Timestamp::from_secs(2_000),
            doubt: doubt(),
        },
        RefundHappened::ReviewRaised(ReviewReason::UnknownTooLong),
        RefundHappened::Abandoned {
            operation: operation(2),
            by: "ops@shop".to_owned(),
        },
        RefundHappened::ReviewCleared {
            by: "ops@shop".to_owned(),
        },
    ];
    let at = Timestamp::from_secs(2_000);
    what.into_iter().map(|what| RefundEvent { at, what }).collect()
}

fn session_events() -> Vec<SessionEvent> {
    let new = crate::session::tests::session(SessionStatus::Pending);
    let intent = new.intent.unwrap();
    let what = vec![
        SessionHappened::Created(Box::new(new)),
        SessionHappened::Submitted { intent },
        SessionHappened::Moved {
            to: SessionStatus::Failed,
        },
        SessionHappened::Expired {
            reason: ExpiryReason::OutcomeUnknown,
        },
        SessionHappened::LatePayment,
    ];
    let at = Timestamp::from_secs(2_000);
    what.into_iter().map(|what| SessionEvent { at, what }).collect()
}

/// The state after each event, from the first on.
fn states<A: Aggregate>(events: &[A::Event]) -> Vec<A> {
    let mut state = None;
    let after = |event| {
        state = A::apply(state.take(), event);
        state.clone().unwrap()
    };
    events.iter().map(after).collect()
}

#[test]
fn refunds_of_this_release_read_back() {
    let events = refund_events();
    reads_back("events_of_refund.json", &events);
    reads_back("refund_states.json", &states::<RefundState>(&events));
}

#[test]
fn sessions_of_this_release_read_back() {
    let events = session_events();
    reads_back("events_of_session.json", &events);
    reads_back("session_states.json", &states::<Session>(&events));
}

#[test]
fn evidence_of_this_release_is_kept_as_it_is() {
    let scene = Scene::capture_open();
    let (attempt, operation) = (scene.state.attempts[0].id, scene.state.operations[1].id);
    let close = CloseReport::Closed("pay_1".into(), Echo::none());
    let (capture, refund, proof) = (captured(), refunded(), proof());
    let read = |report| News::Payment {
        attempt,
        standing: Box::new(Standing::from(report)),
        reading: Reading::Read { refund_epoch: 0 },
    };
    let increment = AuthorizeReport::Authorized(approval());
    let news = [
        read(AuthorizeReport::Captured(approval())),
        read(AuthorizeReport::Declined(hard())),
        News::Capture {
            operation,
            report: capture,
        },
        News::Close {
            operation,
            report: close,
        },
        News::Increment {
            operation,
            report: increment,
        },
        News::CompensationRefund {
            operation,
            report: refund,
        },
        News::NotExecuted { operation, proof },
    ];
    let kept: Vec<_> = news
        .iter()
        .map(|news| {
            let (kind, what) = evidence_of(&scene.state, news).unwrap();
            serde_json::json!({ "kind": kind, "body": what })
        })
        .collect();
    reads_back("evidence.json", &kept);
    let doubt = doubt();
    assert_eq!(
        evidence_of(&scene.state, &News::Doubt { operation, doubt }),
        None,
        "nothing is decided"
    );
}

impl Scene {
    fn capture_open() -> Self {
        let mut scene = Self::authorized();
        let command = scene.capture(400, Rest::Keep);
        scene.run(&command).unwrap();
        scene
    }
}

fn row(scene: &Scene) -> Row {
    let loaded = Loaded {
        state: scene.state.clone(),
        version: 3,
        sequence: scene.events.len() as u64,
    };
    loaded.encode().unwrap()
}

#[test]
fn a_row_reads_back_and_a_newer_one_is_named() {
    let scene = Scene::authorized();
    let row = row(&scene);
    assert_eq!((row.key, row.schema), (scene.state.key(), SCHEMA));
    assert_eq!(Loaded::<Intent>::decode(&row).unwrap().state, scene.state);
    let newer = Row {
        schema: SCHEMA + 1,
        ..row
    };
    let error = Loaded::<Intent>::decode(&newer).unwrap_err();
    assert_eq!(error.code(), "store");
    assert!(
        error.to_string().contains(&format!("the form {}", SCHEMA + 1)),
        "{error}"
    );
}

#[test]
fn a_field_that_no_release_knows_is_refused() {
    let mut body = serde_json::to_value(Scene::authorized().state).unwrap();
    body["surprise"] = true.into();
    assert!(serde_json::from_value::<Intent>(body).is_err());
}
