//! How often a card was tried: what the networks' limits need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CardNetwork, LONGEST, NeverAgain, RetryRule};
use crate::decline::Decline;
use crate::id::AttemptId;
use crate::time::Timestamp;

/// More than any limit counts to, so that what is forgotten wouldn't have changed an answer.
const MOST: usize = 64;

/// The declined tries of one card, by its fingerprint at one merchant, since it was last approved.
///
/// A value: records of several instances are merged in any order, as often as one likes. It keeps the 64 newest tries, a
/// few kilobytes at most. Declines of all amounts count, though Mastercard's longer limit speaks of the same amount. An
/// approval begins the count anew, as processors count (docs.dintero.com, "Do Not Try Again & Excessive Reattempts";
/// developers.tabapay.com/docs/excessive-retry-rules, "consecutive").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardTries {
    network: CardNetwork,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approved_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condemned_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    declined: BTreeMap<AttemptId, Timestamp>,
}

/// What became of a try that the network saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TryOutcome {
    /// It was approved: the card works.
    Approved,
    /// It was declined.
    Declined,
    /// It was declined, and the card is not to be tried again.
    Condemned,
}

impl TryOutcome {
    /// What a decline is to the card.
    pub fn of(decline: &Decline) -> Self {
        match decline.retry_rule() {
            RetryRule::Never(NeverAgain::ThisCard) => Self::Condemned,
            RetryRule::Never(NeverAgain::ThisPayment) | RetryRule::On(_) => Self::Declined,
        }
    }
}

/// Whether the card may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TryPermission {
    /// It may.
    Allowed,
    /// It may not.
    Refused {
        /// From when on it may; `None` where it never may.
        until: Option<Timestamp>,
    },
}

impl CardTries {
    /// Of a card that wasn't tried yet.
    pub fn of(network: CardNetwork) -> Self {
        Self {
            network,
            approved_at: None,
            condemned_at: None,
            declined: BTreeMap::new(),
        }
    }

    /// The card's network.
    pub fn network(&self) -> CardNetwork {
        self.network
    }

    /// How many declined tries it knows.
    pub fn declined(&self) -> usize {
        self.declined.len()
    }

    /// Takes a try in. The same attempt counts once, at the latest of the times that it is recorded with.
    pub fn record(&mut self, attempt: AttemptId, at: Timestamp, outcome: TryOutcome) {
        match outcome {
            TryOutcome::Approved => self.approved_at = self.approved_at.max(Some(at)),
            TryOutcome::Declined => self.count(attempt, at),
            TryOutcome::Condemned => {
                self.condemned_at = self.condemned_at.max(Some(at));
                self.count(attempt, at);
            }
        }
        self.forget();
    }

    /// Takes in what another record of the same card knows.
    pub fn merge(&mut self, other: &Self) {
        self.approved_at = self.approved_at.max(other.approved_at);
        self.condemned_at = self.condemned_at.max(other.condemned_at);
        for (attempt, at) in &other.declined {
            self.count(*attempt, *at);
        }
        self.forget();
    }

    /// Whether the card may be tried at a moment, under the rule of the payment's last decline, or under
    /// [`RetryRule::free`] where there was none. Whether data that need a correction were corrected, the caller knows.
    ///
    /// A condemned card may be tried again after 30 days, which is how long Mastercard charges for it, or once it was
    /// approved elsewhere.
    pub fn allowed(&self, rule: RetryRule, at: Timestamp) -> TryPermission {
        let RetryRule::On(terms) = rule else {
            return TryPermission::Refused { until: None };
        };
        let mut newest_first: Vec<Timestamp> = self.declined.values().copied().collect();
        newest_first.sort_unstable_by(|one, other| other.cmp(one));
        let condemned = self.condemned().map(|since| since.after(LONGEST));
        let last = newest_first.first().filter(|_| !terms.wait().is_zero());
        let waited = last.map(|last| last.after(terms.wait()));
        let counted = self.network.limits().iter().map(|limit| {
            let last_of_most = usize::try_from(limit.most).ok()?.checked_sub(1)?;
            Some(newest_first.get(last_of_most)?.after(limit.within))
        });
        let until = counted.chain([condemned, waited]).flatten().max();
        match until.filter(|until| *until > at) {
            Some(until) => TryPermission::Refused { until: Some(until) },
            None => TryPermission::Allowed,
        }
    }

    /// From when on the record says nothing any more and may be deleted; `None` where it says nothing already.
    pub fn ends_at(&self) -> Option<Timestamp> {
        let newest = self.declined.values().copied().chain(self.condemned()).max();
        newest.map(|at| at.after(LONGEST))
    }

    fn condemned(&self) -> Option<Timestamp> {
        self.condemned_at.filter(|at| Some(*at) > self.approved_at)
    }

    fn count(&mut self, attempt: AttemptId, at: Timestamp) {
        let known = self.declined.entry(attempt).or_insert(at);
        *known = at.max(*known);
    }

    /// Drops what came before an approval, and what is beyond the newest. The latest time and the greatest of equals
    /// always stay, so that the order of merges doesn't matter.
    fn forget(&mut self) {
        let approved_at = self.approved_at;
        self.declined.retain(|_, at| Some(*at) > approved_at);
        while self.declined.len() > MOST {
            let oldest = self.declined.iter().map(|(attempt, at)| (*at, *attempt)).min();
            let Some((_, attempt)) = oldest else { return };
            self.declined.remove(&attempt);
        }
    }
}
