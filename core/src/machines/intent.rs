//! The machine of payment intents.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Source, refund};
use crate::connector::{
    AuthorizeReport, CaptureReport, CloseReport, Doubt, NotExecuted, RefundReport, Stage, Standing,
    SuccessOn, VoidAfterCapture,
};
use crate::error::Result;
use crate::id::{AccountRef, AttemptId, CaptureId, OperationId, PaymentIntentId, RefundId};
use crate::intent::{
    self, Attempt, CaptureRecord, CaptureStatus, Ended, Happened, Intent, IntentEvent, NewIntent, News,
    OnLateSuccess, OpStage, OpenOp, OperationKind, PaymentIntent, PlanRecord, PlannedAccount, Reading, Rest,
    ReviewReason,
};
use crate::method::PaymentMethod;
use crate::time::Timestamp;

/// Decides on a command: the events that it causes.
///
/// # Errors
/// Why it is refused; nothing has changed.
pub fn decide(state: Option<&State>, command: &Command) -> Result<Vec<Event>> {
    let events = intent::decide(state.map(|state| &state.0), &command.what, command.at)?;
    Ok(events.into_iter().map(Event).collect())
}

/// Merges news into what is known: the events that it causes. It is total.
pub fn merge(state: &State, observation: &Observation) -> Vec<Event> {
    let events = intent::merge(&state.0, &observation.0).into_events();
    events.into_iter().map(Event).collect()
}

/// The state after an event. `None` where there was none and the event makes none.
pub fn apply(state: Option<State>, event: &Event) -> Option<State> {
    intent::apply(state.map(|state| state.0), &event.0).map(State)
}

/// The state after several events.
pub fn fold(state: Option<State>, events: &[Event]) -> Option<State> {
    events.iter().fold(state, apply)
}

/// All that is known of a payment. Its serialized form is the one in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub(super) Intent);

impl State {
    /// What hosts see of it, as its first version.
    pub fn view(&self) -> PaymentIntent {
        PaymentIntent {
            state: Arc::new(self.0.clone()),
            version: 1,
        }
    }

    /// The operation that holds the lock.
    pub fn open_operation(&self) -> Option<(OperationId, OperationKind)> {
        self.0.open_op.as_ref().map(|open| (open.id, open.kind))
    }

    /// The operation that gives an attempt's money back, where one is open.
    pub fn open_compensation(&self, attempt: AttemptId) -> Option<(OperationId, OperationKind)> {
        let compensation = self.0.attempt(attempt)?.compensation.as_ref()?;
        compensation.open_op.as_ref().map(|open| (open.id, open.kind))
    }

    /// Its attempts, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.0.attempts.iter().map(|attempt| attempt.id)
    }

    /// What it opens on the attempt that money is expected of, or on `attempt`.
    fn operation(
        &self,
        at: Timestamp,
        id: OperationId,
        kind: OperationKind,
        attempt: Option<AttemptId>,
    ) -> Box<OpenOp> {
        let attempt = match attempt {
            Some(attempt) => self.0.attempt(attempt),
            None => self.0.current(),
        };
        let known = attempt.map(|attempt| &attempt.known);
        let baseline = known.map_or(0, |known| match kind {
            OperationKind::Increment => known.authorized_minor,
            OperationKind::CompensateRefund => known.refunded_minor,
            OperationKind::Authorize
            | OperationKind::Complete
            | OperationKind::Capture
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::Cancel
            | OperationKind::CompensateVoid
            | OperationKind::Refund => known.captured_minor,
        });
        let nobody = || AccountRef::new(crate::id::ConnectorId::from_static("none"), "none");
        Box::new(OpenOp {
            id,
            kind,
            account: attempt.map_or_else(nobody, |attempt| attempt.account.clone()),
            attempt: attempt.map_or_else(
                || AttemptId::from_uuid(id.mode(), id.uuid()),
                |attempt| attempt.id,
            ),
            capture: None,
            amount: self.0.amount,
            rest: Rest::Release,
            baseline,
            steps: Vec::new(),
            stage: OpStage::Prepared,
            idempotency: None,
            opened_at: at,
            ends: None,
        })
    }
}

