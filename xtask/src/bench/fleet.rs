//! One pass over a whole fleet of local loops.

use std::path::Path;
use std::time::Duration;

use super::Plan;
use super::fleet_floor::FleetFloor;
use super::floor::Snapshot;
use super::process::Measured;
use super::report::Row;
use super::rows::{mebibytes, now};
use super::sample::{Sample, milliseconds, ratio};
use crate::error::Error;
use crate::gen_fleet::{self, GeneratedFleet};

/// The pass over [`LOOPS`] loops; in proportion for others.
const LIMIT: Duration = Duration::from_millis(1_500);
const LOOPS: u64 = 1_000;
/// The same as a multiple of its floor.
const FLOOR_LIMIT: f64 = 1.5;
const MEMORY_LIMIT: u64 = 64 * 1024 * 1024;
/// The large fleet has so many times more loops, and may take so much longer.
const SCALE: u64 = 10;
const LARGE_MEMORY_LIMIT: u64 = 256 * 1024 * 1024;

/// Lines of each log.
const EVENTS: u64 = 50;
/// Lines of each that a pass finds.
const NEW_EVENTS: u64 = 10;
/// Passes at the same time, by default.
const THREADS: usize = 2;
/// Passes before the first that counts.
const WARMING: usize = 2;

/// The fleet, and one of ten times as many loops.
pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>, Error> {
    let mut fleet = Fleet::warm(plan, "fleet", plan.loops)?;
    let floor = fleet.floor(plan)?;
    let [mut times, mut bare] = [(); 2].map(|()| Sample::default());
    for _ in 0..(plan.runs / 5).max(5) {
        times.push(fleet.pass()?);
        bare.push(floor.write()?);
    }
    let [time, bare] = [times, bare].map(|sample| sample.median());
    let memory = fleet.peak_memory()?;
    let limit = Duration::from_secs_f64(LIMIT.as_secs_f64() * share(plan.loops, LOOPS));
    let multiple = ratio(time, bare);
    let mut rows = vec![
        Row {
            what: "fleet-reconcile, local loops, 10 new events each, whole process",
            limit: format!("{} and {FLOOR_LIMIT} × floor", milliseconds(limit)),
            measured: format!(
                "{} for {} loops = {multiple:.2} × floor",
                milliseconds(time),
                plan.loops
            ),
            floor: format!("{} ({})", milliseconds(bare), floor.describe()),
            met: time <= limit && multiple <= FLOOR_LIMIT,
        },
        Row {
            what: "its peak memory",
            limit: mebibytes(MEMORY_LIMIT),
            measured: mebibytes(memory),
            floor: "-".to_owned(),
            met: memory <= MEMORY_LIMIT,
        },
    ];
    drop(fleet);
    rows.extend(large(plan, time)?);
    Ok(rows)
}

fn large(plan: &Plan, small: Duration) -> Result<[Row; 2], Error> {
    let loops = plan.loops * SCALE;
    let mut fleet = Fleet::warm(plan, "fleet-large", loops)?;
    let mut times = Sample::default();
    for _ in 0..3 {
        times.push(fleet.pass()?);
    }
    let time = times.median();
    let memory = fleet.peak_memory()?;
    let multiple = ratio(time, small);
    Ok([
        Row {
            what: "the same for ten times as many loops",
            limit: format!("{SCALE} × the time of a tenth of them"),
            measured: format!("{} for {loops} loops = {multiple:.1} ×", milliseconds(time)),
            floor: format!("{} (a tenth of them)", milliseconds(small)),
            met: multiple <= f64::from(u32::try_from(SCALE).unwrap_or(u32::MAX)),
        },
        Row {
            what: "its peak memory",
            limit: mebibytes(LARGE_MEMORY_LIMIT),
            measured: mebibytes(memory),
            floor: "-".to_owned(),
            met: memory <= LARGE_MEMORY_LIMIT,
        },
    ])
}

/// A fleet under measurement.
struct Fleet {
    generated: GeneratedFleet,
    command: Measured,
}

impl Fleet {
    fn warm(plan: &Plan, name: &str, loops: u64) -> Result<Self, Error> {
        let repo = plan.directory.join(name);
        let generated = GeneratedFleet::create(&gen_fleet::Plan {
            repo: &repo,
            loops,
            events: EVENTS,
            service: None,
            ending_at: now(),
        })?;
        let command = Measured::of_fleet(&plan.binaries, "ops-manager-fleet-reconcile", &repo);
        let mut fleet = Self { generated, command };
        for _ in 0..WARMING {
            fleet.pass()?;
        }
        Ok(fleet)
    }

    fn pass(&mut self) -> Result<Duration, Error> {
        self.generated.append(NEW_EVENTS)?;
        self.command.time()
    }

    fn peak_memory(&mut self) -> Result<u64, Error> {
        self.generated.append(NEW_EVENTS)?;
        self.command.peak_memory()
    }

    /// The floor of what one pass writes.
    fn floor(&mut self, plan: &Plan) -> Result<FleetFloor, Error> {
        let ops = self.generated.repo().join(".superloop/ops-manager");
        let before = Snapshot::take(&ops)?;
        self.pass()?;
        let members = Snapshot::take(&ops)?.since_by_folder(&before, &ops);
        FleetFloor::prepare(&plan.directory.join("fleet-floor"), members, THREADS)
    }
}

/// `part` of `whole`.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    let exact = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    exact(part) / exact(whole)
}

/// Removes a fleet that is measured, so that the next one finds room.
impl Drop for Fleet {
    fn drop(&mut self) {
        let repo: &Path = self.generated.repo();
        // The whole directory is removed at the end in any case.
        let _ = std::fs::remove_dir_all(repo);
    }
}
