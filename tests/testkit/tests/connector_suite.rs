//! The suite of connectors, tried on a connector that keeps the contract and on ones that break it in one way each.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod acme;

use std::sync::Arc;

use acme::{Fault, Shape, object, sign, sign_the_time};
use paymux_core::Money;
use paymux_core::connector::{Handle, Request, Response, Transport, op};
use paymux_testkit::{Case, Clause, ConnectorSuite, Report, ScriptedTransport, connector_conformance};
use serde_json::{Value, json};

/// The suite for a connector with this fault, with everything said that Acme's documentation would say.
fn suite(fault: Fault, shape: Shape) -> ConnectorSuite {
    let suite = connector_conformance(move |transport| acme::connector(fault, shape, transport));
    let suite = match shape {
        Shape::OneCall => suite
            .when(Case::Accepted, |op: &op::Authorize| {
                done("ch_1", op.amount, &op.reference)
            })
            .when(Case::Declined, |op: &op::Authorize| {
                declined(op.amount, &op.reference)
            })
            .when(Case::Refused, |_: &op::Authorize| refused())
            .amount_in(|op: &op::Authorize, request| minor_of(op.amount, request)),
        Shape::HandleFirst => suite
            .when(Case::Accepted, |op: &op::Prepare| {
                done("ch_1", op.authorize.amount, &op.authorize.reference)
            })
            .when(Case::Declined, |op: &op::Prepare| {
                declined(op.authorize.amount, &op.authorize.reference)
            })
            .when(Case::Refused, |_: &op::Prepare| refused())
            .when(Case::Accepted, |op: &op::Execute| {
                done(op.handle.as_str(), op.authorize.amount, &op.authorize.reference)
            })
            .when(Case::Declined, |op: &op::Execute| {
                declined(op.authorize.amount, &op.authorize.reference)
            })
            .when(Case::Refused, |_: &op::Execute| refused()),
    };
    suite
        .when(Case::Accepted, |op: &op::Complete| {
            done(op.handle.as_str(), op.amount, &op.reference)
        })
        .when(Case::Accepted, |op: &op::Capture| {
            done(op.original.as_str(), op.amount, &op.reference)
        })
        .when(Case::Declined, |op: &op::Capture| {
            declined(op.amount, &op.reference)
        })
        .when(Case::Refused, |_: &op::Capture| refused())
        .when(Case::Accepted, |op: &op::Increment| {
            done(op.original.as_str(), op.total, &op.reference)
        })
        .when(Case::Accepted, |op: &op::Void| {
            done(op.original.as_str(), op.amount, &op.reference)
        })
        .when(Case::Accepted, |op: &op::Cancel| {
            done(op.original.as_str(), op.amount, &op.reference)
        })
        .when(Case::Accepted, |op: &op::Refund| {
            done("re_1", op.amount, &op.reference)
        })
        .when(Case::Accepted, |op: &op::Read| {
            done(op.handle.as_str(), op.amount, &op.reference)
        })
        .when(Case::Absent, |_: &op::Read| {
            Response::new(404, json!({ "missing": "payment" }))
        })
        .when(Case::Accepted, |op: &op::LookUp| {
            Response::new(200, json!([object("done", "ch_1", op.amount, &op.reference)]))
        })
        .when(Case::Absent, |_: &op::LookUp| Response::new(200, json!([])))
        .when(Case::Accepted, |op: &op::ReadRefund| {
            done(op.handle.as_str(), op.amount, &op.reference)
        })
        .when(Case::Absent, |_: &op::LookUpRefund| Response::new(200, json!([])))
        .signed_by(match fault {
            Fault::TakesOldBodies => sign_the_time,
            _ => sign,
        })
        .notice(posted)
}

fn done(handle: &str, amount: Money, reference: &str) -> Response {
    Response::new(200, object("done", handle, amount, reference))
}

fn declined(amount: Money, reference: &str) -> Response {
    Response::new(402, object("declined", "ch_1", amount, reference))
}

