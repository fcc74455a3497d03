//! Where a request goes.

use std::fmt;

use crate::error::{FailureKind, HttpError};
use crate::secret::{Secret, split_authority};

/// An absolute http or https URL.
///
/// The whole of it may be a secret (a webhook's path, a password, a token in
/// the query), so `Debug` and every error show [`Url::origin`] only.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(reqwest::Url);

impl Url {
    /// Reads an absolute URL. Anything but http and https is refused.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let url = reqwest::Url::parse(text)
            .map_err(|error| HttpError::before(FailureKind::BadUrl, format!("bad URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            let message = "bad URL: it must start with http:// or https:// and name a host";
            return Err(HttpError::before(FailureKind::BadUrl, message));
        }
        Ok(Self(url))
    }

    /// The host and the port, as `127.0.0.1:8787`.
    pub fn origin(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    pub(crate) fn inner(&self) -> &reqwest::Url {
        &self.0
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}://{}/…)", self.0.scheme(), self.origin())
    }
}

/// `url` as text without the credentials before its host; usable also for
/// texts that are no URL.
pub fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = split_authority(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The credentials before the host of `url`: all of them, and the password.
pub fn credentials(url: &str) -> Vec<Secret> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let Some((userinfo, _)) = split_authority(rest).0.rsplit_once('@') else {
        return Vec::new();
    };
    let password = userinfo.split_once(':').map(|(_, password)| password);
    std::iter::once(userinfo)
        .chain(password)
        .map(Secret::new)
        .collect()
}
