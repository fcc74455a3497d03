//! Passes through a sprite service, a real one where it can do what is to be
//! shown: what fails and how it is recorded (02 §2.4, §2.8; D24, D25), the
//! fallback of the runbook, and one trace id across both machines (03 §3.7).

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago, event, healthy};
use crate::server::{Reply, Server, refusing};
use crate::service_process::Service;

/// A repository of a manager on another machine: nothing of the loop is there.
fn manager(loop_id: &str) -> Repo {
    Repo::empty(loop_id)
}

fn through(repo: &Repo, base_url: &str, arguments: &[&str]) -> Run {
    let transport = [
        "--transport",
        "sprite_service",
        "--service-base-url",
        base_url,
    ];
    let patience = ["--retry-attempts", "2", "--retry-backoff-seconds", "0"];
    repo.reconcile(&[&transport[..], &patience, arguments].concat())
}

/// A pass that could not observe the loop: its row, and why it says so.
fn failed(repo: &Repo, run: &Run) -> (Value, String) {
    assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{}", run.stdout);
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["status"], "failed");
    assert_eq!(row["transport"], "sprite_service");
    assert_eq!(run.json(), repo.manager_json("health.json"));
    let message = row["failureMessage"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (row["failureCode"].clone(), message)
}

fn reasons(run: &Run) -> Value {
    run.json()["reasonCodes"].clone()
}

/// The body of a healthy snapshot answer, by the local command.
fn snapshot_body() -> String {
    healthy().run("ops-manager-loop-run-snapshot", &[]).stdout
}

#[test]
fn whatever_keeps_a_service_from_answering_is_a_failed_request() {
    let sprite = healthy();
    let guarded = Service::start(&sprite, &["--token", "s3cret"]);
    let open = Service::start(&sprite, &[]);
    let nobody = format!("http://{}", refusing());
    let known = manager("l");
    let unknown = manager("elsewhere");
    for (repo, base_url, said) in [
        (
            &known,
            guarded.base_url.as_str(),
            "missing or invalid token",
        ),
        (
            &unknown,
            open.base_url.as_str(),
            "required artifact root missing",
        ),
        (&known, nobody.as_str(), "code=000"),
        (&known, "http://127.0.0.1:1/\u{e9} x", ""),
    ] {
        let run = through(repo, base_url, &[]);
        let (code, message) = failed(repo, &run);
        assert_eq!(code, "service_request_failed", "{base_url}");
        assert!(message.contains(said), "{base_url}: {message}");
    }
    assert_eq!(
        known.manager_json("telemetry/transport-health.json")["failureStreak"],
        3
    );
    let health = known.manager_json("health.json");
    assert_eq!(health["reasonCodes"], json!(["transport_unreachable"]));
    assert_eq!(health["transport"]["mode"], "sprite_service");
}

#[test]
fn a_token_opens_the_service_by_flag_or_by_variable() {
    let sprite = healthy();
    let service = Service::start(&sprite, &["--token", "s3cret"]);
    let mut repo = manager("l");
    through(&repo, &service.base_url, &["--service-token", "s3cret"]).ok();
    repo.env("OPS_MANAGER_SERVICE_TOKEN", "s3cret");
    through(&repo, &service.base_url, &[]).ok();
    let refused = through(&repo, &service.base_url, &["--service-token", "wrong"]);
    failed(&repo, &refused);
    for side in [&repo, &sprite] {
        for (path, content) in side.tree() {
            let content = String::from_utf8_lossy(&content);
            assert!(!content.contains("s3cret"), "{}", path.display());
        }
    }
}

