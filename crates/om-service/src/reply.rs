//! Answers: JSON in ASCII, one shape for every error (chapter 03 §3.4.4).

use std::fmt::Write;

use axum::body::Body;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, SERVER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use om_model::service::{ErrorResponse, ServiceErrorCode};
use om_model::{TraceId, json};
use serde::Serialize;

/// The `Server` header of every answer.
pub(crate) const SERVER_NAME: &str = "OpsManagerSpriteService/0.1";

/// Seconds after which a busy service is worth asking again.
const RETRY_SECONDS: u16 = 1;

/// Why a request is not answered with what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ServiceErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ServiceErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Too much to do right now.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(ServiceErrorCode::ServiceBusy, message)
    }

    /// The service itself failed.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ServiceErrorCode::InternalError, message)
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// JSON in ASCII.
    pub(crate) body: Vec<u8>,
    /// Whether the connection ends with it.
    close: bool,
    code: Option<ServiceErrorCode>,
    /// What links the answer to artifacts, for the access log.
    pub(crate) trace_id: Option<TraceId>,
}

impl Reply {
    /// `document` under `status`.
    pub(crate) fn json<T: Serialize + ?Sized>(status: u16, document: &T) -> Self {
        Self::text(status, json::compact(document))
    }

    /// A document that is JSON already.
    pub(crate) fn text(status: u16, document: String) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: ascii(document).into_bytes(),
            close: false,
            code: None,
            trace_id: None,
        }
    }

    /// The same, about what `trace_id` links, if that is not known yet.
    pub(crate) fn about(mut self, trace_id: Option<TraceId>) -> Self {
        self.trace_id = self.trace_id.or(trace_id);
        self
    }

    /// The same as the last answer of its connection, if `close`.
    pub(crate) fn closing(self, close: bool) -> Self {
        Self { close, ..self }
    }

    /// The HTTP answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
        match self.code {
            Some(ServiceErrorCode::ServiceBusy) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
            }
            Some(ServiceErrorCode::Unauthorized) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The answer as bytes, for a connection that ends with it.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let status = self.status;
        let reason = status.canonical_reason().unwrap_or("Error");
        let retry = match self.code {
            Some(ServiceErrorCode::ServiceBusy) => format!("retry-after: {RETRY_SECONDS}\r\n"),
            _ => String::new(),
        };
        let head = format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\nserver: {SERVER_NAME}\r\n\
             {retry}connection: close\r\ncontent-length: {}\r\n\r\n",
            status.as_u16(),
            self.body.len(),
        );
        [head.into_bytes(), self.body].concat()
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.code.http_status();
        let body = ErrorResponse::new(refusal.code, refusal.message);
        Self {
            code: Some(refusal.code),
            ..Self::json(status, &body)
        }
    }
}

/// `document` with every character beyond ASCII escaped. In JSON these stand
/// in texts only.
fn ascii(document: String) -> String {
    if document.is_ascii() {
        return document;
    }
    let mut escaped = String::with_capacity(document.len() * 2);
    for character in document.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_error_has_the_contracts_shape() {
        let reply = Reply::from(Refusal::new(
            ServiceErrorCode::NotFound,
            "endpoint not found",
        ));
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(
            reply.body,
            br#"{"ok":false,"error":{"code":"not_found","message":"endpoint not found"}}"#
        );
    }

    #[test]
    fn a_busy_service_says_when_to_come_back() {
        let response = Reply::from(Refusal::busy("later")).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let bytes = Reply::from(Refusal::busy("later")).into_bytes();
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("\r\nretry-after: 1\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn escaping_keeps_the_value(text in any::<String>()) {
            let reply = Reply::json(200, &text);
            prop_assert!(reply.body.is_ascii());
            let read: String = serde_json::from_slice(&reply.body).expect("is JSON");
            prop_assert_eq!(read, text);
        }
    }
}
