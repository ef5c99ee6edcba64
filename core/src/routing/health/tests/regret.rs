//! What an order by success rate costs against always knowing the best, on seeded simulations.

use super::*;

/// A source of numbers, for the simulation alone (Marsaglia's xorshift).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 10_000 < percent * 100
    }
}

struct Run {
    /// Where each payment went first.
    went: Vec<usize>,
    approved: usize,
}

impl Run {
    fn share_percent(&self, account: usize, payments: std::ops::Range<usize>) -> usize {
        let went = &self.went[payments];
        went.iter().filter(|to| **to == account).count() * 100 / went.len()
    }
}

/// One payment each 2 seconds; the approval rates of three accounts, in percent, by payment.
fn simulate(seed: u64, payments: usize, rates: impl Fn(usize) -> [u64; 3]) -> Run {
    let mut seeded = Seeded(seed);
    let accounts = accounts();
    let mut health = health();
    let mut run = Run {
        went: Vec::new(),
        approved: 0,
    };
    for payment in 0..payments {
        let secs = payment as i64 / 2;
        let standings = each_standing(&accounts, &health, secs);
        let place = by_success_rate(&standings, seeded.next()).order[0];
        let is_approved = seeded.chance(rates(payment)[place]);
        let verdict = match is_approved {
            true => Sign::Approved,
            false => Sign::SoftDecline,
        };
        count(&mut health, visa(&accounts[place]), verdict, 1, secs);
        run.went.push(place);
        run.approved += usize::from(is_approved);
    }
    run
}

fn each_standing<'a>(
    accounts: &'a [AccountRef],
    health: &Health,
    secs: i64,
) -> Vec<(&'a AccountRef, Standing)> {
    let each = accounts.iter();
    each.map(|account| (account, health.standing(&visa(account), at(secs))))
        .collect()
}

const PAYMENTS: usize = 20_000;

#[test]
fn most_payments_go_to_the_best() {
    for seed in 1..=4 {
        let run = simulate(seed, PAYMENTS, |_| [88, 91, 94]);
        let best = run.share_percent(2, 0..PAYMENTS);
        // Round robin is approved 91 % of the time, the best alone 94 %: two thirds of that are won.
        assert!(best >= 80, "{best} %");
        assert!(run.approved >= PAYMENTS * 930 / 1_000, "{}", run.approved);
    }
}

#[test]
fn a_change_of_the_best_is_found_within_two_thousand_payments() {
    const CHANGED: usize = 10_000;
    for seed in 1..=4 {
        let run = simulate(seed, PAYMENTS, |payment| {
            if payment < CHANGED {
                [88, 91, 94]
            } else {
                [96, 91, 85]
            }
        });
        let found = (CHANGED..PAYMENTS - 500)
            .find(|payment| run.share_percent(0, *payment..payment + 500) >= 50)
            .map(|payment| payment - CHANGED);
        assert!(found.is_some_and(|after| after <= 2_000), "{found:?}");
    }
}

#[test]
fn instances_that_read_each_other_late_find_the_best_together() {
    let mut seeded = Seeded(5);
    let accounts = accounts();
    let mut boards: Vec<HealthBoard> = (0..3)
        .map(|number| format!("instance-{number}").parse().unwrap())
        .map(|instance| HealthBoard::new(instance, HealthSettings::default()).unwrap())
        .collect();
    let mut to_best = 0;
    const ALL: usize = 9_000;
    for payment in 0..ALL {
        let secs = payment as i64 / 20;
        if payment % 200 == 0 {
            let rows: Vec<_> = boards
                .iter()
                .map(|board| (board.instance().clone(), board.snapshot(1 << 16)))
                .collect();
            for board in &mut boards {
                for (instance, row) in &rows {
                    board.take(instance.clone(), row, at(secs));
                }
            }
        }
        let board = &mut boards[payment % 3];
        let standings: Vec<(&AccountRef, Standing)> = accounts
            .iter()
            .map(|account| (account, board.standing(&visa(account), at(secs))))
            .collect();
        let place = by_success_rate(&standings, seeded.next()).order[0];
        let verdict = match seeded.chance([88, 91, 94][place]) {
            true => Sign::Approved,
            false => Sign::SoftDecline,
        };
        let sample = Sample::of(visa(&accounts[place]), 1, verdict, Duration::from_millis(300));
        board.record(&sample, at(secs));
        to_best += usize::from(place == 2);
    }
    assert!(to_best * 100 >= ALL * 70, "{to_best} of {ALL}, ten seconds late");
}

#[test]
fn an_account_without_data_is_tried_and_found() {
    let accounts = accounts();
    let mut health = health();
    for account in &accounts[..2] {
        count(&mut health, visa(account), Sign::Approved, 450, 0);
        count(&mut health, visa(account), Sign::SoftDecline, 50, 0);
    }
    let standings = each_standing(&accounts, &health, 0);
    let first = |place| {
        let seeds = 0..1_000;
        seeds
            .filter(|seed| by_success_rate(&standings, *seed).order[0] == place)
            .count()
    };
    // From an even prior it is above 90 % one time in ten.
    assert!((20..200).contains(&first(2)), "{}", first(2));
    assert!(first(0) > 300 && first(1) > 300);
}

#[test]
fn a_good_rate_elsewhere_hides_no_doubt_about_a_segment() {
    let accounts = accounts();
    let mut health = health();
    count(&mut health, visa(&accounts[0]), Sign::Approved, 940, 0);
    count(&mut health, visa(&accounts[0]), Sign::SoftDecline, 60, 0);
    // The second does worse, by a thousand payments of another kind.
    let wallet = Segment {
        method: MethodKind::Wallet,
        ..visa(&accounts[1])
    };
    count(&mut health, wallet, Sign::Approved, 880, 0);
    count(&mut health, wallet, Sign::SoftDecline, 120, 0);
    let standings = &each_standing(&accounts, &health, 0)[..2];
    let tried = (0..1_000)
        .filter(|seed| by_success_rate(standings, *seed).order[0] == 1)
        .count();
    assert!((20..300).contains(&tried), "{tried}");
}
