//! Trees that are not as they should be.

use std::fs;
use std::os::unix::fs::symlink;

use om_model::envelope::RunStatus;
use om_transport::log::{EventLog, Prefix, Progress};
use om_transport::{LocalTransport, ObserveError};

use crate::support::{Repo, behind, event, from_start, loop_id, poll, snapshot_request};

/// What a snapshot and a poll say; they must agree.
fn both_say(repo: &Repo) -> String {
    let snapshot = repo.snapshot().expect_err("no snapshot");
    let events = repo.observe(&from_start()).expect_err("no events");
    assert_eq!(snapshot.to_string(), events.to_string());
    repo.said(&snapshot)
}

#[test]
fn a_missing_loop_directory() {
    let repo = Repo::new();
    let missing = || LocalTransport::new(&repo.layout(), &loop_id("other"));
    let said = "required artifact root missing: <repo>/.superloop/loops/other";
    let snapshot = missing()
        .snapshot(&snapshot_request(None))
        .expect_err("missing");
    assert_eq!(repo.said(&snapshot), said);
    let poll = poll(&mut missing(), &behind(b"{"));
    assert_eq!(repo.said(&poll.outcome.expect_err("missing")), said);
}

#[test]
fn a_file_in_place_of_the_loop_directory() {
    let repo = Repo::new();
    fs::remove_dir_all(repo.file("loops/nightly")).expect("removed");
    repo.write("loops/nightly", "");
    assert_eq!(
        both_say(&repo),
        "required artifact root missing: <repo>/.superloop/loops/nightly"
    );
}

#[test]
fn a_missing_event_log_and_a_directory_in_its_place() {
    let repo = Repo::new();
    fs::remove_file(repo.events()).expect("removed");
    let said = "required artifact missing: <repo>/.superloop/loops/nightly/events.jsonl";
    assert_eq!(both_say(&repo), said);
    fs::create_dir(repo.events()).expect("created");
    assert_eq!(both_say(&repo), said);
}

#[test]
fn a_missing_log_is_reported_before_a_broken_cursor() {
    let repo = Repo::new();
    let broken = behind(b"{");
    let cursor = repo.observe(&broken).expect_err("broken");
    assert!(matches!(cursor.error, ObserveError::Cursor(_)));
    fs::remove_file(repo.events()).expect("removed");
    let missing = repo.observe(&broken).expect_err("missing");
    assert!(matches!(
        missing.error,
        ObserveError::ArtifactMissing { .. }
    ));
}

/// The documents besides the log, below `.superloop`.
const DOCUMENTS: [&str; 5] = [
    "state.json",
    "active-run.json",
    "loops/nightly/approval.json",
    "loops/nightly/run-summary.json",
    "loops/nightly/heartbeat.v1.json",
];

#[test]
fn a_directory_in_place_of_a_document_is_no_document() {
    let repo = Repo::new();
    let without = repo.snapshot().expect("a snapshot");
    for name in DOCUMENTS {
        fs::create_dir(repo.file(name)).expect("created");
    }
    assert_eq!(repo.snapshot().expect("a snapshot"), without);
}

