//! The request of one delivery (chapter 04 §3.4.3, §3.4.4). No I/O.

use om_http::{HttpError, Request, Secret, Url};
use om_model::alerts::payloads::{
    PagerDutyDetails, PagerDutyEvent, PagerDutyPayload, SlackBlock, SlackPayload, SlackText,
    WebhookEvent, WebhookPayload, WebhookSink, WebhookSource,
};
use om_model::alerts::sinks::SinkType;
use om_model::alerts::{AlertReason, Severity};
use om_model::envelope::SchemaVersion;
use om_model::{Timestamp, json};
use serde::Serialize;
use serde_json::Value;

use crate::environment::Environment;
use crate::sink::{PagerDutyTarget, Sink, SinkTarget, SlackTarget};

/// Where `PagerDuty` events go.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// `source.channel` of a webhook's payload.
const CHANNEL: &str = "ops_manager_alert_dispatch";
const CONTENT_TYPE: (&str, &str) = ("Content-Type", "application/json");
/// Shortest part of a path that could be a key rather than a word.
const KEY: usize = 12;
/// Headers that say how a message is framed: a wrong one would make it
/// another message.
const FRAMING: [&str; 4] = ["content-length", "transfer-encoding", "connection", "te"];

/// What the sinks are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Absolute.
    pub repo_path: String,
    /// Of the escalation row, else the one that is dispatched for.
    pub loop_id: String,
    /// Of the escalation row, else of the run.
    pub trace_id: String,
    /// What happened.
    pub category: String,
    /// How bad.
    pub severity: Severity,
    /// When, as the escalation row says; may be empty.
    pub timestamp: String,
    /// The whole escalation row.
    pub escalation: Value,
}

/// A request that can be sent, and what must not show up in any text.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What is sent.
    pub request: Request,
    /// What it contains.
    pub secrets: Vec<Secret>,
}

/// Why no request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable {
    /// As the sink's result says.
    pub reason: AlertReason,
    /// One line, without secrets.
    pub message: String,
}

impl Unsendable {
    fn request(message: impl Into<String>) -> Self {
        Self {
            reason: AlertReason::RequestFailed,
            message: message.into(),
        }
    }
}

impl From<HttpError> for Unsendable {
    fn from(error: HttpError) -> Self {
        Self::request(error.to_string())
    }
}

/// Makes the request that tells `sink` about `alert`.
pub fn request(
    sink: &Sink,
    alert: &Alert,
    environment: &Environment,
    pagerduty_url: &str,
    now: Timestamp,
) -> Result<Outgoing, Unsendable> {
    let (request, secrets) = match &sink.target {
        SinkTarget::Webhook {
            url_env,
            auth_token_env,
            headers,
        } => {
            let url = secret(environment, url_env, "webhook url env is unset")?;
            let token = environment.secret(auth_token_env);
            let request = post(url.expose(), &webhook(&sink.id, alert, now))?;
            let request = with_headers(request, token.as_ref(), headers)?;
            (request, parts(&url).into_iter().chain(token).collect())
        }
        SinkTarget::Slack(target) => {
            let missing = "slack webhook env is unset";
            let url = secret(environment, &target.webhook_url_env, missing)?;
            (post(url.expose(), &slack(target, alert))?, parts(&url))
        }
        SinkTarget::PagerDuty(target) => {
            let missing = "pagerduty routing key env is unset";
            let key = secret(environment, &target.routing_key_env, missing)?;
            let body = pagerduty(target, alert, &key);
            (post(pagerduty_url, &body)?, vec![key])
        }
        SinkTarget::Unsupported => {
            return Err(Unsendable {
                reason: AlertReason::UnsupportedSinkType,
                message: format!("unsupported sink type: {}", sink.kind),
            });
        }
    };
    Ok(Outgoing {
        request: request.time_limit(sink.timeout),
        secrets,
    })
}

fn secret(environment: &Environment, name: &str, missing: &str) -> Result<Secret, Unsendable> {
    environment.secret(name).ok_or_else(|| Unsendable {
        reason: AlertReason::MissingSecret,
        message: missing.to_owned(),
    })
}

fn post<T: Serialize>(url: &str, body: &T) -> Result<Request, Unsendable> {
    let request = Request::post(absolute(url)?, json::compact(body));
    Ok(request.header(CONTENT_TYPE.0, CONTENT_TYPE.1)?)
}

