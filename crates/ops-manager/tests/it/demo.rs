//! The demo: a dozen loops, one cycle over them for real, in a scratch
//! folder.

use std::fs;

use serde_json::{Value, json};

use crate::harness::Repo;

/// Loop, transport, outcome of its pass, and health as the demo finds them.
const LOOPS: [[&str; 4]; 12] = [
    ["approved", "sprite_service", "success", "healthy"],
    ["archive", "local", "skipped", "unknown"],
    ["awaiting-approval", "local", "success", "healthy"],
    ["billing-sync", "local", "success", "degraded"],
    ["checkout-flow", "local", "success", "healthy"],
    ["mail-digest", "sprite_service", "failed", "degraded"],
    ["max-iterations", "sprite_service", "success", "healthy"],
    ["nightly-build", "local", "success", "critical"],
    ["rejected", "sprite_service", "success", "healthy"],
    ["role-failure", "sprite_service", "success", "critical"],
    ["running", "sprite_service", "success", "healthy"],
    ["stuck", "local", "success", "degraded"],
];

/// What would have happened by itself.
const INTENT: &str = "nightly-build:health_critical:cancel";

#[test]
fn the_demo_leaves_a_fleet_of_a_dozen_loops_to_look_at() {
    let repo = Repo::empty("l");
    let run = repo.run_plain("ops-manager", &["demo", "--into", "demo"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let root = repo.outside("demo");
    let fleet = root.join("fleet").display().to_string();
    assert!(run.stdout.contains(&fleet), "it says where");
    let status = repo.run_plain("ops-manager", &["fleet-status", "--repo", &fleet]);
    let status = status.ok();
    let loops = status["loops"].as_array().expect("loops");
    let found: Vec<[&str; 4]> = loops
        .iter()
        .map(|entry| {
            ["loopId", "transport", "status", "healthStatus"]
                .map(|member| entry[member].as_str().unwrap_or("-"))
        })
        .collect();
    assert_eq!(found, LOOPS);
    assert_eq!(
        status["exceptions"]["reconcileFailures"],
        json!(["mail-digest"])
    );
    for [id, transport, ..] in LOOPS {
        let runtime = root.join("fleet/.superloop/loops").join(id).exists();
        assert_eq!(runtime, transport == "local", "{id} is where it should be");
    }
}

#[test]
fn the_demo_shows_what_an_operator_sees_and_hears() {
    let repo = Repo::empty("l");
    let run = repo.run_plain("ops-manager", &["demo", "--into", "demo"]);
    let page = &run.stdout;
    for [id, ..] in LOOPS {
        assert!(page.contains(id), "{id}:\n{page}");
    }
    for [severity, loop_id, category] in [
        ["critical", "nightly-build", "health_critical"],
        ["critical", "role-failure", "health_critical"],
        ["warning", "billing-sync", "health_degraded"],
        ["warning", "mail-digest", "health_degraded"],
        ["warning", "stuck", "health_degraded"],
    ] {
        let is_it = |line: &str| line.split_whitespace().eq([severity, loop_id, category]);
        assert!(page.lines().any(is_it), "{loop_id}:\n{page}");
    }
    let approve = format!("ops-manager fleet handoff approve {INTENT}");
    assert!(page.contains(&approve), "{page}");
    let here = repo.outside("").display().to_string();
    for line in page
        .lines()
        .filter(|line| !line.contains(here.trim_end_matches('/')))
    {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn in_the_demo_the_kill_switch_withholds_what_was_eligible() {
    let repo = Repo::empty("l");
    let run = repo.run_plain("ops-manager", &["demo", "--into", "demo"]);
    assert!(
        run.stdout.contains("autonomous_kill_switch_enabled"),
        "{}",
        run.stdout
    );
    let fleet = repo.outside("demo/fleet");
    let files = fleet.join(".superloop/ops-manager/fleet");
    let state = fs::read(files.join("handoff-state.json")).expect("a state");
    let state: Value = om_model::json::parse(&state).expect("JSON");
    assert_eq!(
        state["execution"]["withheld"],
        json!([{
            "intentId": INTENT, "loopId": "nightly-build",
            "reasonCode": "autonomous_kill_switch_enabled",
        }])
    );
    assert_eq!(state["execution"]["requestedIntentCount"], 0);
    assert!(
        !fleet.join("calls.log").exists(),
        "the runtime was not called"
    );
}

#[test]
fn the_demo_ignores_hooks_and_settings_of_the_environment() {
    let mut repo = Repo::empty("l");
    let hook = repo.script("hook", "echo ran >> hook.ran; exit 1");
    for variable in [
        "OPS_MANAGER_THRESHOLD_PROFILE_SCRIPT",
        "OPS_MANAGER_HEALTH_SCRIPT",
        "OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT",
        "OPS_MANAGER_PROFILE_DRIFT_SCRIPT",
        "OPS_MANAGER_ALERT_DISPATCH_SCRIPT",
    ] {
        repo.env(variable, &hook);
    }
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "no such profile");
    repo.env("OPS_MANAGER_THRESHOLD_PROFILES_FILE", "/no/such/catalog");
    repo.env("OPS_MANAGER_SERVICE_TOKEN", "somebody's");
    repo.env("OPS_MANAGER_ALERT_SINKS_FILE", "/no/such/sinks");
    repo.env("http_proxy", "http://127.0.0.1:9");
    let run = repo.run_plain("ops-manager", &["demo", "--into", "demo"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(!repo.outside("hook.ran").exists());
}

#[test]
fn the_demo_refuses_a_folder_that_exists() {
    let repo = Repo::empty("l");
    for name in ["demo", "demo/", "file"] {
        if name == "file" {
            fs::write(repo.outside(name), "x").expect("file");
        } else {
            fs::create_dir_all(repo.outside(name)).expect("folder");
        }
        let run = repo.run_plain("ops-manager", &["demo", "--into", name]);
        assert!(run.error().contains(name), "{}", run.stderr);
    }
    let left = fs::read_dir(repo.outside("demo")).expect("folder").count();
    assert_eq!(left, 0, "nothing was added");
}

#[test]
fn without_a_folder_the_demo_makes_one() {
    let mut repo = Repo::empty("l");
    repo.env("TMPDIR", repo.outside(""));
    let run = repo.run_plain("ops-manager", &["demo"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let made = fs::read_dir(repo.outside("")).expect("folder").flatten();
    let made = made.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("ops-manager-demo-")
    });
    assert_eq!(made.count(), 1);
}
