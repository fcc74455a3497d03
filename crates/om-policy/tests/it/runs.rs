//! Evaluations of real files: what is read, refused and written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use om_model::{Timestamp, TraceId, json};
use om_policy::{PolicyEvaluation, PolicyPaths, PolicyRequest, run};
use om_registry::RegistryStage;
use om_stage::Hook;
use om_store::{FleetFile, RepoLayout};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{NOW, ago, at, critical, executed};

/// A repository with a fleet.
struct Repo {
    folder: TempDir,
    request: PolicyRequest,
}

impl Repo {
    fn new(registry: Value, results: Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = RepoLayout::new(folder.path().to_owned());
        let files = layout.fleet_files();
        let path = |file| files.path(file).display().to_string();
        let request = PolicyRequest {
            registry: RegistryStage {
                repo: folder.path().to_owned(),
                file: path(FleetFile::Registry),
                hook: None,
            },
            paths: PolicyPaths {
                registry: path(FleetFile::Registry),
                fleet_state: path(FleetFile::State),
                policy_state: path(FleetFile::PolicyState),
                governance_audit: path(FleetFile::PolicyGovernance),
                handoff_telemetry: path(FleetFile::HandoffRows),
                policy_telemetry: path(FleetFile::PolicyRows),
                policy_history: path(FleetFile::PolicyHistory),
            },
            dedupe_window_seconds: None,
            trace_id: None,
            fallback_trace_id: trace("generated"),
            layout,
        };
        let repo = Self { folder, request };
        repo.put(FleetFile::Registry, &json::compact(&registry));
        let state = json!({"fleetId": "north", "traceId": "tr-9", "results": results});
        repo.put(FleetFile::State, &json::compact(&state));
        repo
    }

    /// A governed fleet of these loops that may act by itself.
    fn auto(loops: &[&str]) -> Self {
        let entries: Vec<Value> = loops.iter().map(|id| json!({"loopId": id})).collect();
        let registry = json!({
            "schemaVersion": "v1", "loops": entries,
            "policy": {
                "mode": "guarded_auto",
                "noiseControls": {"dedupeWindowSeconds": 0},
                "autonomous": {"governance": {
                    "actor": "kim", "approvalRef": "CHG-88", "rationale": "pilot",
                    "changedAt": "2031-05-01T00:00:00Z", "reviewBy": "2031-06-01T00:00:00Z",
                }},
            },
        });
        Self::new(registry, loops.iter().map(|id| critical(id)).collect())
    }

    fn path(&self, file: FleetFile) -> PathBuf {
        self.request.layout.fleet_files().path(file)
    }

    fn put(&self, file: FleetFile, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn rows(&self, file: FleetFile) -> Vec<Value> {
        let text = fs::read_to_string(self.path(file)).expect("exists");
        text.lines()
            .map(|line| json::parse(line.as_bytes()).expect("a row"))
            .collect()
    }

    fn run_at(&self, now: Timestamp) -> Result<PolicyEvaluation, String> {
        run(&self.request, &|| now, &mut |_| {}).map_err(|error| error.to_string())
    }

    fn run(&self) -> Result<PolicyEvaluation, String> {
        self.run_at(at(NOW))
    }

    /// Fails with the message, the repository's path replaced, and nothing
    /// written.
    fn refused(&self) -> String {
        let before = tree(self.folder.path());
        let message = self.run().expect_err("is refused");
        assert_eq!(tree(self.folder.path()), before, "{message}");
        let fleet = self.request.layout.fleet_scope_dir().display().to_string();
        message.replace(&fleet, "F")
    }
}

fn trace(text: &str) -> TraceId {
    TraceId::new(text).expect("not empty")
}

/// Every file but those of the store.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.ends_with(".store") {
            continue;
        }
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).expect("readable")));
        }
    }
    files.sort();
    files
}

#[test]
fn one_run_writes_the_state_and_three_journals() {
    let repo = Repo::auto(&["a", "b"]);
    let run = repo.run().expect("is judged");
    let state = fs::read_to_string(repo.path(FleetFile::PolicyState)).expect("written");
    assert_eq!(state, json::compact(&run.state) + "\n");
    assert_eq!(repo.rows(FleetFile::PolicyHistory).len(), 2);
    assert_eq!(repo.rows(FleetFile::PolicyRows).len(), 1);
    let events: Vec<_> = repo.rows(FleetFile::PolicyGovernance);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["eventType"], "autonomous_policy_initialized");
}

