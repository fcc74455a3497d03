//! `cargo xtask soak`: the fleet's whole cycle, with the real binary, under
//! random faults, checked against a model.
//!
//! Every cycle reconciles the fleet, evaluates policy, hands off, and asks
//! for status. Meanwhile services die and hang and come back, event logs are
//! torn in the middle of a line, runtimes fail, dawdle, print garbage and do
//! nothing, people turn switches, and the manager is killed at any moment.
//!
//! | module | what it holds |
//! |---|---|
//! | [`faults`] | what happens in a cycle, drawn from the seed |
//! | [`world`] | the simulated fleet: its loops, services and runtime |
//! | [`registry`] | the registry that people edit |
//! | [`step`] | one command, let run or killed |
//! | [`cycle`] | one cycle, and the settling at the end |
//! | [`rules`] | what a registry allows, by rules of its own |
//! | [`ledger`] | what may be dispatched, and what was: the model |
//! | [`accounts`] | what every run must leave behind, in order |
//! | [`summary`] | the table |
//!
//! The same seed draws the same faults. At which instruction a kill hits is
//! up to the machine.

mod accounts;
mod cycle;
mod faults;
mod journal;
mod ledger;
mod registry;
mod rules;
mod step;
mod summary;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::error::Error;
use crate::workspace::{Workspace, captured, target_directory};

use cycle::Soak;
use faults::Faults;

/// Seconds of the test in `cargo xtask validate`, which is to end within a
/// minute.
const CHECKED_SECONDS: u64 = 40;

/// The seed of that test.
const CHECKED_SEED: u64 = 1;

/// For how long, and with which faults.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// For how long cycles are begun; the last one and the settling come
    /// on top.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed draws the same faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the simulated fleet is made and kept; must not exist yet
    /// [default: a temporary directory, kept if something is found].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The binary to test [default: it is built].
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Soaks, prints what happened, and fails if anything was found.
pub(crate) fn run(workspace: &Workspace, args: &SoakArgs) -> Result<(), Error> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build(workspace)?,
    };
    soak(&binary, args.seed, args.seconds, args.dir.as_deref())
}

/// The test in CI, with the binary that "docs-drift" has built.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    println!();
    let binary = target_directory(&workspace.metadata()?).join("debug/ops-manager");
    let result = soak(&binary, CHECKED_SEED, CHECKED_SECONDS, None);
    print!("{:<24}", "");
    result
}

/// Builds as "docs-drift" does, so that nothing is compiled twice.
fn build(workspace: &Workspace) -> Result<PathBuf, Error> {
    let flags = ["--quiet", "--workspace", "--all-features"];
    let mut build = workspace.cargo(["build", "--bin", "ops-manager"]);
    captured(build.args(flags))?;
    Ok(target_directory(&workspace.metadata()?).join("debug/ops-manager"))
}

fn soak(binary: &Path, seed: u64, seconds: u64, dir: Option<&Path>) -> Result<(), Error> {
    let temporary = std::env::temp_dir();
    let scratch = tempfile::Builder::new().prefix("om-soak-").tempdir();
    let scratch = scratch.map_err(Error::file("create a directory in", &temporary))?;
    let root = dir.map_or_else(|| scratch.path().join("soak"), Path::to_owned);
    let mut soak = Soak::create(&root, binary)?;
    let mut faults = Faults::new(seed);
    let started = Instant::now();
    let until = Duration::from_secs(seconds);
    while soak.findings().is_empty() && (soak.cycles() == 0 || started.elapsed() < until) {
        soak.cycle(&faults.next_cycle())?;
    }
    if soak.findings().is_empty() {
        soak.settle()?;
    }
    print!("{}", summary::table(soak.tally(), seed, started.elapsed()));
    let findings = soak.findings();
    if findings.is_empty() {
        return Ok(());
    }
    let kept = match dir {
        Some(dir) => dir.to_owned(),
        None => scratch.keep().join("soak"),
    };
    let list = findings.join("\n  ");
    Err(Error::Soak(format!(
        "cycle {} of seed {seed}, fleet kept in {}:\n  {list}",
        soak.cycles(),
        kept.display()
    )))
}
