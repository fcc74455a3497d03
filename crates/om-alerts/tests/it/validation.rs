//! Every rule of chapter 04 §1.1, in the order of §2.2.

use om_alerts::{ConfigError, Environment, SinkConfig};
use om_model::Artifact;
use serde_json::{Value, json};

/// A valid configuration with one sink of each type.
fn valid() -> Value {
    json!({
        "schemaVersion": "v1",
        "defaultMinSeverity": "warning",
        "sinks": {
            "hook": {"enabled": true, "type": "webhook", "urlEnv": "HOOK_URL"},
            "chat": {"enabled": false, "type": "slack", "webhookUrlEnv": "CHAT_URL"},
            "page": {"enabled": true, "type": "pagerduty_events", "routingKeyEnv": "PAGE_KEY"},
        },
        "routing": {
            "defaultSinks": ["hook"],
            "categorySeverity": {"a": "info"},
            "routes": [{"category": "a", "sinks": ["chat"]}],
        },
    })
}

/// The valid configuration with the value at the JSON pointer replaced;
/// `null` removes the member.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = valid();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = document.pointer_mut(parent).expect("a parent");
    match parent {
        Value::Array(items) => items[name.parse::<usize>().expect("an index")] = value,
        Value::Object(members) => {
            members.insert(name.to_owned(), value);
        }
        _ => panic!("{pointer} has no parent"),
    }
    document
}

fn without(pointer: &str) -> Value {
    let mut document = valid();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = document.pointer_mut(parent).expect("a parent");
    parent.as_object_mut().expect("an object").remove(name);
    document
}

fn check(document: &Value) -> Result<SinkConfig, String> {
    let artifact = Artifact::Document(document.clone());
    SinkConfig::read(&artifact, "f.json").map_err(|error| error.to_string())
}

const SHAPE: &str = "alert sink config has invalid top-level shape: f.json: ";
const SINKS: &str = "alert sink config sink definitions are invalid: f.json: ";
const ROUTING: &str = "alert sink config routing is invalid: f.json: ";

fn refused(document: &Value, fragment: &str, member: &str) {
    let error = check(document).expect_err("is refused");
    let rest = error.strip_prefix(fragment);
    assert!(
        rest.is_some_and(|rest| rest.starts_with(member)),
        "{document}: {error}"
    );
}

