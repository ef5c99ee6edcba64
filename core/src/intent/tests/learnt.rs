//! What is known after the news, to the minor unit and to the word: where the tables show a state alone.

use std::time::Duration;

use uuid::Uuid;

use super::scene::*;
use crate::action::{Action, ActionKind};
use crate::connector::{
    Approval, AuthorizeReport, Contradiction, Doubt, Echo, Handle, NotExecuted, Standing,
};
use crate::decline::{Decline, DeclineCode, DeclineKind};
use crate::id::{AttemptId, CaptureId, OperationId};
use crate::intent::command::{Command, CommandKind};
use crate::intent::event::Happened;
use crate::intent::merge::{Merged, merge};
use crate::intent::news::{News, Observation, OnLateSuccess, Reading, Source};
use crate::intent::state::{CompensationStatus, Ended, Known, Mark, OpStage, RefundShare, StepRecord};
use crate::intent::{AttemptStatus, IntentStatus, OperationKind, OperationStatus, Rest, ReviewReason};
use crate::retry::{CardNetwork, NetworkAdvice};
use crate::tenant::Mode;
use crate::time::Timestamp;

pub(super) fn known(scene: &Scene) -> &Known {
    &scene.state.attempts[0].known
}

pub(super) fn status(scene: &Scene, operation: OperationId) -> OperationStatus {
    scene.state.operation(operation).unwrap().status
}

pub(super) fn review(scene: &Scene) -> Option<ReviewReason> {
    scene.state.review.as_ref().map(|review| review.reason)
}

/// Runs the command, and gives the operation that it opened.
pub(super) fn opened(scene: &mut Scene, command: &Command) -> OperationId {
    scene.run(command).unwrap();
    scene.state.operations.last().unwrap().id
}

/// The first attempt waits for its payer, superseded; the second is under way.
pub(super) fn second_attempt() -> Scene {
    let mut scene = Scene::requires_action();
    let command = scene.command(CommandKind::Supersede);
    scene.run(&command).unwrap();
    scene.confirm().unwrap();
    scene
}

pub(super) fn taken(minor: i64) -> Standing {
    Standing::from(AuthorizeReport::Captured(approval())).captured(eur(minor))
}

/// News of the first attempt, at that time.
fn told_at(scene: &mut Scene, at: Timestamp, report: AuthorizeReport) -> Merged {
    let observation = Observation {
        at,
        source: Source::Outside,
        news: News::Payment {
            attempt: scene.state.attempts[0].id,
            standing: Box::new(report.into()),
            reading: Reading::Told,
        },
        on_late_success: OnLateSuccess::Reverse,
        fresh_capture: CaptureId::from_uuid(Mode::Test, Uuid::from_u128(8_000)),
    };
    let merged = merge(&scene.state, &observation);
    scene.take(merged.clone().into_events());
    merged
}

#[test]
fn a_failure_ends_an_attempt_whichever_way_its_money_was_taken() {
    let marks = |mark: fn(&mut Known), failed: i64, held: i64| {
        let mut known = Known {
            authorized: Mark::Set,
            authorized_minor: 1_000,
            captured_minor: 1_000,
            failed_minor: failed,
            held_failed_minor: held,
            ..Known::default()
        };
        mark(&mut known);
        known.status()
    };
    let captured: fn(&mut Known) = |known| known.captured = Mark::Set;
    let closed: fn(&mut Known) = |known| known.closed = Mark::Set;
    let released: fn(&mut Known) = |known| known.released = Mark::Set;
    let settled: fn(&mut Known) = |known| {
        known.captured = Mark::Set;
        known.settled = Mark::Set;
    };
    let none: fn(&mut Known) = |_| {};
    for (mark, part_failed, all_held) in [
        (captured, AttemptStatus::Captured, AttemptStatus::Authorized),
        (closed, AttemptStatus::Authorized, AttemptStatus::Voided),
        (released, AttemptStatus::Authorized, AttemptStatus::Authorized),
        (settled, AttemptStatus::Settled, AttemptStatus::Authorized),
    ] {
        assert_eq!(marks(mark, 1_000, 0), AttemptStatus::Failed);
        assert_eq!(marks(mark, 999, 0), part_failed);
        assert_eq!(marks(mark, 1_000, 1_000), all_held, "the authorization lives on");
    }
    assert_eq!(marks(none, 1_000, 0), AttemptStatus::Authorized);
    let nothing = Known {
        captured: Mark::Set,
        ..Known::default()
    };
    assert_eq!(nothing.status(), AttemptStatus::Captured, "nothing failed");
}

