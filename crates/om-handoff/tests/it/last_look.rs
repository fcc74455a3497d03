//! The last look before each autonomous dispatch (decisions D15 and D23).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use om_handoff::look::{evaluated, limits_look, registry_look};
use om_model::fleet::handoff::ExecutionMode::{Autonomous, Manual};
use om_model::fleet::policy::AutonomyReason;
use om_model::fleet::registry::AutoPause;
use om_model::json::compact;
use om_policy::Execution;
use om_registry::last_look::{Limits, Written};
use om_store::FleetFile;
use serde_json::{Value, json};

use crate::support::{
    Fleet, NOW, at, candidate, column, fresh, guarded_auto, order, registry, with,
};

/// What a registry as written has against `candidate`.
fn objection(written: &Value, candidate: Value) -> Option<&'static str> {
    let plan = fresh(&[candidate]);
    let written = Written::from_file(Some(compact(written).as_bytes()), at(NOW));
    let evaluated = evaluated(&Value::Null, at(NOW));
    let look = registry_look(&written, &evaluated, &plan.intents[0], at(NOW));
    look.err().map(AutonomyReason::as_str)
}

/// The registry of the tests with `autonomous.<path>` set.
fn written(path: &str, value: Value) -> Value {
    let mut registry = registry(&["a", "b"]);
    let autonomous = &mut registry["policy"]["autonomous"];
    let at = path.split('.').fold(autonomous, |at, name| &mut at[name]);
    *at = value;
    registry
}

#[test]
fn the_registry_can_only_narrow() {
    for (path, value, reason) in [
        (
            "safety.killSwitch",
            json!(true),
            Some("autonomous_kill_switch_enabled"),
        ),
        ("safety.killSwitch", json!(false), None),
        (
            "rollout.pause.manual",
            json!(true),
            Some("autonomous_rollout_paused_manual"),
        ),
        (
            "rollout.frozenLoopIds",
            json!(["a"]),
            Some("autonomous_loop_frozen"),
        ),
        ("rollout.frozenLoopIds", json!(["b"]), None),
        (
            "rollout.scope.loopIds",
            json!(["b"]),
            Some("autonomous_rollout_scope_excluded"),
        ),
        (
            "rollout.canaryPercent",
            json!(0),
            Some("autonomous_rollout_canary_excluded"),
        ),
        ("rollout.canaryPercent", json!(100), None),
        (
            "allow.categories",
            json!([]),
            Some("category_not_allowlisted"),
        ),
        ("allow.intents", json!([]), Some("intent_not_allowlisted")),
        ("thresholds.minSeverity", json!("critical"), None),
        (
            "governance.reviewBy",
            json!("2031-05-02T00:00:00Z"),
            Some("autonomous_governance_review_expired"),
        ),
    ] {
        let found = objection(
            &written(path, value.clone()),
            candidate("a", "health_critical"),
        );
        assert_eq!(found, reason, "{path} {value}");
    }
}

#[test]
fn candidates_that_say_little_are_graded_by_their_category() {
    let strict = written(
        "thresholds",
        json!({"minSeverity": "critical", "minConfidence": "high"}),
    );
    let bare = |category: &str, members| {
        let bare = json!({"loopId": "a", "category": category, "recommendedIntent": "cancel"});
        objection(&strict, with(bare, members))
    };
    for (category, members, reason) in [
        ("health_critical", json!({}), None),
        ("reconcile_failed", json!({}), None),
        (
            "health_degraded",
            json!({}),
            Some("severity_below_threshold"),
        ),
        (
            "health_critical",
            json!({"severity": "odd"}),
            Some("severity_below_threshold"),
        ),
        (
            "health_critical",
            json!({"confidence": "low"}),
            Some("confidence_below_threshold"),
        ),
        ("bad_mood", json!({}), Some("category_not_allowlisted")),
        (
            "health_critical",
            json!({"recommendedIntent": "reboot"}),
            Some("intent_not_allowlisted"),
        ),
        (
            "health_critical",
            json!({"loopId": "../a"}),
            Some("loop_not_in_registry"),
        ),
    ] {
        assert_eq!(
            bare(category, members.clone()),
            reason,
            "{category} {members}"
        );
    }
}

