//! The last look before an autonomous dispatch (decisions D15 and D23): the
//! registry as it is written now, auto-pause over current telemetry, the caps
//! less what this run has done, and whether the loop's run is still the one
//! that was judged.

use std::path::Path;

use om_control::Clock;
use om_model::control::Intent;
use om_model::fleet::handoff::HandoffIntent;
use om_model::fleet::policy::AutonomyReason;
use om_model::fleet::registry::{
    AutoPause, Autonomous, Category, Confidence, Rollout, Safety, Severity,
};
use om_model::{LoopId, Timestamp, json};
use om_policy::rails::Caps;
use om_policy::{Execution, read_handoff};
use om_registry::last_look;
use om_registry::last_look::{Limits, Subject, Written};
use om_store::{Scope, line_number_of, read_bytes};
use serde_json::Value;

use crate::error::HandoffError;
use crate::fence::{current_run, run_changed};
use crate::run::Handoff;

/// What can be said from the registry alone: an objection, or what the others
/// are judged by.
///
/// A candidate whose category or intent is none of ours is never dispatched
/// by itself; how bad and how certain it is counts as little as can be where
/// it does not say.
pub fn registry_look(
    written: &Written,
    evaluated: &Autonomous,
    intent: &HandoffIntent,
    now: Timestamp,
) -> Result<Limits, AutonomyReason> {
    let Ok(loop_id) = LoopId::new(intent.loop_id.clone()) else {
        return Err(AutonomyReason::LoopNotInRegistry);
    };
    let category = intent.category.as_deref().and_then(Category::parse);
    let subject = Subject {
        loop_id: &loop_id,
        category: category.ok_or(AutonomyReason::CategoryNotAllowlisted)?,
        intent: Intent::parse(&intent.intent).ok_or(AutonomyReason::IntentNotAllowlisted)?,
        severity: intent
            .severity
            .as_deref()
            .map_or_else(|| severity(category), Severity::parse)
            .unwrap_or(Severity::Info),
        confidence: intent
            .confidence
            .as_deref()
            .map_or_else(|| confidence(category), Confidence::parse)
            .unwrap_or(Confidence::Low),
    };
    last_look(written, evaluated, &subject, now).map_err(|withheld| {
        // Both enums name the same reasons; an unknown one would be a reason
        // all the same.
        AutonomyReason::parse(withheld.as_str()).unwrap_or(AutonomyReason::RegistryUnavailable)
    })
}

/// What telemetry and this run's own dispatches have against another one on
/// `loop_id`. `taken`: the loops of the dispatches so far.
pub fn limits_look(
    limits: &Limits,
    executions: &[Execution],
    taken: &[String],
    loop_id: &str,
    now: Timestamp,
) -> Option<AutonomyReason> {
    let pauses = |settings: &AutoPause| {
        let rollout = Rollout {
            auto_pause: settings.clone(),
            ..Rollout::default()
        };
        om_policy::pause::pause(&rollout, executions, now)
            .auto
            .active
    };
    if limits.auto_pause.iter().any(pauses) {
        return Some(AutonomyReason::RolloutPausedAuto);
    }
    let mut caps = Caps::new(&Safety {
        max_actions_per_run: limits.max_actions_per_run,
        max_actions_per_loop: limits.max_actions_per_loop,
        ..Safety::default()
    });
    for earlier in taken {
        caps.take(earlier);
    }
    caps.blocks(loop_id)
}

/// What the policy was evaluated with. A policy state that does not name its
/// caps was made by somebody who decided on every candidate.
pub fn evaluated(controls: &Value, now: Timestamp) -> Autonomous {
    let mut evaluated = om_registry::evaluated(controls, now);
    let safety = controls.get("safety");
    let named = |name| json::present(safety.and_then(|safety| safety.get(name))).is_some();
    if !named("maxActionsPerRun") {
        evaluated.safety.max_actions_per_run = u64::MAX;
    }
    if !named("maxActionsPerLoop") {
        evaluated.safety.max_actions_per_loop = u64::MAX;
    }
    evaluated
}

/// The taxonomy's grades, for candidates that do not say.
fn severity(category: Option<Category>) -> Option<Severity> {
    Some(match category? {
        Category::ReconcileFailed | Category::HealthCritical => Severity::Critical,
        Category::HealthDegraded => Severity::Warning,
    })
}

