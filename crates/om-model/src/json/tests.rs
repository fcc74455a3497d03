use super::*;
use proptest::prelude::*;
use serde_json::json;

fn reprinted(text: &str) -> String {
    parse(text.as_bytes()).map_or_else(|e| format!("! {e}"), |v| compact(&v))
}

#[test]
fn numbers_are_rewritten_by_value() {
    for (read, written) in [
        ("1.0", "1"),
        ("3e2", "300"),
        ("-1.50", "-1.5"),
        ("0.1", "0.1"),
        ("12", "12"),
        ("9007199254740993", "9007199254740993"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        ("1e400", "1.7976931348623157e308"),
        ("12e15", "12000000000000000"),
    ] {
        let (got, want) = (reprinted(read), reprinted(written));
        assert_eq!(got, want, "{read}");
    }
    assert_eq!(reprinted("[1.0,{\"a\":2.50}]"), "[1,{\"a\":2.5}]");
    assert_eq!(
        reprinted("123456789012345678901234567890"),
        "123456789012345678901234567890"
    );
}

#[test]
fn a_document_is_one_document() {
    assert_eq!(parse(b" \n\t"), Err(ParseError::Blank));
    assert_eq!(
        parse(b"{} {}"),
        Err(ParseError::Several { line: 1, column: 4 })
    );
    assert_eq!(
        parse(b"1 2 3"),
        Err(ParseError::Several { line: 1, column: 3 })
    );
    for malformed in [
        "{",
        "{\"a\":1} x",
        "nul",
        "'a'",
        "\"\\ud800\"",
        "[1,]",
        "01",
        "\0",
    ] {
        let error = parse(malformed.as_bytes());
        assert!(
            matches!(error, Err(ParseError::Malformed(_))),
            "{malformed:?}: {error:?}"
        );
    }
}

#[test]
fn nesting_has_a_limit_that_no_stack_feels() {
    let nested = |depth: usize| format!("{}\"[{{\\\"\"{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = parse(nested(MAX_NESTING).as_bytes()).expect("is read");
    assert_eq!(compact(&deepest), nested(MAX_NESTING));
    let error = parse(nested(MAX_NESTING + 1).as_bytes()).expect_err("is refused");
    assert_eq!(error.to_string(), "nested deeper than 384 levels");
    assert!(parse_runtime(nested(MAX_RUNTIME_NESTING).as_bytes()).is_ok());
    assert!(parse_runtime(nested(MAX_RUNTIME_NESTING + 1).as_bytes()).is_err());
    assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn a_repeated_member_keeps_the_first_place_and_the_last_value() {
    assert_eq!(reprinted(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
}

#[test]
fn broken_utf8_is_read_as_the_replacement_character() {
    assert_eq!(parse(b"\"a\xffb\""), Ok(json!("a\u{fffd}b")));
}

#[test]
fn null_and_false_are_not_there_but_zero_and_empty_are() {
    let candidates = [json!(null), json!(false), json!(0), json!("x")];
    assert_eq!(first_present(candidates.iter().map(Some)), Some(&json!(0)));
    assert_eq!(present(Some(&json!(""))), Some(&json!("")));
    assert_eq!(present(Some(&json!([]))), Some(&json!([])));
    assert_eq!(present(None), None);
}

#[test]
fn digits_come_from_numbers_and_texts() {
    for (value, expected) in [
        (json!(7), Some(7)),
        (json!("7"), Some(7)),
        (json!("007"), Some(7)),
        (json!(0), Some(0)),
        (json!("99999999999999999999999"), Some(MAX_INTEGER)),
        (json!(-1), None),
        (json!(1.5), None),
        (json!(""), None),
        (json!("1 "), None),
        (json!(true), None),
        (json!([1]), None),
        (json!(null), None),
    ] {
        assert_eq!(digits(&value), expected, "{value}");
    }
    let spelled: Value = serde_json::from_str("7.0").expect("valid JSON");
    assert_eq!(digits(&spelled), Some(7));
}

#[test]
fn lenient_numbers_read_decimal_text_and_nothing_else() {
    for (value, written) in [
        (json!(1.5), "1.5"),
        (json!("12"), "12"),
        (json!(" -3 "), "-3"),
        (json!("1e3"), "1000"),
        (json!("0x10"), "0"),
        (json!(""), "0"),
        (json!(true), "0"),
        (json!({}), "0"),
        (json!("+4"), "4"),
        (json!("007"), "7"),
        (json!("inf"), "0"),
        (json!("nan"), "0"),
    ] {
        assert_eq!(lenient_number(Some(&value)).to_string(), written, "{value}");
    }
    assert_eq!(lenient_number(None).to_string(), "0");
}

#[test]
fn a_lookup_names_the_member_of_the_wrong_type() {
    let document = json!({"run": {"id": "r"}, "transition": "x", "none": null});
    let lookup = Lookup::new(&document);
    assert_eq!(lookup.text("run.id"), Ok(Some("r".into())));
    assert_eq!(lookup.get("run.other"), Ok(None));
    assert_eq!(lookup.get("none.deep.er"), Ok(None));
    let error = lookup
        .get("transition.currentState")
        .expect_err("a string has no members");
    assert_eq!(
        error.to_string(),
        "transition is a string, expected an object"
    );
    let array = json!([1]);
    let error = Lookup::new(&array)
        .get("a")
        .expect_err("an array has no members");
    assert_eq!(
        error.to_string(),
        "document is an array, expected an object"
    );
}

proptest! {
    #[test]
    fn reprinting_is_stable(text in "[\\[\\]{}\":,0-9.eE truefalsn-]{0,40}") {
        if let Ok(value) = parse(text.as_bytes()) {
            let once = compact(&value);
            prop_assert_eq!(compact(&parse(once.as_bytes()).expect("own output parses")), once);
        }
    }

    #[test]
    fn integers_pass_through_exactly(text in "-?[1-9][0-9]{0,40}") {
        prop_assert_eq!(reprinted(&text), text);
    }
}
