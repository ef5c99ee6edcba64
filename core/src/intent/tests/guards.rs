//! The guards behind the listed cells.

use super::scene::*;
use crate::connector::{AuthorizeReport, CaptureReport, Standing, VoidAfterCapture};
use crate::intent::command::{Command, CommandKind};
use crate::intent::event::Happened;
use crate::intent::machine::Illegal;
use crate::intent::merge::Merged;
use crate::intent::news::{News, Reading, Source};
use crate::intent::state::{Closure, Ended, RefundShare};
use crate::intent::{AttemptStatus, CaptureStatus, IntentStatus, OperationKind, OperationStatus, Rest};
use crate::time::Timestamp;

fn field(outcome: Result<(), Illegal>) -> &'static str {
    match outcome {
        Err(Illegal::Fault { field, .. }) => field,
        other => panic!("no fault: {other:?}"),
    }
}

fn transition(scene: &Scene, command: CommandKind) -> Result<(), Illegal> {
    Err(Illegal::Transition {
        current: scene.state.status,
        command,
    })
}

fn try_it(scene: &Scene, build: impl FnOnce(&mut Scene) -> Command) -> Result<(), Illegal> {
    let mut scene = scene.clone();
    let command = build(&mut scene);
    scene.run(&command)
}

#[test]
fn a_capture_is_of_something_and_of_no_more_than_the_rest() {
    let mut scene = Scene::authorized();
    assert_eq!(
        try_it(&scene, |scene| scene.capture(1_000, Rest::Release)),
        Ok(())
    );
    for bad in [0, -1, 1_001] {
        assert_eq!(
            field(try_it(&scene, |scene| scene.capture(bad, Rest::Release))),
            "amount",
            "{bad}"
        );
    }
    scene.capture_as(400, Rest::Keep, captured());
    scene.capture_as(100, Rest::Keep, capture_pending());
    assert_eq!(
        (scene.state.totals.captured, scene.state.totals.capture_pending),
        (400, 100)
    );
    assert_eq!(try_it(&scene, |scene| scene.capture(500, Rest::Release)), Ok(()));
    assert_eq!(
        field(try_it(&scene, |scene| scene.capture(501, Rest::Release))),
        "amount"
    );
}

#[test]
fn only_what_grants_several_captures_keeps_the_rest() {
    let granted = Scene::authorized();
    assert_eq!(try_it(&granted, |scene| scene.capture(10, Rest::Keep)), Ok(()));
    let plain = Scene::manual().answered(AuthorizeReport::Authorized(approval()));
    assert_eq!(
        field(try_it(&plain, |scene| scene.capture(10, Rest::Keep))),
        "rest"
    );
    assert_eq!(try_it(&plain, |scene| scene.capture(10, Rest::Release)), Ok(()));
}

#[test]
fn a_final_capture_that_is_pending_refuses_more() {
    let mut scene = Scene::authorized();
    scene.capture_as(400, Rest::Release, capture_pending());
    assert_eq!(scene.state.status, IntentStatus::Authorized);
    assert_eq!(
        field(try_it(&scene, |scene| scene.capture(100, Rest::Keep))),
        "amount"
    );
    assert_eq!(
        field(try_it(&scene, |scene| scene.capture(100, Rest::Release))),
        "amount"
    );
}

#[test]
fn a_final_capture_that_is_done_ends_captures() {
    let mut scene = Scene::authorized();
    scene.capture_as(400, Rest::Release, captured());
    assert_eq!(scene.state.status, IntentStatus::Captured);
    assert_eq!(scene.state.totals.authorized, 400);
    let refused = transition(&scene, CommandKind::Capture);
    assert_eq!(try_it(&scene, |scene| scene.capture(100, Rest::Release)), refused);
}

