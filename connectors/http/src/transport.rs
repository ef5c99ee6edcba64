//! The transport.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use paymux_core::connector::{Request, Response, Transport, TransportError};
use reqwest::Url;

use crate::config::{HttpTransportBuilder, PlainHttp};
use crate::error;

/// The largest answer that is read, in bytes. What is larger is `Unknown`: nothing about it is guessed.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Sends requests over HTTP/1.1, each once. Clones share their connections.
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    config: HttpTransportBuilder,
}

impl HttpTransport {
    /// A transport to be set up.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder::new()
    }

    pub(crate) fn new(client: reqwest::Client, config: HttpTransportBuilder) -> Self {
        Self { client, config }
    }

    fn outgoing(&self, request: &Request) -> Result<reqwest::Request, TransportError> {
        let url = Url::parse(request.url()).map_err(|_| error::BAD_URL)?;
        match (url.scheme(), self.config.plain_http) {
            ("https", _) | ("http", PlainHttp::Anywhere) => {}
            ("http", PlainHttp::Loopback) if is_loopback(&url) => {}
            ("http", PlainHttp::Loopback) => return Err(error::PLAIN_HTTP),
            (_, _) => return Err(error::BAD_URL),
        }
        let mut outgoing = reqwest::Request::new(request.method().clone(), url);
        *outgoing.headers_mut() = request.headers().clone();
        if !request.bytes().is_empty() {
            *outgoing.body_mut() = Some(request.bytes().clone().into());
        }
        Ok(outgoing)
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let sent = self.client.execute(self.outgoing(&request)?).await;
        let mut answer = sent.map_err(|error| error::before_the_answer(&error))?;
        // Not trusted for more than an early no: the body is counted as it comes.
        if answer
            .content_length()
            .is_some_and(|length| length > MAX_ANSWER_BYTES as u64)
        {
            return Err(error::OVERSIZE);
        }
        let status = answer.status();
        let headers = std::mem::take(answer.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error::in_the_body(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(error::OVERSIZE);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response::from_parts(status, headers, body.into()))
    }
}

/// Shows the set-up alone: the client knows nothing secret, and its own form isn't relied on for that.
impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("connect_timeout", &self.config.connect_timeout)
            .field("total_timeout", &self.config.total_timeout)
            .field("plain_http", &self.config.plain_http)
            .finish_non_exhaustive()
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
