//! Chapter 02 §5.

use om_model::drift::{Confidence, SummarySource, TelemetrySummary};
use om_model::json;
use om_reconcile::telemetry::{
    RecentPasses, SummaryError, SummaryInputs, summarize, summarize_recent,
};
use om_store::{Fold, Row};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{loop_id, now};

fn rows(lines: &[String]) -> Vec<Row> {
    let mut offset = 0;
    let rows = lines.iter().map(|line| {
        let row = Row {
            bytes: line.clone().into_bytes(),
            offset,
        };
        offset += line.len() as u64 + 1;
        row
    });
    rows.collect()
}

fn summary_of(reconcile: &[String], control: &[String]) -> Result<TelemetrySummary, SummaryError> {
    summarize(
        &SummaryInputs {
            source: SummarySource {
                repo_path: "/srv/app".to_owned(),
                loop_id: loop_id(),
                reconcile_telemetry_file: "/tel/reconcile.jsonl".to_owned(),
                control_telemetry_file: "/tel/control.jsonl".to_owned(),
                window: 200,
            },
            reconcile: &rows(reconcile),
            control: &rows(control),
        },
        now(),
    )
}

fn summary(reconcile: &[String], control: &[String]) -> TelemetrySummary {
    summary_of(reconcile, control).expect("readable rows")
}

fn pass(status: &str, health: &str, codes: Value, seconds: Value) -> String {
    json!({
        "timestamp": "2031-05-02T08:00:04Z", "status": status, "durationSeconds": seconds,
        "healthStatus": health, "healthReasonCodes": codes,
    })
    .to_string()
}

/// `n` rows with the given number of failed, degraded and critical ones.
fn mixture(n: usize, failed: usize, degraded: usize, critical: usize) -> Vec<String> {
    let row = |index: usize| {
        let status = if index < failed { "failed" } else { "success" };
        let health = match index {
            _ if index < critical => "critical",
            _ if index < critical + degraded => "degraded",
            _ => "healthy",
        };
        pass(status, health, json!([]), json!(1))
    };
    (0..n).map(row).collect()
}

const STRICT: &str = "Observed stable healthy runs; tighten thresholds for faster detection";
const RELAXED: &str = "Observed high critical/failure rates; reduce alert noise while stabilizing";
const MIXED: &str = "Observed mixed signals; keep balanced thresholds";

#[test]
fn the_recommendation_table() {
    for (n, failed, degraded, critical, profile, rationale) in [
        (
            0,
            0,
            0,
            0,
            "balanced",
            "No telemetry window yet; keep balanced defaults",
        ),
        (1, 0, 0, 0, "strict", STRICT),
        (1, 1, 1, 0, "relaxed", RELAXED),
        (1, 0, 1, 0, "balanced", MIXED),
        (5, 0, 0, 1, "relaxed", RELAXED),
        (6, 0, 0, 1, "balanced", MIXED),
        (4, 1, 0, 0, "relaxed", RELAXED),
        (5, 1, 0, 0, "balanced", MIXED),
        (20, 0, 1, 0, "strict", STRICT),
        (19, 0, 1, 0, "balanced", MIXED),
        (50, 1, 0, 0, "strict", STRICT),
        (49, 1, 0, 0, "balanced", MIXED),
    ] {
        let found = summary(&mixture(n, failed, degraded, critical), &[]);
        let case = format!("{n} passes, {failed} failed, {degraded} degraded, {critical} critical");
        assert_eq!(found.recommended_profile, profile, "{case}");
        assert_eq!(found.rationale, rationale, "{case}");
    }
}

