//! Why a processor or an issuer said no, in one vocabulary, and what may follow.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::retry::{CardNetwork, Correction, NetworkAdvice, RetryRule};

/// What sort of no it is: it decides whether another processor may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineKind {
    /// May pass elsewhere or later: a cascade may go on.
    Soft,
    /// Will not pass with this method.
    Hard,
    /// Passes once the payer has authenticated (SCA): the same account again, with a challenge.
    AuthenticationRequired,
}

/// What the host should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineAdvice {
    /// Ask the payer for another method.
    TryAnotherMethod,
    /// The same method may pass later.
    TryLater {
        /// How long to wait at least.
        #[serde(with = "crate::time::duration_ms")]
        after: Duration,
    },
    /// Let the payer authenticate.
    Authenticate,
    /// Don't try this payment again.
    GiveUp,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $kind:ident, $advice:ident;)*) => {
        /// The reason of a decline. What a processor says beside it stays in [`Decline::network_code`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum DeclineCode { $($(#[$doc])* #[serde(rename = $word)] $variant,)* }

        impl DeclineCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable word for this code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// What sort of no it usually is; a connector's own table may know better.
            pub const fn usual_kind(self) -> DeclineKind {
                match self { $(Self::$variant => DeclineKind::$kind),* }
            }

            const fn usual_advice(self) -> DeclineAdvice {
                match self { $(Self::$variant => advice::$advice),* }
            }
        }
    };
}

#[allow(
    non_upper_case_globals,
    reason = "named as the column of the table below reads"
)]
mod advice {
    use super::{DeclineAdvice, Duration};

    pub(super) const Other: DeclineAdvice = DeclineAdvice::TryAnotherMethod;
    pub(super) const Soon: DeclineAdvice = DeclineAdvice::TryLater {
        after: Duration::from_secs(60),
    };
    pub(super) const Tomorrow: DeclineAdvice = DeclineAdvice::TryLater {
        after: Duration::from_secs(86_400),
    };
    pub(super) const Authenticate: DeclineAdvice = DeclineAdvice::Authenticate;
    pub(super) const GiveUp: DeclineAdvice = DeclineAdvice::GiveUp;
}

