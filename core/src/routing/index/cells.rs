//! Sets of one fact's cells.

/// From this cell, and up to that one.
pub(super) type Run = (u32, u32);

/// Cells of one fact, as runs in ascending order that neither overlap nor touch: equal sets are equal runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells(Vec<Run>);

impl Cells {
    /// What these runs cover, in whichever order they come.
    pub(super) fn of(mut runs: Vec<Run>) -> Self {
        runs.retain(|(from, to)| from < to);
        if !runs.is_sorted() {
            runs.sort_unstable();
        }
        runs.dedup_by(|next, last| {
            let touches = next.0 <= last.1;
            if touches {
                last.1 = last.1.max(next.1);
            }
            touches
        });
        Self(runs)
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is all the cells of a fact that has `size`.
    pub(super) fn is_all(&self, size: u32) -> bool {
        self.0 == [(0, size)]
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.as_slice(), other.0.as_slice());
        let mut both = Vec::with_capacity(left.len().max(right.len()));
        while let ([(from, to), ..], [(start, end), ..]) = (left, right) {
            both.push(((*from).max(*start), (*to).min(*end)));
            if to < end {
                left = &left[1..];
            } else {
                right = &right[1..];
            }
        }
        Self::of(both)
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        Self::of([self.0.as_slice(), other.0.as_slice()].concat())
    }

    /// The other cells of a fact that has `size`.
    pub(super) fn others(&self, size: u32) -> Self {
        let starts = std::iter::once(0).chain(self.0.iter().map(|run| run.1));
        let ends = self.0.iter().map(|run| run.0).chain([size]);
        Self::of(starts.zip(ends).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 9;

    fn listed(cells: &Cells) -> Vec<u32> {
        cells.runs().iter().flat_map(|(from, to)| *from..*to).collect()
    }

    fn all_sets() -> impl Iterator<Item = (u32, Cells)> {
        (0..1 << SIZE).map(|bits: u32| {
            let cells = (0..SIZE).filter(|cell| bits >> cell & 1 == 1);
            (
                bits,
                Cells::of(cells.rev().map(|cell| (cell, cell + 1)).collect()),
            )
        })
    }

    fn bits(cells: &Cells) -> u32 {
        listed(cells).into_iter().fold(0, |bits, cell| bits | 1 << cell)
    }

    #[test]
    fn sets_are_what_their_bits_are() {
        let full = (1 << SIZE) - 1;
        for (one, cells) in all_sets() {
            assert_eq!(bits(&cells), one);
            assert_eq!(bits(&cells.others(SIZE)), full & !one);
            assert_eq!(cells.is_all(SIZE), one == full);
            assert_eq!(cells.is_empty(), one == 0);
            for (other, others) in all_sets().step_by(7) {
                assert_eq!(bits(&cells.and(&others)), one & other);
                assert_eq!(bits(&cells.or(&others)), one | other);
            }
        }
    }

    #[test]
    fn equal_sets_are_equal_runs() {
        let twice = Cells::of(vec![(4, 6), (0, 2), (2, 3), (5, 5), (4, 5)]);
        assert_eq!(twice.runs(), [(0, 3), (4, 6)]);
    }
}
