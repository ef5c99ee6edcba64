//! What holds for every order of news and every sequence of commands.

use proptest::prelude::*;

use super::scene::*;
use crate::connector::{AuthorizeReport, CaptureReport, Echo, Handle, Standing};
use crate::id::{CaptureId, OperationId};
use crate::intent::command::{Command, CommandKind};
use crate::intent::event::{Happened, apply};
use crate::intent::merge::{Merged, merge};
use crate::intent::news::{News, Observation, OnLateSuccess, Reading, Source};
use crate::intent::state::{Intent, Known, RefundShare};
use crate::intent::{AttemptStatus, CaptureStatus, IntentStatus, OperationStatus, Rest};
use crate::tenant::Mode;
use crate::time::Timestamp;

/// News of one payment, without the identifiers.
#[derive(Clone, Copy, Debug)]
enum Said {
    Action,
    OpenAction,
    Pending,
    Declined(bool),
    Authorized,
    Partly,
    Taken(i64),
    Settled(i64),
    /// So much, by a read that knew of so many failures of our refunds.
    Refunded(i64, u32),
    Returned(i64),
    Lapsed,
    First(Answer),
    Second(Answer),
    NotExecuted,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Captured,
    Settled,
    Pending,
    Declined,
}

fn said() -> impl Strategy<Value = Said> {
    let answer = prop_oneof![
        Just(Answer::Captured),
        Just(Answer::Settled),
        Just(Answer::Pending),
        Just(Answer::Declined)
    ];
    let minor = prop_oneof![Just(300_i64), Just(500)];
    prop_oneof![
        Just(Said::Action),
        Just(Said::OpenAction),
        Just(Said::Pending),
        any::<bool>().prop_map(Said::Declined),
        Just(Said::Authorized),
        Just(Said::Partly),
        minor.clone().prop_map(Said::Taken),
        minor.clone().prop_map(Said::Settled),
        (minor.clone(), 0_u32..3).prop_map(|(minor, failures)| Said::Refunded(minor, failures)),
        minor.prop_map(Said::Returned),
        Just(Said::Lapsed),
        answer.clone().prop_map(Said::First),
        answer.prop_map(Said::Second),
        Just(Said::NotExecuted),
    ]
}

/// What was asked: an authorization, and two captures of 300 and 200 that the processor has taken on.
struct Asked {
    scene: Scene,
    captures: [OperationId; 2],
}

fn asked() -> Asked {
    let mut scene = Scene::authorized();
    let first = scene.capture_as(300, Rest::Keep, capture_pending());
    let second = scene.capture_as(200, Rest::Keep, capture_pending());
    Asked {
        scene,
        captures: [first, second],
    }
}

fn news(said: Said, number: i64, state: &Intent, captures: [OperationId; 2]) -> News {
    let attempt = &state.attempts[0];
    let of_read = |standing: Standing, refund_epoch| News::Payment {
        attempt: attempt.id,
        standing: Box::new(standing),
        reading: Reading::Read { refund_epoch },
    };
    let of_payment = |standing| of_read(standing, 0);
    let approval = || multicapture().network_transaction_id(format!("ntid_{number}"));
    let of_capture = |operation, answer| News::Capture {
        operation,
        report: match answer {
            Answer::Captured => captured(),
            Answer::Settled => CaptureReport::Settled(Handle::from("cap_1"), Echo::none()),
            Answer::Pending => capture_pending(),
            Answer::Declined => CaptureReport::Declined(hard()),
        },
    };
    match said {
        Said::Action => of_payment(action().into()),
        Said::OpenAction => of_payment(open_action().into()),
        Said::Pending => of_payment(pending().into()),
        Said::Declined(soft) => {
            let code = if soft {
                crate::DeclineCode::DoNotHonor
            } else {
                crate::DeclineCode::LostCard
            };
            of_payment(AuthorizeReport::Declined(decline(code)).into())
        }
        Said::Authorized => of_payment(AuthorizeReport::Authorized(approval()).into()),
        Said::Partly => of_payment(AuthorizeReport::PartiallyAuthorized(approval(), eur(700)).into()),
        Said::Taken(minor) => {
            of_payment(Standing::from(AuthorizeReport::Captured(approval())).captured(eur(minor)))
        }
        Said::Settled(minor) => {
            of_payment(Standing::from(AuthorizeReport::Settled(approval())).captured(eur(minor)))
        }
        Said::Refunded(minor, failures) => {
            let report = AuthorizeReport::Captured(approval());
            of_read(
                Standing::from(report).captured(eur(500)).refunded(eur(minor)),
                failures,
            )
        }
        Said::Returned(minor) => {
            let report = AuthorizeReport::Captured(approval());
            of_payment(Standing::from(report).captured(eur(500)).returned(eur(minor)))
        }
        Said::Lapsed => of_payment(lapsed().into()),
        Said::First(answer) => of_capture(captures[0], answer),
        Said::Second(answer) => of_capture(captures[1], answer),
        Said::NotExecuted => News::NotExecuted {
            operation: attempt.operation,
            proof: crate::connector::NotExecuted::NotSent(format!("try {number}").into()),
        },
    }
}

