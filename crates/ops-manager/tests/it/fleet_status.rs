//! `ops-manager-fleet-status` (chapter 05 §3; decisions D8, D9, D14, D22).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago};

const COMMAND: &str = "ops-manager-fleet-status";

/// A fleet whose files are `manager` files.
fn fleet() -> Repo {
    let repo = Repo::empty("fleet");
    let registry = json!({"schemaVersion": "v1", "fleetId": "north", "loops": [{"loopId": "a"}]});
    repo.put("registry.v1.json", &registry.to_string());
    repo
}

fn run(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    repo.run_plain(COMMAND, &[&["--repo", path.as_str()], arguments].concat())
}

#[test]
fn what_the_fan_out_wrote_is_reported() {
    let repo = fleet();
    let path = repo.path().display().to_string();
    let state = repo
        .run_plain(
            "ops-manager-fleet-reconcile",
            &["--repo", &path, "--trace-id", "t"],
        )
        .ok();
    let before = repo.tree();
    let report = run(&repo, &[]).ok();
    assert_eq!(repo.tree(), before, "it reads only");
    assert_eq!(
        report["source"],
        json!({"repoPath": path, "fleetId": "north"})
    );
    assert_eq!(report["fleet"]["status"], state["status"]);
    assert_eq!(report["exceptions"]["reconcileFailures"], json!(["a"]));
    assert_eq!(
        report["loops"][0]["artifacts"],
        state["results"][0]["files"]
    );
    assert_eq!(report["traceLinkage"]["loopTraceIds"], json!(["t-a"]));
    assert_eq!(report["latestTelemetry"]["timestamp"], state["updatedAt"]);
    for member in ["policy", "handoff", "autonomous", "latestHandoffTelemetry"] {
        assert_eq!(report.get(member), Some(&Value::Null), "{member}");
    }
    assert_eq!(report.get("warnings"), None);
    let pretty = run(&repo, &["--pretty"]);
    assert!(
        pretty
            .stdout
            .starts_with("{\n  \"schemaVersion\": \"v1\",\n")
    );
}

#[test]
fn a_missing_fleet_state_is_told_before_the_registry_is_looked_at() {
    let repo = Repo::empty("fleet");
    let expected = format!("fleet state file not found: {}", repo.shown("state.json"));
    assert_eq!(run(&repo, &[]).error(), expected);
    let elsewhere = run(&repo, &["--fleet-state-file", "x.json"]);
    assert_eq!(elsewhere.error(), "fleet state file not found: x.json");
    repo.put("state.json", "{}");
    assert!(
        run(&repo, &[])
            .error()
            .starts_with("fleet registry file not found: ")
    );
}

