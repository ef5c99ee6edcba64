//! Figures of slices that were taken in turn.

use std::collections::BTreeMap;
use std::time::Duration;

/// Whose commits a slice measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Paymux,
    /// The same rows in one statement of a program's own.
    BareStatement,
    /// The same rows, one statement each, between BEGIN and COMMIT.
    BareTransaction,
    /// The same rows, written by PostgreSQL's own tool, a statement each, between BEGIN and COMMIT.
    Pgbench,
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Self::Paymux => "paymux",
            Self::BareStatement => "bare, one statement",
            Self::BareTransaction => "bare, BEGIN … COMMIT",
            Self::Pgbench => "pgbench, BEGIN … COMMIT",
        }
    }
}

/// Commits by store and side, slice by slice.
#[derive(Default)]
pub(crate) struct Table {
    slices: BTreeMap<(&'static str, Side), Vec<Vec<Duration>>>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A slice: how long each of its commits took.
    pub(crate) fn add(&mut self, store: &'static str, side: Side, commits: Vec<Duration>) {
        self.slices.entry((store, side)).or_default().push(commits);
    }

    pub(crate) fn print(&self) {
        println!(
            "| store | written by | commits a second | median | p99 | paymux takes |\n|---|---|---|---|---|---|"
        );
        for ((store, side), slices) in &self.slices {
            let mut rates: Vec<u128> = slices.iter().map(|slice| rate(slice)).collect();
            let mut commits: Vec<Duration> = slices.iter().flatten().copied().collect();
            commits.sort_unstable();
            let ratio = match side {
                Side::Paymux => String::new(),
                Side::BareStatement | Side::BareTransaction | Side::Pgbench => {
                    ratio(&self.slices[&(*store, Side::Paymux)], slices)
                }
            };
            println!(
                "| {store} | {} | {} | {} µs | {} µs | {ratio} |",
                side.word(),
                spread(&mut rates),
                commits[commits.len() / 2].as_micros(),
                commits[commits.len() * 99 / 100].as_micros(),
            );
        }
        println!();
    }
}

/// Commits a second.
fn rate(slice: &[Duration]) -> u128 {
    let took: Duration = slice.iter().sum();
    slice.len() as u128 * 1_000_000_000 / took.as_nanos()
}

/// How many times as long ours took as theirs, neighbour by neighbour.
fn ratio(ours: &[Vec<Duration>], theirs: &[Vec<Duration>]) -> String {
    let both = ours.iter().zip(theirs);
    let mut ratios: Vec<u128> = both
        .map(|(ours, theirs)| rate(theirs) * 1_000 / rate(ours))
        .collect();
    ratios.sort_unstable();
    let [low, median, high] = quartiles(&ratios).map(hundredths);
    format!("{median} × ({low} to {high})")
}

/// A number of thousandths, with two digits.
pub(crate) fn hundredths(permille: u128) -> String {
    format!("{}.{:02}", permille / 1_000, permille % 1_000 / 10)
}

/// Median and quartiles.
pub(crate) fn spread(figures: &mut [u128]) -> String {
    figures.sort_unstable();
    let [low, median, high] = quartiles(figures);
    format!("{median} ({low} to {high})")
}

pub(crate) fn quartiles<T: Copy>(sorted: &[T]) -> [T; 3] {
    [1, 2, 3].map(|quarter| sorted[sorted.len() * quarter / 4])
}
