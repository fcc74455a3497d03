//! What a cycle of the runner came to: as a document, and as one line.

use om_model::envelope::SchemaVersion;
use om_model::fleet::handoff::{HandoffState, Withheld};
use om_model::fleet::registry::PolicyMode;
use om_model::fleet::state::LoopStatus;
use om_model::{LoopId, Timestamp, TraceId};
use serde::Serialize;

use crate::console::style::printable;
use crate::error::CliError;

/// One cycle; what it did not get to is `null` or missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CycleReport {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// Counted from 1, per runner.
    pub cycle: u64,
    /// Start.
    pub started_at: Timestamp,
    /// End.
    pub completed_at: Timestamp,
    /// From start to end.
    pub duration_milliseconds: u64,
    /// Which fleet.
    pub fleet_id: Option<String>,
    /// Of everything that the cycle recorded.
    pub trace_id: TraceId,
    /// How each step ended.
    pub steps: Steps,
    /// The mode of this cycle's policy evaluation.
    pub mode: Option<PolicyMode>,
    /// What the fan-out found.
    pub loops: Option<Loops>,
    /// The loops that need somebody most, worst first.
    pub worst: Vec<WorstLoop>,
    /// What policy found.
    pub candidates: Option<Candidates>,
    /// What was done by itself.
    pub dispatch: Option<Dispatched>,
    /// What waits for a person.
    pub pending: Option<Pending>,
    /// What was cut, if somebody asked for the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<Interruption>,
}

/// The steps of a cycle, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are the commands' own")]
pub struct Steps {
    pub reconcile: Step,
    pub policy: Step,
    pub handoff: Step,
    pub dispatch: Step,
    pub status: Step,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// How.
    pub status: StepStatus,
    /// Why, unless it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It came to its end.
    Done,
    /// It failed.
    Failed,
    /// There was nothing to do, or the guardrails are closed.
    NotNeeded,
    /// A step that it depends on has failed.
    Skipped,
    /// It was cut, or not begun, because somebody asked for the end.
    Interrupted,
}

/// What the fan-out found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "as in the fleet state")]
pub struct Loops {
    pub total: usize,
    pub success: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// A loop that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the fleet state")]
pub struct WorstLoop {
    pub loop_id: LoopId,
    pub status: LoopStatus,
    pub health_status: String,
    pub reason_code: Option<String>,
}

/// What policy found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "as in the policy state")]
pub struct Candidates {
    pub total: u64,
    pub unsuppressed: u64,
    pub eligible: u64,
}

/// What was done by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as in the handoff state")]
pub struct Dispatched {
    pub attempted: u64,
    pub executed: u64,
    pub ambiguous: u64,
    pub failed: u64,
    pub withheld: Vec<Withheld>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_attempted: Vec<String>,
}

/// What waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Intents that nobody has acted on.
    pub confirmation: u64,
    /// Of these, those that only a person may act on.
    pub manual_only: u64,
}

/// What was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interruption {
    /// What asked for the end, e.g. `SIGINT`.
    pub signal: String,
    /// Loops that the fan-out did not get to.
    pub not_passed: Vec<LoopId>,
    /// Steps that were cut or not begun.
    pub not_done: Vec<&'static str>,
}

impl Default for Step {
    /// Nobody came to it.
    fn default() -> Self {
        Self::with(StepStatus::Skipped, "a step before it has no result")
    }
}

impl Step {
    fn with(status: StepStatus, message: &str) -> Self {
        Self {
            status,
            message: Some(message.to_owned()),
        }
    }

    /// It came to its end.
    pub fn done() -> Self {
        Self {
            status: StepStatus::Done,
            message: None,
        }
    }

    /// It failed; the message is one line.
    pub fn failed(error: &CliError) -> Self {
        let text = match &error.usage {
            Some(text) if error.message.is_empty() => text.trim(),
            _ => error.message.as_str(),
        };
        let text = text.strip_prefix("error: ").unwrap_or(text);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Self::with(StepStatus::Failed, &lines.join("; "))
    }

    /// Nothing had to be done.
    pub fn not_needed(why: &str) -> Self {
        Self::with(StepStatus::NotNeeded, why)
    }

    /// It was cut or not begun.
    pub fn interrupted() -> Self {
        Self::with(StepStatus::Interrupted, "asked to end")
    }
}

