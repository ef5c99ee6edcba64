//! paymux's connector to Stripe: card payments through the PaymentIntents API.
//!
//! ```
//! # use std::sync::Arc;
//! # use paymux_core::connector::prelude::*;
//! # #[derive(Debug)] struct Http;
//! # #[async_trait] impl Transport for Http {
//! #     async fn send(&self, _: Request) -> Result<Response, TransportError> { Err(TransportError::NotSent("doc")) }
//! # }
//! # let transport = Arc::new(Http);
//! use paymux_stripe::Stripe;
//!
//! let connector = Stripe::new("sk_test_…", "main").connector(transport);
//! assert_eq!(connector.account().to_string(), "stripe/main");
//! ```
//!
//! A payment is made in two steps: a PaymentIntent is created unconfirmed, its identifier is committed, and only then
//! is it confirmed. A lost answer to the second step is read back by that identifier, which Stripe answers from the
//! object itself.
//!
//! There is no look-up of a payment by our reference: Stripe's search shows a new object only after a while
//! (docs.stripe.com/search, "data freshness"), so that "not found" there would prove nothing, and the identifier
//! comes first anyway. Refunds have no such first step, but Stripe lists a payment's refunds, so they are looked up there.
//!
//! `succeeded` is reported as settled: Stripe has taken the money and owes it to the account from then on, and says
//! nothing of one payment afterwards, since payouts to the bank are of balances.
//!
//! | file | holds |
//! |---|---|
//! | config | what a host sets |
//! | connector | the slots, each with its effect and key, in one table |
//! | wire | what Stripe writes: objects, amounts, forms |
//! | map | how each operation is asked and its answer read |
//! | error | which status proves what, and the table of declines |
//! | webhook | whose a webhook is, whether it is genuine, what it says |

mod config;
mod connector;
mod error;
mod map;
mod webhook;
mod wire;

pub use config::{API_VERSION, CONNECTOR, Stripe};
