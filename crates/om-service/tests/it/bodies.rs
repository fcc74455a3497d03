//! Request bodies: read as the contract says, and never more than that.

use std::io::Write;
use std::time::Duration;

use serde_json::json;

use crate::support::{Repo, Server};

fn control(intent: &str) -> Vec<u8> {
    json!({"loopId": "nightly", "intent": intent, "noConfirm": true})
        .to_string()
        .into_bytes()
}

#[test]
fn what_is_wrong_with_a_body() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for (body, code, message) in [
        (&b""[..], "invalid_request", "loopId is required"),
        (b"{}", "invalid_request", "loopId is required"),
        (b"{", "invalid_json", "request body must be valid JSON"),
        (b"\xff", "invalid_json", "request body must be valid JSON"),
        (b"[]", "invalid_request", "request body must be an object"),
        (
            b"\"x\"",
            "invalid_request",
            "request body must be an object",
        ),
        (
            b"{\"loopId\":\"nightly\",\"intent\":\"stop\"}",
            "invalid_request",
            "intent must be cancel, approve, or reject",
        ),
        (
            b"{\"loopId\":\"a/../b\",\"intent\":\"cancel\"}",
            "invalid_request",
            "invalid loop id: \"a/../b\" contains '/'; an id is one path component",
        ),
    ] {
        let answer = server.send("POST", "/ops/control", &[], body);
        assert_eq!(answer.error(), (400, code.into()));
        assert_eq!(answer.message(), message);
    }
    assert_eq!(repo.calls(), 0);
}

#[test]
fn deep_nesting_is_no_problem() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let deep = "[".repeat(500_000);
    let answer = server.send("POST", "/ops/control", &[], deep.as_bytes());
    assert_eq!(answer.error(), (400, "invalid_json".into()));
}

#[test]
fn a_chunked_body_counts_as_none() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.write("POST /ops/control HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = control("cancel");
    client.write(format!("{:x}\r\n", body.len()));
    client.write([&body[..], b"\r\n0\r\n\r\n"].concat());
    let answer = client.answer();
    assert_eq!(answer.message(), "loopId is required");
}

#[test]
fn ten_megabytes_are_too_many_and_the_connection_goes_on() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    let body = vec![b' '; 10_000_000];
    for _ in 0..2 {
        client.request("POST", "/ops/control", &[], &body);
        let answer = client.answer();
        assert_eq!(answer.error(), (413, "body_too_large".into()));
        assert!(answer.message().contains("at most 1048576"), "{answer:?}");
    }
    client.request("GET", "/healthz", &[], b"");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_body_of_exactly_the_limit_is_read() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| config.limits.body_bytes = 1_000);
    let mut body = control("cancel");
    body.resize(1_000, b' ');
    let answer = server.send("POST", "/ops/control", &[], &body);
    assert_eq!(answer.status, 200);
    body.push(b' ');
    let answer = server.send("POST", "/ops/control", &[], &body);
    assert_eq!(answer.status, 413);
}

#[test]
fn a_gigabyte_is_refused_without_being_read() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.write("POST /ops/control HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.error(), (413, "body_too_large".into()));
    assert_eq!(answer.header("connection"), Some("close"));
    client.half_close();
    assert!(client.is_closed());
}

#[test]
fn a_refusal_does_not_wait_for_a_body_that_does_not_come() {
    let repo = Repo::new();
    let server = Server::with_token(&repo, "s3cret");
    for (head, status) in [
        ("POST /ops/control HTTP/1.1\r\nContent-Length: 100", 401),
        (
            "POST /ops/control HTTP/1.1\r\nTransfer-Encoding: chunked",
            401,
        ),
        (
            "POST /x HTTP/1.1\r\nX-Ops-Token: s3cret\r\nContent-Length: 100",
            404,
        ),
        (
            "POST /ops/control HTTP/1.1\r\nX-Ops-Token: s3cret\r\nContent-Length: 9000000",
            413,
        ),
        (
            "POST /ops/control HTTP/1.1\r\nX-Ops-Token: s3cret\r\nTransfer-Encoding: chunked",
            400,
        ),
        ("PUT /x HTTP/1.1\r\nContent-Length: 100", 501),
    ] {
        let mut client = server.connect();
        // Far less than it would take if the body were waited for.
        client
            .socket
            .set_read_timeout(Some(Duration::from_secs(3)))
            .expect("set");
        client.write(format!("{head}\r\nHost: t\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{head}");
        assert_eq!(answer.header("connection"), Some("close"), "{head}");
        client.half_close();
        assert!(client.is_closed());
    }
}

#[test]
fn who_asks_before_sending_is_told_before_sending() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let head = "POST /ops/control HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n";
    let mut client = server.connect();
    client.write(format!("{head}Content-Length: 9000000\r\n\r\n"));
    assert_eq!(client.answer().status, 413);
    let mut client = server.connect();
    let body = control("cancel");
    client.write(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
    let mut interim = [0; 25];
    std::io::Read::read_exact(&mut client.socket, &mut interim).expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write(&body);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_body_that_does_not_arrive_is_not_waited_for() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| {
        config.limits.body_time = Duration::from_millis(50);
    });
    let mut client = server.connect();
    client.write("POST /ops/control HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{");
    let answer = client.answer();
    assert_eq!(answer.error(), (408, "request_timeout".into()));
    assert_eq!(answer.header("connection"), Some("close"));
    client.half_close();
    assert!(client.is_closed());
}

#[test]
fn a_body_that_breaks_off_executes_nothing() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.write("POST /ops/control HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n");
    client.write(control("cancel"));
    client.half_close();
    if let Some(answer) = client.maybe_answer() {
        assert_eq!(answer.error(), (400, "invalid_request".into()));
    }
    assert_eq!(repo.calls(), 0);
}

#[test]
fn a_length_that_is_no_number_is_a_malformed_request() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for length in ["x", "-1", "1e3", "99999999999999999999999"] {
        let mut client = server.connect();
        let head = format!("POST /ops/control HTTP/1.1\r\nHost: t\r\nContent-Length: {length}");
        client.write(head + "\r\n\r\n{}");
        assert_eq!(client.answer().status / 100, 4, "{length}");
    }
}

#[test]
fn an_unwanted_body_does_not_hide_the_answer() {
    let repo = Repo::new();
    let server = Server::with_token(&repo, "s3cret");
    let body = vec![b'x'; 3_000_000];
    for target in ["/ops/control", "/nowhere"] {
        let mut client = server.connect();
        client.request("POST", target, &[], &body);
        assert_eq!(client.answer().status, 401);
        client.request("GET", "/healthz", &["X-Ops-Token: s3cret"], b"");
        assert_eq!(client.answer().status, 200);
    }
    let mut client = server.connect();
    client.write("PUT /x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    client.socket.flush().expect("sent");
    assert_eq!(client.answer().status, 501);
}