/// A URL without a scheme is an http one; other schemes are refused.
fn absolute(text: &str) -> Result<Url, Unsendable> {
    let scheme = text.split_once(':').is_some_and(|(before, after)| {
        let letters = before.bytes().all(|b| b.is_ascii_alphabetic());
        letters && after.starts_with('/') && !after.starts_with("//")
    });
    if scheme || text.starts_with('-') {
        return Err(Unsendable::request(
            "bad URL: it must start with http:// or https:// and name a host",
        ));
    }
    Ok(Url::parse(&with_scheme(text))?)
}

fn with_scheme(text: &str) -> String {
    let text = text.trim();
    if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    }
}

/// What a server may say of a secret URL: all of it, and parts of its path
/// that look like keys.
fn parts(url: &Secret) -> Vec<Secret> {
    let whole = with_scheme(url.expose());
    let path = whole.split(['?', '#']).next().unwrap_or_default();
    let keys = path.split('/').skip(3).filter(|part| part.len() >= KEY);
    let mut parts: Vec<Secret> = keys.map(Secret::new).collect();
    parts.extend([url.clone(), Secret::new(whole)]);
    parts
}

/// The token, then the configured headers in their order, all appended.
fn with_headers(
    request: Request,
    token: Option<&Secret>,
    headers: &[(String, String)],
) -> Result<Request, Unsendable> {
    let mut request = request;
    if let Some(token) = token {
        let bearer = Secret::new(format!("Bearer {}", token.expose()));
        request = request.secret_header("Authorization", &bearer)?;
    }
    for (name, value) in headers {
        if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(Unsendable::request(format!(
                "invalid header {}: it is not configurable",
                name.escape_debug()
            )));
        }
        request = request.header(name, value)?;
    }
    Ok(request)
}

/// The body of a webhook request.
pub fn webhook(sink_id: &str, alert: &Alert, now: Timestamp) -> WebhookPayload {
    WebhookPayload {
        schema_version: SchemaVersion::V1,
        emitted_at: now,
        source: WebhookSource {
            repo_path: alert.repo_path.clone(),
            loop_id: alert.loop_id.clone(),
            channel: CHANNEL.to_owned(),
            trace_id: alert.trace_id.clone(),
        },
        event: WebhookEvent {
            category: alert.category.clone(),
            severity: alert.severity,
        },
        sink: WebhookSink {
            id: sink_id.to_owned(),
            kind: SinkType::Webhook,
        },
        escalation: alert.escalation.clone(),
    }
}

/// The body of a Slack request.
pub fn slack(target: &SlackTarget, alert: &Alert) -> SlackPayload {
    let line = format!(
        "[ops-manager][{}] {} loop={} trace={}",
        alert.severity.as_str(),
        alert.category,
        alert.loop_id,
        alert.trace_id
    );
    let when = if alert.timestamp.is_empty() {
        "Escalation timestamp unavailable".to_owned()
    } else {
        format!("Escalation timestamp: `{}`", alert.timestamp)
    };
    let text = |text: String| SlackText::Mrkdwn { text };
    let setting = |text: &String| (!text.is_empty()).then(|| text.clone());
    SlackPayload {
        channel: setting(&target.channel),
        username: setting(&target.username),
        icon_emoji: setting(&target.icon_emoji),
        blocks: [
            SlackBlock::Section {
                // A backslash and an `n`, as other tools expect it.
                text: text(format!("*Ops Manager Alert*\\nCategory: `{line}`")),
            },
            SlackBlock::Context {
                elements: [text(when), text(format!("Trace: `{}`", alert.trace_id))],
            },
        ],
        text: line,
    }
}

/// The body of a `PagerDuty` request.
pub fn pagerduty(
    target: &PagerDutyTarget,
    alert: &Alert,
    routing_key: &Secret,
) -> PagerDutyPayload {
    PagerDutyPayload {
        routing_key: routing_key.expose().to_owned(),
        event_action: "trigger".to_owned(),
        dedup_key: format!("{}:{}:{}", alert.loop_id, alert.category, alert.timestamp),
        payload: PagerDutyEvent {
            summary: format!(
                "ops-manager {} ({}) loop={}",
                alert.category,
                alert.severity.as_str(),
                alert.loop_id
            ),
            severity: alert.severity,
            source: target.source.clone(),
            component: target.component.clone(),
            group: target.group.clone(),
            class: target.class.clone(),
            custom_details: PagerDutyDetails {
                escalation: alert.escalation.clone(),
                trace_id: alert.trace_id.clone(),
            },
        },
    }
}
