//! The state machines, driven by bytes: whatever is asked and heard in whatever order, nothing panics, the counters
//! hold, a state is what its events make of it, and it is left only as the tables say.

use paymux_core::connector::{
    Approval, AuthorizeReport, CaptureReport, CloseReport, Echo, Handle, NotExecuted, RefundReport, Stage,
    Standing, SuccessOn, VoidAfterCapture,
};
use paymux_core::machines::{Source, intent, refund, session};
use paymux_core::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use uuid::Uuid;

use crate::input::Bytes;

/// Enough for every state, and a bound on time and memory.
const STEPS: usize = 64;

/// A payment with all that has happened to it.
struct Payment {
    state: Option<intent::State>,
    events: Vec<intent::Event>,
    now: Timestamp,
    made: u128,
}

impl Payment {
    fn new() -> Self {
        Self {
            state: None,
            events: Vec::new(),
            now: Timestamp::from_secs(1_000),
            made: 0,
        }
    }

    fn uuid(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(self.made)
    }

    fn operation(&mut self) -> OperationId {
        OperationId::from_uuid(Mode::Test, self.uuid())
    }

    fn capture(&mut self) -> CaptureId {
        CaptureId::from_uuid(Mode::Test, self.uuid())
    }

    fn opening(&mut self, bytes: &mut Bytes<'_>) -> intent::Opening {
        intent::Opening {
            attempt: AttemptId::from_uuid(Mode::Test, self.uuid()),
            operation: self.operation(),
            account: AccountRef::new(ConnectorId::from_static("sandbox"), "main"),
            method: PaymentMethod::card_token("tok_1"),
            success_on: bytes.one_of(&[SuccessOn::Accepted, SuccessOn::Settled]),
        }
    }

    /// An attempt of this payment, or one that it doesn't have.
    fn attempt(&mut self, bytes: &mut Bytes<'_>) -> AttemptId {
        let attempts: Vec<AttemptId> = self.state.iter().flat_map(intent::State::attempts).collect();
        match (bytes.byte(), attempts.as_slice()) {
            (255, _) | (_, []) => AttemptId::from_uuid(Mode::Test, self.uuid()),
            (at, attempts) => attempts[usize::from(at) % attempts.len()],
        }
    }

    /// The operation that is open, one that was, or none of this payment's.
    fn some_operation(&mut self, bytes: &mut Bytes<'_>) -> OperationId {
        let open = self.state.as_ref().and_then(intent::State::open_operation);
        let view = self.state.as_ref().map(intent::State::view);
        let known: Vec<OperationId> = view
            .iter()
            .flat_map(|view| view.operations())
            .map(|operation| *operation.id())
            .collect();
        match (bytes.byte(), open, known.as_slice()) {
            (0..=127, Some((open, _)), _) => open,
            (255, ..) | (_, _, []) => self.operation(),
            (at, _, known) => known[usize::from(at) % known.len()],
        }
    }

