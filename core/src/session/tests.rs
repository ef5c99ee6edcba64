//! Every state and every command of a session, and what its payment's news makes of it.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::machine::{Command, apply, decide, observe};
use super::{CheckoutSession, ExpiryReason, Integration, NewSession, Session, SessionStatus};
use crate::connector::AuthorizeReport;
use crate::error::ErrorKind;
use crate::id::SessionId;
use crate::intent::Limits;
use crate::intent::tests::page::Page;
use crate::intent::tests::scene::{Scene, approval, close_pending, eur, faulty_fields};
use crate::intent::{
    CaptureMethod, Happened, IntentMode, IntentStatus, OperationKind, ReviewReason, RiskAfter,
};
use crate::tenant::Mode;
use crate::time::Timestamp;

pub(crate) fn session(status: SessionStatus) -> Session {
    let at = Timestamp::from_secs(1_000);
    Session {
        id: SessionId::from_uuid(Mode::Test, Uuid::from_u128(7)),
        mode: IntentMode::Payment,
        amount: eur(1_000),
        capture_method: CaptureMethod::Manual,
        details: Arc::default(),
        success_url: None,
        cancel_url: None,
        integration: Integration::Hosted,
        status,
        intent: Some(Scene::manual().state.id),
        expired: (status == SessionStatus::Expired).then_some(ExpiryReason::TimeIsUp),
        late_payment: None,
        expires_at: Timestamp::from_secs(2_800),
        created_at: at,
        updated_at: at,
    }
}

fn after(state: &Session, command: &Command) -> Result<SessionStatus, ErrorKind> {
    let at = Timestamp::from_secs(1_100);
    let events = decide(Some(state), command, at).map_err(|error| error.kind().clone())?;
    let state = events.iter().fold(Some(state.clone()), apply).unwrap();
    Ok(state.status)
}

#[test]
fn what_is_over_takes_no_command() {
    let intent = Scene::manual().state.id;
    let commands = [
        Command::Submit { intent },
        Command::StepBack,
        Command::Cancel,
        Command::Expire(ExpiryReason::TimeIsUp),
    ];
    for command in &commands {
        let paid = after(&session(SessionStatus::Succeeded), command);
        assert_eq!(paid, Err(ErrorKind::SessionAlreadyCompleted), "{command:?}");
        let expired = after(&session(SessionStatus::Expired), command);
        assert_eq!(expired, Err(ErrorKind::SessionExpired), "{command:?}");
        let mut unknown = session(SessionStatus::Expired);
        unknown.expired = Some(ExpiryReason::OutcomeUnknown);
        let error = decide(Some(&unknown), command, unknown.updated_at).unwrap_err();
        assert_ne!(
            error.http_status().as_u16(),
            410,
            "the money may have moved: {command:?}"
        );
        assert_eq!(error.http_status().as_u16(), 409);
        let cancelled = after(&session(SessionStatus::Cancelled), command);
        let refused = ErrorKind::InvalidTransition {
            current: "cancelled",
            command: command.name(),
        };
        assert_eq!(cancelled, Err(refused));
        assert_eq!(
            decide(None, command, unknown.updated_at).unwrap_err().code(),
            "not_found"
        );
    }
}

#[test]
fn what_is_open_takes_these() {
    use SessionStatus::{Cancelled, Expired, Failed, Pending, Processing};
    let intent = Scene::manual().state.id;
    for status in [Pending, Processing, Failed] {
        let state = session(status);
        assert_eq!(after(&state, &Command::Submit { intent }), Ok(Processing));
        let back = ErrorKind::InvalidTransition {
            current: "failed",
            command: "step_back",
        };
        let stepped = if status == Failed { Err(back) } else { Ok(Pending) };
        assert_eq!(after(&state, &Command::StepBack), stepped);
        assert_eq!(
            after(&state, &Command::Expire(ExpiryReason::TimeIsUp)),
            Ok(Expired)
        );
        let cancel = after(&state, &Command::Cancel);
        let refused = ErrorKind::InvalidTransition {
            current: "processing",
            command: "cancel_session",
        };
        assert_eq!(
            cancel,
            if status == Processing {
                Err(refused)
            } else {
                Ok(Cancelled)
            }
        );
        let late = decide(Some(&state), &Command::Submit { intent }, state.expires_at).unwrap_err();
        assert_eq!(
            (late.code(), late.http_status().as_u16()),
            ("session_expired", 410)
        );
    }
}

