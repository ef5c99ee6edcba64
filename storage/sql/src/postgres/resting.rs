//! Connections between two statements.
//!
//! sqlx's pool tries each connection that comes back with a message, and hands them out in turn. Statements that follow
//! each other would find the last connection still on its way and open another; from then on each would run in the
//! backend that has rested longest, whose memory no cache holds any more. So a connection waits for a moment before it
//! goes back, and the one that came last is taken first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};

/// A connection rests for one to two of these. So long may the pool's other users have to wait for it.
const TURN: Duration = Duration::from_millis(2);

/// After so many statements in a row a connection goes back, so that the pool can see whether it is too old.
const MOST: u32 = 1_000;

/// A connection that is in use.
pub(super) struct Working {
    pub(super) conn: PoolConnection<Postgres>,
    statements: u32,
    place: Arc<Resting>,
}

impl Working {
    /// Lets it rest after a statement that went well. Where another statement waits for the pool it goes there.
    pub(super) fn rest(self) {
        let statements = self.statements + 1;
        let place = self.place.clone();
        if statements < MOST && place.waiting.load(Ordering::Acquire) == 0 {
            place.keep(Self { statements, ..self });
        }
    }

    /// Ends it, whatever state it is in; those that rest are tried.
    pub(super) fn end(self) {
        let resting = std::mem::take(&mut self.place.rested().connections);
        drop(self.conn.detach());
        drop(resting);
    }
}

/// The connections of one pool that rest.
#[derive(Default)]
pub(super) struct Resting {
    rested: Mutex<Rested>,
    /// How many statements wait for the pool.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Rested {
    /// The last that came is the last here. Each with the turn in which it came.
    connections: Vec<(u64, Working)>,
    turn: u64,
    /// Whether a task looks after them: always, while there are any.
    watched: bool,
}

impl Resting {
    /// The connection that was in use last, or one of the pool's.
    pub(super) async fn acquire(self: &Arc<Self>, pool: &PgPool) -> sqlx::Result<Working> {
        if let Some((_, working)) = self.rested().connections.pop() {
            return Ok(working);
        }
        let _waits = self.waits();
        Ok(Working {
            conn: pool.acquire().await?,
            statements: 0,
            place: self.clone(),
        })
    }

    fn keep(self: &Arc<Self>, working: Working) {
        let mut rested = self.rested();
        let turn = rested.turn;
        rested.connections.push((turn, working));
        if !rested.watched {
            rested.watched = true;
            // Whoever can't take the task drops it at once, and so locks this.
            drop(rested);
            let watch = Watch {
                place: self.clone(),
                over: false,
            };
            tokio::spawn(watch.until_all_are_back());
        }
    }

    fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waits(self)
    }

    fn rested(&self) -> MutexGuard<'_, Rested> {
        self.rested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement that waits for the pool.
struct Waits<'r>(&'r Resting);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The task that gives connections back.
struct Watch {
    place: Arc<Resting>,
    /// Whether nothing rests any more.
    over: bool,
}

impl Watch {
    #[allow(
        clippy::disallowed_methods,
        reason = "the database that others work on is in real time too"
    )]
    async fn until_all_are_back(mut self) {
        while !self.over {
            tokio::time::sleep(TURN).await;
            let back = self.turn();
            drop(back);
        }
    }

    /// Those that have rested.
    fn turn(&mut self) -> Vec<(u64, Working)> {
        let mut rested = self.place.rested();
        let now = rested.turn;
        rested.turn += 1;
        let back = rested
            .connections
            .extract_if(.., |(came, _)| *came < now)
            .collect();
        rested.watched = !rested.connections.is_empty();
        self.over = !rested.watched;
        back
    }
}

/// A runtime may end before its tasks do. The connections end with it.
impl Drop for Watch {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut rested = self.place.rested();
        rested.watched = false;
        let connections = std::mem::take(&mut rested.connections);
        drop(rested);
        for (_, working) in connections {
            drop(working.conn.detach());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;
    use crate::PostgresOptions;
    use crate::postgres::tests::database::Database;

    async fn pool(database: &Database, connections: u32) -> PgPool {
        let options = PostgresOptions::new(database.url()).schema(database.schema());
        let store = options.max_connections(connections).open().await.unwrap();
        store.pool().clone()
    }

    async fn backend(working: &mut Working) -> i32 {
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()");
        pid.fetch_one(&mut *working.conn).await.unwrap()
    }

    #[tokio::test]
    async fn the_next_statement_has_the_connection_of_the_last_one() {
        let Some(database) = Database::find().await else {
            return;
        };
        let (pool, place) = (pool(&database, 5).await, Arc::<Resting>::default());
        let [mut one, mut two] = [place.acquire(&pool).await, place.acquire(&pool).await].map(Result::unwrap);
        let pids = [backend(&mut one).await, backend(&mut two).await];
        one.rest();
        two.rest();
        let [mut two, mut one] = [place.acquire(&pool).await, place.acquire(&pool).await].map(Result::unwrap);
        assert_eq!([backend(&mut one).await, backend(&mut two).await], pids);
        one.rest();
        two.rest();
        // Nobody wants them, so the pool gets them back.
        while pool.num_idle() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!((pool.size(), place.rested().connections.len()), (2, 0));
        place.acquire(&pool).await.unwrap().rest();
        assert!(place.rested().watched);
    }

    #[tokio::test]
    async fn no_connection_rests_while_a_statement_waits_for_one() {
        let Some(database) = Database::find().await else {
            return;
        };
        let (pool, place) = (pool(&database, 1).await, Arc::<Resting>::default());
        let one = place.acquire(&pool).await.unwrap();
        let other = tokio::spawn({
            let (pool, place) = (pool.clone(), place.clone());
            async move { place.acquire(&pool).await.map(|working| working.statements) }
        });
        while place.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        one.rest();
        assert!(place.rested().connections.is_empty());
        assert_eq!(other.await.unwrap().unwrap(), 0);
    }

    /// Without a runtime the pool couldn't take them back, and sqlx would panic.
    #[test]
    fn connections_that_rest_end_with_their_runtime() {
        let place = Arc::<Resting>::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let pool = runtime.block_on(async {
            let database = Database::find().await?;
            let pool = pool(&database, 2).await;
            place.acquire(&pool).await.unwrap().rest();
            Some(pool)
        });
        drop(runtime);
        assert!(place.rested().connections.is_empty());
        assert!(!place.rested().watched);
        drop(pool);
    }
}
