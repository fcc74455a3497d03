//! What the fan-out does for each loop.

use std::sync::Arc;

use om_http::{Secrets, without_userinfo};
use om_model::fleet::registry::FleetLoop;
use om_model::fleet::state::{LoopResult, LoopResultFiles, LoopStatus};
use om_model::json::Lookup;
use om_model::{LoopId, Timestamp, TraceId};
use om_store::{LoopFile, RepoLayout, View};
use serde_json::{Map, Value};

use crate::fanout::{Decided, Lost, Step, Turn, Work};
use crate::outcome::{Outcome, StageEnd, admit, classify, classify_document, run_id};
use crate::pass::{BuiltIn, LoopJob, Progress, Stage, prepare, too_late};

type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One fan-out's loops, and how they are passed.
pub(super) struct LoopWork<B, C> {
    pub(super) layout: RepoLayout,
    /// With the trace of its pass, in the order of start.
    pub(super) loops: Vec<(FleetLoop, TraceId)>,
    pub(super) stage: Stage<B>,
    pub(super) environment: Environment,
    pub(super) clock: Arc<C>,
}

impl<B, C> Work for LoopWork<B, C>
where
    B: BuiltIn,
    C: Fn() -> Timestamp + Send + Sync + 'static,
{
    type Outcome = LoopResult;

    fn pass(&self, index: usize, turn: &Turn) -> Step<LoopResult> {
        let (entry, trace_id) = &self.loops[index];
        let pass = self.begin(entry, trace_id);
        let job = match admit(entry, &self.environment) {
            Err(cause) => return Step::Ended(pass.result(cause.into(), (self.clock)())),
            Ok(token) => LoopJob {
                entry: entry.clone(),
                trace_id: trace_id.clone(),
                token,
            },
        };
        match &self.stage {
            Stage::Hook(hook) => {
                let end = hook.run(&job, turn);
                if turn.is_stopping() && end.exit_code != 0 {
                    // It was ended, which says nothing about its loop.
                    return Step::Stopped;
                }
                Step::Ended(pass.judge(&end, &job, (self.clock)()))
            }
            Stage::BuiltIn(built_in) => self.built_in(built_in, pass, job, turn),
        }
    }

    fn lost(&self, index: usize, turn: &Turn, lost: Lost) -> LoopResult {
        let (entry, trace_id) = &self.loops[index];
        let now = (self.clock)();
        let limit = i64::try_from(turn.limit().as_secs()).unwrap_or(i64::MAX);
        let started = now.epoch_seconds().saturating_sub(limit);
        let (end, started_at) = match lost {
            Lost::Late => (too_late(turn), Timestamp::from_epoch_seconds(started)),
            Lost::Panicked => (StageEnd::text(101, "error: the pass panicked"), now),
        };
        let pass = BegunPass {
            started_at,
            ..self.begin(entry, trace_id)
        };
        pass.result(classify(&end, &Secrets::default()), now)
    }

    fn stop(&self) {
        om_stage::end_children();
    }
}

impl<B, C> LoopWork<B, C>
where
    B: BuiltIn,
    C: Fn() -> Timestamp + Send + Sync + 'static,
{
    fn begin(&self, entry: &FleetLoop, trace_id: &TraceId) -> BegunPass {
        BegunPass {
            started_at: (self.clock)(),
            layout: self.layout.clone(),
            entry: entry.clone(),
            trace_id: trace_id.clone(),
        }
    }

    fn built_in(
        &self,
        built_in: &B,
        pass: BegunPass,
        job: LoopJob,
        turn: &Turn,
    ) -> Step<LoopResult> {
        let clock = Arc::clone(&self.clock);
        let made = match built_in.pass(&job) {
            Ok(made) => made,
            Err(end) => return Step::Ended(pass.judge(&end, &job, clock())),
        };
        let ready = match prepare(made, turn, &*clock) {
            Progress::Stopped => return Step::Stopped,
            Progress::Ended(end) => return Step::Ended(pass.judge(&end, &job, clock())),
            Progress::Ready(ready) => ready,
        };
        let mut ready = *ready;
        let decided = ready.pass.take_outcome();
        let outcome = classify_document(decided.success, &decided.document, &job.secrets());
        // Many passes wait for their commits, documents would only be a burden.
        drop(decided);
        let otherwise = pass.result(outcome, clock());
        let stands = otherwise.clone();
        Step::Decided(Box::new(Decided {
            scope: ready.scope.clone(),
            commit: ready.pass.take_commit(),
            then: Box::new(move |result, turn| {
                let end = ready.committed(result, turn, &*clock);
                let now = clock();
                match end {
                    Some(end) => pass.judge(&end, &job, now),
                    None => pass.at(stands, now),
                }
            }),
            otherwise,
        }))
    }
}

