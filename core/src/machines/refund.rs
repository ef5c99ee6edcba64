//! The machine of refunds. What a refund holds back of its payment is decided by the payment's machine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Source, intent};
use crate::connector::{Doubt, Handle, NotExecuted, RefundReport, Stage};
use crate::error::{Error, Result};
use crate::id::{OperationId, RefundId};
use crate::intent::{OpStage, OpenOp, OperationKind, Rest, ReviewReason};
use crate::refund::{
    self, Allocation, AllocationStatus, Refund, RefundEvent, RefundNews, RefundReason, RefundState,
    RefundStatus,
};
use crate::time::Timestamp;

/// Decides on a command: the events that it causes.
///
/// # Errors
/// Why it is refused; nothing has changed.
pub fn decide(state: Option<&State>, command: &Command) -> Result<Vec<Event>> {
    let events = refund::decide(state.map(|state| &state.0), &command.what, command.at)?;
    Ok(events.into_iter().map(Event).collect())
}

/// Merges news into what is known: the events that it causes. It is total.
pub fn merge(state: &State, observation: &Observation) -> Vec<Event> {
    let Observation {
        at,
        source,
        operation,
        news,
    } = observation;
    let driver = match source {
        Source::Driver(operation) => Some(*operation),
        Source::Outside => None,
    };
    let events = refund::merge(&state.0, *operation, news, driver, *at);
    events.into_iter().map(Event).collect()
}

/// The state after an event. `None` where there was none and the event makes none.
pub fn apply(state: Option<State>, event: &Event) -> Option<State> {
    refund::apply(state.map(|state| state.0), &event.0).map(State)
}

/// The state after several events.
pub fn fold(state: Option<State>, events: &[Event]) -> Option<State> {
    events.iter().fold(state, apply)
}

/// All that is known of a refund. Its serialized form is the one in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub(super) RefundState);

impl State {
    /// What hosts see of it, as its first version.
    pub fn view(&self) -> Refund {
        Refund {
            state: Arc::new(self.0.clone()),
            version: 1,
        }
    }

    /// The operation that holds the lock.
    pub fn open_operation(&self) -> Option<OperationId> {
        self.0.open_op.as_ref().map(|open| open.id)
    }

    /// The operation of the part that comes next, once nothing is open.
    pub fn next_operation(&self) -> Option<OperationId> {
        self.0.next_waiting().map(|part| part.operation)
    }
}

/// Something that is asked of a refund, and when.
#[derive(Clone, Debug)]
pub struct Command {
    at: Timestamp,
    what: refund::Command,
}

impl Command {
    fn new(at: Timestamp, what: refund::Command) -> Self {
        Self { at, what }
    }

    /// To refund a payment in parts, each with its operation, what the processor knows the money by, and its amount in
    /// minor units.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where the payment has no attempt.
    pub fn request(
        at: Timestamp,
        id: RefundId,
        of: &intent::State,
        parts: impl IntoIterator<Item = (OperationId, Handle, i64)>,
    ) -> Result<Self> {
        let attempt =
            of.0.current()
                .ok_or_else(|| Error::not_found("attempt", "attempt"))?;
        let part = |(operation, original, minor)| Allocation {
            capture: None,
            original,
            amount: of.0.money(minor),
            operation,
            status: AllocationStatus::Waiting,
            handle: None,
            action: None,
            decline: None,
            not_executed: None,
        };
        let allocations: Vec<Allocation> = parts.into_iter().map(part).collect();
        let state = RefundState {
            id,
            intent: of.0.id,
            attempt: attempt.id,
            account: attempt.account.clone(),
            amount: of
                .0
                .money(allocations.iter().map(|part| part.amount.minor()).sum()),
            reason: RefundReason::RequestedByCustomer,
            status: RefundStatus::Requested,
            allocations,
            open_op: None,
            review: None,
            created_at: at,
            updated_at: at,
        };
        Ok(Self::new(at, refund::Command::Request(Box::new(state))))
    }

    /// To ask for the part of that operation.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where no part has it.
    pub fn open(at: Timestamp, state: &State, operation: OperationId) -> Result<Self> {
        let part = state.0.allocation(operation);
        let part = part.ok_or_else(|| Error::not_found("operation", "operation"))?;
        let open = OpenOp {
            id: operation,
            kind: OperationKind::Refund,
            account: state.0.account.clone(),
            attempt: state.0.attempt,
            capture: part.capture,
            amount: part.amount,
            rest: Rest::Release,
            baseline: 0,
            steps: Vec::new(),
            stage: OpStage::Prepared,
            idempotency: None,
            opened_at: at,
            ends: None,
        };
        Ok(Self::new(at, refund::Command::Open(Box::new(open))))
    }

    /// To give up an operation whose outcome is unknown, not before that time.
    pub fn abandon(
        at: Timestamp,
        operation: OperationId,
        by: impl Into<String>,
        not_before: Timestamp,
    ) -> Self {
        let what = refund::Command::Abandon {
            operation,
            by: by.into(),
            not_before,
        };
        Self::new(at, what)
    }

    /// A person has to look.
    pub fn note_review(at: Timestamp, reason: ReviewReason) -> Self {
        Self::new(at, refund::Command::NoteReview(reason))
    }

    /// A person has looked.
    pub fn clear_review(at: Timestamp, by: impl Into<String>) -> Self {
        Self::new(at, refund::Command::ClearReview { by: by.into() })
    }
}

/// Something that happened to a refund. Its serialized form is the one in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Event(RefundEvent);

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

/// News of one part of a refund.
#[derive(Clone, Debug)]
pub struct Observation {
    at: Timestamp,
    source: Source,
    operation: OperationId,
    news: RefundNews,
}

impl Observation {
    /// What became of the part.
    pub fn report(at: Timestamp, source: Source, operation: OperationId, report: RefundReport) -> Self {
        let news = RefundNews::Report(report);
        Self {
            at,
            source,
            operation,
            news,
        }
    }

    /// The proof that nothing was executed.
    pub fn not_executed(at: Timestamp, source: Source, operation: OperationId, proof: NotExecuted) -> Self {
        let news = RefundNews::NotExecuted(proof);
        Self {
            at,
            source,
            operation,
            news,
        }
    }

    /// The outcome is unknown.
    pub fn doubt(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        stage: Stage,
        why: &'static str,
    ) -> Self {
        let news = RefundNews::Doubt(Doubt::new(stage, why));
        Self {
            at,
            source,
            operation,
            news,
        }
    }
}
