//! What somebody wants of the controller, and what its stages are told.

use std::path::{Path, PathBuf};

use om_model::TraceId;
use om_model::promotion::controller::{
    ControllerContext, ControllerFiles, ControllerGovernance, ControllerIntent, ControllerMode,
};
use om_model::promotion::orchestrate::OrchestrateMode;
use om_store::FleetFile as F;

use crate::apply::{Governance, split_refs};
use crate::ci::CiRequest;
use crate::error::PromotionError;
use crate::evaluator::{Overrides, expand_step, integer};
use crate::orchestrate::{OrchestrateRequest, apply_intent};
use crate::paths::FleetPaths;

/// What somebody wants of the controller. What is empty was not given.
#[derive(Clone, Debug, Default)]
pub struct ControllerRequest {
    /// The resolved repository.
    pub repo: PathBuf,
    /// `--mode`
    pub mode: Option<String>,
    /// `--apply-intent`
    pub apply_intent: Option<String>,
    /// `--expand-step`
    pub expand_step: Option<String>,
    /// Limits of what it may do.
    pub limits: LimitTexts,
    /// `--freeze-windows-file`
    pub freeze_windows_file: Option<String>,
    /// Evidence and thresholds other than the usual ones.
    pub overrides: Overrides,
    /// `--skip-on-missing-evidence`
    pub skip_on_missing_evidence: bool,
    /// Paths other than the usual ones.
    pub files: FileTexts,
    /// `--idempotency-key`
    pub idempotency_key: Option<String>,
    /// `--trace-id`
    pub trace_id: Option<String>,
    /// `--loop-id`
    pub loop_id: Option<String>,
    /// `--horizon-ref`
    pub horizon_ref: Option<String>,
    /// Every `--evidence-ref`, empty ones too.
    pub evidence_refs: Vec<String>,
    /// Who, why, until when.
    pub governance: Governance,
}

/// Limits as somebody typed them.
#[derive(Clone, Debug, Default)]
pub struct LimitTexts {
    /// `--decision-ttl-minutes`
    pub decision_ttl_minutes: Option<String>,
    /// `--budget-window-hours`
    pub budget_window_hours: Option<String>,
    /// `--max-applies-per-window`
    pub max_applies_per_window: Option<String>,
    /// `--max-expand-step-per-window`
    pub max_expand_step_per_window: Option<String>,
    /// `--cooldown-minutes`
    pub cooldown_minutes: Option<String>,
}

/// Paths as somebody typed them.
#[derive(Clone, Debug, Default)]
pub struct FileTexts {
    /// `--state-file`
    pub state: Option<String>,
    /// `--telemetry-file`
    pub telemetry: Option<String>,
    /// `--promotion-ci-result-file`
    pub ci_result: Option<String>,
    /// `--promotion-ci-summary-file`
    pub ci_summary: Option<String>,
    /// `--verify-result-file`
    pub verify_result: Option<String>,
    /// `--verify-summary-file`
    pub verify_summary: Option<String>,
    /// `--preview-result-file`
    pub preview_result: Option<String>,
    /// `--preview-summary-file`
    pub preview_summary: Option<String>,
    /// `--apply-result-file`
    pub apply_result: Option<String>,
    /// `--apply-summary-file`
    pub apply_summary: Option<String>,
    /// `--rollback-result-file`
    pub rollback_result: Option<String>,
    /// `--rollback-summary-file`
    pub rollback_summary: Option<String>,
}

/// Limits of what the controller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) decision_ttl_minutes: u64,
    pub(super) budget_window_hours: u64,
    pub(super) max_applies_per_window: u64,
    /// Percent points.
    pub(super) max_expand_step_per_window: u64,
    pub(super) cooldown_minutes: u64,
}

/// A request whose flags are fine by themselves.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) mode: ControllerMode,
    pub(super) intent: ControllerIntent,
    /// Percent points, 1 to 100.
    pub(super) step: u64,
    pub(super) limits: Limits,
}

impl ControllerRequest {
    /// Checks the flags in the contract's order (chapter 07 §5.2), the
    /// repository excepted, and that the freeze windows are there.
    pub fn check(&self) -> Result<(), PromotionError> {
        self.checked().map(|_| ())
    }

    pub(super) fn checked(&self) -> Result<Checked, PromotionError> {
        let mode = match &self.mode {
            None => ControllerMode::ProposeOnly,
            Some(text) => ControllerMode::parse(text).ok_or(PromotionError::Flag {
                flag: "--mode",
                expected: "one of propose_only, guarded_auto_apply",
            })?,
        };
        let intent = apply_intent(self.apply_intent.as_ref())?;
        let step = expand_step(self.expand_step.as_ref())?;
        let limits = self.limits.read()?;
        match self.governance.missing() {
            Some(flag) if mode == ControllerMode::GuardedAutoApply => {
                let mode = mode.as_str();
                return Err(PromotionError::RequiredForMode { flag, mode });
            }
            _ => {}
        }
        match &self.freeze_windows_file {
            Some(path) if !Path::new(path).is_file() => Err(PromotionError::NotFound {
                what: "freeze windows file",
                path: path.clone(),
            }),
            _ => Ok(Checked {
                mode,
                intent,
                step,
                limits,
            }),
        }
    }

