use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::circuit::WhenAllOpen;
use super::*;
use crate::id::ConnectorId;

mod circuits;
mod regret;

const MINUTE: i64 = 60;
const NOON: i64 = 1_800_000_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOON + secs)
}

fn account(name: &str) -> AccountRef {
    AccountRef::new(ConnectorId::from_static("acme"), name)
}

fn health() -> Health {
    Health::new(HealthSettings::default()).unwrap()
}

fn visa(account: &AccountRef) -> Segment<'_> {
    Segment {
        account,
        method: MethodKind::CardToken,
        via: Some("visa"),
        currency: Currency::EUR,
    }
}

fn count(health: &mut Health, segment: Segment<'_>, verdict: Sign, times: usize, secs: i64) {
    for _ in 0..times {
        let sample = Sample::of(segment, 1, verdict, Duration::from_millis(300));
        health.record(&sample, at(secs));
    }
}

#[test]
fn a_rate_is_of_what_was_tried() {
    let main = account("main");
    let standing = health().standing(&visa(&main), at(0));
    assert_eq!((standing.rate_ppm, standing.tried), (None, 0));
    assert_eq!(standing.circuit, Circuit::Closed);
    for (signs, rate) in [
        ([8, 2, 0, 0, 0], 800_000),
        ([8, 2, 90, 0, 0], 800_000), // hard declines are the issuer's
        ([6, 2, 0, 1, 1], 600_000),
        ([0, 0, 0, 0, 5], 0),
        ([1, 2, 0, 0, 0], 333_333),
    ] {
        let mut health = health();
        let all = [
            Sign::Approved,
            Sign::SoftDecline,
            Sign::HardDecline,
            Sign::NotExecuted,
            Sign::Unknown,
        ];
        for (sign, times) in all.into_iter().zip(signs) {
            count(&mut health, visa(&main), sign, times, 0);
        }
        let standing = health.standing(&visa(&main), at(0));
        assert_eq!(standing.rate_ppm, Some(rate), "{signs:?}");
        assert_eq!(standing.counts.hard_declined as usize, signs[2]);
        assert_eq!(standing.tried as usize, signs.iter().sum::<usize>() - signs[2]);
    }
    let mut health = health();
    count(&mut health, visa(&main), Sign::HardDecline, 9, 0);
    assert_eq!(
        health.standing(&visa(&main), at(0)).rate_ppm,
        None,
        "nothing was tried"
    );
}

#[test]
fn later_attempts_are_counted_beside_by_their_number() {
    let main = account("main");
    let mut health = health();
    for (attempt, verdict, times) in [
        (1, Sign::Approved, 4),
        (2, Sign::SoftDecline, 3),
        (3, Sign::NotExecuted, 2),
        (4, Sign::Approved, 1),
        (u32::MAX, Sign::Approved, 1),
    ] {
        for _ in 0..times {
            let sample = Sample::of(visa(&main), attempt, verdict, Duration::ZERO);
            health.record(&sample, at(0));
        }
    }
    let standing = health.standing(&visa(&main), at(0));
    assert_eq!((standing.rate_ppm, standing.tried), (Some(1_000_000), 4));
    let by_attempt = health.by_attempt(&main, MethodKind::CardToken, at(0));
    assert_eq!(by_attempt.map(|counts| counts.approved), [4, 0, 0, 2]);
    assert_eq!(by_attempt.map(|counts| counts.soft_declined), [0, 3, 0, 0]);
    assert_eq!(by_attempt.map(|counts| counts.not_executed), [0, 0, 2, 0]);
    assert_eq!(
        standing.failed_ppm,
        Some(181_818),
        "2 of 11: failures are of all attempts"
    );
}

#[test]
fn old_counts_lose_half_their_weight_with_each_half_life() {
    let main = account("main");
    let mut health = health();
    count(&mut health, visa(&main), Sign::Approved, 100, 0);
    let tried = |health: &Health, minutes: i64| health.standing(&visa(&main), at(minutes * MINUTE)).tried;
    assert_eq!(tried(&health, 0), 100);
    assert_eq!(tried(&health, 30), 50);
    assert_eq!(tried(&health, 60), 25);
    assert!(tried(&health, 149) > 0);
    assert_eq!(tried(&health, 151), 0, "five half-lives");

    count(&mut health, visa(&main), Sign::SoftDecline, 100, 30 * MINUTE);
    let standing = health.standing(&visa(&main), at(30 * MINUTE));
    assert_eq!(
        standing.rate_ppm,
        Some(333_333),
        "50 of 150: the new ones count twice"
    );
    health.expire(at(151 * MINUTE));
    assert_eq!(health.standing(&visa(&main), at(151 * MINUTE)).counts.approved, 0);
    health.expire(at(600 * MINUTE));
    assert_eq!(health.accounts.len(), 0, "nothing is left");
}

