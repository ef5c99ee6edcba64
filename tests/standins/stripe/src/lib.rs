//! A stateful server that behaves as Stripe's documentation says, for tests: payments, refunds, idempotency keys,
//! authentication pages, signed webhooks, and faults on demand. It shares no type with the connector that it is there
//! to test: both are written from the same pages, apart.
//!
//! Beside Stripe's own paths it answers some that begin with `/_`, for tests in other processes:
//!
//! | path | form | does |
//! |---|---|---|
//! | `POST /_faults` | `endpoint`, `fault`, `times`, `delay_ms` | the next requests there fail so, see [`Fault`] |
//! | `POST /_webhooks` | `url`, `secret` | posts events there |
//! | `POST /_clock` | `seconds` | moves its clock forward |
//! | `GET /_pages/{payment}?outcome=complete` | or `outcome=fail` | does what the payer would do on the bank's page |
//! | `POST /_refunds/settle` | | pending refunds are paid out, or fail, by their card |

mod book;
mod events;
mod faults;
mod form;
mod intents;
mod keys;
mod methods;
mod refunds;
mod render;
mod server;

use std::sync::Arc;
use std::time::Duration;

pub use book::ChargeLine;
pub use events::Endpoint as WebhookEndpoint;
pub use faults::{Endpoint, Fault};

use server::World;

/// What the payer does on the bank's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Authenticates.
    Completed,
    /// Fails to, or gives up.
    Failed,
}

/// A running server, with its own books. It ends when this is dropped.
#[derive(Debug)]
pub struct Standin {
    base_url: String,
    world: Arc<World>,
    task: tokio::task::JoinHandle<()>,
}

impl Standin {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn start() -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let world = Arc::new(World::new(base_url.clone()));
        let task = tokio::spawn(server::serve(listener, world.clone()));
        Ok(Self {
            base_url,
            world,
            task,
        })
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Its faults.
    pub fn faults(&self) -> Faults<'_> {
        Faults(&self.world)
    }

    /// Its books.
    pub fn ledger(&self) -> Ledger<'_> {
        Ledger(&self.world)
    }

    /// Posts events to `url`, signed with `secret`, from now on.
    pub fn add_webhook(&self, url: impl Into<String>, secret: impl Into<String>) {
        self.world.add_webhook(WebhookEndpoint {
            url: url.into(),
            secret: secret.into(),
        });
    }

    /// Moves its clock forward: keys are forgotten after 24 hours.
    pub fn advance(&self, by: Duration) {
        self.world.advance(by);
    }

    /// Does what the payer would do for a payment that waits for it, as its page does.
    ///
    /// # Errors
    /// If that payment waits for nothing.
    pub fn authenticate(&self, payment: &str, outcome: Authentication) -> Result<(), NothingToDo> {
        let done = self.world.authenticate(payment, outcome).map(|_| ());
        server::post_events(&self.world);
        done
    }

    /// Pays pending refunds out, or lets them fail, by their card.
    pub fn settle_refunds(&self) {
        self.world.settle_refunds();
        server::post_events(&self.world);
    }

    /// Runs until the process ends.
    pub async fn wait(mut self) {
        // Nothing ends the task but this value's drop.
        let _ended = (&mut self.task).await;
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The payment waits for nothing that the payer could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingToDo;

/// A server's faults.
#[derive(Clone, Copy, Debug)]
pub struct Faults<'a>(&'a World);

impl Faults<'_> {
    /// The next request to `endpoint` goes so. Several are taken in their order.
    pub fn next(&self, endpoint: Endpoint, fault: Fault) {
        self.0.add_fault(endpoint, fault);
    }

    /// From now on no request goes wrong.
    pub fn none(&self) {
        self.0.forget_faults();
    }
}

/// A server's books, as a test may read them.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'a>(&'a World);

impl Ledger<'_> {
    /// Every charge that was ever approved, in order: of a payment that was paid twice there are two.
    pub fn charges(&self) -> Vec<ChargeLine> {
        self.0.charges()
    }

    /// How many payments were made, confirmed or not.
    pub fn payments(&self) -> usize {
        self.0.payments()
    }

    /// How many refunds were made.
    pub fn refunds(&self) -> usize {
        self.0.refunds()
    }
}
