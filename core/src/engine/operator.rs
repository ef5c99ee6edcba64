//! The verbs of a person: to see what is unknown, to settle it, to give it up, to go on at a risk that is named.

use std::fmt;

use super::aggregate::Aggregate;
use super::commit::Work;
use super::operate::stale;
use super::payments::Payments;
use super::query::{Listing, UnknownQuery};
use crate::connector::{
    Approval, AuthorizeReport, CaptureReport, CloseReport, Echo, Handle, NotExecuted, RefundReport, Standing,
};
use crate::error::{Error, Fault, Result};
use crate::id::{AttemptId, OperationId, PaymentIntentId, ProviderKind, ProviderRef, RefundId};
use crate::intent::{
    self, Command, Ended, Intent, IntentStatus, News, OpenOp, OperationKind, PaymentIntent, Reading,
    ReviewReason, Source,
};
use crate::money::Money;
use crate::outcome::{Subject, SubjectId, UnknownOutcome};
use crate::refund::{self, RefundEvent, RefundNews, RefundState};
use crate::risk::RiskVerdict;

/// Who decides: recorded with every decision.
#[derive(Clone, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// A person, by the name that the host's own records use.
    pub fn person(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Actor(…)")
    }
}

/// On what ground a person decides: recorded with the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence(String);

impl Evidence {
    /// A note: what was seen, and where.
    pub fn note(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What a person found that the processor did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It executed this much; the processor's identifier, where it was found.
    Executed(Money, Option<ProviderRef>),
    /// It executed nothing.
    NotExecuted,
}

/// What a person says about a payment that is held for review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewVerdict {
    /// Go on.
    Approve,
    /// Don't: what is held is given back.
    Refuse,
}

/// Accepts that the payer may pay twice, in which case the second payment is given back.
#[derive(Clone, Copy, Debug)]
pub struct AcceptDuplicateRisk;

/// The verbs of a person. Each decides on what was seen: if it has moved since, nothing changes.
#[derive(Clone, Debug)]
pub struct Operator {
    pub(crate) payments: Payments,
    pub(crate) who: Actor,
}

impl Operator {
    /// What is unknown, or needs a review: how old, how much, and the safe next step.
    pub fn unknowns(&self, query: UnknownQuery) -> Listing<UnknownOutcome> {
        Listing::unknowns(self.payments.engine.clone(), self.payments.tenant.clone(), query)
    }

    /// Settles an unknown outcome by what a person found. The processor's own proof may still reverse it.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::ErrorKind::Stale) where it has moved since it was seen; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an amount that can't be.
    pub async fn settle_by_hand(
        &self,
        seen: &UnknownOutcome,
        verdict: Verdict,
        evidence: Evidence,
    ) -> Result<Subject> {
        match seen.subject {
            SubjectId::Payment(id) => self.settle_payment(seen, &id, verdict, evidence).await,
            SubjectId::Refund(id) => self.settle_refund(seen, &id, verdict, evidence).await,
        }
    }

    async fn settle_payment(
        &self,
        seen: &UnknownOutcome,
        id: &PaymentIntentId,
        verdict: Verdict,
        evidence: Evidence,
    ) -> Result<Subject> {
        let loaded = self.payments.load(id).await?;
        let open = self.unmoved(seen, loaded.version, |operation| {
            loaded.state.lock(operation).cloned()
        })?;
        if open.stage == intent::OpStage::Prepared {
            return Err(Error::in_progress(Some(open.id)));
        }
        let news = self.news(&loaded.state, &open, &verdict)?;
        let engine = &self.payments.engine;
        let mut work = engine.work();
        self.record(
            &mut work,
            loaded.state.key(),
            SETTLED_BY_HAND,
            &verdict,
            &evidence,
        )?;
        let observation = engine
            .observation(&self.payments.tenant, &loaded.state, Source::Outside, news)
            .await?;
        let mut events = intent::merge(&loaded.state, &observation).into_events();
        let after = super::drive::fold(loaded.state.clone(), &events);
        if after
            .review
            .as_ref()
            .is_some_and(|review| review.reason == ReviewReason::UnknownTooLong)
        {
            let command = Command::ClearReview {
                by: self.who.0.clone(),
            };
            events.extend(intent::decide(Some(&after), &command, work.at)?);
        }
        let after = engine
            .write_intent(&self.payments.tenant, work, Some(&loaded), &events)
            .await?;
        Ok(Subject::Payment(after.view()))
    }

