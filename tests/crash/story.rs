//! The verbs that crash: how each comes about, and how it is called with a key that is always the same.

use std::time::Duration;

use paymux::connector::TimestampedHmac;
use paymux::prelude::*;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::{Bytes, Challenge, Confirm, NewSession, PaymentIntent, ReturnPayload, SessionId};

use crate::world::{ORDER, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    Automatic,
    Manual,
    Declined,
    Cascade,
    Failover,
    HandleFirst,
    HandleFirstManual,
    LostAnswer,
    LostRequest,
    Capture,
    CapturePart,
    Void,
    Release,
    Refund,
    RefundOfTwoCaptures,
    Increment,
    Cancel,
    Submit,
    Complete,
    Return,
    Webhook,
}

/// What a story begins with.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    pub(crate) intent: Option<PaymentIntent>,
    session: Option<SessionId>,
    query: Option<String>,
    posts: Vec<Bytes>,
}

impl Setting {
    fn id(&self) -> &PaymentIntentId {
        self.intent
            .as_ref()
            .expect("the story begins with a payment")
            .id()
    }
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub(crate) fn new_intent() -> NewIntent {
    NewIntent::payment(money!("49.99 EUR")).reference(ORDER)
}

fn card(token: &str) -> PaymentMethod {
    PaymentMethod::card_token(token)
}

impl Story {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Automatic,
        Self::Manual,
        Self::Declined,
        Self::Cascade,
        Self::Failover,
        Self::HandleFirst,
        Self::HandleFirstManual,
        Self::LostAnswer,
        Self::LostRequest,
        Self::Capture,
        Self::CapturePart,
        Self::Void,
        Self::Release,
        Self::Refund,
        Self::RefundOfTwoCaptures,
        Self::Increment,
        Self::Cancel,
        Self::Submit,
        Self::Complete,
        Self::Return,
        Self::Webhook,
    ];

    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::HandleFirst | Self::HandleFirstManual | Self::Submit => Shape::handle_first(),
            Self::RefundOfTwoCaptures => Shape::default().refund_per_capture(),
            Self::Automatic
            | Self::Manual
            | Self::Declined
            | Self::Cascade
            | Self::Failover
            | Self::LostAnswer
            | Self::LostRequest
            | Self::Capture
            | Self::CapturePart
            | Self::Void
            | Self::Release
            | Self::Refund
            | Self::Increment
            | Self::Cancel
            | Self::Complete
            | Self::Return
            | Self::Webhook => Shape::default(),
        }
    }

    pub(crate) fn accounts(self) -> &'static [&'static str] {
        match self {
            Self::Cascade | Self::Failover => &["main", "second"],
            _one => &["main"],
        }
    }

    /// Where the account that is charged may depend on the moment of the crash.
    pub(crate) fn may_charge_elsewhere(self) -> bool {
        self == Self::Failover
    }

    /// Everything before the verb that crashes, without a crash.
    pub(crate) async fn set_up(self, world: &World) -> Setting {
        let payments = world.payments().await;
        let mut setting = Setting::default();
        let manual = || new_intent().capture(CaptureMethod::Manual);
        let pay = async |new: NewIntent, confirm: Confirm| {
            let reply = Box::pin(payments.create_and_confirm(&key("set-up"), new, confirm)).await;
            reply.unwrap().outcome.intent().clone()
        };
        let approved = || Confirm::with(card("tok_approve"));
        match self {
            Self::Automatic
            | Self::Manual
            | Self::Declined
            | Self::Cascade
            | Self::HandleFirst
            | Self::HandleFirstManual
            | Self::LostAnswer
            | Self::LostRequest => {}
            Self::Failover => {
                world
                    .sandbox
                    .faults()
                    .next_at("main", Call::Authorize, FaultKind::NotSent);
            }
            Self::Capture | Self::CapturePart | Self::Void | Self::Increment => {
                setting.intent = Some(pay(manual(), approved()).await);
            }
            Self::Release => {
                let intent = pay(manual(), approved()).await;
                let part = CaptureAmount::Part(money!("20 EUR"), Rest::Keep);
                let taken = payments.capture(&key("part"), intent.id(), part).await.unwrap();
                setting.intent = Some(taken.outcome.intent().clone());
            }
            Self::Refund => setting.intent = Some(pay(new_intent(), approved()).await),
            Self::RefundOfTwoCaptures => {
                let intent = pay(manual(), approved()).await;
                for (name, amount) in [("one", money!("20 EUR")), ("two", money!("15 EUR"))] {
                    let part = CaptureAmount::Part(amount, Rest::Keep);
                    let taken = payments.capture(&key(name), intent.id(), part).await.unwrap();
                    assert!(matches!(taken.outcome, CaptureOutcome::Captured(_)));
                }
                setting.intent = Some(intent);
            }
            Self::Cancel => {
                setting.intent = Some(pay(new_intent(), Confirm::with(card("tok_redirect"))).await);
            }
            Self::Complete => {
                let confirm = approved().challenge(Challenge::Required);
                let intent = pay(new_intent(), confirm).await;
                setting.query = Some(world.sandbox.payer_approves(handle(&intent)).unwrap());
                setting.intent = Some(intent);
            }
            Self::Return => {
                let intent = pay(new_intent(), Confirm::with(card("tok_redirect"))).await;
                world.sandbox.payer_approves(handle(&intent)).unwrap();
                setting.intent = Some(intent);
            }
            Self::Submit => {
                let new = NewSession::payment(money!("49.99 EUR")).reference(ORDER);
                let made = payments.create_session(&key("session"), new).await.unwrap();
                setting.session = Some(*made.outcome.id());
            }
            Self::Webhook => {
                let confirm = Confirm::with(card("tok_pending_then_settled"));
                setting.intent = Some(pay(new_intent(), confirm).await);
                world.clock.advance(Duration::from_secs(3_601));
                setting.posts = world
                    .sandbox
                    .webhooks()
                    .into_iter()
                    .map(|(_, body)| body)
                    .collect();
                assert!(!setting.posts.is_empty());
            }
        }
        setting
    }

    /// The verb, with the same key however often it is called: in words, what it said.
    pub(crate) async fn act(
        self,
        world: &World,
        engine: &Orchestrator,
        setting: &Setting,
    ) -> paymux::Result<String> {
        let payments = engine.tenant(World::tenant());
        let verb = key("the-verb");
        let manual = || new_intent().capture(CaptureMethod::Manual);
        let pay = async |new: NewIntent, token: &str| {
            let reply = Box::pin(payments.create_and_confirm(&verb, new, card(token))).await?;
            Ok(said(&reply.outcome, reply.outcome.intent()))
        };
        match self {
            Self::Automatic | Self::HandleFirst | Self::Failover => pay(new_intent(), "tok_approve").await,
            Self::Manual | Self::HandleFirstManual => pay(manual(), "tok_approve").await,
            Self::Declined => pay(new_intent(), "tok_decline_stolen_card").await,
            Self::Cascade => pay(new_intent(), "tok_decline_insufficient_funds").await,
            Self::LostAnswer => pay(new_intent(), "tok_charged_answer_lost").await,
            Self::LostRequest => pay(new_intent(), "tok_request_lost").await,
            Self::Capture | Self::CapturePart => {
                let amount = match self {
                    Self::Capture => CaptureAmount::Remaining,
                    _part => CaptureAmount::Part(money!("12.34 EUR"), Rest::Keep),
                };
                let reply = Box::pin(payments.capture(&verb, setting.id(), amount)).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Void => {
                let reply = Box::pin(payments.void(&verb, setting.id())).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Release => {
                let reply = Box::pin(payments.release(&verb, setting.id())).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Cancel => {
                let reply = Box::pin(payments.cancel(&verb, setting.id())).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Increment => {
                let reply = Box::pin(payments.increment(&verb, setting.id(), money!("10 EUR"))).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Refund | Self::RefundOfTwoCaptures => {
                let part = NewRefund::part(money!("30 EUR"), RefundReason::GoodsReturned);
                let reply = Box::pin(payments.refund(&verb, setting.id(), part)).await?;
                Ok(said(&reply.outcome, reply.outcome.refund()))
            }
            Self::Submit => {
                let session = setting.session.expect("the story begins with a session");
                let reply = Box::pin(payments.submit(&verb, &session, card("tok_approve"))).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Complete | Self::Return => {
                let payload = ReturnPayload::query(setting.query.clone());
                let outcome = Box::pin(payments.complete(setting.id(), payload)).await?;
                Ok(said(&outcome, outcome.intent()))
            }
            Self::Webhook => {
                let signature = TimestampedHmac {
                    header: "sandbox-signature",
                    tolerance: Duration::from_secs(300),
                };
                let mut received = String::new();
                for body in &setting.posts {
                    let secret = world.sandbox.webhook_secret();
                    let headers = signature.sign(body, &secret, paymux::Clock::now(&world.clock));
                    let reply = engine
                        .handle_webhook(&World::endpoint("main"), &headers, body.clone())
                        .await;
                    received.push_str(&format!("{:?}", reply.received));
                }
                Ok(received)
            }
        }
    }
}

pub(crate) fn handle(intent: &PaymentIntent) -> &str {
    intent.attempts().last().unwrap().handle().unwrap()
}

/// An outcome's name, and the resource as a caller sees it.
fn said(outcome: &impl std::fmt::Debug, resource: &impl serde::Serialize) -> String {
    let text = format!("{outcome:?}");
    let word = text.split(['(', ' ', '{']).next().unwrap_or_default();
    format!("{word} {}", serde_json::to_string(resource).unwrap())
}