#[test]
fn a_hold_that_was_held_again_ends_again() {
    let mut known = Known {
        released: Mark::Set,
        failed_minor: 400,
        held_failed_minor: 400,
        ..Known::default()
    };
    assert!(known.held_again() && !known.is_released());
    known.end_hold();
    assert!(!known.held_again() && known.is_released());
}

#[test]
fn one_decline_is_kept_and_it_is_the_first_by_its_words() {
    let with = |code, network: &str| Decline::new(code, DeclineKind::Hard, Some(network.to_owned()));
    let (low, high) = (
        with(DeclineCode::LostCard, "41"),
        with(DeclineCode::LostCard, "43"),
    );
    for order in [[&low, &high], [&high, &low]] {
        let mut scene = Scene::requires_action();
        for decline in order {
            scene.read(AuthorizeReport::Declined(decline.clone()).into());
        }
        assert_eq!(known(&scene).declined.as_ref(), Some(&low));
    }
    let soft = Decline::new(DeclineCode::LostCard, DeclineKind::Soft, Some("41".to_owned()));
    let told = soft
        .clone()
        .with_network(NetworkAdvice::of(CardNetwork::Visa).response_code("51"));
    for (one, other, kept) in [(&low, &soft, &low), (&soft, &told, &told), (&low, &told, &told)] {
        for order in [[one, other], [other, one]] {
            let mut scene = Scene::requires_action();
            for decline in order {
                scene.read(AuthorizeReport::Declined(decline.clone()).into());
            }
            assert_eq!(known(&scene).declined.as_ref(), Some(kept), "whatever the order");
        }
    }
}

#[test]
fn a_decline_of_another_attempt_isn_t_the_payment_s_once_one_has_won() {
    let mut scene = second_attempt();
    scene.answer(AuthorizeReport::Authorized(approval()));
    let first = scene.state.attempts[0].id;
    scene.read_of(first, declined().into());
    assert_eq!(scene.state.attempts[0].status, AttemptStatus::Declined);
    assert_eq!(scene.state.last_decline, None);
    let mut scene = Scene::manual().answered(declined());
    scene.confirm().unwrap();
    scene.answer(pending());
    assert_eq!(scene.state.last_decline, Some(hard()), "until one succeeds");
}

#[test]
fn one_identifier_and_one_proof_are_kept_whatever_the_order() {
    let of =
        |network: &str| AuthorizeReport::Authorized(approval().network_transaction_id(network.to_owned()));
    for order in [["ntid_a", "ntid_b"], ["ntid_b", "ntid_a"]] {
        let mut scene = Scene::processing();
        for network in order {
            scene.read(of(network).into());
        }
        assert_eq!(known(&scene).network_transaction_id.as_deref(), Some("ntid_a"));
    }
    for order in [["a", "b"], ["b", "a"]] {
        let mut scene = Scene::manual();
        scene.confirm().unwrap();
        let operation = scene.state.operations[0].id;
        for why in order {
            let proof = NotExecuted::NotSent(why.into());
            scene.hear(Source::Driver(operation), News::NotExecuted { operation, proof });
        }
        assert_eq!(known(&scene).not_executed, Some(NotExecuted::NotSent("a".into())));
    }
}

#[test]
fn of_two_waits_at_one_time_the_later_step_counts() {
    let at = Timestamp::from_secs(5_000);
    let handle = || Handle::from("pay_1");
    let of = |kind, url: &str| {
        AuthorizeReport::ActionNeeded(handle(), Action::new(kind).with("url", url), Echo::none())
    };
    let fingerprint = || of(ActionKind::ThreeDsFingerprint, "https://bank.example/print");
    let challenge = || of(ActionKind::Redirect, "https://bank.example/act");
    let shown = |order: [AuthorizeReport; 2]| {
        let mut scene = Scene::manual().answered(pending());
        for report in order {
            told_at(&mut scene, at, report);
        }
        let action = known(&scene).waiting.clone().unwrap().action.unwrap();
        (action.kind, action.data["url"].clone())
    };
    let act = (ActionKind::Redirect, "https://bank.example/act".to_owned());
    assert_eq!(shown([fingerprint(), challenge()]), act);
    assert_eq!(shown([challenge(), fingerprint()]), act);
    let other = of(ActionKind::Redirect, "https://bank.example/other");
    assert_eq!(shown([challenge(), other]), act, "of two alike the first stays");
}

