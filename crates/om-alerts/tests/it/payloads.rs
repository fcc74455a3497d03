//! What the sinks receive (chapter 04 §3.4.4).

use om_alerts::{Courier, Environment, Sink};
use om_model::alerts::{AlertReason, SinkResult, SinkStatus};
use om_model::json;
use serde_json::{Value, json};

use crate::receiver::{Received, Receiver, Reply};
use crate::support::{World, block_on, config, row, webhook};

/// Sends one row to `sink` through the whole dispatcher.
fn deliver(sink: Value, row: Value, variables: &[(&str, &str)]) -> (World, Receiver) {
    let receiver = Receiver::saying(Reply::ok());
    let url = receiver.url("/in?key=1");
    let all = variables.iter().copied().chain([("URL", url.as_str())]);
    let mut world = World::new(&config(json!({"sink": sink})), Environment::fixed(all));
    world.courier = world.courier.with_pagerduty_at(receiver.url("/v2/enqueue"));
    world.escalate(&[row.to_string()]);
    world.run("t-run");
    (world, receiver)
}

fn only(receiver: &Receiver) -> Received {
    let requests = receiver.received();
    assert_eq!(requests.len(), 1);
    requests[0].clone()
}

#[test]
fn a_webhook_receives_the_whole_row() {
    let row = json!({
        "timestamp": "2031-05-02T08:00:01Z", "loopId": "other", "traceId": "t-77",
        "category": "quota_hit", "severity": "critical", "used": 1.10, "note": "größer",
    });
    let (_, receiver) = deliver(webhook("URL"), row, &[]);
    let request = only(&receiver);
    assert_eq!(request.path, "/in?key=1");
    assert_eq!(request.header_lines("content-type"), ["application/json"]);
    assert!(request.header_lines("authorization").is_empty());
    assert!(request.header_lines("transfer-encoding").is_empty());
    insta::assert_snapshot!(String::from_utf8(request.body).expect("UTF-8"));
}

#[test]
fn a_row_that_names_nothing_is_told_with_the_run_s_loop_and_trace() {
    let (_, receiver) = deliver(webhook("URL"), json!({"category": "x"}), &[]);
    let body = only(&receiver).json();
    assert_eq!(body["source"]["loopId"], "nightly-7");
    assert_eq!(body["source"]["traceId"], "t-run");
}

#[test]
fn configured_headers_are_added_and_replace_nothing() {
    let mut sink = webhook("URL");
    sink["authTokenEnv"] = json!("TOKEN");
    sink["headers"] = json!({
        "Content-Type": "application/json", "X-Team": " core ", "Authorization": "Basic eA==",
        "X-Blank": "  ", "User-Agent": "mine", "Host": "alerts.example",
    });
    let (_, receiver) = deliver(sink, row("x", "t"), &[("TOKEN", "tok-1")]);
    let request = only(&receiver);
    for (name, values) in [
        ("content-type", vec!["application/json", "application/json"]),
        ("authorization", vec!["Bearer tok-1", "Basic eA=="]),
        ("x-team", vec!["core"]),
        ("x-blank", vec![]),
        ("user-agent", vec!["mine"]),
        ("host", vec!["alerts.example"]),
    ] {
        assert_eq!(request.header_lines(name), values, "{name}");
    }
}

#[test]
fn headers_are_sent_in_the_contracts_order() {
    let mut sink = webhook("URL");
    sink["authTokenEnv"] = json!("TOKEN");
    sink["headers"] = json!({"X-B": "1", "Content-Type": "text/x", "X-A": "2"});
    let (_, receiver) = deliver(sink, row("x", "t"), &[("TOKEN", "tok-1")]);
    let request = only(&receiver);
    let ours = ["content-type", "authorization", "x-b", "x-a"];
    let sent = request.headers.iter().map(|(name, _)| name.as_str());
    let sent: Vec<&str> = sent.filter(|name| ours.contains(name)).collect();
    // Lines of one name stand together.
    assert_eq!(
        sent,
        [
            "content-type",
            "content-type",
            "authorization",
            "x-b",
            "x-a"
        ]
    );
}

#[test]
fn a_token_that_is_not_set_is_not_sent() {
    let mut sink = webhook("URL");
    sink["authTokenEnv"] = json!("TOKEN");
    let (world, receiver) = deliver(sink, row("x", "t"), &[]);
    assert!(only(&receiver).header_lines("authorization").is_empty());
    assert_eq!(world.rows()[0]["status"], "dispatched");
}

#[test]
fn headers_that_would_make_it_another_request_are_refused() {
    for (name, value) in [
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("bad name", "x"),
        ("X-Injected", "a\r\nX-Other: b"),
        ("@file", "x"),
        ("", "x"),
    ] {
        let mut sink = webhook("URL");
        sink["headers"] = json!({ name: value });
        let (world, receiver) = deliver(sink, row("x", "t"), &[]);
        assert_eq!(receiver.count(), 0, "{name}");
        let result = &world.rows()[0]["sinks"][0];
        assert_eq!(result["reasonCode"], "request_failed", "{name}");
        assert!(result["message"].is_string(), "{name}");
    }
}

