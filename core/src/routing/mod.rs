//! Which accounts a payment may go to, in which order, and why. Pure: facts in, a plan with its reasons out.

mod active;
mod diagnostics;
mod facts;
mod index;
mod interpret;
mod ordered;
mod plan;
mod program;
mod rule;

pub use active::ActiveProgram;
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use facts::{CardFacts, CardType, Country, Fact, FactKind, FactName, Facts, Weekday};
pub use ordered::OrderedRouter;
pub use plan::{Candidate, Plan, RouteFacts, Router};
pub use program::{Matched, Program, ProgramBuilder};
pub use rule::{
    FactValue, MOST_BYTES, MOST_LEVELS, MOST_RULES, Route, StickyBy, When, amount, attempt, bank, capture,
    card_bin, card_issuer_country, card_network, card_type, currency, customer, day_of_week, last_decline,
    mcc, merchant_country, metadata, method, mit, mode, payer_country, scheme, session, tenant, time_of_day,
    wallet,
};
