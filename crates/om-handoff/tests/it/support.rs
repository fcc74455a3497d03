//! Plans from documents, and a scratch fleet that handoffs really run on.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use om_control::Clock;
use om_handoff::plan::{PlanContext, PlanInputs, plan};
use om_handoff::policy_view::PolicyView;
use om_handoff::previous::Previous;
use om_handoff::targets::Filters;
use om_handoff::{
    Action, ControlStage, Handoff, HandoffError, HandoffFiles, Order, Progress, Seconds, run,
};
use om_model::fleet::handoff::{EvaluationIdentity, ExecutionMode, HandoffState};
use om_model::fleet::registry::Registry;
use om_model::{LoopId, Timestamp, TraceId, json};
use om_registry::RegistryStage;
use om_stage::Hook;
use om_store::{FleetFile, LoopFile, RepoLayout};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const NOW: &str = "2031-05-06T07:10:00Z";
/// When the policy of these tests was evaluated.
pub(crate) const EVALUATED: &str = "2031-05-06T07:08:09Z";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

pub(crate) fn trace(text: &str) -> TraceId {
    TraceId::new(text).expect("not empty")
}

/// A candidate as policy writes it, eligible.
pub(crate) fn candidate(loop_id: &str, category: &str) -> Value {
    let (severity, confidence) = match category {
        "health_degraded" => ("warning", "medium"),
        _ => ("critical", "high"),
    };
    json!({
        "loopId": loop_id,
        "category": category,
        "signal": category,
        "traceId": format!("tr-9-{loop_id}"),
        "candidateId": format!("{loop_id}:{category}"),
        "severity": severity,
        "confidence": confidence,
        "rationale": "Loop health is critical",
        "recommendedIntent": "cancel",
        "suppressed": false,
        "suppressionReason": null,
        "autonomous": {"eligible": true, "manualOnly": false, "reasons": []},
    })
}

/// `document` with these members.
pub(crate) fn with(mut document: Value, members: Value) -> Value {
    let Value::Object(members) = members else {
        panic!("members are an object")
    };
    for (name, value) in members {
        document[name] = value;
    }
    document
}

pub(crate) fn guarded_auto(candidates: &[Value]) -> Value {
    json!({
        "schemaVersion": "v1",
        "updatedAt": EVALUATED,
        "fleetId": "north",
        "traceId": "tr-9",
        "mode": "guarded_auto",
        "autonomous": {"controls": {"safety": {"maxActionsPerRun": 50, "maxActionsPerLoop": 5}}},
        "candidates": candidates,
    })
}

/// A valid registry of these loops, which says nothing about autonomy but
/// what it has to.
pub(crate) fn registry(loops: &[&str]) -> Value {
    let loops: Vec<Value> = loops.iter().map(|id| json!({"loopId": id})).collect();
    json!({
        "schemaVersion": "v1",
        "fleetId": "north",
        "loops": loops,
        "policy": {"mode": "guarded_auto", "autonomous": {"governance": {
            "actor": "dana", "approvalRef": "CAB-7", "rationale": "night shift",
            "changedAt": "2031-05-01T00:00:00Z", "reviewBy": "2031-06-01T00:00:00Z",
        }}},
    })
}

