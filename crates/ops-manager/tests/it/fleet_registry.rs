//! `ops-manager-fleet-registry` (chapter 05 §1).

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::harness::{Repo, Run, ago};

const COMMAND: &str = "ops-manager-fleet-registry";

/// A repository with this registry.
pub(crate) fn fleet(registry: &str) -> Repo {
    let repo = Repo::empty("l");
    let file = registry_file(&repo);
    fs::create_dir_all(file.parent().expect("a folder")).expect("fleet folder");
    fs::write(file, registry).expect("registry");
    repo
}

pub(crate) fn registry_file(repo: &Repo) -> PathBuf {
    repo.path()
        .join(".superloop/ops-manager/fleet/registry.v1.json")
}

fn run(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    repo.run_plain(COMMAND, &[&["--repo", path.as_str()], arguments].concat())
}

/// What a rejected registry prints: the first line's rest, and the violations.
fn refused(registry: &str) -> (String, Vec<String>) {
    let repo = fleet(registry);
    let run = run(&repo, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    let text = run.stderr.strip_prefix("error: ").expect("an error");
    let mut lines = text.lines().map(str::to_owned);
    let first = lines.next().expect("a line");
    let shown = registry_file(&repo).display().to_string();
    (first.replace(&shown, "FILE"), lines.collect())
}

#[test]
fn the_smallest_registry_is_shown_with_every_default() {
    let repo = fleet(r#"{"schemaVersion":"v1","loops":[{"loopId":"nightly"}]}"#);
    let shown = run(&repo, &[]).ok();
    assert_eq!(
        shown["sourceFile"],
        registry_file(&repo).display().to_string()
    );
    assert_eq!(
        shown["loops"],
        json!([{"loopId": "nightly", "enabled": true, "transport": "local", "sprite": {},
            "service": {"retryAttempts": 3, "retryBackoffSeconds": 1}, "metadata": {}}])
    );
    assert_eq!(
        shown["policy"]["autonomous"]["rollout"]["canaryPercent"],
        100
    );
    assert_eq!(shown["loopCount"], 1);
    let pretty = run(&repo, &["--pretty"]);
    assert_eq!(pretty.ok(), shown);
    assert!(
        pretty
            .stdout
            .starts_with("{\n  \"schemaVersion\": \"v1\",\n")
    );
    assert_eq!(run(&repo, &[]).stdout.lines().count(), 1);
}

#[test]
fn a_switch_that_is_off_stays_off() {
    let repo = fleet(
        r#"{"schemaVersion":"v1","loops":[{"loopId":"a","enabled":false}],
        "policy":{"autonomous":{"rollout":{"autoPause":{"enabled":false}}}}}"#,
    );
    let shown = run(&repo, &[]).ok();
    assert_eq!(shown["loops"][0]["enabled"], false);
    let pause = &shown["policy"]["autonomous"]["rollout"]["autoPause"];
    assert_eq!(pause["enabled"], false);
}

#[test]
fn one_loop_can_be_shown_and_has_to_exist() {
    let repo = fleet(r#"{"schemaVersion":"v1","loops":[{"loopId":"a"},{"loopId":"A"}]}"#);
    let shown = run(&repo, &["--loop", "b", "--loop", "A"]).ok();
    assert_eq!(
        (&shown["loops"][0]["loopId"], &shown["loopCount"]),
        (&json!("A"), &json!(1))
    );
    assert_eq!(run(&repo, &["--loop", ""]).ok()["loopCount"], 2);
    let missing = run(&repo, &["--loop", "nope"]);
    assert!(
        missing
            .error()
            .starts_with("loop not found in registry: nope")
    );
}

#[test]
fn a_file_can_be_named_and_is_reported_as_it_was_named() {
    let repo = fleet("{");
    fs::write(
        repo.outside("other.json"),
        "\u{feff}{\"schemaVersion\":\"v1\",\"loops\":[{\"loopId\":\"a\"}]}",
    )
    .expect("registry");
    let shown = run(&repo, &["--registry-file=other.json"]).ok();
    assert_eq!(shown["sourceFile"], "other.json");
}

#[test]
fn what_is_no_registry_is_refused_with_one_line() {
    let repo = fleet("");
    let shown = registry_file(&repo).display().to_string();
    for (content, start) in [
        ("", "invalid fleet registry JSON: FILE: it is empty"),
        (
            "{\"a\":}",
            "invalid fleet registry JSON: FILE: expected value at line 1",
        ),
        (
            "{}\n{}",
            "invalid fleet registry JSON: FILE: more than one JSON document (line 2",
        ),
    ] {
        fs::write(registry_file(&repo), content).expect("registry");
        let run = run(&repo, &[]);
        let message = run.error().replace(&shown, "FILE");
        assert!(message.starts_with(start), "{message}");
    }
    let missing = run(&repo, &["--registry-file", "none.json"]);
    assert_eq!(missing.error(), "fleet registry file not found: none.json");
    let folder = run(&repo, &["--registry-file", "."]);
    assert_eq!(folder.error(), "fleet registry file not found: .");
    assert_eq!(repo.run_plain(COMMAND, &[]).error(), "--repo is required");
}

#[test]
fn every_broken_rule_is_listed_in_order_with_its_line() {
    let (first, violations) = refused(
        "{\n\"schemaVersion\": 1,\n\"loops\": [\n{\"loopId\": \"a\", \"enabled\": \"no\"},\n\
         {\"loopId\": \"a/b\", \"transport\": \"sprite_service\"}],\n\
         \"policy\": {\"mode\": \"guarded_auto\", \"autonomous\": {\"safety\": false,\n\"rollout\": {\"canaryPercent\": 200}}}}",
    );
    assert_eq!(first, "invalid fleet registry: FILE");
    let governance = "policy.autonomous.governance";
    let guarded = "when policy.mode is guarded_auto";
    assert_eq!(
        violations,
        [
            " - schemaVersion must be \"v1\" (line 2)".to_owned(),
            " - loops[0]: enabled must be boolean when present (line 4)".to_owned(),
            " - loops[1]: loopId must be a safe path component (line 5)".to_owned(),
            " - loops[1]: sprite_service loops require service.baseUrl or sprite.serviceBaseUrl (line 5)".to_owned(),
            " - policy.autonomous.safety must be an object when present (line 6)".to_owned(),
            format!(" - {governance} is required {guarded} (line 6)"),
            format!(" - {governance}.actor is required {guarded} (line 6)"),
            format!(" - {governance}.approvalRef is required {guarded} (line 6)"),
            format!(" - {governance}.rationale is required {guarded} (line 6)"),
            format!(" - {governance}.changedAt must be an ISO-8601 timestamp {guarded} (line 6)"),
            format!(" - {governance}.reviewBy must be an ISO-8601 timestamp {guarded} (line 6)"),
            " - policy.autonomous.rollout.canaryPercent must be an integer between 0 and 100 when present (line 7)".to_owned(),
        ]
    );
}

#[test]
fn a_review_deadline_that_has_passed_is_refused() {
    let document = json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}], "policy": {
        "mode": "guarded_auto", "autonomous": {"governance": {"actor": "kim", "approvalRef": "X",
            "rationale": "y", "changedAt": ago(900), "reviewBy": ago(1)}}}});
    let (_, violations) = refused(&document.to_string());
    let rule = "policy.autonomous.governance.reviewBy must be in the future when policy.mode is guarded_auto";
    assert_eq!(violations, [format!(" - {rule} (line 1)")]);
    let later = document.to_string().replace(&ago(1), &ago(-900));
    let repo = fleet(&later);
    assert_eq!(
        run(&repo, &[]).ok()["policy"]["autonomous"]["governance"]["reviewWindowDays"],
        0
    );
}

