//! Order and size of values of any type, as the original's tools have them:
//! `null` < `false` < `true` < numbers < texts < arrays < objects.

use std::cmp::Ordering;

use om_model::json;
use serde_json::Value;

/// Distinct values in ascending order.
pub(super) fn sorted_set<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    let mut sorted: Vec<&Value> = values.into_iter().collect();
    sorted.sort_by(|a, b| compare(a, b));
    sorted.dedup_by(|a, b| compare(a, b).is_eq());
    sorted.into_iter().cloned().collect()
}

/// Whether `value` comes after the number 0.
pub(super) fn is_positive(value: &Value) -> bool {
    compare(value, &Value::from(0)).is_gt()
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            a.total_cmp(&b)
        }
        (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
            json::compact(a).cmp(&json::compact(b))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_all_types_have_one_order() {
        let values = [
            json!({}),
            json!([1]),
            json!("b"),
            json!(null),
            json!("a"),
            json!(2),
            json!(true),
            json!(false),
            json!(1.5),
            json!("a"),
        ];
        let sorted = sorted_set(&values);
        assert_eq!(
            json!(sorted),
            json!([null, false, true, 1.5, 2, "a", "b", [1], {}])
        );
    }

    #[test]
    fn only_what_comes_after_zero_is_positive() {
        for (value, expected) in [
            (json!(1), true),
            (json!(0.5), true),
            (json!("0"), true),
            (json!(0), false),
            (json!(-1), false),
            (json!(null), false),
            (json!(true), false),
        ] {
            assert_eq!(is_positive(&value), expected, "{value}");
        }
    }
}