/// A first or further attempt, at one account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "it is written out by whoever makes it")]
pub struct Opening {
    /// The attempt's identifier.
    pub attempt: AttemptId,
    /// Its operation's.
    pub operation: OperationId,
    /// Where.
    pub account: AccountRef,
    /// With what.
    pub method: PaymentMethod,
    /// What the account counts as success.
    pub success_on: SuccessOn,
}

/// Something that is asked of an intent, and when.
#[derive(Clone, Debug)]
pub struct Command {
    at: Timestamp,
    what: intent::Command,
}

impl Command {
    fn new(at: Timestamp, what: intent::Command) -> Self {
        Self { at, what }
    }

    /// To make it. The fields aren't checked: that is the verbs' part.
    pub fn create(at: Timestamp, id: PaymentIntentId, new: NewIntent) -> Self {
        Self::new(at, intent::Command::Create(Box::new(new.into_state(id, at))))
    }

    /// The first attempt of a confirmation.
    pub fn confirm(at: Timestamp, state: &State, opening: Opening) -> Self {
        let (plan, attempt, operation) = opened(at, state, opening);
        let what = intent::Command::Confirm {
            plan,
            attempt,
            operation,
        };
        Self::new(at, what)
    }

    /// The first attempt of a scheduled payment, now that it is due.
    pub fn due(at: Timestamp, state: &State, opening: Opening) -> Self {
        let (plan, attempt, operation) = opened(at, state, opening);
        let what = intent::Command::Due {
            plan,
            attempt,
            operation,
        };
        Self::new(at, what)
    }

    /// A further attempt of the same confirmation.
    pub fn cascade(at: Timestamp, state: &State, opening: Opening) -> Self {
        let (_, attempt, operation) = opened(at, state, opening);
        let what = intent::Command::Cascade {
            plan: None,
            attempt,
            operation,
        };
        Self::new(at, what)
    }

    /// The host's risk check refuses.
    pub fn refuse(at: Timestamp) -> Self {
        Self::new(at, intent::Command::Refuse)
    }

    /// The host's risk check holds.
    pub fn hold(at: Timestamp) -> Self {
        Self::new(at, intent::Command::Hold)
    }

    /// To hand over what the payer brought back.
    pub fn complete(at: Timestamp, state: &State, operation: OperationId) -> Self {
        let operation = state.operation(at, operation, OperationKind::Complete, None);
        Self::new(at, intent::Command::Complete(operation))
    }

    /// To take `minor` minor units of what is held.
    pub fn capture(
        at: Timestamp,
        state: &State,
        operation: OperationId,
        capture: CaptureId,
        minor: i64,
        rest: Rest,
    ) -> Self {
        let amount = state.0.money(minor);
        let open = state.operation(at, operation, OperationKind::Capture, None);
        let operation = Box::new(OpenOp {
            capture: Some(capture),
            amount,
            rest,
            ..*open
        });
        let capture = CaptureRecord {
            id: capture,
            attempt: operation.attempt,
            amount,
            rest,
            status: CaptureStatus::Pending,
            handle: None,
            refunded: 0,
            operation: Some(operation.id),
        };
        Self::new(at, intent::Command::Capture { capture, operation })
    }

    /// To hold `minor` minor units in all.
    pub fn increment(at: Timestamp, state: &State, operation: OperationId, minor: i64) -> Self {
        let open = state.operation(at, operation, OperationKind::Increment, None);
        let operation = Box::new(OpenOp {
            amount: state.0.money(minor),
            rest: Rest::Keep,
            ..*open
        });
        Self::new(at, intent::Command::Increment(operation))
    }

    /// To give up what is held, or taken where the account voids that too.
    pub fn void(
        at: Timestamp,
        state: &State,
        operation: OperationId,
        after_capture: VoidAfterCapture,
    ) -> Self {
        let what = intent::Command::Void {
            operation: state.operation(at, operation, OperationKind::Void, None),
            after_capture,
        };
        Self::new(at, what)
    }

    /// To give up what is held and not captured.
    pub fn release(at: Timestamp, state: &State, operation: OperationId) -> Self {
        let totals = state.0.totals;
        let open = state.operation(at, operation, OperationKind::Release, None);
        let operation = Box::new(OpenOp {
            amount: state.0.money(totals.authorized - totals.captured),
            ..*open
        });
        Self::new(at, intent::Command::Release(operation))
    }

