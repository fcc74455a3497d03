//! One observation of one loop, straight from the runtime's files
//! (chapter 01 §4–§5).

use std::io;
use std::path::{Path, PathBuf};

use om_model::envelope::{
    CursorDocument, EventEnvelope, LogPosition, SchemaVersion, SnapshotEnvelope, Source,
};
use om_model::observation::{EventBatch, SequenceFold};
use om_model::{LoopId, json};
use om_store::{Line, RepoLayout, RuntimeLayout};
use serde_json::Value;

use crate::error::{EventsError, ObserveError};
use crate::event::{self, EnvelopeContext};
use crate::log::{Progress, ProgressCallback};
use crate::observe::{EventsRequest, Observe, ObservedEvents, SnapshotRequest};
use crate::runtime_file;
use crate::session::Session;
use crate::snapshot::{self, EventsFile, RuntimeFile, SnapshotInputs};
use crate::walk::{VisitError, Walk};

/// One observation of one loop.
///
/// The event log is opened once, at the first call, and its length is fixed
/// there: snapshot and events of one value agree on the number of lines,
/// whatever is appended meanwhile. A new pass makes a new value.
pub struct LocalTransport<'p> {
    repo: PathBuf,
    runtime: RuntimeLayout,
    source: Source,
    progress: Progress<'p>,
    session: Option<Session>,
}

impl<'p> LocalTransport<'p> {
    /// Observes loop `loop_id` of the repository of `layout`.
    pub fn new(layout: &RepoLayout, loop_id: &LoopId) -> Self {
        Self {
            repo: layout.repo().to_owned(),
            runtime: layout.runtime(loop_id),
            source: Source {
                repo_path: layout.repo().to_string_lossy().into_owned(),
                loop_id: loop_id.clone(),
            },
            progress: Progress::silent(),
            session: None,
        }
    }

    /// Reports (bytes done, bytes in all) while the log is read, at most once
    /// per MiB. The log may be passed over more than once.
    #[must_use]
    pub fn with_progress(self, callback: ProgressCallback<'p>) -> Self {
        Self {
            progress: Progress::to(callback),
            ..self
        }
    }

    /// The loop at this moment (chapter 01 §4).
    pub fn snapshot(
        &mut self,
        request: &SnapshotRequest,
    ) -> Result<SnapshotEnvelope, ObserveError> {
        let inputs = self.gather(request.known.as_ref())?;
        Ok(snapshot::evaluate(&inputs, &request.context)?)
    }

    /// Every event after the cursor, handed to `each` in order (chapter 01
    /// §5).
    ///
    /// Returns the cursor for the caller to store: output precedes it, so a
    /// failure in between repeats events and never loses one.
    pub fn poll(
        &mut self,
        request: &EventsRequest,
        each: &mut dyn FnMut(&EventEnvelope) -> io::Result<()>,
    ) -> Result<CursorDocument, EventsError> {
        let source = self.source.clone();
        let polled = self.walk(request, |line, line_count| {
            let context = context(&source, request, line_count);
            let envelope = event::envelope(line.bytes, line.number, context)?;
            each(&envelope).map_err(VisitError::Output)
        })?;
        polled.cursor()
    }

    /// Every event after the cursor, reduced to count, order and the last
    /// envelope: what a pass needs, without building the others.
    pub fn events(&mut self, request: &EventsRequest) -> Result<ObservedEvents, EventsError> {
        let mut sequence = SequenceFold::default();
        let polled = self.walk(request, |line, _| {
            event::check(line.bytes)?;
            sequence.push(Some(line.number));
            Ok(())
        })?;
        let last = polled.last_envelope()?;
        Ok(ObservedEvents {
            batch: EventBatch {
                sequence,
                last: last.map(|envelope| json::to_value(&envelope)),
            },
            cursor: polled.cursor()?,
        })
    }

