//! How well accounts do: approvals, declines, failures and latency, by segments of payments, and whether they answer.

mod board;
mod expiry;
mod order;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use board::{HealthBoard, InstanceId, Taken};
pub use order::{AllOpen, Ranking, by_success_rate, closed_first, healthiest_first};
pub use snapshot::HealthSnapshot;

use super::circuit::{Circuit, CircuitSettings, Pulse, Pulses, millis};
use super::facts::Facts;
use super::rate::{BUCKETS, BUCKETS_PER_HALF_LIFE, Counts, Faded, Tally, Window, is_zero};
use crate::error::{Error, Fault, Result};
use crate::id::AccountRef;
use crate::method::MethodKind;
use crate::money::Currency;
use crate::time::{Timestamp, duration_ms};

/// What one attempt says of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Where it went.
    pub account: &'a AccountRef,
    /// How the payer paid.
    pub method: MethodKind,
    /// Over which card network, bank or scheme, in the words of [`Facts`]: see [`Segment::of`].
    pub via: Option<&'a str>,
    /// In which currency.
    pub currency: Currency,
    /// Which attempt of its payment it was: 1 for the first.
    pub attempt: u32,
    /// How it ended.
    pub verdict: Sign,
    /// From when it was sent to when that was known.
    pub latency: Duration,
}

/// How an attempt ended, as far as it says something of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Approved.
    Approved,
    /// Declined, and it may pass elsewhere or later.
    SoftDecline,
    /// Declined by the issuer for good: it doesn't count against the connector.
    HardDecline,
    /// It was never executed.
    NotExecuted,
    /// Nobody knows.
    Unknown,
}

impl Sign {
    /// Whether the processor answered: a decline of any kind is a sign of life.
    pub fn is_answer(self) -> bool {
        match self {
            Self::Approved | Self::SoftDecline | Self::HardDecline => true,
            Self::NotExecuted | Self::Unknown => false,
        }
    }
}

/// Which payments a [`Standing`] is about, at its finest level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// At which account.
    pub account: &'a AccountRef,
    /// By which method.
    pub method: MethodKind,
    /// Over which card network, bank or scheme. Those where it isn't known are a segment too.
    pub via: Option<&'a str>,
    /// In which currency.
    pub currency: Currency,
}

impl<'a> Segment<'a> {
    /// The segment of a payment at an account. What it goes over is the first that is known of card network, bank, scheme
    /// and wallet.
    pub fn of(facts: &Facts<'a>, account: &'a AccountRef) -> Self {
        let via = facts.card.network.or(facts.bank).or(facts.scheme);
        Self {
            account,
            method: facts.method,
            via: via.or(facts.wallet),
            currency: facts.amount.currency(),
        }
    }
}

/// The levels of segments, the finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The account's payments by this method, over this network, bank or scheme, in this currency.
    Currency,
    /// In any currency.
    Via,
    /// Over any network, bank or scheme, in any currency.
    Method,
    /// All of the account's payments.
    Account,
}

impl Level {
    const ALL: [Self; 4] = [Self::Currency, Self::Via, Self::Method, Self::Account];
}

/// How an account stands with payments of a segment, at a time. It is all that an order depends on. Every payment's
/// decision keeps one for each candidate, so that what is nothing isn't written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Approved of tried, first attempts, in parts per million. `None`: nothing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_ppm: Option<u32>,
    /// How many first attempts the rate is made of, the old ones counting less.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tried: u32,
    /// For how many tries the rate counts in an order: [`tried`](Self::tried), and where it is of a coarser level than the
    /// segment's no more than [`HealthSettings::least_tries`], since payments of this segment may fare otherwise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub counts_for: u32,
    /// Which level it is of.
    pub level: Level,
    /// How first attempts ended, on this level.
    #[serde(default, skip_serializing_if = "Counts::is_nothing")]
    pub counts: Counts,
    /// Not executed or unknown of all attempts by the method, in parts per million, later attempts included. `None`: there
    /// were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_ppm: Option<u32>,
    /// Whether the account answers.
    #[serde(default, skip_serializing_if = "Circuit::is_closed")]
    pub circuit: Circuit,
    /// How long answers to first attempts took, on this level, in the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
}

impl Standing {
    /// Of an account of which nothing is known.
    pub const UNTRIED: Self = Self {
        rate_ppm: None,
        tried: 0,
        counts_for: 0,
        level: Level::Account,
        counts: Counts {
            approved: 0,
            soft_declined: 0,
            hard_declined: 0,
            not_executed: 0,
            unknown: 0,
        },
        failed_ppm: None,
        circuit: Circuit::Closed,
        latency: None,
    };
}

