//! What card networks say of trying a declined payment again: their rules as code, and where each is from.
//!
//! The networks' own tables are for their members. What stands here is what Visa has published and what processors
//! publish of the rest; where they differ, the stricter holds. The sources, by the names that the tables use:
//!
//! - *AI10325*: Visa Business News AI10325 of 3 September 2020 (usa.visa.com, support-legal, "Updates to Rules for
//!   Declined Transaction Resubmission"): four categories; 03, 62, 78 and 93 move from the first to the second on
//!   17 April 2021; 14 is never tried again with the same number.
//! - *Checkout*: checkout.com/docs/developer-resources/codes/visa-response-codes, of 26 February 2025.
//! - *DOKU*: developers.doku.com, error handling, "HTTP status and case code", credit cards.
//! - *Forte*: support.forte.net, solution 11000097635, which has the categories as they were before April 2021.
//! - *Nexi*: developer.nexigroup.com/nexi-checkout/en-EU/docs/manage-subscription-retries.
//! - *TabaPay*: developers.tabapay.com/docs/visa-response-code-updates, /excessive-retry-rules, /mastercard-1 and
//!   /merchant-advice-code-mac.
//! - *Cielo*: docs.cielo.com.br/ecommerce-cielo-en, changelog "New retry codes for Visa".
//! - *ABC*: abcfitness.com/abc-articles/mastercard-regulation-update, of 5 November 2014.
//! - *Evo*: docs.everonet.com, appendix "Mastercard merchant advice code".
//! - *Braintree*: developer.paypal.com/braintree, "Merchant advice codes".
//! - *CyberSource*: developer.cybersource.com, `ccAuthReply_merchantAdviceCodeRaw`.

mod tries;

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use tries::{CardTries, TryOutcome, TryPermission};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The longest that a network counts tries for.
const LONGEST: Duration = days(30);

const fn days(count: u64) -> Duration {
    Duration::from_secs(86_400 * count)
}

/// Whose rules a card is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CardNetwork {
    /// Visa.
    Visa,
    /// Mastercard, Maestro with it.
    Mastercard,
    /// American Express.
    AmericanExpress,
    /// Discover.
    Discover,
    /// Diners Club.
    Diners,
    /// JCB.
    Jcb,
    /// UnionPay.
    UnionPay,
    /// Another, or it isn't known which.
    #[serde(other)]
    Other,
}

impl CardNetwork {
    /// The network of a processor's word for it, in any case.
    pub fn named(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "visa" => Self::Visa,
            "mastercard" | "maestro" => Self::Mastercard,
            "amex" | "american_express" => Self::AmericanExpress,
            "discover" => Self::Discover,
            "diners" | "diners_club" => Self::Diners,
            "jcb" => Self::Jcb,
            "unionpay" | "union_pay" => Self::UnionPay,
            _ => Self::Other,
        }
    }

    /// How often one card may be declined at one merchant before another try costs a fee or is refused.
    ///
    /// Visa: 15 in 30 days (AI10325, Checkout, DOKU). Its Core Rules of 18 April 2026 allow 20 (TabaPay), and processors
    /// that count for their merchants still refuse the sixteenth. Mastercard: 10 in 24 hours, and 35 in 30 days of the
    /// same amount (TabaPay; Braintree, network updates 2023). No limit of the others' is published.
    pub const fn limits(self) -> &'static [RetryLimit] {
        match self {
            Self::Visa => VISA_LIMITS,
            Self::Mastercard => MASTERCARD_LIMITS,
            Self::AmericanExpress
            | Self::Discover
            | Self::Diners
            | Self::Jcb
            | Self::UnionPay
            | Self::Other => &[],
        }
    }
}

const VISA_LIMITS: &[RetryLimit] = &[RetryLimit {
    most: 15,
    within: days(30),
}];
const MASTERCARD_LIMITS: &[RetryLimit] = &[
    RetryLimit {
        most: 10,
        within: DAY,
    },
    RetryLimit {
        most: 35,
        within: days(30),
    },
];

/// So many declined tries in so long, and no other until the oldest of them is that old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryLimit {
    /// How many.
    pub most: u32,
    /// In how long.
    pub within: Duration,
}

/// What a processor says, in words of its own, of what the issuer or the network asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryInstruction {
    /// Never again with this card. Visa's category 1.
    DoNotTryAgain,
    /// Another time. Visa's category 2.
    TryAgainLater,
    /// After the card's data were looked at again. Visa's category 3.
    ConfirmCardData,
}

