//! A fleet to judge, made of literals.

use om_model::fleet::policy::{AutonomyReason, Candidate, PolicyState};
use om_model::fleet::registry::{Governance, Policy, PolicyMode};
use om_model::{Timestamp, TraceId, json};
use om_policy::audit::Previous;
use om_policy::fleet::FleetView;
use om_policy::{
    HandoffFold, PolicyContext, PolicyEvaluation, PolicyInputs, PolicyPaths, evaluate,
};
use om_store::Fold;
use serde_json::{Value, json};

/// The moment of every evaluation, unless a test says otherwise.
pub(crate) const NOW: &str = "2031-05-06T07:08:09Z";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a timestamp")
}

/// `seconds` before [`NOW`], negative ones after it.
pub(crate) fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_seconds(at(NOW).epoch_seconds() - seconds)
}

/// Everything that an evaluation looks at.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) policy: Policy,
    pub(crate) state: Value,
    pub(crate) window: Option<u64>,
    pub(crate) previous: Option<Value>,
    pub(crate) history: Vec<Value>,
    pub(crate) handoff: Vec<Value>,
    pub(crate) now: Timestamp,
}

impl Fleet {
    /// A fleet in advisory mode, with the registry's defaults.
    pub(crate) fn advisory(results: Value) -> Self {
        Self {
            policy: Policy::default(),
            state: json!({
                "fleetId": "north", "status": "partial_failure", "traceId": "tr-9",
                "results": results,
            }),
            window: None,
            previous: None,
            history: Vec::new(),
            handoff: Vec::new(),
            now: at(NOW),
        }
    }

    /// A governed fleet that may act by itself on anything critical, as often
    /// as it likes; nothing is deduplicated.
    pub(crate) fn auto(results: Value) -> Self {
        let mut fleet = Self::advisory(results);
        fleet.policy.mode = PolicyMode::GuardedAuto;
        fleet.policy.autonomous.enabled = true;
        fleet.policy.autonomous.governance = Governance {
            actor: Some("kim".to_owned()),
            approval_ref: Some("CHG-88".to_owned()),
            rationale: Some("pilot".to_owned()),
            changed_at: Some("2031-05-01T00:00:00Z".to_owned()),
            review_by: Some("2031-06-01T00:00:00Z".to_owned()),
            review_window_days: Some(31),
        };
        fleet.policy.autonomous.safety.max_actions_per_run = 100;
        fleet.policy.autonomous.safety.max_actions_per_loop = 100;
        fleet.window = Some(0);
        fleet
    }

    pub(crate) fn evaluation(&self) -> PolicyEvaluation {
        let state = json::compact(&self.state);
        let fleet = FleetView::read(state.as_bytes()).expect("a fleet state");
        let previous = self.previous.as_ref().map(json::compact);
        let previous = previous.as_ref().map(String::as_bytes);
        let previous = Previous::read(previous).expect("a policy state");
        let handoff: HandoffFold = fold(&self.handoff);
        let inputs = PolicyInputs {
            fleet: &fleet,
            policy: &self.policy,
            controls: &json::to_value(&self.policy.autonomous),
            dedupe_window_seconds: self.window,
            previous: previous.as_ref(),
            history: &fold(&self.history),
            executions: handoff.executions(),
        };
        let context = PolicyContext {
            now: self.now,
            trace_id: TraceId::new("tr-9").expect("not empty"),
            paths: paths(),
        };
        evaluate(&inputs, &context).expect("every candidate has a loop")
    }

    pub(crate) fn state(&self) -> PolicyState {
        self.evaluation().state
    }

    /// The reasons of each candidate, by id.
    pub(crate) fn reasons(&self) -> Vec<(String, Vec<&'static str>)> {
        let candidates = self.state().candidates;
        let of = |c: &Candidate| (c.candidate_id.clone(), names(&c.autonomous.reasons));
        candidates.iter().map(of).collect()
    }

    /// The reasons of the only candidate.
    pub(crate) fn only_reasons(&self) -> Vec<&'static str> {
        let mut all = self.reasons();
        assert_eq!(all.len(), 1, "one candidate: {all:?}");
        all.remove(0).1
    }
}

pub(crate) fn names(reasons: &[AutonomyReason]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.as_str()).collect()
}

pub(crate) fn paths() -> PolicyPaths {
    let file = |name: &str| format!("F/{name}");
    PolicyPaths {
        registry: file("registry.v1.json"),
        fleet_state: file("state.json"),
        policy_state: file("policy-state.json"),
        governance_audit: file("telemetry/policy-governance.jsonl"),
        handoff_telemetry: file("telemetry/handoff.jsonl"),
        policy_telemetry: file("telemetry/policy.jsonl"),
        policy_history: file("telemetry/policy-history.jsonl"),
    }
}

pub(crate) fn fold<F: Fold>(rows: &[Value]) -> F {
    let mut fold = F::default();
    for row in rows {
        fold.add(json::compact(row).as_bytes(), 0);
    }
    fold
}

/// A result of a critical loop.
pub(crate) fn critical(loop_id: &str) -> Value {
    json!({ "loopId": loop_id, "status": "success", "healthStatus": "critical" })
}

/// The row of an autonomous execution `seconds` ago.
pub(crate) fn executed(seconds: i64, attempted: u64, ambiguous: u64, failed: u64) -> Value {
    json!({
        "timestamp": ago(seconds), "category": "fleet_handoff_execute",
        "execution": {
            "mode": "autonomous", "requestedIntentCount": attempted,
            "executedIntentCount": attempted,
            "executedCount": attempted.saturating_sub(ambiguous + failed),
            "ambiguousCount": ambiguous, "failedCount": failed,
        },
    })
}