fn confidence(category: Option<Category>) -> Option<Confidence> {
    Some(match category? {
        Category::ReconcileFailed | Category::HealthCritical => Confidence::High,
        Category::HealthDegraded => Confidence::Medium,
    })
}

/// Looks before each dispatch of one run.
pub(crate) struct Looker<'a> {
    handoff: &'a Handoff,
    scope: &'a Scope,
    controls: &'a Value,
    /// Loops of this run's dispatches.
    taken: Vec<String>,
    /// The registry file as it was read last, and what that means.
    known: Option<(Option<Vec<u8>>, Written)>,
}

impl<'a> Looker<'a> {
    pub(crate) fn new(handoff: &'a Handoff, controls: &'a Value, scope: &'a Scope) -> Self {
        Self {
            handoff,
            scope,
            controls,
            taken: Vec::new(),
            known: None,
        }
    }

    /// Fails if telemetry cannot be judged: then nothing is dispatched.
    pub(crate) fn check(&self) -> Result<(), HandoffError> {
        self.executions(0).map(|_| ())
    }

    /// A dispatch happens.
    pub(crate) fn took(&mut self, loop_id: &str) {
        self.taken.push(loop_id.to_owned());
    }

    /// The first thing that is against dispatching `intent` now.
    ///
    /// Finding out which run a loop is in may take long: whoever narrows the
    /// registry meanwhile is heard, so that is looked at again.
    pub(crate) fn objection(
        &mut self,
        intent: &HandoffIntent,
        clock: &dyn Clock,
    ) -> Option<AutonomyReason> {
        let objection = self.narrowed(intent, clock.now());
        let Some(judged) = intent.run_id.as_deref() else {
            return objection;
        };
        objection
            .or_else(|| self.other_run(intent, judged, clock))
            .or_else(|| self.narrowed(intent, clock.now()))
    }

    /// What the registry as it is written, telemetry and the caps have
    /// against dispatching `intent`.
    fn narrowed(&mut self, intent: &HandoffIntent, now: Timestamp) -> Option<AutonomyReason> {
        let controls = self.controls;
        let written = self.read(now);
        let evaluated = evaluated(controls, now);
        let limits = match registry_look(written, &evaluated, intent, now) {
            Ok(limits) => limits,
            Err(reason) => return Some(reason),
        };
        let lookback = limits
            .auto_pause
            .iter()
            .map(|auto| auto.lookback_executions);
        let executions = match self.executions(lookback.max().unwrap_or(0)) {
            Ok(executions) => executions,
            Err(error) => {
                tracing::warn!(%error, "outcomes cannot be judged any more");
                return Some(AutonomyReason::RolloutPausedAuto);
            }
        };
        limits_look(&limits, &executions, &self.taken, &intent.loop_id, now)
    }

    /// Reads the registry as it is written now; the file is parsed only if it
    /// is not what it was.
    fn read(&mut self, now: Timestamp) -> &Written {
        let stage = &self.handoff.registry;
        let bytes = match stage.hook {
            Some(_) => None,
            None => read_bytes(Path::new(&stage.file)).ok().flatten(),
        };
        let known = self.known.take();
        let known = known.filter(|(known, _)| stage.hook.is_none() && *known == bytes);
        let known = known.unwrap_or_else(|| {
            let written = match stage.hook {
                Some(_) => stage.look(now),
                None => Written::from_file(bytes.as_deref(), now),
            };
            (bytes, written)
        });
        &self.known.insert(known).1
    }

    fn other_run(
        &self,
        intent: &HandoffIntent,
        judged: &str,
        clock: &dyn Clock,
    ) -> Option<AutonomyReason> {
        let now = current_run(&self.handoff.layout, intent, &intent.fleet_trace_id, clock);
        run_changed(Some(judged), now.as_deref()).then_some(AutonomyReason::RunChanged)
    }

    fn executions(&self, at_least: u64) -> Result<Vec<Execution>, HandoffError> {
        let path = Path::new(&self.handoff.files.handoff_telemetry);
        let fold = read_handoff(path, self.scope, at_least)?;
        match fold.bad_row() {
            None => Ok(fold.executions().to_vec()),
            Some(bad) => Err(HandoffError::Telemetry {
                file: self.handoff.files.handoff_telemetry.clone(),
                line: line_number_of(path, bad.offset)?,
                cause: bad.what.clone(),
            }),
        }
    }
}
