//! What rules compile to: for each value of each fact, the bits of the clauses that it leaves standing.
//!
//! # How it decides
//!
//! Each rule's condition is brought to *clauses*. A clause holds where each fact that it names is in a set of cells, and
//! the condition holds where one of its clauses does. Clauses are numbered in the order of their rules.
//!
//! A fact's values are divided into *cells* such that all values of a cell pass the same of the program's tests: each text
//! that is named, the texts below each beginning that is named, the numbers between two bounds; and one cell for "not
//! known". For each cell there is a row with a bit for each clause: whether a value in that cell leaves the clause
//! standing, which a clause that doesn't name the fact always is.
//!
//! To decide, the payment's cell is looked up for each fact, and the rows are joined by *and*. The first bit that is left
//! names the rule. It is done in blocks of 512 clauses, one cache line each, those of the facts that leave fewest standing
//! first, until a block is empty; so it costs a lookup for each fact, and a cache line at most for each fact and 512
//! clauses, whatever the clauses compare with.
//!
//! # Why it is right
//!
//! - *A cell stands for its values.* Cells are cut wherever a test of the program could turn: at each named text, at the
//!   ends of each beginning (the texts that have it lie side by side in the order of bytes), at each bound. Between two cuts
//!   no test turns. "Not known" passes no test, so that it is a cell that is in no test's set.
//! - *A test is a set of cells*, hence so is its negation, "not known" included: all the other cells.
//! - *Clauses say what the condition says.* Negations are moved inwards (De Morgan), until conditions are made of *and*, *or*
//!   and sets of cells. *And* of two lists of clauses is each with each, where sets of one fact meet; *or* is both lists. Both
//!   are the distributive laws. Two clauses that differ in one fact are one, whose set is the union.
//! - *The bit of a clause is left if and only if the clause holds*: it stands in the row of each fact's cell.
//! - *The first bit is the first rule*, since clauses are in the rules' order.
//!
//! Clauses can multiply: a condition that would take more than 16, or one that comes when a program has
//! [`MOST_IN_ALL`] already, is kept as fewer clauses, each of which holds wherever those that it stands for do and perhaps
//! elsewhere. Their bit says "perhaps": then the condition itself is asked (`Rules::holds`), and if it doesn't hold the next
//! bit counts. So a bit that is missing is always right, and one that is left is made right.
//!
//! The tests hold all of it equal to the plain interpreter on random programs and payments.
//!
//! # What it takes
//!
//! Distinct blocks are kept once, and a row names those of its blocks in which a clause names its fact at all. Neighbouring
//! cells' rows differ in the clauses whose sets begin or end between them; a list's values stand side by side, so that it
//! is one run of cells, or few, for all rules that name it. Compiling takes time in proportion to the values that rules name,
//! and memory to that and to the number of cells times their fact's blocks, four bytes each.

mod block;
mod cells;
mod clauses;
mod dimension;
mod lookup;
mod scalars;
mod sweep;
#[cfg(test)]
mod tests;
mod texts;

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::facts::Facts;
use super::rule::{Comparison, Condition, Placed, Rules, Value};
use block::{BLOCK, Block, Pool};
use cells::Cells;
use clauses::{Normal, Places};
use dimension::Dimension;
use lookup::Lookup;
use sweep::{Swept, sweep};

/// How many clauses a rule may become.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The most clauses of one rule.
    a_rule: usize,
    /// From how many clauses in all on a rule gets one alone.
    in_all: usize,
}

const LIMITS: Limits = Limits {
    a_rule: 16,
    in_all: 1 << 16,
};
/// For how many facts a decision keeps the row that it has found. The others, which the fewest blocks of clauses name, are
/// looked up for each of those.
const KEPT: usize = 32;

/// Named lists.
type Lists<'r> = FxHashMap<&'r str, &'r [Placed<Value>]>;