#[test]
fn a_document_that_is_empty_truncated_or_garbage_fails_by_its_path() {
    for name in DOCUMENTS {
        for content in [&b""[..], b"{\"a\":", b"\0\0", b"\xff", b"{} {}"] {
            let repo = Repo::new();
            repo.write(name, content);
            let said = repo.said(&repo.snapshot().expect_err("broken"));
            let expected = format!("invalid JSON in <repo>/.superloop/{name}: ");
            assert!(said.starts_with(&expected), "{said}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_cause() {
    for name in DOCUMENTS {
        let repo = Repo::new();
        symlink(repo.file(name), repo.file(name)).expect("a link to itself");
        let said = repo.said(&repo.snapshot().expect_err("unreadable"));
        assert!(
            said.starts_with(&format!("cannot read <repo>/.superloop/{name}: ")),
            "{said}"
        );
    }
}

#[test]
fn a_symlink_stands_for_its_file_and_a_dangling_one_for_nothing() {
    let repo = Repo::new();
    repo.write(
        "elsewhere.json",
        r#"{"active":true,"current_loop_id":"nightly"}"#,
    );
    repo.write("elsewhere.jsonl", event(1) + "\n");
    fs::remove_file(repo.events()).expect("removed");
    symlink(repo.file("elsewhere.jsonl"), repo.events()).expect("linked");
    symlink(repo.file("elsewhere.json"), repo.file("state.json")).expect("linked");
    symlink(repo.file("nowhere"), repo.file("active-run.json")).expect("linked");
    let envelope = repo.snapshot().expect("a snapshot");
    assert_eq!(envelope.run.status, RunStatus::Running);
    assert_eq!(envelope.health.event_count, 1);
    let state = envelope.artifacts.state;
    assert_eq!(
        (state.path.as_str(), state.exists),
        (".superloop/state.json", true)
    );
    assert!(!envelope.artifacts.active_run.exists);
    assert_eq!(repo.poll(&from_start()).numbers(), [1]);
}

#[test]
fn an_empty_last_line_fails_the_snapshot_but_not_the_poll() {
    let repo = Repo::with_lines([&event(1), ""]);
    let said = repo.said(&repo.snapshot().expect_err("an empty last line"));
    assert_eq!(
        said,
        "invalid JSON in final events line: \
         <repo>/.superloop/loops/nightly/events.jsonl: line 2: it is empty"
    );
    assert_eq!(repo.poll(&from_start()).numbers(), [1]);
}

#[test]
fn a_huge_line_is_an_ordinary_line() {
    let huge = format!(
        r#"{{"timestamp":"t","event":"big","data":"{}"}}"#,
        "x".repeat(3 * 1024 * 1024)
    );
    let repo = Repo::with_lines([&event(1), &huge]);
    let envelope = repo.snapshot().expect("a snapshot");
    assert_eq!(envelope.health.last_event_name.as_deref(), Some("big"));
    let observed = repo.observe(&from_start()).expect("events");
    assert_eq!(observed.batch.sequence.last, Some(2));
    assert_eq!(repo.poll(&from_start()).numbers(), [1, 2]);
}

#[test]
fn a_huge_unterminated_tail_is_not_there_yet() {
    let repo = Repo::with_lines([event(1)]);
    repo.append(vec![b'x'; 1024 * 1024]);
    let envelope = repo.snapshot().expect("a snapshot");
    assert_eq!(envelope.health.last_event_name.as_deref(), Some("tick"));
    assert_eq!(repo.poll(&from_start()).numbers(), [1]);
}

#[test]
fn the_evidence_covers_the_whole_file_including_an_unterminated_tail() {
    let repo = Repo::with_lines([event(1)]);
    repo.append("{\"unfinished");
    let bytes = fs::read(repo.events()).expect("the log");
    let events = repo.snapshot().expect("a snapshot").artifacts.events;
    assert_eq!(
        (events.size_bytes, events.line_count),
        (bytes.len() as u64, 1)
    );
    let digest = om_store::digest(&bytes).to_string();
    assert_eq!(events.sha256, Some(digest));
}

#[test]
fn an_empty_existing_file_has_the_digest_of_nothing() {
    let events = Repo::new().snapshot().expect("a snapshot").artifacts.events;
    assert!(events.exists && events.mtime_epoch.is_some());
    let nothing = om_store::digest(b"").to_string();
    assert_eq!((events.size_bytes, events.sha256), (0, Some(nothing)));
}

#[test]
fn invalid_utf8_is_read_as_the_replacement_character() {
    let repo = Repo::new();
    repo.append(b"{\"timestamp\":\"t\",\"event\":\"a\xff\"}\n");
    let envelope = repo.snapshot().expect("a snapshot");
    assert_eq!(
        envelope.health.last_event_name.as_deref(),
        Some("a\u{fffd}")
    );
    assert_eq!(
        repo.poll(&from_start()).envelopes[0].event.name,
        "a\u{fffd}"
    );
    assert!(repo.observe(&from_start()).is_ok());
}

#[test]
fn nul_bytes_in_the_log_fail_by_line() {
    let repo = Repo::with_lines([&event(1), "\0\0\0"]);
    let said = repo.said(&repo.observe(&from_start()).expect_err("NUL bytes"));
    assert!(
        said.starts_with("invalid JSON event at line 2 in <repo>"),
        "{said}"
    );
    let said = repo.said(&repo.snapshot().expect_err("NUL bytes"));
    assert!(
        said.starts_with("invalid JSON in final events line: <repo>"),
        "{said}"
    );
}

#[test]
fn a_log_that_shrinks_while_it_is_read_is_not_half_observed() {
    let repo = Repo::with_lines((1..=3).map(event));
    let log = EventLog::open(&repo.events()).expect("opened");
    fs::write(repo.events(), event(1) + "\n").expect("truncated");
    let scan = log.scan(Prefix::default(), &mut Progress::silent());
    let said = repo.said(&scan.err().expect("it shrank"));
    assert_eq!(
        said,
        "cannot read <repo>/.superloop/loops/nightly/events.jsonl: \
         it shrank while it was being read; try again"
    );
}
