//! Recognising the log that a cursor was made from (decision D25), and
//! reading only what is new.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use om_model::envelope::{CursorDocument, LogPosition};
use om_transport::cursor::known_position;
use om_transport::{LocalTransport, ObserveError};

use crate::support::{Repo, after, at_most, event, from_start, loop_id, poll, snapshot_request};

const REPLACED: &str = "event log was replaced; reset cursor or use --from-start";

/// A log of about 30 KiB, much longer than the ends that identify it.
fn long_repo() -> Repo {
    Repo::with_lines((1..=200).map(event))
}

fn failure(repo: &Repo, cursor: &CursorDocument) -> String {
    repo.observe(&after(cursor))
        .expect_err("it fails")
        .to_string()
}

/// Replaces the log by a new file with `content`.
fn replace(repo: &Repo, content: impl AsRef<[u8]>) {
    let beside = repo.file("new");
    fs::write(&beside, content).expect("written");
    fs::rename(beside, repo.events()).expect("renamed");
}

fn content(repo: &Repo) -> String {
    fs::read_to_string(repo.events()).expect("the log")
}

#[test]
fn a_log_that_grew_is_the_same_log() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    repo.append(format!("{}\n", event(201)));
    assert_eq!(repo.poll(&after(&cursor)).numbers(), [201]);
}

#[test]
fn a_copied_log_is_the_same_log() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    replace(&repo, format!("{}{}\n", content(&repo), event(201)));
    let polled = repo.poll(&after(&cursor));
    assert_eq!(polled.numbers(), [201]);
    let (old, new) = (cursor.log.expect("old"), polled.cursor().log.expect("new"));
    assert_ne!(old.inode, new.inode);
}

#[test]
fn a_log_whose_head_tail_or_middle_differs_was_replaced() {
    for at in [1, 100, 200] {
        let repo = long_repo();
        let cursor = repo.poll(&from_start()).cursor();
        let changed =
            content(&repo).replace(&format!(r#"{{"n":{at}}}"#), &format!(r#"{{"m":{at}}}"#));
        replace(&repo, changed);
        assert_eq!(failure(&repo, &cursor), REPLACED, "line {at}");
    }
}

#[test]
fn a_log_rewritten_in_place_with_another_beginning_was_replaced() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    let changed = content(&repo).replacen("tick", "tock", 1);
    fs::write(repo.events(), changed).expect("rewritten in place");
    assert_eq!(failure(&repo, &cursor), REPLACED);
}

#[test]
fn a_shrunk_log_with_fewer_lines_than_the_cursor_is_reported_by_number() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    replace(&repo, format!("{}\n", event(1)));
    assert_eq!(
        failure(&repo, &cursor),
        "cursor offset (200) exceeds available events (1); reset cursor or use --from-start"
    );
}

#[test]
fn a_shrunk_log_that_still_has_the_cursors_line_was_replaced() {
    let repo = long_repo();
    let cursor = repo.poll(&at_most(1, from_start())).cursor();
    let shrunk: String = content(&repo).split_inclusive('\n').take(100).collect();
    fs::write(repo.events(), shrunk).expect("truncated");
    assert_eq!(failure(&repo, &cursor), REPLACED);
}

#[test]
fn from_start_does_not_ask_for_identity() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    replace(&repo, format!("{}\n", event(1)));
    assert!(repo.observe(&after(&cursor)).is_err());
    assert_eq!(repo.poll(&from_start()).numbers(), [1]);
}

#[test]
fn a_replaced_log_fails_the_events_but_not_the_snapshot() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    replace(&repo, content(&repo).replace("tick", "tock"));
    let mut transport = repo.transport();
    let snapshot = transport
        .snapshot(&snapshot_request(cursor.log.clone()))
        .expect("a snapshot");
    assert_eq!(snapshot, repo.snapshot().expect("a snapshot"));
    let failure = transport.events(&after(&cursor)).expect_err("replaced");
    assert!(matches!(failure.error, ObserveError::LogReplaced));
}

#[test]
fn an_empty_log_that_was_filled_is_the_same_log() {
    let repo = Repo::new();
    let cursor = repo.poll(&from_start()).cursor();
    replace(&repo, format!("{}\n", event(1)));
    assert_eq!(repo.poll(&after(&cursor)).numbers(), [1]);
}

#[test]
fn a_damaged_digest_state_falls_back_to_counting() {
    let repo = long_repo();
    let mut cursor = repo.poll(&at_most(150, from_start())).cursor();
    let position = cursor.log.as_mut().expect("a position");
    position.digest_state = "00".into();
    assert_eq!(repo.poll(&after(&cursor)).numbers().first(), Some(&151));
}

#[test]
fn what_was_known_never_changes_a_snapshot() {
    let repo = long_repo();
    let position = |repo: &Repo| repo.poll(&at_most(50, from_start())).cursor().log;
    let known = position(&repo).expect("a position");
    repo.append(format!("{}\n{{\"unfinished", event(201)));
    let cold = repo.snapshot().expect("a snapshot");
    let other = position(&Repo::with_lines([event(1)]));
    let damaged = LogPosition {
        line_count: 1,
        digest_state: String::new(),
        ..known.clone()
    };
    for known in [Some(known), Some(damaged), other] {
        let warm = repo.transport().snapshot(&snapshot_request(known));
        assert_eq!(warm.expect("a snapshot"), cold);
    }
}

#[test]
fn the_position_in_a_cursor_file_is_what_the_next_snapshot_knows() {
    let repo = long_repo();
    let cursor = repo.poll(&from_start()).cursor();
    let file = om_model::json::pretty(&cursor);
    let artifact = om_model::Artifact::parse(file.as_bytes());
    assert_eq!(known_position(&artifact), cursor.log);
}

/// Bytes read are counted through progress reports, one per MiB read.
#[test]
fn a_warm_observation_does_not_read_the_old_part_again() {
    let repo = Repo::new();
    let many: String = (0..20_000).map(|n| event(n) + "\n").collect();
    repo.append(&many);
    let mebibytes = many.len() as u64 / (1024 * 1024);
    let reports = AtomicU64::new(0);
    let mut count = |done: u64, total: u64| {
        assert!(done <= total);
        reports.fetch_add(1, Ordering::Relaxed);
    };

    let mut cold =
        LocalTransport::new(&repo.layout(), &loop_id("nightly")).with_progress(&mut count);
    let cursor = poll(&mut cold, &from_start()).cursor();
    let cold_reports = reports.swap(0, Ordering::Relaxed);
    assert!(
        (1..=2 * mebibytes).contains(&cold_reports),
        "{cold_reports}"
    );

    repo.append((0..10).map(|n| event(n) + "\n").collect::<String>());
    let mut warm =
        LocalTransport::new(&repo.layout(), &loop_id("nightly")).with_progress(&mut count);
    let snapshot = warm.snapshot(&snapshot_request(cursor.log.clone()));
    assert_eq!(snapshot.expect("a snapshot").health.event_count, 20_010);
    assert_eq!(poll(&mut warm, &after(&cursor)).numbers().len(), 10);
    assert_eq!(reports.load(Ordering::Relaxed), 0);
}
