//! A routing decision by paymux beside what a host would otherwise make it with: expression engines, a loop in Rust, and as
//! the floor a bare index of bits that knows nothing but this workload. From the root:
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! All get the same programs and payments, and have to agree on every decision before anything is timed. The table is
//! written beside the binary as JSON, too.
#![allow(clippy::disallowed_methods, reason = "it measures time, and prints it")]

mod by_hand;
mod expressions;
mod floor;
#[path = "../../routing/workload.rs"]
mod workload;

use std::hint::black_box;
use std::time::{Duration, Instant};

use expressions::{Cel, Evalexpr, Rhai, Zen};
use floor::Floor;
use paymux::routing::Program;
use serde_json::json;
use workload::{Payment, Rule};

/// How many rules a program has; how many decisions on it all agree upon, and how many more the fast ones do.
const SIZES: [(usize, usize, usize); 4] = [
    (10, 60_000, 60_000),
    (100, 30_000, 30_000),
    (1_000, 9_700, 20_000),
    (10_000, 300, 20_000),
];
/// As many as stay in a processor's nearer caches.
const WARM: usize = 512;
/// What is timed takes at least so long, at least so often; the fastest counts, since other programs only ever slow it down.
const ROUND: Duration = Duration::from_millis(10);
const ROUNDS: usize = 3;
const TOGETHER: Duration = Duration::from_millis(600);
/// Of a slow peer: so long for one pass over its payments, which are at least so many.
const PASS: Duration = Duration::from_millis(100);
const FEWEST: usize = 64;

/// Something that decides.
trait Peer {
    const NAME: &'static str;
    /// What it reads a payment from, made before it is timed.
    type Payment;

    fn of(rules: &[Rule]) -> Self;
    fn payment(&self, payment: &Payment) -> Self::Payment;
    fn first(&self, payment: &Self::Payment) -> Option<usize>;
}

struct Paymux(Program);

impl Peer for Paymux {
    const NAME: &'static str = "paymux";
    type Payment = Payment;

    fn of(rules: &[Rule]) -> Self {
        Self(workload::program(rules))
    }

    fn payment(&self, payment: &Payment) -> Payment {
        payment.clone()
    }

    fn first(&self, payment: &Payment) -> Option<usize> {
        self.0.decide(&payment.facts()).rule
    }
}

struct Loop(Vec<Rule>);

impl Peer for Loop {
    const NAME: &'static str = "loop in Rust";
    type Payment = Payment;

    fn of(rules: &[Rule]) -> Self {
        Self(rules.to_vec())
    }

    fn payment(&self, payment: &Payment) -> Payment {
        payment.clone()
    }

    fn first(&self, payment: &Payment) -> Option<usize> {
        by_hand::first(&self.0, payment)
    }
}

impl Peer for Floor {
    const NAME: &'static str = "bare index";
    type Payment = Payment;

    fn of(rules: &[Rule]) -> Self {
        Self::of(rules)
    }

    fn payment(&self, payment: &Payment) -> Payment {
        payment.clone()
    }

    fn first(&self, payment: &Payment) -> Option<usize> {
        self.first(payment)
    }
}

/// What is known of one peer.
#[derive(Default)]
struct Line {
    name: &'static str,
    agreed: usize,
    /// By program; the second over all its payments, where it is fast.
    nanoseconds: Vec<(f64, Option<f64>)>,
}

fn main() {
    let mut lines: [Line; 7] = Default::default();
    for (size, few, many) in SIZES {
        let rules = workload::rules(size);
        let paymux = Paymux::of(&rules);
        let payments = workload::payments(&rules, many, |payment| paymux.first(payment));
        let decided: Vec<_> = payments
            .iter()
            .map(|payment| by_hand::first(&rules, payment))
            .collect();
        let world = World {
            rules,
            payments,
            decided,
        };
        let [ours, floor, own, zen, cel, rhai, evalexpr] = &mut lines;
        let ours = (ours, Agreed::<Paymux>::of(&world, many));
        let floor = (floor, Agreed::<Floor>::of(&world, many));
        let own = (own, Agreed::<Loop>::of(&world, many));
        let zen = (zen, Agreed::<Zen>::of(&world, few));
        let cel = (cel, Agreed::<Cel>::of(&world, few));
        let rhai = (rhai, Agreed::<Rhai>::of(&world, few));
        let evalexpr = (evalexpr, Agreed::<Evalexpr>::of(&world, few));
        eprintln!("{size} rules: all agree");
        ours.1.time(ours.0, true);
        floor.1.time(floor.0, true);
        own.1.time(own.0, true);
        zen.1.time(zen.0, false);
        cel.1.time(cel.0, false);
        rhai.1.time(rhai.0, false);
        evalexpr.1.time(evalexpr.0, false);
    }
    print(&lines);
    let path = std::env::current_exe()
        .unwrap()
        .with_file_name("routing_peers.json");
    std::fs::write(&path, format!("{:#}\n", told(&lines))).unwrap();
    println!("\nas JSON: {}", path.display());
}