#[test]
fn a_final_capture_that_was_declined_leaves_room_for_another() {
    let mut scene = Scene::authorized();
    let operation = scene.capture_as(400, Rest::Release, CaptureReport::Declined(hard()));
    assert_eq!(scene.capture_status(operation), CaptureStatus::Declined);
    assert_eq!(scene.state.totals.capture_pending, 0);
    assert_eq!(
        try_it(&scene, |scene| scene.capture(1_000, Rest::Release)),
        Ok(())
    );
}

#[test]
fn a_part_that_is_captured_leaves_the_intent_authorized() {
    let mut scene = Scene::partly_captured();
    assert_eq!(scene.state.status, IntentStatus::Authorized);
    scene.capture_as(600, Rest::Keep, captured());
    assert_eq!(
        scene.state.status,
        IntentStatus::Captured,
        "all of it is captured"
    );
}

#[test]
fn an_increment_has_to_be_granted() {
    assert_eq!(try_it(&Scene::authorized(), |scene| scene.raise(1_500)), Ok(()));
    let plain = Scene::manual().answered(AuthorizeReport::Authorized(approval()));
    assert_eq!(field(try_it(&plain, |scene| scene.raise(1_500))), "increment");
}

#[test]
fn what_is_pending_refuses_what_would_change_what_is_held() {
    let changes = [
        CommandKind::Capture,
        CommandKind::Increment,
        CommandKind::Void,
        CommandKind::Release,
    ];
    let void = |scene: &mut Scene| scene.close_as(OperationKind::Void, close_pending());
    let release = |scene: &mut Scene| scene.close_as(OperationKind::Release, close_pending());
    let raise = |scene: &mut Scene| {
        let command = scene.raise(1_500);
        scene.run(&command).unwrap();
        let operation = scene.state.open_op.as_ref().unwrap().id;
        scene.hear(
            Source::Driver(operation),
            News::Increment {
                operation,
                report: pending(),
            },
        );
        operation
    };
    type Opening<'a> = &'a dyn Fn(&mut Scene) -> crate::OperationId;
    let pendings: [(Scene, Opening); 3] = [
        (Scene::authorized(), &void),
        (Scene::partly_captured(), &release),
        (Scene::authorized(), &raise),
    ];
    for (mut scene, open) in pendings {
        let operation = open(&mut scene);
        assert_eq!(
            scene.state.operation(operation).unwrap().status,
            OperationStatus::Pending
        );
        assert_eq!(scene.state.open_op, None);
        for change in changes {
            let outcome = try_it(&scene, |scene| scene.command(change));
            assert_eq!(outcome, Err(Illegal::InProgress(operation)), "{change:?}");
        }
    }
}

#[test]
fn a_pending_cancel_refuses_another() {
    let mut scene = Scene::processing();
    let operation = scene.close_as(OperationKind::Cancel, close_pending());
    let outcome = try_it(&scene, |scene| scene.closing(OperationKind::Cancel));
    assert_eq!(outcome, Err(Illegal::InProgress(operation)));
}

fn void(scene: &mut Scene, after_capture: VoidAfterCapture) -> Command {
    Command::Void {
        operation: Box::new(scene.operation(OperationKind::Void, AMOUNT, Rest::Release)),
        after_capture,
    }
}

#[test]
fn a_void_needs_that_nothing_is_captured_or_an_account_that_voids_after_capture() {
    use VoidAfterCapture::{No, Yes};
    let refused = |scene: &Scene| transition(scene, CommandKind::Void);
    let authorized = Scene::authorized();
    assert_eq!(try_it(&authorized, |scene| void(scene, No)), Ok(()));
    let captured = Scene::captured();
    assert_eq!(try_it(&captured, |scene| void(scene, Yes)), Ok(()));
    assert_eq!(try_it(&captured, |scene| void(scene, No)), refused(&captured));
    // A part is captured: the rest is released, and what is taken refunded.
    let partly = Scene::partly_captured();
    assert_eq!(try_it(&partly, |scene| void(scene, Yes)), refused(&partly));
    assert_eq!(try_it(&partly, |scene| void(scene, No)), refused(&partly));
    let mut pending = Scene::authorized();
    pending.capture_as(400, Rest::Keep, capture_pending());
    assert_eq!(try_it(&pending, |scene| void(scene, Yes)), refused(&pending));
    // A refund is under way.
    let mut refunding = Scene::captured();
    let command = refunding.reserve(100);
    refunding.run(&command).unwrap();
    assert_eq!(try_it(&refunding, |scene| void(scene, Yes)), refused(&refunding));
}

