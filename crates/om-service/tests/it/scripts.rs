//! Stages by executable.

use std::fs;

use om_http::Secret;
use om_service::{Scripts, ServiceConfig};
use serde_json::{Value, json};

use crate::support::{Repo, Server, script};

const SNAPSHOT: &str = "ops-manager-loop-run-snapshot.sh";
const EVENTS: &str = "ops-manager-poll-events.sh";
const TOKEN: &str = "t0ken-of-the-sprite";
const CONTROL: &str = "ops-manager-control.sh";

/// A service whose stages are the given shell scripts; each finds the
/// repository in `$here`.
fn serving(repo: &Repo, snapshot: &str, events: &str, control: &str) -> Server {
    serving_with(repo, [snapshot, events, control], |_| {})
}

fn serving_with(repo: &Repo, bodies: [&str; 3], adjust: impl FnOnce(&mut ServiceConfig)) -> Server {
    let dir = repo.file("scripts");
    fs::create_dir_all(&dir).expect("created");
    for (name, body) in [SNAPSHOT, EVENTS, CONTROL].into_iter().zip(bodies) {
        let start = format!("#!/bin/sh\nhere='{}'\n", repo.path().display());
        script(&dir.join(name), &(start + body + "\n"));
    }
    let scripts = Scripts::in_dir(&dir).expect("all three are there");
    Server::with(repo, |config| {
        config.scripts = Some(scripts);
        adjust(config);
    })
}

fn arguments(repo: &Repo) -> Vec<String> {
    let text = fs::read_to_string(repo.file("argv")).expect("it ran");
    text.lines().map(str::to_owned).collect()
}

const RECORD: &str = "printf '%s\\n' \"$@\" > \"$here/argv\"";

#[test]
fn all_three_have_to_be_there() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in [SNAPSHOT, EVENTS, CONTROL] {
        let error = Scripts::in_dir(dir.path()).expect_err("one is missing");
        let path = dir.path().join(name);
        assert_eq!(
            error.to_string(),
            format!("required script not found: {}", path.display())
        );
        script(&path, "#!/bin/sh\n");
    }
    Scripts::in_dir(dir.path()).expect("now they are");
}

#[test]
fn the_snapshot_script_is_asked_and_answers() {
    let repo = Repo::new();
    let server = serving(&repo, &format!("{RECORD}; echo '{{\"a\": 1}}'"), "", "");
    let target = "/ops/snapshot?loopId=a%20b";
    assert_eq!(server.get(target).json(), json!({"a": 1}));
    let physical = repo
        .path()
        .canonicalize()
        .expect("there")
        .display()
        .to_string();
    assert_eq!(arguments(&repo), ["--repo", &physical, "--loop", "a b"]);
    let traced = server.send("GET", target, &["X-Trace-Id: t"], b"");
    assert_eq!(traced.json(), json!({"a": 1, "traceId": "t"}));
    assert_eq!(arguments(&repo)[4..], ["--trace-id", "t"]);
}

#[test]
fn a_trace_id_that_the_script_says_itself_stays() {
    let repo = Repo::new();
    let server = serving(&repo, "echo '{\"traceId\": null}'", "", "");
    let answer = server.send("GET", "/ops/snapshot?loopId=l", &["X-Trace-Id: t"], b"");
    assert_eq!(answer.json(), json!({"traceId": null}));
}

#[test]
fn what_goes_wrong_in_a_script_is_a_runtime_error() {
    let repo = Repo::new();
    for (snapshot, message) in [
        (
            "echo first >&2; echo >&2; echo second >&2; exit 3",
            "first\nsecond",
        ),
        ("exit 3", "snapshot command failed"),
        ("echo nope", "snapshot output was not valid JSON"),
        ("", "snapshot output was not valid JSON"),
    ] {
        let server = serving(&repo, snapshot, "exit 1", "");
        let answer = server.get("/ops/snapshot?loopId=l");
        assert_eq!(answer.error(), (502, "runtime_error".into()));
        assert_eq!(answer.message(), message);
        let answer = server.get("/ops/events?loopId=l");
        assert_eq!(answer.message(), "event poll command failed");
    }
    let server = serving(&repo, "", "echo '{}'; echo nope", "");
    let answer = server.get("/ops/events?loopId=l");
    assert_eq!(answer.message(), "event poll emitted invalid JSON");
}

#[test]
fn the_poll_script_gets_a_cursor_and_leaves_another() {
    let repo = Repo::new();
    let poll = format!(
        "{RECORD}; cp \"$6\" \"$here/cursor\"; \
         echo '{{\"eventLineOffset\":9,\"eventLineCount\":10,\"updatedAt\":\"2031-01-01T00:00:00Z\"}}' > \"$6\"; \
         echo '{{\"n\":1}}'; echo 7; echo; echo '{{\"n\":2}}'"
    );
    let server = serving(&repo, "", &poll, "");
    let target = "/ops/events?loopId=l&cursor=5&maxEvents=3";
    let body = server.send("GET", target, &["X-Trace-Id: t"], b"").json();
    let physical = repo
        .path()
        .canonicalize()
        .expect("there")
        .display()
        .to_string();
    assert_eq!(
        body,
        json!({
            "ok": true, "schemaVersion": "v1", "traceId": "t",
            "source": {"repoPath": physical, "loopId": "l"},
            "events": [{"n": 1}, {"n": 2}],
            "cursor": {"eventLineOffset": 9, "eventLineCount": 10,
                       "updatedAt": "2031-01-01T00:00:00Z"},
        })
    );
    let argv = arguments(&repo);
    assert_eq!(
        argv[..5],
        ["--repo", &physical, "--loop", "l", "--cursor-file"]
    );
    assert_eq!(argv[6..], ["--trace-id", "t", "--max-events", "3"]);
    let cursor = fs::read_to_string(repo.file("cursor")).expect("copied");
    let cursor: Value = serde_json::from_str(&cursor).expect("JSON");
    assert_eq!(
        cursor,
        json!({
            "schemaVersion": "v1", "repoPath": physical, "loopId": "l",
            "eventsFile": ".superloop/loops/l/events.jsonl",
            "eventLineOffset": 5, "eventLineCount": 5, "updatedAt": "",
        })
    );
    assert!(
        !fs::exists(&argv[5]).expect("looked"),
        "the cursor is temporary"
    );
}

