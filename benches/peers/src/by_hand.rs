//! What a host would write by hand: each rule's tests in Rust, one rule after the other.

use crate::workload::{Payment, Rule, Test};

/// The first rule that holds, in a loop.
#[inline]
pub(crate) fn first(rules: &[Rule], payment: &Payment) -> Option<usize> {
    rules
        .iter()
        .position(|rule| rule.0.iter().all(|test| passes(test, payment)))
}

/// Whether a payment passes it.
#[inline]
fn passes(test: &Test, payment: &Payment) -> bool {
    match test {
        Test::Amount(currency, from, to) => {
            payment.currency == *currency && (*from..*to).contains(&payment.minor)
        }
        Test::Currency(all) => all.contains(&payment.currency),
        Test::Method(all) => all.contains(&payment.method),
        Test::Network(all) => all.contains(&payment.network),
        Test::CardType(one) => payment.card_type == *one,
        Test::Bin(all) => all.iter().any(|prefix| payment.bin.starts_with(prefix.as_str())),
        Test::IssuerCountry(all) => all.contains(&payment.issuer_country),
        Test::PayerCountry(all) => all.contains(&payment.payer_country),
        Test::Mcc(all) => all.contains(&payment.mcc),
        Test::TimeOfDay(from, to) => (*from..*to).contains(&payment.time_of_day),
    }
}
