//! A transport that answers from a script.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use paymux_core::connector::{Request, Response, Transport, TransportError};

/// A transport without a network: it keeps every request, and answers with what the test said beforehand.
///
/// Clones share one script, so that a test keeps one while a connector holds another.
///
/// ```
/// use paymux_core::connector::{Request, Response, Transport, TransportError};
/// use paymux_testkit::ScriptedTransport;
///
/// # async fn test() {
/// let script = ScriptedTransport::new();
/// script.then(Response::new(200, serde_json::json!({ "paid": true })));
/// script.then_fails(TransportError::Unknown("the connection was reset"));
/// assert!(script.send(Request::get("https://acme.example/charges/1")).await.is_ok());
/// assert!(script.send(Request::get("https://acme.example/charges/1")).await.is_err());
/// assert_eq!(script.requests()[0].url(), "https://acme.example/charges/1");
/// # }
/// ```
#[derive(Clone, Default)]
pub struct ScriptedTransport(Arc<Mutex<Script>>);

type Answer = Result<Response, TransportError>;
type Processor = Box<dyn FnMut(&Request) -> Answer + Send>;

#[derive(Default)]
struct Script {
    requests: Vec<Request>,
    next: VecDeque<Answer>,
    otherwise: Option<Processor>,
}

impl ScriptedTransport {
    /// A transport with an empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the next request that isn't answered for yet.
    pub fn then(&self, answer: Response) {
        self.script().next.push_back(Ok(answer));
    }

    /// Fails the next request that isn't answered for yet.
    pub fn then_fails(&self, error: TransportError) {
        self.script().next.push_back(Err(error));
    }

    /// Answers what is left when [`ScriptedTransport::then`] has run out: a processor in one closure. Without it such
    /// a request is `NotSent`.
    pub fn otherwise(
        &self,
        answer: impl FnMut(&Request) -> Result<Response, TransportError> + Send + 'static,
    ) {
        self.script().otherwise = Some(Box::new(answer));
    }

    /// Every request so far, in the order of sending.
    pub fn requests(&self) -> Vec<Request> {
        self.script().requests.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // A panic in one test's closure must not hide itself behind another one's.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut script = self.script();
        let answer = match script.next.pop_front() {
            Some(answer) => answer,
            None => match script.otherwise.as_mut() {
                Some(otherwise) => otherwise(&request),
                None => Err(TransportError::NotSent("the script has no answer left")),
            },
        };
        script.requests.push(request);
        answer
    }
}

/// Shows how much there is, and none of it.
impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = self.script();
        f.debug_struct("ScriptedTransport")
            .field("requests", &script.requests.len())
            .field("answers_left", &script.next.len())
            .finish_non_exhaustive()
    }
}
