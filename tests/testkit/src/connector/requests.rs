//! The clauses about what is sent.

use std::panic::{AssertUnwindSafe, catch_unwind};

use paymux_core::PaymentMethod;
use paymux_core::connector::{Exchange, Handle, Key, Operation, Request, Step, Unsendable};

use super::ConnectorSuite;
use super::payments::Payments;
use super::report::{Clause, Report};
use super::sample::{Facts, NamedBy, Sample, Shows, VOLATILE_TEXTS, Which, is_volatile, key, methods};

/// Calls into a connector; a panic of its is an error.
pub(super) fn attempt<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| "it panics".to_owned())
}

impl ConnectorSuite {
    pub(super) fn requests<O: Sample>(
        &self,
        step: Option<Step>,
        [one, two]: [&dyn Exchange<O>; 2],
        payments: &Payments,
        report: &mut Report,
    ) -> Option<Request> {
        let ask = Asking { one, two };
        let found = payments
            .all()
            .iter()
            .find_map(|facts| Some((facts, ask.request(facts).ok()?.ok()?)));
        let Some((facts, request)) = found else {
            report.note(Clause::Stated, Err(ask.unasked(payments)));
            return None;
        };
        if let Some(step) = step {
            report.note(Clause::Effect, effect::<O>(step));
        }
        for facts in payments.all() {
            report.note(Clause::Pure, ask.pure(facts));
        }
        match step.map(|step| step.key()) {
            Some(Key::Header { .. }) => report.note(Clause::Keyed, ask.keyed(facts)),
            Some(Key::None) => report.not_asked(Clause::Keyed, "no key is declared"),
            None => {}
        }
        ask.volatile(facts, report);
        self.amounts(&ask, payments, report);
        report.note(Clause::Named, ask.named(facts));
        self.silent(&one, std::slice::from_ref(&request), report);
        Some(request)
    }

    fn amounts<O: Sample>(&self, ask: &Asking<'_, O>, payments: &Payments, report: &mut Report) {
        let sent: Vec<(&Facts, Request)> = payments
            .all()
            .iter()
            .filter_map(|facts| Some((facts, ask.request(facts).ok()?.ok()?)))
            .collect();
        if O::SHOWS != Shows::Nothing {
            for (at, (facts, request)) in sent.iter().enumerate() {
                let same = sent[..at].iter().find(|(earlier, before)| {
                    let comparable = O::SHOWS == Shows::AmountAndCurrency
                        || earlier.amount.currency() == facts.amount.currency();
                    comparable && before.wire_hash() == request.wire_hash()
                });
                report.note(
                    Clause::Amount,
                    match same {
                        Some((earlier, _)) => Err(format!(
                            "{} and {} are sent in the same bytes",
                            earlier.amount, facts.amount
                        )),
                        None => Ok(()),
                    },
                );
            }
        }
        let Some(read) = self.amount_reader::<O>() else {
            return;
        };
        for (facts, request) in &sent {
            report.note(
                Clause::Amount,
                match attempt(|| read(&O::of(facts), request)) {
                    Ok(Some(arrived)) if arrived == facts.amount => Ok(()),
                    Ok(Some(arrived)) => Err(format!("{} arrives as {arrived}", facts.amount)),
                    Ok(None) => Err(format!("{} doesn't arrive", facts.amount)),
                    Err(_) => Err(format!("the suite's `amount_in` panics at {}", facts.amount)),
                },
            );
        }
    }
}

fn effect<O: Sample>(step: Step) -> Result<(), String> {
    if O::EFFECT.is_some_and(|effect| effect != step.effect()) {
        return Err(format!(
            "its step says {:?}, so that it would be resent at the wrong times",
            step.effect()
        ));
    }
    match step.key() {
        Key::Header { window, .. } if window.is_zero() => Err("its key is known for no time at all".into()),
        Key::Header { .. } | Key::None => Ok(()),
    }
}

/// One exchange, on two instances of its connector.
struct Asking<'a, O: Operation> {
    one: &'a dyn Exchange<O>,
    two: &'a dyn Exchange<O>,
}

type Asked = Result<Request, Unsendable>;

