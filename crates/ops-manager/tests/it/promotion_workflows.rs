//! The scripts of the promotion workflows, run as a runner runs them: in the
//! checkout, with the inputs in the environment (chapter 07 §6; decisions D1,
//! D21).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago, finished};
use crate::promotion::{CLEARED, DAY, fleet, rollout};

/// A workflow and what is run of it.
struct Workflow {
    file: &'static str,
    command: &'static str,
    /// The step that runs the command, and the one that shows what it wrote.
    steps: [&'static str; 2],
}

const GATES: Workflow = Workflow {
    file: "ops-manager-promotion-gates.yml",
    command: "ops-manager-promotion-ci",
    steps: [
        "Evaluate guarded-auto promotion gates",
        "Show promotion CI artifacts",
    ],
};
const ROLLOUT: Workflow = Workflow {
    file: "ops-manager-promotion-rollout.yml",
    command: "ops-manager-promotion-orchestrate",
    steps: [
        "Orchestrate promotion rollout transition",
        "Show promotion rollout artifacts",
    ],
};
const CONTROLLER: Workflow = Workflow {
    file: "ops-manager-promotion-controller.yml",
    command: "ops-manager-promotion-controller",
    steps: [
        "Execute guarded promotion controller",
        "Show promotion controller artifacts",
    ],
};

impl Workflow {
    /// Runs the step `index` in the checkout; inputs that are not given are
    /// empty, as on a schedule.
    fn run(&self, repo: &Repo, index: usize, inputs: &[(&str, &str)]) -> Run {
        let step = self.step(self.steps[index]);
        // Makes the link that stands for the installed command.
        drop(repo.command(self.command));
        let path = std::env::var("PATH").expect("a PATH");
        let mut command = std::process::Command::new("bash");
        // As runners start it.
        command.args(["--noprofile", "--norc", "-e", "-c", &step.script]);
        command.env("PATH", format!("{}:{path}", repo.outside("bin").display()));
        for variable in CLEARED.into_iter().chain(["OPS_MANAGER_TRACE_ID"]) {
            command.env_remove(variable);
        }
        for variable in step.variables {
            let input = variable.trim_start_matches("INPUT_").to_lowercase();
            let given = inputs.iter().find(|(name, _)| *name == input);
            command.env(variable, given.map_or("", |(_, value)| value));
        }
        command.env("GITHUB_STEP_SUMMARY", repo.outside("summary.md"));
        finished(command.current_dir(repo.path()).output().expect("starts"))
    }

    /// A step's script and the names of its inputs' variables. The files are
    /// laid out the same way everywhere, which `cargo xtask validate` does not
    /// need and this does.
    fn step(&self, name: &str) -> Step {
        let text = fs::read_to_string(workflows().join(self.file)).expect("a workflow");
        let (_, text) = text
            .split_once(&format!("- name: {name}\n"))
            .expect("the step");
        let (head, text) = text.split_once("        run: |\n").expect("a script");
        let lines = text
            .lines()
            .take_while(|line| line.starts_with("          "));
        let script: Vec<&str> = lines.map(|line| &line[10..]).collect();
        let variables = head
            .lines()
            .filter_map(|line| line.trim().split_once(": ${{"));
        Step {
            script: script.join("\n"),
            variables: variables.map(|(name, _)| name.to_owned()).collect(),
        }
    }
}

struct Step {
    script: String,
    variables: Vec<String>,
}

fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows")
}

fn result(repo: &Repo, file: &str) -> Value {
    repo.manager_json(file)
}

#[test]
fn a_scheduled_check_skips_without_evidence_and_a_person_can_forbid_it() {
    let repo = Repo::empty("fleet");
    let skipped = GATES.run(&repo, 0, &[]);
    assert_eq!(skipped.code, 0, "{}", skipped.stderr);
    let found = result(&repo, "promotion-ci-result.json");
    assert_eq!(found["summary"]["decision"], "skipped");
    let strict = GATES.run(&repo, 0, &[("skip_on_missing_evidence", "false")]);
    assert_eq!(strict.code, 1, "false is a value: {}", strict.stdout);
    let repo = fleet();
    fs::remove_file(repo.manager("drills/promotion.v1.json")).expect("removed");
    let strict = [
        ("skip_on_missing_evidence", "false"),
        ("fail_on_hold", "true"),
    ];
    assert_eq!(GATES.run(&repo, 0, &strict).code, 2);
    let shown = GATES.run(&repo, 1, &[]);
    assert!(
        shown
            .stdout
            .starts_with("--- promotion-ci-result.json ---\n{"),
        "{}",
        shown.stdout
    );
}

