//! Queries, against the rule in plain code.

use std::time::Duration;

use paymux_core::Store;
use paymux_core::store::*;
use uuid::Uuid;

use super::case::Case;
use super::make::{Chance, TIME, put, row};

const KINDS: [RowKind; 2] = [RowKind::Intent, RowKind::Refund];
const STATUSES: [&str; 3] = ["created", "processing", "succeeded"];
const NAMES: [&str; 3] = ["x", "X", "y"];

pub(super) async fn found<S: Store>(case: &mut Case<'_, S>) {
    let mut chance = Chance(42);
    let parents: Vec<RowKey> = (0..4)
        .map(|index| RowKey::new(KINDS[index / 2], Uuid::from_u128(index as u128 % 2)))
        .collect();
    let mut ours: Vec<Row> = Vec::new();
    for tenant in [case.acme.clone(), case.other.clone()] {
        let mut batch = case.batch();
        for _ in 0..120 {
            // No order of making: the order of identifiers counts.
            let id = u128::from(chance.below(u64::MAX)) << 64 | u128::from(chance.below(u64::MAX));
            let mut made = row(RowKey::new(*chance.one_of(&KINDS), Uuid::from_u128(id)), 1);
            made.index = Index {
                status: (*chance.one_of(&STATUSES)).to_owned(),
                customer: chance.maybe(|chance| (*chance.one_of(&NAMES)).to_owned()),
                reference: chance.maybe(|chance| (*chance.one_of(&NAMES)).to_owned()),
                parent: chance.maybe(|chance| *chance.one_of(&parents)),
                attention: *chance.one_of(Attention::ALL),
                attention_since: chance.maybe(|_| TIME),
                created_at: TIME.after(Duration::from_millis(chance.below(10))),
                updated_at: TIME,
            };
            put(&mut batch, made);
        }
        if tenant == case.acme {
            ours = batch.puts.clone();
        }
        case.commit_of(&tenant, batch).await;
    }
    ours.sort_by_key(|row| row.key.id);

    let mut non_empty = 0;
    for _ in 0..300 {
        let query = random(&mut chance, &parents, &ours);
        let expected = expected(&ours, &query);
        non_empty += u32::from(!expected.is_empty());
        let rows = case.ok(case.store().find(&case.acme, &query).await, "`find`");
        let ids = |rows: &[Row]| rows.iter().map(|row| row.key.id).collect::<Vec<_>>();
        check_eq!(case, ids(&rows), ids(&expected), "the rows that {query:?} finds");
        check_eq!(
            case,
            rows,
            expected,
            "the contents of the rows that {query:?} finds"
        );
    }
    check!(
        case,
        non_empty > 100,
        "the suite asks too little: only {non_empty} queries find a row"
    );
    pages(case, &ours).await;

    let key = ours[0].key;
    let mut batch = case.batch();
    let mut moved = row(key, 2);
    moved.index.status = "moved".to_owned();
    put(&mut batch, moved.clone());
    case.commit(batch).await;
    for (status, expected) in [("moved", true), (ours[0].index.status.as_str(), false)] {
        let mut query = Query::of(key.kind);
        query.statuses.push(status.to_owned());
        query.limit = 1000;
        let rows = case.ok(case.store().find(&case.acme, &query).await, "`find`");
        let there = rows.iter().any(|row| row.key == key);
        check_eq!(
            case,
            there,
            expected,
            "whether a row is found as {status} after it was moved to `moved`"
        );
    }
}

/// A walk over all pages gives each row once.
async fn pages<S: Store>(case: &Case<'_, S>, ours: &[Row]) {
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let mut query = Query::of(RowKind::Intent);
        query.order = order;
        query.limit = 1000;
        let whole = expected(ours, &query);
        query.limit = 7;
        let mut walked = Vec::new();
        loop {
            let page = case.ok(case.store().find(&case.acme, &query).await, "`find`");
            let Some(last) = page.last() else { break };
            check!(
                case,
                walked.len() < whole.len(),
                "a walk page by page, {order:?}, gives more rows than there are"
            );
            query.after = Some(last.key.id);
            walked.extend(page);
        }
        check!(
            case,
            walked == whole,
            "a walk in pages of 7, {order:?}, gave {} of {} rows, or in another order",
            walked.len(),
            whole.len()
        );
    }
}

fn random(chance: &mut Chance, parents: &[RowKey], rows: &[Row]) -> Query {
    let mut query = Query::of(*chance.one_of(&KINDS));
    let some = |chance: &mut Chance| chance.below(4) == 0;
    if some(chance) {
        for _ in 0..=chance.below(2) {
            query.statuses.push((*chance.one_of(&STATUSES)).to_owned());
        }
    }
    if some(chance) {
        query.customer = Some((*chance.one_of(&NAMES)).to_owned());
    }
    if some(chance) {
        query.reference = Some((*chance.one_of(&NAMES)).to_owned());
    }
    if some(chance) {
        query.parent = Some(*chance.one_of(parents));
    }
    if some(chance) {
        for _ in 0..=chance.below(2) {
            query.attention.push(*chance.one_of(Attention::ALL));
        }
    }
    if some(chance) {
        query.created_from = Some(TIME.after(Duration::from_millis(chance.below(10))));
    }
    if some(chance) {
        query.created_before = Some(TIME.after(Duration::from_millis(chance.below(11))));
    }
    if some(chance) {
        query.order = Order::OldestFirst;
    }
    if some(chance) {
        query.after = Some(chance.one_of(rows).key.id);
    }
    query.limit = *chance.one_of(&[0, 1, 3, 1000]);
    query
}

/// By [`Query::matches`]; `rows` are in the order of their identifiers.
fn expected(rows: &[Row], query: &Query) -> Vec<Row> {
    let matching = rows.iter().filter(|row| query.matches(row));
    let limit = query.limit as usize;
    match query.order {
        Order::OldestFirst => matching
            .filter(|row| query.after.is_none_or(|after| row.key.id > after))
            .take(limit)
            .cloned()
            .collect(),
        Order::NewestFirst => matching
            .rev()
            .filter(|row| query.after.is_none_or(|after| row.key.id < after))
            .take(limit)
            .cloned()
            .collect(),
    }
}
