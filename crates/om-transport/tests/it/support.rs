//! A repository to observe, and the questions asked about it.

use std::fs;
use std::path::{Path, PathBuf};

use om_model::envelope::{CursorDocument, EventEnvelope, LogPosition, SnapshotEnvelope};
use om_model::{Artifact, LoopId, Timestamp, TraceId, json};
use om_store::RepoLayout;
use om_transport::{
    EventsError, EventsRequest, LocalTransport, ObserveError, ObservedEvents, PollStart,
    SnapshotContext, SnapshotRequest,
};
use tempfile::TempDir;

/// A repository with one loop, `nightly`, whose event log starts empty.
pub(crate) struct Repo {
    dir: TempDir,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let repo = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        fs::create_dir_all(repo.file("loops/nightly")).expect("created");
        repo.append("");
        repo
    }

    /// With `lines` in the log.
    pub(crate) fn with_lines<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Self {
        let repo = Self::new();
        for line in lines {
            repo.append(format!("{}\n", line.as_ref()));
        }
        repo
    }

    pub(crate) fn layout(&self) -> RepoLayout {
        RepoLayout::new(self.dir.path().to_owned())
    }

    pub(crate) fn transport(&self) -> LocalTransport<'static> {
        LocalTransport::new(&self.layout(), &loop_id("nightly"))
    }

    /// A path below `.superloop`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.layout().superloop_dir().join(name)
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.file("loops/nightly/events.jsonl")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).expect("written");
    }

    pub(crate) fn append(&self, bytes: impl AsRef<[u8]>) {
        use std::io::Write;
        let mut options = fs::OpenOptions::new();
        let mut log = options
            .create(true)
            .append(true)
            .open(self.events())
            .expect("opened");
        log.write_all(bytes.as_ref()).expect("appended");
    }

    pub(crate) fn snapshot(&self) -> Result<SnapshotEnvelope, ObserveError> {
        self.transport().snapshot(&snapshot_request(None))
    }

    pub(crate) fn poll(&self, request: &EventsRequest) -> Polled {
        poll(&mut self.transport(), request)
    }

    pub(crate) fn observe(&self, request: &EventsRequest) -> Result<ObservedEvents, EventsError> {
        self.transport().events(request)
    }

    /// What an error says, with the repository's path as `<repo>`.
    pub(crate) fn said(&self, error: &dyn std::error::Error) -> String {
        let repo = self.dir.path().to_string_lossy().into_owned();
        error.to_string().replace(&repo, "<repo>")
    }
}

/// What a poll emitted, and how it ended.
pub(crate) struct Polled {
    pub(crate) envelopes: Vec<EventEnvelope>,
    pub(crate) outcome: Result<CursorDocument, EventsError>,
}

impl Polled {
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.envelopes.iter().map(|e| e.sequence.value).collect()
    }

    pub(crate) fn cursor(self) -> CursorDocument {
        self.outcome.expect("the poll succeeds")
    }
}

pub(crate) fn poll(transport: &mut LocalTransport<'_>, request: &EventsRequest) -> Polled {
    let mut envelopes = Vec::new();
    let outcome = transport.poll(request, &mut |envelope| {
        envelopes.push(envelope.clone());
        Ok(())
    });
    Polled { envelopes, outcome }
}

pub(crate) fn loop_id(text: &str) -> LoopId {
    LoopId::new(text).expect("a valid loop id")
}

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2033-01-05T09:10:00Z").expect("a valid time")
}

pub(crate) fn snapshot_request(known: Option<LogPosition>) -> SnapshotRequest {
    SnapshotRequest {
        context: SnapshotContext {
            now: now(),
            trace_id: TraceId::new("tr-77"),
            run_id: None,
        },
        known,
    }
}

/// A poll of everything.
pub(crate) fn from_start() -> EventsRequest {
    EventsRequest {
        now: now(),
        trace_id: TraceId::new("tr-77"),
        start: PollStart::Beginning,
        max_events: 0,
    }
}

/// A poll behind what stands in the cursor file.
pub(crate) fn behind(cursor_file: &[u8]) -> EventsRequest {
    EventsRequest {
        start: PollStart::Cursor {
            artifact: Artifact::parse(cursor_file),
            path: Path::new("c.json").to_owned(),
        },
        ..from_start()
    }
}

/// A poll behind `cursor`, as its file would hold it.
pub(crate) fn after(cursor: &CursorDocument) -> EventsRequest {
    behind(json::pretty(cursor).as_bytes())
}

/// At most `max_events` of `request`.
pub(crate) fn at_most(max_events: u64, request: EventsRequest) -> EventsRequest {
    EventsRequest {
        max_events,
        ..request
    }
}

/// An ordinary line of the log, without its newline.
pub(crate) fn event(n: u64) -> String {
    format!(
        r#"{{"timestamp":"2033-01-05T09:00:{:02}Z","event":"tick","loop_id":"nightly","run_id":"r1","iteration":{n},"data":{{"n":{n}}}}}"#,
        n % 60
    )
}
