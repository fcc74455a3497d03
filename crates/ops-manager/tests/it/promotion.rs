//! The promotion commands on a real fleet (chapter 07).

use std::collections::BTreeSet;
use std::fs;
use std::hint;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago, finished};

const GATES: &str = "ops-manager-promotion-gates";
const CI: &str = "ops-manager-promotion-ci";
const APPLY: &str = "ops-manager-promotion-apply";
const ORCHESTRATE: &str = "ops-manager-promotion-orchestrate";
const CONTROLLER: &str = "ops-manager-promotion-controller";

/// Variables that would change what these commands do.
pub(crate) const CLEARED: [&str; 7] = [
    "GITHUB_STEP_SUMMARY",
    "OPS_MANAGER_FLEET_STATUS_SCRIPT",
    "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
    "OPS_MANAGER_PROMOTION_GATES_SCRIPT",
    "OPS_MANAGER_PROMOTION_CI_SCRIPT",
    "OPS_MANAGER_PROMOTION_APPLY_SCRIPT",
    "OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT",
];

/// A day in seconds.
pub(crate) const DAY: i64 = 86_400;

/// A governed fleet with a canary of 10 %, evaluated and planned by the real
/// commands, whose evidence says: promote.
pub(crate) fn fleet() -> Repo {
    let mut repo = Repo::empty("fleet");
    repo.env("USER", "kim");
    let registry = json!({
        "schemaVersion": "v1",
        "loops": [{ "loopId": "a" }, { "loopId": "b", "enabled": false }],
        "x-owner": "platform",
        "policy": {
            "mode": "guarded_auto",
            "autonomous": {
                "rollout": { "canaryPercent": 10 },
                "governance": {
                    "actor": "ada", "approvalRef": "CHG-0", "rationale": "pilot",
                    "changedAt": ago(DAY), "reviewBy": ago(-60 * DAY),
                },
            },
        },
    });
    repo.put("registry.v1.json", &om_model::json::pretty(&registry));
    let results = [json!({ "loopId": "a", "status": "success", "healthStatus": "healthy" })];
    let state = json!({ "traceId": "t", "status": "success", "results": results });
    repo.put("state.json", &state.to_string());
    run(&repo, "ops-manager-fleet-policy", &[]).ok();
    run(&repo, "ops-manager-fleet-handoff", &[]).ok();
    let execution = |index: i64| {
        let row = json!({
            "timestamp": ago(3600 - 60 * index),
            "category": "fleet_handoff_execute",
            "execution": {
                "mode": "autonomous", "requestedIntentCount": 1, "executedIntentCount": 1,
                "executedCount": 1, "ambiguousCount": 0, "failedCount": 0,
            },
        });
        format!("{row}\n")
    };
    let journal = repo.manager("telemetry/handoff.jsonl");
    let planned = fs::read_to_string(&journal).expect("planned");
    let rows: String = (0..20).map(execution).collect();
    repo.put("telemetry/handoff.jsonl", &(planned + &rows));
    let ids = [
        "kill_switch",
        "sprite_service_outage",
        "ambiguous_retry_guard",
    ];
    let drills = ids.map(|id| json!({ "id": id, "status": "pass", "completedAt": ago(60) }));
    let drills = json!({ "schemaVersion": "v1", "drills": drills });
    repo.put("drills/promotion.v1.json", &drills.to_string());
    repo
}

fn command(repo: &Repo, name: &str, arguments: &[&str]) -> Command {
    let mut command = repo.command(name);
    for variable in CLEARED {
        command.env_remove(variable);
    }
    command.arg("--repo").arg(repo.path()).args(arguments);
    command
}

fn run(repo: &Repo, name: &str, arguments: &[&str]) -> Run {
    finished(command(repo, name, arguments).output().expect("starts"))
}

/// Who answers for a change.
pub(crate) fn governed<'a>(arguments: &[&'a str], review_by: &'a str) -> Vec<&'a str> {
    let governance = [
        "--by",
        "kim",
        "--approval-ref",
        "CHG-88",
        "--rationale",
        "wider, in steps",
        "--review-by",
        review_by,
    ];
    [arguments, &governance].concat()
}

