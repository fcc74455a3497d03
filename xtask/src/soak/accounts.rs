//! What everything must have left behind, once all is at rest: nothing lost,
//! nothing doubled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::journal::{all_rows, document, text};
use super::ledger::{Dispatch, Ledger, list};
use super::summary::Tally;
use super::world::{FAILED, LOCAL_LOOPS, LOOPS, World};

/// How often something was counted, by what it belongs to.
type Counts<'a> = BTreeMap<(&'a str, &'a str), u64>;

/// Everything that does not add up.
pub(super) fn check(
    world: &World,
    ledger: &Ledger,
    telemetry: &[Value],
    tally: &mut Tally,
) -> Vec<String> {
    let mut findings = Vec::new();
    let mut wrong = |result: Result<Vec<String>, String>| match result {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(error),
    };
    for dispatch in &ledger.dispatches {
        let mode = if dispatch.is_autonomous {
            "by itself"
        } else {
            "by hand"
        };
        tally.one(&format!("dispatches: {mode}, {}", dispatch.status()));
        let row = dispatch.outcome.as_ref();
        tally.add(
            "dispatches: recovered",
            u64::from(row.is_some_and(|row| row["recovered"] == true)),
        );
    }
    wrong(Ok(executions(ledger, telemetry)));
    wrong(documents(world, telemetry));
    let mut controls = Vec::new();
    for index in 0..LOOPS {
        match control_rows(world, index) {
            Ok(rows) => controls.push((index, rows)),
            Err(error) => wrong(Err(error)),
        }
        wrong(passes(world, index));
    }
    for (index, rows) in &controls {
        tally.add("control rows, three journals each", rows.len() as u64);
        wrong(Ok(controlled(&world.ids()[*index], rows, ledger)));
    }
    wrong(Ok(invocations(world, ledger, &controls, tally)));
    for index in LOCAL_LOOPS..LOOPS {
        wrong(served(world, index));
    }
    findings
}

/// Every run that dispatched something has one row that says all of it.
fn executions(ledger: &Ledger, telemetry: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut runs: BTreeMap<&str, Vec<&Dispatch>> = BTreeMap::new();
    for dispatch in &ledger.dispatches {
        runs.entry(&dispatch.run).or_default().push(dispatch);
    }
    for (run, dispatches) in runs {
        let of_run = |row: &&Value| text(&row["execution"], "handoffId") == run;
        let rows: Vec<&Value> = telemetry.iter().filter(of_run).collect();
        let [row] = rows[..] else {
            findings.push(format!("run {run} has {} rows", rows.len()));
            continue;
        };
        let execution = &row["execution"];
        let results = list(&execution["results"]);
        let results: Vec<&str> = results.iter().map(|one| text(one, "dispatchId")).collect();
        let expected: Vec<&str> = dispatches.iter().map(|one| one.id.as_str()).collect();
        if results != expected {
            findings.push(format!(
                "run {run} tells of {results:?}, not of {expected:?}"
            ));
        }
        for (member, status) in [
            ("executedCount", "executed"),
            ("ambiguousCount", "ambiguous"),
            ("failedCount", "failed"),
        ] {
            let count = dispatches
                .iter()
                .filter(|one| one.status() == status)
                .count();
            if execution[member] != count {
                let found = &execution[member];
                findings.push(format!("run {run} has {member} {found} instead of {count}"));
            }
        }
    }
    findings
}

/// Documents and the last rows of their journals are of one commit, and
/// nothing is left open.
fn documents(world: &World, telemetry: &[Value]) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    let mut same = |what: &str, one: &Value, other: &Value| {
        if one != other {
            findings.push(format!("{what}: {one} and {other}"));
        }
    };
    let last = |rows: &[Value]| rows.last().cloned().unwrap_or_default();
    let reconciled = all_rows(&world.fleet("telemetry/reconcile.jsonl"))?;
    let state = document(&world.fleet("state.json"))?;
    same(
        "fleet state and row",
        &state["traceId"],
        &last(&reconciled)["traceId"],
    );
    let evaluated = all_rows(&world.fleet("telemetry/policy.jsonl"))?;
    let policy = document(&world.fleet("policy-state.json"))?;
    same(
        "policy state and row",
        &policy["updatedAt"],
        &last(&evaluated)["timestamp"],
    );
    let handoff = document(&world.fleet("handoff-state.json"))?;
    same(
        "handoff state and row",
        &handoff["traceId"],
        &last(telemetry)["traceId"],
    );
    let counted = evaluated
        .iter()
        .map(|row| &row["summary"]["candidateCount"]);
    let candidates: u64 = counted.filter_map(Value::as_u64).sum();
    let history = all_rows(&world.fleet("telemetry/policy-history.jsonl"))?;
    same(
        "candidates and their rows",
        &candidates.into(),
        &history.len().into(),
    );
    all_rows(&world.fleet("telemetry/policy-governance.jsonl"))?;
    Ok(findings)
}

/// The three rows of every control of a loop, as its audit trail has them.
fn control_rows(world: &World, index: usize) -> Result<Vec<Value>, String> {
    let scope = scope(&world.repo(), &world.ids()[index]);
    let journals = [
        "intents.jsonl",
        "telemetry/control.jsonl",
        "telemetry/control-invocations.jsonl",
    ];
    let [intents, controls, invocations] = journals.map(|journal| all_rows(&scope.join(journal)));
    let invocations = invocations?;
    let names = |rows: &[Value]| -> Vec<(String, String)> {
        let name = |row: &Value| {
            (
                text(row, "traceId").to_owned(),
                text(row, "idempotencyKey").to_owned(),
            )
        };
        rows.iter().map(name).collect()
    };
    let expected = names(&invocations);
    for rows in [intents?, controls?] {
        if names(&rows) != expected {
            let id = &world.ids()[index];
            return Err(format!("controls of {id} do not have three rows each"));
        }
    }
    let pending = document(&scope.join("control-pending.json"))?;
    if list(&pending["pending"]).is_empty() {
        Ok(invocations)
    } else {
        Err(format!(
            "a control of {} is still pending",
            world.ids()[index]
        ))
    }
}

