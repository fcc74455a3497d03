//! Which intents an execution is about (chapter 06 §2.4.3–§2.4.4; decisions
//! D17 and D28).

use om_handoff::targets::{Filters, select};
use om_model::fleet::handoff::{ExecutionMode, HandoffState, IntentStatus};
use serde_json::json;

use crate::support::{candidate, fresh, with};

use ExecutionMode::{Autonomous, Manual};

/// `a` and `c` are eligible, `b` is not, and `c` was executed.
fn plan() -> HandoffState {
    let denied = json!({"autonomous": {"eligible": false}});
    let mut plan = fresh(&[
        candidate("a", "health_critical"),
        candidate("a", "reconcile_failed"),
        with(candidate("b", "health_critical"), denied),
        candidate("c", "health_critical"),
    ]);
    plan.intents[3].status = IntentStatus::Executed;
    plan
}

fn filters(loops: &str, intents: &str) -> Filters {
    let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
    Filters {
        loops: words(loops),
        intents: words(intents),
    }
}

#[test]
fn targets_are_what_both_filters_leave_of_the_pool() {
    for (mode, loops, intents, expected) in [
        (Manual, "", "", &[0, 1, 2][..]),
        (Autonomous, "", "", &[0, 1]),
        (Manual, "b", "", &[2]),
        (Manual, "b a", "", &[0, 1, 2]),
        (Manual, "", "b:health_critical:cancel", &[2]),
        (Manual, "a", "a:reconcile_failed:cancel", &[1]),
        (Manual, "a", "b:health_critical:cancel", &[]),
        (Autonomous, "a", "", &[0, 1]),
    ] {
        let targets = select(&plan(), mode, &filters(loops, intents));
        assert_eq!(targets.as_deref(), Ok(expected), "{loops} {intents}");
    }
}

#[test]
fn values_that_are_not_in_the_pool_are_refused() {
    for (mode, loops, intents, message) in [
        (
            Manual,
            "x a y",
            "",
            "loop filter not found in manual execution intents: x,y",
        ),
        (
            Autonomous,
            "b",
            "",
            "loop filter not found in autonomous execution intents: b",
        ),
        (
            Manual,
            "c",
            "",
            "loop filter not found in manual execution intents: c",
        ),
        (
            Manual,
            "x",
            "y",
            "loop filter not found in manual execution intents: x",
        ),
        (
            Manual,
            "a",
            "y a:reconcile_failed:cancel",
            "intent filter not found in manual execution intents: y",
        ),
        (
            Autonomous,
            "",
            "b:health_critical:cancel",
            "intent filter not found in autonomous execution intents: b:health_critical:cancel",
        ),
        (
            Manual,
            "",
            "c:health_critical:cancel a:reconcile_failed:cancel",
            "intent already executed in this policy evaluation: c:health_critical:cancel",
        ),
        (
            Autonomous,
            "",
            "c:health_critical:cancel",
            "intent already executed in this policy evaluation: c:health_critical:cancel",
        ),
        (
            Manual,
            "",
            "y c:health_critical:cancel",
            "intent filter not found in manual execution intents: y",
        ),
    ] {
        let refused = select(&plan(), mode, &filters(loops, intents)).expect_err("is refused");
        assert_eq!(refused.to_string(), message);
    }
}

#[test]
fn an_empty_pool_is_nothing_to_do_unless_something_was_asked_for() {
    let empty = fresh(&[]);
    assert_eq!(select(&empty, Manual, &Filters::default()), Ok(vec![]));
    let refused = select(&empty, Manual, &filters("b a b", "")).expect_err("is refused");
    assert_eq!(
        refused.to_string(),
        "loop filter not found in manual execution intents: b,a,b"
    );
}
