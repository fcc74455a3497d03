//! Promotion: evidence, decisions, and their audit trail (chapter 07).
//!
//! | module | what it holds | contract |
//! |---|---|---|
//! | [`gates`] | the decision with its five gates | 07 §1.5 |
//! | [`ci`] | the document of a skipped check | 07 §2.5 |
//! | [`apply`] | one change of the rollout, for the audit trail | 07 §3.5 |
//! | [`orchestrate`] | check, then preview, apply or roll back | 07 §4.5 |
//! | [`controller`] | one run of the controller | 07 §5.5, D19 |

pub mod apply;
pub mod ci;
pub mod controller;
pub mod gates;
pub mod orchestrate;

use serde::{Serialize, Serializer};
use serde_json::Number;

use crate::json;

/// A share from 0 to 1.
///
/// Read from digits with an optional fraction (`0.2`, `.5`, `1.0`); written as
/// a number by value, whole values without a fraction.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// A rate from hundredths, at most 100.
    pub const fn percent(hundredths: u8) -> Self {
        let capped = if hundredths > 100 { 100 } else { hundredths };
        Self(capped as f64 / 100.0)
    }

    /// Reads `0.2`, `.5`, `00.50`, `1`; nothing with a sign, an exponent or a
    /// bare point, and nothing above 1 (chapter 07 §0.2).
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let complete = match fraction {
            Some(fraction) => !fraction.is_empty() && digits(fraction),
            None => !whole.is_empty(),
        };
        if !complete || !digits(whole) {
            return None;
        }
        let value: f64 = text.parse().ok()?;
        (value <= 1.0).then_some(Self(value))
    }

    /// The value, 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.0).serialize(serializer)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// A number by value: whole values without a fraction. What is not finite,
/// and so no number, is 0.
pub fn number(value: f64) -> Number {
    let shortest = if value.is_finite() { value } else { 0.0 };
    json::decimal(&format!("{shortest:?}")).unwrap_or_else(|| Number::from(0))
}

/// What the gates say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Every gate passes.
    Promote,
    /// At least one gate fails.
    Hold,
}

impl Decision {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Hold => "hold",
        }
    }
}

/// What to do to the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApplyIntent {
    /// Widen the canary and lift the manual pause.
    Expand,
    /// Lift the manual pause.
    Resume,
    /// Set the manual pause.
    Rollback,
}

impl ApplyIntent {
    /// Every intent.
    pub const ALL: [Self; 3] = [Self::Expand, Self::Resume, Self::Rollback];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the name on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.as_str() == text)
    }

    /// Whether autonomy gets more room by it, so that evidence is needed.
    pub fn widens(self) -> bool {
        !matches!(self, Self::Rollback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_digits_with_an_optional_fraction_up_to_one() {
        for (text, written) in [
            ("0", "0"),
            ("1", "1"),
            ("1.0", "1"),
            (".5", "0.5"),
            ("00.50", "0.5"),
            ("0.2", "0.2"),
            ("0.00", "0"),
        ] {
            let rate = Rate::parse(text).map(|rate| json::compact(&rate));
            assert_eq!(rate.as_deref(), Some(written), "{text:?}");
        }
        for text in [
            "", ".", "1.", "1e-1", "-0.1", "+0.1", "1.1", "2", "x", "0.1.2", " 0.1",
        ] {
            assert_eq!(Rate::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_by_value() {
        for (value, written) in [
            (0.0, "0"),
            (3.0, "3"),
            (1.0 / 3.0, "0.3333333333333333"),
            (0.2, "0.2"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(json::compact(&number(value)), written);
        }
        assert_eq!(number(1e-5).as_f64(), Some(1e-5));
    }
}
