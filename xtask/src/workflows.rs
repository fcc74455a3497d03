//! `.github/workflows/`: what somebody types into a form never becomes code,
//! and every input reaches a flag that exists.
//!
//! | module | what it looks at |
//! |---|---|
//! | here | every workflow: permissions, pinned actions, expressions in scripts |
//! | [`inputs`] | the promotion workflows: inputs, variables, flags (chapter 07 §6) |
//!
//! GitHub replaces `${{ … }}` before a shell sees the script, so that an input
//! in it is executed; in the environment it is only a value (decision D21).

mod inputs;
mod script;

use std::fmt;
use std::fs;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::generated::names_in;
use crate::workspace::Workspace;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File, and below it job and step.
    place: String,
    flaw: Flaw,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.flaw)
    }
}

/// What can be wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Flaw {
    #[error("is not YAML: {0}")]
    Yaml(String),
    #[error("a file of the contract is missing")]
    Missing,
    #[error("permissions must be exactly `contents: read`, for the whole workflow and no job")]
    Permissions,
    #[error("a run can be started by strangers with the rights of this repository: {0}")]
    Trigger(String),
    #[error("has no timeout-minutes")]
    NoTimeout,
    #[error("the action is not pinned to a commit: {0}")]
    NotPinned(String),
    #[error("checkout leaves its token behind; set persist-credentials: false")]
    KeepsCredentials,
    #[error("an expression becomes part of a script; pass it by env: ${{{{{0}}}}}")]
    ExpressionInScript(String),
    #[error("what others type may only be used in env, with and if: ${{{{{0}}}}}")]
    Untrusted(String),
    #[error("inputs differ from those of the contract: {0}")]
    Inputs(String),
    #[error("input {0} is not what the contract says of its type, default or options")]
    Input(String),
    #[error("input {0} is not passed as INPUT_… in env, bare and with its own name")]
    NotPassed(String),
    #[error("{0} is a variable of no input")]
    Variable(String),
    #[error("the script falls back to something else than the default of {0}")]
    Fallback(String),
    #[error("the script does not use {0}")]
    Unused(String),
    #[error("the script never gives {flag}, which is for {input}")]
    NoFlag { input: String, flag: String },
    #[error("{command} has no flag {flag}")]
    UnknownFlag { command: String, flag: String },
    #[error("{command} requires {flag}")]
    RequiredFlag { command: String, flag: String },
    #[error("no step runs {0}")]
    NotRun(String),
    #[error("{0} has no page in docs/commands")]
    NoPage(String),
    #[error("{0} is used before a step installs it")]
    NotInstalled(String),
    #[error("the script goes on after errors; begin with `set -euo pipefail`")]
    NotStrict,
    #[error("what the command wrote is not uploaded when it fails; use `if: always()`")]
    NoUpload,
}

/// Checks every workflow.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let folder = workspace.path(".github/workflows");
    let mut findings = Vec::new();
    let mut found = Vec::new();
    for name in names_in(&folder)? {
        let path = folder.join(&name);
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        findings.extend(lint(&name, &text));
        found.push((name, text));
    }
    for contract in &inputs::CONTRACTS {
        let page = workspace.path(&format!("docs/commands/{}.md", contract.command));
        let page = fs::read_to_string(page).ok();
        let text = found.iter().find(|(name, _)| name == contract.file);
        findings.extend(inputs::lint(
            contract,
            text.map(|(_, text)| text.as_str()),
            page.as_deref(),
        ));
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Error::Workflows(findings))
    }
}

/// What is wrong with one workflow, whatever it is for.
fn lint(name: &str, text: &str) -> Vec<Finding> {
    let workflow = match parse(text) {
        Ok(workflow) => workflow,
        Err(flaw) => return vec![finding(name, flaw)],
    };
    let mut findings = Vec::new();
    let mut add = |place: String, flaw| findings.push(Finding { place, flaw });
    if !has_least_permissions(&workflow) {
        add(name.to_owned(), Flaw::Permissions);
    }
    for trigger in ["pull_request_target", "workflow_run", "issue_comment"] {
        if triggers(&workflow).contains(&trigger) {
            add(name.to_owned(), Flaw::Trigger(trigger.to_owned()));
        }
    }
    for (id, job) in members(&workflow["jobs"]) {
        let place = format!("{name}: {id}");
        if !job["timeout-minutes"].is_u64() {
            add(place.clone(), Flaw::NoTimeout);
        }
        for step in steps(job) {
            let place = format!("{place}: {}", step_name(step));
            for flaw in step_flaws(step) {
                add(place.clone(), flaw);
            }
        }
    }
    let mut untrusted = Vec::new();
    untrusted_uses(&workflow, false, &mut untrusted);
    for expression in untrusted {
        add(name.to_owned(), Flaw::Untrusted(expression));
    }
    findings
}

fn finding(place: &str, flaw: Flaw) -> Finding {
    Finding {
        place: place.to_owned(),
        flaw,
    }
}

/// The document; names that occur twice are refused.
fn parse(text: &str) -> Result<Value, Flaw> {
    serde_saphyr::from_str(text).map_err(|error| Flaw::Yaml(error.to_string()))
}

fn has_least_permissions(workflow: &Value) -> bool {
    let least = serde_json::json!({ "contents": "read" });
    let jobs = members(&workflow["jobs"]);
    workflow["permissions"] == least && jobs.iter().all(|(_, job)| job["permissions"].is_null())
}

/// The names below `on`, in each of its three forms.
fn triggers(workflow: &Value) -> Vec<&str> {
    match &workflow["on"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        other => members(other).into_iter().map(|(name, _)| name).collect(),
    }
}

