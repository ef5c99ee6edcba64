//! The magic tokens: what a payment method names decides how the processor treats it.

use std::time::Duration;

use crate::fault::FaultKind;

macro_rules! magic {
    ($($(#[$doc:meta])* $variant:ident = $token:literal;)*) => {
        /// The tokens that the processor treats specially, as the crate's documentation lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Magic { $($(#[$doc])* $variant,)* }

        impl Magic {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The token, as a card's token or another method's name.
            pub const fn token(self) -> &'static str {
                match self { $(Self::$variant => $token),* }
            }
        }
    };
}

magic! {
    /// Approved.
    Approve = "tok_approve";
    /// Declined: `insufficient_funds`, soft.
    DeclineInsufficientFunds = "tok_decline_insufficient_funds";
    /// Declined: `do_not_honor`, soft.
    DeclineDoNotHonor = "tok_decline_do_not_honor";
    /// Declined: `try_again_later`, soft.
    DeclineTryAgainLater = "tok_decline_try_again_later";
    /// Declined: `issuer_unavailable`, soft.
    DeclineIssuerUnavailable = "tok_decline_issuer_unavailable";
    /// Declined: `stolen_card`, hard.
    DeclineStolenCard = "tok_decline_stolen_card";
    /// Declined: `lost_card`, hard.
    DeclineLostCard = "tok_decline_lost_card";
    /// Declined: `expired_card`, hard.
    DeclineExpiredCard = "tok_decline_expired_card";
    /// Declined: `incorrect_cvc`, hard.
    DeclineIncorrectCvc = "tok_decline_incorrect_cvc";
    /// Declined: `fraudulent`, hard.
    DeclineFraudulent = "tok_decline_fraudulent";
    /// Declined with a word that the connector doesn't know.
    DeclineUnmapped = "tok_decline_unmapped";
    /// Declined until it is asked with a challenge; then challenged, then approved.
    AuthenticationRequired = "tok_authentication_required";
    /// A bank's page, then approved.
    Redirect = "tok_redirect";
    /// A fingerprint, then a challenge, then approved.
    FingerprintThenChallenge = "tok_fingerprint_then_challenge";
    /// Accepted; an hour later taken and settled.
    PendingThenSettled = "tok_pending_then_settled";
    /// Accepted; an hour later declined.
    PendingThenDeclined = "tok_pending_then_declined";
    /// 60 % is held.
    PartiallyAuthorized = "tok_partially_authorized";
    /// Approved; a capture is accepted and fails three days later.
    CaptureFailsLater = "tok_capture_fails_later";
    /// Approved; a capture is declined.
    CaptureDeclined = "tok_capture_declined";
    /// Approved; the first answer is lost.
    ChargedAnswerLost = "tok_charged_answer_lost";
    /// The first send is lost.
    RequestLost = "tok_request_lost";
    /// Approved; the first answer is a 500.
    ServerErrorThoughCharged = "tok_500_though_charged";
    /// The first send is answered with a 500 and does nothing.
    ServerErrorNotCharged = "tok_500_not_charged";
    /// Refused with 422.
    Refused = "tok_refused";
    /// Refused with 401.
    RefusedUnauthorized = "tok_refused_unauthorized";
    /// Refused with 429.
    RateLimited = "tok_rate_limited";
    /// Never leaves.
    NotSent = "tok_not_sent";
    /// Approved; the first answer is cut short.
    UnreadableAnswer = "tok_unreadable_answer";
    /// Approved; the first answer names one minor unit more.
    AmountAltered = "tok_amount_altered";
    /// Approved; a void is refused.
    VoidRefused = "tok_void_refused";
    /// Approved; a refund is accepted and completes an hour later.
    RefundPending = "tok_refund_pending";
    /// Approved; a refund fails at once.
    RefundFails = "tok_refund_fails";
    /// Approved; a refund completes, and fails three days later.
    RefundFailsLater = "tok_refund_fails_later";
    /// Approved; each webhook comes twice.
    WebhookDuplicate = "tok_webhook_duplicate";
    /// Approved; webhooks come latest first.
    WebhookReordered = "tok_webhook_reordered";
    /// Approved; the first send takes 30 seconds.
    Slow = "tok_slow";
}

/// Which sends of a step a fault falls on.
enum Sends {
    First,
    Each,
}

impl Magic {
    /// The magic that `token` has, if any.
    pub fn of(token: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|magic| magic.token() == token)
    }

    /// The processor's word for a decline at once.
    pub(crate) fn decline(self) -> Option<&'static str> {
        match self {
            Self::DeclineInsufficientFunds => Some("insufficient_funds"),
            Self::DeclineDoNotHonor => Some("do_not_honor"),
            Self::DeclineTryAgainLater => Some("try_again_later"),
            Self::DeclineIssuerUnavailable => Some("issuer_unavailable"),
            Self::DeclineStolenCard => Some("stolen_card"),
            Self::DeclineLostCard => Some("lost_card"),
            Self::DeclineExpiredCard => Some("expired_card"),
            Self::DeclineIncorrectCvc => Some("incorrect_cvc"),
            Self::DeclineFraudulent => Some("fraudulent"),
            Self::DeclineUnmapped => Some("reason_4711"),
            _ => None,
        }
    }

    /// What befalls a send of the step that executes the payment; `earlier` equal sends went before it.
    pub(crate) fn fault(self, earlier: usize) -> Option<FaultKind> {
        let (sends, fault) = match self {
            Self::ChargedAnswerLost => (Sends::First, FaultKind::DropAnswer),
            Self::RequestLost => (Sends::First, FaultKind::DropRequest),
            Self::ServerErrorThoughCharged => (Sends::First, FaultKind::ServerErrorAfter),
            Self::ServerErrorNotCharged => (Sends::First, FaultKind::ServerErrorBefore),
            Self::UnreadableAnswer => (Sends::First, FaultKind::Truncate),
            Self::AmountAltered => (Sends::First, FaultKind::AlterAmount),
            Self::Slow => (Sends::First, FaultKind::Slow(Duration::from_secs(30))),
            Self::Refused => (Sends::Each, FaultKind::Refuse(422)),
            Self::RefusedUnauthorized => (Sends::Each, FaultKind::Refuse(401)),
            Self::RateLimited => (Sends::Each, FaultKind::Refuse(429)),
            Self::NotSent => (Sends::Each, FaultKind::NotSent),
            _ => return None,
        };
        match sends {
            Sends::First => (earlier == 0).then_some(fault),
            Sends::Each => Some(fault),
        }
    }
}
