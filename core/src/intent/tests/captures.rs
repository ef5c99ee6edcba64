//! What was taken and what failed of it, to the minor unit: by our captures, and beside them.

use super::learnt::{known, opened, review, second_attempt, status, taken};
use super::scene::*;
use crate::connector::{AuthorizeReport, CaptureReport, Standing};
use crate::intent::command::Command;
use crate::intent::merge::Merged;
use crate::intent::news::{News, Source};
use crate::intent::{AttemptStatus, CaptureStatus, IntentStatus, OperationStatus, Rest, ReviewReason};

#[test]
fn a_capture_adds_to_what_was_taken_before_it() {
    let mut scene = Scene::authorized();
    scene.capture_as(300, Rest::Keep, captured());
    scene.capture_as(200, Rest::Keep, captured());
    assert_eq!(known(&scene).captured_minor, 500);
    // Before it is what it was opened with, even what no capture is known to be.
    let mut scene = Scene::authorized();
    scene.capture_as(300, Rest::Keep, capture_pending());
    scene.read(Standing::from(AuthorizeReport::Authorized(multicapture())).captured(eur(100)));
    scene.capture_as(200, Rest::Keep, captured());
    assert_eq!(known(&scene).captured_minor, 300);
    // Another operation that is open has a baseline of another kind.
    let mut scene = Scene::authorized();
    let operation = scene.capture_as(300, Rest::Keep, capture_pending());
    let raise = scene.raise(1_500);
    opened(&mut scene, &raise);
    let report = captured();
    scene.hear(Source::Outside, News::Capture { operation, report });
    assert_eq!(known(&scene).captured_minor, 300);
}

#[test]
fn what_a_total_that_isn_t_named_comes_to_depends_on_the_attempt_s_own_captures() {
    let mut scene = Scene::authorized();
    scene.capture_as(300, Rest::Keep, capture_pending());
    scene.read(AuthorizeReport::Captured(approval()).into());
    assert_eq!(
        known(&scene).captured_minor,
        0,
        "which part was taken isn't guessed"
    );
    let mut scene = second_attempt();
    scene.answer(AuthorizeReport::Authorized(multicapture()));
    scene.capture_as(300, Rest::Keep, capture_pending());
    let first = scene.state.attempts[0].id;
    scene.read_of(first, AuthorizeReport::Captured(approval()).into());
    assert_eq!(known(&scene).captured_minor, AMOUNT, "none was asked of this one");
}

#[test]
fn what_was_taken_beside_our_captures_is_a_capture_once_none_is_open() {
    let held = |minor| Standing::from(AuthorizeReport::Authorized(multicapture())).captured(eur(minor));
    let mut scene = Scene::authorized();
    scene.capture_as(300, Rest::Keep, captured());
    scene.read(held(500));
    let amounts: Vec<_> = scene
        .state
        .captures
        .iter()
        .map(|capture| capture.amount)
        .collect();
    assert_eq!(amounts, [eur(300), eur(200)]);
    let mut scene = Scene::authorized();
    scene.capture_as(300, Rest::Keep, capture_pending());
    scene.read(held(200));
    assert_eq!(
        scene.state.captures.len(),
        1,
        "it may be a part of what was asked"
    );
}

#[test]
fn what_was_taken_beside_our_captures_ends_the_hold_where_it_is_all_or_was_taken_by_itself() {
    for (mut scene, minor, rest) in [
        (Scene::manual(), 300, Rest::Keep),
        (Scene::manual(), AMOUNT, Rest::Release),
        (Scene::automatic(), 300, Rest::Release),
    ] {
        scene.confirm().unwrap();
        scene.answer(AuthorizeReport::Authorized(multicapture()));
        scene.read(Standing::from(AuthorizeReport::Authorized(multicapture())).captured(eur(minor)));
        let rests: Vec<_> = scene.state.captures.iter().map(|capture| capture.rest).collect();
        assert_eq!(rests, [rest], "{minor} by {:?}", scene.state.capture_method);
    }
}

#[test]
fn the_last_capture_ends_the_hold() {
    let mut scene = Scene::authorized();
    scene.capture_as(400, Rest::Release, captured());
    assert_eq!(scene.state.attempts[0].status, AttemptStatus::Captured);
    let mut scene = Scene::authorized();
    scene.capture_as(400, Rest::Keep, captured());
    assert_eq!(scene.state.attempts[0].status, AttemptStatus::Authorized);
    scene.capture_as(600, Rest::Keep, captured());
    assert_eq!(scene.state.attempts[0].status, AttemptStatus::Captured);
}

