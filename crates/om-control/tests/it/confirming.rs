//! Is the effect of an intent visible? (chapter 03 §3.2)

use std::time::Duration;

use om_control::confirm::{Observation, confirm};
use om_model::control::{ConfirmReason as R, Intent};
use om_model::json;
use serde_json::json;

use crate::support::{Repo, TestClock};

fn observation(
    status: &str,
    event: &str,
    approval: &str,
    active: bool,
    completed: bool,
) -> Observation {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Observation {
        status: status.to_owned(),
        last_event: text(event),
        approval_status: text(approval),
        active,
        completed,
    }
}

#[test]
fn what_shows_the_effect_of_each_intent() {
    use Intent::{Approve, Cancel, Reject};
    let inactive = Some(R::InactiveNotRunning);
    let complete = Some(R::CompletionObserved);
    let rejected = Some(R::RejectionObserved);
    for (intent, status, event, approval, active, completed, seen) in [
        (Cancel, "unknown", "", "", false, false, inactive),
        (
            Cancel,
            "awaiting_approval",
            "",
            "pending",
            false,
            false,
            inactive,
        ),
        (Cancel, "running", "", "", false, false, None),
        (Cancel, "idle", "", "", true, false, None),
        (Approve, "idle", "", "", true, true, complete),
        (Approve, "complete", "", "", false, false, complete),
        (
            Approve,
            "unknown",
            "loop_complete",
            "",
            false,
            false,
            complete,
        ),
        (
            Approve,
            "unknown",
            "approval_decision",
            "approved",
            false,
            false,
            None,
        ),
        (Reject, "unknown", "", "rejected", false, false, rejected),
        (
            Reject,
            "unknown",
            "approval_rejected",
            "",
            false,
            false,
            rejected,
        ),
        (
            Reject,
            "unknown",
            "approval_decision",
            "approved",
            false,
            false,
            rejected,
        ),
        (
            Reject,
            "awaiting_approval",
            "approval_requested",
            "pending",
            false,
            false,
            None,
        ),
    ] {
        let seen_now = observation(status, event, approval, active, completed).effect_of(intent);
        assert_eq!(seen_now, seen, "{intent:?} {status} {event} {approval}");
    }
}

#[test]
fn what_is_read_of_a_snapshot() {
    let full = json!({
        "run": {"status": "complete", "summary": {"completion_ok": true}},
        "health": {"lastEventName": "loop_complete"},
        "runtime": {"approval": {"status": "approved"}, "superloopState": {"active": true}},
    });
    let expected = observation("complete", "loop_complete", "approved", true, true);
    assert_eq!(Observation::read(&full), Some(expected));
    let text = json!({"run": {"summary": {"completion_ok": "true"}}});
    assert_eq!(
        Observation::read(&text),
        Some(observation("unknown", "", "", false, true))
    );
    let nothing = json!({"run": null, "runtime": {"superloopState": null, "approval": null}});
    assert_eq!(Observation::read(&nothing), Some(Observation::default()));
}

#[test]
fn what_is_no_snapshot_is_no_observation() {
    for unusable in [
        json!(null),
        json!([]),
        json!("text"),
        json!({"run": "text"}),
        json!({"runtime": {"superloopState": {"active": "yes"}}}),
        json!({"runtime": {"superloopState": 7}}),
    ] {
        assert_eq!(Observation::read(&unusable), None, "{unusable}");
    }
}

