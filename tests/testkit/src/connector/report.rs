//! What a suite checked, and what it found.

use std::collections::BTreeMap;
use std::fmt;

/// One thing that every connector must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// What the suite needs to know is there, and fits what the connector offers.
    Stated,
    /// A step that can move money says so, and a preparatory one doesn't move any.
    Effect,
    /// The same operation and key give the same bytes.
    Pure,
    /// The key is in a header and nowhere else.
    Keyed,
    /// What can't be built again is marked so, and nothing else is.
    Volatile,
    /// Another amount, or another currency, is another request.
    Amount,
    /// Another payment, or another reference, is another request.
    Named,
    /// What can't be taken is refused, without a panic and with nothing sent.
    Limits,
    /// A success is read: its handle, and what it repeats.
    Accepted,
    /// An answer that speaks of something else is a contradiction.
    Echo,
    /// A decline is an answer.
    Declined,
    /// A refusal proves that nothing was executed.
    Refused,
    /// Nothing found is nothing found.
    Absent,
    /// 3xx, 408, 409, 425 and 5xx are doubts, whatever their body says.
    Doubtful,
    /// A body that is cut is a doubt.
    Cut,
    /// Garbage is a doubt.
    Garbage,
    /// A webhook that any live secret signed is taken, and says what it is about.
    Genuine,
    /// A webhook that names another account is another's.
    Foreign,
    /// A webhook that none of them signed isn't.
    Forged,
    /// Nor is one whose body isn't the one that was signed.
    Altered,
    /// Nor one that is old, or from the future.
    Stale,
    /// Garbage that is signed well is still garbage.
    Malformed,
    /// The connector sends nothing by itself.
    Offline,
    /// No secret, and no byte of an answer, is printed.
    Silent,
}

impl Clause {
    /// The clause, as one says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stated => "everything that is offered has an example",
            Self::Effect => "a step that can move money says so",
            Self::Pure => "every send has the same bytes, on every instance",
            Self::Keyed => "the key is in a header and nowhere else",
            Self::Volatile => "what can't be built again is marked so",
            Self::Amount => "the amount is sent exactly, in every currency",
            Self::Named => "what it is about is sent",
            Self::Limits => "what can't be taken is refused before anything is sent",
            Self::Accepted => "a success is read, with its handle and what it repeats",
            Self::Echo => "an answer about something else is noticed",
            Self::Declined => "a decline is an answer",
            Self::Refused => "a refusal proves that nothing was executed",
            Self::Absent => "nothing found is nothing found",
            Self::Doubtful => "3xx, 408, 409, 425 and 5xx prove nothing",
            Self::Cut => "a cut answer proves nothing",
            Self::Garbage => "garbage proves nothing and breaks nothing",
            Self::Genuine => "what a live secret signed is taken",
            Self::Foreign => "one that names another account is another's",
            Self::Forged => "what none of them signed is not",
            Self::Altered => "a body other than the signed one is not",
            Self::Stale => "an old one is not, nor one from the future",
            Self::Malformed => "garbage that is signed well is still garbage",
            Self::Offline => "the connector sends nothing by itself",
            Self::Silent => "no secret and no byte of an answer is printed",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a [`crate::ConnectorSuite`] checked, operation by operation. Its `Display` is a table for people.
#[derive(Clone, Debug)]
pub struct Report {
    subject: String,
    sections: Vec<Section>,
    not_offered: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Section {
    operation: &'static str,
    note: String,
    lines: BTreeMap<Clause, Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    Kept(u32),
    Broken(String),
    NotAsked(&'static str),
}

impl Report {
    pub(super) fn new(subject: String) -> Self {
        Self {
            subject,
            sections: Vec::new(),
            not_offered: Vec::new(),
        }
    }

    pub(super) fn not_offered(&mut self, operation: &'static str) {
        self.not_offered.push(operation);
    }

    pub(super) fn section(&mut self, operation: &'static str, note: impl Into<String>) {
        self.sections.push(Section {
            operation,
            note: note.into(),
            lines: BTreeMap::new(),
        });
    }

    /// Notes one check of the last section: kept, or what was found instead. The first breach of a clause stands.
    pub(super) fn note(&mut self, clause: Clause, found: Result<(), String>) {
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        let finding = section.lines.entry(clause).or_insert(Finding::Kept(0));
        match (&mut *finding, found) {
            (Finding::Broken(_), _) => {}
            (_, Err(what)) => *finding = Finding::Broken(what),
            (Finding::Kept(checks), Ok(())) => *checks += 1,
            (Finding::NotAsked(_), Ok(())) => *finding = Finding::Kept(1),
        }
    }

    /// Says why a clause wasn't asked about, unless it was.
    pub(super) fn not_asked(&mut self, clause: Clause, why: &'static str) {
        if let Some(section) = self.sections.last_mut() {
            section.lines.entry(clause).or_insert(Finding::NotAsked(why));
        }
    }

    /// Whether every clause that was asked about is kept.
    pub fn is_kept(&self) -> bool {
        self.breaches().next().is_none()
    }

    /// What is broken: the operation, the clause, and what was found instead.
    pub fn breaches(&self) -> impl Iterator<Item = (&'static str, Clause, &str)> {
        self.sections.iter().flat_map(|section| {
            section
                .lines
                .iter()
                .filter_map(|(clause, finding)| match finding {
                    Finding::Broken(what) => Some((section.operation, *clause, what.as_str())),
                    Finding::Kept(_) | Finding::NotAsked(_) => None,
                })
        })
    }

    /// How many checks were made and held.
    pub fn checks(&self) -> u32 {
        let findings = self.sections.iter().flat_map(|section| section.lines.values());
        findings.fold(0, |sum, finding| match finding {
            Finding::Kept(checks) => sum + checks,
            Finding::Broken(_) | Finding::NotAsked(_) => sum,
        })
    }

    /// How often each clause of an operation was checked and held: 0 where it is broken or wasn't asked about.
    pub fn checks_of(&self, operation: &str, clause: Clause) -> u32 {
        let sections = self
            .sections
            .iter()
            .filter(|section| section.operation == operation);
        sections.fold(0, |sum, section| match section.lines.get(&clause) {
            Some(Finding::Kept(checks)) => sum + checks,
            Some(Finding::Broken(_) | Finding::NotAsked(_)) | None => sum,
        })
    }

    pub(super) fn complaint(&self) -> String {
        let mut text = format!("connector `{}` breaks its contract:", self.subject);
        for (operation, clause, what) in self.breaches() {
            text.push_str(&format!("\n  {operation}: {clause}: {what}"));
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject)?;
        for section in &self.sections {
            let heading = format!("{:<16}{}", section.operation, section.note);
            writeln!(f, "\n  {}", heading.trim_end())?;
            for (clause, finding) in &section.lines {
                match finding {
                    Finding::Kept(checks) => writeln!(f, "    ok   {:<58}{checks:>6}", clause.as_str())?,
                    Finding::Broken(what) => writeln!(f, "    BAD  {clause}\n         {what}")?,
                    Finding::NotAsked(why) => writeln!(f, "    -    {:<58}{why}", clause.as_str())?,
                }
            }
        }
        if !self.not_offered.is_empty() {
            writeln!(f, "\n  not offered: {}", self.not_offered.join(", "))?;
        }
        match self.breaches().count() {
            0 => write!(f, "\n  all kept, in {} checks", self.checks()),
            1 => write!(f, "\n  1 clause is broken"),
            broken => write!(f, "\n  {broken} clauses are broken"),
        }
    }
}
