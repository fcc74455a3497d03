//! The sink configuration under the contract's own name and definitions
//! (chapter 04 §1.1).
//!
//! Members and descriptions come from the types of om-model. The contract
//! arranges them in other definitions than the types do, and promises more
//! about some values: [`PARTS`] and [`RULES`].

use om_model::alerts::{Severity, SinkType, SinksConfig};
use serde_json::{Map, Value, json};

use super::{Reader, shape};

/// Its name in `schemas/`.
pub(super) const FILE: &str = "ops-manager-alert-sinks.config.schema.json";

/// Type of a sink → the definition of what such a sink needs.
const PARTS: [(SinkType, &str); 3] = [
    (SinkType::Webhook, "sinkWebhook"),
    (SinkType::Slack, "sinkSlack"),
    (SinkType::PagerdutyEvents, "sinkPagerDuty"),
];

/// What the contract promises about one value.
#[derive(Clone, Copy)]
enum Rule {
    /// A definition.
    Definition(&'static str),
    /// Texts with at least one character each.
    NonEmptyTexts,
    /// Whole seconds, 1 to 120.
    Seconds,
}

/// Definition, member, promise.
const RULES: [(&str, &str, Rule); 7] = [
    ("sinkCommon", "timeoutSeconds", Rule::Seconds),
    ("sinkWebhook", "urlEnv", Rule::Definition("envVarName")),
    (
        "sinkWebhook",
        "authTokenEnv",
        Rule::Definition("envVarName"),
    ),
    ("sinkSlack", "webhookUrlEnv", Rule::Definition("envVarName")),
    (
        "sinkPagerDuty",
        "routingKeyEnv",
        Rule::Definition("envVarName"),
    ),
    ("routing", "defaultSinks", Rule::NonEmptyTexts),
    ("route", "sinks", Rule::NonEmptyTexts),
];

/// The whole schema. Strict, but for members of sinks that are not known: the
/// resolver ignores those.
pub(super) fn schema() -> Value {
    let mut types = Reader::schema::<SinksConfig>();
    shape::omit_rather_than_null(&mut types);
    let mut definitions = definitions(&types["$defs"]);
    for (definition, member, rule) in RULES {
        promise(&mut definitions, definition, member, rule);
    }
    let routing = definitions.remove("routing");
    for part in PARTS.map(|(_, name)| name) {
        let common = json!({ "$ref": "#/$defs/sinkCommon" });
        let own = definitions[part].take();
        definitions[part] =
            json!({ "description": own["description"], "allOf": [common, without_text(own)] });
    }
    let members = &types["properties"];
    let mut schema = json!({
        "$schema": shape::DRAFT,
        "$id": "https://superloop.sh/schemas/ops-manager-alert-sinks-config-v1.json",
        "title": "OpsManagerAlertSinksConfigV1",
        "description": types["description"],
        "type": "object",
        "properties": {
            "schemaVersion": described(members, "schemaVersion", json!({ "const": "v1" })),
            "defaultMinSeverity": members["defaultMinSeverity"],
            "sinks": members["sinks"],
            "routing": routing,
        },
        "required": ["schemaVersion", "defaultMinSeverity", "sinks", "routing"],
        "additionalProperties": false,
        "$defs": definitions,
    });
    rename_references(&mut schema);
    shape::tidy(&mut schema);
    schema
}

/// The contract's definitions, and `routing`, which it has in its place.
fn definitions(types: &Value) -> Map<String, Value> {
    let sink = &types["SinkDefinition"];
    let mut common = sink.clone();
    if let Some(members) = common.as_object_mut() {
        members.remove("oneOf");
    }
    common["properties"]["type"] = json!({
        "description": "What it is; decides what else it needs.",
        "enum": SinkType::ALL.map(SinkType::as_str),
    });
    common["required"] = json!(["enabled", "type"]);
    common["description"] = "What every sink has.".into();
    let severities = json!({ "enum": Severity::ALL.map(Severity::as_str) });
    let one_of = PARTS.map(|(_, name)| json!({ "$ref": format!("#/$defs/{name}") }));
    let mut definitions = Map::new();
    let mut define = |name: &str, schema: Value| definitions.insert(name.to_owned(), schema);
    define("severity", described(types, "Severity", severities));
    define(
        "envVarName",
        json!({
            "description": "The name of an environment variable, literally.",
            "type": "string",
            "pattern": "^[A-Z_][A-Z0-9_]*$",
        }),
    );
    define("sinkCommon", common);
    for (kind, name) in PARTS {
        let mut variants = sink["oneOf"].as_array().into_iter().flatten();
        let own = variants.find(|part| part["properties"]["type"]["const"] == kind.as_str());
        define(name, own.cloned().unwrap_or_default());
    }
    define(
        "sink",
        described(types, "SinkDefinition", json!({ "oneOf": one_of })),
    );
    define("route", closed(&types["RouteDefinition"]));
    let mut routing = closed(&types["RoutingDefinition"]);
    if let Some(routes) = routing["properties"]["routes"].as_object_mut() {
        routes.remove("default");
    }
    routing["required"] = json!(["defaultSinks", "categorySeverity", "routes"]);
    define("routing", routing);
    definitions
}

/// `schema` with the description that `types` has for `name`.
fn described(types: &Value, name: &str, mut schema: Value) -> Value {
    schema["description"] = types[name]["description"].clone();
    schema
}

fn without_text(mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("description");
    }
    schema
}

fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    schema["additionalProperties"] = json!(false);
    schema
}

/// Replaces what the type says about a member, but not its description.
fn promise(definitions: &mut Map<String, Value>, definition: &str, member: &str, rule: Rule) {
    let members = &mut definitions[definition]["properties"];
    let promised = described(members, member, rule.schema());
    members[member] = promised;
}

