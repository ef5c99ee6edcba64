//! The way to the processor and back, in process.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use paymux_core::connector::{Request, Response, Transport, TransportError};

use crate::processor::{Delivery, Processor};

/// Hands requests to the processor of a [`Sandbox`](crate::Sandbox).
pub(crate) struct SandboxTransport(pub(crate) Arc<Processor>);

#[async_trait]
impl Transport for SandboxTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let mut delivery = self.0.receive(&request);
        loop {
            delivery = match delivery {
                Delivery::Answered(answer) => return Ok(answer.into_response()),
                Delivery::Lost(why) => return Err(TransportError::Unknown(why)),
                Delivery::NotSent(why) => return Err(TransportError::NotSent(why)),
                Delivery::Hanging => std::future::pending().await,
                Delivery::Later { id, wait } => {
                    self.0.clock.sleep(wait).await;
                    self.0.finish(&id)
                }
            };
        }
    }
}

impl fmt::Debug for SandboxTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SandboxTransport")
    }
}
