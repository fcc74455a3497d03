//! Run locks and folder locks. Store locks are taken inside a commit.
//!
//! All are advisory `flock`s: released when dropped and when the process
//! dies, however it dies. Order: run before store, fleet before loops, loops
//! by id (architecture, "Locks").

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::LockError;
use crate::open::open_plain;
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
        prepare_store_dir(scope_dir)?;
        let mut file = open_lock_file(&path).map_err(failed)?;
        if !wait_for(&file, wait).map_err(failed)? {
            let scope = scope_dir.file_name().unwrap_or_default().to_string_lossy();
            let what = format!("{command} for {scope}");
            let pid = holder(&file).or_else(|| recorded_pid(&mut file));
            return Err(LockError::Busy { what, pid });
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
        let folders_only = rustix::fs::OFlags::DIRECTORY.bits().cast_signed();
        let mut options = OpenOptions::new();
        let opened = options.read(true).custom_flags(folders_only).open(dir);
        let folder = opened.map_err(failed)?;
        if wait_for(&folder, wait).map_err(failed)? {
            return Ok(Self { _held: folder });
        }
        Err(LockError::Busy {
            what: dir.display().to_string(),
            pid: holder(&folder),
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
        pid: holder(&file),
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
    open_plain(path, &mut options)
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

/// The process that holds the lock on `file`, where the system tells.
fn holder(file: &File) -> Option<u32> {
    let found = file.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    holder_in(&locks, found.dev(), found.ino())
}

/// The process in a line `1: FLOCK ADVISORY WRITE <pid> <file> 0 EOF`; in the
/// lines of those that wait, `->` is in the place of `FLOCK`.
fn holder_in(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, _, pid, locked, ..] if locked == file => {
                // 0 stands for processes outside of our container.
                pid.parse().ok().filter(|pid| *pid != 0)
            }
            _ => None,
        }
    })
}

fn recorded_pid(file: &mut File) -> Option<u32> {
    const LONGEST: u64 = 32;
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// As many bytes for every process, so that nothing has to be cut; and
/// nothing is written by a process that runs again.
fn record_pid(file: &mut File) -> io::Result<()> {
    let text = format!("{:<10}\n", std::process::id());
    let mut known = [0; 11];
    if file.read_exact_at(&mut known, 0).is_ok() && known == text.as_bytes() {
        return Ok(());
    }
    file.write_all_at(text.as_bytes(), 0)
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
    fn the_holder_of_a_lock_is_found_by_device_and_inode() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11 fe:00:131 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 12 fe:01:131 0 EOF\n\
                     2: POSIX  ADVISORY  READ 13 fe:01:131 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 14 fe:01:131 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 0 08:0a:7 0 EOF\n";
        let device = |major, minor| rustix::fs::makedev(major, minor);
        for (device, inode, expected) in [
            (device(0xfe, 0), 131, Some(11)),
            (device(0xfe, 1), 131, Some(14)),
            (device(0xfe, 0), 13, None),
            (device(8, 10), 7, None),
        ] {
            assert_eq!(holder_in(locks, device, inode), expected, "{inode}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_waits_for_a_folder_is_told_who_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let _held = DirLock::acquire(folder.path(), Duration::ZERO).expect("free");
        let error = DirLock::acquire(folder.path(), Duration::ZERO).expect_err("held");
        let pid = std::process::id();
        let expected = format!("{} is busy (pid {pid})", folder.path().display());
        assert_eq!(error.to_string(), expected);
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
