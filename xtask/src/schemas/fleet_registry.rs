//! The fleet registry as people write it (chapter 05 §1.6): a reference for
//! editors, which no command reads. It is stricter than the command about
//! unknown members and placeholders, and knows nothing of the rules that
//! compare members.

use serde_json::{Value, json};

use super::shape;

/// Its name in `schemas/`.
pub(super) const FILE: &str = "ops-manager-fleet.registry.schema.json";

/// The whole schema.
pub(super) fn schema() -> Value {
    json!({
        "$schema": shape::DRAFT,
        "$id": "https://superloop.sh/schemas/ops-manager-fleet-registry-v1.json",
        "title": "Ops Manager Fleet Registry",
        "description": "Which loops a fleet has, and what may happen to them; written by people.",
        "type": "object",
        "properties": {
            "schemaVersion": { "const": "v1" },
            "fleetId": {
                "description": "The fleet's name.",
                "type": "string",
                "minLength": 1,
            },
            "loops": { "type": "array", "minItems": 1, "items": fleet_loop() },
            "policy": policy(),
        },
        "required": ["schemaVersion", "loops"],
        "additionalProperties": false,
    })
}

fn fleet_loop() -> Value {
    json!({
        "description": "One loop.",
        "type": "object",
        "properties": {
            "loopId": {
                "description": "Its name: one safe path component.",
                "type": "string",
                "minLength": 1,
            },
            "enabled": { "description": "Whether passes observe it.", "type": "boolean" },
            "transport": {
                "description": "How it is reached.",
                "type": "string",
                "enum": ["local", "sprite_service"],
            },
            "sprite": { "description": "The machine it runs on.", "type": "object" },
            "service": {
                "description": "The service beside its runtime: baseUrl, tokenEnv, \
                    retryAttempts, retryBackoffSeconds.",
                "type": "object",
            },
            "metadata": { "description": "Anything.", "type": "object" },
        },
        "required": ["loopId"],
        "additionalProperties": true,
    })
}

fn policy() -> Value {
    json!({
        "description": "What may happen to the loops.",
        "type": "object",
        "properties": {
            "mode": {
                "description": "Whether anything may happen without a person.",
                "type": "string",
                "enum": ["advisory", "guarded_auto"],
            },
            "suppressions": {
                "description": "Loop id or * to the categories that nobody wants to hear of.",
                "type": "object",
                "additionalProperties": categories(),
            },
            "suppressionGovernance": {
                "description": "Loop id or * to who suppressed it and why.",
                "type": "object",
                "additionalProperties": texts(&["actor", "ref", "rationale", "reviewBy"], true),
            },
            "noiseControls": closed(
                "How often the same thing is said.",
                &json!({ "dedupeWindowSeconds": whole(0) }),
            ),
            "autonomous": autonomous(),
        },
        "additionalProperties": true,
    })
}

fn autonomous() -> Value {
    let governance = ["actor", "approvalRef", "rationale", "changedAt", "reviewBy"];
    let boolean = json!({ "type": "boolean" });
    let members = json!({
        "allow": closed("What is allowed at all.", &json!({
            "categories": categories(),
            "intents": { "type": "array", "items": { "type": "string", "enum": ["cancel"] } },
        })),
        "thresholds": closed("How bad and how sure it has to be.", &json!({
            "minSeverity": { "type": "string", "enum": ["critical", "warning", "info"] },
            "minConfidence": { "type": "string", "enum": ["high", "medium", "low"] },
        })),
        "safety": closed("Rails.", &json!({
            "maxActionsPerRun": whole(0),
            "maxActionsPerLoop": whole(0),
            "cooldownSeconds": whole(0),
            "killSwitch": boolean,
        })),
        "governance": texts(&governance, false),
        "rollout": closed("For which loops.", &json!({
            "canaryPercent": { "type": "integer", "minimum": 0, "maximum": 100 },
            "scope": closed("Which loops at all.", &json!({ "loopIds": ids() })),
            "selector": closed("How the share is chosen.", &json!({
                "salt": { "type": "string", "minLength": 1 },
            })),
            "pause": closed("Switched off by a person.", &json!({ "manual": boolean })),
            "autoPause": closed("Switched off by bad outcomes.", &json!({
                "enabled": boolean,
                "lookbackExecutions": whole(1),
                "minSampleSize": whole(1),
                "ambiguityRateThreshold": rate(),
                "failureRateThreshold": rate(),
                "clearedAt": { "type": "string", "minLength": 1 },
            })),
            "frozenLoopIds": ids(),
        })),
    });
    closed("What may be done without a person.", &members)
}

fn closed(description: &str, members: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "properties": members,
        "additionalProperties": false,
    })
}

/// Members that are texts with something in them.
fn texts(names: &[&str], open: bool) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let members: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| ((*name).to_owned(), text.clone()))
        .collect();
    json!({
        "description": "Who decided this, why, and until when.",
        "type": "object",
        "properties": members,
        "additionalProperties": open,
    })
}

fn categories() -> Value {
    let names = ["reconcile_failed", "health_critical", "health_degraded"];
    json!({ "type": "array", "items": { "type": "string", "enum": names } })
}

fn ids() -> Value {
    json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
}

fn whole(least: u64) -> Value {
    json!({ "type": "integer", "minimum": least })
}

fn rate() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::violations;

    fn accepted(document: &Value) -> bool {
        violations(&schema(), document).is_empty()
    }

    #[test]
    fn what_people_write_is_accepted() {
        let document = json!({
            "schemaVersion": "v1", "fleetId": "night",
            "loops": [{ "loopId": "a", "owner": "kim", "service": { "baseUrl": "http://a" } }],
            "policy": {
                "mode": "guarded_auto", "anything": 1,
                "suppressions": { "*": ["health_degraded"] },
                "suppressionGovernance": { "*": { "actor": "kim", "note": 1 } },
                "autonomous": {
                    "safety": { "killSwitch": true },
                    "rollout": { "canaryPercent": 25, "frozenLoopIds": ["a"] },
                },
            },
        });
        assert_eq!(violations(&schema(), &document), [""; 0]);
    }

    #[test]
    fn what_is_misspelt_or_wrong_is_not() {
        let with = |policy: Value| json!({ "schemaVersion": "v1", "loops": [{ "loopId": "a" }], "policy": policy });
        assert!(accepted(&with(json!({}))));
        for policy in [
            json!({ "autonomous": { "safety": { "killswitch": true } } }),
            json!({ "autonomous": { "rollout": { "canaryPercent": 101 } } }),
            json!({ "autonomous": { "allow": { "intents": ["approve"] } } }),
            json!({ "suppressions": { "a": ["noise"] } }),
            json!({ "mode": "auto" }),
            json!(null),
        ] {
            assert!(!accepted(&with(policy.clone())), "{policy}");
        }
        for document in [
            json!({ "schemaVersion": "v1", "loops": [] }),
            json!({ "schemaVersion": "v1", "loops": [{}] }),
            json!({ "schemaVersion": "v1", "loops": [{ "loopId": "a" }], "fleetid": "x" }),
            json!({ "loops": [{ "loopId": "a" }] }),
        ] {
            assert!(!accepted(&document), "{document}");
        }
    }
}