#[test]
fn broken_documents_are_told_in_their_order() {
    let repo = fleet();
    for (file, name) in [
        ("handoff-state.json", "handoff"),
        ("policy-state.json", "policy"),
        ("state.json", "fleet"),
    ] {
        if name != "fleet" {
            repo.put("state.json", "{}");
        }
        for content in ["", "{", "{} {}", "[]"] {
            repo.put(file, content);
            let run = run(&repo, &[]);
            let expected = format!("invalid {name} state JSON: {}", repo.shown(file));
            assert!(
                run.error().starts_with(&expected),
                "{content:?}: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_last_row_that_is_no_json_is_a_warning_with_its_line() {
    let repo = fleet();
    repo.put("state.json", "{}");
    repo.put("telemetry/reconcile.jsonl", "{}\n{\"half\":\n");
    let report = run(&repo, &[]).ok();
    assert_eq!(report["latestTelemetry"], Value::Null);
    let warning = &report["warnings"][0];
    assert_eq!(warning["file"], repo.shown("telemetry/reconcile.jsonl"));
    assert_eq!(warning["line"], 2);
    repo.put("telemetry/handoff.jsonl", "{}\n\n[]\n");
    let run = run(&repo, &[]);
    assert!(
        run.error().contains("handoff.jsonl line 3: it is an array"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_row_without_its_newline_is_not_there_yet() {
    let repo = fleet();
    repo.put("state.json", "{}");
    for (content, status) in [
        (
            "{\"status\":\"a\"}\n{\"status\":\"b\"}",
            json!({"status": "a", "reasonCodes": []}),
        ),
        ("{\"status\":\"b\"}", json!(null)),
        ("{\"status\":\"b\"}\n\n", json!(null)),
    ] {
        repo.put("telemetry/reconcile.jsonl", content);
        assert_eq!(
            run(&repo, &[]).ok()["latestTelemetry"],
            status,
            "{content:?}"
        );
    }
}

#[test]
fn a_lapsed_review_is_a_posture() {
    let repo = fleet();
    let governance = json!({"actor": "k", "approvalRef": "c", "rationale": "r",
        "changedAt": ago(9000), "reviewBy": ago(60)});
    let registry = json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}], "policy": {
        "mode": "guarded_auto", "autonomous": {"governance": governance}}});
    repo.put("registry.v1.json", &registry.to_string());
    repo.put("state.json", "{}");
    let policy = json!({"mode": "guarded_auto", "autonomous": {"governance": governance}});
    repo.put("policy-state.json", &policy.to_string());
    let report = run(&repo, &[]).ok();
    let shown = &report["autonomous"]["governance"];
    assert_eq!(shown["posture"], "review_expired");
    assert_eq!(
        shown["reasonCodes"],
        json!(["autonomous_governance_review_expired"])
    );
    let message = report["warnings"][0]["message"].as_str().expect("a text");
    assert!(
        message.starts_with("governance review expired ("),
        "{message}"
    );
}

#[test]
fn a_registry_hook_gives_the_fleet_its_name_or_ends_the_report() {
    let mut repo = fleet();
    repo.put("state.json", "{}");
    let named = repo.script("named", "echo '{\"fleetId\":\"by-hook\",\"loops\":[]}'");
    repo.env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT", named);
    assert_eq!(run(&repo, &[]).ok()["source"]["fleetId"], "by-hook");
    let failing = repo.script("failing", "echo no >&2; exit 6");
    repo.env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT", failing);
    let run = run(&repo, &[]);
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (6, "", "no\n")
    );
}

#[test]
fn paths_are_reported_as_given() {
    let repo = fleet();
    fs::write(repo.outside("s.json"), "{\"fleetId\":\"elsewhere\"}").expect("written");
    let report = run(
        &repo,
        &[
            "--fleet-state-file",
            "s.json",
            "--policy-state-file",
            "no.json",
        ],
    )
    .ok();
    assert_eq!(report["source"]["fleetId"], "elsewhere");
    assert_eq!(report["files"]["fleetStateFile"], "s.json");
    assert_eq!(report["files"]["policyStateFile"], "no.json");
    assert_eq!(
        report["files"]["registryFile"],
        repo.shown("registry.v1.json")
    );
}

#[test]
fn outcomes_are_those_of_the_last_execution_however_many_plans_follow() {
    let repo = fleet();
    repo.put("state.json", "{}");
    let execute = json!({"timestamp": "s", "category": "fleet_handoff_execute",
        "execution": {"mode": "autonomous", "requestedIntentCount": 2, "executedCount": 2}});
    let plan = json!({"timestamp": "t", "category": "fleet_handoff_plan"});
    for (plans, attempted) in [(0, 2), (1, 2), (255, 2), (256, 0)] {
        let rows = format!("{execute}\n") + &format!("{plan}\n").repeat(plans);
        repo.put("telemetry/handoff.jsonl", &rows);
        let latest = run(&repo, &[]).ok()["latestHandoffTelemetry"].clone();
        let outcomes = &latest["autonomousOutcomeRollup"];
        assert_eq!(outcomes["attempted"], attempted, "after {plans} plans");
        let time = if plans == 0 { "s" } else { "t" };
        assert_eq!(latest["timestamp"], time, "after {plans} plans");
    }
}
