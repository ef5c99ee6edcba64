//! Which accounts a payment may go to, in which order, and why. Pure: facts in, a plan with its reasons out.

mod active;
mod cascade;
mod check;
mod circuit;
mod diagnostics;
mod document;
pub(crate) mod eligibility;
mod explain;
mod facts;
mod fee;
mod fixed;
mod health;
mod index;
mod interpret;
mod kept;
mod nearest;
mod ordered;
mod plan;
mod program;
mod rate;
mod reach;
mod replay;
#[cfg(feature = "toml")]
mod report;
mod rule;
mod split;
#[cfg(test)]
mod tests;
mod values;

pub use active::ActiveProgram;
pub use cascade::CascadePolicy;
pub(crate) use cascade::Cause;
pub use circuit::{Circuit, CircuitSettings, WhenAllOpen};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use explain::{ChoiceKind, Circuits, Considered, DecidedBy, Explanation, Kept, KeptFacts, SplitDraw};
pub use facts::{CardFacts, CardType, Country, Fact, FactKind, FactName, Facts, Weekday};
pub use fee::{FeeRow, FeeTable, Percent, Priced, Region};
pub use health::{
    AllOpen, Health, HealthBoard, HealthSettings, HealthSnapshot, InstanceId, Level, Ranking, Sample,
    Segment, Sign, Standing, Taken, by_success_rate, closed_first, healthiest_first,
};
pub(crate) use kept::KeptExplanation;
pub use ordered::OrderedRouter;
pub use plan::{Candidate, FactTexts, Plan, RouteFacts, Router};
pub use program::{Matched, Program, ProgramBuilder};
pub use rate::Counts;
pub(crate) use replay::Sums as ReplaySums;
pub use replay::{Example, FeeChange, Flow, Replay, replay};
pub use rule::{
    FactValue, MOST_BYTES, MOST_LEVELS, MOST_RULES, Route, StickyBy, When, amount, attempt, bank, capture,
    card_bin, card_issuer_country, card_network, card_type, currency, customer, day_of_week, last_decline,
    mcc, merchant_country, metadata, method, mit, mode, payer_country, scheme, session, tenant, time_of_day,
    wallet,
};
