//! One execution per key (decision D12).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Repo, Server, wait_until};

fn keyed(intent: &str, key: &str) -> Value {
    json!({"loopId": "nightly", "intent": intent, "noConfirm": true, "idempotencyKey": key})
}

fn store(repo: &Repo) -> Value {
    let text = fs::read_to_string(repo.ops("service-idempotency.json")).expect("it is there");
    serde_json::from_str(&text).expect("is JSON")
}

fn write_store(repo: &Repo, text: &str) {
    fs::create_dir_all(repo.ops("")).expect("created");
    fs::write(repo.ops("service-idempotency.json"), text).expect("written");
}

#[test]
fn a_repetition_gets_the_stored_answer() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let first = server.control(&keyed("cancel", "k")).json();
    assert_eq!(first["replayed"], false);
    let mut again = keyed("cancel", "k");
    again["traceId"] = json!("another");
    again["by"] = json!("somebody else");
    let second = server.control(&again);
    let mut expected = first;
    expected["replayed"] = json!(true);
    assert_eq!((second.status, second.json()), (200, expected));
    assert_eq!((repo.calls(), repo.rows("intents.jsonl").len()), (1, 1));
}

#[test]
fn a_failure_is_repeated_with_200() {
    let repo = Repo::new();
    fs::write(repo.file("exit"), "3").expect("written");
    let server = Server::start(&repo);
    assert_eq!(server.control(&keyed("cancel", "k")).status, 500);
    fs::remove_file(repo.file("exit")).expect("removed");
    let again = server.control(&keyed("cancel", "k"));
    assert_eq!((again.status, &again.json()["ok"]), (200, &json!(false)));
    assert_eq!(again.json()["result"]["exitCode"], 3);
    assert_eq!(repo.calls(), 1);
}

#[test]
fn the_key_may_stand_in_a_header() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let body = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true}).to_string();
    for replayed in [false, true] {
        let headers = ["X-Idempotency-Key: k"];
        let answer = server.send("POST", "/ops/control", &headers, body.as_bytes());
        assert_eq!(answer.json()["replayed"], replayed);
    }
    assert_eq!(
        server.control(&keyed("cancel", "k")).json()["replayed"],
        true
    );
}

#[test]
fn a_restarted_service_remembers() {
    let repo = Repo::new();
    let first = Server::start(&repo);
    first.control(&keyed("cancel", "k"));
    first.end();
    let second = Server::start(&repo);
    assert_eq!(
        second.control(&keyed("cancel", "k")).json()["replayed"],
        true
    );
    assert_eq!(repo.calls(), 1);
}

#[test]
fn keys_belong_to_their_loop() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    server.control(&keyed("cancel", "k"));
    let mut other = keyed("approve", "k");
    other["loopId"] = json!("other");
    assert_eq!(server.control(&other).json()["replayed"], false);
}

#[test]
fn a_key_used_for_another_intent_is_a_conflict() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    server.control(&keyed("cancel", "k"));
    let answer = server.control(&keyed("approve", "k"));
    assert_eq!(answer.error(), (422, "idempotency_conflict".into()));
    assert!(answer.message().contains("nothing was executed"));
    assert_eq!(repo.calls(), 1);
}

#[test]
fn also_while_the_other_intent_is_being_executed() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::start(&repo);
    thread::scope(|scope| {
        let running = scope.spawn(|| server.control(&keyed("cancel", "k")).status);
        wait_until("it is executed", || repo.calls() == 1);
        assert_eq!(server.control(&keyed("reject", "k")).status, 422);
        repo.let_go();
        assert_eq!(running.join().expect("no panic"), 200);
    });
}

#[test]
fn of_sixty_four_requests_with_one_key_one_is_executed() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::with(&repo, |config| config.limits.controls = 1);
    let answers: Vec<Value> = thread::scope(|scope| {
        let requests: Vec<_> = (0..64)
            .map(|_| scope.spawn(|| server.control(&keyed("cancel", "k")).json()))
            .collect();
        wait_until("one is executed", || repo.calls() == 1);
        // Those who wait hold no slot, but this one finds none free.
        let other = server.control(&keyed("cancel", "other"));
        assert_eq!(other.error(), (503, "service_busy".into()));
        repo.let_go();
        let join = |request: thread::ScopedJoinHandle<'_, Value>| request.join().expect("no panic");
        requests.into_iter().map(join).collect()
    });
    let first = answers.iter().filter(|answer| answer["replayed"] == false);
    assert_eq!((first.count(), repo.calls()), (1, 1));
    assert!(answers.iter().all(|answer| answer["ok"] == true));
    assert!(
        answers
            .iter()
            .all(|answer| answer["result"] == answers[0]["result"])
    );
    assert_eq!(repo.rows("intents.jsonl").len(), 1);
    assert_eq!(
        server.control(&keyed("cancel", "other")).json()["replayed"],
        false
    );
}

