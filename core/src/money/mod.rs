//! Amounts of money: a whole number of minor units in a currency of ISO 4217.
//!
//! [`Money`] has checked operations only. Two currencies never mix, nothing wraps, nothing is rounded, and no
//! amount passes through a floating-point number.

mod currency;
#[cfg(test)]
mod tests;

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use currency::Currency;

/// An amount in a currency: 64-bit minor units (cents of a euro, yen, fils of a Bahraini dinar), with
/// the minor unit of ISO 4217.
///
/// Amounts can be negative. There is no `+` and no `<`: amounts in two currencies have no sum and no order, so
/// [`checked_add`](Money::checked_add), [`checked_sub`](Money::checked_sub) and
/// [`checked_cmp`](Money::checked_cmp) return a `Result`. `==` compares amount and currency.
///
/// In text an amount is `49.99 EUR`; in serde it is `{"minor": 4999, "currency": "EUR"}`, and no other field is
/// accepted.
///
/// ```
/// use paymux_core::{Currency, Money, money};
///
/// let price = money!("49.99 EUR");
/// assert_eq!(price.minor(), 4999);
/// assert_eq!(price, Money::from_minor(4999, Currency::EUR));
/// assert_eq!(price.checked_add(money!("0.01 EUR"))?.to_string(), "50.00 EUR");
/// # Ok::<(), paymux_core::MoneyError>(())
/// ```
///
/// ```compile_fail,E0369
/// # use paymux_core::money;
/// let sum = money!("1 EUR") + money!("1 GBP");
/// ```
///
/// ```compile_fail,E0369
/// # use paymux_core::money;
/// let less = money!("1 EUR") < money!("1 GBP");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why an amount or a currency was refused. Each message ends with the remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The code isn't an active one of ISO 4217 with a minor unit.
    #[error(
        "{code:?} is not an active ISO 4217 code with a minor unit; write one of Currency::ALL, such as \"EUR\""
    )]
    UnknownCurrency {
        /// What stood where the code should be, cut after its first characters.
        code: String,
    },
    /// The text isn't an amount, one space and a currency code.
    #[error(
        "{text:?} is not an amount; write digits, a point before any decimals, one space and the currency's \
         code, as in \"49.99 EUR\""
    )]
    Malformed {
        /// The text, cut after its first characters.
        text: String,
    },
    /// The amount has more decimals than the currency.
    #[error(
        "{currency} has {} decimals and the amount has more; round it first, by a rule of your own",
        .currency.exponent()
    )]
    TooManyDecimals {
        /// The currency of the amount.
        currency: Currency,
    },
    /// The amount doesn't fit in 64-bit minor units.
    #[error(
        "the amount is out of range in {currency}; keep it between {} and {}",
        Money::from_minor(i64::MIN, *.currency),
        Money::from_minor(i64::MAX, *.currency)
    )]
    Overflow {
        /// The currency of the amount.
        currency: Currency,
    },
    /// Two amounts in different currencies were to be added, subtracted or compared.
    #[error("{left} and {right} do not mix; convert one amount into the other's currency first")]
    CurrencyMismatch {
        /// The currency of the amount on which the method was called.
        left: Currency,
        /// The currency of the argument.
        right: Currency,
    },
    /// There was no weight above zero to allocate by.
    #[error("no weight is above zero; give at least one part a weight of 1 or more")]
    NoWeight,
}

impl Money {
    /// An amount of `minor` minor units: `from_minor(4999, Currency::EUR)` is 49.99 EUR,
    /// `from_minor(500, Currency::JPY)` is 500 JPY.
    pub const fn from_minor(minor: i64, currency: Currency) -> Money {
        Money { minor, currency }
    }

    /// Nothing, in this currency.
    pub const fn zero(currency: Currency) -> Money {
        Money { minor: 0, currency }
    }

