//! Bounded child processes: empty stdin, captured output up to a cap, an
//! optional time limit after which the whole process group is ended.

use std::ffi::OsStr;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Bytes kept of each stream unless the caller says otherwise: 64 MiB.
pub const DEFAULT_OUTPUT_CAP: usize = 64 << 20;

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
    /// The child's process group is ended after this time.
    pub time_limit: Option<Duration>,
    /// Added to the inherited environment.
    pub environment: Vec<(String, String)>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            streams: Streams::Separate,
            output_cap: DEFAULT_OUTPUT_CAP,
            time_limit: None,
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

/// Runs `program` with `arguments` and waits for it.
pub(crate) fn run(program: &OsStr, arguments: &[&OsStr], options: &RunOptions) -> StageOutput {
    match spawn(program, arguments, options) {
        Ok(running) => running.wait(options),
        Err(error) => not_started(program, &error),
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
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Option<Receiver<Vec<u8>>>,
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
    if options.time_limit.is_some() {
        // Only a child that may have to be ended gets a group of its own;
        // others stay reachable by Ctrl-C on the terminal.
        command.process_group(0);
    }
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
    let child = command.spawn()?;
    // The command still owns the write ends; end of file needs them closed.
    drop(command);
    let cap = options.output_cap;
    Ok(Running {
        child,
        stdout: collect(out_reader, cap),
        stderr: err_reader.map(|r| collect(r, cap)),
    })
}

/// Reads a stream to its end on a thread, keeping at most `cap` bytes.
fn collect(mut reader: PipeReader, cap: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut block = [0; 16 << 10];
        loop {
            match reader.read(&mut block) {
                Ok(0) => break,
                Ok(n) => kept.extend_from_slice(&block[..n.min(cap - kept.len())]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // The receiver may have stopped waiting; then nobody wants the text.
        let _ = sender.send(kept);
    });
    receiver
}

impl Running {
    fn wait(mut self, options: &RunOptions) -> StageOutput {
        let mut output = StageOutput::default();
        let deadline = options.time_limit.map(|limit| Instant::now() + limit);
        // End of output nearly always is the end of the child; waiting for it
        // needs no polling.
        match wait_for_output(&self.stdout, deadline) {
            Ok(bytes) => output.stdout = bytes,
            Err(RecvTimeoutError::Timeout) => output.timed_out = true,
            Err(RecvTimeoutError::Disconnected) => {}
        }
        if !output.timed_out && !self.ends_before(deadline) {
            output.timed_out = true;
        }
        if output.timed_out {
            self.terminate();
            if output.stdout.is_empty() {
                output.stdout = self.stdout.recv_timeout(DRAIN).unwrap_or_default();
            }
        }
        let status = self.child.wait();
        if let Some(stderr) = &self.stderr {
            output.stderr = stderr.recv_timeout(DRAIN).unwrap_or_default();
        }
        output.exit_code = if output.timed_out {
            TIMED_OUT
        } else {
            exit_code(&status)
        };
        output
    }

    /// Waits for the child itself once its output has ended.
    fn ends_before(&mut self, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            return true;
        };
        let mut pause = Duration::from_millis(1);
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() >= deadline => return false,
                Ok(None) => thread::sleep(pause),
                Ok(Some(_)) | Err(_) => return true,
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// TERM, a grace period, then KILL, each to the whole group.
    fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if !self.ends_before(Some(Instant::now() + GRACE)) {
            self.signal(Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process_group(pid, signal)
        {
            tracing::debug!(%error, "the process group is gone already");
        }
    }
}

fn wait_for_output(
    output: &Receiver<Vec<u8>>,
    deadline: Option<Instant>,
) -> Result<Vec<u8>, RecvTimeoutError> {
    match deadline {
        None => output.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(at) => output.recv_timeout(at.saturating_duration_since(Instant::now())),
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
        assert_eq!(sh("kill -9 $$", &RunOptions::default()).exit_code, 137);
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
