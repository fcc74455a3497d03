//! The incident drills of the runbook, as commands.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, finished};

const DRILLS: [(&str, &str); 3] = [
    ("kill-switch", "kill_switch"),
    ("sprite-outage", "sprite_service_outage"),
    ("retry-guard", "ambiguous_retry_guard"),
];

/// A repository with the registry of a fleet that must not be touched.
fn fleet() -> Repo {
    let repo = Repo::empty("fleet");
    let registry = json!({
        "schemaVersion": "v1", "fleetId": "north",
        "loops": [
            {"loopId": "a", "transport": "sprite_service", "service": {
                "baseUrl": "http://127.0.0.1:9", "tokenEnv": "REAL_TOKEN"}},
            {"loopId": "b ü"},
            {"loopId": "c", "enabled": false},
        ],
        "policy": {
            "suppressions": {"*": ["health_critical", "reconcile_failed"]},
            "autonomous": {"safety": {"killSwitch": true, "maxActionsPerRun": 0}},
        },
    });
    repo.put("registry.v1.json", &registry.to_string());
    repo
}

fn drill(repo: &Repo, name: &str, arguments: &[&str]) -> Run {
    let into = format!("drilled-{name}");
    let path = repo.path().display().to_string();
    let leading = ["drill", name, "--repo", &path, "--into", &into];
    repo.run_plain("ops-manager", &[&leading[..], arguments].concat())
}

fn evidence(repo: &Repo) -> Value {
    repo.manager_json("drills/promotion.v1.json")
}

/// Asserts that every step of a report passed, with evidence that exists.
fn passed(report: &Value) {
    assert_eq!(report["status"], "pass", "{report:#}");
    for step in report["steps"].as_array().expect("steps") {
        assert_eq!(step["status"], "pass", "{step:#}");
        let files = step["evidence"].as_array().expect("evidence");
        assert!(!files.is_empty(), "{step:#}");
        for file in files {
            let file = file.as_str().expect("a path");
            assert!(fs::exists(file).expect("can be looked at"), "{file}");
        }
    }
}

#[test]
fn incident_drill_kill_switch_halts_autonomous_execution_and_leaves_the_manual_way() {
    let repo = fleet();
    passed(&drill(&repo, "kill-switch", &["--json"]).ok());
}

#[test]
fn incident_drill_sprite_service_outage_pauses_autonomy_and_recovers() {
    let repo = fleet();
    passed(&drill(&repo, "sprite-outage", &["--json"]).ok());
}

#[test]
fn incident_drill_ambiguous_outcomes_are_retry_guarded() {
    let repo = fleet();
    passed(&drill(&repo, "retry-guard", &["--json"]).ok());
}

#[test]
fn all_three_recorded_are_the_evidence_that_promotion_reads() {
    let repo = fleet();
    for (name, _) in DRILLS {
        let report = drill(&repo, name, &["--json", "--record", "--by", "dana"]).ok();
        assert_eq!(report["recordedIn"], repo.shown("drills/promotion.v1.json"));
    }
    let record = evidence(&repo);
    assert_eq!(record["schemaVersion"], "v1");
    for ((_, id), entry) in DRILLS
        .iter()
        .zip(record["drills"].as_array().expect("a list"))
    {
        assert_eq!(entry["id"], *id);
        assert_eq!(entry["status"], "pass");
        assert_eq!(entry["by"], "dana");
        assert_eq!(entry["version"], env!("CARGO_PKG_VERSION"));
    }
    assert_eq!(record["updatedAt"], record["drills"][2]["completedAt"]);
    let path = repo.path().display().to_string();
    repo.put("status.json", "{}");
    let status = repo.shown("status.json");
    let arguments = ["--repo", &path, "--fleet-status-file", &status];
    let gates = repo
        .run_plain("ops-manager-promotion-gates", &arguments)
        .ok();
    assert_eq!(
        gates["gates"]["drillRecency"]["status"], "pass",
        "{gates:#}"
    );
}

