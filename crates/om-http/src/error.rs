//! Why there is no complete response.

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::dns::LookupFailed;
use crate::url::Url;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Not an http or https URL.
    BadUrl,
    /// A header that cannot be sent.
    InvalidHeader,
    /// The client cannot be set up.
    Setup,
    /// The host has no address.
    Dns,
    /// The other side does not accept connections.
    Connect,
    /// No trustworthy TLS connection.
    Tls,
    /// A time limit was reached.
    Timeout,
    /// The response is no HTTP, or it ended too early.
    Incomplete,
    /// The response is longer than allowed.
    BodyTooLarge,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::BadUrl,
        Self::InvalidHeader,
        Self::Setup,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Incomplete,
        Self::BodyTooLarge,
    ];

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Dns | Self::Connect | Self::Timeout | Self::Incomplete => true,
            Self::BadUrl | Self::InvalidHeader | Self::Setup | Self::Tls | Self::BodyTooLarge => {
                false
            }
        }
    }
}

/// No complete response. The message is one line and names the host and the
/// port at most: never a path, a query, credentials or a header's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HttpError {
    kind: FailureKind,
    may_have_been_sent: bool,
    message: String,
}

impl HttpError {
    /// What went wrong.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Whether the other side may have received the request, and may be
    /// acting on it. In doubt, it may.
    pub fn may_have_been_sent(&self) -> bool {
        self.may_have_been_sent
    }

    /// A failure before anything was sent.
    pub(crate) fn before(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            may_have_been_sent: false,
            message: message.into(),
        }
    }

    /// A response that is longer than `limit` bytes.
    pub(crate) fn too_large(limit: usize, url: &Url) -> Self {
        Self {
            kind: FailureKind::BodyTooLarge,
            may_have_been_sent: true,
            message: format!(
                "the response of {} is longer than {limit} bytes",
                url.origin()
            ),
        }
    }

    /// Reads the client library's error. Its own text is not used where it
    /// could quote the URL. `limit` is the time limit of the whole exchange.
    pub(crate) fn of(error: &reqwest::Error, url: &Url, limit: Option<Duration>) -> Self {
        let origin = url.origin();
        let (kind, message) = if error.is_builder() {
            (FailureKind::Setup, "the request cannot be made".to_owned())
        } else if error.is_timeout() {
            let message = match limit.filter(|_| !error.is_connect()) {
                Some(limit) => format!("no complete response from {origin} within {limit:?}"),
                None => format!("timed out connecting to {origin}"),
            };
            (FailureKind::Timeout, message)
        } else if let Some(cause) = find::<LookupFailed>(error) {
            (FailureKind::Dns, format!("{cause}"))
        } else if let Some(cause) = find::<rustls::Error>(error) {
            let message = format!("TLS connection to {origin} failed: {cause}");
            (FailureKind::Tls, message)
        } else if error.is_connect() {
            let message = format!("cannot connect to {origin}: {}", deepest(error));
            (FailureKind::Connect, message)
        } else {
            let message = format!("no complete response from {origin}: {}", deepest(error));
            (FailureKind::Incomplete, message)
        };
        Self {
            kind,
            may_have_been_sent: !(error.is_connect() || error.is_builder()),
            message: one_line(&message),
        }
    }
}

/// The causes of `error`, itself first. What an I/O error carries counts: its
/// own `source` skips that.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let carried = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match carried {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// What is behind it all.
fn deepest(error: &reqwest::Error) -> String {
    let last = chain(error).skip(1).last();
    last.map_or_else(|| "connection failed".to_owned(), ToString::to_string)
}

fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}
