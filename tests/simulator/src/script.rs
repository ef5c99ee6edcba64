//! A world's decisions, written down: what each order asks for, what befalls it, who goes on next. Whoever changes one
//! of them, as a fuzzer does, leaves the others where they were.
//!
//! ```text
//! seed 12
//! orders 4
//! shop-0 412 3 0 77 .
//! faults-0 0 0 3 0
//! turns 1 0 2
//! ```
//!
//! Each line is a stream and its decisions in turn. A decision is a number, which counts round where it is larger than
//! what there is to choose from; for a fault, 0 is none and 1 the first that may befall. A `.`, or whatever isn't a
//! number, leaves the decision to the seed, and so does a stream that is at its end. So every text is a world.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::faults::{ROUTING, WORLD};
use crate::rng::{Rng, mix};
use crate::schedule::lock;

/// No text is longer: what comes after is left to the seed.
const LONGEST: usize = 8_192;

type Decisions = Arc<[Option<u64>]>;

/// The decisions of a world.
#[derive(Clone, Debug)]
pub struct Script {
    place: String,
    seed: u64,
    orders: u32,
    streams: BTreeMap<String, Decisions>,
}

impl Script {
    /// A world has no more orders, so that it is over at once.
    pub const MOST_ORDERS: u32 = 6;

    /// Reads a text of which anything may be wrong.
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
        let mut streams: BTreeMap<String, Vec<Option<u64>>> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let decisions = streams.entry(name.to_owned()).or_default();
            decisions.extend(words.map(|word| word.parse::<u64>().ok()));
        }
        let first = |name| streams.get(name).and_then(|numbers| *numbers.first()?);
        let orders =
            first("orders").map_or(3, |orders| 1 + (orders.max(1) - 1) % u64::from(Self::MOST_ORDERS));
        Self {
            place: "FILE".to_owned(),
            seed: first("seed").unwrap_or_default(),
            orders: u32::try_from(orders).unwrap_or(Self::MOST_ORDERS),
            streams: streams
                .into_iter()
                .map(|(name, numbers)| (name, numbers.into()))
                .collect(),
        }
    }

    /// The same, which is found there: for the command that runs it again.
    #[must_use]
    pub fn kept_in(self, place: impl Into<String>) -> Self {
        let place = place.into();
        Self { place, ..self }
    }

    /// Where it is found.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What everything follows from that isn't written down.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many orders there are.
    pub fn orders(&self) -> u32 {
        self.orders
    }

    fn line(name: &str, numbers: &[Option<u64>]) -> String {
        let words = numbers.iter().map(|number| match number {
            Some(number) => number.to_string(),
            None => ".".to_owned(),
        });
        let words: Vec<String> = words.collect();
        format!("{name} {}\n", words.join(" "))
    }

    fn text(&self, at_most: usize) -> String {
        let mut text = format!("seed {}\norders {}\n", self.seed, self.orders);
        let streams = self.streams.iter();
        for (name, numbers) in streams.filter(|(name, _)| !matches!(name.as_str(), "seed" | "orders")) {
            text += &Self::line(name, &numbers[..numbers.len().min(at_most)]);
        }
        text
    }
}

impl fmt::Display for Script {
    /// Writes as much from the beginning of each stream as `read` takes in all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.streams.values().map(|numbers| numbers.len()).max();
        let mut at_most = longest.unwrap_or_default();
        let mut text = self.text(at_most);
        while text.len() > LONGEST && at_most > 0 {
            at_most -= at_most.div_ceil(16);
            text = self.text(at_most);
        }
        f.write_str(&text)
    }
}

/// What a row of decisions is for: uses don't disturb each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Config,
    Accounts,
    Turns,
    Trouble,
    Person,
    Shop(u32),
    Faults(u32),
    /// What a world has of routing.
    Routing,
    /// What an order asks of its routing, and what its cards are.
    Route(u32),
    /// What becomes of a tenant's stored programs.
    Keeper(u32),
}

impl Stream {
    fn name(self) -> String {
        match self {
            Self::Config => "config".to_owned(),
            Self::Accounts => "accounts".to_owned(),
            Self::Turns => "turns".to_owned(),
            Self::Trouble => "trouble".to_owned(),
            Self::Person => "person".to_owned(),
            Self::Shop(order) => format!("shop-{order}"),
            Self::Faults(WORLD) => "faults-w".to_owned(),
            Self::Faults(ROUTING) => "faults-r".to_owned(),
            Self::Faults(order) => format!("faults-{order}"),
            Self::Routing => "routing".to_owned(),
            Self::Route(order) => format!("route-{order}"),
            Self::Keeper(tenant) => format!("keeper-{tenant}"),
        }
    }

    fn seeded(self, seed: u64) -> Rng {
        match self {
            Self::Config => Rng::of(seed, 0xc0f1),
            Self::Accounts => Rng::of(seed, 0x0a11),
            Self::Turns => Rng::of(seed, 0x5c4e),
            Self::Trouble => Rng::of(seed, 0xbad),
            Self::Person => Rng::of(seed, 0x9e5),
            Self::Shop(order) => Rng::of(mix(seed, 0x0de5), u64::from(order)),
            Self::Faults(order) => Rng::of(mix(seed, 0xfa17), u64::from(order)),
            Self::Routing => Rng::of(seed, 0x4007e),
            Self::Route(order) => Rng::of(mix(seed, 0x4007), u64::from(order)),
            Self::Keeper(tenant) => Rng::of(mix(seed, 0x6ee9), u64::from(tenant)),
        }
    }
}

/// Where the decisions of one world come from.
#[derive(Clone, Debug)]
pub(crate) struct Decider {
    seed: u64,
    script: Option<Arc<Script>>,
    record: Option<Record>,
}

/// What was decided, by stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<BTreeMap<String, Vec<u64>>>>);

impl Record {
    pub(crate) fn script(&self, seed: u64, orders: u32) -> Script {
        let streams = lock(&self.0).clone().into_iter();
        Script {
            place: "FILE".to_owned(),
            seed,
            orders,
            streams: streams
                .map(|(name, numbers)| (name, numbers.into_iter().map(Some).collect()))
                .collect(),
        }
    }
}

impl Decider {
    pub(crate) fn new(seed: u64, script: Option<Arc<Script>>, record: Option<Record>) -> Self {
        Self { seed, script, record }
    }

    /// The decisions of this stream, from its beginning.
    pub(crate) fn stream(&self, stream: Stream) -> Rng {
        let seeded = stream.seeded(self.seed);
        if self.script.is_none() && self.record.is_none() {
            return seeded;
        }
        let name = stream.name();
        let script = self.script.as_ref();
        let decisions = script.and_then(|script| script.streams.get(&name)).cloned();
        seeded.written(Written {
            name,
            decisions: decisions.unwrap_or_default(),
            place: 0,
            record: self.record.clone(),
        })
    }
}

/// What is written down of a stream, and how far it has been followed.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    name: String,
    decisions: Decisions,
    place: usize,
    record: Option<Record>,
}

impl Written {
    /// The next decision, of which the seed says `seeded`, and what there is to choose from is below `limit`.
    pub(crate) fn next(&mut self, seeded: u64, limit: u64) -> u64 {
        let written = self.decisions.get(self.place).copied().flatten();
        let decided = written.map_or(seeded, |number| number % limit);
        if let Some(record) = &self.record {
            let mut streams = lock(&record.0);
            let decisions = streams.entry(self.name.clone()).or_default();
            // Who looks ahead at another's stream decides nothing anew.
            if decisions.len() == self.place {
                decisions.push(decided);
            }
        }
        self.place += 1;
        decided
    }
}
