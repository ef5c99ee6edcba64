//! How much a program may be.

use super::{codes, json_of, told};
use crate::routing::{MOST_BYTES, MOST_LEVELS, MOST_RULES, Program, Route, When, mcc, tenant};

fn of_rules(many: usize) -> String {
    let rule = |at: usize| {
        format!(r#"{{"name":"{at}","when":{{"tenant":"{at}","currency":"EUR"}},"ordered":["acme"]}}"#)
    };
    json_of(&(0..many).map(rule).collect::<Vec<_>>().join(","))
}

#[test]
fn as_many_rules_as_there_may_be_are_taken_and_one_more_is_not() {
    let program = Program::from_json(&of_rules(MOST_RULES)).unwrap();
    assert!(program.warnings().is_empty());
    let refused = told(&of_rules(MOST_RULES + 1));
    assert_eq!(codes(&refused), ["too_many_rules"]);
    let first_too_many = format!("/rules/{MOST_RULES}/name");
    assert_eq!(
        refused.iter().next().unwrap().pointer(),
        Some(first_too_many.as_str())
    );

    let mut builder = Program::builder("many");
    for at in 0..=MOST_RULES {
        let name = at.to_string();
        builder = builder.rule(&name, tenant().is(name.as_str()), Route::ordered(["acme"]));
    }
    let refused = builder.otherwise(Route::ordered(["acme"])).unwrap_err();
    assert_eq!(codes(&refused), ["too_many_rules"]);
}

#[test]
fn as_many_bytes_as_there_may_be_are_read_and_one_more_is_not() {
    let mut text = json_of("");
    text.push_str(&" ".repeat(MOST_BYTES - text.len()));
    assert!(Program::from_json(&text).is_ok());
    text.push(' ');
    assert_eq!(codes(&told(&text)), ["too_large"]);
    #[cfg(feature = "toml")]
    {
        let mut text = "version = 1\nname = \"a\"\notherwise = { ordered = [\"acme\"] }\n".to_owned();
        text.push_str(&"#".repeat(MOST_BYTES - text.len()));
        assert!(Program::from_toml(&text).is_ok());
        text.push('#');
        assert_eq!(codes(&Program::from_toml(&text).unwrap_err()), ["too_large"]);
    }
}

/// A condition in which so many stand in one another.
fn nested(levels: usize) -> When {
    let mut when = mcc().is(1u16);
    for _ in 1..levels {
        when = When(crate::routing::rule::Condition::Any(vec![when.0]));
    }
    when
}

#[test]
fn conditions_stand_as_deep_as_they_may_and_no_deeper() {
    let built = |levels: usize| {
        Program::builder("deep")
            .rule("deep", nested(levels + 1), Route::ordered(["acme"]))
            .otherwise(Route::ordered(["acme"]))
    };
    let program = built(MOST_LEVELS).unwrap();
    assert_eq!(Program::from_json(&program.to_json()).unwrap(), program);
    assert_eq!(codes(&built(MOST_LEVELS + 1).unwrap_err()), ["too_deep"]);

    let document = |levels: usize, open: &str, close: &str, sep: &str| {
        format!("{}mcc{sep}1{}", open.repeat(levels), close.repeat(levels))
    };
    let json = |levels| {
        let when = document(levels, r#"{"any":["#, "]}", "")
            .replace("mcc", r#"{"mcc":"#)
            .replace(":1", ":1}");
        told(&json_of(&format!(
            r#"{{"name":"deep","when":{when},"ordered":["acme"]}}"#
        )))
    };
    assert_eq!(codes(&json(MOST_LEVELS)), [""; 0]);
    assert_eq!(codes(&json(MOST_LEVELS + 1)), ["too_deep"]);
    assert_eq!(codes(&json(1_000)), ["too_deep"], "{}", json(1_000));
    #[cfg(feature = "toml")]
    {
        let toml = |levels: usize| {
            let when = document(levels, "{any=[", "]}", "=").replace("mcc=1", "{mcc=1}");
            let text = format!(
                "version=1\nname='a'\notherwise={{ordered=['acme']}}\nrules=[{{name='deep',when={when},ordered=['acme']}}]\n"
            );
            match Program::from_toml(&text) {
                Ok(_) => Vec::new(),
                Err(refused) => codes(&refused),
            }
        };
        assert_eq!(toml(MOST_LEVELS), [""; 0]);
        assert_eq!(toml(MOST_LEVELS + 1), ["too_deep"]);
        assert_eq!(toml(1_000)[0], "syntax");
    }
}

#[test]
fn a_document_of_brackets_is_told_to_be_none() {
    for bracket in ["[", "{\"a\":", "[{"] {
        let open = bracket.repeat(MOST_BYTES / bracket.len());
        assert!(!told(&open).is_taken());
    }
    let arrays = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(codes(&told(&arrays)), ["too_deep"]);
}

#[test]
fn a_builders_program_longer_than_a_document_is_stored_and_read_back() {
    let long = "x".repeat(200);
    let mut builder = Program::builder("long");
    for at in 0..MOST_RULES {
        let name = format!("{at} {long}");
        builder = builder.rule(&name, tenant().is(name.as_str()), Route::ordered(["acme"]));
    }
    let program = builder.otherwise(Route::ordered(["acme"])).unwrap();
    let json = program.to_json();
    assert!(json.len() > MOST_BYTES);
    assert_eq!(codes(&told(&json)), ["too_large"]);
    assert_eq!(Program::from_stored(&json).unwrap(), program);
}
