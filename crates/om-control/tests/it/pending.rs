//! Intents without an outcome (decision D7).

use std::fs;

use om_control::owner::{Owner, is_alive};
use om_control::pending::PendingDocument;
use om_control::{Clock, ControlError, Progress, Transport, recover_pending, run};
use om_model::control::Intent;
use om_model::json;
use om_store::{LoopFile, Scope};
use serde_json::{Value, json};

use crate::owners::entry_of;
use crate::support::{Repo, TestClock};

/// A process id that no process has.
const NOBODY: u32 = 4_194_305;

fn put(repo: &Repo, content: &str) {
    let path = repo.files().path(LoopFile::ControlPending);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    fs::write(path, content).expect("written");
}

fn recover(repo: &Repo) -> usize {
    let scope = Scope::open(repo.files().scope_dir()).expect("a scope");
    let now = TestClock::default().now();
    let rows = recover_pending(&scope, &repo.files(), now, &is_alive);
    rows.expect("recovered").len()
}

#[test]
fn an_intent_is_recorded_before_it_is_executed() {
    let repo = Repo::new();
    let copy = r#"cp "$repo/.superloop/ops-manager/nightly/control-pending.json" "$repo/seen""#;
    let mut request = repo.request(Intent::Reject);
    request.note = Some("not yet".to_owned());
    repo.run(&request, Transport::Local(&repo.runtime(copy)));
    let seen = fs::read(repo.path().join("seen")).expect("a copy");
    let mut seen = json::parse(&seen).expect("a document");
    let entry = seen["pending"][0].as_object_mut().expect("an entry");
    let here = Owner::current();
    assert_eq!(entry.remove("host"), Some(json!(here.host)));
    assert_eq!(entry.remove("bootId"), Some(json!(here.boot_id)));
    assert_eq!(entry.remove("pid"), Some(json!(here.pid)));
    assert_eq!(
        entry.remove("processStart"),
        Some(json!(here.process_start))
    );
    assert!(entry.remove("controlId").is_some_and(|id| id.is_string()));
    let command = entry.remove("command").expect("a command");
    assert!(command.as_str().expect("text").contains("--note not\\ yet"));
    insta::assert_snapshot!(json::pretty(&seen));
    assert_eq!(repo.pending(), Vec::<Value>::new());
}

#[test]
fn an_entry_whose_process_is_gone_becomes_three_rows_once() {
    let repo = Repo::new();
    let entry = json::to_value(&entry_of(NOBODY, None));
    put(
        &repo,
        &json!({"schemaVersion": "v1", "pending": [entry]}).to_string(),
    );
    assert_eq!(recover(&repo), 1);
    for rows in repo.all_rows() {
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["recovered"], true);
    }
    let invocation = repo
        .rows(LoopFile::ControlInvocations)
        .pop()
        .expect("a row");
    assert_eq!(invocation["execution"]["status"], "unknown");
    assert_eq!(invocation["confirmation"]["status"], "not_attempted");
    assert_eq!(invocation["outcome"]["status"], "ambiguous");
    assert_eq!(invocation["outcome"]["reasonCode"], "control_ambiguous");
    assert_eq!(repo.pending(), Vec::<Value>::new());
    assert_eq!(recover(&repo), 0);
    assert_eq!(repo.rows(LoopFile::Intents).len(), 1);
}

#[test]
fn entries_of_the_living_and_entries_of_others_stay() {
    let repo = Repo::new();
    let alive = json::to_value(&entry_of(1, None));
    let gone = json::to_value(&entry_of(NOBODY, None));
    let foreign = json!({"what": "a later version wrote this"});
    let content = json!({"owner": "x", "pending": [foreign, gone, alive]});
    put(&repo, &content.to_string());
    assert_eq!(recover(&repo), 1);
    assert_eq!(repo.pending(), [foreign, alive]);
    let bytes = fs::read(repo.files().path(LoopFile::ControlPending)).expect("the list");
    assert_eq!(json::parse(&bytes).expect("a document")["owner"], "x");
}

