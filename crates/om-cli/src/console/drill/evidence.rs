//! What the promotion gates read: when each drill was run, and how it ended
//! (chapter 07 §8; decision D21).

use std::path::{Path, PathBuf};

use om_model::json::{self, type_name};
use om_store::{
    Commit, CommitError, DocumentOptions, Expect, FleetFile, RepoLayout, Scope, read_bytes,
};
use serde_json::{Map, Value, json};

use super::{Outcome, Report, VERSION};
use crate::error::CliError;

/// The run lock of whoever writes the record.
const LOCK: &str = "drill-record";
/// How often a record that others edit meanwhile is read again.
const ATTEMPTS: usize = 5;

/// The record of drills of one repository.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    scope_dir: PathBuf,
}

/// The record as it was found.
struct Found {
    expect: Expect,
    document: Map<String, Value>,
}

impl Record {
    /// The record of `repo`. One that cannot be extended is refused before
    /// anything is played.
    pub fn of(repo: &Path) -> Result<Self, CliError> {
        let layout = RepoLayout::new(repo.to_owned());
        let record = Self {
            path: layout.fleet_files().path(FleetFile::DrillEvidence),
            scope_dir: layout.fleet_scope_dir(),
        };
        record.read()?;
        Ok(record)
    }

    /// Writes down how a drill ended; the others' entries stay as they are.
    pub fn write(&self, report: &mut Report) -> Result<(), CliError> {
        let scope = Scope::open(&self.scope_dir)?;
        let _lock = scope.run_lock(LOCK)?;
        scope.recover()?;
        for _ in 0..ATTEMPTS {
            let Found { expect, document } = self.read()?;
            let document = merged(document, report);
            let options = DocumentOptions {
                expect,
                ..DocumentOptions::default()
            };
            let text = json::pretty(&document) + "\n";
            let commit = Commit::new().document_with(&self.path, text, options);
            match scope.commit(commit) {
                Ok(_) => {
                    report.recorded_in = Some(self.path.display().to_string());
                    return Ok(());
                }
                // Somebody else has edited it: merge into what they wrote.
                Err(CommitError::Changed { path }) if path == self.path => {}
                Err(error) => return Err(error.into()),
            }
        }
        let message = "it is being edited all the time; the drill is not recorded";
        Err(CliError::at(&self.path, message))
    }

    /// The file, and what it says.
    fn read(&self) -> Result<Found, CliError> {
        let found = read_bytes(&self.path)?;
        let document = document(found.as_deref()).map_err(|cause| {
            let path = self.path.display();
            CliError::new(format!(
                "invalid drill evidence JSON: {path}: {cause}; repair it or move it away"
            ))
        })?;
        Ok(Found {
            expect: Expect::found(found.as_deref()),
            document,
        })
    }
}

/// A record that entries can be put into.
fn document(bytes: Option<&[u8]>) -> Result<Map<String, Value>, String> {
    let Some(bytes) = bytes else {
        return Ok(Map::new());
    };
    let members = match json::parse(bytes).map_err(|error| error.to_string())? {
        Value::Object(members) => members,
        Value::Null => Map::new(),
        other => return Err(format!("it is {}, not an object", type_name(&other))),
    };
    match json::present(members.get("drills")) {
        None | Some(Value::Array(_) | Value::Object(_)) => Ok(members),
        Some(other) => Err(format!("drills is {}, not an array", type_name(other))),
    }
}

/// `document` with the drill of `report` in it. The first entry of a drill is
/// the one that counts, so that is the one replaced; what else it says stays.
fn merged(mut document: Map<String, Value>, report: &Report) -> Map<String, Value> {
    let completed_at = report.completed_at.to_string();
    let passed = report.status == Outcome::Pass;
    let update = [
        ("id", json!(report.drill)),
        ("status", json!(if passed { "pass" } else { "fail" })),
        ("completedAt", json!(completed_at)),
        ("version", json!(VERSION)),
        ("by", json!(report.requested_by)),
    ];
    document.insert("schemaVersion".to_owned(), "v1".into());
    document.insert("updatedAt".to_owned(), completed_at.into());
    let drills = document.entry("drills").or_insert(Value::Null);
    let is_it = |entry: &Value| entry.get("id").is_some_and(|id| id == report.drill);
    let place = match drills {
        Value::Object(entries) => {
            let key = entries.iter().find(|(_, entry)| is_it(entry));
            let key = key.map_or_else(|| report.drill.to_owned(), |(key, _)| key.clone());
            entries.entry(key).or_insert(Value::Null)
        }
        other => entry_of(other, is_it),
    };
    if !place.is_object() {
        *place = json!({});
    }
    for (name, value) in update {
        place[name] = value;
    }
    document
}