#[test]
fn a_release_needs_that_something_is_captured() {
    let nothing = Scene::authorized();
    let refused = transition(&nothing, CommandKind::Release);
    assert_eq!(
        try_it(&nothing, |scene| scene.closing(OperationKind::Release)),
        refused
    );
    let mut scene = Scene::partly_captured();
    scene.close_as(OperationKind::Release, closed());
    assert_eq!(scene.state.status, IntentStatus::Captured);
    assert_eq!(
        (scene.state.totals.authorized, scene.state.totals.capturable()),
        (400, 0)
    );
}

#[test]
fn a_refund_takes_at_most_what_is_available() {
    let mut scene = Scene::captured();
    for bad in [0, -1, 1_001] {
        assert_eq!(
            field(try_it(&scene, |scene| scene.reserve(bad))),
            "amount",
            "{bad}"
        );
    }
    let reserve = scene.reserve(600);
    scene.run(&reserve).unwrap();
    assert_eq!(scene.state.totals.refund_pending, 600);
    assert_eq!(scene.state.status, IntentStatus::Captured);
    assert_eq!(try_it(&scene, |scene| scene.reserve(400)), Ok(()));
    assert_eq!(field(try_it(&scene, |scene| scene.reserve(401))), "amount");
    let Command::ReserveRefund { refund, .. } = reserve else {
        unreachable!()
    };
    let share = RefundShare {
        pending: 0,
        refunded: 600,
        ..RefundShare::default()
    };
    scene.happen(Happened::RefundLearnt {
        refund,
        share,
        given_back: Vec::new(),
    });
    assert_eq!(
        (scene.state.totals.refunded, scene.state.totals.refundable()),
        (600, 400)
    );
    let none = Scene::authorized();
    let refused = transition(&none, CommandKind::ReserveRefund);
    assert_eq!(try_it(&none, |scene| scene.reserve(1)), refused);
}

#[test]
fn what_was_seen_given_back_counts_until_a_read_says_less() {
    let mut scene = Scene::captured();
    let reserve = scene.reserve(600);
    scene.run(&reserve).unwrap();
    let Command::ReserveRefund { refund, .. } = reserve else {
        unreachable!()
    };
    let seen = |scene: &Scene, reading, minor| News::Payment {
        attempt: scene.state.winner.unwrap(),
        standing: Box::new(
            Standing::from(AuthorizeReport::Captured(approval()))
                .captured(eur(1_000))
                .refunded(eur(minor)),
        ),
        reading,
    };
    let told = |scene: &mut Scene, minor| {
        let news = seen(scene, Reading::Told, minor);
        scene.hear(Source::Outside, news);
    };
    let learnt = |refunded, failures| Happened::RefundLearnt {
        refund,
        share: RefundShare {
            refunded,
            failures,
            ..RefundShare::default()
        },
        given_back: Vec::new(),
    };
    scene.happen(learnt(600, 0));
    // Another hundred were given back in the processor's dashboard.
    told(&mut scene, 700);
    assert_eq!(scene.state.totals.refunded, 700);
    scene.happen(learnt(0, 1));
    // A notice may be older than the failure, and may speak of the hundred or not: nothing is guessed.
    told(&mut scene, 100);
    assert_eq!(scene.state.totals.refunded, 700);
    let read = seen(&scene, Reading::Read { refund_epoch: 2 }, 100);
    scene.hear(Source::Outside, read);
    assert_eq!(scene.state.totals.refunded, 100);
    assert_eq!(scene.state.totals.refundable(), 900);
}