fn refused() -> Response {
    Response::new(422, json!({ "error": "bad request" }))
}

fn posted(about: &Handle) -> Value {
    json!({ "event": "evt_1", "payment": about.as_str(), "account": "main" })
}

fn minor_of(asked: Money, request: &Request) -> Option<Money> {
    let body: Value = serde_json::from_slice(request.bytes()).unwrap();
    Some(Money::from_minor(body["minor"].as_i64()?, asked.currency()))
}

async fn examine(fault: Fault, shape: Shape) -> Report {
    suite(fault, shape).examine().await
}

#[tokio::test]
async fn a_connector_that_keeps_the_contract_passes_in_both_shapes() {
    for shape in [Shape::OneCall, Shape::HandleFirst] {
        let report = suite(Fault::None, shape).run().await;
        assert!(report.checks() > 5_000, "{report}");
        assert!(report.to_string().contains("all kept"), "{report}");
    }
}

#[tokio::test]
async fn a_refund_may_be_looked_up_by_its_reference_alone() {
    let report = examine(Fault::LooksRefundsUpByReference, Shape::OneCall).await;
    assert!(report.is_kept(), "{report}");
}

/// Every fault, with the clause that has to find it. A clause that couldn't fail would be found out here.
const FAULTS: &[(Fault, &str, Clause)] = &[
    (Fault::FreshKeyEachTime, "authorize", Clause::Keyed),
    (Fault::NoKey, "capture", Clause::Keyed),
    (Fault::KeyInBody, "authorize", Clause::Keyed),
    (Fault::KeyInUrl, "refund", Clause::Keyed),
    (Fault::SendsASecondKey, "authorize", Clause::Keyed),
    (Fault::FreshBodyEachTime, "authorize", Clause::Pure),
    (Fault::OtherBodyOnOtherInstances, "void", Clause::Pure),
    (Fault::CallsItselfPreparatory, "authorize", Clause::Effect),
    (Fault::KeyKnownForNoTime, "authorize", Clause::Effect),
    (Fault::HoldsCryptogramUnmarked, "authorize", Clause::Volatile),
    (Fault::HoldsCryptogramUnmarked, "complete", Clause::Volatile),
    (Fault::RefusesWithWhatCannotBeKept, "authorize", Clause::Volatile),
    (Fault::MarksEverything, "capture", Clause::Volatile),
    (Fault::WholeUnitsOnly, "capture", Clause::Amount),
    (Fault::AlwaysTwoDecimals, "authorize", Clause::Amount),
    (Fault::NoCurrency, "authorize", Clause::Amount),
    (Fault::CapturesTheSamePayment, "capture", Clause::Named),
    (Fault::NoReference, "authorize", Clause::Named),
    (Fault::LooksForAnyRefund, "look-up-refund", Clause::Named),
    (Fault::IgnoresMethod, "the whole", Clause::Limits),
    (Fault::IgnoresCaptureMethod, "the whole", Clause::Limits),
    (Fault::EndsWithTheFirstCapture, "the whole", Clause::Limits),
    (Fault::OverflowsOnLargeAmounts, "the whole", Clause::Limits),
    (Fault::SendsByItself, "the whole", Clause::Offline),
    (Fault::ServerErrorIsDecline, "authorize", Clause::Doubtful),
    (Fault::ServerErrorIsProof, "authorize", Clause::Doubtful),
    (Fault::EveryStatusIsAnAnswer, "capture", Clause::Doubtful),
    (Fault::EchoesWhatWasAsked, "authorize", Clause::Echo),
    (Fault::EchoesWhatWasAsked, "read", Clause::Echo),
    (
        Fault::PromisesNothingAndEchoesWhatWasAsked,
        "authorize",
        Clause::Echo,
    ),
    (Fault::EchoesNothing, "authorize", Clause::Accepted),
    (Fault::EchoesNothing, "read", Clause::Accepted),
    (Fault::ReadsAlwaysTwoDecimals, "authorize", Clause::Accepted),
    (Fault::PanicsOnGarbage, "authorize", Clause::Garbage),
    (Fault::PanicsOnGarbage, "authorize", Clause::Cut),
    (Fault::CutIsSuccess, "authorize", Clause::Cut),
    (Fault::CutIsSuccess, "authorize", Clause::Garbage),
    (Fault::CutIsNothing, "look-up", Clause::Cut),
    (Fault::CutIsNothing, "look-up-refund", Clause::Cut),
    (Fault::CutIsNothing, "look-up", Clause::Doubtful),
    (Fault::DeclineIsDoubt, "authorize", Clause::Declined),
    (Fault::DeclineIsUnmapped, "authorize", Clause::Declined),
    (Fault::RefusalIsDoubt, "authorize", Clause::Refused),
    (Fault::AnyBodyRefuses, "authorize", Clause::Cut),
    (Fault::AnyBodyRefuses, "authorize", Clause::Garbage),
    (Fault::NothingIsDoubt, "read", Clause::Absent),
    (Fault::SuccessWithoutAHandle, "refund", Clause::Accepted),
    (Fault::OtherAnswerOnOtherInstances, "authorize", Clause::Accepted),
    (Fault::RepeatsTheBody, "authorize", Clause::Garbage),
    (Fault::TakesUnsigned, "webhooks", Clause::Forged),
    (Fault::TakesAnySecret, "webhooks", Clause::Forged),
    (Fault::TakesOldBodies, "webhooks", Clause::Altered),
    (Fault::TakesOldWebhooks, "webhooks", Clause::Stale),
    (Fault::KnowsOneSecret, "webhooks", Clause::Genuine),
    (Fault::NamesAnotherAccount, "webhooks", Clause::Genuine),
    (Fault::TakesAnyAccounts, "webhooks", Clause::Foreign),
    (Fault::TakesHalfASignature, "webhooks", Clause::Forged),
    (Fault::TakesEmptySignatures, "webhooks", Clause::Forged),
    (Fault::TakesAnEmptySecret, "webhooks", Clause::Forged),
    (Fault::TellsOfAnotherPayment, "webhooks", Clause::Genuine),
    (Fault::DecodePanics, "webhooks", Clause::Malformed),
    (Fault::DecodesGarbage, "webhooks", Clause::Malformed),
    (Fault::RepliesServerError, "webhooks", Clause::Genuine),
    (Fault::PrintsItsKey, "the whole", Clause::Silent),
];

