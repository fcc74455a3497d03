//! The reason table of chapter 02 §3.4, in one place and in its order.

use om_model::health::{HealthReason, HealthReasonCode as Code, Severity};
use om_model::state::FailureCode;
use om_model::thresholds::HealthThresholds;

use super::facts::Facts;
use crate::thresholds::Threshold;

/// One row of the table (two where a metric has two thresholds).
enum Rule {
    /// Degraded while a fact holds.
    Holds {
        code: Code,
        metric: &'static str,
        when: fn(&Facts) -> bool,
        observed: &'static str,
        threshold: &'static str,
    },
    /// Critical or degraded from a threshold on, both inclusive.
    Reaches {
        code: Code,
        metric: &'static str,
        value: fn(&Facts) -> Option<u64>,
        degraded: Threshold,
        critical: Threshold,
    },
    /// Degraded while the sequence file says so, under its own code.
    Drift { metric: &'static str },
    /// Degraded when the pass failed, under [`FAILURE_REASONS`].
    IngestFailed { metric: &'static str },
}

const RULES: [Rule; 8] = [
    Rule::Holds {
        code: Code::DivergenceDetected,
        metric: "divergence.any",
        when: |facts| facts.divergence,
        observed: "true",
        threshold: "false",
    },
    Rule::Holds {
        code: Code::ControlAmbiguous,
        metric: "control.status",
        when: |facts| facts.last_control_is("ambiguous"),
        observed: "ambiguous",
        threshold: "confirmed",
    },
    Rule::Holds {
        code: Code::ControlFailedCommand,
        metric: "control.status",
        when: |facts| facts.last_control_is("failed_command"),
        observed: "failed_command",
        threshold: "confirmed",
    },
    Rule::Reaches {
        code: Code::IngestStale,
        metric: "ingestLagSeconds",
        value: |facts| facts.metrics.ingest_lag_seconds,
        degraded: Threshold::DegradedIngestLag,
        critical: Threshold::CriticalIngestLag,
    },
    Rule::Reaches {
        code: Code::RuntimeHeartbeatStale,
        metric: "heartbeatLagSeconds",
        value: |facts| facts.metrics.heartbeat_lag_seconds,
        degraded: Threshold::DegradedHeartbeatLag,
        critical: Threshold::CriticalHeartbeatLag,
    },
    Rule::Reaches {
        code: Code::TransportUnreachable,
        metric: "transportFailureStreak",
        value: |facts| Some(facts.metrics.transport_failure_streak),
        degraded: Threshold::DegradedTransportFailureStreak,
        critical: Threshold::CriticalTransportFailureStreak,
    },
    Rule::Drift {
        metric: "sequence.status",
    },
    Rule::IngestFailed {
        metric: "ingestStatus",
    },
];

/// Which reason a failure code stands for; codes that are not listed stand
/// for themselves, and no code at all for `reconcile_failed`.
pub const FAILURE_REASONS: [(FailureCode, Code); 5] = [
    (FailureCode::SnapshotUnavailable, Code::TransportUnreachable),
    (FailureCode::EventsUnavailable, Code::TransportUnreachable),
    (
        FailureCode::ServiceRequestFailed,
        Code::TransportUnreachable,
    ),
    (
        FailureCode::ServiceResponseInvalid,
        Code::InvalidTransportPayload,
    ),
    (FailureCode::ProjectionFailed, Code::ProjectionFailed),
];

/// Every reason that applies, in the table's order, duplicates included.
pub(super) fn apply(facts: &Facts, thresholds: &HealthThresholds) -> Vec<HealthReason> {
    let reasons = RULES
        .iter()
        .filter_map(|rule| rule.reason(facts, thresholds));
    reasons.collect()
}

impl Rule {
    fn reason(&self, facts: &Facts, thresholds: &HealthThresholds) -> Option<HealthReason> {
        match self {
            Self::Holds {
                code,
                metric,
                when,
                observed,
                threshold,
            } => when(facts).then(|| degraded(code.clone(), metric, observed, threshold)),
            Self::Reaches {
                code,
                metric,
                value,
                degraded: from,
                critical,
            } => {
                let value = value(facts)?;
                let (severity, threshold) = [
                    (Severity::Critical, critical.of(thresholds)),
                    (Severity::Degraded, from.of(thresholds)),
                ]
                .into_iter()
                .find(|(_, threshold)| value >= *threshold)?;
                Some(HealthReason {
                    severity,
                    ..degraded(
                        code.clone(),
                        metric,
                        &value.to_string(),
                        &threshold.to_string(),
                    )
                })
            }
            Self::Drift { metric } => {
                let code = Code::from(facts.drift_code.as_deref()?);
                let status = facts.metrics.sequence_status.as_deref().unwrap_or_default();
                Some(degraded(code, metric, status, "ok"))
            }
            Self::IngestFailed { metric } => facts.ingest_failed.then(|| {
                let code = failure_reason(facts.failure_code.as_deref());
                degraded(code, metric, "failed", "success")
            }),
        }
    }
}

fn degraded(code: Code, metric: &str, observed: &str, threshold: &str) -> HealthReason {
    HealthReason {
        code,
        severity: Severity::Degraded,
        metric: metric.to_owned(),
        observed: observed.to_owned(),
        threshold: threshold.to_owned(),
    }
}

fn failure_reason(failure_code: Option<&str>) -> Code {
    let Some(code) = failure_code else {
        return Code::ReconcileFailed;
    };
    let mut listed = FAILURE_REASONS.into_iter();
    let found = listed.find(|(listed, _)| listed.as_str() == code);
    found.map_or_else(|| Code::from(code), |(_, reason)| reason)
}

impl Facts {
    fn last_control_is(&self, status: &str) -> bool {
        self.metrics.last_control_status.as_deref() == Some(status)
    }
}
