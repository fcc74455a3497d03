//! `ops-manager-fleet-reconcile` (chapter 05 §2; decisions D1, D4, D11, D14, D23).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago, event, fixtures};

pub(crate) const COMMAND: &str = "ops-manager-fleet-reconcile";

/// A repository with this registry; `manager` files are those of the fleet.
pub(crate) fn fleet(loops: Value) -> Repo {
    let repo = Repo::empty("fleet");
    put_registry(&repo, loops);
    repo
}

#[expect(clippy::needless_pass_by_value, reason = "called with `json!`")]
pub(crate) fn put_registry(repo: &Repo, loops: Value) {
    let registry = json!({"schemaVersion": "v1", "fleetId": "north", "loops": loops});
    let folder = repo.path().join(".superloop/ops-manager/fleet");
    fs::create_dir_all(&folder).expect("folder");
    fs::write(folder.join("registry.v1.json"), registry.to_string()).expect("registry");
}

pub(crate) fn fleet_file(repo: &Repo, file: &str) -> String {
    let path = repo.path().join(".superloop/ops-manager/fleet").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn loop_file(repo: &Repo, loop_id: &str, file: &str) -> Value {
    let path = repo.path().join(".superloop/ops-manager").join(loop_id);
    let content = fs::read(path.join(file)).unwrap_or_else(|e| panic!("{loop_id}/{file}: {e}"));
    serde_json::from_slice(&content).expect("JSON")
}

/// A healthy loop of this name.
pub(crate) fn put_loop(repo: &Repo, loop_id: &str) {
    let folder = repo.path().join(".superloop/loops").join(loop_id);
    fs::create_dir_all(&folder).expect("folder");
    let line = event("iteration_start", &ago(0)).replace("\"l\"", &format!("{loop_id:?}"));
    fs::write(folder.join("events.jsonl"), format!("{line}\n")).expect("events");
}

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    repo.run_plain(COMMAND, &[&["--repo", path.as_str()], arguments].concat())
}

/// Loop id → the member of its result.
pub(crate) fn of_each(state: &Value, member: &str) -> Value {
    let results = state["results"].as_array().expect("results").iter();
    let pairs = results.map(|r| (om_model::json::text(&r["loopId"]), r[member].clone()));
    Value::Object(pairs.collect())
}

#[test]
fn every_loop_has_a_result_whatever_became_of_it() {
    let loops = [
        "checkout-flow",
        "running",
        "stuck",
        "role-failure",
        "max-iterations",
    ];
    let mut entries: Vec<Value> = loops.iter().map(|id| json!({"loopId": id})).collect();
    entries.push(json!({"loopId": "ghost", "metadata": {"team": "a"}}));
    entries.push(json!({"loopId": "off", "enabled": false}));
    let repo = fleet(Value::from(entries));
    for sample in [
        "complete",
        "running",
        "stuck",
        "role-failure",
        "max-iterations",
    ] {
        copy_loops(sample, &repo);
    }
    let state = run(&repo, &["--trace-id", "t"]).ok();
    assert_eq!(
        of_each(&state, "status"),
        json!({"checkout-flow": "success", "running": "success", "stuck": "success",
            "role-failure": "success", "max-iterations": "success", "ghost": "failed",
            "off": "skipped"})
    );
    assert_eq!(state["status"], "partial_failure");
    assert_eq!(
        state["reasonCodes"],
        json!([
            "fleet_health_critical",
            "fleet_loop_skipped",
            "fleet_partial_failure"
        ])
    );
    let ghost = &state["results"][5];
    assert_eq!(ghost["reasonCode"], "transport_unreachable");
    assert_eq!(ghost["healthStatus"], "degraded");
    assert_eq!(ghost["metadata"], json!({"team": "a"}));
    assert_eq!(ghost["traceId"], "t-ghost");
    let excerpt = ghost["outputExcerpt"].as_str().expect("a text");
    assert!(
        excerpt.starts_with("{\"schemaVersion\":\"v1\""),
        "{excerpt}"
    );
    assert_eq!(excerpt.len(), 600);
    let off = &state["results"][6];
    assert_eq!(
        (&off["enabled"], &off["outputExcerpt"]),
        (&json!(false), &json!(" "))
    );
    let never_passed = repo.path().join(".superloop/ops-manager/off");
    assert!(!never_passed.exists());
}

fn copy_loops(sample: &str, repo: &Repo) {
    let from = fixtures().join(sample).join(".superloop/loops");
    for folder in fs::read_dir(from).expect("a sample").flatten() {
        let to = repo
            .path()
            .join(".superloop/loops")
            .join(folder.file_name());
        fs::create_dir_all(&to).expect("folder");
        for file in fs::read_dir(folder.path()).expect("a loop").flatten() {
            fs::copy(file.path(), to.join(file.file_name())).expect("copied");
        }
    }
}

