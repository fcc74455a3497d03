//! Reading the answer of `/ops/events` (chapter 02 §2.4 steps 2.3 to 2.5).

use std::fmt;

use om_model::LoopId;
use om_model::json;
use om_model::observation::{EventBatch, SequenceFold};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{EventsError, ObserveError};
use om_model::identity::{EnvelopeError, check_event};

/// A usable answer.
pub(super) struct Polled {
    pub(super) batch: EventBatch,
    pub(super) line_offset: u64,
    pub(super) line_count: u64,
}

/// Reads and checks `body`. Nothing of a rejected answer is used, but its
/// events are counted.
pub(super) fn read(body: &[u8], loop_id: &LoopId) -> Result<Polled, EventsError> {
    let text = json::decode(body);
    if text.trim_ascii().is_empty() {
        // An empty answer passes the shape check, as it always has.
        return Err(ObserveError::CursorValues.into());
    }
    let shape = || EventsError::from(ObserveError::EventsShape);
    let answer = members(&text).map_err(|_| shape())?;
    if answer.ok != Some(Value::Bool(true)) {
        return Err(shape());
    }
    let Some(Value::Object(cursor)) = &answer.cursor else {
        return Err(shape());
    };
    let events = answer.events.ok_or_else(shape)?;
    let events = fold(events, loop_id).map_err(|_| shape())?;
    let reject = |error| EventsError {
        error,
        events_ingested: events.batch.sequence.count,
    };
    let line = |member: &str| match json::present(cursor.get(member)) {
        None => Ok(0),
        Some(value) => json::digits(value).ok_or_else(|| reject(ObserveError::CursorValues)),
    };
    let (line_offset, line_count) = (line("eventLineOffset")?, line("eventLineCount")?);
    match events.invalid {
        Some(detail) => Err(reject(ObserveError::Envelope(detail))),
        None => Ok(Polled {
            batch: events.batch,
            line_offset,
            line_count,
        }),
    }
}

/// The members that matter; of several with the same name the last counts.
#[derive(Default)]
struct Answer<'a> {
    ok: Option<Value>,
    events: Option<&'a RawValue>,
    cursor: Option<Value>,
}

/// Reads the one object in `text` without building its events.
fn members(text: &str) -> serde_json::Result<Answer<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let answer = deserializer.deserialize_map(AnswerVisitor)?;
    deserializer.end()?;
    Ok(answer)
}

struct AnswerVisitor;

impl<'de> Visitor<'de> for AnswerVisitor {
    type Value = Answer<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Answer<'de>, A::Error> {
        let mut answer = Answer::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "ok" => answer.ok = Some(members.next_value()?),
                "events" => answer.events = Some(members.next_value()?),
                "cursor" => answer.cursor = Some(members.next_value()?),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(answer)
    }
}

/// A list of envelopes, reduced.
#[derive(Default)]
struct Events {
    batch: EventBatch,
    /// What is wrong with the first one that is no envelope.
    invalid: Option<EnvelopeError>,
}

/// Folds the list in `raw`, holding one envelope at a time beside the last.
fn fold(raw: &RawValue, loop_id: &LoopId) -> serde_json::Result<Events> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer.deserialize_seq(EventsVisitor { loop_id })
}

struct EventsVisitor<'a> {
    loop_id: &'a LoopId,
}

impl<'de> Visitor<'de> for EventsVisitor<'_> {
    type Value = Events;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of event envelopes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Events, A::Error> {
        let mut sequence = SequenceFold::default();
        let mut invalid = None;
        let mut last = None;
        while let Some(mut envelope) = items.next_element::<Value>()? {
            json::normalize(&mut envelope);
            sequence.push(sequence_of(&envelope));
            if invalid.is_none() {
                invalid = check_event(&envelope, self.loop_id).err();
            }
            last = Some(envelope);
        }
        Ok(Events {
            batch: EventBatch { sequence, last },
            invalid,
        })
    }
}

/// `sequence.value`, if it is a line number.
fn sequence_of(envelope: &Value) -> Option<u64> {
    let value = envelope.get("sequence").and_then(|s| s.get("value"));
    json::present(value).and_then(json::digits)
}
