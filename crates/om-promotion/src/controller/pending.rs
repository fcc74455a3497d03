//! Runs that were about to apply: recorded before they do, so that one that
//! is killed is known to the next (decision D19).

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use om_model::json::ParseError;
use om_model::promotion::controller::ControllerPending;
use om_model::{Artifact, Timestamp, json};
use om_store::{LineReader, ReadError, read_artifact};
use serde_json::Value;

use crate::document::Name;
use crate::error::PromotionError;

const PENDING: Name = Name {
    file: "promotion controller pending file",
    json: "promotion controller pending",
};

/// The run that is recorded at `path` as about to apply.
pub(super) fn read(path: &str) -> Result<Option<ControllerPending>, PromotionError> {
    let document = match read_artifact(Path::new(path))? {
        Artifact::Absent => return Ok(None),
        Artifact::Broken(cause) => return Err(PENDING.invalid(path, cause)),
        Artifact::Document(document) => document,
    };
    let pending = serde_json::from_value(document);
    pending
        .map(Some)
        .map_err(|error| PENDING.invalid(path, ParseError::Malformed(error.to_string())))
}

/// Bytes of the journal at `path`.
pub(super) fn length(path: &str) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// Whether the audit trail at `path` has the row of what `pending` was about
/// to do. A line that cannot be read might be it.
pub(super) fn has_applied(pending: &ControllerPending, path: &str) -> Result<bool, PromotionError> {
    let rows = rows_since(pending, path)?;
    Ok(rows.iter().any(|row| might_be_of(row.as_ref(), pending)))
}

/// Whether a rollback follows that row.
pub(super) fn is_undone(pending: &ControllerPending, path: &str) -> Result<bool, PromotionError> {
    let rows = rows_since(pending, path)?;
    let applied = rows
        .iter()
        .rposition(|row| might_be_of(row.as_ref(), pending));
    let later = applied.map_or(&rows[..0], |at| &rows[at..]);
    let is_rollback = |row: &Value| row.get("intent").is_some_and(|intent| intent == "rollback");
    Ok(later.iter().flatten().any(is_rollback))
}

/// The rows since `pending` was recorded, `None` for one that cannot be read.
fn rows_since(
    pending: &ControllerPending,
    path: &str,
) -> Result<Vec<Option<Value>>, PromotionError> {
    let file = Path::new(path);
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let failed = |source| {
        PromotionError::Read(ReadError {
            path: file.to_owned(),
            source,
        })
    };
    let mut journal = File::open(file).map_err(failed)?;
    // A journal that is shorter now is another one: all of it is looked at.
    let from = if length(path) < pending.apply_telemetry_bytes {
        0
    } else {
        pending.apply_telemetry_bytes
    };
    journal.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut lines = LineReader::new(journal, from, 0);
    let mut rows = Vec::new();
    while let Some(line) = lines.next_line().map_err(failed)? {
        if !line.bytes.trim_ascii().is_empty() {
            rows.push(json::parse(line.bytes).ok());
        }
    }
    Ok(rows)
}

fn might_be_of(row: Option<&Value>, pending: &ControllerPending) -> bool {
    row.is_none_or(|row| is_of(row, pending))
}

fn is_of(row: &Value, pending: &ControllerPending) -> bool {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let at = text("timestamp").and_then(Timestamp::parse);
    text("traceId") == Some(pending.context.trace_id.as_str())
        && text("intent") == Some(pending.apply_intent.as_str())
        && text("idempotencyKey") == pending.idempotency_key.as_deref()
        && at.is_none_or(|at| at >= pending.started_at)
}
