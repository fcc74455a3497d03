//! A repository, and processes that serve it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// Variables that would change what a service does.
const VARIABLES: [&str; 7] = [
    "OPS_MANAGER_SERVICE_TOKEN",
    "OPS_MANAGER_TRACE_ID",
    "OPS_MANAGER_CONFIRM_SCRIPT",
    "OPS_MANAGER_SNAPSHOT_SCRIPT",
    "SUPERLOOP_BIN",
    "RUST_LOG",
    "USER",
];

/// Counts its calls, and takes as long as a file `hold` is there. The shell
/// says when its `sleep` is ended, perhaps to a service that is gone already.
const RUNTIME: &str = r#"#!/bin/sh
repo=$(dirname "$0")
trap '' PIPE
trap 'echo ended >> "$repo/signals"; exit 9' TERM
echo "$@" >> "$repo/calls"
while [ -e "$repo/hold" ]; do sleep 0.01; done
"#;

pub(crate) struct Repo(TempDir);

impl Repo {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// With one loop, `nightly`, and a runtime.
    pub(crate) fn new() -> Self {
        let repo = Self::empty();
        let dir = repo.file(".superloop/loops/nightly");
        fs::create_dir_all(&dir).expect("created");
        let event = r#"{"timestamp":"2031-05-02T08:00:00Z","event":"step"}"#;
        fs::write(dir.join("events.jsonl"), format!("{event}\n")).expect("written");
        let runtime = repo.file("superloop.sh");
        fs::write(&runtime, RUNTIME).expect("written");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).expect("executable");
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.file(name)).map_or(0, |text| text.lines().count())
    }

    pub(crate) fn calls(&self) -> usize {
        self.lines("calls")
    }

    /// Rows of `intents.jsonl`.
    pub(crate) fn intents(&self) -> Vec<Value> {
        let path = self.file(".superloop/ops-manager/nightly/intents.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        let parse = |line| serde_json::from_str(line).expect("a row");
        text.lines().map(parse).collect()
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops-manager"));
    command.arg0("ops-manager-sprite-service");
    command.args(arguments);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("it runs")
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A running service; killed when dropped.
pub(crate) struct Service {
    process: Child,
    /// The line that it printed.
    pub(crate) line: String,
    address: SocketAddr,
}

impl Service {
    pub(crate) fn start(repo: &Repo, arguments: &[&str]) -> Self {
        Self::start_with(repo, arguments, |_| {})
    }

    pub(crate) fn start_with(
        repo: &Repo,
        arguments: &[&str],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let path = repo.path().display().to_string();
        let mut command = command(&["--repo", &path, "--port", "0"]);
        command.args(arguments).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        adjust(&mut command);
        let mut process = command.spawn().expect("it starts");
        let stdout = process.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line.trim_end().rsplit(':').next().expect("a port");
        let port = port.parse().unwrap_or_else(|_| panic!("{line:?}"));
        Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            line,
        }
    }

    /// A connection on which a request was sent.
    pub(crate) fn ask(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket.write_all(request.as_bytes()).expect("written");
        socket
    }

    pub(crate) fn get(&self, target: &str, headers: &str) -> (u16, Value) {
        answer(self.ask(&format!("GET {target} HTTP/1.0\r\n{headers}\r\n")))
    }

    pub(crate) fn post(&self, body: &Value) -> (u16, Value) {
        answer(self.ask(&post(body)))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("signalled");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("looked").is_some()
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("it ends", || {
            status = self.process.try_wait().expect("looked");
            status.is_some()
        });
        status.expect("it has ended")
    }

    pub(crate) fn take_stderr(&mut self) -> std::process::ChildStderr {
        self.process.stderr.take().expect("piped")
    }

    /// Kills it at once, in the middle of whatever it is doing.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A control request.
pub(crate) fn post(body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!("POST /ops/control HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Reads an answer to its end.
pub(crate) fn answer(mut socket: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head[9..12].parse().expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}
