//! Transport parity: the same history of a loop, observed locally and through
//! a sprite service, leaves equal artifacts but for what names the transport,
//! for passes that succeed on both.
//!
//! Three managers look at each history: one where the loop runs (`local`), one
//! on another machine (`remote`, with nothing but the service's address), and
//! one that shares its repository with the service (`shared`).

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use crate::harness::{Repo, Run, ago};
use crate::scrub::scrub;
use crate::service_process::Service;

/// One history and everybody who looks at it.
struct Sides {
    local: Repo,
    remote: Repo,
    shared: Repo,
    /// Beside `local`, used by `remote`.
    far: Service,
    /// Beside `shared`.
    near: Service,
    passes: u32,
}

impl Sides {
    fn of(make: impl Fn() -> Repo) -> Self {
        let (local, shared) = (make(), make());
        let mut remote = Repo::empty("");
        remote.loop_id.clone_from(&local.loop_id);
        Self {
            far: Service::start(&local, &[]),
            near: Service::start(&shared, &[]),
            local,
            remote,
            shared,
            passes: 0,
        }
    }

    /// Something happens on the machines where the loop runs.
    fn happens(&self, change: impl Fn(&Repo)) {
        change(&self.local);
        change(&self.shared);
    }

    /// All managers do the same to their own files.
    fn managers(&self) -> [&Repo; 3] {
        [&self.local, &self.remote, &self.shared]
    }

    /// One pass of each manager, and the comparison of all that they wrote and
    /// report.
    fn pass(&mut self, arguments: &[&str]) {
        self.passes += 1;
        let trace_id = format!("t{}", self.passes);
        let traced = [&["--trace-id", trace_id.as_str()], arguments].concat();
        // As for the others: it is recorded for both transports.
        let local = [&traced[..], &["--retry-backoff-seconds", "0"]].concat();
        let runs = [
            self.local.reconcile(&local),
            self.remote
                .reconcile(&[&traced[..], &self.far.flags()].concat()),
            self.shared
                .reconcile(&[&traced[..], &self.near.flags()].concat()),
        ];
        for run in &runs {
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
        }
        let [local, remote, shared] = [0, 1, 2].map(|side| self.portrait(side, &runs[side]));
        compare("remote", &local, &remote);
        compare("shared", &local, &shared);
    }

    /// Everything that a manager wrote, printed and reports.
    fn portrait(&self, side: usize, run: &Run) -> BTreeMap<String, Value> {
        let repo = self.managers()[side];
        let mut documents = written(repo);
        documents.insert("stdout".to_owned(), run.json());
        documents.insert("status".to_owned(), repo.status(&[]).ok());
        let paths = [self.local.path(), self.remote.path(), self.shared.path()];
        for (name, document) in &mut documents {
            for path in &paths {
                *document = scrub(document, path);
            }
            neutralise(name, document);
        }
        documents
    }
}

/// The documents and journals of the loop's manager.
fn written(repo: &Repo) -> BTreeMap<String, Value> {
    let root = repo.manager("");
    let files = repo.tree().into_iter().filter_map(|(path, content)| {
        let name = path.strip_prefix(&root).ok()?.to_str()?.to_owned();
        let content = String::from_utf8(content).expect("UTF-8");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let document = if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            content.lines().map(parse).collect()
        } else {
            parse(&content)
        };
        Some((name, document))
    });
    files.collect()
}

