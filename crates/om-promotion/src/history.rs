//! Who changed the rollout, when, why, from what to what and until when; and
//! what the controller did besides.
//!
//! Both journals were written by us or by the scripts; they are read
//! tolerantly, and a row that cannot be read is told and left out (decision
//! D9).

use std::path::Path;

use om_model::json::{self, Lookup, present};
use om_model::status::StatusWarning;
use om_store::{FleetFile, ReadError, Row, View, line_number_of};
use serde::Serialize;
use serde_json::Value;

use crate::error::PromotionError;
use crate::paths::FleetPaths;

/// What happened, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Rows that could not be read; omitted when all could.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StatusWarning>,
}

/// One change of the rollout, or one run of the controller.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When, as recorded; empty if it is not.
    pub timestamp: String,
    /// What it is.
    pub kind: EntryKind,
    /// A change's intent, a run's status.
    pub what: String,
    /// Whether the controller made the change.
    pub by_controller: bool,
    /// The promotion decision behind it.
    pub decision: Option<String>,
    /// Who.
    pub actor: Option<String>,
    /// By which approval.
    pub approval_ref: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// Until when.
    pub review_by: Option<String>,
    /// A change's rollout before it.
    pub before: Option<Posture>,
    /// A change's rollout after it.
    pub after: Option<Posture>,
    /// Why a run did no more than it did.
    pub reason_codes: Vec<String>,
    /// Links what belongs together.
    pub trace_id: Option<String>,
    /// As given.
    pub idempotency_key: Option<String>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The rollout was changed: a row of `promotion-apply.jsonl`.
    Change,
    /// The controller ran: a row of `promotion-controller.jsonl`.
    ControllerRun,
}

/// How far autonomy reached, as recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Posture {
    /// In percent.
    pub canary_percent: Value,
    /// Whether people had paused it.
    pub manual_pause: Value,
}

/// The latest `n` changes and the latest `n` runs of the fleet at `repo`, of
/// which the latest `n` are told.
pub fn read(repo: &Path, n: usize) -> Result<History, PromotionError> {
    let paths = FleetPaths::of(repo);
    let changes = paths.or(None, FleetFile::PromotionApplyRows);
    let runs = paths.or(None, FleetFile::PromotionControllerRows);
    let view = View::open(paths.scope_dir())?;
    let (changes, runs) = view.consistent(|view| -> Result<_, ReadError> {
        let rows = |path: &str| view.last_rows(Path::new(path), n);
        Ok((
            Journal::new(&changes, rows(&changes)?),
            Journal::new(&runs, rows(&runs)?),
        ))
    })?;
    let mut warnings = changes.warnings()?;
    warnings.extend(runs.warnings()?);
    let mut entries = entries(&changes.documents(), &runs.documents());
    entries.truncate(n);
    Ok(History { entries, warnings })
}

/// The last rows of a journal.
struct Journal {
    path: String,
    rows: Vec<(Row, Result<Value, String>)>,
}

impl Journal {
    fn new(path: &str, rows: Vec<Row>) -> Self {
        let filled = rows
            .into_iter()
            .filter(|row| !row.bytes.trim_ascii().is_empty());
        let rows = filled.map(|row| {
            let parsed = match json::parse(&row.bytes) {
                Ok(document @ Value::Object(_)) => Ok(document),
                Ok(other) => Err(format!(
                    "it is {}, expected an object",
                    json::type_name(&other)
                )),
                Err(error) => Err(error.to_string()),
            };
            (row, parsed)
        });
        Self {
            path: path.to_owned(),
            rows: rows.collect(),
        }
    }

    fn documents(&self) -> Vec<&Value> {
        let parsed = self.rows.iter().map(|(_, parsed)| parsed);
        parsed.filter_map(|parsed| parsed.as_ref().ok()).collect()
    }

    fn warnings(&self) -> Result<Vec<StatusWarning>, ReadError> {
        let mut warnings = Vec::new();
        for (row, parsed) in &self.rows {
            if let Err(message) = parsed {
                warnings.push(StatusWarning {
                    file: self.path.clone(),
                    line: Some(line_number_of(Path::new(&self.path), row.offset)?),
                    message: message.clone(),
                });
            }
        }
        Ok(warnings)
    }
}

/// The rows of both journals, in file order, as entries, newest first; what
/// has the same time stays in the order in which it was written: the change
/// before the run that made it.
fn entries(changes: &[&Value], runs: &[&Value]) -> Vec<Entry> {
    let traces: Vec<String> = runs
        .iter()
        .filter_map(|run| text(run, "context.traceId"))
        .collect();
    let changes = changes.iter().map(|row| {
        let mut entry = change(row);
        entry.by_controller = entry
            .trace_id
            .as_ref()
            .is_some_and(|id| traces.contains(id));
        entry
    });
    let mut entries: Vec<Entry> = changes.chain(runs.iter().map(|row| run(row))).collect();
    entries.sort_by(|a, b| a.timestamp.cmp(&b.timestamp));
    entries.reverse();
    entries
}

