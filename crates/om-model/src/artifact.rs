//! A document on disk as it was found, before anything is decided about it.

use serde_json::Value;

use crate::json::{self, ParseError};

/// What stands in the place of one whole-file document.
///
/// The contract treats absence, emptiness, broken JSON and wrong types
/// differently from document to document, so reading keeps them apart and
/// leaves the decision to the evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Artifact {
    /// No regular file (nothing, or a directory).
    #[default]
    Absent,
    /// A regular file that is not one JSON document.
    Broken(ParseError),
    /// One JSON document of any type.
    Document(Value),
}

impl Artifact {
    /// Parses the content of an existing file.
    pub fn parse(bytes: &[u8]) -> Self {
        json::parse(bytes).map_or_else(Self::Broken, Self::Document)
    }

    /// [`Artifact::parse`] for a file of the runtime, which may be nested a
    /// little less deep than what is made of it.
    pub fn parse_runtime(bytes: &[u8]) -> Self {
        json::parse_runtime(bytes).map_or_else(Self::Broken, Self::Document)
    }

    /// The document, if there is one.
    pub fn document(&self) -> Option<&Value> {
        match self {
            Self::Document(value) => Some(value),
            Self::Absent | Self::Broken(_) => None,
        }
    }

    /// Whether no regular file was found.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the file exists but holds nothing but white space.
    pub fn is_blank(&self) -> bool {
        matches!(self, Self::Broken(ParseError::Blank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_keeps_its_kinds_of_trouble_apart() {
        assert!(Artifact::parse(b"").is_blank());
        assert!(matches!(
            Artifact::parse(b"{"),
            Artifact::Broken(ParseError::Malformed(_))
        ));
        assert!(matches!(
            Artifact::parse(b"1 2"),
            Artifact::Broken(ParseError::Several { .. })
        ));
        assert_eq!(Artifact::parse(b"null").document(), Some(&Value::Null));
        assert!(Artifact::default().is_absent());
    }
}
