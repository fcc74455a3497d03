//! The operator's report on a fleet (chapter 05 §3).
//!
//! The report joins what the last fan-out, policy evaluation and handoff left
//! behind; it decides nothing. A document of a type that cannot be used is an
//! error that names the member (decision D22); a last row that is no JSON is
//! passed over with a warning (decision D9).

mod autonomous;
mod fleet;
mod gates;
mod governance;
mod handoff;
mod order;
mod policy;
mod row;
mod source;

use om_model::envelope::SchemaVersion;
use om_model::fleet::status::{FleetSource, FleetStatusFiles, FleetStatusReport};
use om_model::status::StatusWarning;
use om_model::{Artifact, Timestamp};
use serde_json::{Value, json};

pub use om_reconcile::status::LastRow;
pub use row::is_of_execution;

use fleet::Results;
use handoff::Handoff;
use policy::Policy;
use source::Document;

/// What a report is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetStatusInputs {
    /// The repository, absolute.
    pub repo_path: String,
    /// Effective paths, reported and used in messages.
    pub files: FleetStatusFiles,
    /// `fleetId` of the registry.
    pub registry_fleet_id: Option<Value>,
    /// The deadline of a governance review that the registry has let lapse,
    /// as written there (decision D14).
    pub review_lapsed: Option<String>,
    /// The fleet state.
    pub fleet: Artifact,
    /// The policy state.
    pub policy: Artifact,
    /// The handoff state.
    pub handoff: Artifact,
    /// Last row of the reconcile telemetry.
    pub fleet_row: Option<LastRow>,
    /// Last row of the handoff telemetry.
    pub handoff_row: Option<LastRow>,
    /// The last one that tells [of an execution](is_of_execution), if
    /// `handoff_row` does not.
    pub execution_row: Option<LastRow>,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetStatusError {
    /// No fan-out has ever ended.
    #[error("fleet state file not found: {0}")]
    NoFleetState(String),
    /// A document is not JSON, or not of a type that can be used.
    #[error("invalid {name} JSON: {file}: {cause}; repair or remove the file")]
    Document {
        /// Which one, e.g. `policy state`.
        name: &'static str,
        /// Its path.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A last row is JSON of a type that cannot be used.
    #[error(
        "invalid row in {file}{}: {cause}; repair or remove the row",
        .line.map_or_else(String::new, |line| format!(" line {line}"))
    )]
    Row {
        /// The journal.
        file: String,
        /// The line, if known.
        line: Option<u64>,
        /// What is wrong with it.
        cause: String,
    },
}

/// Makes the report.
pub fn evaluate(
    inputs: &FleetStatusInputs,
    now: Timestamp,
) -> Result<FleetStatusReport, FleetStatusError> {
    let files = &inputs.files;
    if inputs.fleet.is_absent() {
        let file = files.fleet_state_file.clone();
        return Err(FleetStatusError::NoFleetState(file));
    }
    let fleet = Document::open("fleet state", &inputs.fleet, &files.fleet_state_file)?;
    let policy = Document::open("policy state", &inputs.policy, &files.policy_state_file)?;
    let handoff = Document::open("handoff state", &inputs.handoff, &files.handoff_state_file)?;
    let results = Results::of(&fleet)?;
    let policy = Policy::of(&policy)?;
    let handoff = Handoff::of(&handoff)?;
    let rollup = autonomous::rollup(policy.as_ref(), handoff.as_ref())?;
    let mut warnings = lapsed_review(inputs);
    Ok(FleetStatusReport {
        schema_version: SchemaVersion::V1,
        generated_at: now,
        source: FleetSource {
            repo_path: inputs.repo_path.clone(),
            fleet_id: fleet_id(&fleet, inputs)?,
        },
        fleet: results.summary(now)?,
        health_rollup: results.health_rollup(),
        exceptions: results.exceptions(),
        policy: policy.as_ref().map(Policy::summary).transpose()?,
        handoff: handoff.as_ref().map(|h| h.status(&rollup)).transpose()?,
        autonomous: autonomous::build(policy.as_ref(), handoff.as_ref(), &rollup, now)?,
        loops: results.pointers(now)?,
        trace_linkage: results.traces(policy.as_ref())?,
        latest_telemetry: row::latest(inputs, &mut warnings)?,
        latest_handoff_telemetry: row::latest_handoff(inputs, &rollup, &mut warnings)?,
        files: files.clone(),
        warnings,
    })
}

/// From the fleet state, else the registry, else `default`.
fn fleet_id(fleet: &Document<'_>, inputs: &FleetStatusInputs) -> Result<Value, FleetStatusError> {
    let in_registry = om_model::json::present(inputs.registry_fleet_id.as_ref());
    let found = fleet.get("fleetId")?.or(in_registry);
    Ok(found.cloned().unwrap_or_else(|| json!("default")))
}

fn lapsed_review(inputs: &FleetStatusInputs) -> Vec<StatusWarning> {
    let warning = |review_by: &String| StatusWarning {
        file: inputs.files.registry_file.clone(),
        line: None,
        message: format!(
            "governance review expired ({review_by}); nothing is dispatched by itself until it \
             is renewed"
        ),
    };
    inputs.review_lapsed.iter().map(warning).collect()
}

/// `opt` of the chapter: a copy of the value, or the default.
fn or_default(value: Option<&Value>, default: impl Into<Value>) -> Value {
    value.cloned().unwrap_or_else(|| default.into())
}
