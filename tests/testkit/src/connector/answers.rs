//! The clauses about what is read.

use bytes::Bytes;
use http::StatusCode;
use paymux_core::connector::{
    Contradiction, Echo, Echoes, Exchange, NotExecuted, Operation, Outcome, Response, outcome_of,
};
use paymux_core::{Currency, DeclineCode, Money};

use super::payments::Payments;
use super::report::{Clause, Report};
use super::requests::attempt;
use super::sample::{Facts, Reading, Sample, Which, key};
use super::{Case, ConnectorSuite, noise};

/// Whatever comes with them proves nothing: what stands between may have made them, before or after the processor
/// acted.
const DOUBTFUL: [u16; 25] = [
    300, 301, 302, 303, 304, 307, 308, 408, 409, 425, 500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 521,
    522, 523, 524, 599,
];

/// What an answer may repeat.
const AMOUNT: &str = "amount";
const CURRENCY: &str = "currency";
const REFERENCE: &str = "reference";

/// The texts that are nearly something, and some that are nothing.
const GARBAGE_PER_STATUS: usize = 32;

impl ConnectorSuite {
    pub(super) fn answers<O: Sample>(
        &self,
        [one, two]: [&dyn Exchange<O>; 2],
        payments: &Payments,
        report: &mut Report,
    ) {
        let reader = Reader {
            one,
            two,
            echoes: self.connector.capabilities().promised_echoes(),
        };
        // What an account can't be asked, it can't have answered.
        let asked = |facts: &&Facts| {
            matches!(
                attempt(|| one.request(&O::of(facts), &key::<O>(Which::One))),
                Ok(Ok(_))
            )
        };
        let asked: Vec<&Facts> = payments.all().iter().filter(asked).collect();
        let Some(facts) = asked.first() else { return };
        self.examples::<O>(report);
        let answer = |case| self.answer::<O>(case);
        match answer(Case::Accepted) {
            None => {
                report.not_asked(Clause::Accepted, "no example is given");
                report.not_asked(Clause::Echo, "no example of a success is given");
            }
            Some(answer) => {
                for facts in &asked {
                    report.note(Clause::Accepted, reader.accepted(facts, &answer(&O::of(facts))));
                }
                reader.echo(facts, &asked, answer, report);
            }
        }
        match answer(Case::Declined) {
            None if is_read::<O>() => {}
            None => report.not_asked(Clause::Declined, "no example is given"),
            Some(answer) => report.note(Clause::Declined, reader.declined(facts, &answer(&O::of(facts)))),
        }
        match answer(Case::Refused) {
            None if is_read::<O>() => {}
            None => report.not_asked(Clause::Refused, "no example is given"),
            Some(answer) => report.note(Clause::Refused, reader.refused(facts, &answer(&O::of(facts)))),
        }
        if let Some(answer) = answer(Case::Absent) {
            report.note(Clause::Absent, reader.absent(facts, &answer(&O::of(facts))));
        }
        let cases = [Case::Accepted, Case::Declined, Case::Refused, Case::Absent];
        let examples = cases
            .into_iter()
            .filter_map(|case| Some((case, answer(case)?(&O::of(facts)))));
        reader.noise(facts, &examples.collect::<Vec<_>>(), report);
    }

    fn examples<O: Sample>(&self, report: &mut Report) {
        let given = |case| self.answer::<O>(case).is_some();
        let is_read = is_read::<O>();
        report.note(
            Clause::Stated,
            match (is_read, given(Case::Accepted), given(Case::Absent)) {
                (false, false, _) => {
                    Err("say what a success looks like, with `.when(Case::Accepted, …)`".into())
                }
                (true, false, false) => Err("say what is found, or that nothing is, with `.when(…)`".into()),
                (false, true, true) => Err("`Case::Absent` is for reads and look-ups".into()),
                (false, true, false) | (true, true, _) | (true, false, true) => Ok(()),
            },
        );
    }
}

fn is_read<O: Operation>() -> bool {
    use paymux_core::connector::op::*;
    [Read::STEP, LookUp::STEP, ReadRefund::STEP, LookUpRefund::STEP].contains(&O::STEP)
}

/// An echo of nothing, of the amount, of the reference, and of both.
fn echoes_of(facts: &Facts) -> [Echo; 4] {
    let amount = Echo::none().amount(facts.amount);
    [
        Echo::none(),
        amount.clone(),
        Echo::none().reference(&facts.reference),
        amount.reference(&facts.reference),
    ]
}

struct Reader<'a, O: Operation> {
    one: &'a dyn Exchange<O>,
    two: &'a dyn Exchange<O>,
    echoes: Echoes,
}

