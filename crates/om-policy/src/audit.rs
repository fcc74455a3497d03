//! What changed since the previous evaluation (chapter 06 §1.5.4, decision
//! D29).

use std::collections::BTreeSet;

use om_model::fleet::policy::{
    GovernanceEvent, GovernanceRow, GovernanceSource, GovernanceState, PolicyState,
    SuppressionsEvent, SuppressionsRow,
};
use om_model::fleet::registry::GovernanceCategory;
use om_model::json::{self, Lookup, ParseError, WrongType, present};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::evaluate::PolicyPaths;
use crate::row::{self, Members};

/// What the previous policy state says of what is audited.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous {
    /// `advisory` if it says nothing.
    pub mode: Value,
    /// `{}` if it has none.
    pub controls: Value,
    /// `{}` if it has none.
    pub governance: Value,
    /// `{}` if it has none.
    pub suppressions: Value,
}

/// Why the previous policy state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreviousError {
    /// Not one JSON document.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// Not a policy state.
    #[error(transparent)]
    WrongType(#[from] WrongType),
}

/// The members that are audited. Nothing else of the state is kept: it has
/// every candidate of the fleet.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StateMembers {
    mode: Value,
    autonomous: Members<AutonomousMembers>,
    suppression_state: Members<SuppressionMembers>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AutonomousMembers {
    controls: Value,
    governance: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SuppressionMembers {
    suppressions: Value,
}

impl Previous {
    /// Reads the previous state, if there is one; `null` is none.
    pub fn read(state: Option<&[u8]>) -> Result<Option<Self>, PreviousError> {
        let Some(bytes) = state else { return Ok(None) };
        if let Some(members) = row::members(bytes) {
            return Ok(Some(Self::of(members)));
        }
        // Something is unusual: find out what, or be tolerant of it.
        let document = json::parse(bytes)?;
        if document.is_null() {
            return Ok(None);
        }
        let state = Lookup::new(&document);
        let member = |path| {
            let found = state.raw(path)?;
            Ok::<_, WrongType>(found.cloned().unwrap_or_default())
        };
        Ok(Some(Self::of(StateMembers {
            mode: member("mode")?,
            autonomous: Members(AutonomousMembers {
                controls: member("autonomous.controls")?,
                governance: member("autonomous.governance")?,
            }),
            suppression_state: Members(SuppressionMembers {
                suppressions: member("suppressionState.suppressions")?,
            }),
        })))
    }

    fn of(members: StateMembers) -> Self {
        let or = |value: Value, default: Value| {
            let mut value = present(Some(&value)).cloned().unwrap_or(default);
            json::normalize(&mut value);
            value
        };
        let nothing = || Value::Object(Map::new());
        Self {
            mode: or(members.mode, "advisory".into()),
            controls: or(members.autonomous.0.controls, nothing()),
            governance: or(members.autonomous.0.governance, nothing()),
            suppressions: or(members.suppression_state.0.suppressions, nothing()),
        }
    }
}

/// One row of the audit journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AuditRow {
    /// Autonomy is not what it was.
    Governance(Box<GovernanceRow>),
    /// Suppressions are not what they were.
    Suppressions(Box<SuppressionsRow>),
}

/// The rows for `state`, at most one of each kind.
pub fn rows(
    previous: Option<&Previous>,
    state: &PolicyState,
    suppression_governance: &Map<String, Value>,
    paths: &PolicyPaths,
) -> Vec<AuditRow> {
    let governance = governance_row(previous, state, paths);
    let suppressions = previous
        .and_then(|previous| suppressions_row(previous, state, suppression_governance, paths));
    let governance = governance.map(|row| AuditRow::Governance(Box::new(row)));
    let suppressions = suppressions.map(|row| AuditRow::Suppressions(Box::new(row)));
    governance.into_iter().chain(suppressions).collect()
}

/// What happened to autonomy, the first that applies.
fn event(
    previous: Option<&Previous>,
    state: &PolicyState,
    governance: &GovernanceState,
) -> Option<GovernanceEvent> {
    let Some(previous) = previous else {
        return Some(GovernanceEvent::AutonomousPolicyInitialized);
    };
    if previous.mode != state.mode.as_str() {
        Some(GovernanceEvent::AutonomousModeToggled)
    } else if previous.controls != state.autonomous.controls
        || previous.governance != json::to_value(governance)
    {
        Some(GovernanceEvent::AutonomousPolicyMutated)
    } else {
        None
    }
}

fn governance_row(
    previous: Option<&Previous>,
    state: &PolicyState,
    paths: &PolicyPaths,
) -> Option<GovernanceRow> {
    let governance = &state.autonomous.governance;
    Some(GovernanceRow {
        timestamp: state.updated_at,
        category: GovernanceCategory::default(),
        event_type: event(previous, state, governance)?,
        fleet_id: state.fleet_id.clone(),
        trace_id: state.trace_id.clone(),
        mode: state.mode,
        previous_mode: previous.map(|previous| previous.mode.clone()),
        governance: governance.clone(),
        previous_governance: previous.map(|previous| previous.governance.clone()),
        controls: state.autonomous.controls.clone(),
        previous_controls: previous.map(|previous| previous.controls.clone()),
        source: source(paths),
    })
}

fn suppressions_row(
    previous: &Previous,
    state: &PolicyState,
    suppression_governance: &Map<String, Value>,
    paths: &PolicyPaths,
) -> Option<SuppressionsRow> {
    let after = &state.suppression_state.suppressions;
    let changed_scopes = changed_scopes(&previous.suppressions, after);
    if changed_scopes.is_empty() {
        return None;
    }
    let of_changed = |(scope, _): &(&String, &Value)| changed_scopes.binary_search(scope).is_ok();
    let governance = suppression_governance.iter().filter(of_changed);
    Some(SuppressionsRow {
        timestamp: state.updated_at,
        category: GovernanceCategory::default(),
        event_type: SuppressionsEvent::default(),
        fleet_id: state.fleet_id.clone(),
        trace_id: state.trace_id.clone(),
        mode: state.mode,
        before: previous.suppressions.clone(),
        after: after.clone(),
        suppression_governance: governance
            .map(|(scope, who)| (scope.clone(), who.clone()))
            .collect(),
        changed_scopes,
        source: source(paths),
    })
}

/// Scopes that are listed otherwise than before, sorted.
fn changed_scopes(before: &Value, after: &Map<String, Value>) -> Vec<String> {
    let nothing = Map::new();
    let before = before.as_object().unwrap_or(&nothing);
    let scopes: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = |scope: &&String| before.get(*scope) != after.get(*scope);
    scopes.into_iter().filter(changed).cloned().collect()
}

fn source(paths: &PolicyPaths) -> GovernanceSource {
    GovernanceSource {
        registry_file: paths.registry.clone(),
        policy_state_file: paths.policy_state.clone(),
        governance_audit_file: paths.governance_audit.clone(),
    }
}
