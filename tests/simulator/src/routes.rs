//! What a world has of routing: programs of the host's and of its tenants', what is counted of accounts, fees, which
//! decline may go on where, what accounts don't take, and what orders ask of it.
//!
//! All of it follows from streams of its own, so that a world's other decisions stay as they are. Programs are kept
//! twice: as the engine has them, and as the plain rules that they were made of, for the auditor.

use std::collections::BTreeSet;
use std::time::Duration;

use paymux_core::routing::{
    CascadePolicy, ChoiceKind, CircuitSettings, Country, FeeRow, FeeTable, HealthSettings, Program, Route,
    StickyBy, When, WhenAllOpen, amount, attempt, capture, card_issuer_country, card_network, currency, mcc,
    merchant_country, method, mit, payer_country,
};
use paymux_core::{
    AccountRef, CaptureMethod, CardDetails, Currency, DeclineCode, HealthPolicy, MethodKind, MitReason,
    Money, Need, NewIntent, Orchestrator, OrchestratorBuilder, Payer, PaymentMethod, Policy, Through,
};

use crate::bank::{ADVISED, Manner};
use crate::rng::Rng;
use crate::shape::{CONNECTORS, CURRENCIES, Limits, Shape};

/// What a world has of routing.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    /// Nothing but the order of `Spread`.
    pub(crate) plain: bool,
    /// The host's own program; without one, `Spread`.
    pub(crate) host: Option<Rules>,
    pub(crate) stored: Option<Stored>,
    pub(crate) health: Option<Counting>,
    pub(crate) fees: FeeTable,
    pub(crate) max_attempts: usize,
    pub(crate) within_ms: u64,
    /// Which decline may be followed by which accounts.
    pub(crate) cascade: Vec<(DeclineCode, Vec<String>)>,
    /// So few cards that networks count their tries.
    few_cards: bool,
}

/// What tenants keep in the store.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) refresh_ms: u64,
    /// By tenant, the programs that it may put.
    pub(crate) pools: Vec<Vec<Rules>>,
    /// Whether two people are at a tenant's programs at the same time.
    pub(crate) contended: bool,
}

/// How attempts are counted.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    pub(crate) settings: HealthSettings,
    pub(crate) when_all_open: WhenAllOpen,
    pub(crate) every_ms: u64,
    /// Whether instances have the same name after a restart.
    named: bool,
}

/// A program as rules, and as the engine has it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) name: String,
    pub(crate) rules: Vec<(Test, Way)>,
    pub(crate) otherwise: Way,
    pub(crate) program: Program,
}

/// Where payments go.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) kind: ChoiceKind,
    pub(crate) targets: Vec<String>,
    shares: Vec<u32>,
    pub(crate) then: Vec<String>,
}

/// What a rule asks.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Always,
    Currency(Currency),
    Below(Money),
    Method(MethodKind),
    Network(&'static str),
    IssuedIn(Country),
    PayerIn(Country),
    MerchantIn(Country),
    Mcc(u16),
    Capture(CaptureMethod),
    Again,
    Recurring,
    Both(Box<Test>, Box<Test>),
    Either(Box<Test>, Box<Test>),
    Not(Box<Test>),
}

pub(crate) const COUNTRIES: [Country; 3] = [
    Country::from_static("FR"),
    Country::from_static("DE"),
    Country::from_static("JP"),
];
pub(crate) const NETWORKS: [&str; 4] = ["visa", "mastercard", "amex", "maestro"];
const MCCS: [u16; 3] = [5411, 5732, 7995];
const METHODS: [MethodKind; 3] = [
    MethodKind::CardToken,
    MethodKind::Wallet,
    MethodKind::BankRedirect,
];