impl<O: Sample> Reader<'_, O> {
    /// What the engine would make of an answer. A parser that panics is a doubt there, and a breach here.
    fn read(&self, facts: &Facts, answer: &Response) -> Result<Outcome<O::Report>, String> {
        let op = O::of(facts);
        // `outcome_of` catches a panic, so that it is looked for before.
        let _ = attempt(|| self.one.report(&op, answer))
            .map_err(|panic| format!("{panic} while it reads an answer"))?;
        Ok(outcome_of(self.one, &op, answer, self.echoes))
    }

    fn accepted(&self, facts: &Facts, answer: &Response) -> Result<(), String> {
        let outcome = self.read(facts, answer)?;
        let elsewhere = outcome_of(self.two, &O::of(facts), answer, self.echoes);
        if outcome != elsewhere {
            return Err("another instance reads the answer otherwise".into());
        }
        let report = match outcome {
            Outcome::Answered(report) => report,
            Outcome::NotExecuted(proof) => {
                return Err(format!("a success over {} reads: {proof}", facts.amount));
            }
            Outcome::Unknown(doubt) => {
                return Err(format!(
                    "a success over {} reads as a doubt: {}",
                    facts.amount, doubt.why
                ));
            }
        };
        match O::reading(&report) {
            Reading::Taken { handle: None, .. } => Err("a success has no handle".into()),
            Reading::Taken {
                handle: Some(handle), ..
            } if handle.as_str().is_empty() => Err("a success has an empty handle".into()),
            // Core compares what is sent with a payment; what a read finds may rightly differ from what was asked,
            // so that only the example tells.
            Reading::Taken { echo: Some(echo), .. } if O::of(facts).sent().is_none() => {
                if self.promised(facts).contains(echo) {
                    Ok(())
                } else {
                    Err(format!(
                        "a success over {} doesn't repeat what the capabilities promise",
                        facts.amount
                    ))
                }
            }
            Reading::Taken { .. } => Ok(()),
            reading => Err(format!("a success reads as {reading:?}")),
        }
    }

    /// The echoes that are as promised and as sent: more than was promised may be there.
    fn promised(&self, facts: &Facts) -> Vec<Echo> {
        let [none, amount, reference, both] = echoes_of(facts);
        match self.echoes {
            Echoes::Nothing => vec![none, amount, reference, both],
            Echoes::Amount => vec![amount, both],
            Echoes::Reference => vec![reference, both],
            Echoes::AmountAndReference => vec![both],
        }
    }

    fn promises(&self, what: &str) -> bool {
        match self.echoes {
            Echoes::Nothing => false,
            Echoes::Amount => what != REFERENCE,
            Echoes::Reference => what == REFERENCE,
            Echoes::AmountAndReference => true,
        }
    }

    /// Asks one thing and answers another. What the example of a success repeats must be compared, promised or not.
    fn echo(&self, facts: &Facts, asked: &[&Facts], answer: &dyn Fn(&O) -> Response, report: &mut Report) {
        let (amount, reference) = self.repeats(facts, &answer(&O::of(facts)));
        if !amount && !reference {
            report.not_asked(Clause::Echo, "a success repeats nothing, and nothing is promised");
        }
        let mut others = Vec::new();
        if amount {
            let (minor, currency) = (facts.amount.minor(), facts.amount.currency());
            let other = if currency == Currency::USD {
                Currency::EUR
            } else {
                Currency::USD
            };
            others.push((AMOUNT, facts.amount(Money::from_minor(minor + 1, currency))));
            others.push((CURRENCY, facts.amount(Money::from_minor(minor, other))));
            let differ = asked.iter().filter(|other| other.amount != facts.amount);
            others.extend(differ.map(|other| (AMOUNT, (*other).clone())));
        }
        if reference {
            others.push((REFERENCE, facts.reference(Which::Another)));
        }
        for (what, other) in others {
            let answered = answer(&O::of(&other));
            report.note(Clause::Echo, self.contradicted(what, facts, &other, &answered));
        }
    }

    /// Whether the amount, and whether our reference, is promised or repeated.
    fn repeats(&self, facts: &Facts, answer: &Response) -> (bool, bool) {
        let (amount, reference) = (self.promises(AMOUNT), self.promises(REFERENCE));
        let Ok(Outcome::Answered(report)) = self.read(facts, answer) else {
            return (amount, reference);
        };
        let Reading::Taken { echo: Some(echo), .. } = O::reading(&report) else {
            return (amount, reference);
        };
        let [_, only_amount, only_reference, both] = echoes_of(facts);
        (
            amount || *echo == only_amount || *echo == both,
            reference || *echo == only_reference || *echo == both,
        )
    }

    fn contradicted(
        &self,
        what: &str,
        facts: &Facts,
        other: &Facts,
        answer: &Response,
    ) -> Result<(), String> {
        let compared_by_core = O::of(facts).sent().is_some();
        match self.read(facts, answer)? {
            // What is promised, core compares; the rest a connector may see to alone.
            Outcome::Unknown(doubt)
                if doubt.contradicts == Contradiction::None && compared_by_core && self.promises(what) =>
            {
                Err(format!(
                    "another {what} is a doubt, but no contradiction: {}",
                    doubt.why
                ))
            }
            Outcome::Unknown(_) => Ok(()),
            Outcome::NotExecuted(proof) => Err(format!("another {what} reads: {proof}")),
            Outcome::Answered(report) => match O::reading(&report) {
                // A look-up may search the answer for our reference and rightly find nothing.
                Reading::Absent | Reading::Continued if is_read::<O>() => Ok(()),
                Reading::Taken { echo: Some(echo), .. }
                    if !compared_by_core && echoes_of(other).contains(echo) =>
                {
                    Ok(())
                }
                _ => Err(format!("another {what} in the answer goes unnoticed")),
            },
        }
    }

    fn declined(&self, facts: &Facts, answer: &Response) -> Result<(), String> {
        match self.read(facts, answer)? {
            Outcome::Answered(report) => match O::reading(&report) {
                // A close is refused for reasons of its own; anything else has an issuer's or a processor's reason.
                Reading::Declined(decline)
                    if decline.code() == DeclineCode::Unmapped && O::EFFECT.is_some() =>
                {
                    Err("the example's code isn't in the connector's table of declines".into())
                }
                Reading::Declined(_) => Ok(()),
                reading => Err(format!("a decline reads as {reading:?}")),
            },
            Outcome::NotExecuted(proof) => Err(format!("a decline reads: {proof}")),
            Outcome::Unknown(doubt) => Err(format!("a decline reads as a doubt: {}", doubt.why)),
        }
    }

    fn refused(&self, facts: &Facts, answer: &Response) -> Result<(), String> {
        match self.read(facts, answer)? {
            Outcome::NotExecuted(NotExecuted::Refused(_)) => Ok(()),
            Outcome::NotExecuted(proof) => Err(format!("a refusal reads: {proof}")),
            Outcome::Answered(report) => Err(format!("a refusal reads as {:?}", O::reading(&report))),
            Outcome::Unknown(doubt) => Err(format!("a refusal reads as a doubt: {}", doubt.why)),
        }
    }

    fn absent(&self, facts: &Facts, answer: &Response) -> Result<(), String> {
        match self.read(facts, answer)? {
            Outcome::Answered(report) => match O::reading(&report) {
                Reading::Absent => Ok(()),
                reading => Err(format!("nothing reads as {reading:?}")),
            },
            Outcome::NotExecuted(proof) => Err(format!("nothing reads: {proof}")),
            Outcome::Unknown(doubt) => Err(format!("nothing reads as a doubt: {}", doubt.why)),
        }
    }

    /// Everything that may stand between a processor and us.
    fn noise(&self, facts: &Facts, examples: &[(Case, Response)], report: &mut Report) {
        let bodies = examples.iter().map(|(_, example)| example.bytes().clone());
        let bodies: Vec<Bytes> = bodies
            .chain(noise::garbage().into_iter().take(GARBAGE_PER_STATUS))
            .collect();
        let headers = examples
            .first()
            .map(|(_, example)| example.headers().clone())
            .unwrap_or_default();
        for status in DOUBTFUL {
            for body in &bodies {
                let status_code = StatusCode::from_u16(status).unwrap_or_default();
                let answer = Response::from_parts(status_code, headers.clone(), body.clone());
                let doubt = self.doubt(facts, &answer);
                report.note(
                    Clause::Doubtful,
                    doubt.map_err(|found| format!("status {status}: {found}")),
                );
            }
        }
        // A refusal, too, is proved by its body where it has one: a gateway answers with the same statuses.
        for (case, example) in examples {
            if example.bytes().trim_ascii().is_empty() {
                report.not_asked(Clause::Cut, "the example has no body");
                continue;
            }
            let with = |body| Response::from_parts(example.status(), example.headers().clone(), body);
            for body in noise::cuts(example.bytes()) {
                let found = format!(
                    "{case:?} cut to {} of {} bytes",
                    body.len(),
                    example.bytes().len()
                );
                let doubt = self.doubt(facts, &with(body));
                report.note(Clause::Cut, doubt.map_err(|what| format!("{found}: {what}")));
            }
            for body in noise::garbage() {
                let doubt = self.doubt(facts, &with(body));
                report.note(
                    Clause::Garbage,
                    doubt.map_err(|what| format!("at {}: {what}", example.status())),
                );
            }
            // What is nearly right may mean something, but must not break anything.
            for body in noise::flips(example.bytes())
                .into_iter()
                .chain(noise::confusions(example.bytes()))
            {
                let read = self.read(facts, &with(body)).map(|_| ());
                report.note(
                    Clause::Garbage,
                    read.map_err(|what| format!("{case:?}, nearly: {what}")),
                );
            }
        }
    }

    fn doubt(&self, facts: &Facts, answer: &Response) -> Result<(), String> {
        match self.read(facts, answer)? {
            Outcome::Unknown(doubt) if doubt.why.contains(noise::MARK) => {
                Err("it repeats the answer's bytes".into())
            }
            Outcome::Unknown(_) => Ok(()),
            Outcome::NotExecuted(proof) => Err(format!("it is taken for a proof: {proof}")),
            Outcome::Answered(report) => Err(format!("it is taken for an answer: {:?}", O::reading(&report))),
        }
    }
}
