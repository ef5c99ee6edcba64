//! The cells of a fact that is a text or a word: each text that a program names, and the texts below each beginning.

use rustc_hash::FxHashMap;

use super::cells::Run;
use super::lookup::{Beginnings, Texts};

/// The cells of texts, in the order of their texts, so that a beginning is one run: the cell of the texts that have it and
/// nothing more precise comes first, then the longer beginnings and the exact texts that start with it.
#[derive(Debug, Default)]
pub(super) struct TextCells<'r> {
    exact: FxHashMap<&'r str, u32>,
    beginnings: FxHashMap<&'r str, Run>,
    cuts: Vec<(Box<[u8]>, u32)>,
    size: u32,
}

/// A beginning stands before the exact text that is as long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Beginning,
    Exact,
}

impl<'r> TextCells<'r> {
    pub(super) fn mention(&mut self, text: &'r str) {
        self.exact.insert(text, 0);
    }

    pub(super) fn mention_beginning(&mut self, beginning: &'r str) {
        self.beginnings.insert(beginning, (0, 0));
    }

    /// Numbers the cells. Cell 0 is "not known"; the empty beginning is all the others.
    pub(super) fn seal(&mut self) {
        self.mention_beginning("");
        let exact = self.exact.keys().map(|text| (*text, Part::Exact));
        let beginnings = self.beginnings.keys().map(|text| (*text, Part::Beginning));
        let mut entries: Vec<(&str, Part)> = exact.chain(beginnings).collect();
        entries.sort_unstable();
        let mut open: Vec<(&str, u32)> = Vec::new();
        for (cell, (text, part)) in (1..).zip(entries) {
            self.close(&mut open, text, cell);
            match part {
                Part::Exact => {
                    self.exact.insert(text, cell);
                }
                Part::Beginning => {
                    self.cut(text.as_bytes().into(), cell);
                    open.push((text, cell));
                }
            }
            self.size = cell + 1;
        }
        while let Some((beginning, cell)) = open.pop() {
            self.beginnings.insert(beginning, (cell, self.size));
            if let (Some((_, around)), Some(after)) = (open.last(), successor(beginning)) {
                self.cut(after, *around);
            }
        }
    }

    /// Ends the beginnings that `text`, whose cell is `cell`, doesn't have.
    fn close(&mut self, open: &mut Vec<(&'r str, u32)>, text: &str, cell: u32) {
        while let Some((beginning, from)) = open.pop_if(|(beginning, _)| !text.starts_with(*beginning)) {
            self.beginnings.insert(beginning, (from, cell));
            if let (Some((_, around)), Some(after)) = (open.last(), successor(beginning)) {
                self.cut(after, *around);
            }
        }
    }

    /// From this text on, the cell is another. Where a beginning ends and the next begins, the next counts.
    fn cut(&mut self, from: Box<[u8]>, cell: u32) {
        self.cuts.pop_if(|(last, _)| *last == from);
        self.cuts.push((from, cell));
    }

    pub(super) fn size(&self) -> u32 {
        self.size
    }

    pub(super) fn exact(&self, text: &str) -> Option<Run> {
        self.exact.get(text).map(|cell| (*cell, cell + 1))
    }

    pub(super) fn beginning(&self, beginning: &str) -> Option<Run> {
        self.beginnings.get(beginning).copied()
    }

    /// Where each text's row is, of what `row` says of the cells.
    pub(super) fn lookup(&self, row: impl Fn(u32) -> u32) -> Texts {
        let exact = self.exact.iter().map(|(text, cell)| ((*text).into(), row(*cell)));
        let beginnings = self.beginnings.iter().map(|(text, run)| (*text, row(run.0)));
        let beginnings: Vec<(&str, u32)> = beginnings.collect();
        let cuts = self.cuts.iter().map(|(from, cell)| (from.clone(), row(*cell)));
        Texts::new(exact.collect(), Beginnings::new(&beginnings, cuts))
    }
}

/// The first text, in the order of bytes, after all that have this beginning. UTF-8 has no byte 255.
fn successor(beginning: &str) -> Option<Box<[u8]>> {
    let mut bytes: Box<[u8]> = beginning.as_bytes().into();
    *bytes.last_mut()? += 1;
    Some(bytes)
}
