//! Control intents over HTTP, without an idempotency key.

use std::fs;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Repo, Server, script, wait_until};

fn intent(intent: &str) -> Value {
    json!({"loopId": "nightly", "intent": intent, "noConfirm": true})
}

#[test]
fn an_intent_is_executed_and_its_row_is_the_result() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut body = intent("reject");
    body["by"] = json!("dana");
    body["note"] = json!("not yet");
    body["traceId"] = json!("t-1");
    let answer = server.control(&body);
    let rows = repo.rows("intents.jsonl");
    assert_eq!((answer.status, rows.len()), (200, 1));
    assert_eq!(
        answer.json(),
        json!({"ok": true, "exitCode": 0, "result": rows[0], "replayed": false, "traceId": "t-1"})
    );
    assert_eq!(
        (&rows[0]["requestedBy"], &rows[0]["note"]),
        (&json!("dana"), &json!("not yet"))
    );
    assert_eq!(
        (&rows[0]["transport"], &rows[0]["traceId"]),
        (&json!("local"), &json!("t-1"))
    );
    assert_eq!(rows[0]["commandOutput"], "trace t-1");
    for journal in [
        "telemetry/control.jsonl",
        "telemetry/control-invocations.jsonl",
    ] {
        assert_eq!(repo.rows(journal).len(), 1, "{journal}");
    }
    assert!(!repo.ops("service-idempotency.json").exists());
}

#[test]
fn the_status_says_how_it_ended() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    fs::write(repo.file("exit"), "7").expect("written");
    let failed = server.control(&intent("cancel"));
    assert_eq!(
        (failed.status, &failed.json()["exitCode"]),
        (500, &json!(1))
    );
    assert_eq!(failed.json()["result"]["exitCode"], 7);
    fs::remove_file(repo.file("exit")).expect("removed");
    // An approval is confirmed by completion, which does not come.
    let mut unseen = intent("approve");
    unseen["noConfirm"] = json!(false);
    unseen["timeoutSeconds"] = json!(0);
    let ambiguous = server.control(&unseen);
    assert_eq!(
        (ambiguous.status, &ambiguous.json()["exitCode"]),
        (409, &json!(2))
    );
    assert_eq!(ambiguous.json()["result"]["confirm"]["timeoutSeconds"], 0);
    // A cancel is confirmed by nothing running.
    let mut seen = intent("cancel");
    seen["noConfirm"] = json!(false);
    let confirmed = server.control(&seen);
    assert_eq!(
        (confirmed.status, &confirmed.json()["ok"]),
        (200, &json!(true))
    );
    assert_eq!(confirmed.json()["result"]["status"], "confirmed");
}

#[test]
fn limits_travel_in_the_body() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::start(&repo);
    let mut body = intent("cancel");
    body["runtimeTimeoutSeconds"] = json!(1);
    body["intervalSeconds"] = json!("4");
    let answer = server.control(&body);
    let row = &answer.json()["result"];
    assert_eq!((answer.status, &row["exitCode"]), (409, &json!(124)));
    let audit = &repo.rows("telemetry/control-invocations.jsonl")[0]["request"];
    assert_eq!(
        (&audit["intervalSeconds"], &audit["timeoutSeconds"]),
        (&json!(4), &json!(30))
    );
    assert_eq!(audit["runtimeTimeoutSeconds"], 1);
}

#[test]
fn who_acts_if_nobody_says_so() {
    let repo = Repo::new();
    for (actor, given, by) in [
        ("ops-service", json!(null), "ops-service"),
        ("", json!(""), ""),
        ("ops-service", json!("  "), ""),
        ("x", json!(7), "7"),
    ] {
        let server = Server::with(&repo, |config| config.actor = actor.to_owned());
        let mut body = intent("cancel");
        body["by"] = given;
        assert_eq!(server.control(&body).json()["result"]["requestedBy"], by);
    }
}

#[test]
fn the_trace_of_a_request_without_one() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| {
        config.trace_id = om_model::TraceId::new("t-service");
    });
    let text = intent("cancel").to_string();
    let answer = server.send(
        "POST",
        "/ops/control",
        &["X-Trace-Id: t-header"],
        text.as_bytes(),
    );
    assert_eq!(answer.json()["traceId"], "t-header");
    assert_eq!(
        server.control(&intent("cancel")).json()["traceId"],
        "t-service"
    );
    let server = Server::start(&repo);
    let random = server.control(&intent("cancel")).json();
    assert_eq!(random["traceId"].as_str().map(str::len), Some(36));
    assert_eq!(random["traceId"], random["result"]["traceId"]);
}

