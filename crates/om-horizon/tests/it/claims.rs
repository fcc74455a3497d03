//! Which files are taken, in which order, and where they go.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{NOW, Place, append, envelope, files_below, lines, now, put, touch};

fn claim(file: &str) -> String {
    format!("{file}.claim.{NOW}000000000.4194305")
}

#[test]
fn files_are_claimed_in_the_order_of_their_bytes() {
    let place = Place::new();
    let files = ["a-b.jsonl", "a.x/3.jsonl", "a/4.jsonl", "B.jsonl", ".jsonl"];
    for (number, file) in files.iter().enumerate() {
        place.send(file, &lines(&[envelope("p", &number.to_string())]));
    }
    place.send("notes.txt", "x");
    place.send("a.jsonl.tmp", "x");
    symlink(place.outbox("a-b.jsonl"), place.outbox("link.jsonl")).expect("linked");
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    let expected: Vec<String> = [".jsonl", "B.jsonl", "a-b.jsonl", "a.x/3.jsonl", "a/4.jsonl"]
        .into_iter()
        .map(claim)
        .collect();
    assert_eq!(evaluation.state.files.claimed, expected);
    let mut moved = files_below(&place.claims().join("processed"));
    moved.sort_by_key(|file| expected.iter().position(|known| known == file));
    assert_eq!(moved, expected);
    assert_eq!(
        files_below(&place.bridge().outbox_dir),
        ["a.jsonl.tmp", "link.jsonl", "notes.txt"]
    );
}

#[test]
fn a_run_takes_no_more_files_than_it_may() {
    let place = Place::new();
    for file in ["a.jsonl", "b.jsonl", "c.jsonl"] {
        place.send(file, &lines(&[envelope(file, "1")]));
    }
    let bridge = om_horizon::Bridge {
        max_files: 2,
        ..place.bridge()
    };
    place.run_with(&bridge).expect("runs");
    assert_eq!(place.queued(), ["a.jsonl::1", "b.jsonl::1"]);
    place.run_with(&bridge).expect("runs");
    assert_eq!(place.queued(), ["a.jsonl::1", "b.jsonl::1", "c.jsonl::1"]);
}

#[test]
fn an_outbox_that_is_no_folder_has_no_files() {
    let place = Place::new();
    let elsewhere = place.repo().join("elsewhere");
    put(&elsewhere.join("a.jsonl"), &lines(&[envelope("p", "1")]));
    let outbox = place.bridge().outbox_dir;
    let reasons = |place: &Place| place.run().state.reason_codes.len();
    assert_eq!(reasons(&place), 1, "missing");
    fs::create_dir_all(outbox.parent().expect("a folder")).expect("made");
    symlink(&elsewhere, &outbox).expect("linked");
    assert_eq!(reasons(&place), 1, "a link");
    fs::remove_file(&outbox).expect("removed");
    fs::write(&outbox, "").expect("written");
    assert_eq!(reasons(&place), 1, "a file");
    assert_eq!(
        place.state()["reasonCodes"],
        json!(["horizon_bridge_no_outbox_files"])
    );
    assert_eq!(place.rows_of("horizon_bridge_run").len(), 3);
}

#[test]
fn what_people_wrote_into_the_queue_stays() {
    let place = Place::new();
    place.send("a.jsonl", &lines(&[envelope("p", "1")]));
    place.run();
    let mut queue = place.queue();
    queue["intents"][0]["status"] = json!("on_hold");
    queue["intents"][0]["owner"] = json!({"z": 1, "a": 2});
    place.put_queue(&queue);
    place.send("b.jsonl", &lines(&[envelope("p", "1"), envelope("q", "1")]));
    place.run();
    let found = place.queue();
    assert_eq!(found["intents"][0], queue["intents"][0]);
    assert_eq!(
        found["summary"],
        json!({"intentCount": 2, "pendingConfirmationCount": 1})
    );
    assert_eq!(place.state()["summary"]["duplicateEnvelopeCount"], 1);
}

#[test]
fn a_rejected_file_goes_to_the_rejected_ones_and_nothing_of_it_is_queued() {
    let place = Place::new();
    place.send("good.jsonl", &lines(&[envelope("good", "1")]));
    place.send("bad/bad.jsonl", &(lines(&[envelope("bad", "1")]) + "{\n"));
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    assert_eq!(evaluation.exit_code(), 2);
    assert_eq!(place.queued(), ["good::1"]);
    assert_eq!(
        files_below(&place.claims().join("rejected")),
        [claim("bad/bad.jsonl")]
    );
    let row = &place.rows_of("horizon_bridge_file")[0];
    assert_eq!(
        row["claimTarget"],
        format!("rejected/{}", claim("bad/bad.jsonl"))
    );
}

