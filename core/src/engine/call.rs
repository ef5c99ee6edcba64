//! One call to a processor: which step comes next, its bytes, its one send, and what its answer means.

use super::Inner;
use crate::connector::{
    Authorization, AuthorizeReport, CaptureReport, CloseReport, Connector, Echoes, Effect, Exchange, Handle,
    NotExecuted, Operation, Outcome, PrepareReport, RefundReport, Request, Response, Slot, Stage, Step,
    StepKey, UNREADABLE, Unsendable, op, read_answer,
};
use crate::error::{Error, ErrorKind, Fault};
use crate::hex::hex;
use crate::id::AccountRef;
use crate::intent::{Attempt, Intent, OpenOp, OperationKind, StepRecord};
use crate::money::Money;
use crate::panics::{Panicked, caught, caught_async};
use crate::refund::{Allocation, RefundReason, RefundState};
use crate::secret::Volatile;
use crate::tenant::Tenant;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What an answer reports, whichever step it answers.
#[derive(Debug)]
pub(crate) enum Report {
    Prepared(Handle),
    Authorize(AuthorizeReport),
    Increment(AuthorizeReport),
    Capture(CaptureReport),
    Close(CloseReport),
    Refund(RefundReport),
}

/// Reads an answer.
type Reader = Box<dyn Fn(&Response) -> Result<Outcome<Report>, Panicked> + Send + Sync>;

/// A step that is ready to be sent: its bytes exist before its first write does.
pub(crate) struct Call {
    pub(crate) step: Step,
    pub(crate) record: StepRecord,
    /// When it was built, by the monotonic clock: before the commit that allows it.
    began: Duration,
    request: Request,
    read: Reader,
}

/// Why a step can't be built.
#[derive(Debug)]
pub(crate) enum CannotCall {
    /// The account doesn't offer it.
    NotOffered(&'static str),
    /// The processor can't be asked this.
    Unsendable(Unsendable),
    /// A part of it couldn't be kept and is gone.
    Gone,
    /// The processor's identifier isn't known yet.
    NoHandle,
    /// The connector's own code panicked.
    Panicked,
}

impl From<CannotCall> for Error {
    fn from(cannot: CannotCall) -> Self {
        match cannot {
            CannotCall::NotOffered(what) => Error::new(
                ErrorKind::Unsupported,
                format!("the account doesn't offer `{what}`"),
            )
            .with_faults(vec![Fault::new(
                "account",
                format!("it doesn't offer `{what}`"),
                "use another verb or account",
            )]),
            CannotCall::Unsendable(Unsendable(fault)) => Error::invalid(fault),
            CannotCall::Gone | CannotCall::NoHandle => Error::new(
                ErrorKind::Unsupported,
                "the processor's identifier of the payment isn't known",
            ),
            CannotCall::Panicked => Error::new(
                ErrorKind::Connectors,
                "the account's connector failed while it made the request: nothing was sent",
            ),
        }
    }
}

impl Call {
    fn new<O: Operation>(
        began: Duration,
        step: Step,
        exchange: Arc<dyn Exchange<O>>,
        op: O,
        open: &OpenOp,
        echoes: Echoes,
        wrap: fn(O::Report) -> Report,
    ) -> Result<Self, CannotCall> {
        let key = StepKey::new(open.id, O::STEP);
        let request = caught(|| exchange.request(&op, &key))
            .map_err(|Panicked| CannotCall::Panicked)?
            .and_then(Request::checked)
            .map_err(CannotCall::Unsendable)?;
        let volatile = op.volatile_part().or(request.volatile_part()).map(Into::into);
        let hash = hex(&request.wire_hash());
        let record = StepRecord {
            step: O::STEP.into(),
            hash,
            volatile,
        };
        let read =
            Box::new(
                move |answer: &Response| match read_answer(exchange.as_ref(), &op, answer, echoes)? {
                    Outcome::Answered(report) => Ok(Outcome::Answered(wrap(report))),
                    Outcome::NotExecuted(proof) => Ok(Outcome::NotExecuted(proof)),
                    Outcome::Unknown(doubt) => Ok(Outcome::Unknown(doubt)),
                },
            );
        Ok(Self {
            step,
            record,
            began,
            request,
            read,
        })
    }

