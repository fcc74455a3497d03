//! The real disk, with something happening at a chosen operation.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use om_store::LockError;
use om_store::disk::{Appended, Disk, FileInfo, Held, OpenJournal, RealDisk, SyncKind};
use rustix::io::Errno;

/// What becomes of one changing operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// It happens.
    Go,
    /// The process is killed before it.
    Die,
    /// Writes happen to their half, then the process is killed.
    DieHalfway,
    /// It fails.
    Fail(Errno),
    /// Writes happen to their half, then it fails.
    FailHalfway(Errno),
}

type Decide = dyn Fn(usize) -> Fate + Send + Sync;

/// Counts changing operations and asks what becomes of each.
pub(crate) struct Hooked {
    decide: Box<Decide>,
    count: AtomicUsize,
    syncs: Arc<Mutex<usize>>,
}

impl Hooked {
    pub(crate) fn new(decide: impl Fn(usize) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            decide: Box::new(decide),
            count: AtomicUsize::new(0),
            syncs: Arc::default(),
        }
    }

    /// Counts syncs in `syncs` too.
    pub(crate) fn counting_syncs(mut self, syncs: Arc<Mutex<usize>>) -> Self {
        self.syncs = syncs;
        self
    }

    /// Changing operations so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Runs one changing operation; `half` does the first half of it.
    fn step<T>(
        &self,
        half: impl FnOnce() -> io::Result<()>,
        whole: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let position = self.count.fetch_add(1, Ordering::SeqCst);
        match (self.decide)(position) {
            Fate::Go => whole(),
            Fate::Die => die(),
            Fate::DieHalfway => {
                let _ = half();
                die()
            }
            Fate::Fail(error) => Err(error.into()),
            Fate::FailHalfway(error) => {
                let _ = half();
                Err(error.into())
            }
        }
    }
}

/// Ends this process the hard way.
fn die() -> ! {
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    unreachable!("a killed process does not go on")
}

/// Half of an operation that has no halves.
#[expect(
    clippy::unnecessary_wraps,
    reason = "stands where halves of writes stand"
)]
fn nothing() -> io::Result<()> {
    Ok(())
}

fn half_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooked({})", self.count())
    }
}

impl Disk for Hooked {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        RealDisk.resolve(path)
    }

    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        RealDisk.info(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn read_range(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        RealDisk.read_range(path, offset, length)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        RealDisk.list(folder)
    }

    fn check_writable(&self, folder: &Path) -> io::Result<()> {
        RealDisk.check_writable(folder)
    }

    fn check_replaceable(&self, path: &Path) -> io::Result<()> {
        RealDisk.check_replaceable(path)
    }

    fn open_journal(&self, path: &Path) -> io::Result<OpenJournal> {
        self.step(nothing, || RealDisk.open_journal(path))
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step(nothing, || RealDisk.create_folder(path, mode))
    }

    fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.step(
            || RealDisk.create(path, half_of(bytes), mode),
            || RealDisk.create(path, bytes, mode),
        )
    }

    fn append(&self, journal: &OpenJournal, bytes: &[u8], mode: u32) -> io::Result<Appended> {
        let half = || RealDisk.append(journal, half_of(bytes), mode).map(|_| ());
        self.step(half, || RealDisk.append(journal, bytes, mode))
    }

    fn reserve(&self, path: &Path, offset: u64, length: u64) -> io::Result<()> {
        self.step(nothing, || RealDisk.reserve(path, offset, length))
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let half = || RealDisk.write_at(path, offset, half_of(bytes));
        self.step(half, || RealDisk.write_at(path, offset, bytes))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        self.step(nothing, || RealDisk.truncate(path, length))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.step(nothing, || RealDisk.exchange(one, other))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(nothing, || RealDisk.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(nothing, || RealDisk.rename_new(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(nothing, || RealDisk.remove(path))
    }

    fn sync(&self, path: &Path, kind: SyncKind) -> io::Result<()> {
        *self.syncs.lock().expect("not poisoned") += 1;
        self.step(nothing, || RealDisk.sync(path, kind))
    }

    fn sync_all(&self, paths: &[PathBuf]) -> io::Result<()> {
        *self.syncs.lock().expect("not poisoned") += paths.len();
        self.step(nothing, || RealDisk.sync_all(paths))
    }

    fn lock(&self, path: &Path, wait: Duration) -> Result<Held, LockError> {
        RealDisk.lock(path, wait)
    }

    fn boot_id(&self) -> Option<u128> {
        RealDisk.boot_id()
    }
    fn random_id(&self) -> u128 {
        RealDisk.random_id()
    }
}
