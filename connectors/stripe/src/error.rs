//! Which status proves what, and what each of Stripe's words for a decline means.

use paymux_core::connector::prelude::*;
use paymux_core::{CardNetwork, NetworkAdvice, RetryInstruction};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::wire::{AdviceCode, ApiError, Charge, NetworkWords};

/// docs.stripe.com/api/errors: 200 and 402 come with what happened. A request that fails validation, lacks permission,
/// names nothing or runs into a limit isn't executed, and Stripe saves no result for its key
/// (docs.stripe.com/api/idempotent_requests, docs.stripe.com/rate-limits).
/// A status proves something only with Stripe's own error beneath it: what stands between may answer 403 or 404 too.
const STATUSES: StatusTable = StatusTable::new()
    .answers(&[200, 402])
    .refuses(&[400, 401, 403, 404, 429], "docs.stripe.com/api/errors")
    .refusal_body(|answer| own_error(answer).is_ok_and(|error| about_the_request(&error)));

/// The types of error that say something about the request itself. `idempotency_error` speaks of the key, and of what
/// became of the first request with it says nothing; `api_error` is Stripe's own trouble.
const ABOUT_THE_REQUEST: &[&str] = &[
    "invalid_request_error",
    "authentication_error",
    "rate_limit_error",
    "card_error",
];

/// What an answer is, where it says what happened.
pub(crate) enum Answer<T> {
    Object(T),
    Declined(Decline),
}

/// Reads an answer: an object, an authoritative no, a proof that nothing was executed, or a doubt.
pub(crate) fn read<T: DeserializeOwned>(answer: &Response) -> Result<Answer<T>, CallError> {
    match answer.status().as_u16() {
        200 => STATUSES.read(answer).map(Answer::Object),
        402 => {
            let error = own_error(answer)?;
            if about_the_request(&error) {
                Ok(Answer::Declined(decline(&error, None)))
            } else {
                Err(CallError::unknown(
                    "status 402 with an error that isn't a decline",
                ))
            }
        }
        _ => Err(STATUSES.error(answer)),
    }
}

/// As [`read`], for a confirmation. That the payment isn't in a state to be confirmed is no proof there: it may be in
/// that state because an earlier confirmation went through, so it is read again.
pub(crate) fn read_confirmation<T: DeserializeOwned>(answer: &Response) -> Result<Answer<T>, CallError> {
    let unexpected = |error: ApiError| error.code.as_deref() == Some("payment_intent_unexpected_state");
    if answer.status().as_u16() != 200 && own_error(answer).is_ok_and(unexpected) {
        return Err(CallError::unknown("the payment isn't in a state to be confirmed"));
    }
    read(answer)
}

/// As [`read`], for reads: `None` where there is nothing of that identifier.
pub(crate) fn read_existing<T: DeserializeOwned>(answer: &Response) -> Result<Option<T>, CallError> {
    if answer.status().as_u16() == 404 && STATUSES.prove(answer).is_some() {
        return Ok(None);
    }
    match read(answer)? {
        Answer::Object(object) => Ok(Some(object)),
        Answer::Declined(_) => Err(CallError::unknown("a read was declined")),
    }
}

/// Stripe's error: an object in an object. Deriving alone would take lists for them, as somebody else may write one.
fn own_error(answer: &Response) -> Result<ApiError, CallError> {
    let mut body: Map<String, Value> = answer.json()?;
    let error = body.remove("error").filter(Value::is_object);
    error
        .and_then(|error| serde_json::from_value(error).ok())
        .ok_or_else(|| CallError::unknown("an error that isn't Stripe's"))
}

fn about_the_request(error: &ApiError) -> bool {
    error
        .kind
        .as_deref()
        .is_some_and(|kind| ABOUT_THE_REQUEST.contains(&kind))
}

