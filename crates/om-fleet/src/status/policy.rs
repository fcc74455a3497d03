//! The last policy evaluation (chapter 05 §3.5.2).

use om_model::fleet::registry::PolicyMode;
use om_model::fleet::status::PolicySummary;
use serde_json::{Map, Value, json};

use super::FleetStatusError;
use super::source::{Document, Null};

/// Candidates shown.
const TOP: usize = 5;

/// A policy evaluation that there is.
pub(super) struct Policy<'a> {
    state: Document<'a>,
    candidates: Vec<Document<'a>>,
    /// Reason → count.
    pub(super) reasons: Option<&'a Map<String, Value>>,
}

impl<'a> Policy<'a> {
    /// `None` if there is no state, or `null`.
    pub(super) fn of(state: &Document<'a>) -> Result<Option<Self>, FleetStatusError> {
        if state.is_null() {
            return Ok(None);
        }
        for member in ["summary", "autonomous"] {
            state.check_container(member)?;
        }
        for member in [
            "autonomous.controls",
            "autonomous.controls.safety",
            "autonomous.rollout",
            "autonomous.rollout.candidateBuckets",
            "autonomous.rollout.pause",
            "autonomous.rollout.pause.auto",
        ] {
            state.check_container(member)?;
        }
        Ok(Some(Self {
            state: *state,
            candidates: state.objects("candidates", Null::IsWrong)?,
            reasons: state.object("summary.byAutonomyReason")?,
        }))
    }

    /// The document.
    pub(super) fn state(&self) -> &Document<'a> {
        &self.state
    }

    /// The candidates.
    pub(super) fn candidates(&self) -> &[Document<'a>] {
        &self.candidates
    }

    /// Its mode; without one it is advisory.
    pub(super) fn mode(&self) -> Result<Value, FleetStatusError> {
        self.state.copy_or("mode", PolicyMode::Advisory.as_str())
    }

    /// Its trace.
    pub(super) fn trace_id(&self) -> Result<Option<Value>, FleetStatusError> {
        self.state.copy("traceId")
    }

    pub(super) fn summary(&self) -> Result<PolicySummary, FleetStatusError> {
        let state = &self.state;
        Ok(PolicySummary {
            mode: self.mode()?,
            candidate_count: state.copy_or("candidateCount", 0)?,
            unsuppressed_count: state.copy_or("unsuppressedCount", 0)?,
            suppressed_count: state.copy_or("suppressedCount", 0)?,
            reason_codes: state.copy_or("reasonCodes", json!([]))?,
            top_candidates: self.top(),
            trace_id: self.trace_id()?,
            updated_at: state.copy("updatedAt")?,
        })
    }

    /// The worst first, otherwise in their order.
    fn top(&self) -> Vec<Value> {
        let mut worst: Vec<&Value> = self.candidates.iter().map(Document::value).collect();
        worst.sort_by_key(|candidate| severity_rank(candidate));
        worst.into_iter().take(TOP).cloned().collect()
    }
}

fn severity_rank(candidate: &Value) -> u8 {
    match candidate.get("severity").and_then(Value::as_str) {
        Some("critical") => 0,
        Some("warning") => 1,
        _ => 2,
    }
}
