//! The router port, what it is told and what it answers.

use std::fmt;
use std::sync::Arc;

use super::active::ActiveProgram;
use super::circuit::Circuit;
use super::explain::{ChoiceKind, Circuits, Considered, DecidedBy, Explanation, Kept, KeptFacts, SplitDraw};
use super::facts::{CardFacts, Country, Facts, Weekday};
use super::health::{Standing, by_success_rate, healthiest_first};
use super::program::{Matched, Program};
use super::rule::{Choice, Placed, Share, StickyBy, Target};
use super::split;
use crate::decline::DeclineCode;
use crate::id::{AccountRef, SessionId};
use crate::intent::{CaptureMethod, IntentDetails, IntentMode, PlannedAccount};
use crate::method::PaymentMethod;
use crate::money::Money;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// Orders the accounts that a payment may go to. It has no clock, no I/O and no randomness: all it may know is in the
/// facts, so that a decision can be made again and explained.
pub trait Router: fmt::Debug + Send + Sync + 'static {
    /// The accounts to try, in order. Accounts that aren't candidates are ignored.
    fn route(&self, facts: &RouteFacts<'_>) -> Plan;
}

/// What a routing decision may depend on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RouteFacts<'a> {
    /// Whose payment it is.
    pub tenant: &'a Tenant,
    /// How much.
    pub amount: Money,
    /// How the payer pays.
    pub method: &'a PaymentMethod,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// What it is to achieve.
    pub mode: IntentMode,
    /// What it is for and who pays.
    pub details: &'a IntentDetails,
    /// The session that it pays.
    pub session: Option<SessionId>,
    /// When it is asked.
    pub at: Timestamp,
    /// How many attempts the payment has had.
    pub attempts: usize,
    /// Why the last of them was declined.
    pub last_decline: Option<DeclineCode>,
    /// What draws are made from; the same for all attempts of a payment.
    pub seed: u64,
    /// The accounts that can take it, in the order of their registration.
    pub candidates: &'a [Candidate],
}

/// An account that can take a payment by its capabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The account.
    pub account: AccountRef,
    /// How it has done lately with payments like this one.
    pub standing: Option<Standing>,
    /// What the payment is expected to cost there.
    pub fee: Option<Money>,
}

/// A routing decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) accounts: Vec<PlannedAccount>,
    pub(crate) blocked: Option<String>,
    pub(crate) explanation: Option<Box<Explanation>>,
}

impl Candidate {
    /// An account of which nothing else is known.
    pub fn new(account: AccountRef) -> Self {
        Self {
            account,
            standing: None,
            fee: None,
        }
    }

    /// With how it has done lately.
    #[must_use]
    pub fn standing(mut self, standing: Standing) -> Self {
        self.standing = Some(standing);
        self
    }

    /// With what the payment is expected to cost there.
    #[must_use]
    pub fn fee(mut self, fee: Money) -> Self {
        self.fee = Some(fee);
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        self.standing
            .as_ref()
            .is_some_and(|standing| matches!(standing.circuit, Circuit::Open { .. }))
    }
}

impl Plan {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The payment goes nowhere; the caller gets the reason.
    pub fn block(reason: impl Into<String>) -> Self {
        Self {
            blocked: Some(reason.into()),
            ..Self::default()
        }
    }

    /// Next this account, for this reason.
    #[must_use]
    pub fn then(mut self, account: AccountRef, reason: impl Into<String>) -> Self {
        self.accounts.push(PlannedAccount {
            account,
            reason: reason.into(),
        });
        self
    }

    /// Of a program that a tenant keeps in the store.
    pub(crate) fn of_version(mut self, number: u64) -> Self {
        if let Some(explanation) = &mut self.explanation
            && let DecidedBy::Program { version, .. } = &mut explanation.by
        {
            *version = Some(number);
        }
        self
    }

    /// The accounts, in order, each with its reason.
    pub fn accounts(&self) -> &[PlannedAccount] {
        &self.accounts
    }

