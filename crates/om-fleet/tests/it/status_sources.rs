//! What stands in the sources of a report (chapter 05 §3.2, §3.3; decisions
//! D9, D22).

use om_fleet::status::{FleetStatusError, FleetStatusInputs, evaluate, is_of_execution};
use om_model::{Artifact, json};
use serde_json::{Value, json};

use crate::status::{NOW, report, shown};
use crate::support::{at, inputs, last};

/// Documents by name: fleet, policy, handoff.
fn with(which: &str, artifact: Artifact) -> FleetStatusInputs {
    let mut inputs = inputs(json!({}));
    match which {
        "fleet" => inputs.fleet = artifact,
        "policy" => inputs.policy = artifact,
        _ => inputs.handoff = artifact,
    }
    inputs
}

fn error(inputs: &FleetStatusInputs) -> String {
    evaluate(inputs, at(NOW))
        .expect_err("no report")
        .to_string()
}

#[test]
fn a_missing_fleet_state_is_fatal_and_the_others_are_null() {
    let inputs = with("fleet", Artifact::Absent);
    let file = inputs.files.fleet_state_file.clone();
    assert_eq!(
        error(&inputs),
        format!("fleet state file not found: {file}")
    );
    for which in ["policy", "handoff"] {
        for artifact in [Artifact::Absent, Artifact::Document(Value::Null)] {
            let shown = shown(&with(which, artifact));
            for member in ["policy", "handoff", "autonomous"] {
                assert_eq!(shown.get(member), Some(&Value::Null), "{which} {member}");
            }
        }
    }
    assert_eq!(
        shown(&with("fleet", Artifact::Document(json!(null))))["fleet"]["status"],
        "unknown"
    );
}

#[test]
fn a_document_that_is_not_one_document_is_fatal() {
    for which in ["fleet", "policy", "handoff"] {
        for content in ["", " \n", "{", "{} {}", "{} x"] {
            let inputs = with(which, Artifact::parse(content.as_bytes()));
            let message = error(&inputs);
            let fragment = format!("invalid {which} state JSON: /r/.superloop/ops-manager/fleet/");
            assert!(message.starts_with(&fragment), "{content:?}: {message}");
        }
    }
}