#[test]
fn a_standing_is_of_the_finest_level_with_tries_enough() {
    let main = account("main");
    let mut health = health(); // 30 tries are enough
    let other = |via, currency| Segment {
        via: Some(via),
        currency,
        ..visa(&main)
    };
    let wallet = Segment {
        method: MethodKind::Wallet,
        ..visa(&main)
    };
    let level = |health: &Health| {
        let standing = health.standing(&visa(&main), at(0));
        (standing.level, standing.tried, standing.counts_for)
    };
    count(&mut health, visa(&main), Sign::Approved, 10, 0);
    assert_eq!(level(&health), (Level::Account, 10, 10), "nowhere enough");
    count(&mut health, wallet, Sign::SoftDecline, 30, 0);
    assert_eq!(level(&health), (Level::Account, 40, 30));
    count(
        &mut health,
        other("mastercard", Currency::EUR),
        Sign::Approved,
        25,
        0,
    );
    assert_eq!(level(&health), (Level::Method, 35, 30));
    count(
        &mut health,
        other("visa", Currency::USD),
        Sign::SoftDecline,
        20,
        0,
    );
    assert_eq!(level(&health), (Level::Via, 30, 30));
    assert_eq!(health.standing(&visa(&main), at(0)).rate_ppm, Some(333_333));
    count(&mut health, visa(&main), Sign::Approved, 30, 0);
    assert_eq!(level(&health), (Level::Currency, 40, 40));

    let unknown = Segment {
        via: None,
        ..visa(&main)
    };
    assert_eq!(
        health.standing(&unknown, at(0)).level,
        Level::Method,
        "not visa's"
    );
    // What was enough fades, and the coarser level takes over.
    let later = health.standing(&visa(&main), at(30 * MINUTE));
    assert_eq!((later.level, later.tried), (Level::Via, 30));
}

#[test]
fn latency_is_of_answers() {
    let main = account("main");
    let mut health = health();
    for (verdict, millis) in [
        (Sign::Approved, 100),
        (Sign::HardDecline, 200),
        (Sign::SoftDecline, 600),
        (Sign::Unknown, 30_000),
    ] {
        let sample = Sample::of(visa(&main), 1, verdict, Duration::from_millis(millis));
        health.record(&sample, at(0));
    }
    let standing = health.standing(&visa(&main), at(0));
    assert_eq!(standing.latency, Some(Duration::from_millis(300)));
}

#[test]
fn the_segments_used_least_recently_go() {
    let main = account("main");
    let settings = HealthSettings {
        most_segments: 16,
        most_accounts: 3,
        ..HealthSettings::default()
    };
    let mut health = Health::new(settings).unwrap();
    let vias: Vec<String> = (0..100).map(|number| format!("bank-{number}")).collect();
    for (secs, via) in (0..).zip(&vias) {
        let bank = Segment {
            via: Some(via),
            ..visa(&main)
        };
        count(&mut health, visa(&main), Sign::Approved, 1, secs);
        count(&mut health, bank, Sign::SoftDecline, 1, secs);
        assert!(health.segments() <= 16);
    }
    let of = |via| {
        health.window(
            &Segment {
                via: Some(via),
                ..visa(&main)
            },
            Level::Currency,
        )
    };
    assert!(of("visa").is_some() && of("bank-99").is_some() && of("bank-0").is_none());
    let standing = health.standing(&visa(&main), at(100));
    assert_eq!(standing.counts.approved, 100, "it was in use all the while");
    let unseen = Segment {
        via: Some("new"),
        ..visa(&main)
    };
    assert_eq!(
        health.standing(&unseen, at(100)).tried,
        200,
        "what went still counts for its account"
    );

    for (secs, name) in (200..).zip(["a", "b", "c", "d"]) {
        count(&mut health, visa(&account(name)), Sign::Approved, 1, secs);
        assert!(health.accounts.len() <= 3);
    }
    assert!(health.accounts.contains_key(&account("d")));
    assert!(!health.accounts.contains_key(&main));

    let long = "é".repeat(100);
    let long = Segment {
        via: Some(&long),
        ..visa(&main)
    };
    count(&mut health, long, Sign::Approved, 1, 300);
    let names = health.accounts[&main].methods[&MethodKind::CardToken].vias.keys();
    assert!(names.clone().all(|via| via.len() <= LONGEST_VIA));
}

