//! From a condition to clauses: sets of cells that must all be met, of which one must be.

use rustc_hash::FxHashMap;

use super::super::facts::FactName;
use super::super::rule::Condition;
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

impl Normal<'_, '_> {
    pub(super) fn of(&self, condition: &Condition) -> Clauses {
        self.brought(condition, Sense::Holds)
    }

    /// Negation is moved inwards, by De Morgan's laws, until it is upon a test, whose cells it turns into the others.
    fn brought(&self, condition: &Condition, sense: Sense) -> Clauses {
        match (condition, sense) {
            (Condition::Not(one), Sense::Holds) => self.brought(one, Sense::Fails),
            (Condition::Not(one), Sense::Fails) => self.brought(one, Sense::Holds),
            (Condition::All(all), Sense::Holds) | (Condition::Any(all), Sense::Fails) => {
                let parts = all.iter().map(|one| self.brought(one, sense));
                parts.fold(Clauses::always(), |left, right| self.both(left, right))
            }
            (Condition::Any(any), Sense::Holds) | (Condition::All(any), Sense::Fails) => {
                let parts = any.iter().map(|one| self.brought(one, sense));
                parts.fold(Clauses::never(), |left, right| self.either(left, right))
            }
            (Condition::Test(comparison), sense) => {
                let Some(place) = self.places.get(&comparison.fact.value) else {
                    return Clauses::never();
                };
                let cells = self.dimensions[*place].passing(&comparison.test);
                let cells = match sense {
                    Sense::Holds => cells,
                    Sense::Fails => cells.others(self.dimensions[*place].size()),
                };
                self.within(*place, cells)
            }
        }
    }

    fn within(&self, place: usize, cells: Cells) -> Clauses {
        if cells.is_empty() {
            Clauses::never()
        } else if cells.is_all(self.dimensions[place].size()) {
            Clauses::always()
        } else {
            Clauses::exactly(vec![vec![(place, cells)]])
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
                if let Some(clause) = meet(one, other) {
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
    fn exactly(all: Vec<Clause>) -> Self {
        Self { all, exact: true }
    }

    fn always() -> Self {
        Self::exactly(vec![Clause::new()])
    }

    fn never() -> Self {
        Self::exactly(Vec::new())
    }
}

/// The clause that holds where both do, if there is such a place.
fn meet(one: &Clause, other: &Clause) -> Option<Clause> {
    let mut met = Clause::with_capacity(one.len() + other.len());
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    loop {
        let (place, cells) = match (left.peek(), right.peek()) {
            (Some((fact, cells)), Some((same, others))) if fact == same => {
                let both = cells.and(others);
                left.next();
                right.next();
                (*fact, both)
            }
            (Some((fact, cells)), Some((later, _))) if fact < later => {
                left.next();
                (*fact, cells.clone())
            }
            (_, Some((fact, cells))) => {
                right.next();
                (*fact, cells.clone())
            }
            (Some((fact, cells)), None) => {
                left.next();
                (*fact, cells.clone())
            }
            (None, None) => return Some(met),
        };
        if cells.is_empty() {
            return None;
        }
        met.push((place, cells));
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
