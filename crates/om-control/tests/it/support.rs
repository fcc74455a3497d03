//! A scratch repository with one loop, a runtime that is a script, and a clock
//! that needs no waiting.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use om_control::confirm::ConfirmRequest;
use om_control::runtime::Runtime;
use om_control::{
    Clock, ControlOutcome, ControlRequest, LocalControl, Transport, TypedNumbers, run,
};
use om_http::Secrets;
use om_model::control::{ControlRequestSettings, Intent};
use om_model::{LoopId, Timestamp, TraceId, json};
use om_stage::Hook;
use om_store::{LoopFile, LoopLayout, RepoLayout};
use serde_json::Value;
use tempfile::TempDir;

/// A repository with one loop, `nightly`, which runs.
pub(crate) struct Repo {
    folder: TempDir,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let repo = Self {
            folder: tempfile::tempdir().expect("scratch folder"),
        };
        repo.superloop("loops/nightly/events.jsonl", "");
        repo.event("iteration_start");
        repo.superloop(
            "state.json",
            r#"{"active":true,"current_loop_id":"nightly"}"#,
        );
        repo
    }

    /// The folder that everything lies in.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root().join("repo")
    }

    pub(crate) fn layout(&self) -> RepoLayout {
        RepoLayout::new(self.path())
    }

    pub(crate) fn files(&self) -> LoopLayout {
        self.layout().loop_files(&loop_id())
    }

    /// Writes a file below `.superloop`.
    pub(crate) fn superloop(&self, name: &str, content: &str) {
        let path = self.path().join(".superloop").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, content).expect("written");
    }

    /// Appends an event to the loop's log.
    pub(crate) fn event(&self, name: &str) {
        let path = self.path().join(".superloop/loops/nightly/events.jsonl");
        let before = fs::read_to_string(&path).expect("the log");
        let line = format!(r#"{{"timestamp":"2031-04-02T09:00:00Z","event":"{name}"}}"#);
        fs::write(path, format!("{before}{line}\n")).expect("written");
    }

    /// The rows of a journal.
    pub(crate) fn rows(&self, file: LoopFile) -> Vec<Value> {
        let text = fs::read_to_string(self.files().path(file)).unwrap_or_default();
        text.lines()
            .map(|line| json::parse(line.as_bytes()).expect("a row"))
            .collect()
    }

    /// The rows of all three journals: intents, control, invocations.
    pub(crate) fn all_rows(&self) -> [Vec<Value>; 3] {
        [
            LoopFile::Intents,
            LoopFile::ControlRows,
            LoopFile::ControlInvocations,
        ]
        .map(|file| self.rows(file))
    }

    /// The entries of `control-pending.json`.
    pub(crate) fn pending(&self) -> Vec<Value> {
        let path = self.files().path(LoopFile::ControlPending);
        let Ok(bytes) = fs::read(path) else {
            return Vec::new();
        };
        let document = json::parse(&bytes).expect("a document");
        document["pending"].as_array().expect("a list").clone()
    }

    /// An executable `sh` script beside the repository.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        self.executable(name, &format!("#!/bin/sh\n{body}\n"))
    }

    pub(crate) fn executable(&self, name: &str, content: &str) -> PathBuf {
        let path = self.root().join(name);
        // Written by another process: a child that another test starts just
        // now would hold this one's open file, and nobody could execute it.
        let mut writer = Command::new("sh")
            .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut stdin = writer.stdin.take().expect("a pipe");
        stdin.write_all(content.as_bytes()).expect("written");
        drop(stdin);
        assert!(writer.wait().expect("sh ends").success());
        path
    }

    pub(crate) fn hook(&self, name: &str, body: &str) -> Hook {
        Hook::exact("HOOK", self.script(name, body))
    }

    /// A local control whose runtime is this script. It is started in the
    /// working directory of the tests, and gets `$repo`.
    pub(crate) fn runtime(&self, body: &str) -> LocalControl {
        let body = format!("repo='{}'\n{body}", self.path().display());
        let script = self.script("runtime", &body);
        local(Runtime::find(
            Some(script.as_os_str()),
            &self.path(),
            std::env::var_os("PATH").as_deref(),
        ))
    }

    pub(crate) fn request(&self, intent: Intent) -> ControlRequest {
        ControlRequest {
            layout: self.layout(),
            loop_id: loop_id(),
            intent,
            requested_by: "dana".to_owned(),
            note: None,
            trace_id: TraceId::new("tr-77").expect("not empty"),
            idempotency_key: Some("key-1".to_owned()),
            settings: settings(),
        }
    }

    pub(crate) fn confirm_request(&self, intent: Intent) -> ConfirmRequest {
        ConfirmRequest {
            layout: self.layout(),
            loop_id: loop_id(),
            intent,
            timeout_seconds: 5,
            interval_seconds: 2,
            snapshot_hook: None,
        }
    }

    /// Runs an intent on a local runtime, and checks that it left its rows.
    pub(crate) fn control(&self, intent: Intent, local: &LocalControl) -> ControlOutcome {
        self.run(&self.request(intent), Transport::Local(local))
    }

    pub(crate) fn run(&self, request: &ControlRequest, transport: Transport<'_>) -> ControlOutcome {
        let before = self.all_rows().map(|rows| rows.len());
        let outcome = run(request, transport, &TestClock::default(), &mut |_| {});
        let outcome = outcome.expect("an outcome");
        let rows = self.all_rows();
        assert_eq!(rows.each_ref().map(Vec::len), before.map(|count| count + 1));
        let [intent, control, invocation] = rows.map(|mut rows| rows.pop().expect("a row"));
        assert_eq!(intent, json::to_value(&outcome.row));
        for (row, status) in [
            (&control, &control["status"]),
            (&invocation, &invocation["outcome"]["status"]),
        ] {
            assert_eq!(status, &intent["status"]);
            assert_eq!(row["traceId"], intent["traceId"]);
        }
        assert_eq!(self.pending(), Vec::<Value>::new());
        outcome
    }
}

