//! What the state machines take: deciding on a command, merging news, applying an event. They are pure, so that this
//! is all of the engine's work but reading, writing and calling: `cargo bench --bench states`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // it measures, and may panic

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use paymux::connector::{Approval, AuthorizeReport, Echo, Handle, RefundReport, SuccessOn};
use paymux::machines::{Source, intent, refund, session};
use paymux::prelude::*;
use paymux::{
    AccountRef, AttemptId, CaptureId, ConnectorId, Mode, NewSession, OperationId, RefundId, SessionId,
    Timestamp,
};
use uuid::Uuid;

const AT: Timestamp = Timestamp::from_secs(1_000);
const UUID: Uuid = Uuid::from_u128(7);
const OPERATION: OperationId = OperationId::from_uuid(Mode::Test, UUID);
const ATTEMPT: AttemptId = AttemptId::from_uuid(Mode::Test, UUID);
const CAPTURE: CaptureId = CaptureId::from_uuid(Mode::Test, UUID);

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return; // `cargo test --benches` only wants it to compile and start
    }
    let mut criterion = Criterion::default().configure_from_args();
    intents(&mut criterion);
    refunds(&mut criterion);
    sessions(&mut criterion);
    criterion.final_summary();
}

fn intents(criterion: &mut Criterion) {
    let created = created();
    let confirm = confirm(&created);
    let opened = intent::decide(Some(&created), &confirm).unwrap();
    let processing = intent::fold(Some(created.clone()), &opened).unwrap();
    let answer = answer();
    let learnt = intent::merge(&processing, &answer);
    criterion.bench_function("intent: decide on a confirmation", |bench| {
        bench.iter(|| intent::decide(Some(black_box(&created)), black_box(&confirm)));
    });
    criterion.bench_function("intent: merge an answer", |bench| {
        bench.iter(|| intent::merge(black_box(&processing), black_box(&answer)));
    });
    criterion.bench_function("intent: apply an answer's events", |bench| {
        bench.iter_batched(
            || processing.clone(),
            |state| intent::fold(Some(state), black_box(&learnt)),
            BatchSize::SmallInput,
        );
    });
}

fn refunds(criterion: &mut Criterion) {
    let paid = paid();
    let id = RefundId::from_uuid(Mode::Test, UUID);
    let request = refund::Command::request(AT, id, &paid, [(OPERATION, Handle::from("pay_1"), 400)]).unwrap();
    let requested = refund::fold(None, &refund::decide(None, &request).unwrap()).unwrap();
    let open = refund::Command::open(AT, &requested, OPERATION).unwrap();
    let opened = refund::decide(Some(&requested), &open).unwrap();
    let asked = refund::fold(Some(requested.clone()), &opened).unwrap();
    let said = RefundReport::Refunded(Handle::from("re_1"), Echo::none());
    let answer = refund::Observation::report(AT, Source::Driver(OPERATION), OPERATION, said);
    let learnt = refund::merge(&asked, &answer);
    criterion.bench_function("refund: decide on its operation", |bench| {
        bench.iter(|| refund::decide(Some(black_box(&requested)), black_box(&open)));
    });
    criterion.bench_function("refund: merge an answer", |bench| {
        bench.iter(|| refund::merge(black_box(&asked), black_box(&answer)));
    });
    criterion.bench_function("refund: apply an answer's events", |bench| {
        bench.iter_batched(
            || asked.clone(),
            |state| refund::fold(Some(state), black_box(&learnt)),
            BatchSize::SmallInput,
        );
    });
}

fn sessions(criterion: &mut Criterion) {
    let paid = paid();
    let id = SessionId::from_uuid(Mode::Test, UUID);
    let create = session::Command::create(AT, id, NewSession::payment(money!("10 EUR")));
    let pending = session::fold(None, &session::decide(None, &create).unwrap()).unwrap();
    let submit = session::Command::submit(AT, *paid.view().id());
    let submitted = session::decide(Some(&pending), &submit).unwrap();
    let processing = session::fold(Some(pending.clone()), &submitted).unwrap();
    let news = session::Observation::payment(AT, &paid);
    let moved = session::merge(&processing, &news);
    criterion.bench_function("session: decide on a submission", |bench| {
        bench.iter(|| session::decide(Some(black_box(&pending)), black_box(&submit)));
    });
    criterion.bench_function("session: merge its payment", |bench| {
        bench.iter(|| session::merge(black_box(&processing), black_box(&news)));
    });
    criterion.bench_function("session: apply its payment's event", |bench| {
        bench.iter_batched(
            || processing.clone(),
            |state| session::fold(Some(state), black_box(&moved)),
            BatchSize::SmallInput,
        );
    });
}

fn created() -> intent::State {
    let id = PaymentIntentId::from_uuid(Mode::Test, UUID);
    let create = intent::Command::create(
        AT,
        id,
        NewIntent::payment(money!("10 EUR")).reference("order-1042"),
    );
    intent::fold(None, &intent::decide(None, &create).unwrap()).unwrap()
}

fn confirm(created: &intent::State) -> intent::Command {
    let opening = intent::Opening {
        attempt: ATTEMPT,
        operation: OPERATION,
        account: AccountRef::new(ConnectorId::from_static("sandbox"), "main"),
        method: PaymentMethod::card_token("tok_approve"),
        success_on: SuccessOn::Accepted,
    };
    intent::Command::confirm(AT, created, opening)
}

fn answer() -> intent::Observation {
    let said = AuthorizeReport::Settled(Approval::new("pay_1", Echo::none()));
    intent::Observation::answer(AT, OPERATION, ATTEMPT, said.into(), CAPTURE)
}

fn paid() -> intent::State {
    let created = created();
    let opened = intent::decide(Some(&created), &confirm(&created)).unwrap();
    let processing = intent::fold(Some(created), &opened).unwrap();
    let learnt = intent::merge(&processing, &answer());
    intent::fold(Some(processing), &learnt).unwrap()
}
