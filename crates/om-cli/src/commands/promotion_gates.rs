//! `ops-manager-promotion-gates` (chapter 07 §1).

use std::io::Write;

use clap::Args;
use om_promotion::gates::{GatesRequest, run};

use crate::args::{required, resolve_repo};
use crate::command::{CommandLine, Logging};
use crate::error::CliError;
use crate::promotion::{EvaluatorFlags, failed, finish, text, with_pipeline};

/// Arguments of `ops-manager-promotion-gates`.
#[derive(Args, Debug)]
pub struct PromotionGates {
    /// Repository whose fleet is judged [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    #[command(flatten)]
    evaluator: EvaluatorFlags,
    /// Where the decision is kept [default: <fleet>/promotion-state.json]
    #[arg(long, value_name = "FILE")]
    promotion_state_file: Option<String>,
    /// Where every decision is appended [default:
    /// <fleet>/telemetry/promotion.jsonl]
    #[arg(long, value_name = "FILE")]
    promotion_telemetry_file: Option<String>,
    /// Trace id to record [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// Exit with 2 when the decision is hold
    #[arg(long)]
    fail_on_hold: bool,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for PromotionGates {
    const NAME: &'static str = "ops-manager-promotion-gates";
    const SUMMARY: &'static str = "Decide whether autonomy may be widened: promote or hold";
    const ABOUT: &'static str = "Decide on evidence whether a fleet's autonomy may be widened. \
        Five gates look at governance, outcomes of autonomous runs, the backlog of people, \
        pauses and suppressions, and incident drills; one that fails holds the promotion.";
    const DETAILS: &'static str = "\
<fleet> is <repo>/.superloop/ops-manager/fleet. Evidence that is missing, too
old or broken holds; evidence of a wrong type is an error, and the earlier
decision stays. The decision shows the evidence that each gate used.

OPS_MANAGER_FLEET_STATUS_SCRIPT replaces the fleet status stage.

Examples:
  ops-manager-promotion-gates --repo . --pretty
  ops-manager-promotion-gates --repo . --fail-on-hold | jq .summary

Exit codes: 0 promote or hold; 2 hold with --fail-on-hold; 1 evidence of a
wrong type, or a flag or file is invalid.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = required("--repo", self.repo.as_ref())?;
        let overrides = self.evaluator.as_typed();
        overrides
            .thresholds
            .read()
            .map_err(|error| failed(&error))?;
        let request = GatesRequest {
            repo: resolve_repo(repo)?,
            overrides,
            promotion_state_file: text(&self.promotion_state_file),
            promotion_telemetry_file: text(&self.promotion_telemetry_file),
            trace_id: text(&self.trace_id),
            fail_on_hold: self.fail_on_hold,
        };
        let printed = with_pipeline(|pipeline| run(&request, pipeline))?;
        finish(out, &printed, self.pretty)
    }
}
