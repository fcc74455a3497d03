//! Every document and row that the commands produce is what its published
//! schema says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::{Repo, ago, event, healthy};
use crate::hooks::{ALERTS, hook};

/// Which schema describes which file of the manager.
const FILES: [(&str, &str); 14] = [
    ("state.json", "state"),
    ("cursor.json", "cursor"),
    ("health.json", "health"),
    ("heartbeat.json", "heartbeat-state"),
    ("sequence-state.json", "sequence-state"),
    ("profile-drift.json", "profile-drift"),
    ("escalations.jsonl", "escalation-row"),
    ("telemetry/transport-health.json", "transport-health"),
    ("telemetry/reconcile.jsonl", "reconcile-row"),
    ("telemetry/heartbeat.jsonl", "heartbeat-row"),
    ("telemetry/sequence.jsonl", "sequence-row"),
    ("telemetry/profile-drift.jsonl", "profile-drift-row"),
    ("telemetry/alerts.jsonl", "alert-stage-failure-row"),
    ("heartbeat.v1.json", "heartbeat"),
];

/// Every published schema, compiled once.
static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let entries = fs::read_dir(folder).expect("schemas").flatten();
    entries.map(|entry| compile(&entry.path())).collect()
});

/// The name of a schema file, and what it says.
fn compile(path: &Path) -> (String, Validator) {
    let schema = serde_json::from_slice(&fs::read(path).expect("schema")).expect("JSON");
    let file = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("UTF-8");
    let name = file
        .strip_prefix("ops-manager.")
        .and_then(|n| n.strip_suffix(".schema.json"));
    let name = name.unwrap_or_else(|| panic!("{file} is named like a schema"));
    let validator = jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{name}: {e}"));
    (name.to_owned(), validator)
}

fn schema(name: &str) -> &'static Validator {
    SCHEMAS
        .get(name)
        .unwrap_or_else(|| panic!("there is a schema {name}"))
}

/// Asserts that `document` is as the schema says; a list of what is not.
fn check(schema_name: &str, document: &Value) {
    let errors: Vec<String> = schema(schema_name)
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(errors, [""; 0], "{schema_name}: {document}");
}

/// Checks every file of the manager; one without a schema fails the test.
fn check_tree(repo: &Repo) {
    let root = repo.manager("");
    for (path, content) in repo.tree() {
        let Ok(file) = path.strip_prefix(&root) else {
            continue;
        };
        let file = file.to_str().expect("UTF-8");
        let name = FILES.iter().find(|(known, _)| *known == file);
        let (_, name) = name.unwrap_or_else(|| panic!("{file} has a schema"));
        let content = String::from_utf8(content).expect("UTF-8");
        let is_journal = path
            .extension()
            .is_some_and(|extension| extension == "jsonl");
        let documents: Vec<&str> = if is_journal {
            content.lines().collect()
        } else {
            vec![content.as_str()]
        };
        for document in documents {
            check(name, &serde_json::from_str(document).expect("JSON"));
        }
    }
}

/// Checks what the read-only commands print about a loop.
fn check_printed(repo: &Repo) {
    check(
        "contract",
        &repo.run("ops-manager-loop-run-snapshot", &[]).ok(),
    );
    let polled = repo.run(
        "ops-manager-poll-events",
        &["--from-start", "--trace-id", "t"],
    );
    for line in polled.stdout.lines() {
        check(
            "contract",
            &serde_json::from_str(line).expect("an envelope"),
        );
    }
    check(
        "state",
        &repo
            .run("ops-manager-project-state", &["--state-file", "p.json"])
            .ok(),
    );
    check(
        "telemetry-summary",
        &repo.run("ops-manager-telemetry-summary", &[]).ok(),
    );
    check("status", &repo.status(&[]).ok());
}

#[test]
fn every_sample_is_observed_in_valid_documents() {
    for sample in [
        "running",
        "complete",
        "awaiting-approval",
        "approved",
        "rejected",
        "max-iterations",
        "stuck",
        "role-failure",
    ] {
        let repo = Repo::sample(sample);
        repo.reconcile(&[]).ok();
        check_tree(&repo);
        check_printed(&repo);
    }
}

#[test]
fn failed_passes_are_recorded_in_valid_documents() {
    let repo = healthy();
    let log = fs::read(repo.events()).expect("log");
    fs::remove_file(repo.events()).expect("removed");
    repo.reconcile(&[]);
    check_tree(&repo);
    check("status", &repo.status(&[]).ok());
    fs::write(repo.events(), log).expect("back again");
    repo.reconcile(&[]).ok();
    repo.append_events("nonsense\n");
    assert_eq!(repo.reconcile(&[]).code, 1);
    check_tree(&repo);
    check("status", &repo.status(&[]).ok());
}

#[test]
fn heartbeats_are_recorded_in_valid_documents() {
    for heartbeat in [
        json!({"timestamp": ago(0), "free": {"addition": [1, null]}}),
        json!({"timestamp": ago(150)}),
        json!({"updatedAt": ago(999)}),
        json!({"timestamp": 7}),
        json!({}),
    ] {
        let repo = healthy();
        repo.put_runtime("heartbeat.v1.json", &heartbeat.to_string());
        repo.reconcile(&[]).ok();
        assert!(repo.manager("telemetry/heartbeat.jsonl").exists());
        check_tree(&repo);
        check_printed(&repo);
    }
    let repo = healthy();
    let arguments = ["heartbeat", "--repo", "repo", "--loop", "l", "--pid", "7"];
    let printed = repo.run_plain("ops-manager", &arguments).ok();
    check("heartbeat", &printed);
}

