//! Where in a document a value is.

use std::fmt;

use serde_json::Value;

/// One step down into a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// An item of an array, counted from 0.
    Item(usize),
}

/// The way from the root to a value, shown as `loops[0].service.baseUrl`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberPath(Vec<Step>);

impl MemberPath {
    /// The members of a dotted path without arrays; empty: the root.
    pub fn dotted(path: &str) -> Self {
        let names = path.split('.').filter(|name| !name.is_empty());
        Self(names.map(|name| Step::Member(name.to_owned())).collect())
    }

    /// One member further down.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>) -> Self {
        self.0.push(Step::Member(name.into()));
        self
    }

    /// One item further down.
    #[must_use]
    pub fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Item(index));
        self
    }

    /// This path, then the members of a dotted one.
    #[must_use]
    pub fn then(mut self, path: &str) -> Self {
        self.0.extend(Self::dotted(path).0);
        self
    }

    /// The steps from the root on.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The value there, `null` included.
    pub fn of<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |at, step| match step {
            Step::Member(name) => at.as_object()?.get(name),
            Step::Item(index) => at.as_array()?.get(*index),
        })
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if index == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

impl FromIterator<Step> for MemberPath {
    fn from_iter<I: IntoIterator<Item = Step>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_shown_as_people_write_it() {
        let path = MemberPath::dotted("loops").item(2).then("service.baseUrl");
        assert_eq!(path.to_string(), "loops[2].service.baseUrl");
        assert_eq!(MemberPath::default().to_string(), "");
    }

    #[test]
    fn a_path_leads_to_a_value_or_nowhere() {
        let document = json!({"a": [{"b.c": null}]});
        let path = MemberPath::dotted("a").item(0).member("b.c");
        assert_eq!(path.of(&document), Some(&Value::Null));
        assert_eq!(MemberPath::dotted("a.b").of(&document), None);
        assert_eq!(MemberPath::default().of(&document), Some(&document));
    }
}