pub(crate) fn rollout(repo: &Repo) -> Value {
    repo.manager_json("registry.v1.json")["policy"]["autonomous"]["rollout"].clone()
}

#[test]
fn real_evidence_promotes_and_its_absence_holds() {
    let repo = fleet();
    let found = run(&repo, GATES, &["--trace-id", "t-1"]).ok();
    assert_eq!(found["summary"]["reasonCodes"], json!([]), "{found}");
    assert_eq!(found["summary"]["decision"], "promote");
    assert_eq!(found["traceId"], "t-1");
    assert_eq!(repo.manager_json("promotion-state.json"), found);
    fs::remove_file(repo.manager("drills/promotion.v1.json")).expect("removed");
    let held = run(&repo, GATES, &["--fail-on-hold", "--pretty"]);
    assert_eq!((held.code, held.stderr.as_str()), (2, ""));
    assert_eq!(
        held.json()["summary"]["failedGates"],
        json!(["drill_recency"])
    );
    assert_eq!(repo.rows("telemetry/promotion.jsonl").len(), 2);
}

#[test]
fn a_fleet_that_was_never_reconciled_has_no_status_to_judge() {
    let repo = fleet();
    fs::remove_file(repo.manager("state.json")).expect("removed");
    let refused = run(&repo, GATES, &[]);
    let path = repo.shown("state.json");
    assert_eq!(
        refused.error(),
        format!(
            "failed to read fleet status via ops-manager-fleet-status: fleet state file not \
             found: {path}"
        )
    );
    let skipped = run(&repo, CI, &["--skip-on-missing-evidence", "--fail-on-hold"]).ok();
    assert_eq!(skipped["summary"]["missingEvidencePaths"], json!([path]));
}

#[test]
fn flags_are_checked_before_the_repository() {
    let repo = Repo::empty("fleet");
    let plain = |name, arguments: &[&str]| repo.run_plain(name, arguments);
    let step = "--expand-step must be an integer between 1 and 100";
    let governed = [
        "--by",
        "k",
        "--approval-ref",
        "c",
        "--rationale",
        "r",
        "--review-by",
        "t",
    ];
    for (name, arguments, message) in [
        (GATES, &[][..], "--repo is required"),
        (
            GATES,
            &["--repo", "/nowhere", "--min-sample-size", ""],
            "--min-sample-size must be an integer >= 1",
        ),
        (
            GATES,
            &["--repo", "/nowhere"],
            "--repo /nowhere: No such file or directory",
        ),
        (CI, &["--repo", ""], "--repo is required"),
        (
            APPLY,
            &["--repo", "/nowhere"],
            "--intent must be one of expand, resume, rollback",
        ),
        (
            APPLY,
            &[
                "--repo",
                "/nowhere",
                "--intent",
                "expand",
                "--expand-step",
                "0",
            ],
            step,
        ),
        (
            APPLY,
            &["--repo", "/nowhere", "--intent", "expand"],
            "--by is required",
        ),
        (
            ORCHESTRATE,
            &["--repo", "/nowhere", "--mode", "plan"],
            "--mode must be one of dry_run, apply, rollback",
        ),
        (
            ORCHESTRATE,
            &["--repo", "/nowhere", "--mode", "rollback"],
            "--by is required for mode rollback",
        ),
        (
            CONTROLLER,
            &["--repo", "/nowhere", "--mode", ""],
            "--mode must be one of propose_only, guarded_auto_apply",
        ),
        (
            CONTROLLER,
            &["--repo", "/nowhere", "--freeze-windows-file", "/nowhere/f"],
            "freeze windows file not found: /nowhere/f",
        ),
    ] {
        assert_eq!(
            plain(name, arguments).error(),
            message,
            "{name} {arguments:?}"
        );
    }
    let arguments = [&["--repo", "/nowhere", "--intent", "expand"][..], &governed].concat();
    let found = plain(APPLY, &arguments);
    assert_eq!(found.error(), "--repo /nowhere: No such file or directory");
    let found = plain(GATES, &["--bogus"]);
    assert_eq!(found.code, 1);
    assert!(
        found
            .stderr
            .starts_with("error: unknown argument: --bogus\n"),
        "{found:?}"
    );
}

