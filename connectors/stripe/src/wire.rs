//! What Stripe writes: objects, amounts, forms. Fields that aren't needed aren't read, and a word that isn't known
//! makes the whole body unreadable, which is a doubt.

use paymux_core::connector::prelude::*;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::{Map, Value};

/// docs.stripe.com/api/payment_intents/object
#[derive(Deserialize)]
pub(crate) struct PaymentIntent {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) amount_capturable: Option<i64>,
    pub(crate) amount_received: Option<i64>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) client_secret: Option<Secret>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) latest_charge: Option<Charge>,
    pub(crate) last_payment_error: Option<ApiError>,
    pub(crate) next_action: Option<NextAction>,
}

/// docs.stripe.com/payments/paymentintents/lifecycle
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

/// Of the metadata, what is ours.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) paymux: Option<String>,
}

/// docs.stripe.com/api/charges/object, where it is expanded.
#[derive(Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: Option<String>,
    pub(crate) amount: Option<i64>,
    pub(crate) amount_captured: Option<i64>,
    pub(crate) amount_refunded: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) payment_method_details: Option<MethodDetails>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) outcome: Option<NetworkWords>,
}

/// What the card's network said of a decline: on an error (docs.stripe.com/api/errors, `network_decline_code` and so on)
/// and on a charge (docs.stripe.com/api/charges/object, `outcome`), since API version 2024-12-18.
#[derive(Clone, Deserialize)]
pub(crate) struct NetworkWords {
    /// The network's own response code.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) network_decline_code: Option<String>,
    /// The network's own advice code.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) network_advice_code: Option<String>,
    /// What Stripe makes of it; a word that isn't known is none.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) advice_code: Option<AdviceCode>,
}

/// docs.stripe.com/declines/card#retrying-issuer-declines
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdviceCode {
    ConfirmCardData,
    DoNotTryAgain,
    TryAgainLater,
}

#[derive(Deserialize)]
pub(crate) struct MethodDetails {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) card: Option<Card>,
}

#[derive(Deserialize)]
pub(crate) struct Card {
    /// The network that the charge went through; absent where none was reached.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) network: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) brand: Option<String>,
    pub(crate) capture_before: Option<i64>,
    pub(crate) multicapture: Option<Feature>,
    pub(crate) incremental_authorization: Option<Feature>,
    pub(crate) overcapture: Option<Feature>,
    pub(crate) network_transaction_id: Option<String>,
    pub(crate) three_d_secure: Option<ThreeDSecure>,
}

#[derive(Deserialize)]
pub(crate) struct Feature {
    pub(crate) status: String,
    pub(crate) maximum_amount_capturable: Option<i64>,
}

impl Feature {
    pub(crate) fn is_available(&self) -> bool {
        self.status == "available"
    }
}

#[derive(Deserialize)]
pub(crate) struct ThreeDSecure {
    pub(crate) electronic_commerce_indicator: Option<String>,
    pub(crate) transaction_id: Option<String>,
    pub(crate) version: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct NextAction {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) details: Map<String, Value>,
}

/// docs.stripe.com/api/refunds/object
#[derive(Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
    pub(crate) status: RefundStatus,
    pub(crate) failure_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    Pending,
    RequiresAction,
    Succeeded,
    Failed,
    Canceled,
}

/// docs.stripe.com/api/pagination
#[derive(Deserialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    pub(crate) has_more: bool,
}

/// docs.stripe.com/api/errors, `error`
#[derive(Deserialize)]
pub(crate) struct ApiError {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) decline_code: Option<String>,
    /// The charge that was declined.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) charge: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) payment_method: Option<FailedMethod>,
    #[serde(flatten)]
    pub(crate) network: NetworkWords,
}

/// Of the method that failed, what its network is.
#[derive(Deserialize)]
pub(crate) struct FailedMethod {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) card: Option<FailedCard>,
}

#[derive(Deserialize)]
pub(crate) struct FailedCard {
    pub(crate) brand: String,
}

/// docs.stripe.com/api/events/object
#[derive(Deserialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) data: EventData,
}

