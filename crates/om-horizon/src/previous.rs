//! The queue and the state of the run before, read tolerantly (§2.3).

use std::collections::BTreeSet;

use om_model::Artifact;
use om_model::horizon::{Observed, WatchedClaim};
use om_model::json::{self, Lookup, WrongType, type_name};
use serde_json::Value;

use crate::envelope::key;
use crate::error::DocumentError;

/// The queue as it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreviousQueue {
    /// Entries with both ids, as they were.
    pub entries: Vec<Value>,
    /// Keys of all entries whose ids are there, even if empty.
    pub keys: BTreeSet<String>,
}

impl PreviousQueue {
    /// Reads the queue; no file and `null` are an empty one.
    pub fn read(artifact: Artifact) -> Result<Self, DocumentError> {
        let mut queue = Self::default();
        for (position, entry) in entries(artifact)?.into_iter().enumerate() {
            queue.take(position, entry)?;
        }
        Ok(queue)
    }

    fn take(&mut self, position: usize, entry: Value) -> Result<(), WrongType> {
        let wrong = |member: &str, found: &Value, expected| WrongType {
            member: format!("intents[{position}]{member}"),
            found: type_name(found),
            expected,
        };
        let members = match &entry {
            Value::Null => return Ok(()),
            Value::Object(members) => members,
            other => return Err(wrong("", other, "an object")),
        };
        let id = |member: &str| {
            let text = |value: &Value| match value {
                Value::String(text) => Ok(text.clone()),
                other => Err(wrong(&format!(".{member}"), other, "a string")),
            };
            json::present(members.get(member)).map(text)
        };
        let (Some(packet_id), Some(trace_id)) = (id("packetId"), id("traceId")) else {
            return Ok(());
        };
        let (packet_id, trace_id) = (packet_id?, trace_id?);
        self.keys.insert(key(&packet_id, &trace_id));
        if !packet_id.is_empty() && !trace_id.is_empty() {
            self.entries.push(entry);
        }
        Ok(())
    }
}

/// The members of `intents`.
fn entries(artifact: Artifact) -> Result<Vec<Value>, DocumentError> {
    let document = match artifact {
        Artifact::Absent => return Ok(Vec::new()),
        Artifact::Broken(error) => return Err(error.into()),
        Artifact::Document(document) => document,
    };
    match Lookup::new(&document).get("intents")? {
        None => Ok(Vec::new()),
        Some(Value::Array(entries)) => Ok(entries.clone()),
        Some(other) => Err(WrongType {
            member: "intents".to_owned(),
            found: type_name(other),
            expected: "an array",
        }
        .into()),
    }
}

/// The state as it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreviousState {
    /// Envelopes that are known.
    pub keys: BTreeSet<String>,
    /// What the next state says about this one.
    pub observed: Observed,
    /// Files that somebody may still have had open.
    pub watched: Vec<WatchedClaim>,
}

impl PreviousState {
    /// Reads the state; no file and `null` are none.
    pub fn read(artifact: &Artifact) -> Result<Self, DocumentError> {
        let document = match artifact {
            Artifact::Absent => return Ok(Self::default()),
            Artifact::Broken(error) => return Err(error.clone().into()),
            Artifact::Document(document) => document,
        };
        if document.is_null() {
            return Ok(Self::default());
        }
        let look = Lookup::new(document);
        let verbatim = |member| Ok::<_, WrongType>(look.get(member)?.cloned().unwrap_or_default());
        let watched = look.get("watched")?.cloned().map(serde_json::from_value);
        Ok(Self {
            keys: known_keys(document),
            observed: Observed {
                had_previous_state: true,
                previous_status: verbatim("status")?,
                previous_updated_at: verbatim("updatedAt")?,
            },
            // Ours alone; what is not as we wrote it is nobody's.
            watched: watched.and_then(Result::ok).unwrap_or_default(),
        })
    }
}

