//! Circuits under sequences of faults.

use super::*;

const FAILED: Sign = Sign::NotExecuted;

fn circuit(health: &Health, secs: i64) -> Circuit {
    health.standing(&visa(&account("main")), at(secs)).circuit
}

fn open(until: i64) -> Circuit {
    Circuit::Open { until: at(until) }
}

/// What ended at a time, and how long it took.
fn ended(health: &mut Health, verdict: Sign, secs: i64, took: u64) {
    let main = account("main");
    let sample = Sample::of(visa(&main), 1, verdict, Duration::from_secs(took));
    health.record(&sample, at(secs));
}

fn all(health: &mut Health, verdict: Sign, seconds: impl IntoIterator<Item = i64>) {
    for secs in seconds {
        ended(health, verdict, secs, 0);
    }
}

#[test]
fn it_opens_by_failures_that_are_many_and_a_large_share() {
    // The share of failures, and whether five of them at least within a minute open it.
    for (answered, failed, is_open) in [
        (0, 4, false),
        (0, 5, true),
        (4, 5, true),
        (5, 5, true),
        (6, 5, false),
        (100, 60, false),
        (60, 100, true),
    ] {
        let mut health = health();
        all(&mut health, Sign::Approved, (0..answered).map(|_| 0));
        all(&mut health, FAILED, (0..failed).map(|_| 1));
        assert_eq!(
            circuit(&health, 1) != Circuit::Closed,
            is_open,
            "{answered} {failed}"
        );
    }
    let mut health = health();
    all(&mut health, FAILED, (0..40).map(|number| number * 20));
    assert_eq!(circuit(&health, 800), Circuit::Closed, "three a minute");
}

#[test]
fn it_opens_on_what_was_not_executed_and_on_doubt_alone() {
    let declines = [Sign::SoftDecline, Sign::HardDecline, Sign::Approved];
    for (verdict, opens) in declines
        .map(|verdict| (verdict, false))
        .into_iter()
        .chain([(FAILED, true), (Sign::Unknown, true)])
    {
        let mut health = health();
        all(&mut health, verdict, 0..30);
        assert_eq!(circuit(&health, 29) != Circuit::Closed, opens, "{verdict:?}");
    }
}

#[test]
fn it_pauses_probes_and_closes_at_the_first_answer() {
    let main = account("main");
    for answer in [Sign::Approved, Sign::SoftDecline, Sign::HardDecline] {
        let mut health = health();
        all(&mut health, FAILED, 0..5); // it opens at 4
        assert_eq!(circuit(&health, 4), open(34));
        assert_eq!(circuit(&health, 33), open(34));
        assert_eq!(circuit(&health, 34), Circuit::HalfOpen);
        health.probing(&main, MethodKind::CardToken, at(34));
        assert_eq!(
            circuit(&health, 34),
            open(35),
            "one per interval, which are of five seconds"
        );
        assert_eq!(circuit(&health, 35), Circuit::HalfOpen);
        health.probing(&main, MethodKind::CardToken, at(35));
        assert_eq!(circuit(&health, 36), open(40));
        ended(&mut health, answer, 37, 2);
        assert_eq!(circuit(&health, 37), Circuit::Closed, "{answer:?}");
        assert_eq!(
            circuit(&health, 40),
            Circuit::Closed,
            "what was before counts no more"
        );
        // It takes as many failures as before to open it again.
        all(&mut health, FAILED, 41..45);
        assert_eq!(circuit(&health, 45), Circuit::Closed);
        all(&mut health, FAILED, [46]);
        assert_eq!(circuit(&health, 46), open(76));
    }
}

#[test]
fn a_probe_that_fails_starts_the_pause_again() {
    let mut health = health();
    all(&mut health, FAILED, 0..5);
    health.probing(&account("main"), MethodKind::CardToken, at(40));
    ended(&mut health, Sign::Unknown, 50, 10);
    assert_eq!(circuit(&health, 50), open(80));
    assert_eq!(circuit(&health, 80), Circuit::HalfOpen);
    assert_eq!(
        circuit(&health, 9_000),
        Circuit::HalfOpen,
        "for as long as nobody tries"
    );
    health.expire(at(4_000));
    assert_eq!(circuit(&health, 4_000), Circuit::HalfOpen);
    health.expire(at(12_000));
    assert_eq!(circuit(&health, 12_000), Circuit::Closed, "nobody remembers");
}

