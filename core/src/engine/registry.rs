//! Where the engine finds accounts: a port, and a fixed map for hosts that know theirs when they start.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::connector::Connector;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::id::{AccountRef, EndpointId};
use crate::secret::Secret;
use crate::tenant::{Mode, Tenant};

/// Gives the accounts of each tenant. A platform with thousands of merchants implements it over its own vault.
#[async_trait]
pub trait Connectors: fmt::Debug + Send + Sync + 'static {
    /// The account, if this tenant may use it.
    ///
    /// # Errors
    /// The source can't answer. An account that is gone is `None`, not an error: its work waits and is shown.
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>>;

    /// The accounts that this tenant may pay through, in the order of preference. Those that are of the other mode
    /// ([`Connector::mode`]) are passed over; where no other is left, the payment is refused and nothing is written.
    ///
    /// # Errors
    /// The source can't answer.
    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>>;

    /// Which connector an inbound endpoint is for, and its live secrets.
    ///
    /// # Errors
    /// The source can't answer.
    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>>;

    /// Whose an account is, where it is one tenant's alone.
    ///
    /// # Errors
    /// The source can't answer.
    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>>;
}

#[async_trait]
impl<C: Connectors + ?Sized> Connectors for Arc<C> {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        (**self).get(tenant, account).await
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        (**self).accounts(tenant).await
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        (**self).endpoint(endpoint).await
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        (**self).owner(account).await
    }
}

/// An inbound endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The connector that reads what is posted to it.
    pub connector: Arc<Connector>,
    /// Its live secrets: more than one while they are rotated. An empty one is passed over: anybody could sign with it.
    pub secrets: Vec<Secret>,
}

/// A host's accounts, each for tenants of its own mode alone: no test payment moves real money, whatever the host's
/// source gives.
#[derive(Debug)]
pub(super) struct ByMode(pub(super) Arc<dyn Connectors>);

#[async_trait]
impl Connectors for ByMode {
    /// What another mode's tenant made there, before the account said its mode, waits and is shown as without account.
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        let found = self.0.get(tenant, account).await?;
        Ok(found.filter(|connector| serves(connector, tenant.mode())))
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        let all = self.0.accounts(tenant).await?;
        let (ours, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|connector| serves(connector, tenant.mode()));
        match others.first() {
            Some(other) if ours.is_empty() => Err(other_mode(other, tenant.mode())),
            Some(_) | None => Ok(ours),
        }
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        match self.0.endpoint(endpoint).await? {
            Some(found) if !serves(&found.connector, endpoint.mode()) => {
                Err(other_mode(&found.connector, endpoint.mode()))
            }
            found => Ok(found),
        }
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        self.0.owner(account).await
    }
}

fn serves(connector: &Connector, mode: Mode) -> bool {
    connector.mode().is_none_or(|own| own == mode)
}

fn other_mode(connector: &Connector, mode: Mode) -> Error {
    let account = connector.account();
    let fault = Fault::new(
        "account",
        format!("{account} isn't of {mode} mode"),
        format!("register an account with the processor's key for {mode} mode"),
    );
    Error::new(ErrorKind::Connectors, "the account is of the other mode").with_faults(vec![fault])
}

/// A fixed map of accounts, shared by all tenants or kept for one.
#[derive(Clone, Debug, Default)]
pub struct ConnectorMap {
    shared: Vec<Arc<Connector>>,
    own: BTreeMap<Tenant, Vec<Arc<Connector>>>,
    endpoints: BTreeMap<EndpointId, (AccountRef, Vec<Secret>)>,
}

impl ConnectorMap {
    /// Accounts that every tenant may pay through, in the order of preference.
    ///
    /// # Errors
    /// [`ErrorKind::Connectors`] if two are the same account, or there is none.
    pub fn shared(all: impl IntoIterator<Item = Connector>) -> Result<Self> {
        let mut map = Self::default();
        for connector in all {
            map.vacant(connector.account())?;
            map.shared.push(Arc::new(connector));
        }
        if map.shared.is_empty() {
            return Err(Error::new(ErrorKind::Connectors, "register at least one account"));
        }
        Ok(map)
    }

