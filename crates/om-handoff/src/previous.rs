//! The previous handoff state: what was executed, and what is guarded
//! (chapter 06 §2.4.2, decisions D16 and D17).

use std::collections::BTreeMap;

use om_model::Timestamp;
use om_model::fleet::handoff::{
    EvaluationIdentity, ExecutionMode, IntentExecution, IntentStatus, RetryGuard,
};
use om_model::json::{self, Lookup};
use serde::Deserialize;
use serde_json::Value;

use crate::members::{Members, quickly};

/// What a handoff needs of the state before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Previous {
    /// The last execution, as it stands.
    pub execution: Option<Value>,
    /// Guarded intents, by intent.
    pub guard: BTreeMap<String, RetryGuard>,
    /// Executed intents, by intent.
    pub executed: BTreeMap<String, Option<IntentExecution>>,
    /// Intents executed in the evaluation that is planned now, by intent, as
    /// the dispatch journal knows them: whatever became of the state.
    pub done: BTreeMap<String, IntentExecution>,
    /// Idempotency keys that were used, by intent.
    pub keys: BTreeMap<String, String>,
    /// Which evaluation that is about.
    pub evaluation: Option<EvaluationIdentity>,
    /// `policyTraceId`.
    pub policy_trace_id: Option<String>,
    /// `generatedAt`.
    pub generated_at: Option<Timestamp>,
}

/// The members that are read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    execution: Option<Value>,
    evaluation: Option<Value>,
    policy_trace_id: Option<Value>,
    generated_at: Option<Value>,
    updated_at: Option<Value>,
    retry_guard: Option<Vec<Value>>,
    intents: Option<Vec<Option<Members<Intent>>>>,
}

/// What the state has of an intent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Intent {
    #[serde(rename = "intentId")]
    id: Option<Value>,
    candidate_id: Option<Value>,
    loop_id: Option<Value>,
    status: Option<Value>,
    policy_trace_id: Option<Value>,
    execution: Option<Value>,
}

/// Why a previous state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreviousError {
    /// It is not one JSON document.
    #[error(transparent)]
    Malformed(#[from] json::ParseError),
    /// A member has a type that cannot be used.
    #[error(transparent)]
    WrongType(#[from] json::WrongType),
    /// A guard is not one: nobody may lose it by an edit that went wrong.
    #[error("retryGuard[{index}]: {cause}")]
    Guard {
        /// Its place.
        index: usize,
        /// What is wrong with it.
        cause: String,
    },
}

impl Previous {
    /// Reads a state, by this system or another one; `null` is the empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, PreviousError> {
        match quickly::<Document>(bytes) {
            Some(document) => document.previous(),
            None => Self::read(&json::parse(bytes)?),
        }
    }

    /// [`Self::parse`] of a document that is a value already.
    pub fn read(document: &Value) -> Result<Self, PreviousError> {
        json::root_object(document)?;
        let lookup = Lookup::new(document);
        let member = |name| Ok::<_, json::WrongType>(lookup.get(name)?.cloned());
        let intents = list(lookup, "intents")?.unwrap_or_default().iter();
        let document = Document {
            execution: member("execution")?,
            evaluation: member("evaluation")?,
            policy_trace_id: member("policyTraceId")?,
            generated_at: member("generatedAt")?,
            updated_at: member("updatedAt")?,
            retry_guard: list(lookup, "retryGuard")?.map(<[Value]>::to_vec),
            intents: Some(intents.map(Intent::read).collect()),
        };
        document.previous()
    }

    /// Takes in an intent; the last one of an id counts.
    fn take(&mut self, id: &str, intent: &Intent) {
        if let Some(key) = intent.of_execution("idempotencyKey") {
            self.keys.insert(id.to_owned(), json::text(key));
        }
        if intent.status() == Some(IntentStatus::Executed) {
            let execution = intent.execution.as_ref();
            let execution = execution.and_then(|value| IntentExecution::deserialize(value).ok());
            self.executed.insert(id.to_owned(), execution);
        } else {
            self.executed.remove(id);
        }
    }

    /// Guards an intent by its status, since `at` unless it says better.
    fn seed(&mut self, id: &str, intent: &Intent, at: Timestamp) {
        self.guard.remove(id);
        let guard = intent.seeded_guard(id, at);
        self.guard.extend(guard.map(|guard| (id.to_owned(), guard)));
    }

    /// Whether this state is about the evaluation `current`, made at
    /// `evaluated_at`.
    ///
    /// A state that does not name its evaluation is about it if it was planned
    /// from the same trace, and not before it.
    pub fn is_of(&self, current: &EvaluationIdentity, evaluated_at: Option<Timestamp>) -> bool {
        if let Some(evaluation) = &self.evaluation {
            return evaluation == current;
        }
        let same_trace = current.trace_id.is_some() && current.trace_id == self.policy_trace_id;
        let times = evaluated_at.zip(self.generated_at);
        same_trace && times.is_some_and(|(evaluated, planned)| planned >= evaluated)
    }
}