impl Routing {
    pub(crate) fn of(rng: &mut Rng, owners: &[Option<usize>], tenants: usize) -> Self {
        let plain = rng.chance(120);
        let everywhere: Vec<usize> = (0..owners.len()).collect();
        let stored = (!plain && rng.chance(500)).then(|| Stored {
            refresh_ms: *rng.pick(&[1_000, 30_000, 120_000]),
            pools: (0..tenants)
                .map(|tenant| {
                    let own: Vec<usize> = everywhere
                        .iter()
                        .copied()
                        .filter(|place| owners[*place].is_none_or(|owner| owner == tenant))
                        .collect();
                    let size = rng.within(2, 4);
                    (0..size)
                        .map(|number| Rules::of(rng, format!("m{tenant}-{number}"), &own))
                        .collect()
                })
                .collect(),
            contended: rng.chance(300),
        });
        let host = !plain && rng.chance(if stored.is_some() { 400 } else { 900 });
        let cascade = match plain {
            true => Vec::new(),
            false => cascade(rng, owners.len()),
        };
        Self {
            plain,
            host: host.then(|| Rules::of(rng, "host".to_owned(), &everywhere)),
            stored,
            health: (!plain && rng.chance(600)).then(|| Counting::of(rng)),
            fees: match !plain && rng.chance(600) {
                true => fees(rng, owners.len()),
                false => FeeTable::default(),
            },
            max_attempts: match plain {
                true => 5,
                false => rng.within(2, 5) as usize,
            },
            within_ms: match plain {
                true => 900_000,
                false => *rng.pick(&[10_000, 120_000, 900_000]),
            },
            cascade,
            few_cards: rng.chance(200),
        }
    }

    /// With what accounts don't take. The first takes almost everything, so that most payments go somewhere.
    pub(crate) fn limit(&self, rng: &mut Rng, shapes: &mut [Shape]) {
        if self.plain {
            return;
        }
        for (place, shape) in shapes.iter_mut().enumerate() {
            if rng.chance(if place == 0 { 80 } else { 450 }) {
                shape.limits = limits(rng);
            }
        }
    }

    pub(crate) fn policy(&self, policy: Policy) -> Policy {
        let rows = self.cascade.iter();
        let cascade = rows.fold(CascadePolicy::new(), |policy, (code, to)| match to.is_empty() {
            true => policy.stop_after([*code]),
            false => policy.only_to([*code], to),
        });
        policy
            .max_attempts(self.max_attempts)
            .cascade_within(Duration::from_millis(self.within_ms))
            .cascade(cascade)
    }

    /// With all of it, but for the router and the policy.
    pub(crate) fn build(&self, mut builder: OrchestratorBuilder, worker: usize) -> OrchestratorBuilder {
        if let Some(stored) = &self.stored {
            builder = builder.stored_programs(Duration::from_millis(stored.refresh_ms));
        }
        if let Some(counting) = &self.health {
            let mut health = HealthPolicy::new()
                .settings(counting.settings)
                .when_all_open(counting.when_all_open)
                .every(Duration::from_millis(counting.every_ms));
            if counting.named {
                health = health.instance(format!("w{worker}"));
            }
            builder = builder.health(health);
        }
        builder.fees(self.fees.clone())
    }

    /// Lets an instance write and read what is counted, where that is done.
    pub(crate) async fn exchange(&self, engine: &Orchestrator) {
        if self.health.is_some() {
            // What can't be read or written is tried again the next time.
            let _ = engine.exchange_health().await;
        }
    }

    /// What an order asks for beside the payment itself.
    pub(crate) fn wish(&self, rng: &mut Rng, new: NewIntent, accounts: usize) -> NewIntent {
        if self.plain {
            return new;
        }
        let mut new = new;
        if rng.chance(60) {
            let place = rng.below(accounts as u64) as usize;
            let through = match rng.chance(500) {
                true => Through::Account(Shape::account(place)),
                false => Through::Connector(Shape::account(place).connector().clone()),
            };
            new = new.through(through);
        }
        if rng.chance(80) {
            const NEEDS: [Need; 5] = [
                Need::Increment,
                Need::Multicapture,
                Need::PartialCapture,
                Need::PartialRefund,
                Need::Refund,
            ];
            new = new.needs([*rng.pick(&NEEDS), *rng.pick(&NEEDS)]);
        }
        if rng.chance(400) {
            new = new.merchant_country(*rng.pick(&COUNTRIES));
        }
        if rng.chance(400) {
            new = new.mcc(*rng.pick(&MCCS));
        }
        if rng.chance(500) {
            let mut payer = Payer::default();
            payer.country = Some(rng.pick(&COUNTRIES).to_string());
            new = new.payer(payer);
        }
        new
    }

