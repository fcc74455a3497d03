//! Opening the artifacts of a report: what is an error, what is a warning
//! and what is simply not there (chapter 03 §3.5.3; decision D9).

use std::borrow::Cow;

use om_model::Artifact;
use om_model::json::{self, Lookup, ParseError};
use om_model::status::StatusWarning;
use serde_json::Value;

use super::{LastRow, StatusError, StatusInputs};
use crate::read::absent_or_null;

/// Every artifact, ready to be looked up.
pub(super) struct Sources<'a> {
    pub(super) state: Document<'a>,
    pub(super) cursor: Document<'a>,
    pub(super) health: Document<'a>,
    pub(super) heartbeat: Document<'a>,
    pub(super) sequence: Document<'a>,
    pub(super) alert_dispatch: Document<'a>,
    pub(super) intents: Document<'a>,
    pub(super) control: Document<'a>,
    pub(super) reconcile: Document<'a>,
    pub(super) heartbeat_row: Document<'a>,
    pub(super) sequence_row: Document<'a>,
    pub(super) invocation: Document<'a>,
    pub(super) alert: Document<'a>,
    /// The health file whole, `None` if there is no file.
    pub(super) health_document: Option<&'a Value>,
    /// The drift file whole, `None` if there is no file.
    pub(super) drift_document: Option<&'a Value>,
    /// Control intents without an outcome.
    pub(super) pending: Vec<Value>,
    pub(super) warnings: Vec<StatusWarning>,
}

impl<'a> Sources<'a> {
    pub(super) fn open(inputs: &'a StatusInputs) -> Result<Self, StatusError> {
        let (documents, files, rows) = (&inputs.documents, &inputs.files, &inputs.rows);
        let mut warnings = inputs.warnings.clone();
        let document = Document::open;
        let state = document("state", &documents.state, &files.state_file)?;
        let cursor = document("cursor", &documents.cursor, &files.cursor_file)?;
        let health = document("health", &documents.health, &files.health_file)?;
        let heartbeat = document(
            "heartbeat state",
            &documents.heartbeat,
            &files.heartbeat_state_file,
        )?;
        let sequence = document(
            "sequence state",
            &documents.sequence,
            &files.sequence_state_file,
        )?;
        // Passed through whole, so its type does not matter.
        parsed("drift", &documents.drift, &files.drift_state_file)?;
        let alert_dispatch = document(
            "alert dispatch state",
            &documents.alert_dispatch,
            &files.alert_dispatch_state_file,
        )?;
        let mut last = |row: &'a Option<LastRow>, file: &'a str| {
            Document::last_row(row.as_ref(), file, &mut warnings)
        };
        Ok(Self {
            intents: last(&rows.intents, &files.intents_file)?,
            control: last(&rows.control, &files.control_telemetry_file)?,
            reconcile: last(&rows.reconcile, &files.reconcile_telemetry_file)?,
            heartbeat_row: last(&rows.heartbeat, &files.heartbeat_telemetry_file)?,
            sequence_row: last(&rows.sequence, &files.sequence_telemetry_file)?,
            invocation: last(&rows.invocation, &files.control_invocations_file)?,
            alert: last(&rows.alert, &files.alert_dispatch_telemetry_file)?,
            state,
            cursor,
            health,
            heartbeat,
            sequence,
            alert_dispatch,
            health_document: documents.health.document(),
            drift_document: documents.drift.document(),
            pending: pending(inputs, &mut warnings),
            warnings,
        })
    }
}

/// An object to look members up in; `null` has none.
pub(super) struct Document<'a> {
    value: Cow<'a, Value>,
    origin: Origin<'a>,
}

enum Origin<'a> {
    File { name: &'static str, file: &'a str },
    Row { file: &'a str, line: Option<u64> },
}

impl<'a> Document<'a> {
    fn open(
        name: &'static str,
        artifact: &'a Artifact,
        file: &'a str,
    ) -> Result<Self, StatusError> {
        let document = Self {
            value: Cow::Borrowed(parsed(name, artifact, file)?),
            origin: Origin::File { name, file },
        };
        document.checked()
    }