#[test]
fn the_first_look_is_immediate() {
    let repo = Repo::new();
    repo.superloop("state.json", r#"{"active":false}"#);
    let clock = TestClock::default();
    let verdict = confirm(
        &repo.confirm_request(Intent::Cancel),
        &clock,
        &mut |_, _| {},
    );
    insta::assert_snapshot!(json::pretty(&verdict));
}

#[test]
fn an_effect_that_comes_late_is_seen() {
    let repo = Repo::new();
    let state = repo.path().join(".superloop/state.json");
    let clock = TestClock::with(move |passed| {
        if passed >= Duration::from_secs(4) && state.exists() {
            std::fs::remove_file(&state).expect("cancelled");
        }
    });
    let mut looks = Vec::new();
    let verdict = confirm(
        &repo.confirm_request(Intent::Cancel),
        &clock,
        &mut |attempt, seen| {
            looks.push((attempt, seen.active));
        },
    );
    assert!(verdict.confirmed);
    assert_eq!(looks, [(1, true), (2, true), (3, false)]);
}

#[test]
fn looking_ends_after_the_timeout_and_the_last_pause_is_whole() {
    let repo = Repo::new();
    for (timeout, interval, attempts, seconds) in [
        (0, 2, 1, 0),
        (5, 2, 4, 6),
        (4, 2, 3, 4),
        (2, 0, 3, 2),
        (1, 10, 2, 10),
    ] {
        let mut request = repo.confirm_request(Intent::Approve);
        request.timeout_seconds = timeout;
        request.interval_seconds = interval;
        let clock = TestClock::default();
        let verdict = confirm(&request, &clock, &mut |_, _| {});
        assert!(!verdict.confirmed);
        assert_eq!(verdict.reason, R::Timeout);
        assert_eq!(
            verdict.attempts, attempts,
            "timeout {timeout} interval {interval}"
        );
        let slept = om_control::Clock::elapsed(&clock).as_secs();
        assert_eq!(slept, seconds, "timeout {timeout} interval {interval}");
    }
}

#[test]
fn a_loop_that_cannot_be_seen_is_not_confirmed() {
    let repo = Repo::new();
    let mut request = repo.confirm_request(Intent::Cancel);
    request.loop_id = om_model::LoopId::new("never-started").expect("a good id");
    request.timeout_seconds = 0;
    let verdict = confirm(&request, &TestClock::default(), &mut |_, _| {});
    assert_eq!((verdict.confirmed, verdict.attempts), (false, 1));
    assert_eq!(verdict.observed_status, "unknown");
}

#[test]
fn a_document_caught_while_it_is_rewritten_is_read_again() {
    let repo = Repo::new();
    repo.superloop("state.json", r#"{"active": fa"#);
    let state = repo.path().join(".superloop/state.json");
    let clock = TestClock::with(move |_| {
        std::fs::write(&state, r#"{"active":false}"#).expect("rewritten");
    });
    let mut request = repo.confirm_request(Intent::Cancel);
    request.timeout_seconds = 0;
    assert!(confirm(&request, &clock, &mut |_, _| {}).confirmed);
}

#[test]
fn every_sample_is_seen_as_its_snapshot_shows_it() {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/runtime");
    let mut seen = Vec::new();
    for sample in std::fs::read_dir(samples).expect("samples") {
        let repo = sample.expect("a sample").path();
        for folder in std::fs::read_dir(repo.join(".superloop/loops")).expect("loops") {
            let name = folder
                .expect("a loop")
                .file_name()
                .into_string()
                .expect("UTF-8");
            let loop_id = om_model::LoopId::new(name).expect("a good id");
            let layout = om_store::RepoLayout::new(repo.clone());
            let request = om_transport::SnapshotRequest {
                context: om_transport::SnapshotContext {
                    now: om_model::Timestamp::EPOCH,
                    trace_id: None,
                    run_id: None,
                },
                known: None,
            };
            let snapshot = om_transport::LocalTransport::new(&layout, &loop_id)
                .snapshot(&request)
                .expect("a snapshot");
            let expected = Observation::read(&json::to_value(&snapshot)).expect("usable");
            let request = om_control::confirm::ConfirmRequest {
                layout,
                loop_id,
                intent: Intent::Cancel,
                timeout_seconds: 0,
                interval_seconds: 1,
                snapshot_hook: None,
            };
            confirm(&request, &TestClock::default(), &mut |_, observed| {
                assert_eq!(*observed, expected);
                seen.push(observed.status.clone());
            });
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
}
