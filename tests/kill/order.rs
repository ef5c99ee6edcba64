//! What a caller does for one order, and what must have come of it.

use std::collections::BTreeMap;
use std::time::Duration;

use paymux::prelude::*;
use paymux::{ErrorKind, IntentStatus, SafeStep, VoidOutcome};

use crate::log::{Fact, Log};
use crate::pause;

/// What becomes of an order follows from its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Made, then paid by a caller who asks twice at once, then given back in part.
    InSteps,
    /// Held, captured in part, given back in part.
    InPart,
    /// Held, and given up.
    Voided,
    /// Declined for good by the first account.
    Declined,
    /// Declined by the first account, so that the second one is asked, which declines it too.
    Cascaded,
    /// Paid at once and given back whole.
    Refunded,
    /// Paid at once by a caller who never comes back after a crash.
    LeftAlone,
}

const HOLD: Duration = Duration::from_millis(20);

impl Order {
    pub(crate) fn of(number: u64) -> Self {
        match number % 8 {
            0 => Self::InSteps,
            1 => Self::InPart,
            2 => Self::Voided,
            3 => Self::Declined,
            4 => Self::LeftAlone,
            5 => Self::Cascaded,
            6 => Self::Refunded,
            _rest => Self::InPart,
        }
    }

    fn card(self) -> PaymentMethod {
        PaymentMethod::card_token(match self {
            Self::Declined => "pm_card_visa_chargeDeclinedStolenCard",
            Self::Cascaded => "pm_card_visa_chargeDeclinedInsufficientFunds",
            Self::InSteps | Self::InPart | Self::Voided | Self::Refunded | Self::LeftAlone => "pm_card_visa",
        })
    }

    /// Whether its caller asks again until there is an answer, also after a crash.
    pub(crate) fn is_asked_again(self) -> bool {
        match self {
            Self::LeftAlone => false,
            Self::InSteps
            | Self::InPart
            | Self::Voided
            | Self::Declined
            | Self::Cascaded
            | Self::Refunded => true,
        }
    }

    /// How it ends: its state, what was taken and what was given back.
    pub(crate) fn end(self, number: u64) -> (IntentStatus, i64, i64) {
        let amount = amount(number).minor();
        match self {
            Self::InSteps => (IntentStatus::Succeeded, amount, BACK.minor()),
            Self::InPart => (IntentStatus::Succeeded, PART.minor(), BACK.minor()),
            Self::Voided => (IntentStatus::Voided, 0, 0),
            Self::Declined | Self::Cascaded => (IntentStatus::Created, 0, 0),
            Self::Refunded => (IntentStatus::Succeeded, amount, amount),
            Self::LeftAlone => (IntentStatus::Succeeded, amount, 0),
        }
    }
}

const PART: Money = money!("15 EUR");
const BACK: Money = money!("4 EUR");

/// Different from its neighbours', so that one order's money isn't taken for another's.
pub(crate) fn amount(number: u64) -> Money {
    let cents = 2_000 + i64::try_from(number % 1_000).unwrap();
    Money::from_minor(cents, BACK.currency())
}

pub(crate) fn reference(number: u64) -> String {
    format!("order-{number}")
}

/// A caller, who serves one order from its payment to its end. Every step has a key of its own that never changes,
/// and what was acknowledged goes into the log.
pub(crate) struct Caller<'c> {
    pub(crate) payments: &'c Payments,
    pub(crate) log: &'c Log,
    pub(crate) number: u64,
}

