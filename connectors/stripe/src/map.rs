//! How each operation is asked, and how its answer is read.

mod params;
mod standing;

use paymux_core::connector::prelude::*;

use crate::config::{Stripe, Wanted};
use crate::error::{self, Answer};
use crate::wire::{self, Form, PaymentIntent, Status};
use params::{capture_method, method, refund_reason, shipping, statement_descriptor_suffix};

/// docs.stripe.com/api/payment_intents/create. Parameters are sent only where they are asked for.
impl Exchange<op::Prepare> for Stripe {
    fn request(&self, op: &op::Prepare, key: &StepKey) -> Result<Request, Unsendable> {
        let op::Prepare { authorize, .. } = op;
        if authorize.mode != IntentMode::Payment {
            return Err(Unsendable::field(
                "mode",
                "methods are kept and checked with payments alone",
            ));
        }
        let details = &authorize.details;
        let form = Form::new()
            .with("amount", wire::units(authorize.amount)?)
            .with(
                "currency",
                &*authorize.amount.currency().code().to_ascii_lowercase(),
            )
            .with("capture_method", capture_method(authorize.capture))
            .with("payment_method_types[]", "card")
            .with("metadata[paymux]", &*authorize.reference)
            .with("metadata[order]", details.merchant_reference.as_deref())
            .with("description", details.description.as_deref())
            .with(
                "statement_descriptor_suffix",
                statement_descriptor_suffix(details)?,
            );
        let form = method(form, &authorize.method)?;
        let form = self.card_options(form, authorize)?;
        let form = shipping(form, details);
        Ok(self.post("/v1/payment_intents".to_owned(), key, form))
    }

    fn report(&self, _: &op::Prepare, answer: &Response) -> Result<PrepareReport, CallError> {
        match error::read::<PaymentIntent>(answer)? {
            Answer::Object(intent) => {
                let echo = intent.insisted_echo(intent.amount)?;
                match intent.status {
                    Status::RequiresConfirmation => Ok(PrepareReport::Prepared(intent.id.into(), echo)),
                    status => Err(unexpected(status)),
                }
            }
            Answer::Declined(decline) => Ok(PrepareReport::Declined(decline)),
        }
    }
}

/// docs.stripe.com/api/payment_intents/confirm
impl Exchange<op::Execute> for Stripe {
    fn request(&self, op: &op::Execute, key: &StepKey) -> Result<Request, Unsendable> {
        let op::Execute {
            authorize, handle, ..
        } = op;
        let form = Form::new()
            .with("return_url", authorize.return_url.as_deref())
            .with("off_session", authorize.details.mit.as_ref().map(|_| "true"))
            .with("expand[]", "latest_charge");
        Ok(self.post(intent_path(handle, "/confirm")?, key, form))
    }

    fn report(&self, op: &op::Execute, answer: &Response) -> Result<AuthorizeReport, CallError> {
        let intent = match error::read_confirmation::<PaymentIntent>(answer)? {
            Answer::Object(intent) => intent.named(&op.handle)?,
            Answer::Declined(decline) => return Ok(AuthorizeReport::Declined(decline)),
        };
        intent.insisted_echo(intent.amount)?;
        match intent.status {
            Status::RequiresConfirmation => Err(unexpected(intent.status)),
            Status::RequiresPaymentMethod if intent.last_payment_error.is_none() => {
                Err(unexpected(intent.status))
            }
            Status::Succeeded => {
                let taken = intent.amount_received.unwrap_or(intent.amount);
                Ok(AuthorizeReport::Settled(intent.approval(taken)?))
            }
            Status::RequiresPaymentMethod
            | Status::RequiresAction
            | Status::Processing
            | Status::RequiresCapture
            | Status::Canceled => intent.report(),
        }
    }
}

/// docs.stripe.com/api/payment_intents/capture. The answer repeats the payment's totals and none of this capture's own
/// reference; the key tells one capture from another.
impl Exchange<op::Capture> for Stripe {
    fn request(&self, op: &op::Capture, key: &StepKey) -> Result<Request, Unsendable> {
        let keep = match (op.rest, self.multicapture) {
            (Rest::Release, _) => None,
            (Rest::Keep, Wanted::IfAvailable) => Some("false"),
            (Rest::Keep, Wanted::No) => {
                return Err(Unsendable::field(
                    "rest",
                    "more than one capture wasn't asked for at Stripe",
                ));
            }
        };
        let form = Form::new()
            .with("amount_to_capture", wire::units(op.amount)?)
            .with("final_capture", keep)
            .with("expand[]", "latest_charge");
        Ok(self.post(intent_path(&op.original, "/capture")?, key, form))
    }

