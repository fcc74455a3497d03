//! The recorded repositories through every command that observes, and one
//! whole document of each kind, as snapshots.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Repo;

const SAMPLES: [&str; 8] = [
    "running",
    "complete",
    "awaiting-approval",
    "approved",
    "rejected",
    "max-iterations",
    "stuck",
    "role-failure",
];

/// Those members of a document.
fn pick(document: &Value, members: &[&str]) -> Value {
    let member = |name: &&str| ((*name).to_owned(), document[*name].clone());
    Value::Object(members.iter().map(member).collect())
}

/// Compares a document with the stored one of that name.
fn assert_document(name: &str, document: &Value) {
    let text = serde_json::to_string_pretty(document).expect("serialises");
    insta::assert_snapshot!(name, text);
}

/// Envelopes printed line by line.
fn poll(repo: &Repo) -> Vec<Value> {
    let run = repo.run("ops-manager-poll-events", &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let lines = run.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an envelope"))
        .collect()
}

/// What the commands say of a sample, reduced to what tells it from others.
fn portrait(repo: &Repo) -> Value {
    let snapshot = repo.run("ops-manager-loop-run-snapshot", &[]).ok();
    let events = poll(repo);
    let names: Vec<&Value> = events.iter().map(|event| &event["event"]["name"]).collect();
    let projected = repo
        .run("ops-manager-project-state", &["--state-file", "p.json"])
        .ok();
    let state = repo.reconcile(&["--trace-id", "t"]).ok();
    let report = repo.status(&[]).ok();
    let run = pick(&snapshot["run"], &["runId", "iteration", "status"]);
    json!({
        "snapshot": {"run": run, "health": snapshot["health"]},
        "events": {"count": events.len(), "first": names.first(), "last": names.last()},
        "project-state": pick(&projected, &["transition", "divergence"]),
        "reconcile": {
            "transition": state["transition"],
            "projection": state["projection"],
            "cursor": state["cursor"],
            "divergence": state["divergence"],
            "health": pick(&state["health"], &["status", "reasonCodes"]),
        },
        "escalations": repo.rows("escalations.jsonl").iter()
            .map(|row| row["category"].clone()).collect::<Vec<_>>(),
        "status": {
            "lifecycle": report["lifecycle"],
            "health": pick(&report["health"], &["status", "reasonCodes"]),
            "cursor": report["cursor"],
            "reconcile": report["reconcile"],
        },
    })
}

#[test]
fn every_sample_has_its_portrait() {
    for sample in SAMPLES {
        let repo = Repo::sample(sample);
        let portrait = repo.scrub(&portrait(&repo));
        assert_document(&format!("portrait-{sample}"), &portrait);
    }
}

#[test]
fn every_situation_has_its_lifecycle_state() {
    for (sample, state, confidence) in [
        ("running", "running", "high"),
        ("complete", "complete", "high"),
        ("awaiting-approval", "awaiting_approval", "high"),
        ("approved", "idle", "high"),
        ("rejected", "idle", "high"),
        ("max-iterations", "stopped", "high"),
        ("stuck", "stopped", "high"),
        ("role-failure", "running", "high"),
    ] {
        let repo = Repo::sample(sample);
        let state_document = repo.reconcile(&[]).ok();
        assert_eq!(
            state_document["transition"]["currentState"], state,
            "{sample}"
        );
        assert_eq!(
            state_document["transition"]["confidence"], confidence,
            "{sample}"
        );
    }
}

#[test]
fn every_event_of_a_log_has_its_envelope() {
    for sample in SAMPLES {
        let repo = Repo::sample(sample);
        let events = poll(&repo);
        let log = fs::read_to_string(repo.events()).expect("log");
        assert_eq!(events.len(), log.lines().count(), "{sample}");
        for ((line, number), event) in log.lines().zip(1_u64..).zip(&events) {
            let raw: Value = serde_json::from_str(line).expect("an event");
            assert_eq!(event["event"]["raw"], raw, "{sample} line {number}");
            assert_eq!(event["sequence"]["value"], number);
            assert_eq!(event["cursor"]["eventLineOffset"], number);
            assert_eq!(event["cursor"]["eventLineCount"], events.len());
        }
        assert!(poll(&repo).is_empty(), "{sample}: the cursor is at the end");
    }
}

#[test]
fn the_pass_and_the_three_commands_agree() {
    for sample in SAMPLES {
        let repo = Repo::sample(sample);
        fs::write(
            repo.outside("snapshot.json"),
            repo.run("ops-manager-loop-run-snapshot", &[]).stdout,
        )
        .expect("snapshot");
        fs::write(
            repo.outside("events.ndjson"),
            repo.run("ops-manager-poll-events", &[]).stdout,
        )
        .expect("events");
        let by_hand = [
            "--snapshot-file",
            "snapshot.json",
            "--events-file",
            "events.ndjson",
        ];
        let arguments = [&by_hand[..], &["--state-file", "by-hand.json"]].concat();
        let projected = repo.run("ops-manager-project-state", &arguments).ok();
        let state = repo.reconcile(&[]).ok();
        let members = [
            "source",
            "run",
            "transition",
            "projection",
            "cursor",
            "divergence",
        ];
        assert_eq!(
            pick(&projected, &members),
            pick(&state, &members),
            "{sample}"
        );
        let health = repo
            .run_plain("ops-manager-health", &["--state-file", "by-hand.json"])
            .ok();
        assert_eq!(
            health["reasonCodes"], state["health"]["reasonCodes"],
            "{sample}"
        );
    }
}

#[test]
fn one_whole_document_of_each_kind() {
    let repo = Repo::sample("awaiting-approval");
    let heartbeat = json!({
        "schemaVersion": "v1", "loopId": "awaiting-approval", "timestamp": "2026-11-20T07:37:00Z",
        "source": "sprite", "stage": "waiting",
    });
    repo.put_runtime("heartbeat.v1.json", &heartbeat.to_string());
    let snapshot = repo
        .run("ops-manager-loop-run-snapshot", &["--trace-id", "t"])
        .ok();
    let event = poll(&repo).pop().expect("an event");
    let projected = repo
        .run("ops-manager-project-state", &["--state-file", "p.json"])
        .ok();
    let state = repo.reconcile(&["--trace-id", "t"]).ok();
    let summary = repo.run("ops-manager-telemetry-summary", &[]).ok();
    let report = repo.status(&[]).ok();
    let mut dispatch = repo.manager_json("alert-dispatch-state.json");
    // The line holds the time, and the repository's path.
    dispatch["lastConsumedLine"]["end"] = "<length>".into();
    dispatch["lastConsumedLine"]["sha256"] = "<digest>".into();
    let documents = [
        ("snapshot-envelope", snapshot),
        ("event-envelope", event),
        ("projection", projected),
        ("state", state),
        ("cursor", repo.manager_json("cursor.json")),
        ("health", repo.manager_json("health.json")),
        ("heartbeat-state", repo.manager_json("heartbeat.json")),
        ("sequence-state", repo.manager_json("sequence-state.json")),
        (
            "transport-health",
            repo.manager_json("telemetry/transport-health.json"),
        ),
        ("profile-drift", repo.manager_json("profile-drift.json")),
        ("telemetry-summary", summary),
        ("status-report", report),
        ("reconcile-row", repo.only_row("telemetry/reconcile.jsonl")),
        ("heartbeat-row", repo.only_row("telemetry/heartbeat.jsonl")),
        ("sequence-row", repo.only_row("telemetry/sequence.jsonl")),
        ("drift-row", repo.only_row("telemetry/profile-drift.jsonl")),
        ("escalation-row", repo.only_row("escalations.jsonl")),
        ("alert-row", repo.only_row("telemetry/alerts.jsonl")),
        ("alert-dispatch-state", dispatch),
    ];
    for (name, document) in documents {
        assert_document(name, &repo.scrub(&document));
    }
}
