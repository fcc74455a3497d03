//! What a registry allows: read and judged by this model's own rules, which
//! share no code with the product's.

use std::collections::{BTreeMap, BTreeSet};

use om_model::Timestamp;
use serde_json::Value;

use super::journal::text;

/// A registry, as far as it says what may happen by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    guarded: bool,
    review_by: String,
    kill_switch: bool,
    paused: bool,
    canary: u64,
    salt: String,
    scope: BTreeSet<String>,
    frozen: BTreeSet<String>,
    enabled: BTreeSet<String>,
    suppressed: BTreeMap<String, BTreeSet<String>>,
    categories: BTreeSet<String>,
    /// Most dispatches of one run.
    pub(super) per_run: u64,
    /// Most of them on one loop.
    pub(super) per_loop: u64,
    /// Seconds after a candidate was eligible.
    pub(super) cooldown: i64,
    auto_pause: AutoPause,
}

/// When bad outcomes pause autonomy.
#[derive(Clone, Debug, Default)]
struct AutoPause {
    enabled: bool,
    lookback: usize,
    sample: u64,
    cleared: Option<i64>,
}

/// One autonomous execution.
#[derive(Clone, Debug, Default)]
pub(super) struct Execution {
    timestamp: String,
    attempted: u64,
    ambiguous: u64,
    failed: u64,
}

impl Execution {
    /// Of a row of `handoff.jsonl`; `None` if it is none, or attempted
    /// nothing (decision D18).
    pub(super) fn read(row: &Value) -> Option<Self> {
        let execution = &row["execution"];
        let is_one =
            row["category"] == "fleet_handoff_execute" && execution["mode"] == "autonomous";
        let count = |member: &str| execution[member].as_u64().unwrap_or(0);
        let attempted = count("executedIntentCount");
        (is_one && attempted > 0).then(|| Self {
            timestamp: text(row, "timestamp").to_owned(),
            attempted,
            ambiguous: count("ambiguousCount"),
            failed: count("failedCount"),
        })
    }
}

impl Rules {
    /// Reads a registry whose members are all there.
    pub(super) fn read(registry: &Value) -> Self {
        let policy = &registry["policy"];
        let autonomous = &policy["autonomous"];
        let (safety, rollout) = (&autonomous["safety"], &autonomous["rollout"]);
        let auto_pause = &rollout["autoPause"];
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let loops = registry["loops"].as_array().into_iter().flatten();
        let enabled = loops.filter(|entry| entry["enabled"] != false);
        let suppressions = policy["suppressions"].as_object().into_iter().flatten();
        Self {
            guarded: policy["mode"] == "guarded_auto",
            review_by: text(&autonomous["governance"], "reviewBy").to_owned(),
            kill_switch: safety["killSwitch"] == true,
            paused: rollout["pause"]["manual"] == true,
            canary: number(&rollout["canaryPercent"]),
            salt: text(&rollout["selector"], "salt").to_owned(),
            scope: texts(&rollout["scope"]["loopIds"]),
            frozen: texts(&rollout["frozenLoopIds"]),
            enabled: enabled
                .map(|entry| text(entry, "loopId").to_owned())
                .collect(),
            suppressed: suppressions
                .map(|(scope, categories)| (scope.clone(), texts(categories)))
                .collect(),
            categories: texts(&autonomous["allow"]["categories"]),
            per_run: number(&safety["maxActionsPerRun"]),
            per_loop: number(&safety["maxActionsPerLoop"]),
            cooldown: safety["cooldownSeconds"].as_i64().unwrap_or(0),
            auto_pause: AutoPause {
                enabled: auto_pause["enabled"] == true,
                lookback: usize::try_from(number(&auto_pause["lookbackExecutions"])).unwrap_or(0),
                sample: number(&auto_pause["minSampleSize"]),
                cleared: Timestamp::parse(text(auto_pause, "clearedAt"))
                    .map(Timestamp::epoch_seconds),
            },
        }
    }

