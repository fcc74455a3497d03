//! What is sent, and what comes back.

use std::time::Duration;

use om_http::{Client, Limits, Oversize, Request, Response, Secret, Url};

use crate::server::{Reply, Server};

/// Limits that no test reaches by accident.
pub(crate) fn limits() -> Limits {
    Limits {
        connect_timeout: Some(Duration::from_secs(20)),
        total_timeout: Some(Duration::from_secs(20)),
        max_body_bytes: 1 << 20,
        oversize: Oversize::Fail,
    }
}

pub(crate) fn client() -> Client {
    Client::new(limits()).expect("set up")
}

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// Runs a future as a command does.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn get(server: &Server, path: &str) -> Response {
    let request = Request::get(url(&format!("{}{path}", server.base_url())));
    wait(client().send(&request)).expect("answered")
}

#[test]
fn a_response_comes_back_as_it_was_sent() {
    let body = b"\x00\xff {not json\r\n";
    let server = Server::start([Reply::status(200, body).with_header("X-Seen: yes")]);
    let response = get(&server, "/ops/events?loopId=a%2Fb&cursor=1");
    assert_eq!((response.status, response.truncated), (200, false));
    assert_eq!(response.body, body);
    assert_eq!(response.header("x-seen"), Some("yes"));
    let received = server.received();
    assert_eq!(
        received[0].head[0],
        "GET /ops/events?loopId=a%2Fb&cursor=1 HTTP/1.1"
    );
    assert_eq!(received[0].header("host"), [server.origin()]);
}

#[test]
fn every_status_is_a_response() {
    for status in [200, 204, 302, 400, 401, 404, 409, 429, 500, 503, 599] {
        let server = Server::start([Reply::status(status, "")]);
        let response = get(&server, "/");
        assert_eq!(response.status, status);
        assert_eq!(response.is_success(), status < 300, "{status}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_nothing_reaches_its_target() {
    let other = Server::start([Reply::status(200, "stolen")]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}/elsewhere", other.base_url());
        let server = Server::start([Reply::status(status, "").with_header(&location)]);
        assert_eq!(get(&server, "/").status, status);
    }
    assert!(other.received().is_empty());
}

#[test]
fn headers_of_one_name_are_separate_lines_in_their_order() {
    let server = Server::start([Reply::status(200, "")]);
    let request = Request::post(url(&server.base_url()), "{}")
        .header("X-Team", "core")
        .and_then(|request| request.secret_header("Authorization", &Secret::new("Bearer one")))
        .and_then(|request| request.header("X-Team", "night shift"))
        .and_then(|request| request.header("authorization", "Bearer two"))
        .expect("headers");
    wait(client().send(&request)).expect("answered");
    let received = server.received();
    assert_eq!(received[0].header("x-team"), ["core", "night shift"]);
    assert_eq!(
        received[0].header("authorization"),
        ["Bearer one", "Bearer two"]
    );
}

#[test]
fn a_body_is_sent_with_its_length() {
    let server = Server::start([Reply::status(200, "")]);
    let body = vec![b'x'; 100_000];
    let request = Request::post(url(&server.base_url()), body.clone());
    wait(client().send(&request)).expect("answered");
    let received = server.received();
    assert_eq!(received[0].body, body);
    assert_eq!(received[0].header("content-length"), ["100000"]);
    assert!(received[0].header("transfer-encoding").is_empty());
}

#[test]
fn credentials_in_the_url_are_sent_unless_a_header_says_otherwise() {
    let server = Server::start([Reply::status(200, "")]);
    let target = url(&server.base_url().replace("http://", "http://ana:pw@"));
    let plain = Request::get(target.clone());
    let explicit = Request::get(target).header("Authorization", "Bearer t");
    wait(client().send(&plain)).expect("answered");
    wait(client().send(&explicit.expect("a header"))).expect("answered");
    let received = server.received();
    assert_eq!(received[0].header("authorization"), ["Basic YW5hOnB3"]);
    assert_eq!(received[1].header("authorization"), ["Bearer t"]);
    assert!(!received[0].head.concat().contains("ana:pw@"));
}

#[test]
fn connections_are_kept_alive() {
    let server = Server::start([Reply::status(200, "one"), Reply::status(200, "two")]);
    let client = client();
    let request = Request::get(url(&server.base_url()));
    wait(async {
        client.send(&request).await.expect("answered");
        client.send(&request).await.expect("answered");
    });
    let connections = server.received().iter().map(|r| r.connection).max();
    assert_eq!(connections, Some(0));
}

#[test]
fn a_header_that_would_break_the_request_is_refused() {
    let target = url("http://127.0.0.1:1");
    for (name, value) in [
        ("X-Trace-Id", "a\r\nX-Evil: 1"),
        ("X-Trace-Id", "a\nb"),
        ("X-Trace-Id", "a\0b"),
        ("X-Trace-Id", "tab\there"),
        ("X-Trace-Id", "schlüssel"),
        ("X-Trace-Id", "\u{7f}"),
        ("X Trace", "a"),
        ("X-Trace\r\n", "a"),
        ("", "a"),
    ] {
        let refused = Request::get(target.clone()).header(name, value);
        let error = refused.expect_err("is refused");
        assert!(!error.may_have_been_sent(), "{name:?} {value:?}");
        assert!(!error.to_string().contains(['\r', '\n']), "{error:?}");
    }
}

#[test]
fn a_body_beyond_the_limit_fails_or_is_cut_as_asked() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n";
    for reply in [Reply::status(200, "12345678"), Reply::Raw(chunked.to_vec())] {
        for (max_body_bytes, oversize, expected) in [
            (8, Oversize::Fail, Some(("12345678", false))),
            (7, Oversize::Fail, None),
            (7, Oversize::Cut, Some(("1234567", true))),
            (0, Oversize::Cut, Some(("", true))),
        ] {
            let server = Server::start([reply.clone()]);
            let client = Client::new(Limits {
                max_body_bytes,
                oversize,
                ..limits()
            });
            let request = Request::get(url(&server.base_url()));
            let result = wait(client.expect("set up").send(&request)).ok();
            let got = result.map(|response| (response.body, response.truncated));
            let expected = expected.map(|(body, cut)| (body.as_bytes().to_vec(), cut));
            assert_eq!(got, expected, "{max_body_bytes} {oversize:?} {reply:?}");
        }
    }
}
