//! The document of a run; pure (chapter 07 §5.4, §5.5).

use std::collections::BTreeSet;

use om_model::Timestamp;
use om_model::envelope::SchemaVersion;
use om_model::promotion::controller::{
    Budget, ControllerAction, ControllerCategory, ControllerContext, ControllerDecision,
    ControllerDocument, ControllerError, ControllerExecution, ControllerFiles,
    ControllerGovernance, ControllerIntent, ControllerMode, ControllerObserved, ControllerReason,
    ControllerStage, ControllerStatus, Freshness, PendingDecision, Verification,
};

use crate::error::nonzero;

/// Most characters of a failed stage's text that a row keeps.
const MAX_TEXT: usize = 4000;

/// What is known of a run from its beginning.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) started_at: Timestamp,
    pub(super) mode: ControllerMode,
    pub(super) intent: ControllerIntent,
    /// Percent points.
    pub(super) step: u64,
    pub(super) idempotency_key: Option<String>,
    pub(super) governance: ControllerGovernance,
    pub(super) context: ControllerContext,
    pub(super) files: ControllerFiles,
    pub(super) observed: ControllerObserved,
    /// Whether a later run writes this.
    pub(super) recovered: bool,
}

/// What a run found out on its way.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    pub(super) promotion: PendingDecision,
    pub(super) freshness: Option<Freshness>,
    pub(super) budget: Option<Budget>,
    pub(super) verification: Verification,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Proposed,
    Held,
    Applied,
    RolledBack,
    Failed(Failure),
}

/// A stage that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) stage: ControllerStage,
    pub(super) exit_code: i32,
    /// All that it printed.
    pub(super) text: String,
}

impl Facts {
    /// The document of a run that ended like this.
    pub(super) fn document(&self, findings: &Findings, ending: &Ending) -> ControllerDocument {
        let failure = match ending {
            Ending::Failed(failure) => Some(failure),
            _ => None,
        };
        let promotion = findings.promotion.clone();
        ControllerDocument {
            schema_version: SchemaVersion::V1,
            timestamp: self.started_at,
            category: ControllerCategory::PromotionControllerRun,
            mode: self.mode,
            status: ending.status(),
            decision: ControllerDecision {
                reason_codes: self.reasons(findings, ending),
                promotion_decision: promotion.promotion_decision,
                promotion_reason_codes: promotion.promotion_reason_codes,
                failed_gates: promotion.failed_gates,
                freshness: findings.freshness.clone().filter(|_| failure.is_none()),
                budget: findings.budget.clone().filter(|_| failure.is_none()),
            },
            execution: self.execution(ending),
            verification: findings.verification.clone(),
            context: self.context.clone(),
            files: self.files.clone(),
            observed: self.observed.clone(),
            error: failure.map(Failure::shown),
            recovered: self.recovered,
        }
    }

    fn reasons(&self, findings: &Findings, ending: &Ending) -> Vec<ControllerReason> {
        let mut all: BTreeSet<ControllerReason> = BTreeSet::new();
        all.extend(findings.freshness.iter().flat_map(|f| &f.reasons));
        all.extend(findings.budget.iter().flat_map(|b| &b.reasons));
        all.extend(&findings.verification.reason_codes);
        if let Ending::Failed(failure) = ending {
            all.insert(failure.stage.reason());
        } else {
            let is_guarded = self.mode == ControllerMode::GuardedAutoApply;
            if is_guarded && findings.promotion.promotion_decision != "promote" {
                all.insert(ControllerReason::ControllerDecisionNotPromote);
            }
            if *ending == Ending::RolledBack {
                all.insert(ControllerReason::ControllerRollbackTriggered);
            }
        }
        if self.recovered {
            all.insert(ControllerReason::ControllerRunInterrupted);
        }
        all.into_iter().collect()
    }

    fn execution(&self, ending: &Ending) -> ControllerExecution {
        let (planned_action, action) = ending.actions();
        let apply_executed = ending.has_applied();
        let has_widened = apply_executed && self.intent == ControllerIntent::Expand;
        ControllerExecution {
            planned_action,
            action,
            apply_executed,
            rollback_executed: *ending == Ending::RolledBack,
            apply_intent: apply_executed.then_some(self.intent),
            expand_step: has_widened.then_some(self.step),
            idempotency_key: self.idempotency_key.clone(),
            governance: self.governance.clone(),
        }
    }
}

impl Ending {
    /// The exit code of the command.
    pub(super) fn exit_code(&self) -> i32 {
        match self {
            Self::Failed(failure) => nonzero(failure.exit_code),
            _ => 0,
        }
    }

    /// What goes to stderr.
    pub(super) fn diagnostics(&self) -> Option<String> {
        match self {
            Self::Failed(failure) if !failure.text.is_empty() => Some(failure.text.clone()),
            _ => None,
        }
    }

    fn status(&self) -> ControllerStatus {
        match self {
            Self::Proposed => ControllerStatus::Proposed,
            Self::Held => ControllerStatus::Hold,
            Self::Applied => ControllerStatus::Applied,
            Self::RolledBack => ControllerStatus::RolledBack,
            Self::Failed(_) => ControllerStatus::Failed,
        }
    }

    /// What was planned, and what was done in the end.
    fn actions(&self) -> (ControllerAction, ControllerAction) {
        use ControllerAction as A;
        match self {
            Self::Proposed => (A::Propose, A::Propose),
            Self::Held => (A::Hold, A::Hold),
            Self::Applied => (A::Apply, A::Apply),
            Self::RolledBack => (A::Apply, A::Rollback),
            Self::Failed(failure) => match failure.stage {
                ControllerStage::Evaluate => (A::Propose, A::Propose),
                ControllerStage::Apply | ControllerStage::Rollback => (A::Apply, A::Apply),
            },
        }
    }

    fn has_applied(&self) -> bool {
        match self {
            Self::Proposed | Self::Held => false,
            Self::Applied | Self::RolledBack => true,
            Self::Failed(failure) => failure.stage == ControllerStage::Rollback,
        }
    }
}

impl Failure {
    fn shown(&self) -> ControllerError {
        let text = self.text.trim_end_matches('\n');
        let text: String = text.chars().take(MAX_TEXT).collect();
        ControllerError {
            stage: self.stage,
            reason_code: self.stage.reason(),
            exit_code: nonzero(self.exit_code),
            stderr: (!text.is_empty()).then_some(text),
        }
    }
}

#[cfg(test)]
mod tests;
