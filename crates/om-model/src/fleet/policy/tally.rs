//! Counts by key, in order of first occurrence.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// How often each key occurred; keys that did not are not there.
///
/// Written as an object. Meant for a handful of keys: looking one up walks
/// through all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<K>(Vec<(K, u64)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Tally<K> {
    /// Counts one occurrence.
    pub fn add(&mut self, key: K) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => self.0.push((key, 1)),
        }
    }

    /// How often `key` occurred.
    pub fn count(&self, key: &K) -> u64 {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map_or(0, |(_, count)| *count)
    }

    /// Whether any of `keys` occurred.
    pub fn has_any(&self, keys: &[K]) -> bool {
        self.0.iter().any(|(known, _)| keys.contains(known))
    }
}

impl<K: PartialEq> Extend<K> for Tally<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        for key in keys {
            self.add(key);
        }
    }
}

impl<K: Serialize> Serialize for Tally<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, count) in &self.0 {
            map.serialize_entry(key, count)?;
        }
        map.end()
    }
}

#[cfg(feature = "schema")]
impl<K> schemars::JsonSchema for Tally<K> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tally".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "additionalProperties": { "type": "integer", "minimum": 1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn keys_stand_in_order_of_first_occurrence() {
        let mut tally = Tally::default();
        tally.extend(["b", "a", "b"]);
        assert_eq!(json::compact(&tally), r#"{"b":2,"a":1}"#);
        assert_eq!((tally.count(&"b"), tally.count(&"x")), (2, 0));
        assert!(tally.has_any(&["x", "a"]) && !tally.has_any(&["x"]));
    }
}
