//! What must hold, by the numbers of the design's list. Some are asked of every state, some of every step.

use paymux_core::{AttemptStatus, IntentStatus, OperationStatus, RefundStatus};

use crate::processor::{Key, Ledger, Outcome, Verb, WHOLE};
use crate::world::{Payment, Worker, World};

/// What is said of a state, and whether it is so.
pub type Rule = (&'static str, fn(&World) -> bool);

/// Each invariant by its number.
pub const ALWAYS: [Rule; 16] = [
    (
        "1 captures and what is pending are within what may be captured",
        captured_within,
    ),
    (
        "2 refunds and what is pending are within what was captured",
        refunded_within,
    ),
    ("3 at most one live charge over all accounts", one_live_charge),
    ("4 at rest, the processors' money is ours", money_agrees),
    ("5 never failed here while charged there", failed_is_uncharged),
    (
        "6 never authorized or paid here while not charged there",
        paid_is_charged,
    ),
    ("7 an operation's end is what the processor did", ends_are_true),
    ("8 no second attempt while one is open or live", |world| {
        world.broken != Some(8)
    }),
    ("9 no send without a committed W1", |world| {
        world.broken != Some(9)
    }),
    ("10 one key for an operation", |world| world.broken != Some(10)),
    ("11 no send of a key after its window", |world| {
        world.broken != Some(11)
    }),
    ("12 no failover but on proof or a decline", |world| {
        world.broken != Some(12)
    }),
    ("13 one open operation on a payment", one_open),
    ("14 terminal states aren't left", |world| world.broken != Some(14)),
    ("15 only listed transitions", |world| world.broken != Some(15)),
    ("16 each commit is one version on", |world| {
        world.broken != Some(16)
    }),
];

/// The states that have to be reached, so that the invariants aren't kept by nothing happening.
pub const SOMETIMES: [Rule; 8] = [
    ("authorized at the first account", |world| {
        at_rest(world, IntentStatus::Authorized) && won_at(world, 0)
    }),
    ("authorized at the second account", |world| {
        at_rest(world, IntentStatus::Authorized) && won_at(world, 1)
    }),
    ("failed, declined everywhere", |world| {
        at_rest(world, IntentStatus::Failed)
    }),
    ("back to created, proved not executed", |world| {
        at_rest(world, IntentStatus::Created) && !world.payment.facts.attempts.is_empty()
    }),
    ("paid", |world| at_rest(world, IntentStatus::Succeeded)),
    ("voided", |world| at_rest(world, IntentStatus::Voided)),
    ("refunded", |world| refund_at_rest(world, RefundStatus::Succeeded)),
    ("refund failed", |world| {
        refund_at_rest(world, RefundStatus::Failed)
    }),
];

/// The invariant that a send breaks.
pub(crate) fn sent(world: &World, key: Key) -> Option<u8> {
    let ours = match key.op.verb {
        Verb::Refund => world.refund.is_some(),
        Verb::Authorize | Verb::Capture | Verb::Void => world.payment.status_of(key.op).is_some(),
    };
    match (ours, key.tries, world.forgotten.contains(&key.op)) {
        (false, _, _) => Some(9),
        (true, 1.., _) => Some(10),
        (true, 0, true) => Some(11),
        (true, 0, false) => None,
    }
}

/// The invariant that a commit breaks.
pub(crate) fn committed(world: &World, after: &Payment) -> Option<u8> {
    let before = &world.payment;
    let (from, to) = (before.facts.status, after.facts.status);
    if after.version != before.version + 1 {
        return Some(16);
    }
    if after.facts.attempts.len() > before.facts.attempts.len() {
        // A failover closes one attempt and opens the next in one commit: what is asked is how the row stands after.
        let earlier = &after.facts.attempts[..after.facts.attempts.len() - 1];
        if earlier
            .iter()
            .any(|it| it.status.is_live() || it.status.holds_money())
        {
            return Some(8);
        }
        let proved = |status: AttemptStatus| match status {
            AttemptStatus::NotExecuted | AttemptStatus::Declined => true,
            AttemptStatus::Opened
            | AttemptStatus::Pending
            | AttemptStatus::RequiresAction
            | AttemptStatus::Cancelled
            | AttemptStatus::Authorized
            | AttemptStatus::Captured
            | AttemptStatus::Settled
            | AttemptStatus::Voided
            | AttemptStatus::Failed => false,
        };
        let charged = world.ledgers.iter().any(|ledger| ledger.live_charges() > 0);
        if charged || earlier.iter().any(|it| !proved(it.status)) {
            return Some(12);
        }
    }
    if from != to {
        return match from {
            IntentStatus::Succeeded
            | IntentStatus::Voided
            | IntentStatus::Cancelled
            | IntentStatus::Failed => Some(14),
            IntentStatus::Created
            | IntentStatus::Scheduled
            | IntentStatus::RequiresAction
            | IntentStatus::Processing
            | IntentStatus::Authorized
            | IntentStatus::Captured => (!listed(from, to)).then_some(15),
        };
    }
    None
}

fn listed(from: IntentStatus, to: IntentStatus) -> bool {
    use IntentStatus::{Authorized, Captured, Created, Failed, Processing, Succeeded, Voided};
    matches!(
        (from, to),
        (Created, Processing)
            | (Processing, Created | Authorized | Captured | Succeeded | Failed)
            | (Authorized, Captured | Succeeded | Voided)
            | (Captured, Succeeded)
    )
}

fn captured_within(world: &World) -> bool {
    let totals = &world.payment.facts.totals;
    let there = world.ledgers.iter().all(|ledger| ledger.captured() <= WHOLE);
    there && totals.captured + totals.capture_pending <= totals.capturable_max
}

fn refunded_within(world: &World) -> bool {
    let totals = &world.payment.facts.totals;
    let there = world
        .ledgers
        .iter()
        .all(|ledger| ledger.refunded() <= ledger.captured());
    there && totals.refunded + totals.refund_pending <= totals.captured
}

fn one_live_charge(world: &World) -> bool {
    world.ledgers.iter().map(Ledger::live_charges).sum::<usize>() <= 1
}

fn money_agrees(world: &World) -> bool {
    if !quiet(world) {
        return true;
    }
    let sum = |money: fn(&Ledger) -> i64| world.ledgers.iter().map(money).sum::<i64>();
    let (charges, facts) = (
        world.ledgers.iter().map(Ledger::live_charges).sum::<usize>(),
        &world.payment.facts,
    );
    let held = match facts.status {
        IntentStatus::Authorized | IntentStatus::Captured | IntentStatus::Succeeded => charges == 1,
        IntentStatus::Created
        | IntentStatus::Scheduled
        | IntentStatus::RequiresAction
        | IntentStatus::Processing
        | IntentStatus::Voided
        | IntentStatus::Cancelled
        | IntentStatus::Failed => charges == 0,
    };
    held && facts.totals.captured == sum(Ledger::captured) && facts.totals.refunded == sum(Ledger::refunded)
}

fn failed_is_uncharged(world: &World) -> bool {
    match world.payment.facts.status {
        IntentStatus::Created | IntentStatus::Cancelled | IntentStatus::Failed | IntentStatus::Voided => {
            world.ledgers.iter().all(|ledger| ledger.live_charges() == 0)
        }
        IntentStatus::Scheduled
        | IntentStatus::RequiresAction
        | IntentStatus::Processing
        | IntentStatus::Authorized
        | IntentStatus::Captured
        | IntentStatus::Succeeded => true,
    }
}

fn paid_is_charged(world: &World) -> bool {
    let facts = &world.payment.facts;
    let charged = world
        .ledgers
        .iter()
        .any(|ledger| ledger.charges().next().is_some());
    let captured = world.ledgers.iter().any(|ledger| ledger.captured() > 0);
    match facts.status {
        IntentStatus::Authorized => charged,
        IntentStatus::Captured | IntentStatus::Succeeded => captured,
        IntentStatus::Created
        | IntentStatus::Scheduled
        | IntentStatus::RequiresAction
        | IntentStatus::Processing
        | IntentStatus::Voided
        | IntentStatus::Cancelled
        | IntentStatus::Failed => true,
    }
}

fn ends_are_true(world: &World) -> bool {
    let did = |op| world.ledgers.iter().find_map(|ledger| ledger.outcome(op));
    let payment = world
        .payment
        .facts
        .operations
        .iter()
        .all(|(op, status)| match status {
            OperationStatus::Done => did(*op) == Some(Outcome::Done),
            OperationStatus::Declined => did(*op) == Some(Outcome::Declined),
            // A no that nobody heard was nothing done, too.
            OperationStatus::NotExecuted => did(*op) != Some(Outcome::Done),
            OperationStatus::Prepared
            | OperationStatus::Unknown
            | OperationStatus::Pending
            | OperationStatus::Abandoned => true,
        });
    let op = crate::processor::Op {
        verb: Verb::Refund,
        number: 0,
    };
    let refund = world.refund.as_ref().is_none_or(|refund| match refund.status {
        RefundStatus::Succeeded => did(op) == Some(Outcome::Done),
        RefundStatus::Failed => did(op) != Some(Outcome::Done),
        RefundStatus::Requested
        | RefundStatus::RequiresAction
        | RefundStatus::Pending
        | RefundStatus::PartiallySucceeded
        | RefundStatus::Cancelled => true,
    });
    payment && refund
}

fn one_open(world: &World) -> bool {
    let open =
        |status: OperationStatus| matches!(status, OperationStatus::Prepared | OperationStatus::Unknown);
    let operations = world.payment.facts.operations.iter();
    operations.filter(|(_, status)| open(*status)).count() <= 1
}

/// Nobody is at anything, nothing is under way, and nothing is open.
fn quiet(world: &World) -> bool {
    let idle = world.workers.iter().all(|worker| *worker == Worker::Idle);
    idle && world.network.is_empty() && world.open().next().is_none()
}

fn at_rest(world: &World, status: IntentStatus) -> bool {
    quiet(world) && world.payment.facts.status == status
}

fn won_at(world: &World, account: usize) -> bool {
    world
        .payment
        .facts
        .attempts
        .last()
        .is_some_and(|it| it.account == account)
}

fn refund_at_rest(world: &World, status: RefundStatus) -> bool {
    quiet(world)
        && world
            .refund
            .as_ref()
            .is_some_and(|refund| refund.status == status)
}
