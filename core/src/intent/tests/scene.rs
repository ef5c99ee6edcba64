//! Intents on a stage: each is brought to its state by commands and news alone, and every event is kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::action::{Action, ActionKind};
use crate::connector::{
    Approval, AuthorizeReport, CaptureReport, CloseReport, Contradiction, Doubt, Echo, Handle, NotExecuted,
    RefundReport, Stage, Standing, SuccessOn, VoidAfterCapture,
};
use crate::decline::{Decline, DeclineCode, DeclineKind};
use crate::error::Result;
use crate::id::{AccountRef, AttemptId, CaptureId, ConnectorId, OperationId, PaymentIntentId, RefundId};
use crate::intent::command::{Command, CommandKind};
use crate::intent::event::{Happened, IntentChange, IntentEvent, apply};
use crate::intent::machine::{Illegal, decide};
use crate::intent::merge::{Merged, merge};
use crate::intent::news::{News, Observation, OnLateSuccess, Reading, Source};
use crate::intent::state::{
    Attempt, CaptureRecord, Closure, Ended, Intent, Known, OpStage, OpenOp, PlanRecord, PlannedAccount,
    ReviewReason, RiskAfter, Totals,
};
use crate::intent::{
    AttemptStatus, CaptureMethod, CaptureStatus, Challenge, Granted, IntentDetails, IntentMode, IntentStatus,
    OperationKind, Rest,
};
use crate::method::PaymentMethod;
use crate::money::{Currency, Money};
use crate::tenant::Mode;
use crate::time::Timestamp;

pub(crate) const AMOUNT: i64 = 1_000;
pub(crate) const SUPERSEDE: CommandKind = CommandKind::Supersede;

pub(crate) fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

pub(crate) fn approval() -> Approval {
    Approval::new("pay_1", Echo::none())
}

pub(crate) fn multicapture() -> Approval {
    approval().granted(Granted::nothing().multicapture().incremental())
}

pub(crate) fn decline(code: DeclineCode) -> Decline {
    Decline::new(code, code.usual_kind(), None)
}

pub(crate) fn hard() -> Decline {
    Decline::new(DeclineCode::ExpiredCard, DeclineKind::Hard, None)
}

pub(crate) fn action() -> AuthorizeReport {
    let action = Action::redirect("https://bank.example/act").expires_at(Timestamp::from_secs(90_000));
    AuthorizeReport::ActionNeeded(Handle::from("pay_1"), action, Echo::none())
}

/// An action that a decline doesn't end.
pub(crate) fn open_action() -> AuthorizeReport {
    let action = Action::new(ActionKind::ClientConfirm).open_after_decline();
    AuthorizeReport::ActionNeeded(Handle::from("pay_1"), action, Echo::none())
}

pub(crate) fn pending() -> AuthorizeReport {
    AuthorizeReport::Pending(Handle::from("pay_1"), Echo::none())
}

pub(crate) fn lapsed() -> AuthorizeReport {
    AuthorizeReport::Voided(Handle::from("pay_1"), Echo::none())
}

pub(crate) fn captured() -> CaptureReport {
    CaptureReport::Captured(Handle::from("cap_1"), Echo::none())
}

pub(crate) fn capture_pending() -> CaptureReport {
    CaptureReport::Pending(Handle::from("cap_1"), Echo::none())
}

pub(crate) fn closed() -> CloseReport {
    CloseReport::Closed(Handle::from("pay_1"), Echo::none())
}

pub(crate) fn close_pending() -> CloseReport {
    CloseReport::Pending(Handle::from("pay_1"), Echo::none())
}

pub(crate) fn refunded() -> RefundReport {
    RefundReport::Refunded(Handle::from("re_1"), Echo::none())
}

pub(crate) fn proof() -> NotExecuted {
    NotExecuted::NotSent(Cow::Borrowed("no connection"))
}

