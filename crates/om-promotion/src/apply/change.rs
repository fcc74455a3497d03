//! Which members of the registry change, and the record of it; pure.

use std::collections::BTreeSet;

use om_model::envelope::SchemaVersion;
use om_model::fleet::registry::{Registry, Rollout};
use om_model::promotion::ApplyIntent;
use om_model::promotion::apply::{
    ApplyCategory, ApplyFiles, ApplyGovernance, ApplyRecord, ApplyStatus, RolloutChange,
    RolloutPosture,
};
use om_model::{Timestamp, TraceId};
use serde_json::Value;

use super::request::{ApplyRequest, Checked, split_refs};

/// One member of the registry and its new value.
pub(super) type Edit = (&'static str, Value);

/// What changes in the registry: these members, and nothing else (decision
/// D20).
pub(super) fn edits(request: &Checked<'_>, before: &Rollout, now: Timestamp) -> Vec<Edit> {
    let mut edits = Vec::new();
    if request.intent == ApplyIntent::Expand {
        let percent = u64::from(before.canary_percent)
            .saturating_add(request.step)
            .min(100);
        edits.push(("policy.autonomous.rollout.canaryPercent", percent.into()));
    }
    let is_paused = request.intent == ApplyIntent::Rollback;
    edits.push(("policy.autonomous.rollout.pause.manual", is_paused.into()));
    edits.extend([
        ("policy.autonomous.governance.actor", request.actor.into()),
        (
            "policy.autonomous.governance.approvalRef",
            request.approval_ref.into(),
        ),
        (
            "policy.autonomous.governance.rationale",
            request.rationale.into(),
        ),
        (
            "policy.autonomous.governance.changedAt",
            now.to_string().into(),
        ),
        (
            "policy.autonomous.governance.reviewBy",
            request.review_by.into(),
        ),
    ]);
    edits
}

/// The record of a change.
pub(super) struct Recorded<'a> {
    pub(super) request: &'a ApplyRequest,
    pub(super) checked: Checked<'a>,
    pub(super) files: ApplyFiles,
    pub(super) decision: String,
    pub(super) trace_id: TraceId,
    pub(super) now: Timestamp,
}

impl Recorded<'_> {
    /// The record of what `before` became.
    pub(super) fn record(self, before: &Registry, after: &Registry) -> ApplyRecord {
        let (request, checked) = (self.request, self.checked);
        ApplyRecord {
            schema_version: SchemaVersion::V1,
            timestamp: self.now,
            category: ApplyCategory::PromotionApply,
            fleet_id: after.fleet_id.clone(),
            trace_id: self.trace_id,
            loop_id: request.loop_id.clone(),
            horizon_ref: request.horizon_ref.clone(),
            evidence_refs: evidence_refs(request, &self.files.promotion_state_file),
            idempotency_key: request.idempotency_key.clone(),
            status: ApplyStatus::Applied,
            intent: checked.intent,
            decision: self.decision,
            governance: ApplyGovernance {
                actor: checked.actor.to_owned(),
                approval_ref: checked.approval_ref.to_owned(),
                rationale: checked.rationale.to_owned(),
                changed_at: self.now,
                review_by: checked.review_by.to_owned(),
            },
            rollout: RolloutChange::new(posture(before), posture(after)),
            files: self.files,
            reason_codes: [],
            replayed: false,
        }
    }
}

/// The references that were given and the promotion state, sorted.
pub(super) fn evidence_refs(request: &ApplyRequest, state_file: &str) -> Vec<String> {
    let given = split_refs(&request.evidence_refs).filter(|text| !text.is_empty());
    let all: BTreeSet<&str> = given.chain([state_file]).collect();
    all.into_iter().map(str::to_owned).collect()
}

fn posture(registry: &Registry) -> RolloutPosture {
    let rollout = &registry.policy.autonomous.rollout;
    RolloutPosture {
        canary_percent: rollout.canary_percent,
        manual_pause: rollout.pause.manual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(intent: ApplyIntent, step: u64) -> Checked<'static> {
        Checked {
            intent,
            step,
            actor: "kim",
            approval_ref: "CHG-1",
            rationale: "why",
            review_by: "2031-05-01T00:00:00Z",
            max_decision_age_minutes: None,
        }
    }

    fn value_of(edits: &[Edit], path: &str) -> Option<Value> {
        let found = edits.iter().find(|(edited, _)| *edited == path);
        found.map(|(_, value)| value.clone())
    }

    #[test]
    fn what_each_intent_does_to_the_rollout() {
        use ApplyIntent as I;
        for (intent, before, step, canary, paused) in [
            (I::Expand, 10, 25, Some(35), false),
            (I::Expand, 90, 25, Some(100), false),
            (I::Expand, 100, 1, Some(100), false),
            (I::Expand, 0, 100, Some(100), false),
            (I::Resume, 10, 25, None, false),
            (I::Rollback, 10, 25, None, true),
        ] {
            let rollout = Rollout {
                canary_percent: before,
                ..Rollout::default()
            };
            let edits = edits(&checked(intent, step), &rollout, Timestamp::EPOCH);
            let found = value_of(&edits, "policy.autonomous.rollout.canaryPercent");
            assert_eq!(found, canary.map(Value::from), "{intent:?} {before} {step}");
            let found = value_of(&edits, "policy.autonomous.rollout.pause.manual");
            assert_eq!(found, Some(paused.into()), "{intent:?}");
        }
    }

    #[test]
    fn every_change_says_who_and_why_and_until_when() {
        for intent in ApplyIntent::ALL {
            let now = Timestamp::from_epoch_seconds(1_900_000_000);
            let edits = edits(&checked(intent, 25), &Rollout::default(), now);
            for (name, value) in [
                ("actor", "kim"),
                ("approvalRef", "CHG-1"),
                ("rationale", "why"),
                ("changedAt", "2030-03-17T17:46:40Z"),
                ("reviewBy", "2031-05-01T00:00:00Z"),
            ] {
                let path = format!("policy.autonomous.governance.{name}");
                assert_eq!(value_of(&edits, &path), Some(value.into()), "{intent:?}");
            }
        }
    }

    #[test]
    fn evidence_is_a_sorted_set_with_the_promotion_state() {
        let request = ApplyRequest {
            evidence_refs: vec!["z\n\na".into(), String::new(), "a".into()],
            ..ApplyRequest::default()
        };
        assert_eq!(evidence_refs(&request, "m.json"), ["a", "m.json", "z"]);
    }
}
