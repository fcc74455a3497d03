//! What becomes of one loop's stage (chapter 05 §2.4 rows 1–5; decision D11).

use om_fleet::outcome::{NotStarted, Outcome, StageEnd, admit, classify};
use om_http::{Secret, Secrets};
use om_model::fleet::registry::FleetLoop;
use om_model::fleet::state::LoopStatus;
use serde_json::{Value, json};

use crate::support::{entry, on_sprite};

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("s3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// What a case changes in a loop that can be passed.
type Change = fn(&mut FleetLoop);

/// The token, or why the stage is not started.
type Admission = Result<Option<&'static str>, NotStarted>;

#[test]
fn a_stage_is_only_started_for_what_can_be_passed() {
    let with = |change: Change| {
        let mut entry = on_sprite("l", "http://h");
        change(&mut entry);
        admit(&entry, environment).map(|token| token.map(|t| t.expose().to_owned()))
    };
    let cases: [(&str, Change, Admission); 9] = [
        ("nothing missing", |_| {}, Ok(None)),
        (
            "a disabled loop, whatever else is missing",
            |entry| {
                entry.enabled = false;
                entry.service.base_url = None;
            },
            Err(NotStarted::LoopDisabled),
        ),
        (
            "no base URL",
            |entry| entry.service.base_url = None,
            Err(NotStarted::MissingServiceBaseUrl),
        ),
        (
            "an empty base URL, before the token",
            |entry| {
                entry.service.base_url = Some(json!(""));
                entry.service.token_env = Some("UNSET".into());
            },
            Err(NotStarted::MissingServiceBaseUrl),
        ),
        (
            "a token",
            |entry| entry.service.token_env = Some("TOKEN".into()),
            Ok(Some("s3cret")),
        ),
        (
            "an unset variable",
            |entry| entry.service.token_env = Some("UNSET".into()),
            Err(NotStarted::MissingServiceTokenEnv),
        ),
        (
            "an empty variable",
            |entry| entry.service.token_env = Some("EMPTY".into()),
            Err(NotStarted::MissingServiceTokenEnv),
        ),
        (
            "a name that is none is looked up literally",
            |entry| entry.service.token_env = Some("a[$(touch x)]".into()),
            Err(NotStarted::MissingServiceTokenEnv),
        ),
        (
            "an empty name",
            |entry| entry.service.token_env = Some(String::new()),
            Err(NotStarted::MissingServiceTokenEnv),
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(
            with(change),
            expected.map(|t| t.map(str::to_owned)),
            "{name}"
        );
    }
}

#[test]
fn a_local_loop_needs_no_base_url_but_the_token_that_it_names() {
    let mut local = entry("l");
    assert!(admit(&local, environment).is_ok());
    local.service.token_env = Some("UNSET".into());
    assert!(matches!(
        admit(&local, environment),
        Err(NotStarted::MissingServiceTokenEnv)
    ));
}

#[test]
fn a_loop_that_is_not_started_is_recorded_with_its_reason() {
    for (cause, status, code) in [
        (
            NotStarted::LoopDisabled,
            LoopStatus::Skipped,
            "loop_disabled",
        ),
        (
            NotStarted::MissingServiceBaseUrl,
            LoopStatus::Failed,
            "missing_service_base_url",
        ),
        (
            NotStarted::MissingServiceTokenEnv,
            LoopStatus::Failed,
            "missing_service_token_env",
        ),
    ] {
        let outcome = Outcome::from(cause);
        assert_eq!(outcome.status, status);
        assert_eq!(outcome.reason_code.as_deref(), Some(code));
        assert_eq!(outcome.health_status, "unknown");
        assert_eq!(outcome.output_excerpt.as_deref(), Some(" "));
        assert!(outcome.health_reason_codes.is_empty() && outcome.transition_state.is_none());
    }
}

/// Status, reason, health, codes, transition.
type Verdict<'a> = (
    LoopStatus,
    Option<&'a str>,
    &'a str,
    &'a [&'a str],
    Option<&'a str>,
);

fn verdict_is(outcome: &Outcome, expected: Verdict<'_>, case: &str) {
    let (status, reason, health, codes, transition) = expected;
    assert_eq!(outcome.status, status, "{case}");
    assert_eq!(outcome.reason_code.as_deref(), reason, "{case}");
    assert_eq!(outcome.health_status, health, "{case}");
    assert_eq!(outcome.health_reason_codes, codes, "{case}");
    assert_eq!(outcome.transition_state.as_deref(), transition, "{case}");
    assert_eq!(
        outcome.output_excerpt.is_none(),
        status == LoopStatus::Success,
        "{case}"
    );
}

const OBSERVED: Verdict<'_> = (LoopStatus::Success, None, "unknown", &[], None);
const LOST: Verdict<'_> = (
    LoopStatus::Failed,
    Some("reconcile_failed"),
    "unknown",
    &[],
    None,
);

