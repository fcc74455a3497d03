//! A control over HTTP, against a real server, and through a client hook.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use om_control::service::client;
use om_control::{ControlOutcome, ControlRequest, Transport};
use om_http::Secret;
use om_model::control::{ControlStatus, Intent};
use om_model::json;
use om_stage::Hook;
use serde_json::{Value, json};

use crate::support::Repo;

const TOKEN: &str = "t0ken-of-the-sprite";

/// Answers one request after the other, and returns what was asked: the head
/// and the body of each.
fn serve(answers: Vec<(u16, String)>) -> (String, JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, answer) in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            asked.push(read_request(&mut BufReader::new(&stream)));
            let head = format!(
                "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            stream
                .write_all((head + &answer).as_bytes())
                .expect("answered");
        }
        asked
    });
    (url, asked)
}

fn read_request(stream: &mut impl BufRead) -> (String, Value) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("a line") > 0, "{head}");
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).expect("a length");
    let length = length
        .lines()
        .next()
        .expect("a line")
        .trim()
        .parse()
        .expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    (head, json::parse(&body).expect("JSON"))
}

fn request(repo: &Repo) -> ControlRequest {
    let mut request = repo.request(Intent::Cancel);
    request.settings.do_confirm = true;
    request.settings.retry_backoff_seconds = 0;
    request
}

fn control(repo: &Repo, base_url: &str, hook: Option<Hook>) -> ControlOutcome {
    let request = request(repo);
    let token = Some(Secret::new(TOKEN));
    let client = client(Secret::new(base_url), token, &request.settings, hook).expect("a client");
    repo.run(&request, Transport::Service(&client))
}

fn confirmed() -> String {
    json!({"ok": true, "exitCode": 0, "replayed": false, "result": {
        "status": "confirmed", "confirmed": true, "confirmExitCode": 0, "confirm": {"attempts": 1}}})
    .to_string()
}

#[test]
fn the_service_is_asked_and_its_answer_recorded() {
    let repo = Repo::new();
    let (url, asked) = serve(vec![(200, confirmed())]);
    let outcome = control(&repo, &format!("{url}/"), None);
    assert_eq!((outcome.exit_code(), outcome.diagnostics), (0, None));
    assert_eq!(outcome.row.status, ControlStatus::Confirmed);
    assert_eq!(outcome.row.command, format!("POST {url}/ops/control"));
    assert_eq!(outcome.row.command_output, Some(confirmed()));
    assert_eq!(outcome.row.confirm, Some(json!({"attempts": 1})));
    let (head, body) = asked.join().expect("served").remove(0);
    assert!(head.starts_with("POST /ops/control HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("Bearer {TOKEN}")), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("x-trace-id: tr-77"),
        "{head}"
    );
    assert_eq!(body["idempotencyKey"], "key-1");
    assert_eq!(body["timeoutSeconds"], 30);
}

#[test]
fn an_ambiguous_result_is_an_answer_and_not_tried_again() {
    let repo = Repo::new();
    let answer = json!({"ok": false, "exitCode": 2, "replayed": false,
        "result": {"status": "ambiguous", "confirmExitCode": 1}});
    let (url, asked) = serve(vec![(409, answer.to_string())]);
    let outcome = control(&repo, &url, None);
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (2, 2));
    assert_eq!(outcome.row.confirm_exit_code, 1);
    assert_eq!(asked.join().expect("served").len(), 1);
}

#[test]
fn a_transient_failure_is_tried_again_with_the_same_key() {
    let repo = Repo::new();
    let busy = json!({"ok": false, "error": {"code": "service_busy"}}).to_string();
    let (url, asked) = serve(vec![(503, busy), (200, confirmed())]);
    assert_eq!(control(&repo, &url, None).exit_code(), 0);
    let asked = asked.join().expect("served");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].1, asked[1].1);
}

#[test]
fn a_refusal_fails_and_the_clients_line_is_for_stderr() {
    let repo = Repo::new();
    let refusal = json!({"ok": false, "error": {"code": "unauthorized"}}).to_string();
    let (url, asked) = serve(vec![(401, refusal)]);
    let outcome = control(&repo, &url, None);
    asked.join().expect("served");
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (1, 1));
    assert_eq!(outcome.row.status, ControlStatus::FailedCommand);
    assert_eq!(outcome.row.command_output.as_deref(), Some("{}"));
    let said = outcome.diagnostics.expect("an error line");
    let start =
        format!("error: service request failed (method=POST url={url}/ops/control code=401)");
    assert!(said.starts_with(&start), "{said}");
}