#[test]
fn a_refund_minds_no_open_operation_but_a_void_after_capture() {
    let mut capturing = Scene::partly_captured();
    let command = capturing.capture(100, Rest::Keep);
    capturing.run(&command).unwrap();
    assert_eq!(try_it(&capturing, |scene| scene.reserve(400)), Ok(()));
    let mut voiding = Scene::captured();
    let command = voiding.closing(OperationKind::Void);
    voiding.run(&command).unwrap();
    let open = voiding.state.open_op.as_ref().unwrap().id;
    assert_eq!(
        try_it(&voiding, |scene| scene.reserve(1)),
        Err(Illegal::InProgress(open))
    );
    // Accepted, and its answer comes later: the money may be on its way back.
    voiding.hear(
        Source::Driver(open),
        News::Close {
            operation: open,
            report: close_pending(),
        },
    );
    assert_eq!(voiding.state.open_op, None);
    assert_eq!(
        try_it(&voiding, |scene| scene.reserve(1)),
        Err(Illegal::InProgress(open))
    );
}

#[test]
fn only_an_action_of_the_payers_is_superseded() {
    let supersede = |scene: &mut Scene| scene.command(CommandKind::Supersede);
    let refused = |scene: &Scene| transition(scene, CommandKind::Supersede);
    for mut scene in [Scene::requires_action(), Scene::acted()] {
        let command = supersede(&mut scene);
        scene.run(&command).unwrap();
        assert_eq!(scene.state.status, IntentStatus::Created);
        assert_eq!(scene.state.attempts[0].closure, Closure::Superseded);
        assert_eq!(scene.confirm(), Ok(()));
    }
    let never_acted = Scene::processing();
    assert_eq!(try_it(&never_acted, supersede), refused(&never_acted));
    let mut completing = Scene::requires_action();
    let command = completing.command(CommandKind::Complete);
    completing.run(&command).unwrap();
    let open = completing.state.open_op.as_ref().unwrap().id;
    assert_eq!(try_it(&completing, supersede), Err(Illegal::InProgress(open)));
    assert_eq!(
        try_it(&completing.doubted(), supersede),
        Err(Illegal::InProgress(open))
    );
    let mut other = Scene::requires_action();
    other.state.attempts[0].id = crate::AttemptId::from_uuid(crate::Mode::Test, uuid::Uuid::nil());
    let command = Command::Supersede {
        attempt: Scene::requires_action().state.attempts[0].id,
        by: String::new(),
    };
    assert_eq!(
        other.run(&command),
        refused(&other),
        "an attempt that isn't there"
    );
}

#[test]
fn a_decline_that_leaves_the_payer_s_page_open_ends_nothing_until_it_is_called_back() {
    let mut scene = Scene::manual().answered(open_action());
    let before = scene.state.clone();
    scene.read(AuthorizeReport::Declined(hard()).into());
    assert_eq!(scene.state.status, IntentStatus::RequiresAction);
    assert_eq!(scene.state.attempts[0].status, AttemptStatus::RequiresAction);
    assert_eq!(scene.state.last_decline, Some(hard()));
    assert_eq!(scene.state.live_attempt(), Some(&scene.state.attempts[0]));
    assert!(matches!(scene.confirm(), Err(Illegal::Outstanding { .. })));
    // What the payer paid meanwhile is the payment's.
    let mut paid = scene.clone();
    paid.read(AuthorizeReport::Authorized(approval()).into());
    assert_eq!(paid.state.status, IntentStatus::Authorized);
    // Closed, it is what it would have been without the page.
    scene.read(lapsed().into());
    assert_eq!(scene.state.attempts[0].status, AttemptStatus::Declined);
    assert_eq!(scene.state.status, IntentStatus::Created);
    assert_eq!(scene.confirm(), Ok(()));
    // Whichever came first.
    let mut other = scene.clone();
    other.state = before;
    other.read(lapsed().into());
    other.read(AuthorizeReport::Declined(hard()).into());
    assert_eq!(other.state.attempts[0].status, AttemptStatus::Declined);
}

