//! Whether a registry holds every rule, and what it means if it does.

use std::borrow::Cow;
use std::fmt;

use om_model::fleet::registry::{PolicyMode, Registry};
use om_model::{Timestamp, json};
use serde_json::Value;

use crate::error::Rejection;
use crate::member::MemberPath;
use crate::normalize::{Defaults, normalize};
use crate::spans::{Lines, scan, without_mark};
use crate::{rules, unknown};

/// A rule that does not hold.
///
/// Shown as the chapter's message, with the line behind it where there is
/// one: `loops must be an array (line 3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The chapter's message, exactly.
    pub message: String,
    /// The member that it is about.
    pub member: MemberPath,
    /// What else there is to say.
    pub detail: Option<String>,
    /// Where the member, or else what should contain it, begins; from 1.
    pub line: Option<usize>,
    /// Whether this is rule 30.8, which most commands only report (D14).
    pub review_lapsed: bool,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.message))?;
        match (self.line, &self.detail) {
            (Some(line), Some(detail)) => write!(f, " (line {line}: {detail})"),
            (Some(line), None) => write!(f, " (line {line})"),
            (None, Some(detail)) => write!(f, " ({detail})"),
            (None, None) => Ok(()),
        }
    }
}

/// Something that holds every rule and is probably not meant (decision D5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The member.
    pub member: MemberPath,
    /// What it is, and what that means.
    pub message: String,
    /// Where it begins; from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.message))?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// Names come from the file: control characters in them are shown as escapes,
/// so that a message stays one line.
fn one_line(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return Cow::Borrowed(message);
    }
    let shown = message.chars().flat_map(|c| {
        let escape = c.is_control().then(|| c.escape_default());
        let plain = (!c.is_control()).then_some(c);
        escape.into_iter().flatten().chain(plain)
    });
    Cow::Owned(shown.collect())
}

/// What there is to say about a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The path as given.
    pub source_file: String,
    /// Every rule that does not hold, rule 30.8 among them, in the order of
    /// the rules.
    pub violations: Vec<Violation>,
    /// What is probably not meant, in the order of the file.
    pub warnings: Vec<Warning>,
    /// The registry, if it is valid but for rule 30.8.
    pub registry: Option<Registry>,
    /// The review deadline that has passed, as written, if the mode asks for
    /// a current one (rule 30.8, decision D14).
    pub review_lapsed: Option<String>,
}

impl Evaluation {
    /// The registry as every command but one takes it: a lapsed review is no
    /// reason to refuse it (decision D14).
    pub fn accepted(self) -> Result<Registry, Rejection> {
        match self.registry {
            Some(registry) => Ok(registry),
            None => Err(Rejection::Invalid {
                file: self.source_file,
                violations: self.violations,
            }),
        }
    }

    /// The registry as `ops-manager-fleet-registry` takes it: every rule
    /// holds.
    pub fn valid(self) -> Result<Registry, Rejection> {
        match self.registry {
            Some(registry) if self.violations.is_empty() => Ok(registry),
            _ => Err(Rejection::Invalid {
                file: self.source_file,
                violations: self.violations,
            }),
        }
    }
}

/// Judges the bytes of a registry file. Fails only if they are not one JSON
/// document; a byte order mark is skipped.
pub fn evaluate(bytes: &[u8], source_file: &str, now: Timestamp) -> Result<Evaluation, Rejection> {
    let document = json::parse(without_mark(bytes)).map_err(|cause| Rejection::Malformed {
        file: source_file.to_owned(),
        cause,
    })?;
    let mut evaluation = judge(&document, source_file, now);
    locate(&mut evaluation, bytes);
    Ok(evaluation)
}

/// [`evaluate`] of a document that is no text any more: without lines.
pub(crate) fn judge(document: &Value, source_file: &str, now: Timestamp) -> Evaluation {
    let mut violations = rules::check(document, now);
    let broken = violations.iter().any(|found| !found.review_lapsed);
    let registry = (!broken).then(|| normalize(document, source_file, now, Defaults::Registry));
    let registry = match registry {
        Some(Ok(registry)) => Some(registry),
        Some(Err(message)) => {
            violations.push(Violation::new(message, MemberPath::dotted("loops")));
            None
        }
        None => None,
    };
    let guarded = |registry: &&Registry| registry.policy.mode == PolicyMode::GuardedAuto;
    let governance = registry.as_ref().filter(guarded);
    let governance = governance.map(|registry| &registry.policy.autonomous.governance);
    let review_lapsed = governance.and_then(|governance| governance.lapsed(now));
    Evaluation {
        source_file: source_file.to_owned(),
        warnings: unknown::warnings(document, now),
        review_lapsed: review_lapsed.map(str::to_owned),
        violations,
        registry,
    }
}

impl Violation {
    /// `message` about `member`.
    pub(crate) fn new(message: impl Into<String>, member: MemberPath) -> Self {
        Self {
            message: message.into(),
            member,
            detail: None,
            line: None,
            review_lapsed: false,
        }
    }
}

/// Adds lines; the text is scanned only if somebody wants to know.
fn locate(evaluation: &mut Evaluation, bytes: &[u8]) {
    if evaluation.violations.is_empty() && evaluation.warnings.is_empty() {
        return;
    }
    let Some(root) = scan(bytes) else { return };
    let lines = Lines::of(bytes);
    let line = |member: &MemberPath| Some(lines.at(root.offset_of(member.steps())?));
    for violation in &mut evaluation.violations {
        violation.line = line(&violation.member);
    }
    for warning in &mut evaluation.warnings {
        warning.line = line(&warning.member);
    }
    evaluation.warnings.sort_by_key(|warning| warning.line);
}

#[cfg(test)]
mod tests;
