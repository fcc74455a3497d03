//! `ops-manager-fleet-policy` (chapter 06 §1).

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago};

const COMMAND: &str = "ops-manager-fleet-policy";

/// A governed fleet of these loops, all critical, which may act by itself.
fn fleet(loops: &[&str]) -> Repo {
    let mut repo = Repo::empty("fleet");
    repo.env("USER", "kim");
    put_registry(&repo, loops, |_| {});
    let results: Vec<Value> = loops
        .iter()
        .map(|id| json!({"loopId": id, "status": "success", "healthStatus": "critical"}))
        .collect();
    let state =
        json!({"fleetId": "north", "traceId": "tr-9", "status": "success", "results": results});
    repo.put("state.json", &state.to_string());
    repo
}

fn put_registry(repo: &Repo, loops: &[&str], change: impl FnOnce(&mut Value)) {
    let entries: Vec<Value> = loops.iter().map(|id| json!({"loopId": id})).collect();
    let mut registry = json!({
        "schemaVersion": "v1", "loops": entries,
        "policy": {
            "mode": "guarded_auto",
            "noiseControls": {"dedupeWindowSeconds": 0},
            "autonomous": {"governance": {
                "actor": "kim", "approvalRef": "CHG-88", "rationale": "pilot",
                "changedAt": ago(86_400), "reviewBy": ago(-86_400),
            }},
        },
    });
    change(&mut registry);
    repo.put("registry.v1.json", &registry.to_string());
}

fn run(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    repo.run_plain(COMMAND, &[&["--repo", path.as_str()], arguments].concat())
}

fn reasons(state: &Value) -> Vec<(String, Value)> {
    let candidates = state["candidates"].as_array().expect("candidates");
    let of = |c: &Value| {
        (
            om_model::json::text(&c["candidateId"]),
            c["autonomous"]["reasons"].clone(),
        )
    };
    candidates.iter().map(of).collect()
}

#[test]
fn a_run_prints_the_state_that_it_writes_and_three_journals() {
    let repo = fleet(&["a", "b"]);
    let first = run(&repo, &[]);
    let state = first.ok();
    assert_eq!(
        fs::read_to_string(repo.manager("policy-state.json")).expect("written"),
        first.stdout
    );
    assert_eq!(first.stdout.lines().count(), 1);
    assert_eq!(
        reasons(&state),
        [
            ("a:health_critical".to_owned(), json!([])),
            (
                "b:health_critical".to_owned(),
                json!(["autonomous_max_actions_per_run_exceeded"])
            ),
        ]
    );
    assert_eq!(
        (&state["fleetId"], &state["traceId"]),
        (&json!("north"), &json!("tr-9"))
    );
    let history = repo.rows("telemetry/policy-history.jsonl");
    assert_eq!(history.len(), 2);
    assert_eq!(
        repo.only_row("telemetry/policy.jsonl")["category"],
        "fleet_policy"
    );
    let audit = repo.only_row("telemetry/policy-governance.jsonl");
    assert_eq!(audit["eventType"], "autonomous_policy_initialized");
    assert_eq!(
        audit["source"]["policyStateFile"],
        repo.shown("policy-state.json")
    );
}

#[test]
fn pretty_changes_stdout_only() {
    let repo = fleet(&["a"]);
    let shown = run(&repo, &["--pretty"]);
    assert!(
        shown
            .stdout
            .starts_with("{\n  \"schemaVersion\": \"v1\",\n")
    );
    let file = fs::read_to_string(repo.manager("policy-state.json")).expect("written");
    assert_eq!(file.lines().count(), 1);
    assert_eq!(
        om_model::json::parse(file.as_bytes()).expect("JSON"),
        shown.ok()
    );
}

#[test]
fn the_second_run_cools_down_and_lets_the_next_one_pass() {
    let repo = fleet(&["a", "b"]);
    run(&repo, &[]).ok();
    assert_eq!(
        reasons(&run(&repo, &[]).ok()),
        [
            (
                "a:health_critical".to_owned(),
                json!(["autonomous_cooldown_active"])
            ),
            ("b:health_critical".to_owned(), json!([])),
        ]
    );
    let deduped = run(&repo, &["--dedupe-window-seconds", "0300"]).ok();
    assert_eq!(deduped["cooldownSuppressedCount"], 2);
    assert_eq!(
        deduped["reasonCodes"],
        json!([
            "fleet_actions_deduped",
            "fleet_actions_suppressed",
            "no_action_required"
        ])
    );
}

