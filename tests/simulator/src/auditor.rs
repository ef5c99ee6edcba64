//! The auditor: a small model of its own, which sees every commit, every send and every reply, and the processors'
//! books. It shares no code with the engine beyond what a host can read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use paymux_core::store::{
    Attention, Batch, Claim, CommitId, JobKey, JobWrite, Precondition, Resolved, RowKey, RowKind, Scope,
    UniqueWrite,
};
use paymux_core::{
    AttemptStatus, CompensationStatus, IntentStatus, PaymentIntent, PaymentIntentId, Refund, RefundId,
    RefundStatus, SessionId, Tenant,
};

use crate::bank::{Bank, Manner, Payment};
use crate::coverage::Coverage;
use crate::faults::{ROUTING, WORLD};
use crate::fenced::Kept;
use crate::routed::{Routed, Setting};
use crate::wire::{Act, Ask, State};
use crate::world::World;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, as the crate's documentation numbers them.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
    /// When, in milliseconds of the world's time.
    pub at_ms: u64,
}

struct Seen {
    version: u64,
    sequence: u64,
    status: String,
    attention: Attention,
    order: Option<String>,
}

struct Reference {
    account: String,
    order: String,
}

struct FirstSend {
    hash: u64,
    at: u64,
}

/// What one order is known by.
#[derive(Default)]
pub(crate) struct Dossier {
    /// A person has decided on it: the processor's books may say otherwise.
    pub(crate) by_hand: bool,
    /// And said what became of an operation.
    pub(crate) settled: bool,
    /// A webhook of it was lost for good.
    pub(crate) deaf: bool,
    /// Two callers were at it at once.
    pub(crate) crowded: bool,
    keys: BTreeMap<String, Got>,
}

#[derive(Default)]
struct Got {
    /// Each that a caller was told of, and how it was told last.
    told: BTreeMap<String, Told>,
    replay: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// What became of it isn't known: it may not even be there.
    Open,
    Definite,
}

/// The auditor of one world.
pub(crate) struct Auditor {
    pub(crate) violations: Vec<Violation>,
    rows: HashMap<RowKey, Seen>,
    references: HashMap<String, Reference>,
    sends: HashMap<String, FirstSend>,
    epochs: HashMap<JobKey, u64>,
    absent: HashSet<CommitId>,
    committed: HashSet<CommitId>,
    owners: HashMap<RowKey, Tenant>,
    pub(crate) orders: BTreeMap<String, Dossier>,
    pub(crate) coverage: Coverage,
    accepts_late: bool,
    secrets: Vec<Vec<u8>>,
    now: u64,
    routed: Routed,
}

/// Which changes of a payment's state there are at all, written down from the design and not from the code.
fn payment_may_turn(from: &str, to: &str, accepts_late: bool) -> bool {
    let paid = ["authorized", "captured", "succeeded", "voided"];
    match from {
        _ if from == to => true,
        "created" => {
            ["processing", "cancelled", "failed", "requires_action"].contains(&to) || paid.contains(&to)
        }
        "scheduled" => ["processing", "cancelled", "failed"].contains(&to),
        "requires_action" => {
            ["processing", "created", "cancelled", "failed"].contains(&to) || paid.contains(&to)
        }
        "processing" => {
            ["requires_action", "created", "cancelled", "failed"].contains(&to) || paid.contains(&to)
        }
        "authorized" => ["captured", "succeeded", "voided", "failed"].contains(&to),
        // A capture that fails days later gives back what is still held, or leaves nothing.
        "captured" => ["succeeded", "voided", "failed", "authorized"].contains(&to),
        "succeeded" => ["failed", "authorized", "captured", "voided"].contains(&to),
        // What was voided had failed before it was.
        "voided" => to == "failed",
        "cancelled" | "failed" => accepts_late && paid.contains(&to),
        _ => false,
    }
}

fn refund_may_turn(from: &str, to: &str) -> bool {
    match from {
        _ if from == to => true,
        "requested" => true,
        "requires_action" | "pending" => to != "requested",
        "succeeded" => ["failed", "partially_succeeded"].contains(&to),
        "partially_succeeded" => ["failed", "succeeded"].contains(&to),
        // Our own proof yields to what the processor says.
        "failed" => ["succeeded", "partially_succeeded", "pending"].contains(&to),
        _ => false,
    }
}

