//! Bodies that no processor means: random bytes, and documented bodies gone wrong. The same on every run.

use bytes::Bytes;
use serde_json::{Value, json};

/// Stands in every body made here, so that a connector that repeats an answer's bytes is found out.
pub(super) const MARK: &str = "kanarienvogel";

/// Random bytes of random length, up to half a kibibyte, and some texts that are nearly something.
pub(super) fn garbage() -> Vec<Bytes> {
    let texts = [
        "",
        " ",
        "{",
        "}",
        "{\"kanarienvogel\":",
        "\"kanarienvogel\"",
        "kanarienvogel",
        "<html><body>kanarienvogel</body></html>",
        "{\"kanarienvogel\":1}",
        "-1e999",
        "\u{feff}{}",
        "{\"id\":null,\"status\":\"kanarienvogel\"}",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let random = (0..200).map(|_| {
        let length = next(&mut state) % 512;
        (0..length)
            .map(|_| next(&mut state).to_le_bytes()[5])
            .collect::<Vec<u8>>()
            .into()
    });
    texts
        .iter()
        .map(|text| Bytes::from_static(text.as_bytes()))
        .chain(random.collect::<Vec<_>>())
        .collect()
}

/// A body cut at every byte before its end. What is blank at the end doesn't count as a part of it.
pub(super) fn cuts(body: &Bytes) -> impl Iterator<Item = Bytes> {
    let body = Bytes::copy_from_slice(body.trim_ascii_end());
    (0..body.len()).map(move |end| body.slice(..end))
}

/// A body with one byte changed, at every place of it or at two hundred.
pub(super) fn flips(body: &Bytes) -> Vec<Bytes> {
    let stride = (body.len() / 200).max(1);
    let flip = |at: usize| {
        let mut bytes = body.to_vec();
        bytes[at] ^= 1;
        bytes.into()
    };
    (0..body.len()).step_by(stride).map(flip).collect()
}

/// A JSON body with one value replaced by something of another type, and with one left out; nothing for a body that
/// isn't JSON.
pub(super) fn confusions(body: &Bytes) -> Vec<Bytes> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return Vec::new();
    };
    replacements(&value)
        .into_iter()
        .map(|value| value.to_string().into())
        .collect()
}

fn replacements(value: &Value) -> Vec<Value> {
    let mut all = vec![
        json!(null),
        json!(true),
        json!(""),
        json!(MARK),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(0.1),
        json!([]),
        json!({}),
    ];
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let mut without = map.clone();
                without.remove(key);
                all.push(without.into());
                for replacement in replacements(inner) {
                    let mut with = map.clone();
                    with.insert(key.clone(), replacement);
                    all.push(with.into());
                }
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                for replacement in replacements(inner) {
                    let mut with = items.clone();
                    with[at] = replacement;
                    all.push(with.into());
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    all
}

/// xorshift64.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_on_every_run_and_holds_no_document() {
        assert_eq!(garbage(), garbage());
        let body = Bytes::from_static(b"{\"a\":[1]} ");
        assert_eq!(cuts(&body).count(), 9);
        assert!(cuts(&body).all(|cut| serde_json::from_slice::<Value>(&cut).is_err()));
        assert!(
            flips(&body)
                .iter()
                .all(|flipped| flipped != &body && flipped.len() == body.len())
        );
        assert!(confusions(&body).contains(&Bytes::from_static(b"{}")));
        assert!(confusions(&body).contains(&Bytes::from_static(b"{\"a\":[null]}")));
    }
}
