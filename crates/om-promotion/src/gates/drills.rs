//! Gate 5: the safety nets were tried lately.

use om_model::json::{self, WrongType};
use om_model::promotion::gates::{
    Drill, DrillRecencyGate, DrillTrouble, GateReason, GateThresholds,
};
use om_model::{Artifact, Timestamp};
use serde_json::Value;

use super::CLOCK_SKEW_SECONDS;
use crate::error::Cause;

/// What the record of drills says.
#[derive(Clone, Debug, PartialEq)]
pub enum DrillEvidence {
    /// There is none.
    Missing,
    /// It is not JSON.
    Invalid,
    /// Its `drills`: an array, or an object whose values are the list.
    Read(Value),
}

impl DrillEvidence {
    /// Reads the record. An empty file and wrong types are errors; broken
    /// JSON fails the gate.
    pub fn read(artifact: &Artifact) -> Result<Self, Cause> {
        match artifact {
            Artifact::Absent => Ok(Self::Missing),
            Artifact::Broken(error @ json::ParseError::Blank) => Err(error.clone().into()),
            Artifact::Broken(_) => Ok(Self::Invalid),
            Artifact::Document(document) => Ok(Self::Read(drills(document)?)),
        }
    }

    fn entries(&self) -> Vec<&Value> {
        match self {
            Self::Read(Value::Array(entries)) => entries.iter().collect(),
            Self::Read(Value::Object(entries)) => entries.values().collect(),
            _ => Vec::new(),
        }
    }
}

fn drills(document: &Value) -> Result<Value, WrongType> {
    let root = json::root_object(document)?;
    let drills = json::present(root.get("drills"))
        .cloned()
        .unwrap_or_else(|| Value::Array(Vec::new()));
    let wrong = |member: String, found: &Value, expected| WrongType {
        member,
        found: json::type_name(found),
        expected,
    };
    let entries: Vec<&Value> = match &drills {
        Value::Array(entries) => entries.iter().collect(),
        Value::Object(entries) => entries.values().collect(),
        other => return Err(wrong("drills".to_owned(), other, "an array")),
    };
    for (index, entry) in entries.into_iter().enumerate() {
        if !matches!(entry, Value::Object(_) | Value::Null) {
            return Err(wrong(format!("drills[{index}]"), entry, "an object"));
        }
    }
    Ok(drills)
}

/// The gate over the drills.
pub(super) fn gate(
    evidence: &DrillEvidence,
    thresholds: &GateThresholds,
    now: Timestamp,
) -> DrillRecencyGate {
    let reasons = match evidence {
        DrillEvidence::Missing => vec![GateReason::DrillStateMissing],
        DrillEvidence::Invalid => vec![GateReason::DrillStateInvalid],
        DrillEvidence::Read(_) => {
            let entries = evidence.entries();
            let limit = thresholds.max_drill_age_hours.saturating_mul(3600);
            let each = Drill::REQUIRED.into_iter().flat_map(|drill| {
                let first = entries
                    .iter()
                    .find(|entry| entry.get("id").is_some_and(|id| id == drill.as_str()));
                let troubles = troubles(first.copied(), limit, now);
                troubles
                    .into_iter()
                    .map(move |trouble| GateReason::Drill(trouble, drill))
            });
            each.collect()
        }
    };
    DrillRecencyGate {
        verdict: reasons.into(),
        required_drills: Drill::REQUIRED.to_vec(),
        drills: match evidence {
            DrillEvidence::Read(drills) => drills.clone(),
            DrillEvidence::Missing | DrillEvidence::Invalid => Value::Array(Vec::new()),
        },
    }
}

