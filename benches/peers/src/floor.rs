//! The least that such a decision can take: for each value of each of the workload's ten facts the bits of the rules that it
//! leaves standing, joined by `and` word by word. It knows the workload's facts and tests, and can't do anything else.

use paymux::routing::Country;
use paymux::{Currency, MethodKind};
use rustc_hash::FxHashMap;

use crate::workload::{CARD_TYPES, NETWORKS, Payment, Rule, Test};

/// In the order of their variants' numbers, as the card types' table is.
const METHODS: [MethodKind; 10] = [
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

/// Rows of bits over the rules, and for each fact the row of each value.
pub struct Floor {
    words: usize,
    bits: Vec<u64>,
    currency: Vec<u32>,
    method: Vec<u32>,
    network: FxHashMap<&'static str, u32>,
    card_type: Vec<u32>,
    /// By eight digits, and by six of them.
    bin: FxHashMap<u64, u32>,
    other_bin: u32,
    issuer_country: Vec<u32>,
    payer_country: Vec<u32>,
    mcc: Vec<u32>,
    time_of_day: Vec<u32>,
    /// Bounds in order, each with the row from there on.
    amount: Vec<Vec<(i64, u32)>>,
}

impl Floor {
    pub fn of(rules: &[Rule]) -> Self {
        let mut rows = Rows {
            rules,
            words: rules.len().div_ceil(64),
            bits: Vec::new(),
            places: FxHashMap::default(),
        };
        let countries = |rows: &mut Rows<'_>, pick: fn(&Test) -> Option<&Vec<Country>>| -> Vec<u32> {
            let row = |place| {
                let country = country_at(place);
                rows.row(|test| pick(test).map(|all| all.contains(&country)))
            };
            (0..26 * 26).map(row).collect()
        };
        let issuer_country = countries(&mut rows, |test| match test {
            Test::IssuerCountry(all) => Some(all),
            _other => None,
        });
        let payer_country = countries(&mut rows, |test| match test {
            Test::PayerCountry(all) => Some(all),
            _other => None,
        });
        let (bin, other_bin) = bins(&mut rows);
        let mut currency = vec![0; 1 << 15];
        let mut amount = vec![Vec::new(); 1 << 15];
        for one in Currency::ALL {
            currency[currency_place(*one)] = rows.row(|test| match test {
                Test::Currency(all) => Some(all.contains(one)),
                _other => None,
            });
            amount[currency_place(*one)] = amounts(&mut rows, *one);
        }
        Self {
            currency,
            amount,
            method: METHODS
                .iter()
                .map(|one| {
                    rows.row(|test| match test {
                        Test::Method(all) => Some(all.contains(one)),
                        _other => None,
                    })
                })
                .collect(),
            network: NETWORKS
                .iter()
                .map(|one| {
                    let row = rows.row(|test| match test {
                        Test::Network(all) => Some(all.contains(one)),
                        _other => None,
                    });
                    (*one, row)
                })
                .collect(),
            card_type: CARD_TYPES
                .iter()
                .map(|one| {
                    rows.row(|test| match test {
                        Test::CardType(only) => Some(only == one),
                        _other => None,
                    })
                })
                .collect(),
            bin,
            other_bin,
            issuer_country,
            payer_country,
            mcc: (0..10_000)
                .map(|one| {
                    rows.row(|test| match test {
                        Test::Mcc(all) => Some(all.contains(&one)),
                        _other => None,
                    })
                })
                .collect(),
            time_of_day: (0..1_440)
                .map(|one| {
                    rows.row(|test| match test {
                        Test::TimeOfDay(from, to) => Some((*from..*to).contains(&one)),
                        _other => None,
                    })
                })
                .collect(),
            words: rows.words,
            bits: rows.bits,
        }
    }

    #[inline]
    pub fn first(&self, payment: &Payment) -> Option<usize> {
        let digits = number(&payment.bin);
        let bin = self.bin.get(&digits).or_else(|| self.bin.get(&(digits / 100)));
        let bounds = &self.amount[currency_place(payment.currency)];
        let bound = bounds.partition_point(|(from, _)| *from <= payment.minor);
        let rows = [
            *bin.unwrap_or(&self.other_bin),
            self.mcc[usize::from(payment.mcc)],
            bounds[bound - 1].1,
            self.currency[currency_place(payment.currency)],
            self.method[payment.method as usize],
            self.network[payment.network],
            self.card_type[payment.card_type as usize],
            self.issuer_country[country_place(payment.issuer_country)],
            self.payer_country[country_place(payment.payer_country)],
            self.time_of_day[usize::from(payment.time_of_day)],
        ];
        let rows = rows.map(|row| &self.bits[row as usize * self.words..][..self.words]);
        (0..self.words).find_map(|word| {
            let standing = rows.iter().fold(u64::MAX, |standing, row| standing & row[word]);
            (standing != 0).then(|| word * 64 + standing.trailing_zeros() as usize)
        })
    }
}