codes! {
    /// The payer's bank wants strong customer authentication.
    AuthenticationRequired = "authentication_required", AuthenticationRequired, Authenticate;
    /// The payer failed or gave up the authentication.
    AuthenticationFailed = "authentication_failed", Hard, Other;
    /// The issuer wants to be called.
    CallIssuer = "call_issuer", Hard, Other;
    /// The card can't be used for this kind of purchase.
    CardNotSupported = "card_not_supported", Hard, Other;
    /// Too many uses, or too high a sum, in a while.
    CardVelocityExceeded = "card_velocity_exceeded", Soft, Tomorrow;
    /// The card isn't for this currency.
    CurrencyNotSupported = "currency_not_supported", Hard, Other;
    /// The issuer gave no reason.
    DoNotHonor = "do_not_honor", Soft, Other;
    /// The issuer forbids another try.
    DoNotTryAgain = "do_not_try_again", Hard, GiveUp;
    /// The same sum was charged on the same card a moment ago.
    DuplicateTransaction = "duplicate_transaction", Hard, GiveUp;
    /// The card is past its date.
    ExpiredCard = "expired_card", Hard, Other;
    /// Suspected fraud.
    Fraudulent = "fraudulent", Hard, GiveUp;
    /// No, for an unnamed reason.
    GenericDecline = "generic_decline", Soft, Other;
    /// The address or post code doesn't match.
    IncorrectAddress = "incorrect_address", Hard, Other;
    /// The security code is wrong.
    IncorrectCvc = "incorrect_cvc", Hard, Other;
    /// The number is wrong.
    IncorrectNumber = "incorrect_number", Hard, Other;
    /// The PIN is wrong, missing, or was tried too often.
    IncorrectPin = "incorrect_pin", Hard, Other;
    /// The account lacks the money.
    InsufficientFunds = "insufficient_funds", Soft, Tomorrow;
    /// The card or account is closed or wrong.
    InvalidAccount = "invalid_account", Hard, Other;
    /// The sum isn't one that this card may pay.
    InvalidAmount = "invalid_amount", Hard, Other;
    /// The expiry date is wrong.
    InvalidExpiry = "invalid_expiry", Hard, Other;
    /// The issuer couldn't be reached.
    IssuerUnavailable = "issuer_unavailable", Soft, Soon;
    /// Over a limit of the card's.
    LimitExceeded = "limit_exceeded", Soft, Tomorrow;
    /// Reported lost.
    LostCard = "lost_card", Hard, GiveUp;
    /// The mandate is missing, revoked or doesn't cover this.
    MandateInvalid = "mandate_invalid", Hard, Other;
    /// On a block list of the merchant's or the processor's.
    MerchantBlocklist = "merchant_blocklist", Hard, GiveUp;
    /// The account has a new number.
    NewAccountInformation = "new_account_information", Hard, Other;
    /// The card may not do this.
    NotPermitted = "not_permitted", Hard, Other;
    /// The payer cancelled.
    PayerCancelled = "payer_cancelled", Hard, Other;
    /// The payer let the time for an action pass.
    PayerTimedOut = "payer_timed_out", Hard, Other;
    /// The bank refused the transfer.
    BankRefused = "bank_refused", Hard, Other;
    /// To be kept back by the merchant.
    PickUpCard = "pick_up_card", Hard, GiveUp;
    /// The processor couldn't handle it, and says that it charged nothing.
    ProcessingError = "processing_error", Soft, Soon;
    /// To be entered again.
    ReenterTransaction = "reenter_transaction", Soft, Soon;
    /// The card is restricted.
    RestrictedCard = "restricted_card", Hard, Other;
    /// The payer withdrew the authorization for this or for all payments.
    RevocationOfAuthorization = "revocation_of_authorization", Hard, GiveUp;
    /// The processor's own risk check refused.
    RiskRefused = "risk_refused", Hard, GiveUp;
    /// A breach of security rules.
    SecurityViolation = "security_violation", Hard, Other;
    /// Reported stolen.
    StolenCard = "stolen_card", Hard, GiveUp;
    /// A test number in live mode, or the other way round.
    TestModeMismatch = "test_mode_mismatch", Hard, Other;
    /// To be tried later.
    TryAgainLater = "try_again_later", Soft, Soon;
    /// A code that the connector doesn't know: taken as hard, and counted.
    Unmapped = "unmapped", Hard, Other;
}

/// An authoritative no.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decline {
    pub(crate) code: DeclineCode,
    pub(crate) kind: DeclineKind,
    pub(crate) network_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<NetworkAdvice>,
}

impl Decline {
    /// A decline of a kind; `network_code` is the processor's own word. A word with as many digits as a card number
    /// is left out: it may be one.
    pub fn new(code: DeclineCode, kind: DeclineKind, network_code: Option<String>) -> Self {
        Self {
            code,
            kind,
            network_code: network_code.filter(|word| !may_be_card_number(word)),
            network: None,
        }
    }

    /// With what the card's network said of it. It makes a decline stricter and never laxer: where the network forbids
    /// another try with the card, or wants its data corrected first, the decline is hard.
    pub fn with_network(mut self, said: NetworkAdvice) -> Self {
        self.kind = match (said.retry_rule(), self.kind) {
            (RetryRule::Never(_), _) => DeclineKind::Hard,
            (RetryRule::On(terms), DeclineKind::Soft) if terms.correction() == Correction::Needed => {
                DeclineKind::Hard
            }
            (RetryRule::On(_), kind) => kind,
        };
        self.network = Some(said);
        self
    }