#[test]
fn only_what_is_unknown_is_abandoned_and_not_too_early() {
    let mut prepared = Scene::manual();
    prepared.confirm().unwrap();
    let open = prepared.state.open_op.as_ref().unwrap().id;
    let at_once = Timestamp::from_millis(0);
    assert_eq!(
        try_it(&prepared, |scene| scene.abandon(at_once)),
        Err(Illegal::InProgress(open))
    );
    let mut unknown = prepared.doubted();
    let review_after = unknown.now.after(std::time::Duration::from_secs(86_400));
    assert_eq!(
        try_it(&unknown, |scene| scene.abandon(review_after)),
        Err(Illegal::TooEarly(review_after))
    );
    assert_eq!(unknown.state.status, IntentStatus::Processing);
    unknown.now = review_after;
    let command = unknown.abandon(review_after);
    unknown.run(&command).unwrap();
    assert_eq!(unknown.state.status, IntentStatus::Created);
    assert_eq!(unknown.state.attempts[0].closure, Closure::Abandoned);
    assert_eq!(
        unknown.state.operation(open).unwrap().status,
        OperationStatus::Abandoned
    );
    assert_eq!(unknown.confirm(), Ok(()), "nobody is blocked for ever");
    let nothing = Scene::authorized();
    let refused = transition(&nothing, CommandKind::Abandon);
    assert_eq!(try_it(&nothing, |scene| scene.abandon(at_once)), refused);
}

#[test]
fn an_abandoned_payment_that_is_over_fails() {
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let mut scene = scene.doubted();
    let operation = scene.state.open_op.as_ref().unwrap().id;
    let command = Command::Abandon {
        operation,
        by: "ops@shop".to_owned(),
        not_before: scene.now,
        expired: Some(Ended::Declined),
    };
    scene.run(&command).unwrap();
    assert_eq!(scene.state.status, IntentStatus::Failed);
}

#[test]
fn an_operation_that_was_given_up_or_declined_shows_what_the_processor_says_later() {
    let mut scene = Scene::authorized();
    let command = scene.capture(400, Rest::Keep);
    scene.run(&command).unwrap();
    let operation = scene.state.open_op.as_ref().unwrap().id;
    let mut scene = scene.doubted();
    let command = scene.abandon(scene.now);
    scene.run(&command).unwrap();
    for (report, word) in [
        (CaptureReport::Declined(hard()), OperationStatus::Declined),
        (captured(), OperationStatus::Done),
        (CaptureReport::Declined(hard()), OperationStatus::Done),
    ] {
        scene.hear(Source::Outside, News::Capture { operation, report });
        assert_eq!(scene.state.operation(operation).unwrap().status, word);
    }
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let operation = scene.state.open_op.as_ref().unwrap().id;
    scene.answer(declined());
    scene.read(AuthorizeReport::Authorized(approval()).into());
    assert_eq!(
        scene.state.operation(operation).unwrap().status,
        OperationStatus::Done
    );
}

#[test]
fn an_abandoned_capture_leaves_its_amount_reserved() {
    let mut scene = Scene::authorized();
    let command = scene.capture(400, Rest::Keep);
    scene.run(&command).unwrap();
    let mut scene = scene.doubted();
    let command = scene.abandon(scene.now);
    scene.run(&command).unwrap();
    assert_eq!(scene.state.status, IntentStatus::Authorized);
    assert_eq!(scene.state.totals.capture_pending, 400);
    assert_eq!(
        field(try_it(&scene, |scene| scene.capture(601, Rest::Release))),
        "amount"
    );
}

