//! `ops-manager-promotion-ci` (chapter 07 §2).

use std::io::Write;

use clap::Args;
use om_promotion::ci::{CiRequest, run};

use crate::args::{required, resolve_repo};
use crate::command::{CommandLine, Logging};
use crate::error::CliError;
use crate::promotion::{EvaluatorFlags, finish, text, with_pipeline};

/// Arguments of `ops-manager-promotion-ci`.
#[derive(Args, Debug)]
pub struct PromotionCi {
    /// Repository whose fleet is judged [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    #[command(flatten)]
    evaluator: EvaluatorFlags,
    /// Where the gates keep their decision [default: <fleet>/promotion-state.json]
    #[arg(long, value_name = "FILE")]
    promotion_state_file: Option<String>,
    /// Where the gates append it [default: <fleet>/telemetry/promotion.jsonl]
    #[arg(long, value_name = "FILE")]
    promotion_telemetry_file: Option<String>,
    /// Summary in Markdown [default: <fleet>/promotion-ci-summary.md]
    #[arg(long, value_name = "FILE")]
    summary_file: Option<String>,
    /// Result of the check [default: <fleet>/promotion-ci-result.json]
    #[arg(long, value_name = "FILE")]
    result_file: Option<String>,
    /// Trace id for the gates
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Exit with 2 when the decision is hold
    #[arg(long)]
    fail_on_hold: bool,
    /// Without evidence, skip the check instead of holding
    #[arg(long)]
    skip_on_missing_evidence: bool,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for PromotionCi {
    const NAME: &'static str = "ops-manager-promotion-ci";
    const SUMMARY: &'static str = "Run the promotion gates in a pipeline, with files and a summary";
    const ABOUT: &'static str = "Run the promotion gates in a pipeline: the decision as a file, a \
        Markdown summary beside it, and optionally no check at all while there is no evidence.";
    const DETAILS: &'static str = "\
The summary is also appended to $GITHUB_STEP_SUMMARY if that is set. Evidence
is the status file if one is named, else the fleet's state and registry; the
record of handoff; the record of drills.

OPS_MANAGER_PROMOTION_GATES_SCRIPT replaces the gates.

Examples:
  ops-manager-promotion-ci --repo . --skip-on-missing-evidence
  ops-manager-promotion-ci --repo . --fail-on-hold --result-file result.json

Exit codes: 0 promote, hold or skipped; 2 hold with --fail-on-hold; otherwise
that of the gates.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let request = CiRequest {
            repo: resolve_repo(required("--repo", self.repo.as_ref())?)?,
            overrides: self.evaluator.as_given(),
            promotion_state_file: text(&self.promotion_state_file),
            promotion_telemetry_file: text(&self.promotion_telemetry_file),
            summary_file: text(&self.summary_file),
            result_file: text(&self.result_file),
            trace_id: text(&self.trace_id),
            fail_on_hold: self.fail_on_hold,
            skip_on_missing_evidence: self.skip_on_missing_evidence,
            pretty: self.pretty,
        };
        let printed = with_pipeline(|pipeline| run(&request, pipeline))?;
        finish(out, &printed, self.pretty)
    }
}
