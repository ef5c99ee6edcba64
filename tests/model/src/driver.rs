//! What a worker does between two steps: the engine's protocol over core's own decide, merge and apply.
//!
//! It follows `core/src/engine/drive.rs` (the loop, W3, what follows by itself), `recover.rs` and `resolve.rs` (claim,
//! read, send again), `refunds.rs` and `recover.rs::merge_news` (webhooks).

use paymux_core::connector::{NotExecuted, Stage, SuccessOn, VoidAfterCapture};
use paymux_core::machines::{Source, intent, refund};
use paymux_core::{
    AccountRef, AttemptId, AttemptStatus, CaptureId, ConnectorId, IntentStatus, Mode, OperationStatus,
    PaymentMethod, RefundId, Rest, Timestamp,
};

use crate::Bug;
use crate::invariants;
use crate::processor::{self, Memory, Mood, Op, Outcome, PART, Said, Seen, Verb, WHOLE};
use crate::world::{Lease, Message, News, Payment, Refund, Sending, Sight, Turn, Worker, World};

/// The one point in time: no rule that is modelled here compares times.
pub const AT: Timestamp = Timestamp::from_secs(1_000);

/// How many messages may be under way.
const IN_FLIGHT: usize = 2;

/// How many accounts the plan has.
const ACCOUNTS: u8 = 2;

/// The n-th account of the plan.
pub fn account(number: u8) -> AccountRef {
    let name = if number == 0 { "first" } else { "second" };
    AccountRef::new(ConnectorId::from_static(name), "main")
}

/// What the model takes as one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client asks; a worker reads the row and decides.
    Ask(usize, Verb),
    /// W1.
    Open(usize),
    /// A worker claims what was left open, which fences others off.
    Claim(usize, Op),
    /// It asks the processor what became of it.
    Look(usize, Look),
    /// The request goes out.
    Send(usize),
    /// The connection isn't made.
    NotSent(usize),
    /// No answer in time.
    TimeOut(usize),
    /// W3.
    Write(usize),
    /// The worker is gone.
    Crash(usize),
    /// A message arrives.
    Arrive(usize, Mood),
    /// A webhook arrives, and will arrive again.
    Repeat(usize),
    /// A message is lost.
    Lose(usize),
    /// A processor tells by a webhook how a charge stands.
    Notify(usize, Op),
    /// A processor tells by a webhook what became of a refund.
    NotifyRefund(Op),
    /// Its window passes, so that a key is forgotten, and what isn't there by now will not be.
    Forget(Op),
}

/// Whether the processor answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It does.
    Answered,
    /// It doesn't.
    Unanswered,
}

impl World {
    /// Everything that may happen next.
    pub(crate) fn possible(&self, actions: &mut Vec<Action>) {
        for (at, worker) in self.workers.iter().enumerate() {
            if at == 1 && self.workers[0] == self.workers[1] && !matches!(worker, Worker::Waiting(..)) {
                continue; // they are alike
            }
            match worker {
                Worker::Idle => {
                    let verbs = [Verb::Authorize, Verb::Capture, Verb::Void, Verb::Refund];
                    let asks = verbs.into_iter().filter(|verb| self.may_ask(*verb));
                    actions.extend(asks.map(|verb| Action::Ask(at, verb)));
                    actions.extend(self.open().map(|op| Action::Claim(at, op)));
                }
                Worker::Opening(..) => actions.push(Action::Open(at)),
                Worker::Looking(_) => {
                    actions.extend([Look::Answered, Look::Unanswered].map(|look| Action::Look(at, look)));
                }
                Worker::Sending(..) => {
                    actions.push(Action::NotSent(at));
                    if self.network.len() < IN_FLIGHT {
                        actions.push(Action::Send(at));
                    }
                }
                Worker::Waiting(..) => actions.push(Action::TimeOut(at)),
                Worker::Writing(..) => actions.push(Action::Write(at)),
            }
            if self.left.crashes > 0 && *worker != Worker::Idle {
                actions.push(Action::Crash(at));
            }
        }
        for (at, message) in self.network.iter().enumerate() {
            if at > 0 && self.network[at - 1] == *message {
                continue;
            }
            actions.push(Action::Lose(at));
            match message {
                Message::Request { .. } => {
                    actions.extend(Mood::ALL.map(|mood| Action::Arrive(at, mood)));
                }
                Message::Answer { .. } => actions.push(Action::Arrive(at, Mood::Willing)),
                Message::Notice { .. } | Message::RefundNotice { .. } => {
                    actions.extend([Action::Arrive(at, Mood::Willing), Action::Repeat(at)]);
                }
            }
        }
        if self.left.notices > 0 && self.network.len() < IN_FLIGHT {
            for (account, ledger) in self.ledgers.iter().enumerate() {
                actions.extend(ledger.charges().map(|charge| Action::Notify(account, charge)));
            }
            let refund = Op {
                verb: Verb::Refund,
                number: 0,
            };
            if self.ledgers.iter().any(|ledger| ledger.outcome(refund).is_some()) {
                actions.push(Action::NotifyRefund(refund));
            }
        }
        if self.left.forget > 0 {
            actions.extend(self.open().filter(|op| self.may_forget(*op)).map(Action::Forget));
        }
    }

