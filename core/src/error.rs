//! The one error of the public API.
//!
//! **`Err` means that this call moved nothing and left nothing in doubt.** Every doubt about money is an `Ok` that
//! holds an `Unknown` outcome.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use crate::id::OperationId;
use crate::intent::IntentStatus;
use crate::money::MoneyError;
use crate::store::StoreError;
use crate::time::Timestamp;

/// The result of the public API.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, what to do next, and whether a retry is safe.
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    faults: Vec<Fault>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request's own values are wrong: [`Error::faults`] lists all of them.
    Invalid,
    /// There is nothing of that identifier for this tenant. Another tenant's reads exactly the same.
    NotFound,
    /// The account of the payment, or no account at all, offers this.
    Unsupported,
    /// No connector takes this payment: [`Error::faults`] says why each was left out.
    NoRoute,
    /// No connector executed anything, and each proved it. The same key may try again.
    NotExecuted,
    /// The thing has changed since it was read. Read it again and decide anew.
    Stale,
    /// The host's risk check, or its policy, refused.
    Forbidden,
    /// The command doesn't fit the state.
    InvalidTransition {
        /// The state as it is.
        current: &'static str,
        /// The command that was refused.
        command: &'static str,
    },
    /// Another operation on the same payment is open: its outcome comes first.
    OperationInProgress {
        /// What is open, once its first write is committed.
        operation: Option<OperationId>,
    },
    /// The idempotency key was used before with another request.
    IdempotencyMismatch,
    /// The session's time is up; a new one may be made.
    SessionExpired,
    /// The session is paid. Never make another one for the same order.
    SessionAlreadyCompleted,
    /// The payer may still complete an earlier action, and it can't be called back.
    PayerActionOutstanding {
        /// When it is safe, where that is known.
        safe_after: Option<Timestamp>,
    },
    /// The account refunds only what has settled: `reverse` gives the money back otherwise.
    RefundNotSettled,
    /// A dispute holds the money.
    RefundBlockedByDispute,
    /// It is too early for a person to give up: the processor may still answer.
    TooEarly {
        /// When it may be done.
        after: Timestamp,
    },
    /// The store couldn't be read or written, and nothing was left in doubt that moves money now: of what only writes (a
    /// payment that is made and not confirmed, a session) the same key finds out whether it was written.
    Store,
    /// The host's source of connectors failed, or lacks an account.
    Connectors,
}

impl ErrorKind {
    /// What a refusal of this kind is about, and what may be done. `None` where the request can't be at fault, or where
    /// more is known when the error is made.
    fn fault(&self) -> Option<Fault> {
        let fault =
            |field: &'static str, problem: &str, remedy: &str| Some(Fault::new(field, problem, remedy));
        match self {
            Self::InvalidTransition { current, command } => {
                let problem = format!("it is {current}, which takes no `{command}`");
                fault("id", &problem, "read it again: what its status takes may be done")
            }
            Self::OperationInProgress { .. } => fault(
                "id",
                "an operation on it is open",
                "wait for its outcome, or ask again with the same key",
            ),
            Self::Stale => fault(
                "id",
                "it has changed since it was read",
                "read it again and decide anew",
            ),
            Self::IdempotencyMismatch => fault(
                "idempotency_key",
                "it was used before with another request",
                "use a new key for a new request",
            ),
            Self::SessionExpired => fault("id", "its time is up", "make a new session"),
            Self::SessionAlreadyCompleted => fault(
                "id",
                "it is paid",
                "never make another session for the same order",
            ),
            Self::PayerActionOutstanding { safe_after } => {
                let remedy = match safe_after {
                    Some(at) => format!("wait until {at}, or supersede the attempt as a person"),
                    None => "wait for the payer, or supersede the attempt as a person".to_owned(),
                };
                fault("id", "the payer may still act on it", &remedy)
            }
            Self::RefundNotSettled => fault(
                "id",
                "its money hasn't settled",
                "refund it once it has, or reverse the payment",
            ),
            Self::RefundBlockedByDispute => fault(
                "id",
                "a dispute holds its money",
                "wait until the dispute is over",
            ),
            Self::TooEarly { after } => fault(
                "id",
                "the processor may still answer",
                &format!("wait until {after}"),
            ),
            Self::Invalid
            | Self::NotFound
            | Self::Unsupported
            | Self::NoRoute
            | Self::NotExecuted
            | Self::Forbidden
            | Self::Store
            | Self::Connectors => None,
        }
    }
}

