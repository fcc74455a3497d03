//! Documents of a report, looked into strictly: what stands where a container
//! belongs is an error with its member.

use om_model::Artifact;
use om_model::json::{self, Lookup, present};
use serde_json::{Map, Value};

use super::FleetStatusError;

/// One document, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    value: &'a Value,
    name: &'static str,
    file: &'a str,
    /// The array and the index, if it is an entry of one.
    entry: Option<(&'static str, usize)>,
}

/// Stands for a document that is not there.
static NULL: Value = Value::Null;

impl<'a> Document<'a> {
    /// An object, or nothing: an absent file and `null` have no members.
    pub(super) fn open(
        name: &'static str,
        artifact: &'a Artifact,
        file: &'a str,
    ) -> Result<Self, FleetStatusError> {
        let value = match artifact {
            Artifact::Absent => &NULL,
            Artifact::Document(value) => value,
            Artifact::Broken(cause) => {
                return Err(FleetStatusError::Document {
                    name,
                    file: file.to_owned(),
                    cause: cause.to_string(),
                });
            }
        };
        let document = Self {
            value,
            name,
            file,
            entry: None,
        };
        document.check("document", value, "an object", |value| {
            value.is_object() || value.is_null()
        })?;
        Ok(document)
    }

    /// Whether there is nothing.
    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// The value at `path`, unless it is missing, `null` or `false`.
    pub(super) fn get(&self, path: &str) -> Result<Option<&'a Value>, FleetStatusError> {
        Ok(present(self.raw(path)?))
    }

    /// The value at `path`, `null` and `false` included.
    pub(super) fn raw(&self, path: &str) -> Result<Option<&'a Value>, FleetStatusError> {
        let found = Lookup::new(self.value).raw(path);
        found.map_err(|wrong| self.error(wrong.to_string()))
    }

    /// A copy of the value at `path`, if it is present.
    pub(super) fn copy(&self, path: &str) -> Result<Option<Value>, FleetStatusError> {
        Ok(self.get(path)?.cloned())
    }

    /// A copy of the value at `path`, or `default`.
    pub(super) fn copy_or(
        &self,
        path: &str,
        default: impl Into<Value>,
    ) -> Result<Value, FleetStatusError> {
        Ok(super::or_default(self.get(path)?, default))
    }

    /// The object at `path`, if it is present.
    pub(super) fn object(
        &self,
        path: &str,
    ) -> Result<Option<&'a Map<String, Value>>, FleetStatusError> {
        let Some(value) = self.get(path)? else {
            return Ok(None);
        };
        self.check(path, value, "an object", Value::is_object)?;
        Ok(value.as_object())
    }

    /// The entries of the array at `path`; none if it is not present.
    pub(super) fn array(&self, path: &str) -> Result<&'a [Value], FleetStatusError> {
        let Some(value) = self.get(path)? else {
            return Ok(&[]);
        };
        self.check(path, value, "an array", Value::is_array)?;
        Ok(value.as_array().map_or(&[], Vec::as_slice))
    }

    /// The entries of the array at `path`, each an object, or `null` if
    /// `null` has no members there.
    pub(super) fn objects(
        &self,
        path: &'static str,
        null: Null,
    ) -> Result<Vec<Self>, FleetStatusError> {
        let entries = self.array(path)?.iter().enumerate();
        let mut objects = Vec::with_capacity(entries.len());
        for (index, value) in entries {
            let fits = value.is_object() || (value.is_null() && null == Null::IsEmpty);
            if !fits {
                let found = json::type_name(value);
                let cause = format!("{path}[{index}] is {found}, expected an object");
                return Err(self.error(cause));
            }
            objects.push(Self {
                value,
                entry: Some((path, index)),
                ..*self
            });
        }
        Ok(objects)
    }

    /// What stands at `path` must be an object or `null`; `false` is neither.
    pub(super) fn check_container(&self, path: &str) -> Result<(), FleetStatusError> {
        let Some(value) = self.raw(path)? else {
            return Ok(());
        };
        self.check(path, value, "an object", |value| {
            value.is_object() || value.is_null()
        })
    }

    /// The text at `path`, which has to be one if it is present.
    pub(super) fn text(&self, path: &str) -> Result<Option<&'a str>, FleetStatusError> {
        let Some(value) = self.get(path)? else {
            return Ok(None);
        };
        self.check(path, value, "a string", Value::is_string)?;
        Ok(value.as_str())
    }

    /// Sees that there is a text at `path`.
    pub(super) fn require_text(&self, path: &str) -> Result<(), FleetStatusError> {
        let found = self.raw(path)?.unwrap_or(&NULL);
        self.check(path, found, "a string", Value::is_string)
    }

    /// The number of a count; `null` is none.
    pub(super) fn count(&self, path: &str, value: &Value) -> Result<f64, FleetStatusError> {
        self.check(path, value, "a number", |value| {
            value.is_number() || value.is_null()
        })?;
        Ok(value.as_f64().unwrap_or(0.0))
    }

    /// The document as it is.
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// What is wrong with it; `cause` begins with the member.
    fn error(&self, cause: String) -> FleetStatusError {
        let cause = match self.entry {
            Some((array, index)) => format!("{array}[{index}].{cause}"),
            None => cause,
        };
        FleetStatusError::Document {
            name: self.name,
            file: self.file.to_owned(),
            cause,
        }
    }

    fn check(
        &self,
        member: &str,
        value: &Value,
        expected: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<(), FleetStatusError> {
        if fits(value) {
            return Ok(());
        }
        let found = json::type_name(value);
        Err(self.error(format!("{member} is {found}, expected {expected}")))
    }
}

/// What `null` is among the entries of an array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    /// An entry without members.
    IsEmpty,
    /// An error.
    IsWrong,
}
