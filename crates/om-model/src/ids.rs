//! Identifiers as validated newtypes, so that an id of one kind cannot be
//! passed where another is expected.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Longest loop id in bytes (decision D4).
pub const MAX_LOOP_ID_BYTES: usize = 128;

/// The name of one loop, safe to use as a single path component.
///
/// 1–128 bytes of UTF-8 without `/`, `\` or control characters, and none of
/// `.`, `..`, `*`, `fleet` (decision D4). `fleet` is reserved because the
/// fleet's own files live beside those of the loops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = 128)))]
#[serde(transparent)]
pub struct LoopId(String);

/// Why a text is not a [`LoopId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoopIdError {
    /// The text is empty.
    #[error("invalid loop id: it is empty")]
    Empty,
    /// More than [`MAX_LOOP_ID_BYTES`] bytes; carries the length found.
    #[error("invalid loop id: {0} bytes long, at most {MAX_LOOP_ID_BYTES} are allowed")]
    TooLong(usize),
    /// A name with a meaning of its own: `.`, `..`, `*` or `fleet`.
    #[error("invalid loop id: {0:?} is reserved")]
    Reserved(String),
    /// A separator or control character; carries the id and the character.
    #[error("invalid loop id: {id:?} contains {found:?}; an id is one path component")]
    Character {
        /// The rejected text.
        id: String,
        /// The first character that is not allowed.
        found: char,
    },
}

impl LoopId {
    /// Checks `text` against the rules of decision D4.
    pub fn new(text: impl Into<String>) -> Result<Self, LoopIdError> {
        let text = text.into();
        if text.is_empty() {
            return Err(LoopIdError::Empty);
        }
        if text.len() > MAX_LOOP_ID_BYTES {
            return Err(LoopIdError::TooLong(text.len()));
        }
        if matches!(text.as_str(), "." | ".." | "*" | "fleet") {
            return Err(LoopIdError::Reserved(text));
        }
        let forbidden = |c: &char| matches!(c, '/' | '\\') || c.is_control();
        if let Some(found) = text.chars().find(forbidden) {
            return Err(LoopIdError::Character { id: text, found });
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LoopId {
    type Err = LoopIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for LoopId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A trace id: any non-empty text that links the artifacts of one action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
#[serde(transparent)]
pub struct TraceId(String);

impl TraceId {
    /// `None` for the empty text, which everywhere means "not given".
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (!text.is_empty()).then_some(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("a trace id is not empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_id_is_one_safe_path_component() {
        for good in [
            "a",
            "nightly-7",
            "ünïcode",
            "a b",
            "...",
            "%2F",
            &"x".repeat(128),
        ] {
            assert!(LoopId::new(good).is_ok(), "{good:?} is accepted");
        }
        for bad in [
            "", ".", "..", "*", "fleet", "a/b", "../x", "a\\b", "a\nb", "\u{7f}", "a\0",
        ] {
            assert!(LoopId::new(bad).is_err(), "{bad:?} is refused");
        }
        assert_eq!(LoopId::new("x".repeat(129)), Err(LoopIdError::TooLong(129)));
    }

    #[test]
    fn a_refused_loop_id_names_the_character() {
        let error = LoopId::new("a/b").expect_err("a separator is refused");
        assert_eq!(
            error.to_string(),
            "invalid loop id: \"a/b\" contains '/'; an id is one path component"
        );
    }

    #[test]
    fn an_empty_trace_id_is_no_trace_id() {
        assert_eq!(TraceId::new(""), None);
        assert_eq!(TraceId::new("t").map(|t| t.to_string()), Some("t".into()));
    }
}
