//! Ports to the host's runtime: time, identifiers and tasks. Nothing else in core reads a clock or randomness.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::time::Timestamp;

/// A task without a result, boxed.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Reads time and waits.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock. It may jump: only what is shown or stored uses it.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point, which never goes back: every time-out uses it.
    fn elapsed(&self) -> Duration;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

/// Makes what must be new: UUIDs of version 7, and bytes.
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    /// A version 7 UUID at `now`; later calls sort after earlier ones of the same source.
    fn uuid(&self, now: Timestamp) -> Uuid;
}

/// Runs a task to its end, whoever waits for it.
pub trait Spawn: fmt::Debug + Send + Sync + 'static {
    /// Starts `task` and returns at once.
    fn spawn(&self, task: Task);
}

/// What the engine asks of the host's runtime.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) spawn: Option<Arc<dyn Spawn>>,
}

impl Runtime {
    /// A runtime from its parts. Without `spawn`, a verb's future that is dropped is a crash of that verb, and is
    /// recovered as one.
    pub fn new(clock: impl Clock, ids: impl IdSource, spawn: Option<Arc<dyn Spawn>>) -> Self {
        Self {
            clock: Arc::new(clock),
            ids: Arc::new(ids),
            spawn,
        }
    }

    /// Tokio's clock and tasks: once a verb's first write is done, it runs to its end even if its caller goes away.
    #[cfg(feature = "tokio")]
    pub fn tokio() -> Self {
        Self::new(
            tokio_runtime::TokioClock::new(),
            RandomIds::new(),
            Some(Arc::new(tokio_runtime::TokioSpawn)),
        )
    }

    /// Tokio's clock, and no tasks: everything happens inside the caller's future.
    #[cfg(feature = "tokio")]
    pub fn tokio_without_spawn() -> Self {
        Self::new(tokio_runtime::TokioClock::new(), RandomIds::new(), None)
    }

    /// A clock that stands until it is moved and identifiers that follow from `seed`, without tasks: for tests.
    ///
    /// ```
    /// use paymux_core::Runtime;
    /// use std::time::Duration;
    ///
    /// let (runtime, clock) = Runtime::test(7);
    /// clock.advance(Duration::from_secs(60));
    /// # drop(runtime);
    /// ```
    pub fn test(seed: u64) -> (Self, TestClock) {
        let clock = TestClock::new();
        (Self::new(clock.clone(), SeededIds::new(seed), None), clock)
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// Identifiers from the operating system's randomness.
#[cfg(feature = "tokio")]
#[derive(Debug, Default)]
pub struct RandomIds(Counter);

#[cfg(feature = "tokio")]
impl RandomIds {
    /// A source of its own.
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(feature = "tokio")]
impl IdSource for RandomIds {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the port that others are told to ask"
    )]
    fn uuid(&self, now: Timestamp) -> Uuid {
        self.0.uuid(now, Uuid::new_v4().as_u128())
    }
}

/// Identifiers that follow from a seed, for tests: the same seed gives the same row of them.
#[derive(Debug)]
pub struct SeededIds {
    state: AtomicU64,
    counter: Counter,
}

impl SeededIds {
    /// Starts the row.
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
            counter: Counter::default(),
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&self) -> u64 {
        let state = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl IdSource for SeededIds {
    fn uuid(&self, now: Timestamp) -> Uuid {
        let random = u128::from(self.next()) << 64 | u128::from(self.next());
        self.counter.uuid(now, random)
    }
}

/// Keeps one source's UUIDs in order: RFC 9562, section 6.2, method 1, a counter in `rand_a`.
#[derive(Debug, Default)]
struct Counter(Mutex<(i64, u16)>);

impl Counter {
    fn uuid(&self, now: Timestamp, random: u128) -> Uuid {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let millis = now.as_millis().max(0);
        *last = match *last {
            (at, count) if millis <= at && count < 0xfff => (at, count + 1),
            (at, _) if millis <= at => (at + 1, 0),
            _ => (millis, 0),
        };
        let (at, count) = *last;
        let mut bytes = [0u8; 10];
        bytes[0] = (count >> 8) as u8;
        bytes[1] = count as u8;
        bytes[2..].copy_from_slice(&random.to_be_bytes()[..8]);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(at).unwrap_or(0), &bytes).into_uuid()
    }
}

/// A clock that stands still until a test moves it. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Mutex<TestTime>>);

#[derive(Debug)]
struct TestTime {
    now: Timestamp,
    elapsed: Duration,
    sleepers: Vec<(Duration, Waker)>,
}

impl TestClock {
    /// Stands at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let now = Timestamp::from_secs(1_767_225_600);
        Self(Arc::new(Mutex::new(TestTime {
            now,
            elapsed: Duration::ZERO,
            sleepers: Vec::new(),
        })))
    }

    /// Moves both clocks on and wakes whoever has slept long enough.
    pub fn advance(&self, duration: Duration) {
        let mut time = self.lock();
        time.now = time.now.after(duration);
        time.elapsed += duration;
        let elapsed = time.elapsed;
        time.sleepers.retain(|(due, waker)| {
            let asleep = *due > elapsed;
            if !asleep {
                waker.wake_by_ref();
            }
            asleep
        });
    }

    /// Moves the wall clock alone, as an operator or a time server may.
    pub fn jump_to(&self, now: Timestamp) {
        self.lock().now = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, TestTime> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let due = self.elapsed() + duration;
        TestSleep { clock: self, due }.await;
    }
}

struct TestSleep<'a> {
    clock: &'a TestClock,
    due: Duration,
}

impl Future for TestSleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.lock();
        if time.elapsed >= self.due {
            return Poll::Ready(());
        }
        time.sleepers.push((self.due, cx.waker().clone()));
        Poll::Pending
    }
}

#[cfg(feature = "tokio")]
#[allow(
    clippy::disallowed_methods,
    reason = "these are the ports that others are told to ask"
)]
mod tokio_runtime {
    use std::time::SystemTime;

    use chrono::{DateTime, Utc};

    use super::*;

    #[derive(Debug)]
    pub(super) struct TokioClock(tokio::time::Instant);

    impl TokioClock {
        pub(super) fn new() -> Self {
            Self(tokio::time::Instant::now())
        }
    }

    #[async_trait]
    impl Clock for TokioClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(DateTime::<Utc>::from(SystemTime::now()).timestamp_millis())
        }

        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }

        async fn sleep(&self, duration: Duration) {
            tokio::time::sleep(duration).await;
        }
    }

    #[derive(Debug)]
    pub(super) struct TokioSpawn;

    impl Spawn for TokioSpawn {
        fn spawn(&self, task: Task) {
            drop(tokio::spawn(task));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_their_making_even_if_the_clock_goes_back() {
        let ids = SeededIds::new(1);
        let mut last = Uuid::nil();
        for millis in [5, 5, 5, 3, 9, 9, 1] {
            let next = ids.uuid(Timestamp::from_millis(millis));
            assert!(next > last);
            assert_eq!(next.get_version_num(), 7);
            last = next;
        }
    }

    #[test]
    fn a_seed_gives_one_row_of_identifiers() {
        let now = Timestamp::from_millis(1);
        let row = |seed| {
            let ids = SeededIds::new(seed);
            (ids.uuid(now), ids.uuid(now))
        };
        assert_eq!(row(3), row(3));
        assert_ne!(row(3), row(4));
    }
}
