//! Children must not outlive a manager that is asked to end.
//!
//! While children run, TERM, INT and HUP of this process are passed on to
//! their process groups before the process dies of the same signal. Without
//! this a hook would go on working on the real files while the lock that
//! protected them is free again.
//!
//! A service, which finishes what runs before it ends, handles signals itself
//! and says so: [`keep_children_on_signals`].

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Process groups of the children that run now.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Whether signals are the caller's business.
static KEEP: AtomicBool = AtomicBool::new(false);

/// From now on a signal to this process neither ends its children nor, by
/// this crate's doing, the process: the caller handles signals and waits for
/// what runs, or calls [`end_children`].
pub fn keep_children_on_signals() {
    KEEP.store(true, Ordering::SeqCst);
}

/// Asks every child that runs now, and what it started, to end (TERM).
pub fn end_children() {
    for group in running().iter() {
        send(*group, Signal::TERM);
    }
}

/// A child's process group; forgotten when dropped.
pub(crate) struct Guarded(u32);

/// Starts a child that leads a process group of its own.
///
/// A signal that arrives meanwhile is passed on when the child is known: not
/// even for a moment does it run unwatched.
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Arc<Guarded>)> {
    static WATCHER: OnceLock<()> = OnceLock::new();
    if !KEEP.load(Ordering::SeqCst) {
        WATCHER.get_or_init(start_watcher);
    }
    let mut running = running();
    let child = command.spawn()?;
    running.insert(child.id());
    let guarded = Arc::new(Guarded(child.id()));
    Ok((child, guarded))
}

impl Guarded {
    /// Sends `signal` to the whole group.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.0, signal);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        running().remove(&self.0);
    }
}

fn running() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(group: u32, signal: Signal) {
    let pid = i32::try_from(group).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process_group(pid, signal)
    {
        tracing::debug!(group, %error, "the process group is gone already");
    }
}

fn start_watcher() {
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "children will not be ended with this process");
            return;
        }
    };
    thread::spawn(move || {
        for signal in signals.forever() {
            if KEEP.load(Ordering::SeqCst) {
                continue;
            }
            end_children();
            // Die of the same signal, as without the watcher.
            if signal_hook::low_level::emulate_default_handler(signal).is_err() {
                std::process::exit(128 + signal);
            }
        }
    });
}
