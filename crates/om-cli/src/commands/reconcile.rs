//! `ops-manager-reconcile` (chapter 02 §2).

mod rules;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_http::{Backoff, Secret};
use om_model::health::TransportMode;
use om_reconcile::pass::PassPaths;
use om_reconcile::runner;
use om_store::{LoopFile, LoopLayout, RepoLayout, Scope};
use om_transport::{LocalTransport, ServiceClient, SpriteServiceTransport, TypedRetry};

use super::health::parsed;
use crate::args::{self, Target, at_least_one, given, non_negative};
use crate::command::{CommandLine, Logging, block_on, now, print_document};
use crate::console::progress::LogProgress;
use crate::error::CliError;

pub(crate) use rules::{PassBasis, PassRules, PassTarget, service};

/// Arguments of `ops-manager-reconcile`.
#[derive(Args, Debug)]
pub struct Reconcile {
    #[command(flatten)]
    target: Target,
    /// How to reach the loop: local or sprite_service [default: local]
    #[arg(long, value_name = "MODE")]
    transport: Option<String>,
    /// Where the sprite service answers; needed for sprite_service
    #[arg(long, value_name = "URL")]
    service_base_url: Option<String>,
    /// Shared token of the service; better given as
    /// $OPS_MANAGER_SERVICE_TOKEN, which no process list shows
    #[arg(long, value_name = "TOKEN")]
    service_token: Option<String>,
    /// Trace id of the pass [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Requests per service call; recorded for both transports [default: 3]
    #[arg(long, value_name = "N")]
    retry_attempts: Option<String>,
    /// Seconds between them, growing by as much each time [default: 1]
    #[arg(long, value_name = "N")]
    retry_backoff_seconds: Option<String>,
    /// Most events to consume, 0 for all [default: 0]
    #[arg(long, value_name = "N")]
    max_events: Option<String>,
    /// Replay the whole event log, whatever the cursor says
    #[arg(long)]
    from_start: bool,
    #[command(flatten)]
    rules: PassRules,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
    #[command(flatten)]
    files: Files,
}

/// Files that may lie elsewhere than under .superloop/ops-manager/<loop>/.
#[derive(Args, Clone, Debug, Default)]
#[allow(clippy::struct_field_names, reason = "named as the flags")]
#[command(next_help_heading = "Files elsewhere than under .superloop/ops-manager/<loop>/")]
struct Files {
    /// Position in the event log [default: cursor.json]
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<String>,
    /// Projected state [default: state.json]
    #[arg(long, value_name = "FILE")]
    state_file: Option<String>,
    /// Drift state [default: profile-drift.json]
    #[arg(long, value_name = "FILE")]
    drift_state_file: Option<String>,
    /// Drift rows [default: telemetry/profile-drift.jsonl]
    #[arg(long, value_name = "FILE")]
    drift_history_file: Option<String>,
    /// Order diagnostics [default: sequence-state.json]
    #[arg(long, value_name = "FILE")]
    sequence_state_file: Option<String>,
    /// Order rows [default: telemetry/sequence.jsonl]
    #[arg(long, value_name = "FILE")]
    sequence_telemetry_file: Option<String>,
    /// Last heartbeat [default: heartbeat.json]
    #[arg(long, value_name = "FILE")]
    heartbeat_state_file: Option<String>,
    /// Heartbeat rows [default: telemetry/heartbeat.jsonl]
    #[arg(long, value_name = "FILE")]
    heartbeat_telemetry_file: Option<String>,
    /// Alert dispatch state [default: alert-dispatch-state.json]
    #[arg(long, value_name = "FILE")]
    alert_dispatch_state_file: Option<String>,
    /// Alert delivery rows [default: telemetry/alerts.jsonl]
    #[arg(long, value_name = "FILE")]
    alert_dispatch_telemetry_file: Option<String>,
}

