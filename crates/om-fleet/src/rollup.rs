//! What the loops' results make of the fleet (chapter 05 §2.4, §2.5).

use om_model::envelope::SchemaVersion;
use om_model::fleet::state::{
    FleetExecution, FleetInterruption, FleetReasonCode, FleetState, FleetStatus, LoopResult,
    LoopStatus,
};
use om_model::health::HealthStatus;
use om_model::{Timestamp, TraceId};

/// One fan-out, apart from what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// The fleet.
    pub fleet_id: String,
    /// The trace of the fan-out.
    pub trace_id: TraceId,
    /// Just before the first loop was started.
    pub started_at: Timestamp,
    /// When every result was there.
    pub ended_at: Timestamp,
    /// How it was run.
    pub execution: FleetExecution,
    /// What it did not get to.
    pub interrupted: Option<FleetInterruption>,
}

/// The fleet's state after `fan_out` found `results`, in the order of start.
pub fn rollup(fan_out: FanOut, results: Vec<LoopResult>) -> FleetState {
    let counts = Counts::of(&results);
    FleetState {
        schema_version: SchemaVersion::V1,
        updated_at: fan_out.ended_at,
        started_at: fan_out.started_at,
        fleet_id: fan_out.fleet_id,
        trace_id: fan_out.trace_id,
        status: counts.status(),
        reason_codes: counts.reason_codes(),
        loop_count: results.len(),
        success_count: counts.success,
        failed_count: counts.failed,
        skipped_count: counts.skipped,
        duration_seconds: fan_out.ended_at.seconds_since(fan_out.started_at),
        execution: fan_out.execution,
        results,
        interrupted: fan_out.interrupted,
    }
}

/// How many results are what.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    success: usize,
    failed: usize,
    skipped: usize,
    critical: usize,
    degraded: usize,
}

impl Counts {
    fn of(results: &[LoopResult]) -> Self {
        let mut counts = Self::default();
        for result in results {
            match result.status {
                LoopStatus::Success => counts.success += 1,
                LoopStatus::Failed => counts.failed += 1,
                LoopStatus::Skipped => counts.skipped += 1,
            }
            let is = |health: HealthStatus| result.health_status == health.as_str();
            counts.critical += usize::from(is(HealthStatus::Critical));
            counts.degraded += usize::from(is(HealthStatus::Degraded));
        }
        counts
    }

    fn status(self) -> FleetStatus {
        match (self.failed > 0, self.success > 0) {
            (false, _) => FleetStatus::Success,
            (true, true) => FleetStatus::PartialFailure,
            (true, false) => FleetStatus::Failed,
        }
    }

    /// In the order of the names, each at most once.
    fn reason_codes(self) -> Vec<FleetReasonCode> {
        let applies = |code: &FleetReasonCode| match code {
            FleetReasonCode::FleetHealthCritical => self.critical > 0,
            FleetReasonCode::FleetHealthDegraded => self.critical == 0 && self.degraded > 0,
            FleetReasonCode::FleetLoopSkipped => self.skipped > 0,
            FleetReasonCode::FleetPartialFailure => self.status() == FleetStatus::PartialFailure,
            FleetReasonCode::FleetReconcileFailed => self.status() == FleetStatus::Failed,
        };
        FleetReasonCode::ALL.into_iter().filter(applies).collect()
    }
}
