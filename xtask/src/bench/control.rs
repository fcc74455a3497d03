//! A control round trip with a runtime that returns at once: a process, and a
//! request to the service.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use om_model::json;
use serde_json::json;

use super::Plan;
use super::floor::Floor;
use super::http::{self, Connection};
use super::load::Server;
use super::report::Row;
use super::rows::Bench;
use super::sample::{Sample, milliseconds, timed};
use super::service;
use crate::error::Error;

/// Beyond the durable writes.
const LIMIT: Duration = Duration::from_millis(25);
/// The intent, and its outcome (decision D7).
const COMMITS: usize = 2;
/// The idempotency key as well (decision D12).
const SERVICE_COMMITS: usize = 3;

/// Both ways to act on a loop.
pub(super) fn measure(plan: &Plan) -> Result<[Row; 2], Error> {
    Ok([process(plan)?, request(plan)?])
}

fn process(plan: &Plan) -> Result<Row, Error> {
    let (bench, runtime) = stopped_loop(plan, "control")?;
    let command = bench
        .command(plan, "ops-manager-control")
        .with("--intent")
        .with("cancel")
        .env("SUPERLOOP_BIN", &runtime.display().to_string());
    // The first control creates the files; all others find them.
    command.time()?;
    let floor = bench.floor(plan, "control-floor", COMMITS, || command.time())?;
    let what = "control, confirmed, whole process";
    row(plan, what, &floor, || command.time())
}

fn request(plan: &Plan) -> Result<Row, Error> {
    let (bench, runtime) = stopped_loop(plan, "control-service")?;
    let server = service::start(plan, &bench, Some(&runtime))?;
    let mut connection = open(&server)?;
    let mut number = 0;
    let mut control = || {
        number += 1;
        let body = json!({
            "loopId": bench.generated.loop_id(),
            "intent": "cancel",
            "by": "bench",
            "idempotencyKey": format!("bench-{number}"),
        });
        let request = http::post(&server.address, "/ops/control", &json::compact(&body));
        timed(|| {
            let answer = connection.exchange(&request);
            let answer = answer.map_err(|error| Error::Bench(format!("control: {error}")))?;
            if answer.is_ok() {
                Ok(())
            } else {
                Err(Error::Bench(format!("control: {}", answer.start_line)))
            }
        })
    };
    control()?;
    let floor = bench.floor(plan, "control-service-floor", SERVICE_COMMITS, &mut control)?;
    let what = "control over the service, confirmed, one kept connection";
    row(plan, what, &floor, control)
}

fn open(server: &Server) -> Result<Connection, Error> {
    Connection::open(&server.address)
        .map_err(|error| Error::Bench(format!("connecting to the service: {error}")))
}

fn row(
    plan: &Plan,
    what: &'static str,
    floor: &Floor,
    mut control: impl FnMut() -> Result<Duration, Error>,
) -> Result<Row, Error> {
    let [mut times, mut bare, mut syncs] = [(); 3].map(|()| Sample::default());
    for _ in 0..plan.runs {
        times.push(control()?);
        let floor_time = floor.write()?;
        bare.push(floor_time.total);
        syncs.push(floor_time.sync);
    }
    let [time, bare, sync] = [times, bare, syncs].map(|sample| sample.median());
    Ok(Row {
        what,
        limit: format!("{} + syncs {}", milliseconds(LIMIT), milliseconds(sync)),
        measured: milliseconds(time),
        floor: format!("{} ({})", milliseconds(bare), floor.describe()),
        met: time <= LIMIT + sync,
    })
}

/// A loop that does not run, so that a cancel is confirmed at the first look,
/// and a runtime that returns at once.
fn stopped_loop(plan: &Plan, name: &str) -> Result<(Bench, PathBuf), Error> {
    let bench = Bench::create(plan, name, 100)?;
    let superloop = bench.generated.repo().join(".superloop");
    for file in ["state.json", "active-run.json"] {
        let path = superloop.join(file);
        fs::remove_file(&path).map_err(Error::file("remove", &path))?;
    }
    let runtime = plan.directory.join(format!("{name}-runtime"));
    write_executable(&runtime, "#!/bin/sh\nexit 0\n")?;
    Ok((bench, runtime))
}

fn write_executable(path: &Path, content: &str) -> Result<(), Error> {
    let write = || {
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
    };
    write().map_err(Error::file("write", path))
}
