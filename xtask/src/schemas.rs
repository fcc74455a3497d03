//! The published JSON Schemas, generated from the types of `om-model`.
//!
//! One file per document and journal row, plus the contract of the two
//! observation envelopes (chapter 01 §7) and that of the alert sinks (chapter
//! 04 §1.1). The schemas describe what is written, so a member that is always
//! there is required; documents that others write (the heartbeat, the
//! threshold profiles, the alert sinks) are described as they should be
//! written.

mod alert_sinks;
mod alerts;
mod contract;
mod fleet_registry;
mod idempotency;
mod shape;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use om_model::alerts::{DispatchState, RouteDocument, SinkCatalogue};
use om_model::control::{
    ConfirmVerdict, ControlInvocationRow, ControlPending, ControlRow, IntentRow,
};
use om_model::drift::{DriftDocument, DriftRow, TelemetrySummary};
use om_model::envelope::CursorDocument;
use om_model::fleet::handoff::{
    DispatchRow, HandoffExecuteRow, HandoffPending, HandoffPlanRow, HandoffState,
};
use om_model::fleet::policy::{GovernanceRow, HistoryRow, PolicyRow, PolicyState, SuppressionsRow};
use om_model::fleet::registry::{PolicyEditRow, Registry};
use om_model::fleet::state::{FleetReconcileRow, FleetState};
use om_model::fleet::status::FleetStatusReport;
use om_model::health::HealthDocument;
use om_model::horizon::{BridgeRow, BridgeState, HorizonQueue};
use om_model::observation::{
    HeartbeatRow, HeartbeatState, RuntimeHeartbeat, SequenceDocument, SequenceRow, TransportHealth,
};
use om_model::promotion::apply::ApplyRecord;
use om_model::promotion::ci::SkippedDocument;
use om_model::promotion::controller::{ControllerDocument, ControllerPending};
use om_model::promotion::gates::GatesDocument;
use om_model::promotion::orchestrate::OrchestrateDocument;
use om_model::state::{EscalationRow, ReconcileRow};
use om_model::status::StatusReport;
use om_model::thresholds::{ResolvedProfile, ThresholdCatalog};
use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Value, json};

use crate::generated::GeneratedFiles;
use crate::workspace::Workspace;
use alerts::AlertJournalRow;
use idempotency::IdempotencyDocument;
use state::StateDocument;

/// The API's name in `schemas/`.
const SERVICE_API: &str = "ops-manager-sprite-service.openapi.json";

