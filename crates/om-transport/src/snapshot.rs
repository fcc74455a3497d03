//! The snapshot of one loop, from its runtime artifacts (chapter 01 §4).

use std::path::{Path, PathBuf};

use om_model::envelope::{
    ArtifactRef, ArtifactRefs, EnvelopeType, LineCursor, RunStatus, RuntimeDocuments,
    SchemaVersion, Sequence, SnapshotEnvelope, SnapshotHealth, SnapshotRun, Source,
};
use om_model::json::{self, ParseError};
use om_model::{Artifact, Timestamp, TraceId};
use serde_json::{Map, Value};

use crate::text;

/// Everything a snapshot is made from, read once.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotInputs {
    /// Which loop.
    pub source: Source,
    /// The event log.
    pub events: EventsFile,
    /// `.superloop/state.json`.
    pub state: RuntimeFile,
    /// `.superloop/active-run.json`.
    pub active_run: RuntimeFile,
    /// The loop's `approval.json`.
    pub approval: RuntimeFile,
    /// The loop's `run-summary.json`.
    pub run_summary: RuntimeFile,
    /// The loop's `heartbeat.v1.json`.
    pub heartbeat: RuntimeFile,
}

/// One runtime document, and the evidence of what was read.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeFile {
    /// Absolute, for messages.
    pub path: PathBuf,
    /// The bytes that `artifact` was parsed from.
    pub reference: ArtifactRef,
    /// What stands there.
    pub artifact: Artifact,
}

/// The event log, as far as a snapshot looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsFile {
    /// Absolute, for messages.
    pub path: PathBuf,
    /// The whole file; `line_count` counts complete lines.
    pub reference: ArtifactRef,
    /// The last complete line, without its newline.
    pub last_line: Option<Vec<u8>>,
}

/// What a snapshot takes from its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotContext {
    /// When the snapshot is made.
    pub now: Timestamp,
    /// The trace that asked for it.
    pub trace_id: Option<TraceId>,
    /// Replaces the run id that the artifacts name.
    pub run_id: Option<String>,
}

/// Why artifacts do not make a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The last line of the event log is not one JSON document.
    #[error("invalid JSON in final events line: {}: line {line}: {detail}", path.display())]
    FinalLine {
        /// The event log.
        path: PathBuf,
        /// Its line number, counted from 1.
        line: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// A runtime document is not one JSON document.
    #[error("invalid JSON in {}: {detail}", path.display())]
    Document {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A member, or a whole document, has a type that cannot be used.
    #[error("{}: {member} is {found}, expected {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The member, as a dotted path; `document` for the root.
        member: String,
        /// What stands there.
        found: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
}

/// Makes the snapshot, or says which file prevents it.
pub fn evaluate(
    inputs: &SnapshotInputs,
    context: &SnapshotContext,
) -> Result<SnapshotEnvelope, SnapshotError> {
    let last = last_event(&inputs.events)?;
    let state = document(&inputs.state)?;
    let active_run = document(&inputs.active_run)?;
    let approval = document(&inputs.approval)?;
    let summary = document(&inputs.run_summary)?;
    let heartbeat = document(&inputs.heartbeat)?;
    let approval = object(&inputs.approval, approval)?;
    let summary = object(&inputs.run_summary, summary)?;
    let entry = latest_entry(&inputs.run_summary, summary)?;

    let last = last.as_ref();
    let signals = Signals {
        loop_id: inputs.source.loop_id.as_str(),
        approval,
        entry,
        state: State {
            file: &inputs.state,
            document: state,
        },
        event_name: text::of(first(last, &["event", "type"])),
        event_status: text::of(first(last, &["status"])),
    };
    let run = SnapshotRun {
        run_id: run_id(context, inputs, entry, last)?,
        iteration: json::lenient_number(iteration(&signals, last)?),
        status: signals.status()?,
        summary: entry.cloned().map(Value::Object),
    };
    let lines = inputs.events.reference.line_count;
    Ok(SnapshotEnvelope {
        schema_version: SchemaVersion::V1,
        envelope_type: EnvelopeType::LoopRunSnapshot,
        emitted_at: context.now,
        trace_id: context.trace_id.clone(),
        source: inputs.source.clone(),
        run,
        runtime: RuntimeDocuments {
            superloop_state: state.cloned(),
            active_run: active_run.cloned(),
            approval: approval.cloned().map(Value::Object),
            heartbeat: heartbeat.cloned(),
        },
        artifacts: references(inputs),
        sequence: Sequence::line(lines),
        cursor: LineCursor {
            event_line_offset: lines,
            event_line_count: lines,
        },
        health: SnapshotHealth {
            event_count: lines,
            last_event_at: text::non_empty(first(last, &["timestamp"])),
            last_event_name: Some(signals.event_name.clone()).filter(|name| !name.is_empty()),
            last_summary_at: last_summary_at(summary, entry),
            has_pending_approval: signals.approval_pending(),
            gates: first(entry, &["gates"]).cloned(),
            stuck: first(entry, &["stuck"]).cloned(),
        },
    })
}

/// The record on the last complete line; `null` is like no event.
fn last_event(events: &EventsFile) -> Result<Option<Map<String, Value>>, SnapshotError> {
    let Some(line) = &events.last_line else {
        return Ok(None);
    };
    let number = events.reference.line_count;
    match json::parse_runtime(line) {
        Ok(Value::Object(members)) => Ok(Some(members)),
        Ok(Value::Null) => Ok(None),
        Ok(other) => Err(SnapshotError::WrongType {
            path: events.path.clone(),
            member: format!("line {number}"),
            found: json::type_name(&other),
            expected: "an object",
        }),
        Err(error) => Err(SnapshotError::FinalLine {
            path: events.path.clone(),
            line: number,
            detail: error.to_string(),
        }),
    }
}

/// The document of `file`; an absent file and `null` are the same.
fn document(file: &RuntimeFile) -> Result<Option<&Value>, SnapshotError> {
    match &file.artifact {
        Artifact::Absent | Artifact::Document(Value::Null) => Ok(None),
        Artifact::Document(value) => Ok(Some(value)),
        Artifact::Broken(error) => Err(broken(&file.path, error)),
    }
}

fn broken(path: &Path, error: &ParseError) -> SnapshotError {
    SnapshotError::Document {
        path: path.to_owned(),
        detail: error.to_string(),
    }
}

/// `value`, the document of `file`, as an object.
fn object<'a>(
    file: &RuntimeFile,
    value: Option<&'a Value>,
) -> Result<Option<&'a Map<String, Value>>, SnapshotError> {
    match value {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(other) => Err(wrong_type(file, "document", other, "an object")),
    }
}

