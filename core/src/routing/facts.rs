//! What a routing program may ask about a payment: its vocabulary, and the facts themselves.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decline::DeclineCode;
use crate::error::{Error, Fault};
use crate::intent::{CaptureMethod, IntentMode, Metadata, MitReason};
use crate::method::MethodKind;
use crate::money::{Currency, Money};

/// What is known of a payment when a program decides. Whatever isn't known is `None`: then no comparison on it holds,
/// and its negation does.
///
/// It borrows, so that a decision copies nothing. [`RouteFacts::facts`](super::RouteFacts::facts) makes it of a payment.
///
/// ```
/// use paymux_core::{MethodKind, money, routing::{CardFacts, Facts}};
///
/// let mut facts = Facts::of("acme", money!("49.99 EUR"), MethodKind::CardToken);
/// facts.card = CardFacts { network: Some("visa"), bin: Some("421234"), ..CardFacts::default() };
/// facts.payer_country = "FR".parse().ok();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The host's name for the merchant.
    pub tenant: &'a str,
    /// How much.
    pub amount: Money,
    /// How the payer pays.
    pub method: MethodKind,
    /// What is known of the card.
    pub card: CardFacts<'a>,
    /// Which wallet: `apple_pay`, `google_pay`.
    pub wallet: Option<&'a str>,
    /// The payer's bank, as processors name the institution.
    pub bank: Option<&'a str>,
    /// The scheme of a bank redirect, a voucher or a pay-later provider: `ideal`, `boleto`, `klarna`.
    pub scheme: Option<&'a str>,
    /// Where the payer is.
    pub payer_country: Option<Country>,
    /// Where the merchant is.
    pub merchant_country: Option<Country>,
    /// The merchant's category, ISO 18245: 0 to 9999.
    pub mcc: Option<u16>,
    /// When the money is taken.
    pub capture: CaptureMethod,
    /// Why the merchant initiates the payment, where it does.
    pub mit: Option<MitReason>,
    /// What the payment is to achieve.
    pub mode: IntentMode,
    /// The host's customer, as its identifier reads.
    pub customer: Option<&'a str>,
    /// The session that it pays, as its identifier reads.
    pub session: Option<&'a str>,
    /// Pairs of the host's own.
    pub metadata: Option<&'a Metadata>,
    /// Minutes since midnight, UTC: 0 to 1439.
    pub time_of_day: u16,
    /// The day in UTC.
    pub day_of_week: Weekday,
    /// Which attempt it will be: 1 for the first.
    pub attempt: u32,
    /// Why the last attempt was declined.
    pub last_decline: Option<DeclineCode>,
    /// What a split and an exploring order are drawn from: the same seed gives the same draw. The engine takes it from the
    /// payment's identifier.
    pub seed: u64,
}

/// What is known of a card. Never its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CardFacts<'a> {
    /// Its network, in lower case: `visa`, `mastercard`.
    pub network: Option<&'a str>,
    /// How it is paid for.
    pub funding: Option<CardType>,
    /// Its first 6 to 8 digits (ISO/IEC 7812-1, issuer identification number).
    pub bin: Option<&'a str>,
    /// Where its issuer is.
    pub issuer_country: Option<Country>,
}

impl<'a> Facts<'a> {
    /// A first attempt of a payment captured with its authorization, of which nothing else is known, at midnight before
    /// the first Monday.
    pub fn of(tenant: &'a str, amount: Money, method: MethodKind) -> Self {
        Self {
            tenant,
            amount,
            method,
            card: CardFacts::default(),
            wallet: None,
            bank: None,
            scheme: None,
            payer_country: None,
            merchant_country: None,
            mcc: None,
            capture: CaptureMethod::Automatic,
            mit: None,
            mode: IntentMode::Payment,
            customer: None,
            session: None,
            metadata: None,
            time_of_day: 0,
            day_of_week: Weekday::Monday,
            attempt: 1,
            last_decline: None,
            seed: 0,
        }
    }