/// How [`Health`] counts. In serde, durations are whole milliseconds: `"half_life_ms": 1800000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// After how long a count weighs half: 1 second to 30 days, 30 minutes by default.
    #[serde(rename = "half_life_ms", with = "duration_ms")]
    pub half_life: Duration,
    /// How many tries a level must have to be asked, before a coarser one is: 30 by default.
    pub least_tries: u32,
    /// How many of the finest segments are kept: 512 by default, 65,536 at most.
    pub most_segments: usize,
    /// How many accounts are kept: 256 by default, 65,536 at most.
    pub most_accounts: usize,
    /// When a circuit opens, and how it closes.
    pub circuit: CircuitSettings,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(30 * 60),
            least_tries: 30,
            most_segments: 512,
            most_accounts: 256,
            circuit: CircuitSettings::default(),
        }
    }
}

impl HealthSettings {
    const MOST: usize = 65_536;

    /// Every value that is out of its range.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with a fault for each.
    pub fn check(&self) -> Result<()> {
        let half_lives = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3_600);
        let mut faults: Vec<Fault> = self.circuit.faults().collect();
        if !half_lives.contains(&self.half_life) {
            faults.push(Fault::new(
                "half_life",
                "not a half-life of counts",
                "take 1 second to 30 days",
            ));
        }
        if self.least_tries == 0 {
            faults.push(Fault::new(
                "least_tries",
                "a level without data would be asked",
                "take 1 or more",
            ));
        }
        for (field, most) in [
            ("most_segments", self.most_segments),
            ("most_accounts", self.most_accounts),
        ] {
            if !(1..=Self::MOST).contains(&most) {
                faults.push(Fault::new(field, "not a number to keep", "take 1 to 65,536"));
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::invalid_all(faults))
        }
    }

    fn bucket_ms(&self) -> i64 {
        millis(self.half_life / BUCKETS_PER_HALF_LIFE)
    }

    fn bucket(&self, at: Timestamp) -> i64 {
        at.as_millis().div_euclid(self.bucket_ms().max(1))
    }

    /// The start of the oldest bucket that still counts at `at`.
    fn first(&self, at: Timestamp) -> Timestamp {
        let index = self.bucket(at).saturating_sub(BUCKETS as i64 - 1);
        Timestamp::from_millis(index.saturating_mul(self.bucket_ms()))
    }
}

/// The longest text that tells networks, banks and schemes apart, in bytes: longer ones are told apart by it alone.
const LONGEST_VIA: usize = 64;

fn via_of(via: Option<&str>) -> &str {
    let via = via.unwrap_or_default();
    &via[..via.floor_char_boundary(LONGEST_VIA)]
}

