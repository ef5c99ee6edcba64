//! One order and its shop: asks the verbs, repeats what wasn't answered, and tells the auditor what was said.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use paymux_core::{
    AcceptDuplicateRisk, Actor, AttemptStatus, CaptureAmount, CaptureMethod, CaptureOutcome, Challenge,
    Confirm, Currency, Error, ErrorKind, Evidence, IdempotencyKey, IntentStatus, IntentUpdate, Mit,
    MitReason, Money, NewIntent, NewRefund, NewSession, PaymentIntent, PaymentIntentId, PaymentMethod,
    PaymentOutcome, Payments, RefundOutcome, RefundReason, Replay, Reply, Rest, Result, Retry, ReturnPayload,
    ReverseOutcome, ReviewReason, ReviewVerdict, SessionStatus, Timestamp, VoidOutcome, Volatile,
};

use crate::bank::Manner;
use crate::faults::Fault;
use crate::ports::EPOCH_MS;
use crate::rng::{Rng, mix};
use crate::schedule::{Owner, lock, promise};
use crate::script::Stream;
use crate::world::World;

/// Whoever picks a number below this picks one of one, two or three workers, each as likely as the others.
const WORKERS: u64 = 6;

type Asked<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Why a verb was given up.
#[derive(Debug)]
enum Gave {
    /// It was refused, and nothing moved.
    No,
    /// Nobody answered often enough.
    Up,
}

struct Shopper {
    world: Arc<World>,
    number: u32,
    /// How many orders of its tenant come before it.
    place: usize,
    order: String,
    tenant: usize,
    rng: Rng,
    /// What it asks of routing, and what its cards are.
    route: Rng,
    asked: u32,
}

/// What a reply tells the auditor.
trait Told {
    fn tell(&self, shopper: &Shopper, key: &str);
}

/// Goes through one order from its first verb to its last.
pub(crate) async fn shop(world: &Arc<World>, number: u32) {
    let stream = |number| world.decider.stream(Stream::Shop(number));
    let mut rng = stream(number);
    let tenant = tenant_of(world, &mut rng);
    let before = (0..number).filter(|before| tenant_of(world, &mut stream(*before)) == tenant);
    let place = before.count();
    world.time.sleep(rng.below(1_800_000)).await;
    let order = format!("o{number}");
    lock(&world.auditor).dossier(&order);
    let mut shopper = Shopper {
        world: world.clone(),
        number,
        place,
        order,
        tenant,
        rng,
        route: world.decider.stream(Stream::Route(number)),
        asked: 0,
    };
    let first = shopper.rng.weighted(&[
        (58, First::Pay),
        (12, First::CreateThenConfirm),
        (12, First::Session),
        (7, First::Schedule),
        (5, First::Keep),
        (6, First::MerchantInitiated),
    ]);
    let id = match first {
        First::Pay => shopper.pay(NewIntent::payment).await,
        First::MerchantInitiated => {
            let mit = |amount| NewIntent::payment(amount).mit(Mit::new(MitReason::Recurring));
            shopper.pay(mit).await
        }
        First::Keep => {
            let setup = shopper.rng.chance(500);
            let keep = move |amount: Money| match setup {
                true => NewIntent::setup(amount.currency()),
                false => NewIntent::verify(amount.currency()),
            };
            shopper.pay(keep).await
        }
        First::CreateThenConfirm => shopper.create_then_confirm().await,
        First::Session => shopper.session().await,
        First::Schedule => shopper.schedule().await,
    };
    let Some(id) = id else { return };
    for _ in 0..shopper.rng.within(1, 5) {
        let wait = *shopper.rng.pick(&[0, 200, 2_000, 30_000, 120_000, 3_700_000]);
        shopper.world.time.sleep(wait).await;
        if !shopper.go_on(&id).await {
            return;
        }
    }
}

fn tenant_of(world: &World, rng: &mut Rng) -> usize {
    rng.below(world.tenants.len() as u64) as usize
}

