//! Whether a document is the envelope that it is taken for (chapter 01 §6).

use serde_json::Value;

use crate::LoopId;
use crate::envelope::EnvelopeType;
use crate::json::{self, Lookup, WrongType};

/// Why a document is not an envelope of a loop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A member on the way is not an object.
    #[error(transparent)]
    WrongType(#[from] WrongType),
    /// A member is missing.
    #[error("{member} is missing, expected \"{expected}\"")]
    Missing {
        /// The member.
        member: &'static str,
        /// What should stand there.
        expected: String,
    },
    /// A member has another value.
    #[error("{member} is {found}, expected \"{expected}\"")]
    Other {
        /// The member.
        member: &'static str,
        /// What stands there, as JSON.
        found: String,
        /// What should stand there.
        expected: String,
    },
    /// An event has no name; carries `missing` or `empty`.
    #[error("event.name is {0}")]
    Unnamed(&'static str),
}

/// Whether `envelope` is of `kind`, of version 1 and about `loop_id`.
pub fn check_envelope(
    envelope: &Value,
    loop_id: &LoopId,
    kind: EnvelopeType,
) -> Result<(), EnvelopeError> {
    let lookup = Lookup::new(envelope);
    for (member, expected) in [
        ("schemaVersion", "v1"),
        ("envelopeType", kind.as_str()),
        ("source.loopId", loop_id.as_str()),
    ] {
        let expected = expected.to_owned();
        match lookup.raw(member)? {
            Some(Value::String(found)) if *found == expected => {}
            Some(found) => {
                let found = json::compact(found);
                return Err(EnvelopeError::Other {
                    member,
                    found,
                    expected,
                });
            }
            None => return Err(EnvelopeError::Missing { member, expected }),
        }
    }
    Ok(())
}

/// Whether `event` is a named event envelope of `loop_id`.
pub fn check_event(event: &Value, loop_id: &LoopId) -> Result<(), EnvelopeError> {
    check_envelope(event, loop_id, EnvelopeType::LoopRunEvent)?;
    match Lookup::new(event).get("event.name")? {
        None => Err(EnvelopeError::Unnamed("missing")),
        Some(Value::String(name)) if name.is_empty() => Err(EnvelopeError::Unnamed("empty")),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_of_another_loop_or_without_a_name_is_refused_by_member() {
        let loop_id = LoopId::new("l").expect("a good id");
        let good = json!({"schemaVersion": "v1", "envelopeType": "loop_run_event",
            "source": {"loopId": "l"}, "event": {"name": "x"}});
        assert_eq!(check_event(&good, &loop_id), Ok(()));
        for (member, value, message) in [
            (
                "schemaVersion",
                json!("v2"),
                "schemaVersion is \"v2\", expected \"v1\"",
            ),
            (
                "envelopeType",
                json!(null),
                "envelopeType is null, expected \"loop_run_event\"",
            ),
            (
                "source",
                json!({"loopId": "m"}),
                "source.loopId is \"m\", expected \"l\"",
            ),
            (
                "source",
                json!({}),
                "source.loopId is missing, expected \"l\"",
            ),
            ("source", json!(7), "source is a number, expected an object"),
            ("event", json!({"name": ""}), "event.name is empty"),
            ("event", json!({}), "event.name is missing"),
        ] {
            let mut event = good.clone();
            event[member] = value;
            let error = check_event(&event, &loop_id).expect_err(message);
            assert_eq!(error.to_string(), message);
        }
    }
}
