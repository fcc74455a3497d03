//! One pass over a fleet of loops behind services on loopback, some of which
//! accept connections and never answer.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::Plan;
use super::fleet::share;
use super::http::{self, Connection};
use super::process::Measured;
use super::report::Row;
use super::rows::now;
use super::sample::{Sample, milliseconds};
use super::service;
use crate::config::read_json;
use crate::error::Error;
use crate::gen_fleet::{self, GeneratedFleet};

/// All healthy ones of [`LOOPS`] loops are done; in proportion for others.
const LIMIT: Duration = Duration::from_secs(3);
const LOOPS: u64 = 1_000;
/// Beyond the limit of the last loop to be started.
const MARGIN: Duration = Duration::from_secs(1);
/// One loop in so many hangs.
const HANGING: usize = 20;
const PARALLEL: usize = 128;
const LOOP_SECONDS: u64 = 10;
const EVENTS: u64 = 50;
const NEW_EVENTS: u64 = 10;

/// The pass, until the healthy loops are done, and until all are.
pub(super) fn measure(plan: &Plan) -> Result<[Row; 2], Error> {
    let mut fleet = Fleet::create(plan)?;
    // Not for long: only what answers is to be warm.
    fleet.run(plan, 2)?;
    let [mut healthy, mut all, mut bare] = [(); 3].map(|()| Sample::default());
    for _ in 0..(plan.runs / 17).clamp(1, 3) {
        let pass = fleet.pass(plan)?;
        healthy.push(pass.healthy);
        all.push(pass.all);
        bare.push(fleet.bare()?);
    }
    let [healthy, all, bare] = [healthy, all, bare].map(|sample| sample.median());
    let limit = Duration::from_secs_f64(LIMIT.as_secs_f64() * share(plan.loops, LOOPS));
    let last = limit + Duration::from_secs(LOOP_SECONDS) + MARGIN;
    let (answering, hanging) = (fleet.answering(), fleet.hanging());
    Ok([
        Row {
            what: "fleet-reconcile, sprite services, 5 % of them hanging: those that answer",
            limit: milliseconds(limit),
            measured: format!(
                "{} for {answering} loops, {PARALLEL} at a time",
                milliseconds(healthy)
            ),
            floor: format!(
                "{} (a bare client with the same requests over {PARALLEL} connections)",
                milliseconds(bare)
            ),
            met: healthy <= limit,
        },
        Row {
            what: "the same until its end",
            limit: format!("{} after the last is begun", seconds(LOOP_SECONDS)),
            measured: format!("{}, {hanging} loops timed out", milliseconds(all)),
            floor: seconds(LOOP_SECONDS),
            met: all <= last,
        },
    ])
}

fn seconds(seconds: u64) -> String {
    milliseconds(Duration::from_secs(seconds))
}

struct Fleet {
    generated: GeneratedFleet,
    service: super::load::Server,
    /// Connections are accepted by the kernel, and by nobody else.
    _hanging: TcpListener,
}

struct Pass {
    healthy: Duration,
    all: Duration,
}

