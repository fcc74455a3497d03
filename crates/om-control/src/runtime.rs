//! The loop runtime's command line (chapter 01 §3, chapter 03 §3.1.4 A).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_http::Secrets;
use om_model::control::Intent;
use om_model::{LoopId, TraceId};
use om_stage::{FAILURE_TAIL_LINES, Hook, Keep, RunOptions, Streams, last_lines};

use crate::outcome::Ended;
use crate::quote;

/// The variable that names the runtime.
pub const RUNTIME_VARIABLE: &str = "SUPERLOOP_BIN";

/// Names of the runtime in a repository, and on `PATH`.
const NAMES: [&str; 2] = ["superloop.sh", "superloop"];

/// Bytes kept of the runtime's output: its last MiB.
const OUTPUT_CAP: usize = 1 << 20;

/// Exit code of a program that is not there.
const NOT_FOUND: i32 = 127;

/// The runtime's executable, found or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    program: OsString,
    /// All that was tried, if nothing was found.
    missing: Option<String>,
}

impl Runtime {
    /// The runtime for `repo`: `named` (the value of [`RUNTIME_VARIABLE`]), else
    /// `<repo>/superloop.sh`, else `superloop.sh` or `superloop` on
    /// `search_path` (the value of `PATH`).
    ///
    /// `named` is one executable, never split; without a slash it is searched
    /// for. A runtime that is not found is reported by [`Runtime::run`], as
    /// what the command printed.
    pub fn find(named: Option<&OsStr>, repo: &Path, search_path: Option<&OsStr>) -> Self {
        match named.filter(|named| !named.is_empty()) {
            Some(named) => Self::named(named, search_path),
            None => Self::usual(repo, search_path),
        }
    }

    /// [`Runtime::find`] with this process's environment.
    pub fn from_env(repo: &Path) -> Self {
        let search_path = std::env::var_os("PATH");
        Self::find(
            std::env::var_os(RUNTIME_VARIABLE).as_deref(),
            repo,
            search_path.as_deref(),
        )
    }

    fn named(named: &OsStr, search_path: Option<&OsStr>) -> Self {
        let has_slash = named.as_bytes().contains(&b'/');
        let missing = if has_slash {
            let exists = Path::new(named).exists();
            (!exists).then(|| not_there(Path::new(named)))
        } else {
            let found = on_path(named, search_path).is_some();
            (!found).then(|| format!("{}: command not found", named.to_string_lossy()))
        };
        Self {
            program: named.to_owned(),
            missing: missing.map(|what| format!("{what} (named by {RUNTIME_VARIABLE})")),
        }
    }

    fn usual(repo: &Path, search_path: Option<&OsStr>) -> Self {
        let own = repo.join(NAMES[0]);
        let found = |program: PathBuf| Self {
            program: program.into_os_string(),
            missing: None,
        };
        if own.is_file() {
            return found(own);
        }
        let on_path = |name: &&str| on_path(OsStr::new(name), search_path);
        if let Some(program) = NAMES.iter().find_map(on_path) {
            return found(program);
        }
        let [script, plain] = NAMES;
        Self {
            missing: Some(format!(
                "no loop runtime found: {RUNTIME_VARIABLE} is not set; {}; {script}: command not \
                 found; {plain}: command not found (searched on PATH)",
                not_there(&own)
            )),
            program: own.into_os_string(),
        }
    }

    /// The command line of one intent, as one text.
    pub fn command(&self, call: &RuntimeCall<'_>) -> String {
        let words = call.arguments();
        let words = words.iter().map(OsStr::new);
        quote::command_line(std::iter::once(self.program.as_os_str()).chain(words))
    }

    /// Runs the command and waits for it, at most `limit`: then its process
    /// group gets TERM and, 5 s later, KILL (decision D13).
    ///
    /// Returns how it ended, and the last lines of what it printed, without
    /// `secrets`. It gets the trace id as `OPS_MANAGER_TRACE_ID`, and empty
    /// stdin.
    pub fn run(
        &self,
        call: &RuntimeCall<'_>,
        trace_id: &TraceId,
        limit: Option<Duration>,
        secrets: &Secrets,
    ) -> (Ended, String) {
        if let Some(missing) = &self.missing {
            return (Ended::Exited(NOT_FOUND), missing.clone());
        }
        let options = RunOptions {
            streams: Streams::Merged,
            output_cap: OUTPUT_CAP,
            keep: Keep::Last,
            time_limit: limit,
            environment: vec![("OPS_MANAGER_TRACE_ID".to_owned(), trace_id.to_string())],
        };
        let hook = Hook::exact(RUNTIME_VARIABLE, &self.program);
        let output = hook.run(&call.arguments(), &options);
        // A program that could not be started says so on the other stream.
        let printed = [output.stdout, output.stderr].concat();
        let ended = if output.timed_out {
            Ended::TimedOut
        } else {
            Ended::Exited(output.exit_code)
        };
        // Before any line is dropped: a part of a secret is one too.
        let clean = if printed.len() < OUTPUT_CAP {
            secrets.clean(&printed)
        } else {
            secrets.clean_end(&printed)
        };
        (ended, last_lines(clean.as_bytes(), FAILURE_TAIL_LINES))
    }
}

/// One intent, as the runtime is told.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeCall<'a> {
    /// What is wanted.
    pub intent: Intent,
    /// The repository, absolute.
    pub repo: &'a str,
    /// The loop, which `cancel` is not told.
    pub loop_id: &'a LoopId,
    /// Who wants it; may be empty.
    pub by: &'a str,
    /// Why, unless it is empty.
    pub note: Option<&'a str>,
}

impl RuntimeCall<'_> {
    /// The words after the executable.
    pub fn arguments(&self) -> Vec<&str> {
        let decision = ["--loop", self.loop_id.as_str(), "--by", self.by];
        let mut words = match self.intent {
            Intent::Cancel => return vec!["cancel", "--repo", self.repo],
            Intent::Approve | Intent::Reject => vec!["approve", "--repo", self.repo],
        };
        words.extend(decision);
        if self.intent == Intent::Reject {
            words.push("--reject");
        }
        if let Some(note) = self.note {
            words.extend(["--note", note]);
        }
        words
    }
}

fn not_there(path: &Path) -> String {
    format!("{}: No such file or directory", path.display())
}

fn on_path(name: &OsStr, search_path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        let found = std::fs::metadata(path);
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(search_path?)
        .map(|dir| dir.join(name))
        .find(is_program)
}
