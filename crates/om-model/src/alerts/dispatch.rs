//! What the dispatcher keeps and records (chapter 04 §3.5, decision D10).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Severity;
use crate::envelope::SchemaVersion;
use crate::observation::TelemetryCategory;
use crate::{LoopId, Timestamp, TraceId};

/// Result of one run of the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DispatchStatus {
    /// There is no escalations file.
    NoSource,
    /// It has no lines that were not seen before.
    NoNewEscalations,
    /// Every new line was delivered or skipped.
    Success,
    /// Some were delivered, some failed.
    Partial,
    /// Some failed and none was delivered.
    Failed,
}

/// What became of one escalation row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertRowStatus {
    /// Nobody is to hear of it.
    Skipped,
    /// Every sink has it.
    Dispatched,
    /// Some sinks have it.
    Partial,
    /// No sink has it.
    Failed,
}

/// What became of one delivery to one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SinkStatus {
    /// A complete response with status 200 to 299.
    Success,
    /// Anything else.
    Failed,
}

/// Why an alert was not, or not wholly, delivered (chapter 04 §3.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertReason {
    /// The line is not one JSON document.
    InvalidEscalationJson,
    /// The row has no category.
    MissingEscalationCategory,
    /// The resolver failed.
    RouteResolutionFailed,
    /// The resolver's answer cannot be used.
    InvalidRouteResolution,
    /// The severity does not pass the gate.
    SeverityBelowMin,
    /// No enabled sink is routed to.
    NoDispatchableSinks,
    /// A secret's variable is not set.
    MissingSecret,
    /// A complete response with another status than 200 to 299.
    HttpError,
    /// No complete response.
    RequestFailed,
    /// The sink's type is unknown.
    UnsupportedSinkType,
    /// Some sinks failed.
    PartialDispatchFailure,
    /// Every sink failed.
    DispatchFailed,
    /// No more automatic attempts (decision D10).
    DeliveryAbandoned,
    /// Failed for so long that it is forgotten (decision D10).
    DeliveryDropped,
    /// The sink was removed or disabled meanwhile (decision D10).
    DeliverySinkRemoved,
    /// The escalation row was changed or removed meanwhile (decision D10).
    DeliverySourceMissing,
    /// What another version wrote, verbatim.
    #[serde(untagged)]
    Other(String),
}

impl AlertReason {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InvalidEscalationJson => "invalid_escalation_json",
            Self::MissingEscalationCategory => "missing_escalation_category",
            Self::RouteResolutionFailed => "route_resolution_failed",
            Self::InvalidRouteResolution => "invalid_route_resolution",
            Self::SeverityBelowMin => "severity_below_min",
            Self::NoDispatchableSinks => "no_dispatchable_sinks",
            Self::MissingSecret => "missing_secret",
            Self::HttpError => "http_error",
            Self::RequestFailed => "request_failed",
            Self::UnsupportedSinkType => "unsupported_sink_type",
            Self::PartialDispatchFailure => "partial_dispatch_failure",
            Self::DispatchFailed => "dispatch_failed",
            Self::DeliveryAbandoned => "delivery_abandoned",
            Self::DeliveryDropped => "delivery_dropped",
            Self::DeliverySinkRemoved => "delivery_sink_removed",
            Self::DeliverySourceMissing => "delivery_source_missing",
            Self::Other(text) => text,
        }
    }
}

