//! Where an attempt goes: eligible accounts, the router's plan, and the first of them that can be asked.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::call::{Call, CannotCall};
use crate::connector::{Authorization, Connector, Key};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::AttemptId;
use crate::intent::{
    Attempt, AttemptStatus, CaptureMethod, Challenge, Closure, Intent, KeyUse, Known, Mit, OpStage, OpenOp,
    OperationKind, PlanRecord, PlannedAccount, Rest,
};
use crate::method::PaymentMethod;
use crate::routing::{Candidate, RouteFacts};
use crate::secret::Volatile;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// An attempt that is ready: what W1 writes, and the call that follows it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) plan: PlanRecord,
    pub(crate) attempt: Attempt,
    pub(crate) operation: OpenOp,
    pub(crate) call: Call,
    pub(crate) connector: Arc<Connector>,
}

/// What an attempt is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: PaymentMethod,
    pub(crate) challenge: Challenge,
    pub(crate) used: Option<KeyUse>,
}

impl Inner {
    /// Decides on the accounts for a confirmation.
    pub(crate) async fn route(
        &self,
        tenant: &Tenant,
        intent: &Intent,
        method: &PaymentMethod,
    ) -> Result<PlanRecord> {
        let at = self.runtime.clock.now();
        let mut left_out = Vec::new();
        let mut candidates = Vec::new();
        for connector in self.connectors.accounts(tenant).await? {
            match self.eligible(&connector, intent, method) {
                Ok(()) => candidates.push(Candidate {
                    account: connector.account().clone(),
                }),
                Err(reason) => left_out.push(PlannedAccount {
                    account: connector.account().clone(),
                    reason,
                }),
            }
        }
        let plan = self.router.route(&RouteFacts {
            tenant,
            amount: intent.amount,
            method,
            capture_method: intent.capture_method,
            mode: intent.mode,
            details: &intent.details,
            session: intent.session,
            at,
            attempts: intent.attempts.len(),
            candidates: &candidates,
        });
        if let Some(reason) = plan.blocked {
            let fault = Fault::new("route", reason, "the routing rules block this payment");
            return Err(
                Error::new(ErrorKind::Forbidden, "blocked by a routing rule").with_faults(vec![fault])
            );
        }
        let mut accounts: Vec<PlannedAccount> = Vec::new();
        for planned in plan.accounts {
            let known = candidates
                .iter()
                .any(|candidate| candidate.account == planned.account);
            let twice = accounts.iter().any(|earlier| earlier.account == planned.account);
            match (known, twice) {
                (true, false) => accounts.push(planned),
                (true, true) => {}
                (false, _) if left_out.iter().any(|out| out.account == planned.account) => {}
                (false, _) => {
                    left_out.push(PlannedAccount {
                        account: planned.account,
                        reason: "not registered".to_owned(),
                    });
                }
            }
        }
        if accounts.is_empty() {
            let fault = |out: &PlannedAccount| {
                Fault::new(
                    "route",
                    format!("{}: {}", out.account, out.reason),
                    "change the payment or the accounts",
                )
            };
            let faults = left_out.iter().map(fault).collect();
            return Err(Error::new(ErrorKind::NoRoute, "no account takes this payment").with_faults(faults));
        }
        Ok(PlanRecord {
            accounts,
            left_out,
            next: 0,
            decided_at: at,
        })
    }

    /// Whether an account takes the payment, by its slots and limits.
    fn eligible(&self, connector: &Connector, intent: &Intent, method: &PaymentMethod) -> Result<(), String> {
        let capabilities = &connector.capabilities;
        let capture_method = self.capture_method(intent);
        let needs_capture = capture_method == CaptureMethod::Manual && intent.amount.minor() > 0;
        if connector.authorize.is_none() {
            return Err("it doesn't authorize".to_owned());
        }
        if needs_capture && connector.capture.is_none() {
            return Err("it doesn't capture".to_owned());
        }
        if intent.details.mit.is_some() && !capabilities.mit.is_offered() {
            return Err("it doesn't take payments that the merchant initiates".to_owned());
        }
        capabilities
            .admit(intent.amount, method, capture_method)
            .map_err(|unsendable| format!("{}: {}", unsendable.0.field, unsendable.0.problem))
    }

    /// A check after authorization has to come before the capture.
    fn capture_method(&self, intent: &Intent) -> CaptureMethod {
        if self.checks_after() {
            CaptureMethod::Manual
        } else {
            intent.capture_method
        }
    }

