//! `ops-manager promotion`: status, apply, history.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago};
use crate::promotion::{CLEARED, DAY, fleet, governed, rollout};

/// `ops-manager promotion …` on `repo`, into a pipe.
fn promotion(repo: &Repo, words: &[&str], arguments: &[&str]) -> Run {
    let mut command = repo.command("ops-manager");
    for variable in CLEARED {
        command.env_remove(variable);
    }
    command.arg("promotion").args(words);
    command.arg("--repo").arg(repo.path()).args(arguments);
    crate::harness::finished(command.output().expect("starts"))
}

fn gates(repo: &Repo) -> Value {
    let path = repo.path().display().to_string();
    repo.run_plain("ops-manager-promotion-gates", &["--repo", &path])
        .ok()
}

#[test]
fn status_is_what_the_gates_would_decide_and_writes_nothing() {
    let repo = fleet();
    let before = repo.tree();
    let status = promotion(&repo, &["status"], &[]).ok();
    assert_eq!(repo.tree(), before);
    assert_eq!(status["missing"], json!([]));
    assert_eq!(status["recordedDecision"], Value::Null);
    assert_eq!(status["rollout"]["canaryPercent"], 10);
    assert_eq!(status["rollout"]["mode"], "guarded_auto");
    let decided = gates(&repo);
    for member in ["summary", "gates", "thresholds"] {
        assert_eq!(status[member], decided[member], "{member}");
    }
    let status = promotion(&repo, &["status", "--pretty"], &[]).ok();
    assert_eq!(status["recordedDecision"]["decision"], "promote");
}

#[test]
fn the_commands_of_the_status_provide_what_is_missing() {
    let repo = fleet();
    fs::remove_file(repo.manager("drills/promotion.v1.json")).expect("removed");
    let mut told = Vec::new();
    loop {
        let status = promotion(&repo, &["status"], &[]).ok();
        let Some(missing) = status["missing"].get(0) else {
            break;
        };
        assert_eq!(missing["gate"], "drill_recency");
        let command = missing["command"].as_str().expect("a command");
        let words: Vec<&str> = command.split(' ').collect();
        let run = repo.run_plain(words[0], &words[1..]);
        assert_eq!(run.code, 0, "{command}: {}", run.stderr);
        told.push(words[2].to_owned());
        assert!(told.len() <= 3, "{told:?}");
    }
    assert_eq!(told, ["kill-switch", "sprite-outage", "retry-guard"]);
}

#[test]
fn a_fleet_that_was_never_reconciled_has_no_status() {
    let repo = fleet();
    fs::remove_file(repo.manager("state.json")).expect("removed");
    let refused = promotion(&repo, &["status"], &[]);
    assert!(
        refused.error().contains("fleet state file not found"),
        "{refused:?}"
    );
}

#[test]
fn a_dry_run_tells_each_member_and_writes_nothing() {
    let repo = fleet();
    gates(&repo);
    let before = repo.tree();
    let review_by = ago(-30 * DAY);
    let arguments = governed(&["--dry-run"], &review_by);
    let preview = promotion(&repo, &["apply", "expand"], &arguments).ok();
    assert_eq!(repo.tree(), before);
    assert_eq!(preview["dryRun"], true);
    assert_eq!(preview["record"]["rollout"]["after"]["canaryPercent"], 35);
    let changes = preview["changes"].as_array().expect("changes");
    let members: Vec<&str> = changes
        .iter()
        .map(|change| change["member"].as_str().expect("a path"))
        .collect();
    let governance = "policy.autonomous.governance";
    assert_eq!(
        members,
        [
            "policy.autonomous.rollout.canaryPercent".to_owned(),
            "policy.autonomous.rollout.pause.manual".to_owned(),
            format!("{governance}.actor"),
            format!("{governance}.approvalRef"),
            format!("{governance}.rationale"),
            format!("{governance}.changedAt"),
            format!("{governance}.reviewBy"),
        ]
    );
    assert_eq!(changes[0]["before"], 10);
    assert_eq!(changes[0]["after"], 35);
}