/// The document `alert-dispatch-state.json`; counts are those of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DispatchState {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When it was written.
    pub updated_at: Timestamp,
    /// The loop.
    pub loop_id: LoopId,
    /// The run.
    pub trace_id: TraceId,
    /// The path used.
    pub escalations_file: String,
    /// The path used.
    pub dispatch_telemetry_file: String,
    /// Outcome of the new lines.
    pub status: DispatchStatus,
    /// New lines looked at.
    pub processed_count: u64,
    /// New rows that reached at least one sink.
    pub dispatched_count: u64,
    /// New lines that nobody is to hear of, blank ones included.
    pub skipped_count: u64,
    /// New rows that missed at least one sink, or could not be read or routed.
    pub failed_count: u64,
    /// Why, sorted.
    pub failure_reason_codes: Vec<AlertReason>,
    /// Lines consumed: the cursor of the next run.
    pub escalations_line_offset: u64,
    /// Lines present.
    pub escalations_line_count: u64,
    /// Additive: the last line consumed, so that the next run need not count
    /// again; omitted if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_consumed_line: Option<ConsumedLine>,
    /// Additive: deliveries that failed in an earlier run and were tried again.
    pub retried_count: u64,
    /// Additive: deliveries still to be tried again.
    pub pending_count: u64,
    /// Additive: these deliveries, in the order of their lines.
    pub pending_deliveries: Vec<PendingDelivery>,
}

/// Where a line of the escalations is, and how to tell that it still is that
/// line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConsumedLine {
    /// Its number, counted from 1.
    pub line: u64,
    /// Byte offset of its first byte.
    pub start: u64,
    /// Byte offset just after its newline.
    pub end: u64,
    /// Of the line without its newline, as hexadecimal digits.
    pub sha256: String,
}

/// A failed delivery that is tried again (decision D10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingDelivery {
    /// Line of the escalation row, counted from 1.
    pub line: u64,
    /// Of the line without its newline, as hexadecimal digits.
    pub row_sha256: String,
    /// The sink; `null` if the row could not be routed.
    #[serde(default)]
    pub sink_id: Option<String>,
    /// So far.
    pub attempts: u64,
    /// When the first attempt failed.
    pub first_failed_at: Timestamp,
    /// When the last attempt failed.
    pub last_attempt_at: Timestamp,
    /// Not before then, unless by hand.
    pub next_attempt_at: Timestamp,
    /// Why the last attempt failed, or that no more are made by themselves.
    pub reason_code: AlertReason,
    /// Of the last attempt's response.
    #[serde(default)]
    pub http_status: Option<u16>,
    /// The run that made the last attempt.
    #[serde(default)]
    pub trace_id: String,
}

/// One row of `telemetry/alerts.jsonl`: T1 to T6 of chapter 04 §3.5.2, and
/// the ends of pending deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// When it was appended.
    pub timestamp: Timestamp,
    /// The loop; that of the escalation row where something was delivered.
    pub loop_id: String,
    /// The run.
    pub trace_id: TraceId,
    /// Of the escalation row, else of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation_trace_id: Option<String>,
    /// `alert_dispatch`.
    pub category: TelemetryCategory,
    /// Of the escalation row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation_category: Option<String>,
    /// Of the escalation row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation_timestamp: Option<String>,
    /// How bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_severity: Option<Severity>,
    /// Outcome.
    pub status: AlertRowStatus,
    /// Why; omitted when everything was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<AlertReason>,
    /// The line that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_line: Option<String>,
    /// What the resolver said, or why a delivery ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The escalation row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Value>,
    /// What the resolver decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Value>,
    /// The sinks that were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Vec<SinkResult>>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink_count: Option<u64>,
    /// How many of them have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatched_sink_count: Option<u64>,
    /// How many of them do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_sink_count: Option<u64>,
    /// Additive: which attempt at this delivery this was, the first being 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// Additive: the line of a delivery that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Additive: the sink of a delivery that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink_id: Option<String>,
}

/// What became of one delivery; members without a value are `null`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SinkResult {
    /// The sink.
    pub id: String,
    /// Its type, which need not be a known one.
    #[serde(rename = "type")]
    pub kind: String,
    /// Outcome.
    pub status: SinkStatus,
    /// Of the response.
    pub http_status: Option<u16>,
    /// Why it failed.
    pub reason_code: Option<AlertReason>,
    /// The response's body, or why there is none.
    pub message: Option<String>,
}
