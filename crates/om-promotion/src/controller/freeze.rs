//! Times in which nothing is promoted (chapter 07 §5.4 step 6).
//!
//! A window that does not say when it is might be now, so it stops the run
//! before anything changes (decision D19).

use om_model::Timestamp;
use om_model::json::{self, WrongType};
use om_model::promotion::controller::{ControllerReason, MatchedFreezeWindow};
use serde_json::Value;

use crate::check::wrong;

/// Why a file of freeze windows cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FreezeError {
    /// It, or its list, has the wrong type.
    Document(WrongType),
    /// An entry does not say when it is; carries what is wrong with which.
    Entry(String),
}

/// The windows of `document` that `now` lies in, in file order.
pub(super) fn active(
    document: &Value,
    now: Timestamp,
) -> Result<Vec<MatchedFreezeWindow>, FreezeError> {
    let root = json::root_object(document).map_err(FreezeError::Document)?;
    let entries: Vec<&Value> = match json::present(root.get("windows")) {
        None => Vec::new(),
        Some(Value::Array(entries)) => entries.iter().collect(),
        Some(Value::Object(entries)) => entries.values().collect(),
        Some(other) => {
            let error = wrong("windows", other, "an array");
            return Err(FreezeError::Document(error));
        }
    };
    let mut matched = Vec::new();
    // All of them: a broken one behind an active one is still broken.
    for (index, entry) in entries.into_iter().enumerate() {
        let window = Window::read(entry)
            .map_err(|what| FreezeError::Entry(format!("windows[{index}]: {what}")))?;
        if (window.start..=window.end).contains(&now) {
            matched.push(window.shown);
        }
    }
    Ok(matched)
}

struct Window {
    start: Timestamp,
    end: Timestamp,
    shown: MatchedFreezeWindow,
}

impl Window {
    fn read(entry: &Value) -> Result<Self, String> {
        let Value::Object(members) = entry else {
            let found = json::type_name(entry);
            return Err(format!("it is {found}, expected an object"));
        };
        let bound = |names: [&'static str; 2]| {
            let [name, other] = names;
            let value = json::first_present([members.get(name), members.get(other)]);
            let value = value.ok_or_else(|| format!("{name} is missing"))?;
            let at = value.as_str().and_then(Timestamp::parse);
            at.map(|at| (at, value.clone())).ok_or_else(|| {
                let text = json::compact(value);
                format!("{name} is {text}, expected a UTC timestamp (YYYY-MM-DDTHH:MM:SSZ)")
            })
        };
        let (start, start_shown) = bound(["start", "startAt"])?;
        let (end, end_shown) = bound(["end", "endAt"])?;
        if end < start {
            return Err("end is before start".to_owned());
        }
        let default = || json::to_value(&ControllerReason::ControllerBudgetFreezeWindowActive);
        Ok(Self {
            start,
            end,
            shown: MatchedFreezeWindow {
                start: start_shown,
                end: end_shown,
                reason: json::present(members.get("reason"))
                    .cloned()
                    .unwrap_or_else(default),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a timestamp")
    }

    fn noon() -> Timestamp {
        at("2031-04-01T12:00:00Z")
    }

    fn matched(windows: &Value, now: Timestamp) -> Vec<Value> {
        let document = json!({ "windows": windows });
        let found = active(&document, now).expect("is usable");
        found.iter().map(json::to_value).collect()
    }

    #[test]
    fn both_ends_belong_to_a_window() {
        let windows = json!([{ "start": "2031-04-01T11:00:00Z", "end": "2031-04-01T13:00:00Z" }]);
        for (now, is_active) in [
            ("2031-04-01T10:59:59Z", false),
            ("2031-04-01T11:00:00Z", true),
            ("2031-04-01T13:00:00Z", true),
            ("2031-04-01T13:00:01Z", false),
        ] {
            assert_eq!(!matched(&windows, at(now)).is_empty(), is_active, "{now}");
        }
    }

    #[test]
    fn matches_are_shown_as_found_in_file_order() {
        let windows = json!([
            { "startAt": "2031-4-1T0:0:0Z", "endAt": "2031-04-02T00:00:00Z" },
            { "start": "2031-05-01T00:00:00Z", "end": "2031-05-02T00:00:00Z" },
            { "start": "2031-04-01T00:00:00Z", "end": "2031-04-02T00:00:00Z", "reason": "audit" },
        ]);
        assert_eq!(
            matched(&windows, noon()),
            [
                json!({
                    "start": "2031-4-1T0:0:0Z", "end": "2031-04-02T00:00:00Z",
                    "reason": "controller_budget_freeze_window_active",
                }),
                json!({
                    "start": "2031-04-01T00:00:00Z", "end": "2031-04-02T00:00:00Z",
                    "reason": "audit",
                }),
            ]
        );
    }

    #[test]
    fn no_windows_freeze_nothing() {
        for document in [
            json!(null),
            json!({}),
            json!({ "windows": null }),
            json!({ "windows": [] }),
        ] {
            assert_eq!(active(&document, noon()), Ok(Vec::new()), "{document}");
        }
        let named =
            json!({ "close": { "start": "2031-04-01T00:00:00Z", "end": "2031-04-02T00:00:00Z" } });
        assert_eq!(matched(&named, noon()).len(), 1);
    }

    #[test]
    fn a_window_that_does_not_say_when_stops_everything() {
        let good = json!({ "start": "2031-04-01T00:00:00Z", "end": "2031-04-02T00:00:00Z" });
        for (entry, message) in [
            (json!({ "end": "2031-04-02T00:00:00Z" }), "start is missing"),
            (
                json!({ "start": "2031-04-01T00:00:00Z", "end": "tomorrow" }),
                "end is \"tomorrow\", expected a UTC timestamp (YYYY-MM-DDTHH:MM:SSZ)",
            ),
            (
                json!({ "start": "2031-04-02T00:00:00Z", "end": "2031-04-01T00:00:00Z" }),
                "end is before start",
            ),
            (json!("2031-04-01"), "it is a string, expected an object"),
            (json!(null), "it is null, expected an object"),
        ] {
            let document = json!({ "windows": [good, entry] });
            let expected = FreezeError::Entry(format!("windows[1]: {message}"));
            assert_eq!(active(&document, noon()), Err(expected));
        }
    }

    #[test]
    fn a_list_of_another_type_is_an_error_and_not_an_empty_one() {
        for document in [
            json!([]),
            json!("x"),
            json!({ "windows": "x" }),
            json!({ "windows": 1 }),
        ] {
            let found = active(&document, noon());
            assert!(matches!(found, Err(FreezeError::Document(_))), "{document}");
        }
    }
}
