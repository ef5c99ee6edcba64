//! Events.

use paymux_core::Store;
use paymux_core::store::*;

use super::case::Case;
use super::make::{event, intent};

pub(super) async fn in_sequence<S: Store>(case: &mut Case<'_, S>) {
    let (row, other) = (intent(case.uuid()), intent(case.uuid()));
    let refund = RowKey::new(RowKind::Refund, row.id);
    let made: Vec<_> = (1..=12)
        .map(|sequence| event(case.uuid(), row, sequence))
        .collect();
    // In pieces, and a piece in no order.
    for piece in [&made[0..1], &made[1..7], &made[7..12]] {
        let mut batch = case.batch();
        batch.events = piece.iter().rev().cloned().collect();
        batch.events.push(event(case.uuid(), other, piece[0].sequence));
        batch.events.push(event(case.uuid(), refund, piece[0].sequence));
        case.commit(batch).await;
    }
    check_eq!(case, case.events(row, 1, 100).await, made, "a row's events");
    check_eq!(
        case,
        case.events(row, 0, 100).await,
        made,
        "a row's events from 0"
    );
    let mut paged = Vec::new();
    let mut from = 1;
    loop {
        let page = case.events(row, from, 5).await;
        check!(case, page.len() <= 5, "a page of 5 events holds {}", page.len());
        let Some(last) = page.last() else { break };
        check!(
            case,
            paged.len() < made.len(),
            "a walk page by page gives more events than there are"
        );
        from = last.sequence + 1;
        paged.extend(page);
    }
    check_eq!(case, paged, made, "a row's events, page by page");
    check_eq!(
        case,
        case.events(row, 12, 100).await,
        made[11..],
        "the last event"
    );
    check!(
        case,
        case.events(row, 13, 100).await.is_empty(),
        "events after the last one"
    );
    check!(
        case,
        case.events(row, u64::MAX, 100).await.is_empty(),
        "events from the end of all sequences"
    );
    check!(
        case,
        case.events(row, 1, 0).await.is_empty(),
        "a page of no events"
    );
    check!(
        case,
        case.events(intent(case.uuid()), 1, 100).await.is_empty(),
        "events of a row that has none"
    );
    check_eq!(
        case,
        case.events(other, 1, 100).await.len(),
        3,
        "the events of a row beside"
    );
    check_eq!(
        case,
        case.events(refund, 1, 100).await.len(),
        3,
        "the events of a row of another kind and the same identifier"
    );

    for taken in [1, 7, 12] {
        let mut batch = case.batch();
        batch.events.push(event(case.uuid(), row, 13));
        batch.events.push(event(case.uuid(), row, taken));
        let why = format!("sequence {taken} is taken");
        let error = case.refused(&batch, &why).await;
        case.conflict(&error, &Refusal::Event(row), &why);
    }
    check_eq!(
        case,
        case.events(row, 1, 100).await,
        made,
        "events after a refused batch"
    );
}
