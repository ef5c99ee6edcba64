//! One fact of a program: the cells that its values fall into, and which of them pass a test.

use rustc_hash::FxHashMap;

use super::super::facts::{Country, FactKind, FactName};
use super::super::rule::{MoneyValue, Test, Value};
use super::Lists;
use super::cells::{Cells, Run};
use super::lookup::{By, Lookup, Numbers};
use super::scalars::{PLAIN, Scalar, ScalarCells};
use super::texts::TextCells;

/// The cells of one fact: all values in one cell pass the same of the program's tests. Cell 0 is "not known", and passes
/// none.
#[derive(Debug)]
pub(super) struct Dimension<'r> {
    fact: &'r FactName,
    domain: Domain<'r>,
    lists: FxHashMap<&'r str, Cells>,
    order: Order,
}

#[derive(Debug)]
enum Domain<'r> {
    Texts(TextCells<'r>),
    Scalars(ScalarCells),
}

impl<'r> Dimension<'r> {
    pub(super) fn new(fact: &'r FactName) -> Self {
        let domain = match fact.kind() {
            FactKind::Amount | FactKind::Number(..) => Domain::Scalars(ScalarCells::default()),
            FactKind::Word(_) | FactKind::Country | FactKind::Text => Domain::Texts(TextCells::default()),
        };
        Self {
            fact,
            domain,
            lists: FxHashMap::default(),
            order: Order::default(),
        }
    }

    /// Takes what a test tells apart.
    pub(super) fn mention(&mut self, test: &'r Test, lists: &Lists<'r>) {
        match test {
            Test::In(values) => values
                .iter()
                .for_each(|value| self.domain.mention(self.fact, &value.value)),
            Test::InList(name) => {
                let name = name.value.as_str();
                if let Some(values) = lists.get(name)
                    && self.lists.insert(name, Cells::default()).is_none()
                {
                    values
                        .iter()
                        .for_each(|value| self.domain.mention(self.fact, &value.value));
                }
            }
            Test::Range { at_least, below } => {
                if let Domain::Scalars(scalars) = &mut self.domain {
                    let bounds = at_least.iter().chain(below);
                    let bounds = bounds.filter_map(|bound| scalar(self.fact, &bound.value));
                    bounds.for_each(|bound| scalars.mention_bound(bound));
                }
            }
            Test::StartsWith(beginnings) => {
                if let Domain::Texts(texts) = &mut self.domain {
                    beginnings
                        .iter()
                        .for_each(|one| texts.mention_beginning(&one.value));
                }
            }
            Test::Present => {}
        }
    }

    /// Numbers the cells, when all tests were mentioned.
    pub(super) fn seal(&mut self, lists: &Lists<'r>) {
        match &mut self.domain {
            Domain::Texts(texts) => texts.seal(),
            Domain::Scalars(scalars) => scalars.seal(),
        }
        if self.lists.is_empty() {
            return;
        }
        let mut names: Vec<&str> = self.lists.keys().copied().collect();
        names.sort_unstable();
        let listed = |name: &&'r str| {
            let values = lists.get(name).copied().unwrap_or_default().iter();
            let runs = values.filter_map(|value| self.domain.exact(self.fact, &value.value));
            runs.map(|run| run.0).collect()
        };
        let members: Vec<Vec<u32>> = names.iter().map(listed).collect();
        self.order = Order::by(&members, self.size());
        for (name, cells) in names.into_iter().zip(members) {
            let runs = cells.into_iter().map(|cell| (cell, cell + 1));
            let cells = self.ordered(runs);
            self.lists.insert(name, cells);
        }
    }

    /// How many cells there are.
    pub(super) fn size(&self) -> u32 {
        match &self.domain {
            Domain::Texts(texts) => texts.size(),
            Domain::Scalars(scalars) => scalars.size(),
        }
    }

    /// The cells that pass a test which was mentioned.
    pub(super) fn passing(&self, test: &Test) -> Cells {
        match test {
            Test::In(values) => self.ordered(
                values
                    .iter()
                    .filter_map(|value| self.domain.exact(self.fact, &value.value)),
            ),
            Test::InList(name) => self.lists.get(name.value.as_str()).cloned().unwrap_or_default(),
            Test::Range {
                at_least: None,
                below: None,
            }
            | Test::Present => self.ordered([(1, self.size())]),
            Test::Range { at_least, below } => {
                let at_least = at_least.as_ref().map(|bound| &bound.value);
                let below = below.as_ref().map(|bound| &bound.value);
                self.ordered(self.range(at_least, below))
            }
            Test::StartsWith(beginnings) => match &self.domain {
                Domain::Texts(texts) => {
                    self.ordered(beginnings.iter().filter_map(|one| texts.beginning(&one.value)))
                }
                Domain::Scalars(_) => Cells::default(),
            },
        }
    }

    /// A bound of another kind than the fact's, and bounds in two currencies, leave nothing between them.
    fn range(&self, at_least: Option<&Value>, below: Option<&Value>) -> Option<Run> {
        let Domain::Scalars(scalars) = &self.domain else {
            return None;
        };
        let bound = |value: Option<&Value>| match value {
            Some(value) => scalar(self.fact, value).map(Some),
            None => Some(None),
        };
        match (bound(at_least)?, bound(below)?) {
            (Some((scale, least)), Some((other, most))) if scale == other => {
                Some(scalars.range(scale, Some(least), Some(most)))
            }
            (Some(_), Some(_)) | (None, None) => None,
            (Some((scale, least)), None) => Some(scalars.range(scale, Some(least), None)),
            (None, Some((scale, most))) => Some(scalars.range(scale, None, Some(most))),
        }
    }

    fn ordered(&self, runs: impl IntoIterator<Item = Run>) -> Cells {
        let mut placed = Vec::new();
        for run in runs {
            self.order.place(run, &mut placed);
        }
        Cells::of(placed)
    }

    /// How a payment's row is found, of what `row` says of the cells.
    pub(super) fn lookup(&self, row: impl Fn(u32) -> u32) -> Lookup {
        let row = |cell: u32| row(self.order.position(cell));
        let by = match (&self.domain, self.fact.kind()) {
            (Domain::Texts(texts), FactKind::Word(words)) => {
                let texts = texts.lookup(row);
                By::Place(words.iter().map(|word| texts.row(word)).collect())
            }
            (Domain::Texts(texts), FactKind::Country) => {
                let texts = texts.lookup(row);
                let countries = (0..Country::PLACES).map(Country::at);
                By::Place(countries.map(|country| texts.row(country.as_str())).collect())
            }
            (Domain::Texts(texts), FactKind::Text | FactKind::Amount | FactKind::Number(..)) => {
                By::Text(texts.lookup(row))
            }
            (Domain::Scalars(scalars), FactKind::Number(_, most)) => {
                By::Number(Numbers::new(scalars.lookup(row), most))
            }
            (
                Domain::Scalars(scalars),
                FactKind::Amount | FactKind::Text | FactKind::Country | FactKind::Word(_),
            ) => By::Amount(scalars.lookup(row)),
        };
        Lookup {
            fact: self.fact.clone(),
            absent: row(0),
            by,
        }
    }
}

