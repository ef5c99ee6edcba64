//! The ports of the engine as the world has them: each call gives way once before its effect and once after, and what
//! befalls it is drawn from the seed.
//!
//! A planted bug is one more wrapper of the same port: whoever adds one wraps what these functions return.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paymux_core::connector::{Connector, Request, Response, Transport, TransportError};
use paymux_core::routing::{Plan, RouteFacts, Router};
use paymux_core::store::*;
use paymux_core::{
    AccountRef, Clock, ConnectorMap, Connectors, Currency, Endpoint, EndpointId, Error, Money, PaymentIntent,
    PaymentMethod, Result, RiskCheck, RiskStages, RiskVerdict, Spawn, Task, Tenant, Timestamp,
};

use crate::auditor::is_beside;
use crate::bank::Answer;
use crate::faults::{Fault, OF_COMMIT, ROUTING, WORLD, of_read, of_send};
use crate::rng::mix;
use crate::schedule::{Boundary, Owner, Time, give_way, lock, promise};
use crate::wire::{ACCOUNT, Ask, KEY};
use crate::world::World;

/// When the world begins: 2026-01-01T00:00:00Z.
pub(crate) const EPOCH_MS: i64 = 1_767_225_600_000;

/// A worker's clocks: its wall clock may be wrong, its monotonic clock isn't.
#[derive(Clone, Debug)]
pub(crate) struct SimClock {
    pub(crate) time: Time,
    pub(crate) skew_ms: Arc<AtomicI64>,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(EPOCH_MS + self.time.now() as i64 + self.skew_ms.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.time.now())
    }

    async fn sleep(&self, duration: Duration) {
        self.time.sleep(duration.as_millis() as u64).await;
    }
}

/// Tasks that run to their end, unless their worker dies.
#[derive(Debug)]
pub(crate) struct SimSpawn {
    pub(crate) world: Arc<World>,
    pub(crate) worker: usize,
}

impl Spawn for SimSpawn {
    fn spawn(&self, task: Task) {
        self.world.handle.spawn(Owner::Worker(self.worker), task);
    }
}

/// The store, as a worker reaches it.
#[derive(Debug)]
pub(crate) struct SimStore {
    pub(crate) disk: Arc<dyn Store>,
    pub(crate) world: Arc<World>,
}

fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store is away for a moment")
}

impl SimStore {
    async fn reading<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.reading_of(WORLD, 2, work).await
    }

    /// The same, with the faults of a stream, at its rate in ten thousand.
    async fn reading_of<T>(
        &self,
        stream: u32,
        rate: u64,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.world.gate().await;
        let fault = self.world.faults.draw(stream, &[(rate, Fault::StoreUnreadable)]);
        if fault.is_some() {
            self.fail();
            return Err(unavailable());
        }
        let done = work.await;
        self.world.gate().await;
        done
    }

    /// The running task knows of a failure of the store.
    fn fail(&self) {
        let world = &self.world;
        lock(&world.refused).failed(world.handle.running(), world.time.now());
    }

    fn apply(&self, tenant: &Tenant, batch: &Batch, result: &Result<Receipt, CommitError>) {
        let world = &self.world;
        let word = match result {
            Ok(_) => "committed",
            Err(CommitError::Conflict(_)) => "conflict",
            Err(CommitError::Fenced(_)) => "fenced",
            Err(CommitError::NotCommitted(_)) => "not committed",
            Err(CommitError::Unknown(_)) => "unknown",
        };
        world.trace.fact(&batch.commit_id.0.as_bytes()[8..], || {
            let kinds: Vec<_> = batch.events.iter().map(|event| event.kind.as_str()).collect();
            let rows: Vec<_> = batch
                .puts
                .iter()
                .filter(|row| !matches!(row.key.kind, RowKind::Evidence))
                .map(|row| {
                    let reference = row.index.reference.as_deref().unwrap_or_default();
                    format!("{:?} {reference} v{} {}", row.key, row.version, row.index.status)
                })
                .collect();
            format!("commit {word}: {rows:?} {kinds:?} jobs {:?}", batch.jobs)
        });
        world.trace.fact(word.as_bytes(), String::new);
        if result.is_ok() {
            lock(&world.auditor).committed(tenant, batch, world.time.now());
        }
    }
}

