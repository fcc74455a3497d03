//! Every file in `config/` must match its schema in `schemas/`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::generated::names_in;
use crate::workspace::Workspace;

/// File in `config/` → file in `schemas/`.
const SCHEMA_OF: [(&str, &str); 2] = [
    (
        "ops-manager-alert-sinks.v1.json",
        "ops-manager-alert-sinks.config.schema.json",
    ),
    (
        "ops-manager-threshold-profiles.v1.json",
        "ops-manager.threshold-profiles.schema.json",
    ),
];

/// Checks all config files; one without a known schema is an error too.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let mut findings = Vec::new();
    for name in names_in(&workspace.path("config"))? {
        match SCHEMA_OF.iter().find(|(config, _)| *config == name) {
            None => findings.push(format!(
                "config/{name} has no schema; add it to xtask/src/config.rs"
            )),
            Some((_, schema)) => {
                let schema = read_json(&workspace.path("schemas").join(schema))?;
                let config = read_json(&workspace.path("config").join(&name))?;
                findings.extend(
                    violations(&schema, &config)
                        .into_iter()
                        .map(|violation| format!("config/{name}{violation}")),
                );
            }
        }
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Error::Config(findings))
    }
}

/// What `instance` does wrong, each as ` at <pointer>: <message>`; a broken
/// schema is reported the same way.
pub(crate) fn violations(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema);
    match validator {
        Err(error) => vec![format!(": its schema cannot be used: {error}")],
        Ok(validator) => validator
            .iter_errors(instance)
            .map(|error| format!(" at {:?}: {error}", error.instance_path().to_string()))
            .collect(),
    }
}

/// Reads one JSON document.
pub(crate) fn read_json(path: &Path) -> Result<Value, Error> {
    let bytes = fs::read(path).map_err(Error::file("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Json {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_violation_says_where_and_what() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
        assert_eq!(violations(&schema, &json!({ "a": 1 })), [""; 0]);
        let found = violations(&schema, &json!({ "a": "x" }));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("\"/a\""), "{found:?}");
    }

    #[test]
    fn a_schema_that_is_none_is_reported() {
        let found = violations(&json!({ "type": "no such type" }), &json!(1));
        assert!(found[0].contains("schema cannot be used"), "{found:?}");
    }
}
