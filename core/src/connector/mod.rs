//! A connector: one account at a processor, as a value without I/O.
//!
//! It has one slot per ability. A slot holds how a request is built and how an answer is read ([`Exchange`]), and
//! what the step may do and how the processor knows it again ([`Step`]). An empty slot is the only statement that
//! something isn't offered. The engine alone sends, through the account's [`Transport`], between two commits.

use std::fmt;
use std::sync::Arc;

pub mod op;

mod capabilities;
mod key;
mod outcome;
mod pace;
mod transport;
mod webhook;

pub use capabilities::{Capabilities, Offer, Requirement, SuccessOn, VoidAfterCapture};
pub use key::{Effect, Key, ReplaysErrors, Step, StepKey};
pub use op::{
    Approval, AuthorizeReport, CaptureReport, CloseReport, Handle, LookUpReport, Operation, PrepareReport,
    ReadReport, RefundReadReport, RefundReport, Standing,
};
pub use outcome::{
    CallError, Contradiction, Doubt, Echo, Echoes, NotExecuted, Outcome, RefusalProof, Stage, StatusTable,
};
pub use pace::Pace;
pub use transport::{Request, Response, Transport, TransportError, Unsendable};
pub use webhook::{
    Authority, BadSignature, Inbound, Malformed, Notice, TimestampedHmac, Verified, WebhookOps,
};

use crate::id::AccountRef;
use crate::panics::{Panicked, caught};
use crate::tenant::Mode;

/// What a connector's author imports.
pub mod prelude {
    pub use super::{
        Approval, Authority, Authorization, AuthorizeReport, BadSignature, CallError, Capabilities,
        CaptureReport, CloseReport, Connector, Echo, Echoes, Exchange, Handle, Inbound, Key, LookUpReport,
        Malformed, Notice, Pace, PrepareReport, ReadReport, RefundReadReport, RefundReport, ReplaysErrors,
        Request, Response, Standing, StatusTable, Step, StepKey, SuccessOn, TimestampedHmac, Transport,
        TransportError, Unsendable, Verified, WebhookOps, op,
    };
    pub use crate::action::{Action, ActionKind};
    pub use crate::decline::{Decline, DeclineCode, DeclineKind, DeclineTable};
    pub use crate::id::{AccountRef, ConnectorId};
    pub use crate::intent::{CaptureMethod, Challenge, Granted, IntentMode, Rest};
    pub use crate::method::{MethodKind, PaymentMethod};
    pub use crate::money::{Currency, Money};
    pub use crate::secret::{Secret, Volatile};
    pub use crate::time::Timestamp;
    pub use async_trait::async_trait;
    pub use bytes::Bytes;
    pub use std::sync::Arc;
    pub use std::time::Duration;
}

/// One step to a processor, without I/O: the engine hashes the request into its first write, commits, sends it, and
/// hands the answer back.
pub trait Exchange<O: Operation>: fmt::Debug + Send + Sync + 'static {
    /// The bytes to send. Pure: the same operation and key always give the same method, URL and body.
    ///
    /// # Errors
    /// What the processor can't be asked: nothing is written then.
    fn request(&self, op: &O, key: &StepKey) -> Result<Request, Unsendable>;

    /// What an answer says. It may be read at any time after, also on another instance.
    ///
    /// # Errors
    /// [`CallError`]: a doubt, unless the answer proves that nothing was executed.
    fn report(&self, op: &O, answer: &Response) -> Result<O::Report, CallError>;
}

/// A slot: what the step may do, and how it is asked and read.
pub(crate) struct Slot<O: Operation> {
    pub(crate) step: Step,
    pub(crate) exchange: Arc<dyn Exchange<O>>,
}

impl<O: Operation> Clone for Slot<O> {
    fn clone(&self) -> Self {
        Self {
            step: self.step,
            exchange: self.exchange.clone(),
        }
    }
}

impl<O: Operation> fmt::Debug for Slot<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(O::STEP).field(&self.step).finish()
    }
}

/// How an account authorizes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Authorization {
    /// In one call.
    OneCall(Step, Arc<dyn Exchange<op::Authorize>>),
    /// In two: the first makes the payment and gives its handle, the second executes it. The handle is committed in
    /// between, so that a lost second answer is read back by it.
    HandleFirst {
        /// Makes the payment: preparatory.
        prepare: (Step, Arc<dyn Exchange<op::Prepare>>),
        /// Executes it: moves money.
        execute: (Step, Arc<dyn Exchange<op::Execute>>),
    },
}

