//! Polling: which lines, which cursor (chapter 01 §5.4–§5.5, decision D8).

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use om_model::json as text;
use om_transport::{Observe, ObserveError};

use crate::support::{Repo, after, at_most, behind, event, from_start, poll, snapshot_request};

#[test]
fn every_line_behind_the_cursor_is_emitted_once() {
    let repo = Repo::with_lines((1..=5).map(event));
    let first = repo.poll(&at_most(2, from_start()));
    assert_eq!(first.numbers(), [1, 2]);
    let second = repo.poll(&after(&first.cursor()));
    assert_eq!(second.numbers(), [3, 4, 5]);
    let third = repo.poll(&after(&second.cursor()));
    assert!(third.numbers().is_empty());
    let cursor = third.cursor();
    assert_eq!((cursor.event_line_offset, cursor.event_line_count), (5, 5));
}

#[test]
fn a_cursor_without_a_log_position_counts_lines() {
    let repo = Repo::with_lines((1..=5).map(event));
    let polled = repo.poll(&behind(br#"{"eventLineOffset":3}"#));
    assert_eq!(polled.numbers(), [4, 5]);
    let position = polled.cursor().log.expect("a position");
    let size = std::fs::metadata(repo.events()).expect("the log").len();
    assert_eq!((position.line_offset, position.byte_offset), (5, size));
}

#[test]
fn an_edited_offset_is_obeyed() {
    let repo = Repo::with_lines((1..=5).map(event));
    let mut cursor = repo.poll(&from_start()).cursor();
    cursor.event_line_offset = 2;
    assert_eq!(repo.poll(&after(&cursor)).numbers(), [3, 4, 5]);
}

#[test]
fn a_position_that_is_not_a_line_end_falls_back_to_counting() {
    let repo = Repo::with_lines((1..=5).map(event));
    let mut cursor = repo.poll(&at_most(2, from_start())).cursor();
    let position = cursor.log.as_mut().expect("a position");
    position.byte_offset += 3;
    assert_eq!(repo.poll(&after(&cursor)).numbers(), [3, 4, 5]);
}

#[test]
fn skipped_lines_are_not_parsed() {
    let repo = Repo::with_lines(["{broken", "", &event(3)]);
    assert_eq!(
        repo.poll(&behind(br#"{"eventLineOffset":1}"#)).numbers(),
        [3]
    );
}

#[test]
fn empty_lines_have_a_number_but_no_envelope() {
    let repo = Repo::with_lines(["", &event(2), "", "", &event(5), "", ""]);
    let polled = repo.poll(&from_start());
    assert_eq!(polled.numbers(), [2, 5]);
    assert!(
        polled
            .envelopes
            .iter()
            .all(|e| e.cursor.event_line_count == 7)
    );
    let cursor = polled.cursor();
    assert_eq!((cursor.event_line_offset, cursor.event_line_count), (5, 7));
}

#[test]
fn an_unterminated_line_is_not_there_yet() {
    let repo = Repo::with_lines([event(1)]);
    repo.append(&event(2)[..30]);
    let first = repo.poll(&from_start());
    assert_eq!(first.numbers(), [1]);
    let cursor = first.cursor();
    assert_eq!((cursor.event_line_offset, cursor.event_line_count), (1, 1));

    repo.append(&event(2)[30..]);
    assert!(repo.poll(&after(&cursor)).numbers().is_empty());
    repo.append("\n");
    assert_eq!(repo.poll(&after(&cursor)).numbers(), [2]);
}

#[test]
fn a_log_of_one_unterminated_line_is_empty() {
    let repo = Repo::new();
    repo.append(event(1));
    let health = repo.snapshot().expect("a snapshot").health;
    assert_eq!((health.event_count, health.last_event_name), (0, None));
    assert_eq!(repo.poll(&from_start()).cursor().event_line_offset, 0);
}

#[test]
fn from_start_on_an_empty_log_resets_the_cursor() {
    let cursor = Repo::new().poll(&from_start()).cursor();
    assert_eq!((cursor.event_line_offset, cursor.event_line_count), (0, 0));
}

#[test]
fn a_cursor_ahead_of_the_log_fails() {
    let repo = Repo::with_lines((1..=2).map(event));
    let failure = repo
        .observe(&behind(br#"{"eventLineOffset":3}"#))
        .expect_err("it is ahead");
    assert_eq!(
        failure.to_string(),
        "cursor offset (3) exceeds available events (2); reset cursor or use --from-start"
    );
    assert_eq!(failure.events_ingested, 0);
}

#[test]
fn a_bad_line_fails_by_its_number_after_the_good_ones() {
    let good = event(1);
    for (bad, said) in [
        ("{", "invalid JSON event at line 3 in <log>: EOF"),
        (
            "[]",
            "invalid JSON event at line 3 in <log>: it is an array",
        ),
        (
            "{}{}",
            "invalid JSON event at line 3 in <log>: more than one",
        ),
        (" ", "missing event name at line 3 in <log>"),
        ("null", "missing event name at line 3 in <log>"),
        (
            r#"{"timestamp":"t"}"#,
            "missing event name at line 3 in <log>",
        ),
        (
            r#"{"event":"x"}"#,
            "missing event timestamp at line 3 in <log>",
        ),
    ] {
        let repo = Repo::with_lines([&good, "", bad, &good]);
        let said = said.replace("<log>", "<repo>/.superloop/loops/nightly/events.jsonl");
        let polled = repo.poll(&from_start());
        assert_eq!(polled.numbers(), [1], "{bad}");
        let failure = polled.outcome.expect_err("a bad line");
        assert_eq!(failure.events_ingested, 1, "{bad}");
        assert!(repo.said(&failure).starts_with(&said), "{failure}");

        let observed = repo.observe(&from_start()).expect_err("a bad line");
        assert_eq!(observed.events_ingested, 1, "{bad}");
        assert_eq!(observed.to_string(), failure.to_string());
    }
}

#[test]
fn a_bad_line_behind_the_limit_does_no_harm() {
    let repo = Repo::with_lines([&event(1), "{"]);
    assert_eq!(
        repo.poll(&at_most(1, from_start()))
            .cursor()
            .event_line_offset,
        1
    );
}

#[test]
fn a_failing_receiver_stops_the_poll() {
    let repo = Repo::with_lines((1..=3).map(event));
    let mut received = 0;
    let failure = repo
        .transport()
        .poll(&from_start(), &mut |_| {
            received += 1;
            match received {
                2 => Err(io::Error::other("no space left")),
                _ => Ok(()),
            }
        })
        .expect_err("the receiver fails");
    assert!(matches!(failure.error, ObserveError::Output(_)));
    assert_eq!(failure.to_string(), "cannot write events: no space left");
    assert_eq!((received, failure.events_ingested), (2, 1));
}

#[test]
fn a_pass_gets_the_order_and_the_last_envelope() {
    let repo = Repo::with_lines(["", &event(2), &event(3)]);
    let batch = repo.observe(&from_start()).expect("events").batch;
    let sequence = batch.sequence;
    assert_eq!(
        (sequence.count, sequence.first, sequence.last),
        (2, Some(2), Some(3))
    );
    assert!(!sequence.missing && !sequence.non_monotonic);
    let polled = repo.poll(&from_start());
    assert_eq!(batch.last, polled.envelopes.last().map(text::to_value));
}

#[test]
fn a_pass_without_events_has_no_last_envelope() {
    let repo = Repo::new();
    let observed = repo.observe(&from_start()).expect("events");
    assert_eq!(
        (observed.batch.sequence.count, observed.batch.last),
        (0, None)
    );
}

#[test]
fn snapshot_and_events_of_one_observation_agree_whatever_is_appended() {
    let repo = Repo::with_lines((1..=2).map(event));
    let mut transport = repo.transport();
    let snapshot = transport
        .snapshot(&snapshot_request(None))
        .expect("a snapshot");
    repo.append(format!("{}\n", event(3)));
    let polled = poll(&mut transport, &from_start());
    assert_eq!(snapshot.health.event_count, 2);
    assert_eq!(polled.numbers(), [1, 2]);
    assert_eq!(polled.cursor().event_line_count, 2);
    assert_eq!(repo.snapshot().expect("a snapshot").health.event_count, 3);
}

#[test]
fn the_cursor_document_as_it_is_written() {
    let repo = Repo::with_lines([event(1)]);
    let mut cursor = repo.poll(&from_start()).cursor();
    cursor.repo_path = "/srv/app".into();
    let position = cursor.log.as_mut().expect("a position");
    (position.device, position.inode) = (1, 2);
    assert!(!position.digest_state.is_empty());
    position.digest_state = "(state)".into();
    insta::assert_snapshot!(text::pretty(&cursor));
}

/// The value of a future that is ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the local transport never awaits"),
    }
}

#[test]
fn a_pass_observes_what_the_commands_show() {
    let repo = Repo::with_lines((1..=3).map(event));
    let mut transport = repo.transport();
    let snapshot = at_once(Observe::snapshot(&mut transport, &snapshot_request(None)));
    let shown = text::to_value(&repo.snapshot().expect("a snapshot"));
    assert_eq!(snapshot.expect("a snapshot"), shown);
    let observed = at_once(Observe::events(&mut transport, &from_start()));
    let shown = repo.observe(&from_start()).expect("events");
    assert_eq!(observed.expect("events"), shown);
}
