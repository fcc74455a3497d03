//! One look at a loop: only what a confirmation needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use om_model::envelope::{ArtifactRef, Source};
use om_model::{Artifact, json};
use om_stage::{Hook, RunOptions};
use om_store::{RuntimeLayout, last_row, read_artifact};
use om_transport::SnapshotContext;
use om_transport::snapshot::{self, EventsFile, RuntimeFile, SnapshotInputs};

use super::{ConfirmRequest, Observation};
use crate::clock::Clock;

/// How long a half-written document is given to become whole.
const REWRITE_PAUSE: Duration = Duration::from_millis(20);

/// What a snapshot hook gets on top of the time that is left, in seconds.
const HOOK_SLACK: u64 = 15;

/// Takes snapshots of one loop.
pub(super) struct Look<'a> {
    request: &'a ConfirmRequest,
    runtime: RuntimeLayout,
}

impl<'a> Look<'a> {
    pub(super) fn new(request: &'a ConfirmRequest) -> Self {
        Self {
            request,
            runtime: request.layout.runtime(&request.loop_id),
        }
    }

    /// What can be seen now; `None` if nothing can. `left` bounds a hook, in
    /// seconds.
    pub(super) fn observe(&mut self, clock: &dyn Clock, left: u64) -> Option<Observation> {
        match &self.request.snapshot_hook {
            Some(hook) => self.hooked(hook, left),
            None => self.read_files(clock),
        }
    }

    fn hooked(&self, hook: &Hook, left: u64) -> Option<Observation> {
        let repo = self.request.layout.repo().to_string_lossy();
        let arguments = ["--repo", &repo, "--loop", self.request.loop_id.as_str()];
        let options = RunOptions {
            time_limit: Some(Duration::from_secs(left.saturating_add(HOOK_SLACK))),
            ..RunOptions::default()
        };
        let output = hook.run(&arguments, &options);
        let printed = json::parse(&output.stdout).ok()?;
        output
            .success()
            .then(|| Observation::read(&printed))
            .flatten()
    }

    /// The snapshot that the loop's files make. The event log, which may be
    /// large, is read only from its end, and nothing is hashed.
    fn read_files(&self, clock: &dyn Clock) -> Option<Observation> {
        let inputs = self.gather(clock)?;
        let context = SnapshotContext {
            now: clock.now(),
            trace_id: None,
            run_id: None,
        };
        match snapshot::evaluate(&inputs, &context) {
            Ok(envelope) => Observation::read(&json::to_value(&envelope)),
            Err(error) => {
                tracing::debug!(%error, "no snapshot this time");
                None
            }
        }
    }

    fn gather(&self, clock: &dyn Clock) -> Option<SnapshotInputs> {
        let events = self.runtime.events();
        if !events.is_file() {
            return None;
        }
        let last_line = last_row(&events).ok()?.map(|row| row.bytes);
        let document = |path: PathBuf| Some(file(settled(&path, clock)?, path));
        Some(SnapshotInputs {
            source: Source {
                repo_path: self.request.layout.repo().to_string_lossy().into_owned(),
                loop_id: self.request.loop_id.clone(),
            },
            events: EventsFile {
                path: events,
                reference: ArtifactRef::default(),
                last_line,
            },
            state: document(self.runtime.state())?,
            approval: document(self.runtime.approval())?,
            run_summary: document(self.runtime.run_summary())?,
            // Not looked at.
            active_run: file(Artifact::Absent, self.runtime.active_run()),
            heartbeat: file(Artifact::Absent, self.runtime.heartbeat()),
        })
    }
}

fn file(artifact: Artifact, path: PathBuf) -> RuntimeFile {
    RuntimeFile {
        path,
        reference: ArtifactRef::default(),
        artifact,
    }
}

/// The document at `path`; `None` if it cannot be read. The runtime rewrites
/// some in place, so a broken one is read once more after a moment.
fn settled(path: &Path, clock: &dyn Clock) -> Option<Artifact> {
    let found = read_artifact(path).ok()?;
    if !matches!(found, Artifact::Broken(_)) {
        return Some(found);
    }
    clock.sleep(REWRITE_PAUSE);
    read_artifact(path).ok()
}
