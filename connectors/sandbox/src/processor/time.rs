//! What time does: it settles and fails, lapses and expires.

use paymux_core::{Rest, Timestamp};

use super::payments::decline;
use super::{Processor, Refusal};
use crate::books::Draft;
use crate::ledger::{CaptureEntry, CaptureState, Payment, PaymentState, RefundState};
use crate::magic::Magic;
use crate::wire::About;

impl Processor {
    /// Does everything that was due by now, in its order.
    pub(super) fn pass_time(&self, draft: &mut Draft<'_>) {
        let now = self.clock.now();
        while let Some(id) = draft.books.work_done_by(now) {
            self.finish_work(draft, &id);
        }
        while let Some((at, about, handle)) = draft.books.due_by(now) {
            let turned = match about {
                About::Payment => self.turn_payment(draft, &handle, at),
                About::Refund => self.turn_due_refund(draft, &handle),
            };
            if turned.is_err() {
                // Sums that were once in range stay in it, since time adds nothing; a fault here must not hang.
                return;
            }
        }
    }

    fn turn_payment(&self, draft: &mut Draft<'_>, handle: &str, at: Timestamp) -> Result<(), Refusal> {
        let Some(mut payment) = draft.books.payment(handle).cloned() else {
            return Ok(());
        };
        let due = |capture: &CaptureEntry| {
            let open = matches!(capture.state, CaptureState::Pending | CaptureState::Captured);
            open && capture.turns_at.is_some_and(|turns| turns <= at)
        };
        if let Some(capture) = payment.captures.iter().find(|capture| due(capture)) {
            let (handle, state) = (capture.handle.clone(), capture.state);
            return match state {
                CaptureState::Pending => self.fail_one(draft, payment, &handle),
                CaptureState::Captured
                | CaptureState::Settled
                | CaptureState::Failed
                | CaptureState::Voided => self.settle_captures(draft, payment, Some(&handle)),
            };
        }
        match payment.state {
            PaymentState::RequiresAction => {
                self.decline(draft, &mut payment, "payer_timed_out");
                Ok(())
            }
            PaymentState::Processing => self.bank_answers(draft, payment),
            PaymentState::Authorized => self.lapse_one(draft, payment),
            PaymentState::Created
            | PaymentState::Captured
            | PaymentState::Settled
            | PaymentState::Verified
            | PaymentState::Declined
            | PaymentState::Voided
            | PaymentState::Cancelled => Ok(()),
        }
    }

    fn turn_due_refund(&self, draft: &mut Draft<'_>, handle: &str) -> Result<(), Refusal> {
        let Some(refund) = draft.books.refund(handle).cloned() else {
            return Ok(());
        };
        let next = match refund.state {
            RefundState::Pending => RefundState::Succeeded,
            RefundState::Succeeded | RefundState::Failed => RefundState::Failed,
        };
        self.turn_refund(draft, &refund, next)
    }

    /// The answer to a payment that was accepted.
    pub(super) fn bank_answers(&self, draft: &mut Draft<'_>, mut payment: Payment) -> Result<(), Refusal> {
        match payment.magic() {
            Magic::PendingThenDeclined => decline(&mut payment, "insufficient_funds"),
            _ => {
                self.approve(draft, &mut payment)?;
                if !payment.captures.is_empty() {
                    return self.settle_captures(draft, payment, None);
                }
            }
        }
        let word = format!("payment.{}", payment.state.as_str());
        self.put(draft, &payment, &word);
        Ok(())
    }

    /// Settles one capture, or all that are taken.
    pub(crate) fn settle_captures(
        &self,
        draft: &mut Draft<'_>,
        mut payment: Payment,
        only: Option<&str>,
    ) -> Result<(), Refusal> {
        for capture in &mut payment.captures {
            let meant = only.is_none_or(|only| only == capture.handle);
            let open = matches!(capture.state, CaptureState::Pending | CaptureState::Captured);
            if meant && open {
                if capture.state == CaptureState::Pending && capture.rest == Rest::Release {
                    payment.rest = Rest::Release;
                }
                capture.state = CaptureState::Settled;
                capture.turns_at = None;
            }
        }
        payment.recount()?;
        self.put(draft, &payment, "payment.settled");
        Ok(())
    }

    /// Fails one capture: its money is held again while the authorization lives and nothing else has ended it.
    pub(crate) fn fail_one(
        &self,
        draft: &mut Draft<'_>,
        mut payment: Payment,
        handle: &str,
    ) -> Result<(), Refusal> {
        let Some(at) = payment
            .captures
            .iter()
            .position(|capture| capture.handle == handle)
        else {
            return Ok(());
        };
        let failed = &mut payment.captures[at];
        failed.state = CaptureState::Failed;
        failed.turns_at = None;
        let (ended_it, with_authorization) = (failed.rest == Rest::Release, failed.reference.is_none());
        let ends_it = |capture: &CaptureEntry| {
            capture.rest == Rest::Release
                && matches!(capture.state, CaptureState::Captured | CaptureState::Settled)
        };
        let lives = payment
            .capture_before
            .is_some_and(|lapses| self.clock.now() < lapses);
        if !lives {
            payment.rest = Rest::Release;
        } else if ended_it && !payment.captures.iter().any(ends_it) {
            payment.rest = Rest::Keep;
        }
        payment.recount()?;
        if with_authorization {
            // Nothing was ever held apart from the charge: it failed as a whole.
            decline(&mut payment, "bank_refused");
        }
        self.put(draft, &payment, "payment.capture_failed");
        Ok(())
    }

    /// Ends an authorization by its age: what isn't captured is released.
    pub(crate) fn lapse_one(&self, draft: &mut Draft<'_>, mut payment: Payment) -> Result<(), Refusal> {
        payment.rest = Rest::Release;
        payment.capture_before = None;
        payment.recount()?;
        self.put(draft, &payment, "payment.lapsed");
        Ok(())
    }
}
