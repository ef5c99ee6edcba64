//! Making, executing, completing and showing payments.

use std::collections::HashMap;
use std::time::Duration;

use super::{Answer, Processor, Refusal, Served, base32, mix};
use crate::books::{Draft, NoticeEntry};
use crate::ledger::{ActionStep, CaptureEntry, CaptureState, Payment, PaymentState, StepKind};
use crate::magic::Magic;
use crate::shape::Settlement;
use crate::wire::{
    About, ActionObject, ActionWhat, CompletePayment, Confirm, ConfirmPayment, List, Method, NewPayment,
    PaymentObject, escape, to_json,
};
use paymux_core::connector::{Ability, Offer};
use paymux_core::{
    CaptureMethod, Challenge, Grant, IntentMode, LiabilityShift, Money, Rest, ThreeDs, Timestamp,
};

const HOUR: Duration = Duration::from_secs(3600);
/// How long what is held stays held.
const HELD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the payer may take.
const ACTION_FOR: Duration = Duration::from_secs(15 * 60);

impl Processor {
    pub(super) fn create(&self, draft: &mut Draft<'_>, account: &str, new: NewPayment) -> Served {
        let (minor, zero) = (new.amount.minor(), Money::zero(new.amount.currency()));
        match new.mode {
            IntentMode::Payment if minor > 0 => {}
            IntentMode::Setup | IntentMode::Verify if minor == 0 => {}
            IntentMode::Payment | IntentMode::Setup | IntentMode::Verify => {
                return Err(Refusal(422, "amount"));
            }
        }
        if !self.shape(account).currencies.contains(&new.amount.currency()) {
            return Err(Refusal(422, "currency"));
        }
        if new.capture == CaptureMethod::Manual && self.shape(account).manual_capture == Offer::Refused {
            return Err(Refusal(422, "capture"));
        }
        let payment = Payment {
            account: account.to_owned(),
            handle: self.id(draft, "pay"),
            reference: new.reference,
            merchant_reference: new.merchant_reference,
            metadata: new.metadata,
            token: None,
            mode: new.mode,
            capture: new.capture,
            amount: new.amount,
            state: PaymentState::Created,
            authorized: zero,
            captured: zero,
            refunded: zero,
            refund_pending: zero,
            returned: zero,
            captures: Vec::new(),
            decline: None,
            made_at: self.clock.now(),
            capture_before: None,
            network_transaction_id: None,
            three_ds: None,
            action: None,
            answer_due: None,
            rest: Rest::Keep,
            challenge: new.challenge,
            mit: new.mit,
            return_url: new.return_url,
        };
        match (new.confirm, new.method) {
            (Confirm::Later, None) => {
                draft.put_payment(payment.clone());
                Ok(self.shown(201, &payment))
            }
            (Confirm::Now, Some(method)) => self.confirmed(draft, payment, &method),
            (Confirm::Later, Some(_)) | (Confirm::Now, None) => Err(Refusal(422, "method")),
        }
    }

    pub(super) fn confirm(
        &self,
        draft: &mut Draft<'_>,
        account: &str,
        handle: &str,
        asked: ConfirmPayment,
    ) -> Served {
        let mut payment = find(draft, account, handle)?;
        if payment.state != PaymentState::Created {
            // Not a refusal: it was executed before, by a send that this one repeats.
            return Err(Refusal(409, "already_confirmed"));
        }
        payment.challenge = payment.challenge.max(asked.challenge);
        self.confirmed(draft, payment, &asked.method)
    }

    pub(super) fn complete(
        &self,
        draft: &mut Draft<'_>,
        account: &str,
        handle: &str,
        brought: CompletePayment,
    ) -> Served {
        let mut payment = find(draft, account, handle)?;
        let Some(step) = payment
            .action
            .clone()
            .filter(|_| payment.state == PaymentState::RequiresAction)
        else {
            return Ok(self.shown(200, &payment));
        };
        if brought.payload == self.payload(&payment, step.kind, Verdict::Approved) {
            self.acted(draft, &mut payment, step.kind, Verdict::Approved)?;
        } else if brought.payload == self.payload(&payment, step.kind, Verdict::Refused) {
            self.acted(draft, &mut payment, step.kind, Verdict::Refused)?;
        } else {
            return Err(Refusal(422, "payload"));
        }
        Ok(self.shown(200, &payment))
    }

    pub(super) fn show_payment(&self, draft: &Draft<'_>, account: &str, handle: &str) -> Served {
        find(draft, account, handle).map(|payment| Answer::of(200, &self.object(&payment)))
    }

    pub(super) fn find_payments(
        &self,
        draft: &Draft<'_>,
        account: &str,
        query: &HashMap<&str, String>,
    ) -> Served {
        let reference = query.get("reference").ok_or(Refusal(400, "reference"))?;
        let seen_before = self.clock.now().before(self.faults.staleness());
        let found = draft.books.payments_of(account, reference);
        let fresh = found.into_iter().filter(|payment| payment.made_at <= seen_before);
        let items: Vec<PaymentObject> = fresh.map(|payment| self.object(payment)).collect();
        Ok(Answer::of(200, &List { items }))
    }