    fn command(&mut self, bytes: &mut Bytes<'_>) -> Option<intent::Command> {
        use intent::Command;
        let at = self.now;
        let Some(state) = self.state.clone() else {
            let amount = Money::from_minor(bytes.minor().clamp(1, 999_999_999_999), Currency::EUR);
            let new = match bytes.byte() {
                0..=15 => NewIntent::setup(Currency::EUR),
                16..=23 => NewIntent::verify(Currency::EUR),
                24..=63 => NewIntent::payment(amount).scheduled_for(at.after(Duration::from_secs(60))),
                64..=159 => NewIntent::payment(amount).capture(CaptureMethod::Manual),
                _ => NewIntent::payment(amount),
            };
            return Some(Command::create(
                at,
                PaymentIntentId::from_uuid(Mode::Test, self.uuid()),
                new,
            ));
        };
        Some(match bytes.byte() % 21 {
            0 | 1 => Command::confirm(at, &state, self.opening(bytes)),
            2 => Command::due(at, &state, self.opening(bytes)),
            3 => Command::cascade(at, &state, self.opening(bytes)),
            4 => Command::refuse(at),
            5 => Command::hold(at),
            6 => Command::complete(at, &state, self.operation()),
            7..=9 => {
                let rest = bytes.one_of(&[Rest::Release, Rest::Keep]);
                let (operation, capture) = (self.operation(), self.capture());
                Command::capture(at, &state, operation, capture, bytes.minor(), rest)
            }
            10 => Command::increment(at, &state, self.operation(), bytes.minor()),
            11 => {
                let after = bytes.one_of(&[VoidAfterCapture::No, VoidAfterCapture::Yes]);
                Command::void(at, &state, self.operation(), after)
            }
            12 => Command::release(at, &state, self.operation()),
            13 => Command::cancel(at),
            14 => Command::expire(at),
            15 => Command::close_live(at, &state, self.operation()),
            16 => {
                let captures: Vec<CaptureId> = state
                    .view()
                    .captures()
                    .iter()
                    .map(|capture| *capture.id())
                    .collect();
                let minor = bytes.minor();
                let parts = captures
                    .first()
                    .map(|first| (*first, minor))
                    .into_iter()
                    .collect();
                Command::reserve_refund(at, RefundId::from_uuid(Mode::Test, self.uuid()), minor, parts)
            }
            17 => Command::supersede(at, self.attempt(bytes), "a person"),
            18 => {
                let not_before = bytes.one_of(&[at, at.after(Duration::from_secs(9))]);
                Command::abandon(at, self.some_operation(bytes), "a person", not_before)
            }
            19 => match bytes.byte() % 2 {
                0 => Command::clear_review(at, "a person"),
                _ => Command::note_review(at, ReviewReason::Contradiction),
            },
            _ => Command::compensate(at, &state, self.attempt(bytes), self.operation()),
        })
    }

    fn observation(&mut self, bytes: &mut Bytes<'_>) -> Option<intent::Observation> {
        use intent::Observation;
        let (at, state) = (self.now, self.state.clone()?);
        let operation = self.some_operation(bytes);
        let source = match bytes.byte() % 2 {
            0 => Source::Driver(operation),
            _ => Source::Outside,
        };
        let fresh = self.capture();
        let heard = match bytes.byte() % 8 {
            0 | 1 => Observation::answer(at, operation, self.attempt(bytes), standing(bytes), fresh),
            2 => Observation::read(&state, at, source, self.attempt(bytes), standing(bytes), fresh),
            3 => Observation::capture(at, source, operation, capture_report(bytes), fresh),
            4 => Observation::close(at, source, operation, close_report(bytes), fresh),
            5 => match bytes.byte() % 2 {
                0 => Observation::increment(at, source, operation, authorize_report(bytes), fresh),
                _ => Observation::compensation_refund(at, source, operation, refund_report(bytes), fresh),
            },
            6 => Observation::not_executed(at, source, operation, NotExecuted::NotSent("dns".into()), fresh),
            _ => {
                let stage = bytes.one_of(&[Stage::Prepared, Stage::Sent, Stage::Answered]);
                Observation::doubt(at, source, operation, stage, "timed out", fresh)
            }
        };
        let all = [
            OnLateSuccess::Reverse,
            OnLateSuccess::AcceptIfUnpaid,
            OnLateSuccess::Ask,
        ];
        Some(heard.on_late_success(bytes.one_of(&all)))
    }

    fn happen(&mut self, events: Vec<intent::Event>) {
        self.state = intent::fold(self.state.take(), &events);
        assert!(
            events.is_empty() || self.state.is_some(),
            "an event makes a state of a state"
        );
        self.events.extend(events);
    }