fn session_may_turn(from: &str, to: &str) -> bool {
    match from {
        _ if from == to => true,
        "pending" => to != "pending",
        "processing" => true,
        "failed" => ["succeeded", "expired", "cancelled", "pending", "processing"].contains(&to),
        _ => false,
    }
}

/// Whether rows of this kind are kept beside the payments, under keys that tenants share.
pub(crate) fn is_beside(kind: RowKind) -> bool {
    match kind {
        RowKind::Program | RowKind::Health | RowKind::Card => true,
        RowKind::Intent | RowKind::Refund | RowKind::Session | RowKind::Notice | RowKind::Evidence => false,
    }
}

/// The number of an order, as its name says it.
pub(crate) fn number_of(order: &str) -> u32 {
    order.trim_start_matches('o').parse().unwrap_or(WORLD)
}

impl Auditor {
    pub(crate) fn new(accepts_late: bool, secrets: Vec<Vec<u8>>, setting: Setting) -> Self {
        Self {
            violations: Vec::new(),
            rows: HashMap::new(),
            references: HashMap::new(),
            sends: HashMap::new(),
            epochs: HashMap::new(),
            absent: HashSet::new(),
            committed: HashSet::new(),
            owners: HashMap::new(),
            orders: BTreeMap::new(),
            coverage: Coverage::default(),
            accepts_late,
            secrets,
            now: 0,
            routed: Routed::new(setting),
        }
    }

    /// Whether what is counted of accounts is compared with what happened.
    pub(crate) fn counts(&self) -> bool {
        self.routed.counts()
    }

    /// What there is to say of where payments went.
    pub(crate) fn of_routing(&mut self, sees: impl FnOnce(&mut Routed)) {
        sees(&mut self.routed);
        for (invariant, what) in self.routed.take() {
            self.raise(invariant, what);
        }
    }

    pub(crate) fn raise(&mut self, invariant: u8, what: impl Into<String>) {
        if self.violations.len() < 20 {
            self.violations.push(Violation {
                invariant,
                what: what.into(),
                at_ms: self.now,
            });
        }
    }

    pub(crate) fn dossier(&mut self, order: &str) -> &mut Dossier {
        self.orders.entry(order.to_owned()).or_default()
    }

    /// Whose faults befall a commit.
    pub(crate) fn order_of_batch(&self, batch: &Batch) -> u32 {
        if batch.puts.iter().any(|row| is_beside(row.key.kind)) {
            return ROUTING;
        }
        let order = batch.puts.iter().find_map(|row| match row.key.kind {
            RowKind::Intent | RowKind::Session => row.index.reference.as_deref().map(number_of),
            _ => {
                let parent = row.index.parent?;
                self.rows.get(&parent)?.order.as_deref().map(number_of)
            }
        });
        order.unwrap_or(WORLD)
    }

    pub(crate) fn order_of_reference(&self, reference: &str) -> Option<&str> {
        self.references.get(reference).map(|known| known.order.as_str())
    }

