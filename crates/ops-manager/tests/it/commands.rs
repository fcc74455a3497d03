//! What every command line has in common: flags, help, paths, environment,
//! and the one binary behind all the names (contract README, common rules).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::harness::{Repo, Run, ago, event, finished, healthy};

/// Every per-script command with a flag of its own that takes a value.
const SCRIPTS: [(&str, &str); 9] = [
    ("ops-manager-loop-run-snapshot", "--run-id"),
    ("ops-manager-poll-events", "--max-events"),
    ("ops-manager-project-state", "--snapshot-file"),
    ("ops-manager-reconcile", "--threshold-profile"),
    ("ops-manager-health", "--now"),
    ("ops-manager-threshold-profile", "--profile"),
    ("ops-manager-telemetry-summary", "--window"),
    ("ops-manager-profile-drift", "--rationale"),
    ("ops-manager-status", "--health-file"),
];

/// Subcommands that are no scripts of their own.
const ONLY_SUBCOMMANDS: [&str; 2] = ["heartbeat", "demo"];

/// Every way to start a command: the program and its leading argument.
fn entry_points() -> Vec<(String, Vec<String>)> {
    let scripts = SCRIPTS.map(|(script, _)| (script.to_owned(), Vec::new()));
    let subcommands = SCRIPTS
        .iter()
        .map(|(script, _)| script.trim_start_matches("ops-manager-"))
        .chain(ONLY_SUBCOMMANDS)
        .map(|name| ("ops-manager".to_owned(), vec![name.to_owned()]));
    scripts.into_iter().chain(subcommands).collect()
}

fn start(repo: &Repo, (program, leading): &(String, Vec<String>), arguments: &[&str]) -> Run {
    let leading = leading.iter().map(String::as_str);
    let all: Vec<&str> = leading.chain(arguments.iter().copied()).collect();
    repo.run_plain(program, &all)
}

/// Asserts a refused command line: the message, then the usage, on stderr.
fn refused(run: &Run, message: &str, context: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{context}");
    let (first, rest) = run.stderr.split_once('\n').expect("two lines at least");
    assert_eq!(first, format!("error: {message}"), "{context}");
    assert!(rest.contains("Usage:"), "{context}: {rest}");
}