#[test]
fn thresholds_that_are_empty_were_not_given_to_a_check() {
    let repo = fleet();
    run(&repo, CI, &["--window-executions", "", "--trace-id", ""]).ok();
    let refused = run(&repo, CI, &["--max-failure-rate", "2"]);
    assert_eq!(
        refused.error(),
        "--max-failure-rate must be a number between 0 and 1"
    );
}

#[test]
fn a_check_appends_its_summary_where_the_pipeline_collects_them() {
    let repo = fleet();
    let collected = repo.outside("step summary.md");
    let mut command = command(&repo, CI, &["--summary-file", "own summary.md"]);
    let output = command.env("GITHUB_STEP_SUMMARY", &collected).output();
    finished(output.expect("starts")).ok();
    let own = fs::read_to_string(repo.outside("own summary.md")).expect("beside");
    assert!(
        own.starts_with("## Ops Manager Promotion CI\n\nDecision: `promote`\n"),
        "{own}"
    );
    assert_eq!(fs::read_to_string(collected).expect("collected"), own);
}

#[test]
fn a_rollout_is_widened_paused_and_resumed() {
    let repo = fleet();
    let review_by = ago(-30 * DAY);
    let apply = |intent| {
        let arguments = governed(&["--intent", intent], &review_by);
        run(&repo, APPLY, &arguments).ok()
    };
    run(&repo, GATES, &[]).ok();
    let record = apply("expand");
    assert_eq!(
        record["rollout"]["after"],
        json!({ "canaryPercent": 35, "manualPause": false })
    );
    apply("rollback");
    assert_eq!(
        rollout(&repo),
        json!({ "canaryPercent": 35, "pause": { "manual": true } })
    );
    apply("resume");
    assert_eq!(
        rollout(&repo),
        json!({ "canaryPercent": 35, "pause": { "manual": false } })
    );
    let registry = repo.manager_json("registry.v1.json");
    assert_eq!(registry["loops"][1]["enabled"], false);
    assert_eq!(registry["x-owner"], "platform");
    assert_eq!(repo.rows("telemetry/promotion-apply.jsonl").len(), 3);
    let normalized = run(&repo, "ops-manager-fleet-registry", &[]);
    assert_eq!(normalized.code, 0, "{}", normalized.stderr);
}

#[test]
fn an_orchestration_checks_and_applies() {
    let repo = fleet();
    let preview = run(&repo, ORCHESTRATE, &["--mode", "dry_run", "--pretty"]).ok();
    assert_eq!(
        (&preview["status"], &preview["decision"]),
        (&json!("preview"), &json!("promote"))
    );
    let review_by = ago(-30 * DAY);
    let arguments = governed(&["--mode", "apply", "--expand-step", "5"], &review_by);
    let applied = run(&repo, ORCHESTRATE, &arguments).ok();
    assert_eq!(applied["status"], "applied");
    assert_eq!(rollout(&repo)["canaryPercent"], 15);
}

#[test]
fn the_controller_applies_within_its_budget() {
    let repo = fleet();
    let proposed = run(&repo, CONTROLLER, &[]).ok();
    assert_eq!(proposed["status"], "proposed");
    let review_by = ago(-30 * DAY);
    let guarded = governed(&["--mode", "guarded_auto_apply"], &review_by);
    assert_eq!(run(&repo, CONTROLLER, &guarded).ok()["status"], "applied");
    assert_eq!(run(&repo, CONTROLLER, &guarded).ok()["status"], "hold");
    assert_eq!(rollout(&repo)["canaryPercent"], 35);
    assert_eq!(repo.rows("telemetry/promotion-controller.jsonl").len(), 3);
}

#[test]
fn a_failed_run_of_the_controller_is_told_on_both_streams() {
    let mut repo = fleet();
    let hook = repo.script("orchestrate", "echo out; echo err >&2; exit 12");
    repo.env("OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT", &hook);
    let mut command = repo.command(CONTROLLER);
    let output = command.arg("--repo").arg(repo.path()).output();
    let failed = finished(output.expect("starts"));
    assert_eq!((failed.code, failed.stderr.as_str()), (12, "out\nerr\n"));
    assert_eq!(failed.json()["error"]["stderr"], "out\nerr");
}

