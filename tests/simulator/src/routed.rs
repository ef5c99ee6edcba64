//! Who sees where payments go: a model of its own of what accounts take, of which program decides, of when a payment may
//! go on, and of what is counted. It reads what is committed, and shares with the engine what a host can read.

mod account;
mod cards;
mod counts;
mod shelf;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use paymux_core::routing::{
    ChoiceKind, Circuit, Circuits, Considered, Country, DecidedBy, Explanation, Kept, WhenAllOpen, replay,
};
use paymux_core::store::{Batch, Row, RowKey, RowKind};
use paymux_core::{
    AccountRef, AttemptId, AttemptStatus, CaptureMethod, Challenge, Decline, IntentDetails, MethodKind,
    Money, Tenant, Timestamp,
};
use serde::Deserialize;

use self::cards::Cards;
pub(crate) use self::counts::Counted;
use self::shelf::Shelf;
use self::words::Says;
use crate::coverage::Coverage;
use crate::ports::EPOCH_MS;
use crate::routes::{Routing, Rules, Test, Way, token_of};
use crate::shape::Shape;
use crate::wire::Ask;

/// What a world is like, as far as it says where payments may go.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) routing: Arc<Routing>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) owners: Vec<Option<usize>>,
    pub(crate) tenants: Vec<Tenant>,
    /// The host's check looks at authorizations, so that each is captured after it.
    pub(crate) checks_after: bool,
    /// Workers' clocks may be wrong by a day.
    pub(crate) jumps: bool,
    /// Whether what is counted is compared with what happened.
    pub(crate) counts: bool,
}

/// The auditor's part for routing.
#[derive(Debug)]
pub(crate) struct Routed {
    setting: Setting,
    shelves: Vec<Shelf>,
    cards: Cards,
    counted: Counted,
    /// Versions of what is kept beside the payments, whose keys tenants share.
    beside: HashMap<(Tenant, RowKey), (u64, u64)>,
    found: Vec<(u8, String)>,
}

/// A payment, as its row has it.
#[derive(Debug, Deserialize)]
struct Payment {
    amount: Money,
    capture_method: CaptureMethod,
    details: IntentDetails,
    #[serde(default)]
    attempts: Vec<Try>,
    plan: Option<Plan>,
}

#[derive(Debug, Deserialize)]
struct Body {
    state: Payment,
}

/// An attempt.
#[derive(Debug, Deserialize)]
struct Try {
    id: AttemptId,
    account: AccountRef,
    method: Method,
    challenge: Challenge,
    capture_method: CaptureMethod,
    opened_at: Timestamp,
    status: AttemptStatus,
    known: Known,
    #[serde(default)]
    closure: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Known {
    declined: Option<Decline>,
}

/// How the payer pays.
#[derive(Debug, PartialEq, Deserialize)]
struct Method {
    #[serde(rename = "type")]
    kind: MethodKind,
    token: Option<String>,
    wallet: Option<String>,
    scheme: Option<String>,
    issued_by: Option<AccountRef>,
    card: Option<Card>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Card {
    network: Option<String>,
    issuer_country: Option<Country>,
    fingerprint: Option<String>,
}

/// A routing decision.
#[derive(Debug, Deserialize)]
struct Plan {
    accounts: Vec<Planned>,
    left_out: Vec<Planned>,
    decided_at: Timestamp,
    explanation: Option<Explanation>,
}

#[derive(Debug, Deserialize)]
struct Planned {
    account: AccountRef,
    reason: String,
}

/// What an attempt's opening is part of.
#[derive(Debug, Deserialize)]
struct Learnt {
    what: LearntWhat,
}

#[derive(Debug, Deserialize)]
struct LearntWhat {
    attempt_learnt: LearntOf,
}

#[derive(Debug, Deserialize)]
struct LearntOf {
    attempt: AttemptId,
}

/// A worker may be paused for so long between what it reads and what it decides, twice and more.
const PAUSED_MS: u64 = 300_000;

impl Routed {
    pub(crate) fn new(setting: Setting) -> Self {
        let shelves = setting.tenants.iter().map(|_| Shelf::default()).collect();
        Self {
            setting,
            shelves,
            cards: Cards::default(),
            counted: Counted::default(),
            beside: HashMap::new(),
            found: Vec::new(),
        }
    }

