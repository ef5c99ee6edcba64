//! The form in which an instance writes its counts down.

use std::cmp::Reverse;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use super::super::circuit::{Beats, Probes, Pulse, Turn, millis};
use super::super::rate::{Series, Tally, Window};
use super::{Health, HealthSettings, Level, MethodCounts, via_of};
use crate::id::{AccountRef, ConnectorId};
use crate::method::MethodKind;
use crate::money::Currency;
use crate::time::Timestamp;

/// The form of this release. Later ones may add to it, and don't change the meaning of what is here.
const VERSION: u32 = 1;

/// An instance's counts, as its row keeps them.
///
/// It has no more bytes of JSON than asked for. Where there is more to say, the finest segments are left out first, and
/// of these those used least recently.
///
/// A release reads what it knows: fields, methods, currencies and whole entries that a later release may add are passed
/// over, as is what can't be read. What another release, or other settings, counted by other times is brought to this
/// one's, by the start of each bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSnapshot {
    version: u32,
    revision: u64,
    /// How long a bucket is.
    bucket_ms: i64,
    /// The bucket that ages are counted from.
    newest: i64,
    /// How long a tick of a circuit is.
    tick_ms: i64,
    /// The tick that ages are counted from.
    newest_tick: i64,
    /// How long an interval of probes is.
    interval_ms: i64,
    #[serde(default, deserialize_with = "readable")]
    entries: Vec<Entry>,
}

/// A segment. What isn't there says how coarse it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    connector: ConnectorId,
    account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<MethodKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    /// A row per bucket, zeros at its end left out: its age in buckets, the milliseconds of answers added up, then the
    /// numbers of approved, soft declined, hard declined, not executed, unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rows: Vec<Vec<u64>>,
    /// Of a method: rows of second attempts, third ones, and those after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    later: Vec<Vec<Vec<u64>>>,
    /// Of a method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    circuit: Option<CircuitEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CircuitEntry {
    /// A row per tick: its age in ticks, how many were answered, how many failed, and when the last of these did, in
    /// milliseconds since 1970-01-01T00:00:00Z.
    #[serde(default)]
    ticks: Vec<Vec<u64>>,
    #[serde(default)]
    probes: (i64, u32),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<Turn>,
}

/// Passes over what can't be read.
fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lenient {
        Known(Box<Entry>),
        Other(IgnoredAny),
    }
    let all = Vec::<Lenient>::deserialize(deserializer)?.into_iter();
    let known = all.filter_map(|entry| match entry {
        Lenient::Known(entry) => Some(*entry),
        Lenient::Other(_) => None,
    });
    Ok(known.collect())
}

impl Health {
    /// What an instance writes down: at most so many bytes of JSON, where that is enough for a header of 200.
    pub fn snapshot(&self, most_bytes: usize) -> HealthSnapshot {
        let mut entries = self.entries();
        // Coarse levels first, and of each level what was used last.
        entries.sort_by_key(|(entry, used)| (Reverse(entry.level()), Reverse(*used)));
        let circuit = &self.settings.circuit;
        let mut snapshot = HealthSnapshot {
            version: VERSION,
            revision: self.revision,
            bucket_ms: self.settings.bucket_ms(),
            newest: self.newest_bucket(),
            tick_ms: circuit.tick_ms(),
            newest_tick: self.newest_tick(),
            interval_ms: millis(circuit.probe_every),
            entries: Vec::new(),
        };
        let mut bytes = json_bytes(&snapshot);
        for (entry, _used) in entries {
            bytes = bytes.saturating_add(json_bytes(&entry)).saturating_add(1);
            if bytes > most_bytes {
                break;
            }
            snapshot.entries.push(entry);
        }
        snapshot
    }

    fn newest_bucket(&self) -> i64 {
        let methods = self
            .accounts
            .values()
            .flat_map(|account| account.methods.values());
        let newest = methods.flat_map(|method| {
            let later = method.later.iter().filter_map(Series::newest);
            method.all.newest().into_iter().chain(later)
        });
        newest.max().unwrap_or(0)
    }

