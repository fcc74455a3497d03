//! Where everything lives: logical name → path. No I/O.
//!
//! Contract: chapter 01 §2 (runtime artifacts), chapter 02 §2.6 (the ops
//! manager's files), chapter 03 and 04 for control and alerts.

mod fleet;

use std::path::{Path, PathBuf};

use om_model::LoopId;

pub use fleet::{FleetFile, FleetLayout};

/// The `.superloop` tree of one repository.
///
/// The path is used as given: symlinks in it are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoLayout {
    repo: PathBuf,
}

impl RepoLayout {
    /// The layout below `repo`, which should be absolute.
    pub fn new(repo: PathBuf) -> Self {
        Self { repo }
    }

    /// The repository itself.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// `.superloop`.
    pub fn superloop_dir(&self) -> PathBuf {
        self.repo.join(".superloop")
    }

    /// `.superloop/ops-manager`, the root of everything we write.
    pub fn ops_root(&self) -> PathBuf {
        self.superloop_dir().join("ops-manager")
    }

    /// `.superloop/ops-manager/fleet`, the scope of fleet-wide commits.
    pub fn fleet_scope_dir(&self) -> PathBuf {
        self.ops_root().join("fleet")
    }

    /// The ops manager's files of the fleet.
    pub fn fleet_files(&self) -> FleetLayout {
        FleetLayout::new(self.fleet_scope_dir())
    }

    /// The ops manager's files of one loop.
    pub fn loop_files(&self, id: &LoopId) -> LoopLayout {
        LoopLayout {
            scope_dir: self.ops_root().join(id.as_str()),
        }
    }

    /// The runtime's files of one loop.
    pub fn runtime(&self, id: &LoopId) -> RuntimeLayout {
        RuntimeLayout {
            superloop_dir: self.superloop_dir(),
            id: id.clone(),
        }
    }
}

/// The ops manager's files of one loop: `<ops>` = `.superloop/ops-manager/<loop>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopLayout {
    scope_dir: PathBuf,
}

/// Every file that the ops manager keeps for one loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoopFile {
    /// Projected state of the loop.
    State,
    /// Position in the event log.
    Cursor,
    /// Latest health evaluation.
    Health,
    /// Latest heartbeat evaluation.
    Heartbeat,
    /// Latest envelope sequence evaluation.
    SequenceState,
    /// Escalations, one row each.
    Escalations,
    /// Control intents, one row each.
    Intents,
    /// Control actions begun but not known to be finished (decision D7).
    ControlPending,
    /// Latest profile drift evaluation.
    ProfileDrift,
    /// Position and retries of alert dispatch.
    AlertDispatchState,
    /// Telemetry: reconcile passes.
    ReconcileRows,
    /// Telemetry: control actions.
    ControlRows,
    /// Telemetry: control invocations.
    ControlInvocations,
    /// Telemetry: heartbeat evaluations.
    HeartbeatRows,
    /// Telemetry: sequence evaluations.
    SequenceRows,
    /// Telemetry: profile drift evaluations.
    ProfileDriftRows,
    /// Telemetry: alert dispatch.
    AlertRows,
    /// Transport failures in a row.
    TransportHealth,
    /// Answers of the sprite service by idempotency key (decision D12).
    ServiceIdempotency,
}

impl LoopFile {
    /// Every file, in the order of declaration.
    pub const ALL: [Self; 19] = [
        Self::State,
        Self::Cursor,
        Self::Health,
        Self::Heartbeat,
        Self::SequenceState,
        Self::Escalations,
        Self::Intents,
        Self::ControlPending,
        Self::ProfileDrift,
        Self::AlertDispatchState,
        Self::ReconcileRows,
        Self::ControlRows,
        Self::ControlInvocations,
        Self::HeartbeatRows,
        Self::SequenceRows,
        Self::ProfileDriftRows,
        Self::AlertRows,
        Self::TransportHealth,
        Self::ServiceIdempotency,
    ];

