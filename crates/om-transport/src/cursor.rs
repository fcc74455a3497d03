//! Where a poll starts, from the cursor file (chapter 01 §5.3, decision D25).

use std::path::{Path, PathBuf};

use om_model::Artifact;
use om_model::envelope::LogPosition;
use om_model::json::{self, ParseError};
use serde_json::Value;

/// Why a cursor file cannot be used. It is never repaired by guessing: the
/// operator resets it, or replays with `--from-start`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not JSON.
    #[error("invalid JSON in cursor file: {}: {detail}", path.display())]
    Malformed {
        /// The cursor file.
        path: PathBuf,
        /// The parser's message.
        detail: String,
    },
    /// JSON, but no offset can be read from it.
    #[error("invalid cursor offset in {}: {detail}", path.display())]
    InvalidOffset {
        /// The cursor file.
        path: PathBuf,
        /// What stands in the place of a non-negative integer.
        detail: String,
    },
}

/// Where to start reading, and how to recognise the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartPoint {
    /// Lines that were consumed before.
    pub offset: u64,
    /// Where that is in bytes, in which log. `None` for a cursor that was
    /// written by another tool or edited by hand: then lines are counted, and
    /// the log's identity is unknown.
    pub position: Option<LogPosition>,
}

/// The start point that `artifact` stands for. `path` is for messages.
pub fn evaluate(artifact: &Artifact, path: &Path) -> Result<StartPoint, CursorError> {
    let document = match artifact {
        Artifact::Absent => return Ok(StartPoint::default()),
        Artifact::Broken(ParseError::Malformed(detail)) => {
            return Err(CursorError::Malformed {
                path: path.to_owned(),
                detail: detail.clone(),
            });
        }
        Artifact::Broken(error) => return Err(invalid(path, error.to_string())),
        Artifact::Document(document) => document,
    };
    let members = json::root_object(document).map_err(|error| invalid(path, error.to_string()))?;
    let offset = match json::present(members.get("eventLineOffset")) {
        None => 0,
        Some(value) => json::digits(value).ok_or_else(|| {
            let found = json::compact(value);
            invalid(
                path,
                format!("eventLineOffset is {found}, expected a non-negative integer"),
            )
        })?,
    };
    Ok(StartPoint {
        offset,
        position: members.get("log").and_then(|log| position_at(log, offset)),
    })
}

/// The log position of a cursor, if it has a usable one: what a snapshot
/// needs to hash only the new part of the log.
pub fn known_position(artifact: &Artifact) -> Option<LogPosition> {
    evaluate(artifact, Path::new("")).ok()?.position
}

/// `log` as a position that belongs to `offset` and does not contradict
/// itself.
fn position_at(log: &Value, offset: u64) -> Option<LogPosition> {
    let position = serde_json::from_value::<LogPosition>(log.clone()).ok()?;
    let plausible = position.line_offset == offset
        && position.line_offset <= position.line_count
        && position.byte_offset <= position.length
        && position.line_offset <= position.byte_offset
        && (position.line_offset == 0) == (position.byte_offset == 0)
        && position.line_count <= position.length;
    plausible.then_some(position)
}

fn invalid(path: &Path, detail: String) -> CursorError {
    CursorError::InvalidOffset {
        path: path.to_owned(),
        detail,
    }
}