    /// One command, or one piece of news.
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        self.now = self.now.after(Duration::from_millis(u64::from(bytes.byte() % 8)));
        if bytes.byte().is_multiple_of(2) {
            let Some(command) = self.command(bytes) else {
                return;
            };
            let before = self.state.as_ref().map(intent::State::view);
            let Ok(events) = intent::decide(self.state.as_ref(), &command) else {
                return;
            };
            self.happen(events);
            let after = self.state.as_ref().expect("a command leaves a state").view();
            asked(before.as_ref(), &after);
        } else {
            let Some(observation) = self.observation(bytes) else {
                return;
            };
            let before = self.state.as_ref().map(intent::State::view);
            let events = intent::merge(self.state.as_ref().expect("there is one"), &observation);
            self.happen(events);
            let state = self.state.as_ref().expect("news leaves a state");
            let again = intent::merge(state, &observation);
            assert!(
                again.is_empty(),
                "the same again says nothing new: {observation:?} {again:?}"
            );
            heard(before.as_ref().expect("there was one"), &state.view());
        }
        let state = self.state.as_ref().expect("there is one");
        counted(state.view().totals());
        let one =
            |open: Option<(OperationId, OperationKind)>| open.is_none_or(|(_, kind)| !kind_compensates(kind));
        assert!(
            one(state.open_operation()),
            "what goes back has a lock of its own"
        );
    }
}

fn kind_compensates(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::CompensateVoid | OperationKind::CompensateRefund
    )
}

/// What no command may do.
fn asked(before: Option<&PaymentIntent>, after: &PaymentIntent) {
    let totals = after.totals();
    let old = before.map(|before| *before.totals()).unwrap_or_default();
    if totals.capture_pending > old.capture_pending {
        assert!(
            totals.captured + totals.capture_pending <= totals.capturable_max,
            "more is asked than is held"
        );
    }
    if totals.refund_pending > old.refund_pending {
        let given = totals.refunded + totals.refund_pending + totals.returned + totals.disputed;
        assert!(given <= totals.captured, "more goes back than was taken");
    }
    assert!(
        totals.captured == old.captured && totals.refunded == old.refunded,
        "only news says that money moved"
    );
    let Some(before) = before else { return };
    use IntentStatus::*;
    let (from, to) = (before.status(), after.status());
    let listed = match from {
        Created | Scheduled => [Created, Scheduled, Processing, Cancelled, Failed].contains(&to),
        RequiresAction => [RequiresAction, Processing, Created].contains(&to),
        Processing => [Processing, Created, RequiresAction].contains(&to),
        Authorized => to == Authorized || to == Processing,
        Captured => to == Captured || to == Processing,
        Succeeded | Voided | Cancelled | Failed => to == from,
    };
    assert!(listed, "a command takes {from} to {to}");
}

/// What no news may do.
fn heard(before: &PaymentIntent, after: &PaymentIntent) {
    use IntentStatus::*;
    let (from, to) = (before.status(), after.status());
    let listed = from == to
        || match from {
            // Money that was seen doesn't become a payment that was never asked for.
            Succeeded => [Voided, Failed, Captured, Authorized].contains(&to),
            Voided => [Authorized, Captured, Succeeded, Failed].contains(&to),
            Cancelled | Failed => [Authorized, Captured, Succeeded, Voided, Failed].contains(&to),
            Created | Scheduled | RequiresAction | Processing | Authorized | Captured => to != Scheduled,
        };
    assert!(listed, "news takes {from} to {to}");
    assert_eq!(
        (before.id(), before.amount().currency()),
        (after.id(), after.amount().currency())
    );
    assert!(
        after.operations().len() >= before.operations().len(),
        "no operation is forgotten"
    );
    assert!(after.attempts().len() >= before.attempts().len());
}

fn counted(totals: &Totals) {
    let Totals {
        authorized,
        capturable_max,
        captured,
        capture_pending,
        refunded,
        refund_pending,
        returned,
        disputed,
        ..
    } = *totals;
    for minor in [
        authorized,
        capturable_max,
        captured,
        capture_pending,
        refunded,
        refund_pending,
        returned,
        disputed,
    ] {
        assert!(minor >= 0, "{totals:?}");
    }
    assert!(totals.capturable() >= 0 && totals.refundable() >= 0);
}

fn amount(bytes: &mut Bytes<'_>) -> Money {
    let minor = bytes.minor();
    match bytes.byte() {
        0..=7 => Money::from_minor(minor, Currency::USD),
        _ => Money::from_minor(minor, Currency::EUR),
    }
}