    /// The next step of an intent's operation, as the state says.
    pub(crate) fn next(
        began: Duration,
        connector: &Connector,
        intent: &Intent,
        attempt: &Attempt,
        open: &OpenOp,
        payload: &Volatile,
    ) -> Result<Self, CannotCall> {
        let echoes = connector.capabilities.echoes;
        let handle = || attempt.known.handle.clone().ok_or(CannotCall::NoHandle);
        let reference = open.id.reference();
        match open.kind {
            OperationKind::Authorize => authorizing(began, connector, intent, attempt, open),
            OperationKind::Complete => {
                let Slot { step, exchange } = offered(&connector.complete, "complete")?;
                let op = op::Complete::new(
                    attempt.operation.reference(),
                    handle()?,
                    attempt.amount,
                    payload.clone(),
                );
                Self::new(began, step, exchange, op, open, echoes, Report::Authorize)
            }
            OperationKind::Capture => {
                let Slot { step, exchange } = offered(&connector.capture, "capture")?;
                let op = op::Capture::new(reference, handle()?, open.amount, open.rest);
                Self::new(began, step, exchange, op, open, echoes, Report::Capture)
            }
            OperationKind::Increment => {
                let Slot { step, exchange } = offered(&connector.increment, "increment")?;
                let by = Money::from_minor(open.amount.minor() - open.baseline, open.amount.currency());
                let op = op::Increment::new(reference, handle()?, by, open.amount);
                Self::new(began, step, exchange, op, open, echoes, Report::Increment)
            }
            OperationKind::Void | OperationKind::Release | OperationKind::CompensateVoid => {
                let Slot { step, exchange } = offered(&connector.void, "void")?;
                let op = op::Void::new(reference, handle()?, open.amount);
                Self::new(began, step, exchange, op, open, echoes, Report::Close)
            }
            OperationKind::Cancel => {
                let Slot { step, exchange } = offered(&connector.cancel, "cancel")?;
                let op = op::Cancel::new(reference, handle()?, open.amount);
                Self::new(began, step, exchange, op, open, echoes, Report::Close)
            }
            OperationKind::CompensateRefund | OperationKind::Refund => {
                let Slot { step, exchange } = offered(&connector.refund, "refund")?;
                let op = op::Refund::new(reference, handle()?, open.amount, RefundReason::DuplicateOrder);
                Self::new(began, step, exchange, op, open, echoes, Report::Refund)
            }
        }
    }

    /// The step of a refund's part.
    pub(crate) fn refund(
        began: Duration,
        connector: &Connector,
        refund: &RefundState,
        part: &Allocation,
        open: &OpenOp,
    ) -> Result<Self, CannotCall> {
        let Slot { step, exchange } = offered(&connector.refund, "refund")?;
        let op = op::Refund::new(
            open.id.reference(),
            part.original.clone(),
            part.amount,
            refund.reason.clone(),
        );
        Self::new(
            began,
            step,
            exchange,
            op,
            open,
            connector.capabilities.echoes,
            Report::Refund,
        )
    }

    /// Whether a step that was recorded may be sent again with these bytes.
    pub(crate) fn same_bytes(&self, open: &OpenOp) -> bool {
        let recorded = open.steps.iter().find(|record| record.step == self.record.step);
        recorded.is_none_or(|record| record.hash == self.record.hash)
    }

    /// Sends once, and says what became of it. One whose commit took so long that another worker may have taken over
    /// before its answer comes isn't sent.
    pub(crate) async fn send(
        &self,
        engine: &Inner,
        tenant: &Tenant,
        connector: &Connector,
    ) -> Outcome<Report> {
        if engine.runtime.clock.elapsed() >= self.began + engine.policy.grace {
            let why = "its time had passed before it could be sent";
            return Outcome::NotExecuted(NotExecuted::NotSent(why.into()));
        }
        match deliver(engine, tenant, connector, self.request.clone()).await {
            Ok(answer) => (self.read)(&answer).unwrap_or_else(|Panicked| engine.unreadable(connector)),
            Err(outcome) => outcome,
        }
    }

