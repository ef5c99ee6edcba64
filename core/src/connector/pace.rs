//! How fast an account may be called.

use std::time::Duration;

/// How fast one instance calls an account. Calls beyond it wait for their turn, one tenant after the other; one whose
/// turn doesn't come within [`Policy::turn_within`](crate::Policy::turn_within) isn't sent, which is proof enough to
/// go on to the next account.
///
/// ```
/// use paymux_core::connector::Pace;
/// use std::time::Duration;
///
/// let pace = Pace::unbounded().at_once(20).rate(100, Duration::from_secs(1));
/// # drop(pace);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Pace {
    pub(crate) at_once: Option<u32>,
    pub(crate) rate: Option<(u32, Duration)>,
}

impl Pace {
    /// As fast as calls come.
    pub const fn unbounded() -> Self {
        Self {
            at_once: None,
            rate: None,
        }
    }

    /// At most so many calls under way at the same time: at least 1.
    pub const fn at_once(mut self, calls: u32) -> Self {
        self.at_once = Some(if calls == 0 { 1 } else { calls });
        self
    }

    /// At most `calls` (at least 1) begin within any span of `per`.
    pub const fn rate(mut self, calls: u32, per: Duration) -> Self {
        self.rate = Some((if calls == 0 { 1 } else { calls }, per));
        self
    }

    pub(crate) fn is_unbounded(&self) -> bool {
        self.at_once.is_none() && self.rate.is_none()
    }
}