    fn newest_tick(&self) -> i64 {
        let methods = self
            .accounts
            .values()
            .flat_map(|account| account.methods.values());
        let newest = methods.filter_map(|method| method.pulse.ticks.newest());
        newest.max().unwrap_or(0)
    }

    /// Each segment of each level, with when it was last used.
    fn entries(&self) -> Vec<(Entry, Timestamp)> {
        let newest = self.newest_bucket();
        let tick = self.newest_tick();
        let mut entries = Vec::new();
        for (account, counts) in &self.accounts {
            let used = counts.used;
            let entry = Entry {
                connector: account.connector().clone(),
                account: account.account().to_owned(),
                method: None,
                via: None,
                currency: None,
                rows: rows_of(&counts.all, newest),
                later: Vec::new(),
                circuit: None,
            };
            for (method, counts) in &counts.methods {
                let entry = Entry {
                    method: Some(*method),
                    ..entry.clone()
                };
                for (via, counts) in &counts.vias {
                    let entry = Entry {
                        via: Some(via.clone()),
                        ..entry.clone()
                    };
                    for (currency, counts) in &counts.currencies {
                        let entry = Entry {
                            currency: Some(*currency),
                            rows: rows_of(&counts.all, newest),
                            ..entry.clone()
                        };
                        entries.push((entry, counts.used));
                    }
                    let used = counts.currencies.values().map(|counts| counts.used).max();
                    let entry = Entry {
                        rows: rows_of(&counts.all, newest),
                        ..entry
                    };
                    entries.push((entry, used.unwrap_or_default()));
                }
                let later = counts.later.each_ref().map(|window| rows_of(window, newest));
                let entry = Entry {
                    rows: rows_of(&counts.all, newest),
                    later: match later.iter().all(Vec::is_empty) {
                        true => Vec::new(),
                        false => later.to_vec(),
                    },
                    circuit: CircuitEntry::of(&counts.pulse, tick),
                    ..entry
                };
                entries.push((entry, used));
            }
            entries.push((entry, used));
        }
        entries
    }
}

impl HealthSnapshot {
    /// Which release's form it is in.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// That of the counts: [`Health::revision`].
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The counts, by the times of these settings. Of more segments than these keep the last are passed over.
    pub fn read(&self, settings: HealthSettings) -> Health {
        let mut health = Health::empty(settings);
        health.revision = self.revision;
        if self.bucket_ms <= 0 || self.tick_ms <= 0 {
            return health;
        }
        let mut segments = 0;
        for entry in &self.entries {
            let account = AccountRef::new(entry.connector.clone(), entry.account.as_str());
            if !health.accounts.contains_key(&account) && health.accounts.len() >= settings.most_accounts {
                continue;
            }
            if entry.level() == Level::Currency {
                segments += 1;
                if segments > settings.most_segments {
                    continue;
                }
            }
            self.read_entry(&mut health, account, entry);
        }
        health
    }

    fn read_entry(&self, health: &mut Health, account: AccountRef, entry: &Entry) {
        let settings = health.settings;
        let all = self.window_of(&entry.rows, &settings);
        let newest = all.newest().unwrap_or(i64::MIN);
        let used = Timestamp::from_millis(newest.saturating_mul(settings.bucket_ms()));
        let counts = health.accounts.entry(account).or_default();
        counts.used = counts.used.max(used);
        let Some(method) = entry.method else {
            counts.all.merge(&all);
            return;
        };
        let counts = counts.methods.entry(method).or_default();
        let Some(via) = &entry.via else {
            counts.all.merge(&all);
            self.read_method(counts, entry, &settings);
            return;
        };
        let counts = counts.vias.entry(via_of(Some(via)).into()).or_default();
        let Some(currency) = entry.currency else {
            counts.all.merge(&all);
            return;
        };
        let counts = counts.currencies.entry(currency).or_default();
        counts.used = counts.used.max(used);
        counts.all.merge(&all);
    }

