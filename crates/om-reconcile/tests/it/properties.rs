//! What holds for any input.

use om_model::drift::Confidence;
use om_model::health::{HealthReasonCode, HealthStatus, Severity};
use om_model::observation::EventBatch;
use om_model::state::FailureCode;
use om_model::{Artifact, json};
use om_reconcile::pass::{PassInputs, close, drift, drift_request, health, observe, record};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::health::Case as HealthCase;
use crate::support::{
    artifact, blank, catalog, context, event, failed_pass, fold, malformed, observation,
    pass_inputs,
};

/// Any JSON value; members are often those that the product reads.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z_]{0,6}",
        Just("true".to_owned()),
        Just("2031-05-02T07:00:00Z".to_owned()),
        Just("12".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1.0e3..1.0e3).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let member = proptest::sample::select(vec![
        "status",
        "reasonCodes",
        "transition",
        "currentState",
        "projection",
        "lastEventAt",
        "divergence",
        "any",
        "cursor",
        "eventLineOffset",
        "trace",
        "driftActive",
        "snapshot",
        "current",
        "events",
        "last",
        "failureStreak",
        "lastHeartbeatAt",
        "heartbeatLagSeconds",
        "heartbeat",
        "timestamp",
        "thresholds",
        "profile",
        "recommendedProfile",
        "confidence",
        "mismatchStreak",
        "other",
    ]);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((member.clone(), inner), 0..6).prop_map(|members| {
                let members = members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(members.collect())
            }),
        ]
    })
}

fn any_artifact() -> impl Strategy<Value = Artifact> {
    prop_oneof![
        Just(Artifact::Absent),
        Just(blank()),
        Just(malformed()),
        any_json().prop_map(Artifact::Document),
    ]
}

fn any_health() -> impl Strategy<Value = HealthCase> {
    let lag = option::of(0u64..2000);
    (
        any::<bool>(),
        lag.clone(),
        lag,
        0u64..6,
        any::<bool>(),
        option::of(proptest::sample::select(vec![
            "ambiguous",
            "failed_command",
            "confirmed",
        ])),
        option::of(option::of(proptest::sample::select(
            FailureCode::ALL.to_vec(),
        ))),
    )
        .prop_map(
            |(divergence, ingest, heartbeat, streak, drift, control, failure)| HealthCase {
                state: artifact(json!({
                    "divergence": {"any": divergence},
                    "projection": {"lastEventAt": ingest.map(seconds_ago)},
                })),
                heartbeat: artifact(json!({"heartbeatLagSeconds": heartbeat})),
                sequence: artifact(json!({"driftActive": drift})),
                transport: artifact(json!({"failureStreak": streak})),
                intent: control.map(|status| json!({"status": status}).to_string().into_bytes()),
                failure: failure
                    .map(|code| code.map_or_else(String::new, |code| code.as_str().to_owned())),
                ..HealthCase::default()
            },
        )
}

fn seconds_ago(lag: u64) -> String {
    let now = crate::support::now().epoch_seconds();
    let at = now - i64::try_from(lag).expect("a small lag");
    om_model::Timestamp::from_epoch_seconds(at).to_string()
}

