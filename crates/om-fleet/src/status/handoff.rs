//! The last handoff (chapter 05 §3.4, §3.5.3; decisions D15, D16).

use std::collections::HashMap;

use om_model::fleet::status::{
    HandoffExecutionStatus, HandoffStatus, HandoffSummary, OutcomeRollup,
};
use om_model::json::present;
use serde_json::{Map, Value, json};

use super::FleetStatusError;
use super::source::{Document, Null};

const PENDING: &str = "pending_operator_confirmation";

/// A handoff that there is.
pub(super) struct Handoff<'a> {
    state: Document<'a>,
    intents: Vec<Document<'a>>,
    results: Vec<Document<'a>>,
    /// Intents that wait for a person.
    pub(super) pending_manual: usize,
    /// Outcomes by reason, in the order of first occurrence.
    pub(super) outcomes: Map<String, Value>,
}

impl<'a> Handoff<'a> {
    /// `None` if there is no state, or `null`.
    pub(super) fn of(state: &Document<'a>) -> Result<Option<Self>, FleetStatusError> {
        if state.is_null() {
            return Ok(None);
        }
        state.object("execution")?;
        state.object("summary")?;
        let intents = state.objects("intents", Null::IsEmpty)?;
        let mut pending_manual = 0;
        for intent in &intents {
            intent.text("intentId")?;
            let manual = intent.raw("autonomous.manualOnly")? == Some(&Value::Bool(true));
            let status = intent.value().get("status").and_then(Value::as_str);
            pending_manual += usize::from(manual && status == Some(PENDING));
        }
        let results = match state.object("execution")? {
            Some(_) => state.objects("execution.results", Null::IsWrong)?,
            None => Vec::new(),
        };
        let mut outcomes = Tally::default();
        for result in &results {
            result.require_text("intentId")?;
            if let Some(code) = result.text("reasonCode")? {
                outcomes.add(code);
            }
        }
        Ok(Some(Self {
            state: *state,
            intents,
            results,
            pending_manual,
            outcomes: outcomes.into_map(),
        }))
    }