/// Takes out what may differ: what names the transport, where the cursor of
/// local passes is in the log's bytes, and what follows from the lengths of
/// rows with these in them.
fn neutralise(name: &str, document: &mut Value) {
    match document {
        Value::Object(members) => {
            if name == "cursor.json" {
                members.remove("log");
            }
            if name == "alert-dispatch-state.json" {
                members.remove("lastConsumedLine");
            }
            for (member, value) in members {
                let names_transport = ["transport", "lastTransport", "mode"].contains(&&**member);
                let is_transport = *value == "local" || *value == "sprite_service";
                if names_transport && is_transport {
                    *value = "<transport>".into();
                } else {
                    neutralise("", value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| neutralise("", item)),
        _ => {}
    }
}

fn compare(side: &str, local: &BTreeMap<String, Value>, other: &BTreeMap<String, Value>) {
    let names = |documents: &BTreeMap<String, Value>| documents.keys().cloned().collect();
    let (ours, theirs): (Vec<String>, Vec<String>) = (names(local), names(other));
    assert_eq!(theirs, ours, "{side}: the same files");
    for (name, document) in local {
        assert_eq!(&other[name], document, "{side}: {name}");
    }
}

#[test]
fn every_sample_is_the_same_through_the_service() {
    for sample in [
        "running",
        "complete",
        "awaiting-approval",
        "approved",
        "rejected",
        "max-iterations",
        "stuck",
        "role-failure",
    ] {
        let mut sides = Sides::of(|| Repo::sample(sample));
        sides.pass(&[]);
        sides.pass(&[]);
        sides.pass(&["--from-start", "--max-events", "2"]);
        sides.pass(&["--max-events", "1"]);
        let line = json!({
            "timestamp": ago(0), "event": "loop_complete", "loop_id": sides.local.loop_id,
            "run_id": "r9", "iteration": 9, "data": {"note": "zwölf ☃ \u{7f}", "n": 9.0},
        });
        sides.happens(|repo| repo.append_events(&format!("{line}\n")));
        sides.pass(&[]);
    }
}

#[test]
fn heartbeats_and_their_absence_are_the_same_through_the_service() {
    let mut sides = Sides::of(|| Repo::sample("running"));
    for heartbeat in [
        Some(json!({"timestamp": ago(0), "source": "sprite"})),
        Some(json!({"timestamp": ago(200)})),
        Some(json!({"timestamp": ago(9_000), "stage": [1, null, {"a": 1.5}]})),
        Some(json!({"timestamp": 7})),
        None,
    ] {
        sides.happens(|repo| match &heartbeat {
            Some(heartbeat) => repo.put_runtime("heartbeat.v1.json", &heartbeat.to_string()),
            None => fs::remove_file(repo.runtime_dir().join("heartbeat.v1.json")).expect("gone"),
        });
        sides.pass(&[]);
    }
}

#[test]
fn a_manager_beside_its_loop_and_one_far_away_may_work_at_the_same_time() {
    const PASSES: usize = 12;
    let sides = Sides::of(|| Repo::sample("running"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..PASSES {
                let line = json!({"timestamp": ago(0), "event": "role_start", "iteration": number});
                sides.local.append_events(&format!("{line}\n"));
            }
        });
        for (repo, flags) in [
            (&sides.local, Vec::new()),
            (&sides.remote, sides.far.flags().to_vec()),
        ] {
            scope.spawn(move || {
                for _ in 0..PASSES {
                    repo.reconcile(&flags).ok();
                }
            });
        }
    });
    let local = sides.local.reconcile(&[]).ok();
    let remote = sides.remote.reconcile(&sides.far.flags()).ok();
    assert_eq!(remote["cursor"], local["cursor"]);
    assert_eq!(remote["projection"], local["projection"]);
    let lines = fs::read_to_string(sides.local.events())
        .expect("log")
        .lines()
        .count();
    for repo in [&sides.local, &sides.remote] {
        let rows = repo.rows("telemetry/reconcile.jsonl");
        assert_eq!(rows.len(), PASSES + 1);
        let ingested = rows.iter().filter_map(|row| row["eventsIngested"].as_u64());
        assert_eq!(ingested.sum::<u64>(), lines as u64, "each event once");
        for row in rows {
            assert_eq!(row["sequenceStatus"], "ok", "{row}");
        }
    }
}

/// What may happen between two passes.
#[derive(Clone, Debug)]
enum Step {
    Events(Vec<(&'static str, u64, Value)>),
    Heartbeat(u64),
    Active(bool),
    Summary(bool, &'static str),
    Approval(&'static str),
    CursorLost,
    SequenceLost,
}

/// How a pass is asked for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Plain,
    Batch(u8),
    Replay,
}

/// Ages in seconds that no threshold is near.
fn age() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 30, 200, 600, 5_000])
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e15..1e15_f64).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\\x00-\\x1f\\x7f\"\\\\é☃]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zé]{1,5}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn events() -> impl Strategy<Value = Step> {
    let names = vec![
        "loop_start",
        "iteration_start",
        "role_start",
        "role_end",
        "approval_requested",
        "approval_decision",
        "gates_evaluated",
        "iteration_end",
        "loop_complete",
        "loop_stop",
        "something_new",
    ];
    let event = (prop::sample::select(names), age(), any_json());
    prop::collection::vec(event, 1..5).prop_map(Step::Events)
}