/// How often a command is killed.
const KILLS: u32 = 24;

/// Runs a command again and again and kills it, at moments spread over twice
/// the time that it needs undisturbed. Spinning instead of sleeping, because
/// the moments lie closer together than a timer's ticks.
fn kill_at_any_moment(repo: &Repo, name: &str, arguments: &[&str]) {
    let begin = Instant::now();
    run(repo, name, arguments);
    let spread = begin.elapsed() * 2;
    for kill in 0..KILLS {
        let mut child = command(repo, name, arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let end = Instant::now() + spread * kill / KILLS;
        while Instant::now() < end {
            hint::spin_loop();
        }
        child.kill().expect("killed, or has ended already");
        child.wait().expect("ends");
    }
}

#[test]
fn a_killed_change_is_whole_or_not_there() {
    let repo = fleet();
    run(&repo, GATES, &[]).ok();
    let review_by = ago(-30 * DAY);
    let arguments = governed(&["--intent", "expand", "--expand-step", "1"], &review_by);
    kill_at_any_moment(&repo, APPLY, &arguments);
    // The next one completes what was recorded before it adds its own.
    run(&repo, APPLY, &arguments).ok();
    let rows = repo.rows("telemetry/promotion-apply.jsonl");
    let canary = rollout(&repo)["canaryPercent"].as_u64().expect("a number");
    assert_eq!(canary, 10 + rows.len() as u64, "one row per change");
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["rollout"]["after"]["canaryPercent"], json!(11 + index));
    }
    assert_eq!(
        rows.last(),
        Some(&repo.manager_json("promotion-apply-state.json"))
    );
}

#[test]
fn every_change_of_a_killed_controller_is_accounted_for() {
    let repo = fleet();
    let review_by = ago(-30 * DAY);
    let unlimited = [
        "--mode",
        "guarded_auto_apply",
        "--expand-step",
        "1",
        "--max-applies-per-window",
        "999",
        "--max-expand-step-per-window",
        "999",
        "--cooldown-minutes",
        "0",
    ];
    kill_at_any_moment(&repo, CONTROLLER, &governed(&unlimited, &review_by));
    run(&repo, CONTROLLER, &[]).ok();
    assert!(!repo.manager("promotion-controller-pending.json").exists());
    let runs = repo.rows("telemetry/promotion-controller.jsonl");
    let changes = repo.rows("telemetry/promotion-apply.jsonl");
    for change in changes.iter().filter(|row| row["intent"] == "expand") {
        let of_change = |run: &&Value| run["context"]["traceId"] == change["traceId"];
        let accounts: Vec<&Value> = runs.iter().filter(of_change).collect();
        assert_eq!(accounts.len(), 1, "{change}");
        assert_eq!(accounts[0]["execution"]["applyExecuted"], true, "{change}");
        let status = &accounts[0]["status"];
        assert!(status == "applied" || status == "rolled_back", "{status}");
    }
    let traces: BTreeSet<&str> = runs
        .iter()
        .filter_map(|run| run["context"]["traceId"].as_str())
        .collect();
    assert_eq!(traces.len(), runs.len(), "one row per run");
}

#[test]
fn two_changes_at_once_take_turns() {
    let repo = fleet();
    run(&repo, GATES, &[]).ok();
    let review_by = ago(-30 * DAY);
    let arguments = governed(
        &[
            "--intent",
            "expand",
            "--expand-step",
            "1",
            "--idempotency-key",
            "k",
        ],
        &review_by,
    );
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let mut command = command(&repo, APPLY, &arguments);
            command.stdout(Stdio::piped());
            command.spawn().expect("starts")
        })
        .collect();
    let replays = runs
        .into_iter()
        .map(|child| finished(child.wait_with_output().expect("ends")).json())
        .filter(|record| record.get("replayed").is_some());
    assert_eq!(replays.count(), 3);
    assert_eq!(rollout(&repo)["canaryPercent"], 11);
}
