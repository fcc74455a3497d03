//! `ops-manager fleet init` and `ops-manager fleet policy set`.

use std::fs;

use serde_json::{Value, json};

use crate::fleet_registry::{fleet, registry_file};
use crate::harness::{Repo, Run, ago};

/// A registry as somebody writes it, with tabs, an unknown member, and CRLF.
fn hand_made(review_by: &str) -> String {
    let lines = [
        "{",
        "\t\"schemaVersion\" : \"v1\", \"note\": \"ours\",",
        "\t\"loops\": [ {\"loopId\":\"nightly\"}, {\"loopId\":\"b\"} ],",
        "\t\"policy\": {",
        "\t\t\"mode\": \"guarded_auto\",",
        "\t\t\"autonomous\": {",
        "\t\t\t\"governance\": {\"actor\":\"lee\",\"approvalRef\":\"CH-1\",\"rationale\":\"try\",",
        "\t\t\t\t\"changedAt\":\"2020-01-01T00:00:00Z\",\"reviewBy\":\"REVIEW\"},",
        "\t\t\t\"safety\": {\"killSwitch\": false}",
        "\t\t}",
        "\t}",
        "}",
    ];
    lines.join("\r\n").replace("REVIEW", review_by)
}

fn guarded() -> Repo {
    fleet(&hand_made(&ago(-86_400)))
}

fn text(repo: &Repo) -> String {
    fs::read_to_string(registry_file(repo)).expect("registry")
}

fn rows(repo: &Repo) -> Vec<Value> {
    let journal = repo
        .path()
        .join(".superloop/ops-manager/fleet/telemetry/policy-governance.jsonl");
    let content = fs::read_to_string(journal).unwrap_or_default();
    let rows = content.lines();
    rows.map(|row| serde_json::from_str(row).expect("a row"))
        .collect()
}

fn umbrella(repo: &Repo, words: &[&str], arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    let all = [words, &["--repo", path.as_str()], arguments].concat();
    repo.run_plain("ops-manager", &all)
}

fn set(repo: &Repo, words: &[&str], arguments: &[&str]) -> Run {
    umbrella(
        repo,
        &[&["fleet", "policy", "set"], words].concat(),
        arguments,
    )
}

/// Flags of somebody who answers for a change.
fn approved(review_by: &str) -> Vec<String> {
    let flags = [
        "--by",
        "kim",
        "--approval-ref",
        "CH-2",
        "--rationale",
        "calm",
        "--review-by",
    ];
    let flags = flags.iter().map(|flag| (*flag).to_owned());
    flags
        .chain([review_by.to_owned(), "--yes".to_owned()])
        .collect()
}

#[test]
fn the_kill_switch_changes_its_value_and_no_other_byte() {
    let repo = guarded();
    let before = text(&repo);
    let run = set(
        &repo,
        &["kill-switch", "on"],
        &["--by", "kim", "--trace-id", "t-1"],
    );
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(
        run.stdout
            .contains("policy.autonomous.safety.killSwitch: false"),
        "{}",
        run.stdout
    );
    assert_eq!(
        text(&repo),
        before.replace("\"killSwitch\": false", "\"killSwitch\": true")
    );
    let rows = rows(&repo);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    let members: Vec<&str> = row
        .as_object()
        .expect("a row")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members[..5],
        ["timestamp", "category", "eventType", "fleetId", "traceId"]
    );
    let path = "policy.autonomous.safety.killSwitch";
    let shown = registry_file(&repo).display().to_string();
    for (member, expected) in [
        ("category", json!("fleet_policy_governance")),
        ("eventType", json!("autonomous_policy_edited")),
        ("fleetId", json!("default")),
        ("traceId", json!("t-1")),
        ("mode", json!("guarded_auto")),
        ("actor", json!("kim")),
        (
            "command",
            json!("ops-manager fleet policy set kill-switch on"),
        ),
        ("narrowing", json!(true)),
        ("before", json!({path: false})),
        ("after", json!({path: true})),
    ] {
        assert_eq!(row[member], expected, "{member}");
    }
    assert_eq!(row["source"]["registryFile"], shown);
}

#[test]
fn a_lapsed_registry_can_be_narrowed_and_renewed() {
    let repo = fleet(&hand_made(&ago(60)));
    let run = set(&repo, &["pause", "on"], &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("review deadline has passed"),
        "{}",
        run.stdout
    );
    let refused = set(&repo, &["pause", "off"], &["--yes"]);
    let expected = "--by is required: pause off allows more to happen by itself";
    assert_eq!(refused.error(), expected);
    let flags = approved(&ago(-3_600));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let run = set(&repo, &["mode", "guarded_auto"], &flags);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let path = repo.path().display().to_string();
    let checked = repo.run_plain("ops-manager-fleet-registry", &["--repo", &path]);
    let shown: Value = serde_json::from_str(&checked.stdout).expect("is valid");
    assert_eq!(shown["policy"]["autonomous"]["governance"]["actor"], "kim");
    assert_eq!(rows(&repo).len(), 2);
}

