//! What a policy was evaluated with, from the document that says so.

use om_model::Timestamp;
use om_model::fleet::registry::Autonomous;
use serde_json::{Value, json};

use crate::normalize::{Defaults, normalize};

/// The normalised values in `controls`, `autonomous.controls` of a policy
/// state; what is missing there has the registry's default.
pub fn evaluated(controls: &Value, now: Timestamp) -> Autonomous {
    let document = json!({"policy": {"mode": "guarded_auto", "autonomous": controls}});
    // Only loops can be refused, and there are none.
    normalize(&document, "", now, Defaults::Registry)
        .map(|registry| registry.policy.autonomous)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use om_model::json::to_value;

    #[test]
    fn normalised_values_are_read_back_as_they_were_written() {
        let now = Timestamp::EPOCH;
        let controls = json!({
            "allow": {"categories": ["health_degraded"], "intents": []},
            "safety": {"maxActionsPerRun": 7, "killSwitch": true},
            "rollout": {"canaryPercent": 12, "autoPause": {"enabled": false}},
        });
        let once = evaluated(&controls, now);
        assert_eq!(once.safety.max_actions_per_run, 7);
        assert!(!once.rollout.auto_pause.enabled);
        assert_eq!(evaluated(&to_value(&once), now), once);
        assert_eq!(evaluated(&Value::Null, now).safety.max_actions_per_run, 1);
    }
}