/// What the card's network said of a decline, as the processor handed it on.
///
/// ```
/// use paymux_core::{CardNetwork, Decline, DeclineAdvice, DeclineCode, DeclineKind, NetworkAdvice};
///
/// let said = NetworkAdvice::of(CardNetwork::Mastercard).response_code("51").advice_code("03");
/// let decline = Decline::new(DeclineCode::InsufficientFunds, DeclineKind::Soft, None).with_network(said);
/// assert_eq!(decline.advice(), DeclineAdvice::GiveUp);
/// assert!(!decline.may_cascade());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkAdvice {
    network: CardNetwork,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    advice_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instruction: Option<RetryInstruction>,
}

impl NetworkAdvice {
    /// Of a network that said nothing yet.
    pub fn of(network: CardNetwork) -> Self {
        Self {
            network,
            response_code: None,
            advice_code: None,
            instruction: None,
        }
    }

    /// With its response code (ISO 8583, data element 39): `51`, `N7`. A word that isn't one to four ASCII letters and
    /// digits is left out.
    pub fn response_code(mut self, word: &str) -> Self {
        self.response_code = code(word);
        self
    }

    /// With Mastercard's merchant advice code (ISO 8583, data element 48.84), or what another network gives in its place:
    /// `03`. A word that isn't one to four ASCII letters and digits is left out.
    pub fn advice_code(mut self, word: &str) -> Self {
        self.advice_code = code(word);
        self
    }

    /// With what the processor makes of it.
    pub fn instruction(mut self, instruction: RetryInstruction) -> Self {
        self.instruction = Some(instruction);
        self
    }

    /// The network.
    pub fn network(&self) -> CardNetwork {
        self.network
    }

    /// Its response code.
    pub fn response(&self) -> Option<&str> {
        self.response_code.as_deref()
    }

    /// Its advice code.
    pub fn merchant_advice(&self) -> Option<&str> {
        self.advice_code.as_deref()
    }

    /// What the processor makes of it.
    pub fn instructs(&self) -> Option<RetryInstruction> {
        self.instruction
    }

    /// What it comes to: each code's rule at once.
    pub fn retry_rule(&self) -> RetryRule {
        let says = [
            self.response().and_then(|code| match self.network {
                CardNetwork::Visa => VisaCategory::of(code).map(|category| category.says(code)),
                CardNetwork::Mastercard => row(MASTERCARD_RESPONSES, code),
                CardNetwork::AmericanExpress
                | CardNetwork::Discover
                | CardNetwork::Diners
                | CardNetwork::Jcb
                | CardNetwork::UnionPay
                | CardNetwork::Other => None,
            }),
            self.merchant_advice()
                .filter(|_| self.network == CardNetwork::Mastercard)
                .and_then(|code| row(MERCHANT_ADVICE, code)),
            self.instruction.map(|instruction| match instruction {
                RetryInstruction::DoNotTryAgain => Says::NeverThisCard,
                RetryInstruction::TryAgainLater => Says::Again,
                RetryInstruction::ConfirmCardData => Says::Correct,
            }),
        ];
        let free = RetryRule::free(self.network);
        says.into_iter()
            .flatten()
            .fold(free, |rule, says| rule.and(says.rule(self.network)))
    }
}

/// No code has more than four characters; a card number never fits.
fn code(word: &str) -> Option<String> {
    let fits = (1..=4).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| word.to_ascii_uppercase())
}

/// Whether, when and under which conditions a declined payment may be tried again with the same card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryRule {
    /// It may not.
    Never(NeverAgain),
    /// It may, on these terms.
    On(RetryTerms),
}

/// What is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeverAgain {
    /// This payment with this card. Another payment with it is another matter.
    ThisPayment,
    /// Any payment of this merchant's with this card.
    ThisCard,
}

/// On which terms a payment may be tried again with the same card. All of them hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryTerms {
    network: CardNetwork,
    wait: Duration,
    correction: Correction,
}

/// Whether the payment's data have to change first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Correction {
    /// It may be tried as it is.
    NotNeeded,
    /// Card data, or the authentication, have to be other ones.
    Needed,
}

impl RetryTerms {
    /// How long to wait at least; zero where nothing was said.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// Whether the payment's data have to change first.
    pub fn correction(&self) -> Correction {
        self.correction
    }

    /// How often in how long; [`CardTries`] counts.
    pub fn limits(&self) -> &'static [RetryLimit] {
        self.network.limits()
    }
}

impl RetryRule {
    /// Nothing but a network's limits.
    pub fn free(network: CardNetwork) -> Self {
        Self::On(RetryTerms {
            network,
            wait: Duration::ZERO,
            correction: Correction::NotNeeded,
        })
    }

