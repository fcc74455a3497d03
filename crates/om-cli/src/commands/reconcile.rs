//! `ops-manager-reconcile` (chapter 02 §2).

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use clap::Args;
use om_alerts::{Courier, Environment};
use om_http::{Backoff, Secret};
use om_model::LoopId;
use om_model::drift::Confidence;
use om_model::envelope::Source;
use om_model::health::TransportMode;
use om_model::json;
use om_model::thresholds::HealthThresholds;
use om_reconcile::pass::{PassPaths, PassSettings};
use om_reconcile::runner::{self, AlertStage, PassHooks, PassPlan, TypedNumbers};
use om_reconcile::thresholds::{self, ThresholdBase};
use om_stage::{Hook, RunOptions};
use om_store::{LoopFile, LoopLayout, RepoLayout, Scope};
use om_transport::{LocalTransport, ServiceClient, ServiceSettings, SpriteServiceTransport};

use super::alert_dispatch;
use super::health::parsed;
use crate::args::{self, Target, at_least_one, environment, given, non_negative};
use crate::command::{CommandLine, Logging, block_on, now, print_document};
use crate::config::{self, Config};
use crate::console::progress::LogProgress;
use crate::error::CliError;
use crate::thresholds::ThresholdFlags;

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
    /// Threshold profile [default: $OPS_MANAGER_THRESHOLD_PROFILE, else the catalog's]
    #[arg(long, value_name = "NAME")]
    threshold_profile: Option<String>,
    /// Threshold catalog [default: $OPS_MANAGER_THRESHOLD_PROFILES_FILE, else
    /// <repo>/config/ops-manager-threshold-profiles.v1.json, else built in]
    #[arg(long, value_name = "FILE")]
    thresholds_file: Option<String>,
    #[command(flatten)]
    thresholds: ThresholdFlags,
    /// Least confidence of a recommendation that counts as drift: low, medium
    /// or high [default: $OPS_MANAGER_DRIFT_MIN_CONFIDENCE, else medium]
    #[arg(long, value_name = "LEVEL")]
    drift_min_confidence: Option<String>,
    /// Mismatches in a row before drift is active
    /// [default: $OPS_MANAGER_DRIFT_REQUIRED_STREAK, else 3]
    #[arg(long, value_name = "N")]
    drift_required_streak: Option<String>,
    /// Passes behind a recommendation
    /// [default: $OPS_MANAGER_DRIFT_SUMMARY_WINDOW, else 200]
    #[arg(long, value_name = "N")]
    drift_summary_window: Option<String>,
    /// Dispatch alerts after the pass: true or false
    /// [default: $OPS_MANAGER_ALERTS_ENABLED, else true]
    #[arg(long, value_name = "BOOL")]
    alerts_enabled: Option<String>,
    /// Alert sinks for the dispatch stage [default: $OPS_MANAGER_ALERT_SINKS_FILE]
    #[arg(long, value_name = "FILE")]
    alert_config_file: Option<String>,
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
        let catalog =
            Config::thresholds(given(self.thresholds_file.as_ref()), Some(layout.repo()))?;
        let drift_hook = Hook::from_env("OPS_MANAGER_PROFILE_DRIFT_SCRIPT");
        // Only a hook needs the catalog as a file; it lives until the end.
        let catalog_file = drift_hook.as_ref().map(|_| catalog.as_file()).transpose()?;
        let mut plan = self.plan(&checked, &layout, &loop_id, &catalog)?;
        plan.hooks.profile_drift = drift_hook;
        plan.catalog_file = catalog_file
            .as_ref()
            .map_or(String::new(), |file| file.path.clone());
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
    retry_attempts: u64,
    retry_backoff_seconds: u64,
    alerts_enabled: bool,
    transport: TransportMode,
}

