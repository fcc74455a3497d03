//! What was seen before, so that a file that did not change is not read again.
//!
//! Everything is keyed by file identity ([`FileIdentity`]): device, inode,
//! size, and both times to the nanosecond. A file that changed a moment ago
//! might change once more without its times showing it, so what was read from
//! it is not trusted until it has settled. Of an event log that has only grown
//! (same file, same first and last bytes), the new part is read.

mod identity;
mod log;

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use om_model::envelope::{SchemaVersion, SnapshotEnvelope, Source};
use om_model::service::EventsCursor;
use om_model::{LoopId, Timestamp, TraceId, json};
use om_store::{RepoLayout, RuntimeLayout};
use om_transport::event::{self, EnvelopeContext};
use om_transport::{LocalTransport, ObserveError, SnapshotContext, SnapshotRequest};
use serde_json::Value;

use identity::Sight;
use log::Index;

/// Loops that are remembered; the one that was asked for least recently is
/// forgotten.
const MOST_LOOPS: usize = 1_024;

/// An answer with events ends, complete and with its cursor, once it is this
/// long in bytes: the next poll goes on.
const LONGEST_ANSWER: usize = 128 << 20;

/// Which events are asked for.
#[derive(Clone, Debug)]
pub(crate) struct EventsAfter {
    /// Lines consumed already.
    pub(crate) cursor: u64,
    /// Most events; 0 is unlimited.
    pub(crate) max_events: u64,
    /// The trace that asked.
    pub(crate) trace_id: Option<TraceId>,
}

/// What is known about the loops of one repository.
#[derive(Default)]
pub(crate) struct Seen {
    loops: Mutex<Loops>,
}

#[derive(Default)]
struct Loops {
    known: HashMap<LoopId, Known>,
    /// Counts look-ups, for who was asked for least recently.
    turn: u64,
}

struct Known {
    one: Arc<Mutex<SeenLoop>>,
    last_turn: u64,
}

/// What is known about one loop.
#[derive(Default)]
struct SeenLoop {
    snapshot: Option<SeenSnapshot>,
    log: Option<Index>,
}

/// A snapshot, and the files that it was made from.
struct SeenSnapshot {
    files: Vec<Sight>,
    /// The envelope without `emittedAt` and `traceId`, from its first member.
    rest: Arc<str>,
}

impl Seen {
    /// The envelope of `/ops/snapshot`, as JSON.
    pub(crate) fn snapshot(
        &self,
        layout: &RepoLayout,
        loop_id: &LoopId,
        now: Timestamp,
        trace_id: Option<&TraceId>,
    ) -> Result<String, ObserveError> {
        let one = self.of(loop_id);
        let files = runtime_files(&layout.runtime(loop_id));
        let known = lock(&one).unchanged(&files);
        let rest = if let Some(rest) = known {
            rest
        } else {
            let context = SnapshotContext {
                now,
                trace_id: None,
                run_id: None,
            };
            let rest = lock(&one).look(layout, loop_id, files, context)?;
            self.keep(loop_id, &one);
            rest
        };
        let trace_id = json::compact(&trace_id);
        Ok(format!(
            "{{\"emittedAt\":\"{now}\",\"traceId\":{trace_id},{rest}"
        ))
    }

    /// The answer of `/ops/events`, as JSON.
    pub(crate) fn events(
        &self,
        layout: &RepoLayout,
        loop_id: &LoopId,
        now: Timestamp,
        after: &EventsAfter,
    ) -> Result<String, ObserveError> {
        let one = self.of(loop_id);
        let (index, log) = lock(&one).log(&layout.runtime(loop_id))?;
        self.keep(loop_id, &one);
        let source = Source {
            repo_path: layout.repo().to_string_lossy().into_owned(),
            loop_id: loop_id.clone(),
        };
        let context = EnvelopeContext {
            source: &source,
            trace_id: after.trace_id.as_ref(),
            emitted_at: now,
            line_count: index.line_count(),
        };
        let mut answer = opening(&source, after.trace_id.as_ref());
        let mut count = 0;
        let offset = index.walk(&log, after, |line, number| {
            let envelope = event::envelope(line, number, context)?;
            if count > 0 {
                answer.push(',');
            }
            count += 1;
            answer.push_str(&json::compact(&envelope));
            Ok(answer.len() < LONGEST_ANSWER)
        })?;
        let cursor = EventsCursor {
            event_line_offset: offset,
            event_line_count: index.line_count(),
            updated_at: Some(now),
        };
        // Writing to a String cannot fail.
        let _ = write!(answer, "],\"cursor\":{}}}", json::compact(&cursor));
        Ok(answer)
    }

