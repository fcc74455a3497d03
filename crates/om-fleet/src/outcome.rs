//! What became of one loop's pass (chapter 05 §2.4; decision D11).
//!
//! A pass ends as a process would: with an exit code and a text. Both stages,
//! the built-in one and a hook, are judged by the same tables.

mod excerpt;
mod reasons;

use om_http::{Secret, Secrets};
use om_model::fleet::registry::FleetLoop;
use om_model::fleet::state::LoopStatus;
use om_model::health::TransportMode;
use om_model::json::{self, Lookup, ParseError, WrongType};
use serde::de::IgnoredAny;
use serde_json::Value;

pub use excerpt::{EXCERPT_BYTES, excerpt};

/// Reason of a pass that took longer than it may (decision D11).
pub const RECONCILE_TIMEOUT: &str = "reconcile_timeout";
/// Reason of a failure that nothing else explains.
pub const RECONCILE_FAILED: &str = "reconcile_failed";
/// Health of a loop that nobody could judge.
pub const UNKNOWN: &str = "unknown";

/// What became of one loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Success, failed or skipped.
    pub status: LoopStatus,
    /// Why it is no success.
    pub reason_code: Option<String>,
    /// As reported, or [`UNKNOWN`].
    pub health_status: String,
    /// As reported.
    pub health_reason_codes: Vec<String>,
    /// Lifecycle state of a success.
    pub transition_state: Option<String>,
    /// The run that was observed.
    pub run_id: Option<String>,
    /// What a pass that failed had to say.
    pub output_excerpt: Option<String>,
}

/// Why a loop's stage is not even started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// The registry has it disabled (decision D1).
    LoopDisabled,
    /// There is no service to ask.
    MissingServiceBaseUrl,
    /// The environment variable with the service's token is not set.
    MissingServiceTokenEnv,
}

impl NotStarted {
    /// Every cause, in the order in which they are looked for.
    pub const ALL: [Self; 3] = [
        Self::LoopDisabled,
        Self::MissingServiceBaseUrl,
        Self::MissingServiceTokenEnv,
    ];

    /// Whether that is a failure, and its name on the wire.
    pub fn verdict(self) -> (LoopStatus, &'static str) {
        match self {
            Self::LoopDisabled => (LoopStatus::Skipped, "loop_disabled"),
            Self::MissingServiceBaseUrl => (LoopStatus::Failed, "missing_service_base_url"),
            Self::MissingServiceTokenEnv => (LoopStatus::Failed, "missing_service_token_env"),
        }
    }
}

impl From<NotStarted> for Outcome {
    fn from(cause: NotStarted) -> Self {
        let (status, code) = cause.verdict();
        Self {
            output_excerpt: Some(excerpt(b"")),
            ..Self::without_health(status, Some(code.to_owned()))
        }
    }
}

/// Rows 1 to 3: whether the stage of `entry` may be started, and with which
/// service token. `environment` looks a variable up literally (decision D6).
pub fn admit(
    entry: &FleetLoop,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Secret>, NotStarted> {
    if !entry.enabled {
        return Err(NotStarted::LoopDisabled);
    }
    let base_url = json::non_empty_text(entry.service.base_url.as_ref());
    if entry.transport == TransportMode::SpriteService && base_url.is_none() {
        return Err(NotStarted::MissingServiceBaseUrl);
    }
    let Some(name) = &entry.service.token_env else {
        return Ok(None);
    };
    match environment(name).filter(|token| !token.is_empty()) {
        Some(token) => Ok(Some(Secret::new(token))),
        None => Err(NotStarted::MissingServiceTokenEnv),
    }
}

/// How a stage ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StageEnd {
    /// 0 is success.
    pub exit_code: i32,
    /// What it left behind.
    pub printed: Printed,
    /// Whether its time was up.
    pub timed_out: bool,
}

/// What a stage printed.
#[derive(Clone, Debug, PartialEq)]
pub enum Printed {
    /// One document, as a built-in stage has it.
    Document(Value),
    /// Both streams of a process, or the diagnostics of a built-in stage.
    Text(Vec<u8>),
}

impl StageEnd {
    /// A built-in pass that ended with a document, which its command would
    /// have printed.
    pub fn document(success: bool, document: Value) -> Self {
        Self {
            exit_code: i32::from(!success),
            printed: Printed::Document(document),
            timed_out: false,
        }
    }

    /// A stage that printed `text`.
    pub fn text(exit_code: i32, text: impl Into<Vec<u8>>) -> Self {
        Self {
            exit_code,
            printed: Printed::Text(text.into()),
            timed_out: false,
        }
    }

    /// A stage whose time was up; it may have printed something before.
    pub fn timed_out(text: impl Into<Vec<u8>>) -> Self {
        Self {
            timed_out: true,
            ..Self::text(124, text)
        }
    }
}

/// Rows 4 and 5: what became of a loop whose stage ended like this; nothing
/// of `secrets` gets into that.
pub fn classify(end: &StageEnd, secrets: &Secrets) -> Outcome {
    let (text, outcome) = match (&end.printed, end.timed_out) {
        (Printed::Document(document), _) => {
            return classify_document(end.exit_code == 0, document, secrets);
        }
        (Printed::Text(text), true) => {
            let code = RECONCILE_TIMEOUT.to_owned();
            (
                text,
                Outcome::without_health(LoopStatus::Failed, Some(code)),
            )
        }
        (Printed::Text(text), false) if end.exit_code == 0 => (text, succeeded(text, secrets)),
        (Printed::Text(text), false) => (text, failed(text, secrets)),
    };
    outcome.with_excerpt_of_failure(text, secrets)
}

