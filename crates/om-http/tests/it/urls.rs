//! URLs in messages.

use om_http::{Secret, Url, credentials, shown, without_userinfo};

#[test]
fn an_origin_is_host_and_port() {
    for (text, origin) in [
        ("http://host", "host:80"),
        ("https://u:p@Host/x?y", "host:443"),
        ("http://127.0.0.1:8787/", "127.0.0.1:8787"),
        ("http://[::1]:8787", "[::1]:8787"),
    ] {
        assert_eq!(Url::parse(text).expect(text).origin(), origin);
    }
}

#[test]
fn credentials_are_left_out_of_a_shown_url() {
    for (text, shown, hidden) in [
        ("http://host/x", "http://host/x", &[][..]),
        (
            "http://u:p@host:1/x@y",
            "http://host:1/x@y",
            &["u:p", "p", "dTpw"],
        ),
        ("http://u@host", "http://host", &["u", "dQ"]),
        (
            "http://u:p@q@host?a@b",
            "http://host?a@b",
            &["u:p@q", "p@q", "dTpwQHE"],
        ),
        ("http://host?to=a@b", "http://host?to=a@b", &[]),
        ("not a url @ all", "not a url @ all", &[]),
    ] {
        assert_eq!(without_userinfo(text), shown, "{text}");
        let found = credentials(text);
        let found: Vec<&str> = found.iter().map(Secret::expose).collect();
        assert_eq!(found, hidden, "{text}");
    }
}

#[test]
fn a_shown_url_has_no_query() {
    for (url, shown_as) in [
        ("http://h:1/x", "http://h:1/x"),
        ("http://u:p@h/x?k=v&w", "http://h/x?[redacted]"),
        ("http://h?k=v#f", "http://h?[redacted]"),
        ("http://h/?", "http://h/?"),
        ("no url", "no url"),
    ] {
        assert_eq!(shown(url), shown_as);
    }
}

#[test]
fn credentials_are_whatever_a_url_keeps_to_itself() {
    let found = |url: &str| -> Vec<String> {
        let secrets = credentials(url);
        secrets
            .iter()
            .map(|secret| secret.expose().to_owned())
            .collect()
    };
    assert_eq!(
        found("http://u:p%40@h/x?key=0123456&v=1&bare-value#a=bbbbbbbb"),
        ["0123456", "bare-value", "u:p%40", "p%40", "dTpwQA"]
    );
    assert_eq!(found("http://h/x"), Vec::<String>::new());
}
