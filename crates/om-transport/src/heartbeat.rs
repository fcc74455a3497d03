//! Writing the heartbeat of a runtime that does not write its own (decision
//! D26).

use std::path::PathBuf;

use om_model::envelope::SchemaVersion;
use om_model::json::{self, Lookup};
use om_model::observation::RuntimeHeartbeat;
use om_model::{Artifact, LoopId, Timestamp};
use om_store::{ReadError, RuntimeLayout, WriteError, last_row, read_artifact, replace_document};
use serde_json::{Map, Value};

/// What a producer knows of the runtime that is alive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alive {
    /// Its process.
    pub pid: Option<u32>,
    /// Its run; `None`: that of the loop's last event.
    pub run_id: Option<String>,
    /// Who writes the heartbeat.
    pub source: String,
    /// Free additions.
    pub details: Option<Map<String, Value>>,
}

/// Why there is no new heartbeat.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    /// The loop has no runtime directory.
    #[error(
        "{}: no such loop folder; start the loop first, or check --repo and --loop",
        .0.display()
    )]
    NoLoop(PathBuf),
    /// The last heartbeat or event cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The heartbeat cannot be replaced.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes `heartbeat.v1.json` atomically and returns it.
///
/// The sequence continues that of the same process, else starts at 1.
pub fn write_heartbeat(
    runtime: &RuntimeLayout,
    loop_id: &LoopId,
    alive: &Alive,
    now: Timestamp,
) -> Result<RuntimeHeartbeat, HeartbeatError> {
    if !runtime.dir().is_dir() {
        return Err(HeartbeatError::NoLoop(runtime.dir()));
    }
    let path = runtime.heartbeat();
    let previous = read_artifact(&path)?;
    let run_id = match &alive.run_id {
        Some(run_id) => Some(run_id.clone()),
        None => last_run_id(runtime)?,
    };
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let heartbeat = RuntimeHeartbeat {
        schema_version: SchemaVersion::V1,
        loop_id: loop_id.clone(),
        timestamp: now,
        run_id,
        pid: alive.pid,
        host: Some(host).filter(|host| !host.is_empty()),
        source: Some(alive.source.clone()),
        sequence: Some(next_sequence(&previous, alive.pid)),
        details: alive.details.clone(),
    };
    let text = json::compact(&heartbeat) + "\n";
    replace_document(&path, text.as_bytes(), None)?;
    Ok(heartbeat)
}

/// The run id of the last event, if there is a readable one.
fn last_run_id(runtime: &RuntimeLayout) -> Result<Option<String>, ReadError> {
    let row = last_row(&runtime.events())?;
    let event = row.and_then(|row| json::parse(&row.bytes).ok());
    Ok(event.and_then(|event| json::non_empty_text(event.get("run_id"))))
}

/// Continues the count of the same producer, else starts at 1.
fn next_sequence(previous: &Artifact, pid: Option<u32>) -> u64 {
    let Some(document) = previous.document() else {
        return 1;
    };
    let member = |name| {
        let found = Lookup::new(document).get(name).ok().flatten();
        found.and_then(json::digits)
    };
    let same_producer = member("pid") == pid.map(u64::from);
    member("sequence")
        .filter(|_| same_producer)
        .map_or(1, |sequence| sequence.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_counts_the_heartbeats_of_one_producer() {
        let previous = Artifact::parse(br#"{"pid":7,"sequence":4}"#);
        assert_eq!(next_sequence(&previous, Some(7)), 5);
        assert_eq!(next_sequence(&previous, Some(8)), 1);
        assert_eq!(next_sequence(&Artifact::Absent, Some(7)), 1);
        assert_eq!(next_sequence(&Artifact::parse(b"[]"), None), 1);
    }
}
