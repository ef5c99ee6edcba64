//! Where an attempt goes: eligible accounts, the router's plan, and the first of them that can be asked.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::call::{Call, CannotCall};
use crate::connector::{Authorization, Connector, Key};
use crate::decline::Decline;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::AttemptId;
use crate::intent::{
    Attempt, AttemptStatus, CaptureMethod, Challenge, Closure, Intent, KeyUse, Known, Mit, OpStage, OpenOp,
    OperationKind, PlanRecord, PlannedAccount, Rest, Through,
};
use crate::method::PaymentMethod;
use crate::routing::eligibility::{Asked, eligible};
use crate::routing::{
    Candidate, Cause, Circuits, Explanation, KeptExplanation, Plan, RouteFacts, Router as _, WhenAllOpen,
};
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
    /// Why it goes on by itself; nothing where it was asked for.
    pub(crate) cause: Option<Cause>,
}

impl Inner {
    /// Decides on the accounts for a confirmation: those that can take it, in the order that the caller, or the router,
    /// wants them in.
    pub(crate) async fn route(
        &self,
        tenant: &Tenant,
        intent: &Intent,
        method: &PaymentMethod,
        challenge: Challenge,
    ) -> Result<PlanRecord> {
        self.card_may_be_tried(tenant, intent, method).await?;
        let at = self.runtime.clock.now();
        let asked = self.asked(intent, method, challenge);
        let mut left_out = Vec::new();
        let mut candidates = Vec::new();
        for connector in self.connectors.accounts(tenant).await? {
            let account = connector.account().clone();
            match eligible(&connector, &asked) {
                Ok(()) => candidates.push(Candidate {
                    standing: self.standing(&account, method, intent.amount.currency(), at),
                    ..Candidate::new(account)
                }),
                Err(reason) => left_out.push(PlannedAccount { account, reason }),
            }
        }
        let facts = RouteFacts {
            tenant,
            amount: intent.amount,
            method,
            capture_method: intent.capture_method,
            mode: intent.mode,
            details: &intent.details,
            session: intent.session,
            at,
            attempts: intent.attempts.len(),
            last_decline: intent.last_decline.as_ref().map(Decline::code),
            seed: intent.id.uuid().as_u64_pair().1,
            candidates: &[],
        };
        self.expect_fees(&facts, &mut candidates);
        let facts = RouteFacts {
            candidates: &candidates,
            ..facts
        };
        let plan = self.plan(tenant, &facts).await?;
        if let Some(reason) = plan.blocked {
            tracing::info!(%tenant, intent = %intent.id, reason, "a routing rule blocks the payment");
            let fault = Fault::new("route", reason, "the routing rules block this payment");
            return Err(
                Error::new(ErrorKind::Forbidden, "blocked by a routing rule").with_faults(vec![fault])
            );
        }
        let mut accounts = admitted(plan.accounts, &candidates, &mut left_out);
        if accounts.is_empty() {
            return Err(no_route(&left_out));
        }
        let explanation = match plan.explanation {
            Some(explanation) => *explanation,
            None => {
                accounts.sort_by_key(|planned| {
                    let is_open =
                        |candidate: &Candidate| candidate.account == planned.account && candidate.is_open();
                    candidates.iter().any(is_open)
                });
                Explanation::of_router(&facts, &accounts)
            }
        };
        self.may_go(explanation.circuits)?;
        Ok(PlanRecord {
            explanation: Some(kept(explanation.leaving_out(&left_out))?),
            accounts,
            left_out,
            next: 0,
            decided_at: at,
        })
    }

    /// What an attempt asks of the account that takes it.
    fn asked<'a>(&self, intent: &'a Intent, method: &'a PaymentMethod, challenge: Challenge) -> Asked<'a> {
        Asked {
            amount: intent.amount,
            method,
            capture: self.capture_method(intent),
            challenge: challenge.max(intent.details.sca.challenge),
            details: &intent.details,
        }
    }

    /// What the payment is expected to cost at each account.
    fn expect_fees(&self, facts: &RouteFacts<'_>, candidates: &mut [Candidate]) {
        if self.fees.rows().is_empty() {
            return;
        }
        let texts = facts.texts();
        let known = facts.facts(&texts);
        for candidate in candidates {
            candidate.fee = self.fees.expected(&known, &candidate.account, facts.at);
        }
    }

