//! Planted bugs: each is a defect as payment systems have had them, put between the engine and a port of its. A
//! simulation that doesn't find it would miss it in the engine as well.
//!
//! A wrapper lies to the engine, or to what is behind the port, as the defect would; the auditor and the books see
//! what came of it. What no port can show is planted in a copy of core instead: `patch.rs`.

mod account;
mod disk;
pub(crate) mod hunt;
mod network;
pub(crate) mod patch;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paymux_core::connector::{Connector, Transport};
use paymux_core::{Connectors, IdSource, SeededIds, Store, Tenant, Timestamp};
use uuid::Uuid;

use crate::schedule::Time;
use crate::shape::Shape;

macro_rules! teeth {
    ($($(#[$doc:meta])* $tooth:ident = $name:literal: $bug:literal,)*) => {
        /// A planted bug that is a wrapper of a port.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Tooth { $(#[doc = $bug] $tooth,)* }

        impl Tooth {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$tooth),*];

            /// What it is called.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$tooth => $name),* }
            }

            /// What the defect is.
            pub const fn bug(self) -> &'static str {
                match self { $(Self::$tooth => $bug),* }
            }
        }
    };
}

teeth! {
    // The store, as the engine reaches it.
    CallInTransaction = "call-in-transaction": "the processor is called while the first write is uncommitted",
    TwoWrites = "two-writes": "the state and its jobs are written one after the other",
    UnknownTakenForDone = "unknown-commit-believed": "a commit whose fate is unknown counts as done",
    EventLostOnConflict = "event-lost-on-conflict": "what is decided anew after a conflict is written without its events",
    KeyFreedOnError = "key-freed-on-network-error": "an idempotency record is given up when the outcome is unknown",
    KeyOnlyChecked = "key-checked-not-reserved": "an idempotency key is looked up, and not reserved",
    EvidenceDroppedOnFenced = "evidence-dropped-on-fenced": "what a worker was told is thrown away when another has taken over",
    JobGoneWhenClaimed = "job-gone-when-claimed": "a job is off its queue as soon as anybody has claimed it",
    // What keeps the rows.
    ReplicaRead = "replica-read": "rows are read from a replica that lags",
    LockWithoutFence = "lock-without-fence": "a lease runs out, and who held it may write all the same",
    LeaseWithoutEpoch = "lease-without-epoch": "every claim of a job has the same epoch",
    LostUpdate = "lost-update": "the last writer wins, whatever it has read",
    AbsentWithoutFence = "absent-without-fence": "a commit that is said to be absent may still arrive",
    TenantMissingInLoad = "tenant-missing-in-load": "a row is loaded by its identifier alone",
    TenantMissingInLookup = "tenant-missing-in-lookup": "tenants share their idempotency keys",
    // The network.
    ResentOnReset = "resent-on-reset": "the HTTP client repeats a request whose connection broke before the answer",
    TimeoutIsNotSent = "timeout-is-not-sent": "a time-out counts as not sent, and the payment goes elsewhere",
    FreshKey = "fresh-key-per-try": "every send has an idempotency key of its own",
    OneKeyForTwoSteps = "one-key-for-two-steps": "the two steps of an authorization share one key",
    ServerErrorIsRefusal = "server-error-is-refusal": "a 5xx counts as a refusal",
    UnreadableIsRefusal = "unreadable-is-refusal": "an answer that doesn't parse counts as a refusal",
    AmountNotVerified = "amount-not-verified": "what was authorized is taken to be what was asked",
    VoidRefusedIsDone = "void-after-capture": "a void that is refused, the money being taken, counts as done",
    OthersCredentials = "credentials-of-another": "every call has the credentials of the first account",
    // The accounts.
    KeyWindowIgnored = "key-window-ignored": "keys are used for longer than the processor remembers them",
    KeysPresumed = "keys-presumed": "a processor without idempotency keys is taken to have them",
    NotFoundAtOnce = "not-found-at-once": "\"not found\" is believed before the reads have settled",
    HintBelieved = "hint-believed": "a webhook that says that something happened is taken for the success",
    SignatureIgnored = "signature-ignored": "webhooks aren't verified",
    AccountMixedUp = "account-cached-by-tenant": "whichever account was used first is used for all",
    // Identifiers.
    IdsBeginAnew = "ids-begin-anew": "each instance counts its identifiers from the same start",
}

impl std::fmt::Display for Tooth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Tooth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|tooth| tooth.name() == text);
        found
            .copied()
            .ok_or_else(|| format!("`{text}` is no planted bug"))
    }
}

/// What keeps the rows, below what the auditor sees.
pub(crate) fn disk(
    tooth: Option<Tooth>,
    disk: Arc<dyn Store>,
    time: &Time,
    tenants: &[Tenant],
) -> Arc<dyn Store> {
    match tooth {
        Some(tooth) => Arc::new(disk::BadDisk::new(tooth, disk, time.clone(), tenants.to_vec())),
        None => disk,
    }
}

/// The store as one instance reaches it, above what the auditor sees.
pub(crate) fn store(tooth: Option<Tooth>, store: impl Store) -> Arc<dyn Store> {
    match tooth {
        Some(tooth) => Arc::new(store::BadStore::new(tooth, Arc::new(store))),
        None => Arc::new(store),
    }
}

/// An account, and the network to it.
pub(crate) fn connect(
    tooth: Option<Tooth>,
    shape: &Shape,
    place: usize,
    transport: impl Transport,
    time: &Time,
) -> Connector {
    match tooth {
        Some(tooth) => account::connect(tooth, shape, place, Arc::new(transport), time),
        None => shape.connect(place, Arc::new(transport)),
    }
}

/// Where the accounts are looked up.
pub(crate) fn connectors(tooth: Option<Tooth>, connectors: impl Connectors) -> Arc<dyn Connectors> {
    match tooth {
        Some(Tooth::AccountMixedUp) => Arc::new(account::BadConnectors::new(connectors)),
        Some(_) | None => Arc::new(connectors),
    }
}

/// Where identifiers come from.
#[derive(Debug)]
pub(crate) struct Ids {
    tooth: Option<Tooth>,
    good: SeededIds,
    made: AtomicU64,
}

pub(crate) fn ids(tooth: Option<Tooth>, good: SeededIds) -> Ids {
    Ids {
        tooth,
        good,
        made: AtomicU64::new(1),
    }
}

impl IdSource for Ids {
    fn uuid(&self, now: Timestamp) -> Uuid {
        match self.tooth {
            Some(Tooth::IdsBeginAnew) => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                Uuid::from_u64_pair(number, 0x8000_0000_0000_0000)
            }
            Some(_) | None => self.good.uuid(now),
        }
    }
}
