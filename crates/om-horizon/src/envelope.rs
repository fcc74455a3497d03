//! One line of an outbox file against the envelope contract (§1.1, §2.4
//! step 5).

use om_model::horizon::{ContractCode, Recipient};
use om_model::json::{self, type_name};
use serde::de::IgnoredAny;
use serde_json::Value;

/// The only version.
const SCHEMA_VERSION: &str = "v1";

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
pub enum LineContent {
    /// Nothing: counted, else skipped.
    Blank,
    /// It breaks the contract.
    Invalid(ContractCode),
    /// It is JSON, and can be no envelope.
    Fault(LineFault),
    /// It is an envelope.
    Envelope(Envelope),
}

/// What the bridge reads of an envelope; identifiers are texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Not empty.
    pub trace_id: String,
    /// Not empty.
    pub packet_id: String,
    /// Neither is empty.
    pub recipient: Recipient,
    /// Not empty.
    pub intent: String,
    /// Verbatim.
    pub evidence_refs: Vec<Value>,
}

/// Why a line of JSON can be no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A member, or the line itself, should be an object.
    #[error("{member} is {found}, expected an object")]
    NoObject {
        /// `envelope`, `packet` or `packet.recipient`.
        member: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A second document follows.
    #[error("more than one JSON document on one line")]
    Several,
}

impl Envelope {
    /// `<packetId>::<traceId>`, by which envelopes are known.
    pub fn key(&self) -> String {
        key(&self.packet_id, &self.trace_id)
    }

    /// `horizon-bridge:<packetId>:<slug of the intent>`.
    pub fn intent_id(&self) -> String {
        format!("horizon-bridge:{}:{}", self.packet_id, slug(&self.intent))
    }
}

/// The stored form of an envelope's identity.
pub fn key(packet_id: &str, trace_id: &str) -> String {
    format!("{packet_id}::{trace_id}")
}

/// Reads a line, given without its newline.
pub fn read_line(line: &[u8]) -> LineContent {
    if line.is_empty() {
        return LineContent::Blank;
    }
    match first_document(line) {
        Ok(Some(value)) => read_value(&value),
        Ok(None) => LineContent::Invalid(ContractCode::InvalidJson),
        Err(fault) => LineContent::Fault(fault),
    }
}

/// The document that a line begins with. What follows it and is not JSON does
/// not matter: the contract's first consumer accepts that.
fn first_document(line: &[u8]) -> Result<Option<Value>, LineFault> {
    let text = json::decode(line);
    let text = text.trim_start_matches('\u{feff}');
    let mut documents = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    if !matches!(documents.next(), Some(Ok(_))) {
        return Ok(None);
    }
    let end = documents.byte_offset();
    if matches!(documents.next(), Some(Ok(_))) {
        return Err(LineFault::Several);
    }
    // Not as deep as a document may be: the queue has to be readable again.
    Ok(json::parse_runtime(&text.as_bytes()[..end]).ok())
}

fn read_value(value: &Value) -> LineContent {
    match checked(value) {
        Ok(Ok(envelope)) => LineContent::Envelope(envelope),
        Ok(Err(code)) => LineContent::Invalid(code),
        Err(fault) => LineContent::Fault(fault),
    }
}

/// The rows of §2.4 step 5, in their order.
fn checked(value: &Value) -> Result<Result<Envelope, ContractCode>, LineFault> {
    let packet = below("packet", object("envelope", value)?, "packet")?;
    let recipient = below("packet.recipient", packet, "recipient")?;
    let required = || {
        Some((
            identifier(value, "schemaVersion")?,
            Envelope {
                trace_id: identifier(value, "traceId")?,
                packet_id: identifier(packet, "packetId")?,
                recipient: Recipient {
                    kind: identifier(recipient, "type")?,
                    id: identifier(recipient, "id")?,
                },
                intent: identifier(packet, "intent")?,
                evidence_refs: Vec::new(),
            },
            json::present(value.get("evidenceRefs"))?,
        ))
    };
    let Some((_, envelope, evidence_refs)) = required() else {
        return Ok(Err(ContractCode::RequiredFieldMissing));
    };
    if value.get("schemaVersion").and_then(Value::as_str) != Some(SCHEMA_VERSION) {
        return Ok(Err(ContractCode::SchemaVersionUnsupported));
    }
    let Value::Array(evidence_refs) = evidence_refs else {
        return Ok(Err(ContractCode::EvidenceRefsNotArray));
    };
    Ok(Ok(Envelope {
        evidence_refs: evidence_refs.clone(),
        ..envelope
    }))
}

/// The object in a member of `outer`; `null` if there is none.
fn below<'a>(path: &'static str, outer: &'a Value, member: &str) -> Result<&'a Value, LineFault> {
    object(
        path,
        json::present(outer.get(member)).unwrap_or(&Value::Null),
    )
}

/// An object, or `null`.
fn object<'a>(member: &'static str, value: &'a Value) -> Result<&'a Value, LineFault> {
    match value {
        Value::Object(_) | Value::Null => Ok(value),
        other => Err(LineFault::NoObject {
            member,
            found: type_name(other),
        }),
    }
}

