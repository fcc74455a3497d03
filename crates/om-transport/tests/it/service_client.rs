//! Requests to a sprite service: the table of chapter 03 §3.3.4 and decision
//! D13, over real connections.

use std::time::Duration;

use om_http::{Backoff, Secret};
use om_model::TraceId;
use om_transport::{Answer, Idempotent, ServiceClient, ServiceError, ServiceSettings};

use crate::server::{Reply, Server, refusing};

const TOKEN: &str = "s3cr3t-t0ken";
const CONTROL: &[u8] = br#"{"loopId":"nightly","intent":"cancel","idempotencyKey":"k-1"}"#;

/// Three attempts without a pause.
pub(crate) fn settings(base_url: &str) -> ServiceSettings {
    ServiceSettings {
        token: Some(Secret::new(TOKEN)),
        retry: Backoff {
            attempts: 3,
            seconds: 0,
        },
        ..ServiceSettings::new(Secret::new(base_url))
    }
}

pub(crate) fn client(settings: ServiceSettings) -> ServiceClient {
    ServiceClient::new(settings, None).expect("set up")
}

/// Runs a future as a command does.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn get(settings: ServiceSettings) -> Result<Answer, ServiceError> {
    wait(client(settings).get("/ops/snapshot?loopId=nightly", None))
}

fn post(settings: ServiceSettings, idempotent: Idempotent) -> Result<Answer, ServiceError> {
    wait(client(settings).post("/ops/control", CONTROL, None, idempotent))
}

/// (status, attempts) of a failed request.
fn outcome(error: &ServiceError) -> (Option<u16>, u64) {
    match error {
        ServiceError::Request {
            status, attempts, ..
        } => (*status, *attempts),
        other => panic!("not a request: {other:?}"),
    }
}

#[test]
fn an_answer_is_the_body_unchanged() {
    for body in ["", "{\"ok\":true}", "not json\r\n\u{0}"] {
        let server = Server::start([Reply::status(200, body)]);
        let answer = get(settings(&server.base_url())).expect("answered");
        assert_eq!(answer.body, body.as_bytes());
    }
}

