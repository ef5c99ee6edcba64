//! What a payment costs at an account: fee tables, and the cheapest order by them.

mod check;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::facts::{Country, Facts};
use super::health::Segment;
use super::rule::Target;
use crate::error::{Error, Fault, Result};
use crate::id::AccountRef;
use crate::method::MethodKind;
use crate::money::{Currency, Money};
use crate::text::from_text;
use crate::time::Timestamp;

/// What payments cost, by account: rows, of which the first that fits a payment decides.
///
/// In TOML, as in JSON, it is a list of rows under `rows`:
///
/// ```toml
/// [[rows]]
/// account = "stripe/eu"            # or "stripe": all of its accounts
/// method = "card_token"            # any method without it
/// via = "visa"                     # card network, bank, scheme or wallet; any without it
/// regions = ["domestic", "eea"]    # any without them
/// percent = "1.4"                  # of the amount
/// fixed = "0.25 EUR"               # added to it
/// least = "0.30 EUR"               # no less than this in all
/// most = "20 EUR"                  # no more than this in all
/// valid_from = "2026-01-01T00:00:00Z"
/// valid_until = "2027-01-01T00:00:00Z"   # no more at this moment
/// ```
///
/// A row with an amount is of that currency's payments; one with a percentage alone is of all.
///
/// ```
/// use paymux_core::routing::{FeeRow, FeeTable, Facts, Percent};
/// use paymux_core::{AccountRef, ConnectorId, MethodKind, Timestamp, money};
///
/// let fees = FeeTable::new([FeeRow::of("stripe", Percent::from_ppm(14_000)).fixed(money!("0.25 EUR"))])?;
/// let stripe = AccountRef::new(ConnectorId::from_static("stripe"), "eu");
/// let facts = Facts::of("acme", money!("49.99 EUR"), MethodKind::CardToken);
/// let at = Timestamp::from_secs(0);
/// assert_eq!(fees.expected(&facts, &stripe, at), Some(money!("0.95 EUR"))); // 0.69986 and 0.25
/// # Ok::<(), paymux_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct FeeTable {
    rows: Vec<FeeRow>,
    warnings: Vec<Fault>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    rows: Vec<FeeRow>,
}

/// What some payments cost. It fits a payment that has all it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct FeeRow {
    #[serde(with = "target_text")]
    account: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<MethodKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    regions: Vec<Region>,
    percent: Percent,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "money_text")]
    fixed: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "money_text")]
    least: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "money_text")]
    most: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
}

/// An account with what a payment costs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priced {
    /// Its place in what was given.
    pub place: usize,
    /// The expected fee. `None`: no row fits.
    pub fee: Option<Money>,
}

impl FeeTable {
    /// A table of these rows, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with every fault at once, each with its row as in `rows.3.most`.
    pub fn new(rows: impl IntoIterator<Item = FeeRow>) -> Result<Self> {
        let rows: Vec<FeeRow> = rows.into_iter().collect();
        let faults = check::faults(&rows);
        if !faults.is_empty() {
            return Err(Error::invalid_all(faults));
        }
        let warnings = check::overlaps(&rows);
        Ok(Self { rows, warnings })
    }

    /// Its rows.
    pub fn rows(&self) -> &[FeeRow] {
        &self.rows
    }

    /// Rows that are odd, though the table does what it says: those that never decide, or at some times don't, since an
    /// earlier one fits whatever they fit.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// What a payment costs at an account at a time: by the first row that fits, the percentage of the amount, rounded
    /// half up to the minor unit, and the fixed part, within minimum and cap. `None`: no row fits, or it is beyond what
    /// [`Money`] can say.
    pub fn expected(&self, facts: &Facts<'_>, account: &AccountRef, at: Timestamp) -> Option<Money> {
        let segment = Segment::of(facts, account);
        let region = Region::of(facts);
        let fits = |row: &&FeeRow| row.fits(&segment, region, at);
        self.rows.iter().find(fits)?.fee(facts.amount)
    }