    /// What is known of the card, whose token it is, and now and then another word of the issuer's.
    pub(crate) fn card(&self, rng: &mut Rng, method: PaymentMethod, accounts: usize) -> PaymentMethod {
        let has_card = matches!(method.kind(), MethodKind::CardToken | MethodKind::Wallet);
        if self.plain || !has_card {
            return method;
        }
        let network = *rng.pick(&NETWORKS);
        let number = rng.below(1_000);
        let token = match rng.below(20) {
            0 | 1 => {
                let of = |word: &&(&str, Option<&str>)| word.1.is_none_or(|of| of == network);
                let words: Vec<_> = ADVISED.iter().filter(of).collect();
                Some(format!(
                    "{}-{}-{number}",
                    Manner::Advised.token(),
                    rng.pick(&words).0
                ))
            }
            2 => Some(format!("{}-{number}", Manner::SoftOnce.token())),
            3 if self.few_cards => Some(format!("{}-{number}", Manner::Soft.token())),
            _ => None,
        };
        let mut method = match (token, method) {
            (Some(token), PaymentMethod::CardToken { .. }) => PaymentMethod::card_token(token),
            (_, method) => method,
        };
        if rng.chance(60)
            && let PaymentMethod::CardToken { token, .. } = &method
        {
            let place = rng.below(accounts as u64) as usize;
            method = PaymentMethod::card_token_of(Shape::account(place), format!("{token}-@a{place}"));
        }
        if !rng.chance(700) {
            return method;
        }
        let mut card = CardDetails::new();
        if rng.chance(900) {
            card = card.network(network);
        }
        if rng.chance(500) {
            card = card.issuer_country(*rng.pick(&COUNTRIES));
        }
        if rng.chance(500) {
            let cards = if self.few_cards { 1 } else { 40 };
            card = card.fingerprint(format!("fp-{network}-{}", rng.below(cards)));
        }
        method.with_card(card)
    }
}

/// Whose token it is, as its text says.
pub(crate) fn token_of(token: &str) -> Option<&str> {
    token.rsplit_once('@').map(|(_, account)| account)
}

/// Whether a target names an account.
pub(crate) fn names(target: &str, account: &AccountRef) -> bool {
    match target.split_once('/') {
        Some((connector, name)) => connector == account.connector().as_str() && name == account.account(),
        None => target == account.connector().as_str(),
    }
}

impl Counting {
    fn of(rng: &mut Rng) -> Self {
        let circuit = CircuitSettings {
            window: Duration::from_secs(*rng.pick(&[60, 600, 3_600])),
            least_failures: *rng.pick(&[1, 2, 5]),
            failure_share_ppm: *rng.pick(&[100_000, 500_000]),
            pause: Duration::from_secs(*rng.pick(&[30, 600, 3_600])),
            ..CircuitSettings::default()
        };
        Self {
            settings: HealthSettings {
                half_life: Duration::from_secs(*rng.pick(&[1_800, LONG_HALF_LIFE_S])),
                least_tries: *rng.pick(&[3, 30]),
                // Tokens stand for schemes and wallets here, of which there is no end.
                most_segments: 24,
                circuit,
                ..HealthSettings::default()
            },
            when_all_open: *rng.pick(&[WhenAllOpen::TryAnyway, WhenAllOpen::Refuse]),
            every_ms: *rng.pick(&[300_000, 1_800_000]),
            named: rng.chance(700),
        }
    }

    /// Whether counts last for longer than a world, so that they can be compared with what happened.
    pub(crate) fn lasts(&self) -> bool {
        self.settings.half_life == Duration::from_secs(LONG_HALF_LIFE_S)
    }
}

