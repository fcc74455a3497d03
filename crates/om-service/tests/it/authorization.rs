//! Who may ask.

use crate::support::{Repo, Server};

#[test]
fn with_a_token_every_route_asks_for_it_before_anything_else() {
    let repo = Repo::new();
    let server = Server::with_token(&repo, "s3cret");
    for (method, target, body) in [
        ("GET", "/healthz", &b""[..]),
        ("GET", "/readyz", b""),
        ("GET", "/openapi.json", b""),
        ("GET", "/ops/snapshot", b""),
        ("GET", "/ops/events", b""),
        ("GET", "/nowhere", b""),
        ("POST", "/ops/control", b"not json"),
        ("POST", "/ops/snapshot", b"x"),
    ] {
        let answer = server.send(method, target, &[], body);
        assert_eq!(answer.error(), (401, "unauthorized".into()), "{target}");
        assert_eq!(answer.message(), "missing or invalid token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let answer = server.send(method, target, &["X-Ops-Token: s3cret"], body);
        assert_ne!(answer.status, 401, "{target}");
    }
}

#[test]
fn which_headers_carry_the_token() {
    let repo = Repo::new();
    let server = Server::with_token(&repo, "s3cret");
    for (headers, status) in [
        (&["Authorization: Bearer s3cret"][..], 200),
        (&["authorization: bEARER   s3cret  "], 200),
        (&["X-Ops-Token: s3cret"], 200),
        (&["Authorization: Bearer wrong", "X-Ops-Token: s3cret"], 200),
        (&["Authorization: Bearer s3cret", "X-Ops-Token: wrong"], 200),
        (&["Authorization: s3cret"], 401),
        (&["Authorization: Basic s3cret"], 401),
        (&["Authorization: Bearer"], 401),
        (&["Authorization: Bearer S3CRET"], 401),
        (&["Authorization: Bearer s3cre"], 401),
        (&["Authorization: Bearer s3crett"], 401),
        (&["X-Ops-Token: Bearer s3cret"], 401),
        (&["X-Ops-Token: "], 401),
        (&["Cookie: s3cret"], 401),
        (&[], 401),
    ] {
        let answer = server.send("GET", "/healthz", headers, b"");
        assert_eq!(answer.status, status, "{headers:?}");
    }
}

#[test]
fn a_token_in_the_query_is_no_token() {
    let repo = Repo::new();
    let server = Server::with_token(&repo, "s3cret");
    assert_eq!(server.get("/healthz?token=s3cret").status, 401);
}

#[test]
fn without_a_token_nobody_is_asked() {
    let repo = Repo::new();
    let server = Server::start(&repo);
    for header in ["Authorization: Bearer any", "X-Ops-Token: any", "X: y"] {
        assert_eq!(server.send("GET", "/healthz", &[header], b"").status, 200);
    }
}