/// A program, payments, and what the loop decided on each.
struct World {
    rules: Vec<Rule>,
    payments: Vec<Payment>,
    decided: Vec<Option<usize>>,
}

/// A peer that decided as the loop did.
struct Agreed<P: Peer> {
    peer: P,
    payments: Vec<P::Payment>,
}

impl<P: Peer> Agreed<P> {
    fn of(world: &World, count: usize) -> Self {
        let peer = P::of(&world.rules);
        let mut payments = Vec::new();
        for (payment, decided) in world.payments.iter().zip(&world.decided).take(count) {
            let read = peer.payment(payment);
            assert_eq!(
                peer.first(&read),
                *decided,
                "{} decides otherwise: {payment:?}",
                P::NAME
            );
            payments.push(read);
        }
        Self { peer, payments }
    }

    fn time(&self, line: &mut Line, fast: bool) {
        line.name = P::NAME;
        line.agreed += self.payments.len();
        let start = Instant::now();
        let warm = self.payments.iter().take(WARM).take_while(|payment| {
            black_box(self.peer.first(payment));
            start.elapsed() < PASS
        });
        let warm = warm.count().max(FEWEST) & !1; // of each two, one matches
        let cold = fast.then(|| self.timed(&self.payments));
        line.nanoseconds.push((self.timed(&self.payments[..warm]), cold));
    }

    /// Nanoseconds per decision.
    fn timed(&self, payments: &[P::Payment]) -> f64 {
        let (start, mut rounds, mut fastest) = (Instant::now(), 0, f64::INFINITY);
        while rounds < ROUNDS || start.elapsed() < TOGETHER {
            let (start, mut passes) = (Instant::now(), 0);
            while passes == 0 || start.elapsed() < ROUND {
                for payment in payments {
                    black_box(self.peer.first(black_box(payment)));
                }
                passes += 1;
            }
            let each = start.elapsed().as_nanos() as f64 / (passes * payments.len()) as f64;
            fastest = fastest.min(each);
            rounds += 1;
        }
        fastest
    }
}

fn print(lines: &[Line]) {
    println!("\nns per decision; in brackets, times paymux; half of the payments match a rule, half none\n");
    print!("{:16}", "rules");
    SIZES.iter().for_each(|(size, ..)| print!("{size:>24}"));
    println!("{:>14}", "agreed on");
    let ours = &lines[0].nanoseconds;
    for line in lines {
        print!("{:16}", line.name);
        for ((warm, _), (unit, _)) in line.nanoseconds.iter().zip(ours) {
            print!("{:>24}", format!("{warm:.0} ({:.2})", warm / unit));
        }
        println!("{:>14}", line.agreed);
    }
    println!("\nthe same over all payments, 20,000 or more\n");
    for line in lines.iter().filter(|line| line.nanoseconds[0].1.is_some()) {
        print!("{:16}", line.name);
        for (cold, unit) in line.nanoseconds.iter().zip(ours) {
            if let (Some(cold), Some(unit)) = (cold.1, unit.1) {
                print!("{:>24}", format!("{cold:.0} ({:.2})", cold / unit));
            }
        }
        println!();
    }
}

fn told(lines: &[Line]) -> serde_json::Value {
    let peer = |line: &Line| {
        let sizes = SIZES.iter().zip(&line.nanoseconds).zip(&lines[0].nanoseconds);
        let sizes = sizes.map(|(((size, ..), (warm, cold)), (unit, _))| {
            json!({
                "rules": size,
                "nanoseconds": warm,
                "times_paymux": warm / unit,
                "nanoseconds_over_all_payments": cold,
            })
        });
        json!({ "name": line.name, "agreed_on": line.agreed, "decisions": sizes.collect::<Vec<_>>() })
    };
    json!({ "peers": lines.iter().map(peer).collect::<Vec<_>>() })
}
