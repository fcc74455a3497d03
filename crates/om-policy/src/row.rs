//! Rows of journals as a fold reads them.

use std::fmt;
use std::marker::PhantomData;

use om_model::json;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The first row of a journal that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// What is wrong with it, for an operator.
    pub what: String,
}

/// The members of `row` that `T` names; `None` if it is blank or `null`.
///
/// Members may occur twice and numbers may be written with a fraction: then,
/// and only then, the slower tolerant reader is used.
pub(crate) fn read<T: DeserializeOwned>(row: &[u8]) -> Result<Option<T>, String> {
    let row = row.trim_ascii();
    if row.is_empty() {
        return Ok(None);
    }
    if let Some(members) = members(row) {
        return Ok(Some(members));
    }
    match json::parse(row).map_err(|error| error.to_string())? {
        Value::Null => Ok(None),
        object @ Value::Object(_) => serde_json::from_value(object)
            .map(|members: Members<T>| Some(members.0))
            .map_err(|error| error.to_string()),
        other => Err(format!(
            "it is {}, expected an object",
            json::type_name(&other)
        )),
    }
}

/// The members of a document that `T` names, if it is an object and they are
/// what `T` expects: quick, as the rest is skipped rather than kept.
pub(crate) fn members<T: DeserializeOwned>(document: &[u8]) -> Option<T> {
    let members: Option<Members<T>> = serde_json::from_slice(document).ok();
    members.map(|members| members.0)
}

/// The members of an object and of nothing else: by itself, a struct would
/// also be read from a list.
#[derive(Debug, Default)]
pub(crate) struct Members<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectOnly(PhantomData))
    }
}

struct ObjectOnly<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOnly<T> {
    type Value = Members<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Members)
    }
}

/// Writes nothing for "no bad row", and refuses to write a bad one: the fold
/// of a damaged journal is not kept, so that a repair of any kind is noticed.
#[expect(clippy::ref_option, reason = "serde calls it so")]
pub(crate) fn only_sound<S: Serializer>(
    bad: &Option<BadRow>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bad {
        None => None::<()>.serialize(serializer),
        Some(_) => Err(serde::ser::Error::custom(
            "the journal has a row that cannot be used",
        )),
    }
}
