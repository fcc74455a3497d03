//! Is the effect of an intent visible? (chapter 03 §3.2)

mod look;

use std::time::Duration;

use om_model::control::{ConfirmReason, ConfirmVerdict, Intent};
use om_model::json::{self, Lookup, WrongType};
use om_model::{LoopId, Timestamp};
use om_stage::Hook;
use om_store::RepoLayout;
use serde_json::Value;

use crate::clock::Clock;

use look::Look;

/// What is looked for, and for how long.
#[derive(Clone, Debug)]
pub struct ConfirmRequest {
    /// Where the loop is.
    pub layout: RepoLayout,
    /// Which loop.
    pub loop_id: LoopId,
    /// Whose effect is looked for.
    pub intent: Intent,
    /// Looking ends after this many seconds; 0 looks once.
    pub timeout_seconds: u64,
    /// Seconds between two looks; 0 acts as 1.
    pub interval_seconds: u64,
    /// `OPS_MANAGER_SNAPSHOT_SCRIPT`, which takes the snapshots then.
    pub snapshot_hook: Option<Hook>,
}

/// Looks until the effect is visible or the time is over (§3.2.4).
///
/// `told` hears of every look: its number, counted from 1, and what was seen
/// last. A look that fails is no observation; the next one may succeed.
pub fn confirm(
    request: &ConfirmRequest,
    clock: &dyn Clock,
    told: &mut dyn FnMut(u64, &Observation),
) -> ConfirmVerdict {
    let mut look = Look::new(request);
    let mut observed = Observation::default();
    let mut seen = None;
    let mut attempts = 0;
    let started = clock.elapsed();
    let waited = || clock.elapsed().saturating_sub(started).as_secs();
    loop {
        attempts += 1;
        let left = request.timeout_seconds.saturating_sub(waited());
        if let Some(observation) = look.observe(clock, left) {
            seen = observation.effect_of(request.intent);
            observed = observation;
        }
        told(attempts, &observed);
        if seen.is_some() || waited() >= request.timeout_seconds {
            break;
        }
        clock.sleep(Duration::from_secs(request.interval_seconds.max(1)));
    }
    verdict(request, observed, seen, attempts, clock.now())
}

fn verdict(
    request: &ConfirmRequest,
    observed: Observation,
    seen: Option<ConfirmReason>,
    attempts: u64,
    at: Timestamp,
) -> ConfirmVerdict {
    ConfirmVerdict {
        intent: request.intent,
        confirmed: seen.is_some(),
        reason: seen.unwrap_or(ConfirmReason::Timeout),
        attempts,
        timeout_seconds: request.timeout_seconds,
        observed_status: observed.status,
        observed_last_event: observed.last_event,
        observed_approval_status: observed.approval_status,
        observed_active: observed.active,
        observed_at: at,
    }
}

/// What a confirmation takes from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// `run.status`, else `unknown`.
    pub status: String,
    /// Name of the last event.
    pub last_event: Option<String>,
    /// Status of the approval.
    pub approval_status: Option<String>,
    /// Whether a run is active in the repository, whichever loop it runs.
    pub active: bool,
    /// Whether the last summary entry says that the loop completed.
    pub completed: bool,
}

impl Default for Observation {
    /// Nothing seen yet.
    fn default() -> Self {
        Self {
            status: "unknown".to_owned(),
            last_event: None,
            approval_status: None,
            active: false,
            completed: false,
        }
    }
}

impl Observation {
    /// What `snapshot` says; `None` if it is no usable snapshot.
    pub fn read(snapshot: &Value) -> Option<Self> {
        if !snapshot.is_object() {
            return None;
        }
        let active = Lookup::new(snapshot).get("runtime.superloopState.active");
        let active = match active.ok()? {
            None => false,
            Some(Value::Bool(active)) => *active,
            Some(_) => return None,
        };
        Self::members(snapshot, active).ok()
    }

    fn members(snapshot: &Value, active: bool) -> Result<Self, WrongType> {
        let members = Lookup::new(snapshot);
        let text = |path| -> Result<Option<String>, WrongType> {
            Ok(members.text(path)?.filter(|text| !text.is_empty()))
        };
        Ok(Self {
            status: members
                .text("run.status")?
                .unwrap_or_else(|| "unknown".to_owned()),
            last_event: text("health.lastEventName")?,
            approval_status: text("runtime.approval.status")?,
            active,
            completed: json::is_true(members.get("run.summary.completion_ok")?),
        })
    }

    /// By what the effect of `intent` shows, if it does.
    pub fn effect_of(&self, intent: Intent) -> Option<ConfirmReason> {
        let last_event = self.last_event.as_deref().unwrap_or_default();
        let (visible, reason) = match intent {
            Intent::Cancel => (
                !self.active && self.status != "running",
                ConfirmReason::InactiveNotRunning,
            ),
            Intent::Approve => (
                self.completed || self.status == "complete" || last_event == "loop_complete",
                ConfirmReason::CompletionObserved,
            ),
            Intent::Reject => (
                self.approval_status.as_deref() == Some("rejected")
                    || matches!(last_event, "approval_rejected" | "approval_decision"),
                ConfirmReason::RejectionObserved,
            ),
        };
        visible.then_some(reason)
    }
}
