//! What a routing decision takes, by the number of rules: `cargo bench --bench routing`. Beside it, what the rules take to
//! compile, what each decision allocates, and what two threads decide together; what a plan with its explanation takes, a
//! count of an account's health, and a decision that is replayed. `benches/peers/` holds a decision beside others.
#![allow(clippy::unwrap_used, clippy::expect_used)] // it measures, and may panic
#![allow(
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    reason = "it measures time, and prints it"
)]

#[path = "routing/workload.rs"]
mod workload;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use paymux::routing::{
    ActiveProgram, Candidate, Explanation, Health, HealthSettings, Program, Route, Sample, Segment, Sign,
    replay,
};
use paymux::{AccountRef, ConnectorId, Currency, MethodKind, Timestamp};
use workload::Payment;

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// As many as stay in a processor's nearer caches, and as many as don't.
const WARM: usize = 512;
const COLD: usize = 20_000;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants it to compile and start
    }
    let mut criterion = Criterion::default().configure_from_args();
    for size in SIZES {
        let rules = workload::rules(size);
        let program = workload::program(&rules);
        let first = |payment: &Payment| program.decide(&payment.facts()).rule;
        for (payments, name) in [(WARM, "512 payments"), (COLD, "20,000 payments")] {
            let payments = workload::payments(&rules, payments, first);
            decide(
                &mut criterion,
                &program,
                &payments,
                &format!("decide: {size} rules, {name}"),
            );
        }
        compile(&mut criterion, size);
        let payments = workload::payments(&rules, WARM, first);
        explained(&mut criterion, &program, &payments, size);
        replayed(&mut criterion, &program, &payments, size);
    }
    counted(&mut criterion);
    criterion.final_summary();
    for size in SIZES {
        let rules = workload::rules(size);
        let program = workload::program(&rules);
        let first = |payment: &Payment| program.decide(&payment.facts()).rule;
        let payments = workload::payments(&rules, COLD, first);
        allocations(&program, &payments, size);
        threads(&program, &payments, size);
    }
}

fn decide(criterion: &mut Criterion, program: &Program, payments: &[Payment], name: &str) {
    let mut payments = payments.iter().cycle();
    criterion.bench_function(name, |bench| {
        bench.iter(|| {
            let payment = payments.next().unwrap();
            program.decide(black_box(&payment.facts())).rule
        });
    });
}

fn candidates() -> [Candidate; 3] {
    ["first", "second", "third"].map(|name| Candidate::new(account(name)))
}

fn account(name: &str) -> AccountRef {
    AccountRef::new(ConnectorId::from_static("sandbox"), name)
}

/// A decision, the order of the accounts, and all that is kept of why.
fn explained(criterion: &mut Criterion, program: &Program, payments: &[Payment], size: usize) {
    let (mut payments, candidates) = (payments.iter().cycle(), candidates());
    criterion.bench_function(&format!("plan, explained: {size} rules"), |bench| {
        bench.iter(|| {
            let payment = payments.next().unwrap();
            program.plan(black_box(&payment.facts()), &candidates)
        });
    });
}

/// A decision of the past, run through a program.
fn replayed(criterion: &mut Criterion, program: &Program, payments: &[Payment], size: usize) {
    let candidates = candidates();
    let kept = |payment: &Payment| {
        program
            .plan(&payment.facts(), &candidates)
            .explanation()
            .cloned()
            .unwrap()
    };
    let history: Vec<Explanation> = payments.iter().map(kept).collect();
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(history.len() as u64));
    group.bench_function(format!("{size} rules, {} decisions", history.len()), |bench| {
        bench.iter(|| {
            let replayed = replay(program, black_box(&history), |_done| {});
            assert_eq!(replayed.same, history.len() as u64);
        });
    });
    group.finish();
}

/// An attempt that is counted, and how its account stands after it.
fn counted(criterion: &mut Criterion) {
    let mut health = Health::new(HealthSettings::default()).unwrap();
    let account = account("first");
    let segment = Segment {
        account: &account,
        method: MethodKind::CardToken,
        via: Some("visa"),
        currency: Currency::EUR,
    };
    let mut millis = 0;
    criterion.bench_function("health: count an attempt", |bench| {
        bench.iter(|| {
            millis += 7;
            let verdict = match millis % 10 {
                0 => Sign::SoftDecline,
                _ => Sign::Approved,
            };
            let sample = Sample::of(segment, 1, verdict, Duration::from_millis(400));
            health.record(black_box(&sample), Timestamp::from_millis(millis));
        });
    });
    criterion.bench_function("health: how an account stands", |bench| {
        bench.iter(|| health.standing(black_box(&segment), Timestamp::from_millis(millis)));
    });
}

fn compile(criterion: &mut Criterion, size: usize) {
    let builder = workload::builder(&workload::rules(size));
    criterion.bench_function(&format!("compile: {size} rules"), |bench| {
        bench.iter_batched(
            || builder.clone(),
            |builder| builder.otherwise(Route::ordered(["sandbox"])).unwrap(),
            BatchSize::PerIteration,
        );
    });
}

fn allocations(program: &Program, payments: &[Payment], size: usize) {
    let counted = allocation_counter::measure(|| {
        for payment in payments {
            black_box(program.decide(&payment.facts()).rule);
        }
    });
    let each = counted.count_total as f64 / payments.len() as f64;
    println!("{size} rules: {each} allocations per decision");
}

/// Each thread decides on all payments, `ROUNDS` times; the rate of two beside that of one, by a program at hand and by
/// the one in force.
fn threads(program: &Program, payments: &[Payment], size: usize) {
    let active = ActiveProgram::new(program.clone());
    let own = |payment: &Payment| program.decide(&payment.facts()).rule;
    let in_force = |payment: &Payment| active.current().decide(&payment.facts()).rule;
    scaled(payments, &format!("{size} rules, one program"), &own);
    scaled(
        payments,
        &format!("{size} rules, the program in force"),
        &in_force,
    );
}

fn scaled(payments: &[Payment], name: &str, decide: &(impl Fn(&Payment) -> Option<usize> + Sync)) {
    const ROUNDS: usize = 5;
    let rate = |threads: usize| {
        let running = AtomicUsize::new(0);
        let timed = || {
            running.fetch_add(1, Ordering::SeqCst);
            while running.load(Ordering::SeqCst) < threads {
                std::hint::spin_loop(); // a thread that slept would begin after the other's end
            }
            let start = Instant::now();
            for payment in std::iter::repeat_n(payments, ROUNDS).flatten() {
                black_box(decide(payment));
            }
            (start, Instant::now())
        };
        let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let start = times.iter().map(|(start, _)| *start).min().unwrap();
        let end = times.iter().map(|(_, end)| *end).max().unwrap();
        (threads * ROUNDS * payments.len()) as f64 / (end - start).as_secs_f64()
    };
    let best = |threads: usize| (0..20).map(|_| rate(threads)).fold(0.0, f64::max);
    let (one, two) = (best(1), best(2));
    println!(
        "{name}: one thread {:.1} M decisions/s, two {:.1} M: {:.2} x",
        one / 1e6,
        two / 1e6,
        two / one
    );
}
