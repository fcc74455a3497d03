//! What differs between two documents, member by member.

use om_model::json;
use serde_json::Value;

/// One member that differs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// Names from the top, with dots between them.
    pub(super) member: String,
    /// `None`: it was not there.
    pub(super) before: Option<Value>,
    /// `None`: it is gone.
    pub(super) after: Option<Value>,
}

impl Difference {
    /// In one line, with this arrow.
    pub(super) fn shown(&self, arrow: &str) -> String {
        let text =
            |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), json::compact);
        let (before, after) = (text(&self.before), text(&self.after));
        format!("{}: {before} {arrow} {after}", self.member)
    }
}

/// Every member that differs; lists are compared as a whole.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let nothing = serde_json::Map::new();
    let members = |value: Option<&Value>| match value {
        None => Some(nothing.clone()),
        Some(Value::Object(members)) => Some(members.clone()),
        Some(_) => None,
    };
    let (Some(old), Some(new)) = (members(before), members(after)) else {
        found.push(Difference {
            member: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        });
        return;
    };
    let added = new.keys().filter(|name| !old.contains_key(*name));
    for name in old.keys().chain(added) {
        let path = match path {
            "" => name.clone(),
            parent => format!("{parent}.{name}"),
        };
        compare(&path, old.get(name), new.get(name), found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_told_with_their_path_and_both_values() {
        let before = json!({"a": 1, "b": {"c": [1], "d": true}, "e": {"f": 1}});
        let after = json!({"a": 1, "b": {"c": [2], "d": true, "g": {"h": "x"}}, "e": 7});
        let told: Vec<String> = differences(&before, &after)
            .iter()
            .map(|difference| difference.shown("->"))
            .collect();
        assert_eq!(
            told,
            [
                "b.c: [1] -> [2]",
                "b.g.h: nothing -> \"x\"",
                "e: {\"f\":1} -> 7",
            ]
        );
        assert_eq!(differences(&before, &before), []);
    }
}
