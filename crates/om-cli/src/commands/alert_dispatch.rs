//! `ops-manager-alert-dispatch` (chapter 04 §3).

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use om_alerts::{
    Courier, DispatchPaths, DispatchRequest, Environment, Resolver, RetryMode, SinkConfig, dispatch,
};
use om_stage::Hook;
use om_store::{RepoLayout, Scope};

use crate::args::{Target, given, non_negative, trace_id};
use crate::command::{CommandLine, Logging, block_on, now, print_document};
use crate::config::{self, ALERT_SINKS_VARIABLE, Config};
use crate::error::CliError;

/// The hook that replaces the built-in resolver.
const RESOLVER_VARIABLE: &str = "OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT";

/// Arguments of `ops-manager-alert-dispatch`.
#[derive(Args, Debug)]
pub struct AlertDispatch {
    #[command(flatten)]
    target: Target,
    /// Escalations to deliver [default:
    /// <repo>/.superloop/ops-manager/<loop>/escalations.jsonl]
    #[arg(long, value_name = "FILE")]
    escalations_file: Option<String>,
    /// Cursor and failed deliveries [default: alert-dispatch-state.json beside them]
    #[arg(long, value_name = "FILE")]
    dispatch_state_file: Option<String>,
    /// Delivery rows [default: telemetry/alerts.jsonl beside them]
    #[arg(long, value_name = "FILE")]
    dispatch_telemetry_file: Option<String>,
    /// Links everything that is written [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Sink configuration [default: $OPS_MANAGER_ALERT_SINKS_FILE, else
    /// <repo>/config/ops-manager-alert-sinks.v1.json, else built in]
    #[arg(long, value_name = "FILE")]
    alert_config_file: Option<String>,
    /// Most new escalations to look at, 0 for all [default: 0]
    #[arg(long, value_name = "N")]
    max_escalations: Option<String>,
    /// Of earlier failures, try only those again that are due
    #[arg(long)]
    respect_backoff: bool,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for AlertDispatch {
    const NAME: &'static str = "ops-manager-alert-dispatch";
    const SUMMARY: &'static str = "Deliver escalations to the alert sinks";
    const ABOUT: &'static str = "Deliver the escalations of a loop that were not seen yet to the \
        alert sinks, and try every failed delivery again. Each row is recorded before the next \
        one is sent.";
    const DETAILS: &'static str = "\
Prints the dispatch state. Two runs for one loop take turns.

Hook, an executable that replaces the lookup of sinks:
  OPS_MANAGER_ALERT_SINK_CONFIG_SCRIPT

Examples:
  ops-manager-alert-dispatch --repo . --loop nightly --pretty
  ops-manager-alert-dispatch --repo . --loop nightly --max-escalations 1 --respect-backoff

Exit codes: 0 every row was looked at, whatever the sinks said; 1 a flag or
file is invalid.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let max_escalations = non_negative("--max-escalations", self.max_escalations.as_ref(), 0)?;
        let (repo, loop_id) = self.target.resolve()?;
        let layout = RepoLayout::new(repo);
        let files = layout.loop_files(&loop_id);
        let request = DispatchRequest {
            repo_path: layout.repo().display().to_string(),
            trace_id: trace_id(self.trace_id.as_ref()),
            paths: self.paths(DispatchPaths::of(&files)),
            max_escalations,
            retry: if self.respect_backoff {
                RetryMode::Due
            } else {
                RetryMode::All
            },
            loop_id,
        };
        let resolver = resolver(given(self.alert_config_file.as_ref()), layout.repo());
        let courier = Courier::new(Environment::Process);
        let scope = Scope::open(files.scope_dir())?;
        let state = block_on(dispatch(&request, &scope, &resolver, &courier, now))??;
        print_document(out, &state, self.pretty)?;
        Ok(0)
    }
}

impl AlertDispatch {
    fn paths(&self, default: DispatchPaths) -> DispatchPaths {
        let at = |flag: &Option<String>, default: PathBuf| {
            given(flag.as_ref()).map_or(default, PathBuf::from)
        };
        DispatchPaths {
            escalations: at(&self.escalations_file, default.escalations),
            state: at(&self.dispatch_state_file, default.state),
            telemetry: at(&self.dispatch_telemetry_file, default.telemetry),
        }
    }
}

/// What decides where alerts go: the hook if one is set, else the
/// configuration of `flag`, the environment, `repo`, or the built-in one. A
/// configuration that cannot be used is no error here: it is recorded with
/// every row that it keeps from being routed.
pub fn resolver(flag: Option<&str>, repo: &Path) -> Resolver {
    if let Some(hook) = Hook::from_env(RESOLVER_VARIABLE) {
        let config_file = config::named(flag, ALERT_SINKS_VARIABLE);
        return Resolver::Hook { hook, config_file };
    }
    match Config::alert_sinks(flag, Some(repo)) {
        Ok(config) => SinkConfig::read(&config.artifact, &config.label).into(),
        Err(error) => Resolver::Broken(format!("error: {}", error.message)),
    }
}
