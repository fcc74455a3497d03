//! The members of telemetry rows that a summary needs.
//!
//! Rows that this product wrote take a fast path that borrows from the line
//! and skips everything else; any other row is parsed whole.

use std::borrow::Cow;

use om_model::json;
use serde::Deserialize;
use serde_json::{Number, Value};

/// A text that borrows from the line unless it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// One attempt.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ReconcileRow<'a> {
    pub(super) status: Option<Cow<'a, str>>,
    pub(super) health_status: Option<Cow<'a, str>>,
    pub(super) reason_codes: Vec<ReasonCode<'a>>,
    pub(super) duration: Option<Duration>,
}

/// A duration as written, and as it sorts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Duration {
    pub(super) seconds: f64,
    pub(super) number: Number,
}

impl Duration {
    pub(super) fn new(number: Number) -> Option<Self> {
        let seconds = number.as_f64()?;
        Some(Self { seconds, number })
    }
}

/// A reason code, ordered as JSON values are: texts by code point, other
/// scalars before them, arrays and objects after them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ReasonCode<'a> {
    /// `null`, `false`, `true` and numbers: rank and compact text.
    Scalar(u8, String),
    /// What a reason code normally is.
    Text(Cow<'a, str>),
    /// Arrays and objects: rank and compact text.
    Nested(u8, String),
}

impl ReasonCode<'_> {
    pub(super) fn of(value: &Value) -> ReasonCode<'_> {
        if let Value::String(text) = value {
            return ReasonCode::Text(Cow::Borrowed(text));
        }
        let text = json::compact(value);
        match value {
            Value::String(_) => ReasonCode::Text(Cow::Owned(text)),
            Value::Null => ReasonCode::Scalar(0, text),
            Value::Bool(flag) => ReasonCode::Scalar(1 + u8::from(*flag), text),
            Value::Number(_) => ReasonCode::Scalar(3, text),
            Value::Array(_) => ReasonCode::Nested(0, text),
            Value::Object(_) => ReasonCode::Nested(1, text),
        }
    }

    fn owned(value: &Value) -> ReasonCode<'static> {
        match ReasonCode::of(value) {
            ReasonCode::Text(text) => ReasonCode::Text(Cow::Owned(text.into_owned())),
            ReasonCode::Scalar(rank, text) => ReasonCode::Scalar(rank, text),
            ReasonCode::Nested(rank, text) => ReasonCode::Nested(rank, text),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.into_owned()),
            Self::Scalar(_, text) | Self::Nested(_, text) => {
                json::parse(text.as_bytes()).unwrap_or(Value::String(text))
            }
        }
    }
}

/// The row as this product writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnReconcileRow<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    duration_seconds: u64,
    #[serde(borrow)]
    health_status: Text<'a>,
    #[serde(borrow)]
    health_reason_codes: Vec<Text<'a>>,
}

impl<'a> ReconcileRow<'a> {
    /// Reads one line; the error says what is wrong with it.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, String> {
        if let Some(own) = own::<OwnReconcileRow<'a>>(line) {
            let codes = own.health_reason_codes.into_iter();
            return Ok(Self {
                status: Some(own.status.0),
                health_status: Some(own.health_status.0),
                reason_codes: codes.map(|code| ReasonCode::Text(code.0)).collect(),
                duration: Duration::new(Number::from(own.duration_seconds)),
            });
        }
        let row = object(line)?;
        let text = |member| owned_text(&row, member);
        Ok(Self {
            status: text("status"),
            health_status: text("healthStatus"),
            reason_codes: match row.get("healthReasonCodes") {
                Some(Value::Array(codes)) => codes.iter().map(ReasonCode::owned).collect(),
                Some(Value::Object(codes)) => codes.values().map(ReasonCode::owned).collect(),
                _ => Vec::new(),
            },
            duration: match row.get("durationSeconds") {
                Some(Value::Number(number)) => Duration::new(number.clone()),
                Some(Value::String(text)) => json::decimal(text.trim()).and_then(Duration::new),
                _ => None,
            },
        })
    }
}

/// One control action.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ControlRow<'a> {
    status: Option<Cow<'a, str>>,
    reason_code: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnControlRow<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    reason_code: Option<Text<'a>>,
}

impl<'a> ControlRow<'a> {
    /// Reads one line; the error says what is wrong with it.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, String> {
        if let Some(own) = own::<OwnControlRow<'a>>(line) {
            return Ok(Self {
                status: Some(own.status.0),
                reason_code: own.reason_code.map(|code| code.0),
            });
        }
        let row = object(line)?;
        Ok(Self {
            status: owned_text(&row, "status"),
            reason_code: owned_text(&row, "reasonCode"),
        })
    }

    pub(super) fn is_ambiguous(&self) -> bool {
        self.status.as_deref() == Some("ambiguous")
            || self.reason_code.as_deref() == Some("control_ambiguous")
    }
}

/// The fast path; `None` sends the row to the slow one.
fn own<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    // A derived type would also be read from an array.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let text = std::str::from_utf8(line).ok()?;
    serde_json::from_str(text).ok()
}

/// The slow path: any object, and `null` as one without members.
fn object(line: &[u8]) -> Result<Value, String> {
    match json::parse(line).map_err(|error| error.to_string())? {
        row @ (Value::Object(_) | Value::Null) => Ok(row),
        other => {
            let found = json::type_name(&other);
            Err(format!("the row is {found}, expected an object"))
        }
    }
}

fn owned_text(row: &Value, member: &str) -> Option<Cow<'static, str>> {
    let text = row.get(member)?.as_str()?;
    Some(Cow::Owned(text.to_owned()))
}
