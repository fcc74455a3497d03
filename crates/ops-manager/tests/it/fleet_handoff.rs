//! `ops-manager-fleet-handoff` on real trees (chapter 06 §2).

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use om_model::json;
use serde_json::{Value, json};

use crate::harness::{Repo, Run};
use crate::service_process::Service;

const COMMAND: &str = "ops-manager-fleet-handoff";
const A: &str = "a:health_critical:cancel";
const TOKEN: &str = "s3cret-of-the-loop";

/// A repository with a fleet of these loops, each critical and eligible.
fn fleet(loops: &[Value]) -> Repo {
    let repo = Repo::empty("fleet");
    repo.put("registry.v1.json", &registry(loops).to_string());
    let candidates: Vec<Value> = loops.iter().map(candidate).collect();
    repo.put("policy-state.json", &policy(&candidates).to_string());
    let runtime = repo.script("runtime", r#"echo "$@" >> "$(dirname "$0")/calls""#);
    let mut repo = repo;
    repo.env("SUPERLOOP_BIN", runtime);
    repo
}

fn local(id: &str) -> Value {
    json!({"loopId": id})
}

fn registry(loops: &[Value]) -> Value {
    json!({
        "schemaVersion": "v1", "fleetId": "north", "loops": loops,
        "policy": {"mode": "guarded_auto", "autonomous": {"governance": {
            "actor": "dana", "approvalRef": "CAB-7", "rationale": "night shift",
            "changedAt": "2001-01-01T00:00:00Z", "reviewBy": "2999-01-01T00:00:00Z",
        }}},
    })
}

fn candidate(entry: &Value) -> Value {
    let id = entry["loopId"].as_str().expect("an id");
    json!({
        "loopId": id, "category": "health_critical", "signal": "health_critical",
        "candidateId": format!("{id}:health_critical"), "traceId": format!("tr-{id}"),
        "severity": "critical", "confidence": "high", "rationale": "Loop health is critical",
        "recommendedIntent": "cancel", "suppressed": false,
        "autonomous": {"eligible": true, "manualOnly": false, "reasons": []},
    })
}

fn policy(candidates: &[Value]) -> Value {
    json!({
        "schemaVersion": "v1", "updatedAt": "2031-05-06T07:08:09Z", "fleetId": "north",
        "traceId": "tr-9", "mode": "guarded_auto", "candidates": candidates,
        "autonomous": {"controls": {"safety": {"maxActionsPerRun": 9, "maxActionsPerLoop": 9}}},
    })
}

fn handoff(repo: &Repo, arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    repo.run_plain(COMMAND, &[&["--repo", &path], arguments].concat())
}

/// Lines that a stand-in has written beside the repository.
fn calls(repo: &Repo) -> Vec<String> {
    let text = fs::read_to_string(repo.outside("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_plan_is_printed_and_stored() {
    let repo = fleet(&[local("a"), local("b")]);
    let run = handoff(&repo, &["--pretty"]);
    let state = run.ok();
    assert!(
        run.stdout.contains("\n  \"fleetId\": \"north\""),
        "indented"
    );
    assert_eq!(repo.manager_json("handoff-state.json"), state);
    let stored = fs::read_to_string(repo.manager("handoff-state.json")).expect("a file");
    assert_eq!(stored.lines().count(), 1, "files are compact");
    assert_eq!(
        state["source"]["policyStateFile"],
        repo.shown("policy-state.json")
    );
    assert_eq!(state["summary"]["autoEligibleIntentCount"], 2);
    assert_eq!(state["intents"][0]["intentId"], A);
    assert!(state.get("execution").is_none());
    assert_eq!(
        repo.only_row("telemetry/handoff.jsonl")["category"],
        "fleet_handoff_plan"
    );
    assert_eq!(calls(&repo), Vec::<String>::new());
}

#[test]
fn a_person_executes_what_they_confirm() {
    let repo = fleet(&[local("a"), local("b")]);
    let arguments = [
        "--execute",
        "--confirm",
        "--intent-id",
        A,
        "--by",
        "dana",
        "--note",
        "incident-7",
        "--no-runtime-confirm",
    ];
    let state = handoff(&repo, &arguments).ok();
    let path = repo.path().display().to_string();
    assert_eq!(calls(&repo), [format!("cancel --repo {path}")]);
    let execution = &state["execution"];
    assert_eq!(execution["requestedBy"], "dana");
    assert_eq!(execution["note"], "incident-7");
    assert_eq!(execution["executedCount"], 1);
    assert_eq!(state["summary"]["pendingConfirmationCount"], 1);
    let refused = handoff(&repo, &arguments);
    assert_eq!(
        refused.error(),
        format!("intent already executed in this policy evaluation: {A}")
    );
}

#[test]
fn the_ambiguous_outcome_drill_of_the_runbook() {
    let mut repo = fleet(&[local("a")]);
    let hook = repo.script(
        "control",
        r#"echo '{"status":"ambiguous"}'; echo x >> "$(dirname "$0")/calls"; exit 2"#,
    );
    repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
    let autonomous = ["--autonomous-execute", "--by", "ops-manager"];
    let first = handoff(&repo, &autonomous).ok();
    assert_eq!(
        first["execution"]["results"][0]["reasonCode"],
        "control_ambiguous"
    );
    // Any number of plans in between changes nothing.
    handoff(&repo, &[]).ok();
    handoff(&repo, &[]).ok();
    for _ in 0..2 {
        let again = handoff(&repo, &autonomous).ok();
        assert_eq!(again["execution"]["requestedIntentCount"], 0);
        assert_eq!(again["summary"]["pendingConfirmationCount"], 1);
        let codes = again["reasonCodes"].as_array().expect("codes");
        for code in [
            "fleet_handoff_retry_guarded",
            "fleet_handoff_confirmation_pending",
        ] {
            assert!(codes.contains(&json!(code)), "{code}");
        }
        assert_eq!(
            again["intents"][0]["autonomous"]["reasons"],
            json!(["autonomous_retry_guard_ambiguous"])
        );
    }
    assert_eq!(calls(&repo).len(), 1);
    let manual = handoff(&repo, &["--execute", "--confirm", "--intent-id", A]).ok();
    assert_eq!(manual["execution"]["requestedIntentCount"], 1);
    let key = &manual["execution"]["results"][0]["idempotencyKey"];
    assert_eq!(*key, "fleet-handoff-tr-9-a-health_critical-cancel-r1");
}

#[test]
fn flags_are_checked_in_the_contracts_order() {
    let repo = fleet(&[local("a")]);
    // Every line repairs what the one before it was refused for.
    let flaws: [(&[&str], &[&str], &str); 6] = [
        (&["--repo="], &["--repo=nowhere"], "--repo is required"),
        (
            &["--idempotency-prefix="],
            &["--idempotency-prefix=x"],
            "--idempotency-prefix must be non-empty",
        ),
        (
            &["--timeout-seconds=x"],
            &["--timeout-seconds=010"],
            "timeout and interval must be non-negative integers",
        ),
        (
            &["--interval-seconds="],
            &["--interval-seconds=0"],
            "timeout and interval must be non-negative integers",
        ),
        (
            &["--fail-on=never"],
            &["--fail-on=failed"],
            "--fail-on must be partial or failed",
        ),
        (&[], &[], "--repo nowhere: No such file or directory"),
    ];
    let mut arguments: Vec<&str> = flaws
        .iter()
        .flat_map(|(bad, ..)| bad.iter().copied())
        .collect();
    for (_, repaired, message) in flaws {
        assert_eq!(
            repo.run_plain(COMMAND, &arguments).error(),
            message,
            "{arguments:?}"
        );
        arguments.extend(repaired);
    }
    for (arguments, message) in [
        (
            &["--execute", "--autonomous-execute"][..],
            "--execute and --autonomous-execute are mutually exclusive",
        ),
        (&["--confirm"], "--confirm can only be used with --execute"),
        (
            &["--autonomous-execute", "--confirm"],
            "--confirm can only be used with --execute",
        ),
        (
            &["--execute"],
            "--execute requires --confirm to enforce explicit operator confirmation",
        ),
        (&["--loop", ""], "--loop requires a non-empty value"),
        (&["--intent-id="], "--intent-id requires a non-empty value"),
    ] {
        assert_eq!(handoff(&repo, arguments).error(), message);
    }
    let run = handoff(&repo, &["--bogus"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with("error: unknown argument: --bogus\n"),
        "{}",
        run.stderr
    );
    assert_eq!(repo.rows("telemetry/handoff.jsonl"), Vec::<Value>::new());
}

#[test]
fn filters_are_ignored_by_a_plan_and_checked_by_an_execution() {
    let repo = fleet(&[local("a"), local("b")]);
    handoff(&repo, &["--loop", "x", "--intent-id", "y"]).ok();
    let execute = ["--execute", "--confirm", "--loop", "a", "--loop", "x"];
    assert_eq!(
        handoff(&repo, &execute).error(),
        "loop filter not found in manual execution intents: x"
    );
    assert_eq!(calls(&repo), Vec::<String>::new(), "before anything runs");
}

#[test]
fn other_files_are_used_as_they_are_given() {
    let repo = fleet(&[local("a")]);
    fs::rename(repo.manager("policy-state.json"), repo.outside("p.json")).expect("moved");
    let arguments = [
        "--policy-state-file",
        "p.json",
        "--handoff-state-file",
        "new/h.json",
        "--handoff-telemetry-file",
        "new/t.jsonl",
        "--execute",
        "--confirm",
        "--no-runtime-confirm",
    ];
    let state = handoff(&repo, &arguments).ok();
    assert_eq!(state["source"]["policyStateFile"], "p.json");
    let stored = fs::read(repo.outside("new/h.json")).expect("a file");
    assert_eq!(json::parse(&stored).expect("a document"), state);
    let rows = fs::read_to_string(repo.outside("new/t.jsonl")).expect("rows");
    assert_eq!(rows.lines().count(), 2);
    assert!(!repo.manager("handoff-state.json").exists());
}

#[test]
fn a_lapsed_review_refuses_autonomy_and_nothing_else() {
    let repo = fleet(&[local("a")]);
    let mut lapsed = registry(&[local("a")]);
    let deadline = "2001-06-01T00:00:00Z";
    lapsed["policy"]["autonomous"]["governance"]["reviewBy"] = json!(deadline);
    repo.put("registry.v1.json", &lapsed.to_string());
    let before = repo.tree();
    assert_eq!(
        handoff(&repo, &["--autonomous-execute"]).error(),
        format!("--autonomous-execute refused: governance review expired ({deadline})")
    );
    assert_eq!(repo.tree(), before, "nothing is written");
    handoff(&repo, &[]).ok();
    handoff(&repo, &["--execute", "--confirm", "--no-runtime-confirm"]).ok();
    assert_eq!(calls(&repo).len(), 1);
}

#[test]
fn a_registry_that_is_refused_says_why() {
    let repo = fleet(&[local("a")]);
    repo.put("registry.v1.json", r#"{"schemaVersion":"v2","loops":[]}"#);
    let run = handoff(&repo, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(
        run.stderr.starts_with("error: invalid fleet registry: "),
        "{}",
        run.stderr
    );
    assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("schemaVersion must be \"v1\""),
        "{}",
        run.stderr
    );
    fs::remove_file(repo.manager("registry.v1.json")).expect("removed");
    let missing = format!(
        "fleet registry file not found: {}",
        repo.shown("registry.v1.json")
    );
    assert_eq!(handoff(&repo, &[]).error(), missing);
}

#[test]
fn outcomes_fail_the_command_only_if_asked_for() {
    for (fail_on, exits, code) in [
        (None, [1, 1], 0),
        (Some("partial"), [0, 0], 0),
        (Some("partial"), [0, 2], 1),
        (Some("failed"), [0, 1], 0),
        (Some("failed"), [1, 2], 1),
    ] {
        let mut repo = fleet(&[local("a"), local("b")]);
        let body = format!("[ \"$4\" = a ] && exit {}; exit {}", exits[0], exits[1]);
        let hook = repo.script("control", &body);
        repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
        let mut arguments = vec!["--autonomous-execute"];
        arguments.extend(fail_on.iter().flat_map(|when| ["--fail-on", *when]));
        let run = handoff(&repo, &arguments);
        assert_eq!(
            (run.code, run.stderr.as_str()),
            (code, ""),
            "{fail_on:?} {exits:?}"
        );
        assert_eq!(run.json()["execution"]["requestedIntentCount"], 2);
    }
}

#[test]
fn a_plan_never_fails_on_the_execution_it_carries_over() {
    let mut repo = fleet(&[local("a")]);
    let hook = repo.script("control", "exit 1");
    repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
    handoff(&repo, &["--autonomous-execute"]).ok();
    let plan = handoff(&repo, &["--fail-on", "partial"]).ok();
    assert_eq!(plan["execution"]["failedCount"], 1);
}

#[test]
fn a_signal_lets_the_target_end_and_names_the_rest() {
    let mut repo = fleet(&[local("a"), local("b")]);
    let body = r#"cd "$(dirname "$0")"; echo "$4" >> calls; while [ ! -e go ]; do sleep 0.02; done; exit 0"#;
    let hook = repo.script("control", body);
    repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
    let path = repo.path().display().to_string();
    let mut child = repo.command(COMMAND);
    child.args(["--repo", &path, "--autonomous-execute"]);
    let child = child
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while calls(&repo).is_empty() {
        assert!(Instant::now() < deadline, "control is called");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::TERM)
        .expect("sent");
    fs::write(repo.outside("go"), "").expect("released");
    let run = crate::harness::finished(child.wait_with_output().expect("ends"));
    assert_eq!((run.code, run.stderr.as_str()), (143, ""));
    let execution = &run.json()["execution"];
    assert_eq!(execution["executedCount"], 1);
    assert_eq!(
        execution["notAttempted"],
        json!(["b:health_critical:cancel"])
    );
    assert_eq!(repo.rows("telemetry/handoff.jsonl").len(), 2);
    assert_eq!(calls(&repo), ["a"]);
}

#[test]
fn a_served_loop_is_controlled_through_its_service_and_like_a_local_one() {
    let mut repo = fleet(&[local("a")]);
    repo.env("OPS_MANAGER_SERVICE_TOKEN", TOKEN);
    let service = Service::start(&repo, &[]);
    let mut entry = served();
    entry["service"]["baseUrl"] = json!(service.base_url);
    repo.put("registry.v1.json", &registry(&[entry]).to_string());
    repo.env("OPS_MANAGER_SERVICE_TOKEN", "");
    repo.env("LOOP-A.TOKEN", TOKEN);
    let state = handoff(&repo, &["--autonomous-execute", "--no-runtime-confirm"]).ok();
    assert_eq!(calls(&repo).len(), 1);
    let intent = &state["intents"][0];
    assert_eq!(intent["transport"], "sprite_service");
    assert_eq!(intent["status"], "executed");
    assert_eq!(intent["execution"]["controlStatus"], "executed_unconfirmed");
    let result = &state["execution"]["results"][0];
    assert_eq!(result["controlExitCode"], 0);
    assert_eq!(result["control"]["transport"], "sprite_service");
    assert_eq!(result["control"]["traceId"], "tr-9");
}

/// A loop that is served at an address where nobody listens.
fn served() -> Value {
    json!({"loopId": "a", "transport": "sprite_service", "service": {
        "baseUrl": "http://127.0.0.1:9", "tokenEnv": "LOOP-A.TOKEN", "retryAttempts": 1,
        "retryBackoffSeconds": 0,
    }})
}

#[test]
fn a_hook_gets_the_token_of_the_variable_literally_named() {
    let mut repo = fleet(&[served()]);
    let hook = repo.script("control", r#"echo "$@" >> "$(dirname "$0")/calls""#);
    repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
    handoff(&repo, &["--autonomous-execute"]).ok();
    repo.env("LOOP-A.TOKEN", TOKEN);
    let mut next = policy(&[candidate(&local("a"))]);
    next["updatedAt"] = json!("2031-05-06T08:08:09Z");
    repo.put("policy-state.json", &next.to_string());
    handoff(&repo, &["--autonomous-execute"]).ok();
    let calls = calls(&repo);
    assert!(!calls[0].contains("--service-token"), "{calls:?}");
    assert!(
        calls[1].ends_with(&format!("--service-token {TOKEN}")),
        "{calls:?}"
    );
}

#[test]
fn the_token_of_the_built_in_control_is_nowhere_to_be_seen() {
    let mut repo = fleet(&[served()]);
    repo.env("LOOP-A.TOKEN", TOKEN);
    repo.env("OPS_MANAGER_SERVICE_TOKEN", TOKEN);
    let run = handoff(&repo, &["--autonomous-execute", "--log", "trace"]);
    assert_eq!(run.code, 0);
    let result = &run.json()["execution"]["results"][0];
    assert_eq!(result["status"], "failed");
    assert_eq!(
        result["control"]["status"], "failed_command",
        "kept in spite of diagnostics"
    );
    assert!(!run.stdout.contains(TOKEN) && !run.stderr.contains(TOKEN));
    for (path, content) in repo.tree() {
        let content = String::from_utf8_lossy(&content).into_owned();
        assert!(!content.contains(TOKEN), "{}", path.display());
    }
}
