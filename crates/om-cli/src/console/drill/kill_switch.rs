//! The kill switch stops everything that would happen by itself, at once.

use om_store::FleetFile;
use serde_json::{Value, json};

use super::Script;
use super::act::{Act, Check, checks};
use super::scene::{Scene, entry};
use crate::error::CliError;

pub(super) const SCRIPT: Script = Script {
    title: "the kill switch halts what happens by itself, people can still act",
    subjects: 1,
    served: false,
    acts: &[
        Act {
            name: "a critical loop",
            expectation: "its candidate would be acted on by itself",
            play: begin,
        },
        Act {
            name: "kill switch on",
            expectation: "the registry says so, and who turned it is on record",
            play: turn_on,
        },
        Act {
            name: "dispatch what was eligible before",
            expectation: "the last look withholds it, nothing is run",
            play: dispatch_stale,
        },
        Act {
            name: "evaluate and dispatch again",
            expectation: "policy blocks it by name, nothing is run",
            play: dispatch_again,
        },
        Act {
            name: "confirm it by hand",
            expectation: "it is still offered to a person, and runs once",
            play: confirm,
        },
        Act {
            name: "kill switch off",
            expectation: "the next evaluation lets it happen by itself again",
            play: turn_off,
        },
    ],
};

fn begin(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let state = scene.reconcile()?;
    let subject = scene.subject();
    let health = entry(&state["results"], "loopId", &subject)["healthStatus"].clone();
    let policy = scene.policy()?;
    let plan = scene.plan()?;
    let intent = entry(&plan["intents"], "intentId", &intent(scene)).clone();
    Ok(checks()
        .equal("health of the loop", health, "critical")
        .equal(
            "eligible candidates",
            policy["autoEligibleCount"].clone(),
            1,
        )
        .equal(
            "intent eligible",
            intent["autonomous"]["eligible"].clone(),
            true,
        )
        .done())
}

fn turn_on(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.switch(&["kill-switch", "on"])?;
    let switch = kill_switch(scene)?;
    let row = scene.last_row(FleetFile::PolicyGovernance)?;
    Ok(checks()
        .equal("killSwitch in the registry", switch, true)
        .equal(
            "audit row",
            row["eventType"].clone(),
            "autonomous_policy_edited",
        )
        .done())
}

fn dispatch_stale(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let state = scene.dispatch()?;
    let execution = &state["execution"];
    let withheld = entry(&execution["withheld"], "intentId", &intent(scene));
    Ok(checks()
        .equal("dispatched", execution["requestedIntentCount"].clone(), 0)
        .equal(
            "withheld because of",
            withheld["reasonCode"].clone(),
            REASON,
        )
        .equal("runtime calls", scene.runtime.calls(), 0)
        .done())
}

fn dispatch_again(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let policy = scene.policy()?;
    let candidate = entry(&policy["candidates"], "candidateId", &candidate(scene));
    let reasons = candidate["autonomous"]["reasons"].clone();
    let state = scene.dispatch()?;
    let status = scene.ask(&["fleet-status"])?;
    let decisions = &status["autonomous"]["safetyGateDecisions"];
    Ok(checks()
        .equal(
            "eligible candidates",
            policy["autoEligibleCount"].clone(),
            0,
        )
        .has("reasons", &reasons, REASON)
        .has(
            "policy",
            &policy["reasonCodes"],
            "fleet_auto_kill_switch_enabled",
        )
        .equal(
            "dispatched",
            state["execution"]["requestedIntentCount"].clone(),
            0,
        )
        .equal(
            "shown by status",
            decisions["killSwitchActive"].clone(),
            true,
        )
        .equal("runtime calls", scene.runtime.calls(), 0)
        .done())
}

fn confirm(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let plan = scene.plan()?;
    let offered = entry(&plan["intents"], "intentId", &intent(scene))["status"].clone();
    let state = scene.approve(&intent(scene))?;
    let execution = &state["execution"];
    Ok(checks()
        .equal("offered as", offered, "pending_operator_confirmation")
        .equal("executed", execution["executedCount"].clone(), 1)
        .equal(
            "outcome",
            execution["results"][0]["reasonCode"].clone(),
            "control_confirmed",
        )
        .equal("runtime calls", scene.runtime.calls(), 1)
        .done())
}

fn turn_off(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.switch(&["kill-switch", "off"])?;
    let switch = kill_switch(scene)?;
    scene.restart_run()?;
    let policy = scene.policy()?;
    let state = scene.dispatch()?;
    Ok(checks()
        .equal("killSwitch in the registry", switch, false)
        .equal(
            "eligible candidates",
            policy["autoEligibleCount"].clone(),
            1,
        )
        .equal("executed", state["execution"]["executedCount"].clone(), 1)
        .equal("runtime calls", scene.runtime.calls(), 2)
        .done())
}

/// Why nothing may happen by itself.
const REASON: &str = "autonomous_kill_switch_enabled";

fn kill_switch(scene: &mut Scene) -> Result<Value, CliError> {
    let registry = scene.registry()?;
    let switch = registry.pointer("/policy/autonomous/safety/killSwitch");
    Ok(switch.cloned().unwrap_or_else(|| json!(null)))
}

fn candidate(scene: &Scene) -> String {
    format!("{}:health_critical", scene.subject())
}

fn intent(scene: &Scene) -> String {
    format!("{}:cancel", candidate(scene))
}