    /// Two rules of one network at once: what either forbids is forbidden.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never(one), Self::Never(other)) => Self::Never(one.max(other)),
            (Self::Never(never), Self::On(_)) | (Self::On(_), Self::Never(never)) => Self::Never(never),
            (Self::On(one), Self::On(other)) => Self::On(RetryTerms {
                network: one.network,
                wait: one.wait.max(other.wait),
                correction: one.correction.max(other.correction),
            }),
        }
    }
}

/// What a row of a table says, beside the network's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    NeverThisCard,
    NeverThisPayment,
    Correct,
    Wait(Duration),
    Again,
}

impl Says {
    fn rule(self, network: CardNetwork) -> RetryRule {
        let on = |wait, correction| {
            RetryRule::On(RetryTerms {
                network,
                wait,
                correction,
            })
        };
        match self {
            Self::NeverThisCard => RetryRule::Never(NeverAgain::ThisCard),
            Self::NeverThisPayment => RetryRule::Never(NeverAgain::ThisPayment),
            Self::Correct => on(Duration::ZERO, Correction::Needed),
            Self::Wait(wait) => on(wait, Correction::NotNeeded),
            Self::Again => on(Duration::ZERO, Correction::NotNeeded),
        }
    }
}

fn row<T: Copy>(table: &[(&str, T)], code: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, found)| *found)
}

/// How Visa sorts its response codes (AI10325).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VisaCategory {
    /// 1: the issuer will never approve. No try at all.
    NeverApproves,
    /// 2: the issuer can't approve now.
    NotNow,
    /// 3: the issuer can't approve with these data: they are looked at first.
    DataQuality,
    /// 4: all others.
    Generic,
}

impl VisaCategory {
    /// The category of a response code; `None` of an approval's.
    pub fn of(code: &str) -> Option<Self> {
        match row(VISA, code) {
            Some(category) => Some(category),
            None if VISA_APPROVALS.contains(&code) => None,
            None => Some(Self::Generic),
        }
    }

    fn says(self, code: &str) -> Says {
        match self {
            // These speak of the payment: not this kind of it, or not this one of a series. The others speak of the card.
            Self::NeverApproves if ["12", "57", "R0"].contains(&code) => Says::NeverThisPayment,
            Self::NeverApproves => Says::NeverThisCard,
            Self::NotNow | Self::Generic => Says::Again,
            Self::DataQuality => Says::Correct,
        }
    }
}

/// Approved, in part, with identification, for a VIP, no reason to decline (DOKU).
const VISA_APPROVALS: &[&str] = &["00", "08", "10", "11", "85"];