fn limits(auto_pause: Vec<AutoPause>, per_run: u64, per_loop: u64) -> Limits {
    Limits {
        auto_pause,
        max_actions_per_run: per_run,
        max_actions_per_loop: per_loop,
    }
}

#[test]
fn caps_are_less_what_the_run_has_done() {
    let taken = |loops: &str| -> Vec<String> {
        loops.split_ascii_whitespace().map(str::to_owned).collect()
    };
    for (per_run, per_loop, done, reason) in [
        (2, 1, "", None),
        (0, 1, "", Some("autonomous_max_actions_per_run_exceeded")),
        (2, 0, "", Some("autonomous_max_actions_per_loop_exceeded")),
        (2, 1, "b", None),
        (2, 1, "a", Some("autonomous_max_actions_per_loop_exceeded")),
        (2, 1, "b c", Some("autonomous_max_actions_per_run_exceeded")),
        (2, 1, "a b", Some("autonomous_max_actions_per_run_exceeded")),
    ] {
        let limits = limits(Vec::new(), per_run, per_loop);
        let found = limits_look(&limits, &[], &taken(done), "a", at(NOW));
        assert_eq!(found.map(AutonomyReason::as_str), reason, "{done}");
    }
}

#[test]
fn auto_pause_comes_before_the_caps_and_any_of_its_settings_pauses() {
    let failed = Execution {
        timestamp: NOW.to_owned(),
        attempted: 3,
        requested: 3,
        failed: 3,
        ..Execution::default()
    };
    let off = AutoPause {
        enabled: false,
        ..AutoPause::default()
    };
    let paused = Some("autonomous_rollout_paused_auto");
    for (settings, executions, reason) in [
        (
            vec![AutoPause::default()],
            vec![],
            Some("autonomous_max_actions_per_run_exceeded"),
        ),
        (vec![AutoPause::default()], vec![failed.clone()], paused),
        (
            vec![off.clone()],
            vec![failed.clone()],
            Some("autonomous_max_actions_per_run_exceeded"),
        ),
        (vec![off, AutoPause::default()], vec![failed], paused),
    ] {
        let found = limits_look(&limits(settings, 0, 0), &executions, &[], "a", at(NOW));
        assert_eq!(found.map(AutonomyReason::as_str), reason);
    }
}

#[test]
fn a_policy_state_that_names_no_caps_has_none() {
    let named = evaluated(&json!({"safety": {"maxActionsPerRun": 2}}), at(NOW));
    assert_eq!(named.safety.max_actions_per_run, 2);
    assert_eq!(named.safety.max_actions_per_loop, u64::MAX);
}

