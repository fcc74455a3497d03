//! Chapter 02 §4, and §2.2 rows 14 and 15.

use om_model::Artifact;
use om_model::thresholds::HealthThresholds;
use om_reconcile::thresholds::{
    Threshold, ThresholdBase, ThresholdOverrides, effective, list, resolve,
};
use serde_json::{Value, json};

use crate::support::{artifact, blank, catalog, malformed, with};

const FILE: &str = "/etc/profiles.json";

fn message(catalog: &Artifact, name: Option<&str>) -> String {
    resolve(catalog, FILE, name)
        .expect_err("the catalog is refused")
        .to_string()
}

fn catalog_with(path: &str, value: Value) -> Artifact {
    let catalog = catalog();
    artifact(with(
        catalog.document().expect("a document").clone(),
        path,
        value,
    ))
}

#[test]
fn without_a_name_the_default_profile_is_resolved() {
    for name in [None, Some("")] {
        let resolved = resolve(&catalog(), FILE, name).expect("the default");
        assert_eq!(resolved.profile, "balanced");
        assert_eq!(resolved.source_file, FILE);
        assert_eq!(resolved.description, None);
    }
}

#[test]
fn a_named_profile_comes_with_its_description() {
    let resolved = resolve(&catalog(), FILE, Some("strict")).expect("the profile");
    insta::assert_snapshot!(om_model::json::pretty(&resolved));
}

#[test]
fn every_trouble_with_a_catalog_has_its_message() {
    let broken = |path: &str, value: Value| catalog_with(path, value);
    for (catalog, name, fragment) in [
        (
            Artifact::Absent,
            None,
            "threshold profiles file not found: /etc/profiles.json",
        ),
        (
            malformed(),
            None,
            "invalid threshold profiles JSON: /etc/profiles.json",
        ),
        (blank(), None, "threshold profiles file has invalid shape"),
        (
            artifact(json!([])),
            None,
            "threshold profiles file has invalid shape",
        ),
        (
            artifact(json!(null)),
            None,
            "threshold profiles file has invalid shape",
        ),
        (
            broken("schemaVersion", json!("v2")),
            None,
            "threshold profiles file has invalid shape",
        ),
        (
            broken("profiles", json!([])),
            None,
            "threshold profiles file has invalid shape",
        ),
        (
            broken("profiles", json!({})),
            None,
            "threshold profiles file has invalid shape",
        ),
        (
            broken("defaultProfile", json!(false)),
            None,
            "profile name is required and defaultProfile is missing",
        ),
        (
            broken("defaultProfile", json!("")),
            None,
            "profile name is required and defaultProfile is missing",
        ),
        (catalog(), Some("loose"), "unknown threshold profile: loose"),
        (
            broken("profiles.strict", json!(null)),
            Some("strict"),
            "unknown threshold profile: strict",
        ),
        (
            broken("profiles.strict", json!(7)),
            Some("strict"),
            "threshold profile values are invalid: strict",
        ),
        (
            broken("profiles.strict.degradedIngestLagSeconds", json!("120")),
            Some("strict"),
            "threshold profile values are invalid: strict",
        ),
        (
            broken("profiles.strict.criticalIngestLagSeconds", json!(119)),
            Some("strict"),
            "threshold profile values are invalid: strict",
        ),
        (
            broken("profiles.strict.criticalTransportFailureStreak", json!(0.5)),
            Some("strict"),
            "threshold profile values are invalid: strict",
        ),
    ] {
        let message = message(&catalog, name);
        assert!(
            message.contains(fragment),
            "{message:?} contains {fragment:?}"
        );
    }
}

#[test]
fn a_broken_profile_does_not_spoil_the_others() {
    let catalog = catalog_with("profiles.strict", json!("nonsense"));
    assert!(resolve(&catalog, FILE, Some("balanced")).is_ok());
    assert!(list(&catalog, FILE).is_ok());
}

