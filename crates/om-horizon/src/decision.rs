//! Decisions of a person about entries of the queue. Pure.

use om_model::control::{ControlStatus, Intent};
use om_model::fleet::handoff::{OutcomeReason, OutcomeStatus};
use om_model::health::TransportMode;
use om_model::horizon::{
    EntryExecution, EntryStatus, ExecutionPhase, OperatorAction, OperatorCategory, OperatorControl,
    OperatorRow,
};
use om_model::{LoopId, Timestamp, TraceId, json};
use serde_json::{Map, Value};

use crate::error::HorizonError;
use crate::merge::{entry_key, queue_summary};

/// An entry of the queue, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `<packetId>::<traceId>`, unique.
    pub key: String,
    /// Of the packet.
    pub packet_id: String,
    /// Of the envelope.
    pub trace_id: String,
    /// Need not be unique.
    pub intent_id: String,
    /// Any text.
    pub status: String,
    /// What was executed before.
    pub execution: Option<EntryExecution>,
}

impl Entry {
    /// Reads an entry; one without both ids is none.
    pub fn read(value: &Value) -> Option<Self> {
        let text = |member: &str| value.get(member).and_then(Value::as_str);
        let id = |member| text(member).filter(|id| !id.is_empty()).map(str::to_owned);
        let execution = value.get("execution").cloned();
        Some(Self {
            key: entry_key(value),
            packet_id: id("packetId")?,
            trace_id: id("traceId")?,
            intent_id: text("intentId").unwrap_or_default().to_owned(),
            status: text("status").unwrap_or_default().to_owned(),
            execution: execution.and_then(|execution| serde_json::from_value(execution).ok()),
        })
    }

    /// The status, if it is one of ours.
    pub fn known_status(&self) -> Option<EntryStatus> {
        EntryStatus::parse(&self.status)
    }

    /// Whether it waits for a person.
    pub fn is_pending(&self) -> bool {
        self.known_status() == Some(EntryStatus::PendingOperatorConfirmation)
    }

    /// Whether it was begun, and no outcome is recorded.
    pub fn is_begun(&self) -> bool {
        let execution = self.execution.as_ref();
        execution.is_some_and(|execution| execution.phase == ExecutionPhase::Begun)
    }

    /// How often it was executed.
    fn attempts(&self) -> u64 {
        match &self.execution {
            Some(execution) => execution.attempts,
            // Somebody else executed it.
            None => u64::from(!self.is_pending()),
        }
    }

    /// `horizon-<packetId>-<traceId>`; another one for each repetition, so
    /// that a service does not take it for the first.
    pub fn idempotency_key(&self) -> String {
        let key = format!("horizon-{}-{}", self.packet_id, self.trace_id);
        match self.attempts() {
            0 => key,
            attempts => format!("{key}-r{attempts}"),
        }
    }
}

/// The entries of a queue.
pub fn entries(queue: &Value) -> impl Iterator<Item = Entry> {
    let values = queue.get("intents").and_then(Value::as_array);
    values.into_iter().flatten().filter_map(Entry::read)
}

/// The one entry that `wanted` names: by key, packet id or intent id. Of
/// several, the only one that waits for a person.
pub fn find(queue: &Value, wanted: &str, path: &std::path::Path) -> Result<Entry, HorizonError> {
    let is_meant = |entry: &Entry| entry.packet_id == wanted || entry.intent_id == wanted;
    if let Some(entry) = entries(queue).find(|entry| entry.key == wanted) {
        return Ok(entry);
    }
    let mut found: Vec<Entry> = entries(queue).filter(is_meant).collect();
    let pending = found.iter().filter(|entry| entry.is_pending()).count();
    if pending == 1 {
        found.retain(Entry::is_pending);
    }
    match found.len() {
        0 => Err(HorizonError::NoEntry {
            wanted: wanted.to_owned(),
            path: path.to_owned(),
        }),
        1 => Ok(found.remove(0)),
        _ => Err(HorizonError::SeveralEntries {
            wanted: wanted.to_owned(),
            keys: found.into_iter().map(|entry| entry.key).collect(),
        }),
    }
}

/// Whether a person may decide about an entry now. What was executed, and not
/// well, is executed once more only on explicit request.
pub fn check(entry: &Entry, action: OperatorAction, again: bool) -> Result<(), HorizonError> {
    let (key, status) = (entry.key.clone(), entry.status.clone());
    match (entry.known_status(), action) {
        (Some(EntryStatus::PendingOperatorConfirmation), _)
        | (
            Some(EntryStatus::ExecutionAmbiguous | EntryStatus::ExecutionFailed),
            OperatorAction::Reject,
        ) => Ok(()),
        (
            Some(EntryStatus::ExecutionAmbiguous | EntryStatus::ExecutionFailed),
            OperatorAction::Approve,
        ) => again
            .then_some(())
            .ok_or(HorizonError::NeedsAgain { key, status }),
        (Some(EntryStatus::Executed | EntryStatus::RejectedByOperator) | None, _) => {
            Err(HorizonError::NotPending { key, status })
        }
    }
}