/// The text of a member, as the contract reads identifiers (§0.2).
fn identifier(object: &Value, member: &str) -> Option<String> {
    let text = json::text(json::present(object.get(member))?).replace('\0', "");
    let text = text.trim_end_matches('\n');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The part of an intent's id that comes from its text.
pub fn slug(intent: &str) -> String {
    let mut slug = String::with_capacity(intent.len());
    for c in intent.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' => slug.push(c),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.strip_prefix('-').unwrap_or(&slug);
    let slug = slug.strip_suffix('-').unwrap_or(slug);
    if slug.is_empty() { "intent" } else { slug }.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slug_has_only_letters_digits_dots_underscores_and_single_dashes() {
        for (intent, expected) in [
            ("Ship IT!!", "ship-it"),
            ("--Ä--", "intent"),
            (".v1.", ".v1."),
            ("rotate_keys", "rotate_keys"),
            ("a \t-- b", "a-b"),
            ("ÄÖ", "intent"),
            ("-", "intent"),
            ("A1", "a1"),
        ] {
            assert_eq!(slug(intent), expected, "{intent:?}");
        }
    }

    fn envelope() -> Value {
        json!({
            "schemaVersion": "v1", "traceId": "t", "evidenceRefs": [],
            "packet": {
                "packetId": "p", "intent": "go", "recipient": { "type": "team", "id": "sre" },
            },
        })
    }

    #[test]
    fn every_required_member_is_missed_when_absent_null_false_or_empty() {
        for path in [
            "/schemaVersion",
            "/traceId",
            "/evidenceRefs",
            "/packet",
            "/packet/packetId",
            "/packet/intent",
            "/packet/recipient",
            "/packet/recipient/type",
            "/packet/recipient/id",
        ] {
            for replacement in [json!(null), json!(false), json!(""), json!("\n\n")] {
                let is_container =
                    matches!(path, "/evidenceRefs" | "/packet" | "/packet/recipient");
                if is_container && replacement.is_string() {
                    continue;
                }
                let mut line = envelope();
                *line.pointer_mut(path).expect("is there") = replacement.clone();
                let expected = LineContent::Invalid(ContractCode::RequiredFieldMissing);
                assert_eq!(read_value(&line), expected, "{path} {replacement}");
            }
        }
    }

    #[test]
    fn the_first_matching_row_of_the_table_decides() {
        let with = |path: &str, value: Value| {
            let mut line = envelope();
            *line.pointer_mut(path).expect("is there") = value;
            line.to_string()
        };
        let invalid = LineContent::Invalid;
        let no_object = |member, found| LineContent::Fault(LineFault::NoObject { member, found });
        for (line, expected) in [
            (String::new(), LineContent::Blank),
            (" \t\r".into(), invalid(ContractCode::InvalidJson)),
            ("{".into(), invalid(ContractCode::InvalidJson)),
            ("no JSON".into(), invalid(ContractCode::InvalidJson)),
            ("null".into(), invalid(ContractCode::RequiredFieldMissing)),
            ("{}".into(), invalid(ContractCode::RequiredFieldMissing)),
            (
                with("/schemaVersion", json!("v2")),
                invalid(ContractCode::SchemaVersionUnsupported),
            ),
            (
                with("/schemaVersion", json!(1)),
                invalid(ContractCode::SchemaVersionUnsupported),
            ),
            (
                with("/schemaVersion", json!("v1\n")),
                invalid(ContractCode::SchemaVersionUnsupported),
            ),
            (
                with("/evidenceRefs", json!({})),
                invalid(ContractCode::EvidenceRefsNotArray),
            ),
            (
                with("/evidenceRefs", json!("")),
                invalid(ContractCode::EvidenceRefsNotArray),
            ),
            (
                with("/evidenceRefs", json!(true)),
                invalid(ContractCode::EvidenceRefsNotArray),
            ),
            ("5".into(), no_object("envelope", "a number")),
            ("[]".into(), no_object("envelope", "an array")),
            ("\"x\"".into(), no_object("envelope", "a string")),
            (with("/packet", json!([])), no_object("packet", "an array")),
            (
                with("/packet", json!(true)),
                no_object("packet", "a boolean"),
            ),
            (
                with("/packet/recipient", json!("sre")),
                no_object("packet.recipient", "a string"),
            ),
            (
                format!("{} {}", envelope(), envelope()),
                LineContent::Fault(LineFault::Several),
            ),
        ] {
            assert_eq!(read_line(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn a_document_counts_although_something_follows_that_is_no_json() {
        let plain = read_line(envelope().to_string().as_bytes());
        assert!(matches!(plain, LineContent::Envelope(_)));
        for line in [
            format!("{} garbage", envelope()),
            format!("{}{{\"a", envelope()),
        ] {
            assert_eq!(read_line(line.as_bytes()), plain, "{line}");
        }
        let marked = format!("\u{feff}{}\r", envelope());
        assert_eq!(read_line(marked.as_bytes()), plain);
    }

    #[test]
    fn identifiers_of_other_types_are_their_text() {
        let mut line = envelope();
        line["packet"]["packetId"] = json!(7);
        line["traceId"] = json!(["a", 1]);
        line["packet"]["intent"] = json!({ "a": true });
        line["packet"]["recipient"]["id"] = json!("a\0b\n");
        let LineContent::Envelope(envelope) = read_value(&line) else {
            panic!("an envelope")
        };
        assert_eq!(envelope.key(), r#"7::["a",1]"#);
        assert_eq!(envelope.intent, r#"{"a":true}"#);
        assert_eq!(envelope.recipient.id, "ab");
    }

    #[test]
    fn what_is_nested_too_deep_for_the_queue_is_no_json() {
        let deep = "[".repeat(300) + &"]".repeat(300);
        let line = envelope()
            .to_string()
            .replace("\"evidenceRefs\":[]", &format!("\"evidenceRefs\":{deep}"));
        assert_eq!(
            read_line(line.as_bytes()),
            LineContent::Invalid(ContractCode::InvalidJson)
        );
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd_to_read(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read_line(&line);
        }

        #[test]
        fn a_slug_is_never_empty_and_never_ends_in_two_dashes(intent in ".*") {
            let slug = slug(&intent);
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            prop_assert!(!slug.is_empty() && slug.chars().all(is_plain), "{}", slug);
            prop_assert!(!slug.contains("--"), "{}", slug);
        }
    }
}
