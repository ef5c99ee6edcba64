//! The day: payments, the four processors, what befalls them, and one strategy's way through it.

use std::ops::Range;
use std::time::Duration;

use paymux::prelude::*;
use paymux::routing::{CircuitSettings, Country, Explanation, FeeTable, HealthSettings, Program};
use paymux::sandbox::{Call, FaultKind, Sandbox};
use paymux::store::StoreTime;
use paymux::{
    AttemptStatus, CardDetails, Clock as _, ConnectorId, HealthPolicy, IntentStatus, KeyLife, PaymentIntent,
    Policy, Retention, TestClock,
};

use crate::Outcome;

/// How many payments the day has.
pub(crate) const PAYMENTS: u64 = 100_000;
/// How many parts of the day are told apart.
pub(crate) const PARTS: usize = 48;
/// What happens at noon at the processor called north.
pub(crate) const FAILS: Failure = Failure {
    lost_from: 12 * HOUR,
    down_from: 12 * HOUR + 10_000,
    weak_from: 13 * HOUR,
    well_from: 13 * HOUR + HOUR / 2,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// For how long events, evidence and keys are kept.
const KEPT_FOR: Duration = Duration::from_millis(HOUR);
/// How busy each hour of the day is.
const BUSY: [u64; 24] = [
    3, 2, 1, 1, 1, 2, 4, 8, 12, 14, 15, 16, 18, 17, 15, 14, 15, 17, 20, 22, 21, 16, 10, 6,
];

/// When a processor fails, in milliseconds of the day.
pub(crate) struct Failure {
    /// For a few seconds it takes payments and no longer answers.
    pub(crate) lost_from: u64,
    /// It can't be reached.
    pub(crate) down_from: u64,
    /// It is back, and approves half of what it did.
    pub(crate) weak_from: u64,
    /// It is well again.
    pub(crate) well_from: u64,
}

/// A processor, and how many of a thousand payments it gets past an issuer who would take them.
struct Processor {
    name: &'static str,
    visa: u64,
    mastercard: u64,
    amex: u64,
}

// Nobody is best at everything, and what the list begins with is best at visa alone.
const PROCESSORS: [Processor; 4] = [
    Processor {
        name: "north",
        visa: 950,
        mastercard: 860,
        amex: 800,
    },
    Processor {
        name: "south",
        visa: 900,
        mastercard: 880,
        amex: 820,
    },
    Processor {
        name: "east",
        visa: 890,
        mastercard: 960,
        amex: 950,
    },
    // Cheap and weak.
    Processor {
        name: "west",
        visa: 790,
        mastercard: 770,
        amex: 600,
    },
];

/// A payment of the day: the same in every strategy's, and so is what each processor would say to it.
struct Order {
    number: u64,
    /// In milliseconds of the day.
    at: u64,
    amount: Money,
    network: &'static str,
    issuer: &'static str,
    token: &'static str,
}

impl Order {
    fn of(number: u64) -> Self {
        let network = match draw(number, 1, 100) {
            0..52 => "visa",
            52..88 => "mastercard",
            _amex => "amex",
        };
        let issuer = match draw(number, 2, 100) {
            0..62 => "FR",
            62..74 => "DE",
            74..82 => "ES",
            82..90 => "GB",
            _overseas => "US",
        };
        // Few are stolen, and no processor helps with those.
        let token = match draw(number, 3, 1_000) {
            0..25 => "tok_decline_stolen_card",
            _others => "tok_approve",
        };
        let minor = 500 + draw(number, 4, 100) * draw(number, 5, 100) * 4;
        Self {
            number,
            at: moment(number),
            amount: Money::from_minor(minor as i64, Currency::EUR),
            network,
            issuer,
            token,
        }
    }

    /// Three issuers of four look at the payment alone, and so say the same to all processors that are good enough; the
    /// fourth also at how it comes.
    fn declined_by(&self, place: usize, processor: &Processor) -> bool {
        let approves = match self.network {
            "visa" => processor.visa,
            "mastercard" => processor.mastercard,
            _amex => processor.amex,
        };
        let is_weak = processor.name == "north" && (FAILS.weak_from..FAILS.well_from).contains(&self.at);
        let approves = if is_weak { approves / 2 } else { approves };
        let drawn = match draw(self.number, 6, 4) {
            0 => draw(self.number, 10 + place as u64, 1_000),
            _three => draw(self.number, 7, 1_000),
        };
        drawn >= approves
    }

    fn method(&self) -> Outcome<PaymentMethod> {
        let issuer: Country = self.issuer.parse()?;
        let card = CardDetails::new().network(self.network).issuer_country(issuer);
        Ok(PaymentMethod::card_token(self.token).with_card(card))
    }
}

/// When a payment comes, by how busy the hours are.
fn moment(number: u64) -> u64 {
    let mut left = number * BUSY.iter().sum::<u64>() * HOUR / PAYMENTS;
    for (hour, busy) in (0..).zip(BUSY) {
        if left < busy * HOUR {
            return hour * HOUR + left / busy;
        }
        left -= busy * HOUR;
    }
    DAY - 1
}

/// A number below `below`, from a payment's number and what it is drawn for: SplitMix64 (Steele, Lea, Flood, 2014).
fn draw(number: u64, what: u64, below: u64) -> u64 {
    let mut z = (number << 8 | what).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

/// A way to route the day.
pub(crate) struct Strategy {
    pub(crate) program: Program,
    pub(crate) circuits: Circuits,
    pub(crate) history: History,
}

/// Whether circuits may open.
#[derive(Clone, Copy)]
pub(crate) enum Circuits {
    Open,
    /// As in a list that knows nothing of how its accounts do. They are counted all the same, for its history.
    StayClosed,
}

/// Whether a day's decisions are kept here, beside the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    Kept,
    Dropped,
}

/// What a strategy made of the day.
#[derive(Default)]
pub(crate) struct Day {
    pub(crate) name: String,
    pub(crate) payments: u64,
    pub(crate) approved: u64,
    pub(crate) volume_minor: i64,
    pub(crate) fees_minor: i64,
    pub(crate) retries: u64,
    pub(crate) not_executed: u64,
    /// Unknown at first; each was found out.
    pub(crate) unknown: u64,
    /// Payments and approvals, by parts of the day.
    pub(crate) parts: Vec<(u64, u64)>,
    /// How a payment was routed a quarter of an hour after north failed.
    pub(crate) explained: Option<String>,
    pub(crate) history: Vec<Explanation>,
    /// How many payments are charged in the books of all four processors.
    pub(crate) charged: u64,
}

/// A running shop.
struct Shop {
    paymux: Orchestrator,
    payments: Payments,
    clock: TestClock,
    processors: Vec<Sandbox>,
}

impl Shop {
    async fn open(strategy: &Strategy, fees: &FeeTable) -> Outcome<Self> {
        let (runtime, clock) = Runtime::test(7);
        let processors: Vec<Sandbox> = PROCESSORS
            .iter()
            .zip(1..)
            .map(|(processor, seed)| {
                let name = ConnectorId::from_static(processor.name);
                Sandbox::seeded(seed).named(name).clock(runtime.clock().clone())
            })
            .collect();
        let connectors = ConnectorMap::shared(processors.iter().map(|sandbox| sandbox.connector("main")))?;
        let circuit = match strategy.circuits {
            Circuits::Open => CircuitSettings::default(),
            Circuits::StayClosed => CircuitSettings {
                least_failures: u32::MAX,
                ..CircuitSettings::default()
            },
        };
        let counted = HealthSettings {
            circuit,
            ..HealthSettings::default()
        };
        let store = MemoryStore::with_time(StoreTime::Injected(runtime.clock().clone()));
        let paymux = Orchestrator::builder(store, connectors, runtime)
            .router(strategy.program.clone())
            .health(HealthPolicy::new().settings(counted))
            .fees(fees.clone())
            // A payer waits for two answers, and no longer. Nobody here asks twice for what was answered an hour ago.
            .policy(Policy::new().max_attempts(2).key_life(KeyLife::For(KEPT_FOR)))
            .build()
            .await?;
        Ok(Self {
            payments: paymux.tenant(Tenant::test("shop")?),
            paymux,
            clock,
            processors,
        })
    }

    /// Lets each processor do with this payment what it would.
    fn befall(&self, order: &Order) {
        for (place, (sandbox, processor)) in self.processors.iter().zip(&PROCESSORS).enumerate() {
            sandbox.faults().clear();
            let fails = processor.name == "north";
            if fails && (FAILS.down_from..FAILS.weak_from).contains(&order.at) {
                sandbox.down();
            } else {
                sandbox.up();
            }
            if fails && (FAILS.lost_from..FAILS.down_from).contains(&order.at) {
                sandbox.faults().next(Call::Authorize, FaultKind::DropAnswer);
            } else if order.declined_by(place, processor) {
                sandbox.faults().next(Call::Authorize, FaultKind::Decline);
            }
        }
    }

    async fn pay(&self, order: &Order) -> Outcome<PaymentOutcome> {
        let reference = format!("order-{}", order.number);
        let new = NewIntent::payment(order.amount)
            .merchant_country(Country::from_static("FR"))
            .reference(reference.as_str());
        let key = IdempotencyKey::new(reference)?;
        let reply = self
            .payments
            .create_and_confirm(&key, new, order.method()?)
            .await?;
        Ok(reply.outcome)
    }

    /// Finds out what can be found out by now, as a worker does it all the time.
    async fn work(&self) -> Outcome<()> {
        for sandbox in &self.processors {
            sandbox.faults().clear();
        }
        self.paymux.recover_due(1_000).await?;
        Ok(())
    }

    /// Lets go of what led to payments of before, so that a day fits into memory. The payments stay.
    async fn purge(&self) -> Outcome<()> {
        let before = self.clock.now().before(KEPT_FOR);
        let retention = Retention {
            events_before: before,
            evidence_before: before,
            commits_before: before,
            uniques_before: before,
        };
        self.paymux.purge(&retention, u32::MAX).await?;
        Ok(())
    }
}

/// The whole day, or so many payments from half an hour before noon on.
pub(crate) fn numbers(payments: u64) -> Range<u64> {
    let from = (0..PAYMENTS).find(|number| moment(*number) >= FAILS.lost_from - HOUR / 2);
    let from = from.unwrap_or_default();
    match from + payments < PAYMENTS {
        true => from..from + payments,
        false => 0..PAYMENTS,
    }
}

/// Runs these payments of the day by a strategy.
pub(crate) async fn run(strategy: &Strategy, fees: &FeeTable, numbers: Range<u64>) -> Outcome<Day> {
    let shop = Shop::open(strategy, fees).await?;
    let mut day = Day {
        name: strategy.program.name().to_owned(),
        payments: numbers.end - numbers.start,
        parts: vec![(0, 0); PARTS],
        ..Day::default()
    };
    let mut doubtful = Vec::new();
    let mut now = 0;
    for number in numbers {
        let order = Order::of(number);
        shop.clock.advance(Duration::from_millis(order.at - now));
        if order.at / 60_000 > now / 60_000 && !doubtful.is_empty() {
            shop.work().await?;
        }
        if order.at / HOUR > now / HOUR {
            shop.purge().await?;
        }
        now = order.at;
        shop.befall(&order);
        let outcome = shop.pay(&order).await?;
        let intent = outcome.intent();
        day.part(order.at).0 += 1;
        if now > FAILS.down_from + HOUR / 4 && day.explained.is_none() {
            day.explained = intent.routing().map(ToString::to_string);
        }
        if strategy.history == History::Kept {
            day.history.extend(intent.routing().cloned());
        }
        match outcome {
            PaymentOutcome::Unknown { intent, .. } => doubtful.push((order.at, *intent.id())),
            PaymentOutcome::Succeeded(_)
            | PaymentOutcome::Authorized(_)
            | PaymentOutcome::Pending(_)
            | PaymentOutcome::ActionRequired { .. }
            | PaymentOutcome::Declined { .. } => day.count(order.at, intent),
        }
    }
    shop.clock.advance(Duration::from_millis(DAY - now));
    for sandbox in &shop.processors {
        sandbox.up();
    }
    shop.work().await?;
    day.unknown = doubtful.len() as u64;
    for (at, id) in doubtful {
        day.count(at, &shop.payments.intent(&id).await?);
    }
    let live = |sandbox: &Sandbox| {
        let ledger = sandbox.ledger();
        ledger
            .payments()
            .iter()
            .filter(|payment| payment.is_live())
            .count() as u64
    };
    day.charged = shop.processors.iter().map(live).sum();
    Ok(day)
}

impl Day {
    fn part(&mut self, at: u64) -> &mut (u64, u64) {
        &mut self.parts[(at * PARTS as u64 / DAY) as usize]
    }

    fn count(&mut self, at: u64, intent: &PaymentIntent) {
        let attempts = intent.attempts();
        self.retries += attempts.len().saturating_sub(1) as u64;
        let not_executed = |attempt: &&paymux::Attempt| attempt.status() == AttemptStatus::NotExecuted;
        self.not_executed += attempts.iter().filter(not_executed).count() as u64;
        if intent.status() != IntentStatus::Succeeded {
            return;
        }
        self.approved += 1;
        self.volume_minor += intent.amount().minor();
        self.part(at).1 += 1;
        let paid_at = attempts.last().map(|attempt| attempt.account());
        let considered = intent.routing().map_or(&[][..], |routing| &routing.considered);
        let fee = considered
            .iter()
            .find(|one| Some(&one.account) == paid_at)
            .and_then(|one| one.fee);
        self.fees_minor += fee.map_or(0, Money::minor);
    }
}
