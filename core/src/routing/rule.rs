//! What a merchant writes: rules over facts, and where a payment goes.
//!
//! A document in TOML or JSON and the builder make the same [`Rules`], and one check judges them: see
//! [`Program`](super::Program), which they compile to.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{CardType, Country, Fact, FactName, Weekday};
use crate::decline::DeclineCode;
use crate::id::AccountRef;
use crate::intent::{CaptureMethod, IntentMode, MitReason};
use crate::method::MethodKind;
use crate::money::{Currency, Money};

/// The most rules of a program.
pub const MOST_RULES: usize = 10_000;
/// How deep conditions may stand in one another.
pub const MOST_LEVELS: usize = 32;
/// The most bytes of a program's document: 1 MiB.
pub const MOST_BYTES: usize = 1 << 20;

/// A program as it was written: its lists, its rules in order, and its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) name: Placed<String>,
    pub(crate) lists: Vec<List>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) otherwise: Route,
}

impl Rules {
    /// The keys of metadata that are asked about.
    pub(crate) fn metadata_keys(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for rule in &self.rules {
            rule.when.0.each_comparison(&mut |comparison| {
                if let FactName::Metadata(key) = &comparison.fact.value {
                    keys.insert(key.to_string());
                }
            });
        }
        keys
    }
}

impl Condition {
    /// Every comparison in it.
    pub(crate) fn each_comparison<'c>(&'c self, visit: &mut impl FnMut(&'c Comparison)) {
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                for condition in conditions {
                    condition.each_comparison(visit);
                }
            }
            Self::Not(condition) => condition.each_comparison(visit),
            Self::Test(comparison) => visit(comparison),
        }
    }
}

/// Values under a name, shared between rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) name: Placed<String>,
    pub(crate) values: Vec<Placed<Value>>,
}

/// The first rule whose condition holds says where a payment goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: Placed<String>,
    pub(crate) when: When,
    pub(crate) route: Route,
}

/// A condition on the facts.
///
/// ```
/// use paymux_core::{Currency, money, routing::{amount, card_network, currency}};
///
/// let small = currency().is(Currency::EUR).and(amount().below(money!("30 EUR")));
/// let except_amex = small.except(card_network().is("amex"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct When(pub(crate) Condition);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All of them; of none, always.
    All(Vec<Condition>),
    /// One of them; of none, never.
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test(Comparison),
}

/// A fact beside what it is compared with. A fact that isn't known passes no test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) fact: Placed<FactName>,
    pub(crate) test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// It is one of these.
    In(Vec<Placed<Value>>),
    /// It is in the list of that name.
    InList(Placed<String>),
    /// It is at least the one and below the other; amounts in their currency alone.
    Range {
        at_least: Option<Placed<Value>>,
        below: Option<Placed<Value>>,
    },
    /// It begins with one of these.
    StartsWith(Vec<Placed<String>>),
    /// It is known.
    Present,
}

/// What a fact is compared with. Words, currencies and countries are texts in their canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Money(MoneyValue),
}

/// Money by currency and then amount: the order that ranges of amounts are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MoneyValue {
    pub(crate) currency: Currency,
    pub(crate) minor: i64,
}

/// Where payments go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Route {
    pub(crate) choice: Placed<Choice>,
    /// Tried after all of them, in order.
    pub(crate) then: Vec<Placed<Target>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// In this order.
    Ordered(Vec<Placed<Target>>),
    /// One by its share, and the others after it by theirs.
    Split { shares: Vec<Share>, sticky_by: StickyBy },
    /// The likeliest to be approved first.
    BestSuccessRate(Vec<Placed<Target>>),
    /// The cheapest first.
    Cheapest(Vec<Placed<Target>>),
    /// Those whose circuits are closed first, and among them the one with the fewest failures.
    HealthiestFirst(Vec<Placed<Target>>),
    /// Nowhere; the caller gets the reason.
    Block(Placed<String>),
}

