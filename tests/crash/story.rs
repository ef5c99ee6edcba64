//! The verbs that crash: how each comes about, and how it is called with a key that is always the same.

use std::sync::Arc;
use std::time::Duration;

use paymux::connector::{Ability, TimestampedHmac};
use paymux::prelude::*;
use paymux::sandbox::{Call, FaultKind, Shape};
use paymux::store::StoreTime;
use paymux::{
    AcceptDuplicateRisk, Bytes, Challenge, Clock, Confirm, ErrorKind, IntentUpdate, NewSession,
    OnLatePayment, PartialAuthorization, PaymentIntent, Policy, ReturnPayload, ReverseOutcome, ReviewVerdict,
    RiskCheck, RiskStages, RiskVerdict, SessionId, TestClock, UnknownQuery,
};

use crate::boundary::Boundaries;
use crate::world::{Host, ORDER, World};

macro_rules! stories {
    ($($name:ident: $words:literal, $ends:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Story { $($name,)* }

        impl Story {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What happens in it, in words.
            pub(crate) fn words(self) -> &'static str {
                match self { $(Self::$name => $words),* }
            }

            /// The payment's status when nothing more happens by itself.
            pub(crate) fn ends(self) -> &'static str {
                match self { $(Self::$name => $ends),* }
            }
        }
    };
}

