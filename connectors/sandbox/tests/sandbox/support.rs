//! Drives a sandbox's connector by hand, as the engine would.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use paymux_core::connector::{
    Authorization, AuthorizeReport, CaptureReport, CloseReport, Connector, Doubt, Echoes, Exchange, Handle,
    LookUpReport, NotExecuted, Operation, Outcome, PrepareReport, ReadReport, RefundReadReport, RefundReport,
    Request, Stage, StepKey, Transport, TransportError, op, outcome_of,
};
use paymux_core::{
    CaptureMethod, Currency, Mode, Money, OperationId, PaymentMethod, RefundReason, Rest, SeededIds,
    TestClock, Volatile,
};
use paymux_core::{Clock, IdSource};
use paymux_sandbox::{LedgerView, Sandbox, Shape};

pub(crate) fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

/// Polls once what never waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// One account of a sandbox, and the identifiers of who calls it.
pub(crate) struct Caller {
    pub(crate) sandbox: Sandbox,
    pub(crate) connector: Connector,
    pub(crate) clock: TestClock,
    transport: Arc<dyn Transport>,
    ids: SeededIds,
}

/// One operation, its key and its reference.
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) id: OperationId,
    pub(crate) reference: String,
}

impl Named {
    pub(crate) fn key(&self, step: &str) -> StepKey {
        StepKey::for_suite(self.id, step)
    }
}

impl Caller {
    pub(crate) fn new(shape: Shape) -> Self {
        let clock = TestClock::new();
        Self::of(
            Sandbox::seeded(7).clock(Arc::new(clock.clone())).shape(shape),
            clock,
            1,
        )
    }

    pub(crate) fn of(sandbox: Sandbox, clock: TestClock, ids: u64) -> Self {
        let connector = sandbox.connector("main");
        let transport = sandbox.transport();
        Self {
            sandbox,
            connector,
            clock,
            transport,
            ids: SeededIds::new(ids),
        }
    }

    pub(crate) fn ledger(&self) -> LedgerView {
        self.sandbox.ledger()
    }

    pub(crate) fn name(&self) -> Named {
        let id = OperationId::from_uuid(Mode::Test, self.ids.uuid(self.clock.now()));
        Named {
            id,
            reference: id.reference(),
        }
    }

    pub(crate) async fn send<O: Operation>(
        &self,
        exchange: &dyn Exchange<O>,
        op: &O,
        key: &StepKey,
    ) -> Outcome<O::Report> {
        let request: Request = exchange.request(op, key).expect("sendable");
        match self.transport.send(request).await {
            Ok(answer) => outcome_of(exchange, op, &answer, Echoes::AmountAndReference),
            Err(TransportError::NotSent(why)) => Outcome::NotExecuted(NotExecuted::NotSent(why.into())),
            Err(TransportError::Unknown(why)) => Outcome::Unknown(Doubt {
                stage: Stage::Sent,
                why: why.into(),
                contradicts: paymux_core::connector::Contradiction::None,
            }),
        }
    }

    /// Sends an authorization, in one call or in two.
    pub(crate) async fn authorize_as(&self, name: &Named, op: &op::Authorize) -> Outcome<AuthorizeReport> {
        match self.connector.slots().authorize().expect("authorizes") {
            Authorization::OneCall(_, exchange) => {
                self.send(exchange.as_ref(), op, &name.key("authorize")).await
            }
            Authorization::HandleFirst { prepare, execute } => {
                let prepared = op::Prepare::new(op.clone());
                match self
                    .send(prepare.1.as_ref(), &prepared, &name.key("prepare"))
                    .await
                {
                    Outcome::Answered(PrepareReport::Prepared(handle, _)) => {
                        let confirmed = op::Execute::new(op.clone(), handle);
                        self.send(execute.1.as_ref(), &confirmed, &name.key("execute"))
                            .await
                    }
                    other => panic!("not prepared: {other:?}"),
                }
            }
            _ => panic!("another way to authorize"),
        }
    }

    pub(crate) fn authorize(&self, token: &str, capture: CaptureMethod) -> (Named, Outcome<AuthorizeReport>) {
        let name = self.name();
        let method = PaymentMethod::card_token(token);
        let op = op::Authorize::new(&name.reference, eur(10_000), method, capture);
        let outcome = now(self.authorize_as(&name, &op));
        (name, outcome)
    }

