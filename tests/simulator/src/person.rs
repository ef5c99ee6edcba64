//! The person who looks at what is left unknown, and decides by the processor's books.

use std::sync::Arc;

use paymux_core::{
    Actor, Evidence, OperationKind, ProviderKind, ProviderRef, ReviewVerdict, SubjectId, UnknownOutcome,
    UnknownQuery, Verdict,
};

use crate::schedule::lock;
use crate::script::Stream;
use crate::shape::Shape;
use crate::wire::State;
use crate::world::World;

/// Takes the way out of everything that has one.
pub(crate) async fn decide(world: &Arc<World>) {
    let mut rng = world.decider.stream(Stream::Person);
    for tenant in 0..world.tenants.len() {
        let operator = world.payments(tenant).operator(Actor::person("auditor"));
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let Ok(page) = operator.unknowns(UnknownQuery::new()).page(100, after).await else {
                return lock(&world.auditor).raise(31, "the unknowns can't be listed");
            };
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for unknown in all {
            let order = order_of(world, tenant, &unknown).await;
            if let Some(order) = order.filter(|_| unknown.operation().is_some()) {
                let mut auditor = lock(&world.auditor);
                let dossier = auditor.dossier(&order);
                (dossier.by_hand, dossier.settled) = (true, true);
            }
            let note = || Evidence::note("seen in the books");
            let done = match (unknown.operation(), unknown.subject()) {
                (None, SubjectId::Payment(id)) => {
                    lock(&world.auditor).coverage.note("person", "reviewed");
                    operator
                        .review(&id, ReviewVerdict::Approve, note())
                        .await
                        .map(|_| ())
                }
                (None, SubjectId::Refund(_)) => continue,
                (Some(_), _) if rng.chance(300) => {
                    let done = operator.abandon(&unknown, note()).await.map(|_| ());
                    if done.is_ok() {
                        lock(&world.auditor).coverage.note("person", "abandoned");
                    }
                    done
                }
                (Some(_), _) => {
                    let verdict = verdict(world, &unknown);
                    let word = match &verdict {
                        Verdict::Executed(..) => "settled: executed",
                        Verdict::NotExecuted => "settled: not executed",
                    };
                    let done = operator
                        .settle_by_hand(&unknown, verdict, note())
                        .await
                        .map(|_| ());
                    if done.is_ok() {
                        lock(&world.auditor).coverage.note("person", word);
                    }
                    done
                }
            };
            world
                .trace
                .note(|| format!("a person decides on {unknown:?}: {done:?}"));
        }
    }
}

async fn order_of(world: &World, tenant: usize, unknown: &UnknownOutcome) -> Option<String> {
    let payments = world.payments(tenant);
    let id = match unknown.subject() {
        SubjectId::Payment(id) => id,
        SubjectId::Refund(id) => *payments.refund_by_id(&id).await.ok()?.intent(),
    };
    payments
        .intent(&id)
        .await
        .ok()?
        .details()
        .merchant_reference
        .clone()
}

/// What the books say of an operation.
fn verdict(world: &World, unknown: &UnknownOutcome) -> Verdict {
    let bank = lock(&world.bank);
    let reference = unknown
        .operation()
        .map(|operation| operation.reference())
        .unwrap_or_default();
    let executed = |id: &str, kind| {
        let account = unknown.account().cloned().unwrap_or_else(|| Shape::account(0));
        let found = ProviderRef {
            account,
            kind,
            id: id.to_owned(),
        };
        Verdict::Executed(unknown.at_risk(), Some(found))
    };
    match unknown.kind() {
        Some(OperationKind::Authorize) => match bank.by_reference(&reference) {
            Some(payment) if payment.holds_money() || payment.state == State::Verified => {
                executed(&payment.id, ProviderKind::Payment)
            }
            Some(_) | None => Verdict::NotExecuted,
        },
        Some(OperationKind::Capture) => {
            let captures = bank
                .payments
                .iter()
                .flat_map(|payment| payment.captures.iter().map(move |c| (payment, c)));
            match captures
                .into_iter()
                .find(|(_, capture)| capture.reference.as_deref() == Some(&reference))
            {
                Some((payment, _)) => executed(&payment.id, ProviderKind::Payment),
                None => Verdict::NotExecuted,
            }
        }
        Some(OperationKind::Refund | OperationKind::CompensateRefund) => {
            let mut refunds = bank.payments.iter().flat_map(|payment| &payment.refunds);
            match refunds.find(|refund| refund.reference == reference) {
                Some(refund) => executed(&refund.id, ProviderKind::Refund),
                None => Verdict::NotExecuted,
            }
        }
        Some(
            OperationKind::Complete
            | OperationKind::Increment
            | OperationKind::Void
            | OperationKind::Release
            | OperationKind::Cancel
            | OperationKind::CompensateVoid,
        )
        | None => Verdict::NotExecuted,
    }
}
