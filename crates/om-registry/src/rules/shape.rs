//! Rules 1 to 5: the file as a whole, and the set of its loops.

use std::collections::{HashMap, HashSet};

use om_model::json::{self, present};
use serde_json::Value;

use crate::evaluate::Violation;
use crate::member::MemberPath;

/// The entries of `loops`, if it is an array.
pub(super) fn entries(document: &Value) -> &[Value] {
    let loops = document.get("loops").and_then(Value::as_array);
    loops.map_or(&[], Vec::as_slice)
}

/// The ids that `loops` declares: those of an array, or of the values of an
/// object that should have been one.
pub(super) fn declared(document: &Value) -> HashSet<&str> {
    let ids = |entry: &'_ Value| entry.get("loopId").is_some();
    let entries: Vec<&Value> = match document.get("loops") {
        Some(Value::Array(items)) => items.iter().filter(|entry| ids(entry)).collect(),
        Some(Value::Object(members)) => members.values().filter(|entry| ids(entry)).collect(),
        _ => Vec::new(),
    };
    let texts = entries
        .into_iter()
        .filter_map(|entry| entry["loopId"].as_str());
    texts.filter(|id| !id.is_empty()).collect()
}

/// Rules 1 to 5, and that the document is an object at all.
pub(super) fn check(document: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut tell = |message: String, member: &str| {
        found.push(Violation::new(message, MemberPath::dotted(member)));
    };
    if !document.is_object() && !document.is_null() {
        let kind = json::type_name(document);
        tell(format!("the registry must be an object, it is {kind}"), "");
    }
    if document.get("schemaVersion").and_then(Value::as_str) != Some("v1") {
        tell("schemaVersion must be \"v1\"".to_owned(), "schemaVersion");
    }
    if present(document.get("fleetId")).is_some_and(|id| !id.is_string()) {
        tell(
            "fleetId must be a string when present".to_owned(),
            "fleetId",
        );
    }
    match document.get("loops") {
        Some(Value::Array(items)) if items.is_empty() => {
            tell(
                "loops must include at least one loop entry".to_owned(),
                "loops",
            );
        }
        Some(Value::Array(_)) => {}
        _ => tell("loops must be an array".to_owned(), "loops"),
    }
    found.extend(twice(document));
    found
}

/// Rule 5, once, with all ids that occur more than once.
fn twice(document: &Value) -> Option<Violation> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut repeated: Vec<(usize, &str)> = Vec::new();
    for (index, entry) in entries(document).iter().enumerate() {
        let Some(id) = entry.get("loopId").and_then(Value::as_str) else {
            continue;
        };
        let count = seen.entry(id).or_default();
        *count += 1;
        if *count == 2 {
            repeated.push((index, id));
        }
    }
    let (first, _) = *repeated.first()?;
    let ids: Vec<String> = repeated.iter().map(|(_, id)| format!("{id:?}")).collect();
    let member = MemberPath::dotted("loops").item(first).member("loopId");
    Some(Violation {
        detail: Some(ids.join(", ")),
        ..Violation::new("loopId values must be unique", member)
    })
}