    /// What was found since it was asked last: which invariant, and what was seen.
    pub(crate) fn take(&mut self) -> Vec<(u8, String)> {
        std::mem::take(&mut self.found)
    }

    fn raise(&mut self, invariant: u8, what: impl Into<String>) {
        self.found.push((invariant, what.into()));
    }

    fn tenant(&self, tenant: &Tenant) -> Option<usize> {
        self.setting.tenants.iter().position(|known| known == tenant)
    }

    /// The store couldn't be read where a tenant's programs were looked for: the last ones go on for another while.
    pub(crate) fn unreadable(&mut self, tenant: &Tenant, now: u64) {
        if let Some(place) = self.tenant(tenant) {
            self.shelves[place].unreadable(now);
        }
    }

    /// Sees a commit that the store has taken.
    pub(crate) fn committed(&mut self, tenant: &Tenant, batch: &Batch, now: u64, coverage: &mut Coverage) {
        for row in &batch.puts {
            match row.key.kind {
                RowKind::Program | RowKind::Health | RowKind::Card => self.beside(tenant, batch, row, now),
                RowKind::Intent => {
                    if self.setting.counts
                        && let Err(why) = self.counted.row(&row.body)
                    {
                        self.raise(36, format!("{:?} can't be read: {why}", row.key));
                    }
                    let opens = |event: &&paymux_core::store::StoredEvent| {
                        event.row == row.key && event.kind == "attempt.opened"
                    };
                    if batch.events.iter().any(|event| opens(&event)) {
                        self.opens(tenant, batch, row, now, coverage);
                    }
                }
                RowKind::Refund | RowKind::Session | RowKind::Notice | RowKind::Evidence => {}
            }
        }
    }

    /// What is kept beside the payments: a version more for each write, and of programs what happens to them.
    fn beside(&mut self, tenant: &Tenant, batch: &Batch, row: &Row, now: u64) {
        let known = self.beside.entry((tenant.clone(), row.key)).or_default();
        let (version, sequence) = *known;
        let events = batch.events.iter().filter(|event| event.row == row.key);
        let events: Vec<_> = events.collect();
        *known = (row.version, sequence + events.len() as u64);
        if row.version != version + 1 {
            self.raise(
                16,
                format!("{:?} goes from version {version} to {}", row.key, row.version),
            );
        }
        for (place, event) in events.iter().enumerate() {
            if event.sequence != sequence + 1 + place as u64 {
                let what = format!("{:?}: event {} follows {sequence}", row.key, event.sequence);
                self.raise(18, what);
            }
            let Some(of) = self.tenant(tenant) else { continue };
            if let Err(what) = self.shelves[of].happened(&event.body, now) {
                self.raise(37, format!("{tenant}: {what}"));
            }
        }
        if row.key.kind == RowKind::Card
            && let Err(what) = self.cards.written(tenant, row, now)
        {
            self.raise(35, format!("{tenant}: {what}"));
        }
    }

    /// Sees a request that leaves.
    pub(crate) fn sending(&mut self, ask: &Ask, account: usize) {
        let of = ask.token.as_deref().and_then(token_of);
        if let Some(of) = of.filter(|of| *of != format!("a{account}")) {
            let what = format!("{:?} with a token of {of}'s is sent to a{account}", ask.act);
            self.raise(34, what);
        }
    }

