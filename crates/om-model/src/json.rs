//! Reading JSON the way the contract reads it.
//!
//! The tree is edited by people and by other tools, so values are looked up
//! tolerantly: `null` and `false` are "not there" ([`present`]), numbers may
//! arrive as text ([`digits`]), and a member of the wrong type is an error
//! that names the member ([`WrongType`]). Contract: README "common rules",
//! chapter 01 §1.3, chapter 02 §1.2.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Number, Value};

/// Greatest integer that is read; larger ones saturate (common rules).
pub const MAX_INTEGER: u64 = i64::MAX as u64;

/// Deepest nesting of a document that is read.
///
/// Far beyond what any of the tools around us writes, and shallow enough for
/// a recursive parser on a thread's stack.
pub const MAX_NESTING: usize = 384;

/// Deepest nesting of a runtime's record. Its envelope and the state around
/// that are a few levels deeper and must be readable again.
pub const MAX_RUNTIME_NESTING: usize = 256;

/// Why bytes are not one JSON document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing but white space.
    #[error("it is empty")]
    Blank,
    /// Not JSON; carries the parser's message with line and column.
    #[error("{0}")]
    Malformed(String),
    /// A complete document is followed by another one.
    #[error("more than one JSON document (line {line} column {column})")]
    Several {
        /// Line of the second document, counted from 1.
        line: usize,
        /// Column of the second document, counted from 1.
        column: usize,
    },
}

/// Parses exactly one document.
///
/// Invalid UTF-8 is read as U+FFFD; duplicate members keep the last value at
/// the position of the first; numbers are normalised (whole values lose their
/// fraction, integers stay exact at any size).
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    parse_within(bytes, MAX_NESTING)
}

/// [`parse`] for what a runtime wrote: at most [`MAX_RUNTIME_NESTING`] levels.
pub fn parse_runtime(bytes: &[u8]) -> Result<Value, ParseError> {
    parse_within(bytes, MAX_RUNTIME_NESTING)
}

fn parse_within(bytes: &[u8], deepest: usize) -> Result<Value, ParseError> {
    let text = decode(bytes);
    if nesting(text.as_bytes()) > deepest {
        return Err(ParseError::Malformed(format!(
            "nested deeper than {deepest} levels"
        )));
    }
    let mut parser = serde_json::Deserializer::from_str(&text);
    // The depth has just been checked.
    parser.disable_recursion_limit();
    let mut documents = parser.into_iter::<Value>();
    let mut value = match documents.next() {
        None => return Err(ParseError::Blank),
        Some(Err(error)) => return Err(ParseError::Malformed(error.to_string())),
        Some(Ok(value)) => value,
    };
    let end = documents.byte_offset();
    if !text[end..].trim_ascii().is_empty() {
        return Err(trailing(&text, end));
    }
    normalize(&mut value);
    Ok(value)
}

/// `bytes` as text, invalid sequences replaced by U+FFFD.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// How deep brackets nest, those inside texts not counted.
///
/// What has few brackets is not deep; all that matters then is an upper
/// bound, and that is found much faster.
fn nesting(text: &[u8]) -> usize {
    let brackets = memchr::memchr2_iter(b'[', b'{', text).count();
    if brackets <= MAX_RUNTIME_NESTING {
        return brackets;
    }
    let (mut depth, mut deepest) = (0usize, 0usize);
    let mut bytes = text.iter();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                bytes.next();
            }
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What follows a complete document: a second one, or garbage.
fn trailing(text: &str, end: usize) -> ParseError {
    let rest = &text[end..];
    let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let all_parse = documents.by_ref().all(|document| document.is_ok());
    let start = end + rest.len() - rest.trim_ascii_start().len();
    let before = &text[..start];
    let line = before.matches('\n').count() + 1;
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
    if all_parse {
        ParseError::Several { line, column }
    } else {
        ParseError::Malformed(format!(
            "trailing characters at line {line} column {column}"
        ))
    }
}

/// Rewrites every number of `value` in its normal form.
pub fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(normal) = normal_number(number) {
                *number = normal;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The normal form of a number written with a fraction or an exponent;
/// `None` if it is in normal form already.
fn normal_number(number: &Number) -> Option<Number> {
    let text = number.as_str();
    if !text.contains(['.', 'e', 'E']) {
        return None;
    }
    let value = text.parse::<f64>().ok()?;
    // Overflow saturates, as the original's reader does.
    let value = value.clamp(f64::MIN, f64::MAX);
    if value.fract() == 0.0 && value.abs() < 1e17 {
        // Exact: a whole double below 1e17 fits an i64.
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 1e17")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// One compact line without the newline.
///
/// Keys are strings in every type of this crate, so serialising cannot fail;
/// a foreign `Serialize` that fails yields `null`.
pub fn compact<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Indented by two spaces, without the final newline.
pub fn pretty<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".to_owned())
}

/// A typed document as a JSON value.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Filters out what counts as absent: missing, `null` and `false`.
pub fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|v| !matches!(v, Value::Null | Value::Bool(false)))
}

