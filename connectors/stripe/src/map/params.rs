//! Parameters that are sent only where they are asked for.

use paymux_core::connector::prelude::*;
use paymux_core::{Address, Exemption, IntentDetails, RefundReason};

use crate::config::{Stripe, Wanted};
use crate::wire::Form;

impl Stripe {
    /// docs.stripe.com/api/payment_intents/create, `payment_method_options.card`. Exemptions other than mail and
    /// telephone orders are Stripe's own to ask for (docs.stripe.com/strong-customer-authentication/sca-exemptions).
    pub(super) fn card_options(&self, form: Form, authorize: &op::Authorize) -> Result<Form, Unsendable> {
        let sca = &authorize.details.sca;
        if sca.external_3ds.is_some() {
            return Err(Unsendable::field(
                "sca.external_3ds",
                "Stripe takes it with a cryptogram alone, which isn't kept",
            ));
        }
        let challenge = match authorize.challenge {
            Challenge::AsNeeded => None,
            Challenge::Required => Some("challenge"),
        };
        let moto = (sca.exemption == Some(Exemption::Moto)).then_some("true");
        let manual = authorize.capture == CaptureMethod::Manual;
        let if_available = |wanted| (manual && wanted == Wanted::IfAvailable).then_some("if_available");
        Ok(form
            .with("payment_method_options[card][request_three_d_secure]", challenge)
            .with("payment_method_options[card][moto]", moto)
            .with(
                "payment_method_options[card][request_multicapture]",
                if_available(self.multicapture),
            )
            .with(
                "payment_method_options[card][request_incremental_authorization]",
                if_available(self.incremental),
            ))
    }
}

pub(super) fn capture_method(method: CaptureMethod) -> &'static str {
    match method {
        CaptureMethod::Automatic => "automatic",
        CaptureMethod::Manual => "manual",
    }
}

/// How the payer pays: a card token is a PaymentMethod's identifier (`pm_…`; older ones `card_…` and `src_…`) or a
/// token's (`tok_…`). A method kept with one of Stripe's customers needs that customer as well:
/// `Provider { kind: "stripe", data: {"payment_method": "pm_…", "customer": "cus_…"} }`.
pub(super) fn method(form: Form, method: &PaymentMethod) -> Result<Form, Unsendable> {
    let unfit = |problem: &str| Unsendable::field("method", problem);
    match method {
        PaymentMethod::CardToken { token, .. } if token.starts_with("tok_") => Ok(form
            .with("payment_method_data[type]", "card")
            .with("payment_method_data[card][token]", &**token)),
        PaymentMethod::CardToken { token, .. }
            if ["pm_", "card_", "src_"]
                .iter()
                .any(|prefix| token.starts_with(prefix)) =>
        {
            Ok(form.with("payment_method", &**token))
        }
        PaymentMethod::CardToken { .. } => Err(unfit("not an identifier of Stripe's: pm_… or tok_…")),
        PaymentMethod::Provider { kind, data } if kind == "stripe" => {
            let text = |name: &str| data.get(name).and_then(|value| value.as_str());
            let payment_method =
                text("payment_method").ok_or_else(|| unfit("`payment_method` is missing"))?;
            Ok(form
                .with("payment_method", payment_method)
                .with("customer", text("customer")))
        }
        _ => Err(unfit("Stripe takes card tokens here")),
    }
}

/// At most 22 characters with the account's own prefix, and none of `< > \ ' " *`
/// (docs.stripe.com/get-started/account/statement-descriptors).
pub(super) fn statement_descriptor_suffix(details: &IntentDetails) -> Result<Option<&str>, Unsendable> {
    let Some(text) = details.statement_descriptor.as_deref() else {
        return Ok(None);
    };
    let allowed = |c: char| (c.is_ascii_graphic() || c == ' ') && !"<>\\'\"*".contains(c);
    if text.len() <= 22 && text.chars().all(allowed) && text.chars().any(|c| c.is_ascii_alphabetic()) {
        Ok(Some(text))
    } else {
        Err(Unsendable::field(
            "statement_descriptor",
            "Stripe takes at most 22 Latin characters, with a letter and without < > \\ ' \" *",
        ))
    }
}

/// Where the goods go, if there is a name to it: Stripe takes no address without one.
pub(super) fn shipping(form: Form, details: &IntentDetails) -> Form {
    let Some(address) = &details.shipping else {
        return form;
    };
    let Some(name) = address.name.as_deref().or(details.payer.name.as_deref()) else {
        return form;
    };
    let Address {
        line1,
        line2,
        city,
        state,
        postal_code,
        country,
        ..
    } = address;
    form.with("shipping[name]", name)
        .with("shipping[phone]", details.payer.phone.as_deref())
        .with("shipping[address][line1]", line1.as_deref())
        .with("shipping[address][line2]", line2.as_deref())
        .with("shipping[address][city]", city.as_deref())
        .with("shipping[address][state]", state.as_deref())
        .with("shipping[address][postal_code]", postal_code.as_deref())
        .with("shipping[address][country]", country.as_deref())
}

/// Stripe knows three reasons. `fraudulent` also puts the card on the account's block list
/// (docs.stripe.com/api/refunds/create); what fits none is left out.
pub(super) fn refund_reason(reason: &RefundReason) -> Option<&'static str> {
    match reason {
        RefundReason::DuplicateOrder => Some("duplicate"),
        RefundReason::Fraudulent => Some("fraudulent"),
        RefundReason::RequestedByCustomer | RefundReason::GoodsReturned | RefundReason::OrderCancelled => {
            Some("requested_by_customer")
        }
        _ => None,
    }
}