#[test]
fn stepping_back_is_an_event_of_a_payment_under_way_alone() {
    let at = Timestamp::from_secs(1_100);
    let events = |status| decide(Some(&session(status)), &Command::StepBack, at).unwrap();
    assert_eq!(events(SessionStatus::Pending), []);
    assert_eq!(events(SessionStatus::Processing).len(), 1);
}

const PAGE: &str = include_str!("table.md");

/// A session as far as it is visible.
fn visible(state: &Session) -> String {
    match (state.status, state.expired, state.late_payment) {
        (SessionStatus::Expired, Some(ExpiryReason::OutcomeUnknown), None) => "outcome_unknown".to_owned(),
        (_, _, Some(_)) => "late_payment".to_owned(),
        (status, _, None) => status.as_str().to_owned(),
    }
}

/// Every state of a session that commands tell apart: the status, and why it expired.
fn sessions() -> Vec<(String, Session)> {
    let mut unknown = session(SessionStatus::Expired);
    unknown.expired = Some(ExpiryReason::OutcomeUnknown);
    let states = SessionStatus::ALL.into_iter().map(session).chain([unknown]);
    states.map(|state| (visible(&state), state)).collect()
}

#[test]
fn every_state_and_every_command() {
    let intent = Scene::manual().state.id;
    let new = Command::Create(Box::new(session(SessionStatus::Pending)));
    let (in_time, too_late) = (Timestamp::from_secs(1_100), Timestamp::from_secs(2_800));
    let commands = [
        ("create", new, in_time),
        ("submit", Command::Submit { intent }, in_time),
        ("submit too late", Command::Submit { intent }, too_late),
        ("step_back", Command::StepBack, in_time),
        ("cancel", Command::Cancel, in_time),
        ("expire", Command::Expire(ExpiryReason::TimeIsUp), in_time),
        (
            "expire in doubt",
            Command::Expire(ExpiryReason::OutcomeUnknown),
            in_time,
        ),
    ];
    let mut states: Vec<_> = sessions()
        .into_iter()
        .map(|(name, state)| (name, Some(state)))
        .collect();
    states.push(("none".to_owned(), None));
    let mut seen = Vec::new();
    for (name, state) in states {
        for (command, asked, at) in &commands {
            let decided = decide(state.as_ref(), asked, *at);
            let made = match decided {
                Ok(events) => visible(&events.iter().fold(state.clone(), apply).unwrap()),
                Err(error) => format!("refused: {}", error.code()),
            };
            seen.push((name.clone(), (*command).to_owned(), made));
        }
    }
    Page::read(PAGE, "Commands").hold(seen);
}

#[test]
fn every_state_of_a_session_and_of_its_payment() {
    let mut seen = Vec::new();
    for of_intent in IntentStatus::ALL {
        let mut scenes: Vec<_> = Scene::all_of(of_intent)
            .into_iter()
            .map(|scene| (of_intent.to_string(), scene))
            .collect();
        if of_intent == IntentStatus::Authorized {
            let automatic = Scene::automatic().answered(AuthorizeReport::Authorized(approval()));
            scenes.push(("authorized before its automatic capture".to_owned(), automatic));
            let may_go_back = may_go_back().into_iter();
            scenes.extend(may_go_back.map(|scene| ("authorized that may go back".to_owned(), scene)));
        }
        for (payment, scene) in scenes {
            assert_eq!(scene.state.status, of_intent);
            for (name, state) in sessions() {
                let event = observe(&state, &scene.state, scene.now);
                let now = event.map(|event| apply(Some(state.clone()), &event).unwrap());
                let made = now.as_ref().map_or("ignored".to_owned(), visible);
                // Every way in which a payment gets into a state makes the same of its session.
                let cell = (name, payment.clone(), made);
                if !seen.contains(&cell) {
                    seen.push(cell);
                }
                if let Some(now) = now {
                    assert_eq!(observe(&now, &scene.state, scene.now), None, "it is noted once");
                }
            }
        }
    }
    Page::read(PAGE, "News of its payment").hold(seen);
}

