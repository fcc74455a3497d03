//! A repository, a service over it, and a client that sends what it is told.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use om_http::Secret;
use om_service::{ServiceConfig, serve};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Longest time for anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One line of an event log.
pub(crate) fn event(number: u64) -> String {
    format!(
        r#"{{"timestamp":"2031-05-02T08:00:00Z","event":"step","run_id":"r1","iteration":{number}}}"#
    )
}

/// A repository with one loop, `nightly`, and a runtime beside it.
///
/// The runtime counts its calls; it takes as long as a file `hold` is there,
/// and ends with the exit code in a file `exit`.
pub(crate) struct Repo {
    dir: TempDir,
}

const RUNTIME: &str = r#"#!/bin/sh
repo=$(dirname "$0")
echo "$@" >> "$repo/calls"
while [ -e "$repo/hold" ]; do sleep 0.01; done
echo "trace $OPS_MANAGER_TRACE_ID"
[ ! -e "$repo/exit" ] || exit "$(cat "$repo/exit")"
"#;

impl Repo {
    pub(crate) fn new() -> Self {
        let repo = Self {
            dir: tempfile::tempdir().expect("a folder"),
        };
        fs::create_dir_all(repo.runtime("")).expect("created");
        repo.write_log(1..=3);
        script(&repo.path().join("superloop.sh"), RUNTIME);
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A runtime file of the loop.
    pub(crate) fn runtime(&self, name: &str) -> PathBuf {
        self.path().join(".superloop/loops/nightly").join(name)
    }

    /// A file of the ops manager about the loop.
    pub(crate) fn ops(&self, name: &str) -> PathBuf {
        self.path()
            .join(".superloop/ops-manager/nightly")
            .join(name)
    }

    pub(crate) fn write_log(&self, numbers: impl IntoIterator<Item = u64>) {
        let lines = numbers.into_iter().map(|number| event(number) + "\n");
        fs::write(self.runtime("events.jsonl"), lines.collect::<String>()).expect("written");
    }

    pub(crate) fn append_log(&self, text: &str) {
        let log = fs::OpenOptions::new()
            .append(true)
            .open(self.runtime("events.jsonl"));
        log.and_then(|mut log| log.write_all(text.as_bytes()))
            .expect("appended");
    }

    /// How often the runtime was called.
    pub(crate) fn calls(&self) -> usize {
        fs::read_to_string(self.file("calls")).map_or(0, |text| text.lines().count())
    }

    /// Rows of one of the ops manager's journals.
    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.ops(name)).unwrap_or_default();
        let parse = |line| serde_json::from_str(line).expect("a row");
        text.lines().map(parse).collect()
    }

    pub(crate) fn hold(&self) {
        fs::write(self.file("hold"), "").expect("written");
    }

    pub(crate) fn let_go(&self) {
        fs::remove_file(self.file("hold")).expect("removed");
    }
}

/// Writes an executable.
pub(crate) fn script(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}

/// Waits until `condition` holds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A running service; ended when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(repo: &Repo) -> Self {
        Self::with(repo, |_| {})
    }

    pub(crate) fn with_token(repo: &Repo, token: &str) -> Self {
        Self::with(repo, |config| config.token = Some(Secret::new(token)))
    }

    pub(crate) fn with(repo: &Repo, adjust: impl FnOnce(&mut ServiceConfig)) -> Self {
        let mut config = ServiceConfig::new(repo.path()).expect("a repository");
        adjust(&mut config);
        let (end, ended) = oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("a port");
                told.send(listener.local_addr().expect("bound"))
                    .expect("asked");
                let ended = async {
                    let _ = ended.await;
                };
                serve(listener, config, ended).await.expect("served");
            });
        });
        Self {
            address: address.recv().expect("it listens"),
            end: Some(end),
            thread: Some(thread),
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    pub(crate) fn control(&self, body: &Value) -> Answer {
        self.send("POST", "/ops/control", &[], body.to_string().as_bytes())
    }

    pub(crate) fn send(&self, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut client = self.connect();
        client.request(method, target, headers, body);
        client.answer()
    }

    /// Asks it to end, without waiting for that.
    pub(crate) fn ask_to_end(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(crate) fn end(mut self) {
        self.ask_to_end();
        let thread = self.thread.take().expect("not ended yet");
        thread.join().expect("it ended well");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ask_to_end();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the service panicked");
        }
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    received: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::try_new(address).expect("connected")
    }

    /// `None` if nobody listens.
    pub(crate) fn try_new(address: SocketAddr) -> Option<Self> {
        let socket = TcpStream::connect(address).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket.set_nodelay(true).ok()?;
        Some(Self {
            socket,
            received: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("written");
    }

    pub(crate) fn request(&mut self, method: &str, target: &str, headers: &[&str], body: &[u8]) {
        let length = format!("Content-Length: {}", body.len());
        let start = format!("{method} {target} HTTP/1.1");
        let mut lines = vec![start.as_str(), "Host: test"];
        lines.extend(headers);
        if !body.is_empty() {
            lines.push(&length);
        }
        let head = lines.join("\r\n") + "\r\n\r\n";
        self.write([head.as_bytes(), body].concat());
    }

    /// Says that nothing more will be sent.
    pub(crate) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).expect("half closed");
    }

    /// Reads one answer.
    pub(crate) fn answer(&mut self) -> Answer {
        self.maybe_answer().expect("an answer")
    }

    /// Reads one answer; `None` if the connection ends without one.
    pub(crate) fn maybe_answer(&mut self) -> Option<Answer> {
        let end = loop {
            let found = self.received.windows(4).position(|w| w == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None if self.receive() == 0 => return None,
                None => {}
            }
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut answer = Answer {
            status: head[9..12].parse().expect("a status"),
            head,
            body: Vec::new(),
        };
        let length = answer.header("content-length").expect("a length");
        let length: usize = length.parse().expect("a number");
        while self.received.len() < length {
            assert!(self.receive() > 0, "the body ends early: {answer:?}");
        }
        answer.body = self.received.drain(..length).collect();
        Some(answer)
    }

    /// Whether the other side has closed, waiting for it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.received.is_empty() && self.receive() == 0
    }

    fn receive(&mut self) -> usize {
        let mut block = [0; 16 << 10];
        match self.socket.read(&mut block) {
            Ok(count) => {
                self.received.extend_from_slice(&block[..count]);
                count
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing arrives: {error}"),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and error code, of an answer in the shape of errors.
    pub(crate) fn error(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["ok"], false, "{body}");
        assert!(body["error"]["message"].is_string(), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        let code = body["error"]["code"].as_str().expect("a code");
        (self.status, code.to_owned())
    }

    pub(crate) fn message(&self) -> String {
        let body = self.json();
        body["error"]["message"].as_str().expect("a message").into()
    }
}
