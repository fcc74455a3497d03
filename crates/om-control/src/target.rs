//! Would a `cancel` hit its target? (decision D23)
//!
//! The runtime's `cancel` stops whatever runs in the repository, whichever
//! loop was named.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use om_model::json::{self, ParseError};
use om_model::{Artifact, LoopId};
use om_store::read_artifact;
use serde_json::Value;

use crate::clock::Clock;

/// How often a file that is no document is read again: the runtime truncates
/// these files and writes them in place.
const REREADS: u32 = 10;

/// The pause before each.
const REREAD_PAUSE: Duration = Duration::from_millis(20);

/// Why a `cancel` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetMismatch {
    /// The runtime's file that speaks against it, relative to the repository.
    pub file: &'static str,
    /// What that file says.
    pub objection: Objection,
    /// The loop that was to be cancelled.
    pub wanted: LoopId,
}

/// What a file of the runtime has against a `cancel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It names another loop, which the `cancel` would hit; carries its id.
    OtherLoop(String),
    /// It is there, but what it says cannot be told; carries why. Another loop
    /// may be running.
    Unreadable(String),
}

/// A file of the runtime as the check finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing is there, which objects to nothing.
    Absent,
    /// A document.
    Document(Value),
    /// Something that is no document; carries why.
    Unreadable(String),
}

impl fmt::Display for TargetMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, wanted, .. } = self;
        match &self.objection {
            Objection::OtherLoop(other) => write!(
                f,
                "cancel refused, nothing was executed: {file} says that loop \"{}\" runs in this \
                 repository, not \"{wanted}\", and cancel stops whatever runs there; cancel that \
                 loop, or repeat with --force-target",
                other.escape_debug()
            ),
            Objection::Unreadable(why) => write!(
                f,
                "cancel refused, nothing was executed: {file} cannot be read ({why}), so that \
                 another loop than \"{wanted}\" may be running in this repository, and cancel \
                 stops whatever runs there; repair or remove that file, or repeat with \
                 --force-target"
            ),
        }
    }
}

/// What the runtime's two repository-wide documents have against a `cancel` of
/// `wanted`: `active-run.json`, or `state.json` while it is active, names
/// another loop, or cannot be read. A document that names no loop has nothing
/// against it.
pub fn mismatch(wanted: &LoopId, active_run: &Found, state: &Found) -> Option<TargetMismatch> {
    let objections = [
        (
            ".superloop/active-run.json",
            active_run.names(wanted, "loop_id", |_| true),
        ),
        (
            ".superloop/state.json",
            state.names(wanted, "current_loop_id", is_active),
        ),
    ];
    // The name of the loop says more than a file that says nothing.
    let known = |(_, objection): &(_, Option<Objection>)| {
        matches!(objection, Some(Objection::OtherLoop(_)))
    };
    let mut objections = Vec::from(objections);
    objections.sort_by_key(|found| !known(found));
    objections.into_iter().find_map(|(file, objection)| {
        Some(TargetMismatch {
            file,
            objection: objection?,
            wanted: wanted.clone(),
        })
    })
}

/// Whether a run is active; some write it as text.
fn is_active(state: &Value) -> bool {
    json::is_true(state.get("active"))
}

impl Found {
    /// The objection of a document whose `member` names its loop, if `counts`.
    fn names(
        &self,
        wanted: &LoopId,
        member: &str,
        counts: impl Fn(&Value) -> bool,
    ) -> Option<Objection> {
        let document = match self {
            Self::Absent => return None,
            Self::Unreadable(why) => return Some(Objection::Unreadable(why.clone())),
            Self::Document(document) => document,
        };
        if !document.is_object() {
            let found = json::type_name(document);
            let why = format!("it is {found}, expected an object");
            return Some(Objection::Unreadable(why));
        }
        let named = json::non_empty_text(document.get(member));
        let other = named.filter(|id| id != wanted.as_str() && counts(document));
        other.map(Objection::OtherLoop)
    }
}

/// Reads the runtime's document at `path`; one that cannot be read is given a
/// moment to become whole.
pub(crate) fn read(path: &Path, clock: &dyn Clock) -> Found {
    let mut found = read_once(path);
    for _ in 0..REREADS {
        if !matches!(found, Found::Unreadable(_)) {
            break;
        }
        clock.sleep(REREAD_PAUSE);
        found = read_once(path);
    }
    found
}

fn read_once(path: &Path) -> Found {
    match read_artifact(path) {
        Ok(Artifact::Document(document)) => Found::Document(document),
        Ok(Artifact::Broken(ParseError::Blank)) => Found::Unreadable("it is empty".to_owned()),
        Ok(Artifact::Broken(cause)) => Found::Unreadable(cause.to_string()),
        Ok(Artifact::Absent) if path.exists() => {
            Found::Unreadable("it is not a regular file".to_owned())
        }
        Ok(Artifact::Absent) => Found::Absent,
        Err(error) => Found::Unreadable(error.to_string()),
    }
}
