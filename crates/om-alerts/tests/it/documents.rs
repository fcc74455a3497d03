//! What the resolver prints, as it is written.

use om_alerts::{Environment, SinkConfig};
use om_model::alerts::Severity;
use om_model::{Artifact, json};
use serde_json::Value;

const SHIPPED: &[u8] = include_bytes!("../../../../config/ops-manager-alert-sinks.v1.json");

/// The shipped configuration, with its sinks enabled.
fn enabled() -> SinkConfig {
    let mut document = json::parse(SHIPPED).expect("valid JSON");
    let sinks = document["sinks"].as_object_mut().expect("sinks");
    for sink in sinks.values_mut() {
        sink["enabled"] = Value::Bool(true);
    }
    SinkConfig::read(&Artifact::Document(document), "conf/sinks.json").expect("valid")
}

fn environment() -> Environment {
    Environment::fixed([
        ("OPS_MANAGER_ALERT_WEBHOOK_URL", "https://secret.example/x"),
        ("OPS_MANAGER_ALERT_WEBHOOK_TOKEN", ""),
    ])
}

#[test]
fn the_catalogue() {
    let shipped = SinkConfig::read(&Artifact::parse(SHIPPED), "conf/sinks.json").expect("valid");
    insta::assert_snapshot!(json::pretty(&shipped.catalogue(&environment(), true)));
}

#[test]
fn the_route_of_a_category() {
    let route = enabled().route("health_critical", None, &environment(), false);
    insta::assert_snapshot!(json::pretty(&route));
}

#[test]
fn the_route_of_a_category_without_one() {
    let severity = Some(Severity::Info);
    let route = enabled().route("ordering_drift_detected", severity, &environment(), true);
    insta::assert_snapshot!(json::pretty(&route));
}
