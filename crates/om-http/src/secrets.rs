//! Removing the secrets that a command knows from what it records (decision
//! D6).

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::secret::{MIN_PART, REDACTED, Secret};

/// By how much the rest of a character that was cut grows when it is replaced
/// as invalid, at most: each of three bytes becomes three.
const CUT_CHARACTER: usize = 6;

/// The secrets that a command knows, to be removed from what others print
/// before any of it is recorded, printed or cut.
///
/// Unlike [`redact`](crate::redact), which is for one-line messages, this
/// leaves a secret of fewer than six characters alone where it is only a part
/// of a word: what a runtime prints is evidence and has to stay readable.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Every form of every secret, the longest first.
    forms: Vec<String>,
}

impl Secrets {
    /// These; empty and blank ones hide nothing.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets = secrets.into_iter();
        let mut forms: Vec<String> = secrets.flat_map(|secret| secret.forms()).collect();
        forms.retain(|form| !form.trim().is_empty());
        // The longest first, so that no part of it is left beside a shorter one.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// `text` with every secret replaced by [`REDACTED`].
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.forms.iter().any(|form| text.contains(form.as_str())) {
            return Cow::Borrowed(text);
        }
        let mut pieces = vec![text];
        for form in &self.forms {
            pieces = pieces
                .into_iter()
                .flat_map(|piece| split(piece, form))
                .collect();
        }
        Cow::Owned(pieces.join(REDACTED))
    }

    /// What a process or a server printed, as text without secrets: NUL bytes
    /// dropped, which could hide one, and invalid UTF-8 replaced. To be called
    /// before lines are selected.
    pub fn clean(&self, output: &[u8]) -> String {
        let text = String::from_utf8_lossy(output).replace('\0', "");
        self.redact(&text).into_owned()
    }

    /// [`Secrets::clean`] of the end of a longer output. The cut may have left
    /// a part of a secret at its beginning, so as much as that can be goes.
    pub fn clean_end(&self, end: &[u8]) -> String {
        let clean = self.clean(end);
        let Some(longest) = self.forms.first().map(String::len) else {
            return clean;
        };
        let from = longest.saturating_add(CUT_CHARACTER).min(clean.len());
        String::from_utf8_lossy(&clean.as_bytes()[from..]).into_owned()
    }

    /// Removes the secrets from every text in `document`, from long numbers,
    /// and from the names of members; its shape stays.
    pub fn redact_document(&self, document: &mut Value) {
        if self.is_empty() {
            return;
        }
        match document {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact(text) {
                    *text = redacted;
                }
            }
            Value::Number(number) if self.is_within(&number.to_string()) => {
                *document = REDACTED.into();
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_document(item)),
            Value::Object(members) => self.redact_members(members),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn redact_members(&self, members: &mut Map<String, Value>) {
        members
            .values_mut()
            .for_each(|value| self.redact_document(value));
        if members.keys().any(|name| self.is_within(name)) {
            let renamed = std::mem::take(members).into_iter().map(|(name, value)| {
                if self.is_within(&name) {
                    (self.redact(&name).into_owned(), value)
                } else {
                    (name, value)
                }
            });
            *members = renamed.collect();
        }
    }

    /// Whether `text` contains a secret long enough not to be there by chance.
    fn is_within(&self, text: &str) -> bool {
        let mut long = self.forms.iter().filter(|form| !is_short(form));
        long.any(|form| text.contains(form.as_str()))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

fn is_short(form: &str) -> bool {
    form.chars().count() < MIN_PART
}

/// What is left of `piece` between the places where `form` is a secret.
fn split<'a>(piece: &'a str, form: &str) -> Vec<&'a str> {
    let mut left = Vec::new();
    let mut start = 0;
    for (at, found) in piece.match_indices(form) {
        let end = at + found.len();
        if !is_short(form) || is_whole_word(piece, at, end) {
            left.push(&piece[start..at]);
            start = end;
        }
    }
    left.push(&piece[start..]);
    left
}

fn is_whole_word(text: &str, start: usize, end: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].ends_with(is_word) && !text[end..].starts_with(is_word)
}
