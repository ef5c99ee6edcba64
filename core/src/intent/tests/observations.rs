//! Every situation of a payment and of its operations, and every kind of news: the page `observations.md` has a cell
//! for each, and each cell is held to what the merge does.

use super::page::Page;
use super::scene::*;
use crate::action::Action;
use crate::connector::{
    AuthorizeReport, CaptureReport, CloseReport, Contradiction, Doubt, Echo, Handle, RefundReport, Standing,
    SuccessOn,
};
use crate::id::{AttemptId, OperationId};
use crate::intent::command::{Command, CommandKind};
use crate::intent::merge::Merged;
use crate::intent::news::{News, OnLateSuccess, Reading, Source};
use crate::intent::state::{Ended, Intent, OperationKind, Totals};
use crate::intent::{CaptureMethod, IntentMode, IntentStatus, OperationStatus, Rest};
use crate::money::{Currency, Money};
use crate::tenant::Mode;

const PAGE: &str = include_str!("../observations.md");

/// What the page says of a change: what is visible of it, or that nothing is.
fn made(before: &Intent, after: &Intent, merged: &Merged) -> String {
    let mut parts = Vec::new();
    if before.status != after.status {
        parts.push(after.status.to_string());
    }
    let counter = |totals: &Totals| {
        [
            ("held", totals.authorized),
            ("taken", totals.captured),
            ("asked", totals.capture_pending),
            ("refunded", totals.refunded),
            ("returned", totals.returned),
        ]
    };
    for ((name, was), (_, is)) in counter(&before.totals).into_iter().zip(counter(&after.totals)) {
        if was != is {
            parts.push(format!("{name} {is}"));
        }
    }
    for operation in &after.operations {
        let known = before.operation(operation.id).map(|known| known.status);
        if known != Some(operation.status) {
            parts.push(format!("{} {}", operation.kind.as_str(), word(operation.status)));
        }
    }
    for attempt in &after.attempts {
        let status = |state: &Intent| {
            let compensation = &state.attempt(attempt.id).unwrap().compensation;
            compensation
                .as_ref()
                .map(|compensation| (compensation.status, compensation.reason))
        };
        if let Some((now, reason)) = status(after).filter(|now| status(before) != Some(*now)) {
            parts.push(format!("{reason:?} {now:?}"));
        }
    }
    if let (None, Some(review)) = (&before.review, &after.review) {
        parts.push(format!("review {:?}", review.reason));
    }
    match (merged, parts.is_empty()) {
        (Merged::Ignored, _) => "ignored".to_owned(),
        (Merged::Applied(_), true) => "noted".to_owned(),
        (Merged::Applied(_), false) => parts.join("; "),
        (Merged::Contradiction(_), _) => format!("contradiction: {}", parts.join("; ")),
    }
}

fn word(status: OperationStatus) -> &'static str {
    match status {
        OperationStatus::Prepared => "prepared",
        OperationStatus::Unknown => "unknown",
        OperationStatus::Pending => "pending",
        OperationStatus::Done => "done",
        OperationStatus::Declined => "declined",
        OperationStatus::NotExecuted => "not executed",
        OperationStatus::Abandoned => "abandoned",
    }
}

/// A payment in a situation, and the attempt that the news is of.
struct Situation {
    name: &'static str,
    scene: Scene,
    attempt: AttemptId,
    source: Source,
}

fn of_last(name: &'static str, scene: Scene) -> Situation {
    let last = scene.state.attempts.last().map(|attempt| attempt.id);
    let attempt = last.unwrap_or(AttemptId::from_uuid(Mode::Test, uuid::Uuid::nil()));
    let source = Source::Outside;
    Situation {
        name,
        scene,
        attempt,
        source,
    }
}

fn of_first(name: &'static str, scene: Scene) -> Situation {
    let attempt = scene.state.attempts[0].id;
    Situation {
        attempt,
        ..of_last(name, scene)
    }
}

impl Scene {
    fn asked(mut self, kind: CommandKind) -> Self {
        let command = self.command(kind);
        self.run(&command).unwrap();
        self
    }

    fn told(mut self, standing: Standing) -> Self {
        self.read(standing);
        self
    }

    fn open(&self) -> OperationId {
        self.state.open_op.as_ref().unwrap().id
    }

