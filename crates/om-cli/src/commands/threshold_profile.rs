//! `ops-manager-threshold-profile` (chapter 02 §4).

use std::io::Write;

use clap::Args;
use om_reconcile::thresholds;

use crate::args::{given, resolve_repo};
use crate::command::{CommandLine, Logging, output_error, print_document};
use crate::config::Config;
use crate::error::CliError;

/// Arguments of `ops-manager-threshold-profile`.
#[derive(Args, Debug)]
pub struct ThresholdProfile {
    /// Catalog [default: $OPS_MANAGER_THRESHOLD_PROFILES_FILE, else
    /// <repo>/config/ops-manager-threshold-profiles.v1.json, else built in]
    #[arg(long, value_name = "FILE")]
    profiles_file: Option<String>,
    /// Repository whose config/ is looked at
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Profile to resolve [default: the catalog's defaultProfile]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// List the names, sorted, one per line
    #[arg(long)]
    list: bool,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for ThresholdProfile {
    const NAME: &'static str = "ops-manager-threshold-profile";
    const SUMMARY: &'static str = "Resolve a named threshold profile";
    const ABOUT: &'static str = "Resolve a named threshold profile: how many seconds without an \
        event, and how many failed passes, make a loop degraded or critical.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager-threshold-profile --list
  ops-manager-threshold-profile --profile strict --pretty

Exit codes: 0 resolved; 1 unknown profile, or a catalog that cannot be used.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = given(self.repo.as_ref()).map(resolve_repo).transpose()?;
        let catalog = Config::thresholds(given(self.profiles_file.as_ref()), repo.as_deref())?;
        if self.list {
            for name in thresholds::list(&catalog.artifact, &catalog.label)? {
                writeln!(out, "{name}").map_err(|error| output_error(&error))?;
            }
            return Ok(0);
        }
        let name = given(self.profile.as_ref());
        let profile = thresholds::resolve(&catalog.artifact, &catalog.label, name)?;
        print_document(out, &profile, self.pretty)?;
        Ok(0)
    }
}