#[test]
fn a_loop_that_the_runtime_does_not_know_gets_its_rows() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let answer = server.control(&json!({"loopId": "new", "intent": "cancel", "noConfirm": true}));
    assert_eq!(answer.status, 200);
    assert!(
        repo.file(".superloop/ops-manager/new/intents.jsonl")
            .exists()
    );
}

#[test]
fn what_prevents_the_record_prevents_the_execution() {
    let repo = Repo::new();
    fs::create_dir_all(repo.ops("")).expect("created");
    fs::write(repo.ops("control-pending.json"), "{").expect("written");
    let server = Server::start(&repo);
    let answer = server.control(&intent("cancel"));
    assert_eq!(answer.error(), (500, "internal_error".into()));
    assert!(
        answer.message().contains("nothing was executed"),
        "{answer:?}"
    );
    assert_eq!(repo.calls(), 0);
}

#[test]
fn beyond_the_bound_a_control_is_refused_and_nothing_else_is() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::with(&repo, |config| config.limits.controls = 2);
    thread::scope(|scope| {
        let run = || scope.spawn(|| server.control(&intent("cancel")).status);
        let running = [run(), run()];
        wait_until("two are executed", || repo.calls() == 2);
        let refused = server.control(&intent("cancel"));
        assert_eq!(refused.error(), (503, "service_busy".into()));
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(refused.message().contains("nothing was executed"));
        assert_eq!(server.get("/ops/snapshot?loopId=nightly").status, 200);
        repo.let_go();
        for one in running {
            assert_eq!(one.join().expect("no panic"), 200);
        }
    });
    assert_eq!(server.control(&intent("cancel")).status, 200);
    assert_eq!(repo.calls(), 3);
}

#[test]
fn an_execution_goes_on_when_its_client_goes_away() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.request(
        "POST",
        "/ops/control",
        &[],
        intent("cancel").to_string().as_bytes(),
    );
    wait_until("it is executed", || repo.calls() == 1);
    drop(client);
    repo.let_go();
    wait_until("its rows are there", || {
        repo.rows("intents.jsonl").len() == 1
    });
    assert_eq!(
        repo.rows("intents.jsonl")[0]["status"],
        "executed_unconfirmed"
    );
}

#[test]
fn what_a_runtime_says_is_answered_and_recorded_without_the_token() {
    let repo = Repo::new();
    script(
        &repo.file("superloop.sh"),
        "#!/bin/sh\necho 'token s3cr3t-t0ken, (tok)'\n",
    );
    let server = Server::with_token(&repo, "s3cr3t-t0ken");
    let body = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true,
                      "idempotencyKey": "k"});
    let header = ["X-Ops-Token: s3cr3t-t0ken"];
    let body = body.to_string();
    let answer = server.send("POST", "/ops/control", &header, body.as_bytes());
    assert_eq!(
        answer.json()["result"]["commandOutput"],
        "token [redacted], (tok)"
    );
    for file in [
        "service-idempotency.json",
        "intents.jsonl",
        ".store/redo.log",
    ] {
        let bytes = fs::read(repo.ops(file)).expect("is there");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.contains("[redacted]") && !text.contains("s3cr3t-t0ken"),
            "{file}"
        );
    }
}

#[test]
fn for_a_repository_that_is_gone_nothing_is_executed_and_nothing_created() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let moved = repo.path().with_extension("moved");
    fs::rename(repo.path(), &moved).expect("moved away");
    let mut keyed = intent("cancel");
    keyed["idempotencyKey"] = json!("k");
    for body in [intent("cancel"), keyed] {
        let answer = server.control(&body);
        assert_eq!(answer.error(), (500, "internal_error".into()));
        assert!(
            answer.message().starts_with("repository error: "),
            "{}",
            answer.message()
        );
    }
    assert!(!repo.path().exists());
    fs::rename(&moved, repo.path()).expect("moved back");
    assert_eq!((repo.calls(), repo.ops("").exists()), (0, false));
}

#[test]
fn force_target_that_is_no_boolean_is_refused() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for value in [json!("false"), json!(1), json!({})] {
        let mut body = intent("cancel");
        body["forceTarget"] = value;
        assert_eq!(
            server.control(&body).error(),
            (400, "invalid_request".into())
        );
    }
    assert_eq!(repo.calls(), 0);
}
