//! `ops-manager-loop-run-snapshot` (chapter 01 §4).

use std::io::Write;

use clap::Args;
use om_model::TraceId;
use om_store::RepoLayout;
use om_transport::{LocalTransport, SnapshotContext, SnapshotRequest};

use crate::args::{Target, given};
use crate::command::{CommandLine, Logging, now, print_document};
use crate::console::progress::LogProgress;
use crate::error::CliError;

/// Arguments of `ops-manager-loop-run-snapshot`.
#[derive(Args, Debug)]
pub struct LoopRunSnapshot {
    #[command(flatten)]
    target: Target,
    /// Run id to report instead of the artifacts' own
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Trace id to carry in the envelope [default: none]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for LoopRunSnapshot {
    const NAME: &'static str = "ops-manager-loop-run-snapshot";
    const SUMMARY: &'static str = "Print one loop as it is now";
    const ABOUT: &'static str = "Print one loop at this moment, from the runtime's own files, as \
        a loop_run_snapshot envelope. Reads only.";
    const DETAILS: &'static str = "\
Reads .superloop/state.json, .superloop/active-run.json and, under
.superloop/loops/<loop>/, events.jsonl (required), run-summary.json,
approval.json and heartbeat.v1.json.

Examples:
  ops-manager-loop-run-snapshot --repo . --loop nightly --pretty

Exit codes: 0 printed; 1 a file is missing or cannot be read (error: line on
stderr, nothing on stdout).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let (repo, loop_id) = self.target.resolve()?;
        let request = SnapshotRequest {
            context: SnapshotContext {
                now: now(),
                trace_id: given(self.trace_id.as_ref()).and_then(TraceId::new),
                run_id: given(self.run_id.as_ref()).map(str::to_owned),
            },
            known: None,
        };
        let mut progress = LogProgress::default();
        let mut tell = |done, total| progress.update(done, total);
        let transport = LocalTransport::new(&RepoLayout::new(repo), &loop_id);
        let snapshot = transport.with_progress(&mut tell).snapshot(&request)?;
        print_document(out, &snapshot, self.pretty)?;
        Ok(0)
    }
}