#[async_trait]
impl Store for SimStore {
    async fn load(&self, tenant: &Tenant, keys: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        let Some(kind) = keys.first().map(|key| key.kind).filter(|kind| is_beside(*kind)) else {
            return self.reading(self.disk.load(tenant, keys)).await;
        };
        let rows = self.reading_of(ROUTING, 30, self.disk.load(tenant, keys)).await;
        if rows.is_err() && kind == RowKind::Program {
            let now = self.world.time.now();
            lock(&self.world.auditor).of_routing(|routed| routed.unreadable(tenant, now));
        }
        rows
    }

    async fn lookup(&self, tenant: &Tenant, key: &UniqueKey) -> Result<Option<Unique>, StoreError> {
        self.reading(self.disk.lookup(tenant, key)).await
    }

    async fn locate(&self, key: &UniqueKey) -> Result<Option<(Tenant, RowKey)>, StoreError> {
        self.reading(self.disk.locate(key)).await
    }

    async fn find(&self, tenant: &Tenant, query: &Query) -> Result<Vec<Row>, StoreError> {
        match is_beside(query.kind) {
            true => self.reading_of(ROUTING, 30, self.disk.find(tenant, query)).await,
            false => self.reading(self.disk.find(tenant, query)).await,
        }
    }

    async fn events(
        &self,
        tenant: &Tenant,
        row: RowKey,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.reading(self.disk.events(tenant, row, from, limit)).await
    }

    async fn commit(&self, tenant: &Tenant, batch: &Batch) -> Result<Receipt, CommitError> {
        let world = &self.world;
        let opens = has(batch, &["operation.opened", "compensation.opened"]);
        let closes = has(batch, &["operation.closed", "operation.unknown"]);
        world.handle.at(match (closes, opens) {
            (true, _) => Boundary::BeforeOutcomeWritten,
            (false, true) => Boundary::BeforeFirstWrite,
            (false, false) => Boundary::Nowhere,
        });
        world.gate().await;
        let order = lock(&world.auditor).order_of_batch(batch);
        let result = match world.faults.draw(order, &OF_COMMIT) {
            Some(Fault::CommitConflict) if !batch.puts.is_empty() => {
                Err(CommitError::Conflict(Refusal::Row(batch.puts[0].key)))
            }
            Some(Fault::CommitUnknownApplied) => {
                let applied = self.disk.commit(tenant, batch).await;
                self.apply(tenant, batch, &applied);
                match applied {
                    Ok(_) => Err(CommitError::Unknown(batch.commit_id)),
                    Err(error) => Err(error),
                }
            }
            Some(Fault::CommitUnknownNot) => Err(CommitError::Unknown(batch.commit_id)),
            Some(Fault::CommitUnknownLate) => {
                self.arrive_later(tenant, batch, order);
                Err(CommitError::Unknown(batch.commit_id))
            }
            Some(Fault::CommitRefused) => Err(CommitError::NotCommitted(unavailable())),
            _ => self.disk.commit(tenant, batch).await,
        };
        self.apply(tenant, batch, &result);
        match &result {
            Err(CommitError::Fenced(_)) => {
                let task = world.handle.running();
                lock(&world.refused).fenced(task, tenant, batch, world.time.now());
            }
            Err(CommitError::NotCommitted(_)) => self.fail(),
            Ok(_) | Err(CommitError::Conflict(_) | CommitError::Unknown(_)) => {}
        }
        if result.is_ok() {
            world
                .handle
                .at(match (closes, opens, has(batch, &["operation.step_recorded"])) {
                    (_, true, _) => Boundary::AfterFirstWrite,
                    (true, _, _) => Boundary::AfterOutcomeWritten,
                    (_, _, true) => Boundary::AfterHandleWritten,
                    (false, false, false) => Boundary::Nowhere,
                });
        }
        world.gate().await;
        result
    }

    async fn resolve(&self, tenant: &Tenant, id: CommitId) -> Result<Resolved, StoreError> {
        self.world.gate().await;
        if self
            .world
            .faults
            .draw(WORLD, &[(1500, Fault::ResolveFails)])
            .is_some()
        {
            self.fail();
            return Err(unavailable());
        }
        let resolved = self.disk.resolve(tenant, id).await;
        if let Ok(resolved) = &resolved {
            lock(&self.world.auditor).resolved(id, resolved);
        }
        self.world.gate().await;
        resolved
    }