    /// To end it before anything was asked of a processor.
    pub fn cancel(at: Timestamp) -> Self {
        Self::new(at, intent::Command::Cancel(Ended::Cancelled))
    }

    /// To end it so because its time is up.
    pub fn expire(at: Timestamp) -> Self {
        Self::new(at, intent::Command::Cancel(Ended::Expired))
    }

    /// To stop the live attempt at its processor.
    pub fn close_live(at: Timestamp, state: &State, operation: OperationId) -> Self {
        let operation = state.operation(at, operation, OperationKind::Cancel, None);
        Self::new(at, intent::Command::CloseLive(operation))
    }

    /// To hold `minor` minor units back for a refund, with each capture's part of it.
    pub fn reserve_refund(
        at: Timestamp,
        refund: RefundId,
        minor: i64,
        captures: Vec<(CaptureId, i64)>,
    ) -> Self {
        let what = intent::Command::ReserveRefund {
            refund,
            amount: minor,
            captures,
        };
        Self::new(at, what)
    }

    /// To go on though the payer may still act in `attempt`.
    pub fn supersede(at: Timestamp, attempt: AttemptId, by: impl Into<String>) -> Self {
        let by = by.into();
        Self::new(at, intent::Command::Supersede { attempt, by })
    }

    /// To give up an operation whose outcome is unknown, not before that time.
    pub fn abandon(
        at: Timestamp,
        operation: OperationId,
        by: impl Into<String>,
        not_before: Timestamp,
    ) -> Self {
        let what = intent::Command::Abandon {
            operation,
            by: by.into(),
            not_before,
            expired: None,
        };
        Self::new(at, what)
    }

    /// A person has looked.
    pub fn clear_review(at: Timestamp, by: impl Into<String>) -> Self {
        Self::new(at, intent::Command::ClearReview { by: by.into() })
    }

    /// A person has to look.
    pub fn note_review(at: Timestamp, reason: ReviewReason) -> Self {
        Self::new(at, intent::Command::NoteReview(reason))
    }

    /// To give back what an attempt took or holds that nobody wants.
    pub fn compensate(at: Timestamp, state: &State, attempt: AttemptId, operation: OperationId) -> Self {
        let captured = state
            .0
            .attempt(attempt)
            .is_some_and(|attempt| attempt.known.captured.is_set());
        let kind = match captured {
            true => OperationKind::CompensateRefund,
            false => OperationKind::CompensateVoid,
        };
        let operation = state.operation(at, operation, kind, Some(attempt));
        Self::new(at, intent::Command::Compensate { attempt, operation })
    }
}

fn opened(at: Timestamp, state: &State, opening: Opening) -> (PlanRecord, Box<Attempt>, Box<OpenOp>) {
    let Opening {
        attempt,
        operation,
        account,
        method,
        success_on,
    } = opening;
    let open = state.operation(at, operation, OperationKind::Authorize, None);
    let operation = Box::new(OpenOp {
        account: account.clone(),
        attempt,
        baseline: 0,
        ..*open
    });
    let plan = PlanRecord {
        accounts: vec![PlannedAccount {
            account: account.clone(),
            reason: "the only one".to_owned(),
        }],
        explanation: None,
        left_out: Vec::new(),
        next: 1,
        decided_at: at,
    };
    let attempt = Attempt {
        id: attempt,
        account,
        method,
        amount: state.0.amount,
        capture_method: state.0.capture_method,
        challenge: state.0.details.sca.challenge,
        success_on,
        operation: operation.id,
        opened_at: at,
        status: intent::AttemptStatus::Opened,
        known: intent::Known::default(),
        closure: intent::Closure::Open,
        compensation: None,
    };
    (plan, Box::new(attempt), operation)
}

/// Something that happened to an intent. Its serialized form is the one in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Event(IntentEvent);

impl Event {
    /// When.
    pub fn at(&self) -> Timestamp {
        self.0.at
    }

    /// A stable word for what happened.
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// The end that follows a decline once no account is left, with what `attempt` was told.
    pub fn declined(at: Timestamp, state: &State, attempt: AttemptId) -> Self {
        let attempt = state.0.attempt(attempt);
        let what = Happened::Ended {
            how: Ended::Declined,
            decline: attempt.and_then(|attempt| attempt.known.declined.clone()),
        };
        Self(IntentEvent { at, what })
    }