    /// Accounts by what a payment costs there, the cheapest first. Those whose fee isn't known come last; equal ones keep
    /// the given order.
    pub fn cheapest<'a>(
        &self,
        facts: &Facts<'_>,
        accounts: impl IntoIterator<Item = &'a AccountRef>,
        at: Timestamp,
    ) -> Vec<Priced> {
        let fees = accounts.into_iter().enumerate().map(|(place, account)| Priced {
            place,
            fee: self.expected(facts, account, at),
        });
        let mut priced: Vec<Priced> = fees.collect();
        // All fees are in the payment's currency.
        priced.sort_by_key(|one| (one.fee.is_none(), one.fee.map(Money::minor)));
        priced
    }
}

impl TryFrom<Document> for FeeTable {
    type Error = String;

    fn try_from(document: Document) -> std::result::Result<Self, String> {
        Self::new(document.rows).map_err(|error| {
            let faults: Vec<String> = error.faults().iter().map(Fault::to_string).collect();
            faults.join("; ")
        })
    }
}

impl From<FeeTable> for Document {
    fn from(table: FeeTable) -> Self {
        Self { rows: table.rows }
    }
}

impl FeeRow {
    /// At a connector (`stripe`) or one account of it (`stripe/eu`), this share of the amount.
    pub fn of(account: &str, percent: Percent) -> Self {
        Self {
            account: Target::of(account),
            method: None,
            via: None,
            regions: Vec::new(),
            percent,
            fixed: None,
            least: None,
            most: None,
            valid_from: None,
            valid_until: None,
        }
    }

    /// By this method alone.
    pub fn method(mut self, method: MethodKind) -> Self {
        self.method = Some(method);
        self
    }

    /// Over this card network, bank, scheme or wallet alone: see [`Segment::of`](super::Segment::of).
    pub fn via(mut self, via: impl Into<String>) -> Self {
        self.via = Some(via.into());
        self
    }

    /// In these regions alone.
    pub fn regions(mut self, regions: impl IntoIterator<Item = Region>) -> Self {
        self.regions = regions.into_iter().collect();
        self
    }

    /// And so much for each payment.
    pub fn fixed(mut self, fixed: Money) -> Self {
        self.fixed = Some(fixed);
        self
    }

    /// In all no less than this.
    pub fn least(mut self, least: Money) -> Self {
        self.least = Some(least);
        self
    }

    /// In all no more than this.
    pub fn most(mut self, most: Money) -> Self {
        self.most = Some(most);
        self
    }

    /// From this moment on.
    pub fn valid_from(mut self, from: Timestamp) -> Self {
        self.valid_from = Some(from);
        self
    }

    /// Until this moment, and no more at it.
    pub fn valid_until(mut self, until: Timestamp) -> Self {
        self.valid_until = Some(until);
        self
    }