    /// The document.
    pub(super) fn state(&self) -> &Document<'a> {
        &self.state
    }

    /// The intents.
    pub(super) fn intents(&self) -> &[Document<'a>] {
        &self.intents
    }

    /// A member of the execution; nothing without an execution.
    pub(super) fn execution(&self, member: &str) -> Result<Option<&'a Value>, FleetStatusError> {
        let execution = self.state.object("execution")?;
        Ok(execution.and_then(|execution| present(execution.get(member))))
    }

    /// A count of the execution, by default 0.
    pub(super) fn executed(&self, member: &str) -> Result<Value, FleetStatusError> {
        Ok(super::or_default(self.execution(member)?, 0))
    }

    /// A count of the summary, by default 0.
    pub(super) fn summarized(&self, member: &str) -> Result<Value, FleetStatusError> {
        let summary = self.state.object("summary")?;
        let found = summary.and_then(|summary| present(summary.get(member)));
        Ok(super::or_default(found, 0))
    }

    pub(super) fn status(&self, rollup: &OutcomeRollup) -> Result<HandoffStatus, FleetStatusError> {
        let state = &self.state;
        Ok(HandoffStatus {
            mode: state.copy("mode")?,
            reason_codes: state.copy_or("reasonCodes", json!([]))?,
            summary: self.summary(rollup)?,
            execution: self.execution_status()?,
            by_autonomy_reason: self.autonomy_reasons(),
            pending_manual_only_count: self.pending_manual,
            trace_id: state.copy("traceId")?,
            updated_at: state.copy("updatedAt")?,
            retry_guard_count: match state.get("retryGuard")? {
                Some(_) => Some(state.array("retryGuard")?.len()),
                None => None,
            },
        })
    }

    /// Reasons of outcomes on sprites that were not what was wanted, in the
    /// order of first occurrence.
    pub(super) fn transport_blocks(&self) -> Result<Map<String, Value>, FleetStatusError> {
        let transports: HashMap<&str, &str> = self
            .intents
            .iter()
            .filter_map(|intent| {
                let id = intent.value().get("intentId")?.as_str()?;
                let transport = present(intent.value().get("transport"));
                Some((
                    id,
                    transport.map_or("local", |t| t.as_str().unwrap_or_default()),
                ))
            })
            .collect();
        let mut blocks = Tally::default();
        for result in &self.results {
            let member = |name| result.value().get(name).and_then(Value::as_str);
            let transport = member("intentId").and_then(|id| transports.get(id));
            let troubled = matches!(member("status"), Some("failed" | "ambiguous"));
            if troubled && transport == Some(&"sprite_service") {
                let reason = result.text("reasonCode")?;
                blocks.add(reason.unwrap_or("transport_execution_blocked"));
            }
        }
        Ok(blocks.into_map())
    }

    fn summary(&self, rollup: &OutcomeRollup) -> Result<HandoffSummary, FleetStatusError> {
        let summary = self.state.object("summary")?;
        let intents = summary.and_then(|summary| present(summary.get("intentCount")));
        Ok(HandoffSummary {
            intent_count: super::or_default(intents, self.intents.len()),
            auto_eligible_intent_count: self.summarized("autoEligibleIntentCount")?,
            manual_only_intent_count: self.summarized("manualOnlyIntentCount")?,
            pending_confirmation_count: self.summarized("pendingConfirmationCount")?,
            executed_count: self.summarized("executedCount")?,
            ambiguous_count: self.summarized("ambiguousCount")?,
            failed_count: self.summarized("failedCount")?,
            autonomous_outcome_rollup: rollup.clone(),
        })
    }

    fn execution_status(&self) -> Result<HandoffExecutionStatus, FleetStatusError> {
        let copy = |member| -> Result<Option<Value>, FleetStatusError> {
            Ok(self.execution(member)?.cloned())
        };
        Ok(HandoffExecutionStatus {
            mode: copy("mode")?,
            requested_by: copy("requestedBy")?,
            requested_at: copy("requestedAt")?,
            completed_at: copy("completedAt")?,
            requested_intent_count: self.executed("requestedIntentCount")?,
            executed_intent_count: self.executed("executedIntentCount")?,
            executed_count: self.executed("executedCount")?,
            ambiguous_count: self.executed("ambiguousCount")?,
            failed_count: self.executed("failedCount")?,
            by_reason_code: self.outcomes.clone(),
            withheld_count: copy("withheldCount")?,
            withheld: copy("withheld")?,
        })
    }

    /// Every text among the intents' reasons.
    fn autonomy_reasons(&self) -> Map<String, Value> {
        let mut reasons = Tally::default();
        for intent in &self.intents {
            for reason in reasons_of(intent.value()) {
                reasons.add(reason);
            }
        }
        reasons.into_map()
    }
}

/// `autonomous.reasons` of an intent or a candidate; what is no list of texts
/// is ignored.
pub(super) fn reasons_of(entry: &Value) -> impl Iterator<Item = &str> {
    let reasons = entry
        .get("autonomous")
        .and_then(|autonomous| autonomous.get("reasons"))
        .and_then(Value::as_array);
    reasons.into_iter().flatten().filter_map(Value::as_str)
}

/// Counts in the order of first occurrence.
#[derive(Default)]
pub(super) struct Tally(Vec<(String, u64)>, HashMap<String, usize>);

impl Tally {
    pub(super) fn add(&mut self, key: &str) {
        let Self(counts, places) = self;
        if let Some(place) = places.get(key) {
            counts[*place].1 += 1;
        } else {
            places.insert(key.to_owned(), counts.len());
            counts.push((key.to_owned(), 1));
        }
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        let counts = self.0.into_iter();
        counts.map(|(key, count)| (key, json!(count))).collect()
    }
}
