//! What another program would have done with the payments of the past.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::explain::{Considered, Explanation, Kept, KeptFacts};
use super::plan::{Candidate, Plan};
use super::program::Program;
use crate::id::AccountRef;
use crate::money::Currency;

/// What would change if a program had decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Replay {
    /// How many decisions were run through the program.
    pub decisions: u64,
    /// Of how many the whole order stays as it was.
    pub same: u64,
    /// Of how many the first account stays, and what comes after it doesn't.
    pub same_first: u64,
    /// How many would go to another account first.
    pub moved: u64,
    /// How many a rule would block.
    pub blocked: u64,
    /// How many would go nowhere, since no account that could take them is named.
    pub nowhere: u64,
    /// How many can't be told: the program asks about metadata that wasn't kept, since the program of the time didn't.
    pub undecidable: u64,
    /// What goes from which account to which, by currency.
    pub flows: Vec<Flow>,
    /// The expected fees of the first accounts, by currency.
    pub fees: Vec<FeeChange>,
    /// The first of those that change.
    pub examples: Vec<Example>,
}

/// Payments that go from one account to another, or stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Flow {
    /// In this currency.
    pub currency: Currency,
    /// Where they went first.
    pub from: Option<AccountRef>,
    /// Where they would go first; nothing where they are blocked or go nowhere.
    pub to: Option<AccountRef>,
    /// How many.
    pub payments: u64,
    /// How much, in minor units.
    pub minor: i128,
}

/// What payments were expected to cost, and would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FeeChange {
    /// In this currency.
    pub currency: Currency,
    /// Of how many payments both fees are known; the others are in neither sum.
    pub payments: u64,
    /// Before, in minor units.
    pub before_minor: i128,
    /// After, in minor units.
    pub after_minor: i128,
}

/// A payment that would be routed otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Example {
    /// What was known of it.
    pub facts: KeptFacts,
    /// Where it went first.
    pub from: Option<AccountRef>,
    /// Where it would go first.
    pub to: Option<AccountRef>,
    /// Why: the rule, or the reason for which it is blocked.
    pub why: String,
}

/// How many examples are kept.
const EXAMPLES: usize = 20;
/// After how many decisions progress is told.
const STEP: u64 = 10_000;

/// Runs decisions of the past through a program: with the facts, rates and fees of their time, and the accounts that could
/// take the payment then. `progress` is told how many are done, after each ten thousand and at the end.
///
/// Replaying a decision with the program that made it changes nothing.
///
/// ```
/// use paymux_core::routing::{Candidate, Facts, Program, Route, replay};
/// use paymux_core::{AccountRef, ConnectorId, MethodKind, money};
///
/// let before = Program::builder("before").otherwise(Route::ordered(["stripe", "sandbox"]))?;
/// let after = Program::builder("after").otherwise(Route::ordered(["sandbox"]))?;
/// let accounts = ["sandbox", "stripe"]
///     .map(|name| Candidate::new(AccountRef::new(ConnectorId::from_static(name), "main")));
/// let facts = Facts::of("acme", money!("49.99 EUR"), MethodKind::CardToken);
/// let plan = before.plan(&facts, &accounts);
/// let history = plan.explanation();
/// assert_eq!(replay(&before, history, |_done| {}).same, 1);
/// assert_eq!(replay(&after, history, |_done| {}).moved, 1);
/// # Ok::<(), paymux_core::routing::Diagnostics>(())
/// ```
pub fn replay<E: Borrow<Explanation>>(
    program: &Program,
    history: impl IntoIterator<Item = E>,
    mut progress: impl FnMut(u64),
) -> Replay {
    let mut sums = Sums::default();
    for explanation in history {
        sums.add(program, explanation.borrow());
        if sums.replay.decisions.is_multiple_of(STEP) {
            progress(sums.replay.decisions);
        }
    }
    if !sums.replay.decisions.is_multiple_of(STEP) {
        progress(sums.replay.decisions);
    }
    sums.done()
}

/// In which currency, from where, to where.
type Way = (Currency, Option<AccountRef>, Option<AccountRef>);

/// A replay while it runs.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) replay: Replay,
    flows: BTreeMap<Way, (u64, i128)>,
    fees: BTreeMap<Currency, (u64, i128, i128)>,
}

