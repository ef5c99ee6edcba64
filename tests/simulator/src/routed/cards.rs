//! How often a card was tried, and what its network allows, by rules of its own.

use std::collections::{BTreeMap, HashMap};

use paymux_core::store::{Row, RowKey};
use paymux_core::{AttemptId, AttemptStatus, Tenant, Timestamp};
use serde::Deserialize;

use super::words::{self, Says};
use super::{Method, PAUSED_MS, Try};

/// A merchant's card, under its network's rules.
type Card = (Tenant, Network, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    Visa,
    Mastercard,
    Other,
}

/// What is kept of cards' tries.
#[derive(Debug, Default)]
pub(super) struct Cards {
    of_attempt: HashMap<AttemptId, Card>,
    rows: HashMap<Card, Vec<(u64, Tries)>>,
    row_of: HashMap<(Tenant, RowKey), Card>,
}

/// A row, as it was written.
#[derive(Clone, Debug, Deserialize)]
struct Tries {
    #[serde(default)]
    approved_at: Option<Timestamp>,
    #[serde(default)]
    condemned_at: Option<Timestamp>,
    #[serde(default)]
    declined: BTreeMap<AttemptId, Timestamp>,
}

const DAY: i64 = 86_400_000;

fn card(tenant: &Tenant, method: &Method) -> Option<Card> {
    let details = method.card.as_ref()?;
    let network = match details.network.as_deref()? {
        "visa" => Network::Visa,
        "mastercard" | "maestro" => Network::Mastercard,
        _ => Network::Other,
    };
    Some((tenant.clone(), network, details.fingerprint.clone()?))
}

impl Tries {
    /// Why the card may not be tried, if so.
    fn refusal(&self, network: Network, at: Timestamp) -> Option<String> {
        let at = at.as_millis();
        if let Some(condemned) = self.condemned_at
            && self.condemned_at > self.approved_at
            && at < condemned.as_millis() + 30 * DAY
        {
            return Some(format!("the card was condemned at {condemned}"));
        }
        let limits: &[(usize, i64)] = match network {
            Network::Visa => &[(15, 30)],
            Network::Mastercard => &[(10, 1), (35, 30)],
            Network::Other => &[],
        };
        limits.iter().find_map(|(most, days)| {
            let since = |declined: &&Timestamp| declined.as_millis() > at - days * DAY;
            let tries = self.declined.values().filter(since).count();
            (tries >= *most).then(|| format!("the card was declined {tries} times in {days} days"))
        })
    }
}

impl Cards {
    /// Attempts are there.
    pub(super) fn opened(&mut self, tenant: &Tenant, attempts: &[(AttemptId, &Method)]) {
        for (attempt, method) in attempts {
            if let Some(card) = card(tenant, method) {
                self.of_attempt.insert(*attempt, card);
            }
        }
    }

    /// A card's row is written.
    pub(super) fn written(&mut self, tenant: &Tenant, row: &Row, now: u64) -> Result<(), String> {
        let tries = serde_json::from_slice::<Tries>(&row.body).map_err(|error| error.to_string())?;
        let mut cards = tries.declined.keys().map(|attempt| self.of_attempt.get(attempt));
        let known = self.row_of.get(&(tenant.clone(), row.key)).cloned();
        let card = match cards.next() {
            Some(first) => first.cloned(),
            None => known.clone(),
        };
        let Some(card) = card else {
            return Err(format!("a row counts tries of no card that was tried: {tries:?}"));
        };
        if cards.any(|other| other != Some(&card)) || known.is_some_and(|known| known != card) {
            return Err(format!("a row counts tries of several cards: {tries:?}"));
        }
        self.row_of.insert((tenant.clone(), row.key), card.clone());
        self.rows.entry(card).or_default().push((now, tries));
        Ok(())
    }

    /// Why an attempt may not be opened with its card, by what was written long enough before, and by what this payment
    /// itself was told.
    pub(super) fn refusal(
        &self,
        tenant: &Tenant,
        new: &Try,
        before: &[Try],
        decided: Timestamp,
        now: u64,
    ) -> Option<String> {
        let card = card(tenant, &new.method)?;
        let rows = self.rows.get(&card).map_or(&[][..], Vec::as_slice);
        let seen = rows.partition_point(|(at, _)| at + PAUSED_MS <= now);
        if let Some(first) = seen.checked_sub(1) {
            let mut refusals = rows[first..]
                .iter()
                .map(|(_, tries)| tries.refusal(card.1, decided));
            let last = refusals.next_back().flatten();
            if refusals.all(|refusal| refusal.is_some()) && last.is_some() {
                return last;
            }
        }
        let approved = |since: Timestamp| rows.iter().any(|(_, tries)| tries.approved_at > Some(since));
        let with_it = |attempt: &&Try| {
            attempt.status == AttemptStatus::Declined
                && self::card(tenant, &attempt.method).as_ref() == Some(&card)
        };
        for (place, attempt) in before.iter().enumerate().filter(|(_, attempt)| with_it(attempt)) {
            let Some(word) = attempt.known.declined.as_ref().and_then(words::of) else {
                continue;
            };
            let is_last = place + 1 == before.len();
            let age = decided.as_millis() - attempt.opened_at.as_millis();
            let forbids = match word.says {
                Says::NeverThisCard => !approved(attempt.opened_at),
                Says::NeverThisPayment => is_last,
                Says::Wait(wait) => is_last && age < wait,
                Says::GoOn | Says::Hard | Says::Authenticate | Says::Correct => false,
            };
            if forbids {
                return Some(format!("the same card is tried again after {}", word.word));
            }
        }
        None
    }
}