#[test]
fn the_runbooks_kill_switch_and_pause() {
    let repo = fleet(&["a"]);
    run(&repo, &[]).ok();
    put_registry(&repo, &["a"], |registry| {
        registry["policy"]["autonomous"]["safety"] =
            json!({"killSwitch": true, "cooldownSeconds": 0});
    });
    let killed = run(&repo, &[]).ok();
    assert_eq!(
        killed["candidates"][0]["autonomous"]["reasons"],
        json!(["autonomous_kill_switch_enabled"])
    );
    let codes = killed["reasonCodes"].as_array().expect("codes");
    assert!(codes.contains(&json!("fleet_auto_kill_switch_enabled")));

    put_registry(&repo, &["a"], |registry| {
        registry["policy"]["autonomous"]["rollout"] = json!({"pause": {"manual": true}});
    });
    let paused = run(&repo, &[]).ok();
    assert_eq!(paused["autonomous"]["rollout"]["pause"]["active"], true);
    let events: Vec<Value> = repo
        .rows("telemetry/policy-governance.jsonl")
        .iter()
        .map(|row| row["eventType"].clone())
        .collect();
    assert_eq!(
        events,
        [
            "autonomous_policy_initialized",
            "autonomous_policy_mutated",
            "autonomous_policy_mutated"
        ]
    );
}

#[test]
fn the_runbooks_outage_drill_pauses_by_itself() {
    let repo = fleet(&["a"]);
    let row = json!({
        "timestamp": ago(60), "category": "fleet_handoff_execute",
        "execution": {"mode": "autonomous", "executedIntentCount": 3, "failedCount": 3},
    });
    repo.put("telemetry/handoff.jsonl", &format!("{row}\n"));
    let state = run(&repo, &[]).ok();
    assert_eq!(
        state["autonomous"]["rollout"]["pause"]["auto"]["active"],
        true
    );
    assert_eq!(
        state["candidates"][0]["autonomous"]["reasons"],
        json!([
            "autonomous_autopause_failure_spike",
            "autonomous_rollout_paused_auto"
        ])
    );
    let codes = state["reasonCodes"].as_array().expect("codes");
    for code in [
        "fleet_auto_candidates_paused",
        "fleet_auto_candidates_autopause_triggered",
    ] {
        assert!(codes.contains(&json!(code)), "{code}");
    }
}

#[test]
fn the_trace_id_of_the_environment_is_the_last_but_one() {
    let mut repo = fleet(&["a"]);
    repo.env("OPS_MANAGER_TRACE_ID", "env");
    let used = |repo: &Repo, arguments: &[&str]| run(repo, arguments).ok()["traceId"].clone();
    assert_eq!(used(&repo, &["--trace-id", "flag"]), "flag");
    assert_eq!(used(&repo, &["--trace-id", ""]), "tr-9");
    repo.put("state.json", "{}");
    assert_eq!(used(&repo, &[]), "env");
    repo.env("OPS_MANAGER_TRACE_ID", "");
    let generated = om_model::json::text(&used(&repo, &[]));
    assert_eq!(
        (generated.len(), generated.matches('-').count()),
        (36, 4),
        "{generated}"
    );
}

#[test]
fn what_is_refused_writes_nothing() {
    let path = |repo: &Repo, name: &str| repo.shown(name);
    let repo = fleet(&["a"]);
    let before = repo.tree();
    assert_eq!(repo.run_plain(COMMAND, &[]).error(), "--repo is required");
    let missing = repo.run_plain(COMMAND, &["--repo", "nowhere"]);
    assert!(missing.error().ends_with("No such file or directory"));
    for value in ["", "-1", "1.5", "x"] {
        let refused = run(&repo, &["--dedupe-window-seconds", value]);
        assert_eq!(
            refused.error(),
            "--dedupe-window-seconds must be a non-negative integer"
        );
    }
    let unknown = run(&repo, &["--bogus"]);
    assert!(
        unknown
            .stderr
            .starts_with("error: unknown argument: --bogus\n")
    );
    assert_eq!(repo.tree(), before);

    for (file, content, message) in [
        (
            "telemetry/handoff.jsonl",
            "{}\n{\n",
            "invalid handoff telemetry JSONL: ",
        ),
        (
            "telemetry/policy-history.jsonl",
            "{\n",
            "invalid policy history JSONL: ",
        ),
        (
            "policy-state.json",
            "",
            "invalid existing policy state JSON: ",
        ),
        (
            "policy-state.json",
            "[]",
            "invalid existing policy state JSON: ",
        ),
        ("state.json", "{", "invalid fleet state JSON: "),
        ("state.json", "[]", "invalid fleet state JSON: "),
    ] {
        let repo = fleet(&["a"]);
        repo.put(file, content);
        let before = repo.tree();
        let refused = run(&repo, &[]);
        let expected = format!("{message}{}: ", path(&repo, file));
        assert!(
            refused.error().starts_with(&expected),
            "{:?}",
            refused.stderr
        );
        assert_eq!(repo.tree(), before, "{file}");
    }
    fs::remove_file(repo.manager("state.json")).expect("removed");
    assert_eq!(
        run(&repo, &[]).error(),
        format!("fleet state file not found: {}", path(&repo, "state.json"))
    );
}

