//! Every document and row that the commands produce is what its published
//! schema says.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::{Repo, ago, event, healthy};
use crate::hooks::{ALERTS, hook};
use crate::service_process::Service;

/// Which schema describes which file of the manager.
const FILES: [(&str, &str); 20] = [
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
    ("telemetry/alerts.jsonl", "alert-row"),
    ("alert-dispatch-state.json", "alert-dispatch-state"),
    ("intents.jsonl", "intent-row"),
    ("control-pending.json", "control-pending"),
    ("telemetry/control.jsonl", "control-row"),
    ("service-idempotency.json", "service-idempotency"),
    (
        "telemetry/control-invocations.jsonl",
        "control-invocation-row",
    ),
    ("heartbeat.v1.json", "heartbeat"),
];

/// Every published schema, compiled once.
static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let entries = fs::read_dir(folder).expect("schemas").flatten();
    let paths = entries.map(|entry| entry.path());
    let is_schema = |path: &PathBuf| path.to_string_lossy().ends_with(".schema.json");
    paths.filter(is_schema).map(|path| compile(&path)).collect()
});

/// The name of a schema file, and what it says.
fn compile(path: &Path) -> (String, Validator) {
    let schema = serde_json::from_slice(&fs::read(path).expect("schema")).expect("JSON");
    let file = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("UTF-8");
    let name = file.strip_suffix(".schema.json").expect("a schema");
    let name = name.strip_prefix("ops-manager.").unwrap_or(name);
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
fn control_is_recorded_in_valid_documents() {
    let mut repo = healthy();
    let runtime = repo.script("superloop", "echo done; exit \"${CODE:-0}\"");
    repo.env("SUPERLOOP_BIN", &runtime);
    for (intent, arguments, code, exit_code) in [
        ("cancel", &["--no-confirm", "--note", "why"][..], "0", 0),
        ("approve", &["--timeout-seconds", "0"][..], "0", 2),
        ("reject", &["--by", ""][..], "7", 1),
    ] {
        repo.env("CODE", code);
        let arguments = [&["--intent", intent], arguments].concat();
        let run = repo.run("ops-manager-control", &arguments);
        assert_eq!(run.code, exit_code, "{intent}: {run:?}");
        check("intent-row", &run.json());
    }
    assert_eq!(repo.rows("intents.jsonl").len(), 3);
    repo.reconcile(&[]).ok();
    check_tree(&repo);
    check_printed(&repo);
}

#[test]
fn what_a_service_remembers_is_valid_while_it_acts_and_afterwards() {
    let mut repo = healthy();
    let waits = r#"while [ -d "$3" ] && [ ! -e "$3/go" ]; do sleep 0.02; done"#;
    let runtime = repo.script("superloop", waits);
    repo.env("SUPERLOOP_BIN", &runtime);
    let service = Service::start(&repo, &[]);
    let arguments = [
        &["--intent", "cancel", "--no-confirm"][..],
        &service.flags(),
    ]
    .concat();
    thread::scope(|scope| {
        let control = scope.spawn(|| repo.run("ops-manager-control", &arguments).ok());
        let store = repo.manager("service-idempotency.json");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !store.exists() {
            assert!(Instant::now() < deadline, "the key is recorded");
            thread::sleep(Duration::from_millis(2));
        }
        assert!(
            fs::read_to_string(&store)
                .expect("keys")
                .contains("in_progress")
        );
        check_tree(&repo);
        fs::write(repo.path().join("go"), "").expect("released");
        check("intent-row", &control.join().expect("controls"));
    });
    let store = fs::read_to_string(repo.manager("service-idempotency.json"));
    assert!(store.expect("keys").contains(r#""state":"done""#));
    check_tree(&repo);
}

#[test]
fn verdicts_about_intents_are_valid() {
    let repo = healthy();
    for (intent, confirmed) in [("approve", false), ("reject", false), ("cancel", true)] {
        if confirmed {
            fs::remove_file(repo.path().join(".superloop/state.json")).expect("removed");
            repo.write_events(&(event("loop_start", &ago(0)) + "\n"));
        }
        let arguments = ["--intent", intent, "--timeout-seconds", "0"];
        let verdict = repo.run("ops-manager-confirm-intent", &arguments).json();
        assert_eq!(verdict["confirmed"], confirmed, "{verdict}");
        check("confirm-verdict", &verdict);
    }
}

#[test]
fn alerts_are_recorded_in_valid_documents() {
    let mut repo = healthy();
    let sinks = json!({
        "schemaVersion": "v1", "defaultMinSeverity": "warning",
        "sinks": {"relay": {"enabled": true, "type": "webhook", "urlEnv": "RELAY_URL"}},
        "routing": {
            "defaultSinks": ["relay"], "categorySeverity": {"quiet": "info"},
            "routes": [{"category": "quiet"}],
        },
    });
    check("ops-manager-alert-sinks.config", &sinks);
    fs::write(repo.outside("sinks.json"), sinks.to_string()).expect("sinks");
    repo.env("OPS_MANAGER_ALERT_SINKS_FILE", "sinks.json");
    let lines = [
        "nonsense",
        "{}",
        "",
        r#"{"category":"c","severity":"high"}"#,
        r#"{"category":"quiet"}"#,
        r#"{"category":"c","timestamp":"then","loopId":"other"}"#,
    ];
    // Not in its place: not every line is what reconcile would escalate.
    fs::write(repo.outside("lines"), lines.join("\n") + "\n").expect("lines");
    let dispatch = |repo: &Repo| {
        let arguments = ["--escalations-file", "lines"];
        repo.run("ops-manager-alert-dispatch", &arguments).ok()
    };
    let printed = dispatch(&repo);
    check("alert-dispatch-state", &printed);
    assert_eq!(
        printed["failureReasonCodes"].as_array().map(Vec::len),
        Some(4)
    );
    let port = unused_port();
    repo.env("RELAY_URL", format!("http://127.0.0.1:{port}/"));
    let again = dispatch(&repo);
    assert_eq!(
        again["pendingDeliveries"][1]["reasonCode"],
        "request_failed"
    );
    check_tree(&repo);
    repo.put("state.json", "{}");
    check("status", &repo.status(&[]).ok());
}

/// A port that nothing listens on.
fn unused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn what_the_sink_resolver_prints_is_valid() {
    let repo = Repo::empty("l");
    let resolve = |arguments: &[&str]| {
        repo.run_plain("ops-manager-alert-sink-config", arguments)
            .ok()
    };
    check("alert-sink-catalogue", &resolve(&[]));
    for category in ["health_critical", "health_degraded", "unheard_of"] {
        check("alert-route", &resolve(&["--category", category]));
    }
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
fn profiles_and_the_shipped_configurations_are_valid() {
    let repo = Repo::empty("l");
    for name in ["strict", "balanced", "relaxed"] {
        let profile = repo
            .run_plain("ops-manager-threshold-profile", &["--profile", name])
            .ok();
        check("resolved-threshold-profile", &profile);
    }
    let catalog = include_str!("../../../../config/ops-manager-threshold-profiles.v1.json");
    let sinks = include_str!("../../../../config/ops-manager-alert-sinks.v1.json");
    for (schema, shipped) in [
        ("threshold-profiles", catalog),
        ("ops-manager-alert-sinks.config", sinks),
    ] {
        check(schema, &serde_json::from_str(shipped).expect("JSON"));
    }
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
