//! What proves that nothing was executed, and what an answer has to repeat.

use super::{CallError, Doubt, Echo, Echoes, NotExecuted, Outcome, Stage, StatusTable};
use crate::connector::{Response, TransportError};
use crate::money::{Currency, Money};

const TABLE: StatusTable = StatusTable::new()
    .answers(&[200, 402])
    .refuses(&[401, 429], "the manual, chapter 7")
    .refusal_body(|answer| answer.bytes().starts_with(b"{\"error\""));

fn own(status: u16) -> Response {
    Response::new(status, serde_json::json!({"error": "none of this was done"}))
}

fn strange(status: u16) -> Response {
    Response::new(status, serde_json::json!({"gateway": "no"}))
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

#[test]
fn a_status_on_the_list_with_the_processors_own_body_is_the_only_proof() {
    for status in [401, 429] {
        let error = TABLE.error(&own(status));
        assert!(error.is_refusal() && TABLE.prove(&own(status)).is_some());
        let why = format!("status {status}, the manual, chapter 7");
        let outcome: Outcome<()> = error.into_outcome();
        assert_eq!(outcome, Outcome::NotExecuted(NotExecuted::Refused(why.into())));
        assert_eq!(TABLE.prove(&strange(status)), None);
    }
    for doubtful in [own(200), own(404), own(500), strange(401), strange(429)] {
        let error = TABLE.error(&doubtful);
        assert!(!error.is_refusal() && TABLE.prove(&doubtful).is_none());
        let why = format!("status {}", doubtful.status().as_u16());
        assert_eq!(
            error.into_outcome::<()>(),
            Outcome::Unknown(Doubt::new(Stage::Answered, why))
        );
    }
}

#[test]
fn an_answer_is_read_and_what_is_none_is_an_error() {
    let read = |answer: Response| TABLE.read::<serde_json::Value>(&answer);
    assert_eq!(read(own(402)).unwrap()["error"], "none of this was done");
    assert!(read(own(401)).unwrap_err().is_refusal());
    assert!(!read(own(500)).unwrap_err().is_refusal());
    let unreadable = Response::from_parts(http::StatusCode::OK, http::HeaderMap::new(), "{".into());
    assert!(
        !TABLE
            .read::<serde_json::Value>(&unreadable)
            .unwrap_err()
            .is_refusal()
    );
    let nothing = StatusTable::default();
    assert!(
        !nothing
            .read::<serde_json::Value>(&own(200))
            .unwrap_err()
            .is_refusal()
    );
}

#[test]
fn without_a_body_of_its_own_the_status_alone_is_believed() {
    let table = StatusTable::new().refuses(&[400, 401, 499], "the manual");
    for status in [400, 401, 499] {
        assert!(table.prove(&strange(status)).is_some(), "{status}");
    }
}

#[test]
fn a_status_that_never_proves_anything_is_on_no_list() {
    for status in [200, 302, 399, 408, 409, 425, 500, 503] {
        let listed: &'static [u16] = vec![401, status].leak();
        let made = std::panic::catch_unwind(|| StatusTable::new().refuses(listed, "the manual"));
        assert!(made.is_err(), "{status}");
    }
}

#[test]
fn a_transport_proves_only_what_it_didn_t_send() {
    let not_sent: Outcome<()> = Outcome::from_transport(TransportError::NotSent("no connection"));
    assert_eq!(
        not_sent,
        Outcome::NotExecuted(NotExecuted::NotSent("no connection".into()))
    );
    let sent: Outcome<()> = Outcome::from_transport(TransportError::Unknown("timed out"));
    assert_eq!(sent, Outcome::Unknown(Doubt::new(Stage::Sent, "timed out")));
    let unknown: Outcome<()> = CallError::unknown("no words").into_outcome();
    assert_eq!(unknown, Outcome::Unknown(Doubt::new(Stage::Answered, "no words")));
}

#[test]
fn a_proof_says_how_it_is_known() {
    let words = [NotExecuted::NotSent("a".into()), NotExecuted::Refused("b".into())];
    assert_eq!(
        words.map(|proof| proof.to_string()),
        ["not sent: a", "refused: b"]
    );
}

#[test]
fn what_an_answer_repeats_is_what_was_sent() {
    let sent = |echo: &Echo| echo.check(&[eur(500), eur(300)], "op_1").is_ok();
    let none = Echo::none;
    assert!(sent(&none()));
    assert!(sent(&none().amount(eur(500))) && sent(&none().amount(eur(300))));
    assert!(!sent(&none().amount(eur(400))));
    assert!(!sent(&none().amount(Money::from_minor(500, Currency::USD))));
    assert!(sent(&none().reference("op_1")) && !sent(&none().reference("op_2")));
    assert!(sent(&none().amount(eur(300)).reference("op_1")));
    assert!(!sent(&none().amount(eur(300)).reference("op_2")));
    let of_any = none().amount(eur(400)).check(&[], "op_1");
    assert_eq!(of_any, Ok(()), "where no amount was sent none is compared");
}

#[test]
fn what_is_promised_must_be_there() {
    let (amount, reference) = (Echo::none().amount(eur(500)), Echo::none().reference("op_1"));
    let both = amount.clone().reference("op_1");
    let echoes = [Echo::none(), amount, reference, both];
    let table = [
        (Echoes::Nothing, [true, true, true, true]),
        (Echoes::Amount, [false, true, false, true]),
        (Echoes::Reference, [false, false, true, true]),
        (Echoes::AmountAndReference, [false, false, false, true]),
    ];
    for (promised, holds) in table {
        for (echo, holds) in echoes.iter().zip(holds) {
            assert_eq!(
                promised.check_promised(echo).is_ok(),
                holds,
                "{promised:?} {echo:?}"
            );
            assert_eq!(
                promised.check(echo, eur(500), "op_1").is_ok(),
                holds,
                "{promised:?} {echo:?}"
            );
        }
        assert!(promised.check(&echoes[3], eur(501), "op_1").is_err());
        assert!(promised.check(&echoes[3], eur(500), "op_2").is_err());
    }
}