#[test]
fn help_is_an_answer_that_begins_with_the_usage() {
    let repo = Repo::empty("l");
    for entry in entry_points() {
        for flag in ["--help", "-h"] {
            let run = start(&repo, &entry, &[flag]);
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{entry:?}");
            assert_eq!(run.stdout.lines().next(), Some("Usage:"), "{entry:?}");
        }
    }
    let run = repo.run_plain("ops-manager", &["--help"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout.lines().next(), Some("Usage:"));
    for (_, arguments) in entry_points() {
        for subcommand in arguments {
            assert!(run.stdout.contains(&subcommand), "{subcommand} is listed");
        }
    }
}

#[test]
fn tokens_are_read_from_left_to_right() {
    let repo = Repo::empty("l");
    for entry in entry_points() {
        let run = start(&repo, &entry, &["--help", "--bogus"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{entry:?}");
        let run = start(&repo, &entry, &["--bogus", "--help"]);
        refused(&run, "unknown argument: --bogus", &format!("{entry:?}"));
    }
    let run = repo.run_plain("ops-manager-status", &["--repo", "--help", "--loop", "l"]);
    assert_eq!(
        run.error(),
        "--repo --help: No such file or directory",
        "a value may look like a flag"
    );
}

#[test]
fn an_unknown_argument_is_named_even_if_required_flags_are_missing() {
    let repo = Repo::empty("l");
    for entry in entry_points() {
        for unknown in ["--bogus", "stray", "-z"] {
            let run = start(&repo, &entry, &[unknown]);
            let context = format!("{entry:?} {unknown}");
            refused(&run, &format!("unknown argument: {unknown}"), &context);
        }
    }
}

#[test]
fn two_dashes_are_an_argument_like_any_other() {
    let repo = Repo::sample("running");
    let run = repo.run("ops-manager-loop-run-snapshot", &["--"]);
    refused(&run, "unknown argument: --", "an unknown token");
}

#[test]
fn flags_that_a_command_does_not_have_are_unknown() {
    let repo = Repo::sample("running");
    for (command, flag) in [
        ("ops-manager-poll-events", "--pretty"),
        ("ops-manager-project-state", "--trace-id"),
        ("ops-manager-status", "--trace-id"),
        ("ops-manager-status", "--json"),
    ] {
        let run = repo.run(command, &[flag]);
        refused(&run, &format!("unknown argument: {flag}"), command);
    }
}

#[test]
fn an_abbreviated_flag_is_unknown() {
    let repo = Repo::sample("running");
    let run = repo.run("ops-manager-reconcile", &["--thresh", "strict"]);
    refused(&run, "unknown argument: --thresh", "no guessing");
}

#[test]
fn a_flag_without_its_value_says_so() {
    let repo = Repo::empty("l");
    for (script, flag) in SCRIPTS {
        let run = repo.run_plain(script, &[flag]);
        refused(&run, &format!("{flag} requires a value"), script);
    }
    let run = repo.run_plain("ops-manager-reconcile", &["--repo", "x", "--loop"]);
    refused(&run, "--loop requires a value", "also a required one");
}

#[test]
fn a_switch_takes_no_value() {
    let repo = Repo::sample("running");
    let run = repo.run("ops-manager-reconcile", &["--pretty=true"]);
    refused(&run, "unknown argument: --pretty=true", "a switch");
}

#[test]
fn values_follow_as_words_or_behind_an_equals_sign_and_the_last_one_wins() {
    let repo = Repo::sample("running");
    let path = repo.path().display().to_string();
    for arguments in [
        vec!["--trace-id", "t1", "--loop", "running", "--repo", &path],
        vec!["--loop=running", "--trace-id=t1", &format!("--repo={path}")],
        vec![
            "--loop",
            "other",
            "--repo",
            "/nowhere",
            "--trace-id=x",
            "--loop=running",
        ]
        .into_iter()
        .chain(["--repo", &path, "--trace-id", "t1"])
        .collect(),
    ] {
        let snapshot = repo
            .run_plain("ops-manager-loop-run-snapshot", &arguments)
            .ok();
        assert_eq!(snapshot["traceId"], "t1", "{arguments:?}");
        assert_eq!(snapshot["source"]["loopId"], "running");
        assert_eq!(snapshot["source"]["repoPath"], path.as_str());
    }
}

#[test]
fn a_value_may_start_with_a_dash() {
    let repo = Repo::sample("running");
    for arguments in [["--trace-id", "--pretty"], ["--trace-id", "-1"]] {
        let run = repo.run("ops-manager-loop-run-snapshot", &arguments);
        assert_eq!(run.ok()["traceId"], arguments[1]);
        assert_eq!(run.stdout.lines().count(), 1, "not indented");
    }
}

#[test]
fn an_empty_text_is_a_text_not_given() {
    let mut repo = healthy();
    repo.env("OPS_MANAGER_TRACE_ID", "from-environment");
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "strict");
    let arguments = [
        ["--trace-id", ""],
        ["--threshold-profile", ""],
        ["--thresholds-file", ""],
        ["--state-file", ""],
        ["--cursor-file", ""],
        ["--drift-state-file", ""],
        ["--alert-config-file", ""],
    ];
    let state = repo.reconcile(&arguments.concat()).ok();
    assert_eq!(state["trace"]["reconcileTraceId"], "from-environment");
    assert_eq!(state["health"]["thresholds"]["profile"], "strict");
    assert_eq!(repo.manager_json("state.json"), state);
    assert!(repo.manager("cursor.json").exists());
    assert!(repo.manager("profile-drift.json").exists());
    let snapshot = repo.run(
        "ops-manager-loop-run-snapshot",
        &["--run-id", "", "--trace-id", ""],
    );
    assert_eq!(snapshot.ok()["run"]["runId"], "r1");
    assert_eq!(snapshot.ok()["traceId"], json!(null));
}

#[test]
fn only_the_commands_that_document_it_take_a_trace_id_from_the_environment() {
    let mut repo = healthy();
    repo.env("OPS_MANAGER_TRACE_ID", "from-environment");
    let snapshot = repo.run("ops-manager-loop-run-snapshot", &[]).ok();
    assert_eq!(snapshot["traceId"], json!(null));
    let polled = repo
        .run("ops-manager-poll-events", &["--max-events", "1"])
        .ok();
    assert_eq!(polled["traceId"], json!(null));
    let health = repo.run_plain("ops-manager-health", &[]).ok();
    assert_eq!(health["traceId"], json!(null));
    let state = repo.reconcile(&["--trace-id", "flag"]).ok();
    assert_eq!(state["trace"]["reconcileTraceId"], "flag", "the flag wins");
    let state = repo.reconcile(&[]).ok();
    assert_eq!(state["trace"]["reconcileTraceId"], "from-environment");
}

#[test]
fn without_a_trace_id_every_pass_draws_one() {
    let repo = healthy();
    let first = repo.reconcile(&[]).ok()["trace"]["reconcileTraceId"].clone();
    let second = repo.reconcile(&[]).ok()["trace"]["reconcileTraceId"].clone();
    assert_ne!(first, second);
    assert_eq!(repo.scrub(&first), "<uuid>");
}

#[test]
fn the_threshold_profile_command_reads_the_catalog_but_not_the_name_from_the_environment() {
    let mut repo = Repo::empty("l");
    repo.env("OPS_MANAGER_THRESHOLD_PROFILE", "strict");
    let profile = repo.run_plain("ops-manager-threshold-profile", &[]).ok();
    assert_eq!(profile["profile"], "balanced");
    let catalog = repo.outside("catalog.json");
    fs::write(
        &catalog,
        r#"{"schemaVersion":"v1","defaultProfile":"own","profiles":{"own":
           {"degradedIngestLagSeconds":1,"criticalIngestLagSeconds":2,
            "degradedTransportFailureStreak":3,"criticalTransportFailureStreak":4}}}"#,
    )
    .expect("catalog");
    repo.env("OPS_MANAGER_THRESHOLD_PROFILES_FILE", &catalog);
    let profile = repo.run_plain("ops-manager-threshold-profile", &[]).ok();
    assert_eq!(
        profile,
        json!({
            "schemaVersion": "v1",
            "sourceFile": catalog.display().to_string(),
            "profile": "own",
            "values": {
                "degradedIngestLagSeconds": 1,
                "criticalIngestLagSeconds": 2,
                "degradedTransportFailureStreak": 3,
                "criticalTransportFailureStreak": 4,
            },
        })
    );
}

