//! A loop repository of any size, as the runtime would leave it.
//!
//! The same arguments give the same bytes. Events have the names, members and
//! lengths of real ones: about 600 bytes on average.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use om_model::{LoopId, Timestamp};
use serde_json::{Value, json};

use crate::error::Error;

/// Most iterations in the run summary.
const SUMMARY_ENTRIES: u64 = 5;

/// Which repository to write.
#[derive(Args)]
pub(crate) struct GenLoopArgs {
    /// Lines of the event log.
    #[arg(long)]
    events: u64,
    /// The repository; created, and must not hold a loop of that name yet.
    #[arg(long)]
    out: PathBuf,
    /// Name of the loop.
    #[arg(long = "loop", default_value = "bench-loop")]
    loop_id: LoopId,
    /// When the last event happened; one event takes a second.
    #[arg(long, default_value = "2031-05-02T08:00:00Z", value_parser = timestamp)]
    ending_at: Timestamp,
}

/// Reads a point in time on a command line.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "expected YYYY-MM-DDTHH:MM:SSZ".to_owned())
}

/// Writes the repository.
pub(crate) fn run(args: &GenLoopArgs) -> Result<(), Error> {
    let generated =
        GeneratedLoop::create(&args.out, args.loop_id.clone(), args.events, args.ending_at)?;
    println!(
        "wrote {} events to {}",
        args.events,
        generated.events_file().display()
    );
    Ok(())
}

/// A loop repository on disk that can grow.
pub(crate) struct GeneratedLoop {
    repo: PathBuf,
    loop_id: LoopId,
    /// Lines of the event log.
    events: u64,
    /// When the event with number 0 would have happened, in epoch seconds.
    epoch: i64,
}

impl GeneratedLoop {
    /// Creates the runtime's files of a running loop with `events` events,
    /// the last of them at `ending_at`.
    pub(crate) fn create(
        repo: &Path,
        loop_id: LoopId,
        events: u64,
        ending_at: Timestamp,
    ) -> Result<Self, Error> {
        let length = i64::try_from(events).unwrap_or(i64::MAX);
        let mut generated = Self {
            repo: repo.to_owned(),
            loop_id,
            events: 0,
            epoch: ending_at.epoch_seconds().saturating_sub(length),
        };
        let directory = generated.directory();
        fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
        let log = generated.events_file();
        File::create_new(&log).map_err(Error::file("create", &log))?;
        generated.append(events)?;
        generated.write_documents()?;
        Ok(generated)
    }

    /// Appends events to the log.
    pub(crate) fn append(&mut self, count: u64) -> Result<(), Error> {
        let path = self.events_file();
        let append = || -> io::Result<()> {
            let mut log = BufWriter::new(OpenOptions::new().append(true).open(&path)?);
            for number in self.events..self.events + count {
                let line = om_model::json::compact(&self.event(number));
                writeln!(log, "{line}")?;
            }
            log.flush()
        };
        append().map_err(Error::file("append to", &path))?;
        self.events += count;
        Ok(())
    }

    /// The repository.
    pub(crate) fn repo(&self) -> &Path {
        &self.repo
    }

    /// Lines of the event log.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The loop's name.
    pub(crate) fn loop_id(&self) -> &LoopId {
        &self.loop_id
    }

    /// The event log.
    pub(crate) fn events_file(&self) -> PathBuf {
        self.directory().join("events.jsonl")
    }

    fn directory(&self) -> PathBuf {
        let loops = self.repo.join(".superloop/loops");
        loops.join(self.loop_id.as_str())
    }

    fn at(&self, number: u64) -> String {
        let seconds = i64::try_from(number).unwrap_or(i64::MAX);
        Timestamp::from_epoch_seconds(self.epoch.saturating_add(seconds)).to_string()
    }

    /// The record with the given number, counted from 0: iterations of
    /// [`STEPS`] after one another.
    fn event(&self, number: u64) -> Value {
        let iteration = number / STEPS.len() as u64 + 1;
        // In range: the remainder is smaller than the table.
        let step = &STEPS[usize::try_from(number % STEPS.len() as u64).unwrap_or(0)];
        let mut record = json!({
            "timestamp": self.at(number + 1),
            "event": step.name,
            "loop_id": self.loop_id,
            "run_id": self.at(0),
            "iteration": iteration,
        });
        if let Some(role) = step.role {
            record["role"] = json!(role);
        }
        record["data"] = (step.data)(&Detail {
            directory: format!(".superloop/loops/{}", self.loop_id),
            role: step.role.unwrap_or("reviewer"),
            iteration,
            at: self.at(number + 1),
        });
        record
    }

