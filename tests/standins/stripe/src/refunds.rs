//! Refunds (docs.stripe.com/refunds).

use serde_json::json;

use crate::book::{Book, Refund, RefundStatus, Status};
use crate::events::Subject;
use crate::intents::Call;
use crate::methods::Refunds;
use crate::render::{Answer, invalid, missing, refund};

const CREATE: &[&str] = &[
    "amount",
    "charge",
    "expand[",
    "metadata[",
    "payment_intent",
    "reason",
];
const LIST: &[&str] = &["charge", "expand[", "limit", "payment_intent", "starting_after"];

impl Book {
    pub(crate) fn refund(&mut self, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(CREATE)?;
        let asked = call.amount("amount")?;
        let reason = call.form.get("reason");
        if reason
            .is_some_and(|reason| !["duplicate", "fraudulent", "requested_by_customer"].contains(&reason))
        {
            return Err(invalid(None, "Invalid reason.").with("param", "reason".into()));
        }
        let Some(id) = call.form.get("payment_intent") else {
            return Err(invalid(
                Some("parameter_missing"),
                "One of the following params should be provided for this request: payment_intent or charge.",
            ));
        };
        let intent = self.own(id, call.account)?;
        let (account, currency, card) = (intent.account.clone(), intent.currency.clone(), intent.card);
        let captured = intent.status == Status::Succeeded || intent.received > 0;
        let charge = intent
            .latest_charge
            .as_deref()
            .and_then(|charge| self.charges.get(charge));
        let Some(charge) = charge.filter(|_| captured).cloned() else {
            let message = "This PaymentIntent does not have a successful charge to refund.";
            return Err(invalid(None, message).begun());
        };
        let rest = charge.captured - charge.refunded;
        let amount = asked.unwrap_or(rest);
        if rest == 0 {
            let message = format!("Charge {} has already been refunded.", charge.id);
            return Err(invalid(Some("charge_already_refunded"), &message).begun());
        }
        if amount > rest {
            let message = "Refund amount is greater than unrefunded amount on charge.";
            return Err(invalid(None, message).with("param", "amount".into()).begun());
        }
        let made = Refund {
            id: self.id("re"),
            account,
            intent: id.to_owned(),
            charge: charge.id.clone(),
            amount,
            currency,
            created: call.now,
            metadata: call.form.metadata().collect(),
            reason: reason.map(str::to_owned),
            status: match card.map(|card| card.refunds) {
                Some(Refunds::Later) => RefundStatus::Pending,
                Some(Refunds::AtOnce | Refunds::FailLater) | None => RefundStatus::Succeeded,
            },
            failure_reason: None,
        };
        let body = refund(&made);
        let made_id = made.id.clone();
        if let Some(charge) = self.charges.get_mut(&made.charge) {
            charge.refunded += amount;
        }
        self.refunds.insert(made_id.clone(), made);
        self.happened(&made_id, "refund.created", Subject::Refund);
        self.happened(id, "charge.refunded", Subject::Charge);
        Ok(Answer::ok(body))
    }

    pub(crate) fn retrieve_refund(&self, id: &str, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(&["expand["])?;
        let found = self
            .refunds
            .get(id)
            .filter(|refund| refund.account == *call.account);
        let found = found.ok_or_else(|| missing("refund", id))?;
        Ok(Answer::ok(refund(found)))
    }

    /// Newest first, a page at a time (docs.stripe.com/api/pagination).
    pub(crate) fn list_refunds(&self, call: &Call<'_>) -> Result<Answer, Answer> {
        call.allow(LIST)?;
        let limit = match call.form.get("limit").map(str::parse::<usize>) {
            None => 10,
            Some(Ok(limit)) if (1..=100).contains(&limit) => limit,
            Some(Ok(_) | Err(_)) => return Err(invalid(None, "Invalid limit.").with("param", "limit".into())),
        };
        if let Some(id) = call.form.get("payment_intent") {
            self.own(id, call.account)?;
        }
        let after = call.form.get("starting_after");
        let matching = self.refunds.values().rev().filter(|refund| {
            refund.account == *call.account
                && call
                    .form
                    .get("payment_intent")
                    .is_none_or(|id| refund.intent == id)
                && call.form.get("charge").is_none_or(|id| refund.charge == id)
                && after.is_none_or(|id| refund.id.as_str() < id)
        });
        let mut data: Vec<_> = matching.take(limit + 1).map(refund).collect();
        let has_more = data.len() > limit;
        data.truncate(limit);
        Ok(Answer::ok(
            json!({ "object": "list", "url": "/v1/refunds", "has_more": has_more, "data": data }),
        ))
    }

    /// What the bank says of refunds, later: by the card that paid.
    pub(crate) fn settle_refunds(&mut self) {
        let mut news = Vec::new();
        for refund in self.refunds.values_mut() {
            let card = self.intents.get(&refund.intent).and_then(|intent| intent.card);
            let settled = match (refund.status, card.map(|card| card.refunds)) {
                (RefundStatus::Pending, _) => RefundStatus::Succeeded,
                (RefundStatus::Succeeded, Some(Refunds::FailLater)) => RefundStatus::Failed,
                (RefundStatus::Succeeded | RefundStatus::Failed, _) => continue,
            };
            refund.status = settled;
            if settled == RefundStatus::Failed {
                refund.failure_reason = Some("expired_or_canceled_card");
                if let Some(charge) = self.charges.get_mut(&refund.charge) {
                    charge.refunded -= refund.amount;
                }
            }
            let event = if settled == RefundStatus::Failed {
                "refund.failed"
            } else {
                "refund.updated"
            };
            news.push((refund.id.clone(), event));
        }
        for (id, event) in news {
            self.happened(&id, event, Subject::Refund);
        }
    }
}