#[test]
fn a_misspelt_switch_is_warned_about_and_a_known_one_is_not() {
    let repo = fleet(
        r#"{"schemaVersion":"v1","sourceFile":"x","loopCount":1,"loops":[{"loopId":"a"}],
        "policy":{"autonomous":{"enabled":true,"safety":{"killswitch":true}}}}"#,
    );
    let run = run(&repo, &[]);
    let shown = registry_file(&repo).display().to_string();
    let expected = format!(
        "warning: {shown}: unknown member policy.autonomous.safety.killswitch has no effect; \
         did you mean killSwitch? (line 2)\n"
    );
    assert_eq!((run.code, run.stderr.as_str()), (0, expected.as_str()));
    assert_eq!(
        run.json()["policy"]["autonomous"]["safety"]["killSwitch"],
        false
    );
}

#[test]
fn ten_thousand_loops_and_suppressions_are_judged_at_once() {
    let loops: Vec<_> = (0..10_000)
        .map(|n| json!({"loopId": format!("loop-{n}")}))
        .collect();
    let suppressions: serde_json::Map<_, _> = (0..10_000)
        .map(|n| (format!("loop-{n}"), json!(["health_degraded"])))
        .collect();
    let document =
        json!({"schemaVersion": "v1", "loops": loops, "policy": {"suppressions": suppressions}});
    let repo = fleet(&document.to_string());
    assert_eq!(run(&repo, &[]).ok()["loopCount"], 10_000);
}
