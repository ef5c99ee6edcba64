//! Purging.

use std::time::Duration;

use paymux_core::store::*;
use paymux_core::{Store, Timestamp};

use super::case::Case;
use super::make::{TIME, event, intent, put, row, unique};

const OLD: Timestamp = Timestamp::from_millis(TIME.as_millis() - 1);

/// Deletes nothing.
fn nothing() -> Retention {
    let before = Timestamp::from_millis(0);
    Retention {
        events_before: before,
        evidence_before: before,
        commits_before: before,
        uniques_before: before,
    }
}

/// Purges in pieces of `limit`, until nothing is left. How much it was.
async fn purge_all<S: Store>(case: &Case<'_, S>, retention: &Retention, limit: u32) -> u64 {
    let mut purged = 0;
    loop {
        let piece = case.ok(case.store().purge(retention, limit).await, "`purge`");
        check!(
            case,
            piece <= u64::from(limit),
            "a purge of at most {limit} deleted {piece}"
        );
        purged += piece;
        if piece == 0 {
            return purged;
        }
        check!(case, purged < 1000, "a purge deletes more than there is");
    }
}

pub(super) async fn what_is_old<S: Store>(case: &mut Case<'_, S>) {
    let key = intent(case.uuid());
    let rows = [
        (RowKey::new(RowKind::Evidence, case.uuid()), OLD, true),
        (RowKey::new(RowKind::Evidence, case.uuid()), TIME, false),
        (RowKey::new(RowKind::Intent, case.uuid()), OLD, false),
    ];
    let uniques = [
        (Scope::Idempotency, "old", Some(OLD), true),
        (Scope::Provider, "old", Some(OLD), true),
        (Scope::Idempotency, "young", Some(TIME), false),
        (Scope::Idempotency, "eternal", None, false),
    ];
    let mut batch = case.batch();
    for (key, created_at, _) in rows {
        let mut made = row(key, 1);
        made.index.created_at = created_at;
        put(&mut batch, made);
    }
    for (scope, name, expires_at, _) in uniques {
        let mut made = unique(scope, name, Some(key));
        made.expires_at = expires_at;
        batch.uniques.push(UniqueWrite::Insert(made));
    }
    for (sequence, at) in [(1, OLD), (2, OLD), (3, TIME)] {
        let mut made = event(case.uuid(), key, sequence);
        made.at = at;
        batch.events.push(made);
    }
    case.commit(batch.clone()).await;
    // Over all tenants; but a global unique is one alone.
    batch.uniques.remove(1);
    case.commit_of(&case.other, batch).await;

    let spared = purge_all(case, &nothing(), 100).await;
    check_eq!(case, spared, 0, "how much was deleted of what isn't old");
    let retention = Retention {
        events_before: TIME,
        evidence_before: TIME,
        uniques_before: TIME,
        ..nothing()
    };
    let none = case.ok(case.store().purge(&retention, 0).await, "`purge`");
    check_eq!(case, none, 0, "how much a purge of nothing deleted");
    let expected = 2 * (2 + 1 + 1) + 1;
    check_eq!(
        case,
        purge_all(case, &retention, 2).await,
        expected,
        "how much was deleted in pieces of 2"
    );

    for tenant in [&case.acme, &case.other] {
        let left = case.ok(case.store().events(tenant, key, 1, 10).await, "`events`");
        let left: Vec<_> = left.iter().map(|event| event.sequence).collect();
        check_eq!(case, left, [3], "the sequences of the events that are left");
        for (key, created_at, purged) in rows {
            let there = case.load_of(tenant, key).await.is_some();
            check_eq!(
                case,
                there,
                !purged,
                "whether the row {key:?} of {created_at} is left"
            );
        }
    }
    for (scope, name, expires_at, purged) in uniques {
        let found = case.lookup(&UniqueKey::new(scope, name)).await;
        check_eq!(
            case,
            found.is_some(),
            !purged,
            "whether a unique that expires at {expires_at:?} is left"
        );
    }
    // A name that was purged is free, for every tenant.
    let freed = unique(Scope::Provider, "old", Some(key));
    check_eq!(
        case,
        case.locate(&freed.key).await,
        None,
        "a purged global unique was located"
    );
    let mut batch = case.batch();
    batch.uniques.push(UniqueWrite::Insert(freed));
    case.commit_of(&case.other, batch).await;
}

pub(super) async fn refused_ids<S: Store>(case: &mut Case<'_, S>) {
    let hour = |hours: u64| TIME.after(Duration::from_secs(hours * 3600));
    let batch_at = |time: Timestamp| {
        let mut batch = Batch::new(CommitId(case.uuid_at(time)));
        put(&mut batch, row(intent(case.uuid()), 1));
        batch
    };
    let (old, young) = (batch_at(hour(1)), batch_at(hour(3)));
    case.commit(old.clone()).await;
    let receipt = case.commit(young.clone()).await;
    let fenced = batch_at(hour(1));
    case.resolve(fenced.commit_id).await;
    let never = batch_at(hour(1));
    // At the horizon itself is young enough.
    let edge = batch_at(hour(2));
    let edge_receipt = case.commit(edge.clone()).await;

    let retention = Retention {
        commits_before: hour(2),
        ..nothing()
    };
    check_eq!(
        case,
        purge_all(case, &retention, 1).await,
        2,
        "how many commit ids were deleted"
    );
    // The horizon never goes back.
    purge_all(case, &nothing(), 10).await;
    for (what, batch) in [("committed", &old), ("fenced", &fenced), ("never seen", &never)] {
        let resolved = case.store().resolve(&case.acme, batch.commit_id).await;
        check!(
            case,
            resolved.is_err(),
            "a commit id of before the purge, which was {what}, was resolved: {resolved:?}"
        );
        let why = format!("its commit id, which was {what}, is older than what was purged");
        let error = case.refused(batch, &why).await;
        case.not_committed(&error, &why);
    }
    check_eq!(
        case,
        case.load(fenced.puts[0].key).await,
        None,
        "a fenced batch was written after the purge"
    );
    check!(
        case,
        case.load(old.puts[0].key).await.is_some(),
        "a row went with its commit id"
    );
    for (batch, receipt) in [(edge, edge_receipt), (young, receipt)] {
        check_eq!(
            case,
            case.resolve(batch.commit_id).await,
            Resolved::Committed(receipt),
            "what became of a commit that is young enough"
        );
        check_eq!(
            case,
            case.commit(batch).await,
            receipt,
            "the receipt of a repeated young commit"
        );
    }
}
