//! What the processor posts: whose it is, whether it is genuine, and what it says.

use std::time::Duration;

use async_trait::async_trait;
use paymux_core::connector::{
    Authority, BadSignature, Inbound, Malformed, Notice, TimestampedHmac, Verified, WebhookOps,
};
use paymux_core::{AccountRef, Bytes, Secret, Timestamp};

use crate::map::{self, Api};
use crate::wire::{About, Event, from_json};

/// How webhooks are signed.
pub(crate) const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "sandbox-signature",
    tolerance: Duration::from_secs(300),
};

#[async_trait]
impl WebhookOps for Api {
    fn identify(&self, inbound: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        let event: Event = inbound.json()?;
        Ok(vec![AccountRef::new(
            self.account.connector().clone(),
            event.account,
        )])
    }

    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        SIGNATURE.verify(inbound, secrets, now)
    }

    fn decode(&self, inbound: &Verified) -> Result<Vec<Notice>, Malformed> {
        let event: Event = inbound.json()?;
        let account = AccountRef::new(self.account.connector().clone(), event.account);
        let mut notice = Notice::hint(event.event, event.id.into())
            .act(event.kind)
            .account(account);
        if let Some(reference) = event.reference {
            notice = notice.reference(reference);
        }
        if event.about == About::Refund {
            notice = notice.about_refund();
        }
        let Some(object) = event.object else {
            return Ok(vec![notice]);
        };
        let authority = match event.about {
            About::Payment => {
                let payment = from_json(&object).map_err(|_| Malformed)?;
                Authority::Payment(Box::new(map::standing(payment).map_err(|_| Malformed)?))
            }
            About::Refund => {
                let refund = from_json(&object).map_err(|_| Malformed)?;
                Authority::Refund(Box::new(map::refund(refund).map_err(|_| Malformed)?))
            }
        };
        Ok(vec![notice.authoritative(authority)])
    }

    fn reply(&self) -> http::Response<Bytes> {
        http::Response::new(Bytes::new())
    }
}