#[derive(Clone, Copy)]
enum First {
    Pay,
    CreateThenConfirm,
    Session,
    Schedule,
    Keep,
    MerchantInitiated,
}

impl Shopper {
    fn payments(&self, number: u64) -> Option<(usize, Payments)> {
        let (worker, engine) = self.world.some_worker(number)?;
        Some((worker, engine.tenant(self.world.tenants[self.tenant].clone())))
    }

    /// Asks once. `None`: whoever was asked has died over it, or the caller went away.
    async fn once<T: Send + 'static>(
        &mut self,
        verb: &'static str,
        ask: impl FnOnce(Payments) -> Asked<T>,
    ) -> Option<Result<T>> {
        let number = self.rng.below(WORKERS);
        let (worker, payments) = self.payments(number)?;
        let gone = self.world.faults.draw(self.number, &[(250, Fault::ClientGone)]);
        let polls = gone.map(|_| self.rng.within(1, 60) as u32);
        let (giver, taker) = promise();
        let asked = ask(payments);
        self.world
            .handle
            .spawn_dropped_at(Owner::Worker(worker), polls, async move {
                giver.give(asked.await);
            });
        let answer = taker.await;
        let word = match &answer {
            None => "died",
            Some(Ok(_)) => "ok",
            Some(Err(error)) => error.code(),
        };
        let order = &self.order;
        self.world
            .trace
            .fact(word.as_bytes(), || format!("{order} {verb} at {worker}: {word}"));
        answer
    }

    /// Asks until there is an answer: the same key, wherever somebody is up.
    async fn insist<T: Send + 'static>(
        &mut self,
        verb: &'static str,
        ask: impl Fn(Payments) -> Asked<T>,
    ) -> std::result::Result<T, Gave> {
        let mut pause = 500;
        for _ in 0..9 {
            match self.once(verb, &ask).await {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => {
                    self.heard_refusal(&error);
                    match error.retry() {
                        Retry::SameKey { .. } => {
                            if *error.kind() == ErrorKind::NotExecuted {
                                // Where all circuits are open nobody was asked, which says nothing of an earlier attempt.
                                let asked = error.faults().iter().all(|fault| fault.field != "route");
                                if asked && matches!(verb, "pay" | "confirm" | "submit") {
                                    self.heard_not_executed();
                                }
                                if self.rng.chance(500) {
                                    return Err(Gave::No);
                                }
                            }
                        }
                        Retry::AfterChange | Retry::Never => {
                            // No shop uses a key of its own for two requests.
                            if *error.kind() == ErrorKind::IdempotencyMismatch {
                                let what =
                                    format!("{verb} of {} is told that its key is another's", self.order);
                                lock(&self.world.auditor).raise(22, what);
                            }
                            return Err(Gave::No);
                        }
                    }
                }
                None => {}
            }
            let wait = self.rng.within(pause / 2, pause);
            self.world.time.sleep(wait).await;
            pause = (pause * 3).min(600_000);
        }
        Err(Gave::Up)
    }

    /// Why a payment goes nowhere.
    fn heard_refusal(&self, error: &Error) {
        let field = error.faults().first().map_or("", |fault| &fault.field);
        let (kind, name) = match (error.kind(), field) {
            (ErrorKind::Forbidden, "route") => ("route", "blocked"),
            (ErrorKind::Forbidden, "method") => ("card", "refused"),
            (ErrorKind::NotExecuted, "route") => ("circuit", "all open, refused"),
            (ErrorKind::NoRoute, _) => ("route", "none"),
            (_, _) => return,
        };
        lock(&self.world.auditor).coverage.note(kind, name);
    }

    fn heard_not_executed(&self) {
        let bank = lock(&self.world.bank);
        let mut auditor = lock(&self.world.auditor);
        auditor.heard_no(&self.order, "not executed", &bank, self.world.time.now());
    }

    /// Asks with a key of the order's own, tells the auditor, and now and then asks the same again, at once or later,
    /// or another thing under the same key.
    async fn keyed<T: Told + Send + 'static>(
        &mut self,
        verb: &'static str,
        ask: impl Fn(Payments, IdempotencyKey) -> Asked<T> + Clone + Send + Sync + 'static,
    ) -> std::result::Result<T, Gave> {
        self.asked += 1;
        // Tenants use the same keys for different things.
        let text = match self.rng.chance(500) {
            true => format!("{verb}-{}th-{}", self.place, self.asked),
            false => format!("{verb}-{}-{}", self.number, self.asked),
        };
        let Ok(key) = IdempotencyKey::new(text.clone()) else {
            return Err(Gave::Up);
        };
        if self.rng.chance(60) {
            self.twin(verb, key.clone(), ask.clone());
        }
        let asked = |payments: Payments| ask(payments, key.clone());
        let answer = self.insist(verb, asked).await?;
        answer.tell(self, &text);
        if self.rng.chance(80) {
            let again = self.once(verb, |payments| ask(payments, key.clone())).await;
            if let Some(Ok(again)) = again {
                again.tell(self, &text);
            }
        }
        Ok(answer)
    }

    /// A second caller with the same request, at the same time.
    fn twin<T: Told + Send + 'static>(
        &mut self,
        verb: &'static str,
        key: IdempotencyKey,
        ask: impl Fn(Payments, IdempotencyKey) -> Asked<T> + Send + Sync + 'static,
    ) {
        let mut twin = Self {
            world: self.world.clone(),
            number: self.number,
            place: self.place,
            order: self.order.clone(),
            tenant: self.tenant,
            rng: Rng::of(self.rng.below(u64::MAX), 1),
            route: self.route.clone(),
            asked: 0,
        };
        lock(&self.world.auditor).dossier(&self.order).crowded = true;
        self.world.handle.spawn(Owner::World, async move {
            let wait = twin.rng.below(400);
            twin.world.time.sleep(wait).await;
            let answer = twin.once(verb, |payments| ask(payments, key.clone())).await;
            if let Some(Ok(answer)) = answer {
                answer.tell(&twin, key.as_str());
            }
        });
    }

    fn amount(&mut self) -> Money {
        let minor = *self.rng.pick(&[1, 2, 100, 999, 1_000, 4_999, 100_000]);
        let minor = minor + self.rng.below(7) as i64;
        Money::from_minor(
            minor,
            *self
                .rng
                .pick(&[Currency::EUR, Currency::EUR, Currency::JPY, Currency::KWD]),
        )
    }

    fn method(&mut self) -> PaymentMethod {
        let manner = self.rng.weighted(&[
            (46, Manner::Approve),
            (8, Manner::Soft),
            (5, Manner::Hard),
            (5, Manner::Challenge),
            (8, Manner::Redirect),
            (4, Manner::Pending),
            (2, Manner::PendingNo),
            (3, Manner::Part),
            (4, Manner::CapturePending),
            (3, Manner::CaptureFails),
            (2, Manner::CaptureDeclined),
            (2, Manner::VoidRefused),
            (4, Manner::RefundPending),
            (2, Manner::RefundFails),
            (2, Manner::RefundFailsLater),
            (2, Manner::Returned),
            (1, Manner::Refused),
        ]);
        let token = format!("{}-{}", manner.token(), self.rng.below(1_000));
        let method = match self.rng.below(12) {
            0 => PaymentMethod::wallet(token, Volatile::new(format!("canary-{}", self.number))),
            1 => PaymentMethod::BankRedirect { scheme: token },
            _ => PaymentMethod::card_token(token),
        };
        let accounts = self.world.shapes.len();
        self.world.routing.card(&mut self.route, method, accounts)
    }

    fn confirm(&mut self) -> Confirm {
        let with = Confirm::with(self.method());
        match self.rng.chance(100) {
            true => with.challenge(Challenge::Required),
            false => with,
        }
    }

    fn capture_method(&mut self) -> CaptureMethod {
        *self.rng.pick(&[
            CaptureMethod::Automatic,
            CaptureMethod::Automatic,
            CaptureMethod::Manual,
        ])
    }

    fn new_intent(&mut self, make: impl Fn(Money) -> NewIntent) -> NewIntent {
        let amount = self.amount();
        let new = make(amount)
            .reference(self.order.clone())
            .capture(self.capture_method())
            .return_url("https://shop.example/{payment}")
            .metadata([("order", self.order.clone())]);
        let accounts = self.world.shapes.len();
        let new = self.world.routing.wish(&mut self.route, new, accounts);
        match self.rng.chance(150) {
            true => {
                let life = self.rng.within(600_000, 3_600_000) as i64;
                let at = EPOCH_MS + self.world.time.now() as i64 + life;
                new.expires_at(Timestamp::from_millis(at))
            }
            false => new,
        }
    }

    async fn pay(&mut self, make: impl Fn(Money) -> NewIntent) -> Option<PaymentIntentId> {
        let (new, with) = (self.new_intent(make), self.confirm());
        let probe = self.rng.chance(40);
        let (new_again, with_again) = (new.clone(), with.clone());
        let paid = self
            .keyed("pay", move |payments: Payments, key: IdempotencyKey| {
                let (new, with) = (new.clone(), with.clone());
                Box::pin(async move { payments.create_and_confirm(&key, new, with).await })
            })
            .await;
        let reply = paid.ok()?;
        if probe {
            self.other_request(new_again, with_again).await;
        }
        Some(*reply.outcome.intent().id())
    }

    /// The same key for another request must be refused, and another tenant must find nothing.
    async fn other_request(&mut self, new: NewIntent, with: Confirm) {
        let Ok(key) = IdempotencyKey::new(format!("probe-{}", self.order)) else {
            return;
        };
        let first = new.clone().description("one");
        let make = |new: NewIntent, with: Confirm| {
            let key = key.clone();
            move |payments: Payments| -> Asked<Reply<PaymentIntent>> {
                let (key, new) = (key.clone(), new.clone());
                let _ = &with;
                Box::pin(async move { payments.create_intent(&key, new).await })
            }
        };
        let made = self
            .insist(
                "create",
                make(first.reference(format!("{}-probe", self.order)), with.clone()),
            )
            .await;
        let Ok(made) = made else { return };
        let second = new.description("two");
        if let Some(Ok(reply)) = self.once("create other", make(second, with)).await {
            let what = format!("one key made {} and {}", made.outcome.id(), reply.outcome.id());
            lock(&self.world.auditor).raise(21, what);
        }
        let id = *made.outcome.id();
        let stranger = (self.tenant + 1) % self.world.tenants.len();
        let Some((_, engine)) = self.world.some_worker(self.rng.below(WORKERS)) else {
            return;
        };
        let other = engine.tenant(self.world.tenants[stranger].clone());
        if other.intent(&id).await.is_ok() {
            lock(&self.world.auditor).raise(23, format!("{id} is shown to another tenant"));
        }
    }

    async fn create_then_confirm(&mut self) -> Option<PaymentIntentId> {
        let new = self.new_intent(NewIntent::payment);
        let made = self
            .keyed("create", move |payments: Payments, key: IdempotencyKey| {
                let new = new.clone();
                Box::pin(async move { payments.create_intent(&key, new).await })
            })
            .await
            .ok()?;
        let id = *made.outcome.id();
        if self.rng.chance(300) {
            let seen = made.outcome.clone();
            let amount = Money::from_minor(seen.amount().minor() + 1, seen.amount().currency());
            let change = IntentUpdate::new().amount(amount).description("changed");
            let _ = self
                .once("update", move |payments| {
                    Box::pin(async move { payments.update(&seen, change).await })
                })
                .await;
        }
        if self.rng.chance(80) {
            self.cancel(&id).await;
            return Some(id);
        }
        self.confirm_again(&id).await;
        Some(id)
    }

    async fn confirm_again(&mut self, id: &PaymentIntentId) {
        let (id, with) = (*id, self.confirm());
        let _ = self
            .keyed("confirm", move |payments: Payments, key: IdempotencyKey| {
                let with = with.clone();
                Box::pin(async move { payments.confirm(&key, &id, with).await })
            })
            .await;
    }

    async fn schedule(&mut self) -> Option<PaymentIntentId> {
        let wait = self.rng.within(60_000, 1_800_000);
        let at = Timestamp::from_millis(EPOCH_MS + (self.world.time.now() + wait) as i64);
        let new = self.new_intent(NewIntent::payment).scheduled_for(at);
        let method =
            PaymentMethod::card_token(format!("{}-1", self.rng.pick(&["approve", "soft", "redirect"])));
        let made = self
            .keyed("schedule", move |payments: Payments, key: IdempotencyKey| {
                let (new, method) = (new.clone(), method.clone());
                Box::pin(async move { payments.schedule(&key, new, method).await })
            })
            .await
            .ok()?;
        let id = *made.outcome.id();
        if self.rng.chance(200) {
            self.cancel(&id).await;
        } else {
            self.world.time.sleep(wait + 120_000).await;
        }
        Some(id)
    }

    async fn session(&mut self) -> Option<PaymentIntentId> {
        let life = Duration::from_millis(self.rng.within(300_000, 3_600_000));
        let new = NewSession::payment(self.amount())
            .reference(self.order.clone())
            .capture(self.capture_method())
            .expires_in(life);
        let made = self
            .insist("create_session", {
                let key = IdempotencyKey::new(format!("session-{}", self.order)).ok()?;
                move |payments: Payments| {
                    let (key, new) = (key.clone(), new.clone());
                    Box::pin(async move { payments.create_session(&key, new).await })
                }
            })
            .await
            .ok()?;
        let id = *made.outcome.id();
        let mut paid = None;
        for _ in 0..self.rng.within(1, 3) {
            if self.rng.chance(100) {
                let wait = self.rng.within(0, life.as_millis() as u64 + 60_000);
                self.world.time.sleep(wait).await;
            }
            let with = self.confirm();
            let submitted = self
                .keyed("submit", move |payments: Payments, key: IdempotencyKey| {
                    let with = with.clone();
                    Box::pin(async move { payments.submit(&key, &id, with).await })
                })
                .await;
            if let Ok(reply) = &submitted {
                paid = Some(*reply.outcome.intent().id());
            }
            match self.rng.below(6) {
                0 => {
                    let _ = self
                        .once("step_back", move |payments| {
                            Box::pin(async move { payments.step_back(&id).await })
                        })
                        .await;
                }
                1 => {
                    let _ = self
                        .once("cancel_session", move |payments| {
                            Box::pin(async move { payments.cancel_session(&id).await })
                        })
                        .await;
                }
                _ => {}
            }
            let state = self
                .once("session", move |payments| {
                    Box::pin(async move { payments.session(&id).await })
                })
                .await;
            match state {
                Some(Ok(session))
                    if matches!(session.status(), SessionStatus::Pending | SessionStatus::Failed) => {}
                _ => break,
            }
        }
        paid
    }

    /// The next thing that fits how the payment stands. Whether there may be another.
    async fn go_on(&mut self, id: &PaymentIntentId) -> bool {
        let wanted = *id;
        let seen = self
            .insist("intent", move |payments| {
                Box::pin(async move { payments.intent(&wanted).await })
            })
            .await;
        let Ok(seen) = seen else { return false };
        {
            let bank = lock(&self.world.bank);
            let mut auditor = lock(&self.world.auditor);
            auditor.heard(&self.order, &seen, &bank, self.world.time.now());
        }
        if seen.review() == Some(ReviewReason::RiskHold) && self.rng.chance(500) {
            self.review(id).await;
            return true;
        }
        match seen.status() {
            IntentStatus::Created => match self.rng.below(10) {
                0 => self.cancel(id).await,
                1 | 2 => return false,
                _ => self.confirm_again(id).await,
            },
            IntentStatus::RequiresAction => self.act(id, &seen).await,
            IntentStatus::Authorized => self.on_authorized(id, &seen).await,
            IntentStatus::Captured | IntentStatus::Succeeded => match self.rng.below(10) {
                0..=3 => self.refund(id, &seen).await,
                4 => self.void(id).await,
                5 => self.reverse(id).await,
                6 => self.sync(id).await,
                _ => return false,
            },
            IntentStatus::Processing => match self.rng.below(8) {
                0 => self.cancel(id).await,
                1 => self.supersede(id, &seen).await,
                2 => self.sync(id).await,
                _ => {
                    let wait = self.rng.within(5_000, 4_000_000);
                    self.world.time.sleep(wait).await;
                }
            },
            IntentStatus::Scheduled => {
                let wait = self.rng.within(60_000, 600_000);
                self.world.time.sleep(wait).await;
            }
            IntentStatus::Voided | IntentStatus::Cancelled | IntentStatus::Failed => {
                if self.rng.chance(100) {
                    self.reverse(id).await;
                }
                return false;
            }
        }
        true
    }

    /// The payer at the bank's page, and what follows it.
    async fn act(&mut self, id: &PaymentIntentId, seen: &PaymentIntent) {
        let now = |world: &World| world.time.now();
        let wait = self.rng.within(500, 60_000);
        let reference = seen
            .attempts()
            .last()
            .map(|attempt| attempt.reference())
            .unwrap_or_default();
        match self.rng.below(12) {
            0 => return self.cancel(id).await,
            1 => return self.confirm_again(id).await,
            2 => return self.supersede(id, seen).await,
            3 => return self.world.time.sleep(1_000_000).await,
            _ => {}
        }
        self.world.time.sleep(wait).await;
        let yes = self.rng.chance(800);
        let by_return = self.rng.chance(400);
        if !by_return {
            let at = now(&self.world);
            lock(&self.world.bank).pay(&reference, yes, at);
            self.world.follow_bank();
        }
        if self.rng.chance(800) {
            let payload = format!("canary-back-{}", if yes { "yes" } else { "no" });
            let id = *id;
            let payload = by_return.then_some(payload);
            let done = self
                .once("complete", move |payments| {
                    Box::pin(async move { payments.complete(&id, ReturnPayload::query(payload)).await })
                })
                .await;
            if let Some(Ok(outcome)) = done {
                self.heard(&outcome);
            }
        }
    }

    async fn on_authorized(&mut self, id: &PaymentIntentId, seen: &PaymentIntent) {
        let left = seen.capturable();
        match self.rng.below(12) {
            0..=3 => self.capture(id, CaptureAmount::Remaining).await,
            4 | 5 if left.minor() > 1 => {
                let part = match 1 + self.rng.below(left.minor() as u64) as i64 {
                    // All of it, and the authorization is to live on.
                    part if part % 8 == 0 => left,
                    part => Money::from_minor(part, left.currency()),
                };
                let rest = if self.rng.chance(600) {
                    Rest::Keep
                } else {
                    Rest::Release
                };
                self.capture(id, CaptureAmount::Part(part, rest)).await;
            }
            6 => self.void(id).await,
            7 => self.release(id).await,
            8 => {
                let id = *id;
                let by = Money::from_minor(self.rng.within(1, 500) as i64, left.currency());
                let _ = self
                    .keyed("increment", move |payments: Payments, key: IdempotencyKey| {
                        Box::pin(async move { payments.increment(&key, &id, by).await })
                    })
                    .await;
            }
            9 => self.reverse(id).await,
            10 => self.refund(id, seen).await,
            _ => self.sync(id).await,
        }
    }

    async fn capture(&mut self, id: &PaymentIntentId, amount: CaptureAmount) {
        let id = *id;
        let _ = self
            .keyed("capture", move |payments: Payments, key: IdempotencyKey| {
                Box::pin(async move { payments.capture(&key, &id, amount).await })
            })
            .await;
    }

    async fn void(&mut self, id: &PaymentIntentId) {
        let id = *id;
        let _ = self
            .keyed("void", move |payments: Payments, key: IdempotencyKey| {
                Box::pin(async move { payments.void(&key, &id).await })
            })
            .await;
    }

    async fn release(&mut self, id: &PaymentIntentId) {
        let id = *id;
        let _ = self
            .keyed("release", move |payments: Payments, key: IdempotencyKey| {
                Box::pin(async move { payments.release(&key, &id).await })
            })
            .await;
    }

    async fn cancel(&mut self, id: &PaymentIntentId) {
        let id = *id;
        let _ = self
            .keyed("cancel", move |payments: Payments, key: IdempotencyKey| {
                Box::pin(async move { payments.cancel(&key, &id).await })
            })
            .await;
    }

    async fn reverse(&mut self, id: &PaymentIntentId) {
        let id = *id;
        let _ = self
            .keyed("reverse", move |payments: Payments, key: IdempotencyKey| {
                Box::pin(async move { payments.reverse(&key, &id, RefundReason::OrderCancelled).await })
            })
            .await;
    }

    async fn refund(&mut self, id: &PaymentIntentId, seen: &PaymentIntent) {
        let (id, left) = (*id, seen.refundable());
        // Somebody at the shop overlooks what was given back before.
        let all = Money::from_minor(seen.totals().captured, left.currency());
        let overlooked = mix(u64::from(self.number), u64::from(self.asked)).is_multiple_of(6);
        let new = match left.minor() > 1 && self.rng.chance(500) {
            true => {
                let part = match 1 + self.rng.below(left.minor() as u64) as i64 {
                    // All of it, and the authorization is to live on.
                    part if part % 8 == 0 => left,
                    part => Money::from_minor(part, left.currency()),
                };
                NewRefund::part(part, RefundReason::GoodsReturned)
            }
            false if overlooked && all.minor() > 0 => NewRefund::part(all, RefundReason::GoodsReturned),
            false => NewRefund::available(RefundReason::RequestedByCustomer),
        };
        let _ = self
            .keyed("refund", move |payments: Payments, key: IdempotencyKey| {
                let new = new.clone();
                Box::pin(async move { payments.refund(&key, &id, new).await })
            })
            .await;
    }

    async fn sync(&mut self, id: &PaymentIntentId) {
        let id = *id;
        let _ = self
            .once("sync", move |payments| {
                Box::pin(async move { payments.sync(&id).await })
            })
            .await;
    }

    async fn supersede(&mut self, id: &PaymentIntentId, seen: &PaymentIntent) {
        let live = |attempt: &&paymux_core::Attempt| {
            matches!(
                attempt.status(),
                AttemptStatus::RequiresAction | AttemptStatus::Pending
            )
        };
        let Some(attempt) = seen.attempts().iter().find(live).map(|attempt| *attempt.id()) else {
            return;
        };
        // Whoever accepts that the payer may pay twice can't be told of it as of a fault.
        lock(&self.world.auditor).dossier(&self.order).by_hand = true;
        let id = *id;
        let done = self
            .once("supersede", move |payments| {
                Box::pin(async move {
                    let operator = payments.operator(Actor::person("clerk"));
                    let note = Evidence::note("the payer asked for another way");
                    operator.supersede(&id, &attempt, AcceptDuplicateRisk, note).await
                })
            })
            .await;
        if let Some(Ok(_)) = done {
            lock(&self.world.auditor).coverage.note("person", "superseded");
            self.confirm_again(&id).await;
        }
    }

    async fn review(&mut self, id: &PaymentIntentId) {
        let id = *id;
        let verdict = *self.rng.pick(&[ReviewVerdict::Approve, ReviewVerdict::Refuse]);
        let done = self
            .once("review", move |payments| {
                Box::pin(async move {
                    let operator = payments.operator(Actor::person("clerk"));
                    operator
                        .review(&id, verdict, Evidence::note("looked at it"))
                        .await
                })
            })
            .await;
        if let Some(Ok(_)) = done {
            lock(&self.world.auditor).coverage.note("person", "reviewed");
        }
    }

    fn heard(&self, outcome: &PaymentOutcome) {
        let bank = lock(&self.world.bank);
        let mut auditor = lock(&self.world.auditor);
        let now = self.world.time.now();
        auditor.heard(&self.order, outcome.intent(), &bank, now);
        if let PaymentOutcome::Declined { intent, .. } = outcome
            && matches!(intent.status(), IntentStatus::Created | IntentStatus::Failed)
        {
            auditor.heard_no(&self.order, "declined", &bank, now);
        }
    }

    fn got(&self, key: &str, id: &str, replay: Replay, definite: Option<String>) {
        let mut auditor = lock(&self.world.auditor);
        auditor.got(&self.order, key, id, replay == Replay::Replayed, definite);
    }
}