fn approval(bytes: &mut Bytes<'_>) -> Approval {
    let handle = bytes.one_of(&["pay_1", "pay_1", "pay_1", "pay_2"]);
    let echo = match bytes.byte() % 4 {
        0 => Echo::none().amount(amount(bytes)),
        _ => Echo::none(),
    };
    let granted = match bytes.byte() % 8 {
        0 => Granted::nothing().capturable_max(bytes.minor()),
        1..=3 => Granted::nothing(),
        _ => Granted::nothing().multicapture().incremental(),
    };
    Approval::new(handle, echo).granted(granted)
}

fn decline(bytes: &mut Bytes<'_>) -> Decline {
    let kind = bytes.one_of(&[
        DeclineKind::Soft,
        DeclineKind::Hard,
        DeclineKind::AuthenticationRequired,
    ]);
    Decline::new(DeclineCode::DoNotHonor, kind, None)
}

fn handle() -> Handle {
    Handle::from("pay_1")
}

fn authorize_report(bytes: &mut Bytes<'_>) -> AuthorizeReport {
    match bytes.byte() % 12 {
        0 | 1 => AuthorizeReport::Authorized(approval(bytes)),
        2 => AuthorizeReport::PartiallyAuthorized(approval(bytes), amount(bytes)),
        3 | 4 => AuthorizeReport::Captured(approval(bytes)),
        5 => AuthorizeReport::Settled(approval(bytes)),
        6 => AuthorizeReport::Verified(approval(bytes)),
        7 => AuthorizeReport::ActionNeeded(handle(), Action::redirect("https://bank.test"), Echo::none()),
        8 => AuthorizeReport::Pending(handle(), Echo::none()),
        9 => AuthorizeReport::Declined(decline(bytes)),
        10 => AuthorizeReport::Voided(handle(), Echo::none()),
        _ => AuthorizeReport::Unexecuted(handle()),
    }
}

fn standing(bytes: &mut Bytes<'_>) -> Standing {
    let mut standing = Standing::from(authorize_report(bytes));
    let told = bytes.byte();
    if told & 1 != 0 {
        standing = standing.authorized(amount(bytes));
    }
    if told & 2 != 0 {
        standing = standing.captured(amount(bytes));
    }
    if told & 4 != 0 {
        standing = standing.refunded(amount(bytes));
    }
    if told & 8 != 0 {
        standing = standing.returned(amount(bytes));
    }
    if told & 16 != 0 {
        standing = standing.failed(amount(bytes));
    }
    standing
}

fn capture_report(bytes: &mut Bytes<'_>) -> CaptureReport {
    let handle = Handle::from(bytes.one_of(&["cap_1", "cap_2", "pay_1"]));
    match bytes.byte() % 4 {
        0 => CaptureReport::Captured(handle, Echo::none()),
        1 => CaptureReport::Settled(handle, Echo::none()),
        2 => CaptureReport::Pending(handle, Echo::none()),
        _ => CaptureReport::Declined(decline(bytes)),
    }
}

fn close_report(bytes: &mut Bytes<'_>) -> CloseReport {
    match bytes.byte() % 3 {
        0 => CloseReport::Closed(handle(), Echo::none()),
        1 => CloseReport::Pending(handle(), Echo::none()),
        _ => CloseReport::Refused(decline(bytes)),
    }
}

fn refund_report(bytes: &mut Bytes<'_>) -> RefundReport {
    let handle = Handle::from(bytes.one_of(&["re_1", "re_2"]));
    match bytes.byte() % 5 {
        0 => RefundReport::Refunded(handle, Echo::none()),
        1 => RefundReport::Pending(handle, Echo::none()),
        2 => RefundReport::ActionNeeded(handle, Action::new(ActionKind::Wait), Echo::none()),
        3 => RefundReport::Failed(decline(bytes)),
        _ => RefundReport::Cancelled(handle, Echo::none()),
    }
}

/// Rows and events read back as they were written.
fn kept<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let written = serde_json::to_vec(value).expect("it is JSON");
    let read: T = serde_json::from_slice(&written).expect("what was written reads");
    assert_eq!(&read, value);
}

