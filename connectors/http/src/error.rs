//! How far a request got when there is no whole answer.
//!
//! `NotSent` needs proof; whatever isn't proved is `Unknown`. The words are fixed: an error of reqwest's shows the
//! URL, which may hold what must not be printed, so that none of it is passed on.

use std::error::Error;
use std::io;

use paymux_core::connector::TransportError;
use paymux_core::connector::TransportError::{NotSent, Unknown};

pub(crate) const BAD_URL: TransportError = NotSent("the URL isn't one of HTTP");
pub(crate) const PLAIN_HTTP: TransportError = NotSent("plain HTTP to another machine isn't allowed");
pub(crate) const OVERSIZE: TransportError = Unknown("the answer is larger than 1 MiB");

/// No answer's head came.
pub(crate) fn before_the_answer(error: &reqwest::Error) -> TransportError {
    // Building comes before connecting, and connecting before the first byte of HTTP. Both are told apart by type,
    // never by words: hyper's "connect" covers the name, TCP and TLS, and ends where the connection exists.
    if error.is_builder() {
        return NotSent("the request can't be written as HTTP");
    }
    if error.is_connect() {
        return NotSent(if error.is_dns() {
            "the name doesn't resolve"
        } else if error.is_timeout() {
            "the connection timed out"
        } else if find::<rustls::Error>(error).is_some() {
            "TLS failed"
        } else if is_io(error, &[io::ErrorKind::ConnectionRefused]) {
            "the connection was refused"
        } else {
            "no connection came about"
        });
    }
    Unknown(if error.is_timeout() {
        "no answer in time"
    } else if is_io(error, &RESETS) {
        "the connection was reset"
    } else {
        match find::<hyper::Error>(error) {
            Some(http) if http.is_incomplete_message() => "the connection closed without an answer",
            Some(http) if http.is_parse() => "the answer isn't HTTP",
            Some(_) | None => "the exchange broke off",
        }
    })
}

/// The answer's head came, and its body not whole.
pub(crate) fn in_the_body(error: &reqwest::Error) -> TransportError {
    Unknown(if error.is_timeout() {
        "the answer didn't end in time"
    } else if is_io(error, &RESETS) {
        "the connection was reset within the answer"
    } else {
        "the answer broke off"
    })
}

const RESETS: [io::ErrorKind; 3] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
];

fn is_io(error: &reqwest::Error, kinds: &[io::ErrorKind]) -> bool {
    find::<io::Error>(error).is_some_and(|error| kinds.contains(&error.kind()))
}

/// The first cause of a type. An [`io::Error`] leaves the error that it wraps out of `source`, so that is opened.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}