#[test]
fn nothing_pending_costs_no_commit() {
    let repo = Repo::new();
    Scope::open(repo.files().scope_dir()).expect("a scope");
    assert_eq!(recover(&repo), 0);
    put(&repo, r#"{"schemaVersion":"v1","pending":[]}"#);
    assert_eq!(recover(&repo), 0);
    let log = repo.files().scope_dir().join(".store/redo.log");
    assert!(!log.exists());
}

#[test]
fn the_next_control_recovers_before_it_acts() {
    let repo = Repo::new();
    let entry = json::to_value(&entry_of(NOBODY, None));
    put(&repo, &json!({"pending": [entry]}).to_string());
    let mut recovered = 0;
    let local = repo.runtime("exit 0");
    let request = repo.request(Intent::Approve);
    let transport = Transport::Local(&local);
    run(
        &request,
        transport,
        &TestClock::default(),
        &mut |progress| {
            if let Progress::Recovered(rows) = progress {
                recovered = rows.len();
            }
        },
    )
    .expect("an outcome");
    assert_eq!(recovered, 1);
    let intents = repo.rows(LoopFile::Intents);
    assert_eq!(intents.len(), 2);
    assert_eq!(
        (&intents[0]["recovered"], &intents[1]["intent"]),
        (&json!(true), &json!("approve"))
    );
}

#[test]
fn a_list_that_cannot_be_used_stops_everything_before_it_begins() {
    for content in ["{", "[]", "7", r#"{"pending":{}}"#, "{} {}"] {
        let repo = Repo::new();
        put(&repo, content);
        let local = repo.runtime(r#"touch "$repo/started""#);
        let request = repo.request(Intent::Cancel);
        let error = run(
            &request,
            Transport::Local(&local),
            &TestClock::default(),
            &mut |_| {},
        )
        .expect_err("is refused");
        assert!(
            matches!(error, ControlError::PendingInvalid { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains("control-pending.json"),
            "{error}"
        );
        assert!(!repo.path().join("started").exists(), "{content}");
        let path = repo.files().path(LoopFile::ControlPending);
        assert_eq!(fs::read_to_string(path).expect("kept"), content);
    }
}

#[test]
fn a_blank_list_is_empty() {
    for blank in [
        None,
        Some(&b""[..]),
        Some(b" \n"),
        Some(b"null"),
        Some(b"{}"),
    ] {
        let document = PendingDocument::parse(blank).expect("readable");
        assert!(document.entries().is_empty());
    }
}

/// A folder in the place of a journal: the commit of an outcome has to fail.
const BLOCKS: &str =
    r#"mkdir -p "$repo/.superloop/ops-manager/nightly/intents.jsonl/x"; echo done"#;

/// Whether the entry of a living process that is not this one would be left
/// alone: what another process sees.
fn recover_elsewhere(repo: &Repo) -> usize {
    let scope = Scope::open(repo.files().scope_dir()).expect("a scope");
    let now = TestClock::default().now();
    // Seen from elsewhere, our process lives.
    let rows = recover_pending(&scope, &repo.files(), now, &|entry, now| {
        let mut other = entry.clone();
        other.pid = 1;
        other.process_start = None;
        is_alive(&other, now)
    });
    rows.expect("recovered").len()
}

#[test]
fn an_outcome_that_cannot_be_recorded_is_told_and_stays_pending_as_ended() {
    let repo = Repo::new();
    let local = repo.runtime(BLOCKS);
    let request = repo.request(Intent::Approve);
    let clock = TestClock::default();
    let error =
        run(&request, Transport::Local(&local), &clock, &mut |_| {}).expect_err("is not recorded");
    let text = error.to_string();
    assert!(
        text.contains("executed_unconfirmed") && text.contains("tr-77"),
        "{text}"
    );
    let pending = repo.pending();
    assert_eq!((pending.len(), &pending[0]["ended"]), (1, &json!(true)));
    fs::remove_dir_all(repo.files().path(LoopFile::Intents)).expect("unblocked");
    assert_eq!(recover_elsewhere(&repo), 1, "although the process lives");
    for rows in repo.all_rows() {
        assert_eq!((rows.len(), &rows[0]["recovered"]), (1, &json!(true)));
    }
    assert_eq!(repo.pending(), Vec::<Value>::new());
}

#[test]
fn recording_an_outcome_is_tried_again() {
    let repo = Repo::new();
    let local = repo.runtime(BLOCKS);
    let in_the_way = repo.files().path(LoopFile::Intents);
    let clock = TestClock::with(move |_| {
        if in_the_way.is_dir() {
            fs::remove_dir_all(&in_the_way).expect("unblocked");
        }
    });
    let request = repo.request(Intent::Approve);
    let outcome = run(&request, Transport::Local(&local), &clock, &mut |_| {});
    assert_eq!(outcome.expect("recorded").exit_code(), 0);
    for rows in repo.all_rows() {
        assert_eq!((rows.len(), rows[0].get("recovered")), (1, None));
    }
    assert_eq!(repo.pending(), Vec::<Value>::new());
}
