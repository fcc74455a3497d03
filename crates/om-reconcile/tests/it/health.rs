//! Chapter 02 §3; decision D25.

use om_model::health::{HealthDocument, HealthStatus, IngestStatus, TransportMode};
use om_model::state::FailureCode;
use om_model::thresholds::HealthThresholds;
use om_model::{Artifact, json};
use om_reconcile::health::{
    FAILURE_REASONS, HealthError, HealthInputs, HeartbeatFreshness, evaluate,
};
use serde_json::{Value, json};

use crate::support::{artifact, now, thresholds, trace};

/// A healthy loop, to be spoilt member by member.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) state: Artifact,
    pub(crate) heartbeat: Artifact,
    pub(crate) sequence: Artifact,
    pub(crate) transport: Artifact,
    pub(crate) intent: Option<Vec<u8>>,
    pub(crate) thresholds: HealthThresholds,
    /// The failure code of a failed ingest; empty if there is none.
    pub(crate) failure: Option<String>,
    pub(crate) freshness: HeartbeatFreshness,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            state: Artifact::Absent,
            heartbeat: Artifact::Absent,
            sequence: Artifact::Absent,
            transport: Artifact::Absent,
            intent: None,
            thresholds: thresholds(),
            failure: None,
            freshness: HeartbeatFreshness::AsStored,
        }
    }
}

impl Case {
    pub(crate) fn evaluate(&self) -> Result<HealthDocument, HealthError> {
        evaluate(&HealthInputs {
            state: &self.state,
            state_file: "/ops/state.json",
            heartbeat: &self.heartbeat,
            heartbeat_file: "/ops/heartbeat.json",
            sequence: &self.sequence,
            sequence_file: "/ops/sequence-state.json",
            transport_health: &self.transport,
            transport_health_file: "/tel/transport-health.json",
            last_intent: self.intent.as_deref(),
            trace_id: Some(trace()),
            transport: TransportMode::Local,
            thresholds: self.thresholds.clone(),
            ingest_status: match self.failure {
                None => IngestStatus::Success,
                Some(_) => IngestStatus::Failed,
            },
            failure_code: self.failure.clone(),
            heartbeat_observed: self.freshness,
            updated_at: now().to_string(),
            now: now(),
        })
    }

    pub(crate) fn document(&self) -> HealthDocument {
        self.evaluate().expect("readable artifacts")
    }

    /// `code:severity metric observed threshold`, one line per reason.
    fn reasons(&self) -> Vec<String> {
        let document = self.document();
        let lines = document.reasons.iter().map(|reason| {
            format!(
                "{}:{} {} {} {}",
                reason.code,
                reason.severity.as_str(),
                reason.metric,
                reason.observed,
                reason.threshold
            )
        });
        lines.collect()
    }
}

/// A state whose last event is `lag` seconds old.
fn event_lag(lag: i64) -> Artifact {
    let at = om_model::Timestamp::from_epoch_seconds(now().epoch_seconds() - lag);
    artifact(json!({"projection": {"lastEventAt": at.to_string()}}))
}

fn heartbeat_lag(lag: u64) -> Artifact {
    artifact(json!({"heartbeatLagSeconds": lag}))
}

fn streak(streak: u64) -> Artifact {
    artifact(json!({"failureStreak": streak}))
}

pub(crate) fn intent(status: &str) -> Vec<u8> {
    json!({"status": status}).to_string().into_bytes()
}

/// A healthy loop with one thing changed.
fn but(spoil: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case::default();
    spoil(&mut case);
    case
}

/// Each case, and all of its reasons.
fn assert_reasons<const N: usize>(table: [(Case, &str); N]) {
    for (case, reason) in table {
        let expected: Vec<&str> = Some(reason).filter(|r| !r.is_empty()).into_iter().collect();
        assert_eq!(case.reasons(), expected, "{case:?}");
    }
}

#[test]
fn a_loop_that_was_never_seen_is_healthy() {
    assert_reasons([(Case::default(), "")]);
}

#[test]
fn divergence_is_a_reason() {
    let reason = "divergence_detected:degraded divergence.any true false";
    let any = |any: Value| but(|case| case.state = artifact(json!({"divergence": {"any": any}})));
    assert_reasons([
        (any(json!(true)), reason),
        (any(json!("true")), reason),
        (any(json!(false)), ""),
        (any(json!(1)), ""),
    ]);
}

#[test]
fn the_last_control_intent_is_a_reason_unless_it_worked() {
    let last = |status: &str| but(|case| case.intent = Some(intent(status)));
    assert_reasons([
        (
            last("ambiguous"),
            "control_ambiguous:degraded control.status ambiguous confirmed",
        ),
        (
            last("failed_command"),
            "control_failed_command:degraded control.status failed_command confirmed",
        ),
        (last("confirmed"), ""),
        (last("executed_unconfirmed"), ""),
    ]);
}

#[test]
fn the_age_of_the_last_event_is_a_reason() {
    let lag = |lag: i64| but(|case| case.state = event_lag(lag));
    assert_reasons([
        (lag(-60), ""),
        (lag(299), ""),
        (lag(300), "ingest_stale:degraded ingestLagSeconds 300 300"),
        (lag(899), "ingest_stale:degraded ingestLagSeconds 899 300"),
        (lag(900), "ingest_stale:critical ingestLagSeconds 900 900"),
    ]);
}

#[test]
fn the_age_of_the_last_heartbeat_is_a_reason() {
    let lag = |lag: u64| but(|case| case.heartbeat = heartbeat_lag(lag));
    let reason = "runtime_heartbeat_stale";
    assert_reasons([
        (lag(119), ""),
        (
            lag(120),
            &format!("{reason}:degraded heartbeatLagSeconds 120 120"),
        ),
        (
            lag(301),
            &format!("{reason}:critical heartbeatLagSeconds 301 300"),
        ),
    ]);
}

