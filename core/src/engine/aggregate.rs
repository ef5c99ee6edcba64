//! How the engine's aggregates become rows and events.

use std::cell::RefCell;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::intent::{self, Intent, IntentEvent, OpStage, OperationStatus, Review, ReviewReason};
use crate::refund::{self, RefundEvent, RefundState};
use crate::session::{self, Session, SessionEvent};
use crate::store::{Attention, Index, Row, RowKey, RowKind};
use crate::time::Timestamp;

/// The form of rows and events that this release writes.
pub(crate) const SCHEMA: u16 = 1;

/// What is written at a time is written here first, and then kept in as much room as it takes: a buffer that grows and is
/// cut to size leaves holes in the heap, a payment some ten of them.
const KEPT_ROOM: usize = 64 * 1024;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Something that lives in one row and changes by its events alone.
pub(crate) trait Aggregate: Clone + Serialize + DeserializeOwned + Send + Sync {
    type Event: Serialize + Send + Sync;
    const KIND: RowKind;

    fn apply(state: Option<Self>, event: &Self::Event) -> Option<Self>;
    fn key(&self) -> RowKey;
    fn index(&self) -> Index;
    fn event_kind(event: &Self::Event) -> &'static str;
    fn event_at(event: &Self::Event) -> Timestamp;
}

/// An aggregate as it was read or written: its state, its row's version, and how many events it has had.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<A> {
    pub(crate) state: A,
    pub(crate) version: u64,
    pub(crate) sequence: u64,
}

#[derive(Serialize)]
struct Written<'a, A> {
    sequence: u64,
    state: &'a A,
}

#[derive(Deserialize)]
struct Read<A> {
    sequence: u64,
    state: A,
}

impl<A: Aggregate> Loaded<A> {
    /// Reads a row.
    ///
    /// # Errors
    /// A row of a newer release names its version; it is never guessed at.
    pub(crate) fn decode(row: &Row) -> Result<Self> {
        known_form(row.key, row.schema)?;
        let Read { sequence, state } = decode_body(&row.body, row.key)?;
        Ok(Self {
            state,
            version: row.version,
            sequence,
        })
    }

    /// The row that keeps it.
    pub(crate) fn encode(&self) -> Result<Row> {
        let body = encode(&Written {
            sequence: self.sequence,
            state: &self.state,
        })?;
        Ok(Row {
            key: self.state.key(),
            version: self.version,
            schema: SCHEMA,
            index: self.state.index(),
            body,
        })
    }
}

/// Refuses what a newer release wrote, and names its form: it is never guessed at.
pub(crate) fn known_form(key: RowKey, schema: u16) -> Result<()> {
    if schema > SCHEMA {
        let message = format!(
            "{key:?} has the form {schema}, this release reads up to {SCHEMA}: upgrade this instance"
        );
        return Err(Error::new(ErrorKind::Store, message));
    }
    Ok(())
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Bytes> {
    ROOM.with_borrow_mut(|room| {
        room.clear();
        serde_json::to_writer(&mut *room, value).map_err(|source| {
            Error::new(ErrorKind::Store, "a state couldn't be written").with_source(source)
        })?;
        let written = Bytes::copy_from_slice(room);
        room.shrink_to(KEPT_ROOM);
        Ok(written)
    })
}

pub(crate) fn decode_body<T: DeserializeOwned>(body: &[u8], key: RowKey) -> Result<T> {
    serde_json::from_slice(body).map_err(|source| {
        Error::new(
            ErrorKind::Store,
            format!("{key:?} can't be read: restore it from a backup"),
        )
        .with_source(source)
    })
}

fn attention(unknown_since: Option<Timestamp>, review: Option<&Review>) -> (Attention, Option<Timestamp>) {
    match (review, unknown_since) {
        (
            Some(Review {
                reason: ReviewReason::NoConnector,
                since,
            }),
            _,
        ) => (Attention::NoConnector, Some(*since)),
        (Some(review), _) => (Attention::Review, Some(review.since)),
        (None, Some(since)) => (Attention::Unknown, Some(since)),
        (None, None) => (Attention::None, None),
    }
}

fn doubtful(stage: &OpStage) -> Option<Timestamp> {
    match stage {
        OpStage::Prepared => None,
        OpStage::Unknown { since, .. } => Some(*since),
    }
}

impl Aggregate for Intent {
    type Event = IntentEvent;
    const KIND: RowKind = RowKind::Intent;

    fn apply(state: Option<Self>, event: &IntentEvent) -> Option<Self> {
        intent::apply(state, event)
    }

    fn key(&self) -> RowKey {
        RowKey::new(RowKind::Intent, self.id.uuid())
    }

    fn index(&self) -> Index {
        let compensations = self
            .attempts
            .iter()
            .filter_map(|attempt| attempt.compensation.as_ref()?.open_op.as_ref());
        let open = self
            .open_op
            .iter()
            .chain(compensations)
            .find_map(|open| doubtful(&open.stage));
        let abandoned = self
            .operations
            .iter()
            .find(|operation| operation.status == OperationStatus::Abandoned);
        let unknown = open.or(abandoned.map(|operation| operation.opened_at));
        let (attention, attention_since) = attention(unknown, self.review.as_ref());
        Index {
            status: self.status.as_str().to_owned(),
            customer: self.details.customer.map(|customer| customer.to_string()),
            reference: self.details.merchant_reference.clone(),
            parent: self
                .session
                .map(|session| RowKey::new(RowKind::Session, session.uuid())),
            attention,
            attention_since,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn event_kind(event: &IntentEvent) -> &'static str {
        event.kind()
    }

    fn event_at(event: &IntentEvent) -> Timestamp {
        event.at
    }
}

impl Aggregate for RefundState {
    type Event = RefundEvent;
    const KIND: RowKind = RowKind::Refund;

    fn apply(state: Option<Self>, event: &RefundEvent) -> Option<Self> {
        refund::apply(state, event)
    }

    fn key(&self) -> RowKey {
        RowKey::new(RowKind::Refund, self.id.uuid())
    }

    fn index(&self) -> Index {
        let unknown = self.open_op.as_ref().and_then(|open| doubtful(&open.stage));
        let (attention, attention_since) = attention(unknown, self.review.as_ref());
        Index {
            status: self.status.as_str().to_owned(),
            customer: None,
            reference: None,
            parent: Some(RowKey::new(RowKind::Intent, self.intent.uuid())),
            attention,
            attention_since,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn event_kind(event: &RefundEvent) -> &'static str {
        event.kind()
    }

    fn event_at(event: &RefundEvent) -> Timestamp {
        event.at
    }
}

impl Aggregate for Session {
    type Event = SessionEvent;
    const KIND: RowKind = RowKind::Session;

    fn apply(state: Option<Self>, event: &SessionEvent) -> Option<Self> {
        session::apply(state, event)
    }

    fn key(&self) -> RowKey {
        RowKey::new(RowKind::Session, self.id.uuid())
    }

    fn index(&self) -> Index {
        Index {
            status: self.status.as_str().to_owned(),
            customer: self.details.customer.map(|customer| customer.to_string()),
            reference: self.details.merchant_reference.clone(),
            parent: None,
            attention: Attention::None,
            attention_since: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    fn event_kind(event: &SessionEvent) -> &'static str {
        event.kind()
    }

    fn event_at(event: &SessionEvent) -> Timestamp {
        event.at
    }
}

#[cfg(test)]
pub(super) mod tests;
