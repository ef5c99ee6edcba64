//! Bugs between the engine and a processor: of an HTTP client, and of whoever reads its answers.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use paymux_core::connector::{Request, Response, Transport, TransportError};

use super::Tooth;
use crate::schedule::Time;
use crate::wire::{ACCOUNT, Act, Ask, KEY, Said, State};

#[derive(Debug)]
pub(super) struct BadNetwork {
    pub(super) tooth: Tooth,
    pub(super) inner: Arc<dyn Transport>,
    pub(super) time: Time,
    pub(super) sent: AtomicU64,
}

/// Before the engine's own time-out.
const TIMEOUT_MS: u64 = 20_000;

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    let value = request.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The same request as another account, or with another key.
fn changed(request: &Request, account: &str, key: &str) -> Request {
    Request::post(request.url())
        .header(ACCOUNT, account)
        .header(KEY, key)
        .body("application/json", request.bytes().clone())
}

fn bare(status: u16) -> Response {
    let status = http::StatusCode::from_u16(status).unwrap_or_default();
    Response::from_parts(status, http::HeaderMap::new(), bytes::Bytes::new())
}

fn said(answer: &Response) -> Option<Said> {
    serde_json::from_slice(answer.bytes()).ok()
}

fn saying(said: &Said) -> Response {
    let body = serde_json::to_vec(said).unwrap_or_default();
    Response::from_parts(http::StatusCode::OK, http::HeaderMap::new(), body.into())
}

impl BadNetwork {
    async fn in_time(&self, request: Request) -> Result<Response, TransportError> {
        let mut answer = self.inner.send(request);
        let mut limit = pin!(self.time.sleep(TIMEOUT_MS));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let over = limit.as_mut().poll(cx);
            over.map(|()| Err(TransportError::NotSent("timed out")))
        })
        .await
    }
}

#[async_trait]
impl Transport for BadNetwork {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let Ok(ask) = serde_json::from_slice::<Ask>(request.bytes()) else {
            return self.inner.send(request).await;
        };
        if ask.act.reads() {
            return self.inner.send(request).await;
        }
        let (account, key) = (header(&request, ACCOUNT), header(&request, KEY));
        let operation = key.rsplit_once('-').map_or(key, |(operation, _)| operation);
        match self.tooth {
            Tooth::ResentOnReset => match self.inner.send(request.clone()).await {
                Err(TransportError::Unknown(_)) => self.inner.send(request).await,
                first => first,
            },
            Tooth::TimeoutIsNotSent => match self.in_time(request).await {
                Err(TransportError::Unknown(why)) => Err(TransportError::NotSent(why)),
                answer => answer,
            },
            Tooth::FreshKey => {
                let number = self.sent.fetch_add(1, Ordering::Relaxed);
                let fresh = format!("{operation}-{}", self.time.now() * 1_000 + number);
                self.inner.send(changed(&request, account, &fresh)).await
            }
            Tooth::OneKeyForTwoSteps => {
                let one = format!("{operation}-step");
                self.inner.send(changed(&request, account, &one)).await
            }
            Tooth::OthersCredentials => self.inner.send(changed(&request, "a0", key)).await,
            Tooth::ServerErrorIsRefusal => {
                let answer = self.inner.send(request).await?;
                Ok(match answer.status().is_server_error() {
                    true => bare(422),
                    false => answer,
                })
            }
            Tooth::UnreadableIsRefusal => {
                let answer = self.inner.send(request).await?;
                Ok(match answer.status().as_u16() {
                    200 | 402 if said(&answer).is_none() => bare(422),
                    _ => answer,
                })
            }
            Tooth::AmountNotVerified => {
                let answer = self.inner.send(request).await?;
                Ok(match said(&answer) {
                    Some(said) if said.state == State::Authorized => saying(&Said {
                        authorized: said.amount.minor(),
                        ..said
                    }),
                    Some(_) | None => answer,
                })
            }
            Tooth::VoidRefusedIsDone => {
                let answer = self.inner.send(request).await?;
                Ok(match (ask.act, said(&answer)) {
                    (Act::Void, Some(said)) if said.state == State::Failed => saying(&Said {
                        state: State::Done,
                        code: None,
                        ..said
                    }),
                    (_, _) => answer,
                })
            }
            _ => self.inner.send(request).await,
        }
    }
}
