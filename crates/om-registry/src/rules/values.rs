//! What can be wrong with a value: the predicates of the tables.

use om_model::fleet::registry::{Category, Confidence, PolicyMode, Severity};
use om_model::health::TransportMode;
use om_model::{LoopId, Timestamp};
use serde_json::Value;

use super::Facts;

pub(super) fn not_an_object(value: &Value, _: &Facts<'_>) -> bool {
    !value.is_object()
}

pub(super) fn not_an_array(value: &Value, _: &Facts<'_>) -> bool {
    !value.is_array()
}

pub(super) fn not_a_string(value: &Value, _: &Facts<'_>) -> bool {
    !value.is_string()
}

pub(super) fn not_boolean(value: &Value, _: &Facts<'_>) -> bool {
    !value.is_boolean()
}

/// Neither a string with something in it.
pub(super) fn not_a_text(value: &Value, _: &Facts<'_>) -> bool {
    value.as_str().is_none_or(str::is_empty)
}

pub(super) fn empty_string(value: &Value, _: &Facts<'_>) -> bool {
    value.as_str() == Some("")
}

pub(super) fn not_a_timestamp(value: &Value, _: &Facts<'_>) -> bool {
    timestamp(Some(value)).is_none()
}

pub(super) fn missing(value: &Value, _: &Facts<'_>) -> bool {
    value.is_null()
}

/// A string that is no path component; other values have a rule before.
pub(super) fn unsafe_loop_id(value: &Value, _: &Facts<'_>) -> bool {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.is_some_and(|text| LoopId::new(text).is_err())
}

pub(super) fn no_transport(value: &Value, _: &Facts<'_>) -> bool {
    value.as_str().and_then(TransportMode::parse).is_none()
}

pub(super) fn no_mode(value: &Value, _: &Facts<'_>) -> bool {
    value.as_str().and_then(PolicyMode::parse).is_none()
}

pub(super) fn no_severity(value: &Value, _: &Facts<'_>) -> bool {
    value.as_str().and_then(Severity::parse).is_none()
}

pub(super) fn no_confidence(value: &Value, _: &Facts<'_>) -> bool {
    value.as_str().and_then(Confidence::parse).is_none()
}

pub(super) fn below_one(value: &Value, _: &Facts<'_>) -> bool {
    number(value).is_none_or(|number| number < 1.0)
}

pub(super) fn below_zero(value: &Value, _: &Facts<'_>) -> bool {
    number(value).is_none_or(|number| number < 0.0)
}

pub(super) fn no_whole_from_zero(value: &Value, _: &Facts<'_>) -> bool {
    whole(value).is_none_or(|number| number < 0.0)
}

pub(super) fn no_whole_from_one(value: &Value, _: &Facts<'_>) -> bool {
    whole(value).is_none_or(|number| number < 1.0)
}

pub(super) fn no_percent(value: &Value, _: &Facts<'_>) -> bool {
    whole(value).is_none_or(|number| !(0.0..=100.0).contains(&number))
}

pub(super) fn no_rate(value: &Value, _: &Facts<'_>) -> bool {
    number(value).is_none_or(|number| !(0.0..=1.0).contains(&number))
}

pub(super) fn entries_no_strings(value: &Value, _: &Facts<'_>) -> bool {
    entries(value).any(|entry| !entry.is_string())
}

pub(super) fn entries_empty(value: &Value, _: &Facts<'_>) -> bool {
    entries(value).any(|entry| entry.as_str() == Some(""))
}

pub(super) fn entries_twice(value: &Value, _: &Facts<'_>) -> bool {
    let mut seen = std::collections::HashSet::new();
    !entries(value)
        .filter_map(Value::as_str)
        .all(|entry| seen.insert(entry))
}

pub(super) fn entries_undeclared(value: &Value, facts: &Facts<'_>) -> bool {
    let declared = |entry: &str| facts.declared.contains(entry);
    !entries(value).filter_map(Value::as_str).all(declared)
}

pub(super) fn entries_no_categories(value: &Value, _: &Facts<'_>) -> bool {
    let unknown = |text: &str| Category::parse(text).is_none();
    entries(value).filter_map(Value::as_str).any(unknown)
}

/// Nothing but `cancel` may happen by itself.
pub(super) fn entries_other_than_cancel(value: &Value, _: &Facts<'_>) -> bool {
    entries(value)
        .filter_map(Value::as_str)
        .any(|text| text != "cancel")
}

/// The items of an array; a value of another type has a rule before.
fn entries(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The timestamp that a value is.
pub(super) fn timestamp(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse(value?.as_str()?)
}

fn number(value: &Value) -> Option<f64> {
    value.as_number()?.as_f64()
}

fn whole(value: &Value) -> Option<f64> {
    number(value).filter(|number| number.fract() == 0.0)
}
