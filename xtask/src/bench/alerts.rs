//! Many escalation rows to a local webhook, each recorded durably before the
//! next one is sent.

use std::fs;
use std::path::Path;
use std::time::Duration;

use om_model::json;
use serde_json::json;

use super::Plan;
use super::floor::Floor;
use super::load::Server;
use super::process::Measured;
use super::report::Row;
use super::rows::Bench;
use super::sample::{Sample, milliseconds};
use crate::config::read_json;
use crate::error::Error;

/// Beyond the durable writes.
const LIMIT: Duration = Duration::from_secs(3);
/// Rows that nobody has heard of.
const ROWS: u64 = 1_000;

/// One run of the dispatcher over all rows.
pub(super) fn measure(plan: &Plan) -> Result<Row, Error> {
    let answer = plan.directory.join("webhook-answer.json");
    write(&answer, "{}")?;
    let receiver = Server::bare(&answer)?;
    let sinks = plan.directory.join("sinks.json");
    write(&sinks, &json::compact(&sink_config()))?;
    let [mut times, mut bare, mut syncs] = [(); 3].map(|()| Sample::default());
    let mut described = String::new();
    for run in 0..(plan.runs / 17).max(3) {
        let bench = Bench::create(plan, &format!("alerts-{run}"), 100)?;
        escalate(&bench)?;
        let dispatch = || dispatcher(plan, &bench, &receiver, &sinks);
        let floor = one_row(plan, &bench, run, dispatch)?;
        described = floor.describe();
        times.push(dispatch().time()?);
        let [total, sync] = write_all(&floor)?;
        bare.push(total);
        syncs.push(sync);
        all_delivered(&bench)?;
    }
    let [time, bare, sync] = [times, bare, syncs].map(|sample| sample.median());
    Ok(Row {
        what: "1000 escalation rows to a local webhook, whole process",
        limit: format!("{} + syncs {}", milliseconds(LIMIT), milliseconds(sync)),
        measured: milliseconds(time),
        floor: format!("{} ({ROWS} × {described})", milliseconds(bare)),
        met: time <= LIMIT + sync,
    })
}

/// The floor of delivering one row; the loop has two more to begin with.
fn one_row(
    plan: &Plan,
    bench: &Bench,
    run: usize,
    dispatch: impl Fn() -> Measured,
) -> Result<Floor, Error> {
    let one = || dispatch().with("--max-escalations").with("1").time();
    one()?;
    bench.floor(plan, &format!("alerts-floor-{run}"), 1, one)
}

/// As often as there are rows: everything, and the durable part of it.
fn write_all(floor: &Floor) -> Result<[Duration; 2], Error> {
    let [mut total, mut sync] = [Duration::ZERO; 2];
    for _ in 0..ROWS {
        let time = floor.write()?;
        total += time.total;
        sync += time.sync;
    }
    Ok([total, sync])
}

fn dispatcher(plan: &Plan, bench: &Bench, receiver: &Server, sinks: &Path) -> Measured {
    bench
        .command(plan, "ops-manager-alert-dispatch")
        .with("--alert-config-file")
        .with(&sinks.display().to_string())
        .env(
            "BENCH_WEBHOOK_URL",
            &format!("http://{}/", receiver.address),
        )
}

fn sink_config() -> serde_json::Value {
    json!({
        "schemaVersion": "v1",
        "defaultMinSeverity": "warning",
        "sinks": {
            "bench": { "enabled": true, "type": "webhook", "urlEnv": "BENCH_WEBHOOK_URL" },
        },
        "routing": { "defaultSinks": ["bench"], "categorySeverity": {}, "routes": [] },
    })
}

/// Writes the rows, and two for finding out what one costs.
fn escalate(bench: &Bench) -> Result<(), Error> {
    let scope = bench.scope();
    fs::create_dir_all(&scope).map_err(Error::file("create", &scope))?;
    let row = |number| {
        json::compact(&json!({
            "timestamp": "2031-05-02T08:00:00Z",
            "loopId": bench.generated.loop_id(),
            "traceId": format!("bench-{number}"),
            "category": "health_critical",
            "transport": "local",
            "healthStatus": "critical",
            "reasonCodes": ["ingest_stale"],
        })) + "\n"
    };
    let rows: String = (0..ROWS + 2).map(row).collect();
    write(&scope.join("escalations.jsonl"), &rows)
}

fn all_delivered(bench: &Bench) -> Result<(), Error> {
    let state = read_json(&bench.scope().join("alert-dispatch-state.json"))?;
    if state["dispatchedCount"] == ROWS {
        return Ok(());
    }
    Err(Error::Bench(format!("alerts: {state}")))
}

fn write(path: &Path, content: &str) -> Result<(), Error> {
    fs::write(path, content).map_err(Error::file("write", path))
}