#[test]
fn a_file_must_be_one_json_document() {
    for (artifact, message) in [
        (Artifact::Absent, "alert sink config file not found: f.json"),
        (
            Artifact::parse(b" \n"),
            "invalid alert sink config JSON: f.json: it is empty",
        ),
        (
            Artifact::parse(b"{"),
            "invalid alert sink config JSON: f.json: EOF while parsing an object at line 1 column 1",
        ),
        (
            Artifact::parse(b"{} {}"),
            "invalid alert sink config JSON: f.json: more than one JSON document (line 1 column 4)",
        ),
    ] {
        let error = SinkConfig::read(&artifact, "f.json").expect_err("is refused");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_shape_of_the_whole_is_checked_first() {
    for root in [json!(null), json!([]), json!("v1"), json!(1)] {
        refused(&root, SHAPE, "document must be an object");
    }
    for (pointer, values, member) in [
        (
            "/schemaVersion",
            [json!("v2"), json!(1), json!(null)],
            "schemaVersion",
        ),
        (
            "/defaultMinSeverity",
            [json!("high"), json!(1), json!(false)],
            "defaultMinSeverity",
        ),
        ("/sinks", [json!({}), json!([]), json!(false)], "sinks"),
        ("/routing", [json!([]), json!(null), json!("x")], "routing"),
        (
            "/routing/defaultSinks",
            [json!({}), json!(null), json!("hook")],
            "routing.defaultSinks",
        ),
        (
            "/routing/categorySeverity",
            [json!([]), json!(null), json!("x")],
            "routing.categorySeverity",
        ),
        (
            "/routing/routes",
            [json!({}), json!(true), json!("x")],
            "routing.routes",
        ),
    ] {
        for value in values {
            refused(&with(pointer, value), SHAPE, member);
        }
        if pointer != "/routing/routes" {
            refused(&without(pointer), SHAPE, member);
        }
    }
}

#[test]
fn every_sink_is_checked_next() {
    for (pointer, values, member) in [
        (
            "/sinks/hook",
            vec![json!(null), json!([]), json!("x")],
            "sinks.hook",
        ),
        (
            "/sinks/hook/enabled",
            vec![json!("true"), json!(1), json!(null)],
            "sinks.hook.enabled must be true or false",
        ),
        (
            "/sinks/hook/type",
            vec![json!("email"), json!(null), json!(["webhook"])],
            "sinks.hook.type must be webhook, slack or pagerduty_events",
        ),
        (
            "/sinks/hook/timeoutSeconds",
            vec![
                json!(0),
                json!(0.9),
                json!(120.5),
                json!("5"),
                json!(true),
                json!({}),
            ],
            "sinks.hook.timeoutSeconds must be a number from 1 to 120",
        ),
        (
            "/sinks/hook/urlEnv",
            vec![
                json!("url"),
                json!("1A"),
                json!("A-B"),
                json!(""),
                json!(null),
                json!("A\n"),
                json!(7),
            ],
            "sinks.hook.urlEnv must be the name of an environment variable",
        ),
        (
            "/sinks/hook/authTokenEnv",
            vec![json!(""), json!("a"), json!(true), json!(7)],
            "sinks.hook.authTokenEnv must be the name of an environment variable",
        ),
        (
            "/sinks/hook/headers",
            vec![json!([]), json!("x"), json!(true)],
            "sinks.hook.headers must be an object",
        ),
        (
            "/sinks/hook/headers",
            vec![json!({"X": 1})],
            "sinks.hook.headers.X must be a string",
        ),
        (
            "/sinks/chat/webhookUrlEnv",
            vec![json!("x"), json!(null)],
            "sinks.chat.webhookUrlEnv",
        ),
        (
            "/sinks/page/routingKeyEnv",
            vec![json!("x"), json!(null)],
            "sinks.page.routingKeyEnv",
        ),
    ] {
        for value in values {
            refused(&with(pointer, value), SINKS, member);
        }
    }
}

#[test]
fn routing_is_checked_last() {
    for (pointer, values, member) in [
        (
            "/routing/defaultSinks",
            vec![json!(["nobody"]), json!(["hook", 7])],
            "routing.defaultSinks[",
        ),
        (
            "/routing/categorySeverity/a",
            vec![json!("high"), json!(null), json!(false)],
            "routing.categorySeverity.a must be info, warning or critical",
        ),
        (
            "/routing/routes/0",
            vec![json!("x"), json!(null)],
            "routing.routes[0] must be an object",
        ),
        (
            "/routing/routes/0/category",
            vec![json!(""), json!(null), json!(7)],
            "routing.routes[0].category must be a string that is not empty",
        ),
        (
            "/routing/routes/0/enabled",
            vec![json!("false"), json!(0)],
            "routing.routes[0].enabled must be true or false",
        ),
        (
            "/routing/routes/0/minSeverity",
            vec![json!("high"), json!(true)],
            "routing.routes[0].minSeverity must be info, warning or critical",
        ),
        (
            "/routing/routes/0/sinks",
            vec![json!("hook"), json!(true), json!(7)],
            "routing.routes[0].sinks must be an array",
        ),
        (
            "/routing/routes/0/sinks",
            vec![json!(["nobody"]), json!([null]), json!({"a": "nobody"})],
            "routing.routes[0].sinks[0]",
        ),
    ] {
        for value in values {
            refused(&with(pointer, value), ROUTING, member);
        }
    }
}

#[test]
fn the_first_rule_that_does_not_hold_is_the_error() {
    let mut all_wrong = with("/sinks/hook/enabled", json!("yes"));
    all_wrong["routing"]["defaultSinks"] = json!(["nobody"]);
    refused(&all_wrong, SINKS, "sinks.hook.enabled");
    all_wrong["schemaVersion"] = json!("v2");
    refused(&all_wrong, SHAPE, "schemaVersion");
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    for document in [
        without("/routing/routes"),
        with("/routing/routes", json!(null)),
        with("/routing/routes", json!(false)),
        with("/routing/defaultSinks", json!([])),
        with("/routing/defaultSinks", json!(["hook", "hook"])),
        with("/sinks/hook/timeoutSeconds", json!(false)),
        with("/sinks/hook/timeoutSeconds", json!(1.5)),
        with("/sinks/hook/authTokenEnv", json!(null)),
        with("/sinks/hook/authTokenEnv", json!("_T0")),
        with("/sinks/hook/headers", json!(false)),
        with("/sinks/hook/anything", json!([1])),
        with("/sinks/chat/channel", json!(7)),
        with("/routing/routes/0/sinks", json!([])),
        with("/routing/routes/0/sinks", json!({"a": "hook"})),
        with("/routing/routes/0/enabled", json!(null)),
        with("/anything", json!(1)),
    ] {
        check(&document).expect("is accepted");
    }
}

#[test]
fn the_secrets_of_enabled_sinks_must_be_set() {
    let config = check(&with("/sinks/hook/authTokenEnv", json!("HOOK_TOKEN"))).expect("valid");
    let set = |names: &[&'static str]| {
        let variables = names.iter().map(|name| (*name, "x"));
        config.check_secrets(&Environment::fixed(variables))
    };
    let unset = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Err(ConfigError::SecretsUnset(names))
    };
    assert_eq!(set(&["HOOK_URL", "HOOK_TOKEN", "PAGE_KEY"]), Ok(()));
    assert_eq!(set(&["HOOK_URL"]), unset(&["HOOK_TOKEN", "PAGE_KEY"]));
    assert_eq!(set(&[]), unset(&["HOOK_TOKEN", "HOOK_URL", "PAGE_KEY"]));
    let empty = Environment::fixed([("HOOK_URL", ""), ("HOOK_TOKEN", "x"), ("PAGE_KEY", "x")]);
    let error = config.check_secrets(&empty).expect_err("empty is unset");
    assert_eq!(
        error.to_string(),
        "enabled sink secret env var(s) are unset: HOOK_URL"
    );
}

#[test]
fn a_secret_in_the_place_of_a_name_is_not_repeated() {
    let error = check(&with("/sinks/hook/urlEnv", json!("https://h/s3cret"))).expect_err("refused");
    assert!(!error.contains("s3cret"), "{error}");
}
