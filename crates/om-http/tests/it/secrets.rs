//! Secrets stay where they are.

use om_http::{REDACTED, Request, Secret, Url, redact};
use proptest::prelude::*;

use crate::client::{client, wait};
use crate::server::{Reply, Server, refusing};

const TOKEN: &str = "s3cr3t-t0ken";

#[test]
fn a_secret_prints_as_redacted() {
    let secret = Secret::new(TOKEN);
    assert_eq!(
        format!("{secret} {secret:?} {:?}", Some(&secret))
            .matches(REDACTED)
            .count(),
        3
    );
    assert_eq!(secret.expose(), TOKEN);
}

#[test]
fn no_error_and_no_debug_text_shows_a_part_of_a_request() {
    let server = Server::start([Reply::Raw(Reply::cut_short())]);
    let origins = [
        server.origin(),
        refusing(),
        format!("{}.test", "n".repeat(64)),
    ];
    for scheme in ["http", "https"] {
        for origin in &origins {
            let text = format!("{scheme}://user:{TOKEN}@{origin}/{TOKEN}/x?key={TOKEN}#{TOKEN}");
            let url = Url::parse(&text).expect("a URL");
            let request = Request::post(url.clone(), TOKEN)
                .secret_header("X-Key", &Secret::new(TOKEN))
                .and_then(|request| request.header("X-Other", TOKEN))
                .expect("headers")
                .time_limit(std::time::Duration::from_millis(300));
            let error = wait(client().send(&request)).expect_err("fails");
            for shown in [
                format!("{error}"),
                format!("{error:?}"),
                format!("{request:?}"),
                format!("{url:?}"),
            ] {
                assert!(!shown.contains(TOKEN), "{shown}");
            }
        }
    }
}

#[test]
fn an_unusable_url_or_header_does_not_show_its_secret() {
    let url = Url::parse(&format!("ftp://u:{TOKEN}@host/{TOKEN}")).expect_err("no http");
    assert!(!format!("{url} {url:?}").contains(TOKEN));
    let target = Url::parse("http://host").expect("a URL");
    let header = Request::get(target).secret_header("X-Key", &Secret::new(format!("{TOKEN}\n")));
    let error = header.expect_err("a line break");
    assert!(!format!("{error} {error:?}").contains(TOKEN));
}

#[test]
fn a_secret_is_removed_in_the_forms_in_which_it_comes_back() {
    let url = "https://ana:pa55w%6Frd@hooks.example/services/T0/x1y2z3?key=0123456789&v=2";
    for (secret, text, expected) in [
        ("tok", "a tok b tok", "a [redacted] b [redacted]"),
        (" tok ", "a tok", "a [redacted]"),
        ("a b/c", "got a%20b%2Fc", "got [redacted]"),
        ("", "nothing", "nothing"),
        (url, url, "[redacted]"),
        (
            url,
            "no /services/T0/x1y2z3?key=0123456789&v=2 here",
            "no /[redacted] here",
        ),
        (url, "wrong key 0123456789", "wrong key [redacted]"),
        (url, "no user ana:pa55w%6Frd", "no user [redacted]"),
        (url, "no password pa55word", "no password [redacted]"),
        (url, "hooks.example says v=2", "hooks.example says v=2"),
    ] {
        assert_eq!(redact(text, &[&Secret::new(secret)]), expected, "{secret}");
    }
}

#[test]
fn a_secret_within_a_secret_leaves_nothing_behind() {
    let (short, long) = (Secret::new("abc"), Secret::new("abcdef"));
    for secrets in [[&short, &long], [&long, &short]] {
        assert_eq!(redact("abcdef abc", &secrets), "[redacted] [redacted]");
    }
}

proptest! {
    #[test]
    fn no_secret_survives(text in "[A-Z0-9 ]{0,40}", secret in "[A-Z0-9]{1,4}") {
        let shown = redact(&text, &[&Secret::new(secret.clone())]);
        prop_assert!(!shown.contains(&secret));
    }

    #[test]
    fn text_without_secrets_is_kept(text in "\\PC{0,40}") {
        prop_assert_eq!(redact(&text, &[&Secret::new("\u{1}")]), text);
    }
}
