//! The sandbox itself: what it is made from, and what a test can see of it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use http::HeaderMap;
use paymux_core::connector::{Connector, TimestampedHmac, Transport};
use paymux_core::{AccountRef, Bytes, Clock, ConnectorId, Runtime, Secret};

use crate::books::Ledger;
use crate::fault::{Down, Faults};
use crate::magic::Magic;
use crate::processor::{Processor, base32, mix};
use crate::shape::{Shape, WebhookShape};
use crate::transport::SandboxTransport;
use crate::view::LedgerView;
use crate::{connector, webhook};

/// A payment processor inside the process, with books of its own. Clones are the same processor.
///
/// ```
/// use paymux_sandbox::Sandbox;
///
/// let sandbox = Sandbox::seeded(7);
/// let connector = sandbox.connector("main");
/// assert_eq!(connector.account().to_string(), "sandbox/main");
/// assert!(sandbox.ledger().payments().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Sandbox {
    pub(crate) processor: Arc<Processor>,
    shape: Shape,
}

impl Sandbox {
    /// A processor whose identifiers follow from `seed`: the same seed and the same calls give the same books.
    pub fn seeded(seed: u64) -> Self {
        let processor = Processor {
            seed,
            connector: ConnectorId::from_static("sandbox"),
            clock: Runtime::tokio_without_spawn().clock().clone(),
            ledger: Arc::default(),
            shapes: Arc::default(),
            faults: Faults::default(),
        };
        Self {
            processor: Arc::new(processor),
            shape: Shape::default(),
        }
    }

    /// With another clock: key windows, expiry and settlement go by it. Without this, tokio's.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|processor| processor.clock = clock)
    }

    /// Under another connector's name than `sandbox`.
    #[must_use]
    pub fn named(self, connector: ConnectorId) -> Self {
        self.with(|processor| processor.connector = connector)
    }

    /// Keeps the books in a file, which outlives this process and which several processes may use at a time, even if
    /// one of them is killed. The file is made where there is none. Faults and shapes are each process's own.
    ///
    /// # Errors
    /// If the file can't be opened or isn't a ledger's.
    pub fn ledger_file(self, path: impl AsRef<Path>) -> io::Result<Self> {
        let ledger = Arc::new(Ledger::open(path.as_ref())?);
        Ok(self.with(|processor| processor.ledger = ledger))
    }

    /// The shape of accounts whose connectors are made after this.
    #[must_use]
    pub fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// The connector to an account, which the processor opens if it doesn't know it. Accounts share the books, the
    /// script of faults and nothing else.
    pub fn connector(&self, account: &str) -> Connector {
        let mut shapes = self
            .processor
            .shapes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shapes.insert(account.to_owned(), Arc::new(self.shape.clone()));
        drop(shapes);
        let account = AccountRef::new(self.processor.connector.clone(), account);
        connector::connect(self.processor.clone(), account, &self.shape)
    }

    /// The way to the processor, for suites that send by hand. It takes every account's requests.
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(SandboxTransport(self.processor.clone()))
    }

    /// The books as they stand.
    ///
    /// # Panics
    /// If the ledger's file can't be read or written.
    pub fn ledger(&self) -> LedgerView {
        self.change(|draft| draft.books.view())
    }

    /// The script of faults.
    pub fn faults(&self) -> &Faults {
        &self.processor.faults
    }

    /// Takes the processor down: no call leaves its caller until [`Sandbox::up`].
    pub fn down(&self) {
        self.processor.faults.set_down(Down::Yes);
    }

    /// Brings the processor up again.
    pub fn up(&self) {
        self.processor.faults.set_down(Down::No);
    }

    /// The secret that signs webhooks. It follows from the seed.
    pub fn webhook_secret(&self) -> Secret {
        let (one, two) = (
            mix(self.processor.seed, u64::MAX),
            mix(self.processor.seed, u64::MAX - 1),
        );
        Secret::new(format!("whsec_sandbox_{}{}", base32(one), base32(two)))
    }

    /// Takes the webhooks that wait, each as headers and body, signed now, in the order of their events; but where a
    /// token says so, twice or latest first.
    ///
    /// # Panics
    /// If the ledger's file can't be read or written.
    pub fn webhooks(&self) -> Vec<(HeaderMap, Bytes)> {
        let posts = self.change(|draft| {
            let mut waiting = draft.take_unposted();
            let mut by_payment: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            let magic = |payment: &str| draft.books.payment(payment).map(|payment| payment.magic());
            for (at, notice) in waiting.iter().enumerate() {
                if magic(&notice.payment) == Some(Magic::WebhookReordered) {
                    by_payment.entry(notice.payment.clone()).or_default().push(at);
                }
            }
            for places in by_payment.into_values() {
                for (early, late) in places.iter().zip(places.iter().rev()).take(places.len() / 2) {
                    waiting.swap(*early, *late);
                }
            }
            let mut posts = Vec::new();
            for notice in waiting {
                let object = match self.processor.shape(&notice.account).webhooks {
                    WebhookShape::Hints => None,
                    WebhookShape::Authoritative => Some(notice.object.clone()),
                };
                let body = Bytes::from(serde_json::to_vec(&notice.event(object)).unwrap_or_default());
                let twice = magic(&notice.payment) == Some(Magic::WebhookDuplicate);
                posts.extend(std::iter::repeat_n(body, if twice { 2 } else { 1 }));
            }
            posts
        });
        posts
            .into_iter()
            .map(|body| (self.signature(&body, &self.webhook_secret()), body))
            .collect()
    }

    /// The headers that a forger would send with `body`: signed in the right form with a wrong secret.
    pub fn forge(&self, body: impl Into<Bytes>) -> (HeaderMap, Bytes) {
        let body = body.into();
        (self.signature(&body, &Secret::from("whsec_forged")), body)
    }

    fn signature(&self, body: &[u8], secret: &Secret) -> HeaderMap {
        const SIGNATURE: TimestampedHmac = webhook::SIGNATURE;
        SIGNATURE.sign(body, secret, self.processor.clock.now())
    }

    fn with(mut self, set: impl FnOnce(&mut Processor)) -> Self {
        set(Arc::make_mut(&mut self.processor));
        self
    }

    /// Makes a change of a test's own.
    #[allow(clippy::panic, reason = "an inspector without its books has nothing to say")]
    pub(crate) fn change<R>(&self, make: impl FnOnce(&mut crate::books::Draft<'_>) -> R) -> R {
        match self.processor.change(make) {
            Ok(result) => result,
            Err(error) => panic!("the sandbox's ledger file failed: {error}"),
        }
    }
}
