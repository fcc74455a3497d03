//! `ops-manager-service-client` (chapter 03 §3.3).

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use om_http::{Backoff, Secret};
use om_model::{TraceId, json};
use om_transport::{Idempotent, ServiceClient, ServiceSettings};
use serde_json::Value;

use crate::args::{at_least_one, given, non_negative, required};
use crate::command::{CommandLine, Logging, block_on, output_error};
use crate::error::CliError;

/// Arguments of `ops-manager-service-client`.
#[derive(Args, Debug)]
pub struct ServiceClientCommand {
    /// GET or POST [required]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Where the service is, e.g. http://127.0.0.1:8787 [required]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// What is asked of it, query included; appended as it is [required]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The service's token; visible to whoever can list processes
    /// [default: none]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Trace id to send [default: none]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    /// The request body, for POST; sent byte for byte
    #[arg(long, value_name = "FILE")]
    body_file: Option<String>,
    /// Attempts in all, at least 1 [default: 3]
    #[arg(long, value_name = "N")]
    retry_attempts: Option<String>,
    /// Longest pause after the first attempt; twice that after the second,
    /// and so on [default: 1]
    #[arg(long, value_name = "N")]
    retry_backoff_seconds: Option<String>,
    /// For name, connection and TLS of one attempt, 0 for no limit of its own
    /// [default: 5]
    #[arg(long, value_name = "N")]
    connect_timeout_seconds: Option<String>,
    /// For one attempt as a whole, 0 for no limit [default: 30]
    #[arg(long, value_name = "N")]
    max_time_seconds: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for ServiceClientCommand {
    const NAME: &'static str = "ops-manager-service-client";
    const SUMMARY: &'static str = "Send one request to a sprite service";
    const ABOUT: &'static str = "Send one request to a sprite service, with authentication and \
        retries, and print the body of the answer unchanged.";
    const DETAILS: &'static str = "\
Tried again, with pauses: no complete response, and status 408, 409, 425, 429,
500, 502, 503, 504. A POST that may have arrived is sent again only if its body
has an idempotencyKey. A 409 or 500 that carries a control result (ok and
exitCode) is an answer. Redirects are not followed. Proxy variables
(http_proxy, https_proxy, no_proxy) are honoured.

A token on the command line shows up in process lists; control and reconcile
send theirs without one.

Examples:
  ops-manager-service-client --method GET --base-url http://127.0.0.1:8787 \\
    --path '/ops/snapshot?loopId=nightly' --token \"$OPS_MANAGER_SERVICE_TOKEN\"

Exit codes: 0 answered; 1 no usable answer, or a flag or file is invalid
(error: line on stderr, nothing on stdout).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let method = self.method()?;
        let settings = self.settings()?;
        let path = required("--path", self.path.as_ref())?;
        let body = self.body(method)?;
        let trace_id = given(self.trace_id.as_ref()).and_then(TraceId::new);
        let client = ServiceClient::new(settings, None)?;
        let answer = block_on(async {
            match (method, &body) {
                (Method::Post, Some(body)) => {
                    let idempotent = idempotent(body);
                    client.post(path, body, trace_id.as_ref(), idempotent).await
                }
                _ => client.get(path, trace_id.as_ref()).await,
            }
        })??;
        out.write_all(&answer.body)
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Get,
    Post,
}

impl ServiceClientCommand {
    fn method(&self) -> Result<Method, CliError> {
        match required("--method", self.method.as_ref())? {
            "GET" => Ok(Method::Get),
            "POST" => Ok(Method::Post),
            _ => Err(CliError::new("--method must be GET or POST")),
        }
    }

    /// In the order of §3.3.2.
    fn settings(&self) -> Result<ServiceSettings, CliError> {
        let base_url = required("--base-url", self.base_url.as_ref())?;
        required("--path", self.path.as_ref())?;
        let attempts = at_least_one("--retry-attempts", self.retry_attempts.as_ref(), 3)?;
        let seconds = |value: &Option<String>, default| {
            non_negative("", value.as_ref(), default)
                .map_err(|_| CliError::new("timeout/backoff values must be non-negative integers"))
        };
        let backoff = seconds(&self.retry_backoff_seconds, 1)?;
        let connect_timeout = seconds(&self.connect_timeout_seconds, 5)?;
        let attempt_timeout = seconds(&self.max_time_seconds, 30)?;
        let limit = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        Ok(ServiceSettings {
            base_url: Secret::new(base_url),
            token: given(self.token.as_ref()).map(Secret::new),
            retry: Backoff {
                attempts,
                seconds: backoff,
            },
            connect_timeout: limit(connect_timeout),
            attempt_timeout: limit(attempt_timeout),
            ..ServiceSettings::new(Secret::new(base_url))
        })
    }

    /// The body; a file named beside GET must be there too.
    fn body(&self, method: Method) -> Result<Option<Vec<u8>>, CliError> {
        let Some(file) = given(self.body_file.as_ref()) else {
            return match method {
                Method::Get => Ok(None),
                Method::Post => Err(CliError::new("--body-file is required for POST")),
            };
        };
        let path = Path::new(file);
        if !path.is_file() {
            return Err(CliError::new(format!("body file not found: {file}")));
        }
        match method {
            Method::Get => Ok(None),
            Method::Post => match std::fs::read(path) {
                Ok(body) => Ok(Some(body)),
                Err(error) => Err(CliError::at(path, error)),
            },
        }
    }
}

/// Whether the service will recognise `body` when it comes again.
fn idempotent(body: &[u8]) -> Idempotent {
    let document = json::parse(body).unwrap_or(Value::Null);
    match json::non_empty_text(document.get("idempotencyKey")) {
        Some(key) if !key.trim().is_empty() => Idempotent::Yes,
        _ => Idempotent::No,
    }
}
