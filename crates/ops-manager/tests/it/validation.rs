//! Which mistake is reported first, and in which words: the checking orders
//! of the contract's tables.

use std::fs;

use crate::harness::{Repo, healthy};

/// A command line on which everything is wrong, mended one mistake at a time.
struct Ladder<'a> {
    command: &'a str,
    flags: Vec<(&'a str, String)>,
}

impl<'a> Ladder<'a> {
    fn new(command: &'a str, flags: &[(&'a str, &str)]) -> Self {
        let flags = flags
            .iter()
            .map(|(flag, value)| (*flag, (*value).to_owned()));
        Self {
            command,
            flags: flags.collect(),
        }
    }

    /// Asserts what is reported now, and that nothing was written.
    fn says(&self, repo: &Repo, message: &str) {
        let before = repo.tree();
        let run = self.run(repo);
        assert_eq!(run.error(), message, "{:?}", self.flags);
        assert_eq!(repo.tree(), before, "{message}: nothing is written");
    }

    /// Like [`Self::says`], where the message may add detail.
    fn begins(&self, repo: &Repo, message: &str) {
        let before = repo.tree();
        let run = self.run(repo);
        let said = run.error();
        assert!(said.starts_with(message), "{said:?} begins {message:?}");
        assert_eq!(repo.tree(), before, "{message}: nothing is written");
    }

    fn run(&self, repo: &Repo) -> crate::harness::Run {
        let words = self
            .flags
            .iter()
            .flat_map(|(flag, value)| [*flag, value.as_str()]);
        repo.run_plain(self.command, &words.collect::<Vec<_>>())
    }

    /// Gives a flag a value, instead of the one it had.
    fn set(&mut self, flag: &'a str, value: &str) {
        self.drop(flag);
        self.flags.push((flag, value.to_owned()));
    }

    fn drop(&mut self, flag: &str) {
        self.flags.retain(|(name, _)| *name != flag);
    }
}

/// The threshold flags in checking order, and the metric that a pair is
/// named by.
const THRESHOLDS: [(&str, &str, &str); 3] = [
    (
        "--degraded-ingest-lag-seconds",
        "--critical-ingest-lag-seconds",
        "ingest lag",
    ),
    (
        "--degraded-heartbeat-lag-seconds",
        "--critical-heartbeat-lag-seconds",
        "heartbeat lag",
    ),
    (
        "--degraded-transport-failure-streak",
        "--critical-transport-failure-streak",
        "transport failure",
    ),
];

/// Rows 14 and 15 of 02 §2.2: six numbers, then three pairs.
fn climb_thresholds(ladder: &mut Ladder<'_>, repo: &Repo) {
    for (degraded, critical, _) in THRESHOLDS {
        for (flag, value) in [(degraded, "10"), (critical, "5")] {
            for bad in ["", "-1", "1.5", "x"] {
                ladder.set(flag, bad);
                let name = flag.trim_start_matches('-');
                ladder.says(repo, &format!("{name} must be a non-negative integer"));
            }
            ladder.set(flag, value);
        }
    }
    for (_, critical, metric) in THRESHOLDS {
        ladder.says(
            repo,
            &format!("critical {metric} threshold must be >= degraded threshold"),
        );
        ladder.set(critical, "10");
    }
}

fn bad_thresholds<'a>() -> Vec<(&'a str, &'a str)> {
    let flags = THRESHOLDS
        .iter()
        .flat_map(|(degraded, critical, _)| [*degraded, *critical]);
    flags.map(|flag| (flag, "bad")).collect()
}