/// A local control of this runtime, without hooks.
pub(crate) fn local(runtime: Runtime) -> LocalControl {
    LocalControl {
        runtime,
        confirm_hook: None,
        snapshot_hook: None,
        typed: TypedNumbers::default(),
        secrets: Secrets::default(),
    }
}

pub(crate) fn loop_id() -> LoopId {
    LoopId::new("nightly").expect("a good id")
}

/// What the command sets by default, but without confirmation.
pub(crate) fn settings() -> ControlRequestSettings {
    ControlRequestSettings {
        do_confirm: false,
        timeout_seconds: 30,
        interval_seconds: 2,
        retry_attempts: 3,
        retry_backoff_seconds: 1,
        runtime_timeout_seconds: Some(120),
        force_target: false,
    }
}

/// A clock that starts at a fixed moment and moves only when somebody sleeps.
pub(crate) struct TestClock {
    slept: Cell<Duration>,
    on_sleep: Box<dyn Fn(Duration)>,
}

impl Default for TestClock {
    fn default() -> Self {
        Self::with(|_| {})
    }
}

impl TestClock {
    /// Calls `on_sleep` with the time that has passed after every sleep.
    pub(crate) fn with(on_sleep: impl Fn(Duration) + 'static) -> Self {
        Self {
            slept: Cell::new(Duration::ZERO),
            on_sleep: Box::new(on_sleep),
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::parse("2031-04-02T09:15:11Z").expect("a time");
        let seconds = i64::try_from(self.slept.get().as_secs()).expect("a short test");
        Timestamp::from_epoch_seconds(start.epoch_seconds() + seconds)
    }

    fn elapsed(&self) -> Duration {
        self.slept.get()
    }

    fn sleep(&self, time: Duration) {
        self.slept.set(self.slept.get() + time);
        (self.on_sleep)(self.slept.get());
    }
}
