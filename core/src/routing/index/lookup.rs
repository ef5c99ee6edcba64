//! From a payment's fact to the row of bits for it.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::super::facts::{FactName, Facts};
use super::scalars::PLAIN;

/// Finds the row for what is known of one fact.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) fact: FactName,
    /// The row where it isn't known.
    pub(super) absent: u32,
    pub(super) by: By,
}

#[derive(Debug)]
pub(super) enum By {
    /// The word's place in its vocabulary.
    Place(Box<[u32]>),
    Number(Numbers),
    Amount(Scalars),
    Text(Texts),
}

impl Lookup {
    /// The row for this payment.
    #[inline]
    pub(super) fn row(&self, facts: &Facts<'_>) -> u32 {
        let row = match &self.by {
            By::Place(rows) => facts
                .code(&self.fact)
                .and_then(|place| rows.get(usize::from(place)).copied()),
            By::Text(texts) => facts.text(&self.fact).map(|text| texts.row(text)),
            By::Number(numbers) => facts.number(&self.fact).map(|number| numbers.row(number)),
            By::Amount(scalars) => Some(scalars.row(facts.amount.currency().place(), facts.amount.minor())),
        };
        row.unwrap_or(self.absent)
    }
}

/// Rows by number: the bounds of each scale in order, searched by halves.
#[derive(Debug)]
pub(super) struct Scalars {
    spans: Box<[Option<Span>]>,
    cuts: Box<[i64]>,
    rows: Box<[u32]>,
    /// The row of scales that aren't there.
    other: u32,
}

/// One scale's bounds, and where its rows start: one more than bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) rows: u32,
}

impl Scalars {
    /// Up to how many bounds are counted through: processors do it faster than to wait for each half's answer.
    const FEW: usize = 8;

    pub(super) fn new(spans: Box<[Option<Span>]>, cuts: Box<[i64]>, rows: Box<[u32]>, other: u32) -> Self {
        Self {
            spans,
            cuts,
            rows,
            other,
        }
    }

    #[inline]
    pub(super) fn row(&self, scale: u16, value: i64) -> u32 {
        let Some(Some(span)) = self.spans.get(usize::from(scale)) else {
            return self.other;
        };
        let cuts = &self.cuts[span.from as usize..span.to as usize];
        let before = if cuts.len() <= Self::FEW {
            cuts.iter().map(|cut| usize::from(*cut <= value)).sum()
        } else {
            cuts.partition_point(|cut| *cut <= value)
        };
        self.rows[span.rows as usize + before]
    }
}

/// Rows of plain numbers: those that are small, each by itself; the others by the bounds.
#[derive(Debug)]
pub(super) struct Numbers {
    small: Box<[u32]>,
    scalars: Scalars,
}

impl Numbers {
    /// The most small numbers: all trades (MCC) and all minutes of a day are among them.
    const MOST: i64 = 10_000;

    /// `most`: the largest number that the fact can be, by its kind.
    pub(super) fn new(scalars: Scalars, most: i64) -> Self {
        let small = match scalars.cuts.len() {
            ..=Scalars::FEW => 0,
            _many => (most + 1).min(Self::MOST),
        };
        Self {
            small: (0..small).map(|number| scalars.row(PLAIN, number)).collect(),
            scalars,
        }
    }

    #[inline]
    fn row(&self, number: i64) -> u32 {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        match self.small.get(place) {
            Some(row) => *row,
            None => self.scalars.row(PLAIN, number),
        }
    }
}

/// Rows by text: of those that are named, by hash; of the others, by how they begin. Payments put nothing into the table,
/// so that nobody can fill it with texts of one hash.
#[derive(Debug)]
pub(super) struct Texts {
    exact: FxHashMap<Box<str>, u32>,
    beginnings: Beginnings,
}

impl Texts {
    pub(super) fn new(exact: FxHashMap<Box<str>, u32>, beginnings: Beginnings) -> Self {
        Self { exact, beginnings }
    }

    #[inline]
    pub(super) fn row(&self, text: &str) -> u32 {
        if !self.exact.is_empty()
            && let Some(row) = self.exact.get(text)
        {
            return *row;
        }
        self.beginnings.row(text.as_bytes())
    }
}

/// Rows by beginning.
#[derive(Debug)]
pub(super) enum Beginnings {
    /// No beginning is named.
    None(u32),
    /// Beginnings of up to eight bytes and of few lengths, as those of card numbers are: the longest that a text has.
    Lengths {
        /// The longest first, each with the beginnings of that length.
        lengths: Box<[(usize, FxHashMap<u64, u32>)]>,
        other: u32,
    },
    /// The texts from which on the row is another, in order.
    Cuts(Cuts),
}