#[test]
fn a_total_that_is_told_again_doesn_t_begin_its_epochs_anew() {
    let mut scene = Scene::captured();
    let attempt = scene.state.attempts[0].id;
    let mut say = |refunded, reading| {
        let standing = Box::new(taken(1_000).refunded(eur(refunded)));
        let merged = scene.hear(
            Source::Outside,
            News::Payment {
                attempt,
                standing,
                reading,
            },
        );
        (
            merged == Merged::Ignored,
            known(&scene).refund_epoch,
            known(&scene).refunded_minor,
        )
    };
    assert_eq!(say(500, Reading::Read { refund_epoch: 2 }), (false, 2, 500));
    assert_eq!(say(500, Reading::Told), (true, 2, 500));
    assert_eq!(say(499, Reading::Told), (true, 2, 500));
    assert_eq!(say(501, Reading::Told), (false, 0, 501));
}

fn echoed(amount: i64) -> AuthorizeReport {
    AuthorizeReport::Authorized(Approval::new("pay_1", Echo::none().amount(eur(amount))))
}

#[test]
fn news_of_another_amount_or_reference_says_nothing_of_this_attempt() {
    let reference =
        |text: &str| AuthorizeReport::Authorized(Approval::new("pay_1", Echo::none().reference(text)));
    for strange in [echoed(999), reference("another")] {
        let mut scene = Scene::manual();
        scene.confirm().unwrap();
        assert!(matches!(scene.answer(strange), Merged::Contradiction(_)));
        assert_eq!(review(&scene), Some(ReviewReason::AmountMismatch));
        assert_eq!(scene.state.attempts[0].status, AttemptStatus::Opened);
    }
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let own = reference(&scene.state.attempts[0].operation.reference());
    scene.answer(own);
    assert_eq!(
        (scene.state.status, review(&scene)),
        (IntentStatus::Authorized, None)
    );
}

#[test]
fn an_attempt_is_of_what_it_was_asked_to_be_raised_to_and_of_no_other_operation_s_amount() {
    let mut scene = Scene::authorized();
    scene.capture_as(400, Rest::Keep, capture_pending());
    let raise = scene.raise(1_500);
    opened(&mut scene, &raise);
    assert!(!matches!(
        scene.read(echoed(1_500).into()),
        Merged::Contradiction(_)
    ));
    assert_eq!(review(&scene), None);
    assert!(matches!(scene.read(echoed(400).into()), Merged::Contradiction(_)));
    // What the winner was asked to be raised to isn't what another attempt is of.
    let mut scene = second_attempt();
    scene.answer(AuthorizeReport::Authorized(multicapture()));
    let raise = scene.raise(1_500);
    opened(&mut scene, &raise);
    let first = scene.state.attempts[0].id;
    assert!(matches!(
        scene.read_of(first, echoed(1_500).into()),
        Merged::Contradiction(_)
    ));
}

#[test]
fn a_call_without_an_answer_is_answered_by_what_was_heard_meanwhile() {
    for (report, becomes) in [
        (AuthorizeReport::Authorized(approval()), OperationStatus::Done),
        (pending(), OperationStatus::Pending),
        (action(), OperationStatus::Done),
        (declined(), OperationStatus::Declined),
    ] {
        let mut scene = Scene::manual();
        scene.confirm().unwrap();
        let operation = scene.state.operations[0].id;
        scene.read(report.into());
        assert_eq!(
            status(&scene, operation),
            OperationStatus::Prepared,
            "its driver has it"
        );
        let news = |contradicts| News::Doubt {
            operation,
            doubt: Doubt {
                contradicts,
                ..doubt()
            },
        };
        let mut contradicted = scene.clone();
        contradicted.hear(Source::Driver(operation), news(Contradiction::Echo));
        assert_eq!(status(&contradicted, operation), OperationStatus::Unknown);
        assert_eq!(review(&contradicted), Some(ReviewReason::AmountMismatch));
        scene.hear(Source::Driver(operation), news(Contradiction::None));
        assert_eq!(
            (status(&scene, operation), &scene.state.open_op),
            (becomes, &None)
        );
        assert_eq!(review(&scene), None);
    }
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let scene = scene.doubted();
    assert_eq!(
        status(&scene, scene.state.operations[0].id),
        OperationStatus::Unknown
    );
}

