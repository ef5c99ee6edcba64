//! Programs and payments to decide on: rules of 3 to 5 comparisons over ten facts, and payments of which half match a rule,
//! any of them alike, and half fall to the default. The same seed gives the same.

use paymux::routing::{self, CardFacts, CardType, Country, Facts, Program, Route, When};
use paymux::{Currency, MethodKind, Money};

/// One rule: all of its tests hold.
#[derive(Clone, Debug)]
pub(crate) struct Rule(pub(crate) Vec<Test>);

/// A comparison, as a host would write it in Rust.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Amount(Currency, i64, i64),
    Currency(Vec<Currency>),
    Method(Vec<MethodKind>),
    Network(Vec<&'static str>),
    CardType(CardType),
    Bin(Vec<String>),
    IssuerCountry(Vec<Country>),
    PayerCountry(Vec<Country>),
    Mcc(Vec<u16>),
    TimeOfDay(u16, u16),
}

/// A payment's facts.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) currency: Currency,
    pub(crate) minor: i64,
    pub(crate) method: MethodKind,
    pub(crate) network: &'static str,
    pub(crate) card_type: CardType,
    pub(crate) bin: String,
    pub(crate) issuer_country: Country,
    pub(crate) payer_country: Country,
    pub(crate) mcc: u16,
    pub(crate) time_of_day: u16,
}

impl Test {
    fn when(&self) -> When {
        match self {
            Self::Amount(currency, from, to) => {
                let money = |minor: &i64| Money::from_minor(*minor, *currency);
                routing::amount().within(money(from)..money(to))
            }
            Self::Currency(all) => routing::currency().is_in(all.iter().copied()),
            Self::Method(all) => routing::method().is_in(all.iter().copied()),
            Self::Network(all) => routing::card_network().is_in(all.iter().copied()),
            Self::CardType(one) => routing::card_type().is(*one),
            Self::Bin(all) => routing::card_bin().starts_with_one_of(all.iter().map(String::as_str)),
            Self::IssuerCountry(all) => routing::card_issuer_country().is_in(all.iter().copied()),
            Self::PayerCountry(all) => routing::payer_country().is_in(all.iter().copied()),
            Self::Mcc(all) => routing::mcc().is_in(all.iter().copied()),
            Self::TimeOfDay(from, to) => routing::time_of_day().within(*from..*to),
        }
    }
}

impl Rule {
    fn when(&self) -> When {
        self.0
            .iter()
            .fold(When::always(), |all, test| all.and(test.when()))
    }
}

/// The rules as a program that has yet to be compiled.
pub(crate) fn builder(rules: &[Rule]) -> paymux::routing::ProgramBuilder {
    let places = (0..).zip(rules);
    places.fold(Program::builder("measured"), |builder, (place, rule)| {
        let target = ["acme", "stripe", "sandbox"][place % 3];
        builder.rule(&format!("rule-{place}"), rule.when(), Route::ordered([target]))
    })
}

/// The rules as a program.
pub(crate) fn program(rules: &[Rule]) -> Program {
    builder(rules).otherwise(Route::ordered(["sandbox"])).unwrap()
}

impl Payment {
    /// What the program is told of it.
    #[inline]
    pub(crate) fn facts(&self) -> Facts<'_> {
        let amount = Money::from_minor(self.minor, self.currency);
        let mut facts = Facts::of("acme", amount, self.method);
        facts.card = CardFacts {
            network: Some(self.network),
            funding: Some(self.card_type),
            bin: Some(&self.bin),
            issuer_country: Some(self.issuer_country),
        };
        facts.payer_country = Some(self.payer_country);
        facts.mcc = Some(self.mcc);
        facts.time_of_day = self.time_of_day;
        facts
    }
}

/// Numbers that are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(pub u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn some<T>(&mut self, most: u64, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..=self.below(most)).map(|_| one(self)).collect()
    }
}

const METHODS: &[MethodKind] = &[
    MethodKind::CardToken,
    MethodKind::NetworkToken,
    MethodKind::Wallet,
    MethodKind::Provider,
];
pub(crate) const NETWORKS: &[&str] = &[
    "visa",
    "mastercard",
    "amex",
    "discover",
    "jcb",
    "unionpay",
    "cartes_bancaires",
];
pub(crate) const CARD_TYPES: &[CardType] = &[CardType::Credit, CardType::Debit, CardType::Prepaid];
const CURRENCIES: usize = 30;
const COUNTRIES: u64 = 60;
const BINS: u64 = 3_000;
const MCCS: u64 = 300;
const MOST_MINOR: u64 = 100_000;

fn currency(draw: &mut Draw) -> Currency {
    draw.of(&Currency::ALL[..CURRENCIES])
}

fn country(draw: &mut Draw) -> Country {
    let place = draw.below(COUNTRIES) as u8;
    let letters = [b'A' + place / 8, b'A' + place % 8 * 3];
    std::str::from_utf8(&letters).unwrap().parse().unwrap()
}

