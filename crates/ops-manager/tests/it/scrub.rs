//! Documents with everything that differs from run to run replaced by a
//! constant, so that they can be compared whole.

use std::path::Path;

use om_model::Timestamp;
use serde_json::{Map, Value};

/// Recorded data ends before this moment; any later time is "now".
const RECORDED_UNTIL: &str = "2026-11-20T08:00:00Z";

/// Members that hold a different number in every run, and what they become.
const VOLATILE: [(&str, &str); 14] = [
    ("mtimeEpoch", "<mtime>"),
    ("ingestLagSeconds", "<lag>"),
    ("heartbeatLagSeconds", "<lag>"),
    ("durationSeconds", "<seconds>"),
    ("lastDurationSeconds", "<seconds>"),
    ("p50", "<seconds>"),
    ("p95", "<seconds>"),
    ("max", "<seconds>"),
    ("device", "<device>"),
    ("inode", "<inode>"),
    ("length", "<length>"),
    ("byteOffset", "<offset>"),
    ("pid", "<pid>"),
    ("host", "<host>"),
];

/// `value` with the repository's path, the clock, lags, durations, generated
/// trace ids and file identities replaced.
pub(crate) fn scrub(value: &Value, repo: &Path) -> Value {
    match value {
        Value::Object(members) => Value::Object(scrub_members(members, repo)),
        Value::Array(items) => items.iter().map(|item| scrub(item, repo)).collect(),
        Value::String(text) => Value::String(scrub_text(text, repo)),
        other => other.clone(),
    }
}

fn scrub_members(members: &Map<String, Value>, repo: &Path) -> Map<String, Value> {
    let is_lag = members
        .get("metric")
        .and_then(Value::as_str)
        .is_some_and(|metric| metric.ends_with("LagSeconds"));
    let scrubbed = |name: &str, value: &Value| match value {
        Value::Number(_) | Value::String(_) if volatile(name).is_some() => {
            volatile(name).map_or(Value::Null, Value::from)
        }
        Value::String(_) if is_lag && name == "observed" => "<lag>".into(),
        Value::String(_) if name.ends_with("Sha256") || name == "digestState" => "<digest>".into(),
        other => scrub(other, repo),
    };
    members
        .iter()
        .map(|(name, value)| (name.clone(), scrubbed(name, value)))
        .collect()
}

fn volatile(name: &str) -> Option<&'static str> {
    VOLATILE
        .iter()
        .find(|(member, _)| *member == name)
        .map(|(_, constant)| *constant)
}

fn scrub_text(text: &str, repo: &Path) -> String {
    let recorded_until = Timestamp::parse(RECORDED_UNTIL).expect("a timestamp");
    if Timestamp::parse(text).is_some_and(|at| at > recorded_until) {
        return "<now>".to_owned();
    }
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
        });
    if is_uuid {
        return "<uuid>".to_owned();
    }
    text.replace(&repo.display().to_string(), "<repo>")
}
