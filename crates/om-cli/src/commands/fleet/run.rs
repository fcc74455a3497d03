//! `ops-manager fleet run`: the whole cycle, once or for ever.

mod cycle;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use om_model::{TraceId, json};
use om_store::{LockError, RepoLayout, RunLock};

use crate::args::{self, environment, given, interval, resolve_repo};
use crate::command::{Logging, now, output_error};
use crate::commands::fleet_reconcile::FleetReconcile;
use crate::console::fleet::cycle::line;
use crate::error::CliError;
use crate::stop::StopRequest;
use cycle::Cycle;

/// Two runners of a fleet never both act.
const RUN_LOCK: &str = "fleet-run";
/// The shortest pause between two cycles, however long one takes.
const BREATH: Duration = Duration::from_secs(1);
/// How often it is looked whether the runner is asked to end.
const LOOK: Duration = Duration::from_millis(50);

/// What it is for.
pub(super) const ABOUT: &str = "Run the whole cycle of a fleet: observe every loop, judge, plan, \
act on what is eligible inside the guardrails, and report. Once, or for ever.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
One cycle: reconcile every loop, evaluate the policy, plan the handoff; where
the mode is guarded_auto, dispatch what this very evaluation found eligible (the
registry is read again before each dispatch); read the status. Everything a
cycle writes carries one trace id.

A step that fails is named in the cycle's line. What depends on it is left out:
nothing acts on an evaluation of an earlier cycle. The next cycle tries again.

With --interval the time between two starts varies by 10 %. TERM, INT and HUP
end it: a step that runs is cut where it can be committed, the line says what
was not done; a second signal ends it at once. Only one runner per fleet: a
second one is refused at once.

Files, hooks: those of ops-manager-fleet-reconcile, -policy, -handoff, -status.

Examples:
  ops-manager fleet run
  ops-manager fleet run --interval 30s --max-parallel 16
  ops-manager fleet run --interval 1m --json | jq -c '{worst, dispatch, pending}'

Exit codes: 0 done, whatever the loops' health, or ended between two cycles; 1 a
step failed, or another runner is there; 128 + the signal that cut a cycle.";

/// Arguments of `ops-manager fleet run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Repository whose fleet it is [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Registry [default: <repo>/.superloop/ops-manager/fleet/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Run for ever, a cycle this often, e.g. 30s or 5m [default: once]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// Run one cycle; wins over --interval
    #[arg(long)]
    once: bool,
    /// Most loops passed at the same time [default: 2]
    #[arg(long, value_name = "N")]
    max_parallel: Option<String>,
    /// Longest time of one loop [default: 300]
    #[arg(long, value_name = "N")]
    loop_timeout_seconds: Option<String>,
    /// Recorded as who acts [default: $USER, else unknown]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Recorded as why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Trace id of the cycle; with --interval it gets each cycle's time added
    /// [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Print one JSON document per cycle instead of a line for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

impl Run {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let interval = self.interval()?;
        let reconcile = self.reconcile(&repo.display().to_string());
        reconcile.check_flags()?;
        let layout = RepoLayout::new(repo);
        let stop = StopRequest::listen()?;
        let _only = only_runner(&layout)?;
        for number in 1.. {
            let begun = Instant::now();
            let cycle = Cycle {
                number,
                trace_id: self.trace_id(interval.is_some()),
                reconcile: reconcile.clone(),
                requested_by: self.by.clone().unwrap_or_else(super::somebody),
                note: given(self.note.as_ref()).map(str::to_owned),
                layout: &layout,
                stop: &stop,
            };
            let report = cycle.run();
            let text = if self.json {
                json::compact(&report)
            } else {
                line(&report)
            };
            let said = writeln!(out, "{text}").and_then(|()| out.flush());
            said.map_err(|error| output_error(&error))?;
            if let Some(code) = stop.exit_code().filter(|_| report.interrupted.is_some()) {
                return Ok(code);
            }
            let Some(interval) = interval else {
                return Ok(u8::from(report.steps.has_failed()));
            };
            let pause = jittered(interval, random()).saturating_sub(begun.elapsed());
            if !wait(pause.max(BREATH), &stop) {
                return Ok(0);
            }
        }
        Ok(0)
    }

    fn interval(&self) -> Result<Option<Duration>, CliError> {
        let given = self.interval.as_deref().filter(|_| !self.once);
        given.map(|text| interval("--interval", text)).transpose()
    }

    /// The fan-out of every cycle, but for its trace.
    fn reconcile(&self, repo: &str) -> FleetReconcile {
        let mut pass = FleetReconcile::of(repo);
        pass.registry_file.clone_from(&self.registry_file);
        pass.max_parallel.clone_from(&self.max_parallel);
        pass.loop_timeout_seconds
            .clone_from(&self.loop_timeout_seconds);
        pass
    }

    /// Cycles never share a trace id, which goes into idempotency keys.
    fn trace_id(&self, one_of_many: bool) -> TraceId {
        let named = given(self.trace_id.as_ref()).map(str::to_owned);
        let named = named.or_else(|| environment("OPS_MANAGER_TRACE_ID"));
        let of_cycle = named
            .filter(|_| one_of_many)
            .map(|named| format!("{named}-{}", now().to_string().replace([':', '-'], "")));
        args::trace_id(of_cycle.as_ref().or(self.trace_id.as_ref()))
    }
}

/// The right to run cycles, at once or not at all.
fn only_runner(layout: &RepoLayout) -> Result<RunLock, CliError> {
    let acquired = RunLock::acquire(&layout.fleet_scope_dir(), RUN_LOCK, Duration::ZERO);
    acquired.map_err(|error| match error {
        LockError::Busy { pid, .. } => {
            let pid = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            let repo = layout.repo().display();
            CliError::new(format!("fleet run for {repo} is busy (pid {pid})"))
        }
        other @ LockError::Io { .. } => other.into(),
    })
}

/// `interval` give or take a tenth; `random` is any number.
fn jittered(interval: Duration, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    interval.mul_f64(0.9 + 0.2 * share)
}

fn random() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

/// Waits, unless somebody asks for the end; whether nobody did.
fn wait(pause: Duration, stop: &StopRequest) -> bool {
    let until = Instant::now() + pause;
    while !stop.is_made() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(LOOK));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_varies_by_a_tenth() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(30 * second, 0), 27 * second);
        assert_eq!(jittered(30 * second, u32::MAX), 33 * second);
        let middle = jittered(30 * second, u32::MAX / 2).as_secs_f64();
        assert!((29.99..30.01).contains(&middle), "{middle}");
    }
}
