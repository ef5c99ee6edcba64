//! How targets read their inputs.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The first line, and what comes after it.
pub(crate) fn head(data: &[u8]) -> (&str, &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let rest = data.get(end + 1..).unwrap_or_default();
    (std::str::from_utf8(&data[..end]).unwrap_or_default(), rest)
}

/// What a future gives that waits for nothing but stores and processors in this process.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing here may wait"),
    }
}

/// Bytes, one decision after the other; zeros once they are used up.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    /// An amount: mostly a plausible one, sometimes one at the ends of what 64 bits hold.
    pub(crate) fn minor(&mut self) -> i64 {
        match self.byte() {
            most @ 0..=199 => i64::from(most) * 10,
            200..=219 => i64::from(self.byte()) - 128,
            220..=229 => 1_000_000_000_000 - i64::from(self.byte()),
            230..=235 => i64::MAX - i64::from(self.byte()),
            236..=240 => i64::MIN + i64::from(self.byte()),
            _ => 1_000,
        }
    }
}
