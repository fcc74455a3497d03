//! URLs in messages.

use om_http::{Secret, Url, credentials, without_userinfo};

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
        ("http://u:p@host:1/x@y", "http://host:1/x@y", &["u:p", "p"]),
        ("http://u@host", "http://host", &["u"]),
        (
            "http://u:p@q@host?a@b",
            "http://host?a@b",
            &["u:p@q", "p@q"],
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
