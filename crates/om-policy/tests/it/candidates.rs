//! What is wrong in a fleet (§1.3, §1.4.1).

use om_model::fleet::registry::Category;
use om_model::json;
use om_policy::candidates::{Kind, TAXONOMY};
use om_policy::fleet::{FleetStateError, FleetView};
use serde_json::{Value, json};

use crate::support::Fleet;

fn read(state: &Value) -> Result<FleetView, FleetStateError> {
    FleetView::read(json::compact(state).as_bytes())
}

fn ids(results: Value) -> Vec<String> {
    let state = Fleet::advisory(results).state();
    state
        .candidates
        .into_iter()
        .map(|c| c.candidate_id)
        .collect()
}

#[test]
fn what_a_result_shows() {
    for (result, expected) in [
        (json!({"status": "failed"}), &["l:reconcile_failed"][..]),
        (json!({"healthStatus": "critical"}), &["l:health_critical"]),
        (json!({"healthStatus": "degraded"}), &["l:health_degraded"]),
        (
            json!({"status": "failed", "healthStatus": "critical"}),
            &["l:health_critical", "l:reconcile_failed"],
        ),
        (
            json!({"status": "failed", "healthStatus": "degraded"}),
            &["l:health_degraded", "l:reconcile_failed"],
        ),
        (json!({"status": "skipped"}), &[]),
        (json!({"status": "success", "healthStatus": "healthy"}), &[]),
        (json!({"status": "success", "healthStatus": "unknown"}), &[]),
        (json!({"status": "success"}), &[]),
        (json!({"status": 5, "healthStatus": ["critical"]}), &[]),
        (json!({}), &[]),
    ] {
        let mut result = result;
        result["loopId"] = "l".into();
        assert_eq!(ids(json!([result])), expected, "{result}");
    }
}

#[test]
fn how_each_category_is_graded() {
    let results = json!([
        {"loopId": "l", "status": "failed", "healthStatus": "critical"},
        {"loopId": "m", "healthStatus": "degraded"},
    ]);
    let state = json::to_value(&Fleet::advisory(results).state());
    let graded: Vec<Value> = state["candidates"]
        .as_array()
        .expect("candidates")
        .iter()
        .map(|c| {
            json!([
                c["category"],
                c["signal"],
                c["severity"],
                c["confidence"],
                c["rationale"],
                c["recommendedIntent"],
                c["taxonomyVersion"],
            ])
        })
        .collect();
    assert_eq!(
        graded,
        [
            json!([
                "health_critical",
                "health_critical",
                "critical",
                "high",
                "Loop health is critical",
                "cancel",
                "v1"
            ]),
            json!([
                "reconcile_failed",
                "status_failed",
                "critical",
                "high",
                "Loop reconcile failed in fleet fan-out",
                "cancel",
                "v1"
            ]),
            json!([
                "health_degraded",
                "health_degraded",
                "warning",
                "medium",
                "Loop health is degraded",
                "cancel",
                "v1"
            ]),
        ]
    );
    assert_eq!(
        state["taxonomy"],
        json!({"version": "v1", "categories": [
            {"category": "reconcile_failed", "severity": "critical", "confidence": "high"},
            {"category": "health_critical", "severity": "critical", "confidence": "high"},
            {"category": "health_degraded", "severity": "warning", "confidence": "medium"},
        ]})
    );
}

#[test]
fn candidates_are_sorted_by_loop_and_category_by_code_point() {
    let failed = |id: &str| json!({"loopId": id, "status": "failed", "healthStatus": "degraded"});
    let results = json!([failed("b"), failed("Z"), failed("é"), failed("a")]);
    let expected = ["Z", "a", "b", "é"]
        .iter()
        .flat_map(|id| {
            [
                format!("{id}:health_degraded"),
                format!("{id}:reconcile_failed"),
            ]
        })
        .collect::<Vec<_>>();
    assert_eq!(ids(results), expected);
}

#[test]
fn of_a_loop_that_stands_there_twice_the_first_result_counts() {
    let results = json!([
        {"loopId": "l", "status": "failed", "traceId": "first"},
        {"loopId": "l", "status": "failed", "healthStatus": "critical", "traceId": "second"},
    ]);
    let state = Fleet::advisory(results).state();
    let traces: Vec<_> = state
        .candidates
        .iter()
        .map(|c| c.trace_id.as_deref())
        .collect();
    assert_eq!(traces, [Some("second"), Some("first")]);
    assert_eq!(state.evaluated_loop_count, 2);
}