#[test]
fn settings_out_of_range_are_told_at_once() {
    let zero = CircuitSettings {
        window: Duration::ZERO,
        least_failures: 0,
        failure_share_ppm: 0,
        pause: Duration::ZERO,
        probe_every: Duration::ZERO,
        probes: 0,
    };
    let settings = HealthSettings {
        half_life: Duration::ZERO,
        least_tries: 0,
        most_segments: 0,
        most_accounts: 1 << 20,
        circuit: zero,
    };
    let faults = Health::new(settings).unwrap_err().faults().len();
    assert_eq!(faults, 10);
    let text = serde_json::to_string(&HealthSettings::default()).unwrap();
    assert_eq!(
        serde_json::from_str::<HealthSettings>(&text).unwrap(),
        HealthSettings::default()
    );
    let half_life: HealthSettings = serde_json::from_value(json!({"half_life_ms": 60_000})).unwrap();
    assert_eq!(half_life.half_life, Duration::from_secs(60));
}

#[test]
fn orders_keep_everybody_and_say_when_nobody_answers() {
    let open = Circuit::Open { until: at(9) };
    let ranked = closed_first(&[open, Circuit::Closed, open, Circuit::HalfOpen]);
    assert_eq!((ranked.order, ranked.all_open), (vec![1, 3, 0, 2], None));
    let all_open = closed_first(&[open, open]);
    assert_eq!(all_open.all_open, Some(AllOpen));
    assert_eq!(all_open.clone().settle(WhenAllOpen::TryAnyway), Ok(vec![0, 1]));
    assert_eq!(all_open.settle(WhenAllOpen::Refuse), Err(AllOpen));
    let nobody = closed_first(&[]);
    assert_eq!(nobody.all_open, None, "no account isn't an account that fails");
    assert_eq!(nobody.settle(WhenAllOpen::Refuse), Ok(vec![]));

    let main = account("main");
    let plain = health().standing(&visa(&main), at(0));
    let of = |failed_ppm, circuit, millis: Option<u64>| Standing {
        failed_ppm,
        circuit,
        latency: millis.map(Duration::from_millis),
        ..plain
    };
    let ranked = healthiest_first(&[
        of(Some(0), open, Some(1)),
        of(Some(9), Circuit::Closed, Some(1)),
        of(None, Circuit::Closed, None),
        of(Some(0), Circuit::Closed, Some(300)),
        of(Some(0), Circuit::Closed, Some(200)),
        of(Some(500_000), Circuit::HalfOpen, None),
    ]);
    assert_eq!(ranked.order, [5, 4, 3, 2, 1, 0]);
}

#[test]
fn a_row_replaces_the_older_of_its_instance_alone() {
    let main = account("main");
    let id = |name: &str| name.parse::<InstanceId>().unwrap();
    assert!("".parse::<InstanceId>().is_err());
    let board = |name| HealthBoard::new(id(name), HealthSettings::default()).unwrap();
    let (mut one, mut two) = (board("one"), board("two"));
    let sample = Sample::of(visa(&main), 1, Sign::Approved, Duration::ZERO);
    one.record(&sample, at(0));
    let older = one.snapshot(1 << 16);
    one.record(&sample, at(0));
    let newer = one.snapshot(1 << 16);

    two.record(&sample, at(0));
    let tried = |board: &HealthBoard| board.standing(&visa(&main), at(0)).tried;
    assert_eq!(two.take(id("one"), &newer, at(0)), Taken::Newer);
    assert_eq!(tried(&two), 3);
    for row in [&newer, &older] {
        assert_eq!(two.take(id("one"), row, at(0)), Taken::NoNewer);
        assert_eq!(tried(&two), 3);
    }
    assert_eq!(one.take(id("one"), &newer, at(0)), Taken::NoNewer, "its own");

    // The same instance, started anew.
    let mut again = board("one");
    assert_eq!(again.take(id("one"), &newer, at(0)), Taken::Resumed);
    assert_eq!(tried(&again), 2);
    again.record(&sample, at(1));
    assert_eq!(two.take(id("one"), &again.snapshot(1 << 16), at(9)), Taken::Newer);
    assert_eq!(tried(&two), 4);
    // Started anew without its row: the clock makes its revision higher all the same.
    let mut bare = board("one");
    bare.record(&sample, at(9));
    assert_eq!(two.take(id("one"), &bare.snapshot(1 << 16), at(9)), Taken::Newer);
    assert_eq!(tried(&two), 2);
    two.expire(at(600 * MINUTE));
    assert_eq!(two.others().count(), 0);
}

