//! How an unknown outcome is found out: read by the handle, look up by our reference, send the same bytes with the
//! same key again. "Not found" proves something only once the account's reads are settled.

use std::borrow::Cow;
use std::time::Duration;

use super::Inner;
use super::call::{Call, ask};
use super::drive::Sending;
use super::route::handle_first;
use crate::connector::{
    AuthorizeReport, Connector, Contradiction, Doubt, Echoes, Key, LookUpReport, NotExecuted, Outcome,
    ReadReport, ReplaysErrors, Stage, Standing, StepKey, op,
};
use crate::intent::{self, Attempt, Intent, News, OpStage, OpenOp, OperationKind, Reading};
use crate::secret::Volatile;
use crate::tenant::Tenant;

/// What is found out about an open operation.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and moved on at once: a box would only cost"
)]
pub(crate) enum Found {
    /// News for the merge.
    News(News),
    /// The step may be sent, or sent again.
    Send(Box<Call>, Sending),
    /// Nothing yet: ask again later.
    Nothing,
}

/// What the processor shows.
enum Seen {
    Payment(Box<Standing>),
    Absent,
    NoAnswer,
}

impl Inner {
    /// Looks into an open operation of an intent.
    pub(crate) async fn look_into(
        &self,
        tenant: &Tenant,
        connector: &Connector,
        state: &Intent,
        open: &OpenOp,
        age: Duration,
    ) -> Found {
        let Some(attempt) = state.attempt(open.attempt) else {
            return Found::Nothing;
        };
        let call = Call::next(
            self.runtime.clock.elapsed(),
            connector,
            state,
            attempt,
            open,
            &Volatile::default(),
        )
        .inspect_err(|cannot| self.note_cannot(connector.account(), cannot));
        if unprepared(connector, attempt, open) {
            return self.resume_preparing(state, open, call.ok());
        }
        let refund_epoch = self.refund_epoch(connector, state, attempt);
        let seen = self.see(tenant, connector, attempt, open).await;
        if let Seen::Payment(standing) = seen {
            let ours = promised(connector.capabilities.echoes, &standing)
                .and_then(|()| intent::speaks_of(attempt, state, &standing.report));
            // As an answer that speaks of something else: this is never sent again, only read.
            if let Err(why) = ours {
                let contradicts = Contradiction::Echo;
                let stage = Stage::Answered;
                return Found::News(News::Doubt {
                    operation: open.id,
                    doubt: Doubt {
                        stage,
                        why,
                        contradicts,
                    },
                });
            }
            if shows_outcome(open, &standing) {
                return Found::News(News::Payment {
                    attempt: attempt.id,
                    standing,
                    reading: Reading::Read { refund_epoch },
                });
            }
            return self.send_or_wait(connector, open, call.ok(), Seen::Payment(standing), age);
        }
        self.send_or_wait(connector, open, call.ok(), seen, age)
    }

    /// No effect is seen: send the same bytes with the same key, or take a settled absence for what it is.
    fn send_or_wait(
        &self,
        connector: &Connector,
        open: &OpenOp,
        call: Option<Call>,
        seen: Seen,
        age: Duration,
    ) -> Found {
        let key = call.as_ref().map_or(Key::None, |call| call.step.key());
        match (call.filter(|call| self.resendable(call, open, age)), seen) {
            (Some(call), _) => {
                let sending = sending_of(open, &call);
                Found::Send(Box::new(call), sending)
            }
            // What is under way there may be this very operation.
            (None, Seen::Payment(standing)) if matches!(standing.report, AuthorizeReport::Pending(..)) => {
                Found::Nothing
            }
            (None, Seen::Payment(_) | Seen::Absent) => self.settled_absence(connector, open, key, age),
            (None, Seen::NoAnswer) => Found::Nothing,
        }
    }

    /// The first of two steps has no handle yet: it moved nothing, and is sent again, or given up.
    fn resume_preparing(&self, state: &Intent, open: &OpenOp, call: Option<Call>) -> Found {
        let now = self.runtime.clock.now();
        let expired = state.expires_at.is_some_and(|at| at <= now);
        let fresh = now < open.opened_at.after(self.policy.cascade_within);
        match call {
            Some(call) if !expired && fresh && call.record.volatile.is_none() && call.same_bytes(open) => {
                Found::Send(Box::new(call), Sending::Again)
            }
            Some(_) | None => Found::News(News::NotExecuted {
                operation: open.id,
                proof: NotExecuted::NotSent("no step that moves money was sent".into()),
            }),
        }
    }