#[test]
fn what_was_sent_before_it_opened_changes_nothing_after() {
    let mut health = health();
    all(&mut health, FAILED, 0..5);
    ended(&mut health, Sign::Approved, 6, 10);
    assert_eq!(circuit(&health, 6), open(34), "approved before it broke down");
    ended(&mut health, Sign::Unknown, 20, 30);
    assert_eq!(circuit(&health, 20), open(34), "timed out since it broke down");
    // Tried anyway, since there was nowhere else to go.
    ended(&mut health, Sign::Unknown, 25, 2);
    assert_eq!(circuit(&health, 25), open(55));
    ended(&mut health, Sign::SoftDecline, 30, 2);
    assert_eq!(circuit(&health, 30), Circuit::Closed);
}

#[test]
fn it_is_a_failure_that_opens_it_and_not_that_answers_lie_further_back() {
    let mut health = health();
    all(&mut health, Sign::Approved, [0, 0, 0, 0, 0, 0]);
    all(&mut health, FAILED, [30, 31, 32, 33, 34]);
    for secs in [34, 50, 60, 70, 90] {
        assert_eq!(circuit(&health, secs), Circuit::Closed, "5 of 11, {secs}");
    }
    all(&mut health, FAILED, [60]);
    assert_eq!(circuit(&health, 60), open(90), "6 of 6");
}

#[test]
fn as_many_probes_go_in_an_interval_as_it_has() {
    let mut settings = HealthSettings::default();
    settings.circuit.probes = 3;
    let mut one = Health::new(settings).unwrap();
    let mut two = one.clone();
    all(&mut one, FAILED, 0..5);
    let probing = |health: &mut Health| health.probing(&account("main"), MethodKind::CardToken, at(36));
    probing(&mut one);
    probing(&mut one);
    assert_eq!(circuit(&one, 37), Circuit::HalfOpen);
    probing(&mut two);
    one.merge(&two);
    assert_eq!(circuit(&one, 37), open(40));
    assert_eq!(circuit(&one, 40), Circuit::HalfOpen);
}

#[test]
fn failures_that_were_few_stay_few_when_what_was_before_them_is_forgotten() {
    let mut health = health();
    all(&mut health, Sign::Approved, (0..10).map(|tick| tick * 5));
    all(&mut health, FAILED, [50, 50, 50, 50, 50]);
    for secs in (50..600).step_by(5) {
        assert_eq!(circuit(&health, secs), Circuit::Closed, "5 of 15, {secs}");
        all(&mut health, Sign::Approved, [secs]);
    }
}

#[test]
fn it_is_of_an_account_and_a_method() {
    let mut health = health();
    all(&mut health, FAILED, 0..5);
    let main = account("main");
    let of = |segment: Segment<'_>| health.standing(&segment, at(5)).circuit;
    let wallet = Segment {
        method: MethodKind::Wallet,
        ..visa(&main)
    };
    assert_eq!(of(wallet), Circuit::Closed);
    assert_eq!(of(visa(&account("other"))), Circuit::Closed);
    let amex = Segment {
        via: Some("amex"),
        currency: Currency::USD,
        ..visa(&main)
    };
    assert_eq!(of(amex), open(34));
}

