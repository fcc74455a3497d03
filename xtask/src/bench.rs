//! `cargo xtask bench`: what passes cost, each figure beside its floor.
//!
//! The floor is measured in the same run: a bare loop that writes the same
//! bytes to the same number of files with the same durability. What lies
//! between the two is ours.

mod alerts;
mod control;
mod floor;
mod http;
mod inside;
mod load;
mod machine;
mod process;
mod report;
mod rows;
mod sample;
mod service;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::Error;
use crate::workspace::{Workspace, captured, shown, target_directory};

pub(crate) use load::{BareServerArgs, LoadArgs, generate as put_load, serve as serve_bare};

/// Where the table is kept.
const TABLE: &str = "docs/benchmarks.md";

/// The commands that are measured.
const COMMANDS: [&str; 5] = [
    "ops-manager-alert-dispatch",
    "ops-manager-control",
    "ops-manager-reconcile",
    "ops-manager-sprite-service",
    "ops-manager-status",
];

/// How to measure.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Also write the table to docs/benchmarks.md.
    #[arg(long)]
    write: bool,
    /// Runs per figure; medians are reported.
    #[arg(long, default_value_t = 51)]
    runs: usize,
    /// Events in the long log.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Rows in each telemetry journal of the status figure.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Seconds of load on the service, per figure.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where to make a directory `om-bench` for what is measured; it is
    /// emptied first and removed at the end [default: the build directory].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// This process is the optimised one that measures.
    #[arg(long, hide = true)]
    measuring: bool,
}

/// What a measurement needs to know.
struct Plan {
    runs: usize,
    events: u64,
    rows: u64,
    seconds: u64,
    directory: PathBuf,
    binaries: PathBuf,
}

/// Builds everything optimised, and measures in an optimised process.
pub(crate) fn run(workspace: &Workspace, args: &BenchArgs) -> Result<(), Error> {
    if !args.measuring {
        return delegate(workspace, args);
    }
    let target = target_directory(&workspace.metadata()?);
    let plan = Plan {
        runs: args.runs.max(3),
        events: args.events,
        rows: args.rows,
        seconds: args.seconds.max(2),
        directory: args.dir.as_ref().unwrap_or(&target).join("om-bench"),
        binaries: target.join("release"),
    };
    empty(&plan.directory)?;
    let machine = machine::describe(&plan.directory);
    let table = report::table(&rows::measure(&plan)?);
    print!("{table}");
    if args.write {
        let page = report::page(&command_line(args), &machine, &table);
        let path = workspace.path(TABLE);
        fs::write(&path, page).map_err(Error::file("write", &path))?;
        println!("wrote {TABLE}");
    }
    fs::remove_dir_all(&plan.directory).map_err(Error::file("remove", &plan.directory))
}

/// Makes `directory` exist without anything in it.
fn empty(directory: &Path) -> Result<(), Error> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(Error::file("remove", directory))?;
    }
    fs::create_dir_all(directory).map_err(Error::file("create", directory))
}

fn delegate(workspace: &Workspace, args: &BenchArgs) -> Result<(), Error> {
    let mut build = workspace.cargo(["build", "--quiet", "--release"]);
    captured(build.args(COMMANDS.iter().flat_map(|name| ["--package", name])))?;
    let mut measure = workspace.cargo(["run", "--quiet", "--release", "--package", "xtask"]);
    measure.args(["--features", "bench", "--", "bench", "--measuring"]);
    measure.args(flags(args));
    if let Some(directory) = &args.dir {
        measure.arg("--dir").arg(directory);
    }
    shown(&mut measure)
}

/// The flags of `args`, except where to measure.
fn flags(args: &BenchArgs) -> Vec<String> {
    let numbers = [
        ("--runs", args.runs as u64),
        ("--events", args.events),
        ("--rows", args.rows),
        ("--seconds", args.seconds),
    ];
    let numbers = numbers
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]);
    numbers
        .chain(args.write.then(|| "--write".to_owned()))
        .collect()
}

/// The command that makes the table again.
fn command_line(args: &BenchArgs) -> String {
    format!("cargo xtask bench {}", flags(args).join(" "))
}
