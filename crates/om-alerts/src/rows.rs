//! The rows of `telemetry/alerts.jsonl` (chapter 04 §3.5.2, decision D10).

use om_model::alerts::{AlertReason, AlertRow, AlertRowStatus, SinkResult, SinkStatus};
use om_model::observation::TelemetryCategory;
use om_model::{LoopId, Timestamp, TraceId};
use serde_json::Value;

use crate::escalation::Escalation;
use crate::ledger::Ended;
use crate::resolver::Answer;

/// What the rows of one run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The loop that is dispatched for.
    pub loop_id: &'a LoopId,
    /// The run.
    pub trace_id: &'a TraceId,
    /// When they are appended.
    pub now: Timestamp,
}

impl Rows<'_> {
    /// T1: the line is not one JSON document.
    pub fn broken(self, line: &str) -> AlertRow {
        AlertRow {
            reason_code: Some(AlertReason::InvalidEscalationJson),
            raw_line: Some(line.to_owned()),
            ..self.failed()
        }
    }

    /// T2: the row has no category.
    pub fn uncategorised(self, row: &Value) -> AlertRow {
        AlertRow {
            reason_code: Some(AlertReason::MissingEscalationCategory),
            escalation: Some(row.clone()),
            ..self.failed()
        }
    }

    /// T3 and T4: the row could not be routed.
    pub fn unrouted(
        self,
        escalation: &Escalation,
        reason: &AlertReason,
        message: Option<&String>,
        attempt: u64,
    ) -> AlertRow {
        let mut row = AlertRow {
            reason_code: Some(reason.clone()),
            message: message.cloned(),
            attempt: Some(attempt),
            ..self.about(escalation)
        };
        if *reason == AlertReason::InvalidRouteResolution {
            row.escalation_timestamp = None;
        }
        row
    }

    /// T5: nobody is to hear of it. `attempt` is given if an earlier one
    /// could not route it.
    pub fn skipped(
        self,
        escalation: &Escalation,
        answer: &Answer,
        reason: &AlertReason,
        attempt: Option<u64>,
    ) -> AlertRow {
        AlertRow {
            event_severity: Some(answer.severity),
            status: AlertRowStatus::Skipped,
            reason_code: Some(reason.clone()),
            route: Some(answer.route.clone()),
            sink_count: Some(0),
            dispatched_sink_count: Some(0),
            failed_sink_count: Some(0),
            attempt,
            ..self.about(escalation)
        }
    }

    /// T6: these sinks were tried.
    pub fn delivered(
        self,
        escalation: &Escalation,
        answer: &Answer,
        results: &[SinkResult],
        attempt: u64,
    ) -> AlertRow {
        let failures = results.iter().filter(|r| r.status == SinkStatus::Failed);
        let (tried, failed) = (results.len() as u64, failures.count() as u64);
        let (status, reason_code) = match (tried - failed, failed) {
            (0, _) => (AlertRowStatus::Failed, Some(AlertReason::DispatchFailed)),
            (_, 0) => (AlertRowStatus::Dispatched, None),
            _ => (
                AlertRowStatus::Partial,
                Some(AlertReason::PartialDispatchFailure),
            ),
        };
        AlertRow {
            loop_id: loop_of(escalation, self.loop_id),
            event_severity: Some(answer.severity),
            status,
            reason_code,
            route: Some(answer.route.clone()),
            sinks: Some(results.to_vec()),
            sink_count: Some(tried),
            dispatched_sink_count: Some(tried - failed),
            failed_sink_count: Some(failed),
            attempt: Some(attempt),
            ..self.about(escalation)
        }
    }

    /// A delivery ended without being made; `escalation` is the row it was
    /// about, if that is still there.
    pub fn ended(self, ended: &Ended, escalation: Option<&Escalation>) -> AlertRow {
        let delivery = &ended.delivery;
        let about = match escalation {
            Some(escalation) => self.about(escalation),
            None => self.failed(),
        };
        let status = match delivery.http_status {
            Some(status) => format!(", HTTP {status}"),
            None => String::new(),
        };
        let plural = if delivery.attempts == 1 { "" } else { "s" };
        AlertRow {
            reason_code: Some(ended.reason.clone()),
            message: Some(format!(
                "{} attempt{plural} failed since {}, the last one at {}: {}{status}",
                delivery.attempts,
                delivery.first_failed_at,
                delivery.last_attempt_at,
                delivery.reason_code.as_str(),
            )),
            attempt: Some(delivery.attempts),
            line: Some(delivery.line),
            sink_id: delivery.sink_id.clone(),
            ..about
        }
    }

    /// A failed row about `escalation`.
    fn about(self, escalation: &Escalation) -> AlertRow {
        let timestamp = &escalation.timestamp;
        AlertRow {
            escalation_trace_id: Some(trace_of(escalation, self.trace_id)),
            escalation_category: Some(escalation.category.clone()),
            escalation_timestamp: (!timestamp.is_empty()).then(|| timestamp.clone()),
            escalation: Some(escalation.row.clone()),
            ..self.failed()
        }
    }

    /// A failed row about nothing.
    fn failed(self) -> AlertRow {
        AlertRow {
            timestamp: self.now,
            loop_id: self.loop_id.to_string(),
            trace_id: self.trace_id.clone(),
            escalation_trace_id: None,
            category: TelemetryCategory::AlertDispatch,
            escalation_category: None,
            escalation_timestamp: None,
            event_severity: None,
            status: AlertRowStatus::Failed,
            reason_code: None,
            raw_line: None,
            message: None,
            escalation: None,
            route: None,
            sinks: None,
            sink_count: None,
            dispatched_sink_count: None,
            failed_sink_count: None,
            attempt: None,
            line: None,
            sink_id: None,
        }
    }
}

/// The escalation's own loop, else the one that is dispatched for.
pub(crate) fn loop_of(escalation: &Escalation, loop_id: &LoopId) -> String {
    match escalation.loop_id.as_str() {
        "" => loop_id.to_string(),
        own => own.to_owned(),
    }
}

/// The escalation's own trace, else the run's.
pub(crate) fn trace_of(escalation: &Escalation, trace_id: &TraceId) -> String {
    match escalation.trace_id.as_str() {
        "" => trace_id.to_string(),
        own => own.to_owned(),
    }
}
