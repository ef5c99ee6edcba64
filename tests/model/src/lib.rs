//! paymux's state machines in every order of messages, commits and crashes: a model that is explored whole.
//!
//! One payment, two accounts, two workers, a client that asks again, at most two messages under way, each of which may
//! be lost, webhooks that come again or late, and workers that die between any two steps. Deciding, merging and
//! applying are core's own; the driver here does with them what the engine does, and the processors keep books. What
//! must hold is in [`invariants`].
//!
//! The whole of it is more than fits, so that there are several scopes, each of which is explored to its end.
//!
//! What isn't in it: time, but for the end of a key's window; processors that answer later, ask the payer or take two
//! steps; what a person does; compensations, which nothing here may ever want. A request isn't delivered twice, since
//! the transport never sends one twice; an answer that comes twice finds nobody waiting.

mod driver;
pub mod invariants;
pub mod processor;
pub mod world;

use paymux_core::connector::SuccessOn;
use paymux_core::machines::{Source, intent};
use paymux_core::{
    AttemptId, CaptureId, CaptureMethod, Mode, NewIntent, PaymentIntentId, PaymentMethod, money,
};
use stateright::{Checker, HasDiscoveries, Model, Property};

pub use driver::{AT, Action, Look, account};
use processor::{Key, Ledger, Mood, Op, Outcome, Verb};
use world::{Left, Payment, Worker, World};

/// A bug that is planted in the driver, to show that the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// None: what is modelled is the engine.
    None,
    /// A time-out is taken for a proof.
    FailoverOnTimeOut,
    /// Each try has a key of its own.
    FreshKey,
    /// That a later send did nothing is taken for a proof that none did.
    RefusalBeatsDoubt,
    /// The proof of a worker that was fenced off is believed.
    FencedProof,
    /// A key is sent again after its window.
    SendAfterWindow,
    /// Rows are written without comparing versions.
    NoCompare,
}

/// From where on a payment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It was made.
    Created,
    /// It is authorized at the first account.
    Authorized,
    /// It is paid.
    Paid,
}

