//! How an evaluation reads an artifact: which kinds of trouble count as
//! "nothing there" is a decision of each chapter, taken by name here.

use om_model::Artifact;
use om_model::json::ParseError;
use serde_json::Value;

static NULL: Value = Value::Null;

/// Everything that is not a document reads as `null`.
pub(crate) fn or_null(artifact: &Artifact) -> &Value {
    artifact.document().unwrap_or(&NULL)
}

/// Absent and blank files read as `null`; other trouble is an error.
pub(crate) fn blank_or_null(artifact: &Artifact) -> Result<&Value, &ParseError> {
    match artifact {
        Artifact::Document(value) => Ok(value),
        Artifact::Absent | Artifact::Broken(ParseError::Blank) => Ok(&NULL),
        Artifact::Broken(error) => Err(error),
    }
}

/// Absent files read as `null`; anything else has to be one document.
pub(crate) fn absent_or_null(artifact: &Artifact) -> Result<&Value, &ParseError> {
    match artifact {
        Artifact::Document(value) => Ok(value),
        Artifact::Absent => Ok(&NULL),
        Artifact::Broken(error) => Err(error),
    }
}
