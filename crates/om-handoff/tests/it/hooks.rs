//! Control by a hook: its argv, its output, its end (chapter 06 §2.6).

use om_handoff::{Action, Handoff};
use om_model::fleet::handoff::ExecutionMode::{Autonomous, Manual};
use om_store::FleetFile;
use serde_json::{Value, json};

use crate::support::{Fleet, candidate, column, guarded_auto, hooked, order, registry, with};

/// Writes one argument per line.
const ARGUMENTS: &str = r#"printf '%s\n' "$@" >> "$repo/calls""#;

fn executed(fleet: &Fleet, handoff: &Handoff) -> Value {
    let state = fleet.run_with(handoff).expect("is executed");
    om_model::json::to_value(&state)
}

#[test]
fn a_local_loop_is_named_with_these_words() {
    let fleet = Fleet::new(&["a"]);
    let mut handoff = hooked(&fleet, order(Manual, &[]), ARGUMENTS);
    handoff.control.confirm = true;
    handoff.control.timeout_seconds.text = "0030".to_owned();
    let Action::Execute(order) = &mut handoff.action else {
        panic!("an order")
    };
    order.requested_by = String::new();
    order.note = Some("incident-7: go".to_owned());
    let state = executed(&fleet, &handoff);
    let repo = fleet.repo().display().to_string();
    assert_eq!(
        fleet.calls(),
        [
            "--repo",
            &repo,
            "--loop",
            "a",
            "--intent",
            "cancel",
            "--transport",
            "local",
            "--trace-id",
            "tr-9",
            "--idempotency-key",
            "fleet-handoff-tr-9-a-health_critical-cancel",
            "--by",
            "",
            "--note",
            "incident-7: go | fleet_handoff:manual:a:health_critical:cancel",
            "--timeout-seconds",
            "0030",
            "--interval-seconds",
            "0",
        ]
    );
    assert_eq!(state["execution"]["note"], "incident-7: go");
    assert_eq!(state["execution"]["requestedBy"], "");
}

#[test]
fn a_served_loop_is_named_with_its_service() {
    let fleet = Fleet::new(&["a"]);
    let service = json!({"baseUrl": "http://s:1", "tokenEnv": "NO-SUCH", "retryAttempts": 4,
                         "retryBackoffSeconds": 0.5});
    let served =
        json!({"loops": [{"loopId": "a", "transport": "sprite_service", "service": service}]});
    fleet.write(FleetFile::Registry, &with(registry(&[]), served));
    let handoff = hooked(&fleet, order(Autonomous, &[]), ARGUMENTS);
    executed(&fleet, &handoff);
    let calls = fleet.calls();
    assert_eq!(calls[6..8], ["--transport", "sprite_service"]);
    assert_eq!(
        calls[15],
        "fleet_handoff:autonomous:a:health_critical:cancel"
    );
    assert_eq!(
        calls[16..],
        [
            "--timeout-seconds",
            "0",
            "--interval-seconds",
            "0",
            "--no-confirm",
            "--service-base-url",
            "http://s:1",
            "--retry-attempts",
            "4",
            "--retry-backoff-seconds",
            "0.5",
        ]
    );
}

#[test]
fn an_address_that_is_missing_is_not_called() {
    let fleet = Fleet::new(&["a"]);
    let hook = r#"echo '{"loops":[{"loopId":"a","transport":"sprite_service"}],"policy":{"mode":"guarded_auto"}}'"#;
    let script = fleet.script("registry-hook", hook);
    let mut handoff = hooked(&fleet, order(Manual, &[]), ARGUMENTS);
    handoff.registry.hook = Some(om_stage::Hook::exact("H", script));
    let state = executed(&fleet, &handoff);
    let result = &state["execution"]["results"][0];
    assert_eq!(result["reasonCode"], "missing_service_base_url");
    assert_eq!(result["controlExitCode"], 1);
    assert_eq!(fleet.calls(), Vec::<String>::new());
}

#[test]
fn exit_code_and_output_of_each_target_are_its_own() {
    let fleet = Fleet::new(&["a", "b", "c"]);
    let hook = r#"
        case "$4" in
            a) echo 'thinking' >&2; echo '{"status":"confirmed"}'; exit 2;;
            b) echo '{"status":"confirmed","confirmed":true}'; exit 0;;
            *) cat; kill -9 $$;;
        esac"#;
    let state = executed(&fleet, &hooked(&fleet, order(Autonomous, &[]), hook));
    let results = &state["execution"]["results"];
    assert_eq!(
        column(results, "status"),
        ["ambiguous", "executed", "failed"]
    );
    assert_eq!(column(results, "controlExitCode"), [2, 0, 137]);
    let controls = column(results, "control");
    assert_eq!(controls[0], &Value::Null, "diagnostics spoil the document");
    assert_eq!(controls[1]["confirmed"], true);
    assert_eq!(
        column(&state["intents"], "status"),
        ["execution_ambiguous", "executed", "execution_failed"]
    );
    assert_eq!(state["intents"][1]["execution"]["confirmed"], true);
}

#[test]
fn a_hook_that_cannot_be_run_is_a_failure() {
    let fleet = Fleet::new(&["a"]);
    let mut handoff = fleet.handoff(order(Autonomous, &[]));
    handoff.control.hook = Some(om_stage::Hook::exact("H", "/nowhere/at/all"));
    let state = executed(&fleet, &handoff);
    assert_eq!(state["execution"]["results"][0]["controlExitCode"], 127);
    assert_eq!(state["intents"][0]["status"], "execution_failed");
}

#[test]
fn a_registry_hook_may_speak() {
    let fleet = Fleet::new(&["a"]);
    let hook = r#"echo 'a word' >&2; echo '{"fleetId":"h","loops":[]}'"#;
    let script = fleet.script("registry-hook", hook);
    let mut handoff = fleet.handoff(Action::Plan);
    handoff.registry.hook = Some(om_stage::Hook::exact("H", script));
    assert_eq!(Fleet::told(&handoff), ["registry said", "planned"]);
    let policy = with(
        guarded_auto(&[candidate("a", "health_critical")]),
        json!({"fleetId": null}),
    );
    fleet.write(FleetFile::PolicyState, &policy);
    assert_eq!(executed(&fleet, &handoff)["fleetId"], "h");
}