    /// Why the payment goes nowhere, where a rule blocks it.
    pub fn blocked(&self) -> Option<&str> {
        self.blocked.as_deref()
    }

    /// Why it is so: of a plan that a program made, or the engine.
    pub fn explanation(&self) -> Option<&Explanation> {
        self.explanation.as_deref()
    }
}

/// The texts of identifiers, for [`RouteFacts::facts`] to borrow.
#[derive(Clone, Debug, Default)]
pub struct FactTexts {
    customer: Option<String>,
    session: Option<String>,
}

impl RouteFacts<'_> {
    /// The identifiers as texts.
    pub fn texts(&self) -> FactTexts {
        FactTexts {
            customer: self.details.customer.map(|id| id.to_string()),
            session: self.session.map(|id| id.to_string()),
        }
    }

    /// The facts that a program asks about.
    pub fn facts<'f>(&'f self, texts: &'f FactTexts) -> Facts<'f> {
        let (wallet, bank, scheme) = match self.method {
            PaymentMethod::Wallet { wallet, .. } => (Some(wallet.as_str()), None, None),
            PaymentMethod::OpenBanking { institution } => (None, Some(institution.as_str()), None),
            PaymentMethod::BankRedirect { scheme } | PaymentMethod::Voucher { scheme } => {
                (None, None, Some(scheme.as_str()))
            }
            PaymentMethod::Bnpl { provider } => (None, None, Some(provider.as_str())),
            PaymentMethod::Provider { kind, .. } => (None, None, Some(kind.as_str())),
            PaymentMethod::CardToken { .. }
            | PaymentMethod::NetworkToken { .. }
            | PaymentMethod::DirectDebit { .. }
            | PaymentMethod::BankTransfer => (None, None, None),
        };
        let card = self.method.card();
        let country = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Country>().ok());
        Facts {
            tenant: self.tenant.merchant(),
            amount: self.amount,
            method: self.method.kind(),
            card: CardFacts {
                network: card.and_then(|card| card.network.as_deref()),
                funding: card.and_then(|card| card.funding),
                bin: card.and_then(|card| card.bin.as_deref()),
                issuer_country: card.and_then(|card| card.issuer_country),
            },
            wallet,
            bank,
            scheme,
            payer_country: country(&self.details.payer.country),
            merchant_country: self.details.routing.merchant_country,
            mcc: self.details.routing.mcc,
            capture: self.capture_method,
            mit: self.details.mit.as_ref().map(|mit| mit.reason),
            mode: self.mode,
            customer: texts.customer.as_deref(),
            session: texts.session.as_deref(),
            metadata: Some(&self.details.metadata),
            time_of_day: minutes(self.at),
            day_of_week: weekday(self.at),
            attempt: u32::try_from(self.attempts.saturating_add(1)).unwrap_or(u32::MAX),
            last_decline: self.last_decline,
            seed: self.seed,
        }
    }
}

const DAY: i64 = 86_400;

fn minutes(at: Timestamp) -> u16 {
    (at.as_secs().rem_euclid(DAY) / 60) as u16
}

/// The first of January 1970 was a Thursday.
fn weekday(at: Timestamp) -> Weekday {
    match at.as_secs().div_euclid(DAY).rem_euclid(7) {
        0 => Weekday::Thursday,
        1 => Weekday::Friday,
        2 => Weekday::Saturday,
        3 => Weekday::Sunday,
        4 => Weekday::Monday,
        5 => Weekday::Tuesday,
        _six => Weekday::Wednesday,
    }
}

impl Router for Program {
    fn route(&self, asked: &RouteFacts<'_>) -> Plan {
        let texts = asked.texts();
        self.plan(&asked.facts(&texts), asked.candidates)
    }
}

/// By the program in force when it is asked.
impl Router for ActiveProgram {
    fn route(&self, asked: &RouteFacts<'_>) -> Plan {
        self.current().route(asked)
    }
}

