//! The request to a sprite service, and what its answer means (chapter 03
//! §3.1.4 B).

use std::time::Duration;

use om_http::{Backoff, Secret, Secrets};
use om_model::control::{
    ConfirmationStatus, ControlReasonCode, ControlRequestSettings, ControlStatus, ExecutionStatus,
    Intent, PendingIntent,
};
use om_model::{LoopId, TraceId, json};
use om_stage::{FAILURE_TAIL_LINES, Hook, last_lines};
use om_transport::{Answer, Idempotent, ServiceClient, ServiceError, ServiceSettings};
use serde::Serialize;
use serde_json::Value;

use crate::outcome::Outcome;

/// The path of the request.
pub const CONTROL_PATH: &str = "/ops/control";

/// Seconds that the service may need beside its two limits.
pub(crate) const SLACK: u64 = 15;

/// The client for control requests: retries as configured, and each attempt,
/// or a hook as a whole, bounded by [`total_limit`]. `hook` is
/// `OPS_MANAGER_SERVICE_CLIENT_SCRIPT`.
pub fn client(
    base_url: Secret,
    token: Option<Secret>,
    settings: &ControlRequestSettings,
    hook: Option<Hook>,
) -> Result<ServiceClient, ServiceError> {
    let limit = total_limit(settings).map(Duration::from_secs);
    let service = ServiceSettings {
        token,
        retry: Backoff {
            attempts: settings.retry_attempts,
            seconds: settings.retry_backoff_seconds,
        },
        attempt_timeout: limit,
        hook_timeout: limit,
        ..ServiceSettings::new(base_url)
    };
    ServiceClient::new(service, hook)
}

/// The command text of a request: where it goes, without credentials.
pub fn command(client: &ServiceClient) -> String {
    format!("POST {}", client.settings().shown_url(CONTROL_PATH))
}

/// Sends the request and waits for its outcome; the second value is what a
/// failed client says, for stderr.
pub fn act(client: &ServiceClient, entry: &PendingIntent) -> (Outcome, Option<String>) {
    let body = body(entry);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("error: cannot prepare the service request: {error}");
            return (failed(1), Some(message));
        }
    };
    let trace_id = Some(&entry.trace_id);
    // The body has an idempotency key, always.
    let posted = client.post(CONTROL_PATH, &body, trace_id, Idempotent::Yes);
    let secrets = client.settings().secrets();
    match runtime.block_on(posted) {
        Ok(Answer { body, diagnostics }) => {
            if !diagnostics.is_empty() {
                // A command that succeeds is silent, its client's hook too.
                let said = secrets.clean(&diagnostics);
                tracing::info!(%said, "the service client hook");
            }
            (evaluate(&body, &secrets), None)
        }
        Err(error) => (failed(i64::from(error.exit_code())), Some(error.printed())),
    }
}

/// How long one request may take, in seconds: the runtime's limit, the
/// confirmation and some slack (decision D13). `None` if the runtime's limit
/// is none.
pub fn total_limit(settings: &ControlRequestSettings) -> Option<u64> {
    let runtime = settings
        .runtime_timeout_seconds
        .filter(|limit| *limit > 0)?;
    Some(
        runtime
            .saturating_add(confirmation_time(settings))
            .saturating_add(SLACK),
    )
}

