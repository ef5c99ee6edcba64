//! What happens at the processor without its caller: what payers, banks and merchants in its dashboard do.

use paymux_core::Money;
use paymux_core::connector::Ability;

use crate::books::Draft;
use crate::config::Sandbox;
use crate::ledger::{CaptureEntry, CaptureState, Payment, PaymentState, RefundState, StepKind};
use crate::processor::{Processor, Refusal, Verdict};

/// The act doesn't fit how things stand at the processor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{handle}` doesn't allow that: {why}")]
pub struct ActError {
    handle: String,
    why: &'static str,
}

impl Sandbox {
    /// Settles what is open: a payment that a bank works on is approved and what it takes settled, captured money arrives, a pending
    /// refund is given back. `handle` is a payment's or a refund's.
    ///
    /// # Errors
    /// If nothing is open.
    pub fn settle(&self, handle: &str) -> Result<(), ActError> {
        self.act(handle, |processor, draft| {
            if let Some(refund) = draft.books.refund(handle).cloned() {
                return match refund.state {
                    RefundState::Pending => processor.turn_refund(draft, &refund, RefundState::Succeeded),
                    RefundState::Succeeded | RefundState::Failed => Err(Refusal(409, "it has ended")),
                };
            }
            let mut payment = known(draft, handle)?;
            let worked_on = payment.state == PaymentState::Processing;
            if worked_on {
                processor.approve(draft, &mut payment)?;
            }
            let open = |capture: &CaptureEntry| {
                matches!(capture.state, CaptureState::Pending | CaptureState::Captured)
            };
            match (payment.captures.iter().any(open), worked_on) {
                (true, _) => processor.settle_captures(draft, payment, None),
                (false, true) => {
                    processor.put(draft, &payment, &format!("payment.{}", payment.state.as_str()));
                    Ok(())
                }
                (false, false) => Err(Refusal(409, "nothing of it waits to settle")),
            }
        })
    }

    /// Lets the bank decline what it was working on: a payment, or a pending refund.
    ///
    /// # Errors
    /// If no bank is working on it.
    pub fn decline(&self, handle: &str) -> Result<(), ActError> {
        self.act(handle, |processor, draft| {
            if let Some(refund) = draft.books.refund(handle).cloned() {
                return match refund.state {
                    RefundState::Pending => processor.turn_refund(draft, &refund, RefundState::Failed),
                    RefundState::Succeeded | RefundState::Failed => Err(Refusal(409, "it has ended")),
                };
            }
            let mut payment = known(draft, handle)?;
            if payment.state != PaymentState::Processing {
                return Err(Refusal(409, "no bank is working on it"));
            }
            processor.decline(draft, &mut payment, "bank_refused");
            Ok(())
        })
    }

    /// Fails a capture that was accepted or taken, at once or days later. `handle` is the capture's, or the payment's:
    /// then its latest one fails. What it took is held again while the authorization lives; a payment that was
    /// captured with its authorization is declined as a whole.
    ///
    /// # Errors
    /// If there is no capture that isn't settled.
    pub fn fail_capture(&self, handle: &str) -> Result<(), ActError> {
        self.act(handle, |processor, draft| {
            let payment = match draft.books.payment(handle) {
                Some(payment) => payment,
                None => draft
                    .books
                    .payment_with_capture(handle)
                    .ok_or(Refusal(404, "it isn't in the books"))?,
            };
            let meant = |capture: &&CaptureEntry| {
                let open = matches!(capture.state, CaptureState::Pending | CaptureState::Captured);
                open && (handle == payment.handle || handle == capture.handle)
            };
            let capture = payment
                .captures
                .iter()
                .rfind(meant)
                .ok_or(Refusal(409, "it has no open capture"))?;
            let (payment, capture) = (payment.clone(), capture.handle.clone());
            processor.fail_one(draft, payment, &capture)
        })
    }

    /// The payer does what was asked. The result is what their browser brings back to the return URL: a query, for
    /// `complete`. A bank's page executes the payment by itself, as does any action where the account offers no
    /// completion; otherwise a fingerprint or a challenge counts only once its result is handed over.
    ///
    /// # Errors
    /// If nothing is asked of the payer.
    pub fn payer_approves(&self, handle: &str) -> Result<String, ActError> {
        self.payer_acts(handle, Verdict::Approved)
    }

