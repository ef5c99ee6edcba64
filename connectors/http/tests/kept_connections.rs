//! A kept connection that closes: hyper may take another one only for a request of which nothing was written. The
//! server counts, by the body, how often it saw each request.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use paymux_core::connector::TransportError::{NotSent, Unknown};
use paymux_core::connector::{Request, Transport};
use server::{Seen, Server, reset, sender, until_closed};
use tokio::io::AsyncWriteExt;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn request(server: &Server, number: usize) -> Request {
    Request::post(server.url("/charges")).body("text/plain", number.to_string())
}

fn count(seen: &[Seen], number: usize) -> usize {
    seen.iter()
        .filter(|seen| seen.body == number.to_string().as_bytes())
        .count()
}

#[tokio::test]
async fn connections_are_kept() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    let server = Server::start(move |server, mut stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            while server.read(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let transport = sender();
    for number in 0..5 {
        transport.send(request(&server, number)).await.unwrap();
    }
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "otherwise the tests below prove nothing"
    );
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_request_that_was_written_to_a_kept_connection_is_never_written_again() {
    for orderly in [true, false] {
        let server = Server::start(move |server, mut stream| async move {
            server.read(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            // The second one on the same connection is read, and gets no answer.
            server.read(&mut stream).await;
            if !orderly {
                reset(stream);
            }
        })
        .await;
        let transport = sender();
        transport.send(request(&server, 1)).await.unwrap();
        match transport.send(request(&server, 2)).await.unwrap_err() {
            Unknown(_) => {}
            NotSent(why) => panic!("{why}"),
        }
        assert_eq!(server.seen().len(), 2, "seen: {:?}", server.seen());
        assert_eq!(count(&server.seen(), 2), 1);
    }
}

#[tokio::test]
async fn a_request_whose_first_byte_arrived_on_a_kept_connection_is_never_written_again() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counter = arrived.clone();
    let server = Server::start(move |server, mut stream| {
        let counter = counter.clone();
        async move {
            server.read(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            // Bytes of the second one have come; they stay unread, so only their arrival is counted.
            if stream.peek(&mut [0]).await.unwrap_or(0) > 0 {
                counter.fetch_add(1, Ordering::SeqCst);
            }
            reset(stream);
        }
    })
    .await;
    let transport = sender();
    transport.send(request(&server, 1)).await.unwrap();
    assert_eq!(
        transport.send(request(&server, 2)).await.unwrap_err(),
        Unknown("the connection was reset")
    );
    assert_eq!(arrived.load(Ordering::SeqCst), 1);
    assert_eq!(count(&server.seen(), 2), 0);
}

/// The server closes each connection right behind an answer that promised to keep it, so that the next request meets
/// the close before, at, or after its first byte. Whatever the race gives, nothing is seen twice, and what is said
/// agrees with what was seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_closes_between_requests_shows_no_request_twice() {
    for orderly in [true, false] {
        let server = Server::start(move |server, mut stream| async move {
            server.read(&mut stream).await;
            let _ = stream.write_all(OK).await;
            if orderly {
                let _ = stream.shutdown().await;
                // What still arrives was written to a connection that is closing, and counts.
                server.read(&mut stream).await;
                until_closed(&mut stream).await;
            } else {
                reset(stream);
            }
        })
        .await;
        let transport = sender();
        let mut said = BTreeMap::new();
        for number in 0..300 {
            said.insert(number, transport.send(request(&server, number)).await);
        }
        let seen = server.seen();
        for (number, said) in &said {
            let times = count(&seen, *number);
            match said {
                Ok(_) => assert_eq!(times, 1, "request {number} was answered"),
                Err(Unknown(_)) => assert!(times <= 1, "request {number} was seen {times} times"),
                Err(NotSent(_)) => assert_eq!(times, 0, "request {number} was said not to be sent"),
            }
        }
        assert!(
            said.values().any(Result::is_ok),
            "some must get through, else nothing was tried"
        );
    }
}