    /// An exact amount from `major`, in units of the currency (49.99 for 49.99 EUR). Nothing is rounded; zeros at
    /// the end don't count as decimals.
    ///
    /// # Errors
    ///
    /// [`MoneyError::TooManyDecimals`] if a digit would be lost, [`MoneyError::Overflow`] if the amount doesn't fit
    /// in 64-bit minor units.
    ///
    /// ```
    /// use paymux_core::{Currency, Money, MoneyError, money};
    /// use rust_decimal::Decimal;
    ///
    /// assert_eq!(Money::from_decimal(Decimal::new(49_990, 3), Currency::EUR)?, money!("49.99 EUR"));
    /// assert_eq!(
    ///     Money::from_decimal(Decimal::new(49_995, 3), Currency::EUR),
    ///     Err(MoneyError::TooManyDecimals { currency: Currency::EUR })
    /// );
    /// # Ok::<(), MoneyError>(())
    /// ```
    pub fn from_decimal(major: Decimal, currency: Currency) -> Result<Money, MoneyError> {
        let major = major.normalize();
        let missing = currency
            .exponent()
            .checked_sub(major.scale())
            .ok_or(MoneyError::TooManyDecimals { currency })?;
        // A mantissa has 96 bits and an exponent is 4 at most, so that the product can't overflow.
        Money::in_range(major.mantissa() * 10_i128.pow(missing), currency)
            .ok_or(MoneyError::Overflow { currency })
    }