    async fn settle_refund(
        &self,
        seen: &UnknownOutcome,
        id: &RefundId,
        verdict: Verdict,
        evidence: Evidence,
    ) -> Result<Subject> {
        let loaded = self.payments.load_refund(id).await?;
        let open = self.unmoved(seen, loaded.version, |operation| {
            loaded.state.open_op.clone().filter(|open| open.id == operation)
        })?;
        if open.stage == intent::OpStage::Prepared {
            return Err(Error::in_progress(Some(open.id)));
        }
        let part = loaded.state.allocation(open.id).cloned().ok_or_else(stale)?;
        let news = match &verdict {
            Verdict::Executed(amount, found) => {
                if *amount != part.amount {
                    return Err(wrong_amount(part.amount));
                }
                made_by(&open, found.as_ref())?;
                let handle = found
                    .as_ref()
                    .map_or_else(|| part.original.clone(), |found| Handle::from(found.id.as_str()));
                RefundNews::Report(RefundReport::Refunded(handle, Echo::none()))
            }
            Verdict::NotExecuted => RefundNews::NotExecuted(by_hand()),
        };
        let engine = &self.payments.engine;
        let mut work = engine.work();
        self.record(
            &mut work,
            loaded.state.key(),
            SETTLED_BY_HAND,
            &verdict,
            &evidence,
        )?;
        let mut events = refund::merge(&loaded.state, open.id, &news, None, work.at);
        events.extend(self.clear_refund_review(&loaded.state, work.at)?);
        let after = engine
            .resolve_part(&self.payments.tenant, work, &loaded, events)
            .await?;
        Ok(Subject::Refund(after.view()))
    }

    /// Gives an unknown outcome up: the lock goes, the amount stays reserved, and a late success is given back.
    ///
    /// # Errors
    /// [`ErrorKind::TooEarly`](crate::ErrorKind::TooEarly) before the policy's `review_after`; [`ErrorKind::Stale`](crate::ErrorKind::Stale) where it has moved.
    pub async fn abandon(&self, seen: &UnknownOutcome, evidence: Evidence) -> Result<Subject> {
        let engine = &self.payments.engine;
        let mut work = engine.work();
        let by = self.who.0.clone();
        match seen.subject {
            SubjectId::Payment(id) => {
                let loaded = self.payments.load(&id).await?;
                let open = self.unmoved(seen, loaded.version, |operation| {
                    loaded.state.lock(operation).cloned()
                })?;
                let not_before = open.doubtful_since().after(engine.policy.review_after);
                let expired = ends_with(&loaded.state, work.at);
                let command = Command::Abandon {
                    operation: open.id,
                    by: by.clone(),
                    not_before,
                    expired,
                };
                let mut events = intent::decide(Some(&loaded.state), &command, work.at)?;
                let after = super::drive::fold(loaded.state.clone(), &events);
                if after.review.is_some() {
                    events.extend(intent::decide(
                        Some(&after),
                        &Command::ClearReview { by },
                        work.at,
                    )?);
                }
                self.record(
                    &mut work,
                    loaded.state.key(),
                    "abandoned",
                    &Verdict::NotExecuted,
                    &evidence,
                )?;
                let after = engine
                    .write_intent(&self.payments.tenant, work, Some(&loaded), &events)
                    .await?;
                Ok(Subject::Payment(after.view()))
            }
            SubjectId::Refund(id) => {
                let loaded = self.payments.load_refund(&id).await?;
                let open = self.unmoved(seen, loaded.version, |operation| {
                    loaded.state.open_op.clone().filter(|open| open.id == operation)
                })?;
                let not_before = open.doubtful_since().after(engine.policy.review_after);
                let command = refund::Command::Abandon {
                    operation: open.id,
                    by,
                    not_before,
                };
                let mut events = refund::decide(Some(&loaded.state), &command, work.at)?;
                events.extend(self.clear_refund_review(&loaded.state, work.at)?);
                self.record(
                    &mut work,
                    loaded.state.key(),
                    "abandoned",
                    &Verdict::NotExecuted,
                    &evidence,
                )?;
                let after = engine
                    .resolve_part(&self.payments.tenant, work, &loaded, events)
                    .await?;
                Ok(Subject::Refund(after.view()))
            }
        }
    }

