//! The contract of the two observation envelopes (chapter 01 §7).
//!
//! Structure, descriptions and required members come from the types. The
//! contract promises more about some values than the types do, which pass
//! through whatever the runtime wrote; those promises are [`RULES`].

use om_model::envelope::{EventEnvelope, RunStatus, SnapshotEnvelope};
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::shape;

/// Type → name of its definition in the contract.
const DEFINITIONS: [(&str, &str); 13] = [
    ("SnapshotEnvelope", "loopRunSnapshotEnvelope"),
    ("EventEnvelope", "loopRunEventEnvelope"),
    ("Source", "source"),
    ("Sequence", "sequence"),
    ("ArtifactRef", "artifactRef"),
    ("ArtifactRefs", "artifacts"),
    ("LineCursor", "cursor"),
    ("RunStatus", "runStatus"),
    ("SnapshotRun", "snapshotRun"),
    ("RuntimeDocuments", "runtime"),
    ("SnapshotHealth", "health"),
    ("EventRun", "run"),
    ("EventBody", "event"),
];

/// What the contract promises about one value.
#[derive(Clone, Copy)]
enum Rule {
    /// Exactly this text.
    Const(&'static str),
    /// Text with at least one character.
    NonEmpty,
    /// Text or `null`.
    TextOrNull,
    /// RFC 3339.
    DateTime,
    /// Integer, 0 or more.
    Count,
    /// Any object.
    Object,
    /// Any object, or `null`.
    ObjectOrNull,
    /// A definition, or `null`.
    DefinitionOrNull(&'static str),
}

/// Definition, member, promise.
const RULES: [(&str, &str, Rule); 27] = [
    (
        "loopRunSnapshotEnvelope",
        "schemaVersion",
        Rule::Const("v1"),
    ),
    (
        "loopRunSnapshotEnvelope",
        "envelopeType",
        Rule::Const("loop_run_snapshot"),
    ),
    ("loopRunSnapshotEnvelope", "emittedAt", Rule::DateTime),
    ("loopRunSnapshotEnvelope", "traceId", Rule::TextOrNull),
    ("loopRunEventEnvelope", "schemaVersion", Rule::Const("v1")),
    (
        "loopRunEventEnvelope",
        "envelopeType",
        Rule::Const("loop_run_event"),
    ),
    ("loopRunEventEnvelope", "emittedAt", Rule::DateTime),
    ("loopRunEventEnvelope", "traceId", Rule::TextOrNull),
    ("source", "repoPath", Rule::NonEmpty),
    ("source", "loopId", Rule::NonEmpty),
    ("sequence", "source", Rule::NonEmpty),
    ("artifactRef", "path", Rule::NonEmpty),
    ("snapshotRun", "runId", Rule::NonEmpty),
    ("snapshotRun", "iteration", Rule::Count),
    ("snapshotRun", "summary", Rule::ObjectOrNull),
    ("runtime", "superloopState", Rule::ObjectOrNull),
    ("runtime", "activeRun", Rule::ObjectOrNull),
    ("runtime", "approval", Rule::ObjectOrNull),
    ("runtime", "heartbeat", Rule::ObjectOrNull),
    ("health", "gates", Rule::DefinitionOrNull("gates")),
    ("health", "stuck", Rule::DefinitionOrNull("stuck")),
    ("run", "runId", Rule::NonEmpty),
    ("run", "iteration", Rule::Count),
    ("event", "timestamp", Rule::NonEmpty),
    ("event", "name", Rule::NonEmpty),
    ("event", "payload", Rule::ObjectOrNull),
    ("event", "raw", Rule::Object),
];

/// Members that envelopes of older writers lack: definition, member.
const OPTIONAL: [(&str, &str); 4] = [
    ("loopRunSnapshotEnvelope", "traceId"),
    ("loopRunEventEnvelope", "traceId"),
    ("runtime", "heartbeat"),
    ("artifacts", "heartbeat"),
];

/// The gates of a summary entry; the runtime added `lifecycle` later.
const GATES: [&str; 6] = [
    "tests",
    "validation",
    "prerequisites",
    "checklist",
    "evidence",
    "approval",
];

/// The whole contract.
pub(super) fn schema() -> Value {
    let mut definitions = definitions();
    for (definition, member, rule) in RULES {
        promise(&mut definitions, definition, member, rule);
    }
    for (definition, member) in OPTIONAL {
        if let Some(Value::Array(required)) = definitions[definition].get_mut("required") {
            required.retain(|name| name != member);
        }
    }
    let mut definitions = Value::Object(definitions);
    shape::tidy(&mut definitions);
    shape::close_objects(&mut definitions);
    json!({
        "$schema": shape::DRAFT,
        "$id": "https://superloop.sh/schemas/ops-manager-contract-v1.json",
        "title": "OpsManagerContractV1",
        "description": "What the ops manager observes of a loop: a snapshot of it, and the records of its event log.",
        "oneOf": [
            { "$ref": "#/$defs/loopRunSnapshotEnvelope" },
            { "$ref": "#/$defs/loopRunEventEnvelope" },
        ],
        "$defs": definitions,
    })
}

/// The definitions under the contract's names, as the types have them.
fn definitions() -> Map<String, Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.contract = Contract::Serialize);
    let mut generator = settings.into_generator();
    generator.subschema_for::<SnapshotEnvelope>();
    generator.subschema_for::<EventEnvelope>();
    let mut generated = generator.take_definitions(true);
    let mut definitions = Map::new();
    for (from, to) in DEFINITIONS {
        if let Some(mut schema) = generated.remove(from) {
            rename_references(&mut schema);
            definitions.insert(to.to_owned(), schema);
        }
    }
    let count = Rule::Count.schema();
    let gates = GATES.iter().copied().chain(["lifecycle"]);
    let text = |gate: &str| (gate.to_owned(), json!({ "type": "string" }));
    definitions["runStatus"] = json!({
        "description": definitions["runStatus"]["description"],
        "enum": RunStatus::ALL.map(RunStatus::as_str),
    });
    definitions.insert(
        "gates".to_owned(),
        json!({
            "description": "Outcome of each gate; older runtimes do not write `lifecycle`.",
            "type": "object",
            "properties": gates.map(text).collect::<Map<_, _>>(),
            "required": GATES,
        }),
    );
    definitions.insert(
        "stuck".to_owned(),
        json!({
            "description": "Iterations without progress, and how many are too many.",
            "type": "object",
            "properties": { "streak": count, "threshold": count },
            "required": ["streak", "threshold"],
        }),
    );
    definitions
}