/// The longest that a confirmation takes, but for its last look.
pub(crate) fn confirmation_time(settings: &ControlRequestSettings) -> u64 {
    if settings.do_confirm {
        let interval = settings.interval_seconds.max(1);
        settings.timeout_seconds.saturating_add(interval)
    } else {
        0
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    loop_id: &'a LoopId,
    intent: Intent,
    by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    trace_id: &'a TraceId,
    idempotency_key: &'a str,
    no_confirm: bool,
    timeout_seconds: u64,
    interval_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    force_target: bool,
}

/// The request's body: §3.1.4 B.1, the limits of decision D13, and
/// `forceTarget` if it was asked for.
pub fn body(entry: &PendingIntent) -> Vec<u8> {
    let settings = &entry.request;
    let body = Body {
        loop_id: &entry.loop_id,
        intent: entry.intent,
        by: &entry.requested_by,
        note: entry.note.as_deref(),
        trace_id: &entry.trace_id,
        idempotency_key: &entry.idempotency_key,
        no_confirm: !settings.do_confirm,
        timeout_seconds: settings.timeout_seconds,
        interval_seconds: settings.interval_seconds,
        runtime_timeout_seconds: settings.runtime_timeout_seconds,
        force_target: settings.force_target,
    };
    json::compact(&body).into_bytes()
}

/// What a failed request means; its client ended with `exit_code`.
pub fn failed(exit_code: i64) -> Outcome {
    Outcome::failed(exit_code, "{}".to_owned())
}

/// What an answer means (§3.1.4 B.5). An answer that cannot be used is a
/// failed command that says why. `secrets` are in nothing that is recorded of
/// it, whatever the service said.
pub fn evaluate(answer: &[u8], secrets: &Secrets) -> Outcome {
    read(answer, secrets).unwrap_or_else(|why| {
        let text = format!("unusable answer of the service: {}", secrets.redact(&why));
        let seen = last_lines(secrets.clean(answer).as_bytes(), FAILURE_TAIL_LINES);
        let text = [text, seen].join("\n");
        Outcome::failed(1, text.trim_end().to_owned())
    })
}

fn read(answer: &[u8], secrets: &Secrets) -> Result<Outcome, String> {
    let answer = json::parse(answer).map_err(|error| error.to_string())?;
    if !answer.is_object() {
        let found = json::type_name(&answer);
        return Err(format!("it is {found}, expected an object"));
    }
    let member = |name| answer.get(name);
    let result = match member("result") {
        None | Some(Value::Null) => None,
        Some(Value::Object(members)) => Some(members),
        Some(other) => {
            let found = json::type_name(other);
            return Err(format!("result is {found}, expected an object"));
        }
    };
    let result = |name: &str| result.and_then(|members| members.get(name));
    let exit_code = member("exitCode").and_then(json::digits).unwrap_or(0);
    let status = match result("status").map(json::text) {
        Some(text) if !text.is_empty() && text != "null" => reported(&text, secrets),
        _ if json::is_true(member("ok")) => ControlStatus::Confirmed,
        _ if exit_code == 2 => ControlStatus::Ambiguous,
        _ => ControlStatus::FailedCommand,
    };
    let attempted = result("confirm").is_some_and(|confirm| !confirm.is_null());
    Ok(Outcome {
        reason: mismatch(&status, result("reasonCode")),
        execution: match status {
            ControlStatus::FailedCommand => ExecutionStatus::FailedCommand,
            _ => ExecutionStatus::Succeeded,
        },
        exit_code: i64::try_from(exit_code).unwrap_or(i64::MAX),
        output: json::compact(&redacted(&answer, secrets)),
        replayed: json::is_true(member("replayed")),
        attempted,
        confirmation: confirmation(&status, attempted),
        confirm_exit_code: confirm_exit_code(result("confirmExitCode"))?,
        confirm: json::present(result("confirm")).map(|confirm| redacted(confirm, secrets)),
        confirmed: json::is_true(result("confirmed")) || status == ControlStatus::Confirmed,
        forced_target: json::is_true(result("forcedTarget")),
        status,
    })
}

/// A status that is none of ours is recorded as the service put it.
fn reported(text: &str, secrets: &Secrets) -> ControlStatus {
    match ControlStatus::read(text) {
        ControlStatus::Other(text) => ControlStatus::Other(secrets.redact(&text).into_owned()),
        known => known,
    }
}

fn redacted(document: &Value, secrets: &Secrets) -> Value {
    let mut document = document.clone();
    secrets.redact_document(&mut document);
    document
}

fn confirmation(status: &ControlStatus, attempted: bool) -> ConfirmationStatus {
    match status {
        ControlStatus::Confirmed => ConfirmationStatus::Confirmed,
        ControlStatus::Ambiguous => ConfirmationStatus::Ambiguous,
        ControlStatus::ExecutedUnconfirmed => ConfirmationStatus::Skipped,
        _ if attempted => ConfirmationStatus::AttemptedUnknown,
        _ => ConfirmationStatus::NotAttempted,
    }
}

fn confirm_exit_code(value: Option<&Value>) -> Result<i64, String> {
    let Some(value) = json::present(value) else {
        return Ok(0);
    };
    let code = match value {
        Value::Number(number) => number.as_i64(),
        other => json::digits(other).and_then(|code| i64::try_from(code).ok()),
    };
    code.ok_or_else(|| {
        let found = json::compact(value);
        format!("result.confirmExitCode is {found}, expected an integer")
    })
}

/// The service refused because of the target, as we would have (decision D23).
fn mismatch(status: &ControlStatus, reason: Option<&Value>) -> Option<ControlReasonCode> {
    let code = ControlReasonCode::ControlTargetMismatch;
    let refused = *status == ControlStatus::FailedCommand && reason == Some(&json::to_value(&code));
    refused.then_some(code)
}
