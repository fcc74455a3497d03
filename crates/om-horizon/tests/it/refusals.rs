//! What stops a run, and what it leaves untouched.

use std::fs;

use serde_json::json;

use crate::support::{Place, envelope, files_below, lines, put};

#[test]
fn a_queue_or_state_that_cannot_be_used_stops_the_run_before_anything_is_taken() {
    for (queue, state, expected) in [
        ("{", "{}", "invalid bridge queue JSON: "),
        ("", "{}", "it is empty"),
        ("[]", "{}", "document is an array, expected an object"),
        (
            r#"{"intents":5}"#,
            "{}",
            "intents is a number, expected an array",
        ),
        ("{}", "nope", "invalid bridge state JSON: "),
        ("{}", "", "it is empty"),
        ("{}", "7", "document is a number, expected an object"),
        ("{", "{", "invalid bridge queue JSON: "),
    ] {
        let place = Place::new();
        place.send("a.jsonl", &lines(&[envelope("p", "1")]));
        put(&place.bridge().queue_file, queue);
        put(&place.bridge().state_file, state);
        let error = place.try_run().expect_err("is refused").to_string();
        assert!(error.contains(expected), "{queue:?} {state:?}: {error}");
        assert!(place.outbox("a.jsonl").exists(), "{error}");
        assert_eq!(
            fs::read_to_string(place.bridge().queue_file).expect("there"),
            queue
        );
        assert_eq!(place.rows(), Vec::<serde_json::Value>::new());
    }
}

#[test]
fn a_line_that_can_be_no_envelope_stops_the_run_and_its_file_is_out_of_the_way() {
    for (line, expected) in [
        ("[1]", "envelope is an array, expected an object"),
        (
            r#"{"packet":"x"}"#,
            "packet is a string, expected an object",
        ),
        (
            r#"{"packet":{"recipient":5}}"#,
            "packet.recipient is a number, expected an object",
        ),
        ("{} {}", "more than one JSON document on one line"),
    ] {
        let place = Place::new();
        place.send("a.jsonl", &lines(&[envelope("a", "1")]));
        place.send(
            "b.jsonl",
            &format!("{}{line}\n", lines(&[envelope("b", "1")])),
        );
        place.send("c.jsonl", "5\n");
        let error = place.try_run().expect_err("stops").to_string();
        let source = place.outbox("b.jsonl");
        let wanted = format!("{}:2: {expected}; nothing was queued", source.display());
        assert!(error.starts_with(&wanted), "{error}");
        assert!(!place.bridge().queue_file.exists() && !place.bridge().state_file.exists());
        assert_eq!(place.rows(), Vec::<serde_json::Value>::new());
        assert_eq!(files_below(&place.bridge().outbox_dir), ["a.jsonl"]);
        assert_eq!(files_below(&place.claims().join("inflight")).len(), 2);

        // The next run decides about them, as about all claims left behind.
        let evaluation = place.run();
        assert_eq!(evaluation.exit_code(), 2);
        assert_eq!(place.queued(), ["a::1"]);
        assert_eq!(files_below(&place.claims().join("rejected")).len(), 2);
        assert_eq!(
            files_below(&place.claims().join("inflight")),
            Vec::<String>::new()
        );
        let code = if line == "{} {}" {
            "contract_invalid_json"
        } else {
            "contract_required_field_missing"
        };
        assert_eq!(
            place.rows_of("horizon_bridge_file")[0]["reasonCodes"],
            json!([code])
        );
    }
}

#[test]
fn folders_that_cannot_be_made_stop_the_run() {
    let place = Place::new();
    place.send("a.jsonl", &lines(&[envelope("p", "1")]));
    put(&place.claims().join("processed"), "a file");
    let error = place.try_run().expect_err("stops").to_string();
    assert!(error.starts_with("cannot create "), "{error}");
    assert!(place.outbox("a.jsonl").exists());
}