    /// Sees a commit that the store has taken.
    pub(crate) fn committed(&mut self, tenant: &Tenant, batch: &Batch, now: u64) {
        self.now = now;
        if self.absent.contains(&batch.commit_id) {
            self.raise(
                27,
                format!("commit {:?} was declared absent and is applied", batch.commit_id),
            );
        }
        if !self.committed.insert(batch.commit_id) {
            return;
        }
        for precondition in &batch.preconditions {
            if let Precondition::Epoch(job, epoch) = precondition {
                let known = self.epochs.get(job).copied().unwrap_or(1);
                if *epoch != known {
                    self.raise(
                        26,
                        format!("{job:?} is at epoch {known}, and {epoch} has committed"),
                    );
                }
            }
        }
        let evidence = batch.puts.iter().any(|row| row.key.kind == RowKind::Evidence);
        for row in &batch.puts {
            if matches!(row.key.kind, RowKind::Evidence | RowKind::Notice) || is_beside(row.key.kind) {
                continue;
            }
            self.row(row, batch, evidence);
            let owner = self.owners.entry(row.key).or_insert_with(|| tenant.clone());
            if owner != tenant {
                self.raise(23, format!("{:?} is written by another tenant", row.key));
            }
        }
        for event in &batch.events {
            if !batch.puts.iter().any(|row| row.key == event.row) {
                self.raise(17, format!("an event {} without its row", event.kind));
            }
            self.coverage.event(&event.kind);
        }
        for write in &batch.jobs {
            // A job that is made anew begins anew.
            if let JobWrite::Done(job) = write {
                self.epochs.remove(job);
            }
        }
        for write in &batch.uniques {
            if let UniqueWrite::Insert(unique) | UniqueWrite::Replace(unique) = write
                && unique.key.scope == Scope::Reference
                && let Some((account, reference)) = unique.key.name.rsplit_once('/')
            {
                let order = unique.target.and_then(|row| self.rows.get(&row)?.order.clone());
                let reference = reference.to_owned();
                let known = Reference {
                    account: account.rsplit('/').next().unwrap_or_default().to_owned(),
                    order: order.unwrap_or_default(),
                };
                self.references.insert(reference, known);
            }
        }
        if !self.secrets.is_empty() {
            self.look_for_secrets(batch);
        }
        self.routed.committed(tenant, batch, now, &mut self.coverage);
        for (invariant, what) in self.routed.take() {
            self.raise(invariant, what);
        }
    }

    fn row(&mut self, row: &paymux_core::store::Row, batch: &Batch, evidence: bool) {
        let events: Vec<u64> = batch
            .events
            .iter()
            .filter(|event| event.row == row.key)
            .map(|event| event.sequence)
            .collect();
        let parent = row.index.parent.filter(|_| row.key.kind == RowKind::Refund);
        let order = match parent {
            Some(parent) => self.rows.get(&parent).and_then(|seen| seen.order.clone()),
            None => row.index.reference.clone(),
        };
        let next = Seen {
            version: row.version,
            sequence: events.last().copied().unwrap_or_default(),
            status: row.index.status.clone(),
            attention: row.index.attention,
            order,
        };
        let before = self.rows.insert(row.key, next);
        let (version, sequence) = before
            .as_ref()
            .map_or((0, 0), |seen| (seen.version, seen.sequence));
        if row.version != version + 1 {
            self.raise(
                16,
                format!("{:?} goes from version {version} to {}", row.key, row.version),
            );
        }
        if events.is_empty() {
            self.raise(17, format!("{:?} changes without an event", row.key));
        }
        for (place, found) in events.iter().enumerate() {
            if *found != sequence + 1 + place as u64 {
                self.raise(18, format!("{:?}: event {found} follows {sequence}", row.key));
            }
        }
        let Some(before) = before else {
            self.coverage.state(row.key.kind, &row.index.status);
            return;
        };
        let (from, to) = (before.status.as_str(), row.index.status.as_str());
        let may = match row.key.kind {
            RowKind::Refund => refund_may_turn(from, to),
            RowKind::Session => session_may_turn(from, to),
            _ => payment_may_turn(from, to, self.accepts_late),
        };
        if !may {
            self.raise(15, format!("{:?} turns from {from} to {to}", row.key));
        }
        if row.key.kind == RowKind::Session && to == "expired" && from != to {
            self.expires(row);
        }
        self.coverage.state(row.key.kind, to);
        self.coverage.transition(row.key.kind, from, to);
        let cleared = before.attention == Attention::Unknown && row.index.attention == Attention::None;
        if cleared && !evidence {
            self.raise(
                7,
                format!("{:?} isn't unknown any more, and no evidence is kept", row.key),
            );
        }
    }

