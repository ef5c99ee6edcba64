//! Circuits: whether an account answers at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::Sign;
use super::rate::{Series, Sum, WHOLE_PPM};
use crate::error::Fault;
use crate::time::{Timestamp, duration_ms};

/// Whether an account may be tried.
///
/// What isn't executed, and what nobody knows the outcome of, says that a processor is in trouble; a decline of any
/// kind is an answer, and so a sign of life. A circuit is of an account and a method, since a processor's wallets may be
/// down while its cards work.
///
/// It opens when failures within a window are as many, and as large a share, as [`CircuitSettings`] says. After a pause
/// it is half open: a probe may go, so many per interval. The first answer to what was sent after it opened closes it;
/// a failure of such a one starts the pause again. What was sent before it opened and is answered after changes nothing:
/// the last approvals before a breakdown don't hide it, and the last timeouts after it don't prolong it.
///
/// Several instances converge: counts add up, and of two turns the later counts. How far they can differ is told at
/// [`HealthBoard`](super::HealthBoard).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Circuit {
    /// Yes.
    #[default]
    Closed,
    /// It answers nothing: after all others.
    Open {
        /// When the next probe may go.
        until: Timestamp,
    },
    /// One payment may find out whether it answers again. Who sends it says so first: [`Health::probing`](super::Health::probing).
    HalfOpen,
}

impl Circuit {
    pub(crate) fn is_closed(&self) -> bool {
        *self == Self::Closed
    }
}

/// What becomes of a payment when the circuits of all its accounts are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAllOpen {
    /// It is tried in the order that it would have had.
    #[default]
    TryAnyway,
    /// It is refused before anything is sent.
    Refuse,
}

/// When a circuit opens, and how it closes. In serde, durations are whole milliseconds: `"pause_ms": 30000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CircuitSettings {
    /// Over how long failures are counted: 1 second to 1 hour, 60 seconds by default.
    #[serde(rename = "window_ms", with = "duration_ms")]
    pub window: Duration,
    /// How many failures it takes at least: 5 by default.
    pub least_failures: u32,
    /// Which share of all attempts they are at least, in parts per million: half of them by default.
    pub failure_share_ppm: u32,
    /// For how long nothing is tried: 30 seconds by default.
    #[serde(rename = "pause_ms", with = "duration_ms")]
    pub pause: Duration,
    /// How long an interval of probes is: 5 seconds by default.
    #[serde(rename = "probe_every_ms", with = "duration_ms")]
    pub probe_every: Duration,
    /// How many probes an interval has: 1 by default.
    pub probes: u32,
}

impl Default for CircuitSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            least_failures: 5,
            failure_share_ppm: 500_000,
            pause: Duration::from_secs(30),
            probe_every: Duration::from_secs(5),
            probes: 1,
        }
    }
}

