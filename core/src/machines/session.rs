//! The machine of checkout sessions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::intent;
use crate::error::Result;
use crate::id::{PaymentIntentId, SessionId};
use crate::session::{self, CheckoutSession, ExpiryReason, NewSession, Session, SessionEvent};
use crate::time::Timestamp;

/// Decides on a command: the events that it causes.
///
/// # Errors
/// Why it is refused; nothing has changed.
pub fn decide(state: Option<&State>, command: &Command) -> Result<Vec<Event>> {
    let events = session::decide(state.map(|state| &state.0), &command.what, command.at)?;
    Ok(events.into_iter().map(Event).collect())
}

/// Merges a payment's state into its session's: the events that it causes. It is total.
pub fn merge(state: &State, observation: &Observation<'_>) -> Vec<Event> {
    let event = session::observe(&state.0, &observation.payment.0, observation.at);
    event.into_iter().map(Event).collect()
}

/// The state after an event. `None` where there was none and the event makes none.
pub fn apply(state: Option<State>, event: &Event) -> Option<State> {
    session::apply(state.map(|state| state.0), &event.0).map(State)
}

/// The state after several events.
pub fn fold(state: Option<State>, events: &[Event]) -> Option<State> {
    events.iter().fold(state, apply)
}

/// All that is known of a session. Its serialized form is the one in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(Session);

impl State {
    /// What hosts see of it, as its first version.
    pub fn view(&self) -> CheckoutSession {
        CheckoutSession {
            state: Arc::new(self.0.clone()),
            version: 1,
        }
    }
}

/// Something that is asked of a session, and when.
#[derive(Clone, Debug)]
pub struct Command {
    at: Timestamp,
    what: session::Command,
}

impl Command {
    fn new(at: Timestamp, what: session::Command) -> Self {
        Self { at, what }
    }

    /// To make it. The fields aren't checked: that is the verbs' part.
    pub fn create(at: Timestamp, id: SessionId, new: NewSession) -> Self {
        Self::new(at, session::Command::Create(Box::new(new.into_state(id, at))))
    }

    /// The buyer submits, with this payment.
    pub fn submit(at: Timestamp, intent: PaymentIntentId) -> Self {
        Self::new(at, session::Command::Submit { intent })
    }

    /// The buyer steps back. That nothing is in flight is the caller's to know.
    pub fn step_back(at: Timestamp) -> Self {
        Self::new(at, session::Command::StepBack)
    }

    /// To end it.
    pub fn cancel(at: Timestamp) -> Self {
        Self::new(at, session::Command::Cancel)
    }

    /// Its time is up.
    pub fn expire(at: Timestamp, reason: ExpiryReason) -> Self {
        Self::new(at, session::Command::Expire(reason))
    }
}

/// Something that happened to a session. Its serialized form is the one in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Event(SessionEvent);

impl Event {
    /// When.
    pub fn at(&self) -> Timestamp {
        self.0.at
    }

    /// A stable word for what happened.
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }
}

/// How a session's payment stands.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    at: Timestamp,
    payment: &'a intent::State,
}

impl<'a> Observation<'a> {
    /// As this says.
    pub fn payment(at: Timestamp, payment: &'a intent::State) -> Self {
        Self { at, payment }
    }
}