    fn confirmed(self) -> Self {
        self.asked(CommandKind::Confirm)
    }

    fn not_executed() -> Self {
        let mut scene = Self::manual().confirmed();
        let operation = scene.open();
        let proof = proof();
        scene.hear(Source::Driver(operation), News::NotExecuted { operation, proof });
        scene
    }

    fn superseded() -> Self {
        Self::requires_action().asked(CommandKind::Supersede)
    }

    fn abandoned() -> Self {
        Self::manual().confirmed().doubted().asked(CommandKind::Abandon)
    }

    fn capturing(amount: i64) -> Self {
        let mut scene = Self::authorized();
        let command = scene.capture(amount, Rest::Release);
        scene.run(&command).unwrap();
        scene
    }

    fn captured_by(amount: i64, rest: Rest) -> Self {
        let mut scene = Self::authorized();
        scene.capture_as(amount, rest, captured());
        scene
    }

    /// A cancel that ends the payment.
    fn cancelling() -> Self {
        let mut scene = Self::processing();
        let Command::CloseLive(mut operation) = scene.closing(OperationKind::Cancel) else {
            panic!("a cancel")
        };
        operation.ends = Some(Ended::Cancelled);
        scene.run(&Command::CloseLive(operation)).unwrap();
        scene
    }

    /// The first attempt was superseded, and this became of the second.
    fn second(report: AuthorizeReport) -> Self {
        Self::superseded().answered(report)
    }

    fn duplicate(standing: impl Into<Standing>) -> Self {
        let mut scene = Self::second(AuthorizeReport::Settled(approval()));
        let first = scene.state.attempts[0].id;
        scene.read_of(first, standing.into());
        scene
    }

    fn setup() -> Self {
        Self::new(IntentMode::Setup, CaptureMethod::Automatic, When::Now)
    }

    fn ended_by(mut self, how: Ended) -> Self {
        self.run(&Command::Cancel(how)).unwrap();
        self
    }

    fn closed_as(mut self, kind: OperationKind, report: CloseReport) -> Self {
        self.close_as(kind, report);
        self
    }

    /// The open operation of the first attempt's compensation, or what became of it.
    fn compensating(mut self, kind: OperationKind) -> Self {
        let attempt = self.state.attempts[0].id;
        let known = self.state.attempts[0].known.clone();
        let mut operation = self.operation(kind, known.unreturned().max(0), Rest::Release);
        operation.attempt = attempt;
        operation.baseline = known.refunded_minor;
        let operation = Box::new(operation);
        self.run(&Command::Compensate { attempt, operation }).unwrap();
        self
    }
}

fn whole(report: AuthorizeReport) -> Standing {
    Standing::from(report).captured(eur(AMOUNT))
}