#[test]
fn a_cursor_that_the_script_leaves_alone_stays_where_it_was() {
    let repo = Repo::new();
    let server = serving(&repo, "", "true", "");
    let body = server.get("/ops/events?loopId=l&cursor=5").json();
    assert_eq!(
        body["cursor"],
        json!({"eventLineOffset": 5, "eventLineCount": 5, "updatedAt": ""})
    );
}

#[test]
fn the_time_in_a_cursor_is_whatever_the_script_wrote() {
    let repo = Repo::new();
    for (written, reported) in [
        (
            r#"{"updatedAt":" 2031-1-1T0:00:00Z"}"#,
            json!(" 2031-1-1T0:00:00Z"),
        ),
        (r#"{"updatedAt":"yesterday"}"#, json!("yesterday")),
        (r#"{"updatedAt":null}"#, json!(null)),
        ("{}", json!(null)),
        ("{", json!(null)),
    ] {
        let server = serving(&repo, "", &format!("echo '{written}' > \"$6\""), "");
        let body = server.get("/ops/events?loopId=l&cursor=5").json();
        assert_eq!(body["cursor"]["updatedAt"], reported, "{written}");
        assert_eq!(body["cursor"]["eventLineOffset"], 5);
    }
}

#[test]
fn the_control_script_decides_by_its_exit_code() {
    let repo = Repo::new();
    let row = r#"echo noise; echo '{"traceId":"t-row","status":"x"}'; echo more; echo why >&2"#;
    for (exit, status) in [(0, 200), (2, 409), (1, 500), (7, 500)] {
        let server = serving(&repo, "", "", &format!("{RECORD}; {row}; exit {exit}"));
        let body = json!({"loopId": "l", "intent": "reject", "by": "dana", "note": "n",
                          "noConfirm": 1});
        let answer = server.control(&body);
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.json(),
            json!({"ok": exit == 0, "exitCode": exit, "stderr": "why", "replayed": false,
                   "result": {"traceId": "t-row", "status": "x"}, "traceId": "t-row"})
        );
        let argv = arguments(&repo);
        assert_eq!(
            argv[2..],
            [
                "--loop",
                "l",
                "--intent",
                "reject",
                "--by",
                "dana",
                "--note",
                "n",
                "--no-confirm"
            ]
        );
    }
}

#[test]
fn a_script_that_is_killed_reports_the_negative_number_of_the_signal() {
    let repo = Repo::new();
    for (script, exit_code) in [
        ("kill -9 $$", -9),
        ("kill -TERM $$", -15),
        ("exit 137", 137),
    ] {
        let server = serving(&repo, "", "", script);
        let answer = server.control(&json!({"loopId": "l", "intent": "cancel"}));
        assert_eq!(
            (answer.status, &answer.json()["exitCode"]),
            (500, &json!(exit_code))
        );
    }
}

#[test]
fn what_scripts_say_is_answered_and_stored_without_the_token() {
    let repo = Repo::new();
    let says = format!("echo '{{\"said\":\"x {TOKEN}\"}}'; echo 'token={TOKEN}' >&2");
    let server = serving_with(
        &repo,
        [&says, &format!("{says}; exit 1"), &says],
        |config| {
            config.token = Some(Secret::new(TOKEN));
        },
    );
    let header = [&*format!("X-Ops-Token: {TOKEN}")];
    let body = json!({"loopId": "nightly", "intent": "cancel", "idempotencyKey": "k"}).to_string();
    let answers = [
        server
            .send("POST", "/ops/control", &header, body.as_bytes())
            .json(),
        server
            .send("POST", "/ops/control", &header, body.as_bytes())
            .json(),
        server
            .send("GET", "/ops/snapshot?loopId=l", &header, b"")
            .json(),
        server
            .send("GET", "/ops/events?loopId=l", &header, b"")
            .json(),
    ];
    assert_eq!(answers[0]["result"]["said"], "x [redacted]");
    assert_eq!(answers[1]["stderr"], "token=[redacted]");
    assert_eq!(answers[2]["said"], "x [redacted]");
    assert_eq!(answers[3]["error"]["message"], "token=[redacted]");
    let stored = fs::read_to_string(repo.ops("service-idempotency.json")).expect("stored");
    assert!(!stored.contains(TOKEN), "{stored}");
}

#[test]
fn the_answer_of_a_script_is_stored_under_its_key() {
    let repo = Repo::new();
    let server = serving(&repo, "", "", "echo x >> \"$here/calls\"; exit 2");
    let body =
        json!({"loopId": "nightly", "intent": "cancel", "idempotencyKey": "k", "traceId": "t"});
    let first = server.control(&body);
    assert_eq!(
        (first.status, &first.json()["replayed"]),
        (409, &json!(false))
    );
    let again = server.control(&body);
    assert_eq!(again.status, 200);
    assert_eq!(
        again.json(),
        json!({"ok": false, "exitCode": 2, "replayed": true, "traceId": "t"})
    );
    assert_eq!(repo.calls(), 1);
}