/// Whether, and how, the same thing may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same request with the same key, after this long.
    SameKey {
        /// How long to wait at least.
        #[serde(with = "crate::time::duration_ms")]
        after: Duration,
    },
    /// Something must change first: the request, or what it is about. Then with a new key.
    AfterChange,
    /// No.
    Never,
}

/// One wrong field: what is wrong with it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The field, as a path: `line_items.3.quantity`.
    pub field: Cow<'static, str>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Fault {
    /// A fault of `field`.
    pub fn new(
        field: impl Into<Cow<'static, str>>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.problem, self.remedy)
    }
}

/// An [`Error`] as a platform may show it to its merchants: no internals.
#[derive(Clone, Debug, Serialize)]
pub struct PublicError<'a> {
    code: &'static str,
    message: &'a str,
    retry: Retry,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    faults: &'a [Fault],
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationId>,
}

impl Error {
    /// An error of a kind that names a field by itself has that fault, unless it is given others.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let faults = kind.fault().into_iter().collect();
        Self {
            kind,
            message: message.into(),
            faults,
            source: None,
        }
    }

    /// One wrong field. Ports of the host's use it for what they refuse.
    pub fn invalid(fault: Fault) -> Self {
        Self::new(ErrorKind::Invalid, "a value of the request is wrong").with_faults(vec![fault])
    }

    /// Several wrong fields.
    pub fn invalid_all(faults: Vec<Fault>) -> Self {
        Self::new(ErrorKind::Invalid, "values of the request are wrong").with_faults(faults)
    }

    /// The host's source of connectors failed: for implementations of [`crate::Connectors`].
    pub fn connectors(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Connectors, message)
    }

    pub(crate) fn not_found(field: &'static str, what: &'static str) -> Self {
        let fault = Fault::new(
            field,
            format!("there is no such {what}"),
            "check the identifier and the tenant",
        );
        Self::new(ErrorKind::NotFound, "not found").with_faults(vec![fault])
    }

    pub(crate) fn transition(current: IntentStatus, command: &'static str) -> Self {
        Self::illegal(current.as_str(), command)
    }

    pub(crate) fn illegal(current: &'static str, command: &'static str) -> Self {
        let message = format!("`{command}` doesn't fit a payment object that is {current}");
        Self::new(ErrorKind::InvalidTransition { current, command }, message)
    }

    pub(crate) fn in_progress(operation: Option<OperationId>) -> Self {
        Self::new(
            ErrorKind::OperationInProgress { operation },
            "another operation on this object is open: ask again for its outcome",
        )
    }

    pub(crate) fn with_faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    pub(crate) fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// A word for the kind that never changes: `operation_in_progress`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::NoRoute => "no_route",
            ErrorKind::NotExecuted => "not_executed",
            ErrorKind::Stale => "stale",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::InvalidTransition { .. } => "invalid_transition",
            ErrorKind::OperationInProgress { .. } => "operation_in_progress",
            ErrorKind::IdempotencyMismatch => "idempotency_mismatch",
            ErrorKind::SessionExpired => "session_expired",
            ErrorKind::SessionAlreadyCompleted => "session_already_completed",
            ErrorKind::PayerActionOutstanding { .. } => "payer_action_outstanding",
            ErrorKind::RefundNotSettled => "refund_not_settled",
            ErrorKind::RefundBlockedByDispute => "refund_blocked_by_dispute",
            ErrorKind::TooEarly { .. } => "too_early",
            ErrorKind::Store => "store",
            ErrorKind::Connectors => "connectors",
        }
    }

    /// Whether a retry is safe, and of what.
    pub fn retry(&self) -> Retry {
        match self.kind {
            ErrorKind::NotExecuted | ErrorKind::Store | ErrorKind::Connectors => Retry::SameKey {
                after: Duration::from_secs(1),
            },
            ErrorKind::OperationInProgress { .. } => Retry::SameKey {
                after: Duration::from_millis(500),
            },
            ErrorKind::Invalid
            | ErrorKind::NoRoute
            | ErrorKind::Stale
            | ErrorKind::SessionExpired
            | ErrorKind::PayerActionOutstanding { .. }
            | ErrorKind::RefundNotSettled
            | ErrorKind::TooEarly { .. }
            | ErrorKind::InvalidTransition { .. } => Retry::AfterChange,
            ErrorKind::NotFound
            | ErrorKind::Unsupported
            | ErrorKind::Forbidden
            | ErrorKind::IdempotencyMismatch
            | ErrorKind::RefundBlockedByDispute
            | ErrorKind::SessionAlreadyCompleted => Retry::Never,
        }
    }

    /// The HTTP status that says the same.
    pub fn http_status(&self) -> StatusCode {
        match self.kind {
            ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::NoRoute => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::InvalidTransition { .. } | ErrorKind::IdempotencyMismatch => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ErrorKind::Stale
            | ErrorKind::OperationInProgress { .. }
            | ErrorKind::PayerActionOutstanding { .. }
            | ErrorKind::RefundNotSettled
            | ErrorKind::RefundBlockedByDispute
            | ErrorKind::TooEarly { .. }
            | ErrorKind::SessionAlreadyCompleted => StatusCode::CONFLICT,
            ErrorKind::SessionExpired => StatusCode::GONE,
            ErrorKind::NotExecuted | ErrorKind::Store | ErrorKind::Connectors => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Every wrong field, where fields are what is wrong; of a refusal by what something is like, its identifier.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The error as merchants may see it.
    pub fn public(&self) -> PublicError<'_> {
        let operation = match self.kind {
            ErrorKind::OperationInProgress { operation } => operation,
            _ => None,
        };
        PublicError {
            code: self.code(),
            message: &self.message,
            retry: self.retry(),
            faults: &self.faults,
            operation,
        }
    }
}

