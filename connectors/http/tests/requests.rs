//! What reaches the processor, and what of it can be printed.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod server;

use std::time::Duration;

use http::Method;
use paymux_core::Secret;
use paymux_core::connector::{Request, Transport};
use paymux_http::{BuildError, HttpTransport};
use server::{Server, quick, sender};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn every_method_brings_its_body() {
    for method in [
        Method::GET,
        Method::DELETE,
        Method::POST,
        Method::PUT,
        Method::PATCH,
    ] {
        let server = Server::answering(OK).await;
        let request =
            Request::new(method.clone(), server.url("/charges/1?a=b%20c")).body("text/plain", "4999 EUR");
        sender().send(request).await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        let line = format!(
            "{} /charges/1?a=b%20c http/1.1\r\n",
            method.as_str().to_lowercase()
        );
        assert!(seen[0].head.starts_with(&line), "{}", seen[0].head);
        assert_eq!(seen[0].body, b"4999 EUR");
        assert!(seen[0].head.contains("content-type: text/plain"));
    }
}

#[tokio::test]
async fn headers_arrive_as_they_were_set_and_say_who_asks() {
    let server = Server::answering(OK).await;
    let request = Request::post(server.url("/"))
        .header("idempotency-key", "k-authorize")
        .bearer(&Secret::from("sk_test"));
    sender().send(request).await.unwrap();
    let head = &server.seen()[0].head;
    assert!(head.contains("idempotency-key: k-authorize"), "{head}");
    assert!(head.contains("authorization: bearer sk_test"), "{head}");
    assert!(
        head.contains(concat!("user-agent: paymux/", env!("CARGO_PKG_VERSION"))),
        "{head}"
    );
    assert!(
        !head.contains("accept-encoding"),
        "a compressed answer couldn't be measured: {head}"
    );
    assert!(!head.contains("cookie"), "{head}");
}

/// Runs a test of this file again, in a process whose environment names a proxy that nobody listens at.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = format!("http://{nobody}");
    let again = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "every_method_brings_its_body"])
        .envs(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, &proxy)))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn nothing_secret_is_printable() {
    let (token, query, body) = ("sk_canary_token", "canary_query", "canary_body");
    let transport = quick().build().unwrap();
    let mute = Server::answering("").await;
    let closed = Server::cutting_off_after("").await;
    let garbage = Server::answering("canary_answer\r\n\r\n").await;
    let urls = [
        format!(
            "https://user:canary_password@{}.invalid/?q={query}",
            "a".repeat(64)
        ),
        format!("http://192.0.2.1/?q={query}"),
        format!("nonsense {query}"),
        mute.url(&format!("/?q={query}")),
        closed.url(&format!("/?q={query}")),
        garbage.url(&format!("/?q={query}")),
    ];
    for url in urls {
        let request = Request::post(url)
            .bearer(&Secret::from(token))
            .body("text/plain", body);
        let mut shown = format!("{request:?} {transport:?}");
        let error = transport.send(request).await.unwrap_err();
        shown.push_str(&format!("{error:?} {error} {transport:?}"));
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn a_set_up_that_could_not_tell_how_far_it_got_is_refused() {
    let build = |connect, total| {
        let (connect, total) = (Duration::from_secs(connect), Duration::from_secs(total));
        HttpTransport::builder()
            .connect_timeout(connect)
            .total_timeout(total)
            .build()
    };
    assert_eq!(build(5, 5).unwrap_err(), BuildError::Timeouts);
    assert_eq!(build(6, 5).unwrap_err(), BuildError::Timeouts);
    assert_eq!(build(0, 5).unwrap_err(), BuildError::Timeouts);
    assert!(build(4, 5).is_ok());
    assert_eq!(
        HttpTransport::builder().trust_only([]).build().unwrap_err(),
        BuildError::BadRoot
    );
    let not_a_certificate = HttpTransport::builder().trust_only([b"-----BEGIN".to_vec()]);
    assert_eq!(not_a_certificate.build().unwrap_err(), BuildError::BadRoot);
}
