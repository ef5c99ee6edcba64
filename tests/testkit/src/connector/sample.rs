//! Operations as the suite makes them, and what their reports say.

use paymux_core::connector::op::*;
use paymux_core::connector::{Echo, Effect, StepKey};
use paymux_core::{
    CaptureMethod, Decline, MethodKind, Mode, Money, OperationId, PaymentMethod, RefundReason, Rest, Volatile,
};
use uuid::Uuid;

/// What operations are made of.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) reference: String,
    pub(super) handle: Handle,
    pub(super) amount: Money,
    pub(super) method: PaymentMethod,
    pub(super) capture: CaptureMethod,
    pub(super) payload: Volatile,
}

impl Facts {
    pub(super) fn new(handle: Handle, amount: Money, method: PaymentMethod, capture: CaptureMethod) -> Self {
        let payload = Volatile::new(VOLATILE_TEXTS[0]);
        Self {
            reference: reference(Which::One),
            handle,
            amount,
            method,
            capture,
            payload,
        }
    }

    pub(super) fn amount(&self, amount: Money) -> Self {
        Self {
            amount,
            ..self.clone()
        }
    }

    pub(super) fn reference(&self, which: Which) -> Self {
        Self {
            reference: reference(which),
            ..self.clone()
        }
    }

    pub(super) fn handle(&self, handle: &Handle) -> Self {
        Self {
            handle: handle.clone(),
            ..self.clone()
        }
    }

    pub(super) fn method(&self, method: PaymentMethod) -> Self {
        Self {
            method,
            ..self.clone()
        }
    }

    /// With this text as whatever can't be kept.
    pub(super) fn volatile(&self, text: &str) -> Self {
        let text = Volatile::new(text);
        let method = match self.method.clone() {
            PaymentMethod::NetworkToken { token, .. } => PaymentMethod::network_token(token, text.clone()),
            PaymentMethod::Wallet { wallet, .. } => PaymentMethod::wallet(wallet, text.clone()),
            kept => kept,
        };
        Self {
            method,
            payload: text,
            ..self.clone()
        }
    }
}

/// What stands in for a cryptogram, a wallet's payload and what a payer brings back.
pub(super) const VOLATILE_TEXTS: [&str; 2] = ["AkQ4vGgABcanaryYHVpAoBFAAA=", "AkQ4vGgABbudgieYHVpAoBFAAA="];

/// One method of each kind, none of them anybody's.
pub(super) fn methods() -> Vec<PaymentMethod> {
    let secret = || Volatile::new(VOLATILE_TEXTS[0]);
    vec![
        PaymentMethod::card_token("tok_sample"),
        PaymentMethod::OpenBanking {
            institution: "sample-bank".into(),
        },
        PaymentMethod::BankRedirect {
            scheme: "ideal".into(),
        },
        PaymentMethod::DirectDebit {
            mandate: "mandate_sample".into(),
        },
        PaymentMethod::Voucher {
            scheme: "boleto".into(),
        },
        PaymentMethod::BankTransfer,
        PaymentMethod::Bnpl {
            provider: "klarna".into(),
        },
        PaymentMethod::Provider {
            kind: "sample".into(),
            data: serde_json::json!({}),
        },
        PaymentMethod::network_token("ntk_sample", secret()),
        PaymentMethod::wallet("apple_pay", secret()),
    ]
}

pub(super) fn is_volatile(kind: MethodKind) -> bool {
    matches!(kind, MethodKind::NetworkToken | MethodKind::Wallet)
}

/// Two operations that differ, for what must differ with them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    One,
    Another,
}

fn operation(which: Which) -> OperationId {
    OperationId::from_uuid(
        Mode::Test,
        Uuid::from_u128(match which {
            Which::One => 0x0197_3c1e_7a50_7c3a_9f61_2b4d_8e05_a1c7,
            Which::Another => 0x0197_3c1e_7a51_7d02_8b1c_6f39_e7d4_0c52,
        }),
    )
}

fn reference(which: Which) -> String {
    operation(which).reference()
}

/// The key of an operation's step, as the engine makes it.
pub(super) fn key<O: Operation>(which: Which) -> StepKey {
    StepKey::for_suite(operation(which), O::STEP)
}

/// What a report comes down to.
#[derive(Debug)]
pub(super) enum Reading<'a> {
    /// The processor took it on.
    Taken {
        handle: Option<&'a Handle>,
        echo: Option<&'a Echo>,
    },
    /// It said no.
    Declined(&'a Decline),
    /// There is nothing.
    Absent,
    /// There may be something on another page.
    Continued,
    /// Something else that isn't a success.
    Other,
}

/// What the wire must show of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Nothing,
    Amount,
    AmountAndCurrency,
}

/// What names the object that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    Reference,
    Handle,
    /// Either will do: what is asked by the handle alone is searched for the reference.
    Either,
}

/// An operation that the suite knows how to make and to judge.
pub(super) trait Sample: Operation<Report: PartialEq> {
    /// What its step must be; `None` where either is right.
    const EFFECT: Option<Effect>;
    const SHOWS: Shows;
    const NAMED_BY: NamedBy;

    fn of(facts: &Facts) -> Self;
    fn reading(report: &Self::Report) -> Reading<'_>;
}

fn authorize(facts: &Facts) -> Authorize {
    Authorize::new(
        facts.reference.clone(),
        facts.amount,
        facts.method.clone(),
        facts.capture,
    )
    .return_url("https://shop.example/return/pi_test_sample")
}