    /// A session's time may end, but not that of a payment that is authorized or taken.
    fn expires(&mut self, session: &paymux_core::store::Row) {
        let order = session.index.reference.as_deref();
        let good = self.rows.iter().find(|(key, seen)| {
            key.kind == RowKind::Intent
                && seen.order.as_deref() == order
                && ["authorized", "captured", "succeeded"].contains(&seen.status.as_str())
        });
        if let Some((key, seen)) = good {
            let what = format!("{:?} expires while {key:?} is {}", session.key, seen.status);
            self.raise(15, what);
        }
    }

    fn look_for_secrets(&mut self, batch: &Batch) {
        let bodies = batch.puts.iter().map(|row| &row.body[..]);
        let events = batch.events.iter().map(|event| &event.body[..]);
        let uniques = batch.uniques.iter().filter_map(|write| match write {
            UniqueWrite::Insert(unique) | UniqueWrite::Replace(unique) => Some(&unique.bytes[..]),
            UniqueWrite::Renew { .. } | UniqueWrite::Delete(_) => None,
        });
        let found = bodies.chain(events).chain(uniques).any(|bytes| {
            self.secrets
                .iter()
                .any(|secret| bytes.windows(secret.len()).any(|window| window == &secret[..]))
        });
        if found {
            self.raise(30, "a secret is stored");
        }
    }

    pub(crate) fn resolved(&mut self, id: CommitId, resolved: &Resolved) {
        match resolved {
            Resolved::Absent => {
                if self.committed.contains(&id) {
                    self.raise(27, format!("commit {id:?} is applied and was declared absent"));
                }
                self.absent.insert(id);
            }
            Resolved::Committed(_) => {
                if self.absent.contains(&id) {
                    self.raise(27, format!("commit {id:?} was absent and is committed"));
                }
            }
        }
    }

    pub(crate) fn claimed(&mut self, claims: &[Claim]) {
        for claim in claims {
            let known = self.epochs.insert(claim.job, claim.epoch).unwrap_or(1);
            if claim.epoch <= known {
                self.raise(
                    26,
                    format!(
                        "{:?} is claimed with epoch {} after {known}",
                        claim.job, claim.epoch
                    ),
                );
            }
        }
    }

    /// Sees a request that leaves.
    #[allow(clippy::too_many_arguments)] // one send's parts, each of another type
    pub(crate) fn sending(
        &mut self,
        ask: &Ask,
        key: &str,
        hash: u64,
        account: usize,
        own: bool,
        world: &World,
        bank: &Bank,
    ) {
        self.now = world.time.now();
        self.coverage.act(ask.act);
        if ask.act.reads() {
            return;
        }
        if !own {
            self.raise(
                33,
                format!("{:?} of another account's goes to a{account}", ask.act),
            );
        }
        let Some((reference, _)) = key.rsplit_once('-') else {
            return self.raise(10, format!("{:?} without a key", ask.act));
        };
        let written = self.references.get(reference);
        if written.is_none_or(|known| known.account != format!("a{account}")) {
            self.raise(
                9,
                format!("{:?} {key} is sent to a{account} without a committed W1", ask.act),
            );
        }
        let first = self.sends.get(key).map(|first| (first.hash, first.at));
        match first {
            Some((known, _)) if known != hash => {
                self.raise(10, format!("{key} is sent with other bytes than before"));
            }
            Some((_, at)) => {
                let age = self.now - at;
                match world.shapes[account].key.map(|shape| shape.window_ms) {
                    Some(window) if age >= window && !world.config.jumps => {
                        self.raise(
                            11,
                            format!("{key} is sent {age} ms after its first send, with a window of {window}"),
                        );
                    }
                    None if ask.act != Act::Prepare => {
                        self.raise(11, format!("{key} is sent twice, and the account knows no keys"));
                    }
                    Some(_) | None => {}
                }
            }
            None => {
                self.sends
                    .insert(key.to_owned(), FirstSend { hash, at: self.now });
            }
        }
        self.of_routing(|routed| routed.sending(ask, account));
        if first.is_none() && matches!(ask.act, Act::Authorize | Act::Execute) {
            self.only_attempt(ask, bank);
        }
    }