/// How well accounts do, by segments of payments: the counts of one instance, or of several added up.
///
/// It is a value: it counts what it is told, at the times it is told, and says how an account stands at a time. Counts lie in buckets of a quarter of a half-life, and a bucket weighs half as much each half-life; after five it is
/// dropped. Counts of several instances add up: see [`HealthBoard`].
///
/// **Segments.** An attempt counts for its account, method, network (or bank, or scheme) and currency, and for each
/// coarser level of these. A [`Standing`] is of the finest level that has tries enough, and says which.
///
/// **Rates are of first attempts.** A cascade sends on what others rejected, so that later attempts fare worse wherever
/// they go. They are counted beside, by account, method and attempt number: [`Health::by_attempt`].
///
/// **A hard decline by the issuer isn't the connector's**: it is neither an approval nor a try of the rate.
///
/// **Memory is bounded.** A segment has 20 buckets at most, a circuit 12. Of the finest segments
/// [`HealthSettings::most_segments`] are kept, of accounts [`HealthSettings::most_accounts`]: beyond, the eighth goes
/// that was used least recently. An account keeps what it counted in all, and its circuits, when its segments go.
///
/// ```
/// use std::time::Duration;
/// use paymux_core::routing::{Health, HealthSettings, Sample, Segment, Sign};
/// use paymux_core::{AccountRef, ConnectorId, Currency, MethodKind, Timestamp};
///
/// let account = AccountRef::new(ConnectorId::from_static("stripe"), "eu");
/// let segment = Segment { account: &account, method: MethodKind::CardToken, via: Some("visa"), currency: Currency::EUR };
/// let noon: Timestamp = "2026-01-31T12:00:00Z".parse()?;
///
/// let mut health = Health::new(HealthSettings::default())?;
/// for verdict in [Sign::Approved, Sign::Approved, Sign::Approved, Sign::SoftDecline, Sign::HardDecline] {
///     let latency = Duration::from_millis(400);
///     health.record(&Sample::of(segment, 1, verdict, latency), noon);
/// }
/// let standing = health.standing(&segment, noon);
/// assert_eq!(standing.rate_ppm, Some(750_000)); // a hard decline isn't the connector's
/// assert_eq!(standing.tried, 4);
/// # Ok::<(), paymux_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    settings: HealthSettings,
    revision: u64,
    accounts: BTreeMap<AccountRef, AccountCounts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AccountCounts {
    used: Timestamp,
    all: Window,
    methods: BTreeMap<MethodKind, MethodCounts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MethodCounts {
    all: Window,
    /// Second attempts, third ones, and those after.
    later: [Window; 3],
    pulse: Pulse,
    vias: BTreeMap<Box<str>, ViaCounts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ViaCounts {
    all: Window,
    currencies: BTreeMap<Currency, CurrencyCounts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CurrencyCounts {
    used: Timestamp,
    all: Window,
}

impl<'a> Sample<'a> {
    /// An attempt at a segment.
    pub fn of(segment: Segment<'a>, attempt: u32, verdict: Sign, latency: Duration) -> Self {
        Self {
            account: segment.account,
            method: segment.method,
            via: segment.via,
            currency: segment.currency,
            attempt,
            verdict,
            latency,
        }
    }
}

impl Health {
    /// No counts yet.
    ///
    /// # Errors
    /// Those of [`HealthSettings::check`].
    pub fn new(settings: HealthSettings) -> Result<Self> {
        settings.check()?;
        Ok(Self::empty(settings))
    }

    fn empty(settings: HealthSettings) -> Self {
        Self {
            settings,
            revision: 0,
            accounts: BTreeMap::new(),
        }
    }

    /// How it counts.
    pub fn settings(&self) -> &HealthSettings {
        &self.settings
    }

    /// Rises with each change: of two states of one instance, the one with the higher revision is the newer. It is at
    /// least the time of the last change in milliseconds, so that it rises over a restart too.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Counts an attempt whose outcome was known at `at`.
    pub fn record(&mut self, sample: &Sample<'_>, at: Timestamp) {
        self.record_beside(None, sample, at);
    }

    /// As [`record`](Self::record); a circuit turns by what others counted, too.
    fn record_beside(&mut self, others: Option<&Self>, sample: &Sample<'_>, at: Timestamp) {
        let bucket = self.settings.bucket(at);
        let tally = Tally::of(sample.verdict, sample.latency);
        let circuit = self.settings.circuit;
        let beside = others.and_then(|others| others.pulse(sample.account, sample.method));
        let method = self.used(sample.account, sample.method, at);
        method
            .pulse
            .record(beside, &circuit, sample.verdict, sample.latency, at);
        if sample.attempt > 1 {
            let place = usize::try_from(sample.attempt - 2).unwrap_or(usize::MAX);
            method.later[place.min(method.later.len() - 1)].add(bucket, &tally);
            return;
        }
        method.all.add(bucket, &tally);
        let via = via_of(sample.via);
        if !method.vias.contains_key(via) {
            method.vias.insert(via.into(), ViaCounts::default());
        }
        let mut is_new = false;
        if let Some(via) = method.vias.get_mut(via) {
            via.all.add(bucket, &tally);
            let segment = via.currencies.entry(sample.currency).or_insert_with(|| {
                is_new = true;
                CurrencyCounts::default()
            });
            segment.used = segment.used.max(at);
            segment.all.add(bucket, &tally);
        }
        if let Some(account) = self.accounts.get_mut(sample.account) {
            account.all.add(bucket, &tally);
        }
        if is_new {
            self.bound_segments();
        }
    }

    /// A payment goes to an account as a probe, since its circuit is half open.
    pub fn probing(&mut self, account: &AccountRef, method: MethodKind, at: Timestamp) {
        let circuit = self.settings.circuit;
        self.used(account, method, at).pulse.probing(&circuit, at);
    }

    /// What is counted of an account by a method, which is used now.
    fn used(&mut self, account: &AccountRef, method: MethodKind, at: Timestamp) -> &mut MethodCounts {
        let time = u64::try_from(at.as_millis()).unwrap_or(0);
        self.revision = self.revision.saturating_add(1).max(time);
        if !self.accounts.contains_key(account) {
            self.bound_accounts();
        }
        let counts = self.accounts.entry(account.clone()).or_default();
        counts.used = counts.used.max(at);
        counts.methods.entry(method).or_default()
    }

    /// Adds what another counted. In whichever order and grouping counts are added up, the sum is the same; the settings
    /// stay those of this one, and both must count by the same half-life and window, as
    /// [`HealthSnapshot::read`] makes sure. Nothing is dropped by number here: the sum of several instances has at most as
    /// many segments as they have together.
    pub fn merge(&mut self, other: &Self) {
        self.revision = self.revision.max(other.revision);
        for (account, counts) in &other.accounts {
            self.accounts.entry(account.clone()).or_default().merge(counts);
        }
    }

    /// How an account stands with payments of a segment.
    pub fn standing(&self, segment: &Segment<'_>, at: Timestamp) -> Standing {
        standing(self, None, segment, at)
    }

    /// How attempts at an account by a method ended, by their number: the first, second, third, and all after.
    pub fn by_attempt(&self, account: &AccountRef, method: MethodKind, at: Timestamp) -> [Counts; 4] {
        let Some(counts) = self.method(account, method) else {
            return [Counts::default(); 4];
        };
        let now = self.settings.bucket(at);
        let [second, third, after] = &counts.later;
        [&counts.all, second, third, after].map(|window| {
            let mut faded = Faded::default();
            faded.add(window, now);
            faded.counts()
        })
    }

    fn method(&self, account: &AccountRef, method: MethodKind) -> Option<&MethodCounts> {
        self.accounts.get(account)?.methods.get(&method)
    }

    fn pulse(&self, account: &AccountRef, method: MethodKind) -> Option<&Pulse> {
        self.method(account, method).map(|counts| &counts.pulse)
    }

    /// The counts of a segment on a level.
    fn window(&self, segment: &Segment<'_>, level: Level) -> Option<&Window> {
        let account = self.accounts.get(segment.account)?;
        if level == Level::Account {
            return Some(&account.all);
        }
        let method = account.methods.get(&segment.method)?;
        if level == Level::Method {
            return Some(&method.all);
        }
        let via = method.vias.get(via_of(segment.via))?;
        if level == Level::Via {
            return Some(&via.all);
        }
        Some(&via.currencies.get(&segment.currency)?.all)
    }
}

/// How an account stands by what one instance counted and the others did.
fn standing(own: &Health, others: Option<&Health>, segment: &Segment<'_>, at: Timestamp) -> Standing {
    let settings = &own.settings;
    let now = settings.bucket(at);
    let both = || std::iter::once(own).chain(others);
    let mut faded = Faded::default();
    let mut level = Level::Account;
    for one in Level::ALL {
        level = one;
        faded = Faded::default();
        for window in both().filter_map(|health| health.window(segment, one)) {
            faded.add(window, now);
        }
        if faded.has_tries(settings.least_tries) {
            break;
        }
    }
    let mut attempts = Faded::default();
    for counts in both().filter_map(|health| health.method(segment.account, segment.method)) {
        let windows = std::iter::once(&counts.all).chain(&counts.later);
        windows.for_each(|window| attempts.add(window, now));
    }
    let pulses = Pulses::both(
        own.pulse(segment.account, segment.method),
        others.and_then(|others| others.pulse(segment.account, segment.method)),
    );
    let tried = faded.tried();
    Standing {
        rate_ppm: faded.approved_ppm(),
        tried,
        counts_for: match level {
            Level::Currency => tried,
            Level::Via | Level::Method | Level::Account => tried.min(settings.least_tries),
        },
        level,
        counts: faded.counts(),
        failed_ppm: attempts.failed_ppm(),
        circuit: pulses.circuit(&settings.circuit, at),
        latency: faded.latency(),
    }
}

impl AccountCounts {
    fn merge(&mut self, other: &Self) {
        self.used = self.used.max(other.used);
        self.all.merge(&other.all);
        for (method, counts) in &other.methods {
            self.methods.entry(*method).or_default().merge(counts);
        }
    }
}

impl MethodCounts {
    fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        for (window, other) in self.later.iter_mut().zip(&other.later) {
            window.merge(other);
        }
        self.pulse.merge(&other.pulse);
        for (via, counts) in &other.vias {
            let own = self.vias.entry(via.clone()).or_default();
            own.all.merge(&counts.all);
            for (currency, counts) in &counts.currencies {
                let own = own.currencies.entry(*currency).or_default();
                own.used = own.used.max(counts.used);
                own.all.merge(&counts.all);
            }
        }
    }
}
