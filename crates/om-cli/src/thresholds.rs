//! The six threshold flags that `health` and `reconcile` share.

use clap::Args;
use om_reconcile::thresholds::{Threshold, ThresholdOverrides};

/// Threshold flags, as typed.
#[derive(Args, Clone, Debug, Default)]
pub struct ThresholdFlags {
    /// Seconds without an event from which a loop is degraded
    #[arg(long, value_name = "N")]
    degraded_ingest_lag_seconds: Option<String>,
    /// Seconds without an event from which a loop is critical
    #[arg(long, value_name = "N")]
    critical_ingest_lag_seconds: Option<String>,
    /// Seconds without a heartbeat from which a loop is degraded
    #[arg(long, value_name = "N")]
    degraded_heartbeat_lag_seconds: Option<String>,
    /// Seconds without a heartbeat from which a loop is critical
    #[arg(long, value_name = "N")]
    critical_heartbeat_lag_seconds: Option<String>,
    /// Failed passes in a row from which a loop is degraded
    #[arg(long, value_name = "N")]
    degraded_transport_failure_streak: Option<String>,
    /// Failed passes in a row from which a loop is critical
    #[arg(long, value_name = "N")]
    critical_transport_failure_streak: Option<String>,
}

impl ThresholdFlags {
    /// The flags that were given, checked when they are applied.
    pub fn overrides(&self) -> ThresholdOverrides {
        let flag = |threshold| match threshold {
            Threshold::DegradedIngestLag => &self.degraded_ingest_lag_seconds,
            Threshold::CriticalIngestLag => &self.critical_ingest_lag_seconds,
            Threshold::DegradedHeartbeatLag => &self.degraded_heartbeat_lag_seconds,
            Threshold::CriticalHeartbeatLag => &self.critical_heartbeat_lag_seconds,
            Threshold::DegradedTransportFailureStreak => &self.degraded_transport_failure_streak,
            Threshold::CriticalTransportFailureStreak => &self.critical_transport_failure_streak,
        };
        Threshold::ALL
            .into_iter()
            .fold(ThresholdOverrides::default(), |overrides, threshold| {
                overrides.with(threshold, flag(threshold).clone())
            })
    }
}