impl CircuitSettings {
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        let day = Duration::from_secs(24 * 3_600);
        let brief = Duration::from_millis(1);
        let wrong = [
            (
                !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&self.window),
                Fault::new(
                    "circuit.window",
                    "not a window of a circuit",
                    "take 1 second to 1 hour",
                ),
            ),
            (
                self.least_failures == 0,
                Fault::new(
                    "circuit.least_failures",
                    "it would always be open",
                    "take 1 or more",
                ),
            ),
            (
                !(1..=WHOLE_PPM).contains(&u64::from(self.failure_share_ppm)),
                Fault::new(
                    "circuit.failure_share_ppm",
                    "not a share",
                    "take 1 to 1,000,000 parts per million",
                ),
            ),
            (
                !(brief..=day).contains(&self.pause),
                Fault::new("circuit.pause", "not a pause", "take 1 millisecond to 24 hours"),
            ),
            (
                !(brief..=day).contains(&self.probe_every),
                Fault::new(
                    "circuit.probe_every",
                    "not an interval",
                    "take 1 millisecond to 24 hours",
                ),
            ),
            (
                self.probes == 0,
                Fault::new("circuit.probes", "it would never close", "take 1 or more"),
            ),
        ];
        wrong.into_iter().filter_map(|(is, fault)| is.then_some(fault))
    }

    pub(super) fn tick_ms(&self) -> i64 {
        millis(self.window) / TICKS
    }

    fn tick(&self, at: Timestamp) -> i64 {
        at.as_millis().div_euclid(self.tick_ms().max(1))
    }

    fn interval(&self, at: Timestamp) -> i64 {
        at.as_millis().div_euclid(millis(self.probe_every).max(1))
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How many parts a window has.
const TICKS: i64 = 12;
/// So many that the window before a failure is whole for as long as another window after it.
pub(super) const KEPT_TICKS: usize = 2 * TICKS as usize;

/// What is known of whether an account answers by a method: what instances count, and what they merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    pub(super) ticks: Series<Beats, KEPT_TICKS>,
    /// How many probes went in the newest interval that has any.
    pub(super) probes: Probes,
    /// The last turn: of two at the same time, the one that opens.
    pub(super) turn: Option<Turn>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Beats {
    pub(super) answered: u32,
    pub(super) failed: u32,
    pub(super) last_failed: Option<Timestamp>,
}

impl Sum for Beats {
    fn add(&mut self, other: &Self) {
        self.answered = self.answered.saturating_add(other.answered);
        self.failed = self.failed.saturating_add(other.failed);
        self.last_failed = self.last_failed.max(other.last_failed);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Probes {
    pub(super) interval: i64,
    pub(super) sent: u32,
}

impl Probes {
    fn merge(&mut self, other: Self) {
        if self.interval < other.interval {
            *self = other;
        } else if self.interval == other.interval {
            self.sent = self.sent.saturating_add(other.sent);
        }
    }

    fn sent_in(self, interval: i64) -> u32 {
        if self.interval == interval { self.sent } else { 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) at: Timestamp,
    pub(super) to: TurnedTo,
}

impl Turn {
    fn is_believed(&self, settings: &CircuitSettings, at: Timestamp) -> bool {
        self.at <= at.after(settings.pause)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TurnedTo {
    Closed,
    Open,
}

impl Pulse {
    pub(super) fn merge(&mut self, other: &Self) {
        self.ticks.merge(&other.ticks);
        self.probes.merge(other.probes);
        self.turn = self.turn.max(other.turn);
    }

    /// Counts an attempt that ended at `at`, and turns the circuit where that, with what others know, says so.
    pub(super) fn record(
        &mut self,
        others: Option<&Self>,
        settings: &CircuitSettings,
        sign: Sign,
        latency: Duration,
        at: Timestamp,
    ) {
        let opened = Pulses::of(self, others).opened(settings, at);
        let sent_since = |opened: Timestamp| at.before(latency) > opened;
        let beats = match sign.is_answer() {
            true => Beats {
                answered: 1,
                ..Beats::default()
            },
            false => Beats {
                failed: 1,
                last_failed: Some(at),
                ..Beats::default()
            },
        };
        self.ticks.add(settings.tick(at), &beats);
        let turned_to = match opened {
            Some(opened) if !sent_since(opened) => None,
            Some(_) if sign.is_answer() => Some(TurnedTo::Closed),
            Some(_) => Some(TurnedTo::Open),
            None => Pulses::of(self, others)
                .opened(settings, at)
                .map(|_at| TurnedTo::Open),
        };
        if let Some(to) = turned_to {
            self.turn = self.turn.max(Some(Turn { at, to }));
        }
    }

    /// A probe goes.
    pub(super) fn probing(&mut self, settings: &CircuitSettings, at: Timestamp) {
        self.probes.merge(Probes {
            interval: settings.interval(at),
            sent: 1,
        });
    }

    /// Drops what is from before `first`.
    pub(super) fn expire(&mut self, settings: &CircuitSettings, at: Timestamp, first: Timestamp) {
        self.ticks.drop_before(settings.tick(first));
        self.turn = self.turn.filter(|turn| turn.at >= first);
        if self.probes.interval < settings.interval(at) {
            self.probes = Probes::default();
        }
    }

    /// Drops what is of a clock gone wrong.
    pub(super) fn drop_ahead(&mut self, settings: &CircuitSettings, at: Timestamp) {
        self.ticks.drop_after(settings.tick(at).saturating_add(1));
        self.turn = self.turn.filter(|turn| turn.is_believed(settings, at));
        if self.probes.interval > settings.interval(at).saturating_add(1) {
            self.probes = Probes::default();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ticks.is_empty() && self.turn.is_none() && self.probes == Probes::default()
    }
}

/// What one instance counted beside what the others did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulses<'a>([Option<&'a Pulse>; 2]);

impl<'a> Pulses<'a> {
    pub(super) fn of(own: &'a Pulse, others: Option<&'a Pulse>) -> Self {
        Self([Some(own), others])
    }

    pub(super) fn both(own: Option<&'a Pulse>, others: Option<&'a Pulse>) -> Self {
        Self([own, others])
    }

    fn all(self) -> impl Iterator<Item = &'a Pulse> {
        self.0.into_iter().flatten()
    }

    pub(super) fn circuit(self, settings: &CircuitSettings, at: Timestamp) -> Circuit {
        let Some(opened) = self.opened(settings, at) else {
            return Circuit::Closed;
        };
        let until = opened.after(settings.pause);
        if at < until {
            return Circuit::Open { until };
        }
        let interval = settings.interval(at);
        let sent = |pulse: &Pulse| pulse.probes.sent_in(interval);
        if self.all().map(sent).fold(0, u32::saturating_add) < settings.probes {
            return Circuit::HalfOpen;
        }
        let next = interval
            .saturating_add(1)
            .saturating_mul(millis(settings.probe_every));
        Circuit::Open {
            until: Timestamp::from_millis(next),
        }
    }

    /// Since when it is open. An instance may learn from others that there are enough failures, with no turn of its own.
    fn opened(self, settings: &CircuitSettings, at: Timestamp) -> Option<Timestamp> {
        let turns = self.all().filter_map(|pulse| pulse.turn);
        match turns.filter(|turn| turn.is_believed(settings, at)).max() {
            Some(Turn {
                at,
                to: TurnedTo::Open,
            }) => Some(at),
            Some(Turn {
                at: closed,
                to: TurnedTo::Closed,
            }) => self.tripped(settings, at, Some(settings.tick(closed))),
            None => self.tripped(settings, at, None),
        }
    }

    /// When the last failure was, if in the window that ends with it failures are enough: it is a failure that opens a
    /// circuit, and not that answers lie further back. Answers for longer than a window since then mean that all is well.
    /// What falls into the tick of the last closing is taken to be from before it.
    fn tripped(self, settings: &CircuitSettings, at: Timestamp, closed: Option<i64>) -> Option<Timestamp> {
        let now = settings.tick(at).saturating_add(1);
        let counts = |tick: i64| tick <= now && Some(tick) > closed;
        let ticks = || {
            let all = self.all().flat_map(|pulse| pulse.ticks.iter());
            all.filter(|(tick, _)| counts(*tick))
        };
        let newest = ticks().map(|(tick, _)| tick).max()?;
        let failed = ticks().filter(|(_, beats)| beats.failed > 0);
        let last = failed.map(|(tick, _)| tick).max()?;
        if newest - last > TICKS {
            return None;
        }
        let mut seen = Beats::default();
        for (tick, beats) in ticks() {
            if (last - TICKS + 1..=last).contains(&tick) {
                seen.add(beats);
            }
        }
        let all = u64::from(seen.answered) + u64::from(seen.failed);
        let enough = seen.failed >= settings.least_failures
            && u64::from(seen.failed) * WHOLE_PPM >= all * u64::from(settings.failure_share_ppm);
        seen.last_failed.filter(|_at| enough)
    }
}
