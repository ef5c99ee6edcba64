//! Taking money that is held.

use std::time::Duration;

use paymux_core::connector::Offer;
use paymux_core::{Money, Rest};

use super::payments::find;
use super::{Answer, Processor, Refusal, Served};
use crate::books::Draft;
use crate::ledger::{CaptureEntry, CaptureState, PaymentState};
use crate::magic::Magic;
use crate::wire::{NewCapture, OperationObject, OperationState};

/// How long a bank takes to fail what it accepted.
pub(super) const FAILS_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

impl Processor {
    pub(super) fn capture(
        &self,
        draft: &mut Draft<'_>,
        account: &str,
        handle: &str,
        new: NewCapture,
    ) -> Served {
        let mut payment = find(draft, account, handle)?;
        let final_pending = payment
            .captures
            .iter()
            .any(|capture| capture.state == CaptureState::Pending && capture.rest == Rest::Release);
        if payment.state != PaymentState::Authorized
            || final_pending
            || payment.magic() == Magic::CaptureDeclined
        {
            let word = if payment.magic() == Magic::CaptureDeclined {
                "do_not_honor"
            } else {
                "not_permitted"
            };
            return Ok(Answer::of(
                402,
                &OperationObject {
                    id: payment.handle.clone(),
                    payment: payment.handle,
                    reference: Some(new.reference),
                    amount: new.amount,
                    state: OperationState::Failed,
                    code: Some(word.to_owned()),
                },
            ));
        }
        let open = payment.open()?;
        let left = open.checked_sub(new.amount)?;
        if new.amount.minor() <= 0 || left.minor() < 0 {
            return Err(Refusal(422, "amount"));
        }
        let one_only = self.shape(account).multicapture == Offer::Refused;
        let live = |capture: &CaptureEntry| capture.state != CaptureState::Failed;
        if one_only && (payment.captures.iter().any(live) || (new.rest == Rest::Keep && left.minor() > 0)) {
            return Err(Refusal(422, "rest"));
        }

        let now = self.clock.now();
        let (state, turns_at) = match payment.magic() {
            Magic::CaptureFailsLater => (CaptureState::Pending, Some(now.after(FAILS_AFTER))),
            _ => self.captured_at(account, now),
        };
        let entry = CaptureEntry {
            handle: self.id(draft, "cap"),
            reference: Some(new.reference),
            amount: new.amount,
            state,
            refunded: Money::zero(new.amount.currency()),
            rest: new.rest,
            turns_at,
        };
        let answer = OperationObject {
            id: entry.handle.clone(),
            payment: payment.handle.clone(),
            reference: entry.reference.clone(),
            amount: entry.amount,
            state: match state {
                CaptureState::Pending => OperationState::Pending,
                CaptureState::Captured => OperationState::Done,
                CaptureState::Settled => OperationState::Settled,
                CaptureState::Failed | CaptureState::Voided => OperationState::Failed,
            },
            code: None,
        };
        if state != CaptureState::Pending && new.rest == Rest::Release {
            payment.rest = Rest::Release;
        }
        payment.captures.push(entry);
        payment.recount()?;
        self.put(draft, &payment, "payment.captured");
        Ok(Answer::of(201, &answer))
    }
}