/// What a program's rules compile to. It has to be asked with the rules that it was made of.
#[derive(Debug)]
pub(crate) struct Index {
    lookups: Box<[Lookup]>,
    /// Row by row, the places of its blocks.
    rows: Box<[u32]>,
    blocks: Box<[Block]>,
    plans: Box<[Plan]>,
    steps: Box<[Step]>,
    clauses: Box<[Meaning]>,
    /// Of a program of up to 64 clauses, instead of blocks: each row's bits.
    narrow: Box<[u64]>,
}

/// How 512 clauses are decided.
#[derive(Debug)]
struct Plan {
    /// All of them.
    all: Block,
    /// Where its steps end, which start where those before it end.
    steps: u32,
}

/// One fact's part in it.
#[derive(Debug)]
struct Step {
    lookup: u32,
    /// Which of the row's blocks.
    column: u32,
}

/// What a clause's bit says.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    rule: u32,
    certainty: Certainty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    /// The rule's condition holds.
    Holds,
    /// It may.
    Perhaps,
}

impl Index {
    /// Compiles rules.
    pub(crate) fn compile(rules: &Rules) -> Self {
        Self::within(rules, LIMITS)
    }

    fn within(rules: &Rules, limits: Limits) -> Self {
        let (dimensions, places) = dimensions(rules);
        let mut clauses: Vec<Meaning> = Vec::new();
        let mut naming: Vec<Vec<(usize, Cells)>> = dimensions.iter().map(|_| Vec::new()).collect();
        for (rule, number) in rules.rules.iter().zip(0..) {
            let normal = Normal {
                dimensions: &dimensions,
                places: &places,
                most: if clauses.len() < limits.in_all {
                    limits.a_rule
                } else {
                    1
                },
            };
            let condition = normal.of(&rule.when.0);
            let certainty = if condition.exact {
                Certainty::Holds
            } else {
                Certainty::Perhaps
            };
            let decides_all = condition.exact && condition.all.iter().any(Vec::is_empty);
            for clause in condition.all {
                for (place, cells) in clause {
                    naming[place].push((clauses.len(), cells));
                }
                clauses.push(Meaning {
                    rule: number,
                    certainty,
                });
            }
            if decides_all {
                break; // no payment gets to the rules after it
            }
        }
        Self::swept(&dimensions, &naming, clauses)
    }