impl Document {
    fn previous(self) -> Result<Previous, PreviousError> {
        let evaluation = self.evaluation.as_ref();
        let mut previous = Previous {
            evaluation: evaluation.and_then(|value| EvaluationIdentity::deserialize(value).ok()),
            policy_trace_id: text(self.policy_trace_id.as_ref()),
            generated_at: time(self.generated_at.as_ref()),
            ..Previous::default()
        };
        // Without this member the statuses say what is guarded.
        let seeded = self.retry_guard.is_none();
        let seeded_at = time(self.updated_at.as_ref()).unwrap_or(Timestamp::EPOCH);
        for Members(intent) in self.intents.into_iter().flatten().flatten() {
            let Some(Value::String(id)) = &intent.id else {
                continue;
            };
            previous.take(id, &intent);
            if seeded {
                previous.seed(id, &intent, seeded_at);
            }
        }
        for (index, value) in self.retry_guard.iter().flatten().enumerate() {
            let guard = RetryGuard::deserialize(value).map_err(|error| PreviousError::Guard {
                index,
                cause: error.to_string(),
            })?;
            previous.guard.insert(guard.intent_id.clone(), guard);
        }
        previous.execution = self.execution.filter(|value| *value != Value::Bool(false));
        if let Some(execution) = &mut previous.execution {
            json::normalize(execution);
        }
        Ok(previous)
    }
}

impl Intent {
    /// The members of a value; `None` if it is no object.
    fn read(value: &Value) -> Option<Members<Self>> {
        let members = value.as_object()?;
        let member = |name| members.get(name).cloned();
        Some(Members(Self {
            id: member("intentId"),
            candidate_id: member("candidateId"),
            loop_id: member("loopId"),
            status: member("status"),
            policy_trace_id: member("policyTraceId"),
            execution: member("execution"),
        }))
    }

    fn of_execution(&self, name: &str) -> Option<&Value> {
        json::present(self.execution.as_ref()?.get(name))
    }

    fn status(&self) -> Option<IntentStatus> {
        IntentStatus::deserialize(self.status.as_ref()?).ok()
    }

