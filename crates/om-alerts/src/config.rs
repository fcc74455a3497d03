//! The sink configuration, validated (chapter 04 §1.1, §2.2).
//!
//! The rules are applied in the chapter's order: the shape of the whole, then
//! every sink, then routing. The first one that does not hold is the error.

use std::collections::BTreeMap;

use om_model::Artifact;
use om_model::alerts::Severity;
use om_model::alerts::sinks::{RoutedSink, SecretRefs, SinkSettings, SinkType};
use om_model::json::{self, present, type_name};
use serde_json::{Map, Number, Value};

use crate::environment::Environment;

/// Limit of one delivery in seconds unless the sink has its own.
pub(crate) const DEFAULT_TIMEOUT_SECONDS: u64 = 5;
/// `source` of a `PagerDuty` event unless the sink has its own.
pub(crate) const PAGERDUTY_SOURCE: &str = "superloop-ops-manager";

/// Why a sink configuration cannot be used. The messages begin as in
/// chapter 04 §2.2 and go on with the file and the member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Row 4: it is not a regular file.
    #[error("alert sink config file not found: {file}")]
    NotFound {
        /// The path as given.
        file: String,
    },
    /// Row 5: it is not one JSON document.
    #[error("invalid alert sink config JSON: {file}: {cause}")]
    Malformed {
        /// The path as given.
        file: String,
        /// The parser's message.
        cause: String,
    },
    /// Row 6: the shape of the whole.
    #[error("alert sink config has invalid top-level shape: {file}: {what}")]
    Shape {
        /// The path as given.
        file: String,
        /// The member and what it must be.
        what: String,
    },
    /// Row 7: a sink.
    #[error("alert sink config sink definitions are invalid: {file}: {what}")]
    Sinks {
        /// The path as given.
        file: String,
        /// The member and what it must be.
        what: String,
    },
    /// Row 8: a reference, a route or a severity.
    #[error("alert sink config routing is invalid: {file}: {what}")]
    Routing {
        /// The path as given.
        file: String,
        /// The member and what it must be.
        what: String,
    },
    /// Row 9: secrets of enabled sinks that are not set.
    #[error("enabled sink secret env var(s) are unset: {}", .0.join(" "))]
    SecretsUnset(
        /// The variables' names, sorted.
        Vec<String>,
    ),
    /// Row 3: not a severity.
    #[error("--severity must be one of: info, warning, critical")]
    Severity,
}

/// A configuration that holds every rule.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    pub(crate) source_file: String,
    pub(crate) default_min_severity: Severity,
    /// In the order of the file.
    pub(crate) sinks: Vec<RoutedSink>,
    pub(crate) default_sinks: Vec<String>,
    pub(crate) category_severity: BTreeMap<String, Severity>,
    pub(crate) routes: Vec<Route>,
    /// `routing` as in the file.
    pub(crate) routing: Value,
}

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    pub(crate) category: String,
    pub(crate) enabled: bool,
    pub(crate) min_severity: Option<Severity>,
    pub(crate) sinks: Vec<String>,
    /// As in the file.
    pub(crate) verbatim: Value,
}

impl SinkConfig {
    /// Reads and checks a configuration; `source_file` is its path as given.
    pub fn read(config: &Artifact, source_file: &str) -> Result<Self, ConfigError> {
        let file = || source_file.to_owned();
        let root = match config {
            Artifact::Absent => return Err(ConfigError::NotFound { file: file() }),
            Artifact::Broken(cause) => {
                let cause = cause.to_string();
                return Err(ConfigError::Malformed {
                    file: file(),
                    cause,
                });
            }
            Artifact::Document(root) => root,
        };
        let shape = shape(root).map_err(|what| ConfigError::Shape { file: file(), what })?;
        let sinks = shape.sinks.iter().map(|(id, value)| sink(id, value));
        let sinks = sinks
            .collect::<Result<Vec<_>, String>>()
            .map_err(|what| ConfigError::Sinks { file: file(), what })?;
        let routing = |what| ConfigError::Routing { file: file(), what };
        let known = |id: &str| shape.sinks.contains_key(id);
        let default_sinks = references("routing.defaultSinks", shape.default_sinks.iter(), &known)
            .map_err(routing)?;
        let category_severity = category_severity(shape.category_severity).map_err(routing)?;
        let routes = shape.routes.iter().enumerate();
        let routes = routes
            .map(|(index, value)| route(index, value, &known))
            .collect::<Result<Vec<_>, String>>()
            .map_err(routing)?;
        Ok(Self {
            source_file: file(),
            default_min_severity: shape.default_min_severity,
            sinks,
            default_sinks,
            category_severity,
            routes,
            routing: shape.routing.clone(),
        })
    }

