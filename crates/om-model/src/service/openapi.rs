//! The API of the sprite service as an `OpenAPI` 3.1 document (decision D32),
//! made from the types and the route table.

use std::collections::BTreeMap;

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::routes::{COMMON_ERRORS, Endpoint, HttpMethod, ROUTES, Route};
use super::{ControlRequestBody, ControlResponse, ErrorResponse, EventsResponse, OkResponse};
use crate::envelope::SnapshotEnvelope;
use crate::json::compact;

/// Where schemas are referred to.
const SCHEMAS: &str = "/components/schemas";

/// Makes the document. `version` is that of the program.
pub fn document(version: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        // What the service writes; the one body that it reads is described as
        // clients should write it.
        settings.contract = Contract::Serialize;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in &ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = operation(route, &mut schemas);
        paths.insert(route.path.to_owned(), json!({ method: operation }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ops-manager sprite service",
            "version": version,
            "description": "Observe and control the loops of one repository, beside their runtime.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "opsToken": {"type": "apiKey", "in": "header", "name": "X-Ops-Token"},
            },
        },
        // Either header will do, and none if no token is configured.
        "security": [{"bearer": []}, {"opsToken": []}, {}],
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route.endpoint),
        "parameters": parameters(route.endpoint),
        "responses": responses(route, schemas),
    });
    if route.method == HttpMethod::Post {
        operation["requestBody"] = json!({
            "required": true,
            "content": content(&schema::<ControlRequestBody>(schemas)),
        });
    }
    operation
}

fn operation_id(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Health => "health",
        Endpoint::Ready => "readiness",
        Endpoint::OpenApi => "openapi",
        Endpoint::Snapshot => "snapshot",
        Endpoint::Events => "events",
        Endpoint::Control => "control",
    }
}

fn parameters(endpoint: Endpoint) -> Value {
    let query = |name: &str, required: bool, schema: Value, what: &str| {
        json!({"name": name, "in": "query", "required": required, "schema": schema,
               "description": what})
    };
    let header = |name: &str, what: &str| {
        json!({"name": name, "in": "header", "required": false, "schema": {"type": "string"},
               "description": what})
    };
    let loop_id = || {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 128});
        query("loopId", true, schema, "Which loop.")
    };
    let count = || json!({"type": "integer", "minimum": 0, "default": 0});
    let trace = || header("X-Trace-Id", "Links all that is recorded.");
    match endpoint {
        Endpoint::Health | Endpoint::Ready | Endpoint::OpenApi => json!([]),
        Endpoint::Snapshot => json!([loop_id(), trace()]),
        Endpoint::Events => json!([
            loop_id(),
            query("cursor", false, count(), "Lines consumed already."),
            query("maxEvents", false, count(), "Most events; 0 is unlimited."),
            trace(),
        ]),
        Endpoint::Control => json!([
            header("X-Idempotency-Key", "If the body has none."),
            trace(),
        ]),
    }
}

/// Every answer of a route, by status.
fn responses(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let answer = match route.endpoint {
        Endpoint::Health | Endpoint::Ready => schema::<OkResponse>(schemas),
        Endpoint::OpenApi => json!({"type": "object"}),
        Endpoint::Snapshot => schema::<SnapshotEnvelope>(schemas),
        Endpoint::Events => schema::<EventsResponse>(schemas),
        Endpoint::Control => schema::<ControlResponse>(schemas),
    };
    let error = schema::<ErrorResponse>(schemas);
    let is_control = route.endpoint == Endpoint::Control;
    let mut responses = Map::new();
    let mut add = |status: u16, what: &str, schema: &Value| {
        responses.insert(status.to_string(), response(what, schema));
    };
    if is_control {
        add(
            200,
            "Executed and successful, or an earlier answer again",
            &answer,
        );
        add(
            409,
            "Executed, and its effect was not seen: ambiguous",
            &answer,
        );
    } else {
        add(200, "The answer", &answer);
    }
    for (status, codes) in errors(route) {
        if status == 500 && is_control {
            let either = json!({"anyOf": [answer, error]});
            add(
                status,
                &format!("Executed, and it failed; or {codes}"),
                &either,
            );
        } else {
            add(status, &codes, &error);
        }
    }
    Value::Object(responses)
}

/// The error codes of a route as text, by status.
fn errors(route: &Route) -> BTreeMap<u16, String> {
    let mut errors: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in COMMON_ERRORS.iter().chain(route.errors) {
        let name = format!("`{}`", compact(code).trim_matches('"'));
        errors.entry(code.http_status()).or_default().push(name);
    }
    let joined = |(status, names): (u16, Vec<String>)| (status, names.join(", "));
    errors.into_iter().map(joined).collect()
}

fn response(description: &str, schema: &Value) -> Value {
    json!({"description": description, "content": content(schema)})
}

fn content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

/// A reference to the schema of `T`, which is then defined in the document.
fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ServiceErrorCode as Code;

    #[test]
    fn every_schema_that_is_referred_to_is_defined() {
        let document = document("1");
        let text = document.to_string();
        let references = text.split("\"#/components/schemas/").skip(1);
        let names: Vec<&str> = references
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(names.contains(&"ControlResponse"));
        for name in names {
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_route_and_every_error_code_is_described() {
        let text = document("1").to_string();
        for route in ROUTES {
            assert!(text.contains(&format!("\"{}\"", route.path)));
        }
        // Only what has no route at all is missing.
        let without_route = [Code::NotFound, Code::NotImplemented];
        for code in Code::ALL {
            let name = format!("`{}`", compact(&code).trim_matches('"'));
            assert_eq!(
                text.contains(&name),
                !without_route.contains(&code),
                "{name}"
            );
        }
    }
}
