//! The promotion workflows: each input of chapter 07 §6 is passed as a value
//! and reaches its flag.

use serde_json::{Value, json};

use super::script::{self, Use};
use super::{Finding, Flaw, finding, members, parse, step_name, steps};

/// A workflow of the contract.
pub(super) struct Contract {
    /// Its file.
    pub(super) file: &'static str,
    /// The command that it runs.
    pub(super) command: &'static str,
    /// Which column of [`INPUTS`] it is.
    column: usize,
    /// What `mode` may be, if it has one.
    modes: &'static [&'static str],
}

/// The workflows of the contract.
pub(super) const CONTRACTS: [Contract; 3] = [
    Contract {
        file: "ops-manager-promotion-gates.yml",
        command: "ops-manager-promotion-ci",
        column: 0,
        modes: &[],
    },
    Contract {
        file: "ops-manager-promotion-rollout.yml",
        command: "ops-manager-promotion-orchestrate",
        column: 1,
        modes: &["dry_run", "apply", "rollback"],
    },
    Contract {
        file: "ops-manager-promotion-controller.yml",
        command: "ops-manager-promotion-controller",
        column: 2,
        modes: &["propose_only", "guarded_auto_apply"],
    },
];

/// What a form asks for.
#[derive(Clone, Copy)]
enum Kind {
    /// The mode, the first of which is the default.
    Mode,
    /// expand or resume.
    Intent,
    /// A box, ticked or not.
    Switch(bool),
    /// A text with its default.
    Text(&'static str),
}

/// Input, what it is, and whether the gates, the rollout and the controller
/// have it (chapter 07 §6).
const INPUTS: [(&str, Kind, [bool; 3]); 27] = {
    use Kind::{Intent, Mode, Switch, Text};
    const ALL: [bool; 3] = [true; 3];
    const CHANGES: [bool; 3] = [false, true, true];
    const CONTROLLER: [bool; 3] = [false, false, true];
    [
        ("repo_path", Text("."), ALL),
        ("mode", Mode, CHANGES),
        ("apply_intent", Intent, CHANGES),
        ("expand_step", Text("25"), CHANGES),
        ("decision_ttl_minutes", Text("60"), CONTROLLER),
        ("budget_window_hours", Text("24"), CONTROLLER),
        ("max_applies_per_window", Text("1"), CONTROLLER),
        ("max_expand_step_per_window", Text("25"), CONTROLLER),
        ("cooldown_minutes", Text("60"), CONTROLLER),
        ("freeze_windows_file", Text(""), CONTROLLER),
        ("skip_on_missing_evidence", Switch(true), ALL),
        ("fail_on_hold", Switch(false), [true, true, false]),
        ("window_executions", Text("20"), ALL),
        ("min_sample_size", Text("20"), ALL),
        ("max_ambiguity_rate", Text("0.2"), ALL),
        ("max_failure_rate", Text("0.2"), ALL),
        ("max_manual_backlog", Text("5"), ALL),
        ("max_drill_age_hours", Text("168"), ALL),
        ("idempotency_key", Text(""), CHANGES),
        ("trace_id", Text(""), CHANGES),
        ("loop_id", Text(""), CONTROLLER),
        ("horizon_ref", Text(""), CONTROLLER),
        ("evidence_refs", Text(""), CONTROLLER),
        ("by", Text(""), CHANGES),
        ("approval_ref", Text(""), CHANGES),
        ("rationale", Text(""), CHANGES),
        ("review_by", Text(""), CHANGES),
    ]
};

/// What is wrong with a workflow of the contract; `page` is its command's.
pub(super) fn lint(contract: &Contract, text: Option<&str>, page: Option<&str>) -> Vec<Finding> {
    let Some(Ok(workflow)) = text.map(parse) else {
        // What is no YAML was told already.
        let missing = text
            .is_none()
            .then(|| finding(contract.file, Flaw::Missing));
        return missing.into_iter().collect();
    };
    let form = &workflow["on"]["workflow_dispatch"]["inputs"];
    let mut findings: Vec<Finding> = form_flaws(contract, form)
        .into_iter()
        .map(|flaw| finding(contract.file, flaw))
        .collect();
    for (id, job) in members(&workflow["jobs"]) {
        let place = format!("{}: {id}", contract.file);
        let flaws = job_flaws(contract, steps(job), page);
        findings.extend(flaws.into_iter().map(|(step, flaw)| Finding {
            place: step.map_or(place.clone(), |step| format!("{place}: {step}")),
            flaw,
        }));
    }
    findings
}

/// The inputs that a workflow has by the contract.
fn inputs_of(contract: &Contract) -> impl Iterator<Item = (&'static str, Kind)> {
    let column = contract.column;
    let own = INPUTS.iter().filter(move |(_, _, has)| has[column]);
    own.map(|(name, kind, _)| (*name, *kind))
}

fn form_flaws(contract: &Contract, form: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let found: Vec<&str> = members(form).into_iter().map(|(name, _)| name).collect();
    for (name, kind) in inputs_of(contract) {
        if !found.contains(&name) {
            flaws.push(Flaw::Inputs(format!("{name} is missing")));
        } else if !is_as_agreed(contract, kind, &form[name]) {
            flaws.push(Flaw::Input(name.to_owned()));
        }
    }
    let is_unknown = |name: &&&str| inputs_of(contract).all(|(known, _)| known != **name);
    let unknown = found.iter().filter(is_unknown);
    flaws.extend(unknown.map(|name| Flaw::Inputs(format!("{name} is none of them"))));
    flaws
}

fn is_as_agreed(contract: &Contract, kind: Kind, input: &Value) -> bool {
    let is = |kind: &str, default: Value| input["type"] == kind && input["default"] == default;
    match kind {
        Kind::Text(default) => is("string", default.into()),
        Kind::Switch(default) => is("boolean", default.into()),
        Kind::Intent => is("choice", "expand".into()) && input["options"] == json!(INTENTS),
        Kind::Mode => {
            let modes = contract.modes;
            let first = modes.first().copied().unwrap_or_default();
            let listed = is("choice", first.into()) && input["options"] == json!(modes);
            listed && input["required"] == true
        }
    }
}

const INTENTS: [&str; 2] = ["expand", "resume"];

/// What is wrong with a job, and in which step.
fn job_flaws<'a>(
    contract: &Contract,
    steps: &'a [Value],
    page: Option<&str>,
) -> Vec<(Option<&'a str>, Flaw)> {
    let command = contract.command;
    let runs = |step: &Value| {
        script_of(step)
            .lines()
            .any(|line| runs_command(line, command))
    };
    let Some(at) = steps.iter().position(runs) else {
        return vec![(None, Flaw::NotRun(command.to_owned()))];
    };
    let mut flaws = Vec::new();
    let installs = |step: &Value| script_of(step).contains(&format!("--path crates/{command} "));
    if !steps[..at].iter().any(installs) {
        flaws.push((None, Flaw::NotInstalled(command.to_owned())));
    }
    let uploads = |step: &Value| {
        let action = step["uses"].as_str().unwrap_or_default();
        action.starts_with("actions/upload-artifact@") && step["if"] == "always()"
    };
    if !steps[at..].iter().any(uploads) {
        flaws.push((None, Flaw::NoUpload));
    }
    for step in steps.iter().filter(|step| !script_of(step).is_empty()) {
        if !script_of(step).starts_with("set -euo pipefail\n") {
            flaws.push((Some(step_name(step)), Flaw::NotStrict));
        }
    }
    let own = value_flaws(contract, &steps[at])
        .into_iter()
        .chain(flag_flaws(contract, script_of(&steps[at]), page));
    flaws.extend(own.map(|flaw| (Some(step_name(&steps[at])), flaw)));
    flaws
}