/// The decline that an error stands for: by the issuer's code where there is one. What the network said of it is on the
/// error, and on its charge where that is at hand.
pub(crate) fn decline(error: &ApiError, latest: Option<&Charge>) -> Decline {
    let word = error.decline_code.as_deref().or(error.code.as_deref());
    let decline = DECLINES.map(word.unwrap_or("card_declined"));
    let charge = latest.filter(|charge| charge.id.is_some() && charge.id == error.charge);
    match network_advice(error, charge) {
        Some(said) => decline.with_network(said),
        None => decline,
    }
}

/// What the network said, if it said anything.
fn network_advice(error: &ApiError, charge: Option<&Charge>) -> Option<NetworkAdvice> {
    let on_charge = charge.and_then(|charge| charge.outcome.as_ref());
    let word = |field: fn(&NetworkWords) -> Option<&str>| field(&error.network).or_else(|| field(on_charge?));
    let response = word(|words| words.network_decline_code.as_deref());
    let advice = word(|words| words.network_advice_code.as_deref());
    let instruction = error.network.advice_code.or_else(|| on_charge?.advice_code);
    if response.is_none() && advice.is_none() && instruction.is_none() {
        return None;
    }
    let mut said = NetworkAdvice::of(network(error, charge));
    if let Some(word) = response {
        said = said.response_code(word);
    }
    if let Some(word) = advice {
        said = said.advice_code(word);
    }
    if let Some(code) = instruction {
        said = said.instruction(match code {
            AdviceCode::ConfirmCardData => RetryInstruction::ConfirmCardData,
            AdviceCode::DoNotTryAgain => RetryInstruction::DoNotTryAgain,
            AdviceCode::TryAgainLater => RetryInstruction::TryAgainLater,
        });
    }
    Some(said)
}

/// The network that the charge went through, else the brand of the card.
fn network(error: &ApiError, charge: Option<&Charge>) -> CardNetwork {
    let details = charge.and_then(|charge| charge.payment_method_details.as_ref());
    let charged = details.and_then(|details| details.card.as_ref());
    let failed = error
        .payment_method
        .as_ref()
        .and_then(|method| method.card.as_ref());
    let word = charged
        .and_then(|card| card.network.as_deref().or(card.brand.as_deref()))
        .or(failed.map(|card| card.brand.as_str()));
    word.map_or(CardNetwork::Other, CardNetwork::named)
}

/// The decline that a failed refund's reason stands for.
pub(crate) fn refund_failure(reason: Option<&str>) -> Decline {
    REFUND_FAILURES.map(reason.unwrap_or("unknown"))
}

use DeclineCode as Code;
use DeclineKind::{AuthenticationRequired, Hard, Soft};

