//! A handoff that is asked to end finishes the target that runs.

use std::cell::Cell;

use om_handoff::run;
use om_model::fleet::handoff::ExecutionMode::Manual;
use om_model::json::to_value;
use om_store::FleetFile;
use serde_json::json;

use crate::support::{Fleet, TestClock, column, order};

#[test]
fn what_was_begun_is_finished_and_the_rest_is_named() {
    let fleet = Fleet::new(&["a", "b", "c"]);
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 1
    };
    let handoff = fleet.handoff(order(Manual, &[]));
    let state = run(&handoff, &TestClock::default(), &stop, &mut |_| {});
    let state = to_value(&state.expect("is recorded"));
    let execution = &state["execution"];
    assert_eq!(column(&execution["results"], "loopId"), ["a"]);
    assert_eq!(
        execution["notAttempted"],
        json!(["b:health_critical:cancel", "c:health_critical:cancel"])
    );
    assert_eq!(state["summary"]["pendingConfirmationCount"], 2);
    assert_eq!(fleet.telemetry("fleet_handoff_execute").len(), 1);
    assert!(!fleet.path(FleetFile::HandoffPending).exists());
    // The rest is done by the next one.
    let state = fleet.execute(Manual);
    assert_eq!(column(&state["execution"]["results"], "loopId"), ["b", "c"]);
}
