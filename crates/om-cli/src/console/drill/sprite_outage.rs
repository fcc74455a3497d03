//! When the services of a fleet die, autonomy pauses and people are told why.

use serde_json::{Map, Value};

use super::Script;
use super::act::{Act, Check, checks};
use super::scene::{Scene, entry};
use crate::error::CliError;

pub(super) const SCRIPT: Script = Script {
    title: "an outage of sprite services pauses autonomy, with a manual way out",
    // As many failures as the auto-pause wants to see.
    subjects: 3,
    served: true,
    acts: &[
        Act {
            name: "three loops behind services",
            expectation: "every one of them is observed through its service",
            play: begin,
        },
        Act {
            name: "the services die",
            expectation: "their loops are transport_unreachable, the others go on",
            play: go_down,
        },
        Act {
            name: "dispatch what is eligible",
            expectation: "every attempt fails and says so, nothing is run",
            play: dispatch_in_vain,
        },
        Act {
            name: "evaluate and dispatch again",
            expectation: "autonomy has paused itself, nothing is attempted",
            play: pause,
        },
        Act {
            name: "the way for people",
            expectation: "intents say why; the service's fails, the local one works",
            play: by_hand,
        },
        Act {
            name: "the services are back",
            expectation: "their loops are observed again, nothing is left of the outage",
            play: come_back,
        },
        Act {
            name: "autopause clear",
            expectation: "autonomy may go on",
            play: clear,
        },
    ],
};

fn begin(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let state = scene.reconcile()?;
    let mut found = checks();
    for subject in subjects(scene) {
        let result = entry(&state["results"], "loopId", &subject);
        found = found
            .equal(&subject, result["status"].clone(), "success")
            .equal(&subject, result["transport"].clone(), "sprite_service");
    }
    Ok(found.done())
}

fn go_down(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let before = scene.reconcile()?;
    scene.end_services();
    let after = scene.reconcile()?;
    let status = scene.ask(&["fleet-status"])?;
    let failures = &status["exceptions"]["reconcileFailures"];
    let others = subjects(scene);
    let mut found = checks()
        .equal("fleet", after["status"].clone(), "partial_failure")
        .equal(
            "the others",
            others_of(&after, &others),
            others_of(&before, &others),
        );
    for subject in &others {
        let result = entry(&after["results"], "loopId", subject);
        found = found
            .equal(
                subject,
                result["reasonCode"].clone(),
                "transport_unreachable",
            )
            .has("failures in status", failures, subject);
    }
    Ok(found.done())
}

fn dispatch_in_vain(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let count = scene.subjects.len();
    let policy = scene.policy()?;
    let state = scene.dispatch()?;
    let execution = &state["execution"];
    Ok(checks()
        .equal(
            "eligible candidates",
            policy["autoEligibleCount"].clone(),
            count,
        )
        .equal(
            "attempted",
            execution["requestedIntentCount"].clone(),
            count,
        )
        .equal("failed", execution["failedCount"].clone(), count)
        .has(
            "handoff",
            &state["reasonCodes"],
            "fleet_handoff_execution_failed",
        )
        .equal("runtime calls", scene.runtime.calls(), 0)
        .done())
}

fn pause(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let policy = scene.policy()?;
    let state = scene.dispatch()?;
    let mut found = checks()
        .equal("auto-pause", auto_pause(&policy), true)
        .has(
            "policy",
            &policy["reasonCodes"],
            "fleet_auto_candidates_paused",
        )
        .has(
            "policy",
            &policy["reasonCodes"],
            "fleet_auto_candidates_autopause_triggered",
        )
        .equal(
            "dispatched",
            state["execution"]["requestedIntentCount"].clone(),
            0,
        );
    for subject in subjects(scene) {
        let id = format!("{subject}:reconcile_failed");
        let candidate = entry(&policy["candidates"], "candidateId", &id);
        let reasons = &candidate["autonomous"]["reasons"];
        found = found
            .has("reasons", reasons, "autonomous_rollout_paused_auto")
            .has("reasons", reasons, "autonomous_autopause_failure_spike");
    }
    Ok(found.done())
}

fn by_hand(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let (subject, intent) = (scene.subject(), intent(scene));
    let plan = scene.plan()?;
    let offered = entry(&plan["intents"], "intentId", &intent);
    let reasons = &offered["autonomous"]["reasons"];
    let state = scene.approve(&intent)?;
    let result = &state["execution"]["results"][0];
    let control = [
        "control", "--loop", &subject, "--intent", "cancel", "--by", "drill",
    ];
    let locally = ["--transport", "local", "--no-confirm"];
    let control = scene.ask(&[&control[..], &locally].concat())?;
    Ok(checks()
        .equal(
            "offered as",
            offered["status"].clone(),
            "pending_operator_confirmation",
        )
        .has("reasons", reasons, "autonomous_rollout_paused_auto")
        .equal(
            "through the service",
            result["reasonCode"].clone(),
            "control_failed_command",
        )
        .equal("locally", control["status"].clone(), "executed_unconfirmed")
        .equal("runtime calls", scene.runtime.calls(), 1)
        .done())
}

fn come_back(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.restart_services()?;
    let state = scene.reconcile()?;
    let policy = scene.policy()?;
    let mut found = checks();
    for subject in subjects(scene) {
        let result = entry(&state["results"], "loopId", &subject);
        let id = format!("{subject}:reconcile_failed");
        let candidate = entry(&policy["candidates"], "candidateId", &id);
        let reasons = &result["healthReasonCodes"];
        // A control that failed meanwhile may still be a reason.
        found = found
            .equal(&subject, result["status"].clone(), "success")
            .lacks(&subject, reasons, "transport_unreachable")
            .equal("candidate of the outage", candidate.is_object(), false);
    }
    Ok(found.done())
}

fn clear(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let before = scene.policy()?;
    scene.outlive_dispatch();
    scene.switch(&["autopause", "clear"])?;
    let after = scene.policy()?;
    Ok(checks()
        .equal("auto-pause before", auto_pause(&before), true)
        .equal("auto-pause after", auto_pause(&after), false)
        .done())
}

fn auto_pause(policy: &Value) -> Value {
    let active = policy.pointer("/autonomous/rollout/pause/auto/active");
    active.cloned().unwrap_or_default()
}

fn subjects(scene: &Scene) -> Vec<String> {
    scene.subjects.iter().map(ToString::to_string).collect()
}

/// What became of every loop but `subjects`.
fn others_of(state: &Value, subjects: &[String]) -> Value {
    let results = state["results"].as_array().into_iter().flatten();
    let others = results.filter_map(|result| {
        let id = result["loopId"].as_str()?;
        let is_other = !subjects.iter().any(|subject| subject == id);
        is_other.then(|| (id.to_owned(), result["status"].clone()))
    });
    Value::Object(others.collect::<Map<_, _>>())
}

fn intent(scene: &Scene) -> String {
    format!("{}:reconcile_failed:cancel", scene.subject())
}
