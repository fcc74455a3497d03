//! What is sent.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::error::{FailureKind, HttpError};
use crate::secret::Secret;
use crate::url::Url;

/// One request. Cheap enough to be sent again as it is.
///
/// `Debug` shows where it goes and the names of its headers, never a value.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
    pub(crate) time_limit: Option<Duration>,
}

impl Request {
    /// A request without a body.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Vec::new())
    }

    /// A request with a body of known length.
    pub fn post(url: Url, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::POST, url, body.into())
    }

    fn new(method: Method, url: Url, body: Vec<u8>) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body,
            time_limit: None,
        }
    }

    /// Adds a header after those that are there; a second one of the same
    /// name is a second line.
    ///
    /// The value must be visible ASCII and blanks: a line break would start
    /// another header.
    pub fn header(self, name: &str, value: &str) -> Result<Self, HttpError> {
        self.append(name, value, false)
    }

    /// [`Request::header`] with a value that is kept out of every text.
    pub fn secret_header(self, name: &str, value: &Secret) -> Result<Self, HttpError> {
        self.append(name, value.expose(), true)
    }

    /// Ends the whole exchange after `limit`, whatever the client's own
    /// limit is.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        Self {
            time_limit: Some(limit),
            ..self
        }
    }

    fn append(mut self, name: &str, value: &str, secret: bool) -> Result<Self, HttpError> {
        let refuse = |what: &str| {
            let message = format!("invalid header {}: {what}", name.escape_debug());
            HttpError::before(FailureKind::InvalidHeader, message)
        };
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| refuse("its name is not a header name"))?;
        if !is_header_text(value) {
            return Err(refuse("its value must be visible ASCII"));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| refuse("its value must be visible ASCII"))?;
        value.set_sensitive(secret);
        self.headers.push((name, value));
        Ok(self)
    }
}

/// Whether `text` can be sent as a header value: visible ASCII and blanks.
pub fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