#[test]
fn another_doubt_adds_a_contradiction_alone() {
    let with = |contradicts| Doubt {
        contradicts,
        ..doubt()
    };
    let (plain, echo) = (with(Contradiction::None), with(Contradiction::Echo));
    let mut scene = Scene::manual();
    let mut open = scene.operation(OperationKind::Authorize, AMOUNT, Rest::Release);
    assert!(!open.knows(&plain) && !open.knows(&echo) && !open.contradicted());
    let unknown = |doubt: &Doubt| OpStage::Unknown {
        since: Timestamp::from_secs(1_000),
        doubt: doubt.clone(),
    };
    open.stage = unknown(&plain);
    assert!(open.knows(&plain) && !open.knows(&echo) && !open.contradicted());
    open.stage = unknown(&echo);
    assert!(open.knows(&plain) && open.knows(&echo) && open.contradicted());
}

#[test]
fn a_release_is_done_once_a_read_shows_nothing_held() {
    let releasing = || {
        let mut scene = Scene::partly_captured();
        let command = scene.closing(OperationKind::Release);
        let operation = opened(&mut scene, &command);
        (scene.doubted(), operation)
    };
    for shows in [taken(400), lapsed().into()] {
        let (mut scene, operation) = releasing();
        scene.read(shows);
        assert_eq!(status(&scene, operation), OperationStatus::Done);
    }
    let (mut scene, operation) = releasing();
    scene.read(Standing::from(AuthorizeReport::Authorized(approval())).captured(eur(400)));
    assert_eq!(status(&scene, operation), OperationStatus::Unknown);
}

#[test]
fn a_cancel_ends_a_payment_that_nothing_has_won_or_ended() {
    let cancelling = || {
        let mut scene = Scene::requires_action();
        let Command::CloseLive(mut open) = scene.closing(OperationKind::Cancel) else {
            unreachable!()
        };
        open.ends = Some(Ended::Expired);
        let operation = opened(&mut scene, &Command::CloseLive(open));
        let report = close_pending();
        scene.hear(Source::Driver(operation), News::Close { operation, report });
        (scene, operation)
    };
    let close = |scene: &mut Scene, operation| {
        let report = closed();
        scene.hear(Source::Outside, News::Close { operation, report });
        assert_eq!(status(scene, operation), OperationStatus::Done);
    };
    let (mut scene, operation) = cancelling();
    close(&mut scene, operation);
    assert_eq!(scene.state.ended, Some(Ended::Expired));
    // Another attempt has won meanwhile.
    let (mut scene, operation) = cancelling();
    let supersede = scene.command(CommandKind::Supersede);
    scene.run(&supersede).unwrap();
    scene.confirm().unwrap();
    scene.answer(AuthorizeReport::Authorized(approval()));
    close(&mut scene, operation);
    assert_eq!(
        (scene.state.ended, scene.state.status),
        (None, IntentStatus::Authorized)
    );
    // The host has cancelled it meanwhile.
    let (mut scene, operation) = cancelling();
    let supersede = scene.command(CommandKind::Supersede);
    scene.run(&supersede).unwrap();
    scene.run(&Command::Cancel(Ended::Cancelled)).unwrap();
    close(&mut scene, operation);
    assert_eq!(scene.state.ended, Some(Ended::Cancelled));
}