    /// An attempt is opened.
    fn opens(&mut self, tenant: &Tenant, batch: &Batch, row: &Row, now: u64, coverage: &mut Coverage) {
        let name = row.index.reference.clone().unwrap_or_default();
        let payment = match serde_json::from_slice::<Body>(&row.body) {
            Ok(body) => body.state,
            Err(why) => return self.raise(37, format!("{name} can't be read: {why}")),
        };
        let (Some(of), Some((new, before)), Some(plan)) =
            (self.tenant(tenant), payment.attempts.split_last(), &payment.plan)
        else {
            return self.raise(37, format!("{name} goes somewhere without a decision"));
        };
        let of_row = || batch.events.iter().filter(|event| event.row == row.key);
        let by_itself =
            of_row().any(|event| event.kind == "attempt.learnt" || event.kind == "operation.closed");
        let learnt: Vec<AttemptId> = of_row()
            .filter(|event| event.kind == "attempt.learnt")
            .filter_map(|event| serde_json::from_slice::<Learnt>(&event.body).ok())
            .map(|learnt| learnt.what.attempt_learnt.attempt)
            .collect();
        let mut problems = Vec::new();
        let mut found = |invariant: u8, what: String| problems.push((invariant, format!("{name}: {what}")));
        let setting = &self.setting;
        let asked = account::Asked {
            setting,
            tenant: of,
            amount: payment.amount,
            method: &new.method,
            capture: new.capture_method,
            challenge: new.challenge,
            details: &payment.details,
        };
        let capture = match setting.checks_after {
            true => CaptureMethod::Manual,
            false => payment.capture_method,
        };
        if new.capture_method != capture {
            found(
                34,
                format!(
                    "it is to be captured {capture:?}, and {:?} is asked for",
                    new.capture_method
                ),
            );
        }
        if let Some(why) = asked.why_not(&new.account) {
            found(34, format!("{} is asked, and {why}", new.account));
        }
        let counted = before
            .iter()
            .filter(|attempt| attempt.status != AttemptStatus::NotExecuted);
        let counted = counted.count();
        if counted >= setting.routing.max_attempts {
            found(
                35,
                format!(
                    "attempt {} of at most {}",
                    counted + 1,
                    setting.routing.max_attempts
                ),
            );
        }
        if let Some(live) = before
            .iter()
            .find(|attempt| attempt.status.is_live() && attempt.closure.is_none())
        {
            let what = format!("another attempt is opened while one is {}", live.status.as_str());
            found(35, what);
        }
        let since = if by_itself { new.opened_at } else { plan.decided_at };
        let card = (!setting.jumps).then(|| self.cards.refusal(tenant, new, before, since, now));
        if let Some(why) = card.flatten() {
            found(35, why);
        }
        match by_itself {
            true => goes_on(
                setting, &payment, plan, new, before, &learnt, coverage, &mut found,
            ),
            false => {
                for planned in &plan.accounts {
                    if let Some(why) = asked.why_not(&planned.account) {
                        found(34, format!("{} is planned, and {why}", planned.account));
                    }
                }
                for out in &plan.left_out {
                    if asked.why_not(&out.account).is_none() {
                        found(
                            34,
                            format!("{} is left out, and takes it: {}", out.account, out.reason),
                        );
                    }
                    coverage.note("left out", out.reason.split(':').next().unwrap_or_default());
                }
                let decision = Decision {
                    setting,
                    shelf: &self.shelves[of],
                    payment: &payment,
                    plan,
                    new,
                    asked: &asked,
                    now,
                };
                decision.check(coverage, &mut found);
            }
        }
        let opened: Vec<_> = payment
            .attempts
            .iter()
            .map(|attempt| (attempt.id, &attempt.method))
            .collect();
        self.cards.opened(tenant, &opened);
        self.found.extend(problems);
    }

    /// Sees what instances say that they have counted, when everything has come to rest.
    pub(crate) fn rest(&mut self, told: &[paymux_core::routing::Health], at: Timestamp, whole: bool) {
        let mut found = Vec::new();
        for health in told {
            found.extend(self.counted.compare(health, at, whole));
        }
        for what in found {
            self.raise(36, what);
        }
    }

