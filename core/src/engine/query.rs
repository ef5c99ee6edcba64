//! Lists with cursors: pages, or a stream over them. A cursor is bound to its tenant and its list.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Inner;
use super::aggregate::{Aggregate, Loaded};
use super::commit::unreadable;
use super::payments::Payments;
use crate::error::{Error, Fault, Result};
use crate::hex::hex;
use crate::id::{CustomerId, EventId, PaymentIntentId, SessionId};
use crate::intent::{Intent, IntentStatus, PaymentIntent};
use crate::outcome::UnknownOutcome;
use crate::refund::{Refund, RefundState, RefundStatus};
use crate::session::{CheckoutSession, Session, SessionStatus};
use crate::store::{Attention, Order, Query, Row, RowKey, RowKind};
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// A boxed future.
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a list goes on. Opaque; another tenant's, or another list's, is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the list goes on, if it does.
    pub next: Option<Cursor>,
}

/// Which payments to list. What isn't set doesn't narrow.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct IntentQuery {
    statuses: Vec<IntentStatus>,
    customer: Option<CustomerId>,
    reference: Option<String>,
    session: Option<SessionId>,
    created_from: Option<Timestamp>,
    created_before: Option<Timestamp>,
}

impl IntentQuery {
    /// All, the newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// In this state; called again, or in that one.
    pub fn status(mut self, status: IntentStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Of this customer.
    pub fn customer(mut self, customer: CustomerId) -> Self {
        self.customer = Some(customer);
        self
    }

    /// With this reference of the host's.
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Of this session.
    pub fn session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Made at `from` or later, and before `before`.
    pub fn created(mut self, from: Timestamp, before: Timestamp) -> Self {
        (self.created_from, self.created_before) = (Some(from), Some(before));
        self
    }
}

/// Which refunds to list.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RefundQuery {
    statuses: Vec<RefundStatus>,
    intent: Option<PaymentIntentId>,
}

impl RefundQuery {
    /// All, the newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this payment.
    pub fn intent(mut self, intent: PaymentIntentId) -> Self {
        self.intent = Some(intent);
        self
    }

    /// In this state; called again, or in that one.
    pub fn status(mut self, status: RefundStatus) -> Self {
        self.statuses.push(status);
        self
    }
}

/// Which sessions to list.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SessionQuery {
    statuses: Vec<SessionStatus>,
}

impl SessionQuery {
    /// All, the newest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// In this state; called again, or in that one.
    pub fn status(mut self, status: SessionStatus) -> Self {
        self.statuses.push(status);
        self
    }
}

/// Which unknown outcomes to list: all, the oldest first.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct UnknownQuery;

impl UnknownQuery {
    /// All, the oldest first.
    pub fn new() -> Self {
        Self
    }
}

/// Something that happened to a payment, a refund or a session, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryEvent {
    /// Its identifier.
    pub id: EventId,
    /// Its place in the row of what happened, from 1 without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, as a stable word.
    pub kind: String,
}

/// A list that isn't read yet: take a page, or a stream over all of it.
#[must_use = "take a page or a stream"]
pub struct Listing<T> {
    source: Arc<dyn Source<T>>,
}

/// Where a list's pages come from.
trait Source<T>: Send + Sync {
    fn page(&self, limit: u16, after: Option<Cursor>) -> Pending<Result<Page<T>>>;
}

impl<T: Send + 'static> Listing<T> {
    /// At most `limit` (1 to 100) items, after the cursor of the page before.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for a limit out of range or a cursor of another list or tenant.
    pub async fn page(self, limit: u16, after: Option<Cursor>) -> Result<Page<T>> {
        if !(1..=100).contains(&limit) {
            return Err(Error::invalid(Fault::new(
                "limit",
                "out of range",
                "use 1 to 100",
            )));
        }
        self.source.page(limit, after).await
    }

    /// All of it, page by page.
    pub fn stream(self) -> impl Stream<Item = Result<T>> + Send {
        Pages {
            source: self.source,
            items: Vec::new().into_iter(),
            state: Reading::Next(None),
            pending: None,
        }
    }
}

impl<T> fmt::Debug for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listing")
    }
}

struct Pages<T> {
    source: Arc<dyn Source<T>>,
    items: std::vec::IntoIter<T>,
    state: Reading,
    pending: Option<Pending<Result<Page<T>>>>,
}

enum Reading {
    Next(Option<Cursor>),
    Over,
}

impl<T> Unpin for Pages<T> {}

