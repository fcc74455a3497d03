//! The decision: one pure function from what was read to what is written.

use std::sync::Arc;

use om_model::envelope::SchemaVersion;
use om_model::fleet::policy::{
    AutonomousState, AutonomyReason, Candidate, CandidateAutonomy, CandidateRollout,
    CandidateSafety, GovernanceState, HistoryCategory, HistoryRow, NoiseControlState, Pause,
    PolicyCategory, PolicyRow, PolicyRowSummary, PolicySource, PolicyState, RolloutState,
    SuppressionScope, SuppressionState, Taxonomy,
};
use om_model::fleet::registry::{Category, Policy, PolicyMode};
use om_model::json::WrongType;
use om_model::{Timestamp, TraceId};
use serde_json::Value;

use crate::audit::{self, AuditRow, Previous};
use crate::candidates::{self, Finding, TAXONOMY};
use crate::fleet::FleetView;
use crate::gates::{self, Case};
use crate::handoff_fold::Execution;
use crate::history_fold::HistoryFold;
use crate::pause::pause;
use crate::rails::{self, Caps};
use crate::rollout::Cohort;
use crate::{summary, suppression};

/// All that an evaluation looks at.
#[derive(Clone, Copy, Debug)]
pub struct PolicyInputs<'a> {
    /// The fleet state.
    pub fleet: &'a FleetView,
    /// The registry's policy, every default filled in.
    pub policy: &'a Policy,
    /// The registry's `policy.autonomous`, verbatim.
    pub controls: &'a Value,
    /// `--dedupe-window-seconds`, which wins over the registry's window.
    pub dedupe_window_seconds: Option<u64>,
    /// The policy state that is replaced.
    pub previous: Option<&'a Previous>,
    /// When each candidate was seen last.
    pub history: &'a HistoryFold,
    /// The latest autonomous executions, in the order of their journal.
    pub executions: &'a [Execution],
}

/// What comes from outside.
#[derive(Clone, Debug)]
pub struct PolicyContext {
    /// The one reading of the clock.
    pub now: Timestamp,
    /// Links everything that is written.
    pub trace_id: TraceId,
    /// Names of the files.
    pub paths: PolicyPaths,
}

/// The files of an evaluation, as they were named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the flag of the same name")]
pub struct PolicyPaths {
    pub registry: String,
    pub fleet_state: String,
    pub policy_state: String,
    pub governance_audit: String,
    pub handoff_telemetry: String,
    pub policy_telemetry: String,
    pub policy_history: String,
}

/// All that an evaluation comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyEvaluation {
    /// The policy state, and what the command prints.
    pub state: PolicyState,
    /// Rows of the governance audit.
    pub audit: Vec<AuditRow>,
    /// Rows of the history, one per candidate.
    pub history: Vec<HistoryRow>,
    /// The row of the telemetry.
    pub row: PolicyRow,
}

/// Judges a fleet.
///
/// Fails only if a result that yields a candidate has no loop id.
pub fn evaluate(
    inputs: &PolicyInputs<'_>,
    context: &PolicyContext,
) -> Result<PolicyEvaluation, WrongType> {
    let findings = candidates::derive(&inputs.fleet.results)?;
    let judge = Judge::new(inputs, context.now);
    let candidates = judge.candidates(&findings);
    let state = state(inputs, context, &judge, candidates);
    let suppression_governance = &inputs.policy.suppression_governance;
    Ok(PolicyEvaluation {
        audit: audit::rows(
            inputs.previous,
            &state,
            suppression_governance,
            &context.paths,
        ),
        history: state
            .candidates
            .iter()
            .map(|candidate| history_row(&state, candidate))
            .collect(),
        row: telemetry_row(&state),
        state,
    })
}

/// What is the same for every candidate of a run.
struct Judge<'a> {
    policy: &'a Policy,
    history: &'a HistoryFold,
    now: Timestamp,
    window_seconds: u64,
    review_current: bool,
    cohort: Cohort,
    pause: Arc<Pause>,
}

impl<'a> Judge<'a> {
    fn new(inputs: &PolicyInputs<'a>, now: Timestamp) -> Self {
        let policy = inputs.policy;
        let autonomous = &policy.autonomous;
        let is_auto = policy.mode == PolicyMode::GuardedAuto;
        let registry_window = policy.noise_controls.dedupe_window_seconds;
        Self {
            policy,
            history: inputs.history,
            now,
            window_seconds: inputs.dedupe_window_seconds.unwrap_or(registry_window),
            review_current: !is_auto || autonomous.governance.lapsed(now).is_none(),
            cohort: Cohort::new(&autonomous.rollout),
            pause: Arc::new(pause(&autonomous.rollout, inputs.executions, now)),
        }
    }

