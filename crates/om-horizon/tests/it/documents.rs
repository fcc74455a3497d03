//! Queue, state and rows, member by member (§2.5).

use om_horizon::previous::{PreviousQueue, PreviousState};
use om_horizon::{Claim, Context, Evaluation, Inputs, Places, evaluate};
use om_model::{Artifact, Timestamp, json};
use serde_json::{Value, json};

use crate::support::{envelope, lines, trace};

fn claim(name: &str, content: &str) -> Claim {
    Claim {
        name: format!("{name}.claim.1935990489000000000.42"),
        bytes: content.as_bytes().to_vec(),
        faults_stop: true,
        is_watched: false,
    }
}

fn inputs(claims: Vec<Claim>) -> Inputs {
    Inputs {
        queue: PreviousQueue::default(),
        state: PreviousState::default(),
        claims,
        deferred: Vec::new(),
        places: Places {
            outbox_dir: "/r/outbox".to_owned(),
            claims_dir: "/r/claims".to_owned(),
            queue_file: "/r/queue.json".to_owned(),
            state_file: "/r/state.json".to_owned(),
            telemetry_file: "/r/rows.jsonl".to_owned(),
        },
    }
}

fn evaluated(inputs: &Inputs) -> Evaluation {
    let context = Context {
        now: Timestamp::parse("2031-05-06T07:08:09Z").expect("a time"),
        trace_id: trace("run-1"),
    };
    evaluate(inputs, &context).expect("no line stops it")
}

fn with_previous(mut inputs: Inputs, queue: Value, state: Value) -> Inputs {
    inputs.queue = PreviousQueue::read(Artifact::Document(queue)).expect("a queue");
    inputs.state = PreviousState::read(&Artifact::Document(state)).expect("a state");
    inputs
}

#[test]
fn a_run_that_queues_rejects_and_skips_writes_all_its_documents() {
    let mut broken = envelope("pk-3", "t");
    broken["schemaVersion"] = json!("v2");
    let inputs = with_previous(
        inputs(vec![
            claim(
                "team/sre.jsonl",
                &(lines(&[envelope("pk-77", "run-5"), envelope("pk-1", "old")]) + "\n"),
            ),
            claim(
                "z.jsonl",
                &(lines(&[envelope("pk-2", "t")]) + "{\n" + &lines(&[broken])),
            ),
        ]),
        json!({"intents": [
            {"packetId": "pk-0", "traceId": "t", "createdAt": "2030-01-01T00:00:00Z",
             "status": "held", "owner": "dana"},
        ]}),
        json!({"status": "ok", "updatedAt": "2030-01-01T00:00:00Z", "dedupe": {"keys": ["pk-1::old"]}}),
    );
    let evaluation = evaluated(&inputs);
    assert_eq!(evaluation.exit_code(), 2);
    insta::assert_snapshot!("queue", json::pretty(&evaluation.queue));
    insta::assert_snapshot!("state", json::pretty(&evaluation.state));
    insta::assert_snapshot!("rows", json::pretty(&evaluation.rows));
}

#[test]
fn a_run_without_files_says_so() {
    let evaluation = evaluated(&inputs(Vec::new()));
    assert_eq!(evaluation.exit_code(), 0);
    insta::assert_snapshot!("nothing_queue", json::pretty(&evaluation.queue));
    insta::assert_snapshot!("nothing_state", json::pretty(&evaluation.state));
    insta::assert_snapshot!("nothing_rows", json::pretty(&evaluation.rows));
}

#[test]
fn a_queued_entry_is_the_contracts_example() {
    let name = "team/sre.jsonl.claim.1700000000123456789.4242";
    let mut claim = claim("x", &lines(&[envelope("pk-77", "run-5")]));
    claim.name = name.to_owned();
    let queue = evaluated(&inputs(vec![claim])).queue;
    let expected = r#"{"intentId":"horizon-bridge:pk-77:rotate-keys","packetId":"pk-77","traceId":"run-5","recipient":{"type":"team","id":"sre"},"intent":"Rotate keys","status":"pending_operator_confirmation","requiresOperatorConfirmation":true,"autonomous":{"eligible":false,"manualOnly":true,"reasons":["horizon_bridge_manual_confirmation_required"]},"source":"horizon_outbox_contract_v1","sourceFile":"team/sre.jsonl.claim.1700000000123456789.4242","evidenceRefs":[],"createdAt":"2031-05-06T07:08:09Z","updatedAt":"2031-05-06T07:08:09Z"}"#;
    assert_eq!(json::compact(&queue.intents[0]), expected);
}

