//! What one instance counted, beside what all others wrote down.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Health, HealthSettings, HealthSnapshot, Sample, Segment, Standing, standing};
use crate::error::{Error, Fault, Result};
use crate::id::AccountRef;
use crate::method::MethodKind;
use crate::text::from_text;
use crate::time::Timestamp;

/// Names a running instance of the host, for its row of counts: 1 to 64 characters, as the host likes. The name of a pod
/// will do, as will one that is new with each start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct InstanceId(Box<str>);

impl InstanceId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(Error::invalid(Fault::new(
                "instance",
                "not an instance's name",
                "use 1 to 64 bytes of text, such as the name of a pod",
            )));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// What became of a row that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is newer than what was known of its instance, and counts.
    Newer,
    /// It is no newer, and changes nothing. So is an instance's own row while it runs.
    NoNewer,
    /// This instance has started anew, and goes on from what it had written.
    Resumed,
}

/// The health of accounts as one instance knows it: its own counts, and the last row of each other instance.
///
/// Each instance writes its own row alone, every second or so and outside of payments' commits, and reads those of the
/// others: nobody waits for anybody, and no row has two writers. A view is the sum of them all.
///
/// **How stale it can be.** Of its own attempts an instance knows at once; of others' it knows what they had written when
/// it last read. With a row written and read each second, that is two seconds and the time of a write. Until then:
///
/// * rates lag by the attempts of that time, which the draw of [`by_success_rate`](super::by_success_rate) bears well;
/// * a circuit may open or close that much later elsewhere;
/// * each instance may let [`CircuitSettings::probes`](crate::routing::CircuitSettings::probes) through in an interval;
/// * an instance that dies takes what it had not written with it. Counts are advice: no payment depends on them.
///
/// Clocks of instances should differ by less than a pause of a circuit. Counts of a row that lie further ahead than a
/// bucket are dropped, as is a turn of a circuit further ahead than a pause.
///
/// A dead instance's row fades like all counts. Whoever stores rows may delete those that are older than five half-lives.
#[derive(Clone, Debug)]
pub struct HealthBoard {
    instance: InstanceId,
    own: Health,
    others: BTreeMap<InstanceId, Health>,
    /// The sum of the others.
    beside: Health,
}

impl HealthBoard {
    /// Nothing is known yet. At a start, [`take`](Self::take) the rows of all instances, this one's among them.
    ///
    /// # Errors
    /// Those of [`HealthSettings::check`].
    pub fn new(instance: InstanceId, settings: HealthSettings) -> Result<Self> {
        let own = Health::new(settings)?;
        Ok(Self {
            instance,
            beside: own.clone(),
            own,
            others: BTreeMap::new(),
        })
    }

    /// Whose board it is.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// What this instance counted.
    pub fn own(&self) -> &Health {
        &self.own
    }

    /// What all of them counted.
    pub fn together(&self) -> Health {
        let mut all = self.own.clone();
        all.merge(&self.beside);
        all
    }

    /// Counts an attempt of this instance, whose outcome was known at `at`.
    pub fn record(&mut self, sample: &Sample<'_>, at: Timestamp) {
        self.own.record_beside(Some(&self.beside), sample, at);
    }

    /// A payment of this instance goes to an account as a probe, since its circuit is half open.
    pub fn probing(&mut self, account: &AccountRef, method: MethodKind, at: Timestamp) {
        self.own.probing(account, method, at);
    }

    /// How an account stands with payments of a segment, by what all of them counted.
    pub fn standing(&self, segment: &Segment<'_>, at: Timestamp) -> Standing {
        standing(&self.own, Some(&self.beside), segment, at)
    }

    /// The row to write: at most so many bytes of JSON.
    pub fn snapshot(&self, most_bytes: usize) -> HealthSnapshot {
        self.own.snapshot(most_bytes)
    }

    /// Takes in a row that was read at `at`.
    pub fn take(&mut self, instance: InstanceId, row: &HealthSnapshot, at: Timestamp) -> Taken {
        if instance == self.instance {
            if self.own.revision > 0 || row.revision() == 0 {
                return Taken::NoNewer;
            }
            self.own = row.read(self.own.settings);
            self.own.drop_ahead(at);
            return Taken::Resumed;
        }
        let known = self.others.get(&instance);
        if known.is_some_and(|known| known.revision >= row.revision()) {
            return Taken::NoNewer;
        }
        let mut counted = row.read(self.own.settings);
        counted.drop_ahead(at);
        self.others.insert(instance, counted);
        self.sum_up();
        Taken::Newer
    }

    /// Drops what counts no more at `at`, and who has nothing left.
    pub fn expire(&mut self, at: Timestamp) {
        self.own.expire(at);
        for health in self.others.values_mut() {
            health.expire(at);
        }
        self.others
            .retain(|_instance, health| !health.accounts.is_empty());
        self.sum_up();
    }

    /// The instances that it has rows of, beside itself.
    pub fn others(&self) -> impl Iterator<Item = &InstanceId> {
        self.others.keys()
    }

    fn sum_up(&mut self) {
        self.beside = Health::empty(self.own.settings);
        for health in self.others.values() {
            self.beside.merge(health);
        }
    }
}
