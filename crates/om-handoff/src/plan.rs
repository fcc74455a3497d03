//! The plan: which intents there are, and which of them may be dispatched
//! without a person (chapter 06 §2.4.1; decisions D16, D17, D23, D28, D30).

use std::collections::{BTreeMap, HashMap, HashSet};

use om_model::envelope::SchemaVersion;
use om_model::fleet::handoff::{
    EvaluationIdentity, HandoffControl, HandoffIntent, HandoffPlanRow, HandoffSource, HandoffState,
    HandoffSummary, IntentAutonomy, IntentService, IntentStatus, PlanCategory, PlanRowSummary,
    RetryGuard,
};
use om_model::fleet::policy::AutonomyReason;
use om_model::fleet::registry::{Category, FleetLoop, Registry};
use om_model::health::TransportMode;
use om_model::{Timestamp, TraceId, json};
use serde_json::{Map, Number};

use crate::key::idempotency_key;
use crate::policy_view::{ADVISORY_COOLDOWN, Candidate, PolicyView, Suppression};
use crate::previous::Previous;
use crate::summary;

/// Retry settings of a loop that the registry does not have.
const RETRY_ATTEMPTS: u64 = 3;
const RETRY_BACKOFF_SECONDS: u64 = 1;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInputs<'a> {
    /// What policy says.
    pub policy: &'a PolicyView,
    /// Which evaluation that is.
    pub evaluation: &'a EvaluationIdentity,
    /// How the loops are reached.
    pub registry: &'a Registry,
    /// What was done before.
    pub previous: &'a Previous,
}

/// What a plan takes from its caller.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// When the plan is made.
    pub now: Timestamp,
    /// This run's.
    pub trace_id: TraceId,
    /// Of idempotency keys.
    pub idempotency_prefix: String,
    /// As used.
    pub registry_file: String,
    /// As used.
    pub policy_state_file: String,
}

/// A candidate that has an intent, but no loop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("candidates[{index}]: loopId is missing")]
pub struct MissingLoopId {
    /// Its place.
    pub index: usize,
}

/// Makes the plan.
pub fn plan(inputs: &PlanInputs<'_>, context: &PlanContext) -> Result<HandoffState, MissingLoopId> {
    let policy = inputs.policy;
    let planner = Planner::new(inputs, context);
    let mut intents = Vec::new();
    let mut mapped = 0;
    for (index, candidate) in policy.candidates.iter().enumerate() {
        let Some(intent) = planner.intent(candidate, index)? else {
            continue;
        };
        mapped += u64::from(candidate.suppression == Suppression::None);
        intents.push(intent);
    }
    // By code point, a missing category first; equal ones keep their order.
    intents.sort_by(|a, b| order(a).cmp(&order(b)));
    let candidates = policy.candidates.iter();
    let unsuppressed = candidates.filter(|candidate| candidate.suppression == Suppression::None);
    let unsuppressed = unsuppressed.count() as u64;
    let counted = HandoffSummary {
        candidate_count: policy.candidates.len() as u64,
        unsuppressed_candidate_count: unsuppressed,
        ..HandoffSummary::default()
    };
    // Intents of candidates in their cooldown (decision D28) hide no gap.
    let (summary, reason_codes) = summary::evaluate(&counted, mapped < unsuppressed, &intents);
    let fleet_id = policy
        .fleet_id
        .as_ref()
        .unwrap_or(&inputs.registry.fleet_id);
    Ok(HandoffState {
        schema_version: SchemaVersion::V1,
        generated_at: context.now,
        updated_at: context.now,
        fleet_id: fleet_id.clone(),
        trace_id: context.trace_id.clone(),
        policy_trace_id: planner.policy_trace_id.clone(),
        mode: policy.mode,
        source: HandoffSource {
            registry_file: context.registry_file.clone(),
            policy_state_file: context.policy_state_file.clone(),
        },
        control: HandoffControl {
            idempotency_prefix: context.idempotency_prefix.clone(),
            requires_operator_confirmation: true,
        },
        intents,
        summary,
        reason_codes,
        execution: inputs.previous.execution.clone(),
        retry_guard: planner.guard.into_values().cloned().collect(),
        evaluation: inputs.evaluation.clone(),
    })
}