/// A target of a split, and its weight.
pub(crate) type Share = (Placed<Target>, Placed<u32>);

/// What a split keeps together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyBy {
    /// The attempts of one payment.
    #[default]
    Intent,
    /// The payments of one customer; without a customer, as [`StickyBy::Intent`].
    Customer,
}

/// A connector with all its accounts in the order of their registration (`stripe`), or one account (`stripe/eu`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Target {
    pub(crate) connector: String,
    pub(crate) account: Option<String>,
}

impl Target {
    pub(crate) fn of(text: &str) -> Self {
        match text.split_once('/') {
            Some((connector, account)) => Self {
                connector: connector.to_owned(),
                account: Some(account.to_owned()),
            },
            None => Self {
                connector: text.to_owned(),
                account: None,
            },
        }
    }

    /// Whether it is, or is among, what this names.
    pub(crate) fn names(&self, account: &AccountRef) -> bool {
        self.connector == account.connector().as_str()
            && self.account.as_ref().is_none_or(|name| name == account.account())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.connector)?;
        match &self.account {
            Some(account) => write!(f, "/{account}"),
            None => Ok(()),
        }
    }
}

/// A part of a program, and where it stands. Where it stands doesn't make it another.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Placed<T> {}

impl<T> Placed<T> {
    /// In a builder, which has no document.
    pub(crate) fn built(value: T) -> Self {
        Self {
            value,
            place: Place::Built,
        }
    }
}

/// Where a part of a program stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a builder: the rule's name says where.
    Built,
    /// Bytes of a TOML document.
    #[cfg_attr(
        not(feature = "toml"),
        allow(dead_code, reason = "there is no TOML without it")
    )]
    Bytes(std::ops::Range<usize>),
    /// A pointer into a JSON document (RFC 6901).
    Pointer(String),
}

impl Place {
    /// Which of two comes first in their document: in TOML by bytes, in JSON by the steps of their pointers. A builder's
    /// parts have no order.
    pub(crate) fn cmp_in_document(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Built, Self::Built) => Ordering::Equal,
            (Self::Bytes(one), Self::Bytes(other)) => one.start.cmp(&other.start),
            (Self::Pointer(one), Self::Pointer(other)) => steps(one).cmp(steps(other)),
            (Self::Built, Self::Bytes(_) | Self::Pointer(_)) | (Self::Bytes(_), Self::Pointer(_)) => {
                Ordering::Less
            }
            (Self::Bytes(_) | Self::Pointer(_), Self::Built) | (Self::Pointer(_), Self::Bytes(_)) => {
                Ordering::Greater
            }
        }
    }
}

/// A pointer's steps, in which the tenth rule comes after the second.
fn steps(pointer: &str) -> impl Iterator<Item = (Option<u64>, &str)> {
    pointer.split('/').map(|step| (step.parse().ok(), step))
}

impl When {
    /// Both.
    pub fn and(self, other: Self) -> Self {
        Self(match self.0 {
            Condition::All(mut all) => {
                all.push(other.0);
                Condition::All(all)
            }
            one => Condition::All(vec![one, other.0]),
        })
    }

    /// Either, or both.
    pub fn or(self, other: Self) -> Self {
        Self(match self.0 {
            Condition::Any(mut any) => {
                any.push(other.0);
                Condition::Any(any)
            }
            one => Condition::Any(vec![one, other.0]),
        })
    }

    /// This, and not the other.
    pub fn except(self, other: Self) -> Self {
        self.and(other.negated())
    }

    /// Whatever this isn't. A comparison with a fact that isn't known doesn't hold, so that its negation does.
    pub fn negated(self) -> Self {
        Self(Condition::Not(Box::new(self.0)))
    }

    /// Every payment.
    pub fn always() -> Self {
        Self(Condition::All(Vec::new()))
    }
}

impl Route {
    fn of(choice: Choice) -> Self {
        Self {
            choice: Placed::built(choice),
            then: Vec::new(),
        }
    }

