//! What goes wrong, where, and how often. Each fault has a name of its own, so that a run can go on without it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::rng::Rng;
use crate::schedule::lock;
use crate::script::{Decider, Stream};
use crate::wire::Act;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    NotSent,
    RequestLost,
    AnswerLost,
    AnswerReset,
    RequestLate,
    AnswerLate,
    AnswerSlow,
    Duplicated,
    ErrorThoughDone,
    ErrorNotDone,
    ErrorThenDone,
    KeyInUse,
    RateLimited,
    ReadLags,
    Truncated,
    AmountAltered,
    CurrencyAltered,
    CommitConflict,
    CommitUnknownApplied,
    CommitUnknownNot,
    CommitUnknownLate,
    CommitRefused,
    StoreUnreadable,
    ResolveFails,
    AccountGone,
    AccountsUnreadable,
    ClientGone,
    WorkerCrashed,
    WorkerPaused,
    ClockForward,
    ClockBack,
    Outage,
    PostDuplicated,
    PostDelayed,
    PostEarly,
    PostLost,
    PostForged,
    PostStale,
    PostForeign,
    PostMalformed,
}

impl Fault {
    pub(crate) const ALL: [Self; 40] = [
        Self::NotSent,
        Self::RequestLost,
        Self::AnswerLost,
        Self::AnswerReset,
        Self::RequestLate,
        Self::AnswerLate,
        Self::AnswerSlow,
        Self::Duplicated,
        Self::ErrorThoughDone,
        Self::ErrorNotDone,
        Self::ErrorThenDone,
        Self::KeyInUse,
        Self::RateLimited,
        Self::ReadLags,
        Self::Truncated,
        Self::AmountAltered,
        Self::CurrencyAltered,
        Self::CommitConflict,
        Self::CommitUnknownApplied,
        Self::CommitUnknownNot,
        Self::CommitUnknownLate,
        Self::CommitRefused,
        Self::StoreUnreadable,
        Self::ResolveFails,
        Self::AccountGone,
        Self::AccountsUnreadable,
        Self::ClientGone,
        Self::WorkerCrashed,
        Self::WorkerPaused,
        Self::ClockForward,
        Self::ClockBack,
        Self::Outage,
        Self::PostDuplicated,
        Self::PostDelayed,
        Self::PostEarly,
        Self::PostLost,
        Self::PostForged,
        Self::PostStale,
        Self::PostForeign,
        Self::PostMalformed,
    ];
}

/// A fault's name: whose stream it is of, and its place there. The world's own streams are `WORLD` and `ROUTING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultName {
    /// The order whose call it befalls.
    pub order: u32,
    /// Which of them, from 0.
    pub number: u32,
}

/// The stream of faults that befall no order's call.
pub(crate) const WORLD: u32 = u32::MAX;
/// That of faults that befall what routing keeps beside the payments: programs, health, cards' tries.
pub(crate) const ROUTING: u32 = u32::MAX - 1;

impl std::fmt::Display for FaultName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.order {
            WORLD => write!(f, "w.{}", self.number),
            ROUTING => write!(f, "r.{}", self.number),
            order => write!(f, "{order}.{}", self.number),
        }
    }
}

impl std::str::FromStr for FaultName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` isn't the name of a fault, such as 3.0 or w.2");
        let (order, number) = text.split_once('.').ok_or_else(wrong)?;
        Ok(Self {
            order: match order {
                "w" => WORLD,
                "r" => ROUTING,
                order => order.parse().map_err(|_| wrong())?,
            },
            number: number.parse().map_err(|_| wrong())?,
        })
    }
}

/// Draws the faults of one world.
pub(crate) struct Faults {
    decider: Decider,
    without: BTreeSet<FaultName>,
    state: Mutex<State>,
}

struct State {
    streams: BTreeMap<u32, (Rng, u32)>,
    /// How often, in a thousand: 1000 leaves the rates as they are.
    dial: u64,
    on: bool,
    happened: Vec<(FaultName, Fault)>,
}

impl Faults {
    pub(crate) fn new(decider: Decider, dial: u64, without: &[FaultName]) -> Self {
        Self {
            decider,
            without: without.iter().copied().collect(),
            state: Mutex::new(State {
                streams: BTreeMap::new(),
                dial,
                on: true,
                happened: Vec::new(),
            }),
        }
    }

    /// No more of them.
    pub(crate) fn stop(&self) {
        lock(&self.state).on = false;
    }

    pub(crate) fn happened(&self) -> Vec<(FaultName, Fault)> {
        lock(&self.state).happened.clone()
    }

    /// What befalls, if anything: each with its rate in ten thousand.
    pub(crate) fn draw(&self, order: u32, rates: &[(u64, Fault)]) -> Option<Fault> {
        let mut state = lock(&self.state);
        if !state.on {
            return None;
        }
        let dial = state.dial;
        let (rng, number) = state
            .streams
            .entry(order)
            .or_insert_with(|| (self.decider.stream(Stream::Faults(order)), 0));
        let place = rng.befalls(rates.iter().map(|(rate, _)| rate * dial), 10_000_000);
        let (_, fault) = rates[place.checked_sub(1).filter(|_| dial > 0)?];
        let name = FaultName {
            order,
            number: *number,
        };
        *number += 1;
        if self.without.contains(&name) {
            return None;
        }
        state.happened.push((name, fault));
        Some(fault)
    }

    /// A number of a fault's own.
    pub(crate) fn within(&self, order: u32, low: u64, high: u64) -> u64 {
        let mut state = lock(&self.state);
        match state.streams.get_mut(&order) {
            Some((rng, _)) => rng.within(low, high),
            None => low,
        }
    }
}

/// What may befall a call that writes.
pub(crate) fn of_send(act: Act, keyed: bool, prompt: bool) -> Vec<(u64, Fault)> {
    let mut rates = vec![
        (150, Fault::NotSent),
        (100, Fault::RequestLost),
        (150, Fault::AnswerLost),
        (100, Fault::AnswerReset),
        (60, Fault::AnswerLate),
        (100, Fault::AnswerSlow),
        (120, Fault::ErrorThoughDone),
        (80, Fault::ErrorNotDone),
        (60, Fault::RateLimited),
        (60, Fault::Truncated),
        (25, Fault::AmountAltered),
        (15, Fault::CurrencyAltered),
    ];
    if !prompt {
        rates.push((60, Fault::RequestLate));
        rates.push((60, Fault::ErrorThenDone));
    }
    // Without a key the processor itself can't tell a request that the network repeats.
    if keyed {
        rates.push((60, Fault::Duplicated));
        rates.push((40, Fault::KeyInUse));
    }
    if act == Act::Prepare {
        rates.retain(|(_, fault)| !matches!(fault, Fault::Duplicated));
    }
    rates
}

/// What may befall a call that reads.
pub(crate) fn of_read(prompt: bool) -> Vec<(u64, Fault)> {
    let mut rates = vec![
        (150, Fault::NotSent),
        (100, Fault::AnswerLost),
        (100, Fault::ErrorNotDone),
        (60, Fault::Truncated),
        (60, Fault::AnswerSlow),
        (20, Fault::CurrencyAltered),
    ];
    if !prompt {
        rates.push((400, Fault::ReadLags));
    }
    rates
}

/// What may befall a commit.
pub(crate) const OF_COMMIT: [(u64, Fault); 5] = [
    (40, Fault::CommitConflict),
    (60, Fault::CommitUnknownApplied),
    (60, Fault::CommitUnknownNot),
    (30, Fault::CommitUnknownLate),
    (40, Fault::CommitRefused),
];
