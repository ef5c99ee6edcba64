//! The payments that the suite tries: what the account admits and the opening request takes.

use paymux_core::connector::{Authorization, Exchange, Requirement, op};
use paymux_core::{CaptureMethod, Currency, Money, PaymentMethod, Rest};

use super::ConnectorSuite;
use super::report::{Clause, Report};
use super::requests::attempt;
use super::sample::{Facts, Sample, Which, key, methods};

/// Neighbours show what a lossy conversion hides; the round ones are for processors that take nothing finer.
const MINORS: [i64; 14] = [
    1_230, 1_231, 1_240, 4_990, 100_000, 100_100, 100, 101, 110, 5, 6, 10, 7_000_000, 7_000_100,
];

const AMOUNTS_PER_CURRENCY: usize = 4;

/// Payments that can be asked for; the first one is the one that most is tried on.
#[derive(Debug)]
pub(super) struct Payments(Vec<Facts>);

impl Payments {
    pub(super) fn of(suite: &ConnectorSuite) -> Self {
        let candidates = if suite.methods.is_empty() {
            methods()
        } else {
            suite.methods.clone()
        };
        let found = candidates.into_iter().map(|method| with_method(suite, &method));
        Self(
            found
                .into_iter()
                .find(|found| !found.is_empty())
                .unwrap_or_default(),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Facts> {
        self.0.first()
    }

    /// One payment per amount.
    pub(super) fn all(&self) -> &[Facts] {
        &self.0
    }

    pub(super) fn check(&self, suite: &ConnectorSuite, report: &mut Report) {
        report.note(
            Clause::Stated,
            match self.is_empty() {
                true => Err(
                    "no sample payment can be asked for: name a method that it takes with `.method(…)`"
                        .into(),
                ),
                false => Ok(()),
            },
        );
        self.limits(suite, report);
        self.rests(suite, report);
    }

    /// Where several captures are taken, one that isn't the last must say so, else it gives the rest back.
    fn rests(&self, suite: &ConnectorSuite, report: &mut Report) {
        let connector = &suite.connector;
        let (Some((_, capture)), Requirement::Required) = (
            connector.slots().capture(),
            connector.capabilities().rest_with_capture(),
        ) else {
            return;
        };
        for facts in &self.0 {
            let asked = [Rest::Keep, Rest::Release].map(|rest| {
                let op = op::Capture::new(facts.reference.clone(), facts.handle.clone(), facts.amount, rest);
                attempt(|| capture.request(&op, &key::<op::Capture>(Which::One)))
            });
            report.note(
                Clause::Limits,
                match asked {
                    [Err(panic), _] | [_, Err(panic)] => Err(panic),
                    [Ok(Err(refused)), _] => Err(format!(
                        "it offers several captures, and refuses one that isn't the last: {}",
                        refused.fault()
                    )),
                    [Ok(Ok(_)), Ok(Err(_))] => Ok(()),
                    [Ok(Ok(keep)), Ok(Ok(release))] if keep.wire_hash() != release.wire_hash() => Ok(()),
                    [Ok(Ok(_)), Ok(Ok(_))] => {
                        Err("a capture that keeps the rest and one that releases it are asked for in the same bytes".into())
                    }
                },
            );
        }
    }

    /// Whatever is asked for, however odd, is asked as such or refused; it is never a panic, and never passed off as
    /// something else.
    fn limits(&self, suite: &ConnectorSuite, report: &mut Report) {
        let Some(first) = self.first() else { return };
        for facts in Currency::ALL.iter().flat_map(|currency| {
            [0, 1, i64::MAX].map(|minor| first.amount(Money::from_minor(minor, *currency)))
        }) {
            let asked = opening(suite, &facts).map(|_| ());
            report.note(
                Clause::Limits,
                asked.map_err(|panic| format!("{panic} at {}", facts.amount)),
            );
        }
        let captures = [CaptureMethod::Automatic, CaptureMethod::Manual];
        distinct(
            suite,
            report,
            &captures.map(|capture| Facts {
                capture,
                ..first.clone()
            }),
        );
        distinct(
            suite,
            report,
            &methods()
                .into_iter()
                .map(|method| first.method(method))
                .collect::<Vec<_>>(),
        );
    }
}

/// What is taken must be asked for in different bytes, else one of them is passed off as another.
fn distinct(suite: &ConnectorSuite, report: &mut Report, all: &[Facts]) {
    let name = |facts: &Facts| format!("{:?} with {:?} capture", facts.method.kind(), facts.capture);
    let mut seen: Vec<(Vec<[u8; 32]>, &Facts)> = Vec::new();
    for facts in all {
        report.note(
            Clause::Limits,
            match opening(suite, facts) {
                Err(panic) => Err(format!("{panic} at {}", name(facts))),
                Ok(None) => Ok(()),
                Ok(Some(bytes)) => match seen.iter().find(|(earlier, _)| *earlier == bytes) {
                    None => {
                        seen.push((bytes, facts));
                        Ok(())
                    }
                    Some((_, earlier)) => Err(format!(
                        "{} and {} are asked for in the same bytes",
                        name(earlier),
                        name(facts)
                    )),
                },
            },
        );
    }
}

fn with_method(suite: &ConnectorSuite, method: &PaymentMethod) -> Vec<Facts> {
    let mut found = Vec::new();
    // The euro first, where it is taken, so that what is printed is easily read.
    let currencies = [Currency::EUR]
        .into_iter()
        .chain(Currency::ALL.iter().copied().filter(|c| *c != Currency::EUR));
    for currency in currencies {
        let amounts = MINORS.iter().filter_map(|minor| {
            let amount = Money::from_minor(*minor, currency);
            [CaptureMethod::Manual, CaptureMethod::Automatic]
                .into_iter()
                .find_map(|capture| {
                    let facts = Facts::new(suite.handle.clone(), amount, method.clone(), capture);
                    matches!(opening(suite, &facts), Ok(Some(_))).then_some(facts)
                })
        });
        found.extend(amounts.take(AMOUNTS_PER_CURRENCY));
    }
    found
}

/// What asks for a payment: the hash of each request. `None` where the account's limits or a request refuse it, and
/// an error where that panics.
fn opening(suite: &ConnectorSuite, facts: &Facts) -> Result<Option<Vec<[u8; 32]>>, String> {
    fn ask<O: Sample>(exchange: &dyn Exchange<O>, facts: &Facts) -> Result<Option<[u8; 32]>, String> {
        let request = attempt(|| exchange.request(&O::of(facts), &key::<O>(Which::One)))?;
        Ok(request.ok().map(|request| request.wire_hash()))
    }
    if suite
        .connector
        .capabilities()
        .admit(facts.amount, &facts.method, facts.capture)
        .is_err()
    {
        return Ok(None);
    }
    let hashes = match suite.connector.slots().authorize() {
        Some(Authorization::OneCall(_, exchange)) => vec![ask::<op::Authorize>(exchange.as_ref(), facts)?],
        Some(Authorization::HandleFirst { prepare, execute }) => vec![
            ask::<op::Prepare>(prepare.1.as_ref(), facts)?,
            ask::<op::Execute>(execute.1.as_ref(), facts)?,
        ],
        // An account that opens no payments has nothing to refuse here.
        Some(_) | None => return Ok(Some(Vec::new())),
    };
    Ok(hashes.into_iter().collect())
}
