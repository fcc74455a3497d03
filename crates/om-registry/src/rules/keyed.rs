//! Rule 46, one line per key, and the same for who suppressed what (D29).

use om_model::json::present;
use serde_json::{Map, Value};

use super::Facts;
use super::values::{
    entries_no_categories, entries_no_strings, not_a_text, not_a_timestamp, not_an_array,
    not_an_object,
};
use crate::evaluate::Violation;
use crate::member::MemberPath;

/// Rule 46: every key of `policy.suppressions`, in the order of the file.
pub(super) fn suppressions(facts: &Facts<'_>) -> Vec<Violation> {
    let cases: [(super::Breaks, &str); 3] = [
        (not_an_array, "must be an array"),
        (entries_no_strings, "entries must be strings"),
        (entries_no_categories, "contains unknown categories"),
    ];
    let check = |(key, value): (&String, &Value)| {
        let broken = if is_scope(key, facts) {
            let case = cases.iter().find(|(breaks, _)| breaks(value, facts))?;
            case.1
        } else {
            "key must reference a declared loopId or *"
        };
        Some(told("policy.suppressions", key, None, broken))
    };
    members(facts, "policy.suppressions")
        .filter_map(check)
        .collect()
}

/// Additive: who suppressed what, and until when.
pub(super) fn suppression_governance(facts: &Facts<'_>) -> Vec<Violation> {
    let path = "policy.suppressionGovernance";
    let check = |(key, value): (&String, &Value)| -> Vec<Violation> {
        if !is_scope(key, facts) {
            let broken = "key must reference a declared loopId or *";
            return vec![told(path, key, None, broken)];
        }
        if not_an_object(value, facts) {
            return vec![told(path, key, None, "must be an object")];
        }
        let texts = ["actor", "ref", "rationale"].map(|name| {
            (
                name,
                not_a_text as super::Breaks,
                "must be a non-empty string when present",
            )
        });
        let deadline: (&str, super::Breaks, &str) = (
            "reviewBy",
            not_a_timestamp,
            "must be an ISO-8601 timestamp when present",
        );
        let rules = texts.into_iter().chain([deadline]);
        let broken = rules.filter(|(name, breaks, _)| {
            present(value.get(name)).is_some_and(|found| breaks(found, facts))
        });
        broken
            .map(|(name, _, message)| told(path, key, Some(name), message))
            .collect()
    };
    members(facts, path).flat_map(check).collect()
}

fn told(path: &str, key: &str, name: Option<&str>, message: &str) -> Violation {
    let member = MemberPath::dotted(path).member(key);
    let member = name.into_iter().fold(member, MemberPath::member);
    Violation::new(format!("{member} {message}"), member)
}

fn is_scope(key: &str, facts: &Facts<'_>) -> bool {
    key == "*" || facts.declared.contains(key)
}

fn members<'a>(facts: &Facts<'a>, path: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let members = facts.at(path).and_then(Value::as_object);
    members.into_iter().flat_map(Map::iter)
}