/// A model: where it starts, and how often things happen.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Its name.
    pub name: &'static str,
    /// Where it starts.
    pub start: Start,
    /// How often things happen.
    pub left: Left,
    /// What is wrong with the driver.
    pub bug: Bug,
    /// Which of [`invariants::SOMETIMES`] it has to reach.
    pub reaches: &'static [usize],
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Explored {
    /// States, with those that were seen before.
    pub states: usize,
    /// States.
    pub unique: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// The broken invariants, each with a way there.
    pub broken: Vec<(&'static str, Vec<Action>)>,
    /// What should be reached and wasn't.
    pub missed: Vec<&'static str>,
}

impl Scope {
    /// All of it, or until something breaks, on so many threads.
    pub fn explore(self, threads: usize) -> Explored {
        let checker = self
            .checker()
            .threads(threads)
            .finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs().join();
        let found = checker.discoveries();
        let broken = invariants::ALWAYS.iter().filter_map(|(name, _)| {
            let path = found.get(name)?.clone();
            Some((*name, path.into_actions()))
        });
        let missed = self.reaches.iter().map(|at| invariants::SOMETIMES[*at].0);
        Explored {
            states: checker.state_count(),
            unique: checker.unique_state_count(),
            depth: checker.max_depth(),
            broken: broken.collect(),
            missed: missed.filter(|name| !found.contains_key(name)).collect(),
        }
    }

    /// The way to a state that breaks the invariant of that number, if there is one.
    pub fn breaks(self, number: usize, threads: usize) -> Option<Vec<Action>> {
        let name = invariants::ALWAYS.get(number.checked_sub(1)?)?.0;
        let checker = self.checker().threads(threads);
        let checker = checker
            .finish_when(HasDiscoveries::AllOf([name].into()))
            .spawn_bfs()
            .join();
        Some(checker.discovery(name)?.into_actions())
    }
}

impl Model for Scope {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        start(self.start)
            .map(|(payment, ledger)| World {
                payment,
                refund: None,
                workers: [Worker::Idle, Worker::Idle],
                network: Vec::new(),
                ledgers: [ledger, Ledger::default()],
                forgotten: Vec::new(),
                opened: opened(self.start),
                left: self.left,
                broken: None,
            })
            .into_iter()
            .collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.possible(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        world.step(action, self.bug)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = always();
        properties.extend(self.reaches.iter().map(|at| sometimes()[*at].clone()));
        properties
    }
}

macro_rules! properties {
    ($make:path, $of:path, [$($at:literal),+]) => {
        vec![$($make($of[$at].0, |_: &Scope, world: &World| ($of[$at].1)(world))),+]
    };
}

fn always() -> Vec<Property<Scope>> {
    properties!(
        Property::always,
        invariants::ALWAYS,
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    )
}

fn sometimes() -> Vec<Property<Scope>> {
    properties!(
        Property::sometimes,
        invariants::SOMETIMES,
        [0, 1, 2, 3, 4, 5, 6, 7]
    )
}

/// The row and the first account's books at the start.
fn start(start: Start) -> Option<(Payment, Ledger)> {
    let first = Op {
        verb: Verb::Authorize,
        number: 0,
    };
    let id = PaymentIntentId::from_uuid(Mode::Test, first.uuid());
    let new = NewIntent::payment(money!("0.10 EUR")).capture(CaptureMethod::Manual);
    let create = intent::Command::create(AT, id, new);
    let created = intent::fold(None, &intent::decide(None, &create).ok()?)?;
    if start == Start::Created {
        return Some((Payment::new(created, 0, 1), Ledger::default()));
    }
    let attempt = AttemptId::from_uuid(Mode::Test, first.uuid());
    let fresh = CaptureId::from_uuid(Mode::Test, first.uuid());
    let opening = intent::Opening {
        attempt,
        operation: first.id(),
        account: account(0),
        method: PaymentMethod::card_token("tok"),
        success_on: SuccessOn::Accepted,
    };
    let confirm = intent::Command::confirm(AT, &created, opening);
    let events = intent::decide(Some(&created), &confirm).ok()?;
    let processing = intent::fold(Some(created), &events)?;
    let said = processor::authorization(Outcome::Done);
    let answer = intent::Observation::answer(AT, first.id(), attempt, said, fresh);
    let events = intent::merge(&processing, &answer);
    let authorized = intent::fold(Some(processing), &events)?;
    let mut ledger = Ledger::authorized(first);
    if start == Start::Authorized {
        return Some((Payment::new(authorized, 1, 1), ledger));
    }
    let take = Op {
        verb: Verb::Capture,
        number: 0,
    };
    let capture = CaptureId::from_uuid(Mode::Test, take.uuid());
    let rest = paymux_core::Rest::Release;
    let command = intent::Command::capture(AT, &authorized, take.id(), capture, processor::WHOLE, rest);
    let events = intent::decide(Some(&authorized), &command).ok()?;
    let capturing = intent::fold(Some(authorized), &events)?;
    let (source, said) = (Source::Driver(take.id()), processor::capture(Outcome::Done));
    let answer = intent::Observation::capture(AT, source, take.id(), said, fresh);
    let events = intent::merge(&capturing, &answer);
    ledger.take(
        Key { op: take, tries: 0 },
        first,
        Mood::Willing,
        processor::Memory::Kept,
    );
    Some((
        Payment::new(intent::fold(Some(capturing), &events)?, 1, 1),
        ledger,
    ))
}

fn opened(start: Start) -> [u8; 4] {
    match start {
        Start::Created => [0, 0, 0, 0],
        Start::Authorized => [1, 0, 0, 0],
        Start::Paid => [1, 1, 0, 0],
    }
}

/// The scopes that are explored whole.
pub const SCOPES: [Scope; 4] = [AUTHORIZE, CAPTURE, REFUND, WHOLE];

const NOTHING: Left = Left {
    confirm: 0,
    capture: 0,
    void: 0,
    refund: 0,
    notices: 0,
    crashes: 0,
    forget: 0,
};

/// A confirmation that may fail over, asked for twice, with two crashes.
pub const AUTHORIZE: Scope = Scope {
    name: "authorize, fail over",
    start: Start::Created,
    left: Left {
        confirm: 1,
        notices: 1,
        crashes: 2,
        forget: 1,
        ..NOTHING
    },
    bug: Bug::None,
    reaches: &[0, 1, 2, 3],
};

/// A capture and a void at once, with webhooks.
pub const CAPTURE: Scope = Scope {
    name: "capture or void",
    start: Start::Authorized,
    left: Left {
        capture: 1,
        void: 1,
        notices: 2,
        crashes: 2,
        forget: 1,
        ..NOTHING
    },
    bug: Bug::None,
    reaches: &[0, 4, 5],
};

/// A refund, with webhooks.
pub const REFUND: Scope = Scope {
    name: "refund",
    start: Start::Paid,
    left: Left {
        refund: 1,
        notices: 2,
        crashes: 2,
        forget: 1,
        ..NOTHING
    },
    bug: Bug::None,
    reaches: &[4, 6, 7],
};

/// From the confirmation to the refund, with one crash and no webhook.
pub const WHOLE: Scope = Scope {
    name: "confirm to refund",
    start: Start::Created,
    left: Left {
        confirm: 1,
        capture: 1,
        refund: 1,
        crashes: 1,
        ..NOTHING
    },
    bug: Bug::None,
    reaches: &[0, 1, 2, 3, 4, 6, 7],
};
