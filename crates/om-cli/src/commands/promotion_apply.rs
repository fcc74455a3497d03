//! `ops-manager-promotion-apply` (chapter 07 §3).

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_promotion::apply::{ApplyRequest, run};

use crate::args::{required, resolve_repo};
use crate::command::{CommandLine, Logging};
use crate::error::CliError;
use crate::promotion::{ContextFlags, GovernanceFlags, failed, finish, text, with_pipeline};

/// Arguments of `ops-manager-promotion-apply`.
#[derive(Args, Debug)]
pub struct PromotionApply {
    /// Repository whose rollout is changed [required]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Fleet registry [default: <fleet>/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Promotion decision [default: <fleet>/promotion-state.json]
    #[arg(long, value_name = "FILE")]
    promotion_state_file: Option<String>,
    /// Latest record [default: <fleet>/promotion-apply-state.json]
    #[arg(long, value_name = "FILE")]
    apply_state_file: Option<String>,
    /// Audit trail [default: <fleet>/telemetry/promotion-apply.jsonl]
    #[arg(long, value_name = "FILE")]
    apply_telemetry_file: Option<String>,
    /// What to do: expand, resume or rollback [required]
    #[arg(long, value_name = "INTENT")]
    intent: Option<String>,
    /// Percent points by which to expand, 1 to 100 [default: 25]
    #[arg(long, value_name = "POINTS")]
    expand_step: Option<String>,
    /// Refuse to expand or resume on an older decision [default: no limit]
    #[arg(long, value_name = "MINUTES")]
    max_decision_age_minutes: Option<String>,
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

impl CommandLine for PromotionApply {
    const NAME: &'static str = "ops-manager-promotion-apply";
    const SUMMARY: &'static str = "Expand, resume or roll back the rollout of autonomy";
    const ABOUT: &'static str = "Change the rollout of autonomy in the fleet registry, governed \
        and audited: expand widens the canary, resume lifts the manual pause, rollback sets it. \
        Only the rollout's and the governance's values change; the rest of the file stays as it \
        is, byte for byte.";
    const DETAILS: &'static str = "\
--by, --approval-ref, --rationale and --review-by are required. Expand and
resume need the promotion decision promote and a registry whose review has not
lapsed; rollback needs neither, whatever evidence is missing or broken.

The registry, the record and its row in the audit trail change together. The
same --idempotency-key answers with the earlier record and changes nothing. If
somebody saves the registry meanwhile, nothing is written.

The trace id is $OPS_MANAGER_TRACE_ID, else random, unless given.
OPS_MANAGER_FLEET_REGISTRY_SCRIPT replaces the check of the registry.

Examples:
  ops-manager-promotion-apply --repo . --intent expand --expand-step 25 \\
    --by kim --approval-ref CHG-88 --rationale \"guarded rollout expansion\" \\
    --review-by 2031-05-01T00:00:00Z --idempotency-key chg-88
  ops-manager-promotion-apply --repo . --intent rollback --by kim \\
    --approval-ref INC-7 --rationale incident --review-by 2031-05-01T00:00:00Z

Exit codes: 0 changed, or answered with the earlier record; 1 refused.";

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

impl PromotionApply {
    fn request(&self, repo: PathBuf) -> ApplyRequest {
        let context = &self.context;
        ApplyRequest {
            repo,
            registry_file: text(&self.registry_file),
            promotion_state_file: text(&self.promotion_state_file),
            apply_state_file: text(&self.apply_state_file),
            apply_telemetry_file: text(&self.apply_telemetry_file),
            intent: self.intent.clone(),
            expand_step: self.expand_step.clone(),
            idempotency_key: text(&context.idempotency_key),
            trace_id: text(&context.trace_id),
            loop_id: text(&context.loop_id),
            horizon_ref: text(&context.horizon_ref),
            evidence_refs: context.evidence_ref.clone(),
            governance: self.governance.given(),
            max_decision_age_minutes: self.max_decision_age_minutes.clone(),
        }
    }
}
