//! The state machines by themselves, for models, simulators, fuzz targets and benches: no store, no processor and no
//! clock. **There is no promise of stability here.** It stands behind the feature `machines`; hosts don't need it.
//!
//! Each machine is three pure functions:
//!
//! - `decide(Option<&State>, &Command)`: the events that a command causes, or why it is refused;
//! - `merge(&State, &Observation)`: the events that news causes, none where it says nothing new;
//! - `apply(Option<State>, &Event)`: the state after an event, the only way in which a state changes.
//!
//! They are those that the engine runs. Commands and observations carry their time, and whoever makes them brings the
//! identifiers, so that the same input always gives the same output. [`fold`](intent::fold) takes a state through
//! several events.
//!
//! ```
//! use paymux_core::connector::{Approval, AuthorizeReport, Echo};
//! use paymux_core::machines::{Source, intent};
//! use paymux_core::{AccountRef, AttemptId, CaptureId, ConnectorId, IntentStatus, Mode, NewIntent, OperationId};
//! use paymux_core::{PaymentIntentId, PaymentMethod, Timestamp, money};
//! use uuid::Uuid;
//!
//! let (at, uuid) = (Timestamp::from_secs(1_000), Uuid::from_u128(1));
//! let id = PaymentIntentId::from_uuid(Mode::Test, uuid);
//! let create = intent::Command::create(at, id, NewIntent::payment(money!("10 EUR")));
//! let created = intent::fold(None, &intent::decide(None, &create)?).ok_or("made")?;
//!
//! let opening = intent::Opening {
//!     attempt: AttemptId::from_uuid(Mode::Test, uuid),
//!     operation: OperationId::from_uuid(Mode::Test, uuid),
//!     account: AccountRef::new(ConnectorId::from_static("sandbox"), "main"),
//!     method: PaymentMethod::card_token("tok_1"),
//!     success_on: paymux_core::connector::SuccessOn::Accepted,
//! };
//! let confirm = intent::Command::confirm(at, &created, opening.clone());
//! let events = intent::decide(Some(&created), &confirm)?;
//! let processing = intent::fold(Some(created), &events).ok_or("confirmed")?;
//! assert_eq!(processing.view().status(), IntentStatus::Processing);
//!
//! let said = AuthorizeReport::Settled(Approval::new("pay_1", Echo::none()));
//! let fresh = CaptureId::from_uuid(Mode::Test, uuid);
//! let observation = intent::Observation::answer(at, opening.operation, opening.attempt, said.into(), fresh);
//! let events = intent::merge(&processing, &observation);
//! let paid = intent::fold(Some(processing), &events).ok_or("paid")?;
//! assert_eq!(paid.view().status(), IntentStatus::Succeeded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod intent;
pub mod refund;
pub mod session;

use crate::id::OperationId;

/// Where news comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The answer to this operation's own call, which may close it while it is only prepared.
    Driver(OperationId),
    /// A webhook, a read or a person: it may close an operation whose outcome is unknown.
    Outside,
}
