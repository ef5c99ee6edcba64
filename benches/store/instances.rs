//! Two instances at once, beside two bare programs and two clients of pgbench.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::database::Database;
use super::payment::Payment;
use super::postgres::{Bare, PAYMENTS, Pgbench, Statements, open};
use super::table::{hundredths, quartiles};
use super::{SLICES, commit};

/// How much more two of them do than one, beside what bare programs and pgbench gain by a second client.
pub(crate) fn instances(
    payment: &Payment,
    database: &Database,
    schemas: [&str; 2],
    pgbench: Option<&Pgbench>,
) {
    let [ours, bare] = schemas;
    let (mut instances, mut programs, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    let gain = |alone: u128, both: u128| both * 1_000 / alone.max(1);
    for slice in 0..SLICES {
        let [alone, both] = [1, 2].map(|count| {
            at_once(count, async |which, start| {
                let store = open(database, ours).await;
                let pay = async || drop(commit(&store, payment, slice + which, 1).await);
                until(pay, start).await
            })
        });
        instances.push(gain(alone, both));
        let [alone, both] = [1, 2].map(|count| {
            at_once(count, async |_, start| {
                let mut bare = Bare::at(database, bare).await;
                let pay = async || {
                    for batch in payment.again() {
                        bare.commit(&batch, Statements::One).await;
                    }
                };
                until(pay, start).await
            })
        });
        programs.push(gain(alone, both));
        if let Some(pgbench) = pgbench {
            let [alone, both] = [1, 2].map(|clients| pgbench.payments_in_a_second(clients));
            clients.push(gain(alone, both));
        }
    }
    for (who, mut gains) in [
        ("Two instances commit", instances),
        ("Two bare programs of one statement commit", programs),
        ("Two clients of pgbench commit", clients),
    ] {
        if gains.is_empty() {
            continue;
        }
        gains.sort_unstable();
        let [low, median, high] = quartiles(&gains).map(hundredths);
        println!("{who} {median} × as much as one ({low} to {high}).");
    }
    println!();
}

/// What so many programs make together, each in a thread and a runtime of its own.
fn at_once(count: usize, program: impl AsyncFn(usize, &Barrier) -> u128 + Sync) -> u128 {
    let (start, program) = (&Barrier::new(count), &program);
    std::thread::scope(|scope| {
        let run = |which: usize| {
            move || {
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
                tokio.unwrap().block_on(program(which, start))
            }
        };
        let programs: Vec<_> = (0..count).map(|which| scope.spawn(run(which))).collect();
        programs.into_iter().map(|program| program.join().unwrap()).sum()
    })
}

/// How many payments are committed in a time that starts for all programs at once, when each has its plans.
async fn until(mut pay: impl AsyncFnMut(), start: &Barrier) -> u128 {
    const TIME: Duration = Duration::from_millis(500);
    for _ in 0..PAYMENTS {
        pay().await;
    }
    start.wait();
    let (started, mut made) = (Instant::now(), 0);
    while started.elapsed() < TIME {
        pay().await;
        made += 1;
    }
    made
}