    /// The text of a fact of the kind [`FactKind::Text`]; `None` of any other.
    pub fn text(&self, fact: &FactName) -> Option<&'a str> {
        match fact {
            FactName::Tenant => Some(self.tenant),
            FactName::CardNetwork => self.card.network,
            FactName::CardBin => self.card.bin,
            FactName::Wallet => self.wallet,
            FactName::Bank => self.bank,
            FactName::Scheme => self.scheme,
            FactName::Customer => self.customer,
            FactName::Session => self.session,
            FactName::Metadata(key) => self.metadata?.get(key.as_ref()).map(String::as_str),
            FactName::Amount
            | FactName::Currency
            | FactName::Method
            | FactName::CardType
            | FactName::CardIssuerCountry
            | FactName::PayerCountry
            | FactName::MerchantCountry
            | FactName::Mcc
            | FactName::Capture
            | FactName::Mit
            | FactName::Mode
            | FactName::TimeOfDay
            | FactName::DayOfWeek
            | FactName::Attempt
            | FactName::LastDecline => None,
        }
    }

    /// The country of a fact of the kind [`FactKind::Country`]; `None` of any other.
    pub(super) fn country(&self, fact: &FactName) -> Option<&Country> {
        match fact {
            FactName::CardIssuerCountry => self.card.issuer_country.as_ref(),
            FactName::PayerCountry => self.payer_country.as_ref(),
            FactName::MerchantCountry => self.merchant_country.as_ref(),
            FactName::Amount
            | FactName::Currency
            | FactName::Method
            | FactName::CardNetwork
            | FactName::CardType
            | FactName::CardBin
            | FactName::Wallet
            | FactName::Bank
            | FactName::Scheme
            | FactName::Mcc
            | FactName::Capture
            | FactName::Mit
            | FactName::Mode
            | FactName::Customer
            | FactName::Session
            | FactName::Metadata(_)
            | FactName::Tenant
            | FactName::TimeOfDay
            | FactName::DayOfWeek
            | FactName::Attempt
            | FactName::LastDecline => None,
        }
    }

    /// The place of a fact's word in its vocabulary, of the kinds [`FactKind::Word`] and [`FactKind::Country`]; `None` of
    /// any other.
    pub fn code(&self, fact: &FactName) -> Option<u16> {
        match fact {
            FactName::Currency => Some(self.amount.currency().place()),
            FactName::Method => Some(self.method as u16),
            FactName::CardType => self.card.funding.map(|funding| funding as u16),
            FactName::CardIssuerCountry => self.card.issuer_country.map(Country::place),
            FactName::PayerCountry => self.payer_country.map(Country::place),
            FactName::MerchantCountry => self.merchant_country.map(Country::place),
            FactName::Capture => Some(self.capture as u16),
            FactName::Mit => self.mit.map(|reason| reason as u16),
            FactName::Mode => Some(self.mode as u16),
            FactName::DayOfWeek => Some(self.day_of_week as u16),
            FactName::LastDecline => self.last_decline.map(|code| code as u16),
            FactName::Amount
            | FactName::Mcc
            | FactName::TimeOfDay
            | FactName::Attempt
            | FactName::Tenant
            | FactName::CardNetwork
            | FactName::CardBin
            | FactName::Wallet
            | FactName::Bank
            | FactName::Scheme
            | FactName::Customer
            | FactName::Session
            | FactName::Metadata(_) => None,
        }
    }

    /// The number of a fact of the kind [`FactKind::Number`]; `None` of any other.
    pub fn number(&self, fact: &FactName) -> Option<i64> {
        match fact {
            FactName::Mcc => self.mcc.map(i64::from),
            FactName::TimeOfDay => Some(i64::from(self.time_of_day)),
            FactName::Attempt => Some(i64::from(self.attempt)),
            FactName::Amount
            | FactName::Currency
            | FactName::Method
            | FactName::CardType
            | FactName::CardIssuerCountry
            | FactName::PayerCountry
            | FactName::MerchantCountry
            | FactName::Capture
            | FactName::Mit
            | FactName::Mode
            | FactName::DayOfWeek
            | FactName::LastDecline
            | FactName::Tenant
            | FactName::CardNetwork
            | FactName::CardBin
            | FactName::Wallet
            | FactName::Bank
            | FactName::Scheme
            | FactName::Customer
            | FactName::Session
            | FactName::Metadata(_) => None,
        }
    }
}

/// What a fact is like, and so what may be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// An amount with its currency: compared with amounts of that currency; in another currency no comparison holds.
    Amount,
    /// A whole number in this range, both ends in it.
    Number(i64, i64),
    /// A word of this vocabulary.
    Word(&'static [&'static str]),
    /// A country, ISO 3166-1 alpha-2.
    Country,
    /// Any text: it may be asked for a beginning.
    Text,
}

/// A fact by its name in a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactName {
    /// How much.
    Amount,
    /// In which currency.
    Currency,
    /// By which kind of method.
    Method,
    /// The card's network.
    CardNetwork,
    /// How the card is paid for.
    CardType,
    /// The card's first digits.
    CardBin,
    /// Where the card's issuer is.
    CardIssuerCountry,
    /// Which wallet.
    Wallet,
    /// The payer's bank.
    Bank,
    /// Which scheme.
    Scheme,
    /// Where the payer is.
    PayerCountry,
    /// Where the merchant is.
    MerchantCountry,
    /// The merchant's category.
    Mcc,
    /// When the money is taken.
    Capture,
    /// Why the merchant initiates it.
    Mit,
    /// What it is to achieve.
    Mode,
    /// The host's customer.
    Customer,
    /// The session that it pays.
    Session,
    /// A pair of the host's own, by its key.
    Metadata(Box<str>),
    /// The host's name for the merchant.
    Tenant,
    /// Minutes since midnight, UTC.
    TimeOfDay,
    /// The day, in UTC.
    DayOfWeek,
    /// Which attempt it will be.
    Attempt,
    /// Why the last attempt was declined.
    LastDecline,
}