impl Sums {
    pub(crate) fn add(&mut self, program: &Program, was: &Explanation) {
        self.replay.decisions += 1;
        let kept = |key: &str| was.facts.metadata_asked.contains(key);
        if !program.metadata_keys().all(kept) {
            self.replay.undecidable += 1;
            return;
        }
        let candidates: Vec<Candidate> = was.considered.iter().filter_map(candidate).collect();
        let plan = program.plan(&was.facts.facts(), &candidates);
        let before: Vec<&AccountRef> = was.order();
        let after: Vec<&AccountRef> = plan.accounts().iter().map(|planned| &planned.account).collect();
        let (from, to) = (before.first().copied(), after.first().copied());
        if before == after {
            self.replay.same += 1;
        } else {
            match (plan.blocked(), to) {
                (Some(_), _) => self.replay.blocked += 1,
                (None, None) => self.replay.nowhere += 1,
                (None, Some(_)) if from == to => self.replay.same_first += 1,
                (None, Some(_)) => self.replay.moved += 1,
            }
            if self.replay.examples.len() < EXAMPLES {
                self.replay.examples.push(example(was, from, to, &plan));
            }
        }
        self.flow(was, from, to);
        self.fee(was, from, to);
    }

    fn flow(&mut self, was: &Explanation, from: Option<&AccountRef>, to: Option<&AccountRef>) {
        let amount = was.facts.amount;
        let key = (amount.currency(), from.cloned(), to.cloned());
        let (payments, minor) = self.flows.entry(key).or_default();
        *payments += 1;
        *minor += i128::from(amount.minor());
    }

    fn fee(&mut self, was: &Explanation, from: Option<&AccountRef>, to: Option<&AccountRef>) {
        let fee = |account: Option<&AccountRef>| {
            let account = account?;
            was.considered.iter().find(|one| one.account == *account)?.fee
        };
        let (Some(before), Some(after)) = (fee(from), fee(to)) else {
            return;
        };
        let (payments, before_minor, after_minor) = self.fees.entry(before.currency()).or_default();
        *payments += 1;
        *before_minor += i128::from(before.minor());
        *after_minor += i128::from(after.minor());
    }

    pub(crate) fn done(self) -> Replay {
        let flow = |((currency, from, to), (payments, minor))| Flow {
            currency,
            from,
            to,
            payments,
            minor,
        };
        let fee = |(currency, (payments, before_minor, after_minor))| FeeChange {
            currency,
            payments,
            before_minor,
            after_minor,
        };
        Replay {
            flows: self.flows.into_iter().map(flow).collect(),
            fees: self.fees.into_iter().map(fee).collect(),
            ..self.replay
        }
    }
}

/// An account as it stood then, if it could take the payment.
fn candidate(considered: &Considered) -> Option<Candidate> {
    match considered.verdict {
        Kept::At(_) | Kept::NotNamed => Some(Candidate {
            account: considered.account.clone(),
            standing: considered.standing,
            fee: considered.fee,
        }),
        Kept::LeftOut(_) => None,
    }
}

fn example(was: &Explanation, from: Option<&AccountRef>, to: Option<&AccountRef>, plan: &Plan) -> Example {
    let reason = plan.accounts().first().map(|planned| planned.reason.as_str());
    Example {
        facts: was.facts.clone(),
        from: from.cloned(),
        to: to.cloned(),
        why: plan
            .blocked()
            .or(reason)
            .unwrap_or("no account is named")
            .to_owned(),
    }
}

/// For a person: what changes, from where to where, and what it costs.
impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} decisions: {} the same, {} with the same first account, {} moved, {} blocked, {} nowhere, {} undecidable",
            self.decisions,
            self.same,
            self.same_first,
            self.moved,
            self.blocked,
            self.nowhere,
            self.undecidable
        )?;
        for flow in self.flows.iter().filter(|flow| flow.from != flow.to) {
            let name = |account: &Option<AccountRef>| match account {
                Some(account) => account.to_string(),
                None => "nowhere".to_owned(),
            };
            let (from, to) = (name(&flow.from), name(&flow.to));
            writeln!(
                f,
                "  {from} -> {to}: {} payments, {}",
                flow.payments,
                sum(flow.minor, flow.currency)
            )?;
        }
        for fees in &self.fees {
            let (before, after) = (
                sum(fees.before_minor, fees.currency),
                sum(fees.after_minor, fees.currency),
            );
            writeln!(f, "  fees of {} payments: {before} -> {after}", fees.payments)?;
        }
        Ok(())
    }
}

fn sum(minor: i128, currency: Currency) -> String {
    match i64::try_from(minor) {
        Ok(minor) => crate::money::Money::from_minor(minor, currency).to_string(),
        Err(_) => format!("{minor} minor units of {currency}"),
    }
}
