//! What an answer means (chapter 03 §3.3.4, decision D13), pure.

use om_http::is_worth_repeating;
use om_model::json;
use serde_json::Value;

/// What to do with a complete response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Answer,
    /// It is a failure that may pass.
    Repeat,
    /// It is a failure.
    Fail,
}

/// Judges a response.
pub(super) fn of(status: u16, body: &[u8]) -> Verdict {
    match status {
        200..=299 => Verdict::Answer,
        409 | 500 if is_control_result(body) => Verdict::Answer,
        _ if is_worth_repeating(status) => Verdict::Repeat,
        _ => Verdict::Fail,
    }
}

/// A control command ran and did not succeed: that is an answer, and asking
/// again would only replay it.
fn is_control_result(body: &[u8]) -> bool {
    let Ok(Value::Object(members)) = json::parse(body) else {
        return false;
    };
    let exit_code = members.get("exitCode").and_then(Value::as_number);
    let whole = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        json::digits_text(digits).is_some()
    };
    members.get("ok").is_some_and(Value::is_boolean)
        && exit_code.is_some_and(|number| whole(number.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_decides_what_is_done_with_a_response() {
        for (status, verdict) in [
            (199, Verdict::Fail),
            (200, Verdict::Answer),
            (204, Verdict::Answer),
            (299, Verdict::Answer),
            (301, Verdict::Fail),
            (307, Verdict::Fail),
            (400, Verdict::Fail),
            (401, Verdict::Fail),
            (404, Verdict::Fail),
            (408, Verdict::Repeat),
            (409, Verdict::Repeat),
            (413, Verdict::Fail),
            (422, Verdict::Fail),
            (425, Verdict::Repeat),
            (429, Verdict::Repeat),
            (500, Verdict::Repeat),
            (501, Verdict::Fail),
            (502, Verdict::Repeat),
            (503, Verdict::Repeat),
            (504, Verdict::Repeat),
            (505, Verdict::Fail),
        ] {
            assert_eq!(of(status, b"{}"), verdict, "{status}");
        }
    }

    #[test]
    fn a_control_result_is_an_answer_at_409_and_500_only() {
        let result = br#"{"ok":false,"exitCode":2}"#;
        for (status, verdict) in [
            (409, Verdict::Answer),
            (500, Verdict::Answer),
            (502, Verdict::Repeat),
            (400, Verdict::Fail),
        ] {
            assert_eq!(of(status, result), verdict, "{status}");
        }
    }

    #[test]
    fn a_control_result_has_a_boolean_ok_and_a_whole_exit_code() {
        for (body, verdict) in [
            (r#"{"ok":true,"exitCode":0}"#, Verdict::Answer),
            (r#"{"ok":false,"exitCode":-15}"#, Verdict::Answer),
            (r#"{"ok":false,"exitCode":2.0}"#, Verdict::Answer),
            (r#"{"ok":false,"exitCode":1.5}"#, Verdict::Repeat),
            (r#"{"ok":false,"exitCode":"1"}"#, Verdict::Repeat),
            (r#"{"ok":"false","exitCode":1}"#, Verdict::Repeat),
            (r#"{"exitCode":1}"#, Verdict::Repeat),
            (r#"{"ok":false}"#, Verdict::Repeat),
            (r#"[{"ok":false,"exitCode":1}]"#, Verdict::Repeat),
            (r#"{"ok":false,"exitCode":1"#, Verdict::Repeat),
            ("", Verdict::Repeat),
        ] {
            assert_eq!(of(409, body.as_bytes()), verdict, "{body}");
        }
    }
}
