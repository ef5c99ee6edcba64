//! Books that a file keeps, for several processes, some of which are killed.

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use paymux_core::connector::{LookUpReport, Outcome, Request};
use paymux_core::{CaptureMethod, Clock, Currency, Secret, TestClock, Timestamp};
use paymux_sandbox::Sandbox;

use crate::support::{Caller, eur};

/// A file of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("paymux-sandbox-{test}-{}", std::process::id()));
        drop(fs::remove_file(&path));
        Self(path)
    }

    fn open(&self, ids: u64) -> Caller {
        let clock = TestClock::new();
        let sandbox = Sandbox::seeded(7)
            .clock(Arc::new(clock.clone()))
            .ledger_file(&self.0)
            .unwrap();
        Caller::of(sandbox, clock, ids)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[test]
fn two_handles_of_a_file_are_one_processor() {
    let scratch = Scratch::new("two");
    let (one, two) = (scratch.open(1), scratch.open(2));
    let (name, handle) = one.approved("tok_approve", CaptureMethod::Automatic);
    assert!(matches!(
        two.look_up(&name),
        Outcome::Answered(LookUpReport::Found(_))
    ));
    let (refund, _) = two.refund(&handle, 1_000);
    let reopened = scratch.open(3);
    for caller in [&one, &two, &reopened] {
        assert_eq!(
            caller.ledger().refunds()[0].reference.as_deref(),
            Some(refund.reference.as_str())
        );
        assert_eq!(
            caller.ledger().totals(Currency::EUR).unwrap().refunded,
            eur(1_000)
        );
    }
    let again = reopened.refund_as(&refund, &handle, 1_000);
    assert!(
        matches!(again, Outcome::Answered(_)),
        "the key is known to every process: {again:?}"
    );
    assert_eq!(one.ledger().refunds().len(), 1);
    assert_eq!(one.sandbox.webhooks().len(), 2);
    assert!(two.sandbox.webhooks().is_empty(), "taken by the other");
}

#[test]
fn changes_of_two_handles_at_once_are_made_in_turn() {
    let scratch = Scratch::new("turns");
    let charge = |ids| {
        let caller = scratch.open(ids);
        for _ in 0..200 {
            let (_, outcome) = caller.authorize("tok_approve", CaptureMethod::Automatic);
            assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| charge(1));
        scope.spawn(|| charge(2));
    });
    let ledger = scratch.open(3).ledger();
    assert_eq!(ledger.payments().len(), 400);
    assert_eq!(ledger.totals(Currency::EUR).unwrap().captured, eur(400 * 10_000));
}

#[test]
fn a_torn_last_line_is_cut_off() {
    let scratch = Scratch::new("torn");
    let (name, _) = scratch.open(1).authorize("tok_approve", CaptureMethod::Automatic);
    let whole = fs::read(&scratch.0).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&scratch.0).unwrap();
    file.write_all(&whole[..whole.len() / 2]).unwrap();
    let caller = scratch.open(2);
    assert_eq!(caller.ledger().live_charges(&name.reference).len(), 1);
    assert_eq!(fs::read(&scratch.0).unwrap(), whole);
    caller.authorize("tok_approve", CaptureMethod::Automatic);
    assert_eq!(scratch.open(3).ledger().payments().len(), 2);
}

#[test]
fn a_file_that_is_no_ledger_is_an_error() {
    let scratch = Scratch::new("foreign");
    fs::write(&scratch.0, "shopping list\n").unwrap();
    assert!(Sandbox::seeded(7).ledger_file(&scratch.0).is_err());
    assert_eq!(fs::read(&scratch.0).unwrap(), b"shopping list\n");
}

const CHILD: &str = "PAYMUX_SANDBOX_TEST_FILE";

/// Charges without end, when the next test starts it in a process of its own; by itself it does nothing.
#[test]
fn charges_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let sandbox = Sandbox::seeded(7).ledger_file(&path).unwrap();
    let caller = Caller::of(sandbox, TestClock::new(), std::process::id().into());
    // The file goes when the test that started this one has failed.
    while path.exists() {
        caller.authorize("tok_approve", CaptureMethod::Automatic);
    }
}

#[test]
fn processes_that_are_killed_leave_whole_books() {
    let scratch = Scratch::new("killed");
    let caller = scratch.open(1);
    for round in 1..=4 {
        let start = || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "file::charges_until_it_is_killed"])
                .env(CHILD, &scratch.0)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut children = [start(), start()];
        while caller.ledger().payments().len() < 25 * round {
            std::thread::sleep(Duration::from_millis(1));
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let charges = caller.ledger().payments().len();
        assert_eq!(scratch.open(2).ledger().payments().len(), charges);
        assert_eq!(
            scratch
                .open(3)
                .ledger()
                .totals(Currency::EUR)
                .unwrap()
                .captured
                .minor(),
            charges as i64 * 10_000
        );
    }
    let ledger = caller.ledger();
    let mut handles: Vec<_> = ledger.payments().iter().map(|payment| &payment.handle).collect();
    handles.sort_unstable();
    handles.dedup();
    assert_eq!(
        handles.len(),
        ledger.payments().len(),
        "no two processes give one identifier"
    );
}

#[test]
fn a_request_of_several_lines_is_kept_on_one() {
    let scratch = Scratch::new("lines");
    let caller = scratch.open(1);
    let body = r#"{
        "reference": "r1", "amount": { "minor": 100, "currency": "EUR" }, "capture": "automatic",
        "mode": "payment", "challenge": "as_needed", "confirm": "now", "method": { "card": { "token": "tok_slow" } }
    }"#;
    let request = Request::post("sandbox://main/payments")
        .bearer(&Secret::from("sk_sandbox_main"))
        .header("idempotency-key", "k1")
        .body("application/json", body.as_bytes().to_vec());
    let transport = caller.sandbox.transport();
    let mut sent = pin!(transport.send(request));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sent.as_mut().poll(&mut cx).is_pending(), "it is being worked on");
    assert_eq!(scratch.open(2).ledger().sends().len(), 1);
}

#[test]
fn a_change_that_panics_leaves_no_lock() {
    #[derive(Debug)]
    struct Broken;

    #[async_trait]
    impl Clock for Broken {
        fn now(&self) -> Timestamp {
            panic!("the host's own")
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        async fn sleep(&self, _: Duration) {}
    }

    let scratch = Scratch::new("panic");
    let other = scratch.open(1);
    let sandbox = Sandbox::seeded(7).clock(Arc::new(Broken));
    let sandbox = sandbox.ledger_file(&scratch.0).unwrap();
    catch_unwind(AssertUnwindSafe(|| sandbox.ledger())).unwrap_err();
    let file = fs::File::open(&scratch.0).unwrap();
    file.try_lock().unwrap();
    file.unlock().unwrap();
    other.approved("tok_approve", CaptureMethod::Automatic);
}
