//! At rest, what must hold of our rows, of the processor's own books, and of what callers were told.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use paymux::prelude::*;
use paymux::store::{RowKey, RowKind, Store};
use paymux::{
    Attempt, IntentQuery, IntentStatus, Listing, PaymentIntent, RefundQuery, RefundStatus, UnknownQuery,
};
use paymux_standin_stripe::{ChargeLine, Standin};

use crate::kept::tenant;
use crate::log::Fact;
use crate::order::{Order, reference};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit {
    pub(crate) orders: u64,
    pub(crate) charges: u64,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    /// How long recovery took once nothing was killed any more.
    pub(crate) rested: Duration,
    pub(crate) violations: Vec<String>,
}

/// Whether the callers have come back for what they had begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Only recovery has run.
    Away,
    /// Each got its answer.
    Served,
}

pub(crate) async fn audit(
    payments: &Payments,
    store: &dyn Store,
    standin: &Standin,
    told: &BTreeMap<u64, Vec<Fact>>,
    callers: Callers,
) -> Audit {
    let mut audit = Audit {
        orders: told.len() as u64,
        ..Audit::default()
    };
    let mut charges: BTreeMap<String, Vec<ChargeLine>> = BTreeMap::new();
    for line in standin.ledger().charges() {
        audit.charges += 1;
        audit.captured += line.captured;
        audit.refunded += line.refunded;
        charges
            .entry(line.reference.clone().unwrap_or_default())
            .or_default()
            .push(line);
    }
    let mut by_order: BTreeMap<String, Vec<PaymentIntent>> = BTreeMap::new();
    let mut totals = (0, 0);
    for intent in all(payments.intents(IntentQuery::new())).await {
        totals.0 += intent.totals().captured;
        totals.1 += intent.totals().refunded;
        let mine: Vec<ChargeLine> = intent
            .attempts()
            .iter()
            .filter_map(|attempt| charges.remove(&attempt.reference()))
            .flatten()
            .collect();
        audit.payment(&intent, &mine);
        audit
            .events(store, RowKey::new(RowKind::Intent, intent.id().uuid()))
            .await;
        let name = intent.details().merchant_reference.clone().unwrap_or_default();
        by_order.entry(name).or_default().push(intent);
    }
    for line in charges.values().flatten() {
        audit.fault(format!("a charge that no payment of ours knows: {line:?}"));
    }
    if totals != (audit.captured, audit.refunded) {
        let theirs = (audit.captured, audit.refunded);
        audit.fault(format!(
            "captured and refunded: {totals:?} here, {theirs:?} at the processor"
        ));
    }
    let refunds = all(payments.refunds(RefundQuery::new())).await;
    let succeeded = refunds
        .iter()
        .filter(|refund| refund.status() == RefundStatus::Succeeded);
    let (ours, theirs) = (succeeded.count(), standin.ledger().refunds());
    if ours != theirs {
        audit.fault(format!("{ours} refunds here, {theirs} at the processor"));
    }
    for refund in &refunds {
        let key = RowKey::new(RowKind::Refund, refund.id().uuid());
        if refund.status() == RefundStatus::Pending {
            audit.fault(format!("{key:?} is still pending"));
        }
        audit.events(store, key).await;
    }
    for (number, facts) in told {
        let found = by_order.remove(&reference(*number)).unwrap_or_default();
        audit.order(*number, facts, &found, callers);
    }
    for name in by_order.keys() {
        audit.fault(format!("{name}: a payment that nobody asked for"));
    }
    let operator = payments.operator(Actor::person("auditor"));
    for unknown in all(operator.unknowns(UnknownQuery::new())).await {
        audit.fault(format!("left in doubt: {unknown:?}"));
    }
    audit
}

impl Audit {
    fn fault(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A payment beside its charges at the processor.
    fn payment(&mut self, intent: &PaymentIntent, charges: &[ChargeLine]) {
        let (id, status, totals) = (intent.id(), intent.status(), intent.totals());
        let sum = |part: fn(&ChargeLine) -> i64| charges.iter().map(part).sum::<i64>();
        if charges.len() > 1 {
            self.fault(format!("{id} was charged {} times: {charges:?}", charges.len()));
        }
        if charges.iter().any(|line| line.amount != intent.amount().minor()) {
            self.fault(format!("{id} is of {}: {charges:?}", intent.amount()));
        }
        let ours = (totals.captured, totals.refunded);
        let theirs = (sum(|line| line.captured), sum(|line| line.refunded));
        if ours != theirs {
            self.fault(format!(
                "{id}, captured and refunded: {ours:?} here, {theirs:?} at the processor"
            ));
        }
        let holds = charges
            .iter()
            .any(|line| line.captured < line.amount && !line.released);
        if holds != (status == IntentStatus::Authorized) {
            self.fault(format!(
                "{id} is {status:?}, and the processor holds: {charges:?}"
            ));
        }
        let open = status == IntentStatus::Processing || intent.unknown_operation().is_some();
        if open || totals.capture_pending + totals.refund_pending > 0 {
            self.fault(format!("{id} isn't at rest: {status:?}, {totals:?}"));
        }
    }

    /// Sequences are 1, 2, 3 and so on, and no identifier stands twice.
    async fn events(&mut self, store: &dyn Store, key: RowKey) {
        let events = store.events(&tenant(), key, 1, 1_000).await.unwrap();
        let gapless = (1..).zip(&events).all(|(nth, event)| event.sequence == nth);
        let different: BTreeSet<_> = events.iter().map(|event| event.id).collect();
        if events.is_empty() || !gapless || different.len() != events.len() {
            let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
            self.fault(format!("{key:?} has events {sequences:?}"));
        }
    }

    /// What callers were told of an order, beside what there is.
    fn order(&mut self, number: u64, facts: &[Fact], found: &[PaymentIntent], callers: Callers) {
        let order = Order::of(number);
        let [intent] = found else {
            let may_be_none = facts.iter().all(|fact| *fact == Fact::Begun)
                && (callers == Callers::Away || !order.is_asked_again());
            if !found.is_empty() || !may_be_none {
                let short = |intent: &PaymentIntent| {
                    let attempts: Vec<_> = intent.attempts().iter().map(Attempt::status).collect();
                    (*intent.id(), intent.status(), attempts)
                };
                let found: Vec<_> = found.iter().map(short).collect();
                self.fault(format!("order {number} has {found:?}; told: {facts:?}"));
            }
            return;
        };
        let (status, totals) = (intent.status(), intent.totals());
        for fact in facts {
            let holds = match *fact {
                Fact::Begun => true,
                Fact::Made(id) => id == *intent.id(),
                Fact::Held => totals.authorized > 0 || status == IntentStatus::Voided,
                Fact::Captured(minor) => minor == totals.captured,
                Fact::Refunded(minor) => minor == totals.refunded,
                Fact::Voided => status == IntentStatus::Voided,
                Fact::Declined => (status, totals.captured) == (IntentStatus::Created, 0),
                Fact::Done => (status, totals.captured, totals.refunded) == order.end(number),
            };
            if !holds {
                self.fault(format!(
                    "order {number} isn't what was told: {fact:?}, but {status:?} with {totals:?}"
                ));
            }
        }
        let served = facts.contains(&Fact::Done) || !order.is_asked_again();
        if callers == Callers::Served && !served {
            self.fault(format!("order {number} wasn't served to its end: {status:?}"));
        }
    }
}

async fn all<T: Send + 'static>(list: Listing<T>) -> Vec<T> {
    let mut stream = pin!(list.stream());
    let mut all = Vec::new();
    while let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        all.push(item.unwrap());
    }
    all
}
