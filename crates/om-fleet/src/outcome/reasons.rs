//! Why a pass failed, by what it printed (chapter 05 §2.4 row 5, step 3).

use om_model::json::Lookup;
use serde_json::Value;

use super::RECONCILE_FAILED;

const TRANSPORT_UNREACHABLE: &str = "transport_unreachable";
const INVALID_TRANSPORT_PAYLOAD: &str = "invalid_transport_payload";
const MISSING_RUNTIME_ARTIFACTS: &str = "missing_runtime_artifacts";

/// Health reasons that are reasons of the failure, the first one wins.
const BY_HEALTH_REASON: [&str; 4] = [
    TRANSPORT_UNREACHABLE,
    INVALID_TRANSPORT_PAYLOAD,
    "projection_failed",
    RECONCILE_FAILED,
];

/// Failure codes of the transport that have another name as a reason.
const BY_FAILURE_CODE: [(&str, &str); 4] = [
    ("snapshot_unavailable", TRANSPORT_UNREACHABLE),
    ("events_unavailable", TRANSPORT_UNREACHABLE),
    ("service_request_failed", TRANSPORT_UNREACHABLE),
    ("service_response_invalid", INVALID_TRANSPORT_PAYLOAD),
];

/// Words in what was printed, in lower case; the first row wins.
const BY_WORDS: [(&[&str], &str); 3] = [
    (
        &["missing required artifact", "events artifact"],
        MISSING_RUNTIME_ARTIFACTS,
    ),
    (
        &[
            "service request failed",
            TRANSPORT_UNREACHABLE,
            "connection refused",
        ],
        TRANSPORT_UNREACHABLE,
    ),
    (&["invalid payload"], INVALID_TRANSPORT_PAYLOAD),
];

/// The reason: from the document if it gives one, else from the text.
pub(super) fn of(document: Option<&Value>, text: &[u8]) -> String {
    let stated = document.and_then(|document| {
        from_health_reasons(document)
            .map(str::to_owned)
            .or_else(|| from_failure_code(document))
    });
    stated.unwrap_or_else(|| from_words(text).to_owned())
}

fn from_health_reasons(document: &Value) -> Option<&'static str> {
    let codes = document.get("reasonCodes")?.as_array()?;
    let named = |code: &&str| codes.iter().any(|found| found == *code);
    BY_HEALTH_REASON.iter().find(|code| named(code)).copied()
}

fn from_failure_code(document: &Value) -> Option<String> {
    let found = Lookup::new(document).get("transport.failureCode").ok()??;
    let code = found.as_str().filter(|code| !code.is_empty())?;
    let renamed = BY_FAILURE_CODE.iter().find(|(name, _)| *name == code);
    Some(renamed.map_or(code, |(_, reason)| reason).to_owned())
}

fn from_words(text: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let said = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_invalid_json = || {
        let rest = text.find("invalid").map(|at| &text[at + "invalid".len()..]);
        rest.is_some_and(|rest| rest.contains("json"))
    };
    match BY_WORDS.iter().find(|(words, _)| said(words)) {
        Some((_, reason)) => reason,
        None if is_invalid_json() => INVALID_TRANSPORT_PAYLOAD,
        None => RECONCILE_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_document_gives_the_reason_first() {
        for (document, reason) in [
            (
                json!({"reasonCodes": ["reconcile_failed", "transport_unreachable"]}),
                "transport_unreachable",
            ),
            (
                json!({"reasonCodes": ["projection_failed", "invalid_transport_payload"]}),
                "invalid_transport_payload",
            ),
            (
                json!({"reasonCodes": ["reconcile_failed", "projection_failed"]}),
                "projection_failed",
            ),
            (
                json!({"reasonCodes": ["reconcile_failed"], "transport": {"failureCode": "x"}}),
                "reconcile_failed",
            ),
            (
                json!({"reasonCodes": ["ingest_stale"], "transport": {"failureCode": "snapshot_unavailable"}}),
                "transport_unreachable",
            ),
            (
                json!({"transport": {"failureCode": "events_unavailable"}}),
                "transport_unreachable",
            ),
            (
                json!({"transport": {"failureCode": "service_request_failed"}}),
                "transport_unreachable",
            ),
            (
                json!({"transport": {"failureCode": "service_response_invalid"}}),
                "invalid_transport_payload",
            ),
            (
                json!({"transport": {"failureCode": "disk_full"}}),
                "disk_full",
            ),
            (
                json!({"transport": {"failureCode": ""}}),
                "reconcile_failed",
            ),
            (json!({"transport": "broken"}), "reconcile_failed"),
            (json!(["transport_unreachable"]), "reconcile_failed"),
        ] {
            assert_eq!(of(Some(&document), b""), reason, "{document}");
        }
    }

    #[test]
    fn otherwise_the_words_do() {
        for (text, reason) in [
            (
                "error: Missing required artifact: x",
                "missing_runtime_artifacts",
            ),
            ("no EVENTS ARTIFACT here", "missing_runtime_artifacts"),
            ("service request failed (500)", "transport_unreachable"),
            ("TRANSPORT_UNREACHABLE", "transport_unreachable"),
            (
                "curl: (7) Connection refused; invalid json",
                "transport_unreachable",
            ),
            ("invalid\n… much later: JSON", "invalid_transport_payload"),
            ("json is invalid", "reconcile_failed"),
            ("Invalid payload", "invalid_transport_payload"),
            ("invalid", "reconcile_failed"),
            ("", "reconcile_failed"),
        ] {
            assert_eq!(of(None, text.as_bytes()), reason, "{text:?}");
        }
    }

    #[test]
    fn words_count_when_a_document_gives_no_reason() {
        let text = br#"{"note": "connection refused"}"#;
        let document = json!({"note": "connection refused"});
        assert_eq!(of(Some(&document), text), "transport_unreachable");
    }
}