#[test]
fn a_second_run_appends_and_audits_only_what_changed() {
    let mut repo = Repo::auto(&["a"]);
    repo.run().expect("is judged");
    repo.run_at(ago(-1000)).expect("is judged");
    assert_eq!(repo.rows(FleetFile::PolicyGovernance).len(), 1);
    assert_eq!(repo.rows(FleetFile::PolicyHistory).len(), 2);
    assert_eq!(repo.rows(FleetFile::PolicyRows).len(), 2);

    let registry = json!({
        "schemaVersion": "v1", "loops": [{"loopId": "a"}],
        "policy": {
            "suppressions": {"*": ["health_critical"]},
            "suppressionGovernance": {"*": {"actor": "kim", "ref": "CHG-9"}},
        },
    });
    repo.put(FleetFile::Registry, &json::compact(&registry));
    repo.request.trace_id = Some(trace("mine"));
    repo.run_at(ago(-2000)).expect("is judged");
    let rows = repo.rows(FleetFile::PolicyGovernance);
    let events: Vec<_> = rows
        .iter()
        .map(|row| json::text(&row["eventType"]))
        .collect();
    assert_eq!(
        events,
        [
            "autonomous_policy_initialized",
            "autonomous_mode_toggled",
            "policy_suppressions_changed"
        ]
    );
    assert_eq!(
        rows[2]["suppressionGovernance"],
        json!({"*": {"actor": "kim", "ref": "CHG-9"}})
    );
    assert_eq!(rows[2]["traceId"], "mine");
}

#[test]
fn without_candidates_all_files_exist_nevertheless() {
    let repo = Repo::new(
        json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}]}),
        json!([]),
    );
    repo.run().expect("is judged");
    assert_eq!(repo.rows(FleetFile::PolicyHistory).len(), 0);
    fs::remove_file(repo.path(FleetFile::PolicyGovernance)).expect("removed");
    repo.run().expect("is judged");
    assert_eq!(repo.rows(FleetFile::PolicyGovernance).len(), 0);
    assert_eq!(repo.rows(FleetFile::PolicyRows).len(), 2);
}

#[test]
fn empty_journals_are_made_with_their_folders() {
    let mut repo = Repo::auto(&[]);
    let registry = json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}]});
    repo.put(FleetFile::Registry, &json::compact(&registry));
    repo.run().expect("is judged");
    let path = repo.folder.path().join("x/y/history.jsonl");
    repo.request.paths.policy_history = path.display().to_string();
    repo.run().expect("is judged");
    assert_eq!(fs::read(path).expect("is made"), b"");
}

#[test]
fn where_there_is_no_fleet_none_is_made() {
    let repo = Repo::auto(&["a"]);
    fs::remove_dir_all(repo.folder.path().join(".superloop")).expect("removed");
    assert_eq!(repo.refused(), "fleet state file not found: F/state.json");
    assert!(!repo.folder.path().join(".superloop").exists());
}

#[test]
fn a_second_run_inside_of_both_windows_suppresses_and_cools_down() {
    let mut repo = Repo::auto(&["a"]);
    repo.request.dedupe_window_seconds = Some("0300".to_owned());
    let first = repo.run().expect("is judged").state;
    assert!(first.candidates[0].autonomous.eligible);
    let second = repo.run_at(ago(-100)).expect("is judged").state;
    let candidate = &second.candidates[0];
    assert_eq!(second.noise_controls.dedupe_window_seconds, 300);
    assert!(candidate.suppressed && candidate.autonomous.safety.cooldown.active);
    assert_eq!(candidate.cooldown.remaining_seconds, 200);
    assert_eq!(
        candidate.autonomous.safety.cooldown.last_eligible_at,
        Some(at(NOW))
    );
}

#[test]
fn the_trace_is_that_of_the_flag_then_of_the_fleet_then_another() {
    let mut repo = Repo::auto(&["a"]);
    let used = |repo: &Repo| repo.run().expect("is judged").state.trace_id.to_string();
    assert_eq!(used(&repo), "tr-9");
    for (state, expected) in [
        ("{\"traceId\":7}", "7"),
        ("{\"traceId\":\"\"}", "generated"),
        ("{}", "generated"),
        ("null", "generated"),
    ] {
        repo.put(FleetFile::State, state);
        assert_eq!(used(&repo), expected, "{state}");
    }
    repo.request.trace_id = Some(trace("flag"));
    assert_eq!(used(&repo), "flag");
}

