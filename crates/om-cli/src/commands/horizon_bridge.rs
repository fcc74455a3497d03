//! `ops-manager-horizon-bridge` (chapter 08 part I).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_horizon::Bridge;
use om_model::json;
use om_store::RepoLayout;

use crate::args::{self, absolute, given, required, resolve_repo};
use crate::command::{CommandLine, Logging, print_document};
use crate::error::CliError;

/// Arguments of `ops-manager-horizon-bridge`.
#[derive(Args, Debug)]
pub struct HorizonBridge {
    /// Repository whose .superloop/ tree is read and written [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Where envelopes come from, need not exist
    /// [default: <repo>/.superloop/horizons/outbox]
    #[arg(long, value_name = "DIR")]
    outbox_dir: Option<String>,
    /// Where files go [default: <fleet>/horizon-bridge-claims]
    #[arg(long, value_name = "DIR")]
    claims_dir: Option<String>,
    /// Queue, read and replaced [default: <fleet>/horizon-bridge-queue.json]
    #[arg(long, value_name = "FILE")]
    queue_file: Option<String>,
    /// State, read and replaced [default: <fleet>/horizon-bridge-state.json]
    #[arg(long, value_name = "FILE")]
    state_file: Option<String>,
    /// Rows are appended here
    /// [default: <fleet>/telemetry/horizon-bridge.jsonl]
    #[arg(long, value_name = "FILE")]
    telemetry_file: Option<String>,
    /// Take at most this many files, 0 for all [default: 0]
    #[arg(long, value_name = "N")]
    max_files: Option<String>,
    /// Trace id to record [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for HorizonBridge {
    const NAME: &'static str = "ops-manager-horizon-bridge";
    const SUMMARY: &'static str = "Queue the envelopes of the Horizon outbox for a person";
    const ABOUT: &'static str = "Take every file of the Horizon outbox, check its envelopes \
        against horizon-envelope-contract-v1, and queue the new ones as intents that wait for a \
        person. Nothing is executed.";
    const DETAILS: &'static str = "\
Files, queue, state and rows change in one commit: whatever happens, an envelope
is queued exactly once or still in the outbox. A file with a line that breaks
the contract is rejected as a whole. A file whose last line has no newline is
left alone until it has one, or has not changed for a minute. What a producer
still writes into a file that has been taken is queued by the next run.

A line that is JSON and can be no envelope (its packet is no object, or a
second document follows) ends the run with an error; its file is set aside, and
the next run rejects it.

Files, under .superloop/ops-manager/fleet/: horizon-bridge-queue.json,
horizon-bridge-state.json (also printed), telemetry/horizon-bridge.jsonl, and
horizon-bridge-claims/{processed,rejected}/ with the files themselves.

Examples:
  ops-manager-horizon-bridge --repo . --pretty
  ops-manager-horizon-bridge --repo . | jq .summary
  ops-manager horizon queue --repo .

Exit codes: 0 done, or nothing to do; 2 a file was rejected, the document is
printed; 1 nothing was queued (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = required("--repo", self.repo.as_ref())?;
        let max_files = self.max_files()?;
        let layout = RepoLayout::new(resolve_repo(repo)?);
        let usual = Bridge::new(layout, args::trace_id(self.trace_id.as_ref()));
        let bridge = Bridge {
            outbox_dir: path(self.outbox_dir.as_ref(), usual.outbox_dir)?,
            claims_dir: path(self.claims_dir.as_ref(), usual.claims_dir)?,
            queue_file: path(self.queue_file.as_ref(), usual.queue_file)?,
            state_file: path(self.state_file.as_ref(), usual.state_file)?,
            telemetry_file: path(self.telemetry_file.as_ref(), usual.telemetry_file)?,
            max_files,
            ..usual
        };
        let evaluation = om_horizon::run(&bridge)?;
        print_document(out, &evaluation.state, self.pretty)?;
        Ok(evaluation.exit_code())
    }
}

impl HorizonBridge {
    fn max_files(&self) -> Result<u64, CliError> {
        let Some(text) = &self.max_files else {
            return Ok(0);
        };
        json::digits_text(text).ok_or_else(|| CliError::new("--max-files must be an integer >= 0"))
    }
}

/// A path that somebody gave, absolute, else the usual one.
pub(super) fn path(flag: Option<&String>, usual: PathBuf) -> Result<PathBuf, CliError> {
    given(flag).map_or(Ok(usual), absolute)
}
