//! The sink configuration, and what the resolver makes of it (chapter 04
//! §1, §2.5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::Severity;
use crate::envelope::SchemaVersion;

/// The file `config/ops-manager-alert-sinks.v1.json`.
///
/// Describes what a person writes. The resolver reads more tolerantly, rule
/// by rule, so that its messages can name the member that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SinksConfig {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The gate of routes without one of their own.
    pub default_min_severity: Severity,
    /// Sink id → where it is; at least one.
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
    pub sinks: BTreeMap<String, SinkDefinition>,
    /// Which category goes where.
    pub routing: RoutingDefinition,
}

/// One sink of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SinkDefinition {
    /// Whether anything is sent there.
    pub enabled: bool,
    /// Limit of one delivery in seconds, 1 to 120; 5 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 120)))]
    pub timeout_seconds: Option<Number>,
    /// What the sink's type needs.
    #[serde(flatten)]
    pub target: SinkTarget,
}

/// What the types of sinks need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "type",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum SinkTarget {
    /// Any HTTP endpoint.
    Webhook {
        /// Environment variable with the URL.
        url_env: String,
        /// Environment variable with a bearer token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auth_token_env: Option<String>,
        /// Sent with each request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        headers: Option<BTreeMap<String, String>>,
    },
    /// A Slack incoming webhook.
    Slack {
        /// Environment variable with the URL.
        webhook_url_env: String,
        /// Posted there instead of the webhook's own channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        /// Posted under this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        /// Posted with this icon, e.g. `:rotating_light:`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        icon_emoji: Option<String>,
    },
    /// The `PagerDuty` events API.
    PagerdutyEvents {
        /// Environment variable with the routing key.
        routing_key_env: String,
        /// `superloop-ops-manager` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// `ops-manager` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        component: Option<String>,
        /// `loop-run` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// `escalation` unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
    },
}

/// Which category goes where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoutingDefinition {
    /// Sinks of categories without a route.
    pub default_sinks: Vec<String>,
    /// Category → severity of rows that do not state one.
    pub category_severity: BTreeMap<String, Severity>,
    /// The first enabled route of a category is its route.
    #[serde(default)]
    pub routes: Vec<RouteDefinition>,
}

/// The route of one category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RouteDefinition {
    /// Compared exactly.
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1)))]
    pub category: String,
    /// A disabled route never matches (decision D1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Rows below it are not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// The default sinks unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Vec<String>>,
}

/// The types of sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SinkType {
    /// Any HTTP endpoint.
    Webhook,
    /// A Slack incoming webhook.
    Slack,
    /// The `PagerDuty` events API.
    PagerdutyEvents,
}

impl SinkType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::Slack, Self::PagerdutyEvents];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::PagerdutyEvents => "pagerduty_events",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Names of the environment variables that hold a sink's secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum SecretRefs {
    /// Of a webhook.
    Webhook {
        /// The URL.
        url_env: String,
        /// The bearer token; `null` if none is configured.
        auth_token_env: Option<String>,
    },
    /// Of a Slack webhook.
    Slack {
        /// The URL.
        webhook_url_env: String,
    },
    /// Of `PagerDuty`.
    Pagerduty {
        /// The routing key.
        routing_key_env: String,
    },
}

impl SecretRefs {
    /// The variables' names.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Webhook {
                url_env,
                auth_token_env,
            } => std::iter::once(url_env.as_str())
                .chain(auth_token_env.as_deref())
                .collect(),
            Self::Slack { webhook_url_env } => vec![webhook_url_env],
            Self::Pagerduty { routing_key_env } => vec![routing_key_env],
        }
    }
}

/// What a sink's type allows to be set; values as configured, `null` where
/// nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum SinkSettings {
    /// Of a webhook.
    Webhook {
        /// Sent with each request.
        headers: Map<String, Value>,
    },
    /// Of a Slack webhook.
    Slack {
        /// Posted there instead of the webhook's own channel.
        channel: Value,
        /// Posted under this name.
        username: Value,
        /// Posted with this icon.
        icon_emoji: Value,
    },
    /// Of `PagerDuty`.
    Pagerduty {
        /// Where it happened.
        source: Value,
        /// What it happened to.
        component: Value,
        /// Of the component.
        group: Value,
        /// Of the event.
        class: Value,
    },
}

/// Whether a secret is set and not empty; never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SecretPresence {
    /// Set and not empty.
    pub present: bool,
}

/// Variable name → whether it is set.
pub type EnvStatus = BTreeMap<String, SecretPresence>;

/// What was checked besides the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SinkValidation {
    /// Whether missing secrets of enabled sinks are an error.
    pub env_check_enabled: bool,
}

/// What the resolver prints without a category (chapter 04 §2.5.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SinkCatalogue {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The file that was read, as given.
    pub source_file: String,
    /// The gate of routes without one of their own.
    pub default_min_severity: Severity,
    /// In the order of the file.
    pub sinks: Vec<CatalogueSink>,
    /// How many of them are enabled.
    pub enabled_sink_count: u64,
    /// As in the file.
    pub routing: Value,
    /// The secrets of all sinks.
    pub env_status: EnvStatus,
    /// What was checked.
    pub validation: SinkValidation,
}

/// One sink of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CatalogueSink {
    /// Its name in the file.
    pub id: String,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SinkType,
    /// Limit of one delivery.
    pub timeout_seconds: Number,
    /// Where its secrets are.
    pub secret_refs: SecretRefs,
}

/// What the resolver prints for one category (chapter 04 §2.5.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RouteDocument {
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// The file that was read, as given.
    pub source_file: String,
    /// As given.
    pub category: String,
    /// As given, else mapped, else the gate itself.
    pub event_severity: Severity,
    /// Of the category; omitted without a mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category_mapped_severity: Option<Severity>,
    /// The gate.
    pub min_severity: Severity,
    /// Whether the severity passes the gate.
    pub should_dispatch: bool,
    /// The route as in the file; omitted if none matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Value>,
    /// Routed to, disabled ones included.
    pub selected_sinks: Vec<RoutedSink>,
    /// To be sent to.
    pub dispatchable_sinks: Vec<RoutedSink>,
    /// The secrets of all sinks of the file.
    pub env_status: EnvStatus,
    /// What was checked.
    pub validation: SinkValidation,
}

/// One sink that a category is routed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoutedSink {
    /// Its name in the file.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SinkType,
    /// Whether anything is sent there.
    pub enabled: bool,
    /// Limit of one delivery.
    pub timeout_seconds: Number,
    /// Where its secrets are.
    pub secret_refs: SecretRefs,
    /// What its type allows to be set.
    pub config: SinkSettings,
}
