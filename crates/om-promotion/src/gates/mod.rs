//! Five gates over the fleet's evidence: may autonomy be widened?
//!
//! [`evaluate`] is pure: evidence in, decision out, each gate with the
//! evidence that it used (chapter 07 §1.4, decision D19).
//!
//! | gate | module | evidence |
//! |---|---|---|
//! | 1 `governance` | `governance` | the fleet's status |
//! | 2 `outcome_reliability` | `reliability` | executions by handoff |
//! | 3 `manual_backlog` | `backlog` | the fleet's status, plans by handoff |
//! | 4 `safety_suppression` | `safety` | the fleet's status |
//! | 5 `drill_recency` | `drills` | the drills' record |

mod backlog;
mod drills;
mod governance;
mod handoff;
mod reliability;
mod run;
mod safety;
mod status;

use std::collections::BTreeMap;

use om_model::envelope::SchemaVersion;
use om_model::promotion::Decision;
use om_model::promotion::gates::{
    Gate, GateReason, GateStatus, GateThresholds, Gates, GatesDocument, GatesSource, GatesSummary,
};
use om_model::{Timestamp, TraceId};

pub use drills::DrillEvidence;
pub use handoff::{HandoffEvidence, HandoffSample};
pub use om_policy::Execution;
pub use run::{GatesRequest, look, run};
pub use status::StatusEvidence;

/// Seconds that a clock elsewhere may be ahead of ours (decision D19).
pub(crate) const CLOCK_SKEW_SECONDS: u64 = 300;

/// Everything that the gates look at.
#[derive(Clone, Debug)]
pub struct GatesInputs {
    /// What is used of the fleet's status.
    pub status: StatusEvidence,
    /// Executions and plans by handoff.
    pub handoff: HandoffEvidence,
    /// The drills' record.
    pub drills: DrillEvidence,
}

/// What comes from outside of the evidence.
#[derive(Clone, Debug)]
pub struct GatesContext {
    /// Evaluation time, after all evidence was read.
    pub now: Timestamp,
    /// Links what follows from the decision.
    pub trace_id: TraceId,
    /// Where the evidence came from.
    pub source: GatesSource,
    /// What it is measured against.
    pub thresholds: GateThresholds,
}

/// The decision: `promote` iff no gate has a reason against it.
pub fn evaluate(inputs: &GatesInputs, context: &GatesContext) -> GatesDocument {
    let thresholds = &context.thresholds;
    let gates = Gates {
        governance: governance::gate(&inputs.status),
        outcome_reliability: reliability::gate(&inputs.handoff, thresholds, context.now),
        manual_backlog: backlog::gate(&inputs.status, &inputs.handoff, thresholds),
        safety_suppression: safety::gate(&inputs.status),
        drill_recency: drills::gate(&inputs.drills, thresholds, context.now),
    };
    GatesDocument {
        schema_version: SchemaVersion::V1,
        generated_at: context.now,
        trace_id: context.trace_id.clone(),
        source: context.source.clone(),
        thresholds: thresholds.clone(),
        summary: summary(&gates),
        gates,
    }
}

fn summary(gates: &Gates) -> GatesSummary {
    let verdicts = gates.verdicts();
    let failed: Vec<Gate> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.status == GateStatus::Fail)
        .map(|(gate, _)| *gate)
        .collect();
    let sorted: BTreeMap<String, GateReason> = verdicts
        .iter()
        .flat_map(|(_, verdict)| &verdict.reasons)
        .map(|reason| (reason.to_string(), *reason))
        .collect();
    let promote = failed.is_empty();
    GatesSummary {
        decision: if promote {
            Decision::Promote
        } else {
            Decision::Hold
        },
        promote,
        gate_pass_count: verdicts.len() - failed.len(),
        gate_fail_count: failed.len(),
        failed_gates: failed,
        reason_codes: sorted.into_values().collect(),
    }
}

/// The reasons whose condition holds, in the order of the table.
fn reasons_of(table: &[(GateReason, bool)]) -> Vec<GateReason> {
    let holding = table.iter().filter(|(_, holds)| *holds);
    holding.map(|(reason, _)| *reason).collect()
}

#[cfg(test)]
mod tests;
