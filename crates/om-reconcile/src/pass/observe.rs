//! Steps 3 to 7: what the loop shows, and how it is doing.

use std::borrow::Cow;
use std::path::Path;

use om_model::Artifact;
use om_model::health::IngestStatus;
use om_model::json::{self, Lookup};
use om_model::observation::{HeartbeatThresholds, SequenceDocument, SequenceFold, TransportHealth};
use om_model::state::FailureCode;
use om_stage::{FAILURE_TAIL_LINES, last_lines};
use serde_json::Value;

use super::writes::PassWrites;
use super::{Commit, HardAbort, Observation, PassContext, PassInputs};
use crate::health::{self, HealthInputs, HealthOutcome, HeartbeatFreshness};
use crate::heartbeat::{self, HeartbeatInputs, HeartbeatObservation};
use crate::projection::{self, ProjectionInputs};
use crate::read::blank_or_null;
use crate::sequence::{self, PreviousSequence, SequenceInputs, is_declared_replay};
use crate::transport_health::{self, TransportHealthInputs};

/// A pass up to its health stage.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What was decided so far. Take it before a health hook runs.
    pub commit: Commit,
    /// Transport health after this pass.
    pub transport_health: TransportHealth,
    /// Envelopes of this pass, counted on failure too.
    pub events_ingested: u64,
    pub(super) view: Result<View, Failure>,
    pub(super) previous_health: HealthOutcome,
    pub(super) cursor_offset_after: u64,
}

impl Observed {
    /// Whether ingest or projection failed, and how.
    pub fn failure_code(&self) -> Option<FailureCode> {
        self.view.as_ref().err().map(|failure| failure.code)
    }
}

/// What a successful pass saw.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The projection, as the content of `state.json`.
    pub(super) state: Value,
    pub(super) heartbeat: Option<HeartbeatObservation>,
    pub(super) sequence: SequenceDocument,
}

/// A soft failure.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: FailureCode,
    pub(super) message: String,
}

/// Steps 3 to 6: projection, transport health, heartbeat, sequence.
///
/// A failed projection keeps the cursor, so that the same events come again
/// (decision D7).
pub fn observe(inputs: &PassInputs, context: &PassContext) -> Result<Observed, HardAbort> {
    let previous_health = HealthOutcome::previous(&inputs.prior.health).map_err(|cause| {
        let file = inputs.paths.health.display().to_string();
        HardAbort::PreviousHealth { file, cause }
    })?;
    let projected = project(inputs, context);
    let transport_health = transport_health(inputs, &projected, context)?;
    let mut commit = Commit::new();
    let view = match projected {
        Err(failure) => {
            commit = commit.put(&inputs.paths.transport_health, &transport_health);
            Err(failure)
        }
        Ok((observation, state)) => {
            let view = view(inputs, observation, state, context)?;
            commit = commit
                .put_cursor(&inputs.paths.cursor, &observation.cursor)
                .put(&inputs.paths.transport_health, &transport_health);
            commit = write_view(commit, inputs, &view);
            Ok(view)
        }
    };
    Ok(Observed {
        commit,
        transport_health,
        events_ingested: match &inputs.ingest {
            Ok(observation) => observation.batch.sequence.count,
            Err(failure) => failure.events_ingested,
        },
        cursor_offset_after: cursor_after(inputs, &view),
        view,
        previous_health,
    })
}

/// Step 7, built in: the health document.
pub fn health(
    inputs: &PassInputs,
    observed: &Observed,
    context: &PassContext,
) -> Result<Value, HardAbort> {
    let sources = Sources::choose(inputs, observed);
    let shown = |path: &Path| path.display().to_string();
    let document = health::evaluate(&HealthInputs {
        state: &sources.state,
        state_file: &shown(&inputs.paths.state),
        heartbeat: &sources.heartbeat,
        heartbeat_file: &shown(&inputs.paths.heartbeat_state),
        sequence: &sources.sequence,
        sequence_file: &shown(&inputs.paths.sequence_state),
        transport_health: &Artifact::Document(json::to_value(&observed.transport_health)),
        transport_health_file: &shown(&inputs.paths.transport_health),
        last_intent: inputs.prior.last_intent.as_deref(),
        trace_id: Some(context.trace_id.clone()),
        transport: inputs.settings.transport,
        thresholds: inputs.settings.thresholds.clone(),
        ingest_status: match observed.view {
            Ok(_) => IngestStatus::Success,
            Err(_) => IngestStatus::Failed,
        },
        failure_code: observed.failure_code().map(|code| code.as_str().to_owned()),
        heartbeat_observed: sources.freshness,
        updated_at: context.now.to_string(),
        now: context.now,
    })?;
    Ok(json::to_value(&document))
}

fn tail(diagnostics: &str) -> String {
    last_lines(diagnostics.as_bytes(), FAILURE_TAIL_LINES)
}

/// Step 3. A failure's message is what the stage's command would print.
fn project<'a>(
    inputs: &'a PassInputs,
    context: &PassContext,
) -> Result<(&'a Observation, Value), Failure> {
    let observation = inputs.ingest.as_ref().map_err(|failure| Failure {
        code: failure.code,
        message: tail(&failure.message),
    })?;
    let evidence = |name: &str| inputs.evidence_dir.join(name).display().to_string();
    let projection = projection::evaluate(
        &ProjectionInputs {
            source: &inputs.source,
            snapshot: &observation.snapshot,
            last_event: observation.batch.last.as_ref(),
            previous: &inputs.prior.state,
            previous_file: &inputs.paths.state.display().to_string(),
            snapshot_file: evidence("snapshot.json"),
            events_file: Some(evidence("events.ndjson")),
            replay: is_replay(inputs, observation),
        },
        context.now,
    );
    match projection {
        Ok(projection) => Ok((observation, json::to_value(&projection))),
        Err(error) => Err(Failure {
            code: FailureCode::ProjectionFailed,
            message: tail(&format!("error: {error}")),
        }),
    }
}