#[test]
fn a_row_of_a_later_release_is_read_as_far_as_it_is_known() {
    let main = account("main");
    let mut health = health();
    count(&mut health, visa(&main), Sign::Approved, 3, 0);
    let mut row = serde_json::to_value(health.snapshot(1 << 16)).unwrap();
    row["version"] = json!(7);
    row["weather"] = json!({"is": "fine"});
    let entries = row["entries"].as_array_mut().unwrap();
    for entry in entries.iter_mut() {
        entry["mood"] = json!("good");
        for counts in entry["rows"].as_array_mut().unwrap() {
            let counts = counts.as_array_mut().unwrap();
            counts.resize(7, json!(0));
            counts.push(json!(99));
        }
    }
    let with = |name: &str, value: Value| {
        let mut entry = entries_of(&health)[0].clone();
        entry[name] = value;
        entry
    };
    entries.insert(0, json!("a text"));
    entries.insert(0, with("method", json!("telepathy")));
    entries.insert(0, with("currency", json!("XYZ")));
    entries.insert(0, with("rows", json!([["x"]])));
    let read: HealthSnapshot = serde_json::from_value(row).unwrap();
    assert_eq!(read.version(), 7);
    let read = read.read(HealthSettings::default());
    assert_eq!(
        read.standing(&visa(&main), at(0)),
        health.standing(&visa(&main), at(0))
    );
}

fn entries_of(health: &Health) -> Vec<Value> {
    let row = serde_json::to_value(health.snapshot(1 << 16)).unwrap();
    row["entries"].as_array().unwrap().clone()
}

#[test]
fn a_row_of_this_form_is_read_by_all_later_releases() {
    let row = r#"{"version":1,"revision":1800000000000,"bucket_ms":450000,"newest":4000000,"tick_ms":5000,
        "newest_tick":360000000,"interval_ms":5000,"entries":[
        {"connector":"acme","account":"main","rows":[[4,900,3,1],[0,600,1,0,1,0,2]]},
        {"connector":"acme","account":"main","method":"card_token","rows":[[4,900,3,1],[0,600,1,0,1,0,2]],
         "later":[[[0,0,0,0,0,7]],[],[]],
         "circuit":{"ticks":[[0,2,9,1800000000000]],"probes":[360000000,1],
         "turn":{"at":"2027-01-15T08:00:00.000Z","to":"open"}}}]}"#;
    let health = serde_json::from_str::<HealthSnapshot>(row)
        .unwrap()
        .read(HealthSettings::default());
    let main = account("main");
    let standing = health.standing(&visa(&main), at(0));
    assert_eq!(standing.counts.approved, 3, "three at half weight, and one");
    assert_eq!(standing.counts.unknown, 2);
    assert_eq!(standing.circuit, Circuit::Open { until: at(30) });
    let later = health.by_attempt(&main, MethodKind::CardToken, at(0));
    assert_eq!(later[1].not_executed, 7);
}

#[test]
fn other_bucket_lengths_are_brought_to_ones_own() {
    let main = account("main");
    let mut other = health();
    for minute in 0..60 {
        count(&mut other, visa(&main), Sign::Approved, 10, minute * MINUTE);
    }
    let settings = HealthSettings {
        half_life: Duration::from_secs(10 * 60),
        ..HealthSettings::default()
    };
    let read = other.snapshot(1 << 20).read(settings);
    let own = {
        let mut own = Health::new(settings).unwrap();
        for minute in 0..60 {
            count(&mut own, visa(&main), Sign::Approved, 10, minute * MINUTE);
        }
        own.standing(&visa(&main), at(60 * MINUTE)).tried
    };
    let read = read.standing(&visa(&main), at(60 * MINUTE)).tried;
    assert!(
        read.abs_diff(own) * 4 <= own,
        "{read} of {own}: as well as the longer buckets let it"
    );
}

