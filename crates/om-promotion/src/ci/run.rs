//! The check as a command.

use std::path::{Path, PathBuf};

use om_model::json;
use om_model::promotion::ci::SkippedDocument;
use om_stage::StageOutput;
use om_store::{Commit, FleetFile, Scope};
use serde_json::Value;

use super::summary::{SummaryPaths, of_check, of_skipped};
use crate::check::Check;
use crate::error::{PromotionError, plain};
use crate::evaluator::{Overrides, push};
use crate::gates::{self, GatesRequest};
use crate::paths::FleetPaths;
use crate::stage::{Pipeline, Printed, as_output, run_hook, run_hook_merged};

/// What somebody wants of a check. What is empty was not given.
#[derive(Clone, Debug, Default)]
pub struct CiRequest {
    /// The resolved repository.
    pub repo: PathBuf,
    /// Evidence and thresholds other than the usual ones.
    pub overrides: Overrides,
    /// `--promotion-state-file`
    pub promotion_state_file: Option<String>,
    /// `--promotion-telemetry-file`
    pub promotion_telemetry_file: Option<String>,
    /// `--summary-file`
    pub summary_file: Option<String>,
    /// `--result-file`
    pub result_file: Option<String>,
    /// `--trace-id`
    pub trace_id: Option<String>,
    /// `--fail-on-hold`
    pub fail_on_hold: bool,
    /// `--skip-on-missing-evidence`
    pub skip_on_missing_evidence: bool,
    /// `--pretty`, for a hook that replaces the gates.
    pub pretty: bool,
}

/// The check's files.
struct Files {
    handoff: String,
    drills: String,
    state: String,
    telemetry: String,
    summary: String,
    result: String,
}

/// Runs the gates, or skips them for want of evidence; then writes the result
/// and the summary in one commit, and appends the summary where the pipeline
/// collects them.
pub fn run(request: &CiRequest, pipeline: &Pipeline<'_>) -> Result<Printed<Value>, PromotionError> {
    let paths = FleetPaths::of(&request.repo);
    let files = request.files(&paths);
    let scope = Scope::open(paths.scope_dir())?;
    let _turn = scope.run_lock("promotion-ci")?;
    paths.make_drills_folder();
    let missing = request.missing(&files, &paths, pipeline);
    let (printed, summary) = if request.skip_on_missing_evidence && !missing.is_empty() {
        let summary = of_skipped(&missing);
        let repo = request.repo.display().to_string();
        let document = SkippedDocument::new(pipeline.now(), repo, missing);
        (Printed::ok(json::to_value(&document)), summary)
    } else {
        checked(request, &files, pipeline)?
    };
    let result = format!("{}\n", json::compact(&printed.document));
    scope.commit(
        Commit::new()
            .document(&files.result, result)
            .document(&files.summary, summary.as_str()),
    )?;
    pipeline.append_summary(&summary)?;
    Ok(printed)
}

/// The check as a stage of another command: by the hook, if there is one.
/// With `merged`, a hook's streams are one.
pub(crate) fn stage(request: &CiRequest, pipeline: &Pipeline<'_>, merged: bool) -> StageOutput {
    match &pipeline.hooks.ci {
        None => as_output(run(request, pipeline)),
        Some(hook) if merged => run_hook_merged(hook, &request.arguments()),
        Some(hook) => run_hook(hook, &request.arguments()),
    }
}

fn checked(
    request: &CiRequest,
    files: &Files,
    pipeline: &Pipeline<'_>,
) -> Result<(Printed<Value>, String), PromotionError> {
    let output = gates_stage(request, files, pipeline);
    let document = match json::parse(&output.stdout) {
        Ok(document) => document,
        Err(_) if !output.success() => return Err(PromotionError::Stage(Box::new(output))),
        Err(cause) => return Err(not_json(&output, cause.into())),
    };
    let check = Check::read(&document).map_err(|cause| not_json(&output, cause.into()))?;
    let paths = SummaryPaths {
        result: &files.result,
        state: &files.state,
        telemetry: &files.telemetry,
    };
    let printed = Printed {
        exit_code: output.exit_code,
        ..Printed::ok(document)
    };
    Ok((printed, of_check(&check, paths)))
}