    /// The first account of the plan, from its next one on, that can be asked for an attempt.
    ///
    /// # Errors
    /// [`ErrorKind::NoRoute`] or [`ErrorKind::Invalid`] where none can, with each one's reason.
    pub(crate) async fn open_attempt(
        &self,
        tenant: &Tenant,
        intent: &Intent,
        plan: &PlanRecord,
        ask: &Ask,
    ) -> Result<Opened> {
        let mut faults = Vec::new();
        for place in plan.next..plan.accounts.len() {
            let account = &plan.accounts[place].account;
            let Some(connector) = self.connectors.get(tenant, account).await? else {
                faults.push(Fault::new(
                    "account",
                    format!("{account} isn't registered"),
                    "register it again",
                ));
                continue;
            };
            match self.attempt_at(intent, connector, ask) {
                Ok((attempt, operation, call, connector)) => {
                    let plan = PlanRecord {
                        next: place + 1,
                        ..plan.clone()
                    };
                    return Ok(Opened {
                        plan,
                        attempt,
                        operation,
                        call,
                        connector,
                    });
                }
                Err(CannotCall::Unsendable(unsendable)) => faults.push(unsendable.0),
                Err(CannotCall::NotOffered(what)) => {
                    faults.push(Fault::new(
                        "account",
                        format!("{account} doesn't offer `{what}`"),
                        "use another",
                    ));
                }
                Err(CannotCall::Gone) => {
                    faults.push(Fault::new(
                        "method",
                        "its one-time part is used up",
                        "ask the payer again",
                    ));
                }
                Err(CannotCall::Panicked) => {
                    faults.push(Fault::new(
                        "account",
                        format!("the connector of {account} failed while it made the request"),
                        "use another account until it is mended",
                    ));
                }
                Err(CannotCall::NoHandle) => {}
            }
        }
        if faults.is_empty() {
            let fault = Fault::new("route", "every account was tried", "use another method");
            let message = "no account is left for this payment";
            return Err(Error::new(ErrorKind::NoRoute, message).with_faults(vec![fault]));
        }
        Err(Error::invalid_all(faults))
    }

    /// An attempt at one account, with its bytes.
    pub(crate) fn attempt_at(
        &self,
        intent: &Intent,
        connector: Arc<Connector>,
        ask: &Ask,
    ) -> Result<(Attempt, OpenOp, Call, Arc<Connector>), CannotCall> {
        let now = self.runtime.clock.now();
        let mode = intent.id.mode();
        let attempt_id = AttemptId::from_uuid(mode, self.uuid());
        let operation = OpenOp {
            id: crate::id::OperationId::from_uuid(mode, self.uuid()),
            kind: OperationKind::Authorize,
            account: connector.account().clone(),
            attempt: attempt_id,
            capture: None,
            amount: intent.amount,
            rest: Rest::Release,
            baseline: 0,
            steps: Vec::new(),
            stage: OpStage::Prepared,
            idempotency: ask.used.clone(),
            opened_at: now,
            ends: None,
        };
        let attempt = Attempt {
            id: attempt_id,
            account: connector.account().clone(),
            method: ask.method.clone(),
            amount: intent.amount,
            capture_method: self.capture_method(intent),
            challenge: ask.challenge.max(intent.details.sca.challenge),
            success_on: connector.capabilities.success_on,
            operation: operation.id,
            opened_at: now,
            status: AttemptStatus::Opened,
            known: Known::default(),
            closure: Closure::Open,
            compensation: None,
        };
        let call = Call::next(
            self.runtime.clock.elapsed(),
            &connector,
            intent,
            &attempt,
            &operation,
            &Volatile::default(),
        )
        .inspect_err(|cannot| self.note_cannot(connector.account(), cannot))?;
        let operation = OpenOp {
            steps: vec![call.record.clone()],
            ..operation
        };
        Ok((attempt, operation, call, connector))
    }

    /// What follows a decline that left the intent without a live attempt.
    pub(crate) fn after_decline(&self, intent: &Intent, attempt: &Attempt, now: Timestamp) -> AfterDecline {
        use crate::decline::DeclineKind::{AuthenticationRequired, Hard, Soft};
        let counted = intent
            .attempts
            .iter()
            .filter(|attempt| attempt.status != AttemptStatus::NotExecuted)
            .count();
        let expired = intent.expires_at.is_some_and(|at| at <= now);
        let merchant_initiated = intent.details.mit.as_ref().map(|mit: &Mit| mit.reason).is_some();
        let exhausted = counted >= self.policy.max_attempts || expired;
        let in_time = intent.plan.as_ref().is_some_and(|plan| {
            now < plan.decided_at.after(self.policy.cascade_within) && plan.next < plan.accounts.len()
        });
        let kind = attempt
            .known
            .declined
            .as_ref()
            .map_or(Hard, |decline| decline.kind());
        match kind {
            Soft if in_time && !exhausted => AfterDecline::NextAccount,
            AuthenticationRequired
                if !exhausted && !merchant_initiated && attempt.challenge == Challenge::AsNeeded =>
            {
                AfterDecline::Challenge
            }
            Soft | Hard | AuthenticationRequired if exhausted || merchant_initiated => AfterDecline::Fail,
            Soft | Hard | AuthenticationRequired => AfterDecline::Wait,
        }
    }

    /// Whether a step may be sent again with its key at this age: within the processor's window less a margin.
    pub(crate) fn key_holds(&self, call: &Call, age: Duration) -> bool {
        match call.step.key() {
            Key::None => false,
            Key::Header { window, .. } => age < window.saturating_sub(self.policy.key_margin),
        }
    }

    /// From which age on no send of a step can still be under way, after which the processor's reads settle.
    pub(crate) fn last_send(&self, key: Key) -> Duration {
        match key {
            Key::Header { window, .. } => window.max(self.policy.lease()),
            Key::None => self.policy.lease(),
        }
    }
}

/// What follows a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterDecline {
    /// The next account of the plan, by itself.
    NextAccount,
    /// The same account, with a challenge, by itself.
    Challenge,
    /// The intent waits for another method.
    Wait,
    /// The intent has failed.
    Fail,
}

/// Whether an account authorizes with a handle first.
pub(crate) fn handle_first(connector: &Connector) -> bool {
    match &connector.authorize {
        Some(Authorization::HandleFirst { .. }) => true,
        Some(Authorization::OneCall(..)) | None => false,
    }
}
