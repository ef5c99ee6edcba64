//! paymux's HTTP transport, on reqwest.
//!
//! [`HttpTransport`] sends a request once and says, where there is no whole answer, how far it got:
//!
//! | what happened | what it says |
//! |---|---|
//! | the request can't be written: its URL, or plain HTTP to somewhere else | `NotSent` |
//! | the name didn't resolve, no TCP connection, the TLS handshake failed, the connect time-out | `NotSent` |
//! | the total time-out, a reset, a close, something that isn't HTTP | `Unknown` |
//! | a body that is cut, stalls or is larger than 1 MiB | `Unknown` |
//! | a whole answer of any status, redirects and server errors included | the answer |
//!
//! What it leaves out, it leaves out so that each send is the engine's own: there is no retry, no redirect is
//! followed, no cookie is kept, no body is decompressed, and the environment's proxy variables (`HTTPS_PROXY` and the
//! like) are ignored, since an answer must come from the processor and from nobody in between. HTTP/1.1 alone is
//! spoken. hyper takes another connection for a request where a kept one closed before any byte of the request was
//! written to it; that is no second send, and `tests/kept_connections.rs` counts it at the server.
//!
//! # TLS
//!
//! rustls with ring, TLS 1.2 and 1.3, without early data, which can be replayed. Certificates are judged by the
//! operating system's roots: reqwest brings the verifier along anyway, so that it costs no crate more, and a root
//! that the system withdraws is withdrawn here without a release of ours. A container needs its `ca-certificates`
//! package for that; without any root, [`HttpTransportBuilder::build`] fails rather than the first payment. A
//! processor with an authority of its own gets [`HttpTransportBuilder::trust_only`].
//!
//! ```
//! use std::time::Duration;
//! use paymux_http::HttpTransport;
//!
//! let transport = HttpTransport::builder()
//!     .connect_timeout(Duration::from_secs(3))
//!     .total_timeout(Duration::from_secs(20))
//!     .build()?;
//! # Ok::<(), paymux_http::BuildError>(())
//! ```

mod config;
mod error;
mod transport;

pub use config::{BuildError, HttpTransportBuilder, PlainHttp};
pub use transport::{HttpTransport, MAX_ANSWER_BYTES};