/// Charged late, with its giving back opened as that kind.
fn compensating(kind: OperationKind) -> (Scene, AttemptId, OperationId) {
    let mut scene = Scene::manual().answered(declined());
    scene.run(&Command::Cancel(Ended::Cancelled)).unwrap();
    let report = match kind {
        OperationKind::CompensateVoid => AuthorizeReport::Authorized(approval()),
        _refund => AuthorizeReport::Captured(approval()),
    };
    scene.read(report.into());
    let attempt = scene.state.attempts[0].id;
    let mut operation = scene.operation(kind, AMOUNT, Rest::Release);
    operation.attempt = attempt;
    let operation = Box::new(operation);
    let open = opened(&mut scene, &Command::Compensate { attempt, operation });
    (scene, attempt, open)
}

#[test]
fn a_compensation_is_wanted_again_only_where_it_was_taken_on_and_proved_not_done() {
    let wanted_again = |merged: Merged| {
        merged.into_events().iter().any(|event| {
            let again = CompensationStatus::Wanted;
            matches!(event.what, Happened::CompensationClosed { status, .. } if status == again)
        })
    };
    let not_executed = |operation| News::NotExecuted {
        operation,
        proof: proof(),
    };
    for kind in [OperationKind::CompensateVoid, OperationKind::CompensateRefund] {
        let answer = |operation, done: bool| match (kind, done) {
            (OperationKind::CompensateVoid, true) => News::Close {
                operation,
                report: closed(),
            },
            (OperationKind::CompensateVoid, false) => News::Close {
                operation,
                report: close_pending(),
            },
            (_refund, true) => News::CompensationRefund {
                operation,
                report: refunded(),
            },
            (_refund, false) => News::CompensationRefund {
                operation,
                report: crate::connector::RefundReport::Pending(Handle::from("re_1"), Echo::none()),
            },
        };
        let (mut scene, _, operation) = compensating(kind);
        let at_once = scene.hear(Source::Driver(operation), not_executed(operation));
        assert!(!wanted_again(at_once), "{kind:?}: it is wanted still");
        let (mut scene, attempt, operation) = compensating(kind);
        scene.hear(Source::Driver(operation), answer(operation, false));
        let mut proved = scene.clone();
        assert!(
            wanted_again(proved.hear(Source::Outside, not_executed(operation))),
            "{kind:?}"
        );
        assert_eq!(
            proved.state.attempt(attempt).unwrap().compensation(),
            Some(CompensationStatus::Wanted)
        );
        assert!(
            !wanted_again(scene.hear(Source::Outside, answer(operation, true))),
            "{kind:?}"
        );
        assert_eq!(
            scene.state.attempt(attempt).unwrap().compensation(),
            Some(CompensationStatus::Done)
        );
    }
}

#[test]
fn a_success_over_an_amount_that_was_changed_goes_back() {
    let mut scene = Scene::automatic().answered(declined());
    let update = scene.command(CommandKind::Update);
    scene.run(&update).unwrap();
    scene.read(AuthorizeReport::Captured(approval()).into());
    assert_eq!(scene.state.winner, None);
    assert_eq!(
        scene.state.attempts[0].compensation(),
        Some(CompensationStatus::Wanted)
    );
}

#[test]
fn a_step_is_recorded_once_under_its_name() {
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let operation = scene.state.operations[0].id;
    let mut record = |step: &'static str, hash: &str| {
        scene.happen(Happened::StepRecorded {
            operation,
            step: StepRecord {
                step: step.into(),
                hash: hash.to_owned(),
                volatile: None,
            },
            handle: None,
        });
    };
    record("create", "1");
    record("confirm", "2");
    record("create", "3");
    let steps = &scene.state.open_op.as_ref().unwrap().steps;
    let kept: Vec<_> = steps
        .iter()
        .map(|step| (&*step.step, step.hash.as_str()))
        .collect();
    assert_eq!(kept, [("create", "3"), ("confirm", "2")]);
}

