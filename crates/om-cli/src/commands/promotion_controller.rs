//! `ops-manager-promotion-controller` (chapter 07 §5).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_promotion::controller::{ControllerRequest, FileTexts, LimitTexts, run};

use crate::args::{required, resolve_repo};
use crate::command::{CommandLine, Logging};
use crate::error::CliError;
use crate::promotion::{
    ContextFlags, EvaluatorFlags, GovernanceFlags, failed, finish, text, with_pipeline,
};

/// Arguments of `ops-manager-promotion-controller`.
#[derive(Args, Debug)]
pub struct PromotionController {
    /// Repository whose rollout it is about [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// propose_only or guarded_auto_apply [default: propose_only]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// What to apply: expand or resume [default: expand]
    #[arg(long, value_name = "INTENT")]
    apply_intent: Option<String>,
    /// Percent points by which to expand, 1 to 100 [default: 25]
    #[arg(long, value_name = "POINTS")]
    expand_step: Option<String>,
    #[command(flatten)]
    limits: Limits,
    /// Times in which nothing is applied [default: none]
    #[arg(long, value_name = "FILE")]
    freeze_windows_file: Option<String>,
    #[command(flatten)]
    evaluator: EvaluatorFlags,
    /// Without evidence, skip the check instead of holding
    #[arg(long)]
    skip_on_missing_evidence: bool,
    #[command(flatten)]
    files: Files,
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

/// What the controller may do.
#[derive(Args, Clone, Debug, Default)]
struct Limits {
    /// Age at which a decision is stale [default: 60]
    #[arg(long, value_name = "MINUTES")]
    decision_ttl_minutes: Option<String>,
    /// Time over which changes are counted [default: 24]
    #[arg(long, value_name = "HOURS")]
    budget_window_hours: Option<String>,
    /// Most changes in that time [default: 1]
    #[arg(long, value_name = "N")]
    max_applies_per_window: Option<String>,
    /// Most percent points in that time [default: 25]
    #[arg(long, value_name = "POINTS")]
    max_expand_step_per_window: Option<String>,
    /// Time between two changes [default: 60]
    #[arg(long, value_name = "MINUTES")]
    cooldown_minutes: Option<String>,
}

/// Paths other than the usual ones, `<fleet>/promotion-controller-…`.
#[expect(clippy::struct_field_names, reason = "named as their flags")]
#[derive(Args, Clone, Debug, Default)]
struct Files {
    /// Latest run [default: <fleet>/promotion-controller-state.json]
    #[arg(long, value_name = "FILE")]
    state_file: Option<String>,
    /// All runs [default: <fleet>/telemetry/promotion-controller.jsonl]
    #[arg(long, value_name = "FILE")]
    telemetry_file: Option<String>,
    /// Result of the check [default: …-ci-result.json]
    #[arg(long, value_name = "FILE")]
    promotion_ci_result_file: Option<String>,
    /// Its summary [default: …-ci-summary.md]
    #[arg(long, value_name = "FILE")]
    promotion_ci_summary_file: Option<String>,
    /// Result of the verification [default: …-verify-ci-result.json]
    #[arg(long, value_name = "FILE")]
    verify_result_file: Option<String>,
    /// Its summary [default: …-verify-ci-summary.md]
    #[arg(long, value_name = "FILE")]
    verify_summary_file: Option<String>,
    /// Result of the evaluation [default: …-preview-result.json]
    #[arg(long, value_name = "FILE")]
    preview_result_file: Option<String>,
    /// Its summary [default: …-preview-summary.md]
    #[arg(long, value_name = "FILE")]
    preview_summary_file: Option<String>,
    /// Result of the change [default: …-apply-result.json]
    #[arg(long, value_name = "FILE")]
    apply_result_file: Option<String>,
    /// Its summary [default: …-apply-summary.md]
    #[arg(long, value_name = "FILE")]
    apply_summary_file: Option<String>,
    /// Result of the rollback [default: …-rollback-result.json]
    #[arg(long, value_name = "FILE")]
    rollback_result_file: Option<String>,
    /// Its summary [default: …-rollback-summary.md]
    #[arg(long, value_name = "FILE")]
    rollback_summary_file: Option<String>,
}

impl CommandLine for PromotionController {
    const NAME: &'static str = "ops-manager-promotion-controller";
    const SUMMARY: &'static str =
        "Promote in steps, within limits, verified, and undone if need be";
    const ABOUT: &'static str = "The recurring run of a promotion: evaluate, decide, propose or \
        apply, verify, and roll back what could not be verified. Freshness, budget, cooldown and \
        freeze windows limit it; every run is recorded.";
    const DETAILS: &'static str = "\
guarded_auto_apply requires --by, --approval-ref, --rationale and --review-by.
A run that is killed after it began to apply is completed by the next one:
what it had applied is rolled back.

The trace id is $OPS_MANAGER_TRACE_ID, else random, unless given.
Freeze windows: {\"windows\":[{\"start\":\"2031-04-10T18:00:00Z\",
\"end\":\"2031-04-11T06:00:00Z\",\"reason\":\"quarter-close\"}]}

Hooks, each an executable that replaces a stage:
  OPS_MANAGER_PROMOTION_ORCHESTRATE_SCRIPT, OPS_MANAGER_PROMOTION_CI_SCRIPT

Examples:
  ops-manager-promotion-controller --repo . --pretty
  ops-manager-promotion-controller --repo . --mode guarded_auto_apply \\
    --expand-step 10 --by kim --approval-ref CHG-88 --rationale \"weekly step\" \\
    --review-by 2031-05-01T00:00:00Z --pretty

Exit codes: 0 proposed, held, applied or rolled back; otherwise that of the
stage that failed, whose text is on stderr; 1 a flag or file is invalid.";

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

impl PromotionController {
    fn request(&self, repo: PathBuf) -> ControllerRequest {
        let (context, limits, files) = (&self.context, &self.limits, &self.files);
        ControllerRequest {
            repo,
            mode: self.mode.clone(),
            apply_intent: self.apply_intent.clone(),
            expand_step: self.expand_step.clone(),
            limits: LimitTexts {
                decision_ttl_minutes: limits.decision_ttl_minutes.clone(),
                budget_window_hours: limits.budget_window_hours.clone(),
                max_applies_per_window: limits.max_applies_per_window.clone(),
                max_expand_step_per_window: limits.max_expand_step_per_window.clone(),
                cooldown_minutes: limits.cooldown_minutes.clone(),
            },
            freeze_windows_file: text(&self.freeze_windows_file),
            overrides: self.evaluator.as_given(),
            skip_on_missing_evidence: self.skip_on_missing_evidence,
            files: FileTexts {
                state: text(&files.state_file),
                telemetry: text(&files.telemetry_file),
                ci_result: text(&files.promotion_ci_result_file),
                ci_summary: text(&files.promotion_ci_summary_file),
                verify_result: text(&files.verify_result_file),
                verify_summary: text(&files.verify_summary_file),
                preview_result: text(&files.preview_result_file),
                preview_summary: text(&files.preview_summary_file),
                apply_result: text(&files.apply_result_file),
                apply_summary: text(&files.apply_summary_file),
                rollback_result: text(&files.rollback_result_file),
                rollback_summary: text(&files.rollback_summary_file),
            },
            idempotency_key: text(&context.idempotency_key),
            trace_id: text(&context.trace_id),
            loop_id: text(&context.loop_id),
            horizon_ref: text(&context.horizon_ref),
            evidence_refs: context.evidence_ref.clone(),
            governance: self.governance.given(),
        }
    }
}