#[test]
fn different_keys_at_once_lose_nothing() {
    let repo = Repo::new();
    let server = Server::with(&repo, |config| config.limits.controls = 64);
    thread::scope(|scope| {
        for number in 0..16 {
            let server = &server;
            scope.spawn(move || {
                let key = format!("k{number}");
                assert_eq!(server.control(&keyed("cancel", &key)).status, 200);
            });
        }
    });
    assert_eq!(store(&repo).as_object().map(serde_json::Map::len), Some(16));
    assert_eq!((repo.calls(), repo.rows("intents.jsonl").len()), (16, 16));
}

#[test]
fn the_key_is_recorded_before_the_execution_and_its_answer_with_the_rows() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::start(&repo);
    thread::scope(|scope| {
        let running = scope.spawn(|| server.control(&keyed("cancel", "k")).json());
        wait_until("it is executed", || repo.calls() == 1);
        let begun = &store(&repo)["k"];
        assert_eq!(
            (&begun["state"], &begun["intent"]),
            (&json!("in_progress"), &json!("cancel"))
        );
        assert_eq!(begun["owner"]["pid"], std::process::id());
        repo.let_go();
        let answer = running.join().expect("no panic");
        let done = &store(&repo)["k"];
        assert_eq!(
            (&done["state"], &done["replayed"]),
            (&json!("done"), &json!(false))
        );
        assert_eq!(done["result"], answer["result"]);
    });
    let file = fs::metadata(repo.ops("service-idempotency.json")).expect("there");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let text = fs::read(repo.ops("service-idempotency.json")).expect("read");
    assert!(!text.contains(&b'\n'), "compact, without a newline");
}

#[test]
fn stored_answers_of_the_scripts_are_repeated() {
    let repo = Repo::new();
    write_store(
        &repo,
        r#"{"k":{"ok":false,"exitCode":2,"result":{"intent":"cancel"},"replayed":false},"odd":1}"#,
    );
    let server = Server::start(&repo);
    let mut body = keyed("cancel", "k");
    body["traceId"] = json!("t");
    let answer = server.control(&body);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"ok": false, "exitCode": 2, "result": {"intent": "cancel"}, "replayed": true,
               "traceId": "t"})
    );
    assert_eq!(server.control(&keyed("reject", "k")).status, 422);
    assert_eq!(repo.calls(), 0);
    // What is no object counts for nothing.
    assert_eq!(
        server.control(&keyed("reject", "odd")).json()["replayed"],
        false
    );
    assert_eq!(store(&repo)["k"]["exitCode"], 2);
}

#[test]
fn an_execution_whose_process_is_gone_is_ambiguous() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let recent = "2031-01-01T00:00:00Z";
    let own_number = json!({
        "host": host(), "bootId": boot_id(), "pid": std::process::id(), "processStart": 1,
    });
    let elsewhere = json!({"host": "other", "bootId": "b", "pid": 1});
    for (key, since, owner) in [
        ("reused", recent, own_number),
        ("unreadable", recent, json!("?")),
        ("elsewhere-long-ago", "1999-01-01T00:00:00Z", elsewhere),
    ] {
        let value = json!({
            "state": "in_progress", "intent": "cancel", "storedAt": since, "traceId": "t-dead",
            "owner": owner,
        });
        write_store(&repo, &json!({ key: value }).to_string());
        let answer = server.control(&keyed("cancel", key));
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["ok"], &body["exitCode"]),
            (200, &json!(false), &json!(2))
        );
        assert_eq!(
            (&body["replayed"], &body["traceId"]),
            (&json!(true), &json!("t-dead"))
        );
        assert_eq!(server.control(&keyed("reject", key)).status, 422, "{key}");
    }
    assert_eq!(repo.calls(), 0);
}

#[test]
fn a_service_that_lives_does_not_say_that_it_ended() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let own = json!(om_control::owner::Owner::current());
    for (owner, ended) in [(own, false), (json!("?"), false), (json!(null), false)] {
        let value = json!({"state": "in_progress", "intent": "cancel", "owner": owner});
        write_store(&repo, &json!({ "k": value }).to_string());
        let body = server.control(&keyed("cancel", "k")).json();
        assert_eq!(
            (&body["exitCode"], &body["replayed"]),
            (&json!(2), &json!(true))
        );
        let said = body["stderr"].as_str().expect("says why");
        assert!(
            said.starts_with("error: ") && said.contains("unknown"),
            "{said}"
        );
        assert_eq!(said.contains("the service ended"), ended, "{said}");
    }
}

#[test]
fn an_outcome_that_cannot_be_recorded_is_answered_from_what_recovery_records() {
    let repo = Repo::new();
    // A folder in the place of a journal.
    fs::create_dir_all(repo.ops("intents.jsonl/x")).expect("created");
    let server = Server::start(&repo);
    let first = server.control(&keyed("cancel", "k"));
    assert_eq!((first.status, &first.json()["exitCode"]), (409, &json!(2)));
    // Still in the way.
    let again = server.control(&keyed("cancel", "k")).json();
    let said = again["stderr"].as_str().expect("says why");
    assert!(said.contains("could not be recorded"), "{said}");
    let pending = fs::read_to_string(repo.ops("control-pending.json")).expect("pending");
    assert!(pending.contains("\"ended\":true"), "{pending}");
    fs::remove_dir_all(repo.ops("intents.jsonl")).expect("unblocked");
    let known = server.control(&keyed("cancel", "k")).json();
    let row = &repo.rows("intents.jsonl")[0];
    assert_eq!(
        (&known["replayed"], &known["exitCode"]),
        (&json!(true), &json!(2))
    );
    assert_eq!((&known["result"], &row["recovered"]), (row, &json!(true)));
    assert_eq!(store(&repo)["k"]["state"], "done");
    assert_eq!(repo.calls(), 1);
}