    /// Why nothing may be dispatched by itself about `category` of `loop_id`.
    pub(super) fn forbids(&self, loop_id: &str, category: &str) -> Option<&'static str> {
        let is_disabled = !self.enabled.contains(loop_id);
        is_disabled
            .then_some("the loop is disabled")
            .or_else(|| self.objection(loop_id, category))
    }

    /// Why nothing about `category` of `loop_id` is eligible. Policy judges
    /// what the last pass has found, whatever has become of the loop since.
    pub(super) fn objection(&self, loop_id: &str, category: &str) -> Option<&'static str> {
        let objections = [
            (!self.guarded, "the mode is advisory"),
            (self.review_by.starts_with("2020"), "the review is over"),
            (self.kill_switch, "the kill switch is on"),
            (self.paused, "the rollout is paused"),
            (self.frozen.contains(loop_id), "the loop is frozen"),
            (
                !self.scope.is_empty() && !self.scope.contains(loop_id),
                "the loop is out of scope",
            ),
            (
                bucket(loop_id, &self.salt) >= self.canary,
                "the loop is not in the canary",
            ),
            (
                !self.categories.contains(category),
                "the category is not allowed",
            ),
            // The least severity and confidence are those of the defaults.
            (
                category == "health_degraded",
                "the severity is below the threshold",
            ),
        ];
        let found = objections.into_iter().find(|(applies, _)| *applies);
        found.map(|(_, why)| why)
    }

    /// Whether somebody does not want to hear of it.
    pub(super) fn suppresses(&self, loop_id: &str, category: &str) -> bool {
        let scopes = [loop_id, "*"].into_iter();
        scopes
            .filter_map(|scope| self.suppressed.get(scope))
            .any(|categories| categories.contains(category))
    }

    /// Whether these executions, oldest first, pause autonomy.
    pub(super) fn is_auto_paused(&self, executions: &[Execution]) -> bool {
        let settings = &self.auto_pause;
        let counts = |execution: &&Execution| {
            let at = Timestamp::parse(&execution.timestamp).map(Timestamp::epoch_seconds);
            settings.cleared.is_none() || at >= settings.cleared
        };
        let mut window: Vec<&Execution> = executions.iter().filter(counts).collect();
        window.sort_by_key(|execution| &execution.timestamp);
        let window = &window[window.len().saturating_sub(settings.lookback)..];
        let sum = |of: fn(&Execution) -> u64| window.iter().map(|one| of(one)).sum::<u64>();
        let attempted = sum(|one| one.attempted);
        // Both thresholds are the default: two of five.
        let spikes = |bad: u64| bad * 5 >= attempted * 2;
        settings.enabled
            && attempted >= settings.sample
            && (spikes(sum(|one| one.ambiguous)) || spikes(sum(|one| one.failed)))
    }
}

/// The rollout bucket of a loop (chapter 06 §1.4.3).
fn bucket(loop_id: &str, salt: &str) -> u64 {
    let seed = format!("{loop_id}|{salt}");
    seed.chars().fold(17, |hash, one| {
        (31 * hash + u64::from(u32::from(one))) % 1_000_003
    }) % 100
}

fn texts(list: &Value) -> BTreeSet<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn execution(second: u32, [attempted, ambiguous, failed]: [u64; 3]) -> Value {
        json!({
            "timestamp": format!("2031-01-01T00:00:{second:02}Z"),
            "category": "fleet_handoff_execute",
            "execution": {
                "mode": "autonomous", "executedIntentCount": attempted,
                "ambiguousCount": ambiguous, "failedCount": failed,
            },
        })
    }

    #[test]
    fn the_buckets_are_those_of_the_contract() {
        for (loop_id, salt, expected) in [
            ("", "", 51),
            ("a", "b", 6),
            ("orchid", "fleet-autonomous-rollout-v1", 8),
            ("Ünit", "s1", 17),
            ("🚀", "s", 74),
        ] {
            assert_eq!(bucket(loop_id, salt), expected, "{loop_id}");
        }
    }

    #[test]
    fn bad_outcomes_pause_from_two_of_five_on() {
        let rules = |cleared: &str| {
            Rules::read(
                &json!({ "policy": { "autonomous": { "rollout": { "autoPause": {
                "enabled": true, "lookbackExecutions": 2, "minSampleSize": 3, "clearedAt": cleared,
            } } } } }),
            )
        };
        let never = "";
        for (counts, cleared, paused) in [
            (vec![[5, 2, 0]], never, true),
            (vec![[5, 0, 2]], never, true),
            (vec![[5, 1, 1]], never, false),
            (vec![[2, 2, 0]], never, false),
            (vec![[9, 9, 0], [3, 0, 0], [3, 0, 0]], never, false),
            (vec![[0, 0, 0], [3, 2, 0]], never, true),
            (vec![[5, 2, 0]], "2031-01-01T00:00:01Z", false),
            (vec![[5, 2, 0]], "2031-01-01T00:00:00Z", true),
        ] {
            let rows = counts
                .iter()
                .zip(0..)
                .map(|(counts, at)| execution(at, *counts));
            let executions: Vec<_> = rows.filter_map(|row| Execution::read(&row)).collect();
            let found = rules(cleared).is_auto_paused(&executions);
            assert_eq!(found, paused, "{counts:?} {cleared}");
        }
    }
}