#[test]
fn a_service_that_is_not_there_is_a_failed_command() {
    let repo = Repo::new();
    let outcome = control(&repo, "http://user:passw0rd@127.0.0.1:1", None);
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (1, 1));
    assert_eq!(outcome.row.command, "POST http://127.0.0.1:1/ops/control");
    assert!(
        outcome
            .diagnostics
            .expect("an error line")
            .contains("code=000")
    );
}

#[test]
fn an_unusable_answer_leaves_rows_that_say_so() {
    for answer in ["", "busy", "[]", r#"{"ok":true,"result":7}"#] {
        let repo = Repo::new();
        let (url, asked) = serve(vec![(200, answer.to_owned())]);
        let outcome = control(&repo, &url, None);
        asked.join().expect("served");
        assert_eq!(outcome.row.status, ControlStatus::FailedCommand, "{answer}");
        let said = outcome.row.command_output.expect("says so");
        assert!(said.starts_with("unusable answer of the service"), "{said}");
    }
}

#[test]
fn the_token_is_nowhere_in_the_tree() {
    let repo = Repo::new();
    let (url, asked) = serve(vec![(200, confirmed()), (401, format!("\"no {TOKEN}\""))]);
    control(&repo, &url, None);
    let outcome = control(&repo, &url, None);
    asked.join().expect("served");
    assert!(!outcome.diagnostics.expect("a line").contains(TOKEN));
    for row in repo.all_rows().concat() {
        assert!(!row.to_string().contains(TOKEN), "{row}");
    }
}

#[test]
fn a_client_hook_gets_its_argv_and_its_answer_counts() {
    let repo = Repo::new();
    let body = r#"last=; for word; do [ "$last" = --body-file ] && file=$word; last=$word; done
cat "$file" > "$(dirname "$0")/body"; printf '%s\n' "$@" > "$(dirname "$0")/argv"
echo noise >&2; echo '{"ok":true,"exitCode":0}'"#;
    let outcome = control(
        &repo,
        "http://sprite:8787/",
        Some(repo.hook("client", body)),
    );
    assert_eq!((outcome.exit_code(), outcome.diagnostics), (0, None));
    assert_eq!(outcome.row.command, "POST http://sprite:8787/ops/control");
    let argv = std::fs::read_to_string(repo.root().join("argv")).expect("argv");
    let argv: Vec<&str> = argv.lines().collect();
    assert_eq!(
        argv[..11],
        [
            "--method",
            "POST",
            "--base-url",
            "http://sprite:8787/",
            "--path",
            "/ops/control",
            "--token",
            TOKEN,
            "--trace-id",
            "tr-77",
            "--body-file"
        ]
    );
    assert_eq!(
        argv[12..],
        ["--retry-attempts", "3", "--retry-backoff-seconds", "0"]
    );
    let sent = std::fs::read(repo.root().join("body")).expect("the body");
    assert_eq!(json::parse(&sent).expect("JSON")["intent"], "cancel");
    assert!(
        !std::path::Path::new(argv[11]).exists(),
        "the body file is gone"
    );
}

#[test]
fn a_client_hook_that_fails_passes_its_exit_code_and_its_words() {
    let repo = Repo::new();
    let hook = repo.hook(
        "client",
        "echo '{\"ok\":true}'; echo 'error: no route' >&2; exit 7",
    );
    let outcome = control(&repo, "http://sprite:8787", Some(hook));
    assert_eq!((outcome.exit_code(), outcome.row.exit_code), (1, 7));
    assert_eq!(outcome.row.command_output.as_deref(), Some("{}"));
    assert_eq!(outcome.diagnostics.as_deref(), Some("error: no route"));
}

#[test]
fn a_client_hook_has_as_long_as_the_control() {
    let repo = Repo::new();
    for (runtime, limit) in [(120, Some(120 + 32 + 15)), (0, None)] {
        let mut request = request(&repo);
        request.settings.runtime_timeout_seconds = Some(runtime);
        let client = client(Secret::new("http://h"), None, &request.settings, None);
        let limit = limit.map(std::time::Duration::from_secs);
        assert_eq!(client.expect("a client").settings().hook_timeout, limit);
    }
}

#[test]
fn a_query_in_the_base_url_is_not_recorded() {
    let repo = Repo::new();
    let outcome = control(&repo, "http://127.0.0.1:1/x?k=qu3ry-s3cret", None);
    let shown = "POST http://127.0.0.1:1/x?[redacted]/ops/control";
    assert_eq!(outcome.row.command, shown);
    for row in repo.all_rows().concat() {
        assert!(!row.to_string().contains("qu3ry"), "{row}");
    }
}
