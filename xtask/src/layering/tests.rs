use serde_json::json;

use super::*;

/// A metadata document: per crate its name and its dependencies, each
/// `name`, `dev:name` or `name+feature`.
fn workspace(crates: &[(&str, &[&str])]) -> Vec<Crate> {
    let dependency = |text: &&str| {
        let (kind, rest) = match text.strip_prefix("dev:") {
            Some(rest) => (json!("dev"), rest),
            None => (json!(null), *text),
        };
        let (name, feature) = rest
            .split_once('+')
            .map_or((rest, None), |(n, f)| (n, Some(f)));
        let features: Vec<&str> = feature.into_iter().collect();
        json!({ "name": name, "kind": kind, "features": features })
    };
    let package = |(name, dependencies): &(&str, &[&str])| {
        let kind = if is_command(name) { "bin" } else { "lib" };
        json!({
            "name": name,
            "dependencies": dependencies.iter().map(dependency).collect::<Vec<_>>(),
            "targets": [{ "name": name, "kind": [kind] }],
        })
    };
    let packages: Vec<Value> = crates.iter().map(package).collect();
    parse_metadata(&json!({ "packages": packages }))
}

/// The messages about such a workspace.
fn messages(crates: &[(&str, &[&str])]) -> Vec<String> {
    let found = violations(&workspace(crates));
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_crate_may_use_those_before_it() {
    let crates: &[(&str, &[&str])] = &[
        ("om-model", &["serde"]),
        ("om-store", &["om-model", "rustix"]),
        ("om-cli", &["om-store", "om-model"]),
        ("ops-manager", &["om-cli", "clap"]),
        ("ops-manager-health", &["om-cli"]),
        ("xtask", &["om-model+schema", "om-cli", "jsonschema"]),
    ];
    assert_eq!(messages(crates), [""; 0]);
}

#[test]
fn an_arrow_against_the_order_is_a_violation() {
    for (user, used) in [
        ("om-model", "om-store"),
        ("om-store", "om-cli"),
        ("om-cli", "ops-manager"),
        ("ops-manager", "ops-manager-health"),
        ("om-cli", "xtask"),
    ] {
        let found = messages(&[(user, &[used]), (used, &[])]);
        assert_eq!(found, [format!("{user} must not depend on {used}")]);
    }
}

#[test]
fn a_crate_that_the_order_does_not_know_is_a_violation() {
    assert_eq!(
        messages(&[("om-extra", &[]), ("om-cli", &["om-extra"])]),
        ["om-extra has no place in the order of crates"]
    );
}

#[test]
fn tests_may_look_ahead_as_long_as_nothing_goes_in_a_circle() {
    assert_eq!(
        messages(&[("om-model", &["dev:om-store"]), ("om-store", &[])]),
        [""; 0]
    );
    assert_eq!(
        messages(&[("om-model", &["dev:om-store"]), ("om-store", &["om-model"])]),
        ["crates depend on each other: om-model → om-store → om-model"]
    );
}

#[test]
fn some_dependencies_have_one_home() {
    for (user, used, expected) in [
        ("om-http", "reqwest", None),
        ("om-service", "axum", None),
        (
            "om-cli",
            "reqwest",
            Some("om-cli names reqwest; only om-http may"),
        ),
        (
            "om-cli",
            "dev:reqwest",
            Some("om-cli names reqwest; only om-http may"),
        ),
        (
            "om-http",
            "axum",
            Some("om-http names axum; only om-service may"),
        ),
        (
            "om-model",
            "jsonschema",
            Some("om-model names jsonschema; only xtask may"),
        ),
        ("om-model", "dev:jsonschema", None),
        (
            "om-store",
            "schemars",
            Some("om-store names schemars; only om-model, xtask may"),
        ),
    ] {
        let found = messages(&[(user, &[used])]);
        assert_eq!(
            found.first().map(String::as_str),
            expected,
            "{user} → {used}"
        );
    }
}

#[test]
fn schemas_are_turned_on_by_the_xtask_only() {
    assert_eq!(
        messages(&[("om-model", &[]), ("om-cli", &["om-model+schema"])]),
        ["om-cli turns on om-model/schema; only xtask may"]
    );
    assert_eq!(
        messages(&[("om-model", &[]), ("om-cli", &["dev:om-model+schema"])]),
        [""; 0]
    );
}

#[test]
fn policy_reaches_no_http_through_any_path() {
    let crates: &[(&str, &[&str])] = &[
        ("om-http", &["reqwest"]),
        ("om-fleet", &["om-http"]),
        ("om-policy", &["om-fleet"]),
    ];
    assert_eq!(
        messages(crates),
        ["om-policy must not reach reqwest: om-policy → om-fleet → om-http → reqwest"]
    );
}

#[test]
fn a_per_command_crate_depends_on_the_cli_alone() {
    assert_eq!(
        messages(&[("om-cli", &[]), ("ops-manager-health", &["om-cli", "clap"])]),
        ["ops-manager-health is more than `fn main`: it depends on clap"]
    );
}

#[test]
fn a_per_command_crate_is_one_binary() {
    let mut crates = workspace(&[("ops-manager-health", &[])]);
    crates[0].targets.push("lib".to_owned());
    crates[0]
        .sources
        .insert("extra.rs".to_owned(), String::new());
    let found = violations(&crates);
    let reasons: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "ops-manager-health is more than `fn main`: its targets are bin, lib",
            "ops-manager-health is more than `fn main`: src/extra.rs is in it",
        ]
    );
}

#[test]
fn a_per_command_crate_contains_a_short_main_and_nothing_else() {
    let good = "//! Health.\n\nuse std::process::ExitCode;\n\nfn main() -> ExitCode {\n    \
                om_cli::commands::health::main()\n}\n";
    assert_eq!(beyond_main(good), None);
    let helper = format!("{good}\nfn helper() {{}}\n");
    assert_eq!(beyond_main(&helper).as_deref(), Some("`fn helper() {}`"));
    let long = format!("fn main() {{\n{}}}\n", "    step();\n".repeat(9));
    assert_eq!(beyond_main(&long).as_deref(), Some("11 lines, at most 10"));
}
