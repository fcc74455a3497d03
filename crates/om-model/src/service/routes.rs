//! What can be asked of a sprite service: the routes, as a table.

use super::ServiceErrorCode as Code;

/// A method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// Asks.
    Get,
    /// Acts.
    Post,
}

impl HttpMethod {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The process answers.
    Health,
    /// The repository can be reached.
    Ready,
    /// The API as a document.
    OpenApi,
    /// One loop at this moment.
    Snapshot,
    /// The events after a cursor.
    Events,
    /// One control intent.
    Control,
}

/// One method of one path.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// How it is asked for.
    pub method: HttpMethod,
    /// Matched exactly.
    pub path: &'static str,
    /// What it does.
    pub endpoint: Endpoint,
    /// For the document.
    pub summary: &'static str,
    /// Errors of its own; every route can also give those of
    /// [`COMMON_ERRORS`].
    pub errors: &'static [Code],
}

/// Errors that every route can give.
pub const COMMON_ERRORS: [Code; 5] = [
    Code::InvalidRequest,
    Code::Unauthorized,
    Code::RequestTimeout,
    Code::HeadersTooLarge,
    Code::InternalError,
];

/// Every route.
pub const ROUTES: [Route; 6] = [
    Route {
        method: HttpMethod::Get,
        path: "/healthz",
        endpoint: Endpoint::Health,
        summary: "Whether the service answers",
        errors: &[],
    },
    Route {
        method: HttpMethod::Get,
        path: "/readyz",
        endpoint: Endpoint::Ready,
        summary: "Whether the repository can be reached",
        errors: &[Code::ServiceBusy],
    },
    Route {
        method: HttpMethod::Get,
        path: "/openapi.json",
        endpoint: Endpoint::OpenApi,
        summary: "This document",
        errors: &[],
    },
    Route {
        method: HttpMethod::Get,
        path: "/ops/snapshot",
        endpoint: Endpoint::Snapshot,
        summary: "One loop at this moment",
        errors: &[Code::RuntimeError, Code::ServiceBusy],
    },
    Route {
        method: HttpMethod::Get,
        path: "/ops/events",
        endpoint: Endpoint::Events,
        summary: "The events after a cursor",
        errors: &[Code::RuntimeError, Code::ServiceBusy],
    },
    Route {
        method: HttpMethod::Post,
        path: "/ops/control",
        endpoint: Endpoint::Control,
        summary: "Execute one control intent, once per idempotency key",
        errors: &[
            Code::InvalidJson,
            Code::BodyTooLarge,
            Code::IdempotencyConflict,
            Code::IdempotencyStoreInvalid,
            Code::ServiceBusy,
        ],
    },
];