#[test]
fn a_rejected_registry_ends_the_run_with_its_own_words() {
    let repo = fleet(&["a"]);
    repo.put("registry.v1.json", r#"{"schemaVersion":"v2","loops":[]}"#);
    let path = repo.path().display().to_string();
    let of_registry = repo.run_plain("ops-manager-fleet-registry", &["--repo", &path]);
    let of_policy = run(&repo, &[]);
    assert_eq!((of_policy.code, of_policy.stdout.as_str()), (1, ""));
    assert_eq!(of_policy.stderr, of_registry.stderr);
    assert!(of_policy.stderr.lines().count() > 1, "{}", of_policy.stderr);
    assert!(!repo.manager("policy-state.json").exists());
}

#[test]
fn a_lapsed_review_blocks_every_candidate_and_no_command() {
    let repo = fleet(&["a"]);
    put_registry(&repo, &["a"], |registry| {
        registry["policy"]["autonomous"]["governance"]["reviewBy"] = ago(60).into();
    });
    let state = run(&repo, &[]).ok();
    let autonomous = &state["candidates"][0]["autonomous"];
    assert_eq!(
        autonomous["reasons"],
        json!(["autonomous_governance_review_expired"])
    );
    assert_eq!(autonomous["gates"]["governanceReviewCurrent"], false);
}

#[test]
fn a_registry_hook_gets_its_words_and_decides() {
    let mut repo = fleet(&["a"]);
    let log = repo.outside("argv");
    let script = format!(
        "printf '%s\\n' \"$@\" > '{}'; cat > /dev/null; echo heard >&2; echo '{{\"policy\":{{\"mode\":\"advisory\"}}}}'",
        log.display()
    );
    let hook = repo.script("registry-hook", &script);
    repo.env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT", &hook);
    let judged = run(&repo, &["--registry-file", "any.json"]);
    assert_eq!((judged.code, judged.stderr.trim_end()), (0, "heard"));
    assert_eq!(judged.json()["mode"], "advisory");
    assert_eq!(judged.json()["source"]["registryFile"], "any.json");
    let path = repo.path().display().to_string();
    let argv = fs::read_to_string(log).expect("was run");
    assert_eq!(argv, format!("--repo\n{path}\n--registry-file\nany.json\n"));

    let silent = repo.script("silent-hook", "exit 0");
    repo.env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT", &silent);
    assert_eq!(run(&repo, &[]).error(), "unsupported policy mode:");
    let failing = repo.script("failing-hook", "echo no >&2; exit 9");
    repo.env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT", &failing);
    let failed = run(&repo, &[]);
    assert_eq!(
        (failed.code, failed.stdout.as_str(), failed.stderr.as_str()),
        (9, "", "no\n")
    );
}

#[test]
fn files_may_lie_outside_of_the_repository_and_are_named_as_given() {
    let repo = fleet(&["a"]);
    let state = run(
        &repo,
        &[
            "--policy-state-file=out/state.json",
            "--governance-audit-file",
            "out/a/governance.jsonl",
            "--policy-telemetry-file",
            "out/b/policy.jsonl",
            "--policy-history-file",
            "out/c/history.jsonl",
            "--handoff-telemetry-file",
            "out/handoff.jsonl",
        ],
    )
    .ok();
    assert_eq!(
        state["noiseControls"]["policyHistoryFile"],
        "out/c/history.jsonl"
    );
    assert_eq!(
        state["noiseControls"]["handoffTelemetryFile"],
        "out/handoff.jsonl"
    );
    let exist = |name: &str| repo.outside(name).is_file();
    for name in [
        "out/state.json",
        "out/a/governance.jsonl",
        "out/b/policy.jsonl",
        "out/c/history.jsonl",
    ] {
        assert!(exist(name), "{name}");
    }
    assert!(!exist("out/handoff.jsonl") && !repo.manager("policy-state.json").exists());
}

#[test]
fn a_state_that_the_scripts_left_is_taken_over() {
    let repo = fleet(&["a"]);
    let state = run(&repo, &[]).ok();
    // Their states have none of the additive members, and other layouts.
    let mut theirs = state.clone();
    let candidate = theirs["candidates"][0].as_object_mut().expect("an object");
    for member in ["rank", "runId", "evidenceAt"] {
        candidate.remove(member);
    }
    repo.put("policy-state.json", &om_model::json::pretty(&theirs));
    run(&repo, &[]).ok();
    assert_eq!(
        repo.rows("telemetry/policy-governance.jsonl").len(),
        1,
        "nothing changed"
    );
}

#[test]
fn the_umbrella_runs_the_same_command() {
    let repo = fleet(&["a"]);
    let path: PathBuf = repo.path();
    let path = path.display().to_string();
    let judged = repo.run_plain("ops-manager", &["fleet-policy", "--repo", &path]);
    assert_eq!(judged.ok()["fleetId"], "north");
}