fn is_replay(inputs: &PassInputs, observation: &Observation) -> bool {
    let from_start = inputs.settings.from_start;
    let previous = previous_sequence(inputs).unwrap_or_default();
    is_declared_replay(
        from_start,
        &previous,
        &inputs.prior.state,
        &observation.snapshot,
    )
}

fn previous_sequence(inputs: &PassInputs) -> Result<PreviousSequence, sequence::SequenceError> {
    PreviousSequence::read(
        &inputs.prior.sequence,
        &inputs.paths.sequence_state.display().to_string(),
        inputs.settings.from_start,
    )
}

/// Step 4.
fn transport_health<T>(
    inputs: &PassInputs,
    projected: &Result<T, Failure>,
    context: &PassContext,
) -> Result<TransportHealth, HardAbort> {
    let document = transport_health::evaluate(
        &TransportHealthInputs {
            previous: &inputs.prior.transport_health,
            previous_file: &inputs.paths.transport_health.display().to_string(),
            trace_id: &context.trace_id,
            transport: inputs.settings.transport,
            failure: projected.as_ref().err().map(|failure| failure.code),
        },
        context.now,
    )?;
    Ok(document)
}

/// Steps 5 and 6.
fn view(
    inputs: &PassInputs,
    observation: &Observation,
    state: Value,
    context: &PassContext,
) -> Result<View, HardAbort> {
    let snapshot = &observation.snapshot;
    let thresholds = &inputs.settings.thresholds;
    let heartbeat = heartbeat::evaluate(
        &HeartbeatInputs {
            loop_id: &inputs.source.loop_id,
            trace_id: &context.trace_id,
            transport: inputs.settings.transport,
            thresholds: HeartbeatThresholds {
                degraded_heartbeat_lag_seconds: thresholds.degraded_heartbeat_lag_seconds,
                critical_heartbeat_lag_seconds: thresholds.critical_heartbeat_lag_seconds,
            },
            heartbeat: Lookup::new(snapshot)
                .raw("runtime.heartbeat")
                .map_err(heartbeat::HeartbeatError)?,
        },
        context.now,
    )?;
    let events: &SequenceFold = &observation.batch.sequence;
    let sequence = sequence::evaluate(
        &SequenceInputs {
            loop_id: &inputs.source.loop_id,
            trace_id: &context.trace_id,
            transport: inputs.settings.transport,
            snapshot,
            events,
            previous: previous_sequence(inputs)?,
            replay: is_replay(inputs, observation),
        },
        context.now,
    );
    Ok(View {
        state,
        heartbeat,
        sequence,
    })
}

fn write_view(mut commit: Commit, inputs: &PassInputs, view: &View) -> Commit {
    let paths = &inputs.paths;
    if let Some(heartbeat) = &view.heartbeat {
        if let Some(state) = &heartbeat.state {
            commit = commit.put(&paths.heartbeat_state, state);
        }
        commit = commit.append(&paths.heartbeat_rows, &heartbeat.row);
    }
    commit
        .put(&paths.sequence_state, &view.sequence)
        .append(&paths.sequence_rows, &sequence::row(&view.sequence))
        .put_state(&paths.state, &view.state)
}

/// The offset that `cursor.json` holds once the pass is committed.
fn cursor_after(inputs: &PassInputs, view: &Result<View, Failure>) -> u64 {
    match (view, &inputs.ingest) {
        (Ok(_), Ok(observation)) => observation.cursor.event_line_offset,
        // The events come again; the row says that nothing moved.
        (Err(failure), _) if failure.code == FailureCode::ProjectionFailed => cursor_before(inputs),
        _ => inputs.prior.cursor_offset,
    }
}

/// The offset that the pass started from.
pub(super) fn cursor_before(inputs: &PassInputs) -> u64 {
    if inputs.settings.from_start {
        0
    } else {
        inputs.prior.cursor_offset
    }
}

/// What health reads: this pass's documents, else those of earlier ones.
struct Sources<'a> {
    state: Cow<'a, Artifact>,
    heartbeat: Cow<'a, Artifact>,
    sequence: Cow<'a, Artifact>,
    freshness: HeartbeatFreshness,
}

impl<'a> Sources<'a> {
    fn choose(inputs: &'a PassInputs, observed: &Observed) -> Self {
        let prior = &inputs.prior;
        let mut sources = Self {
            state: Cow::Borrowed(&prior.state),
            heartbeat: Cow::Borrowed(&prior.heartbeat),
            sequence: Cow::Borrowed(&prior.sequence),
            freshness: HeartbeatFreshness::NotObserved,
        };
        match &observed.view {
            Ok(view) => {
                sources.state = Cow::Owned(Artifact::Document(view.state.clone()));
                sources.sequence = Cow::Owned(Artifact::Document(json::to_value(&view.sequence)));
                let seen = view.heartbeat.as_ref().and_then(|seen| seen.state.as_ref());
                if let Some(state) = seen {
                    sources.heartbeat = Cow::Owned(Artifact::Document(json::to_value(state)));
                    sources.freshness = HeartbeatFreshness::AsStored;
                }
            }
            // A replay never needs the old sequence state (decision D24).
            Err(_) if inputs.settings.from_start && is_broken(&prior.sequence) => {
                sources.sequence = Cow::Owned(Artifact::Absent);
            }
            Err(_) => {}
        }
        sources
    }
}

fn is_broken(artifact: &Artifact) -> bool {
    !matches!(blank_or_null(artifact), Ok(Value::Object(_) | Value::Null))
}
