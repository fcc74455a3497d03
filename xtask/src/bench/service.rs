//! The sprite service under load on loopback: how many answers, how late the
//! slow ones are, and whether its memory stays.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use om_model::json;
use serde_json::Value;

use super::Plan;
use super::http::{self, Connection};
use super::load::{self, LoadResult, Server};
use super::process::resident;
use super::report::Row;
use super::rows::{Bench, mebibytes};
use super::sample::milliseconds;
use crate::error::Error;

/// Answers per second, at least.
const RATE_LIMIT: u64 = 5_000;
/// 99 of 100 answers come within this time.
const P99_LIMIT: Duration = Duration::from_millis(50);
/// What a server may hold more at the end of a load than early in it.
const GROWTH_LIMIT: u64 = 6 * 1024 * 1024;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 64;
/// Lines of the event log.
const EVENTS: u64 = 1_000;
/// Lines that each poll has not seen.
const NEW_EVENTS: u64 = 10;
/// The first of so many parts of a load fills caches and lets memory settle.
const SETTLING: u32 = 4;

/// Both routes, and the memory over both.
pub(super) fn measure(plan: &Plan) -> Result<[Row; 3], Error> {
    let bench = Bench::create(plan, "service", EVENTS)?;
    let server = start(plan, &bench, None)?;
    let loop_id = bench.generated.loop_id();
    let snapshots = format!("/ops/snapshot?loopId={loop_id}");
    let polls = format!(
        "/ops/events?loopId={loop_id}&cursor={}",
        EVENTS - NEW_EVENTS
    );
    let snapshot = document(&server, &snapshots)?;
    let entries = read_summary(&bench)?;
    expect("a snapshot", &snapshot["health"]["eventCount"], EVENTS)?;
    expect("the run summary", &entries.into(), 5)?;
    let events = document(&server, &polls)?;
    let count = events["events"].as_array().map(Vec::len);
    expect("a poll", &count.into(), NEW_EVENTS)?;

    let first = load_and_watch(plan, &server, &snapshots)?;
    let first_floor = bare(plan, &snapshot)?;
    let second = load_and_watch(plan, &server, &polls)?;
    let second_floor = bare(plan, &events)?;
    Ok([
        row(
            "snapshots of the service, 64 kept connections",
            &first.load,
            &first_floor,
        ),
        row(
            "event polls of the service, 10 of 1000 events",
            &second.load,
            &second_floor,
        ),
        memory(&first, &second),
    ])
}

/// A load, and what the server held in memory early and at the end of it.
struct Watched {
    load: LoadResult,
    early: u64,
    late: u64,
}

/// The service on the loop's repository, acting through a runtime if it is
/// given one.
pub(super) fn start(plan: &Plan, bench: &Bench, runtime: Option<&Path>) -> Result<Server, Error> {
    serve(plan, bench.generated.repo(), runtime)
}

/// [`start`] for any repository.
pub(super) fn serve(plan: &Plan, repo: &Path, runtime: Option<&Path>) -> Result<Server, Error> {
    let mut command = Command::new(plan.binaries.join("ops-manager-sprite-service"));
    command.arg("--repo").arg(repo);
    command
        .args(["--port", "0"])
        .env_remove("OPS_MANAGER_SERVICE_TOKEN");
    if let Some(runtime) = runtime {
        command.env("SUPERLOOP_BIN", runtime);
    }
    Server::start(&mut command)
}

/// What one request gets.
fn document(server: &Server, target: &str) -> Result<Value, Error> {
    let get = || Connection::open(&server.address)?.exchange(&http::get(&server.address, target));
    let answer = get().map_err(|error| Error::Bench(format!("GET {target}: {error}")))?;
    match json::parse(&answer.body) {
        Ok(document) if answer.is_ok() => Ok(document),
        _ => Err(Error::Bench(format!("GET {target}: {}", answer.start_line))),
    }
}

/// How many entries the summary has that every snapshot reads.
fn read_summary(bench: &Bench) -> Result<Option<usize>, Error> {
    let path = bench
        .generated
        .events_file()
        .with_file_name("run-summary.json");
    let content = fs::read(&path).map_err(Error::file("read", &path))?;
    let summary = json::parse(&content).ok();
    Ok(summary.and_then(|summary| Some(summary["entries"].as_array()?.len())))
}

fn expect(what: &str, found: &Value, expected: u64) -> Result<(), Error> {
    if found.as_u64() == Some(expected) {
        return Ok(());
    }
    Err(Error::Bench(format!(
        "{what} has {found} instead of {expected}"
    )))
}

fn load_and_watch(plan: &Plan, server: &Server, target: &str) -> Result<Watched, Error> {
    let (load, early) = thread::scope(|scope| {
        let load = scope.spawn(|| load::load(&server.address, target, CONNECTIONS, plan.seconds));
        thread::sleep(Duration::from_secs(plan.seconds) / SETTLING);
        let early = resident(server.pid());
        let panicked = |_| Err(Error::Bench("watching the service panicked".to_owned()));
        (load.join().unwrap_or_else(panicked), early)
    });
    Ok(Watched {
        load: load?,
        early,
        late: resident(server.pid()),
    })
}

fn memory(snapshots: &Watched, polls: &Watched) -> Row {
    let flat = |watched: &Watched| watched.late > 0 && watched.late <= watched.early + GROWTH_LIMIT;
    let sizes = [snapshots, polls].map(|watched| {
        let answered = watched.load.answered;
        format!("{} after {answered} answers", mebibytes(watched.late))
    });
    let early = [snapshots, polls].map(|watched| mebibytes(watched.early));
    Row {
        what: "memory of the service under each load",
        limit: format!(
            "{} more at the end than after a quarter",
            mebibytes(GROWTH_LIMIT)
        ),
        measured: sizes.join("; "),
        floor: format!("{} after a quarter of each", early.join("; ")),
        met: flat(snapshots) && flat(polls),
    }
}

/// The same load on a server that answers with the same bytes from memory.
fn bare(plan: &Plan, document: &Value) -> Result<LoadResult, Error> {
    let path = plan.directory.join("answer.json");
    fs::write(&path, json::compact(document)).map_err(Error::file("write", &path))?;
    let server = Server::bare(&path)?;
    load::load(&server.address, "/", CONNECTIONS, plan.seconds.div_ceil(4))
}

fn row(what: &'static str, load: &LoadResult, floor: &LoadResult) -> Row {
    let failed = match load.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    Row {
        what,
        limit: format!("≥ {RATE_LIMIT}/s, p99 ≤ {}", milliseconds(P99_LIMIT)),
        measured: format!("{}/s, p99 {}{failed}", load.rate, milliseconds(load.p99)),
        floor: format!("{}/s, p99 {}", floor.rate, milliseconds(floor.p99)),
        met: load.rate >= RATE_LIMIT && load.p99 <= P99_LIMIT && load.failed == 0,
    }
}