/// All commands that would open an operation, asked of an intent that has one open.
#[test]
fn there_is_one_open_operation() {
    let opening = [
        CommandKind::Confirm,
        CommandKind::Due,
        CommandKind::Cascade,
        CommandKind::Complete,
        CommandKind::Capture,
        CommandKind::Increment,
        CommandKind::Void,
        CommandKind::Release,
        CommandKind::Cancel,
        CommandKind::CloseLive,
        CommandKind::Supersede,
    ];
    let mut confirming = Scene::manual();
    confirming.confirm().unwrap();
    let mut capturing = Scene::authorized();
    let command = capturing.capture(400, Rest::Keep);
    capturing.run(&command).unwrap();
    for scene in [
        confirming.clone(),
        capturing.clone(),
        confirming.doubted(),
        capturing.doubted(),
    ] {
        let open = scene.state.open_op.as_ref().unwrap().id;
        for kind in opening {
            let outcome = try_it(&scene, |scene| scene.command(kind));
            assert_eq!(outcome, Err(Illegal::InProgress(open)), "{kind:?}");
        }
    }
}

#[test]
fn a_live_attempt_is_closed_before_the_next() {
    let scene = Scene::requires_action();
    let outcome = try_it(&scene, |scene| scene.opening(CommandKind::Confirm));
    let safe_after = Some(Timestamp::from_secs(90_000));
    assert_eq!(outcome, Err(Illegal::Outstanding { safe_after }));
    let mut closed_first = scene;
    closed_first.close_as(OperationKind::Cancel, closed());
    assert_eq!(closed_first.state.status, IntentStatus::Created);
    assert_eq!(closed_first.state.attempts[0].status, AttemptStatus::Cancelled);
    assert_eq!(closed_first.confirm(), Ok(()));
}

#[test]
fn a_risk_check_that_holds_leaves_the_intent_as_it_is() {
    let mut scene = Scene::manual();
    scene.run(&Command::Hold).unwrap();
    assert_eq!(scene.state.status, IntentStatus::Created);
    assert_eq!(
        scene.state.review.as_ref().unwrap().reason,
        crate::ReviewReason::RiskHold
    );
}

#[test]
fn a_compensation_is_opened_once() {
    let mut scene = Scene::cancelled();
    scene = {
        let mut late = Scene::processing();
        late.close_as(OperationKind::Cancel, closed());
        late.run(&Command::Cancel(Ended::Cancelled)).unwrap();
        late.read(AuthorizeReport::Captured(approval()).into());
        assert_eq!(scene.state.status, late.state.status);
        late
    };
    let command = scene.command(CommandKind::Compensate);
    scene.run(&command).unwrap();
    let lock = scene.state.attempts[0]
        .compensation
        .as_ref()
        .unwrap()
        .open_op
        .as_ref()
        .unwrap()
        .id;
    assert_eq!(scene.state.open_op, None, "it has a lock of its own");
    let again = try_it(&scene, |scene| scene.command(CommandKind::Compensate));
    assert_eq!(again, Err(Illegal::InProgress(lock)));
    scene.hear(
        Source::Driver(lock),
        News::CompensationRefund {
            operation: lock,
            report: refunded(),
        },
    );
    let refused = transition(&scene, CommandKind::Compensate);
    assert_eq!(
        try_it(&scene, |scene| scene.command(CommandKind::Compensate)),
        refused
    );
}

#[test]
fn what_another_attempt_took_doesn_t_stop_a_capture_of_the_winner() {
    let mut scene = Scene::requires_action();
    let command = scene.command(CommandKind::Supersede);
    scene.run(&command).unwrap();
    scene.confirm().unwrap();
    scene.answer(AuthorizeReport::Authorized(approval()));
    let first = scene.state.attempts[0].id;
    scene.read_of(first, AuthorizeReport::Captured(approval()).into());
    assert_eq!(scene.state.captures[0].attempt, first);
    let command = scene.capture(1_000, Rest::Release);
    assert_eq!(scene.run(&command), Ok(()));
}