    fn confirmed(&self, draft: &mut Draft<'_>, mut payment: Payment, method: &Method) -> Served {
        payment.token = method.named().map(str::to_owned);
        self.ask_bank(draft, &mut payment, method)?;
        let word = format!("payment.{}", payment.state.as_str());
        self.put(draft, &payment, &word);
        Ok(self.shown(201, &payment))
    }

    /// What the bank says at first.
    fn ask_bank(&self, draft: &mut Draft<'_>, payment: &mut Payment, method: &Method) -> Result<(), Refusal> {
        let magic = payment.token.as_deref().and_then(Magic::of);
        if let Some(word) = magic.and_then(Magic::decline) {
            decline(payment, word);
            return Ok(());
        }
        let challenged = payment.challenge == Challenge::Required && payment.mit.is_none();
        match (magic, method) {
            (Some(Magic::AuthenticationRequired), _) if !challenged => {
                decline(payment, "authentication_required")
            }
            (Some(Magic::Redirect), _) => self.ask_payer(payment, StepKind::Redirect),
            (Some(Magic::FingerprintThenChallenge), _) => self.ask_payer(payment, StepKind::Fingerprint),
            (Some(Magic::PendingThenSettled | Magic::PendingThenDeclined), _) => self.process(payment),
            (Some(_), _) if challenged => self.ask_payer(payment, StepKind::Challenge),
            (Some(_), _) => self.approve(draft, payment)?,
            (None, Method::Card { .. } | Method::NetworkToken { .. }) => decline(payment, "incorrect_number"),
            (None, Method::BankRedirect { .. } | Method::OpenBanking { .. } | Method::Bnpl { .. }) => {
                self.ask_payer(payment, StepKind::Redirect);
            }
            (None, Method::DirectDebit { .. }) => self.process(payment),
            (None, Method::Voucher { .. }) => self.ask_payer(payment, StepKind::Voucher),
            (None, Method::BankTransfer) => self.ask_payer(payment, StepKind::Transfer),
            (None, Method::Wallet { .. } | Method::Provider { .. }) => self.approve(draft, payment)?,
        }
        Ok(())
    }

    fn ask_payer(&self, payment: &mut Payment, kind: StepKind) {
        payment.state = PaymentState::RequiresAction;
        payment.action = Some(ActionStep {
            kind,
            expires_at: self.clock.now().after(ACTION_FOR),
        });
    }

    fn process(&self, payment: &mut Payment) {
        payment.state = PaymentState::Processing;
        payment.answer_due = Some(self.clock.now().after(HOUR));
    }

    /// The bank's yes: the amount is held, or taken with it.
    pub(crate) fn approve(&self, draft: &mut Draft<'_>, payment: &mut Payment) -> Result<(), Refusal> {
        let now = self.clock.now();
        payment.action = None;
        payment.answer_due = None;
        payment.network_transaction_id = Some(self.id(draft, "ntx"));
        match payment.mode {
            IntentMode::Setup | IntentMode::Verify => {
                payment.state = PaymentState::Verified;
                return Ok(());
            }
            IntentMode::Payment => {}
        }
        let partly = payment.magic() == Magic::PartiallyAuthorized;
        payment.authorized = match (partly, payment.amount.allocate(&[60, 40])?.first()) {
            (true, Some(part)) => *part,
            (true, None) | (false, _) => payment.amount,
        };
        payment.capture_before = Some(now.after(HELD_FOR));
        payment.state = PaymentState::Authorized;
        if payment.capture == CaptureMethod::Automatic && !partly {
            let handle = self.id(draft, "cap");
            let (state, turns_at) = self.captured_at(&payment.account, now);
            let zero = Money::zero(payment.amount.currency());
            payment.captures.push(CaptureEntry {
                handle,
                reference: None,
                amount: payment.authorized,
                state,
                refunded: zero,
                rest: Rest::Release,
                turns_at,
            });
            payment.rest = Rest::Release;
            payment.recount()?;
        }
        Ok(())
    }

    /// How a capture stands that is made now, and when that changes.
    pub(super) fn captured_at(&self, account: &str, now: Timestamp) -> (CaptureState, Option<Timestamp>) {
        match self.shape(account).settlement {
            Settlement::AtOnce => (CaptureState::Settled, None),
            Settlement::After(delay) => (CaptureState::Captured, Some(now.after(delay))),
            Settlement::ByHand => (CaptureState::Captured, None),
        }
    }

