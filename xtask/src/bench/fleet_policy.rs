//! Policy, handoff plan and status over a large fleet with a long history.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::Plan;
use super::fleet::share;
use super::floor::{Floor, Written, read_all};
use super::process::Measured;
use super::report::Row;
use super::rows::mebibytes;
use super::sample::{Sample, milliseconds};
use crate::error::Error;
use crate::gen_fleet;

/// All three of [`LOOPS`] loops; in proportion for others.
const LIMIT: Duration = Duration::from_secs(1);
const LOOPS: u64 = 10_000;
/// Making the summary of a million rows anew.
const REBUILD_LIMIT: Duration = Duration::from_secs(5);
const MILLION: u64 = 1_000_000;

/// Ten times the loops of the other figures.
const SCALE: u64 = 10;

/// The commands, in the order of a cycle.
const COMMANDS: [&str; 3] = [
    "ops-manager-fleet-policy",
    "ops-manager-fleet-handoff",
    "ops-manager-fleet-status",
];

/// The three warm, and policy after its summaries were lost.
pub(super) fn measure(plan: &Plan) -> Result<[Row; 3], Error> {
    let fleet = Fleet::create(plan)?;
    let before = fleet.sizes()?;
    fleet.cycle()?;
    let after = fleet.sizes()?;
    let floor = fleet.floor(plan, &before, &after)?;
    let mut parts = COMMANDS.map(|_| Sample::default());
    let [mut all, mut bare] = [(); 2].map(|()| Sample::default());
    for _ in 0..(plan.runs / 5).max(5) {
        let times = fleet.cycle()?;
        all.push(times.iter().sum());
        for (part, time) in parts.iter_mut().zip(times) {
            part.push(time);
        }
        bare.push(floor.write()?.total + read_all(&fleet.documents())?);
    }
    let [all, bare] = [all, bare].map(|sample| sample.median());
    let [policy, handoff, status] = parts.map(|part| milliseconds(part.median()));
    let mut rebuilt = Sample::default();
    for _ in 0..3 {
        rebuilt.push(fleet.rebuild()?);
    }
    let rebuilt = rebuilt.median();
    let peaks = fleet.commands.iter().map(Measured::peak_memory);
    let peaks = peaks.collect::<Result<Vec<_>, _>>()?;
    let peaks: Vec<String> = peaks.into_iter().map(mebibytes).collect();
    let loops = plan.loops * SCALE;
    let limit = Duration::from_secs_f64(LIMIT.as_secs_f64() * share(loops, LOOPS));
    let rebuild_limit =
        Duration::from_secs_f64(REBUILD_LIMIT.as_secs_f64() * share(plan.rows, MILLION));
    Ok([
        Row {
            what: "fleet-policy, handoff plan and fleet-status, every loop a candidate, warm",
            limit: milliseconds(limit),
            measured: format!(
                "{} for {loops} loops and {} history rows (policy {policy}, handoff {handoff}, \
                 status {status})",
                milliseconds(all),
                plan.rows
            ),
            floor: format!(
                "{} (reading the documents once, and writing {})",
                milliseconds(bare),
                floor.describe()
            ),
            met: all <= limit,
        },
        Row {
            what: "fleet-policy when it has to read the whole history again",
            limit: milliseconds(rebuild_limit),
            measured: format!("{} for {} rows", milliseconds(rebuilt), plan.rows),
            floor: format!(
                "{} (reading the history once)",
                milliseconds(read_all(&[fleet.history()])?)
            ),
            met: rebuilt <= rebuild_limit,
        },
        Row {
            what: "peak memory of the three",
            limit: "-".to_owned(),
            measured: peaks.join(", "),
            floor: "-".to_owned(),
            met: true,
        },
    ])
}

/// A fleet whose loops have all failed.
struct Fleet {
    directory: PathBuf,
    commands: [Measured; 3],
}

impl Fleet {
    /// A fan-out over loops that are not there, judged once, and that
    /// judgement repeated in the history.
    fn create(plan: &Plan) -> Result<Self, Error> {
        let repo = plan.directory.join("fleet-policy");
        let entries = (1..=plan.loops * SCALE).map(gen_fleet::local);
        let mut registry = gen_fleet::registry(&entries.collect::<Vec<_>>());
        registry["policy"] = json!({
            "mode": "guarded_auto",
            "autonomous": { "governance": {
                "actor": "bench", "approvalRef": "BENCH-1", "rationale": "a benchmark",
                "changedAt": "2020-01-01T00:00:00Z", "reviewBy": "2999-01-01T00:00:00Z",
            } },
        });
        gen_fleet::write_registry(&repo, &registry)?;
        Measured::of_fleet(&plan.binaries, "ops-manager-fleet-reconcile", &repo).time()?;
        let fleet = Self {
            directory: repo.join(".superloop/ops-manager/fleet"),
            commands: COMMANDS.map(|name| Measured::of_fleet(&plan.binaries, name, &repo)),
        };
        fleet.cycle()?;
        fleet.lengthen_history(plan.rows)?;
        fleet.cycle()?;
        Ok(fleet)
    }

    /// How long each command took.
    fn cycle(&self) -> Result<[Duration; 3], Error> {
        let [policy, handoff, status] = &self.commands;
        Ok([policy.time()?, handoff.time()?, status.time()?])
    }

    /// Policy without the summaries of its journals.
    fn rebuild(&self) -> Result<Duration, Error> {
        let folds = self.directory.join(".store/folds");
        fs::remove_dir_all(&folds).map_err(Error::file("remove", &folds))?;
        self.commands[0].time()
    }

    fn history(&self) -> PathBuf {
        self.directory.join("telemetry/policy-history.jsonl")
    }

    /// Repeats what there is until there are `rows` rows.
    fn lengthen_history(&self, rows: u64) -> Result<(), Error> {
        let path = self.history();
        let content = fs::read(&path).map_err(Error::file("read", &path))?;
        let lines = content.split_inclusive(|byte| *byte == b'\n').count() as u64;
        let append = || {
            let mut file = File::options().append(true).open(&path)?;
            (1..rows / lines.max(1)).try_for_each(|_| file.write_all(&content))
        };
        append().map_err(Error::file("append to", &path))
    }

    /// What the commands read and write whole.
    fn documents(&self) -> Vec<PathBuf> {
        let names = ["state.json", "policy-state.json", "handoff-state.json"];
        names.map(|name| self.directory.join(name)).to_vec()
    }

    /// Sizes of the journals.
    fn sizes(&self) -> Result<Vec<usize>, Error> {
        let names = ["policy-history", "policy", "handoff"];
        let paths = names.map(|name| self.directory.join(format!("telemetry/{name}.jsonl")));
        paths.iter().map(|path| size(path)).collect()
    }

    /// The floor of a cycle that made the journals grow like this.
    fn floor(&self, plan: &Plan, before: &[usize], after: &[usize]) -> Result<Floor, Error> {
        let documents = self.documents();
        let written = documents[1..].iter().map(|path| size(path));
        let grown = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before);
        let written = Written::of(written.collect::<Result<_, _>>()?, grown.collect());
        // Policy and handoff commit once each.
        Floor::prepare(&plan.directory.join("fleet-policy-floor"), written, 2)
    }
}

fn size(path: &Path) -> Result<usize, Error> {
    let found = path.metadata().map_err(Error::file("look at", path))?;
    Ok(usize::try_from(found.len()).unwrap_or(usize::MAX))
}