    /// Paths as used.
    pub(super) fn files(&self, paths: &FleetPaths) -> ControllerFiles {
        let given = &self.files;
        let summary = |given: &Option<String>, name: &str| paths.or_named(given.as_ref(), name);
        let result = |given: &Option<String>, file| paths.or(given.as_ref(), file);
        ControllerFiles {
            state_file: result(&given.state, F::PromotionControllerState),
            telemetry_file: result(&given.telemetry, F::PromotionControllerRows),
            promotion_ci_result_file: result(&given.ci_result, F::PromotionControllerCiResult),
            promotion_ci_summary_file: summary(
                &given.ci_summary,
                "promotion-controller-ci-summary.md",
            ),
            verify_result_file: result(&given.verify_result, F::PromotionControllerVerifyCiResult),
            verify_summary_file: summary(
                &given.verify_summary,
                "promotion-controller-verify-ci-summary.md",
            ),
            preview_result_file: result(&given.preview_result, F::PromotionControllerPreviewResult),
            preview_summary_file: summary(
                &given.preview_summary,
                "promotion-controller-preview-summary.md",
            ),
            apply_result_file: result(&given.apply_result, F::PromotionControllerApplyResult),
            apply_summary_file: summary(
                &given.apply_summary,
                "promotion-controller-apply-summary.md",
            ),
            rollback_result_file: result(
                &given.rollback_result,
                F::PromotionControllerRollbackResult,
            ),
            rollback_summary_file: summary(
                &given.rollback_summary,
                "promotion-controller-rollback-summary.md",
            ),
        }
    }

    /// What the run is about.
    pub(super) fn context(&self, trace_id: TraceId) -> ControllerContext {
        ControllerContext {
            trace_id,
            loop_id: self.loop_id.clone(),
            horizon_ref: self.horizon_ref.clone(),
            evidence_refs: split_refs(&self.evidence_refs).map(str::to_owned).collect(),
        }
    }
}

impl LimitTexts {
    fn read(&self) -> Result<Limits, PromotionError> {
        let at_least = |flag, value: &Option<String>, least, default| {
            integer(flag, value.as_ref(), least, default)
        };
        Ok(Limits {
            decision_ttl_minutes: at_least(
                "--decision-ttl-minutes",
                &self.decision_ttl_minutes,
                1,
                60,
            )?,
            budget_window_hours: at_least(
                "--budget-window-hours",
                &self.budget_window_hours,
                1,
                24,
            )?,
            max_applies_per_window: at_least(
                "--max-applies-per-window",
                &self.max_applies_per_window,
                0,
                1,
            )?,
            max_expand_step_per_window: at_least(
                "--max-expand-step-per-window",
                &self.max_expand_step_per_window,
                0,
                25,
            )?,
            cooldown_minutes: at_least("--cooldown-minutes", &self.cooldown_minutes, 0, 60)?,
        })
    }
}

/// The governance flags as a run's document shows them.
pub(super) fn shown(governance: &Governance) -> ControllerGovernance {
    ControllerGovernance {
        actor: governance.by.clone(),
        approval_ref: governance.approval_ref.clone(),
        rationale: governance.rationale.clone(),
        review_by: governance.review_by.clone(),
    }
}

/// The governance flags that a run's document shows.
pub(super) fn flags(shown: &ControllerGovernance) -> Governance {
    Governance {
        by: shown.actor.clone(),
        approval_ref: shown.approval_ref.clone(),
        rationale: shown.rationale.clone(),
        review_by: shown.review_by.clone(),
    }
}

/// What the stages of one run have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageRequests<'a> {
    pub(super) request: &'a ControllerRequest,
    pub(super) context: &'a ControllerContext,
    pub(super) files: &'a ControllerFiles,
}

