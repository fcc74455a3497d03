//! What the fleet state says (chapter 06 §1.3). Read tolerantly: people and
//! older versions write it too.

use om_model::Timestamp;
use om_model::json::{self, ParseError, WrongType, present, type_name};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::row::{self, Members};

/// A loop whose state and events disagree (decision D27).
const DIVERGENCE: &str = "divergence_detected";

/// The fleet state, as far as policy looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetView {
    /// `default` if it has none.
    pub fleet_id: String,
    /// Trace of the fan-out.
    pub trace_id: Option<String>,
    /// `unknown` if it has none.
    pub status: String,
    /// Entries of `results`, usable or not.
    pub evaluated_loop_count: u64,
    /// Its entries but for `null`.
    pub results: Vec<ResultView>,
}

/// The outcome of one loop, as far as policy looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultView {
    /// Where it stands in `results`, counted from 0.
    pub index: usize,
    /// The loop; a result that yields a candidate needs one.
    pub loop_id: Option<String>,
    /// Whether the pass failed.
    pub failed: bool,
    /// As it is written there.
    pub health_status: String,
    /// Whether state and events of the loop disagree.
    pub diverged: bool,
    /// Trace of the pass.
    pub trace_id: Option<String>,
    /// The run that was seen.
    pub run_id: Option<String>,
    /// When it was seen.
    pub timestamp: Option<Timestamp>,
}

/// Why a fleet state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetStateError {
    /// Not one JSON document.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// Not a fleet state.
    #[error(transparent)]
    WrongType(#[from] WrongType),
}

/// The members that are looked at, as they stand there. Nothing else of the
/// document is kept: it may be large.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StateMembers {
    fleet_id: Value,
    trace_id: Value,
    status: Value,
    results: Vec<Option<Members<ResultMembers>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResultMembers {
    loop_id: Value,
    status: Value,
    health_status: Value,
    health_reason_codes: Value,
    trace_id: Value,
    run_id: Value,
    timestamp: Value,
}

impl FleetView {
    /// Reads a fleet state; `null` is an empty one.
    pub fn read(bytes: &[u8]) -> Result<Self, FleetStateError> {
        if let Some(members) = row::members(bytes) {
            return Ok(Self::of(&members));
        }
        // Something is unusual: find out what, or be tolerant of it.
        let document = json::parse(bytes)?;
        Ok(Self::of(&StateMembers::check(&document)?))
    }

    fn of(members: &StateMembers) -> Self {
        let text = |value: &Value, default: &str| {
            present(Some(value)).map_or_else(|| default.to_owned(), json::text)
        };
        let results = members.results.iter().enumerate();
        Self {
            fleet_id: text(&members.fleet_id, "default"),
            trace_id: json::non_empty_text(Some(&members.trace_id)),
            status: text(&members.status, "unknown"),
            evaluated_loop_count: members.results.len() as u64,
            results: results
                .filter_map(|(index, entry)| Some(ResultView::of(index, &entry.as_ref()?.0)))
                .collect(),
        }
    }
}

impl StateMembers {
    /// The members of a document that may be anything.
    fn check(document: &Value) -> Result<Self, WrongType> {
        let root = json::root_object(document)?;
        let results = match present(root.get("results")) {
            None => Vec::new(),
            Some(Value::Array(entries)) => {
                let entries = entries.iter().enumerate();
                let checked = entries.map(|(index, entry)| ResultMembers::check(index, entry));
                checked.collect::<Result<_, _>>()?
            }
            Some(other) => return Err(wrong("results".to_owned(), other, "an array")),
        };
        Ok(Self {
            fleet_id: member(&root, "fleetId"),
            trace_id: member(&root, "traceId"),
            status: member(&root, "status"),
            results,
        })
    }
}

impl ResultMembers {
    fn check(index: usize, entry: &Value) -> Result<Option<Members<Self>>, WrongType> {
        let members = match entry {
            Value::Null => return Ok(None),
            Value::Object(members) => members,
            other => return Err(wrong(format!("results[{index}]"), other, "an object")),
        };
        Ok(Some(Members(Self {
            loop_id: member(members, "loopId"),
            status: member(members, "status"),
            health_status: member(members, "healthStatus"),
            health_reason_codes: member(members, "healthReasonCodes"),
            trace_id: member(members, "traceId"),
            run_id: member(members, "runId"),
            timestamp: member(members, "timestamp"),
        })))
    }
}

fn member(members: &Map<String, Value>, name: &str) -> Value {
    members.get(name).cloned().unwrap_or_default()
}

impl ResultView {
    fn of(index: usize, members: &ResultMembers) -> Self {
        let codes = members.health_reason_codes.as_array();
        Self {
            index,
            loop_id: members.loop_id.as_str().map(str::to_owned),
            failed: members.status == "failed",
            health_status: members
                .health_status
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            diverged: codes.is_some_and(|codes| codes.iter().any(|code| code == DIVERGENCE)),
            trace_id: present(Some(&members.trace_id)).map(json::text),
            run_id: json::non_empty_text(Some(&members.run_id)),
            timestamp: members.timestamp.as_str().and_then(Timestamp::parse),
        }
    }
}

fn wrong(member: String, found: &Value, expected: &'static str) -> WrongType {
    WrongType {
        member,
        found: type_name(found),
        expected,
    }
}

impl ResultView {
    /// The loop of a result that yields a candidate.
    pub(crate) fn named(&self) -> Result<&str, WrongType> {
        self.loop_id.as_deref().ok_or_else(|| WrongType {
            member: format!("results[{}].loopId", self.index),
            found: "missing or of another type",
            expected: "a string",
        })
    }
}