    /// Everything that a snapshot is made from.
    fn gather(&mut self, known: Option<&LogPosition>) -> Result<SnapshotInputs, ObserveError> {
        let session = Session::ensure(&mut self.session, &self.runtime, known, &mut self.progress)?;
        let path = session.log.path().to_owned();
        let name = relative(&self.repo, &path);
        let events = EventsFile {
            reference: session.log.reference(&session.scan, name),
            last_line: match &session.scan.last_line {
                Some(range) => Some(session.log.bytes(range.clone())?),
                None => None,
            },
            path,
        };
        Ok(SnapshotInputs {
            source: self.source.clone(),
            events,
            state: self.runtime_file(&self.runtime.state())?,
            active_run: self.runtime_file(&self.runtime.active_run())?,
            approval: self.runtime_file(&self.runtime.approval())?,
            run_summary: self.runtime_file(&self.runtime.run_summary())?,
            heartbeat: self.runtime_file(&self.runtime.heartbeat())?,
        })
    }

    fn runtime_file(&self, path: &Path) -> Result<RuntimeFile, ObserveError> {
        runtime_file::read(path, relative(&self.repo, path))
    }

    /// Visits the events that `request` asks for; `visit` also gets the
    /// number of complete lines in the log.
    fn walk<'a>(
        &'a mut self,
        request: &'a EventsRequest,
        mut visit: impl FnMut(&Line<'_>, u64) -> Result<(), VisitError>,
    ) -> Result<Polled<'a>, EventsError> {
        let start = request.start.point().map_err(ObserveError::from);
        // A missing log is reported before a broken cursor (§5.2).
        let known = start
            .as_ref()
            .ok()
            .and_then(|start| start.position.as_ref());
        let session = Session::ensure(&mut self.session, &self.runtime, known, &mut self.progress)?;
        let start = start?;
        let entry = session.entry(&start, &mut self.progress)?;
        let line_count = session.scan.line_count;
        let walk = Walk::over(
            session,
            entry,
            start.offset,
            request.max_events,
            &mut self.progress,
            |line| visit(line, line_count),
        )?;
        Ok(Polled {
            repo: &self.repo,
            source: &self.source,
            request,
            session,
            walk,
        })
    }
}

impl Observe for LocalTransport<'_> {
    async fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Value, ObserveError> {
        // A pass that starts over looks at the log anew.
        self.session = None;
        Self::snapshot(self, request).map(|envelope| json::to_value(&envelope))
    }

    async fn events(&mut self, request: &EventsRequest) -> Result<ObservedEvents, EventsError> {
        Self::events(self, request)
    }
}

/// A finished walk, for what is said about it.
struct Polled<'a> {
    repo: &'a Path,
    source: &'a Source,
    request: &'a EventsRequest,
    session: &'a Session,
    walk: Walk,
}

impl Polled<'_> {
    /// The last visited line as an envelope.
    fn last_envelope(&self) -> Result<Option<EventEnvelope>, EventsError> {
        let Some(range) = &self.walk.last else {
            return Ok(None);
        };
        let (log, line) = (&self.session.log, self.walk.at.line);
        let bytes = log
            .bytes(range.clone())
            .map_err(|error| self.walk.failed(error))?;
        let context = context(self.source, self.request, self.session.scan.line_count);
        match event::envelope(&bytes, line, context) {
            Ok(envelope) => Ok(Some(envelope)),
            Err(error) => Err(self.walk.failed(ObserveError::Line {
                path: log.path().to_owned(),
                line,
                error,
            })),
        }
    }

    /// The cursor behind the last visited line.
    fn cursor(&self) -> Result<CursorDocument, EventsError> {
        let Session { log, scan, .. } = self.session;
        let position = log
            .position(scan, self.walk.at)
            .map_err(|error| self.walk.failed(error))?;
        Ok(CursorDocument {
            schema_version: SchemaVersion::V1,
            repo_path: self.source.repo_path.clone(),
            loop_id: self.source.loop_id.clone(),
            events_file: relative(self.repo, log.path()),
            event_line_offset: self.walk.at.line,
            event_line_count: scan.line_count,
            updated_at: self.request.now,
            log: Some(position),
        })
    }
}

fn context<'a>(
    source: &'a Source,
    request: &'a EventsRequest,
    line_count: u64,
) -> EnvelopeContext<'a> {
    EnvelopeContext {
        source,
        trace_id: request.trace_id.as_ref(),
        emitted_at: request.now,
        line_count,
    }
}

/// `path` as it is named in envelopes: relative to the repository.
fn relative(repo: &Path, path: &Path) -> String {
    let path = path.strip_prefix(repo).unwrap_or(path);
    path.to_string_lossy().into_owned()
}
