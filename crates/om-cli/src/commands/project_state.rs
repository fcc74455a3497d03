//! `ops-manager-project-state` (chapter 01 §6).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::envelope::Source;
use om_model::json::{self, ParseError};
use om_model::{Artifact, LoopId};
use om_reconcile::projection::{self, ProjectionError, ProjectionInputs};
use om_store::{LineReader, LoopFile, RepoLayout, Scope, read_artifact, replace_document};
use om_transport::{LocalTransport, SnapshotContext, SnapshotRequest};
use serde_json::Value;

use crate::args::{Target, given};
use crate::command::{CommandLine, Logging, now, output_error};
use crate::error::CliError;

/// Arguments of `ops-manager-project-state`.
#[derive(Args, Debug)]
pub struct ProjectState {
    #[command(flatten)]
    target: Target,
    /// Snapshot envelope to project [default: take one]
    #[arg(long, value_name = "FILE")]
    snapshot_file: Option<String>,
    /// Event envelopes, one per line; only the last one decides
    #[arg(long, value_name = "FILE")]
    events_file: Option<String>,
    /// State to replace [default: <repo>/.superloop/ops-manager/<loop>/state.json]
    #[arg(long, value_name = "FILE")]
    state_file: Option<String>,
    /// Indent output and state file by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for ProjectState {
    const NAME: &'static str = "ops-manager-project-state";
    const SUMMARY: &'static str = "Project a snapshot and events into the lifecycle state";
    const ABOUT: &'static str = "Project a snapshot and a batch of events into the loop's \
        lifecycle state; store and print it.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager-project-state --repo . --loop nightly --pretty
  ops-manager-project-state --repo . --loop nightly --snapshot-file s.json \\
    --events-file e.ndjson --state-file out/state.json

Exit codes: 0 projected; 1 an input is missing or invalid (nothing written).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let snapshot = self.snapshot(&layout, &loop_id)?;
        let events_file = given(self.events_file.as_ref());
        let last_event = match events_file {
            Some(path) => last_event(Path::new(path), &loop_id)?,
            None => None,
        };
        let files = layout.loop_files(&loop_id);
        let state_file = given(self.state_file.as_ref())
            .map_or_else(|| files.path(LoopFile::State), PathBuf::from);
        let source = Source {
            repo_path: layout.repo().display().to_string(),
            loop_id: loop_id.clone(),
        };
        let snapshot_file = match given(self.snapshot_file.as_ref()) {
            Some(path) => path.to_owned(),
            None => files
                .scope_dir()
                .join("snapshot.json")
                .display()
                .to_string(),
        };
        let previous_file = state_file.display().to_string();
        let projection = projection::evaluate(
            &ProjectionInputs {
                source: &source,
                snapshot: &snapshot,
                last_event: last_event.as_ref(),
                previous: &read_artifact(&state_file)?,
                previous_file: &previous_file,
                snapshot_file: snapshot_file.clone(),
                events_file: events_file.map(str::to_owned),
                replay: false,
            },
            now(),
        );
        let projection = projection.map_err(|error| match error {
            ProjectionError::Snapshot(_) => CliError::new(format!("{error} in {snapshot_file}")),
            other => CliError::from(other),
        })?;
        let text = if self.pretty {
            json::pretty(&projection)
        } else {
            json::compact(&projection)
        };
        let text = text + "\n";
        if state_file == files.path(LoopFile::State) {
            // Under the loop's locks: a pass may be writing the same state.
            let commit = om_store::Commit::new().document(&state_file, text.as_bytes());
            Scope::open(files.scope_dir())?.commit(commit)?;
        } else {
            replace_document(&state_file, text.as_bytes(), None)?;
        }
        out.write_all(text.as_bytes())
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }
}

impl ProjectState {
    fn snapshot(&self, layout: &RepoLayout, loop_id: &LoopId) -> Result<Value, CliError> {
        let Some(path) = given(self.snapshot_file.as_ref()) else {
            let context = SnapshotContext {
                now: now(),
                trace_id: None,
                run_id: None,
            };
            let request = SnapshotRequest {
                context,
                known: None,
            };
            let snapshot = LocalTransport::new(layout, loop_id).snapshot(&request)?;
            return Ok(json::to_value(&snapshot));
        };
        let snapshot = match read_artifact(Path::new(path))? {
            Artifact::Absent => {
                return Err(CliError::new(format!("snapshot file not found: {path}")));
            }
            Artifact::Broken(ParseError::Malformed(cause)) => {
                return Err(CliError::new(format!(
                    "invalid snapshot JSON: {path}: {cause}"
                )));
            }
            Artifact::Broken(cause) => {
                let message = "snapshot envelope is invalid or loop id mismatch";
                return Err(CliError::new(format!("{message}: {path}: {cause}")));
            }
            Artifact::Document(snapshot) => snapshot,
        };
        projection::check_snapshot(&snapshot, loop_id)
            .map_err(|error| CliError::new(format!("{error} in {path}")))?;
        Ok(snapshot)
    }
}

/// Checks every envelope of an NDJSON file and returns the last one.
fn last_event(path: &Path, loop_id: &LoopId) -> Result<Option<Value>, CliError> {
    if !path.is_file() {
        return Err(CliError::new(format!(
            "events file not found: {}",
            path.display()
        )));
    }
    let file = File::open(path).map_err(|error| CliError::at(path, error))?;
    let mut lines = LineReader::new(file, 0, 0);
    let mut last = None;
    while let Some(line) = lines
        .next_line()
        .map_err(|error| CliError::at(path, error))?
    {
        last = envelope(path, line.number, line.bytes, loop_id)?.or(last);
    }
    // An input given by hand is whole, also without its last newline.
    let number = lines.lines() + 1;
    Ok(envelope(path, number, lines.remaining(), loop_id)?.or(last))
}

/// Checks one line; an empty one is none.
fn envelope(
    path: &Path,
    number: u64,
    line: &[u8],
    loop_id: &LoopId,
) -> Result<Option<Value>, CliError> {
    if line.is_empty() {
        return Ok(None);
    }
    let at = |what: &str| format!("{what} in {} (line {number})", path.display());
    let envelope = match json::parse(line) {
        Ok(envelope) => envelope,
        Err(ParseError::Blank | ParseError::Several { .. }) => Value::Null,
        Err(error) => {
            return Err(CliError::new(format!(
                "{}: {error}",
                at("invalid event envelope")
            )));
        }
    };
    projection::check_event(&envelope, loop_id)
        .map_err(|error| CliError::new(at(&error.to_string())))?;
    Ok(Some(envelope))
}
