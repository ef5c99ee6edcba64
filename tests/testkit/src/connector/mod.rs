//! The suite that every connector passes, and the transport that answers from a script.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use paymux_core::connector::{
    Ability, Authorization, Connector, Effect, Exchange, Handle, Key, Offer, Operation, Request, Response,
    Step, Transport, op,
};
use paymux_core::{Money, PaymentMethod, Secret, Timestamp};
use serde_json::Value;

mod answers;
mod noise;
mod payments;
mod report;
mod requests;
mod sample;
mod script;
mod silence;
mod webhooks;

pub use report::{Clause, Report};
pub use script::ScriptedTransport;

use payments::Payments;
use sample::Sample;

/// Checks that a connector keeps its contract, without a network and without credentials.
///
/// `make` builds the connector on a transport. It is called twice: an answer may be read by another instance than
/// the one that built the request. What the processor would say comes from its documentation, as [`Case`]s:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use paymux_core::connector::prelude::*;
/// # use paymux_testkit::{Case, connector_conformance};
/// # fn acme(_: Arc<dyn Transport>) -> Connector { unimplemented!() }
/// # async fn test() {
/// # use serde_json::json;
/// connector_conformance(acme)
///     .when(Case::Accepted, |op: &op::Capture| {
///         Response::new(200, json!({ "id": "ch_1", "state": "captured", "minor": op.amount.minor() }))
///     })
///     .when(Case::Refused, |_: &op::Capture| Response::new(422, json!({ "error": "no such charge" })))
///     .run()
///     .await;
/// # }
/// ```
///
/// It checks, for every slot that the connector fills, each [`Clause`] that applies; the engine's part, such as when
/// a step is sent again, isn't the connector's and isn't checked here.
pub fn connector_conformance(make: impl Fn(Arc<dyn Transport>) -> Connector) -> ConnectorSuite {
    let scripts = [ScriptedTransport::new(), ScriptedTransport::new()];
    ConnectorSuite {
        connector: make(Arc::new(scripts[0].clone())),
        twin: make(Arc::new(scripts[1].clone())),
        scripts,
        answers: HashMap::new(),
        amounts: HashMap::new(),
        stated: Vec::new(),
        methods: Vec::new(),
        handle: Handle::from("sample_1"),
        sign: None,
        notice: None,
        secrets: Vec::new(),
    }
}

/// What a processor would say, by its documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Case {
    /// Yes: done, found, or taken on. The answer repeats what the capabilities promise. Needed for every operation
    /// that moves money.
    Accepted,
    /// An authoritative no.
    Declined,
    /// It executed nothing and says so.
    Refused,
    /// There is no such object: for reads and look-ups.
    Absent,
}

/// A suite that is being told what the processor would say. See [`connector_conformance`].
#[must_use = "call run"]
pub struct ConnectorSuite {
    connector: Connector,
    twin: Connector,
    scripts: [ScriptedTransport; 2],
    answers: HashMap<(TypeId, Case), Box<dyn Any>>,
    amounts: HashMap<TypeId, Box<dyn Any>>,
    /// The operations that something was said of, to find what was said for nothing.
    stated: Vec<&'static str>,
    methods: Vec<PaymentMethod>,
    handle: Handle,
    sign: Option<Sign>,
    notice: Option<Notify>,
    secrets: Vec<String>,
}

type Answer<O> = Box<dyn Fn(&O) -> Response>;
type AmountIn<O> = Box<dyn Fn(&O, &Request) -> Option<Money>>;
type Notify = Box<dyn Fn(&Handle) -> Value>;
type Sign = Box<dyn Fn(&[u8], &Secret, Timestamp) -> HeaderMap>;

impl ConnectorSuite {
    /// What the processor answers to an operation in a case. The answer is built from the operation, so that the
    /// suite can ask for another amount, another currency and another reference.
    pub fn when<O: Operation>(mut self, case: Case, answer: impl Fn(&O) -> Response + 'static) -> Self {
        let answer: Answer<O> = Box::new(answer);
        self.answers.insert((TypeId::of::<O>(), case), Box::new(answer));
        self.stated.push(O::STEP);
        self
    }