    fn swept(dimensions: &[Dimension<'_>], naming: &[Vec<(usize, Cells)>], clauses: Vec<Meaning>) -> Self {
        let full = |block: usize| Block::ones(clauses.len() - block * BLOCK);
        let (mut pool, mut rows) = (Pool::default(), Vec::new());
        let named = dimensions
            .iter()
            .zip(naming)
            .filter(|(_, naming)| !naming.is_empty());
        let mut facts: Vec<_> = named
            .map(|(dimension, naming)| {
                (
                    dimension,
                    sweep(dimension.size(), naming, full, &mut pool, &mut rows),
                )
            })
            .collect();
        facts.sort_by_key(|(_, swept)| (Reverse(swept.columns.len()), swept.density.first().copied()));
        let mut steps: Vec<Vec<(u64, Step)>> = Vec::new();
        steps.resize_with(clauses.len().div_ceil(BLOCK), Vec::new);
        for (lookup, (_, swept)) in (0..).zip(&facts) {
            for ((block, density), column) in swept.columns.iter().zip(&swept.density).zip(0..) {
                steps[*block].push((*density, Step { lookup, column }));
            }
        }
        let mut end = 0;
        let plan = |(block, steps): (usize, &mut Vec<(u64, Step)>)| {
            steps.sort_by_key(|(density, _)| *density);
            end += u32::try_from(steps.len()).unwrap_or(u32::MAX);
            Plan {
                all: full(block),
                steps: end,
            }
        };
        let plans = steps.iter_mut().enumerate().map(plan).collect();
        let lookup = |(dimension, swept): &(&Dimension<'_>, Swept)| {
            dimension.lookup(|position| swept.rows[position as usize])
        };
        let blocks = pool.into_blocks();
        let narrow = match clauses.len() {
            1..=64 => rows.iter().map(|place| blocks[*place as usize].word()).collect(),
            _other => Box::default(),
        };
        Self {
            plans,
            steps: steps.into_iter().flatten().map(|(_, step)| step).collect(),
            lookups: facts.iter().map(lookup).collect(),
            rows: rows.into(),
            blocks,
            clauses: clauses.into(),
            narrow,
        }
    }

    /// The first rule whose condition holds; `None`: the default. It allocates nothing.
    pub(crate) fn first(&self, rules: &Rules, facts: &Facts<'_>) -> Option<usize> {
        if !self.narrow.is_empty() {
            return self.first_of_few(rules, facts);
        }
        let mut kept = [u32::MAX; KEPT];
        let mut row = |lookup: usize| match kept.get_mut(lookup) {
            Some(kept) if *kept == u32::MAX => {
                *kept = self.lookups[lookup].row(facts);
                *kept
            }
            Some(kept) => *kept,
            None => self.lookups[lookup].row(facts),
        };
        let mut from = 0;
        for (plan, clauses) in self.plans.iter().zip(self.clauses.chunks(BLOCK)) {
            let steps = &self.steps[from..plan.steps as usize];
            from = plan.steps as usize;
            let standing = self.standing(plan, steps, &mut row);
            if let Some(rule) = first_of(standing, clauses, rules, facts) {
                return Some(rule);
            }
        }
        None
    }

    fn first_of_few(&self, rules: &Rules, facts: &Facts<'_>) -> Option<usize> {
        let mut standing = u64::MAX >> (64 - self.clauses.len());
        for lookup in &self.lookups {
            standing &= self.narrow[lookup.row(facts) as usize];
            if standing == 0 {
                return None;
            }
        }
        first_of(Block::narrow(standing), &self.clauses, rules, facts)
    }

    /// The clauses of a block that a payment leaves standing, whose rows `row` says.
    #[inline]
    fn standing(&self, plan: &Plan, steps: &[Step], mut row: impl FnMut(usize) -> u32) -> Block {
        let mut standing = plan.all;
        for step in steps {
            let block = self.rows[(row(step.lookup as usize) + step.column) as usize];
            standing.keep(&self.blocks[block as usize]);
            if standing.is_empty() {
                break;
            }
        }
        standing
    }
}

/// The first rule of the clauses that are left standing.
fn first_of(mut standing: Block, clauses: &[Meaning], rules: &Rules, facts: &Facts<'_>) -> Option<usize> {
    while let Some(place) = standing.first() {
        let Meaning { rule, certainty } = clauses[place];
        let rule = rule as usize;
        if certainty == Certainty::Holds || rules.holds(&rules.rules[rule].when.0, facts) {
            return Some(rule);
        }
        standing.clear(place);
    }
    None
}

/// The facts that the rules name, each with the cells that its tests make.
fn dimensions(rules: &Rules) -> (Vec<Dimension<'_>>, Places<'_>) {
    let mut lists = Lists::default();
    for list in &rules.lists {
        lists.entry(&list.name.value).or_insert(&list.values);
    }
    let (mut dimensions, mut places) = (Vec::new(), Places::default());
    for rule in &rules.rules {
        each_test(&rule.when.0, &mut |comparison| {
            let place = *places.entry(&comparison.fact.value).or_insert(dimensions.len());
            if place == dimensions.len() {
                dimensions.push(Dimension::new(&comparison.fact.value));
            }
            dimensions[place].mention(&comparison.test, &lists);
        });
    }
    dimensions.iter_mut().for_each(|dimension| dimension.seal(&lists));
    (dimensions, places)
}

fn each_test<'r>(condition: &'r Condition, visit: &mut impl FnMut(&'r Comparison)) {
    match condition {
        Condition::All(all) | Condition::Any(all) => all.iter().for_each(|one| each_test(one, visit)),
        Condition::Not(one) => each_test(one, visit),
        Condition::Test(comparison) => visit(comparison),
    }
}