/// What is done for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The loop.
    pub loop_id: LoopId,
    /// What is done to it.
    pub intent: Intent,
    /// How it is reached.
    pub transport: TransportMode,
}

/// Who decides, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// May be empty.
    pub requested_by: String,
    /// `None` rather than empty.
    pub note: Option<String>,
}

/// How an execution ended, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it is called.
    pub status: OutcomeStatus,
    /// Why.
    pub reason: OutcomeReason,
    /// What control said, with its exit code and whether the effect was seen.
    pub control: Option<(ControlStatus, bool)>,
}

impl Outcome {
    /// What control's status means (chapter 06 §2.4.5).
    pub fn of(status: &ControlStatus, confirmed: bool) -> Self {
        let (outcome, reason) = match status.exit_code() {
            0 => (OutcomeStatus::Executed, OutcomeReason::ControlConfirmed),
            2 => (OutcomeStatus::Ambiguous, OutcomeReason::ControlAmbiguous),
            _ => (OutcomeStatus::Failed, OutcomeReason::ControlFailedCommand),
        };
        Self {
            status: outcome,
            reason,
            control: Some((status.clone(), confirmed)),
        }
    }

    /// Control did nothing.
    pub fn nothing_done() -> Self {
        Self {
            status: OutcomeStatus::Failed,
            reason: OutcomeReason::ControlFailedCommand,
            control: None,
        }
    }

    /// Nobody knows.
    pub fn unknown() -> Self {
        Self {
            status: OutcomeStatus::Ambiguous,
            reason: OutcomeReason::ControlAmbiguous,
            control: None,
        }
    }
}

/// The row of a rejection.
pub fn rejection(entry: &Entry, author: &Author, trace_id: TraceId, now: Timestamp) -> OperatorRow {
    OperatorRow {
        timestamp: now,
        category: OperatorCategory::Only,
        trace_id,
        action: OperatorAction::Reject,
        status: EntryStatus::RejectedByOperator,
        previous_status: entry.status.clone(),
        intent_id: entry.intent_id.clone(),
        packet_id: entry.packet_id.clone(),
        envelope_trace_id: entry.trace_id.clone(),
        requested_by: author.requested_by.clone(),
        note: author.note.clone(),
        control: None,
        recovered: false,
    }
}

/// The row of an execution, made from what was recorded before it.
pub fn execution_row(
    entry: &Entry,
    begun: &EntryExecution,
    outcome: &Outcome,
    recovered: bool,
    now: Timestamp,
) -> OperatorRow {
    let author = Author {
        requested_by: begun.requested_by.clone(),
        note: begun.note.clone(),
    };
    let control = outcome.control.as_ref();
    OperatorRow {
        action: OperatorAction::Approve,
        status: outcome.status.into(),
        control: Some(OperatorControl {
            loop_id: begun.loop_id.clone(),
            intent: begun.intent,
            transport: begun.transport,
            started_at: begun.started_at,
            idempotency_key: begun.idempotency_key.clone(),
            reason_code: outcome.reason,
            status: control.map(|(status, _)| status.clone()),
            exit_code: control.map(|(status, _)| status.exit_code()),
            confirmed: control.is_some_and(|(_, confirmed)| *confirmed),
        }),
        recovered,
        ..rejection(entry, &author, begun.trace_id.clone(), now)
    }
}

/// The execution with its outcome.
pub fn completed(begun: &EntryExecution, outcome: &Outcome, now: Timestamp) -> EntryExecution {
    EntryExecution {
        phase: ExecutionPhase::Completed,
        completed_at: Some(now),
        status: outcome.status,
        reason_code: outcome.reason,
        ..begun.clone()
    }
}

