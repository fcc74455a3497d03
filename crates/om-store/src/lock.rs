//! Run locks and folder locks. Store locks are taken inside a commit.
//!
//! All are advisory `flock`s: released when dropped and when the process
//! dies, however it dies. Order: run before store, fleet before loops, loops
//! by id (architecture, "Locks").

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::LockError;
use crate::scope::{STORE_DIR, prepare_store_dir};

/// How long a command waits for the same command on the same scope.
pub const RUN_LOCK_WAIT: Duration = Duration::from_secs(60);

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// One run of one command on one scope; excludes only the same command on
/// the same scope.
#[derive(Debug)]
pub struct RunLock {
    _held: File,
}

impl RunLock {
    /// Takes `<scope_dir>/.store/run-<command>.lock`, waiting up to `wait`
    /// (normally [`RUN_LOCK_WAIT`]).
    ///
    /// Fails with [`LockError::Busy`], ``<command> for <scope name> is busy
    /// (pid N)``, if another run keeps it.
    pub fn acquire(scope_dir: &Path, command: &str, wait: Duration) -> Result<Self, LockError> {
        let path = scope_dir
            .join(STORE_DIR)
            .join(format!("run-{command}.lock"));
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        prepare_store_dir(scope_dir).map_err(failed)?;
        let mut file = open_lock_file(&path).map_err(failed)?;
        if !wait_for(&file, wait).map_err(failed)? {
            let scope = scope_dir.file_name().unwrap_or_default().to_string_lossy();
            let what = format!("{command} for {scope}");
            return Err(LockError::Busy {
                what,
                pid: recorded_pid(&mut file),
            });
        }
        record_pid(&mut file).map_err(failed)?;
        Ok(Self { _held: file })
    }
}

/// A lock on a folder itself; leaves no file behind. For cursors that may
/// live anywhere.
#[derive(Debug)]
pub struct DirLock {
    _held: File,
}

impl DirLock {
    /// Locks the existing folder `dir`, waiting up to `wait`.
    pub fn acquire(dir: &Path, wait: Duration) -> Result<Self, LockError> {
        let failed = |source| LockError::Io {
            path: dir.to_owned(),
            source,
        };
        let folder = File::open(dir).map_err(failed)?;
        if wait_for(&folder, wait).map_err(failed)? {
            return Ok(Self { _held: folder });
        }
        Err(LockError::Busy {
            what: dir.display().to_string(),
            pid: None,
        })
    }
}

/// Takes the lock file at `path` for a commit.
pub(crate) fn acquire_store_lock(path: &Path, wait: Duration) -> Result<File, LockError> {
    let failed = |source| LockError::Io {
        path: path.to_owned(),
        source,
    };
    let file = open_lock_file(path).map_err(failed)?;
    if wait_for(&file, wait).map_err(failed)? {
        return Ok(file);
    }
    Err(LockError::Busy {
        what: path.display().to_string(),
        pid: None,
    })
}

fn open_lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.custom_flags(no_follow()).open(path)
}

/// `O_NOFOLLOW` as `custom_flags` takes it.
pub(crate) fn no_follow() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}

/// Tries until the lock is held (`true`) or `wait` is over (`false`).
fn wait_for(file: &File, wait: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(100 + u64::from(std::process::id() % 64));
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        let left = wait.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        thread::sleep(pause.min(left));
        // Growth by an odd factor and a start that depends on the process
        // keep several waiters from moving in step.
        pause = (pause * 17 / 10).min(LONGEST_PAUSE);
    }
}

fn recorded_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn record_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_run_of_the_same_command_is_told_who_is_running() {
        let folder = tempfile::tempdir().expect("a folder");
        let scope = folder.path().join("nightly");
        let held = RunLock::acquire(&scope, "reconcile", Duration::ZERO).expect("free");
        let error = RunLock::acquire(&scope, "reconcile", Duration::ZERO).expect_err("held");
        let expected = format!("reconcile for nightly is busy (pid {})", std::process::id());
        assert_eq!(error.to_string(), expected);
        RunLock::acquire(&scope, "control", Duration::ZERO).expect("another command");
        drop(held);
        RunLock::acquire(&scope, "reconcile", Duration::ZERO).expect("free again");
    }

    #[test]
    fn lock_files_are_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let _held = RunLock::acquire(folder.path(), "x", Duration::ZERO).expect("free");
        let mode = |path: &Path| {
            std::fs::metadata(path)
                .expect("exists")
                .permissions()
                .mode()
        };
        let store = folder.path().join(STORE_DIR);
        assert_eq!(mode(&store) & 0o777, 0o700);
        assert_eq!(mode(&store.join("run-x.lock")) & 0o777, 0o600);
    }

    #[test]
    fn a_locked_folder_excludes_others_and_gets_no_new_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = DirLock::acquire(folder.path(), Duration::ZERO).expect("free");
        DirLock::acquire(folder.path(), Duration::ZERO).expect_err("held");
        drop(held);
        DirLock::acquire(folder.path(), Duration::ZERO).expect("free again");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("readable").count(),
            0
        );
    }
}