#[tokio::test]
async fn every_fault_is_found_by_its_clause() {
    for (fault, operation, clause) in FAULTS {
        let report = examine(*fault, Shape::OneCall).await;
        let found = report.breaches().any(|(o, c, _)| (o, c) == (*operation, *clause));
        assert!(
            found,
            "{fault:?} isn't found at `{operation}` by `{clause}`:\n{report}"
        );
        assert!(!report.is_kept());
        assert_eq!(report.checks_of(operation, *clause), 0);
    }
}

#[tokio::test]
async fn a_fault_breaks_no_clause_that_has_nothing_to_do_with_it() {
    for (fault, clauses) in [
        (Fault::NoKey, &[Clause::Keyed][..]),
        (Fault::KeyInBody, &[Clause::Keyed]),
        (Fault::CallsItselfPreparatory, &[Clause::Effect]),
        (Fault::MarksEverything, &[Clause::Volatile]),
        (Fault::CapturesTheSamePayment, &[Clause::Named]),
        (Fault::IgnoresCaptureMethod, &[Clause::Limits]),
        (Fault::SendsByItself, &[Clause::Offline]),
        (Fault::EchoesWhatWasAsked, &[Clause::Echo]),
        (Fault::DeclineIsDoubt, &[Clause::Declined]),
        (Fault::SendsASecondKey, &[Clause::Keyed]),
        (Fault::EndsWithTheFirstCapture, &[Clause::Limits]),
        (Fault::TakesAnyAccounts, &[Clause::Foreign]),
        (Fault::TakesHalfASignature, &[Clause::Forged]),
        (Fault::TakesEmptySignatures, &[Clause::Forged]),
        (Fault::TakesAnEmptySecret, &[Clause::Forged]),
        (Fault::TakesUnsigned, &[Clause::Forged]),
        (Fault::TakesOldWebhooks, &[Clause::Stale]),
        (Fault::KnowsOneSecret, &[Clause::Genuine]),
        (Fault::PrintsItsKey, &[Clause::Silent]),
    ] {
        let report = examine(fault, Shape::OneCall).await;
        for (operation, clause, what) in report.breaches() {
            assert!(
                clauses.contains(&clause),
                "{fault:?} breaks `{clause}` of `{operation}`: {what}"
            );
        }
    }
}