    /// What a refund holds back or has given, as its payment counts it. A refund's parts are of the payment here, not
    /// of its captures.
    pub fn refund_learnt(at: Timestamp, refund: &refund::State) -> Self {
        let what = Happened::RefundLearnt {
            refund: refund.0.id,
            share: refund.0.share(),
            given_back: Vec::new(),
        };
        Self(IntentEvent { at, what })
    }
}

/// News of an intent. `fresh` is the identifier of a capture that nobody here asked for, should the news show one.
#[derive(Clone, Debug)]
pub struct Observation(intent::Observation);

impl Observation {
    fn new(at: Timestamp, source: Source, news: News, fresh: CaptureId) -> Self {
        Self(intent::Observation {
            at,
            source: match source {
                Source::Driver(operation) => intent::Source::Driver(operation),
                Source::Outside => intent::Source::Outside,
            },
            news,
            on_late_success: OnLateSuccess::default(),
            fresh_capture: fresh,
        })
    }

    /// What becomes of money that arrives when nobody wants it; it goes back without this.
    pub fn on_late_success(mut self, policy: OnLateSuccess) -> Self {
        self.0.on_late_success = policy;
        self
    }

    /// The answer to an authorization, from the call that asked for it.
    pub fn answer(
        at: Timestamp,
        operation: OperationId,
        attempt: AttemptId,
        standing: Standing,
        fresh: CaptureId,
    ) -> Self {
        let news = News::Payment {
            attempt,
            standing: Box::new(standing),
            reading: Reading::Answer,
        };
        Self::new(at, Source::Driver(operation), news, fresh)
    }

    /// How a payment stands at its processor, as a webhook tells it.
    pub fn told(at: Timestamp, attempt: AttemptId, standing: Standing, fresh: CaptureId) -> Self {
        let news = News::Payment {
            attempt,
            standing: Box::new(standing),
            reading: Reading::Told,
        };
        Self::new(at, Source::Outside, news, fresh)
    }

    /// The same news, from a worker that has lost its lease meanwhile.
    pub fn overtaken(mut self) -> Self {
        self.0.source = intent::Source::Outside;
        self
    }

    /// How a payment stands at its processor, as a read shows it that was asked for when the payment was as in `asked`.
    pub fn read(
        asked: &State,
        at: Timestamp,
        source: Source,
        attempt: AttemptId,
        standing: Standing,
        fresh: CaptureId,
    ) -> Self {
        let news = News::Payment {
            attempt,
            standing: Box::new(standing),
            reading: Reading::Read {
                refund_epoch: asked.0.refund_epoch(attempt, at, Duration::ZERO),
            },
        };
        Self::new(at, source, news, fresh)
    }

    /// What became of a capture.
    pub fn capture(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        report: CaptureReport,
        fresh: CaptureId,
    ) -> Self {
        Self::new(at, source, News::Capture { operation, report }, fresh)
    }

    /// What became of a void, a release or a cancel.
    pub fn close(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        report: CloseReport,
        fresh: CaptureId,
    ) -> Self {
        Self::new(at, source, News::Close { operation, report }, fresh)
    }

    /// What became of an increment.
    pub fn increment(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        report: AuthorizeReport,
        fresh: CaptureId,
    ) -> Self {
        Self::new(at, source, News::Increment { operation, report }, fresh)
    }

    /// What became of the refund of an attempt that nobody wants.
    pub fn compensation_refund(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        report: RefundReport,
        fresh: CaptureId,
    ) -> Self {
        Self::new(at, source, News::CompensationRefund { operation, report }, fresh)
    }

    /// The proof that an operation executed nothing.
    pub fn not_executed(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        proof: NotExecuted,
        fresh: CaptureId,
    ) -> Self {
        Self::new(at, source, News::NotExecuted { operation, proof }, fresh)
    }

    /// An operation's outcome is unknown.
    pub fn doubt(
        at: Timestamp,
        source: Source,
        operation: OperationId,
        stage: Stage,
        why: &'static str,
        fresh: CaptureId,
    ) -> Self {
        let doubt = Doubt::new(stage, why);
        Self::new(at, source, News::Doubt { operation, doubt }, fresh)
    }
}
