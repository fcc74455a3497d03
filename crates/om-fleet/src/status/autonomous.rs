//! What autonomy may do, and what became of it (chapter 05 §3.4, §3.5.4).

use om_model::Timestamp;
use om_model::fleet::registry::PolicyMode;
use om_model::fleet::status::{
    AutonomousHandoff, AutonomousStatus, AutopauseStatus, CandidateBuckets, OutcomeRollup,
    PauseStatus, RolloutState, RolloutStatus,
};
use serde_json::{Value, json};

use super::FleetStatusError;
use super::gates;
use super::governance::Governance;
use super::handoff::Handoff;
use super::policy::Policy;

/// What autonomy attempted, and what is left for people.
pub(super) fn rollup(
    policy: Option<&Policy<'_>>,
    handoff: Option<&Handoff<'_>>,
) -> Result<OutcomeRollup, FleetStatusError> {
    let mode = match handoff {
        Some(handoff) => handoff.execution("mode")?,
        None => None,
    };
    let executed = |member| match handoff {
        Some(handoff) if mode.is_some_and(|mode| mode == "autonomous") => handoff.executed(member),
        _ => Ok(json!(0)),
    };
    Ok(OutcomeRollup {
        attempted: executed("requestedIntentCount")?,
        executed: executed("executedCount")?,
        ambiguous: executed("ambiguousCount")?,
        failed: executed("failedCount")?,
        manual_backlog: match (handoff, policy) {
            (Some(handoff), _) => json!(handoff.pending_manual),
            (None, Some(policy)) => policy.state().copy_or("manualOnlyCount", 0)?,
            (None, None) => json!(0),
        },
    })
}

/// `None` if there is neither a policy evaluation nor a handoff.
pub(super) fn build(
    policy: Option<&Policy<'_>>,
    handoff: Option<&Handoff<'_>>,
    rollup: &OutcomeRollup,
    now: Timestamp,
) -> Result<Option<AutonomousStatus>, FleetStatusError> {
    let mode = match (policy, handoff) {
        (Some(policy), _) => policy.mode()?,
        (None, Some(handoff)) => {
            let advisory = PolicyMode::Advisory.as_str();
            handoff.state().copy_or("mode", advisory)?
        }
        (None, None) => return Ok(None),
    };
    let governance = policy
        .map(|policy| Governance::of(policy, now))
        .transpose()?;
    let of_policy = |member, default: Value| match policy {
        Some(policy) => policy.state().copy_or(member, default),
        None => Ok(default),
    };
    Ok(Some(AutonomousStatus {
        enabled: mode == PolicyMode::GuardedAuto.as_str(),
        mode,
        policy_reason_codes: of_policy("reasonCodes", json!([]))?,
        handoff_reason_codes: match handoff {
            Some(handoff) => handoff.state().copy_or("reasonCodes", json!([]))?,
            None => json!([]),
        },
        eligible_candidate_count: of_policy("autoEligibleCount", json!(0))?,
        manual_only_candidate_count: of_policy("manualOnlyCount", json!(0))?,
        outcome_rollup: rollup.clone(),
        safety_gate_decisions: gates::decisions(policy, handoff, governance.as_ref())?,
        governance: governance.as_ref().map(Governance::status),
        rollout: policy.map(rollout).transpose()?,
        handoff: handoff
            .map(|handoff| outcomes(handoff, rollup))
            .transpose()?,
    }))
}

fn rollout(policy: &Policy<'_>) -> Result<RolloutStatus, FleetStatusError> {
    let state = policy.state();
    let at = |member: &str| format!("autonomous.rollout.{member}");
    let copy_or = |member: &str, default: Value| state.copy_or(&at(member), default);
    let count = |member: &str| copy_or(&format!("candidateBuckets.{member}"), json!(0));
    let active = copy_or("pause.active", json!(false))?;
    let manual = copy_or("pause.manual", json!(false))?;
    let reasons = copy_or("pause.reasons", json!([]))?;
    let auto = autopause(policy)?;
    Ok(RolloutStatus {
        canary_percent: state.copy(&at("canaryPercent"))?,
        scope_loop_ids: copy_or("scopeLoopIds", json!([]))?,
        selector_salt: state.copy(&at("selectorSalt"))?,
        candidate_buckets: CandidateBuckets {
            in_scope_count: count("inScopeCount")?,
            in_cohort_count: count("inCohortCount")?,
            out_of_cohort_count: count("outOfCohortCount")?,
        },
        state: RolloutState {
            active: active.clone(),
            manual_pause_active: manual.clone(),
            auto_pause_active: auto.active.clone(),
            reason_codes: reasons.clone(),
        },
        autopause: auto.clone(),
        pause: PauseStatus {
            active,
            reasons,
            manual,
            auto,
        },
    })
}

fn autopause(policy: &Policy<'_>) -> Result<AutopauseStatus, FleetStatusError> {
    let state = policy.state();
    let at = |member: &str| format!("autonomous.rollout.pause.auto.{member}");
    // A switch that is off is told (decision D1).
    let enabled = state.raw(&at("enabled"))?.filter(|value| !value.is_null());
    Ok(AutopauseStatus {
        enabled: super::or_default(enabled, true),
        active: state.copy_or(&at("active"), false)?,
        reasons: state.copy_or(&at("reasons"), json!([]))?,
        lookback_executions: state.copy(&at("lookbackExecutions"))?,
        min_sample_size: state.copy(&at("minSampleSize"))?,
        ambiguity_rate_threshold: state.copy(&at("ambiguityRateThreshold"))?,
        failure_rate_threshold: state.copy(&at("failureRateThreshold"))?,
        metrics: state.copy_or(&at("metrics"), json!({}))?,
    })
}

fn outcomes(
    handoff: &Handoff<'_>,
    rollup: &OutcomeRollup,
) -> Result<AutonomousHandoff, FleetStatusError> {
    Ok(AutonomousHandoff {
        auto_eligible_intent_count: handoff.summarized("autoEligibleIntentCount")?,
        manual_only_intent_count: handoff.summarized("manualOnlyIntentCount")?,
        pending_manual_only_count: handoff.pending_manual,
        execution_mode: handoff.execution("mode")?.cloned(),
        executed_count: handoff.executed("executedCount")?,
        ambiguous_count: handoff.executed("ambiguousCount")?,
        failed_count: handoff.executed("failedCount")?,
        outcome_rollup: rollup.clone(),
        outcome_reason_codes: handoff.outcomes.clone(),
    })
}
