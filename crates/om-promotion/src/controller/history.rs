//! What earlier runs did (chapter 07 §5.3, §5.4 step 6).

use std::fs::File;
use std::path::Path;

use om_model::{Timestamp, json};
use om_store::{LineReader, ReadError};
use serde_json::Value;

use crate::error::PromotionError;

/// What the runs of a window did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Runs that applied.
    pub(super) applies: u64,
    /// Percent points by which they widened.
    pub(super) expand_step: f64,
    /// The latest change, applied or undone.
    pub(super) last_mutation: Option<Timestamp>,
}

impl Usage {
    /// Reads the runs since `from`; whoever wrote them, and however they
    /// ended.
    pub(super) fn read(path: &str, from: i64) -> Result<Self, PromotionError> {
        let file = Path::new(path);
        let mut usage = Self::default();
        if !file.is_file() {
            return Ok(usage);
        }
        let failed = |source| {
            PromotionError::Read(ReadError {
                path: file.to_owned(),
                source,
            })
        };
        let mut lines = LineReader::new(File::open(file).map_err(failed)?, 0, 0);
        while let Some(line) = lines.next_line().map_err(failed)? {
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            let row = json::parse(line.bytes).map_err(|error| error.to_string());
            row.and_then(|row| usage.add(&row, from))
                .map_err(|cause| PromotionError::Row {
                    what: "controller telemetry",
                    path: path.to_owned(),
                    line: line.number,
                    cause,
                })?;
        }
        Ok(usage)
    }

    /// Takes in one row.
    fn add(&mut self, row: &Value, from: i64) -> Result<(), String> {
        let members = match row {
            Value::Object(members) => members,
            Value::Null => return Ok(()),
            other => {
                return Err(format!(
                    "it is {}, expected an object",
                    json::type_name(other)
                ));
            }
        };
        let stamp = members.get("timestamp").and_then(Value::as_str);
        let Some(at) = stamp.and_then(Timestamp::parse) else {
            return Ok(());
        };
        if at.epoch_seconds() < from {
            return Ok(());
        }
        let execution = match json::present(members.get("execution")) {
            None => return Ok(()),
            Some(Value::Object(execution)) => execution,
            Some(other) => {
                let found = json::type_name(other);
                return Err(format!("execution is {found}, expected an object"));
            }
        };
        match execution.get("action").and_then(Value::as_str) {
            Some("apply") => {
                self.applies += 1;
                self.expand_step += expand_step(execution.get("expandStep"))?;
            }
            Some("rollback") => {}
            _ => return Ok(()),
        }
        self.last_mutation = self.last_mutation.max(Some(at));
        Ok(())
    }
}

fn expand_step(value: Option<&Value>) -> Result<f64, String> {
    match json::present(value) {
        None => Ok(0.0),
        Some(Value::Number(step)) => step
            .as_f64()
            .filter(|step| *step >= 0.0)
            .ok_or_else(|| format!("execution.expandStep is {step}, expected percent points")),
        Some(other) => {
            let found = json::type_name(other);
            Err(format!(
                "execution.expandStep is {found}, expected a number"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FROM: i64 = 1_900_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_epoch_seconds(FROM + seconds)
    }

    fn row(seconds: i64, action: &str, step: &Value) -> Value {
        json!({ "timestamp": at(seconds), "execution": { "action": action, "expandStep": step } })
    }

    fn usage(rows: &[Value]) -> Result<Usage, String> {
        let mut usage = Usage::default();
        for row in rows {
            usage.add(row, FROM)?;
        }
        Ok(usage)
    }

    #[test]
    fn changes_in_the_window_count() {
        let rows = [
            row(-1, "apply", &json!(50)),
            row(0, "apply", &json!(25)),
            row(10, "apply", &json!(null)),
            row(30, "rollback", &json!(25)),
            row(20, "apply", &json!(5)),
            row(40, "hold", &json!(9)),
            json!(null),
            json!({ "timestamp": "?", "execution": "x" }),
            json!({ "timestamp": at(50) }),
        ];
        let expected = Usage {
            applies: 3,
            expand_step: 30.0,
            last_mutation: Some(at(30)),
        };
        assert_eq!(usage(&rows), Ok(expected));
    }

    #[test]
    fn rows_of_the_future_count() {
        let usage = usage(&[row(1_000_000, "apply", &json!(25))]).expect("is usable");
        assert_eq!(usage.applies, 1);
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        for (row, message) in [
            (json!("x"), "it is a string, expected an object"),
            (
                json!({ "timestamp": at(0), "execution": "apply" }),
                "execution is a string, expected an object",
            ),
            (
                row(0, "apply", &json!("25")),
                "execution.expandStep is a string, expected a number",
            ),
            (
                row(0, "apply", &json!(-25)),
                "execution.expandStep is -25, expected percent points",
            ),
        ] {
            assert_eq!(usage(&[row]), Err(message.to_owned()));
        }
        assert_eq!(
            usage(&[row(-1, "apply", &json!("25"))]),
            Ok(Usage::default())
        );
    }

    #[test]
    fn a_damaged_line_is_named_and_an_unfinished_one_is_not_there_yet() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("UTF-8");
        std::fs::write(path, "\nnull\n{").expect("written");
        assert_eq!(Usage::read(path, FROM).ok(), Some(Usage::default()));
        std::fs::write(path, "\nnull\n{\n").expect("written");
        let error = Usage::read(path, FROM).expect_err("is refused").to_string();
        assert!(
            error.starts_with("invalid controller telemetry JSONL: "),
            "{error}"
        );
        assert!(error.contains(": line 3: "), "{error}");
    }
}
