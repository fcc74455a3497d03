//! Reading a few members of a large document quickly.
//!
//! A tree of values of a whole fleet's policy state costs many times what the
//! few members cost that are needed. So documents are first read by types
//! that name these members; only what does not fit, for whatever reason, is
//! read as a tree, tolerantly, and with errors that name a member.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// An object with the members of `T`. (By itself a struct would also be read
/// from a list.)
#[derive(Clone, Debug, Default, PartialEq)]
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

/// `bytes` as an object with the members of `T`, if they are just that;
/// `None` if they have to be looked at more closely.
pub(crate) fn quickly<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    let Members(document) = serde_json::from_slice(bytes).ok()?;
    Some(document)
}
