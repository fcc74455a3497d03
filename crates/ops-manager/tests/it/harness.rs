//! A scratch repository and the commands run on it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use om_model::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::scrub::scrub;

/// Whether a variable would change what a command does.
fn is_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("OPS_MANAGER_") || matches!(&*name, "SUPERLOOP_BIN" | "RUST_LOG")
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The one document on stdout.
    pub(crate) fn json(&self) -> Value {
        om_model::json::parse(self.stdout.as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", self.stdout, self.stderr))
    }

    /// Asserts success with a silent stderr, and returns the document.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (0, ""),
            "stdout: {}",
            self.stdout
        );
        self.json()
    }

    /// Asserts one `error:` line, nothing on stdout, exit 1.
    pub(crate) fn error(&self) -> &str {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (1, ""),
            "stderr: {}",
            self.stderr
        );
        let message = self.stderr.strip_prefix("error: ").expect("an error: line");
        assert_eq!(message.matches('\n').count(), 1, "one line: {message:?}");
        message.trim_end()
    }
}

/// A scratch repository with one recorded loop.
pub(crate) struct Repo {
    folder: TempDir,
    pub(crate) loop_id: String,
    environment: Vec<(String, String)>,
}

impl Repo {
    /// A copy of a recorded repository.
    pub(crate) fn sample(sample: &str) -> Self {
        let repo = Self::empty(match sample {
            "complete" => "checkout-flow",
            "approved" | "rejected" => "awaiting-approval",
            other => other,
        });
        copy(&fixtures().join(sample), &repo.path());
        repo
    }

    /// A repository without any runtime artifact.
    pub(crate) fn empty(loop_id: &str) -> Self {
        let folder = tempfile::tempdir().expect("scratch folder");
        fs::create_dir(folder.path().join("repo")).expect("repository");
        fs::create_dir(folder.path().join("bin")).expect("links");
        Self {
            folder,
            loop_id: loop_id.to_owned(),
            environment: Vec::new(),
        }
    }

    /// A repository whose loop has these event lines.
    pub(crate) fn with_events(lines: &[&str]) -> Self {
        let repo = Self::empty("l");
        fs::create_dir_all(repo.runtime_dir()).expect("loop folder");
        repo.write_events(
            &lines
                .iter()
                .flat_map(|line| [line, "\n"])
                .collect::<String>(),
        );
        repo
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// A path beside the repository.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.path().join(".superloop/loops").join(&self.loop_id)
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.runtime_dir().join("events.jsonl")
    }

    pub(crate) fn write_events(&self, content: &str) {
        fs::write(self.events(), content).expect("events are written");
    }

    pub(crate) fn append_events(&self, content: &str) {
        let mut all = fs::read_to_string(self.events()).expect("events exist");
        all.push_str(content);
        self.write_events(&all);
    }

    /// A file of the manager: `state.json`, `telemetry/reconcile.jsonl`, …
    pub(crate) fn manager(&self, file: &str) -> PathBuf {
        self.path()
            .join(".superloop/ops-manager")
            .join(&self.loop_id)
            .join(file)
    }