const LONG_HALF_LIFE_S: u64 = 30 * 24 * 3_600;

fn cascade(rng: &mut Rng, accounts: usize) -> Vec<(DeclineCode, Vec<String>)> {
    let mut rows = Vec::new();
    if rng.chance(200) {
        rows.push((DeclineCode::InsufficientFunds, Vec::new()));
    }
    for code in [DeclineCode::DoNotHonor, DeclineCode::IssuerUnavailable] {
        if rng.chance(200) {
            let all: Vec<usize> = (0..accounts).collect();
            rows.push((code, targets(rng, &all)));
        }
    }
    rows
}

fn fees(rng: &mut Rng, accounts: usize) -> FeeTable {
    let row = |(account, tenths): (String, u64)| {
        let percent = format!("{}.{}", tenths / 10, tenths % 10);
        FeeRow::of(&account, percent.parse().expect("a percentage"))
    };
    let rows: Vec<_> = (0..accounts)
        .map(|place| (Shape::account(place).to_string(), rng.below(40)))
        .collect();
    // Of some the fee isn't known.
    let known = rows.into_iter().filter(|(_, tenths)| *tenths > 4);
    FeeTable::new(known.map(row)).expect("fees of distinct accounts")
}

fn limits(rng: &mut Rng) -> Limits {
    let some = |rng: &mut Rng| rng.chance(250);
    Limits {
        no_currency: some(rng).then(|| *rng.pick(&CURRENCIES)),
        amounts: some(rng).then(|| (*rng.pick(&[1, 5, 500]), *rng.pick(&[4_000, 1_000_000]))),
        countries: some(rng).then(|| [*rng.pick(&COUNTRIES), *rng.pick(&COUNTRIES)].into()),
        methods: some(rng).then(|| [MethodKind::CardToken, *rng.pick(&METHODS)].into()),
        networks: some(rng).then(|| BTreeSet::from([*rng.pick(&NETWORKS), *rng.pick(&NETWORKS)])),
        no_three_d_secure: rng.chance(500),
        no_mit: rng.chance(200),
    }
}

/// Some of these accounts, or of their connectors, each once.
fn targets(rng: &mut Rng, places: &[usize]) -> Vec<String> {
    let mut left: Vec<String> = places
        .iter()
        .map(|place| Shape::account(*place).to_string())
        .collect();
    for connector in &CONNECTORS {
        let is_there = |place: &usize| Shape::account(*place).connector() == connector;
        if places.iter().any(is_there) {
            left.push(connector.as_str().to_owned());
        }
    }
    let count = rng.within(1, left.len().min(4) as u64);
    (0..count)
        .map(|_| left.swap_remove(rng.below(left.len() as u64) as usize))
        .collect()
}

impl Way {
    fn of(rng: &mut Rng, places: &[usize], may_block: bool) -> Self {
        let kind = rng.weighted(&[
            (30, ChoiceKind::Ordered),
            (20, ChoiceKind::Split),
            (20, ChoiceKind::BestSuccessRate),
            (15, ChoiceKind::Cheapest),
            (15, ChoiceKind::HealthiestFirst),
            (if may_block { 6 } else { 0 }, ChoiceKind::Blocked),
        ]);
        let targets = match kind {
            ChoiceKind::Blocked => Vec::new(),
            _ => targets(rng, places),
        };
        let shares = targets.iter().map(|_| rng.within(1, 100) as u32).collect();
        let then = match kind {
            ChoiceKind::Blocked => Vec::new(),
            _ if rng.chance(700) => CONNECTORS
                .iter()
                .filter(|connector| {
                    let is_there = |place: &usize| Shape::account(*place).connector() == *connector;
                    places.iter().any(is_there)
                })
                .map(|connector| connector.as_str().to_owned())
                .filter(|connector| !targets.contains(connector))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            kind,
            targets,
            shares,
            then,
        }
    }