/// What an autonomous run withholds, and whether the runtime was called.
fn withheld(fleet: &Fleet) -> (Value, usize) {
    fleet.runtime(r#"echo "$@" >> "$repo/calls""#);
    let state = fleet.execute(Autonomous);
    let execution = &state["execution"];
    let entries = execution["withheld"].as_array().expect("a list").len();
    assert_eq!(execution["withheldCount"], entries);
    assert_eq!(execution["requestedIntentCount"], fleet.calls().len());
    (state, fleet.calls().len())
}

#[test]
fn what_is_withheld_waits_for_a_person_and_says_why() {
    let fleet = Fleet::new(&["a"]);
    fleet.write(
        FleetFile::Registry,
        &written("safety.killSwitch", json!(true)),
    );
    let (state, calls) = withheld(&fleet);
    assert_eq!(calls, 0);
    let reason = "autonomous_kill_switch_enabled";
    assert_eq!(
        state["execution"]["withheld"],
        json!([{"intentId": "a:health_critical:cancel", "loopId": "a", "reasonCode": reason}])
    );
    let intent = &state["intents"][0];
    assert_eq!(intent["status"], "pending_operator_confirmation");
    assert_eq!(
        intent["autonomous"],
        json!({"eligible": false, "manualOnly": true, "reasons": [reason]})
    );
    assert_eq!(state["summary"]["autoEligibleIntentCount"], 0);
    assert_eq!(state["summary"]["pendingManualOnlyCount"], 1);
    assert_eq!(state["retryGuard"], json!([]));
    assert!(fleet.rows(FleetFile::HandoffDispatch).is_empty());
    // A person may.
    assert_eq!(fleet.execute(Manual)["execution"]["executedCount"], 1);
}

#[test]
fn a_switch_that_is_turned_on_between_two_targets_holds_the_second() {
    let fleet = Fleet::new(&["a", "b"]);
    let killed = fleet.root().join("killed.json");
    std::fs::write(
        &killed,
        written("safety.killSwitch", json!(true)).to_string(),
    )
    .expect("written");
    let registry = fleet.path(FleetFile::Registry);
    // The first target's own runtime turns it on.
    fleet.runtime(&format!(
        r#"echo x >> "$repo/calls"; cp '{}' '{}'"#,
        killed.display(),
        registry.display()
    ));
    let state = fleet.execute(Autonomous);
    assert_eq!(fleet.calls().len(), 1);
    assert_eq!(column(&state["execution"]["results"], "loopId"), ["a"]);
    assert_eq!(column(&state["execution"]["withheld"], "loopId"), ["b"]);
    assert_eq!(
        column(&state["intents"], "status"),
        ["executed", "pending_operator_confirmation"]
    );
}

#[test]
fn a_registry_that_breaks_between_two_targets_holds_the_second() {
    let fleet = Fleet::new(&["a", "b"]);
    let registry = fleet.path(FleetFile::Registry);
    fleet.runtime(&format!("echo broken > '{}'", registry.display()));
    let state = fleet.execute(Autonomous);
    assert_eq!(
        column(&state["execution"]["withheld"], "reasonCode"),
        ["registry_unavailable"]
    );
}

#[test]
fn the_caps_of_policy_and_registry_both_hold() {
    let fleet = Fleet::new(&["a", "b", "c"]);
    let controls = json!({"controls": {"safety": {"maxActionsPerRun": 2, "maxActionsPerLoop": 1}}});
    let policy = |controls: &Value| {
        let candidates = ["a", "b", "c"].map(|id| candidate(id, "health_critical"));
        with(guarded_auto(&candidates), json!({"autonomous": controls}))
    };
    fleet.write(FleetFile::PolicyState, &policy(&controls));
    fleet.write(FleetFile::Registry, &{
        let mut registry = registry(&["a", "b", "c"]);
        registry["policy"]["autonomous"]["safety"] = json!({"maxActionsPerRun": 1});
        registry
    });
    let (state, calls) = withheld(&fleet);
    assert_eq!(calls, 1);
    let reason = "autonomous_max_actions_per_run_exceeded";
    assert_eq!(
        column(&state["execution"]["withheld"], "reasonCode"),
        [reason, reason]
    );
}

#[test]
fn bad_outcomes_in_telemetry_pause() {
    let fleet = Fleet::new(&["a"]);
    let row = json!({
        "timestamp": "2031-05-06T07:00:00Z", "category": "fleet_handoff_execute",
        "execution": {"mode": "autonomous", "executedIntentCount": 3, "failedCount": 3},
    });
    fleet.write(FleetFile::HandoffRows, &row);
    let (state, calls) = withheld(&fleet);
    assert_eq!(calls, 0);
    assert_eq!(
        column(&state["execution"]["withheld"], "reasonCode"),
        ["autonomous_rollout_paused_auto"]
    );
}

#[test]
fn another_run_than_the_one_judged_is_not_touched() {
    for (judged, events, called) in [
        (json!("r-1"), Some("r-1"), true),
        (json!("r-1"), Some("r-2"), false),
        (json!("r-1"), Some("unknown"), true),
        (json!("r-1"), None, true),
        (Value::Null, Some("r-2"), true),
    ] {
        let fleet = Fleet::new(&["a"]);
        let members = json!({"runId": judged});
        let policy = guarded_auto(&[with(candidate("a", "health_critical"), members)]);
        fleet.write(FleetFile::PolicyState, &policy);
        if let Some(run_id) = events {
            let folder = fleet.repo().join(".superloop/loops/a");
            std::fs::create_dir_all(&folder).expect("folder");
            let event = json!({"timestamp": NOW, "event": "iteration_start", "run_id": run_id});
            std::fs::write(folder.join("events.jsonl"), format!("{event}\n")).expect("written");
        }
        let (state, calls) = withheld(&fleet);
        assert_eq!(calls == 1, called, "{judged} {events:?}");
        if !called {
            assert_eq!(
                column(&state["execution"]["withheld"], "reasonCode"),
                ["autonomous_run_changed"]
            );
        }
    }
}

#[test]
fn a_registry_hook_is_asked_again_before_each_dispatch() {
    let fleet = Fleet::new(&["a", "b"]);
    // The first two times all is well: once for the plan, once for `a`.
    let hook = r#"
        echo x >> "$repo/asked"
        on=false; [ "$(wc -l < "$repo/asked")" -gt 2 ] && on=true
        echo '{"loops":[{"loopId":"a"},{"loopId":"b"}],"policy":{"mode":"guarded_auto","autonomous":{"safety":{"killSwitch":'$on'}}}}'"#;
    let script = fleet.script("registry-hook", hook);
    let mut handoff = fleet.handoff(order(Autonomous, &[]));
    handoff.registry.hook = Some(om_stage::Hook::exact("H", script));
    let state = fleet.run_with(&handoff).expect("is executed");
    let execution = state.execution.expect("an execution");
    assert_eq!(column(&execution["results"], "loopId"), ["a"]);
    assert_eq!(column(&execution["withheld"], "loopId"), ["b"]);
}

/// The address of a service that answers once with `body`, after `meanwhile`
/// has happened.
fn service(body: &Value, meanwhile: impl FnOnce() + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let body = body.to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut request = BufReader::new(stream.try_clone().expect("a stream")).lines();
        while request
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        meanwhile();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream
            .write_all((head + &body).as_bytes())
            .expect("answered");
    });
    url
}