    /// Goes on while the payer could still complete an earlier action: whichever success comes second is given back.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTransition`](crate::ErrorKind::InvalidTransition) where the attempt waits for no payer; [`ErrorKind::OperationInProgress`](crate::ErrorKind::OperationInProgress).
    pub async fn supersede(
        &self,
        id: &PaymentIntentId,
        attempt: &AttemptId,
        _risk: AcceptDuplicateRisk,
        evidence: Evidence,
    ) -> Result<PaymentIntent> {
        let loaded = self.payments.load(id).await?;
        let engine = &self.payments.engine;
        let mut work = engine.work();
        let command = Command::Supersede {
            attempt: *attempt,
            by: self.who.0.clone(),
        };
        let events = intent::decide(Some(&loaded.state), &command, work.at)?;
        self.record(
            &mut work,
            loaded.state.key(),
            "superseded",
            &Verdict::NotExecuted,
            &evidence,
        )?;
        let after = engine
            .write_intent(&self.payments.tenant, work, Some(&loaded), &events)
            .await?;
        Ok(after.view())
    }

    /// Decides on a payment that is held for review: approving clears the review and goes on, refusing gives back
    /// what is held, or ends what was never sent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTransition`](crate::ErrorKind::InvalidTransition) where it isn't held for review;
    /// [`ErrorKind::OperationInProgress`](crate::ErrorKind::OperationInProgress) while something is asked of the processor.
    pub async fn review(
        &self,
        id: &PaymentIntentId,
        verdict: ReviewVerdict,
        evidence: Evidence,
    ) -> Result<PaymentIntent> {
        let loaded = self.payments.load(id).await?;
        let Some(review) = loaded.state.review.clone() else {
            return Err(Error::transition(loaded.state.status, "review"));
        };
        let waiting = matches!(
            loaded.state.status,
            IntentStatus::Created | IntentStatus::Scheduled
        );
        let decides = !waiting
            && matches!(
                review.reason,
                ReviewReason::RiskHold | ReviewReason::PartialAuthorization
            );
        if let (true, Some(open)) = (decides, &loaded.state.open_op) {
            return Err(Error::in_progress(Some(open.id)));
        }
        let engine = &self.payments.engine;
        let mut work = engine.work();
        let clear = Command::ClearReview {
            by: self.who.0.clone(),
        };
        let mut events = intent::decide(Some(&loaded.state), &clear, work.at)?;
        if verdict == ReviewVerdict::Refuse && waiting {
            let after = super::drive::fold(loaded.state.clone(), &events);
            events.extend(intent::decide(Some(&after), &Command::Refuse, work.at)?);
        }
        let kind = match (verdict, review.reason) {
            (ReviewVerdict::Approve, ReviewReason::RiskHold) => HOLD_APPROVED,
            (_, _) => "reviewed",
        };
        self.record(&mut work, loaded.state.key(), kind, &verdict, &evidence)?;
        if !decides {
            let written = engine.write_intent(&self.payments.tenant, work, Some(&loaded), &events);
            return Ok(written.await?.view());
        }
        let verdict = match verdict {
            ReviewVerdict::Approve => RiskVerdict::Allow,
            ReviewVerdict::Refuse => RiskVerdict::Refuse,
        };
        Ok(engine
            .decide_after(&self.payments.tenant, loaded, work, events, verdict)
            .await?
            .view())
    }

    fn clear_refund_review(&self, state: &RefundState, at: crate::Timestamp) -> Result<Vec<RefundEvent>> {
        match &state.review {
            Some(_) => refund::decide(
                Some(state),
                &refund::Command::ClearReview {
                    by: self.who.0.clone(),
                },
                at,
            ),
            None => Ok(Vec::new()),
        }
    }

    fn unmoved(
        &self,
        seen: &UnknownOutcome,
        version: u64,
        find: impl FnOnce(OperationId) -> Option<OpenOp>,
    ) -> Result<OpenOp> {
        if version != seen.version {
            return Err(stale());
        }
        seen.operation.and_then(find).ok_or_else(stale)
    }