impl Rule {
    fn schema(self) -> Value {
        match self {
            Self::Definition(name) => json!({ "$ref": format!("#/$defs/{name}") }),
            Self::NonEmptyTexts => {
                json!({ "type": "array", "items": { "type": "string", "minLength": 1 } })
            }
            Self::Seconds => json!({ "type": "integer", "minimum": 1, "maximum": 120 }),
        }
    }
}

/// From the names of the types to those of the contract.
fn rename_references(schema: &mut Value) {
    let names = [
        ("Severity", "severity"),
        ("SinkDefinition", "sink"),
        ("RouteDefinition", "route"),
    ];
    shape::visit(schema, &mut |members| {
        let Some(Value::String(reference)) = members.get_mut("$ref") else {
            return;
        };
        let found = names
            .iter()
            .find(|(from, _)| reference.ends_with(&format!("/{from}")));
        if let Some((_, to)) = found {
            *reference = format!("#/$defs/{to}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::violations;

    /// The smallest configuration of each type of sink, and one route.
    fn config() -> Value {
        json!({
            "schemaVersion": "v1",
            "defaultMinSeverity": "warning",
            "sinks": {
                "relay": { "enabled": true, "type": "webhook", "urlEnv": "RELAY_URL" },
                "chat": { "enabled": false, "type": "slack", "webhookUrlEnv": "CHAT_URL" },
                "pager": { "enabled": true, "type": "pagerduty_events", "routingKeyEnv": "KEY" },
            },
            "routing": {
                "defaultSinks": ["relay"],
                "categorySeverity": { "quota_hit": "critical" },
                "routes": [{ "category": "quota_hit", "sinks": ["pager"] }],
            },
        })
    }

    fn accepted(change: impl FnOnce(&mut Value)) -> bool {
        let mut config = config();
        change(&mut config);
        violations(&schema(), &config).is_empty()
    }

    /// `config` with the value at `pointer` replaced or added.
    fn with(pointer: &'static str, value: Value) -> impl FnOnce(&mut Value) {
        move |config| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            config.pointer_mut(parent).unwrap()[name] = value;
        }
    }

    #[test]
    fn it_has_the_contracts_identity_and_definitions() {
        let schema = schema();
        assert_eq!(
            schema["$id"],
            "https://superloop.sh/schemas/ops-manager-alert-sinks-config-v1.json"
        );
        assert_eq!(schema["title"], "OpsManagerAlertSinksConfigV1");
        let names: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            [
                "severity",
                "envVarName",
                "sinkCommon",
                "sinkWebhook",
                "sinkSlack",
                "sinkPagerDuty",
                "sink",
                "route"
            ]
        );
    }

    #[test]
    fn what_the_contract_allows_is_accepted() {
        assert_eq!(violations(&schema(), &config()), [""; 0]);
        for (pointer, value) in [
            ("/sinks/relay/authTokenEnv", json!("_TOKEN1")),
            ("/sinks/relay/headers", json!({ "X-Team": "core" })),
            ("/sinks/relay/timeoutSeconds", json!(120)),
            ("/sinks/relay/anything", json!({ "else": true })),
            ("/sinks/chat/channel", json!("")),
            ("/sinks/pager/class", json!("c")),
            ("/routing/routes", json!([])),
            ("/routing/defaultSinks", json!([])),
            ("/routing/routes/0/enabled", json!(false)),
            ("/routing/routes/0/minSeverity", json!("info")),
        ] {
            assert!(
                accepted(with(pointer, value.clone())),
                "{pointer} = {value}"
            );
        }
    }

    #[test]
    fn what_the_contract_forbids_is_rejected() {
        for (pointer, value) in [
            ("/schemaVersion", json!("v2")),
            ("/extra", json!(1)),
            ("/defaultMinSeverity", json!("high")),
            ("/sinks", json!({})),
            ("/sinks/relay/enabled", json!("yes")),
            ("/sinks/relay/type", json!("slack")),
            ("/sinks/relay/urlEnv", json!("relay_url")),
            ("/sinks/relay/authTokenEnv", json!("")),
            ("/sinks/relay/headers", json!({ "X-Team": 7 })),
            ("/sinks/relay/timeoutSeconds", json!(0)),
            ("/sinks/relay/timeoutSeconds", json!(1.5)),
            ("/sinks/relay/timeoutSeconds", json!(121)),
            ("/sinks/chat/channel", json!(7)),
            ("/routing/extra", json!(1)),
            ("/routing/defaultSinks", json!([""])),
            ("/routing/categorySeverity", json!({ "c": null })),
            ("/routing/routes/0/category", json!("")),
            ("/routing/routes/0/enabled", json!(1)),
            ("/routing/routes/0/minSeverity", json!("high")),
            ("/routing/routes/0/sinks", json!([""])),
            ("/routing/routes/0/extra", json!(1)),
        ] {
            assert!(
                !accepted(with(pointer, value.clone())),
                "{pointer} = {value}"
            );
        }
    }

    #[test]
    fn every_member_that_the_contract_requires_is_required() {
        for pointer in [
            "/schemaVersion",
            "/defaultMinSeverity",
            "/sinks",
            "/routing",
            "/routing/defaultSinks",
            "/routing/categorySeverity",
            "/routing/routes",
            "/routing/routes/0/category",
            "/sinks/relay/enabled",
            "/sinks/relay/type",
            "/sinks/relay/urlEnv",
            "/sinks/chat/webhookUrlEnv",
            "/sinks/pager/routingKeyEnv",
        ] {
            let removed = |config: &mut Value| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                let parent = config.pointer_mut(parent).unwrap();
                parent.as_object_mut().unwrap().remove(name).unwrap();
            };
            assert!(!accepted(removed), "without {pointer}");
        }
    }
}