impl<T: Send> Stream for Pages<T> {
    type Item = Result<T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<T>>> {
        use std::task::Poll;
        loop {
            if let Some(item) = self.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            let mut pending = match (self.pending.take(), &self.state) {
                (Some(pending), _) => pending,
                (None, Reading::Next(after)) => self.source.page(100, after.clone()),
                (None, Reading::Over) => return Poll::Ready(None),
            };
            match pending.as_mut().poll(cx) {
                Poll::Pending => {
                    self.pending = Some(pending);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(page)) => {
                    self.state = page.next.map_or(Reading::Over, |next| Reading::Next(Some(next)));
                    self.items = page.items.into_iter();
                }
                Poll::Ready(Err(error)) => {
                    self.state = Reading::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// Rows of the store, by a query, each read by `read`.
struct Rows<T> {
    engine: Arc<Inner>,
    tenant: Tenant,
    query: Query,
    read: fn(&Inner, &Row) -> Result<T>,
}

impl<T: Send + 'static> Source<T> for Rows<T> {
    fn page(&self, limit: u16, after: Option<Cursor>) -> Pending<Result<Page<T>>> {
        let (engine, tenant, mut query, read) = (
            self.engine.clone(),
            self.tenant.clone(),
            self.query.clone(),
            self.read,
        );
        Box::pin(async move {
            let mark = mark_of(&tenant, &query);
            query.after = after.map(|cursor| place_of(&cursor, &mark)).transpose()?;
            query.limit = u32::from(limit) + 1;
            let mut rows = engine.store.find(&tenant, &query).await.map_err(unreadable)?;
            let more = rows.len() > usize::from(limit);
            rows.truncate(usize::from(limit));
            let next = rows.last().filter(|_| more).map(|row| cursor(&mark, row.key.id));
            let items = rows.iter().map(|row| read(&engine, row)).collect::<Result<_>>()?;
            Ok(Page { items, next })
        })
    }
}

/// A row's events.
struct History {
    engine: Arc<Inner>,
    tenant: Tenant,
    row: RowKey,
}

impl Source<HistoryEvent> for History {
    fn page(&self, limit: u16, after: Option<Cursor>) -> Pending<Result<Page<HistoryEvent>>> {
        let (engine, tenant, row) = (self.engine.clone(), self.tenant.clone(), self.row);
        Box::pin(async move {
            let mark = mark_of(
                &tenant,
                &Query {
                    parent: Some(row),
                    ..Query::of(row.kind)
                },
            );
            let from = match after {
                None => 1,
                Some(cursor) => u64::try_from(place_of(&cursor, &mark)?.as_u128()).unwrap_or(u64::MAX),
            };
            let limit = u32::from(limit) + 1;
            let mut events = engine
                .store
                .events(&tenant, row, from, limit)
                .await
                .map_err(unreadable)?;
            let next = match events.len() < limit as usize {
                true => None,
                false => events
                    .pop()
                    .map(|event| cursor(&mark, Uuid::from_u128(event.sequence.into()))),
            };
            let mode = tenant.mode();
            let item = |event: crate::store::StoredEvent| HistoryEvent {
                id: EventId::from_uuid(mode, event.id),
                sequence: event.sequence,
                at: event.at,
                kind: event.kind,
            };
            Ok(Page {
                items: events.into_iter().map(item).collect(),
                next,
            })
        })
    }
}

/// Unknown payments first, then unknown refunds.
struct Unknowns {
    payments: Rows<UnknownOutcome>,
    refunds: Rows<UnknownOutcome>,
}

impl Source<UnknownOutcome> for Unknowns {
    fn page(&self, limit: u16, after: Option<Cursor>) -> Pending<Result<Page<UnknownOutcome>>> {
        let prefix = after.as_ref().and_then(|cursor| cursor.0.split_once(':'));
        match prefix {
            Some(("refunds", rest)) => {
                let after = Some(Cursor(rest.to_owned())).filter(|cursor| !cursor.0.is_empty());
                label("refunds", self.refunds.page(limit, after), None)
            }
            Some((_, rest)) => {
                let after = Some(Cursor(rest.to_owned()));
                label(
                    "payments",
                    self.payments.page(limit, after),
                    Some(Cursor("refunds:".to_owned())),
                )
            }
            None => label(
                "payments",
                self.payments.page(limit, after),
                Some(Cursor("refunds:".to_owned())),
            ),
        }
    }
}

fn label<T: Send + 'static>(
    list: &'static str,
    page: Pending<Result<Page<T>>>,
    then: Option<Cursor>,
) -> Pending<Result<Page<T>>> {
    Box::pin(async move {
        let page = page.await?;
        let next = page
            .next
            .map(|next| Cursor(format!("{list}:{}", next.0)))
            .or(then);
        Ok(Page { next, ..page })
    })
}

impl Listing<UnknownOutcome> {
    pub(crate) fn unknowns(engine: Arc<Inner>, tenant: Tenant, _query: UnknownQuery) -> Self {
        let query = |kind| Query {
            attention: vec![Attention::Unknown, Attention::Review, Attention::NoConnector],
            order: Order::OldestFirst,
            ..Query::of(kind)
        };
        let payments = Rows {
            engine: engine.clone(),
            tenant: tenant.clone(),
            query: query(RowKind::Intent),
            read: |engine: &Inner, row: &Row| Ok(engine.attention_of(&Loaded::<Intent>::decode(row)?)),
        };
        let refunds = Rows {
            engine,
            tenant,
            query: query(RowKind::Refund),
            read: |engine: &Inner, row: &Row| {
                Ok(engine.refund_attention(&Loaded::<RefundState>::decode(row)?))
            },
        };
        Self {
            source: Arc::new(Unknowns { payments, refunds }),
        }
    }
}

impl Payments {
    /// Payments, the newest first.
    pub fn intents(&self, query: IntentQuery) -> Listing<PaymentIntent> {
        let query = Query {
            statuses: query
                .statuses
                .iter()
                .map(|status| status.as_str().to_owned())
                .collect(),
            customer: query.customer.map(|customer| customer.to_string()),
            reference: query.reference,
            parent: query
                .session
                .map(|session| RowKey::new(RowKind::Session, session.uuid())),
            created_from: query.created_from,
            created_before: query.created_before,
            ..Query::of(RowKind::Intent)
        };
        self.rows(query, |_, row| Ok(Loaded::<Intent>::decode(row)?.view()))
    }

    /// Refunds, the newest first.
    pub fn refunds(&self, query: RefundQuery) -> Listing<Refund> {
        let query = Query {
            statuses: query
                .statuses
                .iter()
                .map(|status| status.as_str().to_owned())
                .collect(),
            parent: query
                .intent
                .map(|intent| RowKey::new(RowKind::Intent, intent.uuid())),
            ..Query::of(RowKind::Refund)
        };
        self.rows(query, |_, row| Ok(Loaded::<RefundState>::decode(row)?.view()))
    }

    /// Sessions, the newest first.
    pub fn sessions(&self, query: SessionQuery) -> Listing<CheckoutSession> {
        let statuses = query
            .statuses
            .iter()
            .map(|status| status.as_str().to_owned())
            .collect();
        let query = Query {
            statuses,
            ..Query::of(RowKind::Session)
        };
        self.rows(query, |_, row| Ok(Loaded::<Session>::decode(row)?.view()))
    }

    /// What happened to a payment, in order.
    pub fn history(&self, id: &PaymentIntentId) -> Listing<HistoryEvent> {
        let row = RowKey::new(Intent::KIND, id.uuid());
        Listing {
            source: Arc::new(History {
                engine: self.engine.clone(),
                tenant: self.tenant.clone(),
                row,
            }),
        }
    }

    fn rows<T: Send + 'static>(&self, query: Query, read: fn(&Inner, &Row) -> Result<T>) -> Listing<T> {
        Listing {
            source: Arc::new(Rows {
                engine: self.engine.clone(),
                tenant: self.tenant.clone(),
                query,
                read,
            }),
        }
    }
}

/// What a cursor is bound to: the tenant and everything that narrows the list.
fn mark_of(tenant: &Tenant, query: &Query) -> String {
    let bound = Query {
        after: None,
        limit: 0,
        ..query.clone()
    };
    let digest = Sha256::digest(format!("{tenant} {bound:?}").as_bytes());
    hex(&digest[..8])
}

fn cursor(mark: &str, place: Uuid) -> Cursor {
    Cursor(format!("{mark}{}", crate::id::encode(place)))
}

fn place_of(cursor: &Cursor, mark: &str) -> Result<Uuid> {
    cursor
        .0
        .strip_prefix(mark)
        .and_then(crate::id::decode)
        .ok_or_else(|| {
            let remedy = "pass a cursor on to the same list of the same tenant, or start without one";
            Error::invalid(Fault::new("after", "not a cursor of this list", remedy))
        })
}
