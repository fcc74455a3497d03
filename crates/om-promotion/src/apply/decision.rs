//! Whether the promotion decision allows an intent.

use om_model::promotion::ApplyIntent;
use om_model::{Artifact, Timestamp, json};
use serde_json::Value;

use crate::check::{Check, unknown};
use crate::document::Name;
use crate::error::PromotionError;

const STATE: Name = Name {
    file: "promotion state file",
    json: "promotion state",
};

/// Seconds that the clock of whoever decided may be ahead of ours.
const SKEW: u64 = 300;

/// The decision in the promotion state, which is at `path`, if it allows
/// `intent`.
///
/// A rollback needs no evidence: whatever is wrong with the state, its
/// decision is then `unknown` (decision D20).
pub(super) fn decide(
    intent: ApplyIntent,
    state: &Artifact,
    path: &str,
) -> Result<String, PromotionError> {
    let found = find(state, path);
    if !intent.widens() {
        return Ok(found.unwrap_or_else(|_| unknown()));
    }
    let decision = found?;
    if decision == "promote" {
        return Ok(decision);
    }
    Err(PromotionError::DecisionNotPromote {
        intent: intent.as_str(),
        decision,
    })
}

fn find(state: &Artifact, path: &str) -> Result<String, PromotionError> {
    let document = match state {
        Artifact::Absent => {
            return Err(PromotionError::NotFound {
                what: STATE.file,
                path: path.to_owned(),
            });
        }
        Artifact::Broken(json::ParseError::Blank) => return Err(PromotionError::DecisionMissing),
        Artifact::Broken(cause) => return Err(STATE.invalid(path, cause.clone())),
        Artifact::Document(document) => document,
    };
    let check = Check::read(document).map_err(|cause| STATE.invalid(path, cause))?;
    check
        .decision
        .filter(|decision| !decision.is_empty())
        .ok_or(PromotionError::DecisionMissing)
}

/// Refuses a decision that is not known to be younger than `minutes`.
pub(super) fn check_age(
    minutes: u64,
    state: &Artifact,
    path: &str,
    now: Timestamp,
) -> Result<(), PromotionError> {
    let stamp = state.document().and_then(|state| state.get("generatedAt"));
    let at = stamp.and_then(Value::as_str).and_then(Timestamp::parse);
    let is_young = at.is_some_and(|at| {
        now.seconds_since(at) <= minutes.saturating_mul(60) && at.seconds_since(now) <= SKEW
    });
    if is_young {
        return Ok(());
    }
    Err(PromotionError::DecisionTooOld {
        minutes,
        found: stamp.map_or_else(|| "missing".to_owned(), json::text),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(decision: &Value) -> Artifact {
        Artifact::Document(json!({ "summary": { "decision": decision } }))
    }

    #[test]
    fn only_promote_widens() {
        for (state, message) in [
            (Artifact::Absent, "promotion state file not found: s.json"),
            (
                Artifact::parse(b""),
                "promotion state missing summary.decision",
            ),
            (
                Artifact::parse(b"null"),
                "promotion state missing summary.decision",
            ),
            (
                state(&json!(null)),
                "promotion state missing summary.decision",
            ),
            (
                state(&json!(false)),
                "promotion state missing summary.decision",
            ),
            (
                state(&json!("")),
                "promotion state missing summary.decision",
            ),
            (
                Artifact::parse(b"[]"),
                "invalid promotion state JSON: s.json: document is an array, expected an object",
            ),
            (
                state(&json!("hold")),
                "intent expand requires promotion decision promote (found: hold)",
            ),
            (
                state(&json!(1)),
                "intent expand requires promotion decision promote (found: 1)",
            ),
        ] {
            let error = decide(ApplyIntent::Expand, &state, "s.json").expect_err("is refused");
            assert_eq!(error.to_string(), message, "{state:?}");
        }
        let broken = decide(ApplyIntent::Resume, &Artifact::parse(b"{"), "s.json");
        let text = broken.expect_err("is refused").to_string();
        assert!(
            text.starts_with("invalid promotion state JSON: s.json: "),
            "{text}"
        );
        let good = decide(ApplyIntent::Resume, &state(&json!("promote")), "s.json");
        assert_eq!(good.ok().as_deref(), Some("promote"));
    }

    #[test]
    fn a_rollback_needs_no_evidence() {
        for (state, decision) in [
            (Artifact::Absent, "unknown"),
            (Artifact::parse(b""), "unknown"),
            (Artifact::parse(b"{"), "unknown"),
            (Artifact::parse(b"[]"), "unknown"),
            (state(&json!(null)), "unknown"),
            (state(&json!("hold")), "hold"),
            (state(&json!("skipped")), "skipped"),
        ] {
            let found = decide(ApplyIntent::Rollback, &state, "s.json");
            assert_eq!(found.ok().as_deref(), Some(decision), "{state:?}");
        }
    }

    #[test]
    fn with_a_limit_of_age_a_decision_has_to_prove_its_own() {
        let now = Timestamp::from_epoch_seconds(1_900_000_000);
        let made = |seconds: i64| {
            let at = Timestamp::from_epoch_seconds(1_900_000_000 - seconds);
            Artifact::Document(json!({ "generatedAt": at }))
        };
        for (state, is_young) in [
            (made(0), true),
            (made(600), true),
            (made(601), false),
            (made(-300), true),
            (made(-301), false),
            (Artifact::Document(json!({})), false),
            (Artifact::Document(json!({ "generatedAt": "soon" })), false),
        ] {
            let found = check_age(10, &state, "s.json", now);
            assert_eq!(found.is_ok(), is_young, "{state:?}");
        }
    }
}
