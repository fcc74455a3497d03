//! What the promotion commands share: flags, the pipeline, their end.

#![allow(
    rustdoc::invalid_html_tags,
    reason = "comments on arguments are printed as help, where markup would show"
)]

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use om_model::json;
use om_promotion::apply::Governance;
use om_promotion::{Hooks, Overrides, Pipeline, Printed, PromotionError, ThresholdTexts};
use om_stage::StageOutput;
use serde::Serialize;

use crate::args::{self, environment, given};
use crate::command::{now, print_document};
use crate::commands::fleet_status::FleetStatus;
use crate::error::CliError;

/// Which evidence the gates look at, and what it is measured against.
#[allow(clippy::doc_markdown, reason = "printed as help")]
#[derive(Args, Clone, Debug, Default)]
pub struct EvaluatorFlags {
    /// Fleet status to judge [default: made by the fleet status stage]
    #[arg(long, value_name = "FILE")]
    fleet_status_file: Option<String>,
    /// Executions by handoff [default: <fleet>/telemetry/handoff.jsonl]
    #[arg(long, value_name = "FILE")]
    handoff_telemetry_file: Option<String>,
    /// Record of incident drills [default: <fleet>/drills/promotion.v1.json]
    #[arg(long, value_name = "FILE")]
    drill_state_file: Option<String>,
    /// Most autonomous runs to look at, the latest [default: 20]
    #[arg(long, value_name = "N")]
    window_executions: Option<String>,
    /// Fewest autonomous runs that prove anything [default: 20]
    #[arg(long, value_name = "N")]
    min_sample_size: Option<String>,
    /// Highest passing share of ambiguous outcomes, 0 to 1 [default: 0.2]
    #[arg(long, value_name = "RATE")]
    max_ambiguity_rate: Option<String>,
    /// Highest passing share of failures, 0 to 1 [default: 0.2]
    #[arg(long, value_name = "RATE")]
    max_failure_rate: Option<String>,
    /// Most intents that may wait for people [default: 5]
    #[arg(long, value_name = "N")]
    max_manual_backlog: Option<String>,
    /// Hours after which a drill proves nothing [default: 168]
    #[arg(long, value_name = "HOURS")]
    max_drill_age_hours: Option<String>,
    /// Hours after which a run proves nothing [default: no limit]
    #[arg(long, value_name = "HOURS")]
    max_sample_age_hours: Option<String>,
}

impl EvaluatorFlags {
    /// For the gates, which check an empty threshold too.
    pub fn as_typed(&self) -> Overrides {
        self.read(Option::clone)
    }

    /// For everybody else: what is empty was not given.
    pub fn as_given(&self) -> Overrides {
        self.read(text)
    }

    fn read(&self, threshold: fn(&Option<String>) -> Option<String>) -> Overrides {
        Overrides {
            fleet_status_file: text(&self.fleet_status_file),
            handoff_telemetry_file: text(&self.handoff_telemetry_file),
            drill_state_file: text(&self.drill_state_file),
            thresholds: ThresholdTexts {
                window_executions: threshold(&self.window_executions),
                min_sample_size: threshold(&self.min_sample_size),
                max_ambiguity_rate: threshold(&self.max_ambiguity_rate),
                max_failure_rate: threshold(&self.max_failure_rate),
                max_manual_backlog: threshold(&self.max_manual_backlog),
                max_drill_age_hours: threshold(&self.max_drill_age_hours),
                max_sample_age_hours: threshold(&self.max_sample_age_hours),
            },
        }
    }
}

/// Who answers for a change.
#[derive(Args, Clone, Debug, Default)]
pub struct GovernanceFlags {
    /// Who answers for the change
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// By which approval, e.g. a change id
    #[arg(long, value_name = "REF")]
    approval_ref: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    rationale: Option<String>,
    /// Until when it holds without a review: UTC, YYYY-MM-DDTHH:MM:SSZ
    #[arg(long, value_name = "TIME")]
    review_by: Option<String>,
}

impl GovernanceFlags {
    /// What is empty was not given.
    pub fn given(&self) -> Governance {
        Governance {
            by: text(&self.by),
            approval_ref: text(&self.approval_ref),
            rationale: text(&self.rationale),
            review_by: text(&self.review_by),
        }
    }
}

/// What a change is about.
#[allow(clippy::doc_markdown, reason = "printed as help")]
#[derive(Args, Clone, Debug, Default)]
pub struct ContextFlags {
    /// Makes a repetition recognisable: the same key changes nothing again
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Trace id to record [default: see below]
    #[arg(long, value_name = "ID")]
    pub trace_id: Option<String>,
    /// Loop that the change is about, recorded
    #[arg(long, value_name = "ID")]
    pub loop_id: Option<String>,
    /// Horizon reference, recorded
    #[arg(long, value_name = "REF")]
    pub horizon_ref: Option<String>,
    /// Evidence, recorded; may be given several times
    #[arg(long, value_name = "REF")]
    pub evidence_ref: Vec<String>,
}

/// A text, path or id; empty is "not given".
pub fn text(value: &Option<String>) -> Option<String> {
    given(value.as_ref()).map(str::to_owned)
}

/// Runs `command` with the hooks of the environment, the wall clock and the
/// built-in fleet status.
pub fn with_pipeline<T>(
    command: impl FnOnce(&Pipeline<'_>) -> Result<T, PromotionError>,
) -> Result<T, CliError> {
    let pipeline = Pipeline {
        hooks: Hooks::from_env(),
        fleet_status: &fleet_status,
        clock: &now,
        trace_id: &|| args::trace_id(None),
        step_summary: environment("GITHUB_STEP_SUMMARY").map(Into::into),
    };
    command(&pipeline).map_err(|error| failed(&error))
}

/// A failure as the command ends with it.
pub fn failed(error: &PromotionError) -> CliError {
    CliError {
        exit_code: exit_code(error.exit_code()),
        ..CliError::new(error.to_string())
    }
}

/// Prints what a command found, and returns its exit code.
pub fn finish<D: Serialize>(
    out: &mut dyn Write,
    printed: &Printed<D>,
    pretty: bool,
) -> Result<u8, CliError> {
    if let Some(diagnostics) = &printed.diagnostics {
        // Nobody is left to tell if stderr is gone too.
        let _ = writeln!(io::stderr(), "{}", diagnostics.trim_end_matches('\n'));
    }
    print_document(out, &printed.document, pretty)?;
    Ok(exit_code(printed.exit_code))
}

/// A stage's code as that of a process: what does not fit is 1.
fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(1)
}

/// The built-in fleet status stage, as its command would have ended.
fn fleet_status(repo: &Path) -> StageOutput {
    match FleetStatus::of(repo.display().to_string()).report() {
        Ok(report) => StageOutput {
            stdout: json::compact(&report).into_bytes(),
            ..StageOutput::default()
        },
        Err(error) => StageOutput {
            exit_code: i32::from(error.exit_code),
            stderr: said(&error).into_bytes(),
            ..StageOutput::default()
        },
    }
}

/// All that a failure would have printed.
fn said(error: &CliError) -> String {
    let rest = error.usage.as_deref().unwrap_or_default();
    if error.message.is_empty() {
        rest.to_owned()
    } else {
        format!("error: {}\n{rest}", error.message)
    }
}
