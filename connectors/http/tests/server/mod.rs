//! A TCP server that does exactly what a test tells it to, and counts what it saw.
#![allow(clippy::unwrap_used, dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paymux_http::{HttpTransport, HttpTransportBuilder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Serves each connection with `serve`, which reads requests through the [`Server`] that it is given.
    pub(crate) async fn start<F, S>(serve: S) -> Self
    where
        F: Future<Output = ()> + Send,
        S: Fn(Server, TcpStream) -> F + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let (serve, shared) = (Arc::new(serve), server.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serve, server) = (serve.clone(), shared.clone());
                tokio::spawn(async move { serve(server, stream).await });
            }
        });
        server
    }

    /// Reads one request, then writes `answer` and keeps the connection as long as the client does.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |server, mut stream| {
            let answer = answer.clone();
            async move {
                server.read(&mut stream).await;
                let _ = stream.write_all(&answer).await;
                until_closed(&mut stream).await;
            }
        })
        .await
    }

    /// Reads one request, writes `part` of an answer and closes.
    pub(crate) async fn cutting_off_after(part: impl Into<Vec<u8>>) -> Self {
        let part = part.into();
        Self::start(move |server, mut stream| {
            let part = part.clone();
            async move {
                server.read(&mut stream).await;
                let _ = stream.write_all(&part).await;
            }
        })
        .await
    }

    /// Reads and counts one request. `None`: the client closed before it was whole.
    pub(crate) async fn read(&self, stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if bytes.len() >= end + 4 + length {
                    let body = bytes[end + 4..end + 4 + length].to_vec();
                    let seen = Seen { head, body };
                    self.seen.lock().unwrap().push(seen.clone());
                    return Some(seen);
                }
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Returns when the client closes.
pub(crate) async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 64];
    while stream.read(&mut rest).await.unwrap_or(0) > 0 {}
}

/// Closes with a reset instead of an orderly end.
pub(crate) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// For tests in which the time runs out.
pub(crate) fn quick() -> HttpTransportBuilder {
    HttpTransport::builder()
        .connect_timeout(Duration::from_millis(900))
        .total_timeout(Duration::from_millis(1_000))
}

/// For tests in which it doesn't, however busy the machine is.
pub(crate) fn patient() -> HttpTransportBuilder {
    HttpTransport::builder()
        .connect_timeout(Duration::from_secs(20))
        .total_timeout(Duration::from_secs(30))
}

pub(crate) fn sender() -> HttpTransport {
    patient().build().unwrap()
}
