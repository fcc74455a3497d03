//! Bounded child processes: empty stdin, captured output up to a cap, an
//! optional time limit after which the whole process group is ended.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::guard::{self, Guarded};
use crate::output::{Collector, Keep};

/// Bytes kept of each stream unless the caller says otherwise: 64 MiB.
pub const DEFAULT_OUTPUT_CAP: usize = 64 << 20;

/// How long a stage may take unless the caller says otherwise: a hook that
/// hangs must not hold its loop for ever.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(300);

/// Exit code of a child that was ended for running too long.
const TIMED_OUT: i32 = 124;
/// How long a child may take to end after TERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long output may trail behind the child's own end: a grandchild that
/// keeps the pipe open must not hold the caller.
const DRAIN: Duration = Duration::from_secs(2);

/// How a child's two output streams are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// Each on its own.
    #[default]
    Separate,
    /// Both in `stdout`, in order of arrival.
    Merged,
}

/// Limits of one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How output is captured.
    pub streams: Streams,
    /// Bytes kept per stream; the rest is read and dropped.
    pub output_cap: usize,
    /// Which bytes those are.
    pub keep: Keep,
    /// The child's process group is ended after this time.
    /// [`DEFAULT_TIME_LIMIT`] unless the caller says otherwise.
    pub time_limit: Option<Duration>,
    /// Added to the inherited environment.
    pub environment: Vec<(String, String)>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            streams: Streams::Separate,
            output_cap: DEFAULT_OUTPUT_CAP,
            keep: Keep::First,
            time_limit: Some(DEFAULT_TIME_LIMIT),
            environment: Vec::new(),
        }
    }
}

/// What a stage left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageOutput {
    /// 0 is success.
    pub exit_code: i32,
    /// Standard output, or both streams when merged.
    pub stdout: Vec<u8>,
    /// Standard error; empty when merged.
    pub stderr: Vec<u8>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
}

impl StageOutput {
    /// Whether the stage succeeded.
    pub fn success(&self) -> bool {
        self.exit_code == 0
    }

    /// Standard error as text, invalid UTF-8 replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs `program` with `arguments` and waits for it; the second value is the
/// signal that it died of, unless that was ours.
pub(crate) fn run(
    program: &OsStr,
    arguments: &[&OsStr],
    options: &RunOptions,
) -> (StageOutput, Option<i32>) {
    match spawn(program, arguments, options) {
        Ok(running) => running.wait(options),
        Err(error) => (not_started(program, &error), None),
    }
}

fn not_started(program: &OsStr, error: &io::Error) -> StageOutput {
    let exit_code = if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "No such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        _ => error.to_string(),
    };
    let stderr = format!("{}: {reason}\n", program.to_string_lossy()).into_bytes();
    StageOutput {
        exit_code,
        stderr,
        ..StageOutput::default()
    }
}

struct Running {
    child: Arc<Guarded>,
    ended: Receiver<io::Result<ExitStatus>>,
    stdout: Collector,
    stderr: Option<Collector>,
}

fn spawn(program: &OsStr, arguments: &[&OsStr], options: &RunOptions) -> io::Result<Running> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.envs(
        options
            .environment
            .iter()
            .map(|(name, value)| (name, value)),
    );
    // A group of its own, so that whatever it starts can be ended with it.
    command.process_group(0);
    let (out_reader, out_writer) = io::pipe()?;
    let err_reader = match options.streams {
        Streams::Merged => {
            command.stderr(out_writer.try_clone()?);
            None
        }
        Streams::Separate => {
            let (reader, writer) = io::pipe()?;
            command.stderr(writer);
            Some(reader)
        }
    };
    command.stdout(out_writer);
    let (mut child, guarded) = guard::spawn(&mut command)?;
    // The command still owns the write ends; end of file needs them closed.
    drop(command);
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let status = child.wait();
        // The receiver waits for as long as the child may run.
        let _ = sender.send(status);
    });
    let collect = |reader| Collector::start(reader, options.output_cap, options.keep);
    Ok(Running {
        child: guarded,
        ended,
        stdout: collect(out_reader),
        stderr: err_reader.map(collect),
    })
}

impl Running {
    fn wait(self, options: &RunOptions) -> (StageOutput, Option<i32>) {
        let (status, timed_out) = match options.time_limit {
            None => (self.ended.recv().ok(), false),
            Some(limit) => match self.ended.recv_timeout(limit) {
                Ok(status) => (Some(status), false),
                Err(RecvTimeoutError::Timeout) => (self.terminate(), true),
                Err(RecvTimeoutError::Disconnected) => (None, false),
            },
        };
        drop(self.child);
        let deadline = Instant::now() + DRAIN;
        let drained = |stream: &Collector| {
            stream.ends_before(deadline);
            stream.take()
        };
        let stdout = drained(&self.stdout);
        let stderr = self.stderr.as_ref().map(drained).unwrap_or_default();
        let signal = match &status {
            Some(Ok(status)) if !timed_out => status.signal(),
            _ => None,
        };
        let exit_code = match status {
            _ if timed_out => TIMED_OUT,
            Some(status) => exit_code(&status),
            None => 1,
        };
        let output = StageOutput {
            exit_code,
            stdout,
            stderr,
            timed_out,
        };
        (output, signal)
    }

