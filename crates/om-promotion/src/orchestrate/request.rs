//! What somebody wants of an orchestration.

use std::path::PathBuf;

use om_model::promotion::ApplyIntent;
use om_model::promotion::controller::ControllerIntent;
use om_model::promotion::orchestrate::OrchestrateMode;

use crate::apply::{ApplyRequest, Governance, split_refs};
use crate::ci::CiRequest;
use crate::error::PromotionError;
use crate::evaluator::{Overrides, expand_step, push};

/// What somebody wants of an orchestration. What is empty was not given.
#[derive(Clone, Debug, Default)]
pub struct OrchestrateRequest {
    /// The resolved repository.
    pub repo: PathBuf,
    /// `--mode`
    pub mode: Option<String>,
    /// `--apply-intent`
    pub apply_intent: Option<String>,
    /// `--expand-step`
    pub expand_step: Option<String>,
    /// Evidence and thresholds other than the usual ones.
    pub overrides: Overrides,
    /// `--skip-on-missing-evidence`
    pub skip_on_missing_evidence: bool,
    /// `--fail-on-hold`
    pub fail_on_hold: bool,
    /// `--promotion-ci-result-file`
    pub promotion_ci_result_file: Option<String>,
    /// `--promotion-ci-summary-file`
    pub promotion_ci_summary_file: Option<String>,
    /// `--result-file`
    pub result_file: Option<String>,
    /// `--summary-file`
    pub summary_file: Option<String>,
    /// `--idempotency-key`
    pub idempotency_key: Option<String>,
    /// `--trace-id`
    pub trace_id: Option<String>,
    /// `--loop-id`
    pub loop_id: Option<String>,
    /// `--horizon-ref`
    pub horizon_ref: Option<String>,
    /// Every `--evidence-ref`
    pub evidence_refs: Vec<String>,
    /// Who, why, until when.
    pub governance: Governance,
}

/// The modes and intents of a request whose flags are fine by themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    pub(super) mode: OrchestrateMode,
    pub(super) apply_intent: ControllerIntent,
}

impl Checked {
    /// What is to be done to the rollout, if anything.
    pub(super) fn intent(self) -> Option<ApplyIntent> {
        match (self.mode, self.apply_intent) {
            (OrchestrateMode::DryRun, _) => None,
            (OrchestrateMode::Apply, ControllerIntent::Expand) => Some(ApplyIntent::Expand),
            (OrchestrateMode::Apply, ControllerIntent::Resume) => Some(ApplyIntent::Resume),
            (OrchestrateMode::Rollback, _) => Some(ApplyIntent::Rollback),
        }
    }
}

impl OrchestrateRequest {
    /// Checks the flags in the contract's order (chapter 07 §4.2), the
    /// repository excepted.
    pub fn check(&self) -> Result<(), PromotionError> {
        self.checked().map(|_| ())
    }

    pub(super) fn checked(&self) -> Result<Checked, PromotionError> {
        let mode = self.mode.as_deref().and_then(OrchestrateMode::parse);
        let mode = mode.ok_or(PromotionError::Flag {
            flag: "--mode",
            expected: "one of dry_run, apply, rollback",
        })?;
        let apply_intent = apply_intent(self.apply_intent.as_ref())?;
        expand_step(self.expand_step.as_ref())?;
        match self.governance.missing() {
            Some(flag) if mode != OrchestrateMode::DryRun => {
                let mode = mode.as_str();
                Err(PromotionError::RequiredForMode { flag, mode })
            }
            _ => Ok(Checked { mode, apply_intent }),
        }
    }

    /// The check that comes first.
    pub(super) fn ci(&self, result_file: &str, summary_file: &str) -> CiRequest {
        CiRequest {
            repo: self.repo.clone(),
            overrides: self.overrides.clone(),
            result_file: Some(result_file.to_owned()),
            summary_file: Some(summary_file.to_owned()),
            trace_id: self.trace_id.clone(),
            fail_on_hold: self.fail_on_hold,
            skip_on_missing_evidence: self.skip_on_missing_evidence,
            ..CiRequest::default()
        }
    }