#[test]
fn what_widens_is_not_written_without_a_yes() {
    let repo = guarded();
    let before = text(&repo);
    let flags = approved(&ago(-3_600));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let (yes, asked) = flags.split_last().expect("flags");
    assert_eq!(*yes, "--yes");
    let refused = set(&repo, &["autopause", "clear"], asked);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("add --yes"), "{}", refused.stderr);
    let dry = set(
        &repo,
        &["autopause", "clear"],
        &[asked, &["--dry-run"]].concat(),
    );
    assert_eq!((dry.code, dry.stderr.as_str()), (0, ""));
    assert_eq!((text(&repo), rows(&repo).len()), (before, 0));
    assert_eq!(set(&repo, &["autopause", "clear"], &flags).code, 0);
    assert!(text(&repo).contains("\"clearedAt\""));
}

#[test]
fn a_review_is_not_renewed_or_extended_without_a_yes() {
    for (review_by, name) in [(ago(60), "lapsed"), (ago(-1_800), "live")] {
        let repo = fleet(&hand_made(&review_by));
        let before = text(&repo);
        let flags = approved(&ago(-3_600));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let (_, asked) = flags.split_last().expect("flags");
        let refused = set(&repo, &["mode", "guarded_auto"], asked);
        assert_eq!(refused.code, 1, "{name}");
        assert!(refused.stderr.contains("add --yes"), "{}", refused.stderr);
        assert_eq!((text(&repo), rows(&repo).len()), (before, 0), "{name}");
        let written = set(&repo, &["mode", "guarded_auto"], &flags);
        assert_eq!(written.code, 0, "{}", written.stderr);
        assert!(written.stdout.contains("allows more"), "{}", written.stdout);
        assert_eq!(rows(&repo)[0]["narrowing"], false, "{name}");
    }
}

