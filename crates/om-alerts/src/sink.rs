//! A sink to send to, as the resolver describes it (chapter 04 §3.7).

use std::time::Duration;

use om_model::json::{self, present};
use serde_json::{Map, Value};

use crate::config::{DEFAULT_TIMEOUT_SECONDS, PAGERDUTY_SOURCE};
use crate::text::text_form;

/// What a sink is called if the resolver does not say.
const UNKNOWN: &str = "unknown";
/// Longest limit of one delivery, which only a replaced resolver can ask for.
const LONGEST_TIMEOUT_SECONDS: f64 = 86_400.0;

/// A sink to send to.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Its name.
    pub id: String,
    /// Its type as text, which need not be a known one.
    pub kind: String,
    /// Limit of one delivery, from the name to the last byte.
    pub timeout: Duration,
    /// What its type needs.
    pub target: SinkTarget,
}

/// What the types of sinks need. Names of variables are empty if the
/// resolver gave none.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkTarget {
    /// Any HTTP endpoint.
    Webhook {
        /// Variable with the URL.
        url_env: String,
        /// Variable with the bearer token.
        auth_token_env: String,
        /// Name and value, in order; values are not blank.
        headers: Vec<(String, String)>,
    },
    /// A Slack incoming webhook.
    Slack(SlackTarget),
    /// The `PagerDuty` events API.
    PagerDuty(PagerDutyTarget),
    /// A type that nobody knows how to send to.
    Unsupported,
}

/// A Slack incoming webhook. Settings that are not configured are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlackTarget {
    /// Variable with the URL.
    pub webhook_url_env: String,
    /// Channel to post to.
    pub channel: String,
    /// Name to post under.
    pub username: String,
    /// Icon to post with.
    pub icon_emoji: String,
}

/// The `PagerDuty` events API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagerDutyTarget {
    /// Variable with the routing key.
    pub routing_key_env: String,
    /// Where it happened.
    pub source: String,
    /// What it happened to.
    pub component: String,
    /// Of the component.
    pub group: String,
    /// Of the event.
    pub class: String,
}

impl Sink {
    /// Reads one item of `dispatchableSinks`.
    pub fn read(item: &Value) -> Self {
        let named = |member: &str| present(item.get(member)).map_or(UNKNOWN.to_owned(), json::text);
        let kind = named("type");
        Self {
            id: named("id"),
            timeout: timeout(item.get("timeoutSeconds")),
            target: target(&kind, item),
            kind,
        }
    }
}

fn timeout(value: Option<&Value>) -> Duration {
    let number = match present(value) {
        Some(Value::Number(number)) => Some(number.clone()),
        Some(Value::String(text)) => json::decimal(text.trim()),
        _ => None,
    };
    let seconds = number
        .and_then(|number| number.as_f64())
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| Duration::from_secs_f64(seconds.min(LONGEST_TIMEOUT_SECONDS)));
    seconds.unwrap_or(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS))
}

fn target(kind: &str, item: &Value) -> SinkTarget {
    let text = |group: &str, member: &str| text_form(item.get(group).and_then(|g| g.get(member)));
    let env = |member: &str| text("secretRefs", member);
    let setting = |member: &str| text("config", member);
    let or = |member: &str, default: &str| {
        let text = setting(member);
        if text.is_empty() {
            default.to_owned()
        } else {
            text
        }
    };
    match kind {
        "webhook" => SinkTarget::Webhook {
            url_env: env("urlEnv"),
            auth_token_env: env("authTokenEnv"),
            headers: headers(item.get("config").and_then(|config| config.get("headers"))),
        },
        "slack" => SinkTarget::Slack(SlackTarget {
            webhook_url_env: env("webhookUrlEnv"),
            channel: setting("channel"),
            username: setting("username"),
            icon_emoji: setting("iconEmoji"),
        }),
        "pagerduty_events" => SinkTarget::PagerDuty(PagerDutyTarget {
            routing_key_env: env("routingKeyEnv"),
            source: or("source", PAGERDUTY_SOURCE),
            component: or("component", "ops-manager"),
            group: or("group", "loop-run"),
            class: or("class", "escalation"),
        }),
        _ => SinkTarget::Unsupported,
    }
}

/// A header without a value is not sent.
fn headers(value: Option<&Value>) -> Vec<(String, String)> {
    let empty = Map::new();
    let members = value.and_then(Value::as_object).unwrap_or(&empty);
    members
        .iter()
        .map(|(name, value)| (name.clone(), text_form(Some(value)).trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sink_that_says_nothing_of_itself_is_unknown() {
        let expected = Sink {
            id: UNKNOWN.to_owned(),
            kind: UNKNOWN.to_owned(),
            timeout: Duration::from_secs(5),
            target: SinkTarget::Unsupported,
        };
        for item in [json!({}), json!("x"), json!({"id": false, "type": null})] {
            assert_eq!(Sink::read(&item), expected, "{item}");
        }
    }

    #[test]
    fn the_time_limit_is_a_positive_number_of_seconds() {
        for (value, milliseconds) in [
            (json!(8), 8_000),
            (json!(0.5), 500),
            (json!("1.5"), 1_500),
            (json!(0), 5_000),
            (json!(-1), 5_000),
            (json!(false), 5_000),
            (json!("soon"), 5_000),
            (json!(1e300), 86_400_000),
        ] {
            let limit = timeout(Some(&value));
            assert_eq!(limit, Duration::from_millis(milliseconds), "{value}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_blank_ones_are_left_out() {
        let configured = json!({"X-B": "2", "Accept": " ", "X-A": " 1 ", "X-N": 7, "X-E": ""});
        let expected = [("X-B", "2"), ("X-A", "1"), ("X-N", "7")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers(Some(&configured)), expected);
    }
}