/// The first of `candidates` that is neither missing, `null` nor `false`.
pub fn first_present<'a>(
    candidates: impl IntoIterator<Item = Option<&'a Value>>,
) -> Option<&'a Value> {
    candidates.into_iter().find_map(present)
}

/// The value as text: a string without quotes, anything else as compact JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => compact(other),
    }
}

/// [`text`] of a present value, `None` if it is absent or empty.
pub fn non_empty_text(value: Option<&Value>) -> Option<String> {
    present(value).map(text).filter(|text| !text.is_empty())
}

/// Whether the text of `value` is `true` (the boolean or the string).
pub fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// A non-negative integer: a whole number, or a text of digits.
///
/// Leading zeros are allowed; values beyond [`MAX_INTEGER`] saturate.
pub fn digits(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => match normal_number(number) {
            Some(normal) => digits_text(normal.as_str()),
            None => digits_text(number.as_str()),
        },
        Value::String(text) => digits_text(text),
        _ => None,
    }
}

/// [`digits`] of a plain text.
pub fn digits_text(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(
        text.parse::<u64>()
            .map_or(MAX_INTEGER, |n| n.min(MAX_INTEGER)),
    )
}

/// `NUM` of chapter 01 §1.3: a number as it is, a decimal string as that
/// number, anything else 0.
pub fn lenient_number(value: Option<&Value>) -> Number {
    match value {
        Some(Value::Number(number)) => number.clone(),
        Some(Value::String(text)) => decimal(text.trim()).unwrap_or_else(|| Number::from(0)),
        _ => Number::from(0),
    }
}

/// A decimal number in text form: optional sign, digits, fraction, exponent.
pub fn decimal(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let starts_well = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts_well || !unsigned.bytes().all(numeric) {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        // Exact at any size: the text itself, without sign "+" and zeros.
        let stripped = unsigned.trim_start_matches('0');
        let magnitude = if stripped.is_empty() { "0" } else { stripped };
        let sign = if text.starts_with('-') && magnitude != "0" {
            "-"
        } else {
            ""
        };
        return serde_json::from_str(&format!("{sign}{magnitude}")).ok();
    }
    let value = text.parse::<f64>().ok()?.clamp(f64::MIN, f64::MAX);
    let number = Number::from_f64(value)?;
    Some(normal_number(&number).unwrap_or(number))
}

/// A member on the way to a value is neither an object nor `null`, or the
/// value itself has a type that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member} is {found}, expected {expected}")]
pub struct WrongType {
    /// The member, as a dotted path; `document` for the root.
    pub member: String,
    /// What stands there, e.g. `a string`.
    pub found: &'static str,
    /// What should stand there, e.g. `an object`.
    pub expected: &'static str,
}

/// The JSON type of `value` with its article, for messages.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A document to look members up in, by dotted path.
///
/// Looking below a missing or `null` member finds nothing; looking below a
/// scalar or an array is [`WrongType`].
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a>(&'a Value);

impl<'a> Lookup<'a> {
    /// Looks into `document`.
    pub fn new(document: &'a Value) -> Self {
        Self(document)
    }

    /// The value at `path`, `null` and `false` included.
    pub fn raw(self, path: &str) -> Result<Option<&'a Value>, WrongType> {
        let mut at = self.0;
        let mut walked = 0;
        for name in path.split('.') {
            let members = match at {
                Value::Object(members) => members,
                Value::Null => return Ok(None),
                other => return Err(wrong_container(path, walked, other)),
            };
            walked += name.len() + usize::from(walked > 0);
            match members.get(name) {
                Some(value) => at = value,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The value at `path` unless it is missing, `null` or `false`.
    pub fn get(self, path: &str) -> Result<Option<&'a Value>, WrongType> {
        Ok(present(self.raw(path)?))
    }

    /// [`text`] of the value at `path`, `None` when absent.
    pub fn text(self, path: &str) -> Result<Option<String>, WrongType> {
        Ok(self.get(path)?.map(text))
    }

    /// The first present value of several paths.
    pub fn first(self, paths: &[&str]) -> Result<Option<&'a Value>, WrongType> {
        for path in paths {
            if let Some(value) = self.get(path)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

fn wrong_container(path: &str, walked: usize, found: &Value) -> WrongType {
    let member = if walked == 0 {
        "document"
    } else {
        &path[..walked]
    };
    WrongType {
        member: member.to_owned(),
        found: type_name(found),
        expected: "an object",
    }
}

/// A root value as the members of an object; `null` is the empty object.
pub fn root_object(value: &Value) -> Result<Cow<'_, Map<String, Value>>, WrongType> {
    match value {
        Value::Object(members) => Ok(Cow::Borrowed(members)),
        Value::Null => Ok(Cow::Owned(Map::new())),
        other => Err(wrong_container("", 0, other)),
    }
}

#[cfg(test)]
mod tests;
