//! What a store hands back: rows, notices, records of keys, and the cursors that hosts pass on. What can't be read is an
//! error of the store's, and never a payment that isn't there.

use paymux_core::store::*;
use paymux_core::*;
use paymux_memory::MemoryStore;
use paymux_sandbox::Sandbox;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

use crate::input::{head, now};

/// An orchestrator in front of one sandbox and one store in memory, in which nothing has happened.
pub(crate) struct Shop {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) store: MemoryStore,
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: TestClock,
}

pub(crate) fn endpoint() -> EndpointId {
    EndpointId::named(Mode::Test, "sandbox")
}

pub(crate) fn shop() -> Shop {
    let (runtime, clock) = Runtime::test(7);
    let store = MemoryStore::with_time(StoreTime::Injected(Arc::new(clock.clone())));
    let sandbox = Sandbox::seeded(7).clock(Arc::new(clock.clone()));
    let connector = sandbox.connector("main");
    let account = connector.account().clone();
    let connectors = ConnectorMap::shared([connector])
        .and_then(|map| map.endpoint(endpoint(), account, [sandbox.webhook_secret()]))
        .expect("one account");
    let orchestrator =
        now(Orchestrator::builder(store.clone(), connectors, runtime).build()).expect("a store");
    Shop {
        orchestrator,
        store,
        sandbox,
        clock,
    }
}

pub(crate) fn tenant() -> Tenant {
    Tenant::test("acme").expect("a merchant's name")
}

pub(crate) fn payments(orchestrator: &Orchestrator) -> Payments {
    orchestrator.tenant(tenant())
}

/// A row of a kind, with the form that the first line names and the body that follows it, as the store keeps it.
fn altered(kind: RowKind, id: Uuid, data: &[u8]) -> Row {
    let (words, body) = head(data);
    let mut words = words.split(' ');
    let schema = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
    let time = Timestamp::from_secs(1_000);
    Row {
        key: RowKey::new(kind, id),
        version: 1,
        schema,
        index: Index {
            status: words.next().unwrap_or("created").to_owned(),
            customer: None,
            reference: None,
            parent: None,
            attention: Attention::Review,
            attention_since: Some(time),
            created_at: time,
            updated_at: time,
        },
        body: body.to_vec().into(),
    }
}

fn put(store: &MemoryStore, row: Row, jobs: Vec<JobWrite>) {
    let mut batch = Batch::new(CommitId(Uuid::from_u128(1)));
    batch.preconditions.push(Precondition::Absent(row.key));
    batch.puts.push(row);
    batch.jobs = jobs;
    now(store.commit(&tenant(), &batch)).expect("a first write");
}

/// What a read of an altered row may give: what the row says, or an error of the store's.
fn read<T>(row: &Row, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => {
            assert!(row.schema <= 1, "a newer form is never guessed at");
            Some(value)
        }
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::Store, "{error}");
            if row.schema > 1 {
                assert!(error.to_string().contains(&row.schema.to_string()), "{error}");
            }
            None
        }
    }
}

/// A state that reads is written so that it reads the same.
fn stable<S: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(body: &[u8]) {
    let body: Value = serde_json::from_slice(body).expect("what was read is JSON");
    let state: S =
        serde_json::from_value(body["state"].clone()).expect("the machine reads what the engine reads");
    let written = serde_json::to_vec(&state).expect("a state is JSON");
    assert_eq!(serde_json::from_slice::<S>(&written).ok(), Some(state));
}

