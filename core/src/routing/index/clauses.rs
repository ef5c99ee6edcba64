//! From a condition to clauses: sets of cells that must all be met, of which one must be.

use rustc_hash::FxHashMap;

use super::super::facts::FactName;
use super::super::rule::{Comparison, Condition};
use super::cells::Cells;
use super::dimension::Dimension;

/// A program's facts, and where each stands among them.
pub(super) type Places<'r> = FxHashMap<&'r FactName, usize>;

/// Holds where each of these facts is in its cells: in order of the facts, none of which has all its cells or none. Of no
/// fact, always.
pub(super) type Clause = Vec<(usize, Cells)>;

/// Holds where one of the clauses holds.
#[derive(Debug)]
pub(super) struct Clauses {
    pub(super) all: Vec<Clause>,
    /// Whether the condition holds wherever they do; else they hold wherever it does, and perhaps elsewhere.
    pub(super) exact: bool,
}

/// Brings conditions to clauses.
#[derive(Debug)]
pub(super) struct Normal<'p, 'r> {
    pub(super) dimensions: &'p [Dimension<'r>],
    pub(super) places: &'p Places<'r>,
    /// The most clauses of a condition.
    pub(super) most: usize,
}

#[derive(Clone, Copy)]
enum Sense {
    Holds,
    Fails,
}

impl Sense {
    fn negated(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
        }
    }
}

impl Normal<'_, '_> {
    pub(super) fn of(&self, condition: &Condition) -> Clauses {
        self.brought(condition, Sense::Holds)
    }

    /// Negation is moved inwards, by De Morgan's laws, until it is upon a test, whose cells it turns into the others.
    fn brought(&self, condition: &Condition, sense: Sense) -> Clauses {
        match (condition, sense) {
            (Condition::Not(one), sense) => self.brought(one, sense.negated()),
            (Condition::All(all), Sense::Holds) | (Condition::Any(all), Sense::Fails) => {
                let mut met = Clauses::always();
                for one in all {
                    match one {
                        Condition::Test(comparison) => self.narrow(&mut met, comparison, sense),
                        Condition::All(_) | Condition::Any(_) | Condition::Not(_) => {
                            met = self.both(met, self.brought(one, sense));
                        }
                    }
                }
                met
            }
            (Condition::Any(any), Sense::Holds) | (Condition::All(any), Sense::Fails) => {
                let parts = any.iter().map(|one| self.brought(one, sense));
                parts.fold(Clauses::never(), |left, right| self.either(left, right))
            }
            (Condition::Test(comparison), sense) => {
                let mut met = Clauses::always();
                self.narrow(&mut met, comparison, sense);
                met
            }
        }
    }

    /// Leaves where a comparison holds, or fails, too.
    fn narrow(&self, clauses: &mut Clauses, comparison: &Comparison, sense: Sense) {
        let Some(place) = self.places.get(&comparison.fact.value).copied() else {
            return clauses.all.clear();
        };
        let dimension = &self.dimensions[place];
        let passing = dimension.passing(&comparison.test);
        let cells = match sense {
            Sense::Holds => passing,
            Sense::Fails => passing.others(dimension.size()),
        };
        if cells.is_empty() {
            clauses.all.clear();
        } else if cells.is_all(dimension.size()) {
        } else if let [only] = clauses.all.as_mut_slice() {
            if !meet(only, place, cells) {
                clauses.all.clear();
            }
        } else {
            clauses
                .all
                .retain_mut(|clause| meet(clause, place, cells.clone()));
        }
    }

    /// Each of the one with each of the other. What would be too many is put in one clause first, which holds more often.
    fn both(&self, mut left: Clauses, mut right: Clauses) -> Clauses {
        if left.all.len() * right.all.len() > self.most {
            let wider = if left.all.len() < right.all.len() {
                &mut right
            } else {
                &mut left
            };
            self.cover(wider);
        }
        if left.all.len() * right.all.len() > self.most {
            self.cover(&mut left);
            self.cover(&mut right);
        }
        let mut both = Clauses {
            all: Vec::new(),
            exact: left.exact && right.exact,
        };
        for one in &left.all {
            for other in &right.all {
                let mut clause = one.clone();
                if other
                    .iter()
                    .all(|(place, cells)| meet(&mut clause, *place, cells.clone()))
                {
                    self.add(&mut both, clause);
                }
            }
        }
        both
    }

    fn either(&self, mut left: Clauses, right: Clauses) -> Clauses {
        left.exact &= right.exact;
        for clause in right.all {
            self.add(&mut left, clause);
        }
        left
    }

    /// Adds a clause; two that differ in one fact alone are one. What would be too many becomes one that holds more often.
    fn add(&self, clauses: &mut Clauses, mut clause: Clause) {
        while let Some(place) = clauses.all.iter().position(|one| differ_in_one(one, &clause)) {
            let other = clauses.all.swap_remove(place);
            clause = self.join(&other, &clause);
        }
        clauses.all.push(clause);
        if clauses.all.len() > self.most {
            self.cover(clauses);
        }
    }

    /// One clause that holds wherever one of them does.
    fn cover(&self, clauses: &mut Clauses) {
        let all = std::mem::take(&mut clauses.all);
        clauses.exact &= all.len() < 2;
        clauses
            .all
            .extend(all.into_iter().reduce(|one, other| self.join(&one, &other)));
    }

    /// Of the facts that both name, the cells of either.
    fn join(&self, one: &Clause, other: &Clause) -> Clause {
        let shared = one.iter().filter_map(|(place, cells)| {
            let (_, others) = other.iter().find(|(fact, _)| fact == place)?;
            let cells = cells.or(others);
            (!cells.is_all(self.dimensions[*place].size())).then_some((*place, cells))
        });
        shared.collect()
    }
}

impl Clauses {
    fn always() -> Self {
        Self {
            all: vec![Clause::new()],
            exact: true,
        }
    }

    fn never() -> Self {
        Self {
            all: Vec::new(),
            exact: true,
        }
    }
}

/// Leaves of a clause where a fact is in these cells, too; whether anything is left.
fn meet(clause: &mut Clause, place: usize, cells: Cells) -> bool {
    match clause.binary_search_by_key(&place, |(fact, _)| *fact) {
        Ok(at) => {
            clause[at].1 = clause[at].1.and(&cells);
            !clause[at].1.is_empty()
        }
        Err(at) => {
            clause.insert(at, (place, cells));
            true
        }
    }
}

/// Whether they name the same facts, and at most one of them with other cells: then the cells of either are exact.
fn differ_in_one(one: &Clause, other: &Clause) -> bool {
    let same = one.len() == other.len() && one.iter().zip(other).all(|(left, right)| left.0 == right.0);
    same && one
        .iter()
        .zip(other)
        .filter(|(left, right)| left.1 != right.1)
        .count()
        < 2
}
