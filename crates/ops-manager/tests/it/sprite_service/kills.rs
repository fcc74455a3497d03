//! Killed in the middle of an execution (decisions D7 and D12).

use std::fs;

use serde_json::{Value, json};

use super::harness::{Repo, Service, answer, post, wait_until};

fn keyed(key: &str) -> Value {
    json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true, "idempotencyKey": key,
           "traceId": "t-first"})
}

/// A repository whose service was killed while it executed key `k`.
fn killed() -> Repo {
    let repo = Repo::new();
    fs::write(repo.file("hold"), "").expect("written");
    let service = Service::start(&repo, &[]);
    let _waiting = service.ask(&post(&keyed("k")));
    wait_until("it is executed", || repo.calls() == 1);
    service.kill();
    fs::remove_file(repo.file("hold")).expect("removed");
    repo
}

#[test]
fn a_repetition_is_told_that_the_outcome_is_unknown_and_nothing_is_executed() {
    let repo = killed();
    let service = Service::start(&repo, &[]);
    for _ in 0..2 {
        let (status, body) = service.post(&keyed("k"));
        assert_eq!(
            (status, &body["ok"], &body["exitCode"]),
            (200, &json!(false), &json!(2))
        );
        assert_eq!(
            (&body["replayed"], &body["traceId"]),
            (&json!(true), &json!("t-first"))
        );
    }
    assert_eq!(repo.calls(), 1);
}

#[test]
fn the_next_control_records_it_as_ambiguous() {
    let repo = killed();
    let service = Service::start(&repo, &[]);
    let (status, _) = service.post(&keyed("another"));
    assert_eq!(status, 200);
    let rows = repo.intents();
    assert_eq!(
        (&rows[0]["status"], &rows[0]["recovered"]),
        (&json!("ambiguous"), &json!(true))
    );
    assert_eq!(rows[0]["traceId"], "t-first");
    assert_eq!((rows.len(), repo.calls()), (2, 2));
    assert_eq!(service.post(&keyed("k")).1["exitCode"], 2);
}

#[test]
fn a_repetition_at_another_live_service_waits_for_the_first() {
    let repo = Repo::new();
    fs::write(repo.file("hold"), "").expect("written");
    let (one, other) = (Service::start(&repo, &[]), Service::start(&repo, &[]));
    let first = one.ask(&post(&keyed("k")));
    wait_until("it is executed", || repo.calls() == 1);
    let second = other.ask(&post(&keyed("k")));
    let mut conflicting = keyed("k");
    conflicting["intent"] = json!("reject");
    assert_eq!(other.post(&conflicting).0, 422);
    fs::remove_file(repo.file("hold")).expect("removed");
    let (first, second) = (answer(first).1, answer(second).1);
    assert_eq!(
        (&first["replayed"], &second["replayed"]),
        (&json!(false), &json!(true)),
        "{first} {second}"
    );
    assert_eq!(first["result"], second["result"]);
    assert_eq!(repo.calls(), 1);
}