/// The machine of payments.
pub fn intent_machine(data: &[u8]) {
    let (mut payment, mut bytes) = (Payment::new(), Bytes::new(data));
    for _ in 0..STEPS {
        if bytes.is_empty() || payment.made > 1_000 {
            break;
        }
        payment.step_or_make(&mut bytes);
    }
    let Some(state) = &payment.state else { return };
    assert_eq!(
        intent::fold(None, &payment.events).as_ref(),
        Some(state),
        "a state is what its events make of it"
    );
    kept(state);
    payment.events.iter().for_each(kept);
}

impl Payment {
    /// As [`Payment::step`], but that it is made first.
    fn step_or_make(&mut self, bytes: &mut Bytes<'_>) {
        if self.state.is_some() {
            return self.step(bytes);
        }
        let command = self.command(bytes).expect("a payment can be made");
        let events = intent::decide(None, &command).expect("nothing is there yet");
        self.happen(events);
    }

    /// A payment that is taken, to refund.
    fn paid() -> Self {
        let mut payment = Self::new();
        let mut nothing = Bytes::new(&[]);
        let new = NewIntent::payment(money!("10 EUR"));
        let id = PaymentIntentId::from_uuid(Mode::Test, payment.uuid());
        let create = intent::Command::create(payment.now, id, new);
        payment.happen(intent::decide(None, &create).expect("made"));
        let opening = payment.opening(&mut nothing);
        let state = payment.state.clone().expect("made");
        let confirm = intent::Command::confirm(payment.now, &state, opening.clone());
        payment.happen(intent::decide(Some(&state), &confirm).expect("confirmed"));
        let said = AuthorizeReport::Settled(Approval::new("pay_1", Echo::none()));
        let fresh = payment.capture();
        let (operation, attempt) = (opening.operation, opening.attempt);
        let observation = intent::Observation::answer(payment.now, operation, attempt, said.into(), fresh);
        payment.happen(intent::merge(
            payment.state.as_ref().expect("confirmed"),
            &observation,
        ));
        payment
    }
}

/// The machine of refunds.
pub fn refund_machine(data: &[u8]) {
    let (mut payment, mut bytes) = (Payment::paid(), Bytes::new(data));
    let paid = payment.state.clone().expect("paid");
    let parts: Vec<(OperationId, Handle, i64)> = (0..=bytes.byte() % 3)
        .map(|_| (payment.operation(), handle(), bytes.minor().clamp(1, 1_000)))
        .collect();
    let operations: Vec<OperationId> = parts.iter().map(|(operation, ..)| *operation).collect();
    let asked: i64 = parts.iter().map(|(.., minor)| minor).sum();
    let id = RefundId::from_uuid(Mode::Test, payment.uuid());
    let request = refund::Command::request(payment.now, id, &paid, parts).expect("it has an attempt");
    let mut events = refund::decide(None, &request).expect("nothing is there yet");
    let mut state = refund::fold(None, &events).expect("requested");
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        let at = payment.now.after(Duration::from_millis(u64::from(bytes.byte())));
        payment.now = at;
        let operation = match bytes.byte() {
            255 => payment.operation(),
            which => operations[usize::from(which) % operations.len()],
        };
        let before = state.view().status();
        let source = bytes.one_of(&[Source::Driver(operation), Source::Outside]);
        use refund::{Command, Observation};
        let command = match bytes.byte() % 8 {
            0 | 1 => Command::open(at, &state, operation).ok(),
            2 => Some(Command::abandon(at, operation, "a person", at)),
            3 => Some(Command::note_review(at, ReviewReason::UnknownTooLong)),
            4 => Some(Command::clear_review(at, "a person")),
            _ => None,
        };
        let new = if let Some(command) = command {
            let Ok(new) = refund::decide(Some(&state), &command) else {
                continue;
            };
            let after = refund::fold(Some(state.clone()), &new)
                .expect("a state")
                .view()
                .status();
            let over = ![
                RefundStatus::Requested,
                RefundStatus::Pending,
                RefundStatus::RequiresAction,
            ]
            .contains(&before);
            assert!(
                !over || before == after,
                "a command takes {before:?} to {after:?}"
            );
            new
        } else {
            let observation = match bytes.byte() % 4 {
                0 | 1 => Observation::report(at, source, operation, refund_report(&mut bytes)),
                2 => Observation::not_executed(at, source, operation, NotExecuted::NotSent("dns".into())),
                _ => Observation::doubt(at, source, operation, Stage::Sent, "timed out"),
            };
            let new = refund::merge(&state, &observation);
            let after = refund::fold(Some(state.clone()), &new).expect("a state");
            assert!(
                refund::merge(&after, &observation).is_empty(),
                "the same again says nothing new: {observation:?}"
            );
            new
        };
        state = refund::fold(Some(state), &new).expect("an event makes a state of a state");
        events.extend(new);
        assert_eq!(state.view().amount().minor(), asked, "what is asked stays");
        assert!(
            state
                .open_operation()
                .is_none_or(|open| operations.contains(&open))
        );
    }
    assert_eq!(refund::fold(None, &events).as_ref(), Some(&state));
    kept(&state);
    events.iter().for_each(kept);
}