pub(crate) fn normalised(registry: &Value) -> Registry {
    let bytes = json::compact(registry);
    let evaluation = om_registry::evaluate(bytes.as_bytes(), "registry.v1.json", at(NOW));
    let accepted = evaluation.expect("is JSON").accepted();
    accepted.unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn plan_context() -> PlanContext {
    PlanContext {
        now: at(NOW),
        trace_id: trace("tr-9"),
        idempotency_prefix: "fleet-handoff".to_owned(),
        registry_file: "registry.v1.json".to_owned(),
        policy_state_file: "policy-state.json".to_owned(),
    }
}

/// The evaluation of the policy states of these tests.
pub(crate) fn evaluation() -> EvaluationIdentity {
    EvaluationIdentity {
        trace_id: Some("tr-9".to_owned()),
        updated_at: Some(EVALUATED.to_owned()),
        sha256: None,
    }
}

/// The plan of a policy state, after this handoff state, for these loops.
pub(crate) fn planned(policy: &Value, previous: &Value, loops: &[&str]) -> HandoffState {
    let registry = normalised(&registry(loops));
    planned_with(policy, previous, &registry)
}

pub(crate) fn planned_with(policy: &Value, previous: &Value, registry: &Registry) -> HandoffState {
    let (policy, unknown) = PolicyView::read(policy).expect("is readable");
    assert_eq!(unknown, None);
    let inputs = PlanInputs {
        policy: &policy,
        evaluation: &evaluation(),
        registry,
        previous: &Previous::read(previous).expect("is readable"),
    };
    plan(&inputs, &plan_context()).expect("is planned")
}

/// The plan of these candidates alone.
pub(crate) fn fresh(candidates: &[Value]) -> HandoffState {
    planned(&guarded_auto(candidates), &Value::Null, &["a", "b", "c"])
}

/// A clock that stands still until somebody sleeps.
pub(crate) struct TestClock(Cell<Duration>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Cell::new(Duration::ZERO))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.0.get().as_secs()).expect("a short test");
        Timestamp::from_epoch_seconds(at(NOW).epoch_seconds() + seconds)
    }

    fn elapsed(&self) -> Duration {
        self.0.get()
    }

    fn sleep(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

/// A scratch repository with a fleet.
pub(crate) struct Fleet {
    folder: TempDir,
}

impl Fleet {
    /// A fleet of these loops, each with a candidate that may be acted on.
    pub(crate) fn new(loops: &[&str]) -> Self {
        let fleet = Self {
            folder: tempfile::tempdir().expect("scratch folder"),
        };
        fs::create_dir_all(fleet.repo().join(".superloop/ops-manager/fleet")).expect("folders");
        fleet.write(FleetFile::Registry, &registry(loops));
        let candidates: Vec<Value> = loops
            .iter()
            .map(|id| candidate(id, "health_critical"))
            .collect();
        fleet.write(FleetFile::PolicyState, &guarded_auto(&candidates));
        fleet.runtime("exit 0");
        fleet
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.root().join("repo")
    }

    pub(crate) fn layout(&self) -> RepoLayout {
        RepoLayout::new(self.repo())
    }

    pub(crate) fn path(&self, file: FleetFile) -> PathBuf {
        self.layout().fleet_files().path(file)
    }

    pub(crate) fn write(&self, file: FleetFile, document: &Value) {
        self.write_text(file, &format!("{document}\n"));
    }

    pub(crate) fn write_text(&self, file: FleetFile, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("written");
    }

    pub(crate) fn read(&self, file: FleetFile) -> Value {
        let bytes = fs::read(self.path(file)).expect("the file");
        json::parse(&bytes).expect("a document")
    }

    pub(crate) fn rows(&self, file: FleetFile) -> Vec<Value> {
        rows(&self.path(file))
    }

    /// Rows of `handoff.jsonl` of one category.
    pub(crate) fn telemetry(&self, category: &str) -> Vec<Value> {
        let mut rows = self.rows(FleetFile::HandoffRows);
        rows.retain(|row| row["category"] == category);
        rows
    }

    /// Rows of a loop's journal.
    pub(crate) fn loop_rows(&self, loop_id: &str, file: LoopFile) -> Vec<Value> {
        let id = LoopId::new(loop_id).expect("a good id");
        rows(&self.layout().loop_files(&id).path(file))
    }

    /// Lines that stand-ins have written to `calls`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.repo().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// An executable script beside the repository; it finds `$repo` set.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.root().join(name);
        self.executable(&path, body);
        path
    }

    /// What stands in for the loop runtime.
    pub(crate) fn runtime(&self, body: &str) {
        self.executable(&self.repo().join("superloop.sh"), body);
    }

    fn executable(&self, path: &Path, body: &str) {
        let repo = self.repo();
        let content = format!("#!/bin/sh\nrepo='{}'\n{body}\n", repo.display());
        // Written by another process: a child that another test starts just
        // now would hold this one's open file, and nobody could execute it.
        let mut writer = Command::new("sh")
            .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut stdin = writer.stdin.take().expect("a pipe");
        stdin.write_all(content.as_bytes()).expect("written");
        drop(stdin);
        assert!(writer.wait().expect("sh ends").success());
    }

    /// A handoff with the usual files and nothing to confirm.
    pub(crate) fn handoff(&self, action: Action) -> Handoff {
        handoff_in(&self.repo(), action)
    }

    pub(crate) fn run(&self, action: Action) -> Result<HandoffState, HandoffError> {
        self.run_with(&self.handoff(action))
    }

    pub(crate) fn run_with(&self, handoff: &Handoff) -> Result<HandoffState, HandoffError> {
        let state = run(handoff, &TestClock::default(), &|| false, &mut |_| {})?;
        assert_eq!(
            self.read(FleetFile::HandoffState),
            json::to_value(&state),
            "what is returned is what is stored"
        );
        Ok(state)
    }

    pub(crate) fn plan(&self) -> Value {
        json::to_value(&self.run(Action::Plan).expect("is planned"))
    }

    pub(crate) fn execute(&self, mode: ExecutionMode) -> Value {
        let state = self.run(order(mode, &[])).expect("is executed");
        json::to_value(&state)
    }

    /// Runs a handoff and returns the moments that it told of.
    pub(crate) fn told(handoff: &Handoff) -> Vec<&'static str> {
        let mut moments = Vec::new();
        let ended = run(handoff, &TestClock::default(), &|| false, &mut |progress| {
            moments.push(name(&progress));
        });
        ended.expect("ends well");
        moments
    }
}