    pub(crate) fn moves_money(&self) -> bool {
        match self.step.effect() {
            Effect::MovesMoney => true,
            Effect::Preparatory => false,
        }
    }
}

fn authorizing(
    began: Duration,
    connector: &Connector,
    intent: &Intent,
    attempt: &Attempt,
    open: &OpenOp,
) -> Result<Call, CannotCall> {
    if attempt.method.volatile_part().is_some() && !intact(&attempt.method) {
        return Err(CannotCall::Gone);
    }
    let authorize = authorization(intent, attempt, open);
    let echoes = connector.capabilities.echoes;
    match connector
        .authorize
        .clone()
        .ok_or(CannotCall::NotOffered("authorize"))?
    {
        Authorization::OneCall(step, exchange) => {
            Call::new(began, step, exchange, authorize, open, echoes, Report::Authorize)
        }
        Authorization::HandleFirst {
            prepare: (step, prepare),
            execute: (money, execute),
        } => match attempt.known.handle.clone() {
            None => Call::new(
                began,
                step,
                prepare,
                op::Prepare::new(authorize),
                open,
                echoes,
                prepared,
            ),
            Some(handle) => {
                let op = op::Execute::new(authorize, handle);
                Call::new(began, money, execute, op, open, echoes, Report::Authorize)
            }
        },
    }
}

fn prepared(report: PrepareReport) -> Report {
    match report {
        PrepareReport::Prepared(handle, _) => Report::Prepared(handle),
        PrepareReport::Declined(decline) => Report::Authorize(AuthorizeReport::Declined(decline)),
    }
}

/// The authorization that an attempt asks for: the same from the same state, whoever builds it.
fn authorization(intent: &Intent, attempt: &Attempt, open: &OpenOp) -> op::Authorize {
    let details = &intent.details;
    let authorize = op::Authorize::new(
        open.id.reference(),
        attempt.amount,
        attempt.method.clone(),
        attempt.capture_method,
    )
    .mode(intent.mode)
    .challenge(attempt.challenge)
    .details(details.clone());
    match &details.return_url {
        Some(url) => authorize.return_url(url.replace("{payment}", &intent.id.to_string())),
        None => authorize,
    }
}

/// Whether what can't be kept of a method is still there.
fn intact(method: &crate::PaymentMethod) -> bool {
    match method {
        crate::PaymentMethod::NetworkToken {
            cryptogram: volatile, ..
        }
        | crate::PaymentMethod::Wallet {
            payload: volatile, ..
        } => volatile.get().is_some(),
        crate::PaymentMethod::CardToken { .. }
        | crate::PaymentMethod::BankRedirect { .. }
        | crate::PaymentMethod::OpenBanking { .. }
        | crate::PaymentMethod::DirectDebit { .. }
        | crate::PaymentMethod::Voucher { .. }
        | crate::PaymentMethod::BankTransfer
        | crate::PaymentMethod::Bnpl { .. }
        | crate::PaymentMethod::Provider { .. } => true,
    }
}

fn offered<O: Operation>(slot: &Option<Slot<O>>, name: &'static str) -> Result<Slot<O>, CannotCall> {
    slot.clone().ok_or(CannotCall::NotOffered(name))
}

/// Asks a read or a look-up: no write, no key, no lock.
pub(crate) async fn ask<O: Operation>(
    engine: &Inner,
    tenant: &Tenant,
    connector: &Connector,
    exchange: &dyn Exchange<O>,
    op: &O,
    key: &StepKey,
) -> Outcome<O::Report> {
    let made = caught(|| exchange.request(op, key)).inspect_err(|Panicked| {
        engine.note_panic(connector.account(), "request");
    });
    let Ok(Ok(request)) = made.map(|made| made.and_then(Request::checked)) else {
        return Outcome::unknown(Stage::Prepared, "the processor can't be asked this");
    };
    match deliver(engine, tenant, connector, request).await {
        Ok(answer) => read_answer(exchange, op, &answer, connector.capabilities.echoes)
            .unwrap_or_else(|Panicked| engine.unreadable(connector)),
        Err(outcome) => outcome,
    }
}

impl Inner {
    /// A step that can't be built because the connector panicked is counted.
    pub(crate) fn note_cannot(&self, account: &AccountRef, cannot: &CannotCall) {
        match cannot {
            CannotCall::Panicked => self.note_panic(account, "request"),
            CannotCall::NotOffered(_)
            | CannotCall::Unsendable(_)
            | CannotCall::Gone
            | CannotCall::NoHandle => {}
        }
    }

    fn unreadable<R>(&self, connector: &Connector) -> Outcome<R> {
        self.note_panic(connector.account(), "report");
        Outcome::unknown(Stage::Answered, UNREADABLE)
    }
}

/// A time-out becomes Unknown here: the answer may be on its way. A call whose turn doesn't come in time wasn't sent.
async fn deliver<R>(
    engine: &Inner,
    tenant: &Tenant,
    connector: &Connector,
    request: Request,
) -> Result<Response, Outcome<R>> {
    let (clock, policy) = (engine.runtime.clock.as_ref(), &engine.policy);
    let started = clock.elapsed();
    let turn = engine
        .turns
        .take(connector, tenant, clock, policy.turn_within)
        .await;
    let left = policy
        .call_timeout
        .saturating_sub(clock.elapsed().saturating_sub(started));
    let _turn = match turn {
        Some(turn) if !left.is_zero() => turn,
        Some(_) | None => {
            let why = "its turn at the account didn't come in time";
            return Err(Outcome::NotExecuted(NotExecuted::NotSent(why.into())));
        }
    };
    let sent = caught_async(async { connector.transport.send(request).await });
    match within(sent, clock.sleep(left)).await {
        Some(Ok(Ok(answer))) => Ok(answer),
        Some(Ok(Err(error))) => Err(Outcome::from_transport(error)),
        Some(Err(Panicked)) => {
            engine.note_panic(connector.account(), "send");
            Err(Outcome::unknown(Stage::Sent, "the transport failed"))
        }
        None => Err(Outcome::unknown(Stage::Sent, "no answer in time")),
    }
}

/// The first future's output, unless the second ends before it.
pub(crate) async fn within<T>(work: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut limit) = (pin!(work), pin!(limit));
    std::future::poll_fn(move |cx: &mut Context<'_>| {
        if let Poll::Ready(output) = Pin::as_mut(&mut work).poll(cx) {
            return Poll::Ready(Some(output));
        }
        Pin::as_mut(&mut limit).poll(cx).map(|()| None)
    })
    .await
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("step", &self.record.step)
            .finish_non_exhaustive()
    }
}
