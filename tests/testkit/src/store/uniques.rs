//! Uniques: there once, for a tenant or for all.

use bytes::Bytes;
use paymux_core::store::*;
use paymux_core::{Store, Timestamp};

use super::case::Case;
use super::make::{FUTURE, PAST, TIME, intent, put, row, unique};

pub(super) async fn once<S: Store>(case: &mut Case<'_, S>) {
    let target = intent(case.uuid());
    for scope in Scope::ALL {
        let first = unique(*scope, "one", Some(target));
        let mut batch = case.batch();
        batch.uniques.push(UniqueWrite::Insert(first.clone()));
        case.commit(batch).await;

        let mut second = unique(*scope, "one", None);
        second.bytes = Bytes::from_static(b"must not be seen");
        let mut batch = case.batch();
        batch.uniques.push(UniqueWrite::Insert(second));
        let why = format!("a second {:?} was inserted", first.key);
        let error = case.refused(&batch, &why).await;
        case.conflict(&error, &Refusal::Unique(first.key.clone()), &why);
        check_eq!(
            case,
            case.lookup(&first.key).await,
            Some(first.clone()),
            "a refused insert was seen"
        );
    }
    // Names are compared byte by byte, and an expired one is there until it is purged.
    let long = "n".repeat(512);
    let near = format!("{}m", "n".repeat(511));
    let names = [
        "",
        "a",
        "A",
        "a ",
        "é",
        "e\u{301}",
        "%",
        "_",
        "'; --",
        long.as_str(),
        near.as_str(),
    ];
    for name in names {
        let mut made = unique(Scope::Idempotency, name, None);
        made.bytes = Bytes::copy_from_slice(name.as_bytes());
        made.expires_at = Some(PAST);
        let mut batch = case.batch();
        batch.uniques.push(UniqueWrite::Insert(made.clone()));
        case.commit(batch).await;
    }
    for name in names {
        let key = UniqueKey::new(Scope::Idempotency, name);
        let bytes = case.lookup(&key).await.map(|unique| unique.bytes);
        check_eq!(
            case,
            bytes,
            Some(Bytes::copy_from_slice(name.as_bytes())),
            "the unique named {name:?}"
        );
        let mut batch = case.batch();
        batch
            .uniques
            .push(UniqueWrite::Insert(unique(Scope::Idempotency, name, None)));
        case.refused(
            &batch,
            "a unique was inserted over one that has expired but isn't purged",
        )
        .await;
    }
}

pub(super) async fn renewed<S: Store>(case: &mut Case<'_, S>) {
    let before = Timestamp::from_millis(PAST.as_millis() - 1);
    for scope in Scope::ALL {
        let first = unique(*scope, "renewed", Some(intent(case.uuid())));
        let key = first.key.clone();
        let renew = |unique: &Unique, expired_by| UniqueWrite::Renew {
            unique: unique.clone(),
            expired_by,
        };
        let lives = Unique {
            expires_at: Some(PAST),
            ..first.clone()
        };
        let mut batch = case.batch();
        batch.uniques.push(renew(&lives, TIME));
        case.commit(batch).await;
        check_eq!(
            case,
            case.lookup(&key).await,
            Some(lives.clone()),
            "a unique renewed where none was"
        );

        let next = Unique {
            target: Some(intent(case.uuid())),
            bytes: Bytes::from_static(b"next"),
            expires_at: None,
            ..first
        };
        let mut early = case.batch();
        early.uniques.push(renew(&next, before));
        let why = format!("{key:?} was renewed before it expired");
        let error = case.refused(&early, &why).await;
        case.conflict(&error, &Refusal::Unique(key.clone()), &why);
        if key.is_global() {
            let mut theirs = case.batch();
            theirs.uniques.push(renew(&next, TIME));
            let why = format!("{key:?} is another tenant's, and was renewed");
            let error = case.refused_of(&case.other, &theirs, &why).await;
            case.conflict(&error, &Refusal::Unique(key.clone()), &why);
        }
        check_eq!(case, case.lookup(&key).await, Some(lives), "what wasn't renewed");

        let mut batch = case.batch();
        batch.uniques.push(renew(&next, PAST));
        case.commit(batch).await;
        check_eq!(
            case,
            case.lookup(&key).await,
            Some(next.clone()),
            "a unique renewed when it had expired"
        );
        let mut again = case.batch();
        again.uniques.push(renew(&next, FUTURE));
        case.refused(&again, "a unique that never expires was renewed")
            .await;
    }
}