#[test]
fn a_passing_failure_is_tried_again_until_the_attempts_are_used_up() {
    for status in [408, 409, 425, 429, 500, 502, 503, 504] {
        let server = Server::start([
            Reply::status(status, "first"),
            Reply::status(status, "second"),
            Reply::status(200, "answer"),
        ]);
        let answer = get(settings(&server.base_url())).expect("answered");
        assert_eq!(answer.body, b"answer", "{status}");

        let server = Server::start([Reply::status(status, "busy")]);
        let error = get(settings(&server.base_url())).expect_err("gives up");
        assert_eq!(outcome(&error), (Some(status), 3));
        assert_eq!(server.received().len(), 3);
        let expected = format!(
            "service request failed (method=GET url={}/ops/snapshot?loopId=nightly \
             code={status}): busy",
            server.base_url()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.printed(), format!("error: {expected}"));
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn any_other_status_fails_at_once() {
    for status in [
        301, 302, 304, 307, 400, 401, 403, 404, 405, 413, 422, 431, 501, 505,
    ] {
        let server = Server::start([Reply::status(status, "no")]);
        let error = get(settings(&server.base_url())).expect_err("fails");
        assert_eq!(outcome(&error), (Some(status), 1));
        assert_eq!(server.received().len(), 1, "{status}");
    }
}

#[test]
fn a_control_result_is_an_answer_whatever_its_status() {
    let result = r#"{"ok":false,"exitCode":2,"replayed":false}"#;
    for status in [200, 409, 500] {
        for idempotent in [Idempotent::Yes, Idempotent::No] {
            let server = Server::start([Reply::status(status, result)]);
            let answer = post(settings(&server.base_url()), idempotent).expect("an answer");
            assert_eq!(answer.body, result.as_bytes());
            assert_eq!(server.received().len(), 1, "{status}");
        }
    }
}

#[test]
fn a_post_that_arrived_is_sent_again_only_if_the_service_can_tell() {
    for (reply, status) in [
        (Reply::status(503, ""), Some(503)),
        (Reply::status(409, "{}"), Some(409)),
        (Reply::Raw(Vec::new()), None),
        (Reply::Raw(Reply::cut_short()), None),
        (Reply::Reset(Vec::new()), None),
    ] {
        for (idempotent, attempts) in [(Idempotent::Yes, 3), (Idempotent::No, 1)] {
            let server = Server::start([reply.clone()]);
            let error = post(settings(&server.base_url()), idempotent).expect_err("fails");
            let shown = format!("{reply:?} {idempotent:?}");
            assert_eq!(outcome(&error), (status, attempts), "{shown}");
            assert!(error.may_have_been_sent(), "{shown}");
            assert_eq!(server.received().len() as u64, attempts, "{shown}");
        }
    }
}

#[test]
fn a_post_that_never_left_is_sent_again() {
    for idempotent in [Idempotent::Yes, Idempotent::No] {
        let base = format!("http://{}", refusing());
        let error = post(settings(&base), idempotent).expect_err("refused");
        assert_eq!(outcome(&error), (None, 3));
        assert!(!error.may_have_been_sent());
        let expected = format!(
            "service request failed (method=POST url={base}/ops/control code=000): cannot \
             connect to {}: Connection refused (os error 111)",
            base.trim_start_matches("http://")
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_get_without_a_complete_response_is_tried_again() {
    for reply in [
        Reply::Raw(Vec::new()),
        Reply::Raw(Reply::cut_short()),
        Reply::Reset(Reply::cut_short()),
        Reply::Hang(Vec::new()),
        Reply::Hang(Reply::cut_short()),
    ] {
        let shown = format!("{reply:?}");
        let server = Server::start([reply, Reply::status(200, "{}")]);
        let settings = ServiceSettings {
            attempt_timeout: Some(Duration::from_millis(200)),
            retry: Backoff {
                attempts: 20,
                seconds: 0,
            },
            ..settings(&server.base_url())
        };
        assert_eq!(get(settings).expect("answered").body, b"{}", "{shown}");
    }
}

#[test]
fn what_can_never_succeed_is_not_tried_again() {
    let tls = format!("https://{}", speaking_plainly());
    let base = "http://127.0.0.1:1";
    for (settings, attempts, code) in [
        (settings(&tls), 1, "code=000): TLS connection to "),
        (settings("nowhere"), 0, "code=000): bad URL: "),
        (settings("ftp://host"), 0, "code=000): bad URL: "),
        (
            ServiceSettings {
                token: Some(Secret::new("line\nbreak")),
                ..settings(base)
            },
            0,
            "code=000): invalid header Authorization: its value must be visible ASCII",
        ),
    ] {
        let error = get(settings).expect_err("fails");
        assert_eq!(outcome(&error), (None, attempts), "{error}");
        assert!(error.to_string().contains(code), "{error}");
        assert!(!error.may_have_been_sent());
    }
}

/// The origin of a server that answers a handshake in plain text, once.
fn speaking_plainly() -> String {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let written = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // Held open until the client has seen it and leaves.
        let _ = (written, std::io::Read::read(&mut stream, &mut [0; 4096]));
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
    });
    address.to_string()
}

#[test]
fn the_pause_that_a_server_asks_for_is_kept() {
    let server = Server::start([
        Reply::status(503, "").with_header("Retry-After: 20"),
        Reply::status(200, "answer"),
    ]);
    let client = client(ServiceSettings {
        connect_timeout: None,
        attempt_timeout: None,
        ..settings(&server.base_url())
    });
    // The clock stands still, and jumps when everything waits for it.
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    paused.expect("a runtime").block_on(async {
        let begun = tokio::time::Instant::now();
        let answer = client.get("/ops/snapshot", None).await.expect("answered");
        assert_eq!(answer.body, b"answer");
        assert!(begun.elapsed() >= Duration::from_secs(20));
    });
}

#[test]
fn a_get_carries_what_identifies_it_and_nothing_else() {
    let server = Server::start([Reply::status(200, "{}")]);
    let trace_id = TraceId::new("tr-1");
    let client = client(settings(&format!("{}/", server.base_url())));
    wait(client.get("/ops/snapshot?loopId=nightly", trace_id.as_ref())).expect("answered");
    let received = &server.received()[0];
    let mut head = received.head.clone();
    head[1..].sort();
    let expected = [
        "GET /ops/snapshot?loopId=nightly HTTP/1.1".to_owned(),
        "accept: application/json".to_owned(),
        format!("authorization: Bearer {TOKEN}"),
        format!("host: {}", server.origin()),
        format!("user-agent: ops-manager/{}", env!("CARGO_PKG_VERSION")),
        format!("x-ops-token: {TOKEN}"),
        "x-trace-id: tr-1".to_owned(),
    ];
    assert_eq!(head, expected);
    assert!(received.body.is_empty());
}

#[test]
fn a_post_carries_its_body_byte_for_byte() {
    let server = Server::start([Reply::status(200, "{}")]);
    let body = b"{ \"note\": \"\xff\" }\n";
    let client = client(settings(&server.base_url()));
    wait(client.post("/ops/control", body, None, Idempotent::No)).expect("answered");
    let received = &server.received()[0];
    assert_eq!(received.head[0], "POST /ops/control HTTP/1.1");
    assert_eq!(received.header("content-type"), ["application/json"]);
    assert_eq!(received.body, body);
}

#[test]
fn a_trace_id_that_fits_no_header_is_not_sent() {
    for (trace_id, sent) in [
        ("tr 1 (night)", true),
        ("tr\n1", false),
        ("tr\r\nX-Evil: 1", false),
        ("spur-ä", false),
        ("tab\t", false),
    ] {
        let server = Server::start([Reply::status(200, "{}")]);
        let client = client(settings(&server.base_url()));
        wait(client.get("/", TraceId::new(trace_id).as_ref())).expect("answered");
        let received = &server.received()[0];
        let expected: &[&str] = if sent { &[trace_id] } else { &[] };
        assert_eq!(received.header("x-trace-id"), expected);
        assert!(received.header("x-evil").is_empty());
    }
}

#[test]
fn no_token_means_no_authentication() {
    for token in [None, Some(Secret::new(""))] {
        let server = Server::start([Reply::status(200, "{}")]);
        let settings = ServiceSettings {
            token,
            ..settings(&server.base_url())
        };
        get(settings).expect("answered");
        let received = &server.received()[0];
        assert!(received.header("authorization").is_empty());
        assert!(received.header("x-ops-token").is_empty());
    }
}

#[test]
fn exactly_one_slash_is_removed_from_the_base_url() {
    for (suffix, line) in [
        ("", "GET /ops HTTP/1.1"),
        ("/", "GET /ops HTTP/1.1"),
        ("//", "GET //ops HTTP/1.1"),
        ("/sprite/", "GET /sprite/ops HTTP/1.1"),
    ] {
        let server = Server::start([Reply::status(200, "{}")]);
        let client = client(settings(&format!("{}{suffix}", server.base_url())));
        wait(client.get("/ops", None)).expect("answered");
        assert_eq!(server.received()[0].head[0], line);
    }
}

#[test]
fn a_token_does_not_travel_to_where_a_redirect_points() {
    let other = Server::start([Reply::status(200, "{}")]);
    let location = format!("Location: {}/", other.base_url());
    let server = Server::start([Reply::status(307, "moved").with_header(&location)]);
    let error = get(settings(&server.base_url())).expect_err("not followed");
    assert_eq!(outcome(&error), (Some(307), 1));
    assert!(other.received().is_empty());
}

#[test]
fn a_failure_shows_the_last_forty_lines_of_the_response() {
    let lines: Vec<String> = (1..=50).map(|n| format!("line {n}")).collect();
    let server = Server::start([Reply::status(502, lines.join("\r\n") + "\r\n")]);
    let error = get(settings(&server.base_url())).expect_err("fails");
    let text = error.to_string();
    let shown = text
        .split_once("code=502): ")
        .expect("the contract's line")
        .1;
    assert_eq!(shown, lines[10..].join("\n"));
}

#[test]
fn a_refusal_without_line_breaks_is_not_shown_in_full() {
    let server = Server::start([Reply::status(400, vec![b'x'; 1 << 20])]);
    let error = get(settings(&server.base_url())).expect_err("fails");
    assert!(error.to_string().len() < 70_000);
}

#[test]
fn no_secret_shows_up_in_an_error_or_a_debug_text() {
    let echo = format!("no such token: {TOKEN} (password pa55word)");
    for reply in [
        Reply::status(401, &echo),
        Reply::status(503, &echo),
        Reply::Raw(Reply::cut_short()),
    ] {
        let server = Server::start([reply]);
        let base = server.base_url().replace("http://", "http://ana:pa55word@");
        let client = client(settings(&base));
        let path = format!("/ops/snapshot?token={TOKEN}");
        let error = wait(client.get(&path, None)).expect_err("fails");
        for shown in [
            format!("{error}"),
            format!("{error:?}"),
            error.printed(),
            format!("{client:?}"),
            client.settings().shown_url(&path),
        ] {
            assert!(!shown.contains(TOKEN), "{shown}");
            assert!(!shown.contains("pa55word"), "{shown}");
        }
    }
}

#[test]
fn a_query_in_the_base_url_is_neither_shown_nor_quoted() {
    let base = "http://u:pa55word@127.0.0.1:1/sprite?k=qu3ry-s3cret";
    let shown = "http://127.0.0.1:1/sprite?[redacted]/ops/snapshot?loopId=l";
    assert_eq!(settings(base).shown_url("/ops/snapshot?loopId=l"), shown);
    let server = Server::start([Reply::status(400, "no qu3ry-s3cret, no dTpwYTU1d29yZA==")]);
    let base = server.base_url().replace("http://", "http://u:pa55word@");
    let error = get(settings(&format!("{base}?k=qu3ry-s3cret"))).expect_err("refused");
    let text = error.to_string();
    for secret in ["qu3ry", "pa55", "dTpw"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_refusal_is_cut_after_its_secrets_are_removed() {
    // What is kept of it begins within the token.
    let mut body = TOKEN.to_owned();
    body += &"x".repeat((64 << 10) - 6);
    let server = Server::start([Reply::status(400, &body)]);
    let text = get(settings(&server.base_url()))
        .expect_err("refused")
        .to_string();
    assert!(
        !text.contains(&TOKEN[TOKEN.len() - 6..]),
        "{}",
        &text[..200]
    );
}

#[test]
fn a_retry_after_may_be_a_date_on_the_servers_clock() {
    let server = Server::start([
        Reply::status(503, "")
            .with_header("Date: Fri, 31 Dec 1999 23:59:30 GMT")
            .with_header("Retry-After: Fri, 31 Dec 1999 23:59:50 GMT"),
        Reply::status(200, "answer"),
    ]);
    let client = client(ServiceSettings {
        connect_timeout: None,
        attempt_timeout: None,
        ..settings(&server.base_url())
    });
    let paused = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    paused.expect("a runtime").block_on(async {
        let begun = tokio::time::Instant::now();
        client.get("/ops/snapshot", None).await.expect("answered");
        let waited = begun.elapsed();
        assert!((20..30).contains(&waited.as_secs()), "{waited:?}");
    });
}