    /// The payer refuses, or fails to authenticate: the payment is declined. The result is what their browser brings
    /// back to the return URL.
    ///
    /// # Errors
    /// If nothing is asked of the payer.
    pub fn payer_refuses(&self, handle: &str) -> Result<String, ActError> {
        self.payer_acts(handle, Verdict::Refused)
    }

    /// The payer goes away, and the time for the action passes: the payment is declined.
    ///
    /// # Errors
    /// If nothing is asked of the payer.
    pub fn payer_abandons(&self, handle: &str) -> Result<(), ActError> {
        self.act(handle, |processor, draft| {
            let (mut payment, _) = asked(draft, handle)?;
            processor.decline(draft, &mut payment, "payer_timed_out");
            Ok(())
        })
    }

    /// Somebody refunds `amount` of a payment in the processor's dashboard. The result is the refund's handle.
    ///
    /// # Errors
    /// If so much isn't there to refund.
    pub fn dashboard_refund(&self, handle: &str, amount: Money) -> Result<String, ActError> {
        self.act(handle, |processor, draft| {
            processor.refund_in_dashboard(draft, known(draft, handle)?, amount)
        })
    }

    /// The payer's bank takes `amount` back: a returned debit, a recall.
    ///
    /// # Errors
    /// If the merchant doesn't have so much of it.
    pub fn bank_returns(&self, handle: &str, amount: Money) -> Result<(), ActError> {
        self.act(handle, |processor, draft| {
            let mut payment = known(draft, handle)?;
            if amount.minor() <= 0 || payment.refundable()?.checked_sub(amount)?.minor() < 0 {
                return Err(Refusal(409, "the merchant doesn't have so much of it"));
            }
            payment.returned = payment.returned.checked_add(amount)?;
            processor.put(draft, &payment, "payment.returned");
            Ok(())
        })
    }

    /// The authorization lapses before its time: what isn't captured is released.
    ///
    /// # Errors
    /// If nothing is held.
    pub fn lapse(&self, handle: &str) -> Result<(), ActError> {
        self.act(handle, |processor, draft| {
            let payment = known(draft, handle)?;
            if payment.held().minor() == 0 {
                return Err(Refusal(409, "nothing is held"));
            }
            processor.lapse_one(draft, payment)
        })
    }

    fn payer_acts(&self, handle: &str, verdict: Verdict) -> Result<String, ActError> {
        self.act(handle, |processor, draft| {
            let (mut payment, step) = asked(draft, handle)?;
            let payload = processor.payload(&payment, step, verdict);
            let hands_over = match (step, verdict) {
                (StepKind::Fingerprint | StepKind::Challenge, Verdict::Approved) => {
                    processor.shape(&payment.account).offers(Ability::Complete)
                }
                (StepKind::Fingerprint | StepKind::Challenge, Verdict::Refused)
                | (StepKind::Redirect | StepKind::Voucher | StepKind::Transfer, _) => false,
            };
            if !hands_over {
                processor.acted(draft, &mut payment, step, verdict)?;
            }
            Ok(payload)
        })
    }

    fn act<R>(
        &self,
        handle: &str,
        act: impl FnOnce(&Processor, &mut Draft<'_>) -> Result<R, Refusal>,
    ) -> Result<R, ActError> {
        let done = self.change(|draft| act(&self.processor, draft));
        done.map_err(|Refusal(_, why)| ActError {
            handle: handle.to_owned(),
            why,
        })
    }
}

fn known(draft: &Draft<'_>, handle: &str) -> Result<Payment, Refusal> {
    draft
        .books
        .payment(handle)
        .cloned()
        .ok_or(Refusal(404, "it isn't in the books"))
}

fn asked(draft: &Draft<'_>, handle: &str) -> Result<(Payment, StepKind), Refusal> {
    let payment = known(draft, handle)?;
    let step = payment
        .action
        .as_ref()
        .map(|action| action.kind)
        .ok_or(Refusal(409, "nothing is asked of the payer"))?;
    Ok((payment, step))
}
