//! A scratch repository with an outbox, and bridges that run on it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use om_horizon::{Bridge, Evaluation, HorizonError, Start, run_in};
use om_model::{TraceId, json};
use om_store::{RepoLayout, Scope};
use serde_json::{Value, json};
use tempfile::TempDir;

/// 2031-05-06T07:08:09Z
pub(crate) const NOW: u64 = 1_935_990_489;

/// No process has this id.
pub(crate) const NOBODY: u32 = 4_194_305;

pub(crate) struct Place {
    folder: TempDir,
}

/// An envelope that the contract allows.
pub(crate) fn envelope(packet: &str, trace: &str) -> Value {
    json!({
        "schemaVersion": "v1",
        "timestamp": "2031-05-06T07:00:00Z",
        "category": "horizon_dispatch",
        "traceId": trace,
        "packet": {
            "packetId": packet,
            "recipient": {"type": "team", "id": "sre"},
            "intent": "Rotate keys",
        },
        "evidenceRefs": [],
    })
}

pub(crate) fn lines(envelopes: &[Value]) -> String {
    let lines = envelopes.iter().map(|envelope| envelope.to_string() + "\n");
    lines.collect()
}

pub(crate) fn trace(text: &str) -> TraceId {
    TraceId::new(text).expect("not empty")
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("repo")).expect("made");
        Self { folder }
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn layout(&self) -> RepoLayout {
        RepoLayout::new(self.repo())
    }

    pub(crate) fn bridge(&self) -> Bridge {
        Bridge::new(self.layout(), trace("run-1"))
    }

    pub(crate) fn outbox(&self, file: &str) -> PathBuf {
        self.bridge().outbox_dir.join(file)
    }

    pub(crate) fn claims(&self) -> PathBuf {
        self.bridge().claims_dir
    }

    /// Writes an outbox file.
    pub(crate) fn send(&self, file: &str, content: &str) {
        put(&self.outbox(file), content);
    }

    /// Writes the queue as it was before.
    pub(crate) fn put_queue(&self, content: &Value) {
        put(&self.bridge().queue_file, &content.to_string());
    }

    pub(crate) fn run(&self) -> Evaluation {
        self.try_run().expect("runs")
    }

    pub(crate) fn try_run(&self) -> Result<Evaluation, HorizonError> {
        self.run_with(&self.bridge())
    }

    /// Runs at the current time, as another process.
    pub(crate) fn run_with(&self, bridge: &Bridge) -> Result<Evaluation, HorizonError> {
        self.run_at(bridge, SystemTime::now())
    }

    /// Runs at a time, as another process.
    pub(crate) fn run_at(
        &self,
        bridge: &Bridge,
        clock: SystemTime,
    ) -> Result<Evaluation, HorizonError> {
        let scope = Scope::open(self.layout().fleet_scope_dir()).expect("opened");
        run_in(&scope, bridge, &Start::at(clock, NOBODY))
    }

    pub(crate) fn queue(&self) -> Value {
        read(&self.bridge().queue_file)
    }

    pub(crate) fn state(&self) -> Value {
        read(&self.bridge().state_file)
    }

    /// `<packetId>::<traceId>` of every entry, in order.
    pub(crate) fn queued(&self) -> Vec<String> {
        let queue = self.queue();
        let entries = queue["intents"].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        entries
            .map(|entry| text(&entry["packetId"]) + "::" + &text(&entry["traceId"]))
            .collect()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.bridge().telemetry_file).unwrap_or_default();
        text.lines()
            .map(|line| json::parse(line.as_bytes()).expect("a row"))
            .collect()
    }

    /// Rows of one category.
    pub(crate) fn rows_of(&self, category: &str) -> Vec<Value> {
        let mut rows = self.rows();
        rows.retain(|row| row["category"] == category);
        rows
    }
}

/// The time of most tests.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, content).expect("written");
}

pub(crate) fn append(path: &Path, content: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .append(true)
        .create(true)
        .open(path)
        .expect("opened");
    file.write_all(content.as_bytes()).expect("written");
}

pub(crate) fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    json::parse(&bytes).expect("JSON")
}

/// Every file below `folder`, relative, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, found);
        } else {
            let relative = path.strip_prefix(root).expect("is below");
            found.push(relative.display().to_string());
        }
    }
}

/// Sets when a file was last written.
pub(crate) fn touch(path: &Path, modified: SystemTime) {
    let file = fs::File::options().append(true).open(path).expect("opened");
    file.set_modified(modified).expect("set");
}
