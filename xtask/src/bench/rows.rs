//! The figures, one function each, in the order of the table.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use om_model::{LoopId, Timestamp};

use super::floor::{Floor, Snapshot, read_all};
use super::process::Measured;
use super::report::Row;
use super::sample::{Sample, milliseconds, ratio, timed};
use super::{Figure, Plan, alerts, control, fleet, fleet_policy, fleet_service, inside, service};
use crate::error::Error;
use crate::gen_loop::GeneratedLoop;
use crate::generated::names_in;

/// The whole process, beyond its durable writes.
const WARM_LIMIT: Duration = Duration::from_millis(10);
/// The pass inside the process, as a multiple of its floor.
const WARM_INSIDE_LIMIT: f64 = 2.0;
/// From the start of the long log.
const REPLAY_LIMIT: Duration = Duration::from_millis(500);
/// Memory whatever the length of the log, plus three times its longest line.
const MEMORY_LIMIT: u64 = 32 * 1024 * 1024;
/// A long log may cost this much more than a short one.
const GROWTH_LIMIT: f64 = 1.2;
/// Status over long journals.
const STATUS_LIMIT: Duration = Duration::from_millis(20);

/// Commits of a pass with nothing to escalate.
const COMMITS: usize = 1;
/// Events that a warm pass finds.
const WARM_EVENTS: u64 = 50;
/// Bytes at the end of a journal that the floor of status reads.
const TAIL: u64 = 128 * 1024;

/// Measures everything; says on standard error what it is about.
pub(super) fn measure(plan: &Plan) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for figure in &plan.figures {
        eprintln!("{figure:?} …");
        match figure {
            Figure::Loop => {
                rows.extend(warm_pass(plan)?);
                rows.extend(replay(plan)?);
                rows.push(growth(plan)?);
                rows.push(status(plan)?);
            }
            Figure::Service => rows.extend(service::measure(plan)?),
            Figure::Control => rows.extend(control::measure(plan)?),
            Figure::Alerts => rows.push(alerts::measure(plan)?),
            Figure::Fleet => rows.extend(fleet::measure(plan)?),
            Figure::FleetService => rows.extend(fleet_service::measure(plan)?),
            Figure::FleetPolicy => rows.extend(fleet_policy::measure(plan)?),
        }
    }
    Ok(rows)
}

/// The time, in whole seconds.
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_epoch.unwrap_or_default().as_secs();
    Timestamp::from_epoch_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// A repository under measurement.
pub(super) struct Bench {
    pub(super) generated: GeneratedLoop,
}

impl Bench {
    /// A loop with `events` events and three passes behind it.
    pub(super) fn warm(plan: &Plan, name: &str, events: u64) -> Result<Self, Error> {
        let bench = Self::create(plan, name, events)?;
        for _ in 0..3 {
            bench.command(plan, "ops-manager-reconcile").time()?;
        }
        Ok(bench)
    }

    /// A loop with `events` events that nobody has looked at yet.
    pub(super) fn create(plan: &Plan, name: &str, events: u64) -> Result<Self, Error> {
        let loop_id = LoopId::new("bench-loop")?;
        let repo = plan.directory.join(name);
        Ok(Self {
            generated: GeneratedLoop::create(&repo, loop_id, events, now())?,
        })
    }

    pub(super) fn command(&self, plan: &Plan, name: &str) -> Measured {
        let loop_id = self.generated.loop_id().as_str();
        Measured::new(&plan.binaries, name, self.generated.repo(), loop_id)
    }

    fn inside(&self) -> Result<Duration, Error> {
        inside::reconcile(self.generated.repo(), self.generated.loop_id().as_str())
    }

    /// Where the ops manager keeps what it knows about the loop.
    pub(super) fn scope(&self) -> PathBuf {
        let ops = self.generated.repo().join(".superloop/ops-manager");
        ops.join(self.generated.loop_id().as_str())
    }

    /// The floor of what `pass` writes, in that many commits.
    pub(super) fn floor(
        &self,
        plan: &Plan,
        name: &str,
        commits: usize,
        pass: impl FnOnce() -> Result<Duration, Error>,
    ) -> Result<Floor, Error> {
        let before = Snapshot::take(&self.scope())?;
        pass()?;
        let written = Snapshot::take(&self.scope())?.since(&before);
        Floor::prepare(&plan.directory.join(name), written, commits)
    }
}

