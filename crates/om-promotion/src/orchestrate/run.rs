//! The orchestration as a command.

use om_model::json;
use om_model::promotion::ApplyIntent;
use om_model::promotion::orchestrate::{OrchestrateDocument, OrchestrateFiles, StageFailureNote};
use om_stage::StageOutput;
use om_store::{Commit, FleetFile, Scope};
use serde_json::Value;

use super::outcome::Outcome;
use super::request::OrchestrateRequest;
use super::summary::markdown;
use crate::apply::{ApplyRequest, StateFile};
use crate::check::{Check, wrong};
use crate::document::{Identity, Name};
use crate::error::{Cause, PromotionError, plain};
use crate::paths::FleetPaths;
use crate::stage::{Pipeline, Printed, as_output, run_hook_merged};
use crate::{apply, ci};

const CI_RESULT: Name = Name {
    file: "promotion CI result file",
    json: "promotion CI result",
};

/// Runs the check, then the change if one is wanted; writes the result and
/// the summary in one commit, and appends the summary where the pipeline
/// collects them.
///
/// A rollback goes on whatever happens to the check (decision D20). That the
/// documents can be written is known before anything is changed.
pub fn run(
    request: &OrchestrateRequest,
    pipeline: &Pipeline<'_>,
) -> Result<Printed<OrchestrateDocument>, PromotionError> {
    let checked = request.checked()?;
    let paths = FleetPaths::of(&request.repo);
    let files = request.files(&paths);
    let scope = Scope::open(paths.scope_dir())?;
    let _turn = scope.run_lock("promotion-orchestrate")?;
    scope.check(&documents(&files, "", ""))?;
    let intent = checked.intent();
    let evaluated = evaluated(request, &files, pipeline);
    let state = match &evaluated {
        Err(failed) if !failed.has_result => StateFile::Stale,
        _ => StateFile::Decides,
    };
    let (check, check_failure) = match (evaluated, intent) {
        (Ok(check), _) => (check, None),
        (Err(error), Some(ApplyIntent::Rollback)) => passed_over(&files, &error),
        (Err(error), _) => return Err(error.into_inner()),
    };
    let record = match intent {
        None => None,
        Some(intent) => {
            let apply = request.apply(intent, &files.promotion_ci_result_file);
            Some(changed(&apply, state, pipeline)?)
        }
    };
    let outcome = Outcome {
        request,
        mode: checked.mode,
        files,
        check,
        check_failure,
        record,
        now: pipeline.now(),
    };
    let document = outcome.document();
    let summary = markdown(&document);
    let result = format!("{}\n", json::compact(&document));
    let told = scope.commit(documents(&document.files, &result, &summary));
    told.map_err(|cause| match intent {
        None => cause.into(),
        Some(_) => PromotionError::Untold {
            changes: paths.or(None, FleetFile::PromotionApplyRows),
            cause,
        },
    })?;
    pipeline.append_summary(&summary)?;
    Ok(Printed::ok(document))
}

/// The one commit of an orchestration.
fn documents(files: &OrchestrateFiles, result: &str, summary: &str) -> Commit {
    Commit::new()
        .document(&files.result_file, result)
        .document(&files.summary_file, summary)
}

/// The orchestration as a stage of another command: by the hook, if there is
/// one. A hook's streams are one.
pub(crate) fn stage(request: &OrchestrateRequest, pipeline: &Pipeline<'_>) -> StageOutput {
    match &pipeline.hooks.orchestrate {
        None => as_output(run(request, pipeline)),
        Some(hook) => run_hook_merged(hook, &request.arguments()),
    }
}

/// A check that failed, and whether it left a result nevertheless.
struct FailedCheck {
    error: PromotionError,
    has_result: bool,
}

impl FailedCheck {
    fn into_inner(self) -> PromotionError {
        self.error
    }
}

/// Runs the check and reads its result.
fn evaluated(
    request: &OrchestrateRequest,
    files: &OrchestrateFiles,
    pipeline: &Pipeline<'_>,
) -> Result<Check, FailedCheck> {
    let path = &files.promotion_ci_result_file;
    let before = Identity::of(path);
    let ci = request.ci(path, &files.promotion_ci_summary_file);
    let output = ci::stage(&ci, pipeline, false);
    let has_result = before.has_been_written(path);
    let failed = |error| FailedCheck { error, has_result };
    if !output.success() {
        return Err(failed(PromotionError::Stage(Box::new(output))));
    }
    let document = CI_RESULT.read(path).map_err(failed)?;
    if !has_result {
        // An older result decides on nothing and is not shown as this one.
        return Err(failed(PromotionError::NotWritten {
            what: CI_RESULT.file,
            path: path.clone(),
        }));
    }
    Check::read(&document).map_err(|cause| failed(CI_RESULT.invalid(path, cause)))
}

/// What a rollback knows of a check that failed.
fn passed_over(
    files: &OrchestrateFiles,
    failed: &FailedCheck,
) -> (Check, Option<StageFailureNote>) {
    let note = StageFailureNote {
        exit_code: failed.error.exit_code(),
        message: failed.error.to_string(),
    };
    let result = CI_RESULT.read(&files.promotion_ci_result_file);
    let check = result.ok().filter(|_| failed.has_result);
    let check = check.and_then(|document| Check::read(&document).ok());
    (check.unwrap_or_default(), Some(note))
}

/// Changes the rollout; what that printed, `null` or an object.
fn changed(
    request: &ApplyRequest,
    state: StateFile,
    pipeline: &Pipeline<'_>,
) -> Result<Value, PromotionError> {
    let output = apply::stage(request, state, pipeline);
    if !output.success() {
        return Err(PromotionError::Stage(Box::new(output)));
    }
    let invalid = |cause: Cause| PromotionError::StageOutput {
        what: "promotion apply",
        cause,
        text: plain(&output.stderr_text()).to_owned(),
    };
    match json::parse(&output.stdout) {
        Ok(record @ (Value::Object(_) | Value::Null)) => Ok(record),
        Ok(other) => Err(invalid(wrong("document", &other, "an object").into())),
        Err(cause) => Err(invalid(cause.into())),
    }
}

impl OrchestrateRequest {
    fn files(&self, paths: &FleetPaths) -> OrchestrateFiles {
        OrchestrateFiles {
            result_file: paths.or(
                self.result_file.as_ref(),
                FleetFile::PromotionOrchestrateResult,
            ),
            summary_file: paths.or_named(
                self.summary_file.as_ref(),
                "promotion-orchestrate-summary.md",
            ),
            promotion_ci_result_file: paths.or(
                self.promotion_ci_result_file.as_ref(),
                FleetFile::PromotionCiResult,
            ),
            promotion_ci_summary_file: paths.or_named(
                self.promotion_ci_summary_file.as_ref(),
                "promotion-ci-summary.md",
            ),
        }
    }
}