    /// The exact amount in units of the currency, with as many decimals as the currency has.
    ///
    /// ```
    /// # use paymux_core::money;
    /// assert_eq!(money!("-0.05 EUR").to_decimal().to_string(), "-0.05");
    /// assert_eq!(money!("1.5 BHD").to_decimal().to_string(), "1.500");
    /// ```
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.minor), self.currency.exponent())
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether the amount is zero.
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// Whether the amount is more than zero.
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// `self` + `other`.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`], and [`MoneyError::Overflow`] if the sum doesn't fit in 64-bit minor units.
    ///
    /// ```
    /// # use paymux_core::money;
    /// assert_eq!(money!("0.10 EUR").checked_add(money!("0.20 EUR")), Ok(money!("0.30 EUR")));
    /// assert!(money!("0.10 EUR").checked_add(money!("0.20 GBP")).is_err());
    /// ```
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        let currency = self.common_currency(other)?;
        let minor = self
            .minor
            .checked_add(other.minor)
            .ok_or(MoneyError::Overflow { currency })?;
        Ok(Money { minor, currency })
    }

    /// `self` − `other`, which may be negative.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`], and [`MoneyError::Overflow`] if the difference doesn't fit in 64-bit minor
    /// units.
    ///
    /// ```
    /// # use paymux_core::money;
    /// assert_eq!(money!("500 JPY").checked_sub(money!("501 JPY")), Ok(money!("-1 JPY")));
    /// ```
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        let currency = self.common_currency(other)?;
        let minor = self
            .minor
            .checked_sub(other.minor)
            .ok_or(MoneyError::Overflow { currency })?;
        Ok(Money { minor, currency })
    }

    /// How `self` compares to `other`, in the same currency.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`].
    ///
    /// ```
    /// # use paymux_core::money;
    /// use std::cmp::Ordering;
    ///
    /// assert_eq!(money!("9.99 EUR").checked_cmp(money!("10 EUR")), Ok(Ordering::Less));
    /// assert!(money!("9.99 EUR").checked_cmp(money!("10 GBP")).is_err());
    /// ```
    pub fn checked_cmp(self, other: Money) -> Result<Ordering, MoneyError> {
        self.common_currency(other)?;
        Ok(self.minor.cmp(&other.minor))
    }

    /// Divides the amount into one part for each weight, by the method of the largest remainder: each part is less
    /// than one minor unit from its exact share, and the parts' sum is `self`.
    ///
    /// The units that remain go to the parts with the largest fractions, the earlier part first where two are
    /// equal. A weight of 0 gets nothing. A negative amount is divided as its opposite is, with the signs turned.
    ///
    /// # Errors
    ///
    /// [`MoneyError::NoWeight`] if there are no weights or all are 0.
    ///
    /// ```
    /// # use paymux_core::money;
    /// let parts = money!("100.00 EUR").allocate(&[1, 1, 1])?;
    /// assert_eq!(parts, [money!("33.34 EUR"), money!("33.33 EUR"), money!("33.33 EUR")]);
    /// # Ok::<(), paymux_core::MoneyError>(())
    /// ```
    pub fn allocate(self, weights: &[u32]) -> Result<Vec<Money>, MoneyError> {
        let currency = self.currency;
        let total: i128 = weights.iter().copied().map(i128::from).sum();
        if total == 0 {
            return Err(MoneyError::NoWeight);
        }
        // At most 2^63 times 2^32, and a total below 2^96: all of it fits in an i128.
        let amount = i128::from(self.minor).abs();
        let (mut shares, remainders): (Vec<i128>, Vec<i128>) = weights
            .iter()
            .map(|&weight| {
                let product = amount * i128::from(weight);
                (product / total, product % total)
            })
            .unzip();

        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by_key(|&part| Reverse(remainders[part])); // stable: equal ones keep their order
        let rest = amount - shares.iter().sum::<i128>();
        for (part, _) in order.into_iter().zip(0..rest) {
            shares[part] += 1;
        }

        let sign = i128::from(self.minor.signum());
        shares
            .into_iter()
            .map(|share| Money::in_range(sign * share, currency).ok_or(MoneyError::Overflow { currency }))
            .collect()
    }

    /// What [`money!`](crate::money!) evaluates. Panics on what [`FromStr`] refuses, which is a compile error there.
    #[doc(hidden)]
    pub const fn literal(text: &str) -> Money {
        match parse(text.as_bytes()) {
            Ok(money) => money,
            Err(Fault::Malformed) => panic!("write an amount as \"49.99 EUR\""),
            Err(Fault::UnknownCurrency) => panic!("the code is not an active ISO 4217 currency"),
            Err(Fault::TooManyDecimals(_)) => panic!("the amount has more decimals than its currency"),
            Err(Fault::Overflow(_)) => panic!("the amount does not fit in 64-bit minor units"),
        }
    }

    fn common_currency(self, other: Money) -> Result<Currency, MoneyError> {
        if self.currency == other.currency {
            Ok(self.currency)
        } else {
            Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            })
        }
    }

    const fn in_range(minor: i128, currency: Currency) -> Option<Money> {
        if minor < i64::MIN as i128 || minor > i64::MAX as i128 {
            return None;
        }
        Some(Money {
            minor: minor as i64,
            currency,
        })
    }
}

