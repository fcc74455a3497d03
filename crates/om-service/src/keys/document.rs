//! `service-idempotency.json`: key → answer, pure.

use om_control::owner::Owner;
use om_model::control::Intent;
use om_model::json::{self, Lookup, ParseError};
use om_model::service::ControlResponse;
use om_model::{Timestamp, TraceId};
use serde_json::{Map, Value};

/// Keys that are kept whatever their age.
const KEPT: usize = 1_000;

/// Seconds for which every key is kept: 7 days.
const KEPT_SECONDS: u64 = 7 * 24 * 3_600;

/// Members of a stored value that are no part of the answer.
const BOOKKEEPING: [&str; 5] = ["intent", "storedAt", "state", "owner", CONTROL_KEY];

/// The idempotency key of the control itself, by which its rows are found.
const CONTROL_KEY: &str = "controlKey";

/// `state` of a key whose execution has begun.
const IN_PROGRESS: &str = "in_progress";

/// `state` of a key with an answer.
const DONE: &str = "done";

/// Why the document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    /// Not one JSON document.
    #[error("it is not JSON: {0}")]
    NotJson(#[from] ParseError),
    /// Another type than an object; carries what it is.
    #[error("it is {0}, expected an object")]
    NotAnObject(&'static str),
}

/// The keys of one loop, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys(Map<String, Value>);

/// What is known of a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// Nothing.
    Free,
    /// Its answer.
    Done(Stored),
    /// Its execution has begun.
    Begun(Begun),
}

/// A stored answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    /// What was asked; `None` if that cannot be told any more.
    pub(crate) intent: Option<String>,
    answer: Map<String, Value>,
}

/// An execution without an answer yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Begun {
    /// What was asked.
    pub(crate) intent: Option<String>,
    /// Who executes it; `None` if that is not readable.
    pub(crate) owner: Option<Owner>,
    /// When it began.
    pub(crate) since: Timestamp,
    /// Its trace.
    pub(crate) trace_id: Option<TraceId>,
    /// The key in its rows; `None` if its rows are a script's.
    pub(crate) control_key: Option<String>,
}

impl Keys {
    /// Reads what stands in the file; `None` if there is none. An empty file
    /// is not an empty record: what it held is lost.
    pub(crate) fn parse(bytes: Option<&[u8]>) -> Result<Self, DocumentError> {
        match bytes.map(json::parse).transpose()? {
            None => Ok(Self::default()),
            Some(Value::Object(members)) => Ok(Self(members)),
            Some(other) => Err(DocumentError::NotAnObject(json::type_name(&other))),
        }
    }

    /// What is known of `key`. A value that is no object counts for nothing.
    pub(crate) fn find(&self, key: &str) -> Found {
        let Some(Value::Object(value)) = self.0.get(key) else {
            return Found::Free;
        };
        let text = |name: &str| json::non_empty_text(value.get(name));
        if text("state").as_deref() != Some(IN_PROGRESS) {
            return Found::Done(Stored::new(value));
        }
        let owner = value.get("owner").cloned();
        Found::Begun(Begun {
            intent: text("intent"),
            owner: owner.and_then(|owner| serde_json::from_value(owner).ok()),
            since: stored_at(value).unwrap_or(Timestamp::EPOCH),
            trace_id: text("traceId").and_then(TraceId::new),
            control_key: text(CONTROL_KEY),
        })
    }

    /// Marks `key` as in progress, by this process from `now` on, in a control
    /// whose rows have `control_key`.
    pub(crate) fn begin(
        &mut self,
        key: &str,
        intent: Intent,
        trace_id: &TraceId,
        control_key: Option<&str>,
        now: Timestamp,
    ) -> &mut Self {
        let mut value = Map::new();
        value.insert("traceId".into(), trace_id.as_str().into());
        book(&mut value, intent, IN_PROGRESS, now);
        value.insert("owner".into(), json::to_value(Owner::current()));
        if let Some(control_key) = control_key {
            value.insert(CONTROL_KEY.into(), control_key.into());
        }
        self.put(key, value, now)
    }

    /// Stores the answer of `key`.
    pub(crate) fn finish(
        &mut self,
        key: &str,
        intent: Intent,
        answer: &ControlResponse,
        now: Timestamp,
    ) -> &mut Self {
        let Value::Object(mut value) = json::to_value(answer) else {
            // An answer is an object.
            return self;
        };
        book(&mut value, intent, DONE, now);
        self.put(key, value, now)
    }

    /// The document as it is stored: one line without a newline.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        json::compact(&self.0).into_bytes()
    }

    fn put(&mut self, key: &str, value: Map<String, Value>, now: Timestamp) -> &mut Self {
        self.0.insert(key.to_owned(), Value::Object(value));
        self.prune(now);
        self
    }

    /// Forgets what is neither among the last [`KEPT`] nor younger than
    /// [`KEPT_SECONDS`].
    fn prune(&mut self, now: Timestamp) {
        let mut surplus = self.0.len().saturating_sub(KEPT);
        self.0.retain(|_, value| {
            let is_young = value
                .as_object()
                .and_then(stored_at)
                .is_some_and(|at| now.seconds_since(at) < KEPT_SECONDS);
            let goes = surplus > 0 && !is_young;
            // Those that came first are the first to go; the last ones are
            // out of reach, however many young ones there are.
            surplus = surplus.saturating_sub(1);
            !goes
        });
    }
}

fn book(value: &mut Map<String, Value>, intent: Intent, state: &str, now: Timestamp) {
    value.insert("intent".into(), intent.as_str().into());
    value.insert("storedAt".into(), json::to_value(&now));
    value.insert("state".into(), state.into());
}