#[test]
fn the_state_is_printed_and_stored_and_a_row_repeats_it() {
    let repo = fleet(json!([{"loopId": "a"}]));
    put_loop(&repo, "a");
    let first = run(&repo, &["--max-events", "007"]);
    let state = first.ok();
    assert_eq!(fleet_file(&repo, "state.json"), first.stdout);
    assert_eq!(
        state["execution"],
        json!({"maxParallel": 2, "deterministicOrder": false, "fromStart": false, "maxEvents": 7})
    );
    assert_eq!(state["results"][0]["runId"], "r1");
    run(&repo, &["--pretty"]).ok();
    let rows = fleet_file(&repo, "telemetry/reconcile.jsonl");
    assert_eq!(rows.lines().count(), 2);
    let row: Value = serde_json::from_str(rows.lines().next().expect("a row")).expect("JSON");
    assert_eq!(row["category"], "fleet_reconcile");
    for (state_member, row_member) in [
        ("updatedAt", "timestamp"),
        ("results", "results"),
        ("loopCount", "loopCount"),
        ("traceId", "traceId"),
    ] {
        assert_eq!(state[state_member], row[row_member]);
    }
    assert_eq!(row.get("execution"), None);
}

#[test]
fn a_pass_of_the_fleet_is_a_pass_of_the_command() {
    let by_fleet = fleet(json!([{"loopId": "l"}]));
    let by_command = Repo::empty("l");
    for repo in [&by_fleet, &by_command] {
        put_loop(repo, "l");
    }
    run(&by_fleet, &["--trace-id", "t"]).ok();
    by_command.reconcile(&["--trace-id", "t-l"]).ok();
    for file in [
        "state.json",
        "cursor.json",
        "health.json",
        "sequence-state.json",
    ] {
        let passed = by_fleet.scrub(&loop_file(&by_fleet, "l", file));
        let expected = by_command.scrub(&by_command.manager_json(file));
        assert_eq!(passed, expected, "{file}");
    }
}

#[test]
fn results_are_in_the_order_of_the_registry_or_of_the_ids() {
    let repo = fleet(json!([{"loopId": "b"}, {"loopId": "é"}, {"loopId": "B"}, {"loopId": "a"}]));
    let order = |arguments: &[&str]| {
        let state = run(&repo, arguments).ok();
        let results = state["results"].as_array().expect("results").clone();
        results
            .iter()
            .map(|r| r["loopId"].clone())
            .collect::<Value>()
    };
    assert_eq!(order(&["--max-parallel", "4"]), json!(["b", "é", "B", "a"]));
    let sorted = order(&["--deterministic-order", "--max-parallel", "1"]);
    assert_eq!(sorted, json!(["B", "a", "b", "é"]));
}

#[test]
fn loops_have_traces_of_their_own_even_if_their_names_look_alike() {
    let repo = fleet(json!([{"loopId": "a b"}, {"loopId": "a-b"}, {"loopId": "c"}]));
    let state = run(&repo, &["--trace-id", "f/1"]).ok();
    let traces = of_each(&state, "traceId");
    assert_eq!(traces["c"], "f/1-c");
    let (one, other) = (&traces["a b"], &traces["a-b"]);
    assert_ne!(one, other);
    assert!(
        one.as_str().is_some_and(|t| t.starts_with("f/1-a-b-")),
        "{one}"
    );
}

#[test]
fn what_is_broken_in_one_loop_fails_that_loop_only() {
    let repo = fleet(json!([{"loopId": "bad"}, {"loopId": "good"}]));
    for name in ["bad", "good"] {
        put_loop(&repo, name);
    }
    let folder = repo.path().join(".superloop/ops-manager/bad");
    fs::create_dir_all(&folder).expect("folder");
    fs::write(folder.join("health.json"), "[]").expect("written");
    let state = run(&repo, &[]).ok();
    assert_eq!(
        of_each(&state, "status"),
        json!({"bad": "failed", "good": "success"})
    );
    let excerpt = state["results"][0]["outputExcerpt"]
        .as_str()
        .expect("a text");
    assert!(
        excerpt.starts_with("error: ") && excerpt.contains("health.json"),
        "{excerpt}"
    );
}

#[test]
fn the_last_run_known_fences_a_loop_that_cannot_be_observed() {
    let repo = fleet(json!([{"loopId": "a"}]));
    put_loop(&repo, "a");
    run(&repo, &[]).ok();
    fs::remove_dir_all(repo.path().join(".superloop/loops/a")).expect("removed");
    let state = run(&repo, &[]).ok();
    let result = &state["results"][0];
    assert_eq!(
        (&result["status"], &result["runId"]),
        (&json!("failed"), &json!("r1"))
    );
}

#[test]
fn what_keeps_the_command_from_passing_is_an_outcome_of_each_loop() {
    let mut repo = fleet(json!([{"loopId": "a"}, {"loopId": "b", "enabled": false}]));
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "nosuch");
    let state = run(&repo, &[]).ok();
    assert_eq!(
        of_each(&state, "reasonCode"),
        json!({"a": "reconcile_failed", "b": "loop_disabled"})
    );
    let excerpt = state["results"][0]["outputExcerpt"]
        .as_str()
        .expect("a text");
    assert!(
        excerpt.starts_with("error: ") && excerpt.contains("nosuch"),
        "{excerpt}"
    );
}