pub(crate) fn doubt() -> Doubt {
    Doubt {
        stage: Stage::Sent,
        why: Cow::Borrowed("no answer"),
        contradicts: Contradiction::None,
    }
}

/// An intent, all that happened to it, and a clock that goes on by a second with each command or news.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) state: Intent,
    pub(crate) events: Vec<IntentEvent>,
    pub(crate) now: Timestamp,
    pub(crate) success_on: SuccessOn,
    pub(crate) on_late_success: OnLateSuccess,
    serial: u128,
}

/// How an intent is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Now,
    Scheduled,
}

impl Scene {
    pub(crate) fn new(mode: IntentMode, capture_method: CaptureMethod, when: When) -> Self {
        let now = Timestamp::from_secs(1_000);
        let amount = match mode {
            IntentMode::Payment => eur(AMOUNT),
            IntentMode::Setup | IntentMode::Verify => eur(0),
        };
        let (status, scheduled_for) = match when {
            When::Now => (IntentStatus::Created, None),
            When::Scheduled => (IntentStatus::Scheduled, Some(Timestamp::from_secs(50_000))),
        };
        let state = Intent {
            id: PaymentIntentId::from_uuid(Mode::Test, Uuid::from_u128(1)),
            mode,
            amount,
            capture_method,
            status,
            details: Arc::new(IntentDetails::default()),
            session: None,
            scheduled_for,
            scheduled_method: scheduled_for.map(|_| PaymentMethod::card_token("tok_1")),
            expires_at: None,
            totals: Totals::default(),
            attempts: Vec::new(),
            captures: Vec::new(),
            operations: Vec::new(),
            open_op: None,
            winner: None,
            ended: None,
            last_decline: None,
            last_failure: None,
            plan: None,
            review: None,
            risk_after: RiskAfter::Settled,
            refunds: std::collections::BTreeMap::new(),
            created_at: now,
            updated_at: now,
        };
        let events = decide(None, &Command::Create(Box::new(state)), now).unwrap();
        let state = apply(None, &events[0]).unwrap();
        Self {
            state,
            events,
            now,
            success_on: SuccessOn::Settled,
            on_late_success: OnLateSuccess::Reverse,
            serial: 100,
        }
    }

    pub(crate) fn manual() -> Self {
        Self::new(IntentMode::Payment, CaptureMethod::Manual, When::Now)
    }

    pub(crate) fn automatic() -> Self {
        Self::new(IntentMode::Payment, CaptureMethod::Automatic, When::Now)
    }

    pub(crate) fn scheduled() -> Self {
        Self::new(IntentMode::Payment, CaptureMethod::Manual, When::Scheduled)
    }

    /// Confirmed, and answered so.
    pub(crate) fn answered(mut self, report: AuthorizeReport) -> Self {
        self.confirm().unwrap();
        self.answer(report);
        self
    }

    pub(crate) fn requires_action() -> Self {
        Self::manual().answered(action())
    }

    /// The payer has acted; the answer comes later.
    pub(crate) fn acted() -> Self {
        let mut scene = Self::requires_action();
        scene.read(pending().into());
        scene
    }

    pub(crate) fn processing() -> Self {
        Self::manual().answered(pending())
    }

    pub(crate) fn authorized() -> Self {
        Self::manual().answered(AuthorizeReport::Authorized(multicapture()))
    }

    /// Taken in part, with the rest still held.
    pub(crate) fn partly_captured() -> Self {
        let mut scene = Self::authorized();
        scene.capture_as(400, Rest::Keep, captured());
        scene
    }

    pub(crate) fn captured() -> Self {
        Self::automatic().answered(AuthorizeReport::Captured(approval()))
    }

    pub(crate) fn succeeded() -> Self {
        Self::automatic().answered(AuthorizeReport::Settled(approval()))
    }

    pub(crate) fn voided() -> Self {
        let mut scene = Self::authorized();
        scene.close_as(OperationKind::Void, closed());
        scene
    }