    /// A new attempt while an earlier one may take the payer's money.
    fn only_attempt(&mut self, ask: &Ask, bank: &Bank) {
        let Some(order) = &ask.order else { return };
        if self.orders.get(order).is_some_and(|dossier| dossier.by_hand) {
            return;
        }
        let live = bank
            .of_order(order)
            .find(|payment| payment.reference != ask.reference && payment.is_live());
        if let Some(live) = live {
            let what = format!(
                "order {order} is sent again as {} while {} is {:?} at a{}",
                ask.reference, live.id, live.state, live.account
            );
            self.raise(12, what);
        }
    }

    /// Sees what a key got. `definite`: the result is kept, byte for byte.
    pub(crate) fn got(&mut self, order: &str, key: &str, id: &str, replayed: bool, definite: Option<String>) {
        let unmade = definite.is_some() && !self.is_made(id);
        let got = self.dossier(order).keys.entry(key.to_owned()).or_default();
        let told = got.told.entry(id.to_owned()).or_insert(Told::Open);
        let mut differs = None;
        if let Some(text) = definite {
            *told = Told::Definite;
            match &got.replay {
                Some(known) if replayed && *known != text => {
                    differs = Some(format!("{key} got\n{known}\nand then\n{text}"))
                }
                Some(_) => {}
                None => got.replay = Some(text),
            }
        }
        let unmade = unmade.then(|| format!("{key} is said to have made {id}, which isn't there"));
        if let Some(what) = differs.or(unmade) {
            self.raise(20, what);
        }
        self.one_thing(order, key);
    }

    /// A key makes one thing. What was told while its first write was in doubt may never have been made; and a refund
    /// of which nothing was executed is over, so that the same key asks for it anew.
    fn one_thing(&mut self, order: &str, key: &str) {
        let Some(got) = self.orders.get(order).and_then(|dossier| dossier.keys.get(key)) else {
            return;
        };
        let made: Vec<_> = got
            .told
            .iter()
            .filter(|(id, told)| match self.made(id) {
                Some((row, seen)) => {
                    row.kind != RowKind::Refund || seen.status != "failed" || **told == Told::Definite
                }
                None => false,
            })
            .map(|(id, _)| id.clone())
            .collect();
        if made.len() > 1 {
            self.raise(20, format!("{key} made {}", made.join(" and ")));
        }
    }

    /// Whether a payment, refund or session is in the store.
    fn is_made(&self, id: &str) -> bool {
        self.made(id).is_some()
    }

    fn made(&self, id: &str) -> Option<(RowKey, &Seen)> {
        let row = id
            .parse::<PaymentIntentId>()
            .map(|id| RowKey::new(RowKind::Intent, id.uuid()))
            .or_else(|_| {
                let refund = id.parse::<RefundId>();
                refund.map(|id| RowKey::new(RowKind::Refund, id.uuid()))
            })
            .or_else(|_| {
                let session = id.parse::<SessionId>();
                session.map(|id| RowKey::new(RowKind::Session, id.uuid()))
            });
        let row = row.ok()?;
        Some((row, self.rows.get(&row)?))
    }

    /// Sees what a verb said of a payment, beside the books.
    pub(crate) fn heard(&mut self, order: &str, said: &PaymentIntent, bank: &Bank, now: u64) {
        self.now = now;
        let dossier = self.dossier(order);
        if dossier.by_hand {
            return;
        }
        let totals = *said.totals();
        if totals.captured + totals.capture_pending > totals.capturable_max.max(totals.captured) {
            self.raise(1, format!("{order}: {totals:?}"));
        }
        // What a read has shown of a refund whose own answer isn't written yet counts twice, on the careful side.
        let failed_later = bank
            .of_order(order)
            .any(|payment| payment.manner == Manner::CaptureFails);
        if totals.refunded.max(totals.refund_pending) > totals.captured
            && totals.captured > 0
            && !failed_later
        {
            self.raise(2, format!("{order}: {totals:?}"));
        }
        let most = bank
            .of_order(order)
            .map(|payment| payment.ever_captured)
            .max()
            .unwrap_or(0);
        if totals.captured > most {
            self.raise(
                6,
                format!(
                    "{order} is said to be captured with {}, the books have {most}",
                    totals.captured
                ),
            );
        }
        let held = bank
            .of_order(order)
            .map(|payment| payment.ever_authorized)
            .max()
            .unwrap_or(0);
        if said.status() == IntentStatus::Authorized && totals.authorized > held.max(most) {
            self.raise(
                6,
                format!(
                    "{order} is said to be authorized with {}, the books have {held}",
                    totals.authorized
                ),
            );
        }
    }