#[test]
fn what_widens_is_written_only_if_somebody_says_so() {
    let repo = fleet();
    gates(&repo);
    let review_by = ago(-30 * DAY);
    for intent in ["expand", "resume"] {
        let refused = promotion(&repo, &["apply", intent], &governed(&[], &review_by));
        assert_eq!(
            refused.error(),
            "this allows more to happen by itself; add --yes to write it"
        );
    }
    assert_eq!(repo.rows("telemetry/promotion-apply.jsonl").len(), 0);
    let arguments = governed(&["--yes", "--idempotency-key", "k"], &review_by);
    let record = promotion(&repo, &["apply", "expand"], &arguments).ok();
    assert_eq!(record, repo.only_row("telemetry/promotion-apply.jsonl"));
    assert_eq!(rollout(&repo)["canaryPercent"], 35);
    // A known key changes nothing, so nobody has to agree.
    let arguments = governed(&["--idempotency-key", "k"], &review_by);
    let replay = promotion(&repo, &["apply", "expand"], &arguments).ok();
    assert_eq!(replay["replayed"], true);
    assert_eq!(rollout(&repo)["canaryPercent"], 35);
}

#[test]
fn a_rollback_is_made_at_once() {
    let repo = fleet();
    fs::remove_file(repo.manager("telemetry/handoff.jsonl")).expect("removed");
    let review_by = ago(-30 * DAY);
    let record = promotion(&repo, &["apply", "rollback"], &governed(&[], &review_by)).ok();
    assert_eq!(record["decision"], "unknown");
    assert_eq!(rollout(&repo)["pause"]["manual"], true);
}

#[test]
fn an_apply_is_refused_as_the_command_of_the_contract_refuses_it() {
    let repo = fleet();
    let review_by = ago(-30 * DAY);
    let refused = promotion(&repo, &["apply"], &[]);
    assert_eq!(
        refused.error(),
        "INTENT must be one of expand, resume, rollback"
    );
    let refused = promotion(&repo, &["apply", "expand"], &[]);
    assert_eq!(refused.error(), "--by is required");
    let arguments = governed(&["--yes"], &review_by);
    let refused = promotion(&repo, &["apply", "expand"], &arguments);
    let path = repo.shown("promotion-state.json");
    assert_eq!(
        refused.error(),
        format!("promotion state file not found: {path}")
    );
}

#[test]
fn the_history_has_every_change_and_every_run_of_the_controller() {
    let repo = fleet();
    assert_eq!(
        promotion(&repo, &["history"], &[]).ok(),
        json!({ "entries": [] })
    );
    let review_by = ago(-30 * DAY);
    let path = repo.path().display().to_string();
    let guarded = ["--repo", path.as_str(), "--mode", "guarded_auto_apply"];
    let run = repo.run_plain(
        "ops-manager-promotion-controller",
        &governed(&guarded, &review_by),
    );
    assert_eq!(run.ok()["status"], "applied");
    promotion(&repo, &["apply", "rollback"], &governed(&[], &review_by)).ok();
    repo.run_plain("ops-manager-promotion-controller", &guarded[..2])
        .ok();
    let history = promotion(&repo, &["history"], &[]).ok();
    let entries = history["entries"].as_array().expect("entries");
    let mut told: Vec<String> = entries
        .iter()
        .map(|entry| {
            format!(
                "{} {} {}",
                entry["kind"], entry["what"], entry["byController"]
            )
            .replace('"', "")
        })
        .collect();
    // All of it may have happened within one second.
    told.sort();
    assert_eq!(
        told,
        [
            "change expand true",
            "change rollback false",
            "controller_run applied true",
            "controller_run proposed true",
        ]
    );
    let change = entries
        .iter()
        .find(|entry| entry["what"] == "expand")
        .expect("told");
    assert_eq!(change["actor"], "kim");
    assert_eq!(change["rationale"], "wider, in steps");
    assert_eq!(change["reviewBy"], review_by);
    assert_eq!(
        change["before"],
        json!({"canaryPercent": 10, "manualPause": false})
    );
    assert_eq!(
        change["after"],
        json!({"canaryPercent": 35, "manualPause": false})
    );
    let last = promotion(&repo, &["history", "--last", "1"], &[]).ok();
    assert_eq!(last["entries"].as_array().map(Vec::len), Some(1));
    let journal = repo.manager("telemetry/promotion-apply.jsonl");
    let rows = fs::read_to_string(&journal).expect("rows");
    fs::write(&journal, format!("{rows}{{oops\n")).expect("damaged");
    let history = promotion(&repo, &["history"], &[]).ok();
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(4));
    assert_eq!(history["warnings"][0]["line"], 3);
}
