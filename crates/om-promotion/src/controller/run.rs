//! The controller as a command.

use std::path::Path;

use om_model::envelope::SchemaVersion;
use om_model::json::WrongType;
use om_model::promotion::controller::{
    ControllerDocument, ControllerFiles, ControllerGovernance, ControllerMode, ControllerObserved,
    ControllerPending, ControllerReason, ControllerStage, PendingDecision,
};
use om_model::{Artifact, Timestamp, json};
use om_store::{Commit, FleetFile, Scope, read_artifact};
use serde_json::Value;

use super::budget::{Wish, budget};
use super::freeze::{self, FreezeError};
use super::freshness::freshness;
use super::history::Usage;
use super::outcome::{Ending, Facts, Failure, Findings};
use super::request::{Checked, ControllerRequest, StageRequests, flags, shown};
use super::stages::{Evaluated, Stages};
use super::{pending, verification};
use crate::apply::Governance;
use crate::check::{unknown, wrong};
use crate::document::Name;
use crate::error::PromotionError;
use crate::paths::FleetPaths;
use crate::stage::{Pipeline, Printed};

const STATE: Name = Name {
    file: "prior controller state file",
    json: "prior controller state",
};
const FREEZE: Name = Name {
    file: "freeze windows file",
    json: "freeze windows",
};

/// One run of the controller: its document replaces the state and is appended
/// to the telemetry, in one commit.
///
/// A stage that fails is a run that failed, with a document and the stage's
/// exit code. An error is about what the controller itself reads, and is
/// found before anything is applied.
pub fn run(
    request: &ControllerRequest,
    pipeline: &Pipeline<'_>,
) -> Result<Printed<ControllerDocument>, PromotionError> {
    let checked = request.checked()?;
    let paths = FleetPaths::of(&request.repo);
    let scope = Scope::open(paths.scope_dir())?;
    let _turn = scope.run_lock("promotion-controller")?;
    scope.recover()?;
    let controller = Controller {
        request,
        checked,
        pipeline,
        scope,
        pending_file: paths.or(None, FleetFile::PromotionControllerPending),
        apply_rows: paths.or(None, FleetFile::PromotionApplyRows),
    };
    let context = request.context(pipeline.trace_id(request.trace_id.as_deref()));
    let files = request.files(&paths);
    let mut observed = observe(&files.state_file)?;
    let interrupted = pending::read(&controller.pending_file)?;
    let may_change =
        interrupted.is_some() || controller.checked.mode != ControllerMode::ProposeOnly;
    controller.check_writable(&files, may_change)?;
    if let Some(interrupted) = interrupted {
        let recovered = controller.recover(&interrupted, &files, observed)?;
        if recovered.exit_code != 0 && recovered.document.execution.apply_executed {
            // What was applied could not be undone: nothing is added to it.
            return Ok(recovered);
        }
        observed = observe(&files.state_file)?;
    }
    let facts = Facts {
        started_at: pipeline.now(),
        mode: controller.checked.mode,
        intent: controller.checked.intent,
        step: controller.checked.step,
        idempotency_key: request.idempotency_key.clone(),
        governance: shown(&request.governance),
        context,
        files,
        observed,
        recovered: false,
    };
    let (findings, ending) = controller.pass(&facts)?;
    controller.finish(&facts, &findings, &ending, None)
}

/// What one run works with.
struct Controller<'a> {
    request: &'a ControllerRequest,
    checked: Checked,
    pipeline: &'a Pipeline<'a>,
    scope: Scope,
    pending_file: String,
    apply_rows: String,
}

impl<'a> Controller<'a> {
    /// Fails, before anything is applied, if what the run and the stages after
    /// its evaluation tell could not be written.
    fn check_writable(
        &self,
        files: &ControllerFiles,
        may_change: bool,
    ) -> Result<(), PromotionError> {
        self.scope.check(&document(files, "{}"))?;
        if !may_change {
            return Ok(());
        }
        for (result, summary) in [
            (&files.apply_result_file, &files.apply_summary_file),
            (&files.verify_result_file, &files.verify_summary_file),
            (&files.rollback_result_file, &files.rollback_summary_file),
        ] {
            let documents = Commit::new().document(result, "").document(summary, "");
            self.scope.check(&documents)?;
        }
        Ok(())
    }

    /// Evaluates and decides; then proposes, holds, or applies.
    fn pass(&self, facts: &Facts) -> Result<(Findings, Ending), PromotionError> {
        let mut findings = nothing_found();
        let stages = self.stages(facts);
        let evaluated = match stages.evaluate()? {
            Ok(evaluated) => evaluated,
            Err(failure) => return Ok((findings, Ending::Failed(failure))),
        };
        self.judge(facts, evaluated, &mut findings)?;
        if facts.mode == ControllerMode::ProposeOnly {
            return Ok((findings, Ending::Proposed));
        }
        let is_promoted = findings.promotion.promotion_decision == "promote";
        let is_fresh = findings.freshness.as_ref().is_some_and(|found| found.pass);
        let budget = findings.budget.as_ref();
        if !is_promoted || !is_fresh || budget.is_none_or(|found| !found.reasons.is_empty()) {
            return Ok((findings, Ending::Held));
        }
        self.begin(facts, &findings)?;
        let ending = self.apply(stages, facts, &mut findings)?;
        Ok((findings, ending))
    }