impl FactName {
    /// All names but those of metadata.
    pub const ALL: &'static [Self] = &[
        Self::Amount,
        Self::Currency,
        Self::Method,
        Self::CardNetwork,
        Self::CardType,
        Self::CardBin,
        Self::CardIssuerCountry,
        Self::Wallet,
        Self::Bank,
        Self::Scheme,
        Self::PayerCountry,
        Self::MerchantCountry,
        Self::Mcc,
        Self::Capture,
        Self::Mit,
        Self::Mode,
        Self::Customer,
        Self::Session,
        Self::Tenant,
        Self::TimeOfDay,
        Self::DayOfWeek,
        Self::Attempt,
        Self::LastDecline,
    ];

    /// The word for it in a program; of metadata, the part before its key.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Method => "method",
            Self::CardNetwork => "card_network",
            Self::CardType => "card_type",
            Self::CardBin => "card_bin",
            Self::CardIssuerCountry => "card_issuer_country",
            Self::Wallet => "wallet",
            Self::Bank => "bank",
            Self::Scheme => "scheme",
            Self::PayerCountry => "payer_country",
            Self::MerchantCountry => "merchant_country",
            Self::Mcc => "mcc",
            Self::Capture => "capture",
            Self::Mit => "mit",
            Self::Mode => "mode",
            Self::Customer => "customer",
            Self::Session => "session",
            Self::Metadata(_) => "metadata",
            Self::Tenant => "tenant",
            Self::TimeOfDay => "time_of_day",
            Self::DayOfWeek => "day_of_week",
            Self::Attempt => "attempt",
            Self::LastDecline => "last_decline",
        }
    }

    /// The word at a place of its vocabulary; nothing where it has none.
    pub(super) fn word(&self, place: u16) -> &'static str {
        match self.kind() {
            FactKind::Word(words) => words.get(usize::from(place)).copied().unwrap_or_default(),
            FactKind::Amount | FactKind::Number(..) | FactKind::Country | FactKind::Text => "",
        }
    }

    /// What it is like.
    pub fn kind(&self) -> FactKind {
        match self {
            Self::Amount => FactKind::Amount,
            Self::Currency => FactKind::Word(CURRENCIES),
            Self::Method => FactKind::Word(METHODS),
            Self::CardType => FactKind::Word(CARD_TYPES),
            Self::Capture => FactKind::Word(CAPTURES),
            Self::Mit => FactKind::Word(MIT_REASONS),
            Self::Mode => FactKind::Word(MODES),
            Self::DayOfWeek => FactKind::Word(WEEKDAYS),
            Self::LastDecline => FactKind::Word(DECLINES),
            Self::CardIssuerCountry | Self::PayerCountry | Self::MerchantCountry => FactKind::Country,
            Self::Mcc => FactKind::Number(0, 9_999),
            Self::TimeOfDay => FactKind::Number(0, 1_439),
            Self::Attempt => FactKind::Number(1, u32::MAX as i64),
            Self::CardNetwork
            | Self::CardBin
            | Self::Wallet
            | Self::Bank
            | Self::Scheme
            | Self::Customer
            | Self::Session
            | Self::Metadata(_)
            | Self::Tenant => FactKind::Text,
        }
    }
}

impl fmt::Display for FactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if let Self::Metadata(key) = self {
            write!(f, ".{key}")?;
        }
        Ok(())
    }
}

/// A fact with the type of its values, to compare with: [`amount`](super::amount), [`currency`](super::currency), ….
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fact<T> {
    pub(super) name: FactName,
    values: PhantomData<fn(T)>,
}

impl<T> Fact<T> {
    pub(super) fn named(name: FactName) -> Self {
        Self {
            name,
            values: PhantomData,
        }
    }
}

/// A country by its two letters, ISO 3166-1 alpha-2. Any two letters are taken: codes come and go.
///
/// ```
/// use paymux_core::routing::Country;
///
/// let france: Country = "fr".parse()?;
/// assert_eq!(france.to_string(), "FR");
/// assert!("France".parse::<Country>().is_err());
/// # Ok::<(), paymux_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// A country known when the host is compiled; anything but two letters doesn't compile in a `const`.
    ///
    /// # Panics
    /// If it isn't two letters.
    pub const fn from_static(letters: &'static str) -> Self {
        match letters.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()])
            }
            _other => panic!("a country is two letters, as in ISO 3166-1"),
        }
    }

    /// How many places there are.
    pub(super) const PLACES: u16 = 26 * 26;

    /// Its two letters, in upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The country at a place, below [`Country::PLACES`].
    pub(super) fn at(place: u16) -> Self {
        Self([place / 26, place % 26].map(|letter| b'A' + (letter % 26) as u8))
    }

    pub(super) fn place(self) -> u16 {
        u16::from(self.0[0] - b'A') * 26 + u16::from(self.0[1] - b'A')
    }
}