    /// The path relative to the loop's scope directory.
    pub fn relative(self) -> &'static str {
        match self {
            Self::State => "state.json",
            Self::Cursor => "cursor.json",
            Self::Health => "health.json",
            Self::Heartbeat => "heartbeat.json",
            Self::SequenceState => "sequence-state.json",
            Self::Escalations => "escalations.jsonl",
            Self::Intents => "intents.jsonl",
            Self::ControlPending => "control-pending.json",
            Self::ProfileDrift => "profile-drift.json",
            Self::AlertDispatchState => "alert-dispatch-state.json",
            Self::ReconcileRows => "telemetry/reconcile.jsonl",
            Self::ControlRows => "telemetry/control.jsonl",
            Self::ControlInvocations => "telemetry/control-invocations.jsonl",
            Self::HeartbeatRows => "telemetry/heartbeat.jsonl",
            Self::SequenceRows => "telemetry/sequence.jsonl",
            Self::ProfileDriftRows => "telemetry/profile-drift.jsonl",
            Self::AlertRows => "telemetry/alerts.jsonl",
            Self::TransportHealth => "telemetry/transport-health.json",
            Self::ServiceIdempotency => "service-idempotency.json",
        }
    }
}

impl LoopLayout {
    /// `<ops>`: the scope of this loop's commits.
    pub fn scope_dir(&self) -> PathBuf {
        self.scope_dir.clone()
    }

    /// `<ops>/telemetry`.
    pub fn telemetry_dir(&self) -> PathBuf {
        self.scope_dir.join("telemetry")
    }

    /// The path of one file.
    pub fn path(&self, file: LoopFile) -> PathBuf {
        self.scope_dir.join(file.relative())
    }
}

/// What the loop runtime writes (chapter 01 §2). Read, never written by us,
/// but for the poll's cursor and, for `ops-manager heartbeat`, the heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeLayout {
    superloop_dir: PathBuf,
    id: LoopId,
}

impl RuntimeLayout {
    /// `.superloop/state.json`, shared by all loops of the repository.
    pub fn state(&self) -> PathBuf {
        self.superloop_dir.join("state.json")
    }

    /// `.superloop/active-run.json`, shared by all loops of the repository.
    pub fn active_run(&self) -> PathBuf {
        self.superloop_dir.join("active-run.json")
    }

    /// `.superloop/loops/<loop>`.
    pub fn dir(&self) -> PathBuf {
        self.superloop_dir.join("loops").join(self.id.as_str())
    }

    /// The append-only event log.
    pub fn events(&self) -> PathBuf {
        self.dir().join("events.jsonl")
    }

    /// Summary of the current or last run.
    pub fn run_summary(&self) -> PathBuf {
        self.dir().join("run-summary.json")
    }

    /// A pending or decided approval.
    pub fn approval(&self) -> PathBuf {
        self.dir().join("approval.json")
    }

    /// The runtime's heartbeat (decision D26).
    pub fn heartbeat(&self) -> PathBuf {
        self.dir().join("heartbeat.v1.json")
    }

    /// Default cursor of `ops-manager-poll-events` (chapter 01 §5.2).
    pub fn poll_cursor(&self) -> PathBuf {
        self.dir().join("ops-manager.cursor.json")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layout() -> (RepoLayout, LoopId) {
        let id = LoopId::new("nightly").expect("a good id");
        (RepoLayout::new(PathBuf::from("/r")), id)
    }

    #[test]
    fn every_file_of_a_loop_has_a_place_of_its_own() {
        let (repo, id) = layout();
        let files = repo.loop_files(&id);
        let paths: BTreeSet<_> = LoopFile::ALL.iter().map(|f| files.path(*f)).collect();
        assert_eq!(paths.len(), LoopFile::ALL.len());
        assert!(paths.iter().all(|p| p.starts_with(files.scope_dir())));
        assert!(paths.contains(Path::new("/r/.superloop/ops-manager/nightly/state.json")));
    }

    #[test]
    fn the_runtime_writes_beside_us_never_among_us() {
        let (repo, id) = layout();
        let runtime = repo.runtime(&id);
        assert_eq!(
            runtime.events(),
            Path::new("/r/.superloop/loops/nightly/events.jsonl")
        );
        assert_eq!(
            runtime.active_run(),
            Path::new("/r/.superloop/active-run.json")
        );
        assert!(!runtime.poll_cursor().starts_with(repo.ops_root()));
    }
}
