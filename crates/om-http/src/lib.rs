//! One hardened HTTP client for everything that leaves this machine.
//!
//! [`Client::send`] makes exactly one attempt: no redirects, no decompression,
//! no cookies, a time limit over the whole exchange, a bounded response. What
//! failed is a value ([`HttpError`]) that also says whether the request may
//! have reached the other side ([`HttpError::may_have_been_sent`]), which is
//! what decides whether it may be repeated. When and how long to wait before
//! doing so is [`Backoff`]'s business; which statuses are worth it is
//! [`is_worth_repeating`]'s.
//!
//! | module | what it holds | contract |
//! |---|---|---|
//! | [`secret`] | values that never show up in text, and their removal from foreign text | D6 |
//! | [`secrets`] | their removal from what is recorded | D6 |
//! | [`url`] | http(s) URLs whose `Debug` and errors show host and port only | D6 |
//! | [`request`], [`response`] | one exchange | 03 §3.3, 04 §3.4.4 |
//! | [`client`] | limits, and sending | 03 §3.3.4 |
//! | [`error`] | why there is no complete response | 03 §3.3.4 (code `000`) |
//! | [`retry`] | which failures are repeated, and after what pause | 03 §3.3.4, D13 |
//!
//! TLS is rustls with the ring provider and the platform's roots, which are
//! loaded at the first certificate and not before. Proxies are taken from the
//! usual environment variables.

pub mod client;
pub mod error;
pub mod request;
pub mod response;
pub mod retry;
pub mod secret;
pub mod secrets;
pub mod url;

mod dns;
mod tls;

pub use client::{Client, Limits, Oversize};
pub use error::{FailureKind, HttpError};
pub use http::{HeaderName, HeaderValue, Method};
pub use request::{Request, is_header_text};
pub use response::Response;
pub use retry::{Backoff, is_worth_repeating, retry_after};
pub use secret::{REDACTED, Secret, redact};
pub use secrets::Secrets;
pub use url::{Url, credentials, shown, without_userinfo};
