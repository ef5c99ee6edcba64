//! What is wrong with a program: every fault at once, each with its place and a remedy.

use std::fmt;
use std::sync::Arc;

use super::rule::Place;
use crate::error::{Error, Fault};

/// What is wrong with a program, all of it, in the order of the TOML document or of the pointers into the JSON one. Only a
/// program without errors is taken; warnings stay with it.
///
/// Shown, it is a report for a person: of a TOML document with each line at fault, of a JSON document with pointers, of
/// a builder with the names of rules.
///
/// ```
/// use paymux_core::routing::Program;
///
/// let text = r#"{"version": 1, "name": "eu", "rules": [], "otherwise": {"ordred": ["acme"]}}"#;
/// let refused = Program::from_json(text).unwrap_err();
/// let told: Vec<_> = refused.iter().map(|one| (one.code(), one.pointer())).collect();
/// assert_eq!(told, [("no_route", Some("/otherwise")), ("unknown_key", Some("/otherwise/ordred"))]);
/// assert_eq!(refused.iter().last().and_then(|one| one.suggestion()), Some("write `ordered`"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
    /// The TOML document that the places are in.
    text: Option<Arc<str>>,
}

/// One thing that is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    code: Code,
    /// In a builder: the rule or list that it stands in.
    within: Option<String>,
    place: Place,
    line_column: Option<(usize, usize)>,
    message: String,
    suggestion: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The program is taken, and does what it says.
    Warning,
    /// The program is refused.
    Error,
}