    fn route(&self) -> Route {
        let targets = &self.targets;
        let route = match self.kind {
            ChoiceKind::Ordered => Route::ordered(targets),
            ChoiceKind::Split => Route::split(targets.iter().zip(self.shares.clone()), StickyBy::Intent),
            ChoiceKind::BestSuccessRate => Route::best_success_rate(targets),
            ChoiceKind::Cheapest => Route::cheapest(targets),
            ChoiceKind::HealthiestFirst => Route::healthiest_first(targets),
            ChoiceKind::Blocked => return Route::block("not_here"),
        };
        match self.then.is_empty() {
            true => route,
            false => route.then(&self.then),
        }
    }

    /// The place of an account among what is named; what comes after all of those has a place in the second row.
    pub(crate) fn place(&self, account: &AccountRef) -> Option<(usize, usize)> {
        let of = |targets: &[String]| targets.iter().position(|target| names(target, account));
        let first = of(&self.targets).map(|place| (0, place));
        first.or_else(|| of(&self.then).map(|place| (1, place)))
    }
}

impl Rules {
    fn of(rng: &mut Rng, name: String, places: &[usize]) -> Self {
        let count = rng.below(5);
        let rules: Vec<(Test, Way)> = (0..count)
            .map(|_| {
                let test = Test::of(rng, 2);
                (test, Way::of(rng, places, true))
            })
            .collect();
        let otherwise = Way::of(rng, places, false);
        let built = rules.iter().enumerate();
        let builder = built.fold(Program::builder(&name), |builder, (place, (test, way))| {
            builder.rule(&format!("r{place}"), test.when(), way.route())
        });
        let program = builder
            .otherwise(otherwise.route())
            .expect("a program that is made of parts that are right");
        Self {
            name,
            rules,
            otherwise,
            program,
        }
    }
}

impl Test {
    fn of(rng: &mut Rng, depth: u32) -> Self {
        let country = |rng: &mut Rng| *rng.pick(&COUNTRIES);
        let combined = if depth > 0 { 16 } else { 13 };
        let inner = |rng: &mut Rng| Box::new(Self::of(rng, depth.saturating_sub(1)));
        match rng.below(combined) {
            0 => Self::Always,
            1 => Self::Currency(*rng.pick(&CURRENCIES)),
            2 | 3 => Self::Below(Money::from_minor(
                *rng.pick(&[50, 1_000, 5_000]),
                *rng.pick(&CURRENCIES),
            )),
            4 => Self::Method(*rng.pick(&METHODS)),
            5 => Self::Network(rng.pick::<&str>(&NETWORKS)),
            6 => Self::IssuedIn(country(rng)),
            7 => Self::PayerIn(country(rng)),
            8 => Self::MerchantIn(country(rng)),
            9 => Self::Mcc(*rng.pick(&MCCS)),
            10 => Self::Capture(*rng.pick(&[CaptureMethod::Automatic, CaptureMethod::Manual])),
            11 => Self::Again,
            12 => Self::Recurring,
            13 => Self::Both(inner(rng), inner(rng)),
            14 => Self::Either(inner(rng), inner(rng)),
            _ => Self::Not(inner(rng)),
        }
    }

    fn when(&self) -> When {
        match self {
            Self::Always => When::always(),
            Self::Currency(one) => currency().is(*one),
            Self::Below(most) => amount().below(*most),
            Self::Method(kind) => method().is(*kind),
            Self::Network(network) => card_network().is(*network),
            Self::IssuedIn(country) => card_issuer_country().is(*country),
            Self::PayerIn(country) => payer_country().is(*country),
            Self::MerchantIn(country) => merchant_country().is(*country),
            Self::Mcc(code) => mcc().is(*code),
            Self::Capture(when) => capture().is(*when),
            Self::Again => attempt().at_least(2),
            Self::Recurring => mit().is(MitReason::Recurring),
            Self::Both(one, other) => one.when().and(other.when()),
            Self::Either(one, other) => one.when().or(other.when()),
            Self::Not(inner) => inner.when().negated(),
        }
    }
}
