//! What may be asked of a session, what its payment's news does to it, and how events change it.
//!
#![doc = include_str!("table.md")]

use serde::{Deserialize, Serialize};

use super::{ExpiryReason, Session, SessionStatus};
use crate::error::{Error, ErrorKind};
use crate::id::PaymentIntentId;
use crate::intent::{CaptureMethod, Intent, IntentStatus};
use crate::time::Timestamp;

/// An event of a session, and when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionEvent {
    pub(crate) at: Timestamp,
    pub(crate) what: SessionHappened,
}

/// What may happen to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionHappened {
    Created(Box<Session>),
    Submitted { intent: PaymentIntentId },
    Moved { to: SessionStatus },
    Expired { reason: ExpiryReason },
    LatePayment,
}

impl SessionEvent {
    /// A stable word for what happened.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.what {
            SessionHappened::Created(_) => "session.created",
            SessionHappened::Submitted { .. } => "session.submitted",
            SessionHappened::Moved { to } => match to {
                SessionStatus::Pending => "session.pending",
                SessionStatus::Processing => "session.processing",
                SessionStatus::Succeeded => "session.succeeded",
                SessionStatus::Failed => "session.failed",
                SessionStatus::Expired => "session.expired",
                SessionStatus::Cancelled => "session.cancelled",
            },
            SessionHappened::Expired { .. } => "session.expired",
            SessionHappened::LatePayment => "session.late_payment",
        }
    }
}

/// Something that is asked of a session.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Create(Box<Session>),
    Submit { intent: PaymentIntentId },
    StepBack,
    Cancel,
    Expire(ExpiryReason),
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Submit { .. } => "submit",
            Self::StepBack => "step_back",
            Self::Cancel => "cancel_session",
            Self::Expire(_) => "expire",
        }
    }
}

/// Decides on a command. Whether anything is in flight is the caller's to know: it holds the payment.
pub(crate) fn decide(
    state: Option<&Session>,
    command: &Command,
    at: Timestamp,
) -> Result<Vec<SessionEvent>, Error> {
    let what = match (state, command) {
        (None, Command::Create(session)) => Some(SessionHappened::Created(session.clone())),
        (None, _) => return Err(Error::not_found("id", "session")),
        (Some(state), command) => match state.status {
            SessionStatus::Succeeded => {
                let message = "the session is paid: never make another one for the same order";
                return Err(Error::new(ErrorKind::SessionAlreadyCompleted, message));
            }
            SessionStatus::Expired => return Err(expired(state)),
            SessionStatus::Cancelled => return Err(Error::illegal(state.status.as_str(), command.name())),
            SessionStatus::Pending | SessionStatus::Failed | SessionStatus::Processing => {
                open(state, command, at)?
            }
        },
    };
    Ok(what.into_iter().map(|what| SessionEvent { at, what }).collect())
}

fn open(state: &Session, command: &Command, at: Timestamp) -> Result<Option<SessionHappened>, Error> {
    let processing = state.status == SessionStatus::Processing;
    let what = match command {
        Command::Create(_) => return Err(Error::illegal(state.status.as_str(), command.name())),
        Command::Submit { .. } if at >= state.expires_at => return Err(expired(state)),
        Command::Submit { intent } => SessionHappened::Submitted { intent: *intent },
        // It is where stepping back leads to.
        Command::StepBack if state.status == SessionStatus::Pending => return Ok(None),
        Command::StepBack if state.status == SessionStatus::Failed => {
            return Err(Error::illegal(state.status.as_str(), command.name()));
        }
        Command::StepBack => SessionHappened::Moved {
            to: SessionStatus::Pending,
        },
        Command::Cancel if processing => return Err(Error::illegal(state.status.as_str(), command.name())),
        Command::Cancel => SessionHappened::Moved {
            to: SessionStatus::Cancelled,
        },
        Command::Expire(reason) => SessionHappened::Expired { reason: *reason },
    };
    Ok(Some(what))
}

fn expired(state: &Session) -> Error {
    match state.expired {
        Some(ExpiryReason::OutcomeUnknown) => Error::in_progress(None),
        Some(ExpiryReason::TimeIsUp) | None => Error::new(
            ErrorKind::SessionExpired,
            "the session's time is up: a new one may be made",
        ),
    }
}

/// What the payment's state makes of its session: an event, or none. Success takes precedence.
pub(crate) fn observe(state: &Session, intent: &Intent, at: Timestamp) -> Option<SessionEvent> {
    let wanted = match intent.status {
        IntentStatus::Succeeded => SessionStatus::Succeeded,
        // Held is paid where the host captures later, once it is sure to stay; else the capture is still to come.
        IntentStatus::Authorized => match intent.capture_method {
            CaptureMethod::Manual if intent.may_go_back() => SessionStatus::Processing,
            CaptureMethod::Manual => SessionStatus::Succeeded,
            CaptureMethod::Automatic => SessionStatus::Processing,
        },
        // Taken, and not yet what the account counts as success.
        IntentStatus::Captured => SessionStatus::Processing,
        IntentStatus::Failed => SessionStatus::Failed,
        IntentStatus::Created | IntentStatus::Scheduled | IntentStatus::Cancelled | IntentStatus::Voided => {
            SessionStatus::Pending
        }
        IntentStatus::RequiresAction | IntentStatus::Processing => SessionStatus::Processing,
    };
    let what = match (state.status, wanted) {
        (SessionStatus::Expired | SessionStatus::Cancelled, SessionStatus::Succeeded) => {
            match state.late_payment {
                None => SessionHappened::LatePayment,
                Some(_) => return None,
            }
        }
        (SessionStatus::Expired | SessionStatus::Cancelled | SessionStatus::Succeeded, _) => return None,
        (_, _) if state.intent != Some(intent.id) => return None,
        (SessionStatus::Pending | SessionStatus::Processing | SessionStatus::Failed, wanted) => {
            if wanted == state.status {
                return None;
            }
            SessionHappened::Moved { to: wanted }
        }
    };
    Some(SessionEvent { at, what })
}

/// The state after `event`.
pub(crate) fn apply(state: Option<Session>, event: &SessionEvent) -> Option<Session> {
    let mut state = match (state, &event.what) {
        (None, SessionHappened::Created(session)) => return Some((**session).clone()),
        (None, _) => return None,
        (Some(state), _) => state,
    };
    state.updated_at = event.at;
    match &event.what {
        SessionHappened::Created(_) => {}
        SessionHappened::Submitted { intent } => {
            state.intent = Some(*intent);
            state.status = SessionStatus::Processing;
        }
        SessionHappened::Moved { to } => state.status = *to,
        SessionHappened::Expired { reason } => {
            state.status = SessionStatus::Expired;
            state.expired = Some(*reason);
        }
        SessionHappened::LatePayment => state.late_payment = Some(event.at),
    }
    Some(state)
}
