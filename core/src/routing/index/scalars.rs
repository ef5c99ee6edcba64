//! The cells of a fact that is a number or an amount: what lies between the bounds that a program names.

use super::cells::Run;
use super::lookup::{Scalars, Span};

/// A number in its scale. Each currency is a scale; plain numbers have one, [`PLAIN`].
pub(super) type Scalar = (u16, i64);

/// The scale of numbers that aren't amounts.
pub(super) const PLAIN: u16 = 0;

/// The cells of numbers: 0, not known; 1, in a scale that the program doesn't name; then scale by scale those between
/// its bounds, in order, of which the first has no lower bound and the last no upper.
#[derive(Debug, Default)]
pub(super) struct ScalarCells {
    cuts: Vec<Scalar>,
    scales: Vec<u16>,
}

impl ScalarCells {
    pub(super) fn mention(&mut self, (scale, value): Scalar) {
        self.mention_bound((scale, value));
        if let Some(next) = value.checked_add(1) {
            self.mention_bound((scale, next));
        }
    }

    pub(super) fn mention_bound(&mut self, bound: Scalar) {
        self.cuts.push(bound);
    }

    pub(super) fn seal(&mut self) {
        self.cuts.sort_unstable();
        self.cuts.dedup();
        self.scales = self.cuts.iter().map(|(scale, _)| *scale).collect();
        self.scales.dedup();
    }

    pub(super) fn size(&self) -> u32 {
        2 + narrow(self.scales.len() + self.cuts.len())
    }

    pub(super) fn exact(&self, (scale, value): Scalar) -> Run {
        self.range(scale, Some(value), value.checked_add(1))
    }

    /// Those at least the one bound and below the other, which are bounds that were mentioned.
    pub(super) fn range(&self, scale: u16, at_least: Option<i64>, below: Option<i64>) -> Run {
        let from = at_least.map_or_else(|| self.first_of(scale), |bound| self.from((scale, bound)));
        let to = below.map_or_else(|| self.first_of(scale + 1), |bound| self.from((scale, bound)));
        (from, to)
    }

    /// The cell that starts with this bound.
    fn from(&self, bound: Scalar) -> u32 {
        let before = self.scales.partition_point(|scale| *scale < bound.0);
        2 + narrow(before + self.cuts.partition_point(|cut| *cut <= bound))
    }

    /// The first cell of this scale or, if it isn't named, of the next.
    fn first_of(&self, scale: u16) -> u32 {
        let before = self.scales.partition_point(|one| *one < scale);
        2 + narrow(before + self.cuts.partition_point(|cut| cut.0 < scale))
    }

    /// Where each number's row is, of what `row` says of the cells.
    pub(super) fn lookup(&self, row: impl Fn(u32) -> u32) -> Scalars {
        let last = self.scales.last().map_or(0, |scale| usize::from(*scale) + 1);
        let mut spans = vec![None; last];
        for (place, scale) in self.scales.iter().enumerate() {
            let cuts = self.cuts.partition_point(|cut| cut.0 < *scale);
            let end = self.cuts.partition_point(|cut| cut.0 <= *scale);
            spans[usize::from(*scale)] = Some(Span {
                from: narrow(cuts),
                to: narrow(end),
                rows: narrow(place + cuts),
            });
        }
        let cuts = self.cuts.iter().map(|(_, value)| *value).collect();
        let rows = (2..self.size()).map(&row).collect();
        Scalars::new(spans.into(), cuts, rows, row(1))
    }
}

/// A program has far fewer bounds than 2³².
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