/// Everything that may not depend on the order.
#[derive(Debug, PartialEq)]
struct Learnt {
    known: Known,
    status: AttemptStatus,
    captures: [CaptureStatus; 2],
    operations: [OperationStatus; 3],
    captured: i64,
}

/// Hears the news in that order, each with the time at which it was true.
fn hear_all(start: &Asked, order: &[(i64, Said)]) -> Intent {
    let mut state = start.scene.state.clone();
    for (number, said) in order {
        let observation = Observation {
            at: start
                .scene
                .now
                .after(std::time::Duration::from_secs(*number as u64)),
            source: Source::Outside,
            news: news(*said, *number, &state, start.captures),
            on_late_success: OnLateSuccess::Reverse,
            fresh_capture: CaptureId::from_uuid(Mode::Test, uuid::Uuid::from_u128(9_000 + *number as u128)),
        };
        for event in merge(&state, &observation).into_events() {
            state = apply(Some(state), &event).unwrap();
        }
        let again = merge(&state, &observation);
        assert_eq!(again, Merged::Ignored, "the same again changes nothing: {said:?}");
    }
    state
}

fn learnt(start: &Asked, state: &Intent) -> Learnt {
    let attempt = &state.attempts[0];
    let status = |operation| {
        let of = |capture: &&crate::CaptureRecord| capture.operation == Some(operation);
        state.captures.iter().find(of).unwrap().status
    };
    Learnt {
        known: attempt.known.clone(),
        status: attempt.status,
        captures: start.captures.map(status),
        operations: [attempt.operation, start.captures[0], start.captures[1]]
            .map(|operation| state.operation(operation).unwrap().status),
        captured: state.totals.captured,
    }
}

/// A processor that declines a capture, or whose authorization has lapsed, doesn't count that capture as taken.
fn consistent(said: Vec<Said>) -> Vec<Said> {
    let over = |said: &Said| {
        matches!(
            said,
            Said::Lapsed | Said::First(Answer::Declined) | Said::Second(Answer::Declined)
        )
    };
    if !said.iter().any(over) {
        return said;
    }
    let untold = said.into_iter().map(|said| match said {
        Said::Taken(_) | Said::Settled(_) | Said::Refunded(..) | Said::Returned(_) => Said::Authorized,
        said => said,
    });
    untold.collect()
}

/// News with the number that tells it apart.
type Order = Vec<(i64, Said)>;

