//! `control-pending.json`: intents that were begun and have no outcome yet
//! (decision D7).

use om_model::control::PendingIntent;
use om_model::json::{self, ParseError};
use serde_json::{Map, Value, json};

/// Why the document cannot be used. Nothing is executed then: an intent that
/// cannot be recorded is not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PendingError {
    /// It is not one JSON document.
    #[error("it is not JSON: {0}")]
    Malformed(ParseError),
    /// It, or its list, has another type.
    #[error("{0}")]
    WrongType(json::WrongType),
}

/// The document, with whatever else somebody put into it.
///
/// Entries that this version cannot read stay where they are: status shows
/// them.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingDocument {
    members: Map<String, Value>,
    entries: Vec<Value>,
}

impl PendingDocument {
    /// Reads what stands in the file; absent and blank files hold no entries.
    pub fn parse(bytes: Option<&[u8]>) -> Result<Self, PendingError> {
        let root = match bytes.map(json::parse) {
            None | Some(Err(ParseError::Blank)) => Value::Null,
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(PendingError::Malformed(error)),
        };
        let mut members = json::root_object(&root)
            .map_err(PendingError::WrongType)?
            .into_owned();
        let entries = match members.get_mut("pending").map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                return Err(PendingError::WrongType(json::WrongType {
                    member: "pending".to_owned(),
                    found: json::type_name(&other),
                    expected: "an array",
                }));
            }
        };
        Ok(Self { members, entries })
    }

    /// The entries that can be read.
    pub fn entries(&self) -> Vec<PendingIntent> {
        let readable = |entry: &Value| serde_json::from_value(entry.clone()).ok();
        self.entries.iter().filter_map(readable).collect()
    }

    /// Adds an intent that is about to be executed.
    pub fn add(&mut self, entry: &PendingIntent) {
        self.entries.push(json::to_value(entry));
    }

    /// Removes the entry of one execution, if it is still there.
    pub fn remove(&mut self, control_id: &str) {
        self.entries.retain(|entry| !is_of(entry, control_id));
    }

    /// Notes that nobody works on an execution any more, if it is still there.
    pub fn mark_ended(&mut self, control_id: &str) {
        for entry in &mut self.entries {
            if is_of(entry, control_id)
                && let Value::Object(members) = entry
            {
                members.insert("ended".to_owned(), Value::Bool(true));
            }
        }
    }

    /// The document as it is stored: one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut members = self.members.clone();
        members
            .entry("schemaVersion")
            .or_insert_with(|| json!("v1"));
        members.insert("pending".to_owned(), Value::Array(self.entries.clone()));
        (json::compact(&members) + "\n").into_bytes()
    }
}

fn is_of(entry: &Value, control_id: &str) -> bool {
    entry.get("controlId").and_then(Value::as_str) == Some(control_id)
}