fn situations() -> Vec<Situation> {
    let mut on_acceptance = Scene::automatic();
    on_acceptance.success_on = SuccessOn::Accepted;
    let answering = Scene::manual().confirmed();
    let open = answering.open();
    let taken = || AuthorizeReport::Captured(approval());
    vec![
        of_last("created", Scene::manual()),
        of_last("created after a decline", Scene::manual().answered(declined())),
        of_last("created after a proof of nothing done", Scene::not_executed()),
        of_last("created after a supersede", Scene::superseded()),
        of_last("created after an abandon", Scene::abandoned()),
        of_last("scheduled", Scene::scheduled()),
        of_last("requires_action", Scene::requires_action()),
        Situation {
            source: Source::Driver(open),
            ..of_last("processing and its call answers", answering)
        },
        of_last("processing with its call open", Scene::manual().confirmed()),
        of_last(
            "processing with its outcome unknown",
            Scene::manual().confirmed().doubted(),
        ),
        of_last("processing with its answer to come", Scene::processing()),
        of_last("processing after an action", Scene::acted()),
        of_last(
            "processing with its cancel unknown",
            Scene::cancelling().doubted(),
        ),
        of_last(
            "processing with its cancel pending",
            heard(Scene::cancelling(), |operation| News::Close {
                operation,
                report: close_pending(),
            }),
        ),
        of_first("processing of another attempt", Scene::superseded().confirmed()),
        of_last("processing of a setup", Scene::setup().answered(pending())),
        of_last("authorized", Scene::authorized()),
        of_last(
            "authorized for less",
            Scene::manual().answered(AuthorizeReport::PartiallyAuthorized(approval(), eur(700))),
        ),
        of_last("authorized and taken in part", Scene::partly_captured()),
        of_last("authorized with its capture open", Scene::capturing(AMOUNT)),
        of_last(
            "authorized with its capture unknown",
            Scene::capturing(AMOUNT).doubted(),
        ),
        of_last(
            "authorized with its capture pending",
            heard(Scene::capturing(AMOUNT), |operation| News::Capture {
                operation,
                report: capture_pending(),
            }),
        ),
        of_last(
            "authorized with its void unknown",
            Scene::authorized().asked(CommandKind::Void).doubted(),
        ),
        of_last(
            "authorized with its void pending",
            Scene::authorized().closed_as(OperationKind::Void, close_pending()),
        ),
        of_last("captured", Scene::captured()),
        of_last("captured by a capture", Scene::captured_by(AMOUNT, Rest::Release)),
        of_last(
            "captured in part and the rest released",
            Scene::captured_by(400, Rest::Release),
        ),
        of_last(
            "captured with its void unknown",
            Scene::captured().asked(CommandKind::Void).doubted(),
        ),
        of_last("succeeded", Scene::succeeded()),
        of_last("succeeded on acceptance", on_acceptance.answered(taken())),
        of_first(
            "succeeded by another attempt",
            Scene::second(AuthorizeReport::Settled(approval())),
        ),
        of_first(
            "succeeded twice and one goes back",
            Scene::duplicate(AuthorizeReport::Authorized(approval())),
        ),
        of_first(
            "succeeded twice and one is taken",
            Scene::duplicate(whole(taken())),
        ),
        of_last(
            "succeeded as a setup",
            Scene::setup().answered(AuthorizeReport::Verified(approval())),
        ),
        of_last("voided", Scene::voided()),
        of_last(
            "voided after its capture",
            Scene::captured().closed_as(OperationKind::Void, closed()),
        ),
        of_last("cancelled", Scene::cancelled()),
        of_last("cancelled with its attempt", {
            let mut scene = Scene::cancelling();
            let operation = scene.open();
            let report = closed();
            scene.hear(Source::Driver(operation), News::Close { operation, report });
            scene
        }),
        of_last("failed", Scene::failed()),
        of_last(
            "failed after a decline",
            Scene::manual().answered(declined()).ended_by(Ended::Declined),
        ),
        of_last(
            "failed after an abandon",
            Scene::abandoned().ended_by(Ended::Declined),
        ),
        of_last(
            "failed with its capture",
            Scene::captured().told(whole(taken()).failed(eur(AMOUNT))),
        ),
        of_last(
            "failed by a return",
            Scene::captured().told(whole(taken()).returned(eur(AMOUNT))),
        ),
    ]
}

/// What may be said of a payment.
fn said() -> Vec<(&'static str, Standing)> {
    let handle = || Handle::from("pay_1");
    let taken = || AuthorizeReport::Captured(approval());
    let other = Action::redirect("https://bank.example/other");
    vec![
        (
            "action",
            AuthorizeReport::ActionNeeded(handle(), other, Echo::none()).into(),
        ),
        ("pending", pending().into()),
        ("authorized", AuthorizeReport::Authorized(approval()).into()),
        (
            "authorized 700",
            AuthorizeReport::PartiallyAuthorized(approval(), eur(700)).into(),
        ),
        ("captured", whole(taken())),
        ("captured 300", Standing::from(taken()).captured(eur(300))),
        ("settled", whole(AuthorizeReport::Settled(approval()))),
        ("verified", AuthorizeReport::Verified(approval()).into()),
        ("declined", declined().into()),
        ("lapsed", lapsed().into()),
        ("voided", Standing::from(lapsed()).captured(eur(0))),
        ("capture failed", whole(taken()).failed(eur(AMOUNT))),
        ("refunded 300", whole(taken()).refunded(eur(300))),
        ("returned 300", whole(taken()).returned(eur(300))),
        ("returned", whole(taken()).returned(eur(AMOUNT))),
        ("captured 2000", Standing::from(taken()).captured(eur(2_000))),
        (
            "captured in dollars",
            Standing::from(taken()).captured(Money::from_minor(AMOUNT, Currency::USD)),
        ),
        ("unexecuted", AuthorizeReport::Unexecuted(handle()).into()),
    ]
}

