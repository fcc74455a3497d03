//! `cargo xtask bench`: what passes cost, each figure beside its floor.
//!
//! The floor is measured in the same run: a bare loop that writes the same
//! bytes to the same number of files with the same durability. What lies
//! between the two is ours.

mod alerts;
mod control;
mod fleet;
mod fleet_floor;
mod fleet_policy;
mod fleet_service;
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

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::workspace::{Workspace, captured, shown, target_directory};

pub(crate) use load::{
    BareServerArgs, LoadArgs, Server, generate as put_load, serve as serve_bare,
};

/// Where the table is kept.
const TABLE: &str = "docs/benchmarks.md";

/// Figures that can be measured by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Passes over one loop, and its status.
    Loop,
    /// The sprite service under load.
    Service,
    /// Control intents.
    Control,
    /// Alert delivery.
    Alerts,
    /// Passes over a fleet of local loops.
    Fleet,
    /// A pass over a fleet behind services.
    FleetService,
    /// Policy, handoff plan and status over a large fleet.
    FleetPolicy,
}

impl Figure {
    /// The commands that it measures, each a package.
    fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Loop => &["ops-manager-reconcile", "ops-manager-status"],
            Self::Service => &["ops-manager-sprite-service"],
            Self::Control => &[
                "ops-manager-control",
                "ops-manager-reconcile",
                "ops-manager-sprite-service",
            ],
            Self::Alerts => &["ops-manager-alert-dispatch"],
            Self::Fleet => &["ops-manager-fleet-reconcile"],
            Self::FleetService => &["ops-manager-fleet-reconcile", "ops-manager-sprite-service"],
            Self::FleetPolicy => &[
                "ops-manager-fleet-reconcile",
                "ops-manager-fleet-policy",
                "ops-manager-fleet-handoff",
                "ops-manager-fleet-status",
            ],
        }
    }
}

/// How to measure.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Also write the table to docs/benchmarks.md.
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Only this figure; may be repeated [default: all].
    #[arg(long, value_enum)]
    only: Vec<Figure>,
    /// Loops of the fleet figures; some measure ten times as many.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=9_999))]
    loops: u64,
    /// Runs per figure; medians are reported.
    #[arg(long, default_value_t = 51)]
    runs: usize,
    /// Events in the long log.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Rows in each telemetry journal of the status figure, and in the history
    /// of the policy figure.
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
    figures: Vec<Figure>,
    runs: usize,
    loops: u64,
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
        figures: figures(args),
        runs: args.runs.max(3),
        loops: args.loops,
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
    let figures = figures(args);
    let commands: BTreeSet<&str> = figures
        .iter()
        .flat_map(|figure| figure.commands().iter().copied())
        .collect();
    let mut build = workspace.cargo(["build", "--quiet", "--release"]);
    captured(build.args(commands.iter().flat_map(|name| ["--package", name])))?;
    let mut measure = workspace.cargo(["run", "--quiet", "--release", "--package", "xtask"]);
    measure.args(["--features", "bench", "--", "bench", "--measuring"]);
    measure.args(flags(args));
    if let Some(directory) = &args.dir {
        measure.arg("--dir").arg(directory);
    }
    shown(&mut measure)
}

/// What is to be measured.
fn figures(args: &BenchArgs) -> Vec<Figure> {
    let all = Figure::value_variants().iter().copied();
    all.filter(|figure| args.only.is_empty() || args.only.contains(figure))
        .collect()
}

/// The flags of `args`, except where to measure.
fn flags(args: &BenchArgs) -> Vec<String> {
    let numbers = [
        ("--runs", args.runs as u64),
        ("--events", args.events),
        ("--rows", args.rows),
        ("--seconds", args.seconds),
        ("--loops", args.loops),
    ];
    let numbers = numbers
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]);
    let only = args.only.iter().filter_map(|figure| {
        let value = figure.to_possible_value()?;
        Some(format!("--only={}", value.get_name()))
    });
    numbers
        .chain(only)
        .chain(args.write.then(|| "--write".to_owned()))
        .collect()
}

/// The command that makes the table again.
fn command_line(args: &BenchArgs) -> String {
    format!("cargo xtask bench {}", flags(args).join(" "))
}