    /// An order in which two are equal only if they are the same; of two alike, one with the network's words comes first,
    /// and the harder one.
    pub(crate) fn rank(&self) -> impl Ord + '_ {
        let Self {
            code,
            kind,
            network_code,
            network,
        } = self;
        let lenience = match kind {
            DeclineKind::Hard => 0,
            DeclineKind::AuthenticationRequired => 1,
            DeclineKind::Soft => 2,
        };
        (*code, network_code, Reverse(network), lenience)
    }

    /// The reason.
    pub fn code(&self) -> DeclineCode {
        self.code
    }

    /// What sort of no it is.
    pub fn kind(&self) -> DeclineKind {
        self.kind
    }

    /// The processor's own word for it, where it gave one.
    pub fn network_code(&self) -> Option<&str> {
        self.network_code.as_deref()
    }

    /// What the card's network said of it, where the processor handed that on.
    pub fn network(&self) -> Option<&NetworkAdvice> {
        self.network.as_ref()
    }

    /// Whether and when the card's network lets the payment be tried again with the same card. Where nothing is known of
    /// the network, it sets no terms.
    pub fn retry_rule(&self) -> RetryRule {
        match &self.network {
            Some(said) => said.retry_rule(),
            None => RetryRule::free(CardNetwork::Other),
        }
    }

    /// Whether the payment may go on to another account by itself, at once and with the same method. For the network that
    /// is another try of the same card, whoever sends it: where it forbids one, names a wait or wants other data, no.
    pub fn may_cascade(&self) -> bool {
        match (self.kind, self.retry_rule()) {
            (DeclineKind::Soft, RetryRule::On(terms)) => {
                terms.wait().is_zero() && terms.correction() == Correction::NotNeeded
            }
            (DeclineKind::Soft, RetryRule::Never(_))
            | (DeclineKind::Hard | DeclineKind::AuthenticationRequired, _) => false,
        }
    }

    /// What to do next.
    pub fn advice(&self) -> DeclineAdvice {
        let usual = match self.kind {
            DeclineKind::AuthenticationRequired => DeclineAdvice::Authenticate,
            DeclineKind::Soft | DeclineKind::Hard => self.code.usual_advice(),
        };
        match self.retry_rule() {
            RetryRule::Never(_) => DeclineAdvice::GiveUp,
            RetryRule::On(terms) if terms.correction() == Correction::Needed => self.corrected(usual),
            RetryRule::On(terms) if !terms.wait().is_zero() => self.after(usual, terms.wait()),
            RetryRule::On(_) => usual,
        }
    }

    /// The advice where the method can't pass as it is.
    fn corrected(&self, usual: DeclineAdvice) -> DeclineAdvice {
        match (self.kind, usual) {
            // The challenge is the correction.
            (DeclineKind::AuthenticationRequired, _) => usual,
            (DeclineKind::Soft | DeclineKind::Hard, DeclineAdvice::GiveUp) => usual,
            (
                DeclineKind::Soft | DeclineKind::Hard,
                DeclineAdvice::TryAnotherMethod
                | DeclineAdvice::TryLater { .. }
                | DeclineAdvice::Authenticate,
            ) => DeclineAdvice::TryAnotherMethod,
        }
    }

    /// The advice where the method may pass after a wait.
    fn after(&self, usual: DeclineAdvice, wait: Duration) -> DeclineAdvice {
        match (self.kind, usual) {
            (_, DeclineAdvice::TryLater { after }) => DeclineAdvice::TryLater {
                after: after.max(wait),
            },
            // A soft decline forbids nothing of its own, so that to wait is the stricter.
            (DeclineKind::Soft, DeclineAdvice::TryAnotherMethod | DeclineAdvice::Authenticate) => {
                DeclineAdvice::TryLater { after: wait }
            }
            (_, DeclineAdvice::GiveUp)
            | (
                DeclineKind::Hard | DeclineKind::AuthenticationRequired,
                DeclineAdvice::TryAnotherMethod | DeclineAdvice::Authenticate,
            ) => usual,
        }
    }
}

/// Card numbers have 12 to 19 digits (ISO/IEC 7812-1), however they are grouped; no decline code has so many.
fn may_be_card_number(word: &str) -> bool {
    word.chars().filter(char::is_ascii_digit).count() >= 12
}

