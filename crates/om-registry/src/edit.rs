//! Changing single values of a JSON text and no other byte (decision D20).
//!
//! The file belongs to people: its order, blanks, line ends, byte order mark
//! and missing final newline stay. A value is replaced where it stands; a
//! member that is missing is written last in its object, in the style of the
//! members before it; of several members with one name the last one counts
//! and is the one that changes.
//!
//! ```
//! use om_registry::{MemberPath, edit::Text};
//!
//! let mut text = Text::parse("{\n\t\"a\" : 1 ,\n\t\"b\": {}\n}").expect("is JSON");
//! text.set(&MemberPath::dotted("a"), &2.into()).expect("is an object");
//! text.set(&MemberPath::dotted("c"), &true.into()).expect("is an object");
//! assert_eq!(text.bytes(), b"{\n\t\"a\" : 2 ,\n\t\"b\": {},\n\t\"c\": true\n}");
//! ```

mod style;

use std::ops::Range;

use om_model::json::{self, ParseError};
use serde_json::{Map, Value};

use self::style::Style;
use crate::member::{MemberPath, Step};
use crate::spans::{Inside, Member, Node, scan, without_mark};

/// Why a text cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is not one JSON document.
    #[error("not a JSON document: {0}")]
    Malformed(#[from] ParseError),
    /// A value on the way is no object.
    #[error("{path} is {found}, expected an object")]
    NotAnObject {
        /// The value.
        path: MemberPath,
        /// What stands there, e.g. `a string`.
        found: &'static str,
    },
    /// A value is no array.
    #[error("{path} is {found}, expected an array")]
    NotAnArray {
        /// The value.
        path: MemberPath,
        /// What stands there.
        found: &'static str,
    },
    /// An array has no such item.
    #[error("there is no {0}")]
    NoSuchItem(
        /// The item.
        MemberPath,
    ),
}

/// A JSON text and where its values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    bytes: Vec<u8>,
    root: Node,
}

/// What becomes of a part of a text.
struct Splice {
    region: Range<usize>,
    text: Vec<u8>,
}