#[test]
fn the_repository_is_made_absolute_lexically() {
    let repo = Repo::sample("running");
    let path = repo.path().display().to_string();
    let forms = [
        "repo",
        "./repo",
        "repo/",
        "repo//.",
        "repo/../repo",
        "bin/../repo/",
    ];
    for form in forms.into_iter().chain([&*format!("{path}//"), &path]) {
        let arguments = ["--repo", form, "--loop", "running"];
        let snapshot = repo
            .run_plain("ops-manager-loop-run-snapshot", &arguments)
            .ok();
        assert_eq!(snapshot["source"]["repoPath"], path.as_str(), "{form}");
    }
}

#[test]
fn a_repository_behind_a_link_keeps_the_links_name() {
    let repo = Repo::sample("running");
    let link = repo.outside("link");
    symlink(repo.path(), &link).expect("linked");
    let link = link.display().to_string();
    for form in ["link", &*link, "link/./"] {
        let arguments = ["--repo", form, "--loop", "running"];
        let state = repo.run_plain("ops-manager-reconcile", &arguments).ok();
        assert_eq!(state["source"]["repoPath"], link.as_str(), "{form}");
    }
    assert_eq!(repo.manager_json("cursor.json")["repoPath"], link.as_str());
}

#[test]
fn the_logical_working_directory_counts_if_it_is_the_real_one() {
    let repo = Repo::sample("running");
    let link = repo.outside("link");
    symlink(repo.outside(""), &link).expect("linked");
    let from = |logical: &Path| {
        let mut command = repo.command("ops-manager-loop-run-snapshot");
        command.env("PWD", logical).current_dir(repo.outside(""));
        command.args(["--repo", "repo", "--loop", "running"]);
        let snapshot = finished(command.output().expect("starts")).ok();
        snapshot["source"]["repoPath"].clone()
    };
    assert_eq!(from(&link), link.join("repo").display().to_string());
    let physical = repo.path().display().to_string();
    assert_eq!(
        from(Path::new("/")),
        physical.as_str(),
        "names another place"
    );
    assert_eq!(
        from(Path::new("link")),
        physical.as_str(),
        "is not absolute"
    );
}

#[test]
fn other_paths_are_relative_to_the_working_directory_and_get_their_folders() {
    let repo = healthy();
    let state = repo
        .reconcile(&[
            "--state-file",
            "out/a/state.json",
            "--cursor-file",
            "out/b/cursor.json",
        ])
        .ok();
    let written = fs::read(repo.outside("out/a/state.json")).expect("written");
    let written: serde_json::Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written, state);
    assert!(repo.outside("out/b/cursor.json").is_file());
    assert!(!repo.manager("state.json").exists());
    assert!(!repo.manager("cursor.json").exists());
    repo.run(
        "ops-manager-poll-events",
        &["--cursor-file", "out/c/cursor.json"],
    );
    assert!(repo.outside("out/c/cursor.json").is_file());
    let report = repo.status(&["--state-file", "out/a/state.json"]).ok();
    assert_eq!(
        report["files"]["stateFile"], "out/a/state.json",
        "as written"
    );
    assert_eq!(report["lifecycle"]["state"], "running");
}

