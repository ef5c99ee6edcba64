//! Asking processors how a payment stands, and which attempts of it are asked about.

use super::aggregate::Loaded;
use super::drive::Driven;
use super::payments::Payments;
use crate::connector::NotExecuted;
use crate::error::Result;
use crate::id::AttemptId;
use crate::intent::{self, Attempt, AttemptStatus, Intent, News, Reading};

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
                Ok(after) => loaded = after,
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
