//! What Stripe's objects say of a payment and of a refund.

use paymux_core::ThreeDs;
use paymux_core::connector::prelude::*;

use crate::config::Stripe;
use crate::error;
use crate::wire::{self, PaymentIntent, RefundStatus, Status};

/// What Stripe counts in a charge's `amount_refunded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// What was given back.
    Refunds,
    /// What a partial capture or a cancel released, too.
    RefundsAndReleases,
}

/// The first version of the API in which a release is no refund
/// (docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow).
const RELEASES_APART: &str = "2025-03-31";

impl Stripe {
    pub(super) fn counted(&self) -> Counted {
        // Versions begin with their day.
        match self.version.as_str() >= RELEASES_APART {
            true => Counted::Refunds,
            false => Counted::RefundsAndReleases,
        }
    }
}

impl PaymentIntent {
    /// The intent, if it is the one that was asked for.
    pub(super) fn named(self, handle: &Handle) -> Result<Self, CallError> {
        if self.id == handle.as_str() {
            Ok(self)
        } else {
            Err(CallError::unknown("another payment than was asked for"))
        }
    }

    pub(super) fn money(&self, units: i64) -> Result<Money, CallError> {
        wire::money(units, self.currency)
            .ok_or_else(|| CallError::unknown("an amount that Stripe doesn't write"))
    }

    pub(super) fn echo(&self, units: i64) -> Result<Echo, CallError> {
        let echo = Echo::none().amount(self.money(units)?);
        Ok(
            match self
                .metadata
                .as_ref()
                .and_then(|metadata| metadata.paymux.as_ref())
            {
                Some(reference) => echo.reference(reference),
                None => echo,
            },
        )
    }

    /// The echo of what we made ourselves, which always has our reference.
    pub(super) fn insisted_echo(&self, units: i64) -> Result<Echo, CallError> {
        match &self.metadata {
            Some(metadata) if metadata.paymux.is_some() => self.echo(units),
            Some(_) | None => Err(CallError::unknown("the answer lacks our reference")),
        }
    }

    /// What the status says (docs.stripe.com/payments/paymentintents/lifecycle).
    pub(super) fn report(&self) -> Result<AuthorizeReport, CallError> {
        let handle = || Handle::from(self.id.as_str());
        match self.status {
            Status::RequiresPaymentMethod => match &self.last_payment_error {
                Some(failed) => Ok(AuthorizeReport::Declined(error::decline(
                    failed,
                    self.latest_charge.as_ref(),
                ))),
                None => Ok(AuthorizeReport::Unexecuted(handle())),
            },
            Status::RequiresConfirmation => Ok(AuthorizeReport::Unexecuted(handle())),
            Status::RequiresAction => Ok(AuthorizeReport::ActionNeeded(
                handle(),
                self.action()?,
                self.echo(self.amount)?,
            )),
            Status::Processing => Ok(AuthorizeReport::Pending(handle(), self.echo(self.amount)?)),
            Status::RequiresCapture => self.held(),
            Status::Succeeded => Ok(AuthorizeReport::Settled(self.approval(self.amount)?)),
            Status::Canceled => Ok(AuthorizeReport::Voided(handle(), self.echo(self.amount)?)),
        }
    }

    /// What is held: all that was asked, unless Stripe says another amount while nothing is captured yet.
    pub(super) fn held(&self) -> Result<AuthorizeReport, CallError> {
        match (self.amount_capturable, self.amount_received.unwrap_or(0)) {
            (Some(held), 0) if held < self.amount => Ok(AuthorizeReport::PartiallyAuthorized(
                self.approval(held)?,
                self.money(held)?,
            )),
            (Some(held), 0) => Ok(AuthorizeReport::Authorized(self.approval(held)?)),
            (Some(_) | None, _) => Ok(AuthorizeReport::Authorized(self.approval(self.amount)?)),
        }
    }

    pub(super) fn approval(&self, units: i64) -> Result<Approval, CallError> {
        let approval = Approval::new(self.id.as_str(), self.echo(units)?);
        let charge = self.latest_charge.as_ref();
        let details = charge.and_then(|charge| charge.payment_method_details.as_ref());
        let Some(card) = details.and_then(|details| details.card.as_ref()) else {
            return Ok(approval);
        };
        let available =
            |feature: &Option<wire::Feature>| feature.as_ref().is_some_and(wire::Feature::is_available);
        let mut granted = Granted::nothing();
        if available(&card.multicapture) {
            granted = granted.multicapture();
        }
        if available(&card.incremental_authorization) {
            granted = granted.incremental();
        }
        if let Some(over) = card.overcapture.as_ref().filter(|over| over.is_available())
            && let Some(most) = over.maximum_amount_capturable
        {
            granted = granted.capturable_max(self.money(most)?.minor());
        }
        if let Some(seconds) = card.capture_before {
            granted = granted.capture_before(Timestamp::from_secs(seconds));
        }
        let mut approval = approval.granted(granted);
        if let Some(id) = &card.network_transaction_id {
            approval = approval.network_transaction_id(id);
        }
        if let Some(secure) = &card.three_d_secure {
            let mut result = ThreeDs::default();
            result.eci.clone_from(&secure.electronic_commerce_indicator);
            result.version.clone_from(&secure.version);
            result.ds_trans_id.clone_from(&secure.transaction_id);
            approval = approval.three_ds(result);
        }
        Ok(approval)
    }

