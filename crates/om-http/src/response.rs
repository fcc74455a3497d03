//! What came back.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::retry;

/// A complete response, or the first part of a long one.
#[derive(Clone)]
pub struct Response {
    /// 100 to 999.
    pub status: u16,
    /// As sent.
    pub headers: HeaderMap,
    /// At most [`max_body_bytes`](crate::Limits::max_body_bytes).
    pub body: Vec<u8>,
    /// Whether the body was longer and the rest was dropped
    /// ([`Oversize::Cut`](crate::Oversize::Cut)).
    pub truncated: bool,
}

impl Response {
    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The pause that `Retry-After` asks for. A date in it is compared with
    /// the server's own `Date`, so that it does not matter whose clock is
    /// wrong; with ours if there is none.
    pub fn retry_after(&self) -> Option<Duration> {
        let date = self.header("date");
        let date = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        retry::retry_after(
            self.header("retry-after"),
            date.unwrap_or_else(SystemTime::now),
        )
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}
