//! `ops-manager-alert-sink-config` (chapter 04 §2).

use std::io::Write;

use clap::Args;
use om_alerts::{ConfigError, Environment, SinkConfig};
use om_model::alerts::Severity;

use crate::args::{given, resolve_repo};
use crate::command::{CommandLine, Logging, output_error, print_document};
use crate::config::Config;
use crate::error::CliError;

/// Arguments of `ops-manager-alert-sink-config`.
#[derive(Args, Debug)]
pub struct AlertSinkConfig {
    /// Sink configuration [default: $OPS_MANAGER_ALERT_SINKS_FILE, else
    /// <repo>/config/ops-manager-alert-sinks.v1.json, else built in]
    #[arg(long, value_name = "FILE")]
    config_file: Option<String>,
    /// Repository whose config/ is looked at
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Show where alerts of this category go [default: show all sinks]
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Severity of the alert: info, warning or critical [default: that of
    /// the category]
    #[arg(long, value_name = "LEVEL")]
    severity: Option<String>,
    /// List the sinks, one per line: id, type, enabled
    #[arg(long)]
    list_sinks: bool,
    /// Do not insist that the secrets of enabled sinks are set
    #[arg(long)]
    no_env_check: bool,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for AlertSinkConfig {
    const NAME: &'static str = "ops-manager-alert-sink-config";
    const SUMMARY: &'static str = "Check the alert sinks and show where alerts go";
    const ABOUT: &'static str = "Check the alert sink configuration, and show its sinks or where \
        the alerts of one category go. Secrets are named, never shown.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager-alert-sink-config --repo . --pretty
  ops-manager-alert-sink-config --category health_critical --severity critical --pretty
  ops-manager-alert-sink-config --list-sinks --no-env-check

Exit codes: 0 valid; 1 not valid, or a secret of an enabled sink is not set.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let category = given(self.category.as_ref());
        let severity = self.check(category)?;
        let repo = given(self.repo.as_ref()).map(resolve_repo).transpose()?;
        let config = Config::alert_sinks(given(self.config_file.as_ref()), repo.as_deref())?;
        let sinks = SinkConfig::read(&config.artifact, &config.label)?;
        let (environment, checked) = (Environment::Process, !self.no_env_check);
        if checked {
            sinks.check_secrets(&environment)?;
        }
        if self.list_sinks {
            for line in sinks.list() {
                writeln!(out, "{line}").map_err(|error| output_error(&error))?;
            }
        } else if let Some(category) = category {
            let route = sinks.route(category, severity, &environment, checked);
            print_document(out, &route, self.pretty)?;
        } else {
            let catalogue = sinks.catalogue(&environment, checked);
            print_document(out, &catalogue, self.pretty)?;
        }
        Ok(0)
    }
}

impl AlertSinkConfig {
    /// Rows 1 to 3 of §2.2.
    fn check(&self, category: Option<&str>) -> Result<Option<Severity>, CliError> {
        if self.list_sinks && category.is_some() {
            let message = "--list-sinks cannot be combined with --category";
            return Err(CliError::new(message));
        }
        let Some(text) = self.severity.as_deref() else {
            return Ok(None);
        };
        if category.is_none() {
            return Err(CliError::new("--severity requires --category"));
        }
        let severity = Severity::parse(text).ok_or(ConfigError::Severity)?;
        Ok(Some(severity))
    }
}
