//! One line per answer.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use om_http::Secret;
use om_service::AccessLog;
use serde_json::{Value, json};

use crate::support::{Repo, Server, wait_until};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged while `asks` asks.
fn logged(repo: &Repo, asks: impl FnOnce(&Server)) -> Vec<String> {
    let lines = Lines::default();
    let sink = lines.clone();
    let server = Server::with(repo, |config| config.access_log = Some(AccessLog::to(sink)));
    asks(&server);
    server.end();
    let bytes = lines.0.lock().expect("no panic").clone();
    let text = String::from_utf8(bytes).expect("text");
    text.lines().map(str::to_owned).collect()
}

fn cancel(more: &Value) -> Value {
    let mut body = json!({"loopId": "nightly", "intent": "cancel", "noConfirm": true});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn the_line_of_a_control_has_its_trace_id() {
    let repo = Repo::new();
    let mut generated = Value::Null;
    let lines = logged(&repo, |server| {
        server.control(&cancel(
            &json!({"traceId": "t-body", "idempotencyKey": "k"}),
        ));
        generated = server.control(&cancel(&json!({}))).json()["traceId"].clone();
        // A repetition: its own id if it has one, else that of the execution.
        server.control(&cancel(
            &json!({"traceId": "t-again", "idempotencyKey": "k"}),
        ));
        server.control(&cancel(&json!({"idempotencyKey": "k"})));
        server.control(&cancel(
            &json!({"intent": "reject", "idempotencyKey": "k", "traceId": "t-422"}),
        ));
        server.send("GET", "/healthz", &["X-Trace-Id: t-header"], b"");
        server.get("/healthz");
    });
    let traces: Vec<&str> = lines
        .iter()
        .map(|line| line.rsplit_once(" trace=").expect("a trace").1)
        .collect();
    let generated = generated.as_str().expect("an id");
    assert_eq!(
        traces,
        [
            "t-body", generated, "t-again", "t-body", "t-422", "t-header", "-"
        ]
    );
}

#[test]
fn a_token_in_a_query_is_not_logged() {
    let repo = Repo::new();
    let lines = Lines::default();
    let sink = lines.clone();
    let server = Server::with(&repo, |config| {
        config.access_log = Some(AccessLog::to(sink));
        config.token = Some(Secret::new("s3cr3t/t0ken"));
    });
    for (query, shown) in [
        ("a=1&key=s3cr3t%2Ft0ken", "a=1&key=[redacted]"),
        ("a=1&key=s3cr3t/t0ken&b", "a=1&key=[redacted]&b"),
        ("s3cr3t/t0ken", "[redacted]=[redacted]"),
        ("t%6Fken=any&a=b", "t%6Fken=[redacted]&a=b"),
        ("TOKEN=any", "TOKEN=[redacted]"),
        ("tokens=any&token=", "tokens=any&token="),
        ("loopId=a%20b&&", "loopId=a%20b&&"),
    ] {
        assert_eq!(server.get(&format!("/x?{query}")).status, 401);
        let expected = format!("\"GET /x?{shown} HTTP/1.1\"");
        wait_until(&expected, || {
            let bytes = lines.0.lock().expect("no panic").clone();
            String::from_utf8_lossy(&bytes).contains(&expected)
        });
    }
    server.end();
    let bytes = lines.0.lock().expect("no panic").clone();
    assert!(!String::from_utf8_lossy(&bytes).contains("t0ken"));
}
