//! Stages of a confirmation as hooks (chapter 03 §3.1.6, §3.2.6).

use om_control::confirm::confirm;
use om_control::{LocalControl, Transport, TypedNumbers};
use om_model::control::{ControlStatus, Intent};
use om_stage::Hook;
use serde_json::{Value, json};

use crate::support::{Repo, TestClock};

/// The row of a cancel whose confirm stage is this script.
fn confirmed_by(repo: &Repo, hook: Hook) -> om_model::control::IntentRow {
    let mut request = repo.request(Intent::Cancel);
    request.settings.do_confirm = true;
    let local = LocalControl {
        confirm_hook: Some(hook),
        typed: TypedNumbers {
            timeout_seconds: Some("030".to_owned()),
            interval_seconds: None,
        },
        ..repo.runtime("exit 0")
    };
    repo.run(&request, Transport::Local(&local)).row
}

#[test]
fn the_exit_code_of_a_confirm_hook_decides_and_its_document_is_recorded() {
    let repo = Repo::new();
    for (body, status, exit_code, document) in [
        (
            "echo '{\"confirmed\": false}'",
            ControlStatus::Confirmed,
            0,
            Some(json!({"confirmed": false})),
        ),
        (
            "echo '{\"a\":' >&2; echo '1.0}'; exit 7",
            ControlStatus::Ambiguous,
            7,
            Some(json!({"a": 1})),
        ),
        ("exit 0", ControlStatus::Confirmed, 0, None),
        ("echo null", ControlStatus::Confirmed, 0, None),
        ("echo '{} {}'; exit 1", ControlStatus::Ambiguous, 1, None),
        (
            "echo '{}'; echo warning >&2",
            ControlStatus::Confirmed,
            0,
            None,
        ),
        ("echo text; exit 2", ControlStatus::Ambiguous, 2, None),
        ("kill -9 $$", ControlStatus::Ambiguous, 137, None),
    ] {
        let row = confirmed_by(&repo, repo.hook("confirm", body));
        assert_eq!(row.status, status, "{body}");
        assert_eq!(row.confirm_exit_code, exit_code, "{body}");
        assert_eq!(row.confirm, document, "{body}");
    }
}

#[test]
fn a_confirm_hook_that_is_missing_is_ambiguous() {
    let row = confirmed_by(&Repo::new(), Hook::exact("HOOK", "/nowhere/at/all"));
    assert_eq!(
        (row.status, row.confirm_exit_code),
        (ControlStatus::Ambiguous, 127)
    );
}

#[test]
fn a_confirm_hook_gets_its_argv_with_numbers_as_typed() {
    let repo = Repo::new();
    let body = r#"printf '["%s"' "$1"; shift; printf ',"%s"' "$@"; echo ']'"#;
    let row = confirmed_by(&repo, repo.hook("confirm", body));
    let repo = repo.path().display().to_string();
    let argv = json!([
        "--repo",
        repo,
        "--loop",
        "nightly",
        "--intent",
        "cancel",
        "--timeout-seconds",
        "030",
        "--interval-seconds",
        "2"
    ]);
    assert_eq!(row.confirm, Some(argv));
}

#[test]
fn a_snapshot_hook_is_looked_through() {
    let repo = Repo::new();
    let mut request = repo.confirm_request(Intent::Approve);
    request.snapshot_hook = Some(repo.hook(
        "snapshot",
        r#"printf '{"run":{"status":"complete"},"health":{"lastEventName":"%s"}}' "$*""#,
    ));
    let verdict = confirm(&request, &TestClock::default(), &mut |_, _| {});
    assert!(verdict.confirmed);
    let argv = format!("--repo {} --loop nightly", repo.path().display());
    assert_eq!(verdict.observed_last_event.as_deref(), Some(argv.as_str()));
}

#[test]
fn a_snapshot_hook_that_fails_is_no_observation_and_the_next_look_may_succeed() {
    let repo = Repo::new();
    let counter = repo.root().join("count");
    let body = format!(
        r#"echo x >> '{0}'; case $(wc -l < '{0}') in
1) echo '{{}}'; exit 1;;
2) echo text;;
3) echo '[]';;
4) echo '{{}} {{}}';;
5) echo '{{"runtime":{{"superloopState":{{"active":"yes"}}}}}}';;
*) echo '{{"run":{{"status":"idle"}}}}'; echo noise >&2;;
esac"#,
        counter.display()
    );
    let mut request = repo.confirm_request(Intent::Cancel);
    request.timeout_seconds = 60;
    request.snapshot_hook = Some(repo.hook("snapshot", &body));
    let mut seen = Vec::new();
    let verdict = confirm(&request, &TestClock::default(), &mut |_, observed| {
        seen.push(Value::from(observed.status.as_str()));
    });
    assert_eq!((verdict.confirmed, verdict.attempts), (true, 6));
    assert_eq!(
        seen,
        [
            "unknown", "unknown", "unknown", "unknown", "unknown", "idle"
        ]
    );
}