stories! {
    Automatic: "paid in one call", "Succeeded";
    Manual: "authorized in one call", "Authorized";
    HandleFirst: "made, then paid", "Succeeded";
    HandleFirstManual: "made, then authorized", "Authorized";
    CreateIntent: "made alone", "Created";
    Update: "changed before it is confirmed", "Created";
    ConfirmLater: "confirmed after it was made", "Succeeded";
    ConfirmAnother: "paid otherwise, the bank's page closed first", "Succeeded";
    Declined: "declined, hard", "Created";
    Cascade: "declined, soft, by both accounts", "Created";
    Failover: "not sent by one account, paid at the other", "Succeeded";
    NotSent: "not sent by any account, then tried again", "Succeeded";
    Refused: "refused by every account, then tried again", "Succeeded";
    LostAnswer: "paid, the answer lost", "Succeeded";
    LostRequest: "the request lost", "Succeeded";
    ServerError: "paid, answered with a 500", "Succeeded";
    AuthenticationRequired: "declined, then challenged", "Created";
    Fingerprint: "fingerprinted, then challenged", "Created";
    Challenged: "challenged, then paid", "Succeeded";
    ChallengeFailed: "the challenge failed", "Created";
    PartVoided: "authorized in part, and voided", "Voided";
    PartAccepted: "authorized in part, and accepted", "Authorized";
    Pending: "accepted, paid an hour later", "Succeeded";
    PendingSynced: "pending, then settled, by a sync", "Succeeded";
    PendingDeclined: "pending, then declined, by a sync", "Created";
    Complete: "completed with what the payer brought back", "Succeeded";
    Return: "the payer came back from the bank", "Succeeded";
    Webhook: "settled, by webhooks", "Succeeded";
    WebhookAuthoritative: "settled, by webhooks that are the news", "Succeeded";
    WebhookParked: "paid, webhooks having come before", "Succeeded";
    Capture: "captured whole", "Succeeded";
    CapturePart: "captured in part", "Authorized";
    CaptureFinal: "captured a second time, finally", "Succeeded";
    CaptureDeclined: "a capture declined", "Authorized";
    CaptureFailsLater: "a capture that failed days later", "Authorized";
    CaptureLost: "a capture whose answer was lost", "Succeeded";
    Increment: "incremented", "Authorized";
    Void: "voided", "Voided";
    VoidRefused: "a void refused", "Authorized";
    Release: "the rest released", "Succeeded";
    Cancel: "cancelled at the bank's page", "Cancelled";
    Refund: "refunded in part", "Succeeded";
    RefundOfTwoCaptures: "refunded over two captures", "Authorized";
    RefundFails: "a refund that fails at once", "Succeeded";
    RefundPending: "a refund that completes an hour later", "Succeeded";
    RefundLost: "a refund whose answer was lost", "Succeeded";
    RefundFailsLater: "a refund that fails days later", "Succeeded";
    ReverseCreated: "reversed before it is confirmed", "Cancelled";
    ReverseActing: "reversed at the bank's page", "Cancelled";
    ReverseHeld: "reversed while it is held", "Voided";
    ReverseTakenInPart: "reversed when a part is taken", "Succeeded";
    ReverseTaken: "reversed when it is taken", "Succeeded";
    Scheduled: "scheduled, its day comes", "Succeeded";
    IntentExpiry: "expired unconfirmed", "Cancelled";
    IntentExpiryActing: "expired at the bank's page", "Cancelled";
    CreateSession: "a session made", "none";
    CancelSession: "a session cancelled", "none";
    SessionExpiry: "a session expired", "none";
    Submit: "a session paid", "Succeeded";
    StepBack: "a buyer who steps back", "Cancelled";
    LatePayment: "money for an expired session, refunded", "Succeeded";
    LateRefunded: "paid twice by the payer, one refunded", "Succeeded";
    LateVoided: "held twice by the payer, one voided", "Authorized";
    RiskAllowed: "checked after its authorization, allowed", "Succeeded";
    RiskRefused: "checked after its authorization, refused", "Voided";
    ReviewApproved: "held by the check, approved by a person", "Succeeded";
    ReviewRefused: "held by the check, refused by a person", "Voided";
    Superseded: "the bank's page given up by a person", "Created";
    Abandoned: "unknown, abandoned, and paid after all", "Created";
    SettledExecuted: "unknown, settled by hand as executed", "Succeeded";
    SettledNotExecuted: "unknown, settled by hand as not executed", "Created";
    RecoveredPayment: "recovery of a payment", "Succeeded";
    RecoveredHandle: "recovery of a payment that has its handle", "Succeeded";
    RecoveredCapture: "recovery of a capture", "Succeeded";
    RecoveredRefund: "recovery of a refund", "Succeeded";
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
    fn intent(&self) -> &PaymentIntent {
        self.intent.as_ref().expect("the story begins with a payment")
    }

    fn id(&self) -> &PaymentIntentId {
        self.intent().id()
    }

    fn session(&self) -> &SessionId {
        self.session.as_ref().expect("the story begins with a session")
    }
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

pub(crate) fn new_intent() -> NewIntent {
    NewIntent::payment(money!("49.99 EUR")).reference(ORDER)
}

fn held_intent() -> NewIntent {
    new_intent().capture(CaptureMethod::Manual)
}

fn new_session() -> NewSession {
    NewSession::payment(money!("49.99 EUR")).reference(ORDER)
}

fn card(token: &str) -> PaymentMethod {
    PaymentMethod::card_token(token)
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Says this after each authorization.
#[derive(Debug)]
struct Says(RiskVerdict);

#[async_trait::async_trait]
impl RiskCheck for Says {
    fn stages(&self) -> RiskStages {
        RiskStages::BeforeAndAfter
    }

    async fn before(&self, _: &Tenant, _: &PaymentIntent, _: &PaymentMethod) -> paymux::Result<RiskVerdict> {
        Ok(RiskVerdict::Allow)
    }

    async fn after(&self, _: &Tenant, _: &PaymentIntent) -> paymux::Result<RiskVerdict> {
        Ok(self.0)
    }
}

impl Story {
    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::HandleFirst | Self::HandleFirstManual | Self::Submit | Self::RecoveredHandle => {
                Shape::handle_first()
            }
            Self::RefundOfTwoCaptures => Shape::default().refund_per_capture(),
            Self::WebhookAuthoritative | Self::WebhookParked => Shape::default().authoritative_webhooks(),
            Self::LatePayment => Shape::default().without(Ability::Cancel),
            Self::SettledExecuted | Self::SettledNotExecuted => Shape::bare(),
            // Its payments can't be read, and what it is sent is known by its key for a day.
            Self::Abandoned => Shape::default()
                .without(Ability::Read)
                .without(Ability::LookUp)
                .authoritative_webhooks(),
            _whole => Shape::default(),
        }
    }

    pub(crate) fn accounts(self) -> &'static [&'static str] {
        match self {
            Self::Cascade | Self::Failover | Self::NotSent | Self::Refused | Self::AuthenticationRequired => {
                &["main", "second"]
            }
            _one => &["main"],
        }
    }

    pub(crate) fn host(self) -> Host {
        match self {
            Self::PartVoided => {
                |builder| builder.policy(Policy::new().partial_authorization(PartialAuthorization::Void))
            }
            Self::PartAccepted => {
                |builder| builder.policy(Policy::new().partial_authorization(PartialAuthorization::Accept))
            }
            Self::LatePayment => {
                |builder| builder.policy(Policy::new().on_late_payment(OnLatePayment::Refund))
            }
            Self::RiskAllowed => |builder| builder.risk(Says(RiskVerdict::Allow)),
            Self::RiskRefused => |builder| builder.risk(Says(RiskVerdict::Refuse)),
            Self::ReviewApproved | Self::ReviewRefused => |builder| builder.risk(Says(RiskVerdict::Hold)),
            _plain => |builder| builder,
        }
    }

    /// Where the account that is charged may depend on the moment of the crash.
    pub(crate) fn may_charge_elsewhere(self) -> bool {
        matches!(self, Self::Failover | Self::NotSent | Self::Refused)
    }

    /// What was begun ends only when it is asked for again: a person decides, or a processor posts until it is heard.
    pub(crate) fn needs_its_caller(self) -> bool {
        matches!(
            self,
            Self::CaptureFailsLater
                | Self::RefundFailsLater
                | Self::WebhookParked
                | Self::LatePayment
                | Self::LateRefunded
                | Self::LateVoided
                | Self::ReviewApproved
                | Self::ReviewRefused
                | Self::Abandoned
                | Self::SettledExecuted
                | Self::SettledNotExecuted
        )
    }

    /// Everything before the verb that crashes, without a crash.
    pub(crate) async fn set_up(self, world: &World) -> Setting {
        let payments = world.payments().await;
        let clerk = payments.operator(Actor::person("clerk"));
        let mut setting = Setting::default();
        let confirmed = async |new: NewIntent, confirm: Confirm| {
            let reply = Box::pin(payments.create_and_confirm(&key("set-up"), new, confirm)).await;
            reply.unwrap().outcome.intent().clone()
        };
        let pay = async |new: NewIntent, token: &str| confirmed(new, Confirm::with(card(token))).await;
        let capture = async |name: &str, intent: &PaymentIntent, amount: Money| {
            let part = CaptureAmount::Part(amount, Rest::Keep);
            let taken = Box::pin(payments.capture(&key(name), intent.id(), part))
                .await
                .unwrap();
            taken.outcome.intent().clone()
        };
        let faults = world.sandbox.faults();
        let (first, second) = (key("set-up"), key("two"));
        let now = || Clock::now(&world.clock);
        match self {
            Self::Automatic
            | Self::Manual
            | Self::HandleFirst
            | Self::HandleFirstManual
            | Self::CreateIntent
            | Self::Declined
            | Self::Cascade
            | Self::LostAnswer
            | Self::LostRequest
            | Self::ServerError
            | Self::AuthenticationRequired
            | Self::PartVoided
            | Self::PartAccepted
            | Self::Pending
            | Self::CreateSession
            | Self::RiskAllowed
            | Self::RiskRefused => {}
            Self::Failover => {
                faults.next_at("main", Call::Authorize, FaultKind::NotSent);
            }
            Self::Update | Self::ConfirmLater | Self::ReverseCreated | Self::NotSent | Self::Refused => {
                let made = payments.create_intent(&key("set-up"), new_intent()).await;
                setting.intent = Some(made.unwrap().outcome);
                let fault = match self {
                    Self::NotSent => Some(FaultKind::NotSent),
                    Self::Refused => Some(FaultKind::Refuse(422)),
                    _made => None,
                };
                if let Some(fault) = fault {
                    faults.next_at("main", Call::Authorize, fault);
                    faults.next_at("second", Call::Authorize, fault);
                }
            }
            Self::Capture
            | Self::CapturePart
            | Self::Void
            | Self::Increment
            | Self::ReverseHeld
            | Self::CaptureLost => {
                setting.intent = Some(pay(held_intent(), "tok_approve").await);
                if self == Self::CaptureLost {
                    faults.next(Call::Capture, FaultKind::DropAnswer);
                }
            }
            Self::CaptureDeclined => setting.intent = Some(pay(held_intent(), "tok_capture_declined").await),
            Self::VoidRefused => setting.intent = Some(pay(held_intent(), "tok_void_refused").await),
            Self::Release | Self::CaptureFinal | Self::ReverseTakenInPart => {
                let intent = pay(held_intent(), "tok_approve").await;
                setting.intent = Some(capture("part", &intent, money!("20 EUR")).await);
            }
            Self::CaptureFailsLater => {
                let intent = pay(held_intent(), "tok_approve").await;
                let intent = capture("part", &intent, money!("20 EUR")).await;
                world.sandbox.webhooks();
                world.sandbox.fail_capture(handle(&intent)).unwrap();
                setting.posts = posts(world);
                setting.intent = Some(intent);
            }
            Self::Refund | Self::ReverseTaken | Self::RefundLost => {
                setting.intent = Some(pay(new_intent(), "tok_approve").await);
                if self == Self::RefundLost {
                    faults.next(Call::Refund, FaultKind::DropAnswer);
                }
            }
            Self::RefundFails => setting.intent = Some(pay(new_intent(), "tok_refund_fails").await),
            Self::RefundPending => setting.intent = Some(pay(new_intent(), "tok_refund_pending").await),
            Self::RefundFailsLater => {
                let intent = pay(new_intent(), "tok_refund_fails_later").await;
                let part = NewRefund::part(money!("30 EUR"), RefundReason::GoodsReturned);
                let _ = Box::pin(payments.refund(&key("refund"), intent.id(), part))
                    .await
                    .unwrap();
                world.sandbox.webhooks();
                world.clock.advance(3 * DAY);
                setting.posts = posts(world);
                setting.intent = Some(intent);
            }
            Self::RefundOfTwoCaptures => {
                let intent = pay(held_intent(), "tok_approve").await;
                for (name, amount) in [("one", money!("20 EUR")), ("two", money!("15 EUR"))] {
                    let taken = capture(name, &intent, amount).await;
                    assert!(taken.totals().captured >= amount.minor());
                }
                setting.intent = Some(intent);
            }
            Self::Cancel | Self::ReverseActing | Self::ConfirmAnother | Self::Superseded => {
                setting.intent = Some(pay(new_intent(), "tok_redirect").await);
            }
            Self::Complete => {
                let confirm = Confirm::with(card("tok_approve")).challenge(Challenge::Required);
                let intent = confirmed(new_intent(), confirm).await;
                setting.query = Some(world.sandbox.payer_approves(handle(&intent)).unwrap());
                setting.intent = Some(intent);
            }
            Self::Fingerprint | Self::Challenged | Self::ChallengeFailed => {
                let intent = pay(new_intent(), "tok_fingerprint_then_challenge").await;
                let mut query = world.sandbox.payer_approves(handle(&intent)).unwrap();
                if self != Self::Fingerprint {
                    let payload = ReturnPayload::query(Some(query));
                    let _ = Box::pin(payments.complete(intent.id(), payload)).await.unwrap();
                    query = match self {
                        Self::Challenged => world.sandbox.payer_approves(handle(&intent)).unwrap(),
                        _failed => world.sandbox.payer_refuses(handle(&intent)).unwrap(),
                    };
                }
                setting.query = Some(query);
                setting.intent = Some(intent);
            }
            Self::Return => {
                let intent = pay(new_intent(), "tok_redirect").await;
                world.sandbox.payer_approves(handle(&intent)).unwrap();
                setting.intent = Some(intent);
            }
            Self::PendingSynced | Self::PendingDeclined => {
                let token = match self {
                    Self::PendingSynced => "tok_pending_then_settled",
                    _declined => "tok_pending_then_declined",
                };
                setting.intent = Some(pay(new_intent(), token).await);
                world.clock.advance(HOUR + MINUTE);
            }
            Self::Webhook | Self::WebhookAuthoritative => {
                setting.intent = Some(pay(new_intent(), "tok_pending_then_settled").await);
                world.clock.advance(HOUR + MINUTE);
                setting.posts = posts(world);
            }
            Self::WebhookParked => {
                // What the processor will post of the first payment: the same seed does the same elsewhere.
                let clock = TestClock::new();
                let store = MemoryStore::with_time(StoreTime::Injected(Arc::new(clock.clone())));
                let twin = World::of(self, clock, Arc::new(store));
                let confirm = Confirm::with(card("tok_pending_then_settled"));
                let engine = twin.payments().await;
                let reply = Box::pin(engine.create_and_confirm(&key("twin"), new_intent(), confirm)).await;
                twin.sandbox
                    .settle(handle(reply.unwrap().outcome.intent()))
                    .unwrap();
                setting.posts = posts(&twin).iter().map(nameless).collect();
                let engine = world.engine(&Boundaries::default()).await;
                post(world, &engine, &setting.posts).await;
            }
            Self::Scheduled => {
                let new = new_intent().scheduled_for(now().after(DAY));
                let method = card("tok_approve");
                let reply = payments.schedule(&key("set-up"), new, method).await.unwrap();
                world.clock.advance(DAY + MINUTE);
                setting.intent = Some(reply.outcome);
            }
            Self::IntentExpiry => {
                let new = new_intent().expires_at(now().after(10 * MINUTE));
                let made = payments.create_intent(&key("set-up"), new).await.unwrap();
                world.clock.advance(11 * MINUTE);
                setting.intent = Some(made.outcome);
            }
            Self::IntentExpiryActing => {
                let new = new_intent().expires_at(now().after(10 * MINUTE));
                setting.intent = Some(pay(new, "tok_redirect").await);
                world.clock.advance(11 * MINUTE);
            }
            Self::Submit | Self::CancelSession | Self::SessionExpiry | Self::StepBack | Self::LatePayment => {
                let made = payments.create_session(&key("session"), new_session()).await;
                let id = *made.unwrap().outcome.id();
                setting.session = Some(id);
                match self {
                    Self::SessionExpiry => world.clock.advance(31 * MINUTE),
                    Self::StepBack => {
                        let submitted = payments.submit(&first, &id, card("tok_redirect"));
                        setting.intent = Some(Box::pin(submitted).await.unwrap().outcome.intent().clone());
                    }
                    Self::LatePayment => {
                        faults.next(Call::Authorize, FaultKind::DropAnswer);
                        let submitted = payments.submit(&first, &id, card("tok_approve"));
                        setting.intent = Some(Box::pin(submitted).await.unwrap().outcome.intent().clone());
                        world.sandbox.down();
                        Box::pin(world.pass_hours(26)).await;
                        world.sandbox.up();
                        setting.posts = posts(world);
                    }
                    _open => {}
                }
            }
            Self::LateRefunded | Self::LateVoided => {
                let new = || match self {
                    Self::LateRefunded => new_intent(),
                    _held => held_intent(),
                };
                let intent = pay(new(), "tok_redirect").await;
                let page = handle(&intent).to_owned();
                supersede(&clerk, &intent).await.unwrap();
                let paid = payments.confirm(&second, intent.id(), card("tok_approve"));
                let _ = Box::pin(paid).await.unwrap();
                world.sandbox.webhooks();
                world.sandbox.payer_approves(&page).unwrap();
                setting.posts = posts(world);
                setting.intent = Some(intent);
            }
            Self::ReviewApproved | Self::ReviewRefused => {
                setting.intent = Some(pay(new_intent(), "tok_approve").await);
                let engine = world.engine(&Boundaries::default()).await;
                Box::pin(engine.recover_due(10)).await.unwrap();
            }
            Self::Abandoned | Self::SettledExecuted | Self::SettledNotExecuted => {
                let fault = match self {
                    Self::SettledNotExecuted => FaultKind::DropRequest,
                    _executed => FaultKind::DropAnswer,
                };
                faults.next(Call::Authorize, fault);
                setting.intent = Some(pay(new_intent(), "tok_approve").await);
                if self == Self::Abandoned {
                    setting.posts = posts(world);
                    world.sandbox.down();
                    Box::pin(world.pass_hours(25)).await;
                    world.sandbox.up();
                }
            }
            Self::RecoveredPayment
            | Self::RecoveredHandle
            | Self::RecoveredCapture
            | Self::RecoveredRefund => {
                let intent = match self {
                    Self::RecoveredCapture => Some(pay(held_intent(), "tok_approve").await),
                    Self::RecoveredRefund => Some(pay(new_intent(), "tok_approve").await),
                    _none => None,
                };
                let boundaries = Boundaries::cut_named("after POST");
                let dying = world.engine(&boundaries).await.tenant(World::tenant());
                let cut = match &intent {
                    None => {
                        let pays = dying.create_and_confirm(&second, new_intent(), card("tok_approve"));
                        boundaries.run(Box::pin(pays)).await.is_none()
                    }
                    Some(intent) if self == Self::RecoveredCapture => {
                        let takes = dying.capture(&second, intent.id(), CaptureAmount::Remaining);
                        boundaries.run(Box::pin(takes)).await.is_none()
                    }
                    Some(intent) => {
                        let part = NewRefund::part(money!("30 EUR"), RefundReason::GoodsReturned);
                        let gives = dying.refund(&second, intent.id(), part);
                        boundaries.run(Box::pin(gives)).await.is_none()
                    }
                };
                assert!(cut, "it dies before recovery");
                world.clock.advance(MINUTE);
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
        let pay = async |new: NewIntent, token: &str| {
            let reply = Box::pin(payments.create_and_confirm(&verb, new, card(token))).await?;
            Ok(said(&reply.outcome, reply.outcome.intent()))
        };
        match self {
            Self::Automatic | Self::HandleFirst | Self::Failover | Self::RiskAllowed | Self::RiskRefused => {
                pay(new_intent(), "tok_approve").await
            }
            Self::Manual | Self::HandleFirstManual => pay(held_intent(), "tok_approve").await,
            Self::Declined => pay(new_intent(), "tok_decline_stolen_card").await,
            Self::Cascade => pay(new_intent(), "tok_decline_insufficient_funds").await,
            Self::NotSent | Self::Refused => {
                match Box::pin(payments.confirm(&verb, setting.id(), card("tok_approve"))).await {
                    // Nothing was executed by anybody: the key is free again, and its repetition tries again.
                    Err(error) if error.kind() == &ErrorKind::NotExecuted => Ok("NotExecuted".to_owned()),
                    Err(error) => Err(error),
                    Ok(reply) => Ok(said(&reply.outcome, reply.outcome.intent())),
                }
            }
            Self::LostAnswer => pay(new_intent(), "tok_charged_answer_lost").await,
            Self::LostRequest => pay(new_intent(), "tok_request_lost").await,
            Self::ServerError => pay(new_intent(), "tok_500_though_charged").await,
            Self::AuthenticationRequired => pay(new_intent(), "tok_authentication_required").await,
            Self::PartVoided | Self::PartAccepted => pay(held_intent(), "tok_partially_authorized").await,
            Self::Pending => pay(new_intent(), "tok_pending_then_settled").await,
            Self::WebhookParked => {
                let said = pay(new_intent(), "tok_pending_then_settled").await?;
                let waits = world.sandbox.ledger().payments()[0].clone();
                let _already = world.sandbox.settle(&waits.handle);
                engine.recover_due(10).await?;
                Ok(said)
            }
            Self::CreateIntent => {
                let reply = payments.create_intent(&verb, new_intent()).await?;
                Ok(said(&"Created", &reply.outcome))
            }
            Self::Update => {
                let change = IntentUpdate::new().amount(money!("59.99 EUR"));
                let done = payments.update(setting.intent(), change).await;
                Ok(once(done)?.map_or_else(String::new, |intent| said(&"Updated", &intent)))
            }
            Self::ConfirmLater | Self::ConfirmAnother => {
                let reply = Box::pin(payments.confirm(&verb, setting.id(), card("tok_approve"))).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Capture
            | Self::CapturePart
            | Self::CaptureFinal
            | Self::CaptureDeclined
            | Self::CaptureLost => {
                let amount = match self {
                    Self::CapturePart => CaptureAmount::Part(money!("12.34 EUR"), Rest::Keep),
                    Self::CaptureFinal => CaptureAmount::Part(money!("12.34 EUR"), Rest::Release),
                    _whole => CaptureAmount::Remaining,
                };
                let reply = Box::pin(payments.capture(&verb, setting.id(), amount)).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::Void | Self::VoidRefused => {
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
            Self::Refund
            | Self::RefundOfTwoCaptures
            | Self::RefundFails
            | Self::RefundPending
            | Self::RefundLost => {
                let part = NewRefund::part(money!("30 EUR"), RefundReason::GoodsReturned);
                let reply = Box::pin(payments.refund(&verb, setting.id(), part)).await?;
                Ok(said(&reply.outcome, reply.outcome.refund()))
            }
            Self::ReverseCreated
            | Self::ReverseActing
            | Self::ReverseHeld
            | Self::ReverseTakenInPart
            | Self::ReverseTaken => {
                let why = RefundReason::RequestedByCustomer;
                let reply = Box::pin(payments.reverse(&verb, setting.id(), why)).await?;
                Ok(match &reply.outcome {
                    ReverseOutcome::Cancelled(void)
                    | ReverseOutcome::Voided(void)
                    | ReverseOutcome::Released(void) => said(void, void.intent()),
                    ReverseOutcome::Refunded(refund) => said(refund, refund.refund()),
                    ReverseOutcome::PartlyTaken { refunded, .. } => {
                        said(&reply.outcome, refunded.as_ref().unwrap().refund())
                    }
                })
            }
            Self::Complete | Self::Return | Self::Fingerprint | Self::Challenged | Self::ChallengeFailed => {
                let payload = ReturnPayload::query(setting.query.clone());
                let outcome = Box::pin(payments.complete(setting.id(), payload)).await?;
                Ok(said(&outcome, outcome.intent()))
            }
            Self::PendingSynced | Self::PendingDeclined => {
                let intent = Box::pin(payments.sync(setting.id())).await?;
                Ok(said(&"Synced", &intent))
            }
            Self::Webhook | Self::WebhookAuthoritative => Ok(post(world, engine, &setting.posts).await),
            Self::LatePayment => {
                let received = post(world, engine, &setting.posts).await;
                Box::pin(engine.recover_due(10)).await?;
                let clerk = payments.operator(Actor::person("clerk"));
                let note = Evidence::note("the money came");
                let seen = clerk.review(setting.id(), ReviewVerdict::Approve, note);
                let _already = once(Box::pin(seen).await)?;
                Ok(received)
            }
            Self::CaptureFailsLater | Self::RefundFailsLater | Self::LateRefunded | Self::LateVoided => {
                let received = post(world, engine, &setting.posts).await;
                Box::pin(engine.recover_due(10)).await?;
                Ok(received)
            }
            Self::Scheduled
            | Self::RecoveredPayment
            | Self::RecoveredHandle
            | Self::RecoveredCapture
            | Self::RecoveredRefund => {
                Box::pin(engine.recover_due(10)).await?;
                Ok("recovered".to_owned())
            }
            Self::IntentExpiry | Self::IntentExpiryActing | Self::SessionExpiry => {
                Box::pin(engine.expire_due(10)).await?;
                Ok("expired".to_owned())
            }
            Self::CreateSession => {
                let reply = payments.create_session(&verb, new_session()).await?;
                Ok(format!("{:?}", reply.outcome))
            }
            Self::CancelSession => {
                let done = Box::pin(payments.cancel_session(setting.session())).await;
                Ok(format!("{:?}", once(done)?.map(|session| session.status())))
            }
            Self::StepBack => {
                let done = Box::pin(payments.step_back(setting.session())).await;
                Ok(format!("{:?}", once(done)?.map(|session| session.status())))
            }
            Self::Submit => {
                let reply = Box::pin(payments.submit(&verb, setting.session(), card("tok_approve"))).await?;
                Ok(said(&reply.outcome, reply.outcome.intent()))
            }
            Self::ReviewApproved | Self::ReviewRefused => {
                let verdict = match self {
                    Self::ReviewApproved => ReviewVerdict::Approve,
                    _refused => ReviewVerdict::Refuse,
                };
                let clerk = payments.operator(Actor::person("clerk"));
                let note = Evidence::note("the payer was called");
                let done = Box::pin(clerk.review(setting.id(), verdict, note)).await;
                Ok(once(done)?.map_or_else(String::new, |intent| said(&"Reviewed", &intent)))
            }
            Self::Superseded => {
                let clerk = payments.operator(Actor::person("clerk"));
                let done = Box::pin(supersede(&clerk, setting.intent())).await;
                Ok(once(done)?.map_or_else(String::new, |intent| said(&"Superseded", &intent)))
            }
            Self::Abandoned | Self::SettledExecuted | Self::SettledNotExecuted => {
                let clerk = payments.operator(Actor::person("clerk"));
                let open = clerk.unknowns(UnknownQuery::new()).page(10, None).await?.items;
                let note = || Evidence::note("as the dashboard says");
                if let Some(seen) = open.first() {
                    let verdict = match self {
                        Self::SettledExecuted => Verdict::Executed(money!("49.99 EUR"), Some(found(world))),
                        _not => Verdict::NotExecuted,
                    };
                    match self {
                        Self::Abandoned => {
                            once(Box::pin(clerk.abandon(seen, note())).await)?;
                        }
                        _settled => {
                            once(Box::pin(clerk.settle_by_hand(seen, verdict, note())).await)?;
                        }
                    }
                }
                let received = post(world, engine, &setting.posts).await;
                Box::pin(engine.recover_due(10)).await?;
                Ok(received)
            }
        }
    }
}

pub(crate) fn handle(intent: &PaymentIntent) -> &str {
    intent.attempts().last().unwrap().handle().unwrap()
}

/// The only payment in the processor's books, as a person finds it there.
fn found(world: &World) -> paymux::ProviderRef {
    let ledger = world.sandbox.ledger();
    paymux::ProviderRef {
        account: world.sandbox.connector("main").account().clone(),
        kind: paymux::ProviderKind::Payment,
        id: ledger.payments()[0].handle.clone(),
    }
}

async fn supersede(clerk: &paymux::Operator, intent: &PaymentIntent) -> paymux::Result<PaymentIntent> {
    let attempt = *intent.attempts()[0].id();
    let note = Evidence::note("the payer's browser is gone");
    clerk
        .supersede(intent.id(), &attempt, AcceptDuplicateRisk, note)
        .await
}

/// What can't be done a second time: that it was done is what its repetition says.
fn once<T>(done: paymux::Result<T>) -> paymux::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) => match error.kind() {
            ErrorKind::Stale | ErrorKind::InvalidTransition { .. } | ErrorKind::TooEarly { .. } => Ok(None),
            _other => Err(error),
        },
    }
}

/// The bodies of the webhooks that wait.
fn posts(world: &World) -> Vec<Bytes> {
    let posts: Vec<Bytes> = world
        .sandbox
        .webhooks()
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert!(!posts.is_empty(), "there is something to post");
    posts
}

/// As some processors post: without our reference.
fn nameless(body: &Bytes) -> Bytes {
    let mut event: serde_json::Value = serde_json::from_slice(body).unwrap();
    event.as_object_mut().unwrap().remove("reference").unwrap();
    event["object"].as_object_mut().unwrap().remove("reference");
    Bytes::from(event.to_string())
}

/// Posts them, signed now.
async fn post(world: &World, engine: &Orchestrator, posts: &[Bytes]) -> String {
    let signature = TimestampedHmac {
        header: "sandbox-signature",
        tolerance: 5 * MINUTE,
    };
    let endpoint = World::endpoint("main");
    let mut received = String::new();
    for body in posts {
        let secret = world.sandbox.webhook_secret();
        let headers = signature.sign(body, &secret, Clock::now(&world.clock));
        let took = engine.handle_webhook(&endpoint, &headers, body.clone());
        received.push_str(&format!("{:?}", Box::pin(took).await.received));
    }
    received
}

/// An outcome's name, and the resource as a caller sees it.
fn said(outcome: &impl std::fmt::Debug, resource: &impl serde::Serialize) -> String {
    let text = format!("{outcome:?}");
    let word = text.split(['(', ' ', '{']).next().unwrap_or_default();
    format!("{word} {}", serde_json::to_string(resource).unwrap())
}
