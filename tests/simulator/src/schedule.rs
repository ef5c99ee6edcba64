//! One thread, one clock, one scheduler: which task goes on next is the seed's choice, and time passes only when
//! nobody can go on.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::rng::Rng;

/// Work without a result.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Locks what only one thread ever locks.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who dies with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The world: clients, payers, networks. They outlive every worker.
    World,
    /// A worker: whatever it was doing dies with it.
    Worker(usize),
}

/// The last boundary that a task has passed: where it was when it was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Boundary {
    Nowhere,
    BeforeFirstWrite,
    AfterFirstWrite,
    RequestOnItsWay,
    Answered,
    AfterHandleWritten,
    BeforeOutcomeWritten,
    AfterOutcomeWritten,
}

impl Boundary {
    pub(crate) const ALL: [Self; 8] = [
        Self::Nowhere,
        Self::BeforeFirstWrite,
        Self::AfterFirstWrite,
        Self::RequestOnItsWay,
        Self::Answered,
        Self::AfterHandleWritten,
        Self::BeforeOutcomeWritten,
        Self::AfterOutcomeWritten,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nowhere => "before anything",
            Self::BeforeFirstWrite => "before W1",
            Self::AfterFirstWrite => "after W1, not sent",
            Self::RequestOnItsWay => "after W1, sent",
            Self::Answered => "after W1, answered",
            Self::AfterHandleWritten => "after W2",
            Self::BeforeOutcomeWritten => "before W3",
            Self::AfterOutcomeWritten => "after W3",
        }
    }
}

/// What the running task may ask of the scheduler. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle(Arc<Asked>);

#[derive(Default)]
struct Asked {
    orders: Mutex<Vec<Order>>,
    boundary: AtomicU8,
    running: AtomicUsize,
    died: Mutex<BTreeMap<usize, u64>>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scheduler")
    }
}

enum Order {
    Spawn(Owner, Job, Option<u32>),
    Kill(usize),
    Pause(usize),
    Resume(usize),
}

impl Handle {
    pub(crate) fn spawn(&self, owner: Owner, job: impl Future<Output = ()> + Send + 'static) {
        self.order(Order::Spawn(owner, Box::pin(job), None));
    }

    /// As `spawn`, and drops the job when it would be polled for the `polls`th time.
    pub(crate) fn spawn_dropped_at(
        &self,
        owner: Owner,
        polls: Option<u32>,
        job: impl Future<Output = ()> + Send + 'static,
    ) {
        self.order(Order::Spawn(owner, Box::pin(job), polls));
    }

    /// Drops everything that a worker was doing.
    pub(crate) fn kill(&self, worker: usize) {
        self.order(Order::Kill(worker));
    }

    /// Lets nothing of a worker go on until it is resumed.
    pub(crate) fn pause(&self, worker: usize) {
        self.order(Order::Pause(worker));
    }

    pub(crate) fn resume(&self, worker: usize) {
        self.order(Order::Resume(worker));
    }

    pub(crate) fn at(&self, boundary: Boundary) {
        self.0.boundary.store(boundary as u8, Ordering::Relaxed);
    }

    /// The task that is polled now.
    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }

    /// When a task was dropped, if it was before its end.
    pub(crate) fn died_at(&self, task: usize) -> Option<u64> {
        lock(&self.0.died).get(&task).copied()
    }

    fn order(&self, order: Order) {
        lock(&self.0.orders).push(order);
    }
}

struct Task {
    job: Job,
    owner: Owner,
    waker: Waker,
    flag: Arc<Flag>,
    boundary: Boundary,
    polls: u32,
    drop_at: Option<u32>,
}

struct Flag {
    id: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready).push(self.id);
        }
    }
}

/// Where each dropped task was.
pub(crate) type Dropped = Vec<Boundary>;

/// Runs tasks in the order that a seed says.
pub(crate) struct Scheduler {
    tasks: Vec<Option<Task>>,
    ready: Arc<Mutex<Vec<usize>>>,
    parked: Vec<usize>,
    paused: Vec<usize>,
    handle: Handle,
    time: Time,
    rng: Rng,
    pub(crate) polls: u64,
    pub(crate) dropped: Dropped,
}

/// Why the scheduler stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    Done,
    /// Nobody can go on, and no time will change that.
    Stuck,
    /// The limit of polls is used up.
    Endless,
}

impl Scheduler {
    pub(crate) fn new(handle: Handle, time: Time, rng: Rng) -> Self {
        Self {
            tasks: Vec::new(),
            ready: Arc::default(),
            parked: Vec::new(),
            paused: Vec::new(),
            handle,
            time,
            rng,
            polls: 0,
            dropped: Vec::new(),
        }
    }

    /// Runs `main` and all that it spawns until `main` ends.
    pub(crate) fn run(&mut self, main: impl Future<Output = ()> + Send + 'static, limit: u64) -> Stopped {
        let done = Arc::new(AtomicBool::new(false));
        let flag = done.clone();
        self.handle.spawn(Owner::World, async move {
            main.await;
            flag.store(true, Ordering::Relaxed);
        });
        self.follow_orders();
        while !done.load(Ordering::Relaxed) {
            let next = {
                let mut ready = lock(&self.ready);
                let waiting = ready.len() as u64;
                (waiting > 0).then(|| ready.swap_remove(self.rng.below(waiting) as usize))
            };
            match next {
                Some(id) => self.poll(id),
                None if self.time.pass() => {}
                None => return Stopped::Stuck,
            }
            if self.polls > limit {
                return Stopped::Endless;
            }
        }
        Stopped::Done
    }