    fn seeded_guard(&self, id: &str, at: Timestamp) -> Option<RetryGuard> {
        let reason_code = self.status()?.guard()?;
        let executed_at = time(self.of_execution("executedAt"));
        let mode = self.of_execution("mode");
        let before = |text: &str| {
            let (before, _) = text.rsplit_once(':').unwrap_or((text, ""));
            before.to_owned()
        };
        let candidate_id = text(self.candidate_id.as_ref()).unwrap_or_else(|| before(id));
        let loop_id = text(self.loop_id.as_ref()).unwrap_or_else(|| before(&candidate_id));
        Some(RetryGuard {
            intent_id: id.to_owned(),
            candidate_id,
            loop_id,
            reason_code,
            since: executed_at.unwrap_or(at),
            last_executed_at: executed_at,
            execution_mode: mode.and_then(|mode| ExecutionMode::deserialize(mode).ok()),
            policy_trace_id: text(self.policy_trace_id.as_ref()),
        })
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    json::present(value).map(json::text)
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    Timestamp::parse(&text(value)?)
}

/// The items of an array; `None` if it is not there.
fn list<'a>(lookup: Lookup<'a>, member: &str) -> Result<Option<&'a [Value]>, json::WrongType> {
    match lookup.get(member)? {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(json::WrongType {
            member: member.to_owned(),
            found: json::type_name(other),
            expected: "an array",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use om_model::fleet::policy::AutonomyReason;
    use serde_json::json;

    fn previous(document: &Value) -> Previous {
        let previous = Previous::read(document);
        let parsed = Previous::parse(document.to_string().as_bytes());
        assert_eq!(parsed, previous, "both ways lead to one state");
        previous.expect("is readable")
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    #[test]
    fn an_empty_state_guards_nothing() {
        for document in [json!(null), json!({}), json!({"intents": [null, 1, {}]})] {
            assert_eq!(previous(&document), Previous::default(), "{document}");
        }
    }

    #[test]
    fn a_state_without_guards_is_seeded_from_the_statuses() {
        let state = json!({"updatedAt": "2031-05-06T07:10:31Z", "intents": [
            {"intentId": "a:health_critical:cancel", "status": "execution_ambiguous"},
            {"intentId": "b:x:cancel", "status": "execution_failed", "candidateId": "cb",
             "loopId": "lb", "policyTraceId": "p",
             "execution": {"executedAt": "2031-05-06T07:10:30Z", "mode": "manual"}},
            {"intentId": "c:x:cancel", "status": "executed"},
            {"intentId": "d:x:cancel", "status": "pending_operator_confirmation"},
            {"intentId": "e:x:cancel", "status": "execution_failed"},
            {"intentId": "e:x:cancel", "status": "something_new"},
        ]});
        let guard = previous(&state).guard;
        assert_eq!(
            guard.keys().collect::<Vec<_>>(),
            ["a:health_critical:cancel", "b:x:cancel"],
            "the last one of an id counts"
        );
        let ambiguous = RetryGuard {
            intent_id: "a:health_critical:cancel".to_owned(),
            candidate_id: "a:health_critical".to_owned(),
            loop_id: "a".to_owned(),
            reason_code: AutonomyReason::RetryGuardAmbiguous,
            since: at("2031-05-06T07:10:31Z"),
            last_executed_at: None,
            execution_mode: None,
            policy_trace_id: None,
        };
        assert_eq!(guard["a:health_critical:cancel"], ambiguous);
        let failed = RetryGuard {
            intent_id: "b:x:cancel".to_owned(),
            candidate_id: "cb".to_owned(),
            loop_id: "lb".to_owned(),
            reason_code: AutonomyReason::RetryGuardFailed,
            since: at("2031-05-06T07:10:30Z"),
            last_executed_at: Some(at("2031-05-06T07:10:30Z")),
            execution_mode: Some(ExecutionMode::Manual),
            policy_trace_id: Some("p".to_owned()),
        };
        assert_eq!(guard["b:x:cancel"], failed);
    }

    #[test]
    fn a_state_with_guards_is_taken_at_its_word() {
        let guard = json!({
            "intentId": "b:x:cancel", "candidateId": "b:x", "loopId": "b",
            "reasonCode": "autonomous_retry_guard_failed", "since": "2031-05-06T07:10:31Z",
            "lastExecutedAt": null, "executionMode": null, "policyTraceId": null,
        });
        let intents = json!([{"intentId": "a:x:cancel", "status": "execution_failed"}]);
        let state = json!({"intents": intents, "retryGuard": [guard]});
        let keys: Vec<_> = previous(&state).guard.into_keys().collect();
        assert_eq!(keys, ["b:x:cancel"]);
        let none = previous(&json!({"intents": intents, "retryGuard": []}));
        assert!(none.guard.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_not_forgotten() {
        for (document, message) in [
            (json!("x"), "document is a string, expected an object"),
            (
                json!({"intents": 1}),
                "intents is a number, expected an array",
            ),
            (
                json!({"retryGuard": [{"intentId": "a"}]}),
                "retryGuard[0]: missing field `candidateId`",
            ),
        ] {
            let error = Previous::read(&document).expect_err("is refused");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn an_evaluation_is_recognised() {
        let identity = |trace: &str, updated: &str| EvaluationIdentity {
            trace_id: Some(trace.to_owned()),
            updated_at: Some(updated.to_owned()),
            sha256: None,
        };
        let (early, late) = ("2031-05-06T07:00:00Z", "2031-05-06T08:00:00Z");
        let own = json!({"evaluation": {"traceId": "t", "updatedAt": early}});
        let foreign = json!({"policyTraceId": "t", "generatedAt": early});
        for (state, current, same) in [
            (&own, identity("t", early), true),
            (&own, identity("t", late), false),
            (&own, identity("u", early), false),
            (&foreign, identity("t", early), true),
            (&foreign, identity("t", late), false),
            (&foreign, identity("u", early), false),
            (&json!({}), EvaluationIdentity::default(), false),
        ] {
            let evaluated = current.updated_at.as_deref().and_then(Timestamp::parse);
            assert_eq!(previous(state).is_of(&current, evaluated), same, "{state}");
        }
    }
}
