//! The canonical lifecycle state, from a snapshot, the last event and the
//! previous state (chapter 01 §6, §8).

use om_model::drift::Confidence;
use om_model::envelope::{EnvelopeType, SchemaVersion, Source};
use om_model::identity::{self, EnvelopeError};
use om_model::json::{self, Lookup, WrongType};
use om_model::state::{
    Divergence, DivergenceFlags, ProjectedCursor, ProjectedRun, ProjectedState, Projection,
    ProjectionEvidence, SnapshotEvidence, Transition,
};
use om_model::{Artifact, LoopId, Timestamp};
use serde_json::{Number, Value};

use crate::read::or_null;

/// Events that only an active run produces.
pub const WORK_EVENTS: [&str; 8] = [
    "iteration_start",
    "role_start",
    "role_end",
    "iteration_end",
    "tests_start",
    "tests_end",
    "validation_start",
    "validation_end",
];

/// What a projection is made from.
#[derive(Clone, Debug)]
pub struct ProjectionInputs<'a> {
    /// Which loop of which repository.
    pub source: &'a Source,
    /// The snapshot envelope.
    pub snapshot: &'a Value,
    /// The last event envelope of the batch, if there is one.
    pub last_event: Option<&'a Value>,
    /// The previous `state.json`.
    pub previous: &'a Artifact,
    /// Its path, for messages.
    pub previous_file: &'a str,
    /// Where the snapshot came from, recorded as evidence.
    pub snapshot_file: String,
    /// Where the events came from, recorded as evidence.
    pub events_file: Option<String>,
    /// A declared replay over a log that has not shrunk: moving backwards is
    /// no `cursorRegression` (decision D24).
    pub replay: bool,
}

/// Why a snapshot cannot be projected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// Not a snapshot envelope of this loop.
    #[error("snapshot envelope is invalid or loop id mismatch: {0}")]
    SnapshotEnvelope(EnvelopeError),
    /// Not an event envelope of this loop.
    #[error("event envelope is invalid or loop id mismatch: {0}")]
    EventEnvelope(EnvelopeError),
    /// A member of the snapshot has a type that cannot be used.
    #[error("snapshot cannot be projected: {0}")]
    Snapshot(#[from] WrongType),
    /// The previous state has a type that cannot be used.
    #[error("invalid state JSON: {file}: {cause}; repair or remove the file")]
    PreviousState {
        /// Path of the previous state.
        file: String,
        /// The member and what stands there.
        cause: WrongType,
    },
}

/// Projects the loop's state. On an error nothing may be written.
pub fn evaluate(
    inputs: &ProjectionInputs<'_>,
    now: Timestamp,
) -> Result<Projection, ProjectionError> {
    let loop_id = &inputs.source.loop_id;
    check_snapshot(inputs.snapshot, loop_id)?;
    if let Some(event) = inputs.last_event {
        check_event(event, loop_id)?;
    }
    let seen = Seen::read(Lookup::new(inputs.snapshot))?;
    let previous = Previous::read(inputs.previous).map_err(|cause| {
        let file = inputs.previous_file.to_owned();
        ProjectionError::PreviousState { file, cause }
    })?;
    let event_name = inputs.last_event.map(event_name);
    let divergence = divergence(&seen, &previous, event_name.as_deref(), inputs.replay);
    let signal = match &event_name {
        Some(name) => format!("event:{name}"),
        None => format!("snapshot_status:{}", seen.status),
    };
    Ok(Projection {
        schema_version: SchemaVersion::V1,
        generated_at: now,
        source: inputs.source.clone(),
        run: seen.run,
        transition: Transition {
            previous_state: previous.state,
            triggering_signal: signal,
            current_state: seen.status.clone(),
            confidence: confidence(divergence, event_name.is_some()),
        },
        evidence: ProjectionEvidence {
            snapshot_file: inputs.snapshot_file.clone(),
            events_file: inputs.events_file.clone(),
            snapshot_envelope: SnapshotEvidence {
                run_status: seen.status,
                last_event_name: seen.state.last_event_name.clone(),
                has_pending_approval: seen.state.has_pending_approval,
            },
            last_event_envelope: inputs.last_event.cloned(),
        },
        projection: seen.state,
        cursor: seen.cursor,
        divergence,
    })
}

/// Whether `snapshot` is a snapshot envelope of `loop_id`.
pub fn check_snapshot(snapshot: &Value, loop_id: &LoopId) -> Result<(), ProjectionError> {
    identity::check_envelope(snapshot, loop_id, EnvelopeType::LoopRunSnapshot)
        .map_err(ProjectionError::SnapshotEnvelope)
}

