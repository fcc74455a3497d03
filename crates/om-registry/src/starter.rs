//! A registry to begin with: every loop that was found, and a policy that
//! asks people about everything.

use om_model::fleet::registry::Policy;
use om_model::{LoopId, json};
use serde_json::{Value, json};

/// The text of a valid registry of these loops, which are not empty.
///
/// Nothing happens by itself: the mode is advisory, and even after that is
/// changed the canary share is 0 until somebody raises it.
pub fn starter(fleet_id: &str, loops: &[LoopId]) -> String {
    let loops: Vec<Value> = loops
        .iter()
        .map(|id| json!({"loopId": id, "enabled": true, "transport": "local"}))
        .collect();
    let mut policy = Policy::default();
    policy.autonomous.rollout.canary_percent = 0;
    let mut policy = json::to_value(&policy);
    if let Some(autonomous) = policy["autonomous"].as_object_mut() {
        // Derived from the mode, and to be filled in by whoever changes it.
        autonomous.shift_remove("enabled");
        autonomous.shift_remove("governance");
    }
    let document = json!({
        "schemaVersion": "v1",
        "fleetId": fleet_id,
        "loops": loops,
        "policy": policy,
    });
    json::pretty(&document) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use om_model::Timestamp;
    use om_model::fleet::registry::PolicyMode;

    #[test]
    fn a_starter_is_valid_and_lets_nothing_happen_by_itself() {
        let ids = ["a", "ü b"].map(|id| LoopId::new(id).expect("an id"));
        let text = starter("night", &ids);
        let found = evaluate(text.as_bytes(), "f", Timestamp::EPOCH).expect("is JSON");
        assert_eq!(found.warnings, []);
        let registry = found.valid().expect("is valid");
        assert_eq!(
            (registry.fleet_id.as_str(), registry.loop_count),
            ("night", 2)
        );
        assert_eq!(registry.policy.mode, PolicyMode::Advisory);
        assert_eq!(registry.policy.autonomous.rollout.canary_percent, 0);
    }
}