    /// Sees a decline, or a proof that nothing was executed, beside the books.
    pub(crate) fn heard_no(&mut self, order: &str, what: &str, bank: &Bank, now: u64) {
        self.now = now;
        let dossier = self.dossier(order);
        if dossier.by_hand || dossier.crowded {
            return;
        }
        if let Some(live) = bank.of_order(order).find(|payment| payment.is_live()) {
            let what = format!(
                "{order} is said to be {what}, and {} is {:?}",
                live.id, live.state
            );
            self.raise(5, what);
        }
    }

    /// Sees a payment when everything has come to rest.
    pub(crate) fn rest(&mut self, intent: &PaymentIntent, refunds: &[Refund], world: &World, bank: &Bank) {
        self.now = world.time.now();
        let order = intent.details().merchant_reference.clone().unwrap_or_default();
        let dossier = self.dossier(&order);
        let (by_hand, deaf) = (dossier.by_hand, dossier.deaf);
        let totals = intent.totals();
        let name = format!("{order} ({}, {})", intent.id(), intent.status());
        if let Some(compensation) = intent
            .attempts()
            .iter()
            .find_map(|attempt| attempt.compensation())
        {
            self.coverage.note("compensation", &format!("{compensation:?}"));
        }
        for attempt in intent.attempts() {
            self.coverage.note("attempt", attempt.status().as_str());
        }
        for operation in intent.operations() {
            self.coverage.note("operation", operation.kind().as_str());
        }
        if let Some(reason) = intent.review() {
            self.coverage.note("review", &format!("{reason:?}"));
        }
        if intent.unknown_operation().is_some() || intent.review().is_some() {
            // It has a way out: the unknowns list it, which the world checks and takes.
            return;
        }
        if matches!(
            intent.status(),
            IntentStatus::Processing | IntentStatus::RequiresAction
        ) {
            self.raise(31, format!("{name} is still under way"));
            return;
        }
        if totals.refund_pending > 0 && !by_hand {
            self.raise(31, format!("{name}: a refund is still pending"));
        }
        let mut winner: Option<&Payment> = None;
        for attempt in intent.attempts() {
            let books = bank.by_reference(&attempt.reference());
            match attempt.compensation() {
                Some(CompensationStatus::Done) => {
                    if let Some(payment) = books.filter(|payment| payment.holds_money()) {
                        self.raise(
                            3,
                            format!("{name}: {} was given back and is {:?}", payment.id, payment.state),
                        );
                    }
                    continue;
                }
                Some(CompensationStatus::Failed | CompensationStatus::LeftToHost) => continue,
                Some(CompensationStatus::Wanted | CompensationStatus::Pending) => {
                    self.raise(31, format!("{name}: money is still to be given back"));
                    continue;
                }
                None => {}
            }
            let Some(payment) = books else {
                if attempt.status().holds_money() && !by_hand {
                    self.raise(6, format!("{name}: an attempt holds money that no book knows"));
                }
                continue;
            };
            match attempt.status() {
                AttemptStatus::Authorized | AttemptStatus::Captured | AttemptStatus::Settled => {
                    winner = Some(payment)
                }
                AttemptStatus::Voided | AttemptStatus::Failed => {}
                AttemptStatus::Opened
                | AttemptStatus::Pending
                | AttemptStatus::RequiresAction
                | AttemptStatus::NotExecuted
                | AttemptStatus::Declined
                | AttemptStatus::Cancelled => {}
            }
            if !attempt.status().holds_money() && payment.holds_money() && !by_hand {
                let what = format!(
                    "{name}: {} is {:?} with {} taken, the attempt is {}",
                    payment.id,
                    payment.state,
                    payment.captured(),
                    attempt.status().as_str()
                );
                self.raise(5, what);
            }
        }
        if by_hand {
            return;
        }
        let Some(payment) = winner else { return };
        let shape = &world.shapes[payment.account];
        let tells = shape.webhooks.is_some() && !deaf;
        // What comes days later is told by webhooks alone.
        let late = matches!(
            payment.manner,
            Manner::CaptureFails | Manner::Returned | Manner::RefundFailsLater
        );
        if late && !tells {
            return;
        }
        let status = intent.status();
        let books = format!(
            "{} {:?} authorized {} captured {} refunded {} returned {}",
            payment.id,
            payment.state,
            payment.authorized,
            payment.captured(),
            payment.refunded(),
            payment.returned
        );
        if totals.captured != payment.captured() {
            self.raise(4, format!("{name} captured {}; books: {books}", totals.captured));
        }
        // Where nothing can be read, nobody says what is left of what was seen before a refund failed: never too little.
        let unread = !shape.read && !shape.look_up;
        let unsure = unread
            && refunds
                .iter()
                .any(|refund| refund.status() == RefundStatus::Failed);
        if totals.refunded < payment.refunded() || (totals.refunded != payment.refunded() && !unsure) {
            self.raise(4, format!("{name} refunded {}; books: {books}", totals.refunded));
        }
        let ours: i64 = refunds.iter().map(|refund| refund.refunded().minor()).sum();
        if ours != payment.refunded() {
            self.raise(4, format!("{name} has refunds of {ours}; books: {books}"));
        }
        if refunds
            .iter()
            .any(|refund| matches!(refund.status(), RefundStatus::Requested | RefundStatus::Pending))
        {
            self.raise(31, format!("{name}: a refund is still open"));
        }
        let held = payment.held();
        let agrees = match status {
            IntentStatus::Authorized => {
                payment.state == State::Authorized && held == totals.authorized - totals.captured
            }
            IntentStatus::Captured | IntentStatus::Succeeded => held == 0 && payment.state != State::Voided,
            IntentStatus::Voided => payment.state == State::Voided,
            IntentStatus::Failed => payment.captured() == 0 || payment.returned >= payment.captured(),
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing
            | IntentStatus::Cancelled => false,
        };
        if !agrees {
            self.raise(4, format!("{name} with {totals:?}; books: {books}"));
        }
    }

