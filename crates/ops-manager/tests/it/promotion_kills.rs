//! Changes of every kind, killed at any moment: each change of the registry
//! has one row in the audit trail, and each row its change.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Repo, ago};
use crate::promotion::{CLEARED, DAY, fleet};

/// How many changes are tried, and so how many moments.
const CHANGES: u32 = 60;

/// The commands that change the rollout, with what they are told to do.
const WAYS: [(&str, &[&str]); 5] = [
    (
        "ops-manager-promotion-apply",
        &["--intent", "expand", "--expand-step", "1"],
    ),
    ("ops-manager-promotion-apply", &["--intent", "rollback"]),
    ("ops-manager-promotion-apply", &["--intent", "resume"]),
    (
        "ops-manager-promotion-orchestrate",
        &["--mode", "apply", "--expand-step", "1"],
    ),
    ("ops-manager-promotion-orchestrate", &["--mode", "rollback"]),
];

/// The change number `number`, by somebody who says so in its rationale.
fn change(repo: &Repo, number: u32, review_by: &str) -> Command {
    let way = usize::try_from(number).expect("small") % WAYS.len();
    let (name, arguments) = WAYS[way];
    let mut command = repo.command(name);
    for variable in CLEARED {
        command.env_remove(variable);
    }
    command.arg("--repo").arg(repo.path()).args(arguments);
    command.args(["--by", "kim", "--approval-ref", "CHG-1"]);
    command.args(["--rationale", &number.to_string(), "--review-by", review_by]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whether the change, undisturbed so far, ended well before its moment came.
fn kill_after(mut command: Command, delay: Duration) -> bool {
    let end = Instant::now() + delay;
    let mut child = command.spawn().expect("starts");
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    child.kill().expect("killed, or has ended already");
    child.wait().expect("ends").success()
}

#[test]
fn every_change_of_the_registry_has_one_row_and_every_row_its_change() {
    let repo = fleet();
    let review_by = ago(-30 * DAY);
    let path = repo.path().display().to_string();
    repo.run_plain("ops-manager-promotion-gates", &["--repo", &path])
        .ok();
    let begin = Instant::now();
    // The slower way, undisturbed.
    change(&repo, 3, &review_by).status().expect("runs");
    let spread = (begin.elapsed() * 3 / 2).min(Duration::from_millis(150));
    let mut done = vec!["3".to_owned()];
    for number in 5..5 + CHANGES {
        // Neighbouring moments for the same kind of change.
        let moment = number / 5 * 5 + number % 5 * 12;
        let delay = spread * (moment % CHANGES) / CHANGES;
        if kill_after(change(&repo, number, &review_by), delay) {
            done.push(number.to_string());
        }
    }
    // The next one completes what was recorded before it adds its own.
    let last = change(&repo, 1, &review_by).status().expect("runs");
    assert!(last.success());
    done.push("1".to_owned());
    let rows = repo.rows("telemetry/promotion-apply.jsonl");
    let told: Vec<&str> = rows
        .iter()
        .map(|row| row["governance"]["rationale"].as_str().expect("a number"))
        .collect();
    let once: BTreeSet<&str> = told.iter().copied().collect();
    assert_eq!(once.len(), told.len(), "no change has two rows: {told:?}");
    for number in &done {
        assert!(once.contains(number.as_str()), "{number} is in {told:?}");
    }
    for pair in rows.windows(2) {
        let [before, after] = [&pair[0], &pair[1]];
        assert_eq!(after["rollout"]["before"], before["rollout"]["after"]);
    }
    let registry = repo.manager_json("registry.v1.json");
    let autonomous = &registry["policy"]["autonomous"];
    let row = rows.last().expect("rows");
    let after = &row["rollout"]["after"];
    assert_eq!(
        autonomous["rollout"]["canaryPercent"],
        after["canaryPercent"]
    );
    assert_eq!(
        autonomous["rollout"]["pause"]["manual"],
        after["manualPause"]
    );
    for name in ["actor", "rationale", "changedAt", "reviewBy"] {
        let (found, recorded): (&Value, &Value) =
            (&autonomous["governance"][name], &row["governance"][name]);
        assert_eq!(found, recorded, "{name}");
    }
}