/// So that a host keeps a handle: to put another [`ActiveProgram`] in force, say.
impl<R: Router + ?Sized> Router for Arc<R> {
    fn route(&self, asked: &RouteFacts<'_>) -> Plan {
        (**self).route(asked)
    }
}

impl Program {
    /// The plan for a payment among these accounts, with its reasons: what a payment like this would do, without one.
    ///
    /// ```
    /// use paymux_core::routing::{Candidate, Facts, Program, Route};
    /// use paymux_core::{AccountRef, ConnectorId, MethodKind, money};
    ///
    /// let program = Program::builder("all to one").otherwise(Route::ordered(["stripe", "sandbox"]))?;
    /// let accounts = ["sandbox", "stripe"]
    ///     .map(|name| Candidate::new(AccountRef::new(ConnectorId::from_static(name), "main")));
    /// let facts = Facts::of("acme", money!("49.99 EUR"), MethodKind::CardToken);
    /// let plan = program.plan(&facts, &accounts);
    /// assert_eq!(plan.accounts()[0].account.to_string(), "stripe/main");
    /// # Ok::<(), paymux_core::routing::Diagnostics>(())
    /// ```
    pub fn plan(&self, facts: &Facts<'_>, candidates: &[Candidate]) -> Plan {
        let matched = self.decide(facts);
        let mut chosen = Chosen::of(&matched, facts, candidates, self.name());
        expand(&matched.route.then, candidates, &mut chosen.order);
        let circuits = open_last(candidates, &mut chosen.order);
        let choice = chosen.kind;
        let reason = match matched.rule {
            Some(_) => format!("rule `{}`, {}", matched.name, choice.words()),
            None => format!("the default, {}", choice.words()),
        };
        let explanation = Explanation {
            by: DecidedBy::Program {
                name: self.name().to_owned(),
                fingerprint: self.fingerprint().to_owned(),
                version: None,
                rule: matched.name.to_owned(),
                place: matched.rule.map(|place| place as u32),
            },
            choice,
            split: chosen.split,
            circuits,
            facts: KeptFacts::of(facts, self.metadata_keys()),
            considered: considered(candidates, &chosen.order),
        };
        let planned = |place: &usize| PlannedAccount {
            account: candidates[*place].account.clone(),
            reason: reason.clone(),
        };
        Plan {
            accounts: chosen.order.iter().map(planned).collect(),
            blocked: chosen.blocked,
            explanation: Some(Box::new(explanation)),
        }
    }
}

/// What a rule's choice comes to among the candidates.
struct Chosen {
    kind: ChoiceKind,
    order: Vec<usize>,
    split: Option<SplitDraw>,
    blocked: Option<String>,
}

