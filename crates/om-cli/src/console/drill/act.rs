//! One act of a drill, and how its outcome is compared with the promise.

use om_model::json;
use serde::Serialize;
use serde_json::Value;

use super::scene::Scene;
use crate::error::CliError;

/// One act.
pub(super) struct Act {
    /// What is done.
    pub(super) name: &'static str,
    /// What the runbook promises then.
    pub(super) expectation: &'static str,
    /// Does it, and compares.
    pub(super) play: Play,
}

/// What an act does.
pub(super) type Play = fn(&mut Scene) -> Result<Vec<Check>, CliError>;

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    /// What was looked at.
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) passed: bool,
}

/// Comparisons, one after the other.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

/// None yet.
pub(super) fn checks() -> Checks {
    Checks::default()
}

impl Checks {
    /// `found` is `expected`.
    pub(super) fn equal(
        self,
        what: &str,
        found: impl Into<Value>,
        expected: impl Into<Value>,
    ) -> Self {
        let (found, expected) = (found.into(), expected.into());
        let passed = found == expected;
        self.add(what, json::text(&expected), json::text(&found), passed)
    }

    /// The list `found` has `item`.
    pub(super) fn has(self, what: &str, found: &Value, item: &str) -> Self {
        let passed = items(found).any(|entry| entry == item);
        self.add(what, format!("with {item}"), json::text(found), passed)
    }

    /// The list `found` lacks `item`.
    pub(super) fn lacks(self, what: &str, found: &Value, item: &str) -> Self {
        let passed = found.is_array() && items(found).all(|entry| entry != item);
        self.add(what, format!("without {item}"), json::text(found), passed)
    }

    /// The number `found` is not zero.
    pub(super) fn some(self, what: &str, found: &Value) -> Self {
        let passed = found.as_u64().is_some_and(|count| count > 0);
        self.add(what, "at least 1".to_owned(), json::text(found), passed)
    }

    /// All of them.
    pub(super) fn done(self) -> Vec<Check> {
        self.0
    }

    fn add(mut self, what: &str, expected: String, found: String, passed: bool) -> Self {
        self.0.push(Check {
            what: what.to_owned(),
            expected,
            found,
            passed,
        });
        self
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_comparison_passes_only_if_it_holds() {
        let list = json!(["a", "b"]);
        let nothing = Value::Null;
        for (checks, passes) in [
            (checks().equal("x", 1, 1), true),
            (checks().equal("x", 1, true), false),
            (checks().has("x", &list, "a"), true),
            (checks().has("x", &list, "c"), false),
            (checks().has("x", &nothing, "a"), false),
            (checks().lacks("x", &list, "c"), true),
            (checks().lacks("x", &list, "a"), false),
            (checks().lacks("x", &nothing, "a"), false),
            (checks().some("x", &json!(2)), true),
            (checks().some("x", &json!(0)), false),
            (checks().some("x", &nothing), false),
        ] {
            let check = checks.done().remove(0);
            assert_eq!(check.passed, passes, "{check:?}");
        }
    }
}