/// An amount written in the source, checked when the program is compiled: a constant [`Money`].
///
/// It reads what `Money`'s `FromStr` reads.
///
/// ```
/// use paymux_core::{Currency, Money, money};
///
/// const FEE: Money = money!("0.25 EUR");
/// assert_eq!(FEE, Money::from_minor(25, Currency::EUR));
/// assert_eq!(money!("30 EUR"), Money::from_minor(3000, Currency::EUR));
/// assert_eq!(money!("500 JPY"), Money::from_minor(500, Currency::JPY));
/// ```
///
/// Too many decimals, and an unknown currency, don't compile:
///
/// ```compile_fail,E0080
/// let _ = paymux_core::money!("1.999 EUR");
/// ```
///
/// ```compile_fail,E0080
/// let _ = paymux_core::money!("1.99 EURO");
/// ```
#[macro_export]
macro_rules! money {
    ($text:literal) => {
        const { $crate::Money::literal($text) }
    };
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads `49.99 EUR`: an optional sign, digits, a point and at most as many decimals as the currency has, one
    /// space, and the code in upper or lower case. Decimals may be missing (`30 EUR`, `49.9 EUR`). Too many are
    /// refused even where they are zeros, because `1.000 EUR` is a thousand euros to many a reader. Nothing
    /// else is read: no separators of thousands, no symbols, no space around it.
    ///
    /// # Errors
    ///
    /// [`MoneyError::Malformed`], [`MoneyError::UnknownCurrency`], [`MoneyError::TooManyDecimals`], and
    /// [`MoneyError::Overflow`] if the amount doesn't fit in 64-bit minor units.
    ///
    /// ```
    /// use paymux_core::{Money, money};
    ///
    /// assert_eq!("-0.05 eur".parse(), Ok(money!("-0.05 EUR")));
    /// assert!("49,99 EUR".parse::<Money>().is_err());
    /// assert!("49.999 EUR".parse::<Money>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Money, MoneyError> {
        parse(text.as_bytes()).map_err(|fault| match fault {
            Fault::Malformed => MoneyError::Malformed { text: excerpt(text) },
            Fault::UnknownCurrency => {
                MoneyError::unknown_currency(text.split_once(' ').map_or("", |(_, code)| code))
            }
            Fault::TooManyDecimals(currency) => MoneyError::TooManyDecimals { currency },
            Fault::Overflow(currency) => MoneyError::Overflow { currency },
        })
    }
}

impl fmt::Display for Money {
    /// Writes `49.99 EUR`, `500 JPY`, `-1.500 BHD`: always as many decimals as the currency has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.exponent();
        let unit = 10_u64.pow(decimals);
        let (whole, fraction) = (self.minor.unsigned_abs() / unit, self.minor.unsigned_abs() % unit);
        let sign = if self.minor < 0 { "-" } else { "" };
        match decimals as usize {
            0 => write!(f, "{sign}{whole} {}", self.currency),
            width => write!(f, "{sign}{whole}.{fraction:0width$} {}", self.currency),
        }
    }
}

impl MoneyError {
    fn unknown_currency(code: &str) -> Self {
        MoneyError::UnknownCurrency { code: excerpt(code) }
    }
}

/// The beginning of a text: what was refused may be as long as a stranger made it.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(32) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A [`MoneyError`] that a `const fn` can return: without a String.
#[derive(Clone, Copy)]
enum Fault {
    Malformed,
    UnknownCurrency,
    TooManyDecimals(Currency),
    Overflow(Currency),
}

/// The one grammar of amounts, for `FromStr` and, in constants, for `money!`.
const fn parse(text: &[u8]) -> Result<Money, Fault> {
    let mut space = 0;
    while space < text.len() && text[space] != b' ' {
        space += 1;
    }
    let (amount, [_, code @ ..]) = text.split_at(space) else {
        return Err(Fault::Malformed);
    };
    let (negative, digits) = match amount {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Err(Fault::Malformed);
    }

    let mut magnitude: i128 = 0;
    let mut point = None;
    let mut i = 0;
    while i < digits.len() {
        match digits[i] {
            // Past an i64 it only has to stay there: the syntax is still read to the end.
            digit @ b'0'..=b'9' if magnitude <= -(i64::MIN as i128) => {
                magnitude = magnitude * 10 + (digit - b'0') as i128;
            }
            b'0'..=b'9' => {}
            b'.' if point.is_none() && i > 0 && i + 1 < digits.len() => point = Some(i),
            _ => return Err(Fault::Malformed),
        }
        i += 1;
    }
    let decimals = match point {
        Some(point) => digits.len() - point - 1,
        None => 0,
    };

    let Some(currency) = Currency::lookup(code) else {
        return Err(Fault::UnknownCurrency);
    };
    let Some(missing) = (currency.exponent() as usize).checked_sub(decimals) else {
        return Err(Fault::TooManyDecimals(currency));
    };
    magnitude *= 10_i128.pow(missing as u32);
    match Money::in_range(if negative { -magnitude } else { magnitude }, currency) {
        Some(money) => Ok(money),
        None => Err(Fault::Overflow(currency)),
    }
}
