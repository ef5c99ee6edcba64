//! The operations that an account may offer, one family to a file, each with what it asks and what is reported.

use std::fmt;

use super::outcome::Echo;
use crate::money::Money;

mod authorize;
mod capture;
mod read;
mod refund;

pub use authorize::{
    Approval, Authorize, AuthorizeReport, Cancel, CloseReport, Complete, Execute, Handle, Increment, Prepare,
    PrepareReport, Void,
};
pub use capture::{Capture, CaptureReport};
pub use read::{LookUp, LookUpReport, Read, ReadReport, Standing};
pub use refund::{LookUpRefund, ReadRefund, Refund, RefundReadReport, RefundReport};

/// Something that a processor can be asked. The set is paymux's own.
pub trait Operation: sealed::Sealed + fmt::Debug + Send + Sync + 'static {
    /// What the answer says.
    type Report: fmt::Debug + Send;

    /// The name of its step, in keys and logs.
    const STEP: &'static str;

    /// What of the operation can't be kept, if anything.
    fn volatile_part(&self) -> Option<&'static str> {
        None
    }

    /// What the answer's echo is compared with: the amount and our reference. `None` for reads of what may differ.
    fn sent(&self) -> Option<(Money, &str)>;

    /// What the report says that it repeats.
    fn echo(report: &Self::Report) -> Option<&Echo>;
}

mod sealed {
    pub trait Sealed {}

    macro_rules! sealed {
        ($($op:ident),*) => { $(impl Sealed for super::$op {})* };
    }
    sealed!(
        Authorize,
        Prepare,
        Execute,
        Complete,
        Cancel,
        Void,
        Increment,
        Capture,
        Refund,
        Read,
        LookUp,
        ReadRefund,
        LookUpRefund
    );
}
