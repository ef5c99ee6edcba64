//! The rows of one fact: cell by cell, the clauses that a value in it leaves standing.

use super::block::{BLOCK, Block, Pool};
use super::cells::Cells;

/// The rows of one fact.
#[derive(Debug)]
pub(super) struct Swept {
    /// The blocks in which a clause names the fact, ascending: a row has a column for each, and for no other.
    pub(super) columns: Vec<usize>,
    /// Where the row of a cell's position starts.
    pub(super) rows: Vec<u32>,
    /// How many bits a column's blocks have on the average, times 2¹⁶.
    pub(super) density: Vec<u64>,
}

/// Goes through a fact's cells in their order. A row differs from the one before it in the clauses whose cells begin or end
/// there, so that work and memory grow with what the clauses name and not with rules times values; where none does, the
/// row is the same one.
///
/// `naming`: the clauses that name the fact, ascending, each with its cells. `full`: all clauses of a block. A row's blocks
/// are appended to `ids`, as places in `pool`.
pub(super) fn sweep(
    size: u32,
    naming: &[(usize, Cells)],
    full: impl Fn(usize) -> Block,
    pool: &mut Pool,
    ids: &mut Vec<u32>,
) -> Swept {
    let mut columns: Vec<usize> = naming.iter().map(|(clause, _)| clause / BLOCK).collect();
    columns.dedup();
    let mut bits: Vec<Block> = columns.iter().map(|block| full(*block)).collect();
    let edges = edges(&columns, naming, &mut bits);
    let mut edges = edges.chunk_by(|one, other| one.cell() == other.cell()).peekable();
    let mut row: Vec<u32> = bits.iter().map(|block| pool.place(block)).collect();
    let mut rows = Vec::with_capacity(size as usize);
    let mut density = Density::of(columns.len());
    for cell in 0..size {
        let here = edges.next_if(|edges| edges[0].cell() == cell);
        let columns = here
            .into_iter()
            .flat_map(|here| here.chunk_by(|one, other| one.column() == other.column()));
        for changed in columns {
            let column = changed[0].column();
            changed.iter().for_each(|edge| bits[column].toggle(edge.place()));
            density.add(column, pool.count(row[column]));
            row[column] = pool.place(&bits[column]);
        }
        if here.is_some() || cell == 0 {
            ids.extend_from_slice(&row);
            density.rows += 1;
        }
        rows.push(u32::try_from(ids.len() - row.len()).unwrap_or(u32::MAX));
    }
    row.iter()
        .enumerate()
        .for_each(|(column, id)| density.add(column, pool.count(*id)));
    Swept {
        columns,
        rows,
        density: density.averages(),
    }
}

/// Where a clause's cells begin or end: the cell, the column and the place in its block, one after the other, so that they
/// are ordered as they are swept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge(u64);

impl Edge {
    fn new(cell: u32, column: usize, place: usize) -> Self {
        Self(u64::from(cell) << 32 | (column * BLOCK + place) as u64)
    }

    fn cell(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn column(self) -> usize {
        self.0 as u32 as usize / BLOCK
    }

    fn place(self) -> usize {
        self.0 as usize % BLOCK
    }
}

/// The edges of all clauses in the order of the cells; `bits` are left as they are before the first cell.
fn edges(columns: &[usize], naming: &[(usize, Cells)], bits: &mut [Block]) -> Vec<Edge> {
    let mut edges = Vec::with_capacity(naming.len() * 2);
    let mut column = 0;
    for (clause, cells) in naming {
        while columns[column] != clause / BLOCK {
            column += 1;
        }
        let place = clause % BLOCK;
        bits[column].clear(place);
        for (from, to) in cells.runs() {
            edges.extend([*from, *to].map(|cell| Edge::new(cell, column, place)));
        }
    }
    edges.sort_unstable();
    edges
}

/// How many bits a column's blocks have, summed over the rows.
struct Density {
    rows: u64,
    /// Of each column: the sum, and up to which row.
    sums: Vec<(u64, u64)>,
}

impl Density {
    fn of(columns: usize) -> Self {
        Self {
            rows: 0,
            sums: vec![(0, 0); columns],
        }
    }

    /// All rows since the column's last sum had this many bits in it.
    fn add(&mut self, column: usize, bits: u64) {
        let (sum, until) = &mut self.sums[column];
        *sum += bits * (self.rows - *until);
        *until = self.rows;
    }

    fn averages(&self) -> Vec<u64> {
        self.sums
            .iter()
            .map(|(sum, _)| (sum << 16) / self.rows.max(1))
            .collect()
    }
}
