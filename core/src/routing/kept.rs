//! An explanation as a payment's row keeps it. A payment is read and written many times for each time that somebody asks why
//! it went where it went: so it is written once, and read only then.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::explain::Explanation;

/// What is kept of a decision, as JSON. Two are equal where they are written alike.
#[derive(Clone, Debug)]
pub(crate) struct KeptExplanation(Arc<Text>);

#[derive(Debug)]
struct Text {
    json: Box<RawValue>,
    read: OnceLock<Option<Explanation>>,
}

impl KeptExplanation {
    /// Writes it down.
    ///
    /// # Errors
    /// It can't be written as JSON.
    pub(crate) fn of(explanation: Explanation) -> serde_json::Result<Self> {
        let json = serde_json::value::to_raw_value(&explanation)?;
        Ok(Self::read_as(json, OnceLock::from(Some(explanation))))
    }

    /// What it says. `None`: it has a form that this release doesn't know; nothing but what is shown depends on it.
    pub(crate) fn get(&self) -> Option<&Explanation> {
        let Text { json, read } = &*self.0;
        read.get_or_init(|| serde_json::from_str(json.get()).ok())
            .as_ref()
    }

    fn read_as(json: Box<RawValue>, read: OnceLock<Option<Explanation>>) -> Self {
        Self(Arc::new(Text { json, read }))
    }

    fn text(&self) -> &str {
        self.0.json.get()
    }
}

impl PartialEq for KeptExplanation {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for KeptExplanation {}

impl Hash for KeptExplanation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl Serialize for KeptExplanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeptExplanation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self::read_as(json, OnceLock::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::MethodKind;
    use crate::money::{Currency, Money};
    use crate::routing::facts::Facts;
    use crate::routing::program::Program;
    use crate::routing::rule::Route;

    fn explanation() -> Explanation {
        let program = Program::builder("all")
            .otherwise(Route::ordered(["acme"]))
            .unwrap();
        let amount = Money::from_minor(1_000, Currency::EUR);
        let facts = Facts::of("merchant", amount, MethodKind::CardToken);
        program.plan(&facts, &[]).explanation().cloned().unwrap()
    }

    #[test]
    fn what_is_kept_is_what_was_said() {
        let kept = KeptExplanation::of(explanation()).unwrap();
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(text, serde_json::to_string(&explanation()).unwrap());
        let read: KeptExplanation = serde_json::from_str(&text).unwrap();
        assert_eq!(read, kept);
        assert_eq!(
            (kept.get(), read.get()),
            (Some(&explanation()), Some(&explanation()))
        );
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn a_form_of_another_release_is_kept_as_it_is() {
        let text = r#"{"by":{"who":"an oracle"},"certainty":1.0}"#;
        let read: KeptExplanation = serde_json::from_str(text).unwrap();
        assert_eq!(read.get(), None);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