    pub(crate) fn cancelled() -> Self {
        let mut scene = Self::manual();
        scene.run(&Command::Cancel(Ended::Cancelled)).unwrap();
        scene
    }

    pub(crate) fn failed() -> Self {
        let mut scene = Self::manual();
        scene.run(&Command::Refuse).unwrap();
        scene
    }

    /// Every way in which these tests reach a state, without an open operation.
    pub(crate) fn all_of(status: IntentStatus) -> Vec<Self> {
        let scenes = match status {
            IntentStatus::Created => vec![Self::manual(), Self::automatic().answered(declined())],
            IntentStatus::Scheduled => vec![Self::scheduled()],
            IntentStatus::RequiresAction => vec![Self::requires_action()],
            IntentStatus::Processing => vec![Self::processing(), Self::acted()],
            IntentStatus::Authorized => vec![Self::authorized(), Self::partly_captured()],
            IntentStatus::Captured => vec![Self::captured()],
            IntentStatus::Succeeded => vec![Self::succeeded()],
            IntentStatus::Voided => vec![Self::voided()],
            IntentStatus::Cancelled => vec![Self::cancelled()],
            IntentStatus::Failed => vec![Self::failed()],
        };
        for scene in &scenes {
            assert_eq!(scene.state.status, status);
            assert_eq!(scene.state.open_op, None);
        }
        scenes
    }

    pub(crate) fn fresh(&mut self) -> Uuid {
        self.serial += 1;
        Uuid::from_u128(self.serial)
    }

    fn tick(&mut self) {
        self.now = self.now.after(Duration::from_secs(1));
    }

    pub(crate) fn take(&mut self, events: Vec<IntentEvent>) {
        for event in events {
            self.state = apply(Some(self.state.clone()), &event).unwrap();
            self.events.push(event);
        }
    }

    pub(crate) fn happen(&mut self, what: Happened) {
        let event = IntentEvent { at: self.now, what };
        self.take(vec![event]);
    }

    pub(crate) fn run(&mut self, command: &Command) -> Result<(), Illegal> {
        self.tick();
        let events = decide(Some(&self.state), command, self.now)?;
        self.take(events);
        Ok(())
    }

    pub(crate) fn hear(&mut self, source: Source, news: News) -> Merged {
        self.tick();
        let observation = Observation {
            at: self.now,
            source,
            news,
            on_late_success: self.on_late_success,
            fresh_capture: CaptureId::from_uuid(Mode::Test, self.fresh()),
        };
        let merged = merge(&self.state, &observation);
        self.take(merged.clone().into_events());
        merged
    }

    /// The answer to the open operation, of whatever kind it is.
    pub(crate) fn answer(&mut self, report: AuthorizeReport) -> Merged {
        let open = self.state.open_op.clone().unwrap();
        let news = News::Payment {
            attempt: open.attempt,
            standing: Box::new(report.into()),
            reading: Reading::Answer,
        };
        self.hear(Source::Driver(open.id), news)
    }

    /// What a webhook or a sync says of the last attempt.
    pub(crate) fn read(&mut self, standing: Standing) -> Merged {
        let attempt = self.state.attempts.last().unwrap().id;
        self.read_of(attempt, standing)
    }

    pub(crate) fn read_of(&mut self, attempt: AttemptId, standing: Standing) -> Merged {
        let news = News::Payment {
            attempt,
            standing: Box::new(standing),
            reading: Reading::Read {
                refund_epoch: self.state.refund_failures(attempt),
            },
        };
        self.hear(Source::Outside, news)
    }

    pub(crate) fn confirm(&mut self) -> Result<(), Illegal> {
        let command = self.opening(CommandKind::Confirm);
        self.run(&command)
    }