    /// Whether what is counted is compared.
    pub(crate) fn counts(&self) -> bool {
        self.setting.counts
    }
}

/// A payment goes on by itself.
#[allow(clippy::too_many_arguments)] // one step's parts, each of another type
fn goes_on(
    setting: &Setting,
    payment: &Payment,
    plan: &Plan,
    new: &Try,
    before: &[Try],
    learnt: &[AttemptId],
    coverage: &mut Coverage,
    found: &mut impl FnMut(u8, String),
) {
    let of_news = before.iter().rev().find(|attempt| learnt.contains(&attempt.id));
    let Some(cause) = of_news.or(before.last()) else {
        return found(35, "it goes on after nothing".to_owned());
    };
    let said = cause.known.declined.as_ref().and_then(words::of);
    let authenticates = cause.status == AttemptStatus::Declined
        && said.is_some_and(|word| word.says == Says::Authenticate)
        && new.challenge == Challenge::Required;
    if authenticates {
        coverage.note("cascade", "challenge");
        if new.account != cause.account || cause.challenge == Challenge::Required {
            found(
                35,
                format!("a challenge for {} goes to {}", cause.account, new.account),
            );
        }
        if payment.details.mit.is_some() {
            found(
                35,
                "a payment that the merchant initiates is challenged".to_owned(),
            );
        }
        return;
    }
    match (cause.status, said) {
        (AttemptStatus::NotExecuted, _) => coverage.note("cascade", "after a proof"),
        (AttemptStatus::Declined, Some(word)) if word.says == Says::GoOn => {
            coverage.note("cascade", "after a soft decline");
            let row = setting
                .routing
                .cascade
                .iter()
                .find(|(code, _)| *code == word.code);
            if let Some((code, to)) = row
                && !to.iter().any(|target| crate::routes::names(target, &new.account))
            {
                found(
                    35,
                    format!("{code:?} may be followed by {to:?}, and {} is", new.account),
                );
            }
        }
        (status, said) => {
            let said = said.map(|word| word.word);
            found(35, format!("it goes on after {} ({said:?})", status.as_str()));
        }
    }
    if cause.method != new.method {
        found(35, "it goes on with another method".to_owned());
    }
    let place = |account: &AccountRef| plan.accounts.iter().position(|one| one.account == *account);
    match (place(&cause.account), place(&new.account)) {
        (_, None) => found(34, format!("{} isn't in the plan", new.account)),
        (Some(last), Some(next)) if next <= last => {
            found(35, format!("it goes back to {}", new.account));
        }
        (_, Some(_)) => {}
    }
    let age = new.opened_at.as_millis() - plan.decided_at.as_millis();
    if !setting.jumps && age >= setting.routing.within_ms as i64 {
        found(
            35,
            format!(
                "it goes on after {age} ms, and may for {} ms",
                setting.routing.within_ms
            ),
        );
    }
}

/// A confirmation's decision, and all that it may have known.
struct Decision<'a> {
    setting: &'a Setting,
    shelf: &'a Shelf,
    payment: &'a Payment,
    plan: &'a Plan,
    new: &'a Try,
    asked: &'a account::Asked<'a>,
    now: u64,
}

impl<'a> Decision<'a> {
    fn check(&self, coverage: &mut Coverage, found: &mut impl FnMut(u8, String)) {
        let Some(why) = &self.plan.explanation else {
            return found(37, "a decision without its reasons".to_owned());
        };
        let routing = &self.setting.routing;
        self.circuits(why, coverage, found);
        let through = self.payment.details.routing.through.as_ref();
        if let Some(through) = through {
            coverage.note("route", "caller");
            for planned in self
                .plan
                .accounts
                .iter()
                .filter(|one| !through.names(&one.account))
            {
                found(34, format!("{} isn't what the caller named", planned.account));
            }
            if why.by != DecidedBy::Caller {
                found(
                    37,
                    format!("the caller named {through:?}, and {:?} decides", why.by),
                );
            }
            return;
        }
        // What may have been in force, from how long an instance may go by what it read to the commit.
        let stored = routing.stored.as_ref();
        let refresh = stored.map_or(0, |stored| stored.refresh_ms);
        let (since, until) = match self.setting.jumps {
            true => (self.now.saturating_sub(PAUSED_MS * 2), self.now),
            false => {
                let decided = (self.plan.decided_at.as_millis() - EPOCH_MS).max(0) as u64;
                (decided, decided + PAUSED_MS)
            }
        };
        let versions = self.shelf.active(since, until, refresh);
        let rules = |version: &Option<u64>| match version {
            Some(version) => self.stored(*version),
            None => routing.host.as_ref(),
        };
        let blocks = |version: &Option<u64>| {
            rules(version).is_some_and(|rules| self.way(rules).1.kind == ChoiceKind::Blocked)
        };
        if versions.iter().all(blocks) {
            found(
                36,
                format!("a rule blocks it, and it goes to {}", self.new.account),
            );
            return;
        }
        let (version, decided) = match &why.by {
            DecidedBy::Caller => {
                return found(37, "the caller named nobody, and is said to decide".to_owned());
            }
            DecidedBy::Router => {
                coverage.note("route", "router");
                if routing.host.is_some() || !versions.contains(&None) {
                    found(37, format!("the router decides, where {versions:?} are in force"));
                }
                return self.all_of(|_| true, found);
            }
            DecidedBy::Program { version, .. } => (*version, rules(version)),
        };
        let DecidedBy::Program {
            name,
            fingerprint,
            rule,
            ..
        } = &why.by
        else {
            return;
        };
        if !versions.contains(&version) {
            found(
                37,
                format!("version {version:?} (`{name}`) decides, where {versions:?} are in force"),
            );
        }
        let Some(rules) = decided.filter(|rules| rules.name == *name) else {
            return found(37, format!("version {version:?} isn't `{name}`"));
        };
        if rules.program.fingerprint() != fingerprint {
            found(37, format!("`{name}` isn't what it was"));
        }
        coverage.note(
            "route",
            if version.is_some() {
                "stored program"
            } else {
                "host's program"
            },
        );
        let (expected, way) = self.way(rules);
        if *rule != expected || why.choice != way.kind {
            let what = format!(
                "rule {expected} of `{name}` fits, {:?}, and {rule} decides",
                way.kind
            );
            return found(37, what);
        }
        if way.kind == ChoiceKind::Blocked {
            let to = &self.new.account;
            return found(
                36,
                format!("rule {expected} of `{name}` blocks it, and it goes to {to}"),
            );
        }
        coverage.note("route", words::of_choice(way.kind));
        self.all_of(|account| way.place(account).is_some(), found);
        self.in_order(why, way, found);
        let again = replay(&rules.program, [why], |_| {});
        if again.same != 1 {
            found(
                37,
                format!("`{name}` decides otherwise when it is asked again: {again}"),
            );
        }
    }