impl Steps {
    /// Name and end of each, in their order.
    pub fn all(&self) -> [(&'static str, &Step); 5] {
        [
            ("reconcile", &self.reconcile),
            ("policy", &self.policy),
            ("handoff", &self.handoff),
            ("dispatch", &self.dispatch),
            ("status", &self.status),
        ]
    }

    /// Whether any failed.
    pub fn has_failed(&self) -> bool {
        let mut all = self.all().into_iter();
        all.any(|(_, step)| step.status == StepStatus::Failed)
    }

    /// Those that were cut or not begun, for whatever reason.
    pub fn not_done(&self) -> Vec<&'static str> {
        let is_open =
            |step: &Step| matches!(step.status, StepStatus::Interrupted | StepStatus::Skipped);
        let open = self.all().into_iter().filter(|(_, step)| is_open(step));
        open.map(|(name, _)| name).collect()
    }
}

impl Pending {
    /// What a handoff leaves to people.
    pub fn of(state: &HandoffState) -> Self {
        Self {
            confirmation: state.summary.pending_confirmation_count,
            manual_only: state.summary.pending_manual_only_count,
        }
    }
}

/// The cycle in one line for people.
pub fn line(report: &CycleReport) -> String {
    let mut parts = Vec::new();
    if let Some(loops) = &report.loops {
        parts.push(format!(
            "{}: {} ok, {} failed, {} skipped",
            counted(loops.total, "loop"),
            loops.success,
            loops.failed,
            loops.skipped
        ));
    }
    if !report.worst.is_empty() {
        let worst: Vec<String> = report.worst.iter().map(WorstLoop::shown).collect();
        parts.push(format!("worst: {}", worst.join(", ")));
    }
    if let Some(candidates) = &report.candidates {
        let total = usize::try_from(candidates.total).unwrap_or(usize::MAX);
        parts.push(format!(
            "{} ({} suppressed), {} eligible",
            counted(total, "candidate"),
            candidates.total - candidates.unsuppressed,
            candidates.eligible
        ));
    }
    parts.push(report.dispatch_shown());
    if let Some(pending) = &report.pending {
        parts.push(format!(
            "{} pending ({} for people only)",
            pending.confirmation, pending.manual_only
        ));
    }
    for (name, step) in report.steps.all() {
        if step.status == StepStatus::Failed {
            let message = step.message.as_deref().unwrap_or_default();
            parts.push(format!("{name} FAILED: {message}"));
        }
    }
    parts.extend(report.not_done_shown());
    parts.push(seconds(report.duration_milliseconds));
    parts.push(format!("trace {}", report.trace_id));
    let line = format!(
        "{} cycle {}: {}",
        report.started_at,
        report.cycle,
        parts.join("; ")
    );
    printable(&line)
}

impl WorstLoop {
    fn shown(&self) -> String {
        let state = match self.status {
            LoopStatus::Failed => "failed",
            _ => self.health_status.as_str(),
        };
        match &self.reason_code {
            Some(reason) => format!("{} {state} ({reason})", self.loop_id),
            None => format!("{} {state}", self.loop_id),
        }
    }
}

impl CycleReport {
    fn dispatch_shown(&self) -> String {
        let Some(dispatch) = &self.dispatch else {
            let step = &self.steps.dispatch;
            let why = step.message.as_deref().unwrap_or_default();
            return match step.status {
                StepStatus::NotNeeded => format!("nothing dispatched: {why}"),
                _ => "nothing dispatched".to_owned(),
            };
        };
        let mut text = format!(
            "{} dispatched ({} executed, {} ambiguous, {} failed)",
            dispatch.attempted, dispatch.executed, dispatch.ambiguous, dispatch.failed
        );
        if !dispatch.withheld.is_empty() {
            let mut reasons: Vec<&str> = dispatch
                .withheld
                .iter()
                .map(|withheld| withheld.reason_code.as_str())
                .collect();
            reasons.sort_unstable();
            reasons.dedup();
            let count = dispatch.withheld.len();
            text = format!("{text}, {count} withheld ({})", reasons.join(", "));
        }
        text
    }

    fn not_done_shown(&self) -> Option<String> {
        if let Some(cut) = &self.interrupted {
            let mut text = format!(
                "cut by {}: not done: {}",
                cut.signal,
                cut.not_done.join(", ")
            );
            if !cut.not_passed.is_empty() {
                let loops = counted(cut.not_passed.len(), "loop");
                text = format!("{text}; {loops} not passed");
            }
            return Some(text);
        }
        let not_done = self.steps.not_done();
        (!not_done.is_empty()).then(|| format!("not done: {}", not_done.join(", ")))
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100)
}

#[cfg(test)]
mod tests;
