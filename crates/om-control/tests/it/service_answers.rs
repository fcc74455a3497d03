//! What a service's answer means (chapter 03 §3.1.4 B.5).

use om_control::service::{body, evaluate, total_limit};
use om_http::{Secret, Secrets};
use om_model::control::{
    ConfirmationStatus as C, ControlReasonCode, ControlRequestSettings, ControlStatus as S,
    ExecutionStatus as E, PendingIntent,
};
use om_model::json;
use proptest::prelude::*;
use serde_json::json;

use crate::owners::entry_of;
use crate::support::settings;

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn status_and_confirmation_follow_the_answer() {
    for (answer, status, confirmation, exit_code, confirmed) in [
        (r#"{"ok":true}"#, "confirmed", C::Confirmed, 0, true),
        (
            r#"{"ok":"true","exitCode":"0"}"#,
            "confirmed",
            C::Confirmed,
            0,
            true,
        ),
        (
            r#"{"ok":false,"exitCode":2}"#,
            "ambiguous",
            C::Ambiguous,
            2,
            false,
        ),
        (
            r#"{"ok":false,"exitCode":"2"}"#,
            "ambiguous",
            C::Ambiguous,
            2,
            false,
        ),
        (
            r#"{"ok":false,"exitCode":1}"#,
            "failed_command",
            C::NotAttempted,
            1,
            false,
        ),
        (
            r#"{"exitCode":-15}"#,
            "failed_command",
            C::NotAttempted,
            0,
            false,
        ),
        ("{}", "failed_command", C::NotAttempted, 0, false),
        (
            r#"{"result":null,"ok":true}"#,
            "confirmed",
            C::Confirmed,
            0,
            true,
        ),
        (
            r#"{"ok":true,"result":{"status":""}}"#,
            "confirmed",
            C::Confirmed,
            0,
            true,
        ),
        (
            r#"{"ok":true,"result":{"status":null}}"#,
            "confirmed",
            C::Confirmed,
            0,
            true,
        ),
        (
            r#"{"ok":true,"exitCode":0,"result":{"status":"executed_unconfirmed"}}"#,
            "executed_unconfirmed",
            C::Skipped,
            0,
            false,
        ),
        (
            r#"{"ok":false,"exitCode":2,"result":{"status":"ambiguous","confirm":{"a":1}}}"#,
            "ambiguous",
            C::Ambiguous,
            2,
            false,
        ),
        (
            r#"{"ok":false,"exitCode":1,"result":{"status":"failed_command","confirm":{}}}"#,
            "failed_command",
            C::AttemptedUnknown,
            1,
            false,
        ),
        (
            r#"{"ok":true,"result":{"status":"executed"}}"#,
            "executed",
            C::NotAttempted,
            0,
            false,
        ),
        (
            r#"{"ok":true,"result":{"status":"executed","confirmed":"true","confirm":false}}"#,
            "executed",
            C::AttemptedUnknown,
            0,
            true,
        ),
    ] {
        let outcome = evaluate(answer.as_bytes(), &Secrets::default());
        assert_eq!(outcome.status.as_str(), status, "{answer}");
        assert_eq!(outcome.confirmation, confirmation, "{answer}");
        assert_eq!(outcome.exit_code, exit_code, "{answer}");
        assert_eq!(outcome.confirmed, confirmed, "{answer}");
        let execution = if status == "failed_command" {
            E::FailedCommand
        } else {
            E::Succeeded
        };
        assert_eq!(outcome.execution, execution, "{answer}");
    }
}

#[test]
fn the_confirmations_verdict_is_taken_over() {
    for (result, exit_code, document, attempted) in [
        (
            json!({"confirmExitCode": 7, "confirm": {"a": null}}),
            7,
            Some(json!({"a": null})),
            true,
        ),
        (
            json!({"confirmExitCode": "1", "confirm": null}),
            1,
            None,
            false,
        ),
        (
            json!({"confirmExitCode": false, "confirm": false}),
            0,
            None,
            true,
        ),
        (json!({"confirmExitCode": null}), 0, None, false),
        (json!({"confirmExitCode": 2.0}), 2, None, false),
    ] {
        let answer = json!({"ok": false, "result": result}).to_string();
        let outcome = evaluate(answer.as_bytes(), &Secrets::default());
        assert_eq!(outcome.confirm_exit_code, exit_code, "{result}");
        assert_eq!(outcome.confirm, document, "{result}");
        assert_eq!(outcome.attempted, attempted, "{result}");
    }
}

#[test]
fn the_answer_is_recorded_compactly_in_its_order() {
    let outcome = evaluate(
        b" {\"replayed\" : true,\n \"ok\":true, \"exitCode\":0.0}\n",
        &Secrets::default(),
    );
    assert_eq!(
        outcome.output,
        r#"{"replayed":true,"ok":true,"exitCode":0}"#
    );
    assert!(outcome.replayed);
    assert!(!evaluate(br#"{"ok":true,"replayed":1}"#, &Secrets::default()).replayed);
}

#[test]
fn an_answer_that_cannot_be_used_is_a_failed_command() {
    for (answer, fragment) in [
        ("", "it is empty"),
        ("<html>busy</html>", "<html>busy</html>"),
        ("{} {}", "more than one JSON document"),
        ("[1]", "it is an array"),
        ("null", "it is null"),
        (r#"{"ok":true,"result":"done"}"#, "result is a string"),
        (r#"{"ok":true,"result":[]}"#, "result is an array"),
        (
            r#"{"ok":true,"result":{"confirmExitCode":"x"}}"#,
            "result.confirmExitCode is",
        ),
        (
            r#"{"ok":true,"result":{"confirmExitCode":1.5}}"#,
            "result.confirmExitCode is 1.5",
        ),
        (
            r#"{"ok":true,"result":{"confirmExitCode":{}}}"#,
            "result.confirmExitCode is {}",
        ),
    ] {
        let outcome = evaluate(answer.as_bytes(), &Secrets::default());
        assert_eq!(outcome.status, S::FailedCommand, "{answer}");
        assert_eq!(
            (outcome.exit_code, outcome.confirmed),
            (1, false),
            "{answer}"
        );
        assert_eq!(outcome.confirmation, C::NotAttempted, "{answer}");
        assert!(
            outcome.output.contains(fragment),
            "{answer}: {}",
            outcome.output
        );
    }
}

#[test]
fn a_service_that_refuses_the_target_is_believed() {
    let refused = json!({"ok": false, "exitCode": 1,
        "result": {"status": "failed_command", "reasonCode": "control_target_mismatch"}});
    let outcome = evaluate(refused.to_string().as_bytes(), &Secrets::default());
    assert_eq!(
        outcome.reason_code(),
        Some(ControlReasonCode::ControlTargetMismatch)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_an_outcome(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        evaluate(&bytes, &Secrets::default());
    }

    #[test]
    fn any_result_is_an_outcome(status in ".{0,12}", code in any::<i64>(), ok in any::<bool>()) {
        let answer = json!({"ok": ok, "exitCode": code,
            "result": {"status": status, "confirmExitCode": code}});
        let outcome = evaluate(answer.to_string().as_bytes(), &Secrets::default());
        prop_assert_eq!(outcome.confirm_exit_code, code);
        if !status.is_empty() && status != "null" {
            prop_assert_eq!(outcome.status.as_str(), status.as_str());
        }
    }
}

#[test]
fn the_body_has_the_contracts_members_in_order() {
    let entry = PendingIntent {
        note: Some("a \"note\"".to_owned()),
        requested_by: String::new(),
        ..entry_of(1, None)
    };
    assert_eq!(
        String::from_utf8(body(&entry)).expect("text"),
        r#"{"loopId":"nightly","intent":"cancel","by":"","note":"a \"note\"","traceId":"tr","idempotencyKey":"k","noConfirm":true,"timeoutSeconds":30,"intervalSeconds":2,"runtimeTimeoutSeconds":120}"#
    );
    let mut forced = entry_of(1, None);
    forced.request.do_confirm = true;
    forced.request.force_target = true;
    forced.request.runtime_timeout_seconds = None;
    let read = json::parse(&body(&forced)).expect("JSON");
    assert_eq!(read["forceTarget"], true);
    assert_eq!(read["noConfirm"], false);
    assert!(read.get("note").is_none() && read.get("runtimeTimeoutSeconds").is_none());
}

#[test]
fn the_time_limit_covers_both_sides() {
    let with = |do_confirm, runtime| ControlRequestSettings {
        do_confirm,
        runtime_timeout_seconds: Some(runtime),
        ..settings()
    };
    assert_eq!(total_limit(&with(true, 120)), Some(120 + 32 + 15));
    assert_eq!(total_limit(&with(false, 120)), Some(120 + 15));
    assert_eq!(total_limit(&with(true, 0)), None);
}

#[test]
fn what_a_service_says_is_recorded_without_secrets() {
    let secrets = Secrets::new([Secret::new("t0ken-of-the-sprite"), Secret::new("abc")]);
    for answer in [
        r#"{"ok":true,"a":"x t0ken-of-the-sprite","result":{"status":"abc","confirm":["abc"]}}"#,
        r#"{"ok":true,"result":{"status":"t0ken\u002dof-the-sprite","t0ken-of-the-sprite":1}}"#,
        r#"{"ok":true,"result":{"confirmExitCode":"t0ken-of-the-sprite"}}"#,
        r#"{"ok":true,"result":{"confirmExitCode":["abc"]}}"#,
        "no JSON: t0ken-of-the-sprite abc",
    ] {
        let outcome = evaluate(answer.as_bytes(), &secrets);
        let recorded = format!("{outcome:?}");
        assert!(recorded.contains("[redacted]"), "{recorded}");
        for secret in ["t0ken-of", "of-the-sprite", "abc"] {
            assert!(!recorded.contains(secret), "{recorded}");
        }
    }
    let usual = evaluate(
        br#"{"ok":true,"exitCode":0}"#,
        &Secrets::new([Secret::new("0")]),
    );
    assert_eq!(usual.output, r#"{"ok":true,"exitCode":0}"#);
}
