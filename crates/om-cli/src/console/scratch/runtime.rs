//! Made-up loops, and a runtime that obeys without anything to run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use om_model::{LoopId, Timestamp};
use om_store::RepoLayout;
use serde_json::json;

use crate::error::CliError;

/// How a loop shall be found by a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) enum Standing {
    /// It reported a moment ago.
    Healthy,
    /// It has not reported for longer than is usual.
    Degraded,
    /// It has not reported for far too long.
    Critical,
    /// Nothing of it is there.
    Unreachable,
}

impl Standing {
    /// Seconds since its last event, well between the built-in thresholds.
    fn age(self) -> Option<i64> {
        match self {
            Self::Healthy => Some(0),
            Self::Degraded => Some(500),
            Self::Critical => Some(3_600),
            Self::Unreachable => None,
        }
    }
}

/// Writes the event log of a loop that runs in `home`.
pub(in crate::console) fn put_loop(
    home: &Path,
    id: &LoopId,
    standing: Standing,
    now: Timestamp,
) -> Result<(), CliError> {
    let Some(age) = standing.age() else {
        return Ok(());
    };
    let at = Timestamp::from_epoch_seconds(now.epoch_seconds() - age).to_string();
    let line = |event: &str| {
        json!({
            "timestamp": at, "event": event, "loop_id": id, "run_id": format!("run-{id}"),
            "iteration": 1,
        })
    };
    let text = format!("{}\n{}\n", line("loop_start"), line("iteration_start"));
    let file = RepoLayout::new(home.to_owned()).runtime(id).events();
    put(&file, &text)
}

/// Makes `id` the loop that runs in `home`, until it is cancelled.
pub(in crate::console) fn start_run(home: &Path, id: &LoopId) -> Result<(), CliError> {
    let state = json!({"active": true, "loop_index": 0, "iteration": 1, "current_loop_id": id});
    put(&home.join(".superloop/state.json"), &format!("{state}\n"))
}

fn put(file: &Path, text: &str) -> Result<(), CliError> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|error| CliError::at(folder, error))?;
    fs::write(file, text).map_err(|error| CliError::at(file, error))
}

/// `cancel --repo <repo>` takes the run's state away, as the stock runtime
/// does, unless it is deaf; every call is a line beside it.
const SCRIPT: &str = r#"#!/bin/sh
here=${0%/*}
echo "$*" >> "$here/calls.log"
[ -e "$here/deaf" ] || rm -f "$3/.superloop/state.json"
"#;

/// A stand-in for the loop runtime.
#[derive(Debug)]
pub(in crate::console) struct StubRuntime {
    folder: PathBuf,
    name: &'static str,
}

impl StubRuntime {
    /// Writes it into `folder` as `name`.
    pub(in crate::console) fn install(
        folder: PathBuf,
        name: &'static str,
    ) -> Result<Self, CliError> {
        let stub = Self { folder, name };
        let path = stub.path();
        put(&path, SCRIPT)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .map_err(|error| CliError::at(&path, error))?;
        Ok(stub)
    }

    /// The executable.
    pub(in crate::console) fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// How often it was called.
    pub(in crate::console) fn calls(&self) -> usize {
        let log = fs::read_to_string(self.folder.join("calls.log"));
        log.map_or(0, |log| log.lines().count())
    }

    /// Whether it does as if it had obeyed, without any effect.
    pub(in crate::console) fn set_deaf(&self, deaf: bool) -> Result<(), CliError> {
        let marker = self.folder.join("deaf");
        if deaf {
            return put(&marker, "");
        }
        fs::remove_file(&marker).map_err(|error| CliError::at(&marker, error))
    }
}