fn payment(report: &AuthorizeReport) -> Reading<'_> {
    match report {
        AuthorizeReport::Declined(decline) => Reading::Declined(decline),
        AuthorizeReport::Voided(..) | AuthorizeReport::Unexecuted(_) => Reading::Other,
        taken => Reading::Taken {
            handle: taken.handle(),
            echo: <Authorize as Operation>::echo(taken),
        },
    }
}

/// A read finds a payment in whatever state: voided and unexecuted ones are found all the same.
fn standing(standing: &Standing) -> Reading<'_> {
    match payment(&standing.report) {
        Reading::Other => Reading::Taken {
            handle: standing.report.handle(),
            echo: <Authorize as Operation>::echo(&standing.report),
        },
        reading => reading,
    }
}

fn closing(report: &CloseReport) -> Reading<'_> {
    match report {
        CloseReport::Closed(handle, echo) | CloseReport::Pending(handle, echo) => Reading::Taken {
            handle: Some(handle),
            echo: Some(echo),
        },
        CloseReport::Refused(decline) => Reading::Declined(decline),
        _ => Reading::Other,
    }
}

fn refund(report: &RefundReport) -> Reading<'_> {
    match report {
        RefundReport::Failed(decline) => Reading::Declined(decline),
        taken => Reading::Taken {
            handle: taken.handle(),
            echo: <Refund as Operation>::echo(taken),
        },
    }
}

fn refund_read(report: &RefundReadReport) -> Reading<'_> {
    match report {
        RefundReadReport::Found(report) => refund(report),
        RefundReadReport::NotFound => Reading::Absent,
        _ => Reading::Other,
    }
}

macro_rules! samples {
    ($($op:ident: $effect:expr, $shows:ident, $named:ident, $make:expr, $read:expr;)*) => { $(
        impl Sample for $op {
            const EFFECT: Option<Effect> = $effect;
            const SHOWS: Shows = Shows::$shows;
            const NAMED_BY: NamedBy = NamedBy::$named;

            fn of(facts: &Facts) -> Self {
                let make: fn(&Facts) -> Self = $make;
                make(facts)
            }

            fn reading(report: &Self::Report) -> Reading<'_> {
                let read: fn(&Self::Report) -> Reading<'_> = $read;
                read(report)
            }
        }
    )* };
}

const MOVES: Option<Effect> = Some(Effect::MovesMoney);
const PREPARES: Option<Effect> = Some(Effect::Preparatory);
const EITHER: Option<Effect> = None;

samples! {
    Authorize: MOVES, AmountAndCurrency, Reference, authorize, payment;
    Prepare: PREPARES, AmountAndCurrency, Reference, |f| Prepare::new(authorize(f)), |report| match report {
        PrepareReport::Prepared(handle, echo) => Reading::Taken { handle: Some(handle), echo: Some(echo) },
        PrepareReport::Declined(decline) => Reading::Declined(decline),
        _ => Reading::Other,
    };
    Execute: MOVES, Nothing, Handle, |f| Execute::new(authorize(f), f.handle.clone()), payment;
    Complete: MOVES, Nothing, Handle,
        |f| Complete::new(f.reference.clone(), f.handle.clone(), f.amount, f.payload.clone()), payment;
    Capture: MOVES, Amount, Handle,
        |f| Capture::new(f.reference.clone(), f.handle.clone(), f.amount, Rest::Release), |report| match report {
        CaptureReport::Captured(handle, echo)
        | CaptureReport::Settled(handle, echo)
        | CaptureReport::Pending(handle, echo) => Reading::Taken { handle: Some(handle), echo: Some(echo) },
        CaptureReport::Declined(decline) => Reading::Declined(decline),
        _ => Reading::Other,
    };
    Increment: MOVES, Amount, Handle,
        |f| Increment::new(f.reference.clone(), f.handle.clone(), f.amount, f.amount), payment;
    Void: EITHER, Nothing, Handle, |f| Void::new(f.reference.clone(), f.handle.clone(), f.amount), closing;
    Cancel: EITHER, Nothing, Handle, |f| Cancel::new(f.reference.clone(), f.handle.clone(), f.amount), closing;
    Refund: MOVES, Amount, Handle,
        |f| Refund::new(f.reference.clone(), f.handle.clone(), f.amount, RefundReason::RequestedByCustomer), refund;
    Read: EITHER, Nothing, Handle, |f| Read::new(f.handle.clone(), f.amount, f.reference.clone()), |report| match report {
        ReadReport::Found(found) => standing(found),
        ReadReport::NotFound => Reading::Absent,
        _ => Reading::Other,
    };
    LookUp: EITHER, Nothing, Reference, |f| LookUp::new(f.reference.clone(), f.amount), |report| match report {
        LookUpReport::Found(found) => standing(found),
        LookUpReport::Continue(_) => Reading::Continued,
        LookUpReport::NotFound => Reading::Absent,
        _ => Reading::Other,
    };
    ReadRefund: EITHER, Nothing, Handle,
        |f| ReadRefund::new(f.handle.clone(), f.amount, f.reference.clone()), refund_read;
    // Some processors find a refund by our reference alone; some list a payment's refunds alone.
    LookUpRefund: EITHER, Nothing, Either,
        |f| LookUpRefund::new(f.reference.clone(), f.handle.clone(), f.amount), refund_read;
}