    /// Takes one step.
    pub(crate) fn step(&self, action: Action, bug: Bug) -> Option<Self> {
        let mut world = self.clone();
        match action {
            Action::Ask(at, verb) => world.workers[at] = Worker::Opening(verb, Sight::Current),
            Action::Open(at) => world.open_operation(at, bug)?,
            Action::Claim(at, op) => world.claim(at, op),
            Action::Look(at, look) => world.look(at, look, bug)?,
            Action::Send(at) => world.send(at, bug)?,
            Action::NotSent(at) => {
                let Worker::Sending(turn, sending) = self.workers[at].clone() else {
                    return None;
                };
                world.workers[at] = Worker::Writing(turn, refused(sending, bug));
            }
            Action::TimeOut(at) => {
                let Worker::Waiting(turn, _) = self.workers[at].clone() else {
                    return None;
                };
                let news = match bug {
                    Bug::FailoverOnTimeOut => News::Proof,
                    _engine => News::Doubt,
                };
                world.workers[at] = Worker::Writing(turn, news);
            }
            Action::Write(at) => world.write_news(at, bug)?,
            Action::Crash(at) => {
                world.workers[at] = Worker::Idle;
                world.left.crashes -= 1;
            }
            Action::Arrive(at, mood) => {
                let message = world.network.remove(at);
                world.arrive(message, mood, bug)?;
            }
            Action::Repeat(at) => world.arrive(self.network[at], Mood::Willing, bug)?,
            Action::Lose(at) => {
                world.network.remove(at);
            }
            Action::Notify(account, charge) => {
                let seen = self.ledgers[account].see(charge)?;
                world.network.push(Message::Notice { charge, seen });
                world.left.notices -= 1;
            }
            Action::NotifyRefund(op) => {
                let outcome = self.ledgers.iter().find_map(|ledger| ledger.outcome(op))?;
                world.network.push(Message::RefundNotice { op, outcome });
                world.left.notices -= 1;
            }
            Action::Forget(op) => {
                world.forgotten.push(op);
                world.left.forget -= 1;
            }
        }
        Some(world.canonical())
    }

    /// Whether a client's request would be taken on: its key is free, and the state allows it. Any other request is a
    /// replay or an error, and changes nothing.
    fn may_ask(&self, verb: Verb) -> bool {
        let mut left = self.left;
        if *left.of(verb) == 0 || (verb == Verb::Refund && self.refund.is_some()) {
            return false;
        }
        let mut same = self
            .payment
            .facts
            .operations
            .iter()
            .filter(|(op, _)| op.verb == verb);
        let free = same.all(|(_, status)| *status == OperationStatus::NotExecuted);
        (verb == Verb::Authorize || free) && opening(&self.payment, self.next(verb)).is_some()
    }

