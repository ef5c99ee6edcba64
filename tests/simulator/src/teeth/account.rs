//! Bugs of connectors: what they promise of their processor, how they read its webhooks, which of them is asked.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use paymux_core::connector::prelude::*;
use paymux_core::connector::{Connector, Transport};
use paymux_core::{Connectors, Endpoint, EndpointId, ProviderKind, Result, Tenant};

use super::Tooth;
use super::network::BadNetwork;
use crate::schedule::{Time, lock};
use crate::shape::{KeyShape, Shape};

/// An account as a bad connector describes and reads it.
pub(super) fn connect(
    tooth: Tooth,
    shape: &Shape,
    place: usize,
    transport: Arc<dyn Transport>,
    time: &Time,
) -> Connector {
    let mut told = shape.clone();
    match tooth {
        Tooth::KeyWindowIgnored => {
            if let Some(key) = &mut told.key {
                key.window_ms *= 10;
            }
        }
        Tooth::KeysPresumed => {
            told.key.get_or_insert(KeyShape {
                window_ms: 24 * 3_600_000,
                replays_errors: false,
            });
        }
        Tooth::NotFoundAtOnce => told.quiet_ms = Some(0),
        _ => {}
    }
    let network = BadNetwork {
        tooth,
        inner: transport,
        time: time.clone(),
        sent: AtomicU64::new(0),
    };
    told.connect_reading(place, Arc::new(network), |api| {
        Arc::new(BadWebhooks { tooth, api })
    })
}

#[derive(Debug)]
struct BadWebhooks {
    tooth: Tooth,
    api: Arc<dyn WebhookOps>,
}

#[async_trait]
impl WebhookOps for BadWebhooks {
    fn identify(&self, inbound: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        self.api.identify(inbound)
    }

    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        match self.tooth {
            Tooth::SignatureIgnored => Ok(Verified::vouched(inbound)),
            _ => self.api.verify(inbound, secrets, now).await,
        }
    }

    fn decode(&self, inbound: &Verified) -> Result<Vec<Notice>, Malformed> {
        let notices = self.api.decode(inbound)?;
        let believed = |notice: Notice| match (notice.kind(), notice.authority()) {
            (ProviderKind::Payment, Authority::Hint) => {
                let approval = Approval::new(notice.about().clone(), Echo::none());
                let taken = Standing::from(AuthorizeReport::Captured(approval));
                notice.authoritative(Authority::Payment(Box::new(taken)))
            }
            (_, _) => notice,
        };
        Ok(match self.tooth {
            Tooth::HintBelieved => notices.into_iter().map(believed).collect(),
            _ => notices,
        })
    }

    fn reply(&self) -> http::Response<Bytes> {
        self.api.reply()
    }
}

/// Keeps the first connector that a tenant has used.
#[derive(Debug)]
pub(super) struct BadConnectors<C> {
    inner: C,
    first: Mutex<BTreeMap<Tenant, Arc<Connector>>>,
}

impl<C> BadConnectors<C> {
    pub(super) fn new(inner: C) -> Self {
        Self {
            inner,
            first: Mutex::default(),
        }
    }
}

#[async_trait]
impl<C: Connectors> Connectors for BadConnectors<C> {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        let Some(found) = self.inner.get(tenant, account).await? else {
            return Ok(None);
        };
        let mut first = lock(&self.first);
        Ok(Some(first.entry(tenant.clone()).or_insert(found).clone()))
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        self.inner.accounts(tenant).await
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        self.inner.endpoint(endpoint).await
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        self.inner.owner(account).await
    }
}