#[test]
fn every_kind_of_escalation_is_a_valid_row() {
    let repo = Repo::with_events(&[&event("iteration_start", &ago(500))]);
    let settings = [
        "--drift-min-confidence",
        "low",
        "--drift-required-streak",
        "1",
    ];
    repo.reconcile(&settings).ok();
    fs::remove_file(repo.manager("cursor.json")).expect("removed");
    repo.append_events(&(event("role_start", &ago(1_000)) + "\n"));
    repo.reconcile(&settings).ok();
    fs::remove_file(repo.manager("cursor.json")).expect("removed");
    repo.reconcile(&["--threshold-profile", "strict"]).ok();
    let rows = repo.rows("escalations.jsonl");
    for category in [
        "divergence_detected",
        "ordering_drift_detected",
        "health_degraded",
        "health_critical",
        "profile_drift_detected",
    ] {
        let has = rows.iter().any(|row| row["category"] == category);
        assert!(has, "{category} was provoked: {rows:?}");
    }
    check_tree(&repo);
    check_printed(&repo);
}

#[test]
fn a_failed_alert_stage_is_a_valid_row() {
    let mut repo = healthy();
    hook(&mut repo, ALERTS, "echo broken >&2; exit 1");
    repo.reconcile(&[]).ok();
    hook(&mut repo, ALERTS, "exit 1");
    repo.reconcile(&[]).ok();
    assert_eq!(repo.rows("telemetry/alerts.jsonl").len(), 2);
    check_tree(&repo);
    check("status", &repo.status(&[]).ok());
}

#[test]
fn an_active_drift_is_recorded_in_valid_documents() {
    let repo = healthy();
    let settings = [
        "--drift-min-confidence",
        "low",
        "--drift-required-streak",
        "1",
    ];
    for profile in ["relaxed", "strict"] {
        repo.reconcile(&[&settings[..], &["--threshold-profile", profile]].concat())
            .ok();
    }
    repo.reconcile(&["--alerts-enabled", "false"]).ok();
    check_tree(&repo);
    check_printed(&repo);
}

#[test]
fn a_report_with_everything_in_it_is_valid() {
    let repo = healthy();
    repo.put_runtime(
        "heartbeat.v1.json",
        &json!({"timestamp": ago(0)}).to_string(),
    );
    repo.reconcile(&[]).ok();
    let row = json!({
        "timestamp": ago(0), "intent": "cancel", "status": "confirmed", "requestedBy": "maria",
        "transport": "local", "idempotencyKey": "k", "traceId": "c",
        "execution": {"status": "succeeded", "replayed": true},
        "confirmation": {"status": "confirmed"}, "outcome": {"status": "confirmed"},
    });
    for journal in [
        "intents.jsonl",
        "telemetry/control.jsonl",
        "telemetry/control-invocations.jsonl",
        "telemetry/alerts.jsonl",
    ] {
        repo.put(journal, &format!("{row}\n"));
    }
    repo.put(
        "alert-dispatch-state.json",
        &json!({"status": "success"}).to_string(),
    );
    repo.put(
        "control-pending.json",
        &json!({"pending": [{"controlId": "c"}]}).to_string(),
    );
    let healthy = repo.status(&[]).ok();
    check("status", &healthy);
    repo.put("telemetry/control.jsonl", "{broken\n");
    let warned = repo.status(&[]).ok();
    assert!(warned.get("warnings").is_some());
    check("status", &warned);
}

#[test]
fn profiles_and_the_shipped_catalog_are_valid() {
    let repo = Repo::empty("l");
    for name in ["strict", "balanced", "relaxed"] {
        let profile = repo
            .run_plain("ops-manager-threshold-profile", &["--profile", name])
            .ok();
        check("resolved-threshold-profile", &profile);
    }
    let catalog = include_str!("../../../../config/ops-manager-threshold-profiles.v1.json");
    check(
        "threshold-profiles",
        &serde_json::from_str(catalog).expect("JSON"),
    );
}

#[test]
fn the_commands_own_outputs_are_valid() {
    let repo = healthy();
    check("health", &repo.run_plain("ops-manager-health", &[]).ok());
    let arguments = [
        "--applied-profile",
        "strict",
        "--recommended-profile",
        "relaxed",
    ];
    check(
        "profile-drift",
        &repo.run("ops-manager-profile-drift", &arguments).ok(),
    );
    check(
        "profile-drift",
        &repo.run("ops-manager-profile-drift", &[]).ok(),
    );
    repo.run("ops-manager-poll-events", &["--cursor-file", "cursor.json"]);
    let cursor = fs::read(repo.outside("cursor.json")).expect("cursor");
    check("cursor", &serde_json::from_slice(&cursor).expect("JSON"));
}

#[test]
fn the_schemas_are_no_rubber_stamps() {
    let repo = healthy();
    let state = repo.reconcile(&[]).ok();
    for (name, file) in FILES.map(|(file, name)| (name, file)) {
        if !repo.manager(file).exists() {
            continue;
        }
        let mut document = if Path::new(file).extension().is_some_and(|e| e == "jsonl") {
            repo.last_row(file)
        } else {
            repo.manager_json(file)
        };
        check(name, &document);
        document["loopId"] = json!(7);
        document["schemaVersion"] = json!("v9");
        assert!(!schema(name).is_valid(&document), "{name}");
    }
    assert!(
        !schema("health").is_valid(&state),
        "a state is no health document"
    );
}
