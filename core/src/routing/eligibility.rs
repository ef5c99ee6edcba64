//! Which accounts can take a payment at all. Asked before any rule: no rule sends a payment where it can't go.

use crate::connector::Connector;
use crate::intent::{CaptureMethod, Challenge, IntentDetails, Need};
use crate::method::PaymentMethod;
use crate::money::Money;

/// What a payment asks of the account that takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) amount: Money,
    pub(crate) method: &'a PaymentMethod,
    pub(crate) capture: CaptureMethod,
    pub(crate) challenge: Challenge,
    pub(crate) details: &'a IntentDetails,
}

/// Whether an account takes such a payment, by its slots and limits, and what is asked of it later on.
///
/// # Errors
/// Why it doesn't.
pub(crate) fn eligible(connector: &Connector, asked: &Asked<'_>) -> Result<(), String> {
    let limits = connector.capabilities();
    if let Some(owner) = asked
        .method
        .issued_by()
        .filter(|owner| *owner != connector.account())
    {
        return Err(format!("method: the token is {owner}'s, and good there alone"));
    }
    if connector.authorize.is_none() {
        return Err("it doesn't authorize".to_owned());
    }
    let needs_capture = asked.capture == CaptureMethod::Manual && asked.amount.minor() > 0;
    if needs_capture && connector.capture.is_none() {
        return Err("it doesn't capture".to_owned());
    }
    if asked.details.mit.is_some() && !limits.mit.is_offered() {
        return Err("it doesn't take payments that the merchant initiates".to_owned());
    }
    if asked.challenge == Challenge::Required && !limits.three_d_secure.is_offered() {
        return Err("challenge: it doesn't authenticate payers (3-D Secure)".to_owned());
    }
    if let Some(network) = asked.method.card().and_then(|card| card.network.as_deref())
        && limits
            .networks
            .as_ref()
            .is_some_and(|taken| !taken.contains(network))
    {
        return Err(format!("method.card.network: {network} isn't taken"));
    }
    let country = asked.details.payer.country.as_ref();
    if let Some(country) = country.and_then(|text| text.parse().ok())
        && limits
            .payer_countries
            .as_ref()
            .is_some_and(|taken| !taken.contains(&country))
    {
        return Err(format!("payer.country: payers in {country} aren't taken"));
    }
    if let Some(need) = asked
        .details
        .routing
        .needs
        .iter()
        .find(|need| !offers(connector, **need))
    {
        return Err(format!("needs: it doesn't offer {}", words(*need)));
    }
    limits
        .admit(asked.amount, asked.method, asked.capture)
        .map_err(|unsendable| format!("{}: {}", unsendable.0.field, unsendable.0.problem))
}

/// Whether an account offers what a payment will need later on.
fn offers(connector: &Connector, need: Need) -> bool {
    let limits = connector.capabilities();
    match need {
        Need::PartialCapture => connector.capture.is_some() && limits.partial_capture.is_offered(),
        Need::Multicapture => connector.capture.is_some() && limits.multicapture.is_offered(),
        Need::Increment => connector.increment.is_some(),
        Need::Void => connector.void.is_some(),
        Need::Refund => connector.refund.is_some(),
        Need::PartialRefund => connector.refund.is_some() && limits.partial_refund.is_offered(),
    }
}

fn words(need: Need) -> &'static str {
    match need {
        Need::PartialCapture => "partial captures",
        Need::Multicapture => "more than one capture",
        Need::Increment => "increments",
        Need::Void => "voids",
        Need::Refund => "refunds",
        Need::PartialRefund => "partial refunds",
    }
}
