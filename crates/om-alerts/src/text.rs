//! Texts as the contract reads and cuts them (chapter 04 §0).

use om_model::json;
use serde_json::Value;

/// Characters of an excerpt.
pub(crate) const EXCERPT: usize = 300;

/// The *text form* of a value: empty if it is missing, `null` or `false`;
/// line breaks at the end and NUL characters dropped.
pub(crate) fn text_form(value: Option<&Value>) -> String {
    let text = json::non_empty_text(value).unwrap_or_default();
    trimmed(&text)
}

/// `text` without line breaks at its end and without NUL characters.
pub(crate) fn trimmed(text: &str) -> String {
    text.replace('\0', "").trim_end_matches('\n').to_owned()
}

/// `text` on one line, its first [`EXCERPT`] characters; `None` if empty.
pub(crate) fn excerpt(text: &str) -> Option<String> {
    let line = trimmed(text).replace('\n', " ");
    let cut: String = line.chars().take(EXCERPT).collect();
    (!cut.is_empty()).then_some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_text_form_of_a_value() {
        for (value, text) in [
            (json!("x"), "x"),
            (json!("x\n\n"), "x"),
            (json!("a\0b"), "ab"),
            (json!(7), "7"),
            (json!(true), "true"),
            (json!(false), ""),
            (json!(null), ""),
            (json!({"a": [1]}), r#"{"a":[1]}"#),
        ] {
            assert_eq!(text_form(Some(&value)), text, "{value}");
        }
        assert_eq!(text_form(None), "");
    }

    #[test]
    fn an_excerpt_is_one_line_of_at_most_300_characters() {
        assert_eq!(excerpt("a\r\nb\n\n").as_deref(), Some("a\r b"));
        assert_eq!(excerpt("\n"), None);
        let long = excerpt(&"ü".repeat(400)).expect("not empty");
        assert_eq!(long.chars().count(), 300);
    }
}