/// A payment's row.
pub fn stored_intent(data: &[u8]) {
    let (shop, id) = (shop(), PaymentIntentId::from_uuid(Mode::Test, Uuid::from_u128(1)));
    let row = altered(RowKind::Intent, id.uuid(), data);
    put(&shop.store, row.clone(), Vec::new());
    let payments = payments(&shop.orchestrator);
    let Some(intent) = read(&row, now(payments.intent(&id))) else {
        return;
    };
    stable::<paymux_core::machines::intent::State>(&row.body);
    let public = serde_json::to_value(&intent).expect("a payment is JSON");
    assert_eq!(public["status"], intent.status().as_str());
    assert!(intent.capturable().minor() >= 0 && intent.refundable().minor() >= 0);
    let _shown = read(&row, now(payments.outcome_of(&id)));
    let listed =
        now(payments.intents(IntentQuery::new()).page(10, None)).expect("it reads in a list as well");
    assert_eq!(listed.items, [intent]);
    let _unknown = read(
        &row,
        now(payments
            .operator(Actor::person("a"))
            .unknowns(UnknownQuery)
            .page(10, None)),
    );
}

/// A refund's row.
pub fn stored_refund(data: &[u8]) {
    let (shop, id) = (shop(), RefundId::from_uuid(Mode::Test, Uuid::from_u128(1)));
    let row = altered(RowKind::Refund, id.uuid(), data);
    put(&shop.store, row.clone(), Vec::new());
    let payments = payments(&shop.orchestrator);
    let Some(refund) = read(&row, now(payments.refund_by_id(&id))) else {
        return;
    };
    stable::<paymux_core::machines::refund::State>(&row.body);
    assert!(serde_json::to_value(&refund).is_ok());
    let listed =
        now(payments.refunds(RefundQuery::new()).page(10, None)).expect("it reads in a list as well");
    assert_eq!(listed.items, [refund]);
    let _unknown = read(
        &row,
        now(payments
            .operator(Actor::person("a"))
            .unknowns(UnknownQuery)
            .page(10, None)),
    );
}

/// A checkout session's row.
pub fn stored_session(data: &[u8]) {
    let (shop, id) = (shop(), SessionId::from_uuid(Mode::Test, Uuid::from_u128(1)));
    let row = altered(RowKind::Session, id.uuid(), data);
    put(&shop.store, row.clone(), Vec::new());
    let payments = payments(&shop.orchestrator);
    let Some(session) = read(&row, now(payments.session(&id))) else {
        return;
    };
    stable::<paymux_core::machines::session::State>(&row.body);
    assert!(serde_json::to_value(&session).is_ok());
    let listed =
        now(payments.sessions(SessionQuery::new()).page(10, None)).expect("it reads in a list as well");
    assert_eq!(listed.items, [session]);
}

/// A webhook's notice, as a worker finds it: it goes back to its queue, or is done with.
pub fn stored_notice(data: &[u8]) {
    let shop = shop();
    let row = altered(RowKind::Notice, Uuid::from_u128(1), data);
    let job = JobKey {
        queue: Queue::Due,
        row: row.key,
        child: Uuid::nil(),
    };
    let due = Due::At(Timestamp::from_secs(0));
    put(&shop.store, row.clone(), vec![JobWrite::Put { key: job, due }]);
    let charges = || shop.sandbox.ledger().payments().len();
    let _progress = now(shop.orchestrator.recover_due(10));
    let kept = now(shop.store.load(&tenant(), &[row.key])).expect("a store");
    assert!(kept[0].is_some(), "a notice isn't lost");
    assert_eq!(charges(), 0, "a notice makes no payment");
}