#[test]
fn flags_are_refused_in_the_order_of_the_contract() {
    let repo = fleet(json!([{"loopId": "a"}]));
    let path = repo.path().display().to_string();
    for (arguments, message) in [
        (&["--max-parallel", "0"][..], "--repo is required"),
        (&["--repo", "", "--max-parallel", "0"], "--repo is required"),
        (
            &["--repo", "/no", "--max-parallel", "0", "--max-events", "x"],
            "--max-parallel must be an integer >= 1",
        ),
        (
            &["--repo", "/no", "--max-parallel", ""],
            "--max-parallel must be an integer >= 1",
        ),
        (
            &["--repo", "/no", "--max-parallel", "two"],
            "--max-parallel must be an integer >= 1",
        ),
        (
            &["--repo", "/no", "--max-events", "-1", "--fail-on", "x"],
            "--max-events must be a non-negative integer",
        ),
        (
            &["--repo", "/no", "--loop-timeout-seconds", "0"],
            "--loop-timeout-seconds must be an integer >= 1",
        ),
        (
            &["--repo", "/no", "--fail-on", "all"],
            "--fail-on must be partial or failed",
        ),
        (&["--repo", "/no"], "--repo /no: No such file or directory"),
    ] {
        let run = repo.run_plain(COMMAND, arguments);
        assert_eq!(run.error(), message, "{arguments:?}");
    }
    let run = repo.run_plain(COMMAND, &["--repo", &path, "--bogus"]);
    assert!(
        run.stderr.starts_with("error: unknown argument: --bogus\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_registry_that_cannot_be_used_ends_the_run_with_nothing_written() {
    let mut repo = fleet(json!([]));
    let refused = run(&repo, &[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(
        refused
            .stderr
            .starts_with("error: invalid fleet registry: "),
        "{}",
        refused.stderr
    );
    let missing = run(&repo, &["--registry-file", "nowhere.json"]);
    assert_eq!(
        missing.error(),
        "fleet registry file not found: nowhere.json"
    );
    let hook = repo.script("registry", "echo gone away >&2; exit 9");
    repo.env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT", hook);
    let by_hook = run(&repo, &[]);
    let found = (
        by_hook.code,
        by_hook.stdout.as_str(),
        by_hook.stderr.trim_end(),
    );
    assert_eq!(found, (9, "", "gone away"));
    repo.env(
        "OPS_MANAGER_FLEET_REGISTRY_SCRIPT",
        repo.script("empty", "echo '{\"loops\":[]}'"),
    );
    let nothing = run(&repo, &[]);
    assert_eq!(nothing.error(), "fleet reconcile produced no loop results");
    for file in ["state.json", "telemetry/reconcile.jsonl"] {
        assert!(!repo.manager(file).exists(), "{file}");
    }
    assert!(repo.manager("telemetry").is_dir());
}

#[test]
fn a_lapsed_review_does_not_keep_loops_from_being_observed() {
    let repo = fleet(json!([{"loopId": "a"}]));
    let registry = json!({"schemaVersion": "v1", "loops": [{"loopId": "a"}], "policy": {
        "mode": "guarded_auto", "autonomous": {"governance": {"actor": "k", "approvalRef": "c",
        "rationale": "r", "changedAt": ago(9000), "reviewBy": ago(60)}}}});
    fs::write(repo.manager("registry.v1.json"), registry.to_string()).expect("written");
    put_loop(&repo, "a");
    assert_eq!(run(&repo, &[]).ok()["status"], "success");
}

#[test]
fn files_may_lie_elsewhere() {
    let repo = fleet(json!([{"loopId": "a"}]));
    let arguments = [
        "--fleet-state-file",
        "x/s.json",
        "--fleet-telemetry-file",
        "y/t.jsonl",
    ];
    let printed = run(&repo, &arguments);
    printed.ok();
    let state = fs::read_to_string(repo.outside("x/s.json")).expect("written");
    assert_eq!(state, printed.stdout);
    assert!(repo.outside("y/t.jsonl").is_file());
    assert!(!repo.manager("state.json").exists());
}

#[test]
fn the_exit_code_tells_of_failures_only_if_asked_to() {
    let repo = fleet(json!([{"loopId": "good"}, {"loopId": "ghost"}]));
    put_loop(&repo, "good");
    let codes = |repo: &Repo| {
        [&[][..], &["--fail-on", "partial"], &["--fail-on", "failed"]]
            .map(|arguments| run(repo, arguments).code)
    };
    assert_eq!(codes(&repo), [0, 1, 0]);
    put_registry(&repo, json!([{"loopId": "ghost"}]));
    assert_eq!(codes(&repo), [0, 1, 1]);
    put_registry(&repo, json!([{"loopId": "good"}]));
    assert_eq!(codes(&repo), [0, 0, 0]);
}