#[test]
fn a_refund_takes_its_parts_of_the_captures_and_gives_them_back_where_it_fails() {
    let mut scene = Scene::authorized();
    for amount in [300, 200] {
        scene.capture_as(amount, Rest::Keep, captured());
    }
    let [first, second] = [0, 1].map(|at: usize| scene.state.captures[at].id);
    let Command::ReserveRefund { refund, .. } = scene.reserve(250) else {
        unreachable!()
    };
    let captures = vec![(first, 150), (second, 100)];
    scene
        .run(&Command::ReserveRefund {
            refund,
            amount: 250,
            captures,
        })
        .unwrap();
    let of_captures = |scene: &Scene| [0, 1].map(|at: usize| scene.state.captures[at].refunded);
    assert_eq!(of_captures(&scene), [150, 100]);
    let learnt = |failures, given_back| Happened::RefundLearnt {
        refund,
        share: RefundShare {
            failures,
            ..RefundShare::default()
        },
        given_back,
    };
    scene.happen(learnt(1, vec![(second, 60)]));
    assert_eq!(of_captures(&scene), [150, 40]);
    let failed_at = scene.state.updated_at;
    scene.now = scene.now.after(Duration::from_secs(9));
    scene.happen(learnt(1, Vec::new()));
    assert_eq!(
        scene.state.refunds[&refund].failed_at,
        Some(failed_at),
        "it is when the last was learnt"
    );
    scene.happen(learnt(2, Vec::new()));
    assert_eq!(scene.state.refunds[&refund].failed_at, Some(scene.now));
    scene.happen(learnt(1, Vec::new()));
    assert_eq!(
        scene.state.refunds[&refund].failures, 2,
        "news that is late takes none back"
    );
}

#[test]
fn each_failed_refund_begins_an_epoch_and_another_once_reads_have_settled() {
    let quiet = Duration::from_secs(60);
    let failed_at = Timestamp::from_secs(5_000);
    let mut scene = Scene::captured();
    let winner = scene.state.winner.unwrap();
    let epoch = |scene: &Scene, after: u64| {
        let now = failed_at.after(Duration::from_secs(after));
        scene.state.refund_epoch(winner, now, quiet)
    };
    assert_eq!((epoch(&scene, 0), scene.state.refund_failures(winner)), (0, 0));
    let Command::ReserveRefund { refund, .. } = scene.reserve(100) else {
        unreachable!()
    };
    let share = |failures| RefundShare {
        failures,
        failed_at: Some(failed_at),
        ..RefundShare::default()
    };
    for (failures, unsettled, settled) in [(1, 1, 2), (3, 5, 6)] {
        scene.state.refunds.insert(refund, share(failures));
        assert_eq!(scene.state.refund_failures(winner), failures);
        assert_eq!(
            [0, 59, 60, 61].map(|at| epoch(&scene, at)),
            [unsettled, unsettled, settled, settled]
        );
    }
    let other = AttemptId::from_uuid(Mode::Test, Uuid::nil());
    assert_eq!(scene.state.refund_failures(other), 0);
    assert_eq!(scene.state.refund_epoch(other, failed_at, quiet), 0);
}

#[test]
fn what_was_seen_given_back_is_stale_until_a_read_of_the_last_epoch() {
    let stale = |failures, epoch, ours, seen| {
        let mut scene = Scene::captured();
        let Command::ReserveRefund { refund, .. } = scene.reserve(100) else {
            unreachable!()
        };
        let share = RefundShare {
            failures,
            refunded: ours,
            ..RefundShare::default()
        };
        scene.state.refunds.insert(refund, share);
        let known = &mut scene.state.attempts[0].known;
        (known.refund_epoch, known.refunded_minor) = (epoch, seen);
        scene.state.refunded_is_stale()
    };
    assert!(stale(3, 0, 100, 101) && stale(3, 2, 100, 101) && stale(3, 5, 100, 101));
    assert!(
        !stale(3, 6, 100, 101) && !stale(3, 7, 100, 101),
        "a read has said so"
    );
    assert!(
        !stale(3, 0, 100, 100) && !stale(3, 0, 100, 99),
        "our refunds gave as much"
    );
    assert!(!stale(0, 0, 100, 101), "none has failed");
}

#[test]
fn a_hold_is_a_risk_check_s() {
    let held = |reason| {
        let mut scene = Scene::authorized();
        scene.happen(Happened::ReviewRaised(reason));
        scene.state.is_held()
    };
    assert!(held(ReviewReason::RiskHold) && !held(ReviewReason::Contradiction));
    assert!(!Scene::authorized().state.is_held());
}