    /// What follows from what the payer did.
    pub(crate) fn acted(
        &self,
        draft: &mut Draft<'_>,
        payment: &mut Payment,
        step: StepKind,
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        match (verdict, step) {
            (Verdict::Approved, StepKind::Fingerprint) => self.ask_payer(payment, StepKind::Challenge),
            (Verdict::Approved, StepKind::Challenge) => {
                let mut result = ThreeDs::default();
                result.eci = Some("05".to_owned());
                result.version = Some("2.2.0".to_owned());
                result.ds_trans_id = Some(self.id(draft, "ds"));
                result.liability_shift = Some(LiabilityShift::Shifted);
                payment.three_ds = Some(result);
                self.approve(draft, payment)?;
            }
            (Verdict::Approved, StepKind::Redirect | StepKind::Voucher | StepKind::Transfer) => {
                self.approve(draft, payment)?;
            }
            (Verdict::Refused, StepKind::Fingerprint | StepKind::Challenge) => {
                decline(payment, "authentication_failed");
            }
            (Verdict::Refused, StepKind::Redirect | StepKind::Voucher | StepKind::Transfer) => {
                decline(payment, "payer_cancelled");
            }
        }
        let word = format!("payment.{}", payment.state.as_str());
        self.put(draft, payment, &word);
        Ok(())
    }

    /// What the payer's browser brings back.
    pub(crate) fn payload(&self, payment: &Payment, step: StepKind, verdict: Verdict) -> String {
        let parts = [payment.handle.as_bytes(), &[step as u8, verdict as u8]].concat();
        let code = parts
            .iter()
            .fold(self.seed, |code, byte| mix(code, u64::from(*byte) + 1));
        format!("payment={}&result={}", payment.handle, base32(code))
    }

    /// The bank's no.
    pub(crate) fn decline(&self, draft: &mut Draft<'_>, payment: &mut Payment, word: &str) {
        decline(payment, word);
        self.put(draft, payment, "payment.declined");
    }

    /// Writes a payment and posts a webhook about it.
    pub(crate) fn put(&self, draft: &mut Draft<'_>, payment: &Payment, kind: &str) {
        let notice = NoticeEntry {
            id: self.id(draft, "evt"),
            kind: kind.to_owned(),
            account: payment.account.clone(),
            about: About::Payment,
            handle: payment.handle.clone(),
            payment: payment.handle.clone(),
            reference: Some(payment.reference.clone()),
            object: to_json(&self.object(payment)),
        };
        draft.put_payment(payment.clone());
        draft.put_notice(notice);
    }

    fn shown(&self, status: u16, payment: &Payment) -> Answer {
        let status = match payment.state {
            PaymentState::Declined => 402,
            PaymentState::Created
            | PaymentState::RequiresAction
            | PaymentState::Processing
            | PaymentState::Authorized
            | PaymentState::Captured
            | PaymentState::Settled
            | PaymentState::Verified
            | PaymentState::Voided
            | PaymentState::Cancelled => status,
        };
        Answer::of(status, &self.object(payment))
    }

    pub(super) fn object(&self, payment: &Payment) -> PaymentObject {
        let shape = self.shape(&payment.account);
        let grant = |offered| if offered { Grant::Granted } else { Grant::Refused };
        PaymentObject {
            id: payment.handle.clone(),
            reference: Some(payment.reference.clone()),
            amount: payment.amount,
            state: payment.state,
            authorized: payment.authorized,
            part: Some(payment.authorized).filter(|part| part.minor() < payment.amount.minor()),
            captured: payment.captured,
            failed: payment.failed(),
            refunded: payment.refunded,
            returned: payment.returned,
            multicapture: grant(shape.multicapture == Offer::Offered),
            incremental: grant(shape.offers(Ability::Increment)),
            code: payment.decline.clone(),
            action: payment.action.as_ref().map(|step| self.action(payment, step)),
            capture_before: payment
                .capture_before
                .filter(|_| payment.state == PaymentState::Authorized),
            network_transaction_id: payment.network_transaction_id.clone(),
            three_ds: payment.three_ds.clone(),
        }
    }

    fn action(&self, payment: &Payment, step: &ActionStep) -> ActionObject {
        let back = payment.return_url.as_deref().map(escape).unwrap_or_default();
        let page = |name: &str| format!("https://sandbox.invalid/{name}/{}?return={back}", payment.handle);
        let what = match step.kind {
            StepKind::Redirect => ActionWhat::Redirect { url: page("bank") },
            StepKind::Challenge => ActionWhat::Redirect {
                url: page("challenge"),
            },
            StepKind::Fingerprint => ActionWhat::Fingerprint {
                url: page("fingerprint"),
                client_secret: self.payload(payment, step.kind, Verdict::Approved),
            },
            StepKind::Voucher => ActionWhat::Voucher {
                number: payment.handle.clone(),
            },
            StepKind::Transfer => ActionWhat::Transfer {
                account: "XX00 SANDBOX".to_owned(),
                text: payment.handle.clone(),
            },
        };
        ActionObject {
            what,
            expires_at: step.expires_at,
        }
    }
}

/// What the payer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Approved,
    Refused,
}

pub(super) fn find(draft: &Draft<'_>, account: &str, handle: &str) -> Result<Payment, Refusal> {
    let found = draft
        .books
        .payment(handle)
        .filter(|payment| payment.account == account);
    found.cloned().ok_or(Refusal(404, "payment"))
}

pub(super) fn decline(payment: &mut Payment, word: &str) {
    payment.state = PaymentState::Declined;
    payment.decline = Some(word.to_owned());
    payment.action = None;
    payment.answer_due = None;
}
