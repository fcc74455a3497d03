//! The last fan-out: what it found, loop by loop (chapter 05 §3.5, §3.5.1,
//! §3.5.5, §3.5.6).

use std::collections::BTreeSet;

use om_model::Timestamp;
use om_model::fleet::state::{FleetReasonCode, LoopStatus};
use om_model::fleet::status::{
    FleetExceptions, FleetSummary, FleetTraceLinkage, HealthRollup, LoopArtifacts, LoopPointer,
};
use om_model::health::HealthStatus;
use om_model::json::{self, present};
use serde_json::{Value, json};

use super::order::{is_positive, sorted_set};
use super::policy::Policy;
use super::source::{Document, Null};
use super::{FleetStatusError, or_default};
use crate::outcome::UNKNOWN;

/// A fan-out and its results.
pub(super) struct Results<'a> {
    fleet: Document<'a>,
    results: Vec<Document<'a>>,
}

impl<'a> Results<'a> {
    pub(super) fn of(fleet: &Document<'a>) -> Result<Self, FleetStatusError> {
        Ok(Self {
            fleet: *fleet,
            results: fleet.objects("results", Null::IsEmpty)?,
        })
    }

    pub(super) fn summary(&self, now: Timestamp) -> Result<FleetSummary, FleetStatusError> {
        let fleet = &self.fleet;
        let success_count = self.count("successCount", LoopStatus::Success)?;
        let failed_count = self.count("failedCount", LoopStatus::Failed)?;
        let stored = |member| -> Result<bool, FleetStatusError> {
            Ok(fleet.get(member)?.is_some_and(is_positive))
        };
        let updated_at = fleet.copy("updatedAt")?;
        Ok(FleetSummary {
            status: fleet.copy_or("status", UNKNOWN)?,
            reason_codes: self.reason_codes(&success_count, &failed_count)?,
            loop_count: fleet.copy_or("loopCount", self.results.len())?,
            skipped_count: self.count("skippedCount", LoopStatus::Skipped)?,
            success_count,
            failed_count,
            started_at: fleet.copy("startedAt")?,
            duration_seconds: fleet.copy("durationSeconds")?,
            trace_id: fleet.copy("traceId")?,
            partial_failure: stored("failedCount")? && stored("successCount")?,
            age_seconds: age(updated_at.as_ref(), now),
            updated_at,
        })
    }

    pub(super) fn health_rollup(&self) -> HealthRollup {
        let with = |name: &str| self.results.iter().filter(|r| health_of(r) == name).count();
        HealthRollup {
            healthy: with(HealthStatus::Healthy.as_str()),
            degraded: with(HealthStatus::Degraded.as_str()),
            critical: with(HealthStatus::Critical.as_str()),
            unknown: with(UNKNOWN),
        }
    }

    pub(super) fn exceptions(&self) -> FleetExceptions {
        let loops = |member: &str, name: &str| {
            let matches = |result: &&Document<'_>| member_of(result, member) == name;
            let found = self.results.iter().filter(matches);
            sorted_set(found.map(|result| result.value().get("loopId").unwrap_or(&Value::Null)))
        };
        FleetExceptions {
            reconcile_failures: loops("status", LoopStatus::Failed.as_str()),
            critical_loops: loops("healthStatus", HealthStatus::Critical.as_str()),
            degraded_loops: loops("healthStatus", HealthStatus::Degraded.as_str()),
            skipped_loops: loops("status", LoopStatus::Skipped.as_str()),
        }
    }

    pub(super) fn pointers(&self, now: Timestamp) -> Result<Vec<LoopPointer>, FleetStatusError> {
        let pointers = self.results.iter().map(|result| pointer(result, now));
        pointers.collect()
    }

