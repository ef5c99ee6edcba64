//! Text that comes in from outside: amounts, currencies, identifiers, times, keys, and what a payment may be.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use paymux_core::*;
use rust_decimal::Decimal;

use crate::input::{Bytes, head, now};
use crate::rows::{payments, shop};

/// Amounts as text, as JSON and as decimal numbers: what is read is written so that it reads the same.
pub fn money(data: &[u8]) {
    if let Ok(amount) = serde_json::from_slice::<Money>(data) {
        holds(amount);
        let again = serde_json::to_vec(&amount).expect("an amount is JSON");
        assert_eq!(serde_json::from_slice::<Money>(&again).ok(), Some(amount));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Money>() {
        Ok(amount) => {
            holds(amount);
            // By another way: the decimal crate's own reading of the same digits.
            let (number, code) = text.split_once(' ').expect("one space");
            assert!(code.eq_ignore_ascii_case(amount.currency().code()));
            let decimal = Decimal::from_str(number).expect("digits");
            assert_eq!(Money::from_decimal(decimal, amount.currency()), Ok(amount));
        }
        Err(error) => assert!(
            error.to_string().len() < 600,
            "a refusal isn't as long as a stranger likes"
        ),
    }
    if let Some((number, code)) = text.split_once(' ')
        && let (Ok(decimal), Ok(currency)) = (Decimal::from_str(number), code.parse::<Currency>())
        && let Ok(amount) = Money::from_decimal(decimal, currency)
    {
        assert_eq!(amount.to_decimal(), decimal, "nothing is rounded");
    }
}

fn holds(amount: Money) {
    assert_eq!(amount.to_string().parse(), Ok(amount));
    assert_eq!(
        Money::from_decimal(amount.to_decimal(), amount.currency()),
        Ok(amount)
    );
    let parts = amount.allocate(&[1, 0, 2, 3]).expect("there are weights");
    let sum: i128 = parts.iter().map(|part| i128::from(part.minor())).sum();
    assert_eq!(sum, i128::from(amount.minor()), "no unit is lost or made");
    assert!(parts[1].is_zero());
}

/// Codes of currencies: three letters of either case, and no other text.
pub fn currency(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Currency>() {
        Ok(currency) => {
            assert!(text.len() == 3 && text.eq_ignore_ascii_case(currency.code()));
            assert!(Currency::ALL.contains(&currency) && currency.exponent() <= 4);
            let json = serde_json::to_string(&currency).expect("a code is JSON");
            assert_eq!(serde_json::from_str::<Currency>(&json).ok(), Some(currency));
        }
        Err(error) => {
            assert!(!Currency::ALL.iter().any(|known| known.code() == text));
            assert!(error.to_string().len() < 600);
        }
    }
}

/// Identifiers, accounts, references, tenants.
pub fn ids(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let kinds = [
        kind::<PaymentIntentId>(text),
        kind::<AttemptId>(text),
        kind::<CaptureId>(text),
        kind::<RefundId>(text),
        kind::<SessionId>(text),
        kind::<OperationId>(text),
        kind::<EventId>(text),
        kind::<EndpointId>(text),
        kind::<CustomerId>(text),
        kind::<NoticeId>(text),
        kind::<EvidenceId>(text),
    ];
    assert!(
        kinds.iter().filter(|read| **read).count() <= 1,
        "of one kind at most"
    );
    for mode in [Mode::Test, Mode::Live] {
        if let Some(id) = OperationId::from_reference(mode, text) {
            assert!(id.mode() == mode && id.reference().eq_ignore_ascii_case(text));
        }
    }
    if let Ok(name) = ConnectorId::new(text) {
        assert!((1..=32).contains(&name.as_str().len()));
        assert!(serde_json::from_value::<ConnectorId>(text.into()).is_ok());
    } else {
        assert!(serde_json::from_value::<ConnectorId>(text.into()).is_err());
    }
    if let Ok(account) = serde_json::from_slice::<AccountRef>(data) {
        let again = serde_json::to_value(&account).expect("an account is JSON");
        assert_eq!(serde_json::from_value::<AccountRef>(again).ok(), Some(account));
    }
    if let Ok(tenant) = text.parse::<Tenant>() {
        assert_eq!(tenant.to_string(), text, "a tenant has one name");
    }
}

/// Whether it reads as one of that kind, which it then also is in JSON, and only so.
fn kind<T>(text: &str) -> bool
where
    T: FromStr<Err = Error> + ToString + PartialEq + serde::de::DeserializeOwned,
{
    let in_json = serde_json::from_value::<T>(text.into()).is_ok();
    match text.parse::<T>() {
        Ok(id) => {
            let written = id.to_string();
            assert!(in_json && written.eq_ignore_ascii_case(text));
            assert!(written.parse::<T>().is_ok_and(|again| again == id));
            true
        }
        Err(error) => {
            assert!(!in_json && *error.kind() == ErrorKind::Invalid);
            false
        }
    }
}

/// Points in time: what reads is written so that it reads the same, and arithmetic stays in order.
pub fn time(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let (one, other) = (bytes.minor(), bytes.minor());
    let read = std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<Timestamp>().ok());
    if let Some(time) = read {
        assert_eq!(time.to_string().parse::<Timestamp>().ok(), Some(time));
        let json = serde_json::to_string(&time).expect("a time is JSON");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).ok(), Some(time));
    }
    for time in [
        Some(Timestamp::from_millis(one)),
        Some(Timestamp::from_secs(one)),
        read,
    ]
    .into_iter()
    .flatten()
    {
        let other = Timestamp::from_millis(other);
        let between = time.since(other);
        assert!(between.is_zero() == (time <= other));
        assert!(time.after(between) >= time && time.before(between) <= time);
        let rest = i128::from(time.as_millis()) - i128::from(time.as_secs()) * 1_000;
        assert!(!time.to_string().is_empty() && (0..1_000).contains(&rest));
    }
}