    fn report(&self, op: &op::Capture, answer: &Response) -> Result<CaptureReport, CallError> {
        let intent = match error::read::<PaymentIntent>(answer)? {
            Answer::Object(intent) => intent.named(&op.original)?,
            Answer::Declined(decline) => return Ok(CaptureReport::Declined(decline)),
        };
        let echo = match intent
            .amount_received
            .map(|units| intent.money(units))
            .transpose()?
        {
            // Earlier captures are in the total.
            Some(total) if self.multicapture == Wanted::IfAvailable && total.minor() > op.amount.minor() => {
                Echo::none()
            }
            Some(total) => Echo::none().amount(total),
            None => Echo::none(),
        };
        let handle = Handle::from(intent.id.as_str());
        match (intent.status, op.rest) {
            (Status::Succeeded, _) | (Status::RequiresCapture, Rest::Keep) => {
                Ok(CaptureReport::Settled(handle, echo))
            }
            (Status::Processing, _) => Ok(CaptureReport::Pending(handle, Echo::none())),
            (status, _) => Err(unexpected(status)),
        }
    }
}

/// docs.stripe.com/api/payment_intents/increment_authorization
impl Exchange<op::Increment> for Stripe {
    fn request(&self, op: &op::Increment, key: &StepKey) -> Result<Request, Unsendable> {
        let form = Form::new()
            .with("amount", wire::units(op.total)?)
            .with("expand[]", "latest_charge");
        Ok(self.post(intent_path(&op.original, "/increment_authorization")?, key, form))
    }

    fn report(&self, op: &op::Increment, answer: &Response) -> Result<AuthorizeReport, CallError> {
        match error::read::<PaymentIntent>(answer)? {
            Answer::Object(intent) => {
                let intent = intent.named(&op.original)?;
                match intent.status {
                    Status::RequiresCapture => {
                        let mut approval = intent.approval(intent.amount)?;
                        // The object's reference is the payment's, not this operation's.
                        approval.echo = Echo::none().amount(intent.money(intent.amount)?);
                        Ok(AuthorizeReport::Authorized(approval))
                    }
                    status => Err(unexpected(status)),
                }
            }
            Answer::Declined(decline) => Ok(AuthorizeReport::Declined(decline)),
        }
    }
}

/// docs.stripe.com/api/payment_intents/cancel: gives back what isn't captured.
impl Exchange<op::Void> for Stripe {
    fn request(&self, op: &op::Void, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.post(intent_path(&op.original, "/cancel")?, key, Form::new()))
    }

    fn report(&self, op: &op::Void, answer: &Response) -> Result<CloseReport, CallError> {
        closed(&op.original, answer)
    }
}

/// docs.stripe.com/api/payment_intents/cancel
impl Exchange<op::Cancel> for Stripe {
    fn request(&self, op: &op::Cancel, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.post(intent_path(&op.original, "/cancel")?, key, Form::new()))
    }

    fn report(&self, op: &op::Cancel, answer: &Response) -> Result<CloseReport, CallError> {
        closed(&op.original, answer)
    }
}

/// docs.stripe.com/api/payment_intents/retrieve
impl Exchange<op::Read> for Stripe {
    fn request(&self, op: &op::Read, _: &StepKey) -> Result<Request, Unsendable> {
        let query = Form::new().with("expand[]", "latest_charge").finish();
        Ok(self.get(format!("{}?{query}", intent_path(&op.handle, "")?)))
    }

    fn report(&self, op: &op::Read, answer: &Response) -> Result<ReadReport, CallError> {
        match error::read_existing::<PaymentIntent>(answer)? {
            Some(intent) => {
                let standing = intent.named(&op.handle)?.standing(self.counted())?;
                Ok(ReadReport::Found(standing))
            }
            None => Ok(ReadReport::NotFound),
        }
    }
}

/// docs.stripe.com/api/refunds/create
impl Exchange<op::Refund> for Stripe {
    fn request(&self, op: &op::Refund, key: &StepKey) -> Result<Request, Unsendable> {
        let form = Form::new()
            .with("payment_intent", object_id(&op.original)?)
            .with("amount", wire::units(op.amount)?)
            .with("reason", refund_reason(&op.reason))
            .with("metadata[paymux]", &*op.reference);
        Ok(self.post("/v1/refunds".to_owned(), key, form))
    }