fn script_of(step: &Value) -> &str {
    step["run"].as_str().unwrap_or_default()
}

fn runs_command(line: &str, command: &str) -> bool {
    line.split_whitespace().next() == Some(command)
}

/// Whether each input is passed, bare, and used with its default. An empty
/// value falls back in the script and not in the expression, in which `false`
/// would count as empty (decision D1).
fn value_flaws(contract: &Contract, step: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let uses = script::uses(script_of(step));
    for (name, kind) in inputs_of(contract) {
        let variable = variable(name);
        if step["env"][&variable] != format!("${{{{ inputs.{name} }}}}") {
            flaws.push(Flaw::NotPassed(name.to_owned()));
        }
        let fallback = match kind {
            Kind::Text(text) => text.to_owned(),
            Kind::Switch(is_on) => is_on.to_string(),
            Kind::Intent => INTENTS[0].to_owned(),
            Kind::Mode => contract
                .modes
                .first()
                .copied()
                .unwrap_or_default()
                .to_owned(),
        };
        let own: Vec<&Use<'_>> = uses
            .iter()
            .filter(|used| used.variable == variable)
            .collect();
        if own.is_empty() {
            flaws.push(Flaw::Unused(variable));
        } else if own
            .iter()
            .any(|used| used.fallback.unwrap_or_default() != fallback)
        {
            flaws.push(Flaw::Fallback(name.to_owned()));
        }
    }
    let is_known = |found: &str| {
        // A name that the script completes itself.
        found == "INPUT_" || inputs_of(contract).any(|(name, _)| variable(name) == found)
    };
    let in_script = uses.iter().map(|found| found.variable);
    let set = members(&step["env"]).into_iter().map(|(name, _)| name);
    for name in in_script.chain(set).filter(|name| !is_known(name)) {
        flaws.push(Flaw::Variable(name.to_owned()));
    }
    flaws
}

/// Whether every flag exists, and every input and requirement has its flag.
fn flag_flaws(contract: &Contract, script: &str, page: Option<&str>) -> Vec<Flaw> {
    let command = contract.command.to_owned();
    let Some(page) = page else {
        return vec![Flaw::NoPage(command)];
    };
    let (given, known) = (script::flags(script), script::page_flags(page));
    let mut flaws = Vec::new();
    for flag in &given {
        if known.iter().all(|(name, _)| name != flag) {
            let (command, flag) = (command.clone(), (*flag).to_owned());
            flaws.push(Flaw::UnknownFlag { command, flag });
        }
    }
    for (flag, _) in known.iter().filter(|(_, required)| *required) {
        if !given.contains(flag) {
            let (command, flag) = (command.clone(), (*flag).to_owned());
            flaws.push(Flaw::RequiredFlag { command, flag });
        }
    }
    for (input, _) in inputs_of(contract) {
        let flag = flag(input);
        if !given.contains(&flag.as_str()) {
            let input = input.to_owned();
            flaws.push(Flaw::NoFlag { input, flag });
        }
    }
    flaws
}

fn variable(input: &str) -> String {
    format!("INPUT_{}", input.to_ascii_uppercase())
}

/// The flag that an input is for.
fn flag(input: &str) -> String {
    match input {
        "repo_path" => "--repo".to_owned(),
        "evidence_refs" => "--evidence-ref".to_owned(),
        other => format!("--{}", other.replace('_', "-")),
    }
}

#[cfg(test)]
mod tests;
