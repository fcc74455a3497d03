//! What a service serves, and within which limits.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_http::Secret;
use om_model::TraceId;

use crate::access_log::AccessLog;
use crate::scripts::Scripts;

/// Who acts if neither a request nor `USER` says so.
const DEFAULT_ACTOR: &str = "ops-service";

/// What a service serves.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// The repository, as a physical path.
    pub repo: PathBuf,
    /// What every request has to present; `None` asks for nothing.
    pub token: Option<Secret>,
    /// Stages by executable; `None`: function calls.
    pub scripts: Option<Scripts>,
    /// Who acts if a request does not say so.
    pub actor: String,
    /// Trace id of controls whose request has none; `None`: a random one.
    pub trace_id: Option<TraceId>,
    /// How often heartbeats are written; `None`: never.
    pub heartbeat_interval: Option<Duration>,
    /// Where one line per answer goes.
    pub access_log: Option<AccessLog>,
    /// Bounds of everything.
    pub limits: Limits,
}

/// Why a repository cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such directory; carries the path as given.
    #[error("--repo {path}: No such file or directory (repo path not found: {path})", path = .0.display())]
    RepoMissing(PathBuf),
    /// Something else is there; carries the path as given.
    #[error("--repo {}: No such file or directory (it is not a directory)", .0.display())]
    NotADirectory(PathBuf),
    /// It cannot be reached.
    #[error("--repo {}: {cause}", path.display())]
    Unreachable {
        /// As given.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Its path cannot be written into documents.
    #[error("--repo {}: the physical path is not valid UTF-8, which artifacts need", .0.display())]
    NotText(PathBuf),
}

impl ServiceConfig {
    /// Serves `repo`, whose symlinks are followed, without a token, to the
    /// defaults of the contract.
    pub fn new(repo: &Path) -> Result<Self, ConfigError> {
        let path = repo.to_owned();
        let physical = match std::fs::canonicalize(repo) {
            Ok(physical) if physical.is_dir() => physical,
            Ok(_) => return Err(ConfigError::NotADirectory(path)),
            Err(cause) => {
                return Err(match cause.kind() {
                    io::ErrorKind::NotFound => ConfigError::RepoMissing(path),
                    io::ErrorKind::NotADirectory => ConfigError::NotADirectory(path),
                    _ => ConfigError::Unreachable { path, cause },
                });
            }
        };
        if physical.to_str().is_none() {
            return Err(ConfigError::NotText(physical));
        }
        Ok(Self {
            repo: physical,
            token: None,
            scripts: None,
            actor: DEFAULT_ACTOR.to_owned(),
            trace_id: None,
            heartbeat_interval: None,
            access_log: None,
            limits: Limits::default(),
        })
    }

    /// Takes actor and trace id from this process's environment: `USER`, also
    /// if it is empty, and `OPS_MANAGER_TRACE_ID`.
    #[must_use]
    pub fn with_environment(self) -> Self {
        let trace_id = std::env::var("OPS_MANAGER_TRACE_ID").ok();
        Self {
            actor: std::env::var("USER").unwrap_or(self.actor),
            trace_id: trace_id.and_then(TraceId::new).or(self.trace_id),
            ..self
        }
    }
}

/// Bounds of everything that comes from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body, in bytes; longer ones get 413.
    pub body_bytes: usize,
    /// Longest request line with headers, in bytes, at least 8192; longer ones
    /// get 431.
    pub head_bytes: usize,
    /// From the first byte of a request to the end of its headers.
    pub head_time: Duration,
    /// For the body.
    pub body_time: Duration,
    /// How long a connection may be idle.
    pub idle_time: Duration,
    /// How long a client may leave its answer unread.
    pub write_time: Duration,
    /// Most connections. The descriptor limit may lower it; beyond it, the
    /// connection that is idle for longest makes room.
    pub connections: usize,
    /// Most controls that execute at once; more get 503.
    pub controls: usize,
    /// Most observations at once; more wait.
    pub observations: usize,
    /// How long they wait before they get 503.
    pub observation_wait: Duration,
    /// How long a repetition waits for the execution that it repeats, if the
    /// request itself sets no limit.
    pub repetition_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            head_bytes: 16 << 10,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(30),
            connections: 10_000,
            controls: 16,
            observations: 32,
            observation_wait: Duration::from_secs(10),
            repetition_wait: Duration::from_secs(3_600),
        }
    }
}
