//! What a person has to hear about: the rows of `escalations.jsonl`
//! (chapter 02 §2.4.3, §2.6.8).

use std::path::Path;

use om_model::health::{IngestStatus, TransportMode};
use om_model::json::{self, Lookup};
use om_model::observation::SequenceDocument;
use om_model::state::{EscalationRow, FailureCode};
use om_model::{LoopId, Timestamp, TraceId};
use serde_json::{Map, Value, json};

use crate::health::HealthOutcome;
use crate::pass::PassPaths;

/// What every escalation is stamped with.
#[derive(Clone, Copy, Debug)]
pub struct EscalationStamp<'a> {
    /// When.
    pub now: Timestamp,
    /// The loop.
    pub loop_id: &'a LoopId,
    /// The pass.
    pub trace_id: &'a TraceId,
    /// How the loop was reached.
    pub transport: TransportMode,
    /// The files that an escalation points at.
    pub paths: &'a PassPaths,
}

/// What the first part of a pass's escalations is decided from.
#[derive(Clone, Copy, Debug)]
pub struct EscalationInputs<'a> {
    /// Where and when.
    pub stamp: EscalationStamp<'a>,
    /// Why ingest failed, if it did.
    pub failure: Option<FailureCode>,
    /// The state this pass projected; `None` after a failure.
    pub state: Option<&'a Value>,
    /// The order diagnostics of this pass; `None` after a failure.
    pub sequence: Option<&'a SequenceDocument>,
    /// Health after the last pass.
    pub previous_health: &'a HealthOutcome,
    /// Health now.
    pub health: &'a HealthOutcome,
}

/// A category: its name, when it is raised, and its evidence.
struct Category {
    name: fn(&EscalationInputs<'_>) -> String,
    when: fn(&EscalationInputs<'_>) -> bool,
    detail: fn(&EscalationInputs<'_>) -> Value,
}

/// In the order the rows are appended. Recovery raises nothing.
const CATEGORIES: [Category; 3] = [
    // Every diverging pass.
    Category {
        name: |_| "divergence_detected".to_owned(),
        when: |inputs| inputs.state.is_some_and(diverges),
        detail: divergence_detail,
    },
    // Only when order breaks.
    Category {
        name: |_| "ordering_drift_detected".to_owned(),
        when: |inputs| {
            let sequence = inputs.sequence;
            sequence.is_some_and(|document| document.transition.transitioned_to_drift)
        },
        detail: sequence_detail,
    },
    // Only when status or reason codes change, whether or not ingest worked.
    Category {
        name: |inputs| format!("health_{}", inputs.health.status),
        when: |inputs| {
            !inputs.health.is_healthy() && !inputs.health.same_verdict(inputs.previous_health)
        },
        detail: health_detail,
    },
];

/// The rows of step 9, in their order.
pub fn first_part(inputs: &EscalationInputs<'_>) -> Vec<EscalationRow> {
    let raised = CATEGORIES.iter().filter(|category| (category.when)(inputs));
    let rows = raised.map(|category| {
        let detail = (category.detail)(inputs);
        row(inputs.stamp, (category.name)(inputs), detail)
    });
    rows.collect()
}

/// The row of step 12, if drift becomes active with `document`.
pub fn drift(stamp: EscalationStamp<'_>, document: &Map<String, Value>) -> Option<EscalationRow> {
    let to_active = document.get("transitioned").and_then(|t| t.get("toActive"));
    if !json::is_true(to_active) {
        return None;
    }
    let or_null = |member: &str| json::present(document.get(member)).cloned();
    let or = |member: &str, default: Value| or_null(member).unwrap_or(default);
    let detail = json!({
        "stateFile": shown(&stamp.paths.state),
        "driftStateFile": shown(&stamp.paths.drift_state),
        "driftHistoryFile": shown(&stamp.paths.drift_history),
        "reasonCode": or("reasonCode", json!("profile_drift_detected")),
        "drift": {
            "status": or("status", json!("unknown")),
            "appliedProfile": or_null("appliedProfile"),
            "recommendedProfile": or_null("recommendedProfile"),
            "recommendationConfidence": or_null("recommendationConfidence"),
            "action": or_null("action"),
            "rationale": or_null("rationale"),
            "mismatchStreak": or("mismatchStreak", json!(0)),
            "requiredStreak": or("requiredStreak", json!(0)),
        },
    });
    Some(row(stamp, "profile_drift_detected".to_owned(), detail))
}

fn row(stamp: EscalationStamp<'_>, category: String, detail: Value) -> EscalationRow {
    EscalationRow {
        timestamp: stamp.now,
        loop_id: stamp.loop_id.clone(),
        trace_id: stamp.trace_id.clone(),
        category,
        transport: stamp.transport,
        detail: match detail {
            Value::Object(members) => members,
            _ => Map::new(),
        },
    }
}

fn diverges(state: &Value) -> bool {
    let any = Lookup::new(state).raw("divergence.any");
    json::is_true(any.ok().flatten())
}

fn divergence_detail(inputs: &EscalationInputs<'_>) -> Value {
    let member = |name: &str| inputs.state.and_then(|state| state.get(name));
    let flags = member("divergence").and_then(|divergence| divergence.get("flags"));
    json!({
        "stateFile": shown(&inputs.stamp.paths.state),
        "cursorFile": shown(&inputs.stamp.paths.cursor),
        "divergenceFlags": json::present(flags).cloned().unwrap_or_else(|| json!({})),
        "state": {
            "transition": member("transition"),
            "projection": member("projection"),
            "cursor": member("cursor"),
        },
    })
}

fn sequence_detail(inputs: &EscalationInputs<'_>) -> Value {
    let sequence = inputs.sequence.map(|document| {
        json!({
            "status": document.status,
            "driftActive": document.drift_active,
            "violations": document.violations,
            "snapshot": document.snapshot,
            "events": document.events,
        })
    });
    json!({
        "reasonCode": "ordering_drift_detected",
        "stateFile": shown(&inputs.stamp.paths.state),
        "sequenceStateFile": shown(&inputs.stamp.paths.sequence_state),
        "sequenceTelemetryFile": shown(&inputs.stamp.paths.sequence_rows),
        "sequence": sequence,
    })
}

fn health_detail(inputs: &EscalationInputs<'_>) -> Value {
    let ingest = match inputs.failure {
        None => IngestStatus::Success,
        Some(_) => IngestStatus::Failed,
    };
    let mut detail = Map::new();
    detail.insert("ingestStatus".to_owned(), json!(ingest));
    if let Some(code) = inputs.failure {
        detail.insert("failureCode".to_owned(), json!(code));
    }
    for (member, value) in [
        ("stateFile", json!(shown(&inputs.stamp.paths.state))),
        ("cursorFile", json!(shown(&inputs.stamp.paths.cursor))),
        ("healthFile", json!(shown(&inputs.stamp.paths.health))),
        ("healthStatus", json!(inputs.health.status)),
        ("reasonCodes", inputs.health.reason_codes.clone()),
        ("reasons", inputs.health.reasons.clone()),
    ] {
        detail.insert(member.to_owned(), value);
    }
    Value::Object(detail)
}

/// A path as it is reported.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
