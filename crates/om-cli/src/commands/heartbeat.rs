//! `ops-manager heartbeat`: tells the manager that a runtime is alive
//! (decision D26).

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use om_model::envelope::SchemaVersion;
use om_model::json::{self, Lookup};
use om_model::observation::RuntimeHeartbeat;
use om_model::{Artifact, LoopId};
use om_store::{RepoLayout, read_artifact, replace_document};
use rustix::process::{Pid, test_kill_process};
use serde_json::{Map, Value};

use crate::args::{Target, given};
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
    /// Who writes the heartbeat
    #[arg(long, value_name = "NAME", default_value = "ops-manager")]
    source: String,
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
        let every = given(self.every.as_ref()).map(interval).transpose()?;
        let pid = given(self.pid.as_ref()).map(process_id).transpose()?;
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
            (None, _) => beat.write(out)?,
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
        let born = birth(pid);
        let alive = || test_kill_process(pid) != Err(rustix::io::Errno::SRCH) && birth(pid) == born;
        if !alive() {
            return Err(CliError::new(format!(
                "no process {} is running",
                pid.as_raw_nonzero()
            )));
        }
        while alive() {
            self.write(out)?;
            out.flush()
                .map_err(|error| crate::command::output_error(&error))?;
            // Short naps, so that the end of the process is noticed soon.
            let until = Instant::now() + every;
            while Instant::now() < until && alive() {
                let left = until.saturating_duration_since(Instant::now());
                thread::sleep(left.min(Duration::from_millis(200)));
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), CliError> {
        let runtime = RepoLayout::new(self.repo.to_owned()).runtime(self.loop_id);
        if !runtime.dir().is_dir() {
            return Err(CliError::at(
                &runtime.dir(),
                "no such loop folder; start the loop first, or check --repo and --loop",
            ));
        }
        let path = runtime.heartbeat();
        let document = self.document(&read_artifact(&path)?)?;
        let text = json::compact(&document) + "\n";
        replace_document(&path, text.as_bytes(), None)?;
        print_document(out, &document, self.command.pretty)
    }

    fn document(&self, previous: &Artifact) -> Result<RuntimeHeartbeat, CliError> {
        let pid = self
            .pid
            .map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        let run_id = match given(self.command.run_id.as_ref()) {
            Some(run_id) => Some(run_id.to_owned()),
            None => self.last_run_id()?,
        };
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Ok(RuntimeHeartbeat {
            schema_version: SchemaVersion::V1,
            loop_id: self.loop_id.clone(),
            timestamp: now(),
            run_id,
            pid,
            host: Some(host).filter(|host| !host.is_empty()),
            source: Some(self.command.source.clone()).filter(|source| !source.is_empty()),
            sequence: Some(next_sequence(previous, pid)),
            details: self.details.clone(),
        })
    }

    /// The run id of the last event, if there is a readable one.
    fn last_run_id(&self) -> Result<Option<String>, CliError> {
        let events = RepoLayout::new(self.repo.to_owned())
            .runtime(self.loop_id)
            .events();
        let row = om_store::last_row(&events)?;
        let event = row.and_then(|row| json::parse(&row.bytes).ok());
        Ok(event.and_then(|event| json::non_empty_text(event.get("run_id"))))
    }
}

/// Continues the count of the same producer, else starts at 1.
fn next_sequence(previous: &Artifact, pid: Option<u32>) -> u64 {
    let Some(document) = previous.document() else {
        return 1;
    };
    let member = |name| {
        Lookup::new(document)
            .get(name)
            .ok()
            .flatten()
            .and_then(json::digits)
    };
    let same_producer = member("pid") == pid.map(u64::from);
    member("sequence")
        .filter(|_| same_producer)
        .map_or(1, |sequence| sequence.saturating_add(1))
}

/// Start time of a process, so that a reused id is not taken for it. `None`
/// where the system does not tell.
fn birth(pid: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in field 2 may contain anything; the rest follows its last ")".
    stat.rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(19)
        .map(str::to_owned)
}

fn interval(text: &str) -> Result<Duration, CliError> {
    let refuse = || {
        CliError::new(format!(
            "--every {text}: use a number with s, m or h, e.g. 30s"
        ))
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number = json::digits_text(number)
        .filter(|n| *n >= 1)
        .ok_or_else(refuse)?;
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(refuse()),
    };
    Ok(Duration::from_secs(
        number.saturating_mul(scale).min(86_400),
    ))
}

fn process_id(text: &str) -> Result<Pid, CliError> {
    let pid = json::digits_text(text)
        .and_then(|n| i32::try_from(n).ok())
        .and_then(Pid::from_raw);
    pid.ok_or_else(|| CliError::new("--pid must be an integer >= 1"))
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
    fn intervals_have_a_unit() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3_600), ("7", 7)] {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "0s", "x", "3d", "-1s", "1.5s"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sequence_counts_the_heartbeats_of_one_producer() {
        let previous = Artifact::parse(br#"{"pid":7,"sequence":4}"#);
        assert_eq!(next_sequence(&previous, Some(7)), 5);
        assert_eq!(next_sequence(&previous, Some(8)), 1);
        assert_eq!(next_sequence(&Artifact::Absent, Some(7)), 1);
        assert_eq!(next_sequence(&Artifact::parse(b"[]"), None), 1);
    }
}