impl From<MoneyError> for Error {
    fn from(source: MoneyError) -> Self {
        Self::invalid(Fault::new(
            "amount",
            source.to_string(),
            "write it as \"49.99 EUR\"",
        ))
        .with_source(source)
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        Self::new(ErrorKind::Store, source.to_string()).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (at, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("faults", &self.faults)
            .field("source", &self.source.as_ref().map(|source| source.to_string()))
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_a_retry_and_a_status() {
        let same = |millis| Retry::SameKey {
            after: Duration::from_millis(millis),
        };
        let at = Timestamp::from_secs(1);
        let transition = ErrorKind::InvalidTransition {
            current: "failed",
            command: "capture",
        };
        let outstanding = ErrorKind::PayerActionOutstanding { safe_after: None };
        let table = [
            (ErrorKind::Invalid, "invalid", Retry::AfterChange, 400),
            (ErrorKind::NotFound, "not_found", Retry::Never, 404),
            (ErrorKind::Unsupported, "unsupported", Retry::Never, 400),
            (ErrorKind::NoRoute, "no_route", Retry::AfterChange, 400),
            (ErrorKind::NotExecuted, "not_executed", same(1_000), 503),
            (ErrorKind::Stale, "stale", Retry::AfterChange, 409),
            (ErrorKind::Forbidden, "forbidden", Retry::Never, 403),
            (transition, "invalid_transition", Retry::AfterChange, 422),
            (
                ErrorKind::OperationInProgress { operation: None },
                "operation_in_progress",
                same(500),
                409,
            ),
            (
                ErrorKind::IdempotencyMismatch,
                "idempotency_mismatch",
                Retry::Never,
                422,
            ),
            (
                ErrorKind::SessionExpired,
                "session_expired",
                Retry::AfterChange,
                410,
            ),
            (
                ErrorKind::SessionAlreadyCompleted,
                "session_already_completed",
                Retry::Never,
                409,
            ),
            (outstanding, "payer_action_outstanding", Retry::AfterChange, 409),
            (
                ErrorKind::RefundNotSettled,
                "refund_not_settled",
                Retry::AfterChange,
                409,
            ),
            (
                ErrorKind::RefundBlockedByDispute,
                "refund_blocked_by_dispute",
                Retry::Never,
                409,
            ),
            (
                ErrorKind::TooEarly { after: at },
                "too_early",
                Retry::AfterChange,
                409,
            ),
            (ErrorKind::Store, "store", same(1_000), 503),
            (ErrorKind::Connectors, "connectors", same(1_000), 503),
        ];
        for (kind, code, retry, status) in table {
            let error = Error::new(kind.clone(), "words");
            assert_eq!(
                (error.code(), error.retry(), error.http_status().as_u16()),
                (code, retry, status)
            );
            let public = serde_json::to_value(error.public()).unwrap();
            assert_eq!(
                (&public["code"], &public["message"]),
                (&code.into(), &"words".into())
            );
        }
    }
}
