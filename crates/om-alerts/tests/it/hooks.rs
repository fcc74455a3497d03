//! A replaced resolver (chapter 04 §3.7).

use std::fs;
use std::os::unix::fs::PermissionsExt;

use om_alerts::{Environment, Resolver};
use om_stage::Hook;
use serde_json::{Value, json};

use crate::receiver::{Receiver, Reply};
use crate::support::{World, config, row, webhook};

/// A world whose resolver is a script with this body.
fn world(body: &str, config_file: Option<&str>) -> (World, Receiver) {
    let receiver = Receiver::saying(Reply::ok());
    let url = receiver.url("/");
    let environment = Environment::fixed([("URL", url.as_str())]);
    let mut world = World::new(&config(json!({"unused": webhook("URL")})), environment);
    let path = world.repo().join("resolver");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    world.resolver = Resolver::Hook {
        hook: Hook::resolve("V", path.to_str().expect("UTF-8"), None),
        config_file: config_file.map(str::to_owned),
    };
    (world, receiver)
}

fn only_row(world: &World) -> Value {
    let rows = world.rows();
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}

#[test]
fn a_hook_is_asked_once_per_row_with_what_is_known() {
    let (world, _receiver) = world(
        "printf '%s|' \"$@\" >> \"$0.argv\"; echo '{}'",
        Some("c.json"),
    );
    let severe = json!({"category": "a b", "severity": "high"});
    world.escalate(&[
        String::new(),
        severe.to_string(),
        "{\"category\":7}".to_owned(),
    ]);
    world.run("t");
    let argv = fs::read_to_string(world.repo().join("resolver.argv")).expect("was asked");
    assert_eq!(
        argv,
        "--config-file|c.json|--category|a b|--severity|high|--config-file|c.json|--category|7|"
    );
}

#[test]
fn what_a_hook_answers_is_sent_and_recorded() {
    let answer = json!({
        "shouldDispatch": "true",
        "eventSeverity": "critical",
        "own": [1],
        "dispatchableSinks": [
            {"id": "x", "type": "webhook", "secretRefs": {"urlEnv": "URL"}},
            {"type": "pigeon"},
        ],
    });
    let (world, receiver) = world(&format!("echo '{answer}'"), None);
    world.escalate(&[row("c", "t-77").to_string()]);
    let state = world.run("t");
    assert_eq!(
        state.pending_deliveries[0].sink_id.as_deref(),
        Some("unknown")
    );
    let recorded = only_row(&world);
    assert_eq!(recorded["route"], answer);
    assert_eq!(recorded["sinks"][1]["reasonCode"], "unsupported_sink_type");
    assert_eq!(
        receiver.received()[0].json()["event"]["severity"],
        "critical"
    );
}

#[test]
fn a_hook_that_fails_is_a_row_that_could_not_be_routed() {
    for (body, reason, message) in [
        (
            "echo one; echo two >&2; exit 3",
            "route_resolution_failed",
            json!("one two"),
        ),
        ("exit 1", "route_resolution_failed", Value::Null),
        ("exit 0", "invalid_route_resolution", json!("")),
        ("echo null", "invalid_route_resolution", json!("null")),
        ("echo '[]'", "invalid_route_resolution", json!("[]")),
        (
            "echo warning >&2; echo '{}'",
            "invalid_route_resolution",
            json!("warning\n{}"),
        ),
        ("echo '{} {}'", "invalid_route_resolution", json!("{} {}")),
    ] {
        let (world, receiver) = world(body, None);
        world.escalate(&[row("c", "t-77").to_string()]);
        let state = world.run("t");
        let recorded = only_row(&world);
        assert_eq!(recorded["status"], "failed", "{body}");
        assert_eq!(recorded["reasonCode"], reason, "{body}");
        assert_eq!(recorded["message"], message, "{body}");
        let has_timestamp = recorded.get("escalationTimestamp").is_some();
        assert_eq!(has_timestamp, reason == "route_resolution_failed", "{body}");
        assert_eq!(state.pending_deliveries[0].sink_id, None, "{body}");
        assert_eq!(receiver.count(), 0, "{body}");
    }
}

#[test]
fn a_hook_that_cannot_be_started_is_one_that_fails() {
    let (mut world, _receiver) = world("", None);
    world.resolver = Resolver::Hook {
        hook: Hook::resolve("V", "/nowhere/resolver", None),
        config_file: None,
    };
    world.escalate(&[row("c", "t").to_string()]);
    world.run("t");
    let message = only_row(&world)["message"].as_str().map(str::to_owned);
    assert_eq!(
        message.as_deref(),
        Some("/nowhere/resolver: No such file or directory")
    );
}

#[test]
fn a_sink_that_a_hook_no_longer_names_is_removed() {
    let body = "test -e \"$0.gone\" && echo '{\"shouldDispatch\":true}' && exit; \
        echo '{\"shouldDispatch\":true,\"dispatchableSinks\":[{\"id\":\"x\",\"type\":\"pigeon\"}]}'";
    let (world, _receiver) = world(body, None);
    world.escalate(&[row("c", "t").to_string()]);
    assert_eq!(world.run("t").pending_count, 1);
    fs::write(world.repo().join("resolver.gone"), "").expect("written");
    assert_eq!(world.run("t").pending_count, 0);
    let rows = world.rows();
    assert_eq!(rows[1]["reasonCode"], "delivery_sink_removed");
}