/// Whether `event` is a named event envelope of `loop_id`.
pub fn check_event(event: &Value, loop_id: &LoopId) -> Result<(), ProjectionError> {
    identity::check_event(event, loop_id).map_err(ProjectionError::EventEnvelope)
}

/// What the snapshot says, with every default applied.
struct Seen {
    status: String,
    run: ProjectedRun,
    cursor: ProjectedCursor,
    state: ProjectedState,
    state_active: bool,
}

impl Seen {
    fn read(snapshot: Lookup<'_>) -> Result<Self, WrongType> {
        let text = |path: &str| -> Result<String, WrongType> {
            let found = snapshot.text(path)?;
            Ok(found.unwrap_or_else(|| "unknown".to_owned()))
        };
        let verbatim = |path: &str| snapshot.get(path).map(Option::<&Value>::cloned);
        let status = text("run.status")?;
        let approval = snapshot.raw("runtime.approval.status")?;
        Ok(Self {
            run: ProjectedRun {
                run_id: text("run.runId")?,
                iteration: json::lenient_number(snapshot.get("run.iteration")?),
            },
            cursor: ProjectedCursor {
                event_line_offset: position(snapshot, "cursor.eventLineOffset")?,
                event_line_count: position(snapshot, "cursor.eventLineCount")?,
            },
            state_active: json::is_true(snapshot.raw("runtime.superloopState.active")?),
            state: ProjectedState {
                status: status.clone(),
                has_pending_approval: approval.and_then(Value::as_str) == Some("pending"),
                completion_ok: completion(snapshot)?,
                gates: verbatim("health.gates")?,
                stuck: verbatim("health.stuck")?,
                active: verbatim("runtime.superloopState.active")?,
                last_event_name: verbatim("health.lastEventName")?,
                last_event_at: verbatim("health.lastEventAt")?,
            },
            status,
        })
    }
}

/// A number of the snapshot's cursor; a text has to be a number.
fn position(snapshot: Lookup<'_>, path: &str) -> Result<Number, WrongType> {
    let found = match snapshot.get(path)? {
        None => return Ok(Number::from(0)),
        Some(Value::Number(number)) => return Ok(number.clone()),
        Some(found) => found,
    };
    let number = found.as_str().and_then(|text| json::decimal(text.trim()));
    number.ok_or_else(|| WrongType {
        member: path.to_owned(),
        found: json::type_name(found),
        expected: "a number",
    })
}

/// `completion_ok`, a text read as the JSON literal that it spells.
fn completion(snapshot: Lookup<'_>) -> Result<Value, WrongType> {
    const PATH: &str = "run.summary.completion_ok";
    match snapshot.get(PATH)? {
        None => Ok(Value::Bool(false)),
        Some(Value::String(text)) => json::parse(text.as_bytes()).map_err(|_| WrongType {
            member: PATH.to_owned(),
            found: "a text that is no JSON literal",
            expected: "true or false",
        }),
        Some(other) => Ok(other.clone()),
    }
}

/// What the previous state contributes: its name, and the regression check.
struct Previous {
    state: String,
    offset: Option<u64>,
}

impl Previous {
    fn read(artifact: &Artifact) -> Result<Self, WrongType> {
        if artifact.is_blank() {
            return Ok(Self {
                state: String::new(),
                offset: None,
            });
        }
        let document = Lookup::new(or_null(artifact));
        let state = document.text("transition.currentState")?;
        let offset = document.get("cursor.eventLineOffset")?;
        Ok(Self {
            state: state.unwrap_or_else(|| "none".to_owned()),
            offset: offset.and_then(json::digits),
        })
    }
}

fn event_name(event: &Value) -> String {
    let name = event.get("event").and_then(|event| event.get("name"));
    name.map(json::text).unwrap_or_default()
}

fn divergence(seen: &Seen, previous: &Previous, event: Option<&str>, replay: bool) -> Divergence {
    let offset = json::digits(&Value::Number(seen.cursor.event_line_offset.clone()));
    let moved_back = matches!((previous.offset, offset), (Some(before), Some(at)) if before > at);
    let working = event.is_some_and(|name| WORK_EVENTS.contains(&name));
    let flags = DivergenceFlags {
        active_mismatch: working && !seen.state_active,
        approval_completion_conflict: seen.state.has_pending_approval
            && seen.state.completion_ok == Value::Bool(true),
        cursor_regression: moved_back && !replay,
    };
    Divergence {
        any: flags.active_mismatch || flags.approval_completion_conflict || flags.cursor_regression,
        flags,
    }
}

fn confidence(divergence: Divergence, has_event: bool) -> Confidence {
    match (divergence.any, has_event) {
        (true, _) => Confidence::Low,
        (false, false) => Confidence::Medium,
        (false, true) => Confidence::High,
    }
}