#[test]
fn a_subcommand_does_what_the_script_of_its_name_does() {
    let repo = healthy();
    repo.reconcile(&["--trace-id", "t1"]).ok();
    let path = repo.path().display().to_string();
    let target = ["--repo", &*path, "--loop", "l"];
    let state = repo.shown("state.json");
    let at = ago(0);
    let cases: [(&str, Vec<&str>); 9] = [
        ("loop-run-snapshot", target.to_vec()),
        ("poll-events", [&target[..], &["--from-start"]].concat()),
        (
            "project-state",
            [&target[..], &["--state-file", "p.json"]].concat(),
        ),
        (
            "health",
            vec!["--state-file", &state, "--now", &at, "--pretty"],
        ),
        ("threshold-profile", vec!["--list"]),
        ("telemetry-summary", target.to_vec()),
        (
            "profile-drift",
            [&target[..], &["--applied-profile", "none"]].concat(),
        ),
        ("status", target.to_vec()),
        (
            "reconcile",
            [&target[..], &["--trace-id", "t2", "--max-events", "x"]].concat(),
        ),
    ];
    for (name, arguments) in cases {
        let script = repo.run_plain(&format!("ops-manager-{name}"), &arguments);
        fs::remove_file(repo.outside("p.json")).ok();
        let subcommand = repo.run_plain("ops-manager", &[&[name][..], &arguments].concat());
        fs::remove_file(repo.outside("p.json")).ok();
        assert_eq!(
            (script.code, &script.stderr),
            (subcommand.code, &subcommand.stderr),
            "{name}"
        );
        let comparable = |run: &Run| -> Vec<String> {
            run.stdout
                .lines()
                .map(|line| {
                    serde_json::from_str(line).map_or(line.to_owned(), |document| {
                        repo.scrub(&document).to_string()
                    })
                })
                .collect()
        };
        assert_eq!(comparable(&script), comparable(&subcommand), "{name}");
    }
}

#[test]
fn the_original_file_names_work_as_names_of_the_binary() {
    let repo = Repo::empty("l");
    let at = "2026-11-20T07:00:00Z";
    let plain = repo.run_plain("ops-manager-health", &["--now", at]);
    assert_eq!(plain.ok()["updatedAt"], at);
    for name in ["ops-manager-health.sh", "ops-manager-health.py"] {
        assert_eq!(repo.run_plain(name, &["--now", at]).stdout, plain.stdout);
    }
}

#[test]
fn an_unknown_subcommand_is_named() {
    let repo = Repo::empty("l");
    let run = repo.run_plain("ops-manager", &["reconsile"]);
    refused(&run, "unknown command: reconsile", "no guessing");
    let run = repo.run_plain("ops-manager", &[]);
    assert_eq!(run.stdout.lines().next(), Some("Usage:"));
}

#[test]
fn documents_are_one_line_or_indented_by_two_spaces() {
    let repo = healthy();
    for (command, _) in SCRIPTS
        .iter()
        .filter(|(name, _)| !name.ends_with("-events"))
    {
        let target = if command.ends_with("-health") || command.ends_with("-threshold-profile") {
            vec![]
        } else {
            repo.reconcile(&[]).ok();
            vec!["--repo", "repo", "--loop", "l"]
        };
        let compact = repo.run_plain(command, &target);
        compact.ok();
        assert_eq!(compact.stdout.lines().count(), 1, "{command}");
        assert!(compact.stdout.ends_with("}\n"), "{command}");
        let indented = repo.run_plain(command, &[&target[..], &["--pretty"]].concat());
        indented.ok();
        assert!(indented.stdout.starts_with("{\n  \""), "{command}");
        assert!(indented.stdout.ends_with("\n}\n"), "{command}");
    }
}

#[test]
fn integers_are_decimal_with_leading_zeros_and_saturate() {
    let repo = Repo::with_events(&[&event("loop_start", &ago(0)), &event("loop_start", &ago(0))]);
    repo.reconcile(&["--max-events", "08", "--retry-attempts", "010"])
        .ok();
    let row = repo.only_row("telemetry/reconcile.jsonl");
    assert_eq!(
        (&row["maxEvents"], &row["retryAttempts"]),
        (&json!(8), &json!(10))
    );
    repo.reconcile(&["--max-events", "99999999999999999999999"])
        .ok();
    let row = repo.last_row("telemetry/reconcile.jsonl");
    assert_eq!(row["maxEvents"], json!(i64::MAX));
}