fn rename_references(schema: &mut Value) {
    shape::visit(schema, &mut |members| {
        if let Some(Value::String(reference)) = members.get_mut("$ref") {
            let name = reference.trim_start_matches("#/$defs/");
            if let Some((_, to)) = DEFINITIONS.iter().find(|(from, _)| *from == name) {
                *reference = format!("#/$defs/{to}");
            }
        }
    });
}

/// Replaces what the type says about a member, but not its description.
fn promise(definitions: &mut Map<String, Value>, definition: &str, member: &str, rule: Rule) {
    let property = &mut definitions[definition]["properties"][member];
    let mut promised = rule.schema();
    promised["description"] = property["description"].take();
    *property = promised;
}

impl Rule {
    fn schema(self) -> Value {
        match self {
            Self::Const(text) => json!({ "const": text }),
            Self::NonEmpty => json!({ "type": "string", "minLength": 1 }),
            Self::TextOrNull => json!({ "type": ["string", "null"] }),
            Self::DateTime => json!({ "type": "string", "format": "date-time" }),
            Self::Count => json!({ "type": "integer", "minimum": 0 }),
            Self::Object => json!({ "type": "object", "additionalProperties": true }),
            Self::ObjectOrNull => {
                json!({ "type": ["object", "null"], "additionalProperties": true })
            }
            Self::DefinitionOrNull(name) => {
                let reference = format!("#/$defs/{name}");
                json!({ "oneOf": [{ "$ref": reference }, { "type": "null" }] })
            }
        }
    }
}
