//! What becomes of a delivery (chapter 04 §3.4.3).

use std::net::TcpListener;

use om_alerts::Environment;
use serde_json::{Value, json};

use crate::receiver::{Receiver, Reply};
use crate::support::{World, config, row, webhook};

/// The result of delivering one row to one webhook at `url`.
fn result(url: &str) -> Value {
    let environment = Environment::fixed([("URL", url)]);
    let mut sink = webhook("URL");
    sink["timeoutSeconds"] = json!(1);
    let world = World::new(&config(json!({"sink": sink})), environment);
    world.escalate(&[row("x", "t").to_string()]);
    world.run("t-run");
    world.rows()[0]["sinks"][0].clone()
}

fn answered(reply: Reply) -> Value {
    result(&Receiver::saying(reply).url("/"))
}

#[test]
fn a_complete_response_is_a_success_or_an_http_error() {
    for (status, outcome, reason) in [
        (200, "success", Value::Null),
        (202, "success", Value::Null),
        (299, "success", Value::Null),
        (300, "failed", json!("http_error")),
        (400, "failed", json!("http_error")),
        (401, "failed", json!("http_error")),
        (429, "failed", json!("http_error")),
        (500, "failed", json!("http_error")),
        (503, "failed", json!("http_error")),
    ] {
        let result = answered(Reply::Say(status, "said".to_owned()));
        let expected = json!({
            "id": "sink", "type": "webhook", "status": outcome, "httpStatus": status,
            "reasonCode": reason, "message": "said",
        });
        assert_eq!(result, expected);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::saying(Reply::ok());
    let result = answered(Reply::Redirect(elsewhere.url("/stolen")));
    assert_eq!(result["httpStatus"], 302);
    assert_eq!(result["reasonCode"], "http_error");
    assert_eq!(result["message"], Value::Null);
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn without_a_complete_response_the_request_failed() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}/", listener.local_addr().expect("an address"))
    };
    let plain = Receiver::saying(Reply::ok());
    for (what, result) in [
        ("refused", result(&closed)),
        ("no TLS", result(&format!("https://{}/", plain.address()))),
        ("hanging", answered(Reply::Hang)),
        ("truncated", answered(Reply::Truncate)),
        ("no HTTP", answered(Reply::Raw(b"hello\r\n\r\n"))),
        ("silent", answered(Reply::Raw(b""))),
    ] {
        assert_eq!(result["status"], "failed", "{what}");
        assert_eq!(result["reasonCode"], "request_failed", "{what}");
        assert_eq!(result["httpStatus"], Value::Null, "{what}");
        let message = result["message"].as_str().expect("a message");
        let length = message.chars().count();
        assert!((1..=300).contains(&length), "{what}: {message}");
        assert!(!message.contains('\n'), "{what}: {message}");
    }
}

#[test]
fn of_a_long_answer_only_the_beginning_is_kept() {
    let result = answered(Reply::Flood(64));
    assert_eq!(result["status"], "success");
    assert_eq!(result["message"], "x".repeat(300));
}

#[test]
fn an_answer_is_excerpted_on_one_line() {
    for (body, message) in [
        ("", Value::Null),
        ("\n\n", Value::Null),
        ("a\nb\r\n", json!("a b\r")),
        ("größer", json!("größer")),
    ] {
        let result = answered(Reply::Say(200, body.to_owned()));
        assert_eq!(result["message"], message, "{body:?}");
    }
}

#[test]
fn every_sink_is_tried_and_results_keep_their_order() {
    let good = Receiver::saying(Reply::ok());
    let bad = Receiver::saying(Reply::Say(502, "bad gateway".to_owned()));
    let (good_url, bad_url) = (good.url("/"), bad.url("/"));
    for (sinks, status, reason, counts) in [
        (
            json!({"a": webhook("GOOD"), "b": webhook("GOOD")}),
            "dispatched",
            Value::Null,
            [1, 0],
        ),
        (
            json!({"a": webhook("BAD"), "b": webhook("GOOD"), "c": webhook("BAD")}),
            "partial",
            json!("partial_dispatch_failure"),
            [1, 1],
        ),
        (
            json!({"a": webhook("BAD"), "b": webhook("NONE")}),
            "failed",
            json!("dispatch_failed"),
            [0, 1],
        ),
    ] {
        let environment =
            Environment::fixed([("GOOD", good_url.as_str()), ("BAD", bad_url.as_str())]);
        let world = World::new(&config(sinks.clone()), environment);
        world.escalate(&[row("x", "t").to_string()]);
        let state = world.run("t-run");
        let delivered = &world.rows()[0];
        assert_eq!(delivered["status"], status);
        assert_eq!(delivered.get("reasonCode").unwrap_or(&Value::Null), &reason);
        assert_eq!([state.dispatched_count, state.failed_count], counts);
        let tried = delivered["sinks"].as_array().expect("sinks");
        let ids: Vec<&Value> = tried.iter().map(|sink| &sink["id"]).collect();
        assert_eq!(
            ids,
            sinks.as_object().expect("sinks").keys().collect::<Vec<_>>()
        );
    }
}

#[test]
fn sinks_of_one_row_do_not_wait_for_each_other() {
    // Each answers only when the other was asked: one after the other they
    // would both time out.
    let (ask_a, asked_a) = std::sync::mpsc::channel();
    let (ask_b, asked_b) = std::sync::mpsc::channel();
    let meet = |tell: std::sync::mpsc::Sender<()>, hear: std::sync::mpsc::Receiver<()>| {
        let (tell, hear) = (std::sync::Mutex::new(tell), std::sync::Mutex::new(hear));
        Receiver::scripted(move |_| {
            tell.lock().expect("not poisoned").send(()).expect("heard");
            hear.lock().expect("not poisoned").recv().expect("told");
            Reply::ok()
        })
    };
    let (a, b) = (meet(ask_a, asked_b), meet(ask_b, asked_a));
    let (url_a, url_b) = (a.url("/"), b.url("/"));
    let environment = Environment::fixed([("A", url_a.as_str()), ("B", url_b.as_str())]);
    let sinks = json!({"a": webhook("A"), "b": webhook("B")});
    let world = World::new(&config(sinks), environment);
    world.escalate(&[row("x", "t").to_string()]);
    assert_eq!(world.run("t-run").dispatched_count, 1);
}

#[test]
fn a_sink_listed_twice_is_told_twice() {
    let receiver = Receiver::saying(Reply::ok());
    let url = receiver.url("/");
    let mut config = config(json!({"a": webhook("URL")}));
    config["routing"]["defaultSinks"] = json!(["a", "a"]);
    let world = World::new(&config, Environment::fixed([("URL", url.as_str())]));
    world.escalate(&[row("x", "t").to_string()]);
    world.run("t-run");
    assert_eq!(receiver.count(), 2);
    assert_eq!(world.rows()[0]["sinkCount"], 2);
}
