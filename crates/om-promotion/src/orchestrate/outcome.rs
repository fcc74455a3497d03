//! The document of an orchestration; pure.

use std::collections::BTreeSet;

use om_model::envelope::SchemaVersion;
use om_model::promotion::orchestrate::{
    OrchestrateApply, OrchestrateDocument, OrchestrateFiles, OrchestrateMode, OrchestrateSummary,
    StageFailureNote,
};
use om_model::{Timestamp, json};
use serde_json::Value;

use super::request::OrchestrateRequest;
use crate::apply::split_refs;
use crate::check::Check;

/// How the stages of an orchestration ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) request: &'a OrchestrateRequest,
    pub(super) mode: OrchestrateMode,
    pub(super) files: OrchestrateFiles,
    pub(super) check: Check,
    /// How the check failed, for a rollback that went on without it.
    pub(super) check_failure: Option<StageFailureNote>,
    /// What the change printed; `None` if nothing was to be changed.
    pub(super) record: Option<Value>,
    /// After all stages.
    pub(super) now: Timestamp,
}

impl Outcome<'_> {
    /// The document.
    pub(super) fn document(self) -> OrchestrateDocument {
        let request = self.request;
        let record = self.record.as_ref();
        let own_or_recorded = |own: &Option<String>, name: &str| {
            let recorded = || json::present(record?.get(name)).map(json::text);
            own.clone().or_else(recorded)
        };
        OrchestrateDocument {
            schema_version: SchemaVersion::V1,
            timestamp: self.now,
            mode: self.mode,
            status: self.mode.status(),
            decision: self.check.decision_or_unknown(),
            trace_id: own_or_recorded(&request.trace_id, "traceId"),
            loop_id: own_or_recorded(&request.loop_id, "loopId"),
            horizon_ref: own_or_recorded(&request.horizon_ref, "horizonRef"),
            evidence_refs: self.evidence_refs(),
            apply: OrchestrateApply {
                executed: self.mode != OrchestrateMode::DryRun,
                intent: own_or_recorded(&None, "intent"),
                idempotency_key: request.idempotency_key.clone(),
                record: self.record.clone().filter(|record| !record.is_null()),
            },
            summary: OrchestrateSummary {
                failed_gates: self.check.failed_gates,
                reason_codes: self.check.reason_codes,
            },
            files: self.files,
            promotion_ci_failure: self.check_failure,
        }
    }

    /// What was given, where the check is, and what the record names; sorted.
    fn evidence_refs(&self) -> Vec<String> {
        let record = self.record.as_ref();
        let named = |pointer: &str| record.and_then(|record| record.pointer(pointer));
        let listed = named("/evidenceRefs").and_then(Value::as_array);
        let recorded = [
            named("/files/promotionStateFile"),
            named("/files/applyStateFile"),
        ]
        .into_iter()
        .flatten()
        .chain(listed.into_iter().flatten())
        .filter_map(Value::as_str);
        let files = [
            self.files.promotion_ci_result_file.as_str(),
            self.files.promotion_ci_summary_file.as_str(),
        ];
        let all: BTreeSet<&str> = split_refs(&self.request.evidence_refs)
            .chain(files)
            .chain(recorded)
            .filter(|text| !text.is_empty())
            .collect();
        all.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::summary::markdown;
    use super::*;
    use serde_json::json;

    fn outcome(request: &OrchestrateRequest, mode: OrchestrateMode) -> Outcome<'_> {
        let check = json!({ "summary": {
            "decision": "hold",
            "failedGates": ["governance"],
            "reasonCodes": ["promotion_governance_posture_not_active"],
        } });
        Outcome {
            request,
            mode,
            files: OrchestrateFiles {
                result_file: "/r/result.json".into(),
                summary_file: "/r/summary.md".into(),
                promotion_ci_result_file: "/r/ci.json".into(),
                promotion_ci_summary_file: "/r/ci.md".into(),
            },
            check: Check::read(&check).expect("is read"),
            check_failure: None,
            record: None,
            now: Timestamp::from_epoch_seconds(1_900_000_000),
        }
    }

    fn record() -> Value {
        json!({
            "intent": "rollback", "traceId": "t-apply", "loopId": null, "horizonRef": false,
            "evidenceRefs": ["z", "", 1],
            "files": { "promotionStateFile": "/r/ci.json", "applyStateFile": "/r/apply.json" },
        })
    }

    #[test]
    fn a_preview() {
        let request = OrchestrateRequest {
            evidence_refs: vec!["b\na".into(), String::new()],
            idempotency_key: Some("k".into()),
            ..OrchestrateRequest::default()
        };
        let document = outcome(&request, OrchestrateMode::DryRun).document();
        insta::assert_snapshot!(markdown(&document));
        insta::assert_snapshot!(json::pretty(&document));
    }

    #[test]
    fn a_rollback_with_a_record() {
        let request = OrchestrateRequest {
            horizon_ref: Some("h".into()),
            ..OrchestrateRequest::default()
        };
        let document = Outcome {
            record: Some(record()),
            ..outcome(&request, OrchestrateMode::Rollback)
        }
        .document();
        insta::assert_snapshot!(markdown(&document));
        insta::assert_snapshot!(json::pretty(&document));
    }

    #[test]
    fn a_change_without_a_record_has_no_intent_to_show() {
        let request = OrchestrateRequest::default();
        let document = Outcome {
            record: Some(Value::Null),
            ..outcome(&request, OrchestrateMode::Apply)
        }
        .document();
        assert!(document.apply.executed);
        assert_eq!(
            (document.apply.record.clone(), document.apply.intent.clone()),
            (None, None)
        );
        assert!(markdown(&document).contains("\nApply intent: ``\n"));
    }
}
