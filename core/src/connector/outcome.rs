//! What became of a call: answered, proved not executed, or unknown. Nothing else, and the types say which.

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::transport::{Response, TransportError};
use crate::money::Money;

/// What became of one send, or of a whole operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// The processor answered. A decline is an answer.
    Answered(R),
    /// It is proved that nothing was executed: only this, or a decline that may cascade, allows another processor.
    NotExecuted(NotExecuted),
    /// It may have been executed. This never turns into a failure by waiting.
    Unknown(Doubt),
}

/// How it is known that nothing was executed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotExecuted {
    /// No byte of the request can have been acted on.
    NotSent(Cow<'static, str>),
    /// The processor says that it executed nothing, and its documentation says that this answer means so.
    Refused(Cow<'static, str>),
}

impl fmt::Display for NotExecuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "not sent: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// Why an outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Doubt {
    /// How far it is known to have got.
    pub stage: Stage,
    /// Why there is no answer, in words without the processor's own bytes.
    pub why: Cow<'static, str>,
    /// Whether the answer was there but contradicts what was sent: such an operation is never resent, only read.
    pub contradicts: Contradiction,
}

impl Doubt {
    /// A doubt that nothing contradicts.
    pub(crate) fn new(stage: Stage, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            stage,
            why: why.into(),
            contradicts: Contradiction::None,
        }
    }
}

/// How far a call is known to have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The first write is committed; whether anything was sent isn't known.
    Prepared,
    /// It was sent, in whole or in part, and no answer came.
    Sent,
    /// An answer came that doesn't say what happened.
    Answered,
}

/// Whether an answer contradicts what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contradiction {
    /// Nothing does.
    None,
    /// An amount, a currency or a reference in the answer isn't the one sent.
    Echo,
}

/// What a connector's `report` gives where there is no report: a doubt, unless it holds a proof of the contrary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError(Failure);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    Refused(RefusalProof),
    Unknown(Cow<'static, str>),
}

impl CallError {
    /// The processor proved that it executed nothing.
    pub fn refused(proof: RefusalProof) -> Self {
        Self(Failure::Refused(proof))
    }

    /// It isn't known what the processor did. `why` holds no bytes of the answer.
    pub fn unknown(why: impl Into<Cow<'static, str>>) -> Self {
        Self(Failure::Unknown(why.into()))
    }

    /// Whether this says that nothing was executed.
    pub fn is_refusal(&self) -> bool {
        matches!(self.0, Failure::Refused(_))
    }

    pub(crate) fn into_outcome<R>(self) -> Outcome<R> {
        match self.0 {
            Failure::Refused(proof) => Outcome::NotExecuted(NotExecuted::Refused(proof.0)),
            Failure::Unknown(why) => Outcome::unknown(Stage::Answered, why),
        }
    }
}

impl<R> Outcome<R> {
    pub(crate) fn unknown(stage: Stage, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unknown(Doubt::new(stage, why))
    }

    pub(crate) fn from_transport(error: TransportError) -> Self {
        match error {
            TransportError::NotSent(why) => Self::NotExecuted(NotExecuted::NotSent(why.into())),
            TransportError::Unknown(why) => Self::unknown(Stage::Sent, why),
        }
    }
}

/// Proof that a processor executed nothing. Only a [`StatusTable`]'s allow-list makes one.
///
/// ```compile_fail,E0423
/// use paymux_core::connector::{CallError, RefusalProof};
/// let _ = CallError::refused(RefusalProof("I say so".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalProof(Cow<'static, str>);

/// Which statuses are an answer, and which prove that nothing was executed. All others are a doubt.
#[derive(Clone, Copy, Debug)]
pub struct StatusTable {
    answers: &'static [u16],
    refuses: &'static [u16],
    source: &'static str,
    own: fn(&Response) -> bool,
}

impl StatusTable {
    /// Every status is a doubt.
    pub const fn new() -> Self {
        Self {
            answers: &[],
            refuses: &[],
            source: "",
            own: |_| true,
        }
    }

    /// These come with a body that says what happened.
    #[must_use]
    pub const fn answers(mut self, statuses: &'static [u16]) -> Self {
        self.answers = statuses;
        self
    }