fn order(intent: &HandoffIntent) -> (&str, Option<&str>, &str) {
    (&intent.loop_id, intent.category.as_deref(), &intent.intent)
}

/// The telemetry row of a plan, before anything is executed.
pub fn plan_row(plan: &HandoffState) -> HandoffPlanRow {
    HandoffPlanRow {
        timestamp: plan.generated_at,
        category: PlanCategory::Plan,
        fleet_id: plan.fleet_id.clone(),
        trace_id: plan.trace_id.clone(),
        mode: plan.mode,
        summary: PlanRowSummary {
            summary: plan.summary.clone(),
            reason_codes: plan.reason_codes.clone(),
            policy_trace_id: plan.policy_trace_id.clone(),
        },
    }
}

/// What all intents of a plan have in common.
struct Planner<'a> {
    context: &'a PlanContext,
    previous: &'a Previous,
    loops: HashMap<&'a str, &'a FleetLoop>,
    policy_trace_id: TraceId,
    guard: BTreeMap<&'a str, &'a RetryGuard>,
    /// Whether `previous` is about the same evaluation.
    same_evaluation: bool,
}

impl<'a> Planner<'a> {
    fn new(inputs: &PlanInputs<'a>, context: &'a PlanContext) -> Self {
        let policy = inputs.policy;
        let loops = inputs.registry.loops.iter();
        let policy_trace_id = policy.trace_id.as_deref().and_then(TraceId::new);
        let evaluated_at = policy.updated_at.as_deref().and_then(Timestamp::parse);
        Self {
            context,
            previous: inputs.previous,
            loops: loops.map(|entry| (entry.loop_id.as_str(), entry)).collect(),
            policy_trace_id: policy_trace_id.unwrap_or_else(|| context.trace_id.clone()),
            guard: standing(&inputs.previous.guard, policy),
            same_evaluation: inputs.previous.is_of(inputs.evaluation, evaluated_at),
        }
    }

    /// The intent of a candidate; `None` if it is suppressed, or nothing is
    /// known to be done about it.
    fn intent(
        &self,
        candidate: &Candidate,
        index: usize,
    ) -> Result<Option<HandoffIntent>, MissingLoopId> {
        if candidate.suppression == Suppression::Other {
            return Ok(None);
        }
        let Some(intent) = intent_of(candidate) else {
            return Ok(None);
        };
        let Some(loop_id) = candidate.loop_id.clone() else {
            return Err(MissingLoopId { index });
        };
        let candidate_id = candidate_id(candidate, &loop_id);
        let intent_id = format!("{candidate_id}:{intent}");
        let entry = self.loops.get(loop_id.as_str()).copied();
        let context = self.context;
        let mut planned = HandoffIntent {
            idempotency_key: idempotency_key(
                &context.idempotency_prefix,
                &context.trace_id,
                &loop_id,
                candidate.category.as_deref(),
                intent,
            ),
            intent: intent.to_owned(),
            intent_id,
            candidate_id,
            loop_id,
            category: candidate.category.clone(),
            severity: candidate.severity.clone(),
            confidence: candidate.confidence.clone(),
            rationale: candidate.rationale.clone(),
            signal: candidate.signal.clone(),
            recommended_intent: candidate.recommended_intent.clone(),
            status: IntentStatus::PendingOperatorConfirmation,
            requires_operator_confirmation: true,
            fleet_trace_id: context.trace_id.clone(),
            policy_trace_id: self.policy_trace_id.clone(),
            candidate_trace_id: candidate.trace_id.clone(),
            autonomous: autonomy(candidate),
            transport: entry.map_or(TransportMode::Local, |entry| entry.transport),
            service: service(entry),
            metadata: entry.map_or_else(Map::new, |entry| entry.metadata.clone()),
            execution: None,
            run_id: candidate.run_id.clone(),
            rank: candidate.rank.clone(),
        };
        self.recall(&mut planned);
        Ok(Some(planned))
    }