    /// To these, in this order: connectors (`stripe`) or accounts (`stripe/eu`).
    pub fn ordered<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self::of(Choice::Ordered(Self::targets(targets)))
    }

    /// To these by their shares: of 70 and 30, seven of ten payments go to the first and three to the second. Who isn't
    /// chosen comes next.
    pub fn split<T: AsRef<str>>(shares: impl IntoIterator<Item = (T, u32)>, sticky_by: StickyBy) -> Self {
        let share =
            |(target, weight): (T, u32)| (Placed::built(Target::of(target.as_ref())), Placed::built(weight));
        Self::of(Choice::Split {
            shares: shares.into_iter().map(share).collect(),
            sticky_by,
        })
    }

    /// To the likeliest to approve it first.
    pub fn best_success_rate<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self::of(Choice::BestSuccessRate(Self::targets(targets)))
    }

    /// To the cheapest first. One whose fee isn't known comes after those whose fee is.
    pub fn cheapest<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self::of(Choice::Cheapest(Self::targets(targets)))
    }

    /// To the one with the fewest failures first, of equals to the quicker one. Before them goes one whose circuit is half
    /// open, since nobody else finds out whether it answers again: as many payments as may probe.
    pub fn healthiest_first<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self::of(Choice::HealthiestFirst(Self::targets(targets)))
    }

    /// Nowhere. `reason` is told to the caller: a word of the host's, as `country_not_served`.
    pub fn block(reason: &str) -> Self {
        Self::of(Choice::Block(Placed::built(reason.to_owned())))
    }

    /// After all of those, these, in this order.
    pub fn then<T: AsRef<str>>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        self.then.extend(Self::targets(targets));
        self
    }

    fn targets<T: AsRef<str>>(targets: impl IntoIterator<Item = T>) -> Vec<Placed<Target>> {
        let placed = |target: T| Placed::built(Target::of(target.as_ref()));
        targets.into_iter().map(placed).collect()
    }
}

/// A type of values that a fact can have.
pub trait FactValue: sealed::Held {}

/// Keeps others from adding types, and how a value is held from being seen.
mod sealed {
    #[derive(Debug)]
    pub struct Holding(pub(super) super::Value);

    pub trait Held {
        fn held(self) -> Holding;
    }
}

macro_rules! values {
    ($($type:ty: |$it:ident| $text:expr;)*) => {
        $(
            impl sealed::Held for $type {
                fn held(self) -> sealed::Holding {
                    let $it = self;
                    sealed::Holding($text)
                }
            }
            impl FactValue for $type {}
        )*
    };
}

values! {
    Money: |it| Value::Money(MoneyValue { currency: it.currency(), minor: it.minor() });
    Currency: |it| Value::Text(it.code().to_owned());
    Country: |it| Value::Text(it.to_string());
    MethodKind: |it| word(&FactName::Method, it as usize);
    CardType: |it| word(&FactName::CardType, it as usize);
    CaptureMethod: |it| word(&FactName::Capture, it as usize);
    MitReason: |it| word(&FactName::Mit, it as usize);
    IntentMode: |it| word(&FactName::Mode, it as usize);
    Weekday: |it| word(&FactName::DayOfWeek, it as usize);
    DeclineCode: |it| word(&FactName::LastDecline, it as usize);
    String: |it| Value::Text(it);
    u16: |it| Value::Number(i64::from(it));
    u32: |it| Value::Number(i64::from(it));
}

fn word(fact: &FactName, place: usize) -> Value {
    Value::Text(fact.word(place as u16).to_owned())
}

impl<T: FactValue> Fact<T> {
    /// It is this.
    pub fn is(self, value: impl Into<T>) -> When {
        self.is_in([value])
    }

    /// It is one of these.
    pub fn is_in<V: Into<T>>(self, values: impl IntoIterator<Item = V>) -> When {
        let values = values
            .into_iter()
            .map(|value| Placed::built(sealed::Held::held(value.into()).0));
        let test = Test::In(values.collect());
        self.test(test)
    }

