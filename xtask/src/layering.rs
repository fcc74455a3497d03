//! Which crate may use which: the arrows of `docs/architecture.md`, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::error::Error;
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// The crates in their order: each may use those before it, never the other
/// way round. The commands (`ops-manager` and `ops-manager-*`) come after the
/// last; `xtask` may use everything and nothing may use it.
const LAYERS: [&str; 16] = [
    "om-model",
    "om-store",
    "om-stage",
    "om-http",
    "om-registry",
    "om-transport",
    "om-control",
    "om-alerts",
    "om-reconcile",
    "om-fleet",
    "om-policy",
    "om-handoff",
    "om-promotion",
    "om-horizon",
    "om-service",
    "om-cli",
];

/// Dependencies that only some crates may name. With `in_tests`, everybody
/// may name them as a dev-dependency.
const EXCLUSIVE: [Exclusive; 4] = [
    exclusive("reqwest", &["om-http"], false),
    exclusive("axum", &["om-service"], false),
    exclusive("jsonschema", &["xtask"], true),
    exclusive("schemars", &["om-model", "xtask"], false),
];

/// Crates that must not reach a dependency through others either.
const UNREACHABLE: [(&str, &str); 1] = [("om-policy", "reqwest")];

/// Features of workspace crates that only one crate may turn on.
const FEATURES: [(&str, &str, &str); 1] = [("om-model", "schema", "xtask")];

/// What a per-command crate may depend on.
const SHIM_DEPENDENCY: &str = "om-cli";

/// Lines of code in a per-command crate, blanks and comments not counted.
const SHIM_LINES: usize = 10;

struct Exclusive {
    dependency: &'static str,
    crates: &'static [&'static str],
    in_tests: bool,
}

const fn exclusive(
    dependency: &'static str,
    crates: &'static [&'static str],
    in_tests: bool,
) -> Exclusive {
    Exclusive {
        dependency,
        crates,
        in_tests,
    }
}

/// One arrow or crate that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A crate without a place in the order.
    Unplaced(String),
    /// A crate uses one that is not before it.
    Order { user: String, used: String },
    /// Crates that depend on each other, dev-dependencies included.
    Cycle(Vec<String>),
    /// A dependency that is reserved for other crates.
    Reserved {
        user: String,
        dependency: &'static str,
        allowed: &'static [&'static str],
    },
    /// A dependency that is reached through others.
    Reached {
        path: Vec<String>,
        dependency: &'static str,
    },
    /// A feature that is reserved for another crate.
    Feature {
        user: String,
        used: &'static str,
        feature: &'static str,
        allowed: &'static str,
    },
    /// A per-command crate with more in it than its `main`.
    Shim { name: String, reason: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unplaced(name) => write!(f, "{name} has no place in the order of crates"),
            Self::Order { user, used } => write!(f, "{user} must not depend on {used}"),
            Self::Cycle(names) => write!(f, "crates depend on each other: {}", names.join(" → ")),
            Self::Reserved {
                user,
                dependency,
                allowed,
            } => write!(
                f,
                "{user} names {dependency}; only {} may",
                allowed.join(", ")
            ),
            Self::Reached { path, dependency } => {
                write!(
                    f,
                    "{} must not reach {dependency}: {}",
                    path[0],
                    path.join(" → ")
                )
            }
            Self::Feature {
                user,
                used,
                feature,
                allowed,
            } => write!(f, "{user} turns on {used}/{feature}; only {allowed} may"),
            Self::Shim { name, reason } => {
                write!(f, "{name} is more than `fn main`: {reason}")
            }
        }
    }
}

/// A crate of the workspace, as far as layering goes.
#[derive(Debug, Default)]
struct Crate {
    name: String,
    dependencies: Vec<Dependency>,
    /// Kinds of its targets: `lib`, `bin`, `test`, …
    targets: Vec<String>,
    /// Rust files below `src/`, relative, with their content.
    sources: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    /// Only for tests, examples and benches.
    dev: bool,
    features: Vec<String>,
}

/// Checks the workspace.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let violations = violations(&read_crates(&workspace.metadata()?)?);
    if violations.is_empty() {
        Ok(())
    } else {
        Err(Error::Layering(violations))
    }
}

/// The crates of a `cargo metadata` document, with the sources of shims.
fn read_crates(metadata: &Value) -> Result<Vec<Crate>, Error> {
    let mut crates = parse_metadata(metadata);
    for (krate, package) in crates.iter_mut().zip(items(&metadata["packages"])) {
        if is_shim(&krate.name) {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            krate.sources = read_sources(&manifest.with_file_name("src"))?;
        }
    }
    Ok(crates)
}