fn text(value: &impl serde::Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

impl Told for Reply<PaymentIntent> {
    fn tell(&self, shopper: &Shopper, key: &str) {
        shopper.got(
            key,
            &self.outcome.id().to_string(),
            self.replay,
            text(&self.outcome),
        );
    }
}

impl Told for Reply<PaymentOutcome> {
    fn tell(&self, shopper: &Shopper, key: &str) {
        let intent = self.outcome.intent();
        let definite = match &self.outcome {
            PaymentOutcome::Unknown { .. } => None,
            _ => text(intent),
        };
        shopper.got(key, &intent.id().to_string(), self.replay, definite);
        // What is replayed is how it stood then.
        if self.replay == Replay::First {
            shopper.heard(&self.outcome);
        }
    }
}

impl Told for Reply<CaptureOutcome> {
    fn tell(&self, shopper: &Shopper, key: &str) {
        let definite = match &self.outcome {
            CaptureOutcome::Unknown { .. } => None,
            other => text(other.intent()),
        };
        shopper.got(
            key,
            &self.outcome.intent().id().to_string(),
            self.replay,
            definite,
        );
    }
}

impl Told for Reply<VoidOutcome> {
    fn tell(&self, shopper: &Shopper, key: &str) {
        let definite = match &self.outcome {
            VoidOutcome::Unknown { .. } => None,
            other => text(other.intent()),
        };
        shopper.got(
            key,
            &self.outcome.intent().id().to_string(),
            self.replay,
            definite,
        );
    }
}

impl Told for Reply<RefundOutcome> {
    fn tell(&self, shopper: &Shopper, key: &str) {
        let definite = match &self.outcome {
            RefundOutcome::Unknown { .. } => None,
            other => text(other.refund()),
        };
        shopper.got(
            key,
            &self.outcome.refund().id().to_string(),
            self.replay,
            definite,
        );
    }
}

impl Told for Reply<ReverseOutcome> {
    fn tell(&self, shopper: &Shopper, key: &str) {
        let id = match &self.outcome {
            ReverseOutcome::Cancelled(outcome)
            | ReverseOutcome::Voided(outcome)
            | ReverseOutcome::Released(outcome) => outcome.intent().id().to_string(),
            ReverseOutcome::Refunded(outcome)
            | ReverseOutcome::PartlyTaken {
                refunded: Ok(outcome),
                ..
            } => outcome.refund().id().to_string(),
            ReverseOutcome::PartlyTaken { refunded: Err(_), .. } => return,
        };
        shopper.got(key, &id, self.replay, None);
    }
}