    /// Whether a step may be sent again: the same bytes, with a key that still holds, and nothing that says not to.
    pub(crate) fn resendable(&self, call: &Call, open: &OpenOp, age: Duration) -> bool {
        let replayed_error = match (call.step.key(), &open.stage) {
            (
                Key::Header {
                    replays_errors: ReplaysErrors::Yes,
                    ..
                },
                OpStage::Unknown { doubt, .. },
            ) => doubt.stage == Stage::Answered,
            (Key::Header { .. } | Key::None, OpStage::Prepared | OpStage::Unknown { .. }) => false,
        };
        call.record.volatile.is_none()
            && call.same_bytes(open)
            && !open.contradicted()
            && !replayed_error
            && self.key_holds(call, age)
    }

    /// "Not found", or no effect, proves that nothing was executed only after the account's quiet period.
    fn settled_absence(&self, connector: &Connector, open: &OpenOp, key: Key, age: Duration) -> Found {
        match connector.capabilities.reads_settle_within {
            Some(quiet) if !open.contradicted() && age >= self.last_send(key) + quiet => {
                Found::News(News::NotExecuted {
                    operation: open.id,
                    proof: NotExecuted::Refused("not there after the processor's reads had settled".into()),
                })
            }
            Some(_) | None => Found::Nothing,
        }
    }

    /// Reads by the handle, else looks up by our reference.
    async fn see(&self, tenant: &Tenant, connector: &Connector, attempt: &Attempt, open: &OpenOp) -> Seen {
        let reference = attempt.operation.reference();
        if let (Some(handle), Some(read)) = (&attempt.known.handle, &connector.read) {
            let op = op::Read::new(handle.clone(), attempt.amount, reference.clone());
            let key = StepKey::new(open.id, "read");
            return match ask(self, tenant, connector, read.as_ref(), &op, &key).await {
                Outcome::Answered(ReadReport::Found(standing)) => Seen::Payment(Box::new(standing)),
                Outcome::Answered(ReadReport::NotFound) => Seen::Absent,
                Outcome::NotExecuted(_) | Outcome::Unknown(_) => Seen::NoAnswer,
            };
        }
        let Some(look_up) = &connector.look_up else {
            return Seen::NoAnswer;
        };
        let mut op = op::LookUp::new(reference, attempt.amount);
        for _ in 0..LOOK_UP_PAGES {
            let key = StepKey::new(open.id, "look-up");
            match ask(self, tenant, connector, look_up.as_ref(), &op, &key).await {
                Outcome::Answered(LookUpReport::Found(standing)) => return Seen::Payment(Box::new(standing)),
                Outcome::Answered(LookUpReport::Continue(page)) => op = op.page(page),
                Outcome::Answered(LookUpReport::NotFound) => return Seen::Absent,
                Outcome::NotExecuted(_) | Outcome::Unknown(_) => return Seen::NoAnswer,
            }
        }
        Seen::NoAnswer
    }

    /// The epoch of a read that is asked for now.
    pub(crate) fn refund_epoch(&self, connector: &Connector, state: &Intent, attempt: &Attempt) -> u32 {
        state.refund_epoch(attempt.id, self.runtime.clock.now(), self.quiet(connector))
    }

    /// After how long a read is taken to show everything: at an account that doesn't say when its reads settle, after
    /// the longest pause that there is between two looks. No proof: nothing was executed follows from the account's
    /// own word alone.
    pub(crate) fn quiet(&self, connector: &Connector) -> Duration {
        let quiet = connector.capabilities.reads_settle_within;
        quiet.unwrap_or(self.policy.recheck_at_most)
    }

    /// Reads an attempt for a sync: no lock, no write.
    pub(crate) async fn read_attempt(
        &self,
        tenant: &Tenant,
        connector: &Connector,
        attempt: &Attempt,
    ) -> Option<Box<Standing>> {
        let standing = self.read_or_look_up(tenant, connector, attempt).await?;
        match promised(connector.capabilities.echoes, &standing) {
            Ok(()) => Some(standing),
            Err(why) => {
                tracing::warn!(attempt = %attempt.id, account = %attempt.account, %why, "a read isn't believed");
                None
            }
        }
    }