/// A document and the member that is told.
type Case = (Value, &'static str);

fn each_is_told(which: &str, cases: impl IntoIterator<Item = Case>) {
    for (document, expected) in cases {
        let message = error(&with(which, Artifact::Document(document.clone())));
        let fragment = format!("invalid {which} state JSON: ");
        assert!(message.starts_with(&fragment), "{document}: {message}");
        assert!(message.contains(expected), "{document}: {message}");
    }
}

#[test]
fn a_container_of_another_type_in_the_fleet_state_is_told_by_its_member() {
    each_is_told(
        "fleet",
        [
            (json!([]), "document is an array"),
            (json!("x"), "document is a string"),
            (json!({"results": "x"}), "results is a string"),
            (json!({"results": [{}, 7]}), "results[1] is a number"),
            (json!({"reasonCodes": "x"}), "reasonCodes is a string"),
            (json!({"results": [{"files": "x"}]}), "files is a string"),
        ],
    );
}

#[test]
fn a_container_of_another_type_in_the_policy_state_is_told_by_its_member() {
    each_is_told(
        "policy",
        [
            (json!(false), "document is a boolean"),
            (json!({"summary": false}), "summary is a boolean"),
            (json!({"summary": []}), "summary is an array"),
            (json!({"autonomous": false}), "autonomous is a boolean"),
            (
                json!({"summary": {"byAutonomyReason": []}}),
                "byAutonomyReason is an array",
            ),
            (
                json!({"summary": {"byAutonomyReason": {"loop_disabled": "x"}}}),
                "loop_disabled is a string",
            ),
            (
                json!({"autonomous": {"governance": "x"}}),
                "governance is a string",
            ),
            (
                json!({"autonomous": {"controls": false}}),
                "controls is a boolean",
            ),
            (
                json!({"autonomous": {"controls": {"safety": 1}}}),
                "safety is a number",
            ),
            (
                json!({"autonomous": {"rollout": []}}),
                "rollout is an array",
            ),
            (
                json!({"autonomous": {"rollout": {"pause": "x"}}}),
                "pause is a string",
            ),
            (
                json!({"autonomous": {"rollout": {"pause": {"auto": 7}}}}),
                "auto is a number",
            ),
            (
                json!({"autonomous": {"rollout": {"candidateBuckets": []}}}),
                "candidateBuckets is an array",
            ),
            (json!({"candidates": {}}), "candidates is an object"),
            (json!({"candidates": ["x"]}), "candidates[0] is a string"),
            (json!({"candidates": [null]}), "candidates[0] is null"),
        ],
    );
}

#[test]
fn a_container_of_another_type_in_the_handoff_state_is_told_by_its_member() {
    each_is_told(
        "handoff",
        [
            (json!(7), "document is a number"),
            (json!({"execution": "x"}), "execution is a string"),
            (json!({"execution": []}), "execution is an array"),
            (
                json!({"execution": {"results": "x"}}),
                "execution.results is a string",
            ),
            (json!({"execution": {"results": [{}]}}), "intentId is "),
            (
                json!({"execution": {"results": [7]}}),
                "execution.results[0] is a number",
            ),
            (
                json!({"execution": {"results": [{"intentId": "i", "reasonCode": 7}]}}),
                "reasonCode is a number",
            ),
            (json!({"intents": "x"}), "intents is a string"),
            (json!({"intents": [7]}), "intents[0] is a number"),
            (
                json!({"intents": [{"intentId": 7}]}),
                "intentId is a number",
            ),
            (
                json!({"intents": [{"autonomous": "x"}]}),
                "autonomous is a string",
            ),
            (json!({"summary": "x"}), "summary is a string"),
        ],
    );
}

#[test]
fn false_counts_as_missing_where_the_contract_says_so() {
    for (which, document) in [
        ("fleet", json!({"results": false, "reasonCodes": false})),
        (
            "policy",
            json!({"autonomous": {"governance": false}, "candidates": false}),
        ),
        (
            "handoff",
            json!({"execution": false, "intents": false, "summary": false}),
        ),
    ] {
        report(&with(which, Artifact::Document(document)));
    }
}

#[test]
fn values_are_copied_unchecked() {
    let state = json!({"status": ["odd"], "loopCount": "many", "durationSeconds": {"s": 1},
        "startedAt": 7, "updatedAt": "yesterday"});
    let fleet = shown(&inputs(state))["fleet"].clone();
    assert_eq!(fleet["status"], json!(["odd"]));
    assert_eq!(fleet["loopCount"], "many");
    assert_eq!(fleet["durationSeconds"], json!({"s": 1}));
    assert_eq!(fleet["startedAt"], 7);
    assert_eq!(fleet.get("ageSeconds"), None);
}

#[test]
fn a_last_row_is_shown_passed_over_or_an_error() {
    enum Expected {
        Shown,
        Nothing,
        Warned,
        Error,
    }
    use Expected::{Error, Nothing, Shown, Warned};
    for (line, expected) in [
        ("{}", Shown),
        (r#"{"timestamp":"t","timestamp":"u"}"#, Shown),
        ("null", Nothing),
        ("", Nothing),
        (" \t", Nothing),
        ("{\"half\":", Warned),
        ("rubbish", Warned),
        ("[]", Error),
        ("\"x\"", Error),
        ("false", Error),
        ("{} {}", Error),
        ("{} x", Error),
    ] {
        let mut one = inputs(json!({}));
        one.fleet_row = Some(last(line));
        let mut other = inputs(json!({}));
        other.handoff_row = Some(last(line));
        let members = ["latestTelemetry", "latestHandoffTelemetry"];
        for (inputs, member) in [one, other].iter().zip(members) {
            let found = evaluate(inputs, at(NOW));
            match expected {
                Error => {
                    let Err(FleetStatusError::Row { line: Some(3), .. }) = found else {
                        panic!("{line:?}: {found:?}");
                    };
                }
                Shown | Nothing | Warned => {
                    let report = found.expect(line);
                    assert_eq!(
                        report.warnings.len(),
                        usize::from(matches!(expected, Warned))
                    );
                    let shown = json::to_value(&report)[member].is_object();
                    assert_eq!(shown, matches!(expected, Shown), "{line:?} {member}");
                }
            }
        }
    }
}

#[test]
fn a_warning_names_file_and_line() {
    let mut inputs = inputs(json!({}));
    inputs.fleet_row = Some(last("{\"half\":"));
    let warning = report(&inputs).warnings.remove(0);
    assert_eq!(warning.file, inputs.files.fleet_telemetry_file);
    assert_eq!(warning.line, Some(3));
}

#[test]
fn an_entry_of_a_wrong_shape_is_told_by_its_index_and_member() {
    let good = json!({"intentId": "i"});
    let handoff = |intent: Value, result: Value| json!({"intents": [good.clone(), intent], "execution": {"results": [good.clone(), result]}});
    for (which, document, expected) in [
        (
            "fleet",
            json!({"results": [{"files": 1}]}),
            "state.json: results[0].files is a number, expected an object",
        ),
        (
            "handoff",
            handoff(json!({"intentId": 2}), good.clone()),
            "handoff-state.json: intents[1].intentId is a number, expected a string",
        ),
        (
            "handoff",
            handoff(json!({"autonomous": "x"}), good.clone()),
            "handoff-state.json: intents[1].autonomous is a string, expected an object",
        ),
        (
            "handoff",
            handoff(good.clone(), json!({})),
            "handoff-state.json: execution.results[1].intentId is null, expected a string",
        ),
        (
            "handoff",
            handoff(good.clone(), json!({"intentId": "i", "reasonCode": 3})),
            "execution.results[1].reasonCode is a number, expected a string",
        ),
    ] {
        let message = error(&with(which, Artifact::Document(document)));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_row_of_a_wrong_shape_is_told_by_its_member() {
    for (row, expected) in [
        (json!({"execution": "x"}), "execution is a string"),
        (json!({"summary": []}), "summary is an array"),
        (
            json!({"summary": {"summary": 7}}),
            "summary.summary is a number",
        ),
    ] {
        let mut inputs = inputs(json!({}));
        inputs.handoff_row = Some(last(row.to_string()));
        let message = error(&inputs);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("handoff.jsonl line 3"), "{message}");
    }
}

#[test]
fn the_last_handoff_row_is_shown_whether_it_planned_or_executed() {
    let plan = json!({"timestamp": "t", "category": "fleet_handoff_plan", "traceId": "h",
        "mode": "advisory", "summary": {"summary": {"intentCount": 2, "executedCount": 0,
        "candidateCount": 9}, "reasonCodes": ["x"], "policyTraceId": "p"}});
    let mut inputs = inputs(json!({}));
    inputs.handoff = Artifact::Document(json!({"intents": [
        {"status": "pending_operator_confirmation", "autonomous": {"manualOnly": true}}]}));
    inputs.handoff_row = Some(last(plan.to_string()));
    assert_eq!(
        shown(&inputs)["latestHandoffTelemetry"],
        json!({"timestamp": "t", "category": "fleet_handoff_plan", "traceId": "h",
            "execution": {}, "summary": {"intentCount": 2, "executedCount": 0},
            "autonomousOutcomeRollup": {"attempted": 0, "executed": 0, "ambiguous": 0,
                "failed": 0, "manual_backlog": 1},
            "reasonCodes": ["x"]})
    );
    let execute = json!({"category": "fleet_handoff_execute",
        "execution": {"mode": "autonomous", "requestedIntentCount": 3, "failedCount": 1},
        "summary": {"summary": {"pendingManualOnlyCount": 0}}});
    inputs.handoff_row = Some(last(execute.to_string()));
    let shown = shown(&inputs)["latestHandoffTelemetry"].clone();
    assert_eq!(
        shown["autonomousOutcomeRollup"],
        json!({"attempted": 3, "executed": 0, "ambiguous": 0, "failed": 1, "manual_backlog": 0})
    );
    assert_eq!(shown["summary"], json!({"pendingManualOnlyCount": 0}));
    assert_eq!(shown["reasonCodes"], json!([]));
}

#[test]
fn outcomes_of_a_plan_row_are_those_of_the_last_execution() {
    let plan = json!({"timestamp": "t", "category": "fleet_handoff_plan",
        "summary": {"summary": {"intentCount": 2, "pendingManualOnlyCount": 5}}});
    let execute = |attempted: u64| {
        json!({"timestamp": "s", "category": "fleet_handoff_execute",
            "execution": {"mode": "autonomous", "requestedIntentCount": attempted,
                "executedCount": attempted},
            "summary": {"summary": {"intentCount": 1, "pendingManualOnlyCount": 0}}})
    };
    let mut inputs = inputs(json!({}));
    inputs.handoff_row = Some(last(plan.to_string()));
    inputs.execution_row = Some(last(execute(2).to_string()));
    let found = shown(&inputs)["latestHandoffTelemetry"].clone();
    assert_eq!(
        (&found["timestamp"], &found["category"]),
        (&json!("t"), &json!("fleet_handoff_plan"))
    );
    assert_eq!(
        found["execution"],
        json!({"mode": "autonomous", "requestedIntentCount": 2, "executedCount": 2})
    );
    assert_eq!(found["summary"]["intentCount"], 2);
    assert_eq!(
        found["autonomousOutcomeRollup"],
        json!({"attempted": 2, "executed": 2, "ambiguous": 0, "failed": 0, "manual_backlog": 5})
    );
    // A last row that has its own is not looked beyond.
    inputs.handoff_row = Some(last(execute(1).to_string()));
    let found = shown(&inputs)["latestHandoffTelemetry"].clone();
    assert_eq!(found["autonomousOutcomeRollup"]["attempted"], 1);
}

#[test]
fn rows_of_executions_are_told_from_others() {
    for (line, expected) in [
        (r#"{"execution": {"mode": "manual"}}"#, true),
        (
            r#"{"category": "fleet_handoff_plan", "summary": {}}"#,
            false,
        ),
        (r#"{"execution": null}"#, false),
        (r#"{"execution": "x"}"#, false),
        ("[]", false),
        ("{\"execution\": {", false),
        ("", false),
    ] {
        assert_eq!(is_of_execution(line.as_bytes()), expected, "{line}");
    }
}