#[test]
fn a_drill_leaves_everything_but_its_record_alone() {
    let mut repo = fleet();
    repo.put(
        "state.json",
        r#"{"results":[{"loopId":"b ü","status":"failed"}]}"#,
    );
    repo.env("REAL_TOKEN", "s3cret");
    let hook = repo.script("hook", r#"touch "$(dirname "$0")/hook.ran"; exit 1"#);
    for variable in [
        "SUPERLOOP_BIN",
        "OPS_MANAGER_CONTROL_SCRIPT",
        "OPS_MANAGER_RECONCILE_SCRIPT",
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        "OPS_MANAGER_ALERT_DISPATCH_SCRIPT",
    ] {
        repo.env(variable, &hook);
    }
    repo.env("http_proxy", "http://127.0.0.1:9");
    repo.env("OPS_MANAGER_TRACE_ID", "theirs");
    let before = repo.tree();
    for (name, _) in DRILLS {
        passed(&drill(&repo, name, &["--json"]).ok());
    }
    assert_eq!(repo.tree(), before);
    assert!(!repo.outside("hook.ran").exists(), "no hook was used");
}

#[test]
fn a_drill_that_fails_is_recorded_as_failed() {
    let repo = fleet();
    let other = json!({"id": "kill_switch", "status": "pass", "completedAt": "then"});
    let old = json!({"id": "ambiguous_retry_guard", "status": "pass", "completedAt": "then"});
    let record = json!({"schemaVersion": "v1", "theirs": 7, "drills": [other, old]});
    repo.put("drills/promotion.v1.json", &record.to_string());
    // Where there is no rm, the runtime's stand-in cannot cancel anything.
    let path = repo.path().display().to_string();
    let run = repo
        .command("ops-manager")
        .args([
            "drill",
            "retry-guard",
            "--repo",
            &path,
            "--record",
            "--json",
        ])
        .args(["--into", "failing"])
        .env("PATH", "/nowhere")
        .output()
        .expect("starts");
    let run = finished(run);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let report = run.json();
    assert_eq!(report["status"], "fail");
    let steps = report["steps"].as_array().expect("steps");
    let found: Vec<&Value> = steps.iter().map(|step| &step["status"]).collect();
    assert_eq!(found, ["pass", "pass", "pass", "fail", "not_run"]);
    let after = evidence(&repo);
    assert_eq!(after["drills"][1]["status"], "fail");
    assert_ne!(after["drills"][1]["completedAt"], "then");
    assert_eq!(after["drills"][0], other);
    assert_eq!(after["theirs"], 7);
}

#[test]
fn a_record_that_cannot_be_extended_is_refused_before_anything_is_played() {
    let repo = fleet();
    repo.put("drills/promotion.v1.json", "{");
    let run = drill(&repo, "kill-switch", &["--record"]);
    let file = repo.shown("drills/promotion.v1.json");
    let message = format!("invalid drill evidence JSON: {file}: ");
    assert!(run.error().starts_with(&message), "{}", run.stderr);
    assert!(!repo.outside("drilled-kill-switch").exists());
}

#[test]
fn without_a_repository_a_made_up_fleet_is_drilled_and_shown_in_eighty_columns() {
    let repo = Repo::empty("l");
    let run = repo.run_plain("ops-manager", &["drill", "kill-switch", "--into", "here"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    let into = repo.outside("here").display().to_string();
    assert!(run.stdout.contains(&into), "it says where");
    for words in ["passed", "made-up fleet", "kill switch off"] {
        assert!(run.stdout.contains(words), "{words}:\n{}", run.stdout);
    }
    let steps = run.stdout.lines().filter(|line| !line.contains(&into));
    let widest = steps.map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{}", run.stdout);
}

#[test]
fn what_cannot_be_drilled_is_refused() {
    let repo = Repo::empty("fleet");
    let run = |arguments: &[&str]| repo.run_plain("ops-manager", arguments);
    let names = "drill must be one of: kill-switch, sprite-outage, retry-guard";
    assert_eq!(run(&["drill"]).error(), names);
    assert_eq!(run(&["drill", "fire"]).error(), names);
    let recorded = run(&["drill", "kill-switch", "--record"]);
    assert_eq!(recorded.error(), "--record requires --repo");
    let missing = format!(
        "fleet registry file not found: {}",
        repo.shown("registry.v1.json")
    );
    assert_eq!(drill(&repo, "kill-switch", &[]).error(), missing);
    repo.put(
        "registry.v1.json",
        r#"{"schemaVersion":"v1","loops":[{"loopId":"a"}]}"#,
    );
    repo.put("state.json", "{");
    let broken = drill(&repo, "retry-guard", &[]);
    let message = format!("invalid fleet state JSON: {}: ", repo.shown("state.json"));
    assert!(broken.error().starts_with(&message), "{}", broken.stderr);
    let left = fs::exists(repo.outside("drilled-retry-guard"));
    assert!(!left.expect("can be looked at"), "nothing was begun");
    fs::create_dir(repo.outside("there")).expect("a folder");
    let run = run(&["drill", "kill-switch", "--into", "there"]);
    assert!(run.error().contains("there"), "{}", run.stderr);
}
