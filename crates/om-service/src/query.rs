//! Query strings as the contract reads them (chapter 03 §3.4.4).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::Uri;
use om_http::{REDACTED, Secret};
use om_model::service::ServiceErrorCode;
use om_model::{LoopId, json};
use percent_encoding::percent_decode_str;

use crate::reply::Refusal;

/// The parameters of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The part of a URL after the question mark.
    pub(crate) fn new(text: Option<&'a str>) -> Self {
        Self(text.unwrap_or_default())
    }

    /// `loopId`, checked.
    pub(crate) fn loop_id(self) -> Result<LoopId, Refusal> {
        let text = self.first("loopId")?;
        let text = text.filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| invalid("loopId is required"))?;
        LoopId::new(text).map_err(|error| invalid(error.to_string()))
    }

    /// A non-negative integer; 0 if it is not there. Greater ones than 2^63−1
    /// count as that.
    pub(crate) fn count(self, name: &str) -> Result<u64, Refusal> {
        let Some(text) = self.first(name)? else {
            return Ok(0);
        };
        let text = text.trim();
        let (digits, negative) = match text.strip_prefix('-') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let number = json::digits_text(digits)
            .ok_or_else(|| invalid(format!("query parameter '{name}' must be an integer")))?;
        if negative && number > 0 {
            return Err(invalid(format!("query parameter '{name}' must be >= 0")));
        }
        Ok(number)
    }

    /// The first value of `name` that is not blank.
    fn first(self, name: &str) -> Result<Option<String>, Refusal> {
        for pair in self.0.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if value.is_empty() || decoded(key).as_deref() != Some(name) {
                continue;
            }
            let value = decoded(value)
                .ok_or_else(|| invalid(format!("query parameter '{name}' must be valid UTF-8")))?;
            return Ok(Some(value.into_owned()));
        }
        Ok(None)
    }
}

/// Parameters that are named like a secret are one, whatever their value.
const SECRET_NAME: &str = "token";

/// What of a request's target may be logged: all but the values of its query
/// that are, or may be, a token.
pub(crate) fn shown(uri: &Uri, token: Option<&Secret>) -> String {
    let Some(query) = uri.query() else {
        return uri.to_string();
    };
    let whole = uri.to_string();
    let (before, _) = whole.split_once('?').unwrap_or((&whole, ""));
    let mut shown = before.to_owned();
    for (index, pair) in query.split('&').enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let is_token = |text: &str| {
            let decoded = decoded(text);
            token.is_some_and(|token| decoded.as_deref().unwrap_or(text).contains(token.expose()))
        };
        let named = decoded(name).is_some_and(|name| name.eq_ignore_ascii_case(SECRET_NAME));
        if is_token(pair) || (named && !value.is_empty()) {
            let name = pair.split_once('=').map(|(name, _)| name);
            let name = name.filter(|name| !is_token(name)).unwrap_or(REDACTED);
            // Writing to a String cannot fail.
            let _ = write!(shown, "{name}={REDACTED}");
        } else {
            shown.push_str(pair);
        }
    }
    shown
}

/// Percent and `+` decoding; `None` if the result is not UTF-8.
fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ServiceErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        result.expect_err("is refused").message
    }

    #[test]
    fn the_first_value_that_is_not_blank_wins() {
        for (query, id) in [
            ("loopId=a", "a"),
            ("x=1&loopId=a&loopId=b", "a"),
            ("loopId=&loopId=b", "b"),
            ("loopId&loopId=b", "b"),
            ("loop%49d=a+b%2Bc", "a b+c"),
            ("loopId=%C3%BC", "ü"),
            ("loopId=a%3D%26", "a=&"),
            ("&&loopId=a&", "a"),
        ] {
            let found = Query::new(Some(query)).loop_id().expect("is accepted");
            assert_eq!(found.as_str(), id, "{query}");
        }
    }

    #[test]
    fn what_is_no_loop_id() {
        for (query, expected) in [
            (None, "loopId is required"),
            (Some("loopId="), "loopId is required"),
            (Some("loopId=+%20"), "loopId is required"),
            (Some("LOOPID=a"), "loopId is required"),
            (
                Some("loopId=%ff"),
                "query parameter 'loopId' must be valid UTF-8",
            ),
            (Some("loopId=.."), "invalid loop id: \"..\" is reserved"),
            (
                Some("loopId=a%2Fb"),
                "invalid loop id: \"a/b\" contains '/'; an id is one path component",
            ),
        ] {
            assert_eq!(message(Query::new(query).loop_id()), expected, "{query:?}");
        }
    }

    #[test]
    fn counts_are_integers_from_zero() {
        for (text, count) in [
            ("", 0),
            ("cursor=", 0),
            ("cursor=007", 7),
            ("cursor=+7", 7),
            ("cursor=-0", 0),
            ("cursor=99999999999999999999", json::MAX_INTEGER),
        ] {
            assert_eq!(Query::new(Some(text)).count("cursor").ok(), Some(count));
        }
        for text in ["x", "1.5", "1e3", "--1", "-", "0x1", "１"] {
            let query = format!("cursor={text}");
            assert_eq!(
                message(Query::new(Some(&query)).count("cursor")),
                "query parameter 'cursor' must be an integer"
            );
        }
        assert_eq!(
            message(Query::new(Some("maxEvents=-1")).count("maxEvents")),
            "query parameter 'maxEvents' must be >= 0"
        );
    }
}