/// One account at a processor: its limits, its transport, and a slot for each ability.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connector {
    pub(crate) account: AccountRef,
    pub(crate) mode: Option<Mode>,
    pub(crate) capabilities: Capabilities,
    pub(crate) pace: Pace,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) authorize: Option<Authorization>,
    pub(crate) complete: Option<Slot<op::Complete>>,
    pub(crate) capture: Option<Slot<op::Capture>>,
    pub(crate) increment: Option<Slot<op::Increment>>,
    pub(crate) void: Option<Slot<op::Void>>,
    pub(crate) cancel: Option<Slot<op::Cancel>>,
    pub(crate) refund: Option<Slot<op::Refund>>,
    pub(crate) read: Option<Arc<dyn Exchange<op::Read>>>,
    pub(crate) look_up: Option<Arc<dyn Exchange<op::LookUp>>>,
    pub(crate) read_refund: Option<Arc<dyn Exchange<op::ReadRefund>>>,
    pub(crate) look_up_refund: Option<Arc<dyn Exchange<op::LookUpRefund>>>,
    pub(crate) webhooks: Option<Arc<dyn WebhookOps>>,
}

impl Connector {
    /// An account that offers nothing yet.
    pub fn builder(
        account: AccountRef,
        capabilities: Capabilities,
        transport: Arc<dyn Transport>,
    ) -> ConnectorBuilder {
        ConnectorBuilder(Self {
            account,
            mode: None,
            capabilities,
            pace: Pace::unbounded(),
            transport,
            authorize: None,
            complete: None,
            capture: None,
            increment: None,
            void: None,
            cancel: None,
            refund: None,
            read: None,
            look_up: None,
            read_refund: None,
            look_up_refund: None,
            webhooks: None,
        })
    }

    /// Which account this is.
    pub fn account(&self) -> &AccountRef {
        &self.account
    }

    /// Whose tenants it serves: those of one mode, or any where nothing says which.
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// Its limits.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The same account by another way: what `wrap` makes of its transport, to record, delay or cut calls.
    #[must_use]
    pub fn with_transport(mut self, wrap: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>) -> Self {
        self.transport = wrap(self.transport);
        self
    }

    /// The same account, called no faster than this by one instance.
    #[must_use]
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Whether an ability is offered.
    pub fn offers(&self, ability: Ability) -> Offer {
        let offered = match ability {
            Ability::Authorize => self.authorize.is_some(),
            Ability::Complete => self.complete.is_some(),
            Ability::Capture => self.capture.is_some(),
            Ability::Increment => self.increment.is_some(),
            Ability::Void => self.void.is_some(),
            Ability::Cancel => self.cancel.is_some(),
            Ability::Refund => self.refund.is_some(),
            Ability::Read => self.read.is_some(),
            Ability::LookUp => self.look_up.is_some(),
            Ability::ReadRefund => self.read_refund.is_some(),
            Ability::LookUpRefund => self.look_up_refund.is_some(),
            Ability::Webhooks => self.webhooks.is_some(),
        };
        if offered { Offer::Offered } else { Offer::Refused }
    }

    /// The slots' contents, for suites that drive a connector by hand. The engine is the only other sender.
    pub fn slots(&self) -> Slots<'_> {
        Slots(self)
    }
}

/// What an account may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// Authorize.
    Authorize,
    /// Complete an action.
    Complete,
    /// Capture.
    Capture,
    /// Raise an authorization.
    Increment,
    /// Void.
    Void,
    /// Cancel.
    Cancel,
    /// Refund.
    Refund,
    /// Read a payment by its handle.
    Read,
    /// Look a payment up by our reference.
    LookUp,
    /// Read a refund by its handle.
    ReadRefund,
    /// Look a refund up by our reference.
    LookUpRefund,
    /// Take webhooks.
    Webhooks,
}

impl Ability {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Authorize,
        Self::Complete,
        Self::Capture,
        Self::Increment,
        Self::Void,
        Self::Cancel,
        Self::Refund,
        Self::Read,
        Self::LookUp,
        Self::ReadRefund,
        Self::LookUpRefund,
        Self::Webhooks,
    ];
}

