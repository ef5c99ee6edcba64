//! Whose a webhook is, whether it is genuine, what it says (docs.stripe.com/webhooks).

use paymux_core::connector::prelude::*;
use serde::Deserialize;

use crate::config::{CONNECTOR, Stripe};
use crate::wire::{Event, EventObject};

/// docs.stripe.com/webhooks#verify-manually; five minutes is what Stripe's own libraries allow.
const SIGNATURE: TimestampedHmac = TimestampedHmac {
    header: "stripe-signature",
    tolerance: Duration::from_secs(300),
};

/// Of an event, the connected account that it is about (docs.stripe.com/connect/webhooks).
#[derive(Deserialize)]
struct Owner {
    account: Option<String>,
}

#[async_trait]
impl WebhookOps for Stripe {
    /// An event of a connected account names it: ours if it is the one configured, else the account whose name is
    /// that identifier. One that names none is the key's own account's.
    fn identify(&self, inbound: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        let Owner { account } = inbound.json()?;
        Ok(match (account, &self.connected) {
            (None, None) => vec![self.account.clone()],
            (None, Some(_)) => vec![],
            (Some(named), Some(connected)) if named == *connected => vec![self.account.clone()],
            (Some(named), _) => vec![AccountRef::new(CONNECTOR, named)],
        })
    }

    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        SIGNATURE.verify(inbound, secrets, now)
    }

    /// Hints alone: Stripe delivers events late and out of order (docs.stripe.com/webhooks#event-ordering), and each of
    /// them has an object that can be read.
    fn decode(&self, inbound: &Verified) -> Result<Vec<Notice>, Malformed> {
        let Event { id, kind, data } = inbound.json()?;
        let object = data.object;
        let Some((about, refers)) = subject(&kind, &object) else {
            return Ok(vec![]);
        };
        let mut notice = Notice::hint(id, Handle::from(about)).act(kind);
        if refers == Subject::Refund {
            notice = notice.about_refund();
        }
        if let Some(reference) = object.metadata.and_then(|metadata| metadata.paymux) {
            notice = notice.reference(reference);
        }
        Ok(vec![notice])
    }

    fn reply(&self) -> http::Response<Bytes> {
        http::Response::new(Bytes::new())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Payment,
    Refund,
}

/// What an event is about, where it is about a payment or a refund at all. `charge.refund.updated` has a refund in
/// it, the other events of charges a charge, those of disputes a dispute; both name the payment.
fn subject(kind: &str, object: &EventObject) -> Option<(String, Subject)> {
    match (kind, object.object.as_deref()) {
        (_, Some("payment_intent")) => object.id.clone().map(|id| (id, Subject::Payment)),
        (_, Some("refund")) => object.id.clone().map(|id| (id, Subject::Refund)),
        (_, Some("charge" | "dispute")) if kind.starts_with("charge.") => {
            Some((payment_intent(object)?, Subject::Payment))
        }
        (_, Some(_) | None) => None,
    }
}

/// The payment's identifier, expanded or not.
fn payment_intent(object: &EventObject) -> Option<String> {
    let named = object.payment_intent.as_ref()?;
    let id = named.as_str().or_else(|| named.get("id")?.as_str())?;
    Some(id.to_owned())
}