#[test]
fn reconcile_reports_mistakes_in_the_order_of_its_table() {
    let mut repo = healthy();
    repo.env("OPS_MANAGER_DRIFT_REQUIRED_STREAK", "0");
    repo.env("OPS_MANAGER_DRIFT_SUMMARY_WINDOW", "many");
    let path = repo.path().display().to_string();
    let flags = [
        ("--max-events", "-1"),
        ("--retry-attempts", "0"),
        ("--retry-backoff-seconds", "1s"),
        ("--drift-required-streak", "0"),
        ("--drift-summary-window", ""),
        ("--alerts-enabled", "TRUE"),
        ("--transport", "carrier-pigeon"),
        ("--threshold-profile", "nope"),
        ("--drift-min-confidence", "certain"),
    ];
    let mut ladder = Ladder::new("ops-manager-reconcile", &flags);
    for (flag, bad) in bad_thresholds() {
        ladder.set(flag, bad);
    }
    ladder.says(&repo, "--repo is required");
    ladder.set("--repo", "/nowhere/at-all");
    ladder.says(&repo, "--loop is required");
    ladder.set("--loop", "l");
    for (flag, good, message) in [
        (
            "--max-events",
            "0",
            "--max-events must be a non-negative integer",
        ),
        (
            "--retry-attempts",
            "1",
            "--retry-attempts must be an integer >= 1",
        ),
        (
            "--retry-backoff-seconds",
            "0",
            "--retry-backoff-seconds must be a non-negative integer",
        ),
        (
            "--drift-required-streak",
            "",
            "--drift-required-streak must be an integer >= 1",
        ),
        (
            "--drift-summary-window",
            "",
            "--drift-summary-window must be an integer >= 1",
        ),
        (
            "--alerts-enabled",
            "false",
            "--alerts-enabled must be true or false",
        ),
        (
            "--transport",
            "local",
            "--transport must be local or sprite_service",
        ),
    ] {
        ladder.says(&repo, message);
        // The environment has its turn only where the flag was not given.
        if good.is_empty() {
            ladder.drop(flag);
        } else {
            ladder.set(flag, good);
        }
    }
    ladder.says(&repo, "--repo /nowhere/at-all: No such file or directory");
    ladder.set("--repo", &path);
    ladder.begins(&repo, "unknown threshold profile: nope");
    ladder.set("--threshold-profile", "strict");
    ladder.says(
        &repo,
        "--drift-min-confidence must be one of: low, medium, high",
    );
    ladder.set("--drift-min-confidence", "low");
    ladder.says(&repo, "--drift-required-streak must be an integer >= 1");
    repo.env("OPS_MANAGER_DRIFT_REQUIRED_STREAK", "2");
    ladder.says(&repo, "--drift-summary-window must be an integer >= 1");
    repo.env("OPS_MANAGER_DRIFT_SUMMARY_WINDOW", "50");
    climb_thresholds(&mut ladder, &repo);
    let state = ladder.run(&repo).ok();
    assert_eq!(state["drift"]["requiredStreak"], 2);
    assert_eq!(state["drift"]["summaryWindow"], 50);
}

#[test]
fn an_empty_number_or_enum_is_the_error_of_its_flag() {
    let repo = healthy();
    for (flag, message) in [
        (
            "--max-events",
            "--max-events must be a non-negative integer",
        ),
        (
            "--retry-attempts",
            "--retry-attempts must be an integer >= 1",
        ),
        (
            "--retry-backoff-seconds",
            "--retry-backoff-seconds must be a non-negative integer",
        ),
        (
            "--drift-required-streak",
            "--drift-required-streak must be an integer >= 1",
        ),
        (
            "--drift-summary-window",
            "--drift-summary-window must be an integer >= 1",
        ),
        ("--alerts-enabled", "--alerts-enabled must be true or false"),
        ("--transport", "--transport must be local or sprite_service"),
        (
            "--drift-min-confidence",
            "--drift-min-confidence must be one of: low, medium, high",
        ),
    ] {
        assert_eq!(repo.reconcile(&[flag, ""]).error(), message);
    }
}

#[test]
fn a_bad_drift_setting_in_the_environment_is_reported_under_the_flags_name() {
    for (variable, bad, message) in [
        (
            "OPS_MANAGER_DRIFT_MIN_CONFIDENCE",
            "certain",
            "--drift-min-confidence must be one of: low, medium, high",
        ),
        (
            "OPS_MANAGER_DRIFT_REQUIRED_STREAK",
            "x",
            "--drift-required-streak must be an integer >= 1",
        ),
        (
            "OPS_MANAGER_DRIFT_SUMMARY_WINDOW",
            "0",
            "--drift-summary-window must be an integer >= 1",
        ),
    ] {
        let mut repo = healthy();
        repo.env(variable, bad);
        assert_eq!(repo.reconcile(&[]).error(), message);
        repo.env(variable, "");
        repo.reconcile(&[]).ok();
    }
}

#[test]
fn health_reports_mistakes_in_the_order_of_its_table() {
    let repo = Repo::empty("l");
    let files = [
        ("--state-file", "state"),
        ("--heartbeat-state-file", "heartbeat state"),
        ("--sequence-state-file", "sequence state"),
        ("--transport-health-file", "transport health"),
    ];
    fs::write(repo.outside("broken"), "{").expect("broken file");
    fs::write(repo.outside("good"), "{}").expect("good file");
    let flags = [
        ("--transport", ""),
        ("--ingest-status", "maybe"),
        ("--now", "yesterday"),
    ];
    let mut ladder = Ladder::new("ops-manager-health", &flags);
    for (flag, bad) in bad_thresholds() {
        ladder.set(flag, bad);
    }
    for (flag, _) in files {
        ladder.set(flag, "broken");
    }
    ladder.says(&repo, "--transport must be local or sprite_service");
    ladder.set("--transport", "sprite_service");
    ladder.says(&repo, "--ingest-status must be success or failed");
    ladder.set("--ingest-status", "failed");
    climb_thresholds(&mut ladder, &repo);
    ladder.says(&repo, "--now must be an ISO-8601 UTC timestamp");
    ladder.set("--now", "2026-11-20T09:00:00Z");
    for (flag, name) in files {
        ladder.begins(&repo, &format!("invalid {name} JSON: broken"));
        ladder.set(flag, "good");
    }
    assert_eq!(
        ladder.run(&repo).ok()["transport"]["mode"],
        "sprite_service"
    );
}