impl CommandLine for Reconcile {
    const NAME: &'static str = "ops-manager-reconcile";
    const SUMMARY: &'static str = "Run one supervision pass over one loop";
    const ABOUT: &'static str = "One supervision pass over one loop: take a snapshot and the new \
        events, project the lifecycle, check heartbeat and order, evaluate health, escalate \
        what changed, and record it all in one atomic commit.";
    const DETAILS: &'static str = "\
Prints the loop's state, or its health document if the loop could not be
observed. Two passes over one loop take turns.

Hooks, each an executable that replaces a stage:
  OPS_MANAGER_THRESHOLD_PROFILE_SCRIPT, OPS_MANAGER_HEALTH_SCRIPT,
  OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT, OPS_MANAGER_PROFILE_DRIFT_SCRIPT,
  OPS_MANAGER_ALERT_DISPATCH_SCRIPT, OPS_MANAGER_SERVICE_CLIENT_SCRIPT

Examples:
  ops-manager-reconcile --repo . --loop nightly --pretty
  ops-manager-reconcile --repo . --loop nightly --threshold-profile strict
  ops-manager-reconcile --repo . --loop nightly --from-start
  ops-manager-reconcile --repo . --loop nightly --transport sprite_service \\
    --service-base-url http://127.0.0.1:8787

Exit codes: 0 observed; 1 the loop could not be observed (recorded, health on
stdout), or a flag or file is invalid (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let checked = self.check()?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let scope = Scope::open(layout.loop_files(&loop_id).scope_dir())?;
        let files = layout.loop_files(&loop_id);
        let basis = self.rules.read(&layout)?;
        let plan = basis.plan(PassTarget {
            loop_id: loop_id.clone(),
            paths: self.files.paths(&files),
            transport: checked.transport,
            max_events: checked.max_events,
            from_start: self.from_start,
            retry: checked.retry,
            trace_id: args::trace_id(self.trace_id.as_ref()),
        });
        let _turn = scope.run_lock("reconcile")?;
        let outcome = match checked.transport {
            TransportMode::Local => {
                let mut progress = LogProgress::default();
                let mut tell = |done, total| progress.update(done, total);
                let mut transport = LocalTransport::new(&layout, &loop_id).with_progress(&mut tell);
                block_on(runner::run(&plan, &scope, &mut transport, now))??
            }
            TransportMode::SpriteService => {
                let mut transport =
                    SpriteServiceTransport::new(self.service(&checked)?, &layout, &loop_id);
                block_on(runner::run(&plan, &scope, &mut transport, now))??
            }
        };
        print_document(out, &outcome.document, self.pretty)?;
        Ok(u8::from(!outcome.success))
    }
}

/// What can be checked before the repository is looked at.
struct Checked {
    max_events: u64,
    retry: Backoff,
    transport: TransportMode,
}

impl Reconcile {
    /// Rows 2 to 9 of §2.2.
    fn check(&self) -> Result<Checked, CliError> {
        self.target.check_given()?;
        let max_events = non_negative("--max-events", self.max_events.as_ref(), 0)?;
        let retry = Backoff {
            attempts: at_least_one("--retry-attempts", self.retry_attempts.as_ref(), 3)?,
            seconds: non_negative(
                "--retry-backoff-seconds",
                self.retry_backoff_seconds.as_ref(),
                1,
            )?,
        };
        self.rules.check()?;
        let transport = parsed(
            self.transport.as_ref(),
            TransportMode::parse,
            || "--transport must be local or sprite_service",
        )?;
        Ok(Checked {
            max_events,
            retry,
            transport,
        })
    }

    /// The service's client: row 16 of §2.2, then what cannot be a client.
    fn service(&self, checked: &Checked) -> Result<ServiceClient, CliError> {
        let base_url = given(self.service_base_url.as_ref()).ok_or_else(|| {
            CliError::new("--service-base-url is required when --transport sprite_service")
        })?;
        let token = given(self.service_token.as_ref()).map(Secret::new);
        let typed = TypedRetry {
            attempts: self.retry_attempts.clone(),
            seconds: self.retry_backoff_seconds.clone(),
        };
        Ok(service(base_url, token, checked.retry)?.with_typed(typed))
    }
}

/// Where the artifacts of a pass are unless flags say otherwise.
pub(crate) fn default_paths(files: &LoopLayout) -> PassPaths {
    Files::default().paths(files)
}

impl Files {
    fn paths(&self, files: &LoopLayout) -> PassPaths {
        let at = |flag: &Option<String>, default: PathBuf| {
            given(flag.as_ref()).map_or(default, PathBuf::from)
        };
        PassPaths {
            state: at(&self.state_file, files.path(LoopFile::State)),
            cursor: at(&self.cursor_file, files.path(LoopFile::Cursor)),
            health: files.path(LoopFile::Health),
            intents: files.path(LoopFile::Intents),
            heartbeat_state: at(&self.heartbeat_state_file, files.path(LoopFile::Heartbeat)),
            heartbeat_rows: at(
                &self.heartbeat_telemetry_file,
                files.path(LoopFile::HeartbeatRows),
            ),
            sequence_state: at(
                &self.sequence_state_file,
                files.path(LoopFile::SequenceState),
            ),
            sequence_rows: at(
                &self.sequence_telemetry_file,
                files.path(LoopFile::SequenceRows),
            ),
            escalations: files.path(LoopFile::Escalations),
            reconcile_rows: files.path(LoopFile::ReconcileRows),
            control_rows: files.path(LoopFile::ControlRows),
            transport_health: files.path(LoopFile::TransportHealth),
            drift_state: at(&self.drift_state_file, files.path(LoopFile::ProfileDrift)),
            drift_history: at(
                &self.drift_history_file,
                files.path(LoopFile::ProfileDriftRows),
            ),
            alert_dispatch_state: at(
                &self.alert_dispatch_state_file,
                files.path(LoopFile::AlertDispatchState),
            ),
            alert_rows: at(
                &self.alert_dispatch_telemetry_file,
                files.path(LoopFile::AlertRows),
            ),
        }
    }
}