impl Text {
    /// Takes a text that is one JSON document.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, EditError> {
        let bytes = bytes.into();
        json::parse(without_mark(&bytes))?;
        let root = scan(&bytes)
            .ok_or_else(|| ParseError::Malformed("it cannot be read byte by byte".to_owned()))?;
        Ok(Self { bytes, root })
    }

    /// The text as it is now.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value at `path`, `null` included.
    pub fn value(&self, path: &MemberPath) -> Option<Value> {
        let node = path
            .steps()
            .iter()
            .try_fold(&self.root, |at, step| at.child(step))?;
        json::parse(&self.bytes[node.span.clone()]).ok()
    }

    /// Makes `value` stand at `path`. Objects that are missing on the way
    /// (or `null` or `false`, which count as missing) are made.
    pub fn set(&mut self, path: &MemberPath, value: &Value) -> Result<(), EditError> {
        let splice = self.setting(path, value)?;
        self.apply(&splice)
    }

    /// Removes the member or item at `path`, every member of that name;
    /// whether there was one.
    pub fn remove(&mut self, path: &MemberPath) -> Result<bool, EditError> {
        let mut removed = false;
        while let Some(splice) = self.removing(path) {
            self.apply(&splice)?;
            removed = true;
            if matches!(path.steps().last(), Some(Step::Item(_))) {
                break;
            }
        }
        Ok(removed)
    }

    /// Appends `value` to the array at `path`, which is made if it is
    /// missing, `null` or `false`.
    pub fn push(&mut self, path: &MemberPath, value: &Value) -> Result<(), EditError> {
        let array = path
            .steps()
            .iter()
            .try_fold(&self.root, |at, step| at.child(step));
        let Some(node) = array.filter(|node| !self.is_nothing(node)) else {
            return self.set(path, &Value::Array(vec![value.clone()]));
        };
        let Inside::Items(items) = &node.inside else {
            let (path, found) = (path.clone(), self.kind(node));
            return Err(EditError::NotAnArray { path, found });
        };
        let style = Style::of(&self.bytes, &self.root);
        let splice = match items.last() {
            None => Splice {
                region: node.span.clone(),
                text: [b"[", &style.inline(value)[..], b"]"].concat(),
            },
            Some(last) => {
                let spans = items
                    .iter()
                    .map(|item| item.span.clone())
                    .collect::<Vec<_>>();
                let lead = self.lead(node, &spans, style.is_airy());
                let value = style.render(value, style::indent_in(&lead));
                Splice {
                    region: last.span.end..last.span.end,
                    text: [b",", &lead[..], &value].concat(),
                }
            }
        };
        self.apply(&splice)
    }

    fn setting(&self, path: &MemberPath, value: &Value) -> Result<Splice, EditError> {
        let mut at = &self.root;
        for (depth, step) in path.steps().iter().enumerate() {
            let here = || path.steps()[..depth].iter().cloned().collect();
            let rest = &path.steps()[depth..];
            if let Some(next) = at.child(step) {
                at = next;
                continue;
            }
            let Step::Member(name) = step else {
                return Err(EditError::NoSuchItem(path.clone()));
            };
            return match &at.inside {
                Inside::Members(members) => {
                    let value = nested(&rest[1..], value, path)?;
                    Ok(self.insertion(at, members, name, &value))
                }
                _ if self.is_nothing(at) => Ok(self.replacement(at, &nested(rest, value, path)?)),
                _ => Err(EditError::NotAnObject {
                    path: here(),
                    found: self.kind(at),
                }),
            };
        }
        Ok(self.replacement(at, value))
    }

    fn replacement(&self, node: &Node, value: &Value) -> Splice {
        let style = Style::of(&self.bytes, &self.root);
        let indent = style::indent_at(&self.bytes, node.span.start);
        Splice {
            region: node.span.clone(),
            text: style.render(value, Some(indent)),
        }
    }

    /// A new member behind the last one.
    fn insertion(&self, object: &Node, members: &[Member], name: &str, value: &Value) -> Splice {
        let style = Style::of(&self.bytes, &self.root);
        let name = json::compact(name).into_bytes();
        let Some(last) = members.last() else {
            return self.first_member(object, &style, &name, value);
        };
        let spans = members.iter().map(|m| m.name_span.start..m.value.span.end);
        let colon = &self.bytes[last.name_span.end..last.value.span.start];
        let airy = colon.last().is_some_and(u8::is_ascii_whitespace);
        let lead = self.lead(object, &spans.collect::<Vec<_>>(), airy);
        let value = style.render(value, style::indent_in(&lead));
        Splice {
            region: last.value.span.end..last.value.span.end,
            text: [b",", &lead[..], &name, colon, &value].concat(),
        }
    }

    fn first_member(&self, object: &Node, style: &Style, name: &[u8], value: &Value) -> Splice {
        let outer = style::indent_at(&self.bytes, object.span.start);
        let inner = style.deeper(outer);
        let value = style.render(value, Some(&inner));
        let (open, close) = (style.line_break(&inner), style.line_break(outer));
        let text = [b"{", &open[..], name, style.colon(), &value, &close, b"}"].concat();
        Splice {
            region: object.span.clone(),
            text,
        }
    }

    /// The blanks before the last of the elements of `container`.
    fn lead(&self, container: &Node, elements: &[Range<usize>], airy: bool) -> Vec<u8> {
        let Some((last, before)) = elements.split_last() else {
            return Vec::new();
        };
        let from = match before.last() {
            None => container.span.start + 1,
            Some(previous) => {
                let between = &self.bytes[previous.end..last.start];
                let comma = between.iter().position(|byte| *byte == b',');
                previous.end + comma.map_or(0, |at| at + 1)
            }
        };
        let lead = self.bytes[from..last.start].to_vec();
        if lead.is_empty() && before.is_empty() && airy {
            return b" ".to_vec();
        }
        lead
    }

    fn removing(&self, path: &MemberPath) -> Option<Splice> {
        let (last, way) = path.steps().split_last()?;
        let container = way.iter().try_fold(&self.root, |at, step| at.child(step))?;
        let (index, spans): (usize, Vec<Range<usize>>) = match (&container.inside, last) {
            (Inside::Members(members), Step::Member(name)) => (
                members.iter().position(|member| member.name == *name)?,
                members
                    .iter()
                    .map(|m| m.name_span.start..m.value.span.end)
                    .collect(),
            ),
            (Inside::Items(items), Step::Item(index)) => {
                (*index, items.iter().map(|item| item.span.clone()).collect())
            }
            _ => return None,
        };
        let gone = spans.get(index)?;
        let region = match (
            index.checked_sub(1).map(|before| &spans[before]),
            spans.get(index + 1),
        ) {
            (Some(before), _) => before.end..gone.end,
            (None, Some(after)) => gone.start..after.start,
            (None, None) => container.span.start + 1..container.span.end - 1,
        };
        Some(Splice {
            region,
            text: Vec::new(),
        })
    }

    fn apply(&mut self, splice: &Splice) -> Result<(), EditError> {
        let (before, after) = (
            &self.bytes[..splice.region.start],
            &self.bytes[splice.region.end..],
        );
        *self = Self::parse([before, &splice.text, after].concat())?;
        Ok(())
    }

    /// Whether a value counts as missing.
    fn is_nothing(&self, node: &Node) -> bool {
        matches!(&self.bytes[node.span.clone()], b"null" | b"false")
    }

    fn kind(&self, node: &Node) -> &'static str {
        let value = json::parse(&self.bytes[node.span.clone()]);
        value.map_or("unreadable", |value| json::type_name(&value))
    }
}

/// `value` inside the objects that `steps` need.
fn nested(steps: &[Step], value: &Value, path: &MemberPath) -> Result<Value, EditError> {
    steps
        .iter()
        .rev()
        .try_fold(value.clone(), |inner, step| match step {
            Step::Member(name) => Ok(Value::Object(Map::from_iter([(name.clone(), inner)]))),
            Step::Item(_) => Err(EditError::NoSuchItem(path.clone())),
        })
}

#[cfg(test)]
mod tests;
