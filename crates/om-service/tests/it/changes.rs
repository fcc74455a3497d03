//! Files that were seen before are not read again, but a change is always
//! seen.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::{Repo, Server, event};

fn approval(server: &Server) -> Value {
    server.get("/ops/snapshot?loopId=nightly").json()["runtime"]["approval"].clone()
}

fn last_iteration(server: &Server) -> Value {
    server.get("/ops/snapshot?loopId=nightly").json()["run"]["iteration"].clone()
}

fn polled(server: &Server, cursor: u64) -> Vec<u64> {
    let target = format!("/ops/events?loopId=nightly&cursor={cursor}");
    let body = server.get(&target).json();
    let events = body["events"]
        .as_array()
        .unwrap_or_else(|| panic!("{body}"));
    let iteration = |event: &Value| event["run"]["iteration"].as_u64().expect("a number");
    events.iter().map(iteration).collect()
}

/// Pretends that nothing has been touched for a while.
fn settle(repo: &Repo, name: &str) {
    let file = fs::File::options()
        .write(true)
        .open(repo.runtime(name))
        .expect("opened");
    let past = SystemTime::now() - Duration::from_secs(3_600);
    file.set_modified(past).expect("set");
}

#[test]
fn documents_of_one_size_written_in_quick_succession_are_all_seen() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for number in 100..400 {
        let document = json!({"status": number});
        fs::write(repo.runtime("approval.json"), document.to_string()).expect("written");
        assert_eq!(approval(&server), document);
    }
}

#[test]
fn a_document_that_is_changed_back_in_time_is_seen() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for number in 100..120 {
        let document = json!({"status": number});
        fs::write(repo.runtime("approval.json"), document.to_string()).expect("written");
        settle(&repo, "approval.json");
        assert_eq!(approval(&server), document);
    }
}

#[test]
fn a_document_that_comes_and_goes_is_seen() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    assert_eq!(approval(&server), Value::Null);
    for _ in 0..20 {
        fs::write(repo.runtime("approval.json"), "{}").expect("written");
        assert_eq!(approval(&server), json!({}));
        fs::remove_file(repo.runtime("approval.json")).expect("removed");
        assert_eq!(approval(&server), Value::Null);
    }
}

#[test]
fn a_log_that_grows_is_followed() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for number in 4..300 {
        repo.append_log(&(event(number) + "\n"));
        assert_eq!(polled(&server, number - 1), [number]);
        assert_eq!(last_iteration(&server), number);
    }
    assert_eq!(polled(&server, 0), (1..300).collect::<Vec<_>>());
    assert_eq!(polled(&server, 129), (130..300).collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_replaced_is_read_anew() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    repo.write_log(100..=300);
    assert_eq!(polled(&server, 199), [299, 300]);
    // The same size and the same ends, under another name first.
    let changed: String = (100..=300)
        .map(|number| if number == 200 { 999 } else { number })
        .map(|number| event(number) + "\n")
        .collect();
    fs::write(repo.runtime("new"), changed).expect("written");
    fs::rename(repo.runtime("new"), repo.runtime("events.jsonl")).expect("replaced");
    assert_eq!(polled(&server, 99)[..2], [199, 999]);
    // Rewritten in place, shorter.
    repo.write_log(100..=110);
    assert_eq!(polled(&server, 9), [109, 110]);
    assert_eq!(last_iteration(&server), 110);
}

#[test]
fn a_log_that_is_edited_in_place_without_growing_is_read_anew() {
    let repo = Repo::new();
    repo.write_log(100..=300);
    let server = Server::start(&repo);
    let before = server.get("/ops/snapshot?loopId=nightly").json();
    let edited: Vec<u64> = (100..=300)
        .map(|n| if n == 150 { 999 } else { n })
        .collect();
    repo.write_log(edited.clone());
    assert_eq!(polled(&server, 0), edited);
    let after = server.get("/ops/snapshot?loopId=nightly").json();
    let digest = |snapshot: &Value| snapshot["artifacts"]["events"]["sha256"].clone();
    assert_ne!(digest(&before), digest(&after));
}

#[test]
fn loops_do_not_mix() {
    let repo = Repo::new();
    let other = repo.file(".superloop/loops/other");
    fs::create_dir_all(&other).expect("created");
    fs::write(other.join("events.jsonl"), event(77) + "\n").expect("written");
    let server = Server::start(&repo);
    for _ in 0..3 {
        assert_eq!(last_iteration(&server), 3);
        let snapshot = server.get("/ops/snapshot?loopId=other").json();
        assert_eq!(snapshot["run"]["iteration"], 77);
        assert_eq!(snapshot["source"]["loopId"], "other");
    }
}