    /// An operation on the current attempt.
    pub(crate) fn operation(&mut self, kind: OperationKind, amount: i64, rest: Rest) -> OpenOp {
        let attempt = self.state.current().cloned();
        let known = attempt
            .as_ref()
            .map(|attempt| attempt.known.clone())
            .unwrap_or_default();
        let attempt = match attempt {
            Some(attempt) => attempt.id,
            None => AttemptId::from_uuid(Mode::Test, self.fresh()),
        };
        OpenOp {
            id: OperationId::from_uuid(Mode::Test, self.fresh()),
            kind,
            account: account(),
            attempt,
            capture: None,
            amount: eur(amount),
            rest,
            baseline: match kind {
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
            },
            steps: Vec::new(),
            stage: OpStage::Prepared,
            idempotency: None,
            opened_at: self.now,
            ends: None,
        }
    }

    /// Confirm, due or cascade with a new attempt.
    pub(crate) fn opening(&mut self, kind: CommandKind) -> Command {
        let mut operation = self.operation(OperationKind::Authorize, AMOUNT, Rest::Release);
        operation.attempt = AttemptId::from_uuid(Mode::Test, self.fresh());
        operation.amount = self.state.amount;
        let attempt = Attempt {
            id: operation.attempt,
            account: account(),
            method: PaymentMethod::card_token("tok_1"),
            amount: self.state.amount,
            capture_method: self.state.capture_method,
            challenge: Challenge::AsNeeded,
            success_on: self.success_on,
            operation: operation.id,
            opened_at: self.now,
            status: AttemptStatus::Opened,
            known: Known::default(),
            closure: Closure::Open,
            compensation: None,
        };
        let plan = PlanRecord {
            accounts: vec![PlannedAccount {
                account: account(),
                reason: "the first of the list".to_owned(),
            }],
            explanation: None,
            left_out: Vec::new(),
            next: 1,
            decided_at: self.now,
        };
        let (attempt, operation) = (Box::new(attempt), Box::new(operation));
        match kind {
            CommandKind::Due => Command::Due {
                plan,
                attempt,
                operation,
            },
            CommandKind::Cascade => Command::Cascade {
                plan: None,
                attempt,
                operation,
            },
            _confirm => Command::Confirm {
                plan,
                attempt,
                operation,
            },
        }
    }

    pub(crate) fn capture(&mut self, amount: i64, rest: Rest) -> Command {
        let mut operation = self.operation(OperationKind::Capture, amount, rest);
        let capture = CaptureRecord {
            id: CaptureId::from_uuid(Mode::Test, self.fresh()),
            attempt: operation.attempt,
            amount: eur(amount),
            rest,
            status: CaptureStatus::Pending,
            handle: None,
            refunded: 0,
            operation: Some(operation.id),
        };
        operation.capture = Some(capture.id);
        Command::Capture {
            capture,
            operation: Box::new(operation),
        }
    }

    /// Captures, and hears this answer.
    pub(crate) fn capture_as(&mut self, amount: i64, rest: Rest, report: CaptureReport) -> OperationId {
        let command = self.capture(amount, rest);
        self.run(&command).unwrap();
        let operation = self.state.open_op.as_ref().unwrap().id;
        self.hear(Source::Driver(operation), News::Capture { operation, report });
        operation
    }

    pub(crate) fn closing(&mut self, kind: OperationKind) -> Command {
        let totals = self.state.totals;
        let amount = match kind {
            OperationKind::Release => totals.authorized - totals.captured,
            _whole => self.state.amount.minor(),
        };
        let operation = Box::new(self.operation(kind, amount, Rest::Release));
        match kind {
            OperationKind::Release => Command::Release(operation),
            OperationKind::Cancel => Command::CloseLive(operation),
            _void => Command::Void {
                operation,
                after_capture: VoidAfterCapture::Yes,
            },
        }
    }

    /// Voids, releases or cancels, and hears this answer.
    pub(crate) fn close_as(&mut self, kind: OperationKind, report: CloseReport) -> OperationId {
        let command = self.closing(kind);
        self.run(&command).unwrap();
        let operation = self.state.open_op.as_ref().unwrap().id;
        self.hear(Source::Driver(operation), News::Close { operation, report });
        operation
    }

