//! What is said of each way in which an answer can fail to come.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod server;

use std::time::Duration;

use paymux_core::connector::TransportError::{NotSent, Unknown};
use paymux_core::connector::{Request, Response, Transport, TransportError};
use paymux_http::{HttpTransport, MAX_ANSWER_BYTES, PlainHttp};
use server::{Server, quick, reset, sender, until_closed};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

async fn charge(transport: &HttpTransport, server: &Server) -> Result<Response, TransportError> {
    let request = Request::post(server.url("/charges")).json(serde_json::json!({ "minor": 4999 }));
    let answer = transport.send(request).await;
    assert!(server.seen().len() <= 1, "sent once");
    answer
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = sender().send(Request::get(format!("http://{address}/"))).await;
    assert_eq!(answer.unwrap_err(), NotSent("the connection was refused"));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_was_not_sent() {
    // A label of more than 63 characters fails in the resolver itself (RFC 1035, 2.3.4): no network is asked.
    let url = format!("http://{}.invalid/", "a".repeat(64));
    let transport = quick().plain_http(PlainHttp::Anywhere).build().unwrap();
    let answer = transport.send(Request::get(url)).await;
    assert_eq!(answer.unwrap_err(), NotSent("the name doesn't resolve"));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_in_time_was_not_sent() {
    // Nobody accepts, and once the backlog is full the kernel leaves further clients without an answer.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        held.push(stream.unwrap());
        assert!(held.len() < 64, "the backlog never fills");
    }
    let answer = quick()
        .build()
        .unwrap()
        .send(Request::get(format!("http://{address}/")))
        .await;
    assert_eq!(answer.unwrap_err(), NotSent("the connection timed out"));
}

#[tokio::test]
async fn a_reset_before_the_request_is_read_is_a_doubt() {
    let server = Server::start(|_, stream| async move {
        // Something has arrived, so that the client has written; none of it is read.
        stream.readable().await.unwrap();
        reset(stream);
    })
    .await;
    let answer = charge(&sender(), &server).await;
    assert_eq!(answer.unwrap_err(), Unknown("the connection was reset"));
}

#[tokio::test]
async fn a_reset_after_the_request_is_read_is_a_doubt() {
    let server = Server::start(|server, mut stream| async move {
        server.read(&mut stream).await;
        reset(stream);
    })
    .await;
    let answer = charge(&sender(), &server).await;
    assert_eq!(answer.unwrap_err(), Unknown("the connection was reset"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_close_without_an_answer_is_a_doubt() {
    let server = Server::cutting_off_after("").await;
    let answer = charge(&sender(), &server).await;
    assert_eq!(
        answer.unwrap_err(),
        Unknown("the connection closed without an answer")
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_a_doubt() {
    let transport = sender();
    let by_length = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"paid\":true}";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\n{\"paid\":true}\r\n0\r\n\r\n";
    for whole in [by_length, chunked] {
        let answer = charge(&transport, &Server::cutting_off_after(whole).await).await;
        assert_eq!(
            &answer.unwrap().bytes()[..],
            b"{\"paid\":true}",
            "the whole is an answer"
        );
        for end in 1..whole.len() {
            let server = Server::cutting_off_after(&whole[..end]).await;
            match charge(&transport, &server).await.unwrap_err() {
                Unknown(_) => {}
                NotSent(why) => panic!("cut at byte {end}: not sent, {why}"),
            }
            assert_eq!(server.seen().len(), 1, "cut at byte {end}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_reset_is_a_doubt() {
    let server = Server::start(|server, mut stream| async move {
        server.read(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{")
            .await
            .unwrap();
        reset(stream);
    })
    .await;
    match charge(&sender(), &server).await.unwrap_err() {
        Unknown(_) => {}
        NotSent(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_a_doubt() {
    let server = Server::answering("").await;
    let answer = charge(&quick().build().unwrap(), &server).await;
    assert_eq!(answer.unwrap_err(), Unknown("no answer in time"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_a_doubt() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{").await;
    let answer = charge(&quick().build().unwrap(), &server).await;
    assert_eq!(answer.unwrap_err(), Unknown("the answer didn't end in time"));
}

#[tokio::test]
async fn an_answer_that_trickles_ends_with_the_total_time() {
    // Each byte comes in time; the whole doesn't.
    let server = Server::start(|server, mut stream| async move {
        server.read(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            .await;
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        while stream.write_all(b" ").await.is_ok() {
            beat.tick().await;
        }
    })
    .await;
    let answer = charge(&quick().build().unwrap(), &server).await;
    assert_eq!(answer.unwrap_err(), Unknown("the answer didn't end in time"));
}

#[tokio::test]
async fn garbage_is_a_doubt() {
    for garbage in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
    ] {
        let server = Server::answering(garbage).await;
        let answer = charge(&sender(), &server).await;
        assert_eq!(answer.unwrap_err(), Unknown("the answer isn't HTTP"));
    }
}

#[tokio::test]
async fn every_status_is_an_answer_and_no_redirect_is_followed() {
    let elsewhere = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in [
        200, 201, 301, 302, 303, 307, 308, 400, 401, 402, 408, 409, 425, 429, 500, 502, 503, 504,
    ] {
        let location = elsewhere.url("/charges");
        let head = format!("HTTP/1.1 {status} X\r\nlocation: {location}\r\nset-cookie: a=b\r\n");
        let server = Server::answering(format!("{head}content-length: 2\r\n\r\n{{}}")).await;
        let transport = sender();
        let answer = charge(&transport, &server).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(&answer.bytes()[..], b"{}");
        assert_eq!(answer.headers()["location"], location);
    }
    assert_eq!(elsewhere.seen(), []);
}

#[tokio::test]
async fn an_answer_of_a_mebibyte_is_read_and_a_larger_one_is_a_doubt() {
    let by_length = |bytes: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + bytes, b' ');
        answer
    };
    let chunked = |bytes: usize| {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        answer.extend(format!("{bytes:x}\r\n").into_bytes());
        answer.resize(answer.len() + bytes, b' ');
        answer.extend(b"\r\n0\r\n\r\n");
        answer
    };
    let transport = sender();
    for most in [by_length(MAX_ANSWER_BYTES), chunked(MAX_ANSWER_BYTES)] {
        let answer = charge(&transport, &Server::answering(most).await).await.unwrap();
        assert_eq!(answer.bytes().len(), MAX_ANSWER_BYTES);
    }
    // The body of the last one never comes: its announced length is enough.
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", u64::MAX / 2).into_bytes();
    for more in [
        by_length(MAX_ANSWER_BYTES + 1),
        chunked(MAX_ANSWER_BYTES + 1),
        announced,
    ] {
        let answer = charge(&transport, &Server::answering(more).await).await;
        assert_eq!(answer.unwrap_err(), Unknown("the answer is larger than 1 MiB"));
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_a_doubt() {
    let server = Server::start(|server, mut stream| async move {
        server.read(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let chunk = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let answer = charge(&sender(), &server).await;
    assert_eq!(answer.unwrap_err(), Unknown("the answer is larger than 1 MiB"));
}

#[tokio::test]
async fn what_cannot_be_written_was_not_sent() {
    let transport = sender();
    for url in [
        "",
        "charges",
        "//",
        "ftp://127.0.0.1/",
        "https://",
        "http://[::1",
        "file:///etc/passwd",
        "https://a b/",
    ] {
        assert_eq!(
            transport.send(Request::get(url)).await.unwrap_err(),
            NotSent("the URL isn't one of HTTP"),
            "{url}"
        );
    }
}

#[tokio::test]
async fn plain_http_stays_on_this_machine_unless_it_is_told_otherwise() {
    let outside = [
        "http://192.0.2.1/",
        "http://localhost.example/",
        "http://127.0.0.1.example/",
        "http://[2001:db8::1]/",
    ];
    for url in outside {
        assert_eq!(
            sender().send(Request::get(url)).await.unwrap_err(),
            NotSent("plain HTTP to another machine isn't allowed"),
            "{url}"
        );
    }
    let server = Server::start(|server, mut stream| async move {
        server.read(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
        until_closed(&mut stream).await;
    })
    .await;
    let localhost = format!("http://localhost:{}/", server.address.port());
    assert!(sender().send(Request::get(localhost)).await.is_ok());
}