/// A connector's table from a processor's words to [`DeclineCode`]s.
#[derive(Clone, Copy, Debug)]
pub struct DeclineTable(&'static [(&'static str, DeclineCode, DeclineKind)]);

impl DeclineTable {
    /// The table: the processor's word, our code, and what sort of no it is there.
    pub const fn of(rows: &'static [(&'static str, DeclineCode, DeclineKind)]) -> Self {
        Self(rows)
    }

    /// The rows.
    pub const fn rows(&self) -> &'static [(&'static str, DeclineCode, DeclineKind)] {
        self.0
    }

    /// The decline that a processor's word stands for. A word that isn't in the table is hard, and counted:
    /// an event of the target `paymux::decline` says so at the level `WARN`.
    pub fn map(&self, raw: &str) -> Decline {
        let word: String = raw.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
        match self.0.iter().find(|(known, ..)| *known == raw) {
            Some((_, code, kind)) => Decline::new(*code, *kind, Some(word)),
            None => {
                UNMAPPED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let decline = Decline::new(DeclineCode::Unmapped, DeclineKind::Hard, Some(word));
                let code = decline
                    .network_code()
                    .unwrap_or("left out: it may be a card number");
                tracing::warn!(target: "paymux::decline", code, "unmapped decline code");
                decline
            }
        }
    }
}

static UNMAPPED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// How many declines of this process had a code that its connector's table doesn't know.
pub fn unmapped_declines() -> u64 {
    UNMAPPED.load(std::sync::atomic::Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_as_they_are_written() {
        let mut words: Vec<_> = DeclineCode::ALL.iter().map(|code| code.as_str()).collect();
        for code in DeclineCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(
                serde_json::from_value::<DeclineCode>(code.as_str().into()).unwrap(),
                *code
            );
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), DeclineCode::ALL.len());
    }

    /// Whoever may try later or elsewhere is soft; whoever must stop is hard.
    #[test]
    fn advice_fits_the_kind() {
        for code in DeclineCode::ALL {
            let decline = Decline::new(*code, code.usual_kind(), None);
            let fits = match (decline.kind(), decline.advice()) {
                (DeclineKind::AuthenticationRequired, advice) => advice == DeclineAdvice::Authenticate,
                (DeclineKind::Soft, DeclineAdvice::TryLater { after }) => !after.is_zero(),
                (DeclineKind::Soft | DeclineKind::Hard, DeclineAdvice::TryAnotherMethod) => true,
                (DeclineKind::Hard, DeclineAdvice::GiveUp) => true,
                (DeclineKind::Hard, DeclineAdvice::TryLater { .. })
                | (DeclineKind::Soft, DeclineAdvice::GiveUp)
                | (DeclineKind::Soft | DeclineKind::Hard, DeclineAdvice::Authenticate) => false,
            };
            assert!(fits, "{code:?}: {:?}, {:?}", decline.kind(), decline.advice());
        }
        let stolen = [
            DeclineCode::StolenCard,
            DeclineCode::LostCard,
            DeclineCode::DoNotTryAgain,
        ];
        for code in stolen {
            assert_eq!(
                Decline::new(code, code.usual_kind(), None).advice(),
                DeclineAdvice::GiveUp
            );
        }
    }

    #[test]
    fn a_word_that_no_table_knows_is_hard() {
        let table = DeclineTable::of(&[("nsf", DeclineCode::InsufficientFunds, DeclineKind::Soft)]);
        assert_eq!(table.map("nsf").kind(), DeclineKind::Soft);
        let before = unmapped_declines();
        let unknown = table.map("brand_new");
        assert_eq!(
            (unknown.code(), unknown.kind()),
            (DeclineCode::Unmapped, DeclineKind::Hard)
        );
        assert_eq!(unknown.network_code(), Some("brand_new"));
        assert!(unmapped_declines() > before);
    }
}