/// One warm pass with new events: the whole process, and inside of it.
fn warm_pass(plan: &Plan) -> Result<[Row; 2], Error> {
    let mut bench = Bench::warm(plan, "warm", 1_000)?;
    let command = bench.command(plan, "ops-manager-reconcile");
    bench.generated.append(WARM_EVENTS)?;
    let floor = bench.floor(plan, "warm-floor", COMMITS, || command.time())?;
    let [mut process, mut inside, mut bare, mut sync] = [(); 4].map(|()| Sample::default());
    for _ in 0..plan.runs {
        bench.generated.append(WARM_EVENTS)?;
        process.push(command.time()?);
        bench.generated.append(WARM_EVENTS)?;
        inside.push(bench.inside()?);
        let floor_time = floor.write()?;
        bare.push(floor_time.total);
        sync.push(floor_time.sync);
    }
    let [process, inside, bare, sync] = [process, inside, bare, sync].map(|s| s.median());
    let floor_text = format!(
        "{} ({}; their syncs {})",
        milliseconds(bare),
        floor.describe(),
        milliseconds(sync)
    );
    let multiple = ratio(inside, bare);
    Ok([
        Row {
            what: "one warm reconcile, 50 new events, whole process",
            limit: format!(
                "{} + syncs {}",
                milliseconds(WARM_LIMIT),
                milliseconds(sync)
            ),
            measured: milliseconds(process),
            floor: floor_text,
            met: process <= WARM_LIMIT + sync,
        },
        Row {
            what: "the same inside the process",
            limit: format!("{WARM_INSIDE_LIMIT} × floor"),
            measured: format!("{} = {multiple:.2} × floor", milliseconds(inside)),
            floor: milliseconds(bare),
            met: multiple <= WARM_INSIDE_LIMIT,
        },
    ])
}

/// A pass from the start of a long log: time, and memory.
fn replay(plan: &Plan) -> Result<[Row; 2], Error> {
    let short = Bench::warm(plan, "replay-short", plan.events / 10)?;
    let long = Bench::warm(plan, "replay", plan.events)?;
    let command = |bench: &Bench| {
        bench
            .command(plan, "ops-manager-reconcile")
            .with("--from-start")
    };
    let replay = command(&long);
    let floor = long.floor(plan, "replay-floor", COMMITS, || replay.time())?;
    let event_log = [long.generated.events_file()];
    let [mut process, mut bare] = [(); 2].map(|()| Sample::default());
    for _ in 0..(plan.runs / 4).max(3) {
        process.push(replay.time()?);
        bare.push(floor.write()?.total + read_all(&event_log)?);
    }
    let [process, bare] = [process, bare].map(|sample| sample.median());
    let memory = peak_of(&replay, 5)?;
    let short_memory = peak_of(&command(&short), 5)?;
    let longest = longest_line(&event_log[0])?;
    Ok([
        Row {
            what: "reconcile from the start of a long log, whole process",
            limit: milliseconds(REPLAY_LIMIT),
            measured: format!("{} for {} events", milliseconds(process), plan.events),
            floor: format!("{} (reading the log once, and writing)", milliseconds(bare)),
            met: process <= REPLAY_LIMIT,
        },
        Row {
            what: "its peak memory",
            limit: format!(
                "{} + 3 × {longest} bytes, whatever the length of the log",
                mebibytes(MEMORY_LIMIT)
            ),
            measured: mebibytes(memory),
            floor: format!("{} for a tenth of the log", mebibytes(short_memory)),
            met: memory <= MEMORY_LIMIT + 3 * longest,
        },
    ])
}

/// The greatest of several runs.
fn peak_of(command: &Measured, runs: usize) -> Result<u64, Error> {
    let mut peak = 0;
    for _ in 0..runs {
        peak = peak.max(command.peak_memory()?);
    }
    Ok(peak)
}

fn longest_line(path: &Path) -> Result<u64, Error> {
    let content = fs::read(path).map_err(Error::file("read", path))?;
    let longest = content.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    Ok(longest.unwrap_or(0) as u64)
}