    /// How the processor reads the amount of a request. Optional: with it, every currency's amount must arrive as it
    /// was meant, which a factor of 100 on a currency without decimals doesn't survive.
    pub fn amount_in<O: Operation>(mut self, read: impl Fn(&O, &Request) -> Option<Money> + 'static) -> Self {
        let read: AmountIn<O> = Box::new(read);
        self.amounts.insert(TypeId::of::<O>(), Box::new(read));
        self.stated.push(O::STEP);
        self
    }

    /// A method that the connector takes; without it the suite tries one of each kind.
    pub fn method(mut self, method: PaymentMethod) -> Self {
        self.methods.push(method);
        self
    }

    /// A handle of the processor's own form, where the connector minds it.
    pub fn handle(mut self, handle: impl Into<Handle>) -> Self {
        self.handle = handle.into();
        self
    }

    /// A text that must never be printed: a key that `make` gives the connector. What stands in `authorization`
    /// headers is looked for without being named.
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.secrets.push(text.into());
        self
    }

    /// How the processor signs a webhook's body. Needed where webhooks are taken.
    pub fn signed_by(mut self, sign: impl Fn(&[u8], &Secret, Timestamp) -> HeaderMap + 'static) -> Self {
        self.sign = Some(Box::new(sign));
        self
    }

    /// The body of a webhook about this object. Needed where webhooks are taken.
    pub fn notice(mut self, body: impl Fn(&Handle) -> Value + 'static) -> Self {
        self.notice = Some(Box::new(body));
        self
    }

    /// Checks everything.
    ///
    /// # Panics
    /// If a clause is broken. The message names the connector, the operation and the clause.
    pub async fn run(self) -> Report {
        let report = self.examine().await;
        assert!(report.is_kept(), "{}", report.complaint());
        report
    }

    /// Checks everything, and leaves it to the caller what to do about it.
    #[must_use = "ask whether it is kept"]
    pub async fn examine(self) -> Report {
        let mut report = Report::new(self.connector.account().to_string());
        let payments = Payments::of(&self);
        let mut sent = Vec::new();
        if !payments.is_empty() {
            self.exchanges(&payments, &mut sent, &mut report);
        }
        report.section("the whole", "");
        self.statements(&mut report);
        payments.check(&self, &mut report);
        self.offline(&mut report);
        self.silent(&self.connector, &sent, &mut report);
        self.webhooks(&payments, &mut report).await;
        report
    }

    fn exchanges(&self, payments: &Payments, sent: &mut Vec<Request>, report: &mut Report) {
        let (slots, twins) = (self.connector.slots(), self.twin.slots());
        match (slots.authorize(), twins.authorize()) {
            (None, _) | (_, None) => report.not_offered("authorize"),
            (Some(Authorization::OneCall(step, one)), Some(Authorization::OneCall(_, two))) => {
                self.exchange(Some(*step), [one.as_ref(), two.as_ref()], payments, sent, report);
            }
            (
                Some(Authorization::HandleFirst { prepare, execute }),
                Some(Authorization::HandleFirst {
                    prepare: prepare_too,
                    execute: execute_too,
                }),
            ) => {
                self.exchange(
                    Some(prepare.0),
                    [prepare.1.as_ref(), prepare_too.1.as_ref()],
                    payments,
                    sent,
                    report,
                );
                self.exchange(
                    Some(execute.0),
                    [execute.1.as_ref(), execute_too.1.as_ref()],
                    payments,
                    sent,
                    report,
                );
            }
            (Some(_), Some(_)) => {
                report.section("authorize", "");
                report.note(
                    Clause::Stated,
                    Err("this way of authorizing isn't one that the suite knows".into()),
                );
            }
        }
        macro_rules! each {
            ($($step:ident: $op:ident),*; $($read:ident: $read_op:ident),*) => {
                $(match (slots.$step(), twins.$step()) {
                    (Some((step, one)), Some((_, two))) => self.exchange(Some(step), [one, two], payments, sent, report),
                    (None, _) | (_, None) => report.not_offered(<op::$op as Operation>::STEP),
                })*
                $(match (slots.$read(), twins.$read()) {
                    (Some(one), Some(two)) => self.exchange(None, [one, two], payments, sent, report),
                    (None, _) | (_, None) => report.not_offered(<op::$read_op as Operation>::STEP),
                })*
            };
        }
        each!(
            complete: Complete, capture: Capture, increment: Increment, void: Void, cancel: Cancel, refund: Refund;
            read: Read, look_up: LookUp, read_refund: ReadRefund, look_up_refund: LookUpRefund
        );
    }

    fn exchange<O: Sample>(
        &self,
        step: Option<Step>,
        instances: [&dyn Exchange<O>; 2],
        payments: &Payments,
        sent: &mut Vec<Request>,
        report: &mut Report,
    ) {
        report.section(O::STEP, step.map_or("reads".into(), describe));
        sent.extend(self.requests(step, instances, payments, report));
        self.answers(instances, payments, report);
    }

    /// What was said of operations that have no slot was said for nothing, most likely of the wrong one.
    fn statements(&self, report: &mut Report) {
        let offered: Vec<&str> = self.steps();
        for stated in &self.stated {
            report.note(
                Clause::Stated,
                match offered.contains(stated) {
                    true => Ok(()),
                    false => Err(format!("an answer is given for `{stated}`, which has no slot")),
                },
            );
        }
        for ability in Ability::ALL {
            let (one, two) = (self.connector.offers(*ability), self.twin.offers(*ability));
            report.note(
                Clause::Pure,
                match one == two {
                    true => Ok(()),
                    false => Err(format!("one instance offers {ability:?}, and another doesn't")),
                },
            );
        }
    }

    /// Every exchange has been driven by now, and the engine alone sends. A webhook's verification may ask back.
    fn offline(&self, report: &mut Report) {
        for script in &self.scripts {
            let sent = script.requests().len();
            report.note(
                Clause::Offline,
                match sent {
                    0 => Ok(()),
                    _ => Err(format!(
                        "it sent {sent} requests while it built requests and read answers"
                    )),
                },
            );
        }
    }

    fn steps(&self) -> Vec<&'static str> {
        let authorize = match self.connector.slots().authorize() {
            Some(Authorization::OneCall(..)) => vec![op::Authorize::STEP],
            Some(Authorization::HandleFirst { .. }) => vec![op::Prepare::STEP, op::Execute::STEP],
            Some(_) | None => vec![],
        };
        let others = [
            (Ability::Complete, op::Complete::STEP),
            (Ability::Capture, op::Capture::STEP),
            (Ability::Increment, op::Increment::STEP),
            (Ability::Void, op::Void::STEP),
            (Ability::Cancel, op::Cancel::STEP),
            (Ability::Refund, op::Refund::STEP),
            (Ability::Read, op::Read::STEP),
            (Ability::LookUp, op::LookUp::STEP),
            (Ability::ReadRefund, op::ReadRefund::STEP),
            (Ability::LookUpRefund, op::LookUpRefund::STEP),
        ];
        let offered = |ability| self.connector.offers(ability) == Offer::Offered;
        let others = others
            .into_iter()
            .filter(|(ability, _)| offered(*ability))
            .map(|(_, step)| step);
        authorize.into_iter().chain(others).collect()
    }

    fn answer<O: Operation>(&self, case: Case) -> Option<&Answer<O>> {
        self.answers.get(&(TypeId::of::<O>(), case))?.downcast_ref()
    }

    fn amount_reader<O: Operation>(&self) -> Option<&AmountIn<O>> {
        self.amounts.get(&TypeId::of::<O>())?.downcast_ref()
    }
}

fn describe(step: Step) -> String {
    let effect = match step.effect() {
        Effect::Preparatory => "prepares",
        Effect::MovesMoney => "moves money",
    };
    match step.key() {
        Key::None => format!("{effect}; no key, so never sent twice from doubt"),
        Key::Header { window, .. } => {
            let minutes = window.as_secs() / 60;
            format!(
                "{effect}; its key is known for {} h {:02} min",
                minutes / 60,
                minutes % 60
            )
        }
    }
}

impl fmt::Debug for ConnectorSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorSuite")
            .field("account", self.connector.account())
            .field("stated", &self.stated)
            .finish_non_exhaustive()
    }
}
