//! The queue's order, identity and counts (§2.4 step 7).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use om_model::horizon::{EntryStatus, QueueReason, QueueSummary};
use om_model::json;
use serde_json::Value;

use crate::envelope::key;

/// The entries in their order, the first of each key; all have both ids.
pub fn merged(entries: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Value> = entries
        .into_iter()
        .filter(|entry| seen.insert(entry_key(entry)))
        .collect();
    kept.sort_by(order);
    kept
}

/// `<packetId>::<traceId>` of an entry.
pub fn entry_key(entry: &Value) -> String {
    key(id(entry, "packetId"), id(entry, "traceId"))
}

/// Counts the entries.
pub fn queue_summary(entries: &[Value]) -> (QueueSummary, QueueReason) {
    let pending = EntryStatus::PendingOperatorConfirmation.as_str();
    let is_pending = |entry: &&Value| entry.get("status").and_then(Value::as_str) == Some(pending);
    let pending = entries.iter().filter(is_pending).count() as u64;
    let summary = QueueSummary {
        intent_count: entries.len() as u64,
        pending_confirmation_count: pending,
    };
    let reason = if pending > 0 {
        QueueReason::ConfirmationPending
    } else {
        QueueReason::QueueEmpty
    };
    (summary, reason)
}

fn id<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn order(a: &Value, b: &Value) -> Ordering {
    let ids = |entry| (id(entry, "packetId"), id(entry, "traceId"));
    mixed(created_at(a), created_at(b)).then_with(|| ids(a).cmp(&ids(b)))
}

fn created_at(entry: &Value) -> Option<&Value> {
    json::present(entry.get("createdAt"))
}

/// The order of values of any type (§0.2); nothing is the empty text.
fn mixed(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        Some(Value::Null) => 0,
        Some(Value::Bool(flag)) => 1 + u8::from(*flag),
        Some(Value::Number(_)) => 3,
        None | Some(Value::String(_)) => 4,
        Some(Value::Array(_)) => 5,
        Some(Value::Object(_)) => 6,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let number = |number: &serde_json::Number| number.as_f64().unwrap_or_default();
            number(a).total_cmp(&number(b))
        }
        _ => text(a).cmp(&text(b)),
    })
}

fn text(value: Option<&Value>) -> String {
    value.map(json::text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_of_a_key_stays_and_the_order_is_by_creation_then_ids() {
        let entry = |created: Value, packet: &str, note: u8| json!({ "packetId": packet, "traceId": "t", "createdAt": created, "note": note });
        let found = merged([
            entry(json!("2031-01-02T00:00:00Z"), "a", 1),
            entry(json!("2031-01-01T00:00:00Z"), "z", 2),
            entry(json!("2031-01-01T00:00:00Z"), "b", 3),
            entry(json!("2030-01-01T00:00:00Z"), "a", 4),
            entry(json!({}), "o", 5),
            entry(json!(false), "f", 6),
            entry(json!(7), "n", 7),
            entry(json!(6), "n6", 8),
            entry(json!(true), "true", 9),
            entry(json!([]), "l", 10),
        ]);
        let notes: Vec<_> = found.iter().map(|entry| entry["note"].clone()).collect();
        assert_eq!(notes, [9, 8, 7, 6, 3, 2, 1, 10, 5]);
    }

    #[test]
    fn only_entries_that_wait_are_pending() {
        let pending = json!({ "status": "pending_operator_confirmation" });
        let other = json!({ "status": "executed" });
        for (entries, count, reason) in [
            (vec![], 0, QueueReason::QueueEmpty),
            (
                vec![other.clone(), json!({ "status": 5 })],
                0,
                QueueReason::QueueEmpty,
            ),
            (vec![pending, other], 1, QueueReason::ConfirmationPending),
        ] {
            let (summary, found) = queue_summary(&entries);
            assert_eq!(
                (summary.intent_count, found),
                (entries.len() as u64, reason)
            );
            assert_eq!(summary.pending_confirmation_count, count);
        }
    }
}
