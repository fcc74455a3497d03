//! A repository with one loop, a fixed clock, and runs of the dispatcher.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use om_alerts::{
    Courier, DispatchError, DispatchPaths, DispatchRequest, Environment, Resolver, RetryMode,
    SinkConfig, dispatch,
};
use om_model::alerts::DispatchState;
use om_model::{Artifact, LoopId, Timestamp, TraceId, json};
use om_store::{LoopFile, RepoLayout, Scope};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a fixed timestamp")
}

pub(crate) fn now() -> Timestamp {
    at("2031-05-02T08:00:04Z")
}

pub(crate) fn loop_id() -> LoopId {
    LoopId::new("nightly-7").expect("a fixed loop id")
}

pub(crate) fn trace(text: &str) -> TraceId {
    TraceId::new(text).expect("a fixed trace id")
}

/// A row as reconcile writes it.
pub(crate) fn row(category: &str, trace: &str) -> Value {
    json!({
        "timestamp": "2031-05-02T08:00:01Z",
        "loopId": "nightly-7",
        "traceId": trace,
        "category": category,
    })
}

/// A configuration with these sinks, all of them the default.
pub(crate) fn config(sinks: Value) -> Value {
    let ids: Vec<&String> = sinks.as_object().expect("sinks").keys().collect();
    json!({
        "schemaVersion": "v1",
        "defaultMinSeverity": "warning",
        "routing": {"defaultSinks": ids, "categorySeverity": {}, "routes": []},
        "sinks": sinks,
    })
}

pub(crate) fn webhook(url_env: &str) -> Value {
    json!({"enabled": true, "type": "webhook", "urlEnv": url_env, "timeoutSeconds": 2})
}

pub(crate) fn read(config: &Value) -> SinkConfig {
    let artifact = Artifact::Document(config.clone());
    SinkConfig::read(&artifact, "conf/sinks.json").expect("a valid configuration")
}

pub(crate) fn built_in(config: &Value) -> Resolver {
    Resolver::BuiltIn(Box::new(read(config)))
}

/// A repository with the loop `nightly-7`.
pub(crate) struct World {
    folder: TempDir,
    scope: Scope,
    pub(crate) resolver: Resolver,
    pub(crate) courier: Courier,
    clock: Cell<i64>,
    pub(crate) max_escalations: u64,
}

impl World {
    pub(crate) fn new(config: &Value, environment: Environment) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = RepoLayout::new(folder.path().to_owned());
        let scope = Scope::open(layout.loop_files(&loop_id()).scope_dir()).expect("a scope");
        Self {
            folder,
            scope,
            resolver: built_in(config),
            courier: Courier::new(environment),
            clock: Cell::new(now().epoch_seconds()),
            max_escalations: 0,
        }
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn path(&self, file: LoopFile) -> PathBuf {
        let layout = RepoLayout::new(self.repo());
        layout.loop_files(&loop_id()).path(file)
    }

    /// Appends lines to the escalations.
    pub(crate) fn escalate(&self, lines: &[String]) {
        let path = self.path(LoopFile::Escalations);
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        for line in lines {
            text += line;
            text += "\n";
        }
        fs::write(path, text).expect("written");
    }

    pub(crate) fn later(&self, seconds: i64) {
        self.clock.set(self.clock.get() + seconds);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_epoch_seconds(self.clock.get())
    }

    pub(crate) fn request(&self, trace_id: &str, retry: RetryMode) -> DispatchRequest {
        let layout = RepoLayout::new(self.repo());
        DispatchRequest {
            repo_path: "/srv/app".to_owned(),
            loop_id: loop_id(),
            trace_id: trace(trace_id),
            paths: DispatchPaths::of(&layout.loop_files(&loop_id())),
            max_escalations: self.max_escalations,
            retry,
        }
    }

    pub(crate) fn try_run(
        &self,
        trace_id: &str,
        retry: RetryMode,
    ) -> Result<DispatchState, DispatchError> {
        let request = self.request(trace_id, retry);
        self.run_request(&request)
    }

    pub(crate) fn run_request(
        &self,
        request: &DispatchRequest,
    ) -> Result<DispatchState, DispatchError> {
        let clock = || self.now();
        block_on(dispatch(
            request,
            &self.scope,
            &self.resolver,
            &self.courier,
            clock,
        ))
    }

    /// A run by hand.
    pub(crate) fn run(&self, trace_id: &str) -> DispatchState {
        self.try_run(trace_id, RetryMode::All).expect("a run")
    }

    /// A run of reconcile.
    pub(crate) fn pass(&self, trace_id: &str) -> DispatchState {
        self.try_run(trace_id, RetryMode::Due).expect("a run")
    }

    /// A state document without the name of the scratch folder.
    pub(crate) fn portrait(&self, state: &DispatchState) -> String {
        let repo = self.repo().display().to_string();
        json::pretty(state).replace(&repo, "/repo")
    }

    /// The delivery rows.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path(LoopFile::AlertRows)).unwrap_or_default();
        let rows = text.lines().map(serde_json::from_str);
        rows.collect::<Result<_, _>>().expect("rows are JSON")
    }

    /// The state document as it is on disk.
    pub(crate) fn state(&self) -> Value {
        let text = fs::read_to_string(self.path(LoopFile::AlertDispatchState)).expect("a state");
        serde_json::from_str(&text).expect("the state is JSON")
    }

    pub(crate) fn write_state(&self, text: &str) {
        fs::write(self.path(LoopFile::AlertDispatchState), text).expect("written");
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// The member `name` of each of `values`.
pub(crate) fn each<'a>(values: &'a [Value], name: &str) -> Vec<&'a Value> {
    values.iter().map(|value| &value[name]).collect()
}