impl Beginnings {
    /// At most as many tables are tried.
    const MOST_LENGTHS: usize = 4;

    /// `rows`: of each beginning, the empty one included. `cuts`: the texts in order from which on the row is another.
    pub(super) fn new(rows: &[(&str, u32)], cuts: impl Iterator<Item = (Box<[u8]>, u32)>) -> Self {
        let mut lengths: BTreeMap<usize, FxHashMap<u64, u32>> = BTreeMap::new();
        for (beginning, row) in rows {
            let table = lengths.entry(beginning.len()).or_default();
            table.insert(head(beginning.as_bytes()), *row);
        }
        let other = lengths
            .remove(&0)
            .and_then(|row| row.get(&0).copied())
            .unwrap_or_default();
        match lengths.last_key_value() {
            None => Self::None(other),
            Some((..=8, _)) if lengths.len() <= Self::MOST_LENGTHS => Self::Lengths {
                lengths: lengths.into_iter().rev().collect(),
                other,
            },
            Some(_) => Self::Cuts(Cuts::new(cuts)),
        }
    }

    #[inline]
    fn row(&self, text: &[u8]) -> u32 {
        match self {
            Self::None(row) => *row,
            Self::Lengths { lengths, other } => {
                let whole = head(text);
                for (length, rows) in lengths {
                    let beginning = whole & u64::MAX << (64 - 8 * length);
                    if text.len() >= *length
                        && let Some(row) = rows.get(&beginning)
                    {
                        return *row;
                    }
                }
                *other
            }
            Self::Cuts(cuts) => cuts.row(text),
        }
    }
}

/// Rows by texts in order, of which the first is the empty one. Their first eight bytes stand by themselves, as numbers, so
/// that a search compares texts only where those are the same.
#[derive(Debug)]
pub(super) struct Cuts {
    heads: Box<[u64]>,
    cuts: Box<[Box<[u8]>]>,
    rows: Box<[u32]>,
}

impl Cuts {
    fn new(cuts: impl Iterator<Item = (Box<[u8]>, u32)>) -> Self {
        let (cuts, rows): (Vec<_>, Vec<_>) = cuts.unzip();
        Self {
            heads: cuts.iter().map(|cut| head(cut)).collect(),
            cuts: cuts.into(),
            rows: rows.into(),
        }
    }

    fn row(&self, text: &[u8]) -> u32 {
        let head = head(text);
        let end = self.heads.partition_point(|one| *one <= head);
        let from = self.heads[..end].partition_point(|one| *one < head);
        let before = from + self.cuts[from..end].partition_point(|cut| **cut <= *text);
        self.rows[before.saturating_sub(1)]
    }
}

/// The first eight bytes, as a number of the same order; zeros where there are fewer.
#[inline]
fn head(text: &[u8]) -> u64 {
    if let Some(eight) = text.first_chunk() {
        return u64::from_be_bytes(*eight);
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let (first, last) = (u32::from_be_bytes(*first), u32::from_be_bytes(*last));
        let rest = u64::from(last) << (8 * (8 - text.len()));
        return u64::from(first) << 32 | rest & u64::from(u32::MAX);
    }
    text.iter()
        .zip([56, 48, 40])
        .fold(0, |head, (byte, shift)| head | u64::from(*byte) << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_first_eight_bytes() {
        let text = b"\xff123456789";
        for length in 0..=text.len() {
            let mut eight = [0; 8];
            let least = length.min(8);
            eight[..least].copy_from_slice(&text[..least]);
            assert_eq!(head(&text[..length]), u64::from_be_bytes(eight), "{length}");
        }
    }

    #[test]
    fn texts_that_share_eight_bytes_are_told_apart() {
        let cuts = ["", "abcdefgh", "abcdefghb", "abcdefghd", "abd"];
        let rows = Cuts::new(
            cuts.iter()
                .zip(0..)
                .map(|(cut, row)| (cut.as_bytes().into(), row)),
        );
        for (text, row) in [
            ("", 0),
            ("abcdefg", 0),
            ("abcdefgh", 1),
            ("abcdefghaz", 1),
            ("abcdefghb", 2),
            ("abcdefghc", 2),
            ("abcdefghd", 3),
            ("abcdefgi", 3),
            ("abe", 4),
        ] {
            assert_eq!(rows.row(text.as_bytes()), row, "{text}");
        }
    }
}
