//! Gate 4: nothing is paused by trouble, and every suppression is explained.

use om_model::promotion::gates::{GateReason, SafetySuppressionGate, SuppressionPath};

use super::reasons_of;
use super::status::StatusEvidence;

/// The gate over pauses and suppressions.
pub(super) fn gate(status: &StatusEvidence) -> SafetySuppressionGate {
    let explained = |path: &SuppressionPath| {
        let by_path = status.by_path.as_ref();
        by_path.is_some_and(|paths| paths.contains_key(path.as_str()))
    };
    let missing: Vec<SuppressionPath> = SuppressionPath::REQUIRED
        .into_iter()
        .filter(|path| !explained(path))
        .collect();
    let reasons = reasons_of(&[
        (GateReason::AutopauseActive, status.autopause_active),
        (GateReason::SuppressionPathsMissing, !missing.is_empty()),
    ]);
    SafetySuppressionGate {
        verdict: reasons.into(),
        autopause_active: status.autopause_active,
        missing_paths: missing,
        by_path: status.by_path.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn evidence(autopause_active: bool, by_path: &Value) -> StatusEvidence {
        StatusEvidence {
            autopause_active,
            by_path: by_path.as_object().cloned(),
            ..StatusEvidence::default()
        }
    }

    fn complete() -> Value {
        json!({ "policyGated": {}, "rolloutGated": null, "governanceGated": 0, "transportGated": {} })
    }

    #[test]
    fn the_table_of_reasons() {
        use GateReason as R;
        use SuppressionPath as P;
        for (status, reasons, missing) in [
            (evidence(false, &complete()), vec![], vec![]),
            (
                evidence(true, &complete()),
                vec![R::AutopauseActive],
                vec![],
            ),
            (
                evidence(false, &json!({ "transportGated": {}, "policyGated": {} })),
                vec![R::SuppressionPathsMissing],
                vec![P::RolloutGated, P::GovernanceGated],
            ),
            (
                evidence(true, &json!(null)),
                vec![R::AutopauseActive, R::SuppressionPathsMissing],
                P::REQUIRED.to_vec(),
            ),
        ] {
            let gate = gate(&status);
            assert_eq!(gate.verdict.reasons, reasons, "{status:?}");
            assert_eq!(gate.missing_paths, missing, "{status:?}");
        }
    }
}