#[test]
fn failed_passes_in_a_row_are_a_reason() {
    let failed = |n: u64| but(|case| case.transport = streak(n));
    let reason = "transport_unreachable";
    assert_reasons([
        (failed(1), ""),
        (
            failed(2),
            &format!("{reason}:degraded transportFailureStreak 2 2"),
        ),
        (
            failed(4),
            &format!("{reason}:critical transportFailureStreak 4 4"),
        ),
    ]);
}

#[test]
fn disorder_is_a_reason_under_the_code_of_its_document() {
    let order = |document: Value| but(|case| case.sequence = artifact(document));
    let default = "ordering_drift_detected:degraded sequence.status ordering_drift_detected ok";
    assert_reasons([
        (order(json!({"driftActive": true})), default),
        (
            order(json!({"driftActive": true, "status": "skewed", "reasonCode": "clock_skew"})),
            "clock_skew:degraded sequence.status skewed ok",
        ),
        (
            order(json!({"driftActive": false, "reasonCode": "clock_skew"})),
            "",
        ),
    ]);
}

#[test]
fn a_failed_ingest_is_a_reason_even_without_a_known_code() {
    let failed = |code: &str| but(|case| case.failure = Some(code.to_owned()));
    assert_reasons([
        (
            failed(""),
            "reconcile_failed:degraded ingestStatus failed success",
        ),
        (
            failed("disk_on_fire"),
            "disk_on_fire:degraded ingestStatus failed success",
        ),
    ]);
}

#[test]
fn every_failure_code_has_its_reason() {
    for code in FailureCode::ALL {
        let case = Case {
            failure: Some(code.as_str().to_owned()),
            ..Case::default()
        };
        let listed = FAILURE_REASONS.iter().find(|(listed, _)| *listed == code);
        let (_, reason) = listed.expect("every code is listed");
        let line = format!("{reason}:degraded ingestStatus failed success");
        assert_eq!(case.reasons(), [line], "{code:?}");
    }
}

#[test]
fn a_failure_code_without_a_failure_is_only_echoed() {
    let case = Case::default();
    let document = evaluate(&HealthInputs {
        failure_code: Some("events_unavailable".to_owned()),
        ..inputs(&case)
    })
    .expect("readable artifacts");
    assert_eq!(document.status, HealthStatus::Healthy);
    assert_eq!(
        document.transport.failure_code.as_deref(),
        Some("events_unavailable")
    );
}

fn inputs(case: &Case) -> HealthInputs<'_> {
    HealthInputs {
        state: &case.state,
        state_file: "",
        heartbeat: &case.heartbeat,
        heartbeat_file: "",
        sequence: &case.sequence,
        sequence_file: "",
        transport_health: &case.transport,
        transport_health_file: "",
        last_intent: None,
        trace_id: None,
        transport: TransportMode::Local,
        thresholds: HealthThresholds::default(),
        ingest_status: IngestStatus::Success,
        failure_code: None,
        heartbeat_observed: HeartbeatFreshness::AsStored,
        updated_at: now().to_string(),
        now: now(),
    }
}

#[test]
fn a_threshold_of_zero_fires_when_its_metric_is_known() {
    let zero = HealthThresholds {
        profile: None,
        degraded_ingest_lag_seconds: 0,
        critical_ingest_lag_seconds: 0,
        degraded_heartbeat_lag_seconds: 0,
        critical_heartbeat_lag_seconds: 0,
        degraded_transport_failure_streak: 0,
        critical_transport_failure_streak: 0,
    };
    let unknown = Case {
        thresholds: zero.clone(),
        ..Case::default()
    };
    assert_eq!(
        unknown.reasons(),
        ["transport_unreachable:critical transportFailureStreak 0 0"]
    );
    let known = Case {
        state: event_lag(0),
        heartbeat: heartbeat_lag(0),
        thresholds: zero,
        ..Case::default()
    };
    assert_eq!(
        known.reasons(),
        [
            "ingest_stale:critical ingestLagSeconds 0 0",
            "runtime_heartbeat_stale:critical heartbeatLagSeconds 0 0",
            "transport_unreachable:critical transportFailureStreak 0 0",
        ]
    );
}

#[test]
fn of_equal_reasons_the_first_one_is_kept() {
    let case = Case {
        transport: streak(2),
        failure: Some("snapshot_unavailable".to_owned()),
        ..Case::default()
    };
    assert_eq!(
        case.reasons(),
        ["transport_unreachable:degraded transportFailureStreak 2 2"]
    );
}

#[test]
fn one_code_may_have_two_severities_and_is_listed_once() {
    let case = Case {
        transport: streak(4),
        failure: Some("snapshot_unavailable".to_owned()),
        ..Case::default()
    };
    assert_eq!(
        case.reasons(),
        [
            "transport_unreachable:critical transportFailureStreak 4 4",
            "transport_unreachable:degraded ingestStatus failed success",
        ]
    );
    let document = case.document();
    assert_eq!(
        json::to_value(&document.reason_codes),
        json!(["transport_unreachable"])
    );
    assert_eq!(document.status, HealthStatus::Critical);
}

#[test]
fn reasons_and_codes_are_sorted() {
    let case = Case {
        state: event_lag(300),
        heartbeat: heartbeat_lag(120),
        intent: Some(intent("ambiguous")),
        failure: Some("another".to_owned()),
        ..Case::default()
    };
    assert_eq!(
        json::to_value(&case.document().reason_codes),
        json!([
            "another",
            "control_ambiguous",
            "ingest_stale",
            "runtime_heartbeat_stale"
        ])
    );
}
