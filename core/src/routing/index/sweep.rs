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
    let mut edges: Vec<(u32, u32, u32)> = Vec::with_capacity(naming.len() * 2);
    let mut column = 0;
    for (clause, cells) in naming {
        while columns[column] != clause / BLOCK {
            column += 1;
        }
        bits[column].clear(clause % BLOCK);
        let place = [column, clause % BLOCK].map(|part| u32::try_from(part).unwrap_or(u32::MAX));
        for (from, to) in cells.runs() {
            edges.extend([*from, *to].map(|cell| (cell, place[0], place[1])));
        }
    }
    edges.sort_unstable();
    let mut row: Vec<u32> = bits.iter().map(|block| pool.place(block)).collect();
    let mut swept = Swept {
        density: vec![0; columns.len()],
        columns,
        rows: Vec::with_capacity(size as usize),
    };
    let mut edges = edges.chunk_by(|one, other| one.0 == other.0).peekable();
    let mut written = 0_u64;
    for cell in 0..size {
        let here = edges.next_if(|edges| edges[0].0 == cell);
        for changed in here
            .into_iter()
            .flat_map(|here| here.chunk_by(|one, other| one.1 == other.1))
        {
            let column = changed[0].1 as usize;
            changed
                .iter()
                .for_each(|(_, _, place)| bits[column].toggle(*place as usize));
            row[column] = pool.place(&bits[column]);
        }
        if here.is_some() || cell == 0 {
            written += 1;
            ids.extend_from_slice(&row);
            for (density, id) in swept.density.iter_mut().zip(&row) {
                *density += pool.count(*id);
            }
        }
        swept
            .rows
            .push(u32::try_from(ids.len() - row.len()).unwrap_or(u32::MAX));
    }
    swept
        .density
        .iter_mut()
        .for_each(|sum| *sum = (*sum << 16) / written.max(1));
    swept
}
