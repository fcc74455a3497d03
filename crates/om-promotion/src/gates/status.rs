//! What the gates use of the fleet's status (chapter 07 §1.3).

use om_model::json::{self, WrongType};
use serde_json::{Map, Value};

/// What the gates use of the fleet's status; values as found where the
/// decision shows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusEvidence {
    /// Whether `autonomous.enabled` is anything but missing, null or false.
    pub enabled: bool,
    /// `autonomous.governance.posture`, default null.
    pub posture: Value,
    /// `autonomous.governance.blocksAutonomous`, default false.
    pub blocks_autonomous: Value,
    /// `autonomous.governance.reasonCodes`, default empty.
    pub governance_reasons: Vec<Value>,
    /// `autonomous.outcomeRollup.manual_backlog`, default null.
    pub manual_backlog: Value,
    /// Whether auto-pause is exactly `true`.
    pub autopause_active: bool,
    /// `autonomous.safetyGateDecisions.byPath`, if it is an object.
    pub by_path: Option<Map<String, Value>>,
}

impl StatusEvidence {
    /// Reads a status document. `null` and missing blocks are fine, and fail
    /// gates; anything else that is not an object where one belongs is an
    /// error (decision D19).
    pub fn read(document: &Value) -> Result<Self, WrongType> {
        let root = match document {
            Value::Null => return Self::read(&Value::Object(Map::new())),
            Value::Object(_) => Block { document, path: "" },
            other => {
                return Err(WrongType {
                    member: "document".to_owned(),
                    found: json::type_name(other),
                    expected: "an object",
                });
            }
        };
        let autonomous = root.block("autonomous", "autonomous")?;
        let governance = autonomous.block("governance", "autonomous.governance")?;
        let outcomes = autonomous.block("outcomeRollup", "autonomous.outcomeRollup")?;
        let rollout = autonomous.block("rollout", "autonomous.rollout")?;
        let autopause = rollout.block("autopause", "autonomous.rollout.autopause")?;
        let state = rollout.block("state", "autonomous.rollout.state")?;
        let decisions =
            autonomous.block("safetyGateDecisions", "autonomous.safetyGateDecisions")?;
        let paused = json::first_present([autopause.get("active"), state.get("autoPauseActive")]);
        let value = |found: Option<&Value>, default: Value| {
            json::present(found).cloned().unwrap_or(default)
        };
        Ok(Self {
            enabled: json::present(autonomous.get("enabled")).is_some(),
            posture: value(governance.get("posture"), Value::Null),
            blocks_autonomous: value(governance.get("blocksAutonomous"), Value::Bool(false)),
            governance_reasons: governance.array("reasonCodes")?,
            manual_backlog: value(outcomes.get("manual_backlog"), Value::Null),
            autopause_active: paused == Some(&Value::Bool(true)),
            by_path: decisions.get("byPath").and_then(Value::as_object).cloned(),
        })
    }
}

/// An object of the document, or nothing where it is absent.
struct Block<'a> {
    document: &'a Value,
    path: &'static str,
}

impl<'a> Block<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.document.get(name)
    }

    /// The object `name`, whose whole path is `path`.
    fn block(&self, name: &str, path: &'static str) -> Result<Self, WrongType> {
        match json::present(self.get(name)) {
            None => Ok(Self {
                document: &Value::Null,
                path,
            }),
            Some(document @ Value::Object(_)) => Ok(Self { document, path }),
            Some(other) => Err(WrongType {
                member: path.to_owned(),
                found: json::type_name(other),
                expected: "an object",
            }),
        }
    }

    fn array(&self, name: &str) -> Result<Vec<Value>, WrongType> {
        match json::present(self.get(name)) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items.clone()),
            Some(other) => Err(WrongType {
                member: format!("{}.{name}", self.path),
                found: json::type_name(other),
                expected: "an array",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_no_error() {
        let nothing = StatusEvidence {
            blocks_autonomous: json!(false),
            ..StatusEvidence::default()
        };
        for document in [
            json!(null),
            json!({}),
            json!({ "autonomous": null }),
            json!({ "autonomous": false }),
            json!({ "autonomous": { "governance": null, "rollout": { "autopause": null } } }),
        ] {
            assert_eq!(
                StatusEvidence::read(&document),
                Ok(nothing.clone()),
                "{document}"
            );
        }
    }

    #[test]
    fn a_wrong_type_is_an_error_that_names_the_member() {
        for (document, message) in [
            (json!([]), "document is an array, expected an object"),
            (json!("x"), "document is a string, expected an object"),
            (json!(false), "document is a boolean, expected an object"),
            (
                json!({ "autonomous": [] }),
                "autonomous is an array, expected an object",
            ),
            (
                json!({ "autonomous": { "governance": 1 } }),
                "autonomous.governance is a number, expected an object",
            ),
            (
                json!({ "autonomous": { "governance": { "reasonCodes": "x" } } }),
                "autonomous.governance.reasonCodes is a string, expected an array",
            ),
            (
                json!({ "autonomous": { "outcomeRollup": [] } }),
                "autonomous.outcomeRollup is an array, expected an object",
            ),
            (
                json!({ "autonomous": { "rollout": true } }),
                "autonomous.rollout is a boolean, expected an object",
            ),
            (
                json!({ "autonomous": { "rollout": { "state": "on" } } }),
                "autonomous.rollout.state is a string, expected an object",
            ),
            (
                json!({ "autonomous": { "safetyGateDecisions": 0 } }),
                "autonomous.safetyGateDecisions is a number, expected an object",
            ),
        ] {
            let error = StatusEvidence::read(&document).expect_err("is refused");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn auto_pause_is_the_first_of_two_members_that_says_something() {
        for (autopause, state, active) in [
            (json!(true), json!(false), true),
            (json!(false), json!(true), true),
            (json!(null), json!(true), true),
            (json!("true"), json!(true), false),
            (json!(false), json!(false), false),
        ] {
            let document = json!({ "autonomous": { "rollout": {
                "autopause": { "active": autopause }, "state": { "autoPauseActive": state },
            } } });
            let read = StatusEvidence::read(&document).expect("is read");
            assert_eq!(read.autopause_active, active, "{document}");
        }
    }
}
