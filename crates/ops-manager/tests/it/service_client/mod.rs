//! `ops-manager-service-client` as a person or a script runs it (chapter 03
//! §3.3, decision D13).

mod command_line;
mod environment;
mod requests;

use crate::harness::{Repo, finished};

/// Variables that would change where a request goes.
const CLEARED: [&str; 10] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Exit code, stdout, stderr.
type Outcome = (i32, String, String);

/// Runs the command with `arguments`.
fn run(arguments: &[&str]) -> Outcome {
    run_in(&[], arguments)
}

/// [`run`] with `environment`.
fn run_in(environment: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let repo = Repo::empty("unused");
    let mut command = repo.command("ops-manager-service-client");
    for name in CLEARED {
        command.env_remove(name);
    }
    let command = command.envs(environment.iter().copied()).args(arguments);
    let run = finished(command.output().expect("the command starts"));
    (run.code, run.stdout, run.stderr)
}

/// GET `path`, without pauses.
fn get<'a>(base_url: &'a str, path: &'a str) -> Vec<&'a str> {
    let pause = ["--retry-backoff-seconds", "0"];
    let request = ["--method", "GET", "--base-url", base_url, "--path", path];
    [&request[..], &pause].concat()
}