fn change(row: &Value) -> Entry {
    let posture = |name: &str| {
        let posture = present(row.get("rollout")?.get(name))?;
        let member = |name: &str| posture.get(name).cloned().unwrap_or_default();
        Some(Posture {
            canary_percent: member("canaryPercent"),
            manual_pause: member("manualPause"),
        })
    };
    Entry {
        timestamp: text(row, "timestamp").unwrap_or_default(),
        kind: EntryKind::Change,
        what: text(row, "intent").unwrap_or_default(),
        by_controller: false,
        decision: text(row, "decision"),
        actor: text(row, "governance.actor"),
        approval_ref: text(row, "governance.approvalRef"),
        rationale: text(row, "governance.rationale"),
        review_by: text(row, "governance.reviewBy"),
        before: posture("before"),
        after: posture("after"),
        reason_codes: Vec::new(),
        trace_id: text(row, "traceId"),
        idempotency_key: text(row, "idempotencyKey"),
    }
}

fn run(row: &Value) -> Entry {
    let codes = row
        .get("decision")
        .and_then(|decision| decision.get("reasonCodes"));
    let codes = codes.and_then(Value::as_array).into_iter().flatten();
    Entry {
        timestamp: text(row, "timestamp").unwrap_or_default(),
        kind: EntryKind::ControllerRun,
        what: text(row, "status").unwrap_or_default(),
        by_controller: true,
        decision: text(row, "decision.promotionDecision"),
        actor: text(row, "execution.governance.actor"),
        approval_ref: text(row, "execution.governance.approvalRef"),
        rationale: text(row, "execution.governance.rationale"),
        review_by: text(row, "execution.governance.reviewBy"),
        before: None,
        after: None,
        reason_codes: codes.map(json::text).collect(),
        trace_id: text(row, "context.traceId"),
        idempotency_key: text(row, "execution.idempotencyKey"),
    }
}

/// A text on a path of members, if there is one.
fn text(row: &Value, path: &str) -> Option<String> {
    Lookup::new(row).text(path).ok().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(at: &str, trace: &str) -> Value {
        json!({
            "timestamp": at, "intent": "expand", "decision": "promote", "traceId": trace,
            "governance": { "actor": "kim", "approvalRef": "CHG-1", "rationale": "calm",
                "reviewBy": "2031-05-01T00:00:00Z" },
            "rollout": {
                "before": { "canaryPercent": 10, "manualPause": true },
                "after": { "canaryPercent": 35, "manualPause": false },
            },
        })
    }

    fn ran(at: &str, trace: &str) -> Value {
        json!({
            "timestamp": at, "status": "hold", "context": { "traceId": trace },
            "decision": { "promotionDecision": "hold", "reasonCodes": ["x", "y"] },
            "execution": { "governance": { "actor": "cron" } },
        })
    }

    #[test]
    fn entries_come_newest_first_and_the_controllers_changes_are_known() {
        let (by_hand, by_run) = (
            changed("2031-01-01T00:00:00Z", "a"),
            changed("2031-01-03T00:00:00Z", "b"),
        );
        let (idle, run) = (
            ran("2031-01-02T00:00:00Z", "c"),
            ran("2031-01-03T00:00:00Z", "b"),
        );
        let found = entries(&[&by_hand, &by_run], &[&idle, &run]);
        let told: Vec<_> = found
            .iter()
            .map(|entry| (entry.kind, entry.by_controller, entry.trace_id.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (EntryKind::ControllerRun, true, Some("b")),
                (EntryKind::Change, true, Some("b")),
                (EntryKind::ControllerRun, true, Some("c")),
                (EntryKind::Change, false, Some("a")),
            ]
        );
    }

    #[test]
    fn a_change_says_who_why_until_when_and_what() {
        let row = changed("2031-01-01T00:00:00Z", "a");
        let entry = change(&row);
        let told = [
            &entry.actor,
            &entry.approval_ref,
            &entry.rationale,
            &entry.review_by,
        ];
        let told = told.map(|text| text.as_deref().unwrap_or("-"));
        assert_eq!(told, ["kim", "CHG-1", "calm", "2031-05-01T00:00:00Z"]);
        let posture = |percent: u64, paused: bool| {
            Some(Posture {
                canary_percent: percent.into(),
                manual_pause: paused.into(),
            })
        };
        assert_eq!(
            (entry.before, entry.after),
            (posture(10, true), posture(35, false))
        );
    }

    #[test]
    fn whatever_is_missing_or_of_another_type_is_left_out() {
        for row in [
            json!({}),
            json!({"timestamp": 7, "governance": [], "rollout": "x"}),
        ] {
            let entry = change(&row);
            assert_eq!((entry.actor, entry.before), (None, None));
            assert_eq!(run(&row).reason_codes, [""; 0]);
        }
    }
}
