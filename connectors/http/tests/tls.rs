//! TLS that fails was not sent; what breaks off behind it is a doubt.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod server;

use std::sync::Arc;

use paymux_core::connector::TransportError::{NotSent, Unknown};
use paymux_core::connector::{Request, Transport};
use paymux_http::HttpTransport;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use server::{Server, patient, quick, sender, until_closed};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

/// What the server does once TLS stands and the request is read.
#[derive(Clone, Copy)]
enum Then {
    Answer,
    Close,
}

/// A TLS server for this name, with a certificate that it signed itself; and the certificate.
async fn tls_server(name: &str, then: Then) -> (Server, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = made.cert.der().to_vec();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone().into()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |server, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if server.read(&mut stream).await.is_some() && matches!(then, Then::Answer) {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await;
                until_closed(&mut stream).await;
            }
        }
    })
    .await;
    (server, certificate)
}

fn request(server: &Server) -> Request {
    Request::post(format!("https://127.0.0.1:{}/charges", server.address.port())).body("text/plain", "4999")
}

fn trusting(certificate: Vec<u8>) -> HttpTransport {
    patient().trust_only([certificate]).build().unwrap()
}

#[tokio::test]
async fn a_trusted_server_answers() {
    let (server, certificate) = tls_server("127.0.0.1", Then::Answer).await;
    assert!(trusting(certificate).send(request(&server)).await.is_ok());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_was_not_sent() {
    let (server, _) = tls_server("127.0.0.1", Then::Answer).await;
    assert_eq!(
        sender().send(request(&server)).await.unwrap_err(),
        NotSent("TLS failed")
    );
    let (_, another) = tls_server("127.0.0.1", Then::Answer).await;
    assert_eq!(
        trusting(another).send(request(&server)).await.unwrap_err(),
        NotSent("TLS failed")
    );
    assert_eq!(server.seen(), []);
}

#[tokio::test]
async fn a_certificate_for_another_name_was_not_sent() {
    let (server, certificate) = tls_server("processor.example", Then::Answer).await;
    assert_eq!(
        trusting(certificate).send(request(&server)).await.unwrap_err(),
        NotSent("TLS failed")
    );
    assert_eq!(server.seen(), []);
}

#[tokio::test]
async fn tls_to_a_server_without_it_was_not_sent() {
    let server = Server::start(|_, mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await;
        until_closed(&mut stream).await;
    })
    .await;
    assert_eq!(
        sender().send(request(&server)).await.unwrap_err(),
        NotSent("TLS failed")
    );
}

#[tokio::test]
async fn a_handshake_that_stalls_or_breaks_off_was_not_sent() {
    let stalls = Server::start(|_, mut stream| async move { until_closed(&mut stream).await }).await;
    let answer = quick().build().unwrap().send(request(&stalls)).await;
    assert_eq!(answer.unwrap_err(), NotSent("the connection timed out"));
    let closes = Server::start(|_, _| async {}).await;
    match sender().send(request(&closes)).await.unwrap_err() {
        NotSent(_) => {}
        Unknown(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn a_close_behind_the_handshake_is_a_doubt() {
    let (server, certificate) = tls_server("127.0.0.1", Then::Close).await;
    match trusting(certificate).send(request(&server)).await.unwrap_err() {
        Unknown(_) => {}
        NotSent(why) => panic!("{why}"),
    }
    assert_eq!(server.seen().len(), 1);
}