    pub(super) fn traces(
        &self,
        policy: Option<&Policy<'_>>,
    ) -> Result<FleetTraceLinkage, FleetStatusError> {
        let fleet = self.fleet.copy("traceId")?;
        let loops = self
            .results
            .iter()
            .map(|result| result.value().get("traceId"));
        let loops = sorted_set(loops.filter_map(present));
        let agrees = |shared: &Value| {
            let stated = fleet.as_ref().filter(|trace| **trace != json!(""));
            *shared != json!("") && stated.is_none_or(|trace| trace == shared)
        };
        let shared = match loops.as_slice() {
            [only] if agrees(only) => Some(only.clone()),
            _ => None,
        };
        Ok(FleetTraceLinkage {
            fleet_trace_id: fleet,
            policy_trace_id: policy.map(Policy::trace_id).transpose()?.flatten(),
            loop_trace_ids: loops,
            shared_trace_id: shared,
        })
    }

    /// The stored count, else that of the results.
    fn count(&self, member: &str, status: LoopStatus) -> Result<Value, FleetStatusError> {
        let has = |result: &&Document<'_>| member_of(result, "status") == status.as_str();
        let counted = self.results.iter().filter(has).count();
        self.fleet.copy_or(member, counted)
    }

    /// Those that are stored, and those that follow from what is shown.
    fn reason_codes(
        &self,
        success_count: &Value,
        failed_count: &Value,
    ) -> Result<Vec<String>, FleetStatusError> {
        let stored = self.fleet.array("reasonCodes")?;
        let mut codes: BTreeSet<String> = stored.iter().map(json::text).collect();
        let health = self.health_rollup();
        let mut add = |code: FleetReasonCode| codes.insert(code.as_str().to_owned());
        if is_positive(failed_count) && is_positive(success_count) {
            add(FleetReasonCode::FleetPartialFailure);
        }
        if health.critical > 0 {
            add(FleetReasonCode::FleetHealthCritical);
        } else if health.degraded > 0 {
            add(FleetReasonCode::FleetHealthDegraded);
        }
        Ok(codes.into_iter().collect())
    }
}

fn pointer(result: &Document<'_>, now: Timestamp) -> Result<LoopPointer, FleetStatusError> {
    let get = |member: &str| present(result.value().get(member));
    let copy = |member: &str| get(member).cloned();
    let file = |member: &str| result.copy(&format!("files.{member}"));
    Ok(LoopPointer {
        loop_id: copy("loopId"),
        status: or_default(get("status"), UNKNOWN),
        reason_code: copy("reasonCode"),
        reconcile_status: copy("reconcileStatus"),
        health_status: or_default(get("healthStatus"), UNKNOWN),
        health_reason_codes: or_default(get("healthReasonCodes"), json!([])),
        transition_state: copy("transitionState"),
        duration_seconds: copy("durationSeconds"),
        trace_id: copy("traceId"),
        transport: or_default(get("transport"), "local"),
        sprite: or_default(get("sprite"), json!({})),
        artifacts: LoopArtifacts {
            state_file: file("stateFile")?,
            health_file: file("healthFile")?,
            cursor_file: file("cursorFile")?,
            reconcile_telemetry_file: file("reconcileTelemetryFile")?,
        },
        run_id: copy("runId"),
        age_seconds: age(get("timestamp"), now),
    })
}

/// Seconds from `timestamp` to now; nothing if it is none.
fn age(timestamp: Option<&Value>, now: Timestamp) -> Option<u64> {
    let then = Timestamp::parse(timestamp?.as_str()?)?;
    Some(now.seconds_since(then))
}

fn health_of<'a>(result: &Document<'a>) -> &'a str {
    match present(result.value().get("healthStatus")) {
        None => UNKNOWN,
        Some(found) => found.as_str().unwrap_or_default(),
    }
}

/// A text; anything else is no name of ours.
fn member_of<'a>(result: &Document<'a>, member: &str) -> &'a str {
    let found = result.value().get(member);
    found.and_then(Value::as_str).unwrap_or_default()
}
