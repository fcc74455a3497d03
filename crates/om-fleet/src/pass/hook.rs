//! The stage as an executable.

use om_model::health::TransportMode;
use om_model::json;
use om_stage::{Hook, RunOptions, Streams};

use super::LoopJob;
use crate::fanout::Turn;
use crate::outcome::StageEnd;

/// The variable that names the executable.
pub const HOOK_VARIABLE: &str = "OPS_MANAGER_RECONCILE_SCRIPT";

/// The executable, and what it is told for every loop.
#[derive(Clone, Debug)]
pub struct HookStage {
    /// The executable.
    pub hook: Hook,
    /// The repository, absolute.
    pub repo: String,
    /// `--max-events` as typed, if it was.
    pub max_events: Option<String>,
    /// Whether `--from-start` was given.
    pub from_start: bool,
}

impl HookStage {
    /// The argv, in the contract's order.
    pub fn arguments(&self, job: &LoopJob) -> Vec<String> {
        let (entry, service) = (&job.entry, &job.entry.service);
        let mut arguments: Vec<String> = Vec::new();
        let mut push = |flag: &str, value: &str| {
            arguments.extend([flag.to_owned(), value.to_owned()]);
        };
        push("--repo", &self.repo);
        push("--loop", entry.loop_id.as_str());
        push("--transport", entry.transport.as_str());
        push("--trace-id", job.trace_id.as_str());
        if let Some(typed) = &self.max_events {
            push("--max-events", typed);
        }
        if self.from_start {
            arguments.push("--from-start".to_owned());
        }
        if entry.transport == TransportMode::SpriteService {
            let base_url = json::non_empty_text(service.base_url.as_ref());
            let mut push = |flag: &str, value: String| {
                arguments.extend([flag.to_owned(), value]);
            };
            push("--service-base-url", base_url.unwrap_or_default());
            push("--retry-attempts", service.retry_attempts.to_string());
            push(
                "--retry-backoff-seconds",
                service.retry_backoff_seconds.to_string(),
            );
            if let Some(token) = &job.token {
                push("--service-token", token.expose().to_owned());
            }
        }
        arguments
    }

    /// Runs it for one loop; it gets the time that `turn` has left.
    pub(crate) fn run(&self, job: &LoopJob, turn: &Turn) -> StageEnd {
        let options = RunOptions {
            streams: Streams::Merged,
            time_limit: Some(turn.left()),
            ..RunOptions::default()
        };
        let output = self.hook.run(&self.arguments(job), &options);
        // A hook that could not be started says so on the other stream.
        let text = [output.stdout, output.stderr].concat();
        if output.timed_out {
            StageEnd::timed_out(text)
        } else {
            StageEnd::text(output.exit_code, text)
        }
    }
}
