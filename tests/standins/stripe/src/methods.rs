//! The test cards of docs.stripe.com/testing, by the names that stand for them.

/// How a test card behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) authentication: Authenticates,
    /// The decline, as code and decline code, once it is charged.
    pub(crate) declines: Option<(&'static str, Option<&'static str>)>,
    pub(crate) refunds: Refunds,
}

/// When the card wants the payer to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authenticates {
    Never,
    IfRequested,
    Always,
    /// On session alone: it was set up for payments without the payer.
    OnSession,
}

/// What becomes of a refund to the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refunds {
    AtOnce,
    /// Pending, and succeeds later.
    Later,
    /// Succeeds, and fails later.
    FailLater,
}

/// The card that a PaymentMethod (`pm_card_…`) or a token (`tok_…`) stands for.
pub(crate) fn card(name: &str) -> Option<Card> {
    let name = name
        .strip_prefix("pm_card_")
        .or_else(|| name.strip_prefix("tok_"))?;
    let plain = Card {
        authentication: Authenticates::Never,
        declines: None,
        refunds: Refunds::AtOnce,
    };
    let authenticates = |authentication| Card {
        authentication,
        ..plain
    };
    let declines = |code, decline_code| Card {
        declines: Some((code, decline_code)),
        ..plain
    };
    let declined = |reason| declines("card_declined", Some(reason));
    Some(match name {
        "visa" | "visa_debit" | "mastercard" | "mastercard_debit" | "mastercard_prepaid" | "amex"
        | "discover" | "diners" | "jcb" | "unionpay" => plain,
        "visa_chargeDeclined" | "chargeDeclined" | "chargeCustomerFail" => declined("generic_decline"),
        "visa_chargeDeclinedInsufficientFunds" | "chargeDeclinedInsufficientFunds" => {
            declined("insufficient_funds")
        }
        "visa_chargeDeclinedLostCard" | "chargeDeclinedLostCard" => declined("lost_card"),
        "visa_chargeDeclinedStolenCard" | "chargeDeclinedStolenCard" => declined("stolen_card"),
        "chargeDeclinedFraudulent" | "radarBlock" => declined("fraudulent"),
        "visa_chargeDeclinedVelocityLimitExceeded" | "chargeDeclinedVelocityLimitExceeded" => {
            declined("card_velocity_exceeded")
        }
        "chargeDeclinedExpiredCard" => declines("expired_card", None),
        "chargeDeclinedIncorrectCvc" => declines("incorrect_cvc", None),
        "chargeDeclinedProcessingError" => declines("processing_error", None),
        "threeDSecure2Required"
        | "threeDSecureRequired"
        | "authenticationRequired"
        | "authenticationRequiredOnSetup" => authenticates(Authenticates::Always),
        "authenticationRequiredSetupForOffSession" => authenticates(Authenticates::OnSession),
        "threeDSecureOptional" => authenticates(Authenticates::IfRequested),
        "threeDSecureRequiredChargeDeclined" => Card {
            authentication: Authenticates::Always,
            ..declined("generic_decline")
        },
        "authenticationRequiredChargeDeclinedInsufficientFunds" => Card {
            authentication: Authenticates::Always,
            ..declined("insufficient_funds")
        },
        "pendingRefund" => Card {
            refunds: Refunds::Later,
            ..plain
        },
        "refundFail" => Card {
            refunds: Refunds::FailLater,
            ..plain
        },
        _ => return None,
    })
}