/// An attempt, at one of three instances.
#[derive(Clone, Debug)]
struct Event {
    instance: usize,
    account: usize,
    via: usize,
    currency: usize,
    method: usize,
    attempt: u32,
    verdict: Sign,
    secs: i64,
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop_oneof![
        Just(Sign::Approved),
        Just(Sign::SoftDecline),
        Just(Sign::HardDecline),
        Just(Sign::NotExecuted),
        Just(Sign::Unknown),
    ];
    let place = (0..3_usize, 0..3_usize, 0..3_usize, 0..2_usize, 0..2_usize);
    let event = (place, 1..5_u32, verdict, 0..12_000_i64);
    event.prop_map(|(place, attempt, verdict, secs)| {
        let (instance, account, via, currency, method) = place;
        Event {
            instance,
            account,
            via,
            currency,
            method,
            attempt,
            verdict,
            secs,
        }
    })
}

fn accounts() -> Vec<AccountRef> {
    ["a", "b", "c"].map(account).to_vec()
}

fn segment<'a>(event: &Event, accounts: &'a [AccountRef]) -> Segment<'a> {
    Segment {
        account: &accounts[event.account],
        method: [MethodKind::CardToken, MethodKind::Wallet][event.method],
        via: [None, Some("visa"), Some("amex")][event.via],
        currency: [Currency::EUR, Currency::JPY][event.currency],
    }
}

fn recorded(events: &[Event], by: impl Fn(&Event) -> bool) -> Health {
    let accounts = accounts();
    let mut health = health();
    for event in events.iter().filter(|event| by(event)) {
        let latency = Duration::from_millis(event.secs.unsigned_abs());
        let sample = Sample::of(segment(event, &accounts), event.attempt, event.verdict, latency);
        health.record(&sample, at(event.secs));
        if event.verdict == Sign::HardDecline {
            health.probing(sample.account, sample.method, at(event.secs));
        }
    }
    health
}

fn merged(one: &Health, other: &Health) -> Health {
    let mut sum = one.clone();
    sum.merge(other);
    sum
}

