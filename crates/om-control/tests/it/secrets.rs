//! Nothing that a runtime prints puts a secret on record (decision D6).

use std::fs;
use std::path::Path;

use om_control::{LocalControl, Transport};
use om_http::{Secret, Secrets};
use om_model::control::{ControlStatus, Intent};

use crate::support::Repo;

const TOKEN: &str = "t0ken-of-the-sprite";

fn local(repo: &Repo, body: &str, token: &str) -> LocalControl {
    LocalControl {
        secrets: Secrets::new([Secret::new(token)]),
        ..repo.runtime(body)
    }
}

/// Every file below `dir`, the record of commits included, as one text.
fn everything(dir: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all += &everything(&path);
        } else {
            all += &String::from_utf8_lossy(&fs::read(path).expect("readable"));
        }
    }
    all
}

fn said(repo: &Repo, body: &str, token: &str) -> String {
    let outcome = repo.control(Intent::Approve, &local(repo, body, token));
    let said = outcome.row.command_output.expect("it says something");
    assert!(said.contains("[redacted]"), "{said}");
    said
}

#[test]
fn a_runtime_that_prints_its_token_leaves_no_trace_of_it() {
    let repo = Repo::new();
    let body = format!("echo 'using {TOKEN}'; printf 't0ken-of\\000-the-sprite' >&2");
    assert_eq!(said(&repo, &body, TOKEN), "using [redacted]\n[redacted]");
    let tree = everything(&repo.path().join(".superloop"));
    assert!(!tree.contains(TOKEN) && tree.contains("[redacted]"));
}

#[test]
fn a_short_token_is_removed_where_it_is_a_word() {
    let repo = Repo::new();
    let said = said(&repo, "echo 'stoke (tok) tokens'", "tok");
    assert_eq!(said, "stoke ([redacted]) tokens");
}

#[test]
fn the_forty_lines_do_not_begin_within_a_secret() {
    let repo = Repo::new();
    // The last forty lines begin after the first line of the token.
    let body = "printf 'first-half\\nsecond-half\\n'; \
                i=0; while [ $i -lt 39 ]; do echo line; i=$((i+1)); done";
    let said = said(&repo, body, "first-half\nsecond-half");
    assert!(!said.contains("second-half"), "{said}");
}

#[test]
fn nor_does_the_last_mebibyte() {
    let repo = Repo::new();
    // One line, whose kept part begins within the token.
    let body =
        format!("printf %s {TOKEN}; head -c 1048545 /dev/zero | tr '\\0' x; echo ' {TOKEN}'");
    let said = said(&repo, &body, TOKEN);
    assert!(!said.contains("sprite"), "{}", &said[..40]);
}

#[test]
fn what_a_confirm_hook_says_is_recorded_without_it() {
    let repo = Repo::new();
    let mut request = repo.request(Intent::Approve);
    request.settings.do_confirm = true;
    let local = LocalControl {
        confirm_hook: Some(repo.hook("confirm", &format!(r#"echo '{{"said":"x {TOKEN}"}}'"#))),
        ..local(&repo, "true", TOKEN)
    };
    let outcome = repo.run(&request, Transport::Local(&local));
    assert_eq!(outcome.row.status, ControlStatus::Confirmed);
    assert_eq!(
        outcome.row.confirm.expect("a verdict")["said"],
        "x [redacted]"
    );
}