    /// Sees what became of what overtaken workers had been told.
    pub(crate) fn told_late(&mut self, kept: Kept) {
        for _ in 0..kept.found {
            self.coverage.note("overtaken", "what was said is kept");
        }
        for what in kept.lost {
            self.raise(7, what);
        }
    }

    /// Sees an order's books when everything has come to rest.
    pub(crate) fn rest_of_order(&mut self, order: &str, intents: &[&PaymentIntent], bank: &Bank, now: u64) {
        self.now = now;
        let keys: Vec<_> = self.dossier(order).keys.keys().cloned().collect();
        for key in keys {
            self.one_thing(order, &key);
        }
        let settled = self.dossier(order).settled;
        let live: Vec<_> = bank
            .of_order(order)
            .filter(|payment| payment.holds_money())
            .collect();
        let open = intents.iter().any(|intent| {
            intent.review().is_some()
                || intent.unknown_operation().is_some()
                || intent
                    .attempts()
                    .iter()
                    .any(|attempt| attempt.compensation().is_some())
        });
        // A second way to pay was somebody's choice; that the money of one of them goes back isn't.
        if live.len() > 1 && !open && !settled {
            let ids: Vec<_> = live.iter().map(|payment| payment.id.as_str()).collect();
            self.raise(3, format!("order {order} was charged more than once: {ids:?}"));
        }
        let known: BTreeSet<String> = intents
            .iter()
            .flat_map(|intent| intent.attempts().iter().map(|attempt| attempt.reference()))
            .collect();
        for payment in live.iter().filter(|payment| !known.contains(&payment.reference)) {
            self.raise(
                4,
                format!(
                    "order {order}: nobody knows of {} ({:?})",
                    payment.id, payment.state
                ),
            );
        }
    }
}
