//! One world: its workers, accounts and clients from a seed, its trouble, its rest, and the audit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use paymux_core::store::{Queue, StoreTime};
use paymux_core::{
    ConnectorMap, EndpointId, IntentQuery, Mode, OnLatePayment, OnLateSuccess, Orchestrator,
    PartialAuthorization, PaymentIntent, Payments, Policy, Refund, RefundQuery, Runtime, Secret, SeededIds,
    Spawn, Store, Tenant, Timestamp,
};

use crate::auditor::{Auditor, number_of};
use crate::bank::Bank;
use crate::coverage::Coverage;
use crate::faults::{Fault, Faults, WORLD};
use crate::fenced::{self, Refused};
use crate::ports::{EPOCH_MS, SimClock, SimConnectors, SimRisk, SimSpawn, SimStore, SimTransport, Spread};
use crate::rng::mix;
use crate::routed::Setting;
use crate::routes::Routing;
use crate::schedule::{Handle, Owner, Scheduler, Stopped, Time, at_once, give_way, lock, promise};
use crate::script::{Decider, Record, Script, Stream};
use crate::shape::Shape;
use crate::teeth::{self, Tooth};
use crate::trace::Trace;
use crate::wire::Ask;
use crate::{Options, Outcome, courier, disk, keeper, person, shopper};

/// What a world is like.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) orders: u32,
    pub(crate) workers: usize,
    pub(crate) tenants: usize,
    /// Wall clocks jump by a day. Nothing that needs a right clock to be safe is asked for in such a world: the bank
    /// remembers keys for longer than it promises, and nothing is late.
    pub(crate) jumps: bool,
    pub(crate) prompt: bool,
    spawns: bool,
    risk: Option<bool>,
    on_late_success: OnLateSuccess,
    on_late_payment: OnLatePayment,
    partial: PartialAuthorization,
    run_workers: bool,
    dial: u64,
}

impl Config {
    fn of(options: &Options, decider: &Decider) -> Self {
        let mut rng = decider.stream(Stream::Config);
        let jumps = rng.chance(150);
        Self {
            orders: options.payments,
            workers: rng.within(2, 3) as usize,
            tenants: rng.within(2, 3) as usize,
            jumps,
            prompt: jumps || rng.chance(200),
            spawns: rng.chance(300),
            risk: rng.chance(250).then(|| rng.chance(500)),
            on_late_success: *rng.pick(&[
                OnLateSuccess::Reverse,
                OnLateSuccess::Reverse,
                OnLateSuccess::AcceptIfUnpaid,
                OnLateSuccess::Ask,
            ]),
            on_late_payment: *rng.pick(&[OnLatePayment::HandOver, OnLatePayment::Refund]),
            partial: *rng.pick(&[PartialAuthorization::Accept, PartialAuthorization::Void]),
            run_workers: rng.chance(100),
            dial: *rng.pick(&[0, 500, 1000, 1000, 2500]),
        }
    }
}

/// Everything there is, shared by all that runs in it.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) decider: Decider,
    pub(crate) config: Config,
    pub(crate) routing: Arc<Routing>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) owners: Vec<Option<usize>>,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) time: Time,
    pub(crate) handle: Handle,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) bank: Mutex<Bank>,
    pub(crate) auditor: Mutex<Auditor>,
    pub(crate) refused: Mutex<Refused>,
    pub(crate) disk: Arc<dyn Store>,
    engines: Mutex<Vec<Option<Orchestrator>>>,
    clocks: Vec<SimClock>,
    down: Mutex<BTreeMap<usize, (u64, u64)>>,
    tooth: Option<Tooth>,
    calm: AtomicBool,
    built: AtomicU64,
    /// Tasks of the world that are still to do something: couriers, and what the bank has waiting.
    pub(crate) pending: AtomicU64,
    me: Weak<World>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({})", self.seed)
    }
}

/// So many polls end a world that doesn't come to rest.
const POLLS_AT_MOST: u64 = 20_000_000;
/// Adding up all events of a world takes time.
const WORLDS_PER_SUM: u64 = 16;
/// And so does reading each row that is written.
const WORLDS_PER_COUNT: u64 = 4;
/// After so long without faults everything is at rest: the longest key window, the time until a person is asked, and
/// a little more.
const REST_MS: u64 = 32 * 3_600_000;