#[derive(Deserialize)]
pub(crate) struct EventData {
    pub(crate) object: EventObject,
}

/// Of the object that an event is about: what it is, and which payment it belongs to.
#[derive(Deserialize)]
pub(crate) struct EventObject {
    pub(crate) id: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) payment_intent: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) metadata: Option<Metadata>,
}

/// What only adds detail never makes an answer unreadable: another shape (an identifier that wasn't expanded) is
/// taken as absent.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::from))
}

/// How Stripe counts a currency, where it isn't as ISO 4217 does (docs.stripe.com/currencies#special-cases and
/// #zero-decimal).
enum Scale {
    /// As ISO.
    Iso,
    /// A króna, written as if it had hundredths, which are always 00.
    TimesHundred,
    /// Without the hundredths that ISO gives it.
    WholeUnits,
    /// In thousandths, of which the last digit is always 0.
    Tens,
}

fn scale(currency: Currency) -> Scale {
    match currency {
        Currency::ISK | Currency::UGX => Scale::TimesHundred,
        Currency::MGA => Scale::WholeUnits,
        Currency::BHD | Currency::JOD | Currency::KWD | Currency::OMR | Currency::TND => Scale::Tens,
        // HUF and TWD are whole in payouts alone.
        _ => Scale::Iso,
    }
}

/// An amount as Stripe writes it.
pub(crate) fn units(amount: Money) -> Result<i64, Unsendable> {
    let minor = amount.minor();
    if minor < 1 {
        return Err(Unsendable::field("amount", "Stripe takes amounts above zero"));
    }
    let unfit = |problem: &str| Unsendable::field("amount", format!("{amount}: {problem}"));
    match scale(amount.currency()) {
        Scale::Iso => Ok(minor),
        Scale::TimesHundred => minor.checked_mul(100).ok_or_else(|| unfit("too much for Stripe")),
        Scale::WholeUnits if minor % 100 == 0 => Ok(minor / 100),
        Scale::WholeUnits => Err(unfit("Stripe takes whole units of this currency alone")),
        Scale::Tens if minor % 10 == 0 => Ok(minor),
        Scale::Tens => Err(unfit("Stripe's last decimal of this currency is always 0")),
    }
}

/// An amount that Stripe wrote. `None` where it isn't one.
pub(crate) fn money(units: i64, currency: Currency) -> Option<Money> {
    let minor = match scale(currency) {
        Scale::Iso | Scale::Tens => units,
        Scale::TimesHundred if units % 100 == 0 => units / 100,
        Scale::TimesHundred => return None,
        Scale::WholeUnits => units.checked_mul(100)?,
    };
    Some(Money::from_minor(minor, currency))
}

