//! Producers that go on writing into files that have been taken.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Place, append, envelope, files_below, lines, now, touch};

#[test]
fn what_comes_late_is_queued_by_the_next_run() {
    let place = Place::new();
    place.send("a.jsonl", &lines(&[envelope("p", "1")]));
    let outbox = place.outbox("a.jsonl");
    let mut options = fs::OpenOptions::new();
    let mut producer = options.append(true).open(outbox).expect("opened");
    place.run_at(&place.bridge(), now()).expect("runs");
    producer
        .write_all(lines(&[envelope("p", "2")]).as_bytes())
        .expect("written");
    let evaluation = place
        .run_at(&place.bridge(), now() + Duration::from_secs(60))
        .expect("runs");
    assert_eq!(place.queued(), ["p::1", "p::2"]);
    let [claim] = &evaluation.state.files.claimed[..] else {
        panic!("one claim")
    };
    let processed = place.claims().join("processed");
    assert_eq!(
        fs::read_to_string(processed.join(claim)).expect("readable"),
        lines(&[envelope("p", "2")])
    );
    let again = place
        .run_at(&place.bridge(), now() + Duration::from_secs(61))
        .expect("runs");
    assert_eq!(again.state.summary.claimed_file_count, 0);
    assert_eq!(again.state.watched.len(), 1);
}

#[test]
fn a_late_line_is_waited_for_like_any_other_and_a_bad_one_is_rejected() {
    let place = Place::new();
    place.send("a.jsonl", &lines(&[envelope("p", "1")]));
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    let claim = format!("processed/{}", evaluation.state.files.claimed[0]);
    let file = place.claims().join(&claim);
    append(&file, "{\"half");
    touch(&file, now());
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    assert_eq!(evaluation.state.files.deferred, [claim]);
    assert_eq!(evaluation.state.summary.claimed_file_count, 0);
    append(&file, "\n5\n");
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    assert_eq!(evaluation.exit_code(), 2);
    let row = &place.rows_of("horizon_bridge_file")[1];
    assert_eq!(
        row["reasonCodes"],
        json!(["contract_required_field_missing"])
    );
    assert_eq!(row["summary"]["invalidCount"], 2);
}

#[test]
fn a_file_is_watched_for_an_hour() {
    let place = Place::new();
    place.send("a.jsonl", &lines(&[envelope("p", "1")]));
    place.run_at(&place.bridge(), now()).expect("runs");
    let watched = |seconds| {
        let clock = now() + Duration::from_secs(seconds);
        let evaluation = place.run_at(&place.bridge(), clock).expect("runs");
        evaluation.state.watched.len()
    };
    assert_eq!((watched(3_599), watched(3_600)), (1, 0));
}

#[test]
fn a_watched_file_that_was_shortened_or_removed_is_left_alone() {
    let place = Place::new();
    for file in ["a.jsonl", "b.jsonl"] {
        place.send(file, &lines(&[envelope(file, "1")]));
    }
    place.run_at(&place.bridge(), now()).expect("runs");
    let files = files_below(&place.claims().join("processed"));
    let path = |position: usize| place.claims().join("processed").join(&files[position]);
    fs::write(path(0), "x").expect("written");
    fs::remove_file(path(1)).expect("removed");
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    assert_eq!(evaluation.state.watched, []);
    assert_eq!(evaluation.state.summary.claimed_file_count, 0);
}

#[test]
fn nothing_is_lost_or_doubled_while_producers_write_and_bridges_run() {
    const PRODUCERS: usize = 2;
    /// Runs that producers write through.
    const RUNS: usize = 15;
    /// Envelopes of a producer, at most.
    const MOST: usize = 500;
    let place = Place::new();
    fs::create_dir_all(place.bridge().outbox_dir).expect("made");
    let runs = AtomicUsize::new(0);
    let produce = &|producer: usize| {
        let mut sent = Vec::new();
        while runs.load(Ordering::SeqCst) < RUNS && sent.len() < MOST {
            let packet = format!("{producer}-{:04}", sent.len());
            append(
                &place.outbox("all.jsonl"),
                &lines(&[envelope(&packet, "t")]),
            );
            sent.push(format!("{packet}::t"));
            // Spread over the runs.
            (0..50_000).for_each(|_| std::hint::spin_loop());
        }
        sent
    };
    let mut expected: Vec<String> = thread::scope(|threads| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| threads.spawn(move || produce(producer)))
            .collect();
        for _ in 0..2 {
            threads.spawn(|| {
                while runs.fetch_add(1, Ordering::SeqCst) < RUNS {
                    place.run();
                }
            });
        }
        let sent = producers.into_iter();
        sent.flat_map(|producer| producer.join().expect("ends well"))
            .collect()
    });
    place.run();
    let mut found = place.queued();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let rows = place.rows_of("horizon_bridge_run");
    let queued = rows
        .iter()
        .map(|row| row["summary"]["queuedEnvelopeCount"].as_u64());
    assert_eq!(queued.sum::<Option<u64>>(), Some(expected.len() as u64));
    assert_eq!(place.state()["dedupe"]["keyCount"], expected.len());
}
