//! Gate 1: somebody answers for the autonomy, for a limited time.

use std::collections::BTreeSet;

use om_model::json;
use om_model::promotion::gates::{GateReason, GovernanceGate};
use serde_json::Value;

use super::reasons_of;
use super::status::StatusEvidence;

/// The gate over the fleet's governance.
pub(super) fn gate(status: &StatusEvidence) -> GovernanceGate {
    let says = |code: &str| status.governance_reasons.iter().any(|found| found == code);
    let reasons = reasons_of(&[
        (GateReason::PolicyModeNotGuardedAuto, !status.enabled),
        (
            GateReason::GovernancePostureNotActive,
            status.posture != "active",
        ),
        (
            GateReason::GovernanceBlocksAutonomous,
            status.blocks_autonomous == Value::Bool(true),
        ),
        (
            GateReason::GovernanceAuthorityMissing,
            says("autonomous_governance_authority_missing"),
        ),
        (
            GateReason::GovernanceReviewDeadlineMissing,
            says("autonomous_governance_review_deadline_missing"),
        ),
        (
            GateReason::GovernanceReviewExpired,
            says("autonomous_governance_review_expired"),
        ),
    ]);
    let codes: BTreeSet<String> = status.governance_reasons.iter().map(json::text).collect();
    GovernanceGate {
        verdict: reasons.into(),
        posture: status.posture.clone(),
        blocks_autonomous: status.blocks_autonomous.clone(),
        reason_codes: codes.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> StatusEvidence {
        StatusEvidence {
            enabled: true,
            posture: json!("active"),
            blocks_autonomous: json!(false),
            ..StatusEvidence::default()
        }
    }

    fn with_code(code: &str) -> StatusEvidence {
        StatusEvidence {
            governance_reasons: vec![json!(code)],
            ..good()
        }
    }

    #[test]
    fn the_table_of_reasons() {
        use GateReason as R;
        let posture = |posture| StatusEvidence { posture, ..good() };
        let blocks = |blocks_autonomous| StatusEvidence {
            blocks_autonomous,
            ..good()
        };
        for (evidence, expected) in [
            (good(), vec![]),
            (
                StatusEvidence {
                    enabled: false,
                    ..good()
                },
                vec![R::PolicyModeNotGuardedAuto],
            ),
            (posture(json!(null)), vec![R::GovernancePostureNotActive]),
            (
                posture(json!("review_due_soon")),
                vec![R::GovernancePostureNotActive],
            ),
            (
                posture(json!(["active"])),
                vec![R::GovernancePostureNotActive],
            ),
            (blocks(json!(true)), vec![R::GovernanceBlocksAutonomous]),
            (blocks(json!("true")), vec![]),
            (
                with_code("autonomous_governance_authority_missing"),
                vec![R::GovernanceAuthorityMissing],
            ),
            (
                with_code("autonomous_governance_review_deadline_missing"),
                vec![R::GovernanceReviewDeadlineMissing],
            ),
            (
                with_code("autonomous_governance_review_expired"),
                vec![R::GovernanceReviewExpired],
            ),
            (with_code("autonomous_governance_review_due_soon"), vec![]),
            (
                StatusEvidence::default(),
                vec![R::PolicyModeNotGuardedAuto, R::GovernancePostureNotActive],
            ),
        ] {
            assert_eq!(gate(&evidence).verdict.reasons, expected, "{evidence:?}");
        }
    }

    #[test]
    fn the_codes_are_shown_as_a_sorted_set_of_texts() {
        let evidence = StatusEvidence {
            governance_reasons: vec![
                json!("b"),
                json!(1),
                json!("a"),
                json!({"x": 1}),
                json!("b"),
            ],
            ..good()
        };
        assert_eq!(gate(&evidence).reason_codes, ["1", "a", "b", r#"{"x":1}"#]);
    }
}