    /// How it stands, with the totals that it tells. Where Stripe counts what a capture released as refunded, how much was
    /// given back is told only where all was captured.
    pub(super) fn standing(&self, counted: Counted) -> Result<Standing, CallError> {
        let mut standing = Standing::from(self.report()?);
        let captured = self.amount_received;
        match (self.status, self.amount_capturable) {
            (Status::RequiresCapture, Some(rest)) => {
                standing = standing.authorized(self.money(rest.saturating_add(captured.unwrap_or(0)))?);
            }
            (Status::RequiresCapture, None) | (Status::Succeeded, _) => {
                standing = standing.authorized(self.money(self.amount)?);
            }
            (
                Status::RequiresPaymentMethod
                | Status::RequiresConfirmation
                | Status::RequiresAction
                | Status::Processing
                | Status::Canceled,
                _,
            ) => {}
        }
        if let Some(captured) = captured {
            standing = standing.captured(self.money(captured)?);
        }
        if let Some(charge) = &self.latest_charge
            && let (Some(amount), Some(captured), Some(refunded)) =
                (charge.amount, charge.amount_captured, charge.amount_refunded)
            && (counted == Counted::Refunds || amount == captured)
        {
            standing = standing.refunded(self.money(refunded)?);
        }
        Ok(standing)
    }

    /// What the payer has to do (docs.stripe.com/api/payment_intents/object, `next_action`). Addresses and client
    /// secrets let whoever has them act for the payer, so none is kept. What isn't a page, a code or a voucher is for
    /// Stripe's own script, which does any action by the client secret.
    pub(super) fn action(&self) -> Result<Action, CallError> {
        let next = self
            .next_action
            .as_ref()
            .ok_or_else(|| CallError::unknown("an action without a next_action"))?;
        let detail = |name: &str| {
            let found = next.details.get(&next.kind)?.get(name)?.as_str()?;
            Some(Secret::from(found))
        };
        let shown = match next.kind.as_str() {
            "redirect_to_url" | "alipay_handle_redirect" => {
                detail("url").map(|url| (ActionKind::Redirect, "url", url))
            }
            "boleto_display_details" | "oxxo_display_details" | "konbini_display_details" => {
                detail("hosted_voucher_url").map(|url| (ActionKind::Voucher, "url", url))
            }
            "display_bank_transfer_instructions" => {
                detail("hosted_instructions_url").map(|url| (ActionKind::TransferInstructions, "url", url))
            }
            "verify_with_microdeposits" => {
                detail("hosted_verification_url").map(|url| (ActionKind::Redirect, "url", url))
            }
            "pix_display_qr_code"
            | "paynow_display_qr_code"
            | "promptpay_display_qr_code"
            | "wechat_pay_display_qr_code" => detail("data").map(|data| (ActionKind::Qr, "data", data)),
            "card_await_notification" => return Ok(Action::new(ActionKind::Wait)),
            _ => None,
        };
        match (shown, &self.client_secret) {
            (Some((kind, name, value)), _) => Ok(Action::new(kind).with_secret(name, value)),
            (None, Some(secret)) => {
                // A declined PaymentIntent takes another method from whoever has its client secret.
                let action = Action::new(ActionKind::ClientConfirm).open_after_decline();
                Ok(action.with_secret("client_secret", secret.clone()))
            }
            (None, None) => Err(CallError::unknown("an action without anything to act on")),
        }
    }
}

impl wire::Refund {
    pub(super) fn reference(&self) -> Option<&str> {
        self.metadata.as_ref()?.paymux.as_deref()
    }

    /// docs.stripe.com/api/refunds/object, `status`. A failure has no echo that core could compare with `asked`.
    pub(super) fn report(&self, asked: &str) -> Result<RefundReport, CallError> {
        let amount = wire::money(self.amount, self.currency)
            .ok_or_else(|| CallError::unknown("an amount that Stripe doesn't write"))?;
        let reference = self
            .reference()
            .ok_or_else(|| CallError::unknown("the answer lacks our reference"))?;
        let echo = Echo::none().amount(amount).reference(reference);
        let handle = Handle::from(self.id.as_str());
        Ok(match self.status {
            RefundStatus::Succeeded => RefundReport::Refunded(handle, echo),
            RefundStatus::Pending => RefundReport::Pending(handle, echo),
            // Stripe writes to the payer itself (docs.stripe.com/refunds#refund-requiring-action).
            RefundStatus::RequiresAction => {
                RefundReport::ActionNeeded(handle, Action::new(ActionKind::Wait), echo)
            }
            RefundStatus::Failed if reference != asked => {
                return Err(CallError::unknown("a failed refund with another reference"));
            }
            RefundStatus::Failed => {
                RefundReport::Failed(error::refund_failure(self.failure_reason.as_deref()))
            }
            RefundStatus::Canceled => RefundReport::Cancelled(handle, echo),
        })
    }
}