#[test]
fn a_row_of_a_clock_gone_wrong_pushes_nothing_out() {
    let main = account("main");
    let id = |name: &str| name.parse::<InstanceId>().unwrap();
    let mut board = HealthBoard::new(id("own"), HealthSettings::default()).unwrap();
    let mut right = health();
    count(&mut right, visa(&main), Sign::Approved, 7, 0);
    let mut wrong = health();
    for hours in 10..60 {
        count(&mut wrong, visa(&main), Sign::Unknown, 9, hours * 60 * MINUTE);
    }
    board.take(id("right"), &right.snapshot(1 << 16), at(0));
    board.take(id("wrong"), &wrong.snapshot(1 << 16), at(0));
    assert_eq!(
        board.standing(&visa(&main), at(0)),
        right.standing(&visa(&main), at(0))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_is_commutative_and_associative(events in vec(event(), 0..120)) {
        let [a, b, c] = [0, 1, 2].map(|instance| recorded(&events, |event| event.instance == instance));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &health()), a);
    }

    #[test]
    fn the_sum_of_instances_counts_as_one_would(events in vec(event(), 1..120), probe in event()) {
        let parts = [0, 1, 2].map(|instance| recorded(&events, |event| event.instance == instance));
        let sum = parts.iter().fold(health(), |sum, part| merged(&sum, part));
        let one = recorded(&events, |_| true);
        let accounts = accounts();
        let segment = segment(&probe, &accounts);
        let own = one.standing(&segment, at(probe.secs));
        // A circuit may have turned in between, by what one alone can't know.
        let sum_ = Standing { circuit: own.circuit, ..sum.standing(&segment, at(probe.secs)) };
        prop_assert_eq!(sum_, own);
        prop_assert_eq!(
            sum.by_attempt(segment.account, segment.method, at(probe.secs)),
            one.by_attempt(segment.account, segment.method, at(probe.secs))
        );
    }

    #[test]
    fn a_board_is_the_sum_whatever_the_order_of_rows(
        events in vec(event(), 1..120),
        rows in vec((1..3_usize, any::<bool>()), 0..8),
        probe in event(),
    ) {
        let half = |event: &Event| event.secs < 6_000;
        let parts = [1, 2].map(|instance| {
            let mut sorted = events.clone();
            sorted.sort_by_key(|event| event.secs);
            let mine = |event: &Event| event.instance == instance;
            (recorded(&sorted, |event| mine(event) && half(event)), recorded(&sorted, mine))
        });
        let id = |number: usize| format!("instance-{number}").parse::<InstanceId>().unwrap();
        let mut board = HealthBoard::new(id(0), HealthSettings::default()).unwrap();
        let accounts = accounts();
        for event in events.iter().filter(|event| event.instance == 0) {
            let sample = Sample::of(segment(event, &accounts), event.attempt, event.verdict, Duration::ZERO);
            board.record(&sample, at(event.secs));
        }
        let last = [(1, true), (2, true)];
        for (instance, is_newer) in rows.into_iter().chain(last) {
            let (older, newer) = &parts[instance - 1];
            let row = if is_newer { newer } else { older };
            board.take(id(instance), &row.snapshot(1 << 20), at(12_000));
        }
        let segment = segment(&probe, &accounts);
        let sum = parts.iter().fold(board.own().clone(), |sum, (_, part)| merged(&sum, part));
        prop_assert_eq!(board.standing(&segment, at(probe.secs)), sum.standing(&segment, at(probe.secs)));
        prop_assert_eq!(board.together().standing(&segment, at(probe.secs)), sum.standing(&segment, at(probe.secs)));
    }

    #[test]
    fn a_row_reads_what_it_writes_and_is_no_longer_than_asked(
        events in vec(event(), 0..120),
        probe in event(),
        most in 200..9_000_usize,
    ) {
        let health = recorded(&events, |_| true);
        let text = serde_json::to_string(&health.snapshot(usize::MAX)).unwrap();
        let row: HealthSnapshot = serde_json::from_str(&text).unwrap();
        let read = row.read(HealthSettings::default());
        let accounts = accounts();
        let segment = segment(&probe, &accounts);
        prop_assert_eq!(read.standing(&segment, at(probe.secs)), health.standing(&segment, at(probe.secs)));
        prop_assert_eq!(
            read.by_attempt(segment.account, segment.method, at(probe.secs)),
            health.by_attempt(segment.account, segment.method, at(probe.secs))
        );
        let short = serde_json::to_string(&health.snapshot(most)).unwrap();
        prop_assert!(short.len() <= most, "{} of {}", short.len(), most);
        // What was left out is the finest: who is in it stands as before on the level of accounts.
        let short: HealthSnapshot = serde_json::from_str(&short).unwrap();
        for (account, counts) in short.read(HealthSettings::default()).accounts {
            prop_assert_eq!(&counts.all, &health.accounts[&account].all);
        }
    }

    #[test]
    fn what_is_dropped_by_age_changes_no_rate(events in vec(event(), 1..120), probe in event(), now in 0..24_000_i64) {
        let whole = recorded(&events, |_| true);
        let mut short = whole.clone();
        short.expire(at(now));
        let accounts = accounts();
        let segment = segment(&probe, &accounts);
        for secs in [now, now + 1_000] {
            let circuit = whole.standing(&segment, at(secs)).circuit;
            let short = Standing { circuit, ..short.standing(&segment, at(secs)) };
            prop_assert_eq!(short, whole.standing(&segment, at(secs)));
        }
    }

    #[test]
    fn rates_stay_in_their_bounds(events in vec(event(), 1..60), secs in any::<i64>(), seed in any::<u64>()) {
        let mut health = recorded(&events, |_| true);
        let accounts = accounts();
        let far = Timestamp::from_millis(secs);
        let sample = Sample::of(segment(&events[0], &accounts), 1, Sign::Unknown, Duration::MAX);
        health.record(&sample, far);
        let standings: Vec<(&AccountRef, Standing)> = events
            .iter()
            .map(|event| segment(event, &accounts))
            .map(|segment| (segment.account, health.standing(&segment, far)))
            .collect();
        for (_, standing) in &standings {
            prop_assert!(standing.rate_ppm.is_none_or(|rate| rate <= 1_000_000));
            prop_assert!(standing.failed_ppm.is_none_or(|rate| rate <= 1_000_000));
            prop_assert!(standing.counts_for <= standing.tried);
        }
        let ranked = by_success_rate(&standings, seed);
        prop_assert_eq!(&ranked, &by_success_rate(&standings, seed));
        let mut places = ranked.order;
        places.sort_unstable();
        prop_assert!(places.into_iter().eq(0..standings.len()));
        health.expire(far);
    }
}