/// docs.stripe.com/declines/codes, then the error codes that come without one (docs.stripe.com/error-codes).
#[rustfmt::skip]
const DECLINES: DeclineTable = DeclineTable::of(&[
    ("authentication_required", Code::AuthenticationRequired, AuthenticationRequired),
    ("authentication_not_handled", Code::AuthenticationRequired, AuthenticationRequired),
    ("approve_with_id", Code::CallIssuer, Soft),
    ("call_issuer", Code::CallIssuer, Hard),
    ("card_not_supported", Code::CardNotSupported, Hard),
    ("card_velocity_exceeded", Code::CardVelocityExceeded, Soft),
    ("currency_not_supported", Code::CurrencyNotSupported, Hard),
    ("do_not_honor", Code::DoNotHonor, Soft),
    ("do_not_try_again", Code::DoNotTryAgain, Hard),
    ("duplicate_transaction", Code::DuplicateTransaction, Hard),
    ("expired_card", Code::ExpiredCard, Hard),
    ("fraudulent", Code::Fraudulent, Hard),
    ("generic_decline", Code::GenericDecline, Soft),
    ("incorrect_address", Code::IncorrectAddress, Hard),
    ("incorrect_cvc", Code::IncorrectCvc, Hard),
    ("incorrect_number", Code::IncorrectNumber, Hard),
    ("incorrect_pin", Code::IncorrectPin, Hard),
    ("incorrect_zip", Code::IncorrectAddress, Hard),
    ("insufficient_funds", Code::InsufficientFunds, Soft),
    ("invalid_account", Code::InvalidAccount, Hard),
    ("invalid_amount", Code::InvalidAmount, Hard),
    ("invalid_cvc", Code::IncorrectCvc, Hard),
    ("invalid_expiry_month", Code::InvalidExpiry, Hard),
    ("invalid_expiry_year", Code::InvalidExpiry, Hard),
    ("invalid_number", Code::IncorrectNumber, Hard),
    ("invalid_pin", Code::IncorrectPin, Hard),
    ("issuer_not_available", Code::IssuerUnavailable, Soft),
    ("lost_card", Code::LostCard, Hard),
    ("merchant_blacklist", Code::MerchantBlocklist, Hard),
    ("mobile_device_authentication_required", Code::AuthenticationRequired, Hard),
    ("new_account_information_available", Code::NewAccountInformation, Hard),
    ("no_action_taken", Code::GenericDecline, Soft),
    ("not_permitted", Code::NotPermitted, Hard),
    ("offline_pin_required", Code::IncorrectPin, Hard),
    ("online_or_offline_pin_required", Code::IncorrectPin, Hard),
    ("pickup_card", Code::PickUpCard, Hard),
    ("pin_try_exceeded", Code::IncorrectPin, Hard),
    ("processing_error", Code::ProcessingError, Soft),
    ("reenter_transaction", Code::ReenterTransaction, Soft),
    ("restricted_card", Code::RestrictedCard, Hard),
    ("revocation_of_all_authorizations", Code::RevocationOfAuthorization, Hard),
    ("revocation_of_authorization", Code::RevocationOfAuthorization, Hard),
    ("security_violation", Code::SecurityViolation, Hard),
    ("service_not_allowed", Code::NotPermitted, Hard),
    ("stolen_card", Code::StolenCard, Hard),
    ("stop_payment_order", Code::RevocationOfAuthorization, Hard),
    ("testmode_decline", Code::TestModeMismatch, Hard),
    ("transaction_not_allowed", Code::NotPermitted, Hard),
    ("try_again_later", Code::TryAgainLater, Soft),
    ("withdrawal_count_limit_exceeded", Code::LimitExceeded, Soft),
    ("card_declined", Code::GenericDecline, Soft),
    ("card_decline_rate_limit_exceeded", Code::CardVelocityExceeded, Soft),
    ("charge_expired_for_capture", Code::GenericDecline, Hard),
    ("capture_charge_authorization_expired", Code::GenericDecline, Hard),
    ("payment_intent_authentication_failure", Code::AuthenticationFailed, Hard),
    ("payment_intent_mandate_invalid", Code::MandateInvalid, Hard),
    ("payment_intent_payment_attempt_expired", Code::PayerTimedOut, Hard),
    ("payment_intent_payment_attempt_failed", Code::GenericDecline, Soft),
    ("payment_method_customer_decline", Code::PayerCancelled, Hard),
    ("payment_method_not_available", Code::TryAgainLater, Soft),
    ("payment_method_provider_decline", Code::GenericDecline, Soft),
    ("payment_method_provider_timeout", Code::IssuerUnavailable, Soft),
]);

/// docs.stripe.com/refunds#failed-refunds
#[rustfmt::skip]
const REFUND_FAILURES: DeclineTable = DeclineTable::of(&[
    ("charge_for_pending_refund_disputed", Code::NotPermitted, Hard),
    ("declined", Code::BankRefused, Hard),
    ("expired_or_canceled_card", Code::ExpiredCard, Hard),
    ("insufficient_funds", Code::InsufficientFunds, Soft),
    ("lost_or_stolen_card", Code::InvalidAccount, Hard),
    ("merchant_request", Code::NotPermitted, Hard),
    ("unknown", Code::GenericDecline, Hard),
]);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_stands_twice_in_a_table() {
        for table in [DECLINES, REFUND_FAILURES] {
            let words: BTreeSet<_> = table.rows().iter().map(|(word, ..)| word).collect();
            assert_eq!(words.len(), table.rows().len());
        }
    }
}
