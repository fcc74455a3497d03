//! What a result of the gates says, whoever wrote it.

use om_model::json::{self, WrongType};
use serde_json::{Map, Value};

/// The decision of a check, tolerantly read: ci's result, or what a hook
/// wrote instead.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Check {
    /// `summary.decision` as text; `None` if absent.
    pub(crate) decision: Option<String>,
    /// `summary.failedGates`, default empty.
    pub(crate) failed_gates: Vec<Value>,
    /// `summary.reasonCodes`, default empty.
    pub(crate) reason_codes: Vec<Value>,
    /// `generatedAt`, as found.
    pub(crate) generated_at: Option<Value>,
}

impl Check {
    /// Reads a result; `null` says nothing.
    pub(crate) fn read(document: &Value) -> Result<Self, WrongType> {
        let root = json::root_object(document)?;
        let summary = match json::present(root.get("summary")) {
            None => Map::new(),
            Some(Value::Object(summary)) => summary.clone(),
            Some(other) => return Err(wrong("summary", other, "an object")),
        };
        Ok(Self {
            decision: json::present(summary.get("decision")).map(json::text),
            failed_gates: array(&summary, "failedGates", "summary.failedGates")?,
            reason_codes: array(&summary, "reasonCodes", "summary.reasonCodes")?,
            generated_at: json::present(root.get("generatedAt")).cloned(),
        })
    }

    /// The decision, `unknown` without one.
    pub(crate) fn decision_or_unknown(&self) -> String {
        self.decision.clone().unwrap_or_else(unknown)
    }
}

/// What stands for a decision that nobody made.
pub(crate) fn unknown() -> String {
    "unknown".to_owned()
}

/// The array `name` of `members`, default empty; `path` names it in messages.
pub(crate) fn array(
    members: &Map<String, Value>,
    name: &str,
    path: &str,
) -> Result<Vec<Value>, WrongType> {
    match json::present(members.get(name)) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(other) => Err(wrong(path, other, "an array")),
    }
}

/// A member has the wrong type.
pub(crate) fn wrong(member: &str, found: &Value, expected: &'static str) -> WrongType {
    WrongType {
        member: member.to_owned(),
        found: json::type_name(found),
        expected,
    }
}

/// Entries for people: joined, or `none`.
pub(crate) fn listed(entries: &[Value]) -> String {
    if entries.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = entries.iter().map(json::text).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_result_does_not_say_is_not_known() {
        for document in [json!(null), json!({}), json!({ "summary": null })] {
            let check = Check::read(&document).expect("is read");
            assert_eq!(check, Check::default());
            assert_eq!(check.decision_or_unknown(), "unknown");
        }
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        for (document, message) in [
            (json!([]), "document is an array, expected an object"),
            (
                json!({ "summary": "promote" }),
                "summary is a string, expected an object",
            ),
            (
                json!({ "summary": { "failedGates": "x" } }),
                "summary.failedGates is a string, expected an array",
            ),
            (
                json!({ "summary": { "reasonCodes": {} } }),
                "summary.reasonCodes is an object, expected an array",
            ),
        ] {
            let error = Check::read(&document).expect_err("is refused");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn lists_are_joined_or_none() {
        assert_eq!(listed(&[]), "none");
        assert_eq!(listed(&[json!("a"), json!(1)]), "a, 1");
    }
}
