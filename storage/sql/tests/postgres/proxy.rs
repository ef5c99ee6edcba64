//! A proxy before PostgreSQL that counts what is sent, and cuts or holds a statement.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What to do with the next statement that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks before PostgreSQL gets it.
    LoseRequest,
    /// PostgreSQL runs it, and the connection breaks before the answer.
    LoseAnswer,
    /// PostgreSQL gets it when [`Proxy::release`] is called.
    Hold,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    sent: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

impl Proxy {
    /// Listens until the test's runtime ends.
    pub(crate) async fn before(host: String, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            state: Arc::default(),
            released: Arc::default(),
        };
        let this = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((host.as_str(), port)).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(this.clone().connection(client, server));
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn next(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    /// The types of the messages that were sent since this was last asked.
    pub(crate) fn sent(&self) -> String {
        let sent = std::mem::take(&mut self.state.lock().unwrap().sent);
        String::from_utf8(sent).unwrap()
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    async fn connection(self, client: TcpStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let lose = Arc::new(Notify::new());
        let answers = tokio::spawn({
            let lose = lose.clone();
            async move {
                let mut buffer = [0; 8192];
                loop {
                    let read = tokio::select! {
                        biased;
                        () = lose.notified() => {
                            // The answer came, and nobody hears it.
                            let _ = from_server.read(&mut buffer).await;
                            return;
                        }
                        read = from_server.read(&mut buffer) => read.unwrap_or(0),
                    };
                    if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            }
        });
        self.requests(&mut from_client, &mut to_server, &lose).await;
        drop(from_client);
        // After a lost answer, until it came.
        let _ = answers.await;
    }

    async fn requests(&self, client: &mut OwnedReadHalf, server: &mut OwnedWriteHalf, lose: &Notify) {
        // The first message has no type.
        let Some(first) = message(client, None).await else {
            return;
        };
        server.write_all(&first).await.unwrap();
        let mut kind = [0];
        while client.read_exact(&mut kind).await.is_ok() {
            let Some(message) = message(client, Some(kind[0])).await else {
                return;
            };
            let fault = {
                let mut state = self.state.lock().unwrap();
                state.sent.push(kind[0]);
                match kind {
                    [b'B' | b'Q'] => state.fault.take(),
                    _ => None,
                }
            };
            match fault {
                None => {}
                Some(Fault::LoseRequest) => return,
                Some(Fault::LoseAnswer) => lose.notify_one(),
                Some(Fault::Hold) => self.released.notified().await,
            }
            if server.write_all(&message).await.is_err() {
                return;
            }
        }
    }
}

async fn message(client: &mut OwnedReadHalf, kind: Option<u8>) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length).await.ok()?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut body).await.ok()?;
    Some(kind.into_iter().chain(length).chain(body).collect())
}