fn wrong_type(
    file: &RuntimeFile,
    member: &str,
    found: &Value,
    expected: &'static str,
) -> SnapshotError {
    SnapshotError::WrongType {
        path: file.path.clone(),
        member: member.to_owned(),
        found: json::type_name(found),
        expected,
    }
}

/// The last entry of the run summary.
fn latest_entry<'a>(
    file: &RuntimeFile,
    summary: Option<&'a Map<String, Value>>,
) -> Result<Option<&'a Map<String, Value>>, SnapshotError> {
    let entries = match summary.and_then(|members| members.get("entries")) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(wrong_type(file, "entries", other, "an array")),
    };
    match json::present(entries.last()) {
        None => Ok(None),
        Some(Value::Object(entry)) => Ok(Some(entry)),
        Some(other) => {
            let member = format!("entries[{}]", entries.len() - 1);
            Err(wrong_type(file, &member, other, "an object"))
        }
    }
}

/// The first present member of `record` among `names`.
fn first<'a>(record: Option<&'a Map<String, Value>>, names: &[&str]) -> Option<&'a Value> {
    let record = record?;
    json::first_present(names.iter().map(|name| record.get(*name)))
}

/// Run id: the caller's, the summary entry's, the last event's, `unknown`.
fn run_id(
    context: &SnapshotContext,
    inputs: &SnapshotInputs,
    entry: Option<&Map<String, Value>>,
    last: Option<&Map<String, Value>>,
) -> Result<String, SnapshotError> {
    if let Some(given) = context.run_id.as_ref().filter(|id| !id.is_empty()) {
        return Ok(given.clone());
    }
    let sources = [
        (entry, &inputs.run_summary.path, "run_id of the last entry"),
        (last, &inputs.events.path, "run_id of the last line"),
    ];
    for (record, path, member) in sources {
        let Some(value) = first(record, &["run_id"]) else {
            continue;
        };
        let says_something = match value {
            Value::Bool(_) | Value::Null => {
                return Err(SnapshotError::WrongType {
                    path: path.clone(),
                    member: member.to_owned(),
                    found: json::type_name(value),
                    expected: "a string",
                });
            }
            Value::String(text) => !text.is_empty(),
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
        };
        if says_something {
            return Ok(text::of(Some(value)));
        }
    }
    Ok("unknown".to_owned())
}

