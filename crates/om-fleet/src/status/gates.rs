//! What kept candidates from being acted on, by what it comes from (chapter
//! 05 §3.4 *Suppression paths*; decisions D15–D17, D27).

use std::collections::{HashMap, HashSet};

use om_model::fleet::policy::{AutonomyReason, ReasonPath};
use om_model::fleet::status::{
    GatedReasons, GovernanceGate, SafetyGateDecisions, SuppressionPaths,
};
use serde_json::{Map, Value, json};

use super::FleetStatusError;
use super::governance::Governance;
use super::handoff::{Handoff, reasons_of};
use super::order::is_positive;
use super::policy::Policy;
use super::source::Document;

/// Reasons that only a handoff can have.
const HANDOFF_TIME: [AutonomyReason; 7] = [
    AutonomyReason::RetryGuardAmbiguous,
    AutonomyReason::RetryGuardFailed,
    AutonomyReason::AlreadyExecuted,
    AutonomyReason::RunChanged,
    AutonomyReason::RegistryUnavailable,
    AutonomyReason::LoopNotInRegistry,
    AutonomyReason::LoopDisabled,
];

/// Reasons of the policy path that are safety decisions, as all of the
/// rollout path are.
const SAFETY: [AutonomyReason; 4] = [
    AutonomyReason::KillSwitchEnabled,
    AutonomyReason::CooldownActive,
    AutonomyReason::MaxActionsPerRunExceeded,
    AutonomyReason::MaxActionsPerLoopExceeded,
];

pub(super) fn decisions(
    policy: Option<&Policy<'_>>,
    handoff: Option<&Handoff<'_>>,
    governance: Option<&Governance<'_>>,
) -> Result<SafetyGateDecisions, FleetStatusError> {
    let counts = Counts::of(policy, handoff)?;
    let paths = SuppressionPaths {
        policy_gated: counts.on(ReasonPath::Policy),
        rollout_gated: counts.on(ReasonPath::Rollout),
        governance_gated: governance_gate(&counts, policy, governance)?,
        transport_gated: transport_gate(&counts, handoff)?,
    };
    let blocked =
        counts.sum(|reason| reason.path() == ReasonPath::Rollout || SAFETY.contains(&reason));
    let kill_switch = match policy {
        Some(policy) => policy
            .state()
            .raw("autonomous.controls.safety.killSwitch")?,
        None => None,
    };
    Ok(SafetyGateDecisions {
        by_reason: policy.and_then(|p| p.reasons).cloned().unwrap_or_default(),
        suppression_reason_codes: suppression_codes(&paths),
        by_path: paths,
        blocked_count: number(blocked),
        kill_switch_active: kill_switch == Some(&Value::Bool(true)),
    })
}

/// Reasons with their counts: those of the policy evaluation, then those that
/// a handoff added to its intents.
struct Counts(Vec<(AutonomyReason, Count)>);

/// A count as it is stored, and as a number.
struct Count {
    shown: Value,
    number: f64,
}

impl Counts {
    fn of(
        policy: Option<&Policy<'_>>,
        handoff: Option<&Handoff<'_>>,
    ) -> Result<Self, FleetStatusError> {
        let mut counts = Self(Vec::new());
        if let Some(policy) = policy {
            for (code, shown) in policy.reasons.into_iter().flatten() {
                // Reasons of others are only shown by themselves.
                let Some(reason) = AutonomyReason::parse(code) else {
                    continue;
                };
                let member = format!("summary.byAutonomyReason.{code}");
                let number = policy.state().count(&member, shown)?;
                let shown = shown.clone();
                counts.0.push((reason, Count { shown, number }));
            }
        }
        if let Some(handoff) = handoff {
            for reason in at_handoff_time(policy, handoff)? {
                counts.add(reason);
            }
        }
        Ok(counts)
    }

    fn add(&mut self, reason: AutonomyReason) {
        let known = self.0.iter_mut().find(|(other, _)| *other == reason);
        if let Some((_, count)) = known {
            count.number += 1.0;
            count.shown = number(count.number);
        } else {
            let count = Count {
                shown: json!(1),
                number: 1.0,
            };
            self.0.push((reason, count));
        }
    }

    fn sum(&self, counts: impl Fn(AutonomyReason) -> bool) -> f64 {
        let counted = self.0.iter().filter(|(reason, _)| counts(*reason));
        counted.map(|(_, count)| count.number).sum()
    }

    fn on(&self, path: ReasonPath) -> GatedReasons {
        let on_path = self.0.iter().filter(|(reason, _)| reason.path() == path);
        let shown = |(reason, count): &(AutonomyReason, Count)| {
            (reason.as_str().to_owned(), count.shown.clone())
        };
        GatedReasons {
            blocked_count: number(self.sum(|reason| reason.path() == path)),
            by_reason: on_path.map(shown).collect(),
        }
    }
}

