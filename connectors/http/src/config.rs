//! How a transport is set up.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::transport::HttpTransport;

/// Nothing but what a processor takes long for: its own connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Shorter than what servers keep a connection for, Node's 5 s being the shortest default in wide use: a request
/// that meets a closing connection is a doubt about money, a new connection costs a tenth of a second.
const KEPT_FOR: Duration = Duration::from_secs(4);

/// Sets an [`HttpTransport`] up.
#[must_use = "call build"]
#[derive(Clone, Debug)]
pub struct HttpTransportBuilder {
    pub(crate) connect_timeout: Duration,
    pub(crate) total_timeout: Duration,
    pub(crate) plain_http: PlainHttp,
    roots: Roots,
}

/// Where plain HTTP may go, which shows the account's key to whoever listens on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainHttp {
    /// To this machine alone: `localhost`, 127.0.0.0/8 and `::1`.
    Loopback,
    /// Anywhere: for a stand-in on a network of one's own, never for a processor.
    Anywhere,
}

#[derive(Clone)]
enum Roots {
    System,
    Only(Vec<CertificateDer<'static>>),
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Only(certificates) => write!(f, "Only({})", certificates.len()),
        }
    }
}

/// A transport can't be set up so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The connect time-out isn't shorter than the total one: a connection that never comes about would then read as
    /// a request that may have been sent.
    #[error("the connect time-out must be shorter than the total time-out, and neither may be zero")]
    Timeouts,
    /// The operating system has no root certificates: install its `ca-certificates` package.
    #[error("the operating system has no root certificates to trust")]
    NoRoots,
    /// What is to be trusted isn't a certificate in DER, or there is none.
    #[error("what is to be trusted isn't a certificate in DER")]
    BadRoot,
    /// TLS or the client couldn't be set up.
    #[error("the HTTP client couldn't be set up")]
    Client,
}

impl HttpTransportBuilder {
    pub(crate) fn new() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            plain_http: PlainHttp::Loopback,
            roots: Roots::System,
        }
    }

    /// How long name, TCP and TLS may take together; 5 s without this. What takes longer was `NotSent`.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long everything may take, from the connection to the answer's last byte; 30 s without this. What takes
    /// longer is `Unknown`. The engine has a deadline of its own, which this should stay below.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = timeout;
        self
    }

    /// Where plain HTTP may go; to this machine alone without this.
    pub fn plain_http(mut self, plain_http: PlainHttp) -> Self {
        self.plain_http = plain_http;
        self
    }

    /// Trusts these authorities, each a certificate in DER, and not the operating system's: for a processor or a
    /// stand-in with an authority of its own.
    pub fn trust_only(mut self, authorities: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.roots = Roots::Only(authorities.into_iter().map(CertificateDer::from).collect());
        self
    }

    /// The transport. It is made once and shared: it keeps connections.
    ///
    /// # Errors
    /// [`BuildError`] where it couldn't send anything, or couldn't tell how far it got.
    pub fn build(self) -> Result<HttpTransport, BuildError> {
        if self.connect_timeout.is_zero() || self.connect_timeout >= self.total_timeout {
            return Err(BuildError::Timeouts);
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(&self.roots)?)
            .http1_only()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(self.connect_timeout)
            .timeout(self.total_timeout)
            .pool_idle_timeout(KEPT_FOR)
            .user_agent(concat!("paymux/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| BuildError::Client)?;
        Ok(HttpTransport::new(client, self))
    }
}

fn tls(roots: &Roots) -> Result<ClientConfig, BuildError> {
    // Named here and not taken from the process, where another crate may have installed another one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::Client)?;
    let verified = match roots {
        Roots::System => {
            let verifier = Verifier::new(provider).map_err(|_| BuildError::NoRoots)?;
            // "Dangerous" is every verifier that isn't rustls' own. The operating system's is what is wanted.
            versions
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        Roots::Only(certificates) if certificates.is_empty() => return Err(BuildError::BadRoot),
        Roots::Only(certificates) => {
            let mut store = RootCertStore::empty();
            for certificate in certificates {
                store.add(certificate.clone()).map_err(|_| BuildError::BadRoot)?;
            }
            versions.with_root_certificates(store)
        }
    };
    Ok(verified.with_no_client_auth())
}