pub(super) fn mebibytes(bytes: u64) -> String {
    // In tenths, rounded: exact enough for people.
    let tenths = (bytes * 10 + 512 * 1024) / (1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A warm pass on a long log in turns with one on a short log.
fn growth(plan: &Plan) -> Result<Row, Error> {
    let mut short = Bench::warm(plan, "growth-short", 100)?;
    let mut long = Bench::warm(plan, "growth-long", plan.events)?;
    let [
        mut process_short,
        mut process_long,
        mut inside_short,
        mut inside_long,
    ] = [(); 4].map(|()| Sample::default());
    for run in 0..plan.runs {
        for bench in [&mut short, &mut long] {
            bench.generated.append(10)?;
        }
        let commands = [&short, &long].map(|bench| bench.command(plan, "ops-manager-reconcile"));
        // The first of two runs meets other caches than the second.
        if run % 2 == 0 {
            process_short.push(commands[0].time()?);
            process_long.push(commands[1].time()?);
        } else {
            process_long.push(commands[1].time()?);
            process_short.push(commands[0].time()?);
        }
        for bench in [&mut short, &mut long] {
            bench.generated.append(10)?;
        }
        if run % 2 == 0 {
            inside_short.push(short.inside()?);
            inside_long.push(long.inside()?);
        } else {
            inside_long.push(long.inside()?);
            inside_short.push(short.inside()?);
        }
    }
    let process = ratio(process_long.median(), process_short.median());
    let inside = ratio(inside_long.median(), inside_short.median());
    Ok(Row {
        what: "warm reconcile on the long log, 10 new events, whole process and inside",
        limit: format!("{GROWTH_LIMIT} × the same on a log of 100 events"),
        measured: format!(
            "{} = {process:.2} ×; inside {} = {inside:.2} ×",
            milliseconds(process_long.median()),
            milliseconds(inside_long.median())
        ),
        floor: format!(
            "{}; inside {} (the short log)",
            milliseconds(process_short.median()),
            milliseconds(inside_short.median())
        ),
        met: process <= GROWTH_LIMIT && inside <= GROWTH_LIMIT,
    })
}

/// Status over a loop with long telemetry journals.
fn status(plan: &Plan) -> Result<Row, Error> {
    let bench = Bench::warm(plan, "status", 100)?;
    let scope = bench.scope();
    let journals = files_with("jsonl", &scope.join("telemetry"))?;
    for journal in &journals {
        lengthen(journal, plan.rows)?;
    }
    let command = bench.command(plan, "ops-manager-status");
    let [mut process, mut bare] = [(); 2].map(|()| Sample::default());
    for _ in 0..plan.runs {
        process.push(command.time()?);
        bare.push(read_ends(&scope, &journals)?);
    }
    let [process, bare] = [process, bare].map(|sample| sample.median());
    Ok(Row {
        what: "status over long telemetry journals, whole process",
        limit: milliseconds(STATUS_LIMIT),
        measured: format!(
            "{} for {} journals of {} rows",
            milliseconds(process),
            journals.len(),
            plan.rows
        ),
        floor: format!(
            "{} (reading the documents and the journals' ends)",
            milliseconds(bare)
        ),
        met: process <= STATUS_LIMIT,
    })
}

/// The files directly in `directory` with that extension.
fn files_with(extension: &str, directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = names_in(directory)?;
    let paths = names.iter().map(|name| directory.join(name));
    Ok(paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect())
}

/// Repeats the last row of a journal until it has `rows` rows.
fn lengthen(journal: &Path, rows: u64) -> Result<(), Error> {
    let content = fs::read(journal).map_err(Error::file("read", journal))?;
    let mut lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let Some(last) = lines.pop() else {
        return Ok(());
    };
    let write = || {
        let mut file = BufWriter::new(File::options().append(true).open(journal)?);
        for _ in lines.len() as u64 + 1..rows {
            file.write_all(last)?;
        }
        file.flush()
    };
    write().map_err(Error::file("append to", journal))
}

/// Reads every document of a loop, and the end of every journal.
fn read_ends(scope: &Path, journals: &[PathBuf]) -> Result<Duration, Error> {
    let documents = files_with("json", scope)?;
    let documents_time = read_all(&documents)?;
    let journals_time = timed(|| {
        for journal in journals {
            let read = || {
                let mut file = File::open(journal)?;
                let length = file.metadata()?.len();
                file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
                file.read_to_end(&mut Vec::new())
            };
            read().map_err(Error::file("read", journal))?;
        }
        Ok(())
    })?;
    Ok(documents_time + journals_time)
}