fn step() -> impl Strategy<Value = Step> {
    let statuses = vec!["pending", "approved", "rejected", "odd"];
    let gates = vec!["ok", "failed", "skipped"];
    prop_oneof![
        4 => events(),
        1 => age().prop_map(Step::Heartbeat),
        1 => any::<bool>().prop_map(Step::Active),
        1 => (any::<bool>(), prop::sample::select(gates)).prop_map(|(ok, gate)| Step::Summary(ok, gate)),
        1 => prop::sample::select(statuses).prop_map(Step::Approval),
        1 => Just(Step::CursorLost),
        1 => Just(Step::SequenceLost),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        3 => Just(Ask::Plain),
        1 => (1..4_u8).prop_map(Ask::Batch),
        1 => Just(Ask::Replay),
    ]
}

fn apply(sides: &Sides, step: &Step) {
    let forget = |file: &str| {
        for repo in sides.managers() {
            // Nothing to lose before the first pass.
            let _ = fs::remove_file(repo.manager(file));
        }
    };
    match step {
        Step::Events(events) => {
            let line = |(name, seconds, data): &(&str, u64, Value)| {
                let timestamp = ago(i64::try_from(*seconds).expect("small"));
                let event = json!({
                    "timestamp": timestamp, "event": name, "loop_id": "l", "run_id": "r1",
                    "iteration": 1, "data": data,
                });
                format!("{event}\n")
            };
            let lines: String = events.iter().map(line).collect();
            sides.happens(|repo| repo.append_events(&lines));
        }
        Step::Heartbeat(seconds) => {
            let timestamp = ago(i64::try_from(*seconds).expect("small"));
            let heartbeat = json!({"timestamp": timestamp}).to_string();
            sides.happens(|repo| repo.put_runtime("heartbeat.v1.json", &heartbeat));
        }
        Step::Active(active) => {
            let state = json!({"active": active, "iteration": 1, "current_loop_id": "l"});
            sides.happens(|repo| repo.put_superloop("state.json", &state.to_string()));
        }
        Step::Summary(completed, gate) => {
            let now = ago(0);
            let summary = json!({"updated_at": now, "entries": [{
                "run_id": "r1", "iteration": 1, "ended_at": now, "completion_ok": completed,
                "gates": {"tests": gate}, "stuck": {"streak": 1, "threshold": 3},
            }]});
            sides.happens(|repo| repo.put_runtime("run-summary.json", &summary.to_string()));
        }
        Step::Approval(status) => {
            let approval = json!({"status": status, "run_id": "r1"}).to_string();
            sides.happens(|repo| repo.put_runtime("approval.json", &approval));
        }
        Step::CursorLost => forget("cursor.json"),
        Step::SequenceLost => forget("sequence-state.json"),
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 8,
        max_shrink_iters: 64,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn every_history_is_the_same_through_the_service(
        first in events(),
        steps in prop::collection::vec((step(), ask()), 1..7),
    ) {
        let mut sides = Sides::of(|| Repo::with_events(&[]));
        apply(&sides, &first);
        sides.pass(&[]);
        for (step, ask) in steps {
            apply(&sides, &step);
            match ask {
                Ask::Plain => sides.pass(&[]),
                Ask::Batch(size) => sides.pass(&["--max-events", &size.to_string()]),
                Ask::Replay => sides.pass(&["--from-start"]),
            }
        }
    }
}