#[tokio::test]
async fn two_steps_are_judged_each_as_what_it_is() {
    let report = examine(Fault::CallsItselfPreparatory, Shape::HandleFirst).await;
    let steps: Vec<_> = report
        .breaches()
        .filter(|breach| breach.1 == Clause::Effect)
        .map(|breach| breach.0)
        .collect();
    assert!(
        steps.contains(&"prepare") && steps.contains(&"execute"),
        "{steps:?}"
    );
    for fault in [Fault::IgnoresCaptureMethod, Fault::IgnoresMethod] {
        let report = examine(fault, Shape::HandleFirst).await;
        assert!(
            report.breaches().any(|breach| breach.1 == Clause::Limits),
            "{fault:?}"
        );
    }
}

#[tokio::test]
#[should_panic(
    expected = "connector `acme/main` breaks its contract:\n  authorize: 3xx, 408, 409, 425 and 5xx prove nothing: \
                           status 500: it is taken for an answer"
)]
async fn a_breach_names_connector_operation_and_clause() {
    suite(Fault::ServerErrorIsDecline, Shape::OneCall).run().await;
}

#[tokio::test]
async fn what_is_missing_is_asked_for() {
    let bare = connector_conformance(|transport| acme::connector(Fault::None, Shape::OneCall, transport));
    let report = bare
        .when(Case::Accepted, |_: &op::Prepare| refused())
        .examine()
        .await;
    let stated: Vec<_> = report
        .breaches()
        .filter(|breach| breach.1 == Clause::Stated)
        .map(|breach| breach.0)
        .collect();
    let missing = [
        "authorize",
        "capture",
        "refund",
        "read",
        "look-up",
        "webhooks",
        "the whole",
    ];
    for operation in missing {
        assert!(
            stated.contains(&operation),
            "{operation} isn't asked for: {report}"
        );
    }
    assert!(
        report.to_string().contains("`prepare`, which has no slot"),
        "{report}"
    );
}

#[tokio::test]
async fn a_scripted_transport_answers_in_order_and_keeps_what_it_was_sent() {
    let script = ScriptedTransport::new();
    let transport: Arc<dyn Transport> = Arc::new(script.clone());
    script.then(Response::new(200, json!(1)));
    script.otherwise(|request| Ok(Response::new(404, json!(request.url()))));
    let send = |url: &str| transport.send(Request::get(url));
    assert_eq!(send("https://acme.example/1").await.unwrap().status(), 200);
    let rest = send("https://acme.example/2?token=kept").await.unwrap();
    assert_eq!(
        (rest.status().as_u16(), &rest.bytes()[..]),
        (404, &b"\"https://acme.example/2?token=kept\""[..])
    );
    let urls: Vec<String> = script
        .requests()
        .iter()
        .map(|request| request.url().to_owned())
        .collect();
    assert_eq!(
        urls,
        ["https://acme.example/1", "https://acme.example/2?token=kept"]
    );
    assert!(!format!("{script:?}").contains("kept"));
    let unanswered = ScriptedTransport::new()
        .send(Request::get("https://acme.example/3"))
        .await;
    assert!(unanswered.is_err());
}
