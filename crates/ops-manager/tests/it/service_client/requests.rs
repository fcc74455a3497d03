//! What is sent, printed and exited with.

use std::fs;

use super::{get, run};
use crate::server::{Reply, Server, refusing};

const TOKEN: &str = "s3cr3t-t0ken";

/// POST `body` to `server`.
fn post(server: &Server, body: &[u8]) -> super::Outcome {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("body.json");
    fs::write(&file, body).expect("written");
    let base_url = server.base_url();
    let mut arguments = get(&base_url, "/ops/control");
    arguments[1] = "POST";
    arguments.extend(["--body-file", file.to_str().expect("UTF-8")]);
    run(&arguments)
}

#[test]
fn the_body_of_an_answer_is_printed_unchanged() {
    for body in ["", "{\"ok\":true}", "two\nlines\r\n"] {
        let server = Server::start([Reply::status(200, body)]);
        let printed = run(&get(&server.base_url(), "/healthz"));
        assert_eq!(printed, (0, body.to_owned(), String::new()));
    }
}

#[test]
fn flags_become_headers() {
    let server = Server::start([Reply::status(200, "{}")]);
    let base_url = server.base_url();
    let mut arguments = get(&base_url, "/ops/snapshot?loopId=a%26b");
    arguments.extend(["--token", TOKEN, "--trace-id", "tr-1"]);
    run(&arguments);
    let received = &server.received()[0];
    assert_eq!(received.head[0], "GET /ops/snapshot?loopId=a%26b HTTP/1.1");
    assert_eq!(received.connection, 0);
    for (name, value) in [
        ("accept", "application/json".to_owned()),
        ("authorization", format!("Bearer {TOKEN}")),
        ("x-ops-token", TOKEN.to_owned()),
        ("x-trace-id", "tr-1".to_owned()),
    ] {
        assert_eq!(received.header(name), [value.as_str()]);
    }
}

#[test]
fn environment_variables_are_no_fallback_for_token_and_trace() {
    let server = Server::start([Reply::status(200, "{}")]);
    let environment = [
        ("OPS_MANAGER_SERVICE_TOKEN", TOKEN),
        ("OPS_MANAGER_TRACE_ID", "tr-1"),
    ];
    super::run_in(&environment, &get(&server.base_url(), "/"));
    let received = &server.received()[0];
    for name in ["authorization", "x-ops-token", "x-trace-id"] {
        assert!(received.header(name).is_empty(), "{name}");
    }
}

#[test]
fn a_failure_is_one_line_without_secrets() {
    let said = format!("bad token {TOKEN}\r\nask the operator\n");
    let server = Server::start([Reply::status(401, said)]);
    let base_url = server.base_url().replace("http://", "http://ana:pa55word@");
    let mut arguments = get(&base_url, "/ops/snapshot");
    arguments.extend(["--token", TOKEN]);
    let line = format!(
        "error: service request failed (method=GET url={}/ops/snapshot code=401): bad token \
         [redacted]; ask the operator\n",
        server.base_url()
    );
    assert_eq!(run(&arguments), (1, String::new(), line));
}

#[test]
fn no_response_is_code_000_with_the_reason() {
    let origin = refusing();
    let line = format!(
        "error: service request failed (method=GET url=http://{origin}/healthz code=000): \
         cannot connect to {origin}: Connection refused (os error 111)\n"
    );
    let base_url = format!("http://{origin}");
    assert_eq!(run(&get(&base_url, "/healthz")), (1, String::new(), line));
}

#[test]
fn a_silent_server_is_left_after_the_time_limit() {
    let server = Server::start([Reply::Hang(Vec::new())]);
    let base_url = server.base_url();
    let mut arguments = get(&base_url, "/");
    arguments.extend(["--max-time-seconds", "1", "--retry-attempts", "1"]);
    let (code, _, stderr) = run(&arguments);
    assert_eq!(code, 1);
    let origin = server.origin();
    let expected = format!("code=000): no complete response from {origin} within 1s\n");
    assert!(stderr.ends_with(&expected), "{stderr}");
}

#[test]
fn a_broken_connection_is_tried_again() {
    let server = Server::start([
        Reply::Raw(Reply::cut_short()),
        Reply::Reset(Vec::new()),
        Reply::status(200, "at last"),
    ]);
    let printed = run(&get(&server.base_url(), "/"));
    assert_eq!(printed, (0, "at last".to_owned(), String::new()));
}

#[test]
fn a_redirect_is_a_failure() {
    let other = Server::start([Reply::status(200, "{}")]);
    let location = format!("Location: {}/", other.base_url());
    let server = Server::start([Reply::status(302, "moved").with_header(&location)]);
    let (code, _, stderr) = run(&get(&server.base_url(), "/"));
    assert_eq!(code, 1);
    assert!(stderr.ends_with("code=302): moved\n"), "{stderr}");
    assert!(other.received().is_empty());
}

#[test]
fn a_post_is_repeated_only_with_an_idempotency_key() {
    for (body, attempts) in [
        (&br#"{"idempotencyKey":"k-1"}"#[..], 3),
        (br#"{"idempotencyKey":7}"#, 3),
        (br#"{"idempotencyKey":""}"#, 1),
        (br#"{"idempotencyKey":"  "}"#, 1),
        (br#"{"idempotencyKey":null}"#, 1),
        (br"{}", 1),
        (b"not json", 1),
        (b"", 1),
    ] {
        let server = Server::start([Reply::status(503, "busy")]);
        let (code, stdout, _) = post(&server, body);
        assert_eq!((code, stdout.as_str()), (1, ""));
        let received = server.received();
        assert_eq!(received.len(), attempts, "{body:?}");
        assert!(received.iter().all(|request| request.body == body));
    }
}

#[test]
fn an_unsuccessful_control_is_an_answer() {
    let result = r#"{"ok":false,"exitCode":2,"replayed":false}"#;
    for status in [409, 500] {
        let server = Server::start([Reply::status(status, result)]);
        assert_eq!(post(&server, b"{}"), (0, result.to_owned(), String::new()));
        assert_eq!(server.received().len(), 1);
    }
}