    /// Authorizes, and gives the handle of what was approved.
    pub(crate) fn approved(&self, token: &str, capture: CaptureMethod) -> (Named, Handle) {
        let (name, outcome) = self.authorize(token, capture);
        match outcome {
            Outcome::Answered(report) => {
                let handle = report.handle().unwrap_or_else(|| panic!("{report:?}")).clone();
                (name, handle)
            }
            other => panic!("{token}: {other:?}"),
        }
    }

    pub(crate) fn capture(&self, handle: &Handle, minor: i64, rest: Rest) -> Outcome<CaptureReport> {
        self.capture_as(&self.name(), handle, minor, rest)
    }

    pub(crate) fn capture_as(
        &self,
        name: &Named,
        handle: &Handle,
        minor: i64,
        rest: Rest,
    ) -> Outcome<CaptureReport> {
        let op = op::Capture::new(&name.reference, handle.clone(), eur(minor), rest);
        now(self.send(
            self.connector.slots().capture().unwrap().1,
            &op,
            &name.key("capture"),
        ))
    }

    pub(crate) fn void(&self, handle: &Handle, minor: i64) -> Outcome<CloseReport> {
        let name = self.name();
        let op = op::Void::new(&name.reference, handle.clone(), eur(minor));
        now(self.send(self.connector.slots().void().unwrap().1, &op, &name.key("void")))
    }

    pub(crate) fn cancel(&self, handle: &Handle, minor: i64) -> Outcome<CloseReport> {
        let name = self.name();
        let op = op::Cancel::new(&name.reference, handle.clone(), eur(minor));
        now(self.send(
            self.connector.slots().cancel().unwrap().1,
            &op,
            &name.key("cancel"),
        ))
    }

    pub(crate) fn increment(&self, handle: &Handle, by: i64, total: i64) -> Outcome<AuthorizeReport> {
        let name = self.name();
        let op = op::Increment::new(&name.reference, handle.clone(), eur(by), eur(total));
        now(self.send(
            self.connector.slots().increment().unwrap().1,
            &op,
            &name.key("increment"),
        ))
    }

    pub(crate) fn refund(&self, original: &Handle, minor: i64) -> (Named, Outcome<RefundReport>) {
        let name = self.name();
        let outcome = self.refund_as(&name, original, minor);
        (name, outcome)
    }

    pub(crate) fn refund_as(&self, name: &Named, original: &Handle, minor: i64) -> Outcome<RefundReport> {
        let reason = RefundReason::RequestedByCustomer;
        let op = op::Refund::new(&name.reference, original.clone(), eur(minor), reason);
        now(self.send(
            self.connector.slots().refund().unwrap().1,
            &op,
            &name.key("refund"),
        ))
    }

    pub(crate) fn complete(&self, name: &Named, handle: &Handle, payload: &str) -> Outcome<AuthorizeReport> {
        let op = op::Complete::new(
            &name.reference,
            handle.clone(),
            eur(10_000),
            Volatile::new(payload),
        );
        let key = self.name().key("complete");
        now(self.send(self.connector.slots().complete().unwrap().1, &op, &key))
    }

    pub(crate) fn read(&self, name: &Named, handle: &Handle) -> Outcome<ReadReport> {
        let op = op::Read::new(handle.clone(), eur(10_000), &name.reference);
        now(self.send(self.connector.slots().read().unwrap(), &op, &name.key("read")))
    }

    /// What a read finds.
    pub(crate) fn stands(&self, name: &Named, handle: &Handle) -> AuthorizeReport {
        match self.read(name, handle) {
            Outcome::Answered(ReadReport::Found(standing)) => standing.report,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn look_up(&self, name: &Named) -> Outcome<LookUpReport> {
        let op = op::LookUp::new(&name.reference, eur(10_000));
        now(self.send(
            self.connector.slots().look_up().unwrap(),
            &op,
            &name.key("look-up"),
        ))
    }

    pub(crate) fn read_refund(&self, name: &Named, handle: &Handle, minor: i64) -> Outcome<RefundReadReport> {
        let op = op::ReadRefund::new(handle.clone(), eur(minor), &name.reference);
        now(self.send(
            self.connector.slots().read_refund().unwrap(),
            &op,
            &name.key("read-refund"),
        ))
    }

    pub(crate) fn look_up_refund(
        &self,
        name: &Named,
        original: &Handle,
        minor: i64,
    ) -> Outcome<RefundReadReport> {
        let op = op::LookUpRefund::new(&name.reference, original.clone(), eur(minor));
        now(self.send(
            self.connector.slots().look_up_refund().unwrap(),
            &op,
            &name.key("look-up-refund"),
        ))
    }
}