impl Chosen {
    fn of(matched: &Matched<'_>, facts: &Facts<'_>, candidates: &[Candidate], program: &str) -> Self {
        let mut order = Vec::with_capacity(candidates.len());
        let mut chosen = |kind| Self {
            kind,
            order: std::mem::take(&mut order),
            split: None,
            blocked: None,
        };
        match &matched.route.choice.value {
            Choice::Block(reason) => Self {
                blocked: Some(reason.value.clone()),
                ..chosen(ChoiceKind::Blocked)
            },
            Choice::Ordered(targets) => {
                let mut ordered = chosen(ChoiceKind::Ordered);
                expand(targets, candidates, &mut ordered.order);
                ordered
            }
            Choice::Split { shares, sticky_by } => {
                let mut drawn = chosen(ChoiceKind::Split);
                let places = drawn_places(matched, facts, program, shares, *sticky_by);
                for place in &places {
                    expand(
                        std::slice::from_ref(&shares[*place].0),
                        candidates,
                        &mut drawn.order,
                    );
                }
                let share = |place: usize| (shares[place].0.value.to_string(), shares[place].1.value);
                drawn.split = Some(SplitDraw {
                    sticky_by: *sticky_by,
                    drawn: places.into_iter().map(share).collect(),
                });
                drawn
            }
            Choice::BestSuccessRate(targets) => {
                let mut best = chosen(ChoiceKind::BestSuccessRate);
                expand(targets, candidates, &mut best.order);
                let by = by_success_rate(&standings(candidates, &best.order), facts.seed);
                best.order = by.order.into_iter().map(|place| best.order[place]).collect();
                best
            }
            Choice::Cheapest(targets) => {
                let mut cheapest = chosen(ChoiceKind::Cheapest);
                expand(targets, candidates, &mut cheapest.order);
                cheapest
                    .order
                    .sort_by_key(|place| candidates[*place].fee.map_or((1, 0), |fee| (0, fee.minor())));
                cheapest
            }
            Choice::HealthiestFirst(targets) => {
                let mut healthiest = chosen(ChoiceKind::HealthiestFirst);
                expand(targets, candidates, &mut healthiest.order);
                let standings = standings(candidates, &healthiest.order);
                let standings: Vec<Standing> = standings.into_iter().map(|(_, standing)| standing).collect();
                let by = healthiest_first(&standings);
                healthiest.order = by
                    .order
                    .into_iter()
                    .map(|place| healthiest.order[place])
                    .collect();
                healthiest
            }
        }
    }
}

fn standings<'c>(candidates: &'c [Candidate], order: &[usize]) -> Vec<(&'c AccountRef, Standing)> {
    let standing = |place: &usize| {
        let candidate = &candidates[*place];
        (
            &candidate.account,
            candidate.standing.unwrap_or(Standing::UNTRIED),
        )
    };
    order.iter().map(standing).collect()
}

/// The shares' places, as their split draws them. Two rules' draws have nothing to do with each other.
fn drawn_places(
    matched: &Matched<'_>,
    facts: &Facts<'_>,
    program: &str,
    shares: &[Share],
    sticky_by: StickyBy,
) -> Vec<usize> {
    let seed = facts.seed.to_be_bytes();
    let id = match (sticky_by, facts.customer) {
        (StickyBy::Customer, Some(customer)) => customer.as_bytes(),
        (StickyBy::Customer, None) | (StickyBy::Intent, _) => &seed,
    };
    let salt = [program, matched.name].join("\n");
    let parts = shares.iter().map(|(target, share)| {
        let target = &target.value;
        (target.connector.as_str(), target.account.as_deref(), share.value)
    });
    split::order(&salt, id, parts)
}

/// Each target's accounts in the order of their registration, each once.
fn expand(targets: &[Placed<Target>], candidates: &[Candidate], order: &mut Vec<usize>) {
    for target in targets {
        for (place, candidate) in candidates.iter().enumerate() {
            if target.value.names(&candidate.account) && !order.contains(&place) {
                order.push(place);
            }
        }
    }
}

/// Accounts whose circuits are open come last: a payment is never lost for it.
fn open_last(candidates: &[Candidate], order: &mut [usize]) -> Circuits {
    order.sort_by_key(|place| candidates[*place].is_open());
    Circuits::of(order.iter().map(|place| &candidates[*place]))
}