    fn report(&self, op: &op::Refund, answer: &Response) -> Result<RefundReport, CallError> {
        match error::read::<wire::Refund>(answer)? {
            Answer::Object(refund) => refund.report(&op.reference),
            Answer::Declined(decline) => Ok(RefundReport::Failed(decline)),
        }
    }
}

/// docs.stripe.com/api/refunds/retrieve
impl Exchange<op::ReadRefund> for Stripe {
    fn request(&self, op: &op::ReadRefund, _: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.get(format!("/v1/refunds/{}", object_id(&op.handle)?)))
    }

    fn report(&self, op: &op::ReadRefund, answer: &Response) -> Result<RefundReadReport, CallError> {
        match error::read_existing::<wire::Refund>(answer)? {
            Some(refund) if refund.id == op.handle.as_str() => {
                Ok(RefundReadReport::Found(refund.report(&op.reference)?))
            }
            Some(_) => Err(CallError::unknown("another refund than was asked for")),
            None => Ok(RefundReadReport::NotFound),
        }
    }
}

/// docs.stripe.com/api/refunds/list
impl Exchange<op::LookUpRefund> for Stripe {
    fn request(&self, op: &op::LookUpRefund, _: &StepKey) -> Result<Request, Unsendable> {
        let query = Form::new()
            .with("payment_intent", object_id(&op.original)?)
            .with("limit", 100)
            .finish();
        Ok(self.get(format!("/v1/refunds?{query}")))
    }

    fn report(&self, op: &op::LookUpRefund, answer: &Response) -> Result<RefundReadReport, CallError> {
        let Some(list) = error::read_existing::<wire::List<wire::Refund>>(answer)? else {
            return Ok(RefundReadReport::NotFound);
        };
        let mut ours = list
            .data
            .iter()
            .filter(|refund| refund.reference() == Some(op.reference.as_str()));
        match (ours.next(), ours.next(), list.has_more) {
            (Some(refund), None, _) => Ok(RefundReadReport::Found(refund.report(&op.reference)?)),
            (Some(_), Some(_), _) => Err(CallError::unknown("two refunds, one reference")),
            (None, _, true) => Err(CallError::unknown("more refunds than one page holds")),
            (None, _, false) => Ok(RefundReadReport::NotFound),
        }
    }
}

impl Stripe {
    fn post(&self, path: String, key: &StepKey, form: Form) -> Request {
        let request = Request::post(format!("{}{path}", self.base))
            .header("idempotency-key", key.as_str())
            .body("application/x-www-form-urlencoded", form.finish());
        self.signed(request)
    }

    fn get(&self, path: String) -> Request {
        self.signed(Request::get(format!("{}{path}", self.base)))
    }

    fn signed(&self, request: Request) -> Request {
        let request = request
            .bearer(&self.secret)
            .header("stripe-version", &self.version);
        match &self.connected {
            Some(account) => request.header("stripe-account", account),
            None => request,
        }
    }
}

/// What became of a cancel. After a part was captured Stripe says `succeeded` of it, with nothing left to capture
/// (docs.stripe.com/payments/multicapture).
fn closed(original: &Handle, answer: &Response) -> Result<CloseReport, CallError> {
    let intent = match error::read::<PaymentIntent>(answer)? {
        Answer::Object(intent) => intent.named(original)?,
        Answer::Declined(decline) => return Ok(CloseReport::Refused(decline)),
    };
    match (intent.status, intent.amount_capturable) {
        (Status::Canceled, _) | (Status::Succeeded, Some(0)) => {
            Ok(CloseReport::Closed(original.clone(), Echo::none()))
        }
        (status, _) => Err(unexpected(status)),
    }
}

fn unexpected(status: Status) -> CallError {
    CallError::unknown(format!("status {status:?} in answer to this call"))
}

fn intent_path(handle: &Handle, verb: &str) -> Result<String, Unsendable> {
    Ok(format!("/v1/payment_intents/{}{verb}", object_id(handle)?))
}

/// An identifier as Stripe writes it: it stands in paths.
fn object_id(handle: &Handle) -> Result<&str, Unsendable> {
    let id = handle.as_str();
    if !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        Ok(id)
    } else {
        Err(Unsendable::field("handle", "not an identifier of Stripe's"))
    }
}
