//! The workspace's own tasks: `cargo xtask <task>`.
//!
//! | task | what it does |
//! |---|---|
//! | `validate` | every check that CI makes, in the order of their cost |
//! | `schemas`, `docs` | write the generated files, or check them with `--check` |
//! | `gen-loop` | a loop repository of any size, for benchmarks and experiments |
//! | `gen-fleet` | the same for a whole fleet |
//! | `bench` | the figures of `docs/benchmarks.md`, each beside its floor |
//! | `soak` | the fleet's whole cycle under random faults, against a model |

mod bench;
mod config;
mod docs;
mod error;
mod gen_fleet;
mod gen_loop;
mod generated;
mod layering;
mod schemas;
mod soak;
mod validate;
mod workflows;
mod workspace;
mod written;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::Error;
use crate::generated::Outcome;
use crate::workspace::Workspace;

/// Checks, generated files and benchmarks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every check that CI makes; stops at the first failure.
    Validate(validate::ValidateArgs),
    /// Writes `schemas/`, generated from the types of om-model.
    Schemas(GeneratedArgs),
    /// Writes `docs/commands/`, generated from each command's `--help`.
    Docs(GeneratedArgs),
    /// Writes a loop repository with an event log of a given length.
    GenLoop(gen_loop::GenLoopArgs),
    /// Writes a repository with a fleet of generated loops.
    GenFleet(gen_fleet::GenFleetArgs),
    /// Runs the fleet's cycle with random faults and checks every invariant.
    Soak(soak::SoakArgs),
    /// Measures against the floor and prints a Markdown table.
    Bench(bench::BenchArgs),
    /// Puts load on a server, for the benchmark.
    #[command(hide = true)]
    Load(bench::LoadArgs),
    /// Answers everything with the same bytes, for the benchmark.
    #[command(hide = true)]
    BareServer(bench::BareServerArgs),
}

/// What to do with generated files.
#[derive(Args)]
struct GeneratedArgs {
    /// Write nothing; fail and list the files that are out of date.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), Error> {
    let workspace = Workspace::find();
    match task {
        Task::Validate(args) => validate::run(&workspace, &args),
        Task::Schemas(args) => {
            let files = schemas::generate(&workspace);
            report(&files.check_or_write(args.check, "cargo xtask schemas")?);
            Ok(())
        }
        Task::Docs(args) => {
            let files = docs::generate(&workspace)?;
            report(&files.check_or_write(args.check, "cargo xtask docs")?);
            Ok(())
        }
        Task::GenLoop(args) => gen_loop::run(&args),
        Task::GenFleet(args) => gen_fleet::run(&args),
        Task::Soak(args) => soak::run(&workspace, &args),
        Task::Bench(args) => bench::run(&workspace, &args),
        Task::Load(args) => bench::put_load(&args),
        Task::BareServer(args) => bench::serve_bare(&args),
    }
}

fn report(outcome: &Outcome) {
    for path in &outcome.written {
        println!("wrote {path}");
    }
    for path in &outcome.removed {
        println!("removed {path}");
    }
    println!("{} files up to date", outcome.total);
}
