//! The bookkeeping of a fan-out. Everything that happens is an [`Event`];
//! what may be started is decided in one place, [`Supervisor::proceed`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use om_store::{GroupResult, Scope, commit_group};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{Decided, GROUP_WAIT, Limits, Lost, Step, Then, Turn, Work};

/// How long after its deadline a pass may come back by itself, with more to
/// say than that its time is up.
const MARGIN: Duration = Duration::from_millis(250);
/// Least time for what comes after a commit.
const AFTERWARDS: Duration = Duration::from_secs(5);
/// How long passes that run may take to end when everything is to end.
const ENDING: Duration = Duration::from_secs(3);
/// How long passes that were given up are waited for at the very end: what
/// they have started is asked to end, then killed, within this time.
const ABANDONED: Duration = Duration::from_secs(8);
/// Groups of passes between start and outcome: one is made up, one is being
/// committed, one is being finished.
const GROUPS_IN_FLIGHT: usize = 3;

pub(super) struct Supervisor<W: Work> {
    work: Arc<W>,
    limits: Limits,
    fleet: Scope,
    outcomes: Vec<Option<W::Outcome>>,
    /// The next item to start.
    next: usize,
    /// Passes that run.
    running: usize,
    /// Passes between start and outcome.
    in_flight: usize,
    /// Decided, for the next group.
    decided: Vec<Member<W::Outcome>>,
    /// When the first of them has waited long enough.
    due: Option<Instant>,
    committing: bool,
    /// Committed, but for what comes after that.
    committed: VecDeque<Committed<W::Outcome>>,
    /// Of those, how many are being finished.
    finishing: usize,
    /// Told when everything is to end.
    stopping: watch::Sender<bool>,
    /// When passes that still run are given up.
    give_up: Option<Instant>,
    /// Passes that are given up.
    abandoned: JoinSet<()>,
    events: mpsc::UnboundedSender<Event<W::Outcome>>,
    inbox: mpsc::UnboundedReceiver<Event<W::Outcome>>,
}

/// One item whose pass is decided.
struct Member<R> {
    index: usize,
    turn: Turn,
    decided: Box<Decided<R>>,
}

/// One item whose pass is committed, or refused.
pub(super) struct Committed<R> {
    index: usize,
    turn: Turn,
    result: GroupResult,
    then: Then<R>,
    otherwise: R,
}

pub(super) enum Event<R> {
    /// A pass came back.
    Passed(usize, Turn, Step<R>),
    /// A pass did not come back.
    Lost(usize, Turn, Lost, Option<JoinHandle<()>>),
    /// A group is committed.
    Committed(Vec<Committed<R>>),
    /// What comes after a commit is over, or given up.
    Finished(usize, R, Option<JoinHandle<()>>),
}

impl<W: Work> Supervisor<W> {
    pub(super) fn new(work: Arc<W>, count: usize, limits: Limits, fleet: Scope) -> Self {
        let (events, inbox) = mpsc::unbounded_channel();
        Self {
            work,
            limits,
            fleet,
            outcomes: (0..count).map(|_| None).collect(),
            next: 0,
            running: 0,
            in_flight: 0,
            decided: Vec::new(),
            due: None,
            committing: false,
            committed: VecDeque::new(),
            finishing: 0,
            stopping: watch::Sender::new(false),
            give_up: None,
            abandoned: JoinSet::new(),
            events,
            inbox,
        }
    }