    /// Freshness and budget of the decision.
    fn judge(
        &self,
        facts: &Facts,
        evaluated: Evaluated,
        findings: &mut Findings,
    ) -> Result<(), PromotionError> {
        let limits = &self.checked.limits;
        let window = limits.budget_window_hours.saturating_mul(3600);
        let window = i64::try_from(window).unwrap_or(i64::MAX);
        let from = facts.started_at.epoch_seconds().saturating_sub(window);
        let usage = Usage::read(&facts.files.telemetry_file, from)?;
        let frozen = match &self.request.freeze_windows_file {
            None => Vec::new(),
            Some(path) => freeze::active(&FREEZE.read(path)?, facts.started_at)
                .map_err(|error| unusable_freeze(path, error))?,
        };
        let wish = Wish {
            intent: facts.intent,
            step: facts.step,
        };
        findings.promotion = evaluated.promotion;
        findings.freshness = Some(freshness(
            evaluated.generated_at.as_ref(),
            limits.decision_ttl_minutes,
            facts.started_at,
            self.pipeline.now(),
        ));
        findings.budget = Some(budget(limits, &usage, frozen, wish, facts.started_at));
        Ok(())
    }

    /// Records that this run is about to apply.
    fn begin(&self, facts: &Facts, findings: &Findings) -> Result<(), PromotionError> {
        let pending = ControllerPending {
            schema_version: SchemaVersion::V1,
            started_at: facts.started_at,
            mode: facts.mode,
            decision: findings.promotion.clone(),
            apply_intent: facts.intent,
            expand_step: facts.step,
            idempotency_key: facts.idempotency_key.clone(),
            governance: facts.governance.clone(),
            context: facts.context.clone(),
            files: facts.files.clone(),
            apply_telemetry_bytes: pending::length(&self.apply_rows),
        };
        let line = format!("{}\n", json::compact(&pending));
        self.scope
            .commit(Commit::new().document(&self.pending_file, line))?;
        Ok(())
    }

    /// Applies, verifies, and rolls back what could not be verified.
    fn apply(
        &self,
        stages: Stages<'_>,
        facts: &Facts,
        findings: &mut Findings,
    ) -> Result<Ending, PromotionError> {
        findings.verification = match stages.apply(facts.intent) {
            Ok(None) => stages.verify(),
            Ok(Some(reason)) => verification::failed(reason),
            Err(failure) if self.has_applied()? => {
                tracing::debug!(text = failure.text, "applied, but failed after that");
                verification::failed(ControllerReason::ControllerVerificationResultMissing)
            }
            Err(failure) => return Ok(Ending::Failed(failure)),
        };
        if findings.verification.reason_codes.is_empty() {
            return Ok(Ending::Applied);
        }
        Ok(match stages.rollback(self.request.governance.clone()) {
            Ok(()) => Ending::RolledBack,
            Err(failure) => Ending::Failed(failure),
        })
    }

    /// Whether the change that is recorded as about to be made was made.
    fn has_applied(&self) -> Result<bool, PromotionError> {
        match pending::read(&self.pending_file)? {
            Some(pending) => pending::has_applied(&pending, &self.apply_rows),
            None => Ok(false),
        }
    }

    /// Writes the row of a run that was killed: what it applied is undone,
    /// unless somebody did so since.
    ///
    /// The row goes where this run looks for it, because it counts against
    /// this run's budget; and to where the killed one would have written it,
    /// if that is elsewhere and possible.
    fn recover(
        &self,
        interrupted: &ControllerPending,
        files: &ControllerFiles,
        observed: ControllerObserved,
    ) -> Result<Printed<ControllerDocument>, PromotionError> {
        let now = self.pipeline.now();
        let facts = Facts {
            started_at: now,
            mode: interrupted.mode,
            intent: interrupted.apply_intent,
            step: interrupted.expand_step,
            idempotency_key: interrupted.idempotency_key.clone(),
            governance: interrupted.governance.clone(),
            context: interrupted.context.clone(),
            files: files.clone(),
            observed,
            recovered: true,
        };
        let mut findings = Findings {
            promotion: interrupted.decision.clone(),
            ..nothing_found()
        };
        let ending = if pending::has_applied(interrupted, &self.apply_rows)? {
            findings.verification =
                verification::failed(ControllerReason::ControllerRunInterrupted);
            findings.verification.ran = false;
            if pending::is_undone(interrupted, &self.apply_rows)? {
                Ending::RolledBack
            } else {
                let governance = self.answerable(&interrupted.governance, now);
                match self.stages(&facts).rollback(governance) {
                    Ok(()) => Ending::RolledBack,
                    Err(failure) => Ending::Failed(failure),
                }
            }
        } else {
            Ending::Failed(Failure {
                stage: ControllerStage::Apply,
                exit_code: 1,
                text: "error: the run was ended before it applied; nothing was changed\n"
                    .to_owned(),
            })
        };
        let elsewhere = &interrupted.files.telemetry_file;
        if *elsewhere == files.telemetry_file {
            return self.finish(&facts, &findings, &ending, None);
        }
        self.finish(&facts, &findings, &ending, Some(elsewhere))
    }

