//! What an exit code of control means, and what of its output is kept
//! (chapter 06 §2.4.5).

use om_handoff::outcome::{Controlled, Special, intent_execution, result};
use om_model::fleet::handoff::{
    DispatchPhase, DispatchRow, ExecutionMode, OutcomeReason, OutcomeStatus,
};
use om_model::json::to_value;
use serde_json::{Value, json};

use crate::support::{NOW, at, trace};

fn dispatch() -> DispatchRow {
    DispatchRow {
        timestamp: at("2031-05-06T07:09:00Z"),
        dispatch_id: "d".to_owned(),
        handoff_id: "h".to_owned(),
        phase: DispatchPhase::Intent,
        mode: ExecutionMode::Autonomous,
        intent_id: "a:health_critical:cancel".to_owned(),
        loop_id: "a".to_owned(),
        intent: "cancel".to_owned(),
        idempotency_key: "k".to_owned(),
        attempt: 1,
        trace_id: trace("tr-9"),
        requested_by: String::new(),
        autonomous_eligible: true,
        status: None,
        reason_code: None,
        control_exit_code: None,
        control: None,
        recovered: false,
        evaluation: None,
    }
}

#[test]
fn the_exit_code_decides() {
    use OutcomeReason::{ControlAmbiguous, ControlConfirmed, ControlFailedCommand};
    for (exit_code, status, reason) in [
        (0, OutcomeStatus::Executed, ControlConfirmed),
        (1, OutcomeStatus::Failed, ControlFailedCommand),
        (2, OutcomeStatus::Ambiguous, ControlAmbiguous),
        (3, OutcomeStatus::Failed, ControlFailedCommand),
        (126, OutcomeStatus::Failed, ControlFailedCommand),
        (127, OutcomeStatus::Failed, ControlFailedCommand),
        (137, OutcomeStatus::Failed, ControlFailedCommand),
    ] {
        let controlled = Controlled::by_hook(exit_code, b"", false);
        assert_eq!(controlled.verdict(), (status, reason), "{exit_code}");
    }
}

#[test]
fn some_ends_are_no_exit_code_of_control() {
    let unreachable = Controlled {
        special: Some(Special::MissingServiceBaseUrl),
        ..Controlled::failed()
    };
    let verdict = (OutcomeStatus::Failed, OutcomeReason::MissingServiceBaseUrl);
    assert_eq!(unreachable.verdict(), verdict);
    assert_eq!(unreachable.exit_code, 1);
    // Ended by us: it may have done it.
    let late = Controlled::by_hook(124, b"", true);
    let verdict = (OutcomeStatus::Ambiguous, OutcomeReason::ControlAmbiguous);
    assert_eq!(late.verdict(), verdict);
    assert_eq!(late.exit_code, 124);
}

#[test]
fn output_is_kept_if_it_is_exactly_one_document() {
    for (output, control) in [
        (
            r#"{"status":"confirmed"}"#,
            Some(json!({"status": "confirmed"})),
        ),
        ("{\n  \"a\": 1\n}\n\n", Some(json!({"a": 1}))),
        ("null", None),
        ("", None),
        ("done", None),
        ("warning: slow\n{}", None),
        ("{} {}", None),
        ("{} trailing", None),
        ("[1]", Some(json!([1]))),
    ] {
        let controlled = Controlled::by_hook(0, output.as_bytes(), false);
        assert_eq!(controlled.control, control, "{output:?}");
    }
}

#[test]
fn a_result_keeps_false_and_its_intent_does_not() {
    let mut dispatch = dispatch();
    dispatch.autonomous_eligible = false;
    let output = br#"{"status":"ambiguous","confirmed":false}"#;
    let row = Controlled::by_hook(2, output, false).row(&dispatch, at(NOW));
    let result = result(&row);
    let shown = to_value(&result);
    assert_eq!(shown["autonomousEligible"], false);
    assert_eq!(shown["control"]["confirmed"], false);
    let execution = to_value(&intent_execution(&result));
    assert_eq!(
        execution,
        json!({
            "mode": "autonomous", "executedAt": NOW, "requestedBy": "", "status": "ambiguous",
            "reasonCode": "control_ambiguous", "traceId": "tr-9", "idempotencyKey": "k",
            "controlExitCode": 2, "controlStatus": "ambiguous",
        })
    );
}

#[test]
fn controls_word_is_shown_with_the_intent() {
    for (control, status, confirmed) in [
        (
            json!({"status": "confirmed", "confirmed": true}),
            json!("confirmed"),
            json!(true),
        ),
        (
            json!({"status": false, "confirmed": "true"}),
            Value::Null,
            Value::Null,
        ),
        (json!([1]), Value::Null, Value::Null),
        (json!("text"), Value::Null, Value::Null),
    ] {
        let output = control.to_string();
        let row = Controlled::by_hook(0, output.as_bytes(), false).row(&dispatch(), at(NOW));
        let execution = to_value(&intent_execution(&result(&row)));
        let member = |name: &str| execution.get(name).cloned().unwrap_or_default();
        assert_eq!(member("controlStatus"), status, "{control}");
        assert_eq!(member("confirmed"), confirmed, "{control}");
        assert_eq!(execution["controlExitCode"], 0);
    }
}