    fn poll(&mut self, id: usize) {
        let Some(task) = self.tasks.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        if let Owner::Worker(worker) = task.owner
            && self.paused.contains(&worker)
        {
            self.parked.push(id);
            return;
        }
        task.flag.queued.store(false, Ordering::Relaxed);
        self.polls += 1;
        task.polls += 1;
        if task.drop_at.is_some_and(|at| task.polls >= at) {
            self.dropped.push(task.boundary);
            lock(&self.handle.0.died).insert(id, self.time.now());
            self.tasks[id] = None;
        } else {
            self.handle.at(task.boundary);
            self.handle.0.running.store(id, Ordering::Relaxed);
            let polled = task.job.as_mut().poll(&mut Context::from_waker(&task.waker));
            let passed = self.handle.0.boundary.load(Ordering::Relaxed);
            task.boundary = Boundary::ALL[usize::from(passed)];
            if polled.is_ready() {
                self.tasks[id] = None;
            }
        }
        self.follow_orders();
    }

    fn follow_orders(&mut self) {
        loop {
            let orders = std::mem::take(&mut *lock(&self.handle.0.orders));
            if orders.is_empty() {
                return;
            }
            for order in orders {
                match order {
                    Order::Spawn(owner, job, drop_at) => self.start(owner, job, drop_at),
                    Order::Kill(worker) => {
                        for (id, slot) in self.tasks.iter_mut().enumerate() {
                            if let Some(task) = slot.take_if(|task| task.owner == Owner::Worker(worker)) {
                                self.dropped.push(task.boundary);
                                lock(&self.handle.0.died).insert(id, self.time.now());
                            }
                        }
                    }
                    Order::Pause(worker) => self.paused.push(worker),
                    Order::Resume(worker) => {
                        self.paused.retain(|paused| *paused != worker);
                        lock(&self.ready).append(&mut self.parked);
                    }
                }
            }
        }
    }

    fn start(&mut self, owner: Owner, job: Job, drop_at: Option<u32>) {
        let id = self.tasks.len();
        let flag = Arc::new(Flag {
            id,
            queued: AtomicBool::new(true),
            ready: self.ready.clone(),
        });
        let task = Task {
            job,
            owner,
            waker: Waker::from(flag.clone()),
            flag,
            boundary: Boundary::Nowhere,
            polls: 0,
            drop_at,
        };
        self.tasks.push(Some(task));
        lock(&self.ready).push(id);
    }
}

/// The world's own time, in milliseconds since it began. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time(Arc<Mutex<Timers>>);

#[derive(Debug, Default)]
struct Timers {
    now: u64,
    next: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
}

impl Time {
    pub(crate) fn now(&self) -> u64 {
        lock(&self.0).now
    }

    /// Goes on to the next moment at which anybody wakes.
    fn pass(&self) -> bool {
        let mut timers = lock(&self.0);
        let Some(((due, _), first)) = timers.sleepers.pop_first() else {
            return false;
        };
        timers.now = due.max(timers.now);
        first.wake();
        while let Some(entry) = timers.sleepers.first_entry() {
            if entry.key().0 > due {
                break;
            }
            entry.remove().wake();
        }
        true
    }

    pub(crate) fn sleep(&self, ms: u64) -> Sleep {
        Sleep {
            time: self.clone(),
            due: self.now() + ms,
            place: None,
        }
    }
}

/// Ends after its time.
pub(crate) struct Sleep {
    time: Time,
    due: u64,
    place: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        let mut timers = lock(&self.time.0);
        if timers.now >= due {
            return Poll::Ready(());
        }
        // A task has one waker for all its life: once is enough.
        if self.place.is_none() {
            timers.next += 1;
            let place = (due, timers.next);
            timers.sleepers.insert(place, cx.waker().clone());
            drop(timers);
            self.place = Some(place);
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            lock(&self.time.0).sleepers.remove(&place);
        }
    }
}

/// Lets others go on first.
pub(crate) fn give_way() -> impl Future<Output = ()> + Send {
    let mut gave = false;
    std::future::poll_fn(move |cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// A result on its way from one task to another; `None` where the other is dropped first.
pub(crate) fn promise<T>() -> (Giver<T>, Taker<T>) {
    let slot = Arc::new(Mutex::new(Slot {
        value: None,
        gone: false,
        waker: None,
    }));
    (Giver(slot.clone()), Taker(slot))
}

struct Slot<T> {
    value: Option<T>,
    gone: bool,
    waker: Option<Waker>,
}

pub(crate) struct Giver<T>(Arc<Mutex<Slot<T>>>);

pub(crate) struct Taker<T>(Arc<Mutex<Slot<T>>>);

impl<T> Giver<T> {
    pub(crate) fn give(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        slot.gone = true;
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for Taker<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        match (slot.value.take(), slot.gone) {
            (Some(value), _) => Poll::Ready(Some(value)),
            (None, true) => Poll::Ready(None),
            (None, false) => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Runs a future that waits for nothing but its turn.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}
