//! Whose intent is it, and does that process still live?

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use om_model::Timestamp;
use om_model::control::PendingIntent;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// How long an entry of another machine, whose processes cannot be seen from
/// here, is taken for alive, in seconds: longer than any control with usual
/// limits.
const FOREIGN_PATIENCE: u64 = 2 * 3_600;

/// A process, recognisable for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The machine's name.
    pub host: String,
    /// Its boot; empty where the system does not tell.
    pub boot_id: String,
    /// The process id.
    pub pid: u32,
    /// Start of the process in clock ticks since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_start: Option<u64>,
}

impl Owner {
    /// This process.
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<Owner> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let pid = std::process::id();
            let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
            Self {
                host: rustix::system::uname()
                    .nodename()
                    .to_string_lossy()
                    .into_owned(),
                boot_id: boot_id.unwrap_or_default().trim().to_owned(),
                pid,
                process_start: Stat::of(pid).map(|stat| stat.start),
            }
        })
    }

    /// Whether this process may still be at work, at `now`, on what it began
    /// at `since`. Of this machine: whether it lives. Of another one: whether
    /// that is less than two hours ago.
    pub fn may_be_at_work(&self, since: Timestamp, now: Timestamp) -> bool {
        let here = Self::current();
        if self.host != here.host {
            return now.seconds_since(since) < FOREIGN_PATIENCE;
        }
        self.boot_id == here.boot_id && process_lives(self.pid, self.process_start)
    }

    fn owns(&self, entry: &PendingIntent) -> bool {
        (&self.host, &self.boot_id, self.pid, self.process_start)
            == (&entry.host, &entry.boot_id, entry.pid, entry.process_start)
    }
}

/// Whether the intent of `entry` may still come to its end at `now`.
///
/// Not if its process has given up. Of this process: whether it is in
/// progress. Of this machine: whether the process lives. Of another machine:
/// whether the entry is younger than two hours.
pub fn is_alive(entry: &PendingIntent, now: Timestamp) -> bool {
    if entry.ended {
        return false;
    }
    let here = Owner::current();
    if here.owns(entry) {
        return in_progress().contains(&entry.control_id);
    }
    let owner = Owner {
        host: entry.host.clone(),
        boot_id: entry.boot_id.clone(),
        pid: entry.pid,
        process_start: entry.process_start,
    };
    owner.may_be_at_work(entry.started_at, now)
}

/// Whether process `pid` of this machine lives, and is the one that started
/// at `start` (clock ticks since boot) if that is known. A zombie does not.
pub fn process_lives(pid: u32, start: Option<u64>) -> bool {
    if let Some(stat) = Stat::of(pid) {
        return !stat.is_dead && start.is_none_or(|start| start == stat.start);
    }
    // Without /proc the id alone has to do.
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let has_proc = Stat::of(std::process::id()).is_some();
    !has_proc && pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// What `/proc/<pid>/stat` says.
struct Stat {
    is_dead: bool,
    start: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The name in field 2 may contain anything; the rest follows its last ")".
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            // A zombie does nothing any more.
            is_dead: matches!(state, "Z" | "X" | "x"),
            start: fields.nth(18)?.parse().ok()?,
        })
    }
}

static IN_PROGRESS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn in_progress() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    IN_PROGRESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks one execution of this process as in progress until it is dropped:
/// in a service that lives on, an execution that ended without its rows has to
/// be told from one that still runs.
#[derive(Debug)]
pub(crate) struct InProgress(String);

impl InProgress {
    pub(crate) fn begin(control_id: &str) -> Self {
        in_progress().insert(control_id.to_owned());
        Self(control_id.to_owned())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        in_progress().remove(&self.0);
    }
}