pub(crate) fn name(progress: &Progress<'_>) -> &'static str {
    match progress {
        Progress::RegistrySaid(_) => "registry said",
        Progress::Recovered => "recovered",
        Progress::Planned { .. } => "planned",
        Progress::Withheld(_) => "withheld",
        Progress::Dispatching(_) => "dispatching",
        Progress::Controlled(_) => "controlled",
        Progress::Journaled(_) => "journaled",
        Progress::Decided => "decided",
    }
}

pub(crate) fn handoff_in(repo: &Path, action: Action) -> Handoff {
    let layout = RepoLayout::new(repo.to_owned());
    let file = |file| layout.fleet_files().path(file).display().to_string();
    Handoff {
        registry: RegistryStage {
            repo: repo.to_owned(),
            file: file(FleetFile::Registry),
            hook: None,
        },
        files: HandoffFiles {
            policy_state: file(FleetFile::PolicyState),
            handoff_state: file(FleetFile::HandoffState),
            handoff_telemetry: file(FleetFile::HandoffRows),
        },
        layout,
        trace_id: None,
        fallback_trace_id: trace("made-up"),
        idempotency_prefix: "fleet-handoff".to_owned(),
        action,
        control: ControlStage {
            hook: None,
            confirm: false,
            timeout_seconds: Seconds::from(0),
            interval_seconds: Seconds::from(0),
            runtime_timeout_seconds: 60,
        },
        evaluation: None,
    }
}

/// An order of `dana`'s, limited to these intents if there are any.
pub(crate) fn order(mode: ExecutionMode, intents: &[&str]) -> Action {
    Action::Execute(Order {
        mode,
        filters: Filters {
            loops: Vec::new(),
            intents: intents.iter().map(ToString::to_string).collect(),
        },
        requested_by: "dana".to_owned(),
        note: None,
    })
}

/// A handoff whose control is this hook.
pub(crate) fn hooked(fleet: &Fleet, action: Action, body: &str) -> Handoff {
    let script = fleet.script("control-hook", body);
    let mut handoff = fleet.handoff(action);
    handoff.control.hook = Some(Hook::exact("OPS_MANAGER_CONTROL_SCRIPT", script));
    handoff
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| json::parse(line.as_bytes()).expect("a row"))
        .collect()
}

/// Members of the entries of an array.
pub(crate) fn column<'a>(rows: &'a Value, path: &str) -> Vec<&'a Value> {
    let rows = rows.as_array().expect("an array");
    rows.iter()
        .map(|row| path.split('.').fold(row, |at, name| &at[name]))
        .collect()
}
