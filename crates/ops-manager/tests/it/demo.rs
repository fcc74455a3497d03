//! The demo: recorded loops, reconciled for real in a scratch folder.

use std::fs;

use crate::harness::Repo;

/// Repository, loop, how it is seen, lifecycle and health as the demo shows
/// them.
const SCENES: [[&str; 5]; 8] = [
    ["running", "running", "files", "running", "healthy"],
    [
        "complete",
        "checkout-flow",
        "service",
        "complete",
        "healthy",
    ],
    [
        "awaiting-approval",
        "awaiting-approval",
        "files",
        "awaiting_approval",
        "healthy",
    ],
    [
        "approved",
        "awaiting-approval",
        "service",
        "idle",
        "healthy",
    ],
    ["rejected", "awaiting-approval", "files", "idle", "healthy"],
    [
        "max-iterations",
        "max-iterations",
        "service",
        "stopped",
        "healthy",
    ],
    ["stuck", "stuck", "files", "stopped", "degraded"],
    [
        "role-failure",
        "role-failure",
        "service",
        "running",
        "critical",
    ],
];

#[test]
fn the_demo_shows_a_table_and_leaves_eight_repositories_to_look_at() {
    let repo = Repo::empty("l");
    let run = repo.run_plain("ops-manager", &["demo", "--into", "demo"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let root = repo.outside("demo");
    assert!(
        run.stdout.contains(&root.display().to_string()),
        "it says where"
    );
    for [sample, loop_id, seen, lifecycle, health] in SCENES {
        let path = root.join(sample).display().to_string();
        let report = repo
            .run_plain("ops-manager-status", &["--repo", &path, "--loop", loop_id])
            .ok();
        assert_eq!(report["lifecycle"]["state"], lifecycle, "{sample}");
        assert_eq!(report["health"]["status"], health, "{sample}");
        let row = run
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!(" {sample} ")));
        let row = row.unwrap_or_else(|| panic!("{sample} is shown whole:\n{}", run.stdout));
        for cell in [seen, lifecycle, health] {
            assert!(row.contains(cell), "{sample}: {cell} in {row:?}");
        }
        let runtime = root.join(sample).join(".superloop/loops").exists();
        assert_eq!(
            runtime,
            seen == "files",
            "{sample}: the loop itself is elsewhere"
        );
    }
    for [severity, loop_id, category] in [
        ["warning", "stuck", "health_degraded"],
        ["critical", "role-failure", "health_critical"],
    ] {
        let is_it = |line: &str| line.split_whitespace().eq([severity, loop_id, category]);
        assert!(run.stdout.lines().any(is_it), "{loop_id}:\n{}", run.stdout);
    }
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
