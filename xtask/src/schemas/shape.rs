//! From what the generator makes to what is published.

use serde_json::{Map, Value, json};

/// The dialect of every schema.
pub(crate) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// `OpsManager<Name>V1` for a name in kebab case.
pub(crate) fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    format!("OpsManager{}V1", words.collect::<String>())
}

/// `schema` with the members of `heading` first, replacing its own.
pub(crate) fn headed(heading: Value, schema: Value) -> Value {
    let mut members = object(heading);
    for (name, value) in object(schema) {
        members.entry(name).or_insert(value);
    }
    Value::Object(members)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Calls `change` on every schema object within `schema`, innermost first.
pub(crate) fn visit(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, change)),
        Value::Object(members) => {
            members.values_mut().for_each(|value| visit(value, change));
            change(members);
        }
        _ => {}
    }
}

/// Forbids members that a type does not name. Objects without named members
/// are passed through as found and stay open.
pub(crate) fn close_objects(schema: &mut Value) {
    visit(schema, &mut |members| {
        if members.get("properties").is_some_and(Value::is_object) {
            members
                .entry("additionalProperties")
                .or_insert(json!(false));
        }
    });
}

/// Members that may be missing are omitted when there is nothing to say, and
/// never `null`.
pub(crate) fn omit_rather_than_null(schema: &mut Value) {
    visit(schema, &mut |members| {
        let required = members.get("required").cloned().unwrap_or_default();
        let is_required = |name: &str| {
            let mut names = required.as_array().into_iter().flatten();
            names.any(|required| required == name)
        };
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            let optional = properties
                .iter_mut()
                .filter(|(name, _)| !is_required(name))
                .filter_map(|(_, property)| property.as_object_mut());
            optional.for_each(forbid_null);
        }
    });
}

fn forbid_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &mut types[..] {
            let only = only.take();
            property.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [only] = &mut choices[..] {
            let only = object(only.take());
            property.remove("anyOf");
            // `$ref` first, the description after it.
            let description = std::mem::replace(property, only);
            property.extend(description);
        }
    }
}

/// Removes what only makes sense in Rust: link brackets and line breaks in
/// descriptions, the widths of integers.
pub(crate) fn tidy(schema: &mut Value) {
    visit(schema, &mut |members| {
        if let Some(Value::String(text)) = members.get_mut("description") {
            *text = reflow(&text.replace("[`", "`").replace("`]", "`"));
        }
        let rust_only = |format: &Value| {
            let name = format.as_str().unwrap_or_default();
            name.starts_with("int") || name.starts_with("uint")
        };
        if members.get("format").is_some_and(rust_only) {
            members.remove("format");
        }
    });
}

/// One line per paragraph.
fn reflow(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|p| p.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_made_from_names() {
        assert_eq!(title("reconcile-row"), "OpsManagerReconcileRowV1");
    }

    #[test]
    fn objects_with_named_members_are_closed_and_others_stay_open() {
        let mut schema = json!({
            "properties": {
                "typed": { "properties": { "a": {} } },
                "any": { "type": "object" },
                "free": { "properties": {}, "additionalProperties": true },
            },
        });
        close_objects(&mut schema);
        assert_eq!(schema["additionalProperties"], false);
        let properties = &schema["properties"];
        assert_eq!(properties["typed"]["additionalProperties"], false);
        assert_eq!(properties["any"], json!({ "type": "object" }));
        assert_eq!(properties["free"]["additionalProperties"], true);
    }

    #[test]
    fn a_member_that_may_be_missing_is_never_null() {
        let nullable = json!({ "type": ["string", "null"] });
        let reference =
            json!({ "anyOf": [{ "$ref": "#/x" }, { "type": "null" }], "description": "d" });
        let mut schema = json!({
            "properties": { "always": nullable, "text": nullable, "other": reference },
            "required": ["always"],
        });
        omit_rather_than_null(&mut schema);
        assert_eq!(schema["properties"]["always"], nullable);
        assert_eq!(schema["properties"]["text"], json!({ "type": "string" }));
        assert_eq!(
            schema["properties"]["other"],
            json!({ "$ref": "#/x", "description": "d" })
        );
    }

    #[test]
    fn descriptions_are_text_and_not_rust() {
        let mut schema = json!({ "description": "a\n[`B`]\n\nc", "format": "uint64" });
        tidy(&mut schema);
        assert_eq!(schema, json!({ "description": "a `B`\n\nc" }));
    }
}