fn step_flaws(step: &Value) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if let Some(action) = step["uses"].as_str() {
        if !is_pinned(action) {
            flaws.push(Flaw::NotPinned(action.to_owned()));
        }
        let keeps = step["with"]["persist-credentials"] != Value::Bool(false);
        if action.starts_with("actions/checkout@") && keeps {
            flaws.push(Flaw::KeepsCredentials);
        }
    }
    for member in ["run", "shell", "working-directory"] {
        let found = expressions(step[member].as_str().unwrap_or_default());
        flaws.extend(found.map(|text| Flaw::ExpressionInScript(text.to_owned())));
    }
    flaws
}

/// Whether an action is one commit of it, or a part of this repository.
fn is_pinned(action: &str) -> bool {
    let commit = action.rsplit_once('@').map_or("", |(_, commit)| commit);
    let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit || action.starts_with("./")
}

/// Collects expressions over what others type, below anything but values of
/// `env`, `with` and `if`. Scripts are told apart and left out.
fn untrusted_uses(node: &Value, is_value: bool, found: &mut Vec<String>) {
    match node {
        Value::String(text) if !is_value => {
            let untrusted = expressions(text).filter(|text| is_untrusted(text));
            found.extend(untrusted.map(str::to_owned));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| untrusted_uses(item, is_value, found)),
        Value::Object(members) => {
            for (name, member) in members {
                if name != "run" {
                    let holds_values = matches!(name.as_str(), "env" | "with" | "if");
                    untrusted_uses(member, is_value || holds_values, found);
                }
            }
        }
        _ => {}
    }
}

fn is_untrusted(expression: &str) -> bool {
    ["inputs", "github.event", "github.head_ref"]
        .iter()
        .any(|context| expression.contains(context))
}

/// What stands between `${{` and `}}`.
fn expressions(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("${{").skip(1);
    parts.map(|part| part.split_once("}}").map_or(part, |(inside, _)| inside))
}

fn members(value: &Value) -> Vec<(&str, &Value)> {
    let members = value.as_object().into_iter().flat_map(Map::iter);
    members
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}

fn steps(job: &Value) -> &[Value] {
    job["steps"].as_array().map_or(&[], Vec::as_slice)
}

/// How a step is told to people.
fn step_name(step: &Value) -> &str {
    let name = step["name"].as_str().or(step["uses"].as_str());
    name.unwrap_or("a step without a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "\
on:
  push:
    branches: [main]
permissions:
  contents: read
jobs:
  build:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd
        with:
          persist-credentials: false
      - name: Build
        if: github.event_name == 'push'
        env:
          TITLE: ${{ github.event.head_commit.message }}
        run: make \"$TITLE\"
";

    fn flaws(text: &str) -> Vec<Flaw> {
        let findings = lint("w.yml", text);
        findings.into_iter().map(|finding| finding.flaw).collect()
    }

    /// The flaws after each line that has `from` got `to` instead.
    fn with(from: &str, to: &str) -> Vec<Flaw> {
        assert!(SOUND.contains(from), "{from}");
        flaws(&SOUND.replace(from, to))
    }

    #[test]
    fn a_sound_workflow_has_no_flaw() {
        assert_eq!(flaws(SOUND), []);
    }

    #[test]
    fn more_permissions_than_reading_are_a_flaw() {
        for (from, to) in [
            ("contents: read", "contents: write"),
            ("contents: read", "contents: read\n  issues: write"),
            ("permissions:\n  contents: read\n", ""),
            ("permissions:\n  contents: read", "permissions: write-all"),
            (
                "    runs-on",
                "    permissions:\n      contents: write\n    runs-on",
            ),
        ] {
            assert_eq!(with(from, to), [Flaw::Permissions], "{to}");
        }
    }

    #[test]
    fn actions_are_pinned_to_a_commit_and_keep_no_token() {
        let (pin, tag) = ("@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "@v6");
        let found = with(pin, tag);
        assert_eq!(found, [Flaw::NotPinned("actions/checkout@v6".into())]);
        let found = with("persist-credentials: false", "fetch-depth: 1");
        assert_eq!(found, [Flaw::KeepsCredentials]);
    }

    #[test]
    fn no_expression_becomes_part_of_a_script() {
        for expression in [" inputs.by ", " github.sha "] {
            let spliced = format!("echo ${{{{{expression}}}}}");
            assert_eq!(
                with("make \"$TITLE\"", &spliced),
                [Flaw::ExpressionInScript(expression.to_owned())]
            );
        }
    }

    #[test]
    fn what_others_type_is_used_as_a_value_only() {
        let found = with("ubuntu-latest", "${{ inputs.runner }}");
        assert_eq!(found, [Flaw::Untrusted(" inputs.runner ".into())]);
        let found = with("name: Build", "name: Build ${{ github.head_ref }}");
        assert_eq!(found, [Flaw::Untrusted(" github.head_ref ".into())]);
    }

    #[test]
    fn strangers_start_nothing_with_our_rights() {
        let trigger = || Flaw::Trigger("pull_request_target".into());
        assert_eq!(with("push:", "pull_request_target:"), [trigger()]);
        let listed = with(
            "on:\n  push:\n    branches: [main]",
            "on: [pull_request_target]",
        );
        assert_eq!(listed, [trigger()]);
    }

    #[test]
    fn a_job_ends_some_time() {
        assert_eq!(with("    timeout-minutes: 5\n", ""), [Flaw::NoTimeout]);
    }

    #[test]
    fn what_is_not_yaml_or_says_a_thing_twice_is_refused() {
        for text in ["on: [", &format!("{SOUND}permissions: write-all\n")] {
            assert!(matches!(flaws(text)[..], [Flaw::Yaml(_)]), "{text}");
        }
    }
}