    fn open_operation(&mut self, at: usize, bug: Bug) -> Option<()> {
        let Worker::Opening(verb, sight) = std::mem::replace(&mut self.workers[at], Worker::Idle) else {
            return None;
        };
        let before = match (sight, bug) {
            (Sight::Current, _) => self.payment.clone(),
            (Sight::Outdated(Some(kept)), Bug::NoCompare) => kept,
            // Somebody else was faster: the host gets what they did.
            (Sight::Outdated(_), _) => return Some(()),
        };
        let op = self.next(verb);
        let Some((events, next_account)) = opening(&before, op) else {
            return Some(());
        };
        let after = intent::fold(Some((*before.state).clone()), &events)?;
        self.commit(
            Some(at),
            Payment::new(after, next_account, before.version + 1),
            bug,
        );
        self.count(op);
        if verb == Verb::Refund {
            let parts = [(op.id(), processor::handle(), PART)];
            let id = RefundId::from_uuid(Mode::Test, op.uuid());
            let request = refund::Command::request(AT, id, &before.state, parts).ok()?;
            let requested = refund::fold(None, &refund::decide(None, &request).ok()?)?;
            let open = refund::Command::open(AT, &requested, op.id()).ok()?;
            let opened = refund::decide(Some(&requested), &open).ok()?;
            self.write_refund(Some(at), Refund::new(refund::fold(Some(requested), &opened)?));
        }
        let left = self.left.of(verb);
        *left = left.saturating_sub(1);
        self.workers[at] = Worker::Sending(
            Turn {
                op,
                lease: Lease::Held,
                sight: Sight::Current,
            },
            Sending::First,
        );
        Some(())
    }

    fn claim(&mut self, at: usize, op: Op) {
        for worker in &mut self.workers {
            if let Some(turn) = worker
                .turn_mut()
                .filter(|turn| turn.op == op && turn.lease == Lease::Held)
            {
                turn.lease = Lease::Lost;
            }
        }
        self.workers[at] = Worker::Looking(Turn {
            op,
            lease: Lease::Held,
            sight: Sight::Current,
        });
    }

    /// Reads, else sends again while the key holds, else takes a settled absence for what it is.
    fn look(&mut self, at: usize, look: Look, bug: Bug) -> Option<()> {
        let Worker::Looking(turn) = self.workers[at].clone() else {
            return None;
        };
        let found = match look {
            Look::Answered => self.found(turn.op),
            Look::Unanswered => None,
        };
        let memory = match bug {
            Bug::SendAfterWindow => Memory::Kept,
            _engine => self.memory(turn.op),
        };
        self.workers[at] = match (found, memory, look) {
            (Some(news), _, _) => Worker::Writing(turn, news),
            // The lease is kept by a commit of its own, which fails where it is lost.
            (None, Memory::Kept, _) if turn.lease == Lease::Lost => Worker::Idle,
            (None, Memory::Kept, _) => Worker::Sending(turn, Sending::Again),
            (None, Memory::Gone, Look::Answered) => Worker::Writing(turn, News::Proof),
            (None, Memory::Gone, Look::Unanswered) => Worker::Writing(turn, News::Doubt),
        };
        Some(())
    }

    /// What a read shows of an operation's outcome.
    fn found(&self, op: Op) -> Option<News> {
        let charge = self.charge_of(op);
        let ledger = &self.ledgers[self.payment.account_of(charge)];
        if op.verb == Verb::Refund {
            return ledger.outcome(op).map(News::Answer);
        }
        let seen = ledger.see(charge)?;
        let over = seen.outcome == Outcome::Declined || seen.voided == processor::Voided::Yes;
        let shows = match op.verb {
            Verb::Authorize => true,
            Verb::Capture => over || seen.captured >= WHOLE,
            Verb::Void | Verb::Refund => over,
        };
        shows.then_some(News::Seen(seen))
    }

    fn send(&mut self, at: usize, bug: Bug) -> Option<()> {
        let Worker::Sending(turn, sending) = self.workers[at].clone() else {
            return None;
        };
        let op = turn.op;
        let tries = match (bug, sending) {
            (Bug::FreshKey, Sending::Again) => 1,
            (_, Sending::First | Sending::Again) => 0,
        };
        let charge = self.charge_of(op);
        let key = processor::Key { op, tries };
        self.broken = self.broken.or(invariants::sent(self, key));
        self.network.push(Message::Request {
            key,
            charge,
            account: self.payment.account_of(charge),
            from: Some(at),
        });
        self.workers[at] = Worker::Waiting(turn, sending);
        Some(())
    }