    /// The change that follows, decided on by the check's result.
    pub(super) fn apply(&self, intent: ApplyIntent, ci_result_file: &str) -> ApplyRequest {
        let step = self.expand_step.clone().unwrap_or_else(|| "25".to_owned());
        ApplyRequest {
            repo: self.repo.clone(),
            promotion_state_file: Some(ci_result_file.to_owned()),
            intent: Some(intent.as_str().to_owned()),
            expand_step: (intent == ApplyIntent::Expand).then_some(step),
            idempotency_key: self.idempotency_key.clone(),
            trace_id: self.trace_id.clone(),
            loop_id: self.loop_id.clone(),
            horizon_ref: self.horizon_ref.clone(),
            evidence_refs: split_refs(&self.evidence_refs)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect(),
            governance: self.governance.clone(),
            ..ApplyRequest::default()
        }
    }

    /// What a hook that replaces the orchestration is told (chapter 07 §5.6).
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--repo".to_owned(), self.repo.display().to_string()];
        for (flag, value) in [
            ("--mode", &self.mode),
            ("--apply-intent", &self.apply_intent),
            ("--expand-step", &self.expand_step),
            ("--promotion-ci-result-file", &self.promotion_ci_result_file),
            (
                "--promotion-ci-summary-file",
                &self.promotion_ci_summary_file,
            ),
            ("--result-file", &self.result_file),
            ("--summary-file", &self.summary_file),
        ] {
            push(&mut arguments, flag, value.as_ref());
        }
        arguments.extend(self.governance.arguments());
        push(
            &mut arguments,
            "--idempotency-key",
            self.idempotency_key.as_ref(),
        );
        arguments.extend(self.overrides.arguments());
        if self.skip_on_missing_evidence {
            arguments.push("--skip-on-missing-evidence".to_owned());
        }
        for (flag, value) in [
            ("--trace-id", &self.trace_id),
            ("--loop-id", &self.loop_id),
            ("--horizon-ref", &self.horizon_ref),
        ] {
            push(&mut arguments, flag, value.as_ref());
        }
        for reference in &self.evidence_refs {
            push(&mut arguments, "--evidence-ref", Some(reference));
        }
        arguments
    }
}

/// `--apply-intent`, `expand` unless given.
pub(crate) fn apply_intent(given: Option<&String>) -> Result<ControllerIntent, PromotionError> {
    let Some(text) = given else {
        return Ok(ControllerIntent::Expand);
    };
    ControllerIntent::parse(text).ok_or(PromotionError::Flag {
        flag: "--apply-intent",
        expected: "one of expand, resume",
    })
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
        let mut request = OrchestrateRequest {
            apply_intent: text("rollback"),
            expand_step: text("0"),
            ..OrchestrateRequest::default()
        };
        let refused =
            |request: &OrchestrateRequest| request.check().expect_err("is refused").to_string();
        assert_eq!(
            refused(&request),
            "--mode must be one of dry_run, apply, rollback"
        );
        request.mode = text("dry_run");
        assert_eq!(
            refused(&request),
            "--apply-intent must be one of expand, resume"
        );
        request.apply_intent = text("resume");
        assert_eq!(
            refused(&request),
            "--expand-step must be an integer between 1 and 100"
        );
        request.expand_step = None;
        assert!(request.check().is_ok());
        request.mode = text("rollback");
        assert_eq!(refused(&request), "--by is required for mode rollback");
        request.governance.by = text("kim");
        request.mode = text("apply");
        assert_eq!(
            refused(&request),
            "--approval-ref is required for mode apply"
        );
        request.governance.approval_ref = text("CHG-1");
        assert_eq!(refused(&request), "--rationale is required for mode apply");
        request.governance.rationale = text("why");
        assert_eq!(refused(&request), "--review-by is required for mode apply");
        request.governance.review_by = text("soon");
        assert!(request.check().is_ok());
    }

    #[test]
    fn the_step_is_handed_on_only_to_widen() {
        let request = OrchestrateRequest {
            expand_step: text("010"),
            ..OrchestrateRequest::default()
        };
        for (intent, step) in [
            (ApplyIntent::Expand, text("010")),
            (ApplyIntent::Resume, None),
            (ApplyIntent::Rollback, None),
        ] {
            assert_eq!(request.apply(intent, "r").expand_step, step, "{intent:?}");
        }
        let apply = OrchestrateRequest::default().apply(ApplyIntent::Expand, "r");
        assert_eq!(apply.expand_step, text("25"));
    }
}