/// The machine of checkout sessions, with a payment beside it.
pub fn session_machine(data: &[u8]) {
    let (mut payment, mut bytes) = (Payment::new(), Bytes::new(data));
    payment.step_or_make(&mut bytes);
    let id = SessionId::from_uuid(Mode::Test, payment.uuid());
    let create = session::Command::create(payment.now, id, NewSession::payment(money!("10 EUR")));
    let mut events = session::decide(None, &create).expect("nothing is there yet");
    let mut state = session::fold(None, &events).expect("made");
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        let (before, at) = (state.view(), payment.now);
        use session::{Command, Observation};
        let intent = *payment.state.as_ref().expect("made").view().id();
        let command = match bytes.byte() % 16 {
            0 | 1 => Some(Command::submit(at, intent)),
            2 => Some(Command::step_back(at)),
            3 => Some(Command::cancel(at)),
            4 => Some(Command::expire(at, ExpiryReason::TimeIsUp)),
            5 => Some(Command::expire(at, ExpiryReason::OutcomeUnknown)),
            6 => {
                payment.now = at.after(Duration::from_secs(600));
                continue;
            }
            _ => None,
        };
        let new = match command {
            Some(command) => {
                let Ok(new) = session::decide(Some(&state), &command) else {
                    continue;
                };
                use SessionStatus::*;
                assert!(
                    ![Succeeded, Expired, Cancelled].contains(&before.status()),
                    "nothing is asked of what is over"
                );
                new
            }
            None => {
                payment.step(&mut bytes);
                let heard = Observation::payment(payment.now, payment.state.as_ref().expect("made"));
                let new = session::merge(&state, &heard);
                let after = session::fold(Some(state.clone()), &new).expect("a state");
                assert!(
                    session::merge(&after, &heard).is_empty(),
                    "the same again says nothing new"
                );
                new
            }
        };
        state = session::fold(Some(state), &new).expect("an event makes a state of a state");
        events.extend(new);
        let (was, is) = (before.status(), state.view().status());
        use SessionStatus::*;
        assert!(was != Succeeded || is == Succeeded, "paid stays paid");
        assert!(
            ![Expired, Cancelled].contains(&was) || is == was,
            "{was:?} is over, and became {is:?}"
        );
        assert!(
            is != Succeeded || was == Succeeded || payment.is_paid(),
            "only a payment pays it"
        );
    }
    assert_eq!(session::fold(None, &events).as_ref(), Some(&state));
    kept(&state);
    events.iter().for_each(kept);
}

impl Payment {
    fn is_paid(&self) -> bool {
        let status = self.state.as_ref().map(|state| state.view().status());
        [
            IntentStatus::Authorized,
            IntentStatus::Captured,
            IntentStatus::Succeeded,
        ]
        .map(Some)
        .contains(&status)
    }
}
