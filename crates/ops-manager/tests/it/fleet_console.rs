//! `ops-manager fleet run`, `status`, `handoff` and `prune`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use om_model::json;
use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago};

/// A fleet of loops that have left no files, so that their passes fail, which
/// is a reason to cancel them. That they are degraded, too, is suppressed.
fn fleet(loops: &[&str], policy: &Value) -> Repo {
    let mut repo = Repo::empty("fleet");
    set_registry(&repo, loops, policy);
    let hook = repo.script(
        "control",
        r#"echo "$@" >> "$(dirname "$0")/calls"; echo '{"status":"confirmed","confirmed":true}'"#,
    );
    repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
    repo
}

fn set_registry(repo: &Repo, loops: &[&str], policy: &Value) {
    let loops: Vec<Value> = loops.iter().map(|id| json!({"loopId": id})).collect();
    let mut registry = json!({"schemaVersion": "v1", "fleetId": "north", "loops": loops,
        "policy": policy});
    registry["policy"]["suppressions"] = json!({"*": ["health_degraded"]});
    repo.put("registry.v1.json", &registry.to_string());
}

fn advisory() -> Value {
    json!({"mode": "advisory"})
}

fn guarded(review_by: &str, safety: &Value) -> Value {
    json!({"mode": "guarded_auto", "autonomous": {"safety": safety, "governance": {
        "actor": "dana", "approvalRef": "CAB-7", "rationale": "night shift",
        "changedAt": "2001-01-01T00:00:00Z", "reviewBy": review_by}}})
}

const FAR: &str = "2999-01-01T00:00:00Z";
const A: &str = "a:reconcile_failed:cancel";

fn manager(repo: &Repo, words: &[&str], arguments: &[&str]) -> Run {
    let path = repo.path().display().to_string();
    let all = [&["fleet"], words, &["--repo", &path], arguments].concat();
    repo.run_plain("ops-manager", &all)
}

fn calls(repo: &Repo) -> usize {
    let text = fs::read_to_string(repo.outside("calls")).unwrap_or_default();
    text.lines().count()
}

fn status_of<'a>(cycle: &'a Value, step: &str) -> &'a str {
    cycle["steps"][step]["status"].as_str().expect("a status")
}

fn message_of<'a>(cycle: &'a Value, step: &str) -> &'a str {
    let message = cycle["steps"][step]["message"].as_str();
    message.unwrap_or_default()
}

#[test]
fn a_cycle_observes_judges_plans_and_reports_under_one_trace() {
    let repo = fleet(&["a", "b"], &advisory());
    let cycle = manager(&repo, &["run"], &["--json", "--trace-id", "tr-7"]).ok();
    for step in ["reconcile", "policy", "handoff", "status"] {
        assert_eq!(status_of(&cycle, step), "done", "{cycle}");
    }
    assert_eq!(message_of(&cycle, "dispatch"), "mode is advisory");
    assert_eq!(cycle["loops"]["failed"], 2);
    assert_eq!(cycle["worst"][0]["loopId"], "a");
    assert_eq!(cycle["candidates"]["unsuppressed"], 2);
    assert_eq!(cycle["pending"]["manualOnly"], 2);
    assert_eq!(cycle["fleetId"], "north");
    for file in ["state.json", "policy-state.json", "handoff-state.json"] {
        assert_eq!(repo.manager_json(file)["traceId"], "tr-7", "{file}");
    }
    assert_eq!(calls(&repo), 0);
}

