//! An outcome that nobody knows is never tried again by itself.

use super::Script;
use super::act::{Act, Check, checks};
use super::scene::{Scene, entry};
use crate::error::CliError;

pub(super) const SCRIPT: Script = Script {
    title: "an ambiguous outcome is not tried again until a person resolves it",
    subjects: 1,
    served: false,
    acts: &[
        Act {
            name: "a critical loop",
            expectation: "its candidate would be acted on by itself",
            play: begin,
        },
        Act {
            name: "a control without a visible effect",
            expectation: "the outcome is ambiguous, and the guard is set",
            play: dispatch_in_vain,
        },
        Act {
            name: "three evaluations, plans and dispatches more",
            expectation: "the guard holds, and the runtime is never called again",
            play: go_on,
        },
        Act {
            name: "confirm it by hand",
            expectation: "it is executed, and the guard is gone",
            play: confirm,
        },
        Act {
            name: "evaluate again",
            expectation: "nothing is left that holds it back",
            play: resolve,
        },
    ],
};

/// How often it is tried whether the guard holds.
const ROUNDS: usize = 3;

fn begin(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.reconcile()?;
    let policy = scene.policy()?;
    Ok(checks()
        .equal(
            "eligible candidates",
            policy["autoEligibleCount"].clone(),
            1,
        )
        .equal("runtime calls", scene.runtime.calls(), 0)
        .done())
}

fn dispatch_in_vain(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.runtime.set_deaf(true)?;
    let state = scene.dispatch()?;
    let result = &state["execution"]["results"][0];
    let guard = entry(&state["retryGuard"], "intentId", &intent(scene));
    Ok(checks()
        .equal("outcome", result["reasonCode"].clone(), "control_ambiguous")
        .equal("guard", guard["reasonCode"].clone(), REASON)
        .equal("runtime calls", scene.runtime.calls(), 1)
        .done())
}

fn go_on(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    let mut found = checks();
    for _ in 0..ROUNDS {
        scene.policy()?;
        scene.plan()?;
        let state = scene.dispatch()?;
        let intent = entry(&state["intents"], "intentId", &intent(scene));
        let codes = &state["reasonCodes"];
        found = found
            .equal(
                "dispatched",
                state["execution"]["requestedIntentCount"].clone(),
                0,
            )
            .has("reasons", &intent["autonomous"]["reasons"], REASON)
            .has("handoff", codes, "fleet_handoff_retry_guarded")
            .has("handoff", codes, "fleet_handoff_confirmation_pending")
            .some(
                "waiting for a person",
                &state["summary"]["pendingConfirmationCount"],
            );
    }
    Ok(found
        .equal("runtime calls", scene.runtime.calls(), 1)
        .done())
}

fn confirm(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.runtime.set_deaf(false)?;
    let state = scene.approve(&intent(scene))?;
    let execution = &state["execution"];
    let guarded = entry(&state["retryGuard"], "intentId", &intent(scene)).is_object();
    Ok(checks()
        .equal("executed", execution["executedCount"].clone(), 1)
        .equal(
            "outcome",
            execution["results"][0]["reasonCode"].clone(),
            "control_confirmed",
        )
        .equal("still guarded", guarded, false)
        .equal("runtime calls", scene.runtime.calls(), 2)
        .done())
}

fn resolve(scene: &mut Scene) -> Result<Vec<Check>, CliError> {
    scene.policy()?;
    let plan = scene.plan()?;
    let intent = entry(&plan["intents"], "intentId", &intent(scene));
    let autonomous = &intent["autonomous"];
    Ok(checks()
        .lacks("reasons", &autonomous["reasons"], REASON)
        .equal("intent eligible", autonomous["eligible"].clone(), true)
        .lacks(
            "handoff",
            &plan["reasonCodes"],
            "fleet_handoff_retry_guarded",
        )
        .done())
}

/// Why it is not tried again.
const REASON: &str = "autonomous_retry_guard_ambiguous";

fn intent(scene: &Scene) -> String {
    format!("{}:health_critical:cancel", scene.subject())
}
