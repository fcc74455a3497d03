//! Where a poll starts (chapter 01 §5.3).

use std::path::Path;

use om_model::Artifact;
use om_transport::cursor::{StartPoint, evaluate, known_position};
use serde_json::{Value, json};

fn read(content: &str) -> Result<u64, String> {
    evaluate(&Artifact::parse(content.as_bytes()), Path::new("c.json"))
        .map(|start| start.offset)
        .map_err(|error| error.to_string())
}

#[test]
fn no_cursor_file_starts_at_the_beginning() {
    let start = evaluate(&Artifact::Absent, Path::new("c.json"));
    assert_eq!(start, Ok(StartPoint::default()));
}

#[test]
fn an_offset_is_read_in_any_spelling() {
    for (content, offset) in [
        ("null", 0),
        ("{}", 0),
        (r#"{"eventLineOffset":null}"#, 0),
        (r#"{"eventLineOffset":false}"#, 0),
        (r#"{"eventLineOffset":0}"#, 0),
        (r#"{"eventLineOffset":7}"#, 7),
        (r#"{"eventLineOffset":7.0}"#, 7),
        (r#"{"eventLineOffset":7e0}"#, 7),
        (r#"{"eventLineOffset":"7"}"#, 7),
        (r#"{"eventLineOffset":"007"}"#, 7),
        (
            r#"{"eventLineOffset":3,"repoPath":"/other","loopId":"other","schemaVersion":"v9"}"#,
            3,
        ),
    ] {
        assert_eq!(read(content), Ok(offset), "{content}");
    }
}

#[test]
fn an_unusable_offset_fails_and_says_what_stands_there() {
    for (content, detail) in [
        (r#"{"eventLineOffset":-1}"#, "eventLineOffset is -1"),
        (r#"{"eventLineOffset":1.5}"#, "eventLineOffset is 1.5"),
        (r#"{"eventLineOffset":true}"#, "eventLineOffset is true"),
        (r#"{"eventLineOffset":""}"#, "eventLineOffset is \"\""),
        (r#"{"eventLineOffset":"x"}"#, "eventLineOffset is \"x\""),
        (r#"{"eventLineOffset":[1]}"#, "eventLineOffset is [1]"),
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{} {}", "more than one JSON document"),
        ("[]", "document is an array"),
        ("7", "document is a number"),
        ("\"7\"", "document is a string"),
        ("true", "document is a boolean"),
    ] {
        let error = read(content).expect_err(content);
        let start = format!("invalid cursor offset in c.json: {detail}");
        assert!(error.starts_with(&start), "{content}: {error}");
    }
}

#[test]
fn a_malformed_cursor_fails_in_its_own_words() {
    for content in ["{", "nope", "{\"eventLineOffset\":3", "\0"] {
        let error = read(content).expect_err(content);
        assert!(
            error.starts_with("invalid JSON in cursor file: c.json: "),
            "{content}: {error}"
        );
    }
}

fn with_log(change: impl FnOnce(&mut Value)) -> Artifact {
    let mut document = json!({"eventLineOffset": 2, "log": {
        "lineOffset": 2, "byteOffset": 20, "device": 1, "inode": 2, "length": 30,
        "lineCount": 3, "headSha256": "h", "tailSha256": "t", "digestState": "s",
    }});
    change(&mut document);
    Artifact::Document(document)
}

#[test]
fn a_log_position_is_used_with_the_offset_that_it_names() {
    let position = known_position(&with_log(|_| {})).expect("a position");
    assert_eq!((position.line_offset, position.byte_offset), (2, 20));
}

#[test]
fn a_log_position_that_contradicts_itself_or_the_offset_is_ignored() {
    let edits: [(&str, Value); 9] = [
        ("/eventLineOffset", json!(1)),
        ("/log/lineOffset", json!(3)),
        ("/log/byteOffset", json!(31)),
        ("/log/byteOffset", json!(1)),
        ("/log/byteOffset", json!(-1)),
        ("/log/lineCount", json!(1)),
        ("/log/lineCount", json!(31)),
        ("/log/digestState", json!(null)),
        ("/log", json!("text")),
    ];
    for (member, value) in edits {
        let artifact = with_log(|document| {
            *document.pointer_mut(member).expect("a member") = value.clone();
        });
        assert_eq!(known_position(&artifact), None, "{member} = {value}");
        assert!(evaluate(&artifact, Path::new("c.json")).is_ok());
    }
}
