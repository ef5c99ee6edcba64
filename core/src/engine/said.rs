//! What an authoritative notice says, as its row keeps it: the processor may have nothing that could be read again.
//! What the payer needs in secret isn't in it.

use serde::{Deserialize, Serialize};

use crate::action::{Action, KeptAction};
use crate::connector::{Approval, Authority, AuthorizeReport, Echo, Handle, RefundReport, Standing};
use crate::decline::Decline;
use crate::intent::{Granted, ThreeDs};
use crate::money::Money;

/// What a notice says, but for a hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Payment(Box<SaidOfPayment>),
    Refund(SaidOfRefund),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SaidOfPayment {
    report: SaidReport,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorized: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captured: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returned: Option<Money>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SaidReport {
    Authorized(SaidApproval),
    PartiallyAuthorized(SaidApproval, Money),
    Captured(SaidApproval),
    Settled(SaidApproval),
    Verified(SaidApproval),
    ActionNeeded(Handle, KeptAction),
    Pending(Handle),
    Declined(Decline),
    Voided(Handle),
    Unexecuted(Handle),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SaidApproval {
    handle: Handle,
    granted: Granted,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network_transaction_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    three_ds: Option<ThreeDs>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SaidOfRefund {
    Refunded(Handle),
    Pending(Handle),
    ActionNeeded(Handle, KeptAction),
    Failed(Decline),
    Cancelled(Handle),
}

impl Said {
    pub(crate) fn of(authority: &Authority) -> Option<Self> {
        match authority {
            Authority::Hint => None,
            Authority::Payment(standing) => Some(Self::Payment(Box::new(standing.as_ref().into()))),
            Authority::Refund(report) => Some(Self::Refund(report.as_ref().into())),
        }
    }

    /// With what it repeats.
    pub(crate) fn authority(self, repeats: Option<Repeats>) -> Authority {
        let echo = repeats.map_or_else(Echo::none, Repeats::echo);
        match self {
            Self::Payment(said) => {
                let mut standing = Standing::from(*said);
                if let Some(known) = standing.report.echo_mut() {
                    *known = echo;
                }
                Authority::Payment(Box::new(standing))
            }
            Self::Refund(said) => {
                let mut report = RefundReport::from(said);
                if let Some(known) = report.echo_mut() {
                    *known = echo;
                }
                Authority::Refund(Box::new(report))
            }
        }
    }
}

/// What a notice repeats of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeats {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<Money>,
    /// Empty where it can't be a reference of ours: then it could be anything, and isn't kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl Repeats {
    pub(crate) fn of(authority: &Authority) -> Option<Self> {
        let echo = match authority {
            Authority::Hint => None,
            Authority::Payment(standing) => standing.report.repeats(),
            Authority::Refund(report) => report.echo(),
        };
        let ours = |word: &String| match crate::id::decode(word) {
            Some(_) => word.clone(),
            None => String::new(),
        };
        echo.filter(|echo| **echo != Echo::none()).map(|echo| Self {
            amount: echo.amount,
            reference: echo.reference.as_ref().map(ours),
        })
    }

    fn echo(self) -> Echo {
        Echo {
            amount: self.amount,
            reference: self.reference,
        }
    }
}

impl From<&Standing> for SaidOfPayment {
    fn from(standing: &Standing) -> Self {
        let Standing {
            report,
            authorized,
            captured,
            failed,
            refunded,
            returned,
        } = standing;
        Self {
            report: report.into(),
            authorized: *authorized,
            captured: *captured,
            failed: *failed,
            refunded: *refunded,
            returned: *returned,
        }
    }
}

impl From<SaidOfPayment> for Standing {
    fn from(said: SaidOfPayment) -> Self {
        Self {
            report: said.report.into(),
            authorized: said.authorized,
            captured: said.captured,
            failed: said.failed,
            refunded: said.refunded,
            returned: said.returned,
        }
    }
}

impl From<&AuthorizeReport> for SaidReport {
    fn from(report: &AuthorizeReport) -> Self {
        match report {
            AuthorizeReport::Authorized(approval) => Self::Authorized(approval.into()),
            AuthorizeReport::PartiallyAuthorized(approval, part) => {
                Self::PartiallyAuthorized(approval.into(), *part)
            }
            AuthorizeReport::Captured(approval) => Self::Captured(approval.into()),
            AuthorizeReport::Settled(approval) => Self::Settled(approval.into()),
            AuthorizeReport::Verified(approval) => Self::Verified(approval.into()),
            AuthorizeReport::ActionNeeded(handle, action, _) => {
                Self::ActionNeeded(handle.clone(), action.kept.clone())
            }
            AuthorizeReport::Pending(handle, _) => Self::Pending(handle.clone()),
            AuthorizeReport::Declined(decline) => Self::Declined(decline.clone()),
            AuthorizeReport::Voided(handle, _) => Self::Voided(handle.clone()),
            AuthorizeReport::Unexecuted(handle) => Self::Unexecuted(handle.clone()),
        }
    }
}

impl From<SaidReport> for AuthorizeReport {
    fn from(said: SaidReport) -> Self {
        match said {
            SaidReport::Authorized(approval) => Self::Authorized(approval.into()),
            SaidReport::PartiallyAuthorized(approval, part) => {
                Self::PartiallyAuthorized(approval.into(), part)
            }
            SaidReport::Captured(approval) => Self::Captured(approval.into()),
            SaidReport::Settled(approval) => Self::Settled(approval.into()),
            SaidReport::Verified(approval) => Self::Verified(approval.into()),
            SaidReport::ActionNeeded(handle, kept) => Self::ActionNeeded(handle, known(kept), Echo::none()),
            SaidReport::Pending(handle) => Self::Pending(handle, Echo::none()),
            SaidReport::Declined(decline) => Self::Declined(decline),
            SaidReport::Voided(handle) => Self::Voided(handle, Echo::none()),
            SaidReport::Unexecuted(handle) => Self::Unexecuted(handle),
        }
    }
}

impl From<&Approval> for SaidApproval {
    fn from(approval: &Approval) -> Self {
        Self {
            handle: approval.handle.clone(),
            granted: approval.granted,
            network_transaction_id: approval.network_transaction_id.clone(),
            three_ds: approval.three_ds.clone(),
        }
    }
}

impl From<SaidApproval> for Approval {
    fn from(said: SaidApproval) -> Self {
        Self {
            handle: said.handle,
            echo: Echo::none(),
            granted: said.granted,
            network_transaction_id: said.network_transaction_id,
            three_ds: said.three_ds,
        }
    }
}

impl From<&RefundReport> for SaidOfRefund {
    fn from(report: &RefundReport) -> Self {
        match report {
            RefundReport::Refunded(handle, _) => Self::Refunded(handle.clone()),
            RefundReport::Pending(handle, _) => Self::Pending(handle.clone()),
            RefundReport::ActionNeeded(handle, action, _) => {
                Self::ActionNeeded(handle.clone(), action.kept.clone())
            }
            RefundReport::Failed(decline) => Self::Failed(decline.clone()),
            RefundReport::Cancelled(handle, _) => Self::Cancelled(handle.clone()),
        }
    }
}

impl From<SaidOfRefund> for RefundReport {
    fn from(said: SaidOfRefund) -> Self {
        match said {
            SaidOfRefund::Refunded(handle) => Self::Refunded(handle, Echo::none()),
            SaidOfRefund::Pending(handle) => Self::Pending(handle, Echo::none()),
            SaidOfRefund::ActionNeeded(handle, kept) => Self::ActionNeeded(handle, known(kept), Echo::none()),
            SaidOfRefund::Failed(decline) => Self::Failed(decline),
            SaidOfRefund::Cancelled(handle) => Self::Cancelled(handle, Echo::none()),
        }
    }
}

fn known(kept: KeptAction) -> Action {
    Action {
        kept,
        secrets: Vec::new(),
    }
}
