//! Where a request goes.

use std::fmt;

use crate::error::{FailureKind, HttpError};
use crate::secret::{MIN_PART, REDACTED, Secret, basic, query_values, split_authority};

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

/// [`without_userinfo`], with what its query says replaced as well: fit for
/// artifacts and messages.
pub fn shown(url: &str) -> String {
    let url = without_userinfo(url);
    match url.split_once('?') {
        Some((before, query)) if !query.is_empty() => format!("{before}?{REDACTED}"),
        _ => url,
    }
}

/// The credentials in `url`: those before its host, the password among them,
/// also as a header carries them, and the values in its query, unless they are
/// too short to be any.
pub fn credentials(url: &str) -> Vec<Secret> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = split_authority(rest);
    let mut found: Vec<Secret> = query_values(path)
        .filter(|value| value.len() >= MIN_PART)
        .map(Secret::new)
        .collect();
    if let Some((userinfo, _)) = authority.rsplit_once('@') {
        let password = userinfo.split_once(':').map(|(_, password)| password);
        found.extend(std::iter::once(userinfo).chain(password).map(Secret::new));
        found.push(Secret::new(basic(userinfo)));
    }
    found
}