/// Gives the entry `key` a status, and what was executed; everything else of
/// the queue stays, but for the counts that follow from it. Whether there is
/// such an entry.
pub fn update(
    queue: &mut Value,
    key: &str,
    status: &str,
    execution: Option<&EntryExecution>,
    now: Timestamp,
) -> bool {
    let Value::Object(members) = queue else {
        return false;
    };
    let Some(Value::Array(entries)) = members.get_mut("intents") else {
        return false;
    };
    let is_it = |entry: &&mut Value| entry_key(entry) == key;
    let Some(entry) = entries
        .iter_mut()
        .find(is_it)
        .and_then(Value::as_object_mut)
    else {
        return false;
    };
    entry.insert("status".to_owned(), status.into());
    entry.insert("updatedAt".to_owned(), now.to_string().into());
    if let Some(execution) = execution {
        entry.insert("execution".to_owned(), json::to_value(execution));
    }
    let (summary, reason) = queue_summary(entries);
    members.insert("updatedAt".to_owned(), now.to_string().into());
    let counts = match members.entry("summary").or_insert(Value::Null) {
        Value::Object(counts) => counts,
        other => {
            *other = Value::Object(Map::new());
            let Value::Object(counts) = other else {
                unreachable!("an object was just put there")
            };
            counts
        }
    };
    if let Value::Object(new) = json::to_value(&summary) {
        counts.extend(new);
    }
    members.insert("reasonCodes".to_owned(), json::to_value(&[reason]));
    true
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn entry(packet: &str, trace: &str, status: &str) -> Value {
        json!({
            "packetId": packet, "traceId": trace, "intentId": format!("horizon-bridge:{packet}:go"),
            "status": status, "note": "of a person",
        })
    }

    fn found(queue: &Value, wanted: &str) -> Result<String, String> {
        find(queue, wanted, Path::new("/q"))
            .map(|entry| entry.key)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_entry_is_named_by_key_packet_or_intent() {
        let pending = "pending_operator_confirmation";
        let queue = json!({ "intents": [
            entry("a", "1", "executed"), entry("a", "2", pending),
            entry("b", "1", pending), entry("b", "2", pending), null, 5,
        ] });
        for (wanted, expected) in [
            ("a::1", Ok("a::1".to_owned())),
            ("a", Ok("a::2".to_owned())),
            ("horizon-bridge:a:go", Ok("a::2".to_owned())),
            ("b::2", Ok("b::2".to_owned())),
            (
                "b",
                Err("\"b\" is not one entry but 2; name one of them: b::1, b::2".to_owned()),
            ),
        ] {
            assert_eq!(found(&queue, wanted), expected, "{wanted}");
        }
        let error = found(&queue, "c").expect_err("is not there");
        assert!(
            error.starts_with("no entry \"c\" in the queue /q;"),
            "{error}"
        );
    }

    #[test]
    fn what_was_executed_or_rejected_is_decided() {
        use OperatorAction::{Approve, Reject};
        for (status, action, again, allowed) in [
            ("pending_operator_confirmation", Approve, false, true),
            ("pending_operator_confirmation", Reject, false, true),
            ("executed", Approve, true, false),
            ("executed", Reject, true, false),
            ("execution_failed", Approve, false, false),
            ("execution_failed", Approve, true, true),
            ("execution_failed", Reject, false, true),
            ("execution_ambiguous", Approve, false, false),
            ("execution_ambiguous", Approve, true, true),
            ("execution_ambiguous", Reject, false, true),
            ("rejected_by_operator", Approve, true, false),
            ("rejected_by_operator", Reject, true, false),
            ("on_hold", Approve, true, false),
            ("", Reject, true, false),
        ] {
            let entry = Entry::read(&entry("p", "t", status)).expect("an entry");
            let found = check(&entry, action, again).is_ok();
            assert_eq!(found, allowed, "{status} {action:?} {again}");
        }
    }

    #[test]
    fn every_repetition_has_a_key_of_its_own() {
        let key = |value: &Value| Entry::read(value).expect("an entry").idempotency_key();
        let pending = entry("p", "t", "pending_operator_confirmation");
        assert_eq!(key(&pending), "horizon-p-t");
        assert_eq!(key(&entry("p", "t", "execution_failed")), "horizon-p-t-r1");
    }

    #[test]
    fn an_update_changes_one_entry_and_the_counts() {
        let mut queue = json!({
            "generatedAt": "then", "x": 1, "summary": { "kept": true },
            "intents": [entry("a", "1", "pending_operator_confirmation"), entry("b", "1", "hold")],
        });
        let now = Timestamp::from_epoch_seconds(60);
        assert!(update(
            &mut queue,
            "a::1",
            "rejected_by_operator",
            None,
            now
        ));
        assert_eq!(
            queue,
            json!({
                "generatedAt": "then", "x": 1, "updatedAt": "1970-01-01T00:01:00Z",
                "summary": { "kept": true, "intentCount": 2, "pendingConfirmationCount": 0 },
                "reasonCodes": ["horizon_bridge_queue_empty"],
                "intents": [
                    {
                        "packetId": "a", "traceId": "1", "intentId": "horizon-bridge:a:go",
                        "status": "rejected_by_operator", "note": "of a person",
                        "updatedAt": "1970-01-01T00:01:00Z",
                    },
                    entry("b", "1", "hold"),
                ],
            })
        );
        assert!(!update(&mut queue, "c::1", "executed", None, now));
    }
}