    /// A person's finding as news: it ranks below the processor's own, which may still say otherwise.
    fn news(&self, state: &Intent, open: &OpenOp, verdict: &Verdict) -> Result<News> {
        let operation = open.id;
        let (amount, found) = match verdict {
            Verdict::NotExecuted => {
                return Ok(News::NotExecuted {
                    operation,
                    proof: by_hand(),
                });
            }
            Verdict::Executed(amount, found) => (*amount, found),
        };
        if amount != open.amount {
            return Err(wrong_amount(open.amount));
        }
        made_by(open, found.as_ref())?;
        let known = state
            .attempt(open.attempt)
            .and_then(|attempt| attempt.known.handle.clone());
        let handle = found
            .as_ref()
            .map(|found| Handle::from(found.id.as_str()))
            .or(known)
            .ok_or_else(|| {
                let remedy = "pass the processor's identifier with Verdict::Executed";
                Error::invalid(Fault::new(
                    "verdict",
                    "the processor's identifier isn't known",
                    remedy,
                ))
            })?;
        let approval = Approval::new(handle.clone(), Echo::none());
        Ok(match open.kind {
            OperationKind::Authorize | OperationKind::Complete => {
                let manual = state.attempt(open.attempt).map(|attempt| attempt.capture_method);
                let report = match manual {
                    Some(intent::CaptureMethod::Automatic) => AuthorizeReport::Captured(approval),
                    Some(intent::CaptureMethod::Manual) | None => AuthorizeReport::Authorized(approval),
                };
                let standing = Box::new(Standing::from(report));
                News::Payment {
                    attempt: open.attempt,
                    standing,
                    reading: Reading::Answer,
                }
            }
            OperationKind::Capture => News::Capture {
                operation,
                report: CaptureReport::Captured(handle, Echo::none()),
            },
            OperationKind::Increment => News::Increment {
                operation,
                report: AuthorizeReport::Authorized(approval),
            },
            OperationKind::Void
            | OperationKind::Release
            | OperationKind::Cancel
            | OperationKind::CompensateVoid => News::Close {
                operation,
                report: CloseReport::Closed(handle, Echo::none()),
            },
            OperationKind::CompensateRefund | OperationKind::Refund => News::CompensationRefund {
                operation,
                report: RefundReport::Refunded(handle, Echo::none()),
            },
        })
    }

    fn record(
        &self,
        work: &mut Work,
        about: crate::store::RowKey,
        kind: &str,
        verdict: &impl fmt::Debug,
        evidence: &Evidence,
    ) -> Result<()> {
        let what = serde_json::json!({ "who": self.who.0, "verdict": format!("{verdict:?}"), "evidence": evidence.0 });
        work.evidence(about, kind, &what, &self.payments.engine)
    }
}

/// An identifier that a person found is of the account that was asked, and of what the operation makes there.
fn made_by(open: &OpenOp, found: Option<&ProviderRef>) -> Result<()> {
    let kinds: &[ProviderKind] = match open.kind {
        OperationKind::Authorize
        | OperationKind::Complete
        | OperationKind::Increment
        | OperationKind::Void
        | OperationKind::Release
        | OperationKind::Cancel
        | OperationKind::CompensateVoid => &[ProviderKind::Payment],
        // Where captures have no identifier of their own, the payment's is theirs.
        OperationKind::Capture => &[ProviderKind::Capture, ProviderKind::Payment],
        OperationKind::CompensateRefund | OperationKind::Refund => &[ProviderKind::Refund],
    };
    match found {
        Some(found) if found.account != open.account || !kinds.contains(&found.kind) => {
            let (kind, account) = (found.kind.as_str(), &found.account);
            let asked = kinds.first().map_or("", |kind| kind.as_str());
            Err(Error::invalid(Fault::new(
                "verdict",
                format!("the identifier is of a {kind} at {account}"),
                format!("pass that of the {asked} at {}, or none", open.account),
            )))
        }
        Some(_) | None => Ok(()),
    }
}

/// An abandoned payment that nobody can try again has failed.
fn ends_with(state: &Intent, now: crate::Timestamp) -> Option<Ended> {
    let expired = state.expires_at.is_some_and(|at| at <= now);
    (expired || state.details.mit.is_some()).then_some(Ended::Declined)
}

fn by_hand() -> NotExecuted {
    NotExecuted::Refused("a person found that nothing was executed".into())
}

fn wrong_amount(expected: Money) -> Error {
    let remedy = format!("the operation was over {expected}");
    Error::invalid(Fault::new("verdict", "another amount than was asked for", remedy))
}

/// The evidence that a person let a payment pass which the host's check had held.
pub(crate) const HOLD_APPROVED: &str = "hold_approved";

/// The evidence of a person's verdict.
pub(crate) const SETTLED_BY_HAND: &str = "settled_by_hand";
