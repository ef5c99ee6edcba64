//! Whether a value fits a fact, and how it is written in the one form that is compared.

use super::diagnostics::Code;
use super::facts::{Country, FactKind, FactName};
use super::nearest::nearest;
use super::rule::{MoneyValue, Place, Placed, Value};
use crate::money::{Currency, Money, MoneyError};

/// Midnight, as the end of a range.
const END_OF_DAY: i64 = 1_440;

/// What a value is to a fact.
pub(super) enum Fit {
    /// It is one of its values, in their one form.
    Is,
    /// It is one of its values in another form than this.
    Becomes(Value),
    /// It is none.
    Not(Misfit),
}

/// Why a value is none of a fact's.
pub(super) struct Misfit {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) suggestion: String,
}

/// What a value stands for in its test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// What the fact may be, or the start of a range.
    One,
    /// What the fact is below: one more than it may be.
    End,
}

/// Judges a value of a document or a builder. A document has times as texts and other numbers as integers; a builder has
/// both as integers, but as texts in its lists.
pub(super) fn fit(fact: &FactName, value: &Placed<Value>, role: Role) -> Fit {
    match (fact.kind(), &value.value) {
        (FactKind::Amount, Value::Money(_)) => Fit::Is,
        (FactKind::Amount, Value::Text(text)) => amount(text),
        (FactKind::Amount, Value::Number(number)) => {
            let remedy = format!("write a text with its currency: \"{number} EUR\"");
            wrong_type(fact, "an amount", remedy)
        }
        (FactKind::Number(..), Value::Text(text)) if *fact == FactName::TimeOfDay => time(text, role),
        (FactKind::Number(..), Value::Number(_))
            if *fact == FactName::TimeOfDay && value.place != Place::Built =>
        {
            wrong_type(fact, "a time", "write a text: \"08:30\"".to_owned())
        }
        (FactKind::Number(least, most), Value::Number(number)) => {
            match number_in(fact, *number, least, most, role) {
                Some(misfit) => Fit::Not(misfit),
                None => Fit::Is,
            }
        }
        (FactKind::Number(least, most), Value::Text(text)) => {
            let number = text.parse().ok().filter(|_| value.place == Place::Built);
            match number.map(|number| (number, number_in(fact, number, least, most, role))) {
                Some((number, None)) => Fit::Becomes(Value::Number(number)),
                Some((_, Some(misfit))) => Fit::Not(misfit),
                None => wrong_type(
                    fact,
                    "a number",
                    format!("write an integer of {least} to {most}, without quotes"),
                ),
            }
        }
        (FactKind::Word(words), Value::Text(text)) => word(fact, words, text),
        (FactKind::Country, Value::Text(text)) => country(text),
        (FactKind::Text, Value::Text(text)) => text_of(fact, text),
        (FactKind::Text, Value::Number(number)) => {
            wrong_type(fact, "a text", format!("write it in quotes: \"{number}\""))
        }
        (FactKind::Word(_) | FactKind::Country, Value::Number(_)) => {
            wrong_type(fact, "a word", "write a text".to_owned())
        }
        (FactKind::Number(..) | FactKind::Word(_) | FactKind::Country | FactKind::Text, Value::Money(_)) => {
            wrong_type(fact, "no amount", "compare amounts with `amount`".to_owned())
        }
    }
}

fn wrong_type(fact: &FactName, what: &str, suggestion: String) -> Fit {
    Fit::Not(Misfit {
        code: Code::WrongType,
        message: format!("`{fact}` is {what}"),
        suggestion,
    })
}

fn amount(text: &str) -> Fit {
    match text.parse::<Money>() {
        Ok(money) => Fit::Becomes(Value::Money(MoneyValue {
            currency: money.currency(),
            minor: money.minor(),
        })),
        Err(MoneyError::UnknownCurrency { code }) => Fit::Not(Misfit {
            code: Code::UnknownWord,
            message: format!("{code:?} is no currency of ISO 4217 with a minor unit"),
            suggestion: suggest_word(&code, Currency::ALL.iter().map(|currency| currency.code())),
        }),
        Err(error) => {
            let told = error.to_string();
            let (message, suggestion) = told.split_once("; ").unwrap_or((&told, "write `30 EUR`"));
            Fit::Not(Misfit {
                code: Code::MalformedAmount,
                message: message.to_owned(),
                suggestion: suggestion.to_owned(),
            })
        }
    }
}

