//! Rows: order, content, versions.

use bytes::Bytes;
use paymux_core::store::*;
use paymux_core::{Store, Timestamp};

use super::case::Case;
use super::make::{FUTURE, PAST, intent, put, row};

pub(super) async fn in_the_order_of_keys<S: Store>(case: &mut Case<'_, S>) {
    let none = case.ok(case.store().load(&case.acme, &[]).await, "`load` of nothing");
    check!(case, none.is_empty(), "`load` of no key gave a row");

    let keys: Vec<RowKey> = (0..4).map(|_| intent(case.uuid())).collect();
    let mut batch = case.batch();
    for key in [keys[2], keys[0], keys[3]] {
        put(&mut batch, row(key, 1));
    }
    case.commit(batch).await;
    let asked = [keys[3], keys[1], keys[0], keys[3], keys[2]];
    let loaded = case.ok(case.store().load(&case.acme, &asked).await, "`load`");
    let loaded: Vec<_> = loaded.into_iter().map(|row| row.map(|row| row.key)).collect();
    let expected = [Some(keys[3]), None, Some(keys[0]), Some(keys[3]), Some(keys[2])];
    check_eq!(
        case,
        loaded,
        expected,
        "keys were asked for in another order, one twice and one in vain"
    );

    let same_id = RowKey::new(RowKind::Refund, keys[0].id);
    check_eq!(
        case,
        case.load(same_id).await,
        None,
        "a refund was found by the identifier of an intent"
    );
}

pub(super) async fn as_they_were_written<S: Store>(case: &mut Case<'_, S>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let mut full = row(intent(case.uuid()), 1);
    full.schema = u16::MAX;
    full.body = Bytes::from(every_byte);
    full.index = Index {
        status: "requires_action".to_owned(),
        customer: Some("cus ' \" % _ \\ é 漢 🦀".to_owned()),
        reference: Some(String::new()),
        parent: Some(RowKey::new(RowKind::Session, case.uuid())),
        attention: Attention::Review,
        attention_since: Some(Timestamp::from_millis(-1)),
        created_at: PAST,
        updated_at: FUTURE,
    };
    let mut empty = row(RowKey::new(RowKind::Notice, case.uuid()), 1);
    empty.body = Bytes::new();
    let mut large = row(RowKey::new(RowKind::Evidence, case.uuid()), 1);
    large.body = Bytes::from(vec![7; 300_000]);
    for written in [full, empty, large] {
        let mut batch = case.batch();
        put(&mut batch, written.clone());
        case.commit(batch).await;
        let read = case.load(written.key).await;
        check!(
            case,
            read.as_ref() == Some(&written),
            "a row came back changed\n  expected: {:?} and {} bytes\n  but saw:  {:?} and {:?} bytes",
            written.index,
            written.body.len(),
            read.as_ref().map(|row| &row.index),
            read.as_ref().map(|row| row.body.len()),
        );
    }
    // Every column is overwritten, also by nothing.
    let key = intent(case.uuid());
    let mut first = row(key, 1);
    first.index.customer = Some("c".to_owned());
    first.index.reference = Some("r".to_owned());
    first.index.parent = Some(intent(case.uuid()));
    first.index.attention = Attention::Unknown;
    first.index.attention_since = Some(PAST);
    let mut second = row(key, 2);
    second.schema = 2;
    second.index.status = "succeeded".to_owned();
    for written in [first, second] {
        let mut batch = case.batch();
        put(&mut batch, written.clone());
        case.commit(batch).await;
        check_eq!(
            case,
            case.load(key).await,
            Some(written),
            "a row isn't as it was last written"
        );
    }
}

pub(super) async fn compare_and_set<S: Store>(case: &mut Case<'_, S>) {
    let key = intent(case.uuid());
    let mut batch = case.batch();
    put(&mut batch, row(key, 1));
    case.commit(batch).await;

    let mut again = case.batch();
    put(&mut again, row(key, 1));
    let error = case.refused(&again, "a row was Absent that is there").await;
    case.conflict(&error, &Refusal::Row(key), "a row was Absent that is there");

    let mut next = case.batch();
    put(&mut next, row(key, 2));
    case.commit(next).await;
    for version in [2, 4] {
        let mut wrong = case.batch();
        let mut changed = row(key, version);
        changed.body = Bytes::from_static(b"must not be seen");
        put(&mut wrong, changed);
        let why = format!("a row at version 2 was written as {version}");
        let error = case.refused(&wrong, &why).await;
        case.conflict(&error, &Refusal::Row(key), &why);
    }
    check_eq!(
        case,
        case.load(key).await,
        Some(row(key, 2)),
        "a refused write was seen"
    );

    let missing = intent(case.uuid());
    let mut wrong = case.batch();
    put(&mut wrong, row(missing, 2));
    let error = case
        .refused(&wrong, "a row at version 1 was expected that isn't there")
        .await;
    case.conflict(
        &error,
        &Refusal::Row(missing),
        "a row was expected that isn't there",
    );

    // A precondition may stand without a put: deciding on what another row says.
    for (precondition, holds) in [
        (Precondition::Version(key, 2), true),
        (Precondition::Version(key, 1), false),
        (Precondition::Version(missing, 1), false),
        (Precondition::Absent(missing), true),
        (Precondition::Absent(key), false),
    ] {
        let mut batch = case.batch();
        batch.preconditions.push(precondition);
        put(&mut batch, row(intent(case.uuid()), 1));
        let committed = case.store().commit(&case.acme, &batch).await;
        check_eq!(
            case,
            committed.is_ok(),
            holds,
            "{precondition:?} was checked wrongly: {committed:?}"
        );
    }
}

pub(super) async fn guarded<S: Store>(case: &mut Case<'_, S>) {
    let key = intent(case.uuid());
    let other = intent(case.uuid());
    let unguarded: [(&str, Option<Precondition>, u64); 4] = [
        ("a put without a precondition", None, 1),
        (
            "a put with a precondition on another row",
            Some(Precondition::Absent(other)),
            1,
        ),
        (
            "a new row that doesn't start at version 1",
            Some(Precondition::Absent(key)),
            2,
        ),
        (
            "a put that leaves a version out",
            Some(Precondition::Version(key, 1)),
            3,
        ),
    ];
    for (why, precondition, version) in unguarded {
        let mut batch = case.batch();
        batch.preconditions.extend(precondition);
        batch.puts.push(row(key, version));
        let error = case.refused(&batch, why).await;
        case.not_committed(&error, why);
        check_eq!(case, case.load(key).await, None, "{why} was written");
    }
}