    /// A blank last line is no row; a line that is not JSON is none either,
    /// with a warning.
    fn last_row(
        row: Option<&LastRow>,
        file: &'a str,
        warnings: &mut Vec<StatusWarning>,
    ) -> Result<Self, StatusError> {
        let line = row.and_then(|row| row.line);
        let mut value = Value::Null;
        match row.map(|row| json::parse(&row.row.bytes)) {
            None | Some(Err(ParseError::Blank)) => {}
            Some(Ok(parsed)) => value = parsed,
            Some(Err(error @ ParseError::Several { .. })) => {
                return Err(StatusError::Row {
                    file: file.to_owned(),
                    line,
                    cause: error.to_string(),
                });
            }
            Some(Err(ParseError::Malformed(message))) => warnings.push(StatusWarning {
                file: file.to_owned(),
                line,
                message: format!("the last row is not JSON and was passed over: {message}"),
            }),
        }
        let document = Self {
            value: Cow::Owned(value),
            origin: Origin::Row { file, line },
        };
        document.checked()
    }

    fn checked(self) -> Result<Self, StatusError> {
        match &*self.value {
            Value::Object(_) | Value::Null => Ok(self),
            other => {
                let found = json::type_name(other);
                Err(self.wrong(format!("it is {found}, expected an object")))
            }
        }
    }

    /// Whether there is neither a file nor anything but `null` in it.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The value at `path`, unless it is missing, `null` or `false`.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>, StatusError> {
        let found = Lookup::new(&self.value).get(path);
        match found {
            Ok(value) => Ok(value.cloned()),
            Err(wrong) => Err(self.wrong(wrong.to_string())),
        }
    }

    /// The first of `paths` with such a value.
    pub(super) fn first(&self, paths: &[&str]) -> Result<Option<Value>, StatusError> {
        for path in paths {
            if let Some(found) = self.get(path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn wrong(&self, cause: String) -> StatusError {
        match self.origin {
            Origin::File { name, file } => StatusError::Document {
                name,
                file: file.to_owned(),
                cause,
            },
            Origin::Row { file, line } => StatusError::Row {
                file: file.to_owned(),
                line,
                cause,
            },
        }
    }
}

/// The first value of several places, in order.
pub(super) fn first_of(places: &[(&Document<'_>, &str)]) -> Result<Option<Value>, StatusError> {
    for (document, path) in places {
        if let Some(found) = document.get(path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn parsed<'a>(
    name: &'static str,
    artifact: &'a Artifact,
    file: &str,
) -> Result<&'a Value, StatusError> {
    absent_or_null(artifact).map_err(|cause| StatusError::Document {
        name,
        file: file.to_owned(),
        cause: cause.to_string(),
    })
}

/// Whether a last row leads to a warning or an error.
pub(super) fn is_troubled(bytes: &[u8]) -> bool {
    match json::parse(bytes) {
        Ok(value) => !value.is_object() && !value.is_null(),
        Err(ParseError::Blank) => false,
        Err(_) => true,
    }
}

/// The entries of `control-pending.json`. The file is additive, so trouble
/// with it never costs the report.
fn pending(inputs: &StatusInputs, warnings: &mut Vec<StatusWarning>) -> Vec<Value> {
    let message = match &inputs.documents.control_pending {
        Artifact::Absent => return Vec::new(),
        Artifact::Broken(cause) => format!("invalid control pending JSON: {cause}"),
        Artifact::Document(document) => match document.get("pending") {
            Some(Value::Array(entries)) => return entries.clone(),
            None | Some(Value::Null) => return Vec::new(),
            Some(other) => format!("pending is {}, expected an array", json::type_name(other)),
        },
    };
    warnings.push(StatusWarning {
        file: inputs.control_pending_file.clone(),
        line: None,
        message,
    });
    Vec::new()
}