#[test]
fn a_switch_that_is_turned_on_while_the_run_is_looked_up_holds_the_dispatch() {
    for (now, reason) in [
        ("r-1", "autonomous_kill_switch_enabled"),
        ("r-2", "autonomous_run_changed"),
    ] {
        let fleet = Fleet::new(&["a"]);
        let killed = fleet.root().join("killed.json");
        let on = written("safety.killSwitch", json!(true));
        std::fs::write(&killed, on.to_string()).expect("written");
        let members = json!({"runId": "r-1"});
        let policy = guarded_auto(&[with(candidate("a", "health_critical"), members)]);
        fleet.write(FleetFile::PolicyState, &policy);
        let registry = fleet.path(FleetFile::Registry);
        // Whoever tells the run takes so long that somebody turns it on.
        let snapshot = json!({"schemaVersion": "v1", "run": {"runId": now}});
        let url = service(&snapshot, move || {
            std::fs::copy(&killed, &registry).expect("turned on");
        });
        let mut document = fleet.read(FleetFile::Registry);
        document["loops"][0] = json!({
            "loopId": "a", "transport": "sprite_service", "service": {"baseUrl": url},
        });
        fleet.write(FleetFile::Registry, &document);
        let (state, calls) = withheld(&fleet);
        assert_eq!(calls, 0);
        let withheld = &state["execution"]["withheld"];
        assert_eq!(column(withheld, "reasonCode"), [reason]);
        assert!(fleet.rows(FleetFile::HandoffDispatch).is_empty());
    }
}