    /// A tenant's own program of a version.
    fn stored(&self, version: u64) -> Option<&'a Rules> {
        let name = self.shelf.name(version)?;
        let pool = &self.setting.routing.stored.as_ref()?.pools[self.asked.tenant];
        pool.iter().find(|rules| rules.name == name)
    }

    /// The rule that fits, and where it sends payments.
    fn way(&self, rules: &'a Rules) -> (String, &'a Way) {
        let fits = rules.rules.iter().position(|(test, _)| self.holds(test));
        match fits {
            Some(place) => (format!("r{place}"), &rules.rules[place].1),
            None => ("otherwise".to_owned(), &rules.otherwise),
        }
    }

    fn holds(&self, test: &Test) -> bool {
        let (payment, details) = (self.payment, &self.payment.details);
        let card = self.new.method.card.as_ref();
        match test {
            Test::Always => true,
            Test::Currency(one) => payment.amount.currency() == *one,
            Test::Below(most) => {
                payment.amount.currency() == most.currency() && payment.amount.minor() < most.minor()
            }
            Test::Method(kind) => self.new.method.kind == *kind,
            Test::Network(network) => card.and_then(|card| card.network.as_deref()) == Some(network),
            Test::IssuedIn(country) => card.and_then(|card| card.issuer_country) == Some(*country),
            Test::PayerIn(country) => details.payer.country.as_deref() == Some(country.as_str()),
            Test::MerchantIn(country) => details.routing.merchant_country == Some(*country),
            Test::Mcc(code) => details.routing.mcc == Some(*code),
            Test::Capture(when) => payment.capture_method == *when,
            Test::Again => payment.attempts.len() > 1,
            Test::Recurring => details.mit.is_some(),
            Test::Both(one, other) => self.holds(one) && self.holds(other),
            Test::Either(one, other) => self.holds(one) || self.holds(other),
            Test::Not(inner) => !self.holds(inner),
        }
    }