    /// These say that nothing was executed; `source` is where the processor's documentation says so.
    ///
    /// # Panics
    /// If a status is one that never proves anything: 408, 409, 425, a redirect or a server's error.
    #[must_use]
    pub const fn refuses(mut self, statuses: &'static [u16], source: &'static str) -> Self {
        let mut at = 0;
        while at < statuses.len() {
            let status = statuses[at];
            assert!(
                status >= 400 && status < 500 && status != 408 && status != 409 && status != 425,
                "408, 409, 425, 3xx and 5xx never prove that nothing was executed"
            );
            at += 1;
        }
        self.refuses = statuses;
        self.source = source;
        self
    }

    /// A status proves something only where `own` finds the processor's own refusal in the answer: what stands
    /// between, a gateway or a firewall, may answer 401, 403, 404 or 429 as well, of a request that it passed on
    /// before. Without this the status alone is believed.
    #[must_use]
    pub const fn refusal_body(mut self, own: fn(&Response) -> bool) -> Self {
        self.own = own;
        self
    }

    /// The body of an answer; else what the status proves.
    ///
    /// # Errors
    /// A refusal where the status is on the allow-list with the processor's own body; a doubt otherwise, and where
    /// the body doesn't read.
    pub fn read<T: DeserializeOwned>(&self, answer: &Response) -> Result<T, CallError> {
        if self.answers.contains(&answer.status().as_u16()) {
            return answer.json();
        }
        Err(self.error(answer))
    }

    /// What a status proves that isn't an answer.
    pub fn error(&self, answer: &Response) -> CallError {
        match self.prove(answer) {
            Some(proof) => CallError::refused(proof),
            None => CallError::unknown(format!("status {}", answer.status().as_u16())),
        }
    }

    /// The proof that a status on the allow-list is, with the processor's own body.
    pub fn prove(&self, answer: &Response) -> Option<RefusalProof> {
        let status = answer.status().as_u16();
        (self.refuses.contains(&status) && (self.own)(answer))
            .then(|| RefusalProof(format!("status {status}, {}", self.source).into()))
    }
}

impl Default for StatusTable {
    fn default() -> Self {
        Self::new()
    }
}

/// What an answer repeats of the request. Core compares it: what the capabilities promise must be there, and what is
/// there must be what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    pub(crate) amount: Option<Money>,
    pub(crate) reference: Option<String>,
}

impl Echo {
    /// It repeats nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// It repeats the amount and its currency.
    #[must_use]
    pub fn amount(mut self, amount: Money) -> Self {
        self.amount = Some(amount);
        self
    }

    /// It repeats our reference.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Whether what it repeats is what was sent: one of `amounts`, and `reference`.
    pub(crate) fn check(&self, amounts: &[Money], reference: &str) -> Result<(), Cow<'static, str>> {
        if let (Some(seen), Some(amount)) = (self.amount, amounts.first())
            && !amounts.contains(&seen)
        {
            return Err(format!("the answer speaks of {seen}, the request of {amount}").into());
        }
        match &self.reference {
            Some(seen) if seen != reference => Err("the answer speaks of another reference".into()),
            None | Some(_) => Ok(()),
        }
    }
}

/// What every answer of an account repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Echoes {
    /// Nothing that could be relied on.
    #[default]
    Nothing,
    /// The amount and its currency.
    Amount,
    /// Our reference.
    Reference,
    /// Both.
    AmountAndReference,
}

impl Echoes {
    /// Whether `echo` is as promised and as sent.
    pub(crate) fn check(self, echo: &Echo, amount: Money, reference: &str) -> Result<(), Cow<'static, str>> {
        self.check_promised(echo)?;
        echo.check(&[amount], reference)
    }

    /// Whether `echo` has what is promised.
    pub(crate) fn check_promised(self, echo: &Echo) -> Result<(), Cow<'static, str>> {
        let (want_amount, want_reference) = match self {
            Self::Nothing => (false, false),
            Self::Amount => (true, false),
            Self::Reference => (false, true),
            Self::AmountAndReference => (true, true),
        };
        match (echo.amount, &echo.reference) {
            (None, _) if want_amount => Err("the answer lacks the amount that it should repeat".into()),
            (_, None) if want_reference => Err("the answer lacks the reference that it should repeat".into()),
            (_, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
