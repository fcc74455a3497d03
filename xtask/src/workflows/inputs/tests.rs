//! The workflow of the rollout, with one thing changed at a time.

use super::*;

const ROLLOUT: &str =
    include_str!("../../../../.github/workflows/ops-manager-promotion-rollout.yml");

/// The command's page, as far as it counts; `--repo` is required.
fn page() -> String {
    let (_, script) = ROLLOUT.split_once("args=(").expect("a list of arguments");
    let flags: Vec<String> = script::flags(script)
        .into_iter()
        .map(|flag| format!("      {flag} <VALUE>  What it is for"))
        .collect();
    let page = format!("Usage: x\n\nOptions:\n{}\n\nExamples:\n", flags.join("\n"));
    page.replacen("is for\n", "is for [required]\n", 1)
}

fn flaws(text: &str) -> Vec<Flaw> {
    let findings = lint(&CONTRACTS[1], Some(text), Some(&page()));
    findings.into_iter().map(|finding| finding.flaw).collect()
}

/// The flaws after `from` became `to`, once.
fn with(from: &str, to: &str) -> Vec<Flaw> {
    assert!(ROLLOUT.contains(from), "{from}");
    flaws(&ROLLOUT.replacen(from, to, 1))
}

#[test]
fn the_rollout_is_as_agreed() {
    assert_eq!(flaws(ROLLOUT), []);
    assert_eq!(super::super::lint("rollout.yml", ROLLOUT), []);
}

#[test]
fn a_workflow_that_is_not_there_is_missed() {
    let found = lint(&CONTRACTS[1], None, Some(&page()));
    assert_eq!(found, [finding(CONTRACTS[1].file, Flaw::Missing)]);
}

#[test]
fn inputs_are_those_of_the_contract() {
    let found = with("      idempotency_key:\n", "      idempotency:\n");
    let told = |text: &str| Flaw::Inputs(text.to_owned());
    assert_eq!(
        found,
        [
            told("idempotency_key is missing"),
            told("idempotency is none of them"),
        ]
    );
    for (from, to, input) in [
        ("default: \"25\"", "default: \"50\"", "expand_step"),
        ("        required: true\n", "", "mode"),
        ("          - rollback\n", "", "mode"),
        (
            "default: true",
            "default: false",
            "skip_on_missing_evidence",
        ),
        (
            "default: true",
            "default: \"true\"",
            "skip_on_missing_evidence",
        ),
        ("type: boolean", "type: string", "skip_on_missing_evidence"),
    ] {
        assert_eq!(with(from, to), [Flaw::Input(input.to_owned())], "{to}");
    }
}

#[test]
fn an_input_is_passed_bare_so_that_false_stays_false() {
    let bare = "${{ inputs.skip_on_missing_evidence }}";
    let fallback = "${{ inputs.skip_on_missing_evidence || true }}";
    let input = "skip_on_missing_evidence".to_owned();
    assert_eq!(with(bare, fallback), [Flaw::NotPassed(input)]);
}

#[test]
fn an_empty_input_falls_back_to_its_default() {
    for (from, to, input) in [
        (
            "INPUT_EXPAND_STEP:-25",
            "INPUT_EXPAND_STEP:-50",
            "expand_step",
        ),
        ("INPUT_MODE:-dry_run", "INPUT_MODE:-apply", "mode"),
        (
            "EVIDENCE:-true}",
            "EVIDENCE:-false}",
            "skip_on_missing_evidence",
        ),
        ("${INPUT_REPO_PATH:-.}", "$INPUT_REPO_PATH", "repo_path"),
    ] {
        assert_eq!(with(from, to), [Flaw::Fallback(input.to_owned())], "{to}");
    }
}

#[test]
fn a_variable_is_that_of_an_input() {
    assert_eq!(
        with("--by \"$INPUT_BY\"", "--by \"$INPUT_ACTOR\""),
        [
            Flaw::Unused("INPUT_BY".into()),
            Flaw::Variable("INPUT_ACTOR".into()),
        ]
    );
}

#[test]
fn every_flag_exists_and_every_input_has_one() {
    let unknown = Flaw::UnknownFlag {
        command: "ops-manager-promotion-orchestrate".into(),
        flag: "--max-ambiguity".into(),
    };
    let missing = Flaw::NoFlag {
        input: "max_ambiguity_rate".into(),
        flag: "--max-ambiguity-rate".into(),
    };
    let found = with("--max-ambiguity-rate \"", "--max-ambiguity \"");
    assert_eq!(found, [unknown, missing]);
    let found = with("            --repo \"${INPUT_REPO_PATH:-.}\"\n", "");
    let command = "ops-manager-promotion-orchestrate".to_owned();
    let flag = "--repo".to_owned();
    assert!(
        found.contains(&Flaw::RequiredFlag { command, flag }),
        "{found:?}"
    );
    let found = lint(&CONTRACTS[1], Some(ROLLOUT), None);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn the_command_is_installed_run_strictly_and_its_files_kept() {
    let command = || "ops-manager-promotion-orchestrate".to_owned();
    assert_eq!(
        with(
            "--path crates/ops-manager-promotion-orchestrate",
            "--path crates/other"
        ),
        [Flaw::NotInstalled(command())]
    );
    assert_eq!(
        with("ops-manager-promotion-orchestrate \"${args[@]}\"", "true"),
        [Flaw::NotRun(command())]
    );
    assert_eq!(
        with("set -euo pipefail\n          fleet=", "fleet="),
        [Flaw::NotStrict]
    );
    let upload = "- name: Upload them\n        if: always()";
    assert_eq!(with(upload, "- name: Upload them"), [Flaw::NoUpload]);
}
