//! One run of the bridge: gather, evaluate, and one commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use om_model::{Artifact, Timestamp, TraceId, json};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, FleetFile, RepoLayout, Scope, read_bytes,
};

use crate::error::{DocumentError, HorizonError};
use crate::evaluate::{Context, Evaluation, Fault, Inputs, Places, evaluate};
use crate::previous::{PreviousQueue, PreviousState};
use crate::take::{FOLDERS, Taken};

/// Only one bridge of a repository runs at a time.
const RUN_LOCK: &str = "horizon-bridge";

/// How often a commit is tried while others edit the files.
const ATTEMPTS: u32 = 20;

/// What a run is about; absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The repository.
    pub layout: RepoLayout,
    /// Where files come from; need not exist.
    pub outbox_dir: PathBuf,
    /// Where they go.
    pub claims_dir: PathBuf,
    /// The queue.
    pub queue_file: PathBuf,
    /// The state.
    pub state_file: PathBuf,
    /// The journal.
    pub telemetry_file: PathBuf,
    /// Most files of one run; 0 for all.
    pub max_files: u64,
    /// Links what the run records.
    pub trace_id: TraceId,
}

/// When and by whom a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The wall clock.
    pub clock: SystemTime,
    /// The same, in nanoseconds since the epoch: part of every claim's name.
    pub nanoseconds: u128,
    /// The process: part of every claim's name.
    pub pid: u32,
}

impl Start {
    /// Now, by this process.
    pub fn now_here() -> Self {
        Self::at(SystemTime::now(), std::process::id())
    }

    /// At a time, by a process.
    pub fn at(clock: SystemTime, pid: u32) -> Self {
        let since = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            clock,
            nanoseconds: since.as_nanos(),
            pid,
        }
    }

    /// As artifacts write it.
    pub(crate) fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.nanoseconds / 1_000_000_000);
        Timestamp::from_epoch_seconds(seconds.unwrap_or(i64::MAX))
    }
}

impl Bridge {
    /// With every file in its usual place.
    pub fn new(layout: RepoLayout, trace_id: TraceId) -> Self {
        let files = layout.fleet_files();
        Self {
            outbox_dir: layout.superloop_dir().join("horizons/outbox"),
            claims_dir: files.scope_dir().join("horizon-bridge-claims"),
            queue_file: files.path(FleetFile::HorizonQueue),
            state_file: files.path(FleetFile::HorizonState),
            telemetry_file: files.path(FleetFile::HorizonRows),
            max_files: 0,
            trace_id,
            layout,
        }
    }

    fn places(&self) -> Places {
        let text = |path: &Path| path.display().to_string();
        Places {
            outbox_dir: text(&self.outbox_dir),
            claims_dir: text(&self.claims_dir),
            queue_file: text(&self.queue_file),
            state_file: text(&self.state_file),
            telemetry_file: text(&self.telemetry_file),
        }
    }
}

/// Takes what is in the outbox. Everything happens in one commit: a file is
/// moved, its envelopes are queued and its row is there, or nothing of it.
pub fn run(bridge: &Bridge) -> Result<Evaluation, HorizonError> {
    let scope = Scope::open(bridge.layout.fleet_scope_dir())?;
    run_in(&scope, bridge, &Start::now_here())
}