impl Reconcile {
    /// Rows 2 to 9 of §2.2.
    fn check(&self) -> Result<Checked, CliError> {
        self.target.check_given()?;
        let checked = Checked {
            max_events: non_negative("--max-events", self.max_events.as_ref(), 0)?,
            retry_attempts: at_least_one("--retry-attempts", self.retry_attempts.as_ref(), 3)?,
            retry_backoff_seconds: non_negative(
                "--retry-backoff-seconds",
                self.retry_backoff_seconds.as_ref(),
                1,
            )?,
            alerts_enabled: true,
            transport: TransportMode::Local,
        };
        at_least_one(
            "--drift-required-streak",
            self.drift_required_streak.as_ref(),
            3,
        )?;
        at_least_one(
            "--drift-summary-window",
            self.drift_summary_window.as_ref(),
            200,
        )?;
        let alerts_enabled = self.alerts_enabled()?;
        let transport = parsed(
            self.transport.as_ref(),
            TransportMode::parse,
            || "--transport must be local or sprite_service",
        )?;
        Ok(Checked {
            alerts_enabled,
            transport,
            ..checked
        })
    }

    /// The service's client: row 16 of §2.2, then what cannot be a client.
    fn service(&self, checked: &Checked) -> Result<ServiceClient, CliError> {
        let base_url = given(self.service_base_url.as_ref()).ok_or_else(|| {
            CliError::new("--service-base-url is required when --transport sprite_service")
        })?;
        let token = given(self.service_token.as_ref())
            .map(str::to_owned)
            .or_else(|| environment("OPS_MANAGER_SERVICE_TOKEN"));
        let settings = ServiceSettings {
            token: token.map(Secret::new),
            retry: Backoff {
                attempts: checked.retry_attempts,
                seconds: checked.retry_backoff_seconds,
            },
            ..ServiceSettings::new(Secret::new(base_url))
        };
        let hook = Hook::from_env("OPS_MANAGER_SERVICE_CLIENT_SCRIPT");
        Ok(ServiceClient::new(settings, hook)?)
    }

    /// Alerts go out by the hook if one is set, else built in.
    fn alert_stage(&self, enabled: bool, layout: &RepoLayout) -> AlertStage {
        let config_file = given(self.alert_config_file.as_ref());
        if !enabled {
            return AlertStage::Off;
        }
        if let Some(hook) = Hook::from_env("OPS_MANAGER_ALERT_DISPATCH_SCRIPT") {
            let config_file = config::named(config_file, config::ALERT_SINKS_VARIABLE);
            return AlertStage::Hook { hook, config_file };
        }
        let (flag, repo) = (config_file.map(str::to_owned), layout.repo().to_owned());
        let resolver = move || alert_dispatch::resolver(flag.as_deref(), &repo);
        AlertStage::BuiltIn {
            resolver: Arc::new(LazyLock::new(Box::new(resolver))),
            courier: Courier::new(Environment::Process),
        }
    }

