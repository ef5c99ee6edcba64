//! paymux's core: entities, state machines, ports and the engine. It does no I/O of its own, reads no clock and
//! spawns nothing: a store, connectors and a runtime are handed to it.

pub mod connector;
pub mod docs;
#[cfg(feature = "machines")]
pub mod machines;
pub mod routing;
pub mod store;

mod action;
mod decline;
mod engine;
mod error;
mod hex;
mod id;
mod intent;
mod method;
mod money;
mod outcome;
mod panics;
mod refund;
mod retry;
mod risk;
mod runtime;
mod secret;
mod session;
mod tenant;
mod text;
mod time;

pub use action::{Action, ActionKind};
pub use connector::{Connector, Transport};
pub use decline::{Decline, DeclineAdvice, DeclineCode, DeclineKind, DeclineTable, unmapped_declines};
pub use engine::{
    AcceptDuplicateRisk, Actor, CaptureAmount, Confirm, ConnectorMap, Connectors, Cursor, Drained, Endpoint,
    Evidence, HealthPolicy, HistoryEvent, IdempotencyKey, IntentQuery, KeyLife, Listing, OnLatePayment,
    Operator, Orchestrator, OrchestratorBuilder, Page, PartialAuthorization, Payments, Policy, Programs,
    Progress, Received, RefundQuery, ReturnPayload, ReviewVerdict, SessionQuery, StoredProgram, UnknownQuery,
    Verdict, WebhookReply,
};
pub use error::{Error, ErrorKind, Fault, PublicError, Result, Retry};
pub use id::*;
pub use intent::*;
pub use method::{CardDetails, MethodKind, PaymentMethod};
pub use money::*;
pub use outcome::{
    CaptureOutcome, NextAction, PaymentOutcome, RefundOutcome, Replay, Reply, ReverseOutcome, SafeStep,
    Subject, SubjectId, UnknownOutcome, VoidOutcome,
};
pub use refund::{NewRefund, Refund, RefundReason, RefundStatus};
pub use retry::{
    CardNetwork, CardTries, Correction, NetworkAdvice, NeverAgain, RetryInstruction, RetryLimit, RetryRule,
    RetryTerms, TryOutcome, TryPermission, VisaCategory,
};
pub use risk::{RiskCheck, RiskStages, RiskVerdict};
pub use runtime::*;
pub use secret::{Secret, Volatile};
pub use session::{CheckoutSession, ExpiryReason, Integration, NewSession, OnSubmit, SessionStatus};
pub use store::{Backlog, Planned, Queue, Retention, Store};
pub use tenant::{Mode, Tenant};
pub use time::Timestamp;

pub use bytes::Bytes;