/// [`run()`] with a scope and a time of the caller's.
pub fn run_in(scope: &Scope, bridge: &Bridge, start: &Start) -> Result<Evaluation, HorizonError> {
    let _turn = scope.run_lock(RUN_LOCK)?;
    make_folders(bridge)?;
    scope.recover()?;
    let mut busy = BTreeSet::new();
    let mut attempt = 1;
    loop {
        match attempt_once(scope, bridge, start, &busy) {
            Err(HorizonError::Commit(CommitError::Changed { path })) if attempt < ATTEMPTS => {
                // Whoever writes there is let finish.
                if path.starts_with(&bridge.outbox_dir) {
                    busy.insert(path);
                }
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn attempt_once(
    scope: &Scope,
    bridge: &Bridge,
    start: &Start,
    busy: &BTreeSet<PathBuf>,
) -> Result<Evaluation, HorizonError> {
    let (queue, queue_read) = read_queue(&bridge.queue_file)?;
    let (mut state, state_read) = read_state(&bridge.state_file)?;
    let mut taken = Taken::gather(bridge, start, &state.watched, busy)?;
    state.watched = std::mem::take(&mut taken.watched);
    let inputs = Inputs {
        queue,
        state,
        claims: std::mem::take(&mut taken.claims),
        deferred: std::mem::take(&mut taken.deferred),
        places: bridge.places(),
    };
    let context = Context {
        now: start.now(),
        trace_id: bridge.trace_id.clone(),
    };
    let evaluated = evaluate(&inputs, &context);
    taken.claims = inputs.claims;
    match evaluated {
        Ok(evaluation) => {
            let commit = commit(bridge, &evaluation, &taken, queue_read, state_read);
            scope.commit(commit)?;
            Ok(evaluation)
        }
        Err(faults) => Err(set_aside(scope, bridge, &taken, &faults)?),
    }
}

/// The files, the queue, the state and the rows.
fn commit(
    bridge: &Bridge,
    evaluation: &Evaluation,
    taken: &Taken,
    queue_read: Expect,
    state_read: Expect,
) -> Commit {
    let expecting = |expect, last| DocumentOptions {
        expect,
        last,
        ..DocumentOptions::default()
    };
    let line = |text: String| text + "\n";
    let commit = Commit::new()
        .document_with(
            &bridge.queue_file,
            line(json::compact(&evaluation.queue)),
            expecting(queue_read, false),
        )
        .document_with(
            &bridge.state_file,
            line(json::compact(&evaluation.state)),
            expecting(state_read, true),
        );
    let commit = evaluation.rows.iter().fold(commit, |commit, row| {
        commit.row(&bridge.telemetry_file, json::compact(row))
    });
    let verdicts = evaluation.verdicts.iter().enumerate();
    verdicts.fold(commit, |commit, (position, status)| {
        taken.settle(commit, &bridge.claims_dir, position, *status)
    })
}

/// Takes the files that stop the run out of the next one's way, and tells of
/// the first one.
fn set_aside(
    scope: &Scope,
    bridge: &Bridge,
    taken: &Taken,
    faults: &[Fault],
) -> Result<HorizonError, HorizonError> {
    let mut commit = Commit::new();
    let mut told = None;
    for fault in faults {
        let target;
        (commit, target) = taken.set_aside(commit, &bridge.claims_dir, fault.claim);
        told.get_or_insert(HorizonError::Line {
            path: taken.source(fault.claim).to_owned(),
            claim: target,
            line: fault.line,
            fault: fault.what.clone(),
        });
    }
    scope.commit(commit)?;
    Ok(told.unwrap_or_else(|| unreachable!("a run is stopped by a fault")))
}

/// §2.2: before anything is read.
fn make_folders(bridge: &Bridge) -> Result<(), HorizonError> {
    let files = [
        &bridge.queue_file,
        &bridge.state_file,
        &bridge.telemetry_file,
    ];
    let parents = files.into_iter().filter_map(|file| file.parent());
    let folders = FOLDERS.map(|name| bridge.claims_dir.join(name));
    for folder in folders.iter().map(PathBuf::as_path).chain(parents) {
        fs::create_dir_all(folder).map_err(|source| HorizonError::Folder {
            path: folder.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// The queue, and what a commit may replace.
fn read_queue(path: &Path) -> Result<(PreviousQueue, Expect), HorizonError> {
    let (artifact, expect) = read(path)?;
    let invalid = |cause: DocumentError| HorizonError::Queue {
        path: path.to_owned(),
        cause,
    };
    Ok((PreviousQueue::read(artifact).map_err(invalid)?, expect))
}

fn read_state(path: &Path) -> Result<(PreviousState, Expect), HorizonError> {
    let (artifact, expect) = read(path)?;
    let invalid = |cause: DocumentError| HorizonError::State {
        path: path.to_owned(),
        cause,
    };
    Ok((PreviousState::read(&artifact).map_err(invalid)?, expect))
}

fn read(path: &Path) -> Result<(Artifact, Expect), HorizonError> {
    Ok(parsed(read_bytes(path)?.as_deref()))
}

/// A document as it was found, and what a commit may replace.
pub(crate) fn parsed(bytes: Option<&[u8]>) -> (Artifact, Expect) {
    let parse = |bytes: &[u8]| {
        // Some editors put a byte order mark before the text.
        Artifact::parse(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
    };
    (bytes.map_or(Artifact::Absent, parse), Expect::found(bytes))
}