#[test]
fn instances_open_and_close_it_together() {
    let main = account("main");
    let id = |name: &str| name.parse::<InstanceId>().unwrap();
    let board = |name| HealthBoard::new(id(name), HealthSettings::default()).unwrap();
    let (mut one, mut two) = (board("one"), board("two"));
    let record = |board: &mut HealthBoard, verdict, secs| {
        let sample = Sample::of(visa(&main), 1, verdict, Duration::from_millis(100));
        board.record(&sample, at(secs));
    };
    let circuit = |board: &HealthBoard, secs| board.standing(&visa(&main), at(secs)).circuit;
    for secs in 0..3 {
        record(&mut one, FAILED, secs);
        record(&mut two, FAILED, secs);
    }
    assert_eq!(circuit(&one, 3), Circuit::Closed, "each has three");
    assert_eq!(circuit(&two, 3), Circuit::Closed);
    let read = |to: &mut HealthBoard, from: &HealthBoard| {
        to.take(from.instance().clone(), &from.snapshot(1 << 16), at(60));
    };
    read(&mut two, &one);
    assert_eq!(circuit(&two, 3), open(32), "by both there are six, the last at 2");
    assert_eq!(circuit(&one, 3), Circuit::Closed, "it hasn't read yet");
    record(&mut two, FAILED, 4);
    assert_eq!(
        circuit(&two, 4),
        open(34),
        "and one that was sent after it opened starts the pause again"
    );
    read(&mut one, &two);
    assert_eq!(circuit(&one, 5), open(34));

    one.probing(&main, MethodKind::CardToken, at(40));
    assert_eq!(circuit(&one, 41), open(45));
    assert_eq!(circuit(&two, 41), Circuit::HalfOpen, "it hasn't read yet");
    read(&mut two, &one);
    assert_eq!(circuit(&two, 41), open(45));
    record(&mut one, Sign::HardDecline, 42);
    assert_eq!(circuit(&one, 42), Circuit::Closed);
    read(&mut two, &one);
    assert_eq!(circuit(&two, 43), Circuit::Closed);
    record(&mut two, FAILED, 50);
    assert_eq!(
        circuit(&two, 50),
        Circuit::Closed,
        "what both had counted is over"
    );
}

#[test]
fn a_clock_gone_wrong_keeps_no_circuit_open() {
    let main = account("main");
    let mut wrong = health();
    let ahead = 10 * 3_600;
    all(&mut wrong, FAILED, ahead..ahead + 5);
    let mut health = health();
    health.merge(&wrong);
    assert_eq!(circuit(&health, 0), Circuit::Closed);
    all(&mut health, FAILED, 0..5);
    assert_ne!(circuit(&health, 5), Circuit::Closed, "its own failures count");
    assert_eq!(health.standing(&visa(&main), at(5)).tried, 5);
}

/// A circuit as a plain list of what happened tells it.
fn told_by_history(history: &[(i64, Sign)], now: i64) -> &'static str {
    let mut since = i64::MIN;
    let mut opened = None;
    for (place, (secs, verdict)) in history.iter().enumerate() {
        match (opened, verdict.is_answer()) {
            (Some(at), true) if *secs > at => {
                since = secs.div_euclid(5) * 5 + 5;
                opened = None;
            }
            (Some(at), false) if *secs > at => opened = Some(*secs),
            (Some(_), _) => {}
            (None, _) => {
                let first = secs.div_euclid(5) * 5 - 55;
                let window = &history[..=place];
                let window = window.iter().filter(|(at, _)| *at >= first && *at >= since);
                let failed = window.clone().filter(|(_, verdict)| !verdict.is_answer()).count();
                if !verdict.is_answer() && failed >= 5 && failed * 2 >= window.count() {
                    opened = Some(*secs);
                }
            }
        }
    }
    match opened {
        None => "closed",
        Some(at) if now < at + 30 => "open",
        Some(_) => "half open",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_is_what_its_history_tells(
        steps in vec((0..12_i64, prop_oneof![3 => Just(FAILED), 1 => Just(Sign::SoftDecline)]), 1..60),
    ) {
        let mut health = health();
        let mut history = Vec::new();
        let mut secs = 0;
        for (wait, verdict) in steps {
            secs += wait;
            ended(&mut health, verdict, secs, 0);
            history.push((secs, verdict));
            let told = match circuit(&health, secs) {
                Circuit::Closed => "closed",
                Circuit::Open { .. } => "open",
                Circuit::HalfOpen => "half open",
            };
            prop_assert_eq!(told, told_by_history(&history, secs), "{:?}", history);
        }
    }
}
