//! Sending an alert to its sinks, and reading what they say (chapter 04
//! §3.4.3).

use std::sync::OnceLock;

use futures_util::future::join_all;
use om_http::{Client, HttpError, Limits, Oversize, Response, Secret, redact};
use om_model::alerts::{AlertReason, SinkResult, SinkStatus};
use om_model::{Timestamp, json};

use crate::environment::Environment;
use crate::payload::{self, Alert, Outgoing, PAGERDUTY_URL};
use crate::sink::Sink;
use crate::text::excerpt;

/// Bytes kept of a response: far more than an excerpt needs. A longer one is
/// a complete response; the rest of it is not waited for.
const KEPT_BODY: usize = 64 * 1024;

/// Sends alerts over HTTP, on connections that are kept.
#[derive(Debug)]
pub struct Courier {
    environment: Environment,
    pagerduty_url: String,
    /// Made when the first alert is sent: most runs send none.
    client: OnceLock<Result<Client, HttpError>>,
}

impl Courier {
    /// A courier that takes secrets from `environment`.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            pagerduty_url: PAGERDUTY_URL.to_owned(),
            client: OnceLock::new(),
        }
    }

    /// Sends `PagerDuty` events to `url` instead, for tests.
    #[must_use]
    pub fn with_pagerduty_at(self, url: impl Into<String>) -> Self {
        Self {
            pagerduty_url: url.into(),
            ..self
        }
    }

    /// Where secrets come from.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Tells every sink at the same time; the results are in the order of
    /// `sinks`. A sink that fails does not keep the others from hearing.
    pub async fn deliver(&self, sinks: &[Sink], alert: &Alert, now: Timestamp) -> Vec<SinkResult> {
        join_all(sinks.iter().map(|sink| self.deliver_to(sink, alert, now))).await
    }

    async fn deliver_to(&self, sink: &Sink, alert: &Alert, now: Timestamp) -> SinkResult {
        let made = payload::request(sink, alert, &self.environment, &self.pagerduty_url, now);
        let outgoing = match made {
            Ok(outgoing) => outgoing,
            Err(unsendable) => {
                let message = excerpt(&unsendable.message);
                return failure(sink, unsendable.reason, message);
            }
        };
        let sent = match self.client() {
            Ok(client) => client.send(&outgoing.request).await,
            Err(error) => Err(error.clone()),
        };
        match sent {
            Ok(response) => answered(sink, &response, &outgoing),
            Err(error) => {
                let message = readable(&error.to_string(), &outgoing);
                failure(sink, AlertReason::RequestFailed, message)
            }
        }
    }

    fn client(&self) -> Result<&Client, &HttpError> {
        let make = || {
            Client::new(Limits {
                connect_timeout: None,
                total_timeout: None,
                max_body_bytes: KEPT_BODY,
                oversize: Oversize::Cut,
            })
        };
        self.client.get_or_init(make).as_ref()
    }
}

fn answered(sink: &Sink, response: &Response, outgoing: &Outgoing) -> SinkResult {
    let (status, reason_code) = if response.is_success() {
        (SinkStatus::Success, None)
    } else {
        (SinkStatus::Failed, Some(AlertReason::HttpError))
    };
    SinkResult {
        id: sink.id.clone(),
        kind: sink.kind.clone(),
        status,
        http_status: Some(response.status),
        reason_code,
        message: readable(&json::decode(&response.body), outgoing),
    }
}

fn failure(sink: &Sink, reason: AlertReason, message: Option<String>) -> SinkResult {
    SinkResult {
        id: sink.id.clone(),
        kind: sink.kind.clone(),
        status: SinkStatus::Failed,
        http_status: None,
        reason_code: Some(reason),
        message,
    }
}

/// What may be written down of a text: secrets are taken out before it is
/// cut, so that no part of one is left at the edge.
fn readable(text: &str, outgoing: &Outgoing) -> Option<String> {
    let secrets: Vec<&Secret> = outgoing.secrets.iter().collect();
    excerpt(&redact(text, &secrets))
}