/// A loop whose pass has begun.
struct BegunPass {
    layout: RepoLayout,
    entry: FleetLoop,
    trace_id: TraceId,
    started_at: Timestamp,
}

impl BegunPass {
    /// What a stage that ended like this makes of it.
    fn judge(&self, end: &StageEnd, job: &LoopJob, now: Timestamp) -> LoopResult {
        self.result(classify(end, &job.secrets()), now)
    }

    fn result(&self, outcome: Outcome, now: Timestamp) -> LoopResult {
        let entry = &self.entry;
        let run_id = match outcome.status {
            LoopStatus::Success => outcome.run_id,
            // The last run that was seen is the one that is judged.
            LoopStatus::Failed => last_run(&self.layout, &entry.loop_id),
            LoopStatus::Skipped => None,
        };
        LoopResult {
            timestamp: now,
            started_at: self.started_at,
            loop_id: entry.loop_id.clone(),
            transport: entry.transport,
            enabled: entry.enabled,
            status: outcome.status,
            reason_code: outcome.reason_code,
            reconcile_status: outcome.status,
            health_status: outcome.health_status,
            health_reason_codes: outcome.health_reason_codes,
            transition_state: outcome.transition_state,
            duration_seconds: now.seconds_since(self.started_at),
            trace_id: self.trace_id.clone(),
            output_excerpt: outcome.output_excerpt,
            sprite: without_credentials(&entry.sprite),
            metadata: entry.metadata.clone(),
            files: files(&self.layout, &entry.loop_id),
            run_id,
        }
    }

    /// The same result, reported at another time.
    fn at(&self, result: LoopResult, now: Timestamp) -> LoopResult {
        LoopResult {
            timestamp: now,
            duration_seconds: now.seconds_since(self.started_at),
            ..result
        }
    }
}

fn files(layout: &RepoLayout, loop_id: &LoopId) -> LoopResultFiles {
    let files = layout.loop_files(loop_id);
    let at = |file| files.path(file).display().to_string();
    LoopResultFiles {
        state_file: at(LoopFile::State),
        health_file: at(LoopFile::Health),
        cursor_file: at(LoopFile::Cursor),
        reconcile_telemetry_file: at(LoopFile::ReconcileRows),
    }
}

/// The run in the loop's state, whatever wrote it; nothing if it cannot be
/// read.
fn last_run(layout: &RepoLayout, loop_id: &LoopId) -> Option<String> {
    let files = layout.loop_files(loop_id);
    let view = View::open(files.scope_dir()).ok()?;
    let state = view.artifact(&files.path(LoopFile::State)).ok()?;
    run_id(Lookup::new(state.document()?))
}

/// A base URL may carry credentials, which belong into no artifact (decision
/// D6).
fn without_credentials(sprite: &Map<String, Value>) -> Map<String, Value> {
    let mut sprite = sprite.clone();
    if let Some(Value::String(url)) = sprite.get_mut("serviceBaseUrl")
        && url.contains('@')
    {
        *url = without_userinfo(url);
    }
    sprite
}