/// The header with the host's key: a key is 1 to 255 printable characters, a blank one is none, and nothing else is
/// taken for one.
pub fn idempotency_header(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let name = HeaderName::from_static(IdempotencyKey::HEADER);
    for line in data.split(|byte| *byte == b'\n').take(4) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name.clone(), value);
        }
    }
    let first = headers.get(&name).cloned();
    match IdempotencyKey::from_headers(&headers) {
        Ok(Some(key)) => {
            let text = key.as_str();
            assert!(
                (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
            );
            assert!(!text.trim().is_empty());
            assert_eq!(
                first.expect("there is a header").as_bytes(),
                text.as_bytes(),
                "it is kept as it came"
            );
            assert!(IdempotencyKey::require(&headers).is_ok_and(|again| again == key));
        }
        Ok(None) => {
            let blank = |value: HeaderValue| value.as_bytes().iter().all(u8::is_ascii_whitespace);
            assert!(first.is_none_or(blank));
            assert!(IdempotencyKey::require(&headers).is_err());
        }
        Err(error) => assert!(*error.kind() == ErrorKind::Invalid && first.is_some()),
    }
}

/// A payment of any fields: it is made as it was asked for, or every fault is named and nothing is written.
pub fn new_intent(data: &[u8]) {
    let (words, rest) = head(data);
    let mut words = words.split(' ');
    let minor = words.next().and_then(|word| word.parse().ok()).unwrap_or(1_000);
    let currency = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(Currency::EUR);
    let asked = Money::from_minor(minor, currency);
    let mut new = match words.next() {
        Some("setup") => NewIntent::setup(currency),
        Some("verify") => NewIntent::verify(currency),
        _ => NewIntent::payment(asked),
    };
    let mut pairs = Vec::new();
    for line in String::from_utf8_lossy(rest).lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("reference", text) => new = new.reference(text),
            ("descriptor", text) => new = new.statement_descriptor(text),
            ("description", text) => new = new.description(text),
            ("return", text) => new = new.return_url(text),
            ("expires", text) => {
                new = new.expires_at(Timestamp::from_millis(text.parse().unwrap_or_default()));
            }
            ("scheduled", text) => {
                new = new.scheduled_for(Timestamp::from_millis(text.parse().unwrap_or_default()));
            }
            (name, text) => pairs.push((name.to_owned(), text.to_owned())),
        }
    }
    let sum = pairs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>();
    new = new.metadata(pairs);
    let shop = shop();
    let payments = payments(&shop.orchestrator);
    let key = IdempotencyKey::new("k").expect("a key");
    match now(payments.create_intent(&key, new.clone())) {
        Ok(reply) => {
            let made = &reply.outcome;
            assert!(made.amount().currency() == currency && made.amount().minor() < 1_000_000_000_000);
            assert!(made.amount().minor() >= 1 || made.mode() != IntentMode::Payment);
            assert!(made.metadata().len() <= 50 && made.metadata().keys().all(|key| !key.is_empty()));
            let details = made.details();
            let longest = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
            assert!(
                longest(&details.merchant_reference) <= 64 && longest(&details.statement_descriptor) <= 22
            );
            assert!(longest(&details.return_url) <= 2_048);
            let read = now(payments.intent(made.id())).expect("what was made can be read");
            assert_eq!(&read, made);
            // A replay gives the same.
            let again = now(payments.create_intent(&key, new)).expect("a replay");
            assert_eq!(&again.outcome, made);
        }
        Err(error) => {
            assert!(*error.kind() == ErrorKind::Invalid, "{error}");
            assert!(!error.faults().is_empty());
            assert!(error.to_string().len() <= 4_000 + 2 * sum);
            let all = now(payments.intents(IntentQuery::new()).page(1, None)).expect("a list");
            assert!(all.items.is_empty(), "nothing is written of what is refused");
        }
    }
}
