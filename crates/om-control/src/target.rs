//! Would a `cancel` hit its target? (decision D23)
//!
//! The runtime's `cancel` stops whatever runs in the repository, whichever
//! loop was named.

use std::fmt;

use om_model::json::{self, Lookup};
use om_model::{Artifact, LoopId};
use serde_json::Value;

/// Another loop that a `cancel` would hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetMismatch {
    /// The file that names it, relative to the repository.
    pub file: &'static str,
    /// Its id, as that file has it.
    pub other: String,
    /// The loop that was to be cancelled.
    pub wanted: LoopId,
}

impl fmt::Display for TargetMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            other,
            wanted,
        } = self;
        write!(
            f,
            "cancel refused, nothing was executed: {file} says that loop {other:?} runs in this \
             repository, not {wanted:?}, and cancel stops whatever runs there; cancel that loop, \
             or repeat with --force-target"
        )
    }
}

/// The first of the runtime's two repository-wide documents that names
/// another loop than `wanted`: `active-run.json`, or `state.json` while it is
/// active. Documents that are absent, broken or name no loop object to
/// nothing, as the runtime does not heed them either.
pub fn mismatch(
    wanted: &LoopId,
    active_run: &Artifact,
    state: &Artifact,
) -> Option<TargetMismatch> {
    let named = |artifact: &Artifact, member| {
        let value = Lookup::new(artifact.document()?).get(member).ok()??;
        Some(json::text(value)).filter(|id| !id.is_empty())
    };
    let active = |state: &Artifact| {
        let document = state.document();
        document.and_then(|state| state.get("active")) == Some(&Value::Bool(true))
    };
    let candidates = [
        (".superloop/active-run.json", named(active_run, "loop_id")),
        (
            ".superloop/state.json",
            named(state, "current_loop_id").filter(|_| active(state)),
        ),
    ];
    candidates.into_iter().find_map(|(file, named)| {
        let other = named.filter(|id| id != wanted.as_str())?;
        Some(TargetMismatch {
            file,
            other,
            wanted: wanted.clone(),
        })
    })
}