/// `dedupe.keys`, in whatever shape.
fn known_keys(document: &Value) -> BTreeSet<String> {
    let keys = document.get("dedupe").and_then(|dedupe| dedupe.get("keys"));
    let values: Vec<&Value> = match keys {
        Some(Value::Array(values)) => values.iter().collect(),
        Some(Value::Object(members)) => members.values().collect(),
        _ => Vec::new(),
    };
    let texts = values
        .into_iter()
        .filter_map(|value| json::non_empty_text(Some(value)));
    let pieces = texts.flat_map(|text| text.split('\n').map(str::to_owned).collect::<Vec<_>>());
    pieces.filter(|piece| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue(text: &str) -> Result<PreviousQueue, String> {
        PreviousQueue::read(Artifact::parse(text.as_bytes())).map_err(|error| error.to_string())
    }

    fn state(text: &str) -> Result<PreviousState, String> {
        PreviousState::read(&Artifact::parse(text.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_queue_that_says_nothing_is_empty() {
        assert_eq!(
            PreviousQueue::read(Artifact::Absent).expect("none"),
            PreviousQueue::default()
        );
        for text in [
            "null",
            "{}",
            r#"{"intents":null}"#,
            r#"{"intents":false}"#,
            r#"{"intents":[null]}"#,
        ] {
            assert_eq!(queue(text), Ok(PreviousQueue::default()), "{text}");
        }
    }

    #[test]
    fn a_queue_of_other_types_is_refused_with_the_member() {
        for (text, expected) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("[]", "document is an array, expected an object"),
            ("5", "document is a number, expected an object"),
            (
                r#"{"intents":{}}"#,
                "intents is an object, expected an array",
            ),
            (
                r#"{"intents":true}"#,
                "intents is a boolean, expected an array",
            ),
            (
                r#"{"intents":[null,5]}"#,
                "intents[1] is a number, expected an object",
            ),
            (
                r#"{"intents":[[]]}"#,
                "intents[0] is an array, expected an object",
            ),
            (
                r#"{"intents":[{"packetId":5,"traceId":"t"}]}"#,
                "intents[0].packetId is a number, expected a string",
            ),
        ] {
            assert_eq!(queue(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn entries_without_ids_are_dropped_but_empty_ones_are_known() {
        let found = queue(
            r#"{"intents":[{"packetId":"p","traceId":"t","x":1},{"packetId":"p"},{"packetId":5},
                {"packetId":"","traceId":"t"},{"packetId":false,"traceId":"t"}]}"#,
        )
        .expect("is read");
        assert_eq!(
            found.entries,
            [json!({ "packetId": "p", "traceId": "t", "x": 1 })]
        );
        assert_eq!(found.keys.iter().collect::<Vec<_>>(), ["::t", "p::t"]);
    }

    #[test]
    fn known_keys_are_read_from_any_shape() {
        for (dedupe, expected) in [
            (
                json!({ "keys": ["b::1", "a::1", "a::1", null, false, "", 7] }),
                &["7", "a::1", "b::1"][..],
            ),
            (json!({ "keys": ["a::1\nb::2\n\n"] }), &["a::1", "b::2"]),
            (json!({ "keys": { "x": "a::1", "y": null } }), &["a::1"]),
            (json!({ "keys": "a::1" }), &[]),
            (json!({ "keys": null }), &[]),
            (json!([]), &[]),
            (json!("x"), &[]),
            (json!(null), &[]),
        ] {
            let text = json!({ "dedupe": dedupe }).to_string();
            let found = state(&text).expect("is read").keys;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn the_state_before_is_reported_as_it_was() {
        assert_eq!(state("null"), Ok(PreviousState::default()));
        let found = state(r#"{"status":{"a":1},"updatedAt":false}"#).expect("is read");
        assert!(found.observed.had_previous_state);
        assert_eq!(found.observed.previous_status, json!({ "a": 1 }));
        assert_eq!(found.observed.previous_updated_at, Value::Null);
        for (text, expected) in [
            ("", "it is empty"),
            ("[]", "document is an array, expected an object"),
            ("\"x\"", "document is a string, expected an object"),
        ] {
            assert_eq!(state(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_broken_list_of_watched_files_watches_nothing() {
        let found = state(r#"{"watched":[{"file":5}]}"#).expect("is read");
        assert_eq!(found.watched, []);
    }
}
