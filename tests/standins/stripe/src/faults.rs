//! What goes wrong on demand.

use std::collections::VecDeque;
use std::time::Duration;

/// A call of Stripe's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/payment_intents`
    Create,
    /// `POST /v1/payment_intents/{id}/confirm`
    Confirm,
    /// `POST /v1/payment_intents/{id}/capture`
    Capture,
    /// `POST /v1/payment_intents/{id}/increment_authorization`
    Increment,
    /// `POST /v1/payment_intents/{id}/cancel`
    Cancel,
    /// `GET /v1/payment_intents/{id}`
    Retrieve,
    /// `POST /v1/refunds`
    Refund,
    /// `GET /v1/refunds/{id}`
    RetrieveRefund,
    /// `GET /v1/refunds`
    ListRefunds,
}

impl Endpoint {
    /// Reads the word for it, as `POST /_faults` takes it.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "create" => Self::Create,
            "confirm" => Self::Confirm,
            "capture" => Self::Capture,
            "increment" => Self::Increment,
            "cancel" => Self::Cancel,
            "retrieve" => Self::Retrieve,
            "refund" => Self::Refund,
            "retrieve_refund" => Self::RetrieveRefund,
            "list_refunds" => Self::ListRefunds,
            _ => return None,
        })
    }
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection closes before anything is done.
    DropRequest,
    /// It is done, and the connection closes without an answer.
    DropAnswer,
    /// 500, and nothing is done. The key keeps the 500.
    ErrorBefore,
    /// It is done, and the answer is 500 all the same. The key keeps the 500.
    ErrorAfter,
    /// The request arrives twice, as from a proxy that repeats it.
    Twice,
    /// It is done this much later; until then its key is in use.
    Delay(Duration),
    /// 429: too many requests; nothing is done and the key keeps nothing.
    RateLimit,
}

impl Fault {
    /// Reads the word for it, as `POST /_faults` takes it.
    pub fn parse(word: &str, delay: Duration) -> Option<Self> {
        Some(match word {
            "drop_request" => Self::DropRequest,
            "drop_answer" => Self::DropAnswer,
            "error_before" => Self::ErrorBefore,
            "error_after" => Self::ErrorAfter,
            "twice" => Self::Twice,
            "delay" => Self::Delay(delay),
            "rate_limit" => Self::RateLimit,
            _ => return None,
        })
    }
}

/// The faults to come, each for one request.
#[derive(Debug, Default)]
pub(crate) struct Plan(VecDeque<(Endpoint, Fault)>);

impl Plan {
    pub(crate) fn add(&mut self, endpoint: Endpoint, fault: Fault) {
        self.0.push_back((endpoint, fault));
    }

    pub(crate) fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let at = self.0.iter().position(|(planned, _)| *planned == endpoint)?;
        self.0.remove(at).map(|(_, fault)| fault)
    }
}