pub(super) async fn written<S: Store>(case: &mut Case<'_, S>) {
    let missing = UniqueKey::new(Scope::Idempotency, "missing");
    check_eq!(
        case,
        case.lookup(&missing).await,
        None,
        "a unique that was never written"
    );
    for scope in [Scope::Idempotency, Scope::Provider] {
        let mut forms = Vec::new();
        for (target, bytes, expires_at) in [
            (None, Bytes::new(), None),
            (Some(intent(case.uuid())), Bytes::from(vec![0; 5000]), Some(TIME)),
            (
                Some(RowKey::new(RowKind::Refund, case.uuid())),
                Bytes::from_static(&[0, 255]),
                None,
            ),
            (None, Bytes::from_static(b"last"), Some(PAST)),
        ] {
            forms.push(Unique {
                key: UniqueKey::new(scope, "written"),
                target,
                bytes,
                expires_at,
            });
        }
        for form in &forms {
            let mut batch = case.batch();
            batch.uniques.push(UniqueWrite::Replace(form.clone()));
            case.commit(batch).await;
            let read = case.lookup(&form.key).await;
            check_eq!(case, read, Some(form.clone()), "a replaced unique");
        }
        let key = forms[0].key.clone();
        for _ in 0..2 {
            let mut batch = case.batch();
            batch.uniques.push(UniqueWrite::Delete(key.clone()));
            case.commit(batch).await;
            check_eq!(case, case.lookup(&key).await, None, "a deleted unique");
            check_eq!(case, case.locate(&key).await, None, "a deleted unique, located");
        }
        let mut batch = case.batch();
        batch.uniques.push(UniqueWrite::Insert(forms[1].clone()));
        case.commit(batch).await;
        let read = case.lookup(&key).await;
        check_eq!(
            case,
            read,
            Some(forms[1].clone()),
            "a unique inserted after it was deleted"
        );
    }
}

pub(super) async fn global<S: Store>(case: &mut Case<'_, S>) {
    let target = intent(case.uuid());
    for scope in Scope::ALL {
        let ours = unique(*scope, "shared", Some(target));
        let mut batch = case.batch();
        put(&mut batch, row(intent(case.uuid()), 1));
        batch.uniques.push(UniqueWrite::Insert(ours.clone()));
        case.commit(batch).await;

        let mut theirs = ours.clone();
        theirs.bytes = Bytes::from_static(b"theirs");
        let mut insert = case.batch();
        insert.uniques.push(UniqueWrite::Insert(theirs.clone()));
        let mut replace = case.batch();
        replace.uniques.push(UniqueWrite::Replace(theirs.clone()));
        let mut delete = case.batch();
        delete.uniques.push(UniqueWrite::Delete(ours.key.clone()));
        if ours.key.is_global() {
            for batch in [insert, replace] {
                let why = format!("{:?} is another tenant's", ours.key);
                let error = case.refused_of(&case.other, &batch, &why).await;
                case.conflict(&error, &Refusal::Unique(ours.key.clone()), &why);
            }
            case.commit_of(&case.other, delete).await;
            let located = case.locate(&ours.key).await;
            check_eq!(
                case,
                located,
                Some((case.acme.clone(), target)),
                "whose {:?} is",
                ours.key
            );
            let looked_up = case.ok(case.store().lookup(&case.other, &ours.key).await, "`lookup`");
            check_eq!(
                case,
                looked_up,
                None,
                "another tenant's {:?} was looked up",
                ours.key
            );
        } else {
            case.commit_of(&case.other, insert).await;
            case.commit_of(&case.other, replace).await;
            check_eq!(
                case,
                case.locate(&ours.key).await,
                None,
                "{:?} isn't global, but was located",
                ours.key
            );
            let looked_up = case.ok(case.store().lookup(&case.other, &ours.key).await, "`lookup`");
            check_eq!(
                case,
                looked_up,
                Some(theirs),
                "another tenant's unique of the same name"
            );
            case.commit_of(&case.other, delete).await;
        }
        check_eq!(
            case,
            case.lookup(&ours.key).await,
            Some(ours.clone()),
            "another tenant changed {:?}",
            ours.key
        );
    }
    let pointless = unique(Scope::Reference, "without a target", None);
    let mut batch = case.batch();
    batch.uniques.push(UniqueWrite::Insert(pointless.clone()));
    case.commit(batch).await;
    check_eq!(
        case,
        case.locate(&pointless.key).await,
        None,
        "a unique without a target was located"
    );

    // What its owner lets go of is free for others.
    let released = unique(Scope::Provider, "shared", Some(target));
    let mut batch = case.batch();
    batch.uniques.push(UniqueWrite::Delete(released.key.clone()));
    case.commit(batch).await;
    let mut batch = case.batch();
    batch.uniques.push(UniqueWrite::Insert(released.clone()));
    case.commit_of(&case.other, batch).await;
    let located = case.locate(&released.key).await;
    check_eq!(
        case,
        located,
        Some((case.other.clone(), target)),
        "a global unique that has changed hands"
    );
}