    /// It is in the program's list of that name.
    pub fn in_list(self, name: &str) -> When {
        self.test(Test::InList(Placed::built(name.to_owned())))
    }

    /// It is known.
    pub fn is_present(self) -> When {
        self.test(Test::Present)
    }

    fn range(self, at_least: Option<T>, below: Option<T>) -> When {
        let placed = |value: T| Placed::built(sealed::Held::held(value).0);
        self.test(Test::Range {
            at_least: at_least.map(placed),
            below: below.map(placed),
        })
    }

    fn test(self, test: Test) -> When {
        When(Condition::Test(Comparison {
            fact: Placed::built(self.name),
            test,
        }))
    }
}

macro_rules! ranges {
    ($($type:ty)*) => {
        $(
            impl Fact<$type> {
                /// It is less than this.
                pub fn below(self, most: $type) -> When {
                    self.range(None, Some(most))
                }

                /// It is this or more.
                pub fn at_least(self, least: $type) -> When {
                    self.range(Some(least), None)
                }

                /// It is in this range, whose end isn't in it.
                pub fn within(self, range: std::ops::Range<$type>) -> When {
                    self.range(Some(range.start), Some(range.end))
                }
            }
        )*
    };
}

ranges! { Money u16 u32 }

impl Fact<String> {
    /// It begins with this.
    pub fn starts_with(self, beginning: &str) -> When {
        self.starts_with_one_of([beginning])
    }

    /// It begins with one of these.
    pub fn starts_with_one_of<'v>(self, beginnings: impl IntoIterator<Item = &'v str>) -> When {
        let beginnings = beginnings
            .into_iter()
            .map(|beginning| Placed::built(beginning.to_owned()));
        let test = Test::StartsWith(beginnings.collect());
        self.test(test)
    }
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $fact:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name() -> Fact<$type> {
                Fact::named(FactName::$fact)
            }
        )*
    };
}

facts! {
    /// How much. A comparison with an amount holds in that amount's currency alone.
    amount: Money = Amount;
    /// In which currency.
    currency: Currency = Currency;
    /// By which kind of method.
    method: MethodKind = Method;
    /// The card's network, in lower case: `visa`, `mastercard`.
    card_network: String = CardNetwork;
    /// How the card is paid for.
    card_type: CardType = CardType;
    /// The card's first 6 to 8 digits.
    card_bin: String = CardBin;
    /// Where the card's issuer is.
    card_issuer_country: Country = CardIssuerCountry;
    /// Which wallet: `apple_pay`, `google_pay`.
    wallet: String = Wallet;
    /// The payer's bank, as processors name the institution.
    bank: String = Bank;
    /// Which scheme: `ideal`, `boleto`, `klarna`.
    scheme: String = Scheme;
    /// Where the payer is.
    payer_country: Country = PayerCountry;
    /// Where the merchant is.
    merchant_country: Country = MerchantCountry;
    /// The merchant's category, ISO 18245: 0 to 9999.
    mcc: u16 = Mcc;
    /// When the money is taken.
    capture: CaptureMethod = Capture;
    /// Why the merchant initiates the payment.
    mit: MitReason = Mit;
    /// What the payment is to achieve.
    mode: IntentMode = Mode;
    /// The host's customer, as its identifier reads.
    customer: String = Customer;
    /// The session that it pays, as its identifier reads.
    session: String = Session;
    /// The host's name for the merchant.
    tenant: String = Tenant;
    /// Minutes since midnight, UTC: 0 to 1439.
    time_of_day: u16 = TimeOfDay;
    /// The day, in UTC.
    day_of_week: Weekday = DayOfWeek;
    /// Which attempt it will be: 1 for the first.
    attempt: u32 = Attempt;
    /// Why the last attempt was declined.
    last_decline: DeclineCode = LastDecline;
}

/// A pair of the host's own, by its key.
pub fn metadata(key: &str) -> Fact<String> {
    Fact::named(FactName::Metadata(key.into()))
}