fn of_payment(situation: &Situation, standing: &Standing) -> News {
    News::Payment {
        attempt: situation.attempt,
        standing: Box::new(standing.clone()),
        reading: match situation.source {
            Source::Driver(_) => Reading::Answer,
            Source::Outside => Reading::Read { refund_epoch: 0 },
        },
    }
}

#[test]
fn every_situation_of_a_payment_and_all_that_may_be_said_of_it() {
    let mut seen = Vec::new();
    for situation in situations() {
        let status = situation.scene.state.status;
        assert_eq!(situation.name.split(' ').next(), Some(status.as_str()));
        for (said, standing) in said() {
            let mut scene = situation.scene.clone();
            let merged = scene.hear(situation.source, of_payment(&situation, &standing));
            let made = made(&situation.scene.state, &scene.state, &merged);
            seen.push((situation.name.to_owned(), said.to_owned(), made));
        }
    }
    for status in IntentStatus::ALL {
        assert!(
            situations()
                .iter()
                .any(|situation| situation.scene.state.status == status)
        );
    }
    Page::read(PAGE, "News of a payment").hold(seen);
}

/// A new report is a new row of the page.
#[test]
fn every_report_is_said() {
    let number = |report: &AuthorizeReport| match report {
        AuthorizeReport::Authorized(_) => 0,
        AuthorizeReport::PartiallyAuthorized(..) => 1,
        AuthorizeReport::Captured(_) => 2,
        AuthorizeReport::Settled(_) => 3,
        AuthorizeReport::Verified(_) => 4,
        AuthorizeReport::ActionNeeded(..) => 5,
        AuthorizeReport::Pending(..) => 6,
        AuthorizeReport::Declined(_) => 7,
        AuthorizeReport::Voided(..) => 8,
        AuthorizeReport::Unexecuted(_) => 9,
    };
    let said: std::collections::BTreeSet<_> = said()
        .iter()
        .map(|(_, standing)| number(&standing.report))
        .collect();
    assert_eq!(said.len(), 10);
}

#[test]
fn what_is_late_or_second_follows_the_policy() {
    let policies = [
        ("reverse", OnLateSuccess::Reverse),
        ("accept_if_unpaid", OnLateSuccess::AcceptIfUnpaid),
        ("ask", OnLateSuccess::Ask),
    ];
    let late = situations().into_iter().filter(|situation| {
        let mut scene = situation.scene.clone();
        scene.hear(
            situation.source,
            of_payment(situation, &whole(AuthorizeReport::Captured(approval()))),
        );
        let compensation = |state: &Intent| {
            state
                .attempt(situation.attempt)
                .is_some_and(|attempt| attempt.compensation.is_some())
        };
        compensation(&scene.state) && !compensation(&situation.scene.state)
    });
    let mut seen = Vec::new();
    for situation in late {
        for (name, policy) in policies {
            let mut scene = situation.scene.clone();
            scene.on_late_success = policy;
            let captured = whole(AuthorizeReport::Captured(approval()));
            let merged = scene.hear(situation.source, of_payment(&situation, &captured));
            let made = made(&situation.scene.state, &scene.state, &merged);
            seen.push((situation.name.to_owned(), name.to_owned(), made));
        }
    }
    Page::read(PAGE, "A success that is late or second").hold(seen);
}

/// An operation in a situation, and who speaks of it.
struct Asked {
    name: &'static str,
    scene: Scene,
    operation: OperationId,
    source: Source,
}

/// The last operation, of which somebody else speaks than its own call.
fn outside(name: &'static str, scene: Scene) -> Asked {
    let operation = scene.state.operations.last().unwrap().id;
    let source = Source::Outside;
    Asked {
        name,
        scene,
        operation,
        source,
    }
}

/// The last operation, whose own call answers.
fn driven(name: &'static str, scene: Scene) -> Asked {
    let asked = outside(name, scene);
    Asked {
        source: Source::Driver(asked.operation),
        ..asked
    }
}