    /// Every enabled sink's secrets are set; a token that is configured is
    /// one of them.
    pub fn check_secrets(&self, environment: &Environment) -> Result<(), ConfigError> {
        let enabled = self.sinks.iter().filter(|sink| sink.enabled);
        let mut unset: Vec<String> = enabled
            .flat_map(|sink| sink.secret_refs.names())
            .filter(|name| !environment.presence(name).present)
            .map(str::to_owned)
            .collect();
        unset.sort_unstable();
        unset.dedup();
        if unset.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::SecretsUnset(unset))
        }
    }

    /// The sink `id`.
    pub fn sink(&self, id: &str) -> Option<&RoutedSink> {
        self.sinks.iter().find(|sink| sink.id == id)
    }

    /// Every sink, in the order of the file.
    pub fn sinks(&self) -> &[RoutedSink] {
        &self.sinks
    }
}

/// The parts of a document that has the shape of a configuration.
struct Shape<'a> {
    default_min_severity: Severity,
    sinks: &'a Map<String, Value>,
    routing: &'a Value,
    default_sinks: &'a [Value],
    category_severity: &'a Map<String, Value>,
    routes: &'a [Value],
}

/// Row 6.
fn shape(root: &Value) -> Result<Shape<'_>, String> {
    let root = object("document", Some(root))?;
    if root.get("schemaVersion").and_then(Value::as_str) != Some("v1") {
        return Err(must_be(
            "schemaVersion",
            root.get("schemaVersion"),
            "\"v1\"",
        ));
    }
    let default_min_severity = severity("defaultMinSeverity", root.get("defaultMinSeverity"))?;
    let sinks = object("sinks", root.get("sinks"))?;
    if sinks.is_empty() {
        return Err("sinks must have at least one member".to_owned());
    }
    let routing = root.get("routing").unwrap_or(&Value::Null);
    let members = object("routing", Some(routing))?;
    let default_sinks = array("routing.defaultSinks", members.get("defaultSinks"))?;
    let category_severity = object("routing.categorySeverity", members.get("categorySeverity"))?;
    let routes = match present(members.get("routes")) {
        None => &[],
        some => array("routing.routes", some)?,
    };
    Ok(Shape {
        default_min_severity,
        sinks,
        routing,
        default_sinks,
        category_severity,
        routes,
    })
}

/// Row 7, one sink.
fn sink(id: &str, value: &Value) -> Result<RoutedSink, String> {
    let at = |member: &str| format!("sinks.{id}.{member}");
    let members = object(&format!("sinks.{id}"), Some(value))?;
    let enabled = boolean(&at("enabled"), members.get("enabled"))?;
    let kind = members.get("type").and_then(Value::as_str);
    let kind = kind.and_then(SinkType::parse).ok_or_else(|| {
        let expected = "webhook, slack or pagerduty_events";
        must_be(&at("type"), members.get("type"), expected)
    })?;
    let timeout_seconds = timeout(&at("timeoutSeconds"), members.get("timeoutSeconds"))?;
    let env = |member: &str| env_name(&at(member), members.get(member));
    let secret_refs = match kind {
        SinkType::Webhook => SecretRefs::Webhook {
            url_env: env("urlEnv")?,
            auth_token_env: present(members.get("authTokenEnv"))
                .map(|_| env("authTokenEnv"))
                .transpose()?,
        },
        SinkType::Slack => SecretRefs::Slack {
            webhook_url_env: env("webhookUrlEnv")?,
        },
        SinkType::PagerdutyEvents => SecretRefs::Pagerduty {
            routing_key_env: env("routingKeyEnv")?,
        },
    };
    let setting = |member: &str| present(members.get(member)).cloned().unwrap_or_default();
    let config = match kind {
        SinkType::Webhook => SinkSettings::Webhook {
            headers: headers(&at("headers"), members.get("headers"))?,
        },
        SinkType::Slack => SinkSettings::Slack {
            channel: setting("channel"),
            username: setting("username"),
            icon_emoji: setting("iconEmoji"),
        },
        SinkType::PagerdutyEvents => SinkSettings::Pagerduty {
            source: present(members.get("source"))
                .cloned()
                .unwrap_or_else(|| PAGERDUTY_SOURCE.into()),
            component: setting("component"),
            group: setting("group"),
            class: setting("class"),
        },
    };
    Ok(RoutedSink {
        id: id.to_owned(),
        kind,
        enabled,
        timeout_seconds,
        secret_refs,
        config,
    })
}