fn considered(candidates: &[Candidate], order: &[usize]) -> Vec<Considered> {
    let verdict = |place: usize| {
        let at = order.iter().position(|planned| *planned == place);
        at.map_or(Kept::NotNamed, |at| Kept::At(at as u32))
    };
    let considered = |(place, candidate): (usize, &Candidate)| Considered {
        account: candidate.account.clone(),
        verdict: verdict(place),
        standing: candidate.standing,
        fee: candidate.fee,
    };
    candidates.iter().enumerate().map(considered).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::replay::replay;
    use super::super::rule::Route;
    use super::*;
    use crate::id::ConnectorId;
    use crate::money;

    const NAMES: [&str; 4] = ["acme", "bank", "stripe", "vault"];

    fn target() -> impl Strategy<Value = String> {
        let account = proptest::option::of(prop_oneof![Just("eu"), Just("us")]);
        (0..NAMES.len(), account).prop_map(|(name, account)| match account {
            Some(account) => format!("{}/{account}", NAMES[name]),
            None => NAMES[name].to_owned(),
        })
    }

    fn targets() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::btree_set(target(), 1..6).prop_map(|all| all.into_iter().collect())
    }

    fn route() -> impl Strategy<Value = Route> {
        let split = proptest::collection::btree_map(target(), 1..100_u32, 1..5);
        prop_oneof![
            targets().prop_map(Route::ordered),
            split.prop_map(|shares| Route::split(shares, StickyBy::Intent)),
            targets().prop_map(Route::best_success_rate),
            targets().prop_map(Route::cheapest),
            targets().prop_map(Route::healthiest_first),
        ]
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        let circuit = prop_oneof![
            Just(Circuit::Closed),
            Just(Circuit::HalfOpen),
            Just(Circuit::Open {
                until: Timestamp::from_secs(9)
            })
        ];
        let standing = (proptest::option::of(0..1_000_000_u32), 0..500_u32, circuit);
        let standing = standing.prop_map(|(rate_ppm, tried, circuit)| Standing {
            rate_ppm,
            tried,
            counts_for: tried,
            circuit,
            ..Standing::UNTRIED
        });
        let fee = proptest::option::of(0..500_i64);
        let name = (0..NAMES.len(), prop_oneof![Just("eu"), Just("us")]);
        (name, proptest::option::of(standing), fee).prop_map(|((name, account), standing, fee)| Candidate {
            account: AccountRef::new(ConnectorId::from_static(NAMES[name]), account),
            standing,
            fee: fee.map(|minor| Money::from_minor(minor, crate::money::Currency::EUR)),
        })
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        proptest::collection::vec(candidate(), 0..8).prop_map(|mut all| {
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|one| seen.insert(one.account.clone()));
            all
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_plan_holds_candidates_alone_each_once_open_ones_last_and_replays(
            route in route(),
            then in targets(),
            candidates in candidates(),
            seed in any::<u64>(),
        ) {
            let program = Program::builder("any").otherwise(route.then(then)).unwrap();
            let facts = Facts { seed, ..Facts::of("acme", money!("9.99 EUR"), crate::MethodKind::CardToken) };
            let plan = program.plan(&facts, &candidates);
            let places: Vec<usize> = plan
                .accounts()
                .iter()
                .map(|planned| candidates.iter().position(|one| one.account == planned.account).unwrap())
                .collect();
            let distinct: std::collections::BTreeSet<_> = places.iter().collect();
            prop_assert_eq!(distinct.len(), places.len());
            let open: Vec<bool> = places.iter().map(|place| candidates[*place].is_open()).collect();
            prop_assert!(open.is_sorted(), "{open:?}");
            let why = plan.explanation().unwrap();
            let all_open = !places.is_empty() && places.iter().all(|place| candidates[*place].is_open());
            prop_assert_eq!(why.circuits == Circuits::AllOpen, all_open);
            prop_assert_eq!(why.order(), plan.accounts().iter().map(|one| &one.account).collect::<Vec<_>>());
            let text = serde_json::to_string(why).unwrap();
            let read: Explanation = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, why);
            prop_assert_eq!(replay(&program, [read], |_done| {}).same, 1);
        }
    }

    #[test]
    fn the_days_are_those_of_the_calendar() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(weekday(at("2026-11-21T23:59:59Z")), Weekday::Saturday);
        assert_eq!(minutes(at("2026-11-21T23:59:59Z")), 1_439);
        assert_eq!(weekday(at("1969-12-31T00:00:00Z")), Weekday::Wednesday);
        assert_eq!(minutes(at("1969-12-31T00:01:00Z")), 1);
    }
}
