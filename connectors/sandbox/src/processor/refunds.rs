//! Giving captured money back.

use std::collections::HashMap;
use std::time::Duration;

use paymux_core::Money;
use paymux_core::connector::Requirement;

use super::captures::FAILS_AFTER;
use super::payments::find;
use super::{Answer, Processor, Refusal, Served};
use crate::books::{Draft, NoticeEntry};
use crate::ledger::{CaptureEntry, CaptureState, Payment, RefundEntry, RefundState};
use crate::magic::Magic;
use crate::wire::{About, List, NewRefund, OperationObject, OperationState, to_json};

/// How long a refund takes that doesn't complete at once.
const COMPLETES_AFTER: Duration = Duration::from_secs(3600);

impl Processor {
    pub(super) fn refund(&self, draft: &mut Draft<'_>, account: &str, new: NewRefund) -> Served {
        let (mut payment, capture) = self.original(draft, account, &new.original)?;
        let asked = new.amount;
        let mut available = payment.refundable()?;
        if let Some(at) = capture {
            let capture = &payment.captures[at];
            let of_capture = capture.amount.checked_sub(capture.refunded)?;
            if of_capture.minor() < available.minor() {
                available = of_capture;
            }
        }
        if asked.minor() <= 0 || available.checked_sub(asked)?.minor() < 0 {
            return Err(Refusal(422, "amount"));
        }

        let needs_settlement = self.shape(account).refund_requires_settlement == Requirement::Required;
        let unsettled = |entry: &CaptureEntry| entry.state == CaptureState::Captured;
        let blocked = needs_settlement
            && match capture {
                Some(at) => unsettled(&payment.captures[at]),
                None => payment.captures.iter().any(unsettled),
            };
        let now = self.clock.now();
        let (state, code, turns_at) = match payment.magic() {
            _ if blocked => (RefundState::Failed, Some("not_permitted"), None),
            Magic::RefundFails => (RefundState::Failed, Some("account_closed"), None),
            Magic::RefundPending => (RefundState::Pending, None, Some(now.after(COMPLETES_AFTER))),
            Magic::RefundFailsLater => (RefundState::Succeeded, None, Some(now.after(FAILS_AFTER))),
            _ => (RefundState::Succeeded, None, None),
        };
        let refund = RefundEntry {
            account: account.to_owned(),
            handle: self.id(draft, "ref"),
            reference: Some(new.reference),
            payment: payment.handle.clone(),
            capture: capture.map(|at| payment.captures[at].handle.clone()),
            amount: asked,
            state,
            decline: code.map(str::to_owned),
            made_at: now,
            turns_at,
        };
        book(&mut payment, &refund, None)?;
        draft.put_payment(payment);
        self.put_refund(draft, &refund);
        Ok(Answer::of(
            if state == RefundState::Failed { 402 } else { 201 },
            &object(&refund),
        ))
    }

    pub(super) fn show_refund(&self, draft: &Draft<'_>, account: &str, handle: &str) -> Served {
        let found = draft
            .books
            .refund(handle)
            .filter(|refund| refund.account == account);
        found
            .map(|refund| Answer::of(200, &object(refund)))
            .ok_or(Refusal(404, "refund"))
    }

    pub(super) fn find_refunds(
        &self,
        draft: &Draft<'_>,
        account: &str,
        query: &HashMap<&str, String>,
    ) -> Served {
        let reference = query.get("reference").ok_or(Refusal(400, "reference"))?;
        let seen_before = self.clock.now().before(self.faults.staleness());
        let original = query.get("original");
        // A payment's or a capture's identifier, as at `POST /refunds`.
        let of_it = |refund: &&RefundEntry| {
            original.is_none_or(|id| refund.payment == *id || refund.capture.as_ref() == Some(id))
        };
        let found = draft.books.refunds_of(account, reference);
        let fresh = found.into_iter().filter(|refund| refund.made_at <= seen_before);
        let items: Vec<OperationObject> = fresh.filter(of_it).map(object).collect();
        Ok(Answer::of(200, &List { items }))
    }

