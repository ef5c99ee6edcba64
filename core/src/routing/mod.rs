//! Which accounts a payment may go to, in which order, and why. Pure: facts in, a plan with its reasons out.

mod ordered;
mod plan;

pub use ordered::OrderedRouter;
pub use plan::{Candidate, Plan, RouteFacts, Router};