/// Each way in which what is held may go back yet.
fn may_go_back() -> Vec<Scene> {
    let with = |what| {
        let mut scene = Scene::authorized();
        scene.happen(what);
        scene
    };
    let mut voiding = Scene::authorized();
    let void = voiding.closing(OperationKind::Void);
    voiding.run(&void).unwrap();
    let mut accepted = Scene::authorized();
    accepted.close_as(OperationKind::Void, close_pending());
    vec![
        with(Happened::RiskAfter(RiskAfter::Wanted)),
        with(Happened::ReviewRaised(ReviewReason::RiskHold)),
        with(Happened::ReviewRaised(ReviewReason::PartialAuthorization)),
        voiding,
        accepted,
    ]
}

#[test]
fn another_payment_says_nothing_of_an_open_session() {
    let mut state = session(SessionStatus::Processing);
    state.intent = None;
    let scene = Scene::succeeded();
    assert_eq!(observe(&state, &scene.state, scene.now), None);
}

#[test]
fn sessions_and_their_events_read_back() {
    for status in SessionStatus::ALL {
        let state = session(status);
        let row = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&row).unwrap(), state);
    }
}

/// The fields that are at fault.
fn faults(new: &NewSession) -> Vec<String> {
    let limits = Limits {
        mode: Mode::Live,
        cap_minor: 5_000,
        now: Timestamp::from_secs(1_000),
    };
    faulty_fields(new.check(limits))
}

#[test]
fn a_session_is_refused_for_each_bad_field() {
    let good = || NewSession::payment(eur(1_000));
    let life = |secs| good().expires_in(Duration::from_secs(secs));
    let (page, day) = ("https://shop.example/done", Timestamp::from_secs(2_000));
    let table = [
        (good(), ""),
        (NewSession::payment(eur(0)), "amount"),
        (good().success_url(page).cancel_url(page), ""),
        (good().success_url("http://shop.example"), "success_url"),
        (good().cancel_url("no page"), "cancel_url"),
        (life(299), "expires_in"),
        (life(300), ""),
        (life(3_600), ""),
        (life(3_601), "expires_in"),
        (good().with(|intent| intent.scheduled_for(day)), "expires_at"),
        (good().with(|intent| intent.expires_at(day)), "expires_at"),
    ];
    for (new, field) in table {
        let expected: Vec<_> = (!field.is_empty())
            .then(|| field.to_owned())
            .into_iter()
            .collect();
        assert_eq!(faults(&new), expected, "{new:?}");
    }
    let all = NewSession::payment(eur(0))
        .success_url("")
        .expires_in(Duration::ZERO);
    assert_eq!(faults(&all), ["amount", "success_url", "expires_in"]);
}

#[test]
fn a_session_shows_what_its_state_says() {
    let id = SessionId::from_uuid(Mode::Test, Uuid::from_u128(7));
    let new = NewSession::payment(eur(1_000))
        .metadata([("a", "b")])
        .success_url("https://shop.example/done");
    let mut state = new
        .cancel_url("https://shop.example/cart")
        .into_state(id, Timestamp::from_secs(1_000));
    let seen = |state: &Session| CheckoutSession {
        state: Arc::new(state.clone()),
        version: 3,
    };
    let session = seen(&state);
    assert_eq!(
        (session.id(), session.status(), session.version()),
        (&id, SessionStatus::Pending, 3)
    );
    assert_eq!(
        (session.intent(), session.expired(), session.late_payment()),
        (None, None, None)
    );
    assert_eq!(
        (session.amount(), session.expires_at()),
        (eur(1_000), Timestamp::from_secs(2_800))
    );
    assert_eq!(session.metadata()["a"], "b");
    let intent = Scene::manual().state.id;
    let late = Timestamp::from_secs(3_000);
    (state.intent, state.late_payment) = (Some(intent), Some(late));
    state.status = SessionStatus::Expired;
    for (reason, error) in [
        (ExpiryReason::TimeIsUp, None),
        (ExpiryReason::OutcomeUnknown, Some("payment_outcome_unknown")),
    ] {
        state.expired = Some(reason);
        let session = seen(&state);
        assert_eq!(
            (session.intent(), session.expired()),
            (Some(&intent), Some(reason))
        );
        assert_eq!(session.late_payment(), Some(late));
        let public = serde_json::to_value(&session).unwrap();
        assert_eq!(public.get("error").and_then(|word| word.as_str()), error);
        assert_eq!(public["success_url"], "https://shop.example/done");
        assert_eq!(public["cancel_url"], "https://shop.example/cart");
        assert_eq!(
            (&public["status"], &public["integration"]),
            (&"expired".into(), &"hosted".into())
        );
    }
}