/// Iteration: the summary entry's, the last event's, the state's.
fn iteration<'a>(
    signals: &Signals<'a>,
    last: Option<&'a Map<String, Value>>,
) -> Result<Option<&'a Value>, SnapshotError> {
    let found = first(signals.entry, &["iteration"]).or_else(|| first(last, &["iteration"]));
    match found {
        Some(value) => Ok(Some(value)),
        None => Ok(first(signals.state.members()?, &["iteration"])),
    }
}

fn last_summary_at(
    summary: Option<&Map<String, Value>>,
    entry: Option<&Map<String, Value>>,
) -> Option<String> {
    text::non_empty(first(summary, &["updated_at"]).or_else(|| first(entry, &["ended_at"])))
}

fn references(inputs: &SnapshotInputs) -> ArtifactRefs {
    ArtifactRefs {
        events: inputs.events.reference.clone(),
        run_summary: inputs.run_summary.reference.clone(),
        state: inputs.state.reference.clone(),
        active_run: inputs.active_run.reference.clone(),
        approval: inputs.approval.reference.clone(),
        heartbeat: inputs.heartbeat.reference.clone(),
    }
}

/// What the status is decided from.
struct Signals<'a> {
    loop_id: &'a str,
    approval: Option<&'a Map<String, Value>>,
    entry: Option<&'a Map<String, Value>>,
    state: State<'a>,
    event_name: String,
    event_status: String,
}

/// `state.json`, whose type matters only when a rule looks into it.
struct State<'a> {
    file: &'a RuntimeFile,
    document: Option<&'a Value>,
}

impl<'a> State<'a> {
    fn members(&self) -> Result<Option<&'a Map<String, Value>>, SnapshotError> {
        object(self.file, self.document)
    }
}

/// Events that end a run deliberately.
pub const STOP_EVENTS: [&str; 3] = ["loop_stop", "rate_limit_stop", "no_progress_stop"];

/// Event statuses that mean failure.
pub const FAILURE_STATUSES: [&str; 4] = ["error", "timeout", "blocked", "rate_limited"];

/// A condition of the status table.
type Condition = fn(&Signals<'_>) -> Result<bool, SnapshotError>;

/// The status table of §4.4: the first condition that holds decides.
const STATUS_RULES: [(RunStatus, Condition); 7] = [
    (RunStatus::AwaitingApproval, |s| Ok(s.approval_pending())),
    (RunStatus::Complete, |s| Ok(s.completed())),
    (RunStatus::Running, |s| s.state_runs_this_loop()),
    (RunStatus::Stopped, |s| {
        Ok(STOP_EVENTS.contains(&s.event_name.as_str()))
    }),
    (RunStatus::Failed, |s| {
        Ok(FAILURE_STATUSES.contains(&s.event_status.as_str()))
    }),
    (RunStatus::Idle, |s| {
        Ok(s.entry.is_some() && s.state_is_inactive()?)
    }),
    (RunStatus::Unknown, |_| Ok(true)),
];

impl Signals<'_> {
    fn status(&self) -> Result<RunStatus, SnapshotError> {
        for (status, applies) in STATUS_RULES {
            if applies(self)? {
                return Ok(status);
            }
        }
        Ok(RunStatus::Unknown)
    }

    fn approval_pending(&self) -> bool {
        let status = self.approval.and_then(|approval| approval.get("status"));
        status.and_then(Value::as_str) == Some("pending")
    }

    fn completed(&self) -> bool {
        let completion = self.entry.and_then(|entry| entry.get("completion_ok"));
        completion == Some(&Value::Bool(true))
    }

    fn state_runs_this_loop(&self) -> Result<bool, SnapshotError> {
        let Some(state) = self.state.members()? else {
            return Ok(false);
        };
        let current = state.get("current_loop_id").and_then(Value::as_str);
        Ok(state.get("active") == Some(&Value::Bool(true)) && current == Some(self.loop_id))
    }

    fn state_is_inactive(&self) -> Result<bool, SnapshotError> {
        let state = self.state.members()?;
        Ok(state.is_some_and(|state| json::present(state.get("active")).is_none()))
    }
}
