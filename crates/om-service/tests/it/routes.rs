//! Every route, and what unknown ones get.

use om_model::service::routes::ROUTES;
use serde_json::json;

use crate::support::{Repo, Server};

#[test]
fn every_answer_is_json_with_a_length_and_the_servers_name() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for target in [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/ops/snapshot?loopId=nightly",
        "/ops/events?loopId=nightly",
        "/nowhere",
    ] {
        let answer = server.get(target);
        answer.json();
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let name = answer.header("server").expect("a name");
        assert!(name.starts_with("OpsManagerSpriteService/0.1"), "{name}");
        assert!(!answer.body.ends_with(b"\n") && answer.body.is_ascii());
    }
}

#[test]
fn it_is_healthy_and_ready() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for target in ["/healthz", "/healthz?x=%ff", "/readyz"] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.json()), (200, json!({"ok": true})));
    }
}

#[test]
fn it_is_not_ready_without_its_repository() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let away = elsewhere.path().join("away");
    std::fs::rename(repo.path(), &away).expect("moved");
    let answer = server.get("/readyz");
    assert_eq!(answer.error(), (503, "service_busy".into()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(server.get("/healthz").status, 200);
    std::fs::rename(&away, repo.path()).expect("moved back");
}

#[test]
fn what_is_not_found() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/healthz/"),
        ("GET", "/Healthz"),
        ("GET", "//healthz"),
        ("GET", "/ops/control"),
        ("GET", "/ops/snapshot/nightly"),
        ("GET", "/%6fps/snapshot?loopId=nightly"),
        ("POST", "/ops/snapshot"),
        ("POST", "/healthz"),
    ] {
        let answer = server.send(method, target, &[], b"");
        assert_eq!(
            answer.error(),
            (404, "not_found".into()),
            "{method} {target}"
        );
        assert_eq!(answer.message(), "endpoint not found");
    }
}

#[test]
fn other_methods_are_not_implemented() {
    let repo = Repo::new();
    let server = Server::with_token(&repo, "secret");
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        for target in ["/healthz", "/ops/control", "/nowhere"] {
            let answer = server.send(method, target, &[], b"{}");
            assert_eq!(answer.error(), (501, "not_implemented".into()), "{method}");
        }
    }
    let mut client = server.connect();
    client.request("HEAD", "/healthz", &["Connection: close"], b"");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.socket, &mut text).expect("read");
    assert!(text.starts_with("HTTP/1.1 501 ") && text.ends_with("\r\n\r\n"));
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_the_order_of_the_contract() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for (target, message) in [
        ("/ops/snapshot", "loopId is required"),
        ("/ops/snapshot?loopId=", "loopId is required"),
        (
            "/ops/snapshot?loopId=fleet",
            "invalid loop id: \"fleet\" is reserved",
        ),
        ("/ops/events?cursor=x", "loopId is required"),
        (
            "/ops/events?loopId=%2e%2e&cursor=x",
            "invalid loop id: \"..\" is reserved",
        ),
        (
            "/ops/events?loopId=nightly&cursor=x&maxEvents=y",
            "query parameter 'cursor' must be an integer",
        ),
        (
            "/ops/events?loopId=nightly&cursor=-1",
            "query parameter 'cursor' must be >= 0",
        ),
        (
            "/ops/events?loopId=nightly&maxEvents=1.5",
            "query parameter 'maxEvents' must be an integer",
        ),
        (
            "/ops/snapshot?loopId=%ff",
            "query parameter 'loopId' must be valid UTF-8",
        ),
    ] {
        let answer = server.get(target);
        assert_eq!(answer.error(), (400, "invalid_request".into()), "{target}");
        assert_eq!(answer.message(), message, "{target}");
    }
}

#[test]
fn a_query_in_raw_bytes_is_answered_with_an_error() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let mut client = server.connect();
    client.write(b"GET /ops/snapshot?loopId=\xff\xfe HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.answer().error(), (400, "invalid_request".into()));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn the_api_describes_itself() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    for route in ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        assert!(
            document["paths"][route.path][method].is_object(),
            "{}",
            route.path
        );
    }
}
