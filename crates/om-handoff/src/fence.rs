//! Which run a loop is in now (decision D23).

use std::time::Duration;

use om_control::Clock;
use om_http::{Backoff, Secret};
use om_model::fleet::handoff::HandoffIntent;
use om_model::health::TransportMode;
use om_model::{LoopId, TraceId, json};
use om_stage::{Hook, RunOptions};
use om_store::{LoopFile, RepoLayout, read_artifact};
use om_transport::{
    LocalTransport, Observe, ServiceClient, ServiceSettings, SnapshotContext, SnapshotRequest,
    SpriteServiceTransport, cursor, service_client,
};
use serde_json::Value;

use crate::control;

/// How long a service may take to tell; then it has no objection.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a snapshot says when it does not know.
const UNKNOWN: &str = "unknown";

/// Whether two run ids say that a loop's run is another one: only if both are
/// known.
pub fn run_changed(judged: Option<&str>, now: Option<&str>) -> bool {
    let known = |id: &&str| !id.is_empty() && *id != UNKNOWN;
    match (judged.filter(known), now.filter(known)) {
        (Some(judged), Some(now)) => judged != now,
        _ => false,
    }
}

/// The run id of a fresh snapshot; `None` if there is none to be had.
pub(crate) fn current_run(
    layout: &RepoLayout,
    intent: &HandoffIntent,
    trace_id: &TraceId,
    clock: &dyn Clock,
) -> Option<String> {
    let loop_id = LoopId::new(intent.loop_id.clone()).ok()?;
    let request = SnapshotRequest {
        context: SnapshotContext {
            now: clock.now(),
            trace_id: Some(trace_id.clone()),
            run_id: None,
        },
        known: None,
    };
    let snapshot = match intent.transport {
        TransportMode::Local => match Hook::from_env("OPS_MANAGER_SNAPSHOT_SCRIPT") {
            Some(hook) => hooked(&hook, layout, &loop_id),
            None => local(layout, &loop_id, request),
        },
        TransportMode::SpriteService => served(layout, &loop_id, intent, &request),
    }?;
    let run_id = snapshot.get("run")?.get("runId")?;
    json::non_empty_text(Some(run_id))
}

fn local(layout: &RepoLayout, loop_id: &LoopId, request: SnapshotRequest) -> Option<Value> {
    let cursor = layout.loop_files(loop_id).path(LoopFile::Cursor);
    let known = read_artifact(&cursor).ok();
    let request = SnapshotRequest {
        known: known.as_ref().and_then(cursor::known_position),
        ..request
    };
    let snapshot = LocalTransport::new(layout, loop_id).snapshot(&request);
    let snapshot = snapshot.inspect_err(|error| tracing::debug!(%error, "no snapshot"));
    snapshot.ok().map(|snapshot| json::to_value(&snapshot))
}

fn hooked(hook: &Hook, layout: &RepoLayout, loop_id: &LoopId) -> Option<Value> {
    let repo = layout.repo().to_string_lossy();
    let arguments = ["--repo", &*repo, "--loop", loop_id.as_str()];
    let output = hook.run(&arguments, &RunOptions::default());
    json::parse(&output.stdout)
        .ok()
        .filter(|_| output.success())
}

fn served(
    layout: &RepoLayout,
    loop_id: &LoopId,
    intent: &HandoffIntent,
    request: &SnapshotRequest,
) -> Option<Value> {
    let settings = ServiceSettings {
        token: control::token(intent),
        retry: Backoff {
            attempts: 1,
            seconds: 0,
        },
        attempt_timeout: Some(PATIENCE),
        ..ServiceSettings::new(Secret::new(intent.service.base_url.clone()?))
    };
    let hook = Hook::from_env(service_client::HOOK_VARIABLE);
    let client = ServiceClient::new(settings, hook).ok()?;
    let mut transport = SpriteServiceTransport::new(client, layout, loop_id);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let snapshot = runtime.block_on(transport.snapshot(request));
    snapshot
        .inspect_err(|error| tracing::debug!(%error, "no snapshot"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_changed_only_if_both_are_known() {
        for (judged, now, changed) in [
            (None, None, false),
            (Some("r1"), None, false),
            (None, Some("r1"), false),
            (Some("r1"), Some("r1"), false),
            (Some("unknown"), Some("r1"), false),
            (Some("r1"), Some("unknown"), false),
            (Some(""), Some("r1"), false),
            (Some("r1"), Some("r2"), true),
        ] {
            assert_eq!(run_changed(judged, now), changed, "{judged:?} {now:?}");
        }
    }
}
