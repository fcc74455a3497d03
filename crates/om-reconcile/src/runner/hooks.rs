//! The hooks of a pass: their argv, and what is used of their output
//! (chapter 02 §2.7).

use om_model::health::IngestStatus;
use om_model::json;
use om_stage::{FAILURE_TAIL_LINES, Hook, RunOptions, StageOutput, last_lines};
use serde_json::Value;

use super::{PassError, PassPlan};
use crate::pass::{DriftOutcome, DriftRequest, Observed, PassContext, PassInputs};
use crate::thresholds::Threshold;

/// Step 7 by hook: anything but exit 0 with one document ends the pass.
pub(super) fn health(
    hook: &Hook,
    plan: &PassPlan,
    inputs: &PassInputs,
    observed: &Observed,
    context: &PassContext,
) -> Result<Value, PassError> {
    let (paths, settings) = (&inputs.paths, &inputs.settings);
    let mut arguments: Vec<String> = Vec::new();
    let mut push = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    push("--state-file", paths.state.display().to_string());
    push(
        "--heartbeat-state-file",
        paths.heartbeat_state.display().to_string(),
    );
    push(
        "--sequence-state-file",
        paths.sequence_state.display().to_string(),
    );
    push(
        "--transport-health-file",
        paths.transport_health.display().to_string(),
    );
    push("--intents-file", paths.intents.display().to_string());
    push("--trace-id", context.trace_id.to_string());
    push("--transport", settings.transport.as_str().to_owned());
    push(
        "--threshold-profile",
        settings.thresholds.profile.clone().unwrap_or_default(),
    );
    let code = observed.failure_code();
    let status = if code.is_none() {
        IngestStatus::Success
    } else {
        IngestStatus::Failed
    };
    push("--ingest-status", status.as_str().to_owned());
    push(
        "--failure-code",
        code.map_or(String::new(), |code| code.as_str().to_owned()),
    );
    for threshold in Threshold::ALL {
        let flag = format!("--{}", threshold.flag());
        let typed = plan.typed.thresholds.typed(threshold).map(str::to_owned);
        push(
            &flag,
            typed.unwrap_or_else(|| threshold.of(&settings.thresholds).to_string()),
        );
    }
    push("--now", context.now.to_string());
    let output = hook.run(&arguments, &RunOptions::default());
    document(hook, &output)
}

/// Step 11.1 by hook: a failure means that there is no summary.
pub(super) fn telemetry_summary(
    hook: &Hook,
    plan: &PassPlan,
    inputs: &PassInputs,
) -> Result<Option<Value>, PassError> {
    let arguments = [
        "--repo".to_owned(),
        inputs.source.repo_path.clone(),
        "--loop".to_owned(),
        inputs.source.loop_id.to_string(),
        "--reconcile-telemetry-file".to_owned(),
        inputs.paths.reconcile_rows.display().to_string(),
        "--control-telemetry-file".to_owned(),
        inputs.paths.control_rows.display().to_string(),
        "--window".to_owned(),
        typed(
            plan.typed.drift_summary_window.as_ref(),
            inputs.settings.drift_summary_window,
        ),
    ];
    let output = hook.run(&arguments, &RunOptions::default());
    if !output.success() {
        return Ok(None);
    }
    match json::parse(&output.stdout) {
        Ok(summary) => Ok(Some(summary)),
        // Success without a document is a broken stage, not a missing summary.
        Err(json::ParseError::Blank) => Err(output_error(hook, "it printed nothing")),
        Err(_) => Ok(None),
    }
}

/// Step 11.3 by hook; it writes its own files.
pub(super) fn profile_drift(
    hook: &Hook,
    plan: &PassPlan,
    inputs: &PassInputs,
    request: &DriftRequest,
) -> Result<DriftOutcome, PassError> {
    let settings = &inputs.settings;
    let mut arguments: Vec<String> = Vec::new();
    let mut push = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    push("--repo", inputs.source.repo_path.clone());
    push("--loop", inputs.source.loop_id.to_string());
    push("--applied-profile", request.applied.clone());
    push("--recommended-profile", request.recommended.clone());
    push("--thresholds-file", plan.catalog_file.clone());
    push("--recommendation-confidence", request.confidence.clone());
    push(
        "--min-confidence",
        settings.drift_min_confidence.as_str().to_owned(),
    );
    push(
        "--required-streak",
        typed(
            plan.typed.drift_required_streak.as_ref(),
            settings.drift_required_streak,
        ),
    );
    push(
        "--summary-window",
        typed(
            plan.typed.drift_summary_window.as_ref(),
            settings.drift_summary_window,
        ),
    );
    push(
        "--drift-state-file",
        inputs.paths.drift_state.display().to_string(),
    );
    push(
        "--drift-history-file",
        inputs.paths.drift_history.display().to_string(),
    );
    if !request.rationale.is_empty() {
        push("--rationale", request.rationale.clone());
    }
    let output = hook.run(&arguments, &RunOptions::default());
    Ok(DriftOutcome::hooked(document(hook, &output)?)?)
}

/// A number as it was typed, else as it is.
fn typed(text: Option<&String>, number: u64) -> String {
    text.cloned().unwrap_or_else(|| number.to_string())
}

/// The one document that a stage must print.
fn document(hook: &Hook, output: &StageOutput) -> Result<Value, PassError> {
    if !output.success() {
        return Err(PassError::Hook {
            variable: hook.variable().to_owned(),
            exit_code: output.exit_code,
            message: last_lines(&output.stderr, FAILURE_TAIL_LINES),
        });
    }
    json::parse(&output.stdout).map_err(|error| output_error(hook, &error.to_string()))
}

fn output_error(hook: &Hook, message: &str) -> PassError {
    PassError::HookOutput {
        variable: hook.variable().to_owned(),
        message: message.to_owned(),
    }
}
