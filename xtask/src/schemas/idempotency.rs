//! `service-idempotency.json`: answers with the bookkeeping of the service
//! beside them (decision D12).

use std::collections::BTreeMap;

use om_model::control::Intent;
use om_model::service::ControlResponse;
use om_model::{Timestamp, TraceId};
use schemars::JsonSchema;

/// `service-idempotency.json`: the answers of a loop's service, by idempotency
/// key, in the order in which the keys came.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct IdempotencyDocument(BTreeMap<String, StoredKey>);

/// What is known of a key.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum StoredKey {
    Begun(BegunKey),
    Answered(Box<AnsweredKey>),
}

/// A control that was begun, and has no answer yet.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct BegunKey {
    /// Its trace.
    trace_id: TraceId,
    /// What was asked.
    intent: Intent,
    /// When it began.
    stored_at: Timestamp,
    /// `in_progress`.
    state: InProgress,
    /// Which process executes it.
    owner: KeyOwner,
    /// The idempotency key in the rows of the control; none if a script of
    /// `--scripts-dir` executes it.
    #[schemars(default, skip_serializing_if = "Option::is_none", with = "String")]
    control_key: Option<String>,
}

/// The answer to a control request.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct AnsweredKey {
    #[schemars(flatten)]
    answer: ControlResponse,
    /// What was asked.
    intent: Intent,
    /// When the answer was stored.
    stored_at: Timestamp,
    /// `done`.
    state: Done,
}

/// A process, recognisable for good.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct KeyOwner {
    /// The machine's name.
    host: String,
    /// Its boot; empty where the system does not tell.
    boot_id: String,
    /// The process id.
    pid: u32,
    /// Start of the process in clock ticks since boot.
    #[schemars(default, skip_serializing_if = "Option::is_none", with = "u64")]
    process_start: Option<u64>,
}

/// Begun.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum InProgress {
    /// Begun.
    InProgress,
}

/// Answered.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Done {
    /// Answered.
    Done,
}
