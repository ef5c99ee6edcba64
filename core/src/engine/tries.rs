//! How often a card was tried, by the card networks' rules: they count by card, over 30 days, whoever asks.
//!
//! A count stands in a row of its own, written after the payment's outcome and outside of its commit: a crash between the
//! two loses one try of the count, and never anything of the payment.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Inner;
use super::aggregate::{SCHEMA, decode_body, encode, known_form};
use super::commit::{CommitFailure, unreadable};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::intent::{Attempt, AttemptStatus, Intent};
use crate::method::PaymentMethod;
use crate::retry::{CardNetwork, CardTries, RetryRule, TryOutcome, TryPermission};
use crate::store::{Index, Precondition, Row, RowKey, RowKind};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// How often a count is written again where another instance was quicker.
const TRIES: u32 = 5;

impl Inner {
    /// Whether the card's network allows another try. A card without a fingerprint isn't counted. The payment's own
    /// declines count before they are in the store.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], with when it may be tried again; the store couldn't be read.
    pub(crate) async fn card_may_be_tried(
        &self,
        tenant: &Tenant,
        intent: &Intent,
        method: &PaymentMethod,
    ) -> Result<()> {
        let Some((key, network)) = counted(method) else {
            return Ok(());
        };
        let known = self.tries(tenant, key).await?;
        let mut tries = known.map_or_else(|| CardTries::of(network), |(tries, _)| tries);
        let is_with_it = |attempt: &&Attempt| counted(&attempt.method).is_some_and(|(same, _)| same == key);
        for attempt in intent.attempts.iter().filter(is_with_it) {
            if let Some(declined @ (TryOutcome::Declined | TryOutcome::Condemned)) = outcome(attempt) {
                tries.record(attempt.id, attempt.opened_at, declined);
            }
        }
        // What the network said of this payment's last decline with this card holds beside its general limits.
        let last = intent.attempts.last().filter(is_with_it);
        let rule = last
            .and_then(|last| last.known.declined.as_ref())
            .map_or(RetryRule::free(network), |decline| decline.retry_rule());
        match tries.allowed(rule, self.runtime.clock.now()) {
            TryPermission::Allowed => Ok(()),
            TryPermission::Refused { until } => Err(refused(until)),
        }
    }

    /// Counts the tries that a commit decided.
    pub(crate) async fn count_tries(&self, tenant: &Tenant, before: &Intent, after: &Intent) {
        for attempt in &after.attempts {
            let was = before.attempt(attempt.id).and_then(outcome);
            if let Some(outcome) = outcome(attempt).filter(|is| was != Some(*is))
                && let Some((key, network)) = counted(&attempt.method)
                && let Err(error) = self.count_try(tenant, key, network, attempt, outcome).await
            {
                tracing::warn!(%tenant, attempt = %attempt.id, %error, "a try of a card couldn't be counted");
            }
        }
    }

    async fn count_try(
        &self,
        tenant: &Tenant,
        key: RowKey,
        network: CardNetwork,
        attempt: &Attempt,
        outcome: TryOutcome,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let known = self.tries(tenant, key).await?;
            // A card that was never declined needs no row.
            if known.is_none() && outcome == TryOutcome::Approved {
                return Ok(());
            }
            let (mut tries, version) = known.unwrap_or_else(|| (CardTries::of(network), 0));
            let mut work = self.work();
            tries.record(attempt.id, work.at, outcome);
            work.batch.preconditions.push(match version {
                0 => Precondition::Absent(key),
                version => Precondition::Version(key, version),
            });
            work.batch.puts.push(Row {
                key,
                version: version + 1,
                schema: SCHEMA,
                index: Index::of("tries", work.at),
                body: encode(&tries)?,
            });
            match self.commit(tenant, work).await {
                Ok(()) => return Ok(()),
                Err(CommitFailure::Conflict(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(super::operate::stale())
    }

    async fn tries(&self, tenant: &Tenant, key: RowKey) -> Result<Option<(CardTries, u64)>> {
        let rows = self.store.load(tenant, &[key]).await.map_err(unreadable)?;
        let Some(row) = rows.into_iter().next().flatten() else {
            return Ok(None);
        };
        known_form(row.key, row.schema)?;
        Ok(Some((decode_body(&row.body, row.key)?, row.version)))
    }
}

/// The row that counts a card's tries, and whose rules it is under.
fn counted(method: &PaymentMethod) -> Option<(RowKey, CardNetwork)> {
    let card = method.card()?;
    let fingerprint = card.fingerprint.as_ref()?;
    let network = CardNetwork::named(card.network.as_ref()?);
    // Maestro is under Mastercard's rules, and a card with two networks is counted by each.
    let digest = Sha256::digest(format!("{network:?} {fingerprint}"));
    let (first, _) = digest.split_at(16);
    let id = Uuid::from_slice(first).ok()?;
    Some((RowKey::new(RowKind::Card, id), network))
}

/// What an attempt was to the card's network.
fn outcome(attempt: &Attempt) -> Option<TryOutcome> {
    match attempt.status {
        AttemptStatus::Authorized
        | AttemptStatus::Captured
        | AttemptStatus::Settled
        | AttemptStatus::Voided => Some(TryOutcome::Approved),
        AttemptStatus::Declined => attempt.known.declined.as_ref().map(TryOutcome::of),
        AttemptStatus::Opened
        | AttemptStatus::Pending
        | AttemptStatus::RequiresAction
        | AttemptStatus::Cancelled
        | AttemptStatus::NotExecuted
        | AttemptStatus::Failed => None,
    }
}

fn refused(until: Option<Timestamp>) -> Error {
    let remedy = match until {
        Some(until) => format!("ask the payer for another method, or try again after {until}"),
        None => "ask the payer for another method".to_owned(),
    };
    let fault = Fault::new(
        "method",
        "the card's network allows no further try of this card now",
        remedy,
    );
    Error::new(ErrorKind::Forbidden, "the card's network forbids another try").with_faults(vec![fault])
}
