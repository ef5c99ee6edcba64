//! What the words of a decline mean, written down from the card networks' published rules and not from the code.

use paymux_core::routing::ChoiceKind;
use paymux_core::{Decline, DeclineCode};

/// A word of the processor's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) word: &'static str,
    pub(super) code: DeclineCode,
    pub(super) says: Says,
}

/// What may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Another account, at once.
    GoOn,
    /// Nothing with this method.
    Hard,
    /// A challenge at the same account.
    Authenticate,
    /// Never this card at this merchant.
    NeverThisCard,
    /// Never this payment with this card.
    NeverThisPayment,
    /// Other data of the card first.
    Correct,
    /// The same card after so many milliseconds.
    Wait(i64),
}

const HOUR: i64 = 3_600_000;

const WORDS: &[Word] = &[
    word("soft", DeclineCode::DoNotHonor, Says::GoOn),
    word("hard", DeclineCode::StolenCard, Says::Hard),
    word("failed", DeclineCode::NotPermitted, Says::Hard),
    word(
        "authentication",
        DeclineCode::AuthenticationRequired,
        Says::Authenticate,
    ),
    word("funds", DeclineCode::InsufficientFunds, Says::GoOn),
    word("unavailable", DeclineCode::IssuerUnavailable, Says::GoOn),
    // Visa's category 2.
    word("v51", DeclineCode::InsufficientFunds, Says::GoOn),
    word("v91", DeclineCode::IssuerUnavailable, Says::GoOn),
    // Its category 1: of the card, and of this kind of payment.
    word("v04", DeclineCode::DoNotHonor, Says::NeverThisCard),
    word("v57", DeclineCode::DoNotHonor, Says::NeverThisPayment),
    // Its category 3.
    word("vN7", DeclineCode::DoNotHonor, Says::Correct),
    // Mastercard's merchant advice codes.
    word("m01", DeclineCode::DoNotHonor, Says::Correct),
    word("m02", DeclineCode::DoNotHonor, Says::Wait(72 * HOUR)),
    word("m03", DeclineCode::DoNotHonor, Says::NeverThisCard),
    word("m21", DeclineCode::DoNotHonor, Says::NeverThisCard),
    word("m24", DeclineCode::DoNotHonor, Says::Wait(HOUR)),
    word("m40", DeclineCode::DoNotHonor, Says::GoOn),
    word("m42", DeclineCode::DoNotHonor, Says::NeverThisPayment),
];

const fn word(word: &'static str, code: DeclineCode, says: Says) -> Word {
    Word { word, code, says }
}

/// The word that a decline was given with.
pub(super) fn of(decline: &Decline) -> Option<&'static Word> {
    let said = decline.network_code()?;
    WORDS.iter().find(|known| known.word == said)
}

/// How a rule puts accounts in order.
pub(super) fn of_choice(kind: ChoiceKind) -> &'static str {
    match kind {
        ChoiceKind::Ordered => "ordered",
        ChoiceKind::Split => "split",
        ChoiceKind::BestSuccessRate => "best success rate",
        ChoiceKind::Cheapest => "cheapest",
        ChoiceKind::HealthiestFirst => "healthiest first",
        ChoiceKind::Blocked => "blocked",
    }
}
