//! Why the controller held back or undid a change (chapter 07 §5.7).

use serde::Serialize;

/// Why the controller did not apply, or undid it (chapter 07 §5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
// In the order of their names: sorted sets sort by it.
pub enum ControllerReason {
    /// The apply stage failed.
    ControllerApplyCommandFailed,
    /// Enough was applied lately.
    ControllerBudgetApplyCountExceeded,
    /// The last change is too recent.
    ControllerBudgetCooldownActive,
    /// Enough was widened lately.
    ControllerBudgetExpandStepExceeded,
    /// Nothing is promoted now.
    ControllerBudgetFreezeWindowActive,
    /// The gates hold.
    ControllerDecisionNotPromote,
    /// The decision is too old.
    ControllerDecisionStale,
    /// It does not say when it was made, or says a time to come.
    ControllerDecisionTimestampInvalid,
    /// The evaluate stage failed.
    ControllerEvaluateCommandFailed,
    /// The rollback stage failed.
    ControllerRollbackCommandFailed,
    /// What was applied was undone.
    ControllerRollbackTriggered,
    /// Additive: the run was killed before its end; this row is by the next
    /// one (decision D19).
    ControllerRunInterrupted,
    /// The verify stage failed.
    ControllerVerificationCommandFailed,
    /// The gates hold after the change.
    ControllerVerificationFailed,
    /// The result of the check, or of the change, cannot be used.
    ControllerVerificationResultInvalid,
    /// There is none of this run.
    ControllerVerificationResultMissing,
}

impl ControllerReason {
    /// Every reason, sorted by name.
    pub const ALL: [Self; 16] = [
        Self::ControllerApplyCommandFailed,
        Self::ControllerBudgetApplyCountExceeded,
        Self::ControllerBudgetCooldownActive,
        Self::ControllerBudgetExpandStepExceeded,
        Self::ControllerBudgetFreezeWindowActive,
        Self::ControllerDecisionNotPromote,
        Self::ControllerDecisionStale,
        Self::ControllerDecisionTimestampInvalid,
        Self::ControllerEvaluateCommandFailed,
        Self::ControllerRollbackCommandFailed,
        Self::ControllerRollbackTriggered,
        Self::ControllerRunInterrupted,
        Self::ControllerVerificationCommandFailed,
        Self::ControllerVerificationFailed,
        Self::ControllerVerificationResultInvalid,
        Self::ControllerVerificationResultMissing,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn reasons_sort_by_their_names() {
        let name = |reason: &ControllerReason| match serde_json::to_value(reason) {
            Ok(Value::String(name)) => name,
            other => panic!("{other:?}"),
        };
        let names: Vec<String> = ControllerReason::ALL.iter().map(name).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(ControllerReason::ALL.is_sorted());
    }
}
