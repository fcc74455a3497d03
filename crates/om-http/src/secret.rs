//! Values that must never show up in a log, an error or an artifact
//! (decision D6).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Shortest *part* of a secret that is looked for: shorter ones occur in
/// ordinary text and would only make messages unreadable.
pub(crate) const MIN_PART: usize = 6;

/// A text that never shows up in text: `Debug` and `Display` print
/// [`REDACTED`].
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every form in which the value may come back in foreign text: as it is,
    /// percent-encoded, percent-decoded, within JSON; of a URL also its
    /// credentials and its path with the query, which is what a server knows
    /// of it.
    pub(crate) fn forms(&self) -> Vec<String> {
        let value = self.0.trim();
        let mut forms = vec![self.0.clone(), value.to_owned(), encoded(value)];
        if let Some((_, rest)) = value.split_once("://") {
            let (authority, path) = split_authority(rest);
            forms.extend(part(path.trim_start_matches('/')));
            forms.extend(query_values(path).flat_map(part));
            if let Some((userinfo, _)) = authority.rsplit_once('@') {
                forms.extend(part(userinfo));
                forms.extend(userinfo.split(':').flat_map(part));
                forms.push(basic(userinfo));
            }
        }
        let quoted: Vec<String> = forms.iter().map(|form| within_json(form)).collect();
        forms.extend(quoted);
        forms.retain(|form| !form.is_empty());
        forms
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// `text` with every secret replaced by [`REDACTED`], in whatever form a
/// server may have sent it back.
///
/// ```
/// use om_http::{Secret, redact};
///
/// let hook = Secret::new("https://hooks.example/services/T0/B0/x1y2z3");
/// let said = "no such hook: /services/T0/B0/x1y2z3";
/// assert_eq!(redact(said, &[&hook]), "no such hook: /[redacted]");
/// ```
pub fn redact(text: &str, secrets: &[&Secret]) -> String {
    let mut forms: Vec<String> = secrets.iter().flat_map(|secret| secret.forms()).collect();
    // The longest first, so that no part of it is left beside a shorter one.
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    let mut pieces = vec![text];
    for form in &forms {
        pieces = pieces
            .into_iter()
            .flat_map(|piece| piece.split(form.as_str()))
            .collect();
    }
    pieces.join(REDACTED)
}

/// `host:port`, credentials included, and what follows it.
pub(crate) fn split_authority(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// The values in the query of a URL's `path`.
pub(crate) fn query_values(path: &str) -> impl Iterator<Item = &str> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let value = |pair| str::split_once(pair, '=').map_or(pair, |(_, value)| value);
    query.split('&').map(value)
}

/// `userinfo` as the header `Authorization: Basic` carries it, without the
/// padding.
pub(crate) fn basic(userinfo: &str) -> String {
    let decoded: Vec<u8> = percent_decode_str(userinfo).collect();
    STANDARD_NO_PAD.encode(decoded)
}

/// `text` as it stands within a JSON text.
fn within_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

/// A part of a secret as it is and decoded, if it is long enough to look for.
fn part(text: &str) -> Vec<String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    // In a query a plus may be a blank.
    let as_query = decoded(&text.replace('+', " "));
    let mut forms = vec![text.to_owned(), decoded(text), as_query];
    forms.retain(|form| form.len() >= MIN_PART);
    forms
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