impl FromStr for Country {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Ok(Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
            }
            _other => Err(Error::invalid(Fault::new(
                "country",
                "not a country",
                "write two letters, as in ISO 3166-1: `FR`",
            ))),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::from_text(deserializer)
    }
}

/// How a card is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardType {
    /// At the end of a while.
    Credit,
    /// At once.
    Debit,
    /// Beforehand.
    Prepaid,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "a day is a day")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

// Each in the order of its enum, whose variants' numbers are the places here: see the test.
const CURRENCIES: &[&str] = &CURRENCY_CODES;
const METHODS: &[&str] = &[
    "card_token",
    "network_token",
    "wallet",
    "bank_redirect",
    "open_banking",
    "direct_debit",
    "voucher",
    "bank_transfer",
    "bnpl",
    "provider",
];
const CARD_TYPES: &[&str] = &["credit", "debit", "prepaid"];
const CAPTURES: &[&str] = &["automatic", "manual"];
const MIT_REASONS: &[&str] = &["recurring", "unscheduled", "installment"];
const MODES: &[&str] = &["payment", "setup", "verify"];
const WEEKDAYS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const DECLINES: &[&str] = &DECLINE_WORDS;

const CURRENCY_CODES: [&str; Currency::ALL.len()] = {
    let mut codes = [""; Currency::ALL.len()];
    let mut place = 0;
    while place < codes.len() {
        codes[place] = Currency::ALL[place].code();
        place += 1;
    }
    codes
};

const DECLINE_WORDS: [&str; DeclineCode::ALL.len()] = {
    let mut words = [""; DeclineCode::ALL.len()];
    let mut place = 0;
    while place < words.len() {
        words[place] = DeclineCode::ALL[place].as_str();
        place += 1;
    }
    words
};

#[cfg(test)]
mod tests {
    use super::*;

    fn words<T: Serialize>(all: &[T]) -> Vec<String> {
        all.iter()
            .map(|one| serde_json::to_value(one).unwrap().as_str().unwrap().to_owned())
            .collect()
    }

    /// A variant that is put between two others moves the places of those after it: its word moves with them.
    #[test]
    fn a_word_stands_at_its_variants_place() {
        let methods = [
            MethodKind::CardToken,
            MethodKind::NetworkToken,
            MethodKind::Wallet,
            MethodKind::BankRedirect,
            MethodKind::OpenBanking,
            MethodKind::DirectDebit,
            MethodKind::Voucher,
            MethodKind::BankTransfer,
            MethodKind::Bnpl,
            MethodKind::Provider,
        ];
        assert_eq!(words(&methods), METHODS);
        for (place, method) in methods.iter().enumerate() {
            assert_eq!(*method as usize, place);
        }
        assert_eq!(
            words(&[CardType::Credit, CardType::Debit, CardType::Prepaid]),
            CARD_TYPES
        );
        assert_eq!(
            words(&[CaptureMethod::Automatic, CaptureMethod::Manual]),
            CAPTURES
        );
        assert_eq!(CaptureMethod::Manual as usize, 1);
        let reasons = [
            MitReason::Recurring,
            MitReason::Unscheduled,
            MitReason::Installment,
        ];
        assert_eq!(words(&reasons), MIT_REASONS);
        assert_eq!(MitReason::Installment as usize, 2);
        assert_eq!(
            words(&[IntentMode::Payment, IntentMode::Setup, IntentMode::Verify]),
            MODES
        );
        let days = [
            Weekday::Monday,
            Weekday::Tuesday,
            Weekday::Wednesday,
            Weekday::Thursday,
            Weekday::Friday,
            Weekday::Saturday,
            Weekday::Sunday,
        ];
        assert_eq!(words(&days), WEEKDAYS);
        for (place, currency) in Currency::ALL.iter().enumerate() {
            assert_eq!(usize::from(currency.place()), place);
        }
        for (place, code) in DeclineCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, place);
        }
    }

    #[test]
    fn each_country_has_a_place_of_its_own() {
        let letters = || b'A'..=b'Z';
        let all: std::collections::BTreeSet<u16> = letters()
            .flat_map(|first| letters().map(move |second| Country([first, second]).place()))
            .collect();
        assert_eq!(all.len(), usize::from(Country::PLACES));
        assert!(all.iter().all(|place| *place < Country::PLACES));
        for place in all {
            assert_eq!(Country::at(place).place(), place);
        }
    }
}
