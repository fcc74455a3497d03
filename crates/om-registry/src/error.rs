//! Why a registry cannot be used.

use std::fmt::Write as _;

use om_store::ReadError;

use crate::evaluate::Violation;

/// A registry that cannot be used. The texts are those of chapter 05 §1.2,
/// without the `error: ` before them.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is not a regular file.
    #[error("fleet registry file not found: {file}")]
    NotFound {
        /// The path as given.
        file: String,
    },
    /// It cannot be read.
    #[error("fleet registry file cannot be read: {0}")]
    Unreadable(#[from] ReadError),
    /// It is not one JSON document.
    #[error("invalid fleet registry JSON: {file}: {cause}")]
    Malformed {
        /// The path as given.
        file: String,
        /// The parser's message.
        cause: om_model::json::ParseError,
    },
    /// It breaks rules: several lines, the first of which names the file.
    #[error("invalid fleet registry: {file}{}", block(.violations))]
    Invalid {
        /// The path as given.
        file: String,
        /// All of them, in the order of the rules.
        violations: Vec<Violation>,
    },
}

fn block(violations: &[Violation]) -> String {
    violations
        .iter()
        .fold(String::new(), |mut text, violation| {
            // Writing to a string does not fail.
            let _ = write!(text, "\n - {violation}");
            text
        })
}