/// When a value was stored; those of other versions say when its control
/// ended.
fn stored_at(value: &Map<String, Value>) -> Option<Timestamp> {
    let own = value.get("storedAt");
    let row = value.get("result").and_then(|row| row.get("timestamp"));
    let text = json::first_present([own, row])?.as_str()?;
    Timestamp::parse(text)
}

impl Stored {
    fn new(value: &Map<String, Value>) -> Self {
        let row = |name| value.get("result").and_then(|row| row.get(name));
        let intent = json::first_present([value.get("intent"), row("intent")]);
        let mut answer = value.clone();
        for name in BOOKKEEPING {
            answer.shift_remove(name);
        }
        Self {
            intent: intent.map(json::text),
            answer,
        }
    }

    /// The answer as it is repeated, for a request with `trace_id`.
    pub(crate) fn replayed(mut self, trace_id: Option<&TraceId>) -> Value {
        self.answer.insert("replayed".into(), Value::Bool(true));
        let known = Lookup::new(&Value::Object(self.answer.clone()))
            .get("traceId")
            .is_ok_and(|id| id.is_some());
        if let Some(trace_id) = trace_id.filter(|_| !known) {
            self.answer
                .insert("traceId".into(), trace_id.as_str().into());
        }
        Value::Object(self.answer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 2_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_epoch_seconds(seconds)
    }

    fn trace(text: &str) -> TraceId {
        TraceId::new(text).expect("not empty")
    }

    fn answer() -> ControlResponse {
        ControlResponse {
            ok: false,
            exit_code: 2,
            result: Some(json!({"status": "ambiguous"})),
            stderr: None,
            replayed: false,
            trace_id: Some(trace("t")),
        }
    }

    fn keys(document: &Value) -> Keys {
        Keys::parse(Some(document.to_string().as_bytes())).expect("is read")
    }

    #[test]
    fn what_is_no_record_of_keys() {
        for (bytes, message) in [
            (&b""[..], "it is not JSON: it is empty"),
            (b"[]", "it is an array, expected an object"),
            (b"null", "it is null, expected an object"),
            (
                b"{} {}",
                "it is not JSON: more than one JSON document (line 1 column 4)",
            ),
        ] {
            let error = Keys::parse(Some(bytes)).expect_err("is refused");
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(Keys::parse(None), Ok(Keys::default()));
    }

    #[test]
    fn a_key_is_free_then_in_progress_then_done() {
        let mut keys = Keys::default();
        assert_eq!(keys.find("k"), Found::Free);
        keys.begin("k", Intent::Cancel, &trace("t"), Some("c-1"), at(NOW));
        let begun = Begun {
            intent: Some("cancel".into()),
            owner: Some(Owner::current().clone()),
            since: at(NOW),
            trace_id: Some(trace("t")),
            control_key: Some("c-1".into()),
        };
        assert_eq!(keys.find("k"), Found::Begun(begun));
        keys.finish("k", Intent::Cancel, &answer(), at(NOW + 1));
        let Found::Done(stored) = keys.find("k") else {
            panic!("it is done: {keys:?}")
        };
        assert_eq!(stored.intent.as_deref(), Some("cancel"));
        assert_eq!(
            stored.replayed(Some(&trace("other"))),
            json!({"ok": false, "exitCode": 2, "result": {"status": "ambiguous"},
                   "replayed": true, "traceId": "t"})
        );
    }

    #[test]
    fn the_document_is_one_line_that_reads_back() {
        let mut keys = Keys::default();
        keys.finish("k\n", Intent::Reject, &answer(), at(NOW));
        let bytes = keys.to_bytes();
        assert!(!bytes.contains(&b'\n'));
        assert_eq!(Keys::parse(Some(&bytes)), Ok(keys));
    }

    #[test]
    fn values_of_the_scripts_are_answers() {
        let keys = keys(&json!({
            "k": {"ok": true, "exitCode": 0, "replayed": false,
                  "result": {"intent": "approve", "timestamp": "2031-04-02T10:02:31Z"}},
            "odd": "text",
        }));
        let Found::Done(stored) = keys.find("k") else {
            panic!("it is done")
        };
        assert_eq!(stored.intent.as_deref(), Some("approve"));
        let replayed = stored.replayed(Some(&trace("mine")));
        assert_eq!(replayed["traceId"], "mine");
        assert_eq!(keys.find("odd"), Found::Free);
    }

    #[test]
    fn an_in_progress_that_cannot_be_read_whole_is_still_in_progress() {
        let keys = keys(&json!({"k": {"state": "in_progress", "owner": 7}}));
        let Found::Begun(begun) = keys.find("k") else {
            panic!("it has begun")
        };
        assert_eq!((begun.owner, begun.since), (None, Timestamp::EPOCH));
    }

    #[test]
    fn the_last_thousand_and_the_young_are_kept() {
        let week = 7 * 24 * 3_600;
        let mut keys = Keys::default();
        for number in 0..1_200 {
            // The first 600 are old, and three of them are young after all.
            let is_old = number < 600 && number % 200 != 7;
            let when = if is_old { NOW - week } else { NOW - week + 1 };
            let value = json!({"storedAt": at(when).to_string()});
            keys.0.insert(format!("k{number}"), value);
        }
        keys.finish("new", Intent::Cancel, &answer(), at(NOW));
        // 201 too many: of the first 201, only k7 and k207's like are young.
        assert_eq!(keys.0.len(), 1_001);
        assert_ne!(keys.find("k7"), Found::Free);
        assert_eq!(keys.find("k200"), Found::Free);
        assert_ne!(keys.find("k201"), Found::Free);
        assert_ne!(keys.find("new"), Found::Free);
    }
}
