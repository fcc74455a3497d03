//! `cargo xtask validate`: everything that CI checks, cheapest first.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::error::Error;
use crate::workspace::{Workspace, captured, shown};
use crate::{config, docs, layering, schemas, soak, workflows, written};

/// Which checks to run.
#[derive(Args)]
pub(crate) struct ValidateArgs {
    /// Only this check; may be repeated [default: all].
    #[arg(long, value_name = "CHECK", value_parser = STEPS.map(|(name, _)| name))]
    only: Vec<String>,
}

/// A check and its name.
type Step = (&'static str, fn(&Workspace) -> Result<(), Error>);

/// The first that needs the binaries is "docs-drift", which builds them. All
/// of them build the same crates with the same features, so that nothing
/// is compiled twice for the same purpose.
const STEPS: [Step; 13] = [
    ("format", |workspace| cargo(workspace, &FORMAT)),
    ("layering", layering::check),
    ("schema-drift", check_schemas),
    ("config-schemas", config::check),
    ("clippy", |workspace| cargo(workspace, &CLIPPY)),
    ("docs-drift", check_docs),
    ("workflows", workflows::check),
    ("written-schemas", written::check),
    ("soak", soak::check),
    ("build-tests", build_tests),
    ("tests", run_tests),
    ("doc-tests", |workspace| cargo(workspace, &EXAMPLES)),
    ("documentation", check_documentation),
];

const FORMAT: [&str; 3] = ["fmt", "--all", "--check"];

const CLIPPY: [&str; 8] = [
    "clippy",
    "--quiet",
    "--workspace",
    "--all-targets",
    "--all-features",
    "--",
    "-D",
    "warnings",
];

const EXAMPLES: [&str; 5] = ["test", "--quiet", "--doc", "--workspace", "--all-features"];

/// Runs every step; one line per step, except that the test runner speaks
/// for itself. Stops at the first failure.
pub(crate) fn run(workspace: &Workspace, args: &ValidateArgs) -> Result<(), Error> {
    let started = Instant::now();
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    for (name, run) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        print!("{name:<24}");
        // Progress only: a closed standard output shows up at the next line.
        let _ = io::stdout().flush();
        let step_started = Instant::now();
        let result = run(workspace);
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!(
            "{verdict:<6} {:>6.1} s",
            step_started.elapsed().as_secs_f64()
        );
        result?;
    }
    println!("checks passed in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<(), Error> {
    captured(&mut workspace.cargo(arguments)).map(drop)
}

fn check_schemas(workspace: &Workspace) -> Result<(), Error> {
    schemas::generate(workspace)
        .check_or_write(true, "cargo xtask schemas")
        .map(drop)
}

fn check_docs(workspace: &Workspace) -> Result<(), Error> {
    docs::generate(workspace)?
        .check_or_write(true, "cargo xtask docs")
        .map(drop)
}

fn build_tests(workspace: &Workspace) -> Result<(), Error> {
    captured(test_command(workspace).arg("--no-run")).map(drop)
}

/// Shows what the test runner says: CI reads its closing line.
fn run_tests(workspace: &Workspace) -> Result<(), Error> {
    println!();
    let result = shown(test_command(workspace).arg("--no-fail-fast"));
    print!("{:<24}", "");
    result
}

/// nextest where it is installed, else the test runner of cargo.
fn test_command(workspace: &Workspace) -> Command {
    let has_nextest = workspace
        .cargo(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let runner: &[&str] = if has_nextest {
        &["nextest", "run", "--status-level", "fail"]
    } else {
        &["test", "--quiet", "--lib", "--bins", "--tests"]
    };
    let mut command = workspace.cargo(runner);
    command.args(["--workspace", "--all-features"]);
    command
}

fn check_documentation(workspace: &Workspace) -> Result<(), Error> {
    let mut command = workspace.cargo(["doc", "--quiet", "--workspace", "--all-features"]);
    command.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings");
    captured(&mut command).map(drop)
}
