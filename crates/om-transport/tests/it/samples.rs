//! The snapshot and the events of real runs, one per situation.

use std::fs;
use std::path::{Path, PathBuf};

use om_model::{LoopId, json as text};
use om_store::RepoLayout;
use om_transport::LocalTransport;
use serde_json::{Value, json};

use crate::support::{from_start, loop_id, poll, snapshot_request};

/// Sample repository and its loop.
const SAMPLES: [(&str, &str); 8] = [
    ("approved", "awaiting-approval"),
    ("awaiting-approval", "awaiting-approval"),
    ("complete", "checkout-flow"),
    ("max-iterations", "max-iterations"),
    ("rejected", "awaiting-approval"),
    ("role-failure", "role-failure"),
    ("running", "running"),
    ("stuck", "stuck"),
];

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/runtime")
}

fn sample(name: &str, id: &str) -> (RepoLayout, LoopId) {
    (RepoLayout::new(samples().join(name)), loop_id(id))
}

/// `envelope` without what depends on where and when it was checked out.
fn stable(mut envelope: Value) -> Value {
    envelope["source"]["repoPath"] = json!("/srv/app");
    let references = envelope.get_mut("artifacts").and_then(Value::as_object_mut);
    for reference in references.into_iter().flat_map(|all| all.values_mut()) {
        if !reference["mtimeEpoch"].is_null() {
            reference["mtimeEpoch"] = json!(1_988_000_000);
        }
    }
    envelope
}

#[test]
fn every_sample_is_listed() {
    let mut found: Vec<String> = fs::read_dir(samples())
        .expect("the samples")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    assert_eq!(found, SAMPLES.map(|(name, _)| name));
}

#[test]
fn the_snapshot_of_every_sample() {
    for (name, id) in SAMPLES {
        let (layout, id) = sample(name, id);
        let envelope = LocalTransport::new(&layout, &id)
            .snapshot(&snapshot_request(None))
            .expect("a snapshot");
        let written = text::pretty(&stable(text::to_value(&envelope)));
        insta::assert_snapshot!(format!("snapshot_{name}"), written);
    }
}

/// `raw` and `payload` repeat the line; that they do is asserted, so that the
/// expected output shows the rest.
#[test]
fn the_events_of_every_sample() {
    for (name, id) in SAMPLES {
        let (layout, id) = sample(name, id);
        let log = fs::read_to_string(layout.runtime(&id).events()).expect("the log");
        let polled = poll(&mut LocalTransport::new(&layout, &id), &from_start());
        assert_eq!(polled.envelopes.len(), log.lines().count());
        let mut written = String::new();
        for (envelope, line) in polled.envelopes.iter().zip(log.lines()) {
            let mut envelope = stable(text::to_value(envelope));
            let record: Value = serde_json::from_str(line).expect("a record");
            let event = &mut envelope["event"];
            assert_eq!(event["payload"], record["data"]);
            assert_eq!(event["raw"], record);
            event["payload"] = json!("(data)");
            event["raw"] = json!("(line)");
            written.push_str(&text::compact(&envelope));
            written.push('\n');
        }
        insta::assert_snapshot!(format!("events_{name}"), written);
        let cursor = polled.cursor();
        assert_eq!(cursor.event_line_offset, cursor.event_line_count);
    }
}

#[test]
fn a_pass_sees_the_count_and_the_last_envelope_of_what_is_polled() {
    for (name, id) in SAMPLES {
        let (layout, id) = sample(name, id);
        let polled = poll(&mut LocalTransport::new(&layout, &id), &from_start());
        let observed = LocalTransport::new(&layout, &id)
            .events(&from_start())
            .expect("events");
        let batch = observed.batch;
        assert_eq!(batch.sequence.count, polled.envelopes.len() as u64);
        assert_eq!(batch.last, polled.envelopes.last().map(text::to_value));
        assert_eq!(observed.cursor, polled.cursor());
    }
}
