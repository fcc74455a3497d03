//! `ops-manager-fleet-reconcile` (chapter 05 §2).

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use om_fleet::fanout::MOST_PARALLEL;
use om_fleet::outcome::StageEnd;
use om_fleet::pass::{BuiltIn, BuiltInPass, HOOK_VARIABLE, HookStage, LoopJob, Stage, Way};
use om_fleet::reconcile::{self, FailOn, FleetPlan, FleetRun};
use om_http::Backoff;
use om_model::fleet::registry::FleetLoop;
use om_model::fleet::state::FleetExecution;
use om_model::health::TransportMode;
use om_model::json;
use om_registry::{Loaded, RegistryStage};
use om_stage::Hook;
use om_store::{FleetFile, RepoLayout};
use om_transport::SpriteServiceTransport;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use super::reconcile::{PassBasis, PassRules, PassTarget, service};
use crate::args::{self, at_least_one, environment, given, non_negative, required, resolve_repo};
use crate::command::{CommandLine, Logging, now, output_error, print_document};
use crate::error::CliError;
use crate::stop::StopRequest;

/// Default of `--max-parallel`.
const MAX_PARALLEL: u64 = 2;
/// Default of `--loop-timeout-seconds` (decision D11).
const LOOP_TIMEOUT: u64 = 300;
/// Files that a process with many passes may want to have open.
const OPEN_FILES: u64 = 16_384;
/// How often it is looked whether the fan-out is asked to end.
const LOOK: Duration = Duration::from_millis(20);

/// Arguments of `ops-manager-fleet-reconcile`.
#[derive(Args, Clone, Debug, Default)]
pub struct FleetReconcile {
    /// Repository whose .superloop/ tree is read and written [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Fleet registry [default: <fleet>/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_file: Option<String>,
    /// Fleet state, replaced [default: <fleet>/state.json]
    #[arg(long, value_name = "FILE")]
    fleet_state_file: Option<String>,
    /// A row is appended here [default: <fleet>/telemetry/reconcile.jsonl]
    #[arg(long, value_name = "FILE")]
    fleet_telemetry_file: Option<String>,
    /// Most loops passed at the same time [default: 2]
    #[arg(long, value_name = "N")]
    pub(crate) max_parallel: Option<String>,
    /// Pass the loops in the order of their ids, not of the registry
    #[arg(long)]
    deterministic_order: bool,
    /// Most events to consume per loop, 0 for all [default: 0]
    #[arg(long, value_name = "N")]
    max_events: Option<String>,
    /// Replay the whole event log of every loop
    #[arg(long)]
    from_start: bool,
    /// Longest time of one loop; then it is failed/reconcile_timeout
    /// [default: 300]
    #[arg(long, value_name = "N")]
    pub(crate) loop_timeout_seconds: Option<String>,
    /// Exit 1 if some loop failed (partial), or if none succeeded (failed)
    #[arg(long, value_name = "STATUS")]
    fail_on: Option<String>,
    /// Trace id of the fan-out [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    pub(crate) trace_id: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for FleetReconcile {
    const NAME: &'static str = "ops-manager-fleet-reconcile";
    const SUMMARY: &'static str = "Run one supervision pass over every loop of the fleet";
    const ABOUT: &'static str = "One supervision pass over every enabled loop of the fleet \
        registry, several at a time; a loop that is slow, dead or broken holds no other back. \
        Records what became of each, and what that makes of the fleet.";
    const DETAILS: &'static str = "\
Prints the fleet state, which is also in fleet/state.json. Thresholds, drift
and alerts are those of ops-manager-reconcile with the same environment.

On INT, TERM or HUP nothing is started any more and what is decided is
committed; the state printed then names the loops that were not passed
(interrupted.notPassed), a telemetry row records it, and fleet/state.json
stays that of the last complete run. A second signal ends it at once.

Hooks, each an executable that replaces a stage:
  OPS_MANAGER_FLEET_REGISTRY_SCRIPT, OPS_MANAGER_RECONCILE_SCRIPT, and those
  of ops-manager-reconcile for its built-in passes

Examples:
  ops-manager-fleet-reconcile --repo . --deterministic-order --pretty
  ops-manager-fleet-reconcile --repo . --max-parallel 16 --loop-timeout-seconds 30
  ops-manager-fleet-reconcile --repo . --fail-on partial

Exit codes: 0 every loop has a result, whatever it is; 1 a flag, the registry
or a file is invalid (error: line on stderr), or what --fail-on asks for; 128
+ the signal that interrupted it; a registry hook's own code.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let checked = self.check()?;
        let planned = self.planned(&checked)?;
        let stop = StopRequest::listen()?;
        let run = fan_out(planned, &stop)?;
        if self.pretty {
            let state = json::parse(run.state.as_bytes())?;
            print_document(out, &state, true)?;
        } else {
            writeln!(out, "{}", run.state).map_err(|error| output_error(&error))?;
        }
        let interrupted = run.interrupted.as_ref().and_then(|_| stop.exit_code());
        let is_failure = checked.fail_on.is_some_and(|on| on.applies(run.status));
        Ok(interrupted.unwrap_or(u8::from(is_failure)))
    }
}

