//! Which sinks an alert goes to (chapter 04 §2.4, decision D1).

use om_alerts::{Environment, SinkConfig};
use om_model::alerts::Severity;
use om_model::alerts::sinks::RouteDocument;
use serde_json::json;

use crate::support::read;

fn config() -> SinkConfig {
    let hook = |enabled| json!({"enabled": enabled, "type": "webhook", "urlEnv": "U"});
    read(&json!({
        "schemaVersion": "v1",
        "defaultMinSeverity": "warning",
        "sinks": {"a": hook(true), "b": hook(true), "off": hook(false)},
        "routing": {
            "defaultSinks": ["a"],
            "categorySeverity": {"mapped": "critical", "low": "info", "gated": "warning"},
            "routes": [
                {"category": "two", "sinks": ["off", "b", "b"]},
                {"category": "empty", "sinks": []},
                {"category": "gated", "minSeverity": "critical", "sinks": ["b"]},
                {"category": "first", "sinks": ["a"]},
                {"category": "first", "sinks": ["b"]},
                {"category": "switched", "sinks": ["a"], "enabled": false},
                {"category": "switched", "sinks": ["b"], "enabled": true},
                {"category": "gone", "sinks": ["b"], "enabled": false},
                {"category": "dark", "sinks": ["off"]},
            ],
        },
    }))
}

fn route(category: &str, severity: Option<Severity>) -> RouteDocument {
    let none = Environment::fixed([]);
    config().route(category, severity, &none, true)
}

fn ids(sinks: &[om_model::alerts::sinks::RoutedSink]) -> Vec<&str> {
    sinks.iter().map(|sink| sink.id.as_str()).collect()
}

#[test]
fn where_alerts_go() {
    for (category, selected, dispatchable) in [
        ("nowhere", vec!["a"], vec!["a"]),
        ("two", vec!["off", "b", "b"], vec!["b", "b"]),
        ("empty", vec!["a"], vec!["a"]),
        ("first", vec!["a"], vec!["a"]),
        ("First", vec!["a"], vec!["a"]),
        ("switched", vec!["b"], vec!["b"]),
        ("gone", vec!["a"], vec!["a"]),
        ("dark", vec!["off"], vec![]),
        ("gated", vec!["b"], vec![]),
    ] {
        let route = route(category, None);
        assert_eq!(ids(&route.selected_sinks), selected, "{category}");
        assert_eq!(ids(&route.dispatchable_sinks), dispatchable, "{category}");
    }
}

#[test]
fn how_bad_they_are_and_whether_that_is_enough() {
    use Severity::{Critical, Info, Warning};
    for (category, given, severity, mapped, passes) in [
        ("nowhere", None, Warning, None, true),
        ("nowhere", Some(Info), Info, None, false),
        ("nowhere", Some(Critical), Critical, None, true),
        ("mapped", None, Critical, Some(Critical), true),
        ("mapped", Some(Info), Info, Some(Critical), false),
        ("low", None, Info, Some(Info), false),
        ("gated", None, Warning, Some(Warning), false),
        ("gated", Some(Critical), Critical, Some(Warning), true),
    ] {
        let route = route(category, given);
        assert_eq!(route.event_severity, severity, "{category}");
        assert_eq!(route.category_mapped_severity, mapped, "{category}");
        assert_eq!(route.should_dispatch, passes, "{category}");
    }
}

#[test]
fn a_list_names_every_sink_in_the_order_of_the_file() {
    let expected = [
        "a\twebhook\ttrue",
        "b\twebhook\ttrue",
        "off\twebhook\tfalse",
    ];
    assert_eq!(config().list(), expected);
}
