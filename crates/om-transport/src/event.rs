//! One line of the event log: is it an event, and what envelope does it make
//! (chapter 01 §5.4 steps 3–5, §5.5)?
//!
//! Two speeds accept exactly the same lines. [`check`] is for a reconcile
//! pass, which needs to know that every line is an event but shows only the
//! last one: it looks at the header members without building the record.
//! [`envelope`] parses the record in full.

use std::fmt;
use std::path::Path;

use memchr::{memchr_iter, memchr2_iter};
use om_model::envelope::{
    EnvelopeType, EventBody, EventEnvelope, EventRun, LineCursor, SchemaVersion, Sequence, Source,
};
use om_model::json::{self, ParseError};
use om_model::{Timestamp, TraceId};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::text;

/// Why a line of the log is not an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// Not one JSON document; carries the parser's message.
    Malformed(String),
    /// A document of another type than an object; carries its type.
    NotAnObject(&'static str),
    /// Neither `event` nor `type`, or the line is blank or `null`.
    MissingName,
    /// No `timestamp`.
    MissingTimestamp,
}

impl LineError {
    /// The message for line `line` of the log at `path`.
    pub(crate) fn at(&self, line: u64, path: &Path) -> String {
        let place = format!("at line {line} in {}", path.display());
        match self {
            Self::Malformed(detail) => format!("invalid JSON event {place}: {detail}"),
            Self::NotAnObject(found) => {
                format!("invalid JSON event {place}: it is {found}, expected an object")
            }
            Self::MissingName => format!("missing event name {place}"),
            Self::MissingTimestamp => format!("missing event timestamp {place}"),
        }
    }
}

/// What an envelope says besides the record itself.
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeContext<'a> {
    /// Which loop.
    pub source: &'a Source,
    /// The trace that asked, if any.
    pub trace_id: Option<&'a TraceId>,
    /// When the envelope is made.
    pub emitted_at: Timestamp,
    /// Complete lines in the log.
    pub line_count: u64,
}

/// Checks that `line` (without its newline) is an event.
///
/// Costs no allocation for an ordinary line. An empty line is not an event;
/// callers skip those first.
pub fn check(line: &[u8]) -> Result<(), LineError> {
    if accepted_at_a_glance(line) {
        return Ok(());
    }
    Record::parse(line).map(drop)
}

/// The envelope of `line`, which is line `number` of the log.
pub fn envelope(
    line: &[u8],
    number: u64,
    context: EnvelopeContext<'_>,
) -> Result<EventEnvelope, LineError> {
    let Record {
        raw,
        name,
        timestamp,
    } = Record::parse(line)?;
    let member = |name: &str| raw.get(name);
    let run_id = json::present(member("run_id"));
    Ok(EventEnvelope {
        schema_version: SchemaVersion::V1,
        envelope_type: EnvelopeType::LoopRunEvent,
        emitted_at: context.emitted_at,
        trace_id: context.trace_id.cloned(),
        source: context.source.clone(),
        sequence: Sequence::line(number),
        cursor: LineCursor {
            event_line_offset: number,
            event_line_count: context.line_count,
        },
        run: EventRun {
            run_id: run_id.map_or_else(|| "unknown".to_owned(), |id| text::of(Some(id))),
            iteration: json::lenient_number(json::present(member("iteration"))),
        },
        event: EventBody {
            timestamp,
            name,
            role: text::non_empty(member("role")),
            status: text::non_empty(member("status")),
            message: text::non_empty(member("message")),
            payload: json::present(member("data")).cloned(),
            raw,
        },
    })
}

/// A parsed line with the two members that every event must have.
struct Record {
    raw: Value,
    name: String,
    timestamp: String,
}