    /// Everything but the log: a running loop in its last iteration.
    fn write_documents(&self) -> Result<(), Error> {
        let iteration = self.events / STEPS.len() as u64 + 1;
        let now = self.at(self.events);
        let superloop = self.repo.join(".superloop");
        let documents = [
            (
                superloop.join("state.json"),
                json!({
                    "active": true,
                    "loop_index": 0,
                    "iteration": iteration,
                    "current_loop_id": self.loop_id,
                    "updated_at": now,
                }),
            ),
            (
                superloop.join("active-run.json"),
                json!({
                    "repo": "/srv/app",
                    "pid": 4711,
                    "pgid": 4711,
                    "loop_id": self.loop_id,
                    "iteration": iteration,
                    "stage": "tester",
                    "updated_at": now,
                }),
            ),
            (
                self.directory().join("run-summary.json"),
                json!({
                    "version": 1,
                    "loop_id": self.loop_id,
                    "updated_at": now,
                    "entries": (iteration.saturating_sub(SUMMARY_ENTRIES)..iteration)
                        .map(|iteration| self.summary_entry(iteration, &now))
                        .collect::<Vec<_>>(),
                }),
            ),
            (
                self.directory().join("heartbeat.v1.json"),
                json!({
                    "schemaVersion": "v1",
                    "loopId": self.loop_id,
                    "timestamp": now,
                    "runId": self.at(0),
                    "source": "runtime",
                }),
            ),
        ];
        for (path, document) in documents {
            let text = om_model::json::pretty(&document) + "\n";
            fs::write(&path, text).map_err(Error::file("write", &path))?;
        }
        Ok(())
    }

    fn summary_entry(&self, iteration: u64, now: &str) -> Value {
        json!({
            "run_id": self.at(0),
            "iteration": iteration,
            "started_at": self.at(0),
            "ended_at": now,
            "promise": { "expected": "SUPERLOOP_COMPLETE", "text": null, "matched": false },
            "gates": gates(),
            "tests_mode": "every",
            "stuck": { "streak": 0, "threshold": 3 },
            "delegation": {},
            "completion_ok": false,
            "artifacts": {},
        })
    }
}

fn gates() -> Value {
    json!({
        "tests": "failed",
        "validation": "skipped",
        "prerequisites": "ok",
        "checklist": "remaining",
        "evidence": "skipped",
        "lifecycle": "ok",
        "approval": "skipped",
    })
}

/// One kind of event within an iteration.
struct Step {
    name: &'static str,
    role: Option<&'static str>,
    data: fn(&Detail) -> Value,
}

/// What the data of an event is made from.
struct Detail {
    directory: String,
    role: &'static str,
    iteration: u64,
    at: String,
}

const STEPS: [Step; 12] = [
    step("iteration_start", None, iteration_start),
    step("role_start", Some("planner"), role_start),
    step("role_end", Some("planner"), role_end),
    step("role_start", Some("implementer"), role_start),
    step("role_end", Some("implementer"), role_end),
    step("role_start", Some("tester"), role_start),
    step("role_end", Some("tester"), role_end),
    step("tests_start", None, tests_start),
    step("tests_end", None, tests_end),
    step("pre_commit_executed", None, pre_commit_executed),
    step("gates_evaluated", None, gates_evaluated),
    step("iteration_end", None, iteration_end),
];

const fn step(name: &'static str, role: Option<&'static str>, data: fn(&Detail) -> Value) -> Step {
    Step { name, role, data }
}

fn iteration_start(detail: &Detail) -> Value {
    json!({
        "started_at": detail.at,
        "delegation": {
            "enabled": false, "dispatch_mode": "serial", "wake_policy": "on_wave_complete",
            "failure_policy": "warn_and_continue", "max_children": 1, "max_parallel": 1,
            "max_waves": 1, "child_timeout_seconds": 300, "retry_limit": 0,
        },
        "lifecycle": {
            "feature_prefix": "feat/", "main_ref": "main", "no_fetch": "false", "strict": "true",
            "block_on_failure": "true",
        },
    })
}

