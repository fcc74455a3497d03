//! The service client as an executable (chapter 02 §2.7, chapter 03 §3.1.4
//! B.2).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use om_model::TraceId;
use om_stage::Hook;
use om_transport::{Answer, Idempotent, ServiceClient, ServiceError, ServiceSettings, TypedRetry};
use tempfile::TempDir;

use crate::service_client::{settings, wait};

/// A shell script in place of the client.
struct Script {
    dir: TempDir,
}

impl Script {
    fn new(body: &str) -> Self {
        let script = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        let path = script.path();
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        script
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("client")
    }

    fn client(&self, settings: ServiceSettings) -> ServiceClient {
        hooked(self.path().to_str().expect("UTF-8"), settings)
    }

    fn get(&self) -> Result<Answer, ServiceError> {
        let client = self.client(settings("http://host/"));
        wait(client.get("/ops/snapshot?loopId=a%26b", TraceId::new("tr-1").as_ref()))
    }

    fn post(&self) -> Result<Answer, ServiceError> {
        let client = self.client(settings("http://host/"));
        let trace_id = TraceId::new("tr-1");
        wait(client.post(
            "/ops/control",
            b"{\"a\":1}",
            trace_id.as_ref(),
            Idempotent::Yes,
        ))
    }
}

fn hooked(program: &str, settings: ServiceSettings) -> ServiceClient {
    let hook = Hook::resolve("OPS_MANAGER_SERVICE_CLIENT_SCRIPT", program, None);
    ServiceClient::new(settings, Some(hook)).expect("set up")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_get_has_the_contract_s_argv() {
    let answer = Script::new("printf '%s|' \"$@\"").get().expect("answered");
    assert_eq!(
        text(&answer.body),
        "--method|GET|--base-url|http://host/|--path|/ops/snapshot?loopId=a%26b|\
         --token|s3cr3t-t0ken|--trace-id|tr-1|--retry-attempts|3|--retry-backoff-seconds|0|"
    );
}

#[test]
fn a_post_has_the_contract_s_argv_and_a_private_body_file() {
    let script = Script::new(
        "printf '%s|' \"$@\" | sed 's/--body-file|[^|]*/--body-file|FILE/'; \
         stat -c %a \"${12}\"; cat \"${12}\"; printf %s \"${12}\" > \"$0.file\"",
    );
    let answer = script.post().expect("answered");
    assert_eq!(
        text(&answer.body),
        "--method|POST|--base-url|http://host/|--path|/ops/control|--token|s3cr3t-t0ken|\
         --trace-id|tr-1|--body-file|FILE|--retry-attempts|3|--retry-backoff-seconds|0|\
         600\n{\"a\":1}"
    );
    let body_file = fs::read_to_string(script.dir.path().join("client.file")).expect("noted");
    assert!(!PathBuf::from(body_file).exists(), "removed afterwards");
}

#[test]
fn a_missing_token_and_trace_id_are_empty_arguments() {
    let script = Script::new("printf '%s|' \"$8\" \"${10}\"");
    let without_token = ServiceSettings {
        token: None,
        ..settings("http://host")
    };
    let answer = wait(script.client(without_token).get("/", None)).expect("answered");
    assert_eq!(text(&answer.body), "||");
}

#[test]
fn numbers_are_told_as_they_were_typed() {
    let script = Script::new("shift 10; printf '%s|' \"$@\"");
    let typed = TypedRetry {
        attempts: Some("003".to_owned()),
        seconds: None,
    };
    let client = script.client(settings("http://host")).with_typed(typed);
    let answer = wait(client.get("/", None)).expect("answered");
    assert_eq!(
        text(&answer.body),
        "--retry-attempts|003|--retry-backoff-seconds|0|"
    );
}

#[test]
fn a_hook_is_ended_after_its_own_limit() {
    let script = Script::new("echo begun >&2; sleep 600");
    let hurried = ServiceSettings {
        hook_timeout: Some(Duration::from_millis(100)),
        ..settings("http://host")
    };
    let client = script.client(hurried);
    let error = wait(client.post("/", b"{}", None, Idempotent::Yes)).expect_err("ended");
    assert_eq!(error.exit_code(), 124);
}

#[test]
fn a_hook_that_says_its_token_is_not_quoted() {
    let lines = "i=0; while [ $i -lt 60 ]; do echo; i=$((i+1)); done";
    for (says, printed) in [
        ("echo \"--token $8\" >&2; exit 2", "--token [redacted]"),
        ("printf 'x%s' \"$8\" >&2; exit 2", "x[redacted]"),
    ] {
        let error = Script::new(says).post().expect_err("failed");
        assert_eq!(error.printed(), printed);
        let error = Script::new(&format!("{lines}; {says}"))
            .get()
            .expect_err("failed");
        assert_eq!(error.printed().trim(), printed);
    }
}

#[test]
fn both_streams_of_a_get_are_the_answer() {
    let answer = Script::new("echo out; echo err >&2")
        .get()
        .expect("answered");
    assert_eq!(text(&answer.body), "out\nerr\n");
    assert!(answer.diagnostics.is_empty());
}

#[test]
fn what_a_post_prints_on_stderr_is_not_the_answer() {
    let answer = Script::new("echo '{}'; echo note >&2")
        .post()
        .expect("answered");
    assert_eq!(
        (text(&answer.body), text(&answer.diagnostics)),
        ("{}\n".to_owned(), "note\n".to_owned())
    );
}

#[test]
fn a_failed_get_reports_both_streams_and_the_exit_code() {
    let error = Script::new("echo one; echo two >&2; exit 7")
        .get()
        .expect_err("failed");
    assert_eq!(
        (error.exit_code(), error.printed()),
        (7, "one\ntwo".to_owned())
    );
    assert!(error.may_have_been_sent());
}

#[test]
fn a_failed_post_reports_stderr_and_the_exit_code() {
    let error = Script::new("echo partial; echo why >&2; exit 3")
        .post()
        .expect_err("failed");
    assert_eq!((error.exit_code(), error.printed()), (3, "why".to_owned()));
}

#[test]
fn a_hook_that_cannot_be_started_is_a_failure_that_says_so() {
    let client = hooked("/nowhere/at/all", settings("http://host"));
    let error = wait(client.get("/", None)).expect_err("missing");
    assert_eq!(
        (error.exit_code(), error.printed()),
        (127, "/nowhere/at/all: No such file or directory".to_owned())
    );
}