    /// What earlier runs left: guards, and what is done (decisions D16, D17).
    fn recall(&self, intent: &mut HandoffIntent) {
        let guard = self.guard.get(intent.intent_id.as_str());
        let guard = guard.map(|guard| guard.reason_code);
        let stated = self.previous.executed.get(&intent.intent_id);
        let stated = stated.filter(|_| self.same_evaluation);
        let journaled = self.previous.done.get(&intent.intent_id);
        let is_done = stated.is_some() || journaled.is_some();
        let reasons = guard
            .into_iter()
            .chain(is_done.then_some(AutonomyReason::AlreadyExecuted));
        intent.autonomous.deny_all(&reasons.collect::<Vec<_>>());
        if is_done {
            intent.status = IntentStatus::Executed;
            intent.execution = stated.cloned().flatten().or_else(|| journaled.cloned());
        }
    }
}

/// The guards whose candidate is still there, suppressed or not (decision
/// D16).
fn standing<'a>(
    guard: &'a BTreeMap<String, RetryGuard>,
    policy: &PolicyView,
) -> BTreeMap<&'a str, &'a RetryGuard> {
    if guard.is_empty() {
        return BTreeMap::new();
    }
    let present: HashSet<String> = policy.candidates.iter().filter_map(any_id).collect();
    let standing = guard
        .iter()
        .filter(|(_, entry)| present.contains(&entry.candidate_id));
    standing.map(|(id, entry)| (id.as_str(), entry)).collect()
}

/// The id of a candidate that may lack a loop.
fn any_id(candidate: &Candidate) -> Option<String> {
    let own = candidate.candidate_id.clone();
    own.or_else(|| Some(candidate_id(candidate, candidate.loop_id.as_deref()?)))
}

fn candidate_id(candidate: &Candidate, loop_id: &str) -> String {
    candidate.candidate_id.clone().unwrap_or_else(|| {
        let category = candidate.category.as_deref().unwrap_or("unknown");
        format!("{loop_id}:{category}")
    })
}

/// What to do: the candidate's own recommendation, unchecked; else what is
/// usual for its category.
fn intent_of(candidate: &Candidate) -> Option<&str> {
    if let Some(own) = &candidate.recommended_intent {
        return Some(own);
    }
    let category = candidate.category.as_deref().and_then(Category::parse)?;
    match category {
        Category::ReconcileFailed | Category::HealthCritical | Category::HealthDegraded => {
            Some("cancel")
        }
    }
}

fn autonomy(candidate: &Candidate) -> IntentAutonomy {
    let mut autonomy = IntentAutonomy {
        eligible: candidate.eligible,
        manual_only: candidate.manual_only || !candidate.eligible,
        reasons: candidate.reasons.clone(),
    };
    if candidate.suppression == Suppression::Cooldown {
        autonomy.deny_named([ADVISORY_COOLDOWN]);
    }
    autonomy
}

fn service(entry: Option<&FleetLoop>) -> IntentService {
    match entry {
        Some(entry) => IntentService {
            base_url: json::non_empty_text(entry.service.base_url.as_ref()),
            token_env: entry.service.token_env.clone(),
            retry_attempts: entry.service.retry_attempts.clone(),
            retry_backoff_seconds: entry.service.retry_backoff_seconds.clone(),
        },
        None => IntentService {
            base_url: None,
            token_env: None,
            retry_attempts: Number::from(RETRY_ATTEMPTS),
            retry_backoff_seconds: Number::from(RETRY_BACKOFF_SECONDS),
        },
    }
}