/// A connector's slots, read.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a>(&'a Connector);

macro_rules! slots {
    ($($name:ident: $op:ident),*; $($read:ident: $read_op:ident),*) => {
        impl<'a> Slots<'a> {
            $(
                #[doc = concat!("The slot `", stringify!($name), "`.")]
                pub fn $name(&self) -> Option<(Step, &'a dyn Exchange<op::$op>)> {
                    self.0.$name.as_ref().map(|slot| (slot.step, slot.exchange.as_ref()))
                }
            )*
            $(
                #[doc = concat!("The slot `", stringify!($read), "`.")]
                pub fn $read(&self) -> Option<&'a dyn Exchange<op::$read_op>> {
                    self.0.$read.as_deref()
                }
            )*

            /// The slot `authorize`.
            pub fn authorize(&self) -> Option<&'a Authorization> {
                self.0.authorize.as_ref()
            }

            /// The slot `webhooks`.
            pub fn webhooks(&self) -> Option<&'a dyn WebhookOps> {
                self.0.webhooks.as_deref()
            }
        }

        impl ConnectorBuilder {
            $(
                #[doc = concat!("Offers `", stringify!($name), "`.")]
                pub fn $name(mut self, step: Step, exchange: Arc<dyn Exchange<op::$op>>) -> Self {
                    self.0.$name = Some(Slot { step, exchange });
                    self
                }
            )*
            $(
                #[doc = concat!("Offers `", stringify!($read), "`.")]
                pub fn $read(mut self, exchange: Arc<dyn Exchange<op::$read_op>>) -> Self {
                    self.0.$read = Some(exchange);
                    self
                }
            )*
        }
    };
}
slots!(
    complete: Complete, capture: Capture, increment: Increment, void: Void, cancel: Cancel, refund: Refund;
    read: Read, look_up: LookUp, read_refund: ReadRefund, look_up_refund: LookUpRefund
);

/// Fills a [`Connector`]'s slots.
#[must_use = "call build"]
#[derive(Debug)]
pub struct ConnectorBuilder(Connector);

impl ConnectorBuilder {
    /// Offers to authorize.
    pub fn authorize(mut self, authorization: Authorization) -> Self {
        self.0.authorize = Some(authorization);
        self
    }

    /// The account moves real money, or doesn't: it then serves tenants of that mode alone. Say it where the
    /// processor's key tells.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.0.mode = Some(mode);
        self
    }

    /// Takes webhooks.
    pub fn webhooks(mut self, webhooks: Arc<dyn WebhookOps>) -> Self {
        self.0.webhooks = Some(webhooks);
        self
    }

    /// The connector.
    pub fn build(self) -> Connector {
        self.0
    }
}

/// What an exchange makes of an answer: a report whose echo is as promised and as sent, a proof, or a doubt. A panic
/// in a connector's parser is a doubt.
pub fn outcome_of<O: Operation>(
    exchange: &dyn Exchange<O>,
    op: &O,
    answer: &Response,
    echoes: Echoes,
) -> Outcome<O::Report> {
    read_answer(exchange, op, answer, echoes)
        .unwrap_or_else(|Panicked| Outcome::unknown(Stage::Answered, UNREADABLE))
}

/// Why an answer is unknown at which its parser panicked.
pub(crate) const UNREADABLE: &str = "the answer couldn't be read";

/// What an answer means, unless its parser panics.
pub(crate) fn read_answer<O: Operation>(
    exchange: &dyn Exchange<O>,
    op: &O,
    answer: &Response,
    echoes: Echoes,
) -> Result<Outcome<O::Report>, Panicked> {
    let report = match caught(|| exchange.report(op, answer))? {
        Ok(report) => report,
        Err(error) => return Ok(error.into_outcome()),
    };
    let checked = match (op.sent(), O::echo(&report)) {
        (Some((amount, reference)), Some(echo)) => echoes.check(echo, amount, reference),
        (None, _) | (_, None) => Ok(()),
    };
    Ok(match checked {
        Ok(()) => Outcome::Answered(report),
        Err(why) => Outcome::Unknown(Doubt {
            stage: Stage::Answered,
            why,
            contradicts: Contradiction::Echo,
        }),
    })
}
