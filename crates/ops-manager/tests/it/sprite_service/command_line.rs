//! Starting, or saying why not.

use std::process::Output;

use super::harness::{Repo, Service, command, run};

fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(output.stdout, b"", "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    stderr
}

#[test]
fn help_is_an_answer() {
    for flag in ["--help", "-h"] {
        let output = run(&[flag]);
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(0), &b""[..])
        );
        let help = String::from_utf8(output.stdout).expect("text");
        assert!(help.starts_with("Usage:\n") && help.contains("--insecure-no-token"));
    }
}

#[test]
fn what_it_does_not_start_with() {
    let repo = Repo::empty();
    let path = repo.path().display().to_string();
    let missing = repo.file("missing").display().to_string();
    let scripts = format!("required script not found: {path}/ops-manager-loop-run-snapshot.sh");
    for (arguments, fragment) in [
        (&[][..], "the following arguments are required: --repo"),
        (&["--repo", ""], "--repo is required"),
        (
            &["--repo", &missing],
            &format!("repo path not found: {missing}"),
        ),
        (&["--repo", "/dev/null"], "it is not a directory"),
        (&["--repo", &path, "--port", "x"], "invalid int value: 'x'"),
        (&["--repo", &path, "--port", ""], "invalid int value: ''"),
        (
            &["--repo", &path, "--port", "65536"],
            "--port: 65536 is not from 0 to 65535",
        ),
        (&["--repo", &path, "--bogus"], "unknown argument: --bogus"),
        (&["--repo", &path, "--port"], "--port requires a value"),
        (&["--repo", &path, "--scripts-dir", &path], &scripts),
        (
            &["--repo", &path, "--host", "no such host"],
            "--host no such host",
        ),
        (
            &["--repo", &path, "--heartbeat-interval-seconds", "0"],
            "--heartbeat-interval-seconds must be an integer from 1 to 86400",
        ),
    ] {
        let said = refusal(&run(arguments));
        assert!(said.contains(fragment), "{arguments:?}: {said}");
    }
}

#[test]
fn a_port_in_use() {
    let repo = Repo::empty();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port().to_string();
    let path = repo.path().display().to_string();
    let said = refusal(&run(&["--repo", &path, "--port", &port]));
    assert!(said.contains("Address already in use"), "{said}");
}

#[test]
fn beyond_this_machine_it_takes_a_token_or_a_word() {
    let repo = Repo::empty();
    let path = repo.path().display().to_string();
    for host in ["0.0.0.0", "::"] {
        for token in [&[][..], &["--token", ""]] {
            let arguments = [&["--repo", &path, "--port", "0", "--host", host], token].concat();
            let said = refusal(&run(&arguments));
            assert!(said.contains("without a token"), "{said}");
            assert!(said.contains("--insecure-no-token"), "{said}");
        }
    }
    let exposed = Service::start(&repo, &["--host", "0.0.0.0", "--insecure-no-token"]);
    assert_eq!(exposed.get("/healthz", "").0, 200);
    let with_token = Service::start(&repo, &["--host", "0.0.0.0", "--token", "s3cret"]);
    assert_eq!(with_token.get("/healthz", "").0, 401);
}

#[test]
fn an_empty_token_flag_turns_the_check_off() {
    let repo = Repo::empty();
    let token = |command: &mut std::process::Command| {
        command.env("OPS_MANAGER_SERVICE_TOKEN", "from-env");
    };
    let service = Service::start_with(&repo, &[], token);
    assert_eq!(service.get("/healthz", "").0, 401);
    assert_eq!(service.get("/healthz", "X-Ops-Token: from-env\r\n").0, 200);
    let service = Service::start_with(&repo, &["--token", "flag"], token);
    assert_eq!(service.get("/healthz", "X-Ops-Token: from-env\r\n").0, 401);
    assert_eq!(
        service.get("/healthz", "Authorization: bearer flag\r\n").0,
        200
    );
    let service = Service::start_with(&repo, &["--token", ""], token);
    assert_eq!(service.get("/healthz", "").0, 200);
}

#[test]
fn it_says_where_it_listens() {
    let repo = Repo::empty();
    let service = Service::start(&repo, &["--host=localhost"]);
    let expected = "ops-manager sprite service listening on http://localhost:";
    assert!(service.line.starts_with(expected), "{}", service.line);
}

#[test]
fn the_last_flag_wins_and_an_empty_one_is_not_given() {
    let repo = Repo::empty();
    let service = Service::start(&repo, &["--port", "x", "--port=0", "--host", ""]);
    let expected = "ops-manager sprite service listening on http://127.0.0.1:";
    assert!(service.line.starts_with(expected), "{}", service.line);
}

#[test]
fn it_leaves_the_repository_alone() {
    let repo = Repo::empty();
    let service = Service::start(&repo, &[]);
    assert_eq!(service.get("/readyz", "").0, 200);
    assert_eq!(std::fs::read_dir(repo.path()).expect("listed").count(), 0);
}

#[test]
fn a_reader_of_its_output_that_went_away_is_not_an_answer() {
    let repo = Repo::empty();
    let path = repo.path().display().to_string();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = command(&["--repo", &path, "--port", "0"])
        .stdout(writer)
        .status()
        .expect("it runs");
    assert_eq!(status.code(), Some(141));
}