    /// No shared accounts: add each tenant's with [`ConnectorMap::only_for`].
    pub fn private() -> Self {
        Self::default()
    }

    /// An account that only this tenant may pay through. It comes before the shared ones.
    ///
    /// # Errors
    /// [`ErrorKind::Connectors`] if the account is registered already, or is of the other mode than the tenant.
    pub fn only_for(mut self, tenant: Tenant, connector: Connector) -> Result<Self> {
        self.vacant(connector.account())?;
        if !serves(&connector, tenant.mode()) {
            return Err(other_mode(&connector, tenant.mode()));
        }
        self.own.entry(tenant).or_default().push(Arc::new(connector));
        Ok(self)
    }

    /// An inbound endpoint for an account that is registered, with its live secrets.
    ///
    /// # Errors
    /// [`ErrorKind::Connectors`] if the account isn't registered, or is of the other mode than the endpoint, or a secret
    /// is empty: anybody could sign with it.
    pub fn endpoint(
        mut self,
        id: EndpointId,
        account: AccountRef,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Self> {
        let Some((_, connector)) = self.find(&account) else {
            let fault = Fault::new(
                "account",
                format!("{account} isn't registered"),
                "register its connector first",
            );
            return Err(Error::new(ErrorKind::Connectors, "unknown account").with_faults(vec![fault]));
        };
        if !serves(connector, id.mode()) {
            return Err(other_mode(connector, id.mode()));
        }
        let secrets: Vec<Secret> = secrets.into_iter().collect();
        if secrets.iter().any(Secret::is_blank) {
            let fault = Fault::new(
                "secrets",
                format!("a secret of {id} is empty, so that anybody could sign"),
                "give the signing secret that the processor shows for this endpoint",
            );
            return Err(
                Error::new(ErrorKind::Connectors, "an endpoint's secret is empty").with_faults(vec![fault])
            );
        }
        self.endpoints.insert(id, (account, secrets));
        Ok(self)
    }

    fn all(&self) -> impl Iterator<Item = (Option<&Tenant>, &Arc<Connector>)> {
        let own = self
            .own
            .iter()
            .flat_map(|(tenant, all)| all.iter().map(move |connector| (Some(tenant), connector)));
        own.chain(self.shared.iter().map(|connector| (None, connector)))
    }

    fn find(&self, account: &AccountRef) -> Option<(Option<&Tenant>, &Arc<Connector>)> {
        self.all().find(|(_, connector)| connector.account() == account)
    }

    fn vacant(&self, account: &AccountRef) -> Result<()> {
        match self.find(account) {
            None => Ok(()),
            Some(_) => {
                let remedy = "give each account of a processor a name of its own";
                let fault = Fault::new("account", format!("{account} is registered twice"), remedy);
                Err(
                    Error::new(ErrorKind::Connectors, "an account is registered twice")
                        .with_faults(vec![fault]),
                )
            }
        }
    }
}

#[async_trait]
impl Connectors for ConnectorMap {
    async fn get(&self, tenant: &Tenant, account: &AccountRef) -> Result<Option<Arc<Connector>>> {
        let found = self
            .find(account)
            .filter(|(owner, _)| owner.is_none_or(|owner| owner == tenant));
        Ok(found.map(|(_, connector)| connector.clone()))
    }

    async fn accounts(&self, tenant: &Tenant) -> Result<Vec<Arc<Connector>>> {
        let own = self.own.get(tenant).into_iter().flatten();
        Ok(own.chain(&self.shared).cloned().collect())
    }

    async fn endpoint(&self, endpoint: &EndpointId) -> Result<Option<Endpoint>> {
        let Some((account, secrets)) = self.endpoints.get(endpoint) else {
            return Ok(None);
        };
        Ok(self.find(account).map(|(_, connector)| Endpoint {
            connector: connector.clone(),
            secrets: secrets.clone(),
        }))
    }

    async fn owner(&self, account: &AccountRef) -> Result<Option<Tenant>> {
        Ok(self.find(account).and_then(|(owner, _)| owner.cloned()))
    }
}