impl Caller<'_> {
    pub(crate) async fn serve(&self) {
        let order = Order::of(self.number);
        match order {
            Order::InSteps => {
                let id = self.make().await;
                self.confirm_twice(order, &id).await;
                self.refund(&id, RefundOf::Part).await;
            }
            Order::InPart => {
                if let Some(id) = self.pay(order, CaptureMethod::Manual).await {
                    self.capture(&id).await;
                    self.refund(&id, RefundOf::Part).await;
                }
            }
            Order::Voided => {
                if let Some(id) = self.pay(order, CaptureMethod::Manual).await {
                    self.void(&id).await;
                }
            }
            Order::Refunded => {
                if let Some(id) = self.pay(order, CaptureMethod::Automatic).await {
                    self.refund(&id, RefundOf::Whole).await;
                }
            }
            Order::Declined | Order::Cascaded | Order::LeftAlone => {
                self.pay(order, CaptureMethod::Automatic).await;
            }
        }
        self.note(Fact::Done);
    }

    fn note(&self, fact: Fact) {
        self.log.note(self.number, fact);
    }

    fn key(&self, verb: &str) -> IdempotencyKey {
        IdempotencyKey::new(format!("{verb}-{}", self.number)).unwrap()
    }

    fn new_intent(&self, capture: CaptureMethod) -> NewIntent {
        NewIntent::payment(amount(self.number))
            .capture(capture)
            .reference(reference(self.number))
    }

    async fn make(&self) -> PaymentIntentId {
        loop {
            let new = self.new_intent(CaptureMethod::Automatic);
            let reply = Box::pin(self.payments.create_intent(&self.key("make"), new)).await;
            if let Some(intent) = answered(reply) {
                self.note(Fact::Made(*intent.id()));
                return *intent.id();
            }
            pause(HOLD).await;
        }
    }

    async fn confirm_twice(&self, order: Order, id: &PaymentIntentId) {
        let key = self.key("confirm");
        loop {
            let ask = || Box::pin(self.payments.confirm(&key, id, order.card()));
            let (one, other) = tokio::join!(ask(), ask());
            let one = self.paid(answered(one));
            let other = self.paid(answered(other));
            if one.or(other).is_some() {
                return;
            }
            pause(HOLD).await;
        }
    }

    /// The payment, where it was approved.
    async fn pay(&self, order: Order, capture: CaptureMethod) -> Option<PaymentIntentId> {
        let key = self.key("pay");
        loop {
            let new = self.new_intent(capture);
            let paid = Box::pin(self.payments.create_and_confirm(&key, new, order.card())).await;
            if let Some(approved) = self.paid(answered(paid)) {
                return approved;
            }
            pause(HOLD).await;
        }
    }

    /// Notes what is known of a payment. `None` where it isn't known yet.
    fn paid(&self, outcome: Option<PaymentOutcome>) -> Option<Option<PaymentIntentId>> {
        let outcome = outcome?;
        if let PaymentOutcome::Unknown { unknown, .. } = &outcome
            && unknown.safe_step() == &SafeStep::RepeatRequest
        {
            // Whether the store took it isn't known: the repetition may make another one.
            return None;
        }
        let id = *outcome.intent().id();
        self.note(Fact::Made(id));
        match outcome {
            PaymentOutcome::Succeeded(intent) => {
                self.note(Fact::Captured(intent.totals().captured));
                Some(Some(id))
            }
            PaymentOutcome::Authorized(_) => {
                self.note(Fact::Held);
                Some(Some(id))
            }
            PaymentOutcome::Declined { .. } => {
                self.note(Fact::Declined);
                Some(None)
            }
            PaymentOutcome::Unknown { .. } => None,
            other => panic!("order {}: {other:?}", self.number),
        }
    }

    async fn capture(&self, id: &PaymentIntentId) {
        loop {
            let part = CaptureAmount::Part(PART, Rest::Release);
            let reply = Box::pin(self.payments.capture(&self.key("capture"), id, part)).await;
            match answered(reply) {
                Some(CaptureOutcome::Captured(_)) => return self.note(Fact::Captured(PART.minor())),
                Some(CaptureOutcome::Unknown { .. }) | None => pause(HOLD).await,
                Some(other) => panic!("order {}: {other:?}", self.number),
            }
        }
    }

    async fn void(&self, id: &PaymentIntentId) {
        loop {
            let reply = Box::pin(self.payments.void(&self.key("void"), id)).await;
            match answered(reply) {
                Some(VoidOutcome::Voided(_)) => return self.note(Fact::Voided),
                Some(VoidOutcome::Unknown { .. }) | None => pause(HOLD).await,
                Some(other) => panic!("order {}: {other:?}", self.number),
            }
        }
    }

    async fn refund(&self, id: &PaymentIntentId, what: RefundOf) {
        let (new, back): (fn() -> NewRefund, i64) = match what {
            RefundOf::Part => (
                || NewRefund::part(BACK, RefundReason::RequestedByCustomer),
                BACK.minor(),
            ),
            RefundOf::Whole => (
                || NewRefund::available(RefundReason::RequestedByCustomer),
                amount(self.number).minor(),
            ),
        };
        loop {
            let reply = Box::pin(self.payments.refund(&self.key("refund"), id, new())).await;
            match answered(reply) {
                Some(RefundOutcome::Succeeded(_)) => return self.note(Fact::Refunded(back)),
                Some(RefundOutcome::Unknown { .. }) | None => pause(HOLD).await,
                Some(other) => panic!("order {}: {other:?}", self.number),
            }
        }
    }
}

/// The callers of orders that aren't at their end, one after the other, as far as they come back.
pub(crate) async fn serve_again(payments: &Payments, log: &Log, told: &BTreeMap<u64, Vec<Fact>>) {
    for (&number, facts) in told {
        if !facts.contains(&Fact::Done) && Order::of(number).is_asked_again() {
            let caller = Caller {
                payments,
                log,
                number,
            };
            Box::pin(caller.serve()).await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum RefundOf {
    Part,
    Whole,
}

/// What a verb came to; `None` where the caller has to ask again, with the same key.
fn answered<O>(reply: paymux::Result<Reply<O>>) -> Option<O> {
    match reply {
        Ok(reply) => Some(reply.outcome),
        Err(error) => match error.kind() {
            ErrorKind::OperationInProgress { .. }
            | ErrorKind::Stale
            | ErrorKind::Store
            | ErrorKind::NotExecuted => None,
            other => panic!("{other:?}: {error}"),
        },
    }
}