#[test]
fn names_are_listed_sorted_even_without_a_default() {
    let catalog = catalog_with("defaultProfile", json!(null));
    let names = list(&catalog, FILE).expect("the names");
    assert_eq!(names, ["balanced", "relaxed", "strict"]);
}

fn base() -> ThresholdBase {
    ThresholdBase::from(&resolve(&catalog(), FILE, None).expect("the default"))
}

#[test]
fn an_override_changes_one_value_and_not_the_label() {
    let overrides = ThresholdOverrides::default().with(Threshold::CriticalIngestLag, Some("0901"));
    let values = effective(&base(), &overrides).expect("valid thresholds");
    assert_eq!(
        values,
        HealthThresholds {
            profile: Some("balanced".to_owned()),
            critical_ingest_lag_seconds: 901,
            ..HealthThresholds::default()
        }
    );
}

#[test]
fn the_first_value_that_is_no_whole_number_is_named() {
    // Everything from here on is wrong; the message names the first.
    for first in 0..Threshold::ALL.len() {
        let mut overrides = ThresholdOverrides::default();
        for threshold in &Threshold::ALL[first..] {
            overrides.set(*threshold, "-1");
        }
        let error = effective(&base(), &overrides).expect_err("a wrong number");
        let name = Threshold::ALL[first].flag();
        assert_eq!(
            error.to_string(),
            format!("{name} must be a non-negative integer")
        );
    }
}

#[test]
fn an_empty_override_is_a_value_and_a_wrong_one() {
    let mut overrides = ThresholdOverrides::default();
    overrides.set(Threshold::DegradedHeartbeatLag, "");
    let error = effective(&base(), &overrides).expect_err("no number");
    assert_eq!(
        error.to_string(),
        "degraded-heartbeat-lag-seconds must be a non-negative integer"
    );
}

#[test]
fn inverted_pairs_are_named_in_order() {
    for (threshold, message) in [
        (
            Threshold::CriticalIngestLag,
            "critical ingest lag threshold must be >= degraded threshold",
        ),
        (
            Threshold::CriticalHeartbeatLag,
            "critical heartbeat lag threshold must be >= degraded threshold",
        ),
        (
            Threshold::CriticalTransportFailureStreak,
            "critical transport failure threshold must be >= degraded threshold",
        ),
    ] {
        let mut overrides = ThresholdOverrides::default()
            .with(Threshold::CriticalTransportFailureStreak, Some("0"));
        overrides.set(threshold, "0");
        let error = effective(&base(), &overrides).expect_err("an inverted pair");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn an_override_saves_a_profile_whose_value_cannot_be_used() {
    let printed = json!({
        "profile": null,
        "values": {
            "degradedIngestLagSeconds": -5, "criticalIngestLagSeconds": "900",
            "degradedTransportFailureStreak": 2, "criticalTransportFailureStreak": 4.0,
        },
    });
    let base = ThresholdBase::from_stage(&printed);
    let error = effective(&base, &ThresholdOverrides::default()).expect_err("a negative value");
    assert_eq!(
        error.to_string(),
        "degraded-ingest-lag-seconds must be a non-negative integer"
    );
    let overrides = ThresholdOverrides::default().with(Threshold::DegradedIngestLag, Some("60"));
    let values = effective(&base, &overrides).expect("valid thresholds");
    assert_eq!(values.profile, None);
    assert_eq!(values.degraded_ingest_lag_seconds, 60);
    assert_eq!(values.critical_ingest_lag_seconds, 900);
}

#[test]
fn a_stage_that_prints_no_values_fails_on_the_first() {
    let error = effective(
        &ThresholdBase::from_stage(&json!({})),
        &ThresholdOverrides::default(),
    )
    .expect_err("no values");
    assert_eq!(
        error.to_string(),
        "degraded-ingest-lag-seconds must be a non-negative integer"
    );
}