fn not_json(output: &StageOutput, cause: crate::error::Cause) -> PromotionError {
    PromotionError::StageOutput {
        what: "promotion gates",
        cause,
        text: plain(&output.stderr_text()).to_owned(),
    }
}

fn gates_stage(request: &CiRequest, files: &Files, pipeline: &Pipeline<'_>) -> StageOutput {
    if let Some(hook) = &pipeline.hooks.gates {
        return run_hook(hook, &request.gates_arguments(files));
    }
    let gates = GatesRequest {
        repo: request.repo.clone(),
        overrides: Overrides {
            handoff_telemetry_file: Some(files.handoff.clone()),
            drill_state_file: Some(files.drills.clone()),
            ..request.overrides.clone()
        },
        promotion_state_file: Some(files.state.clone()),
        promotion_telemetry_file: Some(files.telemetry.clone()),
        trace_id: request.trace_id.clone(),
        fail_on_hold: request.fail_on_hold,
    };
    as_output(gates::run(&gates, pipeline))
}

impl CiRequest {
    fn files(&self, paths: &FleetPaths) -> Files {
        let given = &self.overrides;
        Files {
            handoff: paths.or(
                given.handoff_telemetry_file.as_ref(),
                FleetFile::HandoffRows,
            ),
            drills: paths.or(given.drill_state_file.as_ref(), FleetFile::DrillEvidence),
            state: paths.or(
                self.promotion_state_file.as_ref(),
                FleetFile::PromotionState,
            ),
            telemetry: paths.or(
                self.promotion_telemetry_file.as_ref(),
                FleetFile::PromotionRows,
            ),
            summary: paths.or_named(self.summary_file.as_ref(), "promotion-ci-summary.md"),
            result: paths.or(self.result_file.as_ref(), FleetFile::PromotionCiResult),
        }
    }

    /// Evidence that is not there, in the contract's order. The fleet's state
    /// and registry are evidence only for whoever makes the fleet's status
    /// from them (decision D21).
    fn missing(&self, files: &Files, paths: &FleetPaths, pipeline: &Pipeline<'_>) -> Vec<String> {
        let hooks = &pipeline.hooks;
        let made_here = hooks.fleet_status.is_none() && hooks.gates.is_none();
        let mut evidence: Vec<String> = match &self.overrides.fleet_status_file {
            Some(file) => vec![file.clone()],
            None if made_here => [FleetFile::State, FleetFile::Registry]
                .map(|file| paths.or(None, file))
                .to_vec(),
            None => Vec::new(),
        };
        evidence.extend([files.handoff.clone(), files.drills.clone()]);
        evidence.retain(|path| !Path::new(path).is_file());
        evidence
    }

    /// What a hook that replaces the gates is told (chapter 07 §2.6).
    fn gates_arguments(&self, files: &Files) -> Vec<String> {
        let repo = self.repo.display().to_string();
        let mut arguments: Vec<String> = [
            ("--repo", &repo),
            ("--handoff-telemetry-file", &files.handoff),
            ("--drill-state-file", &files.drills),
            ("--promotion-state-file", &files.state),
            ("--promotion-telemetry-file", &files.telemetry),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.clone()])
        .collect();
        let given = &self.overrides;
        push(
            &mut arguments,
            "--fleet-status-file",
            given.fleet_status_file.as_ref(),
        );
        arguments.extend(given.thresholds.arguments());
        push(&mut arguments, "--trace-id", self.trace_id.as_ref());
        for (flag, is_given) in [
            ("--pretty", self.pretty),
            ("--fail-on-hold", self.fail_on_hold),
        ] {
            arguments.extend(is_given.then(|| flag.to_owned()));
        }
        arguments
    }

    /// What a hook that replaces the check is told (chapter 07 §4.6, §5.6).
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--repo".to_owned(), self.repo.display().to_string()];
        push(&mut arguments, "--result-file", self.result_file.as_ref());
        push(&mut arguments, "--summary-file", self.summary_file.as_ref());
        arguments.extend(self.overrides.arguments());
        for (flag, is_given) in [
            ("--skip-on-missing-evidence", self.skip_on_missing_evidence),
            ("--fail-on-hold", self.fail_on_hold),
        ] {
            arguments.extend(is_given.then(|| flag.to_owned()));
        }
        push(&mut arguments, "--trace-id", self.trace_id.as_ref());
        arguments
    }
}
