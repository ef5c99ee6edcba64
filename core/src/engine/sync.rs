//! Asking processors how a payment stands, and which attempts of it are asked about.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::aggregate::Loaded;
use super::call::ask;
use super::drive::{Driven, FirstWrite};
use super::payments::Payments;
use super::refunds::{may_change, watched};
use super::write::{held_until, to_sync};
use crate::connector::{Connector, Contradiction, NotExecuted, Outcome, RefundReadReport, StepKey, op};
use crate::error::Result;
use crate::id::AttemptId;
use crate::intent::{self, Attempt, AttemptStatus, Intent, News, Reading, ReviewReason};
use crate::refund::{Allocation, RefundNews, RefundState};
use crate::store::Claim;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Whether everybody who was asked has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    All,
    NotAll,
}

/// Which attempts of an intent are asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// Those that may still change by themselves.
    Waiting,
    /// Those, and one that a notice names, whatever is taken for known of it.
    Named(AttemptId),
    /// Every one that was ever sent.
    Sent,
}

impl Asked {
    fn holds(self, attempt: &Attempt) -> bool {
        let waiting = match attempt.status {
            AttemptStatus::NotExecuted | AttemptStatus::Voided | AttemptStatus::Cancelled => false,
            AttemptStatus::Declined => attempt.closure != intent::Closure::Open,
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled
            | AttemptStatus::Failed => true,
        };
        match self {
            Self::Waiting => waiting,
            Self::Named(named) => waiting || attempt.id == named,
            Self::Sent => !matches!(attempt.known.not_executed, Some(NotExecuted::NotSent(_))),
        }
    }
}

/// Whether a read is one that hints asked for, whatever they told of, beside those that a row asks for by itself.
fn after_hints(claim: &Claim) -> bool {
    !claim.job.child.is_nil()
}

impl Payments {
    /// Asks the processors about every attempt that may still change, and merges what they say.
    pub(crate) async fn sync_loaded(&self, loaded: Loaded<Intent>) -> Result<Driven> {
        Ok(self.sync_and_hear(loaded, Asked::Waiting).await?.0)
    }

    /// Asks about those attempts, and says whether each of them was answered for.
    pub(crate) async fn sync_and_hear(
        &self,
        loaded: Loaded<Intent>,
        asked: Asked,
    ) -> Result<(Driven, Heard)> {
        let mut loaded = loaded;
        let (mut action, mut heard) = (None, Heard::All);
        let seen = loaded.version;
        for attempt in loaded.state.attempts.clone() {
            if !asked.holds(&attempt) {
                continue;
            }
            let connector = match self.engine.connectors.get(&self.tenant, &attempt.account).await {
                Ok(Some(connector)) => connector,
                Ok(None) => continue,
                Err(error) => match loaded.version == seen {
                    true => return Err(error),
                    // What another attempt's answer brought about may have moved money: that is said.
                    false => {
                        tracing::warn!(account = %attempt.account, %error, "an account can't be asked");
                        heard = Heard::NotAll;
                        continue;
                    }
                },
            };
            let refund_epoch = self.engine.refund_epoch(&connector, &loaded.state, &attempt);
            let Some(standing) = self.engine.read_attempt(&self.tenant, &connector, &attempt).await else {
                heard = Heard::NotAll;
                continue;
            };
            if let crate::connector::AuthorizeReport::ActionNeeded(_, needed, _) = &standing.report {
                action = Some(needed.clone());
            }
            let news = News::Payment {
                attempt: attempt.id,
                standing,
                reading: Reading::Read { refund_epoch },
            };
            match self.engine.merge_news(&self.tenant, &loaded, news).await {
                Ok((after, FirstWrite::Done)) => loaded = after,
                Ok((after, FirstWrite::InDoubt)) => {
                    loaded = after;
                    heard = Heard::NotAll;
                }
                Err(error) if loaded.version == seen => return Err(error),
                Err(error) => {
                    tracing::warn!(account = %attempt.account, %error, "an answer couldn't be written");
                    heard = Heard::NotAll;
                }
            }
        }
        Ok((Driven::to(loaded, action), heard))
    }

    /// Asks about every attempt that was ever sent: what was taken for not executed or declined may hold money after
    /// all.
    pub(crate) async fn sync_all(&self, loaded: Loaded<Intent>) -> Result<Loaded<Intent>> {
        let (driven, _) = self.sync_and_hear(loaded, Asked::Sent).await?;
        // Only now: an account that is gone keeps no other from being asked.
        let state = &driven.loaded.state;
        let current = state.current().map(|attempt| attempt.id);
        for attempt in &state.attempts {
            if Asked::Waiting.holds(attempt) || Some(attempt.id) == current {
                self.connector(&attempt.account).await?;
            }
        }
        Ok(driven.loaded)
    }
}