impl Record {
    fn parse(line: &[u8]) -> Result<Self, LineError> {
        let raw = match json::parse_runtime(line) {
            Ok(value) => value,
            Err(ParseError::Blank) => return Err(LineError::MissingName),
            Err(error) => return Err(LineError::Malformed(error.to_string())),
        };
        match &raw {
            Value::Object(_) => {}
            Value::Null => return Err(LineError::MissingName),
            other => return Err(LineError::NotAnObject(json::type_name(other))),
        }
        let name = text::of(json::first_present([raw.get("event"), raw.get("type")]));
        let timestamp = text::of(raw.get("timestamp"));
        if name.is_empty() {
            return Err(LineError::MissingName);
        }
        if timestamp.is_empty() {
            return Err(LineError::MissingTimestamp);
        }
        Ok(Self {
            raw,
            name,
            timestamp,
        })
    }
}

/// Deepest nesting that a full parse accepts for certain.
const SURE_DEPTH: usize = 100;

/// Whether `line` is certainly an event. `false` means "parse it in full".
///
/// Skipping a value checks less than building it: not the code points of
/// `\u` escapes, not UTF-8, not the depth of nesting, not the member names
/// that the parser reserves for itself. Lines with any of these are doubtful.
fn accepted_at_a_glance(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else {
        return false;
    };
    let escapes_code_point = memchr_iter(b'\\', line).any(|at| line.get(at + 1) == Some(&b'u'));
    let brackets = memchr2_iter(b'{', b'[', line).take(SURE_DEPTH + 1).count();
    let reserved = memchr_iter(b'$', line).any(|at| line[at..].starts_with(b"$serde_json"));
    if escapes_code_point || brackets > SURE_DEPTH || reserved {
        return false;
    }
    serde_json::from_str::<Header>(text).is_ok_and(|header| header.is_event())
}

/// How a header member would read as text.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Presence {
    /// Missing, `null` or `false`.
    #[default]
    Absent,
    /// A text of nothing, or of newlines only.
    Empty,
    /// Anything else.
    Text,
}

/// The members that decide whether a record is an event. The last one of
/// several with the same name counts.
#[derive(Default)]
struct Header {
    event: Presence,
    kind: Presence,
    timestamp: Presence,
}

impl Header {
    fn is_event(&self) -> bool {
        let name = match self.event {
            Presence::Absent => self.kind,
            present => present,
        };
        name == Presence::Text && self.timestamp == Presence::Text
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = members.next_key::<MemberName>()? {
            let member = match name {
                MemberName::Event => &mut header.event,
                MemberName::Type => &mut header.kind,
                MemberName::Timestamp => &mut header.timestamp,
                MemberName::Other => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *member = members.next_value()?;
        }
        Ok(header)
    }
}

/// A member name, as far as it matters here.
enum MemberName {
    Event,
    Type,
    Timestamp,
    Other,
}

impl<'de> Deserialize<'de> for MemberName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(MemberNameVisitor)
    }
}

struct MemberNameVisitor;

impl Visitor<'_> for MemberNameVisitor {
    type Value = MemberName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<MemberName, E> {
        Ok(match name {
            "event" => MemberName::Event,
            "type" => MemberName::Type,
            "timestamp" => MemberName::Timestamp,
            _ => MemberName::Other,
        })
    }
}

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PresenceVisitor)
    }
}

struct PresenceVisitor;

impl<'de> Visitor<'de> for PresenceVisitor {
    type Value = Presence;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Presence, E> {
        Ok(Presence::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Presence, E> {
        Ok(if value {
            Presence::Text
        } else {
            Presence::Absent
        })
    }

    fn visit_str<E>(self, value: &str) -> Result<Presence, E> {
        Ok(if text::without_newlines(value).is_empty() {
            Presence::Empty
        } else {
            Presence::Text
        })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Presence, E> {
        Ok(Presence::Text)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Presence, E> {
        Ok(Presence::Text)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Presence, E> {
        Ok(Presence::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Presence, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Presence::Text)
    }

    // Also numbers: with arbitrary precision they arrive as a map.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Presence, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Presence::Text)
    }
}