    fn arrive(&mut self, message: Message, mood: Mood, bug: Bug) -> Option<()> {
        match message {
            Message::Request {
                key,
                charge,
                account,
                from,
            } => {
                let memory = self.memory(key.op);
                let said = self.ledgers[account].take(key, charge, mood, memory);
                if let Some(to) = from {
                    self.network.push(Message::Answer { to, said });
                }
            }
            Message::Answer { to, said } => {
                let Worker::Waiting(turn, sending) = self.workers[to].clone() else {
                    return None;
                };
                let news = match said {
                    Said::Outcome(outcome) => News::Answer(outcome),
                    Said::Refused => refused(sending, bug),
                };
                self.workers[to] = Worker::Writing(turn, news);
            }
            Message::Notice { charge, seen } => self.told(charge, seen, bug)?,
            Message::RefundNotice { op, outcome } => {
                let news = News::Answer(outcome);
                self.learn_refund(None, op, Source::Outside, news, bug)?;
            }
        }
        Some(())
    }

    /// A webhook: merged like any news, from outside; what follows is driven by whoever is free.
    fn told(&mut self, charge: Op, seen: Seen, bug: Bug) -> Option<()> {
        let before = self.payment.clone();
        let attempt = attempt_of(charge);
        let fresh = CaptureId::from_uuid(Mode::Test, charge.uuid());
        let observation = intent::Observation::told(AT, attempt, processor::standing(seen), fresh);
        let events = intent::merge(&before.state, &observation);
        if events.is_empty() {
            return Some(());
        }
        let merged = Payment::new(
            intent::fold(Some((*before.state).clone()), &events)?,
            before.next_account,
            before.version + 1,
        );
        let status = |payment: &Payment| payment.attempt(charge).map(|attempt| attempt.status);
        let follow = match status(&before) == status(&merged) {
            true => Followed::nothing(merged),
            false => self.follow_up(&merged, charge)?,
        };
        let free = self.workers.iter().position(|worker| *worker == Worker::Idle);
        self.commit(None, follow.payment, bug);
        if let Some(op) = follow.next {
            self.count(op);
        }
        if let (Some(op), Some(at)) = (follow.next, free) {
            self.workers[at] = Worker::Sending(
                Turn {
                    op,
                    lease: Lease::Held,
                    sight: Sight::Current,
                },
                Sending::First,
            );
        }
        Some(())
    }

    /// W3. Whoever was fenced off gives its news to the merge like any other, but for a proof: that this worker sent
    /// nothing says nothing about what the other one sent.
    fn write_news(&mut self, at: usize, bug: Bug) -> Option<()> {
        let Worker::Writing(mut turn, news) = self.workers[at].clone() else {
            return None;
        };
        if turn.lease == Lease::Lost {
            self.workers[at] = match (news, bug) {
                (News::Proof, Bug::FencedProof) | (News::Answer(_) | News::Doubt | News::Seen(_), _) => {
                    (turn.lease, turn.sight) = (Lease::None, Sight::Current);
                    Worker::Writing(turn, news)
                }
                (News::Proof, _) => Worker::Idle,
            };
            return Some(());
        }
        let before = match (turn.sight.clone(), bug) {
            (Sight::Current, _) => self.payment.clone(),
            (Sight::Outdated(Some(kept)), Bug::NoCompare) => kept,
            (Sight::Outdated(_), _) => {
                turn.sight = Sight::Current;
                self.workers[at] = Worker::Writing(turn, news);
                return Some(());
            }
        };
        let (op, source) = (turn.op, source(&turn));
        self.workers[at] = Worker::Idle;
        if op.verb == Verb::Refund {
            return self.learn_refund(Some(at), op, source, news, bug);
        }
        let events = intent::merge(&before.state, &observation(&before, op, source, news));
        let after = intent::fold(Some((*before.state).clone()), &events)?;
        let merged = Payment::new(after, before.next_account, before.version + 1);
        let follow = match turn.lease {
            Lease::Held => self.follow_up(&merged, op)?,
            Lease::Lost | Lease::None => Followed::nothing(merged),
        };
        if follow.payment == before {
            return Some(());
        }
        self.commit(Some(at), follow.payment, bug);
        if let Some(op) = follow.next {
            self.count(op);
            self.workers[at] = Worker::Sending(
                Turn {
                    op,
                    lease: Lease::Held,
                    sight: Sight::Current,
                },
                Sending::First,
            );
        }
        Some(())
    }

