//! The one way a promotion command fails.

use om_model::json::{ParseError, WrongType};
use om_stage::StageOutput;
use om_store::{CommitError, LockError, ReadError};

/// A failure that ends a command with one `error:` line. Nothing was changed,
/// unless the message says so.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// A flag that is always needed.
    #[error("{0} is required")]
    Required(&'static str),
    /// A flag that is needed in this mode.
    #[error("{flag} is required for mode {mode}")]
    RequiredForMode {
        /// The flag.
        flag: &'static str,
        /// The mode.
        mode: &'static str,
    },
    /// A flag's value is not of its kind.
    #[error("{flag} must be {expected}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What it must be, e.g. `an integer >= 1`.
        expected: &'static str,
    },
    /// A document that has to be there is not.
    #[error("{what} not found: {path}")]
    NotFound {
        /// What it is, e.g. `promotion state file`.
        what: &'static str,
        /// Where it should be.
        path: String,
    },
    /// A stage ended well without writing its document.
    #[error("{what} not found: {path}: it was not written by this run")]
    NotWritten {
        /// What it is.
        what: &'static str,
        /// Where it should be.
        path: String,
    },
    /// A document is not JSON, or not the JSON that it has to be.
    #[error("invalid {what} JSON: {path}: {cause}")]
    Document {
        /// What it is, e.g. `fleet status`.
        what: &'static str,
        /// Where it is.
        path: String,
        /// What is wrong with it.
        cause: Cause,
    },
    /// A journal's row is not what it has to be.
    #[error("invalid {what} JSONL: {path}: line {line}: {cause}")]
    Row {
        /// What the journal is, e.g. `controller telemetry`.
        what: &'static str,
        /// Where it is.
        path: String,
        /// Which line, counted from 1.
        line: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// The fleet's status could not be had.
    #[error("failed to read fleet status via {command}{}", detail(.text))]
    FleetStatus {
        /// What was asked for it.
        command: String,
        /// What that said.
        text: String,
    },
    /// It was had, but is not JSON.
    #[error("fleet status output was not valid JSON: {0}")]
    FleetStatusOutput(Cause),
    /// A stage failed; its text and exit code are the command's.
    #[error("{}", stage_text(.0))]
    Stage(Box<StageOutput>),
    /// A stage printed something else than its document.
    #[error("{what} output was not valid JSON: {cause}{}", detail(.text))]
    StageOutput {
        /// The stage, e.g. `promotion apply`.
        what: &'static str,
        /// What is wrong with it.
        cause: Cause,
        /// What the stage said beside.
        text: String,
    },
    /// The promotion state says nothing about a decision.
    #[error("promotion state missing summary.decision")]
    DecisionMissing,
    /// The decision does not allow the intent.
    #[error("intent {intent} requires promotion decision promote (found: {decision})")]
    DecisionNotPromote {
        /// What was asked.
        intent: &'static str,
        /// What the gates said.
        decision: String,
    },
    /// The decision is too old for the limit that was asked for.
    #[error(
        "the promotion decision is not younger than {minutes} minutes (generatedAt: {found}): {path}; evaluate the gates again"
    )]
    DecisionTooOld {
        /// The limit.
        minutes: u64,
        /// When it was made, as found.
        found: String,
        /// The promotion state.
        path: String,
    },
    /// The key stands for something else.
    #[error("idempotency key already used for intent {intent}: {key}")]
    KeyUsed {
        /// What it was used for.
        intent: String,
        /// The key.
        key: String,
    },
    /// The registry cannot be read or is not valid.
    #[error("failed to read/validate fleet registry{}", detail(.0))]
    Registry(String),
    /// The registry does not allow autonomy.
    #[error("promotion apply requires policy.mode guarded_auto")]
    NotGuardedAuto,
    /// The registry as edited is not valid.
    #[error("mutated registry failed validation{}", detail(.0))]
    MutatedRegistry(String),
    /// Somebody else edited the registry meanwhile.
    #[error("fleet registry changed while it was being edited: {0}")]
    RegistryChanged(String),
    /// A window in which nothing is promoted does not say when.
    #[error("freeze windows file contains invalid window entries: {path}: {cause}")]
    FreezeWindow {
        /// The file.
        path: String,
        /// What is wrong with which entry.
        cause: String,
    },
    /// The pipeline's summary could not be extended; the documents are
    /// written.
    #[error("cannot append to {path}: {source}; the result is written")]
    StepSummary {
        /// The file that the pipeline named.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A temporary file for a hook could not be made.
    #[error("cannot make a temporary file: {0}")]
    Temporary(std::io::Error),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rollout was changed, and the documents about that not written.
    #[error(
        "the rollout was changed, see {changes}; only the documents of this run are missing: {cause}"
    )]
    Untold {
        /// The audit trail of changes.
        changes: String,
        /// Why.
        cause: CommitError,
    },
    /// A commit did not happen.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Another run is going on.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// It is not one JSON document.
    #[error(transparent)]
    Syntax(#[from] ParseError),
    /// A member has the wrong type.
    #[error(transparent)]
    Type(#[from] WrongType),
}

impl PromotionError {
    /// The exit code: a failed stage's own, else 1.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Stage(output) => nonzero(output.exit_code),
            _ => 1,
        }
    }
}

/// A failure's exit code: never 0.
pub(crate) fn nonzero(code: i32) -> i32 {
    if code == 0 { 1 } else { code }
}

/// `: <text>` without the text's own `error: `, nothing for an empty one.
fn detail(text: &str) -> String {
    let text = plain(text);
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

/// A stage's text without blanks around it and its own `error: `.
pub(crate) fn plain(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("error: ").unwrap_or(text)
}

/// What a failed stage said, or that it said nothing.
fn stage_text(output: &StageOutput) -> String {
    let stderr = output.stderr_text();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let both = [plain(&stderr), plain(&stdout)];
    let said: Vec<&str> = both.into_iter().filter(|text| !text.is_empty()).collect();
    if said.is_empty() {
        format!(
            "a stage ended with exit code {} and no text",
            output.exit_code
        )
    } else {
        said.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stages_text_becomes_the_commands_own() {
        let output = |stdout: &str, stderr: &str| {
            PromotionError::Stage(Box::new(StageOutput {
                exit_code: 7,
                stdout: stdout.into(),
                stderr: stderr.into(),
                timed_out: false,
            }))
        };
        for (stdout, stderr, message) in [
            ("", "error: it broke\n", "it broke"),
            ("partly\n", "it broke", "it broke\npartly"),
            ("", "", "a stage ended with exit code 7 and no text"),
        ] {
            let error = output(stdout, stderr);
            assert_eq!(
                (error.to_string().as_str(), error.exit_code()),
                (message, 7)
            );
        }
    }

    #[test]
    fn a_failure_never_exits_with_success() {
        let error = PromotionError::Stage(Box::default());
        assert_eq!(error.exit_code(), 1);
    }
}