impl Inner {
    pub(super) async fn sync_due(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let Some(loaded) = self.load::<Intent>(&claim.tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        let pause = self.ever_longer(loaded.state.updated_at);
        let asked = match after_hints(claim) {
            true => Asked::Sent,
            false => Asked::Waiting,
        };
        let synced = self.payments(&claim.tenant).sync_and_hear(loaded, asked).await;
        // Only now: a worker that dies meanwhile leaves the job to its lease. Where nothing is left to ask, the job is
        // done, if the sync's own commit hasn't ended it already.
        match &synced {
            Ok((_, Heard::All)) if after_hints(claim) => self.drop_job(claim).await?,
            Ok((_, Heard::NotAll)) | Err(_) if after_hints(claim) => self.later(claim, pause).await?,
            Ok((driven, Heard::All)) if !to_sync(&driven.loaded.state) => {
                match held_until(&driven.loaded.state) {
                    // It may lapse without a word.
                    Some(at) => {
                        let left = at.since(self.runtime.clock.now());
                        self.later_of(claim, &driven.loaded, pause.max(left)).await?;
                    }
                    None => self.drop_job_of(claim, &driven.loaded).await?,
                }
            }
            Ok((driven, Heard::All | Heard::NotAll)) => {
                self.later_of(claim, &driven.loaded, pause).await?;
            }
            Err(_) => self.later(claim, pause).await?,
        }
        let (driven, heard) = synced?;
        self.raise_lapsed(&claim.tenant, &driven.loaded, heard).await
    }

    /// An authorization whose time is up may be gone: where nobody says so, a person is asked.
    async fn raise_lapsed(&self, tenant: &Tenant, loaded: &Loaded<Intent>, heard: Heard) -> Result<()> {
        let now = self.runtime.clock.now();
        let lapsed = held_until(&loaded.state).filter(|at| *at <= now);
        let (Some(at), Some(attempt)) = (lapsed, loaded.state.current()) else {
            return Ok(());
        };
        let connector = self.connectors.get(tenant, &attempt.account).await?;
        let readable = connector.is_some_and(|connector| {
            let read = connector.read.is_some() && attempt.known.handle.is_some();
            read || connector.look_up.is_some()
        });
        let silent = heard == Heard::NotAll && now >= at.after(self.policy.review_after);
        match !readable || silent {
            true => {
                self.raise(tenant, loaded, ReviewReason::AuthorizationLapsed)
                    .await
            }
            false => Ok(()),
        }
    }

    /// The pause of a sync or an expiry: it doubles with the time since something last happened, or was due.
    pub(crate) fn ever_longer(&self, since: Timestamp) -> Duration {
        let age = self.runtime.clock.now().since(since);
        age.clamp(
            self.policy.sync_every,
            self.policy.recheck_at_most.max(self.policy.sync_every),
        )
    }

    pub(super) async fn sync_refund_due(self: &Arc<Self>, claim: &Claim) -> Result<()> {
        let Some(loaded) = self.load::<RefundState>(&claim.tenant, claim.job.row.id).await? else {
            return self.drop_job(claim).await;
        };
        let pause = self.ever_longer(loaded.state.updated_at);
        let synced = match self.connectors.get(&claim.tenant, &loaded.state.account).await {
            Ok(Some(connector)) => self.sync_refund(&claim.tenant, loaded, &connector).await,
            Ok(None) => return self.later(claim, pause).await,
            Err(error) => Err(error),
        };
        match &synced {
            Ok((_, Heard::All)) if after_hints(claim) => self.drop_job(claim).await?,
            Ok((after, Heard::All)) if !watched(&after.state) => self.drop_job_of(claim, after).await?,
            Ok((after, Heard::All | Heard::NotAll)) if !after_hints(claim) => {
                self.later_of(claim, after, pause).await?;
            }
            Ok(_) | Err(_) => self.later(claim, pause).await?,
        }
        synced.map(drop)
    }

    /// Asks the processor about a refund's part.
    pub(crate) async fn read_refund_part(
        &self,
        tenant: &Tenant,
        connector: &Connector,
        part: &Allocation,
    ) -> Option<Outcome<RefundReadReport>> {
        let key = StepKey::new(part.operation, "read-refund");
        let reference = part.operation.reference();
        match (&part.handle, &connector.read_refund, &connector.look_up_refund) {
            (Some(handle), Some(read), _) => {
                let op = op::ReadRefund::new(handle.clone(), part.amount, reference);
                Some(ask(self, tenant, connector, read.as_ref(), &op, &key).await)
            }
            (_, _, Some(look_up)) => {
                let op = op::LookUpRefund::new(reference, part.original.clone(), part.amount);
                Some(ask(self, tenant, connector, look_up.as_ref(), &op, &key).await)
            }
            (_, _, None) => None,
        }
    }

    /// Asks about every part of which the processor may say something else, and says whether each was heard of.
    pub(crate) async fn sync_refund(
        &self,
        tenant: &Tenant,
        loaded: Loaded<RefundState>,
        connector: &Connector,
    ) -> Result<(Loaded<RefundState>, Heard)> {
        let waiting: Vec<_> = loaded
            .state
            .allocations
            .iter()
            .filter(|part| may_change(part))
            .cloned()
            .collect();
        let mut loaded = loaded;
        let mut heard = Heard::All;
        for part in waiting {
            match self.read_refund_part(tenant, connector, &part).await {
                Some(Outcome::Answered(RefundReadReport::Found(report))) => {
                    loaded = self
                        .merge_refund(tenant, loaded, part.operation, RefundNews::Report(report))
                        .await?;
                }
                Some(Outcome::Unknown(doubt)) if doubt.contradicts == Contradiction::Echo => {
                    self.raise_refund(tenant, &loaded, ReviewReason::AmountMismatch)
                        .await?;
                    loaded = self.reload(tenant, &loaded).await?;
                    heard = Heard::NotAll;
                }
                Some(
                    Outcome::Answered(RefundReadReport::NotFound)
                    | Outcome::NotExecuted(_)
                    | Outcome::Unknown(_),
                )
                | None => heard = Heard::NotAll,
            }
        }
        Ok((loaded, heard))
    }
}