#[test]
fn what_is_refused_and_in_which_order() {
    /// From the last check to the first: each hides those before it.
    type Break = (fn(&mut Repo), &'static str);
    let breaks: [Break; 7] = [
        (
            |repo| repo.put(FleetFile::HandoffRows, "{}\n{\n"),
            "invalid handoff telemetry JSONL: F/telemetry/handoff.jsonl: line 2: ",
        ),
        (
            |repo| repo.put(FleetFile::PolicyHistory, "{}\n\n[]\n"),
            "invalid policy history JSONL: F/telemetry/policy-history.jsonl: line 3: it is an array, expected an object",
        ),
        (
            |repo| repo.put(FleetFile::PolicyState, "{"),
            "invalid existing policy state JSON: F/policy-state.json: ",
        ),
        (
            |repo| repo.request.dedupe_window_seconds = Some("-1".to_owned()),
            "--dedupe-window-seconds must be a non-negative integer",
        ),
        (
            |repo| repo.put(FleetFile::State, "{"),
            "invalid fleet state JSON: F/state.json: ",
        ),
        (
            |repo| fs::remove_file(repo.path(FleetFile::Registry)).expect("removed"),
            "error: fleet registry file not found: F/registry.v1.json",
        ),
        (
            |repo| fs::remove_file(repo.path(FleetFile::State)).expect("removed"),
            "fleet state file not found: F/state.json",
        ),
    ];
    let mut repo = Repo::auto(&["a"]);
    for (damage, message) in breaks {
        damage(&mut repo);
        let refused = repo.refused();
        assert!(
            refused.starts_with(message),
            "{refused:?} begins with {message:?}"
        );
    }
}

#[test]
fn a_fleet_state_of_another_shape_is_refused() {
    for (state, message) in [
        ("", "it is empty"),
        ("{} {}", "more than one JSON document (line 1 column 4)"),
        ("[]", "document is an array, expected an object"),
        (
            "{\"results\":[5]}",
            "results[0] is a number, expected an object",
        ),
        (
            "{\"results\":[{\"status\":\"failed\"}]}",
            "results[0].loopId is missing or of another type, expected a string",
        ),
    ] {
        let repo = Repo::auto(&["a"]);
        repo.put(FleetFile::State, state);
        assert_eq!(
            repo.refused(),
            format!("invalid fleet state JSON: F/state.json: {message}")
        );
    }
}

#[test]
fn a_previous_state_is_looked_at_before_anything_is_written() {
    for state in ["", "{} {}", "[]", "5", "\"x\"", "{\"autonomous\":5}"] {
        let repo = Repo::auto(&["a"]);
        repo.put(FleetFile::PolicyState, state);
        let message = repo.refused();
        let expected = "invalid existing policy state JSON: F/policy-state.json: ";
        assert!(message.starts_with(expected), "{state:?}: {message}");
    }
    let repo = Repo::auto(&["a"]);
    repo.put(FleetFile::PolicyState, "null");
    repo.run().expect("null is none");
    assert_eq!(
        repo.rows(FleetFile::PolicyGovernance)[0]["eventType"],
        "autonomous_policy_initialized"
    );
}

#[test]
fn a_row_without_its_newline_is_not_there_yet() {
    let repo = Repo::auto(&["a"]);
    let torn = r#"{"candidateId":"a:health_critical","timestamp":"2031-05-06T07:08:00Z","autonomousEligible":true"#;
    repo.put(FleetFile::PolicyHistory, torn);
    repo.put(FleetFile::HandoffRows, "{");
    let state = repo.run().expect("is judged").state;
    assert!(state.candidates[0].autonomous.eligible);
    assert_eq!(repo.rows(FleetFile::PolicyHistory).len(), 1);
    let mut aside = repo.path(FleetFile::PolicyHistory).into_os_string();
    aside.push(".torn");
    let kept = fs::read_to_string(aside).expect("kept");
    assert_eq!(kept.trim_end(), torn);
    assert_eq!(
        fs::read_to_string(repo.path(FleetFile::HandoffRows)).expect("kept"),
        "{"
    );
}

#[test]
fn a_lapsed_review_is_a_posture_not_a_crash() {
    let repo = Repo::auto(&["a"]);
    let state = repo
        .run_at(at("2031-06-01T00:00:00Z"))
        .expect("is judged")
        .state;
    let reasons: Vec<_> = state.candidates[0]
        .autonomous
        .reasons
        .iter()
        .map(|r| r.as_str())
        .collect();
    assert_eq!(reasons, ["autonomous_governance_review_expired"]);
    assert!(
        !state.candidates[0]
            .autonomous
            .gates
            .governance_review_current
    );
}

#[test]
fn earlier_executions_pause_whatever_folds_are_saved() {
    let repo = Repo::auto(&["a"]);
    let rows: String = (0..400)
        .map(|_| json::compact(&executed(60, 1, 0, 1)) + "\n")
        .collect();
    repo.put(FleetFile::HandoffRows, &rows);
    for _ in 0..2 {
        let state = repo.run().expect("is judged").state;
        assert!(state.autonomous.rollout.pause.auto.active);
    }
}

#[test]
fn of_runs_at_the_same_time_only_one_grants_the_action() {
    let repo = Repo::auto(&["a"]);
    let granted: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| repo.run().expect("is judged")))
            .collect();
        let runs = runs.into_iter().map(|run| run.join().expect("ends"));
        runs.map(|run| usize::from(run.state.candidates[0].autonomous.eligible))
            .sum()
    });
    assert_eq!(granted, 1);
    assert_eq!(repo.rows(FleetFile::PolicyGovernance).len(), 1);
    assert_eq!(repo.rows(FleetFile::PolicyHistory).len(), 6);
    assert_eq!(repo.rows(FleetFile::PolicyRows).len(), 6);
}

