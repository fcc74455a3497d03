//! One command of the cycle: let run, or killed at some moment.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::faults::Kill;
use crate::error::Error;

/// Longer than any command takes.
const LIMIT: Duration = Duration::from_secs(90);
/// How long a step takes before anybody knows.
const FIRST_GUESS: Duration = Duration::from_millis(100);
/// How often a process is looked at.
const LOOK: Duration = Duration::from_micros(500);

/// How a step ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    /// The signal that it was sent, if it was still there.
    pub(super) sent: Option<Sent>,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// What it said.
    pub(super) stderr: String,
}

/// The signals that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Kill,
    Term,
}

impl Ended {
    /// It ended by itself, well.
    pub(super) fn is_done(&self) -> bool {
        self.code == Some(0)
    }

    /// It ended in the middle of what it did.
    pub(super) fn is_cut(&self) -> bool {
        self.code.is_none()
    }

    /// It did nothing, and said why.
    pub(super) fn is_refused(&self) -> bool {
        self.code == Some(1)
    }

    /// What is wrong with how it ended, whatever it was about.
    pub(super) fn finding(&self, name: &str) -> Option<String> {
        let said = self.stderr.trim_end();
        match self.code {
            Some(0) if said.is_empty() => None,
            Some(0) => Some(format!("{name} succeeded and said {said:?}")),
            Some(1) if said.starts_with("error: ") => None,
            // It was asked to end.
            Some(143) if self.sent == Some(Sent::Term) => None,
            None if self.sent.is_some() => None,
            code => Some(format!("{name} ended with {code:?}: {said:?}")),
        }
    }
}

/// How long steps usually take, by name.
#[derive(Default)]
pub(super) struct Steps {
    usual: BTreeMap<&'static str, Duration>,
}

/// Something that happens while a step runs: when, and what.
pub(super) type Action<'a> = (f64, &'a mut dyn FnMut() -> Result<(), Error>);

/// A step that runs.
pub(super) struct Running {
    name: &'static str,
    child: Child,
    started: Instant,
    output: [PathBuf; 2],
}

impl Running {
    /// Starts `command`; what it says goes to files that begin with `output`.
    pub(super) fn start(
        name: &'static str,
        mut command: Command,
        output: &str,
    ) -> Result<Self, Error> {
        let output = ["out", "err"].map(|end| PathBuf::from(format!("{output}.{end}")));
        let [stdout, stderr] = &output;
        let file = |path: &PathBuf| File::create(path).map_err(Error::file("create", path));
        command
            .stdin(Stdio::null())
            .stdout(file(stdout)?)
            .stderr(file(stderr)?);
        let started = Instant::now();
        let child = command.spawn().map_err(|source| Error::Start {
            command: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name,
            child,
            started,
            output,
        })
    }
}

impl Steps {
    /// The moment `share` of the way through the step `name`.
    fn moment(&self, name: &str, share: f64) -> Duration {
        let usual = self.usual.get(name).copied().unwrap_or(FIRST_GUESS);
        usual.mul_f64(share)
    }

    /// Waits for a step, which is killed or disturbed at its moment.
    pub(super) fn wait(
        &mut self,
        mut running: Running,
        kill: Option<Kill>,
        mut meanwhile: Option<Action<'_>>,
    ) -> Result<Ended, Error> {
        let name = running.name;
        let mut kill = kill.map(|kill| (self.moment(name, kill.moment), kill));
        let mut sent = None;
        let status = loop {
            if let Some(status) = running.child.try_wait().map_err(|e| gone(name, &e))? {
                break status;
            }
            let elapsed = running.started.elapsed();
            if let Some((share, act)) = &mut meanwhile
                && elapsed >= self.moment(name, *share)
            {
                act()?;
                meanwhile = None;
            }
            if let Some((_, kill)) = kill.take_if(|(at, _)| elapsed >= *at) {
                sent = Some(send(&running.child, kill));
            }
            if elapsed > LIMIT {
                // It ends, and that is a finding.
                let _ = running.child.kill();
            }
            thread::sleep(LOOK);
        };
        if status.success() && sent.is_none() {
            self.learn(name, running.started.elapsed());
        }
        let [stdout, stderr] = &running.output;
        let read = |path: &PathBuf| fs::read(path).map_err(Error::file("read", path));
        // It may have been over already.
        let was_hit = status.code().is_none_or(|code| code > 128);
        Ok(Ended {
            code: status.code(),
            sent: sent.filter(|_| was_hit),
            stdout: read(stdout)?,
            stderr: String::from_utf8_lossy(&read(stderr)?).into_owned(),
        })
    }

    /// Slowly, so that one slow run does not count.
    fn learn(&mut self, name: &'static str, took: Duration) {
        let usual = self.usual.entry(name).or_insert(took);
        *usual = *usual * 3 / 4 + took / 4;
    }
}

fn send(child: &Child, kill: Kill) -> Sent {
    let (sent, signal) = if kill.politely {
        (Sent::Term, Signal::TERM)
    } else {
        (Sent::Kill, Signal::KILL)
    };
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It has not been waited for, so the id is still its own.
        let _ = kill_process(pid, signal);
    }
    sent
}

fn gone(name: &str, error: &std::io::Error) -> Error {
    Error::Soak(format!("{name} cannot be waited for: {error}"))
}