    async fn claim_due(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        // Seen as it happens: what others do before the claimer goes on comes after it.
        self.reading(async {
            let claims = self.disk.claim_due(request).await?;
            lock(&self.world.auditor).claimed(&claims);
            Ok(claims)
        })
        .await
    }

    async fn backlog(&self, queue: Queue) -> Result<Backlog, StoreError> {
        self.disk.backlog(queue).await
    }

    async fn purge(&self, retention: &Retention, limit: u32) -> Result<u64, StoreError> {
        self.reading(self.disk.purge(retention, limit)).await
    }
}

impl SimStore {
    /// The commit was held up on its way, and arrives after its caller has given it up.
    fn arrive_later(&self, tenant: &Tenant, batch: &Batch, order: u32) {
        let (world, disk) = (self.world.clone(), self.disk.clone());
        let (tenant, batch) = (tenant.clone(), batch.clone());
        let delay = world.faults.within(order, 0, 4_000);
        let late = SimStore {
            disk,
            world: world.clone(),
        };
        self.world.handle.spawn(Owner::World, async move {
            world.time.sleep(delay).await;
            let result = late.disk.commit(&tenant, &batch).await;
            late.apply(&tenant, &batch, &result);
        });
    }
}

fn has(batch: &Batch, kinds: &[&str]) -> bool {
    let mut events = batch.events.iter();
    events.any(|event| kinds.iter().any(|kind| event.kind.ends_with(kind)))
}

/// The network between a worker and an account.
#[derive(Debug)]
pub(crate) struct SimTransport {
    pub(crate) world: Arc<World>,
    pub(crate) account: usize,
}

/// What a request is, once it is on its way.
#[derive(Clone)]
struct Sent {
    account: usize,
    key: String,
    hash: u64,
    ask: Ask,
}

impl Sent {
    fn arrive(&self, world: &World) -> Answer {
        let now = world.time.now();
        let answer = {
            let mut bank = lock(&world.bank);
            if self.ask.act.reads() {
                bank.read(self.account, &self.ask, now, 0)
            } else {
                match bank.start(self.account, &self.key, self.hash, now) {
                    Some(known) => known,
                    None => {
                        let answer = bank.serve(self.account, &self.ask, now);
                        bank.finish(self.account, &self.key, &answer);
                        answer
                    }
                }
            }
        };
        world.trace.note(|| {
            let said = answer
                .said
                .as_ref()
                .map(|said| (said.id.clone(), said.state, said.authorized, said.captured));
            format!(
                "bank {:?} {} -> {} {said:?}",
                self.ask.act, self.key, answer.status
            )
        });
        world.follow_bank();
        answer
    }
}

fn written(answer: &Answer) -> Vec<u8> {
    match &answer.said {
        Some(said) => serde_json::to_vec(said).unwrap_or_default(),
        None => Vec::new(),
    }
}

fn response(status: u16, body: Vec<u8>) -> Response {
    let status = http::StatusCode::from_u16(status).unwrap_or_default();
    Response::from_parts(status, http::HeaderMap::new(), body.into())
}

fn whole(answer: &Answer) -> Response {
    response(answer.status, written(answer))
}

fn altered(answer: Answer, change: impl FnOnce(Money) -> Money) -> Response {
    let said = answer.said.map(|said| crate::wire::Said {
        amount: change(said.amount),
        ..said
    });
    whole(&Answer { said, ..answer })
}

#[async_trait]
impl Transport for SimTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let world = &self.world;
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let hash = request.wire_hash();
        let hash = u64::from_le_bytes([
            hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
        ]);
        let Ok(ask) = serde_json::from_slice::<Ask>(request.bytes()) else {
            return Err(TransportError::NotSent("unreadable"));
        };
        let sent = Sent {
            account: self.account,
            key: header(KEY).unwrap_or_default().to_owned(),
            hash,
            ask,
        };
        let own = header(ACCOUNT) == Some(&format!("a{}", self.account));
        let order = world.order_of_reference(&sent.ask);
        world.gate().await;
        let act = sent.ask.act;
        let fault = {
            let shape = &world.shapes[self.account];
            match act.reads() {
                true => world.faults.draw(order, &of_read(world.config.prompt)),
                false => world
                    .faults
                    .draw(order, &of_send(act, shape.key.is_some(), world.config.prompt)),
            }
        };
        world.trace.fact(sent.key.as_bytes(), || {
            format!(
                "send {act:?} {} to a{} {}",
                sent.key,
                self.account,
                fault.map_or(String::new(), |fault| format!("[{fault:?}]"))
            )
        });
        let away = world.is_down(self.account);
        if let Some(how) = away {
            return match how % 3 {
                0 => Err(TransportError::NotSent("no connection")),
                1 => Ok(response(503, Vec::new())),
                _ => {
                    world.time.sleep(60_000).await;
                    Err(TransportError::Unknown("no answer"))
                }
            };
        }
        if fault == Some(Fault::NotSent) {
            return Err(TransportError::NotSent("no connection"));
        }
        {
            let bank = lock(&world.bank);
            lock(&world.auditor).sending(&sent.ask, &sent.key, sent.hash, self.account, own, world, &bank);
        }
        world.handle.at(Boundary::RequestOnItsWay);
        let answer = self.deliver(sent, order, fault).await;
        world.handle.at(Boundary::Answered);
        world.gate().await;
        answer
    }
}