    /// A refund's outcome and its payment's share of it, in one commit.
    fn learn_refund(
        &mut self,
        by: Option<usize>,
        op: Op,
        source: Source,
        news: News,
        bug: Bug,
    ) -> Option<()> {
        let before = self.refund.clone()?;
        let observation = match news {
            News::Answer(outcome) => {
                refund::Observation::report(AT, source, op.id(), processor::refund(outcome))
            }
            News::Proof => refund::Observation::not_executed(AT, source, op.id(), proof()),
            News::Doubt | News::Seen(_) => {
                refund::Observation::doubt(AT, source, op.id(), Stage::Sent, "no answer in time")
            }
        };
        let events = refund::merge(&before.state, &observation);
        if events.is_empty() {
            return Some(());
        }
        let after = Refund::new(refund::fold(Some((*before.state).clone()), &events)?);
        let learnt = intent::Event::refund_learnt(AT, &after.state);
        let was = intent::Event::refund_learnt(AT, &before.state);
        if learnt != was {
            let state = intent::apply(Some((*self.payment.state).clone()), &learnt)?;
            let (next, version) = (self.payment.next_account, self.payment.version + 1);
            self.commit(by, Payment::new(state, next, version), bug);
        }
        self.write_refund(by, after);
        Some(())
    }

    fn commit(&mut self, by: Option<usize>, after: Payment, bug: Bug) {
        self.broken = self.broken.or(invariants::committed(self, &after));
        self.write(by, after, bug);
    }

    /// The next account after a proof or a decline; the end where there is none.
    fn follow_up(&self, payment: &Payment, op: Op) -> Option<Followed> {
        let nothing = || Some(Followed::nothing(payment.clone()));
        let settled = matches!(
            payment.status_of(op),
            Some(OperationStatus::Done | OperationStatus::Declined | OperationStatus::NotExecuted)
        );
        let ended = payment.facts.status == IntentStatus::Failed;
        if op.verb != Verb::Authorize || !settled || payment.facts.open.is_some() || ended {
            return nothing();
        }
        let left = payment.next_account < ACCOUNTS;
        let attempt = payment.attempt(op).map(|attempt| attempt.status);
        let (events, next_account, next) = match attempt {
            Some(AttemptStatus::NotExecuted | AttemptStatus::Declined) if left => {
                let next = self.next(Verb::Authorize);
                let opening = attempt_at(next, payment.next_account);
                let cascade = intent::Command::cascade(AT, &payment.state, opening);
                match intent::decide(Some(&payment.state), &cascade) {
                    Ok(events) => (events, payment.next_account + 1, Some(next)),
                    Err(_) => return nothing(),
                }
            }
            Some(AttemptStatus::Declined) => {
                let end = intent::Event::declined(AT, &payment.state, attempt_of(op));
                (vec![end], payment.next_account, None)
            }
            Some(
                AttemptStatus::Opened
                | AttemptStatus::Pending
                | AttemptStatus::RequiresAction
                | AttemptStatus::NotExecuted
                | AttemptStatus::Cancelled
                | AttemptStatus::Authorized
                | AttemptStatus::Captured
                | AttemptStatus::Settled
                | AttemptStatus::Voided
                | AttemptStatus::Failed,
            )
            | None => return nothing(),
        };
        let state = intent::fold(Some((*payment.state).clone()), &events)?;
        Some(Followed {
            payment: Payment::new(state, next_account, payment.version),
            next,
        })
    }

    /// The next operation of that kind: each has an identifier of its own, whatever becomes of the row.
    fn next(&self, verb: Verb) -> Op {
        let number = self.opened[verb as usize];
        Op { verb, number }
    }

    fn count(&mut self, op: Op) {
        self.opened[op.verb as usize] = op.number + 1;
    }

    fn charge_of(&self, op: Op) -> Op {
        charge_of(&self.payment, op)
    }

    fn memory(&self, op: Op) -> Memory {
        match self.forgotten.contains(&op) {
            true => Memory::Gone,
            false => Memory::Kept,
        }
    }