fn orders() -> impl Strategy<Value = (Order, Order)> {
    let multiset = prop::collection::vec(said(), 1..7);
    multiset.prop_flat_map(|said| {
        let numbered: Order = (1..).zip(consistent(said)).collect();
        let mut repeated = numbered.clone();
        repeated.extend(numbered.iter().take(3).copied());
        (Just(numbered), Just(repeated).prop_shuffle())
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(CommandKind),
    Answer(u8),
    Say(Said),
    Doubt,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::sample::select(CommandKind::ALL.to_vec()).prop_map(Step::Ask),
        (0_u8..5).prop_map(Step::Answer),
        said().prop_map(Step::Say),
        Just(Step::Doubt),
    ]
}

fn take(scene: &mut Scene, step: Step, number: i64) {
    let open = scene.state.open_op.clone();
    match (step, open) {
        (Step::Ask(kind), _) => {
            let command = scene.command(kind);
            // What isn't allowed is refused, which is what the tables test.
            let _refused = scene.run(&command);
        }
        (Step::Doubt, Some(open)) => {
            scene.hear(
                Source::Driver(open.id),
                News::Doubt {
                    operation: open.id,
                    doubt: doubt(),
                },
            );
        }
        (Step::Answer(which), Some(open)) => {
            let operation = open.id;
            let news = match (open.kind, which) {
                (crate::OperationKind::Capture, 0 | 1) => News::Capture {
                    operation,
                    report: captured(),
                },
                (crate::OperationKind::Capture, 2 | 3) => News::Capture {
                    operation,
                    report: capture_pending(),
                },
                (crate::OperationKind::Increment, 0..=3) => News::Increment {
                    operation,
                    report: AuthorizeReport::Authorized(multicapture()),
                },
                (
                    crate::OperationKind::Void | crate::OperationKind::Release | crate::OperationKind::Cancel,
                    0..=3,
                ) => News::Close {
                    operation,
                    report: if which < 2 { closed() } else { close_pending() },
                },
                (crate::OperationKind::Authorize | crate::OperationKind::Complete, 0..=3) => News::Payment {
                    attempt: open.attempt,
                    standing: Box::new(match which {
                        0 => AuthorizeReport::Authorized(multicapture()).into(),
                        1 => action().into(),
                        2 => pending().into(),
                        _three => declined().into(),
                    }),
                    reading: Reading::Answer,
                },
                (_rest, _proved) => News::NotExecuted {
                    operation,
                    proof: proof(),
                },
            };
            scene.hear(Source::Driver(operation), news);
        }
        (Step::Say(said), _) => {
            if scene.state.attempts.is_empty() {
                return;
            }
            let of_capture = |at: usize| scene.state.captures.get(at).and_then(|capture| capture.operation);
            let nobody = OperationId::from_uuid(Mode::Test, uuid::Uuid::nil());
            let captures = [0, 1].map(|at| of_capture(at).unwrap_or(nobody));
            let news = news(said, number, &scene.state, captures);
            scene.hear(Source::Outside, news);
        }
        (Step::Doubt | Step::Answer(_), None) => {}
    }
}

fn starts() -> impl Strategy<Value = Scene> {
    let all = IntentStatus::ALL
        .into_iter()
        .flat_map(Scene::all_of)
        .collect::<Vec<_>>();
    prop::sample::select(all)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn news_gives_the_same_in_every_order((first, second) in orders()) {
        let start = asked();
        let first = hear_all(&start, &first);
        let second = hear_all(&start, &second);
        prop_assert_eq!(learnt(&start, &first), learnt(&start, &second));
    }

    /// A refund of ours was given and failed, another was made elsewhere: until a read has shown it, the more counts.
    #[test]
    fn what_was_given_back_elsewhere_counts_in_every_order_of_reads(
        (ours, elsewhere) in (1_i64..=500, 0_i64..=500),
        order in Just(vec![0_usize, 1, 2, 3, 4, 5]).prop_shuffle(),
    ) {
        let mut scene = Scene::captured();
        let Command::ReserveRefund { refund, .. } = scene.reserve(ours) else { unreachable!() };
        let share = |pending, refunded, failures| Happened::RefundLearnt {
            refund,
            share: RefundShare { pending, refunded, failures, ..RefundShare::default() },
            given_back: Vec::new(),
        };
        // What was read while it was pending, once it was given, when more was given elsewhere, after it failed by a
        // read that lagged, and once reads had settled.
        let reads = [(0, 0), (ours, 0), (ours + elsewhere, 0), (ours + elsewhere, 1), (elsewhere, 2)];
        let mut shares = vec![share(0, 0, 1), share(0, ours, 0)];
        let attempt = scene.state.attempts[0].id;
        let mut heard = (0, 0);
        for at in order.into_iter().chain([5]) {
            match reads.get(at) {
                Some((minor, refund_epoch)) => {
                    heard = heard.max((*refund_epoch, *minor));
                    let report = AuthorizeReport::Captured(approval());
                    scene.hear(Source::Outside, News::Payment {
                        attempt,
                        standing: Box::new(Standing::from(report).captured(eur(1_000)).refunded(eur(*minor))),
                        reading: Reading::Read { refund_epoch: *refund_epoch },
                    });
                }
                None => shares.pop().into_iter().for_each(|share| scene.happen(share)),
            }
            prop_assert!(scene.state.totals.refunded >= heard.1);
        }
        prop_assert_eq!(scene.state.totals.refunded, elsewhere);
        prop_assert!(!scene.state.refunded_is_stale());
    }

    /// From any state, whatever is asked and heard: nothing panics, the counters hold, the state is what its events
    /// make of it, and rows and events read back as they were written.
    #[test]
    fn every_history_holds(scene in starts(), steps in prop::collection::vec(step(), 0..25)) {
        let mut scene = scene;
        for (number, step) in (1_i64..).zip(steps) {
            let before = scene.state.totals;
            take(&mut scene, step, number);
            let totals = scene.state.totals;
            // News may say that less is held than was asked for; a command never asks for more than is held.
            if matches!(step, Step::Ask(_)) && totals.capture_pending > before.capture_pending {
                prop_assert!(totals.captured + totals.capture_pending <= totals.capturable_max);
            }
            if matches!(step, Step::Ask(_)) && totals.refund_pending > before.refund_pending {
                let given = totals.refunded + totals.refund_pending + totals.returned;
                prop_assert!(given <= totals.captured);
            }
            for minor in [totals.authorized, totals.captured, totals.capture_pending, totals.refund_pending] {
                prop_assert!(minor >= 0);
            }
        }
        let folded = scene.events.iter().fold(None, apply);
        prop_assert_eq!(folded.as_ref(), Some(&scene.state));
        let row = serde_json::to_string(&scene.state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Intent>(&row).unwrap(), &scene.state);
        for event in &scene.events {
            let written = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<crate::intent::IntentEvent>(&written).unwrap(), event);
        }
    }

    /// An event of another history changes nothing that it doesn't speak of, and never panics.
    #[test]
    fn applying_is_total(scene in starts(), other in starts(), steps in prop::collection::vec(step(), 0..12)) {
        let mut other = other;
        for (number, step) in (1_i64..).zip(steps) {
            take(&mut other, step, number);
        }
        let mut state = Some(scene.state);
        for event in &other.events {
            state = apply(state, event);
        }
        prop_assert!(state.is_some());
        let first = &other.events[1..];
        prop_assert!(first.iter().all(|event| apply(None, event).is_none()));
    }
}

#[test]
fn an_event_sets_the_time_of_the_change() {
    let scene = Scene::authorized();
    assert!(scene.state.updated_at > Timestamp::from_secs(1_000));
    assert_eq!(scene.state.created_at, Timestamp::from_secs(1_000));
}