fn role_start(detail: &Detail) -> Value {
    let Detail {
        directory,
        role,
        iteration,
        ..
    } = detail;
    json!({
        "prompt_file": format!("/srv/app/{directory}/prompts/{role}.md"),
        "log_file": format!("/srv/app/{directory}/logs/iter-{iteration}/{role}.log"),
        "last_message_file": format!("/srv/app/{directory}/last_messages/{role}.txt"),
        "usage_file": format!("/srv/app/{directory}/usage/iter-{iteration}/{role}.json"),
        "runner": "codex", "model": "default", "thinking": "standard", "timeout_seconds": 900,
    })
}

fn role_end(detail: &Detail) -> Value {
    let Detail {
        directory,
        role,
        iteration,
        ..
    } = detail;
    json!({
        "log_file": format!("/srv/app/{directory}/logs/iter-{iteration}/{role}.log"),
        "last_message_file": format!("/srv/app/{directory}/last_messages/{role}.txt"),
        "usage": { "input_tokens": 41_220, "cached_tokens": 30_976, "output_tokens": 2_718 },
        "summary": "The parser accepts empty input now; two of the three cases in the checklist \
                    are covered, the third needs the fixture that the planner asked for.",
        "duration_seconds": 74,
    })
}

fn tests_start(detail: &Detail) -> Value {
    json!({
        "mode": "every",
        "commands": ["cargo test --workspace", "cargo clippy --workspace -- -D warnings"],
        "status_file": format!("{}/test-status.json", detail.directory),
    })
}

fn tests_end(detail: &Detail) -> Value {
    json!({
        "status": "failed",
        "details": {
            "ok": false,
            "skipped": false,
            "generated_at": detail.at,
            "failed": ["parser::tests::empty_input", "parser::tests::trailing_comma"],
        },
        "output": output(7),
    })
}

fn pre_commit_executed(_: &Detail) -> Value {
    json!({ "command": "make pre-commit", "exit_code": 1, "output": output(14) })
}

fn gates_evaluated(_: &Detail) -> Value {
    let mut data = gates();
    data["promise"] = json!(false);
    data["stuck"] = json!("0/3");
    data
}

fn iteration_end(detail: &Detail) -> Value {
    let mut data = gates();
    data["started_at"] = json!(detail.at);
    data["ended_at"] = json!(detail.at);
    data["completion"] = json!(false);
    data["promise"] = json!(false);
    data
}

/// The kind of tool output that events quote.
fn output(lines: usize) -> String {
    "test parser::tests::empty_input ... FAILED\n\
     thread 'parser' panicked at \"left == right\"\n"
        .repeat(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(directory: &Path, events: u64) -> GeneratedLoop {
        let loop_id = LoopId::new("bench-loop").unwrap();
        let end = Timestamp::parse("2031-05-02T08:00:00Z").unwrap();
        GeneratedLoop::create(directory, loop_id, events, end).unwrap()
    }

    fn lines(generated: &GeneratedLoop) -> Vec<Value> {
        let text = fs::read_to_string(generated.events_file()).unwrap();
        let parse = |line| serde_json::from_str(line).unwrap();
        text.lines().map(parse).collect()
    }

    #[test]
    fn events_are_complete_lines_that_end_at_the_given_time() {
        let directory = tempfile::tempdir().unwrap();
        let events = lines(&generated(directory.path(), 30));
        assert_eq!(events.len(), 30);
        assert_eq!(events[29]["timestamp"], "2031-05-02T08:00:00Z");
        assert_eq!(events[12]["iteration"], 2);
    }

    #[test]
    fn a_grown_log_is_the_log_of_a_longer_loop() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut grown = generated(one.path(), 10);
        grown.append(5).unwrap();
        assert_eq!(lines(&grown).len(), 15);
        assert_eq!(lines(&grown)[14]["timestamp"], "2031-05-02T08:00:05Z");
        assert_eq!(lines(&generated(two.path(), 10)), lines(&grown)[..10]);
    }

    #[test]
    fn an_event_has_about_six_hundred_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let generated = generated(directory.path(), 12_000);
        let bytes = fs::metadata(generated.events_file()).unwrap().len();
        let average = bytes / 12_000;
        assert!((550..=650).contains(&average), "{average}");
    }

    #[test]
    fn an_existing_loop_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        generated(directory.path(), 1);
        let loop_id = LoopId::new("bench-loop").unwrap();
        let again = GeneratedLoop::create(directory.path(), loop_id, 1, Timestamp::EPOCH);
        assert!(again.is_err());
    }
}