    /// TERM, a grace period, then KILL, each to the whole group.
    fn terminate(&self) -> Option<io::Result<ExitStatus>> {
        self.child.signal(Signal::TERM);
        let status = self.ended.recv_timeout(GRACE);
        // Also if the child has ended: what it started may not have heard.
        self.child.signal(Signal::KILL);
        status.or_else(|_| self.ended.recv()).ok()
    }
}

fn exit_code(status: &io::Result<ExitStatus>) -> i32 {
    match status {
        Ok(status) => status
            .code()
            .or_else(|| status.signal().map(|s| 128 + s))
            .unwrap_or(1),
        Err(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, options: &RunOptions) -> StageOutput {
        ended(script, options).0
    }

    fn ended(script: &str, options: &RunOptions) -> (StageOutput, Option<i32>) {
        run("sh".as_ref(), &["-c".as_ref(), script.as_ref()], options)
    }

    #[test]
    fn streams_are_kept_apart_unless_merged() {
        let output = sh("echo out; echo err >&2", &RunOptions::default());
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        let merged = RunOptions {
            streams: Streams::Merged,
            ..RunOptions::default()
        };
        let output = sh("echo one; echo two >&2; echo three", &merged);
        assert_eq!(output.stdout, b"one\ntwo\nthree\n");
    }

    #[test]
    fn stdin_is_empty() {
        assert_eq!(
            sh("wc -c", &RunOptions::default()).stdout.trim_ascii(),
            b"0"
        );
    }

    #[test]
    fn exit_codes_and_signals_are_told_apart() {
        assert_eq!(sh("exit 7", &RunOptions::default()).exit_code, 7);
        for (script, exit_code, signal) in [
            ("kill -9 $$", 137, Some(9)),
            ("exit 137", 137, None),
            ("exit 0", 0, None),
        ] {
            let (output, died_of) = ended(script, &RunOptions::default());
            assert_eq!((output.exit_code, died_of), (exit_code, signal), "{script}");
        }
    }

    #[test]
    fn output_beyond_the_cap_is_dropped_without_blocking_the_child() {
        let capped = RunOptions {
            output_cap: 10,
            ..RunOptions::default()
        };
        let output = sh("head -c 300000 /dev/zero; echo done >&2", &capped);
        assert_eq!(
            (output.stdout.len(), output.stderr.as_slice()),
            (10, &b"done\n"[..])
        );
    }

    #[test]
    fn a_time_limit_ends_the_whole_group() {
        let limited = RunOptions {
            time_limit: Some(Duration::from_millis(50)),
            ..RunOptions::default()
        };
        let output = sh("echo started; sleep 600 & wait", &limited);
        assert!(output.timed_out);
        assert_eq!(
            (output.exit_code, output.stdout.as_slice()),
            (124, &b"started\n"[..])
        );
    }

    #[test]
    fn a_grandchild_that_keeps_the_output_open_holds_nobody() {
        let output = sh("echo begun; sleep 600 & echo $!", &RunOptions::default());
        let text = String::from_utf8(output.stdout).expect("text");
        let (_, pid) = text.trim().split_once('\n').expect("two lines");
        sh(&format!("kill {pid}"), &RunOptions::default());
        assert_eq!((output.exit_code, output.timed_out), (0, false));
    }

    #[test]
    fn a_child_that_ignores_the_request_to_end_is_killed() {
        let limited = RunOptions {
            time_limit: Some(Duration::from_millis(50)),
            ..RunOptions::default()
        };
        let output = sh(
            "trap '' TERM; echo deaf; while :; do sleep 1; done",
            &limited,
        );
        assert!(output.timed_out);
        assert_eq!(output.stdout, b"deaf\n");
    }

    #[test]
    fn a_daemon_that_keeps_the_streams_open_does_not_hold_the_caller() {
        let output = sh("echo out; sleep 600 & exit 3", &RunOptions::default());
        assert_eq!(
            (output.exit_code, output.stdout.as_slice()),
            (3, &b"out\n"[..])
        );
    }

    #[test]
    fn the_environment_is_inherited_and_extended() {
        let extended = RunOptions {
            environment: vec![("OM_TEST".into(), "x y".into())],
            ..RunOptions::default()
        };
        assert_eq!(
            sh("printf %s \"$OM_TEST:${PATH:+path}\"", &extended).stdout,
            b"x y:path"
        );
    }
}