fn read_sources(directory: &PathBuf) -> Result<BTreeMap<String, String>, Error> {
    let mut sources = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(Error::file("read", directory))? {
        let path = entry.map_err(Error::file("read", directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let content = if path.is_dir() {
            String::new()
        } else {
            fs::read_to_string(&path).map_err(Error::file("read", &path))?
        };
        sources.insert(name.into_owned(), content);
    }
    Ok(sources)
}

/// The crates of a `cargo metadata` document, without their sources.
fn parse_metadata(metadata: &Value) -> Vec<Crate> {
    let dependency = |dependency: &Value| Dependency {
        name: text(&dependency["name"]),
        dev: dependency["kind"] == "dev",
        features: items(&dependency["features"]).map(text).collect(),
    };
    let package = |package: &Value| Crate {
        name: text(&package["name"]),
        dependencies: items(&package["dependencies"]).map(dependency).collect(),
        targets: items(&package["targets"])
            .flat_map(|target| items(&target["kind"]).map(text))
            .collect(),
        sources: BTreeMap::new(),
    };
    items(&metadata["packages"]).map(package).collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Everything that is not as it should be, crate by crate.
fn violations(crates: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    for krate in crates {
        check_order(krate, crates, &mut found);
        check_reserved(krate, &mut found);
        if is_shim(&krate.name) {
            check_shim(krate, &mut found);
        }
    }
    check_unreachable(crates, &mut found);
    check_cycles(crates, &mut found);
    found
}

/// The place of a crate in the order; `None` if it has none.
fn layer(name: &str) -> Option<usize> {
    if is_command(name) {
        return Some(LAYERS.len());
    }
    if name == "xtask" {
        return Some(LAYERS.len() + 1);
    }
    LAYERS.iter().position(|layer| *layer == name)
}

fn is_command(name: &str) -> bool {
    name == "ops-manager" || is_shim(name)
}

fn is_shim(name: &str) -> bool {
    name.starts_with("ops-manager-")
}

fn check_order(krate: &Crate, crates: &[Crate], found: &mut Vec<Violation>) {
    let Some(own) = layer(&krate.name) else {
        found.push(Violation::Unplaced(krate.name.clone()));
        return;
    };
    for used in krate.dependencies.iter().filter(|used| !used.dev) {
        let in_workspace = crates.iter().any(|other| other.name == used.name);
        // A crate without a place is reported once, as itself.
        if in_workspace && layer(&used.name).is_some_and(|other| other >= own) {
            found.push(Violation::Order {
                user: krate.name.clone(),
                used: used.name.clone(),
            });
        }
    }
}

fn check_reserved(krate: &Crate, found: &mut Vec<Violation>) {
    for used in &krate.dependencies {
        for rule in &EXCLUSIVE {
            let allowed = rule.crates.contains(&krate.name.as_str()) || (used.dev && rule.in_tests);
            if used.name == rule.dependency && !allowed {
                found.push(Violation::Reserved {
                    user: krate.name.clone(),
                    dependency: rule.dependency,
                    allowed: rule.crates,
                });
            }
        }
        for (owner, feature, allowed) in FEATURES {
            let turned_on = used.features.iter().any(|name| name == feature);
            if used.name == owner && turned_on && !used.dev && krate.name != allowed {
                found.push(Violation::Feature {
                    user: krate.name.clone(),
                    used: owner,
                    feature,
                    allowed,
                });
            }
        }
    }
}

fn check_shim(krate: &Crate, found: &mut Vec<Violation>) {
    let mut report = |reason: String| {
        found.push(Violation::Shim {
            name: krate.name.clone(),
            reason,
        });
    };
    if krate.targets != ["bin"] {
        report(format!("its targets are {}", krate.targets.join(", ")));
    }
    for used in &krate.dependencies {
        if used.name != SHIM_DEPENDENCY {
            report(format!("it depends on {}", used.name));
        }
    }
    for (name, source) in &krate.sources {
        if name != "main.rs" {
            report(format!("src/{name} is in it"));
        } else if let Some(reason) = beyond_main(source) {
            report(reason);
        }
    }
}

/// What formatted source has besides imports and a short `fn main`.
fn beyond_main(source: &str) -> Option<String> {
    let is_code = |line: &&str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("//")
    };
    let lines: Vec<&str> = source.lines().filter(is_code).collect();
    if lines.len() > SHIM_LINES {
        return Some(format!("{} lines, at most {SHIM_LINES}", lines.len()));
    }
    let at_margin = |line: &&&str| !line.starts_with([' ', '\t']);
    let expected = |line: &str| {
        ["use ", "fn main(", "}", "#"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let other = lines.iter().filter(at_margin).find(|line| !expected(line));
    other.map(|line| format!("`{line}`"))
}

fn check_unreachable(crates: &[Crate], found: &mut Vec<Violation>) {
    for (start, dependency) in UNREACHABLE {
        let Some(start) = find(crates, start) else {
            continue;
        };
        let mut waiting = vec![(start, vec![start.name.clone()])];
        let mut seen = BTreeSet::new();
        while let Some((krate, path)) = waiting.pop() {
            if !seen.insert(&krate.name) {
                continue;
            }
            for used in krate.dependencies.iter().filter(|used| !used.dev) {
                let mut path = path.clone();
                path.push(used.name.clone());
                if used.name == dependency {
                    found.push(Violation::Reached { path, dependency });
                } else if let Some(next) = find(crates, &used.name) {
                    waiting.push((next, path));
                }
            }
        }
    }
}

fn find<'a>(crates: &'a [Crate], name: &str) -> Option<&'a Crate> {
    crates.iter().find(|krate| krate.name == name)
}

/// Reports the first cycle that is found; solving it reveals the next.
fn check_cycles(crates: &[Crate], found: &mut Vec<Violation>) {
    let mut done = BTreeSet::new();
    for krate in crates {
        if let Some(cycle) = cycle_from(krate, crates, &mut Vec::new(), &mut done) {
            found.push(Violation::Cycle(cycle));
            return;
        }
    }
}

/// Depth-first search; `path` leads here, `done` is known to be harmless.
fn cycle_from<'a>(
    krate: &'a Crate,
    crates: &'a [Crate],
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<String>> {
    if let Some(start) = path.iter().position(|name| *name == krate.name) {
        let cycle = path[start..].iter().copied().chain([krate.name.as_str()]);
        return Some(cycle.map(str::to_owned).collect());
    }
    if done.contains(krate.name.as_str()) {
        return None;
    }
    path.push(&krate.name);
    let next = krate.dependencies.iter();
    let cycle = next
        .filter_map(|used| find(crates, &used.name))
        .find_map(|used| cycle_from(used, crates, path, done));
    path.pop();
    done.insert(&krate.name);
    cycle
}
