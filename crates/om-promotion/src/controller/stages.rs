//! Running the stages, and what their files say of this run.

use std::path::Path;

use om_model::promotion::controller::{
    ControllerIntent, ControllerReason, ControllerStage, PendingDecision, Verification,
};
use om_model::{Artifact, json};
use om_stage::StageOutput;
use om_store::read_artifact;
use serde_json::{Map, Value};

use super::outcome::Failure;
use super::request::StageRequests;
use super::verification;
use crate::apply::Governance;
use crate::check::{Check, array, unknown, wrong};
use crate::document::{Identity, Name};
use crate::error::PromotionError;
use crate::stage::Pipeline;
use crate::{ci, orchestrate};

const PREVIEW: Name = Name {
    file: "preview result file",
    json: "preview",
};
const EVALUATED: Name = Name {
    file: "evaluate promotion CI result file",
    json: "evaluate promotion CI",
};
const ROLLED_BACK: Name = Name {
    file: "rollback orchestration result file",
    json: "rollback orchestration",
};

/// What the evaluate stage said.
#[derive(Clone, Debug)]
pub(super) struct Evaluated {
    pub(super) promotion: PendingDecision,
    /// When it was decided, as found.
    pub(super) generated_at: Option<Value>,
}

/// The stages of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages<'a> {
    pub(super) requests: StageRequests<'a>,
    pub(super) pipeline: &'a Pipeline<'a>,
}

impl Stages<'_> {
    /// Evaluates: `Ok(Err(_))` is a stage that failed.
    pub(super) fn evaluate(self) -> Result<Result<Evaluated, Failure>, PromotionError> {
        let files = self.requests.files;
        let (preview, check) = (&files.preview_result_file, &files.promotion_ci_result_file);
        let before = (Identity::of(preview), Identity::of(check));
        let output = orchestrate::stage(&self.requests.evaluate(), self.pipeline);
        if !output.success() {
            return Ok(Err(failure(ControllerStage::Evaluate, &output)));
        }
        written(PREVIEW, &before.0, preview)?;
        let promotion = previewed(preview)?;
        written(EVALUATED, &before.1, check)?;
        let generated_at = decided_at(check)?;
        Ok(Ok(Evaluated {
            promotion,
            generated_at,
        }))
    }

    /// Applies; then says whether its result is there and is of this run.
    pub(super) fn apply(
        self,
        intent: ControllerIntent,
    ) -> Result<Option<ControllerReason>, Failure> {
        let path = &self.requests.files.apply_result_file;
        let before = Identity::of(path);
        let output = orchestrate::stage(&self.requests.apply(intent), self.pipeline);
        if !output.success() {
            return Err(failure(ControllerStage::Apply, &output));
        }
        Ok(if !before.has_been_written(path) {
            Some(ControllerReason::ControllerVerificationResultMissing)
        } else if artifact(path).document().is_none() {
            Some(ControllerReason::ControllerVerificationResultInvalid)
        } else {
            None
        })
    }

    /// Runs the check again, on the fleet as it is now.
    pub(super) fn verify(self) -> Verification {
        let path = &self.requests.files.verify_result_file;
        let before = Identity::of(path);
        let output = ci::stage(&self.requests.verify(), self.pipeline, true);
        let is_written = before.has_been_written(path);
        verification::judge(output.success(), is_written, &artifact(path))
    }

    /// Undoes the change. A result that is missing or broken is a failed
    /// stage: nobody knows then what was done.
    pub(super) fn rollback(self, governance: Governance) -> Result<(), Failure> {
        let path = &self.requests.files.rollback_result_file;
        let before = Identity::of(path);
        let request = self.requests.rollback(governance);
        let output = orchestrate::stage(&request, self.pipeline);
        if !output.success() {
            return Err(failure(ControllerStage::Rollback, &output));
        }
        written(ROLLED_BACK, &before, path)
            .and_then(|()| ROLLED_BACK.read(path).map(|_| ()))
            .map_err(|error| Failure {
                stage: ControllerStage::Rollback,
                exit_code: 1,
                text: format!("error: {error}\n"),
            })
    }
}

/// A stage that failed, with all that it printed.
fn failure(stage: ControllerStage, output: &StageOutput) -> Failure {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Failure {
        stage,
        exit_code: output.exit_code,
        text: String::from_utf8_lossy(&both).into_owned(),
    }
}

fn written(name: Name, before: &Identity, path: &str) -> Result<(), PromotionError> {
    if before.has_been_written(path) {
        return Ok(());
    }
    Err(PromotionError::NotWritten {
        what: name.file,
        path: path.to_owned(),
    })
}

/// The document at `path`; what cannot be read is not there.
fn artifact(path: &str) -> Artifact {
    read_artifact(Path::new(path)).unwrap_or_default()
}

fn previewed(path: &str) -> Result<PendingDecision, PromotionError> {
    let preview = PREVIEW.read_object(path)?;
    let invalid = |cause| PREVIEW.invalid(path, cause);
    let nothing = Map::new();
    let summary = match json::present(preview.get("summary")) {
        None => &nothing,
        Some(Value::Object(summary)) => summary,
        Some(other) => return Err(PREVIEW.invalid(path, wrong("summary", other, "an object"))),
    };
    Ok(PendingDecision {
        promotion_decision: json::present(preview.get("decision")).map_or_else(unknown, json::text),
        promotion_reason_codes: array(summary, "reasonCodes", "summary.reasonCodes")
            .map_err(invalid)?,
        failed_gates: array(summary, "failedGates", "summary.failedGates").map_err(invalid)?,
    })
}

/// `generatedAt` of the check's result; an empty file does not say.
fn decided_at(path: &str) -> Result<Option<Value>, PromotionError> {
    if artifact(path).is_blank() {
        return Ok(None);
    }
    let document = EVALUATED.read(path)?;
    let check = Check::read(&document).map_err(|cause| EVALUATED.invalid(path, cause))?;
    Ok(check.generated_at)
}
