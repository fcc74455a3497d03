//! Where secrets come from. Their names are configuration, their values are
//! never in a file of ours.

use std::collections::BTreeMap;

use om_http::Secret;
use om_model::alerts::sinks::SecretPresence;

/// The environment variables that hold secrets.
#[derive(Clone, Debug, Default)]
pub enum Environment {
    /// Those of this process.
    #[default]
    Process,
    /// These only.
    Fixed(BTreeMap<String, Secret>),
}

impl Environment {
    /// An environment of these variables only.
    pub fn fixed<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::Fixed(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Secret::new(value)))
                .collect(),
        )
    }

    /// The value of the variable `name`; empty is unset.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        let value = match self {
            // A variable that cannot exist has no value.
            Self::Process if name.is_empty() || name.contains(['=', '\0']) => None,
            Self::Process => std::env::var(name).ok().map(Secret::new),
            Self::Fixed(variables) => variables.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Whether the variable `name` is set and not empty.
    pub fn presence(&self, name: &str) -> SecretPresence {
        SecretPresence {
            present: self.secret(name).is_some(),
        }
    }
}
