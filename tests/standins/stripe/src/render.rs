//! Answers, as Stripe writes them.

use serde_json::{Value, json};

use crate::book::{Book, Charge, Intent, Refund};

/// An answer, and whether the execution of its endpoint began: only then does a key keep it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) began: bool,
    pub(crate) replayed: bool,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body,
            began: true,
            replayed: false,
        }
    }

    /// The same, where execution had begun.
    pub(crate) fn begun(mut self) -> Self {
        self.began = true;
        self
    }

    pub(crate) fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// With something beside the error's own fields.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.body["error"][name] = value;
        self
    }
}

/// docs.stripe.com/api/errors; of a request whose execution didn't begin.
pub(crate) fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Answer {
    let mut error = json!({ "type": kind, "message": message });
    if let Some(code) = code {
        error["code"] = code.into();
    }
    Answer {
        status,
        body: json!({ "error": error }),
        began: false,
        replayed: false,
    }
}

pub(crate) fn invalid(code: Option<&str>, message: &str) -> Answer {
    error(400, "invalid_request_error", code, message)
}

pub(crate) fn missing(what: &str, id: &str) -> Answer {
    error(
        404,
        "invalid_request_error",
        Some("resource_missing"),
        &format!("No such {what}: '{id}'"),
    )
}

/// docs.stripe.com/api/payment_intents/object
pub(crate) fn intent(book: &Book, intent: &Intent, expand: Expand) -> Value {
    let charge = intent
        .latest_charge
        .as_deref()
        .and_then(|id| book.charges.get(id));
    json!({
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": intent.capturable,
        "amount_received": intent.received,
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": intent.capture_method,
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "customer": intent.customer,
        "description": intent.description,
        "last_payment_error": intent.last_payment_error,
        "latest_charge": match (charge, expand) {
            (Some(charge), Expand::LatestCharge) => self::charge(intent, charge),
            (Some(charge), Expand::Nothing) => charge.id.as_str().into(),
            (None, _) => Value::Null,
        },
        "livemode": false,
        "metadata": intent.metadata,
        "next_action": intent.next_action,
        "payment_method": intent.payment_method,
        "payment_method_types": ["card"],
        "statement_descriptor_suffix": intent.statement_descriptor_suffix,
        "status": intent.status.as_str(),
    })
}

/// Which parts of an object are written out (docs.stripe.com/api/expanding_objects).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expand {
    Nothing,
    LatestCharge,
}

/// docs.stripe.com/api/charges/object
pub(crate) fn charge(intent: &Intent, charge: &Charge) -> Value {
    let status = |granted: bool| json!({ "status": if granted { "available" } else { "unavailable" } });
    json!({
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.captured,
        "amount_refunded": charge.refunded,
        "captured": charge.captured > 0,
        "created": charge.created,
        "currency": intent.currency,
        "failure_code": charge.failure_code,
        "metadata": intent.metadata,
        "paid": charge.approved,
        "payment_intent": intent.id,
        "payment_method": intent.payment_method,
        "payment_method_details": { "type": "card", "card": {
            "brand": "visa",
            "last4": "4242",
            "capture_before": (intent.capturable > 0).then_some(charge.created + 7 * 24 * 3600),
            "multicapture": status(intent.multicapture),
            "incremental_authorization": status(intent.incremental),
            "overcapture": { "status": "unavailable", "maximum_amount_capturable": charge.amount },
            "network_transaction_id": format!("nti_{}", charge.id),
            "three_d_secure": charge.authenticated.then(|| json!({
                "authentication_flow": "challenge", "electronic_commerce_indicator": "05", "result": "authenticated",
                "transaction_id": format!("ds_{}", charge.id), "version": "2.2.0",
            })),
        } },
        "refunded": charge.refunded > 0 && charge.refunded == charge.captured,
        "status": if charge.approved { "succeeded" } else { "failed" },
    })
}

/// docs.stripe.com/api/refunds/object
pub(crate) fn refund(refund: &Refund) -> Value {
    let mut body = json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "charge": refund.charge,
        "created": refund.created,
        "currency": refund.currency,
        "metadata": refund.metadata,
        "payment_intent": refund.intent,
        "reason": refund.reason,
        "status": refund.status.as_str(),
    });
    if let Some(reason) = refund.failure_reason {
        body["failure_reason"] = reason.into();
    }
    body
}
