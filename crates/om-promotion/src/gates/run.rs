//! The gates as a command: gather, evaluate, commit.

use std::path::{Path, PathBuf};

use om_model::json;
use om_model::promotion::Decision;
use om_model::promotion::gates::{FleetStatusSource, GateThresholds, GatesDocument, GatesSource};
use om_store::{Commit, FleetFile, Scope, View, read_artifact};

use super::{DrillEvidence, GatesContext, GatesInputs, StatusEvidence, evaluate, handoff};
use crate::document::Name;
use crate::error::PromotionError;
use crate::evaluator::Overrides;
use crate::paths::FleetPaths;
use crate::stage::{Pipeline, Printed, run_hook};

const STATUS: Name = Name {
    file: "fleet status file",
    json: "fleet status",
};
const DRILLS: Name = Name {
    file: "drill state file",
    json: "drill state",
};

/// What the built-in fleet status stage is called.
const STATUS_COMMAND: &str = "ops-manager-fleet-status";

/// Exit code of `hold` with `--fail-on-hold`.
const HOLD: i32 = 2;

/// What somebody wants of the gates. What is empty was not given.
#[derive(Clone, Debug, Default)]
pub struct GatesRequest {
    /// The resolved repository.
    pub repo: PathBuf,
    /// Evidence and thresholds other than the usual ones.
    pub overrides: Overrides,
    /// `--promotion-state-file`
    pub promotion_state_file: Option<String>,
    /// `--promotion-telemetry-file`
    pub promotion_telemetry_file: Option<String>,
    /// `--trace-id`
    pub trace_id: Option<String>,
    /// `--fail-on-hold`
    pub fail_on_hold: bool,
}

/// Evaluates the gates, replaces the promotion state and appends the same
/// document to its telemetry, in one commit.
///
/// Evidence that is missing, stale or broken holds the promotion; evidence of
/// a wrong type is an error, and nothing is written.
pub fn run(
    request: &GatesRequest,
    pipeline: &Pipeline<'_>,
) -> Result<Printed<GatesDocument>, PromotionError> {
    let thresholds = request.overrides.thresholds.read()?;
    let paths = FleetPaths::of(&request.repo);
    let source = request.source(&paths);
    let given = source.fleet_status_file.as_deref();
    let given = given.map(status_in).transpose()?;
    let scope = Scope::open(paths.scope_dir())?;
    let _turn = scope.run_lock("promotion-gates")?;
    scope.recover()?;
    paths.make_drills_folder();
    let status = given.map_or_else(|| made_status(&request.repo, pipeline), Ok)?;
    let runs = &source.handoff_telemetry_file;
    let inputs = GatesInputs {
        status,
        handoff: handoff::gather(runs, &scope, thresholds.window_executions)?,
        drills: drills(&source.drill_state_file)?,
    };
    let context = request.context(source, thresholds, pipeline);
    let document = evaluate(&inputs, &context);
    let bytes = json::compact(&document);
    let files = &context.source;
    scope.commit(
        Commit::new()
            .document(&files.promotion_state_file, format!("{bytes}\n"))
            .row(&files.promotion_telemetry_file, bytes),
    )?;
    let is_held = request.fail_on_hold && document.summary.decision == Decision::Hold;
    Ok(Printed {
        exit_code: if is_held { HOLD } else { 0 },
        ..Printed::ok(document)
    })
}

/// What [`run`] would decide now; nothing is written.
pub fn look(
    request: &GatesRequest,
    pipeline: &Pipeline<'_>,
) -> Result<GatesDocument, PromotionError> {
    let thresholds = request.overrides.thresholds.read()?;
    let paths = FleetPaths::of(&request.repo);
    let source = request.source(&paths);
    let given = source.fleet_status_file.as_deref();
    let given = given.map(status_in).transpose()?;
    let status = given.map_or_else(|| made_status(&request.repo, pipeline), Ok)?;
    let view = View::open(paths.scope_dir())?;
    let runs = &source.handoff_telemetry_file;
    let inputs = GatesInputs {
        status,
        handoff: handoff::look(runs, &view, thresholds.window_executions)?,
        drills: drills(&source.drill_state_file)?,
    };
    let context = request.context(source, thresholds, pipeline);
    Ok(evaluate(&inputs, &context))
}

impl GatesRequest {
    fn context(
        &self,
        source: GatesSource,
        thresholds: GateThresholds,
        pipeline: &Pipeline<'_>,
    ) -> GatesContext {
        GatesContext {
            now: pipeline.now(),
            trace_id: pipeline.trace_id(self.trace_id.as_deref()),
            source,
            thresholds,
        }
    }

    fn source(&self, paths: &FleetPaths) -> GatesSource {
        let given = &self.overrides;
        GatesSource {
            repo_path: self.repo.display().to_string(),
            fleet_status_source: if given.fleet_status_file.is_some() {
                FleetStatusSource::File
            } else {
                FleetStatusSource::Generated
            },
            fleet_status_file: given.fleet_status_file.clone(),
            handoff_telemetry_file: paths.or(
                given.handoff_telemetry_file.as_ref(),
                FleetFile::HandoffRows,
            ),
            drill_state_file: paths.or(given.drill_state_file.as_ref(), FleetFile::DrillEvidence),
            promotion_state_file: paths.or(
                self.promotion_state_file.as_ref(),
                FleetFile::PromotionState,
            ),
            promotion_telemetry_file: paths.or(
                self.promotion_telemetry_file.as_ref(),
                FleetFile::PromotionRows,
            ),
        }
    }
}

/// The fleet's status in the file that was named.
fn status_in(path: &str) -> Result<StatusEvidence, PromotionError> {
    let document = STATUS.read(path)?;
    StatusEvidence::read(&document).map_err(|cause| STATUS.invalid(path, cause))
}

/// The fleet's status as the stage makes it.
fn made_status(repo: &Path, pipeline: &Pipeline<'_>) -> Result<StatusEvidence, PromotionError> {
    let (command, output) = match &pipeline.hooks.fleet_status {
        None => (STATUS_COMMAND, (pipeline.fleet_status)(repo)),
        Some(hook) => {
            let arguments = ["--repo".to_owned(), repo.display().to_string()];
            (hook.variable(), run_hook(hook, &arguments))
        }
    };
    if !output.success() {
        return Err(PromotionError::FleetStatus {
            command: command.to_owned(),
            text: output.stderr_text(),
        });
    }
    let invalid = |cause| PromotionError::FleetStatusOutput(cause);
    let document = json::parse(&output.stdout).map_err(|cause| invalid(cause.into()))?;
    StatusEvidence::read(&document).map_err(|cause| invalid(cause.into()))
}

fn drills(path: &str) -> Result<DrillEvidence, PromotionError> {
    let artifact = read_artifact(Path::new(path))?;
    DrillEvidence::read(&artifact).map_err(|cause| DRILLS.invalid(path, cause))
}
