//! For which loops autonomy is on (§1.4.3).

use om_model::fleet::registry::Rollout;
use om_policy::rollout::Cohort;
use serde_json::json;

use crate::support::{Fleet, critical};

fn rollout(percent: u8, scope: &[&str]) -> Cohort {
    let mut rollout = Rollout {
        canary_percent: percent,
        ..Rollout::default()
    };
    rollout.scope.loop_ids = scope.iter().map(ToString::to_string).collect();
    Cohort::new(&rollout)
}

#[test]
fn the_contracts_vectors() {
    for (loop_id, salt, bucket) in [
        ("", "", 51),
        ("a", "b", 6),
        ("orchid", "fleet-autonomous-rollout-v1", 8),
        ("harbor-2", "fleet-autonomous-rollout-v1", 25),
        ("north-7", "wave-2", 21),
        ("Ünit", "s1", 17),
        ("🚀", "s", 74),
    ] {
        let mut rollout = Rollout::default();
        rollout.selector.salt = salt.to_owned();
        assert_eq!(
            Cohort::new(&rollout).place(loop_id).bucket,
            bucket,
            "{loop_id}|{salt}"
        );
    }
}

#[test]
fn who_is_in_the_cohort() {
    // "orchid" is in bucket 8.
    for (percent, scope, in_scope, selected, in_cohort) in [
        (0, &[][..], true, false, false),
        (8, &[], true, false, false),
        (9, &[], true, true, true),
        (100, &[], true, true, true),
        (100, &["other"], false, true, false),
        (0, &["other"], false, false, false),
        (9, &["other", "orchid"], true, true, true),
        (8, &["orchid"], true, false, false),
    ] {
        let place = rollout(percent, scope).place("orchid");
        assert_eq!(place.bucket, 8);
        assert_eq!(
            (place.in_scope, place.canary_selected, place.in_cohort),
            (in_scope, selected, in_cohort),
            "{percent} {scope:?}"
        );
    }
}

#[test]
fn both_candidates_of_a_loop_are_in_the_same_bucket() {
    let results = json!([{"loopId": "orchid", "status": "failed", "healthStatus": "critical"}]);
    let state = Fleet::advisory(results).state();
    let buckets: Vec<_> = state
        .candidates
        .iter()
        .map(|c| c.autonomous.rollout.selector.bucket)
        .collect();
    assert_eq!(buckets, [8, 8]);
}

#[test]
fn the_document_counts_candidates_in_and_out() {
    let mut fleet = Fleet::advisory(json!([
        {"loopId": "orchid", "status": "failed", "healthStatus": "critical"},
        critical("harbor-2"),
        critical("elsewhere"),
    ]));
    fleet.policy.autonomous.rollout.canary_percent = 9;
    fleet.policy.autonomous.rollout.scope.loop_ids = vec!["orchid".into(), "harbor-2".into()];
    fleet
        .policy
        .suppressions
        .insert("orchid".into(), json!(["health_critical"]));
    let buckets = fleet.state().autonomous.rollout.candidate_buckets;
    assert_eq!(
        (
            buckets.in_scope_count,
            buckets.in_cohort_count,
            buckets.out_of_cohort_count
        ),
        (3, 2, 1)
    );
}