fn heard(mut scene: Scene, news: impl FnOnce(OperationId) -> News) -> Scene {
    let operation = scene.state.operations.last().unwrap().id;
    scene.hear(Source::Driver(operation), news(operation));
    scene
}

fn unknown(scene: Scene) -> Scene {
    heard(scene, |operation| News::Doubt {
        operation,
        doubt: doubt(),
    })
}

fn operations() -> Vec<Asked> {
    use OperationKind::{CompensateRefund, CompensateVoid};
    let authorizing = || Scene::manual().confirmed();
    let capturing = || Scene::capturing(AMOUNT);
    let capture = |report: CaptureReport| heard(capturing(), |operation| News::Capture { operation, report });
    let voiding = || Scene::authorized().asked(CommandKind::Void);
    let late_void = || Scene::captured().asked(CommandKind::Void);
    let releasing = || Scene::partly_captured().asked(CommandKind::Release);
    let close =
        |scene: Scene, report: CloseReport| heard(scene, |operation| News::Close { operation, report });
    let raising = || Scene::authorized().asked(CommandKind::Increment);
    let raise = |report: AuthorizeReport| heard(raising(), |operation| News::Increment { operation, report });
    let back = |kind| match kind {
        CompensateVoid => {
            Scene::duplicate(AuthorizeReport::Authorized(approval())).compensating(CompensateVoid)
        }
        _refund => Scene::duplicate(AuthorizeReport::Captured(approval())).compensating(CompensateRefund),
    };
    let give = |report: RefundReport| {
        heard(back(CompensateRefund), |operation| News::CompensationRefund {
            operation,
            report,
        })
    };
    let refused = || CloseReport::Refused(hard());
    let settled = || CaptureReport::Settled(Handle::from("cap_1"), Echo::none());
    let refund_pending = || RefundReport::Pending(Handle::from("re_1"), Echo::none());
    vec![
        driven("authorize and its call answers", authorizing()),
        outside("authorize with its call open", authorizing()),
        outside("authorize unknown", unknown(authorizing())),
        outside("authorize pending", Scene::processing()),
        outside("authorize done", Scene::authorized()),
        outside("authorize declined", Scene::manual().answered(declined())),
        outside("authorize not executed", Scene::not_executed()),
        outside("authorize abandoned", Scene::abandoned()),
        driven("capture and its call answers", capturing()),
        outside("capture with its call open", capturing()),
        outside("capture unknown", unknown(capturing())),
        outside("capture pending", capture(capture_pending())),
        outside("capture captured", capture(captured())),
        outside("capture settled", capture(settled())),
        outside("capture declined", capture(CaptureReport::Declined(hard()))),
        outside(
            "capture abandoned",
            unknown(capturing()).asked(CommandKind::Abandon),
        ),
        driven("void and its call answers", voiding()),
        outside("void with its call open", voiding()),
        outside("void unknown", unknown(voiding())),
        outside("void pending", close(voiding(), close_pending())),
        outside("void done", close(voiding(), closed())),
        outside("void refused", close(voiding(), refused())),
        driven("void after a capture and its call answers", late_void()),
        outside("void after a capture unknown", unknown(late_void())),
        outside(
            "void after a capture pending",
            close(late_void(), close_pending()),
        ),
        driven("release and its call answers", releasing()),
        outside("release with its call open", releasing()),
        outside("release unknown", unknown(releasing())),
        outside("release pending", close(releasing(), close_pending())),
        outside("release done", close(releasing(), closed())),
        driven("cancel and its call answers", Scene::cancelling()),
        outside("cancel with its call open", Scene::cancelling()),
        outside("cancel unknown", unknown(Scene::cancelling())),
        outside("cancel pending", close(Scene::cancelling(), close_pending())),
        outside("cancel done", close(Scene::cancelling(), closed())),
        outside("cancel refused", close(Scene::cancelling(), refused())),
        driven("increment and its call answers", raising()),
        outside("increment with its call open", raising()),
        outside("increment unknown", unknown(raising())),
        outside("increment pending", raise(pending())),
        outside("increment done", raise(AuthorizeReport::Authorized(approval()))),
        outside("increment declined", raise(declined())),
        driven("compensate_void and its call answers", back(CompensateVoid)),
        outside("compensate_void with its call open", back(CompensateVoid)),
        outside("compensate_void unknown", unknown(back(CompensateVoid))),
        outside(
            "compensate_void pending",
            close(back(CompensateVoid), close_pending()),
        ),
        outside("compensate_void done", close(back(CompensateVoid), closed())),
        outside("compensate_void refused", close(back(CompensateVoid), refused())),
        driven("compensate_refund and its call answers", back(CompensateRefund)),
        outside("compensate_refund with its call open", back(CompensateRefund)),
        outside("compensate_refund unknown", unknown(back(CompensateRefund))),
        outside("compensate_refund pending", give(refund_pending())),
        outside("compensate_refund done", give(refunded())),
        driven(
            "compensate_refund of the rest and its call answers",
            Scene::duplicate(whole(AuthorizeReport::Captured(approval())).refunded(eur(300)))
                .compensating(CompensateRefund),
        ),
        outside("compensate_refund failed", give(RefundReport::Failed(hard()))),
    ]
}

