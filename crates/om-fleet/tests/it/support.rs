//! What the tests have in common.

use om_fleet::status::{FleetStatusInputs, LastRow};
use om_model::fleet::registry::{FleetLoop, LoopService};
use om_model::fleet::state::{LoopResult, LoopResultFiles, LoopStatus};
use om_model::fleet::status::FleetStatusFiles;
use om_model::health::TransportMode;
use om_model::{Artifact, LoopId, Timestamp, TraceId};
use om_store::Row;
use serde_json::{Map, Value};

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a timestamp")
}

pub(crate) fn id(text: &str) -> LoopId {
    LoopId::new(text).expect("a loop id")
}

pub(crate) fn trace(text: &str) -> TraceId {
    TraceId::new(text).expect("a trace id")
}

/// A local loop as the registry has it by default.
pub(crate) fn entry(loop_id: &str) -> FleetLoop {
    FleetLoop {
        loop_id: id(loop_id),
        enabled: true,
        transport: TransportMode::Local,
        sprite: Map::new(),
        service: LoopService {
            base_url: None,
            token_env: None,
            retry_attempts: 3.into(),
            retry_backoff_seconds: 1.into(),
        },
        metadata: Map::new(),
    }
}

/// A loop behind a service.
pub(crate) fn on_sprite(loop_id: &str, base_url: &str) -> FleetLoop {
    let mut entry = entry(loop_id);
    entry.transport = TransportMode::SpriteService;
    entry.service.base_url = Some(Value::from(base_url));
    entry
}

pub(crate) fn result(loop_id: &str, status: LoopStatus, health: &str) -> LoopResult {
    LoopResult {
        timestamp: at("2031-05-04T10:00:07Z"),
        started_at: at("2031-05-04T10:00:05Z"),
        loop_id: id(loop_id),
        transport: TransportMode::Local,
        enabled: true,
        status,
        reason_code: None,
        reconcile_status: status,
        health_status: health.to_owned(),
        health_reason_codes: Vec::new(),
        transition_state: None,
        duration_seconds: 2,
        trace_id: trace(&format!("t-{loop_id}")),
        output_excerpt: None,
        sprite: Map::new(),
        metadata: Map::new(),
        files: LoopResultFiles::default(),
        run_id: None,
    }
}

/// A report's inputs with only a fleet state.
pub(crate) fn inputs(fleet: Value) -> FleetStatusInputs {
    let at = |name: &str| format!("/r/.superloop/ops-manager/fleet/{name}");
    FleetStatusInputs {
        repo_path: "/r".to_owned(),
        files: FleetStatusFiles {
            registry_file: at("registry.v1.json"),
            fleet_state_file: at("state.json"),
            policy_state_file: at("policy-state.json"),
            fleet_telemetry_file: at("telemetry/reconcile.jsonl"),
            handoff_state_file: at("handoff-state.json"),
            handoff_telemetry_file: at("telemetry/handoff.jsonl"),
        },
        registry_fleet_id: Some(Value::from("north")),
        fleet: Artifact::Document(fleet),
        ..FleetStatusInputs::default()
    }
}

/// A complete last line.
pub(crate) fn last(line: impl Into<Vec<u8>>) -> LastRow {
    let row = Row {
        bytes: line.into(),
        offset: 0,
    };
    LastRow { row, line: Some(3) }
}
