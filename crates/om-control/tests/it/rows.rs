//! The three rows of an outcome (chapter 03 §3.1.5).

use om_control::outcome::{Confirmation, Ended, Outcome, local};
use om_control::rows::{Author, Rows};
use om_control::service::evaluate;
use om_http::Secrets;
use om_model::control::{Intent, PendingIntent};
use om_model::health::TransportMode;
use om_model::{Timestamp, TraceId, json};
use serde_json::{Value, json};

use crate::support::{loop_id, settings};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn entry() -> PendingIntent {
    PendingIntent {
        control_id: "c-1".to_owned(),
        started_at: at("2031-04-02T09:15:11Z"),
        loop_id: loop_id(),
        intent: Intent::Reject,
        transport: TransportMode::Local,
        trace_id: TraceId::new("tr-77").expect("not empty"),
        idempotency_key: "reject-1932887711-4021".to_owned(),
        requested_by: "dana".to_owned(),
        note: Some("not yet".to_owned()),
        request: settings(),
        command: "./superloop.sh approve --reject".to_owned(),
        host: "h".to_owned(),
        boot_id: "b".to_owned(),
        pid: 7,
        process_start: Some(9),
        ended: false,
    }
}

fn all(entry: &PendingIntent, outcome: &Outcome, author: Author) -> Value {
    let rows = Rows::new(entry, outcome, at("2031-04-02T09:15:31Z"), author);
    json!([rows.intent, rows.control, rows.invocation])
}

fn show(rows: &Value) -> String {
    json::pretty(rows)
}

#[test]
fn a_confirmed_intent_leaves_these_rows() {
    let confirmation = Confirmation {
        exit_code: 0,
        document: Some(json!({"confirmed": true, "observedLastEvent": null})),
    };
    let outcome = local(Ended::Exited(0), "stored".to_owned(), Some(confirmation));
    insta::assert_snapshot!(show(&all(&entry(), &outcome, Author::Actor)));
}

#[test]
fn a_bare_intent_has_no_empty_members() {
    let entry = PendingIntent {
        requested_by: String::new(),
        note: None,
        ..entry()
    };
    let outcome = local(Ended::Exited(0), String::new(), None);
    insta::assert_snapshot!(show(&all(&entry, &outcome, Author::Actor)));
}

#[test]
fn a_failed_intent_has_a_reason() {
    let outcome = Outcome::failed(3, "no such loop".to_owned());
    insta::assert_snapshot!(show(&all(&entry(), &outcome, Author::Actor)));
}

#[test]
fn a_replayed_answer_of_a_service_is_marked() {
    let entry = PendingIntent {
        transport: TransportMode::SpriteService,
        command: "POST http://sprite:8787/ops/control".to_owned(),
        ..entry()
    };
    let answer = br#"{"ok":false,"exitCode":2,"replayed":true,
        "result":{"status":"ambiguous","confirmExitCode":1,"confirm":{"confirmed":false}}}"#;
    insta::assert_snapshot!(show(&all(
        &entry,
        &evaluate(answer, &Secrets::default()),
        Author::Actor
    )));
}

#[test]
fn a_recovered_intent_is_ambiguous_and_says_so() {
    insta::assert_snapshot!(show(&all(&entry(), &Outcome::unknown(), Author::Recovery)));
}

#[test]
fn a_clock_that_ran_backwards_gives_no_negative_duration() {
    let entry = PendingIntent {
        started_at: at("2031-04-02T10:00:00Z"),
        ..entry()
    };
    let rows = all(&entry, &Outcome::unknown(), Author::Actor);
    assert_eq!(rows[1]["durationSeconds"], 0);
}