fn timeout(member: &str, value: Option<&Value>) -> Result<Number, String> {
    let refuse = || must_be(member, value, "a number from 1 to 120");
    match present(value) {
        None => Ok(Number::from(DEFAULT_TIMEOUT_SECONDS)),
        Some(Value::Number(number)) => {
            let seconds = number.as_f64().ok_or_else(refuse)?;
            let allowed = (1.0..=120.0).contains(&seconds);
            allowed.then(|| number.clone()).ok_or_else(refuse)
        }
        Some(_) => Err(refuse()),
    }
}

/// `^[A-Z_][A-Z0-9_]*$`
fn env_name(member: &str, value: Option<&Value>) -> Result<String, String> {
    let name = value.and_then(Value::as_str).unwrap_or_default();
    let allowed = |b: u8| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit();
    let starts_well = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if starts_well && name.bytes().all(allowed) {
        Ok(name.to_owned())
    } else {
        // Not what was found: somebody may have put the secret itself there.
        Err(format!(
            "{member} must be the name of an environment variable (A-Z, 0-9 and _)"
        ))
    }
}

fn headers(member: &str, value: Option<&Value>) -> Result<Map<String, Value>, String> {
    let Some(value) = present(value) else {
        return Ok(Map::new());
    };
    let headers = object(member, Some(value))?;
    match headers.iter().find(|(_, value)| !value.is_string()) {
        None => Ok(headers.clone()),
        Some((name, value)) => Err(format!(
            "{member}.{name} must be a string, it is {}",
            type_name(value)
        )),
    }
}

/// Items that all name a sink.
fn references<'a>(
    member: &str,
    items: impl Iterator<Item = &'a Value>,
    known: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, String> {
    let reference = |(index, item): (usize, &Value)| match item {
        Value::String(id) if known(id) => Ok(id.clone()),
        Value::String(id) => Err(format!("{member}[{index}]: there is no sink {id:?}")),
        other => Err(must_be(
            &format!("{member}[{index}]"),
            Some(other),
            "the id of a sink",
        )),
    };
    items.enumerate().map(reference).collect()
}

fn category_severity(members: &Map<String, Value>) -> Result<BTreeMap<String, Severity>, String> {
    let entry = |(category, value): (&String, &Value)| {
        let member = format!("routing.categorySeverity.{category}");
        Ok((category.clone(), severity(&member, Some(value))?))
    };
    members.iter().map(entry).collect()
}

/// Row 8, one route.
fn route(index: usize, value: &Value, known: &dyn Fn(&str) -> bool) -> Result<Route, String> {
    let here = format!("routing.routes[{index}]");
    let at = |member: &str| format!("{here}.{member}");
    let members = object(&here, Some(value))?;
    let category = members.get("category").and_then(Value::as_str);
    let category = category.filter(|text| !text.is_empty()).ok_or_else(|| {
        must_be(
            &at("category"),
            members.get("category"),
            "a string that is not empty",
        )
    })?;
    let enabled = match members.get("enabled") {
        None | Some(Value::Null) => true,
        some => boolean(&at("enabled"), some)?,
    };
    let min_severity = present(members.get("minSeverity"))
        .map(|value| severity(&at("minSeverity"), Some(value)))
        .transpose()?;
    let sinks = match present(members.get("sinks")) {
        None => Vec::new(),
        // An object counts as the list of its values.
        Some(Value::Object(items)) => references(&at("sinks"), items.values(), known)?,
        some => references(&at("sinks"), array(&at("sinks"), some)?.iter(), known)?,
    };
    Ok(Route {
        category: category.to_owned(),
        enabled,
        min_severity,
        sinks,
        verbatim: value.clone(),
    })
}

fn object<'a>(member: &str, value: Option<&'a Value>) -> Result<&'a Map<String, Value>, String> {
    match value {
        Some(Value::Object(members)) => Ok(members),
        other => Err(must_be(member, other, "an object")),
    }
}

fn array<'a>(member: &str, value: Option<&'a Value>) -> Result<&'a [Value], String> {
    match value {
        Some(Value::Array(items)) => Ok(items),
        other => Err(must_be(member, other, "an array")),
    }
}

fn boolean(member: &str, value: Option<&Value>) -> Result<bool, String> {
    match value {
        Some(Value::Bool(flag)) => Ok(*flag),
        other => Err(must_be(member, other, "true or false")),
    }
}

fn severity(member: &str, value: Option<&Value>) -> Result<Severity, String> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    Severity::parse(text).ok_or_else(|| must_be(member, value, "info, warning or critical"))
}

/// The rule that does not hold, and what was found instead.
fn must_be(member: &str, found: Option<&Value>, expected: &str) -> String {
    let found = match found {
        None => "missing".to_owned(),
        Some(Value::String(text)) if text.chars().count() <= 40 => format!("{text:?}"),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => json::compact(value),
        Some(other) => type_name(other).to_owned(),
    };
    format!("{member} must be {expected}, it is {found}")
}
