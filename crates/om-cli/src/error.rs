//! The one way a command fails.

use std::fmt;
use std::path::Path;

/// A failure that ends a command: one `error:` line on stderr, nothing on
/// stdout, exit code 1 unless a child's own code is passed through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// What, where, what now; without the `error: ` prefix.
    pub message: String,
    /// Printed after the message as it is: the usage after a wrong command
    /// line, or what a stage printed when it failed.
    pub usage: Option<String>,
    /// The exit code, 1 to 255.
    pub exit_code: u8,
}

impl CliError {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            usage: None,
            exit_code: 1,
        }
    }

    /// A failure whose whole text is `text`, which begins with `error: ` and
    /// may have several lines: that of a stage, or a list of violations.
    pub fn verbatim(text: impl Into<String>, exit_code: u8) -> Self {
        Self {
            message: String::new(),
            usage: Some(text.into()),
            exit_code,
        }
    }

    /// A failure about a file: the path, then its cause.
    pub fn at(path: &Path, cause: impl fmt::Display) -> Self {
        Self::new(format!("{}: {cause}", path.display()))
    }
}

impl<E: std::error::Error> From<E> for CliError {
    /// The whole chain of causes on one line.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let text = next.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = next.source();
        }
        Self::new(message)
    }
}