/// Category 4 is what isn't here.
#[rustfmt::skip]
const VISA: &[(&str, VisaCategory)] = &[
    ("04", VisaCategory::NeverApproves), // Pick up, no fraud: Checkout, DOKU, Forte, Nexi.
    ("07", VisaCategory::NeverApproves), // Pick up, fraud: Checkout, DOKU, Forte.
    ("12", VisaCategory::NeverApproves), // Invalid transaction: Checkout, DOKU, Forte.
    ("14", VisaCategory::NeverApproves), // Invalid number: AI10325, Checkout, DOKU, Nexi. Forte: 3.
    ("15", VisaCategory::NeverApproves), // No such issuer: Checkout, DOKU, Forte, Nexi.
    ("41", VisaCategory::NeverApproves), // Lost: Checkout, DOKU, Forte, Nexi.
    ("43", VisaCategory::NeverApproves), // Stolen: Checkout, DOKU, Forte, Nexi.
    ("46", VisaCategory::NeverApproves), // Closed account, deactivated token: Checkout, DOKU, Nexi, TabaPay.
    ("57", VisaCategory::NeverApproves), // Not permitted to the cardholder: Checkout, DOKU, Forte, Nexi, TabaPay.
    ("R0", VisaCategory::NeverApproves), // Stop this payment of a series: DOKU, Forte, TabaPay.
    ("R1", VisaCategory::NeverApproves), // Stop all to this merchant: Checkout, DOKU, Forte, TabaPay.
    ("R3", VisaCategory::NeverApproves), // Stop all to all merchants: Checkout, DOKU, Forte, TabaPay.
    ("03", VisaCategory::NotNow),        // Invalid merchant: AI10325, Checkout, DOKU, TabaPay.
    ("19", VisaCategory::NotNow),        // Enter again: Checkout, DOKU, Forte.
    ("39", VisaCategory::NotNow),        // No credit account: DOKU.
    ("51", VisaCategory::NotNow),        // Insufficient funds: Checkout, DOKU, Forte.
    ("52", VisaCategory::NotNow),        // No checking account: DOKU.
    ("53", VisaCategory::NotNow),        // No savings account: DOKU.
    ("59", VisaCategory::NotNow),        // Suspected fraud: Checkout, DOKU, Forte.
    ("5C", VisaCategory::NotNow),        // Blocked by the issuer: Checkout, Cielo, since 11 April 2025.
    ("61", VisaCategory::NotNow),        // Over the amount limit: Checkout, DOKU, Forte.
    ("62", VisaCategory::NotNow),        // Restricted: AI10325, Checkout, DOKU.
    ("65", VisaCategory::NotNow),        // Over the count limit: Checkout, DOKU, Forte.
    ("75", VisaCategory::NotNow),        // Too many PINs: Checkout, DOKU, Forte.
    ("78", VisaCategory::NotNow),        // Blocked, first use: AI10325, Checkout, DOKU.
    ("83", VisaCategory::NotNow),        // Blocked by the network for fraud: TabaPay, from 25 October 2026.
    ("86", VisaCategory::NotNow),        // Can't verify the PIN: DOKU, Forte.
    ("91", VisaCategory::NotNow),        // Issuer inoperative: Checkout, DOKU, Forte.
    ("93", VisaCategory::NotNow),        // Violation of law: AI10325, Checkout, DOKU.
    ("96", VisaCategory::NotNow),        // System malfunction: Checkout, DOKU, Forte.
    ("9G", VisaCategory::NotNow),        // Blocked by the cardholder: Checkout, Cielo, since 11 April 2025.
    ("N3", VisaCategory::NotNow),        // No cash service: DOKU, Forte.
    ("N4", VisaCategory::NotNow),        // Cash over the limit: DOKU, Forte.
    ("1A", VisaCategory::DataQuality),   // Authentication required: Checkout, DOKU, Forte.
    ("54", VisaCategory::DataQuality),   // Expired: Checkout, DOKU, Forte. Nexi: never.
    ("55", VisaCategory::DataQuality),   // Wrong PIN: Checkout, DOKU, Forte.
    ("63", VisaCategory::DataQuality),   // Security violation: Checkout, DOKU.
    ("6P", VisaCategory::DataQuality),   // Verification failed: Checkout. DOKU: 4.
    ("70", VisaCategory::DataQuality),   // PIN required: DOKU.
    ("82", VisaCategory::DataQuality),   // Negative CAM or CVV: Checkout, DOKU, Forte.
    ("N7", VisaCategory::DataQuality),   // Wrong CVV2: DOKU, Forte.
];

/// Where the card isn't present, these are not sent again; an updated number or date makes another request of it (ABC).
/// What 79, 82 and 83 mean is in the merchant advice code that comes with them.
#[rustfmt::skip]
const MASTERCARD_RESPONSES: &[(&str, Says)] = &[
    ("04", Says::NeverThisCard), // Capture card.
    ("14", Says::NeverThisCard), // Invalid number.
    ("15", Says::NeverThisCard), // Invalid issuer.
    ("41", Says::NeverThisCard), // Lost.
    ("43", Says::NeverThisCard), // Stolen.
    ("54", Says::Correct),       // Expired.
];

/// Mastercard's merchant advice codes. A try after 03 or 21 costs a fee for 30 days (TabaPay).
#[rustfmt::skip]
const MERCHANT_ADVICE: &[(&str, Says)] = &[
    ("01", Says::Correct),          // New account information: Evo, Braintree.
    ("02", Says::Wait(days(3))),    // Not now, in 72 hours: Evo.
    ("03", Says::NeverThisCard),    // Closed or fraudulent: Evo, Braintree, TabaPay.
    ("04", Says::Correct),          // The token isn't as it has to be: Evo. CyberSource: do not try again.
    ("21", Says::NeverThisCard),    // The cardholder stopped the payments: Evo, Braintree, TabaPay.
    ("22", Says::Again),            // The merchant isn't eligible for the product; another acquirer's may be: Evo.
    ("24", Says::Wait(HOUR)),       // Evo, Braintree, TabaPay, and so up to 30.
    ("25", Says::Wait(DAY)),
    ("26", Says::Wait(days(2))),
    ("27", Says::Wait(days(4))),
    ("28", Says::Wait(days(6))),
    ("29", Says::Wait(days(8))),
    ("30", Says::Wait(days(10))),
    ("40", Says::Again),            // Says what card it is, prepaid and not reloadable: Braintree.
    ("41", Says::Again),            // Says what card it is, a virtual number for one use: Braintree.
    ("42", Says::NeverThisPayment), // Over a threshold of a sanctions screening: CyberSource. Nobody says to go on.
    ("43", Says::Again),            // Says what card it is, a virtual number for many uses: Braintree.
];