fn slack(settings: Value) -> Value {
    let mut sink = json!({"enabled": true, "type": "slack", "webhookUrlEnv": "URL"});
    for (name, value) in settings.as_object().expect("settings") {
        sink[name] = value.clone();
    }
    sink
}

#[test]
fn slack_receives_a_message() {
    let sink = slack(json!({"channel": "#oncall", "username": "ops", "iconEmoji": ":x:"}));
    let (_, receiver) = deliver(sink, row("quota_hit", "t-77"), &[]);
    let request = only(&receiver);
    assert_eq!(request.header_lines("content-type"), ["application/json"]);
    insta::assert_snapshot!(String::from_utf8(request.body).expect("UTF-8"));
}

#[test]
fn slack_is_not_told_what_is_not_configured() {
    let sink = slack(json!({"channel": "", "username": false, "iconEmoji": 7}));
    let (_, receiver) = deliver(sink, json!({"category": "x", "traceId": "t"}), &[]);
    insta::assert_snapshot!(json::pretty(&only(&receiver).json()));
}

#[test]
fn pagerduty_receives_an_event() {
    let sink = json!({
        "enabled": true, "type": "pagerduty_events", "routingKeyEnv": "KEY",
        "source": "prod", "group": false,
    });
    let (_, receiver) = deliver(sink, row("quota_hit", "t-77"), &[("KEY", "rk-1")]);
    let request = only(&receiver);
    assert_eq!(request.path, "/v2/enqueue");
    assert_eq!(request.header_lines("content-type"), ["application/json"]);
    insta::assert_snapshot!(String::from_utf8(request.body).expect("UTF-8"));
}

#[test]
fn a_row_without_a_timestamp_has_an_open_dedup_key() {
    let sink = json!({"enabled": true, "type": "pagerduty_events", "routingKeyEnv": "KEY"});
    let (_, receiver) = deliver(sink, json!({"category": "x"}), &[("KEY", "rk-1")]);
    assert_eq!(only(&receiver).json()["dedup_key"], "nightly-7:x:");
}

#[test]
fn what_cannot_be_sent_and_why() {
    let alert = om_alerts::Alert {
        repo_path: "/srv/app".to_owned(),
        loop_id: "l".to_owned(),
        trace_id: "t".to_owned(),
        category: "c".to_owned(),
        severity: om_model::alerts::Severity::Info,
        timestamp: String::new(),
        escalation: json!({}),
    };
    let courier = Courier::new(Environment::fixed([("BAD", "file:///etc/passwd")]));
    for (sink, reason, message) in [
        (
            json!({"type": "webhook"}),
            AlertReason::MissingSecret,
            "webhook url env is unset",
        ),
        (
            json!({"type": "webhook", "secretRefs": {"urlEnv": "UNSET"}}),
            AlertReason::MissingSecret,
            "webhook url env is unset",
        ),
        (
            json!({"type": "slack", "secretRefs": {"webhookUrlEnv": "UNSET"}}),
            AlertReason::MissingSecret,
            "slack webhook env is unset",
        ),
        (
            json!({"type": "pagerduty_events", "secretRefs": {}}),
            AlertReason::MissingSecret,
            "pagerduty routing key env is unset",
        ),
        (
            json!({"type": "pigeon"}),
            AlertReason::UnsupportedSinkType,
            "unsupported sink type: pigeon",
        ),
        (
            json!({"type": ""}),
            AlertReason::UnsupportedSinkType,
            "unsupported sink type: ",
        ),
        (
            json!({"type": "webhook", "secretRefs": {"urlEnv": "BAD"}}),
            AlertReason::RequestFailed,
            "bad URL: it must start with http:// or https:// and name a host",
        ),
    ] {
        let read = Sink::read(&sink);
        let results =
            block_on(courier.deliver(std::slice::from_ref(&read), &alert, crate::support::now()));
        let expected = SinkResult {
            id: "unknown".to_owned(),
            kind: read.kind.clone(),
            status: SinkStatus::Failed,
            http_status: None,
            reason_code: Some(reason),
            message: Some(message.to_owned()),
        };
        assert_eq!(results, [expected], "{sink}");
    }
}

#[test]
fn a_url_without_a_scheme_is_an_http_one() {
    let receiver = Receiver::saying(Reply::ok());
    let url = format!("{}/plain", receiver.address());
    let environment = Environment::fixed([("URL", url.as_str())]);
    let world = World::new(&config(json!({"sink": webhook("URL")})), environment);
    world.escalate(&[row("x", "t").to_string()]);
    world.run("t-run");
    assert_eq!(only(&receiver).path, "/plain");
}

#[test]
fn a_url_that_is_none_is_a_failed_request() {
    for url in [
        "file:///etc/passwd",
        "file:/etc/passwd",
        "-K/etc/passwd",
        "http://",
        "ftp://h/",
        "http://[::1",
    ] {
        let environment = Environment::fixed([("URL", url)]);
        let world = World::new(&config(json!({"sink": webhook("URL")})), environment);
        world.escalate(&[row("x", "t").to_string()]);
        world.run("t-run");
        let result = &world.rows()[0]["sinks"][0];
        assert_eq!(result["reasonCode"], "request_failed", "{url}");
        assert_eq!(result["httpStatus"], Value::Null, "{url}");
    }
}
