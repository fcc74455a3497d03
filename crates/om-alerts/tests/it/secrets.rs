//! Secrets appear in no artifact, whatever a server says (decision D6).

use std::fs;
use std::path::Path;

use om_alerts::Environment;
use serde_json::json;

use crate::receiver::{Receiver, Reply};
use crate::support::{World, config, row, webhook};

const PATH: &str = "/services/T0AAAA/B0BBBB/hook-s3cret-1";
const QUERY: &str = "query-s3cret-2";
const TOKEN: &str = "token-s3cret-3";
const KEY: &str = "routing-s3cret-4";
const PASSWORD: &str = "password-s3cret-5";

/// Every file below `folder` that contains one of the secrets.
fn leaks(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(leaks(&path));
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        if text.contains("s3cret") {
            found.push(format!("{}: {text}", path.display()));
        }
    }
    found
}

#[test]
fn what_a_server_repeats_of_a_secret_is_not_written_down() {
    let echo = Receiver::scripted(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let said = format!(
            "no such hook {}: {:?} {body}",
            request.path, request.headers
        );
        Reply::Say(404, said.repeat(40))
    });
    let (plain, address) = (echo.url("/"), echo.address());
    let hook = format!("http://user:{PASSWORD}@{address}{PATH}?key={QUERY}");
    let bare = format!("{address}{PATH}");
    let dead = format!("http://user:{PASSWORD}@127.0.0.1:1{PATH}?key={QUERY}");
    let bad = format!("gopher://{PASSWORD}@h{PATH}");
    let environment = Environment::fixed([
        ("HOOK", hook.as_str()),
        ("BARE", bare.as_str()),
        ("DEAD", dead.as_str()),
        ("BAD", bad.as_str()),
        ("TOKEN", TOKEN),
        ("LINES", "token-s3cret-6\nX-Injected: 1"),
        ("KEY", KEY),
    ]);
    let mut with_token = webhook("HOOK");
    with_token["authTokenEnv"] = json!("TOKEN");
    let mut with_lines = webhook("HOOK");
    with_lines["authTokenEnv"] = json!("LINES");
    let sinks = json!({
        "hook": with_token,
        "lines": with_lines,
        "bare": webhook("BARE"),
        "dead": webhook("DEAD"),
        "bad": webhook("BAD"),
        "chat": {"enabled": true, "type": "slack", "webhookUrlEnv": "HOOK"},
        "page": {"enabled": true, "type": "pagerduty_events", "routingKeyEnv": "KEY"},
    });
    let mut world = World::new(&config(sinks), environment);
    world.courier = world.courier.with_pagerduty_at(plain);
    world.escalate(&[row("c", "t").to_string()]);
    let state = world.run("t-1");
    assert_eq!(state.pending_count, 7);
    world.run("t-2");
    assert_eq!(leaks(&world.repo()), Vec::<String>::new());
    assert!(!format!("{:?}", world.courier).contains("s3cret"));
    let messages = world.rows()[0]["sinks"].to_string();
    assert!(messages.contains("[redacted]"), "{messages}");
    // They did arrive where they belong.
    let sent = format!("{:?}", echo.received());
    for secret in [PATH, QUERY, TOKEN] {
        assert!(sent.contains(secret), "{secret}");
    }
}