/// A registry hook with this script.
fn hooked(script: &str) -> Repo {
    let mut repo = Repo::auto(&["a"]);
    let path = repo.folder.path().join("hook");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    let path = path.to_str().expect("UTF-8").to_owned();
    repo.request.registry.hook = Some(Hook::resolve(
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        &path,
        None,
    ));
    repo
}

#[test]
fn a_registry_hook_decides_and_its_defaults_deny() {
    let repo = hooked(
        r#"echo aside >&2; echo '{"policy":{"mode":"guarded_auto","autonomous":{"x":1.0,"safety":{"maxActionsPerRun":2}}}}'"#,
    );
    let mut said = String::new();
    let run = run(&repo.request, &|| at(NOW), &mut |text| said.push_str(text));
    let state = json::to_value(&run.expect("is judged").state);
    assert_eq!(said.trim_end(), "aside");
    assert_eq!(
        state["autonomous"]["controls"],
        json!({"x": 1, "safety": {"maxActionsPerRun": 2}})
    );
    assert_eq!(
        state["autonomous"]["governance"]["authorityContextPresent"],
        json!(false)
    );
    assert_eq!(
        state["candidates"][0]["autonomous"]["reasons"],
        json!(["category_not_allowlisted", "intent_not_allowlisted"])
    );
}

#[test]
fn a_registry_hook_that_fails_ends_the_run_with_its_code() {
    let repo = hooked("echo broken >&2; exit 7");
    let error = run(&repo.request, &|| at(NOW), &mut |_| {}).expect_err("is refused");
    let om_policy::PolicyError::Registry(failure) = error else {
        panic!("{error}")
    };
    assert_eq!((failure.exit_code, failure.text.as_str()), (7, "broken"));
}

#[test]
fn a_mode_that_nobody_knows_is_refused() {
    for (printed, mode) in [
        ("", ""),
        (r#"{"policy":{"mode":"yolo"}}"#, "yolo"),
        (r#"{"policy":{"mode":5}}"#, "5"),
    ] {
        let repo = hooked(&format!("printf '%s' '{printed}'"));
        assert_eq!(repo.refused(), format!("unsupported policy mode: {mode}"));
    }
}

#[test]
fn files_may_lie_anywhere() {
    let mut repo = Repo::auto(&["a"]);
    let elsewhere = repo.folder.path().join("else/where");
    let path = |name: &str| elsewhere.join(name).display().to_string();
    repo.request.paths.policy_state = path("p.json");
    repo.request.paths.governance_audit = path("a/g.jsonl");
    repo.request.paths.policy_history = path("b/h.jsonl");
    repo.request.paths.policy_telemetry = path("c/t.jsonl");
    repo.run().expect("is judged");
    for name in ["p.json", "a/g.jsonl", "b/h.jsonl", "c/t.jsonl"] {
        assert!(elsewhere.join(name).is_file(), "{name}");
    }
    assert!(!repo.path(FleetFile::PolicyState).exists());
}
