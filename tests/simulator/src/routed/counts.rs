//! How attempts at accounts ended, counted from what is committed, beside what instances say that they have counted.

use std::collections::{BTreeMap, HashMap};

use paymux_core::routing::Health;
use paymux_core::{
    AccountRef, AttemptId, AttemptStatus, Decline, DeclineKind, MethodKind, OperationId, Timestamp,
};
use serde::Deserialize;

/// What was seen of all attempts.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    signs: HashMap<AttemptId, Option<Sign>>,
    ends: BTreeMap<(AccountRef, MethodKind), u32>,
}

/// What an attempt says of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Approved,
    Soft,
    Hard,
    NotExecuted,
    Unknown,
}

#[derive(Debug, Deserialize)]
struct Body {
    state: Payment,
}

#[derive(Debug, Deserialize)]
struct Payment {
    #[serde(default)]
    attempts: Vec<Try>,
    open_op: Option<Open>,
}

#[derive(Debug, Deserialize)]
struct Open {
    id: OperationId,
    stage: Stage,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Prepared,
    Unknown {},
}

#[derive(Debug, Deserialize)]
struct Try {
    id: AttemptId,
    account: AccountRef,
    method: Method,
    operation: OperationId,
    status: AttemptStatus,
    known: Known,
}

#[derive(Debug, Deserialize)]
struct Method {
    #[serde(rename = "type")]
    kind: MethodKind,
}

#[derive(Debug, Deserialize)]
struct Known {
    declined: Option<Decline>,
}

impl Counted {
    /// Sees a payment's row as it is committed.
    pub(super) fn row(&mut self, body: &[u8]) -> Result<(), serde_json::Error> {
        let Body { state } = serde_json::from_slice(body)?;
        for attempt in &state.attempts {
            let is = sign(&state, attempt);
            let was = self.signs.insert(attempt.id, is).flatten();
            if is.is_some() && is != was {
                let place = (attempt.account.clone(), attempt.method.kind);
                *self.ends.entry(place).or_default() += 1;
            }
        }
        Ok(())
    }

    /// What an instance says beside that. `whole`: nothing went wrong, so that nothing may be missing either.
    pub(super) fn compare(&self, health: &Health, at: Timestamp, whole: bool) -> Vec<String> {
        let mut found = Vec::new();
        for ((account, kind), seen) in &self.ends {
            let counts = health.by_attempt(account, *kind, at);
            let told: u32 = counts
                .iter()
                .map(|counts| {
                    counts.approved
                        + counts.soft_declined
                        + counts.hard_declined
                        + counts.not_executed
                        + counts.unknown
                })
                .sum();
            // Each of the four is rounded, and what is old counts a little less.
            let missing = whole && told + 2 < seen - seen / 4;
            if told > *seen || missing {
                found.push(format!(
                    "{told} ends of {kind:?} at {account} are counted, and there were {seen}"
                ));
            }
        }
        found
    }
}

fn sign(payment: &Payment, attempt: &Try) -> Option<Sign> {
    match attempt.status {
        AttemptStatus::Authorized
        | AttemptStatus::Captured
        | AttemptStatus::Settled
        | AttemptStatus::Voided => Some(Sign::Approved),
        AttemptStatus::Declined => match attempt.known.declined.as_ref().map(Decline::kind) {
            Some(DeclineKind::Soft) => Some(Sign::Soft),
            Some(DeclineKind::Hard) | None => Some(Sign::Hard),
            Some(DeclineKind::AuthenticationRequired) => None,
        },
        AttemptStatus::NotExecuted => Some(Sign::NotExecuted),
        AttemptStatus::Opened => {
            let open = payment
                .open_op
                .as_ref()
                .filter(|open| open.id == attempt.operation)?;
            match open.stage {
                Stage::Unknown {} => Some(Sign::Unknown),
                Stage::Prepared => None,
            }
        }
        AttemptStatus::Pending
        | AttemptStatus::RequiresAction
        | AttemptStatus::Cancelled
        | AttemptStatus::Failed => None,
    }
}