#[test]
fn a_key_in_progress_always_has_its_pending_intent() {
    let repo = Repo::new();
    repo.hold();
    let server = Server::start(&repo);
    thread::scope(|scope| {
        let running = scope.spawn(|| server.control(&keyed("cancel", "k")));
        wait_until("it is executed", || repo.calls() == 1);
        let pending = fs::read_to_string(repo.ops("control-pending.json")).expect("pending");
        let pending: Value = serde_json::from_str(&pending).expect("JSON");
        assert_eq!(
            store(&repo)["k"]["controlKey"],
            pending["pending"][0]["idempotencyKey"]
        );
        // Both came in one commit: the record of commits has one so far.
        let log = fs::read(repo.ops(".store/redo.log")).expect("the record");
        let text = String::from_utf8_lossy(&log);
        assert_eq!(text.matches("\"in_progress\"").count(), 1);
        assert_eq!(text.matches("control-pending.json").count(), 1);
        repo.let_go();
        assert_eq!(running.join().expect("no panic").status, 200);
    });
    assert_eq!(store(&repo)["k"]["state"], "done");
}

#[test]
fn an_intent_of_a_service_that_died_is_answered_from_what_recovery_records() {
    let repo = Repo::new();
    let owner =
        json!({"host": host(), "bootId": boot_id(), "pid": std::process::id(), "processStart": 1});
    let mut entry = json!({
        "controlId": "c", "startedAt": "2031-01-01T00:00:00Z", "loopId": "nightly",
        "intent": "cancel", "transport": "local", "traceId": "t-dead",
        "idempotencyKey": "cancel-1-2", "requestedBy": "dana", "command": "superloop.sh cancel",
        "request": {"doConfirm": false, "timeoutSeconds": 0, "intervalSeconds": 0,
                    "retryAttempts": 3, "retryBackoffSeconds": 1},
    });
    for (name, value) in owner.as_object().expect("an object") {
        entry[name] = value.clone();
    }
    let value = json!({"state": "in_progress", "intent": "cancel", "traceId": "t-dead",
                       "storedAt": "2031-01-01T00:00:00Z", "owner": owner,
                       "controlKey": "cancel-1-2"});
    write_store(&repo, &json!({ "k": value }).to_string());
    let pending = json!({"schemaVersion": "v1", "pending": [entry]});
    fs::write(repo.ops("control-pending.json"), pending.to_string()).expect("written");
    let server = Server::start(&repo);
    for _ in 0..2 {
        let body = server.control(&keyed("cancel", "k")).json();
        assert_eq!(
            (&body["exitCode"], &body["replayed"]),
            (&json!(2), &json!(true))
        );
        assert_eq!(body["traceId"], "t-dead");
        let rows = repo.rows("intents.jsonl");
        assert_eq!((rows.len(), &body["result"]), (1, &rows[0]));
        assert_eq!(rows[0]["recovered"], true);
    }
    assert_eq!(
        (repo.calls(), &store(&repo)["k"]["state"]),
        (0, &json!("done"))
    );
    for journal in [
        "telemetry/control.jsonl",
        "telemetry/control-invocations.jsonl",
    ] {
        assert_eq!(repo.rows(journal).len(), 1, "{journal}");
    }
}

fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_record_that_cannot_be_used_stops_everything_with_a_key() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for text in ["", "{", "[]", "null", "{} {}", "\u{0}"] {
        write_store(&repo, text);
        let answer = server.control(&keyed("cancel", "k"));
        assert_eq!(
            answer.error(),
            (500, "idempotency_store_invalid".into()),
            "{text:?}"
        );
        assert!(answer.message().contains("service-idempotency.json"));
        let after = fs::read_to_string(repo.ops("service-idempotency.json")).expect("there");
        assert_eq!(after, text, "it is left alone");
    }
    assert_eq!(repo.calls(), 0);
    let without = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true});
    assert_eq!(server.control(&without).status, 200);
}

#[test]
fn a_key_that_was_not_executed_can_be_used_again() {
    let repo = Repo::new();
    fs::create_dir_all(repo.ops("")).expect("created");
    fs::write(repo.ops("control-pending.json"), "{").expect("written");
    let server = Server::start(&repo);
    assert_eq!(server.control(&keyed("cancel", "k")).error().0, 500);
    fs::remove_file(repo.ops("control-pending.json")).expect("removed");
    assert_eq!(
        server.control(&keyed("cancel", "k")).json()["replayed"],
        false
    );
    assert_eq!(repo.calls(), 1);
}