#[test]
fn a_cycle_is_one_line_for_people() {
    let repo = fleet(&["a"], &advisory());
    let run = manager(&repo, &["run", "--once"], &["--trace-id", "tr-7"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    let line = &run.stdout;
    for part in [
        " cycle 1: 1 loop: 0 ok, 1 failed, 0 skipped; worst: a failed (",
        "; 2 candidates (1 suppressed), 0 eligible; nothing dispatched: mode is advisory; \
         1 pending (1 for people only); ",
        "; trace tr-7\n",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn what_is_eligible_is_dispatched_once() {
    let repo = fleet(&["a"], &guarded(FAR, &json!({})));
    let cycle = manager(&repo, &["run"], &["--json", "--by", "night-duty"]).ok();
    assert_eq!(status_of(&cycle, "dispatch"), "done", "{cycle}");
    assert_eq!(cycle["candidates"]["eligible"], 1);
    assert_eq!(cycle["dispatch"]["executed"], 1);
    assert_eq!(calls(&repo), 1);
    let execution = &repo.manager_json("handoff-state.json")["execution"];
    assert_eq!(execution["mode"], "autonomous");
    assert_eq!(execution["requestedBy"], "night-duty");
    let again = manager(&repo, &["run"], &["--json"]).ok();
    assert_eq!(again["candidates"]["eligible"], 0, "it was just shown");
    assert_eq!(message_of(&again, "dispatch"), "nothing is eligible");
    assert_eq!(calls(&repo), 1);
}

#[test]
fn guardrails_keep_a_cycle_from_acting_and_are_no_failure() {
    let killed = fleet(&["a"], &guarded(FAR, &json!({"killSwitch": true})));
    let cycle = manager(&killed, &["run"], &["--json"]).ok();
    assert_eq!(message_of(&cycle, "dispatch"), "nothing is eligible");
    let lapsed = fleet(&["a"], &guarded("2001-02-01T00:00:00Z", &json!({})));
    let cycle = manager(&lapsed, &["run"], &["--json"]).ok();
    assert_eq!(message_of(&cycle, "dispatch"), "governance review expired");
    assert_eq!(cycle["pending"]["manualOnly"], 1);
    assert_eq!((calls(&killed), calls(&lapsed)), (0, 0));
}

#[test]
fn nothing_acts_on_the_evaluation_of_an_earlier_cycle() {
    let repo = fleet(&["a"], &guarded(FAR, &json!({})));
    let path = repo.path().display().to_string();
    for command in ["ops-manager-fleet-reconcile", "ops-manager-fleet-policy"] {
        repo.run_plain(command, &["--repo", &path]).ok();
    }
    repo.put("registry.v1.json", "{");
    let run = manager(&repo, &["run"], &["--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let cycle = run.json();
    for (step, status) in [
        ("reconcile", "failed"),
        ("policy", "skipped"),
        ("handoff", "skipped"),
        ("dispatch", "skipped"),
        ("status", "failed"),
    ] {
        assert_eq!(status_of(&cycle, step), status, "{step}: {cycle}");
    }
    let message = message_of(&cycle, "reconcile");
    assert!(
        message.starts_with("invalid fleet registry JSON: "),
        "{message}"
    );
    assert_eq!(calls(&repo), 0);
    let line = manager(&repo, &["run"], &[]).stdout;
    assert!(
        line.contains("not done: policy, handoff, dispatch; "),
        "{line}"
    );
}

#[test]
fn a_step_that_fails_leaves_the_others_that_do_not_need_it() {
    let repo = fleet(&["a"], &advisory());
    repo.put("telemetry/policy-history.jsonl", "{\n");
    let run = manager(&repo, &["run"], &["--json"]);
    assert_eq!(run.code, 1);
    let cycle = run.json();
    assert!(
        message_of(&cycle, "policy").contains("policy-history.jsonl"),
        "{cycle}"
    );
    assert_eq!(status_of(&cycle, "handoff"), "skipped");
    assert_eq!(status_of(&cycle, "status"), "done");
}

/// A runner in the background, and the lines it prints.
struct Runner {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Runner {
    fn start(repo: &Repo, arguments: &[&str]) -> Self {
        Self::of(repo, &[&["run", "--json"], arguments].concat())
    }

    fn of(repo: &Repo, words: &[&str]) -> Self {
        let mut command = repo.command("ops-manager");
        command.arg("fleet").args(words).arg("--repo");
        command.arg(repo.path());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        json::parse(line.as_bytes()).expect("a document")
    }

    fn end(mut self, signal: &str) -> i32 {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill").success());
        self.child.wait().expect("ends").code().expect("a code")
    }
}

#[test]
fn only_one_runner_per_fleet() {
    let repo = fleet(&["a"], &advisory());
    let mut runner = Runner::start(&repo, &["--interval", "1h"]);
    assert_eq!(runner.next()["cycle"], 1);
    let second = manager(&repo, &["run"], &["--interval", "1s"]);
    let path = repo.path().display().to_string();
    let pid = runner.child.id();
    assert_eq!(
        second.error(),
        format!("fleet run for {path} is busy (pid {pid})")
    );
    assert_eq!(runner.end("TERM"), 0, "between two cycles");
    manager(&repo, &["run"], &["--json"]).ok();
}

#[test]
fn a_runner_goes_on_after_a_cycle_that_failed() {
    let repo = fleet(&["a"], &advisory());
    repo.put("registry.v1.json", "{");
    let mut runner = Runner::start(&repo, &["--interval", "1s", "--trace-id", "t"]);
    let first = runner.next();
    assert_eq!(status_of(&first, "reconcile"), "failed");
    set_registry(&repo, &["a"], &advisory());
    let mut next = runner.next();
    // The one under way may have read the broken one.
    if status_of(&next, "reconcile") == "failed" {
        next = runner.next();
    }
    assert_eq!(status_of(&next, "reconcile"), "done");
    assert_ne!(next["traceId"], first["traceId"]);
    assert!(next["traceId"].as_str().expect("text").starts_with("t-"));
    assert_eq!(runner.end("INT"), 0);
}

#[test]
fn a_signal_cuts_a_cycle_and_the_line_says_what_was_not_done() {
    let mut repo = fleet(&["a", "b", "c"], &advisory());
    // The pass itself asks for the end, and takes a moment longer.
    let hook = repo.script("pass", "kill -s INT $PPID; sleep 0.3; echo '{}'");
    repo.env("OPS_MANAGER_RECONCILE_SCRIPT", hook);
    let run = manager(&repo, &["run"], &["--json", "--max-parallel", "1"]);
    assert_eq!((run.code, run.stderr.as_str()), (130, ""));
    let cycle = run.json();
    let cut = &cycle["interrupted"];
    assert_eq!(cut["signal"], "SIGINT");
    assert_eq!(cut["notPassed"], json!(["a", "b", "c"]));
    let not_done = ["reconcile", "policy", "handoff", "dispatch", "status"];
    assert_eq!(cut["notDone"], json!(not_done));
    assert!(!repo.manager("policy-state.json").exists());
}

#[test]
fn wrong_flags_of_a_runner_are_refused_at_once() {
    let repo = fleet(&["a"], &advisory());
    for (arguments, message) in [
        (
            &["--interval", "soon"][..],
            "--interval soon: use seconds, or a number with s, m or h, e.g. 30s",
        ),
        (
            &["--max-parallel", "0"],
            "--max-parallel must be an integer >= 1",
        ),
    ] {
        assert_eq!(manager(&repo, &["run"], arguments).error(), message);
    }
    assert!(!repo.manager("state.json").exists());
}

#[test]
fn status_into_a_pipe_is_the_report() {
    let repo = fleet(&["a"], &advisory());
    manager(&repo, &["run"], &["--json"]).ok();
    let path = repo.path().display().to_string();
    let script = repo.run_plain("ops-manager-fleet-status", &["--repo", &path]);
    let mut report = script.ok();
    let mut shown = manager(&repo, &["status"], &[]).ok();
    // Ages and the time of the report move on.
    for document in [&mut report, &mut shown] {
        document["generatedAt"] = Value::Null;
        document["fleet"]["ageSeconds"] = Value::Null;
        document["loops"][0]["ageSeconds"] = Value::Null;
    }
    assert_eq!(report, shown);
    let pretty = manager(&repo, &["status"], &["--pretty"]).stdout;
    assert!(pretty.starts_with("{\n"), "{pretty}");
    let never = Repo::empty("fleet");
    let missing = manager(&never, &["status"], &[]);
    assert!(missing.error().starts_with("fleet state file not found: "));
}

#[test]
fn watching_into_a_pipe_prints_report_after_report() {
    let repo = fleet(&["a"], &advisory());
    manager(&repo, &["run"], &["--json"]).ok();
    let mut watch = Runner::of(&repo, &["status", "--watch", "1"]);
    for _ in 0..2 {
        assert_eq!(watch.next()["source"]["fleetId"], "north");
    }
    assert_eq!(watch.end("INT"), 0);
    let alone = manager(&repo, &["status"], &["5"]);
    assert_eq!(alone.code, 1, "SECONDS needs --watch: {}", alone.stderr);
}

#[test]
fn a_plan_into_a_pipe_is_the_handoff_state() {
    let repo = fleet(&["a"], &advisory());
    manager(&repo, &["run"], &["--json"]).ok();
    let plan = manager(&repo, &["handoff"], &[]).ok();
    assert_eq!(plan["intents"][0]["intentId"], A);
    assert_eq!(repo.manager_json("handoff-state.json"), plan);
}

#[test]
fn approving_executes_what_a_person_decided_on() {
    let repo = fleet(&["a", "b"], &advisory());
    manager(&repo, &["run"], &["--json"]).ok();
    let approve = |ids: &[&str], more: &[&str]| {
        manager(&repo, &[&["handoff", "approve"], ids].concat(), more)
    };
    for (ids, more, message) in [
        (&[A][..], &[][..], "this acts on loops; add --yes to do it"),
        (
            &[],
            &["--yes"],
            "approve needs intent ids, as ops-manager fleet handoff shows them",
        ),
        (
            &[A, "x:y:cancel"],
            &["--yes"],
            "intent filter not found in manual execution intents: x:y:cancel",
        ),
    ] {
        assert_eq!(approve(ids, more).error(), message);
    }
    assert_eq!(calls(&repo), 0);
    let state = approve(&[A], &["--yes", "--by", "dana", "--note", "incident-7"]).ok();
    assert_eq!(calls(&repo), 1);
    let execution = &state["execution"];
    assert_eq!(execution["mode"], "manual");
    assert_eq!(execution["requestedBy"], "dana");
    assert_eq!(execution["note"], "incident-7");
    assert_eq!(execution["executedCount"], 1);
    assert_eq!(
        approve(&[A], &["--yes"]).error(),
        format!("intent already executed in this policy evaluation: {A}")
    );
}

#[test]
fn the_exit_code_of_approving_tells_what_came_of_it() {
    for (answer, code) in [
        ("echo '{\"status\":\"ambiguous\"}'; exit 2", 2),
        ("echo '{\"status\":\"failed_command\"}'; exit 1", 1),
    ] {
        let mut repo = fleet(&["a"], &advisory());
        let hook = repo.script("answer", answer);
        repo.env("OPS_MANAGER_CONTROL_SCRIPT", hook);
        manager(&repo, &["run"], &["--json"]).ok();
        let run = manager(&repo, &["handoff", "approve", A], &["--yes"]);
        assert_eq!((run.code, run.stderr.as_str()), (code, ""));
        assert_eq!(run.json()["execution"]["results"][0]["intentId"], A);
    }
}

#[test]
fn a_pruned_journal_gives_the_same_answers() {
    const DAY: i64 = 86_400;
    const THREE_DAYS: u64 = 259_200;
    let policy = json!({"mode": "advisory",
        "noiseControls": {"dedupeWindowSeconds": THREE_DAYS}});
    let repo = fleet(&["a"], &policy);
    let row = |suppressed: bool, at: i64| {
        let row = json!({"timestamp": ago(at), "category": "fleet_policy_candidate",
            "candidateId": "a:reconcile_failed", "suppressed": suppressed,
            "autonomousEligible": false});
        row.to_string() + "\n"
    };
    let rows =
        row(false, 4 * DAY) + &row(false, 2 * DAY) + &row(true, 2 * DAY - 60) + &row(true, 60);
    repo.put("telemetry/policy-history.jsonl", &rows);
    let tried = manager(&repo, &["prune"], &["--keep-days", "1", "--dry-run"]);
    let journal = ".superloop/ops-manager/fleet/telemetry/policy-history.jsonl";
    let expected = format!("{journal}: 2 of 4 rows would go to {journal}.archive-");
    assert!(tried.stdout.starts_with(&expected), "{}", tried.stdout);
    assert_eq!(repo.rows("telemetry/policy-history.jsonl").len(), 4);
    let pruned = manager(&repo, &["prune"], &["--keep-days", "1"]);
    assert_eq!((pruned.code, pruned.stderr.as_str()), (0, ""));
    assert!(
        pruned
            .stdout
            .ends_with("1 old ones are needed and stay\n2 rows of 1 journals archived.\n"),
        "{}",
        pruned.stdout
    );
    assert_eq!(repo.rows("telemetry/policy-history.jsonl").len(), 2);
    let cycle = manager(&repo, &["run"], &["--json"]).ok();
    assert_eq!(cycle["candidates"]["unsuppressed"], 0, "the cooldown runs");
    let candidate = &repo.manager_json("policy-state.json")["candidates"][1];
    assert_eq!(candidate["candidateId"], "a:reconcile_failed");
    assert_eq!(candidate["suppressionScope"], "cooldown");
}

#[test]
fn a_broken_row_keeps_its_journal_and_is_named() {
    let repo = fleet(&["a"], &advisory());
    repo.put(
        "telemetry/policy.jsonl",
        "{\"timestamp\":\"2001-01-01T00:00:00Z\"}\n{\n",
    );
    let run = manager(&repo, &["prune"], &["--keep-days", "1", "--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    let error = run.json()["journals"][0]["error"].clone();
    let error = error.as_str().expect("is named");
    assert!(error.starts_with("line 2: "), "{error}");
    assert_eq!(
        manager(&repo, &["prune"], &[]).error(),
        "--keep-days is required"
    );
}
