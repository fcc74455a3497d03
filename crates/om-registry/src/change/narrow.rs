//! Whether a policy allows no more than another one.

use std::collections::HashSet;
use std::hash::Hash;

use om_model::fleet::registry::{AutoPause, Autonomous, Policy, PolicyMode, Rollout};
use serde_json::Value;

/// One way in which a policy can allow more.
type Aspect = fn(&Policy, &Policy) -> bool;

/// In every aspect: whether `after` allows no more than `before`.
const ASPECTS: [Aspect; 18] = [
    |before, after| {
        off(
            before.mode == PolicyMode::GuardedAuto,
            after.mode == PolicyMode::GuardedAuto,
        )
    },
    |before, after| {
        let (before, after) = (&before.noise_controls, &after.noise_controls);
        after.dedupe_window_seconds >= before.dedupe_window_seconds
    },
    suppresses_as_much,
    |before, after| {
        within(
            &auto(after).allow.categories,
            &auto(before).allow.categories,
        )
    },
    |before, after| within(&auto(after).allow.intents, &auto(before).allow.intents),
    |before, after| auto(after).thresholds.min_severity >= auto(before).thresholds.min_severity,
    |before, after| auto(after).thresholds.min_confidence >= auto(before).thresholds.min_confidence,
    |before, after| {
        auto(after).safety.max_actions_per_run <= auto(before).safety.max_actions_per_run
    },
    |before, after| {
        auto(after).safety.max_actions_per_loop <= auto(before).safety.max_actions_per_loop
    },
    |before, after| auto(after).safety.cooldown_seconds >= auto(before).safety.cooldown_seconds,
    |before, after| {
        on(
            auto(before).safety.kill_switch,
            auto(after).safety.kill_switch,
        )
    },
    |before, after| on(rollout(before).pause.manual, rollout(after).pause.manual),
    |before, after| {
        within(
            &rollout(before).frozen_loop_ids,
            &rollout(after).frozen_loop_ids,
        )
    },
    |before, after| rollout(after).canary_percent <= rollout(before).canary_percent,
    |before, after| rollout(after).selector == rollout(before).selector,
    |before, after| {
        let (before, after) = (
            &rollout(before).scope.loop_ids,
            &rollout(after).scope.loop_ids,
        );
        before.is_empty() || (!after.is_empty() && within(after, before))
    },
    |before, after| pauses_as_much(&rollout(before).auto_pause, &rollout(after).auto_pause),
    ends_as_soon,
];

/// Whether `after` allows nothing by itself that `before` does not. Who
/// approved them is not compared, only until when.
pub fn narrows(before: &Policy, after: &Policy) -> bool {
    ASPECTS.iter().all(|holds| holds(before, after))
}

fn auto(policy: &Policy) -> &Autonomous {
    &policy.autonomous
}

fn rollout(policy: &Policy) -> &Rollout {
    &policy.autonomous.rollout
}

/// What was on is still on.
fn on(before: bool, after: bool) -> bool {
    after || !before
}

/// What was off is still off.
fn off(before: bool, after: bool) -> bool {
    before || !after
}

fn within<T: Eq + Hash>(part: &[T], whole: &[T]) -> bool {
    let whole: HashSet<&T> = whole.iter().collect();
    part.iter().all(|item| whole.contains(item))
}

/// Whatever was suppressed still is, by itself or by what holds for all.
fn suppresses_as_much(before: &Policy, after: &Policy) -> bool {
    let listed = |policy: &Policy, key: &str, category: &Value| {
        let list = policy.suppressions.get(key).and_then(Value::as_array);
        list.is_some_and(|list| list.contains(category))
    };
    before.suppressions.iter().all(|(key, list)| {
        let mut categories = list.as_array().into_iter().flatten();
        categories.all(|category| listed(after, key, category) || listed(after, "*", category))
    })
}

/// Where things happen by themselves they stop at the same review deadline or
/// an earlier one: a renewed review lets go on, or start again, what would
/// have stopped.
fn ends_as_soon(before: &Policy, after: &Policy) -> bool {
    let deadline = |policy: &Policy| auto(policy).governance.review_deadline();
    after.mode != PolicyMode::GuardedAuto || deadline(after) <= deadline(before)
}

/// Bad outcomes still pause what they paused. How far it looks back makes a
/// difference either way.
fn pauses_as_much(before: &AutoPause, after: &AutoPause) -> bool {
    on(before.enabled, after.enabled)
        && after.lookback_executions == before.lookback_executions
        && after.min_sample_size <= before.min_sample_size
        && after.ambiguity_rate() <= before.ambiguity_rate()
        && after.failure_rate() <= before.failure_rate()
        && after.cleared_at <= before.cleared_at
}