fn time(text: &str, role: Role) -> Fit {
    let two = |digits: &str| match digits.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _other => None,
    };
    let minutes = text
        .split_once(':')
        .and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)))
        .filter(|(_, minutes)| *minutes < 60)
        .map(|(hours, minutes)| hours * 60 + minutes)
        .filter(|at| *at < END_OF_DAY || (*at == END_OF_DAY && role == Role::End));
    match minutes {
        Some(minutes) => Fit::Becomes(Value::Number(minutes)),
        None => Fit::Not(Misfit {
            code: Code::MalformedTime,
            message: format!("{text:?} is no time of a day"),
            suggestion: "write hours and minutes, UTC: \"08:30\"".to_owned(),
        }),
    }
}

/// A time as a document has it.
pub(super) fn time_text(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn number_in(fact: &FactName, number: i64, least: i64, most: i64, role: Role) -> Option<Misfit> {
    let end = match role {
        Role::One => most,
        Role::End => most + 1,
    };
    let fits = (least..=end).contains(&number);
    (!fits).then(|| Misfit {
        code: Code::OutOfRange,
        message: format!("{number} is no `{fact}`"),
        suggestion: format!("write {least} to {end}"),
    })
}

fn word(fact: &FactName, words: &'static [&'static str], text: &str) -> Fit {
    if words.contains(&text) {
        return Fit::Is;
    }
    if *fact == FactName::Currency
        && let Ok(currency) = text.parse::<Currency>()
    {
        return Fit::Becomes(Value::Text(currency.code().to_owned()));
    }
    Fit::Not(Misfit {
        code: Code::UnknownWord,
        message: format!("{text:?} is no `{fact}`"),
        suggestion: suggest_word(text, words.iter().copied()),
    })
}

fn suggest_word<'w>(text: &str, words: impl Iterator<Item = &'w str> + Clone) -> String {
    if let Some(near) = nearest(text, words.clone()) {
        return format!("write \"{near}\"");
    }
    let some: Vec<&str> = words.clone().take(12).collect();
    let more = match words.count() > some.len() {
        true => ", …",
        false => "",
    };
    format!("write one of {}{more}", some.join(", "))
}

fn country(text: &str) -> Fit {
    match text.parse::<Country>() {
        Ok(country) if country.as_str() == text => Fit::Is,
        Ok(country) => Fit::Becomes(Value::Text(country.to_string())),
        Err(_) => Fit::Not(Misfit {
            code: Code::MalformedCountry,
            message: format!("{text:?} is no country"),
            suggestion: "write two letters, as in ISO 3166-1: \"FR\"".to_owned(),
        }),
    }
}

fn text_of(fact: &FactName, text: &str) -> Fit {
    if *fact == FactName::CardBin {
        return match digits(text) && (6..=8).contains(&text.len()) {
            true => Fit::Is,
            false => Fit::Not(malformed_bin(text, "6 to 8")),
        };
    }
    match not_lower_case(fact, text) {
        Some(misfit) => Fit::Not(misfit),
        None => Fit::Is,
    }
}

/// Judges what a text may begin with.
pub(super) fn beginning(fact: &FactName, text: &str) -> Option<Misfit> {
    if text.is_empty() {
        return Some(Misfit {
            code: Code::Empty,
            message: "every text begins with nothing".to_owned(),
            suggestion: "write `present = true` for any text".to_owned(),
        });
    }
    if *fact == FactName::CardBin && !(digits(text) && text.len() <= 8) {
        return Some(malformed_bin(text, "1 to 8"));
    }
    not_lower_case(fact, text)
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn malformed_bin(text: &str, many: &str) -> Misfit {
    // Somebody may have written a whole card number, which no message repeats.
    let shown = match text.len() <= 8 {
        true => format!("{text:?}"),
        false => "this".to_owned(),
    };
    Misfit {
        code: Code::MalformedBin,
        message: format!("{shown} isn't the first digits of a card"),
        suggestion: format!("write {many} digits"),
    }
}

fn not_lower_case(fact: &FactName, text: &str) -> Option<Misfit> {
    let raised = *fact == FactName::CardNetwork && text.bytes().any(|byte| byte.is_ascii_uppercase());
    raised.then(|| Misfit {
        code: Code::NotLowerCase,
        message: format!("no payment's `{fact}` is {text:?}: networks are in lower case"),
        suggestion: format!("write \"{}\"", text.to_ascii_lowercase()),
    })
}
