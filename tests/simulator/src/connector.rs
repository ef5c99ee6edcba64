//! The connector to the simulated processor, through the public connector API alone.

use std::time::Duration;

use async_trait::async_trait;
use paymux_core::connector::prelude::*;
use paymux_core::{CardNetwork, Decline, DeclineCode, DeclineKind, DeclineTable, NetworkAdvice};

use crate::wire::{ACCOUNT, Act, Ask, KEY, Posted, SIGNATURE, Said, State};

/// The processor's API, as one account uses it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) account: AccountRef,
}

const STATUSES: StatusTable = StatusTable::new()
    .answers(&[200, 402])
    .refuses(&[401, 404, 422, 429], "tests/simulator/src/bank.rs");

const DECLINES: DeclineTable = DeclineTable::of(&[
    ("soft", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("hard", DeclineCode::StolenCard, DeclineKind::Hard),
    ("failed", DeclineCode::NotPermitted, DeclineKind::Hard),
    (
        "authentication",
        DeclineCode::AuthenticationRequired,
        DeclineKind::AuthenticationRequired,
    ),
    ("funds", DeclineCode::InsufficientFunds, DeclineKind::Soft),
    ("unavailable", DeclineCode::IssuerUnavailable, DeclineKind::Soft),
    ("v51", DeclineCode::InsufficientFunds, DeclineKind::Soft),
    ("v91", DeclineCode::IssuerUnavailable, DeclineKind::Soft),
    ("v04", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("v57", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("vN7", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m01", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m02", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m03", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m21", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m24", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m40", DeclineCode::DoNotHonor, DeclineKind::Soft),
    ("m42", DeclineCode::DoNotHonor, DeclineKind::Soft),
]);

/// What the card's network says in the words of this processor: Visa's response code after a `v`, Mastercard's advice
/// code after an `m`.
fn network_of(word: &str) -> Option<NetworkAdvice> {
    let code = word.get(1..).filter(|code| code.len() == 2)?;
    match word.as_bytes()[0] {
        b'v' => Some(NetworkAdvice::of(CardNetwork::Visa).response_code(code)),
        b'm' => Some(NetworkAdvice::of(CardNetwork::Mastercard).advice_code(code)),
        _ => None,
    }
}

/// How posts are signed.
pub(crate) const SIGNED: TimestampedHmac = TimestampedHmac {
    header: SIGNATURE,
    tolerance: Duration::from_secs(300),
};

impl Api {
    fn post(&self, key: &StepKey, ask: &Ask) -> Request {
        Request::post("sim://bank")
            .header(ACCOUNT, self.account.account())
            .header(KEY, key.as_str())
            .json(ask)
    }
}

fn ask(act: Act, reference: &str) -> Ask {
    Ask {
        act,
        reference: reference.to_owned(),
        of: None,
        amount: None,
        order: None,
        token: None,
        manual: false,
        setup: false,
        challenge: false,
        keep: false,
        secret: None,
    }
}

fn on(act: Act, reference: &str, original: &Handle, amount: Money) -> Ask {
    Ask {
        of: Some(original.as_str().to_owned()),
        amount: Some(amount),
        ..ask(act, reference)
    }
}

fn payment(act: Act, op: &op::Authorize) -> Result<Ask, Unsendable> {
    let (token, secret) = match &op.method {
        PaymentMethod::CardToken { token, .. } => (token.clone(), None),
        PaymentMethod::BankRedirect { scheme } => (scheme.clone(), None),
        PaymentMethod::Wallet { wallet, payload, .. } => {
            let secret = payload
                .get()
                .ok_or_else(|| Unsendable::field("payload", "it is gone"))?;
            (wallet.clone(), Some(secret.expose().to_owned()))
        }
        _ => return Err(Unsendable::field("method", "the bank doesn't know it")),
    };
    Ok(Ask {
        amount: Some(op.amount),
        order: op.details.merchant_reference.clone(),
        token: Some(token),
        manual: op.capture == CaptureMethod::Manual,
        setup: op.mode != IntentMode::Payment,
        challenge: op.challenge == Challenge::Required,
        secret,
        ..ask(act, &op.reference)
    })
}

fn marked(request: Request, part: Option<&'static str>) -> Request {
    match part {
        Some(part) => request.volatile(part),
        None => request,
    }
}

impl Exchange<op::Authorize> for Api {
    fn request(&self, op: &op::Authorize, key: &StepKey) -> Result<Request, Unsendable> {
        let request = self.post(key, &payment(Act::Authorize, op)?);
        Ok(marked(request, op.method.volatile_part()))
    }

    fn report(&self, _: &op::Authorize, answer: &Response) -> Result<AuthorizeReport, CallError> {
        executed(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Prepare> for Api {
    fn request(&self, op: &op::Prepare, key: &StepKey) -> Result<Request, Unsendable> {
        let whole = payment(Act::Prepare, &op.authorize)?;
        let kept = Ask {
            secret: None,
            ..whole
        };
        Ok(self.post(key, &kept))
    }

    fn report(&self, _: &op::Prepare, answer: &Response) -> Result<PrepareReport, CallError> {
        let said: Said = STATUSES.read(answer)?;
        match said.state {
            State::Created => Ok(PrepareReport::Prepared(said.id.as_str().into(), echo(&said))),
            _ => Err(CallError::unknown("a new payment is more than made")),
        }
    }
}

impl Exchange<op::Execute> for Api {
    fn request(&self, op: &op::Execute, key: &StepKey) -> Result<Request, Unsendable> {
        let mut ask = payment(Act::Execute, &op.authorize)?;
        ask.of = Some(op.handle.as_str().to_owned());
        Ok(marked(self.post(key, &ask), op.authorize.method.volatile_part()))
    }

    fn report(&self, _: &op::Execute, answer: &Response) -> Result<AuthorizeReport, CallError> {
        executed(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Complete> for Api {
    fn request(&self, op: &op::Complete, key: &StepKey) -> Result<Request, Unsendable> {
        let secret = op.payload.get().map(|secret| secret.expose().to_owned());
        let ask = Ask {
            secret,
            ..on(Act::Complete, &op.reference, &op.handle, op.amount)
        };
        Ok(self.post(key, &ask).volatile("what the payer brought back"))
    }

    fn report(&self, _: &op::Complete, answer: &Response) -> Result<AuthorizeReport, CallError> {
        executed(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Capture> for Api {
    fn request(&self, op: &op::Capture, key: &StepKey) -> Result<Request, Unsendable> {
        let ask = Ask {
            keep: op.rest == Rest::Keep,
            ..on(Act::Capture, &op.reference, &op.original, op.amount)
        };
        Ok(self.post(key, &ask))
    }

    fn report(&self, _: &op::Capture, answer: &Response) -> Result<CaptureReport, CallError> {
        let said: Said = STATUSES.read(answer)?;
        let handle = Handle::from(said.id.as_str());
        Ok(match said.state {
            State::Done => CaptureReport::Captured(handle, echo(&said)),
            State::Settled => CaptureReport::Settled(handle, echo(&said)),
            State::Processing => CaptureReport::Pending(handle, echo(&said)),
            State::Failed => CaptureReport::Declined(decline(&said)?),
            _ => return Err(CallError::unknown("a capture in a payment's state")),
        })
    }
}

impl Exchange<op::Increment> for Api {
    fn request(&self, op: &op::Increment, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.post(key, &on(Act::Increment, &op.reference, &op.original, op.total)))
    }

    fn report(&self, op: &op::Increment, answer: &Response) -> Result<AuthorizeReport, CallError> {
        let said: Said = STATUSES.read(answer)?;
        match said.state {
            State::Done => {
                let echo = echo(&said);
                Ok(AuthorizeReport::Authorized(Approval::new(
                    op.original.clone(),
                    echo,
                )))
            }
            State::Failed => Ok(AuthorizeReport::Declined(decline(&said)?)),
            _ => Err(CallError::unknown("an increment in a payment's state")),
        }
    }
}

macro_rules! closing {
    ($op:ident) => {
        impl Exchange<op::$op> for Api {
            fn request(&self, op: &op::$op, key: &StepKey) -> Result<Request, Unsendable> {
                Ok(self.post(key, &on(Act::$op, &op.reference, &op.original, op.amount)))
            }

            fn report(&self, _: &op::$op, answer: &Response) -> Result<CloseReport, CallError> {
                let said: Said = STATUSES.read(answer)?;
                let handle = Handle::from(said.id.as_str());
                match said.state {
                    State::Done => Ok(CloseReport::Closed(handle, echo(&said))),
                    State::Processing => Ok(CloseReport::Pending(handle, echo(&said))),
                    State::Failed => Ok(CloseReport::Refused(decline(&said)?)),
                    _ => Err(CallError::unknown("a closing in a payment's state")),
                }
            }
        }
    };
}
closing!(Void);
closing!(Cancel);

impl Exchange<op::Refund> for Api {
    fn request(&self, op: &op::Refund, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.post(key, &on(Act::Refund, &op.reference, &op.original, op.amount)))
    }

    fn report(&self, _: &op::Refund, answer: &Response) -> Result<RefundReport, CallError> {
        refund(STATUSES.read(answer)?)
    }
}

impl Exchange<op::Read> for Api {
    fn request(&self, op: &op::Read, key: &StepKey) -> Result<Request, Unsendable> {
        let ask = Ask {
            of: Some(op.handle.as_str().to_owned()),
            ..ask(Act::Read, &op.reference)
        };
        Ok(self.post(key, &ask))
    }

    fn report(&self, _: &op::Read, answer: &Response) -> Result<ReadReport, CallError> {
        match answer.status().as_u16() {
            404 => Ok(ReadReport::NotFound),
            _ => standing(STATUSES.read(answer)?).map(ReadReport::Found),
        }
    }
}

impl Exchange<op::LookUp> for Api {
    fn request(&self, op: &op::LookUp, key: &StepKey) -> Result<Request, Unsendable> {
        Ok(self.post(key, &ask(Act::LookUp, &op.reference)))
    }

    fn report(&self, _: &op::LookUp, answer: &Response) -> Result<LookUpReport, CallError> {
        match answer.status().as_u16() {
            404 => Ok(LookUpReport::NotFound),
            _ => standing(STATUSES.read(answer)?).map(LookUpReport::Found),
        }
    }
}

macro_rules! refund_read {
    ($op:ident) => {
        impl Exchange<op::$op> for Api {
            fn request(&self, op: &op::$op, key: &StepKey) -> Result<Request, Unsendable> {
                Ok(self.post(key, &ask(Act::$op, &op.reference)))
            }

            fn report(&self, _: &op::$op, answer: &Response) -> Result<RefundReadReport, CallError> {
                match answer.status().as_u16() {
                    404 => Ok(RefundReadReport::NotFound),
                    _ => refund(STATUSES.read(answer)?).map(RefundReadReport::Found),
                }
            }
        }
    };
}
refund_read!(ReadRefund);
refund_read!(LookUpRefund);

fn echo(said: &Said) -> Echo {
    let echo = Echo::none().amount(said.amount);
    match &said.reference {
        Some(reference) => echo.reference(reference),
        None => echo,
    }
}

fn decline(said: &Said) -> Result<Decline, CallError> {
    let word = said.code.as_deref();
    let word = word.ok_or(CallError::unknown("a no without its reason"))?;
    let decline = DECLINES.map(word);
    Ok(match network_of(word) {
        Some(advice) => decline.with_network(advice),
        None => decline,
    })
}

fn refund(said: Said) -> Result<RefundReport, CallError> {
    let handle = Handle::from(said.id.as_str());
    Ok(match said.state {
        State::Done => RefundReport::Refunded(handle, echo(&said)),
        State::Processing => RefundReport::Pending(handle, echo(&said)),
        State::Failed => RefundReport::Failed(decline(&said)?),
        _ => return Err(CallError::unknown("a refund in a payment's state")),
    })
}

fn executed(said: Said) -> Result<AuthorizeReport, CallError> {
    match report(&said)? {
        AuthorizeReport::Unexecuted(_) => Err(CallError::unknown("to be executed, and it wasn't")),
        report => Ok(report),
    }
}

fn report(said: &Said) -> Result<AuthorizeReport, CallError> {
    let handle = Handle::from(said.id.as_str());
    let approval = || {
        let mut granted = Granted::nothing();
        if said.multicapture {
            granted = granted.multicapture();
        }
        if said.incremental {
            granted = granted.incremental();
        }
        Approval::new(said.id.as_str(), echo(said)).granted(granted)
    };
    let money = |minor| Money::from_minor(minor, said.amount.currency());
    Ok(match said.state {
        State::Created => AuthorizeReport::Unexecuted(handle),
        State::Action => {
            let until = Timestamp::from_millis(crate::ports::EPOCH_MS + said.until.unwrap_or_default());
            let page = format!("https://bank.invalid/{}", said.id);
            AuthorizeReport::ActionNeeded(handle, Action::redirect(page).expires_at(until), echo(said))
        }
        State::Processing => AuthorizeReport::Pending(handle, echo(said)),
        State::Authorized if said.authorized < said.amount.minor() => {
            AuthorizeReport::PartiallyAuthorized(approval(), money(said.authorized))
        }
        State::Authorized => AuthorizeReport::Authorized(approval()),
        State::Captured => AuthorizeReport::Captured(approval()),
        State::Settled => AuthorizeReport::Settled(approval()),
        State::Verified => AuthorizeReport::Verified(approval()),
        // It was taken once, and failed later: what failed of it says so.
        State::Declined if said.failed > 0 => AuthorizeReport::Captured(approval()),
        State::Declined => AuthorizeReport::Declined(decline(said)?),
        State::Voided | State::Cancelled => AuthorizeReport::Voided(handle, echo(said)),
        State::Done | State::Failed => return Err(CallError::unknown("a payment in an operation's state")),
    })
}

fn standing(said: Said) -> Result<Standing, CallError> {
    let money = |minor| Money::from_minor(minor, said.amount.currency());
    Ok(Standing::from(report(&said)?)
        .authorized(money(said.authorized))
        .captured(money(said.captured))
        .failed(money(said.failed))
        .refunded(money(said.refunded))
        .returned(money(said.returned)))
}

#[async_trait]
impl WebhookOps for Api {
    fn identify(&self, inbound: &Inbound) -> Result<Vec<AccountRef>, Malformed> {
        let posted: Posted = inbound.json()?;
        Ok(vec![AccountRef::new(
            self.account.connector().clone(),
            posted.account,
        )])
    }

    async fn verify(
        &self,
        inbound: &Inbound,
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<Verified, BadSignature> {
        SIGNED.verify(inbound, secrets, now)
    }

    fn decode(&self, inbound: &Verified) -> Result<Vec<Notice>, Malformed> {
        let posted: Posted = inbound.json()?;
        let about = Handle::from(posted.id.as_str());
        let mut notice = match &posted.event {
            Some(event) => Notice::hint(event.as_str(), about),
            None => {
                let word = posted
                    .said
                    .as_ref()
                    .map(|said| (said.state, said.captured, said.refunded));
                Notice::unnumbered(format!("{word:?}"), about)
            }
        };
        notice = notice.account(AccountRef::new(self.account.connector().clone(), posted.account));
        if let Some(reference) = &posted.reference {
            notice = notice.reference(reference);
        }
        if posted.refund {
            notice = notice.about_refund();
        }
        let Some(said) = posted.said else {
            return Ok(vec![notice]);
        };
        let authority = match posted.refund {
            false => Authority::Payment(Box::new(standing(said).map_err(|_| Malformed)?)),
            true => Authority::Refund(Box::new(refund(said).map_err(|_| Malformed)?)),
        };
        Ok(vec![notice.authoritative(authority)])
    }

    fn reply(&self) -> http::Response<Bytes> {
        http::Response::new(Bytes::new())
    }
}
