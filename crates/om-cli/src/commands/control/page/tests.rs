use om_model::control::ControlRequestSettings;
use om_model::{LoopId, TraceId};
use om_store::RepoLayout;

use super::*;

fn request() -> ControlRequest {
    ControlRequest {
        layout: RepoLayout::new("/srv/my app".into()),
        loop_id: LoopId::new("nightly").expect("a good id"),
        intent: Intent::Reject,
        requested_by: "dana".to_owned(),
        note: Some("not yet\u{1b}[2J".to_owned()),
        trace_id: TraceId::new("tr-77").expect("not empty"),
        idempotency_key: None,
        settings: ControlRequestSettings {
            do_confirm: true,
            timeout_seconds: 90,
            interval_seconds: 2,
            retry_attempts: 3,
            retry_backoff_seconds: 1,
            runtime_timeout_seconds: Some(120),
            force_target: false,
        },
    }
}

fn row(members: &str) -> IntentRow {
    let common = r#"{"timestamp":"2031-04-02T09:15:11Z","loopId":"nightly","intent":"cancel",
        "traceId":"tr-77","requestedBy":"dana","transport":"local","command":"superloop.sh",
        "idempotencyKey":"k","exitCode":0,"confirmExitCode":0,"confirmed":false,"#;
    let row = json::parse(format!("{common}{members}}}").as_bytes()).expect("JSON");
    serde_json::from_value(row).expect("a row")
}

fn concluded(members: &str) -> String {
    let outcome = ControlOutcome {
        row: row(members),
        diagnostics: None,
    };
    conclusion(&request(), &outcome, Look::PLAIN)
}

#[test]
fn it_says_what_it_is_about_to_do() {
    let command = "superloop.sh approve --repo /srv/my\\ app --loop nightly --by dana --reject";
    insta::assert_snapshot!(announcement(&request(), command, Look::PLAIN));
}

#[test]
fn it_ends_with_a_sentence_and_the_evidence() {
    insta::assert_snapshot!(concluded(
        r#""status":"confirmed","commandOutput":"not shown""#
    ));
}

#[test]
fn a_failure_shows_what_was_printed_but_not_to_the_terminal() {
    insta::assert_snapshot!(concluded(
        r#""status":"failed_command","exitCode":3,"commandOutput":"no\u001b[2J such\n\nloop""#
    ));
}

#[test]
fn every_outcome_has_its_sentence() {
    for (members, tone, start) in [
        (r#""status":"confirmed""#, Tone::Good, "Cancelled:"),
        (
            r#""status":"executed_unconfirmed""#,
            Tone::Good,
            "The command succeeded. Nobody",
        ),
        (
            r#""status":"ambiguous","confirm":{"observedStatus":"running"}"#,
            Tone::Warning,
            "The command succeeded, but its effect was not seen (the loop is running).",
        ),
        (
            r#""status":"ambiguous","exitCode":124"#,
            Tone::Warning,
            "The command exceeded its time limit, and its effect was not seen.",
        ),
        (
            r#""status":"ambiguous","exitCode":2"#,
            Tone::Warning,
            "The service cannot tell whether it worked",
        ),
        (
            r#""status":"failed_command","exitCode":3"#,
            Tone::Bad,
            "Failed with exit code 3.",
        ),
        (
            r#""status":"failed_command","reasonCode":"control_target_mismatch""#,
            Tone::Bad,
            "Refused; nothing was executed.",
        ),
        (
            r#""status":"odd""#,
            Tone::Warning,
            "The service answered with a status of its own: odd.",
        ),
    ] {
        let (found, text) = sentence(&row(members));
        assert_eq!(found, tone, "{members}");
        assert!(text.starts_with(start), "{members}: {text}");
    }
}