/// What can be checked before the repository is looked at.
struct Checked {
    execution: FleetExecution,
    loop_timeout: Duration,
    fail_on: Option<FailOn>,
}

impl FleetReconcile {
    /// The fan-out of `repo` with all files in their places.
    pub fn of(repo: impl Into<String>) -> Self {
        Self {
            repo: Some(repo.into()),
            ..Self::default()
        }
    }

    /// The order of §2.2, then the additive flags.
    fn check(&self) -> Result<Checked, CliError> {
        required("--repo", self.repo.as_ref())?;
        let max_parallel =
            at_least_one("--max-parallel", self.max_parallel.as_ref(), MAX_PARALLEL)?;
        let max_events = non_negative("--max-events", self.max_events.as_ref(), 0)?;
        let timeout = self.loop_timeout_seconds.as_ref();
        let timeout = at_least_one("--loop-timeout-seconds", timeout, LOOP_TIMEOUT)?;
        let fail_on = self.fail_on.as_deref().map(|text| {
            let parsed = FailOn::parse(text);
            parsed.ok_or_else(|| CliError::new("--fail-on must be partial or failed"))
        });
        Ok(Checked {
            execution: FleetExecution {
                max_parallel,
                deterministic_order: self.deterministic_order,
                from_start: self.from_start,
                max_events,
            },
            // A deadline that far away is none, and can still be computed.
            loop_timeout: Duration::from_secs(timeout.min(u64::from(u32::MAX))),
            fail_on: fail_on.transpose()?,
        })
    }

    /// Passes the loops of the fleet; `stop` cuts it short.
    pub(crate) fn pass(&self, stop: &StopRequest) -> Result<FleetRun, CliError> {
        fan_out(self.planned(&self.check()?)?, stop)
    }

    /// The checks that need no repository, for who passes it later.
    pub(crate) fn check_flags(&self) -> Result<(), CliError> {
        self.check().map(|_| ())
    }

    fn planned(&self, checked: &Checked) -> Result<Planned, CliError> {
        let layout = RepoLayout::new(resolve_repo(required("--repo", self.repo.as_ref())?)?);
        let plan = self.plan(checked, &layout)?;
        Ok((plan, self.stage(checked, &layout)))
    }

    fn plan(&self, checked: &Checked, layout: &RepoLayout) -> Result<FleetPlan, CliError> {
        let files = layout.fleet_files();
        let at = |flag: Option<&String>, file| {
            given(flag).map_or_else(|| files.path(file), PathBuf::from)
        };
        let state_file = at(self.fleet_state_file.as_ref(), FleetFile::State);
        let telemetry_file = at(self.fleet_telemetry_file.as_ref(), FleetFile::ReconcileRows);
        for file in [&state_file, &telemetry_file] {
            make_folder_of(file)?;
        }
        let loaded = load_registry(layout.repo(), self.registry_file.as_ref())?;
        Ok(FleetPlan {
            layout: layout.clone(),
            fleet_id: loaded.registry.fleet_id,
            loops: loaded.registry.loops,
            trace_id: args::trace_id(self.trace_id.as_ref()),
            state_file,
            telemetry_file,
            execution: checked.execution,
            loop_timeout: checked.loop_timeout,
            open_files: open_files(),
        })
    }

    /// The hook if one is set, else passes in this process.
    fn stage(&self, checked: &Checked, layout: &RepoLayout) -> Stage<FleetPasses> {
        let Some(hook) = Hook::from_env(HOOK_VARIABLE) else {
            return Stage::BuiltIn(FleetPasses {
                basis: PassRules::default().read(layout),
                layout: layout.clone(),
                execution: checked.execution,
            });
        };
        Stage::Hook(HookStage {
            hook,
            repo: layout.repo().display().to_string(),
            max_events: self.max_events.clone(),
            from_start: self.from_start,
        })
    }
}

/// A fan-out that can begin.
type Planned = (FleetPlan, Stage<FleetPasses>);