/// Rows as they are made: equal ones are one.
struct Rows<'r> {
    rules: &'r [Rule],
    words: usize,
    bits: Vec<u64>,
    places: FxHashMap<Vec<u64>, u32>,
}

impl Rows<'_> {
    /// The row of a value that passes these tests; `None`: a test on another fact.
    fn row(&mut self, passes: impl Fn(&Test) -> Option<bool>) -> u32 {
        let mut row = vec![0; self.words];
        for (place, rule) in self.rules.iter().enumerate() {
            if rule.0.iter().all(|test| passes(test) != Some(false)) {
                row[place / 64] |= 1 << (place % 64);
            }
        }
        let next = self.places.len() as u32;
        let bits = &mut self.bits;
        *self.places.entry(row).or_insert_with_key(|row| {
            bits.extend_from_slice(row);
            next
        })
    }
}

fn bins(rows: &mut Rows<'_>) -> (FxHashMap<u64, u32>, u32) {
    let tests = rows.rules.iter().flat_map(|rule| &rule.0);
    let mut prefixes: Vec<&str> = tests
        .filter_map(|test| match test {
            Test::Bin(all) => Some(all),
            _other => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let mut row = |bin: &str| {
        rows.row(|test| match test {
            Test::Bin(all) => Some(all.iter().any(|prefix| bin.starts_with(prefix.as_str()))),
            _other => None,
        })
    };
    let other = row("");
    (
        prefixes
            .into_iter()
            .map(|prefix| (number(prefix), row(prefix)))
            .collect(),
        other,
    )
}

fn amounts(rows: &mut Rows<'_>, currency: Currency) -> Vec<(i64, u32)> {
    let tests = rows.rules.iter().flat_map(|rule| &rule.0);
    let bounds = tests.filter_map(|test| match test {
        Test::Amount(one, from, to) if *one == currency => Some([*from, *to]),
        _other => None,
    });
    let mut bounds: Vec<i64> = bounds.flatten().chain([i64::MIN]).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let row = |minor| {
        let row = rows.row(|test| match test {
            Test::Amount(one, from, to) => Some(*one == currency && (*from..*to).contains(&minor)),
            _other => None,
        });
        (minor, row)
    };
    bounds.into_iter().map(row).collect()
}

fn number(digits: &str) -> u64 {
    digits
        .bytes()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

fn country_at(place: u16) -> Country {
    let letters = [place / 26, place % 26].map(|letter| b'A' + letter as u8);
    std::str::from_utf8(&letters).unwrap().parse().unwrap()
}

fn country_place(country: Country) -> usize {
    let letters = country.as_str().as_bytes();
    usize::from(letters[0] - b'A') * 26 + usize::from(letters[1] - b'A')
}

/// Five bits for each letter.
fn currency_place(currency: Currency) -> usize {
    let letters = currency.code().bytes();
    letters.fold(0, |place, letter| place << 5 | usize::from(letter - b'A'))
}
