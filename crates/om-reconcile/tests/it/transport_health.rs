//! Chapter 02 §2.6.3.

use om_model::health::TransportMode;
use om_model::json::MAX_INTEGER;
use om_model::observation::TransportHealth;
use om_model::state::FailureCode;
use om_model::{Artifact, json};
use om_reconcile::transport_health::{TransportHealthError, TransportHealthInputs, evaluate};
use serde_json::json;

use crate::support::{artifact, blank, malformed, now, trace};

fn after(
    previous: &Artifact,
    failure: Option<FailureCode>,
) -> Result<TransportHealth, TransportHealthError> {
    evaluate(
        &TransportHealthInputs {
            previous,
            previous_file: "/tel/transport-health.json",
            trace_id: &trace(),
            transport: TransportMode::SpriteService,
            failure,
        },
        now(),
    )
}

fn earlier() -> Artifact {
    artifact(json!({
        "failureStreak": 2,
        "lastFailureCode": "events_unavailable",
        "lastSuccessAt": "2031-05-01T00:00:00Z",
        "lastFailureAt": "2031-05-02T00:00:00Z",
    }))
}

#[test]
fn a_success_ends_the_streak_and_forgets_the_code() {
    let document = after(&earlier(), None).expect("a document");
    insta::assert_snapshot!(json::pretty(&document));
}

#[test]
fn a_failure_extends_the_streak_and_keeps_the_last_success() {
    let document = after(&earlier(), Some(FailureCode::ServiceRequestFailed)).expect("a document");
    insta::assert_snapshot!(json::pretty(&document));
}

#[test]
fn every_failure_code_counts() {
    for code in FailureCode::ALL {
        let document = after(&Artifact::Absent, Some(code)).expect("a document");
        assert_eq!(document.failure_streak, 1);
        assert_eq!(document.last_failure_code.as_deref(), Some(code.as_str()));
        assert_eq!(document.last_success_at, None);
    }
}

#[test]
fn a_streak_that_is_no_number_starts_over_and_never_overflows() {
    for (streak, next) in [
        (json!("7"), 8),
        (json!(-7), 1),
        (json!("many"), 1),
        (json!(null), 1),
        (json!(MAX_INTEGER), MAX_INTEGER),
    ] {
        let previous = artifact(json!({"failureStreak": streak}));
        let document = after(&previous, Some(FailureCode::ProjectionFailed)).expect("a document");
        assert_eq!(document.failure_streak, next, "{streak}");
    }
}

#[test]
fn only_a_document_of_the_wrong_type_is_an_error() {
    for nothing in [blank(), malformed(), artifact(json!(null))] {
        assert!(after(&nothing, None).is_ok());
    }
    let error = after(&artifact(json!([])), None).expect_err("a wrong type");
    assert_eq!(
        error.to_string(),
        "invalid transport health JSON: /tel/transport-health.json: \
         document is an array, expected an object; repair or remove the file"
    );
}
