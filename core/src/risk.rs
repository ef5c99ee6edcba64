//! The risk port: the host's own check before and after an authorization.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::intent::PaymentIntent;
use crate::method::PaymentMethod;
use crate::tenant::Tenant;

/// The host's check of a payment. paymux has no opinion on risk; it asks at the two points where an answer counts.
#[async_trait]
pub trait RiskCheck: fmt::Debug + Send + Sync + 'static {
    /// At which points it wants to be asked. Asking after authorization makes every payment authorize first and
    /// capture in a call of its own.
    fn stages(&self) -> RiskStages;

    /// Before anything is sent; of a scheduled payment, when its day has come.
    ///
    /// # Errors
    /// An error is the verb's error: nothing is written. A scheduled payment waits, and the check is asked again later.
    async fn before(
        &self,
        tenant: &Tenant,
        payment: &PaymentIntent,
        method: &PaymentMethod,
    ) -> Result<RiskVerdict>;

    /// After an authorization, before its capture. Refusing voids it; holding, and an error, leave it authorized.
    ///
    /// # Errors
    /// An error leaves the payment authorized, and the check is asked again later.
    async fn after(&self, tenant: &Tenant, payment: &PaymentIntent) -> Result<RiskVerdict>;
}

/// When a [`RiskCheck`] wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskStages {
    /// Before anything is sent.
    Before,
    /// Before anything is sent, and after the authorization.
    BeforeAndAfter,
}

/// What a [`RiskCheck`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RiskVerdict {
    /// Go on.
    Allow,
    /// No.
    Refuse,
    /// A person has to look.
    Hold,
}
