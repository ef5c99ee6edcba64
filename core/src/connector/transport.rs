//! The transport port: bytes to a processor and back, and how far a request got when there is no answer.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::outcome::CallError;
use crate::error::Fault;
use crate::secret::Secret;

/// Sends one request, once. A transport never repeats a request, follows a redirect or keeps a cookie; it reads at
/// most 1 MiB of answer; where there is no whole answer it says how far the request got.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` and waits for the whole answer, of whatever status.
    ///
    /// # Errors
    /// [`TransportError::NotSent`] only where no byte of the request can have been acted on.
    async fn send(&self, request: Request) -> Result<Response, TransportError>;
}

/// There is no whole answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No byte of the request can have been acted on: the name didn't resolve, no connection came about, TLS failed.
    /// The word names the cause.
    #[error("not sent: {0}")]
    NotSent(&'static str),
    /// Anything else: it may have been acted on. The word names the cause.
    #[error("sent, no answer: {0}")]
    Unknown(&'static str),
}

/// A request to a processor: what is hashed into the first write (method, URL, body), and what isn't (headers).
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    volatile: Option<&'static str>,
}

impl Request {
    /// A request of any method, without a body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            volatile: None,
        }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::POST, url)
    }

    /// A DELETE request.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// With a header. A value that no header can hold is left out of the request and fails it when
    /// it is sent.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(UNWRITABLE));
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// With `Authorization: Bearer …`; not part of the hash, and not printable.
    #[must_use]
    pub fn bearer(mut self, secret: &Secret) -> Self {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose()))
            .unwrap_or_else(|_| HeaderValue::from_static(UNWRITABLE));
        value.set_sensitive(true);
        self.headers.insert(http::header::AUTHORIZATION, value);
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, value: impl Serialize) -> Self {
        // A value that doesn't serialize leaves the body empty, which no processor takes for a payment.
        self.body = serde_json::to_vec(&value).unwrap_or_default().into();
        self.content_type("application/json")
    }

    /// With a body of another type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.content_type(content_type)
    }

    /// Marks the request as holding something that can't be kept, so that it can't be built again after a crash and
    /// is never sent twice. `why` names it.
    #[must_use]
    pub fn volatile(mut self, why: &'static str) -> Self {
        self.volatile = Some(why);
        self
    }

    fn content_type(mut self, content_type: &'static str) -> Self {
        self.headers
            .insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self
    }

    /// Fails if a header's value couldn't be written.
    pub(crate) fn checked(self) -> Result<Self, Unsendable> {
        match self
            .headers
            .iter()
            .find(|(_, value)| value.as_bytes() == UNWRITABLE.as_bytes())
        {
            Some((name, _)) => Err(Unsendable::field(
                "header",
                format!("`{name}` can't hold that value"),
            )),
            None => Ok(self),
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// What in it can't be kept, if anything.
    pub fn volatile_part(&self) -> Option<&'static str> {
        self.volatile
    }

    /// SHA-256 over method, URL and body: never authentication, date or key headers. Equal on every send of a step.
    pub fn wire_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.method.as_str().as_bytes());
        hash.update([0]);
        hash.update(self.url.as_bytes());
        hash.update([0]);
        hash.update(&self.body);
        hash.finalize().into()
    }
}

const UNWRITABLE: &str = "paymux-unwritable-header-value";

/// Shows the method and the size alone: a URL or a body may hold what must not be printed.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .field("volatile", &self.volatile)
            .finish_non_exhaustive()
    }
}

/// A processor's whole answer, of whatever status.
#[derive(Clone)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Response {
    /// An answer with a JSON body, as tests write one.
    ///
    /// # Panics
    /// If `status` isn't 100 to 999.
    pub fn new(status: u16, body: serde_json::Value) -> Self {
        assert!((100..1000).contains(&status), "an HTTP status is 100 to 999");
        Self {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        }
    }

    /// An answer from its parts.
    pub fn from_parts(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            status,
            headers,
            body,
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// A body that doesn't read so is a doubt, whatever the status.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body)
            .map_err(|_| CallError::unknown("the answer's body doesn't read as documented"))
    }
}

/// Shows the status and the size alone: raw provider bytes are never printed.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The processor can't be asked this: the request was never built, and nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable(pub(crate) Fault);

impl Unsendable {
    /// Names the field and what the processor can't take of it.
    pub fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self(Fault::new(
            field,
            problem,
            "change it, or route the payment to another account",
        ))
    }

    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.0
    }
}