    /// What is known about `loop_id`, nothing at first.
    fn of(&self, loop_id: &LoopId) -> Arc<Mutex<SeenLoop>> {
        let mut loops = lock(&self.loops);
        loops.turn += 1;
        let turn = loops.turn;
        match loops.known.get_mut(loop_id) {
            Some(known) => {
                known.last_turn = turn;
                Arc::clone(&known.one)
            }
            None => Arc::default(),
        }
    }

    /// Remembers a loop that exists.
    fn keep(&self, loop_id: &LoopId, one: &Arc<Mutex<SeenLoop>>) {
        let mut loops = lock(&self.loops);
        if loops.known.contains_key(loop_id) {
            return;
        }
        if loops.known.len() >= MOST_LOOPS {
            let oldest = loops.known.iter().min_by_key(|(_, known)| known.last_turn);
            if let Some(oldest) = oldest.map(|(loop_id, _)| loop_id.clone()) {
                loops.known.remove(&oldest);
            }
        }
        let known = Known {
            one: Arc::clone(one),
            last_turn: loops.turn,
        };
        loops.known.insert(loop_id.clone(), known);
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl SeenLoop {
    /// The snapshot, if `files` are those that it was made from.
    fn unchanged(&self, files: &[Sight]) -> Option<Arc<str>> {
        let snapshot = self.snapshot.as_ref()?;
        let same = snapshot.files.len() == files.len()
            && (snapshot.files.iter().zip(files)).all(|(seen, now)| seen.still_holds(now));
        same.then(|| Arc::clone(&snapshot.rest))
    }

    /// Makes the snapshot anew; `files` were looked at before.
    fn look(
        &mut self,
        layout: &RepoLayout,
        loop_id: &LoopId,
        files: Vec<Sight>,
        context: SnapshotContext,
    ) -> Result<Arc<str>, ObserveError> {
        let (index, _) = self.log(&layout.runtime(loop_id))?;
        let request = SnapshotRequest {
            context,
            known: Some(index.position()),
        };
        let envelope = LocalTransport::new(layout, loop_id).snapshot(&request)?;
        let rest = rest_of(&envelope);
        self.snapshot = Some(SeenSnapshot {
            files,
            rest: Arc::clone(&rest),
        });
        Ok(rest)
    }

    /// The log as it is now, opened, and the index of its lines.
    fn log(
        &mut self,
        runtime: &RuntimeLayout,
    ) -> Result<(Arc<log::Lines>, om_transport::log::EventLog), ObserveError> {
        let (index, log) = Index::of(self.log.take(), runtime)?;
        let lines = Arc::clone(&index.lines);
        self.log = Some(index);
        Ok((lines, log))
    }
}

/// The files that a snapshot is made from.
fn runtime_files(runtime: &RuntimeLayout) -> Vec<Sight> {
    let paths = [
        runtime.events(),
        runtime.run_summary(),
        runtime.state(),
        runtime.active_run(),
        runtime.approval(),
        runtime.heartbeat(),
    ];
    paths.iter().map(|path| Sight::of(path)).collect()
}

/// The members of an envelope that only the files decide, up to its end.
fn rest_of(envelope: &SnapshotEnvelope) -> Arc<str> {
    let mut members = match json::to_value(envelope) {
        Value::Object(members) => members,
        // An envelope is an object.
        _ => serde_json::Map::new(),
    };
    members.shift_remove("emittedAt");
    members.shift_remove("traceId");
    let text = json::compact(&members);
    Arc::from(text.strip_prefix('{').unwrap_or(&text))
}

/// An answer with events up to the first of them.
fn opening(source: &Source, trace_id: Option<&TraceId>) -> String {
    let version = json::compact(&SchemaVersion::V1);
    let trace_id = trace_id.map(|id| format!("\"traceId\":{},", json::compact(id)));
    format!(
        "{{\"ok\":true,\"schemaVersion\":{version},{}\"source\":{},\"events\":[",
        trace_id.unwrap_or_default(),
        json::compact(source),
    )
}

/// A panic while holding one of these leaves whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