/// What is wrong with the evidence of one drill, `limit` in seconds.
fn troubles(entry: Option<&Value>, limit: u64, now: Timestamp) -> Vec<DrillTrouble> {
    let Some(entry) = entry else {
        return vec![DrillTrouble::Missing];
    };
    let at = entry
        .get("completedAt")
        .and_then(Value::as_str)
        .and_then(Timestamp::parse)
        .filter(|at| at.seconds_since(now) <= CLOCK_SKEW_SECONDS);
    let is_passed = entry.get("status").is_some_and(|status| status == "pass");
    let about_time = match at {
        None => Some(DrillTrouble::TimestampInvalid),
        Some(at) if now.seconds_since(at) > limit => Some(DrillTrouble::Stale),
        Some(_) => None,
    };
    let about_status = (!is_passed).then_some(DrillTrouble::NotPassed);
    about_status.into_iter().chain(about_time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_900_000_000;

    fn ago(seconds: i64) -> String {
        Timestamp::from_epoch_seconds(NOW - seconds).to_string()
    }

    fn entry(id: &str, status: &str, completed_at: &str) -> Value {
        json!({ "id": id, "status": status, "completedAt": completed_at })
    }

    fn reasons(drills: &Value) -> Vec<String> {
        let document = Artifact::Document(json!({ "drills": drills }));
        let evidence = DrillEvidence::read(&document).expect("is read");
        let limits = GateThresholds::default();
        let gate = gate(&evidence, &limits, Timestamp::from_epoch_seconds(NOW));
        gate.verdict
            .reasons
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// The two other drills, passed just now.
    fn others() -> [Value; 2] {
        ["sprite_service_outage", "ambiguous_retry_guard"].map(|id| entry(id, "pass", &ago(0)))
    }

    fn with(first: &Value) -> Vec<String> {
        let [outage, guard] = others();
        reasons(&json!([first, outage, guard]))
    }

    #[test]
    fn the_table_of_reasons() {
        const WEEK: i64 = 168 * 3600;
        for (first, expected) in [
            (entry("kill_switch", "pass", &ago(0)), &[][..]),
            (entry("kill_switch", "pass", &ago(WEEK)), &[]),
            (entry("kill_switch", "pass", &ago(-300)), &[]),
            (
                entry("kill_switch", "pass", &ago(WEEK + 1)),
                &["promotion_drill_stale_kill_switch"],
            ),
            (
                entry("kill_switch", "pass", &ago(-301)),
                &["promotion_drill_timestamp_invalid_kill_switch"],
            ),
            (
                entry("kill_switch", "pass", "yesterday"),
                &["promotion_drill_timestamp_invalid_kill_switch"],
            ),
            (
                json!({ "id": "kill_switch", "status": "pass" }),
                &["promotion_drill_timestamp_invalid_kill_switch"],
            ),
            (
                entry("kill_switch", "fail", &ago(0)),
                &["promotion_drill_not_passed_kill_switch"],
            ),
            (
                entry("kill_switch", "fail", &ago(WEEK + 1)),
                &[
                    "promotion_drill_not_passed_kill_switch",
                    "promotion_drill_stale_kill_switch",
                ],
            ),
            (
                entry("other", "pass", &ago(0)),
                &["promotion_drill_missing_kill_switch"],
            ),
            (json!(null), &["promotion_drill_missing_kill_switch"]),
        ] {
            assert_eq!(with(&first), expected, "{first}");
        }
    }

    #[test]
    fn a_bad_stamp_erases_no_other_reason() {
        let found = reasons(&json!([
            entry("kill_switch", "fail", &ago(0)),
            entry("ambiguous_retry_guard", "pass", "never"),
        ]));
        let expected = [
            "promotion_drill_not_passed_kill_switch",
            "promotion_drill_missing_sprite_service_outage",
            "promotion_drill_timestamp_invalid_ambiguous_retry_guard",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_entry_of_a_drill_decides() {
        let [outage, guard] = others();
        let found = reasons(&json!([
            entry("kill_switch", "fail", &ago(0)),
            entry("kill_switch", "pass", &ago(0)),
            outage,
            guard,
        ]));
        assert_eq!(found, ["promotion_drill_not_passed_kill_switch"]);
    }

    #[test]
    fn an_object_of_drills_is_the_list_of_its_values() {
        let [outage, guard] = others();
        let drills = json!({ "b": outage, "a": entry("kill_switch", "pass", &ago(1)), "c": guard });
        assert!(reasons(&drills).is_empty());
    }

    #[test]
    fn without_a_record_only_that_is_said() {
        let now = Timestamp::from_epoch_seconds(NOW);
        for (evidence, reason) in [
            (DrillEvidence::Missing, GateReason::DrillStateMissing),
            (DrillEvidence::Invalid, GateReason::DrillStateInvalid),
        ] {
            let gate = gate(&evidence, &GateThresholds::default(), now);
            assert_eq!(gate.verdict.reasons, [reason]);
            assert_eq!(gate.drills, json!([]));
        }
    }

    #[test]
    fn broken_json_fails_the_gate_but_a_wrong_type_is_an_error() {
        let read = |text: &str| DrillEvidence::read(&Artifact::parse(text.as_bytes()));
        assert_eq!(read("{"), Ok(DrillEvidence::Invalid));
        assert_eq!(read("null"), Ok(DrillEvidence::Read(json!([]))));
        assert_eq!(read("{}"), Ok(DrillEvidence::Read(json!([]))));
        assert_eq!(
            read(r#"{"drills":false}"#),
            Ok(DrillEvidence::Read(json!([])))
        );
        for (text, message) in [
            (" ", "it is empty"),
            ("[]", "document is an array, expected an object"),
            (r#"{"drills":"x"}"#, "drills is a string, expected an array"),
            (
                r#"{"drills":[null,"x"]}"#,
                "drills[1] is a string, expected an object",
            ),
        ] {
            let error = read(text).expect_err("is refused");
            assert_eq!(error.to_string(), message);
        }
    }
}
