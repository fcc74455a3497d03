//! What the other fleet commands get.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use om_model::fleet::registry::PolicyMode;
use om_registry::{HOOK_VARIABLE, Loaded, RegistryStage, StageFailure};
use om_stage::Hook;
use serde_json::{Value, json};

use super::{GUARDED, now, repository};

fn stage(repo: &Path) -> RegistryStage {
    RegistryStage {
        hook: None,
        ..RegistryStage::new(repo, None)
    }
}

/// What a stage gives whose hook is this script.
fn hooked(body: &str) -> Result<Loaded, StageFailure> {
    let (folder, _) = repository("{}");
    let script = folder.path().join("hook");
    let written = Command::new("sh")
        .args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#,
        ])
        .arg(&script)
        .arg(body)
        .stdin(Stdio::null())
        .status();
    assert!(written.expect("sh runs").success());
    let hook = Hook::exact(HOOK_VARIABLE, &script);
    let stage = RegistryStage {
        hook: Some(hook),
        ..stage(folder.path())
    };
    stage.load(now())
}

fn printed(document: &Value) -> Loaded {
    let body = format!("cat <<'END'\n{document}\nEND");
    hooked(&body).expect("can be used")
}

#[test]
fn the_file_is_found_read_and_normalised() {
    let (folder, file) = repository(GUARDED);
    let loaded = stage(folder.path()).load(now()).expect("is valid");
    assert_eq!(loaded.registry.source_file, file.display().to_string());
    assert_eq!(loaded.registry.loop_count, 2);
    assert_eq!(
        loaded.document["policy"]["autonomous"]["rollout"]["canaryPercent"],
        25
    );
    assert_eq!(
        (loaded.review_lapsed, loaded.unsupported_mode),
        (None, None)
    );
}

#[test]
fn a_lapsed_review_is_reported() {
    let (folder, _) = repository(&GUARDED.replace("05-05T", "05-04T"));
    let loaded = stage(folder.path()).load(now()).expect("is accepted");
    assert_eq!(
        loaded.review_lapsed.as_deref(),
        Some("2031-05-04T12:00:00Z")
    );
}

#[test]
fn what_cannot_be_used_fails_as_the_command_would() {
    let (folder, file) = repository("{");
    let shown = file.display().to_string();
    let failure = |content: Option<&str>| {
        match content {
            Some(content) => fs::write(&file, content).expect("registry"),
            None => fs::remove_file(&file).expect("is removed"),
        }
        let failure = stage(folder.path()).load(now()).expect_err("fails");
        assert_eq!(failure.exit_code, 1);
        failure.text
    };
    let text = failure(Some("{"));
    assert!(
        text.starts_with(&format!("error: invalid fleet registry JSON: {shown}: ")),
        "{text}"
    );
    let text = failure(Some("{\"loops\": []}"));
    let expected = format!(
        "error: invalid fleet registry: {shown}\n - schemaVersion must be \"v1\"\n \
         - loops must include at least one loop entry (line 1)"
    );
    assert_eq!(text, expected);
    assert_eq!(
        failure(None),
        format!("error: fleet registry file not found: {shown}")
    );
    fs::create_dir(&file).expect("folder");
    let text = stage(folder.path()).load(now()).expect_err("fails").text;
    assert_eq!(
        text,
        format!("error: fleet registry file not found: {shown}")
    );
}

#[test]
fn a_hook_gets_the_chapters_arguments() {
    let loaded = hooked(r#"printf '{"fleetId":"%s","metadata":"%s"}' "$1 $3 $#" "$2|$4""#);
    let document = loaded.expect("can be used").document;
    assert_eq!(document["fleetId"], "--repo --registry-file 4");
    let paths = document["metadata"].as_str().expect("a text");
    let (repo, file) = paths.split_once('|').expect("two");
    assert_eq!(
        file,
        format!("{repo}/.superloop/ops-manager/fleet/registry.v1.json")
    );
}

#[test]
fn a_hook_has_the_policys_own_defaults() {
    let loaded = printed(&json!({"loops": [{"loopId": "a"}]}));
    let policy = &loaded.registry.policy;
    assert_eq!(policy.mode, PolicyMode::Advisory);
    assert!(policy.autonomous.allow.categories.is_empty());
    assert!(policy.autonomous.allow.intents.is_empty());
    assert_eq!(policy.autonomous.rollout.canary_percent, 100);
    assert_eq!(loaded.unsupported_mode, None);
}

#[test]
fn a_hook_that_says_odd_things_switches_nothing_on() {
    let loaded = printed(&json!({
        "loops": [{"loopId": "a", "enabled": "sure"}],
        "policy": {"mode": "turbo", "suppressions": 1, "autonomous": {
            "allow": {"categories": ["health_critical", "all"], "intents": ["approve", 1]},
            "thresholds": {"minSeverity": "whatever", "minConfidence": 0},
            "safety": {"killSwitch": "on", "maxActionsPerRun": "many"},
            "rollout": {"pause": {"manual": 1}, "canaryPercent": "half"},
        }},
    }));
    assert_eq!(loaded.unsupported_mode.as_deref(), Some("turbo"));
    let registry = loaded.registry;
    assert!(!registry.loops[0].enabled);
    let autonomous = &registry.policy.autonomous;
    assert_eq!(autonomous.allow.categories.len(), 1);
    assert!(autonomous.safety.kill_switch && autonomous.rollout.pause.manual);
    assert_eq!(
        autonomous.thresholds,
        om_model::fleet::registry::Thresholds::default()
    );
    assert_eq!(autonomous.safety.max_actions_per_run, 1);
}

#[test]
fn a_hooks_lapsed_review_is_reported_too() {
    let governance = json!({"reviewBy": "2031-05-04T12:00:00Z"});
    let policy =
        |mode: &str| json!({"policy": {"mode": mode, "autonomous": {"governance": governance}}});
    let guarded = printed(&policy("guarded_auto"));
    assert_eq!(
        guarded.review_lapsed.as_deref(),
        Some("2031-05-04T12:00:00Z")
    );
    assert_eq!(printed(&policy("advisory")).review_lapsed, None);
}

#[test]
fn a_hook_that_prints_nothing_has_no_mode_and_no_loops() {
    let loaded = hooked("echo note >&2").expect("can be used");
    assert_eq!(loaded.document, Value::Null);
    assert_eq!(loaded.unsupported_mode.as_deref(), Some(""));
    assert_eq!(loaded.registry.loop_count, 0);
    assert_eq!(loaded.diagnostics, "note\n");
}

#[test]
fn a_hook_that_fails_or_prints_nonsense_fails_the_stage() {
    let failure = |body: &str| {
        let failure = hooked(body).expect_err("fails");
        (failure.exit_code, failure.text)
    };
    assert_eq!(
        failure("echo 'error: no' >&2; exit 7"),
        (7, "error: no".to_owned())
    );
    let (code, text) = failure("exit 3");
    let expected = format!("error: {HOOK_VARIABLE} failed with exit code 3 and said nothing");
    assert_eq!((code, text), (3, expected));
    let (code, text) = failure("echo '{} {}'");
    assert_eq!(code, 1);
    assert!(
        text.starts_with("error: invalid fleet registry JSON: "),
        "{text}"
    );
    let (_, text) = failure("echo '[]'");
    assert!(
        text.starts_with("error: invalid fleet registry: it must be an object"),
        "{text}"
    );
    let (_, text) = failure(r#"echo '{"loops":[{"loopId":"../x"}]}'"#);
    assert!(text.starts_with("error: invalid loop id: "), "{text}");
}
