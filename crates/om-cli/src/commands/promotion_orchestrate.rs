//! `ops-manager-promotion-orchestrate` (chapter 07 §4).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_promotion::orchestrate::{OrchestrateRequest, run};

use crate::args::{required, resolve_repo};
use crate::command::{CommandLine, Logging};
use crate::error::CliError;
use crate::promotion::{
    ContextFlags, EvaluatorFlags, GovernanceFlags, failed, finish, text, with_pipeline,
};

/// Arguments of `ops-manager-promotion-orchestrate`.
#[derive(Args, Debug)]
pub struct PromotionOrchestrate {
    /// Repository whose rollout it is about [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// What to do after the check: dry_run, apply or rollback [required]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// What to apply: expand or resume [default: expand]
    #[arg(long, value_name = "INTENT")]
    apply_intent: Option<String>,
    /// Percent points by which to expand, 1 to 100 [default: 25]
    #[arg(long, value_name = "POINTS")]
    expand_step: Option<String>,
    #[command(flatten)]
    evaluator: EvaluatorFlags,
    /// Without evidence, skip the check instead of holding
    #[arg(long)]
    skip_on_missing_evidence: bool,
    /// End with 2 when the check holds, but for a rollback
    #[arg(long)]
    fail_on_hold: bool,
    /// Result of the check [default: <fleet>/promotion-ci-result.json]
    #[arg(long, value_name = "FILE")]
    promotion_ci_result_file: Option<String>,
    /// Its summary [default: <fleet>/promotion-ci-summary.md]
    #[arg(long, value_name = "FILE")]
    promotion_ci_summary_file: Option<String>,
    /// Result [default: <fleet>/promotion-orchestrate-result.json]
    #[arg(long, value_name = "FILE")]
    result_file: Option<String>,
    /// Summary in Markdown [default: <fleet>/promotion-orchestrate-summary.md]
    #[arg(long, value_name = "FILE")]
    summary_file: Option<String>,
    #[command(flatten)]
    context: ContextFlags,
    #[command(flatten)]
    governance: GovernanceFlags,
    /// Indent the output by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for PromotionOrchestrate {
    const NAME: &'static str = "ops-manager-promotion-orchestrate";
    const SUMMARY: &'static str = "Check a promotion, then preview, apply or roll it back";
    const ABOUT: &'static str = "One entry point for a promotion: run the check, then preview, \
        apply or roll back, with one result and one summary.";
    const DETAILS: &'static str = "\
apply and rollback require --by, --approval-ref, --rationale and --review-by.
apply needs the decision promote of this very check; rollback goes on whatever
happens to the check. The trace id is handed on only if it is given. Summaries
are also appended to $GITHUB_STEP_SUMMARY if that is set.

Hooks, each an executable that replaces a stage:
  OPS_MANAGER_PROMOTION_CI_SCRIPT, OPS_MANAGER_PROMOTION_APPLY_SCRIPT

Examples:
  ops-manager-promotion-orchestrate --repo . --mode dry_run --pretty
  ops-manager-promotion-orchestrate --repo . --mode apply --apply-intent expand \\
    --by kim --approval-ref CHG-88 --rationale \"promotion rollout mutation\" \\
    --review-by 2031-05-01T00:00:00Z --idempotency-key chg-88 --pretty

Exit codes: 0 done; 1 refused; otherwise that of the stage that failed, 2 for
a hold with --fail-on-hold.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let repo = required("--repo", self.repo.as_ref())?;
        let request = self.request(PathBuf::new());
        request.check().map_err(|error| failed(&error))?;
        let request = self.request(resolve_repo(repo)?);
        let printed = with_pipeline(|pipeline| run(&request, pipeline))?;
        finish(out, &printed, self.pretty)
    }
}

impl PromotionOrchestrate {
    fn request(&self, repo: PathBuf) -> OrchestrateRequest {
        let context = &self.context;
        OrchestrateRequest {
            repo,
            mode: self.mode.clone(),
            apply_intent: self.apply_intent.clone(),
            expand_step: self.expand_step.clone(),
            overrides: self.evaluator.as_given(),
            skip_on_missing_evidence: self.skip_on_missing_evidence,
            fail_on_hold: self.fail_on_hold,
            promotion_ci_result_file: text(&self.promotion_ci_result_file),
            promotion_ci_summary_file: text(&self.promotion_ci_summary_file),
            result_file: text(&self.result_file),
            summary_file: text(&self.summary_file),
            idempotency_key: text(&context.idempotency_key),
            trace_id: text(&context.trace_id),
            loop_id: text(&context.loop_id),
            horizon_ref: text(&context.horizon_ref),
            evidence_refs: context.evidence_ref.clone(),
            governance: self.governance.given(),
        }
    }
}
