//! One line of `escalations.jsonl` (chapter 04 §3.4.2).

use om_model::json;
use serde_json::Value;

use crate::text::text_form;

/// What a line turns out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum EscalationLine {
    /// Nothing but white space.
    Blank,
    /// Not one JSON document; carries the line.
    Broken(String),
    /// No category that could be routed; carries the row.
    Uncategorised(Value),
    /// A row that can be routed.
    Row(Escalation),
}

/// A row that can be routed, and what is read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Escalation {
    /// Never empty.
    pub category: String,
    /// Empty if the row has none.
    pub timestamp: String,
    /// Empty if the row has none.
    pub loop_id: String,
    /// Empty if the row has none.
    pub trace_id: String,
    /// Empty if the row has none; need not be a known severity.
    pub severity: String,
    /// The row, numbers normalised.
    pub row: Value,
}

impl EscalationLine {
    /// Reads a line, given without its newline.
    pub fn read(line: &[u8]) -> Self {
        let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        if line.iter().all(blank) {
            return Self::Blank;
        }
        let Ok(row) = json::parse(line).or_else(|_| json::parse(&without_nan(line))) else {
            return Self::Broken(json::decode(line).into_owned());
        };
        let text = |member: &str| text_form(row.get(member));
        let category = text("category");
        if category.is_empty() {
            return Self::Uncategorised(row);
        }
        Self::Row(Escalation {
            category,
            timestamp: text("timestamp"),
            loop_id: text("loopId"),
            trace_id: text("traceId"),
            severity: text("severity"),
            row,
        })
    }
}

/// `line` with every bare `NaN` as `null` (§0): some writers have no other way
/// to say that there is no number.
fn without_nan(line: &[u8]) -> Vec<u8> {
    const NAN: &[u8] = b"NaN";
    let mut out = Vec::with_capacity(line.len() + 8);
    let mut rest = line;
    let mut quoted = false;
    while let Some((byte, after)) = rest.split_first() {
        if !quoted && rest.starts_with(NAN) {
            out.extend_from_slice(b"null");
            rest = &rest[NAN.len()..];
            continue;
        }
        out.push(*byte);
        rest = after;
        match (byte, after.split_first()) {
            (b'"', _) => quoted = !quoted,
            (b'\\', Some((escaped, after))) if quoted => {
                out.push(*escaped);
                rest = after;
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bare_nan_is_null_and_in_a_text_it_is_a_text() {
        let line = br#"{"category":"a","x":NaN,"y":[NaN,1],"z":"NaN \" NaN","NaN":NaN}"#;
        let EscalationLine::Row(row) = EscalationLine::read(line) else {
            panic!("it is a row")
        };
        assert_eq!(
            row.row,
            json!({"category": "a", "x": null, "y": [null, 1], "z": "NaN \" NaN", "NaN": null})
        );
        for broken in ["NaNx", "{\"a\":-NaN}", "{\"a\":1NaN}", "{NaN:1}"] {
            let read = EscalationLine::read(broken.as_bytes());
            assert_eq!(read, EscalationLine::Broken(broken.to_owned()));
        }
    }

    #[test]
    fn what_a_line_is() {
        for blank in ["", "  ", "\t\r", "\u{b}\u{c}"] {
            assert_eq!(
                EscalationLine::read(blank.as_bytes()),
                EscalationLine::Blank
            );
        }
        for broken in ["{", "x", "{} {}", "{}x", "{\"category\":\"a\"} 1"] {
            let expected = EscalationLine::Broken(broken.to_owned());
            assert_eq!(EscalationLine::read(broken.as_bytes()), expected);
        }
        for uncategorised in [
            json!(null),
            json!([1]),
            json!("text"),
            json!(7),
            json!(true),
            json!({}),
            json!({"category": null}),
            json!({"category": false}),
            json!({"category": ""}),
            json!({"category": "\n"}),
        ] {
            let line = uncategorised.to_string();
            let expected = EscalationLine::Uncategorised(uncategorised);
            assert_eq!(EscalationLine::read(line.as_bytes()), expected);
        }
    }

    #[test]
    fn values_of_other_types_are_read_as_text() {
        let line = br#"{"category":7.0,"loopId":["a"],"traceId":false,"severity":"high"}"#;
        let EscalationLine::Row(row) = EscalationLine::read(line) else {
            panic!("it is a row")
        };
        assert_eq!(row.category, "7");
        assert_eq!(row.loop_id, "[\"a\"]");
        assert_eq!(row.trace_id, "");
        assert_eq!(row.severity, "high");
        assert_eq!(
            row.row,
            json!({"category": 7, "loopId": ["a"], "traceId": false, "severity": "high"})
        );
    }

    #[test]
    fn broken_text_is_recorded_with_replacement_characters() {
        let expected = EscalationLine::Broken("a\u{fffd}b".to_owned());
        assert_eq!(EscalationLine::read(b"a\xffb"), expected);
    }
}