fn fan_out((plan, stage): Planned, stop: &StopRequest) -> Result<FleetRun, CliError> {
    let runtime = runtime(&plan)?;
    let asked = asked_to_end(stop.clone());
    let run = runtime.block_on(reconcile::run(plan, stage, environment, now, asked));
    // A pass that was given up must not hold the command back.
    runtime.shutdown_background();
    Ok(run?)
}

/// The registry stage; what a hook says on stderr passes through.
pub(crate) fn load_registry(repo: &Path, file: Option<&String>) -> Result<Loaded, CliError> {
    let stage = RegistryStage::new(repo, given(file));
    let loaded = stage
        .load(now())
        .map_err(|failure| CliError::verbatim(failure.text, failure.exit_code))?;
    if !loaded.diagnostics.is_empty() {
        // Nobody is left to tell if stderr is gone.
        let _ = io::stderr().write_all(loaded.diagnostics.as_bytes());
    }
    Ok(loaded)
}

/// Passes as `ops-manager-reconcile` makes them without flags of its own.
struct FleetPasses {
    layout: RepoLayout,
    execution: FleetExecution,
    /// What keeps that command from passing any loop is an outcome of each.
    basis: Result<PassBasis, CliError>,
}

impl BuiltIn for FleetPasses {
    fn pass(&self, job: &LoopJob) -> Result<BuiltInPass, StageEnd> {
        self.prepare(job).map_err(|error| {
            let text = format!("error: {}", error.message);
            StageEnd::text(i32::from(error.exit_code), text)
        })
    }
}

impl FleetPasses {
    fn prepare(&self, job: &LoopJob) -> Result<BuiltInPass, CliError> {
        let entry = &job.entry;
        let retry = retry(entry)?;
        let basis = self.basis.as_ref().map_err(Clone::clone)?;
        let way = match entry.transport {
            TransportMode::Local => Way::Local(self.layout.clone(), entry.loop_id.clone()),
            TransportMode::SpriteService => {
                let base_url = json::non_empty_text(entry.service.base_url.as_ref());
                let client = service(&base_url.unwrap_or_default(), job.token.clone(), retry)?;
                let loop_id = &entry.loop_id;
                let transport = SpriteServiceTransport::new(client, &self.layout, loop_id);
                Way::SpriteService(Box::new(transport))
            }
        };
        let files = self.layout.loop_files(&entry.loop_id);
        let plan = basis.plan(PassTarget {
            loop_id: entry.loop_id.clone(),
            paths: super::reconcile::default_paths(&files),
            transport: entry.transport,
            max_events: self.execution.max_events,
            from_start: self.execution.from_start,
            retry,
            trace_id: job.trace_id.clone(),
        });
        Ok(BuiltInPass { plan, way })
    }
}

/// The command's own checks of what the registry says; a local loop is not
/// passed these flags.
fn retry(entry: &FleetLoop) -> Result<Backoff, CliError> {
    let (attempts, seconds) = match entry.transport {
        TransportMode::Local => (None, None),
        TransportMode::SpriteService => (
            Some(entry.service.retry_attempts.to_string()),
            Some(entry.service.retry_backoff_seconds.to_string()),
        ),
    };
    Ok(Backoff {
        attempts: at_least_one("--retry-attempts", attempts.as_ref(), 3)?,
        seconds: non_negative("--retry-backoff-seconds", seconds.as_ref(), 1)?,
    })
}

/// Threads for every pass, and for what comes after others' commits.
fn runtime(plan: &FleetPlan) -> io::Result<Runtime> {
    let wanted = usize::try_from(plan.execution.max_parallel).unwrap_or(MOST_PARALLEL);
    let passes = wanted.min(plan.loops.len()).min(MOST_PARALLEL);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // As many again for passes that were given up.
        .max_blocking_threads(4 * passes + 16)
        .enable_all()
        .build()
}

/// Resolves to the name of the signal that asks the fan-out to end.
async fn asked_to_end(stop: StopRequest) -> String {
    let mut look = tokio::time::interval(LOOK);
    while !stop.is_made() {
        look.tick().await;
    }
    stop.signal_name().to_owned()
}

/// Raises the soft limit of open files as far as it may and has to be; the
/// limit then. Without a limit that can be read, a cautious guess.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(OPEN_FILES);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if current >= wanted {
        return current;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => current,
    }
}

/// The folder of `file` exists before anything is passed, so that a path that
/// cannot be written is told at once.
fn make_folder_of(file: &Path) -> Result<(), CliError> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match folder.map(std::fs::create_dir_all) {
        Some(Err(error)) => Err(CliError::at(file, error)),
        Some(Ok(())) | None => Ok(()),
    }
}