/// Every stage with whatever the hooks print; aborts are fine, panics not.
fn run_any(inputs: &PassInputs, printed: Option<Value>, summary: Option<&Value>) -> Option<String> {
    let context = context();
    let observed = observe(inputs, &context).ok()?;
    let document = match printed {
        Some(printed) => printed,
        None => health(inputs, &observed, &context).ok()?,
    };
    let recorded = record(inputs, observed, document, &context).ok()?;
    let request = drift_request(&recorded, summary).ok()?;
    let previous = inputs.prior.sequence.clone();
    let outcome = drift(inputs, &request, &catalog(), &previous, &context).ok()?;
    let closed = close(inputs, recorded, summary, outcome, &context);
    Some(format!("{:?}", closed.commit))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn health_is_critical_exactly_with_a_critical_reason(case in any_health()) {
        let document = case.document();
        let critical = document.reasons.iter().any(|reason| reason.severity == Severity::Critical);
        prop_assert_eq!(document.status == HealthStatus::Critical, critical);
        prop_assert_eq!(document.status == HealthStatus::Healthy, document.reasons.is_empty());
    }

    #[test]
    fn reason_codes_are_sorted_distinct_and_backed_by_reasons(case in any_health()) {
        let document = case.document();
        let codes: Vec<&str> = document.reason_codes.iter().map(HealthReasonCode::as_str).collect();
        prop_assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
        let backed = document.reasons.iter().all(|reason| codes.contains(&reason.code.as_str()));
        prop_assert!(backed);
        prop_assert!(codes.len() <= document.reasons.len());
    }

    #[test]
    fn more_lag_never_improves_health(case in any_health(), lag in 0u64..2000, more in 0u64..2000) {
        let at = |lag: u64| {
            let mut case = case.clone();
            case.state = artifact(json!({"projection": {"lastEventAt": seconds_ago(lag)}}));
            case.document().status
        };
        prop_assert!(at(lag) <= at(lag + more));
    }

    #[test]
    fn any_documents_and_hooks_are_survived_deterministically(
        prior in vec(any_artifact(), 5),
        printed in option::of(any_json()),
        summary in option::of(any_json()),
        intent in option::of(vec(any::<u8>(), 0..12)),
        snapshot in option::of(any_json()),
        fails in any::<bool>(),
        from_start in any::<bool>(),
    ) {
        let mut inputs = pass_inputs();
        if let Some(patch) = snapshot {
            observation(&mut inputs).snapshot["runtime"] = patch;
        }
        if fails {
            inputs = failed_pass(FailureCode::EventsUnavailable);
        }
        inputs.settings.from_start = from_start;
        let mut prior = prior.into_iter();
        let mut next = || prior.next().unwrap_or_default();
        inputs.prior.health = next();
        inputs.prior.state = next();
        inputs.prior.transport_health = next();
        inputs.prior.sequence = next();
        inputs.prior.heartbeat = next();
        inputs.prior.last_intent = intent;
        let first = run_any(&inputs, printed.clone(), summary.as_ref());
        prop_assert_eq!(first, run_any(&inputs, printed, summary.as_ref()));
    }

    #[test]
    fn folding_a_batch_in_parts_finds_the_same_ends(
        sequences in vec(option::weighted(0.8, 0u64..20), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(sequences.len() + 1);
        let (head, tail) = (fold(&sequences[..cut]), fold(&sequences[cut..]));
        let whole = fold(&sequences);
        prop_assert_eq!(whole.first, head.first.or(tail.first));
        prop_assert_eq!(whole.last, tail.last.or(head.last));
        prop_assert_eq!(whole.missing, head.missing || tail.missing);
        prop_assert_eq!(whole.count, head.count + tail.count);
    }

    #[test]
    fn a_drift_streak_never_exceeds_its_eligible_evaluations(
        steps in vec((any::<bool>(), 0usize..3), 0..20),
    ) {
        let (mut previous, mut eligible) = (Artifact::Absent, 0);
        for (aligned, level) in steps {
            let case = crate::drift::Case {
                recommended: if aligned { "strict" } else { "relaxed" },
                confidence: Confidence::ALL[level],
                previous,
                ..crate::drift::Case::default()
            };
            let document = case.evaluate().expect("own drift state");
            eligible += u64::from(document.eligible_mismatch);
            prop_assert!(document.mismatch_streak <= eligible);
            prop_assert_eq!(document.drift_active, document.mismatch_streak >= 3);
            previous = artifact(json::to_value(&document));
        }
    }

    #[test]
    fn a_projection_depends_on_the_last_event_only(
        names in vec("[a-z_]{1,8}", 1..6),
        other in vec("[a-z_]{1,8}", 0..6),
    ) {
        let state = |names: &[String]| {
            let mut inputs = pass_inputs();
            let last = names.last().map(|name| event(name, 15));
            let batch = EventBatch { last, ..EventBatch::default() };
            observation(&mut inputs).batch = batch;
            let closed = crate::pass::run(&inputs);
            (closed.stdout["projection"].clone(), closed.stdout["transition"].clone())
        };
        let mut longer = other;
        longer.extend(names.last().cloned());
        prop_assert_eq!(state(&names), state(&longer));
    }
}
