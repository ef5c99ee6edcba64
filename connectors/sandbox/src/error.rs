//! What the processor's statuses prove, and what its words for a decline mean.

use paymux_core::connector::{CallError, Response, StatusTable};
use paymux_core::{DeclineCode, DeclineKind, DeclineTable};

use serde_json::{Map, Value};

/// The processor's statuses, as the crate's documentation lists them.
pub(crate) const STATUSES: StatusTable = StatusTable::new()
    .answers(&[200, 201, 402])
    .refuses(
        &[400, 401, 404, 422, 429],
        "paymux-sandbox's documentation, `Statuses`",
    )
    .refusal_body(|answer| own_error(answer).is_ok());

/// What the processor's own error names: an object of that alone. Deriving would take a list for one.
pub(crate) fn own_error(answer: &Response) -> Result<String, CallError> {
    let body: Map<String, Value> = answer.json()?;
    match (body.len(), body.get("error")) {
        (1, Some(Value::String(error))) => Ok(error.clone()),
        (_, Some(_) | None) => Err(CallError::unknown("an error that isn't the processor's")),
    }
}

/// The processor's words for a decline.
pub(crate) const DECLINES: DeclineTable = DeclineTable::of(&[
    (
        "insufficient_funds",
        DeclineCode::InsufficientFunds,
        DeclineKind::Soft,
    ),
    ("do_not_honor", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("try_again_later", DeclineCode::TryAgainLater, DeclineKind::Soft),
    (
        "issuer_unavailable",
        DeclineCode::IssuerUnavailable,
        DeclineKind::Soft,
    ),
    ("stolen_card", DeclineCode::StolenCard, DeclineKind::Hard),
    ("lost_card", DeclineCode::LostCard, DeclineKind::Hard),
    ("expired_card", DeclineCode::ExpiredCard, DeclineKind::Hard),
    ("incorrect_cvc", DeclineCode::IncorrectCvc, DeclineKind::Hard),
    (
        "incorrect_number",
        DeclineCode::IncorrectNumber,
        DeclineKind::Hard,
    ),
    ("fraudulent", DeclineCode::Fraudulent, DeclineKind::Hard),
    (
        "authentication_required",
        DeclineCode::AuthenticationRequired,
        DeclineKind::AuthenticationRequired,
    ),
    (
        "authentication_failed",
        DeclineCode::AuthenticationFailed,
        DeclineKind::Hard,
    ),
    ("payer_cancelled", DeclineCode::PayerCancelled, DeclineKind::Hard),
    ("payer_timed_out", DeclineCode::PayerTimedOut, DeclineKind::Hard),
    ("bank_refused", DeclineCode::BankRefused, DeclineKind::Hard),
    ("account_closed", DeclineCode::InvalidAccount, DeclineKind::Hard),
    ("not_permitted", DeclineCode::NotPermitted, DeclineKind::Hard),
]);