    pub(crate) fn manager_json(&self, file: &str) -> Value {
        let content = fs::read(self.manager(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        serde_json::from_slice(&content).unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    /// The rows of a journal; none if it does not exist.
    pub(crate) fn rows(&self, file: &str) -> Vec<Value> {
        let content = fs::read_to_string(self.manager(file)).unwrap_or_default();
        content
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row"))
            .collect()
    }

    /// Writes a manager file, folders included.
    pub(crate) fn put(&self, file: &str, content: &str) {
        let path = self.manager(file);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("folder");
        fs::write(path, content).expect("file is written");
    }

    /// Every file below the repository with its content, `.store` excepted:
    /// what must not change when a command fails.
    pub(crate) fn tree(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path(), &mut files);
        files.sort();
        files
    }

    /// An executable script beside the repository.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.outside(name);
        // Written by another process: a child that another test starts just
        // now would hold this one's open file, and nobody could execute it.
        let mut writer = Command::new("sh")
            .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut stdin = writer.stdin.take().expect("a pipe");
        write!(stdin, "#!/bin/sh\n{body}\n").expect("script");
        drop(stdin);
        assert!(writer.wait().expect("sh ends").success());
        path
    }

    /// Sets a variable for the commands that follow.
    pub(crate) fn env(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let value = value.as_ref().to_str().expect("UTF-8").to_owned();
        self.environment.push((name.to_owned(), value));
    }

    /// Runs a per-script command with `--repo` and `--loop`.
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Run {
        let repo = self.path().display().to_string();
        let target = ["--repo", repo.as_str(), "--loop", self.loop_id.as_str()];
        self.run_plain(command, &[&target[..], arguments].concat())
    }

    /// Runs a per-script command with exactly these arguments.
    pub(crate) fn run_plain(&self, command: &str, arguments: &[&str]) -> Run {
        finished(
            self.command(command)
                .args(arguments)
                .output()
                .expect("the command starts"),
        )
    }

    /// A per-script command, through a link to the one binary.
    pub(crate) fn command(&self, command: &str) -> Command {
        let link = self.folder.path().join("bin").join(command);
        if !link.exists() {
            symlink(env!("CARGO_BIN_EXE_ops-manager"), &link).expect("link");
        }
        let mut command = Command::new(link);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        command
    }

    /// A document with what differs from run to run replaced by constants.
    pub(crate) fn scrub(&self, document: &Value) -> Value {
        scrub(document, &self.path())
    }

    /// The one row of a journal.
    pub(crate) fn only_row(&self, file: &str) -> Value {
        let mut rows = self.rows(file);
        assert_eq!(rows.len(), 1, "{file}: {rows:?}");
        rows.remove(0)
    }

    /// The last row of a journal.
    pub(crate) fn last_row(&self, file: &str) -> Value {
        self.rows(file)
            .pop()
            .unwrap_or_else(|| panic!("{file} has a row"))
    }

    /// The path of a manager file, as reported in documents.
    pub(crate) fn shown(&self, file: &str) -> String {
        self.manager(file).display().to_string()
    }

    /// Writes a file of the runtime's folder of the loop.
    pub(crate) fn put_runtime(&self, file: &str, content: &str) {
        fs::write(self.runtime_dir().join(file), content).expect("runtime file is written");
    }

    /// Writes a file of `.superloop/`, one for the whole repository.
    pub(crate) fn put_superloop(&self, file: &str, content: &str) {
        fs::write(self.path().join(".superloop").join(file), content).expect("file is written");
    }

    /// Runs one supervision pass.
    pub(crate) fn reconcile(&self, arguments: &[&str]) -> Run {
        self.run("ops-manager-reconcile", arguments)
    }

    pub(crate) fn status(&self, arguments: &[&str]) -> Run {
        self.run("ops-manager-status", arguments)
    }
}

/// The wall clock moved back by some seconds, as artifacts write it.
pub(crate) fn ago(seconds: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let now = i64::try_from(now).expect("a time of this millennium");
    Timestamp::from_epoch_seconds(now - seconds).to_string()
}

/// A loop that runs well: it has just started its first iteration.
pub(crate) fn healthy() -> Repo {
    let repo = Repo::with_events(&[
        &event("loop_start", &ago(0)),
        &event("iteration_start", &ago(0)),
    ]);
    repo.put_superloop(
        "state.json",
        r#"{"active":true,"loop_index":0,"iteration":1,"current_loop_id":"l"}"#,
    );
    repo
}

pub(crate) fn finished(output: Output) -> Run {
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/runtime")
}

/// An event line as the runtime writes it.
pub(crate) fn event(name: &str, timestamp: &str) -> String {
    format!(
        r#"{{"timestamp":"{timestamp}","event":"{name}","loop_id":"l","run_id":"r1","iteration":1}}"#
    )
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("fixture folder") {
        let entry = entry.expect("fixture entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("folder");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("file");
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if entry.file_name() == ".store" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).unwrap_or_default()));
        }
    }
}