    /// Whether the host wants a payment tried where all circuits are open.
    fn may_go(&self, circuits: Circuits) -> Result<()> {
        let refuses = self.health.as_ref().map(|health| health.when_all_open);
        match (circuits, refuses) {
            (Circuits::AllOpen, Some(WhenAllOpen::Refuse)) => {
                let fault = Fault::new(
                    "route",
                    "the circuits of all accounts are open",
                    "try again with the same key, later",
                );
                let message = "no account was asked: none of them answered lately";
                Err(Error::new(ErrorKind::NotExecuted, message).with_faults(vec![fault]))
            }
            (Circuits::AllOpen, Some(WhenAllOpen::TryAnyway) | None) | (Circuits::SomeClosed, _) => Ok(()),
        }
    }

    /// What the caller, the tenant's own program or the host's router says, in this order.
    async fn plan(&self, tenant: &Tenant, facts: &RouteFacts<'_>) -> Result<Plan> {
        if let Some(through) = &facts.details.routing.through {
            return Ok(through_caller(through, facts.candidates));
        }
        Ok(match self.active_program(tenant).await? {
            Some(active) => active.program.route(facts).of_version(active.version),
            None => self.router.route(facts),
        })
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
        let asked = self.asked(intent, &ask.method, ask.challenge);
        let mut faults = Vec::new();
        for place in plan.next..plan.accounts.len() {
            let account = &plan.accounts[place].account;
            if ask
                .cause
                .is_some_and(|cause| !self.policy.cascade.allows(cause, account))
            {
                let problem =
                    format!("the policy doesn't let the payment go on to {account} after that decline");
                faults.push(Fault::new("account", problem, "ask the payer for another method"));
                continue;
            }
            let Some(connector) = self.connectors.get(tenant, account).await? else {
                faults.push(Fault::new(
                    "account",
                    format!("{account} isn't registered"),
                    "register it again",
                ));
                continue;
            };
            // A challenge that was asked for since, and what a host registers anew, ask more than the plan was made for.
            if let Err(reason) = eligible(&connector, &asked) {
                let problem = format!("{account} can't take it: {reason}");
                faults.push(Fault::new("account", problem, "use another"));
                continue;
            }
            match self.attempt_at(intent, connector, ask) {
                Ok((attempt, operation, call, connector)) => {
                    self.goes_to(account, &ask.method, intent.amount.currency(), attempt.opened_at);
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
        let declined = attempt.known.declined.as_ref();
        let kind = declined.map_or(Hard, Decline::kind);
        let may_cascade = declined.is_some_and(Decline::may_cascade);
        match kind {
            Soft if in_time && !exhausted && may_cascade => AfterDecline::NextAccount,
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

fn kept(explanation: Explanation) -> Result<KeptExplanation> {
    KeptExplanation::of(explanation).map_err(|source| {
        Error::new(ErrorKind::Store, "a routing decision couldn't be written").with_source(source)
    })
}

/// Where the caller wants it to go: no rule is asked.
fn through_caller(through: &Through, candidates: &[Candidate]) -> Plan {
    candidates
        .iter()
        .filter(|candidate| through.names(&candidate.account))
        .fold(Plan::new(), |plan, candidate| {
            plan.then(candidate.account.clone(), "the caller asked for it")
        })
}

/// Of what a router says, the accounts that can take the payment, each once. What isn't registered is noted.
fn admitted(
    planned: Vec<PlannedAccount>,
    candidates: &[Candidate],
    left_out: &mut Vec<PlannedAccount>,
) -> Vec<PlannedAccount> {
    let mut accounts: Vec<PlannedAccount> = Vec::with_capacity(planned.len());
    for planned in planned {
        let is_candidate = candidates
            .iter()
            .any(|candidate| candidate.account == planned.account);
        let is_known = |known: &[PlannedAccount]| known.iter().any(|one| one.account == planned.account);
        if is_candidate && !is_known(&accounts) {
            accounts.push(planned);
        } else if !is_candidate && !is_known(left_out) {
            left_out.push(PlannedAccount {
                account: planned.account,
                reason: "not registered".to_owned(),
            });
        }
    }
    accounts
}

fn no_route(left_out: &[PlannedAccount]) -> Error {
    let fault = |out: &PlannedAccount| {
        Fault::new(
            "route",
            format!("{}: {}", out.account, out.reason),
            "change the payment or the accounts",
        )
    };
    let faults = left_out.iter().map(fault).collect();
    Error::new(ErrorKind::NoRoute, "no account takes this payment").with_faults(faults)
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
