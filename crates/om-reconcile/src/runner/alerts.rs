//! Step 13: alerts are dispatched when everything else is committed
//! (chapter 02 §2.4.4).

use om_alerts::{Courier, DispatchPaths, DispatchRequest, Quiet, Resolver, RetryMode};
use om_model::Timestamp;
use om_stage::{Hook, RunOptions, Streams};
use om_store::{Commit, Scope};

use super::{AlertStage, PassPlan};

/// Runs the alert stage. What it printed if it failed; its success leaves
/// nothing to record.
pub(super) async fn dispatch(
    plan: &PassPlan,
    scope: &Scope,
    clock: &impl Fn() -> Timestamp,
) -> Option<Vec<u8>> {
    match &plan.alerts {
        AlertStage::Off => None,
        AlertStage::Hook { hook, config_file } => by_hook(plan, hook, config_file.as_deref()),
        AlertStage::BuiltIn { resolver, courier } => {
            built_in(plan, scope, resolver, courier, clock).await
        }
    }
}

/// The built-in stage as part of the pass's own commit, if `commit` does not
/// escalate and nothing is due.
pub(super) fn quiet(
    plan: &PassPlan,
    scope: &Scope,
    commit: &Commit,
    now: Timestamp,
) -> Option<Quiet> {
    let is_built_in = matches!(plan.alerts, AlertStage::BuiltIn { .. });
    let escalates = || {
        commit
            .rows
            .iter()
            .any(|row| row.path == plan.paths.escalations)
    };
    if !is_built_in || escalates() {
        return None;
    }
    om_alerts::quiet(&request(plan), scope, now)
}

async fn built_in(
    plan: &PassPlan,
    scope: &Scope,
    resolver: &Resolver,
    courier: &Courier,
    clock: &impl Fn() -> Timestamp,
) -> Option<Vec<u8>> {
    let dispatched = om_alerts::dispatch(&request(plan), scope, resolver, courier, clock).await;
    dispatched
        .err()
        .map(|error| format!("error: {error}\n").into_bytes())
}

fn request(plan: &PassPlan) -> DispatchRequest {
    DispatchRequest {
        repo_path: plan.source.repo_path.clone(),
        loop_id: plan.source.loop_id.clone(),
        trace_id: plan.trace_id.clone(),
        paths: DispatchPaths {
            escalations: plan.paths.escalations.clone(),
            state: plan.paths.alert_dispatch_state.clone(),
            telemetry: plan.paths.alert_rows.clone(),
        },
        max_escalations: 0,
        retry: RetryMode::Due,
    }
}

fn by_hook(plan: &PassPlan, hook: &Hook, config_file: Option<&str>) -> Option<Vec<u8>> {
    let shown = |path: &std::path::Path| path.display().to_string();
    let mut arguments = vec![
        "--repo".to_owned(),
        plan.source.repo_path.clone(),
        "--loop".to_owned(),
        plan.source.loop_id.to_string(),
        "--trace-id".to_owned(),
        plan.trace_id.to_string(),
        "--escalations-file".to_owned(),
        shown(&plan.paths.escalations),
        "--dispatch-state-file".to_owned(),
        shown(&plan.paths.alert_dispatch_state),
        "--dispatch-telemetry-file".to_owned(),
        shown(&plan.paths.alert_rows),
    ];
    if let Some(file) = config_file {
        arguments.extend(["--alert-config-file".to_owned(), file.to_owned()]);
    }
    let merged = RunOptions {
        streams: Streams::Merged,
        ..RunOptions::default()
    };
    let output = hook.run(&arguments, &merged);
    // A hook that could not be started says so on the other stream.
    (!output.success()).then(|| [output.stdout.as_slice(), &output.stderr].concat())
}