impl<O: Sample> Asking<'_, O> {
    fn request(&self, facts: &Facts) -> Result<Asked, String> {
        attempt(|| self.one.request(&O::of(facts), &key::<O>(Which::One)))
    }

    /// Why nothing that is tried can be asked.
    fn unasked(&self, payments: &Payments) -> String {
        match payments.first().map(|facts| self.request(facts)) {
            Some(Err(panic)) => panic,
            Some(Ok(Err(refused))) => format!("it refuses every sample payment: {}", refused.fault()),
            Some(Ok(Ok(_))) | None => "no sample payment can be asked for".into(),
        }
    }

    fn pure(&self, facts: &Facts) -> Result<(), String> {
        let first = self.request(facts)?;
        let again = self.request(facts)?;
        let elsewhere = attempt(|| self.two.request(&O::of(facts), &key::<O>(Which::One)))?;
        for (which, other) in [("a second call", again), ("another instance", elsewhere)] {
            let what = match (&first, &other) {
                (Ok(first), Ok(other)) => difference(first, other),
                (Err(first), Err(other)) => (first != other).then_some("refusal"),
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => Some("willingness"),
            };
            if let Some(what) = what {
                return Err(format!("{which} gives another {what}"));
            }
        }
        Ok(())
    }

    fn keyed(&self, facts: &Facts) -> Result<(), String> {
        let (key_one, key_two) = (key::<O>(Which::One), key::<O>(Which::Another));
        let holds = |request: &Request, key: &str| {
            let mut headers = request.headers().iter();
            headers.any(|(_, value)| value.as_bytes() == key.as_bytes())
        };
        // Which of two values in one header the processor takes for the key is anybody's guess.
        let beside = |request: &Request, key: &str| {
            let headers = request.headers();
            let mut of_key = headers
                .iter()
                .filter(|(_, value)| value.as_bytes() == key.as_bytes());
            of_key.any(|(name, _)| headers.get_all(name).iter().count() > 1)
        };
        let first = self.sendable(facts)?;
        let again = self.sendable(facts)?;
        let other = attempt(|| self.one.request(&O::of(facts), &key_two))?
            .map_err(|refused| format!("it refuses another key: {}", refused.fault()))?;
        if !holds(&first, key_one.as_str())
            || !holds(&again, key_one.as_str())
            || !holds(&other, key_two.as_str())
        {
            return Err("the engine's key is in no header".into());
        }
        if beside(&first, key_one.as_str()) {
            return Err("the engine's key isn't alone in its header".into());
        }
        match difference(&first, &other) {
            Some(what) => Err(format!(
                "another key gives another {what}: a key's place is a header alone"
            )),
            None => Ok(()),
        }
    }

    fn sendable(&self, facts: &Facts) -> Result<Request, String> {
        self.request(facts)?
            .map_err(|refused| format!("it is refused: {}", refused.fault()))
    }

    fn volatile(&self, facts: &Facts, report: &mut Report) {
        let variants = methods().into_iter().filter(|method| is_volatile(method.kind()));
        let variants = variants.map(|method| facts.method(method)).chain([facts.clone()]);
        for facts in variants {
            report.note(Clause::Volatile, self.marks(&facts));
        }
    }

    fn marks(&self, facts: &Facts) -> Result<(), String> {
        let op = O::of(facts);
        let texts = VOLATILE_TEXTS.map(|text| self.request(&facts.volatile(text)));
        let [Ok(Ok(one)), Ok(Ok(two))] = texts else {
            // Refused, which is fine here unless it says of what; a panic is found where limits are.
            let [first, _] = texts;
            let said = first?
                .err()
                .map(|refused| refused.fault().to_string())
                .unwrap_or_default();
            return match VOLATILE_TEXTS.iter().any(|text| said.contains(text)) {
                true => Err("its refusal repeats what can't be kept".into()),
                false => Ok(()),
            };
        };
        let varies = difference(&one, &two).is_some() || one.headers() != two.headers();
        match (op.volatile_part(), one.volatile_part()) {
            (_, None) if varies => Err(format!(
                "{} holds what can't be kept, and isn't marked `volatile`",
                describe(&facts.method)
            )),
            (None, Some(_)) => Err(format!(
                "{} can be built again, and is marked `volatile`",
                describe(&facts.method)
            )),
            (None | Some(_), None) | (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Another object is another request.
    fn named(&self, facts: &Facts) -> Result<(), String> {
        let first = self.sendable(facts)?;
        let reference = || facts.reference(Which::Another);
        let handle = || facts.handle(&neighbour(&facts.handle));
        let (what, others) = match O::NAMED_BY {
            NamedBy::Reference => ("reference", vec![reference()]),
            NamedBy::Handle => ("handle", vec![handle()]),
            NamedBy::Either => ("reference or handle", vec![reference(), handle()]),
        };
        for other in &others {
            if difference(&first, &self.sendable(other)?).is_some() {
                return Ok(());
            }
        }
        Err(format!("another {what} gives the same bytes"))
    }
}

/// A handle of the same form: one more letter or digit.
pub(super) fn neighbour(handle: &Handle) -> Handle {
    format!("{handle}2").into()
}

fn describe(method: &PaymentMethod) -> String {
    format!("a request by {:?}", method.kind())
}

/// What of two requests differs that must not.
fn difference(one: &Request, two: &Request) -> Option<&'static str> {
    if one.method() != two.method() {
        Some("method")
    } else if one.url() != two.url() {
        Some("URL")
    } else if one.bytes() != two.bytes() {
        Some("body")
    } else if one.wire_hash() != two.wire_hash() {
        Some("hash")
    } else if one.volatile_part() != two.volatile_part() {
        Some("mark of what can't be kept")
    } else {
        None
    }
}