#[test]
fn a_cursor_beyond_the_log_fails_the_poll_and_a_replay_cures_it() {
    let sprite = healthy();
    let service = Service::start(&sprite, &[]);
    let repo = manager("l");
    repo.put("cursor.json", r#"{"eventLineOffset":7,"eventLineCount":7}"#);
    let (code, message) = failed(&repo, &through(&repo, &service.base_url, &[]));
    assert_eq!(code, "service_request_failed");
    let said = "cursor offset (7) exceeds available events (2); reset cursor or use --from-start";
    assert!(message.contains(said), "{message}");
    let state = through(&repo, &service.base_url, &["--from-start"]).ok();
    assert_eq!(state["sequence"]["violations"], json!([]));
    assert_eq!(repo.manager_json("cursor.json")["eventLineOffset"], 2);
}

#[test]
fn a_broken_cursor_fails_the_pass_before_the_service_is_asked_for_events() {
    for broken in ["{", "7", r#"{"eventLineOffset":"x"}"#] {
        let sprite = healthy();
        let service = Service::start(&sprite, &[]);
        let repo = manager("l");
        repo.put("cursor.json", broken);
        let run = through(&repo, &service.base_url, &[]);
        assert_eq!(failed(&repo, &run).0, "events_unavailable", "{broken}");
        let kept = fs::read_to_string(repo.manager("cursor.json")).expect("kept");
        assert_eq!(kept, broken);
        through(&repo, &service.base_url, &["--from-start"]).ok();
    }
}

#[test]
fn an_answer_of_another_shape_is_an_invalid_payload() {
    let shape = "service /ops/events response shape invalid";
    let values = "service cursor values are invalid";
    let snapshot = snapshot_body();
    for (answers, said) in [
        (vec!["[]".to_owned()], "it is an array, expected an object"),
        (vec!["oops".to_owned()], ""),
        (vec![String::new()], ""),
        (vec![snapshot.clone(), "oops".to_owned()], shape),
        (vec![snapshot.clone(), r#"{"ok":false}"#.to_owned()], shape),
        (
            vec![
                snapshot.clone(),
                r#"{"ok":true,"events":{},"cursor":{}}"#.to_owned(),
            ],
            shape,
        ),
        (vec![snapshot.clone(), String::new()], values),
        (
            vec![
                snapshot.clone(),
                r#"{"ok":true,"events":[],"cursor":{"eventLineOffset":-1}}"#.to_owned(),
            ],
            values,
        ),
    ] {
        let server = Server::start(answers.iter().map(|body| Reply::status(200, body)));
        let repo = manager("l");
        let run = through(&repo, &server.base_url(), &[]);
        let (code, message) = failed(&repo, &run);
        assert_eq!(code, "service_response_invalid", "{answers:?}");
        assert!(message.contains(said), "{answers:?}: {message}");
        assert_eq!(reasons(&run), json!(["invalid_transport_payload"]));
        assert!(!repo.manager("cursor.json").exists());
        assert!(!repo.manager("state.json").exists());
    }
}

#[test]
fn failures_that_pass_are_asked_again_with_the_same_trace_id() {
    let sprite = healthy();
    let events = json!({
        "ok": true, "schemaVersion": "v1", "events": [],
        "source": {"repoPath": "/srv", "loopId": "l"},
        "cursor": {"eventLineOffset": 0, "eventLineCount": 2},
    });
    let server = Server::start([
        Reply::status(503, "busy"),
        Reply::status(200, sprite.run("ops-manager-loop-run-snapshot", &[]).stdout),
        Reply::status(502, "no"),
        Reply::status(200, events.to_string()),
    ]);
    let repo = manager("l");
    through(&repo, &server.base_url(), &["--trace-id", "t-77"]).ok();
    let received = server.received();
    let lines: Vec<&str> = received
        .iter()
        .map(|request| request.head[0].as_str())
        .collect();
    let snapshot = "GET /ops/snapshot?loopId=l HTTP/1.1";
    let poll = "GET /ops/events?loopId=l&cursor=0&maxEvents=0 HTTP/1.1";
    assert_eq!(lines, [snapshot, snapshot, poll, poll]);
    for request in &received {
        assert_eq!(request.header("x-trace-id"), ["t-77"]);
    }
}

#[test]
fn an_outage_is_bridged_locally_and_service_mode_goes_on_where_it_was() {
    let sprite = healthy();
    let service = Service::start(&sprite, &[]);
    let shared = |base_url: &str| through(&sprite, base_url, &[]);
    shared(&service.base_url).ok();
    let gone = service.base_url.clone();
    drop(service);
    for streak in 1..=2 {
        let (code, _) = failed(&sprite, &shared(&gone));
        assert_eq!(code, "service_request_failed");
        let health = sprite.manager_json("telemetry/transport-health.json");
        assert_eq!(health["failureStreak"], streak);
    }
    assert_eq!(
        sprite.manager_json("cursor.json")["eventLineOffset"],
        2,
        "untouched"
    );
    sprite.append_events(&(event("role_start", &ago(0)) + "\n"));
    let state = sprite.reconcile(&["--transport", "local"]).ok();
    assert_eq!(state["transition"]["triggeringSignal"], "event:role_start");
    let service = Service::start(&sprite, &[]);
    sprite.append_events(&(event("role_end", &ago(0)) + "\n"));
    let state = shared(&service.base_url).ok();
    assert_eq!(state["sequence"]["status"], "ok");
    let ingested: Vec<Value> = sprite
        .rows("telemetry/reconcile.jsonl")
        .iter()
        .map(|row| row["eventsIngested"].clone())
        .collect();
    assert_eq!(ingested, [2, 0, 0, 1, 1]);
    assert_eq!(
        sprite.manager_json("telemetry/transport-health.json")["failureStreak"],
        0
    );
}

#[test]
fn a_loop_id_of_any_characters_reaches_the_service() {
    let mut sprite = healthy();
    let odd = "nächtlich & 100% #1+?=";
    let renamed = sprite.runtime_dir().with_file_name(odd);
    fs::rename(sprite.runtime_dir(), &renamed).expect("renamed");
    odd.clone_into(&mut sprite.loop_id);
    let service = Service::start(&sprite, &[]);
    let state = through(&manager(odd), &service.base_url, &[]).ok();
    assert_eq!(state["source"]["loopId"], odd);
    assert_eq!(state["cursor"]["eventLineOffset"], 2);
}

#[test]
fn passes_leave_nothing_on_the_machine_of_the_service() {
    let sprite = healthy();
    let before: Vec<PathBuf> = sprite.tree().into_iter().map(|(path, _)| path).collect();
    let service = Service::start(&sprite, &[]);
    let repo = manager("l");
    through(&repo, &service.base_url, &[]).ok();
    let after: Vec<PathBuf> = sprite.tree().into_iter().map(|(path, _)| path).collect();
    assert_eq!(after, before);
    let state = repo.manager_json("state.json");
    let observed = &state["evidence"]["lastEventEnvelope"]["source"]["repoPath"];
    let physical = fs::canonicalize(sprite.path()).expect("exists");
    assert_eq!(observed, &physical.display().to_string());
    let ours = repo.path().display().to_string();
    assert_eq!(state["source"]["repoPath"], ours);
    assert_eq!(repo.manager_json("cursor.json")["repoPath"], ours);
}

#[test]
fn one_trace_id_links_what_both_machines_recorded() {
    let mut sprite = healthy();
    let runtime = sprite.script(
        "superloop",
        "rm \"$3/.superloop/state.json\"; echo cancelled",
    );
    sprite.env("SUPERLOOP_BIN", &runtime);
    sprite.write_events(&(event("loop_start", &ago(0)) + "\n"));
    let service = Service::start(&sprite, &[]);
    let repo = manager("l");
    let arguments = [
        "--intent",
        "cancel",
        "--by",
        "dana",
        "--idempotency-key",
        "k1",
    ];
    let control = |trace_id: &str| {
        let traced = ["--trace-id", trace_id];
        let arguments = [&arguments[..], &traced, &service.flags()].concat();
        repo.run("ops-manager-control", &arguments).ok()
    };
    let row = control("tr-7");
    assert_eq!(row["status"], "confirmed");
    for (side, transport) in [(&sprite, "local"), (&repo, "sprite_service")] {
        for journal in [
            "intents.jsonl",
            "telemetry/control.jsonl",
            "telemetry/control-invocations.jsonl",
        ] {
            let row = side.only_row(journal);
            assert_eq!(row["traceId"], "tr-7", "{transport}: {journal}");
            assert_eq!(row["transport"], transport);
            assert_eq!(row["requestedBy"], "dana");
        }
    }
    let stored = sprite.manager_json("service-idempotency.json");
    assert_eq!(stored["k1"]["traceId"], "tr-7");

    let again = control("tr-8");
    assert_eq!(again["status"], "confirmed");
    assert_eq!(
        repo.last_row("telemetry/control-invocations.jsonl")["execution"]["replayed"],
        true
    );
    assert_eq!(sprite.rows("intents.jsonl").len(), 1, "executed once");

    through(&repo, &service.base_url, &["--trace-id", "tr-8"]).ok();
    let status = repo.status(&[]).ok();
    assert_eq!(status["control"]["lastTraceId"], "tr-8");
    assert_eq!(status["reconcile"]["lastTransport"], "sprite_service");
    assert_eq!(status["visibility"]["invocationAudit"]["replayed"], true);
}

#[test]
fn a_manager_in_the_repository_of_its_service_leaves_two_rows_per_control() {
    let mut sprite = healthy();
    let runtime = sprite.script("superloop", "exit 0");
    sprite.env("SUPERLOOP_BIN", &runtime);
    let service = Service::start(&sprite, &[]);
    let arguments = ["--intent", "approve", "--no-confirm"];
    let arguments = [&arguments[..], &service.flags()].concat();
    sprite.run("ops-manager-control", &arguments).ok();
    for journal in [
        "intents.jsonl",
        "telemetry/control.jsonl",
        "telemetry/control-invocations.jsonl",
    ] {
        let rows = sprite.rows(journal);
        let transports: Vec<&Value> = rows.iter().map(|row| &row["transport"]).collect();
        assert_eq!(transports, ["local", "sprite_service"], "{journal}");
        assert_eq!(rows[0]["traceId"], rows[1]["traceId"], "{journal}");
    }
    let pending = sprite.manager_json("control-pending.json");
    assert_eq!(pending["pending"], json!([]));
}

#[test]
fn a_client_hook_is_told_the_numbers_as_they_were_typed() {
    let mut repo = manager("nightly");
    let hook = repo.script(
        "client",
        r#"printf '%s ' "$@" > "$(dirname "$0")/argv"; exit 1"#,
    );
    repo.env("OPS_MANAGER_SERVICE_CLIENT_SCRIPT", &hook);
    let typed = ["--retry-attempts", "003", "--retry-backoff-seconds", "00"];
    failed(&repo, &through(&repo, "http://sprite", &typed));
    let argv = fs::read_to_string(repo.outside("argv")).expect("it ran");
    assert!(
        argv.contains("--retry-attempts 003 --retry-backoff-seconds 00 "),
        "{argv}"
    );
}