#[test]
fn poll_events_checks_flags_before_the_repository_and_the_log_after_it() {
    let repo = Repo::empty("l");
    let path = repo.path().display().to_string();
    let mut ladder = Ladder::new("ops-manager-poll-events", &[("--max-events", "x")]);
    ladder.says(&repo, "--repo is required");
    ladder.set("--repo", "/nowhere");
    ladder.says(&repo, "--loop is required");
    ladder.set("--loop", "l");
    for bad in ["x", "", "-1", "+1", "1.5"] {
        ladder.set("--max-events", bad);
        ladder.says(&repo, "--max-events must be a non-negative integer");
    }
    ladder.set("--max-events", "1");
    ladder.says(&repo, "--repo /nowhere: No such file or directory");
    ladder.set("--repo", &path);
    let root = repo.runtime_dir().display().to_string();
    ladder.begins(&repo, &format!("required artifact root missing: {root}"));
    fs::create_dir_all(repo.runtime_dir()).expect("loop folder");
    ladder.begins(
        &repo,
        &format!("required artifact missing: {root}/events.jsonl"),
    );
}

#[test]
fn the_telemetry_summary_checks_its_window_before_its_file() {
    let repo = Repo::empty("l");
    let path = repo.path().display().to_string();
    let mut ladder = Ladder::new("ops-manager-telemetry-summary", &[("--window", "0")]);
    ladder.says(&repo, "--repo is required");
    ladder.set("--repo", "/nowhere");
    ladder.says(&repo, "--loop is required");
    ladder.set("--loop", "l");
    ladder.says(&repo, "--window must be an integer >= 1");
    ladder.set("--window", "1");
    ladder.says(&repo, "--repo /nowhere: No such file or directory");
    ladder.set("--repo", &path);
    let file = repo.shown("telemetry/reconcile.jsonl");
    ladder.begins(
        &repo,
        &format!("reconcile telemetry file not found: {file}"),
    );
}

#[test]
fn profile_drift_reports_mistakes_in_the_order_of_its_table() {
    let repo = Repo::empty("l");
    let path = repo.path().display().to_string();
    fs::write(repo.outside("broken"), "{").expect("broken file");
    let flags = [
        ("--required-streak", "0"),
        ("--summary-window", "0"),
        ("--recommendation-confidence", ""),
        ("--min-confidence", "certain"),
        ("--thresholds-file", "broken"),
        ("--applied-profile", "tight"),
        ("--recommended-profile", "loose"),
        ("--drift-state-file", "broken"),
    ];
    let mut ladder = Ladder::new("ops-manager-profile-drift", &flags);
    ladder.says(&repo, "--repo is required");
    ladder.set("--repo", "/nowhere");
    ladder.says(&repo, "--loop is required");
    ladder.set("--loop", "l");
    let levels = "must be one of: low, medium, high";
    for (flag, good, message) in [
        (
            "--required-streak",
            "2",
            "--required-streak must be an integer >= 1".to_owned(),
        ),
        (
            "--summary-window",
            "9",
            "--summary-window must be an integer >= 1".to_owned(),
        ),
        (
            "--recommendation-confidence",
            "high",
            format!("--recommendation-confidence {levels}"),
        ),
        (
            "--min-confidence",
            "low",
            format!("--min-confidence {levels}"),
        ),
        (
            "--repo",
            &path,
            "--repo /nowhere: No such file or directory".to_owned(),
        ),
    ] {
        ladder.says(&repo, &message);
        ladder.set(flag, good);
    }
    for (flag, good, message) in [
        (
            "--thresholds-file",
            "",
            "invalid threshold profiles file: broken",
        ),
        (
            "--applied-profile",
            "strict",
            "unknown applied profile: tight",
        ),
        (
            "--recommended-profile",
            "relaxed",
            "unknown recommended profile: loose",
        ),
        (
            "--drift-state-file",
            "fresh.json",
            "invalid drift state JSON: broken",
        ),
    ] {
        ladder.begins(&repo, message);
        ladder.set(flag, good);
    }
    assert_eq!(ladder.run(&repo).ok()["status"], "mismatch_pending");
}

#[test]
fn status_checks_its_window_then_the_repository_then_the_artifacts() {
    let repo = Repo::empty("l");
    let path = repo.path().display().to_string();
    let mut ladder = Ladder::new("ops-manager-status", &[("--summary-window", "0")]);
    ladder.says(&repo, "--repo is required");
    ladder.set("--repo", "/nowhere");
    ladder.says(&repo, "--loop is required");
    ladder.set("--loop", "l");
    ladder.says(&repo, "--summary-window must be an integer >= 1");
    ladder.set("--summary-window", "7");
    ladder.says(&repo, "--repo /nowhere: No such file or directory");
    ladder.set("--repo", &path);
    ladder.says(&repo, "no status artifacts found for loop: l");
}