/// Runs one world from its seed.
pub fn run(options: &Options) -> Outcome {
    run_as(options, Decider::new(options.seed, options.script.clone(), None))
}

/// The same, and writes all its decisions down.
pub fn record(options: &Options) -> (Outcome, Script) {
    let record = Record::default();
    let decider = Decider::new(options.seed, options.script.clone(), Some(record.clone()));
    let outcome = run_as(options, decider);
    (outcome, record.script(options.seed, options.payments))
}

fn run_as(options: &Options, decider: Decider) -> Outcome {
    let turns = decider.stream(Stream::Turns);
    let world = Arc::new_cyclic(|me| World::new(options, decider, me));
    let mut scheduler = Scheduler::new(world.handle.clone(), world.time.clone(), turns);
    let only = options.only.clone();
    let director = world.clone();
    let polls_at_most = match (options.tooth, &options.script) {
        (None, None) => POLLS_AT_MOST,
        (Some(_), _) | (_, Some(_)) => POLLS_AT_MOST / 50,
    };
    let stopped = scheduler.run(async move { director.direct(only).await }, polls_at_most);
    match stopped {
        Stopped::Done => {}
        Stopped::Stuck => lock(&world.auditor).raise(31, "nobody can go on, and no time changes that"),
        Stopped::Endless => lock(&world.auditor).raise(31, "the world doesn't come to rest"),
    }
    let dropped = std::mem::take(&mut scheduler.dropped);
    let polls = scheduler.polls;
    drop(scheduler);
    // What holds the world is held by the world: let go of both.
    lock(&world.engines).clear();
    world.outcome(options, polls, &dropped)
}

impl World {
    fn new(options: &Options, decider: Decider, me: &Weak<World>) -> Self {
        let seed = options.seed;
        let config = Config::of(options, &decider);
        let mut rng = decider.stream(Stream::Accounts);
        let time = Time::default();
        let accounts = rng.within(3, 5) as usize;
        let mut shapes: Vec<Shape> = (0..accounts).map(|_| Shape::of(&mut rng)).collect();
        let owners: Vec<Option<usize>> = (0..accounts)
            .map(|place| (place > 0 && rng.chance(350)).then(|| rng.below(config.tenants as u64) as usize))
            .collect();
        let tenants: Vec<Tenant> = (0..config.tenants)
            .filter_map(|place| Tenant::test(&format!("m{place}")).ok())
            .collect();
        let mut rng = decider.stream(Stream::Routing);
        let routing = Arc::new(Routing::of(&mut rng, &owners, config.tenants));
        routing.limit(&mut rng, &mut shapes);
        let clock = || SimClock {
            time: time.clone(),
            skew_ms: Arc::new(AtomicI64::new(0)),
        };
        let clocks: Vec<SimClock> = (0..config.workers + 1).map(|_| clock()).collect();
        let store_time = StoreTime::Injected(Arc::new(clocks[config.workers].clone()));
        let disk = disk::open(options.store, store_time);
        let disk = teeth::disk(options.tooth, disk, &time, &tenants);
        let patience = if config.jumps { 5 * 24 * 3_600_000 } else { 0 };
        let bank = Bank::new(shapes.clone(), patience);
        // Reading every byte that is stored costs more than all the rest.
        let secrets = match seed.is_multiple_of(16) {
            true => vec![b"canary".to_vec(), b"secret-of-a".to_vec()],
            false => Vec::new(),
        };
        let lasts = routing.health.as_ref().is_some_and(|counting| counting.lasts());
        let setting = Setting {
            routing: routing.clone(),
            shapes: shapes.clone(),
            owners: owners.clone(),
            tenants: tenants.clone(),
            checks_after: config.risk == Some(true),
            jumps: config.jumps,
            counts: lasts && !config.jumps && seed.is_multiple_of(WORLDS_PER_COUNT),
        };
        let accepts_late = config.on_late_success == OnLateSuccess::AcceptIfUnpaid;
        let auditor = Auditor::new(accepts_late, secrets, setting);
        Self {
            seed,
            faults: Faults::new(decider.clone(), config.dial, &options.without),
            trace: Trace::new(time.clone(), options.trace),
            decider,
            config,
            routing,
            shapes,
            owners,
            tenants,
            time,
            handle: Handle::default(),
            bank: Mutex::new(bank),
            auditor: Mutex::new(auditor),
            refused: Mutex::default(),
            disk,
            engines: Mutex::default(),
            clocks,
            down: Mutex::default(),
            tooth: options.tooth,
            calm: AtomicBool::new(false),
            built: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            me: me.clone(),
        }
    }

