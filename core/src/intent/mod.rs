//! Payment intents: what is to be paid, the attempts to pay it, and the captures of what was authorized.
//!
//! A status changes in one place: [`event::apply`] of an event that [`machine::decide`] gave for a command or
//! [`merge::merge`] gave for news.

mod captures;
mod command;
mod details;
mod event;
mod known;
mod machine;
mod merge;
mod new;
mod news;
mod state;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub use details::{
    Address, AmountDetails, CaptureMethod, Challenge, Exemption, Grant, Granted, IntentDetails, IntentMode,
    LiabilityShift, LineItem, Metadata, Mit, MitReason, Need, Payer, Rest, RoutingDetails, Sca, ThreeDs,
    Through,
};
pub use new::{IntentUpdate, NewIntent};
pub use news::OnLateSuccess;
pub use state::{
    Attempt, CaptureRecord, CompensationReason, CompensationStatus, OperationKind, OperationRecord,
    PlannedAccount, ReviewReason, Totals,
};
pub use status::{AttemptStatus, CaptureStatus, IntentStatus, OperationStatus};
pub use view::PaymentIntent;

pub(crate) use command::Command;
#[cfg(test)]
pub(crate) use command::CommandKind;
pub(crate) use details::SESSION_LIFE;
pub(crate) use event::{Happened, IntentEvent, apply};
pub(crate) use known::speaks_of;
pub(crate) use machine::decide;
pub(crate) use merge::merge;
pub(crate) use new::{Limits, check_amount, check_details, check_url};
pub(crate) use news::{News, Observation, Reading, Source};
pub(crate) use state::{
    Closure, Ended, Intent, KeyUse, Known, OpStage, OpenOp, PlanRecord, RefundShare, Review, RiskAfter,
    StepRecord,
};