    /// A refund that no caller asked for.
    pub(crate) fn refund_in_dashboard(
        &self,
        draft: &mut Draft<'_>,
        mut payment: Payment,
        amount: Money,
    ) -> Result<String, Refusal> {
        if amount.minor() <= 0 || payment.refundable()?.checked_sub(amount)?.minor() < 0 {
            return Err(Refusal(409, "so much isn't there to refund"));
        }
        let refund = RefundEntry {
            account: payment.account.clone(),
            handle: self.id(draft, "ref"),
            reference: None,
            payment: payment.handle.clone(),
            capture: None,
            amount,
            state: RefundState::Succeeded,
            decline: None,
            made_at: self.clock.now(),
            turns_at: None,
        };
        book(&mut payment, &refund, None)?;
        // The refund is nobody's, so what is told is that the payment has changed.
        draft.put_refund(refund.clone());
        self.put(draft, &payment, "payment.refunded");
        Ok(refund.handle)
    }

    /// Brings a refund to another state, and its payment's sums with it.
    pub(crate) fn turn_refund(
        &self,
        draft: &mut Draft<'_>,
        refund: &RefundEntry,
        state: RefundState,
    ) -> Result<(), Refusal> {
        let before = refund.state;
        let mut payment = find(draft, &refund.account, &refund.payment)?;
        let mut refund = refund.clone();
        refund.state = state;
        refund.turns_at = None;
        refund.decline = (state == RefundState::Failed).then(|| "account_closed".to_owned());
        book(&mut payment, &refund, Some(before))?;
        draft.put_payment(payment);
        self.put_refund(draft, &refund);
        Ok(())
    }

    /// Writes a refund and posts a webhook about it.
    pub(super) fn put_refund(&self, draft: &mut Draft<'_>, refund: &RefundEntry) {
        let word = match refund.state {
            RefundState::Pending => "refund.pending",
            RefundState::Succeeded => "refund.succeeded",
            RefundState::Failed => "refund.failed",
        };
        let notice = NoticeEntry {
            id: self.id(draft, "evt"),
            kind: word.to_owned(),
            account: refund.account.clone(),
            about: About::Refund,
            handle: refund.handle.clone(),
            payment: refund.payment.clone(),
            reference: refund.reference.clone(),
            object: to_json(&object(refund)),
        };
        draft.put_refund(refund.clone());
        draft.put_notice(notice);
    }

    /// What a refund is of: a payment, or one of its captures.
    fn original(
        &self,
        draft: &Draft<'_>,
        account: &str,
        handle: &str,
    ) -> Result<(Payment, Option<usize>), Refusal> {
        if let Ok(payment) = find(draft, account, handle) {
            let one = match self.shape(account).refund_per_capture {
                Requirement::None => None,
                Requirement::Required if payment.captures.len() == 1 => Some(0),
                Requirement::Required => return Err(Refusal(422, "original")),
            };
            return Ok((payment, one));
        }
        let found = draft
            .books
            .payment_with_capture(handle)
            .filter(|payment| payment.account == account);
        let payment = found.ok_or(Refusal(404, "original"))?;
        let at = payment
            .captures
            .iter()
            .position(|capture| capture.handle == handle);
        Ok((payment.clone(), at))
    }
}

/// Takes a refund out of its payment's sums as it stood, and puts it in as it stands.
fn book(payment: &mut Payment, refund: &RefundEntry, before: Option<RefundState>) -> Result<(), Refusal> {
    let zero = Money::zero(refund.amount.currency());
    let parts = |state: Option<RefundState>| match state {
        Some(RefundState::Pending) => (refund.amount, zero),
        Some(RefundState::Succeeded) => (zero, refund.amount),
        Some(RefundState::Failed) | None => (zero, zero),
    };
    let ((old_pending, old_done), (pending, done)) = (parts(before), parts(Some(refund.state)));
    payment.refund_pending = payment
        .refund_pending
        .checked_sub(old_pending)?
        .checked_add(pending)?;
    payment.refunded = payment.refunded.checked_sub(old_done)?.checked_add(done)?;
    let of = |capture: &&mut CaptureEntry| refund.capture.as_ref() == Some(&capture.handle);
    if let Some(capture) = payment.captures.iter_mut().find(of) {
        let old = old_pending.checked_add(old_done)?;
        capture.refunded = capture
            .refunded
            .checked_sub(old)?
            .checked_add(pending)?
            .checked_add(done)?;
    }
    Ok(())
}

fn object(refund: &RefundEntry) -> OperationObject {
    OperationObject {
        id: refund.handle.clone(),
        payment: refund.payment.clone(),
        reference: refund.reference.clone(),
        amount: refund.amount,
        state: match refund.state {
            RefundState::Pending => OperationState::Pending,
            RefundState::Succeeded => OperationState::Done,
            RefundState::Failed => OperationState::Failed,
        },
        code: refund.decline.clone(),
    }
}