/// What is in the outbox, is deferred and is queued after a run.
fn looked_at(place: &Place) -> (usize, Value, usize) {
    let evaluation = place.run_at(&place.bridge(), now()).expect("runs");
    (
        files_below(&place.bridge().outbox_dir).len(),
        json!(evaluation.state.files.deferred),
        evaluation.queue.intents.len(),
    )
}

#[test]
fn an_unfinished_last_line_is_waited_for_a_minute() {
    let place = Place::new();
    let line = lines(&[envelope("p", "1")]);
    place.send("a.jsonl", &format!("{line}{}", &line[..30]));
    let outbox = place.outbox("a.jsonl");
    touch(&outbox, now() - Duration::from_secs(59));
    assert_eq!(looked_at(&place), (1, json!(["a.jsonl"]), 0), "fresh");
    append(&outbox, &line[30..]);
    touch(&outbox, now());
    assert_eq!(looked_at(&place), (0, json!([]), 1), "finished");
    place.send("b.jsonl", lines(&[envelope("p", "2")]).trim_end());
    touch(&place.outbox("b.jsonl"), now() - Duration::from_secs(60));
    assert_eq!(looked_at(&place), (0, json!([]), 2), "a minute old");
    place.send("c.jsonl", "");
    touch(&place.outbox("c.jsonl"), now());
    assert_eq!(looked_at(&place), (0, json!([]), 2), "empty");
    place.send("d.jsonl", "x");
    touch(&place.outbox("d.jsonl"), now() + Duration::from_secs(9_000));
    assert_eq!(looked_at(&place), (0, json!([]), 2), "from the future");
}

#[test]
fn a_claim_that_a_dead_run_left_behind_is_taken_up() {
    let place = Place::new();
    let inflight = place.claims().join("inflight");
    let alive = format!("live.jsonl.claim.{NOW}000000000.{}", std::process::id());
    put(
        &inflight.join("team/a.jsonl.claim.1.4194305"),
        &lines(&[envelope("p", "1")]),
    );
    put(&inflight.join(&alive), &lines(&[envelope("q", "1")]));
    put(&inflight.join("README"), "x");
    place.run_at(&place.bridge(), now()).expect("runs");
    assert_eq!(place.queued(), ["p::1"]);
    assert_eq!(files_below(&inflight), ["README", alive.as_str()]);
    let processed = files_below(&place.claims().join("processed"));
    assert_eq!(processed, ["team/a.jsonl.claim.1.4194305"]);
}

#[test]
fn an_outbox_on_another_file_system_is_emptied_too() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let place = Place::new();
    let file = other.path().join("outbox/team/a.jsonl");
    put(&file, &lines(&[envelope("p", "1")]));
    let bridge = om_horizon::Bridge {
        outbox_dir: other.path().join("outbox"),
        ..place.bridge()
    };
    place.run_at(&bridge, now()).expect("runs");
    assert_eq!(place.queued(), ["p::1"]);
    assert!(!file.exists());
    let claim = place.claims().join("processed").join(claim("team/a.jsonl"));
    assert_eq!(
        fs::read_to_string(claim).expect("readable"),
        lines(&[envelope("p", "1")])
    );
    let again = place.run_at(&bridge, now()).expect("runs");
    assert_eq!(again.state.summary.claimed_file_count, 0);
}

#[test]
fn files_may_lie_anywhere() {
    let place = Place::new();
    let elsewhere = |name: &str| place.repo().join("deep/elsewhere").join(name);
    place.send("a.jsonl", &lines(&[envelope("p", "1")]));
    let bridge = om_horizon::Bridge {
        claims_dir: elsewhere("claims"),
        queue_file: elsewhere("q/queue.json"),
        state_file: elsewhere("s/state.json"),
        telemetry_file: elsewhere("t/rows.jsonl"),
        ..place.bridge()
    };
    place.run_at(&bridge, now()).expect("runs");
    let found = files_below(Path::new(&elsewhere("")));
    let claim = format!("claims/processed/{}", claim("a.jsonl"));
    assert_eq!(
        found,
        [
            claim.as_str(),
            "q/queue.json",
            "s/state.json",
            "t/rows.jsonl"
        ]
    );
}