    /// A boundary of a port: others may go first, or the task may end here.
    pub(crate) async fn gate(&self) {
        if !self.is_calm() {
            give_way().await;
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// The order that a call is about.
    pub(crate) fn order_of_reference(&self, ask: &Ask) -> u32 {
        match &ask.order {
            Some(order) => number_of(order),
            None => {
                let auditor = lock(&self.auditor);
                auditor
                    .order_of_reference(&ask.reference)
                    .map_or(WORLD, number_of)
            }
        }
    }

    pub(crate) fn is_down(&self, account: usize) -> Option<u64> {
        if self.is_calm() {
            return None;
        }
        let (until, how) = *lock(&self.down).get(&account)?;
        (self.time.now() < until).then_some(how)
    }

    pub(crate) fn endpoint(account: usize) -> EndpointId {
        EndpointId::named(Mode::Test, &format!("a{account}"))
    }

    pub(crate) fn secret(account: usize) -> Secret {
        Secret::new(format!("secret-of-a{account}"))
    }

    /// Starts a worker over what is left of the one before: a new process, the same disk.
    fn start(self: &Arc<Self>, worker: usize) {
        let number = self.built.fetch_add(1, Ordering::Relaxed);
        let clock = self.clocks[worker].clone();
        let mut map = ConnectorMap::private();
        let mut shared = Vec::new();
        // A planted bug goes around what follows, and nowhere else.
        let connect = |place: usize, shape: &Shape| {
            let world = self.clone();
            let transport = SimTransport {
                world,
                account: place,
            };
            teeth::connect(self.tooth, shape, place, transport, &self.time)
        };
        for (place, shape) in self.shapes.iter().enumerate() {
            if self.owners[place].is_none() {
                shared.push(connect(place, shape));
            }
        }
        if let Ok(known) = ConnectorMap::shared(shared) {
            map = known;
        }
        for (place, shape) in self.shapes.iter().enumerate() {
            if let Some(owner) = self.owners[place] {
                map = map
                    .only_for(self.tenants[owner].clone(), connect(place, shape))
                    .expect("accounts have names of their own");
            }
        }
        for place in 0..self.shapes.len() {
            map = map
                .endpoint(
                    Self::endpoint(place),
                    Shape::account(place),
                    [Self::secret(place)],
                )
                .expect("the account is registered");
        }
        let connectors = SimConnectors {
            map,
            world: self.clone(),
        };
        let connectors = teeth::connectors(self.tooth, connectors);
        let store = SimStore {
            disk: self.disk.clone(),
            world: self.clone(),
        };
        let store = teeth::store(self.tooth, store);
        let ids = teeth::ids(self.tooth, SeededIds::new(mix(self.seed, 77 + number)));
        let spawn: Option<Arc<dyn Spawn>> = match self.config.spawns {
            true => Some(Arc::new(SimSpawn {
                world: self.clone(),
                worker,
            })),
            false => None,
        };
        let runtime = Runtime::new(clock, ids, spawn);
        let policy = Policy::new()
            .on_late_success(self.config.on_late_success)
            .on_late_payment(self.config.on_late_payment)
            .partial_authorization(self.config.partial)
            .review_after(Duration::from_secs(24 * 3_600))
            .idle(Duration::from_secs(45))
            // So that a clock that jumps by a day doesn't end a replay of what was.
            .body_ttl(Duration::from_secs(3 * 24 * 3_600));
        let builder = Orchestrator::builder(store, connectors, runtime).policy(self.routing.policy(policy));
        let builder = match &self.routing.host {
            Some(rules) => builder.router(rules.program.clone()),
            None => builder.router(Spread),
        };
        let mut builder = self.routing.build(builder, worker);
        if let Some(after) = self.config.risk {
            builder = builder.risk(SimRisk {
                world: self.clone(),
                after,
            });
        }
        let engine = at_once(builder.build()).expect("the store answers");
        let mut engines = lock(&self.engines);
        if engines.len() <= worker {
            engines.resize(worker + 1, None);
        }
        engines[worker] = Some(engine);
        drop(engines);
        let world = self.clone();
        self.handle
            .spawn(Owner::Worker(worker), async move { world.work(worker).await });
    }

    /// A worker's own loop.
    async fn work(self: Arc<Self>, worker: usize) {
        let Some(engine) = self.engine(worker) else { return };
        if self.config.run_workers {
            let world = self.clone();
            let shutdown = async move {
                while !world.is_calm() {
                    world.time.sleep(60_000).await;
                }
            };
            let _ = engine.run_workers(shutdown).await;
            return;
        }
        let mut idle = 1_000;
        while !self.is_calm() {
            self.routing.exchange(&engine).await;
            let recovered = engine
                .recover_due(16)
                .await
                .map_or(0, |progress| progress.claimed);
            let expired = engine.expire_due(16).await.map_or(0, |progress| progress.claimed);
            idle = match recovered + expired {
                0 => (idle * 2).min(120_000),
                _ => 500,
            };
            self.time.sleep(idle).await;
        }
    }

    pub(crate) fn engine(&self, worker: usize) -> Option<Orchestrator> {
        lock(&self.engines).get(worker).cloned().flatten()
    }

    /// A worker that is up, from a number.
    pub(crate) fn some_worker(&self, number: u64) -> Option<(usize, Orchestrator)> {
        let engines = lock(&self.engines);
        let up: Vec<_> = engines
            .iter()
            .enumerate()
            .filter_map(|(worker, engine)| Some((worker, engine.clone()?)))
            .collect();
        (!up.is_empty()).then(|| up[(number % up.len() as u64) as usize].clone())
    }

    /// The verbs of a tenant at a worker that is up.
    pub(crate) fn payments(&self, tenant: usize) -> Payments {
        let engine = self.engine(0).expect("worker 0 is up while the world rests");
        engine.tenant(self.tenants[tenant].clone())
    }

    /// What the bank has turned is followed: what falls due later, what is to be posted.
    pub(crate) fn follow_bank(&self) {
        let (agenda, posts) = {
            let mut bank = lock(&self.bank);
            (std::mem::take(&mut bank.agenda), std::mem::take(&mut bank.posts))
        };
        let Some(world) = self.me.upgrade() else { return };
        for (due, place, turn) in agenda {
            let world = world.clone();
            world.pending.fetch_add(1, Ordering::Relaxed);
            self.handle.spawn(Owner::World, async move {
                world.time.sleep(due.saturating_sub(world.time.now())).await;
                let now = world.time.now();
                lock(&world.bank).turn(place, turn, now);
                world.trace.note(|| format!("bank turns {turn:?} of p{place}"));
                world.pending.fetch_sub(1, Ordering::Relaxed);
                world.follow_bank();
            });
        }
        for (account, posted) in posts {
            let world = world.clone();
            world.pending.fetch_add(1, Ordering::Relaxed);
            self.handle.spawn(Owner::World, async move {
                courier::carry(&world, account, posted).await;
                world.pending.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    async fn direct(self: Arc<Self>, only: Option<Vec<u32>>) {
        for worker in 0..self.config.workers {
            self.start(worker);
        }
        let chaos = self.clone();
        self.handle
            .spawn(Owner::World, async move { chaos.trouble().await });
        self.keep_programs();
        let mut shoppers = Vec::new();
        for order in 0..self.config.orders {
            if only.as_ref().is_some_and(|only| !only.contains(&order)) {
                continue;
            }
            let (giver, taker) = promise();
            let world = self.clone();
            self.handle.spawn(Owner::World, async move {
                shopper::shop(&world, order).await;
                giver.give(());
            });
            shoppers.push(taker);
        }
        for shopper in shoppers {
            shopper.await;
        }
        self.settle_down();
        self.come_to_rest().await;
        person::decide(&self).await;
        self.come_to_rest().await;
        self.counts().await;
        self.audit().await;
    }

    /// Lets somebody be at each tenant's stored programs, or two at once.
    fn keep_programs(self: &Arc<Self>) {
        let Some(stored) = &self.routing.stored else {
            return;
        };
        let people = if stored.contended { 2 } else { 1 };
        for place in 0..self.tenants.len() * people {
            let world = self.clone();
            let number = u32::try_from(place).unwrap_or(u32::MAX);
            self.handle.spawn(Owner::World, async move {
                keeper::keep(&world, place / people, number).await;
            });
        }
    }

    /// What instances have counted, once each of them has heard of the others.
    async fn counts(self: &Arc<Self>) {
        let Some(counting) = &self.routing.health else {
            return;
        };
        if !lock(&self.auditor).counts() {
            return;
        }
        let engines: Vec<_> = (0..self.config.workers)
            .filter_map(|worker| self.engine(worker))
            .collect();
        for _ in 0..4 {
            self.time.sleep(counting.every_ms + 1).await;
            for engine in &engines {
                self.routing.exchange(engine).await;
            }
        }
        let told: Vec<_> = engines.iter().filter_map(Orchestrator::health).collect();
        let at = Timestamp::from_millis(EPOCH_MS + self.time.now() as i64);
        let whole = self.faults.happened().is_empty();
        lock(&self.auditor).of_routing(|routed| routed.rest(&told, at, whole));
    }

    /// Crashes, pauses, outages, clocks that jump.
    async fn trouble(self: Arc<Self>) {
        let mut rng = self.decider.stream(Stream::Trouble);
        loop {
            self.time.sleep(rng.within(5_000, 240_000)).await;
            if self.is_calm() {
                return;
            }
            let worker = rng.below(self.config.workers as u64) as usize;
            let mut rates = vec![(2_500, Fault::WorkerCrashed), (600, Fault::Outage)];
            if self.config.jumps {
                rates.extend([(1_500, Fault::ClockForward), (1_500, Fault::ClockBack)]);
            } else {
                rates.push((1_500, Fault::WorkerPaused));
            }
            let fault = self.faults.draw(WORLD, &rates);
            if let Some(fault) = fault {
                self.trace.note(|| format!("trouble {fault:?} worker {worker}"));
            }
            match fault {
                Some(Fault::WorkerCrashed) => {
                    if let Some(engine) = lock(&self.engines).get_mut(worker) {
                        *engine = None;
                    }
                    self.handle.kill(worker);
                    self.time.sleep(rng.within(0, 90_000)).await;
                    if self.engine(worker).is_none() {
                        self.start(worker);
                    }
                }
                Some(Fault::WorkerPaused) => {
                    self.handle.pause(worker);
                    self.time.sleep(rng.within(1_000, 90_000)).await;
                    self.handle.resume(worker);
                }
                Some(Fault::Outage) => {
                    let account = rng.below(self.shapes.len() as u64) as usize;
                    let length = *rng.pick(&[60_000, 600_000, 3_600_000, 26 * 3_600_000]);
                    let until = self.time.now() + length;
                    lock(&self.down).insert(account, (until, rng.below(3)));
                }
                Some(fault @ (Fault::ClockForward | Fault::ClockBack)) => {
                    let day = 24 * 3_600_000;
                    let by = if fault == Fault::ClockForward { day } else { -day };
                    // A worker's clock, or the store's.
                    let clock = rng.below(self.clocks.len() as u64) as usize;
                    self.clocks[clock].skew_ms.store(by, Ordering::Relaxed);
                    self.time.sleep(rng.within(1_000, 1_800_000)).await;
                    self.clocks[clock].skew_ms.store(0, Ordering::Relaxed);
                }
                Some(_) | None => {}
            }
        }
    }

    /// No more faults, and everybody is up.
    fn settle_down(self: &Arc<Self>) {
        self.trace.note(|| "faults stop".to_owned());
        self.faults.stop();
        self.calm.store(true, Ordering::Relaxed);
        for clock in &self.clocks {
            clock.skew_ms.store(0, Ordering::Relaxed);
        }
        for worker in 0..self.config.workers {
            self.handle.resume(worker);
            if self.engine(worker).is_none() {
                self.start(worker);
            }
        }
    }

    /// Works off what is due until nothing is under way any more, in bounded time.
    async fn come_to_rest(self: &Arc<Self>) {
        let end = self.time.now() + REST_MS;
        let mut step = 1_000;
        while self.time.now() < end {
            let Some(engine) = self.engine(0) else { return };
            let mut claimed = 0;
            for done in [engine.recover_due(500).await, engine.expire_due(500).await] {
                match done {
                    Ok(progress) => {
                        claimed += progress.claimed;
                    }
                    Err(error) => lock(&self.auditor).raise(31, format!("due work can't be read: {error}")),
                }
            }
            let mut open = self.pending.load(Ordering::Relaxed);
            // Counting reads all that there is.
            if claimed == 0 && open == 0 && step >= 60_000 {
                for queue in [Queue::Recovery, Queue::Sync, Queue::Due] {
                    open += self
                        .disk
                        .backlog(queue)
                        .await
                        .map_or(0, |backlog| backlog.scheduled);
                }
                if open == 0 {
                    return;
                }
            }
            step = match claimed {
                0 => (step * 2).min(30 * 60_000),
                _ => (step / 2).max(2_000),
            };
            self.time.sleep(step).await;
        }
    }

    pub(crate) async fn intents(&self, tenant: usize) -> Vec<PaymentIntent> {
        let payments = self.payments(tenant);
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = payments.intents(IntentQuery::new()).page(100, after).await;
            let Ok(page) = page else {
                lock(&self.auditor).raise(31, "the payments can't be listed");
                return all;
            };
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    async fn refunds(&self, tenant: usize) -> Vec<Refund> {
        let payments = self.payments(tenant);
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let Ok(page) = payments.refunds(RefundQuery::new()).page(100, after).await else {
                lock(&self.auditor).raise(31, "the refunds can't be listed");
                return all;
            };
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }

    async fn audit(&self) {
        for tenant in 0..self.tenants.len() {
            if self.seed.is_multiple_of(WORLDS_PER_SUM) {
                for what in crate::sums::wrong(&*self.disk, &self.tenants[tenant]).await {
                    lock(&self.auditor).raise(18, what);
                }
            }
            let intents = self.intents(tenant).await;
            let mut refunds: BTreeMap<String, Vec<Refund>> = BTreeMap::new();
            for refund in self.refunds(tenant).await {
                refunds
                    .entry(refund.intent().to_string())
                    .or_default()
                    .push(refund);
            }
            let bank = lock(&self.bank);
            let mut auditor = lock(&self.auditor);
            let mut by_order: BTreeMap<String, Vec<&PaymentIntent>> = BTreeMap::new();
            for intent in &intents {
                let own = refunds.get(&intent.id().to_string());
                auditor.rest(intent, own.map_or(&[], Vec::as_slice), self, &bank);
                if let Some(order) = &intent.details().merchant_reference {
                    by_order.entry(order.clone()).or_default().push(intent);
                }
            }
            for (order, intents) in by_order {
                auditor.rest_of_order(&order, &intents, &bank, self.time.now());
            }
        }
        let refused = std::mem::take(&mut *lock(&self.refused));
        let kept = fenced::look_for(refused, &self.disk, &self.handle).await;
        lock(&self.auditor).told_late(kept);
        let strayed = lock(&self.bank).strayed.clone();
        if let Some(strayed) = strayed.first() {
            lock(&self.auditor).raise(33, strayed.clone());
        }
    }

    fn outcome(&self, options: &Options, polls: u64, dropped: &[crate::schedule::Boundary]) -> Outcome {
        let happened = self.faults.happened();
        let mut auditor = lock(&self.auditor);
        let mut coverage = Coverage::default();
        std::mem::swap(&mut coverage, &mut auditor.coverage);
        for (_, fault) in &happened {
            coverage.fault(*fault);
        }
        for boundary in dropped {
            coverage.dropped(*boundary);
        }
        let bank = lock(&self.bank);
        let mut trace = self.trace.lines();
        if options.trace {
            trace.push(format!("the books:\n{}", bank.render()));
            trace.push(format!("the accounts: {:#?}", self.shapes));
            trace.push(format!("the world: {:?}", self.config));
        }
        Outcome {
            seed: self.seed,
            payments: auditor.orders.len() as u64,
            faults: happened
                .iter()
                .map(|(name, fault)| (*name, format!("{fault:?}")))
                .collect(),
            violations: std::mem::take(&mut auditor.violations),
            coverage,
            hash: self.trace.hash(),
            polls,
            trace,
            ended_ms: self.time.now(),
        }
    }
}
