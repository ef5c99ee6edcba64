//! Raising, voiding and cancelling what was asked for before.

use paymux_core::Rest;
use paymux_core::connector::VoidAfterCapture;

use super::payments::find;
use super::{Answer, Processor, Refusal, Served};
use crate::books::Draft;
use crate::ledger::{CaptureEntry, CaptureState, Payment, PaymentState};
use crate::magic::Magic;
use crate::wire::{ClosePayment, IncrementObject, NewIncrement, OperationObject, OperationState};

impl Processor {
    pub(super) fn increment(
        &self,
        draft: &mut Draft<'_>,
        account: &str,
        handle: &str,
        new: NewIncrement,
    ) -> Served {
        let mut payment = find(draft, account, handle)?;
        if new.by.minor() <= 0 || payment.authorized.checked_add(new.by)? != new.total {
            return Err(Refusal(422, "total"));
        }
        let capturing = payment
            .captures
            .iter()
            .any(|capture| capture.state == CaptureState::Pending);
        let (status, state, code) = match payment.state {
            PaymentState::Authorized if !capturing => {
                payment.authorized = new.total;
                (200, OperationState::Done, None)
            }
            _ => (402, OperationState::Failed, Some("not_permitted".to_owned())),
        };
        if status == 200 {
            self.put(draft, &payment, "payment.incremented");
        }
        let (reference, total) = (new.reference, new.total);
        let payment = self.object(&payment);
        Ok(Answer::of(
            status,
            &IncrementObject {
                reference,
                total,
                state,
                code,
                payment,
            },
        ))
    }

    pub(super) fn void(
        &self,
        draft: &mut Draft<'_>,
        account: &str,
        handle: &str,
        asked: ClosePayment,
    ) -> Served {
        let mut payment = find(draft, account, handle)?;
        if asked.amount.currency() != payment.amount.currency() {
            return Err(Refusal(422, "amount"));
        }
        let pending = payment
            .captures
            .iter()
            .any(|capture| capture.state == CaptureState::Pending);
        let untouched = payment.refunded.minor() == 0 && payment.refund_pending.minor() == 0;
        let after_capture = self.shape(account).void_after_capture;
        let allowed = match (payment.state, payment.magic()) {
            (PaymentState::Voided, _) => return Ok(closed(&payment, asked, None)),
            (_, Magic::VoidRefused) => false,
            (PaymentState::Authorized, _) => !pending,
            (PaymentState::Captured, _) => after_capture == VoidAfterCapture::Yes && untouched,
            _ => false,
        };
        if !allowed {
            return Ok(closed(&payment, asked, Some("not_permitted")));
        }
        if payment.state == PaymentState::Captured {
            let settled = |capture: &CaptureEntry| capture.state == CaptureState::Settled;
            if payment.captures.iter().any(settled) {
                return Ok(closed(&payment, asked, Some("not_permitted")));
            }
            for capture in &mut payment.captures {
                if capture.state == CaptureState::Captured {
                    capture.state = CaptureState::Voided;
                }
            }
        }
        payment.rest = Rest::Release;
        payment.recount()?;
        self.put(draft, &payment, "payment.voided");
        Ok(closed(&payment, asked, None))
    }

    pub(super) fn cancel(
        &self,
        draft: &mut Draft<'_>,
        account: &str,
        handle: &str,
        asked: ClosePayment,
    ) -> Served {
        let mut payment = find(draft, account, handle)?;
        match payment.state {
            PaymentState::Cancelled => {}
            PaymentState::Created | PaymentState::RequiresAction => {
                payment.state = PaymentState::Cancelled;
                payment.action = None;
                self.put(draft, &payment, "payment.cancelled");
            }
            PaymentState::Processing
            | PaymentState::Authorized
            | PaymentState::Captured
            | PaymentState::Settled
            | PaymentState::Verified
            | PaymentState::Declined
            | PaymentState::Voided => return Ok(closed(&payment, asked, Some("not_permitted"))),
        }
        Ok(closed(&payment, asked, None))
    }
}

/// The answer to a void or a cancel: done, or refused with a word.
fn closed(payment: &Payment, asked: ClosePayment, refused: Option<&str>) -> Answer {
    let (status, state) = match refused {
        None => (200, OperationState::Done),
        Some(_) => (402, OperationState::Failed),
    };
    let object = OperationObject {
        id: payment.handle.clone(),
        payment: payment.handle.clone(),
        reference: Some(asked.reference),
        amount: asked.amount,
        state,
        code: refused.map(str::to_owned),
    };
    Answer::of(status, &object)
}