/// Every control is of a dispatch, and every dispatch that got an answer has
/// its control.
fn controlled(loop_id: &str, rows: &[Value], ledger: &Ledger) -> Vec<String> {
    let recorded = counts(
        rows.iter()
            .map(|row| (text(row, "traceId"), text(row, "idempotencyKey"))),
    );
    let of_loop = || {
        ledger
            .dispatches
            .iter()
            .filter(|one| one.loop_id == loop_id)
    };
    let name = |one: &'_ Dispatch| (one.trace.clone(), one.key.clone());
    let dispatched: Vec<_> = of_loop().map(name).collect();
    let dispatched = counts(dispatched.iter().map(|(trace, key)| (&**trace, &**key)));
    let answered = of_loop().filter(|one| {
        one.outcome
            .as_ref()
            .is_some_and(|row| !row["control"].is_null())
    });
    let answered = counts(answered.map(|one| (&*one.trace, &*one.key)));
    let mut findings = Vec::new();
    for (name, count) in &recorded {
        let most = dispatched.get(name).copied().unwrap_or(0);
        if *count > most {
            findings.push(format!(
                "{loop_id}: {count} controls of {most} dispatches {name:?}"
            ));
        }
    }
    for (name, least) in answered {
        let count = recorded.get(&name).copied().unwrap_or(0);
        if count < least {
            findings.push(format!(
                "{loop_id}: {count} controls of {least} answers {name:?}"
            ));
        }
    }
    findings
}

/// The runtime was called for what was dispatched: never twice, and really
/// where control says so.
fn invocations(
    world: &World,
    ledger: &Ledger,
    controls: &[(usize, Vec<Value>)],
    tally: &mut Tally,
) -> Vec<String> {
    let calls = world.calls();
    tally.add("runtime invocations", calls.len() as u64);
    let called = counts(calls.iter().map(|call| (&*call.trace, &*call.home)));
    let homes: Vec<String> = (0..LOOPS)
        .map(|index| name_of(&world.home_of(index)))
        .collect();
    let home = |loop_id: &str| {
        let index = world.ids().iter().position(|id| id == loop_id);
        index.map_or("", |index| homes[index].as_str())
    };
    let dispatched = counts(
        ledger
            .dispatches
            .iter()
            .map(|one| (&*one.trace, home(&one.loop_id))),
    );
    let acted = controls.iter().flat_map(|(index, rows)| {
        let rows = rows.iter().filter(|row| has_acted(row));
        rows.map(|row| (text(row, "traceId"), homes[*index].as_str()))
    });
    let acted = counts(acted);
    let mut findings = Vec::new();
    for (name, count) in &called {
        let most = dispatched.get(name).copied().unwrap_or(0);
        if *count > most {
            findings.push(format!("{count} invocations of {most} dispatches {name:?}"));
        }
    }
    for (name, least) in acted {
        let count = called.get(&name).copied().unwrap_or(0);
        if count < least {
            findings.push(format!("{count} invocations, {least} recorded {name:?}"));
        }
    }
    findings
}

/// A service has acted once for each key.
fn served(world: &World, index: usize) -> Result<Vec<String>, String> {
    let id = &world.ids()[index];
    let scope = scope(&world.home_of(index), id);
    let rows = all_rows(&scope.join("telemetry/control-invocations.jsonl"))?;
    let keys = counts(rows.iter().map(|row| (text(row, "idempotencyKey"), "")));
    let doubled = keys.into_iter().filter(|(_, count)| *count > 1);
    Ok(doubled
        .map(|((key, _), count)| format!("the service of {id} acted {count} times for {key}"))
        .collect())
}

/// Whether a row says that the runtime was called, and is not an old answer.
fn has_acted(row: &Value) -> bool {
    let execution = &row["execution"];
    let ran = execution["status"] == "succeeded" || execution["exitCode"] == FAILED;
    ran && execution["replayed"] != true
}

/// The passes over a loop have read every line of its log once.
fn passes(world: &World, index: usize) -> Result<Vec<String>, String> {
    let id = &world.ids()[index];
    let scope = scope(&world.repo(), id);
    let rows = all_rows(&scope.join("telemetry/reconcile.jsonl"))?;
    let mut findings = Vec::new();
    let mut reached = 0;
    let mut ingested = 0;
    for row in &rows {
        let number = |member: &str| row[member].as_u64().unwrap_or(0);
        if row["status"] == "success" && number("cursorOffsetBefore") != reached {
            findings.push(format!(
                "{id}: a pass does not begin at line {reached}: {row}"
            ));
        }
        if row["status"] == "success" {
            reached = number("cursorOffsetAfter");
            ingested += number("eventsIngested");
        }
    }
    let lines = world.lines(index);
    if (reached, ingested) != (lines, lines) {
        findings.push(format!(
            "{id}: {ingested} events of {lines} were read, up to {reached}"
        ));
    }
    Ok(findings)
}

fn scope(repo: &Path, loop_id: &str) -> PathBuf {
    repo.join(".superloop/ops-manager").join(loop_id)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn counts<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> Counts<'a> {
    let mut counts = Counts::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}
