//! The answer to a key that was used before (chapter 07 §3.4 step 3).

use std::fs::File;
use std::path::Path;

use om_model::json;
use om_model::promotion::ApplyIntent;
use om_store::{LineReader, ReadError};
use serde_json::{Map, Value};

use super::change::evidence_refs;
use super::request::ApplyRequest;
use crate::error::PromotionError;

/// The last record with `key` in the audit trail at `path`; without a key,
/// none.
///
/// A trail that cannot be read in full refuses whatever widens, with a key or
/// without: nobody knows then what was done before. A rollback makes do with
/// what can be read (decision D20).
pub(super) fn find(
    path: &str,
    key: Option<&str>,
    intent: ApplyIntent,
) -> Result<Option<Map<String, Value>>, PromotionError> {
    match scan(path, key, intent) {
        Err(PromotionError::Read(_)) if !intent.widens() => Ok(None),
        found => found,
    }
}

fn scan(
    path: &str,
    key: Option<&str>,
    intent: ApplyIntent,
) -> Result<Option<Map<String, Value>>, PromotionError> {
    let file = Path::new(path);
    if !file.is_file() {
        return Ok(None);
    }
    let failed = |source| {
        PromotionError::Read(ReadError {
            path: file.to_owned(),
            source,
        })
    };
    let mut lines = LineReader::new(File::open(file).map_err(failed)?, 0, 0);
    let mut found = None;
    while let Some(line) = lines.next_line().map_err(failed)? {
        match record(line.bytes) {
            Ok(Some(row)) if key.is_some_and(|key| is_keyed(&row, key)) => found = Some(row),
            Err(cause) if intent.widens() => {
                return Err(PromotionError::Row {
                    what: "promotion apply telemetry",
                    path: path.to_owned(),
                    line: line.number,
                    cause,
                });
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

fn is_keyed(row: &Map<String, Value>, key: &str) -> bool {
    row.get("idempotencyKey").is_some_and(|used| used == key)
}

/// A row, `None` if it is blank or `null`.
fn record(line: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    match json::parse(line) {
        Ok(Value::Object(row)) => Ok(Some(row)),
        Ok(Value::Null) => Ok(None),
        Ok(other) => Err(format!(
            "it is {}, expected an object",
            json::type_name(&other)
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// The stored record as the answer to `request`, which has to be about the
/// same intent.
pub(super) fn answer(
    mut row: Map<String, Value>,
    request: &ApplyRequest,
    intent: ApplyIntent,
    state_file: &str,
) -> Result<Value, PromotionError> {
    let used_for = json::present(row.get("intent")).map(json::text);
    if used_for.as_deref() != Some(intent.as_str()) {
        return Err(PromotionError::KeyUsed {
            intent: used_for.unwrap_or_else(|| "unknown".to_owned()),
            key: request.idempotency_key.clone().unwrap_or_default(),
        });
    }
    let text = |given: &Option<String>| given.clone().map_or(Value::Null, Value::from);
    for (name, default) in [
        ("loopId", text(&request.loop_id)),
        ("horizonRef", text(&request.horizon_ref)),
        ("evidenceRefs", evidence_refs(request, state_file).into()),
    ] {
        if json::present(row.get(name)).is_none() {
            row.insert(name.to_owned(), default);
        }
    }
    row.insert("replayed".to_owned(), Value::Bool(true));
    Ok(Value::Object(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trail(rows: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), rows).expect("written");
        file
    }

    fn found(rows: &str, intent: ApplyIntent) -> Result<Option<Value>, String> {
        let file = trail(rows);
        let found = find(file.path().to_str().expect("UTF-8"), Some("k"), intent);
        let value = found.map(|row| row.map(|row| row["n"].clone()));
        value.map_err(|error| error.to_string())
    }

    #[test]
    fn the_last_record_with_the_key_counts() {
        let rows = "{\"idempotencyKey\":\"k\",\"n\":1}\n\nnull\n{\"idempotencyKey\":\"k\",\"n\":2}\n\
                    {\"idempotencyKey\":\"other\",\"n\":3}\n{\"idempotencyKey\":\"k\",\"n\":4}";
        assert_eq!(found(rows, ApplyIntent::Expand), Ok(Some(json!(2))));
        assert_eq!(found("", ApplyIntent::Expand), Ok(None));
    }

    #[test]
    fn a_damaged_trail_stops_whatever_widens_but_no_rollback() {
        let rows = "{\"idempotencyKey\":\"k\",\"n\":1}\n{\n\"x\"\n";
        for intent in [ApplyIntent::Expand, ApplyIntent::Resume] {
            let error = found(rows, intent).expect_err("is refused");
            assert!(
                error.starts_with("invalid promotion apply telemetry JSONL: "),
                "{error}"
            );
            assert!(error.contains(": line 2: "), "{error}");
        }
        assert_eq!(found(rows, ApplyIntent::Rollback), Ok(Some(json!(1))));
    }

    fn answered(row: &Value, request: &ApplyRequest) -> Result<Value, String> {
        let row = row.as_object().expect("an object").clone();
        let answer = answer(row, request, ApplyIntent::Expand, "s.json");
        answer.map_err(|error| error.to_string())
    }

    fn request() -> ApplyRequest {
        ApplyRequest {
            idempotency_key: Some("k".into()),
            loop_id: Some("mine".into()),
            evidence_refs: vec!["e".into()],
            ..ApplyRequest::default()
        }
    }

    #[test]
    fn a_stored_record_is_the_answer_and_says_so() {
        let stored = json!({ "intent": "expand", "loopId": "theirs", "traceId": "t" });
        assert_eq!(
            answered(&stored, &request()),
            Ok(json!({
                "intent": "expand", "loopId": "theirs", "traceId": "t",
                "horizonRef": null, "evidenceRefs": ["e", "s.json"], "replayed": true,
            }))
        );
        let stored = json!({ "intent": "expand", "loopId": null });
        let answer = answered(&stored, &request()).expect("is answered");
        assert_eq!(answer["loopId"], "mine");
    }

    #[test]
    fn a_key_stands_for_one_intent() {
        for (stored, named) in [
            (json!({ "intent": "rollback" }), "rollback"),
            (json!({}), "unknown"),
        ] {
            let error = answered(&stored, &request()).expect_err("is refused");
            assert_eq!(
                error,
                format!("idempotency key already used for intent {named}: k")
            );
        }
    }
}
