//! The body of a control request: as clients write it, and as leniently as
//! the service reads it (chapter 03 §3.4.4).

use std::fmt;

use serde::Serialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::ServiceErrorCode;
use crate::control::Intent;
use crate::json::{self, ParseError};
use crate::{LoopId, LoopIdError, TraceId};

/// Greatest `timeoutSeconds`, `intervalSeconds` and `runtimeTimeoutSeconds` of
/// a control request (decision D13).
pub const MAX_LIMIT_SECONDS: u64 = 3_600;

/// Longest idempotency key in bytes: a thousand of them are kept in one file.
pub const MAX_KEY_BYTES: usize = 1_024;

/// The body of a control request as a client should write it. The service
/// reads more than this, see [`ControlRequestBody::read`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ControlRequestBody {
    /// Which loop.
    pub loop_id: LoopId,
    /// What is wanted.
    pub intent: Intent,
    /// Who wants it; the service's own actor if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Links all that is recorded; replaces the header `X-Trace-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// A repetition with the same key is answered, not executed; replaces the
    /// header `X-Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Do not look for the effect.
    #[serde(default)]
    pub no_confirm: bool,
    /// Additive: how long the effect is looked for, 0 to 3600 s (D13).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_LIMIT_SECONDS)))]
    pub timeout_seconds: Option<u64>,
    /// Additive: how often, 0 to 3600 s (D13).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_LIMIT_SECONDS)))]
    pub interval_seconds: Option<u64>,
    /// Additive: how long the runtime's command may take, 0 to 3600 s; 0 is
    /// unlimited (D13).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(max = MAX_LIMIT_SECONDS)))]
    pub runtime_timeout_seconds: Option<u64>,
    /// Additive: act even if the command would hit another loop (D23).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force_target: bool,
}

/// Members that a body has once: what is done to what, and whether again.
const UNIQUE: [&str; 4] = ["loopId", "intent", "idempotencyKey", "forceTarget"];

/// Why a control request is refused, in the contract's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not UTF-8, or not one JSON document.
    #[error("request body must be valid JSON")]
    NotJson,
    /// A document of another type.
    #[error("request body must be an object")]
    NotAnObject,
    /// No loop.
    #[error("loopId is required")]
    LoopMissing,
    /// The loop is neither a text nor a number; carries what it is.
    #[error("loopId must be a string, it is {0}")]
    LoopType(&'static str),
    /// The loop is not a safe path component (decision D4).
    #[error(transparent)]
    Loop(#[from] LoopIdError),
    /// None of the three intents.
    #[error("intent must be cancel, approve, or reject")]
    Intent,
    /// The idempotency key is too long; carries its length in bytes.
    #[error("idempotencyKey is {0} bytes long, at most {MAX_KEY_BYTES} are accepted")]
    KeyLength(usize),
    /// Not a number of seconds within the limit; carries the member.
    #[error("{0} must be an integer from 0 to {MAX_LIMIT_SECONDS}")]
    Limit(&'static str),
    /// A member that decides what is done stands there more than once; carries
    /// its name.
    #[error("{0} is given more than once")]
    Repeated(&'static str),
    /// An override of a safety check that is no boolean; carries what it is.
    #[error("forceTarget must be true or false, it is {0}")]
    ForceTarget(&'static str),
}

impl BodyError {
    /// The error code that it is answered with.
    pub fn code(&self) -> ServiceErrorCode {
        match self {
            Self::NotJson => ServiceErrorCode::InvalidJson,
            _ => ServiceErrorCode::InvalidRequest,
        }
    }
}

/// What may stand in headers instead of in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderFallbacks {
    /// `X-Trace-Id`
    pub trace_id: Option<String>,
    /// `X-Idempotency-Key`
    pub idempotency_key: Option<String>,
}

impl ControlRequestBody {
    /// Reads a body as leniently as the contract does: texts are trimmed,
    /// numbers become their text, any truthy `noConfirm` is `true`, unknown
    /// members are ignored. `forceTarget` is a boolean or nothing. What decides
    /// about the target or a repetition stands there once; of other members
    /// with one name the last counts.
    ///
    /// An empty body is `{}`.
    pub fn read(body: &[u8], headers: &HeaderFallbacks) -> Result<Self, BodyError> {
        let members = members(body)?;
        let member = |name: &str| members.get(name).filter(|value| is_truthy(value));
        let text = |name: &str| member(name).map(|value| json::text(value).trim().to_owned());
        let or_header = |name: &str, header: &Option<String>| {
            let found = text(name).or_else(|| header.as_ref().map(|text| text.trim().to_owned()));
            found.filter(|text| !text.is_empty())
        };
        let loop_id = loop_id(members.get("loopId"))?;
        let intent = text("intent").as_deref().and_then(Intent::parse);
        let intent = intent.ok_or(BodyError::Intent)?;
        let idempotency_key = or_header("idempotencyKey", &headers.idempotency_key);
        if let Some(key) = idempotency_key.as_ref().filter(|k| k.len() > MAX_KEY_BYTES) {
            return Err(BodyError::KeyLength(key.len()));
        }
        Ok(Self {
            loop_id,
            intent,
            by: text("by"),
            note: text("note").filter(|note| !note.is_empty()),
            trace_id: or_header("traceId", &headers.trace_id).and_then(TraceId::new),
            idempotency_key,
            no_confirm: member("noConfirm").is_some(),
            timeout_seconds: limit(&members, "timeoutSeconds")?,
            interval_seconds: limit(&members, "intervalSeconds")?,
            runtime_timeout_seconds: limit(&members, "runtimeTimeoutSeconds")?,
            force_target: force_target(members.get("forceTarget"))?,
        })
    }
}

fn members(body: &[u8]) -> Result<Map<String, Value>, BodyError> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    if std::str::from_utf8(body).is_err() {
        return Err(BodyError::NotJson);
    }
    match json::parse(body) {
        Ok(Value::Object(members)) => match repeated(body) {
            Some(name) => Err(BodyError::Repeated(name)),
            None => Ok(members),
        },
        Ok(_) => Err(BodyError::NotAnObject),
        Err(ParseError::Blank | ParseError::Malformed(_) | ParseError::Several { .. }) => {
            Err(BodyError::NotJson)
        }
    }
}

fn loop_id(value: Option<&Value>) -> Result<LoopId, BodyError> {
    let text = match value.filter(|value| is_truthy(value)) {
        None => return Err(BodyError::LoopMissing),
        Some(value @ (Value::String(_) | Value::Number(_))) => json::text(value),
        Some(other) => return Err(BodyError::LoopType(json::type_name(other))),
    };
    match text.trim() {
        "" => Err(BodyError::LoopMissing),
        text => Ok(LoopId::new(text)?),
    }
}

fn limit(members: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, BodyError> {
    let Some(value) = members.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let seconds = json::digits(value).filter(|seconds| *seconds <= MAX_LIMIT_SECONDS);
    seconds.map(Some).ok_or(BodyError::Limit(name))
}

/// The first of [`UNIQUE`] that stands in `body`, an object, more than once.
fn repeated(body: &[u8]) -> Option<&'static str> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    // The depth has been checked.
    reader.disable_recursion_limit();
    reader.deserialize_map(NamesVisitor).ok().flatten()
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut seen = Vec::new();
        let mut repeated = None;
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<IgnoredAny>()?;
            if let Some(name) = UNIQUE.into_iter().find(|unique| *unique == name) {
                if seen.contains(&name) {
                    repeated.get_or_insert(name);
                }
                seen.push(name);
            }
        }
        Ok(repeated)
    }
}

