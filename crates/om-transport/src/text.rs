//! `TXT` of chapter 01 §1.3: values as text, without trailing newlines.

use om_model::json;
use serde_json::Value;

/// The value as text; absent (missing, `null`, `false`) is the empty text.
pub(crate) fn of(value: Option<&Value>) -> String {
    let mut text = json::present(value).map(json::text).unwrap_or_default();
    text.truncate(without_newlines(&text).len());
    text
}

/// [`of`], `None` when nothing is left.
pub(crate) fn non_empty(value: Option<&Value>) -> Option<String> {
    Some(of(value)).filter(|text| !text.is_empty())
}

/// `text` without its trailing newlines.
pub(crate) fn without_newlines(text: &str) -> &str {
    text.trim_end_matches('\n')
}