#[test]
fn the_reason_of_a_rejected_file_is_that_of_its_last_invalid_line() {
    let mut references = envelope("p", "t");
    references["evidenceRefs"] = json!("x");
    let mut version = envelope("p", "t");
    version["schemaVersion"] = json!("v0");
    let files = [
        ("{\n".to_owned(), "contract_invalid_json"),
        (" \n".to_owned(), "contract_invalid_json"),
        ("null\n".to_owned(), "contract_required_field_missing"),
        (
            lines(&[version.clone()]),
            "contract_schema_version_unsupported",
        ),
        (
            lines(&[references.clone()]),
            "contract_evidence_refs_not_array",
        ),
        (
            lines(&[references, version]) + &lines(&[envelope("p", "t")]),
            "contract_schema_version_unsupported",
        ),
    ];
    for (content, expected) in files {
        let evaluation = evaluated(&inputs(vec![claim("a.jsonl", &content)]));
        let row = json::to_value(&evaluation.rows[0]);
        assert_eq!(row["reasonCodes"], json!([expected]), "{content:?}");
        assert_eq!(row["status"], "rejected_contract");
        assert_eq!(evaluation.queue.intents, Vec::<Value>::new());
        assert_eq!(evaluation.state.dedupe.key_count, 0);
    }
}

#[test]
fn a_key_is_known_from_state_queue_this_file_and_files_before_it() {
    let inputs = with_previous(
        inputs(vec![
            claim(
                "a.jsonl",
                &lines(&[
                    envelope("state", "1"),
                    envelope("queue", "1"),
                    envelope("new", "1"),
                    envelope("new", "1"),
                ]),
            ),
            claim("b.jsonl", &(lines(&[envelope("rejected", "1")]) + "x\n")),
            claim(
                "c.jsonl",
                &lines(&[
                    envelope("new", "1"),
                    envelope("rejected", "1"),
                    envelope("new", "2"),
                ]),
            ),
        ]),
        json!({"intents": [{"packetId": "queue", "traceId": "1"}]}),
        json!({"dedupe": {"keys": ["state::1"]}}),
    );
    let evaluation = evaluated(&inputs);
    let counts: Vec<Value> = evaluation
        .rows
        .iter()
        .map(|row| json::to_value(row)["summary"].clone())
        .collect();
    assert_eq!(
        counts[0],
        json!({"lineCount": 4, "queuedCount": 1, "duplicateCount": 3, "invalidCount": 0})
    );
    assert_eq!(
        counts[1],
        json!({"lineCount": 2, "queuedCount": 1, "duplicateCount": 0, "invalidCount": 1})
    );
    assert_eq!(
        counts[2],
        json!({"lineCount": 3, "queuedCount": 2, "duplicateCount": 1, "invalidCount": 0})
    );
    let summary = evaluation.state.summary;
    assert_eq!(
        (
            summary.queued_envelope_count,
            summary.duplicate_envelope_count
        ),
        (3, 4)
    );
    assert_eq!(
        evaluation.state.dedupe.keys,
        ["new::1", "new::2", "queue::1", "rejected::1", "state::1"]
    );
}

#[test]
fn a_file_is_its_lines_blank_ones_included_and_the_last_needs_no_newline() {
    for (content, expected) in [("", 0), ("\n", 1), ("\n\n", 2), ("\n\n ", 3)] {
        let evaluation = evaluated(&inputs(vec![claim("a.jsonl", content)]));
        let row = json::to_value(&evaluation.rows[0]);
        assert_eq!(row["summary"]["lineCount"], expected, "{content:?}");
    }
    let whole = lines(&[envelope("a", "1")]);
    let evaluation = evaluated(&inputs(vec![claim("a.jsonl", whole.trim_end())]));
    assert_eq!(evaluation.state.summary.queued_envelope_count, 1);
}