    /// Who answers for undoing an interrupted run: whoever answered for it,
    /// unless that has lapsed and somebody answers for this one.
    fn answerable(&self, interrupted: &ControllerGovernance, now: Timestamp) -> Governance {
        let deadline = interrupted.review_by.as_deref().and_then(Timestamp::parse);
        let has_lapsed = deadline.is_none_or(|deadline| deadline <= now);
        let own = &self.request.governance;
        if has_lapsed && own.missing().is_none() {
            own.clone()
        } else {
            flags(interrupted)
        }
    }

    /// Commits the run's document, its row also `elsewhere` if possible; and
    /// forgets that it was about to apply, unless what was applied could
    /// neither be verified nor undone: that is left to the next run.
    fn finish(
        &self,
        facts: &Facts,
        findings: &Findings,
        ending: &Ending,
        elsewhere: Option<&String>,
    ) -> Result<Printed<ControllerDocument>, PromotionError> {
        let document = facts.document(findings, ending);
        let told = self
            .scope
            .commit(self.last_commit(facts, ending, &document, elsewhere));
        told.map_err(|cause| {
            if document.execution.apply_executed {
                let changes = self.apply_rows.clone();
                PromotionError::Untold { changes, cause }
            } else {
                cause.into()
            }
        })?;
        Ok(Printed {
            document,
            exit_code: ending.exit_code(),
            diagnostics: ending.diagnostics(),
        })
    }

    fn last_commit(
        &self,
        facts: &Facts,
        ending: &Ending,
        run: &ControllerDocument,
        elsewhere: Option<&String>,
    ) -> Commit {
        let row = json::compact(run);
        // Without a row of the change nobody could tell later what to undo.
        let is_left = match ending {
            Ending::Failed(failure) if failure.stage == ControllerStage::Rollback => {
                self.has_applied().unwrap_or(true)
            }
            _ => false,
        };
        let told = || {
            let told = document(&facts.files, &row);
            if is_left {
                told
            } else {
                told.removal(&self.pending_file)
            }
        };
        let everywhere = elsewhere.map(|path| told().row(path, row.as_str()));
        everywhere
            .filter(|commit| self.scope.check(commit).is_ok())
            .unwrap_or_else(told)
    }

    fn stages<'b>(&self, facts: &'b Facts) -> Stages<'b>
    where
        'a: 'b,
    {
        Stages {
            requests: StageRequests {
                request: self.request,
                context: &facts.context,
                files: &facts.files,
            },
            pipeline: self.pipeline,
        }
    }
}

/// The document of a run, in its state and its telemetry.
fn document(files: &ControllerFiles, row: &str) -> Commit {
    Commit::new()
        .document(&files.state_file, format!("{row}\n"))
        .row(&files.telemetry_file, row)
}

/// What a run knows before it has evaluated anything.
fn nothing_found() -> Findings {
    Findings {
        promotion: PendingDecision {
            promotion_decision: unknown(),
            ..PendingDecision::default()
        },
        freshness: None,
        budget: None,
        verification: verification::skipped(),
    }
}

/// The run before, from its state.
fn observe(path: &str) -> Result<ControllerObserved, PromotionError> {
    let document = match read_artifact(Path::new(path))? {
        Artifact::Absent | Artifact::Document(Value::Null) => {
            return Ok(ControllerObserved::default());
        }
        Artifact::Broken(cause) => return Err(STATE.invalid(path, cause)),
        Artifact::Document(document) => document,
    };
    let Value::Object(state) = &document else {
        let cause: WrongType = wrong("document", &document, "an object");
        return Err(STATE.invalid(path, cause));
    };
    let found = |name: &str| json::present(state.get(name)).cloned().unwrap_or_default();
    Ok(ControllerObserved {
        has_previous_state: true,
        previous_status: found("status"),
        previous_timestamp: found("timestamp"),
    })
}

fn unusable_freeze(path: &str, error: FreezeError) -> PromotionError {
    match error {
        FreezeError::Document(cause) => FREEZE.invalid(path, cause),
        FreezeError::Entry(cause) => PromotionError::FreezeWindow {
            path: path.to_owned(),
            cause,
        },
    }
}
