//! How a file is written, so that what is added looks like the rest.

use om_model::json;
use serde_json::Value;

use crate::spans::{Inside, Node};

/// The style of a whole file, seen at its outermost object.
pub(super) struct Style {
    /// `\n` or `\r\n` where every member has a line of its own.
    line_end: Option<&'static [u8]>,
    /// One level of indentation.
    unit: Vec<u8>,
    /// What stands between a name and its value.
    colon: Vec<u8>,
}

impl Style {
    pub(super) fn of(bytes: &[u8], root: &Node) -> Self {
        let first = match &root.inside {
            Inside::Members(members) => members.first(),
            Inside::Scalar | Inside::Items(_) => None,
        };
        let Some(first) = first else {
            return Self {
                line_end: None,
                unit: Vec::new(),
                colon: b":".to_vec(),
            };
        };
        let lead = &bytes[root.span.start + 1..first.name_span.start];
        let unit = indent_in(lead).map(<[u8]>::to_vec);
        let line_end: &[u8] = if lead.windows(2).any(|two| two == b"\r\n") {
            b"\r\n"
        } else {
            b"\n"
        };
        Self {
            line_end: unit.as_ref().map(|_| line_end),
            unit: unit.unwrap_or_default(),
            colon: bytes[first.name_span.end..first.value.span.start].to_vec(),
        }
    }

    /// What stands between a name and its value.
    pub(super) fn colon(&self) -> &[u8] {
        &self.colon
    }

    /// Whether there are blanks behind separators.
    pub(super) fn is_airy(&self) -> bool {
        self.colon.last().is_some_and(u8::is_ascii_whitespace)
    }

    /// `indent`, one level deeper.
    pub(super) fn deeper(&self, indent: &[u8]) -> Vec<u8> {
        [indent, &self.unit].concat()
    }

    /// A line end and `indent`; nothing in a file of one line.
    pub(super) fn line_break(&self, indent: &[u8]) -> Vec<u8> {
        self.line_end
            .map_or(Vec::new(), |end| [end, indent].concat())
    }

    /// `value` as it is written where lines are indented by `indent`; on one
    /// line without it.
    pub(super) fn render(&self, value: &Value, indent: Option<&[u8]>) -> Vec<u8> {
        let (Some(indent), Value::Object(members)) = (indent, value) else {
            return self.inline(value);
        };
        if self.line_end.is_none() || members.is_empty() {
            return self.inline(value);
        }
        let inner = self.deeper(indent);
        let lines = members.iter().map(|(name, value)| {
            let (name, value) = (json::compact(name), self.render(value, Some(&inner)));
            let lead = self.line_break(&inner);
            [&lead, name.as_bytes(), &self.colon, &value].concat()
        });
        let lines = lines.collect::<Vec<_>>().join(&b","[..]);
        [b"{", &lines[..], &self.line_break(indent), b"}"].concat()
    }

    /// `value` on one line.
    pub(super) fn inline(&self, value: &Value) -> Vec<u8> {
        let comma: &[u8] = if self.is_airy() { b", " } else { b"," };
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.inline(item));
                [b"[", &items.collect::<Vec<_>>().join(comma)[..], b"]"].concat()
            }
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| {
                    [
                        json::compact(name).as_bytes(),
                        &self.colon,
                        &self.inline(value),
                    ]
                    .concat()
                });
                [b"{", &members.collect::<Vec<_>>().join(comma)[..], b"}"].concat()
            }
            scalar => json::compact(scalar).into_bytes(),
        }
    }
}

/// The indentation at the end of blanks that contain a line end.
pub(super) fn indent_in(blanks: &[u8]) -> Option<&[u8]> {
    let line = blanks.iter().rposition(|byte| *byte == b'\n')?;
    Some(&blanks[line + 1..])
}

/// The indentation of the line that `offset` is on.
pub(super) fn indent_at(bytes: &[u8], offset: usize) -> &[u8] {
    let line = bytes[..offset].iter().rposition(|byte| *byte == b'\n');
    let rest = &bytes[line.map_or(0, |at| at + 1)..offset];
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    &rest[..blanks]
}
