//! The stages of the pipeline, each built in or replaced by a hook, and what
//! they share.
//!
//! ```text
//! controller ──▶ orchestrate ──▶ ci ──▶ gates ──▶ fleet status
//!     │               └────────▶ apply ──▶ fleet registry
//!     └─ (verify) ──▶ ci ──▶ gates ──▶ fleet status
//! ```
//!
//! A built-in stage is a function call and fails as a value: exit code and
//! text, as its command would have.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_model::{Timestamp, TraceId, json};
use om_stage::{Hook, RunOptions, StageOutput, Streams};
use serde::Serialize;

use crate::error::{PromotionError, nonzero};

/// How long a stage may take that runs stages itself.
const LONG_STAGE: Duration = Duration::from_secs(900);

/// The executables that replace stages.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// `OPS_MANAGER_FLEET_STATUS_SCRIPT`
    pub fleet_status: Option<Hook>,
    /// `OPS_MANAGER_PROMOTION_GATES_SCRIPT`
    pub gates: Option<Hook>,
    /// `OPS_MANAGER_PROMOTION_CI_SCRIPT`
    pub ci: Option<Hook>,
    /// `OPS_MANAGER_PROMOTION_APPLY_SCRIPT`
    pub apply: Option<Hook>,
    /// `OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT`
    pub orchestrate: Option<Hook>,
    /// `OPS_MANAGER_FLEET_REGISTRY_SCRIPT`
    pub registry: Option<Hook>,
}

impl Hooks {
    /// As the environment says.
    pub fn from_env() -> Self {
        Self {
            fleet_status: Hook::from_env("OPS_MANAGER_FLEET_STATUS_SCRIPT"),
            gates: Hook::from_env("OPS_MANAGER_PROMOTION_GATES_SCRIPT"),
            ci: Hook::from_env("OPS_MANAGER_PROMOTION_CI_SCRIPT"),
            apply: Hook::from_env("OPS_MANAGER_PROMOTION_APPLY_SCRIPT"),
            orchestrate: Hook::from_env("OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT"),
            registry: Hook::from_env("OPS_MANAGER_FLEET_REGISTRY_SCRIPT"),
        }
    }
}

/// What every stage needs from outside.
#[derive(Clone)]
pub struct Pipeline<'a> {
    /// The executables that replace stages.
    pub hooks: Hooks,
    /// The built-in fleet status stage: the status of a repository, printed.
    pub fleet_status: &'a dyn Fn(&Path) -> StageOutput,
    /// The wall clock.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// A trace id for whoever was given none: the environment's, else a new
    /// one.
    pub trace_id: &'a dyn Fn() -> TraceId,
    /// `GITHUB_STEP_SUMMARY`: where the pipeline collects summaries.
    pub step_summary: Option<PathBuf>,
}

impl fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("hooks", &self.hooks)
            .field("step_summary", &self.step_summary)
            .finish_non_exhaustive()
    }
}

impl Pipeline<'_> {
    /// The trace id that was given, else one from outside.
    pub(crate) fn trace_id(&self, given: Option<&str>) -> TraceId {
        given
            .and_then(TraceId::new)
            .unwrap_or_else(|| (self.trace_id)())
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Appends a summary for people where the pipeline collects them.
    pub(crate) fn append_summary(&self, summary: &str) -> Result<(), PromotionError> {
        use std::io::Write;
        let Some(path) = &self.step_summary else {
            return Ok(());
        };
        let failed = |source| PromotionError::StepSummary {
            path: path.display().to_string(),
            source,
        };
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        file.write_all(summary.as_bytes()).map_err(failed)
    }
}

/// Runs a hook with its streams apart.
pub(crate) fn run_hook(hook: &Hook, arguments: &[String]) -> StageOutput {
    hook.run(arguments, &options(Streams::Separate))
}

/// Runs a hook with both streams in one, for whoever shows them to people.
pub(crate) fn run_hook_merged(hook: &Hook, arguments: &[String]) -> StageOutput {
    hook.run(arguments, &options(Streams::Merged))
}

fn options(streams: Streams) -> RunOptions {
    RunOptions {
        streams,
        time_limit: Some(LONG_STAGE),
        ..RunOptions::default()
    }
}

/// How a command ended that printed a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Printed<D> {
    /// The document.
    pub document: D,
    /// 0, or what the contract says of this decision.
    pub exit_code: i32,
    /// What a failed stage said, for stderr.
    pub diagnostics: Option<String>,
}

impl<D> Printed<D> {
    /// A document with exit code 0.
    pub(crate) fn ok(document: D) -> Self {
        Self {
            document,
            exit_code: 0,
            diagnostics: None,
        }
    }
}

/// A built-in stage's result as its command would have ended.
pub(crate) fn as_output<D: Serialize>(result: Result<Printed<D>, PromotionError>) -> StageOutput {
    match result {
        Ok(printed) => StageOutput {
            exit_code: printed.exit_code,
            stdout: format!("{}\n", json::compact(&printed.document)).into_bytes(),
            stderr: printed.diagnostics.unwrap_or_default().into_bytes(),
            timed_out: false,
        },
        Err(error) => StageOutput {
            exit_code: nonzero(error.exit_code()),
            stderr: format!("error: {error}\n").into_bytes(),
            ..StageOutput::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_in_stage_fails_as_its_command_would() {
        let result: Result<Printed<()>, _> = Err(PromotionError::Required("--repo"));
        let output = as_output(result);
        assert_eq!(output.exit_code, 1);
        assert_eq!(output.stderr_text(), "error: --repo is required\n");
        assert!(output.stdout.is_empty());
    }
}