impl<'r> Domain<'r> {
    fn mention(&mut self, fact: &FactName, value: &'r Value) {
        match (self, value) {
            (Self::Texts(texts), Value::Text(text)) => texts.mention(text),
            (Self::Texts(_), Value::Number(_) | Value::Money(_)) => {}
            (Self::Scalars(scalars), value) => {
                if let Some(scalar) = scalar(fact, value) {
                    scalars.mention(scalar);
                }
            }
        }
    }

    /// The cell of one value; none for a value of another kind, which nothing equals.
    fn exact(&self, fact: &FactName, value: &Value) -> Option<Run> {
        match (self, value) {
            (Self::Texts(texts), Value::Text(text)) => texts.exact(text),
            (Self::Texts(_), Value::Number(_) | Value::Money(_)) => None,
            (Self::Scalars(scalars), value) => Some(scalars.exact(scalar(fact, value)?)),
        }
    }
}

/// A value in its scale; none for a value of another kind than the fact's.
fn scalar(fact: &FactName, value: &Value) -> Option<Scalar> {
    match (fact.kind(), value) {
        (FactKind::Amount, Value::Money(MoneyValue { currency, minor })) => Some((currency.place(), *minor)),
        (FactKind::Number(..), Value::Number(number)) => Some((PLAIN, *number)),
        (FactKind::Amount, Value::Text(_) | Value::Number(_))
        | (FactKind::Number(..), Value::Text(_) | Value::Money(_))
        | (FactKind::Text | FactKind::Word(_) | FactKind::Country, _) => None,
    }
}

/// The order in which cells are swept. Without lists, their own. With lists, the cells of the same lists stand side by side,
/// so that a list of thousands of values is a run or few, however many rules name it.
#[derive(Debug, Default)]
struct Order {
    /// Each ascending.
    groups: Vec<Vec<u32>>,
    /// Of each cell; empty: its own.
    positions: Vec<u32>,
}

impl Order {
    fn by(members: &[Vec<u32>], size: u32) -> Self {
        let mut lists_of: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
        for (list, cells) in members.iter().enumerate() {
            for cell in cells {
                let lists = lists_of.entry(*cell).or_default();
                if lists.last() != Some(&list) {
                    lists.push(list);
                }
            }
        }
        let lists = |cell: &u32| lists_of.get(cell).map_or(&[][..], Vec::as_slice);
        let mut cells: Vec<u32> = (0..size).collect();
        cells.sort_by(|one, other| lists(one).cmp(lists(other)));
        let mut positions = vec![0; cells.len()];
        for (position, cell) in (0..).zip(&cells) {
            positions[*cell as usize] = position;
        }
        let groups = cells.chunk_by(|one, other| lists(one) == lists(other));
        Self {
            groups: groups.map(<[u32]>::to_vec).collect(),
            positions,
        }
    }

    fn position(&self, cell: u32) -> u32 {
        self.positions.get(cell as usize).copied().unwrap_or(cell)
    }

    fn place(&self, (from, to): Run, placed: &mut Vec<Run>) {
        if from + 1 >= to || self.groups.is_empty() {
            let position = self.position(from);
            placed.push((position, position + to.saturating_sub(from)));
            return;
        }
        let mut start = 0;
        for group in &self.groups {
            let run = [from, to].map(|end| start + group.partition_point(|cell| *cell < end));
            if let [Ok(from), Ok(to)] = run.map(u32::try_from) {
                placed.push((from, to));
            }
            start += group.len();
        }
    }
}