impl Fleet {
    fn create(plan: &Plan) -> Result<Self, Error> {
        let repo = plan.directory.join("fleet-service");
        let generated = GeneratedFleet::create(&gen_fleet::Plan {
            repo: &repo,
            loops: plan.loops,
            events: EVENTS,
            service: Some("http://127.0.0.1:1"),
            ending_at: now(),
        })?;
        let service = service::serve(plan, generated.home(), None)?;
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listener.local_addr().map(|address| (listener, address))
        };
        let (listener, address) =
            listen().map_err(|error| Error::Bench(format!("a listener: {error}")))?;
        let hanging = format!("http://{address}");
        let answering = format!("http://{}", service.address);
        let entries = (1..=plan.loops).map(|number| {
            let hangs = number % HANGING as u64 == 0;
            gen_fleet::served(number, if hangs { &hanging } else { &answering })
        });
        let registry = gen_fleet::registry(&entries.collect::<Vec<_>>());
        generated.write_registry(&registry)?;
        Ok(Self {
            generated,
            service,
            _hanging: listener,
        })
    }

    /// How long one pass takes, whatever comes of it.
    fn run(&self, plan: &Plan, loop_seconds: u64) -> Result<Duration, Error> {
        let repo = self.generated.repo();
        let command = Measured::of_fleet(&plan.binaries, "ops-manager-fleet-reconcile", repo)
            .with("--max-parallel")
            .with(&PARALLEL.to_string())
            .with("--loop-timeout-seconds")
            .with(&loop_seconds.to_string());
        command.time()
    }

    fn pass(&mut self, plan: &Plan) -> Result<Pass, Error> {
        self.generated.append(NEW_EVENTS)?;
        let begun = SystemTime::now();
        let all = self.run(plan, LOOP_SECONDS)?;
        self.expect_results()?;
        let mut healthy = Duration::ZERO;
        for ops in self.answering_scopes() {
            let rows = ops.join("telemetry/reconcile.jsonl");
            let found = rows.metadata().and_then(|found| found.modified());
            let written = found.map_err(Error::file("look at", &rows))?;
            healthy = healthy.max(written.duration_since(begun).unwrap_or_default());
        }
        Ok(Pass { healthy, all })
    }

    /// What answers succeeds, what hangs times out.
    fn expect_results(&self) -> Result<(), Error> {
        let fleet = self.generated.repo().join(".superloop/ops-manager/fleet");
        let state = read_json(&fleet.join("state.json"))?;
        let results = state["results"].as_array().cloned().unwrap_or_default();
        let with = |member: &str, value: &str| {
            let has = |result: &&Value| result[member] == value;
            results.iter().filter(has).count()
        };
        let found = (
            with("status", "success"),
            with("reasonCode", "reconcile_timeout"),
        );
        let expected = (self.answering(), self.hanging());
        if found == expected {
            return Ok(());
        }
        Err(Error::Bench(format!(
            "(successes, timeouts) are {found:?} instead of {expected:?}"
        )))
    }

    fn hanging(&self) -> usize {
        self.generated.loops().len() / HANGING
    }

    fn answering(&self) -> usize {
        self.generated.loops().len() - self.hanging()
    }

    /// Where the manager keeps what it knows of the loops that answer.
    fn answering_scopes(&self) -> impl Iterator<Item = PathBuf> {
        let ops = self.generated.repo().join(".superloop/ops-manager");
        let loops = self.generated.loops().iter().zip(1_usize..);
        let answering = loops.filter(|(_, number)| number % HANGING != 0);
        answering.map(move |(one, _)| ops.join(one.loop_id().as_str()))
    }

    /// The requests of a pass and nothing else.
    fn bare(&self) -> Result<Duration, Error> {
        let loops = self.generated.loops().iter().zip(1_usize..);
        let targets: Vec<[String; 2]> = loops
            .filter(|(_, number)| number % HANGING != 0)
            .map(|(one, _)| {
                let (id, seen) = (one.loop_id(), one.events() - NEW_EVENTS);
                [
                    format!("/ops/snapshot?loopId={id}"),
                    format!("/ops/events?loopId={id}&cursor={seen}"),
                ]
            })
            .collect();
        let address = &self.service.address;
        let start = Instant::now();
        let asked = thread::scope(|scope| {
            let parts = targets.chunks(targets.len().div_ceil(PARALLEL).max(1));
            let threads: Vec<_> = parts
                .map(|part| scope.spawn(move || ask(address, part)))
                .collect();
            let ends = threads.into_iter().map(ScopedJoinHandle::join);
            ends.collect::<Vec<_>>()
        });
        let elapsed = start.elapsed();
        for one in asked {
            match one {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Error::Bench(format!("a bare client: {error}"))),
                Err(_) => return Err(Error::Bench("a bare client panicked".to_owned())),
            }
        }
        Ok(elapsed)
    }
}

fn ask(address: &str, targets: &[[String; 2]]) -> std::io::Result<()> {
    let mut connection = Connection::open(address)?;
    for target in targets.iter().flatten() {
        connection.exchange(&http::get(address, target))?;
    }
    Ok(())
}

/// Removes what was measured, so that the next figure finds room.
impl Drop for Fleet {
    fn drop(&mut self) {
        let repo: &Path = self.generated.repo();
        // The whole directory is removed at the end in any case.
        let _ = std::fs::remove_dir_all(repo);
    }
}
