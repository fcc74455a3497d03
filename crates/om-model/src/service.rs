//! The HTTP API of the sprite service: requests, responses, error codes
//! (chapter 03 §3.4.4, decisions D12, D13, D32).

#[cfg(feature = "schema")]
pub mod openapi;
mod request;
pub mod routes;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope::{EventEnvelope, SchemaVersion, Source};
use crate::{Timestamp, TraceId};

pub use request::{
    BodyError, ControlRequestBody, HeaderFallbacks, MAX_KEY_BYTES, MAX_LIMIT_SECONDS,
};

/// Why a request was not answered with what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ServiceErrorCode {
    /// A parameter, a member or the request itself is wrong.
    InvalidRequest,
    /// The body is not JSON.
    InvalidJson,
    /// The token is missing or wrong.
    Unauthorized,
    /// No such path, or not with this method.
    NotFound,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body is longer than the service accepts.
    BodyTooLarge,
    /// The request line and headers are longer than the service accepts.
    HeadersTooLarge,
    /// Another intent was executed under this idempotency key.
    IdempotencyConflict,
    /// The record of idempotency keys cannot be used; nothing was executed.
    IdempotencyStoreInvalid,
    /// The service failed; nothing is known to be wrong with the request.
    InternalError,
    /// Neither GET nor POST.
    NotImplemented,
    /// The loop could not be observed.
    RuntimeError,
    /// The service has too much to do right now.
    ServiceBusy,
}

impl ServiceErrorCode {
    /// Every code, by HTTP status.
    pub const ALL: [Self; 13] = [
        Self::InvalidRequest,
        Self::InvalidJson,
        Self::Unauthorized,
        Self::NotFound,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::IdempotencyConflict,
        Self::HeadersTooLarge,
        Self::IdempotencyStoreInvalid,
        Self::InternalError,
        Self::NotImplemented,
        Self::RuntimeError,
        Self::ServiceBusy,
    ];

    /// The HTTP status it comes with.
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::InvalidJson => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::IdempotencyConflict => 422,
            Self::HeadersTooLarge => 431,
            Self::IdempotencyStoreInvalid | Self::InternalError => 500,
            Self::NotImplemented => 501,
            Self::RuntimeError => 502,
            Self::ServiceBusy => 503,
        }
    }
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorResponse {
    /// `false`.
    pub ok: bool,
    /// What is wrong.
    pub error: ErrorBody,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// For programs.
    pub code: ServiceErrorCode,
    /// For people.
    pub message: String,
}

impl ErrorResponse {
    /// The body for `code`.
    pub fn new(code: ServiceErrorCode, message: impl Into<String>) -> Self {
        Self {
            ok: false,
            error: ErrorBody {
                code,
                message: message.into(),
            },
        }
    }
}

/// The answer of `/healthz` and `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OkResponse {
    /// `true`.
    pub ok: bool,
}

/// The answer of `/ops/events`. Of a snapshot the envelope itself is the
/// answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventsResponse {
    /// `true`.
    pub ok: bool,
    /// `v1`.
    pub schema_version: SchemaVersion,
    /// That of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// Which loop; the repository as a physical path.
    pub source: Source,
    /// In the order of the log.
    pub events: Vec<EventEnvelope>,
    /// Where the next poll starts.
    pub cursor: EventsCursor,
}

/// Where the next poll starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventsCursor {
    /// Lines consumed.
    pub event_line_offset: u64,
    /// Complete lines in the log.
    pub event_line_count: u64,
    /// When the log was looked at.
    pub updated_at: Option<Timestamp>,
}

/// The answer to a control request that was executed, now or earlier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlResponse {
    /// Whether the control ended with exit code 0.
    pub ok: bool,
    /// Exit code of the control: 0, 2 for ambiguous, else it failed.
    pub exit_code: i64,
    /// The row of `intents.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Diagnostics, last lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Whether this is the stored answer to an earlier request with the same
    /// idempotency key.
    pub replayed: bool,
    /// That of the request, else of the control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
}

impl ControlResponse {
    /// The HTTP status of the first answer: 200, 409 for ambiguous, else 500.
    pub fn http_status(&self) -> u16 {
        match self.exit_code {
            0 => 200,
            2 => 409,
            _ => 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn every_code_has_a_status_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> =
            ServiceErrorCode::ALL.iter().map(json::compact).collect();
        assert_eq!(names.len(), ServiceErrorCode::ALL.len());
        let statuses = ServiceErrorCode::ALL.map(ServiceErrorCode::http_status);
        assert!(statuses.is_sorted(), "{statuses:?}");
    }
}