#[test]
fn one_ambiguous_control_row_rules_out_strict() {
    for row in [
        json!({"status": "ambiguous"}),
        json!({"status": "failed", "reasonCode": "control_ambiguous"}),
        json!({"reasonCode": "control_ambiguous"}),
        json!({"status": "ambiguous", "reasonCode": "control_ambiguous", "control": {}}),
    ] {
        let found = summary(&mixture(10, 0, 0, 0), &[row.to_string()]);
        assert_eq!(found.observed.control.ambiguous_count, 1, "{row}");
        assert_eq!(found.recommended_profile, "balanced");
    }
    let confirmed = json!({"status": "confirmed", "reasonCode": "control_confirmed"});
    let found = summary(
        &mixture(10, 0, 0, 0),
        &[confirmed.to_string(), "null".to_owned()],
    );
    assert_eq!(found.observed.control.ambiguous_count, 0);
}

#[test]
fn confidence_grows_with_the_window() {
    for (n, confidence) in [
        (0, Confidence::Low),
        (29, Confidence::Low),
        (30, Confidence::Medium),
        (99, Confidence::Medium),
        (100, Confidence::High),
    ] {
        assert_eq!(
            summary(&mixture(n, 0, 0, 0), &[]).confidence,
            confidence,
            "{n}"
        );
    }
}

#[test]
fn rates_are_doubles_in_their_shortest_form() {
    for (n, degraded, written) in [
        (0, 0, "0"),
        (3, 0, "0"),
        (3, 1, "0.3333333333333333"),
        (3, 2, "0.6666666666666666"),
        (4, 1, "0.25"),
        (3, 3, "1"),
    ] {
        let found = summary(&mixture(n, 0, degraded, 0), &[]).observed.health;
        assert_eq!(
            found.degraded_rate.to_string(),
            written,
            "{degraded} of {n}"
        );
    }
}

#[test]
fn reasons_are_ordered_by_count_then_by_code_both_descending() {
    let row = |codes: Value| pass("success", "degraded", codes, json!(1));
    let found = summary(
        &[
            row(json!(["a", "b", "b"])),
            row(json!(["c", "a"])),
            row(json!({"x": "c", "y": 7})),
            row(json!("ignored")),
            row(json!(["d", null, ["e"]])),
        ],
        &[],
    );
    let frequency = json::to_value(&found.observed.health.reason_code_frequency);
    assert_eq!(
        frequency,
        json!([
            {"code": "c", "count": 2},
            {"code": "b", "count": 2},
            {"code": "a", "count": 2},
            {"code": ["e"], "count": 1},
            {"code": "d", "count": 1},
            {"code": 7, "count": 1},
            {"code": null, "count": 1},
        ])
    );
}

#[test]
fn percentiles_take_the_lower_element() {
    let durations = |values: &[Value]| {
        let rows: Vec<String> = values
            .iter()
            .map(|seconds| pass("success", "healthy", json!([]), seconds.clone()))
            .collect();
        json::to_value(&summary(&rows, &[]).observed.duration_seconds)
    };
    for (values, expected) in [
        (vec![], json!({"p50": null, "p95": null, "max": null})),
        (vec![json!(3)], json!({"p50": 3, "p95": 3, "max": 3})),
        (
            vec![json!(9), json!(1)],
            json!({"p50": 1, "p95": 1, "max": 9}),
        ),
        (
            vec![
                json!(4),
                json!("2.5"),
                json!(1.5),
                json!(null),
                json!("x"),
                json!(true),
            ],
            json!({"p50": 2.5, "p95": 2.5, "max": 4}),
        ),
        (
            (1..=21).map(|n| json!(n)).collect(),
            json!({"p50": 11, "p95": 20, "max": 21}),
        ),
    ] {
        assert_eq!(durations(&values), expected);
    }
}

#[test]
fn blank_rows_vanish_and_null_is_an_attempt_without_members() {
    let rows = ["", "  \t", "null"].map(str::to_owned);
    let found = summary(&rows, &rows).observed;
    assert_eq!(found.reconcile_attempts, 1);
    assert_eq!(found.reconcile_success_count, 0);
    assert_eq!(found.health.reason_code_frequency, []);
}

