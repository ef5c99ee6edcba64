//! What is wrong with the rows of a fee table, and what is odd about them.

use super::super::rule::Target;
use super::{FeeRow, PPM};
use crate::error::Fault;
use crate::id::ConnectorId;
use crate::time::Timestamp;

/// The most rows of a table.
const MOST_ROWS: usize = 10_000;

/// Everything that is wrong.
pub(super) fn faults(rows: &[FeeRow]) -> Vec<Fault> {
    if rows.len() > MOST_ROWS {
        return vec![Fault::new(
            "rows",
            format!("{} rows are too many", rows.len()),
            format!("keep {MOST_ROWS} or fewer: leave out what is no longer valid"),
        )];
    }
    let each = rows.iter().enumerate();
    each.flat_map(|(place, row)| Row { place, row }.faults())
        .collect()
}

struct Row<'a> {
    place: usize,
    row: &'a FeeRow,
}

impl Row<'_> {
    fn fault(&self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault::new(format!("rows.{}.{field}", self.place), problem, remedy)
    }

    fn faults(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        let row = self.row;
        let account = &row.account;
        if ConnectorId::new(account.connector.as_str()).is_err()
            || account.account.as_ref().is_some_and(String::is_empty)
        {
            found.push(self.fault(
                "account",
                format!("`{account}` is neither a connector nor an account of one"),
                "write `stripe`, or `stripe/eu`",
            ));
        }
        if row.via.as_ref().is_some_and(String::is_empty) {
            found.push(self.fault(
                "via",
                "it is empty",
                "name a network, bank or scheme, or leave it out",
            ));
        }
        if i128::from(row.percent.ppm()) > PPM {
            found.push(self.fault(
                "percent",
                format!("{} % is more than the amount itself", row.percent),
                "write 0 to 100",
            ));
        }
        found.extend(self.amounts());
        if let (Some(from), Some(until)) = (row.valid_from, row.valid_until)
            && from >= until
        {
            found.push(self.fault(
                "valid_until",
                format!("it ends at {until}, and begins at {from}"),
                "let it end after it begins",
            ));
        }
        found
    }

    fn amounts(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        let currency = self.row.currency();
        for (field, amount) in self.row.amounts() {
            let Some(amount) = amount else { continue };
            if Some(amount.currency()) != currency {
                let of_row = currency.map_or("", |currency| currency.code());
                found.push(self.fault(
                    field,
                    format!("{amount} is in another currency than the row's {of_row}"),
                    "keep a row to one currency, and write a row for each",
                ));
            }
            if amount.minor() < 0 {
                found.push(self.fault(field, format!("{amount} is below zero"), "write zero or more"));
            }
        }
        if let (Some(least), Some(most)) = (self.row.least, self.row.most)
            && least.currency() == most.currency()
            && least.minor() > most.minor()
        {
            found.push(self.fault(
                "most",
                format!("the cap of {most} is below the minimum of {least}"),
                "let the cap be the minimum or more",
            ));
        }
        found
    }
}

/// Rows that an earlier one keeps from deciding, at all times or at some.
pub(super) fn overlaps(rows: &[FeeRow]) -> Vec<Fault> {
    let mut found = Vec::new();
    for (place, later) in rows.iter().enumerate() {
        let earlier = rows[..place].iter().enumerate();
        let hides = |(before, earlier): (usize, &FeeRow)| {
            let common = common(earlier, later).filter(|_| earlier.covers(later))?;
            Some((before, common))
        };
        let Some((before, common)) = { earlier }.find_map(hides) else {
            continue;
        };
        let row = Row { place, row: later };
        found.push(match common {
            Common::AllOfIt => row.fault(
                "account",
                format!("it never decides: rows.{before} fits whatever it fits"),
                "put it before that row, or leave it out",
            ),
            Common::Some { from, until } => row.fault(
                "valid_from",
                format!("from {from} to {until} rows.{before} decides, which is valid then too"),
                "let the one end where the other begins",
            ),
        });
    }
    found
}

/// The time at which two rows are valid.
enum Common {
    /// All of the later's.
    AllOfIt,
    /// A part of it.
    Some { from: Timestamp, until: Timestamp },
}

fn common(earlier: &FeeRow, later: &FeeRow) -> Option<Common> {
    let begins = |row: &FeeRow| row.valid_from.unwrap_or(Timestamp::from_millis(i64::MIN));
    let ends = |row: &FeeRow| row.valid_until.unwrap_or(Timestamp::from_millis(i64::MAX));
    let from = begins(earlier).max(begins(later));
    let until = ends(earlier).min(ends(later));
    if from >= until {
        return None;
    }
    if from == begins(later) && until == ends(later) {
        return Some(Common::AllOfIt);
    }
    Some(Common::Some { from, until })
}

impl FeeRow {
    /// Whether it fits every payment that another fits, validity aside.
    fn covers(&self, other: &Self) -> bool {
        let regions = || other.regions.iter().all(|region| self.regions.contains(region));
        covers_account(&self.account, &other.account)
            && (self.method.is_none() || self.method == other.method)
            && (self.via.is_none() || self.via == other.via)
            && (self.currency().is_none() || self.currency() == other.currency())
            && (self.regions.is_empty() || !other.regions.is_empty() && regions())
    }
}

fn covers_account(one: &Target, other: &Target) -> bool {
    one.connector == other.connector && (one.account.is_none() || one.account == other.account)
}