    /// What a method has beside its rows.
    fn read_method(&self, counts: &mut MethodCounts, entry: &Entry, settings: &HealthSettings) {
        for (window, rows) in counts.later.iter_mut().zip(&entry.later) {
            window.merge(&self.window_of(rows, settings));
        }
        let Some(circuit) = &entry.circuit else {
            return;
        };
        let tick_ms = settings.circuit.tick_ms().max(1);
        let mut pulse = Pulse {
            turn: circuit.turn,
            ..Pulse::default()
        };
        if self.interval_ms == millis(settings.circuit.probe_every) {
            let (interval, sent) = circuit.probes;
            pulse.probes = Probes { interval, sent };
        }
        for row in &circuit.ticks {
            let last_failed = row.get(3).and_then(|millis| i64::try_from(*millis).ok());
            let beats = Beats {
                answered: number(row, 1),
                failed: number(row, 2),
                last_failed: last_failed.map(Timestamp::from_millis),
            };
            let index = index_of(row, self.newest_tick, self.tick_ms, tick_ms);
            pulse.ticks.add(index, &beats);
        }
        counts.pulse.merge(&pulse);
    }

    fn window_of(&self, rows: &[Vec<u64>], settings: &HealthSettings) -> Window {
        let mut window = Window::default();
        for row in rows {
            let tally = Tally {
                latency_ms: row.get(1).copied().unwrap_or(0),
                approved: number(row, 2),
                soft_declined: number(row, 3),
                hard_declined: number(row, 4),
                not_executed: number(row, 5),
                unknown: number(row, 6),
            };
            let index = index_of(row, self.newest, self.bucket_ms, settings.bucket_ms().max(1));
            window.add(index, &tally);
        }
        window
    }
}

impl Entry {
    fn level(&self) -> Level {
        match (self.method, &self.via, self.currency) {
            (None, _, _) => Level::Account,
            (Some(_), None, _) => Level::Method,
            (Some(_), Some(_), None) => Level::Via,
            (Some(_), Some(_), Some(_)) => Level::Currency,
        }
    }
}

impl CircuitEntry {
    fn of(pulse: &Pulse, newest: i64) -> Option<Self> {
        if *pulse == Pulse::default() {
            return None;
        }
        let ticks = pulse.ticks.iter().map(|(tick, beats)| {
            let mut row = vec![
                age(newest, tick),
                u64::from(beats.answered),
                u64::from(beats.failed),
            ];
            row.extend(
                beats
                    .last_failed
                    .map(|at| u64::try_from(at.as_millis()).unwrap_or(0)),
            );
            row
        });
        Some(Self {
            ticks: ticks.collect(),
            probes: (pulse.probes.interval, pulse.probes.sent),
            turn: pulse.turn,
        })
    }
}

fn rows_of(window: &Window, newest: i64) -> Vec<Vec<u64>> {
    let rows = window.iter().map(|(index, tally)| {
        let mut row = vec![
            age(newest, index),
            tally.latency_ms,
            u64::from(tally.approved),
            u64::from(tally.soft_declined),
            u64::from(tally.hard_declined),
            u64::from(tally.not_executed),
            u64::from(tally.unknown),
        ];
        while row.last() == Some(&0) && row.len() > 1 {
            row.pop();
        }
        row
    });
    rows.collect()
}

fn age(newest: i64, index: i64) -> u64 {
    u64::try_from(newest.saturating_sub(index)).unwrap_or(0)
}

fn number(row: &[u64], place: usize) -> u32 {
    let number = row.get(place).copied().unwrap_or(0);
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Where what was counted by one length of time falls by another.
fn index_of(row: &[u64], newest: i64, counted_ms: i64, own_ms: i64) -> i64 {
    let age = i64::try_from(row.first().copied().unwrap_or(0)).unwrap_or(i64::MAX);
    let index = newest.saturating_sub(age);
    if counted_ms == own_ms {
        return index;
    }
    index.saturating_mul(counted_ms).div_euclid(own_ms)
}

fn json_bytes<T: Serialize>(value: &T) -> usize {
    // It has neither maps nor numbers that JSON can't write.
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}
