//! The stores on which children are killed, and what else befalls each.

use std::time::{Duration, Instant};

use crate::audit::Audit;
use crate::cluster::{Cluster, free_port};
use crate::database::Database;
use crate::kept::Kept;
use crate::pause;
use crate::random::Random;
use crate::round::{Blows, Round};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    Sqlite,
    /// The server at hand; backends are ended around commits.
    Postgres,
    /// The same through PgBouncer in transaction mode.
    PgBouncer,
    /// A server of the test's own, which is stopped at once and started again.
    Restart,
    /// A primary whose commits wait for a standby; the primary is killed and the standby promoted.
    Standby,
}

pub(crate) enum Outcome {
    /// Its counterpart isn't there.
    Skipped,
    Played(Tally),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) blows: Blows,
    pub(crate) audit: Audit,
    pub(crate) took: Duration,
}

/// So many kills at most before the books are compared, over a fresh store and a fresh processor.
const ROUND: u64 = 40;

impl Ground {
    pub(crate) const ALL: [Self; 5] = [
        Self::Sqlite,
        Self::Postgres,
        Self::PgBouncer,
        Self::Restart,
        Self::Standby,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::PgBouncer => "pgbouncer",
            Self::Restart => "restart",
            Self::Standby => "standby",
        }
    }

    /// Its part of all kills. Servers take longer to start than children.
    pub(crate) fn weight(self) -> u64 {
        match self {
            Self::Sqlite | Self::Postgres => 3,
            Self::PgBouncer => 2,
            Self::Restart | Self::Standby => 1,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "it says how long it took")]
    pub(crate) async fn play(self, kills: u64, mut random: Random) -> Outcome {
        let from = Instant::now();
        let mut tally = Tally::default();
        let mut done = 0;
        while done < kills {
            let share = ROUND.min(kills - done);
            let Some((blows, audit)) = self.round(share, random.split()).await else {
                return Outcome::Skipped;
            };
            tally.add(blows, audit);
            done += share;
            println!("{}: {done} of {kills} kills", self.name());
        }
        tally.took = from.elapsed();
        Outcome::Played(tally)
    }

    /// `None` where the counterpart is missing and isn't required.
    async fn round(self, kills: u64, random: Random) -> Option<(Blows, Audit)> {
        match self {
            Self::Sqlite => Some(killed(Kept::InSqlite, kills, random).await),
            Self::Postgres => {
                let database = Database::find().await?;
                let kept = Kept::AtPostgres {
                    url: database.url().to_owned(),
                    schema: database.schema(),
                };
                Some(killed(kept, kills, random).await)
            }
            Self::PgBouncer => {
                let otherwise = "postgres://postgres@127.0.0.1:6432/test";
                let database = Database::at("PAYMUX_PGBOUNCER_URL", otherwise).await?;
                let kept = Kept::BehindPgBouncer {
                    url: database.url().to_owned(),
                    schema: database.schema(),
                };
                Some(killed(kept, kills, random).await)
            }
            Self::Restart => Some(restarted(&Cluster::find()?, kills, random).await),
            Self::Standby => Some(promoted(&Cluster::find()?, kills, random).await),
        }
    }
}

async fn killed(kept: Kept, kills: u64, random: Random) -> (Blows, Audit) {
    let mut round = Round::new(kept, random).await;
    for _ in 0..kills {
        round.kill().await;
    }
    round.audit().await
}

/// Each second life sees its server go down and come up.
async fn restarted(cluster: &Cluster, kills: u64, random: Random) -> (Blows, Audit) {
    let server = cluster.server("primary").await;
    let kept = Kept::AtPostgres {
        url: server.url(),
        schema: "payments".to_owned(),
    };
    let mut round = Round::new(kept, random).await;
    for kill in 0..kills {
        if kill % 2 == 1 {
            round.kill().await;
            continue;
        }
        let mut alive = round.begin_long().await;
        pause(Duration::from_millis(round.random.below(200))).await;
        server.stop_at_once();
        round.blows.restarts += 1;
        if round.random.below(4) == 0 {
            // The child is killed while its server is down.
            round.end(alive).await;
            server.start();
            continue;
        }
        server.start();
        round.goes_on(&mut alive).await;
        round.end(alive).await;
    }
    let audited = round.audit().await;
    drop(server);
    audited
}

/// Lives come in fours: the last of them sees its primary die, and goes on at the standby.
async fn promoted(cluster: &Cluster, kills: u64, random: Random) -> (Blows, Audit) {
    let mut primary = cluster.server("one").await;
    // Where the standby is made; after a failover that is where the primary was.
    let mut place = ("two", free_port());
    let mut other = "one";
    let kept = Kept::AtPrimary {
        url: format!(
            "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/test",
            primary.port(),
            place.1
        ),
        schema: "payments".to_owned(),
    };
    let mut round = Round::new(kept, random).await;
    for four in 0..kills.div_ceil(FAILOVER) {
        let lives = FAILOVER.min(kills - four * FAILOVER);
        // A commit waits until the standby has it on its disk, or until readers there see it.
        let commits = if four % 2 == 0 { "on" } else { "remote_apply" };
        let standby = primary.standby(place.0, place.1, commits).await;
        for _ in 1..lives {
            round.kill().await;
        }
        let mut alive = round.begin_long().await;
        pause(Duration::from_millis(round.random.below(300))).await;
        primary.kill();
        standby.promote();
        round.blows.failovers += 1;
        round.goes_on(&mut alive).await;
        round.end(alive).await;
        let old = primary.port();
        primary = standby;
        (place, other) = ((other, old), place.0);
    }
    let audited = round.audit().await;
    drop(primary);
    audited
}

/// One in so many lives on a primary with a standby sees a failover.
const FAILOVER: u64 = 4;

impl Tally {
    fn add(&mut self, blows: Blows, audit: Audit) {
        self.blows.at_random += blows.at_random;
        self.blows.at_failpoints += blows.at_failpoints;
        self.blows.backends += blows.backends;
        self.blows.restarts += blows.restarts;
        self.blows.failovers += blows.failovers;
        self.audit.orders += audit.orders;
        self.audit.charges += audit.charges;
        self.audit.captured += audit.captured;
        self.audit.refunded += audit.refunded;
        self.audit.rested = self.audit.rested.max(audit.rested);
        self.audit.violations.extend(audit.violations);
    }
}
