//! Why there is no response, and whether the request may have arrived.

use std::time::Duration;

use om_http::{Client, FailureKind, HttpError, Limits, Oversize, Request, Url};

use crate::client::{client, limits, url, wait};
use crate::server::{Reply, Server, refusing};

fn failed(client: &Client, target: &str) -> HttpError {
    let request = Request::post(url(target), "{}");
    wait(client.send(&request)).expect_err("there is no response")
}

/// The outcome of one request that is answered with `reply`.
fn after(reply: Reply) -> (FailureKind, bool) {
    let server = Server::start([reply]);
    let error = failed(&client(), &server.base_url());
    assert!(error.to_string().contains(&server.origin()), "{error}");
    (error.kind(), error.may_have_been_sent())
}

fn impatient() -> Client {
    let limits = Limits {
        total_timeout: Some(Duration::from_millis(150)),
        ..limits()
    };
    Client::new(limits).expect("set up")
}

#[test]
fn a_refused_connection_was_not_sent() {
    let origin = refusing();
    let error = failed(&client(), &format!("http://{origin}/x"));
    assert_eq!(error.kind(), FailureKind::Connect);
    assert!(!error.may_have_been_sent());
    assert!(error.kind().is_transient());
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {origin}: Connection refused (os error 111)")
    );
}

#[test]
fn a_name_without_an_address_was_not_sent() {
    // Too long for a label: no name server is asked.
    let name = format!("{}.test", "n".repeat(64));
    let error = failed(&client(), &format!("http://{name}/x"));
    assert_eq!(
        (error.kind(), error.may_have_been_sent()),
        (FailureKind::Dns, false)
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot resolve {name}: "))
    );
}

#[test]
fn a_response_that_ends_early_is_no_response() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n1234";
    for reply in [
        Reply::Raw(Vec::new()),
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        Reply::Raw(Reply::cut_short()),
        Reply::Raw(chunked.to_vec()),
        Reply::Reset(Vec::new()),
        Reply::Reset(Reply::cut_short()),
        Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
    ] {
        let shown = format!("{reply:?}");
        assert_eq!(after(reply), (FailureKind::Incomplete, true), "{shown}");
    }
}

#[test]
fn a_server_that_hangs_is_left_after_the_time_limit() {
    for begun in [Vec::new(), Reply::cut_short()] {
        let server = Server::start([Reply::Hang(begun)]);
        let error = failed(&impatient(), &server.base_url());
        assert_eq!(error.kind(), FailureKind::Timeout);
        assert!(error.may_have_been_sent());
        assert_eq!(
            error.to_string(),
            format!("no complete response from {} within 150ms", server.origin())
        );
    }
}

#[test]
fn a_request_may_have_a_time_limit_of_its_own() {
    let server = Server::start([Reply::Hang(Vec::new())]);
    let request = Request::get(url(&server.base_url())).time_limit(Duration::from_millis(150));
    let error = wait(client().send(&request)).expect_err("timed out");
    assert_eq!(error.kind(), FailureKind::Timeout);
}

#[test]
fn a_plain_server_behind_https_is_a_tls_failure_and_saw_no_request() {
    let server = Server::start([Reply::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]);
    let target = server.base_url().replace("http://", "https://");
    // The server takes the handshake for an endless header, so that only a
    // word of its own ends it.
    let spoken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = spoken.local_addr().expect("bound");
    let speaker = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = spoken.accept().expect("a client");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .expect("written");
        stream
    });
    let error = failed(&client(), &format!("https://{address}/x"));
    drop(speaker.join());
    assert_eq!(
        (error.kind(), error.may_have_been_sent()),
        (FailureKind::Tls, false)
    );
    assert!(!error.kind().is_transient());
    let error = failed(&impatient(), &target);
    assert_eq!(error.kind(), FailureKind::Timeout);
    assert!(server.received().is_empty());
}

#[test]
fn a_body_that_is_too_large_says_how_large_it_may_be() {
    let server = Server::start([Reply::status(200, "12345678")]);
    let limits = Limits {
        max_body_bytes: 7,
        oversize: Oversize::Fail,
        ..limits()
    };
    let error = failed(&Client::new(limits).expect("set up"), &server.base_url());
    assert_eq!(
        (error.kind(), error.may_have_been_sent()),
        (FailureKind::BodyTooLarge, true)
    );
    let expected = format!("the response of {} is longer than 7 bytes", server.origin());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn only_http_and_https_urls_are_urls() {
    for text in [
        "",
        "127.0.0.1:80",
        "localhost:8080/x",
        "/ops/snapshot",
        "ftp://host/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "http://",
        "http://[::1",
        "http://host:99999/",
    ] {
        let error = Url::parse(text).expect_err(text);
        assert_eq!(error.kind(), FailureKind::BadUrl, "{text}");
        assert!(!error.may_have_been_sent());
    }
}

#[test]
fn failures_that_cannot_pass_are_not_transient() {
    let lasting: Vec<FailureKind> = FailureKind::ALL
        .into_iter()
        .filter(|kind| !kind.is_transient())
        .collect();
    assert_eq!(
        lasting,
        [
            FailureKind::BadUrl,
            FailureKind::InvalidHeader,
            FailureKind::Setup,
            FailureKind::Tls,
            FailureKind::BodyTooLarge,
        ]
    );
}
