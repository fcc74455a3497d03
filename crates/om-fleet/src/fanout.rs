//! Many passes at a time, committed in groups (chapter 05 §2.4; decisions D7,
//! D11).
//!
//! A pass runs on a thread of its own, because most of what it does blocks:
//! files, locks, hooks. Passes are started in order, the next one as soon as
//! *any* of those that run ends; a pass that is not back at its deadline is
//! given up and holds nobody back. A pass that is decided is not committed by
//! itself: it waits, at most [`GROUP_WAIT`], for others to be committed with
//! it, and what is reported of it is reported after that.
//!
//! ```text
//! pass ─┬─ ended ─────────────────────────────┐
//!       └─ to be committed → group → then ────┴→ outcome
//! ```
//!
//! What a pass is, and what it comes to, is the business of [`Work`].

mod supervisor;
mod turn;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use om_store::{Commit, GroupResult, MAX_GROUP, Scope};

use supervisor::Supervisor;

pub use turn::{Cut, Turn};

/// Longest time that a decided pass waits for others.
pub const GROUP_WAIT: Duration = Duration::from_millis(50);

/// Most passes that ever run at the same time: each has a thread.
pub const MOST_PARALLEL: usize = 1024;

/// How many at a time, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most passes that run at the same time, 1 to [`MOST_PARALLEL`].
    pub max_parallel: usize,
    /// Longest time of one pass.
    pub time_limit: Duration,
    /// Most passes of one commit, 1 to [`MAX_GROUP`].
    pub group: usize,
}

/// Descriptors of a process that are not for passes.
const RESERVED_FILES: u64 = 128;
/// Open at the same time for a pass that runs: its locks, its log, its
/// service.
const FILES_OF_A_PASS: u64 = 8;
/// For a pass that is decided: its lock, and while it is committed its
/// scope's; one group is made up while another is committed and a third is
/// being finished.
const FILES_OF_A_MEMBER: u64 = 6;

impl Limits {
    /// Groups as large as `open_files`, the most files that this process may
    /// have open, allows.
    pub fn new(max_parallel: usize, time_limit: Duration, open_files: u64) -> Self {
        let max_parallel = max_parallel.clamp(1, MOST_PARALLEL);
        let for_passes = FILES_OF_A_PASS.saturating_mul(max_parallel as u64);
        let left = open_files.saturating_sub(RESERVED_FILES.saturating_add(for_passes));
        let group = usize::try_from(left / FILES_OF_A_MEMBER).unwrap_or(MAX_GROUP);
        Self {
            max_parallel,
            time_limit,
            group: group.clamp(1, MAX_GROUP),
        }
    }
}

/// What is done for each of a number of items.
pub trait Work: Send + Sync + 'static {
    /// What one comes to.
    type Outcome: Send + 'static;

    /// Passes item `index`, on a thread where it may block. It should look
    /// at `turn` to end in time, and when everything is to end.
    fn pass(&self, index: usize, turn: &Turn) -> Step<Self::Outcome>;

    /// What item `index` comes to if its pass did not come back.
    fn lost(&self, index: usize, turn: &Turn, lost: Lost) -> Self::Outcome;

    /// Everything is to end: whatever passes wait for should be told so.
    fn stop(&self) {}
}

/// Why a pass did not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its time is up, and it goes on working for nobody.
    Late,
    /// It panicked.
    Panicked,
}

/// How far a pass has come by itself.
pub enum Step<R> {
    /// It is over.
    Ended(R),
    /// It is decided and has to be committed.
    Decided(Box<Decided<R>>),
    /// It was told to stop before it came to anything.
    Stopped,
}

/// A pass that has to be committed.
pub struct Decided<R> {
    /// Where.
    pub scope: Scope,
    /// What.
    pub commit: Commit,
    /// What comes after the commit; it may block.
    pub then: Then<R>,
    /// What the pass comes to if `then` takes too long.
    pub otherwise: R,
}

/// What comes after a commit.
pub type Then<R> = Box<dyn FnOnce(GroupResult, &Turn) -> R + Send>;

/// Does `work` for items `0..count`; the outcomes are in their order, `None`
/// for those that `stop` kept from being passed. `fleet` is the scope of the
/// groups.
///
/// When `stop` resolves, nothing is started any more, passes that run are
/// told to end, and what is decided is committed.
///
/// Needs a multi-threaded tokio runtime with time.
pub async fn fan_out<W: Work>(
    work: Arc<W>,
    count: usize,
    limits: Limits,
    fleet: &Scope,
    stop: impl Future<Output = ()>,
) -> Vec<Option<W::Outcome>> {
    let mut stop = std::pin::pin!(stop);
    let mut supervisor = Supervisor::new(work, count, limits, fleet.clone());
    loop {
        supervisor.proceed();
        if supervisor.is_done() {
            break;
        }
        let (alarm, is_stopping) = (supervisor.next_alarm(), supervisor.is_stopping());
        tokio::select! {
            event = supervisor.next_event() => supervisor.handle(event),
            () = alarm => {}
            () = &mut stop, if !is_stopping => supervisor.stop(),
        }
    }
    supervisor.into_outcomes().await
}
