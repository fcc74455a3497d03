//! Sending one request, within limits.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use reqwest::redirect;

use crate::dns::SystemResolver;
use crate::error::{FailureKind, HttpError};
use crate::request::Request;
use crate::response::Response;
use crate::tls;

/// How long an idle connection is kept. Shorter than any server's own limit,
/// so that a request is not written to a connection that is being closed:
/// then nobody would know whether it was received.
const KEPT_IDLE: Duration = Duration::from_secs(4);

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For name, connection and TLS together; `None` is the total limit.
    pub connect_timeout: Option<Duration>,
    /// For one attempt from the name to the last byte; `None` is unlimited.
    pub total_timeout: Option<Duration>,
    /// Longest body that is kept in memory.
    pub max_body_bytes: usize,
    /// What a longer body means.
    pub oversize: Oversize,
}

/// What a body beyond the limit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// There is no usable response ([`FailureKind::BodyTooLarge`]).
    Fail,
    /// The beginning is enough; the connection is given up.
    Cut,
}

/// A client that keeps connections alive. Cloning it shares them.
///
/// Needs a Tokio runtime with I/O and time.
#[derive(Clone)]
pub struct Client {
    inner: reqwest::Client,
    limits: Limits,
}

impl Client {
    /// A client with these limits. Costs no I/O: the platform's roots are
    /// read when the first certificate is to be checked.
    pub fn new(limits: Limits) -> Result<Self, HttpError> {
        let setup = |cause: &dyn fmt::Display| {
            let message = format!("cannot set up the HTTP client: {cause}");
            HttpError::before(FailureKind::Setup, message)
        };
        let tls = tls::config().map_err(|error| setup(&error))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(SystemResolver)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("ops-manager/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(KEPT_IDLE);
        if let Some(limit) = limits.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        let inner = builder.build().map_err(|error| setup(&error))?;
        Ok(Self { inner, limits })
    }

    /// Sends `request` once and reads the whole response.
    ///
    /// Any status is a response; an error means that there is none.
    pub async fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let url = &request.url;
        let limit = request.time_limit.or(self.limits.total_timeout);
        let fail = |error: reqwest::Error| {
            let error = HttpError::of(&error, url, limit);
            tracing::debug!(%error, kind = ?error.kind(), "no response");
            error
        };
        tracing::debug!(?request, "sending");
        let mut incoming = self.prepare(request, limit).send().await.map_err(fail)?;
        let status = incoming.status().as_u16();
        let headers = std::mem::take(incoming.headers_mut());
        let mut body = Vec::new();
        let mut truncated = false;
        while let Some(chunk) = incoming.chunk().await.map_err(fail)? {
            let room = self.limits.max_body_bytes - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                truncated = true;
                break;
            }
        }
        tracing::debug!(status, bytes = body.len(), truncated, "received");
        if truncated && self.limits.oversize == Oversize::Fail {
            return Err(HttpError::too_large(self.limits.max_body_bytes, url));
        }
        Ok(Response {
            status,
            headers,
            body,
            truncated,
        })
    }

    fn prepare(&self, request: &Request, limit: Option<Duration>) -> reqwest::RequestBuilder {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.append(name.clone(), value.clone());
        }
        let mut prepared = self
            .inner
            .request(request.method.clone(), request.url.inner().clone())
            .headers(headers);
        if request.method != http::Method::GET {
            prepared = prepared.body(request.body.clone());
        }
        match limit {
            Some(limit) => prepared.timeout(limit),
            None => prepared,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