    /// Judges the findings one after the other: the earlier ones take the
    /// actions that the caps allow.
    fn candidates(&self, findings: &[Finding<'_>]) -> Vec<Candidate> {
        let mut caps = Caps::new(&self.policy.autonomous.safety);
        let ranks = candidates::ranks(findings);
        let judged = findings.iter().zip(ranks);
        judged
            .map(|(finding, rank)| self.candidate(finding, rank, &mut caps))
            .collect()
    }

    fn candidate(&self, finding: &Finding<'_>, rank: u64, caps: &mut Caps) -> Candidate {
        let (kind, loop_id) = (finding.kind, finding.loop_id);
        let candidate_id = finding.candidate_id();
        let seen = self.history.sightings(&candidate_id);
        let cooldown = suppression::dedupe(self.window_seconds, seen.unsuppressed, self.now);
        let suppressions = &self.policy.suppressions;
        let scope = suppression::scope(suppressions, loop_id, kind.category, &cooldown);
        Candidate {
            loop_id: loop_id.to_owned(),
            category: kind.category,
            signal: kind.signal,
            trace_id: finding.result.trace_id.clone(),
            candidate_id,
            severity: kind.severity,
            confidence: kind.confidence,
            rationale: kind.rationale,
            taxonomy_version: SchemaVersion::V1,
            recommended_intent: kind.intent,
            suppression_scope: scope,
            suppressed: scope.is_some(),
            suppression_reason: scope.map(SuppressionScope::reason),
            suppression_source: scope.map(SuppressionScope::source),
            cooldown,
            autonomous: self.autonomy(finding, scope.is_some(), seen.eligible, caps),
            rank,
            run_id: finding.result.run_id.clone(),
            evidence_at: finding.result.timestamp,
        }
    }

    fn autonomy(
        &self,
        finding: &Finding<'_>,
        suppressed: bool,
        last_eligible: Option<Timestamp>,
        caps: &mut Caps,
    ) -> CandidateAutonomy {
        let (policy, loop_id) = (self.policy, finding.loop_id);
        let safety = &policy.autonomous.safety;
        let place = self.cohort.place(loop_id);
        let case = Case {
            policy,
            review_current: self.review_current,
            finding,
            suppressed,
            place: &place,
            frozen: self.cohort.is_frozen(loop_id),
            pause: &self.pause,
        };
        let gates = gates::states(&case);
        let gating_reasons = gates::reasons(&case);
        let cooldown = rails::cooldown(safety.cooldown_seconds, last_eligible, self.now);
        let held_back = if gating_reasons.is_empty() {
            rails::held_back(safety, &cooldown, caps, loop_id)
        } else {
            None
        };
        let reasons = AutonomyReason::sorted(gating_reasons.iter().copied().chain(held_back));
        let eligible = reasons.is_empty();
        if eligible {
            caps.take(loop_id);
        }
        let blocked_by = |reason| held_back == Some(reason);
        CandidateAutonomy {
            mode: policy.mode,
            eligible,
            manual_only: !eligible,
            gating_reasons,
            recommended_intent: finding.kind.intent,
            gates,
            safety: CandidateSafety {
                max_actions_per_run: safety.max_actions_per_run,
                max_actions_per_loop: safety.max_actions_per_loop,
                cooldown_seconds: safety.cooldown_seconds,
                kill_switch: safety.kill_switch,
                cooldown,
                kill_switch_active: gates.mode_guarded_auto && safety.kill_switch,
                run_cap_blocked: blocked_by(AutonomyReason::MaxActionsPerRunExceeded),
                loop_cap_blocked: blocked_by(AutonomyReason::MaxActionsPerLoopExceeded),
            },
            rollout: CandidateRollout {
                canary_percent: policy.autonomous.rollout.canary_percent,
                scope_loop_ids: Arc::clone(&self.cohort.scope),
                selector: place,
                pause: Arc::clone(&self.pause),
            },
            reasons,
        }
    }
}

fn state(
    inputs: &PolicyInputs<'_>,
    context: &PolicyContext,
    judge: &Judge<'_>,
    candidates: Vec<Candidate>,
) -> PolicyState {
    let (policy, paths) = (inputs.policy, &context.paths);
    let counters = summary::counters(&candidates);
    let summary = summary::summarize(&candidates, &counters);
    let reason_codes = summary::reason_codes(&summary::Outcome {
        mode: policy.mode,
        counters: &counters,
        summary: &summary,
        pause: &judge.pause,
    });
    PolicyState {
        schema_version: SchemaVersion::V1,
        updated_at: context.now,
        fleet_id: inputs.fleet.fleet_id.clone(),
        trace_id: context.trace_id.clone(),
        mode: policy.mode,
        fleet_status: inputs.fleet.status.clone(),
        source: PolicySource {
            fleet_state_file: paths.fleet_state.clone(),
            registry_file: paths.registry.clone(),
        },
        taxonomy: Taxonomy {
            version: SchemaVersion::V1,
            categories: TAXONOMY.iter().map(candidates::Kind::entry).collect(),
        },
        noise_controls: NoiseControlState {
            dedupe_window_seconds: judge.window_seconds,
            policy_history_file: paths.policy_history.clone(),
            handoff_telemetry_file: paths.handoff_telemetry.clone(),
        },
        autonomous: autonomous_state(inputs, context, judge, &candidates),
        evaluated_loop_count: inputs.fleet.evaluated_loop_count,
        candidate_count: candidates.len() as u64,
        counters,
        candidates,
        summary,
        suppression_state: SuppressionState {
            suppressions: policy.suppressions.clone(),
            precedence: SuppressionScope::ALL,
            allowed_categories: categories(),
        },
        reason_codes,
    }
}

/// Every category, in the order of the taxonomy.
fn categories() -> Vec<Category> {
    TAXONOMY.iter().map(|kind| kind.category).collect()
}

fn autonomous_state(
    inputs: &PolicyInputs<'_>,
    context: &PolicyContext,
    judge: &Judge<'_>,
    candidates: &[Candidate],
) -> AutonomousState {
    let policy = inputs.policy;
    AutonomousState {
        enabled: policy.mode == PolicyMode::GuardedAuto,
        governance_audit_file: context.paths.governance_audit.clone(),
        governance: governance_state(policy),
        controls: inputs.controls.clone(),
        rollout: RolloutState {
            canary_percent: policy.autonomous.rollout.canary_percent,
            scope_loop_ids: Arc::clone(&judge.cohort.scope),
            selector_salt: Arc::clone(&judge.cohort.salt),
            candidate_buckets: summary::buckets(candidates),
            pause: Arc::clone(&judge.pause),
        },
    }
}

fn governance_state(policy: &Policy) -> GovernanceState {
    let named = policy.autonomous.governance.clone();
    let texts = [
        &named.actor,
        &named.approval_ref,
        &named.rationale,
        &named.changed_at,
        &named.review_by,
    ];
    let complete = texts.iter().all(|text| text.is_some());
    GovernanceState {
        authority_context_present: policy.mode != PolicyMode::GuardedAuto || complete,
        required_for_guarded_auto: true,
        named,
    }
}

fn history_row(state: &PolicyState, candidate: &Candidate) -> HistoryRow {
    let autonomous = &candidate.autonomous;
    let (selector, pause) = (&autonomous.rollout.selector, &autonomous.rollout.pause);
    HistoryRow {
        timestamp: state.updated_at,
        category: HistoryCategory::default(),
        fleet_id: state.fleet_id.clone(),
        trace_id: state.trace_id.clone(),
        mode: state.mode,
        candidate_id: candidate.candidate_id.clone(),
        loop_id: candidate.loop_id.clone(),
        candidate_category: candidate.category,
        severity: candidate.severity,
        confidence: candidate.confidence,
        recommended_intent: candidate.recommended_intent,
        suppressed: candidate.suppressed,
        suppression_reason: candidate.suppression_reason,
        suppression_scope: candidate.suppression_scope,
        suppression_source: candidate.suppression_source,
        autonomous_eligible: autonomous.eligible,
        autonomous_manual_only: autonomous.manual_only,
        autonomous_reasons: autonomous.reasons.clone(),
        autonomous_rollout_in_scope: selector.in_scope,
        autonomous_rollout_in_cohort: selector.in_cohort,
        autonomous_rollout_bucket: selector.bucket,
        autonomous_rollout_pause_active: pause.active,
        autonomous_rollout_pause_reasons: pause.reasons.clone(),
        autonomous_auto_pause_active: pause.auto.active,
        autonomous_auto_pause_reasons: pause.auto.reasons.clone(),
    }
}

fn telemetry_row(state: &PolicyState) -> PolicyRow {
    PolicyRow {
        timestamp: state.updated_at,
        category: PolicyCategory::default(),
        fleet_id: state.fleet_id.clone(),
        trace_id: state.trace_id.clone(),
        mode: state.mode,
        summary: PolicyRowSummary {
            candidate_count: state.candidate_count,
            counters: state.counters,
            reason_codes: state.reason_codes.clone(),
            summary: state.summary.clone(),
            noise_controls: state.noise_controls.clone(),
            autonomous: state.autonomous.clone(),
        },
    }
}
