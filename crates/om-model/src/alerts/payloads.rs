//! What the sinks receive (chapter 04 §3.4.4).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Severity, SinkType};
use crate::Timestamp;
use crate::envelope::SchemaVersion;

/// The body of a webhook request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookPayload {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// When the request was made.
    pub emitted_at: Timestamp,
    /// Who says so.
    pub source: WebhookSource,
    /// What happened.
    pub event: WebhookEvent,
    /// Whom it is sent to.
    pub sink: WebhookSink,
    /// The whole escalation row.
    pub escalation: Value,
}

/// Who sends a webhook request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookSource {
    /// Absolute.
    pub repo_path: String,
    /// The loop.
    pub loop_id: String,
    /// `ops_manager_alert_dispatch`.
    pub channel: String,
    /// Of the escalation.
    pub trace_id: String,
}

/// What a webhook request is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookEvent {
    /// Of the escalation.
    pub category: String,
    /// How bad.
    pub severity: Severity,
}

/// Whom a webhook request is sent to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WebhookSink {
    /// The sink.
    pub id: String,
    /// `webhook`.
    #[serde(rename = "type")]
    pub kind: SinkType,
}

/// The body of a Slack request; members that are not configured are omitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SlackPayload {
    /// One line for notifications.
    pub text: String,
    /// Posted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Posted under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Posted with this icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_emoji: Option<String>,
    /// What is shown.
    pub blocks: [SlackBlock; 2],
}

/// A part of a Slack message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SlackBlock {
    /// The alert.
    Section {
        /// Its text.
        text: SlackText,
    },
    /// Timestamp and trace.
    Context {
        /// One text each.
        elements: [SlackText; 2],
    },
}

/// Text with Slack's markup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SlackText {
    /// The only kind that is used.
    Mrkdwn {
        /// The text.
        text: String,
    },
}

/// The body of a `PagerDuty` request.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PagerDutyPayload {
    /// The secret that names the receiving service.
    pub routing_key: String,
    /// `trigger`.
    pub event_action: String,
    /// `<loop>:<category>:<timestamp>`.
    pub dedup_key: String,
    /// What happened.
    pub payload: PagerDutyEvent,
}

impl std::fmt::Debug for PagerDutyPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagerDutyPayload")
            .field("dedup_key", &self.dedup_key)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// What happened, for `PagerDuty`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PagerDutyEvent {
    /// One line.
    pub summary: String,
    /// How bad.
    pub severity: Severity,
    /// Where it happened.
    pub source: String,
    /// What it happened to.
    pub component: String,
    /// Of the component.
    pub group: String,
    /// Of the event.
    pub class: String,
    /// The evidence.
    pub custom_details: PagerDutyDetails,
}

/// The evidence, for `PagerDuty`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PagerDutyDetails {
    /// The whole escalation row.
    pub escalation: Value,
    /// Of the escalation.
    pub trace_id: String,
}
