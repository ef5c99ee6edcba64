//! Turns, polled by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;

use super::{Turn, Turns};
use crate::connector::{Capabilities, Connector, Pace, Request, Response, Transport, TransportError};
use crate::id::{AccountRef, ConnectorId};
use crate::runtime::TestClock;
use crate::tenant::Tenant;

const SECOND: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(5);

type Waiting<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>;

#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: Request) -> Result<Response, TransportError> {
        Err(TransportError::NotSent("nowhere"))
    }
}

struct World {
    turns: Turns,
    clock: TestClock,
    account: Connector,
    tenants: Vec<Tenant>,
}

impl World {
    fn new(pace: Pace) -> Self {
        let account = AccountRef::new(ConnectorId::from_static("acme"), "main");
        let limits = Capabilities::currencies([crate::Currency::EUR]);
        Self {
            turns: Turns::default(),
            clock: TestClock::new(),
            account: Connector::builder(account, limits, Arc::new(Nowhere))
                .build()
                .paced(pace),
            tenants: ["a", "b"]
                .iter()
                .map(|name| Tenant::test(name).unwrap())
                .collect(),
        }
    }

    fn wait(&self, tenant: usize) -> Waiting<'_> {
        let turn = self
            .turns
            .take(&self.account, &self.tenants[tenant], &self.clock, WAIT);
        Box::pin(turn)
    }
}

/// `None` while it waits.
fn poll(waiting: &mut Waiting<'_>) -> Option<Option<Turn>> {
    match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turn) => Some(turn),
        Poll::Pending => None,
    }
}

fn taken(waiting: &mut Waiting<'_>) -> Turn {
    poll(waiting).expect("it still waits").expect("no turn came")
}

#[test]
fn an_account_without_a_pace_is_called_at_will() {
    let world = World::new(Pace::unbounded());
    let turns: Vec<Turn> = (0..100).map(|_| taken(&mut world.wait(0))).collect();
    assert_eq!(turns.len(), 100);
}

#[test]
fn so_many_calls_are_under_way_and_no_more() {
    let world = World::new(Pace::unbounded().at_once(2));
    let (first, _second) = (taken(&mut world.wait(0)), taken(&mut world.wait(0)));
    let mut third = world.wait(0);
    assert!(poll(&mut third).is_none());
    drop(first);
    let _third = taken(&mut third);
    assert!(poll(&mut world.wait(0)).is_none());
}

#[test]
fn tenants_take_turns_however_many_calls_one_of_them_has() {
    let world = World::new(Pace::unbounded().at_once(1));
    let mut held = taken(&mut world.wait(0));
    let mut many: Vec<Waiting<'_>> = (0..3).map(|_| world.wait(0)).collect();
    for waiting in &mut many {
        assert!(poll(waiting).is_none());
    }
    let mut other = world.wait(1);
    assert!(poll(&mut other).is_none());
    let mut order = Vec::new();
    for _ in 0..4 {
        drop(held);
        let mut next = None;
        for (name, waiting) in many
            .iter_mut()
            .map(|waiting| ("a", waiting))
            .chain([("b", &mut other)])
        {
            if next.is_none()
                && let Some(turn) = poll(waiting)
            {
                next = turn.map(|turn| (name, turn));
                *waiting = Box::pin(std::future::pending());
            }
        }
        let (name, turn) = next.expect("nobody's turn");
        order.push(name);
        held = turn;
    }
    assert_eq!(order, ["a", "b", "a", "a"]);
}

#[test]
fn no_span_sees_more_calls_than_the_rate() {
    let world = World::new(Pace::unbounded().rate(3, SECOND));
    let mut begun = Vec::new();
    for _ in 0..10 {
        let mut waiting = world.wait(0);
        loop {
            if let Some(turn) = poll(&mut waiting) {
                assert!(turn.is_some());
                begun.push(crate::runtime::Clock::elapsed(&world.clock));
                break;
            }
            world.clock.advance(Duration::from_millis(100));
        }
    }
    for window in begun.windows(4) {
        assert!(window[3] - window[0] >= SECOND, "{begun:?}");
    }
    assert!(begun[9] <= 4 * SECOND, "slower than it had to be: {begun:?}");
}

#[test]
fn who_waits_too_long_gets_no_turn_and_blocks_nobody() {
    let world = World::new(Pace::unbounded().at_once(1));
    let held = taken(&mut world.wait(0));
    let (mut late, mut gone) = (world.wait(0), world.wait(0));
    assert!(poll(&mut late).is_none() && poll(&mut gone).is_none());
    drop(gone);
    world.clock.advance(WAIT);
    assert!(matches!(poll(&mut late), Some(None)));
    let mut next = world.wait(1);
    assert!(poll(&mut next).is_none());
    drop(held);
    let _next = taken(&mut next);
}

#[test]
fn a_turn_that_can_t_come_in_time_isn_t_waited_for() {
    let world = World::new(Pace::unbounded().rate(1, 60 * SECOND));
    drop(taken(&mut world.wait(0)));
    assert!(matches!(poll(&mut world.wait(0)), Some(None)));
}

#[test]
fn queues_of_accounts_that_rest_are_forgotten() {
    let world = World::new(Pace::unbounded().at_once(1));
    for n in 0..3_000 {
        let name = format!("m{n}");
        let account = AccountRef::new(ConnectorId::from_static("acme"), &name);
        let one = Connector::builder(account, world.account.capabilities.clone(), Arc::new(Nowhere)).build();
        let one = one.paced(Pace::unbounded().at_once(1));
        let mut waiting: Waiting<'_> =
            Box::pin(world.turns.take(&one, &world.tenants[0], &world.clock, WAIT));
        let _turn = taken(&mut waiting);
    }
    assert!(super::lock(&world.turns.0).len() <= super::QUEUES);
}