/// One reason for each time that a handoff held an intent back for more than
/// what the policy evaluation had said of its candidate.
fn at_handoff_time(
    policy: Option<&Policy<'_>>,
    handoff: &Handoff<'_>,
) -> Result<Vec<AutonomyReason>, FleetStatusError> {
    let withheld = withheld(handoff)?;
    let mut found: Vec<(&Value, AutonomyReason)> = Vec::new();
    for intent in handoff.intents() {
        let intent = intent.value();
        let id = text(intent, "intentId");
        let reasons = reasons_of(intent).filter_map(AutonomyReason::parse);
        let added = reasons.filter(|reason| {
            HANDOFF_TIME.contains(reason) || withheld.contains(&(id, reason.as_str()))
        });
        found.extend(added.map(|reason| (intent, reason)));
    }
    let candidates: HashMap<&str, &Value> = match policy {
        Some(policy) if !found.is_empty() => {
            let candidates = policy.candidates().iter().map(Document::value);
            candidates.map(|c| (text(c, "candidateId"), c)).collect()
        }
        _ => HashMap::new(),
    };
    let is_new = |(intent, reason): &(&Value, AutonomyReason)| {
        let candidate = candidates.get(text(intent, "candidateId"));
        candidate.is_none_or(|c| !reasons_of(c).any(|known| known == reason.as_str()))
    };
    Ok(found
        .into_iter()
        .filter(is_new)
        .map(|(_, reason)| reason)
        .collect())
}

/// Intents that a last look held back, and why (decision D15).
fn withheld<'a>(handoff: &Handoff<'a>) -> Result<HashSet<(&'a str, &'a str)>, FleetStatusError> {
    let entries = handoff.execution("withheld")?.and_then(Value::as_array);
    let pair = |entry: &'a Value| (text(entry, "intentId"), text(entry, "reasonCode"));
    Ok(entries.into_iter().flatten().map(pair).collect())
}

fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    let found = entry.get(member).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Candidates that governance blocks, and why.
fn governance_gate(
    counts: &Counts,
    policy: Option<&Policy<'_>>,
    governance: Option<&Governance<'_>>,
) -> Result<GovernanceGate, FleetStatusError> {
    let on_path = counts.on(ReasonPath::Governance);
    let mut reason_codes = governance.map(Governance::reason_codes).unwrap_or_default();
    let counted = on_path
        .by_reason
        .iter()
        .filter(|(_, count)| is_positive(count));
    reason_codes.extend(counted.map(|(code, _)| code.clone()));
    reason_codes.sort_unstable();
    reason_codes.dedup();
    let blocked_count = match policy {
        Some(policy) if governance.is_some_and(Governance::blocks) => {
            policy.state().copy_or("unsuppressedCount", 0)?
        }
        _ => on_path.blocked_count,
    };
    Ok(GovernanceGate {
        blocked_count,
        reason_codes,
    })
}

/// Outcomes on sprites, and intents held back because nothing could be
/// looked at.
fn transport_gate(
    counts: &Counts,
    handoff: Option<&Handoff<'_>>,
) -> Result<GatedReasons, FleetStatusError> {
    let blocks = handoff.map(Handoff::transport_blocks).transpose()?;
    let mut by_reason: Map<String, Value> = blocks.unwrap_or_default();
    let on_path = counts.on(ReasonPath::Transport);
    let outcomes: f64 = by_reason.values().filter_map(Value::as_f64).sum();
    let held_back = counts.sum(|reason| reason.path() == ReasonPath::Transport);
    by_reason.extend(on_path.by_reason);
    Ok(GatedReasons {
        blocked_count: number(outcomes + held_back),
        by_reason,
    })
}

/// The paths on which something was blocked, sorted.
fn suppression_codes(paths: &SuppressionPaths) -> Vec<String> {
    let codes = [
        (
            "autonomous_suppression_governance_gated",
            &paths.governance_gated.blocked_count,
        ),
        (
            "autonomous_suppression_policy_gated",
            &paths.policy_gated.blocked_count,
        ),
        (
            "autonomous_suppression_rollout_gated",
            &paths.rollout_gated.blocked_count,
        ),
        (
            "autonomous_suppression_transport_gated",
            &paths.transport_gated.blocked_count,
        ),
    ];
    let blocked = codes.into_iter().filter(|(_, count)| is_positive(count));
    blocked.map(|(code, _)| code.to_owned()).collect()
}

/// A number; a whole one without a fraction.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return json!(value as i64);
    }
    json!(value)
}