#[test]
fn exit_0_with_one_document_is_a_success() {
    let state = r#"{"health": {"status": "critical", "reasonCodes": ["b", "a"]},
        "transition": {"currentState": "running"}, "run": {"runId": "r7"}}"#;
    let success: Verdict<'_> = (
        LoopStatus::Success,
        None,
        "critical",
        &["b", "a"],
        Some("running"),
    );
    let cases: [(&str, Verdict<'_>); 10] = [
        (state, success),
        ("{}", OBSERVED),
        ("null", OBSERVED),
        ("[1]\n\n", OBSERVED),
        ("7", OBSERVED),
        (r#"{"health": "fine"}"#, OBSERVED),
        (
            r#"{"health": {"status": false, "reasonCodes": null}, "transition": {"currentState": ""}}"#,
            OBSERVED,
        ),
        (
            r#"{"health": {"status": "healthy"}, "transition": "x"}"#,
            OBSERVED,
        ),
        (
            "warning: slow disk\n{\"health\": {\"status\": \"healthy\"}}\n",
            OBSERVED,
        ),
        ("[warn] slow disk\n{\n  \"health\": {}\n}\n", OBSERVED),
    ];
    for (text, expected) in cases {
        verdict_is(
            &classify(&StageEnd::text(0, text), &Secrets::default()),
            expected,
            text,
        );
    }
    let outcome = classify(&StageEnd::text(0, state), &Secrets::default());
    assert_eq!(outcome.run_id.as_deref(), Some("r7"));
}

#[test]
fn exit_0_without_exactly_one_document_is_no_success() {
    for text in [
        "",
        " \n\t\n",
        "done",
        "{} {}",
        "{}\n{}",
        "{} trailing",
        "7 seven",
        "warning\n{}\n{}",
        "warning\n{\"half\":",
    ] {
        verdict_is(
            &classify(&StageEnd::text(0, text), &Secrets::default()),
            LOST,
            text,
        );
    }
}

fn failed<'a>(reason: &'a str, health: &'a str, codes: &'a [&'a str]) -> Verdict<'a> {
    (LoopStatus::Failed, Some(reason), health, codes, None)
}

#[test]
fn a_failure_is_told_by_its_document_or_its_words() {
    let cases: [(i32, &str, Verdict<'_>); 12] = [
        (
            1,
            r#"{"status":"degraded","reasonCodes":["transport_unreachable"]}"#,
            failed(
                "transport_unreachable",
                "degraded",
                &["transport_unreachable"],
            ),
        ),
        (
            1,
            "noise\n{\"status\":\"critical\",\"reasonCodes\":[\"projection_failed\"]}\n \n",
            failed("projection_failed", "critical", &["projection_failed"]),
        ),
        (
            1,
            "{\"status\":\"critical\"}\nerror: connection refused",
            failed("transport_unreachable", "unknown", &[]),
        ),
        (
            1,
            r#"{"transport":{"failureCode":"disk_full"}}"#,
            failed("disk_full", "unknown", &[]),
        ),
        (1, r#"["x"]"#, LOST),
        (1, "7", LOST),
        (
            1,
            "error: missing required artifact",
            failed("missing_runtime_artifacts", "unknown", &[]),
        ),
        (2, "error: what now", LOST),
        (137, "", LOST),
        (127, "hook: No such file or directory", LOST),
        (
            1,
            "{\"reasonCodes\":[\"transport_unreachable\"]}\n{\"reasonCodes\":[\"transport_unreachable\"]}",
            LOST,
        ),
        (
            1,
            r#"{"status":"degraded","reasonCodes":["ingest_stale"],"note":"Invalid JSON"}"#,
            failed("invalid_transport_payload", "degraded", &["ingest_stale"]),
        ),
    ];
    for (code, text, expected) in cases {
        verdict_is(
            &classify(&StageEnd::text(code, text), &Secrets::default()),
            expected,
            text,
        );
    }
}

#[test]
fn a_built_in_stage_is_judged_as_its_command_would_be() {
    let health: Value = json!({"status": "degraded", "reasonCodes": ["transport_unreachable"],
        "transport": {"failureCode": "snapshot_unavailable"}});
    let built_in = classify(
        &StageEnd::document(false, health.clone()),
        &Secrets::default(),
    );
    let command = classify(
        &StageEnd::text(1, format!("{health}\n").into_bytes()),
        &Secrets::default(),
    );
    assert_eq!(built_in.reason_code, command.reason_code);
    assert_eq!(built_in.health_reason_codes, command.health_reason_codes);
    assert_eq!(
        built_in.output_excerpt.as_deref(),
        Some(format!("{health} ").as_str())
    );
}

#[test]
fn a_pass_whose_time_is_up_is_a_failure_of_its_own() {
    let outcome = classify(&StageEnd::timed_out("half of it\n"), &Secrets::default());
    let expected = (
        LoopStatus::Failed,
        Some("reconcile_timeout"),
        "unknown",
        &[][..],
        None,
    );
    verdict_is(&outcome, expected, "timed out");
    assert_eq!(outcome.output_excerpt.as_deref(), Some("half of it "));
}

#[test]
fn a_token_never_gets_into_the_excerpt() {
    let token = Secret::new("tok-123456");
    let said = StageEnd::text(1, "called with --service-token tok-123456\n");
    let excerpt = classify(&said, &Secrets::new([token]))
        .output_excerpt
        .expect("a failure");
    assert!(!excerpt.contains("tok-123456"), "{excerpt}");
    assert!(
        excerpt.starts_with("called with --service-token"),
        "{excerpt}"
    );
}