impl SimTransport {
    async fn deliver(
        &self,
        sent: Sent,
        order: u32,
        fault: Option<Fault>,
    ) -> Result<Response, TransportError> {
        let world = &self.world;
        let within = |low, high| world.faults.within(order, low, high);
        match fault {
            None => {
                let slow = !world.is_calm() && mix(sent.hash, world.time.now()).is_multiple_of(3);
                if slow {
                    world.time.sleep(mix(sent.hash, 1) % 900).await;
                }
                let answer = sent.arrive(world);
                if slow {
                    world.time.sleep(mix(sent.hash, 2) % 900).await;
                }
                Ok(whole(&answer))
            }
            Some(Fault::RateLimited) => Ok(response(429, Vec::new())),
            Some(Fault::RequestLost) => {
                world.time.sleep(3_600_000).await;
                Err(TransportError::Unknown("no answer"))
            }
            Some(Fault::AnswerLost) => {
                sent.arrive(world);
                world.time.sleep(3_600_000).await;
                Err(TransportError::Unknown("no answer"))
            }
            Some(Fault::AnswerReset) => {
                sent.arrive(world);
                Err(TransportError::Unknown("reset"))
            }
            Some(Fault::RequestLate) => {
                let delay = within(20_000, 150_000);
                Ok(whole(&self.later(sent, delay, 0).await))
            }
            Some(Fault::AnswerSlow) => {
                let (there, back) = (within(0, 5_000), within(0, 5_000));
                Ok(whole(&self.later(sent, there, back).await))
            }
            Some(Fault::AnswerLate) => {
                let answer = sent.arrive(world);
                world.time.sleep(within(25_000, 120_000)).await;
                Ok(whole(&answer))
            }
            Some(Fault::Duplicated) => {
                let (again, delay) = (sent.clone(), within(0, 60_000));
                let other = world.clone();
                world.handle.spawn(Owner::World, async move {
                    other.time.sleep(delay).await;
                    again.arrive(&other);
                });
                give_way().await;
                Ok(whole(&sent.arrive(world)))
            }
            Some(Fault::ErrorThoughDone) => {
                sent.arrive(world);
                Ok(response(
                    *[500, 502, 503, 504].get(within(0, 3) as usize).unwrap_or(&500),
                    Vec::new(),
                ))
            }
            Some(Fault::ErrorNotDone) => Ok(self.fail(&sent)),
            Some(Fault::ErrorThenDone) => {
                let delay = within(1_000, 150_000);
                let known = lock(&world.bank).start(self.account, &sent.key, sent.hash, world.time.now());
                if let Some(known) = known {
                    return Ok(whole(&known));
                }
                let other = world.clone();
                world.handle.spawn(Owner::World, async move {
                    other.time.sleep(delay).await;
                    let now = other.time.now();
                    {
                        let mut bank = lock(&other.bank);
                        let answer = bank.serve(sent.account, &sent.ask, now);
                        bank.finish(sent.account, &sent.key, &answer);
                    }
                    other.trace.note(|| format!("bank rolls {} forward", sent.key));
                    other.follow_bank();
                });
                Ok(response(500, Vec::new()))
            }
            Some(Fault::KeyInUse) => Ok(response(409, Vec::new())),
            Some(Fault::ReadLags) => {
                let answer = lock(&world.bank).read(self.account, &sent.ask, world.time.now(), 180_000);
                Ok(whole(&answer))
            }
            Some(Fault::Truncated) => {
                let answer = sent.arrive(world);
                let mut body = written(&answer);
                body.truncate(body.len() / 2);
                Ok(response(answer.status, body))
            }
            Some(Fault::AmountAltered) => {
                let more = |money: Money| Money::from_minor(money.minor() + 1, money.currency());
                Ok(altered(sent.arrive(world), more))
            }
            Some(Fault::CurrencyAltered) => {
                let other = |money: Money| Money::from_minor(money.minor(), Currency::SEK);
                Ok(altered(sent.arrive(world), other))
            }
            Some(_) => Ok(whole(&sent.arrive(world))),
        }
    }

