//! Secrets stay where they are.

use om_http::{REDACTED, Request, Secret, Secrets, Url, redact};
use proptest::prelude::*;
use serde_json::json;

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
        (url, "Basic YW5hOnBhNTV3b3Jk!", "Basic [redacted]!"),
        (
            "http://h/x?key=QSEC%2FRET+VAL",
            "bad QSEC/RET VAL or QSEC%2FRET+VAL or QSEC/RET+VAL",
            "bad [redacted] or [redacted] or [redacted]",
        ),
        ("http://u:pw@h/", "Basic dTpwdw==", "Basic [redacted]=="),
        (
            "a\"b\\c",
            r#"a"b\c, "a\"b\\c""#,
            "[redacted], \"[redacted]\"",
        ),
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

fn known(secrets: &[&str]) -> Secrets {
    Secrets::new(secrets.iter().map(|secret| Secret::new(*secret)))
}

#[test]
fn a_short_secret_is_only_removed_where_it_is_a_whole_word() {
    for (text, expected) in [
        ("tok", "[redacted]"),
        (
            "a tok, \"tok\" tok=tok",
            "a [redacted], \"[redacted]\" [redacted]=[redacted]",
        ),
        ("stoke token x_tok tok1 étok", "stoke token x_tok tok1 étok"),
        ("token tok", "token [redacted]"),
    ] {
        assert_eq!(known(&["tok"]).redact(text), expected);
    }
    assert_eq!(known(&["s3cret"]).redact("as3crets"), "a[redacted]s");
    assert_eq!(known(&["tok", "tok-long"]).redact("tok-long"), "[redacted]");
}

#[test]
fn output_is_cleaned_as_it_will_be_read() {
    let secrets = known(&[TOKEN]);
    assert_eq!(
        secrets.clean(b"a s3cr\x003t\0-t0ken \xff"),
        "a [redacted] \u{fffd}"
    );
    assert_eq!(
        secrets.clean_end(b"t-t0ken, and more than that is kept"),
        "an that is kept"
    );
    assert_eq!(Secrets::default().clean_end(b"all"), "all");
    let secrets = known(&["two\nlines"]);
    assert_eq!(secrets.clean(b"a two\nlines\nb"), "a [redacted]\nb");
    let quoted = known(&["a\"b\\c123"]);
    assert_eq!(
        quoted.clean(br#"{"echo":"a\"b\\c123"}"#),
        r#"{"echo":"[redacted]"}"#
    );
}

#[test]
fn a_document_keeps_its_shape_without_its_secrets() {
    let mut document = json!({
        TOKEN: [TOKEN, {"a": format!("x {TOKEN} y")}],
        "n": 12_345_678, "exitCode": 1, "ok": true, "none": null,
    });
    known(&[TOKEN, "12345678", "1", "ok"]).redact_document(&mut document);
    assert_eq!(
        document,
        json!({
            REDACTED: [REDACTED, {"a": "x [redacted] y"}],
            "n": REDACTED, "exitCode": 1, "ok": true, "none": null,
        })
    );
    let names: Vec<&String> = document.as_object().expect("an object").keys().collect();
    assert_eq!(names, [REDACTED, "n", "exitCode", "ok", "none"]);
}

#[test]
fn secrets_do_not_print() {
    assert!(!format!("{:?}", known(&[TOKEN])).contains(TOKEN));
    assert!(known(&["", " "]).is_empty());
}

proptest! {
    #[test]
    fn no_long_secret_survives(text in "[A-C ]{0,80}", secret in "[A-C]{6,8}") {
        let secrets = known(&[&secret]);
        prop_assert!(!secrets.redact(&text).contains(&secret));
    }

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
