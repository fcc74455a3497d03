//! `ops-manager-control` as a person or a script runs it (chapter 03 §3.1,
//! decisions D6, D13 and D23).

use std::fs;

use serde_json::json;

use crate::harness::{Repo, Run};
use crate::server::{Reply, Server};

const TOKEN: &str = "t0ken-of-the-sprite";

/// A repository whose runtime is this script.
fn with_runtime(body: &str) -> Repo {
    let mut repo = Repo::empty("nightly");
    let runtime = repo.script("superloop", body);
    repo.env("SUPERLOOP_BIN", &runtime);
    repo
}

fn cancel(repo: &Repo, more: &[&str]) -> Run {
    let usual = ["--intent", "cancel", "--no-confirm"];
    repo.run("ops-manager-control", &[&usual[..], more].concat())
}

/// A cancel through the service at `url`.
fn remote(repo: &Repo, url: &str, more: &[&str]) -> Run {
    let service = ["--transport", "sprite_service", "--service-base-url", url];
    cancel(repo, &[&service[..], more].concat())
}

/// Everything that was written, the record of commits included.
fn everything(repo: &Repo) -> String {
    let log = fs::read(repo.manager(".store/redo.log")).expect("the record of commits");
    let files = repo.tree().into_iter().map(|(_, content)| content);
    let all: Vec<u8> = files.flatten().chain(log).collect();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_runtime_that_prints_the_token_puts_it_nowhere() {
    for (variable, flag) in [(Some(TOKEN), None), (None, Some(TOKEN))] {
        let mut repo = with_runtime(&format!("echo 'token {TOKEN}.'; echo '{TOKEN}' >&2"));
        if let Some(token) = variable {
            repo.env("OPS_MANAGER_SERVICE_TOKEN", token);
        }
        let flags = flag.map(|token| ["--service-token", token]);
        let run = cancel(&repo, flags.as_ref().map_or(&[], |flags| &flags[..]));
        let said = "token [redacted].\n[redacted]";
        assert_eq!(run.ok()["commandOutput"], said);
        assert!(!run.stdout.contains(TOKEN));
        assert!(!everything(&repo).contains(TOKEN));
    }
}

#[test]
fn a_server_that_repeats_the_token_puts_it_nowhere() {
    let repo = Repo::empty("nightly");
    let echo = json!({"ok": true, "exitCode": 0, "echo": [TOKEN], "result": {
        "status": "executed_unconfirmed", "commandOutput": format!("x {TOKEN}")}});
    for reply in [
        Reply::status(200, echo.to_string()),
        Reply::status(200, format!("no JSON, {TOKEN}")),
        Reply::status(400, format!("refused:\nno {TOKEN}\n")),
    ] {
        let server = Server::start([reply]);
        let run = remote(&repo, &server.base_url(), &["--service-token", TOKEN]);
        let printed = [run.stdout, run.stderr].concat();
        assert!(
            printed.contains("[redacted]") || printed.contains("400"),
            "{printed}"
        );
        assert!(!printed.contains(TOKEN), "{printed}");
        assert!(!everything(&repo).contains(TOKEN));
    }
}

#[test]
fn the_error_line_of_a_service_is_one_line() {
    let repo = Repo::empty("nightly");
    let server = Server::start([Reply::status(400, "a\r\n\u{1b}[2Jb\n")]);
    let run = remote(&repo, &server.base_url(), &[]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.ends_with("code=400): a; \\u{1b}[2Jb\n"),
        "{:?}",
        run.stderr
    );
    assert_eq!(run.stderr.matches('\n').count(), 1, "{:?}", run.stderr);
}

#[test]
fn what_is_secret_in_the_base_url_is_not_recorded() {
    let repo = Repo::empty("nightly");
    let url = "http://u:us3rinf0@127.0.0.1:1/sprite?k=qu3ry-s3cret";
    let run = remote(&repo, url, &["--retry-attempts", "1"]);
    let shown = "http://127.0.0.1:1/sprite?[redacted]/ops/control";
    assert_eq!(run.json()["command"], format!("POST {shown}"));
    assert!(run.stderr.contains(shown), "{}", run.stderr);
    let all = everything(&repo) + &run.stdout + &run.stderr;
    for secret in ["us3rinf0", "qu3ry"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[test]
fn without_a_url_the_folders_of_the_loop_are_there_and_nothing_in_them() {
    let repo = Repo::empty("nightly");
    let run = cancel(&repo, &["--transport", "sprite_service"]);
    let message = "--service-base-url is required when --transport sprite_service";
    assert_eq!(run.error(), message);
    assert!(repo.manager("telemetry").is_dir());
    assert_eq!(repo.tree(), []);
}

#[test]
fn a_client_hook_is_told_the_numbers_as_they_were_typed() {
    let mut repo = Repo::empty("nightly");
    let hook = repo.script(
        "client",
        r#"printf '%s ' "$@" > "$(dirname "$0")/argv"; echo '{"ok":true}'"#,
    );
    repo.env("OPS_MANAGER_SERVICE_CLIENT_SCRIPT", &hook);
    let typed = ["--retry-attempts", "003", "--retry-backoff-seconds", "00"];
    remote(&repo, "http://sprite", &typed).ok();
    let argv = fs::read_to_string(repo.outside("argv")).expect("it ran");
    let end = "--retry-attempts 003 --retry-backoff-seconds 00 ";
    assert!(argv.ends_with(end), "{argv}");
}

#[test]
fn a_cancel_fails_closed_and_names_the_file_that_cannot_be_read() {
    let repo = with_runtime("touch \"$(dirname \"$0\")/started\"");
    fs::create_dir_all(repo.path().join(".superloop")).expect("created");
    repo.put_superloop("active-run.json", "");
    let run = cancel(&repo, &[]);
    let row = run.json();
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert_eq!(row["reasonCode"], "control_target_mismatch");
    let said = row["commandOutput"].as_str().expect("says why");
    for part in ["active-run.json", "empty", "\"nightly\"", "--force-target"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!repo.outside("started").exists());
    assert_eq!(
        cancel(&repo, &["--force-target"]).ok()["forcedTarget"],
        true
    );
    assert!(repo.outside("started").exists());
}