#[test]
fn of_twelve_captures_the_one_that_failed_is_told_apart_and_of_more_none_is() {
    for (ones, told_apart) in [(2, true), (11, true), (12, false)] {
        let mut scene = Scene::authorized();
        for amount in std::iter::repeat_n(1, ones).chain([50]) {
            scene.capture_as(amount, Rest::Keep, captured());
        }
        let held = Standing::from(AuthorizeReport::Authorized(multicapture()));
        let total = 50 + i64::try_from(ones).unwrap();
        let merged = scene.read(held.captured(eur(total)).failed(eur(50)));
        assert_eq!(matches!(merged, Merged::Applied(_)), told_apart, "{ones}");
        let failed = scene
            .state
            .captures
            .iter()
            .filter(|capture| capture.status == CaptureStatus::Failed);
        let failed: Vec<_> = failed.map(|capture| capture.amount).collect();
        assert_eq!(failed, if told_apart { vec![eur(50)] } else { Vec::new() });
    }
}

#[test]
fn a_failure_that_is_no_capture_s_lowers_the_total_and_is_shown_once() {
    let mut scene = Scene::captured();
    let failed = taken(1_000).failed(eur(300));
    assert!(matches!(scene.read(failed.clone()), Merged::Contradiction(_)));
    assert_eq!(review(&scene), Some(ReviewReason::Contradiction));
    assert_eq!(scene.state.totals.captured, 700);
    let by = "ops@shop".to_owned();
    scene.run(&Command::ClearReview { by }).unwrap();
    assert_eq!(scene.read(failed), Merged::Ignored);
    assert_eq!(review(&scene), None);
}

#[test]
fn a_failure_of_one_whole_capture_is_nobody_s_question() {
    let mut scene = Scene::authorized();
    let first = scene.capture_as(300, Rest::Keep, captured());
    scene.capture_as(700, Rest::Keep, captured());
    assert!(matches!(
        scene.read(taken(1_000).failed(eur(300))),
        Merged::Applied(_)
    ));
    assert_eq!((review(&scene), scene.state.totals.captured), (None, 700));
    assert_eq!(status(&scene, first), OperationStatus::Done);
}

#[test]
fn of_equal_captures_one_failed_and_what_is_held_again_may_be_taken() {
    let mut scene = Scene::authorized();
    scene.capture_as(500, Rest::Keep, captured());
    scene.capture_as(500, Rest::Release, capture_pending());
    let held = Standing::from(AuthorizeReport::Authorized(multicapture()));
    scene.read(held.captured(eur(1_000)).failed(eur(500)));
    assert_eq!(
        review(&scene),
        Some(ReviewReason::Contradiction),
        "which one failed?"
    );
    let totals = scene.state.totals;
    assert_eq!(
        (totals.captured, totals.authorized, totals.capturable()),
        (500, 1_000, 500)
    );
    assert_eq!(scene.state.status, IntentStatus::Authorized);
    scene.capture_as(500, Rest::Release, captured());
    let totals = scene.state.totals;
    assert_eq!((totals.captured, totals.capturable()), (1_000, 0));
}

#[test]
fn what_failed_may_be_taken_again_but_no_total_is_absurd() {
    let mut scene = Scene::captured();
    let again = taken(3_000).failed(eur(2_000));
    scene.read(again);
    assert_eq!(
        (known(&scene).captured_minor, known(&scene).failed_minor),
        (3_000, 2_000)
    );
    for failed in [-1, i64::MAX / 64 + 1, i64::MAX] {
        let mut scene = Scene::captured();
        scene.read(taken(1_000).failed(eur(failed)));
        assert_eq!(review(&scene), Some(ReviewReason::AmountMismatch), "{failed}");
        assert_eq!(known(&scene).failed_minor, 0);
    }
}

#[test]
fn a_capture_that_was_declined_is_no_part_of_what_was_taken() {
    let mut scene = Scene::authorized();
    scene.capture_as(300, Rest::Keep, CaptureReport::Declined(hard()));
    scene.capture_as(200, Rest::Keep, captured());
    assert_eq!(known(&scene).captured_minor, 200);
}