impl StageRequests<'_> {
    /// Evaluate: an orchestration without a change.
    pub(super) fn evaluate(self) -> OrchestrateRequest {
        let files = self.files;
        self.orchestrate(
            OrchestrateMode::DryRun,
            &files.preview_result_file,
            &files.preview_summary_file,
        )
    }

    /// Apply: an orchestration with one.
    pub(super) fn apply(self, intent: ControllerIntent) -> OrchestrateRequest {
        let (request, files) = (self.request, self.files);
        let step = request.expand_step.clone();
        OrchestrateRequest {
            apply_intent: Some(intent.as_str().to_owned()),
            expand_step: Some(step.unwrap_or_else(|| "25".to_owned())),
            idempotency_key: request.idempotency_key.clone(),
            governance: request.governance.clone(),
            ..self.orchestrate(
                OrchestrateMode::Apply,
                &files.apply_result_file,
                &files.apply_summary_file,
            )
        }
    }

    /// Roll back, answered for by `governance`.
    pub(super) fn rollback(self, governance: Governance) -> OrchestrateRequest {
        let files = self.files;
        OrchestrateRequest {
            governance,
            ..self.orchestrate(
                OrchestrateMode::Rollback,
                &files.rollback_result_file,
                &files.rollback_summary_file,
            )
        }
    }

    /// Verify: the check alone.
    pub(super) fn verify(self) -> CiRequest {
        CiRequest {
            repo: self.request.repo.clone(),
            overrides: self.request.overrides.clone(),
            result_file: Some(self.files.verify_result_file.clone()),
            summary_file: Some(self.files.verify_summary_file.clone()),
            trace_id: Some(self.context.trace_id.to_string()),
            skip_on_missing_evidence: self.request.skip_on_missing_evidence,
            ..CiRequest::default()
        }
    }

    fn orchestrate(
        self,
        mode: OrchestrateMode,
        result_file: &str,
        summary_file: &str,
    ) -> OrchestrateRequest {
        let (request, context, files) = (self.request, self.context, self.files);
        OrchestrateRequest {
            repo: request.repo.clone(),
            mode: Some(mode.as_str().to_owned()),
            overrides: request.overrides.clone(),
            skip_on_missing_evidence: request.skip_on_missing_evidence,
            promotion_ci_result_file: Some(files.promotion_ci_result_file.clone()),
            promotion_ci_summary_file: Some(files.promotion_ci_summary_file.clone()),
            result_file: Some(result_file.to_owned()),
            summary_file: Some(summary_file.to_owned()),
            trace_id: Some(context.trace_id.to_string()),
            loop_id: context.loop_id.clone(),
            horizon_ref: context.horizon_ref.clone(),
            evidence_refs: context.evidence_refs.clone(),
            ..OrchestrateRequest::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as a flag that was given")]
    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn flags_are_checked_in_the_contracts_order() {
        let refused =
            |request: &ControllerRequest| request.check().expect_err("is refused").to_string();
        let mut request = ControllerRequest {
            mode: text("auto"),
            apply_intent: text("rollback"),
            expand_step: text("101"),
            limits: LimitTexts {
                decision_ttl_minutes: text("0"),
                budget_window_hours: text("0"),
                max_applies_per_window: text("-1"),
                max_expand_step_per_window: text("x"),
                cooldown_minutes: text(""),
            },
            freeze_windows_file: text("/nowhere/f.json"),
            ..ControllerRequest::default()
        };
        assert_eq!(
            refused(&request),
            "--mode must be one of propose_only, guarded_auto_apply"
        );
        request.mode = text("guarded_auto_apply");
        assert_eq!(
            refused(&request),
            "--apply-intent must be one of expand, resume"
        );
        request.apply_intent = None;
        assert_eq!(
            refused(&request),
            "--expand-step must be an integer between 1 and 100"
        );
        request.expand_step = None;
        assert_eq!(
            refused(&request),
            "--decision-ttl-minutes must be an integer >= 1"
        );
        request.limits.decision_ttl_minutes = text("010");
        assert_eq!(
            refused(&request),
            "--budget-window-hours must be an integer >= 1"
        );
        request.limits.budget_window_hours = None;
        assert_eq!(
            refused(&request),
            "--max-applies-per-window must be an integer >= 0"
        );
        request.limits.max_applies_per_window = text("0");
        assert_eq!(
            refused(&request),
            "--max-expand-step-per-window must be an integer >= 0"
        );
        request.limits.max_expand_step_per_window = None;
        assert_eq!(
            refused(&request),
            "--cooldown-minutes must be an integer >= 0"
        );
        request.limits.cooldown_minutes = text("0");
        assert_eq!(
            refused(&request),
            "--by is required for mode guarded_auto_apply"
        );
        request.governance.by = text("kim");
        assert_eq!(
            refused(&request),
            "--approval-ref is required for mode guarded_auto_apply"
        );
        request.governance.approval_ref = text("CHG-1");
        assert_eq!(
            refused(&request),
            "--rationale is required for mode guarded_auto_apply"
        );
        request.governance.rationale = text("why");
        assert_eq!(
            refused(&request),
            "--review-by is required for mode guarded_auto_apply"
        );
        request.governance.review_by = text("whenever");
        assert_eq!(
            refused(&request),
            "freeze windows file not found: /nowhere/f.json"
        );
        request.freeze_windows_file = None;
        let checked = request.checked().expect("is fine");
        assert_eq!(checked.limits.decision_ttl_minutes, 10);
    }
}