/// The currencies that Stripe takes payments in (docs.stripe.com/currencies#presentment-currencies). Three of its
/// codes are no longer ISO's (ANG, BGN, STD).
#[rustfmt::skip]
pub(crate) const CURRENCIES: &[Currency] = &[
    Currency::AED, Currency::AFN, Currency::AMD, Currency::AOA, Currency::ARS, Currency::AUD, Currency::AWG,
    Currency::AZN, Currency::BAM, Currency::BBD, Currency::BDT, Currency::BHD, Currency::BIF, Currency::BMD,
    Currency::BND, Currency::BOB, Currency::BRL, Currency::BSD, Currency::BWP, Currency::BYN, Currency::BZD,
    Currency::CAD, Currency::CDF, Currency::CHF, Currency::CLP, Currency::CNY, Currency::COP, Currency::CRC,
    Currency::CVE, Currency::CZK, Currency::DJF, Currency::DKK, Currency::DOP, Currency::DZD, Currency::EGP,
    Currency::ETB, Currency::EUR, Currency::FJD, Currency::FKP, Currency::GBP, Currency::GEL, Currency::GIP,
    Currency::GMD, Currency::GNF, Currency::GTQ, Currency::GYD, Currency::HKD, Currency::HNL, Currency::HTG,
    Currency::HUF, Currency::IDR, Currency::ILS, Currency::INR, Currency::ISK, Currency::JMD, Currency::JOD,
    Currency::JPY, Currency::KES, Currency::KGS, Currency::KHR, Currency::KMF, Currency::KRW, Currency::KWD,
    Currency::KYD, Currency::KZT, Currency::LAK, Currency::LBP, Currency::LEK, Currency::LKR, Currency::LRD,
    Currency::LSL, Currency::MAD, Currency::MDL, Currency::MGA, Currency::MKD, Currency::MMK, Currency::MNT,
    Currency::MOP, Currency::MUR, Currency::MVR, Currency::MWK, Currency::MXN, Currency::MYR, Currency::MZN,
    Currency::NAD, Currency::NGN, Currency::NIO, Currency::NOK, Currency::NPR, Currency::NZD, Currency::OMR,
    Currency::PAB, Currency::PEN, Currency::PGK, Currency::PHP, Currency::PKR, Currency::PLN, Currency::PYG,
    Currency::QAR, Currency::RON, Currency::RSD, Currency::RUB, Currency::RWF, Currency::SAR, Currency::SBD,
    Currency::SCR, Currency::SEK, Currency::SGD, Currency::SHP, Currency::SLE, Currency::SOS, Currency::SRD,
    Currency::SZL, Currency::THB, Currency::TJS, Currency::TND, Currency::TOP, Currency::TRY, Currency::TTD,
    Currency::TWD, Currency::TZS, Currency::UAH, Currency::UGX, Currency::USD, Currency::UYU, Currency::UZS,
    Currency::VND, Currency::VUV, Currency::WST, Currency::XAF, Currency::XCD, Currency::XCG, Currency::XOF,
    Currency::XPF, Currency::YER, Currency::ZAR, Currency::ZMW,
];

/// A body, or a query, as a form: `a=1&metadata[order]=7`.
#[derive(Default)]
pub(crate) struct Form(String);

impl Form {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With a field; a field that is absent isn't sent.
    pub(crate) fn with(mut self, name: &str, value: impl FieldValue) -> Self {
        if let Some(value) = value.text() {
            if !self.0.is_empty() {
                self.0.push('&');
            }
            encode(name, &mut self.0);
            self.0.push('=');
            encode(&value, &mut self.0);
        }
        self
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// What a form's field can hold.
pub(crate) trait FieldValue {
    fn text(self) -> Option<String>;
}

impl FieldValue for &str {
    fn text(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl FieldValue for Option<&str> {
    fn text(self) -> Option<String> {
        self.map(str::to_owned)
    }
}

impl FieldValue for i64 {
    fn text(self) -> Option<String> {
        Some(self.to_string())
    }
}

/// application/x-www-form-urlencoded, as the URL standard has it (url.spec.whatwg.org).
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_of_every_currency_is_counted_as_stripes_lists_say() -> Result<(), Box<dyn std::error::Error>>
    {
        let facts: Value = serde_json::from_str(include_str!("../tests/facts/docs.json"))?;
        let listed = |list: &str, currency: Currency| {
            facts[list]
                .as_array()
                .is_some_and(|codes| codes.iter().any(|code| code == currency.code()))
        };
        let mut found = 0;
        for currency in CURRENCIES.iter().copied() {
            let two_decimals = listed("whole_but_written_with_two_decimals", currency);
            let (whole, three_decimals) = (
                listed("zero_decimal", currency),
                listed("three_decimal", currency),
            );
            found += usize::from(two_decimals || whole || three_decimals);
            let expected = match (two_decimals, whole, three_decimals) {
                (true, _, false) | (false, false, false) => 100,
                (false, true, false) => 1,
                (false, false, true) => 1_000,
                (_, _, true) => return Err(format!("{currency} is on two lists").into()),
            };
            let one = Money::from_minor(10_i64.pow(currency.exponent()), currency);
            let sent = units(one).map_err(|refused| refused.fault().to_string())?;
            assert_eq!(sent, expected, "{currency}");
            assert_eq!(money(expected, currency), Some(one), "{currency}");
        }
        assert_eq!(found, 16 + 5 + 1, "each that is listed is taken, UGX twice");
        Ok(())
    }
}
