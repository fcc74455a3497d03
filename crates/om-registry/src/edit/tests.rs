//! What changes, and that nothing else does.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn text(bytes: &str) -> Text {
    Text::parse(bytes).unwrap_or_else(|error| panic!("{bytes:?}: {error}"))
}

/// `before` with one value set.
fn set(before: &str, path: &str, value: &Value) -> String {
    let mut text = text(before);
    let path = MemberPath::dotted(path);
    text.set(&path, value)
        .unwrap_or_else(|error| panic!("{before:?}: {error}"));
    String::from_utf8(text.bytes).expect("UTF-8")
}

fn removed(before: &str, path: &MemberPath) -> String {
    let mut text = text(before);
    text.remove(path).expect("can be removed");
    String::from_utf8(text.bytes).expect("UTF-8")
}

fn pushed(before: &str, path: &str, value: &Value) -> String {
    let mut text = text(before);
    text.push(&MemberPath::dotted(path), value)
        .expect("can be appended to");
    String::from_utf8(text.bytes).expect("UTF-8")
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    for (before, path, value, after) in [
        (r#"{"a":1}"#, "a", json!(2), r#"{"a":2}"#),
        (
            "\u{feff}{ \"a\" :\t1 , \"b\":2}",
            "a",
            json!(true),
            "\u{feff}{ \"a\" :\ttrue , \"b\":2}",
        ),
        (
            "{\r\n  \"a\": {\"b\": null}\r\n}\r\n",
            "a.b",
            json!("x"),
            "{\r\n  \"a\": {\"b\": \"x\"}\r\n}\r\n",
        ),
        (r#"{"a":1,"a":2}"#, "a", json!(3), r#"{"a":1,"a":3}"#),
        (
            r#"{"a":{"b":1},"a":{}}"#,
            "a.b",
            json!(3),
            r#"{"a":{"b":1},"a":{"b":3}}"#,
        ),
        (
            "{\n  \"a\": [1,\n    2]\n}",
            "a",
            json!([]),
            "{\n  \"a\": []\n}",
        ),
        (r#"{"\u0061": 1.50}"#, "a", json!(1.5), r#"{"\u0061": 1.5}"#),
    ] {
        assert_eq!(set(before, path, &value), after);
    }
}

#[test]
fn a_missing_member_is_written_last_in_the_style_of_the_file() {
    for (before, path, value, after) in [
        ("{}", "a", json!(1), r#"{"a":1}"#),
        (r#"{"a":1}"#, "b", json!(2), r#"{"a":1,"b":2}"#),
        (r#"{"a": 1}"#, "b", json!(2), r#"{"a": 1, "b": 2}"#),
        (r#"{ "a": 1 }"#, "b", json!(2), r#"{ "a": 1, "b": 2 }"#),
        (
            "{\n\t\"a\": 1\n}\n",
            "b",
            json!(2),
            "{\n\t\"a\": 1,\n\t\"b\": 2\n}\n",
        ),
        (
            "{\r\n  \"a\" : 1\r\n}",
            "b",
            json!(2),
            "{\r\n  \"a\" : 1,\r\n  \"b\" : 2\r\n}",
        ),
        (
            "{\n  \"a\": {}\n}",
            "a.b",
            json!(2),
            "{\n  \"a\": {\n    \"b\": 2\n  }\n}",
        ),
        (
            "{\n  \"a\": {\"b\": 1}\n}",
            "a.c",
            json!([1, 2]),
            "{\n  \"a\": {\"b\": 1, \"c\": [1, 2]}\n}",
        ),
        (
            "{\n  \"a\": 1\n}",
            "p.q.r",
            json!(false),
            "{\n  \"a\": 1,\n  \"p\": {\n    \"q\": {\n      \"r\": false\n    }\n  }\n}",
        ),
        (
            "{\n  \"a\": null\n}",
            "a.b",
            json!(1),
            "{\n  \"a\": {\n    \"b\": 1\n  }\n}",
        ),
        (r#"{"a":false}"#, "a.b", json!({}), r#"{"a":{"b":{}}}"#),
        ("null", "a", json!(1), r#"{"a":1}"#),
    ] {
        assert_eq!(set(before, path, &value), after);
    }
}

#[test]
fn what_is_removed_takes_its_comma_with_it() {
    let path = MemberPath::dotted;
    for (before, path, after) in [
        (r#"{"a":1}"#, path("a"), "{}"),
        (
            "{\n  \"a\": 1,\n  \"b\": 2\n}",
            path("a"),
            "{\n  \"b\": 2\n}",
        ),
        (
            "{\n  \"a\": 1,\n  \"b\": 2\n}",
            path("b"),
            "{\n  \"a\": 1\n}",
        ),
        (r#"{"a":1,"b":2,"a":3}"#, path("a"), r#"{"b":2}"#),
        (r#"{"a": [1, 2, 3]}"#, path("a").item(1), r#"{"a": [1, 3]}"#),
        (r#"{"a": [1, 2, 3]}"#, path("a").item(0), r#"{"a": [2, 3]}"#),
        (r#"{"a": [ 1 ]}"#, path("a").item(0), r#"{"a": []}"#),
        (r#"{"a": 1}"#, path("b.c"), r#"{"a": 1}"#),
        (r#"{"a": [1]}"#, path("a").item(1), r#"{"a": [1]}"#),
    ] {
        assert_eq!(removed(before, &path), after);
    }
}

#[test]
fn an_item_is_appended_in_the_style_of_its_array() {
    for (before, after) in [
        (r#"{"a":[]}"#, r#"{"a":["x"]}"#),
        (r#"{"a": ["w"]}"#, r#"{"a": ["w", "x"]}"#),
        (r#"{"a":["w"]}"#, r#"{"a":["w","x"]}"#),
        (
            "{\"a\": [\n  1,\n  2\n]}",
            "{\"a\": [\n  1,\n  2,\n  \"x\"\n]}",
        ),
        (r#"{"a":null}"#, r#"{"a":["x"]}"#),
        ("{}", r#"{"a":["x"]}"#),
    ] {
        assert_eq!(pushed(before, "a", &json!("x")), after);
    }
}

#[test]
fn what_cannot_be_edited_is_named_and_stays_as_it_is() {
    let path = MemberPath::dotted;
    let mut before = text(r#"{"a":{"b":"x"}}"#);
    let refused = [
        before.set(&path("a.b.c"), &json!(1)).expect_err("a string"),
        before.push(&path("a.b"), &json!(1)).expect_err("a string"),
        before.push(&path("a"), &json!(1)).expect_err("an object"),
        before
            .set(&path("a").item(0), &json!(1))
            .expect_err("an object"),
    ];
    let messages = refused.map(|error| error.to_string());
    assert_eq!(
        messages,
        [
            "a.b is a string, expected an object",
            "a.b is a string, expected an array",
            "a is an object, expected an array",
            "there is no a[0]",
        ]
    );
    assert_eq!(before.bytes(), br#"{"a":{"b":"x"}}"#);
    assert!(matches!(Text::parse("{} {}"), Err(EditError::Malformed(_))));
}

/// Names that need escapes, too.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "\"", "ü\n", ""]).prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), any_value()), 0..5)
        .prop_map(|m| Value::Object(m.into_iter().collect()))
}

/// A text of `value` as people and tools write it.
fn written(value: &Value, style: u8) -> String {
    let (compact, pretty) = (json::compact(value), json::pretty(value));
    match style % 6 {
        0 => compact,
        1 => pretty + "\n",
        2 => format!("\u{feff}{}\r\n", pretty.replace("\n ", "\r\n ")),
        3 => pretty.replace("\n  ", "\n\t"),
        4 => format!("  {compact}  "),
        _ => pretty.replace("\": ", "\"\t:\n  "),
    }
}

fn path() -> impl Strategy<Value = MemberPath> {
    prop::collection::vec(name(), 1..4)
        .prop_map(|names| names.into_iter().map(Step::Member).collect())
}

/// What [`Text::set`] means.
fn model_set(at: &mut Value, steps: &[Step], value: &Value) -> bool {
    let Some((Step::Member(name), rest)) = steps.split_first() else {
        *at = value.clone();
        return true;
    };
    if matches!(at, Value::Null | Value::Bool(false)) {
        *at = json!({});
    }
    match at {
        Value::Object(members) => {
            let next = members.entry(name.clone()).or_insert(Value::Null);
            model_set(next, rest, value)
        }
        _ => false,
    }
}

/// Every value that is neither on the way to `changed` nor below it, with its
/// bytes.
fn untouched(text: &Text, changed: &MemberPath) -> Vec<(MemberPath, Vec<u8>)> {
    let mut found = Vec::new();
    collect(
        text,
        &text.root,
        &MemberPath::default(),
        changed,
        &mut found,
    );
    found
}

fn collect(
    text: &Text,
    node: &Node,
    here: &MemberPath,
    changed: &MemberPath,
    found: &mut Vec<(MemberPath, Vec<u8>)>,
) {
    if changed == here {
        return;
    }
    if !changed.steps().starts_with(here.steps()) {
        found.push((here.clone(), text.bytes[node.span.clone()].to_vec()));
        return;
    }
    if let Inside::Members(members) = &node.inside {
        for member in members {
            collect(
                text,
                &member.value,
                &here.clone().member(&member.name),
                changed,
                found,
            );
        }
    }
}

proptest! {
    #[test]
    fn a_set_value_is_set_and_no_other_byte_changes(
        document in object(), style in any::<u8>(), path in path(), value in any_value()
    ) {
        let before = text(&written(&document, style));
        let mut after = before.clone();
        let mut model = json::parse(without_mark(&before.bytes)).expect("is JSON");
        let possible = model_set(&mut model, path.steps(), &value);
        prop_assert_eq!(after.set(&path, &value).is_ok(), possible);
        if !possible {
            prop_assert_eq!(after, before);
            return Ok(());
        }
        prop_assert_eq!(json::parse(without_mark(&after.bytes)).expect("is JSON"), model);
        prop_assert_eq!(untouched(&after, &path), untouched(&before, &path));
        let same = before.bytes.iter().zip(&after.bytes).take_while(|(a, b)| a == b).count();
        let tail = before.bytes.len() - before.root.span.end;
        prop_assert!(same >= before.root.span.start);
        prop_assert_eq!(&after.bytes[after.bytes.len() - tail..], &before.bytes[before.bytes.len() - tail..]);
    }

    #[test]
    fn a_removed_member_is_gone_and_no_other_value_changes(
        document in object(), style in any::<u8>(), path in path()
    ) {
        let before = text(&written(&document, style));
        let mut after = before.clone();
        let there = before.value(&path).is_some();
        prop_assert_eq!(after.remove(&path).expect("can be removed"), there);
        prop_assert_eq!(after.value(&path), None);
        prop_assert_eq!(untouched(&after, &path), untouched(&before, &path));
    }

    #[test]
    fn a_replaced_value_that_is_put_back_leaves_no_trace(
        style in 0u8..4, name in name(), old in ".{0,6}", others in object(), value in any_value()
    ) {
        let mut document = others;
        document[&name] = old.clone().into();
        let before = text(&written(&document, style));
        let path = MemberPath::default().member(name);
        let mut after = before.clone();
        after.set(&path, &value).expect("is there");
        after.set(&path, &old.into()).expect("is there");
        prop_assert_eq!(after.bytes, before.bytes);
    }
}
