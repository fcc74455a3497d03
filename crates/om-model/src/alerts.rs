//! Alerts: where escalations are sent, and what became of it (chapter 04).
//!
//! [`sinks`] is the configuration and what the resolver prints, [`dispatch`]
//! what the dispatcher keeps and records, [`payloads`] what it sends.

pub mod dispatch;
pub mod payloads;
pub mod sinks;

pub use dispatch::{
    AlertReason, AlertRow, AlertRowStatus, ConsumedLine, DispatchState, DispatchStatus,
    PendingDelivery, SinkResult, SinkStatus,
};
pub use payloads::{PagerDutyPayload, SlackPayload, WebhookPayload};
pub use sinks::{RouteDocument, SinkCatalogue, SinkType, SinksConfig};

use serde::{Deserialize, Serialize};

/// How bad an alert is; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Needs a look.
    Warning,
    /// Needs somebody now.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// Reads the name on the wire, case-sensitively.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }
}