/// [`classify`] for a stage that ended with a document.
pub fn classify_document(success: bool, document: &Value, secrets: &Secrets) -> Outcome {
    if success {
        return succeeded_with(document);
    }
    let text = json::compact(document).into_bytes();
    failed_with(Some(document), &text).with_excerpt_of_failure(&text, secrets)
}

/// Row 4. Exit 0 alone is not enough: without a document nothing was
/// observed (decision D11). Diagnostics before it only cost the health.
fn succeeded(text: &[u8], secrets: &Secrets) -> Outcome {
    match json::parse(text) {
        Ok(mut document) => {
            secrets.redact_document(&mut document);
            succeeded_with(&document)
        }
        Err(ParseError::Malformed(_)) if is_preceded_document(text) => Outcome::observed(),
        Err(_) => Outcome::unexplained(),
    }
}

fn succeeded_with(document: &Value) -> Outcome {
    state_summary(document).unwrap_or_else(|_| Outcome::observed())
}

/// Row 5.
fn failed(text: &[u8], secrets: &Secrets) -> Outcome {
    let mut document = match json::parse(text) {
        Ok(document) => Some(document),
        Err(ParseError::Malformed(_)) => last_document(text),
        Err(ParseError::Blank | ParseError::Several { .. }) => return Outcome::unexplained(),
    };
    if let Some(document) = &mut document {
        secrets.redact_document(document);
    }
    failed_with(document.as_ref(), text)
}

fn failed_with(document: Option<&Value>, text: &[u8]) -> Outcome {
    let reason = reasons::of(document, text);
    let outcome = Outcome::without_health(LoopStatus::Failed, Some(reason));
    match document.map(health_summary) {
        Some(Ok((health_status, health_reason_codes))) => Outcome {
            health_status,
            health_reason_codes,
            ..outcome
        },
        Some(Err(_)) | None => outcome,
    }
}

/// What a state says of its loop.
fn state_summary(state: &Value) -> Result<Outcome, WrongType> {
    let state = Lookup::new(state);
    let transition_state = state.text("transition.currentState")?;
    Ok(Outcome {
        health_status: state.text("health.status")?.unwrap_or(UNKNOWN.into()),
        health_reason_codes: texts(state.get("health.reasonCodes")?),
        transition_state: transition_state.filter(|name| !name.is_empty()),
        run_id: run_id(state),
        ..Outcome::observed()
    })
}

/// What a health document says of its loop.
fn health_summary(health: &Value) -> Result<(String, Vec<String>), WrongType> {
    let health = Lookup::new(health);
    let status = health.text("status")?.unwrap_or(UNKNOWN.into());
    Ok((status, texts(health.get("reasonCodes")?)))
}

/// The run of a state (decision D23); whatever else stands there is no run.
pub(crate) fn run_id(state: Lookup<'_>) -> Option<String> {
    let found = state.get("run.runId").ok().flatten()?.as_str()?;
    (!found.is_empty()).then(|| found.to_owned())
}

fn texts(codes: Option<&Value>) -> Vec<String> {
    let codes = codes.and_then(Value::as_array);
    codes.into_iter().flatten().map(json::text).collect()
}

/// The last line with anything on it, if that alone is a document.
fn last_document(text: &[u8]) -> Option<Value> {
    let mut lines = text.split(|byte| *byte == b'\n').rev();
    let last = lines.find(|line| !line.trim_ascii().is_empty())?;
    json::parse(last).ok()
}

/// Lines that may begin the document after diagnostics; `[warning] …` does
/// not, and a text of nothing but such lines must not take for ever.
const LIKELY_BEGINNINGS: usize = 64;

/// Whether lines that are no JSON come before exactly one document.
fn is_preceded_document(text: &[u8]) -> bool {
    let line_ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let rests = line_ends.map(|(end, _)| &text[end + 1..]);
    let likely = |rest: &&[u8]| matches!(rest.first(), Some(b'{' | b'['));
    let mut likely = rests.filter(likely).take(LIKELY_BEGINNINGS);
    let first = likely.find(|rest| begins_with_document(rest));
    !begins_with_document(text) && first.is_some_and(|rest| json::parse(rest).is_ok())
}

/// Whether `text` begins with a document, whatever follows it.
fn begins_with_document(text: &[u8]) -> bool {
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    matches!(documents.next(), Some(Ok(_)))
}

impl Outcome {
    fn without_health(status: LoopStatus, reason_code: Option<String>) -> Self {
        Self {
            status,
            reason_code,
            health_status: UNKNOWN.to_owned(),
            health_reason_codes: Vec::new(),
            transition_state: None,
            run_id: None,
            output_excerpt: None,
        }
    }

    /// A pass of which nobody knows anything.
    fn unexplained() -> Self {
        Self::without_health(LoopStatus::Failed, Some(RECONCILE_FAILED.to_owned()))
    }

    /// A pass of which nobody knows more than that it succeeded.
    fn observed() -> Self {
        Self::without_health(LoopStatus::Success, None)
    }

    fn with_excerpt_of_failure(self, text: &[u8], secrets: &Secrets) -> Self {
        if self.status == LoopStatus::Success {
            return self;
        }
        Self {
            output_excerpt: Some(excerpt(secrets.clean(text).as_bytes())),
            ..self
        }
    }
}
