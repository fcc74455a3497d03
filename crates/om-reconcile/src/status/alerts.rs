//! What became of alerts (chapter 03 §3.5.6).

use om_model::status::{AlertDeliveryStatus, AlertDispatchStatus, StatusAlerts};
use serde_json::{Value, json};

use super::StatusError;
use super::sources::{Document, Sources};

pub(super) fn build(sources: &Sources<'_>) -> Result<Option<StatusAlerts>, StatusError> {
    let alerts = StatusAlerts {
        dispatch: dispatch(&sources.alert_dispatch)?,
        last_delivery: delivery(&sources.alert)?,
    };
    let any = alerts.dispatch.is_some() || alerts.last_delivery.is_some();
    Ok(any.then_some(alerts))
}

fn dispatch(state: &Document<'_>) -> Result<Option<AlertDispatchStatus>, StatusError> {
    if state.is_null() {
        return Ok(None);
    }
    let or = |member: &str, default: Value| -> Result<Value, StatusError> {
        Ok(state.get(member)?.unwrap_or(default))
    };
    let count = |member: &str| or(member, json!(0));
    Ok(Some(AlertDispatchStatus {
        status: state.get("status")?,
        updated_at: state.get("updatedAt")?,
        processed_count: count("processedCount")?,
        dispatched_count: count("dispatchedCount")?,
        skipped_count: count("skippedCount")?,
        failed_count: count("failedCount")?,
        failure_reason_codes: or("failureReasonCodes", json!([]))?,
        escalations_line_offset: count("escalationsLineOffset")?,
        escalations_line_count: count("escalationsLineCount")?,
        last_trace_id: state.get("traceId")?,
    }))
}

fn delivery(row: &Document<'_>) -> Result<Option<AlertDeliveryStatus>, StatusError> {
    if row.is_null() {
        return Ok(None);
    }
    Ok(Some(AlertDeliveryStatus {
        timestamp: row.get("timestamp")?,
        status: row.get("status")?,
        reason_code: row.get("reasonCode")?,
        escalation_category: row.get("escalationCategory")?,
        event_severity: row.get("eventSeverity")?,
        sink_count: row.get("sinkCount")?,
        dispatched_sink_count: row.get("dispatchedSinkCount")?,
        failed_sink_count: row.get("failedSinkCount")?,
        trace_id: row.get("traceId")?,
        escalation_trace_id: row.get("escalationTraceId")?,
    }))
}
