//! The stage as a pass in this process.

use std::error::Error;

use om_model::Timestamp;
use om_reconcile::runner::{self, PassError, PassOutcome, Prepared, ReadyPass};
use om_store::{CommitError, GroupResult, RUN_LOCK_WAIT, RunLock, Scope};
use om_transport::LocalTransport;

use super::{BuiltInPass, Way};
use crate::fanout::{Cut, Turn};
use crate::outcome::StageEnd;

/// How far a pass has come without a commit of its own.
pub(crate) enum Progress {
    /// It is over.
    Ended(StageEnd),
    /// It has to be committed.
    Ready(Box<Ready>),
    /// It was told to stop.
    Stopped,
}

/// A pass that has to be committed; its loop stays locked until then.
pub(crate) struct Ready {
    pub(crate) scope: Scope,
    pub(crate) pass: ReadyPass,
    of: BuiltInPass,
    _lock: RunLock,
}

/// Decides one pass.
pub(crate) fn prepare<C: Fn() -> Timestamp>(of: BuiltInPass, turn: &Turn, clock: &C) -> Progress {
    let (scope, lock) = match lock(&of, turn) {
        Ok(locked) => locked,
        Err(_) if turn.left().is_zero() => return Progress::Ended(too_late(turn)),
        Err(error) => return Progress::Ended(failed(&error)),
    };
    let plan = &of.plan;
    let prepared = turn.drive(async {
        match &of.way {
            Way::Local(layout, loop_id) => {
                let mut transport = LocalTransport::new(layout, loop_id);
                runner::prepare(plan, &scope, &mut transport, clock).await
            }
            Way::SpriteService(transport) => {
                runner::prepare(plan, &scope, &mut *transport.clone(), clock).await
            }
        }
    });
    match prepared {
        Err(Cut::Stop) => Progress::Stopped,
        Err(Cut::Deadline) => Progress::Ended(too_late(turn)),
        Ok(Err(error)) => Progress::Ended(failed(&error)),
        Ok(Ok(Prepared::Done(outcome))) => Progress::Ended(ended(outcome)),
        Ok(Ok(Prepared::Ready(pass))) => Progress::Ready(Box::new(Ready {
            scope,
            pass: *pass,
            of,
            _lock: lock,
        })),
    }
}

impl Ready {
    /// What comes after the commit: alerts; or the pass once more, by itself,
    /// if somebody edited a document meanwhile.
    ///
    /// `None`: the pass stands as it was decided. That includes alerts for
    /// which no time is left: what is not delivered now is delivered by a
    /// later pass (decision D10), and says nothing about the loop.
    pub(crate) fn committed<C: Fn() -> Timestamp>(
        self,
        result: GroupResult,
        turn: &Turn,
        clock: &C,
    ) -> Option<StageEnd> {
        match result {
            Ok(_) => {
                let finished = self.pass.finish(&self.of.plan, &self.scope, clock);
                match turn.drive(finished) {
                    Ok(Err(error)) => Some(failed(&error)),
                    Ok(Ok(_)) | Err(_) => None,
                }
            }
            Err(CommitError::Changed { path }) => {
                tracing::info!(path = %path.display(), "changed meanwhile, passing again");
                Some(self.again(turn, clock))
            }
            Err(error) => Some(failed(&PassError::from(error))),
        }
    }

    fn again<C: Fn() -> Timestamp>(&self, turn: &Turn, clock: &C) -> StageEnd {
        let (plan, scope) = (&self.of.plan, &self.scope);
        let passed = turn.drive(async {
            match &self.of.way {
                Way::Local(layout, loop_id) => {
                    let mut transport = LocalTransport::new(layout, loop_id);
                    runner::run(plan, scope, &mut transport, clock).await
                }
                Way::SpriteService(transport) => {
                    runner::run(plan, scope, &mut *transport.clone(), clock).await
                }
            }
        });
        match passed {
            Ok(Ok(outcome)) => ended(outcome),
            Ok(Err(error)) => failed(&error),
            Err(Cut::Deadline | Cut::Stop) => too_late(turn),
        }
    }
}

/// The loop's scope, and the lock that every pass over it takes.
fn lock(of: &BuiltInPass, turn: &Turn) -> Result<(Scope, RunLock), PassError> {
    let scope = Scope::open(of.plan.files.scope_dir())?;
    let wait = turn.left().min(RUN_LOCK_WAIT);
    let held = RunLock::acquire(scope.dir(), "reconcile", wait)?;
    Ok((scope, held))
}

fn ended(outcome: PassOutcome) -> StageEnd {
    StageEnd::document(outcome.success, outcome.document)
}

/// What the command prints of an error: one line, with all its causes.
fn failed(error: &PassError) -> StageEnd {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = next.source();
    }
    let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
    StageEnd::text(1, format!("error: {}", lines.join("; ")))
}

/// The end of a pass whose time is up.
pub(crate) fn too_late(turn: &Turn) -> StageEnd {
    StageEnd::timed_out(format!(
        "error: no result within {} seconds (--loop-timeout-seconds)",
        turn.limit().as_secs()
    ))
}