/// The record of a key that made a payment: whatever it holds, the same key never makes another one. `$FINGERPRINT` in it
/// is that of the request.
pub fn stored_record(data: &[u8]) {
    let shop = shop();
    let payments = payments(&shop.orchestrator);
    let key = IdempotencyKey::new("order-1").expect("a key");
    let new = || NewIntent::payment(money!("10 EUR")).reference("order-1");
    let made = now(payments.create_intent(&key, new())).expect("a first").outcome;
    let unique = UniqueKey::new(Scope::Idempotency, "create_intent/order-1");
    let kept = now(shop.store.lookup(&tenant(), &unique))
        .expect("a store")
        .expect("the record of that key");
    let fingerprint = String::from_utf8_lossy(&kept.bytes);
    let fingerprint = fingerprint
        .split('"')
        .nth(3)
        .expect("a record begins with its fingerprint");
    let bytes = replaced(data, b"$FINGERPRINT", fingerprint.as_bytes());
    let mut batch = Batch::new(CommitId(Uuid::from_u128(1)));
    batch.uniques.push(UniqueWrite::Replace(Unique {
        bytes: bytes.clone().into(),
        ..kept
    }));
    now(shop.store.commit(&tenant(), &batch)).expect("an altered record");
    match now(payments.create_intent(&key, new())) {
        Ok(reply) => {
            assert_eq!(reply.replay, Replay::Replayed);
            let named = bytes
                .windows(fingerprint.len())
                .any(|window| window == fingerprint.as_bytes());
            assert!(named, "only a record of this request answers it");
        }
        Err(error) => {
            let known = matches!(
                error.kind(),
                ErrorKind::Store
                    | ErrorKind::Stale
                    | ErrorKind::IdempotencyMismatch
                    | ErrorKind::OperationInProgress { .. }
            );
            assert!(known, "{error}");
        }
    }
    let listed = now(payments.intents(IntentQuery::new()).page(10, None)).expect("a list");
    assert_eq!(listed.items, [made], "one key, one payment");
}

/// Where a list goes on. `$MARK` in it is what every cursor of this list begins with.
pub fn cursor(data: &[u8]) {
    let shop = shop();
    let payments = payments(&shop.orchestrator);
    for order in ["a", "b", "c"] {
        let key = IdempotencyKey::new(order).expect("a key");
        let _made =
            now(payments.create_intent(&key, NewIntent::payment(money!("10 EUR")))).expect("a payment");
    }
    let list = || payments.intents(IntentQuery::new());
    let first = now(list().page(1, None)).expect("a page");
    let genuine = text(&first.next.expect("there are more"));
    let mark = &genuine[..genuine.len() - 26];
    let data = replaced(data, b"$MARK", mark.as_bytes());
    let Ok(handed) = String::from_utf8(data) else {
        return;
    };
    let cursor: Cursor = serde_json::from_value(handed.clone().into()).expect("a cursor is a text");
    match now(list().page(10, Some(cursor.clone()))) {
        Ok(page) => {
            assert!(handed.starts_with(mark), "another list's cursor is refused");
            let place = &handed[mark.len()..];
            let place = OperationId::from_reference(Mode::Test, place)
                .expect("a place")
                .uuid();
            assert!(
                page.items.iter().all(|intent| intent.id().uuid() < place),
                "it goes on after that place"
            );
        }
        Err(error) => assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}"),
    }
    let id = first.items[0].id();
    foreign(
        mark,
        &handed,
        now(payments.history(id).page(10, Some(cursor.clone()))),
    );
    foreign(
        mark,
        &handed,
        now(payments
            .refunds(RefundQuery::new())
            .page(10, Some(cursor.clone()))),
    );
    foreign(
        mark,
        &handed,
        now(payments
            .sessions(SessionQuery::new())
            .page(10, Some(cursor.clone()))),
    );
    let unknowns = payments.operator(Actor::person("a")).unknowns(UnknownQuery);
    foreign(mark, &handed, now(unknowns.page(10, Some(cursor))));
}

/// This list's cursor is no other list's.
fn foreign<T>(mark: &str, handed: &str, result: Result<Page<T>>) {
    match result {
        Ok(_) => assert!(
            !handed.starts_with(mark) && !handed.is_empty(),
            "another list took {handed}"
        ),
        Err(error) => assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}"),
    }
}

fn text(cursor: &Cursor) -> String {
    let text = serde_json::to_value(cursor).expect("a cursor is JSON");
    text.as_str().expect("a text").to_owned()
}

fn replaced(data: &[u8], word: &[u8], by: &[u8]) -> Vec<u8> {
    let Some(at) = data.windows(word.len()).position(|window| window == word) else {
        return data.to_vec();
    };
    [&data[..at], by, &data[at + word.len()..]].concat()
}