/// What may be said of an operation of that kind.
fn answers(kind: OperationKind, operation: OperationId) -> Vec<(&'static str, News)> {
    let handle = || Handle::from("re_1");
    let capture = |report| News::Capture { operation, report };
    let close = |report| News::Close { operation, report };
    let increment = |report| News::Increment { operation, report };
    let give = |report| News::CompensationRefund { operation, report };
    let action = Action::redirect("https://bank.example/act");
    let mut answers = match kind {
        OperationKind::Capture => vec![
            ("captured", capture(captured())),
            ("settled", capture(CaptureReport::Settled(handle(), Echo::none()))),
            ("pending", capture(capture_pending())),
            ("declined", capture(CaptureReport::Declined(hard()))),
        ],
        OperationKind::Void
        | OperationKind::Release
        | OperationKind::Cancel
        | OperationKind::CompensateVoid => {
            vec![
                ("closed", close(closed())),
                ("pending", close(close_pending())),
                ("refused", close(CloseReport::Refused(hard()))),
            ]
        }
        OperationKind::Increment => vec![
            ("raised", increment(AuthorizeReport::Authorized(approval()))),
            (
                "raised to 1200",
                increment(AuthorizeReport::PartiallyAuthorized(approval(), eur(1_200))),
            ),
            (
                "raised to 2000",
                increment(AuthorizeReport::PartiallyAuthorized(approval(), eur(2_000))),
            ),
            ("pending", increment(pending())),
            ("action", increment(self::action())),
            ("declined", increment(declined())),
            ("captured", increment(AuthorizeReport::Captured(approval()))),
        ],
        OperationKind::CompensateRefund => vec![
            ("refunded", give(refunded())),
            ("pending", give(RefundReport::Pending(handle(), Echo::none()))),
            (
                "action",
                give(RefundReport::ActionNeeded(handle(), action, Echo::none())),
            ),
            ("failed", give(RefundReport::Failed(hard()))),
            ("cancelled", give(RefundReport::Cancelled(handle(), Echo::none()))),
        ],
        OperationKind::Authorize | OperationKind::Complete | OperationKind::Refund => Vec::new(),
    };
    let proof = proof();
    answers.push(("not executed", News::NotExecuted { operation, proof }));
    let silence = doubt();
    answers.push((
        "no answer",
        News::Doubt {
            operation,
            doubt: silence,
        },
    ));
    let doubt = Doubt {
        contradicts: Contradiction::Echo,
        ..doubt()
    };
    answers.push(("another amount", News::Doubt { operation, doubt }));
    answers
}

#[test]
fn every_situation_of_an_operation_and_all_that_may_be_said_of_it() {
    let mut seen = Vec::new();
    for asked in operations() {
        let record = asked.scene.state.operation(asked.operation).unwrap();
        assert!(asked.name.starts_with(record.kind.as_str()));
        for (said, news) in answers(record.kind, asked.operation) {
            let mut scene = asked.scene.clone();
            let merged = scene.hear(asked.source, news);
            let made = made(&asked.scene.state, &scene.state, &merged);
            seen.push((asked.name.to_owned(), said.to_owned(), made));
        }
    }
    Page::read(PAGE, "News of an operation").hold(seen);
}
