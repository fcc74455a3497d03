//! Chapter 02 §6.

use om_model::drift::{Confidence, DriftDocument};
use om_model::{Artifact, json};
use om_reconcile::drift::{DriftError, DriftInputs, check_catalog, evaluate, row};
use serde_json::json;

use crate::support::{artifact, blank, catalog, loop_id, malformed, now};

/// A mismatch with enough confidence.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) applied: &'static str,
    pub(crate) recommended: &'static str,
    pub(crate) confidence: Confidence,
    pub(crate) minimum: Confidence,
    pub(crate) required: u64,
    pub(crate) rationale: &'static str,
    pub(crate) previous: Artifact,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            applied: "strict",
            recommended: "relaxed",
            confidence: Confidence::High,
            minimum: Confidence::Medium,
            required: 3,
            rationale: "",
            previous: Artifact::Absent,
        }
    }
}

impl Case {
    pub(crate) fn evaluate(&self) -> Result<DriftDocument, DriftError> {
        evaluate(
            &DriftInputs {
                loop_id: &loop_id(),
                applied: self.applied,
                recommended: self.recommended,
                recommendation_confidence: self.confidence,
                minimum_confidence: self.minimum,
                required_streak: self.required,
                summary_window: 80,
                rationale: self.rationale,
                previous: &self.previous,
                previous_file: "/ops/profile-drift.json",
            },
            now(),
        )
    }

    fn document(&self) -> DriftDocument {
        self.evaluate().expect("a readable drift state")
    }
}

fn streak(streak: u64, active: bool) -> Artifact {
    artifact(json!({"mismatchStreak": streak, "driftActive": active}))
}

#[test]
fn the_status_table() {
    let low = Confidence::Low;
    for (case, expected) in [
        (
            Case {
                recommended: "",
                previous: streak(9, true),
                ..Case::default()
            },
            json!(["no_recommendation", null, null, 0]),
        ),
        (
            Case {
                recommended: "strict",
                ..Case::default()
            },
            json!(["aligned", null, null, 0]),
        ),
        (
            Case {
                applied: "",
                ..Case::default()
            },
            json!(["aligned", null, null, 0]),
        ),
        (
            Case {
                recommended: "strict",
                confidence: low,
                ..Case::default()
            },
            json!(["aligned", null, null, 0]),
        ),
        (
            Case {
                confidence: low,
                previous: streak(9, true),
                ..Case::default()
            },
            json!([
                "insufficient_confidence",
                null,
                "collect_more_confident_telemetry",
                0
            ]),
        ),
        (
            Case {
                previous: streak(1, false),
                ..Case::default()
            },
            json!(["mismatch_pending", null, "monitor_additional_windows", 2]),
        ),
        (
            Case {
                previous: streak(2, false),
                ..Case::default()
            },
            json!([
                "drift_active",
                "profile_drift_detected",
                "review_threshold_profile",
                3
            ]),
        ),
    ] {
        let document = case.document();
        let found = json!([
            document.status,
            document.reason_code,
            document.action,
            document.mismatch_streak,
        ]);
        assert_eq!(found, expected);
    }
}

#[test]
fn confidence_has_to_reach_the_minimum() {
    for confidence in Confidence::ALL {
        for minimum in Confidence::ALL {
            let document = Case {
                confidence,
                minimum,
                ..Case::default()
            }
            .document();
            let enough = confidence.rank() >= minimum.rank();
            assert_eq!(document.confidence_ok, enough);
            assert_eq!(document.eligible_mismatch, enough);
        }
    }
}

#[test]
fn activity_is_compared_with_the_last_evaluation() {
    for (previous, required, to_active, to_resolved) in [
        (streak(1, false), 3, false, false),
        (streak(2, false), 3, true, false),
        (streak(3, true), 3, false, false),
        // A higher requirement resolves a drift that is active.
        (streak(3, true), 9, false, true),
        (
            artifact(json!({"mismatchStreak": "2", "driftActive": "true"})),
            3,
            false,
            false,
        ),
        (artifact(json!({"mismatchStreak": -2})), 1, true, false),
    ] {
        let transitioned = Case {
            required,
            previous,
            ..Case::default()
        }
        .document()
        .transitioned;
        assert_eq!(transitioned.to_active, to_active);
        assert_eq!(transitioned.to_resolved, to_resolved);
    }
}

#[test]
fn alignment_resolves_an_active_drift() {
    let case = Case {
        recommended: "strict",
        previous: streak(5, true),
        ..Case::default()
    };
    let document = case.document();
    assert!(document.transitioned.to_resolved && !document.drift_active);
}

#[test]
fn only_an_unreadable_drift_state_is_an_error() {
    for nothing in [Artifact::Absent, blank(), artifact(json!(null))] {
        let document = Case {
            previous: nothing,
            ..Case::default()
        }
        .document();
        assert_eq!(document.mismatch_streak, 1);
    }
    for unreadable in [malformed(), artifact(json!([])), artifact(json!(3))] {
        let error = Case {
            previous: unreadable,
            ..Case::default()
        }
        .evaluate();
        let message = error.expect_err("an unreadable state").to_string();
        let expected = "invalid drift state JSON: /ops/profile-drift.json: ";
        assert!(message.starts_with(expected), "{message:?}");
    }
}

#[test]
fn both_names_have_to_be_in_the_catalog() {
    for (applied, recommended, message) in [
        ("strict", "relaxed", None),
        ("", "", None),
        ("loose", "relaxed", Some("unknown applied profile: loose")),
        (
            "strict",
            "loose",
            Some("unknown recommended profile: loose"),
        ),
        ("loose", "loose", Some("unknown applied profile: loose")),
    ] {
        let checked = check_catalog(&catalog(), "f", applied, recommended);
        assert_eq!(
            checked.err().map(|error| error.to_string()).as_deref(),
            message
        );
    }
}

#[test]
fn a_catalog_that_cannot_be_read_is_refused_without_names_too() {
    for catalog in [
        Artifact::Absent,
        blank(),
        malformed(),
        artifact(json!([])),
        artifact(json!({"profiles": []})),
    ] {
        let error = check_catalog(&catalog, "/etc/profiles.json", "", "");
        let message = error.expect_err("no catalog").to_string();
        let expected = "invalid threshold profiles file: /etc/profiles.json";
        assert!(message.starts_with(expected), "{message:?}");
    }
}

#[test]
fn the_documents_of_a_mismatch() {
    let pending = Case {
        previous: streak(1, false),
        required: 4,
        ..Case::default()
    };
    insta::assert_snapshot!("drift_pending", json::pretty(&pending.document()));
    let active = Case {
        previous: streak(2, false),
        rationale: "why",
        ..Case::default()
    };
    insta::assert_snapshot!("drift_active", json::pretty(&active.document()));
    insta::assert_snapshot!("drift_row", json::pretty(&row(&active.document())));
    let nothing = Case {
        applied: "",
        recommended: "",
        ..Case::default()
    };
    insta::assert_snapshot!("drift_nothing", json::pretty(&nothing.document()));
}
