//! Every state and every command of a session, and what its payment's news makes of it.

use std::sync::Arc;

use uuid::Uuid;

use super::machine::{Command, apply, decide, observe};
use super::{ExpiryReason, Integration, Session, SessionStatus};
use crate::error::ErrorKind;
use crate::id::SessionId;
use crate::intent::tests::scene::{Scene, eur};
use crate::intent::{CaptureMethod, IntentMode, IntentStatus};
use crate::tenant::Mode;
use crate::time::Timestamp;

fn session(status: SessionStatus) -> Session {
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
        assert_eq!(after(&state, &Command::StepBack), Ok(Pending));
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

/// What each state of its payment makes of each state of a session; `-`: nothing, `L`: a late payment is noted.
#[test]
fn every_state_of_a_session_and_of_its_payment() {
    // pending, processing, succeeded, failed, expired, cancelled
    let table = [
        (IntentStatus::Created, "-P-P--"),
        (IntentStatus::Scheduled, "-P-P--"),
        (IntentStatus::RequiresAction, "R--R--"),
        (IntentStatus::Processing, "R--R--"),
        // Held is paid where the host captures later; see below for the other case.
        (IntentStatus::Authorized, "SS-SLL"),
        (IntentStatus::Captured, "R--R--"),
        (IntentStatus::Succeeded, "SS-SLL"),
        (IntentStatus::Voided, "-P-P--"),
        (IntentStatus::Cancelled, "-P-P--"),
        (IntentStatus::Failed, "FF----"),
    ];
    assert_eq!(table.map(|(status, _)| status), IntentStatus::ALL);
    for (of_intent, row) in table {
        for scene in Scene::all_of(of_intent) {
            let to_be_captured = of_intent == IntentStatus::Authorized
                && scene.state.capture_method == CaptureMethod::Automatic;
            let row = if to_be_captured { "R--R--" } else { row };
            for (status, expected) in SessionStatus::ALL.into_iter().zip(row.chars()) {
                let state = session(status);
                let event = observe(&state, &scene.state, scene.now);
                let now = event
                    .as_ref()
                    .map(|event| apply(Some(state.clone()), event).unwrap());
                let seen = match &now {
                    None => '-',
                    Some(now) if now.late_payment.is_some() && now.status == status => 'L',
                    Some(now) => match now.status {
                        SessionStatus::Pending => 'P',
                        SessionStatus::Processing => 'R',
                        SessionStatus::Succeeded => 'S',
                        SessionStatus::Failed => 'F',
                        SessionStatus::Expired | SessionStatus::Cancelled => '?',
                    },
                };
                assert_eq!(seen, expected, "{status:?} and a payment that is {of_intent:?}");
                if let Some(now) = now {
                    assert_eq!(observe(&now, &scene.state, scene.now), None, "it is noted once");
                }
            }
        }
    }
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
