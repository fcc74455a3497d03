//! `ops-manager heartbeat`: tells the manager that a runtime is alive
//! (decision D26).

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use om_model::observation::RuntimeHeartbeat;
use om_model::{LoopId, json};
use om_store::RepoLayout;
use om_transport::heartbeat::{Alive, write_heartbeat};
use rustix::process::{Pid, test_kill_process};
use serde_json::{Map, Value};

use crate::args::{Target, given, interval};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::error::CliError;

/// Arguments of `ops-manager heartbeat`.
#[derive(Args, Debug)]
pub struct Heartbeat {
    #[command(flatten)]
    target: Target,
    /// Write again and again, e.g. 30s, 5m, 1h; needs --pid
    #[arg(long, value_name = "INTERVAL")]
    every: Option<String>,
    /// Process id of the runtime; with --every the command ends with it
    #[arg(long, value_name = "PID")]
    pid: Option<String>,
    /// Run id to record [default: that of the loop's last event]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Who writes the heartbeat [default: ops-manager]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Free additions, a JSON object
    #[arg(long, value_name = "JSON")]
    details: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Heartbeat {
    const NAME: &'static str = "ops-manager heartbeat";
    const SUMMARY: &'static str = "Write a loop's heartbeat";
    const ABOUT: &'static str = "Write a loop's heartbeat, once or for as long as its runtime \
        lives, so that a hanging or dead runtime is noticed.";
    const DETAILS: &'static str = "\
Writes .superloop/loops/<loop>/heartbeat.v1.json atomically and prints it.
The loop's folder must exist. With --every the command ends, with exit code 0,
as soon as the process --pid has ended.

Examples:
  ops-manager heartbeat --repo . --loop nightly
  ops-manager heartbeat --repo . --loop nightly --every 30s --pid $RUNTIME_PID";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let every = self
            .every
            .as_deref()
            .map(|text| interval("--every", text))
            .transpose()?;
        let pid = self.pid.as_deref().map(process_id).transpose()?;
        let details = given(self.details.as_ref()).map(object).transpose()?;
        let (repo, loop_id) = self.target.resolve()?;
        let beat = Beat {
            repo: &repo,
            loop_id: &loop_id,
            pid,
            details,
            command: self,
        };
        match (every, pid) {
            (None, _) => beat.print(out, &beat.write()?)?,
            (Some(_), None) => {
                return Err(CliError::new("--every needs --pid, the process to follow"));
            }
            (Some(every), Some(pid)) => beat.follow(every, pid, out)?,
        }
        Ok(0)
    }
}

struct Beat<'a> {
    repo: &'a Path,
    loop_id: &'a LoopId,
    pid: Option<Pid>,
    details: Option<Map<String, Value>>,
    command: &'a Heartbeat,
}

impl Beat<'_> {
    /// One heartbeat per interval while the process lives.
    fn follow(&self, every: Duration, pid: Pid, out: &mut dyn Write) -> Result<(), CliError> {
        let born = Life::of(pid);
        let alive = || Life::of(pid).goes_on_from(&born);
        if !alive() {
            return Err(CliError::new(format!(
                "no process {} is running",
                pid.as_raw_nonzero()
            )));
        }
        while alive() {
            let document = self.write()?;
            // The heartbeat matters, not who reads about it: a reader that
            // went away must not make a live runtime look dead.
            let _ = self.print(out, &document);
            let _ = out.flush();
            // Short naps, so that the end of the process is noticed soon.
            let until = Instant::now() + every;
            while Instant::now() < until && alive() {
                let left = until.saturating_duration_since(Instant::now());
                thread::sleep(left.min(Duration::from_millis(200)));
            }
        }
        Ok(())
    }

    fn write(&self) -> Result<RuntimeHeartbeat, CliError> {
        let command = self.command;
        let alive = Alive {
            pid: self
                .pid
                .map(|pid| pid.as_raw_nonzero().get().unsigned_abs()),
            run_id: given(command.run_id.as_ref()).map(str::to_owned),
            source: given(command.source.as_ref())
                .unwrap_or("ops-manager")
                .to_owned(),
            details: self.details.clone(),
        };
        let runtime = RepoLayout::new(self.repo.to_owned()).runtime(self.loop_id);
        Ok(write_heartbeat(&runtime, self.loop_id, &alive, now())?)
    }

    fn print(&self, out: &mut dyn Write, document: &RuntimeHeartbeat) -> Result<(), CliError> {
        print_document(out, document, self.command.pretty)
    }
}

/// A process as far as the system tells about it.
#[derive(Debug, PartialEq, Eq)]
struct Life {
    /// Something answers to the process id.
    exists: bool,
    /// It has ended and waits for its parent to take notice.
    zombie: bool,
    /// When it started, so that a reused id is not taken for it; `None`
    /// where the system does not tell.
    started: Option<String>,
}

impl Life {
    fn of(pid: Pid) -> Self {
        let exists = test_kill_process(pid) != Err(rustix::io::Errno::SRCH);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let (zombie, started) = stat.map_or((false, None), |stat| parse_stat(&stat));
        Self {
            exists,
            zombie,
            started,
        }
    }

    fn goes_on_from(&self, earlier: &Self) -> bool {
        self.exists && !self.zombie && self.started == earlier.started
    }
}

/// State and start time in the text of `/proc/<pid>/stat`.
fn parse_stat(stat: &str) -> (bool, Option<String>) {
    // The name in field 2 may contain anything; the rest follows its last ")".
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return (false, None);
    };
    let mut fields = rest.split_ascii_whitespace();
    let zombie = fields
        .next()
        .is_some_and(|state| matches!(state, "Z" | "X" | "x"));
    (zombie, fields.nth(18).map(str::to_owned))
}

fn process_id(text: &str) -> Result<Pid, CliError> {
    let number = json::digits_text(text).filter(|n| *n >= 1);
    let number = number.ok_or_else(|| CliError::new("--pid must be an integer >= 1"))?;
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| CliError::new(format!("no process {text} is running")))
}

fn object(text: &str) -> Result<Map<String, Value>, CliError> {
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(other) => Err(CliError::new(format!(
            "--details is {}, expected a JSON object",
            json::type_name(&other)
        ))),
        Err(error) => Err(CliError::new(format!("--details is not JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_not_alive_even_if_nobody_took_notice() {
        let running = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        assert_eq!(parse_stat(running), (false, Some("4711".to_owned())));
        let (zombie, _) = parse_stat(&running.replace(") S", ") Z"));
        assert!(zombie);
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        let born = Life::of(pid);
        while Life::of(pid).goes_on_from(&born) {
            thread::yield_now();
        }
        child.wait().expect("is reaped");
        assert!(!Life::of(pid).goes_on_from(&born));
    }
}