    /// The flag must be a boolean; the variable enables only by `true`.
    fn alerts_enabled(&self) -> Result<bool, CliError> {
        match self.alerts_enabled.as_deref() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(CliError::new("--alerts-enabled must be true or false")),
            None => Ok(environment("OPS_MANAGER_ALERTS_ENABLED").is_none_or(|v| v == "true")),
        }
    }

    /// Rows 11 to 15 of §2.2, and everything the pass needs to know.
    fn plan(
        &self,
        checked: &Checked,
        layout: &RepoLayout,
        loop_id: &LoopId,
        catalog: &Config,
    ) -> Result<PassPlan, CliError> {
        let base = self.threshold_base(catalog)?;
        let drift = self.drift()?;
        let thresholds: HealthThresholds =
            thresholds::effective(&base, &self.thresholds.overrides())?;
        let files = layout.loop_files(loop_id);
        Ok(PassPlan {
            source: Source {
                repo_path: layout.repo().display().to_string(),
                loop_id: loop_id.clone(),
            },
            files: files.clone(),
            paths: self.files.paths(&files),
            settings: PassSettings {
                transport: checked.transport,
                max_events: checked.max_events,
                from_start: self.from_start,
                retry_attempts: checked.retry_attempts,
                retry_backoff_seconds: checked.retry_backoff_seconds,
                thresholds,
                drift_min_confidence: drift.min_confidence,
                drift_required_streak: drift.required_streak,
                drift_summary_window: drift.summary_window,
                thresholds_file: catalog.label.clone(),
            },
            trace_id: args::trace_id(self.trace_id.as_ref()),
            evidence_dir: files.scope_dir(),
            catalog: catalog.artifact.clone(),
            catalog_file: catalog.label.clone(),
            hooks: PassHooks {
                health: Hook::from_env("OPS_MANAGER_HEALTH_SCRIPT"),
                telemetry_summary: Hook::from_env("OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT"),
                profile_drift: None,
            },
            typed: TypedNumbers {
                thresholds: self.thresholds.overrides(),
                drift_required_streak: drift.typed_streak,
                drift_summary_window: drift.typed_window,
            },
            alerts: self.alert_stage(checked.alerts_enabled, layout),
        })
    }

    /// The profile's values: from the hook if one is set, else resolved here.
    fn threshold_base(&self, catalog: &Config) -> Result<ThresholdBase, CliError> {
        let name = given(self.threshold_profile.as_ref())
            .map(str::to_owned)
            .or_else(|| environment("OPS_MANAGER_THRESHOLD_PROFILE"));
        let Some(hook) = Hook::from_env("OPS_MANAGER_THRESHOLD_PROFILE_SCRIPT") else {
            let resolved = thresholds::resolve(&catalog.artifact, &catalog.label, name.as_deref())?;
            return Ok(ThresholdBase::from(&resolved));
        };
        let file = catalog.as_file()?;
        let mut arguments = vec!["--profiles-file", file.path.as_str()];
        if let Some(name) = &name {
            arguments.extend(["--profile", name]);
        }
        let output = hook.run(&arguments, &RunOptions::default());
        if !output.success() {
            return Err(CliError {
                message: stage_message(&output.stderr_text(), hook.variable()),
                usage: None,
                exit_code: stage_exit_code(output.exit_code),
            });
        }
        match json::parse(&output.stdout) {
            Ok(printed) => Ok(ThresholdBase::from_stage(&printed)),
            Err(error) => Err(CliError::new(format!(
                "{} did not print JSON: {error}",
                hook.variable()
            ))),
        }
    }

    fn drift(&self) -> Result<DriftSettings, CliError> {
        let value =
            |flag: &Option<String>, variable| flag.clone().or_else(|| environment(variable));
        let confidence = value(
            &self.drift_min_confidence,
            "OPS_MANAGER_DRIFT_MIN_CONFIDENCE",
        );
        let min_confidence = match confidence {
            None => Confidence::Medium,
            Some(text) => Confidence::parse(&text).ok_or_else(|| {
                CliError::new("--drift-min-confidence must be one of: low, medium, high")
            })?,
        };
        let streak = value(
            &self.drift_required_streak,
            "OPS_MANAGER_DRIFT_REQUIRED_STREAK",
        );
        let window = value(
            &self.drift_summary_window,
            "OPS_MANAGER_DRIFT_SUMMARY_WINDOW",
        );
        Ok(DriftSettings {
            min_confidence,
            required_streak: at_least_one("--drift-required-streak", streak.as_ref(), 3)?,
            summary_window: at_least_one("--drift-summary-window", window.as_ref(), 200)?,
            typed_streak: streak,
            typed_window: window,
        })
    }
}

struct DriftSettings {
    min_confidence: Confidence,
    required_streak: u64,
    summary_window: u64,
    typed_streak: Option<String>,
    typed_window: Option<String>,
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

/// The stage's own code, but for "not executable", which is ours (1).
fn stage_exit_code(code: i32) -> u8 {
    u8::try_from(code)
        .ok()
        .filter(|code| *code != 126)
        .unwrap_or(1)
}

/// What a failed stage said, without a prefix of its own.
fn stage_message(stderr: &str, variable: &str) -> String {
    let text = stderr.trim();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    if text.is_empty() {
        format!("{variable} failed without a message")
    } else {
        text.to_owned()
    }
}
