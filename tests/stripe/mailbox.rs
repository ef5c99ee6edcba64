//! Takes webhooks on this machine, as a host's web server would.

use paymux::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Mailbox {
    listener: TcpListener,
    pub(crate) url: String,
}

/// A webhook that waits for its answer.
pub(crate) struct Posted {
    stream: TcpStream,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Mailbox {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks", listener.local_addr().unwrap());
        Self { listener, url }
    }

    pub(crate) async fn next(&self) -> Posted {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|at| at == b"\r\n\r\n") {
                break end;
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole head");
        };
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut headers = http::HeaderMap::new();
        for line in head.split("\r\n").skip(1) {
            let (name, value) = line.split_once(':').unwrap();
            let name = http::HeaderName::try_from(name).unwrap();
            headers.insert(name, value.trim().parse().unwrap());
        }
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        while bytes.len() < end + 4 + length {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "a whole body");
        }
        let body = Bytes::copy_from_slice(&bytes[end + 4..]);
        Posted {
            stream,
            headers,
            body,
        }
    }
}

impl Posted {
    pub(crate) async fn answer(mut self, status: u16) {
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