/// The first entry of a list that `is_it`, or a new one at its end.
fn entry_of(drills: &mut Value, is_it: impl Fn(&Value) -> bool) -> &mut Value {
    if !drills.is_array() {
        *drills = json!([]);
    }
    let length = drills.as_array().map_or(0, Vec::len);
    let found = drills
        .as_array()
        .and_then(|list| list.iter().position(is_it));
    if let (None, Some(list)) = (found, drills.as_array_mut()) {
        list.push(Value::Null);
    }
    &mut drills[found.unwrap_or(length)]
}

#[cfg(test)]
mod tests {
    use super::super::Copied;
    use super::*;
    use om_model::Timestamp;

    fn report(status: Outcome) -> Report {
        Report {
            schema_version: "v1",
            drill: "kill_switch",
            title: "title",
            status,
            started_at: Timestamp::EPOCH,
            completed_at: Timestamp::from_epoch_seconds(60),
            version: VERSION,
            requested_by: "dana".to_owned(),
            fleet: Copied {
                from: None,
                fleet_id: "f".to_owned(),
                loop_count: 0,
                subjects: Vec::new(),
            },
            steps: Vec::new(),
            scratch: String::new(),
            recorded_in: None,
        }
    }

    fn entry(status: &str) -> Value {
        json!({
            "id": "kill_switch", "status": status, "completedAt": "1970-01-01T00:01:00Z",
            "version": VERSION, "by": "dana",
        })
    }

    #[test]
    fn the_entry_of_a_drill_is_put_among_the_others() {
        let other = json!({"id": "ambiguous_retry_guard", "status": "pass", "note": "theirs"});
        let old = json!({"id": "kill_switch", "status": "pass", "completedAt": "then", "x": 1});
        let mut kept = entry("fail");
        kept["x"] = json!(1);
        for (drills, expected) in [
            (Value::Null, json!([entry("fail")])),
            (json!([other]), json!([other, entry("fail")])),
            (json!([old, other, old]), json!([kept, other, old])),
            (json!([null]), json!([null, entry("fail")])),
            (
                json!({"a": other}),
                json!({"a": other, "kill_switch": entry("fail")}),
            ),
            (json!({"a": old}), json!({"a": kept})),
        ] {
            let before = json!({"theirs": 7, "drills": drills});
            let before = before.as_object().expect("an object").clone();
            let after = merged(before, &report(Outcome::Fail));
            assert_eq!(after["drills"], expected);
            assert_eq!(
                (&after["theirs"], &after["schemaVersion"]),
                (&json!(7), &json!("v1"))
            );
            assert_eq!(after["updatedAt"], "1970-01-01T00:01:00Z");
        }
    }

    #[test]
    fn only_a_drill_that_passed_is_recorded_as_passed() {
        for (status, expected) in [
            (Outcome::Pass, "pass"),
            (Outcome::Fail, "fail"),
            (Outcome::NotRun, "fail"),
        ] {
            let after = merged(Map::new(), &report(status));
            assert_eq!(after["drills"][0]["status"], expected);
        }
    }

    #[test]
    fn a_record_that_is_none_is_refused() {
        for (text, cause) in [
            ("[]", "it is an array, not an object"),
            (r#"{"drills":"x"}"#, "drills is a string, not an array"),
        ] {
            assert_eq!(document(Some(text.as_bytes())), Err(cause.to_owned()));
        }
        assert!(document(Some(b"{")).is_err());
        assert_eq!(document(Some(b"null")), Ok(Map::new()));
        assert_eq!(document(None), Ok(Map::new()));
    }
}
