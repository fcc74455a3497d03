//! What a pass is told whatever its loop: thresholds, drift, alerts, hooks.
//! The passes of a fleet take the same from the environment.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use clap::Args;
use om_alerts::{Courier, Environment};
use om_http::{Backoff, Secret};
use om_model::drift::Confidence;
use om_model::envelope::Source;
use om_model::health::TransportMode;
use om_model::json;
use om_model::thresholds::HealthThresholds;
use om_model::{LoopId, TraceId};
use om_reconcile::pass::{PassPaths, PassSettings};
use om_reconcile::runner::{AlertStage, LazyResolver, PassHooks, PassPlan, TypedNumbers};
use om_reconcile::thresholds::{self, ThresholdBase};
use om_stage::{Hook, RunOptions};
use om_store::RepoLayout;
use om_transport::{ServiceClient, ServiceSettings};

use crate::args::{at_least_one, environment, given};
use crate::commands::alert_dispatch;
use crate::config::{self, Config, ConfigFile};
use crate::error::CliError;
use crate::thresholds::ThresholdFlags;

/// Flags about what is late, what is drift, and who hears about it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PassRules {
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
}

impl PassRules {
    /// What can be checked before the repository is looked at.
    pub(crate) fn check(&self) -> Result<(), CliError> {
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
        self.alerts_enabled().map(drop)
    }

    /// Flags, environment and configuration, read once.
    pub(crate) fn read(&self, layout: &RepoLayout) -> Result<PassBasis, CliError> {
        let catalog =
            Config::thresholds(given(self.thresholds_file.as_ref()), Some(layout.repo()))?;
        let profile_drift = Hook::from_env("OPS_MANAGER_PROFILE_DRIFT_SCRIPT");
        // Only a hook needs the catalog as a file.
        let catalog_file = profile_drift
            .as_ref()
            .map(|_| catalog.as_file())
            .transpose()?;
        let base = self.threshold_base(&catalog)?;
        let drift = self.drift()?;
        Ok(PassBasis {
            layout: layout.clone(),
            thresholds: thresholds::effective(&base, &self.thresholds.overrides())?,
            typed: TypedNumbers {
                thresholds: self.thresholds.overrides(),
                drift_required_streak: drift.typed_streak.clone(),
                drift_summary_window: drift.typed_window.clone(),
            },
            drift,
            hooks: PassHooks {
                health: Hook::from_env("OPS_MANAGER_HEALTH_SCRIPT"),
                telemetry_summary: Hook::from_env("OPS_MANAGER_TELEMETRY_SUMMARY_SCRIPT"),
                profile_drift,
            },
            catalog,
            catalog_file,
            alerts: self.alerts(layout.repo())?,
        })
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

    /// Alerts go out by the hook if one is set, else built in.
    fn alerts(&self, repo: &Path) -> Result<Alerts, CliError> {
        let config_file = given(self.alert_config_file.as_ref());
        if !self.alerts_enabled()? {
            return Ok(Alerts::Off);
        }
        if let Some(hook) = Hook::from_env("OPS_MANAGER_ALERT_DISPATCH_SCRIPT") {
            let config_file = config::named(config_file, config::ALERT_SINKS_VARIABLE);
            return Ok(Alerts::Hook { hook, config_file });
        }
        let (flag, repo) = (config_file.map(str::to_owned), repo.to_owned());
        let resolver = move || alert_dispatch::resolver(flag.as_deref(), &repo);
        Ok(Alerts::BuiltIn(Arc::new(LazyLock::new(Box::new(resolver)))))
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
                exit_code: stage_exit_code(output.exit_code),
                ..CliError::new("")
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

/// Who hears of a pass; one of these serves all of them.
enum Alerts {
    Off,
    Hook {
        hook: Hook,
        config_file: Option<String>,
    },
    BuiltIn(LazyResolver),
}

/// The rules, with all that they refer to: what every pass starts from.
pub(crate) struct PassBasis {
    layout: RepoLayout,
    thresholds: HealthThresholds,
    drift: DriftSettings,
    hooks: PassHooks,
    typed: TypedNumbers,
    catalog: Config,
    /// Lives as long as a hook may need it.
    catalog_file: Option<ConfigFile>,
    alerts: Alerts,
}

/// What differs from pass to pass.
pub(crate) struct PassTarget {
    pub(crate) loop_id: LoopId,
    pub(crate) paths: PassPaths,
    pub(crate) transport: TransportMode,
    pub(crate) max_events: u64,
    pub(crate) from_start: bool,
    pub(crate) retry: Backoff,
    pub(crate) trace_id: TraceId,
}

impl PassBasis {
    /// Everything that one pass needs to know.
    pub(crate) fn plan(&self, target: PassTarget) -> PassPlan {
        let files = self.layout.loop_files(&target.loop_id);
        let catalog_file = self.catalog_file.as_ref();
        PassPlan {
            source: Source {
                repo_path: self.layout.repo().display().to_string(),
                loop_id: target.loop_id,
            },
            paths: target.paths,
            settings: PassSettings {
                transport: target.transport,
                max_events: target.max_events,
                from_start: target.from_start,
                retry_attempts: target.retry.attempts,
                retry_backoff_seconds: target.retry.seconds,
                thresholds: self.thresholds.clone(),
                drift_min_confidence: self.drift.min_confidence,
                drift_required_streak: self.drift.required_streak,
                drift_summary_window: self.drift.summary_window,
                thresholds_file: self.catalog.label.clone(),
            },
            trace_id: target.trace_id,
            evidence_dir: files.scope_dir(),
            files,
            catalog: self.catalog.artifact.clone(),
            catalog_file: catalog_file.map_or(String::new(), |file| file.path.clone()),
            hooks: self.hooks.clone(),
            typed: self.typed.clone(),
            alerts: self.alert_stage(),
        }
    }

    fn alert_stage(&self) -> AlertStage {
        match &self.alerts {
            Alerts::Off => AlertStage::Off,
            Alerts::Hook { hook, config_file } => AlertStage::Hook {
                hook: hook.clone(),
                config_file: config_file.clone(),
            },
            Alerts::BuiltIn(resolver) => AlertStage::BuiltIn {
                resolver: Arc::clone(resolver),
                courier: Courier::new(Environment::Process),
            },
        }
    }
}

/// The client of the service at `base_url`, with `token` or that of the
/// environment.
pub(crate) fn service(
    base_url: &str,
    token: Option<Secret>,
    retry: Backoff,
) -> Result<ServiceClient, CliError> {
    let settings = ServiceSettings {
        token: token.or_else(|| environment("OPS_MANAGER_SERVICE_TOKEN").map(Secret::new)),
        retry,
        ..ServiceSettings::new(Secret::new(base_url))
    };
    let hook = Hook::from_env("OPS_MANAGER_SERVICE_CLIENT_SCRIPT");
    Ok(ServiceClient::new(settings, hook)?)
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