#[test]
fn switches_that_are_turned_off_at_the_same_moment_are_all_off() {
    let repo = guarded();
    let switches: [&[&str]; 5] = [
        &["kill-switch", "on"],
        &["pause", "on"],
        &["freeze", "nightly", "on"],
        &["freeze", "b", "on"],
        &["scope", "b"],
    ];
    std::thread::scope(|scope| {
        for switch in switches {
            let repo = &repo;
            scope.spawn(move || {
                let run = set(repo, switch, &[]);
                assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{switch:?}");
            });
        }
    });
    let path = repo.path().display().to_string();
    let shown = repo.run_plain("ops-manager-fleet-registry", &["--repo", &path]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("is valid");
    let autonomous = &shown["policy"]["autonomous"];
    assert_eq!(autonomous["safety"]["killSwitch"], true);
    let rollout = &autonomous["rollout"];
    assert_eq!(rollout["pause"]["manual"], true);
    let frozen = rollout["frozenLoopIds"].as_array().expect("a list");
    assert_eq!(frozen.len(), 2);
    assert_eq!(rollout["scope"]["loopIds"], json!(["b"]));
    assert_eq!(rows(&repo).len(), 5);
}

#[test]
fn what_comes_next_is_about_the_same_registry() {
    let repo = Repo::empty("l");
    let file = repo.path().join("our fleet.json").display().to_string();
    let quoted = file.replace(' ', "\\ ");
    let arguments = ["--registry-file", file.as_str(), "--loop", "a"];
    let run = umbrella(&repo, &["fleet", "init"], &arguments);
    let path = repo.path().display().to_string();
    for command in ["fleet-registry", "fleet-reconcile"] {
        let next =
            format!("ops-manager {command} --repo {path} --registry-file {quoted} --pretty\n");
        assert!(run.stdout.contains(&next), "{}", run.stdout);
    }
    let run = set(&repo, &["pause", "on"], &["--registry-file", &file]);
    let next =
        format!("ops-manager fleet-policy --repo {path} --registry-file {quoted} --pretty\n");
    assert!(run.stdout.contains(&next), "{} {}", run.stdout, run.stderr);
}

#[test]
fn loops_are_frozen_scoped_and_suppressed_by_name() {
    let repo = guarded();
    let flags = approved(&ago(-3_600));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    for words in [
        &["freeze", "nightly", "on"][..],
        &["scope", "nightly", "b"],
        &["canary", "25"],
        &["suppress", "*", "health_degraded", "on"],
        &["suppress", "b", "health_critical", "on"],
    ] {
        let run = set(&repo, words, &flags);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{words:?}");
    }
    let document = om_model::json::parse(text(&repo).as_bytes()).expect("is JSON");
    let rollout = &document["policy"]["autonomous"]["rollout"];
    assert_eq!(rollout["frozenLoopIds"], json!(["nightly"]));
    assert_eq!(rollout["scope"]["loopIds"], json!(["nightly", "b"]));
    assert_eq!(rollout["canaryPercent"], 25);
    let suppressions = json!({"*": ["health_degraded"], "b": ["health_critical"]});
    assert_eq!(document["policy"]["suppressions"], suppressions);
    assert_eq!(
        document["policy"]["suppressionGovernance"]["*"]["ref"],
        "CH-2"
    );
    assert_eq!(document["note"], "ours");
    assert_eq!(rows(&repo).len(), 5);
}

#[test]
fn what_is_so_already_writes_nothing() {
    let repo = guarded();
    let before = text(&repo);
    let run = set(&repo, &["kill-switch", "off"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.contains("nothing to change"), "{}", run.stdout);
    assert_eq!((text(&repo), rows(&repo).len()), (before, 0));
}

#[test]
fn wrong_words_are_refused_before_anything_is_read() {
    let repo = guarded();
    for (words, message) in [
        (&["kill-switch"][..], "kill-switch must be on or off"),
        (&["pause", "yes"], "pause must be on or off"),
        (
            &["autopause", "on"],
            "autopause can only be cleared: autopause clear",
        ),
        (
            &["canary", "101"],
            "canary must be an integer between 0 and 100",
        ),
        (&["mode", "auto"], "mode must be advisory or guarded_auto"),
        (&["scope"], "scope must be one or more loops, or all"),
        (
            &["freeze", "nope", "on"],
            "there is no loop \"nope\" in the fleet registry; it has: nightly, b",
        ),
        (
            &["suppress", "b", "noise", "on"],
            "suppress needs a category: health_critical, health_degraded, reconcile_failed",
        ),
    ] {
        let run = set(&repo, words, &[]);
        assert_eq!(run.error(), message, "{words:?}");
    }
}

#[test]
fn a_registry_that_breaks_rules_is_refused_with_all_of_them() {
    let repo = fleet(r#"{"schemaVersion":"v1","loops":[{"loopId":"a","enabled":1}],"fleetId":1}"#);
    let run = set(&repo, &["kill-switch", "on"], &[]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert_eq!(run.stderr.lines().count(), 3, "{}", run.stderr);
    assert!(
        run.stderr.starts_with("error: invalid fleet registry: "),
        "{}",
        run.stderr
    );
}

#[test]
fn init_finds_the_loops_and_writes_a_valid_registry() {
    let repo = Repo::empty("l");
    for folder in [
        "loops/nightly",
        "loops/a ü",
        "ops-manager/nightly",
        "ops-manager/remote",
    ] {
        fs::create_dir_all(repo.path().join(".superloop").join(folder)).expect("folder");
    }
    let run = umbrella(
        &repo,
        &["fleet", "init"],
        &["--fleet-id", "night", "--loop", "new"],
    );
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.contains("4 loops"), "{}", run.stdout);
    assert!(
        run.stdout.contains("Not running here: remote."),
        "{}",
        run.stdout
    );
    let path = repo.path().display().to_string();
    let shown = repo
        .run_plain("ops-manager-fleet-registry", &["--repo", &path])
        .ok();
    let ids: Vec<&str> = shown["loops"]
        .as_array()
        .expect("loops")
        .iter()
        .map(|entry| entry["loopId"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, ["a ü", "new", "nightly", "remote"]);
    assert_eq!(
        (&shown["fleetId"], &shown["policy"]["mode"]),
        (&json!("night"), &json!("advisory"))
    );
    assert!(rows(&repo).is_empty());
}

#[test]
fn init_replaces_a_registry_only_if_told_and_keeps_the_old_one() {
    let repo = guarded();
    let before = text(&repo);
    let refused = umbrella(&repo, &["fleet", "init"], &["--loop", "x"]);
    assert!(refused.error().contains("add --yes to replace it"));
    assert_eq!(text(&repo), before);
    let run = umbrella(&repo, &["fleet", "init"], &["--loop", "x", "--yes"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let folder = registry_file(&repo);
    let folder = fs::read_dir(folder.parent().expect("a folder")).expect("folder");
    let kept = folder.flatten().find(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("registry.v1.json.replaced-")
    });
    let kept = fs::read_to_string(kept.expect("is kept").path()).expect("is text");
    assert_eq!(kept, before);
    assert_eq!(rows(&repo)[0]["before"]["policy"]["mode"], "guarded_auto");
}

#[test]
fn every_registry_that_init_replaces_is_kept() {
    let repo = Repo::empty("l");
    for id in ["a", "b", "c", "d"] {
        let run = umbrella(&repo, &["fleet", "init"], &["--loop", id, "--yes"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    }
    let folder = registry_file(&repo);
    let folder = fs::read_dir(folder.parent().expect("a folder")).expect("folder");
    let names = folder.flatten().map(|entry| entry.file_name());
    let kept = names.filter(|name| name.to_string_lossy().contains(".replaced-"));
    assert_eq!(kept.count(), 3);
}

#[test]
fn init_without_a_loop_writes_nothing() {
    let repo = Repo::empty("l");
    let run = umbrella(&repo, &["fleet", "init"], &[]);
    assert!(run.error().contains("no loop was found in "));
    assert!(!registry_file(&repo).exists());
}