    fn amounts(&self) -> [(&'static str, Option<Money>); 3] {
        [("fixed", self.fixed), ("least", self.least), ("most", self.most)]
    }

    fn currency(&self) -> Option<Currency> {
        let given = self.amounts().into_iter().find_map(|(_, amount)| amount);
        given.map(Money::currency)
    }

    fn fits(&self, segment: &Segment<'_>, region: Option<Region>, at: Timestamp) -> bool {
        self.account.names(segment.account)
            && self.method.is_none_or(|method| method == segment.method)
            && self.via.as_ref().is_none_or(|via| segment.via == Some(via))
            && self
                .currency()
                .is_none_or(|currency| currency == segment.currency)
            && (self.regions.is_empty() || region.is_some_and(|region| self.regions.contains(&region)))
            && self.valid_from.is_none_or(|from| from <= at)
            && self.valid_until.is_none_or(|until| at < until)
    }

    fn fee(&self, amount: Money) -> Option<Money> {
        let share = i128::from(amount.minor()) * i128::from(self.percent.0);
        // Half up: twice the share and one whole, by two wholes, rounded down.
        let rounded = (2 * share + PPM).div_euclid(2 * PPM);
        let minor = |amount: Option<Money>| amount.map(|amount| i128::from(amount.minor()));
        let fee = rounded + minor(self.fixed).unwrap_or(0);
        let fee = minor(self.least).map_or(fee, |least| fee.max(least));
        let fee = minor(self.most).map_or(fee, |most| fee.min(most));
        let fee = i64::try_from(fee).ok()?;
        Some(Money::from_minor(fee, amount.currency()))
    }
}

const PPM: i128 = 1_000_000;

/// A share of an amount, exact to a ten-thousandth of a percent. In text, as in serde, it is the percentage without its
/// sign: `1.4`. A number that isn't in quotes isn't read, since it would pass through a float.
///
/// ```
/// use paymux_core::routing::Percent;
///
/// let share: Percent = "1.4".parse()?;
/// assert_eq!(share, Percent::from_ppm(14_000));
/// assert_eq!(share.to_string(), "1.4");
/// # Ok::<(), paymux_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From parts per million: 14,000 are 1.4 %.
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm)
    }

    /// In parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let read = || {
            if !digits(whole) || !digits(decimals) || decimals.len() > 4 {
                return None;
            }
            let whole: u32 = whole.parse().ok()?;
            let parts: u32 = format!("{decimals:0<4}").parse().ok()?;
            whole.checked_mul(10_000)?.checked_add(parts)
        };
        read().map(Self).ok_or_else(|| {
            Error::invalid(Fault::new(
                "percent",
                "not a percentage",
                "write digits, with at most four decimals, as in \"1.4\"",
            ))
        })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0 / 10_000, self.0 % 10_000);
        if parts == 0 {
            return write!(f, "{whole}");
        }
        let parts = format!("{parts:04}");
        write!(f, "{whole}.{}", parts.trim_end_matches('0'))
    }
}

impl Serialize for Percent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// How far a payment goes, by where the issuer is, or else the payer, and where the merchant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Both in one country.
    Domestic,
    /// In two countries of the European Economic Area.
    Eea,
    /// Any other two.
    International,
}

/// The members of the European Union, and Iceland, Liechtenstein and Norway: the parties to the Agreement on the European
/// Economic Area since 2020-02-01.
const EEA: [Country; 30] = [
    Country::from_static("AT"),
    Country::from_static("BE"),
    Country::from_static("BG"),
    Country::from_static("CY"),
    Country::from_static("CZ"),
    Country::from_static("DE"),
    Country::from_static("DK"),
    Country::from_static("EE"),
    Country::from_static("ES"),
    Country::from_static("FI"),
    Country::from_static("FR"),
    Country::from_static("GR"),
    Country::from_static("HR"),
    Country::from_static("HU"),
    Country::from_static("IE"),
    Country::from_static("IS"),
    Country::from_static("IT"),
    Country::from_static("LI"),
    Country::from_static("LT"),
    Country::from_static("LU"),
    Country::from_static("LV"),
    Country::from_static("MT"),
    Country::from_static("NL"),
    Country::from_static("NO"),
    Country::from_static("PL"),
    Country::from_static("PT"),
    Country::from_static("RO"),
    Country::from_static("SE"),
    Country::from_static("SI"),
    Country::from_static("SK"),
];

impl Region {
    /// Of a payment. `None`: a country isn't known, and only rows without regions fit.
    pub fn of(facts: &Facts<'_>) -> Option<Self> {
        let payer = facts.card.issuer_country.or(facts.payer_country)?;
        let merchant = facts.merchant_country?;
        let in_eea = |country: &Country| EEA.binary_search(country).is_ok();
        Some(if payer == merchant {
            Self::Domestic
        } else if in_eea(&payer) && in_eea(&merchant) {
            Self::Eea
        } else {
            Self::International
        })
    }
}

/// `stripe`, `stripe/eu`.
mod target_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Target;

    pub(super) fn serialize<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(target)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
        String::deserialize(deserializer).map(|text| Target::of(&text))
    }
}

/// `0.25 EUR`.
mod money_text {
    use serde::{Deserializer, Serializer};

    use super::Money;
    use crate::text::from_text;

    pub(super) fn serialize<S: Serializer>(money: &Option<Money>, serializer: S) -> Result<S::Ok, S::Error> {
        match money {
            Some(money) => serializer.collect_str(money),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
        from_text(deserializer).map(Some)
    }
}