    /// The margin: no request is sent, or under way, when a key's window ends.
    fn may_forget(&self, op: Op) -> bool {
        let busy = |worker: &Worker| {
            let sends = matches!(worker, Worker::Sending(..) | Worker::Waiting(..));
            sends && worker.turn().is_some_and(|turn| turn.op == op)
        };
        let asked = |message: &Message| matches!(message, Message::Request { key, .. } if key.op == op);
        !self.forgotten.contains(&op) && !self.workers.iter().any(busy) && !self.network.iter().any(asked)
    }
}

fn charge_of(payment: &Payment, op: Op) -> Op {
    match op.verb {
        Verb::Authorize => op,
        Verb::Capture | Verb::Void | Verb::Refund => payment.charge(),
    }
}

fn source(turn: &Turn) -> Source {
    match turn.lease {
        Lease::Held => Source::Driver(turn.op.id()),
        Lease::Lost | Lease::None => Source::Outside,
    }
}

/// A proof that one send did nothing is a proof for the operation only if there was no other.
fn refused(sending: Sending, bug: Bug) -> News {
    match (sending, bug) {
        (Sending::First, _) | (Sending::Again, Bug::RefusalBeatsDoubt) => News::Proof,
        (Sending::Again, _) => News::Doubt,
    }
}

fn observation(payment: &Payment, op: Op, source: Source, news: News) -> intent::Observation {
    let charge = charge_of(payment, op);
    let (id, fresh) = (op.id(), CaptureId::from_uuid(Mode::Test, charge.uuid()));
    match (news, op.verb) {
        (News::Answer(outcome), Verb::Authorize) => {
            let said = processor::authorization(outcome);
            let answer = intent::Observation::answer(AT, id, attempt_of(op), said, fresh);
            match source {
                Source::Driver(_) => answer,
                Source::Outside => answer.overtaken(),
            }
        }
        (News::Answer(outcome), Verb::Capture | Verb::Refund) => {
            intent::Observation::capture(AT, source, id, processor::capture(outcome), fresh)
        }
        (News::Answer(outcome), Verb::Void) => {
            intent::Observation::close(AT, source, id, processor::void(outcome), fresh)
        }
        (News::Proof, _) => intent::Observation::not_executed(AT, source, id, proof(), fresh),
        (News::Doubt, _) => {
            intent::Observation::doubt(AT, source, id, Stage::Sent, "no answer in time", fresh)
        }
        // No refund fails once it is done, so that no read is older than a failure.
        (News::Seen(seen), _) => {
            let (attempt, standing) = (attempt_of(charge), processor::standing(seen));
            intent::Observation::read(&payment.state, AT, source, attempt, standing, fresh)
        }
    }
}

/// What a commit brings besides its news.
struct Followed {
    payment: Payment,
    next: Option<Op>,
}

impl Followed {
    fn nothing(payment: Payment) -> Self {
        Self { payment, next: None }
    }
}

/// The events of what a client's request opens, and the plan's next account.
fn opening(payment: &Payment, op: Op) -> Option<(Vec<intent::Event>, u8)> {
    let (state, next) = (&payment.state, payment.next_account);
    let (command, next) = match op.verb {
        Verb::Authorize => (intent::Command::confirm(AT, state, attempt_at(op, 0)), 1),
        Verb::Capture => {
            let capture = CaptureId::from_uuid(Mode::Test, op.uuid());
            (
                intent::Command::capture(AT, state, op.id(), capture, WHOLE, Rest::Release),
                next,
            )
        }
        Verb::Void => (
            intent::Command::void(AT, state, op.id(), VoidAfterCapture::No),
            next,
        ),
        Verb::Refund => {
            let refund = RefundId::from_uuid(Mode::Test, op.uuid());
            (
                intent::Command::reserve_refund(AT, refund, PART, Vec::new()),
                next,
            )
        }
    };
    Some((intent::decide(Some(state), &command).ok()?, next))
}

fn attempt_at(op: Op, number: u8) -> intent::Opening {
    intent::Opening {
        attempt: attempt_of(op),
        operation: op.id(),
        account: account(number),
        method: PaymentMethod::card_token("tok"),
        success_on: SuccessOn::Accepted,
    }
}

fn attempt_of(charge: Op) -> AttemptId {
    AttemptId::from_uuid(Mode::Test, charge.uuid())
}

fn proof() -> NotExecuted {
    NotExecuted::NotSent("no connection".into())
}