    /// Starts whatever may be started now.
    pub(super) fn proceed(&mut self) {
        while self.may_pass() {
            self.pass();
        }
        if self.is_group_due() {
            self.commit();
        }
        while self.finishing < self.limits.max_parallel {
            match self.committed.pop_front() {
                Some(committed) => self.finish(committed),
                None => break,
            }
        }
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn is_done(&self) -> bool {
        let nothing_to_start = self.next == self.outcomes.len() || self.is_stopping();
        let given_up = self.give_up.is_some_and(|at| at <= Instant::now());
        let idle = if given_up {
            self.in_flight == self.running
        } else {
            self.in_flight == 0
        };
        nothing_to_start && idle
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The next thing that happens; the channel never closes.
    pub(super) async fn next_event(&mut self) -> Option<Event<W::Outcome>> {
        self.inbox.recv().await
    }

    /// Resolves when something is due that is no event.
    pub(super) fn next_alarm(&self) -> impl Future<Output = ()> + use<W> {
        let group = self.due.filter(|_| !self.committing);
        let give_up = self.give_up.filter(|at| *at > Instant::now());
        let first = [group, give_up].into_iter().flatten().min();
        async move {
            match first {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Nothing is started any more, and what runs is told to end.
    pub(super) fn stop(&mut self) {
        self.stopping.send_replace(true);
        self.give_up = Some(Instant::now() + ENDING);
        self.work.stop();
    }

    pub(super) fn handle(&mut self, event: Option<Event<W::Outcome>>) {
        match event {
            Some(Event::Passed(index, turn, step)) => self.passed(index, turn, step),
            Some(Event::Lost(index, turn, lost, thread)) => {
                self.running -= 1;
                let outcome = self.work.lost(index, &turn, lost);
                self.settle(index, Some(outcome));
                self.abandon(thread);
            }
            Some(Event::Committed(members)) => {
                self.committing = false;
                self.committed.extend(members);
            }
            Some(Event::Finished(index, outcome, thread)) => {
                self.finishing -= 1;
                self.settle(index, Some(outcome));
                self.abandon(thread);
            }
            None => {}
        }
    }

    /// The outcomes, once what was given up has had the time to end.
    pub(super) async fn into_outcomes(mut self) -> Vec<Option<W::Outcome>> {
        if !self.abandoned.is_empty() {
            self.work.stop();
            let ended = async { while self.abandoned.join_next().await.is_some() {} };
            if timeout(ABANDONED, ended).await.is_err() {
                tracing::warn!("a pass that was given up still works");
            }
        }
        self.outcomes
    }

    fn may_pass(&self) -> bool {
        self.next < self.outcomes.len()
            && !self.is_stopping()
            && self.running < self.limits.max_parallel
            && self.decided.len() < self.limits.group
            && self.in_flight < self.limits.max_parallel + GROUPS_IN_FLIGHT * self.limits.group
    }

    fn is_group_due(&self) -> bool {
        let is_full = self.decided.len() >= self.limits.group;
        let is_late = self.due.is_some_and(|at| at <= Instant::now());
        // Nobody who could still come is waited for.
        let is_last = self.running == 0 && !self.may_pass();
        !self.committing && !self.decided.is_empty() && (is_full || is_late || is_last)
    }

    fn pass(&mut self) {
        let index = self.next;
        self.next += 1;
        self.running += 1;
        self.in_flight += 1;
        let turn = Turn {
            limit: self.limits.time_limit,
            deadline: Instant::now() + self.limits.time_limit,
            stopping: self.stopping.subscribe(),
        };
        let (work, events) = (Arc::clone(&self.work), self.events.clone());
        task::spawn(async move {
            let thread = {
                let turn = turn.clone();
                task::spawn_blocking(move || work.pass(index, &turn))
            };
            let event = match supervised(thread, turn.deadline + MARGIN).await {
                Back::Done(step) => Event::Passed(index, turn, step),
                Back::Panicked => Event::Lost(index, turn, Lost::Panicked, None),
                Back::Late(thread) => Event::Lost(index, turn, Lost::Late, Some(thread)),
            };
            // The receiver lives as long as anybody waits for the outcome.
            let _ = events.send(event);
        });
    }

    fn passed(&mut self, index: usize, turn: Turn, step: Step<W::Outcome>) {
        self.running -= 1;
        match step {
            Step::Ended(outcome) => self.settle(index, Some(outcome)),
            Step::Stopped => self.settle(index, None),
            Step::Decided(decided) => {
                if self.decided.is_empty() {
                    self.due = Some(Instant::now() + GROUP_WAIT);
                }
                self.decided.push(Member {
                    index,
                    turn,
                    decided,
                });
            }
        }
    }

    fn commit(&mut self) {
        self.committing = true;
        // Passes that ran while the last group was committed may be more
        // than one group; the rest has waited long enough, too.
        let rest = self
            .decided
            .split_off(self.decided.len().min(self.limits.group));
        let members = std::mem::replace(&mut self.decided, rest);
        self.due = Some(Instant::now()).filter(|_| !self.decided.is_empty());
        let (fleet, events) = (self.fleet.clone(), self.events.clone());
        task::spawn_blocking(move || {
            let _ = events.send(Event::Committed(commit(&fleet, members)));
        });
    }

    fn finish(&mut self, committed: Committed<W::Outcome>) {
        self.finishing += 1;
        let events = self.events.clone();
        task::spawn(async move {
            let Committed {
                index,
                mut turn,
                result,
                then,
                otherwise,
            } = committed;
            turn.deadline = turn.deadline.max(Instant::now() + AFTERWARDS);
            let end = turn.deadline + MARGIN;
            let thread = task::spawn_blocking(move || then(result, &turn));
            let (outcome, thread) = match supervised(thread, end).await {
                Back::Done(outcome) => (outcome, None),
                Back::Panicked => (otherwise, None),
                Back::Late(thread) => (otherwise, Some(thread)),
            };
            let _ = events.send(Event::Finished(index, outcome, thread));
        });
    }

    fn settle(&mut self, index: usize, outcome: Option<W::Outcome>) {
        self.in_flight -= 1;
        self.outcomes[index] = outcome;
    }

    fn abandon(&mut self, thread: Option<JoinHandle<()>>) {
        if let Some(thread) = thread {
            self.abandoned.spawn(async move {
                // Its end is all that matters.
                let _ = thread.await;
            });
        }
    }
}

/// How a thread came back.
enum Back<T> {
    Done(T),
    Panicked,
    /// It did not; this resolves when it has ended after all.
    Late(JoinHandle<()>),
}

async fn supervised<T: Send + 'static>(mut thread: JoinHandle<T>, end: Instant) -> Back<T> {
    match timeout_at(end, &mut thread).await {
        Ok(Ok(done)) => Back::Done(done),
        Ok(Err(_)) => Back::Panicked,
        // What it comes back with is dropped, and with that its lock.
        Err(_) => Back::Late(task::spawn(async move {
            drop(thread.await);
        })),
    }
}

/// Commits one group; on the thread that calls it.
fn commit<R>(fleet: &Scope, members: Vec<Member<R>>) -> Vec<Committed<R>> {
    let mut commits = Vec::with_capacity(members.len());
    let mut waiting = Vec::with_capacity(members.len());
    for member in members {
        let Decided {
            scope,
            commit,
            then,
            otherwise,
        } = *member.decided;
        commits.push((scope, commit));
        waiting.push((member.index, member.turn, then, otherwise));
    }
    let results = commit_group(fleet, commits);
    waiting
        .into_iter()
        .zip(results)
        .map(|((index, turn, then, otherwise), result)| Committed {
            index,
            turn,
            result,
            then,
            otherwise,
        })
        .collect()
}