#[test]
fn a_row_is_read_alike_whether_or_not_it_is_our_own() {
    let own = pass("failed", "critical", json!(["a\"b", "ü"]), json!(2));
    let foreign = own.replace("\"durationSeconds\":2", "\"durationSeconds\":\"2\"");
    assert_ne!(own, foreign);
    let (own, foreign) = (summary(&[own], &[]), summary(&[foreign], &[]));
    assert_eq!(own, foreign);
}

#[test]
fn a_row_that_is_no_object_fails_with_file_and_offset() {
    let good = pass("success", "healthy", json!([]), json!(1));
    for bad in [
        "{",
        "nonsense",
        "{} {}",
        "[]",
        "7",
        "\"x\"",
        "true",
        r#"["success"]"#,
    ] {
        let lines = [good.clone(), bad.to_owned()];
        let offset = good.len() + 1;
        let error = summary_of(&lines, &[]).expect_err("a bad row");
        let message = error.to_string();
        let expected = format!("Bad JSON in /tel/reconcile.jsonl at byte {offset}: ");
        assert!(message.starts_with(&expected), "{message:?}");
        let message = error.with_line(2).to_string();
        assert!(message.starts_with("Bad JSON in /tel/reconcile.jsonl at line 2: "));
    }
    let error = summary_of(&[good], &["7".to_owned()]).expect_err("a bad row");
    assert!(
        error
            .to_string()
            .starts_with("Bad JSON in /tel/control.jsonl at byte 0: ")
    );
}

#[test]
fn the_whole_summary() {
    let lines = [
        pass("success", "healthy", json!([]), json!(2)),
        pass(
            "failed",
            "degraded",
            json!(["transport_unreachable"]),
            json!(5),
        ),
        pass(
            "success",
            "critical",
            json!(["ingest_stale", "transport_unreachable"]),
            json!(3),
        ),
    ];
    let control = [json!({"status": "ambiguous"}).to_string()];
    insta::assert_snapshot!(json::pretty(&summary(&lines, &control)));
}

proptest! {
    #[test]
    fn a_pass_gets_the_same_summary_from_the_fold_as_from_the_rows(
        kinds in prop::collection::vec(0..9_u8, 1..320),
        window in 1..=RecentPasses::CAPACITY as u64,
    ) {
        let lines: Vec<String> = kinds.iter().zip(0_u64..).map(|(kind, n)| match kind {
            0 => pass("failed", "critical", json!(["transport_unreachable", "x"]), json!(n % 7)),
            1 => pass("success", "degraded", json!({"a": "x", "b": 3}), json!("2.5")),
            2 => json!({"status": "success", "healthReasonCodes": [null, 1, "x"]}).to_string(),
            3 => "  ".to_owned(),
            4 if n % 97 == 0 => "{".to_owned(),
            _ => pass("success", "healthy", json!([]), json!(n % 3)),
        }).collect();
        let own = Row { bytes: lines[lines.len() - 1].clone().into_bytes(), offset: u64::MAX };
        let mut reconcile = rows(&lines);
        reconcile.pop();
        let mut recent = RecentPasses::default();
        for row in &reconcile {
            recent.add(&row.bytes, row.offset);
        }
        reconcile.push(own.clone());
        let source = SummarySource {
            repo_path: "/srv/app".to_owned(),
            loop_id: loop_id(),
            reconcile_telemetry_file: "/tel/reconcile.jsonl".to_owned(),
            control_telemetry_file: "/tel/control.jsonl".to_owned(),
            window,
        };
        let from = reconcile.len().saturating_sub(usize::try_from(window).expect("small"));
        let inputs = SummaryInputs {
            source: source.clone(),
            reconcile: &reconcile[from..],
            control: &[],
        };
        let by_rows = summarize(&inputs, now());
        prop_assert_eq!(summarize_recent(source, &recent, &own, &[], now()), by_rows);
    }
}