/// An override of a safety check is never guessed.
fn force_target(value: Option<&Value>) -> Result<bool, BodyError> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(force)) => Ok(*force),
        Some(other) => Err(BodyError::ForceTarget(json::type_name(other))),
    }
}

/// Truth as the original's language sees it: `false`, `null`, `0`, `""`, `[]`
/// and `{}` are false, everything else is true.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Result<ControlRequestBody, BodyError> {
        ControlRequestBody::read(body.as_bytes(), &HeaderFallbacks::default())
    }

    fn with(member: &str, value: &Value) -> ControlRequestBody {
        let mut body = json!({"loopId": "l", "intent": "cancel"});
        body[member] = value.clone();
        read(&body.to_string()).expect("is accepted")
    }

    #[test]
    fn what_is_refused_and_why() {
        let key = "k".repeat(1_025);
        let long_key = format!(r#"{{"loopId":"l","intent":"cancel","idempotencyKey":"{key}"}}"#);
        let long = format!(r#"{{"loopId":"{}","intent":"cancel"}}"#, "x".repeat(129));
        for (body, message) in [
            ("", "loopId is required"),
            (" ", "request body must be valid JSON"),
            ("{", "request body must be valid JSON"),
            ("{} {}", "request body must be valid JSON"),
            ("[]", "request body must be an object"),
            ("null", "request body must be an object"),
            ("{}", "loopId is required"),
            (r#"{"loopId":"  "}"#, "loopId is required"),
            (r#"{"loopId":null,"intent":"cancel"}"#, "loopId is required"),
            (
                r#"{"loopId":["a"]}"#,
                "loopId must be a string, it is an array",
            ),
            (
                r#"{"loopId":"../x","intent":"cancel"}"#,
                "invalid loop id: \"../x\" contains '/'; an id is one path component",
            ),
            (
                &long,
                "invalid loop id: 129 bytes long, at most 128 are allowed",
            ),
            (
                r#"{"loopId":"l"}"#,
                "intent must be cancel, approve, or reject",
            ),
            (
                r#"{"loopId":"l","intent":"Cancel"}"#,
                "intent must be cancel, approve, or reject",
            ),
            (
                &long_key,
                "idempotencyKey is 1025 bytes long, at most 1024 are accepted",
            ),
            (
                r#"{"loopId":"l","intent":"cancel","timeoutSeconds":3601}"#,
                "timeoutSeconds must be an integer from 0 to 3600",
            ),
            (
                r#"{"loopId":"l","intent":"cancel","intervalSeconds":-1}"#,
                "intervalSeconds must be an integer from 0 to 3600",
            ),
            (
                r#"{"loopId":"l","intent":"cancel","runtimeTimeoutSeconds":false}"#,
                "runtimeTimeoutSeconds must be an integer from 0 to 3600",
            ),
        ] {
            let error = read(body).expect_err("is refused");
            assert_eq!(error.to_string(), message, "{body}");
        }
        let not_text =
            ControlRequestBody::read(b"{\"loopId\":\"\xff\"}", &HeaderFallbacks::default());
        assert_eq!(not_text, Err(BodyError::NotJson));
    }

    #[test]
    fn texts_are_trimmed_and_numbers_become_their_text() {
        let body = read(r#"{"loopId":7,"intent":" reject ","by":" dana ","note":" \n "}"#);
        let body = body.expect("is accepted");
        assert_eq!((body.loop_id.as_str(), body.intent), ("7", Intent::Reject));
        assert_eq!((body.by.as_deref(), body.note), (Some("dana"), None));
    }

    #[test]
    fn a_blank_actor_is_nobody_and_a_missing_one_is_the_services() {
        assert_eq!(with("by", &json!("  ")).by.as_deref(), Some(""));
        for absent in [json!(""), json!(null), json!(0), json!(false)] {
            assert_eq!(with("by", &absent).by, None, "{absent}");
        }
    }

    #[test]
    fn anything_truthy_turns_confirmation_off() {
        for (value, off) in [
            (json!(false), false),
            (json!(null), false),
            (json!(0), false),
            (json!(0.0), false),
            (json!(""), false),
            (json!([]), false),
            (json!({}), false),
            (json!(true), true),
            (json!("false"), true),
            (json!(1), true),
            (json!([0]), true),
        ] {
            assert_eq!(with("noConfirm", &value).no_confirm, off, "{value}");
        }
    }

    #[test]
    fn force_target_is_a_boolean_or_nothing() {
        for (value, force) in [
            (json!(true), true),
            (json!(false), false),
            (json!(null), false),
        ] {
            assert_eq!(with("forceTarget", &value).force_target, force, "{value}");
        }
        assert!(!with("note", &json!("n")).force_target);
        for value in [
            json!("true"),
            json!("false"),
            json!(""),
            json!(1),
            json!(0),
            json!([]),
            json!({}),
        ] {
            let body = json!({"loopId": "l", "intent": "cancel", "forceTarget": value});
            let error = read(&body.to_string()).expect_err("is refused");
            assert_eq!(error.code(), ServiceErrorCode::InvalidRequest);
            let text = error.to_string();
            assert!(
                text.starts_with("forceTarget must be true or false"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_body_goes_before_the_headers() {
        let headers = HeaderFallbacks {
            trace_id: Some(" t-header ".into()),
            idempotency_key: Some("k-header".into()),
        };
        let read = |body: &str| {
            let body = ControlRequestBody::read(body.as_bytes(), &headers).expect("is accepted");
            (body.trace_id.map(|id| id.to_string()), body.idempotency_key)
        };
        let fallback = (Some("t-header".into()), Some("k-header".into()));
        assert_eq!(read(r#"{"loopId":"l","intent":"cancel"}"#), fallback);
        let empty = r#"{"loopId":"l","intent":"cancel","traceId":"","idempotencyKey":0}"#;
        assert_eq!(read(empty), fallback);
        let given = r#"{"loopId":"l","intent":"cancel","traceId":"t","idempotencyKey":" k "}"#;
        assert_eq!(read(given), (Some("t".into()), Some("k".into())));
        let blank = r#"{"loopId":"l","intent":"cancel","traceId":" ","idempotencyKey":" "}"#;
        assert_eq!(read(blank), (None, None));
    }

    #[test]
    fn what_decides_stands_there_once_and_of_the_rest_the_last_counts() {
        let body = read(r#"{"loopId":"a","intent":"approve","note":"a","note":"b"}"#);
        assert_eq!(body.expect("is accepted").note.as_deref(), Some("b"));
        for (more, name) in [
            (r#""loopId":"a""#, "loopId"),
            (r#""l\u006fopId":"b""#, "loopId"),
            (r#""intent":"cancel""#, "intent"),
            (
                r#""idempotencyKey":"k","idempotencyKey":null"#,
                "idempotencyKey",
            ),
            (r#""forceTarget":false,"forceTarget":true"#, "forceTarget"),
        ] {
            let body = format!(r#"{{"loopId":"a","intent":"approve",{more}}}"#);
            let error = read(&body).expect_err("is refused");
            assert_eq!(error.to_string(), format!("{name} is given more than once"));
            assert_eq!(error.code(), ServiceErrorCode::InvalidRequest);
        }
    }

    #[test]
    fn limits_are_numbers_or_their_text() {
        for (value, seconds) in [
            (json!(5), Some(5)),
            (json!("05"), Some(5)),
            (json!(3600.0), Some(3600)),
            (json!(null), None),
            (json!(0), Some(0)),
        ] {
            assert_eq!(with("timeoutSeconds", &value).timeout_seconds, seconds);
        }
    }
}
