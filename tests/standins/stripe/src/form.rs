//! Forms, as Stripe takes them in bodies and queries.

/// The fields of a form, in order, with brackets as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `a=1&b%5Bc%5D=2`. `None` where it isn't a form.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let fields = pairs.map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((decode(name)?, decode(value)?))
        });
        fields.collect::<Option<_>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The values of a list: `expand[]=…` or `expand[0]=…`.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let is_of = |field: &str| {
            let index = field
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']'));
            index.is_some_and(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.0
            .iter()
            .filter(|(field, _)| is_of(field))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The pairs under `metadata[…]`.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().filter_map(|(field, value)| {
            let key = field.strip_prefix("metadata[")?.strip_suffix(']')?;
            Some((key.to_owned(), value.clone()))
        })
    }

    /// The first field that none of `known` names. A name that ends in `[` stands for everything below it.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&str> {
        let is_known = |field: &str| {
            known
                .iter()
                .any(|name| *name == field || (name.ends_with('[') && field.starts_with(name)))
        };
        self.0
            .iter()
            .map(|(field, _)| field.as_str())
            .find(|field| !is_known(field))
    }

    /// The fields regardless of their order, to compare two requests by.
    pub(crate) fn sorted(&self) -> Vec<(String, String)> {
        let mut fields = self.0.clone();
        fields.sort();
        fields
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