/// Eight digits, of which the first six are of a bank's.
fn bin(draw: &mut Draw) -> String {
    let bank = 400_000 + draw.below(BINS) * 53;
    format!("{bank}{:02}", draw.below(100))
}

fn mcc(draw: &mut Draw) -> u16 {
    3_000 + 17 * draw.below(MCCS) as u16
}

fn test(draw: &mut Draw, fact: usize) -> Test {
    match fact {
        0 => Test::Bin(draw.some(3, |draw| {
            let mut prefix = bin(draw);
            prefix.truncate(draw.of(&[6, 6, 6, 8]));
            prefix
        })),
        1 => Test::Mcc(draw.some(2, mcc)),
        2 => {
            let from = draw.below(MOST_MINOR) as i64;
            Test::Amount(
                currency(draw),
                from,
                from + 1 + draw.below(MOST_MINOR / 10) as i64,
            )
        }
        3 => Test::Currency(draw.some(2, currency)),
        4 => Test::Method(draw.some(2, |draw| draw.of(METHODS))),
        5 => Test::Network(draw.some(2, |draw| draw.of(NETWORKS))),
        6 => Test::CardType(draw.of(CARD_TYPES)),
        7 => Test::IssuerCountry(draw.some(3, country)),
        8 => Test::PayerCountry(draw.some(3, country)),
        _time => {
            let from = draw.below(1_200) as u16;
            Test::TimeOfDay(from, from + 30 + draw.below(200) as u16)
        }
    }
}

/// Rules of 3 to 5 comparisons with as many facts; one of them with few cards, trades or amounts, so that most payments
/// match few rules.
pub(crate) fn rules(count: usize) -> Vec<Rule> {
    let draw = &mut Draw(count as u64);
    let rule = |_| {
        let mut facts = vec![draw.below(3) as usize];
        let wanted = 3 + draw.below(3) as usize;
        while facts.len() < wanted {
            let fact = draw.below(10) as usize;
            if !facts.contains(&fact) {
                facts.push(fact);
            }
        }
        facts.sort_by_key(|fact| (fact * 7 + 3) % 10); // a host doesn't write the rarest first
        Rule(facts.into_iter().map(|fact| test(draw, fact)).collect())
    };
    (0..count).map(rule).collect()
}

fn any_payment(draw: &mut Draw) -> Payment {
    Payment {
        currency: currency(draw),
        minor: draw.below(MOST_MINOR) as i64,
        method: draw.of(METHODS),
        network: draw.of(NETWORKS),
        card_type: draw.of(CARD_TYPES),
        bin: bin(draw),
        issuer_country: country(draw),
        payer_country: country(draw),
        mcc: mcc(draw),
        time_of_day: draw.below(1_440) as u16,
    }
}

/// A payment that passes a rule, where no two of its tests exclude each other.
fn passing(draw: &mut Draw, rule: &Rule) -> Payment {
    let mut payment = any_payment(draw);
    for test in &rule.0 {
        match test {
            Test::Amount(currency, from, to) => {
                payment.currency = *currency;
                payment.minor = from + draw.below((to - from) as u64) as i64;
            }
            Test::Currency(all) => payment.currency = draw.of(all),
            Test::Method(all) => payment.method = draw.of(all),
            Test::Network(all) => payment.network = draw.of(all),
            Test::CardType(one) => payment.card_type = *one,
            Test::Bin(all) => {
                let prefix = &all[draw.below(all.len() as u64) as usize];
                let rest = 8 - prefix.len();
                payment.bin = format!("{prefix}{}", &format!("{:02}", draw.below(100))[..rest]);
            }
            Test::IssuerCountry(all) => payment.issuer_country = draw.of(all),
            Test::PayerCountry(all) => payment.payer_country = draw.of(all),
            Test::Mcc(all) => payment.mcc = draw.of(all),
            Test::TimeOfDay(from, to) => payment.time_of_day = from + draw.below(u64::from(to - from)) as u16,
        }
    }
    payment
}

/// Payments of which every second one is decided by a rule, each rule alike, and the others by none. `first` says which.
pub(crate) fn payments(
    rules: &[Rule],
    count: usize,
    first: impl Fn(&Payment) -> Option<usize>,
) -> Vec<Payment> {
    let draw = &mut Draw(7 + rules.len() as u64);
    let one = |place: usize| loop {
        if place.is_multiple_of(2) {
            let payment = any_payment(draw);
            if first(&payment).is_none() {
                return payment;
            }
        } else {
            let wanted = draw.below(rules.len() as u64) as usize;
            let mut tries = (0..50).map(|_| passing(draw, &rules[wanted]));
            if let Some(payment) = tries.find(|payment| first(payment) == Some(wanted)) {
                return payment;
            }
        }
    };
    let mut payments: Vec<Payment> = (0..count).map(one).collect();
    for pair in payments.chunks_exact_mut(2) {
        let first = draw.below(2) as usize; // in no order that a processor could learn
        pair.swap(0, first);
    }
    payments
}
