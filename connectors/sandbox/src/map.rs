//! The exchanges: what each operation asks of the processor, and what its answers say.

use std::sync::Arc;

use http::StatusCode;
use paymux_core::connector::{
    Approval, AuthorizeReport, CallError, CaptureReport, CloseReport, Echo, Exchange, Handle, LookUpReport,
    PrepareReport, ReadReport, RefundReadReport, RefundReport, Request, Response, Standing, StepKey,
    Unsendable, op,
};
use paymux_core::{
    AccountRef, Action, ActionKind, Grant, Granted, IntentDetails, PaymentMethod, Secret, Volatile,
};
use serde::Serialize;

use crate::error::{DECLINES, STATUSES, own_error};
use crate::ledger::PaymentState;
use crate::processor::{KEY_HEADER, secret_key};
use crate::wire::{
    ActionObject, ActionWhat, ClosePayment, CompletePayment, Confirm, ConfirmPayment, IncrementObject, List,
    Method, NewCapture, NewIncrement, NewPayment, NewRefund, OperationObject, OperationState, PaymentObject,
    escape,
};

/// The processor's API, as one account uses it.
#[derive(Debug)]
pub(crate) struct Api {
    base: String,
    secret: Secret,
    pub(crate) account: AccountRef,
}

impl Api {
    pub(crate) fn new(account: AccountRef) -> Self {
        Self {
            base: format!("sandbox://{}", escape(account.account())),
            secret: Secret::new(secret_key(account.account())),
            account,
        }
    }

    fn post(&self, path: &str, key: &StepKey, body: impl Serialize) -> Request {
        Request::post(format!("{}{path}", self.base))
            .bearer(&self.secret)
            .header(KEY_HEADER, key.as_str())
            .json(body)
    }

    fn get(&self, path: &str) -> Request {
        Request::get(format!("{}{path}", self.base)).bearer(&self.secret)
    }
}

impl Exchange<op::Authorize> for Api {
    fn request(&self, op: &op::Authorize, key: &StepKey) -> Result<Request, Unsendable> {
        let body = new_payment(op, Confirm::Now, Some(method(&op.method)?));
        Ok(volatile(
            self.post("/payments", key, body),
            op.method.volatile_part(),
        ))
    }