/// A published schema: its name between `ops-manager.` and `.schema.json`,
/// and what makes it.
type Published = (&'static str, fn() -> Value);

/// Every schema that comes from one type, in the order of the chapters.
const PUBLISHED: [Published; 51] = [
    ("cursor", Writer::schema::<CursorDocument>),
    ("state", Writer::schema::<StateDocument>),
    ("reconcile-row", Writer::schema::<ReconcileRow>),
    ("transport-health", Writer::schema::<TransportHealth>),
    ("heartbeat", Reader::schema::<RuntimeHeartbeat>),
    ("heartbeat-state", Writer::schema::<HeartbeatState>),
    ("heartbeat-row", Writer::schema::<HeartbeatRow>),
    ("sequence-state", Writer::schema::<SequenceDocument>),
    ("sequence-row", Writer::schema::<SequenceRow>),
    ("escalation-row", Writer::schema::<EscalationRow>),
    ("health", Writer::schema::<HealthDocument>),
    ("threshold-profiles", Reader::schema::<ThresholdCatalog>),
    (
        "resolved-threshold-profile",
        Writer::schema::<ResolvedProfile>,
    ),
    ("telemetry-summary", Writer::schema::<TelemetrySummary>),
    ("profile-drift", Writer::schema::<DriftDocument>),
    ("profile-drift-row", Writer::schema::<DriftRow>),
    ("intent-row", Writer::schema::<IntentRow>),
    ("control-row", Writer::schema::<ControlRow>),
    (
        "control-invocation-row",
        Writer::schema::<ControlInvocationRow>,
    ),
    ("control-pending", Writer::schema::<ControlPending>),
    ("confirm-verdict", Writer::schema::<ConfirmVerdict>),
    ("service-idempotency", Writer::schema::<IdempotencyDocument>),
    ("status", Writer::schema::<StatusReport>),
    ("alert-sink-catalogue", Writer::schema::<SinkCatalogue>),
    ("alert-route", Writer::schema::<RouteDocument>),
    ("alert-dispatch-state", Writer::schema::<DispatchState>),
    ("alert-row", Writer::schema::<AlertJournalRow>),
    ("normalized-fleet-registry", Writer::schema::<Registry>),
    ("policy-edit-row", Writer::schema::<PolicyEditRow>),
    ("fleet.state", Writer::schema::<FleetState>),
    ("fleet.reconcile-row", Writer::schema::<FleetReconcileRow>),
    ("fleet.status", Writer::schema::<FleetStatusReport>),
    ("fleet.policy-state", Writer::schema::<PolicyState>),
    ("fleet.policy-history-row", Writer::schema::<HistoryRow>),
    ("fleet.policy-row", Writer::schema::<PolicyRow>),
    (
        "fleet.policy-governance-row",
        Writer::schema::<GovernanceRow>,
    ),
    (
        "fleet.policy-suppressions-row",
        Writer::schema::<SuppressionsRow>,
    ),
    ("fleet.handoff-state", Writer::schema::<HandoffState>),
    ("fleet.handoff-plan-row", Writer::schema::<HandoffPlanRow>),
    (
        "fleet.handoff-execute-row",
        Writer::schema::<HandoffExecuteRow>,
    ),
    ("fleet.handoff-dispatch-row", Writer::schema::<DispatchRow>),
    ("fleet.handoff-pending", Writer::schema::<HandoffPending>),
    ("promotion-decision", Writer::schema::<GatesDocument>),
    ("promotion-ci-skipped", Writer::schema::<SkippedDocument>),
    ("promotion-apply-record", Writer::schema::<ApplyRecord>),
    (
        "promotion-orchestrate-result",
        Writer::schema::<OrchestrateDocument>,
    ),
    (
        "promotion-controller-run",
        Writer::schema::<ControllerDocument>,
    ),
    (
        "promotion-controller-pending",
        Writer::schema::<ControllerPending>,
    ),
    ("horizon-bridge-queue", Writer::schema::<HorizonQueue>),
    ("horizon-bridge-state", Writer::schema::<BridgeState>),
    ("horizon-bridge-row", Writer::schema::<BridgeRow>),
];

/// What we write: members that are always written are required, others are
/// never `null`, and there are no unnamed ones.
struct Writer;

impl Writer {
    fn schema<T: JsonSchema>() -> Value {
        let mut schema = generated::<T>(Contract::Serialize);
        shape::omit_rather_than_null(&mut schema);
        shape::close_objects(&mut schema);
        schema
    }
}

/// What others write: only members that we need are required, and there may
/// be any number of unnamed ones.
struct Reader;

impl Reader {
    fn schema<T: JsonSchema>() -> Value {
        generated::<T>(Contract::Deserialize)
    }
}

fn generated<T: JsonSchema>(contract: Contract) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.contract = contract);
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Every file of `schemas/`.
pub(crate) fn generate(workspace: &Workspace) -> GeneratedFiles {
    let mut files = files();
    files.insert(SERVICE_API.to_owned(), text(&service_api()));
    GeneratedFiles::new(workspace.path("schemas"), ".json", files)
}

/// The API of the sprite service, which serves this very file.
fn service_api() -> Value {
    let mut api = om_model::service::openapi::document(env!("CARGO_PKG_VERSION"));
    shape::tidy(&mut api);
    api
}

fn text(document: &Value) -> String {
    om_model::json::pretty(document) + "\n"
}

fn files() -> BTreeMap<String, String> {
    let file = |name: &str| format!("ops-manager.{name}.schema.json");
    PUBLISHED
        .iter()
        .map(|(name, generate)| (file(name), published(name, generate())))
        .chain([
            (file("contract"), contract::schema()),
            (alert_sinks::FILE.to_owned(), alert_sinks::schema()),
            (fleet_registry::FILE.to_owned(), fleet_registry::schema()),
        ])
        .map(|(name, schema)| (name, text(&schema)))
        .collect()
}

/// A schema with its identity first.
fn published(name: &str, mut schema: Value) -> Value {
    shape::tidy(&mut schema);
    let heading = json!({
        "$schema": shape::DRAFT,
        "$id": format!("https://superloop.sh/schemas/ops-manager-{name}-v1.json"),
        "title": shape::title(name),
        "description": schema["description"],
    });
    shape::headed(heading, schema)
}