    /// A processor that fails; some remember that they did.
    fn fail(&self, sent: &Sent) -> Response {
        let answer = Answer::bare(503);
        if !sent.ask.act.reads() {
            let mut bank = lock(&self.world.bank);
            if let Some(known) = bank.start(self.account, &sent.key, sent.hash, self.world.time.now()) {
                return whole(&known);
            }
            bank.finish(self.account, &sent.key, &answer);
        }
        whole(&answer)
    }

    /// The request goes its way whatever becomes of its sender.
    async fn later(&self, sent: Sent, there_ms: u64, back_ms: u64) -> Answer {
        let (giver, taker) = promise();
        let world = self.world.clone();
        self.world.handle.spawn(Owner::World, async move {
            world.time.sleep(there_ms).await;
            let answer = sent.arrive(&world);
            world.time.sleep(back_ms).await;
            giver.give(answer);
        });
        match taker.await {
            Some(answer) => answer,
            None => Answer::bare(502),
        }
    }
}

/// Where the accounts are looked up.
#[derive(Debug)]
pub(crate) struct SimConnectors {
    pub(crate) map: ConnectorMap,
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl Connectors for SimConnectors {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        self.world.gate().await;
        let rates = [(2, Fault::AccountGone), (2, Fault::AccountsUnreadable)];
        match self.world.faults.draw(WORLD, &rates) {
            Some(Fault::AccountGone) => return Ok(None),
            Some(_) => return Err(Error::connectors("the vault is away for a moment")),
            None => {}
        }
        let found = self.map.get(tenant, account).await;
        self.world.gate().await;
        found
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        self.world.gate().await;
        self.map.accounts(tenant).await
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        self.world.gate().await;
        Connectors::endpoint(&self.map, endpoint).await
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        self.map.owner(account).await
    }
}

/// Spreads payments over the accounts: by amount, so that every instance decides alike.
#[derive(Debug)]
pub(crate) struct Spread;

impl Router for Spread {
    fn route(&self, facts: &RouteFacts<'_>) -> Plan {
        let count = facts.candidates.len().max(1);
        let first = facts.amount.minor() as usize % count;
        let turned = facts
            .candidates
            .iter()
            .cycle()
            .skip(first)
            .take(facts.candidates.len());
        turned.fold(Plan::new(), |plan, candidate| {
            plan.then(candidate.account.clone(), "spread")
        })
    }
}

/// The host's own check: it decides by the order's name.
#[derive(Debug)]
pub(crate) struct SimRisk {
    pub(crate) world: Arc<World>,
    pub(crate) after: bool,
}

impl SimRisk {
    fn verdict(&self, payment: &PaymentIntent, salt: u64) -> RiskVerdict {
        let name = payment.details().merchant_reference.clone().unwrap_or_default();
        let sum = name.bytes().fold(salt, |sum, byte| mix(sum, u64::from(byte)));
        match sum % 40 {
            0 => RiskVerdict::Refuse,
            1 => RiskVerdict::Hold,
            _ => RiskVerdict::Allow,
        }
    }
}

#[async_trait]
impl RiskCheck for SimRisk {
    fn stages(&self) -> RiskStages {
        match self.after {
            true => RiskStages::BeforeAndAfter,
            false => RiskStages::Before,
        }
    }

    async fn before(&self, _: &Tenant, payment: &PaymentIntent, _: &PaymentMethod) -> Result<RiskVerdict> {
        self.world.gate().await;
        Ok(self.verdict(payment, 1))
    }

    async fn after(&self, _: &Tenant, payment: &PaymentIntent) -> Result<RiskVerdict> {
        self.world.gate().await;
        Ok(self.verdict(payment, 2))
    }
}