#[test]
fn trace_run_and_time_are_those_of_the_result() {
    for (given, expected) in [
        (json!({}), json!([null, null, null])),
        (
            json!({"traceId": "t", "runId": "r", "timestamp": "2031-1-1T0:0:0Z"}),
            json!(["t", "r", "2031-01-01T00:00:00Z"]),
        ),
        (
            json!({"traceId": false, "runId": "", "timestamp": 5}),
            json!([null, null, null]),
        ),
        (json!({"traceId": 5, "runId": 7}), json!(["5", "7", null])),
    ] {
        let mut result = given.clone();
        result["loopId"] = "l".into();
        result["status"] = "failed".into();
        let state = json::to_value(&Fleet::advisory(json!([result])).state());
        let candidate = &state["candidates"][0];
        assert!(candidate.get("traceId").is_some(), "present as null");
        let found = json!([
            candidate["traceId"],
            candidate["runId"],
            candidate["evidenceAt"]
        ]);
        assert_eq!(found, expected, "{given}");
    }
}

#[test]
fn ranks_put_severity_first_then_certainty_then_freshness_then_the_loop() {
    let results = json!([
        {"loopId": "a", "healthStatus": "degraded", "timestamp": "2031-01-09T00:00:00Z"},
        {"loopId": "b", "healthStatus": "critical", "timestamp": "2031-01-01T00:00:00Z"},
        {"loopId": "c", "healthStatus": "critical", "timestamp": "2031-01-02T00:00:00Z"},
        {"loopId": "d", "healthStatus": "critical"},
        {"loopId": "e", "healthStatus": "critical", "timestamp": "2031-01-02T00:00:00Z"},
    ]);
    let state = Fleet::advisory(results).state();
    let ranks: Vec<_> = state
        .candidates
        .iter()
        .map(|c| (c.loop_id.as_str(), c.rank))
        .collect();
    assert_eq!(ranks, [("a", 5), ("b", 3), ("c", 1), ("d", 4), ("e", 2)]);
}

#[test]
fn what_a_fleet_state_without_members_means() {
    for state in [
        json!(null),
        json!({}),
        json!({"results": null, "fleetId": false, "status": false}),
    ] {
        let fleet = read(&state).expect("is empty");
        assert_eq!(
            (
                fleet.fleet_id.as_str(),
                fleet.status.as_str(),
                fleet.trace_id
            ),
            ("default", "unknown", None)
        );
        assert_eq!((fleet.evaluated_loop_count, fleet.results.len()), (0, 0));
    }
    let numbers = read(&json!({"traceId": 5, "fleetId": ""})).expect("is read");
    assert_eq!(
        (numbers.trace_id.as_deref(), numbers.fleet_id.as_str()),
        (Some("5"), "")
    );
}

#[test]
fn null_results_are_counted_and_otherwise_ignored() {
    let state = Fleet::advisory(json!([null, {"loopId": "l", "status": "failed"}, null])).state();
    assert_eq!((state.evaluated_loop_count, state.candidate_count), (3, 1));
}

#[test]
fn a_fleet_state_of_another_shape_is_refused_by_member() {
    for (state, message) in [
        (json!([]), "document is an array, expected an object"),
        (json!("x"), "document is a string, expected an object"),
        (json!(true), "document is a boolean, expected an object"),
        (
            json!({"results": "x"}),
            "results is a string, expected an array",
        ),
        (
            json!({"results": [["l", "failed"]]}),
            "results[0] is an array, expected an object",
        ),
        (
            json!({"results": [{}, 5]}),
            "results[1] is a number, expected an object",
        ),
    ] {
        let error = read(&state).expect_err("is refused");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn only_a_result_that_yields_a_candidate_needs_a_loop() {
    let healthy = json!([{"status": "success"}, {"loopId": 5}]);
    assert_eq!(ids(healthy), Vec::<String>::new());
    let fleet =
        read(&json!({"results": [{}, {"loopId": 5, "status": "failed"}]})).expect("is read");
    let error = om_policy::candidates::derive(&fleet.results).expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "results[1].loopId is missing or of another type, expected a string"
    );
}

#[test]
fn what_is_unusual_is_read_as_well() {
    for text in [
        r#"{"results":[{"loopId":"x","loopId":"l","status":"failed"}],"results":null,"results":[{"loopId":"l","status":"failed"}]}"#,
        r#"{"results":[{"loopId":"l","status":"failed"}],"fleetId":"a","fleetId":"default"}"#,
        " {\n\"results\":[null,{\"loopId\":\"l\",\"status\":\"failed\"}] }\n",
    ] {
        let fleet = FleetView::read(text.as_bytes()).expect("is read");
        let found = om_policy::candidates::derive(&fleet.results).expect("named");
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(
            (found[0].loop_id, fleet.fleet_id.as_str()),
            ("l", "default"),
            "{text}"
        );
    }
    for (text, message) in [
        ("", "it is empty"),
        ("{} {}", "more than one JSON document (line 1 column 4)"),
        ("[[],[],[],[]]", "document is an array, expected an object"),
    ] {
        let error = FleetView::read(text.as_bytes()).expect_err("is refused");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn every_category_has_its_kind() {
    for kind in &TAXONOMY {
        assert_eq!(Kind::of(kind.category).category, kind.category);
    }
    assert_eq!(TAXONOMY.len(), Category::ALL.len());
}
