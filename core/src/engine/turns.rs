//! Whose turn it is to call an account that may only be called so fast: tenants in turn, each one's calls in their
//! order.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::call::within;
use crate::connector::{Connector, Pace};
use crate::id::AccountRef;
use crate::runtime::Clock;
use crate::tenant::Tenant;

/// The queues of all paced accounts; those that have rested are forgotten when there are many.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<AccountRef, Arc<Queue>>>);

/// The right to make one call, for as long as it is held. `None` inside for an account that may be called at will.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Queue>>);

#[derive(Debug, Default)]
struct Queue(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    under_way: u32,
    /// When the calls that still count against the rate began, the oldest first.
    begun: VecDeque<Duration>,
    next_ticket: u64,
    /// Tenants that wait, the next one first.
    waiting: VecDeque<(Tenant, Tickets)>,
}

/// One tenant's calls by their numbers, with who is to be woken.
type Tickets = VecDeque<(u64, Option<Waker>)>;

impl Turns {
    /// Waits for a turn, at most `wait`: `None` where none came.
    pub(crate) async fn take(
        &self,
        connector: &Connector,
        tenant: &Tenant,
        clock: &dyn Clock,
        wait: Duration,
    ) -> Option<Turn> {
        let pace = connector.pace;
        if pace.is_unbounded() {
            return Some(Turn(None));
        }
        let started = clock.elapsed();
        let queue = self.queue(connector.account(), pace, started);
        let deadline = started + wait;
        let ticket = Ticket::draw(&queue, tenant);
        loop {
            let left = deadline.saturating_sub(clock.elapsed());
            let called = Called {
                ticket: &ticket,
                pace,
                clock,
            };
            match within(called, clock.sleep(left)).await? {
                Call::Now => return Some(Turn(Some(queue.clone()))),
                Call::After(pause) if pause > left => return None,
                Call::After(pause) => clock.sleep(pause).await,
            }
        }
    }

    fn queue(&self, account: &AccountRef, pace: Pace, now: Duration) -> Arc<Queue> {
        let mut queues = lock(&self.0);
        if queues.len() >= QUEUES && !queues.contains_key(account) {
            let span = pace.rate.map_or(Duration::ZERO, |(_, per)| per);
            let counts = |queue: &Queue| {
                lock(&queue.0)
                    .begun
                    .back()
                    .is_some_and(|begun| *begun + span > now)
            };
            queues.retain(|_, queue| Arc::strong_count(queue) > 1 || counts(queue));
        }
        queues.entry(account.clone()).or_default().clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            let mut line = lock(&queue.0);
            line.under_way -= 1;
            line.call_next();
        }
    }
}

/// A place in an account's queue, given up when it is dropped.
struct Ticket<'a> {
    queue: &'a Queue,
    tenant: &'a Tenant,
    number: u64,
}

impl<'a> Ticket<'a> {
    fn draw(queue: &'a Queue, tenant: &'a Tenant) -> Self {
        let mut line = lock(&queue.0);
        let number = line.next_ticket;
        line.next_ticket += 1;
        match line.waiting.iter_mut().find(|(waiting, _)| waiting == tenant) {
            Some((_, tickets)) => tickets.push_back((number, None)),
            None => line
                .waiting
                .push_back((tenant.clone(), VecDeque::from([(number, None)]))),
        }
        Self {
            queue,
            tenant,
            number,
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut line = lock(&self.queue.0);
        let line = &mut *line;
        for (tenant, tickets) in &mut line.waiting {
            if tenant == self.tenant {
                tickets.retain(|(number, _)| *number != self.number);
            }
        }
        line.waiting.retain(|(_, tickets)| !tickets.is_empty());
        line.call_next();
    }
}

/// What a ticket is told once it is the first.
enum Call {
    Now,
    /// The account must rest first.
    After(Duration),
}

/// Waits until a ticket is called.
struct Called<'a> {
    ticket: &'a Ticket<'a>,
    pace: Pace,
    clock: &'a dyn Clock,
}

impl Future for Called<'_> {
    type Output = Call;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Call> {
        let mut line = lock(&self.ticket.queue.0);
        let line = &mut *line;
        let first = match line.waiting.front() {
            Some((tenant, tickets)) => {
                tenant == self.ticket.tenant
                    && tickets
                        .front()
                        .is_some_and(|(number, _)| *number == self.ticket.number)
            }
            None => false,
        };
        let full = self.pace.at_once.is_some_and(|most| line.under_way >= most);
        if !first || full {
            line.remember(self.ticket, cx.waker());
            return Poll::Pending;
        }
        let now = self.clock.elapsed();
        if let Some((calls, per)) = self.pace.rate {
            line.begun.retain(|begun| *begun + per > now);
            match line.begun.front() {
                Some(oldest) if line.begun.len() >= calls as usize => {
                    return Poll::Ready(Call::After(*oldest + per - now));
                }
                Some(_) | None => line.begun.push_back(now),
            }
        }
        line.under_way += 1;
        line.serve_first();
        Poll::Ready(Call::Now)
    }
}

impl Line {
    fn remember(&mut self, ticket: &Ticket<'_>, waker: &Waker) {
        let tenants = self
            .waiting
            .iter_mut()
            .filter(|(tenant, _)| tenant == ticket.tenant);
        for (number, kept) in tenants.flat_map(|(_, tickets)| tickets) {
            if *number == ticket.number {
                *kept = Some(waker.clone());
            }
        }
    }

    /// The first ticket is gone, and its tenant goes to the end of the line.
    fn serve_first(&mut self) {
        if let Some((tenant, mut tickets)) = self.waiting.pop_front() {
            tickets.pop_front();
            if !tickets.is_empty() {
                self.waiting.push_back((tenant, tickets));
            }
        }
        self.call_next();
    }

    fn call_next(&mut self) {
        let first = self
            .waiting
            .front_mut()
            .and_then(|(_, tickets)| tickets.front_mut());
        if let Some(waker) = first.and_then(|(_, waker)| waker.take()) {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many is many.
const QUEUES: usize = 1_024;

#[cfg(test)]
mod tests;
