//! The last rows of the telemetry (chapter 05 §3.3, §3.5.7).
//!
//! A row of a fan-out repeats all its results, so only the members that are
//! shown are made into values.

use std::fmt;

use om_model::fleet::status::{
    FleetStatusFiles, LatestHandoffTelemetry, LatestTelemetry, OutcomeRollup,
};
use om_model::json::{self, Lookup, ParseError, WrongType};
use om_model::status::StatusWarning;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{FleetStatusError, FleetStatusInputs, LastRow, or_default};

const RECONCILE_MEMBERS: &[&str] = &["timestamp", "status", "reasonCodes"];
const HANDOFF_MEMBERS: &[&str] = &["timestamp", "category", "traceId", "execution", "summary"];
const EXECUTION_MEMBERS: &[&str] = &[
    "mode",
    "requestedIntentCount",
    "executedCount",
    "ambiguousCount",
    "failedCount",
];
const SUMMARY_MEMBERS: &[&str] = &[
    "intentCount",
    "autoEligibleIntentCount",
    "manualOnlyIntentCount",
    "pendingConfirmationCount",
    "pendingManualOnlyCount",
    "executedCount",
    "ambiguousCount",
    "failedCount",
];

/// The last fan-out's row.
pub(super) fn latest(
    inputs: &FleetStatusInputs,
    warnings: &mut Vec<StatusWarning>,
) -> Result<Option<LatestTelemetry>, FleetStatusError> {
    let at = |files: &FleetStatusFiles| files.fleet_telemetry_file.clone();
    let row = inputs.fleet_row.as_ref();
    let Some(row) = Row::open(row, at(&inputs.files), RECONCILE_MEMBERS, warnings)? else {
        return Ok(None);
    };
    Ok(Some(LatestTelemetry {
        timestamp: row.copy("timestamp")?,
        status: row.copy("status")?,
        reason_codes: row.copy("reasonCodes")?.unwrap_or_else(|| json!([])),
    }))
}

/// The last handoff's row, of a plan or of an execution. What became of
/// actions is what the last execution left (decision D17).
pub(super) fn latest_handoff(
    inputs: &FleetStatusInputs,
    rollup: &OutcomeRollup,
    warnings: &mut Vec<StatusWarning>,
) -> Result<Option<LatestHandoffTelemetry>, FleetStatusError> {
    let at = |files: &FleetStatusFiles| files.handoff_telemetry_file.clone();
    let row = inputs.handoff_row.as_ref();
    let Some(row) = Row::open(row, at(&inputs.files), HANDOFF_MEMBERS, warnings)? else {
        return Ok(None);
    };
    let execution = match &inputs.execution_row {
        Some(older) if row.copy("execution")?.is_none() => {
            Row::open(Some(older), at(&inputs.files), HANDOFF_MEMBERS, warnings)?
        }
        _ => None,
    };
    let execution = execution.as_ref().unwrap_or(&row);
    let is_autonomous = execution.copy("execution.mode")? == Some(json!("autonomous"));
    let executed = |member: &str| -> Result<Value, FleetStatusError> {
        let found = execution.copy(&format!("execution.{member}"))?;
        let found = found.filter(|_| is_autonomous);
        Ok(found.unwrap_or_else(|| json!(0)))
    };
    let backlog = row.copy("summary.summary.pendingManualOnlyCount")?;
    Ok(Some(LatestHandoffTelemetry {
        timestamp: row.copy("timestamp")?,
        category: row.copy("category")?,
        trace_id: row.copy("traceId")?,
        execution: execution.members("execution", EXECUTION_MEMBERS)?,
        summary: row.members("summary.summary", SUMMARY_MEMBERS)?,
        autonomous_outcome_rollup: OutcomeRollup {
            attempted: executed("requestedIntentCount")?,
            executed: executed("executedCount")?,
            ambiguous: executed("ambiguousCount")?,
            failed: executed("failedCount")?,
            manual_backlog: or_default(backlog.as_ref(), rollup.manual_backlog.clone()),
        },
        reason_codes: row
            .copy("summary.reasonCodes")?
            .unwrap_or_else(|| json!([])),
    }))
}

/// Whether a line of the handoff telemetry is the row of an execution; one
/// that is no such row, or none at all, is not.
pub fn is_of_execution(line: &[u8]) -> bool {
    let row = read(line, &["execution"]).unwrap_or_default();
    row.get("execution").is_some_and(Value::is_object)
}

/// An object that is the last line of a journal.
struct Row {
    value: Value,
    file: String,
    line: Option<u64>,
}

impl Row {
    /// `None` for no row, a blank one, and `null`; a line that is not JSON is
    /// none either, with a warning.
    fn open(
        last: Option<&LastRow>,
        file: String,
        members: &'static [&'static str],
        warnings: &mut Vec<StatusWarning>,
    ) -> Result<Option<Self>, FleetStatusError> {
        let Some(last) = last else {
            return Ok(None);
        };
        let line = last.line;
        let value = match read(&last.row.bytes, members) {
            Ok(Value::Null) | Err(ParseError::Blank) => return Ok(None),
            Ok(value) => value,
            Err(ParseError::Malformed(message)) if !has_tail(&last.row.bytes) => {
                warnings.push(StatusWarning {
                    file,
                    line,
                    message: format!("the last row is not JSON and was passed over: {message}"),
                });
                return Ok(None);
            }
            Err(error) => {
                let cause = error.to_string();
                return Err(FleetStatusError::Row { file, line, cause });
            }
        };
        let row = Self { value, file, line };
        if row.value.is_object() {
            return Ok(Some(row));
        }
        let found = json::type_name(&row.value);
        Err(row.error(format!("it is {found}, expected an object")))
    }

    fn copy(&self, path: &str) -> Result<Option<Value>, FleetStatusError> {
        let found = Lookup::new(&self.value).get(path);
        let wrong = |wrong: WrongType| self.error(wrong.to_string());
        Ok(found.map_err(wrong)?.cloned())
    }

    /// Those of `members` of the object at `path` that are present.
    fn members(
        &self,
        path: &str,
        members: &[&str],
    ) -> Result<Map<String, Value>, FleetStatusError> {
        let mut found = Map::new();
        for member in members {
            if let Some(value) = self.copy(&format!("{path}.{member}"))? {
                found.insert((*member).to_owned(), value);
            }
        }
        Ok(found)
    }

    fn error(&self, cause: String) -> FleetStatusError {
        FleetStatusError::Row {
            file: self.file.clone(),
            line: self.line,
            cause,
        }
    }
}

/// Whether a document comes first, and something else behind it.
fn has_tail(line: &[u8]) -> bool {
    let mut documents = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    matches!(documents.next(), Some(Ok(_)))
}

/// The document of a line; of an object only `members`.
fn read(line: &[u8], members: &'static [&'static str]) -> Result<Value, ParseError> {
    let mut parser = serde_json::Deserializer::from_slice(line);
    let picked = Pick(members)
        .deserialize(&mut parser)
        .and_then(|picked| parser.end().map(|()| picked));
    match picked {
        Ok(mut picked) => {
            json::normalize(&mut picked);
            Ok(picked)
        }
        // Whatever is unusual about it is told by the reader of everything.
        Err(_) => json::parse(line),
    }
}

/// Members of an object, the last one of each name.
struct Pick(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Pick {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pick {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut picked = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.0.contains(&name.as_str()) {
                picked.insert(name, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Object(picked))
    }
}