    pub(crate) fn raise(&mut self, total: i64) -> Command {
        Command::Increment(Box::new(self.operation(
            OperationKind::Increment,
            total,
            Rest::Keep,
        )))
    }

    pub(crate) fn reserve(&mut self, amount: i64) -> Command {
        Command::ReserveRefund {
            refund: RefundId::from_uuid(Mode::Test, self.fresh()),
            amount,
            captures: Vec::new(),
        }
    }

    /// The open operation's outcome becomes unknown.
    pub(crate) fn doubted(mut self) -> Self {
        let operation = self.state.open_op.as_ref().unwrap().id;
        let news = News::Doubt {
            operation,
            doubt: doubt(),
        };
        self.hear(Source::Driver(operation), news);
        self
    }

    pub(crate) fn abandon(&self, not_before: Timestamp) -> Command {
        let open = self.state.open_op.as_ref();
        Command::Abandon {
            operation: open.map_or(OperationId::from_uuid(Mode::Test, Uuid::nil()), |open| open.id),
            by: "ops@shop".to_owned(),
            not_before,
            expired: None,
        }
    }

    /// A command of that kind that fits this scene, as far as one can.
    pub(crate) fn command(&mut self, kind: CommandKind) -> Command {
        let attempt = self.state.attempts.last().map(|attempt| attempt.id);
        let attempt = attempt.unwrap_or(AttemptId::from_uuid(Mode::Test, Uuid::nil()));
        match kind {
            CommandKind::Update => Command::Update(Box::new(IntentChange {
                amount: Some(eur(2_000)),
                ..IntentChange::default()
            })),
            CommandKind::Confirm | CommandKind::Due | CommandKind::Cascade => self.opening(kind),
            CommandKind::Refuse => Command::Refuse,
            CommandKind::Hold => Command::Hold,
            CommandKind::Complete => Command::Complete(Box::new(self.operation(
                OperationKind::Complete,
                AMOUNT,
                Rest::Release,
            ))),
            CommandKind::Capture => self.capture(100, Rest::Keep),
            CommandKind::Increment => self.raise(1_500),
            CommandKind::Void => self.closing(OperationKind::Void),
            CommandKind::Release => self.closing(OperationKind::Release),
            CommandKind::Cancel => Command::Cancel(Ended::Cancelled),
            CommandKind::CloseLive => self.closing(OperationKind::Cancel),
            CommandKind::ReserveRefund => self.reserve(100),
            CommandKind::Supersede => Command::Supersede {
                attempt,
                by: "ops@shop".to_owned(),
            },
            CommandKind::Abandon => self.abandon(Timestamp::from_millis(0)),
            CommandKind::ClearReview => Command::ClearReview {
                by: "ops@shop".to_owned(),
            },
            CommandKind::Compensate => {
                let mut operation = self.operation(OperationKind::CompensateRefund, AMOUNT, Rest::Release);
                operation.attempt = attempt;
                Command::Compensate {
                    attempt,
                    operation: Box::new(operation),
                }
            }
            CommandKind::NoteReview => Command::NoteReview(ReviewReason::UnknownTooLong),
        }
    }

    /// The status of the capture that this operation asked for.
    pub(crate) fn capture_status(&self, operation: OperationId) -> CaptureStatus {
        let of = |capture: &&CaptureRecord| capture.operation == Some(operation);
        self.state.captures.iter().find(of).unwrap().status
    }
}

/// The fields that a check found at fault, in their order.
pub(crate) fn faulty_fields(checked: Result<()>) -> Vec<String> {
    match checked {
        Ok(()) => Vec::new(),
        Err(error) => error
            .faults()
            .iter()
            .map(|fault| fault.field.to_string())
            .collect(),
    }
}

pub(crate) fn declined() -> AuthorizeReport {
    AuthorizeReport::Declined(hard())
}

pub(crate) fn account() -> AccountRef {
    AccountRef::new(ConnectorId::from_static("sandbox"), "main")
}