    fn report(&self, _: &op::Authorize, answer: &Response) -> Result<AuthorizeReport, CallError> {
        executed(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Prepare> for Api {
    fn request(&self, op: &op::Prepare, key: &StepKey) -> Result<Request, Unsendable> {
        // What can't be sent later is refused now, before anything is written.
        method(&op.authorize.method)?;
        Ok(self.post("/payments", key, new_payment(&op.authorize, Confirm::Later, None)))
    }

    fn report(&self, _: &op::Prepare, answer: &Response) -> Result<PrepareReport, CallError> {
        let payment: PaymentObject = STATUSES.read(answer)?;
        match payment.state {
            PaymentState::Created => {
                let echo = payment.echo();
                Ok(PrepareReport::Prepared(payment.id.into(), echo))
            }
            PaymentState::RequiresAction
            | PaymentState::Processing
            | PaymentState::Authorized
            | PaymentState::Captured
            | PaymentState::Settled
            | PaymentState::Verified
            | PaymentState::Declined
            | PaymentState::Voided
            | PaymentState::Cancelled => Err(CallError::unknown("a new payment is already more than made")),
        }
    }
}

impl Exchange<op::Execute> for Api {
    fn request(&self, op: &op::Execute, key: &StepKey) -> Result<Request, Unsendable> {
        let method = method(&op.authorize.method)?;
        let body = ConfirmPayment {
            method,
            challenge: op.authorize.challenge,
        };
        let request = self.post(&format!("/payments/{}/confirm", path(&op.handle)), key, body);
        Ok(volatile(request, op.authorize.method.volatile_part()))
    }

    fn report(&self, _: &op::Execute, answer: &Response) -> Result<AuthorizeReport, CallError> {
        executed(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Complete> for Api {
    fn request(&self, op: &op::Complete, key: &StepKey) -> Result<Request, Unsendable> {
        let payload = exposed(&op.payload, "payload")?;
        let request = self.post(
            &format!("/payments/{}/complete", path(&op.handle)),
            key,
            CompletePayment { payload },
        );
        Ok(request.volatile("what the payer brought back"))
    }

    fn report(&self, _: &op::Complete, answer: &Response) -> Result<AuthorizeReport, CallError> {
        executed(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Capture> for Api {
    fn request(&self, op: &op::Capture, key: &StepKey) -> Result<Request, Unsendable> {
        let body = NewCapture {
            reference: op.reference.clone(),
            amount: op.amount,
            rest: op.rest,
        };
        Ok(self.post(&format!("/payments/{}/captures", path(&op.original)), key, body))
    }

    fn report(&self, _: &op::Capture, answer: &Response) -> Result<CaptureReport, CallError> {
        let capture: OperationObject = STATUSES.read(answer)?;
        let echo = capture.echo();
        Ok(match capture.state {
            OperationState::Done => CaptureReport::Captured(capture.id.into(), echo),
            OperationState::Settled => CaptureReport::Settled(capture.id.into(), echo),
            OperationState::Pending => CaptureReport::Pending(capture.id.into(), echo),
            OperationState::Failed => CaptureReport::Declined(DECLINES.map(&capture.code()?)),
        })
    }
}

impl Exchange<op::Increment> for Api {
    fn request(&self, op: &op::Increment, key: &StepKey) -> Result<Request, Unsendable> {
        let body = NewIncrement {
            reference: op.reference.clone(),
            by: op.by,
            total: op.total,
        };
        Ok(self.post(&format!("/payments/{}/increments", path(&op.original)), key, body))
    }

    fn report(&self, _: &op::Increment, answer: &Response) -> Result<AuthorizeReport, CallError> {
        let increment: IncrementObject = STATUSES.read(answer)?;
        match (increment.state, increment.code) {
            (OperationState::Done, None) => {
                let echo = Echo::none()
                    .amount(increment.total)
                    .reference(increment.reference);
                Ok(AuthorizeReport::Authorized(approval(increment.payment, echo)))
            }
            (OperationState::Failed, Some(word)) => Ok(AuthorizeReport::Declined(DECLINES.map(&word))),
            (
                OperationState::Done
                | OperationState::Settled
                | OperationState::Pending
                | OperationState::Failed,
                _,
            ) => Err(CallError::unknown(
                "an increment's answer doesn't say whether it was done",
            )),
        }
    }
}

macro_rules! closing {
    ($op:ident, $path:literal) => {
        impl Exchange<op::$op> for Api {
            fn request(&self, op: &op::$op, key: &StepKey) -> Result<Request, Unsendable> {
                let body = ClosePayment {
                    reference: op.reference.clone(),
                    amount: op.amount,
                };
                Ok(self.post(
                    &format!("/payments/{}/{}", path(&op.original), $path),
                    key,
                    body,
                ))
            }

            fn report(&self, _: &op::$op, answer: &Response) -> Result<CloseReport, CallError> {
                let closed: OperationObject = STATUSES.read(answer)?;
                let echo = closed.echo();
                match closed.state {
                    OperationState::Done => Ok(CloseReport::Closed(closed.id.into(), echo)),
                    OperationState::Pending => Ok(CloseReport::Pending(closed.id.into(), echo)),
                    OperationState::Failed => Ok(CloseReport::Refused(DECLINES.map(&closed.code()?))),
                    OperationState::Settled => Err(CallError::unknown("nothing settles by closing")),
                }
            }
        }
    };
}
closing!(Void, "void");
closing!(Cancel, "cancel");

impl Exchange<op::Refund> for Api {
    fn request(&self, op: &op::Refund, key: &StepKey) -> Result<Request, Unsendable> {
        let body = NewRefund {
            reference: op.reference.clone(),
            original: op.original.as_str().to_owned(),
            amount: op.amount,
            reason: op.reason.clone(),
        };
        Ok(self.post("/refunds", key, body))
    }

    fn report(&self, _: &op::Refund, answer: &Response) -> Result<RefundReport, CallError> {
        refund(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Read> for Api {
    fn request(&self, op: &op::Read, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.get(&format!("/payments/{}", path(&op.handle))))
    }

    fn report(&self, _: &op::Read, answer: &Response) -> Result<ReadReport, CallError> {
        match answer.status() {
            StatusCode::NOT_FOUND => absent(answer, "payment").map(|()| ReadReport::NotFound),
            _ => standing(STATUSES.read(answer)?).map(ReadReport::Found),
        }
    }
}

impl Exchange<op::LookUp> for Api {
    fn request(&self, op: &op::LookUp, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.get(&format!("/payments?reference={}", escape(&op.reference))))
    }

    fn report(&self, _: &op::LookUp, answer: &Response) -> Result<LookUpReport, CallError> {
        let mut found: List<PaymentObject> = STATUSES.read(answer)?;
        match (found.items.pop(), found.items.len()) {
            (None, _) => Ok(LookUpReport::NotFound),
            (Some(payment), 0) => standing(payment).map(LookUpReport::Found),
            (Some(_), _) => Err(CallError::unknown("two payments have one reference")),
        }
    }
}

impl Exchange<op::ReadRefund> for Api {
    fn request(&self, op: &op::ReadRefund, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.get(&format!("/refunds/{}", path(&op.handle))))
    }

    fn report(&self, _: &op::ReadRefund, answer: &Response) -> Result<RefundReadReport, CallError> {
        match answer.status() {
            StatusCode::NOT_FOUND => absent(answer, "refund").map(|()| RefundReadReport::NotFound),
            _ => refund(STATUSES.read(answer)?).map(RefundReadReport::Found),
        }
    }
}

impl Exchange<op::LookUpRefund> for Api {
    fn request(&self, op: &op::LookUpRefund, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.get(&format!(
            "/refunds?reference={}&original={}",
            escape(&op.reference),
            path(&op.original)
        )))
    }

    fn report(&self, _: &op::LookUpRefund, answer: &Response) -> Result<RefundReadReport, CallError> {
        let mut found: List<OperationObject> = STATUSES.read(answer)?;
        match (found.items.pop(), found.items.len()) {
            (None, _) => Ok(RefundReadReport::NotFound),
            (Some(object), 0) => refund(object).map(RefundReadReport::Found),
            (Some(_), _) => Err(CallError::unknown("two refunds have one reference")),
        }
    }
}

/// Whether the processor itself says that there is no such `object`: a proxy's 404 says nothing of its books.
fn absent(answer: &Response, object: &str) -> Result<(), CallError> {
    if own_error(answer)? == object {
        Ok(())
    } else {
        Err(CallError::unknown("something else than the object wasn't found"))
    }
}

fn new_payment(op: &op::Authorize, confirm: Confirm, method: Option<Method>) -> NewPayment {
    let details: &Arc<IntentDetails> = &op.details;
    NewPayment {
        reference: op.reference.clone(),
        amount: op.amount,
        capture: op.capture,
        mode: op.mode,
        challenge: op.challenge,
        confirm,
        method,
        return_url: op.return_url.clone(),
        merchant_reference: details.merchant_reference.clone(),
        statement_descriptor: details.statement_descriptor.clone(),
        metadata: details.metadata.clone(),
        mit: details.mit.as_ref().map(|mit| mit.reason),
    }
}

fn method(method: &PaymentMethod) -> Result<Method, Unsendable> {
    Ok(match method {
        PaymentMethod::CardToken { token, .. } => Method::Card { token: token.clone() },
        PaymentMethod::NetworkToken {
            token, cryptogram, ..
        } => Method::NetworkToken {
            token: token.clone(),
            cryptogram: exposed(cryptogram, "cryptogram")?,
        },
        PaymentMethod::Wallet { wallet, payload, .. } => Method::Wallet {
            wallet: wallet.clone(),
            payload: exposed(payload, "payload")?,
        },
        PaymentMethod::BankRedirect { scheme } => Method::BankRedirect {
            scheme: scheme.clone(),
        },
        PaymentMethod::OpenBanking { institution } => Method::OpenBanking {
            institution: institution.clone(),
        },
        PaymentMethod::DirectDebit { mandate } => Method::DirectDebit {
            mandate: mandate.clone(),
        },
        PaymentMethod::Voucher { scheme } => Method::Voucher {
            scheme: scheme.clone(),
        },
        PaymentMethod::BankTransfer => Method::BankTransfer,
        PaymentMethod::Bnpl { provider } => Method::Bnpl {
            provider: provider.clone(),
        },
        PaymentMethod::Provider { kind, data } => Method::Provider {
            kind: kind.clone(),
            data: data.clone(),
        },
        // A method that core learnt after this crate was written.
        _ => return Err(Unsendable::field("method", "the sandbox doesn't know it")),
    })
}

fn exposed(volatile: &Volatile, field: &'static str) -> Result<String, Unsendable> {
    let lost = || Unsendable::field(field, "it was for one call and is gone");
    volatile
        .get()
        .map(|secret| secret.expose().to_owned())
        .ok_or_else(lost)
}

fn volatile(request: Request, part: Option<&'static str>) -> Request {
    match part {
        Some(part) => request.volatile(part),
        None => request,
    }
}

fn path(handle: &Handle) -> String {
    escape(handle.as_str())
}

/// What an answer says to whoever executed a payment: it can't be that it wasn't executed.
fn executed(payment: PaymentObject) -> Result<AuthorizeReport, CallError> {
    match report(payment)? {
        AuthorizeReport::Unexecuted(_) => {
            Err(CallError::unknown("the payment was to be executed and wasn't"))
        }
        report => Ok(report),
    }
}

pub(crate) fn standing(payment: PaymentObject) -> Result<Standing, CallError> {
    let (authorized, failed) = (payment.authorized, payment.failed);
    let taken = payment.captured.checked_add(failed);
    let captured = taken.map_err(|_| CallError::unknown("sums that don't add"))?;
    let (refunded, returned) = (payment.refunded, payment.returned);
    let standing = Standing::from(report(payment)?);
    Ok(standing
        .authorized(authorized)
        .captured(captured)
        .failed(failed)
        .refunded(refunded)
        .returned(returned))
}

fn report(payment: PaymentObject) -> Result<AuthorizeReport, CallError> {
    let echo = payment.echo();
    Ok(match payment.state {
        PaymentState::Created => AuthorizeReport::Unexecuted(payment.id.into()),
        PaymentState::RequiresAction => {
            let asked = payment
                .action
                .ok_or(CallError::unknown("an action without what to do"))?;
            AuthorizeReport::ActionNeeded(payment.id.into(), action(asked), echo)
        }
        PaymentState::Processing => AuthorizeReport::Pending(payment.id.into(), echo),
        PaymentState::Authorized => match payment.part {
            Some(part) => AuthorizeReport::PartiallyAuthorized(approval(payment, echo), part),
            None => AuthorizeReport::Authorized(approval(payment, echo)),
        },
        PaymentState::Captured => AuthorizeReport::Captured(approval(payment, echo)),
        PaymentState::Settled => AuthorizeReport::Settled(approval(payment, echo)),
        PaymentState::Verified => AuthorizeReport::Verified(approval(payment, echo)),
        // It was taken once, and failed later: what failed of it says so.
        PaymentState::Declined if payment.failed.minor() > 0 => {
            AuthorizeReport::Captured(approval(payment, echo))
        }
        PaymentState::Declined => {
            let word = payment
                .code
                .ok_or(CallError::unknown("a decline without its reason"))?;
            AuthorizeReport::Declined(DECLINES.map(&word))
        }
        PaymentState::Voided | PaymentState::Cancelled => AuthorizeReport::Voided(payment.id.into(), echo),
    })
}

fn approval(payment: PaymentObject, echo: Echo) -> Approval {
    let mut granted = Granted::nothing();
    if payment.multicapture == Grant::Granted {
        granted = granted.multicapture();
    }
    if payment.incremental == Grant::Granted {
        granted = granted.incremental();
    }
    if let Some(at) = payment.capture_before {
        granted = granted.capture_before(at);
    }
    let mut approval = Approval::new(payment.id, echo).granted(granted);
    if let Some(id) = payment.network_transaction_id {
        approval = approval.network_transaction_id(id);
    }
    match payment.three_ds {
        Some(result) => approval.three_ds(result),
        None => approval,
    }
}

fn action(asked: ActionObject) -> Action {
    let action = match asked.what {
        ActionWhat::Redirect { url } => Action::redirect(url),
        ActionWhat::Fingerprint { url, client_secret } => Action::new(ActionKind::ThreeDsFingerprint)
            .with("url", url)
            .with_secret("client_secret", client_secret),
        ActionWhat::Voucher { number } => Action::new(ActionKind::Voucher).with("number", number),
        ActionWhat::Transfer { account, text } => Action::new(ActionKind::TransferInstructions)
            .with("account", account)
            .with("text", text),
    };
    action.expires_at(asked.expires_at)
}

pub(crate) fn refund(object: OperationObject) -> Result<RefundReport, CallError> {
    let echo = object.echo();
    match object.state {
        OperationState::Done => Ok(RefundReport::Refunded(object.id.into(), echo)),
        OperationState::Pending => Ok(RefundReport::Pending(object.id.into(), echo)),
        OperationState::Failed => Ok(RefundReport::Failed(DECLINES.map(&object.code()?))),
        OperationState::Settled => Err(CallError::unknown("refunds don't settle")),
    }
}

impl PaymentObject {
    fn echo(&self) -> Echo {
        let echo = Echo::none().amount(self.amount);
        match &self.reference {
            Some(reference) => echo.reference(reference),
            None => echo,
        }
    }
}

impl OperationObject {
    fn echo(&self) -> Echo {
        let echo = Echo::none().amount(self.amount);
        match &self.reference {
            Some(reference) => echo.reference(reference),
            None => echo,
        }
    }

    fn code(self) -> Result<String, CallError> {
        self.code
            .ok_or(CallError::unknown("a decline without its reason"))
    }
}
