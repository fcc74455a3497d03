//! A run with nothing to say: only its state document is new, so it can be
//! part of the commit that finds out.

use std::path::PathBuf;
use std::time::Duration;

use om_model::{Artifact, Timestamp, json};
use om_store::{Commit, DocumentOptions, Expect, Scope, read_bytes};

use crate::dispatch::{DispatchRequest, Turn};
use crate::ledger::{Ledger, Previous, RunIdentity};
use crate::source::Source;

/// The state of a run that has nothing to deliver. Other runs wait until it
/// is dropped, which has to be after its commit.
#[derive(Debug)]
pub struct Quiet {
    path: PathBuf,
    bytes: String,
    expect: Expect,
    _turn: Turn,
}

impl Quiet {
    /// Adds the state document to `commit`.
    pub fn record(&self, commit: Commit) -> Commit {
        let options = DocumentOptions {
            expect: self.expect,
            ..DocumentOptions::default()
        };
        commit.document_with(&self.path, self.bytes.as_str(), options)
    }
}

/// What [`dispatch()`](crate::dispatch()) would write now, if that is its
/// state document and nothing else: every line is consumed and no delivery
/// is due. `None` if there is something to do, to wait for, or to complain
/// about: then `dispatch` has to run.
pub fn quiet(request: &DispatchRequest, scope: &Scope, now: Timestamp) -> Option<Quiet> {
    let paths = &request.paths;
    // Its folder is made by a run of its own.
    if !paths.telemetry.parent()?.is_dir() {
        return None;
    }
    let turn = Turn::take(scope, &paths.state, Duration::ZERO).ok()?;
    let bytes = read_bytes(&paths.state).ok()?;
    // What cannot be written must fail the alerts, not somebody's commit.
    let is_ours = paths.state.parent() == Some(scope.dir());
    if !is_ours || (bytes.is_none() && paths.state.symlink_metadata().is_ok()) {
        return None;
    }
    let state = bytes.as_deref().map_or(Artifact::Absent, Artifact::parse);
    let mut previous = Previous::read(&state).ok()?;
    let wanted = previous.wanted(request.retry, now);
    if !wanted.is_empty() {
        return None;
    }
    let source = Source::open(&paths.escalations, &previous, &wanted).ok()?;
    let line_count = source.as_ref().map(|source| source.line_count);
    if line_count.is_some_and(|count| count != previous.offset) {
        return None;
    }
    if let Some(source) = source {
        previous.last_line = source.last_line;
    }
    let run = RunIdentity::of(request);
    let document = Ledger::new(run, previous, line_count).document(now);
    Some(Quiet {
        path: paths.state.clone(),
        bytes: json::compact(&document) + "\n",
        expect: Expect::found(bytes.as_deref()),
        _turn: turn,
    })
}