    /// The plan holds exactly those that can take it, and are meant.
    fn all_of(&self, meant: impl Fn(&AccountRef) -> bool, found: &mut impl FnMut(u8, String)) {
        let setting = self.setting;
        let able: BTreeSet<AccountRef> = (0..setting.shapes.len())
            .map(Shape::account)
            .filter(|account| meant(account) && self.asked.why_not(account).is_none())
            .collect();
        let planned: BTreeSet<AccountRef> =
            self.plan.accounts.iter().map(|one| one.account.clone()).collect();
        if able != planned {
            let texts = |all: &BTreeSet<AccountRef>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
            found(
                37,
                format!("{:?} are meant, {:?} are planned", texts(&able), texts(&planned)),
            );
        }
    }

    fn considered(&self, why: &'a Explanation, account: &AccountRef) -> Option<&'a Considered> {
        why.considered
            .iter()
            .find(|one| one.account == *account && matches!(one.verdict, Kept::At(_)))
    }

    fn is_open(&self, why: &'a Explanation, account: &AccountRef) -> bool {
        let standing = self.considered(why, account).and_then(|one| one.standing);
        standing.is_some_and(|standing| matches!(standing.circuit, Circuit::Open { .. }))
    }

    /// The accounts come in the order that the rule says, those with open circuits last.
    fn in_order(&self, why: &'a Explanation, way: &Way, found: &mut impl FnMut(u8, String)) {
        let key = |account: &AccountRef| {
            let (row, place) = way.place(account).unwrap_or((2, 0));
            let drawn = || {
                let drawn = &why.split.as_ref()?.drawn;
                drawn
                    .iter()
                    .position(|(target, _)| crate::routes::names(target, account))
            };
            let fee = self.considered(why, account).and_then(|one| one.fee);
            let within = match (row, way.kind) {
                (0, ChoiceKind::Split) => (0, drawn().unwrap_or(usize::MAX) as i64),
                (0, ChoiceKind::Cheapest) => fee.map_or((1, 0), |fee| (0, fee.minor())),
                (0, ChoiceKind::BestSuccessRate | ChoiceKind::HealthiestFirst) => (0, 0),
                (_, _) => (0, place as i64),
            };
            (self.is_open(why, account), row, within)
        };
        let keys: Vec<_> = self.plan.accounts.iter().map(|one| key(&one.account)).collect();
        if !keys.is_sorted() {
            let accounts: Vec<_> = self
                .plan
                .accounts
                .iter()
                .map(|one| one.account.to_string())
                .collect();
            found(37, format!("{way:?} comes to {accounts:?}, by {keys:?}"));
        }
    }

    fn circuits(&self, why: &'a Explanation, coverage: &mut Coverage, found: &mut impl FnMut(u8, String)) {
        let open: Vec<bool> = self
            .plan
            .accounts
            .iter()
            .map(|planned| self.is_open(why, &planned.account))
            .collect();
        let Some(counting) = &self.setting.routing.health else {
            if why.considered.iter().any(|one| one.standing.is_some()) {
                found(36, "nothing is counted, and accounts have standings".to_owned());
            }
            return;
        };
        if open.contains(&true) {
            coverage.note("circuit", "open");
        }
        if !open.is_sorted() {
            found(36, format!("an open circuit comes before a closed one: {open:?}"));
        }
        let all_open = !open.is_empty() && open.iter().all(|open| *open);
        if all_open != (why.circuits == Circuits::AllOpen) {
            found(36, format!("{:?} is said of {open:?}", why.circuits));
        }
        match (all_open, counting.when_all_open) {
            (true, WhenAllOpen::Refuse) => {
                found(
                    36,
                    "all circuits are open, and the payment isn't refused".to_owned(),
                );
            }
            (true, WhenAllOpen::TryAnyway) => coverage.note("circuit", "all open, tried"),
            (false, _) => {}
        }
    }
}
