//! What holds of any outbox, whatever is in it.

use std::collections::{BTreeMap, BTreeSet};

use om_horizon::previous::{PreviousQueue, PreviousState};
use om_horizon::{Claim, Context, Evaluation, Inputs, Places, evaluate};
use om_model::horizon::{EntryStatus, FileStatus};
use om_model::{Artifact, Timestamp, json};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{envelope, trace};

/// Lines with few different ids, so that they collide.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0u8..6, 0u8..3).prop_map(|(packet, trace)| {
            envelope(&format!("p{packet}"), &format!("t{trace}")).to_string()
        }),
        1 => Just(String::new()),
        1 => Just("{".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("[]".to_owned()),
    ]
}

fn files() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(line(), 0..6), 0..5)
}

fn evaluated(files: &[Vec<String>], queue: Value, state: Value, run: usize) -> Evaluation {
    let claims = files.iter().enumerate().map(|(number, lines)| Claim {
        name: format!("{number}.claim.{run}.1"),
        bytes: lines
            .iter()
            .map(String::as_str)
            .flat_map(|line| [line, "\n"])
            .collect::<String>()
            .into_bytes(),
        faults_stop: false,
        is_watched: false,
    });
    let text = |name: &str| format!("/r/{name}");
    let inputs = Inputs {
        queue: PreviousQueue::read(Artifact::Document(queue)).expect("a queue"),
        state: PreviousState::read(&Artifact::Document(state)).expect("a state"),
        claims: claims.collect(),
        deferred: Vec::new(),
        places: Places {
            outbox_dir: text("outbox"),
            claims_dir: text("claims"),
            queue_file: text("queue"),
            state_file: text("state"),
            telemetry_file: text("rows"),
        },
    };
    let context = Context {
        now: Timestamp::from_epoch_seconds(i64::try_from(run).expect("small")),
        trace_id: trace("run"),
    };
    let evaluation = evaluate(&inputs, &context).expect("nothing stops it");
    assert_eq!(
        evaluate(&inputs, &context),
        Ok(evaluation.clone()),
        "deterministic"
    );
    evaluation
}

fn keys(evaluation: &Evaluation) -> Vec<String> {
    let entries = evaluation.queue.intents.iter();
    entries.map(om_horizon::merge::entry_key).collect()
}

proptest! {
    #[test]
    fn every_envelope_of_a_processed_file_is_queued_once_and_none_of_a_rejected_one(files in files()) {
        let evaluation = evaluated(&files, Value::Null, Value::Null, 1);
        let mut expected = BTreeSet::new();
        for (lines, verdict) in files.iter().zip(&evaluation.verdicts) {
            let is_whole = lines.iter().all(|line| line.is_empty() || line.contains("packetId"));
            prop_assert_eq!(*verdict == FileStatus::Processed, is_whole);
            if is_whole {
                expected.extend(lines.iter().filter(|line| !line.is_empty()).map(|line| {
                    let value: Value = serde_json::from_str(line).expect("JSON");
                    let text = |value: &Value| value.as_str().expect("a text").to_owned();
                    text(&value["packet"]["packetId"]) + "::" + &text(&value["traceId"])
                }));
            }
        }
        let found = keys(&evaluation);
        prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), expected.clone());
        prop_assert_eq!(found.len(), expected.len());
        prop_assert_eq!(&evaluation.state.dedupe.keys, &expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_counts_agree_with_the_rows_and_every_file_has_one(files in files()) {
        let evaluation = evaluated(&files, Value::Null, Value::Null, 1);
        prop_assert_eq!(evaluation.rows.len(), files.len() + 1);
        let rows: Vec<Value> = evaluation.rows.iter().map(json::to_value).collect();
        for (row, lines) in rows.iter().zip(&files) {
            prop_assert_eq!(&row["summary"]["lineCount"], lines.len());
            let is_rejected = row["status"] == "rejected_contract";
            prop_assert_eq!(row["reasonCodes"].as_array().map(Vec::len), Some(usize::from(is_rejected)));
        }
        let summary = evaluation.state.summary;
        prop_assert_eq!(summary.queued_envelope_count, evaluation.queue.intents.len() as u64);
        prop_assert_eq!(
            summary.processed_file_count + summary.rejected_file_count,
            summary.claimed_file_count
        );
        prop_assert_eq!(evaluation.exit_code(), if summary.rejected_file_count > 0 { 2 } else { 0 });
        let mut sorted = evaluation.state.reason_codes.clone();
        sorted.sort_by_key(|reason| json::to_value(reason).to_string());
        prop_assert_eq!(sorted, evaluation.state.reason_codes);
    }

    #[test]
    fn over_several_runs_no_envelope_comes_twice_and_no_entry_changes(
        runs in prop::collection::vec(files(), 1..5),
    ) {
        let (mut queue, mut state) = (Value::Null, Value::Null);
        let mut entries: BTreeMap<String, Value> = BTreeMap::new();
        for (number, files) in runs.iter().enumerate() {
            let evaluation = evaluated(files, queue, state, number);
            let found: BTreeMap<String, Value> =
                keys(&evaluation).into_iter().zip(evaluation.queue.intents.clone()).collect();
            prop_assert_eq!(found.len(), evaluation.queue.intents.len());
            for (key, entry) in &entries {
                prop_assert_eq!(found.get(key), Some(entry));
            }
            entries = found;
            queue = json::to_value(&evaluation.queue);
            state = json::to_value(&evaluation.state);
            let pending = EntryStatus::PendingOperatorConfirmation.as_str();
            prop_assert!(entries.values().all(|entry| entry["status"] == pending));
            prop_assert!(entries.values().all(|entry| entry["autonomous"]["eligible"] == json!(false)));
        }
    }
}