#[test]
fn what_somebody_types_stays_what_it_is() {
    let repo = fleet();
    let review_by = ago(-30 * DAY);
    let odd = "calm; touch hacked $(touch hacked) `touch hacked` \"x\" *";
    let inputs = [
        ("mode", "apply"),
        ("expand_step", "5"),
        ("by", "kim o'hara"),
        ("approval_ref", "--CHG 88"),
        ("rationale", odd),
        ("review_by", review_by.as_str()),
    ];
    let run = ROLLOUT.run(&repo, 0, &inputs);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let record = &result(&repo, "promotion-orchestrate-result.json")["apply"]["record"];
    assert_eq!(record["governance"]["rationale"], odd);
    assert_eq!(record["governance"]["actor"], "kim o'hara");
    assert_eq!(record["governance"]["approvalRef"], "--CHG 88");
    assert_eq!(rollout(&repo)["canaryPercent"], 15);
    assert!(!repo.path().join("hacked").exists());
}

#[test]
fn a_change_needs_somebody_who_answers_for_it() {
    let repo = fleet();
    for (workflow, mode) in [
        (&ROLLOUT, "apply"),
        (&ROLLOUT, "rollback"),
        (&CONTROLLER, "guarded_auto_apply"),
    ] {
        let mut inputs = vec![("mode", mode)];
        for name in ["by", "approval_ref", "rationale", "review_by"] {
            let refused = workflow.run(&repo, 0, &inputs);
            let message = format!("::error::input '{name}' is required for mode={mode}\n");
            assert_eq!((refused.code, refused.stdout), (1, message));
            inputs.push((name, "x"));
        }
    }
    assert!(!repo.manager("promotion-ci-result.json").exists());
}

#[test]
fn a_rollout_is_previewed_unless_somebody_chooses_otherwise() {
    let repo = fleet();
    let run = ROLLOUT.run(&repo, 0, &[("trace_id", "t-7")]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let found = result(&repo, "promotion-orchestrate-result.json");
    assert_eq!(
        (&found["status"], &found["traceId"]),
        (&json!("preview"), &json!("t-7"))
    );
    let shown = ROLLOUT.run(&repo, 1, &[]);
    assert!(
        shown
            .stdout
            .contains("promotion-orchestrate-summary.md ---\n## Ops Manager"),
        "{}",
        shown.stdout
    );
}

#[test]
fn the_controller_proposes_on_schedule_and_shows_its_state() {
    let repo = fleet();
    let references = "a.json,b c.json\n\nd.json,";
    let inputs = [("evidence_refs", references), ("loop_id", "l 1")];
    let run = CONTROLLER.run(&repo, 0, &inputs);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let state = result(&repo, "promotion-controller-state.json");
    assert_eq!(state["status"], "proposed");
    assert_eq!(
        state["context"]["evidenceRefs"],
        json!(["a.json", "b c.json", "d.json"])
    );
    assert_eq!(state["context"]["loopId"], "l 1");
    let shown = CONTROLLER.run(&repo, 1, &[]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""));
    assert!(
        shown
            .stdout
            .contains("promotion-controller-apply-result.json not found\n")
    );
    assert!(
        shown
            .stdout
            .contains("promotion-controller.jsonl (tail -n 5) ---\n{")
    );
    let summary = fs::read_to_string(repo.outside("summary.md")).expect("a summary");
    let (_, shown) = summary
        .split_once("## Promotion Controller State\n\n```json\n")
        .expect("the state");
    let shown = shown.strip_suffix("```\n").expect("fenced");
    assert_eq!(om_model::json::parse(shown.as_bytes()).ok(), Some(state));
}