    async fn read_or_look_up(
        &self,
        tenant: &Tenant,
        connector: &Connector,
        attempt: &Attempt,
    ) -> Option<Box<Standing>> {
        let reference = attempt.operation.reference();
        let key = StepKey::new(attempt.operation, "read");
        match (&attempt.known.handle, &connector.read, &connector.look_up) {
            (Some(handle), Some(read), _) => {
                let op = op::Read::new(handle.clone(), attempt.amount, reference);
                match ask(self, tenant, connector, read.as_ref(), &op, &key).await {
                    Outcome::Answered(ReadReport::Found(standing)) => Some(Box::new(standing)),
                    Outcome::Answered(ReadReport::NotFound)
                    | Outcome::NotExecuted(_)
                    | Outcome::Unknown(_) => None,
                }
            }
            (_, _, Some(look_up)) => {
                let op = op::LookUp::new(reference, attempt.amount);
                match ask(self, tenant, connector, look_up.as_ref(), &op, &key).await {
                    Outcome::Answered(LookUpReport::Found(standing)) => Some(Box::new(standing)),
                    Outcome::Answered(LookUpReport::Continue(_) | LookUpReport::NotFound)
                    | Outcome::NotExecuted(_)
                    | Outcome::Unknown(_) => None,
                }
            }
            (_, _, None) => None,
        }
    }
}

/// Whether what was read repeats what the account promises of every answer.
fn promised(echoes: Echoes, standing: &Standing) -> Result<(), Cow<'static, str>> {
    match standing.report.echo() {
        Some(echo) => echoes.check_promised(echo),
        None => Ok(()),
    }
}

/// Whether the first of two steps still has no handle.
fn unprepared(connector: &Connector, attempt: &Attempt, open: &OpenOp) -> bool {
    match open.kind {
        OperationKind::Authorize => handle_first(connector) && attempt.known.handle.is_none(),
        OperationKind::Complete
        | OperationKind::Capture
        | OperationKind::Increment
        | OperationKind::Void
        | OperationKind::Release
        | OperationKind::Cancel
        | OperationKind::CompensateVoid
        | OperationKind::CompensateRefund
        | OperationKind::Refund => false,
    }
}

/// A step that was never recorded was never sent.
fn sending_of(open: &OpenOp, call: &Call) -> Sending {
    match open.steps.iter().any(|record| record.step == call.record.step) {
        true => Sending::Again,
        false => Sending::First,
    }
}

/// Whether what a read shows says how the operation ended.
fn shows_outcome(open: &OpenOp, standing: &Standing) -> bool {
    let at_least = |money: Option<crate::Money>, most: i64| money.is_some_and(|money| money.minor() >= most);
    let over = match &standing.report {
        AuthorizeReport::Voided(..) | AuthorizeReport::Declined(_) => true,
        AuthorizeReport::Authorized(_)
        | AuthorizeReport::PartiallyAuthorized(..)
        | AuthorizeReport::Captured(_)
        | AuthorizeReport::Settled(_)
        | AuthorizeReport::Verified(_)
        | AuthorizeReport::ActionNeeded(..)
        | AuthorizeReport::Pending(..)
        | AuthorizeReport::Unexecuted(_) => false,
    };
    match open.kind {
        OperationKind::Authorize => !matches!(standing.report, AuthorizeReport::Unexecuted(_)),
        OperationKind::Complete => !matches!(
            standing.report,
            AuthorizeReport::Unexecuted(_) | AuthorizeReport::ActionNeeded(..)
        ),
        OperationKind::Capture => over || at_least(standing.captured, open.baseline + open.amount.minor()),
        OperationKind::Increment => over || at_least(standing.authorized, open.amount.minor()),
        OperationKind::Void | OperationKind::CompensateVoid => over,
        // What is called captured, with how much, isn't held any more beyond that.
        OperationKind::Release => {
            over || match &standing.report {
                AuthorizeReport::Captured(_) | AuthorizeReport::Settled(_) => standing.captured.is_some(),
                AuthorizeReport::Authorized(_)
                | AuthorizeReport::PartiallyAuthorized(..)
                | AuthorizeReport::Verified(_)
                | AuthorizeReport::ActionNeeded(..)
                | AuthorizeReport::Pending(..)
                | AuthorizeReport::Unexecuted(_)
                | AuthorizeReport::Voided(..)
                | AuthorizeReport::Declined(_) => false,
            }
        }
        OperationKind::Cancel => {
            over || matches!(
                standing.report,
                AuthorizeReport::Authorized(_)
                    | AuthorizeReport::PartiallyAuthorized(..)
                    | AuthorizeReport::Captured(_)
                    | AuthorizeReport::Settled(_)
                    | AuthorizeReport::Verified(_)
            )
        }
        OperationKind::CompensateRefund | OperationKind::Refund => {
            at_least(standing.refunded, open.baseline + open.amount.minor())
        }
    }
}

const LOOK_UP_PAGES: u32 = 20;
