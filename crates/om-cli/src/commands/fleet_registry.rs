//! `ops-manager-fleet-registry` (chapter 05 §1).

use std::io::{self, Write};

use clap::Args;
use om_registry::{RegistryStage, Rejection, StageFailure, Warning};

use crate::args::{given, required, resolve_repo};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::error::CliError;

/// Arguments of `ops-manager-fleet-registry`.
#[derive(Args, Debug)]
pub struct FleetRegistry {
    /// Repository whose fleet it is [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Registry [default: <repo>/.superloop/ops-manager/fleet/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Show only this loop; everything is checked all the same
    #[arg(long = "loop", value_name = "ID")]
    loop_id: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for FleetRegistry {
    const NAME: &'static str = "ops-manager-fleet-registry";
    const SUMMARY: &'static str = "Check the fleet registry and show it with every default";
    const ABOUT: &'static str = "Check the registry of a fleet, which loops there are and what \
        may happen to them, and print it with every default filled in. Nothing is written.";
    const DETAILS: &'static str = "\
The registry is JSON that people write (ops-manager fleet init makes one, and
ops-manager fleet policy set turns its switches). Only schemaVersion \"v1\" and
loops[].loopId are required.

  loops[]         loopId, enabled, transport (local, sprite_service),
                  service.baseUrl, .tokenEnv, .retryAttempts,
                  .retryBackoffSeconds, sprite, metadata
  policy          mode (advisory, guarded_auto), suppressions (loop id or * to
                  categories), noiseControls.dedupeWindowSeconds
  policy.autonomous
    .allow        categories, intents
    .thresholds   minSeverity, minConfidence
    .safety       killSwitch, maxActionsPerRun, maxActionsPerLoop,
                  cooldownSeconds
    .governance   actor, approvalRef, rationale, changedAt, reviewBy: required
                  for guarded_auto
    .rollout      canaryPercent, scope.loopIds, frozenLoopIds, selector.salt,
                  pause.manual, autoPause.*

Every rule that is broken is listed, with its line. Members that nobody reads
are kept, and warned about on stderr.

Examples:
  ops-manager-fleet-registry --repo . --pretty
  ops-manager-fleet-registry --repo . --loop nightly --pretty

Exit codes: 0 valid; 1 not valid, the review deadline of guarded_auto has
passed, or there is no such loop.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = resolve_repo(required("--repo", self.repo.as_ref())?)?;
        let stage = RegistryStage::new(&repo, given(self.registry_file.as_ref()));
        let evaluation = stage.read(now()).map_err(refused)?;
        let warnings = evaluation.warnings.clone();
        let registry = evaluation.valid().map_err(refused)?;
        let shown = match given(self.loop_id.as_ref()) {
            None => registry,
            Some(id) => registry.only(id).ok_or_else(|| {
                CliError::new(format!("loop not found in registry: {id} ({})", stage.file))
            })?,
        };
        warn(&stage.file, &warnings);
        print_document(out, &shown, self.pretty)?;
        Ok(0)
    }
}

/// A rejected registry as this command and every stage of it prints it.
pub(crate) fn refused(rejection: Rejection) -> CliError {
    let StageFailure { exit_code, text } = rejection.into();
    CliError::verbatim(text, exit_code)
}

/// What is probably not meant, on stderr (decision D5).
fn warn(file: &str, warnings: &[Warning]) {
    for warning in warnings {
        // Nobody is left to tell if stderr is gone too.
        let _ = writeln!(io::stderr(), "warning: {file}: {warning}");
    }
}
