//! Everything that can go wrong in a task, told to the person who ran it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::layering::Violation;
use crate::workflows::Finding;

/// A task that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file or directory could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: `read`, `write`, `remove`, `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed ({status}){output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, starting on a new line; empty if it was shown already.
        output: String,
    },
    /// A document is not JSON.
    #[error("{} is not valid JSON: {message}", path.display())]
    Json {
        /// The document.
        path: PathBuf,
        /// The parser's message.
        message: String,
    },
    /// Generated files differ from what would be generated now.
    #[error(
        "generated files are out of date; run `{command}` and commit the result:{}",
        list(files)
    )]
    Drift {
        /// The command that writes them.
        command: &'static str,
        /// What differs, each with how.
        files: Vec<String>,
    },
    /// Crates use what they must not use.
    #[error("layering is violated; the allowed order is in xtask/src/layering.rs:{}", list(.0))]
    Layering(Vec<Violation>),
    /// A config file and its schema disagree.
    #[error("config does not match its schema:{}", list(.0))]
    Config(Vec<String>),
    /// What commands write and its schema disagree.
    #[error("what is written does not match its schema:{}", list(.0))]
    Written(Vec<String>),
    /// Workflows do what they must not do.
    #[error("workflows are not sound; the rules are in xtask/src/workflows.rs:{}", list(.0))]
    Workflows(Vec<Finding>),
    /// A loop cannot have that name.
    #[error(transparent)]
    LoopId(#[from] om_model::LoopIdError),
    /// The soak test found something, or could not go on.
    #[error("soak: {0}")]
    Soak(String),
    /// A benchmark could not be measured.
    #[error("benchmark: {0}")]
    Bench(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

/// One indented line per item, each starting on a new line.
fn list<T: ToString>(items: &[T]) -> String {
    let lines: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("\n  {}", lines.join("\n  "))
}