macro_rules! codes {
    ($($severity:ident { $($(#[$doc:meta])* $code:ident = $word:literal,)* })*) => {
        /// The kinds of diagnostics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Code {
            $($($(#[$doc])* $code,)*)*
        }

        impl Code {
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$code => $word,)*)*
                }
            }

            pub(crate) const fn severity(self) -> Severity {
                match self {
                    $($(Self::$code)|* => Severity::$severity,)*
                }
            }
        }

        impl Diagnostic {
            /// Every code that there is, errors first.
            pub const CODES: &'static [&'static str] = &[$($($word,)*)*];
        }
    };
}

codes! {
    Error {
        /// The document isn't TOML, or isn't JSON.
        Syntax = "syntax",
        /// It has more bytes than a document may.
        TooLarge = "too_large",
        TooManyRules = "too_many_rules",
        /// Conditions stand too deep in one another.
        TooDeep = "too_deep",
        UnknownVersion = "unknown_version",
        MissingKey = "missing_key",
        UnknownKey = "unknown_key",
        DuplicateKey = "duplicate_key",
        /// A key that means nothing beside another: `then` with `block`.
        MisplacedKey = "misplaced_key",
        WrongType = "wrong_type",
        /// A list, an array, a text or a table with nothing in it.
        Empty = "empty",
        /// Two rules or two lists of one name.
        DuplicateName = "duplicate_name",
        UnknownFact = "unknown_fact",
        /// Two tests in one table.
        TwoTests = "two_tests",
        /// A test that facts of this kind don't take.
        TestNotTaken = "test_not_taken",
        UnknownWord = "unknown_word",
        MalformedAmount = "malformed_amount",
        MalformedCountry = "malformed_country",
        MalformedTime = "malformed_time",
        /// Not the first digits of a card.
        MalformedBin = "malformed_bin",
        /// A text that no payment has, since theirs is in lower case.
        NotLowerCase = "not_lower_case",
        OutOfRange = "out_of_range",
        EmptyRange = "empty_range",
        TwoCurrencies = "two_currencies",
        UnknownList = "unknown_list",
        /// A list's value that doesn't fit a fact compared with the list.
        ListMismatch = "list_mismatch",
        /// No route in a rule.
        NoRoute = "no_route",
        TwoRoutes = "two_routes",
        MalformedTarget = "malformed_target",
        DuplicateTarget = "duplicate_target",
        /// Shares that are all zero.
        ZeroShares = "zero_shares",
        /// A target that is no registered connector or account.
        UnknownAccount = "unknown_account",
    }
    Warning {
        /// A rule whose condition contradicts itself.
        ImpossibleRule = "impossible_rule",
        /// A rule whose payments an earlier rule takes all.
        ShadowedRule = "shadowed_rule",
        UnusedList = "unused_list",
        /// A target in `then` that stands before it.
        RepeatedTarget = "repeated_target",
        ZeroShare = "zero_share",
    }
}

impl Diagnostics {
    /// Them all, ordered as the document is; a builder's as they were found.
    pub(super) fn new(mut all: Vec<Diagnostic>, text: Option<Arc<str>>) -> Self {
        if let Some(text) = &text {
            let lines = Lines::of(text);
            for one in &mut all {
                if let Place::Bytes(range) = &one.place {
                    one.line_column = Some(lines.line_column(range.start));
                }
            }
        }
        all.sort_by(|a, b| a.place.cmp_in_document(&b.place));
        Self { all, text }
    }

    /// Whether a program with these is taken.
    pub fn is_taken(&self) -> bool {
        self.iter().all(|one| one.severity() == Severity::Warning)
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Diagnostic {
    pub(super) fn new(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            within: None,
            place,
            line_column: None,
            message: message.into(),
            suggestion: None,
        }
    }

    pub(super) fn suggest(mut self, suggestion: impl Into<Option<String>>) -> Self {
        self.suggestion = suggestion.into();
        self
    }

    pub(super) fn within(mut self, within: Option<String>) -> Self {
        self.within = within;
        self
    }

    /// Whether the program is refused for it.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// A word for what it is that never changes, one of [`Diagnostic::CODES`]: `unknown_fact`.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// Line and column, both from 1 and the column in characters, where the program is a TOML document.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.line_column
    }

    /// The pointer to what is wrong (RFC 6901), where the program is a JSON document.
    pub fn pointer(&self) -> Option<&str> {
        match &self.place {
            Place::Pointer(pointer) => Some(pointer),
            Place::Built | Place::Bytes(_) => None,
        }
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// The bytes of a TOML document that it is about.
    #[cfg(feature = "toml")]
    pub(super) fn bytes(&self) -> Option<&std::ops::Range<usize>> {
        match &self.place {
            Place::Bytes(range) => Some(range),
            Place::Built | Place::Pointer(_) => None,
        }
    }

    /// Where it stands: `5:34`, `/rules/2/when`, the rule's name.
    fn stands_at(&self) -> String {
        match (&self.place, self.line_column, &self.within) {
            (Place::Pointer(pointer), _, _) if pointer.is_empty() => "the document".to_owned(),
            (Place::Pointer(pointer), _, _) => pointer.clone(),
            (Place::Bytes(_), Some((line, column)), _) => format!("{line}:{column}"),
            (Place::Bytes(_) | Place::Built, _, Some(within)) => within.clone(),
            (Place::Bytes(_) | Place::Built, _, None) => "the program".to_owned(),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// In one line, without the document's own.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (severity, code) = (self.severity(), self.code());
        write!(f, "{severity}[{code}] at {}: {}", self.stands_at(), self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "toml")]
        if let Some(text) = &self.text {
            return super::report::write(f, text, self);
        }
        self.iter().try_for_each(|one| {
            let (severity, code) = (one.severity(), one.code());
            writeln!(f, "{severity}[{code}]: {}", one.message)?;
            writeln!(f, "  at {}", one.stands_at())?;
            match &one.suggestion {
                Some(suggestion) => writeln!(f, "  help: {suggestion}"),
                None => Ok(()),
            }
        })
    }
}

impl std::error::Error for Diagnostics {}

/// Each is a fault, whose field is where it stands.
impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        let fault = |one: &Diagnostic| {
            let remedy = one.suggestion().unwrap_or("correct it there");
            Fault::new(one.stands_at(), one.message(), remedy)
        };
        Self::invalid_all(diagnostics.iter().map(fault).collect()).with_source(diagnostics)
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let after = |(at, _): (usize, &str)| at + 1;
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(after));
        Self {
            text,
            starts: starts.collect(),
        }
    }

    /// Both from 1; the column in characters.
    fn line_column(&self, byte: usize) -> (usize, usize) {
        let (line, start) = self.line_of(byte);
        let before = self.text.get(start..byte).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The line that a byte is on, from 1, and where it starts.
    pub(super) fn line_of(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        (line, self.starts[line - 1])
    }
}
