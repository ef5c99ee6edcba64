//! The conformance suite of stores, split by what it is about.

#[macro_use]
mod case;
mod batches;
mod events;
mod folder;
mod jobs;
mod make;
mod purges;
mod queries;
mod races;
mod restarts;
mod rows;
mod tenants;
mod uniques;

use std::path::PathBuf;
use std::pin::Pin;

use paymux_core::{Store, TestClock};

use self::case::Case;
use self::folder::Folder;

/// What a store keeps when its process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Everything that was committed: opened again on the same folder, it is all there.
    SurvivesRestart,
    /// Nothing: a store in memory. What asks for a restart isn't tested.
    ProcessOnly,
}

/// How often a store may be open on one folder at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    /// As often as somebody likes, in several processes.
    Several,
    /// Once: it refuses a second instance, or doesn't see what one writes.
    One,
}

/// The conformance suite of stores; [`store_conformance`] makes one.
#[derive(Debug)]
#[must_use = "nothing is tested until `run` is called"]
pub struct StoreSuite<F> {
    open: F,
    durability: Durability,
    instances: Instances,
    clock: Option<TestClock>,
}

/// Tests a store against [the contract](paymux_core::store). `open` opens it on an empty folder of its own, and, if
/// it survives a restart, again on the same folder later; a store that keeps nothing in files uses the folder's name
/// as the name of a database, or ignores it.
///
/// ```
/// # use paymux_core::{Store, Tenant, store::*};
/// # #[derive(Debug)] struct MyStore;
/// # impl MyStore { async fn open(_: std::path::PathBuf) -> Box<dyn Store> { unimplemented!() } }
/// use paymux_testkit::{Durability, store_conformance};
///
/// # async fn test() {
/// store_conformance(async |folder| MyStore::open(folder).await)
///     .durability(Durability::SurvivesRestart)
///     .run()
///     .await;
/// # }
/// ```
///
/// Use `#[tokio::test(flavor = "multi_thread")]`, so that the races are ones.
pub fn store_conformance<F, S>(open: F) -> StoreSuite<F>
where
    F: AsyncFn(PathBuf) -> S,
    S: Store,
{
    StoreSuite {
        open,
        durability: Durability::ProcessOnly,
        instances: Instances::Several,
        clock: None,
    }
}

impl<F, S> StoreSuite<F>
where
    F: AsyncFn(PathBuf) -> S,
    S: Store,
{
    /// What the store keeps when its process ends; [`Durability::ProcessOnly`] if nothing is said.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How often the store may be open on one folder at a time; [`Instances::Several`] if nothing is said. It matters
    /// only for a store that survives a restart.
    pub fn instances(mut self, instances: Instances) -> Self {
        self.instances = instances;
        self
    }

    /// The clock that `open` gives to the store
    /// ([`StoreTime::Injected`](paymux_core::store::StoreTime::Injected)): due times and leases are then tested to
    /// the millisecond. Without it the store's own clock is waited for.
    pub fn clock(mut self, clock: TestClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Runs the suite.
    ///
    /// # Panics
    /// If a clause of the contract is broken; the message names it.
    pub async fn run(self) {
        let open =
            |folder: PathBuf| -> Pin<Box<dyn Future<Output = S> + '_>> { Box::pin((self.open)(folder)) };
        macro_rules! clauses {
            ($($clause:literal => $topic:ident::$test:ident;)*) => {$({
                let folder = Folder::new();
                let mut case = Case::open($clause, &open, folder.path(), self.clock.clone()).await;
                $topic::$test(&mut case).await;
            })*};
        }
        clauses! {
            "rows are loaded in the order of their keys" => rows::in_the_order_of_keys;
            "rows are bytes, and come back as they were written" => rows::as_they_were_written;
            "deciding is compare-and-set" => rows::compare_and_set;
            "a put needs a precondition and the next version" => rows::guarded;
            "a batch is all or nothing" => batches::all_or_nothing;
            "each thing stands at most once in a batch" => batches::nothing_twice;
            "a batch may be empty, and it may be large" => batches::empty_and_large;
            "committing a commit id that is committed changes nothing" => batches::once;
            "`resolve` says what became of a commit, and Absent is a promise" => batches::resolved;
            "a unique is there once" => uniques::once;
            "a unique that has expired may be renewed" => uniques::renewed;
            "uniques are inserted, replaced and deleted" => uniques::written;
            "a global unique is one over all tenants" => uniques::global;
            "events come in sequence" => events::in_sequence;
            "`find` filters, orders and pages by the index" => queries::found;
            "jobs are claimed when they are due, oldest first" => jobs::claimed;
            "only a claim raises a job's epoch" => jobs::epochs;
            "a lease ends" => jobs::leases;
            "a job's age is counted from its put by the store's clock" => jobs::ages;
            "`backlog` counts what waits over all tenants" => jobs::backlog;
            "the store's clock decides what is due" => jobs::the_stores_clock;
            "tenants never meet" => tenants::never_meet;
            "`purge` deletes what is old, and nothing else" => purges::what_is_old;
            "a purged commit id is refused" => purges::refused_ids;
            "of several writers of one version one wins" => races::one_winner;
            "a counter is never passed" => races::a_limited_counter;
            "of several inserts of a unique one wins" => races::one_insert;
            "of several who renew a unique one wins" => races::one_renewal;
            "a job is claimed by one worker" => races::one_claim;
            "a dropped future leaves a whole batch or none, and nothing open" => restarts::dropped;
        }
        match self.durability {
            Durability::ProcessOnly => {}
            Durability::SurvivesRestart => {
                clauses! {
                    "what was committed survives a restart" => restarts::everything_is_there;
                    "a crash leaves a whole batch or none" => restarts::crashed;
                }
                match self.instances {
                    Instances::One => {}
                    Instances::Several => clauses! {
                        "reads see the last commit of any instance" => restarts::another_instance;
                    },
                }
            }
        }
    }
}