#[test]
fn what_another_attempt_took_doesn_t_count_as_taken_of_the_winner() {
    let mut scene = Scene::requires_action();
    let command = scene.command(CommandKind::Supersede);
    scene.run(&command).unwrap();
    scene.confirm().unwrap();
    scene.answer(AuthorizeReport::Authorized(approval()));
    let operation = scene.capture_as(400, Rest::Release, capture_pending());
    let first = scene.state.attempts[0].id;
    scene.read_of(first, AuthorizeReport::Captured(approval()).into());
    let report = captured();
    scene.hear(Source::Outside, News::Capture { operation, report });
    let winner = scene.state.current().unwrap();
    assert_eq!(
        (winner.known.captured_minor, scene.state.totals.captured),
        (400, 400)
    );
}

#[test]
fn no_amount_that_a_processor_may_name_overflows() {
    let mut scene = Scene::captured();
    let attempt = scene.state.attempts[0].id;
    let totals = scene.state.totals;
    for (taken, failed) in [
        (i64::MIN, 1),
        (i64::MIN, i64::MAX),
        (-1, i64::MAX),
        (i64::MAX, i64::MIN),
    ] {
        let standing = Standing::from(AuthorizeReport::Captured(approval()));
        scene.read_of(
            attempt,
            standing
                .captured(eur(taken))
                .refunded(eur(i64::MAX))
                .failed(eur(failed)),
        );
        assert_eq!(scene.state.totals, totals);
    }
}

#[test]
fn a_doubt_of_an_overtaken_worker_changes_nothing_where_the_answer_is_known() {
    for news in [declined(), AuthorizeReport::Authorized(approval()), pending()] {
        let mut scene = Scene::manual();
        scene.confirm().unwrap();
        let attempt = scene.state.attempts[0].id;
        let operation = scene.state.open_op.as_ref().unwrap().id;
        scene.read_of(attempt, news.into());
        let said = News::Doubt {
            operation,
            doubt: doubt(),
        };
        let before = scene.state.clone();
        assert_eq!(scene.hear(Source::Outside, said.clone()), Merged::Ignored);
        assert_eq!(scene.state, before, "whoever drives it closes it");
        scene.hear(Source::Driver(operation), said);
        assert!(scene.state.open_op.is_none(), "with what is known");
    }
}

#[test]
fn a_decline_that_comes_after_its_attempt_was_read_closes_the_call_by_where_that_stands() {
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let attempt = scene.state.attempts[0].id;
    let operation = scene.state.open_op.as_ref().unwrap().id;
    scene.read_of(attempt, AuthorizeReport::Authorized(approval()).into());
    let answer = || News::Payment {
        attempt,
        standing: Box::new(declined().into()),
        reading: Reading::Answer,
    };
    scene.hear(Source::Driver(operation), answer());
    let status = scene.state.operation(operation).unwrap().status;
    assert_eq!(status, OperationStatus::Done);
    assert_eq!(scene.hear(Source::Driver(operation), answer()), Merged::Ignored);
}

#[test]
fn a_void_of_what_nothing_is_captured_of_isn_t_what_refuses_a_refund() {
    let mut scene = Scene::authorized();
    let command = void(&mut scene, VoidAfterCapture::No);
    scene.run(&command).unwrap();
    let refused = transition(&scene, CommandKind::ReserveRefund);
    assert_eq!(try_it(&scene, |scene| scene.reserve(100)), refused);
}

#[test]
fn an_outcome_is_abandoned_from_its_time_on() {
    let mut scene = Scene::manual();
    scene.confirm().unwrap();
    let scene = scene.doubted();
    let asked_at = scene.now.after(std::time::Duration::from_secs(1));
    assert_eq!(try_it(&scene, |scene| scene.abandon(asked_at)), Ok(()));
    let later = asked_at.after(std::time::Duration::from_millis(1));
    assert_eq!(
        try_it(&scene, |scene| scene.abandon(later)),
        Err(Illegal::TooEarly(later))
    );
}
